/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The hostile peer's honest half: everything up to the first yamux frame. */
#include "sim_hostile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "proto/mss.h"

#define PAYLOAD_KEPT (64u * 1024)

struct sim_hostile {
    kith_env env;
    uint64_t rng;
    kith_signer *signer;
    kith_noise_identity *identity;
    kith_peer_id id;
    uint8_t key[KITH_PUBKEY_ED25519_LEN];
    kith_mss *mss;
    kith_noise *noise;
    bool dialer, failed, mute;
    uint32_t next_id;
    size_t record_max;
    uint8_t *plain; /* waits to be sealed */
    size_t plain_len, plain_cap;
    uint8_t head[KITH_YAMUX_HDR_LEN];
    size_t head_len;
    uint32_t body_left;
    sim_heard heard;
    uint8_t payload[PAYLOAD_KEPT];
    size_t payload_len;
    bool payload_taken;
};

static void dice(void *ctx, kith_span out)
{
    sim_hostile *h = ctx;
    for (size_t i = 0; i < out.len; i++) {
        h->rng = h->rng * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(h->rng >> 56);
    }
}

static const kith_bytes suite_id[] = {{(const uint8_t *)"/noise", 6}};
static const kith_bytes muxer[] = {{(const uint8_t *)KITH_YAMUX_ID, sizeof KITH_YAMUX_ID - 1}};

static int find_suite(void *ctx, kith_bytes id)
{
    (void)ctx;
    return kith_bytes_eq(id, suite_id[0]) ? 0 : -1;
}

sim_hostile *sim_hostile_new(uint64_t seed, bool dialer)
{
    if (kith_crypto_init())
        abort();
    sim_hostile *h = calloc(1, sizeof *h);
    assert(h);
    h->env = (kith_env){.alloc = {.fn = kith_heap}, .rand = {.ctx = h, .fn = dice}};
    h->rng = seed * 0x9e3779b97f4a7c15u + 1;
    h->dialer = dialer;
    h->next_id = dialer ? 1 : 2;
    h->record_max = KITH_NOISE_PLAIN_MAX;
    uint8_t secret[KITH_ED25519_SEED_LEN], pub[KITH_ED25519_PUB_LEN];
    dice(h, kith_span_of(secret, sizeof secret));
    h->signer = kith_signer_new(secret);
    assert(h->signer);
    kith_signer_public(h->signer, pub);
    kith_pubkey_ed25519(pub, h->key);
    kith_err e = kith_peer_id_of_key(kith_bytes_of(h->key, sizeof h->key), &h->id);
    assert(!e);
    (void)e;
    h->identity = kith_noise_identity_new(&h->env, h->signer, NULL);
    h->mss = dialer ? kith_mss_dial(&h->env, suite_id, 1) : kith_mss_listen(&h->env, find_suite, NULL);
    assert(h->identity && h->mss);
    return h;
}

void sim_hostile_free(sim_hostile *h)
{
    if (!h)
        return;
    kith_mss_free(h->mss);
    kith_noise_free(h->noise);
    kith_noise_identity_free(h->identity);
    kith_signer_free(h->signer);
    free(h->plain);
    free(h);
}

const kith_peer_id *sim_hostile_id(const sim_hostile *h)
{
    return &h->id;
}

kith_bytes sim_hostile_key(const sim_hostile *h)
{
    return kith_bytes_of(h->key, sizeof h->key);
}

bool sim_hostile_ready(const sim_hostile *h)
{
    return h->noise && kith_noise_ready(h->noise);
}

bool sim_hostile_failed(const sim_hostile *h)
{
    return h->failed;
}

const sim_heard *sim_hostile_heard(const sim_hostile *h)
{
    return &h->heard;
}

kith_bytes sim_hostile_payload(sim_hostile *h)
{
    h->payload_taken = true;
    return kith_bytes_of(h->payload, h->payload_len);
}

void sim_hostile_mute(sim_hostile *h, bool on)
{
    h->mute = on;
}

/* ---- hearing ---- */

static void on_frame(sim_hostile *h)
{
    sim_heard *t = &h->heard;
    unsigned flags = kith_load_be16(h->head + 2);
    uint32_t id = kith_load_be32(h->head + 4), len = kith_load_be32(h->head + 8);
    t->frames++;
    t->resets += (flags & HOSTILE_RST) != 0;
    t->fins += (flags & HOSTILE_FIN) != 0;
    switch (h->head[1]) {
    case HOSTILE_DATA:
        t->data++;
        h->body_left = len;
        break;
    case HOSTILE_UPDATE:
        t->updates++;
        if (flags & HOSTILE_RST)
            t->rst_code = len;
        break;
    case HOSTILE_PING:
        *(flags & HOSTILE_SYN ? &t->pings : &t->pongs) += 1;
        if ((flags & HOSTILE_SYN) && !h->mute)
            sim_hostile_frame(h, HOSTILE_PING, HOSTILE_ACK, 0, len);
        return;
    case HOSTILE_GOAWAY:
        t->goaways++;
        t->goaway = len;
        return;
    default:
        assert(0);
    }
    if (flags & HOSTILE_SYN) {
        t->syns++;
        t->last_syn = id;
    }
}

