/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The known peers' file, its image in memory, and the worker between them. */
#include "host/trust_store.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/map.h"
#include "host/clock.h"
#include "host/db.h"
#include "host/host.h"

#define LAST_GRAIN 600 /* seconds: `last` alone is written no more often */
#define GATHER_MS 200  /* contacts that come within this time of each other share a transaction */

static const char schema[] =
    "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS peers("
    " id BLOB PRIMARY KEY, pq BLOB NOT NULL, former BLOB NOT NULL, sig TEXT NOT NULL,"
    " name TEXT UNIQUE COLLATE NOCASE, how INTEGER NOT NULL, pq_how INTEGER NOT NULL, policy INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, level INTEGER NOT NULL,"
    " blocked INTEGER NOT NULL, reached INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version=1; COMMIT;";

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVE,
    UNDO,
    RELEASE,
    VERSION,
    LIST,
    FIND,
    OWNER,
    COUNT,
    PUT,
    DELETE,
    DROP,
    STATEMENTS
} statement;

#define COLUMNS \
    "id, pq, former, sig, name, how, pq_how, policy, sequence, first, last, level, blocked, reached"

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVE] = "SAVEPOINT job",
    [UNDO] = "ROLLBACK TO job",
    [RELEASE] = "RELEASE job",
    [VERSION] = "PRAGMA data_version",
    [LIST] = "SELECT " COLUMNS " FROM peers ORDER BY last, id",
    [FIND] = "SELECT " COLUMNS " FROM peers WHERE id = ?1",
    [OWNER] = "SELECT id FROM peers WHERE name = ?1 AND id <> ?2",
    [COUNT] = "SELECT count(*) FROM peers",
    [PUT] =
        "INSERT INTO peers(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        " ON CONFLICT(id) DO UPDATE SET pq = ?2, former = ?3, sig = ?4, name = ?5, how = ?6, pq_how = ?7,"
        " policy = ?8, sequence = ?9, first = ?10, last = ?11, level = ?12, blocked = ?13, reached = ?14",
    [DELETE] = "DELETE FROM peers WHERE id = ?1",
    [DROP] =
        "DELETE FROM peers WHERE id = ?1 AND how = 0 AND pq_how = 0 AND name IS NULL AND policy = 0 AND blocked = 0",
};

static const kith_db_plan plan = {
    .pragmas = "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA;",
    .schema = schema,
    .version = 1,
    .sql = sql,
    .count = STATEMENTS,
};

typedef struct entry {
    kith_trust_row row;
    kith_link all;      /* trust->rows */
    kith_link spare;    /* trust->strangers or ->met, oldest first; in neither: kept */
    struct job *queued; /* its JOB_MEET that is not with the worker yet */
    uint64_t written;   /* row.last on the disk */
    bool kept;          /* kith_trust_kept, when it was settled */
    bool mark;          /* of a walk */
} entry;

typedef enum job_kind { JOB_MEET, JOB_DROP, JOB_EDIT } job_kind;

typedef struct job {
    kith_link link;
    job_kind kind;
    kith_peer_id peer;       /* DROP */
    bool fresh;              /* MEET: there was no `old` */
    kith_trust_row old, new; /* MEET: what this process made of what it knew */
    /* EDIT */
    kith_trust_edit *edits;
    kith_trust_row *rows; /* what they came to */
    size_t count;
    kith_err err;
    char why[KITH_REASON_MAX];
    kith_trust_done fn;
    void *ctx;
} job;

