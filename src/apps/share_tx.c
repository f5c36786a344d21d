/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sharer's side of a transfer.
 *
 * Two cursors run over the requests: `plan` cuts them into leaves and fills blocks with what is to be read; `send` walks the blocks in
 * the same order, adds the proofs, and copies content straight into the stream's frames. */
#include "apps/share_tx.h"

#include <assert.h>

#include "apps/share_pake.h"
#include "base/buf.h"
#include "crypto/crypto.h"

enum state { HELLO, ASKED, WAITING, SERVING, DONE, ENDING };

#define OUT_MAX 8192u /* what is said beside the answers: PAKE messages, peers */
#define PEERS_BYTES_MAX 3072u

typedef struct request {
    uint64_t id;
    uint64_t planned, sent; /* items of blocks */
    bool all_planned, cancelled;
    bool answered; /* for the receiver: all of it, though our cursors may still be in it */
    uint64_t leaves;
    size_t range_count;
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    uint8_t same[KITH_SHARE_REQUEST_LEAVES / 8]; /* bits: the receiver has the leaf */
} request;

struct kith_share_tx {
    kith_env env;
    enum state state;
    const kith_share_source *source;
    const kith_leaves *allowed; /* NULL: everything */
    kith_time last_at;          /* when something moved last */
    kith_time said_at;          /* when we said something last */
    kith_time have_at;          /* when HAVE was last looked at */
    kith_share_reader reader;
    uint64_t skip;  /* bytes of a body that is not for us */
    kith_buf token; /* of the hello, or of a PAKE message, or peers: for the event that is to be shown */
    bool token_is_code, swarm;
    bool answered; /* its first PAKE message */
    bool wished;   /* by what came last: content, the list or hashes */

    /* what was asked for and is not sent in full: a ring; request_plan of them are planned in full */
    request requests[KITH_SHARE_REQUESTS];
    size_t request_first, request_count, request_plan;
    size_t plan_range;  /* in the request that is being planned */
    uint32_t plan_leaf; /* the next of that range, or 0 with plan_new: its first */
    bool plan_new;
    size_t plan_entry; /* whose leaves come: */
    uint64_t plan_offset, plan_to;
    bool plan_inside, plan_starts;

    /* the hints of the request behind the last one, which counts when they are here */
    uint64_t hints; /* still to come; 0: there is no such request */
    size_t hint_range, hint_have;
    uint32_t hint_leaf; /* in hint_range */
    uint8_t hint[KITH_SHARE_HINT_LEN];

    kith_list blocks; /* in the order of sending */
    size_t block_count;
    kith_list spare; /* kept while a transfer runs, so that no block is allocated per 256 KiB */
    size_t spare_count;

    /* what is to be said */
    kith_buf out;
    kith_buf peers, pass;
    uint64_t list_at, list_to; /* LIST frames to come */
    bool want_roots;
    size_t roots_at; /* the next that the receiver does not have */
    bool wait_due, paused_due;
    kith_leaves told; /* by HAVE */

    /* what is being sent */
    kith_tree_prover prover;
    bool skipping; /* the rest of the current range cannot be had */
    bool paused, paused_by_peer;
    uint8_t head[KITH_SHARE_HEAD_MAX + 2];
    size_t head_len, head_at;
    kith_bytes data; /* in the first block, or in the source */
    uint64_t sent_bytes, sent_files;

    uint8_t pake[KITH_PAKE_FIRST_LEN]; /* of ev_pake: the receiver's longest */
    size_t pake_len;
    bool ev_asked, ev_pake, ev_peers, ev_paused, ev_receipt, ev_failed;
    bool say_error; /* ENDING: the code is not yet written */
    bool
        said_error; /* it is: our FIN follows, and the stream is reset only if the peer does not answer with its own */
    uint64_t receipt_files, receipt_bytes;
    kith_err err;
    kith_share_code code;
    const char *why;
};

kith_share_tx *kith_share_tx_new(const kith_env *env, kith_time now)
{
    kith_share_tx *x = KITH_NEW(env, kith_share_tx);
    if (!x)
        return NULL;
    x->env = *env;
    x->state = HELLO;
    x->last_at = x->said_at = now;
    kith_buf_init(&x->token, KITH_SHARE_HEAD_MAX);
    kith_buf_init(&x->out, OUT_MAX);
    kith_buf_init(&x->peers, PEERS_BYTES_MAX);
    kith_buf_init(&x->pass, KITH_SHARE_TOKEN_MAX);
    kith_list_init(&x->blocks);
    kith_list_init(&x->spare);
    return x;
}

static void forget_token(kith_share_tx *x)
{
    kith_span t = kith_buf_span(&x->token);
    if (t.len > 0)
        kith_wipe(t.p, t.len);
    kith_buf_fini(&x->token, &x->env);
}

