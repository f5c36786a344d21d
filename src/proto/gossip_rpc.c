/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of pubsub. */
#include "proto/gossip_rpc.h"

#include <assert.h>

#include "wire/pb.h"

#define SIGN_PREFIX "libp2p-pubsub:"
#define TEST_EXTENSION 6492434 /* gossipsub v1.3, extensions.proto */

/* The field numbers of the protobufs (pubsub README, gossipsub v1.0 to v1.3). */
enum { RPC_SUB = 1, RPC_MSG = 2, RPC_CONTROL = 3 };
enum { SUB_ON = 1, SUB_TOPIC = 2 };
enum { MSG_FROM = 1, MSG_DATA = 2, MSG_SEQNO = 3, MSG_TOPIC = 4, MSG_SIG = 5, MSG_KEY = 6 };
enum { CTL_IHAVE = 1, CTL_IWANT = 2, CTL_GRAFT = 3, CTL_PRUNE = 4, CTL_IDONTWANT = 5, CTL_EXTENSIONS = 6 };
enum { IHAVE_TOPIC = 1, IHAVE_ID = 2, IDS_ID = 1, GRAFT_TOPIC = 1 };
enum { PRUNE_TOPIC = 1, PRUNE_PEER = 2, PRUNE_BACKOFF = 3, PEER_ID = 1, PEER_RECORD = 2 };

/* The field of an item's list. */
static uint32_t list_tag(kith_gossip_kind kind)
{
    switch (kind) {
    case KITH_GOSSIP_IHAVE:
        return IHAVE_ID;
    case KITH_GOSSIP_PRUNE:
        return PRUNE_PEER;
    case KITH_GOSSIP_IWANT:
    case KITH_GOSSIP_IDONTWANT:
        return IDS_ID;
    case KITH_GOSSIP_SUB:
    case KITH_GOSSIP_MSG:
    case KITH_GOSSIP_GRAFT:
    case KITH_GOSSIP_EXTENSIONS:
    case KITH_GOSSIP_TEST:
        break;
    }
    return 0;
}

bool kith_gossip_list_next(kith_gossip_kind kind, kith_bytes *list, kith_bytes *out)
{
    kith_rd r = kith_rd_of(*list);
    kith_pb_field f;
    uint32_t tag = list_tag(kind);
    while (kith_pb_next(&r, &f)) {
        if (f.tag != tag || f.wire != KITH_PB_BYTES)
            continue;
        *list = r.in;
        *out = f.data;
        return true;
    }
    *list = (kith_bytes){0};
    return false;
}

void kith_gossip_peer_info(kith_bytes info, kith_bytes *peer, kith_bytes *record)
{
    kith_rd r = kith_rd_of(info);
    kith_pb_field f;
    *peer = *record = (kith_bytes){0};
    while (kith_pb_next(&r, &f)) {
        if (f.tag == PEER_ID && f.wire == KITH_PB_BYTES)
            *peer = f.data;
        else if (f.tag == PEER_RECORD && f.wire == KITH_PB_BYTES)
            *record = f.data;
    }
}

/* One item from its own bytes. *bad: malformed. */
static void parse_item(kith_gossip_item *out, kith_gossip_kind kind, kith_bytes body, bool *bad)
{
    *out = (kith_gossip_item){.kind = kind, .raw = body, .list = body};
    if (kind == KITH_GOSSIP_MSG || kind == KITH_GOSSIP_TEST)
        return;
    kith_rd r = kith_rd_of(body);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        uint8_t wire = KITH_PB_BYTES;
        switch (kind) {
        case KITH_GOSSIP_SUB:
            if (f.tag == SUB_ON)
                out->on = f.num != 0, wire = KITH_PB_VARINT;
            else if (f.tag == SUB_TOPIC)
                out->topic = f.data;
            else
                continue;
            break;
        case KITH_GOSSIP_IHAVE:
            if (f.tag == IHAVE_TOPIC)
                out->topic = f.data;
            else if (f.tag != IHAVE_ID)
                continue;
            break;
        case KITH_GOSSIP_IWANT:
        case KITH_GOSSIP_IDONTWANT:
            if (f.tag != IDS_ID)
                continue;
            break;
        case KITH_GOSSIP_GRAFT:
            if (f.tag != GRAFT_TOPIC)
                continue;
            out->topic = f.data;
            break;
        case KITH_GOSSIP_PRUNE:
            if (f.tag == PRUNE_TOPIC)
                out->topic = f.data;
            else if (f.tag == PRUNE_BACKOFF)
                out->backoff_s = f.num, wire = KITH_PB_VARINT;
            else if (f.tag != PRUNE_PEER)
                continue;
            break;
        case KITH_GOSSIP_EXTENSIONS:
            if (f.tag != TEST_EXTENSION)
                continue;
            out->on = f.num != 0;
            wire = KITH_PB_VARINT;
            break;
        case KITH_GOSSIP_MSG:
        case KITH_GOSSIP_TEST:
            break;
        }
        if (f.wire != wire)
            *bad = true;
    }
    *bad |= r.bad;
}

