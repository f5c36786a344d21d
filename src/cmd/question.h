/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to the person at the terminal, of a command that has a loop: one after the other. */
#ifndef KITH_CMD_QUESTION_H
#define KITH_CMD_QUESTION_H

#include <stdbool.h>
#include <uv.h>

typedef struct question {
    uv_tty_t
        tty; /* open from the first question to question_close: a handle that is closing cannot be begun again */
    bool open, asked;
    char line[64];
    size_t len;
    void (*answered)(void *ctx, char first);
    void *ctx;
} question;

/* Reads a line of stdin, after the question was printed to stderr. fn gets its first character, '\n' of an empty one, and 'n' when there is nobody
 * to answer any more; it may ask the next. q: zeroed before the first. False: the terminal cannot be read, and fn is not called. */
bool question_ask(question *q, uv_loop_t *loop, void (*fn)(void *ctx, char first), void *ctx);
/* No answer is waited for any more. The loop must run on; q outlives it. */
void question_close(question *q);

#endif
