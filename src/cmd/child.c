/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Running commands of kith. */
#include "cmd/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "host/config.h"

#define LINE_MAX_LEN (1u << 20) /* none of ours is that long */

static void on_closed(uv_handle_t *h)
{
    child *c = h->data;
    if (--c->open > 0)
        return;
    c->running = false;
    free(c->text);
    c->text = NULL;
    c->len = c->cap = 0;
    c->ended(c, c->code);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_closed);
}

static void take_lines(child *c)
{
    const char *nl;
    size_t at = 0;
    while (c->len > at && (nl = memchr(c->text + at, '\n', c->len - at))) {
        json_t *o = json_loadb(c->text + at, (size_t)(nl - c->text) - at, 0, NULL);
        at = (size_t)(nl - c->text) + 1;
        if (json_is_object(o) && c->line && !c->deaf)
            c->line(c, o);
        json_decref(o);
    }
    c->len -= at;
    memmove(c->text, c->text + at, c->len);
    if (c->len >= LINE_MAX_LEN)
        c->len = 0;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    child *c = h->data;
    (void)suggested;
    if (c->cap - c->len < 4096) {
        size_t cap = c->cap ? c->cap * 2 : 16384;
        char *more = realloc(c->text, cap);
        if (more) {
            c->text = more;
            c->cap = cap;
        }
    }
    *buf = uv_buf_init(c->text ? c->text + c->len : NULL, (unsigned)(c->cap - c->len));
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    child *c = s->data;
    (void)buf;
    if (n < 0) {
        close_handle((uv_handle_t *)&c->out);
        return;
    }
    c->len += (size_t)n;
    take_lines(c);
}

static void on_exited(uv_process_t *p, int64_t status, int signal)
{
    child *c = p->data;
    c->exited = true;
    c->code = signal ? EXIT_LOST : (int)status;
    close_handle((uv_handle_t *)p);
    close_handle((uv_handle_t *)&c->in);
}

typedef struct input {
    uv_write_t req;
    child *child;
    char text[];
} input;

static void on_input(uv_write_t *req, int status)
{
    input *i = KITH_OF(req, input, req);
    (void)status;
    close_handle((uv_handle_t *)&i->child->in);
    free(i);
}

static void feed(child *c, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    input *i = text ? malloc(sizeof *i + len + 2) : NULL;
    if (!i) {
        close_handle((uv_handle_t *)&c->in);
        return;
    }
    i->child = c;
    memcpy(i->text, text, len + 1);
    i->text[len] = '\n';
    uv_buf_t b = uv_buf_init(i->text, (unsigned)(len + 1));
    if (uv_write(&i->req, (uv_stream_t *)&c->in, &b, 1, on_input)) {
        free(i);
        close_handle((uv_handle_t *)&c->in);
    }
}

void child_start(child *c, uv_loop_t *loop, const char *argv[CHILD_ARGS_MAX], const char *text)
{
    static char exe[4096];
    size_t size = sizeof exe;
    uv_pipe_init(loop, &c->in, 0);
    uv_pipe_init(loop, &c->out, 0);
    c->process.data = c->in.data = c->out.data = c;
    uv_stdio_container_t io[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&c->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->out},
        {.flags = c->quiet ? UV_IGNORE : UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    c->open = 3;
    c->running = true;
    c->exited = c->deaf = false;
    c->code = EXIT_FAILED;
    int e = uv_exepath(exe, &size);
    argv[0] = exe;
    uv_process_options_t how = {.exit_cb = on_exited,
                                .file = exe,
                                .flags =
                                    UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is for us to pass on, once */
                                .args = (char **)(uintptr_t)argv,
                                .stdio = io,
                                .stdio_count = 3};
    int spawned = uv_spawn(loop, &c->process, &how); /* without a path it only opens the handle */
    if (e || spawned) {
        cmd_warn("cannot start %s: %s", exe, uv_strerror(e ? e : spawned));
        c->exited = true;
        close_handle((uv_handle_t *)&c->process);
        close_handle((uv_handle_t *)&c->in);
        close_handle((uv_handle_t *)&c->out);
        return;
    }
    uv_read_start((uv_stream_t *)&c->out, on_alloc, on_out);
    feed(c, text);
}

void child_interrupt(child *c)
{
    if (c->running && !c->exited)
        uv_process_kill(&c->process, SIGINT);
    c->deaf = true;
}

void child_pass_on(const cmd_args *args, const char *argv[CHILD_ARGS_MAX], size_t n)
{
    static char words[CMD_VALUES_MAX][96];
    for (size_t i = 0; i < args->given_count && n + 2 < CHILD_ARGS_MAX; i++) {
        const char *name = args->given[i].name, *value = args->given[i].value;
        const kith_config_key *key = args->given[i].key ? kith_config_find(name) : NULL;
        bool flag = key && key->type == KITH_CONFIG_BOOL;
        if (!key && strcmp(name, "config") != 0)
            continue;
        snprintf(words[i], sizeof words[i], "--%s%s%s", name, flag ? "=" : "", flag ? value : "");
        argv[n++] = words[i];
        if (!flag)
            argv[n++] = value;
    }
    argv[n] = NULL;
}
