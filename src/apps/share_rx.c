/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver's side of a transfer.
 *
 * A stranger writes what comes in here. The order of DATA frames follows from the requests, so every frame is compared with the one
 * that is due; its proof must lead from the file's root to it, and its bytes must hash to the proof's leaf before they are shown to
 * anyone. */
#include "apps/share_rx.h"

#include <assert.h>

#include "base/buf.h"
#include "crypto/crypto.h"

enum state { ASKING, OFFERED, LISTING, READY, LEAVING, DONE, ENDING };

/* What is said and not yet taken by the stream: requests above all. Behind half of the first no request is said. */
#define OUT_FULL (32u * 1024)
#define OUT_MAX (OUT_FULL + KITH_SHARE_REQUEST_LEAVES * KITH_SHARE_HINT_LEN)
#define SPARE_MAX 16

typedef struct request {
    uint64_t id;
    bool cancelled;
    size_t range_count;
    kith_leaf_range ranges[KITH_SHARE_RANGES];
    uint8_t hinted[KITH_SHARE_REQUEST_LEAVES / 8]; /* bits */
} request;

/* Where a body goes. */
enum body { BODY_NONE, BODY_LEAF, BODY_LIST, BODY_ROOTS };

struct kith_share_rx {
    kith_env env;
    enum state state;
    kith_time heard_at;
    kith_time moved_at;    /* when something came that is of use, or we began to wait */
    bool moved;            /* by what came last */
    uint64_t wait_most[2]; /* done and total, of all WAIT */
    kith_share_reader reader;
    uint64_t skip; /* bytes of a body that is not for us */
    kith_buf out;
    bool with_code; /* the hello named a code: PAKE messages are due */
    bool asked;     /* we have said the first */
    bool proved;    /* and the third: the sharer has the code. Nothing is taken of it before */

    /* what is offered */
    uint8_t list_root[KITH_BLAKE3_LEN], share_id[KITH_BLAKE3_LEN];
    uint64_t list_size, holes;
    bool complete, partial, has_id;
    size_t name_len;
    uint8_t name[KITH_SHARE_NAME_MAX];
    uint8_t *list; /* the owner's */
    uint64_t list_have;
    const kith_share_view *view;
    uint8_t *roots; /* the owner's; NULL: not asked for */
    size_t roots_have;
    kith_leaves have;
    bool paused, paused_by_peer;

    /* what was asked for, in order: a ring; the first is being answered */
    request requests[KITH_SHARE_REQUESTS];
    size_t request_first, request_count;
    uint64_t next_id;

    /* what is due next */
    size_t due_range;  /* in the first request */
    uint32_t due_leaf; /* in that range; behind its end: the next range is due */
    uint32_t due_at;   /* leaves of the request before it */
    bool due_new;      /* the range has not begun */
    bool due_inside;   /* a file of it is not finished: */
    size_t due_entry;
    uint64_t due_offset;
    uint32_t due_end; /* leaf behind the file's last one in this range */
    kith_tree_checker checker;

    enum body body;
    uint8_t *body_to;
    size_t body_len, body_have; /* of the frame that is coming in */
    kith_share_block *block;    /* being put together; NULL: none */
    kith_list full;             /* verified blocks, to be shown */
    uint64_t held;              /* bytes of blocks that are shown or to be shown */
    kith_list spare;
    size_t spare_count;

    bool
        said_error; /* our FIN follows, and the stream is reset only if the peer does not answer with its own */
    bool ev_pake, ev_wait, ev_offer, ev_list, ev_roots, ev_have, ev_peers, ev_pass, ev_paused, ev_done,
        ev_failed;
    kith_buf data; /* of ev_pake or ev_peers */
    kith_buf pass; /* of ev_pass */
    uint64_t wait_done, wait_total;
    uint64_t ended[KITH_SHARE_REQUESTS];
    size_t ended_count;
    kith_err err;
    kith_share_code code;
    const char *why;
    size_t fail_entry;
};

static uint8_t zeros[KITH_TREE_LEAF]; /* never written to */

static void say(kith_share_rx *x, const kith_share_msg *m);
static void flush_block(kith_share_rx *x);