static void tx_free(void *m)
{
    kith_share_tx *x = m;
    KITH_EACH (&x->blocks, k) {
        kith_share_block *b = KITH_OF(k, kith_share_block, link);
        kith_link_remove(k);
        if (!b->lent) /* a lent one is its owner's now */
            kith_share_block_free(b);
    }
    kith_share_blocks_free(&x->spare);
    forget_token(x);
    kith_env env = x->env;
    kith_buf_fini(&x->out, &env);
    kith_buf_fini(&x->peers, &env);
    kith_buf_fini(&x->pass, &env);
    kith_leaves_fini(&x->told, &env);
    KITH_FREE(&env, x);
}

/* Ends the transfer; tell: the receiver is told the code. */
static void fail(kith_share_tx *x, kith_err err, kith_share_code code, bool tell, const char *why)
{
    if (x->state == ENDING)
        return;
    x->state = ENDING;
    x->ev_asked = x->ev_pake = x->ev_peers = x->ev_paused = false; /* too late for an answer */
    x->say_error = tell;
    x->ev_failed = true;
    x->err = err;
    x->code = code;
    x->why = why;
}

static void no_memory(kith_share_tx *x)
{
    fail(x, KITH_ENOMEM, KITH_SHARE_INTERNAL, true, "no memory");
}

static void breach(kith_share_tx *x, const char *why)
{
    fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, why);
}

/* ---- planning ---- */

/* The part of range g from `leaf` on that lies in one file. */
static void plan_file(kith_share_tx *x, kith_leaf_range g, uint32_t leaf)
{
    const kith_manifest *m = x->source->manifest;
    x->plan_entry = kith_manifest_leaf(m, leaf, &x->plan_offset);
    uint64_t size = kith_manifest_entry(m, x->plan_entry).size;
    uint64_t to = (uint64_t)(g.end - m->places[x->plan_entry].leaf) * KITH_TREE_LEAF;
    x->plan_to = to < size ? to : size;
    x->plan_inside = x->plan_starts = true;
}

/* Finds the next leaf to plan. False: all requests are planned. */
static bool plan_next(kith_share_tx *x)
{
    while (x->request_plan < x->request_count) {
        request *q = &x->requests[(x->request_first + x->request_plan) % KITH_SHARE_REQUESTS];
        if (q->cancelled || x->plan_range == q->range_count) {
            q->all_planned = true;
            x->request_plan++;
            x->plan_range = 0;
            x->plan_new = true;
            x->plan_inside = false;
            continue;
        }
        kith_leaf_range g = q->ranges[x->plan_range];
        if (x->plan_new)
            x->plan_leaf = g.first;
        x->plan_new = false;
        if (x->plan_leaf == g.end) {
            x->plan_range++;
            x->plan_new = true;
            continue;
        }
        if (!x->plan_inside)
            plan_file(x, g, x->plan_leaf);
        return true;
    }
    return false;
}

/* Fills a block with what comes next. */
static void plan_block(kith_share_tx *x, kith_share_block *b)
{
    while (b->count < KITH_SHARE_BLOCK_ITEMS && plan_next(x)) {
        request *q = &x->requests[(x->request_first + x->request_plan) % KITH_SHARE_REQUESTS];
        uint64_t left = x->plan_to - x->plan_offset;
        size_t n = left < KITH_TREE_LEAF ? (size_t)left : KITH_TREE_LEAF;
        const bool same = q->same[q->planned / 8] >> q->planned % 8 & 1;
        if (!same && n > sizeof b->buf - b->len)
            return;
        b->items[b->count++] = (kith_share_item){
            .entry = x->plan_entry,
            .leaf = x->plan_leaf,
            .offset = x->plan_offset,
            .to = x->plan_to,
            .request = q->id,
            .at = (uint32_t)b->len,
            .len = (uint32_t)n,
            .starts = x->plan_starts,
            .same = same,
        };
        b->len += same ? 0 : n;
        q->planned++;
        x->plan_leaf++;
        x->plan_offset += n;
        x->plan_starts = false;
        x->plan_inside = x->plan_offset < x->plan_to;
    }
}

static kith_share_block *take_block(kith_share_tx *x)
{
    kith_link *k = kith_list_pop(&x->spare);
    if (!k)
        return kith_share_block_new(&x->env);
    x->spare_count--;
    kith_share_block *b = KITH_OF(k, kith_share_block, link);
    b->ready = false;
    b->len = b->count = b->next = 0;
    return b;
}

static void spare_block(kith_share_tx *x, kith_share_block *b)
{
    kith_list_push(&x->spare, &b->link);
    x->spare_count++;
}

static void plan(kith_share_tx *x)
{
    while (x->state == SERVING && x->block_count < KITH_SHARE_TX_BLOCKS && plan_next(x)) {
        kith_share_block *b = take_block(x);
        if (!b) {
            no_memory(x);
            return;
        }
        plan_block(x, b);
        assert(b->count > 0);
        kith_list_push(&x->blocks, &b->link);
        x->block_count++;
    }
    if (x->block_count == 0) /* idle: a waiting receiver costs no blocks */
        kith_share_blocks_free(&x->spare), x->spare_count = 0;
}

