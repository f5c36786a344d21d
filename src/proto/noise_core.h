/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Noise itself, without libp2p: the handshakes XX and XXhfs over opaque payloads, and ciphers that count
 * their nonces. Private to proto/noise.c and to tests.
 *
 *        XX                        XXhfs
 *   A -> e                         e, e1
 *   B <- e, ee, s, es              e, ee, ekem1, s, es
 *   C -> s, se                     s, se
 *
 * The modifiers psk0 to psk3 (suite.psk) put a psk at the beginning of A, or at the end of A, B or C.
 *
 * Spec: Noise rev 34; Noise HFS r1, with the ciphertext of ekem1 encrypted before its secret is mixed in. */
#ifndef KITH_PROTO_NOISE_CORE_H
#define KITH_PROTO_NOISE_CORE_H

#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "proto/noise.h"

/* One direction of the transport. */
typedef struct kith_noise_cipher {
    kith_aead *aead;
    kith_aead_alg alg;
    uint64_t n; /* the next nonce; 2^64-1 is never used: Noise 5.1 */
} kith_noise_cipher;

/* In place, with an empty ad. KITH_ELIMIT: the nonces are used up; nothing has changed. */
KITH_CHECK kith_err kith_noise_cipher_seal(kith_noise_cipher *c, kith_span text,
                                           uint8_t tag[KITH_AEAD_TAG_LEN]);
/* KITH_ECRYPTO: the tag is wrong; the nonce stays. */
KITH_CHECK kith_err kith_noise_cipher_open(kith_noise_cipher *c, kith_span text,
                                           const uint8_t tag[KITH_AEAD_TAG_LEN]);

/* One handshake. About 2 KiB here and up to 15 KiB in OpenSSL's keys; lives for two round trips. Reading and writing touch nothing
 * outside of it but our static key, which they only read: so they may happen on any thread. */
typedef struct kith_noise_hs {
    const kith_noise_suite *suite; /* static */
    const kith_dh *s;              /* our static key, borrowed */
    bool initiator;
    unsigned done;          /* messages that are behind us: 0..3 */
    bool keyed;             /* a MixKey has happened */
    const uint8_t *psk;     /* the next pre-shared key; borrowed */
    uint64_t n;             /* nonce of the symmetric state, for both directions */
    kith_aead *seal, *open; /* the same key */
    uint8_t h[KITH_SHA256_LEN];
    uint8_t ck[KITH_SHA256_LEN];
    kith_dh *e;
    kith_kem *kem; /* initiator: e1 */
    uint8_t re[KITH_X25519_LEN];
    uint8_t rs[KITH_X25519_LEN];
    uint8_t ek[KITH_KEM_EK_MAX];                        /* responder: the peer's e1 */
    uint8_t drawn[KITH_X25519_LEN + KITH_KEM_SEED_LEN]; /* for e, then for e1 or the encapsulation */
    const char *why;                                    /* of the last error; static */
} kith_noise_hs;

/* KITH_ENOMEM. Call fini whatever it returns. */
KITH_CHECK kith_err kith_noise_hs_init(kith_noise_hs *hs, const kith_noise_suite *suite, bool initiator,
                                       const kith_dh *s, kith_bytes prologue);
/* Wipes. */
void kith_noise_hs_fini(kith_noise_hs *hs);

/* Another prologue than init's: of a responder who learns it only with the first message. Before that is read. */
void kith_noise_hs_set_prologue(kith_noise_hs *hs, kith_bytes prologue);
/* The keys of a suite with psk modifiers, KITH_NOISE_PSK_LEN bytes for each, in the order of their use. Borrowed until fini. Before the
 * first message that uses one. */
void kith_noise_hs_set_psks(kith_noise_hs *hs, const uint8_t *psks);

/* Takes what our first message (A, B) needs of randomness, in this order: the ephemeral's 32 bytes; then the initiator e1's 64
 * (d || z), or the responder the 32 of the encapsulation. Before that message is written. */
void kith_noise_hs_draw(kith_noise_hs *hs, const kith_env *env);

/* Length of the next message, whoever writes it, with a payload of that length; and of the one that answers it. */
size_t kith_noise_hs_len(const kith_noise_hs *hs, size_t payload_len);
size_t kith_noise_hs_answer_len(const kith_noise_hs *hs, size_t payload_len);

/* A message is keys and then a payload; between the two, h names all that came before (and what is signed there cannot be used
 * elsewhere). The keys may be heavy to compute, the payload is not. */

/* Writes the next message, kith_noise_hs_len bytes together: keys returns the place of the payload, which may lie there already. KITH_ENOMEM, KITH_ECRYPTO (the
 * peer's key share is bad): the handshake is over. */
KITH_CHECK kith_err kith_noise_hs_write_keys(kith_noise_hs *hs, uint8_t *out, uint8_t **payload_at);
void kith_noise_hs_write_payload(kith_noise_hs *hs, kith_bytes payload, uint8_t *payload_at);
/* Reads the next message; decrypts in place. keys leaves the sealed payload in *rest, payload is a view into it. KITH_EPROTO (too
 * short), KITH_ECRYPTO, KITH_ENOMEM: the handshake is over. */
KITH_CHECK kith_err kith_noise_hs_read_keys(kith_noise_hs *hs, kith_span msg, kith_span *rest);
KITH_CHECK kith_err kith_noise_hs_read_payload(kith_noise_hs *hs, kith_span rest, kith_bytes *payload);
/* Both at once. */
KITH_CHECK kith_err kith_noise_hs_write(kith_noise_hs *hs, kith_bytes payload, uint8_t *out);
KITH_CHECK kith_err kith_noise_hs_read(kith_noise_hs *hs, kith_span msg, kith_bytes *payload);
/* After the third message: k1 encrypts from initiator to responder. The caller wipes both. */
void kith_noise_hs_split(const kith_noise_hs *hs, uint8_t k1[KITH_AEAD_KEY_LEN],
                         uint8_t k2[KITH_AEAD_KEY_LEN]);

/* After the third message: the secret that later keys are derived from, which tells nothing about k1 and k2. The caller wipes it. */
void kith_noise_hs_chain(const kith_noise_hs *hs, uint8_t chain[KITH_NOISE_CHAIN_LEN]);
/* After the third message: what the next handshakes of the two can resume, which tells nothing about the others. The caller wipes it. */
void kith_noise_hs_legacy(const kith_noise_hs *hs, kith_noise_legacy *out);

/* The ciphers of an open machine, for tests. */
kith_noise_cipher *kith_noise_tx(kith_noise *n);
kith_noise_cipher *kith_noise_rx(kith_noise *n);

#endif
