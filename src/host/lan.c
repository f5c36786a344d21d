/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Interfaces, multicast sockets, and who of the peers on them is connected to. */
#include "host/lan.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/met.h"
#include "host/netnews.h"
#include "mesh/mdns.h"

#define SCAN_MS 2000       /* between two looks at the interfaces */
#define SCAN_TOLD_MS 15000 /* where the system tells of changes */
#define SETTLE_MS 20       /* from a change to the look: they come in bursts */
#define GIVE_WAY \
    KITH_SEC(1) /* of two that find each other the one with the greater peer id lets the other dial first */
#define RETRY_MIN KITH_SEC(2)
#define RETRY_MAX KITH_SEC(300)

/* One family's socket on one interface. Freed by its close callback. */
typedef struct port {
    uv_udp_t udp;
    kith_lan *lan;
    uint32_t on;
} port;

typedef struct wire {
    kith_mdns_link l; /* id 0: free */
    port *v4, *v6;
    bool seen; /* in this scan */
} wire;

typedef struct neighbour {
    kith_link link;
    kith_peer_id peer;
    char interface[KITH_MDNS_ZONE_MAX + 1];
} neighbour;

struct kith_lan {
    kith_lan_config cfg;
    kith_mdns *mdns;
    wire wires[KITH_MDNS_LINKS_MAX];
    kith_list neighbours, watches, seeks;
    size_t looking;   /* of the watches, and all seeks */
    size_t published; /* keys */
    bool present;     /* somewhere others can reach us */
    kith_met *met;
    uv_timer_t timer, scan;
    bool staying, closed, pumping, again, warned;
    kith_netnews *news; /* NULL: none */
    uint8_t in[KITH_DNS_MSG_MAX + 1];
};

static void pump(kith_lan *l);

/* ---- sockets ---- */

static const uint8_t group4[4] = {224, 0, 0, 251}; /* RFC 6762, 3 */
static const uint8_t group6[16] = {0xff, 0x02, [15] = 0xfb};

static socklen_t group_addr(int family, uint32_t on, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(KITH_MDNS_PORT);
        memcpy(&in->sin_addr, group4, sizeof group4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (void *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(KITH_MDNS_PORT);
    in->sin6_scope_id = on;
    memcpy(&in->sin6_addr, group6, sizeof group6);
    return sizeof *in;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Only what comes to the group on this interface, whoever else has joined what on this machine. */
static bool join4(int fd, uint32_t on)
{
    struct ip_mreqn group = {.imr_ifindex = (int)on};
    memcpy(&group.imr_multiaddr, group4, sizeof group4);
#ifdef IP_MULTICAST_ALL
    (void)set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
#endif
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group) == 0 &&
           set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 255) && set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
}

static bool join6(int fd, uint32_t on)
{
    struct ipv6_mreq group = {.ipv6mr_interface = on};
    memcpy(&group.ipv6mr_multiaddr, group6, sizeof group6);
#ifdef IPV6_MULTICAST_ALL
    (void)set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
#endif
    return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) == 0 &&
           set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)on) &&
           set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255) && set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
}

/* Bound to the group and not to any address: it takes nothing from others on this port (an avahi, a browser), who
 * get what is sent to this machine alone; and nothing comes from beyond the link. The descriptor, or -errno. */
