/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A line from the terminal. */
#include "cmd/question.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    question *q = h->data;
    (void)suggested;
    if (q->len == sizeof q->line)
        q->len = 1; /* a long line: its first character is the answer */
    *buf = uv_buf_init(q->line + q->len, (unsigned)(sizeof q->line - q->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    question *q = s->data;
    (void)buf;
    if (n == 0 || !q->asked)
        return;
    if (n > 0) {
        q->len += (size_t)n;
        if (!memchr(q->line, '\n', q->len))
            return;
    }
    q->asked = false;
    uv_read_stop(s);
    q->answered(q->ctx, q->len > 0 ? q->line[0] : 'n');
}

bool question_ask(question *q, uv_loop_t *loop, void (*fn)(void *ctx, char first), void *ctx)
{
    fflush(stderr);
    if (!q->open && uv_tty_init(loop, &q->tty, STDIN_FILENO, 1))
        return false;
    q->tty.data = q;
    q->open = q->asked = true;
    q->len = 0;
    q->answered = fn;
    q->ctx = ctx;
    uv_read_start((uv_stream_t *)&q->tty, on_alloc, on_read);
    return true;
}

void question_close(question *q)
{
    if (q->open)
        uv_close((uv_handle_t *)&q->tty, NULL);
    q->open = q->asked = false;
}
