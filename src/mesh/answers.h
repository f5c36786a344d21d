/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The other side of mesh/request.h: streams that peers open to ask, any number of questions on each, answered in order.
 *
 * An answer is made when the stream has room for it: so a peer that does not read gets no further one computed, and what it sends meanwhile
 * waits in its stream, up to one question and KITH_ANSWERS_AHEAD bytes; beyond that the stream is reset.
 *
 * Memory: of each stream, at most what waits so, and one answer; streams_max of them. */
#ifndef KITH_MESH_ANSWERS_H
#define KITH_MESH_ANSWERS_H

#include "proto/stream.h"

#define KITH_ANSWERS_AHEAD 65536
#define KITH_ANSWERS_IDLE \
    KITH_SEC(60) /* without a question the stream is reset; go-libp2p-kad-dht dht_net.go */

typedef struct kith_answers_config {
    kith_env env;
    const kith_env *
        stream_env; /* of the streams' machines: the node's (kith_node_env), so that they count against its memory */
    size_t question_max, answer_max; /* bytes */
    uint32_t streams_max;            /* of all peers */
    /* Answers a question, in w, which has room for answer_max; nothing written: there is no answer to it. Anything but KITH_OK resets the
     * stream. Called inside calls of the node: it must not call it. */
    kith_err (*answer)(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes question, kith_wr *w);
    void *ctx;
} kith_answers_config;

typedef struct kith_answers kith_answers;

kith_answers *kith_answers_new(const kith_answers_config *cfg); /* NULL: no memory */
/* After the node is gone, and all streams with it. */
void kith_answers_free(kith_answers *a);
size_t kith_answers_count(const kith_answers *a);

/* For the node's protocol row: accept, with the kith_answers as ctx, and its ops. */
void *kith_answers_accept(void *ctx, const kith_stream_info *info);
extern const kith_stream_ops kith_answers_ops;

#endif
