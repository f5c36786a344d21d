/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The DHT's rows in a file, and the worker that writes them. */
#include "host/kad_file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "host/db.h"

#define SCHEMA_VERSION 1
#define GATHER_MS 1000
#define PER_BUCKET 4

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS rows(key BLOB NOT NULL, provider BLOB NOT NULL, data BLOB NOT NULL,"
    " received INTEGER NOT NULL, origin INTEGER NOT NULL, PRIMARY KEY(key, provider)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS rows_by_age ON rows(received);"
    "CREATE TABLE IF NOT EXISTS peers(id BLOB PRIMARY KEY, addrs BLOB NOT NULL, answered INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS provides(key BLOB PRIMARY KEY) WITHOUT ROWID;"
    "PRAGMA user_version=1;";

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT,
    DROP,
    TRIM,
    LIST,
    PEER,
    TRIM_PEERS,
    PEERS,
    PROVIDE,
    UNPROVIDE,
    PROVIDES,
    STATEMENTS
} statement;

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT] = "INSERT INTO rows(key, provider, data, received, origin) VALUES(?1, ?2, ?3, ?4, ?5)"
            " ON CONFLICT(key, provider) DO UPDATE SET data = ?3, received = ?4, origin = ?5",
    [DROP] = "DELETE FROM rows WHERE key = ?1 AND provider = ?2",
    [TRIM] = "DELETE FROM rows WHERE (key, provider) IN"
             " (SELECT key, provider FROM rows ORDER BY received DESC LIMIT -1 OFFSET ?1)",
    [LIST] = "SELECT key, provider, data, received, origin FROM rows ORDER BY received",
    [PEER] = "INSERT INTO peers(id, addrs, answered) VALUES(?2, ?3, ?4)"
             " ON CONFLICT(id) DO UPDATE SET addrs = ?3, answered = max(answered, ?4)",
    [TRIM_PEERS] =
        "DELETE FROM peers WHERE id IN (SELECT id FROM peers ORDER BY answered DESC LIMIT -1 OFFSET ?1)",
    [PEERS] = "SELECT id, addrs FROM peers ORDER BY answered DESC LIMIT ?1",
    [PROVIDE] = "INSERT OR IGNORE INTO provides(key) VALUES(?1)",
    [UNPROVIDE] = "DELETE FROM provides WHERE key = ?1",
    [PROVIDES] = "SELECT key FROM provides LIMIT ?1",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    .schema = schema,
    .version = SCHEMA_VERSION,
    .sql = sql,
    .count = STATEMENTS,
};

/* A change that waits. Key and data lie behind it. */
typedef struct change {
    kith_link link;
    statement what;        /* PUT, DROP, PEER, PROVIDE, UNPROVIDE */
    kith_peer_id provider; /* or the peer */
    uint64_t received, group;
    size_t key_len, data_len;
    uint8_t bytes[];
} change;

struct kith_kad_file {
    uv_loop_t *loop;
    char path[PATH_MAX];
    uv_work_t work;
    uv_timer_t pause;
    bool working, loading, closing, closed;
    kith_list queue; /* of the loop */
    size_t queued;
    /* of the worker, while working */
    kith_list batch;
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
};

/* ---- the file ---- */

static int step(kith_kad_file *f, statement s)
{
    int e = sqlite3_step(f->stmts[s]);
    sqlite3_reset(f->stmts[s]);
    sqlite3_clear_bindings(f->stmts[s]);
    return e == SQLITE_DONE ? SQLITE_OK : e;
}

static int write_change(kith_kad_file *f, const change *c)
{
    sqlite3_stmt *st = f->stmts[c->what];
    if (c->what != PEER)
        kith_db_bind(st, 1, kith_bytes_of(c->bytes, c->key_len));
    if (c->what == PUT || c->what == DROP || c->what == PEER)
        kith_db_bind(st, 2, kith_peer_id_bytes(&c->provider));
    if (c->what == PUT || c->what == PEER) {
        kith_db_bind(st, 3, kith_bytes_of(c->bytes + c->key_len, c->data_len));
        sqlite3_bind_int64(st, 4, (sqlite3_int64)c->received);
    }
    if (c->what == PUT)
        sqlite3_bind_int64(st, 5, (sqlite3_int64)c->group);
    return step(f, c->what);
}

