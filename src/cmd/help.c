/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Help, man pages and shell completion, all from the command table. */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "crypto/crypto.h"
#include "host/config.h"

void cmd_help_all(void)
{
    printf("kith connects your machines directly: files and streams, post-quantum, without a server.\n\n"
           "usage: kith COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; cmd_table[i]; i++)
        printf("  %-11s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
    printf("\n'kith help COMMAND' tells more. To begin: 'kith share FOLDER' on one machine, and the\n"
           "'kith get TICKET' that it prints on another.\n");
}

static void option_line(const cmd_option *o)
{
    char left[64];
    snprintf(left, sizeof left, "%c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? ',' : ' ', o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-28s %s%s\n", left, o->help, o->many ? " (may be repeated)" : "");
}

void cmd_help(const cmd *c)
{
    printf("kith %s: %s\n\nusage: kith %s %s\n\n%s\n", c->name, c->summary, c->name, c->usage, c->about);
    if (c->options || c->node)
        printf("\noptions:\n");
    for (const cmd_option *o = c->options; o && o->name; o++)
        option_line(o);
    if (c->node) {
        for (const cmd_option *o = cmd_node_options; o->name; o++)
            option_line(o);
        printf("\nEvery configuration key is an option too, such as --listen, --pq or --limits.conns;\n"
               "'kith config' lists them.\n");
    }
    if (c->examples)
        printf("\nexamples:\n%s", c->examples);
}

/* ---- man ---- */

/* Roff must not take a leading dot or quote for a request, nor a hyphen for one that may break. */
static void roff(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            fputc(*text, stdout);
        start = *text == '\n';
    }
}

static void man_entry(const char *before, const char *name, const char *arg, const char *help)
{
    printf(".TP\n.B ");
    roff(before);
    roff(name);
    printf(" %s\n", arg ? arg : "");
    roff(help);
    printf("\n");
}

static void man_all(void)
{
    printf(
        ".TH KITH 1 \"\" \"kith %s\" \"User Commands\"\n.SH NAME\nkith \\- connect your machines directly\n"
        ".SH SYNOPSIS\n.B kith\nCOMMAND [OPTIONS]\n.SH DESCRIPTION\n"
        "One program that connects people's machines without a server: files and streams over libp2p, with\n"
        "post\\-quantum key exchange by default.\n.SH COMMANDS\n",
        KITH_VERSION);
    for (size_t i = 0; cmd_table[i]; i++)
        man_entry("", cmd_table[i]->name, NULL, cmd_table[i]->summary);
}

static void man_one(const cmd *c)
{
    printf(".TH KITH-%s 1 \"\" \"kith %s\" \"User Commands\"\n.SH NAME\nkith\\-%s \\- ", c->name,
           KITH_VERSION, c->name);
    roff(c->summary);
    printf("\n.SH SYNOPSIS\n.B kith %s\n", c->name);
    roff(c->usage);
    printf("\n.SH DESCRIPTION\n");
    roff(c->about);
    printf("\n");
    if (c->options || c->node)
        printf(".SH OPTIONS\n");
    for (const cmd_option *o = c->options; o && o->name; o++)
        man_entry("--", o->name, o->arg, o->help);
    for (const cmd_option *o = cmd_node_options; c->node && o->name; o++)
        man_entry("--", o->name, o->arg, o->help);
    if (c->node)
        printf(".SH CONFIGURATION\nThese keys stand in kith.ini, and each is an option.\n");
    for (size_t i = 0; c->node && i < kith_config_key_count; i++)
        man_entry("--", kith_config_keys[i].name, "VALUE", kith_config_keys[i].help);
    if (c->examples) {
        printf(".SH EXAMPLES\n.nf\n");
        roff(c->examples);
        printf(".fi\n");
    }
}

/* ---- completion ---- */

static void complete_bash(void)
{
    printf(
        "_kith() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='");
    for (size_t i = 0; cmd_table[i]; i++)
        printf("%s ", cmd_table[i]->name);
    printf("'\n  else\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; cmd_table[i]; i++) {
        const cmd *c = cmd_table[i];
        printf("    %s) words='--help", c->name);
        for (const cmd_option *o = c->options; o && o->name; o++)
            printf(" --%s", o->name);
        for (const cmd_option *o = cmd_node_options; c->node && o->name; o++)
            printf(" --%s", o->name);
        for (size_t k = 0; c->node && k < kith_config_key_count; k++)
            printf(" --%s", kith_config_keys[k].name);
        printf("' ;;\n");
    }
    printf("    esac\n  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "  [ \"${#COMPREPLY[@]}\" -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n"
           "complete -F _kith kith\n");
}

static void complete_fish(void)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        const cmd *c = cmd_table[i];
        printf("complete -c kith -n __fish_use_subcommand -a %s -d \"%s\"\n", c->name, c->summary);
        for (const cmd_option *o = c->options; o && o->name; o++)
            printf("complete -c kith -n '__fish_seen_subcommand_from %s' -l %s%s\n", c->name, o->name,
                   o->arg ? " -r" : "");
        for (const cmd_option *o = cmd_node_options; c->node && o->name; o++)
            printf("complete -c kith -n '__fish_seen_subcommand_from %s' -l %s -r\n", c->name, o->name);
        for (size_t k = 0; c->node && k < kith_config_key_count; k++)
            printf("complete -c kith -n '__fish_seen_subcommand_from %s' -l %s\n", c->name,
                   kith_config_keys[k].name);
    }
}

