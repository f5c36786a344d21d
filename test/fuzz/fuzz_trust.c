/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the import of known peers. Every row that is read can be written, and says the same when it is read again; and the rules take it. */
#include <assert.h>

#include "node/trust_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const kith_trust_row *r)
{
    char text[KITH_TRUST_LINE_MAX], second[KITH_TRUST_LINE_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text)),
            w2 = kith_wr_of(kith_span_of(second, sizeof second));
    kith_trust_row back;
    const char *why;
    kith_err e = kith_trust_put_line(&w, r);
    assert(!e);
    kith_bytes in = kith_wr_bytes(&w);
    e = kith_trust_get_line(&in, &back, &why);
    assert(!e && in.len == 0);
    e = kith_trust_put_line(&w2, &back);
    assert(!e && kith_bytes_eq(kith_wr_bytes(&w), kith_wr_bytes(&w2)));
}

static void decide(const kith_trust_row *r)
{
    char why[KITH_REASON_MAX] = "";
    kith_trust_row next;
    kith_contact c = {.peer = r->peer, .pq = r->former, .suite = &kith_noise_suites[0]};
    for (int p = KITH_PQ_PREFER; p <= KITH_PQ_OFF; p++) {
        kith_err e = kith_trust_decide(r, &c, (kith_pq_policy)p, 1, &next, why);
        assert(!e == !why[0]);
        why[0] = '\0';
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_bytes in = kith_bytes_of(data, size);
    const char *why = NULL;
    if (kith_trust_get_head(&in, &why)) {
        assert(why);
        in = kith_bytes_of(data, size);
    }
    kith_trust_row r;
    for (kith_err e; (e = kith_trust_get_line(&in, &r, &why)) != KITH_ENOTFOUND;) {
        if (e) {
            assert(why);
            continue;
        }
        again(&r);
        decide(&r);
    }
    return 0;
}
