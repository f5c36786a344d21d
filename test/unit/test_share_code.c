/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Share codes as they are typed, with the mistakes that people make. */
#include "unit/support.h"

#include <stdio.h>

#include "apps/share_code.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"

static const char alphabet[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
static const kith_code sample = {.locator = 0x2a5f31c7, .secret = 0x1234567};

static char note[KITH_CODE_NOTE_MAX + 1];

static kith_err parse(const char *text, kith_code *out)
{
    kith_span copy = support_copy(kith_bytes_str(text));
    kith_err e = kith_code_parse(kith_span_bytes(copy), out, note);
    assert_true(strlen(note) < KITH_CODE_NOTE_MAX);
    free(copy.p);
    return e;
}

static void reads_as(const char *text, const kith_code *want, const char *said)
{
    kith_code c = {0};
    assert_int_equal(parse(text, &c), KITH_OK);
    assert_int_equal(c.locator, want->locator);
    assert_int_equal(c.secret, want->secret);
    assert_string_equal(note, said);
}

static void is_refused(const char *text, const char *said)
{
    kith_code c;
    assert_int_equal(parse(text, &c), KITH_EFORMAT);
    assert_string_equal(note, said);
}

static kith_code draw(uint64_t *seed)
{
    return (kith_code){.locator = (uint32_t)support_below(seed, 1u << KITH_CODE_LOCATOR_BITS),
                       .secret = (uint32_t)support_below(seed, 1u << KITH_CODE_SECRET_BITS)};
}

static void both_forms_are_as_they_are_written_down(void **state)
{
    (void)state;
    char text[KITH_CODE_TEXT_LEN + 1], words[KITH_CODE_WORDS_MAX + 1];
    kith_code_text(&sample, text);
    kith_code_words(&sample, words);
    /* docs/protocols/code.md has the same */
    assert_string_equal(text, "P7YE-G9L8-KD9V");
    assert_string_equal(words, "practice tower shy minimum provide model");
    kith_code none = {0}, all = {.locator = (1u << 30) - 1, .secret = (1u << 25) - 1};
    kith_code_text(&none, text);
    assert_string_equal(text, "2222-2222-2222");
    reads_as(text, &none, "");
    kith_code_words(&none, words);
    assert_string_equal(words, "abandon abandon abandon abandon abandon abandon");
    reads_as(words, &none, "");
    kith_code_text(&all, text);
    reads_as(text, &all, "");
    kith_code_words(&all, words);
    reads_as(words, &all, "");
}

static void a_code_is_read_however_it_is_typed(void **state)
{
    (void)state;
    char text[KITH_CODE_TEXT_LEN + 1], words[KITH_CODE_WORDS_MAX + 1], other[256] = "", *o = other;
    kith_code_text(&sample, text);
    kith_code_words(&sample, words);
    reads_as(text, &sample, "");
    for (const char *c = text; *c; c++) {
        if (*c != '-') /* small letters, alone, between dashes that some program has made longer */
            o += sprintf(o, "%c\xe2\x80\x93 ", *c >= 'A' ? *c + 32 : *c);
    }
    reads_as(other, &sample, "");
    snprintf(other, sizeof other, "\t%.4s%.4s\xc2\xa0%.4s\r\n", text, text + 5, text + 10);
    reads_as(other, &sample, "");
    reads_as(words, &sample, "");
    o = other; /* the first four letters, large */
    size_t in = 0;
    for (const char *c = words; *c; c++) {
        in = *c == ' ' ? 0 : in + 1;
        if (*c == ' ' || in <= 4)
            *o++ = *c == ' ' ? '-' : (char)(*c - 32);
    }
    *o = 0;
    reads_as(other, &sample, "");
}

static void every_code_comes_back_from_both_forms(void **state)
{
    (void)state;
    uint64_t seed = 7;
    char text[KITH_CODE_WORDS_MAX + 1];
    for (int i = 0; i < 2000; i++) {
        kith_code c = draw(&seed);
        kith_code_text(&c, text);
        reads_as(text, &c, "");
        kith_code_words(&c, text);
        reads_as(text, &c, "");
    }
    support_heap heap;
    kith_code a, b;
    kith_code_draw(support_env(&heap), &a);
    kith_code_draw(support_env(&heap), &b);
    assert_true(a.locator < 1u << KITH_CODE_LOCATOR_BITS && a.secret < 1u << KITH_CODE_SECRET_BITS);
}

static void a_wrong_symbol_or_two_exchanged_ones_are_always_found(void **state)
{
    (void)state;
    static const char wrong[] =
        "a symbol is wrong, or two have changed places: the last one does not fit the others";
    char text[KITH_CODE_TEXT_LEN + 1], bad[KITH_CODE_TEXT_LEN + 1];
    kith_code_text(&sample, text);
    for (size_t i = 0; i < KITH_CODE_TEXT_LEN; i++) {
        for (size_t s = 0; text[i] != '-' && s < 32; s++) {
            strcpy(bad, text);
            bad[i] = alphabet[s];
            if (bad[i] != text[i])
                is_refused(bad, wrong);
        }
        for (size_t k = i + 1; k < KITH_CODE_TEXT_LEN; k++) {
            strcpy(bad, text);
            bad[i] = text[k], bad[k] = text[i];
            if (text[i] != '-' && text[k] != '-' && text[i] != text[k])
                is_refused(bad, wrong);
        }
    }
}

static void one_symbol_that_is_none_is_put_right_and_said(void **state)
{
    (void)state;
    uint64_t seed = 9;
    char text[64], said[128];
    for (int n = 0; n < 200; n++) {
        kith_code c = draw(&seed);
        kith_code_text(&c, text);
        for (size_t i = 0, at = 1; i < KITH_CODE_TEXT_LEN; i++) {
            char was = text[i];
            if (was == '-')
                continue;
            text[i] = "0O1Ioi?"[support_below(&seed, 7)];
            snprintf(said, sizeof said,
                     "symbol %zu, \"%c\", is none of a code's, and was put right by the others", at++,
                     text[i]);
            reads_as(text, &c, said);
            text[i] = was;
        }
    }
    kith_code_text(&sample, text);
    char longer[128]; /* one that is more than a byte, and must not reach a terminal as it is */
    snprintf(longer, sizeof longer, "\xe2\x80\xae%s", text + 1);
    reads_as(longer, &sample,
             "symbol 1, \"\\u{202e}\", is none of a code's, and was put right by the others");
    snprintf(longer, sizeof longer, "\x1b%s", text + 1);
    reads_as(longer, &sample, "symbol 1, \"\\x1b\", is none of a code's, and was put right by the others");
    text[0] = '0', text[13] = 'o';
    is_refused(
        text,
        "symbol 1, \"0\" and symbol 12, \"o\", are none of a code's: there is no 0, O, 1 or I, and only one such symbol can be put "
        "right");
}

static void a_wrong_number_of_symbols_or_words_is_told(void **state)
{
    (void)state;
    static const char count[] = "a code has 12 symbols, as in 7KQM-2FXW-9TRB, or six words; this has ";
    char said[128], many[KITH_CODE_TYPED_MAX + 2];
    is_refused("", "a code has 12 symbols, as in 7KQM-2FXW-9TRB, or six words; this has 0 symbols");
    is_refused(" 7 ", "a code has 12 symbols, as in 7KQM-2FXW-9TRB, or six words; this has 1 symbol");
    snprintf(said, sizeof said, "%s11 symbols", count);
    is_refused("2222-2222-222", said);
    snprintf(said, sizeof said, "%s13 symbols", count);
    is_refused("2222-2222-2222-2", said);
    is_refused("abandon abandon abandon abandon abandon",
               "a code has six words, or 12 symbols; these are 5 words");
    is_refused("abandon abandon abandon abandon abandon abandon abandon",
               "a code has six words, or 12 symbols; these are 7 words");
    is_refused("abandonabandonabandon", "a code has six words, or 12 symbols; these are 1 word");
    memset(many, '2', sizeof many);
    many[KITH_CODE_TYPED_MAX] = 0;
    is_refused(many, "a code has six words, or 12 symbols; these are 1 word");
    many[KITH_CODE_TYPED_MAX] = ' ', many[KITH_CODE_TYPED_MAX + 1] = 0;
    is_refused(many, "this is too long for a code");
}

/* The words of a code with one of them replaced. */
static void with_word(const char *words, size_t at, const char *instead, char *out, size_t room)
{
    char copy[KITH_CODE_WORDS_MAX + 1], *save = NULL;
    strcpy(copy, words);
    *out = 0;
    size_t i = 0;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save), i++)
        snprintf(out + strlen(out), room - strlen(out), "%s%s", i ? " " : "", i == at ? instead : w);
}