struct kith_trust {
    char path[PATH_MAX];
    kith_pq_policy policy;
    kith_trust_gate gate; /* NULL: none */
    void *gate_ctx;
    kith_map by_peer; /* seeded hash of the id -> entry */
    uint64_t seed[2];
    kith_list rows, strangers, met;
    size_t count, spare_count;
    uint64_t kept_changes;
    uv_loop_t *loop; /* NULL: not attached */
    uv_timer_t timer;
    uv_work_t work;
    bool timer_open, working, closing;
    bool asked;       /* somebody waits for an answer to what is in the queue */
    uint64_t next_ms; /* the loop's time before which no batch is begun for contacts alone */
    bool failing;     /* and the owner was told */
    void (*trouble)(void *ctx, const char *sentence);
    void *trouble_ctx;
    kith_list queue; /* of the loop */
    kith_list batch; /* of the worker, while working */
    /* of the worker, while working */
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    int error; /* of the batch; OK: it is on the disk */
    sqlite3_int64 version;
    bool reloaded;
    kith_trust_row *loaded; /* when another process has written */
    size_t loaded_count;
};

/* ---- the image in memory ---- */

static uint64_t key_of(const kith_trust *t, const kith_peer_id *peer)
{
    return kith_hash(t->seed, kith_peer_id_bytes(peer));
}

static entry *find(const kith_trust *t, const kith_peer_id *peer)
{
    entry *e = kith_map_get(&t->by_peer, key_of(t, peer));
    return e && kith_peer_id_eq(&e->row.peer, peer) ? e : NULL;
}

static void unspare(kith_trust *t, entry *e)
{
    if (kith_link_in(&e->spare))
        t->spare_count--;
    kith_link_remove(&e->spare);
}

/* Puts an entry where its row belongs: last in its line, or in none. */
static void settle(kith_trust *t, entry *e)
{
    unspare(t, e);
    bool kept = kith_trust_kept(&e->row);
    t->kept_changes += kept != e->kept;
    e->kept = kept;
    if (kept)
        return;
    kith_list_push(e->row.reached ? &t->met : &t->strangers, &e->spare);
    t->spare_count++;
}

static void job_free(job *j)
{
    free(j->edits);
    free(j->rows);
    free(j);
}

static void entry_remove(kith_trust *t, entry *e)
{
    (void)kith_map_remove(&t->by_peer, key_of(t, &e->row.peer));
    unspare(t, e);
    t->kept_changes += e->kept;
    kith_link_remove(&e->all);
    if (e->queued) {
        kith_link_remove(&e->queued->link);
        job_free(e->queued);
    }
    t->count--;
    free(e);
}

/* Not yet settled. NULL: no memory. */
static entry *entry_add(kith_trust *t, const kith_trust_row *row)
{
    entry *e = calloc(1, sizeof *e);
    if (!e || kith_map_put(&t->by_peer, kith_host_env(), key_of(t, &row->peer), e)) {
        free(e);
        return NULL;
    }
    e->row = *row;
    kith_list_push(&t->rows, &e->all);
    t->count++;
    return e;
}

/* Sets a row to what is on the disk. False: no memory. */
static bool entry_set(kith_trust *t, const kith_trust_row *row)
{
    entry *e = find(t, &row->peer);
    if (!e)
        e = entry_add(t, row);
    if (!e)
        return false;
    e->row = *row;
    e->written = row->last;
    e->mark = true;
    settle(t, e);
    return true;
}

static void submit(kith_trust *t, job *j);

/* Makes room among those that only the network made. */
static void make_room(kith_trust *t)
{
    while (t->spare_count > KITH_TRUST_MET_MAX) {
        kith_link *k = kith_list_first(&t->strangers);
        entry *e = KITH_OF(k ? k : kith_list_first(&t->met), entry, spare);
        job *j = calloc(1, sizeof *j);
        if (j) {
            j->kind = JOB_DROP;
            j->peer = e->row.peer;
            submit(t, j);
        }
        entry_remove(t, e);
    }
}

/* ---- rows on the disk ---- */

