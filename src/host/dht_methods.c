/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests to the DHT, from their parameters to their results. */
#include "host/dht_methods.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "host/json.h"
#include "host/trust_methods.h"
#include "wire/cid.h"
#include "wire/ipns.h"

#define QUORUM 4 /* values that agree or lose before the best is told; go asks 16 of a network of thousands */
#define QUORUM_MAX 100

typedef enum job_kind { FIND, PROVIDE, PROVIDERS, PUT, GET } job_kind;

/* A request under way. */
typedef struct job {
    kith_link link;
    kith_dht_methods *owner;
    kith_rpc_call *call; /* NULL: answered */
    job_kind kind;
    kith_time since;
    uint64_t op; /* 0: none */
    bool book_waiting;
    kith_peer_id peer; /* FIND */
    json_t *addrs;
    json_t *key; /* the others: as it is told */
    size_t found;
} job;

struct kith_dht_methods {
    kith_host *host;
    kith_dht *dht;
    kith_lan *lan;
    kith_book *book;
    const kith_trust *trust;
    kith_list jobs;
    bool closed;
};

static kith_time now_of(const kith_dht_methods *m)
{
    return kith_host_now(m->host);
}

/* ---- life ---- */

static void job_free(job *j)
{
    kith_link_remove(&j->link);
    json_decref(j->addrs);
    json_decref(j->key);
    free(j);
}

static void job_done(job *j)
{
    j->call = NULL;
    if (j->op)
        kith_dht_cancel(j->owner->dht, j->op);
    j->op = 0;
    if (!j->book_waiting)
        job_free(j);
}

static void finish(job *j, json_t *result)
{
    json_object_set_new(result, "seconds", json_real((double)(now_of(j->owner) - j->since) / 1e9));
    kith_rpc_result(j->call, result);
    job_done(j);
}

static void fail(job *j, kith_err e, const char *why)
{
    kith_rpc_error(j->call, e, NULL, "%s", why);
    job_done(j);
}

static json_t *providers_result(const job *j)
{
    return json_pack("{s:O, s:I}", "key", j->key, "found", (json_int_t)j->found);
}

static void on_cancel(void *state)
{
    job *j = state;
    if (!j->call)
        return;
    if (j->kind == PROVIDERS)
        finish(j, providers_result(j));
    else
        fail(j, KITH_ECLOSED, "cancelled");
}

/* NULL: answered already. */
static job *job_new(kith_dht_methods *m, kith_rpc_call *call, job_kind kind)
{
    job *j = m->closed ? NULL : calloc(1, sizeof *j);
    if (!j) {
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return NULL;
    }
    j->owner = m;
    j->call = call;
    j->kind = kind;
    j->since = now_of(m);
    kith_list_push(&m->jobs, &j->link);
    kith_rpc_on_cancel(call, on_cancel, j);
    return j;
}

/* NULL: answered already. */
static kith_kad *kad_of(const kith_dht_methods *m, kith_rpc_call *call)
{
    kith_kad *k = kith_dht_kad(m->dht);
    if (!m->dht)
        kith_rpc_error(call, KITH_EUNSUPPORTED, NULL, "the DHT is off here; set dht = auto");
    else if (!k)
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
    return k;
}

/* ---- what people and others call things ---- */

bool kith_dht_key(const char *text, uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX], kith_bytes *out)
{
    uint8_t room[KITH_CID_MAX];
    kith_cid cid;
    if (kith_cid_from_text(kith_bytes_str(text), kith_span_of(room, sizeof room), &cid)) {
        buf[0] = 0x12; /* sha2-256 */
        buf[1] = KITH_SHA256_LEN;
        kith_sha256(kith_bytes_str(text), buf + 2);
        *out = kith_bytes_of(buf, 2 + KITH_SHA256_LEN);
        return true;
    }
    if (cid.hash_bytes.len > KITH_KAD_PROVIDER_KEY_MAX)
        return false;
    memcpy(buf, cid.hash_bytes.p, cid.hash_bytes.len);
    *out = kith_bytes_of(buf, cid.hash_bytes.len);
    return true;
}

static json_t *cid_json(kith_bytes hash)
{
    uint8_t bin[KITH_CID_MAX], text[2 * KITH_CID_MAX];
    kith_wr w = kith_wr_of(kith_span_of(bin, sizeof bin)), t = kith_wr_of(kith_span_of(text, sizeof text));
    kith_put_cid(&w, KITH_CODEC_RAW, hash);
    kith_multibase_put(&t, KITH_BASE32, kith_wr_bytes(&w));
    return kith_json_bytes(kith_wr_bytes(&t));
}

