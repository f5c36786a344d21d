/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every range of blobs of many sizes is proved and checked; nothing that was touched on the way passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/share_tree.h"

#define LEAF ((uint64_t)KITH_TREE_LEAF)

typedef struct blob {
    uint8_t *data, *nodes;
    uint64_t size;
} blob;

static blob blob_of(uint64_t size)
{
    blob b = {.size = size};
    b.data = malloc(size + 1);
    b.nodes = malloc(kith_tree_nodes(size) * KITH_BLAKE3_LEN);
    assert_non_null(b.data);
    assert_non_null(b.nodes);
    uint32_t x = 1;
    for (uint64_t i = 0; i < size; i++) {
        x = x * 1664525 + 1013904223;
        b.data[i] = (uint8_t)(x >> 24);
    }
    for (size_t l = kith_tree_leaves(size); l-- > 0;) {
        uint64_t from = l * LEAF, to = size - from < LEAF ? size : from + LEAF;
        kith_tree_leaf(b.nodes, size, l, kith_bytes_of(b.data + from, (size_t)(to - from)));
    }
    kith_tree_join(b.nodes, size);
    return b;
}

static void blob_free(blob b)
{
    free(b.data);
    free(b.nodes);
}

/* Proves and checks a range; flip >= 0 turns over one bit of the flip-th byte of the proof (pairs and data in order). */
static kith_err run(const blob *b, uint64_t from, uint64_t to, int64_t flip, uint64_t *proof_len)
{
    kith_tree_prover p;
    kith_tree_checker c;
    uint64_t at = from, sent = 0;
    kith_tree_prove(&p, b->nodes, b->size, from, to);
    kith_tree_check(&c, b->nodes, b->size, from, to);
    uint8_t pairs[KITH_TREE_PROOF_MAX];
    uint8_t *copy = malloc(KITH_TREE_LEAF);
    assert_non_null(copy);
    uint64_t lf, lt, cf, ct;
    kith_err e = KITH_OK;
    for (;;) {
        kith_wr w = kith_wr_of(kith_span_of(pairs, sizeof pairs));
        if (!kith_tree_prove_next(&p, &w, &lf, &lt))
            break;
        assert_false(w.bad);
        assert_int_equal(lf, at);
        at = lt;
        if (flip >= 0 && (uint64_t)flip >= sent && (uint64_t)flip < sent + w.len)
            pairs[(uint64_t)flip - sent] ^= (uint8_t)(1 << (flip % 8));
        sent += w.len;
        e = kith_tree_check_pairs(&c, kith_wr_bytes(&w), &cf, &ct);
        if (e)
            break;
        assert_int_equal(cf, lf);
        assert_int_equal(ct, lt);
        memcpy(copy, b->data + lf, (size_t)(lt - lf));
        if (flip >= 0 && (uint64_t)flip >= sent && (uint64_t)flip < sent + (lt - lf))
            copy[(uint64_t)flip - sent] ^= (uint8_t)(1 << (flip % 8));
        sent += lt - lf;
        e = kith_tree_check_data(&c, kith_bytes_of(copy, (size_t)(lt - lf)));
        if (e)
            break;
    }
    free(copy);
    if (!e) {
        assert_int_equal(at, to);
        assert_true(kith_tree_checked(&c));
    }
    if (proof_len)
        *proof_len = sent;
    return e;
}

static const uint64_t sizes[] = {
    1,        1000,         LEAF - 1,        LEAF,     LEAF + 1,    2 * LEAF - 1, 2 * LEAF, 2 * LEAF + 1,
    3 * LEAF, 3 * LEAF + 7, 5 * LEAF - 1024, 8 * LEAF, 9 * LEAF + 1};

static void the_root_is_the_plain_hash_of_the_blob(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blob b = blob_of(sizes[i]);
        uint8_t h[32];
        kith_blake3_hash(kith_bytes_of(b.data, (size_t)b.size), h);
        assert_memory_equal(h, b.nodes, 32);
        blob_free(b);
    }
    blob b = blob_of(0);
    uint8_t h[32];
    kith_blake3_hash((kith_bytes){0}, h);
    assert_memory_equal(h, b.nodes, 32);
    blob_free(b);
}

static void every_range_of_every_size_checks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blob b = blob_of(sizes[i]);
        for (uint64_t from = 0; from < b.size; from += LEAF) {
            for (uint64_t to = from + 1; to <= b.size; to = to == b.size         ? b.size + 1
                                                            : to + LEAF > b.size ? b.size
                                                                                 : to / LEAF * LEAF + LEAF) {
                if (kith_tree_range_ok(b.size, from, to))
                    assert_int_equal(run(&b, from, to, -1, NULL), KITH_OK);
            }
        }
        blob_free(b);
    }
}

