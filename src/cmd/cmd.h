/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The command table: --help, `kith help`, shell completion and man pages all come from it, so they cannot
 * drift apart. */
#ifndef KITH_CMD_CMD_H
#define KITH_CMD_CMD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"

/* Exit codes, documented in docs/guide/exit-codes.md. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,        /* anything without a code of its own */
    EXIT_USAGE = 2,         /* unknown command, option or bad argument */
    EXIT_CONFIG = 3,        /* configuration or identity file unusable */
    EXIT_UNREACHABLE = 4,   /* no connection to the peer */
    EXIT_REFUSED = 5,       /* the peer, or our policy, said no */
    EXIT_LOST = 6,          /* the connection or the peer went away in the middle */
    EXIT_BUSY = 7,          /* an address, port or home folder is in use */
    EXIT_NOT_RUNNING = 8,   /* needs a running node, and there is none */
    EXIT_EXISTS = 9,        /* would overwrite something */
    EXIT_DISK = 10,         /* full, read-only, or failing */
    EXIT_DAMAGED = 11,      /* data or a ticket does not check out */
    EXIT_UNSAFE = 12,       /* refused because of hostile names or links */
    EXIT_CHANGED = 13,      /* a shared file changed while it was being sent */
    EXIT_INTERRUPTED = 130, /* Ctrl-C */
};

typedef struct cmd_option {
    const char *name; /* without -- */
    char letter;      /* 0: none */
    const char *arg;  /* what its value is called; NULL: takes none */
    const char *help;
    bool many; /* may be given several times */
} cmd_option;

#define CMD_VALUES_MAX 64
typedef struct cmd_args {
    const struct cmd *cmd;
    struct {
        const char *name, *value;
        bool key; /* a configuration key, not an option of the command's own */
    } given[CMD_VALUES_MAX];
    size_t given_count;
    const char *const *rest; /* what is no option */
    size_t rest_count;
    const char *const *after; /* behind a lone --, NULL-terminated; NULL: there was none */
    size_t after_count;
} cmd_args;

struct call;
typedef struct cmd {
    const char *name, *summary;
    const char *usage;         /* after "kith NAME " */
    const char *about;         /* paragraphs */
    const char *examples;      /* lines */
    const cmd_option *options; /* ended by a NULL name; may be NULL */
    bool node;                 /* runs a node: takes every configuration key as an option too */
    size_t args_min, args_max;
    int (*run)(const cmd_args *args);
    /* For what is one method of a node (cmd/call.h): fills in the call; works in the console of `kith up` too. EXIT_OK, or it has
     * complained. Usually instead of run; with both, run decides what a shell's command line does. */
    int (*call)(const cmd_args *args, struct call *out);
} cmd;

extern const cmd *const cmd_table[]; /* ended by NULL */
const cmd *cmd_find(const char *name);

/* The options of every command that runs a node, besides the configuration keys; ended by a NULL name. */
extern const cmd_option cmd_node_options[];

/* Whether an option was given; and its (last) value, or NULL. */
bool cmd_has(const cmd_args *a, const char *name);
const char *cmd_value(const cmd_args *a, const char *name);
/* The values of an option that may be given again, in their order: start with *at = 0. NULL: no more. */
const char *cmd_next_value(const cmd_args *a, const char *name, size_t *at);
/* The value as a number or size in [min, max], or the fallback when it was not given. False: complained already. */
bool cmd_number(const cmd_args *a, const char *name, unsigned long long fallback, unsigned long long min,
                unsigned long long max, unsigned long long *out);
/* The value as a time from a second to so many, or the fallback when it was not given. False: complained already. */
bool cmd_duration(const cmd_args *a, const char *name, kith_time fallback, kith_time most, kith_time *out);

/* "kith: ..." to stderr with a newline. */
void cmd_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* From now on fn gets the line instead of stderr; NULL: stderr again. */
void cmd_warn_to(void (*fn)(void *ctx, const char *line, size_t len), void *ctx);
/* The same, and returns the code. */
int cmd_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Waits, with only the signals that mask leaves unblocked, until fd has something to read or has ended. False: a signal came. */
bool cmd_wait_input(int fd, const sigset_t *mask);

/* Parses and runs; argv[0] is the program. */
int cmd_main(int argc, char **argv);
/* Parses what stands after the command's name. rest: room for argc pointers, as long as a is used; argv too.
 * EXIT_OK, CMD_HELP_WANTED, or it has complained. */
#define CMD_HELP_WANTED (-1)
int cmd_parse(const cmd *c, int argc, char **argv, cmd_args *a, const char **rest);
int cmd_unknown(const char *name); /* complains, with a suggestion */

/* ---- help, from the table ---- */
void cmd_help_all(void);
void cmd_help(const cmd *c);

#endif
