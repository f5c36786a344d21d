/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a post-quantum identity signs in a handshake, to the byte; test/unit/test_noise.c has the handshakes. */
#include "proto/noise_pq.h"

#include <stdlib.h>

#include "crypto/crypto.h"
#include "support.h"
#include "vectors.h"
#include "wire/pb.h"
#include "wire/peer_id.h"

#define K3 "/kith/noise-mlkem768-hfs/1"

static json_t *hex_of(kith_bytes b)
{
    char *text = malloc(2 * b.len + 1);
    kith_wr w = kith_wr_of(kith_span_of(text, 2 * b.len));
    kith_put_hex(&w, b);
    json_t *v = json_stringn(text, w.len);
    free(text);
    return v;
}

/* Number n: fixed bytes everywhere, the lists of a dialer at level 3 and of a listener at level 5. */
static json_t *vector(uint8_t n, kith_sig_alg alg, bool initiator)
{
    static const char *const lists[2][4] = {
        {"/kith/noise-mlkem1024-hfs/1", "/noise-mlkem768-hfs/0.2.0", "/noise"},
        {K3, "/kith/noise-mlkem1024-hfs/1", "/noise-mlkem768-hfs/0.2.0", "/noise"}};
    static uint8_t text[KITH_NOISE_PQ_TEXT_MAX], ext[32 * 1024];
    uint8_t seed[KITH_SIG_SEED_MAX], h[32], s[32], ed[32], raw[32], key[KITH_PUBKEY_ED25519_LEN],
        pq_key[KITH_PQ_KEY_MAX], sig[KITH_SIG_MAX];
    memset(seed, 0x50 + n, sizeof seed), memset(h, 0x60 + n, 32), memset(s, 0x70 + n, 32);
    memset(ed, 0x10 + n, 32);
    kith_signer *signer = kith_signer_new(ed);
    kith_pq_signer *pq;
    assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, kith_sig_info_of(alg)->seed_len), &pq),
                     KITH_OK);
    kith_signer_public(signer, raw);
    kith_pubkey_ed25519(raw, key);
    kith_wr k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key)),
            w = kith_wr_of(kith_span_of(text, sizeof text)), x = kith_wr_of(kith_span_of(ext, sizeof ext));
    kith_put_pq_key(&k, alg, kith_pq_signer_public(pq));
    kith_noise_pq_text t = {.initiator = initiator,
                            .suite = K3,
                            .h = h,
                            .s = s,
                            .identity = kith_bytes_of(key, sizeof key),
                            .pq_identity = kith_wr_bytes(&k)};
    json_t *channels = json_array();
    kith_put_noise_pq_text(&w, &t);
    for (size_t i = 0; i < 4 && lists[initiator][i]; i++) {
        kith_put_noise_pq_channel(&w, kith_bytes_str(lists[initiator][i]));
        kith_pb_put_str(&x, KITH_NOISE_EXT_CHANNEL, lists[initiator][i]);
        json_array_append_new(channels, json_string(lists[initiator][i]));
    }
    assert_int_equal(kith_pq_sign(pq, kith_wr_bytes(&w), NULL, sig), KITH_OK);
    kith_bytes sig_b = kith_bytes_of(sig, kith_sig_info_of(alg)->sig_len);
    kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_KEY, kith_wr_bytes(&k));
    kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_SIG, sig_b);
    assert_false(w.bad || x.bad || k.bad);

    /* what is written is what is read */
    kith_noise_pq_text check = t;
    kith_noise_pq got;
    const char *why;
    check.pq_identity = (kith_bytes){0};
    assert_int_equal(kith_noise_pq_check(kith_wr_bytes(&x), &check, &got, &why), KITH_OK);
    kith_pq_id id = kith_pq_id_of_signer(pq);
    assert_true(got.alg == alg && kith_pq_id_eq(&got.id, &id));

    json_t *v = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "alg",
                          kith_sig_info_of(alg)->name, "role", initiator ? "initiator" : "responder", "suite",
                          K3, "pq_seed", hex_of(kith_bytes_of(seed, kith_sig_info_of(alg)->seed_len)), "h",
                          hex_of(kith_bytes_of(h, 32)), "static", hex_of(kith_bytes_of(s, 32)),
                          "identity_key", hex_of(kith_bytes_of(key, sizeof key)), "channels", channels,
                          "signed", hex_of(kith_wr_bytes(&w)), "signature", hex_of(sig_b));
    kith_pq_signer_free(pq);
    kith_signer_free(signer);
    return v;
}

