/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What went wrong in other programs, tried here: one test for each published advisory about parsing, keys, records and file names. Those
 * that need a connection are in test/sim/test_attack_sim.c and test_noise.c; docs/guide/security.md lists all of them. */
#include "support.h"

#include <stdio.h>

#include "apps/message_stream.h"
#include "apps/share.h"
#include "apps/share_manifest.h"
#include "apps/share_name.h"
#include "apps/share_ticket.h"
#include "crypto/crypto.h"
#include "proto/frames.h"
#include "proto/identify.h"
#include "proto/mss.h"
#include "wire/envelope.h"
#include "wire/multihash.h"
#include "wire/pb.h"

/* ---- keys ---- */

static void put_der(kith_wr *w, uint8_t tag, size_t len)
{
    kith_put_u8(w, tag);
    if (len >= 256) {
        kith_put_u8(w, 0x82);
        kith_put_be16(w, (uint16_t)len);
    } else if (len >= 128) {
        kith_put_u8(w, 0x81);
        kith_put_u8(w, (uint8_t)len);
    } else {
        kith_put_u8(w, (uint8_t)len);
    }
}

static size_t der_len(size_t len)
{
    return len + (len >= 256 ? 4 : len >= 128 ? 3 : 2);
}

/* A PublicKey of libp2p with an RSA key (RFC 8017, A.1) whose modulus has so many bits; it is odd, and random otherwise. */
static size_t rsa_pubkey(size_t bits, uint64_t e, uint8_t *out, size_t size)
{
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    size_t n = bits / 8 + 1, key = der_len(n) + der_len(9), bit = 1 + der_len(key);
    size_t spki = sizeof algorithm + der_len(bit);
    uint64_t rnd = bits;
    kith_wr w = kith_wr_of(kith_span_of(out, size));
    kith_put_uvarint(&w, 1 << 3);
    kith_put_uvarint(&w, KITH_KEY_RSA);
    kith_put_uvarint(&w, 2 << 3 | 2);
    kith_put_uvarint(&w, der_len(spki));
    put_der(&w, 0x30, spki);
    kith_put_bytes(&w, kith_bytes_of(algorithm, sizeof algorithm));
    put_der(&w, 0x03, bit);
    kith_put_u8(&w, 0);
    put_der(&w, 0x30, key);
    put_der(&w, 0x02, n);
    kith_put_u8(&w, 0);
    for (size_t i = 1; i < n; i++)
        kith_put_u8(&w, (uint8_t)((i == 1 ? 0x80u : 0) | (i == n - 1 ? 1u : 0) | (support_next(&rnd) >> 56)));
    put_der(&w, 0x02, 9);
    kith_put_u8(&w, 0);
    kith_put_be64(&w, e);
    assert_false(w.bad);
    return w.len;
}

static kith_err rsa_verdict(size_t bits, uint64_t e)
{
    static uint8_t key[8192], sig[4096] = {1};
    size_t len = rsa_pubkey(bits, e, key, sizeof key);
    kith_key_type type;
    kith_bytes data;
    kith_err err = kith_pubkey_parse(kith_bytes_of(key, len), &type, &data);
    if (err)
        return err;
    err = kith_key_check(type, data);
    /* whatever the key, a signature that is none is refused */
    assert_int_not_equal(
        kith_pubkey_verify(kith_bytes_of(key, len), kith_bytes_str("m"), kith_bytes_of(sig, bits / 8)),
        KITH_OK);
    return err;
}

/* go-libp2p: verifying with an RSA key of any size kept a processor busy during the handshake. */
static void CVE_2023_39533_a_large_rsa_key_is_not_computed_with(void **state)
{
    (void)state;
    const uint64_t f4 =
        (uint64_t)65537; /* DER integers of a fixed length are not minimal: OpenSSL reads them */
    assert_int_equal(rsa_verdict(2048, f4), KITH_OK);
    assert_int_equal(rsa_verdict(8192, f4), KITH_OK);
    assert_int_not_equal(rsa_verdict(2040, f4), KITH_OK);
    assert_int_not_equal(rsa_verdict(8200, f4), KITH_OK);
    assert_int_not_equal(rsa_verdict(15360, f4), KITH_OK);
    assert_int_not_equal(rsa_verdict(32768, f4), KITH_OK); /* longer than any PublicKey that is read */
    assert_int_not_equal(rsa_verdict(2048, (uint64_t)1 << 33 | 1), KITH_OK);
    assert_int_not_equal(rsa_verdict(2048, 1), KITH_OK);
    assert_int_not_equal(rsa_verdict(2048, 65538), KITH_OK);
}

