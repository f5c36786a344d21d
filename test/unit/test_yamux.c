/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux alone: conversations as text, with every cut of the input and every failing allocation; and its limits,
 * each at the cap. Two machines against each other: test_yamux_pair.c. */
#include "proto/yamux.h"

#include <stdio.h>

#include "support.h"

/* ---- a machine, its streams' applications, and what happens, as text ---- */

#define APPS 1200

typedef struct app {
    kith_yamux_stream *s; /* NULL: closed */
    uint32_t id;
    uint64_t left; /* to send */
    bool fin;
} app;

typedef struct rig {
    support_heap heap;
    kith_yamux *y;
    kith_time now;
    app apps[APPS];
    size_t n;
    uint32_t ping; /* value of the last ping we sent */
    bool corked;   /* no output is taken */
    size_t closed; /* CLOSED events seen */
    char text[20000];
    size_t len;
    uint64_t run; /* bytes of one DATA run, not yet written down */
    uint32_t run_id;
} rig;

static void line(rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line(rig *r, const char *fmt, ...)
{
    if (r->len > sizeof r->text - 200)
        return;
    va_list ap;
    va_start(ap, fmt);
    r->len += (size_t)vsnprintf(r->text + r->len, sizeof r->text - r->len, fmt, ap);
    va_end(ap);
    r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "\n");
}

static app *app_of(rig *r, uint32_t id)
{
    for (size_t i = r->n; i-- > 0;) {
        if (r->apps[i].id == id)
            return &r->apps[i];
    }
    fail_msg("no stream #%u", id);
    return NULL;
}

static void app_new(rig *r, kith_yamux_stream *s)
{
    assert_true(r->n < APPS);
    app *a = &r->apps[r->n++];
    *a = (app){.s = s, .id = kith_yamux_stream_id(s)};
    kith_yamux_set_user(s, a);
}

static const char *const types[] = {"data", "window", "ping", "goaway"};
static const char *const flag_names[] = {"SYN", "ACK", "FIN", "RST"};

static void note_frames(rig *r, const uint8_t *p, size_t n)
{
    while (n > 0) {
        assert_true(n >= 12);
        assert_int_equal(p[0], 0);
        unsigned flags = kith_load_be16(p + 2);
        char f[40] = "";
        for (int i = 0; i < 4; i++) {
            if (flags & 1u << i) {
                strcat(f, f[0] ? "|" : " ");
                strcat(f, flag_names[i]);
            }
        }
        uint32_t id = kith_load_be32(p + 4), len = kith_load_be32(p + 8);
        if (p[1] == 2) {
            if (flags & 1) {
                r->ping = len;
                line(r, "> ping%s", f);
            } else {
                line(r, "> ping%s %u", f, len);
            }
        } else if (p[1] == 3) {
            line(r, "> goaway%s %u", f, len);
        } else {
            line(r, "> %s%s #%u %u", types[p[1]], f, id, len);
        }
        size_t skip = 12 + (p[1] == 0 ? len : 0);
        assert_true(skip <= n);
        p += skip;
        n -= skip;
    }
}

static void flush_run(rig *r)
{
    if (r->run > 0)
        line(r, "  data #%u %llu", r->run_id, (unsigned long long)r->run);
    r->run = 0;
}

static void events(rig *r)
{
    kith_yamux_event ev;
    while (kith_yamux_next(r->y, &ev)) {
        app *a = ev.stream ? kith_yamux_user(ev.stream) : NULL;
        if (ev.kind != KITH_YAMUX_DATA || (a && a->id != r->run_id))
            flush_run(r);
        switch (ev.kind) {
        case KITH_YAMUX_OPENED:
            assert_null(a);
            app_new(r, ev.stream);
            line(r, "  opened #%u", kith_yamux_stream_id(ev.stream));
            break;
        case KITH_YAMUX_DATA:
            assert_true(ev.data.len > 0 && a->s == ev.stream);
            r->run_id = a->id;
            r->run += ev.data.len;
            break;
        case KITH_YAMUX_EOF:
            line(r, "  eof #%u", a->id);
            break;
        case KITH_YAMUX_RESET:
            line(r, "  reset #%u %u", a->id, ev.code);
            break;
        case KITH_YAMUX_CLOSED:
            assert_true(a->s == ev.stream);
            line(r, "  closed #%u %s", a->id, kith_err_name(ev.err));
            a->s = NULL;
            r->closed++;
            break;
        case KITH_YAMUX_GOAWAY:
            line(r, "  goaway %u", ev.code);
            break;
        case KITH_YAMUX_RTT:
            line(r, "  rtt %llu ms", (unsigned long long)(ev.rtt / KITH_MS(1)));
            break;
        case KITH_YAMUX_FAILED:
            line(r, "  failed %s: %s", kith_err_name(ev.err), ev.why);
            break;
        }
        kith_yamux_check(r->y);
    }
}

/* The drive rule. */
static void settle(rig *r)
{
    static uint8_t buf[80000];
    events(r);
    if (r->corked)
        return;
    for (size_t n; (n = kith_yamux_send(r->y, r->now, kith_span_of(buf, 40))) > 0;) {
        flush_run(r);
        note_frames(r, buf, n);
        kith_yamux_check(r->y);
    }
    kith_yamux_turn t;
    while (kith_yamux_turn_next(r->y, r->now, sizeof buf, &t)) {
        kith_yamux_check(r->y);
        app *a = kith_yamux_user(t.stream);
        size_t len = a->left < t.max ? (size_t)a->left : t.max;
        a->left -= len;
        bool fin = a->fin && a->left == 0;
        size_t n = kith_yamux_turn_end(r->y, r->now, &t, len, fin, buf);
        assert_int_equal(n == 0 ? 0 : n - 12, len);
        flush_run(r);
        note_frames(r, buf, n);
        kith_yamux_check(r->y);
        events(r);
    }
    events(r);
}

/* Feeds bytes, cut into pieces of `cut`, each in a block of its own size. */
static void feed(rig *r, const uint8_t *p, size_t n, size_t cut)
{
    while (n > 0) {
        size_t k = n < cut ? n : cut;
        kith_span c = support_copy(kith_bytes_of(p, k));
        kith_yamux_recv(r->y, r->now, kith_span_bytes(c));
        bool was = r->corked;
        r->corked = true; /* one segment for the peer, however it is cut */
        settle(r);
        r->corked = was;
        memset(c.p, 0xdd, k);
        free(c.p);
        p += k;
        n -= k;
    }
    settle(r);
    flush_run(r);
}

static void put_frame(kith_wr *w, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    kith_put_u8(w, 0);
    kith_put_u8(w, (uint8_t)type);
    kith_put_be16(w, (uint16_t)flags);
    kith_put_be32(w, id);
    kith_put_be32(w, len);
}

/* "data SYN|FIN #1 5": a frame, with payload; "!" behind it: without. "ping ACK =" answers our last ping. */
static void parse_frame(rig *r, kith_wr *w, char *text)
{
    char *save = NULL;
    unsigned type = 4, flags = 0;
    uint32_t id = 0, len = 0;
    bool bare = false;
    for (char *t = strtok_r(text, " |", &save); t; t = strtok_r(NULL, " |", &save)) {
        if (t[0] == '#') {
            id = (uint32_t)strtoul(t + 1, NULL, 10);
        } else if (t[0] == '=') {
            len = r->ping;
        } else if (t[0] == '!') {
            bare = true;
        } else if (t[0] >= '0' && t[0] <= '9') {
            len = (uint32_t)strtoul(t, NULL, 10);
        } else {
            bool known = false;
            for (unsigned i = 0; i < 4; i++) {
                if (strcmp(t, types[i]) == 0) {
                    type = i;
                    known = true;
                }
                if (strcmp(t, flag_names[i]) == 0) {
                    flags |= 1u << i;
                    known = true;
                }
            }
            if (!known)
                fail_msg("what is '%s'?", t);
        }
    }
    put_frame(w, type, flags, id, len);
    for (uint32_t i = 0; type == 0 && !bare && i < len; i++)
        kith_put_u8(w, (uint8_t)i);
}

