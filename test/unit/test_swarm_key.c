/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* swarm.key: the three codings, what is refused and how it is said, and the fingerprint. */
#include "wire/swarm_key.h"

#include "crypto/crypto.h"
#include "unit/support.h"

#define HEAD "/key/swarm/psk/1.0.0/\n"
#define HEX "03ffd9edc330642a0ae015493c9b60cea669860365d7c65932dce21d6cae4436"
#define UPPER "03FFD9EDC330642A0AE015493C9B60CEA669860365D7C65932DCE21D6CAE4436"
#define BASE64 "A//Z7cMwZCoK4BVJPJtgzqZphgNl18ZZMtziHWyuRDY="

static kith_err parse(kith_bytes text, uint8_t key[KITH_SWARM_KEY_LEN], const char **why)
{
    kith_span copy = support_copy(text);
    kith_err e = kith_swarm_key_parse(kith_span_bytes(copy), key, why);
    free(copy.p);
    return e;
}

static void all_that_go_reads_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HEAD "/base16/\n" HEX,          HEAD "/base16/\n" HEX "\n",
        HEAD "/base16/\n" UPPER "\n\n", HEAD "/base64/\n" BASE64,
        HEAD "/base64/\n" BASE64 "\n",  "/key/swarm/psk/1.0.0/\r\n/base16/\r\n" HEX "\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t key[KITH_SWARM_KEY_LEN] = {0};
        const char *why = NULL;
        assert_int_equal(parse(kith_bytes_str(texts[i]), key, &why), KITH_OK);
        support_assert_hex(kith_bytes_of(key, sizeof key), HEX);
    }
}

static void a_binary_key_may_hold_any_byte(void **state)
{
    (void)state;
    uint8_t file[128], got[KITH_SWARM_KEY_LEN];
    const char *why = NULL;
    for (int fill = 0; fill < 256; fill++) {
        uint8_t key[KITH_SWARM_KEY_LEN];
        memset(key, fill, sizeof key); /* newlines and blanks too */
        kith_wr w = kith_wr_of(kith_span_of(file, sizeof file));
        kith_put_str(&w, HEAD "/bin/\n");
        kith_put_bytes(&w, kith_bytes_of(key, sizeof key));
        assert_int_equal(parse(kith_wr_bytes(&w), got, &why), KITH_OK);
        assert_memory_equal(got, key, sizeof key);
        kith_put_u8(&w, '\n');
        assert_int_equal(parse(kith_wr_bytes(&w), got, &why), KITH_OK);
        kith_put_u8(&w, 'x');
        assert_int_equal(parse(kith_wr_bytes(&w), got, &why), KITH_EFORMAT);
    }
}

static void what_is_no_key_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "its first line is not /key/swarm/psk/1.0.0/"},
        {HEX, "its first line is not /key/swarm/psk/1.0.0/"},
        {"/key/swarm/psk/2.0.0/\n/base16/\n" HEX, "its first line is not /key/swarm/psk/1.0.0/"},
        {HEAD, "its second line is none of /base16/, /base64/ and /bin/"},
        {HEAD "/base32/\n" HEX, "its second line is none of /base16/, /base64/ and /bin/"},
        {HEAD "/base16/\n", "its third line is not a key of 64 hex digits"},
        {HEAD "/base16/\n" HEX "00", "its third line is not a key of 64 hex digits"},
        {HEAD "/base16/\n" HEX "\n" HEX, "its third line is not a key of 64 hex digits"},
        {HEAD "/base16/\n" BASE64, "its third line is not a key of 64 hex digits"},
        {HEAD "/base64/\n" HEX, "its third line is not a key of 32 bytes in base64"},
        {HEAD "/base64/\nA//Z7cMwZCoK4BVJPJtgzqZphgNl18ZZMtziHWyuRDY",
         "its third line is not a key of 32 bytes in base64"},
        {HEAD "/base64/\nA//Z7cMwZCoK4BVJPJtgzqZphgNl18ZZMtziHWyuRA==",
         "its third line is not a key of 32 bytes in base64"},
        {HEAD "/bin/\n0123456789012345678901234567890", "its key does not have 32 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t key[KITH_SWARM_KEY_LEN] = {9}, before[KITH_SWARM_KEY_LEN] = {9};
        const char *why = NULL;
        assert_int_equal(parse(kith_bytes_str(cases[i].text), key, &why), KITH_EFORMAT);
        assert_string_equal(why, cases[i].why);
        assert_memory_equal(key, before, sizeof key);
    }
}

static void try_it(void *ctx, kith_bytes in)
{
    uint8_t key[KITH_SWARM_KEY_LEN];
    const char *why = NULL;
    kith_err e = kith_swarm_key_parse(in, key, &why);
    assert_true(e == KITH_OK || (e == KITH_EFORMAT && why));
    if (in.len < *(const size_t *)ctx)
        assert_int_equal(e, KITH_EFORMAT);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {HEAD "/base16/\n" HEX, HEAD "/base64/\n" BASE64,
                                        HEAD "/bin/\n01234567890123456789012345678901"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t whole = strlen(texts[i]);
        support_mutate(kith_bytes_str(texts[i]), try_it, &whole);
    }
}

static void what_is_written_is_what_go_writes(void **state)
{
    (void)state;
    kith_span key = support_hex(HEX);
    uint8_t text[KITH_SWARM_KEY_TEXT_MAX], back[KITH_SWARM_KEY_LEN];
    const char *why = NULL;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_swarm_key_put(key.p, &w);
    assert_false(w.bad);
    support_assert_str(kith_wr_bytes(&w), HEAD "/base16/\n" HEX "\n");
    assert_int_equal(kith_swarm_key_parse(kith_wr_bytes(&w), back, &why), KITH_OK);
    assert_memory_equal(back, key.p, sizeof back);
    free(key.p);
}

static void the_fingerprint_is_kubos(void **state)
{
    (void)state;
    kith_span key = support_hex(HEX);
    uint8_t print[KITH_SWARM_KEY_PRINT_LEN];
    assert_int_equal(kith_swarm_key_print(key.p, print), KITH_OK);
    support_assert_hex(kith_bytes_of(print, sizeof print),
                       "c622f20b5a408852a39b0f7ed8ad58f8"); /* kubo 0.42.0 says so */
    free(key.p);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_go_reads_is_read),
        cmocka_unit_test(a_binary_key_may_hold_any_byte),
        cmocka_unit_test(what_is_no_key_is_refused_with_the_reason),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_written_is_what_go_writes),
        cmocka_unit_test(the_fingerprint_is_kubos),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
