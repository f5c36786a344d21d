/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The peer book's file, and the worker that writes and reads it. */
#include "host/book.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "host/clock.h"
#include "host/db.h"

#define SCHEMA_VERSION 2
#define GATHER_MS 100 /* a transaction costs as much as ten notes */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS peers("
    " id BLOB PRIMARY KEY, agent TEXT NOT NULL DEFAULT '', protocols TEXT NOT NULL DEFAULT '',"
    " first_seen INTEGER NOT NULL, seen INTEGER NOT NULL, succeeded INTEGER NOT NULL DEFAULT 0,"
    " pq INTEGER NOT NULL DEFAULT 0, info BLOB, info_seq INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS peers_by_age ON peers(seen);"
    "CREATE TABLE IF NOT EXISTS addrs("
    " peer BLOB NOT NULL REFERENCES peers(id) ON DELETE CASCADE, addr BLOB NOT NULL,"
    " source INTEGER NOT NULL, first_seen INTEGER NOT NULL, seen INTEGER NOT NULL,"
    " succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(peer, addr)) WITHOUT ROWID;"
    "PRAGMA user_version=2;";

static const char *const upgrades[SCHEMA_VERSION - 1] = {
    "ALTER TABLE peers ADD COLUMN info BLOB;"
    "ALTER TABLE peers ADD COLUMN info_seq INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE addrs ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version=2;",
};

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    MEET,
    DESCRIBE,
    INFORM,
    SUCCEED,
    ADD_ADDR,
    FAIL_ADDR,
    FORGET_ADDR,
    TRIM_ADDRS,
    COUNT,
    NOBODY_KEPT,
    KEEP,
    TRIM_PEERS,
    TRIM_STALE,
    FIND,
    LIST,
    CONTACTS,
    STATEMENTS
} statement;

/* In one order everywhere: what does not fail all the time (3), what worked last, then what is worth more, then what is fresher. */
#define BEST_FIRST "a.failed >= 3, a.succeeded DESC, a.source DESC, a.seen DESC, a.addr"

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [MEET] = "INSERT INTO peers(id, first_seen, seen) VALUES(?1, ?2, ?2)"
             " ON CONFLICT(id) DO UPDATE SET seen = max(seen, ?2)",
    [DESCRIBE] = "UPDATE peers SET agent = ?2, protocols = ?3 WHERE id = ?1",
    [INFORM] = "UPDATE peers SET info = ?2, info_seq = ?3 WHERE id = ?1 AND info_seq < ?3",
    [SUCCEED] = "UPDATE peers SET succeeded = max(succeeded, ?2), pq = max(pq, ?3) WHERE id = ?1",
    [ADD_ADDR] =
        "INSERT INTO addrs(peer, addr, source, first_seen, seen, succeeded) VALUES(?1, ?2, ?3, ?4, ?4, ?5)"
        " ON CONFLICT(peer, addr) DO UPDATE SET source = max(source, ?3), seen = max(seen, ?4),"
        " succeeded = max(succeeded, ?5), failed = CASE WHEN ?5 > 0 THEN 0 ELSE failed END",
    [FAIL_ADDR] = "UPDATE addrs SET failed = failed + 1 WHERE peer = ?1 AND addr = ?2",
    [FORGET_ADDR] = "DELETE FROM addrs WHERE peer = ?1 AND addr = ?2 AND failed >= ?3"
                    " AND max(first_seen, succeeded) + ?4 < (SELECT succeeded FROM peers WHERE id = ?1)",
    [TRIM_ADDRS] = "DELETE FROM addrs WHERE peer = ?1 AND addr IN"
                   " (SELECT addr FROM addrs a WHERE peer = ?1 ORDER BY " BEST_FIRST " LIMIT -1 OFFSET ?2)",
    [COUNT] = "SELECT count(*) FROM peers",
    [NOBODY_KEPT] = "DELETE FROM kept",
    [KEEP] = "INSERT OR IGNORE INTO kept(id) VALUES(?1)",
    [TRIM_PEERS] =
        "DELETE FROM peers WHERE id IN (SELECT id FROM peers p ORDER BY id IN (SELECT id FROM kept) DESC,"
        " EXISTS(SELECT 1 FROM addrs a WHERE a.peer = p.id AND a.source > 0) DESC, seen DESC, id"
        " LIMIT -1 OFFSET ?1)",
    [TRIM_STALE] = "DELETE FROM peers WHERE seen < ?1",
    [FIND] = "SELECT p.id, a.addr, a.source, a.seen, a.succeeded, p.seen, p.succeeded, p.pq, p.agent, p.info"
             " FROM peers p JOIN addrs a ON a.peer = p.id WHERE p.id = ?1"
             " ORDER BY " BEST_FIRST " LIMIT ?2",
    [LIST] = "SELECT p.id, a.addr, a.source, a.seen, a.succeeded, p.seen, p.succeeded, p.pq, p.agent, p.info"
             " FROM peers p LEFT JOIN addrs a ON a.peer = p.id"
             " ORDER BY p.seen DESC, p.id, " BEST_FIRST " LIMIT ?2",
    [CONTACTS] =
        "SELECT p.id, a.addr, a.source, a.seen, a.succeeded, p.seen, p.succeeded, p.pq, p.agent, p.info"
        " FROM (SELECT id, id IN (SELECT id FROM kept) AS known FROM peers c"
        " WHERE EXISTS(SELECT 1 FROM addrs x WHERE x.peer = c.id) AND (known"
        " OR EXISTS(SELECT 1 FROM addrs x WHERE x.peer = c.id AND x.source IN (1, 2))" /* TICKET, MANUAL */
        " OR instr(protocols, ?1) AND EXISTS(SELECT 1 FROM addrs x WHERE x.peer = c.id AND x.source > 0))"
        " ORDER BY known DESC, succeeded DESC, seen DESC, id LIMIT ?2) k"
        " JOIN peers p ON p.id = k.id JOIN addrs a ON a.peer = p.id"
        " ORDER BY k.known DESC, p.succeeded DESC, p.seen DESC, p.id, " BEST_FIRST,
};

