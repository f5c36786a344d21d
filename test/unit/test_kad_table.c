/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The routing table keeps who lives, knows who is near, and lets no network have too much of it. */
#include "crypto/crypto.h"
#include "mesh/kad_table.h"
#include "support.h"

static support_heap heap;
static uint64_t rng;

static kith_peer_id random_id(void)
{
    kith_peer_id id = {.len = 34, .b = {0x12, 32}};
    for (size_t i = 2; i < 34; i++)
        id.b[i] = (uint8_t)support_next(&rng);
    return id;
}

static void table_init(kith_kad_table *t, unsigned k, unsigned group_max, unsigned bucket_group_max)
{
    rng = 7;
    kith_kad_table_config cfg = {.env = *support_env(&heap),
                                 .self = random_id(),
                                 .k = k,
                                 .group_max = group_max,
                                 .bucket_group_max = bucket_group_max,
                                 .stale_after = KITH_SEC(100)};
    kith_kad_table_init(t, &cfg);
}

/* One in a bucket. */
static kith_peer_id id_in(const kith_kad_table *t, unsigned bucket)
{
    for (;;) {
        kith_peer_id id = random_id();
        kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(&id));
        if (kith_kad_table_bucket(t, &key) == bucket)
            return id;
    }
}

static void done(kith_kad_table *t)
{
    kith_kad_table_check(t);
    kith_kad_table_fini(t);
    support_heap_check(&heap);
}

static const kith_bytes somewhere = {(const uint8_t *)"\x08\x04\x01\x02\x03\x04\x06\x00\xc8", 9};

static kith_err add(kith_kad_table *t, kith_time now, kith_peer_id id, uint64_t group)
{
    return kith_kad_table_answered(t, now, &id, somewhere, group);
}

static void a_full_bucket_keeps_those_who_answer(void **state)
{
    (void)state;
    kith_kad_table t;
    table_init(&t, 4, 0, 0);
    kith_peer_id first = id_in(&t, 0), fresh = id_in(&t, 0);
    assert_int_equal(add(&t, KITH_SEC(1), first, 0), KITH_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(&t, KITH_SEC(2), id_in(&t, 0), 0), KITH_OK);
    assert_false(kith_kad_table_wants(&t, KITH_SEC(101), &fresh, 0));
    assert_int_equal(add(&t, KITH_SEC(101), fresh, 0), KITH_EREFUSED);
    assert_int_equal(add(&t, KITH_SEC(50), first, 0), KITH_EEXISTS); /* it lives */
    kith_kad_entry *near[1];
    kith_kad_key key = kith_kad_key_of(kith_peer_id_bytes(&first));
    assert_int_equal(kith_kad_table_nearest(&t, &key, near, 1), 1);
    assert_true(kith_peer_id_eq(&near[0]->id, &first));
    /* At 103 s the three are stale, the first is not: one of them gives way. */
    assert_true(kith_kad_table_wants(&t, KITH_SEC(103), &fresh, 0));
    assert_int_equal(add(&t, KITH_SEC(103), fresh, 0), KITH_OK);
    assert_non_null(kith_kad_table_find(&t, &first));
    assert_non_null(kith_kad_table_find(&t, &fresh));
    assert_int_equal(t.count, 4);
    done(&t);
}

static void a_table_is_never_larger_than_its_buckets(void **state)
{
    (void)state;
    kith_kad_table t;
    table_init(&t, 3, 0, 0);
    for (int i = 0; i < 3000; i++)
        (void)add(&t, KITH_SEC(1), random_id(), 0);
    for (unsigned b = 0; b < 8; b++)
        assert_int_equal(t.counts[b], 3);
    assert_true(kith_kad_table_depth(&t) >= 8);
    kith_peer_id self = t.cfg.self;
    assert_int_equal(add(&t, KITH_SEC(1), self, 0), KITH_EREFUSED);
    done(&t);
}

