/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Identities: the two keys, the passphrase, the rotation, the file and the exported text. */
#include "host/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/crypto.h"

static char dir[] = "/tmp/kith-identity-XXXXXX";
static char path[64];
static const kith_argon2_cost cheap = {.kib = 32, .passes = 1, .lanes = 1};

/* A stream that is the same in every run. */
static void dice_fn(void *ctx, kith_span out)
{
    uint64_t *x = ctx;
    for (size_t i = 0; i < out.len; i++) {
        *x = *x * 6364136223846793005u + 1442695040888963407u;
        out.p[i] = (uint8_t)(*x >> 56);
    }
}

static uint64_t dice_state;

static kith_rand dice(void)
{
    return (kith_rand){.ctx = &dice_state, .fn = dice_fn};
}

static kith_identity *fresh(kith_sig_alg alg)
{
    kith_identity *id = NULL;
    dice_state = 7;
    assert_int_equal(kith_identity_new(alg, dice(), &id), KITH_OK);
    return id;
}

static char *text_of(const kith_identity *id, size_t *len)
{
    char *text = malloc(KITH_IDENTITY_TEXT_MAX + 1);
    kith_wr w = kith_wr_of(kith_span_of(text, KITH_IDENTITY_TEXT_MAX));
    kith_identity_put(id, &w);
    assert_false(w.bad);
    text[w.len] = '\0';
    if (len)
        *len = w.len;
    return text;
}

static kith_identity *parsed(const char *text)
{
    kith_identity *id = NULL;
    const char *why;
    assert_int_equal(kith_identity_parse(kith_bytes_str(text), &id, &why), KITH_OK);
    assert_null(why);
    return id;
}

static void assert_same(const kith_identity *a, const kith_identity *b)
{
    char *ta = text_of(a, NULL), *tb = text_of(b, NULL);
    assert_string_equal(ta, tb);
    free(ta), free(tb);
}

/* Whether its keys can be had, and are those that it names. */
static kith_err usable(const kith_identity *id)
{
    kith_signer *s = NULL;
    kith_pq_signer *p = NULL;
    kith_err e = kith_identity_keys(id, &s, &p);
    kith_signer_free(s);
    kith_pq_signer_free(p);
    return e;
}

static void put(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static size_t files_in_dir(void)
{
    char command[128], line[256];
    size_t n = 0;
    snprintf(command, sizeof command, "ls -A %s", dir);
    FILE *f = popen(command, "r");
    while (fgets(line, sizeof line, f))
        n++;
    pclose(f);
    return n;
}

static void clear(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    assert_int_equal(system(command), 0);
}

/* ---- in memory ---- */

static void every_algorithm_makes_an_identity_that_reads_back(void **state)
{
    (void)state;
    for (int a = KITH_SIG_NONE + 1; a < KITH_SIG_COUNT; a++) {
        if (!kith_sig_available((kith_sig_alg)a))
            continue;
        kith_identity *id = fresh((kith_sig_alg)a), *again;
        kith_identity_facts f = kith_identity_facts_of(id);
        assert_int_equal(f.alg, a);
        assert_true(!f.encrypted && !f.locked && f.seq == 0 && f.successors == 0);
        assert_int_equal(usable(id), KITH_OK);
        char *text = text_of(id, NULL);
        again = parsed(text);
        assert_same(id, again);
        assert_int_equal(usable(again), KITH_OK);
        free(text);
        kith_identity_free(id), kith_identity_free(again);
    }
    kith_identity_free(NULL);
}

static void every_truncation_and_every_wrong_byte_is_told(void **state)
{
    (void)state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        kith_identity *id = fresh(KITH_SIG_MLDSA44), *got = NULL;
        size_t len;
        const char *why;
        if (encrypted)
            assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
        char *text = text_of(id, &len), *alg = strstr(text, "pq-algorithm "),
             *seq = strstr(text, "pq-sequence ");
        for (size_t n = 0; n < len; n++) {
            assert_int_equal(kith_identity_parse(kith_bytes_of(text, n), &got, &why), KITH_EFORMAT);
            assert_non_null(why);
            assert_null(got);
        }
        for (size_t i = 0; i < len; i++) {
            for (unsigned bit = 1; bit < 256; bit <<= 1) {
                text[i] = (char)(text[i] ^ (char)bit);
                kith_err e = kith_identity_parse(kith_bytes_of(text, len), &got, &why);
                if (!e) { /* what still looks like one is found out by its seal, or by its keys */
                    e = kith_identity_unlock(got, kith_bytes_str("secret"), &why);
                    e = e ? e : usable(got);
                    kith_identity_free(got);
                    got = NULL;
                }
                /* But for the case of an algorithm's letters; and nothing vouches for the number in a plain file. */
                if (!e)
                    assert_true((bit == 0x20 && text + i > alg && text + i < seq) ||
                                (!encrypted && text + i == seq + 12));
                text[i] = (char)(text[i] ^ (char)bit);
            }
        }
        free(text);
        kith_identity_free(id);
    }
}

