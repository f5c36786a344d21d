/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two small stream machines for tests: one that echoes, one that sends a numbered amount and checks what comes back. */
#ifndef SIM_ECHO_H
#define SIM_ECHO_H

#include "base/buf.h"
#include "proto/stream.h"

#define SIM_ECHO_ID "/kith-test/echo/1"

typedef struct sim_echo sim_echo;
extern const kith_stream_ops sim_echo_ops;
/* For kith_protocol.accept; ctx is the kith_env. */
void *sim_echo_accept(void *ctx, const kith_stream_info *info);

/* Sends `total` bytes of a stream that `seed` determines, half-closes, and expects the same back. slow: how many received bytes it
 * lets go only when told (sim_caller_eat). The struct is the caller's and outlives its stream. */
typedef struct sim_caller {
    uint64_t seed, total, sent, got;
    bool wrong, eof, gone, slow;
    uint64_t uneaten; /* with slow */
    kith_err err;
    kith_time first_byte, last_byte;
    const kith_env *env; /* of sim_caller_new */
} sim_caller;
extern const kith_stream_ops sim_caller_ops;
/* The same on the heap, freed with its stream. NULL: no memory. */
sim_caller *sim_caller_new(const kith_env *env, uint64_t seed, uint64_t total);
extern const kith_stream_ops sim_caller_own_ops;

#endif
