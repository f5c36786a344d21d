/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sharer that means harm: `kith share` refuses to make such shares, so this does. It speaks the whole protocol over a real node, with
 * a list or content that breaks the rules, and prints its ticket.
 *
 *   hostile_sharer MODE ADDR   serves until it is killed
 *   hostile_sharer --modes     prints MODE and the exit code that `kith get` must end with, one pair a line */
#include <stdio.h>
#include <stdlib.h>

#include "apps/share_ticket.h"
#include "apps/share_tx.h"
#include "crypto/crypto.h"
#include "host/host.h"

enum { UNSAFE = 12, DAMAGED = 11 };

static kith_entry entries[3000];
static kith_manifest_place places[3000];
static size_t count;
static uint8_t content[2 * KITH_TREE_LEAF + 10], nodes[5 * 32], some_root[32], roots[3000 * 32];

static kith_entry *add(kith_entry_type type, size_t depth, const char *name)
{
    kith_entry *e = &entries[count++];
    *e = (kith_entry){.type = type, .depth = (uint8_t)depth, .name = kith_bytes_str(name)};
    if (type == KITH_ENTRY_FILE) {
        e->size = 5;
        e->mode = 0644;
        kith_blake3_hash(kith_bytes_of("hello", 5), some_root);
        memcpy(roots + 32 * (count - 1), some_root, 32);
    } else if (type == KITH_ENTRY_DIR) {
        e->mode = 0755;
    }
    return e;
}

static void add_link(size_t depth, const char *name, const char *target)
{
    add(KITH_ENTRY_LINK, depth, name)->target = kith_bytes_str(target);
}

static void dotdot(void)
{
    add(KITH_ENTRY_FILE, 0, "..");
}

static void dotdot_folder(void)
{
    add(KITH_ENTRY_DIR, 0, "..");
    add(KITH_ENTRY_FILE, 1, "evil");
}

static void slash(void)
{
    add(KITH_ENTRY_FILE, 0, "../evil");
}

static void absolute(void)
{
    add(KITH_ENTRY_FILE, 0, "/tmp/kith-evil");
}

static void empty_name(void)
{
    add(KITH_ENTRY_FILE, 0, "");
}

static void backslash(void)
{
    add(KITH_ENTRY_FILE, 0, "..\\evil");
}

static void nul(void)
{
    add(KITH_ENTRY_FILE, 0, "")->name = kith_bytes_of("evil\0.txt", 9);
}

static void escape_codes(void)
{
    add(KITH_ENTRY_FILE, 0, "\x1b[2J\x1b[31mevil");
}

static void turned_text(void)
{
    add(KITH_ENTRY_FILE, 0,
        "gpj.\xe2\x80\xae"
        "exe");
}

static void not_utf8(void)
{
    add(KITH_ENTRY_FILE, 0, "\xff\xfe");
}

static void link_absolute(void)
{
    add_link(0, "evil", "/etc/passwd");
}

static void link_out(void)
{
    add_link(0, "evil", "../evil");
}

static void link_zigzag(void)
{
    add(KITH_ENTRY_DIR, 0, "a");
    add_link(1, "b", "c/../../../evil");
}

/* Write through a link: the link and a folder of its name. OnionShare 2.6.4 and croc had flaws of this kind. */
static void through_link(void)
{
    add_link(0, "evil", "a");
    add(KITH_ENTRY_FILE, 1, "written");
}

static void file_and_folder(void)
{
    add(KITH_ENTRY_FILE, 0, "evil");
    add(KITH_ENTRY_DIR, 0, "evil");
    add(KITH_ENTRY_FILE, 1, "x");
}

static void twice(void)
{
    add(KITH_ENTRY_FILE, 0, "evil");
    add(KITH_ENTRY_FILE, 0, "evil");
}

static void out_of_order(void)
{
    add(KITH_ENTRY_FILE, 0, "b");
    add(KITH_ENTRY_FILE, 0, "a");
}

static void mode_setuid(void)
{
    add(KITH_ENTRY_FILE, 0, "evil")->mode = 04755;
}

static void device(void)
{
    add(KITH_ENTRY_FILE, 0, "evil")->type = (kith_entry_type)3;
}

static void too_deep(void)
{
    for (size_t i = 0; i < 100; i++)
        add(KITH_ENTRY_DIR, i, "d");
}

static void own_folder(void)
{
    add(KITH_ENTRY_DIR, 0, ".kith-partial");
    add(KITH_ENTRY_FILE, 1, "0.part");
}

/* A list without a fault, and content that is not what it says. */
static void wrong_content(void)
{
    kith_entry *e = add(KITH_ENTRY_FILE, 0, "evil");
    e->size = sizeof content;
}

/* The same, wrong only in the last leaf. */
static void wrong_end(void)
{
    wrong_content();
}

static void small_wrong_content(void)
{
    add(KITH_ENTRY_FILE, 0, "evil")->size = 6;
}

static void malformed(void)
{
}

/* A good share, and not the one that the ticket stands for. */
static void another_id(void)
{
    add(KITH_ENTRY_FILE, 0, "evil");
}

static void endless(void)
{
    add(KITH_ENTRY_FILE, 0, "evil");
}

