/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SPAKE2 for share codes, and the count of guesses. */
#include "apps/share_pake.h"

#include "crypto/crypto.h"

#define CONTEXT "kith share code 1"

struct kith_pake {
    kith_env env;
    kith_pake_bond bond;
    kith_spake2 *spake2;    /* NULL once it is finished */
    kith_code_guard *guard; /* the sharer's, while its guess is open */
    uint8_t theirs[KITH_SPAKE2_CONFIRM_LEN];
};

bool kith_code_burnt(const kith_code_guard *g)
{
    return g->wrong >= KITH_CODE_GUESSES;
}

static kith_pake *begin(const kith_env *env, kith_spake2_side side, const kith_pake_bond *bond,
                        const uint8_t secret[KITH_PAKE_SECRET_LEN])
{
    uint8_t random[KITH_SPAKE2_SECRET_LEN];
    kith_pake *p = KITH_NEW(env, kith_pake);
    if (!p)
        return NULL;
    p->env = *env;
    p->bond = *bond;
    kith_rand_fill(env, kith_span_of(random, sizeof random));
    p->spake2 = kith_spake2_new(side, secret, random);
    kith_wipe(random, sizeof random);
    if (!p->spake2) {
        kith_pake_free(p);
        p = NULL;
    }
    return p;
}

/* Once: takes their share, keeps their confirmation, gives ours. */
static kith_err finish(kith_pake *p, kith_bytes share, uint8_t ours[KITH_SPAKE2_CONFIRM_LEN])
{
    uint8_t aad[sizeof CONTEXT - 1 + KITH_PAKE_CHANNEL_LEN + KITH_PAKE_TAG_LEN];
    kith_spake2_result r;
    kith_wr w = kith_wr_of(kith_span_of(aad, sizeof aad));
    kith_put_str(&w, CONTEXT);
    kith_put_bytes(&w, kith_bytes_of(p->bond.channel, sizeof p->bond.channel));
    kith_put_bytes(&w, kith_bytes_of(p->bond.tag, sizeof p->bond.tag));
    kith_err e = kith_spake2_finish(p->spake2, share, kith_peer_id_bytes(&p->bond.receiver),
                                    kith_peer_id_bytes(&p->bond.sharer), kith_wr_bytes(&w), &r);
    kith_spake2_free(p->spake2);
    p->spake2 = NULL;
    if (e)
        return e;
    memcpy(p->theirs, r.theirs, sizeof p->theirs);
    memcpy(ours, r.ours, sizeof r.ours);
    kith_wipe(&r, sizeof r);
    return KITH_OK;
}

kith_pake *kith_pake_ask(const kith_env *env, const kith_pake_bond *bond,
                         const uint8_t secret[KITH_PAKE_SECRET_LEN], uint8_t first[KITH_PAKE_FIRST_LEN])
{
    kith_pake *p = begin(env, KITH_SPAKE2_A, bond, secret);
    if (p)
        memcpy(first, kith_spake2_share(p->spake2), KITH_PAKE_FIRST_LEN);
    return p;
}

kith_err kith_pake_confirm(kith_pake *p, kith_bytes answer, uint8_t confirm[KITH_PAKE_CONFIRM_LEN])
{
    uint8_t ours[KITH_SPAKE2_CONFIRM_LEN];
    if (!p->spake2)
        return KITH_ESTATE;
    if (answer.len != KITH_PAKE_ANSWER_LEN)
        return KITH_EPROTO;
    kith_err e = finish(p, kith_bytes_of(answer.p, KITH_SPAKE2_SHARE_LEN), ours);
    if (!e && !kith_ct_eq(kith_bytes_skip(answer, KITH_SPAKE2_SHARE_LEN),
                          kith_bytes_of(p->theirs, sizeof p->theirs)))
        e = KITH_EAUTH;
    if (!e)
        memcpy(confirm, ours, sizeof ours);
    kith_wipe(ours, sizeof ours);
    return e;
}

static void decide(kith_pake *p, bool right)
{
    p->guard->open--;
    p->guard->wrong += !right;
    p->guard = NULL;
}

kith_err kith_pake_answer(const kith_env *env, const kith_pake_bond *bond,
                          const uint8_t secret[KITH_PAKE_SECRET_LEN], kith_code_guard *guard,
                          kith_bytes first, kith_pake **out, uint8_t answer[KITH_PAKE_ANSWER_LEN])
{
    if (kith_code_burnt(guard))
        return KITH_EPOLICY;
    if (guard->open + guard->wrong >= KITH_CODE_GUESSES)
        return KITH_ELIMIT;
    uint8_t ours[KITH_SPAKE2_CONFIRM_LEN];
    kith_pake *p = begin(env, KITH_SPAKE2_B, bond, secret);
    if (!p)
        return KITH_ENOMEM;
    p->guard = guard;
    guard->open++;
    memcpy(answer, kith_spake2_share(p->spake2), KITH_SPAKE2_SHARE_LEN);
    kith_err e = finish(p, first, ours);
    if (e) {
        decide(p, e == KITH_ENOMEM); /* refused, and not answered, is what w*M gets if w is right */
        kith_pake_free(p);
        return e;
    }
    memcpy(answer + KITH_SPAKE2_SHARE_LEN, ours, sizeof ours);
    kith_wipe(ours, sizeof ours);
    *out = p;
    return KITH_OK;
}

kith_err kith_pake_check(kith_pake *p, kith_bytes confirm)
{
    if (!p->guard)
        return KITH_ESTATE;
    bool right = kith_ct_eq(confirm, kith_bytes_of(p->theirs, sizeof p->theirs));
    decide(p, right);
    return right ? KITH_OK : KITH_EAUTH;
}

void kith_pake_free(kith_pake *p)
{
    if (!p)
        return;
    if (p->guard)
        decide(p, false);
    kith_spake2_free(p->spake2);
    kith_env env = p->env;
    kith_wipe(p, sizeof *p);
    KITH_FREE(&env, p);
}
