/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Toy cryptography for the simulator: every key, message and tag has its real size, everything that must agree agrees, everything that
 * must be refused is refused, and nothing is secret. It costs so little that ten thousand nodes fit into one thread.
 *
 * toy_crypto.c is a second implementation of src/crypto/{aead,dh,hash,kem,pqsign,sign,crypto}.h. A program gets one or the other at link
 * time: the targets of test/sim/toy get this one, and tools/check-rules looks for the symbol below in what is installed. */
#ifndef TOY_CRYPTO_H
#define TOY_CRYPTO_H

extern const char kith_toy_crypto[]; /* a word for reports; no production binary has it */

#endif
