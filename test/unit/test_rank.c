/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ranking of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/rank.h"

static unsigned rank(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return kith_addr_rank(&a);
}

static void near_addresses_come_before_far_ones(void **state)
{
    (void)state;
    assert_int_equal(rank("/ip4/127.0.0.1/tcp/1"), 0);
    assert_int_equal(rank("/ip6/::1/tcp/1"), 0);
    assert_int_equal(rank("/ip4/192.168.1.5/tcp/1"), KITH_RANK_LAN);
    assert_int_equal(rank("/ip4/10.0.0.1/tcp/1"), KITH_RANK_LAN);
    assert_int_equal(rank("/ip6/fd00::1/tcp/1"), KITH_RANK_LAN);
    assert_int_equal(rank("/ip6/2a00:1450::1/tcp/1"), 2);
    assert_int_equal(rank("/ip4/93.184.216.34/tcp/1"), 3);
    assert_int_equal(rank("/ip4/192.0.2.7/tcp/1"), 3); /* documentation; somebody's lab */
    assert_int_equal(rank("/dns4/example.org/tcp/1"), KITH_RANK_NAME);
    assert_int_equal(rank("/dnsaddr/example.org"), KITH_RANK_NAME);
}

static void what_tcp_cannot_reach_is_never_dialled(void **state)
{
    (void)state;
    assert_int_equal(rank("/ip4/10.0.0.1/udp/1/quic-v1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip4/10.0.0.1/tcp/1/ws"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip4/10.0.0.1/tcp/0"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip4/0.0.0.0/tcp/1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip4/224.0.0.1/tcp/1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip6/::/tcp/1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip6/ff02::1/tcp/1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/ip4/255.255.255.255/tcp/1"), KITH_RANK_NEVER);
    assert_int_equal(rank("/memory/5"), KITH_RANK_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_addresses_come_before_far_ones),
        cmocka_unit_test(what_tcp_cannot_reach_is_never_dialled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