static void command(rig *r, const char *text)
{
    unsigned long a = 0, b = 0;
    kith_yamux_stream *s;
    if (strcmp(text, "open") == 0) {
        kith_err e = kith_yamux_open(r->y, r->now, &s);
        if (e)
            line(r, "  open: %s", kith_err_name(e));
        else
            app_new(r, s);
    } else if (sscanf(text, "say #%lu %lu", &a, &b) == 2) {
        app_of(r, (uint32_t)a)->left += b;
        kith_yamux_want(r->y, app_of(r, (uint32_t)a)->s);
    } else if (sscanf(text, "fin #%lu", &a) == 1) {
        app_of(r, (uint32_t)a)->fin = true;
        kith_yamux_want(r->y, app_of(r, (uint32_t)a)->s);
    } else if (sscanf(text, "used #%lu %lu", &a, &b) == 2) {
        kith_yamux_used(r->y, r->now, app_of(r, (uint32_t)a)->s, b);
    } else if (sscanf(text, "reset #%lu %lu", &a, &b) == 2) {
        kith_yamux_reset(r->y, app_of(r, (uint32_t)a)->s, (uint32_t)b);
    } else if (sscanf(text, "goaway %lu", &a) == 1) {
        kith_yamux_goaway(r->y, (uint32_t)a);
    } else if (strcmp(text, "ping") == 0) {
        kith_yamux_ping(r->y, r->now);
    } else if (sscanf(text, "wait %lu ms", &a) == 1) {
        r->now += KITH_MS(a);
        if (kith_yamux_deadline(r->y) <= r->now)
            kith_yamux_tick(r->y, r->now);
    } else if (strcmp(text, "cork") == 0) {
        r->corked = true;
    } else if (strcmp(text, "uncork") == 0) {
        r->corked = false;
    } else {
        fail_msg("what is '%s'?", text);
    }
    kith_yamux_check(r->y);
    settle(r);
    flush_run(r);
}

static void rig_config(rig *r, const kith_yamux_config *cfg)
{
    kith_yamux_config c = *cfg;
    c.env = support_env(&r->heap);
    r->y = kith_yamux_new(&c, 0);
}

static kith_yamux_config quiet(bool dialer)
{
    kith_yamux_config c;
    kith_yamux_config_default(&c, NULL, dialer);
    c.ping_every = KITH_NEVER;
    return c;
}

static void rig_fini(rig *r)
{
    kith_yamux_free(r->y);
    support_heap_check(&r->heap);
    free(r);
}

/* Runs the lines of a conversation that start with "<" (frames of the peer, several of one segment with commas)
 * and "!" (commands) and writes down what came of it. */
static void play(rig *r, const char *script, size_t cut)
{
    static uint8_t buf[1 << 20];
    while (*script) {
        const char *end = strchr(script, '\n');
        char text[400];
        assert_true((size_t)(end - script) < sizeof text);
        memcpy(text, script, (size_t)(end - script));
        text[end - script] = '\0';
        script = end + 1;
        if (text[0] == '!') {
            line(r, "%s", text);
            command(r, text + 2);
        } else if (text[0] == '<') {
            line(r, "%s", text);
            kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
            char *save = NULL;
            for (char *f = strtok_r(text + 2, ",", &save); f; f = strtok_r(NULL, ",", &save))
                parse_frame(r, &w, f);
            assert_false(w.bad);
            feed(r, buf, w.len, cut);
        }
    }
}

static void conversation_with(const kith_yamux_config *cfg, const char *script)
{
    static const size_t cuts[] = {1u << 20, 1, 2, 3, 5, 11, 12, 13, 24, 25};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        rig *r = calloc(1, sizeof *r);
        rig_config(r, cfg);
        play(r, script, cuts[i]);
        assert_string_equal(r->text, script);
        rig_fini(r);
    }
    /* The nth allocation fails: nothing leaks, nothing breaks. What was said differs, so commands that name streams
     * which do not exist are left out. */
    for (size_t n = 1; n < 12; n++) {
        rig *r = calloc(1, sizeof *r);
        kith_yamux_config c = *cfg;
        c.env = support_env(&r->heap);
        r->heap.fail_at = n;
        r->y = kith_yamux_new(&c, 0);
        if (r->y) {
            char *copy = strdup(script), *save = NULL;
            for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
                char one[410];
                unsigned long id;
                const char *hash = l[0] == '!' ? strchr(l, '#') : NULL;
                bool there = !hash;
                if (hash && sscanf(hash, "#%lu", &id) == 1) {
                    for (size_t k = 0; k < r->n; k++)
                        there |= r->apps[k].id == id && r->apps[k].s;
                }
                if (strstr(l, "used"))
                    there = false;
                snprintf(one, sizeof one, "%s\n", l);
                if (there)
                    play(r, one, 1000000);
            }
            free(copy);
        }
        rig_fini(r);
    }
}

static void conversation(bool dialer, const char *script)
{
    kith_yamux_config c = quiet(dialer);
    conversation_with(&c, script);
}

/* ---- life of a stream ---- */

static void a_stream_lives_from_syn_to_both_fins(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! say #1 5\n"
                       "> data SYN #1 5\n"
                       "< window ACK #1 0\n"
                       "! say #1 70000\n"
                       "> data #1 65507\n"
                       "> data #1 4493\n"
                       "< data #1 3\n"
                       "  data #1 3\n"
                       "! fin #1\n"
                       "> data FIN #1 0\n"
                       "! say #1 1\n" /* too late */
                       "< data #1 100\n"
                       "  data #1 100\n"
                       "< data FIN #1 0\n"
                       "  eof #1\n"
                       "  closed #1 ok\n");
    conversation(false, "< data SYN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "> window ACK #1 0\n"
                        "< data FIN #1 7\n"
                        "  data #1 7\n"
                        "  eof #1\n"
                        "! say #1 10\n"
                        "> data #1 10\n"
                        "! fin #1\n"
                        "> data FIN #1 0\n"
                        "  closed #1 ok\n");
}

static void an_opened_stream_says_nothing_until_it_has_something_to_say(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! open\n"
                       "! say #3 1\n"
                       "> data SYN #3 1\n"
                       "! say #1 0\n" /* asked, and had nothing: the SYN goes alone */
                       "> window SYN #1 0\n"
                       "! say #1 1\n"
                       "> data #1 1\n");
}

static void an_ack_rides_on_data_when_there_is_some(void **state)
{
    (void)state;
    conversation(false, "! cork\n"
                        "< data SYN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "! say #1 4\n"
                        "! uncork\n"
                        "> data ACK #1 4\n");
    conversation(false, "! cork\n"
                        "< data SYN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "! say #1 0\n" /* it thought it had */
                        "! uncork\n"
                        "> window ACK #1 0\n");
}

