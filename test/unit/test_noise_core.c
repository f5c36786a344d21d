/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both Noise handshakes against published vectors, byte for byte: the core with any payload, and the whole
 * machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/noise_pair.h"
#include "unit/vectors.h"

static void assert_hex(const json_t *v, const char *member, const uint8_t *got, size_t len)
{
    kith_span want = vectors_hex(v, member);
    assert_int_equal(want.len, len);
    assert_memory_equal(want.p, got, len);
    free(want.p);
}

/* XX over 25519 and SHA256, with either cipher and any psk modifiers, also what no suite of ours has. False: another name. */
static bool xx_suite(const char *name, kith_noise_suite *out)
{
    const char *p = name;
    *out = (kith_noise_suite){.name = name};
    if (strncmp(p, "Noise_XX", 8) != 0)
        return false;
    for (p += 8; strncmp(p, "psk", 3) == 0; p += p[4] == '+' ? 5 : 4)
        out->psk |= (uint8_t)(1 << (p[3] - '0'));
    if (strcmp(p, "_25519_AESGCM_SHA256") == 0)
        out->aead = KITH_AEAD_AES_256_GCM;
    return out->aead == KITH_AEAD_AES_256_GCM || strcmp(p, "_25519_ChaChaPoly_SHA256") == 0;
}

/* The keys one behind the other. */
static kith_span psks_of(const json_t *v, const char *member)
{
    const json_t *list = json_object_get(v, member);
    size_t n = json_array_size(list);
    uint8_t *all = calloc(n + 1, KITH_NOISE_PSK_LEN);
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_pack("{s:O}", "psk", json_array_get(list, i));
        kith_span key = vectors_hex(one, "psk");
        assert_int_equal(key.len, KITH_NOISE_PSK_LEN);
        memcpy(all + i * KITH_NOISE_PSK_LEN, key.p, key.len);
        free(key.p);
        json_decref(one);
    }
    return kith_span_of(all, n * KITH_NOISE_PSK_LEN);
}

static kith_dh *dh_of(const json_t *v, const char *member)
{
    kith_span secret = vectors_hex(v, member);
    kith_dh *k = kith_dh_new(secret.p);
    assert_non_null(k);
    free(secret.p);
    return k;
}

/* ---- classical XX with payloads in every message: snow, cacophony ---- */

