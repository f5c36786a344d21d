/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys of quantum key distribution for a node's handshakes: what the node asks (KITH_NODE_KEY), asked of a KME and answered. Which peer
 * is which SAE is configured; a key serves only the peer that it is shared with, and once. */
#ifndef KITH_HOST_QKD_KEYS_H
#define KITH_HOST_QKD_KEYS_H

#include "host/qkd.h"
#include "node/node.h"

#define KITH_QKD_PEERS_MAX 32
#define KITH_QKD_PATH_MAX 1023

typedef struct kith_qkd_peer {
    kith_peer_id id;
    char sae[KITH_QKD_NAME_MAX + 1];
} kith_qkd_peer;

/* Section [qkd] of the configuration. */
typedef struct kith_qkd_settings {
    char url[KITH_QKD_PATH_MAX + 1], cert[KITH_QKD_PATH_MAX + 1], key[KITH_QKD_PATH_MAX + 1],
        ca[KITH_QKD_PATH_MAX + 1];
    char sae[KITH_QKD_NAME_MAX + 1]; /* our own SAE id */
    kith_qkd_peer peers[KITH_QKD_PEERS_MAX];
    size_t peer_count;
    kith_time timeout;
    bool simulated; /* whatever the KME says, its keys come from no quantum channel */
} kith_qkd_settings;

typedef struct kith_qkd_keys kith_qkd_keys;

/* From settings to a client; why says what is missing. */
kith_qkd *kith_qkd_client(uv_loop_t *loop, const kith_qkd_settings *s, char why[KITH_QKD_WHY_MAX]);

typedef struct kith_qkd_keys_config {
    uv_loop_t *loop;
    const kith_qkd_settings *settings; /* copied */
    kith_qkd_policy policy;
    /* Gives the node the answer. answer->why lives as long as the keys do. */
    void (*answer)(void *ctx, uint64_t key_id, const kith_node_key_answer *answer);
    void (*log)(void *ctx,
                const char *line); /* each failure, for people; the same one again after a minute */
    void *ctx;
} kith_qkd_keys_config;

/* NULL: why says what is missing or wrong. */
kith_qkd_keys *kith_qkd_keys_new(const kith_qkd_keys_config *cfg, char why[KITH_QKD_WHY_MAX]);
/* Answers all that is under way; the loop must run on for a turn. Nothing is answered afterwards. */
void kith_qkd_keys_close(kith_qkd_keys *k);
/* When the loop has ended and the node is gone. Accepts NULL. */
void kith_qkd_keys_free(kith_qkd_keys *k);
/* A KITH_NODE_KEY event. The answer may come from inside the call. */
void kith_qkd_keys_ask(kith_qkd_keys *k, const kith_node_event *ev);

/* "PEER=SAE". KITH_EFORMAT. */
KITH_CHECK kith_err kith_qkd_peer_parse(const char *text, kith_qkd_peer *out);

/* What tells a key's owner, and nobody who does not know their SAE id, whose key it is: docs/protocols/noise.md, "A key from elsewhere". */
void kith_qkd_name(const char id[KITH_QKD_ID_LEN], const char *sae, uint8_t out[KITH_NOISE_KEY_NAME_LEN]);

#endif
