/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which entries of a share are wanted, by patterns on their paths: kith get --only and --exclude.
 *
 * A pattern matches byte by byte, as written:
 *
 *     *     any number of bytes but "/"           ?      one character (not "/")
 *     **    the same, and "/" too                 [a-z]  one of these characters; [!a-z] one that is none of them (never "/")
 *     \x    x itself
 *
 * One without "/" (but at its end) is for a name anywhere: "*.pdf" is "a/b.pdf" too. One with "/" is for the whole path from the top:
 * "photos/2024". "**" + "/" at the front or in the middle also stands for nothing: "a/" "**" "/b" is "a/b" too. One that ends in "/" is for
 * folders alone. What matches a folder goes for all that is in it. */
#ifndef KITH_APPS_SHARE_SELECT_H
#define KITH_APPS_SHARE_SELECT_H

#include "apps/share_manifest.h"

#define KITH_SELECT_PATTERNS 64     /* of each kind */
#define KITH_SELECT_PATTERN_MAX 512 /* bytes of one */

typedef struct kith_share_select {
    const char *only[KITH_SELECT_PATTERNS]; /* borrowed; none: everything */
    const char *exclude[KITH_SELECT_PATTERNS];
    size_t only_count, exclude_count;
} kith_share_select;

/* What is wrong with a pattern, as a static phrase ("it is empty"), or NULL. */
const char *kith_share_pattern_fault(const char *pattern);

/* Whether a pattern without a fault matches a path (with slashes, from the top). Takes no longer than the product of their lengths. */
bool kith_share_pattern_matches(const char *pattern, kith_bytes path, bool folder);

/* Fills one byte per entry: not zero for what is not wanted. Wanted is what matches one of `only` and none of `exclude`, itself or by a
 * folder above it, and the folders that lead there. Looks at each name once per pattern, however deep it lies; takes 5 KiB for each while it
 * runs. KITH_ENOMEM. */
KITH_CHECK kith_err kith_share_select_run(const kith_env *env, const kith_share_select *s,
                                          const kith_manifest *m, uint8_t *unwanted);

/* ---- while a list is made: kith share --exclude ---- */

#define KITH_SIEVE_PATTERNS 256

typedef struct kith_share_sieve kith_share_sieve;

/* Patterns without a fault, copied: 5 KiB each. NULL: no memory, or more than KITH_SIEVE_PATTERNS. */
kith_share_sieve *kith_share_sieve_new(const kith_env *env, const char *const *patterns, size_t count);
void kith_share_sieve_free(kith_share_sieve *s); /* NULL is fine */
/* Whether an entry (its type, name and depth < KITH_MANIFEST_DEPTH_MAX) matches one of them. It is asked in pre-order, and what lies in a
 * folder that does is not asked. */
bool kith_share_sieve_holds(kith_share_sieve *s, const kith_entry *e);

#endif
