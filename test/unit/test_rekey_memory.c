/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* After a refresh the old keys are nowhere in the process: two hosts over real sockets change the keys of their connection under
 * load, every secret that passes the crypto floor is noted, in disguise, by wrappers that the linker puts around its functions
 * (test/CMakeLists.txt), and then all writable memory of the process is searched for all of them: heap, stacks of all threads, OpenSSL's
 * contexts, freed blocks. The keys in use have to be found, the others must not be.
 *
 * A secret is looked for by each of its 8-byte pieces, at every address; by each of its words next to itself, as vector code keeps
 * a ChaCha20 key; an ML-KEM key also by its coefficients, as OpenSSL keeps them. */
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "crypto/kem.h"
#include "host/host.h"
#include "proto/noise.h"
#include "proto/perf.h"
#include "proto/rekey.h"
#include "support.h"

#if !defined(__linux__) || defined(SUPPORT_SANITIZED)
int main(void)
{
    printf("skipped: needs /proc/self/maps, and memory that no sanitizer manages\n");
    return 77;
}
#else

/* ---- what is noted ---- */

#define MASK 0x9e3779b97f4a7c15u /* no piece lies here as it is */
#define PIECES_MAX 65536

typedef struct piece {
    uint64_t v; /* the 8 bytes xor MASK */
    const char *what;
    unsigned epoch;  /* the refreshes before it was noted */
    unsigned call;   /* of a wrapper: which */
    unsigned series; /* of a refresh's derivation: which; else 0 */
    bool smeared;    /* a word and itself, not two words of the secret */
    bool live;
} piece;

static piece pieces[PIECES_MAX];
static size_t piece_count;
static bool noting;
static uv_mutex_t gate; /* handshakes are computed by other threads */
static unsigned epoch, call, series;

static uint64_t load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* The same xor MASK, without the piece itself in a variable: without optimisation that would lie on the stack, and be found there. */
static uint64_t disguised(const uint8_t *p)
{
    uint64_t v = MASK;
    for (unsigned i = 0; i < 8; i++)
        v ^= (uint64_t)p[i] << 8 * i;
    return v;
}

static void put(uint64_t masked, const char *what, bool smeared)
{
    assert_true(piece_count < PIECES_MAX);
    pieces[piece_count++] = (piece){
        .v = masked, .what = what, .epoch = epoch, .call = call, .series = series, .smeared = smeared};
}

static void note(const char *what, const uint8_t *secret, size_t len)
{
    if (!noting)
        return;
    uv_mutex_lock(&gate);
    call++;
    for (size_t at = 0; at + 8 <= len; at += 8) {
        put(disguised(secret + at), what, false);
        for (int half = 0; half < 2; half++) {
            uint32_t w;
            memcpy(&w, secret + at + 4 * half, 4);
            put((w | (uint64_t)w << 32) ^ MASK, what, true);
        }
    }
    uv_mutex_unlock(&gate);
}

static void forget(void *p, size_t len)
{
    OPENSSL_cleanse(p, len);
}

/* What OpenSSL makes of a seed: s of FIPS 203, 12 bits a coefficient when encoded, 16 in memory. Some of them. */
static void note_expanded(kith_kem_alg alg, const uint8_t *seed)
{
    static const char *const names[] = {"", "ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"};
    uint8_t copy[KITH_KEM_SEED_LEN], dk[3168];
    uint16_t s[64];
    size_t len = 0;
    EVP_PKEY *key = NULL;
    memcpy(copy, seed, sizeof copy);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, copy, sizeof copy),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, names[alg], NULL);
    assert_true(EVP_PKEY_keygen_init(c) == 1 && EVP_PKEY_CTX_set_params(c, params) == 1 &&
                EVP_PKEY_generate(c, &key) == 1);
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PRIV_KEY, dk, sizeof dk, &len), 1);
    for (size_t i = 0; i < 64; i += 2) {
        const uint8_t *p = dk + i / 2 * 3;
        s[i] = (uint16_t)(p[0] | (p[1] & 15) << 8);
        s[i + 1] = (uint16_t)(p[1] >> 4 | p[2] << 4);
    }
    uv_mutex_lock(&gate);
    for (size_t i = 0; i < 64; i += 4)
        put(load((const uint8_t *)(s + i)) ^ MASK, "coefficients of an ML-KEM key", false);
    uv_mutex_unlock(&gate);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(c);
    forget(copy, sizeof copy);
    forget(dk, sizeof dk);
    forget(s, sizeof s);
}

