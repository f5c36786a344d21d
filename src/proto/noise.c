/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libp2p over Noise: identities in the payloads, early muxer choice, and the record layer. */
#include "proto/noise.h"

#include <assert.h>

#include "crypto/crypto.h"
#include "proto/noise_core.h"
#include "proto/noise_pq.h"
#include "proto/noise_seen.h"
#include "wire/pb.h"

#define PAYLOAD_MAX 8192 /* of the peer's */
/* In kith's own suites: a signature of SLH-DSA-SHA2-128f has 17,088 bytes. */
#define PAYLOAD_OWN_MAX (18 * 1024 + KITH_NOISE_SUCCESSORS_MAX)
#define NAMES_MAX 2048 /* of our own lists in the extensions */
#define PART_MIN 512   /* room for a message of the handshake that comes in pieces; doubled as they come */
#define EMPTY_MAX 256  /* records without plaintext in a row */

#define XXHFS(kem) "Noise_XXhfs_25519+" kem "_ChaChaPoly_SHA256"

#define CHACHA KITH_AEAD_CHACHA20_POLY1305

const kith_noise_suite kith_noise_suites[] = {
    {"/kith/noise-mlkem512-hfs/1", XXHFS("MLKEM512"), KITH_KEM_MLKEM512, 1, true, 0, 0, false, CHACHA},
    {"/kith/noise-mlkem768-hfs/1", XXHFS("MLKEM768"), KITH_KEM_MLKEM768, 3, true, 0, 0, false, CHACHA},
    {"/kith/noise-mlkem1024-hfs/1", XXHFS("MLKEM1024"), KITH_KEM_MLKEM1024, 5, true, 0, 0, false, CHACHA},
    {"/noise-mlkem768-hfs/0.2.0", XXHFS("MLKEM768"), KITH_KEM_MLKEM768, 3, false, 0, 0, false, CHACHA},
    {"/noise", "Noise_XX_25519_ChaChaPoly_SHA256", KITH_KEM_NONE, 0, false, 0, 0, false, CHACHA},
};

const size_t kith_noise_suite_count = sizeof kith_noise_suites / sizeof kith_noise_suites[0];

#define XXHFS_PSK2(kem) "Noise_XXhfs+psk2_25519+" kem "_ChaChaPoly_SHA256"

const kith_noise_suite kith_noise_psk_suites[] = {
    {"/kith/noise-mlkem768-hfs-psk/1", XXHFS_PSK2("MLKEM768"), KITH_KEM_MLKEM768, 3, true, 1 << 2,
     KITH_NOISE_KEY_NAME_LEN, false, CHACHA},
    {"/kith/noise-mlkem1024-hfs-psk/1", XXHFS_PSK2("MLKEM1024"), KITH_KEM_MLKEM1024, 5, true, 1 << 2,
     KITH_NOISE_KEY_NAME_LEN, false, CHACHA},
};

const size_t kith_noise_psk_suite_count = sizeof kith_noise_psk_suites / sizeof kith_noise_psk_suites[0];

#define RESUME(id, kem, alg, level)                                                   \
    {                                                                                 \
        "/kith/noise-" id "-hfs-resume/1", XXHFS_PSK2(kem), alg, level, true, 1 << 2, \
            KITH_NOISE_RESUME_NAME_LEN, true, CHACHA                                  \
    }

const kith_noise_suite kith_noise_resume_suites[] = {
    RESUME("mlkem512", "MLKEM512", KITH_KEM_MLKEM512, 1),
    RESUME("mlkem768", "MLKEM768", KITH_KEM_MLKEM768, 3),
    RESUME("mlkem1024", "MLKEM1024", KITH_KEM_MLKEM1024, 5),
};

const size_t kith_noise_resume_suite_count =
    sizeof kith_noise_resume_suites / sizeof kith_noise_resume_suites[0];

static const kith_noise_suite *find(const kith_noise_suite *list, size_t count, kith_bytes id)
{
    for (size_t i = 0; i < count; i++)
        if (kith_bytes_eq_str(id, list[i].id))
            return &list[i];
    return NULL;
}

const kith_noise_suite *kith_noise_suite_find(kith_bytes id)
{
    const kith_noise_suite *s = find(kith_noise_suites, kith_noise_suite_count, id);
    if (!s)
        s = find(kith_noise_psk_suites, kith_noise_psk_suite_count, id);
    return s ? s : find(kith_noise_resume_suites, kith_noise_resume_suite_count, id);
}

/* ---- identity ---- */

/* NoiseHandshakePayload: libp2p noise spec, "The libp2p Handshake Payload". */
enum { TAG_KEY = 1, TAG_SIG = 2, TAG_EXT = 4, TAG_EXT_MUXER = 2 };

#define RECORDS_AES 1 /* the one value of KITH_NOISE_EXT_RECORDS so far */

/* Names that we have, most preferred first. */
typedef struct names {
    const kith_bytes *list;
    size_t count;
} names;

#define IDENTITY_LEN (2 + KITH_PUBKEY_ED25519_LEN + 2 + KITH_ED25519_SIG_LEN)

struct kith_noise_identity {
    const kith_env *env; /* borrowed */
    kith_dh *s;
    uint8_t payload[IDENTITY_LEN]; /* identity_key and identity_sig, encoded */
    kith_bytes key;                /* the identity key in it */
    const kith_pq_signer *pq;      /* borrowed; NULL: none */
    uint8_t *pq_key;               /* its PublicKey protobuf */
    size_t pq_key_len;
    uint8_t *successors; /* fields of the extensions, encoded */
    size_t successors_len;
    kith_noise_seen *seen; /* of peers */
};

#define SIGNED_PREFIX "noise-libp2p-static-key:"
#define SIGNED_LEN (sizeof SIGNED_PREFIX - 1 + KITH_X25519_LEN)

/* What an identity key signs. */
static void signed_text(const uint8_t s[KITH_X25519_LEN], uint8_t out[SIGNED_LEN])
{
    memcpy(out, SIGNED_PREFIX, sizeof SIGNED_PREFIX - 1);
    memcpy(out + sizeof SIGNED_PREFIX - 1, s, KITH_X25519_LEN);
}

static bool take_pq(kith_noise_identity *id, const kith_pq_signer *pq)
{
    id->pq = pq;
    if (!pq)
        return true;
    id->pq_key_len = kith_pq_key_len(kith_pq_signer_alg(pq));
    id->pq_key = kith_mem_new(id->env, id->pq_key_len);
    if (!id->pq_key)
        return false;
    kith_wr w = kith_wr_of(kith_span_of(id->pq_key, id->pq_key_len));
    kith_put_pq_key(&w, kith_pq_signer_alg(pq), kith_pq_signer_public(pq));
    assert(!w.bad && w.len == id->pq_key_len);
    return true;
}

