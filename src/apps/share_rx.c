/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver's side of a transfer.
 *
 * A stranger writes what comes in here. The order of DATA frames follows from the requests, so every frame is compared with the one
 * that is due; its proof must lead from the root to it, and its bytes must hash to the proof's leaf before they are shown to anyone. */
#include "apps/share_rx.h"

#include <assert.h>

#include "base/buf.h"
#include "crypto/crypto.h"

enum state { LISTING, CHOOSING, FETCHING, STORING, LEAVING, DONE, ENDING };

#define SECRET_MAX 64
#define OUT_MAX (16u * 1024) /* what is said and not yet taken by the stream: requests above all */
#define SPARE_MAX 16

typedef struct request {
    uint64_t id;
    size_t range_count;
    kith_share_range ranges[KITH_SHARE_REQUEST_RANGES];
} request;

struct kith_share_rx {
    kith_env env;
    enum state state;
    bool portable;
    bool offered;
    uint8_t root[KITH_BLAKE3_LEN];
    kith_time heard_at;
    kith_share_reader reader;
    uint64_t skip; /* bytes of a body that is not for us */
    kith_buf out;

    kith_buf list; /* the manifest's bytes, verified so far */
    uint64_t list_size;
    kith_manifest manifest;
    uint8_t *unwanted; /* one byte per entry; NULL: everything is wanted */
    kith_leaves here;  /* need not come */

    /* what was asked for, in order: a ring; the first is being answered */
    request requests[KITH_SHARE_RX_REQUESTS];
    size_t request_first, request_count;
    uint64_t next_id;
    size_t ask_entry;             /* the next to ask for */
    uint64_t ask_offset, ask_end; /* what of it: up to what is here */
    uint64_t items_out;           /* leaves that are due, and items of blocks that were not given back */

    /* what is due next */
    size_t due_range;   /* in the first request */
    uint64_t due_blobs; /* blobs of that range that were begun */
    bool due_inside;    /* one of them is not finished: */
    uint64_t due_blob, due_offset, due_leaves;
    kith_tree_checker checker;

    kith_share_block *block;    /* being put together; NULL: none */
    size_t body_len, body_have; /* of the frame that is coming in, into the block */
    kith_list full;             /* verified blocks, to be shown */
    uint64_t held;              /* bytes of blocks that are shown or to be shown */
    kith_list spare;
    size_t spare_count;
    uint64_t got_bytes, got_files;

    bool
        said_error; /* our FIN follows, and the stream is reset only if the peer does not answer with its own */
    bool ev_list, ev_stored, ev_done, ev_failed;
    kith_err err;
    kith_share_code code;
    const char *why;
    uint64_t fail_blob;
    kith_manifest_fault fault;
};

static void say(kith_share_rx *x, const kith_share_msg *m);

kith_share_rx *kith_share_rx_new(const kith_share_rx_config *cfg, kith_time now)
{
    assert(cfg->secret.len <= SECRET_MAX);
    kith_share_rx *x = KITH_NEW(&cfg->env, kith_share_rx);
    if (!x)
        return NULL;
    x->env = cfg->env;
    x->portable = cfg->portable;
    x->heard_at = now;
    memcpy(x->root, cfg->root, sizeof x->root);
    kith_buf_init(&x->out, OUT_MAX);
    kith_buf_init(&x->list, KITH_MANIFEST_MAX);
    kith_list_init(&x->full);
    kith_list_init(&x->spare);
    say(x, &(kith_share_msg){
               .kind = KITH_SHARE_HELLO,
               .version = KITH_SHARE_VERSION,
               .root = kith_bytes_of(x->root, sizeof x->root),
               .secret = cfg->secret,
           });
    if (x->state != ENDING)
        return x;
    kith_share_rx_ops.free(x);
    return NULL;
}

static void rx_free(void *m)
{
    kith_share_rx *x = m;
    kith_env env = x->env;
    kith_span out = kith_buf_span(&x->out);
    if (out.len > 0) /* the hello with its secret may lie there */
        kith_wipe(out.p, out.len);
    kith_buf_fini(&x->out, &env);
    kith_mem_free(&env, x->unwanted, x->manifest.count);
    kith_leaves_fini(&x->here, &env);
    kith_manifest_fini(&x->manifest, &env);
    kith_buf_fini(&x->list, &env);
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
    x->state = ENDING;
    x->ev_list = x->ev_stored = false; /* too late for an answer */
    x->ev_failed = true;
    x->err = err;
    x->why = why;
    x->said_error = tell != KITH_SHARE_NONE;
    if (tell)
        say(x, &(kith_share_msg){.kind = KITH_SHARE_ERROR, .code = tell});
}