/* In parts, as a file is hashed whose nodes are not held together. */
static void parts_hashed_alone_make_the_same_nodes(void **state)
{
    (void)state;
    const uint64_t part = 4 * LEAF;
    const uint64_t lens[] = {
        part, part + 1, 2 * part, 3 * part - 1, 5 * part + LEAF, 8 * part, 9 * part + 3 * LEAF + 7};
    for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
        blob b = blob_of(lens[k]);
        for (uint64_t from = 0; from < b.size; from += part) {
            uint8_t nodes[7 * KITH_BLAKE3_LEN];
            uint64_t n = b.size - from < part ? b.size - from : part;
            for (size_t l = 0; l < kith_tree_leaves(n); l++) {
                uint64_t at = l * LEAF, len = n - at < LEAF ? n - at : LEAF;
                kith_tree_part_leaf(nodes, b.size, from, n, l,
                                    kith_bytes_of(b.data + from + at, (size_t)len));
            }
            kith_tree_part_join(nodes, b.size, n);
            assert_memory_equal(nodes, b.nodes + kith_tree_place(b.size, from, from + n) * KITH_BLAKE3_LEN,
                                kith_tree_nodes(n) * KITH_BLAKE3_LEN);
        }
        blob_free(b);
    }
}

static void bad_ranges_are_named_so(void **state)
{
    (void)state;
    assert_false(kith_tree_range_ok(LEAF, 0, 0));
    assert_false(kith_tree_range_ok(LEAF, 0, LEAF + 1));
    assert_false(kith_tree_range_ok(2 * LEAF, 1, LEAF));
    assert_false(kith_tree_range_ok(2 * LEAF, 0, LEAF + 1));
    assert_false(kith_tree_range_ok(2 * LEAF, LEAF, LEAF));
    assert_false(kith_tree_range_ok(0, 0, 0));
    assert_false(kith_tree_range_ok(2 * LEAF, LEAF, 0));
    assert_true(kith_tree_range_ok(2 * LEAF - 5, LEAF, 2 * LEAF - 5));
}

static void one_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    blob b = blob_of(5 * LEAF + 300);
    static const uint64_t ranges[][2] = {{0, 5}, {1, 3}, {4, 6}, {5, 6}, {2, 3}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        uint64_t from = ranges[i][0] * LEAF, to = ranges[i][1] * LEAF, len;
        if (to > b.size)
            to = b.size;
        assert_int_equal(run(&b, from, to, -1, &len), KITH_OK);
        /* every byte of the first pairs, then a sample of the data */
        for (uint64_t f = 0; f < len; f += f < 300 ? 1 : 60013)
            assert_int_equal(run(&b, from, to, (int64_t)f, NULL), KITH_ECRYPTO);
        assert_int_equal(run(&b, from, to, (int64_t)len - 1, NULL), KITH_ECRYPTO);
    }
    blob_free(b);
}

static void a_small_blob_with_any_flipped_bit_is_refused(void **state)
{
    (void)state;
    blob b = blob_of(700);
    for (int64_t f = 0; f < 700; f++)
        assert_int_equal(run(&b, 0, 700, f, NULL), KITH_ECRYPTO);
    blob_free(b);
}

static void another_size_is_refused(void **state)
{
    (void)state;
    blob b = blob_of(2 * LEAF);
    kith_tree_checker c;
    uint64_t f, t;
    /* the sharer's first pair under a size that is one byte off: shapes agree, the data does not */
    kith_tree_check(&c, b.nodes, 2 * LEAF - 1, 0, 2 * LEAF - 1);
    assert_int_equal(kith_tree_check_pairs(&c, kith_bytes_of(b.nodes + 32, 64), &f, &t), KITH_OK);
    assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(b.data, LEAF)), KITH_OK);
    assert_int_equal(kith_tree_check_pairs(&c, (kith_bytes){0}, &f, &t), KITH_OK);
    assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(b.data + LEAF, LEAF - 1)), KITH_ECRYPTO);
    /* one leaf for two */
    kith_tree_check(&c, b.nodes, LEAF, 0, LEAF);
    assert_int_equal(kith_tree_check_pairs(&c, (kith_bytes){0}, &f, &t), KITH_OK);
    assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(b.data, LEAF)), KITH_ECRYPTO);
    blob_free(b);
}

