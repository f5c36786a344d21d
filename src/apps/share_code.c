/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Share codes: symbols, words, and what can be put right of them. */
#include "apps/share_code.h"

#include "apps/share_name.h"
#include "crypto/crypto.h"

#define SYMBOL_BITS 5
#define WORD_BITS 11
#define SPLIT_MAX 24    /* parts between separators that are told apart */
#define SHOWN_MAX 16    /* bytes of what was typed that a note repeats */
#define NEAR 2          /* letters wrong, left out, put in or exchanged, and a word may still be another */
#define LETTERS_MAX 12  /* of a word that may be another */
#define SYMBOLS_MOST 16 /* whatever has more of them in it is meant to be words */

static const char alphabet[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/* GF(2^n) by a primitive polynomial, whose root is a. A code is sound when the sum of a^i * v[i] is 0: the powers of a are different for all
 * places, so that one wrong value or two exchanged ones change the sum, and any one value follows from the others. */
typedef struct field {
    unsigned bits;
    uint32_t poly;
} field;

static const field of_symbols = {SYMBOL_BITS, 0x25}; /* x^5 + x^2 + 1 */
static const field of_words = {WORD_BITS, 0x805};    /* x^11 + x^2 + 1 */

static uint32_t sum(const field *f, const uint16_t *v, size_t n)
{
    uint32_t s = 0;
    while (n-- > 0) {
        s <<= 1;
        s ^= s >> f->bits ? f->poly : 0;
        s ^= v[n];
    }
    return s;
}

/* Sets v[at], whatever it is now, to what makes the code sound. */
static void solve(const field *f, uint16_t *v, size_t n, size_t at)
{
    v[at] = 0;
    uint32_t s = sum(f, v, n);
    for (size_t i = 0; i < at; i++)
        s = (s ^ (s & 1 ? f->poly : 0)) >> 1; /* divided by a */
    v[at] = (uint16_t)s;
}

/* The 55 bits in n - 1 values, and the check. */
static void spread(const field *f, const kith_code *c, uint16_t *v, size_t n)
{
    uint64_t bits = (uint64_t)c->locator << KITH_CODE_SECRET_BITS | c->secret;
    for (size_t i = n - 1; i-- > 0; bits >>= f->bits)
        v[i] = (uint16_t)(bits & ((1u << f->bits) - 1));
    solve(f, v, n, n - 1);
}

static void gather(const field *f, const uint16_t *v, size_t n, kith_code *out)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n - 1; i++)
        bits = bits << f->bits | v[i];
    out->locator = (uint32_t)(bits >> KITH_CODE_SECRET_BITS);
    out->secret = (uint32_t)bits & ((1u << KITH_CODE_SECRET_BITS) - 1);
}

void kith_code_draw(const kith_env *env, kith_code *out)
{
    uint8_t b[8];
    kith_rand_fill(env, kith_span_of(b, sizeof b));
    out->locator = kith_load_be32(b) >> (32 - KITH_CODE_LOCATOR_BITS);
    out->secret = kith_load_be32(b + 4) >> (32 - KITH_CODE_SECRET_BITS);
    kith_wipe(b, sizeof b);
}

void kith_code_text(const kith_code *c, char out[KITH_CODE_TEXT_LEN + 1])
{
    uint16_t v[KITH_CODE_SYMBOLS] = {0};
    spread(&of_symbols, c, v, KITH_CODE_SYMBOLS);
    for (size_t i = 0; i < KITH_CODE_SYMBOLS; i++) {
        if (i > 0 && i % 4 == 0)
            *out++ = '-';
        *out++ = alphabet[v[i]];
    }
    *out = 0;
    kith_wipe(v, sizeof v);
}

void kith_code_words(const kith_code *c, char out[KITH_CODE_WORDS_MAX + 1])
{
    uint16_t v[KITH_CODE_WORDS];
    spread(&of_words, c, v, KITH_CODE_WORDS);
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_CODE_WORDS_MAX));
    for (size_t i = 0; i < KITH_CODE_WORDS; i++) {
        kith_put_str(&w, i ? " " : "");
        kith_put_str(&w, kith_words[v[i]]);
    }
    out[w.len] = 0;
    kith_wipe(v, sizeof v);
}

/* ---- reading ---- */

static uint8_t byte_at(kith_bytes b, size_t i)
{
    return i < b.len ? b.p[i] : 0;
}

