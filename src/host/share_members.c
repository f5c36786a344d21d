/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receivers of one share that help each other. */
#include "host/share_members.h"

#include <stdlib.h>

#define CHANGES_MAX 16 /* of what one says of itself, as long as it is connected: each is told to all */

typedef struct member {
    kith_peer_id peer;
    size_t addr_count, changes;
    kith_maddr addrs[KITH_SHARE_PEER_ADDRS_MAX];
} member;

struct kith_share_members {
    size_t count;
    uint64_t version;
    member list[KITH_MEMBERS_MAX];
};

kith_share_members *kith_share_members_new(void)
{
    return calloc(1, sizeof(kith_share_members));
}

void kith_share_members_free(kith_share_members *m)
{
    free(m);
}

static bool same(const member *n, const kith_share_hint *said)
{
    bool is = n->addr_count == said->addr_count;
    for (size_t i = 0; i < n->addr_count && is; i++)
        is = kith_bytes_eq(kith_maddr_bytes(&n->addrs[i]), kith_maddr_bytes(&said->addrs[i]));
    return is;
}

void kith_share_members_hear(kith_share_members *m, const kith_peer_id *who, const kith_maddr *remote,
                             kith_bytes peers)
{
    kith_rd r = kith_rd_of(peers);
    kith_share_peer p;
    kith_share_hint said;
    member *n = NULL;
    for (size_t i = 0; i < m->count && !n; i++) {
        if (kith_peer_id_eq(&m->list[i].peer, who))
            n = &m->list[i];
    }
    if (!n && m->count < KITH_MEMBERS_MAX)
        n = &m->list[m->count];
    while (n && kith_share_peers_next(&r, &p)) {
        if (!kith_share_hint_read(&p, kith_maddr_scopes_fitting(remote), &said) ||
            !kith_peer_id_eq(&said.peer, who))
            continue;
        if (n == &m->list[m->count]) {
            m->count++;
            *n = (member){.peer = *who};
        } else if (n->changes == CHANGES_MAX || same(n, &said)) {
            return;
        }
        n->changes++;
        n->addr_count = said.addr_count;
        memcpy(n->addrs, said.addrs, sizeof n->addrs);
        m->version++;
        return;
    }
}

void kith_share_members_look(kith_share_members *m, const kith_node *node)
{
    for (size_t i = 0; i < m->count;) {
        if (kith_node_conn_find(node, &m->list[i].peer)) {
            i++;
            continue;
        }
        m->list[i] = m->list[--m->count];
        m->version++;
    }
}

uint64_t kith_share_members_version(const kith_share_members *m)
{
    return m->version;
}

static void put(kith_wr *w, const member *n, uint8_t scopes)
{
    uint8_t buf[KITH_MEMBERS_BYTES_MAX];
    kith_wr one = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_peer p = {.id = kith_peer_id_bytes(&n->peer)};
    for (size_t i = 0; i < n->addr_count; i++) {
        if (scopes >> kith_maddr_scope(&n->addrs[i]) & 1)
            p.addrs[p.addr_count++] = kith_maddr_bytes(&n->addrs[i]);
    }
    kith_share_peers_put(&one, &p);
    if (!one.bad && one.len <= KITH_MEMBERS_BYTES_MAX - w->len)
        kith_put_bytes(w, kith_wr_bytes(&one));
}

kith_bytes kith_share_members_tell(const kith_share_members *m, const kith_env *env, const kith_peer_id *to,
                                   const kith_maddr *remote, uint8_t out[KITH_MEMBERS_BYTES_MAX])
{
    const uint8_t scopes = kith_maddr_scopes_fitting(remote);
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_MEMBERS_BYTES_MAX));
    size_t at = m->count > 0 ? (size_t)kith_rand_below(env, m->count) : 0;
    for (size_t i = 0, told = 0; i < m->count && told < KITH_SHARE_PEERS_MAX; i++) {
        const member *n = &m->list[(at + i) % m->count];
        if (kith_peer_id_eq(&n->peer, to))
            continue;
        put(&w, n, scopes);
        told++;
    }
    return kith_wr_bytes(&w);
}
