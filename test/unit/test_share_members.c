/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whom receivers that help each other are told of, and what admits them to each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "host/host.h"
#include "host/share_grant.h"
#include "host/share_members.h"

static kith_peer_id peer_of(uint32_t n)
{
    uint8_t pub[KITH_ED25519_PUB_LEN] = {(uint8_t)n, (uint8_t)(n >> 8), 1}, pb[KITH_PUBKEY_ED25519_LEN];
    kith_peer_id id;
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
    return id;
}

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

/* A receiver says this of itself, or of somebody else. */
static void says(kith_share_members *m, uint32_t who, uint32_t of, const char *remote,
                 const char *const *texts, size_t count)
{
    uint8_t buf[4096];
    kith_maddr addrs[KITH_SHARE_PEER_ADDRS_MAX], at = addr(remote);
    const kith_peer_id self = peer_of(who), id = peer_of(of);
    kith_share_peer p = {.id = kith_peer_id_bytes(&id), .addr_count = count};
    for (size_t i = 0; i < count; i++) {
        addrs[i] = addr(texts[i]);
        p.addrs[i] = kith_maddr_bytes(&addrs[i]);
    }
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_peers_put(&w, &p);
    kith_share_members_hear(m, &self, &at, kith_wr_bytes(&w));
}

/* How many are told of to one, with how many addresses. */
static size_t told(const kith_share_members *m, uint32_t to, const char *remote, size_t *addrs)
{
    uint8_t buf[KITH_MEMBERS_BYTES_MAX];
    const kith_peer_id id = peer_of(to);
    const kith_maddr at = addr(remote);
    kith_rd r = kith_rd_of(kith_share_members_tell(m, kith_host_env(), &id, &at, buf));
    kith_share_peer p;
    size_t n = 0;
    *addrs = 0;
    for (; kith_share_peers_next(&r, &p); n++) {
        *addrs += p.addr_count;
        assert_false(kith_bytes_eq(p.id, kith_peer_id_bytes(&id)));
    }
    assert_false(r.bad);
    return n;
}

static const char *const addrs4[] = {"/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.1/tcp/1", "/ip4/8.8.4.4/tcp/1",
                                     "/ip6/2600::1/tcp/1"};
#define FAR "/ip4/9.9.9.9/tcp/7"
#define NEAR "/ip4/192.168.1.9/tcp/7"
#define HERE "/ip4/127.0.0.1/tcp/7"

static void each_is_told_of_the_others_with_addresses_for_where_it_is(void **state)
{
    (void)state;
    size_t n;
    kith_share_members *m = kith_share_members_new();
    says(m, 1, 1, HERE, addrs4, 4);
    assert_int_equal(told(m, 1, HERE, &n), 0);
    assert_int_equal(told(m, 2, HERE, &n), 1);
    assert_int_equal(n, 4);
    assert_int_equal(told(m, 2, NEAR, &n), 1);
    assert_int_equal(n, 3);
    assert_int_equal(told(m, 2, FAR, &n), 1);
    assert_int_equal(n, 2);
    says(m, 3, 3, FAR, addrs4, 4); /* from there it cannot send others into our network */
    assert_int_equal(told(m, 1, HERE, &n), 1);
    assert_int_equal(n, 2);
    kith_share_members_free(m);
}

static void nobody_speaks_for_others(void **state)
{
    (void)state;
    size_t n;
    kith_share_members *m = kith_share_members_new();
    says(m, 1, 5, HERE, addrs4, 4);
    assert_int_equal(told(m, 2, HERE, &n), 0);
    assert_int_equal(kith_share_members_version(m), 0);
    kith_share_members_free(m);
}