kith_noise_identity *kith_noise_identity_new(const kith_env *env, const kith_signer *signer,
                                             const kith_pq_signer *pq)
{
    kith_noise_identity *id = KITH_NEW(env, kith_noise_identity);
    if (!id)
        return NULL;
    id->env = env;
    uint8_t secret[KITH_X25519_LEN];
    kith_rand_fill(env, kith_span_of(secret, sizeof secret));
    id->s = kith_dh_new(secret);
    kith_wipe(secret, sizeof secret);
    id->seen = kith_noise_seen_new(env);
    if (!id->s || !id->seen || !take_pq(id, pq))
        goto fail;

    uint8_t pub[KITH_X25519_LEN];
    uint8_t text[SIGNED_LEN];
    uint8_t sig[KITH_ED25519_SIG_LEN];
    kith_dh_public(id->s, pub);
    signed_text(pub, text);
    if (kith_signer_sign(signer, kith_bytes_of(text, sizeof text), sig))
        goto fail;

    uint8_t raw[KITH_ED25519_PUB_LEN];
    uint8_t key[KITH_PUBKEY_ED25519_LEN];
    kith_signer_public(signer, raw);
    kith_pubkey_ed25519(raw, key);
    kith_wr w = kith_wr_of(kith_span_of(id->payload, sizeof id->payload));
    kith_pb_put_bytes(&w, TAG_KEY, kith_bytes_of(key, sizeof key));
    kith_pb_put_bytes(&w, TAG_SIG, kith_bytes_of(sig, sizeof sig));
    assert(!w.bad && w.len == sizeof id->payload);
    id->key = kith_bytes_of(id->payload + 2, sizeof key);
    return id;
fail:
    kith_noise_identity_free(id);
    return NULL;
}

kith_err kith_noise_identity_tell(kith_noise_identity *id, const kith_bytes *statements, size_t count)
{
    size_t from = count, len = 0;
    assert(!id->successors);
    while (from > 0) {
        size_t more = kith_pb_bytes_len(KITH_NOISE_EXT_SUCCESSOR, statements[from - 1].len);
        if (more > KITH_NOISE_SUCCESSORS_MAX - len)
            break;
        len += more;
        from--;
    }
    if (len == 0)
        return KITH_OK;
    id->successors = kith_mem_new(id->env, len);
    if (!id->successors)
        return KITH_ENOMEM;
    id->successors_len = len;
    kith_wr w = kith_wr_of(kith_span_of(id->successors, len));
    for (; from < count; from++)
        kith_pb_put_bytes(&w, KITH_NOISE_EXT_SUCCESSOR, statements[from]);
    assert(!w.bad && w.len == len);
    return KITH_OK;
}

void kith_noise_identity_free(kith_noise_identity *id)
{
    if (!id)
        return;
    kith_mem_free(id->env, id->successors, id->successors_len);
    kith_dh_free(id->s);
    kith_noise_seen_free(id->seen);
    kith_mem_free(id->env, id->pq_key, id->pq_key_len);
    KITH_FREE(id->env, id);
}

/* ---- the machine ---- */

/*   initiator: new writes A, WAIT_B -> OPEN (B read, C written)
 *   responder: WAIT_A -> WAIT_C (A read, B written) -> OPEN (C read)
 *   any state -> DEAD
 * In between lies a step, which is computed elsewhere; the state changes when it is done. */
typedef enum state { WAIT_A, WAIT_B, WAIT_C, OPEN, DEAD } state;

/* A message of the peer's and our answer to it. It owns what its computation touches beside `hs`, so that this needs nothing of the
 * machine's surroundings and can happen on another thread: no memory, no randomness, no trace. */
typedef struct step {
    size_t size; /* of this block */
    uint8_t *answer;
    size_t answer_size, answer_len; /* NULL, 0, 0: the message is the last one */
    uint8_t rnd[KITH_SIG_RND_LEN];  /* for our signature in it */
    /* what the computation comes to */
    bool done;
    kith_err err;
    const char *why;
    kith_peer_id peer;
    kith_noise_pq pq;
    kith_bytes key, ext;   /* views into msg */
    size_t successors_len; /* of the statements in ext, as fields */
    kith_bytes muxer;
    bool leaves;                /* the next handshake can be resumed */
    bool aes;                   /* for the records, says the peer */
    size_t front, answer_front; /* bytes before Noise's own: front_len */
    size_t len;
    uint8_t msg[]; /* len bytes */
} step;

/* Of a change of keys: the diagram in the header. */
typedef enum change { STABLE, LEAD, LED, FOLLOW, OWING } change;

struct kith_noise {
    const kith_env *env;
    const kith_noise_identity *identity;
    const kith_noise_suite *suite;
    names muxers, channels;
    kith_peer_id expected;
    state state;
    bool ready_due; /* events that next owes */
    bool failed_due;
    bool gone;       /* freed while a step was under way */
    bool key_wanted; /* the step waits for the key of a name, */
    bool work_due;   /* or for next to tell of its work */
    bool keyed;      /* psk is one that both sides have */
    bool psk_required;
    bool aes;    /* for the records: said by us, and once open by both */
    bool leaves; /* legacy is for somebody to take */
    kith_noise_legacy legacy;
    uint8_t psk[KITH_NOISE_PSK_LEN];
    step *step;        /* under way, or NULL */
    unsigned empties;  /* records without plaintext in a row */
    kith_noise_hs *hs; /* until OPEN */
    uint8_t *out;      /* a handshake message that send has not handed over; NULL: none */
    size_t out_size, out_len;
    kith_noise_cipher tx, rx; /* from OPEN on */
    bool initiator;
    change change;
    uint32_t changes;
    uint8_t chain[KITH_NOISE_CHAIN_LEN];
    kith_noise_keys next; /* until they are in use */

    /* Input. A message that lies whole in `in` is read where it is; one that is split is gathered in `part`,
     * which exists only for as long. */
    kith_span in;
    uint8_t head[2];
    uint8_t head_len;
    bool part_whole; /* next has handed it out: release it */
    uint8_t *part;
    size_t part_len, part_need, part_size; /* what has come, of how much, in how large a block */
    uint8_t *ahead; /* what came behind a message whose step is under way; when it is done, `in` lies there */
    size_t ahead_size, ahead_len;

    size_t shaken_in, shaken_out; /* bytes of handshake messages */
    kith_peer_id peer;
    kith_noise_pq pq;
    uint8_t *peer_key; /* NULL: the key lies in the peer id */
    size_t peer_key_len;
    uint8_t *successors; /* what came of them, as fields of the extensions; NULL: none, or forgotten */
    size_t successors_len;
    kith_bytes muxer; /* the one of muxers that was agreed on */
    uint8_t h[KITH_SHA256_LEN];
    kith_err err;
    const char *why;
};

