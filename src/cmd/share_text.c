/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sizes, speeds and paths in words. */
#include "cmd/share_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apps/share_name.h"
#include "host/json.h"

const char *share_text_size(uint64_t bytes, char out[SHARE_TEXT_MAX])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    double v = (double)bytes;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof units[0]; u++)
        v /= 1024;
    (void)snprintf(out, SHARE_TEXT_MAX, u ? "%.1f %s" : "%.0f %s", v, bytes == 1 ? "byte" : units[u]);
    return out;
}

const char *share_text_speed(uint64_t bytes, kith_time t, char out[SHARE_TEXT_MAX])
{
    double mb = t ? (double)bytes * 1e3 / (double)t : 0; /* bytes per nanosecond are GB/s */
    (void)snprintf(out, SHARE_TEXT_MAX, mb < 10 ? "%.1f MB/s" : "%.0f MB/s", mb);
    return out;
}

const char *share_text_time(kith_time t, char out[SHARE_TEXT_MAX])
{
    unsigned long long s = t / 1000000000u;
    if (s >= 3600)
        (void)snprintf(out, SHARE_TEXT_MAX, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, SHARE_TEXT_MAX, "%llu:%02llu", s / 60, s % 60);
    return out;
}

const char *share_text_counts(uint64_t files, uint64_t dirs, uint64_t links, char out[SHARE_TEXT_MAX])
{
    const struct {
        uint64_t n;
        const char *one, *many;
    } parts[] = {{files, "file", "files"}, {dirs, "folder", "folders"}, {links, "link", "links"}};
    size_t at = 0, left = 0;
    for (size_t i = 0; i < 3; i++)
        left += parts[i].n > 0;
    out[0] = 0;
    if (left == 0)
        (void)snprintf(out, SHARE_TEXT_MAX, "nothing");
    for (size_t i = 0; i < 3 && at < SHARE_TEXT_MAX; i++) {
        if (parts[i].n == 0)
            continue;
        left--;
        int n = snprintf(out + at, SHARE_TEXT_MAX - at, "%llu %s%s", (unsigned long long)parts[i].n,
                         parts[i].n == 1 ? parts[i].one : parts[i].many,
                         left > 1    ? ", "
                         : left == 1 ? " and "
                                     : "");
        at += n > 0 ? (size_t)n : 0;
    }
    return out;
}

const char *share_text_path(const kith_conn *c)
{
    kith_conn_facts f;
    kith_maddr_part part;
    kith_conn_facts_get(c, &f);
    if (kith_maddr_find(&f.remote, KITH_MA_P2P_CIRCUIT, &part))
        return "relay";
    switch (kith_maddr_scope(&f.remote)) {
    case KITH_IP_LOOPBACK:
    case KITH_IP_LINK:
    case KITH_IP_PRIVATE:
        return "lan";
    case KITH_IP_PUBLIC:
    case KITH_IP_OTHER:
        break;
    }
    return "direct";
}

const char *share_text_channel(const kith_conn *c, char out[2 * SHARE_TEXT_MAX])
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    bool pq = f.suite && f.suite->kem != KITH_KEM_NONE;
    (void)snprintf(out, 2 * SHARE_TEXT_MAX, "%s (%s%s%s%s)", pq ? "post-quantum" : "NOT post-quantum",
                   f.suite ? f.suite->id : "?", f.pq.alg == KITH_SIG_NONE ? "" : ", ",
                   f.pq.alg == KITH_SIG_NONE ? "" : kith_sig_info_of(f.pq.alg)->name,
                   f.resumed ? " checked in an earlier session" : "");
    return out;
}

#define BAR 20      /* cells at most */
#define BAR_LEAST 5 /* fewer say nothing */
#define COLUMNS 80  /* where the terminal does not say */
#define LINE_MAX_LEN 512
#define DOTS_ROOM 8 /* for ", ..." behind a list */

const char *share_text_bar(uint64_t done, uint64_t all, size_t room, char out[SHARE_TEXT_MAX])
{
    size_t cells = room < BAR + 3 ? room - 3 : BAR;
    out[0] = 0;
    if (room < BAR_LEAST + 3)
        return out;
    size_t full = all ? (size_t)((double)done * (double)cells / (double)all) : cells;
    full = full < cells ? full : cells;
    out[0] = '[';
    memset(out + 1, '#', full);
    memset(out + 1 + full, '-', cells - full);
    memcpy(out + 1 + cells, "] ", 3);
    return out;
}

const char *share_text_base(const char *path, char out[SHARE_TEXT_NAME_MAX])
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t at = len;
    while (at > 0 && path[at - 1] != '/')
        at--;
    if (at == len)
        at = 0; /* "/" */
    size_t n = len - at < SHARE_TEXT_NAME_MAX / 4 - 1 ? len - at : SHARE_TEXT_NAME_MAX / 4 - 1;
    kith_wr w = kith_wr_of(kith_span_of(out, SHARE_TEXT_NAME_MAX - 1));
    kith_name_put(&w, kith_bytes_of(path + at, n));
    out[w.len] = '\0';
    return out;
}

bool share_text_add_base(const char *path, char out[SHARE_TEXT_NAME_MAX])
{
    char name[SHARE_TEXT_NAME_MAX];
    size_t at = strlen(out), room = SHARE_TEXT_NAME_MAX - at;
    int n = snprintf(out + at, room, "%s%s", at ? ", " : "", share_text_base(path, name));
    if (n >= 0 && (size_t)n + DOTS_ROOM < room)
        return true;
    (void)snprintf(out + at, room, "%s", at ? ", ..." : "...");
    return false;
}

bool share_text_moves(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

size_t share_text_columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : COLUMNS;
}

void share_text_fit(char *line, size_t columns)
{
    size_t n = columns - 1; /* some terminals begin the next one when the last column is written */
    if (strlen(line) <= n)
        return;
    while (n > 0 && ((unsigned char)line[n] & 0xc0) == 0x80)
        n--;
    line[n] = 0;
}

void share_text_line(const char *fmt, ...)
{
    char line[LINE_MAX_LEN];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    share_text_fit(line, share_text_columns());
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

void share_text_clear(void)
{
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

void share_text_conn_json(json_t *o, const kith_conn *c)
{
    if (!c)
        return;
    json_t *facts = kith_json_conn(c);
    json_object_update(o, facts);
    json_decref(facts);
    json_object_set_new(o, "path", json_string(share_text_path(c)));
}
