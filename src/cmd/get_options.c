/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading the options of kith get. */
#include "cmd/get_options.h"

#include <string.h>
#include <unistd.h>

#include "cmd/ticket_arg.h"
#include "host/config.h"

#define WAIT_S 120 /* that a sharer is looked for */

/* Tickets of others who share the same. */
static int read_also(get_options *o, const cmd_args *args)
{
    const char *why;
    size_t at = 0;
    for (const char *text; (text = cmd_next_value(args, "also", &at));) {
        if (o->also_count == sizeof o->also / sizeof o->also[0])
            return cmd_fail(EXIT_USAGE, "get: --also may be given %zu times", o->also_count);
        if (kith_ticket_parse(kith_bytes_str(text), &o->also[o->also_count++], &why))
            return cmd_fail(EXIT_DAMAGED, "the ticket of --also cannot be used: %s", why);
        ticket_arg_scrub(text);
    }
    return EXIT_OK;
}

/* The patterns of one option. */
static int read_patterns(const cmd_args *args, const char *name, const char **out, size_t *count)
{
    size_t at = 0;
    for (const char *pattern; (pattern = cmd_next_value(args, name, &at));) {
        const char *why = kith_share_pattern_fault(pattern);
        if (why)
            return cmd_fail(EXIT_USAGE, "get: --%s '%s': %s", name, pattern, why);
        if (*count == KITH_SELECT_PATTERNS)
            return cmd_fail(EXIT_USAGE, "get: --%s may be given %d times", name, KITH_SELECT_PATTERNS);
        out[(*count)++] = pattern;
    }
    return EXIT_OK;
}

int get_options_select(const cmd_args *args, kith_share_select *out)
{
    int code = read_patterns(args, "only", out->only, &out->only_count);
    return code ? code : read_patterns(args, "exclude", out->exclude, &out->exclude_count);
}

static int read_durability(const cmd_args *args, kith_durability *out)
{
    static const char *const names[] = {
        [KITH_DURABILITY_BATCH] = "batch",
        [KITH_DURABILITY_NONE] = "none",
        [KITH_DURABILITY_STRICT] = "strict",
    };
    *out = KITH_DURABILITY_BATCH;
    if (!cmd_has(args, "durability"))
        return EXIT_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(cmd_value(args, "durability"), names[i]) == 0) {
            *out = (kith_durability)i;
            return EXIT_OK;
        }
    }
    return cmd_fail(EXIT_USAGE, "get: --durability is none, batch or strict");
}

/* kith get --discard: of all shares in a folder. */
int get_discard(const char *dest)
{
    size_t busy = 0;
    int n = kith_share_discard(dest, &busy);
    if (n < 0)
        return cmd_fail(EXIT_DISK, "cannot look into %s: %s", dest, strerror(-n));
    if (busy > 0)
        return cmd_fail(EXIT_BUSY,
                        "partial content of %zu share%s in %s is in use: stop its 'kith get' first", busy,
                        busy == 1 ? "" : "s", dest);
    printf("partial content of %d share%s removed from %s\n", n, n == 1 ? "" : "s", dest);
    return EXIT_OK;
}

static int read_clash(const cmd_args *args, kith_share_clash *out)
{
    const char *given = NULL;
    static const struct {
        const char *name;
        kith_share_clash clash;
    } clashes[] = {
        {"overwrite", KITH_SHARE_CLASH_OVERWRITE},
        {"rename", KITH_SHARE_CLASH_RENAME},
        {"skip", KITH_SHARE_CLASH_SKIP},
        {"ask", KITH_SHARE_CLASH_ASK},
    };
    *out = KITH_SHARE_CLASH_FAIL;
    for (size_t i = 0; i < sizeof clashes / sizeof clashes[0]; i++) {
        if (!cmd_has(args, clashes[i].name))
            continue;
        if (given)
            return cmd_fail(EXIT_USAGE, "get: give either --%s or --%s", given, clashes[i].name);
        given = clashes[i].name;
        *out = clashes[i].clash;
    }
    return EXIT_OK;
}

/* How long others are helped when all of it is here. */
static int read_seed(get_options *o, const cmd_args *args)
{
    const char *text = cmd_value(args, "seed");
    o->swarm = cmd_has(args, "swarm") || cmd_has(args, "seed");
    if (!cmd_has(args, "seed"))
        return EXIT_OK;
    if (strcmp(text, "on") == 0)
        o->seed = KITH_NEVER;
    else if (!kith_parse_duration(text, &o->seed) || o->seed < KITH_SEC(1) || o->seed > KITH_SEC(365 * 86400))
        return cmd_fail(EXIT_USAGE,
                        "get: --seed: '%s' is neither a time from 1s to 8760h nor 'on' (until Ctrl-C)", text);
    return EXIT_OK;
}

int get_options_read(const cmd_args *args, get_options *o)
{
    if (!cmd_number(args, "wait", WAIT_S, 1, 1u << 20, &o->wait_s))
        return EXIT_USAGE;
    int code = get_options_select(args, &o->select);
    if (!code)
        code = read_durability(args, &o->durability);
    if (!code)
        code = sums_read_options(args, &o->sums);
    if (!code)
        code = read_seed(o, args);
    if (code)
        return code;
    o->discard = cmd_has(args, "discard");
    if (args->rest_count > 0 && o->discard)
        return cmd_fail(EXIT_USAGE,
                        "get: --discard takes no ticket: it removes all that is partial in a folder");
    code = read_clash(args, &o->clash);
    if (code)
        return code;
    bool terminal = !cmd_has(args, "json") && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (cmd_has(args, "ask") && !terminal)
        return cmd_fail(EXIT_USAGE, "get: there is no terminal to ask at");
    o->yes = cmd_has(args, "yes");
    o->no_calls = cmd_has(args, "no-calls");
    if (o->clash == KITH_SHARE_CLASH_FAIL && terminal && !o->yes)
        o->clash = KITH_SHARE_CLASH_ASK;
    o->portable = cmd_has(args, "portable");
    o->dest = cmd_has(args, "output") ? cmd_value(args, "output") : ".";
    if (!*o->dest)
        return cmd_fail(EXIT_USAGE, "get: --output '' names no folder");
    if (!o->yes && !o->discard && !terminal)
        return cmd_fail(
            EXIT_USAGE,
            "get: there is no terminal to ask whether to take the share; pass -y to take it unasked");
    return read_also(o, args);
}