/* js-libp2p (GHSA-rvfr-cqwq-rc4j): a DER length that was longer than the key kept the loop busy for as long as it said. Each octet of a
 * key's structure says every value here; a key either is refused at once or is the same that it was. */
static void CVE_2026_110789_a_length_inside_a_key_is_not_followed(void **state)
{
    (void)state;
    static uint8_t key[8192], sig[256] = {1};
    size_t len = rsa_pubkey(2048, 65537, key, sizeof key), modulus = len - 11 - 257;
    for (size_t at = 0; at < len; at += at < 48 ? 1 : at > len - 16 ? 1 : 16) {
        for (unsigned v = 0; v < 256; v += v < 0x80 ? 16 : 1) { /* all of the long forms */
            static uint8_t copy[8192];
            kith_key_type type;
            kith_bytes data;
            memcpy(copy, key, len);
            copy[at] = (uint8_t)v;
            kith_span cut = support_copy(kith_bytes_of(copy, len));
            if (kith_pubkey_parse(kith_span_bytes(cut), &type, &data) == KITH_OK) {
                bool taken = kith_key_check(type, data) == KITH_OK;
                /* OpenSSL takes any type of the algorithm's parameters, of which there are none */
                assert_true(!taken || at >= modulus || v == key[at] || (key[at] == 5 && key[at + 1] == 0));
                assert_int_not_equal(kith_pubkey_verify(kith_span_bytes(cut), kith_bytes_str("m"),
                                                        kith_bytes_of(sig, sizeof sig)),
                                     KITH_OK);
            }
            free(cut.p);
        }
    }
    /* a byte behind the structure, inside the field that says one more */
    kith_key_type type;
    kith_bytes data;
    assert_int_equal(kith_pubkey_parse(kith_bytes_of(key, len), &type, &data), KITH_OK);
    assert_int_equal(kith_key_check(type, data), KITH_OK);
    assert_int_not_equal(kith_key_check(type, kith_bytes_of(data.p, data.len + 1)),
                         KITH_OK); /* key is longer */
    /* a tiny key that claims gigabytes, in each of its elements */
    static const char *const tiny[] = {"3084ffffffff",
                                       "308480000000",
                                       "3088ffffffffffffffff",
                                       "30823fff30820006",
                                       "300d3084ffffffff060100",
                                       "3012300d06092a864886f70d01010105000384ffffffff",
                                       "3019300d06092a864886f70d01010105000308003084ffffffff02",
                                       "3080",
                                       "30ff"};
    for (size_t i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        uint8_t buf[64];
        kith_span der = support_hex(tiny[i]);
        kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
        kith_pb_put_num(&w, 1, KITH_KEY_RSA);
        kith_pb_put_bytes(&w, 2, kith_span_bytes(der));
        assert_int_equal(kith_pubkey_parse(kith_wr_bytes(&w), &type, &data), KITH_OK);
        assert_int_not_equal(kith_key_check(type, data), KITH_OK);
        free(der.p);
    }
}

static kith_signer *signer_of(uint8_t n, uint8_t key[KITH_PUBKEY_ED25519_LEN], kith_peer_id *id)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {n}, raw[KITH_ED25519_PUB_LEN];
    kith_signer *s = kith_signer_new(seed);
    assert_non_null(s);
    kith_signer_public(s, raw);
    kith_pubkey_ed25519(raw, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, KITH_PUBKEY_ED25519_LEN), id), KITH_OK);
    return s;
}