static int write_batch(kith_kad_file *f)
{
    int e = step(f, BEGIN);
    if (e)
        return e;
    KITH_EACH (&f->batch, k) {
        if (!e)
            e = write_change(f, KITH_OF(k, change, link));
    }
    sqlite3_bind_int(f->stmts[TRIM], 1, KITH_KAD_FILE_ROWS_MAX);
    if (!e)
        e = step(f, TRIM);
    sqlite3_bind_int(f->stmts[TRIM_PEERS], 1, KITH_KAD_FILE_PEERS_MAX);
    if (!e)
        e = step(f, TRIM_PEERS);
    if (!e)
        e = step(f, COMMIT);
    if (e)
        (void)step(f, ROLLBACK);
    return e;
}

static int begin_anew(kith_kad_file *f)
{
    kith_db_close(&plan, &f->db, f->stmts);
    kith_db_put_aside(f->path);
    return kith_db_open(f->path, &plan, &f->db, f->stmts);
}

/* ---- the queue ---- */

static void drop_all(kith_list *l)
{
    for (kith_link *k; (k = kith_list_pop(l));)
        free(KITH_OF(k, change, link));
}

static void on_work(uv_work_t *w)
{
    kith_kad_file *f = w->data;
    int e = f->db ? write_batch(f) : SQLITE_CANTOPEN;
    if (kith_db_damaged(e) || !f->db)
        (void)begin_anew(f); /* and the batch is lost */
}

static void kick(kith_kad_file *f);

static void on_worked(uv_work_t *w, int status)
{
    kith_kad_file *f = w->data;
    (void)status;
    f->working = false;
    drop_all(&f->batch);
    kick(f);
}

static void on_pause(uv_timer_t *t)
{
    kick(t->data);
}

/* Begins a batch, when there is one and its time has come. */
static void kick(kith_kad_file *f)
{
    if (f->working || f->loading || kith_list_empty(&f->queue) ||
        (!f->closing && uv_is_active((uv_handle_t *)&f->pause)))
        return;
    for (kith_link *k; (k = kith_list_pop(&f->queue));)
        kith_list_push(&f->batch, k);
    f->queued = 0;
    f->working = true;
    uv_timer_start(&f->pause, on_pause, GATHER_MS, 0);
    uv_queue_work(f->loop, &f->work, on_work, on_worked);
}

static void note(kith_kad_file *f, const kith_kad_row *row, statement what)
{
    if (f->closing || f->queued >= KITH_KAD_FILE_QUEUE_MAX)
        return;
    change *c = malloc(sizeof *c + row->key.len + row->data.len);
    if (!c)
        return;
    *c = (change){.what = what,
                  .provider = row->provider,
                  .received = row->received,
                  .group = row->group,
                  .key_len = row->key.len,
                  .data_len = row->data.len};
    if (row->key.len)
        memcpy(c->bytes, row->key.p, row->key.len);
    if (row->data.len)
        memcpy(c->bytes + row->key.len, row->data.p, row->data.len);
    kith_list_push(&f->queue, &c->link);
    f->queued++;
    kick(f);
}

static void on_put(void *ctx, const kith_kad_row *row)
{
    note(ctx, row, PUT);
}

static void on_gone(void *ctx, const kith_kad_row *row)
{
    note(ctx, row, DROP);
}

/* ---- life ---- */

kith_kad_file *kith_kad_file_open(uv_loop_t *loop, const char *path, bool *damaged, const char **why)
{
    static char text[256];
    *damaged = false;
    *why = "no memory";
    kith_kad_file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->loop = loop;
    f->work.data = f;
    kith_list_init(&f->queue);
    kith_list_init(&f->batch);
    int e = SQLITE_CANTOPEN;
    if ((size_t)snprintf(f->path, sizeof f->path, "%s", path) < sizeof f->path)
        e = kith_db_open(f->path, &plan, &f->db, f->stmts);
    if (kith_db_damaged(e)) {
        *damaged = true;
        e = begin_anew(f);
    }
    if (e) {
        snprintf(text, sizeof text, "%s", kith_db_words(e));
        *why = text;
        kith_db_close(&plan, &f->db, f->stmts);
        free(f);
        return NULL;
    }
    *why = NULL;
    uv_timer_init(loop, &f->pause);
    uv_unref((uv_handle_t *)&f->pause);
    f->pause.data = f;
    return f;
}

void kith_kad_file_watch(kith_kad_file *f, kith_kad_store_config *cfg)
{
    cfg->put = on_put;
    cfg->gone = on_gone;
    cfg->ctx = f;
}

/* Packed addresses are taken apart again, as whoever can write the file can write anything. */
static void read_addrs(kith_bytes packed, kith_addrs *out)
{
    kith_maddr a;
    out->len = 0;
    while (kith_addrs_next(&packed, &a))
        (void)kith_addrs_add(out, &a);
}

