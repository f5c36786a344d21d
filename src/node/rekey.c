/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* When a connection changes its keys: the side that dialled asks, by time and by bytes, a peer that serves it; the other answers, and
 * not too often. What may go wrong on the way leaves the old keys in use. docs/protocols/rekey.md. */
#include "proto/rekey.h"
#include "crypto/crypto.h"
#include "node/node_impl.h"

static const kith_bytes rekey_id[] = {{(const uint8_t *)KITH_REKEY_ID, sizeof KITH_REKEY_ID - 1}};

static kith_rekey_config config(const kith_conn *c)
{
    return (kith_rekey_config){.env = &c->node->env,
                               .kem = c->suite->kem,
                               .hash = kith_noise_hash(c->noise),
                               .chain = kith_noise_chain(c->noise)};
}

static uint64_t bytes_since(const kith_conn *c)
{
    return c->bytes_in + c->bytes_out - c->keyed_bytes;
}

static kith_time due(const kith_conn *c)
{
    const kith_node_config *cfg = &c->node->cfg;
    kith_time at = kith_time_after(c->keyed_at, cfg->rekey_after_time);
    if (bytes_since(c) >= cfg->rekey_after_bytes)
        at = c->keyed_at;
    return at < c->rekey_retry_at && at != KITH_NEVER ? c->rekey_retry_at : at;
}

kith_time kith_rekey_deadline_(const kith_conn *c)
{
    bool may = c->state == CONN_OPEN && !c->inbound && c->rekey_served && !c->rekeying &&
               !c->node->stopping && !kith_noise_changing(c->noise);
    return may ? due(c) : KITH_NEVER;
}

static void ask(kith_conn *c, kith_time now)
{
    kith_rekey_config cfg = config(c);
    kith_rekey *r = kith_rekey_new(&cfg, now);
    kith_stream *s;
    c->rekeying = true;
    if (!r || kith_stream_open_(c, now, rekey_id, 1, &kith_rekey_ops, r, NULL, ROLE_REKEY_ASK, &s)) {
        c->rekeying = false;
        c->rekey_retry_at = kith_time_after(now, REKEY_RETRY);
    }
}

void kith_rekey_pump_(kith_conn *c, kith_time now)
{
    if (kith_noise_changes(c->noise) != c->rekeys) {
        c->rekeys = kith_noise_changes(c->noise);
        c->keyed_at = now;
        c->keyed_bytes = c->bytes_in + c->bytes_out;
        kith_trace_line(&c->node->env, "rekey", "the connection has new keys");
    }
    if (now >= kith_rekey_deadline_(c))
        ask(c, now);
}

void *kith_rekey_answer_(kith_conn *c, kith_time now, bool *often)
{
    /* One who dialled is not asked, so two can never ask each other at once. */
    if (!c->inbound || kith_noise_changing(c->noise))
        return NULL;
    if (bytes_since(c) < REKEY_FREE_BYTES) {
        *often = !kith_rate_take(&c->rekey_rate, now, c->node->cfg.limits.rate_rekeys);
        if (*often)
            return NULL;
        /* After much traffic it is not charged: a host would take a transfer for one whose every byte is dear. */
        c->cost += COST_HANDSHAKE;
    }
    kith_rekey_config cfg = config(c);
    return kith_rekey_new_answerer(&cfg, now);
}

kith_err kith_rekey_heard_(kith_stream *s)
{
    kith_noise_keys keys;
    if (!kith_rekey_take(s->machine, &keys))
        return KITH_OK;
    kith_err e = kith_noise_prepare(s->conn->noise, &keys, s->role == ROLE_REKEY_ASK);
    kith_wipe(&keys, sizeof keys);
    if (!e)
        s->conn->rekey_by = s;
    return e;
}

void kith_rekey_over_(kith_stream *s, kith_time now)
{
    kith_conn *c = s->conn;
    bool given_up = true;
    if (c->rekey_by == s) {
        /* Who leads marks the change before it ends the stream, so one that ends without the mark was given up by both. */
        given_up = kith_noise_drop(c->noise);
        c->rekey_by = NULL;
    }
    if (s->role != ROLE_REKEY_ASK)
        return;
    c->rekeying = false;
    if (given_up)
        c->rekey_retry_at = kith_time_after(now, REKEY_RETRY);
}
