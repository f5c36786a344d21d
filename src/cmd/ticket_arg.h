/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What `kith get` is to fetch: a ticket, a share string or a code, from wherever the person has put it. */
#ifndef KITH_CMD_TICKET_ARG_H
#define KITH_CMD_TICKET_ARG_H

#include "apps/share_code.h"
#include "apps/share_ticket.h"
#include "cmd/cmd.h"
#include "host/share_string.h"

typedef enum ticket_arg_kind { ARG_TICKET, ARG_CODE, ARG_STRING } ticket_arg_kind;

typedef struct ticket_arg {
    ticket_arg_kind kind;
    kith_code code;
    kith_ticket ticket;       /* of a string: peer and addresses */
    kith_share_string string; /* what it proves */
} ticket_arg;

/* From the arguments, joined; from stdin when the only one is "-"; else from the descriptor of --code-fd, from KITH_CODE, or, on a terminal, in
 * answer to a question. What stood in the arguments and in the environment is wiped there, so that `ps` does not show it. Says what was put
 * right. EXIT_OK, or it has complained. The caller wipes *out. */
int ticket_arg_read(const cmd_args *args, ticket_arg *out);
/* Takes an argument out of what `ps` and /proc show. */
void ticket_arg_scrub(const char *arg);

#endif
