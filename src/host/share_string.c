/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading and writing share strings. */
#include "host/share_string.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "host/json.h"
#include "wire/multibase.h"

static bool blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool kith_share_string_like(kith_bytes text)
{
    while (text.len > 0 && blank(text.p[0]))
        text = kith_bytes_skip(text, 1);
    return text.len > 3 && memcmp(text.p, "eyJ", 3) == 0; /* {" */
}

/* Both alphabets, padding or none, and white space anywhere. */
static kith_err decode(kith_bytes text, kith_wr *out)
{
    uint8_t plain[KITH_SHARE_STRING_MAX];
    kith_wr w = kith_wr_of(kith_span_of(plain, sizeof plain));
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (!blank(c))
            kith_put_u8(&w, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    kith_bytes b = kith_wr_bytes(&w);
    for (size_t pad = 0; pad < 2 && b.len > 0 && b.p[b.len - 1] == '='; pad++)
        b.len--;
    kith_err e = w.bad ? KITH_EFORMAT : kith_base_get(b, KITH_BASE64, out);
    kith_wipe(plain, sizeof plain);
    return e ? KITH_EFORMAT : KITH_OK;
}

static kith_bytes text_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? kith_bytes_of(json_string_value(v), json_string_length(v)) : (kith_bytes){0};
}

static bool read_code(kith_bytes text, char out[KITH_SHARE_STRING_CODE_MAX + 1])
{
    for (size_t i = 0; i < text.len && i < KITH_SHARE_STRING_CODE_MAX; i++) {
        uint8_t c = text.p[i];
        if (c != '-' && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z'))
            return false;
        out[i] = (char)c;
    }
    return text.len > 0 && text.len <= KITH_SHARE_STRING_CODE_MAX;
}

static void read_addrs(const json_t *list, kith_share_string *out)
{
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        kith_maddr_part relay;
        kith_maddr *a = &out->addrs[out->addr_count];
        kith_peer_id id;
        if (out->addr_count == KITH_TICKET_ADDRS_MAX)
            return;
        if (!json_is_string(v) ||
            kith_maddr_from_text(kith_bytes_of(json_string_value(v), json_string_length(v)), a, NULL))
            continue;
        if (kith_maddr_peer(a, &id) && (!kith_peer_id_eq(&id, &out->peer) || kith_maddr_set_peer(a, NULL)))
            continue;
        if (kith_maddr_find(a, KITH_MA_P2P, &relay))
            continue;
        out->addr_count++;
    }
}

static const char *read_fields(const json_t *o, kith_share_string *out)
{
    uint8_t key[KITH_SHARE_STRING_KEY_LEN + 1];
    kith_wr w = kith_wr_of(kith_span_of(key, sizeof key));
    if (!json_is_object(o))
        return "it is no JSON object";
    if (kith_peer_id_from_text(text_of(o, "peer_id"), &out->peer))
        return "its peer_id is none";
    bool ok = decode(text_of(o, "encryption_key"), &w) == KITH_OK && w.len == KITH_SHARE_STRING_KEY_LEN;
    if (ok)
        memcpy(out->key, key, sizeof out->key);
    kith_wipe(key, sizeof key);
    if (!ok)
        return "its encryption_key is not 32 bytes in base64";
    if (!read_code(text_of(o, "share_code"), out->code))
        return "its share_code is none";
    read_addrs(json_object_get(o, "addresses"), out);
    return NULL;
}

kith_err kith_share_string_parse(kith_bytes text, kith_share_string *out, const char **why)
{
    uint8_t json[KITH_SHARE_STRING_MAX];
    kith_wr w = kith_wr_of(kith_span_of(json, sizeof json));
    *out = (kith_share_string){0};
    *why = text.len > 2 * KITH_SHARE_STRING_MAX ? "it is too long" : NULL;
    if (!*why && decode(text, &w))
        *why = "it is not base64";
    json_t *o = *why ? NULL : json_loadb((const char *)json, w.len, JSON_REJECT_DUPLICATES, NULL);
    if (!*why)
        *why = read_fields(o, out);
    json_decref(o);
    kith_wipe(json, sizeof json);
    return *why ? KITH_EFORMAT : KITH_OK;
}

kith_err kith_share_string_put(const kith_share_string *s, kith_wr *w)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1], key[KITH_SHARE_STRING_KEY_LEN * 2];
    kith_wr k = kith_wr_of(kith_span_of(key, sizeof key - 1));
    json_t *addrs = json_array();
    for (size_t i = 0; i < s->addr_count; i++) {
        kith_maddr_text(&s->addrs[i], addr);
        json_array_append_new(addrs, json_string(addr));
    }
    kith_peer_id_text(&s->peer, peer);
    kith_base_put(&k, KITH_BASE64URL, kith_bytes_of(s->key, sizeof s->key));
    key[k.len] = 0;
    json_t *o = json_pack("{s:s, s:o, s:s, s:s}", "peer_id", peer, "addresses", addrs, "encryption_key", key,
                          "share_code", s->code);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        kith_base_put(w, KITH_BASE64URL, kith_bytes_str(text));
    kith_err e = !text ? KITH_ENOMEM : w->bad ? KITH_ESPACE : KITH_OK;
    if (text)
        kith_wipe(text, strlen(text));
    kith_wipe(key, sizeof key);
    free(text);
    json_decref(o);
    return e;
}

void kith_share_string_proof(const kith_share_string *s, uint8_t tag[KITH_PAKE_TAG_LEN],
                             uint8_t secret[KITH_PAKE_SECRET_LEN])
{
    static const char name[] = "kith share string tag", label[] = "kith share string 1";
    uint8_t buf[sizeof name + KITH_SHARE_STRING_CODE_MAX], hash[KITH_SHA256_LEN];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_put_str(&w, name);
    kith_put_str(&w, s->code);
    kith_sha256(kith_wr_bytes(&w), hash);
    memcpy(tag, hash, KITH_PAKE_TAG_LEN);
    kith_hkdf_sha256(kith_bytes_of(tag, KITH_PAKE_TAG_LEN), kith_bytes_of(s->key, sizeof s->key),
                     kith_bytes_str(label), kith_span_of(secret, KITH_PAKE_SECRET_LEN));
}
