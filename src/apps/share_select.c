/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patterns on paths. A pattern is matched by the set of its places that the path so far can have led to, so a hostile pattern or path
 * costs no more than the product of their lengths. */
#include "apps/share_select.h"

#include <assert.h>

#include "base/text.h"

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

/* A pattern need not be UTF-8: a byte that begins no character is one of its own, which no path has. */
static uint32_t char_at(const uint8_t *p, size_t left, size_t *len)
{
    uint32_t c = 0;
    *len = kith_utf8_next(kith_bytes_of(p, left), &c);
    if (*len > 0)
        return c;
    *len = 1;
    return 0x110000 + *p;
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
    uint64_t bits[KITH_SELECT_PATTERN_MAX / 64 + 1];
} places;

static bool has_place(const places *s, size_t at)
{
    return s->bits[at / 64] >> at % 64 & 1;
}

/* Adds a place, and those that are reached from it by matching nothing. inside: a star goes on, so a component has begun. */
static void add_place(places *s, const char *pattern, size_t at, bool inside)
{
    while (!has_place(s, at)) {
        s->bits[at / 64] |= UINT64_C(1) << at % 64;
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

/* Where the places lead to with all of text. */
static places advance(const char *pattern, places now, kith_bytes text)
{
    for (size_t i = 0, n; i < text.len; i += n) {
        uint32_t c = char_at(text.p + i, text.len - i, &n);
        places next = {0};
        bool any = false;
        for (int stars = 0; stars < 2; stars++) { /* first what moves on: it reaches more */
            for (size_t at = 0; pattern[at]; at++) {
                size_t to =
                    has_place(&now, at) && (pattern[at] == '*') == stars ? step(pattern, at, c) : SIZE_MAX;
                if (to == SIZE_MAX)
                    continue;
                add_place(&next, pattern, to, stars);
                any = true;
            }
        }
        now = next;
        if (!any)
            break;
    }
    return now;
}

/* A pattern, and how far the folders above an entry have led in it. */
typedef struct track {
    char pattern[KITH_SELECT_PATTERN_MAX + 1]; /* without a slash at its end */
    size_t len;
    bool folders; /* it had one */
    bool names;   /* for the last component, wherever it is */
    places begin;
    places depth
        [KITH_MANIFEST_DEPTH_MAX]; /* before the name of an entry so deep; [0] is begin, and others only if not names */
} track;

static void track_begin(track *t, const char *pattern)
{
    size_t len = strlen(pattern);
    assert(len > 0 && len <= KITH_SELECT_PATTERN_MAX);
    t->folders = pattern[len - 1] == '/' && (len < 2 || pattern[len - 2] != '\\');
    t->len = len - t->folders;
    memcpy(t->pattern, pattern, t->len);
    t->pattern[t->len] = 0;
    t->names = !strchr(t->pattern, '/');
    t->begin = (places){0};
    add_place(&t->begin, t->pattern, 0, false);
    t->depth[0] = t->begin;
}

bool kith_share_pattern_matches(const char *pattern, kith_bytes path, bool folder)
{
    track t;
    track_begin(&t, pattern);
    for (size_t i = path.len; t.names && i > 0; i--) {
        if (path.p[i - 1] == '/') {
            path = kith_bytes_skip(path, i);
            break;
        }
    }
    places end = advance(t.pattern, t.begin, path);
    return has_place(&end, t.len) && (folder || !t.folders);
}

/* ---- a list ---- */

enum { WANTED = 0, UNWANTED = 1, EXCLUDED = 2 };

/* Whether an entry matches. Of a folder that does not, what lies in it may be asked next. */
static bool track_matches(track *t, const kith_entry *e)
{
    bool folder = e->type == KITH_ENTRY_DIR;
    places end = advance(t->pattern, t->names ? t->begin : t->depth[e->depth], e->name);
    if (has_place(&end, t->len) && (folder || !t->folders))
        return true;
    if (folder && !t->names && e->depth + 1u < KITH_MANIFEST_DEPTH_MAX)
        t->depth[e->depth + 1] = advance(t->pattern, end, kith_bytes_str("/"));
    return false;
}

static bool any_matches(track *tracks, size_t count, const kith_entry *e)
{
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = track_matches(&tracks[i], e);
    return any;
}

/* Parents stand before what lies in them: what was decided of them holds. */
static void decide(const kith_manifest *m, size_t i, track *only, size_t only_count, track *exclude,
                   size_t exclude_count, uint8_t *unwanted)
{
    const kith_entry e = kith_manifest_entry(m, i);
    uint32_t up = m->places[i].parent;
    bool top = up == KITH_ENTRY_TOP;
    if ((!top && unwanted[up] == EXCLUDED) || any_matches(exclude, exclude_count, &e))
        unwanted[i] = EXCLUDED;
    else if (only_count == 0 || (!top && unwanted[up] == WANTED) || any_matches(only, only_count, &e))
        unwanted[i] = WANTED;
    else
        unwanted[i] = UNWANTED;
}

kith_err kith_share_select_run(const kith_env *env, const kith_share_select *s, const kith_manifest *m,
                               uint8_t *unwanted)
{
    size_t count = s->only_count + s->exclude_count;
    track *tracks = kith_mem_new(env, (count + 1) * sizeof *tracks);
    if (!tracks)
        return KITH_ENOMEM;
    for (size_t i = 0; i < count; i++)
        track_begin(&tracks[i], i < s->only_count ? s->only[i] : s->exclude[i - s->only_count]);
    for (size_t i = 0; i < m->count; i++)
        decide(m, i, tracks, s->only_count, tracks + s->only_count, s->exclude_count, unwanted);
    kith_mem_free(env, tracks, (count + 1) * sizeof *tracks);
    /* and the folders that lead there; from the end, so that they are asked after all that is in them */
    for (size_t i = m->count; i-- > 0;) {
        uint32_t up = m->places[i].parent;
        if (unwanted[i] == WANTED && up != KITH_ENTRY_TOP)
            unwanted[up] = WANTED;
    }
    return KITH_OK;
}

/* ---- while a list is made ---- */

struct kith_share_sieve {
    const kith_env *env;
    size_t count;
    track tracks[];
};

kith_share_sieve *kith_share_sieve_new(const kith_env *env, const char *const *patterns, size_t count)
{
    if (count > KITH_SIEVE_PATTERNS)
        return NULL;
    kith_share_sieve *s = kith_mem_new(env, sizeof *s + count * sizeof s->tracks[0]);
    if (!s)
        return NULL;
    s->env = env;
    s->count = count;
    for (size_t i = 0; i < count; i++)
        track_begin(&s->tracks[i], patterns[i]);
    return s;
}

void kith_share_sieve_free(kith_share_sieve *s)
{
    if (s)
        kith_mem_free(s->env, s, sizeof *s + s->count * sizeof s->tracks[0]);
}

bool kith_share_sieve_holds(kith_share_sieve *s, const kith_entry *e)
{
    return any_matches(s->tracks, s->count, e);
}