static void a_field_that_is_missing_or_there_twice_is_told(void **state)
{
    (void)state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        kith_identity *id = fresh(KITH_SIG_MLDSA65), *got = NULL;
        const char *why;
        if (encrypted)
            assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
        char *text = text_of(id, NULL);
        size_t lines = 0;
        for (char *at = strchr(text, '\n') + 1; *at; at = strchr(at, '\n') + 1, lines++) {
            char other[2048];
            int n = (int)(strchr(at, '\n') + 1 - at);
            snprintf(other, sizeof other, "%.*s%s", (int)(at - text), text, at + n);
            assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
            snprintf(other, sizeof other, "%s%.*s", text, n, at);
            assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
            assert_string_equal(why, "it is damaged");
        }
        assert_int_equal(lines, 6);
        char more[2048];
        snprintf(more, sizeof more, "%sfield-of-a-later-version 5\n", text);
        kith_identity *same = parsed(more);
        assert_same(id, same);
        kith_identity_free(same);
        free(text);
        kith_identity_free(id);
    }
}

static void keys_of_another_identity_are_not_taken(void **state)
{
    (void)state;
    kith_identity *id = fresh(KITH_SIG_MLDSA65), *other = NULL;
    assert_int_equal(kith_identity_new(KITH_SIG_MLDSA65, dice(), &other), KITH_OK);
    char *a = text_of(id, NULL), *b = text_of(other, NULL), mixed[2048];
    static const char *const from[] = {"ed25519-seed ", "pq-seed "};
    for (int i = 0; i < 2; i++) {
        char *at = strstr(a, from[i]), *end = strchr(at, '\n'), *theirs = strstr(b, from[i]);
        snprintf(mixed, sizeof mixed, "%.*s%.*s%s", (int)(at - a), a, (int)(strchr(theirs, '\n') - theirs),
                 theirs, end);
        kith_identity *m = parsed(mixed);
        assert_int_equal(usable(m), KITH_EFORMAT);
        kith_identity_free(m);
    }
    free(a), free(b);
    kith_identity_free(id), kith_identity_free(other);
}

/* ---- the passphrase ---- */

static void a_passphrase_hides_the_seeds_and_only_it_gives_them_back(void **state)
{
    (void)state;
    for (int a = KITH_SIG_MLDSA65; a <= KITH_SIG_SLHDSA128F; a += 3) { /* both lengths of a seed */
        kith_identity *id = fresh((kith_sig_alg)a), *got;
        const char *why;
        char *plain = text_of(id, NULL), seed[65];
        snprintf(seed, sizeof seed, "%s", strstr(plain, "ed25519-seed ") + 13);
        assert_int_equal(kith_identity_protect(id, kith_bytes_str("correct horse"), &cheap, dice()), KITH_OK);
        char *text = text_of(id, NULL);
        assert_null(strstr(text, "seed"));
        assert_null(strstr(text, seed));
        got = parsed(text);
        kith_identity_facts f = kith_identity_facts_of(got), g = kith_identity_facts_of(id);
        assert_true(f.encrypted && f.locked && kith_peer_id_eq(&f.peer, &g.peer) &&
                    kith_pq_id_eq(&f.pq_id, &g.pq_id));
        assert_int_equal(usable(got), KITH_ESTATE);
        static const char *const wrong[] = {"correct hors", "correct horse ", "Correct horse", "x"};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(kith_identity_unlock(got, kith_bytes_str(wrong[i]), &why), KITH_EAUTH);
            assert_non_null(strstr(why, "passphrase is wrong"));
            assert_int_equal(usable(got), KITH_ESTATE);
        }
        assert_int_equal(kith_identity_unlock(got, (kith_bytes){0}, &why), KITH_ELIMIT);
        assert_int_equal(kith_identity_unlock(got, kith_bytes_str("correct horse"), &why), KITH_OK);
        assert_int_equal(usable(got), KITH_OK);
        assert_int_equal(kith_identity_protect(got, (kith_bytes){0}, &cheap, dice()), KITH_OK);
        char *again = text_of(got, NULL);
        assert_string_equal(plain, again);
        free(plain), free(text), free(again);
        kith_identity_free(id), kith_identity_free(got);
    }
}