static void hs_free(kith_noise *n)
{
    kith_wipe(n->psk, sizeof n->psk);
    if (!n->hs)
        return;
    kith_noise_hs_fini(n->hs);
    KITH_FREE(n->env, n->hs);
    n->hs = NULL;
}

static void out_free(kith_noise *n)
{
    kith_mem_free(n->env, n->out, n->out_size);
    n->out = NULL;
    n->out_size = n->out_len = 0;
}

static void part_free(kith_noise *n)
{
    kith_mem_free(n->env, n->part, n->part_size);
    n->part = NULL;
    n->part_len = n->part_need = n->part_size = 0;
    n->part_whole = false;
    n->head_len = 0;
}

static void ahead_free(kith_noise *n)
{
    kith_mem_free(n->env, n->ahead, n->ahead_size);
    n->ahead = NULL;
    n->ahead_size = n->ahead_len = 0;
}

static void step_free(kith_noise *n)
{
    step *s = n->step;
    if (!s)
        return;
    kith_mem_free(n->env, s->answer, s->answer_size);
    kith_mem_free(n->env, s, s->size);
    n->step = NULL;
    n->key_wanted = n->work_due = false;
}

static void ciphers_free(kith_noise *n)
{
    kith_aead_free(n->tx.aead);
    kith_aead_free(n->rx.aead);
    n->tx.aead = n->rx.aead = NULL;
}

static void keys_wipe(kith_noise *n)
{
    kith_wipe(n->chain, sizeof n->chain);
    kith_wipe(&n->next, sizeof n->next);
    kith_wipe(&n->legacy, sizeof n->legacy);
    n->change = STABLE;
    n->leaves = false;
}

/* Keeps nothing but the peer's name and the reason. Returns false, for those who answer with it. */
static bool die(kith_noise *n, kith_err e, const char *why)
{
    step_free(n);
    hs_free(n);
    out_free(n);
    part_free(n);
    ahead_free(n);
    ciphers_free(n);
    keys_wipe(n);
    n->in = (kith_span){0};
    n->state = DEAD;
    n->ready_due = false;
    n->failed_due = true;
    n->err = e;
    n->why = why;
    kith_trace_line(n->env, "noise", why);
    return false;
}

/* ---- payloads ---- */

static size_t names_len(uint32_t tag, const names *n)
{
    size_t len = 0;
    for (size_t i = 0; i < n->count; i++)
        len += kith_pb_bytes_len(tag, n->list[i].len);
    return len;
}

static void put_names(kith_wr *w, uint32_t tag, const names *n)
{
    for (size_t i = 0; i < n->count; i++)
        kith_pb_put_bytes(w, tag, n->list[i]);
}

static size_t sig_len(const kith_noise *n)
{
    return kith_sig_info_of(kith_pq_signer_alg(n->identity->pq))->sig_len;
}

bool kith_noise_resumed(const kith_noise *n)
{
    return n->suite->resumes && n->keyed;
}

/* Both prove a post-quantum identity here and now. */
static bool signs(const kith_noise *n)
{
    return n->suite->own && !kith_noise_resumed(n);
}

/* Our payload has bytes that nobody could know before: as a signature does, so that h is out of the responder's hands when it has spoken. */
static bool freshens(const kith_noise *n)
{
    return kith_noise_resumed(n) && n->hs->initiator;
}

static size_t ext_len(const kith_noise *n)
{
    size_t len = names_len(TAG_EXT_MUXER, &n->muxers) + names_len(KITH_NOISE_EXT_CHANNEL, &n->channels);
    assert(len <= NAMES_MAX);
    if (signs(n))
        len += kith_pb_bytes_len(KITH_NOISE_EXT_PQ_KEY, n->identity->pq_key_len) +
               kith_pb_bytes_len(KITH_NOISE_EXT_PQ_SIG, sig_len(n)) + n->identity->successors_len;
    if (freshens(n))
        len += kith_pb_bytes_len(KITH_NOISE_EXT_FRESH, KITH_SIG_RND_LEN);
    if (n->aes)
        len += kith_pb_num_len(KITH_NOISE_EXT_RECORDS, RECORDS_AES);
    return len;
}

static size_t payload_len(const kith_noise *n)
{
    size_t ext = ext_len(n);
    return IDENTITY_LEN + (ext > 0 ? kith_pb_bytes_len(TAG_EXT, ext) : 0);
}

/* Our post-quantum signature over this handshake, sig_len bytes, to out. */
static kith_err sign(const kith_noise *n, const uint8_t rnd[KITH_SIG_RND_LEN], uint8_t *out)
{
    uint8_t buf[KITH_NOISE_PQ_TEXT_MAX], s[KITH_X25519_LEN];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_dh_public(n->identity->s, s);
    kith_noise_pq_text t = {.initiator = n->hs->initiator,
                            .suite = n->suite->id,
                            .h = n->hs->h,
                            .s = s,
                            .identity = n->identity->key,
                            .pq_identity = kith_bytes_of(n->identity->pq_key, n->identity->pq_key_len)};
    kith_put_noise_pq_text(&w, &t);
    for (size_t i = 0; i < n->channels.count; i++)
        kith_put_noise_pq_channel(&w, n->channels.list[i]);
    assert(!w.bad);
    return kith_pq_sign(n->identity->pq, kith_wr_bytes(&w), rnd, out);
}

/* The header of a field of bytes. */
static void put_head(kith_wr *w, uint32_t tag, size_t len)
{
    kith_put_uvarint(w, (uint64_t)tag << 3 | 2);
    kith_put_uvarint(w, len);
}

/* Our payload of B and C, payload_len bytes; what comes before it has been written. KITH_ENOMEM. */
static kith_err put_payload(const kith_noise *n, const uint8_t rnd[KITH_SIG_RND_LEN], uint8_t *out)
{
    const kith_noise_identity *id = n->identity;
    size_t ext = ext_len(n);
    kith_err e = KITH_OK;
    kith_wr w = kith_wr_of(kith_span_of(out, payload_len(n)));
    kith_put_bytes(&w, kith_bytes_of(id->payload, IDENTITY_LEN));
    if (ext > 0)
        put_head(&w, TAG_EXT, ext);
    put_names(&w, TAG_EXT_MUXER, &n->muxers);
    if (signs(n)) {
        kith_pb_put_bytes(&w, KITH_NOISE_EXT_PQ_KEY, kith_bytes_of(id->pq_key, id->pq_key_len));
        put_head(&w, KITH_NOISE_EXT_PQ_SIG, sig_len(n));
        e = sign(n, rnd, kith_put_room(&w, sig_len(n)));
    }
    put_names(&w, KITH_NOISE_EXT_CHANNEL, &n->channels);
    if (signs(n))
        kith_put_bytes(&w, kith_bytes_of(id->successors, id->successors_len));
    if (freshens(n))
        kith_pb_put_bytes(&w, KITH_NOISE_EXT_FRESH, kith_bytes_of(rnd, KITH_SIG_RND_LEN));
    if (n->aes)
        kith_pb_put_num(&w, KITH_NOISE_EXT_RECORDS, RECORDS_AES);
    assert(!w.bad && w.len == payload_len(n));
    return e;
}

