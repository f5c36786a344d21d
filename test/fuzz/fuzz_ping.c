/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ping, both sides, against any bytes and any order of calls. */
#include "proto/ping.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kith_stream_ops *ops = &kith_ping_ops;
    tape t = {data, size};
    tape_env e;
    uint8_t how = tape_u8(&t);
    const kith_env *env = tape_env_init(&e, how >> 1);
    bool asker = how & 1;
    kith_ping *p = asker ? kith_ping_new(env) : kith_ping_new_responder(env);
    if (!p)
        return 0;
    kith_time now = 0;
    uint8_t sent[64] = {0};
    size_t last = 0;
    uint64_t in = 0, out = 0;
    bool under_way = false, eof = false, dead = false;
    while (t.len > 0 && !dead) {
        switch (tape_u8(&t) % 8) {
        case 0:
        case 1: {
            kith_bytes b = tape_bytes(&t, tape_u8(&t));
            if (eof)
                break;
            kith_err err = ops->recv(p, now, b);
            in += b.len;
            dead = err != KITH_OK;
            break;
        }
        case 2: /* the true echo */
            if (!eof)
                dead = ops->recv(p, now, kith_bytes_of(sent, last)) != KITH_OK;
            in += last;
            last = 0;
            break;
        case 3:
            if (kith_ping_start(p, now) == KITH_OK) {
                assert(asker && !under_way);
                under_way = true;
            }
            break;
        case 4:
            eof = true;
            ops->eof(p, now);
            break;
        case 5:
            kith_ping_close(p);
            break;
        default:
            now += KITH_MS(tape_u8(&t)) * 50;
            if (ops->deadline(p) <= now)
                ops->tick(p, now);
        }
        size_t room = 1 + tape_u8(&t) % 40;
        for (size_t n; (n = ops->send(p, now, kith_span_of(sent, room))) > 0; last = n)
            out += n;
        kith_ping_event ev;
        while (kith_ping_next(p, &ev)) {
            assert(under_way || ev.kind == KITH_PING_FAILED);
            under_way = false;
            assert(ev.kind == KITH_PING_RTT || (ev.err && ev.why));
        }
        assert(!ops->pending(p));
        assert(ops->held(p) <= KITH_PING_LEN * KITH_PING_QUEUE);
        if (!asker)
            assert(out <= in && out % KITH_PING_LEN == 0);
        dead |= ops->want(p) != KITH_STREAM_OPEN;
        assert(e.held < 8192);
    }
    ops->gone(p, now, KITH_ERESET);
    ops->free(p);
    assert(e.held == 0);
    return 0;
}