static bool put_row(kith_trust *t, const kith_trust_row *r)
{
    sqlite3_stmt *st = kith_db_use(t->stmts[PUT]);
    kith_db_bind(st, 1, kith_peer_id_bytes(&r->peer));
    kith_db_bind(st, 2, kith_pq_id_bytes(&r->pq));
    kith_db_bind(st, 3, kith_pq_id_bytes(&r->former));
    sqlite3_bind_text(st, 4, r->sig ? kith_sig_info_of(r->sig)->name : "", -1, SQLITE_STATIC);
    if (r->name[0])
        sqlite3_bind_text(st, 5, r->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 6, (int)r->how);
    sqlite3_bind_int(st, 7, (int)r->pq_how);
    sqlite3_bind_int(st, 8, (int)r->policy);
    sqlite3_bind_int64(st, 9, (sqlite3_int64)r->sequence);
    sqlite3_bind_int64(st, 10, (sqlite3_int64)r->first);
    sqlite3_bind_int64(st, 11, (sqlite3_int64)r->last);
    sqlite3_bind_int(st, 12, r->level);
    sqlite3_bind_int(st, 13, r->blocked);
    sqlite3_bind_int(st, 14, r->reached);
    return kith_db_done(st, &t->error);
}

static bool delete_row(kith_trust *t, statement s, const kith_peer_id *peer)
{
    sqlite3_stmt *st = kith_db_use(t->stmts[s]);
    kith_db_bind(st, 1, kith_peer_id_bytes(peer));
    return kith_db_done(st, &t->error);
}

static bool get_pq(kith_bytes in, kith_pq_id *out)
{
    *out = (kith_pq_id){0};
    return in.len == 0 || kith_pq_id_parse(in, out) == KITH_OK;
}

static bool get_text(kith_bytes in, char *out, size_t max)
{
    if (in.len > max || (in.p && memchr(in.p, 0, in.len)))
        return false;
    if (in.p)
        memcpy(out, in.p, in.len);
    return true;
}

/* False: the row does not hold what it should. */
static bool read_row(sqlite3_stmt *st, kith_trust_row *r)
{
    *r = (kith_trust_row){0};
    sqlite3_int64 v[9];
    static const sqlite3_int64 most[9] = {
        KITH_TRUST_VERIFIED, KITH_TRUST_VERIFIED, KITH_TRUST_OFF, INT64_MAX, INT64_MAX, INT64_MAX, 5, 1, 1};
    if (kith_peer_id_parse(kith_db_column(st, 0), &r->peer) || !get_pq(kith_db_column(st, 1), &r->pq) ||
        !get_pq(kith_db_column(st, 2), &r->former) ||
        !get_text(kith_db_column(st, 4), r->name, KITH_TRUST_NAME_MAX) ||
        (r->name[0] && kith_trust_name_wrong(kith_bytes_str(r->name))))
        return false;
    for (int i = 0; i < 9; i++) {
        v[i] = sqlite3_column_int64(st, 5 + i);
        if (v[i] < 0 || v[i] > most[i])
            return false;
    }
    /* None, when a kith that knows more algorithms wrote it. */
    r->sig = kith_sig_named(kith_db_column(st, 3));
    r->how = (kith_trust_how)v[0];
    r->pq_how = (kith_trust_how)v[1];
    r->policy = (kith_trust_policy)v[2];
    r->sequence = (uint64_t)v[3];
    r->first = (uint64_t)v[4];
    r->last = (uint64_t)v[5];
    r->level = (uint8_t)v[6];
    r->blocked = v[7];
    r->reached = v[8];
    return true;
}

/* The row of a peer; *known false: there is none, and *r begins one. */
static bool get_row(kith_trust *t, const kith_peer_id *peer, kith_trust_row *r, bool *known)
{
    sqlite3_stmt *st = kith_db_use(t->stmts[FIND]);
    kith_db_bind(st, 1, kith_peer_id_bytes(peer));
    int e = sqlite3_step(st);
    *known = e == SQLITE_ROW;
    if (!*known)
        *r = kith_trust_begin(peer);
    else if (!read_row(st, r))
        e = SQLITE_CORRUPT;
    sqlite3_reset(st);
    return kith_db_ok(e, &t->error);
}

