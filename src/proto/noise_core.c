/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The Noise handshakes XX and XXhfs, with or without psk modifiers, driven by their token lists. */
#include "proto/noise_core.h"

#include <assert.h>

#include "crypto/crypto.h"

/* ---- ciphers ---- */

/* Noise 12.3 and 12.4: 32 zero bits, then the counter; in little-endian for ChaChaPoly, in big-endian for AESGCM. */
static void nonce_of(kith_aead_alg alg, uint64_t n, uint8_t out[KITH_AEAD_NONCE_LEN])
{
    memset(out, 0, 4);
    if (alg == KITH_AEAD_AES_256_GCM)
        kith_store_be64(out + 4, n);
    else
        kith_store_le64(out + 4, n);
}

kith_err kith_noise_cipher_seal(kith_noise_cipher *c, kith_span text, uint8_t tag[KITH_AEAD_TAG_LEN])
{
    uint8_t nonce[KITH_AEAD_NONCE_LEN];
    if (c->n == UINT64_MAX)
        return KITH_ELIMIT;
    nonce_of(c->alg, c->n++, nonce);
    kith_aead_seal(c->aead, nonce, (kith_bytes){0}, text, tag);
    return KITH_OK;
}

kith_err kith_noise_cipher_open(kith_noise_cipher *c, kith_span text, const uint8_t tag[KITH_AEAD_TAG_LEN])
{
    uint8_t nonce[KITH_AEAD_NONCE_LEN];
    if (c->n == UINT64_MAX)
        return KITH_ELIMIT;
    nonce_of(c->alg, c->n, nonce);
    kith_err e = kith_aead_open(c->aead, nonce, (kith_bytes){0}, text, tag);
    if (!e)
        c->n++;
    return e;
}

/* ---- the symmetric state: Noise 5.2 ---- */

static kith_err fail(kith_noise_hs *hs, kith_err e, const char *why)
{
    hs->why = e == KITH_ENOMEM ? "no memory for the handshake" : why;
    return e;
}

static void mix_hash(kith_noise_hs *hs, kith_bytes in)
{
    kith_sha256_2(kith_bytes_of(hs->h, sizeof hs->h), in, hs->h);
}

static void set_key(kith_noise_hs *hs, const uint8_t k[KITH_AEAD_KEY_LEN])
{
    kith_aead_rekey(hs->seal, k);
    kith_aead_rekey(hs->open, k);
    hs->keyed = true;
    hs->n = 0;
}

static void mix_key(kith_noise_hs *hs, const uint8_t secret[32])
{
    uint8_t out[64]; /* ck, k */
    kith_hkdf_sha256(kith_bytes_of(hs->ck, sizeof hs->ck), kith_bytes_of(secret, 32), (kith_bytes){0},
                     kith_span_of(out, sizeof out));
    memcpy(hs->ck, out, 32);
    set_key(hs, out + 32);
    kith_wipe(out, sizeof out);
}

/* MixKeyAndHash of the next pre-shared key. */
static void mix_psk(kith_noise_hs *hs)
{
    uint8_t out[96]; /* ck, what is hashed, k */
    kith_hkdf_sha256(kith_bytes_of(hs->ck, sizeof hs->ck), kith_bytes_of(hs->psk, KITH_NOISE_PSK_LEN),
                     (kith_bytes){0}, kith_span_of(out, sizeof out));
    hs->psk += KITH_NOISE_PSK_LEN;
    memcpy(hs->ck, out, 32);
    mix_hash(hs, kith_bytes_of(out + 32, 32));
    set_key(hs, out + 64);
    kith_wipe(out, sizeof out);
}

/* Length that `len` bytes take once encrypted. */
static size_t sealed_len(bool keyed, size_t len)
{
    return keyed ? len + KITH_AEAD_TAG_LEN : len;
}

