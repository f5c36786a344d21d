/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SPAKE2: the published exchanges, and what is refused. */
#include "unit/support.h"

#include "crypto/crypto.h"
#include "crypto/spake2.h"
#include "unit/vectors.h"

#define SHARE KITH_SPAKE2_SHARE_LEN

static const kith_bytes nothing;

/* RFC 9382, appendix B: all of the ciphersuite's. */
static const struct {
    const char *a, *b, *w, *x, *y, *pa, *pb, *ke, *conf_a, *conf_b;
} published[] = {
    {"server", "client", "2ee57912099d31560b3a44b1184b9b4866e904c49d12ac5042c97dca461b1a5f",
     "43dd0fd7215bdcb482879fca3220c6a968e66d70b1356cac18bb26c84a78d729",
     "dcb60106f276b02606d8ef0a328c02e4b629f84f89786af5befb0bc75b6e66be",
     "04a56fa807caaa53a4d28dbb9853b9815c61a411118a6fe516a8798434751470f9010153ac33d0d5f2047ffdb1a3e42c9b4e6be662766e1eeb4116988ede5f912c",
     "0406557e482bd03097ad0cbaa5df82115460d951e3451962f1eaf4367a420676d09857ccbc522686c83d1852abfa8ed6e4a1155cf8f1543ceca528afb591a1e0b7",
     "0e0672dc86f8e45565d338b0540abe69", "58ad4aa88e0b60d5061eb6b5dd93e80d9c4f00d127c65b3b35b1b5281fee38f0",
     "d3e2e547f1ae04f2dbdbf0fc4b79f8ecff2dff314b5d32fe9fcef2fb26dc459b"},
    {"", "client", "0548d8729f730589e579b0475a582c1608138ddf7054b73b5381c7e883e2efae",
     "403abbe3b1b4b9ba17e3032849759d723939a27a27b9d921c500edde18ed654b",
     "903023b6598908936ea7c929bd761af6039577a9c3f9581064187c3049d87065",
     "04a897b769e681c62ac1c2357319a3d363f610839c4477720d24cbe32f5fd85f44fb92ba966578c1b712be6962498834078262caa5b441ecfa9d4a9485720e918a",
     "04e0f816fd1c35e22065d5556215c097e799390d16661c386e0ecc84593974a61b881a8c82327687d0501862970c64565560cb5671f696048050ca66ca5f8cc7fc",
     "642f05c473c2cd79909f9a841e2f30a7", "47d29e6666af1b7dd450d571233085d7a9866e4d49d2645e2df975489521232b",
     "3313c5cefc361d27fb16847a91c2a73b766ffa90a4839122a9b70a2f6bd1d6df"},
    {"server", "", "626e0cdc7b14c9db3e52a0b1b3a768c98e37852d5db30febe0497b14eae8c254",
     "07adb3db6bc623d3399726bfdbfd3d15a58ea776ab8a308b00392621291f9633",
     "b6a4fc8dbb629d4ba51d6f91ed1532cf87adec98f25dd153a75accafafedec16",
     "04f88fb71c99bfffaea370966b7eb99cd4be0ff1a7d335caac4211c4afd855e2e15a873b298503ad8ba1d9cbb9a392d2ba309b48bfd7879aefd0f2cea6009763b0",
     "040c269d6be017dccb15182ac6bfcd9e2a14de019dd587eaf4bdfd353f031101e7cca177f8eb362a6e83e7d5e729c0732e1b528879c086f39ba0f31a9661bd34db",
     "005184ff460da2ce59062c87733c299c", "bc9f9bbe99f26d0b2260e6456e05a86196a3307ec6663a18bf6ac825736533b2",
     "c2370e1bf813b086dff0d834e74425a06e6390f48f5411900276dcccc5a297ec"},
    {"", "", "7bf46c454b4c1b25799527d896508afd5fc62ef4ec59db1efb49113063d70cca",
     "8cef65df64bb2d0f83540c53632de911b5b24b3eab6cc74a97609fd659e95473",
     "d7a66f64074a84652d8d623a92e20c9675c61cb5b4f6a0063e4648a2fdc02d53",
     "04a65b367a3f613cf9f0654b1b28a1e3a8a40387956c8ba6063e8658563890f46ca1ef6a676598889fc28de2950ab8120b79a5ef1ea4c9f44bc98f585634b46d66",
     "04589f13218822710d98d8b2123a079041052d9941b9cf88c6617ddb2fcc0494662eea8ba6b64692dc318250030c6af045cb738bc81ba35b043c3dcb46adf6f58d",
     "fc6374762ba5cf11f4b2caa08b2cd1b9", "dfb4db8d48ae5a675963ea5e6c19d98d4ea028d8e898dad96ea19a80ade95dca",
     "d0f0609d1613138d354f7e95f19fb556bf52d751947241e8c7118df5ef0ae175"},
};

