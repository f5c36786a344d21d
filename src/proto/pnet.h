/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A private network: all that is said on a connection is encrypted under the network's key, below everything else. libp2p pnet
 * specification, "Private Networks based on PSK, V1"; docs/protocols/pnet.md.
 *
 *     each side says     24 random bytes, its nonce; then its stream, XSalsa20 under key and nonce
 *
 *     NONCE -> HELLO -> MET            of the peer's stream
 *        \        \---> FAILED
 *         \-----------> FAILED
 *
 * The cipher has no authentication, but a stream's first words are known: multistream-select's hello. They are kept back until they are
 * whole, and judged in one: nothing above hears of a peer that has not the key, and it learns nothing from how many bytes it guessed. */
#ifndef KITH_PROTO_PNET_H
#define KITH_PROTO_PNET_H

#include "base/env.h"
#include "base/err.h"
#include "crypto/xsalsa20.h"

#define KITH_PNET_KEY_LEN KITH_XSALSA20_KEY_LEN
#define KITH_PNET_NONCE_LEN KITH_XSALSA20_NONCE_LEN

/* 450 bytes; allocates nothing later. */
typedef struct kith_pnet kith_pnet;

/* Takes its nonce from env's randomness; key is copied. NULL: no memory. */
kith_pnet *kith_pnet_new(const kith_env *env, const uint8_t key[KITH_PNET_KEY_LEN]);
void kith_pnet_free(kith_pnet *p); /* NULL is fine; wipes the keys */

/* Takes bytes from the front of *in, at least one, and returns what is to be read on: decrypted in place, or p's own until the next call;
 * often empty. To be called until *in is empty. After a failure everything is taken, and nothing returned. */
kith_span kith_pnet_recv(kith_pnet *p, kith_span *in);
/* The peer has shown that it has the key. */
bool kith_pnet_met(const kith_pnet *p);
/* KITH_OK, or KITH_EPOLICY: the peer is not in this network, and *why (static) says how that showed. */
kith_err kith_pnet_err(const kith_pnet *p, const char **why);

/* What is left of our nonce, as much as fits; it goes before everything else. */
size_t kith_pnet_send(kith_pnet *p, kith_span out);
/* Encrypts what is to leave next, in place; not before the nonce has left. */
void kith_pnet_seal(kith_pnet *p, kith_span text);

#endif
