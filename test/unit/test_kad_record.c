/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Under /pk/ stands the key of the peer that the rest names, and nothing else. */
#include "mesh/kad_record.h"
#include "support.h"
#include "wire/peer_id.h"

static void a_key_stands_under_its_peer_only(void **state)
{
    (void)state;
    uint8_t pub[KITH_ED25519_PUB_LEN] = {1, 2, 3}, pb[KITH_PUBKEY_ED25519_LEN], key[64] = "/pk/";
    kith_peer_id id;
    kith_pubkey_ed25519(pub, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
    memcpy(key + 4, id.b, id.len);
    kith_bytes k = kith_bytes_of(key, 4u + id.len), v = kith_bytes_of(pb, sizeof pb);
    assert_int_equal(kith_kad_pk.validate(NULL, k, v), KITH_OK);
    assert_false(kith_kad_pk.better(NULL, k, v, v));
    for (size_t i = 0; i < k.len; i++) {
        key[i] ^= 1;
        assert_int_not_equal(kith_kad_pk.validate(NULL, k, v), KITH_OK);
        key[i] ^= 1;
    }
    for (size_t i = 0; i < v.len; i++) {
        pb[i] ^= 1;
        assert_int_not_equal(kith_kad_pk.validate(NULL, k, v), KITH_OK);
        pb[i] ^= 1;
        assert_int_not_equal(kith_kad_pk.validate(NULL, k, kith_bytes_of(pb, i)), KITH_OK);
    }
}

static void a_namespace_is_what_stands_between_two_slashes(void **state)
{
    (void)state;
    const kith_kad_namespace all[] = {{.name = "a"}, {.name = "ab"}};
    assert_ptr_equal(kith_kad_namespace_of(all, 2, kith_bytes_str("/a/x")), &all[0]);
    assert_ptr_equal(kith_kad_namespace_of(all, 2, kith_bytes_str("/ab/x/y")), &all[1]);
    assert_ptr_equal(kith_kad_namespace_of(all, 2, kith_bytes_str("/ab/")), &all[1]);
    static const char *const none[] = {"", "/", "//", "a", "/a", "a/x", "/abc/x", "/b/x"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(kith_kad_namespace_of(all, 2, kith_bytes_str(none[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_stands_under_its_peer_only),
        cmocka_unit_test(a_namespace_is_what_stands_between_two_slashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
