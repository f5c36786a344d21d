/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proof that both ends of a connection have the same share code, without saying it: SPAKE2 (crypto/spake2.h) inside the secure channel
 * and bound to it. Pure: messages in, messages out. docs/protocols/code.md
 *
 *     receiver (A)                                                     sharer (B)
 *     kith_pake_ask       first      65 bytes  ------------------->   kith_pake_answer  counts a guess, then answers
 *     kith_pake_confirm                        <-------------------   answer     97 bytes: share, confirmation
 *                         confirmation 32 bytes ------------------>   kith_pake_check   gives the guess back if it was right
 *
 * Either end knows after one exchange whether the other has the code, and whoever does not have it has tried one of 2^25 secrets. */
#ifndef KITH_APPS_SHARE_PAKE_H
#define KITH_APPS_SHARE_PAKE_H

#include "base/env.h"
#include "crypto/spake2.h"
#include "wire/peer_id.h"

#define KITH_PAKE_FIRST_LEN KITH_SPAKE2_SHARE_LEN
#define KITH_PAKE_ANSWER_LEN (KITH_SPAKE2_SHARE_LEN + KITH_SPAKE2_CONFIRM_LEN)
#define KITH_PAKE_CONFIRM_LEN KITH_SPAKE2_CONFIRM_LEN
#define KITH_PAKE_CHANNEL_LEN 32
#define KITH_PAKE_TAG_LEN 16
#define KITH_PAKE_SECRET_LEN KITH_SPAKE2_SECRET_LEN

#define KITH_CODE_GUESSES 3 /* wrong ones, and the code is burnt */

/* What the sharer keeps of one code, for as long as it holds. All zeros to begin with. */
typedef struct kith_code_guard {
    uint32_t open;  /* guesses that were answered and are not decided */
    uint32_t wrong; /* those that were, or whose maker went away; never given back */
} kith_code_guard;

bool kith_code_burnt(const kith_code_guard *g);

/* What an exchange is bound to: with anything of it different, the ends do not come to the same key. */
typedef struct kith_pake_bond {
    kith_peer_id receiver, sharer;
    uint8_t channel[KITH_PAKE_CHANNEL_LEN]; /* kith_conn_facts.channel of the connection that carries it */
    uint8_t tag[KITH_PAKE_TAG_LEN];         /* of the code, as the receiver named it */
} kith_pake_bond;

/* One exchange, of either side. About 0.3 KiB, and 1 KiB in OpenSSL until the other side's message. env's allocator must outlive it. */
typedef struct kith_pake kith_pake;

/* The receiver's side; secret as in kith_spake2_new. Draws KITH_SPAKE2_SECRET_LEN bytes. NULL: no memory. */
kith_pake *kith_pake_ask(const kith_env *env, const kith_pake_bond *bond,
                         const uint8_t secret[KITH_PAKE_SECRET_LEN], uint8_t first[KITH_PAKE_FIRST_LEN]);
/* The sharer's answer is here. KITH_OK: it has the code; confirm is to be sent. KITH_EAUTH: it has not, and learns nothing more from us.
 * KITH_EPROTO: no message of this protocol. KITH_ESTATE: the second call, or the other side's. KITH_ENOMEM: it cannot be tried again. */
KITH_CHECK kith_err kith_pake_confirm(kith_pake *p, kith_bytes answer,
                                      uint8_t confirm[KITH_PAKE_CONFIRM_LEN]);

/* The sharer's side. guard is borrowed and outlives *out, whose end without a right confirmation is a wrong guess: so hanging up early is one
 * too. KITH_EPOLICY: the code is burnt. KITH_ELIMIT: it is not, but as many guesses as it has left are under way. KITH_EPROTO: first is no
 * message of this protocol, and a wrong guess. KITH_ENOMEM, which is none. *out is written on KITH_OK, and answer is to be used then only. */
KITH_CHECK kith_err kith_pake_answer(const kith_env *env, const kith_pake_bond *bond,
                                     const uint8_t secret[KITH_PAKE_SECRET_LEN], kith_code_guard *guard,
                                     kith_bytes first, kith_pake **out, uint8_t answer[KITH_PAKE_ANSWER_LEN]);
/* The receiver's confirmation is here. KITH_OK: it has the code. KITH_EAUTH: it has not, whatever it sent. KITH_ESTATE: the second call, or
 * the other side's. */
KITH_CHECK kith_err kith_pake_check(kith_pake *p, kith_bytes confirm);

/* Wipes; NULL is fine. */
void kith_pake_free(kith_pake *p);

#endif