static void flags_come_in_any_company(void **state)
{
    (void)state;
    conversation(false, "< data SYN|FIN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "  eof #1\n"
                        "> window ACK #1 0\n"
                        "< window SYN #3 100\n"
                        "  opened #3\n"
                        "> window ACK #3 0\n"
                        "< window SYN|FIN #5 0\n"
                        "  opened #5\n"
                        "  eof #5\n"
                        "> window ACK #5 0\n"
                        "< data SYN|FIN #7 0\n"
                        "  opened #7\n"
                        "  eof #7\n"
                        "> window ACK #7 0\n"
                        "< window FIN #3 5\n"
                        "  eof #3\n"
                        "! fin #3\n"
                        "> data FIN #3 0\n"
                        "  closed #3 ok\n");
    conversation(true, "! open\n"
                       "! say #1 1\n"
                       "> data SYN #1 1\n"
                       "! open\n"
                       "! say #3 1\n"
                       "> data SYN #3 1\n"
                       "! open\n"
                       "! say #5 1\n"
                       "> data SYN #5 1\n"
                       "< data ACK|FIN #1 4\n"
                       "  data #1 4\n"
                       "  eof #1\n"
                       "< window ACK|FIN #3 0\n"
                       "  eof #3\n"
                       "< window ACK|RST #5 0\n"
                       "  reset #5 0\n"
                       "  closed #5 reset\n"
                       "< data ACK #1 0\n"); /* and once more does no harm */
    conversation(true, "! open\n"
                       "! fin #1\n"
                       "> data SYN|FIN #1 0\n"
                       "< data ACK|FIN #1 0\n"
                       "  eof #1\n"
                       "  closed #1 ok\n");
    conversation(false, "! cork\n"
                        "< data SYN|FIN #1 0\n"
                        "  opened #1\n"
                        "  eof #1\n"
                        "! say #1 3\n"
                        "! fin #1\n"
                        "! uncork\n"
                        "> data ACK|FIN #1 3\n"
                        "  closed #1 ok\n");
}

static void a_whole_life_fits_in_one_segment(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 3, data #1 4, data SYN #3 2, data FIN #1 1, data RST #3 0, data #1 0\n"
                        "  opened #1\n"
                        "  data #1 7\n"
                        "  opened #3\n"
                        "  data #3 2\n"
                        "  data #1 1\n"
                        "  eof #1\n"
                        "  reset #3 0\n"
                        "  closed #3 reset\n"
                        "> window ACK #1 0\n");
}

/* ---- RST ---- */

static void the_length_of_a_reset_is_its_code_and_no_window(void **state)
{
    (void)state;
    /* go-yamux; a parser that adds it to the window first would fail here. */
    conversation(true, "! open\n"
                       "! say #1 1\n"
                       "> data SYN #1 1\n"
                       "< window RST #1 4098\n"
                       "  reset #1 4098\n"
                       "  closed #1 reset\n"
                       "! open\n"
                       "! say #3 1\n"
                       "> data SYN #3 1\n"
                       "< window RST #3 4294967295\n"
                       "  reset #3 4294967295\n"
                       "  closed #3 reset\n"
                       "! open\n"
                       "! say #5 1\n"
                       "> data SYN #5 1\n"
                       "< data RST #5 0\n"
                       "  reset #5 0\n"
                       "  closed #5 reset\n"
                       "! open\n"
                       "! say #7 1\n"
                       "> data SYN #7 1\n"
                       "< data RST|FIN #7 5, ping SYN 9\n" /* its payload is nobody's */
                       "  reset #7 0\n"
                       "  closed #7 reset\n"
                       "> ping ACK 9\n");
}

static void our_reset_carries_a_code_and_late_frames_are_dropped(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "> window ACK #1 0\n"
                        "! reset #1 4097\n"
                        "  closed #1 reset\n"
                        "> window RST #1 4097\n"
                        "< data #1 1000, window #1 500, data FIN #1 200, window RST #1 0, ping SYN 3\n"
                        "> ping ACK 3\n");
}

static void a_stream_that_was_reset_before_its_syn_left_was_never_there(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! reset #1 5\n"
                       "  closed #1 reset\n"
                       "! cork\n"
                       "! open\n"
                       "! say #3 10\n"
                       "! reset #3 5\n"
                       "  closed #3 reset\n"
                       "! uncork\n"
                       "! open\n"
                       "! say #5 1\n"
                       "> data SYN #5 1\n");
}

static void a_reset_of_ours_waits_for_room_without_its_stream(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "> window ACK #1 0\n"
                        "! cork\n"
                        "! reset #1 7\n"
                        "  closed #1 reset\n"
                        "< data #1 5, window #1 5\n"
                        "< data SYN #3 1\n"
                        "  opened #3\n"
                        "  data #3 1\n"
                        "! uncork\n"
                        "> window RST #1 7\n"
                        "> window ACK #3 0\n");
}

static void syn_with_rst_opens_nothing(void **state)
{
    (void)state;
    conversation(false, "< window SYN|RST #1 0, data SYN|RST #3 4, ping SYN 1\n"
                        "> ping ACK 1\n");
}

static void a_reset_in_the_middle_of_a_frame_drops_its_rest(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    uint8_t b[100];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_frame(&w, 0, 1 | 4, 1, 50); /* SYN|FIN */
    memset(b + 12, 0, 50);
    feed(r, b, 12 + 20, 100);
    kith_yamux_reset(r->y, r->apps[0].s, 0);
    settle(r);
    feed(r, b + 32, 30, 100);
    play(r, "< ping SYN 1\n", 100);
    assert_string_equal(r->text, "  opened #1\n"
                                 "  data #1 20\n"
                                 "> window ACK #1 0\n"
                                 "  closed #1 reset\n"
                                 "> window RST #1 0\n"
                                 "< ping SYN 1\n"
                                 "> ping ACK 1\n");
    rig_fini(r);
}

static void a_reset_from_within_an_event_is_safe(void **state)
{
    (void)state;
    /* OPENED, DATA, EOF of one frame: reset at each of them. */
    for (int at = 0; at < 3; at++) {
        rig *r = calloc(1, sizeof *r);
        kith_yamux_config c = quiet(false);
        rig_config(r, &c);
        uint8_t b[100] = {0};
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        put_frame(&w, 0, 1 | 4, 1, 8);
        kith_put_str(&w, "payload.");
        kith_yamux_recv(r->y, 0, kith_wr_bytes(&w));
        kith_yamux_event ev;
        for (int i = 0; i <= at; i++)
            assert_true(kith_yamux_next(r->y, &ev));
        assert_int_equal(ev.kind, at == 0 ? KITH_YAMUX_OPENED : at == 1 ? KITH_YAMUX_DATA : KITH_YAMUX_EOF);
        kith_yamux_reset(r->y, ev.stream, 1);
        kith_yamux_check(r->y);
        assert_true(kith_yamux_next(r->y, &ev));
        assert_int_equal(ev.kind, KITH_YAMUX_CLOSED);
        kith_yamux_check(r->y);
        /* commands on a closed stream do nothing */
        kith_yamux_reset(r->y, ev.stream, 2);
        kith_yamux_want(r->y, ev.stream);
        kith_yamux_used(r->y, 0, ev.stream, 8);
        assert_false(kith_yamux_next(r->y, &ev));
        uint8_t out[100];
        assert_int_equal(kith_yamux_send(r->y, 0, kith_span_of(out, 100)), 12);
        note_frames(r, out, 12);
        assert_string_equal(r->text, "> window RST #1 1\n");
        rig_fini(r);
    }
}

static void a_reset_between_turn_and_its_end_voids_the_turn(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    r->corked = true;
    play(r, "! open\n! say #1 5\n", 100);
    uint8_t out[100];
    kith_yamux_turn t;
    assert_true(kith_yamux_turn_next(r->y, 0, sizeof out, &t));
    kith_yamux_reset(r->y, t.stream, 0);
    assert_int_equal(kith_yamux_turn_end(r->y, 0, &t, 5, false, out), 0);
    settle(r);
    assert_int_equal(r->closed, 1);
    rig_fini(r);
}

/* ---- windows ---- */