static const struct mode {
    const char *name;
    int code;
    void (*make)(void);
} modes[] = {
    {"dotdot", UNSAFE, dotdot},
    {"dotdot_folder", UNSAFE, dotdot_folder},
    {"slash", UNSAFE, slash},
    {"absolute", UNSAFE, absolute},
    {"empty_name", UNSAFE, empty_name},
    {"backslash", UNSAFE, backslash},
    {"nul", UNSAFE, nul},
    {"escape_codes", UNSAFE, escape_codes},
    {"turned_text", UNSAFE, turned_text},
    {"not_utf8", UNSAFE, not_utf8},
    {"link_absolute", UNSAFE, link_absolute},
    {"link_out", UNSAFE, link_out},
    {"link_zigzag", UNSAFE, link_zigzag},
    {"through_link", UNSAFE, through_link},
    {"file_and_folder", UNSAFE, file_and_folder},
    {"twice", UNSAFE, twice},
    {"out_of_order", UNSAFE, out_of_order},
    {"setuid", UNSAFE, mode_setuid},
    {"device", UNSAFE, device},
    {"too_deep", UNSAFE, too_deep},
    {"own_folder", UNSAFE, own_folder},
    {"malformed", UNSAFE, malformed},
    {"wrong_content", DAMAGED, wrong_content},
    {"wrong_end", DAMAGED, wrong_end},
    {"small_wrong_content", DAMAGED, small_wrong_content},
    {"endless", DAMAGED, endless},
    {"another_id", DAMAGED, another_id},
};

static const struct mode *mode;
static kith_share_source source;
static kith_manifest manifest; /* what the machine needs to know of sizes */
static uint8_t list[1 << 20];
static kith_host *host;

static int die(const char *why)
{
    fprintf(stderr, "hostile_sharer: %s\n", why);
    return 1;
}

static const uint8_t *nodes_of(const void *ctx, size_t entry)
{
    (void)ctx, (void)entry;
    return nodes;
}

static void make_list(void)
{
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    mode->make();
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7);
    for (size_t l = 0; l < 3; l++)
        kith_tree_leaf(nodes, sizeof content, l,
                       kith_bytes_of(content + l * KITH_TREE_LEAF, l == 2 ? 10 : KITH_TREE_LEAF));
    kith_tree_join(nodes, sizeof content);
    uint32_t leaf = 0;
    for (size_t i = 0; i < count; i++) {
        places[i] = (kith_manifest_place){.at = (uint32_t)w.len, .parent = KITH_ENTRY_TOP, .leaf = leaf};
        leaf += (uint32_t)kith_manifest_leaves_of(entries[i].size);
        kith_manifest_put_entry(&w, &entries[i]);
    }
    if (mode->make == wrong_content || mode->make == wrong_end)
        memcpy(roots, nodes, 32);
    if (mode->make == malformed)
        kith_put_bytes(&w, kith_bytes_of("\x0a\xff\xff\xff\xff\x0f evil", 11));
    manifest = (kith_manifest){.list = kith_wr_bytes(&w), .places = places, .count = count, .leaves = leaf};
    source = (kith_share_source){.manifest = &manifest, .roots = roots, .known = count, .nodes = nodes_of};
    kith_blake3_hash(manifest.list, source.list_root);
    if (mode->make == endless) /* a list that is longer than any may be */
        manifest.list.len = KITH_MANIFEST_MAX + 1ull;
}

static void fill(kith_share_block *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        memcpy(b->buf + it->at, content + it->offset, it->len);
        if (mode->make != wrong_end || it->offset + it->len == sizeof content)
            b->buf[it->at + it->len - 1] ^= 1;
    }
}

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    kith_share_tx *x = kith_stream_machine(ev->stream);
    kith_share_tx_event e;
    (void)ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE)
        return;
    while (kith_share_tx_next(x, &e)) {
        if (e.kind == KITH_SHARE_TX_ASKED) {
            kith_share_tx_admit(x, kith_host_now(h), &source);
        } else if (e.kind == KITH_SHARE_TX_READ) {
            fill(e.block);
            kith_share_tx_filled(x, kith_host_now(h), e.block);
        }
    }
    kith_node_wake(kith_host_node(h), kith_host_now(h), ev->stream);
}

static void *on_accept(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_share_tx_new(kith_host_env(), kith_host_now(host));
}

int main(int argc, char **argv)
{
    static kith_sink sink = {.event = on_stream};
    static kith_ticket ticket;
    const char *why = "";
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (argc == 2 && strcmp(argv[1], "--modes") == 0)
            printf("%s %d\n", modes[i].name, modes[i].code);
        else if (argc == 3 && strcmp(argv[1], modes[i].name) == 0)
            mode = &modes[i];
    }
    if (!mode)
        return argc == 2 && strcmp(argv[1], "--modes") == 0 ? 0 : die("which mode?");
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
    if (kith_maddr_from_text(kith_bytes_str(argv[2]), &a, &why) ||
        kith_host_listen(host, &a, &ticket.addrs[0]))
        return die("cannot listen");
    make_list();
    ticket.addr_count = 1;
    ticket.peer = *kith_node_id(kith_host_node(host));
    const kith_capability cap = {.has_id = mode->make == another_id}; /* the id of nothing at all */
    kith_wr c = kith_wr_of(kith_span_of(ticket.capability, sizeof ticket.capability));
    if (kith_capability_put(&cap, cfg.node.signer, &c))
        return die("no capability");
    ticket.capability_len = c.len;
    const kith_protocol row = {
        .id = kith_bytes_str(KITH_SHARE_ID), .ops = &kith_share_tx_ops, .accept = on_accept, .user = &sink};
    if (kith_node_serve(kith_host_node(host), kith_host_now(host), &row))
        return die("cannot serve");
    static char text[KITH_TICKET_TEXT_MAX + 1];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    if (kith_ticket_text(&ticket, &w))
        return die("the ticket is too long");
    puts(text);
    fflush(stdout);
    kith_host_run(host);
    return 0;
}
