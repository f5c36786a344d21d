/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A method of host/service.h, called on the running node if there is one, and otherwise on a node that lives as long
 * as the command. A command line that configures a node (--pq, --limits...) gets a node of its own. */
#ifndef KITH_CMD_CALL_H
#define KITH_CMD_CALL_H

#include <jansson.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "host/rpc.h"

typedef struct call {
    const char *method;
    json_t *params; /* taken; may be NULL */
    const cmd_args *args;
    /* Each event of the method; may be NULL. */
    void (*event)(const cmd_args *args, const json_t *event);
    /* Its result; returns the exit code. */
    int (*result)(const cmd_args *args, const json_t *result);
    /* The result comes in pieces, and `next` of one is asked for as `after`; the result function gets the whole. */
    bool pieces;
    json_t *whole;     /* so far */
    bool running_only; /* makes no sense without a running node: EXIT_NOT_RUNNING */
    bool offline;      /* needs no peer book */
    bool listens;      /* a node of its own listens as the configuration says */
    bool messages;     /* and takes messages */
    bool store;        /* works on the known peers alone: without a running node no other is started */
} call;

/* The call of a command that dials its first word, an address or a peer. EXIT_OK. */
int call_dial(const cmd_args *args, int (*result)(const cmd_args *args, const json_t *result), call *out);

/* A command's first word that says which of its calls is meant, as `list` in `kith trust list`. */
typedef struct call_sub {
    const char *name;    /* NULL ends a table of them */
    const char *options; /* those of the command's own that it takes, besides --json */
    size_t min, max;     /* words behind it */
    int (*prepare)(const cmd_args *args, call *out);
} call_sub;
/* The call of the one that the first word names. EXIT_OK, or it has complained. */
int call_sub_prepare(const call_sub *subs, const cmd_args *args, call *out);

/* Runs a command that is a call. Ctrl-C cancels: a method that has something to say then still gives its result. Returns the
 * exit code; failures are told on stderr. */
int call_run(const cmd_args *args);

/* Whether options configure a node, so that a running one will not do. */
bool call_configures(const cmd_args *args);

/* For whoever talks to a node in another way: the message that starts the call; and what to do with one that comes back: the
 * exit code, or CALL_UNANSWERED when more will come, or
 * CALL_AGAIN when the next piece has to be asked for by another call_request. interrupted: the user cancelled, so no error is worth a word. */
#define CALL_UNANSWERED (-1)
#define CALL_AGAIN (-2)
json_t *call_request(const call *c, int id);
json_t *call_cancellation(int id);
int call_take(call *c, const json_t *message, bool interrupted);

/* The same for a client in this process. */
void call_ask(const call *c, kith_rpc_client *client, int id);
/* False: more will come, and has been asked for where that was due. */
bool call_answered(call *c, kith_rpc_client *client, int id, const json_t *message, bool interrupted,
                   int *code);
/* params and what is left of a result. */
void call_free(call *c);

/* For events and results. Missing members are "", 0 and false. */
const char *call_text(const json_t *o, const char *name);
long long call_number(const json_t *o, const char *name);
double call_real(const json_t *o, const char *name);
bool call_true(const json_t *o, const char *name);

/* A connection's QKD as words, such as "FAILED: the KME ..."; NULL: off, and no reason to speak of it. */
const char *call_qkd(const json_t *conn, char out[512]);

/* Of an object with peer, name and self_name: "alice (12D3KooW...)"; without a name of the user's `12D3KooW... (calls itself "laptop")`, or the id
 * alone. */
void call_print_who(FILE *out, const json_t *o);
/* A moment in local time, "never" for 0. */
const char *call_when(long long unix, char out[32]);
/* What belongs behind the algorithm by which a connection's peer has proven its post-quantum key: ", checked 2026-11-26 17:00:00 in an
 * earlier session", or "" when it has signed this handshake. */
const char *call_resumed(const json_t *conn, char out[96]);

/* What a peer said, fit for a terminal: whatever is not printable becomes '?'. */
void call_print(FILE *out, const char *text);

/* The same for text of several lines: those behind the first are indented. */
void call_print_lines(FILE *out, const char *text);

/* One line of JSON to stdout. */
void call_print_json(const json_t *o);

#endif
