/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages on a stream: both machines against any bytes and any order of calls, and against each other. A receipt is for a message that was
 * put, in the order of the messages, and what both owners see is what they gave each other. */
#include "apps/message_stream.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const kith_stream_ops *const tx_ops = &kith_message_tx_ops, *const rx_ops = &kith_message_rx_ops;

typedef struct run {
    kith_message_tx *tx;
    kith_message_rx *rx;
    kith_time now;
    bool tx_dead, rx_dead, honest; /* nobody has said what the other machine did not */
    uint8_t put, answered;         /* the next id; the next that a receipt is for */
    uint8_t codes[256];            /* what the receiver's owner said of a message */
    uint64_t handed[KITH_MESSAGE_FLIGHT];
    uint8_t handed_id[KITH_MESSAGE_FLIGHT];
    size_t handed_count;
} run;

static void settle(run *r)
{
    kith_message_receipt got;
    while (kith_message_tx_next(r->tx, &got)) {
        assert(got.id[0] == r->answered && got.code >= KITH_MESSAGE_TAKEN && got.code <= KITH_MESSAGE_AHEAD);
        assert(!r->honest || got.code == (kith_message_code)r->codes[got.id[0]]);
        r->answered++;
    }
    assert((uint8_t)(r->put - r->answered) <= KITH_MESSAGE_FLIGHT);
    r->tx_dead = tx_ops->want(r->tx) == KITH_STREAM_RESET;
    r->rx_dead = rx_ops->want(r->rx) == KITH_STREAM_RESET;
    assert(!r->tx_dead || (kith_message_tx_why(r->tx) && tx_ops->deadline(r->tx) == KITH_NEVER));
    assert(!r->rx_dead || rx_ops->deadline(r->rx) == KITH_NEVER);
    kith_message_tx_check(r->tx);
    kith_message_rx_check(r->rx);
}

static void put(run *r, tape *t)
{
    static uint8_t text[65536];
    uint8_t id[KITH_MESSAGE_ID_LEN] = {r->put};
    size_t len = 1 + ((size_t)tape_u8(t) << (tape_u8(t) & 7));
    text[0] = r->put;
    if (!r->tx_dead && kith_message_tx_put(r->tx, r->now, id, kith_bytes_of(text, len)) == KITH_OK)
        r->codes[r->put++] = KITH_MESSAGE_BUSY; /* unless the owner says otherwise */
}

static void hand_out(run *r)
{
    kith_message_arrival a;
    if (r->rx_dead || r->handed_count == KITH_MESSAGE_FLIGHT || !kith_message_rx_next(r->rx, &a))
        return;
    assert(a.message.len >= 1 && a.message.len <= KITH_MESSAGE_MAX);
    r->handed[r->handed_count] = a.number;
    r->handed_id[r->handed_count++] = a.message.p[0];
}

static void reply(run *r, tape *t)
{
    if (r->handed_count == 0)
        return;
    size_t at = tape_u8(t) % r->handed_count;
    uint8_t id[KITH_MESSAGE_ID_LEN] = {r->handed_id[at]}, code = 1 + tape_u8(t) % KITH_MESSAGE_AHEAD;
    if (!r->rx_dead)
        r->codes[id[0]] = code;
    kith_message_rx_answer(r->rx, r->now, r->handed[at], code & 1 || !r->honest ? id : NULL,
                           (kith_message_code)code);
    r->handed_count--;
    r->handed[at] = r->handed[r->handed_count];
    r->handed_id[at] = r->handed_id[r->handed_count];
}

static void pass(run *r, bool forth, size_t room)
{
    static uint8_t buf[65536];
    kith_err e = KITH_OK;
    if (r->tx_dead || r->rx_dead)
        return;
    size_t n = forth ? tx_ops->send(r->tx, r->now, kith_span_of(buf, room))
                     : rx_ops->send(r->rx, r->now, kith_span_of(buf, room));
    if (n > 0)
        e = forth ? rx_ops->recv(r->rx, r->now, kith_bytes_of(buf, n))
                  : tx_ops->recv(r->tx, r->now, kith_bytes_of(buf, n));
    assert(!e || e == KITH_ENOMEM || !r->honest);
}

static void say(run *r, bool forth, kith_bytes in)
{
    if (in.len == 0 || (forth ? r->rx_dead : r->tx_dead))
        return;
    r->honest = false;
    kith_err e = forth ? rx_ops->recv(r->rx, r->now, in) : tx_ops->recv(r->tx, r->now, in);
    (void)e;
}

static void step(run *r, tape *t)
{
    uint8_t what = tape_u8(t);
    bool forth = what & 0x80;
    switch (what & 7) {
    case 0:
        put(r, t);
        break;
    case 1:
    case 2:
        pass(r, forth, (size_t)1 + ((size_t)tape_u8(t) << (what >> 3 & 7)));
        break;
    case 3:
        hand_out(r);
        break;
    case 4:
        reply(r, t);
        break;
    case 5:
        say(r, forth, tape_bytes(t, tape_u8(t)));
        break;
    case 6:
        r->now += KITH_SEC(tape_u8(t));
        if (tx_ops->deadline(r->tx) <= r->now)
            tx_ops->tick(r->tx, r->now);
        if (rx_ops->deadline(r->rx) <= r->now)
            rx_ops->tick(r->rx, r->now);
        break;
    default:
        if (what & 8)
            kith_message_tx_finish(r->tx);
        else if (forth && !r->rx_dead && (what & 0x40))
            rx_ops->eof(r->rx, r->now);
        else if (!r->tx_dead && (what & 0x20))
            tx_ops->eof(r->tx, r->now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kith_peer_id peer = {.b = {1}, .len = 1};
    tape t = {data, size};
    tape_env e;
    const kith_env *env = tape_env_init(&e, tape_u8(&t));
    kith_message_door *d = kith_message_door_new(env, 1 + tape_u8(&t));
    run r = {.honest = true};
    r.tx = d ? kith_message_tx_new(env) : NULL;
    r.rx = r.tx ? kith_message_rx_new(env, d, &peer) : NULL;
    while (r.rx && t.len > 0) {
        step(&r, &t);
        settle(&r);
        assert(e.held < 2 * (KITH_MESSAGE_FLIGHT_BYTES + KITH_MESSAGE_FLIGHT_BYTES / 4) + 8192);
    }
    if (r.rx)
        rx_ops->gone(r.rx, r.now, KITH_ERESET);
    if (r.tx)
        tx_ops->gone(r.tx, r.now, KITH_ERESET);
    tx_ops->free(r.tx);
    rx_ops->free(r.rx);
    kith_message_door_free(d);
    assert(e.held == 0);
    return 0;
}
