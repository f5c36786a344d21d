/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* RPCs and messages of pubsub: what was checked can be walked, written again and read again. */
#include "proto/gossip_rpc.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(kith_bytes all, kith_bytes part)
{
    assert(part.len == 0 || (part.p >= all.p && part.p + part.len <= all.p + all.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_bytes rpc = kith_bytes_of(data, size);
    kith_err checked = kith_gossip_rpc_check(rpc);
    uint8_t *copy = malloc(2 * size + 64);
    size_t items = 0;
    for (int s = KITH_GOSSIP_SUBS; s <= KITH_GOSSIP_CONTROL; s++) {
        kith_gossip_reader r = kith_gossip_rpc_read(rpc, (kith_gossip_section)s);
        kith_gossip_item it;
        while (kith_gossip_rpc_next(&r, &it)) { /* also of what was refused: a walk ends, and stays inside */
            kith_bytes list = it.list, a, peer, record;
            items++;
            inside(rpc, it.raw);
            inside(rpc, it.topic);
            while (kith_gossip_list_next(it.kind, &list, &a)) {
                items++;
                inside(rpc, a);
                kith_gossip_peer_info(a, &peer, &record);
                inside(a, peer);
                inside(a, record);
            }
            kith_gossip_msg m;
            if (it.kind != KITH_GOSSIP_MSG || kith_gossip_msg_parse(it.raw, &m))
                continue;
            inside(it.raw, m.data);
            inside(it.raw, m.topic);
            kith_span scratch = kith_span_of(copy, it.raw.len + 64);
            kith_wr w = kith_wr_of(scratch);
            kith_gossip_msg_signed(&m, &w);
            assert(!w.bad);
            if (m.has_from && m.has_sig)
                (void)!kith_gossip_msg_verify(&m, scratch);
            /* Written again, from what was understood, it is understood the same. */
            kith_gossip_msg again;
            w = kith_wr_of(scratch);
            assert(kith_gossip_msg_put(&w, NULL, 0, m.data, m.topic) == KITH_OK ||
                   it.raw.len < m.data.len + m.topic.len);
            if (!w.bad) {
                assert(kith_gossip_msg_parse(kith_wr_bytes(&w), &again) == KITH_OK);
                assert(kith_bytes_eq(again.data, m.data) && kith_bytes_eq(again.topic, m.topic));
            }
        }
    }
    if (!checked)
        assert(items <= KITH_GOSSIP_ITEMS_MAX);
    free(copy);
    return 0;
}