kith_share_rx *kith_share_rx_new(const kith_share_rx_config *cfg, kith_time now)
{
    kith_share_rx *x = KITH_NEW(&cfg->env, kith_share_rx);
    if (!x)
        return NULL;
    x->env = cfg->env;
    x->heard_at = x->moved_at = now;
    x->with_code = cfg->code_tag.len > 0;
    x->fail_entry = SIZE_MAX;
    kith_buf_init(&x->out, OUT_MAX);
    kith_buf_init(&x->data, KITH_SHARE_HEAD_MAX);
    kith_buf_init(&x->pass, KITH_SHARE_TOKEN_MAX);
    kith_list_init(&x->full);
    kith_list_init(&x->spare);
    say(x, &(kith_share_msg){
               .kind = KITH_SHARE_HELLO,
               .version = KITH_SHARE_VERSION,
               .capability = cfg->capability,
               .code_tag = cfg->code_tag,
               .swarm = cfg->swarm,
           });
    if (x->state != ENDING)
        return x;
    kith_share_rx_ops.free(x);
    return NULL;
}

/* The hello with its capability may lie there. */
static void drop_out(kith_share_rx *x)
{
    kith_span out = kith_buf_span(&x->out);
    if (out.len > 0)
        kith_wipe(out.p, out.len);
    kith_buf_fini(&x->out, &x->env);
}

static void rx_free(void *m)
{
    kith_share_rx *x = m;
    kith_env env = x->env;
    drop_out(x);
    kith_buf_fini(&x->data, &env);
    kith_buf_fini(&x->pass, &env);
    kith_leaves_fini(&x->have, &env);
    kith_share_block_free(x->block);
    kith_share_blocks_free(&x->full);
    kith_share_blocks_free(&x->spare);
    KITH_FREE(&env, x);
}

/* Ends the transfer. tell: the code that the sharer is told, or KITH_SHARE_NONE. */
static void end(kith_share_rx *x, kith_err err, kith_share_code tell, const char *why)
{
    if (x->state == ENDING || x->state == DONE)
        return;
    flush_block(x); /* what is verified is not lost */
    x->state = ENDING;
    x->ev_pake = x->ev_wait = x->ev_offer = x->ev_list = x->ev_roots = x->ev_have = x->ev_peers = x->ev_pass =
        x->ev_paused = false; /* too late for an answer */
    x->ended_count = 0;
    x->body = BODY_NONE;
    x->ev_failed = true;
    x->err = err;
    x->why = why;
    x->said_error = tell != KITH_SHARE_NONE;
    if (tell)
        say(x, &(kith_share_msg){.kind = KITH_SHARE_ERROR, .code = tell});
}

/* Something went wrong. Once everything is here that does not matter any more, but that the sharer may not hear of it. */
static void fail(kith_share_rx *x, kith_err err, kith_share_code tell, const char *why)
{
    if (x->state == LEAVING) {
        x->state = DONE;
        x->ev_done = true;
    } else {
        end(x, err, tell, why);
    }
}

static void breach(kith_share_rx *x, const char *why)
{
    fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, why);
}

static void no_memory(kith_share_rx *x)
{
    fail(x, KITH_ENOMEM, KITH_SHARE_INTERNAL, "no memory");
}

static void say(kith_share_rx *x, const kith_share_msg *m)
{
    uint8_t buf[KITH_SHARE_HEAD_MAX + 2];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_share_msg_put(&w, m);
    assert(!w.bad);
    if (kith_buf_put(&x->out, &x->env, kith_wr_bytes(&w)) != KITH_OK)
        fail(x, KITH_ENOMEM, KITH_SHARE_NONE, "no memory");
    kith_wipe(buf, w.len);
}

/* ---- blocks ---- */

static void spare_block(kith_share_rx *x, kith_share_block *b)
{
    if (x->spare_count == SPARE_MAX || x->state > READY || x->request_count == 0) {
        kith_share_block_free(b);
        return;
    }
    b->len = b->count = 0;
    kith_list_push(&x->spare, &b->link);
    x->spare_count++;
}

static void flush_block(kith_share_rx *x)
{
    kith_share_block *b = x->block;
    x->block = NULL;
    if (b && b->count > 0) {
        kith_list_push(&x->full, &b->link);
        x->held += b->len;
    } else if (b) {
        spare_block(x, b);
    }
}

/* Makes sure that n more bytes and one more item fit. False: no memory. */
static bool want_room(kith_share_rx *x, size_t n)
{
    if (x->block && (x->block->count == KITH_SHARE_BLOCK_ITEMS || n > sizeof x->block->buf - x->block->len))
        flush_block(x);
    if (!x->block) {
        kith_link *k = kith_list_pop(&x->spare);
        x->spare_count -= k != NULL;
        x->block = k ? KITH_OF(k, kith_share_block, link) : kith_share_block_new(&x->env);
    }
    if (!x->block)
        no_memory(x);
    return x->block != NULL;
}

static size_t due_len(const kith_share_rx *x)
{
    uint64_t left = kith_manifest_entry(x->view->manifest, x->due_entry).size - x->due_offset;
    return left < KITH_TREE_LEAF ? (size_t)left : KITH_TREE_LEAF;
}