/* The provider key of params; false: answered already, and the job is gone. */
static bool provider_key(job *j, const json_t *params, uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX],
                         kith_bytes *out)
{
    const char *text = json_string_value(json_object_get(params, "key"));
    if (!text || !*text || !kith_dht_key(text, buf, out)) {
        kith_rpc_bad_params(j->call, "'key' must be a CID or a name");
        job_done(j);
        return false;
    }
    j->key = cid_json(*out);
    return true;
}

/* The key of a value: /pk/PEER with a peer id as text, which stands there in binary. */
static bool value_key(job *j, const json_t *params, uint8_t buf[KITH_KAD_KEY_MAX], kith_bytes *out,
                      kith_peer_id *peer)
{
    const char *text = json_string_value(json_object_get(params, "key"));
    const char *rest = text && text[0] == '/' ? strchr(text + 1, '/') : NULL;
    kith_wr w = kith_wr_of(kith_span_of(buf, KITH_KAD_KEY_MAX));
    *peer = (kith_peer_id){0};
    if (rest && kith_peer_id_from_text(kith_bytes_str(rest + 1), peer) == KITH_OK) {
        kith_put_bytes(&w, kith_bytes_of(text, (size_t)(rest + 1 - text)));
        kith_put_bytes(&w, kith_peer_id_bytes(peer));
    } else if (rest) {
        kith_put_bytes(&w, kith_bytes_str(text));
    }
    if (!rest || w.bad) {
        kith_rpc_bad_params(j->call, "'key' must be /NAMESPACE/REST, such as /pk/12D3KooW...");
        job_done(j);
        return false;
    }
    *out = kith_wr_bytes(&w);
    j->key = kith_json_text(text);
    return true;
}

static json_t *peer_json(const job *j, const char *event, const kith_kad_peer *p)
{
    json_t *o = json_pack("{s:s, s:o, s:[]}", "event", event, "peer", kith_json_peer(&p->id), "addrs");
    kith_bytes packed = kith_addrs_bytes(&p->addrs);
    kith_maddr a;
    kith_json_add_trust(o, j->owner->trust, &p->id);
    while (kith_addrs_next(&packed, &a)) {
        if (kith_maddr_set_peer(&a, &p->id) == KITH_OK)
            json_array_append_new(json_object_get(o, "addrs"), kith_json_addr(&a));
    }
    return o;
}

static json_t *base64_json(kith_bytes b)
{
    static uint8_t text[KITH_KAD_VALUE_MAX * 3 / 2];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_base_put(&w, KITH_BASE64URL, b);
    return kith_json_bytes(kith_wr_bytes(&w));
}

/* Where a name points to, in words; NULL: in none. A binary CID is short for its path. */
static json_t *target_json(kith_bytes value)
{
    uint8_t text[2 * KITH_CID_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_cid cid;
    if (value.len > 0 && value.p[0] != '/' && kith_cid_parse(value, &cid) == KITH_OK) {
        kith_put_str(&w, "/ipfs/");
        kith_put_cid_text(&w, &cid, cid.version == 0 ? KITH_BASE58 : KITH_BASE32);
        return kith_json_bytes(kith_wr_bytes(&w));
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] <= ' ' || value.p[i] > '~')
            return NULL;
    }
    return value.len ? kith_json_bytes(value) : NULL;
}

/* What an IPNS record says, beside its bytes. */
static void add_ipns(json_t *result, const json_t *key, kith_bytes value)
{
    static const char prefix[] = "/ipns/";
    const char *text = json_string_value(key);
    kith_ipns r;
    if (!text || strncmp(text, prefix, sizeof prefix - 1) != 0 || kith_ipns_read(value, &r))
        return;
    json_object_set_new(result, "ipns",
                        json_pack("{s:o*, s:I, s:I, s:f}", "value", target_json(r.value), "sequence",
                                  (json_int_t)r.sequence, "valid_until", (json_int_t)r.eol, "ttl",
                                  (double)r.ttl / 1e9));
}

/* ---- finding a peer ---- */

