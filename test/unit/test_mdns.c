/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mDNS: several machines on links in virtual time; what others send, byte for byte as they send it; and every cap. */
#include "mesh/mdns.h"

#include <stdio.h>

#include "support.h"

#define ETH 3 /* the index of the link */

/* ---- one machine, and what it was told ---- */

typedef struct node {
    kith_mdns *m;
    kith_peer_id id;
    uint8_t ip[4];
    size_t found, lost, holds, queries, answers, sent_bytes;
    kith_mdns_event last;
    kith_time first_found;
} node;

static kith_mdns_link link_of(const uint8_t ip[4], bool dialled)
{
    kith_mdns_link l = {.id = ETH, .name = "eth0", .ip_count = 1};
    l.ips[0] = (kith_mdns_ip){.len = 4, .prefix = 24};
    memcpy(l.ips[0].b, ip, 4);
    if (dialled)
        kith_maddr_from_tcp(kith_bytes_of(ip, 4), 9000, &l.addrs[l.addr_count++]);
    return l;
}

static void node_init(node *n, const kith_env *env, unsigned number)
{
    *n = (node){.id = support_peer(number), .ip = {192, 168, 1, (uint8_t)number}};
    n->m = kith_mdns_new(env, &n->id);
    assert_non_null(n->m);
}

static void node_up(node *n, kith_time now)
{
    kith_mdns_link l = link_of(n->ip, true);
    kith_mdns_browse(n->m, now, true);
    assert_int_equal(kith_mdns_link_up(n->m, now, &l), KITH_OK);
}

static void listen_to(node *n, kith_time now)
{
    kith_mdns_event ev;
    while (kith_mdns_next(n->m, &ev)) {
        n->last = ev;
        n->found += ev.kind == KITH_MDNS_FOUND;
        n->lost += ev.kind == KITH_MDNS_LOST;
        n->holds += ev.kind == KITH_MDNS_HOLDS;
        if (n->found == 1 && ev.kind == KITH_MDNS_FOUND)
            n->first_found = now;
    }
    kith_mdns_check(n->m);
}

/* ---- a network ---- */

/* Hands what one says to all, itself too, as a group does; until the time. */
static void run(node *nodes, size_t count, kith_time *now, kith_time until)
{
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    while (*now <= until) {
        kith_time next = until + 1;
        for (size_t i = 0; i < count; i++) {
            uint32_t link;
            kith_mdns_tick(nodes[i].m, *now);
            for (size_t n;
                 (n = kith_mdns_send(nodes[i].m, *now, &link, kith_span_of(buf, sizeof buf))) > 0;) {
                assert_int_equal(link, ETH);
                assert_true(n <= KITH_MDNS_PACKET_MAX);
                nodes[i].sent_bytes += n;
                if (buf[2] & 0x80)
                    nodes[i].answers++;
                else
                    nodes[i].queries++;
                for (size_t k = 0; k < count; k++)
                    kith_mdns_recv(nodes[k].m, *now, ETH, kith_bytes_of(nodes[i].ip, 4),
                                   kith_bytes_of(buf, n));
            }
        }
        for (size_t i = 0; i < count; i++) {
            listen_to(&nodes[i], *now);
            next = kith_time_min(next, kith_mdns_deadline(nodes[i].m));
        }
        *now = next;
    }
    *now = until;
}

static void three_nodes_find_each_other_within_a_quarter_second(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[3];
    kith_time now = KITH_SEC(5);
    for (unsigned i = 0; i < 3; i++) {
        node_init(&n[i], env, i + 1);
        node_up(&n[i], now);
    }
    run(n, 3, &now, now + KITH_MS(250));
    for (unsigned i = 0; i < 3; i++) {
        char text[KITH_MADDR_TEXT_MAX + 1];
        assert_int_equal(n[i].found, 2);
        assert_int_equal(n[i].last.link, ETH);
        assert_int_equal(n[i].last.count, 1);
        char want[64];
        unsigned who = 0;
        while (!kith_peer_id_eq(&n[i].last.peer, &n[who].id))
            who++;
        assert_true(who != i);
        snprintf(want, sizeof want, "/ip4/192.168.1.%u/tcp/9000", who + 1);
        kith_maddr_text(&n[i].last.addrs[0], text);
        assert_string_equal(text, want);
    }
    /* In an hour everybody stays, and little is said: a query a minute each, and answers to all of them. */
    size_t queries = n[0].queries;
    run(n, 3, &now, now + KITH_SEC(3600));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(n[i].found, 2);
        assert_int_equal(n[i].lost, 0);
        assert_in_range(n[i].queries - queries, 55, 68);
        assert_true(n[i].answers < 4 * 68);
        kith_mdns_free(n[i].m);
    }
    support_heap_check(&heap);
}

static void a_latecomer_is_found_at_once(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[2];
    kith_time now = 0;
    node_init(&n[0], env, 1);
    node_init(&n[1], env, 2);
    node_up(&n[0], now);
    run(n, 2, &now, KITH_SEC(1000)); /* its queries are a minute apart now */
    node_up(&n[1], now);
    run(n, 2, &now, now + KITH_MS(250));
    assert_int_equal(n[0].found, 1);
    assert_int_equal(n[1].found, 1);
    kith_mdns_free(n[0].m);
    kith_mdns_free(n[1].m);
}

static void who_leaves_is_lost_in_a_second_and_who_is_cut_off_after_a_while(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[3];
    kith_time now = 0;
    for (unsigned i = 0; i < 3; i++) {
        node_init(&n[i], env, i + 1);
        node_up(&n[i], now);
    }
    run(n, 3, &now, KITH_SEC(10));
    kith_mdns_leave(n[2].m, now);
    run(n, 3, &now, now + KITH_MS(1010));
    assert_int_equal(n[0].lost, 1);
    assert_true(kith_peer_id_eq(&n[0].last.peer, &n[2].id));
    assert_true(kith_mdns_deadline(n[2].m) > now + KITH_SEC(60)); /* it says nothing any more */
    size_t said = n[2].sent_bytes;
    kith_mdns_ask(n[2].m, now);
    run(n, 3, &now, now + KITH_SEC(10));
    assert_int_equal(n[2].sent_bytes, said);
    /* The second falls silent. */
    run(n, 1, &now, now + KITH_MDNS_KEPT);
    assert_int_equal(n[0].lost, 2);
    assert_int_equal(kith_mdns_stats_of(n[0].m).peers, 0);
    /* And comes back. */
    kith_mdns_free(n[2].m);
    node_init(&n[2], env, 2);
    node_up(&n[2], now);
    node both[2] = {n[0], n[2]};
    run(both, 2, &now, now + KITH_MS(250));
    assert_int_equal(both[0].found, 3);
    kith_mdns_free(n[0].m);
    kith_mdns_free(n[1].m);
    kith_mdns_free(n[2].m);
}