static void run_xx(const json_t *v, const kith_noise_suite *suite)
{
    kith_span ei = vectors_hex(v, "init_ephemeral"), er = vectors_hex(v, "resp_ephemeral");
    kith_span pi = vectors_hex(v, "init_prologue"), pr = vectors_hex(v, "resp_prologue");
    heap h = {0};
    dice di = {.script = kith_span_bytes(ei)}, dr = {.script = kith_span_bytes(er)};
    kith_env env[2] = {{.alloc = {&h, heap_fn}, .rand = {&di, dice_fn}},
                       {.alloc = {&h, heap_fn}, .rand = {&dr, dice_fn}}};
    kith_dh *s[2] = {dh_of(v, "init_static"), dh_of(v, "resp_static")};
    kith_span psks[2] = {psks_of(v, "init_psks"), psks_of(v, "resp_psks")};
    kith_noise_hs hs[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kith_noise_hs_init(&hs[i], suite, i == 0, s[i], kith_span_bytes(i ? pr : pi)),
                         KITH_OK);
        kith_noise_hs_set_psks(&hs[i], psks[i].p);
        kith_noise_hs_draw(&hs[i], &env[i]);
    }

    const json_t *messages = json_object_get(v, "messages");
    assert_true(json_array_size(messages) > 3);
    const kith_noise_cipher unused = {.alg = suite->aead};
    kith_noise_cipher tx[2] = {unused, unused}, rx[2] = {unused, unused};
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        size_t w = i % 2; /* even messages are the initiator's, before and after the handshake */
        kith_span payload = vectors_hex(m, "payload");
        uint8_t buf[1024];
        if (i < 3) {
            size_t len = kith_noise_hs_len(&hs[w], payload.len);
            assert_int_equal(len, kith_noise_hs_len(&hs[!w], payload.len));
            size_t next = i < 2 ? kith_noise_hs_answer_len(&hs[w], 100) : 0;
            assert_true(len <= sizeof buf);
            assert_int_equal(kith_noise_hs_write(&hs[w], kith_span_bytes(payload), buf), KITH_OK);
            assert_hex(m, "ciphertext", buf, len);
            kith_bytes got;
            assert_int_equal(kith_noise_hs_read(&hs[!w], kith_span_of(buf, len), &got), KITH_OK);
            assert_true(kith_bytes_eq(got, kith_span_bytes(payload)));
            assert_true(i == 2 || next == kith_noise_hs_len(&hs[w], 100));
        } else {
            if (i == 3) {
                uint8_t k1[32], k2[32];
                assert_memory_equal(hs[0].h, hs[1].h, 32);
                if (json_object_get(v, "handshake_hash"))
                    assert_hex(v, "handshake_hash", hs[0].h, 32);
                kith_noise_hs_split(&hs[0], k1, k2);
                tx[0].aead = kith_aead_new(suite->aead, k1, true);
                rx[1].aead = kith_aead_new(suite->aead, k1, false);
                kith_noise_hs_split(&hs[1], k1, k2);
                tx[1].aead = kith_aead_new(suite->aead, k2, true);
                rx[0].aead = kith_aead_new(suite->aead, k2, false);
            }
            memcpy(buf, payload.p, payload.len);
            assert_int_equal(
                kith_noise_cipher_seal(&tx[w], kith_span_of(buf, payload.len), buf + payload.len), KITH_OK);
            assert_hex(m, "ciphertext", buf, payload.len + 16);
            assert_int_equal(
                kith_noise_cipher_open(&rx[!w], kith_span_of(buf, payload.len), buf + payload.len), KITH_OK);
            assert_memory_equal(buf, payload.p, payload.len);
        }
        free(payload.p);
    }
    for (int i = 0; i < 2; i++) {
        kith_noise_hs_fini(&hs[i]);
        kith_aead_free(tx[i].aead);
        kith_aead_free(rx[i].aead);
        kith_dh_free(s[i]);
    }
    assert_int_equal(h.live, 0);
    free(ei.p), free(er.p), free(pi.p), free(pr.p), free(psks[0].p), free(psks[1].p);
}

static void xx_file(const char *name, json_t *root, int wanted)
{
    if (!root) {
        skip();
        return;
    }
    const json_t *list = json_object_get(root, "vectors");
    int ran = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        kith_noise_suite suite;
        if (!xx_suite(vectors_str(v, "protocol_name"), &suite))
            continue;
        run_xx(v, &suite);
        ran++;
    }
    print_message("%s: %d vectors agree of %zu\n", name, ran, json_array_size(list));
    assert_int_equal(ran, wanted);
    assert_int_equal(ran, json_array_size(list));
    json_decref(root);
}

static void snow_agrees(void **state)
{
    (void)state;
    xx_file("snow", vectors_load("noise/snow-xx.json"),
            10); /* with each cipher one without psk, and with psk0 and 1, 2, 3, all */
}

static void cacophony_agrees(void **state)
{
    (void)state;
    xx_file("cacophony", vectors_load("noise/cacophony-xx.json"),
            4); /* with each cipher, one of them with psk3 */
}

/* ---- XXhfs ---- */

/* Noise alone, whatever kith's own suites add in their payloads. */
static const kith_noise_suite *suite_named(const char *name)
{
    static kith_noise_suite bare;
    for (size_t i = 0; i < kith_noise_suite_count; i++) {
        if (strcmp(kith_noise_suites[i].name, name) == 0) {
            bare = kith_noise_suites[i];
            bare.own = false;
            return &bare;
        }
    }
    return NULL;
}

