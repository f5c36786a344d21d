/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Good lists, and a sharer that breaks the protocol, sends other content, or works on the receiver's folder meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/hostile.h"
#include "wire/pb.h"

#define SAY(x, ...) raw_say(x, &(kith_share_msg){__VA_ARGS__})
#define ROOT .root = kith_bytes_of(share.list_root, KITH_BLAKE3_LEN)

static const uint8_t zeros[KITH_SHARE_BODY_MAX + 100];

static void big(void)
{
    add(0, KITH_ENTRY_FILE, "big")->size = HOSTILE_BIG;
}

static void two_files(void)
{
    add(0, KITH_ENTRY_FILE, "a");
    add(0, KITH_ENTRY_FILE, "b")->size = 6;
}

static void in_a_folder(void)
{
    add(0, KITH_ENTRY_DIR, "d");
    add(1, KITH_ENTRY_FILE, "canary");
}

/* ---- at the hello ---- */

#define AT(function, k, ...)                                    \
    static bool function(raw_share *x, const kith_share_msg *m) \
    {                                                           \
        if (m->kind != (k))                                     \
            return false;                                       \
        __VA_ARGS__;                                            \
        return true;                                            \
    }

/* An offer of any fields. */
static void offer_of(raw_share *x, size_t root, uint64_t size, bool complete, bool partial, size_t id,
                     size_t name)
{
    uint8_t buf[1000];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    if (root > 0)
        kith_pb_put_bytes(&w, 1, kith_bytes_of(share.list_root, root));
    kith_pb_put_num(&w, 2, size);
    kith_pb_put_num(&w, 3, complete);
    kith_pb_put_num(&w, 4, partial);
    if (id > 0)
        kith_pb_put_bytes(&w, 5, kith_bytes_of(zeros, id));
    if (name > 0)
        kith_pb_put_bytes(&w, 6, kith_bytes_of(zeros, name));
    raw_message(x, KITH_SHARE_OFFER, kith_wr_bytes(&w), 0);
}

#define OFFERS(function, ...) AT(function, KITH_SHARE_HELLO, offer_of(x, __VA_ARGS__))
OFFERS(offer_empty_list, 32, 0, false, false, 0, 0)
OFFERS(offer_list_past_the_cap, 32, KITH_MANIFEST_MAX + 1, false, false, 0, 0)
OFFERS(offer_list_of_64_bits, 32, UINT64_MAX, false, false, 0, 0)
OFFERS(offer_without_root, 0, share.list_len, false, false, 0, 0)
OFFERS(offer_root_of_31, 31, share.list_len, false, false, 0, 0)
OFFERS(offer_id_of_31, 32, share.list_len, true, false, 31, 0)
OFFERS(offer_id_too_early, 32, share.list_len, false, false, 32, 0)
OFFERS(offer_partial_incomplete, 32, share.list_len, false, true, 0, 0)
OFFERS(offer_name_of_65, 32, share.list_len, false, false, 0, 65)
OFFERS(offer_another_id, 32, share.list_len, true, false, 32, 0)

AT(offer_twice, KITH_SHARE_HELLO, say_offer(x), say_offer(x))
AT(list_before_asked, KITH_SHARE_HELLO,
   raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_LIST, .body = share.list_len},
                kith_bytes_of(share.list, share.list_len)))
AT(roots_before_asked, KITH_SHARE_HELLO, say_offer(x), say_roots(x))
AT(data_before_asked, KITH_SHARE_HELLO, say_offer(x),
   raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_DATA, .id = 1, .body = 5}, RAW("hello")))
AT(ended_unasked, KITH_SHARE_HELLO, say_offer(x), SAY(x, .kind = KITH_SHARE_ENDED, .id = 1))
AT(pause_before_offer, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_PAUSE, .on = true))
AT(pake_unasked, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_PAKE, .step = 2, .data = RAW("proof")))
AT(pake_step_4, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_PAKE, .step = 4, .data = RAW("proof")))
AT(hello_from_sharer, KITH_SHARE_HELLO,
   SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .code_tag = RAW("tag")))
AT(request_from_sharer, KITH_SHARE_HELLO,
   SAY(x, .kind = KITH_SHARE_REQUEST, .id = 1, .range_count = 1, .ranges = {{0, 1}}))