static void a_link_that_goes_takes_its_peers_along(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[2];
    kith_time now = 0;
    for (unsigned i = 0; i < 2; i++) {
        node_init(&n[i], env, i + 1);
        node_up(&n[i], now);
    }
    run(n, 2, &now, KITH_SEC(10));
    kith_mdns_link_down(n[0].m, now, ETH);
    kith_mdns_link_down(n[0].m, now, ETH + 1);
    listen_to(&n[0], now);
    assert_int_equal(n[0].lost, 1);
    assert_true(kith_mdns_deadline(n[0].m) > now + KITH_SEC(60));
    node_up(&n[0], now);
    run(n, 2, &now, now + KITH_MS(1250)); /* the other answered lately: it waits out its second */
    assert_int_equal(n[0].found, 2);
    kith_mdns_free(n[0].m);
    kith_mdns_free(n[1].m);
}

static void a_new_address_is_a_new_name_and_is_told(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[2];
    kith_time now = 0;
    for (unsigned i = 0; i < 2; i++) {
        node_init(&n[i], env, i + 1);
        node_up(&n[i], now);
    }
    run(n, 2, &now, KITH_SEC(10));
    kith_mdns_link l = link_of(n[1].ip, true);
    assert_int_equal(kith_mdns_link_up(n[1].m, now, &l), KITH_OK); /* nothing new */
    run(n, 2, &now, now + KITH_MS(250));
    assert_int_equal(n[0].found, 1);
    l.addrs[0].b[l.addrs[0].len - 1]++;
    assert_int_equal(kith_mdns_link_up(n[1].m, now, &l), KITH_OK);
    run(n, 2, &now, now + KITH_MS(250));
    assert_int_equal(n[0].found, 2);
    assert_int_equal(n[0].last.count, 2);
    run(n, 2, &now, now + KITH_SEC(200)); /* the old one is forgotten, and nobody is lost */
    assert_int_equal(n[0].lost, 0);
    l.addr_count = 0; /* it does not listen there any more */
    assert_int_equal(kith_mdns_link_up(n[1].m, now, &l), KITH_OK);
    run(n, 2, &now, now + KITH_MS(1100));
    assert_int_equal(n[0].lost, 1);
    kith_mdns_free(n[0].m);
    kith_mdns_free(n[1].m);
}

/* ---- what others send ---- */

/* A message under construction, on behalf of somebody else. */
typedef struct talk {
    kith_dns_wr w;
    uint8_t buf[4096];
    kith_dns_name service, instance;
} talk;

static void talk_begin(talk *t, uint16_t flags, const char *label)
{
    assert_int_equal(kith_dns_name_of(KITH_MDNS_SERVICE, &t->service), KITH_OK);
    assert_int_equal(kith_dns_name_join(kith_bytes_str(label), &t->service, &t->instance), KITH_OK);
    kith_dns_begin(&t->w, kith_span_of(t->buf, sizeof t->buf), flags);
}

static void talk_ptr(talk *t, uint32_t ttl)
{
    kith_dns_put_record(&t->w, KITH_DNS_ANSWER, &t->service, KITH_DNS_PTR, ttl);
    kith_dns_put_name(&t->w, &t->instance);
    kith_dns_end_record(&t->w);
}

/* With the peer's /p2p behind each address that does not begin with '!'. */
static void talk_txt(talk *t, uint32_t ttl, const kith_peer_id *id, const char *const *addrs, size_t count)
{
    char p2p[KITH_PEER_ID_TEXT_MAX + 1], text[400];
    kith_peer_id_text(id, p2p);
    kith_dns_put_record(&t->w, KITH_DNS_ADDITIONAL, &t->instance, KITH_DNS_TXT, ttl);
    for (size_t i = 0; i < count; i++) {
        if (addrs[i][0] == '!')
            snprintf(text, sizeof text, "%s", addrs[i] + 1);
        else
            snprintf(text, sizeof text, "dnsaddr=%s/p2p/%s", addrs[i], p2p);
        kith_dns_put_string(&t->w, kith_bytes_str(text));
    }
    kith_dns_end_record(&t->w);
}

static void talk_to(talk *t, node *n, kith_time now, const char *from)
{
    uint8_t ip[4] = {192, 168, 1, (uint8_t)atoi(from)};
    kith_bytes msg = kith_dns_finish(&t->w);
    assert_true(msg.len > 0);
    kith_mdns_recv(n->m, now, ETH, kith_bytes_of(ip, 4), msg);
    listen_to(n, now);
}

static void claim_from(node *n, kith_time now, const char *from, unsigned number, const char *addr)
{
    kith_peer_id id = support_peer(number);
    char label[64];
    talk t;
    snprintf(label, sizeof label, "peer%u", number);
    talk_begin(&t, 0x8400, label);
    talk_ptr(&t, 120);
    talk_txt(&t, 120, &id, &addr, 1);
    talk_to(&t, n, now, from);
}

