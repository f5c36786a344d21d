/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys, values, the INI file. */
#include "host/config.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/peer_info.h"

/* clang-format off */
#define KEY(name, type, member, help) {name, KITH_CONFIG_##type, offsetof(kith_config, member), help}
/* clang-format on */

const kith_config_key kith_config_keys[] = {
    KEY("listen", ADDRS, listen, "address to listen on, as a multiaddr; may be given several times"),
    KEY("pq", PQ, node.pq, "post-quantum channels: require (refuse others), prefer, off"),
    KEY("level", LEVEL, node.level,
        "least ML-KEM category taken of kith nodes: 1 (512), 3 (768) or 5 (1024)"),
    KEY("perf", BOOL, perf, "serve /perf/1.0.0, so that others can measure the speed to this node"),
    KEY("agent", TEXT, agent, "what identify tells others about this program"),
    KEY("name", NAME, name,
        "what this node calls itself to kith nodes: the host's name unless set; - for nothing"),
    KEY("dns", TEXT, dns, "name servers to ask instead of the system's, such as 10.0.0.1,[::1]:5353"),
    KEY("mdns", SWITCH, mdns,
        "find peers on the local network by multicast DNS, and be found there: on, off"),
    KEY("keep", KEEP, keep,
        "a peer that kith up stays connected to: its id, its name or its address with /p2p; may be given several times"),
    KEY("gossip", SWITCH, gossip, "kith up takes part in topics, by gossipsub: on, off"),
    KEY("gossip.topics", TEXT, gossip_topics,
        "topics that kith up is in from the start, separated by spaces"),
    KEY("metrics", LOOPBACK, metrics,
        "address of loopback where kith up serves OpenMetrics over HTTP, such as 127.0.0.1:9464"),
    KEY("dht", DHT, dht.mode,
        "take part in the distributed hash table (Kademlia): auto, client, server, off"),
    KEY("bootstrap", PEERS, dht,
        "a peer to join it by, as a multiaddr with /p2p, or none; may be given several times"),
    KEY("no_early_muxer", BOOL, node.no_early_muxer,
        "negotiate the muxer after the handshake instead of inside it"),
    KEY("handshake_timeout", DURATION, node.handshake_timeout,
        "from accept to an authenticated, multiplexed connection"),
    KEY("dial_timeout", DURATION, node.dial_timeout, "one address, until the socket is connected"),
    KEY("negotiate_timeout", DURATION, node.negotiate_timeout, "agreement on a stream's protocol"),
    KEY("idle_timeout", DURATION, node.idle_timeout, "a connection without streams is closed after this"),
    KEY("ping_every", DURATION, node.ping_every, "keep-alive of every connection"),
    KEY("mdns.connect", COUNT, mdns_connect,
        "peers of the local network that kith up connects to by itself, at most"),
    KEY("dht.protocol", PROTOCOL, dht.protocol,
        "which network's: the id that its nodes have in common, /NAME/kad/1.0.0"),
    KEY("rendezvous.point", POINTS, rendezvous,
        "a rendezvous point to be registered at and to find others by, as a multiaddr with /p2p; may be given several times"),
    KEY("rendezvous.namespace", NAMESPACE, rendezvous.ns,
        "under which name, that all who are to find each other have in common"),
    KEY("rendezvous.connect", COUNT, rendezvous.connect,
        "peers found so that kith up connects to by itself, at most"),
    KEY("rendezvous.server", SWITCH, rendezvous.server,
        "kith up is a rendezvous point, where others register and find each other: on, off"),
    KEY("rendezvous.registrations", COUNT, rendezvous.registrations,
        "so many at most, of all peers; they may take 1 KiB each"),
    KEY("share.limit_up", SIZE64, share_limit_up,
        "bytes a second that all 'kith share' of this home may send together, or 0: as fast as they can"),
    KEY("share.limit_down", SIZE64, share_limit_down, "and that all 'kith get' may receive"),
    KEY("share.cache", SIZE64, share_cache,
        "bytes of disk for the hashes of files that were shared, so that they are not read twice; 0: none"),
    KEY("network.key", PATH, network_key,
        "file with the key of a private network (swarm.key): this node then talks to those who have it, and nobody else"),
    KEY("conns.high", COUNT, conns_high,
        "above so many connections kith up closes the least valuable, or 0: never"),
    KEY("conns.low", COUNT, conns_low, "and leaves so many"),
    KEY("conns.grace", DURATION, conns_grace, "connections younger than this are spared"),
    KEY("security.rekey_after_time", DURATION, node.rekey_after_time,
        "new keys for a connection that we dialled, if the peer is a kith node, after this"),
    KEY("security.rekey_after_bytes", VOLUME, node.rekey_after_bytes,
        "or after so many bytes, both directions together; 16MiB at least, or never"),
    KEY("security.resume", LIFETIME, node.resume_for,
        "a kith node whose post-quantum signature was checked need not sign again for so long; off, or 168h at most"),
    KEY("security.no_aes", BOOL, no_aes,
        "records under ChaCha20-Poly1305 also between two kith nodes whose processors have instructions for AES"),
    KEY("qkd", QKD, node.qkd,
        "keys of quantum key distribution in every handshake: off, preferred, required"),
    KEY("qkd.url", PATH, qkd.url, "our key management entity (KME), such as https://kme.example:8443"),
    KEY("qkd.cert", PATH, qkd.cert, "PEM file with the certificate of our SAE"),
    KEY("qkd.key", PATH, qkd.key, "PEM file with its private key, mode 0640 or stricter"),
    KEY("qkd.ca", PATH, qkd.ca, "PEM file with the authority that signs the KME's certificate"),
    KEY("qkd.sae", SAE, qkd.sae, "the id of our SAE, as the KMEs know it"),
    KEY("qkd.peer", SHARERS, qkd.peers,
        "a peer to share keys with and its SAE, PEER=SAE; may be given several times"),
    KEY("qkd.timeout", DURATION, qkd.timeout, "what the KME may take to answer"),
    KEY("qkd.simulated", BOOL, qkd.simulated,
        "the KME only plays one: say so of every connection with its keys"),
    KEY("limits.conns", COUNT, node.limits.conns, "connections, all together"),
    KEY("limits.conns_in", COUNT, node.limits.conns_in, "inbound connections"),
    KEY("limits.conns_per_ip", COUNT, node.limits.conns_per_ip, "inbound, per IPv4 address or IPv6 /64"),
    KEY("limits.conns_per_subnet", COUNT, node.limits.conns_per_subnet, "inbound, per IPv4 /24 or IPv6 /48"),
    KEY("limits.conns_per_peer", COUNT, node.limits.conns_per_peer, "established, per peer id"),
    KEY("limits.rate_per_ip", COUNT, node.limits.rate_per_ip,
        "inbound connections a minute, per IPv4 address or IPv6 /64"),
    KEY("limits.rate_per_subnet", COUNT, node.limits.rate_per_subnet,
        "inbound connections a minute, per IPv4 /24 or IPv6 /48"),
    KEY("limits.rate_pushes", COUNT, node.limits.rate_pushes,
        "identify pushes a minute that a peer may send on one connection"),
    KEY("limits.rate_rekeys", COUNT, node.limits.rate_rekeys,
        "refreshes of keys a minute that a peer may ask for on one connection, besides those after 16 MiB"),
    KEY("limits.rate_messages", COUNT, node.limits.rate_messages, "messages a minute that a peer may send"),
    KEY("limits.handshakes", COUNT, node.limits.handshakes,
        "inbound connections that are not authenticated yet"),
    KEY("limits.sign_ms", COUNT, node.limits.sign_ms,
        "milliseconds a minute for post-quantum signatures to whoever dials"),
    KEY("limits.sign_ms_per_ip", COUNT, node.limits.sign_ms_per_ip, "the same, per IPv4 address or IPv6 /64"),
    KEY("limits.dials", COUNT, node.limits.dials, "outbound sockets under way"),
    KEY("limits.streams", COUNT, node.limits.streams, "streams of all connections"),
    KEY("limits.streams_in", COUNT, node.limits.streams_in, "streams that a peer may open on one connection"),
    KEY("limits.streams_out", COUNT, node.limits.streams_out, "streams that we open on one connection"),
    KEY("limits.window_max", SIZE32, node.limits.window_max, "receive window of one stream, at most"),
    KEY("limits.window_budget", SIZE32, node.limits.window_budget,
        "receive windows of one connection beyond 256 KiB each, together"),
    KEY("limits.memory", SIZE64, node.limits.memory,
        "what the connections and their streams may hold together, in kith's own memory"),
    KEY("limits.exempt_loopback", BOOL, node.limits.exempt_loopback,
        "loopback has no caps and rates per IP and subnet"),
};
const size_t kith_config_key_count = sizeof kith_config_keys / sizeof *kith_config_keys;

