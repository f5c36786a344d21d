/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kademlia's messages: whatever is taken can be walked, and what is written again is read as the same. */
#include "proto/kad_msg.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const kith_kad_msg *m, kith_kad_list list)
{
    static uint8_t buf[1 << 20];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_kad_walk walk = kith_kad_walk_of(m, list);
    kith_kad_peer p, q;
    unsigned n = 0;
    kith_kad_put_head(&w, m->type, m->key);
    if (m->has_record)
        kith_kad_put_record(&w, m->record_key, m->value, n);
    while (kith_kad_walk_next(&walk, &p)) {
        n++;
        assert(p.id.len > 0 && p.id.len <= KITH_PEER_ID_MAX && p.addrs.len <= KITH_ADDRS_LEN_MAX);
        assert(kith_kad_put_peer(&w, list, &p.id, kith_addrs_bytes(&p.addrs), n & 1));
    }
    assert(n <= KITH_KAD_PEERS_MAX && !w.bad);
    kith_kad_msg again;
    kith_err e = kith_kad_msg_parse(kith_wr_bytes(&w), &again);
    assert(!e && again.type == m->type && kith_bytes_eq(again.key, m->key) &&
           again.has_record == m->has_record);
    assert(kith_bytes_eq(again.value, m->value) && kith_bytes_eq(again.record_key, m->record_key));
    kith_kad_walk first = kith_kad_walk_of(m, list), second = kith_kad_walk_of(&again, list);
    while (kith_kad_walk_next(&first, &p)) {
        bool there = kith_kad_walk_next(&second, &q);
        assert(there && kith_peer_id_eq(&p.id, &q.id));
        assert(kith_bytes_eq(kith_addrs_bytes(&p.addrs), kith_addrs_bytes(&q.addrs)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_kad_msg m;
    if (kith_kad_msg_parse(kith_bytes_of(data, size), &m))
        return 0;
    walk(&m, KITH_KAD_CLOSER);
    walk(&m, KITH_KAD_PROVIDERS);
    return 0;
}
