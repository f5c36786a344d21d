/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A receiver that means harm, against a real `kith share`: one attack after another, each on a stream of its own. It says what each came to on a line, and
 * ends with 1 when the sharer gave what it should not, or did not say what it should.
 *
 *   hostile_receiver ticket TICKET      all attacks; what is shared is one file of 12 leaves, and its name is "big"
 *   hostile_receiver hold TICKET        asks for everything and reads nothing, until stdin ends
 *   hostile_receiver crowd TICKET N     is there N times at once, and stays; says of each: in, busy, reset or error CODE
 *   hostile_receiver quiet TICKET N     of a stream: opens N streams, says nothing on them, and stays; after a second: how many have ended
 *   hostile_receiver guess STRING HOW   of a share string: right, wrong, hangup, garbage, zeros, late, slow (it says
 *                                       "answered", and is right once a line has come from stdin), or twice (without
 *                                       an answer in between; it stays until a line has come); says the sharer's answer */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/share_pake.h"
#include "apps/share_stream.h"
#include "apps/share_ticket.h"
#include "cli/raw_share.h"
#include "crypto/crypto.h"
#include "host/host.h"
#include "host/share_string.h"
#include "wire/pb.h"

#define LEAVES 12
#define SAY(x, ...) raw_say(x, &(kith_share_msg){__VA_ARGS__})
#define REQUEST(x, n, from, to) \
    SAY(x, .kind = KITH_SHARE_REQUEST, .id = (n), .range_count = 1, .ranges = {{(from), (to)}})

enum { FINE = 0, PROTOCOL = KITH_SHARE_PROTOCOL, REFUSED = KITH_SHARE_REFUSED, RESET = 99 };

typedef struct attack {
    const char *name;
    int want; /* the ERROR that must come, RESET: the stream's end without one, FINE: content, when asked for again */
    void (*first)(raw_share *x);  /* in the place of an honest hello; then nothing but the error may come */
    void (*proved)(raw_share *x); /* once all is known and may be asked for */
    uint64_t most;                /* bytes of content that may come; 0: one leaf */
} attack;

static kith_host *host;
static kith_conn *conn;
static kith_stream *stream; /* the last that was opened */
static kith_ticket ticket;
static kith_share_string string;
static const char *guess;
static int crowd;
static bool quiet;
static kith_pake *pake;
static const attack *now;
static uint64_t bytes;      /* of content */
static int error;           /* that came; RESET: the stream is over without one */
static bool offered, known; /* what else came */
static uint64_t last;       /* request, for FINE */
static const char *unasked; /* what came and should not have */
static bool failed;

static void die(const char *why)
{
    fprintf(stderr, "hostile_receiver: %s\n", why);
    exit(1);
}

static kith_bytes capability(void)
{
    return kith_bytes_of(ticket.capability, ticket.capability_len);
}

static void hello(raw_share *x)
{
    SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = capability());
}

static void inner(raw_share *x, uint32_t kind, kith_bytes b)
{
    raw_message(x, kind, b, 0);
}

/* ---- before the proof ---- */

#define FIRST(function, ...)           \
    static void function(raw_share *x) \
    {                                  \
        __VA_ARGS__;                   \
    }

FIRST(request_first, REQUEST(x, 1, 0, 1))
FIRST(list_first, SAY(x, .kind = KITH_SHARE_GET_LIST))
FIRST(roots_first, SAY(x, .kind = KITH_SHARE_GET_ROOTS))
FIRST(cancel_first, SAY(x, .kind = KITH_SHARE_CANCEL, .id = 1))
FIRST(receipt_first, SAY(x, .kind = KITH_SHARE_RECEIPT, .files = 1))
FIRST(pause_first, SAY(x, .kind = KITH_SHARE_PAUSE, .on = true))
FIRST(peers_first, SAY(x, .kind = KITH_SHARE_PEERS))
FIRST(pake_first, SAY(x, .kind = KITH_SHARE_PAKE, .step = 1, .data = RAW("x")))
FIRST(offer_back,
      SAY(x, .kind = KITH_SHARE_OFFER, .root = kith_bytes_of(ticket.capability, 32), .list_size = 1))
