/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Packed addresses are the same ones when they are taken out again, each once, and no more than fit. */
#include <stdio.h>

#include "support.h"
#include "wire/addrs.h"

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &a, NULL), KITH_OK);
    return a;
}

static void what_is_packed_comes_out_once_and_without_its_peer(void **state)
{
    (void)state;
    const kith_maddr in[] = {
        addr("/ip4/1.2.3.4/tcp/5"),
        addr("/ip6/2001:db8::1/tcp/6/p2p/12D3KooWBXu3uGPMkjjxViK6autSnFH5QaKJgTwW8CaSxYSD6yYL"),
        addr("/ip4/1.2.3.4/tcp/5"),
    };
    kith_addrs packed = {0};
    kith_maddr out[4];
    kith_addrs_pack(&packed, in, 3);
    assert_int_equal(kith_addrs_unpack(kith_addrs_bytes(&packed), out, 4), 2);
    assert_true(kith_maddr_eq(&out[0], &in[0]));
    kith_maddr bare = addr("/ip6/2001:db8::1/tcp/6");
    assert_true(kith_maddr_eq(&out[1], &bare));
    assert_int_equal(kith_addrs_unpack(kith_addrs_bytes(&packed), out, 1), 1);
}

static void a_list_has_its_caps(void **state)
{
    (void)state;
    kith_addrs packed = {0};
    char text[64];
    for (unsigned i = 0; i <= KITH_ADDRS_MAX; i++) {
        snprintf(text, sizeof text, "/ip4/1.2.3.%u/tcp/5", i);
        kith_maddr a = addr(text);
        assert_int_equal(kith_addrs_add(&packed, &a), i < KITH_ADDRS_MAX);
    }
    kith_maddr known = addr("/ip4/1.2.3.0/tcp/5");
    assert_true(kith_addrs_add(&packed, &known)); /* it is in */

    packed.len = 0;
    char name[260] = "/dns/";
    memset(name + 5, 'a', 246);
    memcpy(name + 251, "/tcp/1", 7);
    kith_maddr longish = addr(name);
    assert_int_equal(longish.len, 252);
    assert_true(kith_addrs_add(&packed, &longish));
    name[5] = 'b';
    longish = addr(name);
    assert_true(kith_addrs_add(&packed, &longish)); /* 508 of 512 bytes */
    kith_maddr short_one = addr("/ip4/1.2.3.4/tcp/5");
    assert_false(kith_addrs_add(&packed, &short_one));
    assert_true(packed.len <= KITH_ADDRS_LEN_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_out_once_and_without_its_peer),
        cmocka_unit_test(a_list_has_its_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