static bool same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    }
    return *a == *b;
}

const kith_config_key *kith_config_find(const char *name)
{
    for (size_t i = 0; i < kith_config_key_count; i++) {
        if (same_key(name, kith_config_keys[i].name))
            return &kith_config_keys[i];
    }
    return NULL;
}

bool kith_config_is_list(const kith_config_key *key)
{
    return key->type == KITH_CONFIG_ADDRS || key->type == KITH_CONFIG_SHARERS ||
           key->type == KITH_CONFIG_PEERS || key->type == KITH_CONFIG_KEEP || key->type == KITH_CONFIG_POINTS;
}

void kith_config_default(kith_config *c)
{
    *c = (kith_config){0};
    kith_node_config_default(&c->node);
    snprintf(c->agent, sizeof c->agent, "kith");
    c->qkd.timeout = KITH_SEC(3);
    c->gossip = true;
    snprintf(c->gossip_topics, sizeof c->gossip_topics, "quantra-default");
    c->mdns = true;
    c->mdns_connect = 8;
    c->conns_low = 160; /* these three as in go-libp2p */
    c->conns_high = 192;
    c->conns_grace = KITH_SEC(60);
    kith_dht_settings_default(&c->dht);
    kith_rendezvous_settings_default(&c->rendezvous);
    c->share_cache = UINT64_C(1) << 30;
}