static void what_stands_before_the_seal_cannot_be_changed(void **state)
{
    (void)state;
    kith_identity *id = fresh(KITH_SIG_MLDSA65);
    const char *why;
    assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
    char *text = text_of(id, NULL);
    char *seq = strstr(text, "pq-sequence 0");
    seq[12] = '9';
    kith_identity *got = parsed(text);
    assert_int_equal(kith_identity_unlock(got, kith_bytes_str("secret"), &why), KITH_EAUTH);
    free(text);
    kith_identity_free(id), kith_identity_free(got);
}

static void a_file_cannot_ask_for_any_amount_of_work(void **state)
{
    (void)state;
    static const char *const costs[] = {"m=1048577,t=1,p=1", "m=4294967295,t=1,p=1", "m=64,t=17,p=1",
                                        "m=64,t=0,p=1",      "m=64,t=1,p=17",        "m=7,t=1,p=1"};
    static const char *const malformed[] = {"m=4294967296,t=1,p=1", "m=064,t=1,p=1", "m=64,t=1",
                                            "t=1,m=64,p=1",         "m=64,t=1,p=",   "m=-1,t=1,p=1",
                                            "m= 64,t=1,p=1"};
    kith_identity *id = fresh(KITH_SIG_MLDSA65), *got = NULL;
    const char *why;
    assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
    char *text = text_of(id, NULL), other[2048];
    char *at = strstr(text, "m=32,t=1,p=1"), *rest = at + strlen("m=32,t=1,p=1");
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        snprintf(other, sizeof other, "%.*s%s%s", (int)(at - text), text, costs[i], rest);
        got = parsed(other);
        assert_int_equal(kith_identity_unlock(got, kith_bytes_str("secret"), &why), KITH_ELIMIT);
        assert_non_null(strstr(why, "more memory or time"));
        kith_identity_free(got);
    }
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        snprintf(other, sizeof other, "%.*s%s%s", (int)(at - text), text, malformed[i], rest);
        assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
    }
    free(text);
    kith_identity_free(id);
}

/* ---- rotation ---- */

static void a_rotation_keeps_the_peer_and_leads_contacts_along(void **state)
{
    (void)state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        kith_identity *id = fresh(KITH_SIG_MLDSA44);
        kith_identity_facts first = kith_identity_facts_of(id), last;
        const char *why;
        if (encrypted)
            assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
        for (uint64_t n = 1; n <= KITH_SUCCESSORS_MAX + 2; n++) {
            kith_sig_alg alg = n % 2 ? KITH_SIG_MLDSA65 : KITH_SIG_SLHDSA128F; /* seeds of both lengths */
            assert_int_equal(kith_identity_rotate(id, alg, 1800000000 + n, dice()), KITH_OK);
            kith_identity_facts f = kith_identity_facts_of(id);
            assert_true(f.seq == n && f.alg == alg && kith_peer_id_eq(&f.peer, &first.peer));
            assert_int_equal(f.successors, n < KITH_SUCCESSORS_MAX ? n : KITH_SUCCESSORS_MAX);
            char *text = text_of(id, NULL); /* also with all that can be kept, from the largest signatures */
            kith_identity *again = parsed(text);
            assert_int_equal(kith_identity_unlock(again, kith_bytes_str("secret"), &why), KITH_OK);
            assert_int_equal(usable(again), KITH_OK);
            assert_same(id, again);
            free(text);
            kith_identity_free(id);
            id = again;
            if (n == KITH_SUCCESSORS_MAX) {
                kith_bytes statements[KITH_SUCCESSORS_MAX];
                size_t count = kith_identity_successors(id, statements);
                kith_pq_id at = first.pq_id;
                uint64_t seq = 0;
                last = kith_identity_facts_of(id);
                assert_int_equal(kith_successor_follow(statements, count, &first.peer, &at, &seq), KITH_OK);
                assert_true(kith_pq_id_eq(&at, &last.pq_id) && seq == n);
            }
        }
        kith_bytes statements[KITH_SUCCESSORS_MAX];
        size_t count = kith_identity_successors(id, statements);
        kith_pq_id at = first.pq_id;
        uint64_t seq = 0;
        assert_int_equal(kith_successor_follow(statements, count, &first.peer, &at, &seq), KITH_ENOTFOUND);
        kith_identity_free(id);
    }
}

