/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Strict readers over jansson, whose memory is wiped when it goes: keys pass through it. */
#include "host/qkd_msg.h"

#include <jansson.h>

#include "crypto/crypto.h"
#include "host/wiping.h"
#include "wire/multibase.h"

/* ---- JSON ---- */

/* jansson's heap is the process's; it is ours for one parse on the loop's thread, where all JSON of the host is. */
typedef struct heap {
    json_malloc_t malloc_fn;
    json_free_t free_fn;
} heap;

static heap borrow_heap(void)
{
    heap was;
    json_get_alloc_funcs(&was.malloc_fn, &was.free_fn);
    json_set_alloc_funcs(kith_wiping_malloc, kith_wiping_free);
    return was;
}

static void return_heap(heap was)
{
    json_set_alloc_funcs(was.malloc_fn, was.free_fn);
}

static json_t *load(kith_bytes body)
{
    if (body.len == 0 || body.len > KITH_QKD_REPLY_MAX)
        return NULL;
    return json_loadb((const char *)body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
}

static kith_bytes text_of(const json_t *value)
{
    return json_is_string(value) ? kith_bytes_of(json_string_value(value), json_string_length(value))
                                 : (kith_bytes){0};
}

/* An optional member that must be an object. */
static bool extension_ok(const json_t *in, const char *name)
{
    const json_t *x = json_object_get(in, name);
    return !x || json_is_object(x);
}

static bool says_simulated(const json_t *in, const char *extension)
{
    return json_is_true(json_object_get(json_object_get(in, extension), "simulated"));
}

/* ---- ids ---- */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool kith_qkd_is_id(kith_bytes text)
{
    if (text.len != KITH_QKD_ID_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text.p[i] != '-' : !is_hex(text.p[i]))
            return false;
    }
    return true;
}

bool kith_qkd_same_id(const char *a, const char *b)
{
    for (size_t i = 0; i < KITH_QKD_ID_LEN; i++) {
        char x = a[i] >= 'A' && a[i] <= 'F' ? (char)(a[i] | 0x20) : a[i];
        char y = b[i] >= 'A' && b[i] <= 'F' ? (char)(b[i] | 0x20) : b[i];
        if (x != y)
            return false;
    }
    return true;
}

/* ---- keys ---- */

/* Base64 with padding, RFC 4648 clause 4: 32 bytes are 43 characters and one '='. */
static bool decode_key(kith_bytes text, uint8_t out[KITH_QKD_KEY_LEN])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_QKD_KEY_LEN));
    if (text.len != 44 || text.p[43] != '=')
        return false;
    text.len--;
    return kith_base_get(text, KITH_BASE64, &w) == KITH_OK && w.len == KITH_QKD_KEY_LEN;
}

static const char *read_key(const json_t *container, const char *id, kith_qkd_key *out)
{
    if (!json_is_object(container))
        return "the KME's reply is not a JSON object";
    const json_t *keys = json_object_get(container, "keys");
    if (!json_is_array(keys) || !extension_ok(container, "key_container_extension"))
        return "the KME's reply is not a key container";
    if (json_array_size(keys) != 1)
        return "the KME's reply does not hold exactly the one key that was asked for";
    const json_t *key = json_array_get(keys, 0);
    if (!json_is_object(key) || !extension_ok(key, "key_ID_extension") || !extension_ok(key, "key_extension"))
        return "the KME's reply is not a key container";
    kith_bytes name = text_of(json_object_get(key, "key_ID"));
    if (!kith_qkd_is_id(name))
        return "the KME's reply has a key_ID that is no UUID";
    memcpy(out->id, name.p, KITH_QKD_ID_LEN);
    out->id[KITH_QKD_ID_LEN] = '\0';
    if (id && !kith_qkd_same_id(id, out->id))
        return "the KME's reply has another key than the one that was asked for";
    if (!decode_key(text_of(json_object_get(key, "key")), out->key))
        return "the KME's reply has a key that is not 256 bits in base64";
    out->simulated = says_simulated(container, "key_container_extension");
    return NULL;
}

kith_err kith_qkd_parse_key(kith_bytes body, const char *id, kith_qkd_key *out, const char **why)
{
    kith_qkd_key found = {0};
    heap was = borrow_heap();
    json_t *root = load(body);
    *why = root ? read_key(root, id, &found) : "the KME's reply is not JSON";
    json_decref(root);
    return_heap(was);
    if (!*why)
        *out = found;
    kith_wipe(&found, sizeof found);
    return *why ? KITH_EPROTO : KITH_OK;
}

/* ---- status ---- */

static bool get_name(const json_t *in, const char *name, char out[KITH_QKD_NAME_MAX + 1])
{
    kith_bytes text = text_of(json_object_get(in, name));
    if (text.len == 0 || text.len > KITH_QKD_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < 0x20 || text.p[i] > 0x7e)
            return false;
    }
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return true;
}

static bool get_count(const json_t *in, const char *name, uint32_t *out)
{
    const json_t *value = json_object_get(in, name);
    json_int_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < 0 || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static const char *read_status(const json_t *in, kith_qkd_status *out)
{
    if (!json_is_object(in) || !extension_ok(in, "status_extension"))
        return "the KME's reply is not a status";
    if (!get_name(in, "source_KME_ID", out->source_kme) || !get_name(in, "target_KME_ID", out->target_kme) ||
        !get_name(in, "master_SAE_ID", out->master_sae) || !get_name(in, "slave_SAE_ID", out->slave_sae))
        return "the KME's status lacks an id, or has one that cannot be printed";
    if (!get_count(in, "key_size", &out->key_size) ||
        !get_count(in, "stored_key_count", &out->stored_key_count) ||
        !get_count(in, "max_key_count", &out->max_key_count) ||
        !get_count(in, "max_key_per_request", &out->max_key_per_request) ||
        !get_count(in, "max_key_size", &out->max_key_size) ||
        !get_count(in, "min_key_size", &out->min_key_size) ||
        !get_count(in, "max_SAE_ID_count", &out->max_sae_id_count))
        return "the KME's status lacks a number, or has one out of range";
    out->simulated = says_simulated(in, "status_extension");
    return NULL;
}

kith_err kith_qkd_parse_status(kith_bytes body, kith_qkd_status *out, const char **why)
{
    kith_qkd_status found = {0};
    json_t *root = load(body);
    *why = root ? read_status(root, &found) : "the KME's reply is not JSON";
    json_decref(root);
    if (!*why)
        *out = found;
    return *why ? KITH_EPROTO : KITH_OK;
}

/* ---- errors ---- */

void kith_qkd_parse_error(kith_bytes body, char out[KITH_QKD_TEXT_MAX])
{
    json_t *root = load(body);
    kith_bytes text = text_of(json_object_get(root, "message"));
    size_t n = text.len < KITH_QKD_TEXT_MAX - 1 ? text.len : KITH_QKD_TEXT_MAX - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text.p[i] >= 0x20 && text.p[i] <= 0x7e ? (char)text.p[i] : '?';
    out[n] = '\0';
    json_decref(root);
}