/* ---- values ---- */

static bool parse_number(const char *text, uint64_t *out, const char **rest)
{
    uint64_t v = 0;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (v > (UINT64_MAX >> 1) / 10 - 1)
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = v;
    *rest = text;
    return true;
}

bool kith_parse_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0},     {"B", 0},  {"K", 10},   {"KiB", 10}, {"M", 20},
                 {"MiB", 20}, {"G", 30}, {"GiB", 30}, {"T", 40},   {"TiB", 40}};
    uint64_t v;
    const char *unit;
    if (!parse_number(text, &v, &unit))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].name) == 0) {
            if (v > (UINT64_MAX >> 1) >> units[i].shift)
                return false;
            *out = v << units[i].shift;
            return true;
        }
    }
    return false;
}

static const struct duration_unit {
    const char *name;
    kith_time ns;
} duration_units[] = {{"ms", 1000000u}, {"s", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u}};

bool kith_parse_duration(const char *text, kith_time *out)
{
    uint64_t v;
    const char *unit;
    if (strcmp(text, "never") == 0) {
        *out = KITH_NEVER;
        return true;
    }
    if (!parse_number(text, &v, &unit))
        return false;
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (strcmp(unit, duration_units[i].name) == 0) {
            if (v > (UINT64_MAX >> 1) / duration_units[i].ns)
                return false;
            *out = v * duration_units[i].ns;
            return true;
        }
    }
    return false;
}

static kith_err bad(char err[KITH_CONFIG_ERR_MAX], const kith_config_key *key, const char *value,
                    const char *wanted)
{
    snprintf(err, KITH_CONFIG_ERR_MAX, "%s: '%.100s' is not %s", key->name, value, wanted);
    return KITH_EFORMAT;
}

static const char *const pq_names[] = {
    [KITH_PQ_PREFER] = "prefer", [KITH_PQ_REQUIRE] = "require", [KITH_PQ_OFF] = "off"};

static const char *const qkd_names[] = {
    [KITH_QKD_OFF] = "off", [KITH_QKD_PREFERRED] = "preferred", [KITH_QKD_REQUIRED] = "required"};

static kith_err add_sharer(kith_config *c, const kith_config_key *key, const char *value,
                           char err[KITH_CONFIG_ERR_MAX])
{
    kith_qkd_peer p;
    if (kith_qkd_peer_parse(value, &p))
        return bad(err, key, value, "a peer and its SAE; write it like 12D3KooW...=alice");
    if (c->qkd.peer_count == KITH_QKD_PEERS_MAX)
        return bad(err, key, value, "needed: there are 32 peers already");
    c->qkd.peers[c->qkd.peer_count++] = p;
    return KITH_OK;
}

