/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An identity in memory, and as text. */
#include "host/identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/identity_impl.h"
#include "wire/multibase.h"

#define HEAD_MAX 512 /* of the lines before the secret: five, of known words */

static const char damaged[] = "it is damaged";

/* ---- secrets ---- */

static size_t secret_len(const kith_identity *id)
{
    kith_sig_alg alg = id->facts.alg;
    return KITH_ED25519_SEED_LEN + (alg == KITH_SIG_NONE ? 0 : kith_sig_info_of(alg)->seed_len);
}

static void fill(kith_rand rand, void *p, size_t n)
{
    rand.fn(rand.ctx, kith_span_of(p, n));
}

static kith_identity *blank(void)
{
    return calloc(1, sizeof(kith_identity));
}

static void drop_successors(kith_identity *id, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(id->successors[i].p);
    id->successor_count -= count;
    memmove(id->successors, id->successors + count, id->successor_count * sizeof *id->successors);
}

void kith_identity_free(kith_identity *id)
{
    if (!id)
        return;
    drop_successors(id, id->successor_count);
    kith_wipe(id, sizeof *id);
    free(id);
}

kith_identity_facts kith_identity_facts_of(const kith_identity *id)
{
    kith_identity_facts f = id->facts;
    f.successors = id->successor_count;
    return f;
}

size_t kith_identity_successors(const kith_identity *id, kith_bytes out[KITH_SUCCESSORS_MAX])
{
    for (size_t i = 0; i < id->successor_count; i++)
        out[i] = kith_span_bytes(id->successors[i]);
    return id->successor_count;
}

static kith_peer_id peer_of(const kith_signer *s)
{
    uint8_t raw[KITH_ED25519_PUB_LEN], pb[KITH_PUBKEY_ED25519_LEN];
    kith_peer_id peer;
    kith_signer_public(s, raw);
    kith_pubkey_ed25519(raw, pb);
    kith_err e = kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &peer);
    assert(e == KITH_OK);
    return peer;
}

static kith_err pq_key(const kith_identity *id, kith_pq_signer **out)
{
    kith_bytes seed =
        kith_bytes_of(id->secret + KITH_ED25519_SEED_LEN, secret_len(id) - KITH_ED25519_SEED_LEN);
    return kith_pq_signer_new(id->facts.alg, seed, out);
}

kith_err kith_identity_keys(const kith_identity *id, kith_signer **signer, kith_pq_signer **pq)
{
    if (id->facts.locked)
        return KITH_ESTATE;
    kith_pq_signer *p = NULL;
    kith_signer *s = kith_signer_new(id->secret);
    kith_err e = !s ? KITH_ENOMEM : id->facts.alg == KITH_SIG_NONE ? KITH_OK : pq_key(id, &p);
    if (!e) {
        kith_peer_id peer = peer_of(s);
        kith_pq_id pq_id = p ? kith_pq_id_of_signer(p) : (kith_pq_id){0};
        if (!kith_peer_id_eq(&peer, &id->facts.peer) || !kith_pq_id_eq(&pq_id, &id->facts.pq_id))
            e = KITH_EFORMAT;
    }
    if (e) {
        kith_signer_free(s);
        kith_pq_signer_free(p);
        return e;
    }
    *signer = s;
    *pq = p;
    return KITH_OK;
}

const char *kith_identity_trouble(kith_err e)
{
    return e == KITH_EFORMAT        ? "its keys are not those that it names"
           : e == KITH_EUNSUPPORTED ? "Falcon-512 needs a kith that was built with liboqs"
                                    : kith_err_text(e);
}

/* ---- the lines before the secret, which the seal covers too ---- */