typedef struct fields {
    kith_bytes key, sig, ext; /* views; p NULL: absent */
} fields;

/* False: malformed, or a field twice. Unknown fields are skipped. */
static bool get_payload(kith_bytes in, fields *out)
{
    kith_rd r = kith_rd_of(in);
    kith_pb_field f;
    bool seen[TAG_EXT + 1] = {false};
    *out = (fields){0};
    while (kith_pb_next(&r, &f)) {
        if (f.tag > TAG_EXT)
            continue;
        kith_bytes *to = f.tag == TAG_KEY   ? &out->key
                         : f.tag == TAG_SIG ? &out->sig
                         : f.tag == TAG_EXT ? &out->ext
                                            : NULL;
        if (!to)
            continue;
        if (f.wire != KITH_PB_BYTES || seen[f.tag])
            return false;
        seen[f.tag] = true;
        *to = f.data;
    }
    return !r.bad;
}

/* The next name under this tag in an extensions message. */
static bool next_name(kith_rd *r, uint32_t tag, kith_bytes *out)
{
    kith_pb_field f;
    while (kith_pb_next(r, &f)) {
        if (f.tag == tag && f.wire == KITH_PB_BYTES) {
            *out = f.data;
            return true;
        }
    }
    return false;
}

static bool listed(kith_bytes ext, uint32_t tag, kith_bytes name)
{
    kith_rd r = kith_rd_of(ext);
    kith_bytes m;
    while (next_name(&r, tag, &m))
        if (kith_bytes_eq(m, name))
            return true;
    return false;
}

static kith_bytes ours(const names *n, kith_bytes name)
{
    for (size_t i = 0; i < n->count; i++)
        if (kith_bytes_eq(n->list[i], name))
            return n->list[i];
    return (kith_bytes){0};
}

/* The first of the initiator's names that both have, as one of ours; both sides come to the same answer. Empty: none, or
 * theirs are more than max. *count: how many theirs are. False: malformed. */
static bool choose(const names *n, bool initiator, kith_bytes ext, uint32_t tag, size_t max, kith_bytes *out,
                   size_t *count)
{
    kith_rd r = kith_rd_of(ext);
    kith_bytes m;
    kith_bytes first = {0}; /* of theirs that we have */
    *count = 0;
    *out = (kith_bytes){0};
    while (next_name(&r, tag, &m)) {
        ++*count;
        if (first.len == 0)
            first = ours(n, m);
    }
    if (r.bad || *count > max)
        return !r.bad;
    if (!initiator) {
        *out = first;
        return true;
    }
    for (size_t i = 0; i < n->count && out->len == 0; i++) {
        if (listed(ext, tag, n->list[i]))
            *out = n->list[i];
    }
    return true;
}

/* ---- keys from elsewhere, and from before ---- */

/* What stands before Noise's own message i in a suite with a psk: before A the key's name; before B whether the responder has the
 * key, 1 or 0. The name is the prologue, and who changes the byte changes the key under which the other end reads B. */
static size_t front_len(const kith_noise_suite *suite, unsigned i)
{
    return !suite->psk ? 0 : i == 0 ? suite->name_len : i == 1 ? 1 : 0;
}

static void use_key(kith_noise *n, const uint8_t *psk)
{
    n->keyed = psk != NULL;
    if (psk)
        memcpy(n->psk, psk, sizeof n->psk);
    else
        memset(n->psk, 0, sizeof n->psk);
    kith_noise_hs_set_psks(n->hs, n->psk);
}

/* ---- a step: what is heavy, on any thread ---- */

static bool fail(step *s, kith_err e, const char *why)
{
    s->err = e;
    s->why = e == KITH_ENOMEM ? "no memory for the handshake" : why;
    return false;
}

/* A list of muxers beyond the cap counts as none, as with go-libp2p. */
static bool choose_muxer(const kith_noise *n, step *s, kith_bytes ext)
{
    size_t count;
    if (!choose(&n->muxers, n->hs->initiator, ext, TAG_EXT_MUXER, KITH_NOISE_MUXERS_MAX, &s->muxer, &count))
        return fail(s, KITH_EPROTO, "the peer's handshake extensions are malformed");
    return true;
}

/* multistream-select is in clear: who sits between us can have made the choice. Here the lists have come authenticated. */
static bool check_channel(const kith_noise *n, step *s, kith_bytes ext)
{
    kith_bytes due;
    size_t count;
    if (!choose(&n->channels, n->hs->initiator, ext, KITH_NOISE_EXT_CHANNEL, KITH_NOISE_CHANNELS_MAX, &due,
                &count))
        return fail(s, KITH_EPROTO, "the peer's handshake extensions are malformed");
    if (n->channels.count == 0 || (count == 0 && !n->suite->own))
        return true; /* it is not kith */
    if (!kith_bytes_eq_str(due, n->suite->id))
        return fail(
            s, KITH_EAUTH,
            "downgrade: somebody on the way has changed which secure channel the two of us agreed on");
    return true;
}

/* h: under which the payload was encrypted. */
static bool check_pq(const kith_noise *n, step *s, const fields *p, const uint8_t h[KITH_SHA256_LEN])
{
    kith_noise_pq_text t = {
        .initiator = !n->hs->initiator, .suite = n->suite->id, .h = h, .s = n->hs->rs, .identity = p->key};
    const char *why = NULL;
    kith_err e = signs(n) ? kith_noise_pq_check(p->ext, &t, &s->pq, &why) : KITH_OK;
    return !e || fail(s, e, why);
}

/* The responder takes the suite that would resume this handshake. */
static bool may_resume(const kith_noise *n, kith_bytes ext)
{
    const kith_noise_suite *r = kith_noise_resume_suites;
    while (r->level != n->suite->level)
        r++;
    return listed(ext, KITH_NOISE_EXT_CHANNEL, kith_bytes_str(r->id));
}

/* What the peer would rather have the records under. */
static bool says_aes(kith_bytes ext)
{
    kith_rd r = kith_rd_of(ext);
    kith_pb_field f;
    bool aes = false;
    while (kith_pb_next(&r, &f)) {
        if (f.tag == KITH_NOISE_EXT_RECORDS && f.wire == KITH_PB_VARINT)
            aes = f.num == RECORDS_AES;
    }
    return aes;
}