static void only_addresses_on_the_link_are_kept(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static const char *const addrs[] = {
        "/ip4/127.0.0.1/tcp/1",               /* loopback */
        "/ip4/10.0.0.5/tcp/2",                /* private, elsewhere */
        "/ip4/8.8.8.8/tcp/3",                 /* public */
        "/dns4/example.com/tcp/4",            /* a name */
        "/ip4/192.168.1.66/tcp/5",            /* here */
        "/ip4/224.0.0.251/tcp/6",             /* a group */
        "!dnsaddr=/ip4/192.168.1.67/tcp/7",   /* of nobody */
        "!dnsaddr=/ip4/192.168.1.68/tcp/x",   /* broken */
        "!DNSADDR=/ip4/192.168.1.68/tcp/9",   /* another attribute */
        "!dnsaddr=",                          /* empty */
        "/ip6/fe80::1/tcp/10",                /* link-local: with our zone */
        "/ip6/2001:db8:1::1/tcp/11",          /* documentation */
        "/ip6/2600:1:2:3::5/tcp/12",          /* public, and in our /64 */
        "/ip6/2600:1:2:4::5/tcp/13",          /* public, not in it */
        "/ip4/169.254.3.4/udp/14/quic-v1",    /* link-local, another transport */
        "/ip6zone/enp3s0/ip6/fe80::2/tcp/15", /* the zone of somebody else */
        "/ip4/192.168.1.9/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit", /* a relay */
    };
    node n;
    talk t;
    kith_peer_id id = support_peer(7);
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, true);
    l.ips[l.ip_count] = (kith_mdns_ip){.len = 16, .prefix = 64};
    memcpy(l.ips[l.ip_count++].b, "\x26\0\0\1\0\2\0\3\0\0\0\0\0\0\0\1", 16);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    talk_begin(&t, 0x8400, "x");
    talk_txt(&t, 120, &id, addrs, sizeof addrs / sizeof *addrs);
    talk_to(&t, &n, 1, "66");
    static const char *const want[] = {"/ip4/192.168.1.66/tcp/5", "/ip6zone/eth0/ip6/fe80::1/tcp/10",
                                       "/ip6/2600:1:2:3::5/tcp/12", "/ip4/169.254.3.4/udp/14/quic-v1",
                                       "/ip6zone/eth0/ip6/fe80::2/tcp/15"};
    assert_int_equal(n.found, 1);
    assert_int_equal(n.last.count, sizeof want / sizeof *want);
    for (size_t i = 0; i < n.last.count; i++) {
        char text[KITH_MADDR_TEXT_MAX + 1];
        kith_maddr_text(&n.last.addrs[i], text);
        assert_string_equal(text, want[i]);
    }
    /* A private address that is not of the network, but that the packet came from: networks may be nested. */
    const char *own = "/ip4/10.0.0.5/tcp/2";
    talk_begin(&t, 0x8400, "x");
    talk_txt(&t, 120, &id, &own, 1);
    kith_mdns_recv(n.m, 2, ETH, kith_bytes_of("\x0a\0\0\5", 4), kith_dns_finish(&t.w));
    listen_to(&n, 2);
    assert_int_equal(n.found, 2);
    assert_int_equal(n.last.count, 6);
    kith_mdns_free(n.m);
}

static void a_record_is_about_one_peer_and_never_about_us(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    char text[2][128], p2p[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id a = support_peer(7), b = support_peer(8);
    node n;
    talk t;
    node_init(&n, env, 1);
    node_up(&n, 0);
    kith_peer_id_text(&a, p2p);
    snprintf(text[0], sizeof text[0], "!dnsaddr=/ip4/192.168.1.7/tcp/1/p2p/%s", p2p);
    kith_peer_id_text(&b, p2p);
    snprintf(text[1], sizeof text[1], "!dnsaddr=/ip4/192.168.1.8/tcp/1/p2p/%s", p2p);
    const char *both[] = {text[0], text[1]}, *one = "/ip4/192.168.1.9/tcp/1";
    talk_begin(&t, 0x8400, "x");
    talk_txt(&t, 120, &a, both, 2);
    talk_to(&t, &n, 1, "7");
    assert_int_equal(n.found, 1);
    assert_true(kith_peer_id_eq(&n.last.peer, &a));
    assert_int_equal(n.last.count, 1);
    /* Each record on its own: rust-libp2p writes one for each address. */
    talk_begin(&t, 0x8400, "x");
    talk_txt(&t, 120, &b, &both[1], 1);
    talk_txt(&t, 120, &b, &one, 1);
    talk_to(&t, &n, 2, "8");
    assert_true(kith_peer_id_eq(&n.last.peer, &b));
    assert_int_equal(n.last.count, 2);
    /* Somebody who claims to be us, and what is no answer at all. */
    size_t found = n.found;
    talk_begin(&t, 0x8400, "x");
    talk_txt(&t, 120, &n.id, &one, 1);
    talk_to(&t, &n, 3, "9");
    talk_begin(&t, 0, "x"); /* in a query */
    talk_txt(&t, 120, &(kith_peer_id){0}, NULL, 0);
    talk_to(&t, &n, 3, "9");
    a = support_peer(10);
    talk_begin(&t, 0x8400 | 3, "x"); /* with an error */
    talk_txt(&t, 120, &a, &one, 1);
    talk_to(&t, &n, 3, "9");
    talk_begin(&t, 0x8400 | 0x0800, "x"); /* another operation */
    talk_txt(&t, 120, &a, &one, 1);
    talk_to(&t, &n, 3, "9");
    talk_begin(&t, 0x8400, "x"); /* of another service */
    assert_int_equal(kith_dns_name_of("x._ipp._tcp.local", &t.instance), KITH_OK);
    talk_txt(&t, 120, &a, &one, 1);
    talk_to(&t, &n, 3, "9");
    talk_begin(&t, 0x8400, "x"); /* on a link that we do not know */
    talk_txt(&t, 120, &a, &one, 1);
    kith_mdns_recv(n.m, 3, ETH + 1, kith_bytes_of(n.ip, 4), kith_dns_finish(&t.w));
    listen_to(&n, 3);
    assert_int_equal(n.found, found);
    assert_int_equal(kith_mdns_stats_of(n.m).broken, 0);
    kith_mdns_recv(n.m, 3, ETH, kith_bytes_of(n.ip, 4), kith_bytes_of("no dns", 6));
    assert_int_equal(kith_mdns_stats_of(n.m).broken, 1);
    kith_mdns_free(n.m);
}

/* rust-libp2p 0.57 names its records outside of the service, anew in each answer. */
static void a_name_elsewhere_counts_when_a_pointer_leads_there(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    uint32_t link;
    const char *addr = "/ip4/192.168.1.7/tcp/1";
    kith_peer_id id = support_peer(7);
    node n;
    talk t;
    node_init(&n, env, 1);
    node_up(&n, 0);
    for (int led = 0; led < 2; led++) {
        talk_begin(&t, 0x8400, "x");
        assert_int_equal(kith_dns_name_of("ddAJjkDkHzUfLG6PSFpWlZ8baCzEwXfsZEcgRMBK", &t.instance), KITH_OK);
        if (led)
            talk_ptr(&t, 360);
        talk_txt(&t, 360, &id, &addr, 1);
        talk_to(&t, &n, KITH_SEC(1), "7");
        assert_int_equal(n.found, led);
    }
    /* It is no answer that could be known next time, and its goodbye would be nobody's. */
    kith_dns_rd r;
    kith_mdns_browse(n.m, KITH_SEC(2), false);
    kith_mdns_browse(n.m, KITH_SEC(2), true);
    size_t len = 0;
    for (size_t more; (more = kith_mdns_send(n.m, KITH_SEC(3), &link, kith_span_of(buf, sizeof buf))) > 0;)
        len = buf[2] & 0x80 ? len : more;
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(buf, len)), KITH_OK);
    assert_int_equal(r.left[KITH_DNS_QUESTION], 1);
    assert_int_equal(r.left[KITH_DNS_ANSWER], 0);
    talk_begin(&t, 0x8400, "x");
    assert_int_equal(kith_dns_name_of("other", &t.instance), KITH_OK);
    talk_ptr(&t, 0);
    talk_txt(&t, 0, &id, &addr, 1);
    talk_to(&t, &n, KITH_SEC(3), "7");
    kith_mdns_tick(n.m, KITH_SEC(5));
    listen_to(&n, KITH_SEC(5));
    assert_int_equal(n.lost, 0);
    kith_mdns_free(n.m);
}