/* rust-libp2p (CVE-2019-15545): every Ed25519 signature counted as valid. */
static void RUSTSEC_2019_0004_a_signature_is_looked_at(void **state)
{
    (void)state;
    uint8_t key[KITH_PUBKEY_ED25519_LEN], sig[KITH_ED25519_SIG_LEN], made_up[KITH_ED25519_SIG_LEN];
    uint64_t rnd = 4;
    kith_peer_id id;
    kith_signer *s = signer_of(1, key, &id);
    kith_bytes k = kith_bytes_of(key, sizeof key), msg = kith_bytes_str("message");
    assert_int_equal(kith_signer_sign(s, msg, sig), KITH_OK);
    assert_int_equal(kith_pubkey_verify(k, msg, kith_bytes_of(sig, sizeof sig)), KITH_OK);
    for (int i = 0; i < 100; i++) {
        for (size_t b = 0; b < sizeof made_up; b++)
            made_up[b] = i == 0 ? 0 : (uint8_t)(support_next(&rnd) >> 56);
        assert_int_equal(kith_pubkey_verify(k, msg, kith_bytes_of(made_up, sizeof made_up)), KITH_ECRYPTO);
    }
    assert_int_equal(kith_pubkey_verify(k, msg, (kith_bytes){0}), KITH_ECRYPTO);
    assert_int_equal(kith_pubkey_verify(k, kith_bytes_str("another"), kith_bytes_of(sig, sizeof sig)),
                     KITH_ECRYPTO);
    kith_signer_free(s);
}

/* rust-libp2p (GHSA-wc36-xgcc-jwpr): a record with a good signature was believed whoever had signed it. */
static void RUSTSEC_2022_0009_a_record_must_be_signed_by_whom_it_names(void **state)
{
    (void)state;
    uint8_t key[KITH_PUBKEY_ED25519_LEN], payload[200], sealed[KITH_ENVELOPE_MAX];
    kith_peer_id victim, liar;
    kith_signer *v = signer_of(1, key, &victim), *l = signer_of(2, key, &liar);
    for (int honest = 0; honest < 2; honest++) {
        kith_wr p = kith_wr_of(kith_span_of(payload, sizeof payload)),
                w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
        kith_pb_put_bytes(&p, 1, kith_peer_id_bytes(&victim));
        kith_pb_put_num(&p, 2, 1);
        assert_int_equal(kith_envelope_seal(honest ? v : l, "libp2p-peer-record",
                                            kith_bytes_of("\x03\x01", 2), kith_wr_bytes(&p), &w),
                         KITH_OK);
        kith_peer_record r;
        assert_int_equal(kith_peer_record_open(kith_wr_bytes(&w), &r), honest ? KITH_OK : KITH_EAUTH);
    }
    kith_signer_free(v);
    kith_signer_free(l);
}

/* ---- lengths ---- */

/* rust-multihash: a hash that says it is longer than what there is made it panic. */
static void RUSTSEC_2020_0068_a_multihash_that_is_cut_short_is_refused(void **state)
{
    (void)state;
    uint8_t mh[34] = {0x12, 32};
    for (size_t len = 0; len < sizeof mh; len++) {
        kith_multihash out;
        kith_peer_id id;
        kith_span cut = support_copy(kith_bytes_of(mh, len));
        assert_int_equal(kith_multihash_parse(kith_span_bytes(cut), &out), KITH_EFORMAT);
        assert_int_equal(kith_peer_id_parse(kith_span_bytes(cut), &id), KITH_EFORMAT);
        free(cut.p);
    }
    static const char *const claims[] = {"1280",
                                         "12ff01",
                                         "12ffffffffffffffffff01",
                                         "12808080808080808080808001",
                                         "ffffffffffffffffffff01",
                                         "00ffffffff0f"};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        kith_multihash out;
        kith_span b = support_hex(claims[i]);
        assert_int_equal(kith_multihash_parse(kith_span_bytes(b), &out), KITH_EFORMAT);
        free(b.p);
    }
}

static int nothing(void *ctx, kith_bytes id)
{
    (void)ctx, (void)id;
    return -1;
}

