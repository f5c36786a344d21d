/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Published test vectors: where they lie, and reading JSON and hex. */
#ifndef KITH_TEST_VECTORS_H
#define KITH_TEST_VECTORS_H

#include <jansson.h>

#include "base/bytes.h"

/* Parses <vectors>/<name>; the folder is $KITH_VECTORS or the build's default. NULL, with the reason printed:
 * the file is not there. A file that is there and does not parse fails the test. The caller drops the
 * reference. */
json_t *vectors_load(const char *name);
/* The same for test/vectors/<name>, which is always there. */
json_t *vectors_own(const char *name);

/* Loads or skips the running test. */
#define VECTORS_OR_SKIP(var, name)    \
    json_t *var = vectors_load(name); \
    if (!var) {                       \
        skip();                       \
        return;                       \
    }

/* Hex of a member into a heap block of exactly that size (so that a sanitizer sees the first byte beyond);
 * fails the test when the member is missing or not hex. Free .p. */
kith_span vectors_hex(const json_t *object, const char *member);
/* Hex of a C string; for known answers in tests. Fails the test unless it is exactly len bytes. */
void unhex(const char *hex, uint8_t *out, size_t len);
/* String member, never NULL. */
const char *vectors_str(const json_t *object, const char *member);

#endif
