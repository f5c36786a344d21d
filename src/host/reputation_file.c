/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rows of the reputation in SQLite. */
#include "host/reputation_file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/db.h"

#define SCHEMA_VERSION 1
#define BATCH 256                        /* rows of one transaction */
#define CONDUCT_LEN (KITH_CONDUCTS * 8u) /* points and count of each kind, 4 bytes each, big-endian */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS peers(peer BLOB PRIMARY KEY, at INTEGER NOT NULL, banned_until INTEGER NOT NULL,"
    " bans INTEGER NOT NULL, rtt_ns INTEGER NOT NULL, conduct BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version=1;";

typedef enum statement { BEGIN, COMMIT, ROLLBACK, PUT, TRIM, LIST, STATEMENTS } statement;

#define BEST_FIRST "banned_until DESC, at DESC, peer"
static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT] =
        "INSERT INTO peers(peer, at, banned_until, bans, rtt_ns, conduct) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT(peer) DO UPDATE SET at = ?2, banned_until = ?3, bans = ?4, rtt_ns = ?5, conduct = ?6",
    [TRIM] =
        "DELETE FROM peers WHERE peer IN (SELECT peer FROM peers ORDER BY " BEST_FIRST " LIMIT -1 OFFSET ?1)",
    [LIST] =
        "SELECT peer, at, banned_until, bans, rtt_ns, conduct FROM peers ORDER BY " BEST_FIRST " LIMIT ?1",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    .schema = schema,
    .version = SCHEMA_VERSION,
    .sql = sql,
    .count = STATEMENTS,
};

struct kith_reputation_file {
    char path[PATH_MAX];
    kith_reputation *r;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t work;
    bool working, closed, told;
    void (*trouble)(void *ctx, const char *sentence);
    void *trouble_ctx;
    /* of the worker, while working */
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    kith_reputation_row batch[BATCH];
    size_t count;
    int error;
};

/* ---- rows ---- */

static bool put_row(kith_reputation_file *f, const kith_reputation_row *row)
{
    uint8_t conduct[CONDUCT_LEN];
    for (size_t k = 0; k < KITH_CONDUCTS; k++) {
        kith_store_be32(conduct + 8 * k, (uint32_t)row->points[k]);
        kith_store_be32(conduct + 8 * k + 4, row->counts[k]);
    }
    sqlite3_stmt *st = kith_db_use(f->stmts[PUT]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&row->peer));
    sqlite3_bind_int64(st, 2, (sqlite3_int64)row->at);
    sqlite3_bind_int64(st, 3, (sqlite3_int64)row->banned_until);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)row->bans);
    sqlite3_bind_int64(st, 5, (sqlite3_int64)row->rtt_ns);
    kith_db_bind(st, 6, kith_bytes_of(conduct, sizeof conduct));
    return kith_db_done(st, &f->error);
}

/* False: the row does not hold what it should. Kinds that were not there when it was written are 0. */
static bool read_row(sqlite3_stmt *st, kith_reputation_row *row)
{
    kith_bytes conduct = kith_db_column(st, 5);
    *row = (kith_reputation_row){.at = (uint64_t)sqlite3_column_int64(st, 1),
                                 .banned_until = (uint64_t)sqlite3_column_int64(st, 2),
                                 .bans = (uint32_t)sqlite3_column_int64(st, 3),
                                 .rtt_ns = (uint64_t)sqlite3_column_int64(st, 4)};
    for (size_t k = 0; k < KITH_CONDUCTS && 8 * k + 8 <= conduct.len; k++) {
        row->points[k] = (int32_t)kith_load_be32(conduct.p + 8 * k);
        row->counts[k] = kith_load_be32(conduct.p + 8 * k + 4);
    }
    return kith_peer_id_parse(kith_db_column(st, 0), &row->peer) == KITH_OK;
}

static int read_all(kith_reputation_file *f, uint64_t unix)
{
    kith_reputation_row row;
    sqlite3_stmt *st = kith_db_use(f->stmts[LIST]);
    sqlite3_bind_int(st, 1, KITH_REPUTATION_FILE_ROWS);
    int e;
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        if (read_row(st, &row))
            kith_reputation_put(f->r, &row, unix);
    }
    sqlite3_reset(st);
    return e == SQLITE_DONE ? SQLITE_OK : e;
}