static int group_socket(int family, uint32_t on)
{
    struct sockaddr_storage at;
    socklen_t len = group_addr(family, on, &at);
    int fd = socket(family, SOCK_DGRAM, 0);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || !set(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
        !set(fd, SOL_SOCKET, SO_REUSEPORT, 1) ||
        (family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
        bind(fd, (const struct sockaddr *)&at, len) || !(family == AF_INET ? join4(fd, on) : join6(fd, on))) {
        int e = -errno;
        close(fd);
        return e;
    }
    return fd;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    kith_lan *l = ((port *)handle->data)->lan;
    *buf = uv_buf_init((char *)l->in, sizeof l->in);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                        unsigned flags)
{
    const port *p = udp->data;
    kith_lan *l = p->lan;
    kith_bytes ip = {0};
    if (n <= 0 || !from || (flags & UV_UDP_PARTIAL) || l->closed)
        return;
    if (from->sa_family == AF_INET)
        ip = kith_bytes_of(&((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    else if (from->sa_family == AF_INET6)
        ip = kith_bytes_of(&((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    kith_mdns_recv(l->mdns, kith_host_now(l->cfg.host), p->on, ip, kith_bytes_of(buf->base, (size_t)n));
    pump(l);
}

static void on_port_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void port_close(port **p)
{
    if (*p)
        uv_close((uv_handle_t *)&(*p)->udp, on_port_closed);
    *p = NULL;
}

/* NULL: *e says why. */
static port *port_open(kith_lan *l, int family, uint32_t on, int *e)
{
    int fd = group_socket(family, on);
    port *p = fd < 0 ? NULL : calloc(1, sizeof *p);
    *e = fd < 0 ? fd : UV_ENOMEM;
    if (!p || (*e = uv_udp_init(kith_host_loop(l->cfg.host), &p->udp))) {
        free(p);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    p->lan = l;
    p->on = on;
    p->udp.data = p;
    *e = uv_udp_open(&p->udp, fd);
    if (*e)
        close(fd);
    else
        *e = uv_udp_recv_start(&p->udp, on_alloc, on_datagram);
    if (*e)
        port_close(&p);
    return p;
}

static void port_send(port *p, int family, uint8_t *packet, size_t len)
{
    struct sockaddr_storage to;
    uv_buf_t b = uv_buf_init((char *)packet, (unsigned)len);
    if (!p)
        return;
    (void)group_addr(family, p->on, &to);
    (void)uv_udp_try_send(&p->udp, &b, 1, (const struct sockaddr *)&to); /* lost, as any packet may be */
}

/* ---- interfaces ---- */

static wire *find_wire(kith_lan *l, uint32_t id)
{
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        if (l->wires[i].l.id == id)
            return &l->wires[i];
    }
    return NULL;
}

static void wire_close(kith_lan *l, wire *w)
{
    kith_mdns_link_down(l->mdns, kith_host_now(l->cfg.host), w->l.id);
    port_close(&w->v4);
    port_close(&w->v6);
    *w = (wire){0};
}

static uint8_t prefix_of(kith_bytes mask)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < mask.len; i++) {
        for (uint8_t b = mask.p[i]; b & 0x80; b = (uint8_t)(b << 1))
            bits++;
    }
    return bits;
}

static kith_bytes bytes_of(const struct sockaddr *a, int family)
{
    if (!a)
        return (kith_bytes){0};
    return family == AF_INET ? kith_bytes_of(&((const struct sockaddr_in *)(const void *)a)->sin_addr, 4)
                             : kith_bytes_of(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
}

static bool takes_multicast(const struct ifaddrs *i)
{
    const unsigned need = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
    return i->ifa_addr && (i->ifa_flags & need) == need && !(i->ifa_flags & IFF_LOOPBACK) &&
           (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6);
}

static void add_ip(kith_mdns_link *found, const struct ifaddrs *i)
{
    int family = i->ifa_addr->sa_family;
    kith_bytes ip = bytes_of(i->ifa_addr, family);
    if (found->ip_count == KITH_MDNS_IPS_MAX)
        return;
    kith_mdns_ip *out = &found->ips[found->ip_count++];
    *out = (kith_mdns_ip){.len = (uint8_t)ip.len, .prefix = prefix_of(bytes_of(i->ifa_netmask, family))};
    memcpy(out->b, ip.p, ip.len);
}

/* The interfaces as they are now. */
static size_t look(kith_mdns_link found[KITH_MDNS_LINKS_MAX])
{
    size_t n = 0;
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all))
        return 0;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        uint32_t id = takes_multicast(i) ? if_nametoindex(i->ifa_name) : 0;
        size_t at = 0;
        while (at < n && found[at].id != id)
            at++;
        if (!id || at == KITH_MDNS_LINKS_MAX)
            continue;
        if (at == n) {
            found[n++] = (kith_mdns_link){.id = id};
            snprintf(found[at].name, sizeof found[at].name, "%s", i->ifa_name);
        }
        add_ip(&found[at], i);
    }
    freeifaddrs(all);
    return n;
}

/* Where we are dialled on a link. An IPv6 link-local address is the last resort, since whoever dials it needs the
 * name of an interface of its own. */
static void add_addrs(const kith_lan *l, kith_mdns_link *found)
{
    for (int resort = 0; resort < 2 && (resort == 0 || found->addr_count == 0); resort++) {
        for (size_t i = 0; i < found->ip_count; i++) {
            const kith_mdns_ip *ip = &found->ips[i];
            bool local = ip->len == 16 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
            if (local == (resort == 1))
                found->addr_count += kith_host_addrs_at(l->cfg.host, kith_bytes_of(ip->b, ip->len),
                                                        found->addrs + found->addr_count,
                                                        KITH_MDNS_ADDRS_MAX - found->addr_count);
        }
    }
}

static bool has_family(const kith_mdns_link *link, uint8_t len)
{
    bool found = false;
    for (size_t i = 0; i < link->ip_count; i++)
        found |= link->ips[i].len == len;
    return found;
}

static void warn(kith_lan *l, const char *interface, int e)
{
    char line[256];
    snprintf(line, sizeof line, "cannot look for peers on %s: %s", interface, uv_strerror(e));
    if (!l->warned && l->cfg.log)
        l->cfg.log(l->cfg.log_ctx, line);
    l->warned = true;
}

/* A link that is new, has changed, or is as before. A family whose addresses are there only now, or not ready yet,
 * gets its socket when they are. */
static void wire_up(kith_lan *l, const kith_mdns_link *found)
{
    int e = 0;
    wire *w = find_wire(l, found->id);
    if (!w && !(w = find_wire(l, 0)))
        return;
    if (!w->v4 && has_family(found, 4))
        w->v4 = port_open(l, AF_INET, found->id, &e);
    if (!w->v6 && has_family(found, 16))
        w->v6 = port_open(l, AF_INET6, found->id, &e);
    if (!w->v4 && !w->v6) {
        warn(l, found->name, e);
        return;
    }
    w->l = *found;
    w->seen = true;
    if (kith_mdns_link_up(l->mdns, kith_host_now(l->cfg.host), found))
        wire_close(l, w);
}

static void send_all(kith_lan *l)
{
    uint8_t packet[KITH_MDNS_PACKET_MAX];
    uint32_t link;
    size_t n;
    while ((n = kith_mdns_send(l->mdns, kith_host_now(l->cfg.host), &link,
                               kith_span_of(packet, sizeof packet))) > 0) {
        const wire *w = find_wire(l, link);
        if (w)
            port_send(w->v4, AF_INET, packet, n);
        if (w)
            port_send(w->v6, AF_INET6, packet, n);
    }
}

/* Nobody wants the links any more, as when this machine stops listening: who was told of us hears a goodbye while there
 * are sockets. */
static void say_goodbye(kith_lan *l, const kith_mdns_link *found, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wire *w = find_wire(l, found[i].id);
        if (w &&
            kith_mdns_link_up(l->mdns, kith_host_now(l->cfg.host), &found[i])) /* where nothing is offered */
            wire_close(l, w);
    }
    send_all(l);
}

static void rescan(kith_lan *l)
{
    static kith_mdns_link found[KITH_MDNS_LINKS_MAX]; /* large for a stack; one thread scans */
    size_t n = look(found);
    l->present = false;
    for (size_t i = 0; i < n && (l->staying || l->published > 0); i++) {
        add_addrs(l, &found[i]);
        l->present |= found[i].addr_count > 0;
    }
    kith_met_want(l->met, l->staying && l->present ? l->cfg.connect : 0);
    bool wanted = l->present || l->looking > 0;
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++)
        l->wires[i].seen = false;
    for (size_t i = 0; i < n && wanted; i++)
        wire_up(l, &found[i]);
    if (!wanted)
        say_goodbye(l, found, n);
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        if (l->wires[i].l.id && !l->wires[i].seen)
            wire_close(l, &l->wires[i]);
    }
    kith_mdns_browse(l->mdns, kith_host_now(l->cfg.host), wanted);
    if (!l->staying && l->published == 0 && !wanted)
        uv_timer_stop(&l->scan);
}

