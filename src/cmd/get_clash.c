/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asking about what is there already. */
#include "cmd/get_clash.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "cmd/get_list.h"

/* Of the file that is there, or of the one that would come. */
static void print_side(const char *side, const char *kind, bool sized, uint64_t bytes, time_t changed)
{
    char size[SHARE_TEXT_MAX], when[32] = "";
    struct tm tm;
    if (localtime_r(&changed, &tm))
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    fprintf(stderr, "  %-5s  %s%s%s, %s\n", side, kind, sized ? ", " : "",
            sized ? share_text_size(bytes, size) : "", when);
}

static void print_there(const kith_share_dir *d, size_t entry)
{
    struct stat st;
    if (!kith_share_dir_there(d, entry, &st))
        return;
    print_side("there",
               S_ISREG(st.st_mode)   ? "file"
               : S_ISDIR(st.st_mode) ? "folder"
               : S_ISLNK(st.st_mode) ? "link"
                                     : "special file",
               S_ISREG(st.st_mode), (uint64_t)st.st_size, st.st_mtime);
}

static void print_coming(const kith_entry *e)
{
    int64_t ns = e->mtime_ns;
    print_side("comes",
               e->type == KITH_ENTRY_FILE  ? "file"
               : e->type == KITH_ENTRY_DIR ? "folder"
                                           : "link",
               e->type == KITH_ENTRY_FILE, e->size, (time_t)(ns / 1000000000 - (ns % 1000000000 < 0)));
}

static size_t count_left(const kith_share_dir *d, const kith_manifest *m, size_t from)
{
    size_t n = 0;
    for (size_t i = from; (i = kith_share_dir_clash(d, i)) < m->count; i++)
        n++;
    return n;
}

bool get_clash_ask(get_clash *g)
{
    const kith_share_dir *d = kith_share_fetch_clashes(g->fetch);
    const kith_manifest *m = kith_share_fetch_manifest(g->fetch);
    g->entry = d ? kith_share_dir_clash(d, 0) : 0;
    if (!d || g->entry == m->count)
        return false;
    const kith_entry e = kith_manifest_entry(m, g->entry);
    const size_t left = count_left(d, m, g->entry);
    const bool can = kith_share_dir_can_replace(d, g->entry);
    fprintf(stderr, "'%s' is in %s already:\n", get_list_path(m, g->entry), g->dest);
    print_there(d, g->entry);
    print_coming(&e);
    fprintf(stderr, "%srename what comes", can ? "overwrite, " : "");
    if (e.depth > 0) {
        size_t top = g->entry;
        while (m->places[top].parent != KITH_ENTRY_TOP)
            top = m->places[top].parent;
        fprintf(stderr, " (all of '%s')", get_list_path(m, top));
    }
    fputs(", skip, or cancel", stderr);
    if (left > 1)
        fprintf(stderr, "; a capital letter is for all %zu that are left", left);
    fprintf(stderr, "? [%sr/s/C] ", can ? "o/" : "");
    return true;
}

bool get_clash_answer(get_clash *g, char letter)
{
    kith_share_dir *d = kith_share_fetch_clashes(g->fetch);
    const kith_manifest *m = kith_share_fetch_manifest(g->fetch);
    kith_share_clash how;
    switch (tolower((unsigned char)letter)) {
    case 'o':
        how = KITH_SHARE_CLASH_OVERWRITE;
        break;
    case 'r':
        how = KITH_SHARE_CLASH_RENAME;
        break;
    case 's':
        how = KITH_SHARE_CLASH_SKIP;
        break;
    default:
        return false;
    }
    const bool all = isupper((unsigned char)letter) != 0;
    for (size_t i = g->entry; d && i < m->count; i = kith_share_dir_clash(d, i + 1)) {
        if (how != KITH_SHARE_CLASH_OVERWRITE || kith_share_dir_can_replace(d, i))
            kith_share_dir_decide(d, i, how);
        if (!all)
            break;
    }
    return true;
}