/* ---- receiving ---- */

static bool keep(kith_share_tx *x, kith_bytes data)
{
    forget_token(x);
    if (data.len == 0 || kith_buf_put(&x->token, &x->env, data) == KITH_OK)
        return true;
    no_memory(x);
    return false;
}

static void on_hello(kith_share_tx *x, const kith_share_msg *m)
{
    if (m->version < KITH_SHARE_VERSION) {
        breach(x, "a malformed hello");
        return;
    }
    x->token_is_code = m->code_tag.len > 0;
    x->swarm = m->swarm;
    if (!keep(x, x->token_is_code ? m->code_tag : m->capability))
        return;
    x->state = ASKED;
    x->ev_asked = true;
}

/* Leaves below this may be asked for. */
static uint64_t leaves_known(const kith_share_source *s)
{
    return s->known < s->manifest->count ? s->manifest->places[s->known].leaf : s->manifest->leaves;
}

static bool request_ok(const kith_share_tx *x, const kith_share_msg *m)
{
    for (size_t i = 0; i < m->range_count; i++) {
        kith_leaf_range g = m->ranges[i];
        if (g.end > leaves_known(x->source) ||
            (x->source->have && !kith_leaves_has(x->source->have, g.first, g.end)))
            return false;
    }
    return true;
}

static bool request_allowed(const kith_share_tx *x, const kith_share_msg *m)
{
    for (size_t i = 0; i < m->range_count && x->allowed; i++) {
        if (!kith_leaves_has(x->allowed, m->ranges[i].first, m->ranges[i].end))
            return false;
    }
    return true;
}

/* What is asked for is known in full. */
static void take_request(kith_share_tx *x)
{
    if (x->request_plan == x->request_count) {
        x->plan_range = 0;
        x->plan_new = true;
        x->plan_inside = false;
    }
    x->request_count++;
    x->wished = true;
    plan(x);
}

static void on_request(kith_share_tx *x, const kith_share_msg *m)
{
    if (x->request_count == KITH_SHARE_REQUESTS) {
        fail(x, KITH_ELIMIT, KITH_SHARE_PROTOCOL, true, "the receiver asked for too much at once");
        return;
    }
    if (!request_ok(x, m)) {
        breach(x, "the receiver asked for something that is not there");
        return;
    }
    if (!request_allowed(x, m)) {
        fail(x, KITH_EAUTH, KITH_SHARE_REFUSED, true, "the receiver asked for what its ticket is not for");
        return;
    }
    request *q = &x->requests[(x->request_first + x->request_count) % KITH_SHARE_REQUESTS];
    q->id = m->id;
    q->planned = q->sent = 0;
    q->all_planned = q->cancelled = q->answered = false;
    q->range_count = m->range_count;
    memcpy(q->ranges, m->ranges, m->range_count * sizeof q->ranges[0]);
    memset(q->same, 0, sizeof q->same);
    q->leaves = 0;
    for (size_t i = 0; i < m->range_count; i++)
        q->leaves += m->ranges[i].end - m->ranges[i].first;
    x->skip = 0;
    x->hints = m->body / KITH_SHARE_HINT_LEN;
    x->hint_range = x->hint_have = 0;
    x->hint_leaf = q->ranges[0].first;
    if (x->hints == 0)
        take_request(x);
}

/* The value of a leaf that may be asked for. */
static const uint8_t *leaf_value(const kith_share_source *s, uint32_t leaf)
{
    uint64_t offset;
    size_t e = kith_manifest_leaf(s->manifest, leaf, &offset);
    uint64_t size = kith_manifest_entry(s->manifest, e).size;
    if (size <= KITH_TREE_LEAF)
        return s->roots + e * KITH_BLAKE3_LEN;
    uint64_t to = size - offset < KITH_TREE_LEAF ? size : offset + KITH_TREE_LEAF;
    return s->nodes(s->ctx, e) + kith_tree_place(size, offset, to) * KITH_BLAKE3_LEN;
}

/* A whole hint has come. Whether it is right is all that is kept of it. */
static void on_hint(kith_share_tx *x)
{
    static const uint8_t none[KITH_SHARE_HINT_LEN];
    request *q = &x->requests[(x->request_first + x->request_count) % KITH_SHARE_REQUESTS];
    const uint64_t i = q->leaves - x->hints;
    if (memcmp(x->hint, none, sizeof none) != 0 &&
        memcmp(x->hint, leaf_value(x->source, x->hint_leaf), sizeof x->hint) == 0)
        q->same[i / 8] |= (uint8_t)(1u << i % 8);
    x->hint_have = 0;
    if (++x->hint_leaf == q->ranges[x->hint_range].end && x->hints > 1)
        x->hint_leaf = q->ranges[++x->hint_range].first;
    if (--x->hints == 0)
        take_request(x);
}