/* How much there is of statements; what they say is for whoever knows the key that they begin with. */
static bool measure_successors(step *s)
{
    kith_rd r = kith_rd_of(s->ext);
    kith_pb_field f;
    size_t count = 0;
    while (kith_pb_next(&r, &f)) {
        if (f.tag != KITH_NOISE_EXT_SUCCESSOR || f.wire != KITH_PB_BYTES)
            continue;
        s->successors_len += kith_pb_bytes_len(f.tag, f.data.len);
        if (++count > KITH_SUCCESSORS_MAX || s->successors_len > KITH_NOISE_SUCCESSORS_MAX)
            return fail(s, KITH_EPROTO, "the peer says too much about its former keys");
    }
    return true;
}

/* Whether the identity key has signed the peer's static key. */
static kith_err verify(const kith_noise *n, const fields *p)
{
    uint8_t text[SIGNED_LEN];
    kith_noise_seen_name name = kith_noise_seen_name_of(p->key, n->hs->rs, p->sig);
    if (kith_noise_seen_has(n->identity->seen, &name))
        return KITH_OK;
    signed_text(n->hs->rs, text);
    kith_err e = kith_pubkey_verify(p->key, kith_bytes_of(text, sizeof text), p->sig);
    if (!e)
        kith_noise_seen_add(n->identity->seen, &name);
    return e;
}

/* Who the peer is, by its payload. */
static bool authenticate(const kith_noise *n, step *s, kith_bytes in, const uint8_t h[KITH_SHA256_LEN])
{
    fields p;
    if (!get_payload(in, &p))
        return fail(s, KITH_EPROTO, "the peer's handshake payload is malformed");
    if (p.key.len == 0 || p.sig.len == 0)
        return fail(s, KITH_EPROTO, "the peer's handshake payload lacks its identity");

    kith_err e = verify(n, &p);
    if (e == KITH_EUNSUPPORTED)
        return fail(s, e, "the peer's identity key has an unknown type");
    if (e == KITH_EFORMAT)
        return fail(s, KITH_EPROTO, "the peer's identity key is malformed");
    if (e)
        return fail(s, e == KITH_ENOMEM ? e : KITH_ECRYPTO,
                    "the peer's identity key or its signature is wrong");
    if (kith_peer_id_of_key(p.key, &s->peer))
        return fail(s, KITH_EPROTO, "the peer's identity key is malformed");
    if (n->expected.len > 0 && !kith_peer_id_eq(&n->expected, &s->peer))
        return fail(s, KITH_EAUTH, "the peer is not the one that was expected");
    if (!choose_muxer(n, s, p.ext) || !check_channel(n, s, p.ext) || !check_pq(n, s, &p, h))
        return false;
    s->key = p.key;
    s->ext = p.ext;
    s->leaves = n->suite->own && (!n->hs->initiator || may_resume(n, p.ext));
    s->aes = n->aes && says_aes(p.ext);
    return !signs(n) || measure_successors(s);
}

static bool read_message(const kith_noise *n, step *s)
{
    kith_bytes payload = {0};
    kith_span rest = {0};
    uint8_t h[KITH_SHA256_LEN];
    bool named = n->hs->done > 0; /* A names nobody: XX allows bytes there, libp2p gives them no meaning */
    kith_span msg = kith_span_skip(kith_span_of(s->msg, s->len), s->front);
    kith_err e = kith_noise_hs_read_keys(n->hs, msg, &rest);
    memcpy(h, n->hs->h, sizeof h);
    if (!e)
        e = kith_noise_hs_read_payload(n->hs, rest, &payload);
    if (e)
        return fail(s, e, n->hs->why);
    return !named || authenticate(n, s, payload, h);
}

static bool write_answer(const kith_noise *n, step *s)
{
    size_t len = payload_len(n);
    uint8_t *at = s->answer + 2 + s->answer_front;
    s->answer_len = 2 + s->answer_front + kith_noise_hs_len(n->hs, len);
    assert(s->answer_len == s->answer_size);
    kith_store_be16(s->answer, (uint16_t)(s->answer_len - 2));
    if (s->answer_front)
        s->answer[2] = n->keyed;
    kith_err e = kith_noise_hs_write_keys(n->hs, at, &at);
    if (e)
        return fail(s, e, n->hs->why);
    if (put_payload(n, s->rnd, at))
        return fail(s, KITH_ENOMEM, NULL);
    kith_noise_hs_write_payload(n->hs, kith_bytes_of(at, len), at); /* in place */
    return true;
}

void kith_noise_work(kith_noise *n)
{
    step *s = n->step;
    assert(s && !s->done);
    if (read_message(n, s) && s->answer)
        (void)write_answer(n, s);
    s->done = true;
}

/* ---- a step: before and after, on the caller's thread ---- */

/* What comes behind the message while its step is under way. A failure is told when the step is done. */
static void keep_ahead(kith_noise *n, kith_span in)
{
    size_t len = n->ahead_len + in.len;
    if (in.len == 0 || n->err)
        return;
    if (in.len > KITH_NOISE_AHEAD_MAX - n->ahead_len) {
        n->err = KITH_ELIMIT;
        n->why = "the peer sent too much ahead of the handshake's end";
        return;
    }
    if (!n->ahead || len > n->ahead_size) {
        uint8_t *p = kith_mem_resize(n->env, n->ahead, n->ahead_size, len);
        if (!p) {
            n->err = KITH_ENOMEM;
            n->why = "no memory for the handshake";
            return;
        }
        n->ahead = p;
        n->ahead_size = len;
    }
    assert(n->ahead);
    memcpy(n->ahead + n->ahead_len, in.p, in.len);
    n->ahead_len = len;
}

/* The rest of the input cannot stay in the caller's buffer. */
static void keep_rest(kith_noise *n)
{
    kith_span in = n->in;
    n->in = (kith_span){0};
    if (!n->ahead) {
        keep_ahead(n, in);
        return;
    }
    if (in.len > 0)
        memmove(n->ahead, in.p, in.len); /* it lies there already */
    n->ahead_len = in.len;
}

/* What stands before A and B in a suite with a psk. False: the machine has died. */
static bool read_front(kith_noise *n, const step *s)
{
    if (n->state == WAIT_A) {
        kith_noise_hs_set_prologue(n->hs, kith_bytes_of(s->msg, s->front));
        n->key_wanted = true;
        return true;
    }
    if (s->msg[0] > 1)
        return die(n, KITH_EPROTO, "the handshake message is malformed");
    if (s->msg[0] == 1)
        return true;
    if (n->psk_required)
        return die(n, KITH_EPOLICY, "the peer did not get the key that was to be mixed in");
    use_key(n, NULL);
    return true;
}

/* Once it is known whether there will be a signature in it. False: the machine has died. */
static bool answer_room(kith_noise *n)
{
    step *s = n->step;
    if (n->state == WAIT_C)
        return true;
    s->answer_size = 2 + s->answer_front + kith_noise_hs_answer_len(n->hs, payload_len(n));
    s->answer = kith_mem_new(n->env, s->answer_size);
    return s->answer || die(n, KITH_ENOMEM, "no memory for the handshake");
}

