/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The proof of a code (apps/share_pake.h) between the two ends of a connection, for files and streams alike. It is bound to the peer that the
 * secure channel has proven, and to the channel. */
#ifndef KITH_HOST_SHARE_PROOF_H
#define KITH_HOST_SHARE_PROOF_H

#include "host/host.h"
#include "host/share_grant.h"

/* What a receiver is told, when the sharer does not have its code, or says what is no proof. */
#define KITH_PROOF_WRONG \
    "this is not the sharer's code: look at it once more; after three wrong ones the sharer needs a new code"
#define KITH_PROOF_MALFORMED "the sharer broke the protocol: a malformed proof of the code"

/* The receiver's side begins: first is to be said. KITH_ECLOSED, KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_proof_ask(kith_host *h, const kith_conn *conn,
                                         const uint8_t tag[KITH_PAKE_TAG_LEN],
                                         const uint8_t secret[KITH_PAKE_SECRET_LEN], kith_pake **out,
                                         uint8_t first[KITH_PAKE_FIRST_LEN]);
/* The sharer's side takes a message of a receiver that named the code of grant. KITH_OK: it has proved to have it (*proved; *pake is NULL then),
 * or answer is to be said. Anything else ends it, with the words of kith_share_proof_refusal. *pake: NULL at first; the caller frees it. */
KITH_CHECK kith_err kith_share_proof_take(kith_host *h, const kith_conn *conn, kith_share_grant *grant,
                                          kith_bytes data, kith_pake **pake,
                                          uint8_t answer[KITH_PAKE_ANSWER_LEN], bool *proved);
kith_share_code kith_share_proof_refusal(kith_err err);

#endif