/* Writes sealed_len bytes and returns the place after them. */
static uint8_t *encrypt_and_hash(kith_noise_hs *hs, kith_bytes in, uint8_t *out)
{
    size_t len = sealed_len(hs->keyed, in.len);
    if (in.len > 0 && in.p != out)
        memcpy(out, in.p, in.len);
    if (hs->keyed) {
        uint8_t nonce[KITH_AEAD_NONCE_LEN];
        nonce_of(hs->suite->aead, hs->n++, nonce);
        kith_aead_seal(hs->seal, nonce, kith_bytes_of(hs->h, sizeof hs->h), kith_span_of(out, in.len),
                       out + in.len);
    }
    mix_hash(hs, kith_bytes_of(out, len));
    return out + len;
}

static kith_err decrypt_and_hash(kith_noise_hs *hs, kith_span in, kith_bytes *out)
{
    uint8_t h[KITH_SHA256_LEN]; /* of the ciphertext, before it is gone */
    kith_sha256_2(kith_bytes_of(hs->h, sizeof hs->h), kith_span_bytes(in), h);
    if (hs->keyed) {
        if (in.len < KITH_AEAD_TAG_LEN)
            return fail(hs, KITH_EPROTO, "the handshake message is too short");
        uint8_t nonce[KITH_AEAD_NONCE_LEN];
        nonce_of(hs->suite->aead, hs->n++, nonce);
        in.len -= KITH_AEAD_TAG_LEN;
        kith_err e = kith_aead_open(hs->open, nonce, kith_bytes_of(hs->h, sizeof hs->h), in, in.p + in.len);
        if (e)
            return fail(hs, e, "the handshake message does not authenticate");
    }
    memcpy(hs->h, h, sizeof h);
    *out = kith_span_bytes(in);
    return KITH_OK;
}

/* ---- tokens: Noise 7, HFS 4 ---- */

typedef enum token { END, E, E1, EE, EKEM1, S, ES, SE } token;

static const token xx[3][6] = {{E, END}, {E, EE, S, ES, END}, {S, SE, END}};
static const token xxhfs[3][6] = {{E, E1, END}, {E, EE, EKEM1, S, ES, END}, {S, SE, END}};

static const token *message(const kith_noise_hs *hs, unsigned i)
{
    assert(i < 3);
    return hs->suite->kem == KITH_KEM_NONE ? xx[i] : xxhfs[i];
}

/* The modifiers psk0 to psk3, Noise 9.4: a token before the first message's others, or behind those of message i. */
static bool has_psk(const kith_noise_hs *hs, unsigned modifier)
{
    return hs->suite->psk >> modifier & 1;
}

static void psk_before(kith_noise_hs *hs)
{
    if (hs->done == 0 && has_psk(hs, 0))
        mix_psk(hs);
}

static void psk_behind(kith_noise_hs *hs)
{
    if (has_psk(hs, hs->done + 1))
        mix_psk(hs);
}

/* Noise 9.2: with a psk anywhere, an ephemeral is mixed into the key too, so that no two messages have one key and nonce. */
static void mix_e(kith_noise_hs *hs, const uint8_t e[KITH_X25519_LEN])
{
    mix_hash(hs, kith_bytes_of(e, KITH_X25519_LEN));
    if (hs->suite->psk)
        mix_key(hs, e);
}

static kith_err mix_dh(kith_noise_hs *hs, const kith_dh *ours, const uint8_t theirs[KITH_X25519_LEN])
{
    uint8_t secret[KITH_X25519_LEN];
    kith_err e = kith_dh_shared(ours, theirs, secret);
    if (e)
        return fail(hs, e, "the peer sent a key share of low order");
    mix_key(hs, secret);
    kith_wipe(secret, sizeof secret);
    return KITH_OK;
}

/* The first letter is the initiator's key. */
static kith_err mix_es(kith_noise_hs *hs)
{
    return hs->initiator ? mix_dh(hs, hs->e, hs->rs) : mix_dh(hs, hs->s, hs->re);
}

static kith_err mix_se(kith_noise_hs *hs)
{
    return hs->initiator ? mix_dh(hs, hs->s, hs->re) : mix_dh(hs, hs->e, hs->rs);
}

static kith_err write_e(kith_noise_hs *hs, uint8_t **out)
{
    hs->e = kith_dh_new(hs->drawn);
    kith_wipe(hs->drawn, KITH_X25519_LEN);
    if (!hs->e)
        return fail(hs, KITH_ENOMEM, NULL);
    kith_dh_public(hs->e, *out);
    mix_e(hs, *out);
    *out += KITH_X25519_LEN;
    return KITH_OK;
}

