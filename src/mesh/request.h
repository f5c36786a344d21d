/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to peers: a message on a stream of its own, and the message that answers it. Whoever asks names the peer; the connection is
 * there already, or is made.
 *
 *     start --> WAITING (too many are under way) --> DIALING --> ASKING --> told by next
 *                                    `-- connected already --'
 *
 * For a part of the mesh (mesh/part.h), which hands over the node's events and calls act; nothing here calls the node at other times.
 *
 * Memory: each request holds its message and up to KITH_ADDRS_LEN_MAX bytes of addresses; those under way up to answer_max more. */
#ifndef KITH_MESH_REQUEST_H
#define KITH_MESH_REQUEST_H

#include "node/node.h"
#include "wire/addrs.h"

typedef struct kith_requests kith_requests;
typedef struct kith_request
    kith_request; /* valid until the call after the one that told its end, or until cancelled */

typedef struct kith_requests_config {
    kith_env env;
    kith_node *node;     /* borrowed */
    kith_bytes protocol; /* borrowed */
    size_t answer_max;   /* bytes of an answer */
    uint32_t active_max; /* under way at once */
    uint32_t most;       /* those and the waiting */
    kith_time timeout;   /* of one under way, from dialling to the answer's last byte */
} kith_requests_config;

typedef struct kith_request_end {
    void *owner;
    uint64_t tag;
    kith_peer_id peer;
    kith_err err;
    const char *why;   /* static, or valid until the next call, or NULL */
    kith_bytes answer; /* valid until the next call */
    kith_conn *conn;   /* that it went over, if it is still open; else NULL */
    kith_time took;    /* since it got under way */
    bool ours;         /* err is about ourselves (a cap, no memory), and says nothing about the peer */
} kith_request_end;

kith_requests *kith_requests_new(const kith_requests_config *cfg); /* NULL: no memory */
/* After the node is gone. */
void kith_requests_free(kith_requests *r);

/* Asks. addrs: packed, may be empty for a connected peer; all arguments are copied, owner and tag come back. answered: false for a message
 * that has no answer; it is KITH_OK when the peer ends the stream after all of it was sent, by closing or by a reset: which one says
 * nothing about what it made of it, as implementations differ. KITH_ELIMIT: `most` are there. KITH_ENOMEM. */
KITH_CHECK kith_err kith_requests_start(kith_requests *r, const kith_peer_id *peer, kith_bytes addrs,
                                        kith_bytes message, bool answered, void *owner, uint64_t tag);
/* Gives up all of an owner's; they are not told. */
void kith_requests_cancel(kith_requests *r, kith_time now, const void *owner);
/* Those of an owner that are under way go on with another owner, `most` at most, and the others are given up. Returns how many go on. */
unsigned kith_requests_leave(kith_requests *r, kith_time now, const void *owner, void *to, unsigned most);
/* Whether a question to the peer is under way. */
bool kith_requests_asks(const kith_requests *r, const kith_peer_id *peer);
size_t kith_requests_count(const kith_requests *r);

bool kith_requests_next(kith_requests *r, kith_request_end *out);

/* For the part's ops. */
void kith_requests_event(kith_requests *r, kith_time now, const kith_node_event *ev);
bool kith_requests_act(kith_requests *r, kith_time now);
kith_time kith_requests_deadline(const kith_requests *r);
void kith_requests_tick(kith_requests *r, kith_time now);

#endif