static void statements_that_do_not_lead_here_are_told(void **state)
{
    (void)state;
    kith_identity *id = fresh(KITH_SIG_MLDSA44), *got = NULL;
    const char *why;
    char *before = text_of(id, NULL);
    assert_int_equal(kith_identity_rotate(id, KITH_SIG_MLDSA44, 1, dice()), KITH_OK);
    char *one = text_of(id, NULL);
    assert_int_equal(kith_identity_rotate(id, KITH_SIG_MLDSA44, 2, dice()), KITH_OK);
    char *two = text_of(id, NULL), *other = malloc(65536);
    snprintf(other, 65536, "%s%s", before, strstr(one, "successor "));
    assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
    char *s1 = strstr(two, "successor "), *s2 = strstr(s1 + 1, "successor ");
    snprintf(other, 65536, "%.*s%s%.*s", (int)(s1 - two), two, s2, (int)(s2 - s1), s1); /* the other order */
    assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
    snprintf(other, 65536, "%.*s%.*s", (int)(s1 - two), two, (int)(s2 - s1), s1); /* the last is missing */
    assert_int_equal(kith_identity_parse(kith_bytes_str(other), &got, &why), KITH_EFORMAT);
    snprintf(other, 65536, "%.*s%s", (int)(s1 - two), two, s2); /* the first may be forgotten */
    kith_identity_free(parsed(other));
    free(before), free(one), free(two), free(other);
    kith_identity_free(id);
}

/* ---- the exported text ---- */

