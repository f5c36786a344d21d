/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a KME may say, and what it may not. Examples after ETSI GS QKD 014 V1.1.1, clause 6. */
#include "host/qkd_msg.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/wiping.h"
#include "support.h"

#define ID "bc490419-7d60-487f-adc1-4ddcc177c139"
#define ID_UPPER "BC490419-7D60-487F-ADC1-4DDCC177C139"
/* 00 01 02 ... 1f */
#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const char container[] = "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\"}]}";

static const char *refused(const char *text, const char *id)
{
    const char *why = NULL;
    kith_qkd_key k = {0};
    kith_qkd_key untouched = {0};
    assert_int_equal(kith_qkd_parse_key(kith_bytes_str(text), id, &k, &why), KITH_EPROTO);
    assert_memory_equal(&k, &untouched, sizeof k);
    assert_non_null(why);
    return why;
}

static void accepted(const char *text, const char *id, bool simulated)
{
    const char *why = NULL;
    kith_qkd_key k = {0};
    assert_int_equal(kith_qkd_parse_key(kith_bytes_str(text), id, &k, &why), KITH_OK);
    assert_null(why);
    for (size_t i = 0; i < sizeof k.key; i++)
        assert_int_equal(k.key[i], i);
    assert_int_equal(k.simulated, simulated);
}

static void a_container_holds_the_one_key(void **state)
{
    (void)state;
    accepted(container, NULL, false);
    accepted(container, ID, false);
    accepted(container, ID_UPPER, false);
    accepted("{\"keys\":[{\"key_ID\":\"" ID_UPPER "\",\"key\":\"" KEY
             "\",\"key_ID_extension\":{},\"key_extension\":{\"a\":[1]},\"later\":7}],\"more\":null}",
             ID, false);
}

static void simulation_is_what_the_kme_says(void **state)
{
    (void)state;
#define WITH(extension) \
    "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\"}],\"key_container_extension\":" extension "}"
    accepted(WITH("{\"simulated\":true}"), ID, true);
    accepted(WITH("{\"simulated\":false}"), ID, false);
    accepted(WITH("{}"), ID, false);
    assert_string_equal(refused(WITH("[]"), ID), "the KME's reply is not a key container");
#undef WITH
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    char text[sizeof container];
    for (size_t n = 0; n < sizeof container - 1; n++) {
        memcpy(text, container, n);
        text[n] = '\0';
        refused(text, NULL);
    }
}

/* A changed byte is another key or id of the right form, or is refused; never a key that is not whole. */
static void every_wrong_byte_is_another_key_or_refused(void **state)
{
    (void)state;
    char text[sizeof container];
    unsigned same = 0;
    for (size_t i = 0; i < sizeof container - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            const char *why;
            kith_qkd_key k = {0};
            memcpy(text, container, sizeof text);
            text[i] = (char)(text[i] ^ (1 << bit));
            if (kith_qkd_parse_key(kith_bytes_of(text, sizeof text - 1), ID, &k, &why))
                continue;
            assert_true(kith_qkd_same_id(k.id, ID));
            same++;
        }
    }
    assert_true(same > 0 && same < 8 * 44 + 36); /* of the key's characters and the id's case */
}

static void what_is_not_one_key_of_256_bits_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "null",
        "{}",
        "7",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[7]}",
        "{\"keys\":[{\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\"}]}",
        "{\"keys\":[{\"key_ID\":7,\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":7}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"\"}]}",
        /* 31 and 33 bytes; no padding; bits after the last byte; not base64; the alphabet for URLs */
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh *\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"-_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]}",
        /* ids that are no UUID */
        "{\"keys\":[{\"key_ID\":\"bc490419-7d60-487f-adc1-4ddcc177c13\",\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"bc490419-7d60-487f-adc1-4ddcc177c139a\",\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"bc4904197-d60-487f-adc1-4ddcc177c139\",\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"gc490419-7d60-487f-adc1-4ddcc177c139\",\"key\":\"" KEY "\"}]}",
        /* two keys; a member twice; extensions that are none; bytes after the end */
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\"},{\"key_ID\":\"" ID "\",\"key\":\"" KEY
        "\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key_ID\":\"" ID "\",\"key\":\"" KEY "\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\",\"key_extension\":7}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\",\"key_ID_extension\":\"\"}]}",
        "{\"keys\":[{\"key_ID\":\"" ID "\",\"key\":\"" KEY "\"}]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(texts[i], NULL);
}

static void another_key_than_the_one_asked_for_is_refused(void **state)
{
    (void)state;
    assert_string_equal(refused(container, "bc490419-7d60-487f-adc1-4ddcc177c138"),
                        "the KME's reply has another key than the one that was asked for");
}

static void a_reply_has_a_largest_size(void **state)
{
    (void)state;
    char *text = malloc(KITH_QKD_REPLY_MAX + 2);
    const char *why;
    kith_qkd_key k;
    memset(text, ' ', KITH_QKD_REPLY_MAX + 1);
    memcpy(text, container, sizeof container - 1);
    assert_int_equal(kith_qkd_parse_key(kith_bytes_of(text, KITH_QKD_REPLY_MAX), ID, &k, &why), KITH_OK);
    assert_int_equal(kith_qkd_parse_key(kith_bytes_of(text, KITH_QKD_REPLY_MAX + 1), ID, &k, &why),
                     KITH_EPROTO);
    free(text);
}