static void on_scan(uv_timer_t *t)
{
    kith_lan *l = t->data;
    rescan(l);
    pump(l);
}

static void plan_scan(kith_lan *l, uint64_t after)
{
    uint64_t every = l->news ? SCAN_TOLD_MS : SCAN_MS;
    if (!l->closed)
        uv_timer_start(&l->scan, on_scan, after, every);
}

static void on_news(void *ctx)
{
    kith_lan *l = ctx;
    if (uv_is_active((uv_handle_t *)&l->scan))
        plan_scan(l, SETTLE_MS);
}

/* ---- neighbours ---- */

static neighbour *find_neighbour(const kith_lan *l, const kith_peer_id *peer)
{
    KITH_EACH (&l->neighbours, k) {
        neighbour *n = KITH_OF(k, neighbour, link);
        if (kith_peer_id_eq(&n->peer, peer))
            return n;
    }
    return NULL;
}

/* One that was known may have another address now. */
static void on_found(kith_lan *l, const kith_mdns_event *ev)
{
    const kith_peer_id *self = kith_node_id(kith_host_node(l->cfg.host));
    const wire *w = find_wire(l, ev->link);
    kith_time now = kith_host_now(l->cfg.host);
    kith_peer_id peer = ev->peer;
    kith_maddr at[KITH_LAN_ADDRS_MAX];
    kith_addrs addrs = {0};
    kith_addrs_pack(&addrs, at, kith_mdns_addrs(l->mdns, &peer, at, KITH_LAN_ADDRS_MAX));
    bool first = kith_bytes_cmp(kith_peer_id_bytes(self), kith_peer_id_bytes(&peer)) < 0;
    (void)kith_met_add(l->met, &peer, &addrs, first ? now : now + GIVE_WAY, KITH_NEVER);
    neighbour *n = find_neighbour(l, &peer) ? NULL : calloc(1, sizeof *n);
    if (!n)
        return;
    n->peer = peer;
    if (w)
        memcpy(n->interface, w->l.name, sizeof n->interface);
    kith_list_push(&l->neighbours, &n->link);
    KITH_EACH (&l->watches, k) {
        kith_lan_watch *watch = KITH_OF(k, kith_lan_watch, link);
        watch->found(watch->ctx, &peer, n->interface);
    }
}

