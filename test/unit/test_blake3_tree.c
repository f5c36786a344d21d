/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inner nodes against the library's whole hashes: a tree put together from our nodes must have the root that BLAKE3 prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/blake3_tree.h"

#define MAX (200u * 1024)

/* The input of BLAKE3's published test vectors: bytes 0..250, again and again. */
static uint8_t *pattern(size_t n)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i % 251);
    return p;
}

static size_t left_len(size_t n)
{
    size_t left = 1024;
    while (left < n - left)
        left *= 2;
    return left;
}

/* Splits at every level down to one chunk, so that each node is ours. */
static void by_hand(const uint8_t *p, size_t n, uint64_t chunk, bool root, uint8_t out[32])
{
    if (n <= 1024) {
        assert_false(root);
        kith_blake3_subtree(kith_bytes_of(p, n), chunk, out);
        return;
    }
    size_t left = left_len(n);
    uint8_t l[32], r[32];
    by_hand(p, left, chunk, false, l);
    by_hand(p + left, n - left, chunk + left / 1024, false, r);
    kith_blake3_parent(l, r, root, out);
}

static void nodes_of_every_length_lead_to_the_published_root(void **state)
{
    (void)state;
    uint8_t *p = pattern(MAX);
    for (size_t n = 1025; n <= MAX; n += n < 20000 ? 61 : 1777) {
        uint8_t want[32], fine[32], coarse[32], l[32], r[32];
        kith_blake3_hash(kith_bytes_of(p, n), want);
        by_hand(p, n, 0, true, fine);
        assert_memory_equal(fine, want, 32);
        size_t left = left_len(n);
        kith_blake3_subtree(kith_bytes_of(p, left), 0, l);
        kith_blake3_subtree(kith_bytes_of(p + left, n - left), left / 1024, r);
        kith_blake3_parent(l, r, true, coarse);
        assert_memory_equal(coarse, want, 32);
    }
    free(p);
}

static void whole_powers_of_two_at_any_place_agree_with_their_halves(void **state)
{
    (void)state;
    uint8_t *p = pattern(256 * 1024);
    for (size_t n = 2048; n <= 256 * 1024; n *= 2) {
        for (uint64_t at = 0; at < 5; at++) {
            uint64_t chunk = (at + (UINT64_C(1) << 33)) * (n / 1024);
            uint8_t whole[32], l[32], r[32], joined[32];
            kith_blake3_subtree(kith_bytes_of(p, n), chunk, whole);
            kith_blake3_subtree(kith_bytes_of(p, n / 2), chunk, l);
            kith_blake3_subtree(kith_bytes_of(p + n / 2, n / 2), chunk + n / 2048, r);
            kith_blake3_parent(l, r, false, joined);
            assert_memory_equal(whole, joined, 32);
        }
    }
    free(p);
}

static void a_subtree_is_bound_to_its_place(void **state)
{
    (void)state;
    uint8_t *p = pattern(4096);
    uint8_t a[32], b[32], whole[32];
    kith_blake3_subtree(kith_bytes_of(p, 4096), 0, a);
    kith_blake3_subtree(kith_bytes_of(p, 4096), 4, b);
    kith_blake3_hash(kith_bytes_of(p, 4096), whole);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, whole, 32);
    free(p);
}

/* From BLAKE3's test_vectors.json, "hash" of input_len 0, 1, 1023, 1024, 1025 and 102400. */
static void known_answers_hold(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *hex;
    } known[] = {
        {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
        {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
        {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
        {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
        {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
        {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t *p = pattern(known[i].len + 1);
        uint8_t h[32];
        char hex[64];
        kith_blake3_hash(kith_bytes_of(p, known[i].len), h);
        kith_wr w = kith_wr_of(kith_span_of(hex, sizeof hex));
        kith_put_hex(&w, kith_bytes_of(h, 32));
        assert_memory_equal(hex, known[i].hex, 64);
        if (known[i].len > 1024) {
            by_hand(p, known[i].len, 0, true, h);
            w = kith_wr_of(kith_span_of(hex, sizeof hex));
            kith_put_hex(&w, kith_bytes_of(h, 32));
            assert_memory_equal(hex, known[i].hex, 64);
        }
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_every_length_lead_to_the_published_root),
        cmocka_unit_test(whole_powers_of_two_at_any_place_agree_with_their_halves),
        cmocka_unit_test(a_subtree_is_bound_to_its_place),
        cmocka_unit_test(known_answers_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