FIRST(data_back, SAY(x, .kind = KITH_SHARE_DATA, .id = 1))
FIRST(wait_back, SAY(x, .kind = KITH_SHARE_WAIT, .done = 1))
FIRST(ended_back, SAY(x, .kind = KITH_SHARE_ENDED, .id = 1))
FIRST(have_back, SAY(x, .kind = KITH_SHARE_HAVE, .range_count = 1, .ranges = {{0, 1}}))
FIRST(hello_of_version_1, SAY(x, .kind = KITH_SHARE_HELLO, .version = 1, .capability = capability()))
FIRST(hello_without_version, SAY(x, .kind = KITH_SHARE_HELLO, .capability = capability()))
FIRST(hello_without_proof, SAY(x, .kind = KITH_SHARE_HELLO, .version = 2))
FIRST(hello_with_two_proofs,
      SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = capability(), .code_tag = RAW("tag")))
FIRST(head_past_the_cap, static const uint8_t z[KITH_SHARE_HEAD_MAX + 1];
      raw_head(x, kith_bytes_of(z, sizeof z)))
FIRST(head_length_of_11, raw_put(x, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11))
FIRST(head_malformed, raw_head(x, RAW("\x12\x7f")))
FIRST(two_messages, raw_head(x, RAW("\x12\0\x12\0")))
FIRST(body_of_63_bits, raw_head(x, RAW("\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f")))
FIRST(hello_twice, hello(x), hello(x))

static void hello_of(raw_share *x, uint32_t field, size_t n)
{
    uint8_t buf[3000], some[2000] = {1};
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    kith_pb_put_num(&w, 1, 2);
    kith_pb_put_bytes(&w, field, kith_bytes_of(some, n));
    inner(x, KITH_SHARE_HELLO, kith_wr_bytes(&w));
}

FIRST(capability_of_1025, hello_of(x, 2, KITH_SHARE_TOKEN_MAX + 1))
FIRST(code_tag_of_65, hello_of(x, 3, KITH_SHARE_CODE_TAG_MAX + 1))
FIRST(capability_of_noise, hello_of(x, 2, 100))
FIRST(code_of_nobody, hello_of(x, 3, KITH_PAKE_TAG_LEN))
FIRST(hello_of_unknown_fields, inner(x, KITH_SHARE_HELLO, RAW("\x08\x02\x20\x01\x7a\x01x")))

static void changed(raw_share *x, size_t at, size_t len)
{
    uint8_t c[KITH_CAPABILITY_MAX];
    memcpy(c, ticket.capability, ticket.capability_len);
    c[at] ^= 1;
    SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = kith_bytes_of(c, len));
}

/* Where in the capability its fields lie: body's tag, length; then the tag's, the tag, and so on. */
FIRST(capability_other_tag, changed(x, 5, ticket.capability_len))
FIRST(capability_other_nonce, changed(x, 23, ticket.capability_len))
FIRST(capability_other_signature, changed(x, ticket.capability_len - 1, ticket.capability_len))
FIRST(capability_cut, changed(x, 0, ticket.capability_len - 1))
FIRST(capability_empty_list, changed(x, 1, 2))

/* The same rights and more, signed by somebody else. */
static void signed_by_another(raw_share *x)
{
    uint8_t seed[32] = {9}, c[KITH_CAPABILITY_MAX];
    kith_capability cap;
    kith_wr w = kith_wr_of(kith_span_of(c, sizeof c));
    if (kith_capability_parse(capability(), &cap))
        die("no capability");
    cap.not_after = 0;
    cap.times = 0;
    kith_signer *s = kith_signer_new(seed);
    if (kith_capability_put(&cap, s, &w))
        die("no capability");
    kith_signer_free(s);
    SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = kith_wr_bytes(&w));
}

