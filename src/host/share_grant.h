/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom a share admits: holders of its capabilities and of its code. Each way in is a grant, which counts. */
#ifndef KITH_HOST_SHARE_GRANT_H
#define KITH_HOST_SHARE_GRANT_H

#include "apps/share.h"
#include "apps/share_leaves.h"
#include "apps/share_pake.h"
#include "apps/share_ticket.h"

#define KITH_SHARE_GRANTS_MAX 64 /* capabilities that were given out, and the code, of one share */

typedef enum kith_share_grant_kind {
    KITH_GRANT_CAPABILITY,
    KITH_GRANT_CODE,
} kith_share_grant_kind;

typedef struct kith_share_grant {
    kith_share_grant_kind kind;
    uint64_t times;     /* 0: any number of times */
    uint64_t not_after; /* seconds since 1970; 0: never ends */
    uint64_t done, active;
    uint8_t nonce[KITH_CAPABILITY_NONCE_LEN]; /* CAPABILITY */
    size_t only_count; /* patterns: it is for what matches one of them; 0: for everything */
    char *only[KITH_CAPABILITY_ONLY_MAX];
    bool resolved;                       /* allowed is known */
    kith_leaves allowed;                 /* what they stand for, once the list is there */
    uint8_t code_tag[KITH_PAKE_TAG_LEN]; /* CODE */
    uint8_t secret[KITH_PAKE_SECRET_LEN];
    kith_code_guard guard;
} kith_share_grant;

typedef struct kith_share_grants {
    uint8_t tag[KITH_CAPABILITY_TAG_LEN];
    size_t count;
    kith_share_grant list[KITH_SHARE_GRANTS_MAX];
} kith_share_grants;

void kith_share_grants_init(kith_share_grants *g);
void kith_share_grants_fini(kith_share_grants *g); /* wipes */

/* Gives out a capability, written to w. c: its limits, patterns without a fault, and id; tag and nonce are set here. KITH_ELIMIT, KITH_ESPACE,
 * KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_grants_issue(kith_share_grants *g, const kith_signer *signer,
                                            kith_capability *c, kith_wr *w);
/* Writes a pass (share_ticket.h: a capability with a holder). It is no way in here, and so does not count. c: holder and end; tag and nonce are set
 * here. KITH_ESPACE. */
KITH_CHECK kith_err kith_share_grants_pass(const kith_share_grants *g, const kith_signer *signer,
                                           kith_capability *c, kith_wr *w);
/* Has a code admit. NULL: too many. */
kith_share_grant *kith_share_grants_code(kith_share_grants *g, const uint8_t tag[KITH_PAKE_TAG_LEN],
                                         const uint8_t secret[KITH_PAKE_SECRET_LEN]);

/* The grant that a capability stands for. NULL: none of this share's. key: the sharer's. */
kith_share_grant *kith_share_grants_find(kith_share_grants *g, kith_bytes capability,
                                         const uint8_t key[KITH_ED25519_PUB_LEN]);
kith_share_grant *kith_share_grants_find_code(kith_share_grants *g, kith_bytes tag);
/* Tells grants that are for a part, and have not been told, what it is: the list is there. KITH_ENOMEM: they may be for less than they should. */
KITH_CHECK kith_err kith_share_grants_resolve(kith_share_grants *g, const kith_manifest *m);
/* What may be fetched with it; NULL: everything. */
const kith_leaves *kith_share_grant_allowed(const kith_share_grant *g);
/* Whether it may be used once more; KITH_SHARE_NONE: yes. */
kith_share_code kith_share_grant_refusal(const kith_share_grant *g, uint64_t now_s);

#endif
