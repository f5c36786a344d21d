/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith config: every key with the value in force. */
#include "host/config.h"

#include <stdio.h>
#include <string.h>

#include "cmd/session.h"

static int run(const cmd_args *args)
{
    session s;
    int code = session_start(&s, args);
    if (code)
        return code;
    json_t *all = json_object();
    const char *section = "";
    for (size_t i = 0; i < kith_config_key_count; i++) {
        const kith_config_key *k = &kith_config_keys[i];
        char value[2048];
        kith_config_text(&s.config, k, value, sizeof value);
        json_object_set_new(all, k->name, json_string(value));
        const char *dot = strchr(k->name, '.');
        if (s.json)
            continue;
        if (dot && strncmp(section, k->name, (size_t)(dot - k->name)) != 0) {
            section = k->name;
            printf("\n[%.*s]\n", (int)(dot - k->name), k->name);
        }
        printf("; %s\n%s%s = %s\n", k->help, value[0] ? "" : ";", dot ? dot + 1 : k->name, value);
    }
    if (s.json)
        session_print(json_incref(all));
    json_decref(all);
    session_end(&s, EXIT_OK);
    return session_run(&s);
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
        "Prints every key with what it means and its value, in the form of the file: a way to begin one is\n"
        "'kith config > ~/.config/kith/kith.ini'. Each key is an option of the commands that run a node.",
    .examples = "  kith config\n  kith up --limits.conns-per-ip 8\n",
    .options = options,
    .node = true,
    .run = run,
};