typedef enum job_kind { JOB_ADDR, JOB_MISSED, JOB_MEET, JOB_DESCRIBE, JOB_INFO, JOB_ASK } job_kind;

typedef struct job {
    kith_link link;
    job_kind kind;
    kith_peer_id peer;
    uint64_t unix;
    kith_maddr addr; /* ADDR, MISSED; MEET: the one that was dialled, or len 0 */
    kith_book_source source;
    bool pq;         /* MEET */
    char *agent;     /* DESCRIBE */
    char *protocols; /* DESCRIBE: one per line */
    uint8_t *info;   /* INFO */
    size_t info_len;
    uint64_t info_seq;
    /* ASK */
    const char *spoke; /* of contacts; NULL: it is another question */
    size_t max, count;
    kith_book_row *rows;
    kith_book_answer fn;
    void *ctx;
} job;

struct kith_book {
    uv_loop_t *loop;
    char path[PATH_MAX];
    void (*trouble)(void *ctx, const char *sentence);
    void *trouble_ctx;
    bool failing; /* and the owner was told */
    uv_work_t work;
    bool working;
    kith_list queue; /* of the loop */
    size_t queued;
    bool asked;       /* a question is in the queue */
    uint64_t next_ms; /* the loop's time before which no batch is begun for notes alone */
    uv_timer_t pause;
    bool closing, closed;
    kith_list batch; /* of the worker, while working */
    kith_host *host; /* watched */
    kith_observer watch;
    const kith_trust *trust; /* NULL: none */
    uint64_t kept_changes;   /* when kept was taken from it */
    kith_peer_id *kept;      /* the loop's, and the worker's while working */
    size_t kept_count;
    /* of the worker, while working */
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    int error; /* of the batch: the first one of SQLite's */
    bool wrote, renewed;
    bool kept_loaded; /* into the table */
};

const char *kith_book_source_name(kith_book_source s)
{
    switch (s) {
    case KITH_BOOK_IDENTIFY:
        return "identify";
    case KITH_BOOK_TICKET:
        return "ticket";
    case KITH_BOOK_MANUAL:
        return "manual";
    case KITH_BOOK_DIALED:
        return "dialed";
    }
    return "unknown";
}

/* ---- the file ---- */

