/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys out of a share code. */
#include "host/code_key.h"

#include <stdlib.h>

#include "crypto/argon2.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "wire/multihash.h"

#define PLACE_SALT "kith code place"
#define TAG_LABEL "kith code tag"
#define KEY_LABEL "kith code key"
#define LOCATOR_SYMBOLS 6
#define SECRET_SYMBOLS 5

/* As slow as RFC 9106 recommends, in half the memory: a transfer needs some, too, and is to stay below 64 MiB with it. */
static const kith_argon2_cost cost = {.kib = 32 << 10, .passes = 6, .lanes = 4};

static kith_err stretch(const kith_code *c, size_t from, size_t count, kith_bytes salt, kith_span out)
{
    char text[KITH_CODE_TEXT_LEN + 1], symbols[KITH_CODE_SYMBOLS];
    size_t n = 0;
    kith_code_text(c, text);
    for (const char *s = text; *s; s++) {
        if (*s != '-')
            symbols[n++] = *s;
    }
    kith_err e = kith_argon2id(kith_bytes_of(symbols + from, count), salt, &cost, out);
    kith_wipe(text, sizeof text);
    kith_wipe(symbols, sizeof symbols);
    return e;
}

kith_err kith_code_place(const kith_code *c, kith_code_keys *k)
{
    uint8_t in[sizeof TAG_LABEL - 1 + KITH_CODE_PLACE_LEN], hash[KITH_SHA256_LEN];
    kith_err e =
        stretch(c, 0, LOCATOR_SYMBOLS, kith_bytes_str(PLACE_SALT), kith_span_of(k->place, sizeof k->place));
    if (e)
        return e;
    kith_wr w = kith_wr_of(kith_span_of(in, sizeof in));
    kith_put_str(&w, TAG_LABEL);
    kith_put_bytes(&w, kith_bytes_of(k->place, sizeof k->place));
    kith_sha256(kith_wr_bytes(&w), hash);
    memcpy(k->tag, hash, sizeof k->tag);
    kith_wipe(in, sizeof in);
    return KITH_OK;
}

kith_err kith_code_secret(const kith_code *c, kith_code_keys *k)
{
    return stretch(c, LOCATOR_SYMBOLS, SECRET_SYMBOLS, kith_bytes_of(k->tag, sizeof k->tag),
                   kith_span_of(k->secret, sizeof k->secret));
}

uint64_t kith_code_bucket(uint64_t unix_seconds)
{
    return unix_seconds / KITH_CODE_BUCKET_S;
}

void kith_code_key(const uint8_t place[KITH_CODE_PLACE_LEN], uint64_t bucket, uint8_t out[KITH_CODE_KEY_LEN])
{
    uint8_t in[sizeof KEY_LABEL - 1 + KITH_CODE_PLACE_LEN + 8];
    kith_wr w = kith_wr_of(kith_span_of(in, sizeof in));
    kith_put_str(&w, KEY_LABEL);
    kith_put_bytes(&w, kith_bytes_of(place, KITH_CODE_PLACE_LEN));
    kith_put_be64(&w, bucket);
    kith_sha256(kith_wr_bytes(&w), out);
    kith_wipe(in, sizeof in);
}

void kith_code_hash(const uint8_t place[KITH_CODE_PLACE_LEN], uint64_t bucket,
                    uint8_t out[KITH_CODE_HASH_LEN])
{
    out[0] = KITH_MH_SHA2_256;
    out[1] = KITH_CODE_KEY_LEN;
    kith_code_key(place, bucket, out + 2);
}

/* ---- on the worker pool ---- */

struct kith_code_work {
    uv_work_t work;
    uv_loop_t *loop;
    kith_code code;
    kith_code_keys keys;
    kith_err err;
    bool placed;
    kith_code_worked fn; /* NULL: cancelled */
    void *ctx;
};

static void on_work(uv_work_t *work)
{
    kith_code_work *w = work->data;
    w->err = w->placed ? kith_code_secret(&w->code, &w->keys) : kith_code_place(&w->code, &w->keys);
}

static void work_free(kith_code_work *w)
{
    kith_wipe(w, sizeof *w);
    free(w);
}

static void on_worked(uv_work_t *work, int status)
{
    kith_code_work *w = work->data;
    kith_err e = status ? KITH_ENOMEM : w->err;
    if (!e && !w->placed && w->fn) {
        w->placed = true;
        if (uv_queue_work(w->loop, &w->work, on_work, on_worked) == 0) {
            w->fn(w->ctx, KITH_OK, &w->keys, false);
            return;
        }
        e = KITH_ENOMEM;
    }
    if (w->fn)
        w->fn(w->ctx, e, &w->keys, !e);
    work_free(w);
}

kith_code_work *kith_code_work_new(uv_loop_t *loop, const kith_code *c, kith_code_worked fn, void *ctx)
{
    kith_code_work *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->work.data = w;
    w->loop = loop;
    w->code = *c;
    w->fn = fn;
    w->ctx = ctx;
    if (uv_queue_work(loop, &w->work, on_work, on_worked)) {
        work_free(w);
        return NULL;
    }
    return w;
}

void kith_code_work_cancel(kith_code_work *w)
{
    if (w)
        w->fn = NULL;
}
