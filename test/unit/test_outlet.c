/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lines for a reader who stands still: those that fit come whole and in order, the others are counted where they are missing. */
#include "cmd/outlet.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

#define LONG 700 /* bytes of a line, with its newline */

static uv_loop_t loop;
static uv_prepare_t alive; /* a loop without handles runs no timers */
static int reader, writer;
static char heard[4 * OUTLET_MAX];
static size_t heard_len;

static void on_prepare(uv_prepare_t *p)
{
    (void)p;
}

static outlet *open_on_pipe(bool json)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    reader = fd[0];
    writer = fd[1];
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    heard_len = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_prepare_init(&loop, &alive), 0);
    assert_int_equal(uv_prepare_start(&alive, on_prepare), 0);
    outlet *o = outlet_open(&loop, writer, json);
    assert_non_null(o);
    return o;
}

static void close_all(outlet *o)
{
    outlet_close(o);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    close(writer);
}

/* All that comes until nothing has come for a while: the outlet looks every 50 ms whether there is room. */
static void hear_all(void)
{
    for (int quiet = 0; quiet < 30; quiet++) {
        ssize_t n = read(reader, heard + heard_len, sizeof heard - 1 - heard_len);
        if (n > 0) {
            heard_len += (size_t)n;
            quiet = 0;
        }
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(5000);
    }
    heard[heard_len] = '\0';
}

/* "number xxx...\n", len bytes in all. */
static void put_line(outlet *o, unsigned number, size_t len)
{
    char line[LONG + 1];
    memset(line, 'x', len);
    int n = snprintf(line, sizeof line, "%u", number);
    line[n] = ' ';
    line[len - 1] = '\n';
    outlet_put(o, line, len);
}

static void what_is_read_comes_at_once_and_whole(void **state)
{
    (void)state;
    outlet *o = open_on_pipe(false);
    put_line(o, 1, 10);
    put_line(o, 2, 20);
    hear_all();
    assert_string_equal(heard, "1 xxxxxxx\n2 xxxxxxxxxxxxxxxxx\n");
    close_all(o);
    close(reader);
}

/* The pipe and the queue are full. Then come lines so short that there would be room for them: but they belong behind the notice. */
static void from_the_first_line_that_does_not_fit_all_are_dropped_up_to_the_notice(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        enum { LINES = 400, SHORT = 5 };
        outlet *o = open_on_pipe(json);
        for (unsigned i = 0; i < LINES; i++)
            put_line(o, i, LONG);
        for (unsigned i = 0; i < SHORT; i++)
            put_line(o, LINES + i, 8);
        hear_all();
        put_line(o, 9999, 8);
        hear_all();
        char *at = heard;
        unsigned next = 0;
        while (strtoul(at, NULL, 10) == next && at[0] >= '0' && at[0] <= '9') {
            assert_int_equal(strcspn(at, "\n"), LONG - 1);
            at += LONG;
            next++;
        }
        assert_in_range(next, OUTLET_MAX / LONG, LINES - 1);
        unsigned dropped = LINES + SHORT - next;
        char want[128];
        snprintf(want, sizeof want,
                 json ? "{\"event\":\"lines_dropped\",\"lines\":%u}\n9999 xx\n"
                      : "(%u lines were dropped here: there was no room for them)\n9999 xx\n",
                 dropped);
        assert_string_equal(at, want);
        close_all(o);
        close(reader);
    }
}

static void a_reader_who_is_gone_costs_nothing(void **state)
{
    (void)state;
    outlet *o = open_on_pipe(false);
    signal(SIGPIPE, SIG_IGN);
    close(reader);
    for (unsigned i = 0; i < 400; i++)
        put_line(o, i, LONG);
    close_all(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_comes_at_once_and_whole),
        cmocka_unit_test(from_the_first_line_that_does_not_fit_all_are_dropped_up_to_the_notice),
        cmocka_unit_test(a_reader_who_is_gone_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
