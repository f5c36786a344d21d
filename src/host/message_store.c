/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The messages' file, and the worker that writes and reads it. */
#include "host/message_store.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "host/db.h"
#include "mesh/replay.h"

#define PAGE_BYTES (1u << 20)

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS outbox("
    " age INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, peer BLOB NOT NULL, message BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS inbox("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, source BLOB NOT NULL, len INTEGER NOT NULL,"
    " received INTEGER NOT NULL, message BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS inbox_by_source ON inbox(source, seq);"
    "CREATE TABLE IF NOT EXISTS ids("
    " source BLOB NOT NULL, id BLOB NOT NULL, ends INTEGER NOT NULL, contact INTEGER NOT NULL,"
    " PRIMARY KEY(source, id)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS ids_by_end ON ids(contact, ends);"
    "CREATE TABLE IF NOT EXISTS forgot(contact INTEGER PRIMARY KEY, ends INTEGER NOT NULL);"
    "PRAGMA user_version=1; COMMIT;";

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    LIST_OUT,
    PUT_OUT,
    DELETE_OUT,
    GET_OUT,
    LIST_IDS,
    LIST_FORGOT,
    PUT_ID,
    PAST_IDS,
    COUNT_IDS,
    FIRST_ID,
    DROP_IDS,
    FORGET,
    PUT_IN,
    OLD_OF_SOURCE,
    TRIM_SOURCE,
    TRIM_OLDEST,
    COUNT_IN,
    READ_IN,
    LAST_IN,
    STATEMENTS
} statement;

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [LIST_OUT] = "SELECT peer, message, age FROM outbox ORDER BY age",
    [PUT_OUT] = "INSERT INTO outbox(age, id, peer, message) VALUES(?1, ?2, ?3, ?4)",
    [DELETE_OUT] = "DELETE FROM outbox WHERE id = ?1",
    [GET_OUT] = "SELECT message FROM outbox WHERE id = ?1",
    [LIST_IDS] = "SELECT source, id, ends, contact FROM ids WHERE ends >= ?1 ORDER BY ends",
    [LIST_FORGOT] = "SELECT contact, ends FROM forgot",
    [PUT_ID] = "INSERT OR IGNORE INTO ids(source, id, ends, contact) VALUES(?1, ?2, ?3, ?4)",
    [PAST_IDS] = "DELETE FROM ids WHERE contact = ?1 AND ends < ?2",
    [COUNT_IDS] = "SELECT count(*) FROM ids WHERE contact = ?1",
    [FIRST_ID] = "SELECT min(ends) FROM ids WHERE contact = ?1",
    [DROP_IDS] = "DELETE FROM ids WHERE contact = ?1 AND ends <= ?2",
    [FORGET] = "INSERT INTO forgot VALUES(?1, ?2) ON CONFLICT DO UPDATE SET ends = max(ends, ?2)",
    [PUT_IN] = "INSERT INTO inbox(source, len, received, message) VALUES(?1, ?2, ?3, ?4)",
    [OLD_OF_SOURCE] = "SELECT seq FROM inbox WHERE source = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2",
    [TRIM_SOURCE] = "DELETE FROM inbox WHERE source = ?1 AND seq <= ?2 RETURNING len",
    [TRIM_OLDEST] = "DELETE FROM inbox WHERE seq = (SELECT min(seq) FROM inbox) RETURNING len",
    [COUNT_IN] = "SELECT count(*), coalesce(sum(len), 0) FROM inbox",
    [READ_IN] = "SELECT seq, received, message FROM inbox WHERE seq > ?1 AND received >= ?2 ORDER BY seq",
    [LAST_IN] = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'inbox'",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    .schema = schema,
    .version = 1,
    .sql = sql,
    .count = STATEMENTS,
};

typedef enum job_kind { JOB_PUT, JOB_DELETE, JOB_GET, JOB_TAKE, JOB_READ } job_kind;

typedef struct job {
    kith_link link;
    job_kind kind;
    uint8_t id[KITH_MESSAGE_ID_LEN];
    kith_peer_id peer;
    uint8_t *message; /* PUT, TAKE: to be written; GET: what was read */
    size_t len;
    uint64_t age, ends, received, seq;
    bool contact;
    kith_inbox_row *rows;
    size_t row_count;
    kith_err err;
    union {
        kith_store_done done;
        kith_store_loaded loaded;
        kith_store_taken taken;
        kith_store_rows rows;
    } fn;
    void *ctx;
} job;

