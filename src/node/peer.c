/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What we tell peers about ourselves and remember of what they tell: identify, push, signed peer records. */
#include <assert.h>

#include "node/node_impl.h"
#include "proto/rekey.h"

static const kith_bytes ask_id[] = {{(const uint8_t *)KITH_IDENTIFY_ID, sizeof KITH_IDENTIFY_ID - 1}};
static const kith_bytes push_id[] = {
    {(const uint8_t *)KITH_IDENTIFY_PUSH_ID, sizeof KITH_IDENTIFY_PUSH_ID - 1}};

void kith_identify_ask_(kith_conn *c, kith_time now)
{
    kith_identify *listener;
    kith_stream *s;
    kith_err e = kith_identify_listener(&c->node->env, now, &c->peer, &listener);
    if (!e)
        e = kith_stream_open_(c, now, ask_id, 1, &kith_identify_ops, listener, NULL, ROLE_IDENTIFY_ASK, &s);
    if (!e)
        return;
    c->unasked = e;
    kith_note_(c->node, &c->note, CONN_UNASKED);
}

/* Seals our peer record afresh when addresses changed. */
static kith_bytes record_of(kith_node *n, kith_time now)
{
    if (!n->record) {
        uint8_t buf[KITH_ENVELOPE_MAX];
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        uint64_t seq = n->clock_offset + now / KITH_SEC(1);
        n->record_seq = seq > n->record_seq ? seq : n->record_seq + 1;
        if (kith_peer_record_seal(n->cfg.signer, n->record_seq, n->addrs, n->addr_count, &w) || w.bad)
            return (kith_bytes){0};
        n->record = kith_mem_new(&n->env, w.len);
        if (!n->record)
            return (kith_bytes){0};
        memcpy(n->record, buf, w.len);
        n->record_len = w.len;
    }
    return kith_bytes_of(n->record, n->record_len);
}

void *kith_identify_speak_(kith_conn *c, kith_time now)
{
    kith_node *n = c->node;
    kith_bytes ids[PROTOCOLS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < n->row_count; i++) {
        if (n->rows[i])
            ids[count++] = n->rows[i]->p.id;
    }
    kith_identify_local local = {
        .pubkey = kith_bytes_of(n->pubkey, sizeof n->pubkey),
        .addrs = n->addrs,
        .addr_count = n->addr_count,
        .observed = kith_maddr_bytes(&c->remote),
        .protocols = ids,
        .protocol_count = count,
        .agent = kith_bytes_str(n->agent),
        .record = record_of(n, now),
    };
    kith_identify *speaker = NULL;
    if (kith_identify_speaker(&n->env, &local, &speaker))
        return NULL;
    return speaker;
}

void kith_identify_push_(kith_conn *c, kith_time now)
{
    kith_stream *s;
    c->push_due = false;
    if (c->state != CONN_OPEN)
        return; /* it will hear the news in identify */
    if (!c->identified || c->pushing) {
        c->push_due = true; /* once identify, or the push under way, is over */
        return;
    }
    if (!kith_conn_supports(c, push_id[0]))
        return;
    void *speaker = kith_identify_speak_(c, now);
    if (speaker && kith_stream_open_(c, now, push_id, 1, &kith_identify_ops, speaker, NULL, ROLE_PUSH_SAY,
                                     &s) == KITH_OK) {
        c->pushing = true;
        kith_conn_pump_(c, now);
    }
}

/* Keeps the ids that fit; a peer cannot make us remember more. */
static void keep_protocols(kith_conn *c, const kith_identify_info *info)
{
    kith_node *n = c->node;
    size_t len = 0, count = 0;
    for (; count < info->protocol_count; count++) {
        size_t id_len = info->protocols[count].len;
        if (len + kith_uvarint_len(id_len) + id_len > PEER_PROTOCOLS_MAX)
            break;
        len += kith_uvarint_len(id_len) + id_len;
    }
    uint8_t *p = len ? kith_mem_new(&n->env, len) : NULL;
    if (len && !p)
        return;
    kith_wr w = kith_wr_of(kith_span_of(p, len));
    for (size_t i = 0; i < count; i++)
        kith_put_lp(&w, info->protocols[i]);
    kith_mem_free(&n->env, c->protocols, c->protocols_len);
    c->protocols = p;
    c->protocols_len = len;
}

bool kith_identify_heard_(kith_stream *s, const kith_identify_info **info, kith_err *err)
{
    kith_conn *c = s->conn;
    *err = kith_identify_result(s->machine, info);
    if (*err == KITH_ESTATE)
        *err = s->err ? s->err : KITH_ERESET;
    if (*err)
        return false;
    if ((*info)->has_agent) {
        size_t len = (*info)->agent.len < sizeof c->agent - 1 ? (*info)->agent.len : sizeof c->agent - 1;
        if (len)
            memcpy(c->agent, (*info)->agent.p, len);
        c->agent[len] = '\0';
    }
    if ((*info)->has_protocols)
        keep_protocols(c, *info);
    c->rekey_served = kith_conn_supports(c, kith_bytes_str(KITH_REKEY_ID));
    return true;
}

bool kith_conn_supports(const kith_conn *c, kith_bytes protocol)
{
    kith_rd r = kith_rd_of(kith_bytes_of(c->protocols, c->protocols_len));
    while (r.in.len > 0 && !r.bad) {
        if (kith_bytes_eq(kith_get_lp(&r), protocol))
            return true;
    }
    return false;
}

size_t kith_conn_protocols(const kith_conn *c, kith_bytes *out, size_t max)
{
    kith_rd r = kith_rd_of(kith_bytes_of(c->protocols, c->protocols_len));
    size_t n = 0;
    while (r.in.len > 0 && !r.bad && n < max)
        out[n++] = kith_get_lp(&r);
    return n;
}
