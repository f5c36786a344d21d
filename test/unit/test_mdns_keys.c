/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys as names of multicast DNS. */
#include "unit/support.h"

#include "mesh/mdns_keys.h"

static void key_of(uint8_t n, uint8_t out[KITH_MDNS_KEY_LEN])
{
    memset(out, 0xe7, KITH_MDNS_KEY_LEN);
    out[31] = n;
}

static void a_key_is_a_name_and_the_name_is_the_key(void **state)
{
    (void)state;
    kith_mdns_keys s = {0};
    uint8_t key[KITH_MDNS_KEY_LEN];
    kith_dns_name name, want;
    size_t slot = 9;
    /* docs/protocols/code.md has the same */
    assert_int_equal(kith_mdns_keys_named(&s, &(kith_dns_name){.len = 1}), KITH_MDNS_KEYS_MAX);
    kith_span hex = support_hex("521609356608ce4e34bcd1e6dcc46a16f171a8ffd672b623b9f6481e5a509923");
    memcpy(key, hex.p, sizeof key);
    free(hex.p);
    assert_int_equal(kith_mdns_keys_add(&s, KITH_MDNS_KEYS_MAX, key, &slot), KITH_OK);
    assert_int_equal(slot, 0);
    kith_mdns_keys_name(&s, slot, &name);
    assert_int_equal(
        kith_dns_name_of("_kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterq._sub._p2p._udp.local", &want),
        KITH_OK);
    assert_true(kith_dns_name_eq(&name, &want));
    assert_int_equal(kith_mdns_keys_named(&s, &name), 0);
    s.used = 0;
    assert_int_equal(kith_mdns_keys_named(&s, &name), KITH_MDNS_KEYS_MAX);
}

static void names_that_are_nearly_one_are_none(void **state)
{
    (void)state;
    static const char *const others[] = {
        "kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterq._sub._p2p._udp.local",   /* no underscore */
        "_kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqter._sub._p2p._udp.local",   /* short */
        "_kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterqa._sub._p2p._udp.local", /* long */
        "_kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterr._sub._p2p._udp.local", /* unused bits that are not zero */
        "_1ilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterq._sub._p2p._udp.local", /* not base32 */
        "_kilasnlgbdhe4nf42htnzrdkc3yxdkh72zzlmi5z6zeb4wsqterq._p2p._udp.local",       "_sub._p2p._udp.local",
    };
    kith_mdns_keys s = {.used = 1};
    kith_span hex = support_hex("521609356608ce4e34bcd1e6dcc46a16f171a8ffd672b623b9f6481e5a509923");
    memcpy(s.key[0], hex.p, KITH_MDNS_KEY_LEN);
    free(hex.p);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        kith_dns_name name;
        assert_int_equal(kith_dns_name_of(others[i], &name), KITH_OK);
        assert_int_equal(kith_mdns_keys_named(&s, &name), KITH_MDNS_KEYS_MAX);
    }
}

static void a_set_has_so_many_and_each_once(void **state)
{
    (void)state;
    kith_mdns_keys s = {0};
    uint8_t key[KITH_MDNS_KEY_LEN];
    size_t slot;
    for (uint8_t i = 0; i < KITH_MDNS_KEYS_MAX; i++) {
        key_of(i, key);
        assert_int_equal(kith_mdns_keys_add(&s, KITH_MDNS_KEYS_MAX, key, &slot), KITH_OK);
        assert_int_equal(slot, i);
    }
    key_of(99, key);
    assert_int_equal(kith_mdns_keys_add(&s, KITH_MDNS_KEYS_MAX, key, &slot), KITH_ELIMIT);
    assert_int_equal(kith_mdns_keys_find(&s, key), KITH_MDNS_KEYS_MAX);
    key_of(7, key);
    assert_int_equal(kith_mdns_keys_add(&s, KITH_MDNS_KEYS_MAX, key, &slot), KITH_OK);
    assert_int_equal(slot, 7);
    s.used &= ~(1u << 20);
    key_of(99, key);
    assert_int_equal(kith_mdns_keys_add(&s, 20, key, &slot), KITH_ELIMIT);
    assert_int_equal(kith_mdns_keys_add(&s, 21, key, &slot), KITH_OK);
    assert_int_equal(slot, 20);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_a_name_and_the_name_is_the_key),
        cmocka_unit_test(names_that_are_nearly_one_are_none),
        cmocka_unit_test(a_set_has_so_many_and_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
