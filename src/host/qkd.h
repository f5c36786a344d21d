/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A client of one key management entity (KME): ETSI GS QKD 014 V1.1.1 over HTTPS with mutual certificates.
 *
 * It runs on the loop by libcurl's multi interface: a KME that is slow holds up nobody, and takes no thread of the pool that files and
 * names need. Connections to the KME are kept and used again. No redirects, no proxy, no trust but the given CA file.
 *
 * Keys are copied only into the caller's answer. Memory of libcurl and jansson is wiped when they free it; what the TLS library
 * behind libcurl keeps in its own buffers is not in our hands. */
#ifndef KITH_HOST_QKD_H
#define KITH_HOST_QKD_H

#include <uv.h>

#include "host/qkd_msg.h"

#define KITH_QKD_CALLS_MAX 64 /* requests under way; the next one is refused */
#define KITH_QKD_WHY_MAX 320  /* of a reason, NUL included */

typedef struct kith_qkd kith_qkd;

/* Texts are copied. */
typedef struct kith_qkd_config {
    const char *url;     /* https://HOST[:PORT], what comes before /api/v1/keys */
    const char *cert;    /* PEM file: our SAE's certificate, with its chain */
    const char *key;     /* PEM file: its private key, not encrypted, mode 0640 or stricter */
    const char *ca;      /* PEM file: who signs the KME's certificate */
    unsigned timeout_ms; /* of one request; > 0 */
} kith_qkd_config;

/* NULL: why says what is missing or wrong. The files are read again for each new connection to the KME. */
kith_qkd *kith_qkd_new(uv_loop_t *loop, const kith_qkd_config *cfg, char why[KITH_QKD_WHY_MAX]);
/* Answers what is under way with KITH_ECLOSED, and goes away in later turns of the loop, which must run on. Accepts NULL. */
void kith_qkd_close(kith_qkd *q);

/* The answer; key and why are valid during the call. err is 0 or
 *   KITH_ETIMEOUT    no answer in time
 *   KITH_EIO         the KME cannot be reached, or says it is failing (503)
 *   KITH_EAUTH       a certificate was refused, by us or by the KME (401)
 *   KITH_ENOTFOUND   the KME has no such key (any more)
 *   KITH_EREFUSED    the KME refuses the request (400)
 *   KITH_EPROTO      the reply is not what the standard says
 *   KITH_ECLOSED     kith_qkd_close
 *   KITH_ENOMEM
 * Never called before the function that asked has returned. */
typedef void (*kith_qkd_key_fn)(void *ctx, kith_err err, const kith_qkd_key *key, const char *why);
typedef void (*kith_qkd_status_fn)(void *ctx, kith_err err, const kith_qkd_status *status, const char *why);

/* A fresh key to be shared with a slave SAE ("Get key", clause 5.3). KITH_ELIMIT: KITH_QKD_CALLS_MAX are under way. KITH_ENOMEM. */
KITH_CHECK kith_err kith_qkd_enc_key(kith_qkd *q, const char *slave_sae, kith_qkd_key_fn fn, void *ctx);
/* The key that a master SAE was given under an id ("Get key with key IDs", clause 5.4). id: KITH_QKD_ID_LEN bytes, a UUID. */
KITH_CHECK kith_err kith_qkd_dec_key(kith_qkd *q, const char *master_sae, const char *id, kith_qkd_key_fn fn,
                                     void *ctx);
/* "Get status", clause 5.2. */
KITH_CHECK kith_err kith_qkd_get_status(kith_qkd *q, const char *slave_sae, kith_qkd_status_fn fn, void *ctx);

/* Whether text can be an SAE's id: 1 to KITH_QKD_NAME_MAX printable ASCII characters. */
bool kith_qkd_sae_ok(const char *text);

#endif
