/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Looking at known peers, and changing what is held of them, for users. */
#include "host/trust_methods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/json.h"
#include "node/trust_text.h"
#include "node/verify.h"

#define IMPORT_MAX (16u << 20) /* bytes of a file */

static const char *text_param(const json_t *params, const char *name)
{
    const char *s = json_string_value(json_object_get(params, name));
    return s ? s : "";
}

bool kith_trust_resolve(const kith_trust *t, const char *text, kith_peer_id *out)
{
    if (kith_peer_id_from_text(kith_bytes_str(text), out) == KITH_OK)
        return true;
    const kith_trust_row *r = t ? kith_trust_named(t, kith_bytes_str(text)) : NULL;
    if (r)
        *out = r->peer;
    return r != NULL;
}

/* ---- as JSON ---- */

static json_t *json_key(const kith_pq_id *id)
{
    char text[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(id, text);
    return json_string(text);
}

json_t *kith_json_trust(const kith_trust_row *r)
{
    return json_pack(
        "{s:o, s:o, s:s, s:o, s:s, s:s, s:s, s:i, s:b, s:b, s:I, s:I, s:I}", "peer", kith_json_peer(&r->peer),
        "name", kith_json_text(r->name), "trust", kith_trust_how_name(r->how), "key", json_key(&r->pq),
        "key_type", r->sig ? kith_sig_info_of(r->sig)->name : "", "key_trust",
        r->pq.len ? kith_trust_how_name(r->pq_how) : "", "policy", kith_trust_policy_name(r->policy), "level",
        r->level, "blocked", r->blocked, "kept", kith_trust_kept(r), "sequence", (json_int_t)r->sequence,
        "first", (json_int_t)r->first, "last", (json_int_t)r->last);
}

void kith_json_add_trust(json_t *o, const kith_trust *t, const kith_peer_id *peer)
{
    const kith_trust_row *r = t ? kith_trust_find(t, peer) : NULL;
    json_object_set_new(o, "name", kith_json_text(r ? r->name : ""));
    json_object_set_new(o, "trust", json_string(r ? kith_trust_how_name(r->how) : ""));
}

/* ---- looking ---- */

/* An order that does not change from one piece to the next. */
static int by_peer(const void *a, const void *b)
{
    const kith_trust_row *x = *(const kith_trust_row *const *)a, *y = *(const kith_trust_row *const *)b;
    return memcmp(&x->peer, &y->peer, sizeof x->peer);
}

/* Rows for one answer, in order: all, or those that are kept. */
typedef struct piece {
    const kith_trust_row **rows; /* free it */
    size_t count;
    const kith_trust_row *next; /* the last one, when others come behind it: for `after`; else NULL */
} piece;

/* False: answered already. */
static bool piece_of(const kith_trust *t, bool all, kith_rpc_call *call, const json_t *params, piece *out)
{
    const char *after = text_param(params, "after");
    kith_trust_row begin = {0};
    *out = (piece){0};
    if (*after && kith_peer_id_from_text(kith_bytes_str(after), &begin.peer) != KITH_OK) {
        kith_rpc_bad_params(call, "'after' must be the 'next' of the piece before");
        return false;
    }
    out->rows = calloc(kith_trust_count(t) + 1, sizeof(const kith_trust_row *));
    if (!out->rows) {
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return false;
    }
    const kith_trust_row *from = &begin;
    for (const kith_trust_row *r = NULL; (r = kith_trust_next(t, r));) {
        if ((all || kith_trust_kept(r)) && (!*after || by_peer(&r, &from) > 0))
            out->rows[out->count++] = r;
    }
    qsort(out->rows, out->count, sizeof(const kith_trust_row *), by_peer);
    if (out->count > KITH_TRUST_PIECE) {
        out->count = KITH_TRUST_PIECE;
        out->next = out->rows[out->count - 1];
    }
    return true;
}

/* Answers with a piece, which ends. */
static void piece_result(piece *p, kith_rpc_call *call, json_t *result)
{
    if (p->next)
        json_object_set_new(result, "next", kith_json_peer(&p->next->peer));
    free(p->rows);
    kith_rpc_result(call, result);
}

void kith_trust_run_list(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    piece p;
    if (!piece_of(d->trust, true, call, params, &p))
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < p.count; i++)
        json_array_append_new(list, kith_json_trust(p.rows[i]));
    piece_result(&p, call, json_pack("{s:o}", "peers", list));
}