static void put_head(const kith_identity *id, kith_wr *w)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], pq_id[KITH_PQ_ID_TEXT_LEN + 1];
    kith_peer_id_text(&id->facts.peer, peer);
    kith_pq_id_text(&id->facts.pq_id, pq_id);
    kith_put_str(w, "kith identity 2\npeer-id ");
    kith_put_str(w, peer);
    kith_put_str(w, "\npq-id ");
    kith_put_str(w, pq_id);
    kith_put_str(w, "\npq-algorithm ");
    kith_put_str(w, kith_sig_info_of(id->facts.alg)->name);
    kith_put_str(w, "\npq-sequence ");
    kith_put_dec(w, id->facts.seq);
    kith_put_str(w, "\n");
    if (!id->facts.encrypted)
        return;
    kith_put_str(w, "argon2id m=");
    kith_put_dec(w, id->cost.kib);
    kith_put_str(w, ",t=");
    kith_put_dec(w, id->cost.passes);
    kith_put_str(w, ",p=");
    kith_put_dec(w, id->cost.lanes);
    kith_put_str(w, " ");
    kith_put_hex(w, kith_bytes_of(id->salt, sizeof id->salt));
    kith_put_str(w, "\n");
}

/* ---- sealing ---- */

/* The same key may seal several times: each has its own nonce. */
static kith_err seal(kith_identity *id, kith_rand rand)
{
    char head[HEAD_MAX];
    kith_wr w = kith_wr_of(kith_span_of(head, sizeof head));
    kith_aead *a = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, id->key, true);
    if (!a)
        return KITH_ENOMEM;
    put_head(id, &w);
    assert(!w.bad);
    size_t len = secret_len(id);
    uint8_t *text = id->sealed + KITH_AEAD_NONCE_LEN;
    fill(rand, id->sealed, KITH_AEAD_NONCE_LEN);
    memcpy(text, id->secret, len);
    kith_aead_seal(a, id->sealed, kith_wr_bytes(&w), kith_span_of(text, len), text + len);
    id->sealed_len = KITH_AEAD_NONCE_LEN + len + KITH_AEAD_TAG_LEN;
    kith_aead_free(a);
    return KITH_OK;
}

static kith_err unseal(kith_identity *id, const uint8_t key[KITH_AEAD_KEY_LEN])
{
    char head[HEAD_MAX];
    uint8_t text[SECRET_MAX];
    kith_wr w = kith_wr_of(kith_span_of(head, sizeof head));
    kith_aead *a = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, key, false);
    if (!a)
        return KITH_ENOMEM;
    put_head(id, &w);
    assert(!w.bad);
    size_t len = secret_len(id);
    const uint8_t *sealed = id->sealed + KITH_AEAD_NONCE_LEN;
    memcpy(text, sealed, len);
    kith_err e = kith_aead_open(a, id->sealed, kith_wr_bytes(&w), kith_span_of(text, len), sealed + len);
    if (!e)
        memcpy(id->secret, text, len);
    kith_aead_free(a);
    kith_wipe(text, sizeof text);
    return e;
}

kith_err kith_identity_unlock(kith_identity *id, kith_bytes passphrase, const char **why)
{
    uint8_t key[KITH_AEAD_KEY_LEN];
    *why = NULL;
    if (!id->facts.locked)
        return KITH_OK;
    kith_err e = kith_argon2id(passphrase, kith_bytes_of(id->salt, sizeof id->salt), &id->cost,
                               kith_span_of(key, sizeof key));
    if (e == KITH_ELIMIT)
        *why = passphrase.len == 0 || passphrase.len > KITH_ARGON2_PASSPHRASE_MAX
                   ? "a passphrase has 1 to 1024 bytes"
                   : "its passphrase would take more memory or time than kith gives";
    else if (e)
        *why = "there is not enough memory for its passphrase";
    else
        e = unseal(id, key);
    if (e == KITH_ECRYPTO) {
        e = KITH_EAUTH;
        *why = "the passphrase is wrong, or the file is damaged";
    }
    if (!e) {
        memcpy(id->key, key, sizeof key);
        id->facts.locked = false;
    }
    kith_wipe(key, sizeof key);
    return e;
}