static void proofs_that_are_too_coarse_too_fine_or_odd_are_refused(void **state)
{
    (void)state;
    blob b = blob_of(2 * LEAF);
    kith_tree_checker c;
    uint64_t f, t;
    kith_tree_check(&c, b.nodes, b.size, 0, b.size);
    assert_int_equal(kith_tree_check_pairs(&c, (kith_bytes){0}, &f, &t), KITH_EPROTO);
    kith_tree_check(&c, b.nodes, b.size, 0, b.size);
    assert_int_equal(kith_tree_check_pairs(&c, kith_bytes_of(b.nodes + 32, 63), &f, &t), KITH_EPROTO);
    blob_free(b);

    /* 32 KiB in two parts of 16 KiB is as fine as it gets */
    blob s = blob_of(KITH_TREE_LEAF_MIN * 2);
    uint8_t pairs[128];
    kith_blake3_subtree(kith_bytes_of(s.data, KITH_TREE_LEAF_MIN), 0, pairs);
    kith_blake3_subtree(kith_bytes_of(s.data + KITH_TREE_LEAF_MIN, KITH_TREE_LEAF_MIN),
                        KITH_TREE_LEAF_MIN / 1024, pairs + 32);
    kith_blake3_subtree(kith_bytes_of(s.data, KITH_TREE_LEAF_MIN / 2), 0, pairs + 64);
    kith_blake3_subtree(kith_bytes_of(s.data + KITH_TREE_LEAF_MIN / 2, KITH_TREE_LEAF_MIN / 2), 8,
                        pairs + 96);
    kith_tree_check(&c, s.nodes, s.size, 0, s.size);
    assert_int_equal(kith_tree_check_pairs(&c, kith_bytes_of(pairs, 64), &f, &t), KITH_OK);
    assert_int_equal(t, KITH_TREE_LEAF_MIN);
    assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(s.data, KITH_TREE_LEAF_MIN)), KITH_OK);
    assert_int_equal(kith_tree_check_pairs(&c, (kith_bytes){0}, &f, &t), KITH_OK);
    assert_int_equal(kith_tree_check_data(&c, kith_bytes_of(s.data + KITH_TREE_LEAF_MIN, KITH_TREE_LEAF_MIN)),
                     KITH_OK);
    assert_true(kith_tree_checked(&c));
    kith_tree_check(&c, s.nodes, s.size, 0, s.size);
    assert_int_equal(kith_tree_check_pairs(&c, kith_bytes_of(pairs, 128), &f, &t), KITH_EPROTO);
    blob_free(s);
}

static void the_largest_blob_fits_the_stacks(void **state)
{
    (void)state;
    kith_tree_checker c;
    uint64_t f, t;
    uint8_t pair[64], root[32];
    /* a path down the left edge of 2^62 bytes: the proof is forged bottom up, which anyone can do for content of their own */
    size_t levels = 62 - 14;
    uint8_t *proof = malloc(levels * 64);
    assert_non_null(proof);
    uint8_t cv[32] = {1};
    for (size_t i = levels; i-- > 0;) {
        memcpy(pair, cv, 32);
        memset(pair + 32, (int)i, 32);
        memcpy(proof + i * 64, pair, 64);
        kith_blake3_parent(pair, pair + 32, i == 0, cv);
    }
    memcpy(root, cv, 32);
    kith_tree_check(&c, root, KITH_TREE_SIZE_MAX, 0, KITH_TREE_SIZE_MAX);
    assert_int_equal(kith_tree_check_pairs(&c, kith_bytes_of(proof, levels * 64), &f, &t), KITH_OK);
    assert_int_equal(t - f, KITH_TREE_LEAF_MIN);
    assert_true(levels <= KITH_TREE_DEPTH_MAX);
    free(proof);
}

/* From the values of leaves alone, for all shapes of small trees and some larger ones. */
static void values_of_leaves_make_the_root(void **state)
{
    (void)state;
    for (uint64_t n = 2; n <= 20; n++) {
        for (int cut = 0; cut < 2; cut++) {
            blob b = blob_of(n * LEAF - (cut ? LEAF - 1 : 0));
            kith_tree_sum s = {0};
            uint8_t root[KITH_BLAKE3_LEN], value[KITH_BLAKE3_LEN];
            for (uint64_t at = 0; at < b.size; at += LEAF) {
                const uint64_t len = b.size - at < LEAF ? b.size - at : LEAF;
                kith_tree_value(kith_bytes_of(b.data + at, (size_t)len), b.size, at, value);
                assert_memory_equal(value, b.nodes + kith_tree_place(b.size, at, at + len) * KITH_BLAKE3_LEN,
                                    sizeof value);
                kith_tree_sum_add(&s, value);
            }
            kith_tree_sum_root(&s, root);
            assert_memory_equal(root, b.nodes, sizeof root);
            blob_free(b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_is_the_plain_hash_of_the_blob),
        cmocka_unit_test(every_range_of_every_size_checks),
        cmocka_unit_test(parts_hashed_alone_make_the_same_nodes),
        cmocka_unit_test(bad_ranges_are_named_so),
        cmocka_unit_test(one_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(a_small_blob_with_any_flipped_bit_is_refused),
        cmocka_unit_test(another_size_is_refused),
        cmocka_unit_test(proofs_that_are_too_coarse_too_fine_or_odd_are_refused),
        cmocka_unit_test(values_of_leaves_make_the_root),
        cmocka_unit_test(the_largest_blob_fits_the_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