static kith_err add_bootstrap(kith_config *c, const kith_config_key *key, const char *value,
                              char err[KITH_CONFIG_ERR_MAX])
{
    kith_err e = kith_dht_settings_bootstrap(&c->dht, value);
    if (e == KITH_ELIMIT)
        return bad(err, key, value, "needed: there are 16 peers already");
    return e ? bad(err, key, value, "a peer's address; write it like /dnsaddr/example.org/p2p/12D3KooW...")
             : e;
}

static kith_err add_point(kith_config *c, const kith_config_key *key, const char *value,
                          char err[KITH_CONFIG_ERR_MAX])
{
    kith_err e = kith_rendezvous_settings_point(&c->rendezvous, value);
    if (e == KITH_ELIMIT)
        return bad(err, key, value, "needed: there are 8 points already");
    if (e == KITH_EEXISTS)
        return bad(err, key, value, "needed: that peer is in the list already");
    return e ? bad(err, key, value,
                   "a point's address; write it like /ip4/192.0.2.7/tcp/9000/p2p/12D3KooW...")
             : e;
}

static kith_err add_addr(kith_config *c, const kith_config_key *key, const char *value,
                         char err[KITH_CONFIG_ERR_MAX])
{
    kith_maddr a;
    kith_maddr_tcp t;
    const char *why = "";
    if (kith_maddr_from_text(kith_bytes_str(value), &a, &why)) {
        snprintf(err, KITH_CONFIG_ERR_MAX, "%s: '%.100s' is not a multiaddr: %s", key->name, value, why);
        return KITH_EFORMAT;
    }
    if (kith_maddr_to_tcp(&a, &t) || (t.host != KITH_HOST_IP4 && t.host != KITH_HOST_IP6) || t.peer.len)
        return bad(err, key, value, "an address to listen on; write it like /ip4/0.0.0.0/tcp/9000");
    if (c->listen_count == KITH_CONFIG_LISTEN_MAX)
        return bad(err, key, value, "needed: there are 16 addresses already");
    c->listen[c->listen_count++] = a;
    return KITH_OK;
}

static kith_err add_kept(kith_config *c, const kith_config_key *key, const char *value,
                         char err[KITH_CONFIG_ERR_MAX])
{
    kith_maddr a;
    kith_peer_id peer;
    const char *why;
    if (c->keep_count == KITH_CONFIG_KEEP_MAX)
        return bad(err, key, value, "needed: there are 64 peers already");
    if (value[0] == '/' &&
        (kith_maddr_from_text(kith_bytes_str(value), &a, &why) || !kith_maddr_peer(&a, &peer)))
        return bad(err, key, value,
                   "an address that says whose it is; write it like /ip4/192.0.2.7/tcp/9000/p2p/12D3KooW...");
    if (!value[0] || strchr(value, ' ') || strlen(value) > KITH_CONFIG_TEXT_MAX)
        return bad(err, key, value, "a peer: its id, its name, or its address of up to 128 characters");
    memmove(c->keep[c->keep_count++], value, strlen(value) + 1);
    return KITH_OK;
}

