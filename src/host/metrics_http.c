/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The listener, its clients, and the little of HTTP that they need. */
#include "host/metrics_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "host/metrics.h"

typedef struct client {
    kith_link link;
    struct kith_metrics_http *http;
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned open; /* handles */
    uv_write_t write;
    uv_shutdown_t shutdown;
    char *answer;
    bool answered, eof, shut;
    size_t len;
    char in[KITH_METRICS_HTTP_HEAD];
} client;

struct kith_metrics_http {
    uv_tcp_t tcp;
    kith_metrics_http_config cfg;
    kith_list clients;
    size_t count;
    bool closing, closed;
};

/* ---- addresses ---- */

/* host without port and brackets. */
static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (uv_inet_pton(AF_INET, host, &four) == 0)
        return ((const uint8_t *)&four)[0] == 127;
    return uv_inet_pton(AF_INET6, host, &six) == 0 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* "127.0.0.1:80", "[::1]:80", "localhost": takes the port off; -1: there is none; false: it cannot be. */
static bool split(kith_bytes text, char host[64], int *port)
{
    const uint8_t *end = text.p + text.len, *at = text.p;
    bool bracket = text.len > 0 && *at == '[';
    size_t len = 0;
    at += bracket;
    while (at < end && *at != (bracket ? ']' : ':') && *at != '\0' && len < 63)
        host[len++] = (char)*at++;
    host[len] = '\0';
    *port = -1;
    if (bracket && (at == end || *at++ != ']' || !strchr(host, ':')))
        return false;
    if (len == 0 || at == end)
        return len > 0;
    if (*at++ != ':' || at == end || end - at > 5)
        return false;
    for (*port = 0; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *port = *port * 10 + (*at - '0');
    }
    return *port <= 65535;
}

const char *kith_metrics_http_addr(const char *text, struct sockaddr_storage *out)
{
    char host[64];
    int port;
    if (!split(kith_bytes_str(text), host, &port) || port < 0 ||
        (uv_ip4_addr(host, port, (struct sockaddr_in *)out) &&
         uv_ip6_addr(host, port, (struct sockaddr_in6 *)out)))
        return "an address and a port; write it like 127.0.0.1:9464 or [::1]:9464";
    return is_loopback(host)
               ? NULL
               : "an address of loopback (metrics are for this machine alone); write it like 127.0.0.1:9464";
}

/* ---- requests ---- */

static bool is_token(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool name_is(kith_bytes name, const char *wanted)
{
    if (name.len != strlen(wanted))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if ((name.p[i] | 0x20) != wanted[i])
            return false;
    }
    return true;
}

/* The next line without its CRLF. False: it has a lone CR or LF, or another control character. */
static bool next_line(kith_bytes *in, kith_bytes *line)
{
    size_t n = 0;
    while (n < in->len && (in->p[n] >= ' ' || in->p[n] == '\t') && in->p[n] != 0x7f)
        n++;
    *line = kith_bytes_of(in->p, n);
    if (in->len - n < 2 || in->p[n] != '\r' || in->p[n + 1] != '\n')
        return false;
    *in = kith_bytes_skip(*in, n + 2);
    return true;
}

static kith_bytes word(kith_bytes *line)
{
    const uint8_t *space = line->len ? memchr(line->p, ' ', line->len) : NULL;
    size_t n = space ? (size_t)(space - line->p) : line->len;
    kith_bytes w = kith_bytes_of(line->p, n);
    *line = kith_bytes_skip(*line, space ? n + 1 : n);
    return w;
}

/* The Host header's value; 0: fine. */
static unsigned judge_host(kith_bytes value)
{
    char host[64];
    int port;
    while (value.len > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = kith_bytes_skip(value, 1);
    while (value.len > 0 && (value.p[value.len - 1] == ' ' || value.p[value.len - 1] == '\t'))
        value.len--;
    if (!split(value, host, &port))
        return 400;
    return is_loopback(host) || name_is(kith_bytes_str(host), "localhost") ? 0 : 421;
}

/* in ends with the empty line. */
static unsigned judge_head(kith_bytes in)
{
    kith_bytes line;
    if (!next_line(&in, &line))
        return 400;
    kith_bytes method = word(&line), target = word(&line), version = line;
    for (size_t i = 0; i < method.len; i++) {
        if (!is_token(method.p[i]))
            return 400;
    }
    if (method.len == 0 || target.len == 0 || version.len != 8 || memcmp(version.p, "HTTP/", 5) != 0)
        return 400;
    if (!kith_bytes_eq_str(version, "HTTP/1.1") && !kith_bytes_eq_str(version, "HTTP/1.0"))
        return 505;
    unsigned hosts = 0, wrong = 0;
    while (in.len > 2) {
        if (!next_line(&in, &line))
            return 400;
        kith_bytes name = line;
        name.len = 0;
        while (name.len < line.len && is_token(line.p[name.len]))
            name.len++;
        if (name.len == 0 || name.len == line.len || line.p[name.len] != ':')
            return 400;
        if (name_is(name, "host")) {
            hosts++;
            wrong = judge_host(kith_bytes_skip(line, name.len + 1));
        }
    }
    if (hosts != 1 || wrong)
        return hosts == 1 ? wrong : 400;
    if (!kith_bytes_eq_str(method, "GET"))
        return 405;
    const uint8_t *query = memchr(target.p, '?', target.len);
    target.len = query ? (size_t)(query - target.p) : target.len;
    return kith_bytes_eq_str(target, "/metrics") ? 200 : 404;
}

unsigned kith_metrics_http_judge(kith_bytes in)
{
    for (size_t n = 4; n <= in.len && n <= KITH_METRICS_HTTP_HEAD; n++) {
        if (memcmp(in.p + n - 4, "\r\n\r\n", 4) == 0)
            return judge_head(kith_bytes_of(in.p, n));
    }
    return in.len < KITH_METRICS_HTTP_HEAD ? 0 : 431;
}

/* ---- clients ---- */

static void release(kith_metrics_http *m)
{
    if (m->closed && m->count == 0)
        free(m);
}

static void on_client_closed(uv_handle_t *handle)
{
    client *c = handle->data;
    if (--c->open > 0)
        return;
    kith_metrics_http *m = c->http;
    kith_link_remove(&c->link);
    m->count--;
    free(c->answer);
    free(c);
    release(m);
}

static void drop(client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    uv_close((uv_handle_t *)&c->tcp, on_client_closed);
    uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static void on_late(uv_timer_t *t)
{
    drop(t->data);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    client *c = req->data;
    c->shut = true;
    if (status || c->eof)
        drop(c);
}

static void on_written(uv_write_t *req, int status)
{
    client *c = req->data;
    c->shutdown.data = c;
    if (status || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut))
        drop(c);
}

static const char *reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "HTTP Version Not Supported";
    }
}

