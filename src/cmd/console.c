/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libedit on the loop. */
#include "cmd/console.h"

#include <editline/readline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/call.h"
#include "cmd/message.h"

#define WORDS_MAX 32
#define HISTORY_MAX 500

/* A command under way, from its line to its answer. */
typedef struct typed {
    char *line; /* words point into it */
    char *text; /* what stands behind the second word; freed with it */
    char *words[WORDS_MAX];
    const char *rest[WORDS_MAX];
    cmd_args args;
    call call;
} typed;

struct console {
    session *s;
    kith_rpc_client *client;
    uv_poll_t poll;
    void (*quit)(void *ctx);
    void *ctx;
    typed *running;
    int id;
    bool shown, closed, interrupted;
};

static console *the; /* libedit's callbacks have no context */

static void on_line(char *line);

static void show(console *c)
{
    if (c->shown || c->closed || c->running)
        return;
    c->shown = true;
    rl_callback_handler_install("kith> ", on_line);
}

void console_pause(console *c)
{
    if (!c || !c->shown)
        return;
    printf("\r\033[K");
}

void console_resume(console *c)
{
    fflush(stdout);
    if (c && c->shown)
        rl_forced_update_display();
}

static void typed_free(typed *t)
{
    if (!t)
        return;
    call_free(&t->call);
    free(t->line);
    free(t->text);
    free(t);
}

static void on_message(void *ctx, const json_t *message)
{
    console *c = ctx;
    int code;
    if (!c->running || !call_answered(&c->running->call, c->client, c->id, message, c->interrupted, &code))
        return;
    typed_free(c->running);
    c->running = NULL;
    c->interrupted = false;
    fflush(stdout);
    show(c);
}

/* ---- lines ---- */

static void help(void)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        if (cmd_table[i]->call)
            printf("  %-11s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
    }
    printf("  %-11s %s\n", "send", "send PEER TEXT: a message; its text needs no quotes");
    printf("  %-11s %s\n  %-11s %s\n", "help", "this list; 'help COMMAND' tells more", "quit",
           "stop the node");
}

/* A copy of what stands behind so many words. */
static char *behind(const char *line, size_t words)
{
    static const char space[] = " \t";
    line += strspn(line, space);
    for (size_t i = 0; i < words; i++) {
        line += strcspn(line, space);
        line += strspn(line, space);
    }
    return strdup(line);
}

static size_t split(char *line, char *words[WORDS_MAX])
{
    size_t n = 0;
    char *save = NULL;
    for (char *w = strtok_r(line, " \t", &save); w && n < WORDS_MAX; w = strtok_r(NULL, " \t", &save))
        words[n++] = w;
    return n;
}

/* send PEER TEXT: a message, with its words as they were typed. False: it is done already. */
static bool start_send(typed *t)
{
    if (!t->words[1] || !t->words[2]) {
        (void)cmd_fail(EXIT_USAGE, "send: whom, and what? 'send PEER TEXT'");
        return false;
    }
    t->args = (cmd_args){.cmd = cmd_find("message")};
    message_call(&t->args, t->words[1], kith_bytes_str(t->text), &t->call);
    return true;
}

/* False: it is done already. */
static bool start(console *c, typed *t)
{
    t->text = behind(t->line, 2);
    size_t n = split(t->line, t->words);
    const char *name = n ? t->words[0] : "";
    if (*name == '/')
        name++; /* /quit, as elsewhere */
    if (n == 0)
        return false;
    if (strcmp(name, "quit") == 0 || strcmp(name, "exit") == 0) {
        c->quit(c->ctx);
        return false;
    }
    const cmd *about = strcmp(name, "help") == 0 && n > 1 ? cmd_find(t->words[1]) : NULL;
    if (about) {
        cmd_help(about);
        return false;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "?") == 0) {
        help();
        return false;
    }
    if (strcmp(name, "send") == 0)
        return start_send(t);
    const cmd *found = cmd_find(name);
    if (!found) {
        (void)cmd_unknown(name);
        return false;
    }
    if (!found->call) {
        cmd_warn("'%s' is for the shell; 'help' lists what the console knows", name);
        return false;
    }
    int code = cmd_parse(found, (int)n - 1, t->words + 1, &t->args, t->rest);
    if (code == CMD_HELP_WANTED)
        cmd_help(found);
    else if (code == EXIT_OK && call_configures(&t->args))
        code = cmd_fail(EXIT_USAGE, "this node is configured already; run 'kith %s' in a shell", name);
    else if (code == EXIT_OK)
        code = found->call(&t->args, &t->call);
    return code == EXIT_OK;
}

static void on_line(char *line)
{
    console *c = the;
    if (!line) { /* Ctrl-D */
        putchar('\n');
        c->quit(c->ctx);
        return;
    }
    rl_callback_handler_remove();
    c->shown = false;
    if (*line)
        add_history(line);
    typed *t = calloc(1, sizeof *t);
    if (t)
        t->line = line;
    else
        free(line);
    if (!t || !start(c, t)) {
        typed_free(t);
        fflush(stdout);
        show(c);
        return;
    }
    c->running = t;
    if (!t->call.params)
        t->call.params = json_object();
    call_ask(&t->call, c->client, ++c->id);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    console *c = p->data;
    (void)events;
    if (status < 0) {
        uv_poll_stop(p);
        return;
    }
    if (c->shown)
        rl_callback_read_char();
    else if (c->running) { /* what is typed while a command runs is not for anybody */
        char thrown[256];
        (void)!read(STDIN_FILENO, thrown, sizeof thrown);
    }
}

bool console_interrupt(console *c)
{
    if (!c || !c->running || c->interrupted)
        return false;
    c->interrupted = true;
    json_t *message = call_cancellation(c->id);
    kith_rpc_message(c->client, message);
    json_decref(message);
    return true;
}

console *console_open(session *s, kith_service *service, void (*quit)(void *ctx), void *ctx)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return NULL;
    console *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->s = s;
    c->quit = quit;
    c->ctx = ctx;
    c->client = kith_rpc_client_new(kith_service_methods, service, on_message, c);
    if (!c->client || uv_poll_init(kith_host_loop(s->host), &c->poll, STDIN_FILENO)) {
        kith_rpc_client_free(c->client);
        free(c);
        return NULL;
    }
    c->poll.data = the = c;
    rl_catch_signals = 0; /* Ctrl-C is the loop's */
    rl_initialize();
    stifle_history(HISTORY_MAX);
    uv_poll_start(&c->poll, UV_READABLE, on_readable);
    show(c);
    return c;
}

void console_close(console *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    if (c->shown) {
        rl_callback_handler_remove();
        printf("\r\033[K");
        fflush(stdout);
    }
    c->shown = false;
    uv_close((uv_handle_t *)&c->poll, NULL);
}

void console_free(console *c)
{
    if (!c)
        return;
    kith_rpc_client_free(c->client);
    typed_free(c->running);
    free(c);
    the = NULL;
}