static void a_wrong_word_or_two_exchanged_ones_are_always_found(void **state)
{
    (void)state;
    static const char wrong[] =
        "a word is wrong, or two have changed places: the last one does not fit the others";
    char words[KITH_CODE_WORDS_MAX + 1], bad[128];
    const char *w[KITH_CODE_WORDS], *swapped[KITH_CODE_WORDS];
    kith_code_words(&sample, words);
    for (size_t i = 0; i < KITH_CODE_WORDS; i++) {
        size_t right = 0;
        for (size_t k = 0; k < KITH_WORDS; k++) {
            kith_code c;
            with_word(words, i, kith_words[k], bad, sizeof bad);
            if (strcmp(bad, words) != 0)
                is_refused(bad, wrong);
            else if (parse(bad, &c) == KITH_OK)
                right = k;
        }
        w[i] = kith_words[right];
    }
    for (size_t i = 0; i < KITH_CODE_WORDS; i++) {
        for (size_t k = i + 1; k < KITH_CODE_WORDS; k++) {
            memcpy(swapped, w, sizeof w);
            swapped[i] = w[k], swapped[k] = w[i];
            *bad = 0;
            for (size_t n = 0; n < KITH_CODE_WORDS; n++)
                snprintf(bad + strlen(bad), sizeof bad - strlen(bad), "%s ", swapped[n]);
            is_refused(bad, wrong);
        }
    }
}

