/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An identity: the seeds of a node's two keys, under a passphrase or not, and the statements that lead from one post-quantum key to the next.
 * The file that holds it, and its text for carrying it elsewhere. docs/protocols/identity-file.md. */
#ifndef KITH_HOST_IDENTITY_H
#define KITH_HOST_IDENTITY_H

#include "base/env.h"
#include "crypto/argon2.h"
#include "crypto/sign.h"
#include "wire/successor.h"

#define KITH_IDENTITY_TEXT_MAX (512u << 10) /* bytes of a file: longer ones are not read */
#define KITH_IDENTITY_ARMOUR_MAX (1u << 20)
#define KITH_IDENTITY_SIG KITH_SIG_MLDSA65 /* the algorithm of an identity for which none is named */

typedef struct kith_identity kith_identity;

/* What may be shown to anybody. */
typedef struct kith_identity_facts {
    kith_peer_id peer;
    kith_pq_id pq_id;
    kith_sig_alg
        alg; /* KITH_SIG_NONE: from a file of version 1, which knows no post-quantum key; pq_id is none then */
    uint64_t seq;   /* how often the post-quantum key was replaced */
    bool encrypted; /* a passphrase is needed for the keys */
    bool locked;    /* and it has not been given yet */
    size_t successors;
} kith_identity_facts;

/* ---- in memory ---- */

/* Two fresh keys, no passphrase. KITH_ENOMEM; KITH_EUNSUPPORTED: this build does not have the algorithm. */
KITH_CHECK kith_err kith_identity_new(kith_sig_alg alg, kith_rand rand, kith_identity **out);
void kith_identity_free(kith_identity *id); /* wipes; NULL is fine */
kith_identity_facts kith_identity_facts_of(const kith_identity *id);
/* The statements, the oldest first; views, valid until the identity is changed or freed. */
size_t kith_identity_successors(const kith_identity *id, kith_bytes out[KITH_SUCCESSORS_MAX]);

/* Takes the passphrase of an encrypted one; takes as long as Argon2id does. KITH_EAUTH: it is wrong. KITH_ELIMIT: the file asks for more memory
 * or time than kith gives, or the passphrase is empty or too long. KITH_ENOMEM. *why: static. */
KITH_CHECK kith_err kith_identity_unlock(kith_identity *id, kith_bytes passphrase, const char **why);
/* Encrypts under another passphrase, or with an empty one not at all. Not locked. Errors as unlock. */
KITH_CHECK kith_err kith_identity_protect(kith_identity *id, kith_bytes passphrase,
                                          const kith_argon2_cost *cost, kith_rand rand);
/* The keys, checked against the ids that stand beside the seeds. pq: NULL when version 1 has none. KITH_ESTATE: locked. KITH_EFORMAT: these are
 * not the keys that the file names. KITH_ENOMEM. KITH_EUNSUPPORTED: this build does not have the algorithm. */
KITH_CHECK kith_err kith_identity_keys(const kith_identity *id, kith_signer **signer, kith_pq_signer **pq);
/* What an error of the function above, or of those that make keys, means to a person; static. */
const char *kith_identity_trouble(kith_err e);
/* Gives one of version 1 its post-quantum key; one that has a key gets the next, with the statement that leads to it. time: seconds since
 * 1970 UTC. Not locked; stays under its passphrase. Errors as
 * kith_identity_new and kith_identity_keys. */
KITH_CHECK kith_err kith_identity_rotate(kith_identity *id, kith_sig_alg alg, uint64_t time, kith_rand rand);

/* The text of the file. KITH_EFORMAT: *why (static) says what is wrong. KITH_ENOMEM. */
KITH_CHECK kith_err kith_identity_parse(kith_bytes in, kith_identity **out, const char **why);
/* Version 2; the identity has a post-quantum key. Marks w bad when it does not fit: KITH_IDENTITY_TEXT_MAX always does. */
void kith_identity_put(const kith_identity *id, kith_wr *w);
/* The same as lines of base64 between a BEGIN and an END; what stands around them is ignored. Room: KITH_IDENTITY_ARMOUR_MAX. */
KITH_CHECK kith_err kith_identity_put_armour(const kith_identity *id, kith_wr *w);
KITH_CHECK kith_err kith_identity_parse_armour(kith_bytes in, kith_identity **out, const char **why);

/* ---- the file ----
 * Mode 0600, complete or not there at all, whatever happens in between; one that others may read is refused (KITH_EPOLICY). KITH_EIO: the
 * disk. *why (static or from strerror) says it to a person. */

/* KITH_ENOTFOUND: there is none. */
KITH_CHECK kith_err kith_identity_read(const char *path, kith_identity **out, const char **why);
/* For a node that starts: reads it, makes it when there is none, and gives one of version 1 its post-quantum key. */
KITH_CHECK kith_err kith_identity_load(const char *path, kith_identity **out, const char **why);
/* A file that is not there yet. KITH_EEXISTS. */
KITH_CHECK kith_err kith_identity_create(const char *path, const kith_identity *id, const char **why);
/* In the place of the file that `was` was read from. keep: the old file stays under the name that is written there (at least strlen(path) + 16
 * bytes), and `was` may be NULL: whatever is there; NULL: it is gone. KITH_ESTATE: somebody else changed the file meanwhile. */
KITH_CHECK kith_err kith_identity_replace(const char *path, const kith_identity *was, const kith_identity *id,
                                          char *keep, size_t keep_size, const char **why);

#endif