static void on_lost(kith_lan *l, const kith_mdns_event *ev)
{
    kith_maddr any;
    neighbour *n = find_neighbour(l, &ev->peer);
    if (!n || kith_mdns_addrs(l->mdns, &ev->peer, &any, 1) > 0)
        return; /* it is still there on another link */
    kith_met_drop(l->met, &ev->peer);
    kith_link_remove(&n->link);
    free(n);
    KITH_EACH (&l->watches, k) {
        kith_lan_watch *watch = KITH_OF(k, kith_lan_watch, link);
        if (watch->lost)
            watch->lost(watch->ctx, &ev->peer);
    }
}

static bool seeks(const kith_lan_seek *s, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    bool does = false;
    for (size_t i = 0; i < s->count; i++)
        does |= memcmp(s->keys[i], key, KITH_MDNS_KEY_LEN) == 0;
    return does;
}

static void on_holds(kith_lan *l, const kith_mdns_event *ev)
{
    KITH_EACH (&l->seeks, k) {
        kith_lan_seek *s = KITH_OF(k, kith_lan_seek, link);
        if (seeks(s, ev->key))
            s->found(s->ctx, &ev->peer);
    }
}

/* ---- the drive ---- */

static void on_timer(uv_timer_t *t)
{
    pump(t->data);
}

