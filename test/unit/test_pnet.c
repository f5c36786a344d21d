/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The cipher of a private network: go-libp2p's bytes, every cut, every wrong bit, and what happens without the key. */
#include "proto/pnet.h"

#include "crypto/crypto.h"
#include "proto/mss.h"
#include "unit/support.h"

#define HELLO_LEN (sizeof KITH_MSS_HELLO - 1)
#define PLAIN "the peer is not in this private network: it speaks without a network key"
#define OTHER "the peer is not in this private network, or has another network key"

static const uint8_t ours[KITH_PNET_KEY_LEN] = "the key of one private network",
                     another[KITH_PNET_KEY_LEN] = "the key of another of them";

/* Every block that is given back, before it is gone: whether a key is still in it. */
static const uint8_t *secret;
static size_t leaks, held;

static void *watching(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    for (size_t i = 0; p && secret && i + KITH_PNET_KEY_LEN <= old; i++)
        leaks += memcmp((const uint8_t *)p + i, secret, KITH_PNET_KEY_LEN) == 0;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static void counting(void *ctx, kith_span out)
{
    uint8_t *next = ctx;
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (*next)++;
}

static uint8_t next_random;
static const kith_env env = {.alloc = {.fn = watching}, .rand = {.ctx = &next_random, .fn = counting}};

/* All that p hears of in, appended to out; returns the bytes. */
static size_t hear(kith_pnet *p, kith_bytes in, uint8_t *out)
{
    kith_span copy = support_copy(in), left = copy;
    size_t len = 0;
    while (left.len > 0) {
        size_t before = left.len;
        kith_span text = kith_pnet_recv(p, &left);
        assert_true(left.len < before);
        if (text.len > 0)
            memcpy(out + len, text.p, text.len);
        len += text.len;
    }
    free(copy.p);
    return len;
}

/* What the side with this key says on the wire, when it says text. */
static size_t say(const uint8_t *key, kith_bytes text, uint8_t *wire)
{
    kith_pnet *p = kith_pnet_new(&env, key);
    size_t len = kith_pnet_send(p, kith_span_of(wire, KITH_PNET_NONCE_LEN));
    assert_int_equal(len, KITH_PNET_NONCE_LEN);
    assert_int_equal(kith_pnet_send(p, kith_span_of(wire + len, 99)), 0);
    memcpy(wire + len, text.p, text.len);
    kith_pnet_seal(p, kith_span_of(wire + len, text.len));
    kith_pnet_free(p);
    return len + text.len;
}

static void assert_failed(const kith_pnet *p, const char *sentence)
{
    const char *why = NULL;
    assert_int_equal(kith_pnet_err(p, &why), KITH_EPOLICY);
    assert_string_equal(why, sentence);
    assert_false(kith_pnet_met(p));
}

/* A connection of go-libp2p 0.51 (p2p/net/pnet) wrote it: the hello, "\x07/noise\n", then 00..95 in three writes. */
static const char go_key[] = "03ffd9edc330642a0ae015493c9b60cea669860365d7c65932dce21d6cae4436";
static const char go_wire[] =
    "08e84415749c129c041342c4f7c0778c9ccfb6fb2ba1c314a9a74549242ae43e5df09a0b5002aa520fb537184833f598ff8af38ae5c363212293793b9ff20c"
    "748658e957bda64880acd8fcecb6d66f4a3ad3aae6c915ac97fae13d2d7c074a8dab217e36cb81fa5938c17a198dcefc9f623739b97e156ba5be98a29d3f88"
    "dbb48c508abfd11261a5390c2245c15960c34ec509f7d060acd001364767cc6cf41400fd7eaf6e3c3109de90a09155a35257fceedfc5cdab946f7f6ea94130"
    "b7d92e6f48a0e313d967b99c95";

static void go_is_understood_wherever_it_is_cut(void **state)
{
    (void)state;
    kith_span key = support_hex(go_key), wire = support_hex(go_wire);
    uint8_t want[256], got[256];
    kith_wr w = kith_wr_of(kith_span_of(want, sizeof want));
    kith_put_str(&w, KITH_MSS_HELLO "\x07/noise\n");
    for (unsigned i = 0; i < 150; i++)
        kith_put_u8(&w, (uint8_t)i);
    for (size_t a = 0; a <= wire.len; a++) {
        kith_pnet *p = kith_pnet_new(&env, key.p);
        size_t n = hear(p, kith_bytes_of(wire.p, a), got);
        assert_int_equal(n, a < KITH_PNET_NONCE_LEN + HELLO_LEN ? 0 : a - KITH_PNET_NONCE_LEN);
        assert_int_equal(kith_pnet_met(p), a >= KITH_PNET_NONCE_LEN + HELLO_LEN);
        n += hear(p, kith_bytes_of(wire.p + a, wire.len - a), got + n);
        support_assert_bytes(kith_bytes_of(got, n), kith_wr_bytes(&w));
        kith_pnet_free(p);
    }
    kith_pnet *p = kith_pnet_new(&env, key.p);
    size_t n = 0;
    for (size_t i = 0; i < wire.len; i++)
        n += hear(p, kith_bytes_of(wire.p + i, 1), got + n);
    support_assert_bytes(kith_bytes_of(got, n), kith_wr_bytes(&w));
    kith_pnet_free(p);
    free(key.p), free(wire.p);
}

static void the_nonce_leaves_first_in_any_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 30; piece++) {
        uint8_t nonce[KITH_PNET_NONCE_LEN + 30];
        next_random = 7;
        kith_pnet *p = kith_pnet_new(&env, ours);
        size_t len = 0;
        for (size_t n; (n = kith_pnet_send(p, kith_span_of(nonce + len, piece))) > 0;)
            len += n;
        assert_int_equal(len, KITH_PNET_NONCE_LEN);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(nonce[i], 7 + i);
        kith_pnet_free(p);
    }
}

