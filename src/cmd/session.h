/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A node for as long as a command lasts: configuration, identity, host, Ctrl-C; and dialling what the user
 * typed. */
#ifndef KITH_CMD_SESSION_H
#define KITH_CMD_SESSION_H

#include <jansson.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "host/book.h"
#include "host/config.h"
#include "host/dht.h"
#include "host/identity.h"
#include "host/lan.h"
#include "host/message_store.h"
#include "host/names.h"
#include "host/network.h"
#include "host/rendezvous.h"
#include "host/standing.h"
#include "host/trust_store.h"

typedef struct session {
    kith_config config;
    kith_identity *identity; /* its facts and statements; the keys are the two below */
    kith_signer *signer;
    kith_pq_signer *pq_signer;
    kith_host *host;
    kith_trust *trust;            /* whom this node knows; always there */
    kith_book *book;              /* NULL: not opened, or it cannot be used */
    kith_message_store *messages; /* the same */
    kith_names *names;            /* what peers call themselves; NULL: no memory */
    kith_standing *standing;      /* of kith up alone */
    kith_lan *lan;                /* NULL: mdns = off. Opens nothing before somebody looks */
    kith_rendezvous
        *rendezvous;  /* NULL: neither points nor a server are configured. Calls nobody by itself */
    kith_dht *dht;    /* NULL: dht = off. Calls nobody before it is started */
    int code;         /* what the command will exit with; negative: not decided */
    bool json;        /* --json was given */
    bool background;  /* set before session_start: its connections give way to others */
    bool interrupted; /* by SIGINT, SIGTERM or SIGHUP */
    bool patient;     /* what was written is to arrive: the end waits for slow peers */
    void (*on_interrupt)(void *ctx); /* NULL: the session ends */
    void (*on_stop)(void *ctx);      /* the host is stopping: close own handles; may be NULL */
    void *ctx;                       /* of both */
    uv_signal_t signals[3];
} session;

/* The defaults; and them with the configuration file and the options. EXIT_OK, or it has complained. */
void session_default_config(kith_config *c);
int session_read_config(kith_config *c, const cmd_args *args);

/* Reads the key of a private network; to be wiped. EXIT_OK, or it has complained. */
int session_load_network(const char *file, kith_network *out);

/* Loads the identity and makes its keys, asking for its passphrase: for a command that loses its terminal before it starts. s: zeroed. EXIT_OK, or
 * it has complained. */
int session_load_identity(session *s, const cmd_args *args);
void session_drop_identity(session *s);

/* Reads configuration and options, loads the identity unless that was done, makes the host. s: zeroed. EXIT_OK, or it has complained. */
int session_start(session *s, const cmd_args *args);
/* Runs the loop until session_end; then frees everything and returns the exit code. */
int session_run(session *s);
/* Stops with this code; the first call decides. */
void session_end(session *s, int code);

/* The known peers of this home, or NULL: it has complained, and *code is the exit code. */
kith_trust *session_open_trust(int *code);

/* Opens the peer book and notes in it whom this node meets. Without it everything else still works. */
void session_open_book(session *s);

/* Opens the file of messages. Without it everything else still works. */
void session_open_messages(session *s);

/* Reaches what a user typed for a peer: a multiaddr with or without /p2p, or a peer id alone. fn gets the connection once
 * it is OPEN. On failure complains and ends the session. */
void session_dial(session *s, const char *target, void (*fn)(void *ctx, kith_conn *c), void *ctx);

/* The exit code for an error of a stream; and of a connection attempt. */
int session_code(kith_err e);
int session_dial_code(kith_err e);

/* One JSON object and a newline to stdout, flushed; takes the reference. */
void session_print(json_t *o);
/* The same to another file. */
void session_print_to(FILE *f, json_t *o);
/* Writes out what was printed; session_printed is the end of a command whose word counts: `code`, or that what it said could not be written
 * to stdout. Who reads only the beginning may go. */
void session_flush(FILE *f);
int session_printed(int code);
void session_peer_text(const kith_conn *c, char out[KITH_PEER_ID_TEXT_MAX + 1]);

#endif