static void a_mistyped_word_is_put_right_if_the_others_say_what_it_is(void **state)
{
    (void)state;
    char words[KITH_CODE_WORDS_MAX + 1], bad[128];
    const kith_code c = {.locator = 1u << 19, .secret = 0}; /* the first word is "ability" */
    kith_code_words(&c, words);
    assert_int_equal(strncmp(words, "ability abandon ", 16), 0);
    static const struct {
        const char *typed, *said;
    } good[] = {
        {"abilty", "word 1, \"abilty\", is none of a code's, and was put right by the others"},
        {"ablity", "word 1, \"ablity\", is none of a code's, and was put right by the others"},
        {"agility", "word 1, \"agility\", is none of a code's, and was put right by the others"},
        {"abilities", NULL},
        {"abi", ""},
        {"ab", "word 1, \"ab\", is none of a code's, and was put right by the others"},
        {"?", "word 1, \"?\", is none of a code's, and was put right by the others"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        with_word(words, 0, good[i].typed, bad, sizeof bad);
        if (good[i].said)
            reads_as(bad, &c, good[i].said);
        else
            is_refused(
                bad, "word 1, \"abilities\", is none of a code's, and nothing like it fits the other words");
    }
    with_word(words, 0, "capability-too-long", bad, sizeof bad);
    is_refused(bad, "a code has six words, or 12 symbols; these are 8 words");
    with_word(words, 0, "abilityabilityability", bad, sizeof bad);
    is_refused(
        bad,
        "word 1, \"abilityabilityab...\", is none of a code's, and nothing like it fits the other words");
    is_refused(
        "abilty abandn able able able able",
        "word 1, \"abilty\" and word 2, \"abandn\", are none of a code's, and only one such word can be put right");
}

static void the_list_is_that_of_bip_39_and_each_word_is_known_by_four_letters(void **state)
{
    (void)state;
    uint8_t hash[KITH_SHA256_LEN];
    char *all = malloc((size_t)KITH_WORDS * (KITH_WORD_MAX + 1) + 1), *at = all;
    for (size_t i = 0; i < KITH_WORDS; i++) {
        at += sprintf(at, "%s\n", kith_words[i]);
        assert_true(strlen(kith_words[i]) >= KITH_WORD_MIN);
        assert_true(i == 0 || strncmp(kith_words[i - 1], kith_words[i], 4) < 0);
    }
    kith_sha256(kith_bytes_of(all, (size_t)(at - all)), hash);
    free(all);
    support_assert_hex(kith_bytes_of(hash, sizeof hash),
                       "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
}

static int set_up(void **state)
{
    (void)state;
    return (int)kith_crypto_init();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_as_they_are_written_down),
        cmocka_unit_test(a_code_is_read_however_it_is_typed),
        cmocka_unit_test(every_code_comes_back_from_both_forms),
        cmocka_unit_test(a_wrong_symbol_or_two_exchanged_ones_are_always_found),
        cmocka_unit_test(one_symbol_that_is_none_is_put_right_and_said),
        cmocka_unit_test(a_wrong_number_of_symbols_or_words_is_told),
        cmocka_unit_test(a_wrong_word_or_two_exchanged_ones_are_always_found),
        cmocka_unit_test(a_mistyped_word_is_put_right_if_the_others_say_what_it_is),
        cmocka_unit_test(the_list_is_that_of_bip_39_and_each_word_is_known_by_four_letters),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
