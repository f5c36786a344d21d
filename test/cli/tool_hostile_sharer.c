/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer that means harm: `kith share` refuses to make such shares, so this does. It gives out a hundred and more of them (hostile_lists.c,
 * hostile_words.c), each by a ticket of its own, and prints a line of JSON for each.
 *
 *   hostile_sharer ADDR DIR [NAME]   serves until it is killed; `kith get` puts share NAME into DIR/NAME/out */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "apps/share_ticket.h"
#include "cli/hostile.h"
#include "crypto/crypto.h"
#include "host/host.h"
#include "wire/pb.h"

hostile_share share;

static uint8_t content[HOSTILE_BIG], nodes[5 * KITH_BLAKE3_LEN];
static const char *dir;
static kith_host *host;

static int die(const char *why)
{
    fprintf(stderr, "hostile_sharer: %s\n", why);
    return 1;
}

/* ---- making a share ---- */

hostile_entry *add(uint64_t depth, uint64_t type, const char *name)
{
    hostile_entry *e = &share.entries[share.count++];
    *e = (hostile_entry){.depth = depth, .type = type, .name = kith_bytes_str(name)};
    if (type == KITH_ENTRY_FILE) {
        e->size = 5;
        e->mode = 0644;
    } else if (type == KITH_ENTRY_DIR) {
        e->mode = 0755;
    }
    return e;
}

void list_put(const void *p, size_t n)
{
    share.list = realloc(share.list, share.list_len + n);
    if (!share.list)
        abort();
    memcpy(share.list + share.list_len, p, n);
    share.list_len += n;
}

void list_entry(const hostile_entry *e)
{
    uint8_t inner[8192], outer[8192 + 16];
    kith_wr i = kith_wr_of(kith_span_of(inner, sizeof inner)),
            o = kith_wr_of(kith_span_of(outer, sizeof outer));
    const uint64_t nums[] = {0, e->depth, 0, e->type, e->size, e->mode};
    for (uint32_t tag = 1; tag <= 7; tag++) {
        kith_bytes data = tag == 2 ? e->name : tag == 7 ? e->target : (kith_bytes){0};
        if (data.len > 0)
            kith_pb_put_bytes(&i, tag, data);
        else if (tag <= 5 && nums[tag] > 0)
            kith_pb_put_num(&i, tag, nums[tag]);
    }
    kith_pb_put_bytes(&o, 1, kith_wr_bytes(&i));
    if (o.bad || i.bad)
        abort();
    list_put(outer, o.len);
}

static uint8_t *root_of(size_t entry)
{
    return share.roots + KITH_BLAKE3_LEN * entry;
}

static kith_bytes content_of(const hostile_entry *e)
{
    return e->size == 5   ? RAW("hello")
           : e->size == 6 ? RAW("hello!")
                          : kith_bytes_of(content, e->size <= sizeof content ? (size_t)e->size : 0);
}

static void make(const hostile_case *c)
{
    free(share.list);
    share = (hostile_share){.c = c};
    (void)snprintf(share.dir, sizeof share.dir, "%s/%s", dir, c->name);
    if (c->make) {
        c->make();
    } else if (c->target.len > 0) {
        if (c->deep)
            add(0, KITH_ENTRY_DIR, "d");
        add(c->deep, KITH_ENTRY_LINK, "evil")->target = c->target;
    } else if (c->raw.len > 0) {
        list_put(c->raw.p, c->raw.len);
    } else {
        add(0, KITH_ENTRY_FILE, "good");
        if (c->file.len > 0)
            share.entries[0].name = c->file;
    }
    bool by_hand = share.list_len > 0;
    if (by_hand)
        share.entries[0].size = 5;
    for (size_t i = 0; i < share.count && !by_hand; i++)
        list_entry(&share.entries[i]);
    for (size_t i = 0; i < share.count; i++) {
        const hostile_entry *e = &share.entries[i];
        if (e->size == HOSTILE_BIG)
            memcpy(root_of(i), nodes, KITH_BLAKE3_LEN);
        else if (e->size > 0)
            kith_blake3_hash(content_of(e), root_of(i));
    }
    kith_blake3_hash(kith_bytes_of(share.list, share.list_len), share.list_root);
}

/* ---- giving it out ---- */

void say_offer(raw_share *x)
{
    raw_say(x, &(kith_share_msg){.kind = KITH_SHARE_OFFER,
                                 .root = kith_bytes_of(share.list_root, KITH_BLAKE3_LEN),
                                 .list_size = share.list_len});
}

void say_list(raw_share *x)
{
    for (size_t at = 0, n; at < share.list_len; at += n) {
        n = share.list_len - at < KITH_SHARE_BODY_MAX ? share.list_len - at : KITH_SHARE_BODY_MAX;
        raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_LIST, .offset = at, .body = n},
                     kith_bytes_of(share.list + at, n));
    }
}

void say_roots(raw_share *x)
{
    raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_ROOTS, .body = share.count * KITH_BLAKE3_LEN},
                 kith_bytes_of(share.roots, share.count * KITH_BLAKE3_LEN));
}

static void say_data(raw_share *x, uint64_t id, uint64_t leaf, kith_bytes pairs, kith_bytes body)
{
    kith_share_msg m = {.kind = KITH_SHARE_DATA, .id = id, .leaf = leaf, .pairs = pairs};
    bool say = !share.c->data || share.c->data(x, &m, &body);
    share.frames++;
    m.body = body.len;
    if (say)
        raw_say_body(x, &m, body);
}

