/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two lines and a key. */
#include "wire/swarm_key.h"

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/xsalsa20.h"
#include "wire/multibase.h"

#define HEAD "/key/swarm/psk/1.0.0/"

static kith_bytes next_line(kith_bytes *in)
{
    size_t n = 0;
    while (n < in->len && in->p[n] != '\n')
        n++;
    kith_bytes line = kith_bytes_of(in->p, n);
    *in = kith_bytes_skip(*in, n < in->len ? n + 1 : n);
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static kith_bytes trimmed(kith_bytes text)
{
    while (text.len > 0 && is_space(text.p[text.len - 1]))
        text.len--;
    return text;
}

static bool from_text(kith_bytes text, kith_base base, uint8_t key[KITH_SWARM_KEY_LEN])
{
    kith_wr w = kith_wr_of(kith_span_of(key, KITH_SWARM_KEY_LEN));
    return kith_base_get(text, base, &w) == KITH_OK && w.len == KITH_SWARM_KEY_LEN;
}

/* 32 bytes are 43 characters and one of padding, which go insists on. */
static kith_bytes unpadded(kith_bytes text)
{
    return text.len > 0 && text.p[text.len - 1] == '=' ? kith_bytes_of(text.p, text.len - 1)
                                                       : (kith_bytes){0};
}

static kith_err bad(const char **why, const char *what)
{
    *why = what;
    return KITH_EFORMAT;
}

static kith_err decode(kith_bytes in, uint8_t key[KITH_SWARM_KEY_LEN], const char **why)
{
    if (!kith_bytes_eq_str(next_line(&in), HEAD))
        return bad(why, "its first line is not " HEAD);
    kith_bytes coding = next_line(&in);
    if (kith_bytes_eq_str(coding, "/base16/"))
        return from_text(trimmed(in), KITH_BASE16, key)
                   ? KITH_OK
                   : bad(why, "its third line is not a key of 64 hex digits");
    if (kith_bytes_eq_str(coding, "/base64/"))
        return from_text(unpadded(trimmed(in)), KITH_BASE64, key)
                   ? KITH_OK
                   : bad(why, "its third line is not a key of 32 bytes in base64");
    if (!kith_bytes_eq_str(coding, "/bin/"))
        return bad(why, "its second line is none of /base16/, /base64/ and /bin/");
    if (in.len < KITH_SWARM_KEY_LEN || trimmed(kith_bytes_skip(in, KITH_SWARM_KEY_LEN)).len > 0)
        return bad(why, "its key does not have 32 bytes");
    memcpy(key, in.p, KITH_SWARM_KEY_LEN);
    return KITH_OK;
}

kith_err kith_swarm_key_parse(kith_bytes in, uint8_t key[KITH_SWARM_KEY_LEN], const char **why)
{
    uint8_t read[KITH_SWARM_KEY_LEN];
    kith_err e = decode(in, read, why);
    if (!e)
        memcpy(key, read, sizeof read);
    kith_wipe(read, sizeof read);
    return e;
}

void kith_swarm_key_put(const uint8_t key[KITH_SWARM_KEY_LEN], kith_wr *w)
{
    kith_put_str(w, HEAD "\n/base16/\n");
    kith_put_hex(w, kith_bytes_of(key, KITH_SWARM_KEY_LEN));
    kith_put_u8(w, '\n');
}

kith_err kith_swarm_key_print(const uint8_t key[KITH_SWARM_KEY_LEN], uint8_t out[KITH_SWARM_KEY_PRINT_LEN])
{
    uint8_t block[KITH_SALSA20_BLOCK];
    kith_salsa20_block(block, key, (const uint8_t *)"finprint");
    kith_err e =
        kith_shake128(kith_bytes_of(block, sizeof block), kith_span_of(out, KITH_SWARM_KEY_PRINT_LEN));
    kith_wipe(block, sizeof block);
    return e;
}
