/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading tickets, share strings and codes. */
#include "cmd/ticket_arg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/crypto.h"

#define TEXT_MAX (8 * KITH_TICKET_TEXT_MAX) /* a ticket may come with white space between its characters */
#define BLANKS " \t\r\n"
#define CODE_LONGEST 100 /* characters; whatever is longer is no code */

typedef struct text {
    char b[TEXT_MAX];
    size_t len;
} text;

static void add(text *t, const char *s, size_t n)
{
    size_t room = sizeof t->b - t->len;
    memcpy(t->b + t->len, s, n < room ? n : room);
    t->len += n < room ? n : room;
}

/* The strings are the process's own, and may be written to. */
void ticket_arg_scrub(const char *arg)
{
    kith_wipe((void *)(uintptr_t)arg, strlen(arg));
}

static void from_args(const cmd_args *args, text *t)
{
    for (size_t i = 0; i < args->rest_count; i++) {
        add(t, args->rest[i], strlen(args->rest[i]));
        add(t, " ", 1);
        ticket_arg_scrub(args->rest[i]);
    }
}

/* To the end of the line, or of everything. False: it cannot be read. */
static bool from_fd(int fd, bool line, text *t)
{
    char c;
    for (;;) {
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || (line && c == '\n'))
            return n >= 0;
        add(t, &c, 1);
    }
}

static int gather(const cmd_args *args, text *t)
{
    const char *env = getenv("KITH_CODE");
    unsigned long long fd;
    if (!cmd_number(args, "code-fd", STDIN_FILENO, 0, 1u << 20, &fd))
        return EXIT_USAGE;
    if (args->rest_count > 0 && cmd_has(args, "code-fd"))
        return cmd_fail(EXIT_USAGE, "get: give the code or --code-fd, not both");
    bool all = args->rest_count == 1 && strcmp(args->rest[0], "-") == 0;
    if (all || cmd_has(args, "code-fd")) {
        if (!from_fd((int)fd, !all, t))
            return cmd_fail(EXIT_USAGE, "cannot read from descriptor %llu: %s", fd, strerror(errno));
    } else if (args->rest_count > 0) {
        from_args(args, t);
    } else if (env) {
        add(t, env, strlen(env));
        ticket_arg_scrub(env);
        unsetenv("KITH_CODE");
    } else if (isatty(STDIN_FILENO)) {
        fputs("code or ticket: ", stderr);
        fflush(stderr);
        (void)from_fd(STDIN_FILENO, true, t);
    } else {
        return cmd_fail(EXIT_USAGE, "get: something is missing; usage: kith get CODE");
    }
    return EXIT_OK;
}

/* A ticket says so at its beginning, or is far longer. */
static bool looks_like_code(const text *t)
{
    size_t from = 0, to = t->len;
    while (from < to && strchr(BLANKS, t->b[from]))
        from++;
    while (to > from && strchr(BLANKS, t->b[to - 1]))
        to--;
    return to - from <= CODE_LONGEST && strncmp(t->b + from, "kith", to - from < 4 ? to - from : 4) != 0;
}

int ticket_arg_read(const cmd_args *args, ticket_arg *out)
{
    static text t;
    char note[KITH_CODE_NOTE_MAX + 1];
    const char *why = NULL;
    t.len = 0;
    int code = gather(args, &t);
    kith_bytes typed = kith_bytes_of(t.b, t.len);
    *out = (ticket_arg){.kind = looks_like_code(&t)             ? ARG_CODE
                                : kith_share_string_like(typed) ? ARG_STRING
                                                                : ARG_TICKET};
    size_t blank = 0;
    while (blank < t.len && strchr(BLANKS, t.b[blank]))
        blank++;
    if (!code && blank == t.len)
        code = cmd_fail(EXIT_USAGE, "get: the code or ticket is empty; usage: kith get CODE");
    if (code) {
        kith_wipe(&t, sizeof t);
        return code;
    }
    switch (out->kind) {
    case ARG_CODE:
        if (kith_code_parse(typed, &out->code, note))
            code = cmd_fail(EXIT_USAGE, "this is no code: %s", note);
        else if (note[0])
            cmd_warn("%s", note);
        break;
    case ARG_STRING:
        if (kith_share_string_parse(typed, &out->string, &why))
            code = cmd_fail(EXIT_DAMAGED, "this share string cannot be used: %s", why);
        out->ticket = (kith_ticket){.peer = out->string.peer, .addr_count = out->string.addr_count};
        memcpy(out->ticket.addrs, out->string.addrs, sizeof out->ticket.addrs);
        break;
    case ARG_TICKET:
        if (kith_ticket_parse(typed, &out->ticket, &why))
            code = cmd_fail(EXIT_DAMAGED, "this ticket cannot be used: %s", why);
        break;
    }
    kith_wipe(&t, sizeof t);
    return code;
}