/* py-libp2p: a length that a peer claimed was allocated before a byte of it was there. */
#define HELLO "\x13/multistream/1.0.0\n"

static void GHSA_xqvc_92cf_94j4_a_length_that_is_claimed_is_not_allocated(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t claim[10];
    kith_peer_id peer = {0};
    for (unsigned shift = 8; shift < 63; shift++) {
        const uint64_t len = ((uint64_t)1 << shift) + 1;
        kith_wr w = kith_wr_of(kith_span_of(claim, sizeof claim));
        kith_put_uvarint(&w, len);
        kith_bytes in = kith_wr_bytes(&w);

        kith_mss *m = kith_mss_listen(env, nothing, NULL); /* the first message can only be the hello */
        size_t used, before;
        kith_err e = kith_mss_recv(m, kith_bytes_str(HELLO), &used);
        assert_true(e == KITH_OK && used == strlen(HELLO));
        heap.peak = before = heap.bytes;
        e = kith_mss_recv(m, in, &used);
        assert_true(e == KITH_EPROTO || (e == KITH_OK && len <= KITH_MSS_MSG_MAX));
        assert_int_equal(heap.peak, before);
        kith_mss_free(m);

        kith_identify *i;
        assert_int_equal(kith_identify_listener(env, 0, &peer, &i), KITH_OK);
        heap.peak = before = heap.bytes;
        e = kith_identify_ops.recv(i, 0, in);
        assert_true(e == KITH_ELIMIT || (e == KITH_OK && len <= KITH_IDENTIFY_MSG_MAX));
        assert_true(heap.peak - before <= 1024);
        kith_identify_ops.free(i);

        kith_frames f; /* Kademlia, rendezvous, infos */
        kith_frames_init(&f, 16384, 16384);
        heap.peak = before = heap.bytes;
        e = kith_frames_put(&f, env, in);
        kith_bytes first;
        e = e ? e : kith_frames_first(&f, &first);
        assert_int_equal(e, len > 16384 ? KITH_ELIMIT : KITH_ESHORT);
        assert_true(heap.peak - before <= 1024);
        kith_frames_fini(&f, env);

        kith_message_door *door = kith_message_door_new(env, 1000);
        kith_message_rx *rx = kith_message_rx_new(env, door, &peer);
        heap.peak = before = heap.bytes;
        e = kith_message_rx_ops.recv(rx, 0, in);
        assert_true(len <= KITH_MESSAGE_MAX ? e == KITH_OK : e != KITH_OK && e != KITH_ENOMEM);
        assert_true(heap.peak - before <= 1024);
        kith_message_rx_ops.free(rx);
        kith_message_door_free(door);

        static kith_share_reader r; /* has its room from the start */
        kith_bytes head, rest = in;
        bool bad = false;
        r.have = 0;
        assert_false(kith_share_read_head(&r, &rest, &head, &bad));
        assert_int_equal(bad, len > KITH_SHARE_HEAD_MAX);

        kith_manifest list;
        kith_manifest_fault fault;
        heap.peak = before = heap.bytes;
        e = kith_manifest_parse(env, in, false, &list, &fault);
        assert_true(e != KITH_OK && e != KITH_ENOMEM);
        assert_true(heap.peak - before <= 4096);
    }
    support_heap_check(&heap);
}

/* ---- names of files ---- */

static void refused(const char *bytes, size_t len)
{
    kith_bytes name = kith_bytes_of(bytes, len);
    assert_non_null(kith_name_fault(name, false));
    assert_non_null(kith_name_fault(name, true));
}

#define REFUSED(s) refused("" s, sizeof s - 1)

static kith_err list_with(const char *name, const char *target)
{
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[600];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_entry e = {.name = kith_bytes_str(name), .type = KITH_ENTRY_FILE, .size = 5, .mode = 0644};
    if (target)
        e = (kith_entry){
            .name = kith_bytes_str(name), .type = KITH_ENTRY_LINK, .target = kith_bytes_str(target)};
    kith_manifest_put_entry(&w, &e);
    assert_false(w.bad);
    kith_manifest m;
    kith_manifest_fault f = {0};
    kith_err err = kith_manifest_parse(env, kith_wr_bytes(&w), false, &m, &f);
    if (err)
        assert_non_null(f.why);
    else
        kith_manifest_fini(&m, env);
    support_heap_check(&heap);
    return err;
}