/* ---- the wrappers ---- */

kith_aead *__real_kith_aead_new(kith_aead_alg alg, const uint8_t *key, bool seal);
kith_aead *__wrap_kith_aead_new(kith_aead_alg alg, const uint8_t *key, bool seal);
void __real_kith_aead_rekey(kith_aead *a, const uint8_t *key);
void __wrap_kith_aead_rekey(kith_aead *a, const uint8_t *key);
kith_dh *__real_kith_dh_new(const uint8_t *secret);
kith_dh *__wrap_kith_dh_new(const uint8_t *secret);
kith_err __real_kith_dh_shared(const kith_dh *k, const uint8_t *peer, uint8_t *out);
kith_err __wrap_kith_dh_shared(const kith_dh *k, const uint8_t *peer, uint8_t *out);
kith_kem *__real_kith_kem_new(kith_kem_alg alg, const uint8_t *seed);
kith_kem *__wrap_kith_kem_new(kith_kem_alg alg, const uint8_t *seed);
kith_err __real_kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t *coin, uint8_t *ct,
                                uint8_t *shared);
kith_err __wrap_kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t *coin, uint8_t *ct,
                                uint8_t *shared);
kith_err __real_kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t *shared);
kith_err __wrap_kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t *shared);
void __real_kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out);
void __wrap_kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out);

kith_aead *__wrap_kith_aead_new(kith_aead_alg alg, const uint8_t *key, bool seal)
{
    static const uint8_t none[KITH_AEAD_KEY_LEN];
    if (memcmp(key, none, sizeof none) != 0)
        note("a cipher's key", key, KITH_AEAD_KEY_LEN);
    return __real_kith_aead_new(alg, key, seal);
}

void __wrap_kith_aead_rekey(kith_aead *a, const uint8_t *key)
{
    note("a cipher's key", key, KITH_AEAD_KEY_LEN);
    __real_kith_aead_rekey(a, key);
}

kith_dh *__wrap_kith_dh_new(const uint8_t *secret)
{
    note("an X25519 key", secret, KITH_X25519_LEN);
    return __real_kith_dh_new(secret);
}

kith_err __wrap_kith_dh_shared(const kith_dh *k, const uint8_t *peer, uint8_t *out)
{
    kith_err e = __real_kith_dh_shared(k, peer, out);
    note("a secret of X25519", out, KITH_X25519_LEN);
    return e;
}

kith_kem *__wrap_kith_kem_new(kith_kem_alg alg, const uint8_t *seed)
{
    note("the seed of an ML-KEM key", seed, KITH_KEM_SEED_LEN);
    if (noting)
        note_expanded(alg, seed);
    return __real_kith_kem_new(alg, seed);
}

kith_err __wrap_kith_kem_encaps(kith_kem_alg alg, kith_bytes ek, const uint8_t *coin, uint8_t *ct,
                                uint8_t *shared)
{
    note("the coin of an encapsulation", coin, KITH_KEM_COIN_LEN);
    kith_err e = __real_kith_kem_encaps(alg, ek, coin, ct, shared);
    note("a secret of ML-KEM", shared, KITH_KEM_SHARED_LEN);
    return e;
}

kith_err __wrap_kith_kem_decaps(const kith_kem *k, kith_bytes ct, uint8_t *shared)
{
    kith_err e = __real_kith_kem_decaps(k, ct, shared);
    note("a secret of ML-KEM", shared, KITH_KEM_SHARED_LEN);
    return e;
}

/* The two secrets that a session leaves, each behind the name under which it will be sent for, in clear. */
static void note_legacy(const uint8_t *legacy)
{
    for (size_t i = 0; i < 2; i++)
        note("what a session leaves", legacy + i * sizeof(kith_noise_secret) + KITH_NOISE_RESUME_NAME_LEN,
             KITH_NOISE_PSK_LEN);
}

/* Noise's derivations give 64 bytes, the first chain 32, a refresh 128, of which the last 32 are no secret. */
void __wrap_kith_hkdf_sha256(kith_bytes salt, kith_bytes ikm, kith_bytes info, kith_span out)
{
    static unsigned count;
    __real_kith_hkdf_sha256(salt, ikm, info, out);
    if (out.len != 128) {
        if (info.len > 11 && memcmp(info.p, "kith resume", 11) == 0)
            note_legacy(out.p);
        else
            note("what Noise derived", out.p, out.len);
        return;
    }
    series = ++count;
    note("chain and keys of a refresh", out.p, 96);
    series = 0;
}