kith_err kith_identity_protect(kith_identity *id, kith_bytes passphrase, const kith_argon2_cost *cost,
                               kith_rand rand)
{
    assert(!id->facts.locked && id->facts.alg != KITH_SIG_NONE);
    uint8_t key[KITH_AEAD_KEY_LEN], salt[KITH_ARGON2_SALT_LEN];
    if (passphrase.len == 0) {
        id->facts.encrypted = false;
        return KITH_OK;
    }
    fill(rand, salt, sizeof salt);
    kith_err e =
        kith_argon2id(passphrase, kith_bytes_of(salt, sizeof salt), cost, kith_span_of(key, sizeof key));
    if (e)
        return e;
    id->facts.encrypted = true;
    id->cost = *cost;
    memcpy(id->salt, salt, sizeof salt);
    memcpy(id->key, key, sizeof key);
    kith_wipe(key, sizeof key);
    return seal(id, rand);
}

/* ---- making and replacing keys ---- */

kith_err kith_identity_new(kith_sig_alg alg, kith_rand rand, kith_identity **out)
{
    kith_identity *id = blank();
    kith_signer *s = NULL;
    if (!id)
        return KITH_ENOMEM;
    fill(rand, id->secret, KITH_ED25519_SEED_LEN);
    s = kith_signer_new(id->secret);
    kith_err e = KITH_ENOMEM;
    if (s) {
        id->facts.peer = peer_of(s);
        e = kith_identity_rotate(id, alg, 0, rand);
    }
    kith_signer_free(s);
    if (e)
        kith_identity_free(id);
    else
        *out = id;
    return e;
}

/* The statement that leads from the old key to the new one, as a block of its own. */
static kith_err state_successor(const kith_successor_of *of, kith_span *out)
{
    uint8_t *room = malloc(KITH_SIG_MAX), *buf = malloc(KITH_SUCCESSOR_MAX);
    kith_successor_of with_room = *of;
    kith_wr w = kith_wr_of(kith_span_of(buf, KITH_SUCCESSOR_MAX));
    with_room.room = room;
    kith_err e = room && buf ? kith_successor_sign(&with_room, &w) : KITH_ENOMEM;
    free(room);
    if (e) {
        free(buf);
        return e;
    }
    *out = kith_span_of(buf, w.len);
    return KITH_OK;
}

static kith_err succeed(const kith_identity *id, const kith_pq_signer *next, uint64_t time, kith_rand rand,
                        kith_span *out)
{
    uint8_t rnd[KITH_SIG_RND_LEN];
    kith_signer *signer = NULL;
    kith_pq_signer *now = NULL;
    kith_err e = kith_identity_keys(id, &signer, &now);
    if (e)
        return e;
    fill(rand, rnd, sizeof rnd);
    kith_successor_of of = {.signer = signer,
                            .old_key = now,
                            .new_key = next,
                            .seq = id->facts.seq + 1,
                            .time = time,
                            .rnd = rnd};
    e = state_successor(&of, out);
    kith_signer_free(signer);
    kith_pq_signer_free(now);
    return e;
}

/* Changes the identity only when both keys and the statement are there. */
kith_err kith_identity_rotate(kith_identity *id, kith_sig_alg alg, uint64_t time, kith_rand rand)
{
    assert(!id->facts.locked);
    size_t len = kith_sig_info_of(alg)->seed_len;
    uint8_t seed[KITH_SIG_SEED_MAX];
    kith_pq_signer *next = NULL;
    kith_span statement = {0};
    bool first = id->facts.alg == KITH_SIG_NONE;
    kith_err e = kith_pq_seed_new(alg, rand, seed);
    if (!e)
        e = kith_pq_signer_new(alg, kith_bytes_of(seed, len), &next);
    if (!e && !first)
        e = succeed(id, next, time, rand, &statement);
    if (!e) {
        if (!first && id->successor_count == KITH_SUCCESSORS_MAX)
            drop_successors(id, 1);
        if (!first)
            id->successors[id->successor_count++] = statement;
        id->facts.seq += !first;
        id->facts.alg = alg;
        id->facts.pq_id = kith_pq_id_of_signer(next);
        memcpy(id->secret + KITH_ED25519_SEED_LEN, seed, len);
        if (id->facts.encrypted)
            e = seal(id, rand);
    }
    kith_wipe(seed, sizeof seed);
    kith_pq_signer_free(next);
    return e;
}

/* ---- text ---- */

