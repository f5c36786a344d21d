/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith trust: the known peers, and what is held of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/call.h"
#include "cmd/qr.h"

#define STDIN_MAX (48u * 1024) /* what fits into one request */

/* ---- answers ---- */

static const char *channel_words(long long level, char out[48])
{
    if (level)
        snprintf(out, 48, "post-quantum, ML-KEM category %lld", level);
    else
        snprintf(out, 48, "classical only");
    return out;
}

static int on_row(const cmd_args *args, const json_t *r)
{
    char text[48];
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    if (json_object_get(r, "forgotten")) {
        printf("forgotten %s\n", call_text(r, "forgotten"));
        return EXIT_OK;
    }
    printf("peer      %s (%s)\nname      ", call_text(r, "peer"), call_text(r, "trust"));
    call_print(stdout, *call_text(r, "name") ? call_text(r, "name") : "(none)");
    if (*call_text(r, "key"))
        printf("\nkey       %s (%s%s%s)", call_text(r, "key"), call_text(r, "key_type"),
               *call_text(r, "key_type") ? ", " : "", call_text(r, "key_trust"));
    else
        printf("\nkey       (no post-quantum key is known)");
    printf("\nmet       %s\n", call_when(call_number(r, "first"), text));
    printf("last met  %s\n", call_when(call_number(r, "last"), text));
    printf("channel   %s\n",
           call_number(r, "last") ? channel_words(call_number(r, "level"), text) : "(never met)");
    printf("policy    pq = %s%s\n", call_text(r, "policy"), call_true(r, "blocked") ? "\nBLOCKED" : "");
    return EXIT_OK;
}

/* Those that people made something of first, then who was met last. */
static int by_worth(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    if (call_true(x, "kept") != call_true(y, "kept"))
        return call_true(x, "kept") ? -1 : 1;
    if (call_number(x, "last") != call_number(y, "last"))
        return call_number(x, "last") > call_number(y, "last") ? -1 : 1;
    return strcmp(call_text(x, "peer"), call_text(y, "peer"));
}

/* Without memory for it they stay as they are. */
static void sort_list(json_t *list)
{
    size_t n = json_array_size(list);
    json_t **p = n ? calloc(n, sizeof *p) : NULL;
    if (!p)
        return;
    for (size_t i = 0; i < n; i++)
        p[i] = json_incref(json_array_get(list, i));
    qsort(p, n, sizeof *p, by_worth);
    json_array_clear(list);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, p[i]);
    free(p);
}

static int on_list(const cmd_args *args, const json_t *r)
{
    json_t *list = json_object_get(r, "peers"), *p;
    size_t i, shown = 0;
    char text[48];
    sort_list(list);
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    json_array_foreach(list, i, p)
    {
        const char *name = call_text(p, "name");
        printf("%s  ", call_text(p, "peer"));
        call_print(stdout, *name ? name : "-");
        printf("  %s%s%s  %s%s\n", call_text(p, "trust"), *call_text(p, "key") ? ", key " : "",
               call_text(p, "key_trust"),
               call_number(p, "last") ? channel_words(call_number(p, "level"), text) : "never met",
               call_true(p, "blocked") ? "  BLOCKED" : "");
        shown++;
    }
    if (!shown)
        printf("nobody is known yet\n");
    return EXIT_OK;
}

static int on_export(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json"))
        call_print_json(r);
    else
        fputs(call_text(r, "text"), stdout);
    return EXIT_OK;
}

static int on_import(const cmd_args *args, const json_t *r)
{
    long long n = call_number(r, "imported");
    if (cmd_has(args, "json"))
        call_print_json(r);
    else
        printf("imported %lld peer%s\n", n, n == 1 ? "" : "s");
    return EXIT_OK;
}

static int on_unbanned(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json"))
        call_print_json(r);
    else
        printf("%s is not banned any more, and what it did wrong is forgotten\n", call_text(r, "peer"));
    return EXIT_OK;
}

/* ---- subcommands ---- */

static int change(const cmd_args *args, const char *act, call *out)
{
    json_t *p = json_pack("{s:s, s:s}", "act", act, "peer", args->rest[1]);
    const char *name = cmd_value(args, "name"), *key = cmd_value(args, "key");
    if (name)
        json_object_set_new(p, "name", json_string(name));
    if (key)
        json_object_set_new(p, "key", json_string(key));
    *out = (call){.method = "trust.change", .params = p, .result = on_row, .args = args, .store = true};
    return EXIT_OK;
}

