/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every cap of the resource manager, at the cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "node/limits.h"

static int64_t fail_after = -1;
static size_t held;
static kith_time now = KITH_SEC(1);

static void *test_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    if (size > 0 && fail_after >= 0 && fail_after-- == 0)
        return NULL;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static void test_rand(void *ctx, kith_span out)
{
    (void)ctx;
    memset(out.p, 7, out.len);
}

static const kith_env env = {.alloc = {.fn = test_alloc}, .rand = {.fn = test_rand}};

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static kith_limiter *limiter(void (*change)(kith_limits *))
{
    kith_limits caps;
    kith_limits_default(&caps);
    change(&caps);
    kith_limiter *l = kith_limiter_new(&env, &caps);
    assert_non_null(l);
    return l;
}

static void accept_ok(kith_limiter *l, const char *from)
{
    kith_maddr a = addr(from);
    const char *why;
    assert_int_equal(kith_limiter_accept(l, now, &a, &why), KITH_OK);
}

static void refused_with(kith_limiter *l, const char *from, kith_err e, const char *cap)
{
    kith_maddr a = addr(from);
    const char *why = NULL;
    kith_usage before = kith_limiter_usage(l);
    assert_int_equal(kith_limiter_accept(l, now, &a, &why), e);
    assert_non_null(why);
    assert_memory_equal(why, cap, strlen(cap));
    kith_usage after = kith_limiter_usage(l);
    assert_memory_equal(&before, &after, sizeof before);
}

/* The address has its share: nobody could make room for it. */
static void share_used_up(kith_limiter *l, const char *from, const char *cap)
{
    refused_with(l, from, KITH_EREFUSED, cap);
}

static void accept_refused(kith_limiter *l, const char *from, const char *cap)
{
    refused_with(l, from, KITH_ELIMIT, cap);
}

static void per_ip(kith_limits *c)
{
    c->conns_per_ip = 2;
}

static void one_address_gets_so_many_and_its_place_back(void **state)
{
    (void)state;
    kith_limiter *l = limiter(per_ip);
    accept_ok(l, "/ip4/5.6.7.8/tcp/1");
    accept_ok(l, "/ip4/5.6.7.8/tcp/2");
    share_used_up(l, "/ip4/5.6.7.8/tcp/3", "limits.conns_per_ip");
    accept_ok(l, "/ip4/5.6.7.9/tcp/3");
    kith_maddr a = addr("/ip4/5.6.7.8/tcp/1");
    kith_limiter_release_in(l, &a, false);
    accept_ok(l, "/ip4/5.6.7.8/tcp/4");
    /* An IPv6 subscriber is a /64. */
    accept_ok(l, "/ip6/2a00:1:2:3::1/tcp/1");
    accept_ok(l, "/ip6/2a00:1:2:3::2/tcp/1");
    share_used_up(l, "/ip6/2a00:1:2:3:ffff::3/tcp/1", "limits.conns_per_ip");
    accept_ok(l, "/ip6/2a00:1:2:4::1/tcp/1");
    /* Loopback is exempt by default. */
    for (int i = 0; i < 5; i++)
        accept_ok(l, "/ip4/127.0.0.1/tcp/1");
    kith_limiter_free(l);
    assert_int_equal(held, 0);
}

static void per_subnet(kith_limits *c)
{
    c->conns_per_subnet = 3;
    c->exempt_loopback = false;
}

static void one_subnet_gets_so_many(void **state)
{
    (void)state;
    kith_limiter *l = limiter(per_subnet);
    accept_ok(l, "/ip4/5.6.7.1/tcp/1");
    accept_ok(l, "/ip4/5.6.7.2/tcp/1");
    accept_ok(l, "/ip4/5.6.7.3/tcp/1");
    share_used_up(l, "/ip4/5.6.7.4/tcp/1", "limits.conns_per_subnet");
    accept_ok(l, "/ip4/5.6.8.4/tcp/1");
    for (int i = 0; i < 3; i++)
        accept_ok(l, "/ip4/127.0.0.1/tcp/1");
    share_used_up(l, "/ip4/127.0.0.1/tcp/1", "limits.conns_per_subnet");
    kith_limiter_free(l);
}

static void totals(kith_limits *c)
{
    c->conns = 4;
    c->conns_in = 3;
    c->handshakes = 2;
    c->dials = 1;
    c->streams = 2;
}