/* The rights are others, the signature is the old one. */
static void rights_raised(raw_share *x)
{
    uint8_t c[KITH_CAPABILITY_MAX + 8];
    kith_rd r = kith_rd_of(capability());
    kith_wr w = kith_wr_of(kith_span_of(c, sizeof c)), b;
    uint8_t body[KITH_CAPABILITY_MAX];
    kith_pb_field f;
    while (kith_pb_next(&r, &f)) {
        if (f.tag != 1) {
            kith_pb_put_bytes(&w, f.tag, f.data);
            continue;
        }
        b = kith_wr_of(kith_span_of(body, sizeof body));
        kith_put_bytes(&b, f.data);
        kith_pb_put_num(&b, 4, 1000000);
        kith_pb_put_bytes(&w, 1, kith_wr_bytes(&b));
    }
    SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = kith_wr_bytes(&w));
}

/* ---- after it ---- */

FIRST(request_past_the_end, REQUEST(x, 1, LEAVES, LEAVES + 1))
FIRST(request_over_the_end, REQUEST(x, 1, LEAVES - 1, LEAVES + 1))
FIRST(request_far_away, REQUEST(x, 1, UINT32_MAX - 1, UINT32_MAX))
FIRST(request_of_nothing, inner(x, KITH_SHARE_REQUEST, RAW("\x08\x01")))
FIRST(request_count_0, inner(x, KITH_SHARE_REQUEST, RAW("\x08\x01\x12\x02\x10\0")))
FIRST(request_count_2_32, inner(x, KITH_SHARE_REQUEST, RAW("\x08\x01\x12\x06\x10\x80\x80\x80\x80\x10")))
FIRST(request_count_2_64, inner(x, KITH_SHARE_REQUEST,
                                RAW("\x08\x01\x12\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")))
FIRST(request_of_4097_leaves, REQUEST(x, 1, 0, KITH_SHARE_REQUEST_LEAVES + 1))
FIRST(range_of_a_number, inner(x, KITH_SHARE_REQUEST, RAW("\x08\x01\x10\x01")))

static void request_of_65_ranges(raw_share *x)
{
    uint8_t buf[2 + 65 * 4] = {8, 1};
    for (size_t i = 0; i < 65; i++)
        memcpy(buf + 2 + 4 * i, (uint8_t[]){0x12, 2, 8, 0}, 4);
    inner(x, KITH_SHARE_REQUEST, kith_bytes_of(buf, sizeof buf));
}

static void hints_of(raw_share *x, uint64_t from, uint64_t to, size_t n)
{
    static const uint8_t some[KITH_SHARE_BODY_MAX] = {1};
    raw_say_body(x,
                 &(kith_share_msg){.kind = KITH_SHARE_REQUEST,
                                   .id = 1,
                                   .body = n,
                                   .range_count = 1,
                                   .ranges = {{(uint32_t)from, (uint32_t)to}}},
                 kith_bytes_of(some, n));
}

FIRST(hints_one_too_few, hints_of(x, 0, LEAVES, (LEAVES - 1) * KITH_SHARE_HINT_LEN))
FIRST(hints_one_too_many, hints_of(x, 0, LEAVES, (LEAVES + 1) * KITH_SHARE_HINT_LEN))
FIRST(hints_of_15_bytes, hints_of(x, 0, 1, KITH_SHARE_HINT_LEN - 1))
FIRST(hints_for_what_is_not_there, hints_of(x, LEAVES, LEAVES + 1, KITH_SHARE_HINT_LEN))
FIRST(same_back, SAY(x, .kind = KITH_SHARE_DATA, .id = 1, .same = true))

static void nine_requests(raw_share *x)
{
    SAY(x, .kind = KITH_SHARE_PAUSE, .on = true); /* so that none is answered before the ninth */
    for (uint64_t i = 1; i <= KITH_SHARE_REQUESTS + 1; i++)
        REQUEST(x, i, 0, 1);
}