struct kith_message_store {
    uv_loop_t *loop;
    char path[PATH_MAX];
    uv_work_t work;
    bool working;
    kith_list queue; /* of the loop */
    size_t queued_bytes;
    uint64_t last;
    bool failing; /* and the owner was told */
    void (*trouble)(void *ctx, const char *sentence);
    void *trouble_ctx;
    kith_list batch; /* of the worker, while working */
    /* of the worker, while working */
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    int error; /* of the batch */
    size_t in_count, in_bytes;
    size_t ids[2]; /* strangers', contacts' */
};

/* ---- the file ---- */

static void bind_number(sqlite3_stmt *st, int at, uint64_t v)
{
    sqlite3_bind_int64(st, at, v > INT64_MAX ? INT64_MAX : (sqlite3_int64)v);
}

static uint64_t column_number(sqlite3_stmt *st, int at)
{
    return (uint64_t)sqlite3_column_int64(st, at);
}

/* The first column of the first row. */
static uint64_t number(kith_message_store *s, sqlite3_stmt *st)
{
    int e = sqlite3_step(st);
    uint64_t n = e == SQLITE_ROW ? column_number(st, 0) : 0;
    sqlite3_reset(st);
    (void)kith_db_ok(e, &s->error);
    return n;
}

static void count_all(kith_message_store *s)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[COUNT_IN]);
    int e = sqlite3_step(st);
    s->in_count = (size_t)column_number(st, 0);
    s->in_bytes = (size_t)column_number(st, 1);
    sqlite3_reset(st);
    (void)kith_db_ok(e, &s->error);
    for (int contact = 0; contact < 2; contact++) {
        st = kith_db_use(s->stmts[COUNT_IDS]);
        sqlite3_bind_int(st, 1, contact);
        s->ids[contact] = (size_t)number(s, st);
    }
}

static void load_rows(kith_message_store *s, statement which, uint64_t now, const kith_message_store_load *l)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[which]);
    kith_peer_id peer;
    int e;
    if (which == LIST_IDS)
        bind_number(st, 1, now);
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        if (which == LIST_FORGOT) {
            l->forgot(l->ctx, sqlite3_column_int(st, 0) != 0, column_number(st, 1));
            continue;
        }
        if (kith_peer_id_parse(kith_db_column(st, 0), &peer))
            continue;
        kith_bytes v = kith_db_column(st, 1);
        if (which == LIST_OUT)
            l->outbox(l->ctx, &peer, v, column_number(st, 2));
        else if (v.len == KITH_MESSAGE_ID_LEN)
            l->id(l->ctx, &peer, v.p, column_number(st, 2), sqlite3_column_int(st, 3) != 0);
    }
    sqlite3_reset(st);
    (void)kith_db_ok(e, &s->error);
}

static int open_file(kith_message_store *s)
{
    s->error = kith_db_open(s->path, &plan, &s->db, s->stmts);
    if (s->error)
        return s->error;
    count_all(s);
    s->last = number(s, kith_db_use(s->stmts[LAST_IN]));
    return s->error;
}

kith_message_store *kith_message_store_open(uv_loop_t *loop, const char *path, bool *damaged,
                                            const char **why)
{
    static char text[256];
    *damaged = false;
    *why = "no memory";
    kith_message_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->loop = loop;
    s->work.data = s;
    kith_list_init(&s->queue);
    kith_list_init(&s->batch);
    int e = (size_t)snprintf(s->path, sizeof s->path, "%s", path) < sizeof s->path ? open_file(s)
                                                                                   : SQLITE_CANTOPEN;
    if (kith_db_damaged(e)) {
        *damaged = true;
        kith_db_close(&plan, &s->db, s->stmts);
        kith_db_put_aside(s->path);
        e = open_file(s);
    }
    *why = NULL;
    if (!e)
        return s;
    snprintf(text, sizeof text, "%s", kith_db_words(e));
    *why = text;
    kith_db_close(&plan, &s->db, s->stmts);
    free(s);
    return NULL;
}

kith_err kith_message_store_read_all(kith_message_store *s, uint64_t now, const kith_message_store_load *load)
{
    static const statement which[] = {LIST_FORGOT, LIST_IDS, LIST_OUT};
    assert(!s->working);
    s->error = SQLITE_OK;
    for (size_t i = 0; i < (load->outbox ? 3 : 2); i++)
        load_rows(s, which[i], now, load);
    return s->error ? KITH_EIO : KITH_OK;
}

/* ---- the worker ---- */

