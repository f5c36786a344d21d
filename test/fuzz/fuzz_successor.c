/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Post-quantum keys (first byte odd) and successor statements: what parses keeps to its bounds, and a key is written again as it was read. */
#include <assert.h>

#include "crypto/crypto.h"
#include "wire/successor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void key(kith_bytes in)
{
    uint8_t again[KITH_PQ_KEY_MAX];
    kith_sig_alg alg;
    kith_bytes raw;
    if (kith_pq_key_parse(in, &alg, &raw))
        return;
    kith_wr w = kith_wr_of(kith_span_of(again, sizeof again));
    kith_put_pq_key(&w, alg, raw);
    assert(!w.bad && kith_bytes_eq(kith_wr_bytes(&w), in) && w.len == kith_pq_key_len(alg));
}

static void statement(kith_bytes in)
{
    kith_successor s;
    if (kith_successor_parse(in, &s))
        return;
    assert(s.seq > 0 && !kith_pq_id_eq(&s.old_id, &s.new_id) && s.peer.len > 0);
    kith_pq_id at = s.old_id;
    uint64_t seq = s.seq - 1;
    kith_err e = kith_successor_verify(&s), f = kith_successor_follow(&in, 1, &s.peer, &at, &seq);
    assert(e == f && kith_pq_id_eq(&at, e ? &s.old_id : &s.new_id) && seq == (e ? s.seq - 1 : s.seq));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || kith_crypto_init())
        return 0;
    if (data[0] & 1)
        key(kith_bytes_of(data + 1, size - 1));
    else
        statement(kith_bytes_of(data + 1, size - 1));
    return 0;
}
