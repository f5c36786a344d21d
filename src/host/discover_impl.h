/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests to discover, for the files of their sources only.
 *
 * A source is a row of the table in discover.c. It looks for peers from begin until end, and hands over whom it finds by
 * kith_discover_take_, as often as it likes; who was found already is passed over. When it will find nobody any more it says so by
 * kith_discover_over_; a request whose sources have all said that is done. */
#ifndef KITH_HOST_DISCOVER_IMPL_H
#define KITH_HOST_DISCOVER_IMPL_H

#include "base/list.h"
#include "host/discover.h"

struct kith_discoveries {
    kith_host *host;
    kith_lan *lan;
    kith_dht *dht;
    kith_rendezvous *rendezvous;
    kith_book *book;
    const kith_trust *trust;
    const kith_names *names;
    kith_list ops;
    bool closed;
};

typedef struct kith_discovery {
    kith_link link;
    kith_discoveries *owner;
    kith_rpc_call *call; /* NULL: answered */
    kith_time asked;
    uv_timer_t timer;
    bool timer_open, ping;
    bool looking[8];     /* by the source's place in the table */
    const char *key;     /* whom to look for, of params; NULL: everybody */
    const char *ns;      /* where at rendezvous points, of params; NULL: as configured */
    const char *trouble; /* why there may be more than was found; static, or NULL */
    uint64_t wanted;     /* 0: as many as there are */
    size_t told, under_way, found_count;
    kith_list found;
    /* of the sources */
    kith_lan_watch watch;
    bool book_waiting;
    uint64_t kad_op;        /* 0: none */
    unsigned kad_barren;    /* lookups in a row that have shown nobody new */
    uint64_t rendezvous_op; /* 0: none */
} kith_discovery;

typedef struct kith_discover_source {
    const char *name; /* for method */
    const char *off;  /* the sentence when it is asked for by name and cannot be */
    bool (*usable)(const kith_discoveries *d);
    bool (*in_auto)(const kith_discoveries *d); /* of those that are usable; NULL: always */
    /* Whoever is known already may be taken at once; that may answer the call. */
    void (*begin)(kith_discovery *o);
    /* Nothing of it is wanted any more; may be called when it is over. NULL: there is nothing to do. */
    void (*end)(kith_discovery *o);
} kith_discover_source;

extern const kith_discover_source kith_discover_kad_, kith_discover_rendezvous_;

/* Somebody was found; source and interface live longer than the op. May answer the call, so look at o->call afterwards. */
void kith_discover_take_(kith_discovery *o, const kith_peer_id *peer, const char *source,
                         const char *interface, const kith_maddr *addrs, size_t count);
/* May answer the call. */
void kith_discover_over_(kith_discovery *o, const kith_discover_source *s);
/* A source that keeps an op alive beyond its answer (o->book_waiting) has let go of it. */
void kith_discover_release_(kith_discovery *o);

#endif
