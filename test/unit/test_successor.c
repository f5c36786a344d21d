/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Successor statements: made, taken apart, verified, followed, and everything that is not one. */
#include "wire/successor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "unit/vectors.h"
#include "wire/pb.h"

typedef struct person {
    kith_signer *signer;
    kith_pq_signer *keys[4];
    kith_peer_id peer;
    kith_pq_id ids[4];
} person;

static kith_pq_signer *pq_key(kith_sig_alg alg, uint8_t fill)
{
    uint8_t seed[KITH_SIG_SEED_MAX];
    kith_pq_signer *k = NULL;
    memset(seed, fill, sizeof seed);
    assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, kith_sig_info_of(alg)->seed_len), &k),
                     KITH_OK);
    return k;
}

static person person_of(uint8_t fill)
{
    static const kith_sig_alg algs[] = {KITH_SIG_MLDSA65, KITH_SIG_MLDSA44, KITH_SIG_SLHDSA128F,
                                        KITH_SIG_MLDSA87};
    uint8_t seed[32], raw[32], pb[KITH_PUBKEY_ED25519_LEN];
    person p = {0};
    memset(seed, fill, sizeof seed);
    p.signer = kith_signer_new(seed);
    kith_signer_public(p.signer, raw);
    kith_pubkey_ed25519(raw, pb);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &p.peer), KITH_OK);
    for (uint8_t i = 0; i < 4; i++) {
        p.keys[i] = pq_key(algs[i], (uint8_t)(fill + 1 + i));
        p.ids[i] = kith_pq_id_of_signer(p.keys[i]);
    }
    return p;
}

static void forget(person *p)
{
    kith_signer_free(p->signer);
    for (int i = 0; i < 4; i++)
        kith_pq_signer_free(p->keys[i]);
}

/* From key i to key i + 1, with number i + 1; free .p. */
static kith_span statement(const person *p, int i)
{
    static uint8_t room[KITH_SIG_MAX];
    kith_span s = kith_span_of(malloc(KITH_SUCCESSOR_MAX), KITH_SUCCESSOR_MAX);
    kith_wr w = kith_wr_of(s);
    kith_successor_of of = {.signer = p->signer,
                            .old_key = p->keys[i],
                            .new_key = p->keys[i + 1],
                            .seq = (uint64_t)i + 1,
                            .time = 1800000000 + (uint64_t)i,
                            .room = room};
    assert_int_equal(kith_successor_sign(&of, &w), KITH_OK);
    s.len = w.len;
    return s;
}

static void a_statement_says_what_was_signed(void **state)
{
    (void)state;
    person p = person_of(10);
    for (int i = 0; i < 3; i++) {
        kith_span b = statement(&p, i);
        kith_successor s;
        assert_int_equal(kith_successor_parse(kith_span_bytes(b), &s), KITH_OK);
        assert_true(kith_peer_id_eq(&s.peer, &p.peer));
        assert_true(kith_pq_id_eq(&s.old_id, &p.ids[i]) && kith_pq_id_eq(&s.new_id, &p.ids[i + 1]));
        assert_int_equal(s.seq, i + 1);
        assert_int_equal(s.time, 1800000000 + i);
        assert_int_equal(kith_successor_verify(&s), KITH_OK);
        free(b.p);
    }
    uint8_t small[100], room[KITH_SIG_MAX];
    kith_wr w = kith_wr_of(kith_span_of(small, sizeof small));
    kith_successor_of of = {
        .signer = p.signer, .old_key = p.keys[0], .new_key = p.keys[1], .seq = 1, .room = room};
    assert_int_equal(kith_successor_sign(&of, &w), KITH_ESPACE);
    forget(&p);
}