static void two_connections_have_two_streams(void **state)
{
    (void)state;
    uint8_t a[256], b[256];
    size_t n = say(ours, kith_bytes_str(KITH_MSS_HELLO), a);
    assert_int_equal(say(ours, kith_bytes_str(KITH_MSS_HELLO), b), n);
    assert_memory_not_equal(a, b, KITH_PNET_NONCE_LEN);
    assert_memory_not_equal(a + KITH_PNET_NONCE_LEN, b + KITH_PNET_NONCE_LEN, HELLO_LEN);
}

/* Whoever fails is heard no more: not the rest of that read, and nothing later. */
static void assert_deaf(kith_pnet *p, const char *why)
{
    uint8_t out[256];
    assert_failed(p, why);
    assert_int_equal(hear(p, kith_bytes_str("more of it"), out), 0);
    assert_failed(p, why);
    kith_pnet_free(p);
}

static void a_peer_without_a_key_is_seen_at_its_hello(void **state)
{
    (void)state;
    uint8_t out[256];
    kith_bytes text = kith_bytes_str(KITH_MSS_HELLO "\x07/noise\n");
    for (size_t a = 0; a <= text.len; a++) {
        kith_pnet *p = kith_pnet_new(&env, ours);
        assert_int_equal(hear(p, kith_bytes_of(text.p, a), out), 0);
        const char *why;
        if (a < HELLO_LEN)
            assert_int_equal(kith_pnet_err(p, &why), KITH_OK);
        else
            assert_failed(p, PLAIN); /* a listener without a key says no more than this */
        assert_int_equal(hear(p, kith_bytes_skip(text, a), out), 0);
        assert_deaf(p, PLAIN);
    }
}

static void a_peer_with_another_key_is_not_heard(void **state)
{
    (void)state;
    uint8_t wire[256], out[256];
    size_t n = say(another, kith_bytes_str(KITH_MSS_HELLO "\x07/noise\n"), wire);
    for (size_t a = 0; a <= n; a++) {
        kith_pnet *p = kith_pnet_new(&env, ours);
        assert_int_equal(hear(p, kith_bytes_of(wire, a), out) + hear(p, kith_bytes_of(wire + a, n - a), out),
                         0);
        assert_deaf(p, OTHER);
    }
}

/* One wrong bit in the nonce makes another stream of it; one in the hello is seen too. None is judged before the hello is whole: how far
 * a guess was right does not show. */
static void every_wrong_bit_of_the_beginning_is_noticed(void **state)
{
    (void)state;
    uint8_t wire[256], out[256];
    const char *why;
    size_t n = say(ours, kith_bytes_str(KITH_MSS_HELLO "\x07/noise\n"), wire),
           begin = KITH_PNET_NONCE_LEN + HELLO_LEN;
    for (size_t i = 0; i < begin; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1u << bit);
            kith_pnet *p = kith_pnet_new(&env, ours);
            assert_int_equal(hear(p, kith_bytes_of(wire, begin - 1), out), 0);
            assert_int_equal(kith_pnet_err(p, &why), KITH_OK);
            assert_int_equal(hear(p, kith_bytes_of(wire + begin - 1, n - begin + 1), out), 0);
            assert_deaf(p, OTHER);
            wire[i] ^= (uint8_t)(1u << bit);
        }
    }
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    support_heap h;
    const kith_env *e = support_env(&h);
    h.fail_at = 1;
    assert_null(kith_pnet_new(e, ours));
    support_heap_check(&h);
    kith_pnet_free(NULL);
}

static void the_key_is_wiped_at_every_stage(void **state)
{
    (void)state;
    uint8_t wire[256], out[256];
    size_t n = say(ours, kith_bytes_str(KITH_MSS_HELLO "\x07/noise\n"), wire);
    secret = ours;
    leaks = 0;
    for (size_t a = 0; a <= n; a++) {
        kith_pnet *p = kith_pnet_new(&env, ours);
        (void)hear(p, kith_bytes_of(wire, a), out);
        kith_pnet_free(p);
    }
    kith_pnet *p = kith_pnet_new(&env, ours);
    (void)hear(p, kith_bytes_str(KITH_MSS_HELLO), out);
    kith_pnet_free(p);
    secret = NULL;
    assert_int_equal(leaks, 0);
    assert_int_equal(held, 0);
}

static int setup(void **state)
{
    (void)state;
    return kith_crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(go_is_understood_wherever_it_is_cut),
        cmocka_unit_test(the_nonce_leaves_first_in_any_pieces),
        cmocka_unit_test(two_connections_have_two_streams),
        cmocka_unit_test(a_peer_without_a_key_is_seen_at_its_hello),
        cmocka_unit_test(a_peer_with_another_key_is_not_heard),
        cmocka_unit_test(every_wrong_bit_of_the_beginning_is_noticed),
        cmocka_unit_test(without_memory_there_is_none),
        cmocka_unit_test(the_key_is_wiped_at_every_stage),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
