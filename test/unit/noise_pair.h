/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two Noise machines joined in memory, with randomness and memory under the test's hand. For unit tests and
 * fuzzers: no cmocka here. */
#ifndef KITH_TEST_NOISE_PAIR_H
#define KITH_TEST_NOISE_PAIR_H

#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "proto/noise.h"
#include "proto/noise_core.h"

/* An allocator that counts, checks sizes and fails when told. */
typedef struct heap {
    size_t live; /* bytes */
    size_t peak;
    size_t calls;   /* allocations asked for */
    size_t fail_at; /* the allocation that fails, from 1; 0: none */
} heap;

static inline void *heap_fn(void *ctx, void *p, size_t old, size_t size)
{
    heap *h = ctx;
    size_t *block = p ? (size_t *)p - 2 : NULL;
    assert(!block || block[0] == old);
    if (size == 0) {
        h->live -= old;
        free(block);
        return NULL;
    }
    if (++h->calls == h->fail_at)
        return NULL;
    size_t *q = realloc(block, size + 2 * sizeof *q);
    assert(q);
    q[0] = size;
    h->live += size - (p ? old : 0);
    if (h->live > h->peak)
        h->peak = h->live;
    return q + 2;
}

/* Randomness: the script first, then a stream from the seed (splitmix64). */
typedef struct dice {
    kith_bytes script;
    uint64_t seed;
} dice;

static inline void dice_fn(void *ctx, kith_span out)
{
    dice *d = ctx;
    for (size_t i = 0; i < out.len; i++) {
        if (d->script.len > 0) {
            out.p[i] = d->script.p[0];
            d->script = kith_bytes_skip(d->script, 1);
            continue;
        }
        uint64_t z = (d->seed += 0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        out.p[i] = (uint8_t)(z >> 56);
    }
}

/* One end. Zeroed, then side_init. */
typedef struct side {
    heap heap;
    dice dice;
    kith_env env;
    kith_signer *signer;
    kith_pq_signer *pq;
    kith_noise_identity *identity;
    kith_peer_id id;
    kith_noise *noise;
    /* what came out of next */
    int ready, failed, datas;
    kith_err err;
    const char *why;
    /* of a responder in a suite with a psk */
    const uint8_t *psk; /* what it answers with */
    const kith_peer_id *sharer;
    uint8_t key_name[KITH_NOISE_KEY_NAME_LEN];
    int asked;
    bool late;    /* it does not answer by itself */
    uint8_t *got; /* plaintext, one after the other */
    size_t got_len;
} side;

static inline void side_init(side *s, const uint8_t seed[32], uint64_t dice_seed, kith_bytes script)
{
    kith_err e = kith_crypto_init();
    assert(!e);
    (void)e;
    *s = (side){.dice = {.script = script, .seed = dice_seed}};
    s->env = (kith_env){.alloc = {&s->heap, heap_fn}, .rand = {&s->dice, dice_fn}};
    s->signer = kith_signer_new(seed);
    assert(s->signer);
    e = kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, 32), &s->pq);
    assert(!e);
    s->identity = kith_noise_identity_new(&s->env, s->signer, s->pq);
    uint8_t raw[32], key[KITH_PUBKEY_ED25519_LEN];
    kith_signer_public(s->signer, raw);
    kith_pubkey_ed25519(raw, key);
    e = kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &s->id);
    assert(!e);
}

/* Forgets the machine and what it said, keeps the identity. */
static inline void side_reset(side *s)
{
    kith_noise_free(s->noise);
    s->noise = NULL;
    s->ready = s->failed = s->datas = s->asked = 0;
    s->err = KITH_OK;
    s->why = NULL;
    free(s->got);
    s->got = NULL;
    s->got_len = 0;
}

static inline void side_fini(side *s)
{
    side_reset(s);
    kith_noise_identity_free(s->identity);
    kith_signer_free(s->signer);
    kith_pq_signer_free(s->pq);
    assert(s->heap.live == 0);
}

static inline kith_noise_config side_config(const side *s, const kith_noise_suite *suite, bool initiator)
{
    return (kith_noise_config){
        .env = &s->env, .suite = suite, .identity = s->identity, .initiator = initiator};
}