/* The seals of a machine against those of a bare key. */
static void assert_key(side *s, const json_t *v, const char *member)
{
    kith_span key = vectors_hex(v, member);
    kith_noise_cipher c = {.aead = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, key.p, true)};
    for (int i = 0; i < 3; i++) {
        uint8_t got[64], want[64] = "a transport record";
        size_t len = side_seal(s, want, 18, got);
        assert_int_equal(kith_noise_cipher_seal(&c, kith_span_of(want, 18), want + 18), KITH_OK);
        assert_int_equal(len, 36);
        assert_int_equal(kith_load_be16(got), 34);
        assert_memory_equal(got + 2, want, 34);
    }
    kith_aead_free(c.aead);
    free(key.p);
}

static void append(uint8_t *out, size_t *len, const json_t *v, const char *member)
{
    kith_span b = vectors_hex(v, member);
    memcpy(out + *len, b.p, b.len);
    *len += b.len;
    free(b.p);
}

static void assert_message(const json_t *v, const char *member, const uint8_t *msg, size_t len)
{
    assert_true(len > 2);
    assert_int_equal(kith_load_be16(msg), len - 2);
    assert_hex(v, member, msg + 2, len - 2);
}

/* libp2p payloads: the whole machine. */
static void run_machine(const json_t *v, const kith_noise_suite *suite)
{
    uint8_t si[32 + 32 + 64], sr[32 + 32 + 32], msg[8192];
    size_t ni = 0, nr = 0;
    append(si, &ni, v, "static_i_private");
    append(si, &ni, v, "ephemeral_dh_i_private");
    append(si, &ni, v, "kem_keygen_seed");
    append(sr, &nr, v, "static_r_private");
    append(sr, &nr, v, "ephemeral_dh_r_private");
    append(sr, &nr, v, "kem_encap_seed");
    kith_span idi = vectors_hex(v, "identity_i_ed25519_seed"),
              idr = vectors_hex(v, "identity_r_ed25519_seed");
    side i, r;
    side_init(&i, idi.p, 0, kith_bytes_of(si, ni));
    side_init(&r, idr.p, 0, kith_bytes_of(sr, nr));
    kith_noise_config ci = side_config(&i, suite, true), cr = side_config(&r, suite, false);
    ci.expected = r.id;
    i.noise = kith_noise_new(&ci);
    r.noise = kith_noise_new(&cr);

    size_t len = side_send(&i, msg);
    assert_message(v, "msg_a", msg, len);
    side_feed(&r, kith_bytes_of(msg, len));
    len = side_send(&r, msg);
    assert_message(v, "msg_b", msg, len);
    side_feed(&i, kith_bytes_of(msg, len));
    len = side_send(&i, msg);
    assert_message(v, "msg_c", msg, len);
    side_feed(&r, kith_bytes_of(msg, len));
    assert_int_equal(i.dice.script.len, 0);
    assert_int_equal(r.dice.script.len, 0);
    assert_true(i.ready && r.ready);
    assert_hex(v, "handshake_hash", kith_noise_hash(i.noise), 32);
    assert_hex(v, "handshake_hash", kith_noise_hash(r.noise), 32);
    assert_true(kith_peer_id_eq(kith_noise_peer(i.noise), &r.id));
    assert_true(kith_peer_id_eq(kith_noise_peer(r.noise), &i.id));
    assert_key(&i, v, "cs1_k");
    assert_key(&r, v, "cs2_k");
    side_fini(&i);
    side_fini(&r);
    free(idi.p), free(idr.p);
}