static void add_addr(job *j, const kith_maddr *addr, const char *source)
{
    kith_maddr a = *addr;
    json_t *text, *o;
    size_t i;
    if (kith_maddr_set_peer(&a, &j->peer) || !(text = kith_json_addr(&a)))
        return;
    json_array_foreach(j->addrs, i, o)
    {
        if (json_equal(json_object_get(o, "addr"), text)) {
            json_decref(text);
            return;
        }
    }
    json_array_append_new(j->addrs, json_pack("{s:o, s:s}", "addr", text, "source", source));
}

static void find_over(job *j, const char *why)
{
    const kith_dht_methods *m = j->owner;
    bool connected = kith_node_conn_find(kith_host_node(m->host), &j->peer) != NULL;
    if (json_array_size(j->addrs) == 0 && !connected) {
        kith_rpc_error(j->call, KITH_ENOTFOUND, NULL,
                       "no address of it is known here or on the local network, and %s", why);
        job_done(j);
        return;
    }
    json_t *r = json_pack("{s:o, s:b, s:O}", "peer", kith_json_peer(&j->peer), "connected", connected,
                          "addrs", j->addrs);
    kith_json_add_trust(r, m->trust, &j->peer);
    finish(j, r);
}

static const char *find_words(const kith_kad_event *ev)
{
    return ev->err == KITH_ECLOSED     ? "nobody in the DHT could be asked; 'kith dht status' tells more"
           : ev->err == KITH_ENOTFOUND ? "the DHT knows none"
           : ev->why                   ? ev->why
                                       : kith_err_text(ev->err);
}

static void on_found(void *ctx, const kith_kad_event *ev)
{
    job *j = ctx;
    kith_bytes packed = ev->peer_count ? kith_addrs_bytes(&ev->peers[0].addrs) : (kith_bytes){0};
    kith_maddr a;
    j->op = 0;
    while (kith_addrs_next(&packed, &a))
        add_addr(j, &a, "kademlia");
    find_over(j, find_words(ev));
}

static void find_in_dht(job *j)
{
    const kith_dht_methods *m = j->owner;
    kith_kad *k = kith_dht_kad(m->dht);
    if (!k || kith_node_conn_find(kith_host_node(m->host), &j->peer))
        find_over(j, "the DHT is off here");
    else if (kith_kad_find_peer(k, now_of(m), &j->peer, &j->op) ||
             kith_dht_follow(m->dht, j->op, on_found, j)) {
        j->op = 0;
        find_over(j, "there is no memory to ask the DHT");
    }
}

static void on_book(void *ctx, const kith_book_row *rows, size_t count)
{
    job *j = ctx;
    j->book_waiting = false;
    if (!j->call) {
        job_free(j);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].addr.len)
            add_addr(j, &rows[i].addr, kith_book_source_name(rows[i].source));
    }
    find_in_dht(j);
}

void kith_dht_run_find_peer(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    const char *text = json_string_value(json_object_get(params, "peer"));
    kith_peer_id peer;
    if (!text || !kith_trust_resolve(m->trust, text, &peer)) {
        kith_rpc_bad_params(call, "'peer' must be a peer id or the name of a known peer");
        return;
    }
    job *j = job_new(m, call, FIND);
    if (!j)
        return;
    j->peer = peer;
    j->addrs = json_array();
    kith_conn *c = kith_node_conn_find(kith_host_node(m->host), &peer);
    kith_conn_facts f = {0};
    if (c)
        kith_conn_facts_get(c, &f);
    if (c && !f.inbound) /* an inbound one comes from a port that nobody listens on */
        add_addr(j, &f.remote, "connection");
    kith_maddr addrs[KITH_LAN_ADDRS_MAX];
    size_t n = kith_lan_addrs(m->lan, &peer, addrs, KITH_LAN_ADDRS_MAX);
    for (size_t i = 0; i < n; i++)
        add_addr(j, &addrs[i], "mdns");
    j->book_waiting = m->book && kith_book_ask(m->book, &peer, KITH_BOOK_ADDRS_MAX, on_book, j) == KITH_OK;
    if (!j->book_waiting)
        find_in_dht(j);
}

/* ---- the others ---- */