static void answer(client *c, unsigned status)
{
    char *text = status == 200 ? c->http->cfg.text(c->http->cfg.ctx) : NULL;
    if (status == 200 && !text)
        status = 503;
    char said[64];
    snprintf(said, sizeof said, "%u %s\n", status, reason(status));
    const char *body = text ? text : said;
    size_t room = strlen(body) + 512;
    c->answer = malloc(room);
    c->answered = true;
    if (!c->answer) {
        free(text);
        drop(c);
        return;
    }
    int n =
        snprintf(c->answer, room,
                 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s",
                 status, reason(status), text ? KITH_METRICS_TYPE : "text/plain; charset=utf-8", strlen(body),
                 status == 405 ? "Allow: GET\r\n" : "", body);
    free(text);
    uv_buf_t buf = uv_buf_init(c->answer, (unsigned)n);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written))
        drop(c);
}

/* What comes after the request is read and dropped until the client closes: closing before would take the answer from it. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    client *c = handle->data;
    *out = c->answered ? uv_buf_init(c->in, sizeof c->in)
                       : uv_buf_init(c->in + c->len, (unsigned)(sizeof c->in - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    client *c = stream->data;
    c->eof |= n == UV_EOF;
    if (n < 0 && (n != UV_EOF || !c->answered || c->shut)) {
        drop(c);
        return;
    }
    if (n <= 0 || c->answered)
        return;
    c->len += (size_t)n;
    unsigned status = kith_metrics_http_judge(kith_bytes_of(c->in, c->len));
    if (status)
        answer(c, status);
}

static void on_connection(uv_stream_t *server, int status)
{
    kith_metrics_http *m = server->data;
    client *c = status ? NULL : calloc(1, sizeof *c);
    if (!c)
        return;
    c->http = m;
    c->tcp.data = c->timer.data = c;
    c->open = 2;
    kith_list_push(&m->clients, &c->link);
    m->count++;
    uv_tcp_init(server->loop, &c->tcp);
    uv_timer_init(server->loop, &c->timer);
    if (uv_accept(server, (uv_stream_t *)&c->tcp) || m->count > KITH_METRICS_HTTP_CLIENTS ||
        uv_timer_start(&c->timer, on_late, m->cfg.ms, 0) ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read))
        drop(c);
}

/* ---- life ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    kith_metrics_http *m = handle->data;
    m->closed = true;
    release(m);
}

static int bound_to(kith_metrics_http *m, char text[KITH_METRICS_HTTP_ADDR_MAX + 1])
{
    struct sockaddr_storage at;
    int len = sizeof at;
    char host[48];
    int e = uv_tcp_getsockname(&m->tcp, (struct sockaddr *)&at, &len);
    if (e)
        return e;
    bool six = at.ss_family == AF_INET6;
    uint16_t port = six ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port;
    e = uv_ip_name((struct sockaddr *)&at, host, sizeof host);
    snprintf(text, KITH_METRICS_HTTP_ADDR_MAX + 1, six ? "[%s]:%u" : "%s:%u", host, (unsigned)ntohs(port));
    return e;
}

int kith_metrics_http_open(uv_loop_t *loop, const struct sockaddr_storage *at,
                           const kith_metrics_http_config *cfg, kith_metrics_http **out,
                           char bound[KITH_METRICS_HTTP_ADDR_MAX + 1])
{
    kith_metrics_http *m = calloc(1, sizeof *m);
    if (!m)
        return UV_ENOMEM;
    m->cfg = *cfg;
    m->cfg.ms = cfg->ms ? cfg->ms : KITH_METRICS_HTTP_MS;
    kith_list_init(&m->clients);
    uv_tcp_init(loop, &m->tcp);
    m->tcp.data = m;
    int e = uv_tcp_bind(&m->tcp, (const struct sockaddr *)at, 0);
    if (!e)
        e = uv_listen((uv_stream_t *)&m->tcp, KITH_METRICS_HTTP_CLIENTS, on_connection);
    if (!e)
        e = bound_to(m, bound);
    if (e) {
        uv_close((uv_handle_t *)&m->tcp, on_listener_closed);
        return e;
    }
    *out = m;
    return 0;
}

void kith_metrics_http_close(kith_metrics_http *m)
{
    if (!m || m->closing)
        return;
    m->closing = true;
    KITH_EACH (&m->clients, k)
        drop(KITH_OF(k, client, link));
    uv_close((uv_handle_t *)&m->tcp, on_listener_closed);
}