static sqlite3_int64 number(kith_trust *t, statement s)
{
    sqlite3_stmt *st = kith_db_use(t->stmts[s]);
    int e = sqlite3_step(st);
    sqlite3_int64 n = e == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_reset(st);
    (void)kith_db_ok(e, &t->error);
    return n;
}

static void load(kith_trust *t)
{
    size_t cap = 0;
    int e;
    t->loaded_count = 0;
    t->reloaded = true;
    sqlite3_stmt *st = kith_db_use(t->stmts[LIST]);
    while ((e = sqlite3_step(st)) == SQLITE_ROW) {
        if (t->loaded_count == cap) {
            cap = cap ? cap * 2 : 64;
            kith_trust_row *more = realloc(t->loaded, cap * sizeof *more);
            if (!more) {
                e = SQLITE_NOMEM;
                break;
            }
            t->loaded = more;
        }
        if (!read_row(st, &t->loaded[t->loaded_count])) {
            e = SQLITE_CORRUPT;
            break;
        }
        t->loaded_count++;
    }
    sqlite3_reset(st);
    (void)kith_db_ok(e, &t->error);
}

static void unload(kith_trust *t)
{
    free(t->loaded);
    t->loaded = NULL;
    t->loaded_count = 0;
    t->reloaded = false;
}

/* ---- merging what several processes know ---- */

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Brings what a contact added to a row that may have moved on meanwhile. Keys are only taken over from where this process saw them begin. */
static void merge(kith_trust_row *r, const kith_trust_row *old, const kith_trust_row *new)
{
    r->last = most(r->last, new->last);
    if (!r->first || (new->first &&new->first < r->first))
        r->first = new->first;
    if (new->level > old->level &&new->level > r->level)
        r->level = new->level;
    r->reached |= new->reached;
    if (!kith_pq_id_eq(&r->pq, &old->pq))
        return;
    if (!kith_pq_id_eq(&r->pq, &new->pq)) {
        r->former = new->former;
        if (!r->pq.len)
            r->pq_how = KITH_TRUST_FIRST_SEEN;
        r->pq = new->pq;
    }
    r->sig = new->sig;
    r->sequence = most(r->sequence, new->sequence);
}

/* ---- the worker ---- */

static void meet_job(kith_trust *t, const job *j)
{
    kith_trust_row r;
    bool known;
    if (!get_row(t, &j->new.peer, &r, &known))
        return;
    if (!known && !j->fresh)
        return; /* forgotten by another process; what it knows now is told by the next contact */
    merge(&r, &j->old, &j->new);
    (void)put_row(t, &r);
}

static bool name_is_free(kith_trust *t, const kith_trust_row *r, job *j)
{
    sqlite3_stmt *st = kith_db_use(t->stmts[OWNER]);
    kith_peer_id owner;
    char text[KITH_PEER_ID_TEXT_MAX + 1];
    sqlite3_bind_text(st, 1, r->name, -1, SQLITE_STATIC);
    kith_db_bind(st, 2, kith_peer_id_bytes(&r->peer));
    int e = sqlite3_step(st);
    if (e == SQLITE_ROW && kith_peer_id_parse(kith_db_column(st, 0), &owner) == KITH_OK) {
        kith_peer_id_text(&owner, text);
        snprintf(j->why, sizeof j->why, "the name '%s' is that of %s already", r->name, text);
        j->err = KITH_EEXISTS;
    }
    sqlite3_reset(st);
    return kith_db_ok(e, &t->error) && !j->err;
}

static void edit_one(kith_trust *t, job *j, size_t i)
{
    const kith_trust_edit *ed = &j->edits[i];
    kith_trust_row *r = &j->rows[i];
    bool known;
    if (!get_row(t, &ed->peer, r, &known))
        return;
    j->err = kith_trust_apply(ed, known, r, j->why);
    if (j->err || (r->name[0] && !name_is_free(t, r, j)))
        return;
    if (ed->act == KITH_TRUST_FORGET)
        (void)delete_row(t, DELETE, &ed->peer);
    else
        (void)put_row(t, r);
}