static void the_armour_survives_the_mail_and_nothing_else(void **state)
{
    (void)state;
    kith_identity *id = fresh(KITH_SIG_MLDSA65), *got = NULL;
    const char *why;
    assert_int_equal(kith_identity_protect(id, kith_bytes_str("secret"), &cheap, dice()), KITH_OK);
    assert_int_equal(kith_identity_rotate(id, KITH_SIG_MLDSA44, 1, dice()), KITH_OK);
    char *armour = malloc(KITH_IDENTITY_ARMOUR_MAX), *mail = malloc(KITH_IDENTITY_ARMOUR_MAX);
    kith_wr w = kith_wr_of(kith_span_of(armour, KITH_IDENTITY_ARMOUR_MAX));
    assert_int_equal(kith_identity_put_armour(id, &w), KITH_OK);
    assert_int_equal(kith_identity_parse_armour(kith_wr_bytes(&w), &got, &why), KITH_OK);
    assert_same(id, got);
    kith_identity_free(got);
    for (size_t i = 0, line = 0; i < w.len; i++) {
        line = armour[i] == '\n' ? 0 : line + 1;
        assert_true(line <= 64);
    }
    size_t n = (size_t)snprintf(mail, 64, "Dear me,\r\n\r\n");
    for (size_t i = 0; i < w.len; i++) {
        if (armour[i] == '\n') {
            mail[n++] = ' ';
            mail[n++] = '\r';
        }
        mail[n++] = armour[i];
    }
    n += (size_t)snprintf(mail + n, 64, "-- \r\nbye\r\n");
    assert_int_equal(kith_identity_parse_armour(kith_bytes_of(mail, n), &got, &why), KITH_OK);
    assert_same(id, got);
    kith_identity_free(got);
    got = NULL;
    for (size_t cut = 0; cut + 1 < w.len; cut++) {
        assert_int_equal(kith_identity_parse_armour(kith_bytes_of(armour, cut), &got, &why), KITH_EFORMAT);
        assert_non_null(why);
    }
    static const char *const bad[] = {
        "", "-----BEGIN KITH IDENTITY-----", "-----BEGIN KITH IDENTITY----------END KITH IDENTITY-----",
        "-----BEGIN KITH IDENTITY-----\n!\n-----END KITH IDENTITY-----\n",
        "-----BEGIN KITH IDENTITY-----\naGVsbG8\n-----END KITH IDENTITY-----\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kith_identity_parse_armour(kith_bytes_str(bad[i]), &got, &why), KITH_EFORMAT);
    char small[100];
    w = kith_wr_of(kith_span_of(small, sizeof small));
    assert_int_equal(kith_identity_put_armour(id, &w), KITH_ESPACE);
    free(armour), free(mail);
    kith_identity_free(id);
}

/* ---- the file ---- */

static void it_is_made_once_and_stays_the_same(void **state)
{
    (void)state;
    kith_identity *a = NULL, *b = NULL;
    const char *why;
    clear();
    assert_int_equal(kith_identity_read(path, &a, &why), KITH_ENOTFOUND);
    assert_int_equal(kith_identity_load(path, &a, &why), KITH_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kith_identity_load(path, &b, &why), KITH_OK);
    assert_same(a, b);
    assert_int_equal(kith_identity_facts_of(a).alg, KITH_SIG_MLDSA65);
    assert_int_equal(kith_identity_create(path, a, &why), KITH_EEXISTS);
    assert_int_equal(files_in_dir(), 1);
    kith_identity_free(a), kith_identity_free(b);
}

static void one_that_others_can_read_is_refused(void **state)
{
    (void)state;
    kith_identity *id = NULL;
    const char *why;
    clear();
    for (unsigned mode = 01; mode < 0100; mode <<= 1) {
        put("kith identity 1\n", 0600 | mode);
        assert_int_equal(kith_identity_load(path, &id, &why), KITH_EPOLICY);
        assert_non_null(strstr(why, "chmod 600"));
    }
}

static void what_cannot_be_used_is_left_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "hello\n",
                                      "kith identity 1\n",
                                      "kith identity 1",
                                      "kith identity 2\n",
                                      "kith identity 1\ned25519-seed 00\n"};
    kith_identity *id = NULL;
    const char *why;
    clear();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(bad[i], 0600);
        assert_int_equal(kith_identity_load(path, &id, &why), KITH_EFORMAT);
        assert_non_null(why);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, strlen(bad[i]));
    }
    put("kith identity 3\ned25519-seed 00\n", 0600);
    assert_int_equal(kith_identity_load(path, &id, &why), KITH_EFORMAT);
    assert_string_equal(why, "it was made by a newer kith");
    assert_int_equal(truncate(path, KITH_IDENTITY_TEXT_MAX + 1), 0);
    assert_int_equal(kith_identity_load(path, &id, &why), KITH_EFORMAT);
    assert_string_equal(why, "it is too large");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(kith_identity_load(path, &id, &why), KITH_EIO);
    assert_string_equal(why, "it is not a file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(kith_identity_load(path, &id, &why), KITH_EIO);
    rmdir(path);
    assert_int_equal(kith_identity_load("/nowhere/at/all", &id, &why), KITH_EIO);
    assert_null(id);
}

/* The seed of 32 sevens, as version 1 wrote it. */
static const char version_1[] =
    "kith identity 1\ned25519-seed 0707070707070707070707070707070707070707070707070707070707070707\n";

static void version_1_keeps_its_peer_id_and_gets_one_post_quantum_key(void **state)
{
    (void)state;
    kith_identity *a = NULL, *b = NULL;
    const char *why;
    clear();
    kith_identity *old = parsed(version_1);
    kith_identity_facts f = kith_identity_facts_of(old), g;
    assert_true(f.alg == KITH_SIG_NONE && f.pq_id.len == 0 && !f.encrypted);
    assert_int_equal(usable(old), KITH_OK);
    put(version_1, 0600);
    assert_int_equal(kith_identity_load(path, &a, &why), KITH_OK);
    assert_int_equal(kith_identity_load(path, &b, &why), KITH_OK);
    assert_same(a, b);
    g = kith_identity_facts_of(a);
    assert_true(kith_peer_id_eq(&f.peer, &g.peer) && g.alg == KITH_SIG_MLDSA65 && g.seq == 0 &&
                g.successors == 0);
    char *text = text_of(a, NULL);
    assert_non_null(
        strstr(text, "ed25519-seed 0707070707070707070707070707070707070707070707070707070707070707\n"));
    assert_int_equal(files_in_dir(), 1);
    free(text);
    kith_identity_free(old), kith_identity_free(a), kith_identity_free(b);
}