static void on_event(void *ctx, const kith_kad_event *ev)
{
    job *j = ctx;
    if (ev->kind == KITH_KAD_PROVIDER) {
        for (size_t i = 0; i < ev->peer_count; i++) {
            j->found++;
            kith_rpc_event(j->call, peer_json(j, "provider", &ev->peers[i]));
        }
        return;
    }
    j->op = 0;
    if (ev->err == KITH_ECLOSED && ev->lookup.asked == 0) {
        fail(
            j, KITH_ENOTFOUND,
            "nobody in the DHT is known; give a peer to join it by with --bootstrap, and see 'kith dht status'");
        return;
    }
    if (ev->err && !(j->kind == PROVIDERS && j->found > 0)) {
        fail(j, ev->err, ev->why ? ev->why : kith_err_text(ev->err));
        return;
    }
    json_t *r = j->kind == PROVIDERS ? providers_result(j) : json_pack("{s:O}", "key", j->key);
    if (j->kind == PROVIDE || j->kind == PUT)
        json_object_set_new(r, "reached", json_integer(ev->reached));
    if (j->kind == GET) {
        json_object_set_new(r, "base64", base64_json(ev->value));
        add_ipns(r, j->key, ev->value);
    }
    finish(j, r);
}

/* Follows an op that began, or did not. */
static void go_on(job *j, kith_err e)
{
    if (!e)
        e = kith_dht_follow(j->owner->dht, j->op, on_event, j);
    if (!e)
        return;
    j->op = 0;
    fail(j, e,
         e == KITH_EUNSUPPORTED ? "the DHT keeps only values that can be checked: /pk/PEER, /ipns/NAME"
         : e == KITH_ELIMIT     ? "too much is under way or provided already; try again later"
         : e == KITH_ETIMEOUT   ? "this record has expired; let the owner of its name publish it again"
         : e == KITH_EFORMAT || e == KITH_EAUTH || e == KITH_ECRYPTO
             ? "this value may not stand under this key"
             : kith_err_text(e));
}

void kith_dht_run_provide(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX];
    kith_bytes key;
    kith_kad *k = kad_of(m, call);
    job *j = k ? job_new(m, call, PROVIDE) : NULL;
    if (!j || !provider_key(j, params, buf, &key))
        return;
    kith_err e = kith_kad_provide(k, now_of(m), key, &j->op);
    if (!e)
        kith_dht_keep_provided(m->dht, key, true);
    go_on(j, e);
}

void kith_dht_run_unprovide(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX];
    kith_bytes key;
    kith_kad *k = kad_of(m, call);
    job *j = k ? job_new(m, call, PROVIDE) : NULL;
    if (!j || !provider_key(j, params, buf, &key))
        return;
    if (!kith_kad_unprovide(k, key)) {
        fail(j, KITH_ENOTFOUND, "this node does not provide it");
        return;
    }
    kith_dht_keep_provided(m->dht, key, false);
    finish(j, json_pack("{s:O}", "key", j->key));
}

/* A number of params in 1..max; false: answered already, and the job is gone. */
static bool number(job *j, const json_t *params, const char *name, unsigned max, unsigned *out)
{
    const json_t *v = json_object_get(params, name);
    json_int_t n = json_integer_value(v);
    if (!v)
        return true;
    if (!json_is_integer(v) || n < 1 || n > max) {
        kith_rpc_bad_params(j->call, "'%s' must be an integer from 1 to %u", name, max);
        job_done(j);
        return false;
    }
    *out = (unsigned)n;
    return true;
}

void kith_dht_run_providers(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    uint8_t buf[KITH_KAD_PROVIDER_KEY_MAX];
    kith_bytes key;
    unsigned most = 20;
    kith_kad *k = kad_of(m, call);
    job *j = k ? job_new(m, call, PROVIDERS) : NULL;
    if (!j || !provider_key(j, params, buf, &key) || !number(j, params, "count", KITH_KAD_FOUND_MAX, &most))
        return;
    go_on(j, kith_kad_find_providers(k, now_of(m), key, most, &j->op));
}

void kith_dht_run_put(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    static uint8_t room[KITH_KAD_VALUE_MAX];
    uint8_t buf[KITH_KAD_KEY_MAX];
    kith_wr w = kith_wr_of(kith_span_of(room, sizeof room));
    kith_bytes key;
    kith_peer_id peer;
    const json_t *text = json_object_get(params, "base64");
    kith_kad *k = kad_of(m, call);
    job *j = k ? job_new(m, call, PUT) : NULL;
    if (!j || !value_key(j, params, buf, &key, &peer))
        return;
    if (!text) /* what the key itself says */
        kith_put_bytes(&w, kith_peer_id_inline_key(&peer));
    else if (!json_is_string(text) ||
             kith_base_get(kith_bytes_of(json_string_value(text), json_string_length(text)), KITH_BASE64URL,
                           &w)) {
        kith_rpc_bad_params(j->call, "'base64' must be up to 10240 bytes as base64url without padding");
        job_done(j);
        return;
    }
    go_on(j, kith_kad_put(k, now_of(m), key, kith_wr_bytes(&w), &j->op));
}

