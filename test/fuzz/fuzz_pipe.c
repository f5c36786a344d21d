/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A pipe between an owner and a stream, each doing anything in any order: what comes out is what went in, in order, and nothing is kept
 * beyond the caps. */
#include "apps/pipe.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WINDOW (128u * 1024) /* what the stream's window would let a peer send */

/* Bytes of a stream are told from each other by where they stand in it. */
static void fill(uint8_t *p, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((at + i) * 131 >> 3);
}

static void same(kith_bytes got, uint64_t at)
{
    for (size_t i = 0; i < got.len; i++)
        assert(got.p[i] == (uint8_t)((at + i) * 131 >> 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[KITH_PIPE_OUT_MAX];
    const kith_stream_ops *ops = &kith_pipe_ops;
    tape t = {data, size};
    tape_env e;
    const kith_env *env = tape_env_init(&e, tape_u8(&t));
    kith_pipe *p = kith_pipe_new(env);
    if (!p)
        return 0;
    uint64_t put = 0, sent = 0, came = 0, used = 0;
    bool finished = false, eof = false, over = false, freed = false;
    kith_err err;
    while (t.len > 0) {
        uint8_t op = tape_u8(&t);
        size_t n = (size_t)tape_u8(&t) << (op >> 4);
        switch (op & 7) {
        case 0: /* the owner has something to say */
            n = n < kith_pipe_room(p) ? n : kith_pipe_room(p);
            fill(buf, n, put);
            if (!finished && kith_pipe_put(p, kith_bytes_of(buf, n)) == KITH_OK)
                put += n;
            break;
        case 1: /* the stream takes it */
            if (over || n == 0 || n > sizeof buf)
                break;
            n = ops->send(p, 0, kith_span_of(buf, n));
            same(kith_bytes_of(buf, n), sent);
            sent += n;
            break;
        case 2:
        case 3: /* the peer says something */
            n = n < WINDOW - ops->held(p) ? n : WINDOW - ops->held(p);
            fill(buf, n, came);
            if (over || eof)
                break;
            if (ops->recv(p, 0, kith_bytes_of(buf, n)) != KITH_OK) {
                over = true; /* the stream is reset; what was taken before memory ran out stays */
                ops->gone(p, 0, KITH_ENOMEM);
                came = used + ops->held(p);
            } else {
                came += n;
            }
            break;
        case 4: { /* the owner takes some of it */
            kith_bytes v = kith_pipe_view(p);
            same(v, used);
            n = n < v.len ? n : v.len;
            kith_pipe_used(p, n);
            used += n;
            break;
        }
        case 5:
            if (op & 8) {
                kith_pipe_finish(p);
                finished = true;
            } else if (!over) {
                ops->eof(p, 0);
                eof = true;
            }
            break;
        case 6:
            kith_pipe_seen(p);
            assert(!ops->pending(p));
            break;
        case 7:
            if (!over && (op & 8)) {
                over = true;
                ops->gone(p, 0, op & 16 ? KITH_OK : KITH_ERESET);
                assert(ops->pending(p));
                eof |= (op & 16) != 0;
            } else if (over && !freed) {
                freed = true;
                ops->free(p); /* the owner still holds it */
            }
            break;
        }
        assert(ops->held(p) == came - used && (kith_pipe_view(p).len > 0) == (came > used));
        assert(kith_pipe_room(p) == (finished || over ? 0 : KITH_PIPE_OUT_MAX - (put - sent)));
        assert(ops->want(p) == (finished && put == sent ? KITH_STREAM_FIN : KITH_STREAM_OPEN));
        assert(kith_pipe_ended(p) == (eof && came == used));
        assert(kith_pipe_gone(p, &err) == over);
        assert(e.held <= KITH_PIPE_OUT_MAX * 2 + WINDOW * 2 + 4096);
    }
    for (kith_bytes v; (v = kith_pipe_view(p)).len > 0; used += v.len) {
        same(v, used);
        kith_pipe_used(p, v.len);
    }
    assert(used == came);
    if (!freed)
        ops->free(p);
    kith_pipe_free(p);
    assert(e.held == 0);
    return 0;
}