/* ---- the commands ---- */

static int run_help(const cmd_args *a)
{
    if (a->rest_count == 0) {
        cmd_help_all();
        return EXIT_OK;
    }
    const cmd *c = cmd_find(a->rest[0]);
    if (!c)
        return cmd_fail(EXIT_USAGE, "help: there is no command '%s'; 'kith help' lists them", a->rest[0]);
    cmd_help(c);
    return EXIT_OK;
}

const cmd cmd_help_command = {
    .name = "help",
    .summary = "what a command does and takes",
    .usage = "[COMMAND]",
    .about = "Prints all commands, or everything about one.",
    .examples = "  kith help share\n",
    .args_max = 1,
    .run = run_help,
};

static int run_man(const cmd_args *a)
{
    const cmd *c = a->rest_count ? cmd_find(a->rest[0]) : NULL;
    if (a->rest_count && !c)
        return cmd_fail(EXIT_USAGE, "man: there is no command '%s'; 'kith help' lists them", a->rest[0]);
    if (c)
        man_one(c);
    else
        man_all();
    return EXIT_OK;
}

const cmd cmd_man_command = {
    .name = "man",
    .summary = "print a manual page",
    .usage = "[COMMAND]",
    .about = "Prints the manual page of kith or of one command as roff.",
    .examples = "  kith man share | man -l -\n",
    .args_max = 1,
    .run = run_man,
};

static int run_completion(const cmd_args *a)
{
    const char *shell = a->rest[0];
    if (strcmp(shell, "fish") == 0) {
        complete_fish();
        return EXIT_OK;
    }
    if (strcmp(shell, "zsh") == 0)
        printf("autoload -U +X bashcompinit && bashcompinit\n");
    else if (strcmp(shell, "bash") != 0)
        return cmd_fail(EXIT_USAGE, "completion: '%s' is none of bash, zsh, fish", shell);
    complete_bash();
    return EXIT_OK;
}

const cmd cmd_completion_command = {
    .name = "completion",
    .summary = "print a completion script for bash, zsh or fish",
    .usage = "SHELL",
    .about = "Prints a script that makes the shell complete kith's commands and options.",
    .examples = "  source <(kith completion bash)\n"
                "  kith completion fish > ~/.config/fish/completions/kith.fish\n",
    .args_min = 1,
    .args_max = 1,
    .run = run_completion,
};

static int run_version(const cmd_args *a)
{
    (void)a;
    printf("kith %s\n%s\n", KITH_VERSION, kith_crypto_version());
    return EXIT_OK;
}

const cmd cmd_version_command = {
    .name = "version",
    .summary = "print the versions of kith and of its crypto library",
    .usage = "",
    .about = "Prints the versions of kith and of the crypto library that it runs with.",
    .run = run_version,
};