/* False: the machine has died. */
static bool begin_step(kith_noise *n, kith_span msg)
{
    size_t size = sizeof(step) + msg.len;
    step *s = kith_mem_resize(n->env, NULL, 0, size);
    if (!s)
        return die(n, KITH_ENOMEM, "no memory for the handshake");
    *s = (step){.size = size,
                .len = msg.len,
                .front = front_len(n->suite, n->hs->done),
                .answer_front = front_len(n->suite, n->hs->done + 1)};
    memcpy(s->msg, msg.p, msg.len);
    n->shaken_in += 2 + msg.len;
    n->step = s;
    keep_rest(n);
    if (n->part_whole)
        part_free(n);
    if (n->state == WAIT_A)
        kith_noise_hs_draw(n->hs, n->env);
    if (n->state != WAIT_C && n->suite->own)
        kith_rand_fill(n->env, kith_span_of(s->rnd, sizeof s->rnd));
    if (s->front > 0 && !read_front(n, s))
        return false;
    return n->key_wanted || answer_room(n);
}

/* The ciphers of the records, with keys of their own: those of the handshake, or new ones for AES. */
static kith_err take_ciphers(kith_noise *n, const uint8_t tx[KITH_AEAD_KEY_LEN],
                             const uint8_t rx[KITH_AEAD_KEY_LEN])
{
    kith_noise_hs *hs = n->hs;
    const kith_aead_alg alg = n->aes ? KITH_AEAD_AES_256_GCM : n->suite->aead;
    n->tx = (kith_noise_cipher){.alg = alg};
    n->rx = (kith_noise_cipher){.alg = alg};
    if (alg != n->suite->aead) {
        n->tx.aead = kith_aead_new(alg, tx, true);
        n->rx.aead = kith_aead_new(alg, rx, false);
        return n->tx.aead && n->rx.aead ? KITH_OK : KITH_ENOMEM;
    }
    kith_aead_rekey(hs->seal, tx);
    kith_aead_rekey(hs->open, rx);
    n->tx.aead = hs->seal;
    n->rx.aead = hs->open;
    hs->seal = hs->open = NULL;
    return KITH_OK;
}

static void open_transport(kith_noise *n)
{
    uint8_t k1[KITH_AEAD_KEY_LEN], k2[KITH_AEAD_KEY_LEN];
    kith_noise_hs *hs = n->hs;
    kith_noise_hs_split(hs, k1, k2);
    kith_noise_hs_chain(hs, n->chain);
    if (n->leaves)
        kith_noise_hs_legacy(hs, &n->legacy);
    n->initiator = hs->initiator;
    kith_err e = take_ciphers(n, hs->initiator ? k1 : k2, hs->initiator ? k2 : k1);
    kith_wipe(k1, sizeof k1);
    kith_wipe(k2, sizeof k2);
    if (e) {
        (void)die(n, e, "no memory for the channel");
        return;
    }
    memcpy(n->h, hs->h, sizeof n->h);
    hs_free(n);
    n->state = OPEN;
    n->ready_due = true;
}

/* The statements among the extensions, of which the step knows that they fit. */
static kith_err keep_successors(kith_noise *n, const step *s)
{
    kith_rd r = kith_rd_of(s->ext);
    kith_pb_field f;
    if (s->successors_len == 0)
        return KITH_OK;
    n->successors = kith_mem_new(n->env, s->successors_len);
    if (!n->successors)
        return KITH_ENOMEM;
    n->successors_len = s->successors_len;
    kith_wr w = kith_wr_of(kith_span_of(n->successors, n->successors_len));
    while (kith_pb_next(&r, &f)) {
        if (f.tag == KITH_NOISE_EXT_SUCCESSOR && f.wire == KITH_PB_BYTES)
            kith_pb_put_bytes(&w, f.tag, f.data);
    }
    assert(!w.bad && w.len == n->successors_len);
    return KITH_OK;
}

static kith_err keep_peer(kith_noise *n, const step *s)
{
    n->peer = s->peer;
    n->pq = s->pq;
    n->leaves = s->leaves;
    n->aes = n->state == WAIT_A ? n->aes : s->aes;
    n->muxer = s->muxer;
    if (keep_successors(n, s))
        return KITH_ENOMEM;
    if (s->key.len == 0 || kith_peer_id_inline_key(&n->peer).len > 0)
        return KITH_OK;
    n->peer_key = kith_mem_new(n->env, s->key.len);
    if (!n->peer_key)
        return KITH_ENOMEM;
    n->peer_key_len = s->key.len;
    memcpy(n->peer_key, s->key.p, s->key.len);
    return KITH_OK;
}

void kith_noise_worked(kith_noise *n, kith_time now)
{
    step *s = n->step;
    (void)now;
    assert(s && (s->done || n->gone));
    if (n->gone) {
        step_free(n);
        kith_noise_free(n);
        return;
    }
    n->in = kith_span_of(n->ahead, n->ahead_len);
    if (n->err || s->err) {
        (void)die(n, n->err ? n->err : s->err, n->err ? n->why : s->why);
        return;
    }
    if (keep_peer(n, s)) {
        (void)die(n, KITH_ENOMEM, "no memory for the handshake");
        return;
    }
    if (s->answer) {
        assert(!n->out); /* who could answer A has had all of it */
        n->out = s->answer;
        n->out_size = s->answer_size;
        n->out_len = s->answer_len;
        n->shaken_out += s->answer_len;
        s->answer = NULL;
    }
    step_free(n);
    if (n->state == WAIT_A)
        n->state = WAIT_C;
    else
        open_transport(n);
}

/* Two key pairs and no signature, a tenth of a millisecond at every level; and it is we who want to dial. So it happens at once. */
static kith_err write_a(kith_noise *n, const uint8_t *key_name)
{
    size_t front = front_len(n->suite, 0);
    size_t len = front + kith_noise_hs_len(n->hs, 0);
    n->out = kith_mem_new(n->env, 2 + len);
    if (!n->out)
        return KITH_ENOMEM;
    n->out_size = n->out_len = 2 + len;
    n->shaken_out = n->out_len;
    kith_store_be16(n->out, (uint16_t)len);
    if (front)
        memcpy(n->out + 2, key_name, front);
    kith_noise_hs_draw(n->hs, n->env);
    return kith_noise_hs_write(n->hs, (kith_bytes){0}, n->out + 2 + front);
}

