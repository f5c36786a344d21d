/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SQLite files of ours: opened alike, with their statements prepared. */
#ifndef KITH_HOST_DB_H
#define KITH_HOST_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

typedef struct kith_db_plan {
    const char *pragmas; /* run at every opening */
    const char *schema;  /* run on an empty file; sets user_version to version */
    int version;
    const char *const
        *upgrades;          /* version - 1 of them: the first takes a file of version 1 to 2, and so on */
    const char *const *sql; /* the statements */
    size_t count;
} kith_db_plan;

/* Opens or makes the file (mode 0600, and SQLite's files beside it too) and prepares the statements. SQLite's code; SQLITE_MISMATCH:
 * a newer kith made it. Close it whatever this returns. Used by one thread at a time. */
int kith_db_open(const char *path, const kith_db_plan *plan, sqlite3 **db, sqlite3_stmt **stmts);
void kith_db_close(const kith_db_plan *plan, sqlite3 **db, sqlite3_stmt **stmts);

/* Moves a damaged file and those beside it to <path>.damaged, so that what is in it can still be looked at. Closed before. */
void kith_db_put_aside(const char *path);

/* ---- statements ---- */

/* A prepared statement, made as it was before its first use. */
sqlite3_stmt *kith_db_use(sqlite3_stmt *st);
/* Binds bytes that stay until the statement has been stepped. Empty ones are x'', not NULL. */
void kith_db_bind(sqlite3_stmt *st, int at, kith_bytes v);
/* A column of the row that was stepped to, valid until the next step. NULL and x'' are both empty. */
kith_bytes kith_db_column(sqlite3_stmt *st, int at);
/* Keeps the first failure of several steps in *error; SQLITE_ROW and SQLITE_DONE are none. False: there was one, now or before. */
bool kith_db_ok(int code, int *error);
/* Steps once, resets, and answers as kith_db_ok. */
bool kith_db_done(sqlite3_stmt *st, int *error);

/* ---- codes ---- */

/* Whether a code says that the file itself is broken. */
bool kith_db_damaged(int code);
/* The code in words. */
const char *kith_db_words(int code);

#endif
