/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What was said to kith get, but for the share itself (cmd/ticket_arg.h). */
#ifndef KITH_CMD_GET_OPTIONS_H
#define KITH_CMD_GET_OPTIONS_H

#include "cmd/cmd.h"
#include "cmd/sums.h"
#include "host/share_fetch.h"

typedef struct get_options {
    const char *dest; /* folder */
    bool yes;         /* take it unasked */
    bool discard, portable;
    sums_kind sums; /* to be printed */
    kith_share_clash clash;
    kith_durability durability;
    kith_share_select select;
    kith_ticket also[KITH_FETCH_SOURCES_MAX - 1]; /* of others who share the same; the caller wipes them */
    size_t also_count;
    unsigned long long wait_s; /* that a sharer is looked for */
    bool no_calls;             /* to remembered peers, for who has a code */
    bool swarm;                /* gives to others what it has */
    kith_time seed; /* and goes on with that for so long when it has all; KITH_NEVER: until Ctrl-C */
} get_options;

/* Strings live as long as args. out: zeroed. EXIT_OK, or it has complained. */
int get_options_read(const cmd_args *args, get_options *out);

/* --only and --exclude alone. out: zeroed. */
int get_options_select(const cmd_args *args, kith_share_select *out);

/* kith get --discard: the partial content of all shares in a folder. The exit code. */
int get_discard(const char *dest);

#endif