/* Records the leaf that is due, of n bytes. m: what was said of them; NULL: they lie at the block's end. */
static void add_item(kith_share_rx *x, size_t n, const kith_share_msg *m)
{
    kith_share_block *b = x->block;
    b->items[b->count++] = (kith_share_item){
        .entry = x->due_entry,
        .leaf = x->due_leaf,
        .offset = x->due_offset,
        .request = x->requests[x->request_first].id,
        .at = (uint32_t)b->len,
        .len = (uint32_t)n,
        .zeros = m && m->zeros,
        .same = m && m->same,
        .code = m ? m->code : KITH_SHARE_NONE,
    };
    b->len += m ? 0 : n;
}

/* ---- what is due ---- */

static void begin_file(kith_share_rx *x, kith_leaf_range g)
{
    const kith_manifest *m = x->view->manifest;
    x->due_entry = kith_manifest_leaf(m, x->due_leaf, &x->due_offset);
    uint64_t size = kith_manifest_entry(m, x->due_entry).size;
    uint32_t first, end;
    kith_manifest_leaves(m, x->due_entry, &first, &end);
    x->due_end = end < g.end ? end : g.end;
    uint64_t to = (uint64_t)(x->due_end - first) * KITH_TREE_LEAF;
    kith_tree_check(&x->checker, x->view->roots + x->due_entry * KITH_BLAKE3_LEN, size, x->due_offset,
                    to < size ? to : size);
    if (x->view->nodes)
        x->checker.nodes = x->view->nodes(x->view->ctx, x->due_entry);
    x->due_inside = true;
}

static void pop_request(kith_share_rx *x)
{
    x->request_first = (x->request_first + 1) % KITH_SHARE_REQUESTS;
    x->request_count--;
    x->due_range = 0;
    x->due_at = 0;
    x->due_new = true;
    x->due_inside = false;
    flush_block(x);
    if (x->request_count == 0) /* idle: it costs no blocks */
        kith_share_blocks_free(&x->spare), x->spare_count = 0;
}

/* Finds the leaf that the next DATA frame must be of. False: nothing is due. */
static bool due_next(kith_share_rx *x)
{
    while (!x->due_inside && x->request_count > 0) {
        const request *q = &x->requests[x->request_first];
        if (x->due_range == q->range_count) {
            pop_request(x);
            continue;
        }
        kith_leaf_range g = q->ranges[x->due_range];
        if (x->due_new)
            x->due_leaf = g.first;
        x->due_new = false;
        if (x->due_leaf == g.end) {
            x->due_range++;
            x->due_new = true;
            continue;
        }
        begin_file(x, g);
    }
    return x->due_inside;
}

static void bad_data(kith_share_rx *x, size_t entry, const char *why)
{
    x->fail_entry = entry;
    fail(x, KITH_ECRYPTO, KITH_SHARE_BAD_DATA, why);
}

/* The leaf that is due has been verified. */
static void leaf_done(kith_share_rx *x, size_t n, const kith_share_msg *m)
{
    x->moved = true;
    add_item(x, n, m);
    x->due_offset += n;
    x->due_leaf++;
    x->due_at++;
    x->due_inside = x->due_leaf < x->due_end;
    (void)due_next(x);
}

/* The leaf that is due is here. */
static void leaf_came(kith_share_rx *x, kith_bytes data, const kith_share_msg *m)
{
    if (kith_tree_check_data(&x->checker, data) != KITH_OK) {
        bad_data(x, x->due_entry, "content that does not match its hash");
        return;
    }
    leaf_done(x, data.len, m);
}

static void leaf_is_same(kith_share_rx *x, size_t n, const kith_share_msg *m)
{
    const kith_share_older *o = &x->view->older;
    if (kith_tree_check_value(&x->checker, o->value(o->ctx, x->due_leaf)) != KITH_OK) {
        bad_data(x, x->due_entry, "content that is not the same");
        return;
    }
    leaf_done(x, n, m);
}

