/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Content into a descriptor: in order, holes too, to readers that are slow, gone or given up. */
#include "host/share_out.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "support.h"

#define LEN 200000u

/* One item of bytes that tell their place, one of zeros, one of bytes. */
static kith_share_block *block(void)
{
    kith_share_block *b = kith_share_block_new(kith_host_env());
    assert_non_null(b);
    for (size_t i = 0; i < LEN; i++)
        b->buf[i] = (uint8_t)(i % 251);
    b->count = 3;
    b->items[0] = (kith_share_item){.offset = 0, .at = 0, .len = LEN / 2};
    b->items[1] = (kith_share_item){.offset = LEN / 2, .len = LEN, .zeros = true};
    b->items[2] = (kith_share_item){.offset = LEN / 2 + LEN, .at = LEN / 2, .len = LEN / 2};
    return b;
}

static void check(const uint8_t *got)
{
    for (size_t i = 0; i < LEN / 2; i++) {
        assert_int_equal(got[i], (uint8_t)(i % 251));
        assert_int_equal(got[LEN / 2 + LEN + i], (uint8_t)((LEN / 2 + i) % 251));
    }
    for (size_t i = 0; i < LEN; i++)
        assert_int_equal(got[LEN / 2 + i], 0);
}

typedef struct job {
    kith_share_out out;
    kith_share_block *b;
    int e;
} job;

static void *write_block(void *arg)
{
    job *j = arg;
    j->e = kith_share_out_write(&j->out, j->b);
    return NULL;
}

static void a_file_gets_it_in_order(void **state)
{
    (void)state;
    static uint8_t got[2 * LEN + 1];
    char path[] = "/tmp/kith-out-XXXXXX";
    job j = {.b = block()};
    j.out.fd = mkstemp(path);
    assert_true(j.out.fd >= 0 && unlink(path) == 0);
    assert_int_equal(kith_share_out_write(&j.out, j.b), 0);
    assert_int_equal(j.out.written, 2 * LEN);
    assert_int_equal(pread(j.out.fd, got, sizeof got, 0), 2 * LEN);
    check(got);
    assert_int_equal(kith_share_out_write(&j.out, j.b), EILSEQ); /* not once more */
    j.b->items[0] = (kith_share_item){.offset = 2 * LEN, .code = KITH_SHARE_CHANGED};
    assert_int_equal(kith_share_out_write(&j.out, j.b), ESTALE);
    assert_int_equal(j.out.written, 2 * LEN);
    close(j.out.fd);
    kith_share_block_free(j.b);
}

static void a_slow_reader_gets_it_all(void **state)
{
    (void)state;
    static uint8_t got[2 * LEN + 1000];
    job j = {.b = block()};
    int p[2];
    size_t n = 0;
    pthread_t t;
    assert_int_equal(pipe(p), 0);
    j.out.fd = p[1];
    assert_int_equal(pthread_create(&t, NULL, write_block, &j), 0);
    for (ssize_t k; n < 2 * LEN && (k = read(p[0], got + n, 1000)) > 0; n += (size_t)k)
        ;
    assert_int_equal(n, 2 * LEN);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(j.e, 0);
    check(got);
    close(p[0]);
    close(p[1]);
    kith_share_block_free(j.b);
}

static void a_reader_that_does_not_read_can_be_given_up(void **state)
{
    (void)state;
    job j = {.b = block()};
    int p[2];
    pthread_t t;
    assert_int_equal(pipe(p), 0);
    j.out.fd = p[1];
    assert_int_equal(pthread_create(&t, NULL, write_block, &j), 0);
    atomic_store(&j.out.stop, true);
    assert_int_equal(pthread_join(t, NULL), 0); /* what a pipe holds is less than the block */
    assert_int_equal(j.e, ECANCELED);
    close(p[0]);
    close(p[1]);
    kith_share_block_free(j.b);
}

static void a_reader_that_is_gone_is_told(void **state)
{
    (void)state;
    job j = {.b = block()};
    int p[2];
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    assert_int_equal(pipe(p), 0);
    close(p[0]);
    j.out.fd = p[1];
    assert_int_equal(kith_share_out_write(&j.out, j.b), EPIPE);
    close(p[1]);
    j.out.fd = open("/dev/full", O_WRONLY);
    assert_int_equal(kith_share_out_write(&j.out, j.b), ENOSPC);
    close(j.out.fd);
    assert_int_equal(j.out.written, 0);
    kith_share_block_free(j.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gets_it_in_order),
        cmocka_unit_test(a_slow_reader_gets_it_all),
        cmocka_unit_test(a_reader_that_does_not_read_can_be_given_up),
        cmocka_unit_test(a_reader_that_is_gone_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