static void a_goodbye_counts_only_from_who_came(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    /* Who claims it comes from 9 and is at 7, as one whose IPv6 packets were first and now come from elsewhere. */
    static const char *const takers[] = {"9", "7"};
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++) {
        node n;
        talk t;
        node_init(&n, env, 1);
        node_up(&n, 0);
        claim_from(&n, 1, "9", 7, "/ip4/192.168.1.7/tcp/1");
        talk_begin(&t, 0x8400, "peer7");
        talk_ptr(&t, 0);
        talk_to(&t, &n, 2, "8");
        kith_mdns_tick(n.m, KITH_SEC(2));
        listen_to(&n, KITH_SEC(2));
        assert_int_equal(n.lost, 0);
        talk_to(&t, &n, KITH_SEC(2), takers[i]);
        kith_mdns_tick(n.m, KITH_SEC(3));
        listen_to(&n, KITH_SEC(3));
        assert_int_equal(n.lost, 1);
        kith_mdns_free(n.m);
    }
}

static void a_ttl_is_kept_to_but_not_for_long(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    static const struct {
        uint32_t ttl;
        kith_time kept;
    } cases[] = {
        {10, KITH_SEC(10)}, {150, KITH_SEC(150)}, {3200, KITH_SEC(150)}, {UINT32_MAX, KITH_SEC(150)}};
    const char *addr = "/ip4/192.168.1.7/tcp/1";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kith_peer_id id = support_peer(7);
        node n;
        talk t;
        node_init(&n, env, 1);
        kith_mdns_link l = link_of(n.ip, false);
        assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
        talk_begin(&t, 0x8400, "x");
        talk_txt(&t, cases[i].ttl, &id, &addr, 1);
        talk_to(&t, &n, 0, "7");
        assert_true(kith_mdns_deadline(n.m) == cases[i].kept);
        kith_mdns_tick(n.m, cases[i].kept - 1);
        listen_to(&n, 0);
        assert_int_equal(n.lost, 0);
        kith_mdns_tick(n.m, cases[i].kept);
        listen_to(&n, 0);
        assert_int_equal(n.lost, 1);
        assert_true(kith_mdns_deadline(n.m) == KITH_NEVER);
        kith_mdns_free(n.m);
    }
}

/* ---- answers ---- */

/* What it says at this time; the last packet stays in buf. */
static size_t said(node *n, kith_time now, uint8_t buf[KITH_MDNS_PACKET_MAX])
{
    size_t count = 0;
    uint32_t link;
    kith_mdns_tick(n->m, now);
    while (kith_mdns_send(n->m, now, &link, kith_span_of(buf, KITH_MDNS_PACKET_MAX)) > 0)
        count++;
    return count;
}

static void ask_for(talk *t, const kith_dns_name *name, uint16_t type)
{
    kith_dns_begin(&t->w, kith_span_of(t->buf, sizeof t->buf), 0);
    kith_dns_put_question(&t->w, name, type);
}

/* The last answer in buf: its PTR's target, and how many records of each kind. */
static kith_dns_name look_at(const uint8_t *buf, size_t len, size_t count[5])
{
    kith_dns_rd r;
    kith_dns_item item;
    kith_dns_name target = {0};
    memset(count, 0, 5 * sizeof *count);
    assert_int_equal(kith_dns_open(&r, kith_bytes_of(buf, len)), KITH_OK);
    assert_int_equal(r.flags, 0x8400);
    while (kith_dns_next(&r, &item)) {
        if (item.type == KITH_DNS_PTR)
            target = item.target;
        count[0] += item.type == KITH_DNS_PTR;
        count[1] += item.type == KITH_DNS_SRV;
        count[2] += item.type == KITH_DNS_A;
        count[3] += item.type == KITH_DNS_AAAA;
        count[4] += item.type == KITH_DNS_TXT;
    }
    return target;
}