static const kith_db_plan plan = {
    .pragmas =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
        "CREATE TEMP TABLE kept(id BLOB PRIMARY KEY) WITHOUT ROWID;", /* of b->kept */
    .schema = schema,
    .version = SCHEMA_VERSION,
    .upgrades = upgrades,
    .sql = sql,
    .count = STATEMENTS,
};

static void db_close(kith_book *b)
{
    kith_db_close(&plan, &b->db, b->stmts);
}

static int db_open(kith_book *b)
{
    b->kept_loaded = false;
    return kith_db_open(b->path, &plan, &b->db, b->stmts);
}

/* The file is damaged: a new one takes its place. */
static int begin_anew(kith_book *b)
{
    db_close(b);
    kith_db_put_aside(b->path);
    return db_open(b);
}

kith_book *kith_book_open(uv_loop_t *loop, const char *path, bool *damaged, const char **why)
{
    static char text[256];
    *damaged = false;
    *why = "no memory";
    kith_book *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->loop = loop;
    b->work.data = b;
    kith_list_init(&b->queue);
    kith_list_init(&b->batch);
    int e =
        (size_t)snprintf(b->path, sizeof b->path, "%s", path) < sizeof b->path ? db_open(b) : SQLITE_CANTOPEN;
    if (kith_db_damaged(e)) {
        *damaged = true;
        e = begin_anew(b);
    }
    *why = NULL;
    if (e) {
        snprintf(text, sizeof text, "%s", kith_db_words(e));
        *why = text;
        db_close(b);
        b->failing = true;
    }
    if (e && e != SQLITE_FULL) {
        free(b);
        return NULL;
    }
    uv_timer_init(loop, &b->pause);
    uv_unref((uv_handle_t *)&b->pause);
    b->pause.data = b;
    return b;
}

/* ---- the worker ---- */

static bool done(kith_book *b, sqlite3_stmt *st)
{
    int e = sqlite3_step(st);
    sqlite3_reset(st);
    if (e != SQLITE_DONE && !b->error)
        b->error = e;
    return e == SQLITE_DONE;
}

static bool put_addr(kith_book *b, const job *j, bool succeeded)
{
    sqlite3_stmt *st = kith_db_use(b->stmts[ADD_ADDR]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    kith_db_bind(st, 2, kith_maddr_bytes(&j->addr));
    sqlite3_bind_int(st, 3, (int)j->source);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)j->unix);
    sqlite3_bind_int64(st, 5, succeeded ? (sqlite3_int64)j->unix : 0);
    if (!done(b, st))
        return false;
    st = kith_db_use(b->stmts[TRIM_ADDRS]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    sqlite3_bind_int(st, 2, KITH_BOOK_ADDRS_MAX);
    return done(b, st);
}

/* Nobody was there. It is forgotten only when the peer was met since, and this cannot be told from our own network being down else. */
static bool miss_addr(kith_book *b, const job *j)
{
    sqlite3_stmt *st = kith_db_use(b->stmts[FAIL_ADDR]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    kith_db_bind(st, 2, kith_maddr_bytes(&j->addr));
    if (!done(b, st))
        return false;
    st = kith_db_use(b->stmts[FORGET_ADDR]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    kith_db_bind(st, 2, kith_maddr_bytes(&j->addr));
    sqlite3_bind_int(st, 3, KITH_BOOK_MISSES_MAX);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)KITH_BOOK_MISSED_DAYS * 86400);
    return done(b, st);
}