static void edit_job(kith_trust *t, job *j)
{
    if (!kith_db_done(kith_db_use(t->stmts[SAVE]), &t->error))
        return;
    for (size_t i = 0; i < j->count && !j->err && !t->error; i++)
        edit_one(t, j, i);
    if (!j->err && number(t, COUNT) > KITH_TRUST_ROWS_MAX) {
        snprintf(j->why, sizeof j->why, "there is room for %d known peers; 'kith trust forget' makes some",
                 KITH_TRUST_ROWS_MAX);
        j->err = KITH_ELIMIT;
    }
    if (j->err)
        (void)kith_db_done(kith_db_use(t->stmts[UNDO]), &t->error);
    (void)kith_db_done(kith_db_use(t->stmts[RELEASE]), &t->error);
}

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0;
}

static void db_open(kith_trust *t)
{
    t->error = kith_db_open(t->path, &plan, &t->db, t->stmts);
    if (t->error) {
        kith_db_close(&plan, &t->db, t->stmts);
        return;
    }
    t->version = -1; /* of none: what is in it is read after the batch */
}

static void run_batch(kith_trust *t)
{
    t->error = SQLITE_OK;
    bool writes = !kith_list_empty(&t->batch);
    if (!t->db && (writes || is_there(t->path)))
        db_open(t);
    if (!t->db || t->error)
        return;
    if (writes && kith_db_done(kith_db_use(t->stmts[BEGIN]), &t->error)) {
        KITH_EACH (&t->batch, k) {
            job *j = KITH_OF(k, job, link);
            if (t->error)
                break;
            switch (j->kind) {
            case JOB_MEET:
                meet_job(t, j);
                break;
            case JOB_DROP:
                (void)delete_row(t, DROP, &j->peer);
                break;
            case JOB_EDIT:
                edit_job(t, j);
                break;
            }
        }
        int e = t->error;
        if (e || !kith_db_done(kith_db_use(t->stmts[COMMIT]), &t->error)) {
            (void)kith_db_done(kith_db_use(t->stmts[ROLLBACK]), &t->error); /* what was stored stays */
            return;
        }
    }
    sqlite3_int64 version = number(t, VERSION);
    if (version != t->version && !t->error)
        load(t);
    t->version = version;
}

static void on_work(uv_work_t *w)
{
    run_batch(w->data);
}

/* ---- back on the loop ---- */

static void kick(kith_trust *t);
static void on_timer(uv_timer_t *timer);

static void tell_trouble(kith_trust *t, bool wrote)
{
    char text[PATH_MAX + 128];
    if (t->closing && t->failing)
        return; /* nobody learns anything from here on */
    if (t->error && !t->failing) {
        t->failing = true;
        snprintf(
            text, sizeof text,
            "the known peers' file %s cannot be written: %s; what is learnt now counts until this node ends",
            t->path, kith_db_words(t->error));
    } else if (!t->error && t->failing && wrote) {
        t->failing = false;
        snprintf(text, sizeof text, "the known peers' file can be written again");
    } else {
        return;
    }
    if (t->trouble)
        t->trouble(t->trouble_ctx, text);
}

/* What is on the disk takes the place of what was in memory; what waits to be written is put on top. */
static void take_loaded(kith_trust *t)
{
    KITH_EACH (&t->rows, k) {
        entry *e = KITH_OF(k, entry, all);
        e->mark = false;
    }
    for (size_t i = 0; i < t->loaded_count; i++) {
        if (!entry_set(t, &t->loaded[i]))
            return; /* no memory: what was known stays */
    }
    KITH_EACH (&t->rows, k) {
        entry *e = KITH_OF(k, entry, all);
        if (!e->mark && !e->queued)
            entry_remove(t, e);
        else if (e->queued)
            merge(&e->row, &e->queued->old, &e->queued->new);
    }
}

