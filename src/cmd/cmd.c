/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arguments against the command table. */
#include "cmd/cmd.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <sys/select.h>
#endif

#include "cmd/call.h"
#include "host/config.h"

bool cmd_wait_input(int fd, const sigset_t *mask)
{
#ifdef __APPLE__ /* has no ppoll */
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return fd < FD_SETSIZE && pselect(fd + 1, &set, NULL, NULL, NULL, mask) > 0;
#else
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return ppoll(&p, 1, NULL, mask) > 0;
#endif
}

static struct {
    void (*fn)(void *ctx, const char *line, size_t len);
    void *ctx;
} warn_to;

void cmd_warn_to(void (*fn)(void *ctx, const char *line, size_t len), void *ctx)
{
    warn_to.fn = fn;
    warn_to.ctx = ctx;
}

__attribute__((format(printf, 1, 0))) static void complain(const char *fmt, va_list ap)
{
    char *line = NULL;
    size_t len = 0;
    FILE *f = warn_to.fn ? open_memstream(&line, &len) : stderr;
    if (!f)
        return;
    fprintf(f, "kith: ");
    vfprintf(f, fmt, ap);
    fputc('\n', f);
    if (f == stderr)
        return;
    fclose(f);
    if (line)
        warn_to.fn(warn_to.ctx, line, len);
    free(line);
}

void cmd_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(fmt, ap);
    va_end(ap);
}

int cmd_fail(int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(fmt, ap);
    va_end(ap);
    return code;
}

const cmd *cmd_find(const char *name)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        if (strcmp(cmd_table[i]->name, name) == 0)
            return cmd_table[i];
    }
    return NULL;
}

const char *cmd_value(const cmd_args *a, const char *name)
{
    for (size_t i = a->given_count; i-- > 0;) {
        if (strcmp(a->given[i].name, name) == 0)
            return a->given[i].value;
    }
    return NULL;
}

const char *cmd_next_value(const cmd_args *a, const char *name, size_t *at)
{
    while (*at < a->given_count) {
        size_t i = (*at)++;
        if (strcmp(a->given[i].name, name) == 0)
            return a->given[i].value;
    }
    return NULL;
}

bool cmd_has(const cmd_args *a, const char *name)
{
    return cmd_value(a, name) != NULL;
}

bool cmd_number(const cmd_args *a, const char *name, unsigned long long fallback, unsigned long long min,
                unsigned long long max, unsigned long long *out)
{
    const char *v = cmd_value(a, name);
    uint64_t n = fallback;
    if (v && (!kith_parse_size(v, &n) || n < min || n > max)) {
        cmd_warn("--%s: '%s' is not a number from %llu to %llu", name, v, min, max);
        return false;
    }
    *out = n;
    return true;
}

bool cmd_duration(const cmd_args *a, const char *name, kith_time fallback, kith_time most, kith_time *out)
{
    const char *v = cmd_value(a, name);
    *out = fallback;
    if (!v || (kith_parse_duration(v, out) && *out >= KITH_SEC(1) && *out <= most))
        return true;
    cmd_warn("%s: --%s: '%s' is not a time from 1s to %lluh", a->cmd->name, name, v,
             (unsigned long long)(most / KITH_SEC(3600)));
    return false;
}

/* ---- parsing ---- */

typedef struct match {
    const char *name, *arg;
    bool many, ok, key;
} match;

const cmd_option cmd_node_options[] = {
    {.name = "config", .arg = "FILE", .help = "read this file, not the usual kith.ini"},
    {.name = "passphrase-fd", .arg = "N", .help = "read the identity's passphrase from this descriptor"},
    {0},
};

static match find_in(const cmd_option *o, const char *name, size_t len, char letter)
{
    for (; o && o->name; o++) {
        if (letter ? o->letter == letter : strlen(o->name) == len && strncmp(o->name, name, len) == 0)
            return (match){.name = o->name, .arg = o->arg, .many = o->many, .ok = true};
    }
    return (match){0};
}

static match find_option(const cmd *c, const char *name, size_t len, char letter)
{
    match m = find_in(c->options, name, len, letter);
    if (!m.ok && c->node && !letter)
        m = find_in(cmd_node_options, name, len, letter);
    if (m.ok)
        return m;
    char key[64];
    if (!c->node || letter || len >= sizeof key)
        return (match){0};
    memcpy(key, name, len);
    key[len] = '\0';
    const kith_config_key *k = kith_config_find(key);
    if (k) /* a bare --perf is --perf=true */
        return (match){.name = k->name,
                       .arg = k->type == KITH_CONFIG_BOOL ? NULL : "VALUE",
                       .many = kith_config_is_list(k),
                       .ok = true,
                       .key = true};
    return (match){0};
}

