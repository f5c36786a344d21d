/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The mDNS machine against any packets, links and times; a TXT record of a peer is built for it too, since few
 * mutations make one. */
#include <stdio.h>

#include "mesh/mdns.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_link(kith_mdns *m, kith_time now, tape *t)
{
    uint8_t how = tape_u8(t);
    kith_mdns_link l = {.id = 1 + how % 20, .name = "eth0", .ip_count = 1};
    l.ips[0] = (kith_mdns_ip){.len = how & 32 ? 16 : 4, .prefix = tape_u8(t), .b = {10, 0, 0, tape_u8(t)}};
    for (l.addr_count = 0; l.addr_count < (how >> 6) * 2u; l.addr_count++) {
        uint8_t ip[4] = {10, 0, 0, tape_u8(t)};
        kith_maddr_from_tcp(kith_bytes_of(ip, 4), 9000, &l.addrs[l.addr_count]);
    }
    kith_err e = kith_mdns_link_up(m, now, &l);
    assert(e == KITH_OK || e == KITH_ELIMIT);
}

static void use_key(kith_mdns *m, kith_time now, uint8_t how, uint8_t first)
{
    uint8_t key[KITH_MDNS_KEY_LEN] = {first};
    kith_err e = KITH_OK;
    if (how & 128)
        (void)kith_mdns_unpublish(m, key);
    else
        e = kith_mdns_publish(m, now, key);
    assert(e == KITH_OK || e == KITH_ELIMIT || e == KITH_EEXISTS);
    e = KITH_OK;
    if (how & 64)
        kith_mdns_unseek(m, key);
    else
        e = kith_mdns_seek(m, now, key);
    assert(e == KITH_OK || e == KITH_ELIMIT);
}

/* A response about one of 256 peers with text from the tape as its addresses. */
static size_t build(tape *t, uint8_t *out, size_t len)
{
    kith_dns_wr w;
    kith_dns_name service, instance;
    kith_peer_id id;
    uint8_t pub[KITH_ED25519_PUB_LEN] = {tape_u8(t)}, pb[KITH_PUBKEY_ED25519_LEN];
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[256], label[2] = {(char)('a' + tape_u8(t) % 4), '\0'};
    kith_pubkey_ed25519(pub, pb);
    if (kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id) ||
        kith_dns_name_of(KITH_MDNS_SERVICE, &service) ||
        kith_dns_name_join(kith_bytes_str(label), &service, &instance))
        return 0;
    kith_peer_id_text(&id, peer);
    kith_dns_begin(&w, kith_span_of(out, len), KITH_DNS_RESPONSE);
    uint32_t ttl = tape_u8(t);
    kith_dns_put_record(&w, KITH_DNS_ANSWER, &service, KITH_DNS_PTR, ttl);
    kith_dns_put_name(&w, &instance);
    kith_dns_end_record(&w);
    if (label[0] == 'b') { /* which has the first key */
        static const kith_mdns_keys keys = {.used = 1};
        kith_dns_name name;
        kith_mdns_keys_name(&keys, 0, &name);
        kith_dns_put_record(&w, KITH_DNS_ANSWER, &name, KITH_DNS_PTR, ttl);
        kith_dns_put_name(&w, &instance);
        kith_dns_end_record(&w);
    }
    kith_dns_put_record(&w, KITH_DNS_ADDITIONAL, &instance, KITH_DNS_TXT, ttl);
    for (unsigned n = tape_u8(t) % 10; n > 0; n--) {
        uint8_t kind = tape_u8(t), a = tape_u8(t);
        if (kind % 4 == 0)
            snprintf(text, sizeof text, "dnsaddr=/ip4/10.0.0.%u/tcp/%u/p2p/%s", a, 1 + kind, peer);
        else if (kind % 4 == 1)
            snprintf(text, sizeof text, "dnsaddr=/ip6/fe80::%x/tcp/1/p2p/%s", a, peer);
        else
            snprintf(text, sizeof text, "dnsaddr=%.*s/p2p/%s", (int)(a % 64 < t->len ? a % 64 : t->len),
                     (const char *)t->p, peer);
        kith_dns_put_string(&w, kith_bytes_str(text));
    }
    kith_dns_end_record(&w);
    return kith_dns_finish(&w).len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[KITH_DNS_MSG_MAX];
    tape t = {data, size};
    tape_env e;
    const kith_env *env = tape_env_init(&e, tape_u8(&t));
    kith_peer_id self = {.len = 34, .b = {0x12, 0x20}};
    kith_time now = 0;
    kith_mdns *m = kith_mdns_new(env, &self);
    uint32_t link;
    size_t live = 0;
    if (!m)
        return 0;
    while (t.len > 0) {
        uint8_t what = tape_u8(&t), from[16] = {10, 0, 0, tape_u8(&t)};
        kith_bytes source = kith_bytes_of(from, what & 64 ? 16 : 4);
        switch (what % 8) {
        case 0:
            add_link(m, now, &t);
            break;
        case 1:
            kith_mdns_link_down(m, now, tape_u8(&t) % 20);
            break;
        case 2:
            kith_mdns_browse(m, now, what & 128);
            kith_mdns_ask(m, now);
            break;
        case 3: {
            kith_bytes in = tape_bytes(&t, tape_u8(&t) * 4u);
            kith_mdns_recv(m, now, 1 + what / 8 % 4, source, in);
            break;
        }
        case 4:
        case 5: {
            size_t n = build(&t, out, sizeof out);
            kith_mdns_recv(m, now, 1 + what / 8 % 4, source, kith_bytes_of(out, n));
            break;
        }
        case 6:
            if (what == 254)
                kith_mdns_leave(m, now);
            else
                use_key(m, now, what, tape_u8(&t) % 40);
            break;
        default:
            now += KITH_MS(tape_u8(&t)) * (what & 128 ? 1000 : 10);
        }
        kith_mdns_tick(m, now);
        size_t said = 0;
        for (size_t n; (n = kith_mdns_send(m, now, &link, kith_span_of(out, sizeof out))) > 0; said++) {
            kith_dns_rd r;
            kith_err bad = kith_dns_open(&r, kith_bytes_of(out, n));
            assert(!bad && link && n <= KITH_MDNS_PACKET_MAX);
            kith_mdns_recv(m, now, link, source, kith_bytes_of(out, n)); /* as it comes back to us */
        }
        assert(said <= 5 * KITH_MDNS_LINKS_MAX);
        kith_mdns_event ev;
        while (kith_mdns_next(m, &ev)) {
            assert(ev.count <= KITH_MDNS_ADDRS_MAX && (ev.count > 0) == (ev.kind != KITH_MDNS_LOST));
            for (size_t i = 0; i < ev.count; i++)
                assert(kith_maddr_scope(&ev.addrs[i]) != KITH_IP_LOOPBACK);
            live++;
        }
        assert(kith_mdns_deadline(m) > now);
        kith_mdns_check(m);
        assert(e.held < 600 * 1024);
    }
    kith_mdns_free(m);
    assert(e.held == 0);
    return 0;
}