/* Behind what `again` has. */
static void queue_again(kith_trust *t, job *j, kith_list *again)
{
    entry *e = j->kind == JOB_MEET ? find(t, &j->new.peer) : NULL;
    if (e && e->queued) { /* it was met again meanwhile: one job for both */
        e->queued->old = j->old;
        e->queued->fresh = j->fresh;
        job_free(j);
        return;
    }
    if (e)
        e->queued = j;
    kith_list_push(again, &j->link);
}

static void move_all(kith_list *to, kith_list *from)
{
    for (kith_link *k; (k = kith_list_pop(from));)
        kith_list_push(to, k);
}

static void finish_meet(kith_trust *t, job *j)
{
    entry *e = find(t, &j->new.peer);
    if (e)
        e->written = most(e->written, j->new.last);
    job_free(j);
}

static void finish_edit(kith_trust *t, job *j)
{
    if (t->error && !j->err) {
        j->err = KITH_EIO;
        snprintf(j->why, sizeof j->why, "the known peers' file cannot be written: %s; nothing was changed",
                 kith_db_words(t->error));
    }
    for (size_t i = 0; i < j->count && !j->err; i++) {
        entry *e = find(t, &j->edits[i].peer);
        if (j->edits[i].act == KITH_TRUST_FORGET) {
            if (e)
                entry_remove(t, e);
            continue;
        }
        if (!entry_set(t, &j->rows[i]))
            continue; /* no memory; it is on the disk, and is read with the next reload */
        e = find(t, &j->edits[i].peer);
        if (e->queued)
            merge(&e->row, &e->queued->old, &e->queued->new);
    }
    if (j->fn)
        j->fn(j->ctx, j->err, j->why);
    job_free(j);
}

static void on_worked(uv_work_t *w, int status)
{
    (void)status;
    kith_trust *t = w->data;
    kith_list batch, again;
    bool wrote = !kith_list_empty(&t->batch);
    kith_list_init(&batch);
    kith_list_init(&again);
    move_all(&batch, &t->batch);
    tell_trouble(t, wrote);
    for (kith_link *k; (k = kith_list_pop(&batch));) {
        job *j = KITH_OF(k, job, link);
        if (j->kind == JOB_EDIT)
            finish_edit(t, j);
        else if (t->error && !t->closing)
            queue_again(t, j, &again);
        else if (j->kind == JOB_MEET)
            finish_meet(t, j);
        else
            job_free(j);
    }
    move_all(&again, &t->queue);
    move_all(&t->queue, &again);
    if (t->reloaded && !t->error)
        take_loaded(t);
    unload(t);
    make_room(t);
    t->working = false;
    if (!t->error) /* else the timer tries again */
        kick(t);
}

static void start_work(kith_trust *t)
{
    for (kith_link *k; (k = kith_list_pop(&t->queue));) {
        job *j = KITH_OF(k, job, link);
        entry *e = j->kind == JOB_MEET ? find(t, &j->new.peer) : NULL;
        if (e && e->queued == j)
            e->queued = NULL;
        kith_list_push(&t->batch, k);
    }
    t->asked = false;
    t->next_ms = uv_now(t->loop) + GATHER_MS;
    t->working = true;
    int e = uv_queue_work(t->loop, &t->work, on_work, on_worked);
    assert(e == 0); /* fails only without a work function */
    (void)e;
}

static void kick(kith_trust *t)
{
    if (!t->loop || t->working || kith_list_empty(&t->queue))
        return;
    uint64_t now = uv_now(t->loop);
    if (t->asked || t->closing || now >= t->next_ms)
        start_work(t);
    else
        uv_timer_start(&t->timer, on_timer, t->next_ms - now, KITH_TRUST_POLL_MS);
}

static void submit(kith_trust *t, job *j)
{
    kith_list_push(&t->queue, &j->link);
    t->asked = t->asked || j->kind == JOB_EDIT;
    kick(t);
}