/* As many as may be unanswered, and each with the most of hints that the share has leaves for, 64 times over; all are wrong. */
static void hints_at_the_cap(raw_share *x)
{
    static const uint8_t some[KITH_SHARE_RANGES * LEAVES * KITH_SHARE_HINT_LEN] = {1};
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .body = sizeof some, .range_count = KITH_SHARE_RANGES};
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        m.ranges[i] = (kith_leaf_range){0, LEAVES};
    for (m.id = 1; m.id < KITH_SHARE_REQUESTS; m.id++) {
        raw_say_body(x, &m, kith_bytes_of(some, sizeof some));
        SAY(x, .kind = KITH_SHARE_CANCEL, .id = m.id);
    }
    last = 1000001;
    REQUEST(x, last, 0, 1);
}

static void thousand_requests(raw_share *x)
{
    SAY(x, .kind = KITH_SHARE_PAUSE, .on = true);
    for (uint64_t i = 1; i <= 1000; i++)
        REQUEST(x, i, 0, LEAVES);
}

FIRST(list_past_the_end, SAY(x, .kind = KITH_SHARE_GET_LIST, .offset = 100000))
FIRST(list_at_2_63, SAY(x, .kind = KITH_SHARE_GET_LIST, .offset = UINT64_C(1) << 63))
FIRST(roots_again, SAY(x, .kind = KITH_SHARE_GET_ROOTS))
FIRST(hello_again, hello(x))
FIRST(pake_out_of_turn, SAY(x, .kind = KITH_SHARE_PAKE, .step = 3, .data = RAW("x")))
FIRST(peers_malformed, inner(x, KITH_SHARE_PEERS, RAW("\x0a\x02\x12\0")))
FIRST(error_and_on,
      SAY(x, .kind = KITH_SHARE_ERROR, .code = KITH_SHARE_STOPPED, .text = RAW("\x1b[2J\x1b]0;owned\x07\n")),
      REQUEST(x, 1, 0, 1))
FIRST(receipt_and_on, SAY(x, .kind = KITH_SHARE_RECEIPT, .files = UINT64_MAX, .bytes = UINT64_MAX),
      REQUEST(x, 1, 0, 1))

/* What is allowed, too much of it. The last request is for one leaf, and it must come. */
static void ask_last(raw_share *x)
{
    last = 1000001;
    REQUEST(x, last, 0, 1);
}

static void overlapping_ranges(raw_share *x)
{
    kith_share_msg m = {.kind = KITH_SHARE_REQUEST, .range_count = KITH_SHARE_RANGES};
    for (size_t i = 0; i < KITH_SHARE_RANGES; i++)
        m.ranges[i] = (kith_leaf_range){0, 1};
    m.id = 5;
    raw_say(x, &m);
    ask_last(x);
}

static void cancel_flood(raw_share *x)
{
    for (uint64_t i = 0; i < 100000; i++)
        SAY(x, .kind = KITH_SHARE_CANCEL, .id = i);
    ask_last(x);
}

/* No more than 7 at a time are unanswered, as far as the sharer can know: all of the same number. */
static void request_and_cancel(raw_share *x)
{
    for (int i = 0; i < KITH_SHARE_REQUESTS - 1; i++) {
        REQUEST(x, 7, 0, LEAVES);
        SAY(x, .kind = KITH_SHARE_CANCEL, .id = 7);
    }
    ask_last(x);
}

static void pause_flood(raw_share *x)
{
    for (int i = 0; i < 100000; i++)
        SAY(x, .kind = KITH_SHARE_PAUSE, .on = i % 2 == 0);
    ask_last(x);
}

static void peers_flood(raw_share *x)
{
    for (int i = 0; i < 20000; i++)
        inner(x, KITH_SHARE_PEERS, RAW("\x0a\x08\x0a\x02id\x12\x02xx"));
    ask_last(x);
}

static void tiny_frames(raw_share *x)
{
    static const uint8_t z[1 << 20];
    raw_put(x, z, sizeof z);
    ask_last(x);
}

