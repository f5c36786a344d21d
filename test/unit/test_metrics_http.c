/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Metrics over HTTP: which requests get which answer, where it listens, and clients that stall, come in crowds or leave. */
#include "host/metrics_http.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

#define GOOD "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n"

static unsigned judge(const char *text)
{
    return kith_metrics_http_judge(kith_bytes_str(text));
}

static void a_request_is_judged_by_its_first_fault(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *text;
    } cases[] = {
        {200, GOOD},
        {200, "GET /metrics?x=1 HTTP/1.0\r\nuser-agent: x: y\r\nHOST:\t[::1]:1 \r\n\r\nwhat follows"},
        {200, "GET /metrics HTTP/1.1\r\nHost: LocalHost\r\n\r\n"},
        {200, "GET /metrics HTTP/1.1\r\nHost: 127.9.9.9\r\nAccept:\r\n\r\n"},
        {404, "GET / HTTP/1.1\r\nHost: localhost:80\r\n\r\n"},
        {404, "GET /metricsx HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {404, "GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {405, "POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {405, "get /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {421, "GET /metrics HTTP/1.1\r\nHost: example.org\r\n\r\n"},
        {421, "POST / HTTP/1.1\r\nHost: 127.0.0.1.example.org:9464\r\n\r\n"},
        {421, "GET /metrics HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n"},
        {421, "GET /metrics HTTP/1.1\r\nHost: localhost.\r\n\r\n"},
        {421, "GET /metrics HTTP/1.1\r\nHost: [::2]\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost:\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost:65536\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost:8o\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost:\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost : localhost\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\nHost: localhost\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: \x01\r\n\r\n"},
        {400, "GET  /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {400, "GET /metrics\r\nHost: localhost\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1 \r\nHost: localhost\r\n\r\n"},
        {400, "\r\n\r\n"},
        {505, "GET /metrics HTTP/2.0\r\nHost: localhost\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (judge(cases[i].text) != cases[i].status)
            fail_msg("%u instead of %u: %s", judge(cases[i].text), cases[i].status, cases[i].text);
    }
}

static void less_than_a_request_is_waited_for(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(GOOD); n++)
        assert_int_equal(kith_metrics_http_judge(kith_bytes_of(GOOD, n)), 0);
}

static void no_wrong_byte_is_read_beyond_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < strlen(GOOD); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t *copy = malloc(strlen(GOOD));
            memcpy(copy, GOOD, strlen(GOOD));
            copy[i] ^= (uint8_t)(1u << bit);
            unsigned status = kith_metrics_http_judge(kith_bytes_of(copy, strlen(GOOD)));
            assert_true(status == 0 || status >= 200);
            free(copy);
        }
    }
}

