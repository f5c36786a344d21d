/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The identity file. */
#include "host/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/crypto.h"

static char dir[] = "/tmp/kith-identity-XXXXXX";
static char path[64];

static void put(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void it_is_made_once_and_stays_the_same(void **state)
{
    (void)state;
    kith_signer *a = NULL, *b = NULL;
    const char *why;
    bool made;
    uint8_t pa[KITH_ED25519_PUB_LEN], pb[KITH_ED25519_PUB_LEN];
    unlink(path);
    assert_int_equal(kith_identity_load(path, &a, &made, &why), KITH_OK);
    assert_true(made);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kith_identity_load(path, &b, &made, &why), KITH_OK);
    assert_false(made);
    kith_signer_public(a, pa);
    kith_signer_public(b, pb);
    assert_memory_equal(pa, pb, sizeof pa);
    kith_signer_free(a);
    kith_signer_free(b);
}

static void one_that_others_can_read_is_refused(void **state)
{
    (void)state;
    kith_signer *s = NULL;
    const char *why;
    bool made;
    for (unsigned mode = 01; mode < 0100; mode <<= 1) {
        put("kith identity 1\n", 0600 | mode);
        assert_int_equal(kith_identity_load(path, &s, &made, &why), KITH_EPOLICY);
        assert_non_null(strstr(why, "chmod 600"));
    }
}

static void what_cannot_be_used_is_left_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "hello\n", "kith identity 1\n", "kith identity 1",
                                      "kith identity 1\ned25519-seed 00\n"};
    kith_signer *s = NULL;
    const char *why;
    bool made;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(bad[i], 0600);
        assert_int_equal(kith_identity_load(path, &s, &made, &why), KITH_EFORMAT);
        assert_non_null(why);
        char now[64] = "";
        FILE *f = fopen(path, "r");
        size_t n = fread(now, 1, sizeof now - 1, f);
        fclose(f);
        assert_int_equal(n, strlen(bad[i]));
    }
    put("kith identity 2\ned25519-seed 00\n", 0600);
    assert_int_equal(kith_identity_load(path, &s, &made, &why), KITH_EFORMAT);
    assert_string_equal(why, "it was made by a newer kith");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(kith_identity_load(path, &s, &made, &why), KITH_EIO);
    rmdir(path);
    assert_int_equal(kith_identity_load("/nowhere/at/all", &s, &made, &why), KITH_EIO);
}

static void every_truncation_and_every_wrong_byte_is_told(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN], got[KITH_ED25519_SEED_LEN];
    char text[KITH_IDENTITY_LEN_MAX];
    const char *why;
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)(i * 9 + 1);
    size_t len = kith_identity_format(seed, text);
    assert_int_equal(kith_identity_parse(kith_bytes_of(text, len), got, &why), KITH_OK);
    assert_memory_equal(seed, got, sizeof seed);
    for (size_t n = 0; n < len; n++) {
        memset(got, 0, sizeof got);
        assert_int_equal(kith_identity_parse(kith_bytes_of(text, n), got, &why), KITH_EFORMAT);
        assert_non_null(why);
        assert_int_equal(got[0], 0); /* written only on success */
    }
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 0x40;
        assert_int_equal(kith_identity_parse(kith_bytes_of(text, len), got, &why), KITH_EFORMAT);
        text[i] ^= 0x40;
    }
}

static void fields_of_later_versions_are_skipped(void **state)
{
    (void)state;
    char text[KITH_IDENTITY_LEN_MAX], more[512];
    uint8_t seed[KITH_ED25519_SEED_LEN] = {7}, got[KITH_ED25519_SEED_LEN];
    const char *why;
    size_t len = kith_identity_format(seed, text);
    int n = snprintf(more, sizeof more, "%.*sml-dsa-65-seed 0123\n", (int)len, text);
    assert_int_equal(kith_identity_parse(kith_bytes_of(more, (size_t)n), got, &why), KITH_OK);
    assert_memory_equal(seed, got, sizeof seed);
    n = snprintf(more, sizeof more, "%.*s%s", (int)len, text, strchr(text, '\n') + 1); /* the seed twice */
    (void)n;
}

static int start(void **state)
{
    (void)state;
    if (kith_crypto_init() || !mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/identity", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_made_once_and_stays_the_same),
        cmocka_unit_test(one_that_others_can_read_is_refused),
        cmocka_unit_test(what_cannot_be_used_is_left_alone),
        cmocka_unit_test(every_truncation_and_every_wrong_byte_is_told),
        cmocka_unit_test(fields_of_later_versions_are_skipped),
    };
    return cmocka_run_group_tests(tests, start, end);
}