static void every_truncation_and_every_wrong_byte_is_refused(void **state)
{
    (void)state;
    person p = person_of(20);
    kith_span b = statement(&p, 0);
    kith_successor s;
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(kith_successor_parse(kith_bytes_of(b.p, n), &s), KITH_EFORMAT);
    size_t unparsed = 0;
    for (size_t i = 0; i < b.len; i++) {
        b.p[i] ^= 0x21;
        kith_err e = kith_successor_parse(kith_span_bytes(b), &s);
        unparsed += e != KITH_OK;
        assert_int_not_equal(e ? e : kith_successor_verify(&s), KITH_OK);
        b.p[i] ^= 0x21;
    }
    assert_true(unparsed > 10 && unparsed < 100);
    free(b.p);
    forget(&p);
}

/* Both signatures count: a thief of one key cannot name an heir. */
static void one_signature_alone_is_not_enough(void **state)
{
    (void)state;
    person p = person_of(30), thief = person_of(40);
    kith_span good = statement(&p, 0), other = statement(&thief, 0);
    kith_successor s, t;
    assert_int_equal(kith_successor_parse(kith_span_bytes(good), &s), KITH_OK);
    assert_int_equal(kith_successor_parse(kith_span_bytes(other), &t), KITH_OK);
    kith_bytes sig = s.sig, pq_sig = s.pq_sig, none[] = {{0}, t.sig, t.pq_sig, sig, pq_sig};
    for (size_t i = 0; i < 5; i++) {
        s.sig = none[i];
        s.pq_sig = pq_sig;
        assert_int_equal(kith_successor_verify(&s), i == 3 ? KITH_OK : KITH_ECRYPTO);
        s.sig = sig;
        s.pq_sig = none[i];
        assert_int_equal(kith_successor_verify(&s), i == 4 ? KITH_OK : KITH_ECRYPTO);
    }
    s.pq_sig = pq_sig;
    s.new_key = t.new_key;
    assert_int_equal(kith_successor_verify(&s), KITH_ECRYPTO);
    free(good.p), free(other.p);
    forget(&p), forget(&thief);
}

/* Fields of a statement put together anew: `drop` is left out, `twice` written twice. */
static kith_err rebuilt(kith_bytes in, uint32_t drop, uint32_t twice, bool extra)
{
    static uint8_t out[2 * KITH_SUCCESSOR_MAX];
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    kith_successor s;
    while (kith_pb_next(&r, &f)) {
        for (int n = (f.tag != drop) + (f.tag == twice); n > 0; n--) {
            if (f.wire == 0)
                kith_pb_put_num(&w, f.tag, f.num);
            else
                kith_pb_put_bytes(&w, f.tag, f.data);
        }
    }
    if (extra)
        kith_pb_put_num(&w, 8, 1);
    assert_false(w.bad);
    return kith_successor_parse(kith_wr_bytes(&w), &s);
}

/* A peer whose key is of another kind may be known; a successor of it is not understood. */
static void a_statement_of_another_kind_of_key_is_not_understood(void **state)
{
    (void)state;
    person p = person_of(50);
    kith_span b = statement(&p, 0);
    uint8_t *type = memchr(b.p, 8, b.len); /* of the PublicKey: field 1, then its kind */
    assert_non_null(type);
    kith_successor s;
    assert_int_equal(type[1], 1);
    type[1] = 3; /* ECDSA */
    assert_int_equal(kith_successor_parse(kith_span_bytes(b), &s), KITH_EUNSUPPORTED);
    free(b.p);
    forget(&p);
}

static void a_statement_has_one_form(void **state)
{
    (void)state;
    person p = person_of(50);
    kith_span b = statement(&p, 0);
    assert_int_equal(rebuilt(kith_span_bytes(b), 0, 0, false), KITH_OK);
    assert_int_equal(rebuilt(kith_span_bytes(b), 0, 0, true), KITH_EFORMAT);
    for (uint32_t tag = 1; tag <= 7; tag++) {
        assert_int_equal(rebuilt(kith_span_bytes(b), tag, 0, false), KITH_EFORMAT);
        assert_int_equal(rebuilt(kith_span_bytes(b), 0, tag, false), KITH_EFORMAT);
    }
    free(b.p);
    person same = p;
    same.keys[1] = p.keys[0]; /* a key cannot follow itself */
    b = statement(&same, 0);
    kith_successor s;
    assert_int_equal(kith_successor_parse(kith_span_bytes(b), &s), KITH_EFORMAT);
    free(b.p);
    static uint8_t big[KITH_SUCCESSOR_MAX + 1];
    assert_int_equal(kith_successor_parse(kith_bytes_of(big, sizeof big), &s), KITH_EFORMAT);
    forget(&p);
}