static int prepare_pin(const cmd_args *args, call *out)
{
    return change(args, "pin", out);
}

static int prepare_forget(const cmd_args *args, call *out)
{
    return change(args, "forget", out);
}

static int prepare_block(const cmd_args *args, call *out)
{
    return change(args, "block", out);
}

static int prepare_unblock(const cmd_args *args, call *out)
{
    return change(args, "unblock", out);
}

static int prepare_rename(const cmd_args *args, call *out)
{
    (void)change(args, "rename", out);
    if (args->rest_count > 2)
        json_object_set_new(out->params, "name", json_string(args->rest[2]));
    return EXIT_OK;
}

static int prepare_policy(const cmd_args *args, call *out)
{
    (void)change(args, "policy", out);
    json_object_set_new(out->params, "policy", json_string(args->rest[2]));
    return EXIT_OK;
}

static int prepare_accept(const cmd_args *args, call *out)
{
    bool key = cmd_has(args, "key"), classical = cmd_has(args, "classical");
    if (key == classical)
        return cmd_fail(
            EXIT_USAGE,
            "trust accept: say what to accept: --key Qm..., --key none or --classical; the message that "
            "refused the peer has the whole command");
    return change(args, key ? "accept-key" : "accept-classical", out);
}

static int prepare_show(const cmd_args *args, call *out)
{
    *out = (call){.method = "trust.show",
                  .params = json_pack("{s:s}", "peer", args->rest[1]),
                  .result = on_row,
                  .args = args,
                  .store = true};
    return EXIT_OK;
}