/* Bytes of the separator that b begins with: white space, a dash or underscore, or what programs make of them: U+00A0, U+2010..2015, U+2212. */
static size_t separator(kith_bytes b)
{
    uint8_t c = byte_at(b, 0), d = byte_at(b, 1), e = byte_at(b, 2);
    if (c == ' ' || c == '-' || c == '_' || (c >= '\t' && c <= '\r'))
        return 1;
    if (c == 0xc2 && d == 0xa0)
        return 2;
    return c == 0xe2 && ((d == 0x80 && e >= 0x90 && e <= 0x95) || (d == 0x88 && e == 0x92)) ? 3 : 0;
}

/* Bytes of the character that b, which is not empty, begins with; what is no UTF-8 is cut somewhere. */
static size_t character(kith_bytes b)
{
    size_t n = 1;
    while ((byte_at(b, n) & 0xc0) == 0x80)
        n++;
    return n;
}

typedef struct typed {
    kith_bytes part[SPLIT_MAX];
    size_t parts;      /* may be more than there is room for */
    size_t characters; /* in all of them */
} typed;

static void split(kith_bytes b, typed *t)
{
    *t = (typed){0};
    while (b.len > 0) {
        size_t n = separator(b), end = 0;
        if (n > 0) {
            b = kith_bytes_skip(b, n);
            continue;
        }
        for (; end < b.len && separator(kith_bytes_skip(b, end)) == 0; t->characters++)
            end += character(kith_bytes_skip(b, end));
        if (t->parts < SPLIT_MAX)
            t->part[t->parts] = kith_bytes_of(b.p, end);
        t->parts++;
        b = kith_bytes_skip(b, end);
    }
}

static void show(kith_wr *note, kith_bytes what)
{
    kith_put_str(note, "\"");
    kith_name_put(note, kith_bytes_of(what.p, what.len < SHOWN_MAX ? what.len : SHOWN_MAX));
    kith_put_str(note, what.len > SHOWN_MAX ? "...\"" : "\"");
}

/* What is not of the alphabet or the list, as it was found. */
typedef struct strange {
    size_t count;
    size_t at[2]; /* the first two */
    kith_bytes what[2];
} strange;

static void note_strange(strange *s, size_t at, kith_bytes what)
{
    if (s->count < 2) {
        s->at[s->count] = at;
        s->what[s->count] = what;
    }
    s->count++;
}

static void tell_strange(kith_wr *note, const char *one, const strange *s, size_t i)
{
    kith_put_str(note, one);
    kith_put_str(note, " ");
    kith_put_dec(note, s->at[i] + 1);
    kith_put_str(note, ", ");
    show(note, s->what[i]);
}

static void tell_count(kith_wr *note, const char *has, size_t n)
{
    kith_put_str(note, has);
    kith_put_dec(note, n);
}