static void a_chain_is_followed_from_wherever_the_contact_stands(void **state)
{
    (void)state;
    person p = person_of(60);
    kith_bytes chain[KITH_SUCCESSORS_MAX + 1];
    kith_span b[3];
    for (int i = 0; i < 3; i++) {
        b[i] = statement(&p, i);
        chain[i] = kith_span_bytes(b[i]);
    }
    for (int from = 0; from < 3; from++) {
        kith_pq_id id = p.ids[from];
        uint64_t seq = (uint64_t)from;
        assert_int_equal(kith_successor_follow(chain, 3, &p.peer, &id, &seq), KITH_OK);
        assert_true(kith_pq_id_eq(&id, &p.ids[3]));
        assert_int_equal(seq, 3);
    }
    kith_pq_id id = p.ids[3];
    uint64_t seq = 3;
    assert_int_equal(kith_successor_follow(chain, 3, &p.peer, &id, &seq), KITH_ENOTFOUND);
    assert_int_equal(kith_successor_follow(chain, 0, &p.peer, &id, &seq), KITH_ENOTFOUND);
    id = p.ids[0];
    assert_int_equal(kith_successor_follow(chain, KITH_SUCCESSORS_MAX + 1, &p.peer, &id, &seq), KITH_ELIMIT);

    seq = 1; /* the pinned key has this number already: an old statement is played again */
    assert_int_equal(kith_successor_follow(chain, 3, &p.peer, &id, &seq), KITH_EPROTO);
    seq = 0;
    person other = person_of(90);
    assert_int_equal(kith_successor_follow(chain, 3, &other.peer, &id, &seq), KITH_EAUTH);
    b[1].p[b[1].len - 1] ^= 1; /* the second step is forged: not even the first is taken */
    assert_int_equal(kith_successor_follow(chain, 3, &p.peer, &id, &seq), KITH_ECRYPTO);
    assert_true(kith_pq_id_eq(&id, &p.ids[0]) && seq == 0);
    b[1].len = 10;
    chain[1] = kith_span_bytes(b[1]);
    assert_int_equal(kith_successor_follow(chain, 3, &p.peer, &id, &seq), KITH_EFORMAT);
    for (int i = 0; i < 3; i++)
        free(b[i].p);
    forget(&p), forget(&other);
}

/* ---- the project's own vectors ---- */

static json_t *hex_of(kith_bytes b)
{
    char *text = malloc(2 * b.len + 1);
    kith_wr w = kith_wr_of(kith_span_of(text, 2 * b.len));
    kith_put_hex(&w, b);
    json_t *v = json_stringn(text, w.len);
    free(text);
    return v;
}