static void a_sender_stops_at_the_window_and_goes_on_with_an_update(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! say #1 300000\n"
                       "> data SYN #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 116\n"
                       "< window ACK #1 0\n"
                       "< window #1 10\n"
                       "> data #1 10\n"
                       "< window #1 100000\n"
                       "> data #1 37846\n");
}

static void a_fin_needs_no_window(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! say #1 262144\n"
                       "> data SYN #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 65507\n"
                       "> data #1 116\n"
                       "! fin #1\n"
                       "> data FIN #1 0\n"
                       "< window #1 10\n"
                       "< data FIN #1 0\n"
                       "  eof #1\n"
                       "  closed #1 ok\n");
}

static void used_bytes_are_granted_again_by_halves(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.window_max = KITH_YAMUX_WINDOW_INIT;
    conversation_with(&c, "< data SYN #1 131071\n"
                          "  opened #1\n"
                          "  data #1 131071\n"
                          "> window ACK #1 0\n"
                          "! used #1 131071\n"
                          "< data #1 1\n"
                          "  data #1 1\n"
                          "! used #1 1\n"
                          "> window #1 131072\n"
                          "< data #1 262144\n"
                          "  data #1 262144\n"
                          "! used #1 100000\n"
                          "> window #1 100000\n");
}

static void updates_of_a_stream_are_one_frame_however_long_they_wait(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.window_max = KITH_YAMUX_WINDOW_INIT;
    conversation_with(&c, "< data SYN #1 262144\n"
                          "  opened #1\n"
                          "  data #1 262144\n"
                          "> window ACK #1 0\n"
                          "! cork\n"
                          "! used #1 131072\n"
                          "! used #1 1\n"
                          "! used #1 131071\n"
                          "! uncork\n"
                          "> window #1 262144\n");
}

static void a_reader_that_holds_most_of_a_window_does_not_stall(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.window_max = KITH_YAMUX_WINDOW_INIT;
    conversation_with(&c, "< data SYN #1 262144\n"
                          "  opened #1\n"
                          "  data #1 262144\n"
                          "> window ACK #1 0\n"
                          "! used #1 32767\n"
                          "! used #1 1\n"
                          "> window #1 32768\n");
}

static void a_reader_that_catches_up_late_keeps_its_window(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    c.window_max = 1u << 20;
    rig_config(r, &c);
    play(r,
         "< data SYN #1 65536\n! used #1 65536\n! wait 1 ms\n"
         "< data #1 65536\n! used #1 65536\n",
         1u << 20);
    assert_non_null(strstr(r->text, "> window #1 917504\n")); /* to the full 1 MiB at once */
    /* 1 MiB comes; half of them are used up soon, the others a minute after the update */
    for (int i = 0; i < 16; i++)
        play(r, "! wait 1 ms\n< data #1 65536\n", 1u << 20);
    r->len = 0;
    play(r, "! used #1 524288\n! wait 60000 ms\n! used #1 524288\n", 1);
    assert_string_equal(r->text, "! used #1 524288\n"
                                 "> window #1 524288\n"
                                 "! wait 60000 ms\n"
                                 "! used #1 524288\n"
                                 "> window #1 524288\n");
    rig_fini(r);
}

static void an_old_round_trip_time_is_measured_anew_by_bulk_data(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.window_max = KITH_YAMUX_WINDOW_INIT;
    c.ping_every = KITH_SEC(30);
    conversation_with(&c, "! wait 0 ms\n"
                          "> ping SYN\n"
                          "! wait 5 ms\n"
                          "< ping ACK =\n"
                          "  rtt 5 ms\n"
                          "! wait 2000 ms\n"
                          "< data SYN #1 131072\n"
                          "  opened #1\n"
                          "  data #1 131072\n"
                          "> window ACK #1 0\n"
                          "! used #1 131072\n"
                          "> window #1 131072\n"
                          "! wait 1 ms\n"
                          "< data #1 131072\n"
                          "  data #1 131072\n"
                          "! used #1 131072\n"
                          "> ping SYN\n"
                          "> window #1 131072\n");
}

static void after_the_peers_fin_no_window_is_granted(void **state)
{
    (void)state;
    conversation(false, "< data SYN|FIN #1 262144\n"
                        "  opened #1\n"
                        "  data #1 262144\n"
                        "  eof #1\n"
                        "> window ACK #1 0\n"
                        "! used #1 262144\n");
    conversation(false, "! cork\n"
                        "< data SYN #1 262144\n"
                        "  opened #1\n"
                        "  data #1 262144\n"
                        "! used #1 262144\n"
                        "< data FIN #1 0\n"
                        "  eof #1\n"
                        "! uncork\n"
                        "> window ACK #1 0\n");
}

static void data_beyond_the_window_ends_the_session(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 262144\n"
                        "  opened #1\n"
                        "  data #1 262144\n"
                        "> window ACK #1 0\n"
                        "< data #1 0\n"
                        "< data #1 1\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: data beyond the receive window\n"
                        "> goaway 1\n");
    /* one frame header is enough */
    conversation(false, "< data SYN #1 1\n"
                        "  opened #1\n"
                        "  data #1 1\n"
                        "> window ACK #1 0\n"
                        "< data #1 262144 !\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: data beyond the receive window\n"
                        "> goaway 1\n");
}

static void ghsa_vxx9_2994_q338_an_oversized_data_syn_ends_the_session(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 262145 !\n"
                        "  failed protocol: data beyond the receive window\n"
                        "> goaway 1\n");
    conversation(false, "< data SYN|FIN #1 4294967295 !\n"
                        "  failed protocol: data beyond the receive window\n"
                        "> goaway 1\n");
    conversation(false, "< data SYN #1 262144, data #1 1\n"
                        "  opened #1\n"
                        "  data #1 262144\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: data beyond the receive window\n"
                        "> goaway 1\n");
}

static void a_window_beyond_32_bits_ends_the_session(void **state)
{
    (void)state;
    conversation(false, "< window SYN #1 4294705151\n"
                        "  opened #1\n"
                        "> window ACK #1 0\n"
                        "< window #1 1\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: a window larger than 2^32-1\n"
                        "> goaway 1\n");
    conversation(false, "< window SYN #1 4294705152\n"
                        "  failed protocol: a window larger than 2^32-1\n"
                        "> goaway 1\n");
}

static void data_after_fin_ends_the_session_but_a_second_fin_does_not(void **state)
{
    (void)state;
    conversation(false, "< data SYN|FIN #1 5\n"
                        "  opened #1\n"
                        "  data #1 5\n"
                        "  eof #1\n"
                        "> window ACK #1 0\n"
                        "< data FIN #1 0, window FIN #1 0, window #1 8, data #1 0\n"
                        "< data #1 1\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: data after FIN\n"
                        "> goaway 1\n");
}

/* ---- ids, refusals, nonsense ---- */

static void a_stream_with_an_id_of_ours_ends_the_session(void **state)
{
    (void)state;
    conversation(true, "< data SYN #1 0\n"
                       "  failed protocol: the peer opened a stream with an id of ours\n"
                       "> goaway 1\n");
    conversation(false, "< window SYN #2 0\n"
                        "  failed protocol: the peer opened a stream with an id of ours\n"
                        "> goaway 1\n");
    conversation(true, "< data SYN #2 0\n"
                       "  opened #2\n"
                       "> window ACK #2 0\n");
}