static kith_err write_e1(kith_noise_hs *hs, uint8_t **out)
{
    hs->kem = kith_kem_new(hs->suite->kem, hs->drawn + KITH_X25519_LEN);
    kith_wipe(hs->drawn, sizeof hs->drawn);
    if (!hs->kem)
        return fail(hs, KITH_ENOMEM, NULL);
    kith_kem_ek(hs->kem, hs->ek);
    *out = encrypt_and_hash(hs, kith_bytes_of(hs->ek, kith_kem_ek_len(hs->suite->kem)), *out);
    return KITH_OK;
}

static kith_err write_ekem1(kith_noise_hs *hs, uint8_t **out)
{
    uint8_t ct[KITH_KEM_CT_MAX];
    uint8_t secret[KITH_KEM_SHARED_LEN];
    kith_kem_alg alg = hs->suite->kem;
    kith_err e = kith_kem_encaps(alg, kith_bytes_of(hs->ek, kith_kem_ek_len(alg)),
                                 hs->drawn + KITH_X25519_LEN, ct, secret);
    kith_wipe(hs->drawn, sizeof hs->drawn);
    if (e)
        return fail(hs, e, "the peer sent a bad ML-KEM key");
    *out = encrypt_and_hash(hs, kith_bytes_of(ct, kith_kem_ct_len(alg)), *out);
    mix_key(hs, secret);
    kith_wipe(secret, sizeof secret);
    return KITH_OK;
}

static kith_err write_token(kith_noise_hs *hs, token t, uint8_t **out)
{
    uint8_t pub[KITH_X25519_LEN];
    switch (t) {
    case E:
        return write_e(hs, out);
    case E1:
        return write_e1(hs, out);
    case EE:
        return mix_dh(hs, hs->e, hs->re);
    case EKEM1:
        return write_ekem1(hs, out);
    case S:
        kith_dh_public(hs->s, pub);
        *out = encrypt_and_hash(hs, kith_bytes_of(pub, sizeof pub), *out);
        return KITH_OK;
    case ES:
        return mix_es(hs);
    case SE:
        return mix_se(hs);
    case END:
        break;
    }
    assert(0);
    return KITH_ESTATE;
}

/* The next len bytes of the message, as they are when encrypted. */
static kith_err take(kith_noise_hs *hs, kith_span *in, bool keyed, size_t len, kith_span *out)
{
    size_t n = sealed_len(keyed, len);
    if (in->len < n)
        return fail(hs, KITH_EPROTO, "the handshake message is too short");
    *out = kith_span_of(in->p, n);
    *in = kith_span_skip(*in, n);
    return KITH_OK;
}

static kith_err take_open(kith_noise_hs *hs, kith_span *in, size_t len, kith_bytes *out)
{
    kith_span sealed = {0};
    kith_err e = take(hs, in, hs->keyed, len, &sealed);
    return e ? e : decrypt_and_hash(hs, sealed, out);
}

static kith_err read_ekem1(kith_noise_hs *hs, kith_span *in)
{
    kith_bytes ct = {0};
    uint8_t secret[KITH_KEM_SHARED_LEN];
    kith_err e = take_open(hs, in, kith_kem_ct_len(hs->suite->kem), &ct);
    if (e)
        return e;
    e = kith_kem_decaps(hs->kem, ct, secret);
    if (e)
        return fail(hs, e, "the ML-KEM ciphertext is malformed");
    mix_key(hs, secret);
    kith_wipe(secret, sizeof secret);
    return KITH_OK;
}