/* What is told to all is bounded, whatever one of them says. */
static void a_flood_is_not_passed_on(void **state)
{
    (void)state;
    size_t n;
    kith_share_members *m = kith_share_members_new();
    for (int i = 0; i < 1000; i++)
        says(m, 1, 1, HERE, addrs4, 4);
    assert_int_equal(kith_share_members_version(m), 1);
    for (size_t i = 0; i < 1000; i++)
        says(m, 1, 1, HERE, addrs4 + i % 2, 1);
    assert_true(kith_share_members_version(m) <= 16);
    for (uint32_t i = 2; i < 200; i++)
        says(m, i, i, HERE, addrs4, 4);
    assert_true(kith_share_members_version(m) <= 16 + KITH_MEMBERS_MAX);
    assert_int_equal(told(m, 1000, HERE, &n), KITH_SHARE_PEERS_MAX);
    assert_int_equal(told(m, 2, HERE, &n), KITH_SHARE_PEERS_MAX);
    kith_share_members_free(m);
}

/* ---- passes ---- */

typedef struct sharer {
    kith_signer *signer;
    uint8_t key[KITH_ED25519_PUB_LEN];
    kith_share_grants grants;
} sharer;

static sharer sharer_new(uint8_t n)
{
    sharer s;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {n};
    s.signer = kith_signer_new(seed);
    assert_non_null(s.signer);
    kith_signer_public(s.signer, s.key);
    kith_share_grants_init(&s.grants);
    return s;
}

static kith_bytes pass_for(sharer *s, uint32_t peer, uint64_t not_after, uint8_t out[KITH_CAPABILITY_MAX])
{
    kith_capability c = {.holder = peer_of(peer), .not_after = not_after};
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_CAPABILITY_MAX));
    assert_int_equal(kith_share_grants_pass(&s->grants, s->signer, &c, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static void a_pass_is_for_one_peer_one_share_and_ten_minutes(void **state)
{
    (void)state;
    uint8_t buf[KITH_CAPABILITY_MAX], plain[KITH_CAPABILITY_MAX];
    sharer s = sharer_new(1), other = sharer_new(2);
    const uint64_t now = 1900000000;
    const kith_peer_id a = peer_of(1), b = peer_of(2), nobody = {0};
    kith_bytes p = pass_for(&s, 1, now + KITH_PASS_LASTS_S, buf);
    assert_true(kith_pass_admits(p, s.key, s.grants.tag, &a, now));
    assert_true(kith_pass_admits(p, s.key, s.grants.tag, &a, now + KITH_PASS_LASTS_S - 1));
    assert_false(kith_pass_admits(p, s.key, s.grants.tag, &a, now + KITH_PASS_LASTS_S));
    assert_true(kith_pass_admits(p, s.key, s.grants.tag, &a, now - KITH_PASS_SLACK_S));
    assert_false(kith_pass_admits(p, s.key, s.grants.tag, &a, now - KITH_PASS_SLACK_S - 1));
    assert_false(kith_pass_admits(p, s.key, s.grants.tag, &b, now));
    assert_false(kith_pass_admits(p, s.key, other.grants.tag, &a, now));
    assert_false(kith_pass_admits(p, other.key, s.grants.tag, &a, now));
    for (size_t i = 0; i < p.len; i++) {
        buf[i] ^= 1;
        assert_false(kith_pass_admits(p, s.key, s.grants.tag, &a, now));
        buf[i] ^= 1;
    }
    /* what admits at the sharer is no pass, whoever has it */
    kith_capability c = {.not_after = now + 100};
    kith_wr w = kith_wr_of(kith_span_of(plain, sizeof plain));
    assert_int_equal(kith_share_grants_issue(&s.grants, s.signer, &c, &w), KITH_OK);
    assert_non_null(kith_share_grants_find(&s.grants, kith_wr_bytes(&w), s.key));
    assert_false(kith_pass_admits(kith_wr_bytes(&w), s.key, s.grants.tag, &a, now));
    assert_false(kith_pass_admits(kith_wr_bytes(&w), s.key, s.grants.tag, &nobody, now));
    assert_null(kith_share_grants_find(&s.grants, p, s.key)); /* nor a pass a way in there */
    assert_int_equal(s.grants.count, 1);
    kith_signer_free(s.signer);
    kith_signer_free(other.signer);
}

int main(void)
{
    if (kith_crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_told_of_the_others_with_addresses_for_where_it_is),
        cmocka_unit_test(nobody_speaks_for_others),
        cmocka_unit_test(a_flood_is_not_passed_on),
        cmocka_unit_test(a_pass_is_for_one_peer_one_share_and_ten_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