static void put_job(kith_message_store *s, const job *j)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[PUT_OUT]);
    bind_number(st, 1, j->age);
    kith_db_bind(st, 2, kith_bytes_of(j->id, sizeof j->id));
    kith_db_bind(st, 3, kith_peer_id_bytes(&j->peer));
    kith_db_bind(st, 4, kith_bytes_of(j->message, j->len));
    (void)kith_db_done(st, &s->error);
}

/* Whoever ends first is forgotten first, and everybody who ends at that time with it. */
static void forget_ids(kith_message_store *s, bool contact)
{
    while (!s->error && s->ids[contact] > KITH_REPLAY_MESSAGES_MAX) {
        sqlite3_stmt *st = kith_db_use(s->stmts[FIRST_ID]);
        sqlite3_bind_int(st, 1, contact);
        uint64_t ends = number(s, st);
        st = kith_db_use(s->stmts[DROP_IDS]);
        sqlite3_bind_int(st, 1, contact);
        bind_number(st, 2, ends);
        if (!kith_db_done(st, &s->error))
            return;
        s->ids[contact] -= (size_t)sqlite3_changes(s->db);
        st = kith_db_use(s->stmts[FORGET]);
        sqlite3_bind_int(st, 1, contact);
        bind_number(st, 2, ends);
        (void)kith_db_done(st, &s->error);
    }
}

/* Runs a deletion that tells the lengths of what it deleted. False: there was nothing. */
static bool trim(kith_message_store *s, sqlite3_stmt *st)
{
    int e;
    bool some = false;
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        s->in_count--;
        s->in_bytes -= (size_t)column_number(st, 0);
        some = true;
    }
    sqlite3_reset(st);
    return kith_db_ok(e, &s->error) && some;
}

static void take_job(kith_message_store *s, job *j)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[PUT_ID]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    kith_db_bind(st, 2, kith_bytes_of(j->id, sizeof j->id));
    bind_number(st, 3, j->ends);
    sqlite3_bind_int(st, 4, j->contact);
    if (!kith_db_done(st, &s->error))
        return;
    if (sqlite3_changes(s->db) == 0) {
        j->err = KITH_EEXISTS;
        return;
    }
    s->ids[j->contact]++;
    for (int contact = 0; contact < 2; contact++) {
        st = kith_db_use(s->stmts[PAST_IDS]);
        sqlite3_bind_int(st, 1, contact);
        bind_number(st, 2, j->received);
        if (kith_db_done(st, &s->error))
            s->ids[contact] -= (size_t)sqlite3_changes(s->db);
    }
    forget_ids(s, j->contact);
    st = kith_db_use(s->stmts[PUT_IN]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    bind_number(st, 2, j->len);
    bind_number(st, 3, j->received);
    kith_db_bind(st, 4, kith_bytes_of(j->message, j->len));
    if (!kith_db_done(st, &s->error))
        return;
    j->seq = (uint64_t)sqlite3_last_insert_rowid(s->db);
    s->in_count++;
    s->in_bytes += j->len;
    st = kith_db_use(s->stmts[OLD_OF_SOURCE]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    sqlite3_bind_int(st, 2, KITH_INBOX_PER_SOURCE_MAX);
    uint64_t old = number(s, st);
    st = kith_db_use(s->stmts[TRIM_SOURCE]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&j->peer));
    bind_number(st, 2, old);
    (void)trim(s, st);
    while (!s->error && (s->in_count > KITH_INBOX_MESSAGES_MAX || s->in_bytes > KITH_INBOX_BYTES_MAX) &&
           trim(s, kith_db_use(s->stmts[TRIM_OLDEST]))) {
    }
}

static void delete_job(kith_message_store *s, const job *j)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[DELETE_OUT]);
    kith_db_bind(st, 1, kith_bytes_of(j->id, sizeof j->id));
    (void)kith_db_done(st, &s->error);
}

static bool writes(const job *j)
{
    return j->kind == JOB_PUT || j->kind == JOB_DELETE || j->kind == JOB_TAKE;
}