static kith_err read_token(kith_noise_hs *hs, token t, kith_span *in)
{
    kith_err e;
    kith_span clear = {0};
    kith_bytes plain = {0};
    switch (t) {
    case E:
        e = take(hs, in, false, KITH_X25519_LEN, &clear);
        if (e)
            return e;
        memcpy(hs->re, clear.p, sizeof hs->re);
        mix_e(hs, hs->re);
        return KITH_OK;
    case E1:
        e = take_open(hs, in, kith_kem_ek_len(hs->suite->kem), &plain);
        if (!e && plain.len > 0)
            memcpy(hs->ek, plain.p, plain.len);
        return e;
    case EE:
        return mix_dh(hs, hs->e, hs->re);
    case EKEM1:
        return read_ekem1(hs, in);
    case S:
        e = take_open(hs, in, KITH_X25519_LEN, &plain);
        if (!e && plain.len > 0)
            memcpy(hs->rs, plain.p, plain.len);
        return e;
    case ES:
        return mix_es(hs);
    case SE:
        return mix_se(hs);
    case END:
        break;
    }
    assert(0);
    return KITH_ESTATE;
}

/* ---- the handshake ---- */

void kith_noise_hs_set_prologue(kith_noise_hs *hs, kith_bytes prologue)
{
    kith_bytes name = kith_bytes_str(hs->suite->name);
    assert(hs->done == 0);
    memset(hs->h, 0, sizeof hs->h);
    if (name.len <= sizeof hs->h)
        memcpy(hs->h, name.p, name.len); /* padded with zeros */
    else
        kith_sha256(name, hs->h);
    memcpy(hs->ck, hs->h, sizeof hs->ck);
    mix_hash(hs, prologue);
}

kith_err kith_noise_hs_init(kith_noise_hs *hs, const kith_noise_suite *suite, bool initiator,
                            const kith_dh *s, kith_bytes prologue)
{
    static const uint8_t no_key[KITH_AEAD_KEY_LEN];
    *hs = (kith_noise_hs){.suite = suite, .s = s, .initiator = initiator};
    kith_noise_hs_set_prologue(hs, prologue);
    hs->seal = kith_aead_new(suite->aead, no_key, true);
    hs->open = kith_aead_new(suite->aead, no_key, false);
    return hs->seal && hs->open ? KITH_OK : fail(hs, KITH_ENOMEM, NULL);
}

void kith_noise_hs_fini(kith_noise_hs *hs)
{
    kith_aead_free(hs->seal);
    kith_aead_free(hs->open);
    kith_dh_free(hs->e);
    kith_kem_free(hs->kem);
    kith_wipe(hs, sizeof *hs);
}

void kith_noise_hs_set_psks(kith_noise_hs *hs, const uint8_t *psks)
{
    hs->psk = psks;
}

void kith_noise_hs_draw(kith_noise_hs *hs, const kith_env *env)
{
    size_t kem = hs->suite->kem == KITH_KEM_NONE ? 0 : hs->initiator ? KITH_KEM_SEED_LEN : KITH_KEM_COIN_LEN;
    kith_rand_fill(env, kith_span_of(hs->drawn, KITH_X25519_LEN));
    if (kem)
        kith_rand_fill(env, kith_span_of(hs->drawn + KITH_X25519_LEN, kem));
}

/* Of a message's keys; *keyed: whether there is a key before, and after. */
static size_t keys_len(const kith_noise_hs *hs, unsigned i, bool *keyed)
{
    size_t len = 0;
    for (const token *t = message(hs, i); *t != END; t++) {
        switch (*t) {
        case E:
            len += KITH_X25519_LEN;
            *keyed = *keyed || hs->suite->psk;
            break;
        case E1:
            len += sealed_len(*keyed, kith_kem_ek_len(hs->suite->kem));
            break;
        case EKEM1:
            len += sealed_len(*keyed, kith_kem_ct_len(hs->suite->kem));
            break;
        case S:
            len += sealed_len(*keyed, KITH_X25519_LEN);
            break;
        case EE:
        case ES:
        case SE:
            *keyed = true;
            break;
        case END:
            break;
        }
    }
    return len;
}

size_t kith_noise_hs_len(const kith_noise_hs *hs, size_t payload_len)
{
    bool keyed = hs->keyed;
    size_t len = keys_len(hs, hs->done, &keyed);
    return len + sealed_len(keyed, payload_len);
}

