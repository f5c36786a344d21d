/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* IPNS records: the input as a record, and as what a record has signed, so that the reader behind the signature is reached. */
#include <assert.h>

#include "mesh/kad_record.h"
#include "wire/dagcbor.h"
#include "wire/ipns.h"
#include "wire/pb.h"

#include "signer_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(kith_bytes in)
{
    kith_dagcbor_map m = kith_dagcbor_map_of(in);
    kith_dagcbor_entry e;
    while (kith_dagcbor_next(&m, &e)) {
        assert(e.key.len == 0 || (e.key.p > in.p && e.key.p + e.key.len <= in.p + in.len));
        assert(e.data.len == 0 || (e.data.p > in.p && e.data.p + e.data.len <= in.p + in.len));
    }
    assert(m.in.bad || (m.left == 0 && m.in.in.len == 0));
}

static void check(kith_bytes in)
{
    kith_ipns r, again;
    if (kith_ipns_open(in, &own, &r) != KITH_OK)
        return;
    kith_err e = kith_ipns_read(in, &again);
    assert(e == KITH_OK && kith_ipns_cmp(&r, &again) == 0 && kith_bytes_eq(r.value, again.value));
    assert(in.len <= KITH_IPNS_MAX && r.sequence <= INT64_MAX && r.ttl <= INT64_MAX);
    assert(r.eol_ns < 1000000000 && r.eol < 253402387200 && !kith_ipns_ended(&r, r.eol));
    assert(!kith_kad_ipns.better(NULL, in, in, in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t msg[KITH_IPNS_MAX + 16], record[KITH_IPNS_MAX + 128];
    uint8_t sig[KITH_ED25519_SIG_LEN];
    kith_bytes in = kith_bytes_of(data, size);
    kith_wr m = kith_wr_of(kith_span_of(msg, sizeof msg)),
            w = kith_wr_of(kith_span_of(record, sizeof record));
    walk(in);
    check(in);
    kith_put_str(&m, "ipns-signature:");
    kith_put_bytes(&m, in);
    if (m.bad || kith_signer_sign(signer, kith_wr_bytes(&m), sig) != KITH_OK)
        return 0;
    kith_pb_put_bytes(&w, 8, kith_bytes_of(sig, sizeof sig));
    kith_pb_put_bytes(&w, 9, in);
    check(kith_wr_bytes(&w));
    return 0;
}
