/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes invitations: as text, and (first byte odd) as a body that gets its checksum and base64 here. What parses can be written and parsed again. */
#include <assert.h>

#include "apps/invite.h"
#include "crypto/crypto.h"
#include "wire/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[2048], digest[KITH_SHA256_LEN];
    static char text[4096];
    static bool ready;
    if (!ready && kith_crypto_init())
        return 0;
    ready = true;
    if (size == 0 || size > 1500)
        return 0;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    if (data[0] & 1) {
        kith_wr b = kith_wr_of(kith_span_of(body, sizeof body));
        kith_put_bytes(&b, kith_bytes_of(data + 1, size - 1));
        kith_sha256(kith_bytes_of(data + 1, size - 1), digest);
        kith_put_bytes(&b, kith_bytes_of(digest, 4));
        kith_put_str(&w, KITH_INVITE_PREFIX);
        kith_base_put(&w, KITH_BASE64URL, kith_wr_bytes(&b));
    } else {
        kith_put_bytes(&w, kith_bytes_of(data + 1, size - 1));
    }
    kith_invite v, back;
    const char *why = NULL;
    kith_err e = kith_invite_parse(kith_wr_bytes(&w), &v, &why);
    assert(!e == !why);
    if (e)
        return 0;
    assert(v.addr_count <= KITH_INVITE_ADDRS_MAX && v.peer.len && v.expires);
    w = kith_wr_of(kith_span_of(text, sizeof text));
    e = kith_invite_text(&v, &w);
    assert(!e);
    e = kith_invite_parse(kith_wr_bytes(&w), &back, &why);
    assert(!e && kith_peer_id_eq(&v.peer, &back.peer) && kith_pq_id_eq(&v.pq, &back.pq) &&
           v.expires == back.expires);
    assert(memcmp(v.secret, back.secret, sizeof v.secret) == 0);
    return 0;
}