static kith_err symbols(const typed *t, uint16_t v[KITH_CODE_SYMBOLS], kith_wr *note)
{
    strange s = {0};
    size_t at = 0;
    if (t->characters != KITH_CODE_SYMBOLS) {
        tell_count(note, "a code has 12 symbols, as in 7KQM-2FXW-9TRB, or six words; this has ",
                   t->characters);
        kith_put_str(note, t->characters == 1 ? " symbol" : " symbols");
        return KITH_EFORMAT;
    }
    for (size_t i = 0; i < t->parts; i++) { /* no more than 12 */
        for (kith_bytes b = t->part[i]; b.len > 0; at++) {
            kith_bytes c = kith_bytes_of(b.p, character(b));
            uint8_t upper = c.p[0] >= 'a' && c.p[0] <= 'z' ? c.p[0] - 'a' + 'A' : c.p[0];
            const char *found = c.len == 1 && upper ? strchr(alphabet, upper) : NULL;
            v[at] = found ? (uint16_t)(found - alphabet) : 0;
            if (!found)
                note_strange(&s, at, c);
            b = kith_bytes_skip(b, c.len);
        }
    }
    if (s.count == 1) {
        solve(&of_symbols, v, KITH_CODE_SYMBOLS, s.at[0]);
        tell_strange(note, "symbol", &s, 0);
        kith_put_str(note, ", is none of a code's, and was put right by the others");
        return KITH_OK;
    }
    if (s.count > 1) {
        tell_strange(note, "symbol", &s, 0);
        tell_strange(note, " and symbol", &s, 1);
        kith_put_str(
            note,
            ", are none of a code's: there is no 0, O, 1 or I, and only one such symbol can be put right");
        return KITH_EFORMAT;
    }
    if (sum(&of_symbols, v, KITH_CODE_SYMBOLS) != 0) {
        kith_put_str(note,
                     "a symbol is wrong, or two have changed places: the last one does not fit the others");
        return KITH_EFORMAT;
    }
    return KITH_OK;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters wrong, left out, put in, or exchanged with their neighbour. */
static size_t distance(kith_bytes a, kith_bytes b)
{
    size_t d[LETTERS_MAX + 1][LETTERS_MAX + 1];
    for (size_t i = 0; i <= a.len; i++) {
        for (size_t j = 0; j <= b.len; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] =
                least(d[i - 1][j - 1] + (a.p[i - 1] != b.p[j - 1]), least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.len][b.len];
}

/* The word as it was typed, in small letters. */
typedef struct word {
    uint8_t b[LETTERS_MAX];
    size_t len; /* more than LETTERS_MAX: it is no word */
} word;

static word small(kith_bytes b)
{
    word w = {.len = b.len};
    if (b.len <= LETTERS_MAX)
        kith_name_fold(b, w.b);
    return w;
}

static bool begins(const char *whole, const word *w)
{
    return strncmp(whole, (const char *)w->b, w->len) == 0;
}

/* Its index, if it is one of the list or the beginning of just one; KITH_WORDS: it is not. */
static size_t look_up(const word *w)
{
    size_t low = 0, high = KITH_WORDS;
    if (w->len < KITH_WORD_MIN || w->len > KITH_WORD_MAX)
        return KITH_WORDS;
    while (low < high) { /* the first that is not before it */
        size_t mid = (low + high) / 2;
        if (strncmp(kith_words[mid], (const char *)w->b, w->len) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == KITH_WORDS || !begins(kith_words[low], w))
        return KITH_WORDS;
    bool whole = kith_words[low][w->len] == 0,
         alone = low + 1 == KITH_WORDS || !begins(kith_words[low + 1], w);
    return whole || alone ? low : KITH_WORDS;
}

/* Whether who typed it may well have meant this word: what the other words ask for is no proof that they are right. */
static bool may_be(const word *w, const char *meant)
{
    if (w->len == 1 && w->b[0] == '?')
        return true;
    if (w->len > LETTERS_MAX)
        return false;
    return begins(meant, w) || distance(kith_bytes_of(w->b, w->len), kith_bytes_str(meant)) <= NEAR;
}

static kith_err words(const typed *t, uint16_t v[KITH_CODE_WORDS], kith_wr *note)
{
    strange s = {0};
    if (t->parts != KITH_CODE_WORDS) {
        tell_count(note, "a code has six words, or 12 symbols; these are ", t->parts);
        kith_put_str(note, t->parts == 1 ? " word" : " words");
        return KITH_EFORMAT;
    }
    for (size_t i = 0; i < KITH_CODE_WORDS; i++) {
        word w = small(t->part[i]);
        size_t found = look_up(&w);
        v[i] = (uint16_t)(found % KITH_WORDS);
        if (found == KITH_WORDS)
            note_strange(&s, i, t->part[i]);
    }
    if (s.count == 0 && sum(&of_words, v, KITH_CODE_WORDS) != 0) {
        kith_put_str(note,
                     "a word is wrong, or two have changed places: the last one does not fit the others");
        return KITH_EFORMAT;
    }
    if (s.count == 0)
        return KITH_OK;
    tell_strange(note, "word", &s, 0);
    if (s.count > 1) {
        tell_strange(note, " and word", &s, 1);
        kith_put_str(note, ", are none of a code's, and only one such word can be put right");
        return KITH_EFORMAT;
    }
    word w = small(s.what[0]);
    solve(&of_words, v, KITH_CODE_WORDS, s.at[0]);
    if (!may_be(&w, kith_words[v[s.at[0]]])) {
        kith_put_str(note, ", is none of a code's, and nothing like it fits the other words");
        return KITH_EFORMAT;
    }
    kith_put_str(note, ", is none of a code's, and was put right by the others");
    return KITH_OK;
}

kith_err kith_code_parse(kith_bytes text, kith_code *out, char note[KITH_CODE_NOTE_MAX + 1])
{
    typed t;
    uint16_t v[KITH_CODE_SYMBOLS] = {0};
    kith_err e = KITH_EFORMAT;
    kith_wr w = kith_wr_of(kith_span_of(note, KITH_CODE_NOTE_MAX));
    split(kith_bytes_of(text.p, least(text.len, KITH_CODE_TYPED_MAX)), &t);
    if (text.len > KITH_CODE_TYPED_MAX) {
        kith_put_str(&w, "this is too long for a code");
    } else if (t.characters > SYMBOLS_MOST ||
               (t.parts == KITH_CODE_WORDS && t.characters > KITH_CODE_SYMBOLS)) {
        e = words(&t, v, &w);
        if (!e)
            gather(&of_words, v, KITH_CODE_WORDS, out);
    } else {
        e = symbols(&t, v, &w);
        if (!e)
            gather(&of_symbols, v, KITH_CODE_SYMBOLS, out);
    }
    note[w.len] = 0;
    kith_wipe(v, sizeof v);
    return e;
}