static void totals_hold(void **state)
{
    (void)state;
    kith_limiter *l = limiter(totals);
    const char *why;
    accept_ok(l, "/ip4/1.1.1.1/tcp/1");
    accept_ok(l, "/ip4/1.1.1.2/tcp/1");
    accept_refused(l, "/ip4/1.1.1.3/tcp/1", "limits.handshakes");
    kith_limiter_secured(l);
    accept_ok(l, "/ip4/1.1.1.3/tcp/1");
    kith_limiter_secured(l);
    accept_refused(l, "/ip4/1.1.1.4/tcp/1", "limits.conns_in");
    assert_int_equal(kith_limiter_dial(l, &why), KITH_OK);
    accept_refused(l, "/ip4/1.1.1.4/tcp/1", "limits.conns reached");
    assert_int_equal(kith_limiter_dial(l, &why), KITH_ELIMIT);
    assert_string_equal(why, "limits.conns reached");
    kith_maddr a = addr("/ip4/1.1.1.1/tcp/1");
    kith_limiter_release_in(l, &a, true);
    assert_int_equal(kith_limiter_dial(l, &why), KITH_ELIMIT);
    assert_string_equal(why, "limits.dials reached");
    kith_limiter_dialed(l);
    assert_int_equal(kith_limiter_dial(l, &why), KITH_OK);
    assert_int_equal(kith_limiter_stream(l, 100), KITH_OK);
    assert_int_equal(kith_limiter_stream(l, 100), KITH_OK);
    assert_int_equal(kith_limiter_stream(l, 100), KITH_ELIMIT);
    kith_limiter_release_stream(l);
    assert_int_equal(kith_limiter_stream(l, 100), KITH_OK);
    /* A connection with few of its own gets one all the same. */
    assert_int_equal(kith_limiter_stream(l, KITH_STREAMS_ASSURED), KITH_ELIMIT);
    assert_int_equal(kith_limiter_stream(l, KITH_STREAMS_ASSURED - 1), KITH_OK);
    kith_limiter_free(l);
}

static void rates(kith_limits *c)
{
    c->rate_per_ip = 5;
    c->rate_per_subnet = 12;
    c->conns_per_ip = 2;
    c->exempt_loopback = false;
}

/* Comes and goes at once. */
static void visit(kith_limiter *l, const char *from)
{
    kith_maddr a = addr(from);
    accept_ok(l, from);
    kith_limiter_release_in(l, &a, false);
}

static void so_many_a_minute_from_one_address_and_all_at_once_if_it_likes(void **state)
{
    (void)state;
    static const char *const places[][2] = {{"/ip4/5.6.7.8/tcp/1", "/ip4/5.6.8.9/tcp/2"},
                                            {"/ip6/2a00:1:2:3::1/tcp/1", "/ip6/2a00:1:3:4::1/tcp/1"},
                                            {"/ip4/127.0.0.1/tcp/1", "/ip4/127.1.0.1/tcp/1"}};
    for (size_t k = 0; k < 3; k++) {
        kith_limiter *l = limiter(rates);
        now = KITH_SEC(1);
        for (int i = 0; i < 5; i++)
            visit(l, places[k][0]);
        for (int i = 0; i < 100; i++) /* being refused costs nothing */
            share_used_up(l, places[k][0], "limits.rate_per_ip reached");
        visit(l, places[k][1]);
        now += KITH_SEC(12) - 1;
        share_used_up(l, places[k][0], "limits.rate_per_ip reached");
        now += 1;
        visit(l, places[k][0]);
        share_used_up(l, places[k][0], "limits.rate_per_ip reached");
        now += KITH_SEC(1000);
        for (int i = 0; i < 5; i++)
            visit(l, places[k][0]);
        share_used_up(l, places[k][0], "limits.rate_per_ip reached");
        kith_limiter_free(l);
    }
    assert_int_equal(held, 0);
}

static void so_many_a_minute_from_one_subnet(void **state)
{
    (void)state;
    kith_limiter *l = limiter(rates);
    char from[32];
    for (int i = 0; i < 12; i++) {
        snprintf(from, sizeof from, "/ip4/5.6.7.%d/tcp/1", i);
        visit(l, from);
    }
    share_used_up(l, "/ip4/5.6.7.100/tcp/1", "limits.rate_per_subnet reached");
    visit(l, "/ip4/5.6.8.100/tcp/1");
    now += KITH_SEC(5);
    visit(l, "/ip4/5.6.7.100/tcp/1");
    share_used_up(l, "/ip4/5.6.7.101/tcp/1", "limits.rate_per_subnet reached");
    kith_limiter_free(l);
}

/* A place that was not given costs no token. */
static void who_is_refused_for_another_cap_keeps_its_tokens(void **state)
{
    (void)state;
    kith_limiter *l = limiter(rates);
    kith_maddr a = addr("/ip4/5.6.7.8/tcp/1");
    accept_ok(l, "/ip4/5.6.7.8/tcp/1");
    accept_ok(l, "/ip4/5.6.7.8/tcp/1");
    for (int i = 0; i < 50; i++)
        share_used_up(l, "/ip4/5.6.7.8/tcp/1", "limits.conns_per_ip reached");
    kith_limiter_release_in(l, &a, false);
    kith_limiter_release_in(l, &a, false);
    for (int i = 0; i < 3; i++)
        visit(l, "/ip4/5.6.7.8/tcp/1");
    share_used_up(l, "/ip4/5.6.7.8/tcp/1", "limits.rate_per_ip reached");
    kith_limiter_free(l);
}

static void defaults_without_exemption(kith_limits *c)
{
    c->exempt_loopback = false;
}

