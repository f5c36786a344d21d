/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The identity file, and (when it does not begin like one) its exported text: any bytes are read or refused with a reason, and what was read
 * is written and read again the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text of an identity, in a block of its own. */
static kith_span text_of(const kith_identity *id)
{
    kith_span text = kith_span_of(malloc(KITH_IDENTITY_TEXT_MAX), KITH_IDENTITY_TEXT_MAX);
    assert(text.p);
    kith_wr w = kith_wr_of(text);
    kith_identity_put(id, &w);
    assert(!w.bad);
    text.len = w.len;
    return text;
}

static void check(const kith_identity *id)
{
    const char *why = NULL;
    kith_identity *again = NULL;
    kith_identity_facts f = kith_identity_facts_of(id);
    assert(f.peer.len > 0 && f.successors <= KITH_SUCCESSORS_MAX && f.locked == f.encrypted);
    if (f.alg == KITH_SIG_NONE)
        return; /* of version 1: it is written only with a second key */
    kith_span text = text_of(id);
    kith_err e = kith_identity_parse(kith_span_bytes(text), &again, &why);
    assert(e == KITH_OK);
    kith_span same = text_of(again);
    assert(kith_bytes_eq(kith_span_bytes(text), kith_span_bytes(same)));
    free(text.p), free(same.p);
    kith_identity_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "kith identity";
    const char *why = NULL;
    kith_identity *id = NULL;
    if (kith_crypto_init())
        return 0;
    bool bare = size >= sizeof start - 1 && memcmp(data, start, sizeof start - 1) == 0;
    kith_err e = bare ? kith_identity_parse(kith_bytes_of(data, size), &id, &why)
                      : kith_identity_parse_armour(kith_bytes_of(data, size), &id, &why);
    assert(!e == !why && !e == !!id);
    if (id)
        check(id);
    kith_identity_free(id);
    return 0;
}