static kith_bytes take_hints(kith_share_tx *x, kith_bytes in)
{
    while (x->hints > 0 && in.len > 0) {
        size_t left = sizeof x->hint - x->hint_have, n = left < in.len ? left : in.len;
        memcpy(x->hint + x->hint_have, in.p, n);
        x->hint_have += n;
        in = kith_bytes_skip(in, n);
        if (n == left)
            on_hint(x);
    }
    return in;
}

/* One that is answered already, or never was, is passed over: it may have crossed our answer. */
static void on_cancel(kith_share_tx *x, uint64_t id)
{
    for (size_t i = 0; i < x->request_count; i++) {
        request *q = &x->requests[(x->request_first + i) % KITH_SHARE_REQUESTS];
        if (q->id == id && !q->answered)
            q->cancelled = true;
    }
    plan(x);
}

static void on_get_list(kith_share_tx *x, const kith_share_msg *m)
{
    if (m->offset >= x->source->manifest->list.len || x->list_at < x->list_to) {
        breach(x, "the receiver asked for a list that is not there");
        return;
    }
    x->wished = true;
    x->list_at = m->offset;
    x->list_to = x->source->manifest->list.len;
}

static void on_get_roots(kith_share_tx *x, const kith_share_msg *m)
{
    if (x->want_roots || m->first > x->source->manifest->count) {
        breach(x, "the receiver asked for hashes that are not there");
        return;
    }
    x->want_roots = x->wished = true;
    x->roots_at = (size_t)m->first;
}

static void on_pake(kith_share_tx *x, const kith_share_msg *m)
{
    if (x->state != ASKED || !x->token_is_code || x->ev_pake || m->step != (x->answered ? 3 : 1) ||
        m->data.len > sizeof x->pake) {
        breach(x, "a message out of turn");
        return;
    }
    memcpy(x->pake, m->data.p,
           m->data.len); /* the first may come with the hello, which nobody has looked at yet */
    x->pake_len = m->data.len;
    x->ev_pake = true;
}

static void on_peers(kith_share_tx *x, const kith_share_msg *m)
{
    if (keep(x, m->peers))
        x->ev_peers = true;
}

static void on_receipt(kith_share_tx *x, const kith_share_msg *m)
{
    x->state = DONE;
    x->ev_receipt = true;
    x->receipt_files = m->files;
    x->receipt_bytes = m->bytes;
}

/* What comes only once it serves. */
static bool is_wish(kith_share_kind k)
{
    return k == KITH_SHARE_REQUEST || k == KITH_SHARE_CANCEL || k == KITH_SHARE_GET_LIST ||
           k == KITH_SHARE_GET_ROOTS || k == KITH_SHARE_PAUSE || k == KITH_SHARE_PEERS ||
           k == KITH_SHARE_RECEIPT;
}

static void on_msg(kith_share_tx *x, const kith_share_msg *m)
{
    if ((is_wish(m->kind) && x->state != SERVING) || (m->kind == KITH_SHARE_HELLO && x->state != HELLO)) {
        breach(x, "a message out of turn");
        return;
    }
    switch (m->kind) {
    case KITH_SHARE_OTHER:
        return;
    case KITH_SHARE_HELLO:
        on_hello(x, m);
        return;
    case KITH_SHARE_PAKE:
        on_pake(x, m);
        return;
    case KITH_SHARE_REQUEST:
        on_request(x, m);
        return;
    case KITH_SHARE_CANCEL:
        on_cancel(x, m->id);
        return;
    case KITH_SHARE_GET_LIST:
        on_get_list(x, m);
        return;
    case KITH_SHARE_GET_ROOTS:
        on_get_roots(x, m);
        return;
    case KITH_SHARE_PAUSE:
        x->ev_paused |= x->paused_by_peer != m->on;
        x->paused_by_peer = m->on;
        return;
    case KITH_SHARE_PEERS:
        on_peers(x, m);
        return;
    case KITH_SHARE_RECEIPT:
        on_receipt(x, m);
        return;
    case KITH_SHARE_ERROR:
        fail(x, KITH_EREFUSED, m->code, false, "the receiver ended the transfer");
        return;
    case KITH_SHARE_OFFER:
    case KITH_SHARE_DATA:
    case KITH_SHARE_WAIT:
    case KITH_SHARE_LIST:
    case KITH_SHARE_ROOTS:
    case KITH_SHARE_ENDED:
    case KITH_SHARE_HAVE:
    case KITH_SHARE_PASS:
    case KITH_SHARE_STREAM:
    case KITH_SHARE_END:
        breach(x, "a sharer's message from a receiver");
        return;
    }
}