static bool write_job(kith_book *b, const job *j)
{
    if (j->kind == JOB_MISSED)
        return miss_addr(b, j);
    sqlite3_stmt *st = kith_db_use(b->stmts[MEET]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    sqlite3_bind_int64(st, 2, (sqlite3_int64)j->unix);
    if (!done(b, st))
        return false;
    switch (j->kind) {
    case JOB_ADDR:
        return put_addr(b, j, false);
    case JOB_MEET:
        st = kith_db_use(b->stmts[SUCCEED]);
        kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
        sqlite3_bind_int64(st, 2, (sqlite3_int64)j->unix);
        sqlite3_bind_int(st, 3, j->pq);
        return done(b, st) && (j->addr.len == 0 || put_addr(b, j, true));
    case JOB_DESCRIBE:
        st = kith_db_use(b->stmts[DESCRIBE]);
        kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
        sqlite3_bind_text(st, 2, j->agent, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 3, j->protocols, -1, SQLITE_STATIC);
        return done(b, st);
    case JOB_INFO:
        st = kith_db_use(b->stmts[INFORM]);
        kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
        kith_db_bind(st, 2, kith_bytes_of(j->info, j->info_len));
        sqlite3_bind_int64(st, 3, (sqlite3_int64)j->info_seq);
        return done(b, st);
    case JOB_MISSED:
    case JOB_ASK:
        break;
    }
    return true;
}

static bool is_full(kith_book *b)
{
    sqlite3_stmt *st = kith_db_use(b->stmts[COUNT]);
    int e = sqlite3_step(st);
    bool full = e == SQLITE_ROW && sqlite3_column_int64(st, 0) > KITH_BOOK_PEERS_MAX;
    sqlite3_reset(st);
    if (e != SQLITE_ROW && !b->error)
        b->error = e;
    return full;
}

static void load_kept(kith_book *b)
{
    b->kept_loaded = done(b, kith_db_use(b->stmts[NOBODY_KEPT]));
    for (size_t i = 0; i < b->kept_count && b->kept_loaded; i++) {
        sqlite3_stmt *st = kith_db_use(b->stmts[KEEP]);
        kith_db_bind(st, 1, kith_peer_id_bytes(&b->kept[i]));
        b->kept_loaded = done(b, st);
    }
}

static void trim(kith_book *b, uint64_t unix)
{
    if (is_full(b)) {
        if (!b->kept_loaded)
            load_kept(b);
        sqlite3_stmt *st = kith_db_use(b->stmts[TRIM_PEERS]);
        sqlite3_bind_int(st, 1, KITH_BOOK_PEERS_MAX);
        if (b->kept_loaded)
            (void)done(b, st);
    }
    sqlite3_stmt *st = kith_db_use(b->stmts[TRIM_STALE]);
    uint64_t age = KITH_BOOK_STALE_DAYS * 86400ull;
    sqlite3_bind_int64(st, 1, unix > age ? (sqlite3_int64)(unix - age) : 0);
    (void)done(b, st);
}

/* False: the row does not hold what it should. */
static bool read_row(sqlite3_stmt *st, kith_book_row *r)
{
    *r = (kith_book_row){0};
    if (kith_peer_id_parse(kith_db_column(st, 0), &r->peer))
        return false;
    if (sqlite3_column_type(st, 1) != SQLITE_NULL && kith_maddr_parse(kith_db_column(st, 1), &r->addr))
        return false;
    int source = sqlite3_column_int(st, 2);
    r->source = source >= KITH_BOOK_IDENTIFY && source <= KITH_BOOK_DIALED ? (kith_book_source)source
                                                                           : KITH_BOOK_IDENTIFY;
    r->seen = (uint64_t)sqlite3_column_int64(st, 3);
    r->succeeded = (uint64_t)sqlite3_column_int64(st, 4);
    r->peer_seen = (uint64_t)sqlite3_column_int64(st, 5);
    r->peer_succeeded = (uint64_t)sqlite3_column_int64(st, 6);
    r->pq = sqlite3_column_int(st, 7) != 0;
    const unsigned char *agent = sqlite3_column_text(st, 8);
    snprintf(r->agent, sizeof r->agent, "%s", agent ? (const char *)agent : "");
    kith_peer_info info; /* it was verified before it was stored */
    if (kith_peer_info_read(kith_db_column(st, 9), &info) == KITH_OK &&
        kith_peer_id_eq(&info.peer, &r->peer)) {
        r->info_time = info.time;
        snprintf(r->self_name, sizeof r->self_name, "%.*s", (int)info.name.len, (const char *)info.name.p);
    }
    return true;
}

static void answer_job(kith_book *b, job *j)
{
    if (j->spoke && !b->kept_loaded)
        load_kept(b);
    sqlite3_stmt *st = kith_db_use(b->stmts[j->spoke ? CONTACTS : j->peer.len ? FIND : LIST]);
    size_t cap = 0;
    if (j->spoke)
        sqlite3_bind_text(st, 1, j->spoke, -1, SQLITE_STATIC);
    else if (j->peer.len)
        kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    sqlite3_bind_int64(st, 2, (sqlite3_int64)(j->spoke ? j->max / KITH_BOOK_ADDRS_MAX : j->max));
    int e = SQLITE_DONE;
    while (j->count < j->max && (e = sqlite3_step(st)) == SQLITE_ROW) {
        if (j->count == cap) {
            cap = cap ? cap * 2 : 16;
            kith_book_row *rows = realloc(j->rows, cap * sizeof *rows);
            if (!rows)
                break;
            j->rows = rows;
        }
        j->count += read_row(st, &j->rows[j->count]);
    }
    sqlite3_reset(st);
    if (e != SQLITE_ROW && e != SQLITE_DONE && !b->error)
        b->error = e;
}

static void write_batch(kith_book *b)
{
    uint64_t unix = 0;
    bool writing = false, ok = true;
    KITH_EACH (&b->batch, k) {
        const job *j = KITH_OF(k, job, link);
        if (j->kind == JOB_ASK)
            continue;
        unix = j->unix;
        if (!writing)
            ok = done(b, kith_db_use(b->stmts[BEGIN]));
        writing = true;
        if (ok)
            ok = write_job(b, j);
    }
    if (!writing)
        return;
    if (ok)
        trim(b, unix);
    if (ok && done(b, kith_db_use(b->stmts[COMMIT]))) {
        b->wrote = true;
    } else { /* a full disk: what was noted is lost, what was stored stays */
        (void)done(b, kith_db_use(b->stmts[ROLLBACK]));
        b->kept_loaded = false;
    }
}

static void answer_batch(kith_book *b)
{
    KITH_EACH (&b->batch, k) {
        job *j = KITH_OF(k, job, link);
        if (j->kind == JOB_ASK)
            answer_job(b, j);
    }
}

/* Whether a damaged file is behind the batch's error. A page that was written over can look like a broken constraint, which a sound
 * file never gives: then the whole file is looked at, which takes its time and happens once. */
static bool was_damage(kith_book *b)
{
    if (b->error == SQLITE_OK || b->error == SQLITE_FULL || kith_db_damaged(b->error))
        return kith_db_damaged(b->error);
    sqlite3_stmt *st = NULL;
    int e = sqlite3_prepare_v2(b->db, "PRAGMA integrity_check(1)", -1, &st, NULL);
    if (!e)
        e = sqlite3_step(st);
    const char *found = e == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    bool damaged = kith_db_damaged(e) || (found && strcmp(found, "ok") != 0);
    sqlite3_finalize(st);
    return damaged;
}

/* Damage deep in a file shows only when that part is read or written. */
static void run_batch(kith_book *b)
{
    b->wrote = b->renewed = false;
    b->error = b->stmts[LIST] ? SQLITE_OK : db_open(b); /* closed: a new file could not be made last time */
    if (b->error) {
        db_close(b);
        return;
    }
    write_batch(b);
    answer_batch(b);
    if (!was_damage(b))
        return;
    b->error = begin_anew(b);
    b->renewed = true;
    if (b->error)
        db_close(b);
    else
        write_batch(b); /* what was answered stays: it came from what could still be read */
}

static void on_work(uv_work_t *w)
{
    run_batch(w->data);
}

static void job_free(job *j)
{
    free(j->agent);
    free(j->protocols);
    free(j->info);
    free(j->rows);
    free(j);
}

static void kick(kith_book *b);

/* What the owner should know of this batch. */
static void tell_trouble(kith_book *b)
{
    char text[PATH_MAX + 128];
    if (!b->trouble)
        return;
    if (b->renewed) {
        snprintf(text, sizeof text,
                 "the peer book was damaged; it is now %s.damaged, and a new one was begun", b->path);
        b->trouble(b->trouble_ctx, text);
    }
    if (b->error && !b->failing) {
        b->failing = true;
        snprintf(text, sizeof text,
                 "the peer book %s cannot be written: %s; going on without what is learnt now", b->path,
                 sqlite3_errstr(b->error));
        b->trouble(b->trouble_ctx, text);
    } else if (b->wrote && b->failing) {
        b->failing = false;
        b->trouble(b->trouble_ctx, "the peer book can be written again");
    }
}

static void on_worked(uv_work_t *w, int status)
{
    (void)status;
    kith_book *b = w->data;
    tell_trouble(b);
    for (kith_link *k; (k = kith_list_pop(&b->batch));) {
        job *j = KITH_OF(k, job, link);
        if (j->kind == JOB_ASK)
            j->fn(j->ctx, j->rows, j->count);
        job_free(j);
    }
    b->working = false;
    kick(b);
}

/* Whom a person made something of, for the worker. Without memory those of before stay. */
static void take_kept(kith_book *b)
{
    if (!b->trust || (b->kept && b->kept_changes == kith_trust_kept_changes(b->trust)))
        return;
    kith_peer_id *kept = malloc((kith_trust_count(b->trust) + 1) * sizeof *kept);
    size_t n = 0;
    if (!kept)
        return;
    for (const kith_trust_row *r = NULL; (r = kith_trust_next(b->trust, r));) {
        if (kith_trust_kept(r))
            kept[n++] = r->peer;
    }
    free(b->kept);
    b->kept = kept;
    b->kept_count = n;
    b->kept_changes = kith_trust_kept_changes(b->trust);
    b->kept_loaded = false;
}

static void take_queue(kith_book *b)
{
    take_kept(b);
    for (kith_link *k; (k = kith_list_pop(&b->queue));)
        kith_list_push(&b->batch, k);
    b->queued = 0;
    b->asked = false;
}

static void on_pause(uv_timer_t *t)
{
    kick(t->data);
}

/* Notes that come in quick succession share a transaction, unless somebody wants to read them. */
static bool gathers(const kith_book *b)
{
    return uv_now(b->loop) < b->next_ms && !b->asked && !b->closing && b->queued < KITH_BOOK_QUEUE_MAX / 2;
}

static void kick(kith_book *b)
{
    if (b->working || kith_list_empty(&b->queue))
        return;
    if (gathers(b)) {
        if (!uv_is_active((uv_handle_t *)&b->pause))
            uv_timer_start(&b->pause, on_pause, b->next_ms - uv_now(b->loop), 0);
        return;
    }
    take_queue(b);
    b->next_ms = uv_now(b->loop) + GATHER_MS;
    b->working = true;
    int e = uv_queue_work(b->loop, &b->work, on_work, on_worked);
    assert(e == 0); /* fails only without a work function */
    (void)e;
}

static void on_closed(uv_handle_t *pause)
{
    kith_book *b = pause->data;
    b->closed = true;
}

void kith_book_close(kith_book *b)
{
    if (!b)
        return;
    if (b->host)
        kith_host_unobserve(b->host, &b->watch);
    b->closing = true;
    kick(b);
    while (b->working) /* its callback starts the next batch */
        uv_run(b->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&b->pause, on_closed);
    while (!b->closed)
        uv_run(b->loop, UV_RUN_ONCE);
    db_close(b);
    free(b->kept);
    free(b);
}

void kith_book_heed(kith_book *b, const kith_trust *t)
{
    b->trust = t;
}

void kith_book_on_trouble(kith_book *b, void (*fn)(void *ctx, const char *sentence), void *ctx)
{
    b->trouble = fn;
    b->trouble_ctx = ctx;
}

/* ---- notes ---- */

static job *job_new(kith_book *b, job_kind kind, const kith_peer_id *peer, uint64_t unix)
{
    if (kind != JOB_ASK && b->queued >= KITH_BOOK_QUEUE_MAX)
        return NULL;
    job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->kind = kind;
    j->peer = peer ? *peer : (kith_peer_id){0};
    j->unix = unix;
    return j;
}

static void submit(kith_book *b, job *j)
{
    kith_list_push(&b->queue, &j->link);
    b->queued++;
    b->asked = b->asked || j->kind == JOB_ASK;
    kick(b);
}

/* Without its /p2p: the peer is the key. */
static void submit_addr(kith_book *b, job *j, const kith_maddr *addr)
{
    if (!j)
        return;
    j->addr = *addr;
    if (kith_maddr_set_peer(&j->addr, NULL) || j->addr.len == 0)
        job_free(j);
    else
        submit(b, j);
}

void kith_book_note_addr(kith_book *b, const kith_peer_id *peer, const kith_maddr *addr,
                         kith_book_source source, uint64_t unix)
{
    job *j = job_new(b, JOB_ADDR, peer, unix);
    if (j)
        j->source = source;
    submit_addr(b, j, addr);
}

void kith_book_note_missed(kith_book *b, const kith_peer_id *peer, const kith_maddr *addr)
{
    submit_addr(b, job_new(b, JOB_MISSED, peer, 0), addr);
}

void kith_book_note_info(kith_book *b, const kith_peer_id *peer, kith_bytes record, uint64_t unix)
{
    kith_peer_info info;
    if (kith_peer_info_read(record, &info) || !kith_peer_id_eq(&info.peer, peer))
        return;
    job *j = job_new(b, JOB_INFO, peer, unix);
    if (!j)
        return;
    j->info = malloc(record.len);
    if (!j->info) {
        job_free(j);
        return;
    }
    memcpy(j->info, record.p, record.len);
    j->info_len = record.len;
    j->info_seq = info.seq;
    submit(b, j);
}

static void on_connected(kith_book *b, const kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    job *j = job_new(b, JOB_MEET, &f.peer, kith_wall_s());
    if (!j)
        return;
    j->pq = f.suite && f.suite->kem != KITH_KEM_NONE;
    j->source = KITH_BOOK_DIALED;
    if (!f.inbound) /* whoever came to us did so from a port that leads nowhere */
        j->addr = f.remote;
    submit(b, j);
}

/* One id per line, as far as they fit. */
static char *join_protocols(const kith_identify_info *info)
{
    size_t len = 0, at = 0;
    for (size_t i = 0; i < info->protocol_count; i++)
        len += info->protocols[i].len + 1;
    char *out = malloc(len + 1);
    for (size_t i = 0; out && i < info->protocol_count; i++) {
        memcpy(out + at, info->protocols[i].p, info->protocols[i].len);
        at += info->protocols[i].len;
        out[at++] = '\n';
    }
    if (out)
        out[at] = '\0';
    return out;
}

static void on_identified(kith_book *b, const kith_conn *c, const kith_identify_info *info)
{
    kith_conn_facts f;
    uint64_t unix = kith_wall_s();
    kith_conn_facts_get(c, &f);
    job *j = info->has_protocols ? job_new(b, JOB_DESCRIBE, &f.peer, unix) : NULL;
    if (j) {
        j->agent = strdup(f.agent);
        j->protocols = join_protocols(info);
        if (j->agent && j->protocols)
            submit(b, j);
        else
            job_free(j);
    }
    for (size_t i = 0; i < info->addr_count && i < KITH_BOOK_ADDRS_MAX; i++)
        kith_book_note_addr(b, &f.peer, &info->addrs[i], KITH_BOOK_IDENTIFY, unix);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    if (ev->kind == KITH_NODE_CLOSE)
        kith_book_note_missed(ctx, &ev->peer, &ev->addr);
    else if (ev->kind == KITH_NODE_CONNECTED)
        on_connected(ctx, ev->conn);
    else if ((ev->kind == KITH_NODE_IDENTIFIED || ev->kind == KITH_NODE_UPDATED) && ev->info)
        on_identified(ctx, ev->conn, ev->info);
}

void kith_book_watch(kith_book *b, kith_host *h)
{
    b->host = h;
    b->watch = (kith_observer){.event = on_event, .ctx = b};
    kith_host_observe(h, &b->watch);
}

static kith_err ask(kith_book *b, const kith_peer_id *peer, const char *spoke, size_t max,
                    kith_book_answer fn, void *ctx)
{
    job *j = job_new(b, JOB_ASK, peer, 0);
    if (!j)
        return KITH_ENOMEM;
    j->spoke = spoke;
    j->max = max;
    j->fn = fn;
    j->ctx = ctx;
    submit(b, j);
    return KITH_OK;
}

kith_err kith_book_ask(kith_book *b, const kith_peer_id *peer, size_t max, kith_book_answer fn, void *ctx)
{
    return ask(b, peer, NULL, max, fn, ctx);
}

kith_err kith_book_ask_contacts(kith_book *b, const char *spoke, size_t peers, kith_book_answer fn, void *ctx)
{
    return ask(b, NULL, spoke, peers * KITH_BOOK_ADDRS_MAX, fn, ctx);
}
