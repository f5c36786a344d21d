/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Opening SQLite files. */
#include "host/db.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 2000 /* for other processes that write */

static int version_of(sqlite3 *db, int *version)
{
    sqlite3_stmt *v = NULL;
    int e = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &v, NULL);
    if (!e) {
        int got = sqlite3_step(v);
        e = got == SQLITE_ROW ? SQLITE_OK : got == SQLITE_DONE ? SQLITE_CORRUPT : got;
    }
    *version = e ? -1 : sqlite3_column_int(v, 0);
    sqlite3_finalize(v);
    return e;
}

/* All of the way or none of it, and by one process. */
static int upgrade(sqlite3 *db, const kith_db_plan *plan)
{
    int version = 0, e = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (e)
        return e;
    e = version_of(db, &version); /* again: another may have been first */
    for (; !e && version < plan->version; version++)
        e = sqlite3_exec(db, plan->upgrades[version - 1], NULL, NULL, NULL);
    if (!e)
        e = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (e)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

int kith_db_open(const char *path, const kith_db_plan *plan, sqlite3 **db, sqlite3_stmt **stmts)
{
    /* SQLite gives its other files the mode of this one. */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    int e = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!e)
        e = sqlite3_busy_timeout(*db, BUSY_MS);
    if (!e)
        e = sqlite3_exec(*db, plan->pragmas, NULL, NULL, NULL);
    int version = -1;
    if (!e)
        e = version_of(*db, &version);
    if (!e && version > plan->version)
        return SQLITE_MISMATCH;
    if (!e && version == 0)
        e = sqlite3_exec(*db, plan->schema, NULL, NULL, NULL);
    if (!e && version > 0 && version < plan->version)
        e = upgrade(*db, plan);
    for (size_t i = 0; i < plan->count && !e; i++)
        e = sqlite3_prepare_v3(*db, plan->sql[i], -1, SQLITE_PREPARE_PERSISTENT, &stmts[i], NULL);
    return e;
}

void kith_db_close(const kith_db_plan *plan, sqlite3 **db, sqlite3_stmt **stmts)
{
    for (size_t i = 0; i < plan->count; i++)
        sqlite3_finalize(stmts[i]);
    memset(stmts, 0, plan->count * sizeof *stmts);
    sqlite3_close(*db);
    *db = NULL;
}

/* The -wal and -shm files belong to it. */
void kith_db_put_aside(const char *path)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        char from[4096], to[4096];
        if (snprintf(from, sizeof from, "%s%s", path, parts[i]) < (int)sizeof from &&
            snprintf(to, sizeof to, "%s.damaged%s", path, parts[i]) < (int)sizeof to)
            (void)rename(from, to);
    }
}

sqlite3_stmt *kith_db_use(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return st;
}

void kith_db_bind(sqlite3_stmt *st, int at, kith_bytes v)
{
    sqlite3_bind_blob(st, at, v.len ? (const void *)v.p : "", (int)v.len, SQLITE_STATIC);
}

kith_bytes kith_db_column(sqlite3_stmt *st, int at)
{
    const void *p = sqlite3_column_blob(st, at);
    return kith_bytes_of(p, p ? (size_t)sqlite3_column_bytes(st, at) : 0);
}

bool kith_db_ok(int code, int *error)
{
    if (code && code != SQLITE_ROW && code != SQLITE_DONE && !*error)
        *error = code;
    return !*error;
}

bool kith_db_done(sqlite3_stmt *st, int *error)
{
    int e = sqlite3_step(st);
    sqlite3_reset(st);
    return kith_db_ok(e, error);
}

bool kith_db_damaged(int code)
{
    return code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
}

const char *kith_db_words(int code)
{
    switch (code) {
    case SQLITE_MISMATCH:
        return "it was made by a newer kith";
    case SQLITE_BUSY:
        return "another process holds it";
    default:
        return sqlite3_errstr(code);
    }
}