static kith_err tx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_share_tx *x = m;
    const enum state was = x->state;
    const bool paused = x->paused_by_peer, pake = x->ev_pake, idle = was == SERVING && x->block_count == 0;
    x->wished = false;
    while (in.len > 0 && x->state != ENDING && x->state != DONE) {
        if (x->skip > 0) {
            size_t n = x->skip < in.len ? (size_t)x->skip : in.len;
            x->skip -= n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        if (x->hints > 0) {
            in = take_hints(x, in);
            continue;
        }
        kith_bytes head;
        bool bad;
        kith_share_msg msg;
        if (!kith_share_read_head(&x->reader, &in, &head, &bad)) {
            if (bad)
                breach(x, "a message that is too long");
            break;
        }
        if (kith_share_msg_parse(head, &msg) != KITH_OK) {
            breach(x, "a malformed message");
            break;
        }
        x->skip = msg.body;
        on_msg(x, &msg);
    }
    /* Bytes alone are no progress, nor what we do not know: who drips them would hold a place for ever. */
    if (x->state != was || x->paused_by_peer != paused || x->ev_pake != pake || (idle && x->wished))
        x->last_at = now;
    return KITH_OK;
}

static void tx_eof(void *m, kith_time now)
{
    (void)now;
    kith_share_tx *x = m;
    if (x->state != DONE)
        fail(x, KITH_ECLOSED, KITH_SHARE_NONE, false, "the receiver left");
}

static void tx_gone(void *m, kith_time now, kith_err why)
{
    (void)now;
    kith_share_tx *x = m;
    if (x->state != DONE)
        fail(x, why ? why : KITH_ECLOSED, KITH_SHARE_NONE, false, "the connection to the receiver was lost");
}

/* ---- sending ---- */

static void put_head(kith_share_tx *x, const kith_share_msg *m)
{
    kith_wr w = kith_wr_of(kith_span_of(x->head, sizeof x->head));
    kith_share_msg_put(&w, m);
    assert(!w.bad);
    x->head_len = w.len;
    x->head_at = 0;
}

static void begin_item(kith_share_tx *x, const kith_share_block *b, const kith_share_item *it)
{
    kith_share_msg msg = {.kind = KITH_SHARE_DATA, .id = it->request, .leaf = it->leaf};
    uint8_t pairs[KITH_TREE_PROOF_MAX];
    if (it->code) {
        msg.code = it->code;
        x->skipping = true;
    } else {
        kith_wr w = kith_wr_of(kith_span_of(pairs, sizeof pairs));
        uint64_t from = 0, to = 0;
        bool more = kith_tree_prove_next(&x->prover, &w, &from, &to);
        assert(more && from == it->offset && to - from == it->len && !w.bad);
        (void)more;
        msg.pairs = kith_wr_bytes(&w);
        msg.zeros = it->zeros;
        msg.same = it->same && !it->zeros;
        if (!it->zeros && !it->same) {
            msg.body = it->len;
            x->data = kith_bytes_of(b->buf + it->at, it->len);
        }
        x->sent_bytes += it->same ? 0 : it->len;
        x->sent_files += to == kith_manifest_entry(x->source->manifest, it->entry).size;
    }
    put_head(x, &msg);
}

static void pop_request(kith_share_tx *x)
{
    x->request_first = (x->request_first + 1) % KITH_SHARE_REQUESTS;
    x->request_count--;
    x->request_plan--;
}

/* Makes the head of the next frame of an answer, if a block is ready. */
static bool next_answer(kith_share_tx *x)
{
    for (kith_link *k; (k = kith_list_first(&x->blocks)) || x->request_count > 0;) {
        kith_share_block *b = k ? KITH_OF(k, kith_share_block, link) : NULL;
        if (b && b->next == b->count) { /* sent in full */
            kith_link_remove(k);
            x->block_count--;
            spare_block(x, b);
            plan(x);
            if (x->state != SERVING)
                return false;
            continue;
        }
        assert(x->request_count > 0); /* what is in a block belongs to one */
        request *q = &x->requests[x->request_first];
        if (q->all_planned && q->sent == q->planned) {
            bool cancelled = q->cancelled;
            uint64_t id = q->id;
            pop_request(x);
            if (!cancelled)
                continue;
            put_head(x, &(kith_share_msg){.kind = KITH_SHARE_ENDED, .id = id});
            return true;
        }
        if (!b || !b->ready)
            return false;
        if (!q->cancelled && (x->paused || x->paused_by_peer))
            return false;
        const kith_share_item *it = &b->items[b->next++];
        q->sent++;
        if (it->starts) {
            x->skipping = false;
            kith_tree_prove(&x->prover, x->source->nodes(x->source->ctx, it->entry),
                            kith_manifest_entry(x->source->manifest, it->entry).size, it->offset, it->to);
        }
        if (x->skipping || q->cancelled)
            continue;
        begin_item(x, b, it);
        uint64_t passed_over = it->code ? kith_manifest_leaves_of(it->to - it->offset - it->len) : 0;
        q->answered = q->sent + passed_over == q->leaves;
        return true;
    }
    plan(x);
    return false;
}