AT(get_list_from_sharer, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_GET_LIST))
AT(get_roots_from_sharer, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_GET_ROOTS))
AT(cancel_from_sharer, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_CANCEL, .id = 1))
AT(receipt_from_sharer, KITH_SHARE_HELLO, SAY(x, .kind = KITH_SHARE_RECEIPT, .files = 1))

AT(have_of_a_whole_source, KITH_SHARE_HELLO, say_offer(x),
   SAY(x, .kind = KITH_SHARE_HAVE, .range_count = 1, .ranges = {{0, 1}}))
AT(have_of_nothing, KITH_SHARE_HELLO, raw_message(x, KITH_SHARE_HAVE, RAW(""), 0))
AT(have_count_0, KITH_SHARE_HELLO, raw_message(x, KITH_SHARE_HAVE, RAW("\x0a\x02\x10\0"), 0))
AT(have_past_the_leaves, KITH_SHARE_HELLO,
   raw_message(x, KITH_SHARE_HAVE, RAW("\x0a\x0c\x08\xff\xff\xff\xff\x0f\x10\xff\xff\xff\xff\x0f"), 0))
AT(have_of_64_bits, KITH_SHARE_HELLO,
   raw_message(x, KITH_SHARE_HAVE, RAW("\x0a\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0))

static bool have_of_65_ranges(raw_share *x, const kith_share_msg *m)
{
    uint8_t buf[65 * 4];
    (void)m;
    for (uint8_t i = 0; i < 65; i++)
        memcpy(buf + 4 * i, (uint8_t[]){0x0a, 2, 8, i}, 4);
    raw_message(x, KITH_SHARE_HAVE, kith_bytes_of(buf, sizeof buf), 0);
    return true;
}

static bool peers_of_17(raw_share *x, const kith_share_msg *m)
{
    uint8_t buf[17 * 5];
    (void)m;
    for (uint8_t i = 0; i < 17; i++)
        memcpy(buf + 5 * i, (uint8_t[]){0x0a, 3, 0x0a, 1, i}, 5);
    raw_message(x, KITH_SHARE_PEERS, kith_bytes_of(buf, sizeof buf), 0);
    return true;
}

AT(peers_without_id, KITH_SHARE_HELLO, raw_message(x, KITH_SHARE_PEERS, RAW("\x0a\x02\x12\0"), 0))

/* ---- frames ---- */

AT(head_past_the_cap, KITH_SHARE_HELLO, raw_head(x, kith_bytes_of(zeros, KITH_SHARE_HEAD_MAX + 1)))
AT(head_of_63_bits, KITH_SHARE_HELLO, raw_put(x, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9))
AT(head_length_of_11, KITH_SHARE_HELLO, raw_put(x, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11))
AT(head_length_not_minimal, KITH_SHARE_HELLO, raw_put(x, "\x82\0\x42\0", 4))
AT(head_malformed, KITH_SHARE_HELLO, raw_head(x, RAW("\x1a\x7f")))
AT(head_wrong_wire, KITH_SHARE_HELLO, raw_head(x, RAW("\x18\x01")))
AT(two_messages_in_one, KITH_SHARE_HELLO, raw_head(x, RAW("\x42\0\x42\0")))
AT(body_past_2_62, KITH_SHARE_HELLO, raw_head(x, RAW("\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f")))
AT(body_of_bytes, KITH_SHARE_HELLO, raw_head(x, RAW("\x0a\x01x")))
AT(body_that_never_comes, KITH_SHARE_HELLO, raw_head(x, RAW("\x08\xff\xff\xff\xff\xff\xff\xff\x3f")),
   x->fin = true)
AT(code_with_body, KITH_SHARE_HELLO, raw_message(x, KITH_SHARE_DATA, RAW("\x08\x01\x20\x06"), 5))
AT(code_and_zeros, KITH_SHARE_HELLO, raw_message(x, KITH_SHARE_DATA, RAW("\x08\x01\x20\x06\x28\x01"), 0))
AT(noise, KITH_SHARE_HELLO, for (int i = 0; i < 300; i++) raw_put(x, (uint8_t[]){(uint8_t)(i * 37 + 11)}, 1))

/* 2^20 of them, and then the offer. */
static bool tiny_frames(raw_share *x, const kith_share_msg *m)
{
    uint8_t *p = calloc(1, 1 << 20);
    if (m->kind != KITH_SHARE_HELLO)
        return free(p), false;
    raw_put(x, p, 1 << 20);
    free(p);
    say_offer(x);
    return true;
}

static void times(raw_share *x, int n, const kith_share_msg *m)
{
    while (n-- > 0)
        raw_say(x, m);
}

AT(flood_of_waits, KITH_SHARE_HELLO,
   times(x, 100000, &(kith_share_msg){.kind = KITH_SHARE_WAIT, .done = UINT64_MAX, .total = 1}), say_offer(x))

static bool flood_of_pauses(raw_share *x, const kith_share_msg *m)
{
    for (int i = 0; m->kind == KITH_SHARE_GET_ROOTS && i < 100000; i++)
        SAY(x, .kind = KITH_SHARE_PAUSE, .on = i % 2 == 0);
    return false;
}

static bool flood_of_peers(raw_share *x, const kith_share_msg *m)
{
    for (int i = 0; m->kind == KITH_SHARE_GET_ROOTS && i < 20000; i++)
        SAY(x, .kind = KITH_SHARE_PEERS, .peers = RAW("\x0a\x08\x0a\x02id\x12\x02xx"));
    return false;
}

static bool messages_of_tomorrow(raw_share *x, const kith_share_msg *m)
{
    for (int i = 0; i < 3; i++) {
        raw_message(x, 77, RAW("\x0a\x01x"), sizeof zeros);
        raw_put(x, zeros, sizeof zeros);
    }
    (void)m;
    return false;
}

static bool endless_wait(raw_share *x, const kith_share_msg *m)
{
    if (m->kind == KITH_SHARE_HELLO)
        SAY(x, .kind = KITH_SHARE_WAIT, .done = UINT64_MAX, .total = 1);
    return true;
}

/* ---- words for people ---- */

static void error(raw_share *x, uint64_t code, kith_bytes text)
{
    uint8_t buf[1000];
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_pb_put_num(&w, 1, code);
    kith_pb_put_bytes(&w, 2, text);
    raw_message(x, KITH_SHARE_ERROR, kith_wr_bytes(&w), 0);
}

AT(error_with_escapes, KITH_SHARE_HELLO,
   error(x, KITH_SHARE_REFUSED, RAW("\x1b[2J\x1b]52;c;ZXZpbA==\x07\r\nkith: all is well\n")))
AT(error_not_utf8, KITH_SHARE_HELLO, error(x, KITH_SHARE_USED_UP, RAW("\xff\xfe\xc0\xaf")))
AT(error_text_of_201, KITH_SHARE_HELLO, error(x, KITH_SHARE_REFUSED, kith_bytes_of(zeros, 201)))
AT(error_of_64_bits, KITH_SHARE_HELLO, error(x, UINT64_MAX, RAW("")))
AT(error_code_0, KITH_SHARE_HELLO, error(x, 0, RAW("")))

AT(name_with_escapes, KITH_SHARE_HELLO,
   SAY(x, .kind = KITH_SHARE_OFFER, ROOT, .list_size = share.list_len,
       .name = RAW("\x1b[2J\r\x07\xff\xe2\x80\xae\nx")))

/* ---- the list and the hashes ---- */

static void list_frame(raw_share *x, uint64_t offset, kith_bytes body)
{
    raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_LIST, .offset = offset, .body = body.len}, body);
}

#define LIST_BYTES kith_bytes_of(share.list, share.list_len)

static void other_list(raw_share *x)
{
    share.list[share.list_len - 1] ^= 1;
    say_list(x);
}

AT(list_wrong_hash, KITH_SHARE_GET_LIST, other_list(x))
AT(list_at_another_place, KITH_SHARE_GET_LIST, list_frame(x, 1, LIST_BYTES))
AT(list_at_2_63, KITH_SHARE_GET_LIST, list_frame(x, UINT64_C(1) << 63, LIST_BYTES))
AT(list_longer_than_offered, KITH_SHARE_GET_LIST, list_frame(x, 0, kith_bytes_of(zeros, share.list_len + 1)))
AT(list_frame_empty, KITH_SHARE_GET_LIST, list_frame(x, 0, RAW("")))
AT(list_frame_too_long, KITH_SHARE_GET_LIST, list_frame(x, 0, kith_bytes_of(zeros, KITH_SHARE_BODY_MAX + 1)))
AT(list_twice, KITH_SHARE_GET_LIST, say_list(x), say_list(x))
AT(list_cut_off, KITH_SHARE_GET_LIST, list_frame(x, 0, kith_bytes_of(share.list, share.list_len / 2)),
   x->fin = true)
AT(list_never, KITH_SHARE_GET_LIST, x->fin = true)

static void roots_frame(raw_share *x, uint64_t first, kith_bytes body)
{
    raw_say_body(x, &(kith_share_msg){.kind = KITH_SHARE_ROOTS, .first = first, .body = body.len}, body);
}

static void other_roots(raw_share *x)
{
    share.roots[31] ^= 1;
    say_roots(x);
}

AT(roots_too_many, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, kith_bytes_of(zeros, 64)))
AT(roots_at_another_entry, KITH_SHARE_GET_ROOTS, roots_frame(x, 1, kith_bytes_of(share.roots, 32)))
AT(roots_at_2_63, KITH_SHARE_GET_ROOTS, roots_frame(x, UINT64_C(1) << 63, kith_bytes_of(share.roots, 32)))
AT(roots_of_33_bytes, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, kith_bytes_of(zeros, 33)))
AT(roots_of_no_bytes, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, RAW("")))
AT(roots_too_long, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, kith_bytes_of(zeros, KITH_SHARE_BODY_MAX + 32)))
AT(roots_twice, KITH_SHARE_GET_ROOTS, say_roots(x), say_roots(x))
AT(roots_too_few, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, kith_bytes_of(share.roots, 32)), x->fin = true)
AT(roots_wrong, KITH_SHARE_GET_ROOTS, other_roots(x))
AT(roots_of_zeros, KITH_SHARE_GET_ROOTS, roots_frame(x, 0, kith_bytes_of(zeros, 32)))

