/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What peers are worth by what they did: one score each, from measured conduct, with its reasons.
 *
 *   note(kind)  -->  points of that kind, which halve every HALF_LIFE  -->  score = sum of the kinds' points, each within its bounds
 *
 *   score > throttle     as anybody
 *   <= throttle (-20)    its input waits behind others', it goes first when there are too many connections
 *   <= ban (-60)         refused for ban_time, which doubles with each ban, up to ban_most, until there was none for a week. Then half of what it did is forgiven:
 *                        below throttle still, it is banned sooner than others
 *
 * What may be noted: only what a peer said or did on a channel on which it had proven who it is, so that nobody else can make it look bad.
 * Not: dials to addresses that others gave, broken records (anybody on the path can flip a bit), what a peer's neighbours on one address do.
 * It raises the price of misconduct and no more: who is banned can come back as somebody new, whom nothing is known of. A new identity so
 * has the score 0, below anybody who was useful.
 *
 * Time is Unix seconds, so that scores outlive restarts; time that goes back changes nothing.
 * Memory: 150 bytes a peer, peers_max (4096) at most: beyond, who is least interesting goes, that is without a ban, then with a score nearest
 * to 0, then the oldest. */
#ifndef KITH_MESH_REPUTATION_H
#define KITH_MESH_REPUTATION_H

#include "base/env.h"
#include "base/err.h"
#include "wire/peer_id.h"

#define KITH_REPUTATION_HALF_LIFE (12u * 3600u) /* seconds */
#define KITH_REPUTATION_WEEK (7u * 86400u)

/* Kinds of conduct. Their numbers are stored: new ones go to the end. */
typedef enum kith_conduct {
    KITH_CONDUCT_CONNECTED, /* we dialled it, and it was there */
    KITH_CONDUCT_STEADY,    /* a connection held for ten minutes */
    KITH_CONDUCT_UNREACHED, /* it was not there where it had answered before */
    KITH_CONDUCT_LATENCY,   /* of its connections; kith_reputation_rtt */
    KITH_CONDUCT_PROTOCOL,  /* it broke a protocol, inside its channel */
    KITH_CONDUCT_FLOOD,     /* it sent more than it may */
    KITH_CONDUCT_GOSSIP,    /* its misconduct in gossip, while it lasts; kith_reputation_gossip */
    KITH_CONDUCT_DHT,       /* a wrong answer in the DHT */
    KITH_CONDUCT_VERIFIED,  /* a transfer from it was complete and right */
    KITH_CONDUCT_CORRUPT,   /* it sent data that is not what it said */
    KITH_CONDUCTS,
} kith_conduct;
const char *kith_conduct_name(kith_conduct k); /* "connected" */

/* Points are thousandths. */
#define KITH_REPUTATION_POINT 1000

typedef struct kith_reputation_config {
    kith_env env;
    size_t peers_max;            /* 4096 */
    int32_t throttle, ban;       /* -20, -60 points, in thousandths */
    uint32_t ban_time, ban_most; /* seconds: 1 h, 7 days */
    /* Who is never banned, whatever it does: the user's own choice goes before. NULL: nobody. */
    bool (*exempt)(void *ctx, const kith_peer_id *peer);
    void *ctx;
} kith_reputation_config;

void kith_reputation_config_default(kith_reputation_config *cfg);

typedef struct kith_reputation kith_reputation;

kith_reputation *kith_reputation_new(const kith_reputation_config *cfg); /* NULL: no memory */
void kith_reputation_free(kith_reputation *r);

/* A peer did something. Without memory, or room, it is not noted. */
void kith_reputation_note(kith_reputation *r, const kith_peer_id *peer, kith_conduct kind, uint64_t unix);
/* A round trip to it was measured. */
void kith_reputation_rtt(kith_reputation *r, const kith_peer_id *peer, kith_time rtt, uint64_t unix);
/* What it has done in gossip, as parts of what is enough for a ban there: 0 nothing, 1 a ban. Worse counts at once, better by and by. */
void kith_reputation_gossip(kith_reputation *r, const kith_peer_id *peer, double part, uint64_t unix);
/* The ban is over, and what led to it forgotten. False: nothing is known of it. */
bool kith_reputation_lift(kith_reputation *r, const kith_peer_id *peer, uint64_t unix);

typedef struct kith_reputation_facts {
    kith_peer_id peer;
    int32_t score;                  /* thousandths */
    int32_t points[KITH_CONDUCTS];  /* of each kind, as of now */
    uint32_t counts[KITH_CONDUCTS]; /* how often it was noted, ever */
    kith_time rtt;                  /* smoothed; 0: unknown */
    bool throttled;
    uint64_t banned_until; /* Unix seconds; 0: it is not banned */
    uint32_t bans;         /* without a week between them */
} kith_reputation_facts;
/* False: nothing is known. */
bool kith_reputation_look(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix,
                          kith_reputation_facts *out);
/* All of them, in the order they came: i from 0. */
bool kith_reputation_at(const kith_reputation *r, size_t i, uint64_t unix, kith_reputation_facts *out);
size_t kith_reputation_count(const kith_reputation *r);
/* Thousandths; 0 for strangers. */
int32_t kith_reputation_score(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix);
/* Until when; 0: it is not. */
uint64_t kith_reputation_banned(const kith_reputation *r, const kith_peer_id *peer, uint64_t unix);
/* Somebody whose ban has begun since this was asked last. */
bool kith_reputation_next_banned(kith_reputation *r, kith_peer_id *peer);

/* ---- keeping it ---- */

typedef struct kith_reputation_row {
    kith_peer_id peer;
    uint64_t at; /* when the points were as they are */
    int32_t points[KITH_CONDUCTS];
    uint32_t counts[KITH_CONDUCTS];
    uint64_t rtt_ns, banned_until;
    uint32_t bans;
} kith_reputation_row;

/* A row that has changed since it was taken last. */
bool kith_reputation_take(kith_reputation *r, kith_reputation_row *out);
/* A row that was kept; nobody is noted yet. What is out of bounds in it is put into them. */
void kith_reputation_put(kith_reputation *r, const kith_reputation_row *from, uint64_t unix);

/* Asserts the invariants; for tests and fuzzers. */
void kith_reputation_check(const kith_reputation *r);

#endif