static void of_many_processes_at_once_all_have_the_same_keys(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        clear();
        if (round % 2)
            put(version_1, 0600);
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        for (int i = 0; i < 4; i++) {
            pid_t pid = fork();
            assert_true(pid >= 0);
            if (pid > 0)
                continue;
            kith_identity *id = NULL;
            const char *why;
            kith_err e = kith_identity_load(path, &id, &why);
            kith_pq_id pq = e ? (kith_pq_id){0} : kith_identity_facts_of(id).pq_id;
            _exit(write(fds[1], &pq, sizeof pq) == (ssize_t)sizeof pq ? 0 : 1);
        }
        close(fds[1]);
        kith_pq_id first = {0}, pq;
        int n = 0;
        while (read(fds[0], &pq, sizeof pq) == (ssize_t)sizeof pq) {
            first = n++ ? first : pq;
            assert_true(pq.len > 0 && kith_pq_id_eq(&pq, &first));
        }
        assert_int_equal(n, 4);
        close(fds[0]);
        for (int i = 0; i < 4; i++)
            wait(NULL);
        assert_int_equal(files_in_dir(), 1);
    }
}

static void replacing_keeps_the_old_one_when_asked_and_sees_what_others_did(void **state)
{
    (void)state;
    kith_identity *a = NULL, *b = NULL, *c = NULL, *now = NULL;
    const char *why;
    char keep[128];
    clear();
    assert_int_equal(kith_identity_load(path, &a, &why), KITH_OK);
    assert_int_equal(kith_identity_load(path, &b, &why), KITH_OK);
    assert_int_equal(kith_identity_rotate(a, KITH_SIG_MLDSA65, 1, dice()), KITH_OK);
    assert_int_equal(kith_identity_replace(path, a, a, NULL, 0, &why), KITH_OK);
    assert_int_equal(files_in_dir(), 1);
    assert_int_equal(kith_identity_rotate(b, KITH_SIG_MLDSA65, 1, dice()), KITH_OK);
    assert_int_equal(kith_identity_replace(path, b, b, NULL, 0, &why), KITH_ESTATE); /* b was read before */
    assert_int_equal(kith_identity_read(path, &now, &why), KITH_OK);
    assert_same(a, now);
    assert_int_equal(files_in_dir(), 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(kith_identity_replace(path, NULL, b, keep, sizeof keep, &why), KITH_OK);
        assert_int_equal(kith_identity_read(keep, &c, &why), KITH_OK);
        assert_same(c, i ? b : a);
        kith_identity_free(c);
        assert_int_equal(files_in_dir(), 2 + i);
    }
    kith_identity_free(a), kith_identity_free(b), kith_identity_free(now);
}

static int start(void **state)
{
    (void)state;
    if (kith_crypto_init() || !mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/identity", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    clear();
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_makes_an_identity_that_reads_back),
        cmocka_unit_test(every_truncation_and_every_wrong_byte_is_told),
        cmocka_unit_test(a_field_that_is_missing_or_there_twice_is_told),
        cmocka_unit_test(keys_of_another_identity_are_not_taken),
        cmocka_unit_test(a_passphrase_hides_the_seeds_and_only_it_gives_them_back),
        cmocka_unit_test(what_stands_before_the_seal_cannot_be_changed),
        cmocka_unit_test(a_file_cannot_ask_for_any_amount_of_work),
        cmocka_unit_test(a_rotation_keeps_the_peer_and_leads_contacts_along),
        cmocka_unit_test(statements_that_do_not_lead_here_are_told),
        cmocka_unit_test(the_armour_survives_the_mail_and_nothing_else),
        cmocka_unit_test(it_is_made_once_and_stays_the_same),
        cmocka_unit_test(one_that_others_can_read_is_refused),
        cmocka_unit_test(what_cannot_be_used_is_left_alone),
        cmocka_unit_test(version_1_keeps_its_peer_id_and_gets_one_post_quantum_key),
        cmocka_unit_test(of_many_processes_at_once_all_have_the_same_keys),
        cmocka_unit_test(replacing_keeps_the_old_one_when_asked_and_sees_what_others_did),
    };
    return cmocka_run_group_tests(tests, start, end);
}