static void on_data(kith_share_rx *x, const kith_share_msg *m)
{
    if (!x->due_inside || m->id != x->requests[x->request_first].id || m->leaf != x->due_leaf) {
        breach(x, "content that is not due");
        return;
    }
    const request *q = &x->requests[x->request_first];
    if (m->same && !(q->hinted[x->due_at / 8] >> x->due_at % 8 & 1)) {
        breach(x, "the same as what was not said");
        return;
    }
    if (m->code) {
        if (want_room(x, 0)) {
            x->moved = true;
            add_item(x, 0, m);
            x->due_at += x->due_end - x->due_leaf;
            x->due_leaf = x->due_end;
            x->due_inside = false;
            (void)due_next(x);
        }
        return;
    }
    uint64_t from, to;
    size_t n = due_len(x);
    kith_err err = kith_tree_check_pairs(&x->checker, m->pairs, &from, &to);
    if (err == KITH_ECRYPTO) {
        bad_data(x, x->due_entry, "a proof that does not match its hash");
        return;
    }
    const bool bare = m->zeros || m->same;
    if (err || from != x->due_offset || to - from != n || m->body != (bare ? 0 : n)) {
        breach(x, "a malformed proof");
        return;
    }
    if (!want_room(x, bare ? 0 : n))
        return;
    if (m->zeros) {
        leaf_came(x, kith_bytes_of(zeros, n), m);
        return;
    }
    if (m->same) {
        leaf_is_same(x, n, m);
        return;
    }
    x->body = BODY_LEAF;
    x->body_to = x->block->buf + x->block->len;
    x->body_len = n;
}

/* ---- the list and the hashes ---- */

static void on_offer(kith_share_rx *x, const kith_share_msg *m)
{
    if (x->state != ASKING || (x->with_code && !x->proved)) {
        breach(x, "an offer out of turn");
        return;
    }
    if (m->list_size == 0 || m->list_size > KITH_MANIFEST_MAX) {
        fail(x, KITH_ELIMIT, KITH_SHARE_DECLINED, "its list is longer than we take");
        return;
    }
    memcpy(x->list_root, m->root.p, sizeof x->list_root);
    x->has_id = m->share_id.len > 0;
    if (x->has_id)
        memcpy(x->share_id, m->share_id.p, sizeof x->share_id);
    x->name_len = m->name.len;
    if (m->name.len > 0)
        memcpy(x->name, m->name.p, m->name.len);
    x->list_size = m->list_size;
    x->holes = m->holes;
    x->complete = m->complete;
    x->partial = m->partial;
    x->state = OFFERED;
    x->ev_offer = true;
}

static void on_list(kith_share_rx *x, const kith_share_msg *m)
{
    if (x->state != LISTING || m->offset != x->list_have || m->body > x->list_size - x->list_have) {
        breach(x, "a list that is not due");
        return;
    }
    x->body = BODY_LIST;
    x->body_to = x->list + x->list_have;
    x->body_len = (size_t)m->body;
}

static void list_part_done(kith_share_rx *x)
{
    uint8_t root[KITH_BLAKE3_LEN];
    x->list_have += x->body_len;
    if (x->list_have < x->list_size)
        return;
    kith_blake3_hash(kith_bytes_of(x->list, (size_t)x->list_size), root);
    x->state = OFFERED;
    if (memcmp(root, x->list_root, sizeof root) != 0)
        bad_data(x, SIZE_MAX, "a list that does not match its hash");
    else
        x->ev_list = true;
}

static void on_roots(kith_share_rx *x, const kith_share_msg *m)
{
    if (!x->roots || m->first != x->roots_have ||
        m->body / KITH_BLAKE3_LEN > x->view->manifest->count - x->roots_have) {
        breach(x, "hashes that are not due");
        return;
    }
    x->body = BODY_ROOTS;
    x->body_to = x->roots + x->roots_have * KITH_BLAKE3_LEN;
    x->body_len = (size_t)m->body;
}

static void body_done(kith_share_rx *x)
{
    enum body b = x->body;
    x->body = BODY_NONE;
    x->body_have = 0;
    switch (b) {
    case BODY_LEAF:
        leaf_came(x, kith_bytes_of(x->body_to, x->body_len), NULL);
        break;
    case BODY_LIST:
        list_part_done(x);
        break;
    case BODY_ROOTS:
        x->roots_have += x->body_len / KITH_BLAKE3_LEN;
        x->ev_roots = true;
        break;
    case BODY_NONE:
        break;
    }
}

/* ---- receiving ---- */

static void on_ended(kith_share_rx *x, uint64_t id)
{
    const request *q = &x->requests[x->request_first];
    if (x->request_count == 0 || q->id != id || !q->cancelled) {
        breach(x, "an end that is not due");
        return;
    }
    pop_request(x);
    x->moved = true;
    x->ended[x->ended_count++] =
        id; /* no more than were asked for: the owner hears of it before it asks again */
    (void)due_next(x);
}

static void on_have(kith_share_rx *x, const kith_share_msg *m)
{
    if (!x->partial)
        breach(x, "a whole source that has a part");
    for (size_t i = 0; i < m->range_count && x->state != ENDING && x->state != DONE; i++) {
        if (x->have.count >= KITH_SHARE_HAVE_RANGES_MAX) /* of no use to us then, and no harm */
            return;
        if (kith_leaves_add(&x->have, &x->env, m->ranges[i].first, m->ranges[i].end))
            no_memory(x);
        x->ev_have = x->state != ENDING;
    }
}

