/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* identify: the input as what a peer says, in pieces that its first byte chooses; what is heard, said by us, is heard again the same. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "proto/identify.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const kith_stream_ops *const ops = &kith_identify_ops;
static kith_peer_id own; /* the key of the seed 01 00 00 ..., as in the corpus */
static size_t held;
static size_t calls; /* allocations until one fails; 0: none does */

static void *count_alloc(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    if (size > 0 && calls > 0 && --calls == 0)
        return NULL;
    held = held - old + size;
    return kith_heap(NULL, p, old, size);
}

static const kith_env env = {.alloc = {.fn = count_alloc}};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, pub[KITH_ED25519_PUB_LEN], key[KITH_PUBKEY_ED25519_LEN];
    if (kith_crypto_init() != KITH_OK)
        return 1;
    kith_signer *s = kith_signer_new(seed);
    if (!s)
        return 1;
    kith_signer_public(s, pub);
    kith_signer_free(s);
    kith_pubkey_ed25519(pub, key);
    return kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &own) == KITH_OK ? 0 : 1;
}

/* Obeys the drive rule: after every call, send until it gives 0, then want, deadline and pending agree with the result. */
static void drive(kith_identify *l)
{
    uint8_t b[16];
    const kith_identify_info *info;
    size_t said = ops->send(l, 1, kith_span_of(b, sizeof b));
    assert(said == 0);
    kith_err e = kith_identify_result(l, &info);
    kith_stream_want want = ops->want(l);
    assert(want == (e == KITH_ESTATE ? KITH_STREAM_OPEN : e ? KITH_STREAM_RESET : KITH_STREAM_FIN));
    assert((ops->deadline(l) == KITH_NEVER) == (e != KITH_ESTATE));
    assert(ops->pending(l) == (e != KITH_ESTATE));
    assert((kith_identify_why(l) != NULL) == (e != KITH_OK && e != KITH_ESTATE));
    assert(held <= 160 * 1024); /* the bound of identify.h, with the buffer's slack and the machine itself */
}

static kith_identify *hear(kith_bytes in, size_t piece)
{
    kith_identify *l = NULL;
    kith_err e = kith_identify_listener(&env, 0, &own, &l);
    assert(e == KITH_OK);
    drive(l);
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        e = ops->recv(l, 1, kith_bytes_of(in.p, n));
        drive(l);
        if (e)
            return l;
        in = kith_bytes_skip(in, n);
    }
    ops->eof(l, 1);
    drive(l);
    return l;
}

/* The same with an allocation that fails: it is told, or was not needed. */
static void hear_without_memory(kith_bytes in, size_t nth)
{
    kith_identify *l = NULL;
    const kith_identify_info *info;
    calls = nth;
    kith_err e = kith_identify_listener(&env, 0, &own, &l);
    if (!e)
        e = ops->recv(l, 1, in);
    if (!e)
        ops->eof(l, 1);
    if (l) {
        drive(l);
        e = kith_identify_result(l, &info);
    }
    assert(calls > 0 || e != KITH_OK);
    calls = 0;
    if (l)
        ops->free(l);
    assert(held == 0);
}

static void heard_again(const kith_identify_info *info)
{
    static uint8_t out[KITH_IDENTIFY_CHUNKS_MAX * KITH_IDENTIFY_SEND_MAX];
    const kith_identify_local local = {
        .pubkey = kith_peer_id_inline_key(&own),
        .addrs = info->addrs,
        .addr_count = info->addr_count,
        .observed = kith_maddr_bytes(&info->observed),
        .protocols = info->protocols,
        .protocol_count = info->protocol_count,
        .agent = info->agent,
        .record = info->record,
    };
    kith_identify *s = NULL;
    if (kith_identify_speaker(&env, &local, &s) != KITH_OK)
        return;
    size_t len = 0;
    for (size_t n = 1; n > 0; len += n)
        n = ops->send(s, 1, kith_span_of(out + len, sizeof out - len));
    assert(ops->want(s) == KITH_STREAM_FIN);
    ops->free(s);
    kith_identify *l = hear(kith_bytes_of(out, len), 1000);
    const kith_identify_info *again = NULL;
    kith_err e = kith_identify_result(l, &again);
    assert(e == KITH_OK);
    assert(again->protocol_count == info->protocol_count && again->addr_count == info->addr_count);
    for (size_t i = 0; i < info->protocol_count; i++)
        assert(kith_bytes_eq(again->protocols[i], info->protocols[i]));
    for (size_t i = 0; i < info->addr_count; i++)
        assert(kith_maddr_eq(&again->addrs[i], &info->addrs[i]));
    assert(kith_bytes_eq(again->agent, info->agent));
    assert(kith_maddr_eq(&again->observed, &info->observed));
    if (info->record.len < KITH_IDENTIFY_SEND_MAX - 10)
        assert(kith_bytes_eq(again->record, info->record));
    kith_peer_record rec;
    if (kith_identify_record(info, &rec) == KITH_OK)
        assert(kith_peer_id_eq(&rec.peer, &info->peer));
    ops->free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const kith_identify_info *info;
    kith_identify *l = hear(kith_bytes_of(data + 1, size - 1), 1u + data[0]);
    kith_err e = kith_identify_result(l, &info);
    if (e == KITH_OK) {
        assert(info->protocol_count <= KITH_IDENTIFY_PROTOCOLS_MAX &&
               info->addr_count <= KITH_IDENTIFY_ADDRS_MAX);
        assert(info->agent.len <= KITH_IDENTIFY_AGENT_MAX);
        heard_again(info);
    }
    /* In one piece the same comes out. */
    kith_identify *whole = hear(kith_bytes_of(data + 1, size - 1), size);
    const kith_identify_info *other;
    assert((kith_identify_result(whole, &other) == KITH_OK) == (e == KITH_OK));
    ops->gone(l, 2, KITH_OK);
    ops->free(l);
    ops->free(whole);
    assert(held == 0);
    hear_without_memory(kith_bytes_of(data + 1, size - 1), 1u + data[0] % 32);
    return 0;
}