static void plain(sim_hostile *h, kith_bytes in)
{
    while (in.len > 0) {
        if (h->body_left > 0) {
            size_t n = in.len < h->body_left ? in.len : h->body_left;
            if (h->payload_taken)
                h->payload_len = 0;
            h->payload_taken = false;
            size_t kept = n < PAYLOAD_KEPT - h->payload_len ? n : PAYLOAD_KEPT - h->payload_len;
            memcpy(h->payload + h->payload_len, in.p, kept);
            h->payload_len += kept;
            h->heard.payload += n;
            h->body_left -= (uint32_t)n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        h->head[h->head_len++] = in.p[0];
        in = kith_bytes_skip(in, 1);
        if (h->head_len == KITH_YAMUX_HDR_LEN) {
            h->head_len = 0;
            on_frame(h);
        }
    }
}

void sim_hostile_recv(sim_hostile *h, kith_bytes in)
{
    if (!h->noise) {
        size_t used = 0;
        if (h->failed || kith_mss_recv(h->mss, in, &used)) {
            h->failed = true;
            return;
        }
        in = kith_bytes_skip(in, used);
        if (kith_mss_status(h->mss) != KITH_MSS_DONE)
            return;
        kith_noise_config cfg = {
            .env = &h->env,
            .suite = kith_noise_suite_find(suite_id[0]),
            .identity = h->identity,
            .initiator = h->dialer,
            .muxers = muxer,
            .muxer_count = 1,
        };
        h->noise = kith_noise_new(&cfg);
        assert(h->noise);
    }
    uint8_t *copy = malloc(in.len + 1);
    assert(copy);
    if (in.len)
        memcpy(copy, in.p, in.len);
    kith_noise_recv(h->noise, 0, kith_span_of(copy, in.len));
    for (kith_noise_event ev; kith_noise_next(h->noise, &ev);) {
        if (ev.kind == KITH_NOISE_WORK) {
            kith_noise_work(h->noise);
            kith_noise_worked(h->noise, 0);
        } else if (ev.kind == KITH_NOISE_DATA && kith_noise_muxer(h->noise).len > 0)
            plain(h, ev.data); /* else the node negotiates a muxer */
        else if (ev.kind == KITH_NOISE_FAILED)
            h->failed = true;
    }
    free(copy);
}

/* ---- saying ---- */

size_t sim_hostile_send(sim_hostile *h, kith_span out)
{
    size_t len = 0;
    for (size_t n; (n = kith_mss_send(h->mss, kith_span_skip(out, len))) > 0;)
        len += n;
    if (!h->noise || h->failed)
        return len;
    len += kith_noise_send(h->noise, 0, kith_span_skip(out, len));
    size_t at = 0;
    while (at < h->plain_len) {
        kith_span rest = kith_span_skip(out, len), room = kith_noise_room(h->noise, rest);
        size_t n = h->plain_len - at < h->record_max ? h->plain_len - at : h->record_max;
        if (room.len == 0 || (room.len < n && len > 0))
            break;
        n = n < room.len ? n : room.len;
        memcpy(room.p, h->plain + at, n);
        len += kith_noise_seal(h->noise, rest, n);
        at += n;
    }
    if (at > 0)
        memmove(h->plain, h->plain + at, h->plain_len - at);
    h->plain_len -= at;
    return len;
}

void sim_hostile_say(sim_hostile *h, kith_bytes b)
{
    if (h->plain_len + b.len > h->plain_cap) {
        h->plain_cap = (h->plain_len + b.len) * 2;
        h->plain = realloc(h->plain, h->plain_cap);
        assert(h->plain);
    }
    if (b.len)
        memcpy(h->plain + h->plain_len, b.p, b.len);
    h->plain_len += b.len;
}

void sim_hostile_record_max(sim_hostile *h, size_t n)
{
    h->record_max = n;
}

void sim_hostile_frame(sim_hostile *h, uint8_t type, unsigned flags, uint32_t id, uint32_t len)
{
    uint8_t b[KITH_YAMUX_HDR_LEN] = {0, type};
    kith_store_be16(b + 2, (uint16_t)flags);
    kith_store_be32(b + 4, id);
    kith_store_be32(b + 8, len);
    sim_hostile_say(h, kith_bytes_of(b, sizeof b));
}

void sim_hostile_data(sim_hostile *h, unsigned flags, uint32_t id, kith_bytes payload)
{
    sim_hostile_frame(h, HOSTILE_DATA, flags, id, (uint32_t)payload.len);
    sim_hostile_say(h, payload);
}

uint32_t sim_hostile_next_id(sim_hostile *h)
{
    uint32_t id = h->next_id;
    h->next_id += 2;
    return id;
}

uint32_t sim_hostile_open(sim_hostile *h, const char *protocol, unsigned flags)
{
    static const char hello[] = "\x13/multistream/1.0.0\n";
    uint8_t b[200];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    uint32_t id = sim_hostile_next_id(h);
    kith_put_str(&w, hello);
    if (protocol) {
        kith_put_uvarint(&w, strlen(protocol) + 1);
        kith_put_str(&w, protocol);
        kith_put_u8(&w, '\n');
    }
    assert(!w.bad);
    sim_hostile_data(h, HOSTILE_SYN | flags, id, kith_wr_bytes(&w));
    return id;
}
