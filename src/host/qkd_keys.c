/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between the node's handshakes and a KME. */
#include "host/qkd_keys.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/hash.h"

#define USED_MAX \
    4096 /* key_IDs remembered: the KME forgets a key that it has delivered; so this is the second guard */
#define REASONS_MAX 64
#define LOG_AGAIN KITH_SEC(60)

typedef struct used {
    char id[KITH_QKD_ID_LEN];
} used;

struct kith_qkd_keys {
    kith_qkd_keys_config cfg;
    kith_qkd_settings settings;
    kith_qkd *client;
    used *used; /* a ring of USED_MAX */
    size_t used_count, used_next;
    char *reasons[REASONS_MAX]; /* told to the node, which keeps the pointers */
    size_t reason_count;
    const char *logged;
    kith_time logged_at;
};

typedef struct request {
    kith_qkd_keys *keys;
    uint64_t key_id;
    const kith_qkd_peer *peer;
} request;

kith_err kith_qkd_peer_parse(const char *text, kith_qkd_peer *out)
{
    const char *eq = strchr(text, '=');
    kith_qkd_peer p = {0};
    if (!eq || kith_peer_id_from_text(kith_bytes_of(text, (size_t)(eq - text)), &p.id) ||
        !kith_qkd_sae_ok(eq + 1))
        return KITH_EFORMAT;
    snprintf(p.sae, sizeof p.sae, "%s", eq + 1);
    *out = p;
    return KITH_OK;
}

void kith_qkd_name(const char id[KITH_QKD_ID_LEN], const char *sae, uint8_t out[KITH_NOISE_KEY_NAME_LEN])
{
    uint8_t text[16 + KITH_QKD_ID_LEN + KITH_QKD_NAME_MAX], hash[KITH_SHA256_LEN];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_str(&w, "kith-qkd-sae-v1:");
    kith_put_bytes(&w, kith_bytes_of(id, KITH_QKD_ID_LEN));
    kith_put_str(&w, sae);
    assert(!w.bad);
    kith_sha256(kith_wr_bytes(&w), hash);
    memcpy(out, id, KITH_QKD_ID_LEN);
    memcpy(out + KITH_QKD_ID_LEN, hash, KITH_NOISE_KEY_NAME_LEN - KITH_QKD_ID_LEN);
}

/* ---- answers ---- */

/* A text that stays. A KME that finds ever new words gets the last place for all of them. */
static const char *keep_reason(kith_qkd_keys *k, const char *why)
{
    char text[KITH_QKD_WHY_MAX + 64];
    snprintf(text, sizeof text, "%s%s", k->cfg.policy == KITH_QKD_REQUIRED ? "qkd = required, and " : "",
             why);
    for (size_t i = 0; i < k->reason_count; i++) {
        if (strcmp(k->reasons[i], text) == 0)
            return k->reasons[i];
    }
    if (k->reason_count == REASONS_MAX)
        return "the KME gives no key; the log has its words";
    char *kept = strdup(text);
    if (!kept)
        return "the KME gives no key";
    k->reasons[k->reason_count++] = kept;
    return kept;
}

static void log_failure(kith_qkd_keys *k, const char *why, const kith_qkd_peer *peer)
{
    char line[KITH_QKD_WHY_MAX + KITH_QKD_NAME_MAX + 64];
    kith_time now = uv_hrtime();
    if (!k->cfg.log || (k->logged == why && now < k->logged_at + LOG_AGAIN))
        return;
    k->logged = why;
    k->logged_at = now;
    snprintf(line, sizeof line, "no QKD key%s%s: %s", peer ? " shared with SAE " : "", peer ? peer->sae : "",
             why);
    k->cfg.log(k->cfg.ctx, line);
}

static void refuse(kith_qkd_keys *k, uint64_t key_id, const kith_qkd_peer *peer, bool unknown,
                   const char *why)
{
    const char *kept = keep_reason(k, why);
    if (!unknown || k->cfg.policy == KITH_QKD_REQUIRED)
        log_failure(k, kept, peer);
    kith_node_key_answer a = {.unknown = unknown, .why = kept};
    k->cfg.answer(k->cfg.ctx, key_id, &a);
}

static bool was_used(const kith_qkd_keys *k, const char id[KITH_QKD_ID_LEN])
{
    for (size_t i = 0; i < k->used_count; i++) {
        if (kith_qkd_same_id(k->used[i].id, id))
            return true;
    }
    return false;
}

static void mark_used(kith_qkd_keys *k, const char id[KITH_QKD_ID_LEN])
{
    memcpy(k->used[k->used_next].id, id, KITH_QKD_ID_LEN);
    k->used_next = (k->used_next + 1) % USED_MAX;
    if (k->used_count < USED_MAX)
        k->used_count++;
}