/* A request of exactly so many bytes. */
static void request_of(size_t len, char *out)
{
    static const char head[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ";
    memset(out, 'x', len);
    memcpy(out, head, sizeof head - 1);
    memcpy(out + len - 4, "\r\n\r\n", 4);
}

static void a_request_s_length_has_a_cap(void **state)
{
    (void)state;
    char text[KITH_METRICS_HTTP_HEAD + 1];
    request_of(KITH_METRICS_HTTP_HEAD, text);
    assert_int_equal(kith_metrics_http_judge(kith_bytes_of(text, KITH_METRICS_HTTP_HEAD)), 200);
    request_of(KITH_METRICS_HTTP_HEAD + 1, text);
    assert_int_equal(kith_metrics_http_judge(kith_bytes_of(text, KITH_METRICS_HTTP_HEAD - 1)), 0);
    assert_int_equal(kith_metrics_http_judge(kith_bytes_of(text, KITH_METRICS_HTTP_HEAD)), 431);
    assert_int_equal(kith_metrics_http_judge(kith_bytes_of(text, KITH_METRICS_HTTP_HEAD + 1)), 431);
}

static void it_listens_on_loopback_alone(void **state)
{
    (void)state;
    struct sockaddr_storage at;
    static const char *const good[] = {"127.0.0.1:9464", "127.1.2.3:0", "[::1]:65535"};
    static const char *const bad[] = {
        "",     "127.0.0.1",    "127.0.0.1:",     "127.0.0.1:65536", ":9464",        "[::1]",       "::1:80",
        "[::1", "localhost:80", "[127.0.0.1]:80", "1:2:3:4",         "127.0.0.1:-1", "127.0.0.1:1 "};
    static const char *const far[] = {"0.0.0.0:9464",       "[::]:9464",    "10.0.0.1:80",
                                      "126.255.255.255:80", "128.0.0.1:80", "[::ffff:127.0.0.1]:80",
                                      "[fe80::1]:80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(kith_metrics_http_addr(good[i], &at));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(strstr(kith_metrics_http_addr(bad[i], &at), "an address and a port"));
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        assert_non_null(strstr(kith_metrics_http_addr(far[i], &at), "loopback"));
}

/* ---- with clients ---- */

typedef struct server {
    uv_loop_t loop;
    kith_metrics_http *http;
    struct sockaddr_storage at;
    unsigned asked;
    bool none;
} server;

static char *make_text(void *ctx)
{
    server *s = ctx;
    s->asked++;
    return s->none ? NULL : strdup("a 1\n# EOF\n");
}

static void open_server(server *s, unsigned ms)
{
    char bound[KITH_METRICS_HTTP_ADDR_MAX + 1];
    *s = (server){0};
    uv_loop_init(&s->loop);
    assert_null(kith_metrics_http_addr("127.0.0.1:0", &s->at));
    kith_metrics_http_config cfg = {.text = make_text, .ctx = s, .ms = ms};
    assert_int_equal(kith_metrics_http_open(&s->loop, &s->at, &cfg, &s->http, bound), 0);
    assert_null(kith_metrics_http_addr(bound, &s->at));
}

static void close_server(server *s)
{
    kith_metrics_http_close(s->http);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
}

static int join(const server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&s->at, sizeof(struct sockaddr_in)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Everything until the end of the connection; closes it. */
static const char *hear(server *s, int fd)
{
    static char text[4096];
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        len += n > 0 ? (size_t)n : 0;
        uv_run(&s->loop, UV_RUN_NOWAIT);
    }
    text[len] = '\0';
    close(fd);
    return text;
}

static void an_answer_has_its_type_and_length(void **state)
{
    (void)state;
    server s;
    open_server(&s, 0);
    int fd = join(&s);
    say(fd, GOOD);
    const char *text = hear(&s, fd);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(
        strstr(text, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 10\r\n"));
    assert_non_null(strstr(text, "\r\n\r\na 1\n# EOF\n"));
    close_server(&s);
}

static void a_request_may_come_in_pieces_and_be_followed(void **state)
{
    (void)state;
    server s;
    open_server(&s, 0);
    int fd = join(&s);
    for (const char *c = GOOD; *c; c++) {
        say(fd, (char[]){*c, '\0'});
        uv_run(&s.loop, UV_RUN_NOWAIT);
    }
    say(fd, GOOD);
    shutdown(fd, SHUT_WR);
    assert_non_null(strstr(hear(&s, fd), "200 OK"));
    assert_int_equal(s.asked, 1);
    close_server(&s);
}

static void a_refused_request_makes_no_text(void **state)
{
    (void)state;
    server s;
    open_server(&s, 0);
    int fd = join(&s);
    say(fd, "PUT /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const char *text = hear(&s, fd);
    assert_non_null(strstr(text, "HTTP/1.1 405 Method Not Allowed\r\n"));
    assert_non_null(strstr(text, "\r\nAllow: GET\r\n"));
    fd = join(&s);
    say(fd, "GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    assert_non_null(strstr(hear(&s, fd), "HTTP/1.1 421 "));
    assert_int_equal(s.asked, 0);
    s.none = true;
    fd = join(&s);
    say(fd, GOOD);
    assert_non_null(strstr(hear(&s, fd), "HTTP/1.1 503 "));
    close_server(&s);
}

static void clients_have_a_cap(void **state)
{
    (void)state;
    server s;
    int fd[KITH_METRICS_HTTP_CLIENTS + 1];
    open_server(&s, 1000000);
    for (size_t i = 0; i < KITH_METRICS_HTTP_CLIENTS; i++)
        fd[i] = join(&s);
    for (int i = 0; i < 50; i++)
        uv_run(&s.loop, UV_RUN_NOWAIT);
    int late = join(&s);
    assert_string_equal(hear(&s, late), ""); /* nobody asked it anything */
    say(fd[KITH_METRICS_HTTP_CLIENTS - 1], GOOD);
    assert_non_null(strstr(hear(&s, fd[KITH_METRICS_HTTP_CLIENTS - 1]), "200 OK"));
    for (int i = 0; i < 50; i++)
        uv_run(&s.loop, UV_RUN_NOWAIT);
    late = join(&s);
    say(late, GOOD);
    assert_non_null(strstr(hear(&s, late), "200 OK"));
    for (size_t i = 0; i < KITH_METRICS_HTTP_CLIENTS - 1; i++)
        close(fd[i]);
    close_server(&s);
}

static void who_stalls_is_cut_off(void **state)
{
    (void)state;
    server s;
    open_server(&s, 20);
    int silent = join(&s), half = join(&s), deaf = join(&s);
    say(half, "GET /metrics HTTP/1.1\r\n");
    say(deaf, GOOD); /* and never closes */
    assert_string_equal(hear(&s, silent), "");
    assert_string_equal(hear(&s, half), "");
    char byte;
    while (send(deaf, "x", 1, MSG_NOSIGNAL) == 1 || errno == EAGAIN)
        uv_run(&s.loop, UV_RUN_NOWAIT);
    while (read(deaf, &byte, 1) == 1)
        ;
    close(deaf);
    close_server(&s);
}

static void closing_cuts_everybody_off(void **state)
{
    (void)state;
    server s;
    open_server(&s, 1000000);
    int fd = join(&s), other = join(&s);
    say(other, GOOD);
    for (int i = 0; i < 50; i++)
        uv_run(&s.loop, UV_RUN_NOWAIT);
    close_server(&s); /* its loop comes to an end */
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_judged_by_its_first_fault),
        cmocka_unit_test(less_than_a_request_is_waited_for),
        cmocka_unit_test(no_wrong_byte_is_read_beyond_the_end),
        cmocka_unit_test(a_request_s_length_has_a_cap),
        cmocka_unit_test(it_listens_on_loopback_alone),
        cmocka_unit_test(an_answer_has_its_type_and_length),
        cmocka_unit_test(a_request_may_come_in_pieces_and_be_followed),
        cmocka_unit_test(a_refused_request_makes_no_text),
        cmocka_unit_test(clients_have_a_cap),
        cmocka_unit_test(who_stalls_is_cut_off),
        cmocka_unit_test(closing_cuts_everybody_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