kith_noise *kith_noise_new(const kith_noise_config *cfg)
{
    assert(!cfg->suite->own || cfg->identity->pq);
    kith_noise *n = KITH_NEW(cfg->env, kith_noise);
    if (!n)
        return NULL;
    n->env = cfg->env;
    n->identity = cfg->identity;
    n->suite = cfg->suite;
    n->muxers = (names){cfg->muxers, cfg->muxer_count};
    n->channels = (names){cfg->channels, cfg->channel_count};
    n->expected = cfg->expected;
    n->state = cfg->initiator ? WAIT_B : WAIT_A;
    n->psk_required = cfg->psk_required;
    n->aes = cfg->suite->own && cfg->aes;
    n->hs = kith_mem_new(n->env, sizeof *n->hs);
    if (!n->hs || kith_noise_hs_init(n->hs, cfg->suite, cfg->initiator, cfg->identity->s, cfg->prologue))
        goto fail;
    if (cfg->suite->psk && cfg->initiator) {
        assert(cfg->prologue.len == 0);
        kith_noise_hs_set_prologue(n->hs, kith_bytes_of(cfg->key_name, cfg->suite->name_len));
        use_key(n, cfg->psk);
    }
    if (cfg->initiator && write_a(n, cfg->key_name))
        goto fail;
    return n;
fail:
    kith_noise_free(n);
    return NULL;
}

void kith_noise_free(kith_noise *n)
{
    if (!n)
        return;
    if (n->step && !n->key_wanted && !n->work_due) { /* somebody computes with it */
        n->gone = true;
        return;
    }
    step_free(n);
    hs_free(n);
    out_free(n);
    part_free(n);
    ahead_free(n);
    ciphers_free(n);
    keys_wipe(n);
    kith_mem_free(n->env, n->peer_key, n->peer_key_len);
    kith_noise_forget_successors(n);
    KITH_FREE(n->env, n);
}

/* ---- input ---- */

/* Whether the length of a message can be right; checked before a byte of it is kept. False: the machine has
 * died. */
static bool length_ok(kith_noise *n, size_t len)
{
    if (n->state == OPEN) {
        if (len < KITH_AEAD_TAG_LEN)
            return die(n, KITH_EPROTO, "a record is shorter than its tag");
        return true;
    }
    size_t least = front_len(n->suite, n->hs->done) + kith_noise_hs_len(n->hs, 0);
    bool no_payload =
        n->state == WAIT_A && n->hs->suite->kem != KITH_KEM_NONE; /* post-quantum.md: A is exactly e and e1 */
    if (len < least)
        return die(n, KITH_EPROTO, "the handshake message is too short");
    if (len > least + (no_payload ? 0 : n->suite->own ? PAYLOAD_OWN_MAX : PAYLOAD_MAX))
        return die(n, KITH_EPROTO, "the handshake message is too long");
    return true;
}

/* Room for k more bytes. A stranger gets no more than twice what it has sent, whatever length it names; a peer's record has its place at
 * once. */
static bool part_room(kith_noise *n, size_t k)
{
    size_t size = n->part_size, need = n->part_len + k;
    if (need <= size)
        return true;
    while (size < need)
        size = n->state == OPEN ? n->part_need : size < PART_MIN ? PART_MIN : 2 * size;
    if (size > n->part_need)
        size = n->part_need;
    uint8_t *p =
        kith_mem_resize(n->env, n->part, n->part_size, size); /* not zeroed: filled before it is read */
    if (!p)
        return false;
    n->part = p;
    n->part_size = size;
    return true;
}

/* The next whole message, without its length. False: there is none yet, or the machine has died. */
static bool next_message(kith_noise *n, kith_span *out)
{
    if (n->head_len == 0 && n->in.len >= 2) {
        size_t len = kith_load_be16(n->in.p);
        if (!length_ok(n, len))
            return false;
        if (len <= n->in.len - 2) {
            *out = kith_span_of(n->in.p + 2, len);
            n->in = kith_span_skip(n->in, 2 + len);
            return true;
        }
    }
    while (n->head_len < 2 && n->in.len > 0) {
        n->head[n->head_len++] = n->in.p[0];
        n->in = kith_span_skip(n->in, 1);
    }
    if (n->head_len < 2 || n->in.len == 0)
        return false;
    if (!n->part) {
        n->part_need = kith_load_be16(n->head);
        if (!length_ok(n, n->part_need))
            return false;
    }
    size_t k = n->part_need - n->part_len;
    if (k > n->in.len)
        k = n->in.len;
    if (!part_room(n, k))
        return die(n, KITH_ENOMEM, "no memory for a record");
    assert(n->part); /* k > 0 */
    memcpy(n->part + n->part_len, n->in.p, k);
    n->in = kith_span_skip(n->in, k);
    n->part_len += k;
    if (n->part_len < n->part_need)
        return false;
    n->part_whole = true;
    *out = kith_span_of(n->part, n->part_need);
    return true;
}

/* ---- change of keys ---- */

/* One direction goes over to its new key, which is then nowhere but in the cipher. */
static void rekey(kith_noise *n, kith_noise_cipher *c)
{
    uint8_t *key = (c == &n->tx) == n->initiator ? n->next.i2r : n->next.r2i;
    kith_aead_rekey(c->aead, key);
    c->n = 0;
    kith_wipe(key, KITH_AEAD_KEY_LEN);
}

/* The first mark: from here on there is no way back to the old chain. */
static void chain_forth(kith_noise *n)
{
    memcpy(n->chain, n->next.chain, sizeof n->chain);
    kith_wipe(n->next.chain, sizeof n->next.chain);
}

/* Whether an empty record is the peer's mark. Otherwise it is what it is with everybody: nothing. */
static bool peer_changes(kith_noise *n)
{
    if (n->change != LED && n->change != FOLLOW)
        return false;
    if (n->change == FOLLOW) {
        chain_forth(n);
        n->change = OWING;
    } else {
        n->change = STABLE;
        n->changes++;
    }
    rekey(n, &n->rx);
    return true;
}

const uint8_t *kith_noise_chain(const kith_noise *n)
{
    return n->chain;
}

kith_err kith_noise_prepare(kith_noise *n, const kith_noise_keys *keys, bool lead)
{
    if (n->state != OPEN || n->change != STABLE)
        return KITH_ESTATE;
    n->next = *keys;
    n->change = lead ? LEAD : FOLLOW;
    return KITH_OK;
}

bool kith_noise_drop(kith_noise *n)
{
    if (n->change != LEAD && n->change != FOLLOW)
        return false;
    kith_wipe(&n->next, sizeof n->next);
    n->change = STABLE;
    return true;
}

size_t kith_noise_change(kith_noise *n, kith_span out)
{
    if ((n->change != LEAD && n->change != OWING) || n->out || out.len < KITH_NOISE_OVERHEAD)
        return 0;
    if (kith_noise_cipher_seal(&n->tx, kith_span_of(out.p + 2, 0), out.p + 2)) {
        (void)die(n, KITH_ELIMIT, "the connection has used up its nonces");
        return 0;
    }
    kith_store_be16(out.p, KITH_AEAD_TAG_LEN);
    if (n->change == LEAD) {
        chain_forth(n);
        n->change = LED;
    } else {
        n->change = STABLE;
        n->changes++;
    }
    rekey(n, &n->tx);
    return KITH_NOISE_OVERHEAD;
}