static kith_spake2 *side_of(kith_spake2_side side, const char *secret, const char *random)
{
    uint8_t s[KITH_SPAKE2_SECRET_LEN] = {0}, r[KITH_SPAKE2_SECRET_LEN] = {0};
    unhex(secret, s + 16, 32), unhex(random, r + 16, 32);
    kith_spake2 *k = kith_spake2_new(side, s, r);
    assert_non_null(k);
    return k;
}

static kith_spake2 *simple(kith_spake2_side side, uint8_t secret, uint8_t random)
{
    uint8_t s[KITH_SPAKE2_SECRET_LEN] = {secret}, r[KITH_SPAKE2_SECRET_LEN] = {random};
    kith_spake2 *k = kith_spake2_new(side, s, r);
    assert_non_null(k);
    return k;
}

static kith_bytes share_of(const kith_spake2 *s)
{
    return kith_bytes_of(kith_spake2_share(s), SHARE);
}

static void the_published_exchanges_come_out_on_both_sides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        kith_bytes a = kith_bytes_str(published[i].a), b = kith_bytes_str(published[i].b);
        kith_spake2 *s[2] = {side_of(KITH_SPAKE2_A, published[i].w, published[i].x),
                             side_of(KITH_SPAKE2_B, published[i].w, published[i].y)};
        support_assert_hex(share_of(s[0]), published[i].pa);
        support_assert_hex(share_of(s[1]), published[i].pb);
        for (int n = 0; n < 2; n++) {
            kith_spake2_result r;
            assert_int_equal(kith_spake2_finish(s[n], share_of(s[!n]), a, b, nothing, &r), KITH_OK);
            support_assert_hex(kith_bytes_of(r.key, sizeof r.key), published[i].ke);
            support_assert_hex(kith_bytes_of(n ? r.theirs : r.ours, sizeof r.ours), published[i].conf_a);
            support_assert_hex(kith_bytes_of(n ? r.ours : r.theirs, sizeof r.ours), published[i].conf_b);
        }
        kith_spake2_free(s[0]), kith_spake2_free(s[1]);
    }
    kith_spake2_free(NULL);
}

/* Whether both come to the same key and confirm to each other. */
static bool agree(const uint8_t secrets[2], const char *const names[2], const char *const aads[2])
{
    kith_spake2 *s[2] = {simple(KITH_SPAKE2_A, secrets[0], 5), simple(KITH_SPAKE2_B, secrets[1], 6)};
    kith_spake2_result r[2];
    for (int n = 0; n < 2; n++) {
        assert_int_equal(kith_spake2_finish(s[n], share_of(s[!n]), kith_bytes_str(names[n]),
                                            kith_bytes_str("b"), kith_bytes_str(aads[n]), &r[n]),
                         KITH_OK);
        assert_int_equal(kith_spake2_finish(s[n], share_of(s[!n]), nothing, nothing, nothing, &r[n]),
                         KITH_ESTATE);
    }
    bool first = !memcmp(r[0].ours, r[1].theirs, 32), second = !memcmp(r[1].ours, r[0].theirs, 32);
    assert_true(first == second);
    kith_spake2_free(s[0]), kith_spake2_free(s[1]);
    return first;
}

static void only_the_same_secret_names_and_data_agree(void **state)
{
    (void)state;
    assert_true(agree((uint8_t[]){1, 1}, (const char *[]){"a", "a"}, (const char *[]){"", ""}));
    assert_true(agree((uint8_t[]){1, 1}, (const char *[]){"a", "a"}, (const char *[]){"x", "x"}));
    assert_false(agree((uint8_t[]){1, 2}, (const char *[]){"a", "a"}, (const char *[]){"x", "x"}));
    assert_false(agree((uint8_t[]){1, 1}, (const char *[]){"a", "A"}, (const char *[]){"x", "x"}));
    assert_false(agree((uint8_t[]){1, 1}, (const char *[]){"a", "a"}, (const char *[]){"x", "y"}));
}

