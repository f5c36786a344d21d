/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON-RPC: from message to method, and back. */
#include "host/rpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "host/json.h"

struct kith_rpc_client {
    const kith_rpc_method *methods;
    void *ctx;
    kith_rpc_send send; /* NULL once the client is gone */
    void *send_ctx;
    size_t (*unsent)(void *send_ctx);
    kith_list calls;
    size_t call_count;
    bool gone;
};

struct kith_rpc_call {
    kith_link link;
    kith_rpc_client *client;
    json_t *id;
    json_t *params;
    void (*cancel)(void *state);
    void *cancel_state;
    bool cancelled;
};

kith_rpc_client *kith_rpc_client_new(const kith_rpc_method *methods, void *ctx, kith_rpc_send send,
                                     void *send_ctx)
{
    kith_rpc_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->methods = methods;
    c->ctx = ctx;
    c->send = send;
    c->send_ctx = send_ctx;
    kith_list_init(&c->calls);
    return c;
}

void kith_rpc_client_on_unsent(kith_rpc_client *c, size_t (*unsent)(void *send_ctx))
{
    c->unsent = unsent;
}

size_t kith_rpc_unsent(const kith_rpc_call *call)
{
    const kith_rpc_client *c = call->client;
    return c->send && c->unsent ? c->unsent(c->send_ctx) : 0;
}

static void cancel(kith_rpc_call *call)
{
    void (*fn)(void *state) = call->cancel;
    if (call->cancelled)
        return;
    call->cancelled = true;
    call->cancel = NULL;
    if (fn)
        fn(call->cancel_state);
}

static void client_release(kith_rpc_client *c)
{
    if (c->gone && c->call_count == 0)
        free(c);
}

void kith_rpc_client_free(kith_rpc_client *c)
{
    if (!c || c->gone)
        return;
    c->send = NULL;
    c->call_count++; /* so that the end of the last call does not free the list that is walked */
    KITH_EACH (&c->calls, k)
        cancel(KITH_OF(k, kith_rpc_call, link));
    c->call_count--;
    c->gone = true;
    client_release(c);
}

size_t kith_rpc_calls(const kith_rpc_client *c)
{
    return c->call_count;
}

static void say(kith_rpc_client *c, json_t *message)
{
    if (c->send && message)
        c->send(c->send_ctx, message);
    json_decref(message);
}

static json_t *id_or_null(json_t *id)
{
    return id ? json_incref(id) : json_null();
}

/* data may be NULL and is taken. */
static void say_error(kith_rpc_client *c, json_t *id, int code, const char *text, json_t *data)
{
    json_t *error = json_pack("{s:i, s:o}", "code", code, "message", kith_json_text(text));
    if (data)
        json_object_set_new(error, "data", data);
    say(c, json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "error", error, "id", id_or_null(id)));
}

/* ---- the answers of methods ---- */

/* From here on nobody cancels it. */
static void call_ending(kith_rpc_call *call)
{
    kith_link_remove(&call->link);
    call->cancelled = true;
}

static void call_end(kith_rpc_call *call)
{
    kith_rpc_client *c = call->client;
    c->call_count--;
    json_decref(call->id);
    json_decref(call->params);
    free(call);
    client_release(c);
}

void kith_rpc_result(kith_rpc_call *call, json_t *result)
{
    call_ending(call);
    say(call->client, json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result ? result : json_null(),
                                "id", call->id));
    call_end(call);
}

void kith_rpc_error(kith_rpc_call *call, kith_err err, const char *stage, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *data = json_pack("{s:s}", "error", kith_err_name(err));
    if (stage)
        json_object_set_new(data, "stage", json_string(stage));
    call_ending(call);
    say_error(call->client, call->id, KITH_RPC_FAILED - (int)err, text, data);
    call_end(call);
}

void kith_rpc_bad_params(kith_rpc_call *call, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    call_ending(call);
    say_error(call->client, call->id, KITH_RPC_PARAMS, text, NULL);
    call_end(call);
}

