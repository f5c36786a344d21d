/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux against any frames and any order of commands, obeying the drive rule; invariants after each step. */
#include "proto/yamux.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 64

typedef struct seen {
    kith_yamux_stream *s; /* NULL: free */
    bool eof;
    uint64_t unread;
} seen;

typedef struct rig {
    kith_yamux *y;
    kith_time now;
    seen at[MAX];
    bool failed;
    uint64_t data;
} rig;

static seen *add(rig *r, kith_yamux_stream *s)
{
    for (size_t i = 0; i < MAX; i++) {
        if (!r->at[i].s) {
            r->at[i] = (seen){.s = s};
            kith_yamux_set_user(s, &r->at[i]);
            return &r->at[i];
        }
    }
    return NULL; /* the caps are lower */
}

static void events(rig *r, tape *t)
{
    kith_yamux_event ev;
    while (kith_yamux_next(r->y, &ev)) {
        kith_yamux_check(r->y);
        assert(!r->failed); /* FAILED is the last */
        seen *x = ev.stream ? kith_yamux_user(ev.stream) : NULL;
        assert(!ev.stream || (x != NULL) == (ev.kind != KITH_YAMUX_OPENED));
        switch (ev.kind) {
        case KITH_YAMUX_OPENED:
            x = add(r, ev.stream);
            assert(x);
            break;
        case KITH_YAMUX_DATA:
            assert(x->s == ev.stream && !x->eof && ev.data.len > 0);
            r->data += ev.data.p[0] + ev.data.p[ev.data.len - 1];
            x->unread += ev.data.len;
            break;
        case KITH_YAMUX_EOF:
            assert(!x->eof);
            x->eof = true;
            break;
        case KITH_YAMUX_RESET:
            break;
        case KITH_YAMUX_CLOSED:
            assert(x->s == ev.stream);
            *x = (seen){0};
            break;
        case KITH_YAMUX_GOAWAY:
        case KITH_YAMUX_RTT:
            break;
        case KITH_YAMUX_FAILED:
            assert(ev.err && ev.why);
            r->failed = true;
            for (size_t i = 0; i < MAX; i++)
                assert(!r->at[i].s);
            break;
        }
        /* now and then from within */
        if (x && x->s && t->len > 0 && *t->p % 32 == 31 && ev.kind != KITH_YAMUX_CLOSED)
            kith_yamux_reset(r->y, x->s, tape_u8(t));
    }
}

static void settle(rig *r, tape *t)
{
    static uint8_t out[70000];
    kith_yamux_check(r->y);
    events(r, t);
    uint8_t how = tape_u8(t);
    if (how & 1) /* the socket is full */
        return;
    size_t room = how & 2 ? how : sizeof out;
    for (size_t n; (n = kith_yamux_send(r->y, r->now, kith_span_of(out, room))) > 0;) {
        assert(n % 12 == 0);
        kith_yamux_check(r->y);
    }
    kith_yamux_turn turn;
    for (int i = 0; i < 40 && kith_yamux_turn_next(r->y, r->now, room, &turn); i++) {
        seen *x = kith_yamux_user(turn.stream);
        assert(x && x->s == turn.stream && turn.max + 12 <= room);
        uint8_t len = tape_u8(t);
        size_t n = len < turn.max ? len : turn.max;
        if (len == 255)
            n = turn.max;
        if (how & 4 && len == 1)
            kith_yamux_reset(r->y, turn.stream, len);
        size_t got = kith_yamux_turn_end(r->y, r->now, &turn, n, len % 8 == 7, out);
        assert(got == 0 || got == 12 + n);
        kith_yamux_check(r->y);
        events(r, t);
    }
    events(r, t);
}

static void feed(rig *r, tape *t, kith_bytes b)
{
    /* in a block of its own size, gone afterwards */
    uint8_t *p = malloc(b.len ? b.len : 1);
    assert(p);
    if (b.len)
        memcpy(p, b.p, b.len);
    kith_yamux_recv(r->y, r->now, kith_bytes_of(p, b.len));
    events(r, t);
    free(p);
    settle(r, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    uint8_t how = tape_u8(&t);
    const kith_env *env = tape_env_init(&e, how >> 3);
    kith_yamux_config c;
    kith_yamux_config_default(&c, env, how & 1);
    c.streams_in_max = MAX / 2;
    c.streams_out_max = MAX / 2;
    c.window_max = how & 2 ? c.window_max : 300000;
    c.budget_max = how & 4 ? c.budget_max : 100000;
    rig r = {.y = kith_yamux_new(&c, 0)};
    if (!r.y) {
        assert(e.held == 0);
        return 0;
    }
    while (t.len > 0) {
        uint8_t op = tape_u8(&t);
        seen *x = &r.at[tape_u8(&t) % MAX];
        switch (op % 12) {
        case 0: /* bytes as they are */
            feed(&r, &t, tape_bytes(&t, tape_u8(&t)));
            break;
        case 1:
        case 2:
        case 3:
        case 4: { /* a frame that makes sense, perhaps with its payload, perhaps cut */
            uint8_t b[12 + 300] = {0};
            b[1] = tape_u8(&t) % 4;
            b[3] = tape_u8(&t) & 15;
            b[7] = tape_u8(&t) & 15;
            uint32_t len = op & 64 ? tape_u32(&t) : tape_u8(&t);
            kith_store_be32(b + 8, len);
            size_t n = 12;
            if (b[1] == 0 && !(op & 128)) {
                kith_bytes body = tape_bytes(&t, len < 300 ? len : 300);
                memcpy(b + 12, body.p ? body.p : b, body.len);
                n += body.len;
            }
            feed(&r, &t, kith_bytes_of(b, n));
            break;
        }
        case 5: {
            kith_yamux_stream *s;
            if (kith_yamux_open(r.y, r.now, &s) == KITH_OK) {
                seen *y = add(&r, s);
                assert(y);
            }
            break;
        }
        case 6:
            if (x->s)
                kith_yamux_want(r.y, x->s);
            break;
        case 7:
            if (x->s) {
                uint64_t n = op & 64 ? x->unread : x->unread / 2;
                x->unread -= n;
                kith_yamux_used(r.y, r.now, x->s, (size_t)n);
            }
            break;
        case 8:
            if (x->s)
                kith_yamux_reset(r.y, x->s, op);
            break;
        case 9:
            if (op & 64)
                kith_yamux_goaway(r.y, op & 3);
            else
                kith_yamux_ping(r.y, r.now);
            break;
        case 10: { /* a window's worth of zeros */
            static const uint8_t zeros[65536];
            feed(&r, &t, kith_bytes_of(zeros, (size_t)tape_u8(&t) * 256));
            break;
        }
        default:
            r.now += op & 64 ? KITH_SEC(tape_u8(&t)) : KITH_MS(tape_u8(&t));
            if (kith_yamux_deadline(r.y) <= r.now)
                kith_yamux_tick(r.y, r.now);
        }
        settle(&r, &t);
        assert(e.held < 64 * 1024);
    }
    kith_yamux_free(r.y);
    assert(e.held == 0);
    return 0;
}
