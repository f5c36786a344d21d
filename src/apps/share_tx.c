/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sharer's side of a transfer.
 *
 * Two cursors run over the requests: `plan` cuts them into leaves and fills blocks with what is to be read; `send` walks the blocks in
 * the same order, adds the proofs, and copies content straight into the stream's frames. */
#include "apps/share_tx.h"

#include <assert.h>

#include "crypto/crypto.h"

enum state { HELLO, ASKED, SERVING, DONE, ENDING };

typedef struct request {
    uint64_t id;
    size_t range_count;
    kith_share_range ranges[KITH_SHARE_REQUEST_RANGES];
} request;

struct kith_share_tx {
    kith_env env;
    enum state state;
    const kith_share_source *source;
    kith_time last_at; /* when something moved last */
    kith_share_reader reader;
    uint64_t skip; /* bytes of a body that is not for us */
    uint8_t hello_root[KITH_BLAKE3_LEN];
    uint8_t hello_secret[KITH_BLAKE3_LEN]; /* its hash, so that lengths need not agree */

    /* what was asked for and is not planned in full: a ring */
    request requests[KITH_SHARE_REQUESTS];
    size_t request_first, request_count;
    size_t plan_range;   /* in the first request */
    uint64_t plan_blobs; /* blobs of that range that were begun */
    bool plan_inside;    /* one of them is not finished: */
    bool plan_starts;
    uint64_t plan_blob, plan_offset, plan_to;

    kith_list blocks; /* in the order of sending */
    size_t block_count;
    kith_list spare; /* kept while a transfer runs, so that no block is allocated per 256 KiB */
    size_t spare_count;

    /* what is being sent */
    kith_tree_prover prover;
    bool skipping; /* the rest of the current range cannot be had */
    uint8_t head[KITH_SHARE_HEAD_MAX + 2];
    size_t head_len, head_at;
    kith_bytes data; /* in the first block */
    uint64_t sent_bytes, sent_files;

    bool ev_asked, ev_receipt, ev_failed;
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
    x->last_at = now;
    kith_list_init(&x->blocks);
    kith_list_init(&x->spare);
    return x;
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
    kith_wipe(x->hello_secret, sizeof x->hello_secret);
    kith_env env = x->env;
    KITH_FREE(&env, x);
}

/* Ends the transfer; tell: the receiver is told the code. */
static void fail(kith_share_tx *x, kith_err err, kith_share_code code, bool tell, const char *why)
{
    if (x->state == ENDING)
        return;
    x->state = ENDING;
    x->say_error = tell;
    x->ev_failed = true;
    x->err = err;
    x->code = code;
    x->why = why;
}

/* ---- planning ---- */

/* Bytes of content of a blob; 0: it has none. */
static uint64_t blob_size(const kith_share_source *s, uint64_t blob)
{
    if (blob == 0)
        return s->list.len;
    if (blob > s->manifest->count)
        return 0;
    const kith_entry e = kith_manifest_entry(s->manifest, (size_t)blob - 1);
    return e.type == KITH_ENTRY_FILE ? e.size : 0;
}

/* Finds the next blob to plan. False: all requests are planned. */
static bool plan_next_blob(kith_share_tx *x)
{
    while (x->request_count > 0) {
        request *q = &x->requests[x->request_first];
        if (x->plan_range == q->range_count) {
            x->request_first = (x->request_first + 1) % KITH_SHARE_REQUESTS;
            x->request_count--;
            x->plan_range = 0;
            continue;
        }
        const kith_share_range *g = &q->ranges[x->plan_range];
        if (x->plan_blobs == g->count) {
            x->plan_range++;
            x->plan_blobs = 0;
            continue;
        }
        x->plan_blob = g->blob + x->plan_blobs++;
        if (kith_share_range_span(g, blob_size(x->source, x->plan_blob), &x->plan_offset, &x->plan_to)) {
            x->plan_inside = x->plan_starts = true;
            return true;
        }
    }
    return false;
}

