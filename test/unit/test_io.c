/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes of files, from a system that is in no hurry: this program's own pread and pwrite move a few at a time and are interrupted. */
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/io.h"
#include "support.h"

static size_t most; /* bytes that one call moves */
static int fault;   /* what a call ends with when that is 0; 0: with nothing */
static unsigned calls;

static bool interrupted(void)
{
    errno = EINTR;
    return calls++ % 2 == 0;
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    if (interrupted())
        return -1;
    errno = fault;
    return most > 0 ? syscall(SYS_pread64, fd, p, n < most ? n : most, at) : fault ? -1 : 0;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (interrupted())
        return -1;
    errno = fault;
    return most > 0 ? syscall(SYS_pwrite64, fd, p, n < most ? n : most, at) : fault ? -1 : 0;
}

static void all_is_written_and_read_and_the_end_is_told(void **state)
{
    (void)state;
    char out[16] = "";
    FILE *f = tmpfile();
    assert_non_null(f);
    int fd = fileno(f);
    for (most = 1; most < 12; most++) {
        memset(out, '.', sizeof out);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(kith_io_write(fd, "hello world", 11, 3), 0);
        assert_int_equal(kith_io_read(fd, out, 11, 3), 11);
        assert_memory_equal(out, "hello world.", 12);
        assert_int_equal(kith_io_read(fd, out, 16, 9), 5);
        assert_memory_equal(out, "world world.", 12);
        assert_int_equal(kith_io_read(fd, out, 5, 14), 0);
        assert_int_equal(kith_io_read(fd, out, 0, 0), 0);
        assert_int_equal(kith_io_write(fd, "", 0, 0), 0);
    }
    fclose(f);
}

static void what_does_not_go_on_is_an_error(void **state)
{
    (void)state;
    char out[4];
    most = 0;
    fault = ENOSPC;
    assert_int_equal(kith_io_write(1, "abcd", 4, 0), ENOSPC);
    fault = EIO;
    assert_int_equal(kith_io_read(1, out, 4, 0), -EIO);
    fault = 0;
    assert_int_equal(kith_io_write(1, "abcd", 4, 0), EIO); /* nothing written is no reason to try for ever */
    assert_int_equal(kith_io_read(1, out, 4, 0), 0);
}

/* So many names are enough; none comes twice. */
typedef struct some {
    size_t enough, count;
    bool seen[3];
} some;

static bool take(void *ctx, int fd, const char *name)
{
    some *s = ctx;
    struct stat st;
    assert_int_equal(fstatat(fd, name, &st, 0), 0);
    assert_true(name[0] >= 'a' && name[0] <= 'c' && name[1] == 0 && !s->seen[name[0] - 'a']);
    s->seen[name[0] - 'a'] = true;
    return ++s->count < s->enough;
}

static void names_come_until_there_are_enough(void **state)
{
    (void)state;
    char top[] = "/tmp/kith-test-io-XXXXXX";
    assert_non_null(mkdtemp(top));
    int fd = open(top, O_RDONLY | O_DIRECTORY);
    for (char name[] = "a"; name[0] <= 'c'; name[0]++)
        assert_int_equal(mkdirat(fd, name, 0700), 0);
    for (size_t enough = 1; enough <= 4; enough++) { /* each time from the beginning */
        some s = {.enough = enough};
        assert_int_equal(kith_io_each_name(fd, take, &s), 0);
        assert_int_equal(s.count, enough < 3 ? enough : 3);
    }
    for (char name[] = "a"; name[0] <= 'c'; name[0]++)
        assert_int_equal(unlinkat(fd, name, AT_REMOVEDIR), 0);
    assert_int_equal(rmdir(top), 0);
    close(fd);
    assert_int_equal(kith_io_each_name(fd, take, NULL), EBADF);
}

static void holes_are_passed_over_where_the_file_system_knows_them(void **state)
{
    (void)state;
    const uint64_t at = 512 * 1024;
    int ends[2];
    FILE *f = tmpfile();
    assert_non_null(f);
    most = 100;
    assert_int_equal(kith_io_write(fileno(f), "x", 1, at), 0);
    assert_int_equal(ftruncate(fileno(f), (off_t)(2 * at)), 0);
    uint64_t first = kith_io_next_data(fileno(f), 0), behind = kith_io_next_data(fileno(f), at + at / 2);
    assert_true(first == at || first == 0);
    assert_int_equal(behind, first == at ? UINT64_MAX : at + at / 2);
    assert_int_equal(kith_io_next_data(fileno(f), at), at);
    assert_int_equal(kith_io_next_data(fileno(f), 2 * at), UINT64_MAX); /* there is nothing at all */
    fclose(f);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(kith_io_next_data(ends[0], 7), 7);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_written_and_read_and_the_end_is_told),
        cmocka_unit_test(what_does_not_go_on_is_an_error),
        cmocka_unit_test(names_come_until_there_are_enough),
        cmocka_unit_test(holes_are_passed_over_where_the_file_system_knows_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
