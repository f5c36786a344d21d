/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From two identities and a session to twenty digits. */
#include "node/verify.h"

#include <assert.h>

#include "crypto/hash.h"

#define LABEL "kith-verify-1"
#define INPUT_MAX (sizeof LABEL + KITH_CHANNEL_LEN + 2 * (2 + KITH_PEER_ID_MAX + KITH_PQ_ID_LEN))

static void put_end(kith_wr *w, const kith_verify_end *e)
{
    kith_put_lp(w, kith_peer_id_bytes(&e->peer));
    kith_put_lp(w, kith_pq_id_bytes(&e->pq));
}

void kith_verify_text(const uint8_t channel[KITH_CHANNEL_LEN], const kith_verify_end *a,
                      const kith_verify_end *b, char out[KITH_VERIFY_TEXT_LEN + 1])
{
    uint8_t input[INPUT_MAX], digest[KITH_SHA256_LEN], digits[KITH_VERIFY_DIGITS];
    kith_wr w = kith_wr_of(kith_span_of(input, sizeof input));
    bool first = kith_bytes_cmp(kith_peer_id_bytes(&a->peer), kith_peer_id_bytes(&b->peer)) <= 0;
    kith_put_str(&w, LABEL);
    kith_put_bytes(&w, kith_bytes_of(channel, KITH_CHANNEL_LEN));
    put_end(&w, first ? a : b);
    put_end(&w, first ? b : a);
    assert(!w.bad);
    kith_sha256(kith_wr_bytes(&w), digest);
    /* The digest as one big number, modulo 10^20: divided by ten, digit after digit. */
    for (int d = KITH_VERIFY_DIGITS - 1; d >= 0; d--) {
        unsigned rest = 0;
        for (size_t i = 0; i < sizeof digest; i++) {
            unsigned v = rest << 8 | digest[i];
            digest[i] = (uint8_t)(v / 10);
            rest = v % 10;
        }
        digits[d] = (uint8_t)rest;
    }
    w = kith_wr_of(kith_span_of(out, KITH_VERIFY_TEXT_LEN));
    for (size_t i = 0; i < KITH_VERIFY_DIGITS; i++) {
        if (i && i % 5 == 0)
            kith_put_u8(&w, ' ');
        kith_put_u8(&w, (uint8_t)('0' + digits[i]));
    }
    assert(!w.bad && w.len == KITH_VERIFY_TEXT_LEN);
    out[w.len] = '\0';
}

static size_t next_digit(kith_bytes in, size_t at)
{
    while (at < in.len && (in.p[at] == ' ' || in.p[at] == '-'))
        at++;
    return at;
}

bool kith_verify_same(const char *number, kith_bytes typed)
{
    kith_bytes want = kith_bytes_str(number);
    size_t i = next_digit(want, 0), k = next_digit(typed, 0);
    while (i < want.len && k < typed.len && want.p[i] == typed.p[k]) {
        i = next_digit(want, i + 1);
        k = next_digit(typed, k + 1);
    }
    return i == want.len && k == typed.len;
}
