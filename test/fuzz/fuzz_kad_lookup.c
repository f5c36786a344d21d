/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The lookup and the routing table against any answers in any order, with memory that runs out. */
#include "crypto/crypto.h"
#include "mesh/kad_lookup.h"
#include "mesh/kad_table.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One of 256 peers, some of them with a public address. */
static kith_kad_peer peer(uint8_t n)
{
    kith_kad_peer p = {.id = {.len = 34, .b = {0x12, 32, n}}};
    uint8_t ip[4] = {(uint8_t)(n % 3 ? 8 : 10), (uint8_t)(n % 5), 1, n};
    kith_maddr a;
    kith_maddr_from_tcp(kith_bytes_of(ip, 4), 1, &a);
    kith_addrs_pack(&p.addrs, &a, 1);
    return p;
}

static void lookup(tape *t, const kith_env *env)
{
    uint8_t how = tape_u8(t);
    kith_kad_lookup_config cfg = {.env = *env,
                                  .k = 1 + how % 20u,
                                  .alpha = 1 + tape_u8(t) % 12u,
                                  .beta = 1 + how % 4u,
                                  .paths = 1 + tape_u8(t) % KITH_KAD_PATHS_MAX,
                                  .group_max = how % 5u};
    cfg.target.b[0] = tape_u8(t);
    cfg.self = peer(0).id;
    kith_kad_lookup *l = kith_kad_lookup_new(&cfg);
    kith_kad_contact asked[16];
    size_t n = 0, turns = 0;
    kith_time now = 0;
    if (!l)
        return;
    while (t->len > 0) {
        kith_kad_peer named[KITH_KAD_PEERS_MAX];
        size_t count = 0;
        switch (tape_u8(t) % 5) {
        case 0: {
            kith_kad_peer p = peer(tape_u8(t));
            (void)!kith_kad_lookup_seed(l, &p.id, kith_addrs_bytes(&p.addrs));
            break;
        }
        case 1:
            if (n < 16 && kith_kad_lookup_next(l, now, &asked[n]))
                n++;
            break;
        case 2:
            for (size_t k = tape_u8(t) % KITH_KAD_PEERS_MAX; count < k; count++)
                named[count] = peer(tape_u8(t));
            if (n > 0) {
                size_t i = tape_u8(t) % n;
                kith_peer_id id = asked[i].id;
                asked[i] = asked[--n];
                kith_kad_lookup_answered(l, now, &id, named, count);
            }
            break;
        case 3:
            if (n > 0) {
                kith_peer_id id = asked[--n].id;
                kith_kad_lookup_failed(l, &id);
            }
            break;
        default:
            (void)tape_u8(t);
            if (tape_u8(t) % 8 == 0)
                kith_kad_lookup_stop(l);
            else if (tape_u8(t) % 2 == 0)
                kith_kad_lookup_look(l);
            else if (kith_kad_lookup_deadline(l) != KITH_NEVER)
                kith_kad_lookup_tick(l, now = kith_kad_lookup_deadline(l));
            else
                now += KITH_MS(1);
        }
        kith_kad_lookup_check(l);
    }
    /* It comes to an end when nobody answers any more. */
    for (; turns < 1000 && !kith_kad_lookup_done(l); turns++) {
        while (n < 16 && kith_kad_lookup_next(l, now, &asked[n]))
            n++;
        while (n > 0) {
            kith_peer_id id = asked[--n].id;
            kith_kad_lookup_failed(l, &id);
        }
    }
    assert(kith_kad_lookup_done(l));
    kith_kad_lookup_free(l);
}

static void table(tape *t, const kith_env *env)
{
    kith_kad_table tab;
    kith_kad_table_config cfg = {.env = *env,
                                 .self = peer(0).id,
                                 .k = 1 + tape_u8(t) % 6u,
                                 .group_max = tape_u8(t) % 4u,
                                 .bucket_group_max = tape_u8(t) % 3u,
                                 .stale_after = KITH_SEC(10)};
    kith_time now = 0;
    kith_kad_table_init(&tab, &cfg);
    while (t->len > 0) {
        uint8_t what = tape_u8(t);
        kith_kad_peer p = peer(tape_u8(t));
        kith_kad_entry *near[8];
        kith_kad_key to = {{what}};
        now += KITH_SEC(tape_u8(t) % 16);
        switch (what % 4) {
        case 0:
        case 1:
            (void)!kith_kad_table_answered(&tab, now, &p.id, kith_addrs_bytes(&p.addrs), what % 7);
            break;
        case 2:
            kith_kad_table_remove(&tab, &p.id);
            break;
        default:
            (void)kith_kad_table_silent(&tab, now, now > KITH_SEC(20) ? now - KITH_SEC(20) : 0);
            (void)kith_kad_table_nearest(&tab, &to, near, 8);
        }
        kith_kad_table_check(&tab);
    }
    kith_kad_table_fini(&tab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    uint8_t how = tape_u8(&t);
    if (kith_crypto_init())
        return 0;
    const kith_env *env = tape_env_init(&e, how >> 1);
    if (how & 1)
        lookup(&t, env);
    else
        table(&t, env);
    assert(e.held == 0);
    return 0;
}
