/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The words of a share code that is said instead of typed. */
#ifndef KITH_APPS_SHARE_WORDS_H
#define KITH_APPS_SHARE_WORDS_H

#define KITH_WORDS 2048 /* 11 bits */
#define KITH_WORD_MIN 3 /* letters */
#define KITH_WORD_MAX 8

/* Small letters, in order; no two begin with the same four. */
extern const char kith_words[KITH_WORDS][KITH_WORD_MAX + 1];

#endif
