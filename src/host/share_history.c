/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The history's file. */
#include "host/share_history.h"

#include <stdlib.h>
#include <string.h>

#include "host/db.h"

typedef enum statement { ADD, TRIM, NEWEST, CLEAR, STATEMENTS } statement;

static const char *const sql[STATEMENTS] = {
    [ADD] =
        "INSERT INTO transfers(time, sent, peer, name, what, result, path, place, pq, files, bytes, seconds)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [TRIM] = "DELETE FROM transfers WHERE id <= (SELECT max(id) FROM transfers) - ?1",
    [NEWEST] = "SELECT time, sent, peer, name, what, result, path, place, pq, files, bytes, seconds"
               " FROM transfers ORDER BY id DESC LIMIT ?1",
    [CLEAR] = "DELETE FROM transfers",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
    .schema = "CREATE TABLE IF NOT EXISTS transfers("
              " id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, sent INTEGER NOT NULL,"
              " peer TEXT NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL, result TEXT NOT NULL,"
              " path TEXT NOT NULL, place TEXT NOT NULL, pq INTEGER NOT NULL, files INTEGER NOT NULL,"
              " bytes INTEGER NOT NULL, seconds REAL NOT NULL);"
              "PRAGMA user_version=1;",
    .version = 1,
    .sql = sql,
    .count = STATEMENTS,
};

struct kith_share_history {
    sqlite3 *db;
    sqlite3_stmt *st[STATEMENTS];
};

kith_share_history *kith_share_history_open(const char *path, bool *damaged, const char **why)
{
    kith_share_history *h = calloc(1, sizeof *h);
    *damaged = false;
    *why = "no memory";
    if (!h)
        return NULL;
    int e = kith_db_open(path, &plan, &h->db, h->st);
    if (kith_db_damaged(e)) {
        *damaged = true;
        kith_db_close(&plan, &h->db, h->st);
        kith_db_put_aside(path);
        e = kith_db_open(path, &plan, &h->db, h->st);
    }
    if (!e)
        return h;
    *why = kith_db_words(e);
    kith_share_history_close(h);
    return NULL;
}

void kith_share_history_close(kith_share_history *h)
{
    if (!h)
        return;
    kith_db_close(&plan, &h->db, h->st);
    free(h);
}

/* As much as is kept of a text, whole characters. */
static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    size_t n = strlen(text);
    if (n > KITH_SHARE_HISTORY_TEXT_MAX) {
        n = KITH_SHARE_HISTORY_TEXT_MAX;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    sqlite3_bind_text(st, at, text, (int)n, SQLITE_STATIC);
}

const char *kith_share_history_add(kith_share_history *h, const kith_share_past *row)
{
    const char *const texts[] = {row->peer, row->name, row->what, row->result, row->path, row->into};
    sqlite3_stmt *st = kith_db_use(h->st[ADD]);
    int error = 0;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)row->time);
    sqlite3_bind_int(st, 2, row->sent);
    for (int i = 0; i < 6; i++)
        bind_text(st, 3 + i, texts[i]);
    sqlite3_bind_int(st, 9, row->pq);
    sqlite3_bind_int64(st, 10, (sqlite3_int64)row->files);
    sqlite3_bind_int64(st, 11, (sqlite3_int64)row->bytes);
    sqlite3_bind_double(st, 12, row->seconds);
    if (kith_db_done(st, &error)) {
        st = kith_db_use(h->st[TRIM]);
        sqlite3_bind_int64(st, 1, KITH_SHARE_HISTORY_MAX);
        (void)kith_db_done(st, &error);
    }
    return error ? kith_db_words(error) : NULL;
}

static const char *text_of(sqlite3_stmt *st, int at)
{
    const char *t = (const char *)sqlite3_column_text(st, at);
    return t ? t : "";
}

const char *kith_share_history_each(kith_share_history *h, size_t max,
                                    void (*fn)(void *ctx, const kith_share_past *row), void *ctx)
{
    sqlite3_stmt *st = kith_db_use(h->st[NEWEST]);
    sqlite3_bind_int64(st, 1, (sqlite3_int64)(max < INT32_MAX ? max : INT32_MAX));
    int e;
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        const kith_share_past row = {.time = (uint64_t)sqlite3_column_int64(st, 0),
                                     .sent = sqlite3_column_int(st, 1) != 0,
                                     .peer = text_of(st, 2),
                                     .name = text_of(st, 3),
                                     .what = text_of(st, 4),
                                     .result = text_of(st, 5),
                                     .path = text_of(st, 6),
                                     .into = text_of(st, 7),
                                     .pq = sqlite3_column_int(st, 8) != 0,
                                     .files = (uint64_t)sqlite3_column_int64(st, 9),
                                     .bytes = (uint64_t)sqlite3_column_int64(st, 10),
                                     .seconds = sqlite3_column_double(st, 11)};
        fn(ctx, &row);
    }
    sqlite3_reset(st);
    return e == SQLITE_DONE ? NULL : kith_db_words(e);
}

const char *kith_share_history_clear(kith_share_history *h, uint64_t *rows)
{
    int error = 0;
    bool ok = kith_db_done(kith_db_use(h->st[CLEAR]), &error);
    *rows = ok ? (uint64_t)sqlite3_changes(h->db) : 0;
    return ok ? NULL : kith_db_words(error);
}