/* ---- the search ---- */

static int by_value(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    return x->v < y->v ? -1 : x->v > y->v;
}

static uint8_t filter[1 << 16]; /* of the pieces' low bits, so that most of memory costs one look */

static piece *find(uint64_t masked)
{
    if (!(filter[masked >> 3 & 0xffff] & 1u << (masked & 7)))
        return NULL;
    piece want = {.v = masked};
    return bsearch(&want, pieces, piece_count, sizeof *pieces, by_value);
}

typedef struct found {
    size_t live, old, bytes;
} found;

static void search(const char *name, const uint8_t *from, size_t len, found *f)
{
    f->bytes += len;
    for (size_t i = 0; i + 8 <= len; i++) {
        piece *p = find(load(from + i) ^ MASK);
        if (!p)
            continue;
        if (p->live) {
            f->live += !p->smeared;
            continue;
        }
        f->old++;
        print_message("%s of epoch %u%s lies at %s + 0x%zx\n", p->what, p->epoch,
                      p->smeared ? " (a word twice)" : "", name, i);
    }
}

/* The newest derivation of a refresh, which both sides have made and given to their ciphers. */
static unsigned newest;

static bool in_use(const piece *p)
{
    return p->series == newest;
}

static void mark_live(bool (*live)(const piece *p))
{
    newest = 1;
    for (size_t i = 0; i < piece_count; i++) {
        pieces[i].live = false;
        newest = pieces[i].series > newest ? pieces[i].series : newest;
    }
    for (size_t i = 0; live && i < piece_count; i++) {
        for (size_t k = 0; live(&pieces[i]) && k < piece_count; k++)
            pieces[k].live |= pieces[k].v == pieces[i].v;
    }
    qsort(pieces, piece_count, sizeof *pieces, by_value);
    memset(filter, 0, sizeof filter);
    for (size_t i = 0; i < piece_count; i++)
        filter[pieces[i].v >> 3 & 0xffff] |= (uint8_t)(1u << (pieces[i].v & 7));
}

/* Reads the memory where it lies: a copy would be found. */
/* live: which may be there, NULL: none. */
static found search_all(bool (*live)(const piece *p))
{
    found f = {0};
    char line[512];
    mark_live(live);
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        char mode[5], name[256] = "(anonymous)";
        if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %255s", &from, &to, mode, name) < 3)
            continue;
        if (mode[0] == 'r' && mode[1] == 'w')
            search(name, (const uint8_t *)(uintptr_t)from, (size_t)(to - from), &f);
    }
    fclose(maps);
    return f;
}

/* ---- two hosts ---- */

typedef struct end {
    kith_host *h;
    kith_signer *signer;
    kith_pq_signer *pq; /* or NULL */
    kith_observer watch;
    bool identified;
    kith_conn *conn;
} end;

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    end *e = ctx;
    (void)h;
    if (ev->kind == KITH_NODE_IDENTIFIED) {
        e->conn = ev->conn;
        e->identified = true;
    }
    assert_int_not_equal(ev->kind, KITH_NODE_DISCONNECTED);
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)ctx, (void)h, (void)why;
    assert_non_null(c);
    assert_int_equal(err, KITH_OK);
}

static void start(end *e, uint8_t id, kith_pq_policy pq, kith_sig_alg alg)
{
    *e = (end){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    if (alg != KITH_SIG_NONE)
        assert_int_equal(kith_pq_signer_new(alg, kith_bytes_of(seed, 32), &e->pq), KITH_OK);
    cfg.node.pq_signer = e->pq;
    cfg.node.aes = true; /* with classical keys its cipher is the other one */
    cfg.node.agent = "test";
    cfg.node.pq = pq;
    cfg.node.rekey_after_bytes = 32u << 20;
    e->h = kith_host_new(&cfg, &why);
    assert_non_null(e->h);
    e->watch = (kith_observer){.event = on_event, .ctx = e};
    kith_host_observe(e->h, &e->watch);
    kith_host_kick(e->h);
}

static void turn(end *a, end *b)
{
    uv_run(kith_host_loop(a->h), UV_RUN_NOWAIT);
    uv_run(kith_host_loop(b->h), UV_RUN_NOWAIT);
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void meet(end *from, end *to)
{
    kith_maddr at, bound;
    const kith_peer_id *peer = kith_node_id(kith_host_node(to->h));
    from->identified = to->identified = false;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &at, NULL), KITH_OK);
    assert_int_equal(kith_host_listen(to->h, &at, &bound), 0);
    assert_int_equal(kith_host_dial(from->h, peer, &bound, 1, on_dialed, from), KITH_OK);
    while (!from->identified || !to->identified)
        turn(from, to);
}