static void on_timer(uv_timer_t *timer)
{
    kith_trust *t = timer->data;
    if (!t->working)
        start_work(t); /* also without jobs: to see what other processes wrote */
}

/* ---- life ---- */

kith_trust *kith_trust_open(const char *path, const char **why, bool *in_use)
{
    static char text[256];
    *why = "no memory";
    if (in_use)
        *in_use = false;
    kith_trust *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->work.data = t;
    t->seed[0] = kith_rand_u64(kith_host_env());
    t->seed[1] = kith_rand_u64(kith_host_env());
    kith_list_init(&t->rows);
    kith_list_init(&t->strangers);
    kith_list_init(&t->met);
    kith_list_init(&t->queue);
    kith_list_init(&t->batch);
    if ((size_t)snprintf(t->path, sizeof t->path, "%s", path) >= sizeof t->path)
        t->error = SQLITE_CANTOPEN;
    else if (is_there(t->path))
        run_batch(t);
    size_t loaded = t->loaded_count;
    if (!t->error)
        take_loaded(t);
    unload(t);
    if (t->error || t->count < loaded) {
        snprintf(text, sizeof text, "%s", t->error ? kith_db_words(t->error) : "no memory");
        *why = text;
        if (in_use)
            *in_use = t->error == SQLITE_BUSY;
        kith_trust_close(t);
        return NULL;
    }
    make_room(t);
    *why = NULL;
    return t;
}

void kith_trust_set_policy(kith_trust *t, kith_pq_policy policy)
{
    t->policy = policy;
}

void kith_trust_attach(kith_trust *t, uv_loop_t *loop)
{
    t->loop = loop;
    t->timer_open = true;
    uv_timer_init(loop, &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, on_timer, KITH_TRUST_POLL_MS, KITH_TRUST_POLL_MS);
    uv_unref((uv_handle_t *)&t->timer);
    kick(t);
}

static void meet(kith_trust *t, entry *e, const kith_trust_row *old);