/* The default must not meet a crowd behind one address that comes back all at once, nor visitors from everywhere. */
static void honest_crowds_do_not_meet_the_rates(void **state)
{
    (void)state;
    kith_limiter *l = limiter(defaults_without_exemption);
    char from[32];
    now = KITH_SEC(1);
    for (int minute = 0; minute < 10; minute++, now += KITH_SEC(60)) {
        for (int i = 0; i < 64; i++) /* as many as may be connected from there, and each twice a minute */
            visit(l, "/ip4/5.6.7.8/tcp/1"), visit(l, "/ip4/5.6.7.8/tcp/1");
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(from, sizeof from, "/ip4/%d.%d.%d.1/tcp/1", 20 + i / 65536, i / 256 % 256, i % 256);
        visit(l, from);
    }
    size_t used = held;
    for (int i = 0; i < 20000; i++) { /* however many they are, they take no more memory */
        snprintf(from, sizeof from, "/ip4/%d.%d.%d.1/tcp/1", 60 + i / 65536, i / 256 % 256, i % 256);
        visit(l, from);
    }
    assert_int_equal(held, used);
    kith_limiter_free(l);
}

static void signatures(kith_limits *c)
{
    c->sign_ms = 100;
    c->sign_ms_per_ip = 60;
}

static void sign(kith_limiter *l, const char *for_whom, uint32_t ms, kith_err err, const char *cap)
{
    kith_maddr a = addr(for_whom);
    const char *why = "";
    assert_int_equal(kith_limiter_sign(l, now, &a, ms, &why), err);
    if (cap)
        assert_string_equal(why, cap);
}

/* Tokens are milliseconds: a slow algorithm takes more of them. */
static void signatures_for_strangers_have_a_share_for_each_and_for_all(void **state)
{
    (void)state;
    kith_limiter *l = limiter(signatures);
    now = KITH_SEC(1);
    sign(l, "/ip4/5.6.7.8/tcp/1", 61, KITH_EREFUSED, "limits.sign_ms_per_ip reached");
    for (int i = 0; i < 3; i++)
        sign(l, "/ip4/5.6.7.8/tcp/1", 20, KITH_OK, NULL);
    for (int i = 0; i < 100; i++) /* being refused costs nothing, neither oneself nor the others */
        sign(l, "/ip4/5.6.7.8/tcp/2", 1, KITH_EREFUSED, "limits.sign_ms_per_ip reached");
    sign(l, "/ip4/5.6.7.9/tcp/1", 40, KITH_OK, NULL);
    sign(l, "/ip4/5.6.7.9/tcp/1", 1, KITH_ELIMIT, "limits.sign_ms reached");
    sign(l, "/ip4/127.0.0.1/tcp/1", 1, KITH_ELIMIT,
         "limits.sign_ms reached"); /* exempt from the share, not from the sum */
    now += KITH_SEC(60) / 100;
    sign(l, "/ip4/127.0.0.1/tcp/1", 1, KITH_OK, NULL);
    sign(l, "/ip6/::1/tcp/1", 1, KITH_ELIMIT, "limits.sign_ms reached");
    now += KITH_SEC(60);
    sign(l, "/ip4/127.0.0.1/tcp/1", 100, KITH_OK, NULL);
    kith_limiter_free(l);
    assert_int_equal(held, 0);
}

static void no_rate_at_all_takes_nobody(void **state)
{
    (void)state;
    kith_rate r = {0};
    assert_false(kith_rate_take(&r, 0, 0));
    for (int i = 0; i < 100000; i++)
        assert_true(kith_rate_take(&r, 0, UINT32_MAX));
}

static void no_memory_counts_nothing(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 4; n++) {
        fail_after = -1;
        kith_limiter *l = limiter(per_ip);
        kith_maddr a = addr("/ip4/9.9.9.9/tcp/1");
        const char *why;
        for (int i = 0; i < 40; i++) {
            kith_maddr other = a;
            other.b[1] = (uint8_t)(i + 1);
            fail_after = n;
            kith_usage before = kith_limiter_usage(l);
            kith_err e = kith_limiter_accept(l, now, &other, &why);
            fail_after = -1;
            kith_usage after = kith_limiter_usage(l);
            assert_int_equal(after.conns_in, before.conns_in + (e == KITH_OK));
            if (e == KITH_OK)
                kith_limiter_release_in(l, &other, false);
            else
                assert_int_equal(e, KITH_ENOMEM);
        }
        kith_limiter_free(l);
        assert_int_equal(held, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address_gets_so_many_and_its_place_back),
        cmocka_unit_test(one_subnet_gets_so_many),
        cmocka_unit_test(totals_hold),
        cmocka_unit_test(so_many_a_minute_from_one_address_and_all_at_once_if_it_likes),
        cmocka_unit_test(so_many_a_minute_from_one_subnet),
        cmocka_unit_test(who_is_refused_for_another_cap_keeps_its_tokens),
        cmocka_unit_test(honest_crowds_do_not_meet_the_rates),
        cmocka_unit_test(signatures_for_strangers_have_a_share_for_each_and_for_all),
        cmocka_unit_test(no_rate_at_all_takes_nobody),
        cmocka_unit_test(no_memory_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