static bool keep(kith_share_rx *x, kith_buf *in, kith_bytes data)
{
    kith_buf_fini(in, &x->env);
    if (data.len == 0 || kith_buf_put(in, &x->env, data) == KITH_OK)
        return true;
    no_memory(x);
    return false;
}

static void on_pake(kith_share_rx *x, const kith_share_msg *m)
{
    if (x->state != ASKING || !x->asked || x->proved || x->ev_pake || m->step != 2) {
        breach(x, "a message out of turn");
    } else if (keep(x, &x->data, m->data)) {
        x->ev_pake = true;
    }
}

static void on_wait(kith_share_rx *x, const kith_share_msg *m)
{
    const uint64_t now[2] = {m->done, m->total};
    x->ev_wait = true;
    x->wait_done = m->done;
    x->wait_total = m->total;
    for (size_t i = 0; i < 2; i++) {
        x->moved |= now[i] > x->wait_most[i];
        x->wait_most[i] = now[i] > x->wait_most[i] ? now[i] : x->wait_most[i];
    }
}

static void on_msg(kith_share_rx *x, const kith_share_msg *m)
{
    x->skip = m->body;
    switch (m->kind) {
    case KITH_SHARE_OFFER:
        on_offer(x, m);
        return;
    case KITH_SHARE_DATA:
        x->skip = 0;
        on_data(x, m);
        return;
    case KITH_SHARE_LIST:
        x->skip = 0;
        on_list(x, m);
        return;
    case KITH_SHARE_ROOTS:
        x->skip = 0;
        on_roots(x, m);
        return;
    case KITH_SHARE_WAIT:
        if (x->with_code && !x->proved) {
            breach(x, "news out of turn");
            return;
        }
        on_wait(x, m);
        return;
    case KITH_SHARE_ENDED:
        on_ended(x, m->id);
        return;
    case KITH_SHARE_HAVE:
        on_have(x, m);
        return;
    case KITH_SHARE_PEERS:
        if (x->state > ASKING && keep(x, &x->data, m->peers))
            x->ev_peers = true;
        return;
    case KITH_SHARE_PASS:
        if (x->state > ASKING && keep(x, &x->pass, m->capability))
            x->ev_pass = true;
        return;
    case KITH_SHARE_PAUSE:
        if (x->state == ASKING) {
            breach(x, "news out of turn");
            return;
        }
        x->ev_paused |= x->paused_by_peer != m->on;
        x->paused_by_peer = m->on;
        return;
    case KITH_SHARE_PAKE:
        on_pake(x, m);
        return;
    case KITH_SHARE_ERROR:
        x->code = m->code;
        fail(x, KITH_EREFUSED, KITH_SHARE_NONE, "the sharer ended the transfer");
        return;
    case KITH_SHARE_OTHER:
        return;
    case KITH_SHARE_HELLO:
    case KITH_SHARE_REQUEST:
    case KITH_SHARE_RECEIPT:
    case KITH_SHARE_GET_LIST:
    case KITH_SHARE_GET_ROOTS:
    case KITH_SHARE_CANCEL:
    case KITH_SHARE_STREAM:
    case KITH_SHARE_END:
        breach(x, "a receiver's message from a sharer");
        return;
    }
}

/* Takes a body's bytes from the front of in. */
static kith_bytes take_body(kith_share_rx *x, kith_bytes in)
{
    size_t left = x->body_len - x->body_have, n = left < in.len ? left : in.len;
    memcpy(x->body_to + x->body_have, in.p, n);
    x->body_have += n;
    x->moved = true;
    if (n == left)
        body_done(x);
    return kith_bytes_skip(in, n);
}