/* ---- content ---- */

#define DATA(function, condition, ...)                                      \
    static bool function(raw_share *x, kith_share_msg *m, kith_bytes *body) \
    {                                                                       \
        (void)x, (void)m, (void)body;                                       \
        if (condition) {                                                    \
            __VA_ARGS__;                                                    \
        }                                                                   \
        return true;                                                        \
    }

static uint8_t changed[KITH_TREE_LEAF];

/* One bit of what goes out is another. */
static void flip(kith_bytes *body, size_t at)
{
    memcpy(changed, body->p, body->len);
    changed[at] ^= 1;
    body->p = changed;
}

static void flip_pairs(kith_share_msg *m, size_t at)
{
    memcpy(changed, m->pairs.p, m->pairs.len);
    changed[at] ^= 1;
    m->pairs.p = changed;
}

static void longer_pairs(kith_share_msg *m, size_t by)
{
    memset(changed, 7, sizeof changed);
    memcpy(changed, m->pairs.p, m->pairs.len);
    m->pairs = kith_bytes_of(changed, m->pairs.len + by);
}

DATA(data_of_another_request, true, m->id++)
DATA(data_of_another_leaf, true, m->leaf++)
DATA(data_of_leaf_2_63, true, m->leaf = UINT64_C(1) << 63)
DATA(data_wrong, true, flip(body, 0))
DATA(data_wrong_in_the_middle, share.frames == 1, flip(body, 1000))
DATA(data_wrong_at_the_end, share.frames == 2, flip(body, 9))
DATA(data_shorter, true, body->len--)
DATA(data_longer, true, *body = kith_bytes_of(zeros, 6))
DATA(data_far_too_long, true, *body = kith_bytes_of(zeros, KITH_SHARE_BODY_MAX + 1))
DATA(data_empty, true, body->len = 0)
DATA(data_of_zeros, true, m->zeros = true, body->len = 0)
DATA(data_of_big_zeros, share.frames == 0, m->zeros = true, body->len = 0)
DATA(pairs_wrong, share.frames == 0, flip_pairs(m, 63))
DATA(pairs_missing, share.frames == 0, m->pairs.len = 0)
DATA(pairs_one_missing, share.frames == 0, m->pairs.len -= 64)
DATA(pairs_of_63, share.frames == 0, m->pairs.len--)
DATA(pairs_too_many, share.frames == 0, longer_pairs(m, 64))
DATA(pairs_far_too_many, share.frames == 0, longer_pairs(m, 58 * 64))
DATA(pairs_of_a_small_file, true, longer_pairs(m, 64))
DATA(cannot_be_had, true, m->code = KITH_SHARE_CHANGED, body->len = 0, m->pairs.len = 0)
DATA(cannot_be_had_for_no_known_reason, true, m->code = (kith_share_code)999, body->len = 0, m->pairs.len = 0)

