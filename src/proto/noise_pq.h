/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The post-quantum identity inside a handshake: what its key signs, and the fields that carry it. docs/protocols/pq-identity.md,
 * section 5. Private to proto/noise.c, tests and fuzzers; nothing here allocates, so all of it may happen on any thread. */
#ifndef KITH_PROTO_NOISE_PQ_H
#define KITH_PROTO_NOISE_PQ_H

#include "proto/noise.h"

/* Fields of NoiseExtensions. 1103 is kept for a hash in the place of the key. */
enum {
    KITH_NOISE_EXT_PQ_KEY = 1101,
    KITH_NOISE_EXT_PQ_SIG = 1102,
    KITH_NOISE_EXT_CHANNEL = 1104,
    KITH_NOISE_EXT_SUCCESSOR = 1105,
    KITH_NOISE_EXT_FRESH = 1106,   /* an initiator's in a resumed handshake: 32 random bytes */
    KITH_NOISE_EXT_RECORDS = 1107, /* a number: what the sender would rather have its records under */
};

#define KITH_NOISE_PQ_IDENTITY_MAX 1280 /* an identity key in M: RSA of 8192 bits has 1066 bytes */
#define KITH_NOISE_PQ_TEXT_MAX (8 * 1024)

/* What a signature is about. */
typedef struct kith_noise_pq_text {
    bool initiator;         /* who signs */
    const char *suite;      /* id */
    const uint8_t *h;       /* under which the payload is encrypted; 32 bytes */
    const uint8_t *s;       /* the signer's static key; 32 bytes */
    kith_bytes identity;    /* its classical PublicKey protobuf */
    kith_bytes pq_identity; /* and the post-quantum one */
} kith_noise_pq_text;

/* Appends M; the signer's channels follow with kith_put_noise_pq_channel, in the order in which the payload has them. */
void kith_put_noise_pq_text(kith_wr *w, const kith_noise_pq_text *t);
void kith_put_noise_pq_channel(kith_wr *w, kith_bytes id);

/* Looks at the peer's: the key's algorithm and id to *out. ext is its extensions message; t->pq_identity is filled in here.
 * KITH_EAUTH: a field is missing. KITH_EPROTO: one is malformed, or there twice. KITH_EUNSUPPORTED: a kind of key that is not known.
 * KITH_ECRYPTO: the signature is not of this key and handshake. *why is static. */
KITH_CHECK kith_err kith_noise_pq_check(kith_bytes ext, kith_noise_pq_text *t, kith_noise_pq *out,
                                        const char **why);

#endif