static void write_batch(kith_message_store *s)
{
    bool some = false;
    KITH_EACH (&s->batch, k)
        some |= writes(KITH_OF(k, job, link));
    if (!some || !kith_db_done(kith_db_use(s->stmts[BEGIN]), &s->error))
        return;
    KITH_EACH (&s->batch, k) {
        job *j = KITH_OF(k, job, link);
        if (s->error)
            break;
        if (j->kind == JOB_PUT)
            put_job(s, j);
        else if (j->kind == JOB_DELETE)
            delete_job(s, j);
        else if (j->kind == JOB_TAKE)
            take_job(s, j);
    }
    if (!s->error && kith_db_done(kith_db_use(s->stmts[COMMIT]), &s->error))
        return;
    int e = s->error; /* what was stored stays; none of the batch is */
    (void)kith_db_done(kith_db_use(s->stmts[ROLLBACK]), &s->error);
    count_all(s);
    s->error = e;
}

/* A copy; NULL: no memory. */
static uint8_t *copy(kith_bytes b)
{
    uint8_t *p = malloc(b.len ? b.len : 1);
    if (p && b.len)
        memcpy(p, b.p, b.len);
    return p;
}

static void get_job(kith_message_store *s, job *j)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[GET_OUT]);
    kith_db_bind(st, 1, kith_bytes_of(j->id, sizeof j->id));
    int e = sqlite3_step(st);
    kith_bytes v = kith_db_column(st, 0);
    if (e == SQLITE_ROW && (j->message = copy(v)))
        j->len = v.len;
    else
        j->err = e == SQLITE_ROW ? KITH_ENOMEM : e == SQLITE_DONE ? KITH_ENOTFOUND : KITH_EIO;
    sqlite3_reset(st);
}

static void read_job(kith_message_store *s, job *j)
{
    sqlite3_stmt *st = kith_db_use(s->stmts[READ_IN]);
    size_t cap = 0, bytes = 0;
    int e;
    bind_number(st, 1, j->seq);
    bind_number(st, 2, j->received);
    while ((e = sqlite3_step(st)) == SQLITE_ROW && bytes < PAGE_BYTES) {
        if (j->row_count == cap) {
            cap = cap ? cap * 2 : 16;
            kith_inbox_row *more = realloc(j->rows, cap * sizeof *more);
            if (!more)
                break;
            j->rows = more;
        }
        kith_bytes v = kith_db_column(st, 2);
        kith_inbox_row *r = &j->rows[j->row_count];
        *r = (kith_inbox_row){.seq = column_number(st, 0), .received = column_number(st, 1), .len = v.len};
        r->message = copy(v);
        if (!r->message)
            break;
        j->row_count++;
        bytes += v.len;
    }
    if (e != SQLITE_ROW && e != SQLITE_DONE)
        j->err = KITH_EIO;
    else if (e == SQLITE_ROW && j->row_count == 0)
        j->err = KITH_ENOMEM;
    sqlite3_reset(st);
}

static void on_work(uv_work_t *w)
{
    kith_message_store *s = w->data;
    s->error = SQLITE_OK;
    write_batch(s);
    KITH_EACH (&s->batch, k) {
        job *j = KITH_OF(k, job, link);
        if (j->kind == JOB_GET)
            get_job(s, j);
        else if (j->kind == JOB_READ)
            read_job(s, j);
    }
}

/* ---- back on the loop ---- */

static void kick(kith_message_store *s);

static void job_free(job *j)
{
    for (size_t i = 0; i < j->row_count; i++)
        free(j->rows[i].message);
    free(j->rows);
    free(j->message);
    free(j);
}

static void tell_trouble(kith_message_store *s)
{
    char text[PATH_MAX + 128];
    if (!s->trouble || (s->error != 0) == s->failing)
        return;
    s->failing = s->error != 0;
    if (s->failing)
        snprintf(text, sizeof text,
                 "the messages' file %s cannot be written: %s; no message is taken or kept until it can",
                 s->path, kith_db_words(s->error));
    else
        snprintf(text, sizeof text, "the messages' file can be written again");
    s->trouble(s->trouble_ctx, text);
}

static void answer(kith_message_store *s, job *j)
{
    kith_err e = s->error && writes(j) ? KITH_EIO : j->err;
    switch (j->kind) {
    case JOB_PUT:
        j->fn.done(j->ctx, e, e ? kith_db_words(s->error) : NULL);
        break;
    case JOB_DELETE:
        break;
    case JOB_GET:
        j->fn.loaded(j->ctx, e, kith_bytes_of(j->message, j->len));
        break;
    case JOB_TAKE:
        if (!e && j->seq > s->last)
            s->last = j->seq;
        j->fn.taken(j->ctx, e, j->seq);
        break;
    case JOB_READ:
        j->fn.rows(j->ctx, e, j->rows, j->row_count);
        break;
    }
}

