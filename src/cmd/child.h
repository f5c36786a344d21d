/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Other commands of kith, run in processes of their own by a command that has a loop: what they print as JSON is read line by line. */
#ifndef KITH_CMD_CHILD_H
#define KITH_CMD_CHILD_H

#include <jansson.h>
#include <uv.h>

#include "cmd/cmd.h"

#define CHILD_ARGS_MAX (2 * CMD_VALUES_MAX + 16)

typedef struct child {
    /* set by the caller, who keeps this until ended was called */
    void (*line)(struct child *c, const json_t *o); /* an object; may be NULL */
    void (*ended)(struct child *c, int code);       /* it and all handles are gone */
    void *ctx;
    bool quiet; /* what it complains of is nobody's business */
    /* its own */
    uv_process_t process;
    uv_pipe_t in, out;
    char *text;
    size_t len, cap;
    unsigned open;
    bool exited, running, deaf;
    int code;
} child;

/* Runs this program with these arguments, from argv[1] on and NULL-terminated, and text and a newline on its stdin; NULL: nothing. ended follows
 * in any case. */
void child_start(child *c, uv_loop_t *loop, const char *argv[CHILD_ARGS_MAX], const char *text);
/* Ctrl-C, and nothing more is read from it. */
void child_interrupt(child *c);
/* Adds the options that every node has, as they were given to us, behind the first n arguments; and the NULL. Strings live as long as args. */
void child_pass_on(const cmd_args *args, const char *argv[CHILD_ARGS_MAX], size_t n);

#endif
