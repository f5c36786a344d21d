/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a node does for its user: the methods behind the control socket, the console and the commands alike.
 * docs/protocols/control.md. */
#ifndef KITH_HOST_SERVICE_H
#define KITH_HOST_SERVICE_H

#include "host/book.h"
#include "host/dht.h"
#include "host/identity.h"
#include "host/keeper.h"
#include "host/lan.h"
#include "host/message_store.h"
#include "host/names.h"
#include "host/rendezvous.h"
#include "host/rpc.h"
#include "host/trust_store.h"

typedef struct kith_service kith_service;

typedef struct kith_service_config {
    kith_host *host;               /* NULL: no node runs, and only trust.* may be called */
    kith_book *book;               /* may be NULL */
    kith_lan *lan;                 /* NULL: the local network is nobody's business */
    kith_standing *reputation;     /* NULL: nobody is judged */
    kith_keeper *keeper;           /* NULL: connections are kept by nobody */
    kith_names *names;             /* may be NULL */
    kith_dht *dht;                 /* NULL: it is off */
    kith_rendezvous *rendezvous;   /* may be NULL */
    kith_trust *trust;             /* may be NULL when there is a host: then nobody has a name */
    const kith_identity *identity; /* for `id`; NULL: it tells of no post-quantum key */
    const char *identity_file;
    const char *version;
    const kith_signer *signer;       /* for messages; NULL: none are sent or taken */
    kith_message_store *messages;    /* NULL: none are kept or taken */
    uint32_t message_rate;           /* a minute, of one peer; in topics of one author */
    const kith_pq_signer *pq_signer; /* for messages in topics; may be NULL */
    /* Messages that came, and what became of those that nobody waits for (host/messages.h); may be NULL. */
    void (*tell)(void *ctx, const json_t *event);
    void *tell_ctx;
    bool standing;           /* a node that stays (kith up), not one that lives for a command */
    void (*stop)(void *ctx); /* for `stop` */
    void *stop_ctx;
} kith_service_config;

/* The strings are borrowed. NULL: no memory. */
kith_service *kith_service_new(const kith_service_config *cfg);
/* Takes messages, and delivers what waits in the outbox, from now on; else only once somebody asks for messages. False: it cannot. */
bool kith_service_take_messages(kith_service *s);
/* Speaks gossip from now on, and is in these topics, separated by spaces. NULL, or what is wrong. */
const char *kith_service_join_topics(kith_service *s, const char *names);
/* NULL: it does not. */
struct kith_topics *kith_service_topics(const kith_service *s);
/* Its metrics as OpenMetrics text (host/metrics.h), to be freed. NULL: no memory, or it is closed. */
char *kith_service_metrics(kith_service *s);
/* Ends whatever is under way; while the loop still runs. */
void kith_service_close(kith_service *s);
/* After close, and after the loop has ended; the host may be gone. NULL is fine. */
void kith_service_free(kith_service *s);

/* For kith_rpc_client_new; their ctx is the service. */
extern const kith_rpc_method kith_service_methods[];

#endif
