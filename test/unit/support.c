/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What unit tests share. */
#include "support.h"

#include <sqlite3.h>
#include <stdio.h>

/* In front of every block. */
typedef struct header {
    size_t size;
    uint64_t magic;
} header;

#define MAGIC 0x6b6974682d686561u

static void *heap_fn(void *ctx, void *p, size_t old, size_t size)
{
    support_heap *h = ctx;
    header *head = p ? (header *)p - 1 : NULL;
    if (head) {
        assert_true(head->magic == MAGIC);
        assert_true(head->size == old);
    }
    if (size > 0) {
        h->calls++;
        if (h->fail_at && (h->once ? h->calls == h->fail_at : h->calls >= h->fail_at))
            return NULL;
    }
    header *to = NULL;
    if (size > 0) {
        /* Always a new block: whoever keeps the old pointer is found. */
        to = malloc(sizeof *to + size);
        assert_non_null(to);
        *to = (header){.size = size, .magic = MAGIC};
        memset(to + 1, 0xa5, size);
        if (head)
            memcpy(to + 1, p, old < size ? old : size);
        h->blocks++;
        h->bytes += size;
    }
    if (head) {
        h->blocks--;
        h->bytes -= old;
        memset(head, 0x5a, sizeof *head + old);
        free(head);
    }
    h->peak = h->bytes > h->peak ? h->bytes : h->peak;
    return to ? to + 1 : NULL;
}

static void rand_fn(void *ctx, kith_span out)
{
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (uint8_t)(support_next(ctx) >> 56);
}

const kith_env *support_env(support_heap *h)
{
    static uint64_t seed;
    static kith_env env;
    *h = (support_heap){0};
    seed = 1;
    env = (kith_env){.alloc = {.ctx = h, .fn = heap_fn}, .rand = {.ctx = &seed, .fn = rand_fn}};
    return &env;
}

void support_heap_check(const support_heap *h)
{
    assert_int_equal(h->blocks, 0);
    assert_int_equal(h->bytes, 0);
}

uint64_t support_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t support_below(uint64_t *state, size_t n)
{
    return (size_t)(support_next(state) % n);
}

kith_span support_copy(kith_bytes b)
{
    uint8_t *p = malloc(b.len ? b.len : 1);
    assert_non_null(p);
    if (b.len)
        memcpy(p, b.p, b.len);
    return kith_span_of(p, b.len);
}

static unsigned nibble(char c)
{
    const char *at = strchr("0123456789abcdef", c);
    assert_true(at && c);
    return (unsigned)(at - "0123456789abcdef");
}

kith_span support_hex(const char *hex)
{
    size_t n = strlen(hex) / 2;
    assert_true(strlen(hex) % 2 == 0);
    uint8_t *p = malloc(n ? n : 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return kith_span_of(p, n);
}

void support_assert_bytes(kith_bytes got, kith_bytes want)
{
    assert_int_equal(got.len, want.len);
    if (want.len)
        assert_memory_equal(got.p, want.p, want.len);
}

void support_assert_hex(kith_bytes got, const char *want)
{
    kith_span w = support_hex(want);
    support_assert_bytes(got, kith_span_bytes(w));
    free(w.p);
}

void support_assert_str(kith_bytes got, const char *want)
{
    support_assert_bytes(got, kith_bytes_str(want));
}

static kith_peer_id peer_of_key(const uint8_t pub[KITH_ED25519_PUB_LEN])
{
    kith_peer_id id;
    uint8_t key[KITH_PUBKEY_ED25519_LEN];
    kith_pubkey_ed25519(pub, key);
    assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &id), KITH_OK);
    return id;
}

kith_peer_id support_peer(unsigned n)
{
    uint8_t pub[KITH_ED25519_PUB_LEN] = {0};
    kith_store_be32(pub, n);
    return peer_of_key(pub);
}

kith_peer_id support_peer_of(const kith_signer *s)
{
    uint8_t pub[KITH_ED25519_PUB_LEN];
    kith_signer_public(s, pub);
    return peer_of_key(pub);
}

void support_sql(const char *path, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

char *support_file(const char *path, size_t *len)
{
    char full[1024];
    assert_true(snprintf(full, sizeof full, "%s/%s", KITH_SOURCE_DIR, path) < (int)sizeof full);
    FILE *f = fopen(full, "rb");
    if (!f)
        fail_msg("cannot open %s", full);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long n = ftell(f);
    assert_true(n >= 0);
    rewind(f);
    char *p = malloc((size_t)n + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, (size_t)n, f), (size_t)n);
    (void)fclose(f);
    p[n] = '\0';
    *len = (size_t)n;
    return p;
}

size_t support_words(char **at, char **words, size_t max)
{
    size_t n = 0;
    while (**at && n == 0) {
        char *end = *at + strcspn(*at, "\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        for (char *w = strtok(*at, " "); w && *w != '#'; w = strtok(NULL, " ")) {
            assert_true(n < max);
            words[n++] = w;
        }
        *at = next;
    }
    return n;
}

void support_mutate(kith_bytes in, void (*parse)(void *ctx, kith_bytes in), void *ctx)
{
    for (size_t n = 0; n < in.len; n++) {
        kith_span cut = support_copy(kith_bytes_of(in.p, n));
        parse(ctx, kith_span_bytes(cut));
        free(cut.p);
    }
    kith_span b = support_copy(in);
    for (size_t i = 0; i < in.len; i++) {
        const uint8_t was = b.p[i];
        const uint8_t others[] = {
            0, 1, 0x7f, 0x80, 0xff, was ^ 1, was ^ 0x20, was ^ 0x80, (uint8_t)(was + 1), (uint8_t)(was - 1)};
        for (size_t j = 0; j < sizeof others; j++) {
            if (others[j] == was)
                continue;
            b.p[i] = others[j];
            parse(ctx, kith_span_bytes(b));
        }
        b.p[i] = was;
    }
    free(b.p);
}
