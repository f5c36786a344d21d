/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is taken of the messages that gossip brings in a topic: kith's (wire/message.h) once, while they may be delivered, and signed as their
 * source is known to sign; and whatever else other programs say there, as it is. docs/protocols/message.md
 *
 * Nobody is blamed for passing a message on, since other programs do so without reading it; its author is, where it came from there. */
#ifndef KITH_APPS_TOPIC_H
#define KITH_APPS_TOPIC_H

#include "mesh/gossip.h"
#include "wire/message.h"

#define KITH_TOPIC_PAYLOAD_MAX (960u * 1024) /* of a message in a topic: with all around it gossip takes it */
#define KITH_TOPIC_TTL_MAX 3600u             /* seconds: nothing is kept for who is away */
#define KITH_TOPIC_AUTHORS_MAX 1024 /* whose rates are remembered; the one not heard of longest goes */
#define KITH_TOPIC_BLAME 500.0      /* P5 for one that is wrong */
#define KITH_TOPIC_BLAME_HALVES KITH_SEC(600)

typedef enum kith_topic_fate {
    KITH_TOPIC_TAKEN,    /* a message of kith */
    KITH_TOPIC_RAW,      /* something else: bytes */
    KITH_TOPIC_BLOCKED,  /* of who is blocked */
    KITH_TOPIC_BUSY,     /* beyond its author's rate; no memory */
    KITH_TOPIC_EXPIRED,  /* its time is over, or was before this node began */
    KITH_TOPIC_AHEAD,    /* it comes from the future */
    KITH_TOPIC_HAD,      /* it was here, or nobody can tell any more */
    KITH_TOPIC_UNPROVEN, /* its author has a post-quantum key, and it is not signed by that */
    KITH_TOPIC_WRONG,    /* to another topic or a peer, of somebody else, or a signature is wrong */
} kith_topic_fate;
#define KITH_TOPIC_FATES (KITH_TOPIC_WRONG + 1)
/* "taken", "raw", "blocked" ... */
const char *kith_topic_fate_name(kith_topic_fate f);

/* What is known of the author. */
typedef struct kith_topic_author {
    bool blocked;
    bool contact;  /* the user made something of it */
    kith_pq_id pq; /* its post-quantum key; len 0: none is known */
} kith_topic_author;

typedef struct kith_topic_door kith_topic_door;

/* rate: messages a minute of one author. since: ms since 1970; what was said before is not taken, for another node of this home may have
 * taken it. NULL: no memory. */
kith_topic_door *kith_topic_door_new(const kith_env *env, uint32_t rate, uint64_t since);
void kith_topic_door_free(kith_topic_door *d);

/* wall: ms since 1970. out, on TAKEN: the message; on RAW: source, topic, payload and text alone, type empty. Its views are ev's. */
kith_topic_fate kith_topic_take(kith_topic_door *d, kith_time now, uint64_t wall, const kith_gossip_event *ev,
                                const kith_topic_author *who, kith_message *out);
/* Whether it is passed on. */
kith_gossip_verdict kith_topic_verdict(kith_topic_fate f);
/* P5 of an author by what it handed over itself, 0 or less; halved every KITH_TOPIC_BLAME_HALVES. */
double kith_topic_blame(const kith_topic_door *d, kith_time now, const kith_peer_id *id);

size_t kith_topic_authors(const kith_topic_door *d);

#endif
