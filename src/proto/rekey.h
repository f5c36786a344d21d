/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* /kith/rekey/1: fresh keys for an open channel, agreed on over a stream of it. docs/protocols/rekey.md.
 *
 *   asker                                              answerer
 *   ASKED    e, ek                            ---->    WAITING
 *   AGREED   checks the confirmation          <----    AGREED     e, ct, confirmation
 *   DONE     (takes the keys, leads)                   DONE       (takes the keys, follows)
 *   any state -> FAILED: nothing has changed, the channel goes on under its old keys
 *
 * Who has taken the keys hands them to kith_noise_prepare. About 4 KiB, and 10 more in OpenSSL's ML-KEM key, for as long as the
 * exchange takes; secrets are wiped with the last use of them.
 */
#ifndef KITH_PROTO_REKEY_H
#define KITH_PROTO_REKEY_H

#include "crypto/kem.h"
#include "proto/noise.h"
#include "proto/stream.h"

#define KITH_REKEY_ID "/kith/rekey/1"
#define KITH_REKEY_TIMEOUT KITH_SEC(30) /* of the peer's message */
#define KITH_REKEY_CONFIRM_LEN 32

typedef struct kith_rekey kith_rekey;

typedef struct kith_rekey_config {
    const kith_env *env;
    kith_kem_alg kem;     /* of the channel's suite; KITH_KEM_NONE: X25519 alone */
    const uint8_t *hash;  /* kith_noise_hash; borrowed, like chain, until the stream is gone */
    const uint8_t *chain; /* kith_noise_chain */
} kith_rekey_config;

/* The side that asks. Computes its half at once: draws 32 bytes for e, and with a KEM 64 for ek. NULL: no memory. */
kith_rekey *kith_rekey_new(const kith_rekey_config *cfg, kith_time now);
/* The side that answers. When the first message is whole it draws 32 bytes for e, and with a KEM 32 for the encapsulation. */
kith_rekey *kith_rekey_new_answerer(const kith_rekey_config *cfg, kith_time now);
/* The keys, once, as soon as they are agreed on; the caller wipes them. False: not yet, or taken already, or never. */
bool kith_rekey_take(kith_rekey *r, kith_noise_keys *out);
/* Bytes of the two messages. */
size_t kith_rekey_ask_len(kith_kem_alg kem);
size_t kith_rekey_answer_len(kith_kem_alg kem);

extern const kith_stream_ops kith_rekey_ops; /* the machine is a kith_rekey */

#endif