size_t kith_noise_hs_answer_len(const kith_noise_hs *hs, size_t payload_len)
{
    bool keyed = hs->keyed;
    (void)keys_len(hs, hs->done, &keyed);
    size_t len = keys_len(hs, hs->done + 1, &keyed);
    return len + sealed_len(keyed, payload_len);
}

kith_err kith_noise_hs_write_keys(kith_noise_hs *hs, uint8_t *out, uint8_t **payload_at)
{
    psk_before(hs);
    for (const token *t = message(hs, hs->done); *t != END; t++) {
        kith_err e = write_token(hs, *t, &out);
        if (e)
            return e;
    }
    psk_behind(hs);
    *payload_at = out;
    return KITH_OK;
}

void kith_noise_hs_write_payload(kith_noise_hs *hs, kith_bytes payload, uint8_t *payload_at)
{
    (void)encrypt_and_hash(hs, payload, payload_at);
    hs->done++;
}

kith_err kith_noise_hs_write(kith_noise_hs *hs, kith_bytes payload, uint8_t *out)
{
    kith_err e = kith_noise_hs_write_keys(hs, out, &out);
    if (!e)
        kith_noise_hs_write_payload(hs, payload, out);
    return e;
}

kith_err kith_noise_hs_read_keys(kith_noise_hs *hs, kith_span msg, kith_span *rest)
{
    psk_before(hs);
    for (const token *t = message(hs, hs->done); *t != END; t++) {
        kith_err e = read_token(hs, *t, &msg);
        if (e)
            return e;
    }
    psk_behind(hs);
    *rest = msg;
    return KITH_OK;
}

kith_err kith_noise_hs_read_payload(kith_noise_hs *hs, kith_span rest, kith_bytes *payload)
{
    kith_err e = decrypt_and_hash(hs, rest, payload);
    if (!e)
        hs->done++;
    return e;
}

kith_err kith_noise_hs_read(kith_noise_hs *hs, kith_span msg, kith_bytes *payload)
{
    kith_err e = kith_noise_hs_read_keys(hs, msg, &msg);
    return e ? e : kith_noise_hs_read_payload(hs, msg, payload);
}

void kith_noise_hs_split(const kith_noise_hs *hs, uint8_t k1[KITH_AEAD_KEY_LEN],
                         uint8_t k2[KITH_AEAD_KEY_LEN])
{
    assert(hs->done == 3);
    uint8_t out[64];
    kith_hkdf_sha256(kith_bytes_of(hs->ck, sizeof hs->ck), (kith_bytes){0}, (kith_bytes){0},
                     kith_span_of(out, sizeof out));
    memcpy(k1, out, 32);
    memcpy(k2, out + 32, 32);
    kith_wipe(out, sizeof out);
}

/* A third output beside Split's two: the same extraction, expanded under a label. */
void kith_noise_hs_chain(const kith_noise_hs *hs, uint8_t chain[KITH_NOISE_CHAIN_LEN])
{
    assert(hs->done == 3);
    kith_hkdf_sha256(kith_bytes_of(hs->ck, sizeof hs->ck), (kith_bytes){0},
                     kith_bytes_str("kith rekey 1 chain"), kith_span_of(chain, KITH_NOISE_CHAIN_LEN));
}

/* A fourth: of this very transcript, since ck alone does not name the ephemeral keys. First the half of who was the initiator. */
void kith_noise_hs_legacy(const kith_noise_hs *hs, kith_noise_legacy *out)
{
    assert(hs->done == 3);
    static const char label[] = "kith resume 1";
    uint8_t info[sizeof label - 1 + KITH_SHA256_LEN];
    uint8_t both[2][sizeof(kith_noise_secret)]; /* bytes alone: no padding */
    memcpy(info, label, sizeof label - 1);
    memcpy(info + sizeof label - 1, hs->h, sizeof hs->h);
    kith_hkdf_sha256(kith_bytes_of(hs->ck, sizeof hs->ck), (kith_bytes){0}, kith_bytes_of(info, sizeof info),
                     kith_span_of(both[0], sizeof both));
    memcpy(&out->ours, both[!hs->initiator], sizeof out->ours);
    memcpy(&out->theirs, both[hs->initiator], sizeof out->theirs);
    kith_wipe(both, sizeof both);
}