/* croc (CVE-2023-43616, CVE-2023-43619) and magic-wormhole (GHSA-4g4c-mfqg-pj8r, CVE-2026-42448): the sender chose where a file went. */
static void CVE_2023_43616_CVE_2026_42448_no_name_leaves_the_folder(void **state)
{
    (void)state;
    REFUSED("");
    REFUSED(".");
    REFUSED("..");
    REFUSED("../x");
    REFUSED("/etc/passwd");
    REFUSED("a/b");
    REFUSED("a\\..\\b");
    REFUSED("..\\x");
    REFUSED("a\0/../b");
    assert_int_equal(list_with("fine", NULL), KITH_OK);
    assert_int_equal(list_with("...", NULL), KITH_OK); /* an odd name, and no more */
    static const char *const names[] = {"..",  ".",   "", "../../.ssh/authorized_keys", "/etc/cron.d/x",
                                        "a/b", "c\\d"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_not_equal(list_with(names[i], NULL), KITH_OK);
}

/* croc (GHSA-364c-vvqx-446c): escape sequences in a name took over the receiver's terminal. */
static void CVE_2023_43620_no_name_reaches_the_terminal_raw(void **state)
{
    (void)state;
    static const char *const names[] = {"invoice\x1b[2K\x1b[1Gevil.sh",
                                        "\x1b]0;title\x07",
                                        "a\rb",
                                        "a\nb",
                                        "a\x08",
                                        "\x7f",
                                        "a\xc2\x9b"
                                        "2K",                   /* CSI as one character */
                                        "a\xe2\x80\xaegpj.exe", /* right to left from here */
                                        "a\xe2\x80\xa8"
                                        "b",
                                        "\xff\xfe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint8_t out[200];
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        assert_non_null(kith_name_fault(kith_bytes_str(names[i]), false));
        kith_name_put(&w, kith_bytes_str(names[i])); /* as in the message that says so */
        assert_false(w.bad);
        for (size_t k = 0; k < w.len; k++)
            assert_true(out[k] >= 0x20 && out[k] < 0x7f);
    }
}

/* OnionShare 2.6.4, and every tar and zip before: a link that leads out, and then a file through it. */
static void links_do_not_lead_out_of_a_share(void **state)
{
    (void)state;
    static const char *const out[] = {"/etc", "..", "../x", "a/../../x", "./..",
                                      "a/..", "//", "a//b", "..\\x",     ""};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        assert_non_null(kith_link_fault(kith_bytes_str(out[i]), 0));
        assert_int_not_equal(list_with("link", out[i]), KITH_OK);
    }
    assert_int_equal(list_with("link", "fine"), KITH_OK);
    assert_null(kith_link_fault(kith_bytes_str("../x"), 1));
    assert_non_null(kith_link_fault(kith_bytes_str("../../x"), 1));
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() == KITH_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(CVE_2023_39533_a_large_rsa_key_is_not_computed_with),
        cmocka_unit_test(CVE_2026_110789_a_length_inside_a_key_is_not_followed),
        cmocka_unit_test(RUSTSEC_2019_0004_a_signature_is_looked_at),
        cmocka_unit_test(RUSTSEC_2022_0009_a_record_must_be_signed_by_whom_it_names),
        cmocka_unit_test(RUSTSEC_2020_0068_a_multihash_that_is_cut_short_is_refused),
        cmocka_unit_test(GHSA_xqvc_92cf_94j4_a_length_that_is_claimed_is_not_allocated),
        cmocka_unit_test(CVE_2023_43616_CVE_2026_42448_no_name_leaves_the_folder),
        cmocka_unit_test(CVE_2023_43620_no_name_reaches_the_terminal_raw),
        cmocka_unit_test(links_do_not_lead_out_of_a_share),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
