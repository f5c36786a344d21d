/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Metrics over HTTP/1.1 on loopback, for collectors that cannot speak to the control socket: GET /metrics, one request a connection.
 *
 * Whoever has an account on this machine can read them. A web page cannot: the Host header must name loopback, or the page of a name that was
 * made to lead here (DNS rebinding) would be of the same origin.
 *
 * Caps: KITH_METRICS_HTTP_CLIENTS at once (more are closed at once), KITH_METRICS_HTTP_HEAD bytes of a request, KITH_METRICS_HTTP_MS from accept
 * to the end. */
#ifndef KITH_HOST_METRICS_HTTP_H
#define KITH_HOST_METRICS_HTTP_H

#include <uv.h>

#include "base/bytes.h"

#define KITH_METRICS_HTTP_CLIENTS 8
#define KITH_METRICS_HTTP_HEAD 4096
#define KITH_METRICS_HTTP_MS 5000
#define KITH_METRICS_HTTP_ADDR_MAX 63 /* bytes of "127.0.0.1:9464" */

typedef struct kith_metrics_http kith_metrics_http;

/* "127.0.0.1:9464", "[::1]:9464"; port 0 picks one. NULL: it can be listened on; else what it is not: "an address and a port", static. */
const char *kith_metrics_http_addr(const char *text, struct sockaddr_storage *out);

/* What a request gets: 0: more of it is needed; 200, or an error's status. */
unsigned kith_metrics_http_judge(kith_bytes in);

typedef struct kith_metrics_http_config {
    char *(*text)(void *ctx); /* makes an answer, to be freed; NULL: none now */
    void *ctx;
    unsigned ms; /* 0: KITH_METRICS_HTTP_MS */
} kith_metrics_http_config;

/* 0, or a uv error. bound: the address with its real port. */
int kith_metrics_http_open(uv_loop_t *loop, const struct sockaddr_storage *at,
                           const kith_metrics_http_config *cfg, kith_metrics_http **out,
                           char bound[KITH_METRICS_HTTP_ADDR_MAX + 1]);
/* Cuts everybody off; the loop must run on. NULL is fine. */
void kith_metrics_http_close(kith_metrics_http *m);

#endif