static void a_group_has_its_share_and_no_more(void **state)
{
    (void)state;
    kith_kad_table t;
    table_init(&t, 20, 3, 2);
    assert_int_equal(add(&t, 0, id_in(&t, 0), 77), KITH_OK);
    assert_int_equal(add(&t, 0, id_in(&t, 0), 77), KITH_OK);
    assert_int_equal(add(&t, 0, id_in(&t, 0), 77), KITH_EREFUSED); /* two in a bucket */
    assert_int_equal(add(&t, 0, id_in(&t, 1), 77), KITH_OK);
    assert_int_equal(add(&t, 0, id_in(&t, 2), 77), KITH_EREFUSED); /* three in the table */
    assert_int_equal(add(&t, 0, id_in(&t, 2), 78), KITH_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(add(&t, 0, id_in(&t, 3), 0), KITH_OK); /* no group: no share */
    done(&t);
}

static uint64_t group_of(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return kith_kad_group(&a);
}

static void groups_are_networks_of_public_addresses(void **state)
{
    (void)state;
    assert_int_equal(group_of("/ip4/8.8.1.1/tcp/1"), group_of("/ip4/8.8.200.3/tcp/9"));
    assert_int_not_equal(group_of("/ip4/8.8.1.1/tcp/1"), group_of("/ip4/8.9.1.1/tcp/1"));
    assert_int_equal(group_of("/ip6/2a00:1450::1/tcp/1"), group_of("/ip6/2a00:1450:ffff::2/tcp/1"));
    assert_int_not_equal(group_of("/ip6/2a00:1450::1/tcp/1"), group_of("/ip6/2a00:1451::1/tcp/1"));
    assert_int_equal(group_of("/ip6/::ffff:8.8.1.1/tcp/1"), group_of("/ip4/8.8.1.1/tcp/1"));
    assert_int_equal(group_of("/ip4/10.0.0.1/tcp/1"), 0);
    assert_int_equal(group_of("/ip4/127.0.0.1/tcp/1"), 0);
    assert_int_equal(group_of("/ip6/fe80::1/tcp/1"), 0);
    assert_int_equal(group_of("/dns4/example.org/tcp/1"), 0);
}

static void the_nearest_are_the_nearest(void **state)
{
    (void)state;
    kith_kad_table t;
    table_init(&t, 20, 0, 0);
    kith_peer_id all[200];
    size_t count = 0;
    while (count < 100) {
        kith_peer_id id = random_id();
        if (add(&t, 0, id, 0) == KITH_OK)
            all[count++] = id;
    }
    for (size_t round = 0; round < 300; round++) {
        static const size_t many[] = {1, 7, 20, 21, 60};
        kith_kad_entry *near[60];
        /* Anywhere, at one of them, and in each bucket: at ourselves, or somebody with so many bits in common. */
        kith_peer_id target = round % 3 ? random_id() : round == 0 ? t.cfg.self : all[round / 3];
        kith_kad_key to = kith_kad_key_of(kith_peer_id_bytes(&target));
        size_t max = many[round % 5], n = kith_kad_table_nearest(&t, &to, near, max), nearer = 0;
        assert_int_equal(n, max);
        for (size_t i = 1; i < n; i++)
            assert_true(kith_kad_key_nearer(&to, &near[i - 1]->key, &near[i]->key) < 0);
        for (size_t i = 0; i < count; i++) {
            kith_kad_key k = kith_kad_key_of(kith_peer_id_bytes(&all[i]));
            nearer += kith_kad_key_nearer(&to, &k, &near[n - 1]->key) <= 0;
        }
        assert_int_equal(nearer, n);
    }
    done(&t);
}

static void the_silent_are_shown_once(void **state)
{
    (void)state;
    kith_kad_table t;
    table_init(&t, 20, 0, 0);
    kith_peer_id old = id_in(&t, 1), young = id_in(&t, 0);
    assert_int_equal(add(&t, KITH_SEC(10), old, 0), KITH_OK);
    assert_int_equal(add(&t, KITH_SEC(50), young, 0), KITH_OK);
    kith_kad_entry *e = kith_kad_table_silent(&t, KITH_SEC(60), KITH_SEC(20));
    assert_non_null(e);
    assert_true(kith_peer_id_eq(&e->id, &old));
    assert_null(kith_kad_table_silent(&t, KITH_SEC(60), KITH_SEC(20)));
    kith_kad_table_remove(&t, &old);
    kith_kad_table_remove(&t, &old);
    assert_int_equal(t.count, 1);
    done(&t);
}

static void memory_that_runs_out_leaves_the_table_as_it_was(void **state)
{
    (void)state;
    for (size_t nth = 1; nth <= 2; nth++) {
        kith_kad_table t;
        table_init(&t, 2, 0, 0);
        assert_int_equal(add(&t, 0, id_in(&t, 0), 0), KITH_OK);
        assert_int_equal(add(&t, 0, id_in(&t, 0), 0), KITH_OK);
        heap.calls = 0;
        heap.fail_at = nth;
        assert_int_equal(add(&t, KITH_SEC(1000), id_in(&t, 0), 0), KITH_ENOMEM);
        heap.fail_at = 0;
        assert_int_equal(t.count, 2);
        done(&t);
    }
}

static void bits_in_common_are_counted(void **state)
{
    (void)state;
    kith_kad_key a = {{0}}, b = {{0}};
    assert_int_equal(kith_kad_key_common(&a, &b), 256);
    b.b[31] = 1;
    assert_int_equal(kith_kad_key_common(&a, &b), 255);
    b.b[0] = 0x80;
    assert_int_equal(kith_kad_key_common(&a, &b), 0);
    b.b[0] = 0;
    b.b[1] = 0x10;
    assert_int_equal(kith_kad_key_common(&a, &b), 11);
}

int main(void)
{
    assert_int_equal(kith_crypto_init(), KITH_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_bucket_keeps_those_who_answer),
        cmocka_unit_test(a_table_is_never_larger_than_its_buckets),
        cmocka_unit_test(a_group_has_its_share_and_no_more),
        cmocka_unit_test(groups_are_networks_of_public_addresses),
        cmocka_unit_test(the_nearest_are_the_nearest),
        cmocka_unit_test(the_silent_are_shown_once),
        cmocka_unit_test(memory_that_runs_out_leaves_the_table_as_it_was),
        cmocka_unit_test(bits_in_common_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