static bool read_row(sqlite3_stmt *st, kith_kad_row *row, kith_addrs *addrs)
{
    kith_bytes provider = kith_db_column(st, 1);
    *row = (kith_kad_row){.key = kith_db_column(st, 0),
                          .data = kith_db_column(st, 2),
                          .received = (uint64_t)sqlite3_column_int64(st, 3),
                          .group = (uint64_t)sqlite3_column_int64(st, 4)};
    if (row->key.len == 0 || row->key.len > KITH_KAD_KEY_MAX || row->data.len > KITH_KAD_VALUE_MAX)
        return false;
    if (provider.len == 0)
        return true;
    if (kith_peer_id_parse(provider, &row->provider))
        return false;
    read_addrs(row->data, addrs);
    row->data = kith_addrs_bytes(addrs);
    return addrs->len > 0;
}

size_t kith_kad_file_load(kith_kad_file *f, kith_kad_store *s, uint64_t unix)
{
    sqlite3_stmt *st = f->stmts[LIST];
    size_t n = 0;
    assert(!f->working);
    f->loading = true; /* the worker keeps its hands off the file */
    while (sqlite3_step(st) == SQLITE_ROW) {
        kith_kad_row row;
        kith_addrs addrs;
        if (read_row(st, &row, &addrs) && kith_kad_store_load(s, unix, &row) == KITH_OK) {
            n++;
        } else {
            kith_kad_row gone = {.key = row.key, .provider = row.provider};
            note(f, &gone, DROP);
        }
    }
    sqlite3_reset(st);
    f->loading = false;
    kick(f);
    return n;
}

/* ---- peers, and what we provide ---- */

void kith_kad_file_remember(kith_kad_file *f, const kith_kad_table *t, kith_time now, uint64_t unix)
{
    for (unsigned b = 0; b < KITH_KAD_BUCKETS; b++) {
        unsigned n = 0;
        for (kith_link *l = kith_list_last(&t->buckets[b]); l && n < PER_BUCKET;
             l = l->prev == &t->buckets[b].head ? NULL : l->prev, n++) {
            const kith_kad_entry *e = KITH_OF(l, kith_kad_entry, link);
            uint64_t ago = (now - e->answered_at) / KITH_SEC(1);
            kith_kad_row row = {.provider = e->id,
                                .data = kith_bytes_of(e->addrs, e->addrs_len),
                                .received = ago < unix ? unix - ago : 0};
            note(f, &row, PEER);
        }
    }
}

void kith_kad_file_peers(kith_kad_file *f, size_t max,
                         void (*fn)(void *ctx, const kith_peer_id *id, kith_bytes addrs), void *ctx)
{
    sqlite3_stmt *st = f->stmts[PEERS];
    assert(!f->working);
    sqlite3_bind_int64(st, 1, (sqlite3_int64)max);
    while (sqlite3_step(st) == SQLITE_ROW) {
        kith_peer_id id;
        kith_addrs addrs;
        read_addrs(kith_db_column(st, 1), &addrs);
        if (kith_peer_id_parse(kith_db_column(st, 0), &id) == KITH_OK && addrs.len > 0)
            fn(ctx, &id, kith_addrs_bytes(&addrs));
    }
    sqlite3_reset(st);
}

void kith_kad_file_provide(kith_kad_file *f, kith_bytes key, bool on)
{
    kith_kad_row row = {.key = key};
    note(f, &row, on ? PROVIDE : UNPROVIDE);
}

void kith_kad_file_provided(kith_kad_file *f, void (*fn)(void *ctx, kith_bytes key), void *ctx)
{
    sqlite3_stmt *st = f->stmts[PROVIDES];
    assert(!f->working);
    sqlite3_bind_int64(st, 1, KITH_KAD_FILE_PROVIDES_MAX);
    while (sqlite3_step(st) == SQLITE_ROW)
        fn(ctx, kith_db_column(st, 0));
    sqlite3_reset(st);
}

static void on_closed(uv_handle_t *h)
{
    ((kith_kad_file *)h->data)->closed = true;
}

void kith_kad_file_close(kith_kad_file *f)
{
    if (!f)
        return;
    f->closing = true;
    kick(f);
    while (f->working) /* its callback starts the next batch */
        uv_run(f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&f->pause, on_closed);
    while (!f->closed)
        uv_run(f->loop, UV_RUN_ONCE);
    kith_db_close(&plan, &f->db, f->stmts);
    free(f);
}