static void answers_are_delayed_joined_and_once_a_second(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    size_t count[5];
    uint32_t link;
    node n;
    talk t;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, true);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    kith_time now = KITH_SEC(10);
    assert_int_equal(said(&n, now, buf), 1); /* that it is there; it does not browse, and so asks nothing */
    talk_begin(&t, 0, "x");
    ask_for(&t, &t.service, KITH_DNS_PTR);
    now += KITH_SEC(2);
    for (int i = 0; i < 50; i++) /* many ask at once */
        talk_to(&t, &n, now, "7");
    kith_time at = kith_mdns_deadline(n.m);
    assert_in_range(at - now, KITH_MS(20), KITH_MS(120));
    assert_int_equal(said(&n, at - 1, buf), 0);
    size_t len = kith_mdns_send(n.m, at, &link, kith_span_of(buf, sizeof buf));
    kith_dns_name instance = look_at(buf, len, count);
    assert_int_equal(count[0] + count[1] + count[2] + count[4], 4);
    assert_int_equal(count[3], 0);
    /* And again, at once: the answer waits until its second is over. */
    talk_to(&t, &n, at + 1, "7");
    assert_in_range(kith_mdns_deadline(n.m), at + KITH_SEC(1), at + KITH_SEC(1));
    assert_int_equal(said(&n, at + KITH_SEC(1) - 1, buf), 0);
    assert_int_equal(said(&n, at + KITH_SEC(1), buf), 1);
    /* Everything that the specification lists is answered, and nothing else. */
    static const uint16_t types[] = {KITH_DNS_TXT, KITH_DNS_SRV, KITH_DNS_ANY};
    for (size_t i = 0; i < 3; i++) {
        now += KITH_SEC(5);
        ask_for(&t, &instance, types[i]);
        talk_to(&t, &n, now, "7");
        assert_int_equal(said(&n, now + KITH_MS(120), buf), 1);
    }
    now += KITH_SEC(5);
    ask_for(&t, &t.service, KITH_DNS_TXT);
    talk_to(&t, &n, now, "7");
    kith_dns_name other;
    assert_int_equal(kith_dns_name_of("_ipp._tcp.local", &other), KITH_OK);
    ask_for(&t, &other, KITH_DNS_PTR);
    talk_to(&t, &n, now, "7");
    assert_int_equal(said(&n, now + KITH_SEC(1), buf), 0);
    assert_int_equal(kith_dns_name_of("_services._dns-sd._udp.local", &other), KITH_OK);
    ask_for(&t, &other, KITH_DNS_PTR);
    talk_to(&t, &n, now, "7");
    at = kith_mdns_deadline(n.m);
    len = kith_mdns_send(n.m, at, &link, kith_span_of(buf, sizeof buf));
    other = look_at(buf, len, count);
    assert_true(kith_dns_name_eq(&other, &t.service));
    talk_to(&t, &n, at + 1, "7");
    assert_in_range(kith_mdns_deadline(n.m), at + KITH_SEC(1), at + KITH_SEC(1));
    kith_mdns_free(n.m);
}

static void who_knows_the_answer_gets_none(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    size_t count[5];
    uint32_t link;
    node n;
    talk t;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, true);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    kith_time now = kith_mdns_deadline(n.m);
    size_t len = kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf));
    kith_dns_name instance = look_at(buf, len, count);
    talk_begin(&t, 0, "x");
    for (int known = 0; known < 3; known++) { /* not; for too short a time; well */
        now += KITH_SEC(5);
        ask_for(&t, &t.service, KITH_DNS_PTR);
        t.instance = instance;
        if (known)
            talk_ptr(&t, known == 1 ? KITH_MDNS_TTL / 2 - 1 : KITH_MDNS_TTL / 2);
        talk_to(&t, &n, now, "7");
        assert_int_equal(said(&n, now + KITH_SEC(1), buf), known == 2 ? 0 : 1);
    }
    kith_mdns_free(n.m);
}

static void a_query_names_whom_it_need_not_hear(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    uint32_t link;
    node n;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, false);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    for (unsigned i = 2; i < 22; i++) {
        char from[8];
        snprintf(from, sizeof from, "%u", i);
        claim_from(&n, 1, from, i, "/ip4/192.168.1.7/tcp/1");
    }
    for (int late = 0; late < 2; late++) {
        kith_time now = late ? KITH_SEC(40) : KITH_SEC(5);
        kith_dns_rd r;
        kith_mdns_browse(n.m, now, false);
        kith_mdns_browse(n.m, now, true);
        size_t len = kith_mdns_send(n.m, kith_mdns_deadline(n.m), &link, kith_span_of(buf, sizeof buf));
        assert_int_equal(kith_dns_open(&r, kith_bytes_of(buf, len)), KITH_OK);
        assert_int_equal(r.left[KITH_DNS_QUESTION], 1);
        assert_int_equal(r.left[KITH_DNS_ANSWER], late ? 0 : 16); /* so many, and only those heard lately */
    }
    kith_mdns_free(n.m);
}

static void queries_grow_rare_and_asking_is_once_a_second(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX];
    kith_time now = 0, last = 0, gap = 0;
    node n;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, false);
    kith_mdns_browse(n.m, 0, true);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    for (int i = 0; i < 12; i++) {
        now = kith_mdns_deadline(n.m);
        assert_int_equal(said(&n, now, buf), 1);
        kith_time least = i == 0 ? KITH_MS(20) : i > 6 ? KITH_SEC(60) : KITH_SEC(1u << (i - 1));
        gap = now - last;
        assert_in_range(gap, least, least + (i == 0 ? KITH_MS(100) : least / 10));
        last = now;
    }
    kith_mdns_ask(n.m, now + KITH_MS(300));
    assert_int_equal(kith_mdns_deadline(n.m), now + KITH_SEC(1));
    kith_mdns_ask(n.m, now + KITH_MS(1100));
    assert_int_equal(said(&n, now + KITH_MS(1100), buf), 1);
    kith_mdns_browse(n.m, now, false);
    kith_mdns_ask(n.m, now + KITH_SEC(10));
    assert_true(kith_mdns_deadline(n.m) == KITH_NEVER);
    kith_mdns_free(n.m);
}

