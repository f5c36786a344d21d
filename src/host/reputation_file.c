/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rows of the reputation in SQLite. */
#include "host/reputation_file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/db.h"

#define SCHEMA_VERSION 2
#define BATCH 256                        /* rows of one transaction */
#define CONDUCT_LEN (KITH_CONDUCTS * 8u) /* points and count of each kind, 4 bytes each, big-endian */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS peers(peer BLOB PRIMARY KEY, at INTEGER NOT NULL, banned_until INTEGER NOT NULL,"
    " bans INTEGER NOT NULL, rtt_ns INTEGER NOT NULL, conduct BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS notes(n INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, kind INTEGER NOT NULL,"
    " at INTEGER NOT NULL);"
    "PRAGMA user_version=2;";

static const char *const upgrades[SCHEMA_VERSION - 1] = {
    "CREATE TABLE notes(n INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, kind INTEGER NOT NULL,"
    " at INTEGER NOT NULL); PRAGMA user_version=2;",
};

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT,
    TRIM,
    LIST,
    NOTES,
    NOTED,
    LEAVE,
    STATEMENTS
} statement;

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
    [NOTES] = "SELECT n, peer, kind, at FROM notes WHERE n > ?1 ORDER BY n LIMIT ?2",
    [NOTED] = "DELETE FROM notes WHERE n <= ?1",
    [LEAVE] = "INSERT INTO notes(peer, kind, at) SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM notes) < ?4",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    .schema = schema,
    .version = SCHEMA_VERSION,
    .upgrades = upgrades,
    .sql = sql,
    .count = STATEMENTS,
};

typedef struct note {
    kith_peer_id peer;
    kith_conduct kind;
    uint64_t at;
} note;

struct kith_reputation_file {
    char path[PATH_MAX];
    kith_reputation *r;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t work;
    bool working, closed, told;
    void (*trouble)(void *ctx, const char *sentence);
    void *trouble_ctx;
    void (*noted)(void *ctx);
    void *noted_ctx;
    sqlite3_int64 taken; /* the last note that is in r */
    bool all; /* the batch has all that has changed: with it the notes up to `taken` are on the disk */
    /* of the worker, while working */
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    kith_reputation_row batch[BATCH];
    size_t count;
    note notes[BATCH];
    size_t note_count;
    sqlite3_int64 last; /* of them; or `taken` */
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

/* ---- notes ---- */

/* One that does not hold what it should is passed over, and goes with the others. */
static int read_notes(kith_reputation_file *f)
{
    sqlite3_stmt *st = kith_db_use(f->stmts[NOTES]);
    sqlite3_bind_int64(st, 1, f->taken);
    sqlite3_bind_int(st, 2, BATCH);
    f->note_count = 0;
    f->last = f->taken;
    int e;
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        note *w = &f->notes[f->note_count];
        sqlite3_int64 kind = sqlite3_column_int64(st, 2), at = sqlite3_column_int64(st, 3);
        f->last = sqlite3_column_int64(st, 0);
        *w = (note){.kind = (kith_conduct)kind, .at = (uint64_t)at};
        f->note_count += kind >= 0 && kind < KITH_CONDUCTS && at >= 0 &&
                         kith_peer_id_parse(kith_db_column(st, 1), &w->peer) == KITH_OK;
    }
    sqlite3_reset(st);
    return e == SQLITE_DONE ? SQLITE_OK : e;
}

static void take_notes(kith_reputation_file *f, uint64_t unix)
{
    for (size_t i = 0; i < f->note_count; i++) {
        const note *w = &f->notes[i];
        kith_reputation_note(f->r, &w->peer, w->kind, w->at < unix ? w->at : unix);
    }
    f->note_count = 0;
    f->taken = f->last;
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
    e = e == SQLITE_DONE ? SQLITE_OK : e;
    while (!e && (e = read_notes(f)) == SQLITE_OK && f->last > f->taken)
        take_notes(f, unix);
    return e;
}

static void write_batch(kith_reputation_file *f)
{
    bool ok = f->db && kith_db_done(kith_db_use(f->stmts[BEGIN]), &f->error);
    for (size_t i = 0; i < f->count && ok; i++)
        ok = put_row(f, &f->batch[i]);
    if (ok) {
        sqlite3_stmt *st = kith_db_use(f->stmts[TRIM]);
        sqlite3_bind_int(st, 1, KITH_REPUTATION_FILE_ROWS);
        ok = kith_db_done(st, &f->error);
    }
    if (ok && f->all) {
        sqlite3_stmt *st = kith_db_use(f->stmts[NOTED]);
        sqlite3_bind_int64(st, 1, f->taken);
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
    kith_reputation_file *f = w->data;
    f->error = SQLITE_OK;
    if (f->count > 0)
        write_batch(f);
    if (!f->error)
        f->error = f->db ? read_notes(f) : SQLITE_OK;
}

static void take_batch(kith_reputation_file *f)
{
    f->count = 0;
    while (f->count < BATCH && kith_reputation_take(f->r, &f->batch[f->count]))
        f->count++;
    f->all = f->count < BATCH;
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
    bool any = f->note_count > 0;
    if (!f->error)
        take_notes(f, kith_wall_s());
    if (any && !f->error && f->noted)
        f->noted(f->noted_ctx);
}

static void on_timer(uv_timer_t *t)
{
    kith_reputation_file *f = t->data;
    if (f->working)
        return;
    take_batch(f);
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

void kith_reputation_file_on_note(kith_reputation_file *f, void (*fn)(void *ctx), void *ctx)
{
    f->noted = fn;
    f->noted_ctx = ctx;
}

const char *kith_reputation_leave_note(const char *path, const kith_peer_id *peer, kith_conduct kind,
                                       uint64_t unix)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmts[STATEMENTS] = {0};
    int e = kith_db_open(path, &plan, &db, stmts);
    if (!e) {
        sqlite3_stmt *st = kith_db_use(stmts[LEAVE]);
        kith_db_bind(st, 1, kith_peer_id_bytes(peer));
        sqlite3_bind_int(st, 2, (int)kind);
        sqlite3_bind_int64(st, 3, (sqlite3_int64)unix);
        sqlite3_bind_int(st, 4, KITH_REPUTATION_NOTES_MAX);
        (void)kith_db_done(st, &e);
    }
    kith_db_close(&plan, &db, stmts);
    return e ? kith_db_words(e) : NULL;
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
    do {
        take_batch(f);
        f->error = SQLITE_OK;
        write_batch(f);
    } while (f->count > 0 && !f->all);
    uv_close((uv_handle_t *)&f->timer, on_closed);
    while (!f->closed)
        uv_run(f->loop, UV_RUN_ONCE);
    kith_db_close(&plan, &f->db, f->stmts);
    free(f);
}
