/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The post-quantum identity in a handshake's extensions: any bytes (first byte even), or a true one with any fields around it, which
 * stays true unless they are of its own kinds. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "proto/noise_pq.h"
#include "wire/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t h[32] = {1}, s[32] = {2};

static kith_noise_pq_text text_of(kith_bytes pq_key)
{
    return (kith_noise_pq_text){.initiator = true,
                                .suite = "/kith/noise-mlkem768-hfs/1",
                                .h = h,
                                .s = s,
                                .identity = kith_bytes_str("an identity key"),
                                .pq_identity = pq_key};
}

static void put_truth(kith_wr *w)
{
    static uint8_t key[KITH_PQ_KEY_MAX], text[KITH_NOISE_PQ_TEXT_MAX], sig[KITH_SIG_MAX];
    static size_t key_len, sig_len;
    if (sig_len == 0) {
        uint8_t seed[32] = {7};
        kith_pq_signer *k;
        if (kith_pq_signer_new(KITH_SIG_MLDSA44, kith_bytes_of(seed, sizeof seed), &k))
            abort();
        kith_wr kw = kith_wr_of(kith_span_of(key, sizeof key)),
                tw = kith_wr_of(kith_span_of(text, sizeof text));
        kith_put_pq_key(&kw, KITH_SIG_MLDSA44, kith_pq_signer_public(k));
        kith_noise_pq_text t = text_of(kith_wr_bytes(&kw));
        kith_put_noise_pq_text(&tw, &t);
        kith_put_noise_pq_channel(&tw, kith_bytes_str("/noise"));
        if (kith_pq_sign(k, kith_wr_bytes(&tw), NULL, sig))
            abort();
        key_len = kw.len;
        sig_len = kith_sig_info_of(KITH_SIG_MLDSA44)->sig_len;
        kith_pq_signer_free(k);
    }
    kith_pb_put_bytes(w, KITH_NOISE_EXT_PQ_KEY, kith_bytes_of(key, key_len));
    kith_pb_put_bytes(w, KITH_NOISE_EXT_PQ_SIG, kith_bytes_of(sig, sig_len));
    kith_pb_put_str(w, KITH_NOISE_EXT_CHANNEL, "/noise");
}

/* Whether the fields are well formed and none of them is about the identity. */
static bool idle(kith_bytes in)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    bool idle = true;
    while (kith_pb_next(&r, &f))
        idle &= f.tag != KITH_NOISE_EXT_PQ_KEY && f.tag != KITH_NOISE_EXT_PQ_SIG &&
                f.tag != KITH_NOISE_EXT_CHANNEL;
    return idle && !r.bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t ext[32 * 1024];
    if (size == 0 || size > 16 * 1024 || kith_crypto_init())
        return 0;
    kith_bytes in = kith_bytes_of(data + 1, size - 1);
    kith_wr w = kith_wr_of(kith_span_of(ext, sizeof ext));
    bool whole = data[0] & 1;
    if (whole && data[0] & 2)
        kith_put_bytes(&w, in);
    if (whole)
        put_truth(&w);
    if (!whole || !(data[0] & 2))
        kith_put_bytes(&w, in);
    assert(!w.bad);
    kith_noise_pq_text t = text_of((kith_bytes){0});
    kith_noise_pq pq = {0};
    const char *why = NULL;
    kith_err e = kith_noise_pq_check(kith_wr_bytes(&w), &t, &pq, &why);
    assert(why && (e == KITH_OK) == (pq.alg != KITH_SIG_NONE) && (e == KITH_OK) == (pq.id.len > 0));
    assert(!whole || !idle(in) || e == KITH_OK);
    assert(whole || e != KITH_OK); /* nobody guesses a signature */
    return 0;
}