static void leave_done(kith_share_rx *x)
{
    x->state = DONE;
    x->ev_done = true;
}

/* Something went wrong. Once everything is here that does not matter any more, but that the sharer may not hear of it. */
static void fail(kith_share_rx *x, kith_err err, kith_share_code tell, const char *why)
{
    if (x->state == STORING || x->state == LEAVING)
        leave_done(x);
    else
        end(x, err, tell, why);
}

static void breach(kith_share_rx *x, const char *why)
{
    fail(x, KITH_EPROTO, KITH_SHARE_PROTOCOL, why);
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
    if (x->spare_count == SPARE_MAX || x->state > FETCHING) {
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
        fail(x, KITH_ENOMEM, KITH_SHARE_INTERNAL, "no memory");
    return x->block != NULL;
}

/* Records the bytes [offset, offset + n) of the due blob that lie at the block's end, or that they are lost. */
static void add_item(kith_share_rx *x, size_t n, kith_share_code code)
{
    kith_share_block *b = x->block;
    kith_share_item *last = b->count > 0 ? &b->items[b->count - 1] : NULL;
    if (last && !code && !last->code && last->blob == x->due_blob &&
        last->offset + last->len == x->due_offset) {
        last->len += (uint32_t)n; /* a sharer that cuts finely */
    } else {
        b->items[b->count++] = (kith_share_item){
            .blob = x->due_blob,
            .offset = x->due_offset,
            .at = (uint32_t)b->len,
            .len = (uint32_t)n,
            .code = code,
        };
        x->items_out++;
    }
    b->len += n;
}

/* ---- asking ---- */

static uint64_t blob_size(const kith_share_rx *x, uint64_t blob)
{
    if (blob == 0)
        return x->list_size;
    const kith_entry e = kith_manifest_entry(&x->manifest, (size_t)blob - 1);
    return e.type == KITH_ENTRY_FILE ? e.size : 0;
}

static uint64_t leaves_of(uint64_t bytes)
{
    return (bytes + KITH_TREE_LEAF - 1) / KITH_TREE_LEAF;
}

/* Moves on to the next content that is wanted; *gap is set when content that is not wanted lies on the way. False: none is left. */
static bool find_wanted(kith_share_rx *x, bool *gap)
{
    for (; x->ask_entry < x->manifest.count; x->ask_entry++, x->ask_offset = 0) {
        uint64_t size = blob_size(x, x->ask_entry + 1);
        uint32_t first = x->manifest.places[x->ask_entry].leaf;
        kith_leaf_range r;
        if (size == 0)
            continue;
        if ((!x->unwanted || !x->unwanted[x->ask_entry]) &&
            kith_leaves_next(&x->here, false, first + (uint32_t)leaves_of(x->ask_offset),
                             first + (uint32_t)leaves_of(size), &r)) {
            *gap |= r.first != first + leaves_of(x->ask_offset);
            x->ask_offset = (uint64_t)(r.first - first) * KITH_TREE_LEAF;
            x->ask_end = (uint64_t)(r.end - first) * KITH_TREE_LEAF;
            x->ask_end = x->ask_end < size ? x->ask_end : size;
            return true;
        }
        *gap = true;
    }
    return false;
}

/* Adds as much of the next wanted file as fits to a request. False: nothing more fits. */
static bool add_range(kith_share_rx *x, request *q, uint64_t *bytes, uint64_t *blobs, bool gap)
{
    uint64_t blob = x->ask_entry + 1, size = blob_size(x, blob), left = x->ask_end - x->ask_offset;
    uint64_t room = (KITH_SHARE_RX_REQUEST_BYTES - *bytes) / KITH_TREE_LEAF * KITH_TREE_LEAF;
    kith_share_range *last = q->range_count > 0 ? &q->ranges[q->range_count - 1] : NULL;
    bool whole = x->ask_offset == 0 && x->ask_end == size && left <= room;
    if (whole && last && !gap && last->offset == 0 && last->length == 0) {
        uint64_t more =
            blob + 1 - (last->blob + last->count); /* folders and links between them have no content */
        if (more > KITH_SHARE_REQUEST_BLOBS - *blobs)
            return false;
        last->count += more;
        *blobs += more;
    } else {
        if (q->range_count == KITH_SHARE_REQUEST_RANGES || *blobs == KITH_SHARE_REQUEST_BLOBS || room == 0)
            return false;
        if (!whole && left > room)
            left = room;
        q->ranges[q->range_count++] = (kith_share_range){
            .blob = blob,
            .count = 1,
            .offset = x->ask_offset,
            .length = whole ? 0 : left,
        };
        *blobs += 1;
    }
    *bytes += left;
    x->items_out += leaves_of(left);
    x->ask_offset += left;
    if (x->ask_offset == size) {
        x->ask_entry++;
        x->ask_offset = 0;
    }
    return true;
}

static void say_request(kith_share_rx *x, const request *q)
{
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .id = q->id, .range_count = q->range_count};
    memcpy(m.ranges, q->ranges, q->range_count * sizeof q->ranges[0]);
    say(x, &m);
}