/* Empty payloads: the core. */
static void run_core(const json_t *v, const kith_noise_suite *suite)
{
    static const char *names[] = {"msg_a", "msg_b", "msg_c"};
    uint8_t si[32 + 64], sr[32 + 32], msg[4096], k1[32], k2[32];
    size_t ni = 0, nr = 0;
    append(si, &ni, v, "ephemeral_dh_i_private");
    append(si, &ni, v, "kem_keygen_seed");
    append(sr, &nr, v, "ephemeral_dh_r_private");
    append(sr, &nr, v, "kem_encap_seed");
    dice di = {.script = kith_bytes_of(si, ni)}, dr = {.script = kith_bytes_of(sr, nr)};
    kith_env env[2] = {{.rand = {&di, dice_fn}}, {.rand = {&dr, dice_fn}}};
    kith_dh *s[2] = {dh_of(v, "static_i_private"), dh_of(v, "static_r_private")};
    kith_noise_hs hs[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kith_noise_hs_init(&hs[i], suite, i == 0, s[i], (kith_bytes){0}), KITH_OK);
        kith_noise_hs_draw(&hs[i], &env[i]);
    }
    for (int i = 0; i < 3; i++) {
        kith_bytes got;
        size_t len = kith_noise_hs_len(&hs[i % 2], 0);
        assert_int_equal(kith_noise_hs_write(&hs[i % 2], (kith_bytes){0}, msg), KITH_OK);
        assert_hex(v, names[i], msg, len);
        assert_int_equal(kith_noise_hs_read(&hs[!(i % 2)], kith_span_of(msg, len), &got), KITH_OK);
        assert_int_equal(got.len, 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_hex(v, "handshake_hash", hs[i].h, 32);
        kith_noise_hs_split(&hs[i], k1, k2);
        assert_hex(v, "cs1_k", k1, 32);
        assert_hex(v, "cs2_k", k2, 32);
        kith_noise_hs_fini(&hs[i]);
        kith_dh_free(s[i]);
    }
}

static void hfs_file(json_t *root, kith_kem_alg kem, bool machine, size_t count)
{
    if (!root) {
        skip();
        return;
    }
    const kith_noise_suite *suite = suite_named(vectors_str(root, "protocol"));
    assert_non_null(suite);
    assert_int_equal(suite->kem, kem);
    const json_t *list = json_object_get(root, "vectors");
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        (machine ? run_machine : run_core)(json_array_get(list, i), suite);
    json_decref(root);
}

static void hfs_768_core_agrees(void **state)
{
    (void)state;
    hfs_file(vectors_load("noise/xxhfs-mlkem768-empty.json"), KITH_KEM_MLKEM768, false, 5);
}

static void hfs_768_machine_agrees(void **state)
{
    (void)state;
    hfs_file(vectors_load("noise/xxhfs-mlkem768-libp2p.json"), KITH_KEM_MLKEM768, true, 5);
}

static void hfs_1024_machine_agrees(void **state)
{
    (void)state;
    hfs_file(vectors_load("noise/xxhfs-mlkem1024-libp2p.json"), KITH_KEM_MLKEM1024, true, 2);
}

static void hfs_512_machine_agrees(void **state)
{
    (void)state;
    hfs_file(vectors_load("noise/xxhfs-mlkem512-libp2p.json"), KITH_KEM_MLKEM512, true, 2);
}

static void the_vectors_of_the_repository_agree(void **state)
{
    (void)state;
    xx_file("test/vectors", vectors_own("noise/xx.json"), 1);
    hfs_file(vectors_own("noise/xxhfs-768.json"), KITH_KEM_MLKEM768, true, 1);
    hfs_file(vectors_own("noise/xxhfs-1024.json"), KITH_KEM_MLKEM1024, true, 1);
    hfs_file(vectors_own("noise/xxhfs-512.json"), KITH_KEM_MLKEM512, true, 1);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_repository_agree),
        cmocka_unit_test(snow_agrees),
        cmocka_unit_test(cacophony_agrees),
        cmocka_unit_test(hfs_768_core_agrees),
        cmocka_unit_test(hfs_768_machine_agrees),
        cmocka_unit_test(hfs_1024_machine_agrees),
        cmocka_unit_test(hfs_512_machine_agrees),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
