/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patterns on paths. A pattern is matched by the set of its places that the path so far can have led to, so a hostile pattern or path
 * costs no more than the product of their lengths. */
#include "apps/share_select.h"

#include <assert.h>

/* ---- one pattern ---- */

/* The end of a class that begins at p ("[...]"), or NULL. */
static const char *class_end(const char *p)
{
    p++;
    if (*p == '!' || *p == '^')
        p++;
    if (*p == ']')
        p++;
    for (; *p && *p != ']'; p++) {
        if (*p == '\\' && p[1])
            p++;
    }
    return *p ? p : NULL;
}

const char *kith_share_pattern_fault(const char *pattern)
{
    size_t len = strlen(pattern);
    if (len == 0)
        return "it is empty";
    if (len > KITH_SELECT_PATTERN_MAX)
        return "it is too long";
    if (pattern[0] == '/')
        return "paths in a share do not begin with /";
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\') {
            if (!*++p)
                return "it ends in a single backslash";
        } else if (*p == '[') {
            p = class_end(p);
            if (!p)
                return "its [ has no ]";
        }
    }
    return NULL;
}

/* The length of the UTF-8 character at p, which is valid in a path. */
static size_t char_len(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static uint32_t char_at(const uint8_t *p, size_t left, size_t *len)
{
    *len = char_len(*p);
    if (*len > left)
        *len = left;
    uint32_t c = *len == 1 ? *p : *p & (0xffu >> (*len + 1));
    for (size_t i = 1; i < *len; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* Whether c is in the class that begins at *p; *p goes behind it. */
static bool in_class(const char **p, uint32_t c)
{
    const uint8_t *s = (const uint8_t *)*p + 1, *end = (const uint8_t *)class_end(*p);
    bool not = *s == '!' || *s == '^', in = false;
    s += not ;
    while (s < end) {
        size_t n;
        s += *s == '\\' && s + 1 < end;
        uint32_t lo = char_at(s, (size_t)(end - s), &n), hi = lo;
        s += n;
        if (s + 1 < end && *s == '-') {
            s += 1 + (s[1] == '\\' && s + 2 < end);
            hi = char_at(s, (size_t)(end - s), &n);
            s += n;
        }
        in |= c >= lo && c <= hi;
    }
    *p = (const char *)end + 1;
    return in != not &&c != '/';
}

typedef struct places {
    bool at[KITH_SELECT_PATTERN_MAX + 1];
} places;

/* Adds a place, and those that are reached from it by matching nothing. inside: a star goes on, so a component has begun. */
static void add_place(places *s, const char *pattern, size_t at, bool inside)
{
    while (!s->at[at]) {
        s->at[at] = true;
        if (pattern[at] != '*')
            return;
        bool two = pattern[at + 1] == '*';
        if (two && !inside && pattern[at + 2] == '/' && (at == 0 || pattern[at - 1] == '/'))
            add_place(s, pattern, at + 3,
                      false); /* no component at all; goes as deep as the pattern has such */
        at += two ? 2 : 1;
    }
}

/* Where the place `at` leads to with the character c: behind what matches it; or `at` itself for stars; SIZE_MAX: nowhere. */
static size_t step(const char *pattern, size_t at, uint32_t c)
{
    const char *p = pattern + at;
    size_t n;
    switch (*p) {
    case 0:
        return SIZE_MAX;
    case '*':
        return p[1] == '*' || c != '/' ? at : SIZE_MAX;
    case '?':
        return c != '/' ? at + 1 : SIZE_MAX;
    case '[':
        return in_class(&p, c) ? (size_t)(p - pattern) : SIZE_MAX;
    case '\\':
        p++;
        break;
    }
    uint32_t own = char_at((const uint8_t *)p, strlen(p), &n);
    return own == c ? (size_t)(p + n - pattern) : SIZE_MAX;
}

static bool matches(const char *pattern, kith_bytes text)
{
    places now = {0}, next;
    add_place(&now, pattern, 0, false);
    for (size_t i = 0, n; i < text.len; i += n) {
        uint32_t c = char_at(text.p + i, text.len - i, &n);
        bool any = false;
        memset(&next, 0, sizeof next);
        for (int stars = 0; stars < 2; stars++) { /* first what moves on: it reaches more */
            for (size_t at = 0; pattern[at]; at++) {
                size_t to = now.at[at] && (pattern[at] == '*') == stars ? step(pattern, at, c) : SIZE_MAX;
                if (to == SIZE_MAX)
                    continue;
                add_place(&next, pattern, to, stars);
                any = true;
            }
        }
        if (!any)
            return false;
        now = next;
    }
    return now.at[strlen(pattern)];
}

bool kith_share_pattern_matches(const char *pattern, kith_bytes path, bool folder)
{
    char own[KITH_SELECT_PATTERN_MAX + 1];
    size_t len = strlen(pattern);
    assert(len > 0 && len <= KITH_SELECT_PATTERN_MAX);
    memcpy(own, pattern, len + 1);
    if (own[len - 1] == '/' && (len < 2 || own[len - 2] != '\\')) {
        if (!folder)
            return false;
        own[--len] = 0;
    }
    if (!strchr(own, '/')) { /* for the last component */
        for (size_t i = path.len; i > 0; i--) {
            if (path.p[i - 1] == '/') {
                path = kith_bytes_skip(path, i);
                break;
            }
        }
    }
    return matches(own, path);
}

/* ---- a list ---- */

enum { WANTED = 0, UNWANTED = 1, EXCLUDED = 2 };

static bool any_matches(const char *const *patterns, size_t count, kith_bytes path, bool folder)
{
    for (size_t i = 0; i < count; i++) {
        if (kith_share_pattern_matches(patterns[i], path, folder))
            return true;
    }
    return false;
}

/* Parents stand before what lies in them: what was decided of them holds. */
void kith_share_select_run(const kith_share_select *s, const kith_manifest *m, uint8_t *unwanted)
{
    uint8_t path[KITH_MANIFEST_PATH_MAX];
    for (size_t i = 0; i < m->count; i++) {
        const kith_entry e = kith_manifest_entry(m, i);
        uint32_t up = m->places[i].parent;
        kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
        kith_manifest_put_path(m, i, false, &w);
        bool folder = e.type == KITH_ENTRY_DIR, top = up == KITH_ENTRY_TOP;
        if ((!top && unwanted[up] == EXCLUDED) ||
            any_matches(s->exclude, s->exclude_count, kith_wr_bytes(&w), folder))
            unwanted[i] = EXCLUDED;
        else if (s->only_count == 0 || (!top && unwanted[up] == WANTED) ||
                 any_matches(s->only, s->only_count, kith_wr_bytes(&w), folder))
            unwanted[i] = WANTED;
        else
            unwanted[i] = UNWANTED;
    }
    /* and the folders that lead there; from the end, so that they are asked after all that is in them */
    for (size_t i = m->count; i-- > 0;) {
        uint32_t up = m->places[i].parent;
        if (unwanted[i] == WANTED && up != KITH_ENTRY_TOP)
            unwanted[up] = WANTED;
    }
}
