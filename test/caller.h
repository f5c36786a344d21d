/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Many nodes in one process that call one address, each over one connection at a time: what bench/load and tool_crowd are made of. One loop,
 * one thread. What cannot go on ends the process, with a line on stderr. */
#ifndef KITH_TEST_CALLER_H
#define KITH_TEST_CALLER_H

#include <uv.h>

#include "node/node.h"

typedef struct caller {
    kith_node *node;
    kith_signer *signer;
    kith_pq_signer *pq;
    kith_conn *conn; /* set and cleared by its owner, on DIAL and CLOSE */
    uv_tcp_t *tcp;   /* NULL: not connected */
    /* Takes the node's events, with caller_hook_up, caller_work and caller_hang_up where they ask for it. False: there was none. */
    bool (*events)(struct caller *);
} caller;

/* First of all. who: in front of what goes to stderr. address: /ip4/.../tcp/... */
void callers_start(const char *who, uv_loop_t *loop, const char *address);
_Noreturn void callers_die(const char *why);
const kith_env *callers_env(void);
kith_time callers_now(void);

/* The i-th caller; its key is made of name, 7 characters at most, and i. cfg: all but leaves and keys. own: with a post-quantum
 * identity, so kith's own channels. */
void caller_init(caller *c, const char *name, size_t i, kith_node_config *cfg, bool own,
                 bool (*events)(caller *));
void caller_fini(caller *c);

void caller_dial(caller *c);                     /* drive it then, unless in its events */
void caller_hook_up(caller *c, kith_conn *conn); /* DIAL */
void caller_work(caller *c, kith_conn *conn);    /* WORK */
void caller_hang_up(caller *c, bool reset);      /* CLOSE; or to leave without a word */
void caller_drive(caller *c);                    /* after every call of its node */
void caller_tick(caller *c);                     /* now and then */

#endif