static kith_err rx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_share_rx *x = m;
    const enum state was = x->state;
    const bool paused = x->paused_by_peer;
    if (x->state < LEAVING) /* who drips bytes then would hold us for ever */
        x->heard_at = now;
    x->moved = false;
    while (in.len > 0 && x->state < LEAVING) {
        if (x->skip > 0) {
            size_t n = x->skip < in.len ? (size_t)x->skip : in.len;
            x->skip -= n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        if (x->body != BODY_NONE) {
            in = take_body(x, in);
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
        if (kith_share_msg_parse(head, &msg) != KITH_OK)
            breach(x, "a malformed message");
        else
            on_msg(x, &msg);
    }
    if (x->moved || x->state != was || x->paused_by_peer != paused)
        x->moved_at = now;
    return KITH_OK;
}

static void rx_eof(void *m, kith_time now)
{
    kith_share_rx *x = m;
    x->heard_at = now;
    fail(x, KITH_ECLOSED, KITH_SHARE_NONE, "the sharer closed the stream");
}

static void rx_gone(void *m, kith_time now, kith_err why)
{
    kith_share_rx *x = m;
    x->heard_at = now;
    fail(x, why ? why : KITH_ECLOSED, KITH_SHARE_NONE, "the connection to the sharer was lost");
}

/* ---- the other verbs ---- */

static size_t rx_send(void *m, kith_time now, kith_span out)
{
    (void)now;
    kith_share_rx *x = m;
    return kith_buf_take(&x->out, &x->env, out);
}

static kith_stream_want rx_want(const void *m)
{
    const kith_share_rx *x = m;
    if (x->out.len > 0 || x->state < LEAVING)
        return KITH_STREAM_OPEN;
    return x->state == ENDING && !x->said_error ? KITH_STREAM_RESET : KITH_STREAM_FIN;
}

static size_t rx_held(const void *m)
{
    return (size_t)((const kith_share_rx *)m)->held;
}

/* Something is to come: an answer, or hashes. */
static bool waits(const kith_share_rx *x)
{
    return x->request_count > 0 || (x->roots && x->roots_have < x->view->manifest->count);
}

static kith_time patience(const kith_share_rx *x)
{
    return kith_time_min(x->heard_at + KITH_SHARE_SILENCE_TIMEOUT, x->moved_at + KITH_SHARE_USELESS_TIMEOUT);
}

static kith_time rx_deadline(const void *m)
{
    const kith_share_rx *x = m;
    switch (x->state) {
    case ASKING:
    case LISTING:
        return patience(x);
    case LEAVING:
    case ENDING:
        return x->heard_at + KITH_SHARE_GOODBYE_TIMEOUT;
    case READY: /* while our own disk is behind, silence is our own doing */
        return !waits(x) || x->held > 0 || x->paused || x->paused_by_peer ? KITH_NEVER : patience(x);
    case OFFERED:
    case DONE:
        break;
    }
    return KITH_NEVER;
}

static void rx_tick(void *m, kith_time now)
{
    kith_share_rx *x = m;
    if (now < rx_deadline(x))
        return;
    const bool silent = now >= x->heard_at + KITH_SHARE_SILENCE_TIMEOUT;
    x->heard_at = now;
    fail(x, KITH_ETIMEOUT, KITH_SHARE_NONE,
         silent ? "the sharer went silent"
                : "the sharer has had us wait for two hours, and nothing has changed");
    x->said_error = false;
    drop_out(x);
}

static bool rx_pending(const void *m)
{
    const kith_share_rx *x = m;
    return x->ev_pake || x->ev_wait || x->ev_offer || x->ev_list || x->ev_roots || x->ev_have ||
           x->ev_peers || x->ev_pass || x->ev_paused || x->ev_done || x->ev_failed || x->ended_count > 0 ||
           !kith_list_empty(&x->full);
}

/* The simple ones: a flag and a kind. */
static bool next_flag(bool *flag, kith_share_rx_event *ev, kith_share_rx_event_kind kind)
{
    if (!*flag)
        return false;
    *flag = false;
    ev->kind = kind;
    return true;
}

bool kith_share_rx_next(kith_share_rx *x, kith_share_rx_event *ev)
{
    *ev = (kith_share_rx_event){.kind = KITH_SHARE_RX_FAILED};
    if (next_flag(&x->ev_pake, ev, KITH_SHARE_RX_PAKE)) {
        ev->data = kith_buf_view(&x->data);
        return true;
    }
    if (next_flag(&x->ev_wait, ev, KITH_SHARE_RX_WAIT)) {
        ev->done = x->wait_done;
        ev->total = x->wait_total;
        return true;
    }
    if (next_flag(&x->ev_offer, ev, KITH_SHARE_RX_OFFER)) {
        ev->root = kith_bytes_of(x->list_root, sizeof x->list_root);
        ev->share_id = kith_bytes_of(x->share_id, x->has_id ? sizeof x->share_id : 0);
        ev->name = kith_bytes_of(x->name, x->name_len);
        ev->list_size = x->list_size;
        ev->holes = x->holes;
        ev->partial = x->partial;
        return true;
    }
    if (next_flag(&x->ev_list, ev, KITH_SHARE_RX_LIST) || next_flag(&x->ev_roots, ev, KITH_SHARE_RX_ROOTS) ||
        next_flag(&x->ev_have, ev, KITH_SHARE_RX_HAVE))
        return true;
    if (next_flag(&x->ev_peers, ev, KITH_SHARE_RX_PEERS)) {
        ev->data = kith_buf_view(&x->data);
        return true;
    }
    if (next_flag(&x->ev_pass, ev, KITH_SHARE_RX_PASS)) {
        ev->data = kith_buf_view(&x->pass);
        return true;
    }
    if (next_flag(&x->ev_paused, ev, KITH_SHARE_RX_PAUSED)) {
        ev->on = x->paused_by_peer;
        return true;
    }
    kith_link *k = kith_list_pop(&x->full);
    if (k) {
        ev->kind = KITH_SHARE_RX_BLOCK;
        ev->block = KITH_OF(k, kith_share_block, link);
        ev->block->lent = true;
        return true;
    }
    if (x->ended_count > 0) {
        ev->kind = KITH_SHARE_RX_ENDED;
        ev->id = x->ended[0];
        x->ended_count--;
        memmove(x->ended, x->ended + 1, x->ended_count * sizeof x->ended[0]);
        return true;
    }
    if (next_flag(&x->ev_done, ev, KITH_SHARE_RX_DONE))
        return true;
    if (!next_flag(&x->ev_failed, ev, KITH_SHARE_RX_FAILED))
        return false;
    ev->err = x->err;
    ev->why = x->why;
    ev->code = x->code;
    ev->entry = x->fail_entry;
    return true;
}

void kith_share_rx_pake(kith_share_rx *x, kith_bytes data)
{
    if (x->state != ASKING)
        return;
    x->proved = x->asked;
    x->asked = true;
    say(x, &(kith_share_msg){.kind = KITH_SHARE_PAKE, .step = x->proved ? 3 : 1, .data = data});
}

void kith_share_rx_get_list(kith_share_rx *x, kith_time now, uint8_t *into)
{
    if (x->state != OFFERED || x->list)
        return;
    x->state = LISTING;
    x->list = into;
    x->heard_at = x->moved_at = now;
    say(x, &(kith_share_msg){.kind = KITH_SHARE_GET_LIST});
}

void kith_share_rx_use(kith_share_rx *x, kith_time now, const kith_share_view *view)
{
    if (x->state != OFFERED)
        return;
    assert(view->manifest->list.len == x->list_size);
    x->state = READY;
    x->view = view;
    x->heard_at = x->moved_at = now;
    x->due_new = true;
}

void kith_share_rx_get_roots(kith_share_rx *x, kith_time now, uint8_t *into, size_t first)
{
    if (x->state != READY || x->roots)
        return;
    x->roots = into;
    x->roots_have = first;
    x->heard_at = x->moved_at = now;
    say(x, &(kith_share_msg){.kind = KITH_SHARE_GET_ROOTS, .first = first});
}

size_t kith_share_rx_roots(const kith_share_rx *x)
{
    return x->roots_have;
}

size_t kith_share_rx_knows(const kith_share_rx *x)
{
    return x->complete && x->view ? x->view->manifest->count : x->roots_have;
}

const kith_leaves *kith_share_rx_have(const kith_share_rx *x)
{
    return x->partial ? &x->have : NULL;
}

/* Marks the leaves of a request of which there is older content. Returns how many hints go with it: for each leaf one, or none at all. */
static size_t find_hints(const kith_share_rx *x, request *q)
{
    const kith_leaves *older = x->view->older.leaves;
    size_t at = 0, found = 0;
    memset(q->hinted, 0, sizeof q->hinted);
    for (size_t i = 0; i < q->range_count; i++) {
        const kith_leaf_range g = q->ranges[i];
        kith_leaf_range run = {.end = g.first};
        while (older && kith_leaves_next(older, true, run.end, g.end, &run)) {
            for (uint32_t leaf = run.first; leaf < run.end; leaf++, found++) {
                const size_t k = at + (leaf - g.first);
                q->hinted[k / 8] |= (uint8_t)(1u << k % 8);
            }
        }
        at += g.end - g.first;
    }
    return found > 0 ? at : 0;
}

static void say_hints(kith_share_rx *x, const request *q)
{
    static const uint8_t none[KITH_SHARE_HINT_LEN];
    const kith_share_older *o = &x->view->older;
    size_t at = 0;
    for (size_t i = 0; i < q->range_count; i++) {
        for (uint32_t leaf = q->ranges[i].first; leaf < q->ranges[i].end; leaf++, at++) {
            const bool hint = q->hinted[at / 8] >> at % 8 & 1;
            const uint8_t *value = hint ? o->value(o->ctx, leaf) : none;
            if (kith_buf_put(&x->out, &x->env, kith_bytes_of(value, KITH_SHARE_HINT_LEN))) {
                fail(x, KITH_ENOMEM, KITH_SHARE_NONE, "no memory");
                return;
            }
        }
    }
}

kith_err kith_share_rx_request(kith_share_rx *x, kith_time now, const kith_leaf_range *ranges, size_t count,
                               uint64_t *id)
{
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .id = x->next_id + 1, .range_count = count};
    if (x->state != READY)
        return KITH_ESTATE;
    if (x->request_count == KITH_SHARE_REQUESTS || x->out.len > OUT_FULL / 2)
        return KITH_ELIMIT;
    assert(count > 0 && count <= KITH_SHARE_RANGES);
    request *q = &x->requests[(x->request_first + x->request_count) % KITH_SHARE_REQUESTS];
    q->id = *id = ++x->next_id;
    q->cancelled = false;
    q->range_count = count;
    memcpy(q->ranges, ranges, count * sizeof *ranges);
    memcpy(m.ranges, ranges, count * sizeof *ranges);
    const size_t leaves = find_hints(x, q);
    m.body = leaves * KITH_SHARE_HINT_LEN;
    if (x->request_count++ == 0)
        x->heard_at = x->moved_at = now;
    say(x, &m);
    if (leaves > 0 && x->state == READY)
        say_hints(x, q);
    if (x->state == READY)
        (void)due_next(x);
    return KITH_OK;
}