/* False: answered already. */
static bool peer_param(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params, kith_peer_id *out)
{
    const char *text = text_param(params, "peer");
    if (kith_trust_resolve(d->trust, text, out))
        return true;
    kith_rpc_error(call, KITH_ENOTFOUND, NULL,
                   "'%.100s' is neither a peer id nor the name of a known peer; 'kith trust list' shows them",
                   text);
    return false;
}

void kith_trust_run_show(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    kith_peer_id peer;
    if (!peer_param(d, call, params, &peer))
        return;
    const kith_trust_row *r = kith_trust_find(d->trust, &peer);
    if (r)
        kith_rpc_result(call, kith_json_trust(r));
    else
        kith_rpc_error(call, KITH_ENOTFOUND, NULL, "%s is not known", text_param(params, "peer"));
}

void kith_trust_run_export(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    piece p;
    if (!piece_of(d->trust, json_is_true(json_object_get(params, "all")), call, params, &p))
        return;
    size_t cap = sizeof KITH_TRUST_TEXT_HEAD + p.count * KITH_TRUST_LINE_MAX;
    char *text = malloc(cap);
    if (!text) {
        free(p.rows);
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
        return;
    }
    kith_wr w = kith_wr_of(kith_span_of(text, cap));
    if (!*text_param(params, "after"))
        kith_put_str(&w, KITH_TRUST_TEXT_HEAD);
    for (size_t i = 0; i < p.count; i++)
        (void)!kith_trust_put_line(&w, p.rows[i]);
    json_t *result =
        json_pack("{s:o, s:I}", "text", kith_json_bytes(kith_wr_bytes(&w)), "peers", (json_int_t)p.count);
    free(text);
    piece_result(&p, call, result);
}

/* ---- changes ---- */

/* A change under way, until it is on the disk. */
typedef struct change {
    kith_trust_desk desk;
    kith_rpc_call *call;
    kith_peer_id peer;
    bool ends;        /* whoever is connected goes */
    json_int_t count; /* of an import */
} change;

static void disconnect(const kith_trust_desk *d, const kith_peer_id *peer)
{
    kith_node *n = d->host ? kith_host_node(d->host) : NULL;
    kith_conn_facts f;
    for (kith_conn *c = NULL; n && (c = kith_node_conn_next(n, c));) {
        kith_conn_facts_get(c, &f);
        if (f.open && kith_peer_id_eq(&f.peer, peer))
            kith_node_send_away(n, kith_host_now(d->host), c);
    }
    if (d->host)
        kith_host_kick(d->host);
}

static void on_changed(void *ctx, kith_err err, const char *why)
{
    change *c = ctx;
    const kith_trust_row *r = kith_trust_find(c->desk.trust, &c->peer);
    if (!err && c->desk.host) /* what is held of a peer has changed: it shows its key again the next time */
        kith_node_forget_sessions(kith_host_node(c->desk.host), c->count ? NULL : &c->peer);
    if (!err && c->ends)
        disconnect(&c->desk, &c->peer);
    if (err)
        kith_rpc_error(c->call, err, NULL, "%s", why);
    else if (c->count)
        kith_rpc_result(c->call, json_pack("{s:I}", "imported", c->count));
    else
        kith_rpc_result(c->call,
                        r ? kith_json_trust(r) : json_pack("{s:o}", "forgotten", kith_json_peer(&c->peer)));
    free(c);
}

static void submit(const kith_trust_desk *d, kith_rpc_call *call, const kith_trust_edit *edits, size_t count,
                   bool ends, bool import)
{
    change *c = calloc(1, sizeof *c);
    if (c)
        *c = (change){.desk = *d,
                      .call = call,
                      .peer = edits[0].peer,
                      .ends = ends,
                      .count = import ? (json_int_t)count : 0};
    if (!c || kith_trust_edit_all(d->trust, edits, count, on_changed, c)) {
        free(c);
        kith_rpc_error(call, KITH_ENOMEM, NULL, "no memory");
    }
}

