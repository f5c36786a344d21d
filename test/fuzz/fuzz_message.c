/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages: what parses keeps to its bounds and its views lie within the input. */
#include <assert.h>

#include "crypto/crypto.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(kith_bytes view, kith_bytes in)
{
    assert(view.len == 0 || (view.p >= in.p && view.len <= in.len && view.p + view.len <= in.p + in.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_bytes in = kith_bytes_of(data, size);
    kith_message m;
    if (kith_crypto_init() || kith_message_parse(in, &m))
        return 0;
    inside(m.body, in);
    inside(m.pq_key, in);
    inside(m.pq_sig, in);
    inside(m.type, m.body);
    inside(m.topic, m.body);
    inside(m.payload, m.body);
    assert(m.payload.len <= KITH_MESSAGE_PAYLOAD_MAX && m.ttl >= 1 && m.ttl <= KITH_MESSAGE_TTL_MAX);
    assert(m.priority <= KITH_MESSAGE_PRIORITY_MAX && kith_message_type_ok(m.type));
    assert((m.to.len > 0) != (m.topic.len > 0) && (m.topic.len == 0 || kith_message_topic_ok(m.topic)));
    assert((m.pq.len > 0) == (m.pq_key.len > 0));
    kith_err fresh = kith_message_fresh(&m, m.time), verified = kith_message_verify(&m);
    assert(!fresh);
    assert(verified != KITH_EFORMAT);
    return 0;
}