/* Fills a block with what comes next. A block holds files or parts of the list, not both. */
static void plan_block(kith_share_tx *x, kith_share_block *b)
{
    while (b->count < KITH_SHARE_BLOCK_ITEMS && (x->plan_inside || plan_next_blob(x))) {
        uint64_t left = x->plan_to - x->plan_offset;
        size_t n = left < KITH_TREE_LEAF ? (size_t)left : KITH_TREE_LEAF;
        if (n > sizeof b->buf - b->len || (b->count > 0 && (b->items[0].blob == 0) != (x->plan_blob == 0)))
            return;
        if (x->plan_blob == 0)
            memcpy(b->buf + b->len, x->source->list.p + x->plan_offset, n);
        b->items[b->count++] = (kith_share_item){
            .blob = x->plan_blob,
            .offset = x->plan_offset,
            .to = x->plan_to,
            .request = x->requests[x->request_first].id,
            .at = (uint32_t)b->len,
            .len = (uint32_t)n,
            .starts = x->plan_starts,
        };
        b->len += n;
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
    while (x->state == SERVING && x->block_count < KITH_SHARE_TX_BLOCKS &&
           (x->plan_inside || x->request_count > 0)) {
        kith_share_block *b = take_block(x);
        if (!b) {
            fail(x, KITH_ENOMEM, KITH_SHARE_INTERNAL, true, "no memory");
            return;
        }
        plan_block(x, b);
        if (b->count == 0) {
            spare_block(x, b);
            continue; /* the requests covered nothing: they are used up now */
        }
        b->ready = b->items[0].blob == 0;
        kith_list_push(&x->blocks, &b->link);
        x->block_count++;
    }
    if (x->block_count == 0) /* idle: a waiting receiver costs no blocks */
        kith_share_blocks_free(&x->spare), x->spare_count = 0;
}

/* ---- receiving ---- */

static bool request_ok(const kith_share_tx *x, const kith_share_msg *m)
{
    for (size_t i = 0; i < m->range_count; i++) {
        const kith_share_range *g = &m->ranges[i];
        uint64_t from, to;
        if (g->blob > x->source->manifest->count || g->count > x->source->manifest->count + 1 - g->blob)
            return false;
        if (g->count == 1 && !kith_share_range_span(g, blob_size(x->source, g->blob), &from, &to))
            return false;
    }
    return true;
}

static void on_hello(kith_share_tx *x, const kith_share_msg *m)
{
    if (m->version == 0 || m->root.len != sizeof x->hello_root) {
        fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, "a malformed hello");
        return;
    }
    memcpy(x->hello_root, m->root.p, sizeof x->hello_root);
    kith_blake3_hash(m->secret, x->hello_secret);
    x->state = ASKED;
    x->ev_asked = true;
}

static void on_request(kith_share_tx *x, const kith_share_msg *m)
{
    if (x->request_count == KITH_SHARE_REQUESTS) {
        fail(x, KITH_ELIMIT, KITH_SHARE_PROTOCOL, true, "the receiver asked for too much at once");
        return;
    }
    if (!request_ok(x, m)) {
        fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, "the receiver asked for something that is not there");
        return;
    }
    request *q = &x->requests[(x->request_first + x->request_count) % KITH_SHARE_REQUESTS];
    q->id = m->id;
    q->range_count = m->range_count;
    memcpy(q->ranges, m->ranges, m->range_count * sizeof q->ranges[0]);
    x->request_count++;
    plan(x);
}

static void on_msg(kith_share_tx *x, const kith_share_msg *m)
{
    static const char out_of_turn[] = "a message out of turn";
    switch (m->kind) {
    case KITH_SHARE_OTHER:
        return;
    case KITH_SHARE_HELLO:
        if (x->state == HELLO)
            on_hello(x, m);
        else
            fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, out_of_turn);
        return;
    case KITH_SHARE_REQUEST:
        if (x->state == SERVING)
            on_request(x, m);
        else
            fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, out_of_turn);
        return;
    case KITH_SHARE_RECEIPT:
        if (x->state != SERVING) {
            fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, out_of_turn);
            return;
        }
        x->state = DONE;
        x->ev_receipt = true;
        x->receipt_files = m->files;
        x->receipt_bytes = m->bytes;
        return;
    case KITH_SHARE_ERROR:
        fail(x, KITH_EREFUSED, m->code, false, "the receiver ended the transfer");
        return;
    case KITH_SHARE_OFFER:
    case KITH_SHARE_DATA:
        fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, "a sharer's message from a receiver");
        return;
    }
}

static kith_err tx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_share_tx *x = m;
    x->last_at = now;
    while (in.len > 0 && x->state != ENDING && x->state != DONE) {
        if (x->skip > 0) {
            size_t n = x->skip < in.len ? (size_t)x->skip : in.len;
            x->skip -= n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        kith_bytes head;
        bool bad;
        kith_share_msg msg;
        if (!kith_share_read_head(&x->reader, &in, &head, &bad)) {
            if (bad)
                fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, "a message that is too long");
            break;
        }
        if (kith_share_msg_parse(head, &msg) != KITH_OK) {
            fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, true, "a malformed message");
            break;
        }
        x->skip = msg.body;
        on_msg(x, &msg);
    }
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

/* The tree of a blob. */
static const uint8_t *blob_nodes(const kith_share_source *s, uint64_t blob)
{
    return blob == 0 ? s->list_nodes : s->nodes[blob - 1];
}

