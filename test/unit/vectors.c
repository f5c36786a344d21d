/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading published test vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/vectors.h"

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *v = json_load_file(path, 0, &error);
    if (!v)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return v;
}

json_t *vectors_load(const char *name)
{
    const char *dir = getenv("KITH_VECTORS");
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir && *dir ? dir : KITH_VECTORS_DEFAULT, name);
    if (access(path, R_OK) != 0) {
        (void)fprintf(stderr, "skipped: no %s (set KITH_VECTORS to the folder of published vectors)\n", path);
        return NULL;
    }
    return load(path);
}

json_t *vectors_own(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/test/vectors/%s", KITH_SOURCE_DIR, name);
    return load(path);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    fail_msg("'%c' is not a hex digit", c);
    return -1;
}

void unhex(const char *hex, uint8_t *out, size_t len)
{
    assert_int_equal(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

const char *vectors_str(const json_t *object, const char *member)
{
    const char *s = json_string_value(json_object_get(object, member));
    if (!s)
        fail_msg("no string member \"%s\"", member);
    return s;
}

kith_span vectors_hex(const json_t *object, const char *member)
{
    const char *s = vectors_str(object, member);
    size_t len = strlen(s) / 2;
    kith_span out = kith_span_of(malloc(len ? len : 1), len);
    assert_non_null(out.p);
    unhex(s, out.p, len);
    return out;
}