kith_gossip_reader kith_gossip_rpc_read(kith_bytes rpc, kith_gossip_section section)
{
    return (kith_gossip_reader){
        .section = section, .rpc = kith_rd_of(rpc), .control = kith_rd_of((kith_bytes){0})};
}

/* As kith_gossip_rpc_next; bad: something was malformed. */
static bool next_item(kith_gossip_reader *r, kith_gossip_item *out, bool *bad)
{
    kith_pb_field f;
    for (;;) {
        while (kith_pb_next(&r->control, &f)) {
            if (f.tag < CTL_IHAVE || f.tag > CTL_EXTENSIONS)
                continue;
            if (f.wire != KITH_PB_BYTES) {
                *bad = true;
                continue;
            }
            static const kith_gossip_kind kinds[] = {
                [CTL_IHAVE] = KITH_GOSSIP_IHAVE,         [CTL_IWANT] = KITH_GOSSIP_IWANT,
                [CTL_GRAFT] = KITH_GOSSIP_GRAFT,         [CTL_PRUNE] = KITH_GOSSIP_PRUNE,
                [CTL_IDONTWANT] = KITH_GOSSIP_IDONTWANT, [CTL_EXTENSIONS] = KITH_GOSSIP_EXTENSIONS,
            };
            parse_item(out, kinds[f.tag], f.data, bad);
            return true;
        }
        *bad |= r->control.bad;
        if (!kith_pb_next(&r->rpc, &f))
            break;
        bool known = f.tag == RPC_SUB || f.tag == RPC_MSG || f.tag == RPC_CONTROL || f.tag == TEST_EXTENSION;
        if (known && f.wire != KITH_PB_BYTES)
            *bad = true;
        if (!known || f.wire != KITH_PB_BYTES)
            continue;
        if (f.tag == RPC_CONTROL) {
            if (r->section == KITH_GOSSIP_CONTROL)
                r->control = kith_rd_of(f.data);
            continue;
        }
        kith_gossip_section part = f.tag == RPC_SUB   ? KITH_GOSSIP_SUBS
                                   : f.tag == RPC_MSG ? KITH_GOSSIP_MSGS
                                                      : KITH_GOSSIP_CONTROL;
        if (part != r->section)
            continue;
        parse_item(out,
                   f.tag == RPC_SUB   ? KITH_GOSSIP_SUB
                   : f.tag == RPC_MSG ? KITH_GOSSIP_MSG
                                      : KITH_GOSSIP_TEST,
                   f.data, bad);
        return true;
    }
    *bad |= r->rpc.bad;
    return false;
}

bool kith_gossip_rpc_next(kith_gossip_reader *r, kith_gossip_item *out)
{
    bool bad = false;
    return next_item(r, out, &bad);
}

/* PeerInfos are walked again where they are used. */
static bool peers_well_formed(const kith_gossip_item *it)
{
    kith_bytes list = it->list, info;
    while (kith_gossip_list_next(KITH_GOSSIP_PRUNE, &list, &info)) {
        kith_rd r = kith_rd_of(info);
        kith_pb_field f;
        while (kith_pb_next(&r, &f)) {
            if ((f.tag == PEER_ID || f.tag == PEER_RECORD) && f.wire != KITH_PB_BYTES)
                return false;
        }
        if (r.bad)
            return false;
    }
    return true;
}

kith_err kith_gossip_rpc_check(kith_bytes rpc)
{
    if (rpc.len > KITH_GOSSIP_RPC_MAX)
        return KITH_ELIMIT;
    size_t items = 0;
    for (int part = KITH_GOSSIP_SUBS; part <= KITH_GOSSIP_CONTROL; part++) {
        kith_gossip_reader r = kith_gossip_rpc_read(rpc, (kith_gossip_section)part);
        kith_gossip_item it;
        bool bad = false;
        while (next_item(&r, &it, &bad)) {
            kith_gossip_msg m;
            if (bad || (it.kind == KITH_GOSSIP_MSG && kith_gossip_msg_parse(it.raw, &m)))
                return KITH_EPROTO;
            if (it.kind == KITH_GOSSIP_PRUNE && !peers_well_formed(&it))
                return KITH_EPROTO;
            kith_bytes list = it.list, entry;
            if (list_tag(it.kind)) {
                while (items <= KITH_GOSSIP_ITEMS_MAX && kith_gossip_list_next(it.kind, &list, &entry))
                    items++;
            }
            if (++items > KITH_GOSSIP_ITEMS_MAX)
                return KITH_ELIMIT;
        }
        if (bad)
            return KITH_EPROTO;
    }
    return KITH_OK;
}

