/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CIDs: both versions, binary and text, and what the specification refuses. */
#include "wire/cid.h"

#include "support.h"

/* Text in, bytes and text out again. */
static void assert_cid(const char *text, unsigned version, uint64_t codec, const char *hash_hex,
                       kith_base base)
{
    uint8_t buf[KITH_CID_MAX], out[256];
    kith_cid c;
    if (kith_cid_from_text(kith_bytes_str(text), kith_span_of(buf, sizeof buf), &c) != KITH_OK)
        fail_msg("%s is refused", text);
    assert_int_equal(c.version, version);
    assert_true(c.codec == codec);
    support_assert_hex(c.hash_bytes, hash_hex);
    assert_ptr_equal(c.hash.digest.p + c.hash.digest.len, c.hash_bytes.p + c.hash_bytes.len);
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_put_cid_text(&w, &c, base);
    support_assert_str(kith_wr_bytes(&w), text);
    w = kith_wr_of(kith_span_of(out, sizeof out));
    if (version == 1)
        kith_put_cid(&w, c.codec, c.hash_bytes);
    else
        kith_put_bytes(&w, c.hash_bytes);
    kith_cid again;
    assert_int_equal(kith_cid_parse(kith_wr_bytes(&w), &again), KITH_OK);
    assert_int_equal(again.version, version);
    support_assert_bytes(again.hash_bytes, c.hash_bytes);
}

static void published_cids_round_trip(void **state)
{
    (void)state;
    /* multiformats/cid README, "Human-Readable Form". */
    assert_cid("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA", 1, KITH_CODEC_RAW,
               "12206e6ff7950a36187a801613426e858dce686cd7d7e3c0fc42ee0330072d245c95", KITH_BASE58);
    /* multiformats/multihash README, "sha256 in base58": as a CID it is a version 0. */
    assert_cid("QmYtUc4iTCbbfVSDNKvtQqrfyezPPnFvE33wFmutw9PBBk", 0, KITH_CODEC_DAG_PB,
               "12209cbc07c3f991725836a3aa2a581ca2029198aa420b9d99bc0e131d9f3e2cbe47", KITH_BASE32);
    /* libp2p peer-ids specification, "Decoding": the two texts are of one id. */
    assert_cid("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", 1, KITH_CODEC_LIBP2P_KEY,
               "12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9", KITH_BASE32);
    /* go-multiaddr's tests: an id as IPNS shows it (the bytes by Python's int(text, 36)). */
    assert_cid("k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs", 1, KITH_CODEC_LIBP2P_KEY,
               "0024080112202d3de6d16ae87f7a933fe1552162a2d3f04951e90e8051e4ee2c18f002dd0fb4", KITH_BASE36);
}

static void a_cid_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        kith_err e;
    } bad[] = {
        {"", KITH_EFORMAT},
        {"z", KITH_EFORMAT},
        {"Qm", KITH_EUNSUPPORTED}, /* no version 0, and no such base */
        {"QmYtUc4iTCbbfVSDNKvtQqrfyezPPnFvE33wFmutw9PBB", KITH_EUNSUPPORTED},
        {"QmYtUc4iTCbbfVSDNKvtQqrfyezPPnFvE33wFmutw9PBB0", KITH_EFORMAT},
        {"zQmYtUc4iTCbbfVSDNKvtQqrfyezPPnFvE33wFmutw9PBBk", KITH_EFORMAT}, /* version 0 has no multibase */
        {"f015500", KITH_EFORMAT},                                         /* half a multihash */
        {"f0155000000", KITH_EFORMAT},                                     /* bytes behind it */
        {"f00550000", KITH_EFORMAT},                                       /* version 0 as a number */
        {"f02550000", KITH_EUNSUPPORTED},                                  /* reserved */
        {"f1220"
         "0000",
         KITH_EFORMAT},
        {"f81005500"
         "00",
         KITH_EFORMAT},              /* version not minimal */
        {"f01d50000", KITH_EFORMAT}, /* codec eats the hash */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t buf[KITH_CID_MAX];
        kith_cid c;
        kith_err e = kith_cid_from_text(kith_bytes_str(bad[i].text), kith_span_of(buf, sizeof buf), &c);
        if (e != bad[i].e)
            fail_msg("'%s': %s", bad[i].text, kith_err_name(e));
    }
    uint8_t small[20];
    kith_cid c;
    assert_int_equal(kith_cid_from_text(kith_bytes_str("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"),
                                        kith_span_of(small, sizeof small), &c),
                     KITH_ESPACE);
    assert_int_equal(kith_cid_parse((kith_bytes){0}, &c), KITH_EFORMAT);
}

static void a_cid_longer_than_any_hash_is_refused(void **state)
{
    (void)state;
    uint8_t b[200] = {1, KITH_CODEC_RAW, 0, 0};
    kith_cid c;
    b[3] = 127; /* identity of 127 bytes: 131 in all */
    assert_int_equal(kith_cid_parse(kith_bytes_of(b, 131), &c), KITH_OK);
    b[3] = 0xc4;
    b[4] = 1; /* of 196 */
    assert_int_equal(kith_cid_parse(kith_bytes_of(b, 200), &c), KITH_EFORMAT);
}

static void text_round_trips_or_fails(void *ctx, kith_bytes in)
{
    uint8_t buf[KITH_CID_MAX], out[512], again[KITH_CID_MAX];
    kith_cid c, d;
    if (kith_cid_from_text(in, kith_span_of(buf, sizeof buf), &c) != KITH_OK)
        return;
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_put_cid_text(&w, &c, *(const kith_base *)ctx);
    assert_false(w.bad);
    assert_int_equal(kith_cid_from_text(kith_wr_bytes(&w), kith_span_of(again, sizeof again), &d), KITH_OK);
    assert_true(c.version == d.version && c.codec == d.codec && c.hash.code == d.hash.code);
    support_assert_bytes(d.hash_bytes, c.hash_bytes);
}

static void what_parses_is_the_same_again_after_its_text(void **state)
{
    (void)state;
    kith_base base = KITH_BASE32;
    support_mutate(kith_bytes_str("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"),
                   text_round_trips_or_fails, &base);
    support_mutate(kith_bytes_str("QmYtUc4iTCbbfVSDNKvtQqrfyezPPnFvE33wFmutw9PBBk"),
                   text_round_trips_or_fails, &base);
    base = KITH_BASE16;
    support_mutate(kith_bytes_str("f015500020102"), text_round_trips_or_fails, &base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_cids_round_trip),
        cmocka_unit_test(a_cid_that_is_none_is_refused),
        cmocka_unit_test(a_cid_longer_than_any_hash_is_refused),
        cmocka_unit_test(what_parses_is_the_same_again_after_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
