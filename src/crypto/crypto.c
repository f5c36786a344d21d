/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One-time set-up, a digest context per thread, wiping, comparison, randomness. */
#include "crypto/crypto.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <stdlib.h>

#include "crypto/internal.h"

kith_algs kith_crypto_algs;

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static CRYPTO_THREAD_LOCAL at_exit; /* only for its destructor: reading it is slower than `mine` */
static kith_err ready = KITH_ESTATE;
static _Thread_local kith_thread *mine;

static void thread_free(void *p)
{
    kith_thread *t = p;
    if (!t)
        return;
    EVP_MD_CTX_free(t->sha256);
    EVP_MD_CTX_free(t->sha512);
    OPENSSL_free(t);
}

static kith_thread *thread_new(void)
{
    kith_thread *t = OPENSSL_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->sha256 = EVP_MD_CTX_new();
    t->sha512 = EVP_MD_CTX_new();
    if (!t->sha256 || !t->sha512 || EVP_DigestInit_ex2(t->sha256, kith_crypto_algs.sha256, NULL) != 1 ||
        EVP_DigestInit_ex2(t->sha512, kith_crypto_algs.sha512, NULL) != 1 ||
        !CRYPTO_THREAD_set_local(&at_exit, t)) {
        thread_free(t);
        return NULL;
    }
    return t;
}

kith_thread *kith_crypto_thread(void)
{
    if (!mine) {
        assert(ready == KITH_OK);
        mine = thread_new();
        if (!mine)
            abort();
    }
    return mine;
}

/* ML-KEM came with OpenSSL 3.5; an older one, or one built without it, cannot serve. */
static bool has_mlkem(void)
{
    EVP_KEYMGMT *k = EVP_KEYMGMT_fetch(NULL, "ML-KEM-768", NULL);
    EVP_KEYMGMT_free(k);
    return k != NULL;
}

/* So did ML-DSA and SLH-DSA. */
static bool fetch_signatures(kith_algs *a)
{
    for (int alg = KITH_SIG_NONE + 1; alg < KITH_SIG_COUNT; alg++) {
        if (alg == KITH_SIG_FALCON512)
            continue; /* not OpenSSL's */
        a->sig[alg] = EVP_SIGNATURE_fetch(NULL, kith_sig_info_of((kith_sig_alg)alg)->name, NULL);
        if (!a->sig[alg])
            return false;
    }
    return true;
}

static void init(void)
{
    kith_algs *a = &kith_crypto_algs;
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    a->sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
    a->shake128 = EVP_MD_fetch(NULL, "SHAKE128", NULL);
    a->chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    a->aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (!a->sha256 || !a->sha512 || !a->shake128 || !a->chacha20_poly1305 || !a->aes_256_gcm ||
        !CRYPTO_THREAD_init_local(&at_exit, thread_free) || sodium_init() < 0)
        ready = kith_crypto_err(KITH_ENOMEM);
    else
        ready = has_mlkem() && fetch_signatures(a) ? KITH_OK : kith_crypto_err(KITH_EUNSUPPORTED);
}

kith_err kith_crypto_init(void)
{
    if (!CRYPTO_THREAD_run_once(&once, init))
        return KITH_ENOMEM;
    return ready;
}

const char *kith_crypto_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

kith_err kith_crypto_err(kith_err e)
{
    ERR_clear_error();
    return e;
}

void kith_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

/* Not inlined: its frame has to begin where those of the functions before it began. */
__attribute__((noinline)) void kith_stack_wipe(void)
{
    uint8_t below[16 * 1024];
    memset(below, 0, sizeof below); /* nine times as fast as OPENSSL_cleanse */
    __asm__ volatile("" : : "r"(below) : "memory");
}

bool kith_ct_eq(kith_bytes a, kith_bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.p, b.p, a.len) == 0);
}

static void random_os(void *ctx, kith_span out)
{
    (void)ctx;
    while (out.len > 0) {
        size_t n = out.len < INT_MAX ? out.len : INT_MAX;
        if (RAND_bytes(out.p, (int)n) != 1)
            abort();
        out = kith_span_skip(out, n);
    }
}

kith_rand kith_random_os(void)
{
    return (kith_rand){.ctx = NULL, .fn = random_os};
}
