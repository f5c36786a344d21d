/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON-RPC 2.0 over lines: requests in, results and events out, without any I/O. docs/protocols/control.md.
 *
 * The control socket drives one client per connection; a command that runs a node of its own is a client in the
 * same process. A method answers at once or later; until then it may send events, which are notifications
 * {"jsonrpc":"2.0","method":"event","params":{"id":<the request's>, ...}}. The request "cancel" with params
 * {"id":...} (with or without an id of its own) asks a method that is under way to come to its end; it then still answers. */
#ifndef KITH_HOST_RPC_H
#define KITH_HOST_RPC_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/err.h"

#define KITH_RPC_LINE_MAX \
    (2u << 20)                /* a request, without its newline: a message of a megabyte, in base64, fits */
#define KITH_RPC_CALLS_MAX 32 /* requests under way, per client */

/* Error codes of the specification; failures of methods are KITH_RPC_FAILED - kith_err. */
enum {
    KITH_RPC_PARSE = -32700,
    KITH_RPC_INVALID = -32600,
    KITH_RPC_NO_METHOD = -32601,
    KITH_RPC_PARAMS = -32602,
    KITH_RPC_BUSY = -32099,
    KITH_RPC_FAILED = -32000,
};

typedef struct kith_rpc_client kith_rpc_client;
typedef struct kith_rpc_call kith_rpc_call; /* from the method's start until its result or error */

typedef struct kith_rpc_method {
    const char *name;
    /* Must end the call by kith_rpc_result or kith_rpc_error, now or later. params is an object or NULL, and lives
     * as long as the call. */
    void (*run)(void *ctx, kith_rpc_call *call, const json_t *params);
} kith_rpc_method;

/* One message to the client; the reference stays the caller's. */
typedef void (*kith_rpc_send)(void *ctx, const json_t *message);

/* methods: ended by a NULL name; borrowed. NULL: no memory. */
kith_rpc_client *kith_rpc_client_new(const kith_rpc_method *methods, void *ctx, kith_rpc_send send,
                                     void *send_ctx);
/* Says how many bytes of what was sent its reader has not taken; without it, none. */
void kith_rpc_client_on_unsent(kith_rpc_client *c, size_t (*unsent)(void *send_ctx));
/* The client is gone: its calls are cancelled, and what they still say goes nowhere. The last call frees it. */
void kith_rpc_client_free(kith_rpc_client *c);

/* A line from the client, without its newline; whatever it holds is answered. */
void kith_rpc_line(kith_rpc_client *c, kith_bytes line);
/* The same, parsed; the reference stays the caller's. */
void kith_rpc_message(kith_rpc_client *c, json_t *message);
size_t kith_rpc_calls(const kith_rpc_client *c);

/* ---- for methods ---- */

/* Ends the call. result is taken. */
void kith_rpc_result(kith_rpc_call *call, json_t *result);
/* Ends the call with a sentence for people. stage, which may be NULL, says in which step of the method: "dial". */
void kith_rpc_error(kith_rpc_call *call, kith_err err, const char *stage, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Ends the call: the parameters are not what the method wants. */
void kith_rpc_bad_params(kith_rpc_call *call, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* event is an object and taken; gets the request's id. */
void kith_rpc_event(kith_rpc_call *call, json_t *event);
/* Bytes that the client has been sent and has not taken: a method with much to say waits while there are many. */
size_t kith_rpc_unsent(const kith_rpc_call *call);
/* fn is called at most once, when the client cancels or goes away; the method then ends the call, in fn or later. */
void kith_rpc_on_cancel(kith_rpc_call *call, void (*fn)(void *state), void *state);

/* ---- for clients ---- */

/* The kith_err of an error object, by its name; KITH_EIO when it has none. */
kith_err kith_rpc_err_of(const json_t *error);

#endif
