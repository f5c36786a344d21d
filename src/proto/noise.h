/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The secure channel: Noise XX and XXhfs with ML-KEM, as libp2p runs them, and the record layer after the
 * handshake.
 *
 *   START -> (A) -> (B) -> (C) -> OPEN -> DEAD         one length-prefixed message each way until OPEN
 *
 * new writes A. A message of the peer's is work: reading it and writing the answer is heavy computation (a third of a
 * millisecond, and with post-quantum signatures many), which next does not do. It takes what the computation needs and says WORK;
 * the caller computes on whatever thread it likes and tells the machine, and next goes on:
 *
 *     next -> WORK      then, anywhere: kith_noise_work(n)      then, here: kith_noise_worked(n, now)      next -> READY, FAILED
 *
 * Memory, OpenSSL's included: up to 18 KiB during the handshake (most of it the ML-KEM key); for a message that arrives in pieces at
 * most twice what has come of it, and as much while it is worked on: at most 10 KiB of it, and in kith's own suites 20; and for its
 * answer 2 KiB, in kith's own suites those of our signature on top. What comes behind a message meanwhile, at most KITH_NOISE_AHEAD_MAX. 2.6
 * KiB once open, and for a record that arrives in pieces its length, at most 64 KiB, until it is whole.
 */
#ifndef KITH_PROTO_NOISE_H
#define KITH_PROTO_NOISE_H

#include "base/env.h"
#include "base/err.h"
#include "crypto/aead.h"
#include "crypto/kem.h"
#include "crypto/sign.h"
#include "wire/peer_id.h"
#include "wire/pq_id.h"
#include "wire/successor.h"

#define KITH_NOISE_RECORD_MAX 65535 /* ciphertext of a message, after its 2-byte length */
#define KITH_NOISE_PLAIN_MAX (65535 - 16)
#define KITH_NOISE_OVERHEAD (2 + 16)
/* Of statements about former keys in a handshake, with their heads. */
#define KITH_NOISE_SUCCESSORS_MAX (20 * 1024)
/* A message of the handshake, with its length: the largest ML-KEM, SLH-DSA's signature, and statements. */
#define KITH_NOISE_MESSAGE_MAX (2 + 1 + 1784 + 18 * 1024 + KITH_NOISE_SUCCESSORS_MAX)
#define KITH_NOISE_PSK_LEN 32
#define KITH_NOISE_KEY_NAME_LEN 52    /* what a key goes by: bytes that mean something to those who have it */
#define KITH_NOISE_RESUME_NAME_LEN 16 /* and what a secret of an earlier handshake goes by */
/* What a peer may send behind a message of the handshake while that is worked on: its first records follow the last message at once.
 * More ends the handshake: do not read from a peer meanwhile. */
#define KITH_NOISE_AHEAD_MAX (256u * 1024)
/* A peer's longer early muxer list counts as none, as with go-libp2p (#1813). */
#define KITH_NOISE_MUXERS_MAX 100

/* What a peer's list of secure channels may hold. */
#define KITH_NOISE_CHANNELS_MAX 32

/* The one table of suites: several ids may name one suite, since the upstream id may still move. First those of kith's own, the
 * weakest first; then what others speak, the strongest first. */
typedef struct kith_noise_suite {
    const char *id;   /* multistream id */
    const char *name; /* hashed into the handshake */
    kith_kem_alg kem; /* KITH_KEM_NONE: classical XX */
    uint8_t level;    /* NIST category of the KEM: 0 (classical), 1, 3, 5 */
    bool own;         /* only kith nodes speak it, and both prove a post-quantum identity */
    uint8_t psk;      /* bit i: the modifier psk<i>; 0: none */
    uint8_t name_len; /* of the psk's name, which stands in front of A; 0: none */
    bool resumes;     /* a psk of an earlier handshake stands for the post-quantum signatures */
    kith_aead_alg
        aead; /* of the handshake; of the records, too, unless both sides would rather have AES-256-GCM there */
} kith_noise_suite;

extern const kith_noise_suite kith_noise_suites[];
extern const size_t kith_noise_suite_count;
/* Those that mix in a key which both sides have from elsewhere, such as from quantum key distribution: psk2. */
extern const kith_noise_suite kith_noise_psk_suites[];
extern const size_t kith_noise_psk_suite_count;
/* Those that mix in a secret which an earlier handshake of the same two has left. If the responder does not have it any more they are
 * like the first table's. One for each of kith's own levels. */
extern const kith_noise_suite kith_noise_resume_suites[];
extern const size_t kith_noise_resume_suite_count;
/* NULL: unknown. */
const kith_noise_suite *kith_noise_suite_find(kith_bytes id);

