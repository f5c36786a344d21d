/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* /perf/1.0.0: upload, then download, as fast as the stream goes. libp2p perf spec. */
#ifndef KITH_PROTO_PERF_H
#define KITH_PROTO_PERF_H

#include "proto/stream.h"

#define KITH_PERF_ID "/perf/1.0.0"

typedef struct kith_perf kith_perf;

typedef struct kith_perf_result {
    uint64_t upload_bytes, download_bytes;
    kith_time
        upload_time; /* from the first byte sent to the first of the answer, or its end when it is empty */
    kith_time download_time; /* from then to the last byte */
} kith_perf_result;

kith_perf *kith_perf_client(const kith_env *env, uint64_t upload, uint64_t download); /* NULL: no memory */
kith_perf *kith_perf_server(const kith_env *env);
/* Bytes so far, for a progress line. */
void kith_perf_progress(const kith_perf *p, uint64_t *sent, uint64_t *received);
/* KITH_OK: complete (the client has seen the server's half-close), *out written. KITH_ESTATE: still
 * running. Else why it failed: KITH_EPROTO: an answer before our half-close, too long or too short, or no
 * 8-byte head; or what ended the stream. */
KITH_CHECK kith_err kith_perf_result_get(const kith_perf *p, kith_perf_result *out);

extern const kith_stream_ops kith_perf_ops; /* the machine is a kith_perf */

#endif
