/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith config: every key with the value in force. */
#include "host/config.h"

#include <stdio.h>
#include <string.h>

#include "cmd/session.h"
#include "host/json.h"

#define VALUE_MAX (KITH_CONFIG_LISTEN_MAX * (KITH_MADDR_TEXT_MAX + 1))

static json_t *as_json(const kith_config *c)
{
    static char value[VALUE_MAX];
    json_t *all = json_object();
    for (size_t i = 0; i < kith_config_key_count; i++) {
        kith_config_text(c, &kith_config_keys[i], value, sizeof value);
        json_object_set_new(all, kith_config_keys[i].name, kith_json_text(value));
    }
    return all;
}

/* One line for each address of a list; what is at its default stands there as a comment. */
static void print_key(const kith_config *c, const kith_config *defaults, const kith_config_key *k)
{
    static char value[VALUE_MAX], usual[VALUE_MAX];
    const char *dot = strchr(k->name, '.'), *name = dot ? dot + 1 : k->name;
    kith_config_text(c, k, value, sizeof value);
    kith_config_text(defaults, k, usual, sizeof usual);
    bool same = strcmp(value, usual) == 0;
    printf("; %s\n", k->help);
    if (!kith_config_is_list(k) || !value[0]) {
        printf("%s%s = %s\n", same ? ";" : "", name, value);
        return;
    }
    char *save = NULL;
    for (char *v = strtok_r(value, " ", &save); v; v = strtok_r(NULL, " ", &save))
        printf("%s = %s\n", name, v);
}

static int run(const cmd_args *args)
{
    kith_config c, defaults;
    int code = session_read_config(&c, args);
    if (code)
        return code;
    if (cmd_has(args, "json")) {
        session_print(as_json(&c));
        return EXIT_OK;
    }
    session_default_config(&defaults);
    const char *section = "";
    for (size_t i = 0; i < kith_config_key_count; i++) {
        const kith_config_key *k = &kith_config_keys[i];
        const char *dot = strchr(k->name, '.');
        if (dot && strncmp(section, k->name, (size_t)(dot - k->name)) != 0) {
            section = k->name;
            printf("\n[%.*s]\n", (int)(dot - k->name), k->name);
        }
        print_key(&c, &defaults, k);
    }
    return EXIT_OK;
}

static const cmd_option options[] = {
    {.name = "json", .help = "print the values as one JSON object"},
    {0},
};

const cmd cmd_config = {
    .name = "config",
    .summary = "print the configuration in force",
    .usage = "[--json]",
    .about =
        "Prints every key with what it means and its value, in the form of the file, defaults as comments: a way to\n"
        "begin one is 'kith config > ~/.config/kith/kith.ini'. Each key is an option of the commands that run a node.",
    .examples = "  kith config\n  kith config --limits.conns-per-ip 8\n",
    .options = options,
    .node = true,
    .run = run,
};