static void an_answer_has_as_many_addresses_as_fit(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n[2];
    kith_time now = 0;
    node_init(&n[0], env, 1);
    node_init(&n[1], env, 2);
    node_up(&n[0], now);
    kith_mdns_link l = link_of(n[0].ip, false); /* on the same network */
    l.ips[l.ip_count] = (kith_mdns_ip){.len = 16, .prefix = 64};
    memcpy(l.ips[l.ip_count++].b, "\xfd\1\1\1\1\1\1\1\0\0\0\0\0\0\0\1", 16);
    assert_int_equal(kith_mdns_link_up(n[0].m, now, &l), KITH_OK);
    memcpy(l.ips[0].b, n[1].ip, 4);
    for (l.addr_count = 0; l.addr_count < KITH_MDNS_ADDRS_MAX; l.addr_count++) {
        uint8_t ip[16] = "\xfd\1\1\1\1\1\1\1\x11\x11\x11\x11\x11\x11\x11\x11";
        ip[15] = (uint8_t)l.addr_count;
        kith_maddr_from_tcp(kith_bytes_of(ip, 16), 65535, &l.addrs[l.addr_count]);
        assert_int_equal(kith_maddr_add(&l.addrs[l.addr_count], KITH_MA_WS, (kith_bytes){0}), KITH_OK);
    }
    assert_int_equal(kith_mdns_link_up(n[1].m, now, &l), KITH_OK);
    run(n, 2, &now, KITH_SEC(1));
    assert_int_equal(n[0].last.count, KITH_MDNS_ADDRS_MAX);
    kith_mdns_free(n[0].m);
    kith_mdns_free(n[1].m);
}

/* ---- caps ---- */

static void one_source_claims_so_many_peers(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n;
    node_init(&n, env, 1);
    node_up(&n, 0);
    for (unsigned i = 0; i < KITH_MDNS_PEERS_PER_SOURCE; i++)
        claim_from(&n, 1, "7", 100 + i, "/ip4/192.168.1.7/tcp/1");
    assert_int_equal(n.found, KITH_MDNS_PEERS_PER_SOURCE);
    claim_from(&n, 1, "7", 99, "/ip4/192.168.1.7/tcp/1");
    assert_int_equal(n.found, KITH_MDNS_PEERS_PER_SOURCE);
    assert_int_equal(kith_mdns_stats_of(n.m).refused, 1);
    claim_from(&n, 1, "8", 99, "/ip4/192.168.1.8/tcp/1"); /* others may still */
    assert_int_equal(n.found, KITH_MDNS_PEERS_PER_SOURCE + 1);
    claim_from(&n, 2, "7", 100, "/ip4/192.168.1.9/tcp/1"); /* and whoever is there may go on */
    assert_int_equal(n.last.count, 2);
    kith_mdns_free(n.m);
}

static void so_many_peers_are_kept_and_one_that_goes_makes_room(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n;
    kith_time now = 0;
    node_init(&n, env, 1);
    node_up(&n, 0);
    size_t empty = heap.bytes;
    for (unsigned i = 0; i < KITH_MDNS_PEERS_MAX + 8; i++) {
        char from[8];
        now += KITH_MS(10); /* in the budget of packets */
        snprintf(from, sizeof from, "%u", 2 + i / KITH_MDNS_PEERS_PER_SOURCE);
        claim_from(&n, now, from, 100 + i, "/ip4/192.168.1.7/tcp/1");
    }
    assert_int_equal(n.found, KITH_MDNS_PEERS_MAX);
    assert_int_equal(kith_mdns_stats_of(n.m).peers, KITH_MDNS_PEERS_MAX);
    assert_int_equal(kith_mdns_stats_of(n.m).refused, 8);
    assert_true(heap.bytes - empty < KITH_MDNS_PEERS_MAX * 1536);
    now += KITH_SEC(130); /* all are forgotten */
    kith_mdns_tick(n.m, now);
    listen_to(&n, now);
    assert_int_equal(n.lost, KITH_MDNS_PEERS_MAX);
    assert_int_equal(heap.bytes, empty);
    claim_from(&n, now, "9", 9000, "/ip4/192.168.1.7/tcp/1");
    assert_int_equal(n.found, KITH_MDNS_PEERS_MAX + 1);
    kith_mdns_free(n.m);
    support_heap_check(&heap);
}

static void a_peer_has_so_many_addresses_and_the_oldest_goes(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    char addr[64], text[KITH_MADDR_TEXT_MAX + 1];
    node n;
    node_init(&n, env, 1);
    node_up(&n, 0);
    for (unsigned i = 0; i <= KITH_MDNS_ADDRS_MAX; i++) {
        snprintf(addr, sizeof addr, "/ip4/192.168.1.7/tcp/%u", 1 + i);
        claim_from(&n, 1 + i, "7", 7, addr);
        assert_int_equal(n.last.count, i < KITH_MDNS_ADDRS_MAX ? i + 1 : KITH_MDNS_ADDRS_MAX);
    }
    kith_maddr_text(&n.last.addrs[0], text);
    assert_string_equal(text, "/ip4/192.168.1.7/tcp/9");
    /* An address of the longest kind that is kept, and one that is longer. */
    size_t found = n.found;
    char longest[400] = "/ip4/192.168.1.7/tcp/80/http-path/";
    for (size_t i = strlen(longest), k = 0; k < KITH_MDNS_ADDR_LEN; i++, k++) {
        longest[i] = 'a';
        kith_maddr a;
        assert_int_equal(kith_maddr_from_text(kith_bytes_str(longest), &a, NULL), KITH_OK);
        if (a.len < KITH_MDNS_ADDR_LEN)
            continue;
        claim_from(&n, 100, "7", 7, longest);
        assert_int_equal(n.found, found + 1);
        assert_int_equal(a.len, KITH_MDNS_ADDR_LEN);
        longest[i + 1] = 'a';
        claim_from(&n, 100, "7", 7, longest);
        assert_int_equal(n.found, found + 1);
        break;
    }
    kith_mdns_free(n.m);
}