static void bodies_of_tomorrow(raw_share *x)
{
    static const uint8_t z[1 << 20];
    raw_message(x, 77, RAW("x"), sizeof z);
    raw_put(x, z, sizeof z);
    ask_last(x);
}

FIRST(fin_in_a_head, raw_put(x, "\x20\x12", 2), x->fin = true)
FIRST(fin_at_once, x->fin = true)
FIRST(swarm, SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .capability = capability(), .swarm = true))
FIRST(version_of_64_bits, SAY(x, .kind = KITH_SHARE_HELLO, .version = UINT64_MAX, .capability = capability()))

/* What follows is what must come, and more fields, if any. */
#define BEFORE(function, ...)                             \
    {                                                     \
        .name = #function, __VA_ARGS__, .first = function \
    }
#define AFTER(function, ...)                               \
    {                                                      \
        .name = #function, __VA_ARGS__, .proved = function \
    }

static const attack attacks[] = {
    BEFORE(request_first, PROTOCOL),
    BEFORE(list_first, PROTOCOL),
    BEFORE(roots_first, PROTOCOL),
    BEFORE(cancel_first, PROTOCOL),
    BEFORE(receipt_first, PROTOCOL),
    BEFORE(pause_first, PROTOCOL),
    BEFORE(peers_first, PROTOCOL),
    BEFORE(pake_first, PROTOCOL),
    BEFORE(offer_back, PROTOCOL),
    BEFORE(data_back, PROTOCOL),
    BEFORE(wait_back, PROTOCOL),
    BEFORE(ended_back, PROTOCOL),
    BEFORE(have_back, PROTOCOL),
    BEFORE(hello_of_version_1, PROTOCOL),
    BEFORE(hello_without_version, PROTOCOL),
    BEFORE(hello_without_proof, PROTOCOL),
    BEFORE(hello_with_two_proofs, PROTOCOL),
    BEFORE(head_past_the_cap, PROTOCOL),
    BEFORE(head_length_of_11, PROTOCOL),
    BEFORE(head_malformed, PROTOCOL),
    BEFORE(two_messages, PROTOCOL),
    BEFORE(body_of_63_bits, PROTOCOL),
    BEFORE(hello_twice, PROTOCOL),
    BEFORE(capability_of_1025, PROTOCOL),
    BEFORE(code_tag_of_65, PROTOCOL),
    BEFORE(fin_in_a_head, RESET),
    BEFORE(fin_at_once, RESET),
    BEFORE(capability_of_noise, REFUSED),
    BEFORE(code_of_nobody, REFUSED),
    BEFORE(hello_of_unknown_fields, PROTOCOL),
    BEFORE(capability_other_tag, REFUSED),
    BEFORE(capability_other_nonce, REFUSED),
    BEFORE(capability_other_signature, REFUSED),
    BEFORE(capability_cut, REFUSED),
    BEFORE(capability_empty_list, REFUSED),
    BEFORE(signed_by_another, REFUSED),
    BEFORE(rights_raised, REFUSED),
    AFTER(request_past_the_end, PROTOCOL),
    AFTER(request_over_the_end, PROTOCOL),
    AFTER(request_far_away, PROTOCOL),
    AFTER(request_of_nothing, PROTOCOL),
    AFTER(request_count_0, PROTOCOL),
    AFTER(request_count_2_32, PROTOCOL),
    AFTER(request_count_2_64, PROTOCOL),
    AFTER(request_of_4097_leaves, PROTOCOL),
    AFTER(request_of_65_ranges, PROTOCOL),
    AFTER(range_of_a_number, PROTOCOL),
    AFTER(hints_one_too_few, PROTOCOL),
    AFTER(hints_one_too_many, PROTOCOL),
    AFTER(hints_of_15_bytes, PROTOCOL),
    AFTER(hints_for_what_is_not_there, PROTOCOL),
    AFTER(same_back, PROTOCOL),
    AFTER(hints_at_the_cap, FINE, .most = (7 * KITH_SHARE_RANGES * LEAVES + 1) * (uint64_t)KITH_TREE_LEAF),
    AFTER(nine_requests, PROTOCOL),
    AFTER(thousand_requests, PROTOCOL),
    AFTER(list_past_the_end, PROTOCOL),
    AFTER(list_at_2_63, PROTOCOL),
    AFTER(roots_again, PROTOCOL),
    AFTER(hello_again, PROTOCOL),
    AFTER(pake_out_of_turn, PROTOCOL),
    AFTER(peers_malformed, PROTOCOL),
    AFTER(error_and_on, RESET),
    AFTER(receipt_and_on, RESET),
    AFTER(overlapping_ranges, FINE, .most = (KITH_SHARE_RANGES + 1) * (uint64_t)KITH_TREE_LEAF),
    AFTER(cancel_flood, FINE),
    AFTER(request_and_cancel, FINE, .most = (7 * LEAVES + 1) * (uint64_t)KITH_TREE_LEAF),
    AFTER(pause_flood, FINE),
    AFTER(peers_flood, FINE),
    AFTER(tiny_frames, FINE),
    AFTER(bodies_of_tomorrow, FINE),
    {.name = "swarm", .want = FINE, .first = swarm, .proved = ask_last},
    {.name = "version_of_64_bits", .want = FINE, .first = version_of_64_bits, .proved = ask_last},
    AFTER(ask_last, FINE), /* an honest one, for comparison */
};