void kith_dht_run_get(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    uint8_t buf[KITH_KAD_KEY_MAX];
    kith_bytes key;
    kith_peer_id peer;
    unsigned quorum = QUORUM;
    kith_kad *k = kad_of(m, call);
    job *j = k ? job_new(m, call, GET) : NULL;
    if (!j || !value_key(j, params, buf, &key, &peer) || !number(j, params, "quorum", QUORUM_MAX, &quorum))
        return;
    go_on(j, kith_kad_get(k, now_of(m), key, quorum, &j->op));
}

/* ---- status ---- */

static json_t *table_json(const kith_dht_methods *m, const kith_kad_table *t)
{
    json_t *list = json_array();
    kith_time now = now_of(m);
    for (unsigned b = 0; b < KITH_KAD_BUCKETS; b++) {
        KITH_EACH (&t->buckets[b], l) {
            const kith_kad_entry *e = KITH_OF(l, kith_kad_entry, link);
            json_array_append_new(list, json_pack("{s:o, s:i, s:I}", "peer", kith_json_peer(&e->id), "bucket",
                                                  (int)b, "seconds",
                                                  (json_int_t)((now - e->answered_at) / KITH_SEC(1))));
        }
    }
    return list;
}

void kith_dht_run_status(kith_dht_methods *m, kith_rpc_call *call, const json_t *params)
{
    if (!m->dht) {
        kith_rpc_result(call, json_pack("{s:s}", "mode", "off"));
        return;
    }
    kith_dht_facts f = kith_dht_look(m->dht);
    kith_kad *k = f.started ? kith_dht_kad(m->dht) : NULL;
    kith_kad_facts kf = {0};
    if (k)
        kf = kith_kad_look(k);
    json_t *r = json_pack(
        "{s:s, s:s, s:b, s:b, s:i, s:b, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:i, s:i}",
        "mode", kith_dht_mode_name(f.mode), "protocol", kith_dht_settings_of(m->dht)->protocol, "started",
        f.started, "server", f.server, "public_networks", (int)f.public_networks, "waiting", f.waiting,
        "bootstrap", (int)f.bootstrap, "remembered", (int)f.remembered, "peers", (int)kf.peers, "depth",
        (int)kf.depth, "asked", (json_int_t)kf.asked, "failed", (json_int_t)kf.failed, "served",
        (json_int_t)kf.served, "refused", (json_int_t)kf.refused, "streams", (int)kf.streams, "provides",
        (int)kf.provides, "values", (int)kf.store.values, "values_bytes", (json_int_t)kf.store.values_bytes,
        "providers", (int)kf.store.providers, "provider_keys", (int)kf.store.keys);
    if (k && json_is_true(json_object_get(params, "detailed")))
        json_object_set_new(r, "table", table_json(m, kith_kad_table_of(k)));
    kith_rpc_result(call, r);
}

/* ---- life of all ---- */

kith_dht_methods *kith_dht_methods_new(kith_host *h, kith_dht *dht, kith_lan *lan, kith_book *book,
                                       const kith_trust *trust)
{
    kith_dht_methods *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    *m = (kith_dht_methods){.host = h, .dht = dht, .lan = lan, .book = book, .trust = trust};
    kith_list_init(&m->jobs);
    return m;
}

void kith_dht_methods_close(kith_dht_methods *m)
{
    if (!m || m->closed)
        return;
    m->closed = true;
    KITH_EACH (&m->jobs, l) {
        job *j = KITH_OF(l, job, link);
        if (j->call)
            fail(j, KITH_ECLOSED, "the node is stopping");
    }
}

void kith_dht_methods_free(kith_dht_methods *m)
{
    if (!m)
        return;
    KITH_EACH (&m->jobs, l) /* the book gave no answer any more */
        job_free(KITH_OF(l, job, link));
    free(m);
}