static void so_many_packets_of_a_link_are_read_in_a_second(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n;
    talk t;
    node_init(&n, env, 1);
    node_up(&n, 0);
    kith_time now = KITH_SEC(5);
    talk_begin(&t, 0, "x");
    ask_for(&t, &t.service, KITH_DNS_PTR);
    for (int i = 0; i < KITH_MDNS_PACKETS_PER_SECOND; i++)
        talk_to(&t, &n, now, "7");
    assert_int_equal(kith_mdns_stats_of(n.m).dropped, 0);
    claim_from(&n, now, "7", 7, "/ip4/192.168.1.7/tcp/1");
    assert_int_equal(kith_mdns_stats_of(n.m).dropped, 1);
    assert_int_equal(n.found, 0);
    claim_from(&n, now + KITH_SEC(1), "7", 7, "/ip4/192.168.1.7/tcp/1");
    assert_int_equal(n.found, 1);
    kith_mdns_free(n.m);
}

static void so_many_links_are_served(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    node n;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, true);
    for (l.id = 1; l.id <= KITH_MDNS_LINKS_MAX; l.id++)
        assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_ELIMIT);
    kith_mdns_link_down(n.m, 0, 1);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    kith_mdns_free(n.m);
}

/* ---- keys ---- */

static void key_of(unsigned n, uint8_t out[KITH_MDNS_KEY_LEN])
{
    memset(out, 0xab, KITH_MDNS_KEY_LEN);
    kith_store_be32(out, n);
}

/* Of three nodes the second has the key; whoever seeks it hears so at once, whichever came first, and nobody else. */
static void who_has_a_key_is_found_by_it(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t key[KITH_MDNS_KEY_LEN], other[KITH_MDNS_KEY_LEN];
    node n[3];
    kith_time now = 0;
    key_of(1, key), key_of(2, other);
    for (unsigned i = 0; i < 3; i++) {
        node_init(&n[i], env, i + 1);
        node_up(&n[i], now);
    }
    run(n, 3, &now, KITH_SEC(1000)); /* they have known each other for long, and ask once a minute */
    assert_int_equal(kith_mdns_publish(n[1].m, now, other), KITH_OK);
    assert_int_equal(kith_mdns_publish(n[1].m, now, key), KITH_OK);
    run(n, 3, &now, now + KITH_SEC(2));
    assert_int_equal(kith_mdns_seek(n[0].m, now, key), KITH_OK);
    assert_int_equal(kith_mdns_seek(n[0].m, now, key), KITH_OK);
    run(n, 3, &now, now + KITH_MS(250));
    assert_int_equal(n[0].holds, 1);
    assert_int_equal(n[0].last.kind, KITH_MDNS_HOLDS);
    assert_true(kith_peer_id_eq(&n[0].last.peer, &n[1].id));
    assert_memory_equal(n[0].last.key, key, sizeof key);
    assert_int_equal(n[0].last.count, 1);
    assert_int_equal(n[2].holds, 0);
    run(n, 3, &now, now + KITH_SEC(100));
    assert_int_equal(n[0].holds, 1); /* once */
    /* The third seeks what nobody has yet. */
    key_of(3, key);
    assert_int_equal(kith_mdns_seek(n[2].m, now, key), KITH_OK);
    run(n, 3, &now, now + KITH_SEC(1000));
    assert_int_equal(n[2].holds, 0);
    assert_int_equal(kith_mdns_publish(n[0].m, now, key), KITH_OK);
    run(n, 3, &now, now + KITH_MS(250));
    assert_int_equal(n[2].holds, 1);
    assert_true(kith_peer_id_eq(&n[2].last.peer, &n[0].id));
    /* What is taken back is not answered to, and what is not sought is not told. */
    assert_true(kith_mdns_unpublish(n[0].m, key));
    kith_mdns_unseek(n[2].m, key);
    kith_mdns_unseek(n[2].m, key);
    assert_int_equal(kith_mdns_seek(n[2].m, now, key), KITH_OK);
    run(n, 3, &now, now + KITH_SEC(100));
    assert_int_equal(n[2].holds, 1);
    assert_int_equal(n[0].found + n[1].found + n[2].found, 6);
    for (unsigned i = 0; i < 3; i++)
        kith_mdns_free(n[i].m);
    support_heap_check(&heap);
}

static void an_answer_to_a_key_is_none_to_the_service_and_comes_once_a_second(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX], key[KITH_MDNS_KEY_LEN];
    size_t count[5];
    uint32_t link;
    kith_mdns_keys set = {0};
    kith_dns_name name, loud;
    node n;
    talk t;
    node_init(&n, env, 1);
    kith_mdns_link l = link_of(n.ip, true);
    assert_int_equal(kith_mdns_link_up(n.m, 0, &l), KITH_OK);
    (void)said(&n, KITH_SEC(1), buf);
    kith_time now = KITH_SEC(10);
    for (unsigned i = 0; i < KITH_MDNS_KEYS_MAX; i++) {
        key_of(i, key);
        assert_int_equal(kith_mdns_publish(n.m, now, key), KITH_OK);
    }
    assert_int_equal(kith_mdns_publish(n.m, now, key), KITH_EEXISTS);
    key_of(99, key);
    assert_int_equal(kith_mdns_publish(n.m, now, key), KITH_ELIMIT);
    size_t ptrs = 0, packets = 0;
    for (; kith_mdns_deadline(n.m) != KITH_NEVER; packets++) {
        now = kith_mdns_deadline(n.m);
        size_t len = kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf));
        (void)look_at(buf, len, count);
        assert_int_equal(count[1] + count[2] + count[4], 3);
        ptrs += count[0];
        assert_int_equal(kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf)), 0);
    }
    assert_int_equal(ptrs, KITH_MDNS_KEYS_MAX);
    assert_int_equal(packets, 6);
    /* Asked for one, in capital letters. */
    key_of(4, key);
    size_t slot;
    assert_int_equal(kith_mdns_keys_add(&set, KITH_MDNS_KEYS_MAX, key, &slot), KITH_OK);
    kith_mdns_keys_name(&set, slot, &name);
    loud = name;
    for (size_t i = 1; i < loud.len; i++)
        loud.b[i] = loud.b[i] >= 'a' && loud.b[i] <= 'z' ? loud.b[i] - 32 : loud.b[i];
    now += KITH_SEC(5);
    talk_begin(&t, 0, "x");
    ask_for(&t, &loud, KITH_DNS_PTR);
    for (int i = 0; i < 20; i++)
        talk_to(&t, &n, now, "7");
    now = kith_mdns_deadline(n.m);
    size_t len = kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf));
    kith_dns_name target = look_at(buf, len, count);
    kith_bytes label;
    assert_true(kith_dns_name_below(&target, &t.service, &label));
    assert_int_equal(count[0], 1);
    talk_to(&t, &n, now, "7");
    assert_int_equal(kith_mdns_deadline(n.m), now + KITH_SEC(1));
    (void)said(&n, now + KITH_SEC(1), buf);
    /* Not for another type, another key, or a name that is nearly one. */
    now += KITH_SEC(5);
    ask_for(&t, &name, KITH_DNS_TXT);
    talk_to(&t, &n, now, "7");
    key_of(99, set.key[slot]);
    kith_mdns_keys_name(&set, slot, &name);
    ask_for(&t, &name, KITH_DNS_PTR);
    talk_to(&t, &n, now, "7");
    name.b[2] = '1'; /* not of base32 */
    ask_for(&t, &name, KITH_DNS_PTR);
    talk_to(&t, &n, now, "7");
    assert_int_equal(kith_mdns_deadline(n.m), KITH_NEVER);
    key_of(99, key);
    assert_false(kith_mdns_unpublish(n.m, key));
    /* Taken back before it was said, it is not said any more. */
    key_of(4, key);
    assert_true(kith_mdns_unpublish(n.m, key));
    assert_int_equal(kith_mdns_publish(n.m, now, key), KITH_OK);
    assert_true(kith_mdns_unpublish(n.m, key));
    now = kith_mdns_deadline(n.m);
    assert_int_not_equal(now, KITH_NEVER);
    assert_int_equal(kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf)), 0);
    assert_int_equal(kith_mdns_deadline(n.m), KITH_NEVER);
    kith_mdns_free(n.m);
    support_heap_check(&heap);
}