static void ids_may_come_in_any_order_and_come_back_once_closed(void **state)
{
    (void)state;
    /* go and rust pick ids before they write: two streams opened together may arrive the other way round. */
    conversation(false, "< data SYN #7 0, data SYN #3 0, data SYN #4294967295 0\n"
                        "  opened #7\n"
                        "  opened #3\n"
                        "  opened #4294967295\n"
                        "> window ACK #7 0\n"
                        "> window ACK #3 0\n"
                        "> window ACK #4294967295 0\n"
                        "< data RST #7 0\n"
                        "  reset #7 0\n"
                        "  closed #7 reset\n"
                        "< data SYN #7 1\n"
                        "  opened #7\n"
                        "  data #7 1\n"
                        "> window ACK #7 0\n");
}

static void a_stream_opened_twice_ends_the_session(void **state)
{
    (void)state;
    conversation(false, "< data SYN #1 0\n"
                        "  opened #1\n"
                        "> window ACK #1 0\n"
                        "< data SYN #1 0\n"
                        "  closed #1 protocol\n"
                        "  failed protocol: a stream was opened twice\n"
                        "> goaway 1\n");
}

static void frames_for_streams_that_are_not_there_are_ignored(void **state)
{
    (void)state;
    conversation(true,
                 "< data #1 100, window #3 5, data ACK|FIN #8 3, window RST #9 4, data FIN #2 0, ping SYN 5\n"
                 "> ping ACK 5\n"
                 "! open\n"
                 "< window ACK #1 7, data RST #1 0\n" /* it cannot know of it */
                 "! say #1 1\n"
                 "> data SYN #1 1\n");
}

static void nonsense_ends_the_session(void **state)
{
    (void)state;
    static const struct {
        uint8_t h[12];
        const char *why;
    } bad[] = {
        {{1, 0, 0, 1, 0, 0, 0, 1}, "unknown yamux version"},
        {{0, 4, 0, 1, 0, 0, 0, 1}, "unknown frame type"},
        {{0, 255, 0, 0, 0, 0, 0, 0}, "unknown frame type"},
        {{0, 0, 0, 1, 0, 0, 0, 0}, "a stream frame with stream id 0"},
        {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, "a stream frame with stream id 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t cut = 1; cut <= 12; cut++) {
            rig *r = calloc(1, sizeof *r);
            kith_yamux_config c = quiet(false);
            rig_config(r, &c);
            play(r, "< data SYN #1 0\n", cut);
            r->len = 0;
            feed(r, bad[i].h, 12, cut);
            char want[200];
            snprintf(want, sizeof want, "  closed #1 protocol\n  failed protocol: %s\n> goaway 1\n",
                     bad[i].why);
            assert_string_equal(r->text, want);
            rig_fini(r);
        }
    }
}

static void unknown_flags_are_ignored(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    static const uint8_t in[] = {0, 0, 0xff, 0xf1, 0, 0, 0, 1, 0, 0, 0, 1, 'x',
                                 0, 2, 0xff, 0xf1, 0, 0, 0, 0, 0, 0, 0, 5};
    feed(r, in, sizeof in, 7);
    assert_string_equal(r->text, "  opened #1\n"
                                 "  data #1 1\n"
                                 "> ping ACK 5\n"
                                 "> window ACK #1 0\n");
    rig_fini(r);
}

static void a_dead_session_is_silent(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! say #1 5\n"
                       "> data SYN #1 5\n"
                       "! open\n"
                       "! cork\n"
                       "! ping\n"
                       "< ping SYN 7, data SYN #2 0, data SYN #2 0, data SYN #4 0\n"
                       "  opened #2\n"
                       "  closed #1 protocol\n"
                       "  closed #3 protocol\n"
                       "  closed #2 protocol\n"
                       "  failed protocol: a stream was opened twice\n"
                       "! uncork\n"
                       "> goaway 1\n"
                       "! open\n"
                       "  open: state\n"
                       "! ping\n"
                       "! goaway 0\n"
                       "! wait 100000 ms\n"
                       "< data SYN #6 1, ping SYN 1\n");
}

/* ---- ping ---- */

static void pings_are_answered_with_their_value(void **state)
{
    (void)state;
    conversation(true, "< ping SYN 0\n"
                       "> ping ACK 0\n"
                       "< ping SYN 4294967295, ping SYN 1, ping SYN 1\n"
                       "> ping ACK 4294967295\n"
                       "> ping ACK 1\n"
                       "> ping ACK 1\n");
}

static void our_ping_measures_the_round_trip(void **state)
{
    (void)state;
    conversation(true, "! ping\n"
                       "> ping SYN\n"
                       "! ping\n" /* one at a time */
                       "! wait 50 ms\n"
                       "< ping ACK =\n"
                       "  rtt 50 ms\n"
                       "! ping\n"
                       "> ping SYN\n"
                       "! wait 10 ms\n"
                       "< ping ACK =\n"
                       "  rtt 10 ms\n");
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    assert_int_equal(kith_yamux_rtt(r->y), 0);
    play(r, "! ping\n! wait 80 ms\n< ping ACK =\n", 100);
    assert_int_equal(kith_yamux_rtt(r->y), KITH_MS(80));
    play(r, "! ping\n! wait 160 ms\n< ping ACK =\n", 100);
    assert_int_equal(kith_yamux_rtt(r->y), KITH_MS(90)); /* 7/8 of the old, 1/8 of the new */
    rig_fini(r);
}

static void a_ping_answer_must_match_to_the_bit(void **state)
{
    (void)state;
    for (int bit = 0; bit < 32; bit++) {
        rig *r = calloc(1, sizeof *r);
        kith_yamux_config c = quiet(true);
        rig_config(r, &c);
        play(r, "< ping ACK 0\n! ping\n! wait 5 ms\n", 100);
        r->ping ^= 1u << bit;
        r->len = 0;
        play(r, "< ping ACK =\n", 100);
        assert_string_equal(r->text, "< ping ACK =\n");
        r->ping ^= 1u << bit;
        play(r, "< ping =\n< ping ACK =\n< ping ACK =\n", 100); /* neither without flag nor twice */
        assert_string_equal(r->text, "< ping ACK =\n< ping =\n< ping ACK =\n  rtt 5 ms\n< ping ACK =\n");
        rig_fini(r);
    }
}

static void the_17th_ping_of_a_segment_is_dropped(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    uint8_t b[12 * 40];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    for (uint32_t i = 0; i < 40; i++)
        put_frame(&w, 2, 1, 0, i);
    feed(r, b, w.len, 5000);
    char want[1000] = "";
    for (int i = 0; i < 16; i++)
        snprintf(want + strlen(want), 30, "> ping ACK %d\n", i);
    assert_string_equal(r->text, want);
    rig_fini(r);
}

static void silence_is_probed_and_then_fatal(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.ping_every = KITH_SEC(30);
    c.ping_timeout = KITH_SEC(20);
    conversation_with(&c, "! wait 0 ms\n"
                          "> ping SYN\n" /* at once: window tuning wants an RTT */
                          "! wait 5 ms\n"
                          "< ping ACK =\n"
                          "  rtt 5 ms\n"
                          "! wait 29999 ms\n"
                          "! wait 1 ms\n"
                          "> ping SYN\n"
                          "< data SYN #1 1\n"
                          "  opened #1\n"
                          "  data #1 1\n"
                          "> window ACK #1 0\n"
                          "! wait 19999 ms\n"
                          "! wait 1 ms\n"
                          "  closed #1 timeout\n"
                          "  failed timeout: the peer does not answer pings\n");
}

static void whoever_talks_is_alive(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.ping_every = KITH_SEC(30);
    c.ping_timeout = KITH_SEC(20);
    conversation_with(&c, "! wait 0 ms\n"
                          "> ping SYN\n"
                          "! wait 19000 ms\n" /* the answer waits behind bulk data */
                          "< data SYN #1 1\n"
                          "  opened #1\n"
                          "  data #1 1\n"
                          "> window ACK #1 0\n"
                          "! wait 1000 ms\n"
                          "! wait 18999 ms\n"
                          "< ping ACK =\n"
                          "  rtt 38999 ms\n"
                          "! wait 29000 ms\n"
                          "< data #1 1\n"
                          "  data #1 1\n"
                          "! wait 29999 ms\n" /* no ping while the peer talks */
                          "! wait 1 ms\n"
                          "> ping SYN\n");
}