/* The times of the last meetings, which are written only now and then. */
static void flush_times(kith_trust *t)
{
    KITH_EACH (&t->rows, k) {
        entry *e = KITH_OF(k, entry, all);
        if (e->row.last > e->written && !e->queued)
            meet(t, e, &e->row);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    kith_trust *t = handle->data;
    t->timer_open = false;
}

void kith_trust_close(kith_trust *t)
{
    if (!t)
        return;
    if (t->timer_open) {
        while (t->working) /* so that nothing fails twice */
            uv_run(t->loop, UV_RUN_ONCE);
        t->closing = true;
        flush_times(t);
        kick(t);
        uv_close((uv_handle_t *)&t->timer, on_timer_closed);
    }
    while (t->timer_open || t->working)
        uv_run(t->loop, UV_RUN_ONCE);
    for (kith_link *k; (k = kith_list_first(&t->rows));)
        entry_remove(t, KITH_OF(k, entry, all));
    for (kith_link *k; (k = kith_list_pop(&t->queue));)
        job_free(KITH_OF(k, job, link));
    kith_map_fini(&t->by_peer, kith_host_env());
    kith_db_close(&plan, &t->db, t->stmts);
    free(t);
}

void kith_trust_on_trouble(kith_trust *t, void (*fn)(void *ctx, const char *sentence), void *ctx)
{
    t->trouble = fn;
    t->trouble_ctx = ctx;
}

/* ---- contacts ---- */

/* Queues what a contact made of a row, or adds it to what waits already. */
static void meet(kith_trust *t, entry *e, const kith_trust_row *old)
{
    if (e->queued) {
        e->queued->new = e->row;
        return;
    }
    job *j = calloc(1, sizeof *j);
    if (!j)
        return; /* it counts in memory, and is written with the next contact that changes something */
    j->kind = JOB_MEET;
    j->fresh = !old;
    j->old = old ? *old : kith_trust_begin(&e->row.peer);
    j->new = e->row;
    e->queued = j;
    submit(t, j);
}

static bool only_time_passed(const kith_trust_row *a, const kith_trust_row *b)
{
    return a->first == b->first && a->level == b->level && a->reached == b->reached && a->sig == b->sig &&
           kith_pq_id_eq(&a->pq, &b->pq);
}

kith_pq_policy kith_trust_policy_of(void *ctx, const kith_peer_id *peer)
{
    const kith_trust *t = ctx;
    const entry *e = find(t, peer);
    switch (e ? e->row.policy : KITH_TRUST_INHERIT) {
    case KITH_TRUST_INHERIT:
        break;
    case KITH_TRUST_PREFER:
        return KITH_PQ_PREFER;
    case KITH_TRUST_REQUIRE:
        return KITH_PQ_REQUIRE;
    case KITH_TRUST_OFF:
        return KITH_PQ_OFF;
    }
    return t->policy;
}

void kith_trust_set_gate(kith_trust *t, kith_trust_gate gate, void *ctx)
{
    t->gate = gate;
    t->gate_ctx = ctx;
}

kith_err kith_trust_ask(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX])
{
    kith_trust *t = ctx;
    entry *e = find(t, &c->peer);
    kith_trust_row next;
    kith_err err = kith_trust_decide(e ? &e->row : NULL, c, t->policy, kith_wall_s(), &next, why);
    if (!err && t->gate)
        err = t->gate(t->gate_ctx, &c->peer, why);
    if (err)
        return err;
    bool fresh = !e;
    if (fresh && !(e = entry_add(t, &next))) {
        snprintf(why, KITH_REASON_MAX, "no memory to remember it");
        return KITH_ENOMEM;
    }
    kith_trust_row old = e->row;
    e->row = next;
    settle(t, e);
    if (fresh)
        meet(t, e, NULL);
    else if (!only_time_passed(&old, &next) || next.last - e->written >= LAST_GRAIN)
        meet(t, e, &old);
    make_room(t);
    return KITH_OK;
}

/* ---- looking ---- */

const kith_trust_row *kith_trust_find(const kith_trust *t, const kith_peer_id *peer)
{
    const entry *e = find(t, peer);
    return e ? &e->row : NULL;
}

const kith_trust_row *kith_trust_named(const kith_trust *t, kith_bytes name)
{
    KITH_EACH (&t->rows, k) {
        const entry *e = KITH_OF(k, entry, all);
        if (e->row.name[0] && kith_trust_name_eq(kith_bytes_str(e->row.name), name))
            return &e->row;
    }
    return NULL;
}

const kith_trust_row *kith_trust_next(const kith_trust *t, const kith_trust_row *r)
{
    const kith_link *k =
        r ? kith_list_next(&t->rows, &KITH_OF((uintptr_t)r, entry, row)->all) : kith_list_first(&t->rows);
    return k ? &KITH_OF((uintptr_t)k, entry, all)->row : NULL;
}

size_t kith_trust_count(const kith_trust *t)
{
    return t->count;
}

uint64_t kith_trust_kept_changes(const kith_trust *t)
{
    return t->kept_changes;
}

/* ---- changes ---- */

kith_err kith_trust_edit_all(kith_trust *t, const kith_trust_edit *edits, size_t count, kith_trust_done fn,
                             void *ctx)
{
    job *j = calloc(1, sizeof *j);
    if (!j)
        return KITH_ENOMEM;
    j->edits = calloc(count, sizeof *edits);
    j->rows = calloc(count, sizeof *j->rows);
    if (!j->edits || !j->rows) {
        job_free(j);
        return KITH_ENOMEM;
    }
    j->kind = JOB_EDIT;
    memcpy(j->edits, edits, count * sizeof *edits);
    j->count = count;
    j->fn = fn;
    j->ctx = ctx;
    submit(t, j);
    return KITH_OK;
}
