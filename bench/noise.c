/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a Noise handshake costs each side in CPU time, what an open machine weighs, and how fast records are
 * sealed and opened. Prints one line per measurement; --json prints one object per line. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "proto/noise.h"

static bool json;
static size_t live; /* bytes that the machines hold */

static void *count(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    live = live - (p ? old : 0) + size;
    return kith_heap(NULL, p, old, size);
}

static double cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct side {
    kith_noise_config cfg;
    kith_noise *noise;
    double spent;
} side;

/* What the handshakes of a suite that resumes mix in. */
static const uint8_t psk[KITH_NOISE_PSK_LEN] = {7}, name[KITH_NOISE_RESUME_NAME_LEN] = {8};

static void start(side *s)
{
    double t = cpu();
    s->noise = kith_noise_new(&s->cfg);
    s->spent += cpu() - t;
    assert(s->noise);
}

static void turn(side *from, side *to)
{
    static uint8_t msg[8192];
    kith_noise_event ev;
    size_t len = kith_noise_send(from->noise, 0, kith_span_of(msg, sizeof msg));
    double t = cpu();
    kith_noise_recv(to->noise, 0, kith_span_of(msg, len));
    while (kith_noise_next(to->noise, &ev)) {
        if (ev.kind == KITH_NOISE_READY)
            continue;
        if (ev.kind == KITH_NOISE_KEY) {
            kith_noise_key(to->noise, psk, NULL);
            continue;
        }
        assert(ev.kind == KITH_NOISE_WORK);
        kith_noise_work(to->noise);
        kith_noise_worked(to->noise, 0);
    }
    to->spent += cpu() - t;
}

static void shake(side *i, side *r)
{
    start(i);
    start(r);
    turn(i, r);
    turn(r, i);
    turn(i, r);
    assert(kith_noise_ready(i->noise) && kith_noise_ready(r->noise));
}

static void free_both(side *i, side *r)
{
    kith_noise_free(i->noise);
    kith_noise_free(r->noise);
}

static void handshakes(const kith_noise_suite *suite, side *i, side *r, int rounds)
{
    i->cfg.suite = r->cfg.suite = suite;
    i->cfg.psk = suite->resumes ? psk : NULL;
    i->cfg.key_name = suite->resumes ? name : NULL;
    shake(i, r); /* warm */
    free_both(i, r);
    i->spent = r->spent = 0;
    for (int k = 0; k < rounds; k++) {
        shake(i, r);
        free_both(i, r);
    }
    double us_i = i->spent / rounds * 1e6, us_r = r->spent / rounds * 1e6;
    if (json)
        printf(
            "{\"bench\":\"noise_handshake\",\"suite\":\"%s\",\"initiator_us\":%.1f,\"responder_us\":%.1f}\n",
            suite->id, us_i, us_r);
    else
        printf("handshake  %-28s %7.1f us initiator  %7.1f us responder\n", suite->id, us_i, us_r);
}

/* Records of one size, sealed and opened on one core in batches of a MiB; and the bare AEAD for comparison.
 */
static void records(side *i, side *r, size_t size, size_t total)
{
    size_t batch = (1u << 20) / size, step = size + KITH_NOISE_OVERHEAD;
    uint8_t *wire = calloc(batch, step);
    assert(wire);
    shake(i, r);
    double seal = 0, open = 0;
    size_t done = 0;
    for (; done < total; done += batch * size) {
        double t = cpu();
        for (size_t k = 0; k < batch; k++)
            (void)kith_noise_seal(i->noise, kith_span_of(wire + k * step, step), size);
        double u = cpu();
        kith_noise_event ev;
        size_t got = 0;
        kith_noise_recv(r->noise, 0, kith_span_of(wire, batch * step));
        while (kith_noise_next(r->noise, &ev)) {
            assert(ev.kind == KITH_NOISE_DATA);
            got += ev.data.len;
        }
        assert(got == batch * size);
        seal += u - t;
        open += cpu() - u;
    }
    free_both(i, r);

    uint8_t key[32] = {1}, nonce[12] = {0};
    kith_aead *a = kith_aead_new(KITH_AEAD_CHACHA20_POLY1305, key, true);
    double t = cpu();
    for (size_t k = 0; k < done / size; k++)
        kith_aead_seal(a, nonce, (kith_bytes){0}, kith_span_of(wire + k % batch * step, size), wire);
    double bare = cpu() - t;
    kith_aead_free(a);
    double mib = (double)done / 1048576;
    if (json)
        printf(
            "{\"bench\":\"noise_records\",\"bytes\":%zu,\"seal_mib_s\":%.0f,\"open_mib_s\":%.0f,\"aead_mib_s\":%.0f}\n",
            size, mib / seal, mib / open, mib / bare);
    else
        printf("records    %5zu bytes  %6.0f MiB/s sealed  %6.0f MiB/s opened  %6.0f MiB/s bare AEAD\n", size,
               mib / seal, mib / open, mib / bare);
    free(wire);
}

int main(int argc, char **argv)
{
    json = argc > 1 && strcmp(argv[1], "--json") == 0;
    if (kith_crypto_init())
        return 1;
    kith_env env = {.alloc = {NULL, count}, .rand = kith_random_os()};
    uint8_t seed[32] = {1};
    kith_signer *signer = kith_signer_new(seed);
    kith_pq_signer *pq;
    if (kith_pq_signer_new(KITH_SIG_MLDSA65, kith_bytes_of(seed, sizeof seed), &pq))
        return 1;
    kith_noise_identity *id = kith_noise_identity_new(&env, signer, pq);
    side i = {.cfg = {.env = &env, .identity = id, .initiator = true}};
    side r = {.cfg = {.env = &env, .identity = id}};
    if (!json)
        printf("%s\n", kith_crypto_version());
    for (size_t s = 0; s < kith_noise_suite_count; s++)
        handshakes(&kith_noise_suites[s], &i, &r, 300);
    for (size_t s = 0; s < kith_noise_resume_suite_count; s++)
        handshakes(&kith_noise_resume_suites[s], &i, &r, 300);
    i.cfg.suite = r.cfg.suite = kith_noise_suite_find(kith_bytes_str("/noise"));
    size_t before = live;
    shake(&i, &r);
    if (!json)
        printf("open       %zu bytes a machine, without OpenSSL's two cipher contexts\n",
               (live - before) / 2);
    free_both(&i, &r);
    static const size_t sizes[] = {64, 1024, 4096, 16384, KITH_NOISE_PLAIN_MAX};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        records(&i, &r, sizes[s], sizes[s] < 1024 ? 16u << 20 : 256u << 20);
    kith_noise_identity_free(id);
    kith_signer_free(signer);
    kith_pq_signer_free(pq);
    return 0;
}