static void on_worked(uv_work_t *w, int status)
{
    (void)status;
    kith_message_store *s = w->data;
    kith_list batch;
    kith_list_init(&batch);
    bool wrote = false;
    for (kith_link *k; (k = kith_list_pop(&s->batch));) {
        const job *j = KITH_OF(k, job, link);
        wrote |= writes(j);
        if (j->kind == JOB_PUT || j->kind == JOB_TAKE)
            s->queued_bytes -= j->len;
        kith_list_push(&batch, k);
    }
    if (wrote)
        tell_trouble(s);
    for (kith_link *k; (k = kith_list_pop(&batch));) {
        answer(s, KITH_OF(k, job, link));
        job_free(KITH_OF(k, job, link));
    }
    s->working = false;
    kick(s);
}

static void kick(kith_message_store *s)
{
    if (s->working || kith_list_empty(&s->queue))
        return;
    for (kith_link *k; (k = kith_list_pop(&s->queue));)
        kith_list_push(&s->batch, k);
    s->working = true;
    int e = uv_queue_work(s->loop, &s->work, on_work, on_worked);
    assert(e == 0); /* fails only without a work function */
    (void)e;
}

void kith_message_store_close(kith_message_store *s)
{
    if (!s)
        return;
    while (s->working) /* its callback starts the next batch */
        uv_run(s->loop, UV_RUN_ONCE);
    kith_db_close(&plan, &s->db, s->stmts);
    free(s);
}

void kith_message_store_on_trouble(kith_message_store *s, void (*fn)(void *ctx, const char *sentence),
                                   void *ctx)
{
    s->trouble = fn;
    s->trouble_ctx = ctx;
}

uint64_t kith_message_store_last(const kith_message_store *s)
{
    return s->last;
}

/* ---- questions ---- */

static job *job_new(job_kind kind, const uint8_t *id, void *ctx)
{
    job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->kind = kind;
    j->ctx = ctx;
    if (id)
        memcpy(j->id, id, sizeof j->id);
    return j;
}

static void submit(kith_message_store *s, job *j)
{
    kith_list_push(&s->queue, &j->link);
    kick(s);
}

/* A job with a message to be written, or an error. */
static kith_err job_with(kith_message_store *s, job_kind kind, const uint8_t *id, kith_bytes message,
                         void *ctx, job **out)
{
    if (message.len > KITH_STORE_QUEUE_BYTES_MAX - s->queued_bytes)
        return KITH_ELIMIT;
    job *j = job_new(kind, id, ctx);
    if (!j || !(j->message = copy(message))) {
        free(j);
        return KITH_ENOMEM;
    }
    j->len = message.len;
    s->queued_bytes += message.len;
    *out = j;
    return KITH_OK;
}

kith_err kith_message_store_put(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN],
                                const kith_peer_id *to, kith_bytes message, uint64_t age, kith_store_done fn,
                                void *ctx)
{
    job *j;
    kith_err e = job_with(s, JOB_PUT, id, message, ctx, &j);
    if (e)
        return e;
    j->peer = *to;
    j->age = age;
    j->fn.done = fn;
    submit(s, j);
    return KITH_OK;
}

void kith_message_store_delete(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN])
{
    job *j = job_new(JOB_DELETE, id, NULL);
    if (j)
        submit(s, j);
}

kith_err kith_message_store_get(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN],
                                kith_store_loaded fn, void *ctx)
{
    job *j = job_new(JOB_GET, id, ctx);
    if (!j)
        return KITH_ENOMEM;
    j->fn.loaded = fn;
    submit(s, j);
    return KITH_OK;
}

kith_err kith_message_store_take(kith_message_store *s, const kith_message *m, kith_bytes message,
                                 uint64_t received, bool contact, kith_store_taken fn, void *ctx)
{
    job *j;
    kith_err e = job_with(s, JOB_TAKE, m->id, message, ctx, &j);
    if (e)
        return e;
    j->peer = m->source;
    j->ends = m->time + (uint64_t)m->ttl * 1000;
    j->received = received;
    j->contact = contact;
    j->fn.taken = fn;
    submit(s, j);
    return KITH_OK;
}

kith_err kith_message_store_read(kith_message_store *s, uint64_t seq, uint64_t since, kith_store_rows fn,
                                 void *ctx)
{
    job *j = job_new(JOB_READ, NULL, ctx);
    if (!j)
        return KITH_ENOMEM;
    j->seq = seq;
    j->received = since;
    j->fn.rows = fn;
    submit(s, j);
    return KITH_OK;
}