static void on_key(void *ctx, kith_err err, const kith_qkd_key *key, const char *why)
{
    request r = *(request *)ctx;
    kith_qkd_keys *k = r.keys;
    uint8_t name[KITH_NOISE_KEY_NAME_LEN];
    free(ctx);
    if (err) {
        refuse(k, r.key_id, r.peer, false, why);
        return;
    }
    if (was_used(k, key->id)) {
        refuse(k, r.key_id, r.peer, false, "the KME gave a key that was used before");
        return;
    }
    mark_used(k, key->id);
    kith_qkd_name(key->id, k->settings.sae, name);
    kith_node_key_answer a = {.key = key->key,
                              .name = name,
                              .peer = r.peer->id,
                              .simulated = key->simulated || k->settings.simulated};
    k->cfg.answer(k->cfg.ctx, r.key_id, &a);
}

/* ---- questions ---- */

static const kith_qkd_peer *peer_of(const kith_qkd_keys *k, const kith_peer_id *id)
{
    for (size_t i = 0; i < k->settings.peer_count; i++) {
        if (kith_peer_id_eq(&k->settings.peers[i].id, id))
            return &k->settings.peers[i];
    }
    return NULL;
}

static const kith_qkd_peer *peer_of_name(const kith_qkd_keys *k, const uint8_t *name)
{
    uint8_t own[KITH_NOISE_KEY_NAME_LEN];
    for (size_t i = 0; i < k->settings.peer_count; i++) {
        kith_qkd_name((const char *)name, k->settings.peers[i].sae, own);
        if (memcmp(own, name, sizeof own) == 0)
            return &k->settings.peers[i];
    }
    return NULL;
}

static void request_key(kith_qkd_keys *k, uint64_t key_id, const kith_qkd_peer *peer, const char *id)
{
    request *r = malloc(sizeof *r);
    kith_err e = KITH_ENOMEM;
    if (r) {
        *r = (request){.keys = k, .key_id = key_id, .peer = peer};
        e = !k->client ? KITH_ESTATE
            : id       ? kith_qkd_dec_key(k->client, peer->sae, id, on_key, r)
                       : kith_qkd_enc_key(k->client, peer->sae, on_key, r);
    }
    if (!e)
        return;
    free(r);
    refuse(k, key_id, peer, false,
           e == KITH_ELIMIT   ? "too many requests wait for the KME"
           : e == KITH_ESTATE ? "the node is stopping"
                              : "no memory");
}

void kith_qkd_keys_ask(kith_qkd_keys *k, const kith_node_event *ev)
{
    if (ev->key_name.len == 0) {
        const kith_qkd_peer *peer = peer_of(k, &ev->peer);
        if (peer)
            request_key(k, ev->key_id, peer, NULL);
        else
            refuse(k, ev->key_id, NULL, true,
                   ev->peer.len ? "no SAE is configured for this peer (qkd.peer)"
                                : "no key can be shared with an address that names no peer");
        return;
    }
    assert(ev->key_name.len == KITH_NOISE_KEY_NAME_LEN);
    const char *id = (const char *)ev->key_name.p;
    const kith_qkd_peer *peer = peer_of_name(k, ev->key_name.p);
    if (!peer || !kith_qkd_is_id(kith_bytes_of(id, KITH_QKD_ID_LEN)))
        refuse(k, ev->key_id, NULL, false, "the key is of an SAE that is not configured here (qkd.peer)");
    else if (was_used(k, id))
        refuse(k, ev->key_id, peer, false, "the key was used before");
    else
        request_key(k, ev->key_id, peer, id);
}

/* ---- life ---- */

kith_qkd *kith_qkd_client(uv_loop_t *loop, const kith_qkd_settings *s, char why[KITH_QKD_WHY_MAX])
{
    kith_qkd_config cfg = {.url = s->url, .cert = s->cert, .key = s->key, .ca = s->ca};
    cfg.timeout_ms = s->timeout > KITH_SEC(3600) ? 3600000u : (unsigned)(s->timeout / KITH_MS(1));
    if (cfg.timeout_ms == 0)
        cfg.timeout_ms = 1;
    return kith_qkd_new(loop, &cfg, why);
}

kith_qkd_keys *kith_qkd_keys_new(const kith_qkd_keys_config *cfg, char why[KITH_QKD_WHY_MAX])
{
    if (!kith_qkd_sae_ok(cfg->settings->sae)) {
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.sae is not set: the name of this node's SAE");
        return NULL;
    }
    kith_qkd_keys *k = calloc(1, sizeof *k);
    snprintf(why, KITH_QKD_WHY_MAX, "no memory");
    if (!k)
        return NULL;
    k->cfg = *cfg;
    k->settings = *cfg->settings;
    k->used = calloc(USED_MAX, sizeof *k->used);
    k->client = k->used ? kith_qkd_client(cfg->loop, &k->settings, why) : NULL;
    if (!k->client) {
        kith_qkd_keys_free(k);
        return NULL;
    }
    return k;
}

void kith_qkd_keys_close(kith_qkd_keys *k)
{
    if (!k)
        return;
    kith_qkd_close(k->client); /* it goes by itself, and answers no more */
    k->client = NULL;
}

void kith_qkd_keys_free(kith_qkd_keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->reason_count; i++)
        free(k->reasons[i]);
    free(k->used);
    free(k);
}
