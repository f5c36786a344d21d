/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The exchange behind a change of keys: X25519 and, as the channel has it, ML-KEM, mixed with the chain secret of the channel. */
#include "proto/rekey.h"

#include <assert.h>

#include "crypto/crypto.h"
#include "crypto/dh.h"
#include "crypto/hash.h"

typedef enum state { ASKED, WAITING, AGREED, DONE, FAILED } state;

/* What the key derivation gives, in this order. */
typedef struct derived {
    kith_noise_keys keys;
    uint8_t confirm[KITH_REKEY_CONFIRM_LEN];
} derived;

struct kith_rekey {
    const kith_env *env; /* borrowed */
    kith_kem_alg kem_alg;
    const uint8_t *hash, *chain;
    bool asker;
    state state;
    kith_time limit; /* of the peer's message */
    kith_dh *e;      /* asker, until it has the answer */
    kith_kem *kem;
    kith_noise_keys keys; /* AGREED */
    uint8_t ask[KITH_X25519_LEN + KITH_KEM_EK_MAX];
    uint8_t answer[KITH_X25519_LEN + KITH_KEM_CT_MAX + KITH_REKEY_CONFIRM_LEN];
    size_t got, sent; /* bytes of the peer's message, of ours */
};

size_t kith_rekey_ask_len(kith_kem_alg kem)
{
    return KITH_X25519_LEN + kith_kem_ek_len(kem);
}

size_t kith_rekey_answer_len(kith_kem_alg kem)
{
    return KITH_X25519_LEN + kith_kem_ct_len(kem) + KITH_REKEY_CONFIRM_LEN;
}

static void forget_ours(kith_rekey *r)
{
    kith_dh_free(r->e);
    kith_kem_free(r->kem);
    r->e = NULL;
    r->kem = NULL;
}

static kith_err fail(kith_rekey *r, kith_err e, const char *why)
{
    forget_ours(r);
    kith_wipe(&r->keys, sizeof r->keys);
    r->state = FAILED;
    r->limit = KITH_NEVER;
    kith_trace_line(r->env, "rekey", why);
    return e;
}

/* ---- the exchange ---- */

static kith_dh *fresh_dh(const kith_env *env, uint8_t public[KITH_X25519_LEN])
{
    uint8_t secret[KITH_X25519_LEN];
    kith_rand_fill(env, kith_span_of(secret, sizeof secret));
    kith_dh *e = kith_dh_new(secret);
    kith_wipe(secret, sizeof secret);
    if (e)
        kith_dh_public(e, public);
    return e;
}

static kith_kem *fresh_kem(const kith_env *env, kith_kem_alg alg, uint8_t *ek)
{
    uint8_t seed[KITH_KEM_SEED_LEN];
    kith_rand_fill(env, kith_span_of(seed, sizeof seed));
    kith_kem *kem = kith_kem_new(alg, seed);
    kith_wipe(seed, sizeof seed);
    if (kem)
        kith_kem_ek(kem, ek);
    return kem;
}

/* The two shared secrets, one behind the other; without a KEM the first alone. */
typedef struct shared {
    uint8_t x25519[KITH_X25519_LEN];
    uint8_t mlkem[KITH_KEM_SHARED_LEN];
} shared;

/* Everything that both sides have by now: the chain of the channel, what was exchanged, and in the label who the channel is (its
 * hash) and what was said. */
static void derive(const kith_rekey *r, const shared *s, derived *out)
{
    static const char label[] = "kith rekey 1 keys";
    uint8_t info[sizeof label - 1 + KITH_SHA256_LEN];
    uint8_t *th = info + sizeof label - 1;
    size_t answered = kith_rekey_answer_len(r->kem_alg) - KITH_REKEY_CONFIRM_LEN;
    memcpy(info, label, sizeof label - 1);
    kith_sha256_2(kith_bytes_of(r->hash, KITH_SHA256_LEN),
                  kith_bytes_of(r->ask, kith_rekey_ask_len(r->kem_alg)), th);
    kith_sha256_2(kith_bytes_of(th, KITH_SHA256_LEN), kith_bytes_of(r->answer, answered), th);
    size_t len = sizeof s->x25519 + (r->kem_alg == KITH_KEM_NONE ? 0 : sizeof s->mlkem);
    _Static_assert(sizeof *out == 4 * 32, "no padding");
    kith_hkdf_sha256(kith_bytes_of(r->chain, KITH_NOISE_CHAIN_LEN), kith_bytes_of(s, len),
                     kith_bytes_of(info, sizeof info), kith_span_of(out, sizeof *out));
}