static int unknown_option(const cmd *c, const char *arg)
{
    const char *names[128];
    size_t n = 0;
    char typed[64];
    for (const cmd_option *o = c->options; o && o->name && n < 64; o++)
        names[n++] = o->name;
    for (const cmd_option *o = cmd_node_options; c->node && o->name && n < 128; o++)
        names[n++] = o->name;
    for (size_t i = 0; c->node && i < kith_config_key_count && n < 128; i++)
        names[n++] = kith_config_keys[i].name;
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(arg, "="), arg);
    const char *near = kith_nearest(typed + strspn(typed, "-"), names, n);
    if (near)
        return cmd_fail(EXIT_USAGE, "%s: unknown option '%s'; did you mean '--%s'?", c->name, typed, near);
    return cmd_fail(EXIT_USAGE, "%s: unknown option '%s'; see 'kith help %s'", c->name, typed, c->name);
}

/* Takes note of an option. value: what stands with it; NULL: nothing, and one that needs some takes the next word. */
static int take(cmd_args *a, const match *m, const char *value, int argc, char **argv, int *i)
{
    const char *who = a->cmd->name;
    if (!m->arg && value && !m->key)
        return cmd_fail(EXIT_USAGE, "%s: --%s takes no value", who, m->name);
    if (!m->arg && !value)
        value = "true";
    if (!value) {
        if (*i + 1 >= argc)
            return cmd_fail(EXIT_USAGE, "%s: --%s needs a value (%s)", who, m->name, m->arg);
        value = argv[++*i];
    }
    if (!m->many && cmd_has(a, m->name))
        return cmd_fail(EXIT_USAGE, "%s: --%s was given twice", who, m->name);
    if (a->given_count == CMD_VALUES_MAX)
        return cmd_fail(EXIT_USAGE, "%s: too many options", who);
    a->given[a->given_count].name = m->name;
    a->given[a->given_count].key = m->key;
    a->given[a->given_count++].value = value;
    return EXIT_OK;
}

/* "-y", "-o DIR", "-oDIR", "-yo DIR". */
static int take_letters(cmd_args *a, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    for (const char *p = arg + 1; *p; p++) {
        match m = find_option(a->cmd, p, 1, *p);
        if (!m.ok)
            return unknown_option(a->cmd, arg);
        const bool last = m.arg && p[1];
        int code = take(a, &m, last ? p + 1 : NULL, argc, argv, i);
        if (code || last)
            return code;
    }
    return EXIT_OK;
}

static int take_word(cmd_args *a, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    match m = find_option(a->cmd, name, eq ? (size_t)(eq - name) : strlen(name), 0);
    return m.ok ? take(a, &m, eq ? eq + 1 : NULL, argc, argv, i) : unknown_option(a->cmd, argv[*i]);
}

int cmd_parse(const cmd *c, int argc, char **argv, cmd_args *a, const char **rest)
{
    *a = (cmd_args){.cmd = c, .rest = rest};
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) {
            a->after = (const char *const *)(argv + i + 1);
            a->after_count = (size_t)(argc - i - 1);
            break;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            rest[a->rest_count++] = arg;
            continue;
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
            return CMD_HELP_WANTED;
        int code = arg[1] == '-' ? take_word(a, argc, argv, &i) : take_letters(a, argc, argv, &i);
        if (code)
            return code;
    }
    if (a->rest_count < c->args_min)
        return cmd_fail(EXIT_USAGE, "%s: something is missing; usage: kith %s %s", c->name, c->name,
                        c->usage);
    if (a->rest_count > c->args_max)
        return cmd_fail(EXIT_USAGE, "%s: '%s' is too much; usage: kith %s %s", c->name, rest[c->args_max],
                        c->name, c->usage);
    return EXIT_OK;
}

int cmd_unknown(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (; cmd_table[n] && n < 64; n++)
        names[n] = cmd_table[n]->name;
    const char *near = kith_nearest(name, names, n);
    if (near)
        return cmd_fail(EXIT_USAGE, "unknown command '%s'; did you mean 'kith %s'?", name, near);
    return cmd_fail(EXIT_USAGE, "unknown command '%s'; 'kith help' lists them", name);
}

int cmd_main(int argc, char **argv)
{
    if (argc < 2) {
        cmd_help_all();
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const cmd *c = cmd_find(name);
    if (!c)
        return cmd_unknown(name);
    const char **rest = calloc((size_t)argc, sizeof *rest);
    if (!rest)
        return cmd_fail(EXIT_FAILED, "out of memory");
    cmd_args args;
    int code = cmd_parse(c, argc - 2, argv + 2, &args, rest);
    if (code == CMD_HELP_WANTED) {
        cmd_help(c);
        code = EXIT_OK;
    } else if (code == EXIT_OK) {
        code = c->run ? c->run(&args) : call_run(&args);
    }
    free(rest);
    return code;
}
