/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes share strings: as text, and (first byte odd) as JSON that gets its base64 here. What is read can be written and read again. */
#include <assert.h>

#include "host/share_string.h"
#include "wire/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[2 * KITH_SHARE_STRING_MAX];
    if (size == 0 || size > KITH_SHARE_STRING_MAX)
        return 0;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    if (data[0] & 1)
        kith_base_put(&w, KITH_BASE64URL, kith_bytes_of(data + 1, size - 1));
    else
        kith_put_bytes(&w, kith_bytes_of(data + 1, size - 1));
    kith_share_string s, back;
    const char *why = NULL;
    (void)kith_share_string_like(kith_wr_bytes(&w));
    if (kith_share_string_parse(kith_wr_bytes(&w), &s, &why)) {
        assert(why);
        return 0;
    }
    assert(s.addr_count <= KITH_TICKET_ADDRS_MAX && s.code[0] &&
           strlen(s.code) <= KITH_SHARE_STRING_CODE_MAX);
    w = kith_wr_of(kith_span_of(text, KITH_SHARE_STRING_MAX));
    kith_err e = kith_share_string_put(&s, &w);
    assert(e == KITH_OK && kith_share_string_like(kith_wr_bytes(&w)));
    e = kith_share_string_parse(kith_wr_bytes(&w), &back, &why);
    assert(e == KITH_OK && back.addr_count == s.addr_count && kith_peer_id_eq(&back.peer, &s.peer));
    assert(strcmp(back.code, s.code) == 0 && memcmp(back.key, s.key, sizeof s.key) == 0);
    return 0;
}