/* Either end has a connection already, so that other threads compute the handshake. */
static void join(end *a, end *b, end *bystander, kith_pq_policy pq, kith_sig_alg alg)
{
    start(a, 1, pq, alg);
    start(b, 2, pq, alg);
    start(bystander, 3, pq, alg);
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
    assert_int_equal(kith_node_serve(kith_host_node(b->h), kith_host_now(b->h), &row), KITH_OK);
    meet(a, bystander);
    meet(b, bystander);
    noting = true; /* from the handshake on: the identities, and Noise's static keys, live on */
    meet(a, b);
}

static void stop(end *e)
{
    kith_host_stop(e->h);
    kith_host_run(e->h);
    kith_host_free(e->h);
    kith_signer_free(e->signer);
    kith_pq_signer_free(e->pq);
}

static uint32_t rekeys(const end *e)
{
    kith_conn_facts f;
    kith_conn_facts_get(e->conn, &f);
    return f.rekeys;
}

static void old_keys_are_nowhere(kith_pq_policy pq)
{
    end a, b, bystander;
    kith_perf_result r;
    kith_stream *s;
    piece_count = 0;
    epoch = 0;
    join(&a, &b, &bystander, pq, KITH_SIG_NONE);
    const kith_bytes id = kith_bytes_str(KITH_PERF_ID);
    kith_perf *p = kith_perf_client(kith_host_env(), 128u << 20, 128u << 20);
    assert_int_equal(
        kith_node_open(kith_host_node(a.h), kith_host_now(a.h), a.conn, &id, 1, &kith_perf_ops, p, NULL, &s),
        KITH_OK);
    kith_host_kick(a.h);
    size_t searches = 0;
    bool told = false;
    while (!told) {
        turn(&a, &b);
        told = kith_perf_result_get(p, &r) != KITH_ESTATE;
        uint32_t na = rekeys(&a), nb = rekeys(&b);
        if (na == nb && na > epoch) { /* at once, before anything else can lie on top */
            epoch = na;
            found f = search_all(in_use);
            print_message(
                "refresh %u: %zu pieces of secrets, %zu MiB of memory: %zu of keys in use found, %zu of old ones\n",
                epoch, piece_count, f.bytes >> 20, f.live, f.old);
            assert_int_equal(
                f.live, 2 * 3 * 4); /* two ciphers and a chain at either end, four pieces each; and no copy */
            assert_int_equal(f.old, 0);
            searches++;
        }
    }
    assert_true(searches >= 3);
    noting = false;
    kith_host_unobserve(a.h, &a.watch);
    kith_host_unobserve(b.h, &b.watch);
    kith_host_unobserve(bystander.h, &bystander.watch);
    stop(&a);
    stop(&b);
    stop(&bystander);
    found f = search_all(NULL); /* and when the connection is over, nothing is left at all */
    assert_int_equal(f.live, 0);
    assert_int_equal(f.old, 0);
}

/* What the asker still needs while the answer is under way, and the keys that the answerer has for its owner. */
static bool asker_waits(const piece *p)
{
    return p->series || (p->call == 1 && strcmp(p->what, "an X25519 key") == 0) ||
           strcmp(p->what, "the seed of an ML-KEM key") == 0 ||
           strcmp(p->what, "coefficients of an ML-KEM key") == 0;
}

static bool derived(const piece *p)
{
    return p->series != 0;
}

static void say(kith_rekey *from, kith_rekey *to)
{
    static uint8_t m[2048];
    size_t n = kith_rekey_ops.send(from, 0, kith_span_of(m, sizeof m));
    assert_int_equal(kith_rekey_ops.recv(to, 0, kith_bytes_of(m, n)), KITH_OK);
}