/* The leaves that the receiver was not told of. */
static bool next_have(kith_share_tx *x)
{
    kith_share_msg m = {.kind = KITH_SHARE_HAVE};
    const kith_leaves *h = x->source->have;
    for (size_t i = 0; i < h->count && m.range_count < KITH_SHARE_RANGES; i++) {
        kith_leaf_range run = {.end = h->ranges[i].first};
        while (m.range_count < KITH_SHARE_RANGES &&
               kith_leaves_next(&x->told, false, run.end, h->ranges[i].end, &run))
            m.ranges[m.range_count++] = run;
    }
    for (size_t i = 0; i < m.range_count; i++) {
        if (kith_leaves_add(&x->told, &x->env, m.ranges[i].first, m.ranges[i].end)) {
            no_memory(x);
            return false;
        }
    }
    if (m.range_count > 0)
        put_head(x, &m);
    return m.range_count > 0;
}

static void put_offer(kith_share_tx *x)
{
    const kith_share_source *s = x->source;
    bool complete = s->known == s->manifest->count;
    put_head(x, &(kith_share_msg){
                    .kind = KITH_SHARE_OFFER,
                    .root = kith_bytes_of(s->list_root, sizeof s->list_root),
                    .list_size = s->manifest->list.len,
                    .complete = complete,
                    .partial = s->have != NULL,
                    .share_id = kith_bytes_of(s->id, complete ? sizeof s->id : 0),
                    .name = s->name,
                    .holes = s->holes,
                });
}

/* A frame of the list, or of its roots. */
static bool next_part(kith_share_tx *x)
{
    const kith_share_source *s = x->source;
    uint64_t left = x->list_to - x->list_at;
    if (left > 0) {
        size_t n = left < KITH_SHARE_BODY_MAX ? (size_t)left : KITH_SHARE_BODY_MAX;
        put_head(x, &(kith_share_msg){.kind = KITH_SHARE_LIST, .offset = x->list_at, .body = n});
        x->data = kith_bytes_of(s->manifest->list.p + x->list_at, n);
        x->list_at += n;
        return true;
    }
    if (x->want_roots && x->roots_at < s->known) {
        size_t n = s->known - x->roots_at, most = KITH_SHARE_BODY_MAX / KITH_BLAKE3_LEN;
        n = n < most ? n : most;
        put_head(x, &(kith_share_msg){
                        .kind = KITH_SHARE_ROOTS, .first = x->roots_at, .body = n * KITH_BLAKE3_LEN});
        x->data = kith_bytes_of(s->roots + x->roots_at * KITH_BLAKE3_LEN, n * KITH_BLAKE3_LEN);
        x->roots_at += n;
        return true;
    }
    return false;
}

/* Makes the next frame. False: there is nothing to say now. */
static bool next_frame(kith_share_tx *x)
{
    if (x->pass.len > 0 && x->state == SERVING) {
        put_head(x, &(kith_share_msg){.kind = KITH_SHARE_PASS, .capability = kith_buf_view(&x->pass)});
        kith_buf_fini(&x->pass, &x->env);
        return true;
    }
    if (x->peers.len > 0 && x->state == SERVING) {
        put_head(x, &(kith_share_msg){.kind = KITH_SHARE_PEERS, .peers = kith_buf_view(&x->peers)});
        kith_buf_fini(&x->peers, &x->env);
        return true;
    }
    if (x->state == WAITING && x->source->manifest) {
        x->state = SERVING;
        x->wait_due = false;
        x->have_at = 0;
        put_offer(x);
        return true;
    }
    if (x->wait_due && (x->state == WAITING || x->state == SERVING)) {
        x->wait_due = false;
        put_head(x, &(kith_share_msg){
                        .kind = KITH_SHARE_WAIT, .done = x->source->done, .total = x->source->total});
        return true;
    }
    if (x->state != SERVING)
        return false;
    if (x->paused_due) {
        x->paused_due = false;
        put_head(x, &(kith_share_msg){.kind = KITH_SHARE_PAUSE, .on = x->paused});
        return true;
    }
    return next_part(x) || (x->source->have && x->have_at == 0 && next_have(x)) || next_answer(x);
}

static size_t take(kith_bytes *from, kith_span out, size_t at)
{
    size_t n = from->len < out.len - at ? from->len : out.len - at;
    memcpy(out.p + at, from->p, n);
    *from = kith_bytes_skip(*from, n);
    return n;
}

static size_t tx_send(void *m, kith_time now, kith_span out)
{
    kith_share_tx *x = m;
    size_t n = 0;
    while (n < out.len) {
        kith_bytes head = kith_bytes_of(x->head + x->head_at, x->head_len - x->head_at);
        if (head.len > 0) {
            size_t took = take(&head, out, n);
            x->head_at += took;
            n += took;
        } else if (x->data.len > 0) {
            n += take(&x->data, out, n);
        } else if (x->state == ENDING && x->say_error) {
            x->say_error = false;
            x->said_error = true;
            put_head(x, &(kith_share_msg){.kind = KITH_SHARE_ERROR, .code = x->code});
        } else if (x->out.len > 0) {
            n += kith_buf_take(&x->out, &x->env, kith_span_of(out.p + n, out.len - n));
        } else if (!next_frame(x)) {
            if (x->state != ENDING || !x->say_error)
                break; /* else memory ran out meanwhile */
        }
    }
    if (n > 0)
        x->last_at = x->said_at = now;
    if (x->state == SERVING && x->source->have && x->have_at == 0)
        x->have_at = now;
    return n;
}