static bool name_param(kith_rpc_call *call, const json_t *params, kith_trust_edit *e)
{
    const char *name = text_param(params, "name"),
               *wrong = *name ? kith_trust_name_wrong(kith_bytes_str(name)) : NULL;
    if (wrong) {
        kith_rpc_bad_params(call, "this cannot be a name: %s", wrong);
        return false;
    }
    snprintf(e->name, sizeof e->name, "%s", name);
    return true;
}

/* "": none, nor is "none". */
static bool key_param(kith_rpc_call *call, const json_t *params, kith_trust_edit *e)
{
    const char *key = text_param(params, "key");
    if (*key && strcmp(key, "none") != 0 && kith_pq_id_from_text(kith_bytes_str(key), &e->pq)) {
        kith_rpc_bad_params(call, "'%.100s' is not the id of a post-quantum key, like Qm...", key);
        return false;
    }
    return true;
}

static const struct {
    const char *name;
    kith_trust_act act;
    bool ends;
} acts[] = {{"pin", KITH_TRUST_PIN, false},           {"rename", KITH_TRUST_RENAME, false},
            {"block", KITH_TRUST_BLOCK, true},        {"unblock", KITH_TRUST_UNBLOCK, false},
            {"accept-key", KITH_TRUST_KEY, false},    {"accept-classical", KITH_TRUST_CLASSICAL, false},
            {"policy", KITH_TRUST_SET_POLICY, false}, {"forget", KITH_TRUST_FORGET, false}};

void kith_trust_run_change(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    const char *name = text_param(params, "act"), *policy = text_param(params, "policy");
    kith_trust_edit e = {0};
    size_t at = 0;
    while (at < sizeof acts / sizeof *acts && strcmp(acts[at].name, name) != 0)
        at++;
    if (at == sizeof acts / sizeof *acts) {
        kith_rpc_bad_params(
            call,
            "'act' must be pin, rename, block, unblock, accept-key, accept-classical, policy or forget");
        return;
    }
    if (!peer_param(d, call, params, &e.peer) || !name_param(call, params, &e) ||
        !key_param(call, params, &e))
        return;
    e.act = acts[at].act;
    if (e.act == KITH_TRUST_SET_POLICY && !kith_trust_policy_named(kith_bytes_str(policy), &e.policy)) {
        kith_rpc_bad_params(call, "'%.100s' is none of inherit, prefer, require, off", policy);
        return;
    }
    submit(d, call, &e, 1, acts[at].ends, false);
}

/* ---- comparing numbers ---- */

/* Of several connections the one whose channel hash is the smallest: the same on both sides. NULL: there is none. */
static kith_conn *conn_to_compare(const kith_trust_desk *d, const kith_peer_id *peer, kith_conn_facts *out,
                                  int *count)
{
    kith_conn *best = NULL;
    *count = 0;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(kith_host_node(d->host), c));) {
        kith_conn_facts f;
        kith_conn_facts_get(c, &f);
        if (!f.open || !kith_peer_id_eq(&f.peer, peer))
            continue;
        (*count)++;
        if (!best || memcmp(f.channel, out->channel, KITH_CHANNEL_LEN) < 0) {
            best = c;
            *out = f;
        }
    }
    return best;
}

void kith_trust_run_verify(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    kith_peer_id peer;
    kith_conn_facts f;
    int count;
    char number[KITH_VERIFY_TEXT_LEN + 1];
    const char *typed = text_param(params, "number");
    if (!peer_param(d, call, params, &peer))
        return;
    if (!d->host || !conn_to_compare(d, &peer, &f, &count)) {
        kith_rpc_error(call, KITH_ENOTFOUND, NULL,
                       "%s is not connected; 'kith dial' it first, and compare while the connection lasts",
                       text_param(params, "peer"));
        return;
    }
    kith_verify_end own = {.peer = *kith_node_id(kith_host_node(d->host))},
                    other = {.peer = peer, .pq = f.pq.id};
    if (f.pq.id.len) /* who asks for the other's key proves its own */
        own.pq = d->own;
    kith_verify_text(f.channel, &own, &other, number);
    if (!*typed) {
        const kith_trust_row *r = kith_trust_find(d->trust, &peer);
        kith_rpc_result(call,
                        json_pack("{s:o, s:o, s:s, s:o, s:b, s:i, s:b}", "peer", kith_json_peer(&peer),
                                  "name", kith_json_text(r ? r->name : ""), "number", number, "key",
                                  json_key(&f.pq.id), "pq", f.suite->kem != KITH_KEM_NONE, "connections",
                                  count, "verified", r && r->how == KITH_TRUST_VERIFIED));
    } else if (!kith_verify_same(number, kith_bytes_str(typed))) {
        kith_rpc_error(
            call, KITH_EAUTH, NULL,
            "the numbers differ: here it is %s. Show both anew, on one connection; if they differ again, somebody sits between "
            "you, and %s is not who you think",
            number, text_param(params, "peer"));
    } else {
        kith_trust_edit e = {.act = KITH_TRUST_VERIFY, .peer = peer, .pq = f.pq.id, .sig = f.pq.alg};
        submit(d, call, &e, 1, false, false);
    }
}

