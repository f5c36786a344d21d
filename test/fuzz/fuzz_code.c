/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes share codes as they are typed: what is read can be written in both forms and is read again without a word, and what is said of it may be
 * shown on a terminal. */
#include <assert.h>

#include "apps/share_code.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void comes_back(const kith_code *c, const char *form)
{
    kith_code back;
    char note[KITH_CODE_NOTE_MAX + 1];
    kith_err e = kith_code_parse(kith_bytes_str(form), &back, note);
    assert(e == KITH_OK && back.locator == c->locator && back.secret == c->secret && note[0] == 0);
    (void)e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_code c;
    char note[KITH_CODE_NOTE_MAX + 1], text[KITH_CODE_TEXT_LEN + 1], words[KITH_CODE_WORDS_MAX + 1];
    kith_err e = kith_code_parse(kith_bytes_of(data, size), &c, note);
    for (kith_bytes n = kith_bytes_str(note); n.len > 0;) {
        uint32_t cp = 0;
        size_t len = kith_utf8_next(n, &cp);
        assert(len > 0 && kith_text_printable(cp));
        n = kith_bytes_skip(n, len);
    }
    if (e) {
        assert(e == KITH_EFORMAT && note[0]);
        return 0;
    }
    assert(c.locator < 1u << KITH_CODE_LOCATOR_BITS && c.secret < 1u << KITH_CODE_SECRET_BITS);
    kith_code_text(&c, text);
    kith_code_words(&c, words);
    comes_back(&c, text);
    comes_back(&c, words);
    return 0;
}
