/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whose key is whose. What a KME has to do with it is tested in test/cli/test_qkd.py. */
#include "crypto/crypto.h"
#include "host/qkd_keys.h"

#include <stdio.h>

#include "support.h"

#define PEER "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE"
#define ID "bc490419-7d60-487f-adc1-4ddcc177c139"

/* The hash computed by another program: sha256("kith-qkd-sae-v1:" ID "alice"), 16 bytes of it. */
static void a_name_is_the_id_and_whose_it_is(void **state)
{
    (void)state;
    static const uint8_t hash[16] = {0x7f, 0x0b, 0x49, 0xa7, 0x0d, 0x06, 0x36, 0xef,
                                     0xfd, 0xa1, 0xc4, 0x4e, 0x4c, 0x79, 0xe8, 0x31};
    uint8_t name[KITH_NOISE_KEY_NAME_LEN], other[KITH_NOISE_KEY_NAME_LEN];
    kith_qkd_name(ID, "alice", name);
    assert_memory_equal(name, ID, KITH_QKD_ID_LEN);
    assert_memory_equal(name + KITH_QKD_ID_LEN, hash, sizeof hash);
    kith_qkd_name(ID, "alicf", other);
    assert_memory_not_equal(name, other, sizeof name);
}

static void a_peer_and_its_sae(void **state)
{
    (void)state;
    kith_qkd_peer p;
    char text[KITH_PEER_ID_TEXT_MAX + 1], sae[512];
    assert_int_equal(kith_qkd_peer_parse(PEER "=urn:sae=1", &p), KITH_OK); /* the first = parts them */
    kith_peer_id_text(&p.id, text);
    assert_string_equal(text, PEER);
    assert_string_equal(p.sae, "urn:sae=1");
    snprintf(sae, sizeof sae, PEER "=%0128d", 0);
    assert_int_equal(kith_qkd_peer_parse(sae, &p), KITH_OK);
    snprintf(sae, sizeof sae, PEER "=%0129d", 0);
    assert_int_equal(kith_qkd_peer_parse(sae, &p), KITH_EFORMAT);
    static const char *const bad[] = {
        "", "=", "alice", PEER, PEER "=", "=alice", PEER "=al ice", PEER "=\xc3\xa4", "x=alice"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kith_qkd_peer_parse(bad[i], &p), KITH_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_the_id_and_whose_it_is),
        cmocka_unit_test(a_peer_and_its_sae),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