void kith_identity_put(const kith_identity *id, kith_wr *w)
{
    put_head(id, w);
    if (id->facts.encrypted) {
        kith_put_str(w, "sealed ");
        kith_put_hex(w, kith_bytes_of(id->sealed, id->sealed_len));
    } else {
        kith_put_str(w, "ed25519-seed ");
        kith_put_hex(w, kith_bytes_of(id->secret, KITH_ED25519_SEED_LEN));
        kith_put_str(w, "\npq-seed ");
        kith_put_hex(
            w, kith_bytes_of(id->secret + KITH_ED25519_SEED_LEN, secret_len(id) - KITH_ED25519_SEED_LEN));
    }
    kith_put_str(w, "\n");
    for (size_t i = 0; i < id->successor_count; i++) {
        kith_put_str(w, "successor ");
        kith_base_put(w, KITH_BASE64URL, kith_span_bytes(id->successors[i]));
        kith_put_str(w, "\n");
    }
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many bytes there are, at most cap; 0: not hex, or too much. */
static size_t parse_hex(kith_bytes text, uint8_t *out, size_t cap)
{
    if (text.len % 2 || text.len / 2 > cap)
        return 0;
    for (size_t i = 0; i < text.len / 2; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return 0;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return text.len / 2;
}

/* A decimal number without leading zeros at the start of *text, which moves behind it. */
static bool take_number(kith_bytes *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < text->len && text->p[n] >= '0' && text->p[n] <= '9'; n++) {
        unsigned digit = text->p[n] - (unsigned)'0';
        if (v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (n == 0 || (n > 1 && text->p[0] == '0'))
        return false;
    *text = kith_bytes_skip(*text, n);
    *out = v;
    return true;
}

static bool take_word(kith_bytes *text, const char *word)
{
    size_t n = strlen(word);
    if (text->len < n || memcmp(text->p, word, n) != 0)
        return false;
    *text = kith_bytes_skip(*text, n);
    return true;
}

static bool parse_argon2(kith_bytes v, kith_identity *id)
{
    uint64_t kib, passes, lanes;
    if (!take_word(&v, "m=") || !take_number(&v, UINT32_MAX, &kib) || !take_word(&v, ",t=") ||
        !take_number(&v, UINT32_MAX, &passes) || !take_word(&v, ",p=") ||
        !take_number(&v, UINT32_MAX, &lanes) || !take_word(&v, " ") ||
        parse_hex(v, id->salt, sizeof id->salt) != sizeof id->salt)
        return false;
    id->cost = (kith_argon2_cost){.kib = (uint32_t)kib, .passes = (uint32_t)passes, .lanes = (uint32_t)lanes};
    return true;
}

static bool parse_successor(kith_bytes v, kith_identity *id)
{
    kith_successor s;
    if (id->successor_count == KITH_SUCCESSORS_MAX || v.len > KITH_SUCCESSOR_MAX / 3 * 4 + 4)
        return false;
    uint8_t *p = malloc(KITH_SUCCESSOR_MAX);
    kith_wr w = kith_wr_of(kith_span_of(p, p ? KITH_SUCCESSOR_MAX : 0));
    if (kith_base_get(v, KITH_BASE64URL, &w) || kith_successor_parse(kith_wr_bytes(&w), &s)) {
        free(p);
        return false;
    }
    id->successors[id->successor_count++] = kith_span_of(p, w.len);
    return true;
}

/* The next line without its newline; false at the end or when a newline is missing. */
static bool next_line(kith_bytes *in, kith_bytes *line)
{
    const uint8_t *nl = in->len ? memchr(in->p, '\n', in->len) : NULL;
    if (!nl)
        return false;
    *line = kith_bytes_of(in->p, (size_t)(nl - in->p));
    *in = kith_bytes_skip(*in, line->len + 1);
    return true;
}

enum field { PEER, PQ_ID, ALG, SEQ, ARGON2, SEALED, SEED, PQ_SEED, SUCCESSOR, FIELDS };

static const char *const names[FIELDS] = {
    [PEER] = "peer-id ",      [PQ_ID] = "pq-id ",     [ALG] = "pq-algorithm ",
    [SEQ] = "pq-sequence ",   [ARGON2] = "argon2id ", [SEALED] = "sealed ",
    [SEED] = "ed25519-seed ", [PQ_SEED] = "pq-seed ", [SUCCESSOR] = "successor ",
};

static bool parse_field(enum field f, kith_bytes v, kith_identity *id, size_t *pq_seed_len)
{
    switch (f) {
    case PEER:
        return kith_peer_id_from_text(v, &id->facts.peer) == KITH_OK;
    case PQ_ID:
        return kith_pq_id_from_text(v, &id->facts.pq_id) == KITH_OK;
    case ALG:
        id->facts.alg = kith_sig_named(v);
        return id->facts.alg != KITH_SIG_NONE;
    case SEQ:
        return take_number(&v, INT64_MAX, &id->facts.seq) && v.len == 0;
    case ARGON2:
        return parse_argon2(v, id);
    case SEALED:
        id->sealed_len = parse_hex(v, id->sealed, sizeof id->sealed);
        return id->sealed_len > 0;
    case SEED:
        return parse_hex(v, id->secret, KITH_ED25519_SEED_LEN) == KITH_ED25519_SEED_LEN;
    case PQ_SEED:
        *pq_seed_len = parse_hex(v, id->secret + KITH_ED25519_SEED_LEN, KITH_SIG_SEED_MAX);
        return *pq_seed_len > 0;
    case SUCCESSOR:
        return parse_successor(v, id);
    case FIELDS:
        break;
    }
    return false;
}

/* Each statement begins where the one before ended, and the last leads to the key of the file. */
static bool successors_fit(const kith_identity *id)
{
    kith_successor s, before;
    for (size_t i = 0; i < id->successor_count; i++) {
        if (kith_successor_parse(kith_span_bytes(id->successors[i]), &s))
            return false;
        if (!kith_peer_id_eq(&s.peer, &id->facts.peer) ||
            (i > 0 && (!kith_pq_id_eq(&s.old_id, &before.new_id) || s.seq <= before.seq)))
            return false;
        before = s;
    }
    return id->successor_count == 0 || (kith_pq_id_eq(&s.new_id, &id->facts.pq_id) && s.seq == id->facts.seq);
}

/* Fields in any order, each once but for successors; unknown names are for later versions. */
static bool parse_fields(kith_bytes in, unsigned known, kith_identity *id, unsigned *seen,
                         size_t *pq_seed_len)
{
    kith_bytes line;
    *seen = 0;
    while (next_line(&in, &line)) {
        for (enum field f = 0; f < FIELDS; f++) {
            if (!(known & 1u << f) || !take_word(&line, names[f]))
                continue;
            if ((*seen & 1u << f && f != SUCCESSOR) || !parse_field(f, line, id, pq_seed_len))
                return false;
            *seen |= 1u << f;
            break;
        }
    }
    return in.len == 0;
}

static bool parse_version_1(kith_bytes in, kith_identity *id)
{
    unsigned seen;
    size_t none;
    if (!parse_fields(in, 1u << SEED, id, &seen, &none) || !seen)
        return false;
    kith_signer *s = kith_signer_new(id->secret);
    if (!s)
        return false;
    id->facts.peer = peer_of(s);
    kith_signer_free(s);
    return true;
}

static bool parse_version_2(kith_bytes in, kith_identity *id)
{
    const unsigned named = 1u << PEER | 1u << PQ_ID | 1u << ALG | 1u << SEQ,
                   open = 1u << SEED | 1u << PQ_SEED, closed = 1u << ARGON2 | 1u << SEALED;
    unsigned seen;
    size_t pq_seed_len = 0;
    if (!parse_fields(in, (1u << FIELDS) - 1, id, &seen, &pq_seed_len))
        return false;
    seen &= ~(1u << SUCCESSOR);
    if (seen != (named | open) && seen != (named | closed))
        return false;
    id->facts.encrypted = id->facts.locked = seen == (named | closed);
    size_t len = secret_len(id);
    bool fits = id->facts.encrypted ? id->sealed_len == KITH_AEAD_NONCE_LEN + len + KITH_AEAD_TAG_LEN
                                    : pq_seed_len == len - KITH_ED25519_SEED_LEN;
    return fits && successors_fit(id);
}

kith_err kith_identity_parse(kith_bytes in, kith_identity **out, const char **why)
{
    kith_bytes line;
    *why = "it is not a kith identity file";
    if (in.len > KITH_IDENTITY_TEXT_MAX || !next_line(&in, &line) || !take_word(&line, "kith identity "))
        return KITH_EFORMAT;
    bool one = kith_bytes_eq_str(line, "1");
    *why = "it was made by a newer kith";
    if (!one && !kith_bytes_eq_str(line, "2"))
        return KITH_EFORMAT;
    *why = "there is no memory";
    kith_identity *id = blank();
    if (!id)
        return KITH_ENOMEM;
    *why = damaged;
    if (!(one ? parse_version_1(in, id) : parse_version_2(in, id))) {
        kith_identity_free(id); /* wipes: what is left of a seed is still a secret */
        return KITH_EFORMAT;
    }
    *why = NULL;
    *out = id;
    return KITH_OK;
}

/* ---- armour ---- */

static const char begin[] = "-----BEGIN KITH IDENTITY-----", end[] = "-----END KITH IDENTITY-----";
#define LINE 64

kith_err kith_identity_put_armour(const kith_identity *id, kith_wr *w)
{
    uint8_t *text = malloc(KITH_IDENTITY_TEXT_MAX);
    uint8_t *code = malloc(KITH_IDENTITY_ARMOUR_MAX);
    kith_wr t = kith_wr_of(kith_span_of(text, text ? KITH_IDENTITY_TEXT_MAX : 0));
    kith_wr c = kith_wr_of(kith_span_of(code, code ? KITH_IDENTITY_ARMOUR_MAX : 0));
    kith_identity_put(id, &t);
    kith_base_put(&c, KITH_BASE64, kith_wr_bytes(&t));
    bool fits = !t.bad && !c.bad;
    kith_put_str(w, begin);
    for (size_t at = 0; fits && at < c.len; at += LINE) {
        kith_put_str(w, "\n");
        kith_put_bytes(w, kith_bytes_of(code + at, c.len - at < LINE ? c.len - at : LINE));
    }
    kith_put_str(w, "\n");
    kith_put_str(w, end);
    kith_put_str(w, "\n");
    kith_wipe(text, t.len);
    kith_wipe(code, c.len);
    free(text);
    free(code);
    return !fits ? KITH_ENOMEM : w->bad ? KITH_ESPACE : KITH_OK;
}

/* What stands between the two lines, in *body. */
static bool find_body(kith_bytes in, kith_bytes *body)
{
    for (; in.len > 0; in = kith_bytes_skip(in, 1)) {
        if (take_word(&in, begin))
            break;
    }
    for (size_t n = 0; n + sizeof end - 1 <= in.len; n++) {
        if (memcmp(in.p + n, end, sizeof end - 1) == 0) {
            *body = kith_bytes_of(in.p, n);
            return true;
        }
    }
    return false;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

kith_err kith_identity_parse_armour(kith_bytes in, kith_identity **out, const char **why)
{
    kith_bytes body;
    *why = "there is no exported identity in it";
    if (in.len > KITH_IDENTITY_ARMOUR_MAX || !find_body(in, &body))
        return KITH_EFORMAT;
    uint8_t *code = malloc(body.len + 1), *text = malloc(body.len + 1);
    kith_err e = KITH_ENOMEM;
    kith_wr w = kith_wr_of(kith_span_of(text, body.len));
    size_t n = 0;
    *why = "there is no memory";
    if (code && text) {
        for (size_t i = 0; i < body.len; i++) {
            if (!is_space(body.p[i]))
                code[n++] = body.p[i];
        }
        *why = damaged;
        e = kith_base_get(kith_bytes_of(code, n), KITH_BASE64, &w);
        e = e ? KITH_EFORMAT : kith_identity_parse(kith_wr_bytes(&w), out, why);
    }
    if (code)
        kith_wipe(code, n);
    if (text)
        kith_wipe(text, body.len);
    free(code);
    free(text);
    return e;
}
