/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The messages of ETSI GS QKD 014 V1.1.1 (2019-02), clause 6, without the HTTP around them. */
#ifndef KITH_HOST_QKD_MSG_H
#define KITH_HOST_QKD_MSG_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_QKD_KEY_LEN 32              /* bytes of a key as kith asks for it: 256 bits */
#define KITH_QKD_ID_LEN 36               /* key_ID: a UUID as text, RFC 4122 */
#define KITH_QKD_NAME_MAX 128            /* of a KME's or SAE's id */
#define KITH_QKD_REPLY_MAX (64u * 1024u) /* of any reply */
#define KITH_QKD_TEXT_MAX 200            /* of what a KME says for people, NUL included */

/* A key and its name. Wipe it after use. */
typedef struct kith_qkd_key {
    char id[KITH_QKD_ID_LEN + 1]; /* as the KME wrote it */
    uint8_t key[KITH_QKD_KEY_LEN];
    bool simulated; /* the KME says so: key_container_extension {"simulated": true} */
} kith_qkd_key;

/* Clause 6.1. Sizes in bits. */
typedef struct kith_qkd_status {
    char source_kme[KITH_QKD_NAME_MAX + 1], target_kme[KITH_QKD_NAME_MAX + 1];
    char master_sae[KITH_QKD_NAME_MAX + 1], slave_sae[KITH_QKD_NAME_MAX + 1];
    uint32_t key_size, stored_key_count, max_key_count, max_key_per_request, max_key_size, min_key_size,
        max_sae_id_count;
    bool simulated; /* status_extension {"simulated": true} */
} kith_qkd_status;

/* Whether text is a UUID, in either case. */
bool kith_qkd_is_id(kith_bytes text);
/* The same UUID, whatever the case; both have KITH_QKD_ID_LEN bytes. */
bool kith_qkd_same_id(const char *a, const char *b);

/* Bodies of requests: one key of KITH_QKD_KEY_LEN bytes; the key with an id. */
#define KITH_QKD_ENC_BODY "{\"number\":1,\"size\":256}"
#define KITH_QKD_DEC_BODY "{\"key_IDs\":[{\"key_ID\":\"%.36s\"}]}"

/* A key container (clause 6.3) that must hold one key of KITH_QKD_KEY_LEN bytes, the one named `id` unless that is NULL. Unknown
 * members are skipped, as the standard's own extensions are. KITH_EPROTO: *why (static) says what is wrong. KITH_ENOMEM. */
KITH_CHECK kith_err kith_qkd_parse_key(kith_bytes body, const char *id, kith_qkd_key *out, const char **why);
/* The same for a status (clause 6.1). */
KITH_CHECK kith_err kith_qkd_parse_status(kith_bytes body, kith_qkd_status *out, const char **why);
/* The message of an error (clause 6.5) as one line of printable ASCII, cut where it is too long; "" if the body is none. */
void kith_qkd_parse_error(kith_bytes body, char out[KITH_QKD_TEXT_MAX]);

#endif