/* Looked at after each step, when nothing has run that could have overwritten what it left on the stack. */
static void each_step_of_the_exchange_leaves_no_more_than_it_must(void **state)
{
    (void)state;
    static const uint8_t hash[32] = {1}, chain[32] = {2};
    static kith_noise_keys ka, kb;
    static const kith_kem_alg kems[] = {KITH_KEM_NONE, KITH_KEM_MLKEM512, KITH_KEM_MLKEM768,
                                        KITH_KEM_MLKEM1024};
    for (size_t i = 0; i < sizeof kems / sizeof *kems; i++) {
        kith_rekey_config cfg = {.env = kith_host_env(), .kem = kems[i], .hash = hash, .chain = chain};
        piece_count = 0;
        call = 0;
        noting = true;
        kith_rekey *a = kith_rekey_new(&cfg, 0), *b = kith_rekey_new_answerer(&cfg, 0);
        assert_true(a && b);
        say(a, b);
        found f = search_all(asker_waits);
        assert_true(f.live >=
                    4 + 12); /* e, and what was derived; how much OpenSSL keeps of a KEM is its own */
        assert_int_equal(f.old, 0);
        say(b, a);
        f = search_all(derived);
        assert_int_equal(f.live, 2 * 12);
        assert_int_equal(f.old, 0);
        assert_true(kith_rekey_take(a, &ka) && kith_rekey_take(b, &kb));
        assert_memory_equal(&ka, &kb, sizeof ka);
        f = search_all(derived);
        assert_int_equal(f.live, 2 * 12); /* they are here now, and not there any more */
        assert_int_equal(f.old, 0);
        kith_wipe(&ka, sizeof ka);
        kith_wipe(&kb, sizeof kb);
        kith_rekey_ops.free(a);
        kith_rekey_ops.free(b);
        f = search_all(NULL);
        assert_int_equal(f.old, 0);
        noting = false;
    }
}

static bool left(const piece *p)
{
    return p->epoch == epoch && strcmp(p->what, "what a session leaves") == 0;
}

/* Both ends close what they have with each other. */
static void part(end *a, end *b)
{
    end *both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        kith_host_unobserve(both[i]->h, &both[i]->watch);
        kith_node_close(kith_host_node(both[i]->h), kith_host_now(both[i]->h), both[i]->conn);
        kith_host_kick(both[i]->h);
    }
    while (kith_node_conn_count(kith_host_node(a->h)) > 1 || kith_node_conn_count(kith_host_node(b->h)) > 1)
        turn(a, b);
    for (int i = 0; i < 2; i++)
        kith_host_observe(both[i]->h, &both[i]->watch);
}

/* The secrets for a next session are in the tables of the two and nowhere else, and what was used is nowhere. */
static void what_a_session_leaves_is_where_it_belongs(void **state)
{
    (void)state;
    end a, b, bystander;
    kith_conn_facts f;
    piece_count = 0;
    epoch = 0;
    join(&a, &b, &bystander, KITH_PQ_REQUIRE, KITH_SIG_MLDSA65);
    part(&a, &b);
    found got = search_all(left);
    assert_int_equal(got.live, 2 * 2 * 4); /* two secrets at either end, four pieces each */
    assert_int_equal(got.old, 0);
    for (epoch = 1; epoch < 4; epoch++) {
        meet(&a, &b);
        kith_conn_facts_get(a.conn, &f);
        assert_true(f.resumed);
        part(&a, &b);
        got = search_all(left);
        assert_int_equal(got.live, 2 * 2 * 4);
        assert_int_equal(got.old, 2 * 4); /* of the session before, the one for b to dial with */
    }
    kith_node_forget_sessions(kith_host_node(a.h), NULL);
    kith_node_forget_sessions(kith_host_node(b.h), NULL);
    epoch++; /* nothing is left of any */
    got = search_all(left);
    assert_int_equal(got.old + got.live, 0);
    noting = false;
    kith_host_unobserve(a.h, &a.watch);
    kith_host_unobserve(b.h, &b.watch);
    kith_host_unobserve(bystander.h, &bystander.watch);
    stop(&a);
    stop(&b);
    stop(&bystander);
}

static void nothing_old_is_left_of_a_hybrid_channel(void **state)
{
    (void)state;
    old_keys_are_nowhere(KITH_PQ_REQUIRE);
}

static void nothing_old_is_left_of_a_classical_channel(void **state)
{
    (void)state;
    old_keys_are_nowhere(KITH_PQ_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_of_the_exchange_leaves_no_more_than_it_must),
        cmocka_unit_test(nothing_old_is_left_of_a_hybrid_channel),
        cmocka_unit_test(nothing_old_is_left_of_a_classical_channel),
        cmocka_unit_test(what_a_session_leaves_is_where_it_belongs),
    };
    return uv_mutex_init(&gate) || kith_crypto_init() || cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