static void so_many_keys_are_sought_and_a_query_has_room_for_all(void **state)
{
    (void)state;
    support_heap heap;
    const kith_env *env = support_env(&heap);
    uint8_t buf[KITH_MDNS_PACKET_MAX], key[KITH_MDNS_KEY_LEN];
    uint32_t link;
    node n;
    node_init(&n, env, 1);
    node_up(&n, 0);
    for (unsigned i = 0; i < KITH_MDNS_SOUGHT_MAX; i++) {
        key_of(i, key);
        assert_int_equal(kith_mdns_seek(n.m, 0, key), KITH_OK);
    }
    key_of(99, key);
    assert_int_equal(kith_mdns_seek(n.m, 0, key), KITH_ELIMIT);
    kith_time now = 0;
    size_t len = 0;
    do {
        now = kith_mdns_deadline(n.m);
        len = kith_mdns_send(n.m, now, &link, kith_span_of(buf, sizeof buf));
        assert_true(len > 0);
    } while (buf[2] & 0x80);
    assert_int_equal(kith_load_be16(buf + 4), 1 + KITH_MDNS_SOUGHT_MAX);
    kith_mdns_free(n.m);
    support_heap_check(&heap);
}

static void the_nth_allocation_fails(void **state)
{
    (void)state;
    bool through = false;
    for (size_t fail = 1; !through; fail++) {
        support_heap heap;
        const kith_env *env = support_env(&heap);
        node n = {.id = support_peer(1), .ip = {192, 168, 1, 1}};
        heap.fail_at = fail;
        heap.once = true;
        n.m = kith_mdns_new(env, &n.id);
        assert_true(!n.m == (fail == 1));
        if (n.m) {
            node_up(&n, 0);
            claim_from(&n, 1, "7", 7, "/ip4/192.168.1.7/tcp/1");
            assert_int_equal(n.found, fail != 2);
            assert_int_equal(kith_mdns_stats_of(n.m).refused, fail == 2);
            claim_from(&n, 1, "7", 7, "/ip4/192.168.1.7/tcp/1");
            assert_int_equal(n.found, 1);
        }
        kith_mdns_free(n.m);
        through = heap.calls < fail;
        assert_int_equal(fail > 2, through); /* itself, and each peer */
        support_heap_check(&heap);
    }
    kith_mdns_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_find_each_other_within_a_quarter_second),
        cmocka_unit_test(a_latecomer_is_found_at_once),
        cmocka_unit_test(who_leaves_is_lost_in_a_second_and_who_is_cut_off_after_a_while),
        cmocka_unit_test(a_link_that_goes_takes_its_peers_along),
        cmocka_unit_test(a_new_address_is_a_new_name_and_is_told),
        cmocka_unit_test(only_addresses_on_the_link_are_kept),
        cmocka_unit_test(a_record_is_about_one_peer_and_never_about_us),
        cmocka_unit_test(a_name_elsewhere_counts_when_a_pointer_leads_there),
        cmocka_unit_test(a_goodbye_counts_only_from_who_came),
        cmocka_unit_test(a_ttl_is_kept_to_but_not_for_long),
        cmocka_unit_test(answers_are_delayed_joined_and_once_a_second),
        cmocka_unit_test(who_knows_the_answer_gets_none),
        cmocka_unit_test(a_query_names_whom_it_need_not_hear),
        cmocka_unit_test(queries_grow_rare_and_asking_is_once_a_second),
        cmocka_unit_test(an_answer_has_as_many_addresses_as_fit),
        cmocka_unit_test(one_source_claims_so_many_peers),
        cmocka_unit_test(so_many_peers_are_kept_and_one_that_goes_makes_room),
        cmocka_unit_test(a_peer_has_so_many_addresses_and_the_oldest_goes),
        cmocka_unit_test(so_many_packets_of_a_link_are_read_in_a_second),
        cmocka_unit_test(so_many_links_are_served),
        cmocka_unit_test(who_has_a_key_is_found_by_it),
        cmocka_unit_test(an_answer_to_a_key_is_none_to_the_service_and_comes_once_a_second),
        cmocka_unit_test(so_many_keys_are_sought_and_a_query_has_room_for_all),
        cmocka_unit_test(the_nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
