/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names by c-ares on the loop: dns, dns4, dns6 and dnsaddr become addresses that can be dialled. libp2p addressing spec. */
#define CARES_NO_DEPRECATED 1
#include <ares.h>
#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_impl.h"

#define RESULTS_MAX 32 /* addresses taken from one name */
#define LOOKUP_MS 5000 /* per try */

typedef struct dns_poll {
    uv_poll_t poll;
    kith_link link;
    struct dns *dns;
    ares_socket_t fd;
} dns_poll;

typedef struct dns {
    kith_host *host;
    ares_channel channel;
    uv_timer_t timer;
    kith_list polls;
} dns;

typedef struct query {
    kith_link link; /* host->lookups */
    kith_host *host;
    uint64_t id;
    kith_maddr addr;
    kith_maddr found[RESULTS_MAX];
    size_t count;
} query;

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer(uv_timer_t *t)
{
    dns *d = t->data;
    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    dns_poll *w = p->data;
    dns *d = w->dns;
    ares_socket_t fd = w->fd; /* w may be closed by what follows */
    bool broken = status < 0;
    ares_process_fd(d->channel, broken || (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                    broken || (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
}

static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    dns *d = ctx;
    dns_poll *w = NULL;
    KITH_EACH (&d->polls, k) {
        dns_poll *x = KITH_OF(k, dns_poll, link);
        if (x->fd == fd)
            w = x;
    }
    if (!readable && !writable) {
        if (w) {
            kith_link_remove(&w->link);
            uv_close((uv_handle_t *)&w->poll, on_poll_closed);
        }
        if (kith_list_empty(&d->polls))
            uv_timer_stop(&d->timer);
        return;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w)
            return; /* the query runs into its time-out */
        w->dns = d;
        w->fd = fd;
        w->poll.data = w;
        if (uv_poll_init_socket(&d->host->loop, &w->poll, fd)) {
            free(w);
            return;
        }
        kith_list_push(&d->polls, &w->link);
        if (!uv_is_active((uv_handle_t *)&d->timer))
            uv_timer_start(&d->timer, on_timer, 500, 500);
    }
    uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

static dns *dns_get(kith_host *h)
{
    if (h->dns)
        return h->dns;
    if (ares_library_init(ARES_LIB_INIT_ALL))
        return NULL;
    dns *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->host = h;
    kith_list_init(&d->polls);
    struct ares_options opt = {
        .timeout = LOOKUP_MS, .tries = 2, .sock_state_cb = on_state, .sock_state_cb_data = d};
    if (ares_init_options(&d->channel, &opt, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB)) {
        free(d);
        return NULL;
    }
    if (h->cfg.dns && h->cfg.dns[0] && ares_set_servers_ports_csv(d->channel, h->cfg.dns)) {
        kith_host_log_(h, "dns: '%s' is not a list of name servers like 10.0.0.1,[::1]:5353", h->cfg.dns);
        ares_destroy(d->channel);
        free(d);
        return NULL;
    }
    uv_timer_init(&h->loop, &d->timer);
    uv_unref((uv_handle_t *)&d->timer);
    d->timer.data = d;
    h->dns = d;
    return d;
}

void kith_dns_close_(kith_host *h)
{
    dns *d = h->dns;
    if (!d)
        return;
    h->dns = NULL;
    ares_destroy(d->channel); /* ends every query with ARES_EDESTRUCTION */
    ares_library_cleanup();
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

/* ---- answers ---- */

static void answer(query *q, kith_err err)
{
    kith_host *h = q->host;
    kith_link_remove(&q->link);
    if (!h->closed) {
        kith_node_resolved(h->node, kith_host_now(h), q->id, q->found, q->count, q->count ? KITH_OK : err);
        kith_host_kick(h);
    }
    free(q);
}

static kith_err err_of(int status)
{
    return status == ARES_ETIMEOUT || status == ARES_ECONNREFUSED ? KITH_ETIMEOUT : KITH_ENOTFOUND;
}

/* The looked-up address with its first component replaced by an ip. */
static void add_ip(query *q, kith_bytes ip)
{
    kith_maddr_part part;
    size_t at = 0;
    kith_maddr a = {0};
    if (q->count == RESULTS_MAX || kith_maddr_add(&a, ip.len == 4 ? KITH_MA_IP4 : KITH_MA_IP6, ip))
        return;
    (void)kith_maddr_next(&q->addr, &at, &part);
    while (kith_maddr_next(&q->addr, &at, &part)) {
        if (kith_maddr_add(&a, part.code, part.value))
            return;
    }
    q->found[q->count++] = a;
}

static void on_addrinfo(void *ctx, int status, int timeouts, struct ares_addrinfo *res)
{
    (void)timeouts;
    query *q = ctx;
    for (struct ares_addrinfo_node *n = res ? res->nodes : NULL; n; n = n->ai_next) {
        if (n->ai_family == AF_INET)
            add_ip(q, kith_bytes_of(&((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr, 4));
        else if (n->ai_family == AF_INET6)
            add_ip(q, kith_bytes_of(&((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr, 16));
    }
    if (res)
        ares_freeaddrinfo(res);
    answer(q, err_of(status));
}

/* TXT records "dnsaddr=<multiaddr>"; those that end in another peer than the one asked for are left out. */
static void on_txt(void *ctx, int status, int timeouts, unsigned char *reply, int len)
{
    (void)timeouts;
    query *q = ctx;
    kith_peer_id wanted;
    bool named = kith_maddr_peer(&q->addr, &wanted);
    struct ares_txt_reply *txt = NULL;
    if (status == ARES_SUCCESS)
        status = ares_parse_txt_reply(reply, len, &txt);
    for (struct ares_txt_reply *t = txt; t && q->count < RESULTS_MAX; t = t->next) {
        static const char key[] = "dnsaddr=";
        kith_bytes text = kith_bytes_of(t->txt, t->length);
        kith_peer_id peer;
        if (text.len <= sizeof key - 1 || memcmp(text.p, key, sizeof key - 1) != 0)
            continue;
        kith_maddr *a = &q->found[q->count];
        if (kith_maddr_from_text(kith_bytes_skip(text, sizeof key - 1), a, NULL))
            continue;
        if (named && kith_maddr_peer(a, &peer) && !kith_peer_id_eq(&peer, &wanted))
            continue;
        q->count++;
    }
    if (txt)
        ares_free_data(txt);
    answer(q, err_of(status));
}

/* localhost and names below it. RFC 6761, 6.3: they are always this machine, and nobody is asked. */
static bool is_localhost(kith_bytes name)
{
    static const char local[] = "localhost";
    size_t len = sizeof local - 1;
    if (name.len > 0 && name.p[name.len - 1] == '.')
        name.len--;
    if (name.len < len || (name.len > len && name.p[name.len - len - 1] != '.'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((name.p[name.len - len + i] | 0x20) != local[i])
            return false;
    }
    return true;
}

static void add_loopback(query *q, kith_maddr_host family)
{
    static const uint8_t ip4[4] = {127, 0, 0, 1}, ip6[16] = {[15] = 1};
    if (family != KITH_HOST_DNS4)
        add_ip(q, kith_bytes_of(ip6, sizeof ip6));
    if (family != KITH_HOST_DNS6)
        add_ip(q, kith_bytes_of(ip4, sizeof ip4));
}

void kith_dns_resolve_(kith_host *h, uint64_t resolve_id, const kith_maddr *addr)
{
    kith_maddr_tcp t;
    char name[300];
    query *q = calloc(1, sizeof *q);
    bool good = q && kith_maddr_to_tcp(addr, &t) == KITH_OK && t.value.len <= 253;
    bool local = good && t.host != KITH_HOST_DNSADDR && is_localhost(t.value);
    dns *d = good && !local ? dns_get(h) : NULL;
    if (!local && !d) {
        free(q);
        kith_node_resolved(h->node, kith_host_now(h), resolve_id, NULL, 0, KITH_ENOTFOUND);
        return;
    }
    q->host = h;
    q->id = resolve_id;
    q->addr = *addr;
    kith_list_push(&h->lookups, &q->link);
    if (local) {
        add_loopback(q, t.host);
        answer(q, KITH_ENOTFOUND);
        return;
    }
    if (t.host == KITH_HOST_DNSADDR) {
        static const char prefix[] = "_dnsaddr.";
        memcpy(name, prefix, sizeof prefix - 1);
        memcpy(name + sizeof prefix - 1, t.value.p, t.value.len);
        name[sizeof prefix - 1 + t.value.len] = '\0';
        ares_query(d->channel, name, 1 /* IN */, 16 /* TXT */, on_txt, q);
        return;
    }
    memcpy(name, t.value.p, t.value.len);
    name[t.value.len] = '\0';
    struct ares_addrinfo_hints hints = {
        .ai_family = t.host == KITH_HOST_DNS4   ? AF_INET
                     : t.host == KITH_HOST_DNS6 ? AF_INET6
                                                : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT,
    };
    ares_getaddrinfo(d->channel, name, NULL, &hints, on_addrinfo, q);
}