bool kith_noise_changing(const kith_noise *n)
{
    return n->change != STABLE;
}

uint32_t kith_noise_changes(const kith_noise *n)
{
    return n->changes;
}

/* ---- records ---- */

/* True: ev is filled. */
static bool read_record(kith_noise *n, kith_span msg, kith_noise_event *ev)
{
    kith_span text = kith_span_of(msg.p, msg.len - KITH_AEAD_TAG_LEN);
    kith_err e = kith_noise_cipher_open(&n->rx, text, msg.p + text.len);
    if (e) {
        (void)die(n, e,
                  e == KITH_ELIMIT ? "the connection has used up its nonces"
                                   : "a record does not authenticate");
        return false;
    }
    if (text.len == 0 && peer_changes(n))
        return false;
    if (text.len == 0) {
        if (++n->empties > EMPTY_MAX)
            (void)die(n, KITH_EPROTO, "too many empty records");
        return false;
    }
    n->empties = 0;
    *ev = (kith_noise_event){.kind = KITH_NOISE_DATA, .data = kith_span_bytes(text)};
    return true;
}

void kith_noise_recv(kith_noise *n, kith_time now, kith_span in)
{
    (void)now;
    if (n->step) {
        keep_ahead(n, in);
        return;
    }
    assert(n->in.len == 0); /* the drive rule: next has returned false */
    if (n->part_whole)
        part_free(n);
    if (n->state != DEAD)
        n->in = in;
}

bool kith_noise_next(kith_noise *n, kith_noise_event *ev)
{
    for (;;) {
        if (n->step && n->work_due) {
            n->work_due = false;
            *ev = (kith_noise_event){.kind = KITH_NOISE_WORK};
            return true;
        }
        if (n->step)
            return false;
        if (n->part_whole)
            part_free(n);
        if (n->ready_due) {
            n->ready_due = false;
            *ev = (kith_noise_event){.kind = KITH_NOISE_READY};
            return true;
        }
        kith_span msg = {0};
        if (n->state != DEAD && !next_message(n, &msg) && n->state != DEAD) {
            ahead_free(n); /* all of it is read */
            return false;
        }
        switch (n->state) {
        case WAIT_A:
        case WAIT_B:
        case WAIT_C:
            if (!begin_step(n, msg))
                break;
            *ev = (kith_noise_event){.kind = KITH_NOISE_WORK};
            if (n->key_wanted)
                *ev = (kith_noise_event){.kind = KITH_NOISE_KEY,
                                         .data = kith_bytes_of(n->step->msg, n->step->front)};
            return true;
        case OPEN:
            if (read_record(n, msg, ev))
                return true;
            break;
        case DEAD:
            if (!n->failed_due)
                return false;
            n->failed_due = false;
            *ev = (kith_noise_event){.kind = KITH_NOISE_FAILED, .err = n->err, .why = n->why};
            return true;
        }
    }
}

void kith_noise_key(kith_noise *n, const uint8_t *psk, const kith_peer_id *expected)
{
    assert(n->step && n->key_wanted);
    n->key_wanted = false;
    n->work_due = true;
    if (expected)
        n->expected = *expected;
    use_key(n, psk);
    (void)answer_room(n);
}

/* ---- output ---- */

size_t kith_noise_send(kith_noise *n, kith_time now, kith_span out)
{
    (void)now;
    size_t len = n->out_len;
    if (len == 0 || out.len < len)
        return 0;
    memcpy(out.p, n->out, len);
    out_free(n);
    return len;
}

kith_bytes kith_noise_waiting(const kith_noise *n)
{
    return kith_bytes_of(n->out, n->out_len);
}

void kith_noise_passed(kith_noise *n)
{
    out_free(n);
}

kith_span kith_noise_room(const kith_noise *n, kith_span out)
{
    /* Nothing may overtake message C. */
    if (n->state != OPEN || n->out || out.len <= KITH_NOISE_OVERHEAD)
        return (kith_span){0};
    size_t len = out.len - KITH_NOISE_OVERHEAD;
    return kith_span_of(out.p + 2, len < KITH_NOISE_PLAIN_MAX ? len : KITH_NOISE_PLAIN_MAX);
}

size_t kith_noise_seal(kith_noise *n, kith_span out, size_t len)
{
    assert(len >= 1 && len <= kith_noise_room(n, out).len);
    if (kith_noise_cipher_seal(&n->tx, kith_span_of(out.p + 2, len), out.p + 2 + len)) {
        (void)die(n, KITH_ELIMIT, "the connection has used up its nonces");
        return 0;
    }
    kith_store_be16(out.p, (uint16_t)(len + KITH_AEAD_TAG_LEN));
    return len + KITH_NOISE_OVERHEAD;
}

/* ---- questions ---- */

bool kith_noise_ready(const kith_noise *n)
{
    return n->state == OPEN;
}

kith_aead_alg kith_noise_aead(const kith_noise *n)
{
    return n->tx.alg;
}

bool kith_noise_keyed(const kith_noise *n)
{
    return n->keyed;
}

bool kith_noise_take_legacy(kith_noise *n, kith_noise_legacy *out)
{
    bool there = n->state == OPEN && n->leaves;
    if (there)
        *out = n->legacy;
    kith_wipe(&n->legacy, sizeof n->legacy);
    n->leaves = false;
    return there;
}

const kith_peer_id *kith_noise_peer(const kith_noise *n)
{
    return &n->peer;
}

const kith_noise_pq *kith_noise_peer_pq(const kith_noise *n)
{
    return &n->pq;
}

void kith_noise_shaken(const kith_noise *n, size_t *in, size_t *out)
{
    *in = n->shaken_in;
    *out = n->shaken_out;
}

size_t kith_noise_peer_successors(const kith_noise *n, kith_bytes out[KITH_SUCCESSORS_MAX])
{
    kith_rd r = kith_rd_of(kith_bytes_of(n->successors, n->successors_len));
    kith_pb_field f;
    size_t count = 0;
    while (kith_pb_next(&r, &f))
        out[count++] = f.data;
    return count;
}

void kith_noise_forget_successors(kith_noise *n)
{
    kith_mem_free(n->env, n->successors, n->successors_len);
    n->successors = NULL;
    n->successors_len = 0;
}

kith_bytes kith_noise_peer_key(const kith_noise *n)
{
    return n->peer_key ? kith_bytes_of(n->peer_key, n->peer_key_len) : kith_peer_id_inline_key(&n->peer);
}

kith_bytes kith_noise_muxer(const kith_noise *n)
{
    return n->muxer;
}

const uint8_t *kith_noise_hash(const kith_noise *n)
{
    return n->h;
}

kith_noise_cipher *kith_noise_tx(kith_noise *n)
{
    return &n->tx;
}

kith_noise_cipher *kith_noise_rx(kith_noise *n)
{
    return &n->rx;
}