static kith_err exchange_answer(kith_rekey *r, shared *s)
{
    uint8_t *ct = r->answer + KITH_X25519_LEN;
    kith_dh *e = fresh_dh(r->env, r->answer);
    kith_err err = e ? kith_dh_shared(e, r->ask, s->x25519) : KITH_ENOMEM;
    kith_dh_free(e);
    if (err || r->kem_alg == KITH_KEM_NONE)
        return err;
    uint8_t coin[KITH_KEM_COIN_LEN];
    kith_rand_fill(r->env, kith_span_of(coin, sizeof coin));
    kith_bytes ek = kith_bytes_of(r->ask + KITH_X25519_LEN, kith_kem_ek_len(r->kem_alg));
    err = kith_kem_encaps(r->kem_alg, ek, coin, ct, s->mlkem);
    kith_wipe(coin, sizeof coin);
    return err;
}

/* The peer's question is whole. */
static kith_err answer(kith_rekey *r)
{
    shared s = {0};
    derived d;
    kith_err e = exchange_answer(r, &s);
    if (!e) {
        derive(r, &s, &d);
        r->keys = d.keys;
        memcpy(r->answer + kith_rekey_answer_len(r->kem_alg) - sizeof d.confirm, d.confirm, sizeof d.confirm);
        kith_wipe(&d, sizeof d);
        r->state = AGREED;
        r->limit = KITH_NEVER;
    }
    kith_wipe(&s, sizeof s);
    return e ? fail(r, e, e == KITH_ENOMEM ? "no memory" : "the peer sent a bad key") : KITH_OK;
}

static kith_err exchange_finish(kith_rekey *r, shared *s)
{
    kith_err e = kith_dh_shared(r->e, r->answer, s->x25519);
    if (e || r->kem_alg == KITH_KEM_NONE)
        return e;
    kith_bytes ct = kith_bytes_of(r->answer + KITH_X25519_LEN, kith_kem_ct_len(r->kem_alg));
    return kith_kem_decaps(r->kem, ct, s->mlkem);
}

/* The answer is whole. */
static kith_err finish(kith_rekey *r)
{
    shared s = {0};
    derived d;
    const uint8_t *theirs = r->answer + kith_rekey_answer_len(r->kem_alg) - sizeof d.confirm;
    kith_err e = exchange_finish(r, &s);
    if (!e) {
        derive(r, &s, &d);
        if (kith_ct_eq(kith_bytes_of(d.confirm, sizeof d.confirm), kith_bytes_of(theirs, sizeof d.confirm))) {
            r->keys = d.keys;
            r->state = AGREED;
            r->limit = KITH_NEVER;
        } else {
            e = KITH_ECRYPTO;
        }
        kith_wipe(&d, sizeof d);
    }
    kith_wipe(&s, sizeof s);
    forget_ours(r);
    return e ? fail(r, e, e == KITH_ENOMEM ? "no memory" : "the peer's answer does not confirm the keys")
             : KITH_OK;
}

/* ---- the machine ---- */

static kith_rekey *machine(const kith_rekey_config *cfg, kith_time now, bool asker)
{
    kith_rekey *r = KITH_NEW(cfg->env, kith_rekey);
    if (!r)
        return NULL;
    r->env = cfg->env;
    r->kem_alg = cfg->kem;
    r->hash = cfg->hash;
    r->chain = cfg->chain;
    r->asker = asker;
    r->state = asker ? ASKED : WAITING;
    r->limit = kith_time_after(now, KITH_REKEY_TIMEOUT);
    return r;
}

static void rekey_free(void *m)
{
    kith_rekey *r = m;
    if (!r)
        return;
    forget_ours(r);
    kith_wipe(&r->keys, sizeof r->keys);
    KITH_FREE(r->env, r);
}