/* What the receiver is said to have. */
DATA(same_of_what_was_not_hinted, share.frames == 0, m->same = true, body->len = 0)
DATA(same_of_a_small_file, true, m->same = true, body->len = 0)
DATA(same_with_a_body, share.frames == 0, m->same = true)
DATA(same_and_zeros, share.frames == 0, m->same = m->zeros = true, body->len = 0)
DATA(same_and_a_code, share.frames == 0, m->same = true, m->code = KITH_SHARE_CHANGED, body->len = 0)
DATA(same_of_all, true, m->same = true, body->len = 0)
DATA(same_with_wrong_pairs, share.frames == 1, m->same = true, body->len = 0, longer_pairs(m, 64))

/* A code on the second leaf, and then the third as if nothing had been. */
DATA(code_and_on, share.frames == 1, m->code = KITH_SHARE_CHANGED, body->len = 0, m->pairs.len = 0)

static bool data_twice(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    m->body = body->len;
    raw_say_body(x, m, *body);
    return true;
}

static bool data_left_out(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    (void)x, (void)m, (void)body;
    return share.frames != 0;
}

static bool data_cut_off(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    if (share.frames == 1) {
        m->body = body->len;
        raw_say_body(x, m, kith_bytes_of(body->p, 1000));
        x->fin = true;
    }
    return share.frames < 1;
}