/* The machine was suspended for eight hours while a ping was out. */
static void a_leap_of_the_clock_is_no_silence_of_the_peer(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.ping_every = KITH_SEC(30);
    c.ping_timeout = KITH_SEC(20);
    conversation_with(&c, "! wait 0 ms\n"
                          "> ping SYN\n"
                          "! wait 28800000 ms\n"
                          "! wait 19999 ms\n"
                          "< ping ACK =\n" /* it lay in the socket */
                          "  rtt 28819999 ms\n"
                          "! wait 28800000 ms\n" /* once more, with none out: one ping, at once */
                          "> ping SYN\n"
                          "! wait 28800000 ms\n"
                          "! wait 19999 ms\n"
                          "! wait 1 ms\n" /* and there is nobody any more */
                          "  failed timeout: the peer does not answer pings\n");
}

static void without_keep_alive_no_timer_runs(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    assert_int_equal(kith_yamux_deadline(r->y), KITH_NEVER);
    play(r, "! ping\n", 100);
    assert_int_equal(kith_yamux_deadline(r->y), c.ping_timeout);
    play(r, "< ping ACK =\n", 100);
    assert_int_equal(kith_yamux_deadline(r->y), KITH_NEVER);
    rig_fini(r);
}

/* ---- GoAway ---- */

static void goaway_stops_new_streams_and_nothing_else(void **state)
{
    (void)state;
    conversation(true, "! open\n"
                       "! say #1 1\n"
                       "> data SYN #1 1\n"
                       "! open\n"
                       "< goaway 0\n"
                       "  goaway 0\n"
                       "  closed #3 refused\n" /* its SYN never left */
                       "! open\n"
                       "  open: state\n"
                       "! say #1 2\n"
                       "> data #1 2\n"
                       "< data ACK #1 9\n"
                       "  data #1 9\n"
                       "< data SYN #2 1\n" /* it may still open streams to us */
                       "  opened #2\n"
                       "  data #2 1\n"
                       "> window ACK #2 0\n"
                       "< goaway 2\n");
    conversation(false, "< data SYN #1 1\n"
                        "  opened #1\n"
                        "  data #1 1\n"
                        "> window ACK #1 0\n"
                        "! goaway 0\n"
                        "> goaway 0\n"
                        "! goaway 2\n" /* once */
                        "< data SYN #3 7\n"
                        "> window RST #3 4098\n"
                        "< data #1 1\n"
                        "  data #1 1\n"
                        "! say #1 5\n"
                        "> data #1 5\n"
                        "! open\n"
                        "! say #2 1\n"
                        "> data SYN #2 1\n");
}

/* ---- limits ---- */

static void streams_beyond_the_cap_are_reset_and_the_session_lives(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(false);
    c.streams_in_max = 2;
    conversation_with(&c, "< data SYN #1 0, data SYN #3 0, data SYN #5 9, window SYN #7 0\n"
                          "  opened #1\n"
                          "  opened #3\n"
                          "> window RST #5 4098\n"
                          "> window RST #7 4098\n"
                          "> window ACK #1 0\n"
                          "> window ACK #3 0\n"
                          "< data #5 9, data FIN #7 3\n" /* on their way before our RST came */
                          "< data RST #1 0\n"
                          "  reset #1 0\n"
                          "  closed #1 reset\n"
                          "< data SYN #9 0\n"
                          "  opened #9\n"
                          "> window ACK #9 0\n");
}

static void the_1025th_refused_stream_of_a_segment_ends_the_session(void **state)
{
    (void)state;
    for (size_t n = 1024; n <= 1025; n++) {
        rig *r = calloc(1, sizeof *r);
        kith_yamux_config c = quiet(false);
        c.streams_in_max = 0;
        rig_config(r, &c);
        static uint8_t b[12 * 1025];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        for (size_t i = 0; i < n; i++)
            put_frame(&w, 1, 1, (uint32_t)(2 * i + 1), 0);
        r->corked = true;
        feed(r, b, w.len, sizeof b);
        assert_string_equal(r->text, n == 1024 ? "" : "  failed limit: too many streams beyond the limit\n");
        assert_true(r->heap.peak < 10000);
        r->corked = false;
        settle(r);
        rig_fini(r);
    }
}

static void only_256_streams_may_wait_for_their_ack(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    c.streams_out_max = 1024;
    rig_config(r, &c);
    for (int i = 0; i < 256; i++)
        play(r, "! open\n", 1);
    r->len = 0;
    play(r, "! open\n", 1);
    assert_string_equal(r->text, "! open\n  open: limit\n");
    play(r, "! say #1 1\n! say #3 1\n! say #5 1\n", 1);
    r->len = 0;
    /* an ACK, an answer without the flag, a reset by the peer, one by us */
    play(r, "< window ACK #1 0\n! open\n! open\n", 1);
    assert_string_equal(r->text, "< window ACK #1 0\n! open\n! open\n  open: limit\n");
    r->len = 0;
    play(r, "< data #3 0\n! open\n! open\n", 1);
    assert_string_equal(r->text, "< data #3 0\n! open\n! open\n  open: limit\n");
    r->len = 0;
    play(r, "< window RST #5 0\n! open\n! open\n", 1);
    assert_string_equal(
        r->text, "< window RST #5 0\n  reset #5 0\n  closed #5 reset\n! open\n! open\n  open: limit\n");
    r->len = 0;
    play(r, "! reset #7 0\n! open\n! open\n", 1);
    assert_string_equal(r->text, "! reset #7 0\n  closed #7 reset\n! open\n! open\n  open: limit\n");
    assert_int_equal(kith_yamux_stream_count(r->y), 258);
    rig_fini(r);
}

static void outbound_streams_have_a_cap_of_their_own(void **state)
{
    (void)state;
    kith_yamux_config c = quiet(true);
    c.streams_out_max = 2;
    conversation_with(&c, "! open\n"
                          "! open\n"
                          "! open\n"
                          "  open: limit\n"
                          "! reset #1 0\n"
                          "  closed #1 reset\n"
                          "! open\n");
}

/* Sends n copies of a frame at one moment; the credit starts full. True: the session lives. */
static bool survives(unsigned type, unsigned flags, uint32_t id, uint32_t len, size_t n, const char *before)
{
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    play(r, before, 1000);
    r->len = 0;
    r->corked = true;
    uint8_t b[12 * 64];
    while (n > 0) {
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        for (size_t i = 0; i < 64 && n > 0; i++, n--)
            put_frame(&w, type, flags, id, len);
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
        uint8_t out[4096];
        while (kith_yamux_send(r->y, r->now, kith_span_of(out, sizeof out)) > 0)
            ;
    }
    kith_yamux_check(r->y);
    bool alive = strstr(r->text, "failed") == NULL;
    if (!alive)
        assert_non_null(strstr(r->text, "  failed limit: a flood of frames that carry nothing\n"));
    rig_fini(r);
    return alive;
}