/* ---- one after another ---- */

static void on_msg(raw_share *x, const kith_share_msg *m)
{
    bool admitted = !now->first || now->proved; /* else nothing but an error may come */
    if (m->kind == KITH_SHARE_ERROR) {
        error = (int)m->code;
        return;
    }
    if (!admitted)
        unasked = "a message";
    if (m->kind == KITH_SHARE_OFFER) {
        offered = true;
        SAY(x, .kind = KITH_SHARE_GET_ROOTS);
    } else if (m->kind == KITH_SHARE_ROOTS && offered && !known) {
        known = true; /* there is one */
        now->proved(x);
    } else if (m->kind == KITH_SHARE_DATA) {
        bytes += m->body;
        if (m->id == last && m->body > 0)
            x->reset = true;
    } else if (m->kind == KITH_SHARE_PASS && offered && now->first == swarm) {
        ; /* for who would help others */
    } else if (m->kind != KITH_SHARE_WAIT && m->kind != KITH_SHARE_ENDED) {
        unasked = "another message";
    }
}

static void judge(void)
{
    const uint64_t most = now->most ? now->most : KITH_TREE_LEAF;
    const char *why = unasked                                             ? unasked
                      : now->want != FINE && bytes > 0                    ? "content"
                      : now->want == FINE && (bytes == 0 || bytes > most) ? "too little content, or too much"
                      : now->want != FINE && error != now->want           ? "another error"
                      : now->want == FINE && error != RESET               ? "an error"
                      : now->proved && !known                             ? "no proof"
                                                                          : NULL;
    printf("%s: %s (error %d, %llu bytes)\n", now->name, why ? why : "ok", error, (unsigned long long)bytes);
    failed |= why != NULL;
}

static void open_stream(void (*on)(raw_share *, const kith_share_msg *), void (*first)(raw_share *));

static void next(void)
{
    now = now ? now + 1 : attacks;
    if (now == attacks + sizeof attacks / sizeof attacks[0]) {
        fflush(stdout);
        exit(failed);
    }
    bytes = last = 0;
    error = RESET;
    offered = known = false;
    unasked = NULL;
    open_stream(on_msg, now->first ? now->first : hello);
}

/* ---- a slow one ---- */

static void on_held(raw_share *x, const kith_share_msg *m)
{
    if (m->kind == KITH_SHARE_OFFER)
        SAY(x, .kind = KITH_SHARE_GET_ROOTS);
    if (m->kind != KITH_SHARE_ROOTS)
        return;
    for (uint64_t i = 1; i <= KITH_SHARE_REQUESTS; i++)
        REQUEST(x, i, 0, LEAVES);
    x->deaf = true;
    puts("held");
    fflush(stdout);
}