static bool data_cut_off_by_reset(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    if (share.frames == 1)
        x->reset = true;
    (void)m, (void)body;
    return share.frames < 1;
}

/* An error in the place of a body: it is content then, and the wrong one. */
static bool error_in_a_body(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    m->body = body->len;
    raw_say(x, m);
    SAY(x, .kind = KITH_SHARE_ERROR, .code = KITH_SHARE_STOPPED);
    raw_put(x, zeros, body->len);
    return false;
}

/* The bytes of a before those of b, each under the other's number. */
static bool data_exchanged(raw_share *x, kith_share_msg *m, kith_bytes *body)
{
    (void)x;
    *body = m->leaf == 0 ? RAW("howdy") : RAW("hello!");
    return true;
}

AT(ended_not_cancelled, KITH_SHARE_REQUEST, SAY(x, .kind = KITH_SHARE_ENDED, .id = m->id))
AT(offer_in_the_middle, KITH_SHARE_REQUEST, say_offer(x))
AT(list_in_the_middle, KITH_SHARE_REQUEST, say_list(x))
AT(pake_in_the_middle, KITH_SHARE_REQUEST, SAY(x, .kind = KITH_SHARE_PAKE, .step = 2, .data = RAW("proof")))
AT(fin_at_once, KITH_SHARE_HELLO, x->fin = true)
AT(reset_for_the_list, KITH_SHARE_GET_LIST, x->reset = true)
AT(fin_in_a_head, KITH_SHARE_HELLO, raw_put(x, "\x20\x1a", 2), x->fin = true)
AT(fin_after_the_offer, KITH_SHARE_HELLO, say_offer(x), x->fin = true)
AT(fin_for_content, KITH_SHARE_REQUEST, x->fin = true)

/* ---- the receiver's folder, while it receives ---- */

static const char *path(const char *name, char out[4096])
{
    (void)snprintf(out, 4096, "%s/%s", share.dir, name);
    return out;
}

static void must(int e, const char *what)
{
    if (e != 0) {
        perror(what);
        abort();
    }
}

static void make_folder(const char *name)
{
    char p[4096];
    must(mkdir(path(name, p), 0755), p);
}

static void make_link(const char *name, const char *to)
{
    char p[4096];
    must(symlink(to, path(name, p)), p);
}

/* It is another's now: a link stands where it was. */
static void swap_for_link(const char *name, const char *to)
{
    char a[4096], b[4096 + 8];
    (void)snprintf(b, sizeof b, "%s.moved", path(name, a));
    must(rename(a, b), a);
    make_link(name, to);
}

/* Before the receiver looks at its folder. */
#define BEFORE(function, ...)                                   \
    static bool function(raw_share *x, const kith_share_msg *m) \
    {                                                           \
        (void)x;                                                \
        if (m->kind == KITH_SHARE_HELLO) {                      \
            __VA_ARGS__;                                        \
        }                                                       \
        return false;                                           \
    }