kith_err kith_config_set(kith_config *c, const kith_config_key *key, const char *value,
                         char err[KITH_CONFIG_ERR_MAX])
{
    void *at = (char *)c + key->offset;
    uint64_t n;
    switch (key->type) {
    case KITH_CONFIG_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return bad(err, key, value, "true or false");
        *(bool *)at = value[0] == 't';
        return KITH_OK;
    case KITH_CONFIG_SWITCH:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return bad(err, key, value, "on or off");
        *(bool *)at = strcmp(value, "on") == 0;
        return KITH_OK;
    case KITH_CONFIG_COUNT: {
        const char *rest;
        if (!parse_number(value, &n, &rest) || *rest || n > UINT32_MAX)
            return bad(err, key, value, "a number");
        *(uint32_t *)at = (uint32_t)n;
        return KITH_OK;
    }
    case KITH_CONFIG_SIZE32:
        if (!kith_parse_size(value, &n) || n < 256 * 1024 || n > UINT32_MAX)
            return bad(err, key, value, "a size from 256KiB to 4095MiB");
        *(uint32_t *)at = (uint32_t)n;
        return KITH_OK;
    case KITH_CONFIG_SIZE64:
        if (!kith_parse_size(value, &n))
            return bad(err, key, value, "a size; write it like 512MiB");
        *(uint64_t *)at = n;
        return KITH_OK;
    case KITH_CONFIG_VOLUME:
        if (strcmp(value, "never") == 0)
            n = UINT64_MAX;
        else if (!kith_parse_size(value, &n) || n < 16 << 20) /* oftener costs the peer, which refuses */
            return bad(err, key, value, "a size from 16MiB, or never");
        *(uint64_t *)at = n;
        return KITH_OK;
    case KITH_CONFIG_DURATION: {
        kith_time t;
        if (!kith_parse_duration(value, &t) || t == 0) /* at once, or all the time: nobody means that */
            return bad(err, key, value, "a time above zero; write it like 250ms, 10s, 5m or never");
        *(kith_time *)at = t;
        return KITH_OK;
    }
    case KITH_CONFIG_LIFETIME: {
        kith_time t = 0;
        if (strcmp(value, "off") != 0 && (!kith_parse_duration(value, &t) || t > KITH_SEC(168 * 3600)))
            return bad(err, key, value, "off or a time up to 168h");
        *(kith_time *)at = t;
        return KITH_OK;
    }
    case KITH_CONFIG_PQ:
        for (unsigned i = 0; i < sizeof pq_names / sizeof *pq_names; i++) {
            if (strcmp(value, pq_names[i]) == 0) {
                *(kith_pq_policy *)at = (kith_pq_policy)i;
                return KITH_OK;
            }
        }
        return bad(err, key, value, "require, prefer or off");
    case KITH_CONFIG_LEVEL:
        if (strcmp(value, "1") != 0 && strcmp(value, "3") != 0 && strcmp(value, "5") != 0)
            return bad(err, key, value, "1, 3 or 5");
        *(uint8_t *)at = (uint8_t)(value[0] - '0');
        return KITH_OK;
    case KITH_CONFIG_ADDRS:
        return add_addr(c, key, value, err);
    case KITH_CONFIG_QKD:
        for (unsigned i = 0; i < sizeof qkd_names / sizeof *qkd_names; i++) {
            if (strcmp(value, qkd_names[i]) == 0) {
                *(kith_qkd_policy *)at = (kith_qkd_policy)i;
                return KITH_OK;
            }
        }
        return bad(err, key, value, "off, preferred or required");
    case KITH_CONFIG_SHARERS:
        return add_sharer(c, key, value, err);
    case KITH_CONFIG_SAE:
        if (value[0] && !kith_qkd_sae_ok(value))
            return bad(err, key, value, "a name of up to 128 characters without blanks");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    case KITH_CONFIG_DHT:
        for (int m = KITH_DHT_AUTO; m <= KITH_DHT_OFF; m++) {
            if (strcmp(value, kith_dht_mode_name((kith_dht_mode)m)) == 0) {
                *(kith_dht_mode *)at = (kith_dht_mode)m;
                return KITH_OK;
            }
        }
        return bad(err, key, value, "auto, client, server or off");
    case KITH_CONFIG_PROTOCOL:
        if (!kith_dht_protocol_ok(value))
            return bad(err, key, value, "a protocol id; write it like /NAME/kad/1.0.0");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    case KITH_CONFIG_PEERS:
        return add_bootstrap(c, key, value, err);
    case KITH_CONFIG_POINTS:
        return add_point(c, key, value, err);
    case KITH_CONFIG_NAMESPACE:
        if (!kith_rendezvous_ns_ok(value))
            return bad(err, key, value, "a namespace of 1 to 255 bytes of printable UTF-8");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    case KITH_CONFIG_PATH:
        if (strlen(value) > KITH_QKD_PATH_MAX)
            return bad(err, key, value, "short enough: 1023 characters at most");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    case KITH_CONFIG_KEEP:
        return add_kept(c, key, value, err);
    case KITH_CONFIG_LOOPBACK: {
        struct sockaddr_storage addr;
        const char *wanted = value[0] ? kith_metrics_http_addr(value, &addr) : NULL;
        if (wanted || strlen(value) > KITH_METRICS_HTTP_ADDR_MAX)
            return bad(err, key, value, wanted ? wanted : "short enough: 63 characters at most");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    }
    case KITH_CONFIG_NAME:
        if (value[0] && !kith_peer_name_ok(kith_bytes_str(value)))
            return bad(err, key, value, "a name of up to 64 bytes of printable UTF-8");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    case KITH_CONFIG_TEXT:
        if (strlen(value) > KITH_CONFIG_TEXT_MAX)
            return bad(err, key, value, "short enough: 128 characters at most");
        memmove(at, value, strlen(value) + 1);
        return KITH_OK;
    }
    return KITH_EFORMAT;
}