static void floods_end_the_session_exactly_at_the_cap(void **state)
{
    (void)state;
    /* 65536 credits, one per frame; the SYN of the stream cost eight. */
    const char *open = "< data SYN #1 1\n";
    const size_t max = 65536 - 8;
    static const struct {
        unsigned type, flags;
        uint32_t id, len;
    } f[] = {
        {0, 0, 1, 0},    /* empty Data */
        {0, 2, 1, 0},    /* with a stray ACK */
        {1, 0, 1, 0},    /* zero window updates */
        {1, 0, 1, 1023}, /* crumbs of window */
        {2, 1, 0, 7},    /* pings */
        {2, 2, 0, 7},    /* answers to nothing */
        {2, 0, 0, 7},    /* neither */
        {0, 0, 5, 0},    /* frames for unknown streams */
        {1, 0, 5, 9999}, {1, 8, 5, 0}, {0, 12, 5, 0}, {1, 9, 3, 0},
    };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        assert_true(survives(f[i].type, f[i].flags, f[i].id, f[i].len, max, open));
        assert_false(survives(f[i].type, f[i].flags, f[i].id, f[i].len, max + 1, open));
    }
    assert_true(survives(3, 0, 0, 0, max + 1, open)); /* the first GoAway is not useless */
    assert_false(survives(3, 0, 0, 0, max + 2, open));
    /* window that can be of use is free, up to 32 bits */
    assert_true(survives(1, 0, 1, 1024, max + 1000, open));
}

static void opening_and_resetting_streams_is_a_flood_too(void **state)
{
    (void)state;
    /* eight credits to open, eight to reset */
    for (int more = 0; more < 2; more++) {
        rig *r = calloc(1, sizeof *r);
        kith_yamux_config c = quiet(false);
        rig_config(r, &c);
        kith_yamux_event ev;
        size_t n = 65536 / 16, failed = 0, opened = 0;
        for (size_t i = 0; i < n + (size_t)more; i++) {
            uint8_t b[30], out[100];
            kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
            put_frame(&w, 0, 1, (uint32_t)(2 * i + 1), 1);
            kith_put_u8(&w, 'x');
            put_frame(&w, 1, 8, (uint32_t)(2 * i + 1), 0);
            kith_yamux_recv(r->y, 0, kith_wr_bytes(&w));
            while (kith_yamux_next(r->y, &ev)) {
                failed += ev.kind == KITH_YAMUX_FAILED;
                opened += ev.kind == KITH_YAMUX_OPENED;
            }
            while (kith_yamux_send(r->y, 0, kith_span_of(out, sizeof out)) > 0)
                ;
        }
        assert_int_equal(failed, more);
        assert_int_equal(opened, n);
        assert_true(r->heap.peak < 10000);
        rig_fini(r);
    }
}

static void time_and_traffic_bring_credit_back(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    play(r, "< data SYN #1 1\n", 1000);
    static uint8_t b[12 * 10000];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    for (size_t i = 0; i < 10000; i++)
        put_frame(&w, 1, 0, 1, 0);
    /* 10,000 useless frames a second for an hour: tolerated */
    for (int s = 0; s < 3600; s++) {
        r->now += KITH_SEC(1);
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
    }
    assert_null(strstr(r->text, "failed"));
    /* an honest exchange: one small frame each way and three crumbs of window for it, at one moment for ever */
    kith_yamux_stream *s = r->apps[0].s;
    uint8_t in[200], out[200];
    for (int i = 0; i < 200000; i++) {
        kith_yamux_want(r->y, s);
        kith_yamux_turn t;
        assert_true(kith_yamux_turn_next(r->y, r->now, sizeof out, &t));
        assert_int_equal(kith_yamux_turn_end(r->y, r->now, &t, 3, false, out), 15);
        assert_true(kith_yamux_turn_next(r->y, r->now, sizeof out, &t));
        assert_int_equal(kith_yamux_turn_end(r->y, r->now, &t, 0, false, out), 0);
        w = kith_wr_of(kith_span_of(in, sizeof in));
        for (int k = 0; k < 3; k++)
            put_frame(&w, 1, 0, 1, 1);
        put_frame(&w, 0, 0, 1, 3);
        kith_put_str(&w, "abc");
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
        kith_yamux_used(r->y, r->now, s, 3);
        (void)kith_yamux_send(r->y, r->now, kith_span_of(out, sizeof out));
    }
    assert_null(strstr(r->text, "failed"));
    rig_fini(r);
}

static void late_data_is_free_as_far_as_the_window_went_and_costs_beyond(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    play(r, "< data SYN #1 1\n! reset #1 0\n", 1000);
    uint8_t b[13];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_frame(&w, 0, 0, 1, 1);
    kith_put_u8(&w, 'x');
    size_t n = 0;
    for (; strstr(r->text, "failed") == NULL; n++) {
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
    }
    assert_int_equal(n - 1, 262143 + 65536 - 8);
    rig_fini(r);
    /* and a length that no window ever allowed is an error at once */
    kith_yamux_config small = quiet(false);
    small.window_max = 1u << 20;
    conversation_with(&small, "< data #1 1048577 !\n"
                              "  failed protocol: data beyond any window that we granted\n"
                              "> goaway 1\n");
}

static void data_of_a_refused_stream_is_free_until_our_reset_is_there(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    c.streams_in_max = 0;
    rig_config(r, &c);
    play(r, "< data SYN #1 0\n", 1000);
    uint8_t b[13];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_frame(&w, 0, 0, 1, 1);
    kith_put_u8(&w, 'x');
    size_t n = 0;
    for (; strstr(r->text, "failed") == NULL; n++) {
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
    }
    assert_int_equal(n - 1, 262144 + 65536 - 8);
    rig_fini(r);
}

static void received_bytes_bring_credit(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    play(r, "< data SYN #1 0\n", 1000);
    uint8_t b[12];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_frame(&w, 1, 0, 1, 0);
    for (size_t i = 0; i < 65536 - 8; i++) {
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
    }
    play(r, "< data #1 640\n", 1000); /* ten more */
    for (size_t i = 0; i < 10; i++) {
        kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
        events(r);
    }
    assert_null(strstr(r->text, "failed"));
    kith_yamux_recv(r->y, r->now, kith_wr_bytes(&w));
    events(r);
    assert_non_null(strstr(r->text, "failed"));
    rig_fini(r);
}

static void memory_is_small(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    assert_true(r->heap.bytes <= 800);
    size_t idle = r->heap.bytes;
    r->corked = true;
    for (uint32_t i = 0; i < 1024; i++) {
        uint8_t b[12];
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
        put_frame(&w, 1, 1, 2 * i + 1, 0);
        kith_yamux_recv(r->y, 0, kith_wr_bytes(&w));
        events(r);
    }
    assert_int_equal(kith_yamux_stream_count(r->y), 1024);
    assert_true((r->heap.bytes - idle) / 1024 <= 200);
    rig_fini(r);
}

static void bulk_data_allocates_nothing(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(false);
    rig_config(r, &c);
    play(r, "< data SYN #1 0\n", 1000);
    size_t calls = r->heap.calls;
    static uint8_t b[12 + 65536];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    put_frame(&w, 0, 0, 1, 65536);
    for (int i = 0; i < 1000; i++) {
        uint8_t out[40];
        kith_yamux_recv(r->y, r->now, kith_bytes_of(b, sizeof b));
        events(r);
        kith_yamux_used(r->y, r->now, r->apps[0].s, 65536);
        (void)kith_yamux_send(r->y, r->now, kith_span_of(out, sizeof out));
        r->now += KITH_US(100);
    }
    assert_int_equal(r->heap.calls, calls);
    rig_fini(r);
}

/* ---- sizes of what is offered and given ---- */