/* ---- many of them ---- */

static void tell(raw_share *x, const char *what)
{
    if (x->ctx) /* said already */
        return;
    x->ctx = x;
    puts(what);
    fflush(stdout);
}

static void on_crowd(raw_share *x, const kith_share_msg *m)
{
    char text[32];
    if (m->kind == KITH_SHARE_OFFER)
        tell(x, "in");
    if (m->kind != KITH_SHARE_ERROR)
        return;
    snprintf(text, sizeof text, "error %d", (int)m->code);
    tell(x, m->code == KITH_SHARE_BUSY ? "busy" : text);
}

static void over_crowd(raw_share *x)
{
    tell(x, "reset");
}

static unsigned endings;

static void over_quiet(raw_share *x)
{
    endings += !x->ctx; /* it closes, and is gone */
    x->ctx = x;
}

static void on_quiet(raw_share *x, const kith_share_msg *m)
{
    (void)x, (void)m;
}

static void say_nothing(raw_share *x)
{
    (void)x;
}

static void count_endings(uv_timer_t *t)
{
    (void)t;
    printf("%u\n", endings);
    fflush(stdout);
}

/* ---- guesses ---- */

static uint8_t said_twice[KITH_PAKE_FIRST_LEN];

static void say_second(uv_timer_t *t)
{
    SAY(t->data, .kind = KITH_SHARE_PAKE, .step = 1, .data = kith_bytes_of(said_twice, sizeof said_twice));
    kith_node_wake(kith_host_node(host), kith_host_now(host), stream);
    kith_host_kick(host);
}

/* Once the first has been taken, if it is taken within that time; else both come together, which is no better. */
static void again(raw_share *x, kith_bytes first)
{
    static uv_timer_t soon;
    memcpy(said_twice, first.p, first.len);
    soon.data = x;
    if (uv_timer_init(kith_host_loop(host), &soon) || uv_timer_start(&soon, say_second, 300, 0))
        die("no timer");
}

static void say_first(raw_share *x)
{
    uint8_t tag[KITH_PAKE_TAG_LEN], secret[KITH_PAKE_SECRET_LEN], first[KITH_PAKE_FIRST_LEN] = {4};
    kith_conn_facts f;
    kith_pake_bond bond = {.receiver = *kith_node_id(kith_host_node(host)), .sharer = string.peer};
    kith_conn_facts_get(conn, &f);
    memcpy(bond.channel, f.channel, sizeof bond.channel);
    kith_share_string_proof(&string, tag, secret);
    memcpy(bond.tag, tag, sizeof tag);
    if (strcmp(guess, "wrong") == 0)
        secret[0] ^= 1;
    SAY(x, .kind = KITH_SHARE_HELLO, .version = 2, .code_tag = kith_bytes_of(tag, sizeof tag));
    if (strcmp(guess, "late") == 0) {
        SAY(x, .kind = KITH_SHARE_PAKE, .step = 3, .data = kith_bytes_of(first, KITH_PAKE_CONFIRM_LEN));
        return;
    }
    if (strcmp(guess, "zeros") == 0) {
        first[0] = 0; /* the point at infinity, in its other form */
        SAY(x, .kind = KITH_SHARE_PAKE, .step = 1, .data = kith_bytes_of(first, 1));
        return;
    }
    if (strcmp(guess, "garbage") != 0)
        pake = kith_pake_ask(kith_host_env(), &bond, secret, first);
    SAY(x, .kind = KITH_SHARE_PAKE, .step = 1, .data = kith_bytes_of(first, sizeof first));
    if (strcmp(guess, "twice") == 0)
        again(x, kith_bytes_of(first, sizeof first));
}

static void say_end(const char *what)
{
    puts(what);
    fflush(stdout);
    if (strcmp(guess, "twice") == 0)
        (void)getchar();
    exit(0);
}