static void size_text(uint64_t v, char *out, size_t len)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    unsigned u = 0;
    for (; v && v % 1024 == 0 && u < 3; u++)
        v /= 1024;
    snprintf(out, len, "%llu%s", (unsigned long long)v, units[u]);
}

static void addrs_text(const kith_maddr *addrs, size_t count, char *out, size_t len)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && used < len; i++) {
        char text[KITH_MADDR_TEXT_MAX + 1];
        kith_maddr_text(&addrs[i], text);
        int n = snprintf(out + used, len - used, "%s%s", i ? " " : "", text);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void sharers_text(const kith_config *c, char *out, size_t len)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->qkd.peer_count && used < len; i++) {
        char peer[KITH_PEER_ID_TEXT_MAX + 1];
        kith_peer_id_text(&c->qkd.peers[i].id, peer);
        int n = snprintf(out + used, len - used, "%s%s=%s", i ? " " : "", peer, c->qkd.peers[i].sae);
        used += n > 0 ? (size_t)n : 0;
    }
}

void kith_config_text(const kith_config *c, const kith_config_key *key, char *out, size_t len)
{
    const void *at = (const char *)c + key->offset;
    switch (key->type) {
    case KITH_CONFIG_BOOL:
        snprintf(out, len, "%s", *(const bool *)at ? "true" : "false");
        return;
    case KITH_CONFIG_SWITCH:
        snprintf(out, len, "%s", *(const bool *)at ? "on" : "off");
        return;
    case KITH_CONFIG_COUNT:
        snprintf(out, len, "%u", *(const uint32_t *)at);
        return;
    case KITH_CONFIG_SIZE32:
        size_text(*(const uint32_t *)at, out, len);
        return;
    case KITH_CONFIG_SIZE64:
        size_text(*(const uint64_t *)at, out, len);
        return;
    case KITH_CONFIG_VOLUME:
        if (*(const uint64_t *)at == UINT64_MAX)
            snprintf(out, len, "never");
        else
            size_text(*(const uint64_t *)at, out, len);
        return;
    case KITH_CONFIG_LIFETIME:
    case KITH_CONFIG_DURATION: {
        kith_time t = *(const kith_time *)at;
        if (t == 0)
            snprintf(out, len, "off");
        else if (t == KITH_NEVER)
            snprintf(out, len, "never");
        else if (t % KITH_SEC(1) == 0)
            snprintf(out, len, "%llus", (unsigned long long)(t / KITH_SEC(1)));
        else
            snprintf(out, len, "%llums", (unsigned long long)(t / KITH_MS(1)));
        return;
    }
    case KITH_CONFIG_PQ:
        snprintf(out, len, "%s", pq_names[*(const kith_pq_policy *)at]);
        return;
    case KITH_CONFIG_LEVEL:
        snprintf(out, len, "%u", *(const uint8_t *)at);
        return;
    case KITH_CONFIG_ADDRS:
        addrs_text(c->listen, c->listen_count, out, len);
        return;
    case KITH_CONFIG_PEERS:
        addrs_text(c->dht.bootstrap, c->dht.bootstrap_count, out, len);
        if (c->dht.own_list && c->dht.bootstrap_count == 0)
            snprintf(out, len, "none");
        return;
    case KITH_CONFIG_POINTS:
        addrs_text(c->rendezvous.points, c->rendezvous.point_count, out, len);
        return;
    case KITH_CONFIG_DHT:
        snprintf(out, len, "%s", kith_dht_mode_name(*(const kith_dht_mode *)at));
        return;
    case KITH_CONFIG_QKD:
        snprintf(out, len, "%s", qkd_names[*(const kith_qkd_policy *)at]);
        return;
    case KITH_CONFIG_SHARERS:
        sharers_text(c, out, len);
        return;
    case KITH_CONFIG_KEEP: {
        size_t used = 0;
        out[0] = '\0';
        for (size_t i = 0; i < c->keep_count && used < len; i++) {
            int n = snprintf(out + used, len - used, "%s%s", i ? " " : "", c->keep[i]);
            used += n > 0 ? (size_t)n : 0;
        }
        return;
    }
    case KITH_CONFIG_SAE:
    case KITH_CONFIG_PROTOCOL:
    case KITH_CONFIG_NAMESPACE:
    case KITH_CONFIG_PATH:
    case KITH_CONFIG_LOOPBACK:
    case KITH_CONFIG_NAME:
    case KITH_CONFIG_TEXT:
        snprintf(out, len, "%s", (const char *)at);
        return;
    }
}