void kith_share_rx_cancel(kith_share_rx *x, uint64_t id)
{
    if (x->state != READY)
        return;
    for (size_t i = 0; i < x->request_count; i++) {
        request *q = &x->requests[(x->request_first + i) % KITH_SHARE_REQUESTS];
        if (q->id == id && !q->cancelled) {
            q->cancelled = true;
            say(x, &(kith_share_msg){.kind = KITH_SHARE_CANCEL, .id = id});
        }
    }
}

void kith_share_rx_pause(kith_share_rx *x, kith_time now, bool on)
{
    if (x->state != READY || x->paused == on)
        return;
    x->paused = on;
    x->heard_at = x->moved_at = now;
    say(x, &(kith_share_msg){.kind = KITH_SHARE_PAUSE, .on = on});
}

void kith_share_rx_peers(kith_share_rx *x, kith_bytes peers)
{
    if (x->state == READY && x->out.len <= OUT_FULL / 2)
        say(x, &(kith_share_msg){.kind = KITH_SHARE_PEERS, .peers = peers});
}

void kith_share_rx_stored(kith_share_rx *x, kith_time now, kith_share_block *b)
{
    assert(b->lent && x->held >= b->len);
    b->lent = false;
    x->held -= b->len;
    x->heard_at = x->moved_at = now;
    spare_block(x, b);
}