/* ---- a message ---- */

kith_err kith_gossip_msg_parse(kith_bytes raw, kith_gossip_msg *out)
{
    kith_gossip_msg m = {.raw = raw};
    kith_rd r = kith_rd_of(raw);
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag < MSG_FROM || f.tag > MSG_KEY)
            continue;
        if (f.wire != KITH_PB_BYTES)
            return KITH_EPROTO;
        switch (f.tag) {
        case MSG_FROM:
            m.from = f.data, m.has_from = true;
            break;
        case MSG_DATA:
            m.data = f.data;
            break;
        case MSG_SEQNO:
            m.seqno = f.data, m.has_seqno = true;
            break;
        case MSG_TOPIC:
            m.topic = f.data;
            break;
        case MSG_SIG:
            m.sig = f.data, m.has_sig = true;
            break;
        case MSG_KEY:
            m.key = f.data, m.has_key = true;
            break;
        }
    }
    if (r.bad)
        return KITH_EPROTO;
    *out = m;
    return KITH_OK;
}

void kith_gossip_msg_signed(const kith_gossip_msg *m, kith_wr *w)
{
    kith_put_str(w, SIGN_PREFIX);
    /* The last of each known field, in order; what is not there has no view. An empty field that is there has one. */
    for (uint32_t tag = MSG_FROM; tag <= MSG_TOPIC; tag++) {
        kith_rd r = kith_rd_of(m->raw);
        kith_pb_field f, last = {0};
        while (kith_pb_next(&r, &f)) {
            if (f.tag == tag)
                last = f;
        }
        if (last.tag)
            kith_pb_put_bytes(w, tag, last.data);
    }
    kith_rd r = kith_rd_of(m->raw);
    kith_pb_field f;
    for (kith_bytes at = r.in; kith_pb_next(&r, &f); at = r.in) {
        if (f.tag > MSG_KEY)
            kith_put_bytes(w, kith_bytes_of(at.p, at.len - r.in.len));
    }
}

kith_err kith_gossip_msg_verify(const kith_gossip_msg *m, kith_span scratch)
{
    kith_peer_id from, owner;
    kith_err e = kith_peer_id_parse(m->from, &from);
    if (e)
        return KITH_EFORMAT;
    kith_bytes key = m->has_key ? m->key : kith_peer_id_inline_key(&from);
    e = kith_peer_id_of_key(key, &owner);
    if (e)
        return KITH_EFORMAT;
    if (!kith_peer_id_eq(&from, &owner))
        return KITH_EAUTH;
    kith_wr w = kith_wr_of(scratch);
    kith_gossip_msg_signed(m, &w);
    assert(!w.bad);
    e = kith_pubkey_verify(key, kith_wr_bytes(&w), m->sig);
    return e == KITH_EFORMAT ? KITH_ECRYPTO : e;
}

kith_err kith_gossip_msg_put(kith_wr *w, const kith_signer *signer, uint64_t seqno, kith_bytes data,
                             kith_bytes topic)
{
    static const char prefix[] = SIGN_PREFIX;
    size_t start = w->len;
    if (signer) { /* what is signed is written in place; the prefix goes again */
        uint8_t pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN], sig[KITH_ED25519_SIG_LEN];
        uint8_t be[KITH_GOSSIP_SEQNO_LEN];
        kith_peer_id from;
        kith_signer_public(signer, pub);
        kith_pubkey_ed25519(pub, key);
        kith_err e = kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &from);
        if (e)
            return e;
        kith_put_str(w, prefix);
        kith_pb_put_bytes(w, MSG_FROM, kith_peer_id_bytes(&from));
        kith_pb_put_bytes(w, MSG_DATA, data);
        kith_store_be64(be, seqno);
        kith_pb_put_bytes(w, MSG_SEQNO, kith_bytes_of(be, sizeof be));
        kith_pb_put_bytes(w, MSG_TOPIC, topic);
        if (w->bad)
            return KITH_ESPACE;
        e = kith_signer_sign(signer, kith_bytes_of(w->out.p + start, w->len - start), sig);
        if (e)
            return e;
        w->len -= sizeof prefix - 1;
        memmove(w->out.p + start, w->out.p + start + sizeof prefix - 1, w->len - start);
        kith_pb_put_bytes(w, MSG_SIG, kith_bytes_of(sig, sizeof sig));
    } else {
        kith_pb_put_bytes(w, MSG_DATA, data);
        kith_pb_put_bytes(w, MSG_TOPIC, topic);
    }
    return w->bad ? KITH_ESPACE : KITH_OK;
}