/* When it has looked, and asks for content. */
#define MEANWHILE(function, before, ...)                            \
    static bool function(raw_share *x, const kith_share_msg *m)     \
    {                                                               \
        (void)x;                                                    \
        if (m->kind == KITH_SHARE_HELLO) {                          \
            before;                                                 \
        }                                                           \
        if (m->kind == KITH_SHARE_REQUEST && share.requests == 0) { \
            __VA_ARGS__;                                            \
        }                                                           \
        return false;                                               \
    }

/* "big" as it was before its byte 5 changed: leaf 0 has another value, the others are hinted at rightly. */
static void make_older(void)
{
    char path[3100];
    (void)snprintf(path, sizeof path, "%s/out/big", share.dir);
    FILE *f = fopen(path, "w");
    for (size_t i = 0; f && i < HOSTILE_BIG; i++)
        (void)fputc((uint8_t)(i * 7 + i / 300) ^ (i == 5), f);
    if (!f || fclose(f))
        abort();
}

BEFORE(older_at_the_place, make_older())
BEFORE(link_at_the_place, make_link("out/good", "../beside/canary"))
BEFORE(link_to_nothing_at_the_place, make_link("out/good", "../beside/new"))
BEFORE(link_for_a_folder, make_link("out/d", "../beside"))
BEFORE(partial_folder_is_a_link, make_link("out/.kith-partial", "../beside"))
MEANWHILE(link_comes_to_the_place, (void)0, make_link("out/good", "../beside/canary"))
MEANWHILE(link_to_nothing_comes, (void)0, make_link("out/good", "../beside/new"))
MEANWHILE(folder_swapped_for_a_link, make_folder("out/d"), swap_for_link("out/d", "../beside"))
MEANWHILE(folder_is_a_link_meanwhile, (void)0, make_link("out/d", "../beside"))
MEANWHILE(partial_swapped_for_a_link, (void)0, swap_for_link("out/.kith-partial", "../beside"))
MEANWHILE(destination_swapped_for_a_link, (void)0, swap_for_link("out", "beside"))

/* What follows is the exit code, what is said, and more fields of the case, if any. */
#define WORD(function, ...)                            \
    {                                                  \
        .name = #function, __VA_ARGS__, .on = function \
    }
#define CONTENT(function, ...)                           \
    {                                                    \
        .name = #function, __VA_ARGS__, .data = function \
    }
#define OVER_OLDER(function, ...)                                                                \
    {                                                                                            \
        .name = #function, __VA_ARGS__, .data = function, .make = big, .on = older_at_the_place, \
        .args = "--overwrite", .left = "big .kith-partial*"                                      \
    }
#define BROKE(why) DAMAGED, "the sharer broke the protocol: " why
#define TURN(function) WORD(function, BROKE("a receiver's message from a sharer"))
#define MALFORMED BROKE("a malformed message")
#define MISMATCH(name) DAMAGED, "what the sharer sent of " name " does not match its hash"
#define NOT_DUE BROKE("content that is not due")
#define PROOF BROKE("a malformed proof")
#define CLOSED LOST, "the sharer closed the stream"
#define KEPT .left = ".kith-partial*"