static void on_changed(void *ctx)
{
    pump(ctx);
}

static void pump(kith_lan *l)
{
    kith_mdns_event ev;
    kith_time next = KITH_NEVER;
    l->again = true;
    if (l->pumping)
        return; /* from inside a callback of it */
    l->pumping = true;
    while (l->again) {
        l->again = false;
        kith_mdns_tick(l->mdns, kith_host_now(l->cfg.host));
        while (kith_mdns_next(l->mdns, &ev)) {
            switch (ev.kind) {
            case KITH_MDNS_FOUND:
                on_found(l, &ev);
                break;
            case KITH_MDNS_HOLDS:
                on_holds(l, &ev);
                break;
            case KITH_MDNS_LOST:
                on_lost(l, &ev);
                break;
            }
        }
        send_all(l);
        next = kith_time_min(kith_met_tick(l->met), kith_mdns_deadline(l->mdns));
    }
    l->pumping = false;
    if (l->closed)
        return;
    if (next == KITH_NEVER) {
        uv_timer_stop(&l->timer);
        return;
    }
    kith_time now = kith_host_now(l->cfg.host);
    uv_update_time(kith_host_loop(l->cfg.host));
    uv_timer_start(&l->timer, on_timer, next > now ? (next - now) / 1000000u + 1 : 0, 0);
}

/* ---- life ---- */

kith_lan *kith_lan_new(const kith_lan_config *cfg)
{
    kith_lan *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->cfg = *cfg;
    l->mdns = kith_mdns_new(kith_host_env(), kith_node_id(kith_host_node(cfg->host)));
    l->met = kith_met_new(&(kith_met_config){.host = cfg->host,
                                             .trust = cfg->trust,
                                             .retry_min = RETRY_MIN,
                                             .retry_max = RETRY_MAX,
                                             .changed = on_changed,
                                             .ctx = l});
    if (!l->mdns || !l->met) {
        kith_mdns_free(l->mdns);
        kith_met_close(l->met);
        kith_met_free(l->met);
        free(l);
        return NULL;
    }
    kith_list_init(&l->neighbours);
    kith_list_init(&l->watches);
    kith_list_init(&l->seeks);
    uv_timer_init(kith_host_loop(cfg->host), &l->timer);
    uv_timer_init(kith_host_loop(cfg->host), &l->scan);
    l->timer.data = l->scan.data = l;
    return l;
}

/* The interfaces are of interest from now on. */
static void begin(kith_lan *l)
{
    if (!l->news)
        l->news = kith_netnews_open(kith_host_loop(l->cfg.host), on_news, l);
    plan_scan(l, SCAN_MS);
    rescan(l);
}

void kith_lan_avoid(kith_lan *l, bool (*avoid)(void *ctx, const kith_peer_id *peer), void *ctx)
{
    kith_met_avoid(l->met, avoid, ctx);
}

void kith_lan_stay(kith_lan *l)
{
    if (l->closed)
        return;
    l->staying = true;
    begin(l);
    pump(l);
}

bool kith_lan_overhear(kith_lan *l, kith_lan_watch *w)
{
    w->looking = false;
    if (!l->closed)
        kith_list_push(&l->watches, &w->link);
    return !l->closed;
}

bool kith_lan_look(kith_lan *l, kith_lan_watch *w)
{
    if (!kith_lan_overhear(l, w))
        return false;
    w->looking = true;
    l->looking++;
    begin(l);
    kith_mdns_ask(l->mdns, kith_host_now(l->cfg.host));
    pump(l);
    return true;
}