kith_rekey *kith_rekey_new(const kith_rekey_config *cfg, kith_time now)
{
    kith_rekey *r = machine(cfg, now, true);
    if (!r)
        return NULL;
    r->e = fresh_dh(r->env, r->ask);
    if (r->e && r->kem_alg != KITH_KEM_NONE)
        r->kem = fresh_kem(r->env, r->kem_alg, r->ask + KITH_X25519_LEN);
    if (r->e && (r->kem || r->kem_alg == KITH_KEM_NONE))
        return r;
    rekey_free(r);
    return NULL;
}

kith_rekey *kith_rekey_new_answerer(const kith_rekey_config *cfg, kith_time now)
{
    return machine(cfg, now, false);
}

bool kith_rekey_take(kith_rekey *r, kith_noise_keys *out)
{
    if (r->state != AGREED)
        return false;
    *out = r->keys;
    kith_wipe(&r->keys, sizeof r->keys);
    r->state = DONE;
    return true;
}

static kith_err rekey_recv(void *m, kith_time now, kith_bytes in)
{
    kith_rekey *r = m;
    (void)now;
    if (r->state == FAILED)
        return KITH_ESTATE;
    if (in.len == 0)
        return KITH_OK;
    bool expected = r->state == (r->asker ? ASKED : WAITING);
    size_t whole = r->asker ? kith_rekey_answer_len(r->kem_alg) : kith_rekey_ask_len(r->kem_alg);
    /* An answer to half a question is none: it would be right, and yet nobody could have known. */
    if (!expected || in.len > whole - r->got || (r->asker && r->sent < kith_rekey_ask_len(r->kem_alg)))
        return fail(r, KITH_EPROTO, "the peer says what is not expected");
    memcpy((r->asker ? r->answer : r->ask) + r->got, in.p, in.len);
    r->got += in.len;
    if (r->got < whole)
        return KITH_OK;
    return r->asker ? finish(r) : answer(r);
}

static void rekey_eof(void *m, kith_time now)
{
    kith_rekey *r = m;
    (void)now;
    if (r->state == ASKED || r->state == WAITING)
        (void)fail(r, KITH_ECLOSED, "the peer closed the stream before the keys were agreed on");
}

/* What we have to say, as far as it is known. */
static kith_bytes ours(const kith_rekey *r)
{
    if (r->asker)
        return kith_bytes_of(r->ask, kith_rekey_ask_len(r->kem_alg));
    bool answered = r->state == AGREED || r->state == DONE;
    return kith_bytes_of(r->answer, answered ? kith_rekey_answer_len(r->kem_alg) : 0);
}

static size_t rekey_send(void *m, kith_time now, kith_span out)
{
    kith_rekey *r = m;
    (void)now;
    if (r->state == FAILED)
        return 0;
    kith_bytes left = kith_bytes_skip(ours(r), r->sent);
    size_t n = left.len < out.len ? left.len : out.len;
    if (n > 0)
        memcpy(out.p, left.p, n);
    r->sent += n;
    return n;
}

static kith_stream_want rekey_want(const void *m)
{
    const kith_rekey *r = m;
    if (r->state == FAILED)
        return KITH_STREAM_RESET;
    return r->state == DONE && r->sent == ours(r).len ? KITH_STREAM_FIN : KITH_STREAM_OPEN;
}

static kith_time rekey_deadline(const void *m)
{
    return ((const kith_rekey *)m)->limit;
}

static void rekey_tick(void *m, kith_time now)
{
    kith_rekey *r = m;
    if (now >= r->limit)
        (void)fail(r, KITH_ETIMEOUT, "no keys in time");
}

static void rekey_gone(void *m, kith_time now, kith_err why)
{
    kith_rekey *r = m;
    (void)now, (void)why;
    forget_ours(r);
    kith_wipe(&r->keys, sizeof r->keys);
    r->state = FAILED;
    r->limit = KITH_NEVER;
    r->hash = r->chain = NULL;
}

const kith_stream_ops kith_rekey_ops = {
    .recv = rekey_recv,
    .eof = rekey_eof,
    .send = rekey_send,
    .want = rekey_want,
    .deadline = rekey_deadline,
    .tick = rekey_tick,
    .gone = rekey_gone,
    .free = rekey_free,
};