/* ---- suggestions ---- */

/* Edits between two short words, at most 63 characters of each. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strnlen(b, 63);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] && i < 64; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t same = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = same < best ? same : best;
        }
    }
    return row[n];
}

const char *kith_nearest(const char *typed, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t least = 1 + strlen(typed) / 3;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(typed, candidates[i]);
        if (d <= least && (!best || d < distance(typed, best)))
            best = candidates[i];
    }
    return best;
}

/* ---- the file ---- */

typedef struct reader {
    kith_config *c;
    const char *name;
    char *err;
} reader;

static int on_pair(void *user, const char *section, const char *key, const char *value)
{
    reader *r = user;
    char full[128], why[KITH_CONFIG_ERR_MAX];
    if (r->err[0])
        return 0;
    snprintf(full, sizeof full, "%s%s%s", section, *section ? "." : "", key);
    const kith_config_key *k = kith_config_find(full);
    if (!k) {
        const char *names[sizeof kith_config_keys / sizeof kith_config_keys[0]];
        size_t n = 0;
        for (; n < kith_config_key_count; n++)
            names[n] = kith_config_keys[n].name;
        const char *near = kith_nearest(full, names, n);
        snprintf(r->err, KITH_CONFIG_ERR_MAX, "unknown key '%.60s'%s%s%s", full,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return 0;
    }
    if (kith_config_set(r->c, k, value, why)) {
        snprintf(r->err, KITH_CONFIG_ERR_MAX, "%s", why);
        return 0;
    }
    return 1;
}

static kith_err finish(reader *r, int line, char err[KITH_CONFIG_ERR_MAX])
{
    if (line == 0) {
        r->c->listen_from_file = r->c->listen_count > 0;
        r->c->bootstrap_from_file = r->c->dht.own_list;
        r->c->points_from_file = r->c->rendezvous.point_count > 0;
        return KITH_OK;
    }
    char why[KITH_CONFIG_ERR_MAX];
    snprintf(why, sizeof why, "%s", r->err[0] ? r->err : "neither 'key = value', '[section]' nor a comment");
    if (snprintf(err, KITH_CONFIG_ERR_MAX, "%.80s:%d: %s", r->name, line, why) < 0)
        err[0] = '\0';
    return KITH_EFORMAT;
}

kith_err kith_config_parse(kith_config *c, const char *text, const char *name, char err[KITH_CONFIG_ERR_MAX])
{
    reader r = {c, name, err};
    err[0] = '\0';
    return finish(&r, ini_parse_string(text, on_pair, &r), err);
}

kith_err kith_config_load(kith_config *c, const char *path, char err[KITH_CONFIG_ERR_MAX])
{
    reader r = {c, path, err};
    err[0] = '\0';
    FILE *f = fopen(path, "re");
    if (!f) {
        if (errno == ENOENT)
            return KITH_OK;
        snprintf(err, KITH_CONFIG_ERR_MAX, "%.200s: %s", path, strerror(errno));
        return KITH_EIO;
    }
    int line = ini_parse_file(f, on_pair, &r);
    int broken = ferror(f) ? errno : 0; /* a folder opens, and only then fails to be read */
    fclose(f);
    if (broken) {
        snprintf(err, KITH_CONFIG_ERR_MAX, "%.200s: %s", path, strerror(broken));
        return KITH_EIO;
    }
    return finish(&r, line, err);
}