static json_t *id_of(const kith_pq_id *id)
{
    char text[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(id, text);
    return json_string(text);
}

static json_t *fill_of(uint8_t fill, size_t len)
{
    uint8_t b[KITH_SIG_SEED_MAX];
    memset(b, fill, len);
    return hex_of(kith_bytes_of(b, len));
}

static json_t *key_vector(kith_sig_alg alg)
{
    uint8_t pb[KITH_PQ_KEY_MAX];
    kith_pq_signer *k = pq_key(alg, (uint8_t)alg);
    kith_pq_id id = kith_pq_id_of_signer(k);
    kith_wr w = kith_wr_of(kith_span_of(pb, sizeof pb));
    kith_put_pq_key(&w, alg, kith_pq_signer_public(k));
    json_t *v = json_pack("{s:s, s:o, s:o, s:o}", "alg", kith_sig_info_of(alg)->name, "seed",
                          fill_of((uint8_t)alg, kith_sig_info_of(alg)->seed_len), "public_key",
                          hex_of(kith_wr_bytes(&w)), "pq_id", id_of(&id));
    kith_pq_signer_free(k);
    return v;
}

static json_t *successor_vector(uint8_t n, kith_sig_alg from, kith_sig_alg to)
{
    static uint8_t out[KITH_SUCCESSOR_MAX], room[KITH_SIG_MAX];
    uint8_t seed[32], rnd[KITH_SIG_RND_LEN];
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    memset(seed, 0x10 + n, sizeof seed);
    memset(rnd, 0x40 + n, sizeof rnd);
    kith_signer *signer = kith_signer_new(seed);
    kith_pq_signer *old_key = pq_key(from, (uint8_t)(0x20 + n)), *new_key = pq_key(to, (uint8_t)(0x30 + n));
    kith_successor_of of = {.signer = signer,
                            .old_key = old_key,
                            .new_key = new_key,
                            .seq = n,
                            .time = 1800000000u + n,
                            .rnd = rnd,
                            .room = room};
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_successor s;
    assert_int_equal(kith_successor_sign(&of, &w), KITH_OK);
    assert_int_equal(kith_successor_parse(kith_wr_bytes(&w), &s), KITH_OK);
    assert_int_equal(kith_successor_verify(&s), KITH_OK);
    kith_peer_id_text(&s.peer, peer);
    json_t *v = json_pack(
        "{s:o, s:s, s:o, s:s, s:o, s:o, s:i, s:I, s:s, s:o, s:o, s:o}", "ed25519_seed",
        fill_of((uint8_t)(0x10 + n), 32), "old_alg", kith_sig_info_of(from)->name, "old_seed",
        fill_of((uint8_t)(0x20 + n), kith_sig_info_of(from)->seed_len), "new_alg", kith_sig_info_of(to)->name,
        "new_seed", fill_of((uint8_t)(0x30 + n), kith_sig_info_of(to)->seed_len), "rnd",
        fill_of((uint8_t)(0x40 + n), 32), "seq", n, "time", (json_int_t)of.time, "peer", peer, "old_pq_id",
        id_of(&s.old_id), "new_pq_id", id_of(&s.new_id), "statement", hex_of(kith_wr_bytes(&w)));
    kith_signer_free(signer);
    kith_pq_signer_free(old_key), kith_pq_signer_free(new_key);
    return v;
}

/* test/vectors/pq_identity.json; with KITH_WRITE_VECTORS set it is written anew. */
static void the_vectors_come_out_again(void **state)
{
    (void)state;
    json_t *made = json_pack("{s:[], s:[]}", "keys", "successors"), *v;
    json_t *keys = json_object_get(made, "keys"), *successors = json_object_get(made, "successors");
    for (int a = KITH_SIG_MLDSA44; a <= KITH_SIG_SLHDSA128F; a++)
        json_array_append_new(keys, key_vector((kith_sig_alg)a));
    json_array_append_new(successors, successor_vector(1, KITH_SIG_MLDSA65, KITH_SIG_MLDSA65));
    json_array_append_new(successors, successor_vector(2, KITH_SIG_MLDSA44, KITH_SIG_MLDSA87));
    json_array_append_new(successors, successor_vector(3, KITH_SIG_SLHDSA128S, KITH_SIG_MLDSA65));
    if (getenv("KITH_WRITE_VECTORS"))
        assert_int_equal(
            json_dump_file(made, KITH_SOURCE_DIR "/test/vectors/pq_identity.json", JSON_INDENT(1)), 0);
    v = vectors_own("pq_identity.json");
    assert_true(json_equal(made, v));
    json_decref(v), json_decref(made);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_says_what_was_signed),
        cmocka_unit_test(every_truncation_and_every_wrong_byte_is_refused),
        cmocka_unit_test(one_signature_alone_is_not_enough),
        cmocka_unit_test(a_statement_of_another_kind_of_key_is_not_understood),
        cmocka_unit_test(a_statement_has_one_form),
        cmocka_unit_test(a_chain_is_followed_from_wherever_the_contact_stands),
        cmocka_unit_test(the_vectors_come_out_again),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