static void refused(kith_bytes share)
{
    kith_span copy = support_copy(share);
    kith_spake2_result r;
    memset(&r, 0x5a, sizeof r);
    kith_spake2 *s = simple(KITH_SPAKE2_A, 1, 5);
    assert_int_equal(kith_spake2_finish(s, kith_span_bytes(copy), nothing, nothing, nothing, &r),
                     KITH_EPROTO);
    assert_int_equal(r.key[0], 0x5a);
    /* And there is no second guess with it. */
    kith_spake2 *other = simple(KITH_SPAKE2_B, 1, 6);
    assert_int_equal(kith_spake2_finish(s, share_of(other), nothing, nothing, nothing, &r), KITH_ESTATE);
    kith_spake2_free(s), kith_spake2_free(other);
    free(copy.p);
}

static void what_is_no_point_in_the_one_form_is_refused(void **state)
{
    (void)state;
    kith_spake2 *b = simple(KITH_SPAKE2_B, 1, 6);
    uint8_t p[SHARE + 1] = {0};
    for (size_t n = 0; n < SHARE; n++) /* among them: infinity, and the compressed form's length */
        refused(kith_bytes_of(kith_spake2_share(b), n));
    refused(kith_bytes_of(p, 1));
    refused(kith_bytes_of(p, SHARE));
    memcpy(p, kith_spake2_share(b), SHARE);
    refused(kith_bytes_of(p, SHARE + 1));
    p[0] = (uint8_t)(2 + (p[64] & 1));
    refused(kith_bytes_of(p, 33)); /* compressed */
    p[0] = (uint8_t)(6 + (p[64] & 1));
    refused(kith_bytes_of(p, SHARE)); /* hybrid */
    p[0] = 4;
    for (size_t i = 0; i < SHARE; i += 7) {
        p[i] ^= 1;
        refused(kith_bytes_of(p, SHARE));
        p[i] ^= 1;
    }
    /* A point with x = 0, and the same with x = the field's prime. */
    memset(p + 1, 0, 32);
    unhex("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4", p + 33, 32);
    kith_spake2_result r;
    kith_spake2 *a = simple(KITH_SPAKE2_A, 1, 5);
    assert_int_equal(kith_spake2_finish(a, kith_bytes_of(p, SHARE), nothing, nothing, nothing, &r), KITH_OK);
    kith_spake2_free(a);
    unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", p + 1, 32);
    refused(kith_bytes_of(p, SHARE));
    kith_spake2_free(b);
}

static void a_share_that_makes_the_key_infinity_is_refused(void **state)
{
    (void)state;
    kith_spake2 *b = simple(KITH_SPAKE2_B, 1, 0); /* y = 0: w*N alone */
    refused(share_of(b));
    kith_spake2_free(b);
}

static void names_and_data_have_their_longest(void **state)
{
    (void)state;
    uint8_t text[KITH_SPAKE2_AAD_MAX + 1] = {0};
    kith_bytes name = kith_bytes_of(text, KITH_SPAKE2_NAME_MAX), longer = kith_bytes_of(text, name.len + 1);
    kith_bytes aad = kith_bytes_of(text, KITH_SPAKE2_AAD_MAX), more = kith_bytes_of(text, aad.len + 1);
    kith_spake2 *a = simple(KITH_SPAKE2_A, 1, 5), *b = simple(KITH_SPAKE2_B, 1, 6);
    kith_spake2_result r;
    assert_int_equal(kith_spake2_finish(a, share_of(b), longer, name, aad, &r), KITH_ELIMIT);
    assert_int_equal(kith_spake2_finish(a, share_of(b), name, longer, aad, &r), KITH_ELIMIT);
    assert_int_equal(kith_spake2_finish(a, share_of(b), name, name, more, &r), KITH_ELIMIT);
    assert_int_equal(kith_spake2_finish(a, share_of(b), name, name, aad, &r), KITH_OK);
    kith_spake2_free(a), kith_spake2_free(b);
}

static int set_up(void **state)
{
    (void)state;
    return (int)kith_crypto_init();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_exchanges_come_out_on_both_sides),
        cmocka_unit_test(only_the_same_secret_names_and_data_agree),
        cmocka_unit_test(what_is_no_point_in_the_one_form_is_refused),
        cmocka_unit_test(a_share_that_makes_the_key_infinity_is_refused),
        cmocka_unit_test(names_and_data_have_their_longest),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