/* A process's static key and the signature over it, made once and shared by all handshakes; and which peers' have been found good. */
typedef struct kith_noise_identity kith_noise_identity;
/* Draws a fresh static key from env's randomness and signs it. signer is borrowed for the call; pq, which signs in each handshake of
 * kith's own suites and may be NULL where there are none, until free. NULL: no memory. */
kith_noise_identity *kith_noise_identity_new(const kith_env *env, const kith_signer *signer,
                                             const kith_pq_signer *pq);
/* Statements (wire/successor.h) that lead from keys that pq's owner had to the one it has, the oldest first: the handshakes of kith's own suites
 * carry the last of them, as many as fit into KITH_NOISE_SUCCESSORS_MAX. Once, before the first handshake; copied. KITH_ENOMEM. */
KITH_CHECK kith_err kith_noise_identity_tell(kith_noise_identity *id, const kith_bytes *statements,
                                             size_t count);
void kith_noise_identity_free(kith_noise_identity *id);

typedef struct kith_noise_config {
    const kith_env *env;
    const kith_noise_suite *suite;
    const kith_noise_identity *identity; /* borrowed until free */
    bool initiator;
    kith_peer_id expected; /* who must answer; len 0: anyone */
    kith_bytes prologue;   /* borrowed for new; empty on TCP */
    const kith_bytes *
        muxers; /* stream_muxers for the extensions, in preference; borrowed until free; n 0: no extensions */
    size_t muxer_count;
    /* The ids of the secure channels that we have proposed (in this order) or take, the suite's among them. Where the peer
     * says the same of itself, the suite must be what the two lists lead to. Borrowed until READY or free; n 0: neither told nor
     * checked. */
    const kith_bytes *channels;
    size_t channel_count;
    /* An initiator's in a suite with a psk: the key and its name (suite->name_len bytes), in clear to all. Copied. */
    const uint8_t *psk, *key_name;
    bool aes; /* in a suite of kith's own: AES-256-GCM for the records, if the peer says so too */
    bool
        psk_required; /* not without it; else both sides go on with zeros in its place when the responder has it not */
} kith_noise_config;

typedef struct kith_noise kith_noise;

/* NULL: no memory. The muxers' names take at most 1000 bytes together, with two for each; so do the channels', with three. */
kith_noise *kith_noise_new(const kith_noise_config *cfg);
/* With work under way the machine stays until kith_noise_worked, which then frees it. */
void kith_noise_free(kith_noise *n);

typedef enum kith_noise_event_kind {
    KITH_NOISE_KEY, /* a responder: the key of this name (data) is wanted. Nothing happens before kith_noise_key */
    KITH_NOISE_WORK,   /* call kith_noise_work, then kith_noise_worked: once each. Nothing happens before */
    KITH_NOISE_READY,  /* complete, the peer authenticated; an initiator's last message still waits in send */
    KITH_NOISE_DATA,   /* plaintext */
    KITH_NOISE_FAILED, /* dead: err and why say it */
} kith_noise_event_kind;

typedef struct kith_noise_event {
    kith_noise_event_kind kind;
    kith_bytes data; /* DATA: view into the input or the machine, until the next call */
    kith_err err;
    const char *why; /* static */
} kith_noise_event;

/* Takes all of in and borrows it until next has returned false. Writable: records are decrypted in place. */
void kith_noise_recv(kith_noise *n, kith_time now, kith_span in);
bool kith_noise_next(kith_noise *n, kith_noise_event *ev);
/* After KEY, once. psk NULL: we have it not. Copied. expected: as in the config, of whom the key is shared with; NULL: anyone. */
void kith_noise_key(kith_noise *n, const uint8_t *psk, const kith_peer_id *expected);
/* After WORK: computes, on any thread, while others call everything else here (but kith_noise_worked). Takes no memory of env's. */
void kith_noise_work(kith_noise *n);
/* It has computed; or, if the machine was freed meanwhile, it need not have: then n is gone after the call. */
void kith_noise_worked(kith_noise *n, kith_time now);
/* Handshake messages. 0: nothing to send now. Needs room for a whole message (at most KITH_NOISE_MESSAGE_MAX), else
 * 0. */
size_t kith_noise_send(kith_noise *n, kith_time now, kith_span out);
/* The handshake message that waits in send, framed, for a caller who has a shorter way for it; and: it has gone that way. */
kith_bytes kith_noise_waiting(const kith_noise *n);
void kith_noise_passed(kith_noise *n);

/* Transport, once ready. The place in out where up to .len plaintext bytes of the next record may be written
 * (.len 0: out is too small, the machine is dead, or a handshake message still waits in send); then seal
 * encrypts the first `len` of them in place and returns the record's size on the wire. len >= 1. 0: the
 * nonces are used up (after 2^64 - 1 records) and the machine has failed. */
