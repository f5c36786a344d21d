/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The messages of /rendezvous/1.0.0: libp2p rendezvous spec (r1, 2019-01-18). On the wire each is behind its length (proto/frames.h). */
#ifndef KITH_PROTO_RENDEZVOUS_MSG_H
#define KITH_PROTO_RENDEZVOUS_MSG_H

#include "wire/envelope.h"

#define KITH_RDV_ID "/rendezvous/1.0.0"
#define KITH_RDV_NS_MAX 255       /* bytes of a namespace */
#define KITH_RDV_TTL_DEFAULT 7200 /* seconds, where a message names none */
#define KITH_RDV_TTL_MIN 7200     /* what points take: spec, "Recommendations"; rust */
#define KITH_RDV_TTL_MAX 259200
#define KITH_RDV_COOKIE_MAX 512       /* bytes; points choose what is in them */
#define KITH_RDV_REQUEST_MAX 16384    /* bytes of a message to a point */
#define KITH_RDV_ANSWER_MAX (1 << 20) /* and of one from it; rust reads no more */

typedef enum kith_rdv_type {
    KITH_RDV_REGISTER = 0,
    KITH_RDV_REGISTER_RESPONSE = 1,
    KITH_RDV_UNREGISTER = 2,
    KITH_RDV_DISCOVER = 3,
    KITH_RDV_DISCOVER_RESPONSE = 4,
} kith_rdv_type;

typedef enum kith_rdv_status {
    KITH_RDV_OK = 0,
    KITH_RDV_INVALID_NAMESPACE = 100,
    KITH_RDV_INVALID_RECORD = 101,
    KITH_RDV_INVALID_TTL = 102,
    KITH_RDV_INVALID_COOKIE = 103,
    KITH_RDV_NOT_AUTHORIZED = 200,
    KITH_RDV_UNAVAILABLE = 400,
} kith_rdv_status;

/* As read; views into the input. */
typedef struct kith_rdv_msg {
    kith_rdv_type type;
    bool has_ns, has_ttl, has_cookie;
    kith_bytes ns; /* REGISTER, UNREGISTER, DISCOVER; not looked at: UTF-8, or longer than KITH_RDV_NS_MAX */
    kith_bytes record; /* REGISTER: a signed peer record, not verified; empty: none */
    uint64_t ttl;      /* REGISTER and its response, seconds */
    uint64_t limit;    /* DISCOVER; 0: none */
    kith_bytes cookie; /* DISCOVER and its response */
    uint64_t status;   /* of responses: kith_rdv_status, or one that we do not know */
    kith_bytes body;   /* DISCOVER_RESPONSE: for kith_rdv_walk */
} kith_rdv_msg;

/* KITH_EPROTO: malformed, or not what its type says. KITH_EUNSUPPORTED: a type of later times. */
KITH_CHECK kith_err kith_rdv_parse(kith_bytes in, kith_rdv_msg *out);

/* The registrations of a DISCOVER_RESPONSE that was parsed, as REGISTER messages. */
typedef struct kith_rdv_walk {
    kith_rd in;
} kith_rdv_walk;
kith_rdv_walk kith_rdv_walk_of(const kith_rdv_msg *m);
bool kith_rdv_walk_next(kith_rdv_walk *w, kith_rdv_msg *out);

/* ---- writing; w.bad says that it did not fit ---- */

void kith_rdv_put_register(kith_wr *w, kith_bytes ns, kith_bytes record, uint64_t ttl);
void kith_rdv_put_unregister(kith_wr *w, kith_bytes ns, const kith_peer_id *self);
/* ns empty: all namespaces. limit 0 and an empty cookie: without. */
void kith_rdv_put_discover(kith_wr *w, kith_bytes ns, uint64_t limit, kith_bytes cookie);
void kith_rdv_put_registered(kith_wr *w, kith_rdv_status status, const char *text, uint64_t ttl);
/* A DISCOVER_RESPONSE around registrations that were written one by one with the last one below. */
void kith_rdv_put_discovered(kith_wr *w, kith_rdv_status status, const char *text, kith_bytes registrations,
                             kith_bytes cookie);
/* One of them; false: it did not fit, and w is as before. */
bool kith_rdv_put_registration(kith_wr *w, kith_bytes ns, kith_bytes record, uint64_t ttl);

#endif
