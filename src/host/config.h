/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The configuration: one table of keys that the INI file, the command line and the documentation share. */
#ifndef KITH_HOST_CONFIG_H
#define KITH_HOST_CONFIG_H

#include "host/dht.h"
#include "host/metrics_http.h"
#include "host/qkd_keys.h"
#include "host/rendezvous.h"
#include "node/node.h"

#define KITH_CONFIG_LISTEN_MAX 16
#define KITH_CONFIG_KEEP_MAX 64
#define KITH_CONFIG_ERR_MAX 320
#define KITH_CONFIG_TEXT_MAX KITH_IDENTIFY_AGENT_MAX

typedef struct kith_config {
    kith_node_config node; /* agent points to `agent` below */
    kith_maddr listen[KITH_CONFIG_LISTEN_MAX];
    size_t listen_count; /* 0: the default port, on IPv4 and IPv6 */
    bool perf;           /* serve /perf/1.0.0 */
    char agent[KITH_CONFIG_TEXT_MAX + 1];
    char name[KITH_CONFIG_TEXT_MAX + 1]; /* what this node calls itself; "": the host's name, "-": nothing */
    char dns[KITH_CONFIG_TEXT_MAX + 1];  /* name servers instead of the system's */
    char network_key[KITH_QKD_PATH_MAX + 1]; /* file with the key of the private network; "": none */
    kith_qkd_settings qkd;
    char metrics[KITH_METRICS_HTTP_ADDR_MAX + 1]; /* where kith up serves them over HTTP; "": nowhere */
    bool mdns;             /* look for peers on the local network, and be found there */
    uint32_t mdns_connect; /* so many of them are connected to by a node that stays */
    uint32_t conns_low,
        conns_high; /* kith up trims connections above the second down to the first; 0: never */
    kith_time conns_grace;
    char keep[KITH_CONFIG_KEEP_MAX]
             [KITH_CONFIG_TEXT_MAX + 1]; /* peers that kith up stays connected to, as given */
    size_t keep_count;
    bool no_aes;                                  /* node.aes is for the session to decide */
    bool gossip;                                  /* kith up speaks gossipsub */
    char gossip_topics[KITH_CONFIG_TEXT_MAX + 1]; /* and is in these topics, separated by spaces */
    uint64_t share_limit_up,
        share_limit_down; /* bytes a second, of all transfers of the home together; 0: none */
    kith_dht_settings dht;
    kith_rendezvous_settings rendezvous;
    uint64_t share_cache;     /* bytes of disk for the hashes of what was shared; 0: none */
    bool listen_from_file;    /* the next --listen replaces what the file said */
    bool bootstrap_from_file; /* and --bootstrap */
    bool points_from_file;    /* and --rendezvous.point */
} kith_config;

typedef enum kith_config_type {
    KITH_CONFIG_BOOL,   /* true, false */
    KITH_CONFIG_SWITCH, /* on, off */
    KITH_CONFIG_COUNT,  /* 0 .. 2^32-1 */
    KITH_CONFIG_SIZE32, /* bytes: 65536, 64KiB, 16MiB */
    KITH_CONFIG_SIZE64,
    KITH_CONFIG_VOLUME,    /* 64GiB, never; 16MiB at least */
    KITH_CONFIG_DURATION,  /* 250ms, 10s, 5m, 1h, never */
    KITH_CONFIG_LIFETIME,  /* off, 30m, 24h; 168h at most */
    KITH_CONFIG_PQ,        /* require, prefer, off */
    KITH_CONFIG_LEVEL,     /* 1, 3, 5 */
    KITH_CONFIG_ADDRS,     /* a multiaddr; may be given several times */
    KITH_CONFIG_QKD,       /* off, preferred, required */
    KITH_CONFIG_SHARERS,   /* PEER=SAE; may be given several times */
    KITH_CONFIG_SAE,       /* a name of up to KITH_QKD_NAME_MAX characters */
    KITH_CONFIG_DHT,       /* auto, client, server, off */
    KITH_CONFIG_PROTOCOL,  /* /NAME/kad/1.0.0 */
    KITH_CONFIG_PEERS,     /* a multiaddr with /p2p, or none; may be given several times */
    KITH_CONFIG_POINTS,    /* a multiaddr with /p2p; may be given several times */
    KITH_CONFIG_NAMESPACE, /* kith_rendezvous_ns_ok */
    KITH_CONFIG_PATH,      /* up to KITH_QKD_PATH_MAX bytes */
    KITH_CONFIG_KEEP, /* a peer id, the name of a known peer, or an address that ends in /p2p; may be given several times */
    KITH_CONFIG_LOOPBACK, /* 127.0.0.1:9464, [::1]:0 */
    KITH_CONFIG_NAME,     /* - or kith_peer_name_ok */
    KITH_CONFIG_TEXT,     /* up to KITH_CONFIG_TEXT_MAX bytes */
} kith_config_type;

typedef struct kith_config_key {
    const char *name; /* section.key in the file; --section.key, with - for _, on the command line */
    kith_config_type type;
    size_t offset; /* in kith_config */
    const char *help;
} kith_config_key;

extern const kith_config_key kith_config_keys[];
extern const size_t kith_config_key_count;
/* Whether it may be given several times. */
bool kith_config_is_list(const kith_config_key *key);
/* NULL: unknown. Takes - for _. */
const kith_config_key *kith_config_find(const char *name);

void kith_config_default(kith_config *c);
/* KITH_EFORMAT: err says what is wrong with the value. */
KITH_CHECK kith_err kith_config_set(kith_config *c, const kith_config_key *key, const char *value,
                                    char err[KITH_CONFIG_ERR_MAX]);
/* Reads an INI file; one that does not exist is empty. KITH_EFORMAT, KITH_EIO: err has file and line. */
KITH_CHECK kith_err kith_config_load(kith_config *c, const char *path, char err[KITH_CONFIG_ERR_MAX]);
/* The same from memory, for tests and fuzzers. */
KITH_CHECK kith_err kith_config_parse(kith_config *c, const char *text, const char *name,
                                      char err[KITH_CONFIG_ERR_MAX]);
/* The value as the file would have it, NUL-terminated. */
void kith_config_text(const kith_config *c, const kith_config_key *key, char *out, size_t len);

/* "16MiB", "64K", "1000" -> bytes (K, KiB = 1024). False: not a size, or more than 2^63. */
bool kith_parse_size(const char *text, uint64_t *out);
bool kith_parse_duration(const char *text, kith_time *out);
/* The candidate nearest to what was typed, or NULL when none is near. */
const char *kith_nearest(const char *typed, const char *const *candidates, size_t count);

#endif