static request *new_request(kith_share_rx *x)
{
    request *q = &x->requests[(x->request_first + x->request_count) % KITH_SHARE_RX_REQUESTS];
    q->id = ++x->next_id;
    q->range_count = 0;
    return q;
}

/* Keeps the sharer busy. */
static void ask(kith_share_rx *x)
{
    while (x->state == FETCHING && x->request_count < KITH_SHARE_RX_REQUESTS &&
           x->items_out < KITH_SHARE_RX_ITEMS_MAX) {
        request *q = new_request(x);
        uint64_t bytes = 0, blobs = 0;
        for (bool gap = false; x->items_out < KITH_SHARE_RX_ITEMS_MAX && find_wanted(x, &gap); gap = false) {
            if (!add_range(x, q, &bytes, &blobs, gap))
                break;
        }
        if (q->range_count == 0)
            return;
        x->request_count++;
        say_request(x, q);
    }
}

/* ---- what is due ---- */

/* Finds the blob that the next DATA frame must be of. False: nothing is due. */
static bool due_next_blob(kith_share_rx *x)
{
    while (x->request_count > 0) {
        const request *q = &x->requests[x->request_first];
        if (x->due_range == q->range_count) {
            x->request_first = (x->request_first + 1) % KITH_SHARE_RX_REQUESTS;
            x->request_count--;
            x->due_range = 0;
            continue;
        }
        const kith_share_range *g = &q->ranges[x->due_range];
        if (x->due_blobs == g->count) {
            x->due_range++;
            x->due_blobs = 0;
            continue;
        }
        x->due_blob = g->blob + x->due_blobs++;
        uint64_t size = blob_size(x, x->due_blob), from, to;
        if (!kith_share_range_span(g, size, &from, &to))
            continue;
        const uint8_t *root =
            x->due_blob == 0 ? x->root : kith_manifest_entry(&x->manifest, (size_t)x->due_blob - 1).root;
        kith_tree_check(&x->checker, root, size, from, to);
        x->due_offset = from;
        x->due_leaves = leaves_of(to - from);
        x->due_inside = true;
        return true;
    }
    return false;
}

static void list_complete(kith_share_rx *x)
{
    kith_err err =
        kith_manifest_parse(&x->env, kith_buf_view(&x->list), x->portable, &x->manifest, &x->fault);
    if (err) {
        fail(x, err, err == KITH_ENOMEM ? KITH_SHARE_INTERNAL : KITH_SHARE_DECLINED,
             "the list breaks the rules");
        return;
    }
    x->state = CHOOSING;
    x->ev_list = true;
}

/* A blob's range is finished: what follows? */
static void range_done(kith_share_rx *x)
{
    x->due_inside = false;
    x->items_out -= x->due_leaves;
    if (due_next_blob(x)) {
        ask(x);
        return;
    }
    flush_block(x);
    if (x->state == LISTING) {
        list_complete(x);
        return;
    }
    ask(x);
    if (x->request_count == 0 && x->state == FETCHING) {
        bool gap = false;
        if (!find_wanted(x, &gap)) {
            x->state = STORING;
            x->ev_stored = true;
        }
    } else {
        (void)due_next_blob(x);
    }
}