static int prepare_unban(const cmd_args *args, call *out)
{
    *out = (call){.method = "trust.unban",
                  .params = json_pack("{s:s}", "peer", args->rest[1]),
                  .result = on_unbanned,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

static int prepare_list(const cmd_args *args, call *out)
{
    *out = (call){.method = "trust.list", .result = on_list, .args = args, .store = true, .pieces = true};
    return EXIT_OK;
}

static int prepare_export(const cmd_args *args, call *out)
{
    *out = (call){.method = "trust.export",
                  .params = json_pack("{s:b}", "all", cmd_has(args, "all")),
                  .result = on_export,
                  .args = args,
                  .store = true,
                  .pieces = true};
    return EXIT_OK;
}

static int prepare_import(const cmd_args *args, call *out)
{
    const char *file = args->rest[1];
    json_t *p = json_pack("{s:b}", "restore", cmd_has(args, "restore"));
    if (strcmp(file, "-") == 0) {
        char text[STDIN_MAX + 1];
        size_t n = fread(text, 1, sizeof text, stdin);
        if (n > STDIN_MAX) {
            json_decref(p);
            return cmd_fail(EXIT_USAGE,
                            "trust import: that is too much for standard input; name the file instead");
        }
        json_t *s = json_stringn(text, n);
        if (!s) {
            json_decref(p);
            return cmd_fail(EXIT_DAMAGED, "trust import: this is not text");
        }
        json_object_set_new(p, "text", s);
    } else {
        char *path = realpath(file, NULL);
        if (!path) {
            json_decref(p);
            return cmd_fail(EXIT_DISK, "cannot read %s: %s", file, strerror(errno));
        }
        json_object_set_new(p, "path", json_string(path));
        free(path);
    }
    *out = (call){.method = "trust.import", .params = p, .result = on_import, .args = args, .store = true};
    return EXIT_OK;
}

static const call_sub subs[] = {
    {"list", "", 0, 0, prepare_list},
    {"show", "", 1, 1, prepare_show},
    {"pin", "key name", 1, 1, prepare_pin},
    {"forget", "", 1, 1, prepare_forget},
    {"rename", "", 1, 2, prepare_rename},
    {"block", "", 1, 1, prepare_block},
    {"unblock", "", 1, 1, prepare_unblock},
    {"unban", "", 1, 1, prepare_unban},
    {"accept", "key classical", 1, 1, prepare_accept},
    {"policy", "", 2, 2, prepare_policy},
    {"export", "all", 0, 0, prepare_export},
    {"import", "restore", 1, 1, prepare_import},
    {0},
};

static int prepare(const cmd_args *args, call *out)
{
    return call_sub_prepare(subs, args, out);
}

static const cmd_option options[] = {
    {.name = "key",
     .arg = "Qm...",
     .help = "pin, accept: its post-quantum key's id; accept: 'none' for no key"},
    {.name = "name", .arg = "NAME", .help = "pin: what you call it"},
    {.name = "classical", .help = "accept: channels that are not post-quantum, after others"},
    {.name = "all", .help = "export: also those that were only seen"},
    {.name = "restore",
     .help = "import: the file is your own; takes all of it, in the place of what is known"},
    {.name = "json", .help = "print the answer as one JSON object"},
    {0},
};

const cmd cmd_trust = {
    .name = "trust",
    .summary = "show known peers; name, pin, block, accept and forget them",
    .usage =
        "list | show PEER | pin PEER [--key Qm...] [--name NAME] | rename PEER [NAME] | block PEER |\n"
        "                  unblock PEER | unban PEER | accept PEER --key Qm...|--key none|--classical |\n"
        "                  policy PEER POLICY | forget PEER | export [--all] | import FILE [--restore]",
    .about =
        "Whoever was met is known by the post-quantum key and channel that it came with, and is refused when these\n"
        "change; the message then says which command accepts the change. A PEER is a peer id or a name that you gave.\n"
        "Names are good wherever a peer is expected: 'kith ping alice'.\n\n"
        "  pin       hold a peer to its key before it was met; never replaces another key\n"
        "  accept    a change that was refused; better ask the peer first, by another way\n"
        "  unban     whom the running node refuses for what it did ('kith peers --detailed'), before its time is over\n"
        "  policy    inherit, prefer, require or off, in the place of the configuration's pq\n"
        "  export    as text, what you pinned, named, blocked, verified; import takes pins, names and blocks of it",
    .examples = "  kith trust list\n"
                "  kith trust pin 12D3KooW... --key Qm... --name alice\n"
                "  kith trust rename 12D3KooW... alice\n"
                "  kith trust policy alice require\n"
                "  kith trust export > known-peers; kith trust import known-peers --restore\n",
    .options = options,
    .args_min = 1,
    .args_max = 3,
    .call = prepare,
};

/* ---- kith verify ---- */

static int on_number(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    const char *who = *call_text(r, "name") ? call_text(r, "name") : call_text(r, "peer");
    if (!json_object_get(r, "number")) {
        call_print(stdout, who);
        printf(" is verified%s%s\n", *call_text(r, "key") ? ", with its post-quantum key " : "",
               call_text(r, "key"));
        return EXIT_OK;
    }
    printf("\n    %s\n\n", call_text(r, "number"));
    qr_print(call_text(r, "number"));
    printf(
        "'kith verify' on the other side must show the same. Compare over another way, by voice or face to face, then:\n"
        "kith verify ");
    call_print(stdout, who);
    printf(" --confirm 'THE NUMBER OF THE OTHER SIDE'\n");
    if (!*call_text(r, "key"))
        printf("This connection proves no post-quantum key, so none will be verified.\n");
    return EXIT_OK;
}

static int prepare_verify(const cmd_args *args, call *out)
{
    const char *number = cmd_value(args, "confirm");
    *out = (call){.method = "trust.verify",
                  .params = json_pack("{s:s, s:s}", "peer", args->rest[0], "number", number ? number : ""),
                  .result = on_number,
                  .args = args,
                  .running_only = true};
    return EXIT_OK;
}

static const cmd_option verify_options[] = {
    {.name = "confirm",
     .arg = "NUMBER",
     .help = "what the other side shows; marks the peer verified when it is the same"},
    {.name = "json", .help = "print the answer as one JSON object"},
    {0},
};

const cmd cmd_verify = {
    .name = "verify",
    .summary = "compare a number with a peer, to know that nobody is between you",
    .usage = "PEER [--confirm NUMBER] [--json]",
    .about =
        "Shows a number, and a QR code of it, that is made from both identities and from the connection between the two\n"
        "running nodes ('kith up'). The peer's 'kith verify' shows the same one unless somebody sits in between. Tell it\n"
        "each other over another way, and confirm with what you were told. It lasts as long as the connection.",
    .examples = "  kith verify alice\n  kith verify alice --confirm '12345 67890 12345 67890'\n",
    .options = verify_options,
    .args_min = 1,
    .args_max = 1,
    .call = prepare_verify,
};