/* The part of a range that lies in one file, which begins with leaf `from`. */
static void answer_file(raw_share *x, uint64_t id, const hostile_entry *e, uint64_t from, kith_leaf_range g)
{
    kith_tree_prover p;
    uint64_t leaf = g.first > from ? g.first : from, to = (g.end - from) * KITH_TREE_LEAF, a, b;
    kith_bytes all = content_of(e);
    if (all.len == 0) { /* only of such as no receiver should ask for */
        x->fin = true;
        return;
    }
    kith_tree_prove(&p, nodes, e->size, (leaf - from) * KITH_TREE_LEAF, to < e->size ? to : e->size);
    for (;; leaf++) {
        uint8_t pairs[KITH_TREE_PROOF_MAX];
        kith_wr w = kith_wr_of(kith_span_of(pairs, sizeof pairs));
        if (!kith_tree_prove_next(&p, &w, &a, &b))
            return;
        say_data(x, id, leaf, kith_wr_bytes(&w), kith_bytes_of(all.p + a, (size_t)(b - a)));
    }
}

static void answer(raw_share *x, const kith_share_msg *m)
{
    for (size_t r = 0; r < m->range_count; r++) {
        uint64_t from = 0;
        for (size_t i = 0; i < share.count; i++) {
            const hostile_entry *e = &share.entries[i];
            uint64_t to = from + kith_manifest_leaves_of(e->size);
            if (from < m->ranges[r].end && to > m->ranges[r].first)
                answer_file(x, m->id, e, from, m->ranges[r]);
            from = to;
        }
    }
    share.requests++;
}

void hostile_honest(raw_share *x, const kith_share_msg *m)
{
    if (m->kind == KITH_SHARE_HELLO)
        say_offer(x);
    else if (m->kind == KITH_SHARE_GET_LIST)
        say_list(x);
    else if (m->kind == KITH_SHARE_GET_ROOTS)
        say_roots(x);
    else if (m->kind == KITH_SHARE_REQUEST)
        answer(x, m);
}

/* ---- the network ---- */

static const hostile_case *nth(size_t n)
{
    size_t lists = 0;
    while (hostile_lists[lists].name)
        lists++;
    return n < lists ? &hostile_lists[n] : &hostile_words[n - lists];
}

static void on_msg(raw_share *x, const kith_share_msg *m)
{
    kith_capability cap;
    if (m->kind == KITH_SHARE_HELLO && !kith_capability_parse(m->capability, &cap))
        make(nth((size_t)cap.tag[0] << 8 | cap.tag[1]));
    if (share.c && !(share.c->on && share.c->on(x, m)))
        hostile_honest(x, m);
}

static void *on_accept(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    raw_share *x = raw_share_new();
    x->on = on_msg;
    return x;
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)ctx, (void)h, (void)ev;
}

static int say_case(const hostile_case *c, size_t n, kith_ticket *ticket, const kith_signer *signer)
{
    static char text[KITH_TICKET_TEXT_MAX + 1];
    kith_capability cap = {.tag = {(uint8_t)(n >> 8), (uint8_t)n},
                           .has_id = strstr(c->name, "another_id") != NULL}; /* the id of nothing at all */
    kith_wr w = kith_wr_of(kith_span_of(ticket->capability, sizeof ticket->capability));
    if (kith_capability_put(&cap, signer, &w))
        return die("no capability");
    ticket->capability_len = w.len;
    w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    if (kith_ticket_text(ticket, &w))
        return die("the ticket is too long");
    text[w.len] = 0;
    json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "name", c->name, "code", c->code, "says", c->says,
                          "left", c->left ? c->left : "", "args", c->args ? c->args : "", "ticket", text);
    if (!o || json_dumpf(o, stdout, JSON_COMPACT))
        return die("no JSON");
    json_decref(o);
    puts("");
    return 0;
}

int main(int argc, char **argv)
{
    static kith_sink sink = {.event = on_stream};
    static kith_ticket ticket;
    const char *why = "";
    if (argc != 3 && argc != 4)
        return die("which address, which folder?");
    dir = argv[2];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7 + i / 300);
    for (size_t l = 0; l < 3; l++)
        kith_tree_leaf(nodes, sizeof content, l,
                       kith_bytes_of(content + l * KITH_TREE_LEAF, l == 2 ? 10 : KITH_TREE_LEAF));
    kith_tree_join(nodes, sizeof content);
    if (kith_crypto_init())
        return die("no crypto");
    uint8_t seed[32];
    const kith_rand os = kith_random_os();
    os.fn(os.ctx, kith_span_of(seed, sizeof seed));
    kith_host_config cfg = {0};
    kith_node_config_default(&cfg.node);
    cfg.node.signer = kith_signer_new(seed);
    cfg.node.agent = "hostile";
    host = kith_host_new(&cfg, &why);
    if (!host)
        return die(why);
    kith_maddr a;
    if (kith_maddr_from_text(kith_bytes_str(argv[1]), &a, &why) ||
        kith_host_listen(host, &a, &ticket.addrs[0]))
        return die("cannot listen");
    ticket.addr_count = 1;
    ticket.peer = *kith_node_id(kith_host_node(host));
    const kith_protocol row = {
        .id = kith_bytes_str(KITH_SHARE_ID), .ops = &raw_share_ops, .accept = on_accept, .user = &sink};
    if (kith_node_serve(kith_host_node(host), kith_host_now(host), &row))
        return die("cannot serve");
    size_t n = 0, said = 0;
    for (const hostile_case *c; (c = nth(n))->name; n++) {
        if (argc == 4 && strcmp(argv[3], c->name) != 0)
            continue;
        said++;
        if (say_case(c, n, &ticket, cfg.node.signer))
            return 1;
    }
    if (argc == 4 && said != 1)
        return die("no such share, or two of that name");
    puts("");
    fflush(stdout);
    kith_host_run(host);
    return 0;
}