static void begin_item(kith_share_tx *x, const kith_share_block *b, const kith_share_item *it)
{
    kith_share_msg msg = {.kind = KITH_SHARE_DATA, .id = it->request, .blob = it->blob, .offset = it->offset};
    uint8_t pairs[KITH_TREE_PROOF_MAX];
    if (it->code) {
        msg.code = it->code;
        x->skipping = true;
    } else {
        kith_wr w = kith_wr_of(kith_span_of(pairs, sizeof pairs));
        uint64_t from = 0, to = 0;
        bool more = kith_tree_prove_next(&x->prover, &w, &from, &to);
        assert(more && from == it->offset && to - from == it->len && !w.bad);
        msg.pairs = kith_wr_bytes(&w);
        msg.body = it->len;
        x->data = kith_bytes_of(b->buf + it->at, it->len);
        if (it->blob > 0) {
            x->sent_bytes += it->len;
            x->sent_files += to == blob_size(x->source, it->blob);
        }
    }
    put_head(x, &msg);
}

/* Makes the head of the next DATA frame, if a block is ready. */
static bool next_frame(kith_share_tx *x)
{
    for (kith_link *k; (k = kith_list_first(&x->blocks)) != NULL;) {
        kith_share_block *b = KITH_OF(k, kith_share_block, link);
        if (!b->ready)
            return false;
        if (b->next == b->count) {
            kith_link_remove(k);
            x->block_count--;
            spare_block(x, b);
            plan(x);
            if (x->state != SERVING)
                return false;
            continue;
        }
        const kith_share_item *it = &b->items[b->next++];
        if (it->starts) {
            x->skipping = false;
            kith_tree_prove(&x->prover, blob_nodes(x->source, it->blob), blob_size(x->source, it->blob),
                            it->offset, it->to);
        }
        if (x->skipping)
            continue;
        begin_item(x, b, it);
        return true;
    }
    return false;
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
        } else if (x->state != SERVING || !next_frame(x)) {
            break;
        }
    }
    if (n > 0)
        x->last_at = now;
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

static kith_time tx_deadline(const void *m)
{
    const kith_share_tx *x = m;
    switch (x->state) {
    case HELLO:
        return x->last_at + KITH_SHARE_HELLO_TIMEOUT;
    case SERVING:
        if (reading(x))
            return KITH_NEVER;
        return x->last_at + (x->block_count > 0 ? KITH_SHARE_STALL_TIMEOUT : KITH_SHARE_IDLE_TIMEOUT);
    case ASKED:
        break;
    case DONE:
    case ENDING:
        return x->last_at + KITH_SHARE_GOODBYE_TIMEOUT;
    }
    return KITH_NEVER;
}

static void tx_tick(void *m, kith_time now)
{
    kith_share_tx *x = m;
    if (now < tx_deadline(x))
        return;
    if (x->state == DONE)
        x->state = ENDING;
    fail(x, KITH_ETIMEOUT, KITH_SHARE_NONE, false,
         x->state == HELLO ? "the receiver said no hello" : "the receiver has stalled");
    x->say_error = x->said_error = false;
    x->last_at = now;
    x->head_len = x->head_at = 0; /* nobody reads: leave without finishing the frame */
    x->data = (kith_bytes){0};
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
    return x->ev_asked || x->ev_receipt || x->ev_failed || to_read(x);
}

bool kith_share_tx_next(kith_share_tx *x, kith_share_tx_event *ev)
{
    *ev = (kith_share_tx_event){.kind = KITH_SHARE_TX_FAILED};
    if (x->ev_asked) {
        x->ev_asked = false;
        ev->kind = KITH_SHARE_TX_ASKED;
        return true;
    }
    kith_share_block *b = to_read(x);
    if (b) {
        b->lent = true;
        ev->kind = KITH_SHARE_TX_READ;
        ev->block = b;
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

void kith_share_tx_admit(kith_share_tx *x, kith_time now, const kith_share_source *source)
{
    if (x->state != ASKED)
        return;
    uint8_t secret[KITH_BLAKE3_LEN];
    kith_blake3_hash(source->secret, secret);
    bool root_ok = kith_ct_eq(kith_bytes_of(x->hello_root, sizeof x->hello_root),
                              kith_bytes_of(source->root, sizeof source->root));
    bool secret_ok =
        kith_ct_eq(kith_bytes_of(x->hello_secret, sizeof secret), kith_bytes_of(secret, sizeof secret));
    kith_wipe(secret, sizeof secret);
    if (!root_ok || !secret_ok) {
        fail(x, KITH_EAUTH, KITH_SHARE_REFUSED, true, "the receiver's ticket is not one of this share");
        return;
    }
    x->source = source;
    x->state = SERVING;
    x->last_at = now;
    put_head(x, &(kith_share_msg){
                    .kind = KITH_SHARE_OFFER, .version = KITH_SHARE_VERSION, .list_size = source->list.len});
}

void kith_share_tx_stop(kith_share_tx *x, kith_share_code code)
{
    if (x->state == DONE || x->state == ENDING)
        return;
    fail(x, KITH_ECLOSED, code, true, "stopped");
    x->ev_failed = false; /* the owner knows */
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
    assert(x->request_count <= KITH_SHARE_REQUESTS && x->head_at <= x->head_len &&
           x->head_len <= sizeof x->head);
    assert(x->state != HELLO || (n == 0 && x->request_count == 0));
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