const hostile_case hostile_words[] = {
    WORD(offer_empty_list, BROKE("its list is longer than we take")),
    WORD(offer_list_past_the_cap, BROKE("its list is longer than we take")),
    WORD(offer_list_of_64_bits, BROKE("its list is longer than we take")),
    WORD(offer_without_root, MALFORMED),
    WORD(offer_root_of_31, MALFORMED),
    WORD(offer_id_of_31, MALFORMED),
    WORD(offer_id_too_early, MALFORMED),
    WORD(offer_partial_incomplete, MALFORMED),
    WORD(offer_name_of_65, MALFORMED),
    WORD(offer_twice, BROKE("an offer out of turn")),
    WORD(offer_another_id, DAMAGED, "what it offers is not what the ticket stands for"),
    {.name = "roots_of_another_id",
     .code = DAMAGED,
     .says = "what it offers is not what the ticket stands for"},
    WORD(list_before_asked, BROKE("a list that is not due")),
    WORD(roots_before_asked, BROKE("hashes that are not due")),
    WORD(data_before_asked, NOT_DUE),
    WORD(ended_unasked, BROKE("an end that is not due")),
    WORD(pause_before_offer, BROKE("news out of turn")),
    WORD(pake_unasked, BROKE("a message out of turn")),
    WORD(pake_step_4, MALFORMED),
    TURN(hello_from_sharer),
    TURN(request_from_sharer),
    TURN(get_list_from_sharer),
    TURN(get_roots_from_sharer),
    TURN(cancel_from_sharer),
    TURN(receipt_from_sharer),
    WORD(have_of_a_whole_source, BROKE("a whole source that has a part")),
    WORD(have_of_nothing, MALFORMED),
    WORD(have_count_0, MALFORMED),
    WORD(have_past_the_leaves, MALFORMED),
    WORD(have_of_64_bits, MALFORMED),
    WORD(have_of_65_ranges, MALFORMED),
    WORD(peers_of_17, MALFORMED),
    WORD(peers_without_id, MALFORMED),

    WORD(head_past_the_cap, BROKE("a message that is too long")),
    WORD(head_of_63_bits, BROKE("a message that is too long")),
    WORD(head_length_of_11, BROKE("a message that is too long")),
    WORD(head_length_not_minimal, BROKE("a message that is too long")),
    WORD(head_malformed, MALFORMED),
    WORD(head_wrong_wire, MALFORMED),
    WORD(two_messages_in_one, MALFORMED),
    WORD(body_past_2_62, MALFORMED),
    WORD(body_of_bytes, MALFORMED),
    WORD(code_with_body, MALFORMED),
    WORD(code_and_zeros, MALFORMED),
    WORD(noise, DAMAGED, "the sharer broke the protocol"),
    WORD(body_that_never_comes, CLOSED),
    WORD(fin_at_once, CLOSED),
    WORD(fin_in_a_head, CLOSED),
    WORD(fin_after_the_offer, CLOSED),
    WORD(reset_for_the_list, LOST, "fetch again when the sharer is back"),
    WORD(tiny_frames, OK, "", .left = "good"),
    WORD(flood_of_waits, OK, "", .left = "good"),
    WORD(flood_of_pauses, OK, "", .left = "good"),
    WORD(flood_of_peers, OK, "", .left = "good"),
    WORD(messages_of_tomorrow, OK, "", .left = "good"),
    WORD(endless_wait, INTERRUPTED, "\"text\":\"stopped\""),

    WORD(error_with_escapes, REFUSED, "it has no such share"),
    WORD(error_not_utf8, REFUSED, "it has been fetched as often as it may be"),
    WORD(error_of_64_bits, REFUSED, "a reason that this version does not know"),
    WORD(error_code_0, REFUSED, "no reason given"),
    WORD(error_text_of_201, MALFORMED),
    WORD(name_with_escapes, OK, "", .left = "good"),

    WORD(list_wrong_hash, MISMATCH("its list")),
    WORD(list_at_another_place, BROKE("a list that is not due")),
    WORD(list_at_2_63, BROKE("a list that is not due")),
    WORD(list_longer_than_offered, BROKE("a list that is not due")),
    WORD(list_frame_empty, MALFORMED),
    WORD(list_frame_too_long, MALFORMED),
    WORD(list_twice, BROKE("a list that is not due")),
    WORD(list_cut_off, CLOSED),
    WORD(list_never, CLOSED),
    WORD(roots_too_many, BROKE("hashes that are not due")),
    WORD(roots_at_another_entry, BROKE("hashes that are not due")),
    WORD(roots_at_2_63, BROKE("hashes that are not due")),
    WORD(roots_of_33_bytes, MALFORMED),
    WORD(roots_of_no_bytes, MALFORMED),
    WORD(roots_too_long, MALFORMED),
    WORD(roots_twice, BROKE("hashes that are not due")),
    WORD(roots_too_few, CLOSED, .make = two_files, KEPT),
    WORD(roots_wrong, MISMATCH("good"), KEPT),
    WORD(roots_of_zeros, MISMATCH("good"), KEPT),

    CONTENT(data_of_another_request, NOT_DUE, KEPT),
    CONTENT(data_of_another_leaf, NOT_DUE, KEPT),
    CONTENT(data_of_leaf_2_63, NOT_DUE, KEPT),
    CONTENT(data_wrong, MISMATCH("good"), KEPT),
    CONTENT(data_exchanged, MISMATCH("a"), .make = two_files, KEPT),
    CONTENT(data_wrong_in_the_middle, MISMATCH("big"), .make = big, KEPT),
    CONTENT(data_wrong_at_the_end, MISMATCH("big"), .make = big, KEPT),
    CONTENT(data_shorter, PROOF, KEPT),
    CONTENT(data_longer, PROOF, KEPT),
    CONTENT(data_far_too_long, MALFORMED, KEPT),
    CONTENT(data_empty, PROOF, KEPT),
    CONTENT(data_of_zeros, MISMATCH("good"), KEPT),
    CONTENT(data_of_big_zeros, MISMATCH("big"), .make = big, KEPT),
    CONTENT(pairs_wrong, DAMAGED, "does not match its hash", .make = big, KEPT),
    CONTENT(pairs_missing, PROOF, .make = big, KEPT),
    CONTENT(pairs_one_missing, PROOF, .make = big, KEPT),
    CONTENT(pairs_of_63, PROOF, .make = big, KEPT),
    CONTENT(pairs_too_many, MISMATCH("big"), .make = big, KEPT),
    CONTENT(pairs_far_too_many, MISMATCH("big"), .make = big, KEPT),
    CONTENT(pairs_of_a_small_file, PROOF, KEPT),
    CONTENT(same_of_what_was_not_hinted, BROKE("the same as what was not said"), .make = big, KEPT),
    CONTENT(same_of_a_small_file, BROKE("the same as what was not said"), KEPT),
    CONTENT(same_with_a_body, MALFORMED, .make = big, KEPT),
    CONTENT(same_and_zeros, MALFORMED, .make = big, KEPT),
    CONTENT(same_and_a_code, MALFORMED, .make = big, KEPT),
    OVER_OLDER(same_of_all, MISMATCH("big")),
    OVER_OLDER(same_with_wrong_pairs, DAMAGED, "does not match its hash"),
    CONTENT(cannot_be_had, CHANGED, "'good' cannot be fetched"),
    CONTENT(cannot_be_had_for_no_known_reason, CHANGED, "a reason that this version does not know"),
    CONTENT(code_and_on, NOT_DUE, .make = big, KEPT),
    CONTENT(data_twice, NOT_DUE, .make = big, KEPT),
    CONTENT(data_left_out, NOT_DUE, .make = big, KEPT),
    CONTENT(data_cut_off, CLOSED, .make = big, KEPT),
    CONTENT(data_cut_off_by_reset, LOST, "fetch again when the sharer is back", .make = big, KEPT),
    CONTENT(error_in_a_body, MISMATCH("big"), .make = big, KEPT),
    WORD(ended_not_cancelled, BROKE("an end that is not due"), KEPT),
    WORD(offer_in_the_middle, BROKE("an offer out of turn"), KEPT),
    WORD(list_in_the_middle, BROKE("a list that is not due"), KEPT),
    WORD(pake_in_the_middle, BROKE("a message out of turn"), KEPT),
    WORD(fin_for_content, CLOSED, KEPT),

    WORD(link_at_the_place, EXISTS, "'good' is there already", .left = "good"),
    {.name = "link_at_the_place_overwritten",
     .code = OK,
     .says = "",
     .left = "good",
     .args = "--overwrite",
     .on = link_at_the_place},
    {.name = "link_at_the_place_skipped",
     .code = OK,
     .says = "",
     .left = "good",
     .args = "--skip",
     .on = link_at_the_place},
    WORD(link_to_nothing_at_the_place, EXISTS, "'good' is there already", .left = "good"),
    {.name = "link_to_nothing_overwritten",
     .code = OK,
     .says = "",
     .left = "good",
     .args = "--overwrite",
     .on = link_to_nothing_at_the_place},
    WORD(link_for_a_folder, EXISTS, "is there already", .make = in_a_folder, .left = "d"),
    {.name = "link_for_a_folder_overwritten",
     .code = EXISTS,
     .says = "is a folder on one side and not on the other",
     .left = "d",
     .args = "--overwrite",
     .make = in_a_folder,
     .on = link_for_a_folder},
    WORD(partial_folder_is_a_link, DISK, "cannot ", .left = ".kith-partial"),
    WORD(link_comes_to_the_place, EXISTS, "cannot ", .left = "good .kith-partial*"),
    WORD(link_to_nothing_comes, EXISTS, "cannot ", .left = "good .kith-partial*"),
    WORD(folder_swapped_for_a_link, DISK, "cannot open 'd': Not a directory", .make = in_a_folder,
         .left = "d d.moved .kith-partial*"),
    WORD(folder_is_a_link_meanwhile, DISK, "cannot open 'd': Not a directory", .make = in_a_folder,
         .left = "d .kith-partial*"),
    WORD(partial_swapped_for_a_link, OK, "", .left = "*"),
    WORD(destination_swapped_for_a_link, OK, "", .left = "*"),
    {0},
};