static void on_guess(raw_share *x, const kith_share_msg *m)
{
    uint8_t confirm[KITH_PAKE_CONFIRM_LEN] = {1};
    char text[32];
    if (m->kind == KITH_SHARE_ERROR) {
        (void)snprintf(text, sizeof text, "error %d", (int)m->code);
        say_end(text);
    }
    if (m->kind == KITH_SHARE_OFFER)
        say_end("offer");
    if (m->kind != KITH_SHARE_PAKE)
        return;
    if (strcmp(guess, "hangup") == 0) {
        x->reset = true;
        return;
    }
    if (strcmp(guess, "slow") == 0) {
        puts("answered");
        fflush(stdout);
        (void)getchar();
    }
    if (kith_pake_confirm(pake, m->data, confirm) && strcmp(guess, "wrong") != 0)
        die("the sharer's proof is wrong");
    SAY(x, .kind = KITH_SHARE_PAKE, .step = 3, .data = kith_bytes_of(confirm, sizeof confirm));
}

/* ---- the network ---- */

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)ctx, (void)h;
    if (ev->kind != KITH_NODE_STREAM_GONE || crowd)
        return;
    if (guess)
        say_end("gone");
    if (!now)
        die("the sharer let us go");
    judge();
    next();
}

static void open_stream(void (*on)(raw_share *, const kith_share_msg *), void (*first)(raw_share *))
{
    const kith_bytes id[] = {kith_bytes_str(quiet ? KITH_SHARE_STREAM_ID : KITH_SHARE_ID)};
    static kith_sink sink = {.event = on_stream};
    raw_share *x = raw_share_new();
    x->on = on;
    x->over = quiet ? over_quiet : crowd ? over_crowd : NULL;
    first(x);
    if (kith_node_open(kith_host_node(host), kith_host_now(host), conn, id, 1, &raw_share_ops, x, &sink,
                       &stream))
        die("no stream");
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)h, (void)err;
    if (!c)
        die(why ? why : "no connection");
    static uv_timer_t second;
    conn = c;
    if (quiet && uv_timer_init(kith_host_loop(host), &second) == 0)
        uv_timer_start(&second, count_endings, 1000, 0);
    if (guess)
        open_stream(on_guess, say_first);
    else if (crowd)
        for (int i = 0; i < crowd; i++)
            open_stream(quiet ? on_quiet : on_crowd, quiet ? say_nothing : hello);
    else if (ctx)
        open_stream(on_held, hello);
    else
        next();
}

int main(int argc, char **argv)
{
    const char *why = "";
    uint8_t seed[32];
    bool hold = argc == 3 && strcmp(argv[1], "hold") == 0;
    quiet = strcmp(argv[1] ? argv[1] : "", "quiet") == 0;
    if (argc == 4 && strcmp(argv[1], "guess") == 0)
        guess = argv[3];
    else if (argc == 4 && (strcmp(argv[1], "crowd") == 0 || strcmp(argv[1], "quiet") == 0))
        crowd = atoi(argv[3]);
    else if (argc != 3 || (!hold && strcmp(argv[1], "ticket") != 0))
        die("which attack, which ticket?");
    if (guess ? kith_share_string_parse(kith_bytes_str(argv[2]), &string, &why)
              : kith_ticket_parse(kith_bytes_str(argv[2]), &ticket, &why))
        die(why);
    if (kith_crypto_init())
        die("no crypto");
    const kith_rand os = kith_random_os();
    os.fn(os.ctx, kith_span_of(seed, sizeof seed));
    kith_host_config cfg = {0};
    kith_node_config_default(&cfg.node);
    cfg.node.signer = kith_signer_new(seed);
    cfg.node.agent = "hostile";
    host = kith_host_new(&cfg, &why);
    if (!host)
        die(why);
    if (guess ? kith_host_dial(host, &string.peer, string.addrs, string.addr_count, on_dialed, NULL)
              : kith_host_dial(host, &ticket.peer, ticket.addrs, ticket.addr_count, on_dialed,
                               hold ? &ticket : NULL))
        die("cannot dial");
    kith_host_run(host);
    return 1;
}