static void a_frame_fits_the_room_and_room_for_a_header_alone_is_none(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    r->corked = true;
    play(r, "! open\n! say #1 500\n", 100);
    kith_yamux_turn t;
    uint8_t out[200];
    for (size_t room = 0; room <= 12; room++)
        assert_false(kith_yamux_turn_next(r->y, 0, room, &t));
    assert_true(kith_yamux_turn_next(r->y, 0, 13, &t));
    assert_int_equal(t.max, 1);
    assert_int_equal(kith_yamux_turn_end(r->y, 0, &t, 1, false, out), 13);
    assert_true(kith_yamux_turn_next(r->y, 0, 112, &t));
    assert_int_equal(t.max, 100);
    assert_int_equal(kith_yamux_turn_end(r->y, 0, &t, 7, false, out), 19); /* less than offered is fine */
    assert_true(kith_yamux_turn_next(r->y, 0, 1000000, &t));
    assert_int_equal(t.max, 65507);
    rig_fini(r);
}

static void control_frames_wait_for_twelve_bytes_of_room(void **state)
{
    (void)state;
    rig *r = calloc(1, sizeof *r);
    kith_yamux_config c = quiet(true);
    rig_config(r, &c);
    r->corked = true;
    play(r, "< ping SYN 1, ping SYN 2\n! goaway 0\n", 100);
    uint8_t out[40];
    for (size_t room = 0; room < 12; room++)
        assert_int_equal(kith_yamux_send(r->y, 0, kith_span_of(out, room)), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kith_yamux_send(r->y, 0, kith_span_of(out, 23)), 12);
    assert_int_equal(kith_yamux_send(r->y, 0, kith_span_of(out, 23)), 0);
    rig_fini(r);
}

/* ---- wrong bytes ---- */

static void every_truncation_and_every_wrong_byte_is_survived(void **state)
{
    (void)state;
    /* One of everything; the machine keeps its invariants whatever becomes of it. */
    uint8_t good[400];
    kith_wr w = kith_wr_of(kith_span_of(good, sizeof good));
    static const unsigned f[][4] = {{0, 1, 1, 5}, {1, 1, 3, 10}, {0, 0, 1, 9}, {1, 0, 1, 4096}, {2, 1, 0, 7},
                                    {2, 2, 0, 9}, {0, 4, 1, 2},  {1, 8, 3, 5}, {0, 5, 5, 3},    {0, 0, 9, 6},
                                    {1, 2, 5, 0}, {0, 9, 7, 2},  {3, 0, 0, 0}, {1, 5, 11, 0}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        put_frame(&w, f[i][0], f[i][1], f[i][2], f[i][3]);
        for (unsigned k = 0; f[i][0] == 0 && k < f[i][3]; k++)
            kith_put_u8(&w, (uint8_t)k);
    }
    assert_false(w.bad);
    for (size_t at = 0; at <= w.len; at++) {
        for (unsigned flip = 0; flip < (at < w.len ? 256 : 1); flip++) {
            uint8_t bad[400];
            memcpy(bad, good, w.len);
            rig *r = calloc(1, sizeof *r);
            kith_yamux_config c = quiet(false);
            rig_config(r, &c);
            if (flip == 0) {
                feed(r, bad, at, 1000); /* truncated */
            } else {
                bad[at] = (uint8_t)(bad[at] ^ flip);
                feed(r, bad, w.len, flip % 2 ? 1000 : 7);
            }
            kith_yamux_check(r->y);
            assert_true(r->closed <= r->n);
            if (strstr(r->text, "failed"))
                assert_int_equal(r->closed, r->n);
            rig_fini(r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_lives_from_syn_to_both_fins),
        cmocka_unit_test(an_opened_stream_says_nothing_until_it_has_something_to_say),
        cmocka_unit_test(an_ack_rides_on_data_when_there_is_some),
        cmocka_unit_test(flags_come_in_any_company),
        cmocka_unit_test(a_whole_life_fits_in_one_segment),
        cmocka_unit_test(the_length_of_a_reset_is_its_code_and_no_window),
        cmocka_unit_test(our_reset_carries_a_code_and_late_frames_are_dropped),
        cmocka_unit_test(a_stream_that_was_reset_before_its_syn_left_was_never_there),
        cmocka_unit_test(a_reset_of_ours_waits_for_room_without_its_stream),
        cmocka_unit_test(syn_with_rst_opens_nothing),
        cmocka_unit_test(a_reset_in_the_middle_of_a_frame_drops_its_rest),
        cmocka_unit_test(a_reset_from_within_an_event_is_safe),
        cmocka_unit_test(a_reset_between_turn_and_its_end_voids_the_turn),
        cmocka_unit_test(a_sender_stops_at_the_window_and_goes_on_with_an_update),
        cmocka_unit_test(a_fin_needs_no_window),
        cmocka_unit_test(used_bytes_are_granted_again_by_halves),
        cmocka_unit_test(updates_of_a_stream_are_one_frame_however_long_they_wait),
        cmocka_unit_test(a_reader_that_holds_most_of_a_window_does_not_stall),
        cmocka_unit_test(a_reader_that_catches_up_late_keeps_its_window),
        cmocka_unit_test(an_old_round_trip_time_is_measured_anew_by_bulk_data),
        cmocka_unit_test(after_the_peers_fin_no_window_is_granted),
        cmocka_unit_test(data_beyond_the_window_ends_the_session),
        cmocka_unit_test(ghsa_vxx9_2994_q338_an_oversized_data_syn_ends_the_session),
        cmocka_unit_test(a_window_beyond_32_bits_ends_the_session),
        cmocka_unit_test(data_after_fin_ends_the_session_but_a_second_fin_does_not),
        cmocka_unit_test(a_stream_with_an_id_of_ours_ends_the_session),
        cmocka_unit_test(ids_may_come_in_any_order_and_come_back_once_closed),
        cmocka_unit_test(a_stream_opened_twice_ends_the_session),
        cmocka_unit_test(frames_for_streams_that_are_not_there_are_ignored),
        cmocka_unit_test(nonsense_ends_the_session),
        cmocka_unit_test(unknown_flags_are_ignored),
        cmocka_unit_test(a_dead_session_is_silent),
        cmocka_unit_test(pings_are_answered_with_their_value),
        cmocka_unit_test(our_ping_measures_the_round_trip),
        cmocka_unit_test(a_ping_answer_must_match_to_the_bit),
        cmocka_unit_test(the_17th_ping_of_a_segment_is_dropped),
        cmocka_unit_test(silence_is_probed_and_then_fatal),
        cmocka_unit_test(whoever_talks_is_alive),
        cmocka_unit_test(a_leap_of_the_clock_is_no_silence_of_the_peer),
        cmocka_unit_test(without_keep_alive_no_timer_runs),
        cmocka_unit_test(goaway_stops_new_streams_and_nothing_else),
        cmocka_unit_test(streams_beyond_the_cap_are_reset_and_the_session_lives),
        cmocka_unit_test(the_1025th_refused_stream_of_a_segment_ends_the_session),
        cmocka_unit_test(only_256_streams_may_wait_for_their_ack),
        cmocka_unit_test(outbound_streams_have_a_cap_of_their_own),
        cmocka_unit_test(floods_end_the_session_exactly_at_the_cap),
        cmocka_unit_test(opening_and_resetting_streams_is_a_flood_too),
        cmocka_unit_test(time_and_traffic_bring_credit_back),
        cmocka_unit_test(late_data_is_free_as_far_as_the_window_went_and_costs_beyond),
        cmocka_unit_test(data_of_a_refused_stream_is_free_until_our_reset_is_there),
        cmocka_unit_test(received_bytes_bring_credit),
        cmocka_unit_test(memory_is_small),
        cmocka_unit_test(bulk_data_allocates_nothing),
        cmocka_unit_test(a_frame_fits_the_room_and_room_for_a_header_alone_is_none),
        cmocka_unit_test(control_frames_wait_for_twelve_bytes_of_room),
        cmocka_unit_test(every_truncation_and_every_wrong_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