/* Computes, and sees that it could have been on another thread: nothing of env is asked for. */
static inline void side_work(side *s)
{
    heap h = s->heap;
    dice d = s->dice;
    kith_noise_work(s->noise);
    assert(s->heap.calls == h.calls && s->heap.live == h.live && s->dice.seed == d.seed &&
           s->dice.script.len == d.script.len);
    (void)h, (void)d;
}

/* Takes events until there are none. */
static inline void side_drain(side *s)
{
    kith_noise_event ev;
    while (kith_noise_next(s->noise, &ev)) {
        switch (ev.kind) {
        case KITH_NOISE_KEY:
            assert(ev.data.len <= sizeof s->key_name);
            memcpy(s->key_name, ev.data.p, ev.data.len);
            s->asked++;
            if (!s->late)
                kith_noise_key(s->noise, s->psk, s->sharer);
            break;
        case KITH_NOISE_WORK:
            side_work(s);
            kith_noise_worked(s->noise, 0);
            break;
        case KITH_NOISE_READY:
            assert(!s->failed && !s->ready && kith_noise_ready(s->noise));
            s->ready++;
            break;
        case KITH_NOISE_FAILED:
            assert(!s->failed && ev.err && ev.why && !kith_noise_ready(s->noise));
            s->failed++;
            s->err = ev.err;
            s->why = ev.why;
            break;
        case KITH_NOISE_DATA:
            assert(s->ready && !s->failed && ev.data.len > 0);
            s->datas++;
            s->got = realloc(s->got, s->got_len + ev.data.len);
            assert(s->got);
            memcpy(s->got + s->got_len, ev.data.p, ev.data.len);
            s->got_len += ev.data.len;
            break;
        }
    }
}

/* Feeds bytes from a block of exactly their size, which is gone afterwards. */
static inline void side_feed(side *s, kith_bytes in)
{
    uint8_t *copy = malloc(in.len ? in.len : 1);
    assert(copy);
    if (in.len > 0)
        memcpy(copy, in.p, in.len);
    kith_noise_recv(s->noise, 0, kith_span_of(copy, in.len));
    side_drain(s);
    free(copy);
}

/* The handshake message that waits, or 0. out has room for 8 KiB, which is enough with ML-DSA-65. */
static inline size_t side_send(side *s, uint8_t *out)
{
    return kith_noise_send(s->noise, 0, kith_span_of(out, 8192));
}

/* Runs the handshake; both machines exist. */
static inline void pair_shake(side *i, side *r)
{
    uint8_t msg[8192];
    for (int turn = 0; turn < 4; turn++) {
        side *from = turn % 2 ? r : i;
        side *to = turn % 2 ? i : r;
        size_t len = side_send(from, msg);
        if (len > 0)
            side_feed(to, kith_bytes_of(msg, len));
    }
}

/* Two new sides, and the handshake between them; who of them would rather have its records under AES. */
static inline void pair_open(side *i, side *r, const kith_noise_suite *suite, bool i_aes, bool r_aes)
{
    static const uint8_t seed_i[32] = {1}, seed_r[32] = {2};
    side_init(i, seed_i, 1, (kith_bytes){0});
    side_init(r, seed_r, 2, (kith_bytes){0});
    kith_noise_config ci = side_config(i, suite, true), cr = side_config(r, suite, false);
    ci.aes = i_aes;
    cr.aes = r_aes;
    i->noise = kith_noise_new(&ci);
    r->noise = kith_noise_new(&cr);
    pair_shake(i, r);
}

/* Seals len bytes of text into out (len + 18 of room); returns the record's size. */
static inline size_t side_seal(side *s, const void *text, size_t len, uint8_t *out)
{
    kith_span whole = kith_span_of(out, len + KITH_NOISE_OVERHEAD);
    kith_span room = kith_noise_room(s->noise, whole);
    assert(room.len == len);
    memcpy(room.p, text, len);
    return kith_noise_seal(s->noise, whole, len);
}

#endif