static void write_batch(kith_reputation_file *f)
{
    f->error = SQLITE_OK;
    bool ok = f->db && kith_db_done(kith_db_use(f->stmts[BEGIN]), &f->error);
    for (size_t i = 0; i < f->count && ok; i++)
        ok = put_row(f, &f->batch[i]);
    if (ok) {
        sqlite3_stmt *st = kith_db_use(f->stmts[TRIM]);
        sqlite3_bind_int(st, 1, KITH_REPUTATION_FILE_ROWS);
        ok = kith_db_done(st, &f->error);
    }
    if (ok)
        ok = kith_db_done(kith_db_use(f->stmts[COMMIT]), &f->error);
    if (!ok && f->db)
        (void)sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- turns ---- */

static void on_work(uv_work_t *w)
{
    write_batch(w->data);
}

static void take_batch(kith_reputation_file *f)
{
    f->count = 0;
    while (f->count < BATCH && kith_reputation_take(f->r, &f->batch[f->count]))
        f->count++;
}

static void tell(kith_reputation_file *f)
{
    char text[PATH_MAX + 128];
    if (!f->error || f->told || !f->trouble)
        return;
    f->told = true;
    snprintf(text, sizeof text,
             "what is thought of peers cannot be written to %s: %s; going on, but a restart forgets it",
             f->path, kith_db_words(f->error));
    f->trouble(f->trouble_ctx, text);
}

static void on_worked(uv_work_t *w, int status)
{
    kith_reputation_file *f = w->data;
    (void)status;
    f->working = false;
    tell(f);
}

static void on_timer(uv_timer_t *t)
{
    kith_reputation_file *f = t->data;
    if (f->working)
        return;
    take_batch(f);
    if (f->count == 0)
        return;
    f->working = true;
    int e = uv_queue_work(f->loop, &f->work, on_work, on_worked);
    assert(e == 0); /* fails only without a work function */
    (void)e;
}

kith_reputation_file *kith_reputation_file_open(uv_loop_t *loop, const char *path, kith_reputation *r,
                                                uint64_t unix, const char **why)
{
    kith_reputation_file *f = calloc(1, sizeof *f);
    *why = "no memory";
    if (!f)
        return NULL;
    f->loop = loop;
    f->r = r;
    f->work.data = f->timer.data = f;
    int e = (size_t)snprintf(f->path, sizeof f->path, "%s", path) < sizeof f->path
                ? kith_db_open(path, &plan, &f->db, f->stmts)
                : SQLITE_CANTOPEN;
    if (!e)
        e = read_all(f, unix);
    if (kith_db_damaged(e)) {
        kith_db_close(&plan, &f->db, f->stmts);
        kith_db_put_aside(path);
        e = kith_db_open(path, &plan, &f->db, f->stmts);
    }
    if (e) {
        *why = kith_db_words(e);
        kith_db_close(&plan, &f->db, f->stmts);
        free(f);
        return NULL;
    }
    uv_timer_init(loop, &f->timer);
    uv_timer_start(&f->timer, on_timer, KITH_REPUTATION_FILE_MS, KITH_REPUTATION_FILE_MS);
    uv_unref((uv_handle_t *)&f->timer);
    return f;
}

void kith_reputation_file_on_trouble(kith_reputation_file *f, void (*fn)(void *ctx, const char *sentence),
                                     void *ctx)
{
    f->trouble = fn;
    f->trouble_ctx = ctx;
}

static void on_closed(uv_handle_t *handle)
{
    kith_reputation_file *f = handle->data;
    f->closed = true;
}

void kith_reputation_file_close(kith_reputation_file *f)
{
    if (!f)
        return;
    while (f->working)
        uv_run(f->loop, UV_RUN_ONCE);
    for (take_batch(f); f->count > 0; take_batch(f))
        write_batch(f);
    uv_close((uv_handle_t *)&f->timer, on_closed);
    while (!f->closed)
        uv_run(f->loop, UV_RUN_ONCE);
    kith_db_close(&plan, &f->db, f->stmts);
    free(f);
}
