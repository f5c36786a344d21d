/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Completion, as libedit wants it: a function that gives one candidate after another. */
#include "cmd/console_complete.h"

#include <editline/readline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/topics.h"

#define FOUND_MAX 256 /* candidates of one word */

const char *const console_words[] = {"msg", "send", "sub", "unsub", "help", "quit", NULL};

static const session *the_session;
static const kith_service *the_service;

static struct {
    char *words[FOUND_MAX];
    size_t count, given;
} found;

/* A word that begins as what was typed does. */
static void offer(const char *typed, const char *prefix, const char *word)
{
    char text[512];
    if (snprintf(text, sizeof text, "%s%s", prefix, word) >= (int)sizeof text ||
        strncmp(text, typed, strlen(typed)) != 0 || found.count == FOUND_MAX)
        return;
    for (size_t i = 0; i < found.count; i++) {
        if (strcmp(found.words[i], text) == 0)
            return;
    }
    found.words[found.count] = strdup(text);
    found.count += found.words[found.count] != NULL;
}

static void offer_commands(const char *typed)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        if (cmd_table[i]->call)
            offer(typed, "", cmd_table[i]->name);
    }
    for (size_t i = 0; console_words[i]; i++)
        offer(typed, "", console_words[i]);
}

static void offer_topics(const char *typed, const char *prefix)
{
    const kith_topics *t = kith_service_topics(the_service);
    for (const char *name = NULL; t && (name = kith_topics_next(t, name));)
        offer(typed, prefix, name);
}

/* Names that the user gave, and whoever is connected. */
static void offer_peers(const char *typed)
{
    for (const kith_trust_row *r = NULL; (r = kith_trust_next(the_session->trust, r));) {
        if (r->name[0])
            offer(typed, "", r->name);
    }
    char text[KITH_PEER_ID_TEXT_MAX + 1];
    kith_node *n = kith_host_node(the_session->host);
    for (kith_conn *c = NULL; *typed && (c = kith_node_conn_next(n, c));) {
        session_peer_text(c, text);
        offer(typed, "", text);
    }
}

/* The word so many before the one that ends at `end`; "" for none. */
static void word_before(size_t end, char out[64])
{
    const char *line = rl_line_buffer;
    while (end > 0 && line[end - 1] == ' ')
        end--;
    size_t begin = end;
    while (begin > 0 && line[begin - 1] != ' ')
        begin--;
    snprintf(out, 64, "%.*s", (int)(end - begin), line + begin);
}

static void gather(const char *typed, size_t start)
{
    char before[64], first[64] = "";
    size_t lead = strspn(rl_line_buffer, " ");
    word_before(start, before);
    if (!before[0]) {
        offer_commands(typed);
        return;
    }
    snprintf(first, sizeof first, "%.*s", (int)strcspn(rl_line_buffer + lead, " "), rl_line_buffer + lead);
    const cmd *c = cmd_find(first);
    bool topics = strcmp(first, "topics") == 0;
    if (strcmp(first, "help") == 0) {
        offer_commands(typed);
    } else if (strncmp(typed, "--", 2) == 0) {
        for (const cmd_option *o = c ? c->options : NULL; o && o->name; o++)
            offer(typed, "--", o->name);
        if (strcmp(first, "msg") == 0)
            offer(typed, "--", "topic");
    } else if (strcmp(first, "sub") == 0 || strcmp(first, "unsub") == 0 || strcmp(before, "--topic") == 0) {
        offer_topics(typed, *typed == '#' ? "#" : "");
    } else if (topics && strcmp(before, "topics") == 0) {
        offer(typed, "", "sub");
        offer(typed, "", "unsub");
    } else if (topics) {
        offer_topics(typed, *typed == '#' ? "#" : "");
    } else if (*typed == '#') {
        offer_topics(typed, "#");
    } else {
        offer_peers(typed);
    }
}

static char *next(const char *typed, int state)
{
    (void)typed;
    if (state == 0)
        found.given = 0;
    return found.given < found.count ? found.words[found.given++] : NULL; /* libedit frees it */
}

static char **complete(const char *typed, int start, int end)
{
    (void)end;
    found.count = 0;
    rl_attempted_completion_over = 1; /* no names of files */
    gather(typed, start > 0 ? (size_t)start : 0);
    return found.count ? rl_completion_matches(typed, next) : NULL;
}

void console_complete_begin(const session *s, const kith_service *service)
{
    the_session = s;
    the_service = service;
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t";
}
