/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes patterns: one on a path, and both lists of them on the list of a share. The input is a byte of options, patterns and the path with a NUL behind
 * each, and the share's list. */
#include "apps/share_select.h"
#include "fuzz/tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to the next NUL, which is taken too. */
static const char *text(tape *t, char *out, size_t cap)
{
    size_t n = 0;
    for (uint8_t c; t->len > 0 && (c = tape_u8(t)) != 0;) {
        if (n < cap - 1)
            out[n++] = (char)c;
    }
    out[n] = 0;
    return out;
}

/* Every byte of it stands for itself. */
static void matches_itself(const char *path)
{
    char pattern[2 * KITH_SELECT_PATTERN_MAX + 1];
    size_t n = 0;
    for (const char *p = path; *p; p++) {
        if (*p != '/' && (*p & 0x80) == 0)
            pattern[n++] = '\\';
        pattern[n++] = *p;
    }
    pattern[n] = 0;
    if (!kith_share_pattern_fault(pattern) && pattern[n - 1] != '/')
        assert(kith_share_pattern_matches(pattern, kith_bytes_str(path), false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char patterns[4][KITH_SELECT_PATTERN_MAX + 2];
    char path[KITH_SELECT_PATTERN_MAX];
    tape t = {data, size};
    tape_env e;
    uint8_t how = tape_u8(&t);
    const kith_env *env = tape_env_init(&e, how >> 4);
    kith_share_select s = {0};
    for (size_t i = 0; i < 4 && i < (how & 3) + 1u; i++) {
        const char *p = text(&t, patterns[i], sizeof patterns[i]);
        if (kith_share_pattern_fault(p))
            return 0;
        if (i % 2)
            s.exclude[s.exclude_count++] = p;
        else
            s.only[s.only_count++] = p;
    }
    (void)text(&t, path, sizeof path);
    for (size_t i = 0; i < s.only_count; i++)
        (void)kith_share_pattern_matches(s.only[i], kith_bytes_str(path), how & 4);
    matches_itself(path);
    kith_manifest m;
    kith_manifest_fault fault;
    if (t.len <= 4096 && !kith_manifest_parse(env, kith_bytes_of(t.p, t.len), false, &m, &fault)) {
        uint8_t unwanted[4096];
        size_t left = 0;
        if (m.count <= sizeof unwanted && !kith_share_select_run(env, &s, &m, unwanted)) {
            for (size_t i = 0; i < m.count; i++) { /* what is wanted has its folders */
                left += !unwanted[i];
                assert(unwanted[i] || m.places[i].parent == KITH_ENTRY_TOP || !unwanted[m.places[i].parent]);
            }
            assert(left <= m.count);
        }
        kith_manifest_fini(&m, env);
    }
    assert(e.held == 0);
    return 0;
}
