/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Transfers of this home that run in processes of their own (kith share, kith get): each has a control socket (host/control.h) in a folder,
 * named after its process and its direction, and whoever looks finds them there.
 *
 *     STATE/transfers/4711.up       a sharer
 *     STATE/transfers/4712.down     a receiver
 *
 * A socket whose process is gone is removed by the next who looks. While a job moves data its socket may be executed by its
 * owner, and by its group while it moves some the other way too (a receiver that gives to others): so that all can count with how many they share a
 * limit, without asking each. The folder is for nobody else anyway. */
#ifndef KITH_HOST_JOBS_H
#define KITH_HOST_JOBS_H

#include "host/control.h"

#define KITH_JOBS_MAX 256          /* of a folder that are looked at, in no order */
#define KITH_JOBS_ANSWER_MAX 65536 /* bytes of one; a longer one counts as none */

typedef struct kith_jobs kith_jobs;

/* Opens this process's socket in the folder, which must be there. NULL: *why says it. One per process and direction. */
kith_jobs *kith_jobs_open(uv_loop_t *loop, const char *folder, bool up, const kith_rpc_method *methods,
                          void *ctx, const char **why);
/* Whether it moves data from now on, its own way, and the other. At first it does not. */
void kith_jobs_active(kith_jobs *j, bool active, bool other);
/* Removes the socket, closes once clients have their answers; the loop must run on. NULL is fine. */
void kith_jobs_close(kith_jobs *j);

/* One that runs; fd is a connection to it, and fn's to close. */
typedef void (*kith_jobs_fn)(void *ctx, long pid, bool up, int fd);
/* Looks who is there, in the order of process ids. Returns how many there were. */
size_t kith_jobs_each(const char *folder, kith_jobs_fn fn, void *ctx);
/* How many move data that way; cheap. */
size_t kith_jobs_moving(const char *folder, bool up);

/* Asks over a connection and waits so many milliseconds at most. params is taken, and may be NULL. The whole answer, {"result"} or {"error"}; NULL: there was none in
 * time, or it was none. */
json_t *kith_jobs_ask(int fd, const char *method, json_t *params, int ms);

#endif
