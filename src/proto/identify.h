/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* identify and identify/push: who a peer says it is. libp2p identify spec, and field 8 as go and js send it.
 *
 * The speaker writes messages, each after its length, and half-closes; the listener reads to that end and merges them:
 *
 *   speaker   SPEAKING --all handed over--> DONE (half-closes)
 *   listener  LISTENING --half-close--> DONE (half-closes)
 *             LISTENING --bad message, cut message, deadline, stream gone--> FAILED (resets)
 *
 * Memory: a speaker at most KITH_IDENTIFY_CHUNKS_MAX * KITH_IDENTIFY_SEND_MAX until it is sent; a listener what was received, at most
 * KITH_IDENTIFY_CHUNKS_MAX * KITH_IDENTIFY_MSG_MAX (80 KiB), and once done up to 37 KiB for what was kept. */
#ifndef KITH_PROTO_IDENTIFY_H
#define KITH_PROTO_IDENTIFY_H

#include "proto/stream.h"
#include "wire/envelope.h"
#include "wire/multiaddr.h"

#define KITH_IDENTIFY_ID "/ipfs/id/1.0.0"
#define KITH_IDENTIFY_PUSH_ID "/ipfs/id/push/1.0.0"
#define KITH_IDENTIFY_MSG_MAX 8192  /* per message, reading */
#define KITH_IDENTIFY_SEND_MAX 4096 /* per message, writing: rust reads no more */
#define KITH_IDENTIFY_CHUNKS_MAX 10
#define KITH_IDENTIFY_PROTOCOLS_MAX 256 /* kept of a peer, all chunks together */
#define KITH_IDENTIFY_ADDRS_MAX 64
#define KITH_IDENTIFY_PROTOCOL_MAX \
    140 /* bytes of a protocol id; longer ones are skipped, no kith could speak them (KITH_MSS_ID_MAX) */
#define KITH_IDENTIFY_AGENT_MAX 128 /* longer ones are cut */
#define KITH_IDENTIFY_VERSION \
    "ipfs/0.1.0" /* protocolVersion that we send, as kubo does; a peer's is not enforced */
#define KITH_IDENTIFY_TIMEOUT KITH_SEC(10)

/* What we say. Borrowed for the call. */
typedef struct kith_identify_local {
    kith_bytes pubkey; /* serialised */
    const kith_maddr *addrs;
    size_t addr_count;
    kith_bytes observed; /* the peer's address as we see it, binary; empty: omitted */
    const kith_bytes *protocols;
    size_t protocol_count;
    kith_bytes agent;
    kith_bytes record; /* sealed peer record; empty: omitted */
} kith_identify_local;

/* What a peer said; owned by the machine that received it. Missing fields: has_* false (a push leaves them unchanged). What is invalid or
 * beyond its cap is left out: one bad address costs the peer that address only. */
typedef struct kith_identify_info {
    kith_peer_id peer; /* whom the channel authenticated */
    bool has_agent, has_protocols, has_addrs, has_observed;
    kith_bytes agent;            /* printable ASCII and UTF-8; control characters replaced by '?' */
    kith_bytes protocol_version; /* cleaned and cut like agent */
    const kith_bytes *protocols; /* printable */
    size_t protocol_count;
    const kith_maddr *addrs; /* valid multiaddrs only; the peer's own word, by the channel's key */
    size_t addr_count;
    kith_maddr observed; /* untrusted; len 0: none */
    kith_bytes record;   /* the signed peer record as received, nothing of it checked; empty: none */
} kith_identify_info;

typedef struct kith_identify kith_identify;

/* The side that speaks (answers /ipfs/id/1.0.0, or opens a push). Encodes at once: everything in one message where it fits; the record in
 * its own when together they are above 2 KiB, as go does; further messages when protocols and addresses are many, protocols first. The
 * deadline runs from the first send. env is kept. KITH_ENOMEM; KITH_ELIMIT: does not fit into KITH_IDENTIFY_CHUNKS_MAX messages, or one
 * field not into a message; a record that does not is left out. */
KITH_CHECK kith_err kith_identify_speaker(const kith_env *env, const kith_identify_local *local,
                                          kith_identify **out);
/* The side that listens. peer: whom the channel authenticated; a publicKey must be its or the whole is refused (KITH_EAUTH). env is kept.
 * The signed record is kept unread: docs/design.md, "Signed records". */
KITH_CHECK kith_err kith_identify_listener(const kith_env *env, kith_time now, const kith_peer_id *peer,
                                           kith_identify **out);

extern const kith_stream_ops
    kith_identify_ops; /* the machine is a kith_identify; a listener is pending once it is done or failed */

/* The listener's result: KITH_OK with *out valid as long as the machine; KITH_ESTATE not complete yet; else why it failed: KITH_ESHORT (cut,
 * or nothing was said), KITH_EPROTO, KITH_ELIMIT, KITH_EAUTH, KITH_ENOMEM, KITH_ETIMEOUT, or what gone was told. A speaker's is KITH_ESTATE. */
KITH_CHECK kith_err kith_identify_result(const kith_identify *i, const kith_identify_info **out);

/* Verifies the peer's signed record, which costs a signature check: for who stores it as signed, compares its seq or passes it on, never
 * without. out: views into info->record. KITH_EAUTH: a record of somebody else than info->peer; else as kith_peer_record_open
 * (KITH_EFORMAT: also when there is none). */
KITH_CHECK kith_err kith_identify_record(const kith_identify_info *info, kith_peer_record *out);

/* Why it failed, for people; static; NULL: it did not. */
const char *kith_identify_why(const kith_identify *i);

#endif