static void leaf_done(kith_share_rx *x)
{
    kith_share_block *b = x->block;
    kith_bytes data = kith_bytes_of(b->buf + b->len, x->body_len);
    if (kith_tree_check_data(&x->checker, data) != KITH_OK) {
        x->fail_blob = x->due_blob;
        fail(x, KITH_ECRYPTO, KITH_SHARE_BAD_DATA, "content that does not match the ticket");
        return;
    }
    if (x->due_blob == 0) {
        kith_err err = kith_buf_put(&x->list, &x->env, data);
        if (err) {
            fail(x, err, KITH_SHARE_INTERNAL, "no memory for the list");
            return;
        }
    } else {
        add_item(x, data.len, KITH_SHARE_NONE);
        x->got_bytes += data.len;
    }
    x->due_offset += data.len;
    x->body_len = x->body_have = 0;
    if (!kith_tree_checked(&x->checker))
        return;
    x->got_files += x->due_blob > 0 && x->due_offset == blob_size(x, x->due_blob);
    range_done(x);
}

/* ---- receiving ---- */

static void on_offer(kith_share_rx *x, const kith_share_msg *m)
{
    if (x->state != LISTING || x->offered || m->version == 0) {
        breach(x, "an offer out of turn");
        return;
    }
    if (m->list_size == 0 || m->list_size > KITH_MANIFEST_MAX) {
        fail(x, KITH_ELIMIT, KITH_SHARE_DECLINED, "its list is longer than we take");
        return;
    }
    x->offered = true;
    x->list_size = m->list_size;
    request *q = new_request(x);
    q->ranges[q->range_count++] = (kith_share_range){.blob = 0, .count = 1};
    x->items_out += leaves_of(m->list_size);
    x->request_count++;
    say_request(x, q);
    (void)due_next_blob(x);
}

static void on_data(kith_share_rx *x, const kith_share_msg *m)
{
    if (!x->due_inside || m->id != x->requests[x->request_first].id || m->blob != x->due_blob ||
        m->offset != x->due_offset) {
        breach(x, "content that is not due");
        return;
    }
    if (m->code) {
        if (m->body > 0 || x->due_blob == 0) {
            breach(x, "a malformed refusal");
            return;
        }
        if (want_room(x, 0)) {
            add_item(x, 0, m->code);
            range_done(x);
        }
        return;
    }
    uint64_t from, to;
    kith_err err = kith_tree_check_pairs(&x->checker, m->pairs, &from, &to);
    if (err == KITH_ECRYPTO) {
        x->fail_blob = x->due_blob;
        fail(x, err, KITH_SHARE_BAD_DATA, "a proof that does not match the ticket");
        return;
    }
    if (err || from != x->due_offset || m->body != to - from) {
        breach(x, "a malformed proof");
        return;
    }
    if (want_room(x, (size_t)m->body)) {
        x->body_len = (size_t)m->body;
        x->body_have = 0;
    }
}

static void on_msg(kith_share_rx *x, const kith_share_msg *m)
{
    switch (m->kind) {
    case KITH_SHARE_OFFER:
        x->skip = m->body;
        on_offer(x, m);
        return;
    case KITH_SHARE_DATA:
        on_data(x, m);
        return;
    case KITH_SHARE_ERROR:
        x->code = m->code;
        fail(x, KITH_EREFUSED, KITH_SHARE_NONE, "the sharer ended the transfer");
        return;
    case KITH_SHARE_OTHER:
        x->skip = m->body;
        return;
    case KITH_SHARE_HELLO:
    case KITH_SHARE_REQUEST:
    case KITH_SHARE_RECEIPT:
        breach(x, "a receiver's message from a sharer");
        return;
    }
}

/* Takes a body's bytes from the front of in. */
static kith_bytes take_body(kith_share_rx *x, kith_bytes in)
{
    assert(x->block);
    size_t left = x->body_len - x->body_have, n = left < in.len ? left : in.len;
    memcpy(x->block->buf + x->block->len + x->body_have, in.p, n);
    x->body_have += n;
    if (n == left)
        leaf_done(x);
    return kith_bytes_skip(in, n);
}