static kith_stream_want tx_want(const void *m)
{
    const kith_share_tx *x = m;
    bool quiet = x->head_at == x->head_len && x->data.len == 0 && !(x->state == ENDING && x->say_error);
    if (!quiet || x->state < DONE)
        return KITH_STREAM_OPEN;
    return x->state == DONE || x->said_error ? KITH_STREAM_FIN : KITH_STREAM_RESET;
}

/* Waiting for our own disk is nobody's fault. */
static bool reading(const kith_share_tx *x)
{
    kith_link *k = kith_list_first(&x->blocks);
    return k && !KITH_OF(k, kith_share_block, link)->ready;
}

/* The receiver waits for hashes that we do not have yet. */
static bool hashing(const kith_share_tx *x)
{
    return x->state == WAITING || (x->state == SERVING && x->source->known < x->source->manifest->count);
}

static kith_time stall_deadline(const kith_share_tx *x)
{
    switch (x->state) {
    case HELLO:
        return x->last_at + KITH_SHARE_HELLO_TIMEOUT;
    case SERVING:
        if (reading(x) || x->paused || x->paused_by_peer)
            return KITH_NEVER;
        return x->last_at + (x->block_count > 0 ? KITH_SHARE_STALL_TIMEOUT : KITH_SHARE_IDLE_TIMEOUT);
    case ASKED:
        return x->token_is_code ? x->last_at + KITH_SHARE_HELLO_TIMEOUT : KITH_NEVER;
    case WAITING:
        break;
    case DONE:
    case ENDING:
        return x->last_at + KITH_SHARE_GOODBYE_TIMEOUT;
    }
    return KITH_NEVER;
}

static kith_time news_deadline(const kith_share_tx *x)
{
    kith_time at = KITH_NEVER;
    if (hashing(x) && !x->wait_due)
        at = x->said_at + KITH_SHARE_WAIT_EVERY;
    if (x->state == SERVING && x->source->have && x->have_at && x->told.total < x->source->have->total)
        at = kith_time_min(at, x->have_at + KITH_SHARE_HAVE_EVERY);
    return at;
}

static kith_time tx_deadline(const void *m)
{
    const kith_share_tx *x = m;
    return kith_time_min(stall_deadline(x), news_deadline(x));
}

static void tx_tick(void *m, kith_time now)
{
    kith_share_tx *x = m;
    if (now >= news_deadline(x)) {
        if (hashing(x) && now >= x->said_at + KITH_SHARE_WAIT_EVERY) {
            x->wait_due = true;
            x->said_at = now;
        }
        x->have_at = 0;
    }
    if (now < stall_deadline(x))
        return;
    if (x->state == DONE)
        x->state = ENDING;
    fail(x, KITH_ETIMEOUT, KITH_SHARE_NONE, false,
         x->state == HELLO ? "the receiver said no hello" : "the receiver has stalled");
    x->say_error = x->said_error = false;
    x->last_at = now;
    x->head_len = x->head_at = 0; /* nobody reads: leave without finishing the frame */
    x->data = (kith_bytes){0};
    kith_buf_fini(&x->out, &x->env);
}

/* ---- events and commands ---- */

static kith_share_block *to_read(const kith_share_tx *x)
{
    if (x->state != SERVING)
        return NULL;
    KITH_EACH (&x->blocks, k) {
        kith_share_block *b = KITH_OF(k, kith_share_block, link);
        if (!b->ready && !b->lent)
            return b;
    }
    return NULL;
}

static bool tx_pending(const void *m)
{
    const kith_share_tx *x = m;
    return x->ev_asked || x->ev_pake || x->ev_peers || x->ev_paused || x->ev_receipt || x->ev_failed ||
           to_read(x);
}

