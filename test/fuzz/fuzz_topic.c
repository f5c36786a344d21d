/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The door of the topics: any messages of any authors, memory that fails. What is taken is a message of kith and was not taken before; what the
 * authors make it remember has an end. */
#include "apps/topic.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WALL 1800000000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    kith_time now = KITH_SEC(1);
    if (kith_crypto_init())
        return 0;
    tape_env_init(&e, tape_u8(&t));
    kith_topic_door *d = kith_topic_door_new(&e.env, 1 + tape_u8(&t), WALL);
    while (d && t.len > 0) {
        uint8_t how = tape_u8(&t);
        kith_topic_author who = {.blocked = how % 16 == 15, .contact = how & 16};
        kith_gossip_event ev = {.topic = kith_bytes_str("a")};
        kith_message m;
        now += KITH_MS(tape_u8(&t));
        ev.from.len = ev.source.len = 36;
        kith_store_be32(ev.from.b, how & 32 ? tape_u32(&t) : tape_u8(&t));
        ev.data = tape_bytes(&t, how & 64 ? 0xffff : tape_u8(&t));
        if (how & 128)
            ev.source = ev.from;
        /* An author that a message names, so that some come further. */
        if (kith_message_parse(ev.data, &m) == KITH_OK && (how & 1)) {
            ev.from = m.source;
            ev.topic = m.topic;
            if (how & 2)
                who.pq = m.pq;
        }
        kith_topic_fate f = kith_topic_take(d, now, WALL + tape_u8(&t) * 1000u, &ev, &who, &m);
        assert((unsigned)f < KITH_TOPIC_FATES && (!who.blocked || f == KITH_TOPIC_BLOCKED));
        if (f == KITH_TOPIC_RAW)
            assert(m.type.len == 0 && m.payload.p == ev.data.p && m.payload.len == ev.data.len &&
                   who.pq.len == 0);
        if (f == KITH_TOPIC_TAKEN) {
            kith_message again;
            assert(m.type.len > 0 && kith_peer_id_eq(&m.source, &ev.from) &&
                   kith_bytes_eq(m.topic, ev.topic));
            f = kith_topic_take(d, now, m.time, &ev, &who, &again);
            assert(f == KITH_TOPIC_HAD || f == KITH_TOPIC_BUSY);
        }
        assert(kith_topic_blame(d, now, &ev.from) <= 0 && kith_topic_authors(d) <= KITH_TOPIC_AUTHORS_MAX);
    }
    kith_topic_door_free(d);
    assert(e.held == 0);
    return 0;
}