/* test/vectors/pq_handshake.json; with KITH_WRITE_VECTORS set it is written anew. */
static void the_signed_bytes_are_those_of_the_vectors(void **state)
{
    (void)state;
    json_t *made = json_array(), *v;
    for (int a = KITH_SIG_NONE + 1; a <= KITH_SIG_SLHDSA128F;
         a++) /* Falcon's signatures cannot be made again */
        json_array_append_new(made, vector((uint8_t)a, (kith_sig_alg)a, a % 2));
    if (getenv("KITH_WRITE_VECTORS"))
        assert_int_equal(
            json_dump_file(made, KITH_SOURCE_DIR "/test/vectors/pq_handshake.json", JSON_INDENT(1)), 0);
    v = vectors_own("pq_handshake.json");
    assert_true(json_equal(made, v));
    json_decref(v), json_decref(made);
}

static void an_identity_key_beyond_the_cap_is_refused(void **state)
{
    (void)state;
    static uint8_t big[KITH_NOISE_PQ_IDENTITY_MAX + 1], ext[8192], seed[32] = {3}, sig[KITH_SIG_MAX],
                                                                   text[KITH_NOISE_PQ_TEXT_MAX], h[32], s[32],
                                                                   pq_key[KITH_PQ_KEY_MAX];
    kith_pq_signer *pq;
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA44, kith_bytes_of(seed, 32), &pq), KITH_OK);
    for (size_t len = KITH_NOISE_PQ_IDENTITY_MAX; len <= sizeof big; len++) {
        kith_wr k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key)),
                w = kith_wr_of(kith_span_of(text, sizeof text)),
                x = kith_wr_of(kith_span_of(ext, sizeof ext));
        kith_put_pq_key(&k, KITH_SIG_MLDSA44, kith_pq_signer_public(pq));
        kith_noise_pq_text t = {.suite = K3,
                                .h = h,
                                .s = s,
                                .identity = kith_bytes_of(big, len),
                                .pq_identity = kith_wr_bytes(&k)};
        kith_put_noise_pq_text(&w, &t);
        assert_int_equal(kith_pq_sign(pq, kith_wr_bytes(&w), NULL, sig), KITH_OK);
        kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_KEY, kith_wr_bytes(&k));
        kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_SIG, kith_bytes_of(sig, 2420));
        kith_noise_pq got;
        const char *why;
        assert_int_equal(kith_noise_pq_check(kith_wr_bytes(&x), &t, &got, &why),
                         len == KITH_NOISE_PQ_IDENTITY_MAX ? KITH_OK : KITH_EPROTO);
    }
    kith_pq_signer_free(pq);
}

/* The peer's list goes into the text as long as it is: more of it than fits is refused before anything is verified. */
static void a_list_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static uint8_t ext[32 * 1024], seed[32] = {3}, h[32], s[32], pq_key[KITH_PQ_KEY_MAX], sig[2420];
    static char id[4000];
    memset(id, 'x', sizeof id - 1);
    kith_pq_signer *pq;
    assert_int_equal(kith_pq_signer_new(KITH_SIG_MLDSA44, kith_bytes_of(seed, 32), &pq), KITH_OK);
    kith_wr k = kith_wr_of(kith_span_of(pq_key, sizeof pq_key)),
            x = kith_wr_of(kith_span_of(ext, sizeof ext));
    kith_put_pq_key(&k, KITH_SIG_MLDSA44, kith_pq_signer_public(pq));
    kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_KEY, kith_wr_bytes(&k));
    kith_pb_put_bytes(&x, KITH_NOISE_EXT_PQ_SIG, kith_bytes_of(sig, sizeof sig));
    for (int n = 0; n < 3; n++) {
        kith_noise_pq_text t = {.suite = K3, .h = h, .s = s, .identity = kith_bytes_str("key")};
        kith_noise_pq got;
        const char *why;
        assert_int_equal(kith_noise_pq_check(kith_wr_bytes(&x), &t, &got, &why),
                         n < 2 ? KITH_ECRYPTO : KITH_EPROTO);
        kith_pb_put_str(&x, KITH_NOISE_EXT_CHANNEL, id);
    }
    kith_pq_signer_free(pq);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() == KITH_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signed_bytes_are_those_of_the_vectors),
        cmocka_unit_test(an_identity_key_beyond_the_cap_is_refused),
        cmocka_unit_test(a_list_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