static kith_err rx_recv(void *m, kith_time now, kith_bytes in)
{
    kith_share_rx *x = m;
    x->heard_at = now;
    while (in.len > 0 && x->state < LEAVING) {
        if (x->skip > 0) {
            size_t n = x->skip < in.len ? (size_t)x->skip : in.len;
            x->skip -= n;
            in = kith_bytes_skip(in, n);
            continue;
        }
        if (x->body_len > 0) {
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

static kith_time rx_deadline(const void *m)
{
    const kith_share_rx *x = m;
    switch (x->state) {
    case LISTING:
        return x->heard_at + KITH_SHARE_SILENCE_TIMEOUT;
    case LEAVING:
    case ENDING:
        return x->heard_at + KITH_SHARE_GOODBYE_TIMEOUT;
    case FETCHING: /* while our own disk is behind, silence is our own doing */
        return x->held > 0 ? KITH_NEVER : x->heard_at + KITH_SHARE_SILENCE_TIMEOUT;
    case CHOOSING:
    case STORING:
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
    x->heard_at = now;
    fail(x, KITH_ETIMEOUT, KITH_SHARE_NONE, "the sharer went silent");
    x->said_error = false;
    kith_buf_fini(&x->out, &x->env);
}

static bool rx_pending(const void *m)
{
    const kith_share_rx *x = m;
    return x->ev_list || x->ev_stored || x->ev_done || x->ev_failed ||
           (x->state != ENDING && !kith_list_empty(&x->full));
}

bool kith_share_rx_next(kith_share_rx *x, kith_share_rx_event *ev)
{
    *ev = (kith_share_rx_event){.kind = KITH_SHARE_RX_LIST};
    if (x->ev_list) {
        x->ev_list = false;
        return true;
    }
    kith_link *k = x->state != ENDING ? kith_list_pop(&x->full) : NULL;
    if (k) {
        ev->kind = KITH_SHARE_RX_BLOCK;
        ev->block = KITH_OF(k, kith_share_block, link);
        ev->block->lent = true;
        return true;
    }
    if (x->ev_stored) {
        x->ev_stored = false;
        ev->kind = KITH_SHARE_RX_STORED;
        return true;
    }
    if (x->ev_done) {
        x->ev_done = false;
        ev->kind = KITH_SHARE_RX_DONE;
        return true;
    }
    if (!x->ev_failed)
        return false;
    x->ev_failed = false;
    ev->kind = KITH_SHARE_RX_FAILED;
    ev->err = x->err;
    ev->why = x->why;
    ev->code = x->code;
    ev->blob = x->fail_blob;
    ev->fault = x->fault;
    return true;
}

const kith_manifest *kith_share_rx_manifest(const kith_share_rx *x)
{
    return &x->manifest;
}

kith_bytes kith_share_rx_list(const kith_share_rx *x)
{
    return kith_buf_view(&x->list);
}

kith_err kith_share_rx_accept(kith_share_rx *x, kith_time now, const uint8_t *skip, const kith_leaves *here)
{
    if (x->state != CHOOSING)
        return KITH_ESTATE;
    if (here && kith_leaves_add_all(&x->here, &x->env, here))
        return KITH_ENOMEM;
    if (skip && !x->unwanted) {
        x->unwanted = kith_mem_new(&x->env, x->manifest.count);
        if (!x->unwanted)
            return KITH_ENOMEM;
        memcpy(x->unwanted, skip, x->manifest.count);
    }
    x->state = FETCHING;
    x->heard_at = now;
    ask(x);
    if (x->state == FETCHING && !due_next_blob(x)) {
        x->state = STORING; /* nothing has content */
        x->ev_stored = true;
    }
    return KITH_OK;
}

void kith_share_rx_stored(kith_share_rx *x, kith_time now, kith_share_block *b)
{
    assert(b->lent && x->held >= b->len && x->items_out >= b->count);
    b->lent = false;
    x->held -= b->len;
    x->items_out -= b->count;
    x->heard_at = now;
    spare_block(x, b);
    if (x->state != FETCHING)
        return;
    ask(x);
    if (!x->due_inside)
        (void)due_next_blob(x);
}

void kith_share_rx_finish(kith_share_rx *x, uint64_t files, uint64_t bytes)
{
    if (x->state != STORING)
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

void kith_share_rx_progress(const kith_share_rx *x, uint64_t *bytes, uint64_t *files)
{
    *bytes = x->got_bytes;
    *files = x->got_files;
}

void kith_share_rx_check(const kith_share_rx *x)
{
    assert(x->request_count <= KITH_SHARE_RX_REQUESTS && x->out.len <= OUT_MAX &&
           x->spare_count <= SPARE_MAX);
    assert(x->body_have <= x->body_len && x->body_len <= KITH_TREE_LEAF);
    assert(x->body_len == 0 ||
           (x->block && x->due_inside && x->body_len <= sizeof x->block->buf - x->block->len));
    assert(x->list.len <= x->list_size && x->list_size <= KITH_MANIFEST_MAX);
    assert(x->items_out <= KITH_SHARE_RX_ITEMS_MAX + 4 * (KITH_SHARE_RX_REQUEST_BYTES / KITH_TREE_LEAF));
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
