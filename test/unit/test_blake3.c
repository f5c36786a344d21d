/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* BLAKE3 in its three modes against the official vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/blake3.h"
#include "crypto/crypto.h"
#include "unit/vectors.h"

/* From BLAKE3-team/BLAKE3 test_vectors/test_vectors.json (CC0), commit 77b257ee: the input is 0, 1, ..., 250,
 * 0, 1, ...; first 32 bytes of the plain hash, the keyed one and the derived key. */
static const char key[] = "whats the Elvish word for friend";
static const char context[] = "BLAKE3 2019-12-27 16:29:52 test vectors context";
static const struct {
    size_t len;
    const char *hash, *keyed, *derived;
} known[] = {
    {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
     "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
     "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"},
    {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
     "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
     "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c"},
    {63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b",
     "bb1eb5d4afa793c1ebdd9fb08def6c36d10096986ae0cfe148cd101170ce37ae",
     "b6451e30b953c206e34644c6803724e9d2725e0893039cfc49584f991f451af3"},
    {64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98",
     "ba8ced36f327700d213f120b1a207a3b8c04330528586f414d09f2f7d9ccb7e6",
     "a5c4a7053fa86b64746d4bb688d06ad1f02a18fce9afd3e818fefaa7126bf73e"},
    {65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee",
     "c0a4edefa2d2accb9277c371ac12fcdbb52988a86edc54f0716e1591b4326e72",
     "51fd05c3c1cfbc8ed67d139ad76f5cf8236cd2acd26627a30c104dfd9d3ff8a8"},
    {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
     "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
     "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5"},
    {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
     "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
     "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"},
    {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
     "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
     "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"},
    {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
     "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5",
     "2ea477c5515cc3dd606512ee72bb3e0e758cfae7232826f35fb98ca1bcbdf273"},
    {3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
     "044a0e7b172a312dc02a4c9a818c036ffa2776368d7f528268d2e6b5df191770",
     "050df97f8c2ead654d9bb3ab8c9178edcd902a32f8495949feadcc1e0480c46b"},
    {31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
     "efa53b389ab67c593dba624d898d0f7353ab99e4ac9d42302ee64cbf9939a419",
     "39772aef80e0ebe60596361e45b061e8f417429d529171b6764468c22928e28e"},
    {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
     "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7",
     "4652cff7a3f385a6103b5c260fc1593e13c778dbe608efb092fe7ee69df6e9c6"},
};

static uint8_t input[102400];

static void fill(void)
{
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)(i % 251);
}

static void check(kith_blake3 *h, size_t len, size_t piece, const char *want_hex)
{
    uint8_t got[32], want[32];
    unhex(want_hex, want, 32);
    for (size_t at = 0; at < len; at += piece)
        kith_blake3_update(h, kith_bytes_of(input + at, len - at < piece ? len - at : piece));
    kith_blake3_final(h, got);
    assert_memory_equal(got, want, 32);
}

static void the_three_modes_give_the_official_values(void **state)
{
    (void)state;
    fill();
    kith_blake3 *plain = kith_blake3_new(), *keyed = kith_blake3_new_keyed((const uint8_t *)key);
    kith_blake3 *derive = kith_blake3_new_derive(context);
    assert_true(plain && keyed && derive);
    static const size_t pieces[] = {sizeof input, 1000, 61};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (size_t p = 0; p < 3; p++) { /* final starts afresh and keeps the mode */
            check(plain, known[i].len, pieces[p], known[i].hash);
            check(keyed, known[i].len, pieces[p], known[i].keyed);
            check(derive, known[i].len, pieces[p], known[i].derived);
        }
        uint8_t got[32], want[32];
        unhex(known[i].hash, want, 32);
        kith_blake3_hash(kith_bytes_of(input, known[i].len), got);
        assert_memory_equal(got, want, 32);
    }
    kith_blake3_update(keyed, kith_bytes_str("forgotten"));
    kith_blake3_reset(keyed);
    check(keyed, known[3].len, 7, known[3].keyed);
    kith_blake3_free(plain), kith_blake3_free(keyed), kith_blake3_free(derive), kith_blake3_free(NULL);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_modes_give_the_official_values),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