/* ---- import ---- */

/* A file that belongs to whoever called us, whole. Free it. NULL: *why says it. */
static char *read_file(const char *path, size_t *len, const char **why)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(IMPORT_MAX + 1) : NULL;
    *len = text ? fread(text, 1, IMPORT_MAX + 1, f) : 0;
    *why = !f || (text && ferror(f)) ? strerror(errno)
           : !text                   ? "no memory"
           : *len > IMPORT_MAX       ? "it is larger than 16 MiB"
                                     : NULL;
    if (f)
        fclose(f);
    if (*why) {
        free(text);
        text = NULL;
    }
    return text;
}

/* A row of somebody else's, or of an own copy that is restored. Of what others say only pins and blocks are taken: that is what they can know. */
static size_t edits_of(const kith_trust_row *r, bool restore, kith_trust_edit out[2])
{
    size_t n = 0;
    if (restore) {
        out[n++] = (kith_trust_edit){.act = KITH_TRUST_PUT, .peer = r->peer, .row = *r};
        return n;
    }
    if (r->blocked) {
        out[n++] = (kith_trust_edit){.act = KITH_TRUST_BLOCK, .peer = r->peer};
    } else {
        out[n] = (kith_trust_edit){.act = KITH_TRUST_PIN, .peer = r->peer, .pq = r->pq, .sig = r->sig};
        memcpy(out[n++].name, r->name, sizeof r->name);
    }
    return n;
}

static void import_text(const kith_trust_desk *d, kith_rpc_call *call, kith_bytes in, bool restore)
{
    const char *why;
    size_t count = 0, cap = 0, line = 1;
    kith_trust_edit *edits = NULL;
    kith_trust_row r;
    kith_err e = kith_trust_get_head(&in, &why);
    for (; !e && !(e = kith_trust_get_line(&in, &r, &why)); line++) {
        if (count + 2 > cap) {
            cap = cap ? cap * 2 : 64;
            kith_trust_edit *more = realloc(edits, cap * sizeof *more);
            if (!more) {
                e = KITH_ENOMEM;
                break;
            }
            edits = more;
        }
        count += edits_of(&r, restore, edits + count);
    }
    if (e == KITH_EFORMAT)
        kith_rpc_error(call, e, NULL, "nothing was imported: entry %zu cannot be read: %s", line, why);
    else if (e == KITH_ENOMEM)
        kith_rpc_error(call, e, NULL, "no memory");
    else if (count == 0)
        kith_rpc_result(call, json_pack("{s:i}", "imported", 0));
    else
        submit(d, call, edits, count, false, true);
    free(edits);
}

void kith_trust_run_import(const kith_trust_desk *d, kith_rpc_call *call, const json_t *params)
{
    bool restore = json_is_true(json_object_get(params, "restore"));
    const char *path = text_param(params, "path"), *why;
    size_t len;
    if (!*path) {
        import_text(d, call, kith_bytes_str(text_param(params, "text")), restore);
        return;
    }
    char *text = read_file(path, &len, &why);
    if (!text) {
        kith_rpc_error(call, len > IMPORT_MAX ? KITH_ELIMIT : KITH_EIO, NULL, "cannot read %s: %s", path,
                       why);
        return;
    }
    import_text(d, call, kith_bytes_of(text, len), restore);
    free(text);
}
