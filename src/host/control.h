/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control socket: JSON-RPC lines over a unix socket that only this user can open. docs/protocols/control.md.
 *
 * One running node per home: who holds the lock on kith.pid is it, and may replace a socket that an earlier one left
 * behind. Caps: KITH_CONTROL_CLIENTS_MAX clients, KITH_RPC_LINE_MAX bytes of a request, KITH_RPC_CALLS_MAX requests of a
 * client under way, KITH_CONTROL_OUT_MAX bytes that a client has not read (then it is cut off). */
#ifndef KITH_HOST_CONTROL_H
#define KITH_HOST_CONTROL_H

#include <uv.h>

#include "host/rpc.h"

#define KITH_CONTROL_CLIENTS_MAX 32
#define KITH_CONTROL_OUT_MAX (4u * 1024 * 1024)

/* Becomes the one node of this home: locks kith.pid and writes our pid into it. The descriptor, to be kept open as long as
 * the node lives; or -errno. -EWOULDBLOCK: another node has it, *pid says which (0: unknown). */
int kith_control_lock(const char *path, long *pid);
/* Waits until nobody holds the lock, at most so many milliseconds. Whether it is free. */
bool kith_control_wait_unlocked(const char *path, int ms);

typedef struct kith_control kith_control;

/* Needs the lock. 0, or a uv error. */
int kith_control_open(uv_loop_t *loop, const char *path, const kith_rpc_method *methods, void *ctx,
                      kith_control **out);
/* Closes socket and clients once their answers are written, and removes the file; the loop must run on. NULL is fine. */
void kith_control_close(kith_control *k);

/* A connection to a running node: a descriptor; or -errno (-ENOENT, -ECONNREFUSED: there is none). Blocking. */
int kith_control_connect(const char *path);

#endif