void kith_share_rx_finish(kith_share_rx *x, uint64_t files, uint64_t bytes)
{
    if (x->state != READY)
        return;
    x->state = LEAVING;
    say(x, &(kith_share_msg){.kind = KITH_SHARE_RECEIPT, .files = files, .bytes = bytes});
}

void kith_share_rx_stop(kith_share_rx *x, kith_share_code code)
{
    if (x->state >= LEAVING)
        return;
    end(x, KITH_ECLOSED, code, "stopped");
    x->ev_failed = false; /* the owner knows */
}

void kith_share_rx_check(const kith_share_rx *x)
{
    assert(x->request_count <= KITH_SHARE_REQUESTS && x->out.len <= OUT_MAX && x->spare_count <= SPARE_MAX);
    assert(x->body == BODY_NONE || (x->body_have < x->body_len && x->body_len <= KITH_SHARE_BODY_MAX));
    assert(x->body != BODY_LEAF ||
           (x->block && x->due_inside && x->body_len <= sizeof x->block->buf - x->block->len));
    assert(x->list_have <= x->list_size && x->list_size <= KITH_MANIFEST_MAX);
    assert(!x->roots || x->roots_have <= x->view->manifest->count);
    assert(x->due_inside || x->request_count == 0 || x->state >= LEAVING);
    assert(x->ended_count <= KITH_SHARE_REQUESTS);
    if (x->block)
        assert(x->block->count <= KITH_SHARE_BLOCK_ITEMS && x->block->len <= sizeof x->block->buf &&
               !x->block->lent);
    uint64_t full = 0;
    KITH_EACH (&x->full, k) {
        const kith_share_block *b = KITH_OF(k, kith_share_block, link);
        assert(b->count > 0 && !b->lent);
        full += b->len;
    }
    assert(full <= x->held);
    kith_leaves_check(&x->have);
}

const kith_stream_ops kith_share_rx_ops = {
    .recv = rx_recv,
    .eof = rx_eof,
    .send = rx_send,
    .want = rx_want,
    .held = rx_held,
    .deadline = rx_deadline,
    .tick = rx_tick,
    .gone = rx_gone,
    .pending = rx_pending,
    .free = rx_free,
};