void kith_lan_look_away(kith_lan *l, kith_lan_watch *w)
{
    if (!kith_link_in(&w->link))
        return;
    kith_link_remove(&w->link);
    l->looking -= w->looking;
    if (l->looking == 0 && !l->present)
        plan_scan(l, 0); /* which closes the sockets; this may be a callback of theirs */
}

bool kith_lan_publish(kith_lan *l, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    if (l->closed || kith_mdns_publish(l->mdns, kith_host_now(l->cfg.host), key))
        return false;
    if (l->published++ == 0)
        begin(l);
    pump(l);
    return true;
}

void kith_lan_unpublish(kith_lan *l, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    if (l->closed || !kith_mdns_unpublish(l->mdns, key))
        return;
    if (--l->published == 0)
        plan_scan(l, 0);
}

/* Those that nobody else seeks are not asked for any more. */
static void unseek(kith_lan *l, const kith_lan_seek *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool others = false;
        KITH_EACH (&l->seeks, k)
            others |= seeks(KITH_OF(k, kith_lan_seek, link), s->keys[i]);
        if (!others)
            kith_mdns_unseek(l->mdns, s->keys[i]);
    }
}

bool kith_lan_seek_begin(kith_lan *l, kith_lan_seek *s)
{
    for (size_t i = 0; i < s->count && !l->closed; i++) {
        if (kith_mdns_seek(l->mdns, kith_host_now(l->cfg.host), s->keys[i])) {
            unseek(l, s, i);
            return false;
        }
    }
    if (l->closed)
        return false;
    kith_list_push(&l->seeks, &s->link);
    l->looking++;
    begin(l);
    pump(l);
    return true;
}

void kith_lan_seek_end(kith_lan *l, kith_lan_seek *s)
{
    if (!kith_link_in(&s->link))
        return;
    kith_link_remove(&s->link);
    unseek(l, s, s->count);
    l->looking--;
    if (l->looking == 0 && !l->present)
        plan_scan(l, 0);
}

void kith_lan_close(kith_lan *l)
{
    if (!l || l->closed)
        return;
    kith_mdns_leave(l->mdns, kith_host_now(l->cfg.host));
    send_all(l);
    l->closed = true;
    kith_met_close(l->met);
    for (kith_link *k; (k = kith_list_pop(&l->watches));) {
        kith_lan_watch *w = KITH_OF(k, kith_lan_watch, link);
        w->closed(w->ctx);
    }
    while (kith_list_pop(&l->seeks))
        l->looking--;
    for (size_t i = 0; i < KITH_MDNS_LINKS_MAX; i++) {
        port_close(&l->wires[i].v4);
        port_close(&l->wires[i].v6);
    }
    kith_netnews_close(l->news);
    l->news = NULL;
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->scan, NULL);
}

void kith_lan_free(kith_lan *l)
{
    if (!l)
        return;
    for (kith_link *k; (k = kith_list_pop(&l->neighbours));)
        free(KITH_OF(k, neighbour, link));
    kith_met_free(l->met);
    kith_mdns_free(l->mdns);
    free(l);
}

const kith_peer_id *kith_lan_next(const kith_lan *l, const kith_peer_id *prev, const char **interface)
{
    const neighbour *before = prev ? find_neighbour(l, prev) : NULL;
    kith_link *k = before ? kith_list_next(&l->neighbours, &before->link) : kith_list_first(&l->neighbours);
    if (!k)
        return NULL;
    const neighbour *n = KITH_OF(k, neighbour, link);
    if (interface)
        *interface = n->interface;
    return &n->peer;
}

size_t kith_lan_addrs(const kith_lan *l, const kith_peer_id *peer, kith_maddr *out, size_t max)
{
    return l ? kith_mdns_addrs(l->mdns, peer, out, max) : 0;
}
