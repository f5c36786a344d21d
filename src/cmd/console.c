/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libedit on the loop. */
#include "cmd/console.h"

#include <editline/readline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/call.h"
#include "cmd/console_complete.h"
#include "cmd/console_history.h"
#include "cmd/message.h"

#define WORDS_MAX 32
#define PROMPT "kith> "
#define TYPED_MAX 3000          /* bytes of a line: some versions of libedit abort beyond 4 KiB */
#define TOPIC "quantra-default" /* of msg, where the configuration names none */

/* A command under way, from its line to its answer. */
typedef struct typed {
    char *line;  /* words point into it */
    char *whole; /* as it was typed */
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
    bool swallows; /* the rest of a line that is too long */
};

static console *the; /* libedit's callbacks have no context */

static void on_line(char *line);

static void show(console *c)
{
    if (c->shown || c->closed || c->running)
        return;
    c->shown = true;
    rl_callback_handler_install(PROMPT, on_line);
}

/* The line being typed goes, with those that it was broken into: the cursor is in the last of them, or in the one that rl_point says. */
void console_pause(console *c)
{
    struct winsize size = {0};
    size_t columns = sizeof PROMPT - 1;
    if (!c || !c->shown)
        return;
    for (int i = 0; i < rl_point; i++)
        columns += ((unsigned char)rl_line_buffer[i] & 0xc0) != 0x80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && columns / size.ws_col > 0)
        printf("\033[%zuA", columns / size.ws_col);
    printf("\r\033[J");
    fflush(stdout); /* before anything on stderr */
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
    free(t->whole);
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
    printf("  %-11s %s\n", "msg", "msg [--topic NAME] TEXT: say it in a topic; its text needs no quotes");
    printf("  %-11s %s\n", "send", "send PEER TEXT: a message to one peer");
    printf("  %-11s %s\n  %-11s %s\n", "sub", "sub NAME: be in a topic", "unsub", "unsub NAME: leave it");
    printf("  %-11s %s\n  %-11s %s\n", "help", "this list; 'help COMMAND' tells more", "quit",
           "stop the node");
}

/* What stands behind so many words. */
static const char *behind(const char *line, size_t words)
{
    static const char space[] = " \t";
    line += strspn(line, space);
    for (size_t i = 0; i < words; i++) {
        line += strcspn(line, space);
        line += strspn(line, space);
    }
    return line;
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
    message_call(&t->args, t->words[1], kith_bytes_str(behind(t->whole, 2)), &t->call);
    return true;
}

/* msg [--topic NAME] TEXT: in the topic of that name, or in the first that the node was told to be in. */
static bool start_msg(const console *c, typed *t)
{
    static const char option[] = "--topic";
    const char *first = t->words[1] ? t->words[1] : "", *topics = c->s->config.gossip_topics;
    char topic[KITH_CONFIG_TEXT_MAX + 1];
    size_t words = 1;
    topics += strspn(topics, " ");
    snprintf(topic, sizeof topic, "%.*s", (int)strcspn(topics, " "), topics);
    const char *name = topic[0] ? topic : TOPIC;
    if (strcmp(first, option) == 0) {
        name = t->words[2] ? t->words[2] : "";
        words = 3;
    } else if (strncmp(first, option, sizeof option - 1) == 0 && first[sizeof option - 1] == '=') {
        name = first + sizeof option;
        words = 2;
    }
    const char *text = behind(t->whole, words);
    if (!*text) {
        (void)cmd_fail(EXIT_USAGE, "msg: what? 'msg [--topic NAME] TEXT'");
        return false;
    }
    t->args = (cmd_args){.cmd = cmd_find("message")};
    message_topic_call(&t->args, name, kith_bytes_str(text), &t->call);
    json_object_set_new(t->call.params, "wait_ms", json_integer(0)); /* who types sees who is there */
    return true;
}

static bool start_sub(typed *t, bool in)
{
    if (!t->words[1]) {
        (void)cmd_fail(EXIT_USAGE, "%s: which topic?", t->words[0]);
        return false;
    }
    t->args = (cmd_args){.cmd = cmd_find("topics")};
    topics_call(&t->args, t->words[1], in, &t->call);
    return true;
}

static void unknown(const char *name)
{
    const char *names[96];
    size_t n = 0;
    for (size_t i = 0; cmd_table[i] && n < 64; i++)
        names[n++] = cmd_table[i]->name;
    for (size_t i = 0; console_words[i] && n < 96; i++)
        names[n++] = console_words[i];
    const char *near = kith_nearest(name, names, n);
    if (near)
        cmd_warn("unknown command '%s'; did you mean '%s'?", name, near);
    else
        cmd_warn("unknown command '%s'; 'help' lists them", name);
}

/* False: it is done already. */
static bool start(console *c, typed *t)
{
    t->whole = strdup(t->line);
    size_t n = split(t->line, t->words);
    const char *name = n ? t->words[0] : "";
    if (*name == '/')
        name++; /* /quit, as elsewhere */
    if (n == 0 || !t->whole)
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
    if (strcmp(name, "msg") == 0)
        return start_msg(c, t);
    if (strcmp(name, "sub") == 0 || strcmp(name, "unsub") == 0)
        return start_sub(t, name[0] == 's');
    const cmd *found = cmd_find(name);
    if (!found) {
        unknown(name);
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
    console_history_add(line);
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

static void begin(void)
{
    rl_catch_signals = 0; /* Ctrl-C is the loop's */
    rl_initialize();
    console_history_load();
}

static void swallow(console *c)
{
    char thrown[4096];
    ssize_t n = read(STDIN_FILENO, thrown, sizeof thrown);
    for (ssize_t i = 0; i < n; i++)
        c->swallows &= thrown[i] != '\r' && thrown[i] != '\n';
    if (c->swallows && n > 0)
        return;
    c->swallows = false;
    console_pause(c);
    cmd_warn(
        "that line is too long for the console, %d bytes at most, and was dropped; 'kith message --content -' "
        "takes more from a file",
        TYPED_MAX);
    /* libedit has no way to forget a line that works in all of its versions, but to begin anew. */
    rl_callback_handler_remove();
    c->shown = false;
    begin();
    show(c);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    console *c = p->data;
    (void)events;
    if (status < 0) {
        uv_poll_stop(p);
        return;
    }
    c->swallows |= c->shown && rl_end >= TYPED_MAX;
    if (c->swallows)
        swallow(c);
    else if (c->shown)
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
    begin();
    console_complete_begin(s, service);
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