#define STATUS(size, count, extension)                                                                       \
    "{\"source_KME_ID\":\"AAAA\",\"target_KME_ID\":\"BBBB\",\"master_SAE_ID\":\"M\",\"slave_SAE_ID\":\"S\"," \
    "\"key_size\":" size ",\"stored_key_count\":" count                                                      \
    ",\"max_key_count\":100000,\"max_key_per_request\":128,\"max_key_size\":1024,\"min_key_size\":64,"       \
    "\"max_SAE_ID_count\":0" extension "}"

static void a_status_is_read(void **state)
{
    (void)state;
    const char *why;
    kith_qkd_status s;
    assert_int_equal(kith_qkd_parse_status(kith_bytes_str(STATUS("352", "25000", "")), &s, &why), KITH_OK);
    assert_string_equal(s.source_kme, "AAAA");
    assert_string_equal(s.target_kme, "BBBB");
    assert_string_equal(s.master_sae, "M");
    assert_string_equal(s.slave_sae, "S");
    assert_int_equal(s.key_size, 352);
    assert_int_equal(s.stored_key_count, 25000);
    assert_int_equal(s.max_key_count, 100000);
    assert_int_equal(s.max_key_per_request, 128);
    assert_int_equal(s.max_key_size, 1024);
    assert_int_equal(s.min_key_size, 64);
    assert_int_equal(s.max_sae_id_count, 0);
    assert_false(s.simulated);
    static const char simulated[] = STATUS("352", "1", ",\"status_extension\":{\"simulated\":true}");
    assert_int_equal(kith_qkd_parse_status(kith_bytes_str(simulated), &s, &why), KITH_OK);
    assert_true(s.simulated);
}

static void a_status_out_of_form_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[]",
        "{}",
        STATUS("-1", "1", ""),
        STATUS("1.5", "1", ""),
        STATUS("\"352\"", "1", ""),
        STATUS("4294967296", "1", ""),
        STATUS("352", "null", ""),
        STATUS("352", "1", ",\"status_extension\":1"),
        STATUS("352", "1", ",\"key_size\":352"),
        "{\"source_KME_ID\":\"\",\"target_KME_ID\":\"B\",\"master_SAE_ID\":\"M\",\"slave_SAE_ID\":\"S\"}",
        "{\"source_KME_ID\":\"\\u0007\",\"target_KME_ID\":\"B\",\"master_SAE_ID\":\"M\",\"slave_SAE_ID\":\"S\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *why = NULL;
        kith_qkd_status s;
        assert_int_equal(kith_qkd_parse_status(kith_bytes_str(texts[i]), &s, &why), KITH_EPROTO);
        assert_non_null(why);
    }
}

static void a_message_is_fit_for_a_terminal(void **state)
{
    (void)state;
    char out[KITH_QKD_TEXT_MAX], text[1024];
    kith_qkd_parse_error(kith_bytes_str("{\"message\":\"size shall be a multiple of 8\",\"details\":[{}]}"),
                         out);
    assert_string_equal(out, "size shall be a multiple of 8");
    kith_qkd_parse_error(kith_bytes_str("{\"message\":\"a\\u001b[31m\\u00e9\"}"), out);
    assert_string_equal(out, "a?[31m??");
    static const char *const none[] = {"", "{}", "[]", "{\"message\":7}", "<html>"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        kith_qkd_parse_error(kith_bytes_str(none[i]), out);
        assert_string_equal(out, "");
    }
    snprintf(text, sizeof text, "{\"message\":\"%0900d\"}", 0);
    kith_qkd_parse_error(kith_bytes_str(text), out);
    assert_int_equal(strlen(out), KITH_QKD_TEXT_MAX - 1);
}

static void the_wiping_heap_keeps_contents(void **state)
{
    (void)state;
    char *a = kith_wiping_strdup("key");
    a = kith_wiping_realloc(a, 100);
    assert_string_equal(a, "key");
    a = kith_wiping_realloc(a, 2);
    assert_memory_equal(a, "ke", 2);
    kith_wiping_free(a);
    kith_wiping_free(NULL);
    char *z = kith_wiping_calloc(3, 5);
    for (int i = 0; i < 15; i++)
        assert_int_equal(z[i], 0);
    kith_wiping_free(z);
    assert_null(kith_wiping_calloc(SIZE_MAX / 2, 4));
    assert_null(kith_wiping_malloc(SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_holds_the_one_key),
        cmocka_unit_test(simulation_is_what_the_kme_says),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_wrong_byte_is_another_key_or_refused),
        cmocka_unit_test(what_is_not_one_key_of_256_bits_is_refused),
        cmocka_unit_test(another_key_than_the_one_asked_for_is_refused),
        cmocka_unit_test(a_reply_has_a_largest_size),
        cmocka_unit_test(a_status_is_read),
        cmocka_unit_test(a_status_out_of_form_is_refused),
        cmocka_unit_test(a_message_is_fit_for_a_terminal),
        cmocka_unit_test(the_wiping_heap_keeps_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