bool kith_share_tx_next(kith_share_tx *x, kith_share_tx_event *ev)
{
    *ev = (kith_share_tx_event){.kind = KITH_SHARE_TX_FAILED};
    if (x->ev_asked) {
        x->ev_asked = false;
        ev->kind = KITH_SHARE_TX_ASKED;
        *(x->token_is_code ? &ev->code_tag : &ev->capability) = kith_buf_view(&x->token);
        ev->swarm = x->swarm;
        return true;
    }
    if (x->ev_pake) {
        x->ev_pake = false;
        ev->kind = KITH_SHARE_TX_PAKE;
        ev->data = kith_bytes_of(x->pake, x->pake_len);
        return true;
    }
    if (x->ev_peers) {
        x->ev_peers = false;
        ev->kind = KITH_SHARE_TX_PEERS;
        ev->data = kith_buf_view(&x->token);
        return true;
    }
    kith_share_block *b = to_read(x);
    if (b) {
        b->lent = true;
        ev->kind = KITH_SHARE_TX_READ;
        ev->block = b;
        return true;
    }
    if (x->ev_paused) {
        x->ev_paused = false;
        ev->kind = KITH_SHARE_TX_PAUSED;
        ev->on = x->paused_by_peer;
        return true;
    }
    if (x->ev_receipt) {
        x->ev_receipt = false;
        ev->kind = KITH_SHARE_TX_RECEIPT;
        ev->files = x->receipt_files;
        ev->bytes = x->receipt_bytes;
        return true;
    }
    if (!x->ev_failed)
        return false;
    x->ev_failed = false;
    ev->err = x->err;
    ev->code = x->code;
    ev->why = x->why;
    return true;
}

void kith_share_tx_admit(kith_share_tx *x, kith_time now, const kith_share_source *source,
                         const kith_leaves *allowed)
{
    if (x->state != ASKED)
        return;
    forget_token(x);
    x->source = source;
    x->allowed = allowed;
    x->state = WAITING;
    x->wait_due = true; /* unless the list is there: then the offer */
    x->last_at = x->said_at = now;
}

void kith_share_tx_pake(kith_share_tx *x, kith_bytes data)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX + 2];
    if (x->state != ASKED)
        return;
    x->answered = true;
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_msg_put(&w, &(kith_share_msg){.kind = KITH_SHARE_PAKE, .step = 2, .data = data});
    assert(!w.bad);
    if (kith_buf_put(&x->out, &x->env, kith_wr_bytes(&w)))
        no_memory(x);
}

void kith_share_tx_update(kith_share_tx *x, kith_time now)
{
    if (x->source && x->source->have && x->have_at && now >= x->have_at + KITH_SHARE_HAVE_EVERY)
        x->have_at = 0;
}

void kith_share_tx_pass(kith_share_tx *x, kith_bytes capability)
{
    kith_buf_fini(&x->pass, &x->env);
    if (kith_buf_put(&x->pass, &x->env, capability))
        return; /* they can do without */
}

void kith_share_tx_stop(kith_share_tx *x, kith_share_code code)
{
    if (x->state == DONE || x->state == ENDING)
        return;
    fail(x, KITH_ECLOSED, code, true, "stopped");
    x->ev_failed = false; /* the owner knows */
}

void kith_share_tx_pause(kith_share_tx *x, kith_time now, bool on)
{
    if (x->paused == on)
        return;
    x->paused = on;
    x->paused_due = !x->paused_due; /* twice is as if never */
    x->last_at = now;
}

void kith_share_tx_peers(kith_share_tx *x, kith_bytes peers)
{
    kith_buf_fini(&x->peers, &x->env);
    if (peers.len > 0 && kith_buf_put(&x->peers, &x->env, peers))
        return; /* they can do without */
}

void kith_share_tx_filled(kith_share_tx *x, kith_time now, kith_share_block *b)
{
    assert(b->lent);
    b->lent = false;
    b->ready = true;
    x->last_at = now;
}

void kith_share_tx_progress(const kith_share_tx *x, uint64_t *bytes, uint64_t *files)
{
    *bytes = x->sent_bytes;
    *files = x->sent_files;
}

void kith_share_tx_check(const kith_share_tx *x)
{
    size_t n = 0;
    KITH_EACH (&x->blocks, k) {
        const kith_share_block *b = KITH_OF(k, kith_share_block, link);
        assert(b->count > 0 && b->count <= KITH_SHARE_BLOCK_ITEMS && b->len <= sizeof b->buf &&
               b->next <= b->count);
        assert(!(b->lent && b->ready));
        n++;
    }
    assert(n == x->block_count && n <= KITH_SHARE_TX_BLOCKS);
    assert(x->spare_count <= KITH_SHARE_TX_BLOCKS);
    assert(x->request_count <= KITH_SHARE_REQUESTS && x->request_plan <= x->request_count);
    assert(x->head_at <= x->head_len && x->head_len <= sizeof x->head);
    assert(x->list_at <= x->list_to);
    assert(x->hints <= KITH_SHARE_REQUEST_LEAVES && x->hint_have < sizeof x->hint);
    assert(x->hints == 0 || x->request_count < KITH_SHARE_REQUESTS);
    assert(x->state >= WAITING || (n == 0 && x->request_count == 0));
    kith_leaves_check(&x->told);
}

const kith_stream_ops kith_share_tx_ops = {
    .recv = tx_recv,
    .eof = tx_eof,
    .send = tx_send,
    .want = tx_want,
    .deadline = tx_deadline,
    .tick = tx_tick,
    .gone = tx_gone,
    .pending = tx_pending,
    .free = tx_free,
};
