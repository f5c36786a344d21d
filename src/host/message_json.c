/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages to and from JSON. */
#include "host/message_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/json.h"
#include "host/trust_methods.h"
#include "wire/multibase.h"

#define ESCAPED_MAX (2u << 20) /* bytes of a text as JSON; a longer one is told in base64 */
#define WAIT_MAX_MS 3600000

json_t *kith_messages_id(const uint8_t id[KITH_MESSAGE_ID_LEN])
{
    char text[2 * KITH_MESSAGE_ID_LEN];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_hex(&w, kith_bytes_of(id, KITH_MESSAGE_ID_LEN));
    return json_stringn(text, sizeof text);
}

bool kith_messages_id_parse(const char *text, uint8_t out[KITH_MESSAGE_ID_LEN])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_MESSAGE_ID_LEN));
    return strlen(text) == 2 * KITH_MESSAGE_ID_LEN &&
           kith_base_get(kith_bytes_str(text), KITH_BASE16, &w) == KITH_OK;
}

/* ---- what came ---- */

static json_t *json_base64(kith_bytes b)
{
    size_t room = b.len / 3 * 4 + 4;
    char *text = malloc(room);
    kith_wr w = kith_wr_of(kith_span_of(text, text ? room : 0));
    kith_base_put(&w, KITH_BASE64URL, b);
    json_t *o = json_stringn(text, w.len);
    free(text);
    return o;
}

/* Control characters take six bytes as JSON. */
static bool escapes_well(kith_bytes b)
{
    size_t len = b.len;
    for (size_t i = 0; i < b.len; i++)
        len += b.p[i] < 0x20 || b.p[i] == 0x7f ? 5 : b.p[i] == '"' || b.p[i] == '\\' ? 1 : 0;
    return b.len == 0 || (len <= ESCAPED_MAX && !memchr(b.p, 0, b.len));
}

/* No more than KITH_MESSAGE_SHOWN_MAX bytes of a text, whole characters. */
static kith_bytes shown(kith_bytes text)
{
    size_t n = text.len < KITH_MESSAGE_SHOWN_MAX ? text.len : KITH_MESSAGE_SHOWN_MAX;
    while (n < text.len && n > 0 && (text.p[n] & 0xc0) == 0x80)
        n--;
    return kith_bytes_of(text.p, n);
}

json_t *kith_json_message(const kith_trust *trust, const kith_message *m, const char *event,
                          uint64_t received, bool brief)
{
    json_t *o =
        json_pack("{s:s, s:o, s:I, s:b, s:I}", "event", event, "peer", kith_json_peer(&m->source), "received",
                  (json_int_t)received, "is_text", m->text, "bytes", (json_int_t)m->payload.len);
    if (m->type.len > 0) {
        json_object_set_new(o, "message", kith_messages_id(m->id));
        json_object_set_new(o, "type", kith_json_bytes(m->type));
        json_object_set_new(o, "priority", json_integer(m->priority));
        json_object_set_new(o, "time", json_integer((json_int_t)m->time));
        json_object_set_new(o, "ttl", json_integer(m->ttl));
    }
    kith_json_add_trust(o, trust, &m->source);
    if (m->answers)
        json_object_set_new(o, "reply_to", kith_messages_id(m->reply_to));
    kith_bytes text = brief ? shown(m->payload) : m->payload;
    if (brief)
        json_object_set_new(o, "whole", json_boolean(m->text && text.len == m->payload.len));
    if (m->text && escapes_well(text))
        json_object_set_new(o, "text", kith_json_bytes(text));
    else if (!brief)
        json_object_set_new(o, "base64", json_base64(m->payload));
    return o;
}

/* ---- what is to be said ---- */

static const char *take_content(const json_t *params, size_t max, kith_message_given *g, kith_err *e)
{
    const json_t *text = json_object_get(params, "text"), *base64 = json_object_get(params, "base64");
    size_t len = json_string_length(json_is_string(text) ? text : base64);
    *e = KITH_EFORMAT;
    if (!json_is_string(text) == !json_is_string(base64))
        return "either 'text' or 'base64' is what a message says";
    g->payload = malloc(len + 1);
    if (!g->payload) {
        *e = KITH_ENOMEM;
        return "no memory";
    }
    kith_wr w = kith_wr_of(kith_span_of(g->payload, len + 1));
    g->head.text = json_is_string(text) || json_is_true(json_object_get(params, "is_text"));
    if (json_is_string(text))
        kith_put_bytes(&w, kith_bytes_of(json_string_value(text), len));
    else if (kith_base_get(kith_bytes_of(json_string_value(base64), len), KITH_BASE64URL, &w))
        return "'base64' is not base64url without padding";
    g->head.payload = kith_wr_bytes(&w);
    *e = KITH_ELIMIT;
    if (w.len <= max)
        return NULL;
    return max < KITH_MESSAGE_PAYLOAD_MAX
               ? "a message to a topic has at most 960 KiB; 'kith share' and 'kith pipe' send what is larger"
               : "a message has at most 1 MiB; 'kith share' and 'kith pipe' send what is larger";
}

static bool number_in(const json_t *params, const char *name, json_int_t fallback, json_int_t min,
                      json_int_t max, json_int_t *out)
{
    const json_t *v = json_object_get(params, name);
    *out = v ? json_integer_value(v) : fallback;
    return (!v || json_is_integer(v)) && *out >= min && *out <= max;
}

const char *kith_message_given_of(const json_t *params, uint32_t ttl_max, size_t payload_max,
                                  kith_message_given *g, kith_err *e)
{
    const char *type = json_string_value(json_object_get(params, "type"));
    const char *answers = json_string_value(json_object_get(params, "reply_to"));
    json_int_t priority, ttl, wait;
    *g = (kith_message_given){0};
    *e = KITH_EFORMAT;
    if (!type)
        type = "text";
    if (!kith_message_type_ok(kith_bytes_str(type)))
        return "a type is 1 to 64 of a-z, 0-9, '-', '.', '_' and '/', beginning with a letter";
    snprintf(g->type, sizeof g->type, "%s", type);
    if (!number_in(params, "priority", KITH_MESSAGE_PRIORITY_DEFAULT, 0, KITH_MESSAGE_PRIORITY_MAX,
                   &priority))
        return "'priority' must be an integer from 0 to 10";
    if (!number_in(params, "ttl", KITH_MESSAGE_TTL_DEFAULT, 1, ttl_max, &ttl))
        return ttl_max < KITH_MESSAGE_TTL_MAX ? "'ttl' must be seconds from 1 to 3600 for a topic"
                                              : "'ttl' must be seconds from 1 to 604800, a week";
    if (!number_in(params, "wait_ms", 0, -1, WAIT_MAX_MS, &wait))
        return "'wait_ms' must be milliseconds up to 3600000, or -1";
    g->head.answers = answers != NULL;
    if (answers && !kith_messages_id_parse(answers, g->head.reply_to))
        return "'reply_to' must be the id of a message, 32 hex digits";
    g->head.type = kith_bytes_str(g->type);
    g->head.priority = (uint8_t)priority;
    g->head.ttl = (uint32_t)ttl;
    g->wait_ms = wait;
    return take_content(params, payload_max, g, e);
}

void kith_message_refuse(kith_rpc_call *call, kith_err e, const char *wrong)
{
    if (e == KITH_EFORMAT)
        kith_rpc_bad_params(call, "%s", wrong);
    else
        kith_rpc_error(call, e, NULL, "%s", wrong);
}
