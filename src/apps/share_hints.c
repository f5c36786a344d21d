/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom to call of those that are said to have some of a share. */
#include "apps/share_hints.h"

#include <assert.h>

void kith_share_hints_init(kith_share_hints *h, const kith_peer_id *self)
{
    memset(h, 0, sizeof *h);
    h->self = *self;
}

static kith_share_hint *find(kith_share_hints *h, const kith_peer_id *peer)
{
    for (size_t i = 0; i < h->count; i++) {
        if (kith_peer_id_eq(&h->list[i].peer, peer))
            return &h->list[i];
    }
    return NULL;
}

bool kith_share_hint_read(const kith_share_peer *in, uint8_t scopes, kith_share_hint *out)
{
    *out = (kith_share_hint){0};
    if (kith_peer_id_parse(in->id, &out->peer))
        return false;
    for (size_t i = 0; i < in->addr_count; i++) {
        kith_maddr *a = &out->addrs[out->addr_count];
        kith_peer_id named;
        if (kith_maddr_parse(in->addrs[i], a) ||
            (kith_maddr_peer(a, &named) && !kith_peer_id_eq(&named, &out->peer)) ||
            !(scopes >> kith_maddr_scope(a) & 1))
            continue;
        if (kith_maddr_set_peer(a, NULL) == KITH_OK && a->len > 0)
            out->addr_count++;
    }
    return true;
}

/* A place for one more; NULL: there is none. What was called without success makes room, but not who is known to be bad. */
static kith_share_hint *room(kith_share_hints *h, const kith_peer_id *teller, bool sharer)
{
    size_t of_teller = 0;
    kith_share_hint *old = NULL;
    for (size_t i = 0; i < h->count; i++) {
        kith_share_hint *n = &h->list[i];
        of_teller += kith_peer_id_eq(&n->teller, teller);
        if (n->state == KITH_HINT_GIVEN_UP && !n->bad)
            old = n;
    }
    if (!sharer && of_teller >= KITH_HINTS_OF_MEMBER)
        return NULL;
    return h->count < KITH_HINTS_MAX ? &h->list[h->count++] : old;
}

/* One that was given up may be tried once more when the sharer, who sees who is there, tells of it again; and its addresses may have changed. */
static void again(kith_share_hint *known, const kith_share_hint *heard, bool sharer)
{
    if (known->bad || !sharer)
        return;
    if (heard->addr_count > 0) {
        known->addr_count = heard->addr_count;
        memcpy(known->addrs, heard->addrs, sizeof known->addrs);
    }
    known->tag = heard->tag;
    if (known->state == KITH_HINT_GIVEN_UP) {
        known->state = KITH_HINT_HEARD;
        known->tries = KITH_HINT_TRIES - 1;
    }
}

static void add(kith_share_hints *h, kith_time now, bool sharer, const kith_share_hint *heard)
{
    kith_share_hint *n = find(h, &heard->peer);
    if (kith_peer_id_eq(&heard->peer, &h->self))
        return;
    if (n) {
        again(n, heard, sharer);
        return;
    }
    n = room(h, &heard->teller, sharer);
    if (!n)
        return;
    *n = *heard;
    n->next_at = now;
}

void kith_share_hints_hear(kith_share_hints *h, kith_time now, const kith_peer_id *teller, bool sharer,
                           const kith_maddr *remote, uint64_t tag, kith_bytes peers)
{
    kith_rd r = kith_rd_of(peers);
    kith_share_peer p;
    kith_share_hint heard;
    const uint8_t scopes = kith_maddr_scopes_fitting(remote);
    while (kith_share_peers_next(&r, &p)) {
        if (!kith_share_hint_read(&p, scopes, &heard))
            continue;
        heard.teller = *teller;
        heard.tag = tag;
        add(h, now, sharer, &heard);
    }
}

void kith_share_hints_met(kith_share_hints *h, kith_time now, const kith_peer_id *peer, uint64_t tag)
{
    kith_share_hint *n = find(h, peer);
    const kith_share_hint heard = {.peer = *peer, .teller = *peer, .tag = tag};
    if (!n)
        add(h, now, false, &heard);
    else if (n->state == KITH_HINT_HEARD)
        n->next_at = now;
}

const kith_share_hint *kith_share_hints_next(kith_share_hints *h, kith_time now)
{
    if (now < h->next_at || h->calls == KITH_HINT_CALLS_MAX)
        return NULL;
    for (size_t i = 0; i < h->count; i++) {
        kith_share_hint *n = &h->list[i];
        if (n->state != KITH_HINT_HEARD || now < n->next_at)
            continue;
        n->state = KITH_HINT_CALLED;
        n->tries++;
        h->calls++;
        h->next_at = now + KITH_HINT_CALL_EVERY;
        return n;
    }
    return NULL;
}

void kith_share_hints_over(kith_share_hints *h, kith_time now, const kith_peer_id *peer, bool bad)
{
    kith_share_hint *n = find(h, peer);
    if (!n)
        return;
    n->bad |= bad;
    if (n->bad || n->tries >= KITH_HINT_TRIES) {
        n->state = KITH_HINT_GIVEN_UP;
        return;
    }
    n->state = KITH_HINT_HEARD;
    n->next_at = now + (KITH_HINT_AGAIN << n->tries) / 2;
}

void kith_share_hints_useful(kith_share_hints *h, const kith_peer_id *peer)
{
    kith_share_hint *n = find(h, peer);
    if (n)
        n->tries = 1;
}

void kith_share_hints_check(const kith_share_hints *h)
{
    assert(h->count <= KITH_HINTS_MAX && h->calls <= KITH_HINT_CALLS_MAX);
    for (size_t i = 0; i < h->count; i++) {
        const kith_share_hint *n = &h->list[i];
        assert(n->peer.len > 0 && !kith_peer_id_eq(&n->peer, &h->self));
        assert(n->addr_count <= KITH_SHARE_PEER_ADDRS_MAX && n->tries <= KITH_HINT_TRIES);
        assert(!n->bad || n->state == KITH_HINT_GIVEN_UP);
        for (size_t k = 0; k < i; k++)
            assert(!kith_peer_id_eq(&n->peer, &h->list[k].peer));
    }
}