kith_span kith_noise_room(const kith_noise *n, kith_span out);
size_t kith_noise_seal(kith_noise *n, kith_span out, size_t len);

bool kith_noise_ready(const kith_noise *n);

/* Once ready: of the records. */
kith_aead_alg kith_noise_aead(const kith_noise *n);

/* Once ready: a psk that both sides had has been mixed in. */
bool kith_noise_keyed(const kith_noise *n);
/* From the answer to KEY (initiator: from the work on B) on: a secret of an earlier handshake stands for the signatures of both, so that none
 * are made. Whose post-quantum key was checked then is for the one to know who kept the secret. */
bool kith_noise_resumed(const kith_noise *n);
/* A post-quantum identity that signed this very handshake. */
typedef struct kith_noise_pq {
    kith_pq_id
        id; /* len 0: the peer proved none here; resumed handshakes and those of the other suites prove none */
    kith_sig_alg alg; /* KITH_SIG_NONE then */
} kith_noise_pq;

/* Once ready. Views live as long as the machine. */
const kith_peer_id *kith_noise_peer(const kith_noise *n);
const kith_noise_pq *kith_noise_peer_pq(const kith_noise *n);
/* Bytes of the handshake's messages with their lengths, the peer's and ours. */
void kith_noise_shaken(const kith_noise *n, size_t *in, size_t *out);
/* The statements that came with it, the oldest first, at most KITH_SUCCESSORS_MAX and unread: how many. Views, valid until they are
 * forgotten, or the machine is freed. */
size_t kith_noise_peer_successors(const kith_noise *n, kith_bytes out[KITH_SUCCESSORS_MAX]);
void kith_noise_forget_successors(kith_noise *n);
kith_bytes kith_noise_peer_key(const kith_noise *n); /* serialised PublicKey */
/* The muxer agreed on in the handshake, one of config's; empty: negotiate by multistream-select. */
kith_bytes kith_noise_muxer(const kith_noise *n);
/* h, 32 bytes, the channel binding; no change of keys changes it. */
const uint8_t *kith_noise_hash(const kith_noise *n);

/* What a handshake leaves for the next one of the same two: docs/protocols/noise.md, "Resumption". */
typedef struct kith_noise_secret {
    uint8_t name[KITH_NOISE_RESUME_NAME_LEN];
    uint8_t psk[KITH_NOISE_PSK_LEN];
} kith_noise_secret;
typedef struct kith_noise_legacy {
    kith_noise_secret ours, theirs; /* for us to dial with, and for the peer */
} kith_noise_legacy;
/* Once ready, once: hands it over and keeps nothing. False: there is none, since this is no suite of kith's own, or since the responder takes no
 * suite that resumes. The caller wipes it. */
bool kith_noise_take_legacy(kith_noise *n, kith_noise_legacy *out);

/* ---- new keys for an open channel ----
 * proto/rekey.h agrees on them; docs/protocols/rekey.md has the states of both sides. One of the two leads: it marks the change with an
 * empty record, and what it sends from then on is under its new key; the other follows with its own direction when that mark has come.
 *
 *   STABLE --prepare(lead)--> LEAD --(change)--> LED ------------> STABLE
 *      |                                             peer's mark
 *      +---prepare(follow)--> FOLLOW ----------> OWING --(change)--> STABLE
 *                                   peer's mark
 *   LEAD, FOLLOW --drop--> STABLE
 */
#define KITH_NOISE_CHAIN_LEN 32

typedef struct kith_noise_keys {
    uint8_t chain[KITH_NOISE_CHAIN_LEN]; /* for the refresh after this one */
    uint8_t i2r[32];                     /* from the channel's initiator to its responder */
    uint8_t r2i[32];
} kith_noise_keys;

/* The secret that new keys are derived from, besides a fresh exchange. Once ready; it changes with the keys, at the first mark. */
const uint8_t *kith_noise_chain(const kith_noise *n);
/* Takes a copy of new keys for the next change. KITH_ESTATE: a change is under way, or the channel is not open. */
KITH_CHECK kith_err kith_noise_prepare(kith_noise *n, const kith_noise_keys *keys, bool lead);
/* Forgets prepared keys, when the other side cannot change to them any more. False: there are none, or the first mark has gone or
 * come. */
bool kith_noise_drop(kith_noise *n);
/* If it is our turn, writes the mark (18 bytes) and changes what we send to the new key; goes before anything else. 0: nothing to
 * do, or out is too small, or the machine has died of its last nonce. */
size_t kith_noise_change(kith_noise *n, kith_span out);
/* Keys are prepared, or only one direction has changed. */
bool kith_noise_changing(const kith_noise *n);
/* How often both directions have changed. */
uint32_t kith_noise_changes(const kith_noise *n);

#endif