void kith_rpc_event(kith_rpc_call *call, json_t *event)
{
    json_object_set(event, "id", call->id);
    say(call->client, json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", event));
}

void kith_rpc_on_cancel(kith_rpc_call *call, void (*fn)(void *state), void *state)
{
    call->cancel = fn;
    call->cancel_state = state;
}

/* ---- messages ---- */

static kith_rpc_call *find_call(const kith_rpc_client *c, const json_t *id)
{
    KITH_EACH (&c->calls, k) {
        kith_rpc_call *call = KITH_OF(k, kith_rpc_call, link);
        if (json_equal(call->id, id))
            return call;
    }
    return NULL;
}

static void run_cancel(kith_rpc_client *c, json_t *id, const json_t *params)
{
    json_t *which = json_object_get(params, "id");
    kith_rpc_call *call = which ? find_call(c, which) : NULL;
    bool found = call != NULL;
    if (id)
        say(c, json_pack("{s:s, s:{s:b}, s:O}", "jsonrpc", "2.0", "result", "cancelled", found, "id", id));
    if (found)
        cancel(call);
}

static void start(kith_rpc_client *c, const kith_rpc_method *m, json_t *id, json_t *params)
{
    kith_rpc_call *call = calloc(1, sizeof *call);
    if (!call) {
        say_error(c, id, KITH_RPC_BUSY, "no memory", NULL);
        return;
    }
    call->client = c;
    call->id = json_incref(id);
    call->params = params ? json_incref(params) : NULL;
    kith_list_push(&c->calls, &call->link);
    c->call_count++;
    m->run(c->ctx, call, call->params);
}

void kith_rpc_message(kith_rpc_client *c, json_t *message)
{
    json_t *id = json_object_get(message, "id"), *params = json_object_get(message, "params");
    const char *version = json_string_value(json_object_get(message, "jsonrpc"));
    const char *name = json_string_value(json_object_get(message, "method"));
    if (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id)) {
        say_error(c, NULL, KITH_RPC_INVALID, "'id' is neither a string nor an integer", NULL);
        return;
    }
    if (!version || strcmp(version, "2.0") != 0 || !name) {
        say_error(c, id, KITH_RPC_INVALID, "not a JSON-RPC 2.0 request object", NULL);
        return;
    }
    if (params && !json_is_object(params)) {
        say_error(c, id, KITH_RPC_PARAMS, "'params' must be an object", NULL);
        return;
    }
    if (strcmp(name, "cancel") == 0) {
        run_cancel(c, id, params);
        return;
    }
    if (!id)
        return; /* a notification, and none means anything here */
    for (const kith_rpc_method *m = c->methods; m->name; m++) {
        if (strcmp(m->name, name) != 0)
            continue;
        if (c->call_count >= KITH_RPC_CALLS_MAX)
            say_error(c, id, KITH_RPC_BUSY, "too many requests under way", NULL);
        else if (find_call(c, id))
            say_error(c, id, KITH_RPC_INVALID, "a request with this id is under way", NULL);
        else
            start(c, m, id, params);
        return;
    }
    say_error(c, id, KITH_RPC_NO_METHOD, "there is no such method", NULL);
}

void kith_rpc_line(kith_rpc_client *c, kith_bytes line)
{
    json_error_t why;
    json_t *message = NULL;
    if (line.len <= KITH_RPC_LINE_MAX)
        message = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, &why);
    if (message)
        kith_rpc_message(c, message);
    else
        say_error(c, NULL, KITH_RPC_PARSE, line.len > KITH_RPC_LINE_MAX ? "the line is too long" : "not JSON",
                  NULL);
    json_decref(message);
}

kith_err kith_rpc_err_of(const json_t *error)
{
    const char *name = json_string_value(json_object_get(json_object_get(error, "data"), "error"));
    for (int e = KITH_OK; name && e <= KITH_EIO; e++) {
        if (strcmp(name, kith_err_name((kith_err)e)) == 0)
            return (kith_err)e;
    }
    return KITH_EIO;
}
