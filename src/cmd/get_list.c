/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The list of a share, for people and for programs. */
#include "cmd/get_list.h"

#include <stdio.h>

#include "cmd/session.h"
#include "host/json.h"

#define LIST_SHOWN 20 /* entries, of a longer list */

const char *get_list_path(const kith_manifest *m, size_t i)
{
    static char path[KITH_NAME_ESCAPED_MAX(KITH_MANIFEST_PATH_MAX) + 1];
    kith_wr w = kith_wr_of(kith_span_of(path, sizeof path - 1));
    kith_manifest_put_path(m, i, true, &w);
    path[w.len] = 0;
    return path;
}

static void count_list(const kith_manifest *m, const uint8_t *skips, size_t *skipped, size_t *equal,
                       size_t *hidden, size_t *executable)
{
    *skipped = *equal = *hidden = *executable = 0;
    for (size_t i = 0; i < m->count; i++) {
        const kith_entry e = kith_manifest_entry(m, i);
        *skipped += skips[i] == KITH_SHARE_SKIPPED;
        *equal += skips[i] == KITH_SHARE_EQUAL;
        *hidden += e.depth == 0 && e.name.p[0] == '.';
        *executable += e.type == KITH_ENTRY_FILE && (e.mode & 0111) != 0;
    }
}

void get_list_print(const kith_share_fetch *f)
{
    const kith_manifest *m = kith_share_fetch_manifest(f);
    const kith_share_dir *d = kith_share_fetch_dir(f);
    const uint8_t *skips = kith_share_dir_skips(d);
    char size[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX], shown[KITH_NAME_ESCAPED_MAX(KITH_NAME_MAX) + 1];
    size_t skipped, equal, hidden, executable, said = 0;
    for (size_t i = 0; i < m->count && said < LIST_SHOWN; i++, said++) {
        const kith_entry e = kith_manifest_entry(m, i);
        kith_bytes other = e.depth == 0 ? kith_share_dir_new_name(d, i) : (kith_bytes){0};
        fprintf(stderr, "  %10s  %s%s",
                e.type == KITH_ENTRY_FILE  ? share_text_size(e.size, size)
                : e.type == KITH_ENTRY_DIR ? ""
                                           : "link",
                get_list_path(m, i), e.type == KITH_ENTRY_DIR ? "/" : "");
        if (other.len > 0) {
            kith_wr w = kith_wr_of(kith_span_of(shown, sizeof shown - 1));
            kith_name_put(&w, other);
            shown[w.len] = 0;
            fprintf(stderr, "  -> %s", shown);
        }
        fputs(skips[i] == KITH_SHARE_SKIPPED ? "  (skipped)\n"
              : skips[i]                     ? "  (is there already)\n"
                                             : "\n",
              stderr);
    }
    if (said < m->count)
        fprintf(stderr, "  ... and %zu more\n", m->count - said);
    count_list(m, skips, &skipped, &equal, &hidden, &executable);
    fprintf(stderr, "%s, %s", share_text_counts(m->files, m->dirs, m->links, counts),
            share_text_size(m->bytes, size));
    if (executable > 0)
        fprintf(stderr, "; %zu executable", executable);
    if (hidden > 0)
        fprintf(stderr, "; %zu hidden", hidden);
    if (skipped > 0)
        fprintf(stderr, "; %zu skipped", skipped);
    if (equal > 0)
        fprintf(stderr, "; %zu there already", equal);
    fputc('\n', stderr);
}

void get_list_json(const kith_share_fetch *f)
{
    const kith_manifest *m = kith_share_fetch_manifest(f);
    size_t skipped, equal, hidden, executable;
    count_list(m, kith_share_dir_skips(kith_share_fetch_dir(f)), &skipped, &equal, &hidden, &executable);
    json_t *top = json_array();
    for (size_t i = 0; i < m->count && json_array_size(top) < LIST_SHOWN; i++) {
        if (kith_manifest_entry(m, i).depth == 0)
            json_array_append_new(top, kith_json_text(get_list_path(m, i)));
    }
    session_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "event", "list", "files",
                            (json_int_t)m->files, "folders", (json_int_t)m->dirs, "links",
                            (json_int_t)m->links, "bytes", (json_int_t)m->bytes, "skipped",
                            (json_int_t)skipped, "equal", (json_int_t)equal, "executable",
                            (json_int_t)executable, "top", top));
    json_decref(top);
}

void get_list_names(const kith_manifest *m, char out[SHARE_TEXT_NAME_MAX])
{
    *out = 0;
    bool more = true;
    for (size_t i = 0; i < m->count && more; i++) {
        const kith_entry e = kith_manifest_entry(m, i);
        char name[KITH_NAME_MAX + 1];
        if (e.depth > 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)e.name.len, (const char *)e.name.p);
        more = share_text_add_base(name, out);
    }
}