/* ---- writing ---- */

/* The head of a field of len bytes that the caller writes behind it. */
static void put_head(kith_wr *w, uint32_t tag, size_t len)
{
    kith_put_uvarint(w, tag << 3 | KITH_PB_BYTES);
    kith_put_uvarint(w, len);
}

void kith_gossip_put_sub(kith_wr *w, bool on, kith_bytes topic)
{
    put_head(w, RPC_SUB, kith_pb_num_len(SUB_ON, on) + kith_pb_bytes_len(SUB_TOPIC, topic.len));
    kith_pb_put_num(w, SUB_ON, on);
    kith_pb_put_bytes(w, SUB_TOPIC, topic);
}

void kith_gossip_put_test(kith_wr *w)
{
    kith_pb_put_bytes(w, TEST_EXTENSION, (kith_bytes){0});
}

void kith_gossip_put_control(kith_wr *w, kith_bytes control)
{
    kith_pb_put_bytes(w, RPC_CONTROL, control);
}

void kith_gossip_put_graft(kith_wr *control, kith_bytes topic)
{
    put_head(control, CTL_GRAFT, kith_pb_bytes_len(GRAFT_TOPIC, topic.len));
    kith_pb_put_bytes(control, GRAFT_TOPIC, topic);
}

void kith_gossip_put_prune(kith_wr *control, kith_bytes topic, kith_bytes peers, uint64_t backoff_s)
{
    size_t backoff = backoff_s ? kith_pb_num_len(PRUNE_BACKOFF, backoff_s) : 0;
    put_head(control, CTL_PRUNE, kith_pb_bytes_len(PRUNE_TOPIC, topic.len) + peers.len + backoff);
    kith_pb_put_bytes(control, PRUNE_TOPIC, topic);
    kith_put_bytes(control, peers);
    if (backoff_s)
        kith_pb_put_num(control, PRUNE_BACKOFF, backoff_s);
}

void kith_gossip_put_peer(kith_wr *peers, const kith_peer_id *peer, kith_bytes record)
{
    size_t len = kith_pb_bytes_len(PEER_ID, peer->len);
    put_head(peers, PRUNE_PEER, len + (record.len ? kith_pb_bytes_len(PEER_RECORD, record.len) : 0));
    kith_pb_put_bytes(peers, PEER_ID, kith_peer_id_bytes(peer));
    if (record.len)
        kith_pb_put_bytes(peers, PEER_RECORD, record);
}

void kith_gossip_put_ids(kith_wr *control, kith_gossip_kind kind, kith_bytes topic, const kith_bytes *ids,
                         size_t count)
{
    static const uint32_t fields[] = {[KITH_GOSSIP_IHAVE] = CTL_IHAVE,
                                      [KITH_GOSSIP_IWANT] = CTL_IWANT,
                                      [KITH_GOSSIP_IDONTWANT] = CTL_IDONTWANT};
    assert(kind == KITH_GOSSIP_IHAVE || kind == KITH_GOSSIP_IWANT || kind == KITH_GOSSIP_IDONTWANT);
    size_t len = kind == KITH_GOSSIP_IHAVE ? kith_pb_bytes_len(IHAVE_TOPIC, topic.len) : 0;
    for (size_t i = 0; i < count; i++)
        len += kith_pb_bytes_len(list_tag(kind), ids[i].len);
    put_head(control, fields[kind], len);
    if (kind == KITH_GOSSIP_IHAVE)
        kith_pb_put_bytes(control, IHAVE_TOPIC, topic);
    for (size_t i = 0; i < count; i++)
        kith_pb_put_bytes(control, list_tag(kind), ids[i]);
}

void kith_gossip_put_extensions(kith_wr *control, bool test)
{
    put_head(control, CTL_EXTENSIONS, test ? kith_pb_num_len(TEST_EXTENSION, 1) : 0);
    if (test)
        kith_pb_put_num(control, TEST_EXTENSION, 1);
}

size_t kith_gossip_msg_head(size_t len, uint8_t out[16])
{
    kith_wr w = kith_wr_of(kith_span_of(out, 16));
    kith_put_uvarint(&w, kith_pb_bytes_len(RPC_MSG, len));
    put_head(&w, RPC_MSG, len);
    assert(!w.bad);
    return w.len;
}
