/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom a share admits. */
#include "host/share_grant.h"

#include <stdlib.h>

#include "apps/share_select.h"
#include "crypto/crypto.h"
#include "host/host.h"

void kith_share_grants_init(kith_share_grants *g)
{
    const kith_rand os = kith_random_os();
    g->count = 0;
    os.fn(os.ctx, kith_span_of(g->tag, sizeof g->tag));
}

static void forget(kith_share_grant *n)
{
    for (size_t i = 0; i < n->only_count; i++)
        free(n->only[i]);
    kith_leaves_fini(&n->allowed, kith_host_env());
}

void kith_share_grants_fini(kith_share_grants *g)
{
    for (size_t i = 0; i < g->count; i++)
        forget(&g->list[i]);
    kith_wipe(g, sizeof *g);
}

static kith_share_grant *add(kith_share_grants *g, kith_share_grant_kind kind)
{
    if (g->count == KITH_SHARE_GRANTS_MAX)
        return NULL;
    kith_share_grant *n = &g->list[g->count++];
    *n = (kith_share_grant){.kind = kind};
    return n;
}

/* Sets what only this share can, and signs. */
static kith_err sign(const kith_share_grants *g, const kith_signer *signer, kith_capability *c, kith_wr *w)
{
    const kith_rand os = kith_random_os();
    memcpy(c->tag, g->tag, sizeof c->tag);
    os.fn(os.ctx, kith_span_of(c->nonce, sizeof c->nonce));
    return kith_capability_put(c, signer, w);
}

kith_err kith_share_grants_pass(const kith_share_grants *g, const kith_signer *signer, kith_capability *c,
                                kith_wr *w)
{
    return sign(g, signer, c, w);
}

kith_err kith_share_grants_issue(kith_share_grants *g, const kith_signer *signer, kith_capability *c,
                                 kith_wr *w)
{
    if (g->count == KITH_SHARE_GRANTS_MAX)
        return KITH_ELIMIT;
    kith_err err = sign(g, signer, c, w);
    if (err)
        return err;
    kith_share_grant *n = add(g, KITH_GRANT_CAPABILITY);
    n->times = c->times;
    n->not_after = c->not_after;
    memcpy(n->nonce, c->nonce, sizeof n->nonce);
    for (size_t i = 0; i < c->only_count && !err; i++) {
        n->only[i] = strndup((const char *)c->only[i].p, c->only[i].len);
        err = n->only[i] ? KITH_OK : KITH_ENOMEM;
        n->only_count += !err;
    }
    if (err) {
        forget(n);
        g->count--;
    }
    return err;
}

static kith_err resolve(kith_share_grant *n, const kith_manifest *m)
{
    kith_share_select only = {.only_count = n->only_count};
    uint8_t *unwanted = malloc(m->count);
    for (size_t i = 0; i < n->only_count; i++)
        only.only[i] = n->only[i];
    kith_err err = unwanted ? kith_share_select_run(kith_host_env(), &only, m, unwanted) : KITH_ENOMEM;
    for (size_t i = 0; i < m->count && !err; i++) {
        uint32_t first, end;
        kith_manifest_leaves(m, i, &first, &end);
        if (!unwanted[i] && first < end)
            err = kith_leaves_add(&n->allowed, kith_host_env(), first, end);
    }
    free(unwanted);
    return err;
}

kith_err kith_share_grants_resolve(kith_share_grants *g, const kith_manifest *m)
{
    kith_err err = KITH_OK;
    for (size_t i = 0; i < g->count && !err; i++) {
        kith_share_grant *n = &g->list[i];
        if (n->only_count == 0 || n->resolved)
            continue;
        err = resolve(n, m);
        n->resolved = !err;
    }
    return err;
}

const kith_leaves *kith_share_grant_allowed(const kith_share_grant *g)
{
    return g->only_count > 0 ? &g->allowed : NULL;
}

kith_share_grant *kith_share_grants_code(kith_share_grants *g, const uint8_t tag[KITH_PAKE_TAG_LEN],
                                         const uint8_t secret[KITH_PAKE_SECRET_LEN])
{
    kith_share_grant *n = add(g, KITH_GRANT_CODE);
    if (!n)
        return NULL;
    memcpy(n->code_tag, tag, sizeof n->code_tag);
    memcpy(n->secret, secret, sizeof n->secret);
    return n;
}

kith_share_grant *kith_share_grants_find(kith_share_grants *g, kith_bytes capability,
                                         const uint8_t key[KITH_ED25519_PUB_LEN])
{
    kith_capability c;
    if (kith_capability_parse(capability, &c) || memcmp(c.tag, g->tag, sizeof c.tag) != 0 ||
        kith_capability_verify(capability, key))
        return NULL;
    for (size_t i = 0; i < g->count; i++) {
        kith_share_grant *n = &g->list[i];
        if (n->kind == KITH_GRANT_CAPABILITY &&
            kith_ct_eq(kith_bytes_of(n->nonce, sizeof n->nonce), kith_bytes_of(c.nonce, sizeof c.nonce)))
            return n;
    }
    return NULL;
}

kith_share_grant *kith_share_grants_find_code(kith_share_grants *g, kith_bytes tag)
{
    for (size_t i = 0; i < g->count; i++) {
        kith_share_grant *n = &g->list[i];
        if (n->kind == KITH_GRANT_CODE && kith_bytes_eq(tag, kith_bytes_of(n->code_tag, sizeof n->code_tag)))
            return n;
    }
    return NULL;
}

kith_share_code kith_share_grant_refusal(const kith_share_grant *g, uint64_t now_s)
{
    if (g->not_after && now_s > g->not_after)
        return KITH_SHARE_EXPIRED;
    if (g->times && g->done >= g->times)
        return KITH_SHARE_USED_UP;
    return g->times && g->done + g->active >= g->times ? KITH_SHARE_BUSY : KITH_SHARE_NONE;
}
