/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Share codes as people see them. A code is 55 random bits, 30 that locate (host/code_key.h) and 25 that are the secret (apps/share_pake.h),
 * in one of two forms with a check of its own, out of which nothing of the code can be told that the rest does not say:
 *
 *     7KQM-2FXW-9TRB       12 symbols of 23456789ABCDEFGHJKLMNPQRSTUVWXYZ: 6 locate, 5 are the secret, the last is over GF(2^5)
 *     half acid ...        6 words of 2048: 55 bits, the last is over GF(2^11)
 *
 * Either check finds every single wrong symbol or word, and every two that have changed places. It finds other mistakes with a chance of 31 in
 * 32, or 2047 in 2048. What is not of the alphabet or the list can be put right if it is the only one. docs/protocols/code.md */
#ifndef KITH_APPS_SHARE_CODE_H
#define KITH_APPS_SHARE_CODE_H

#include "apps/share_words.h"
#include "base/env.h"
#include "base/err.h"

#define KITH_CODE_LOCATOR_BITS 30
#define KITH_CODE_SECRET_BITS 25
#define KITH_CODE_SYMBOLS 12
#define KITH_CODE_WORDS 6
#define KITH_CODE_TEXT_LEN 14 /* without NUL */
#define KITH_CODE_WORDS_MAX (KITH_CODE_WORDS * (KITH_WORD_MAX + 1) - 1)
#define KITH_CODE_TYPED_MAX 256 /* bytes that are looked at */
#define KITH_CODE_NOTE_MAX 320  /* without NUL */

/* A secret: the caller wipes it. */
typedef struct kith_code {
    uint32_t locator, secret;
} kith_code;

/* Draws 8 bytes. */
void kith_code_draw(const kith_env *env, kith_code *out);
/* Both NUL-terminated. */
void kith_code_text(const kith_code *c, char out[KITH_CODE_TEXT_LEN + 1]);
void kith_code_words(const kith_code *c, char out[KITH_CODE_WORDS_MAX + 1]);

/* Reads either form as a person may have typed it: in small letters or large, with blanks and dashes of any kind between the symbols or not, words
 * shortened to what only one begins with. note is NUL-terminated: "", or on KITH_OK what was put right, and on KITH_EFORMAT what is wrong
 * and where, both without anything of the code but what was typed wrongly, and ready to be printed. */
KITH_CHECK kith_err kith_code_parse(kith_bytes typed, kith_code *out, char note[KITH_CODE_NOTE_MAX + 1]);

#endif
