/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One side of a shared stream, whose peer says anything, and whose owner does anything that it may. */
#include "apps/share_stream.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WINDOW (128u * 1024) /* what the stream's window would let a peer send */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[8192];
    const kith_stream_ops *ops = &kith_share_stream_ops;
    tape t = {data, size};
    tape_env e;
    const kith_env *env = tape_env_init(&e, tape_u8(&t));
    uint8_t kind = tape_u8(&t);
    kith_time now = KITH_SEC(1);
    const kith_bytes word = kith_bytes_str("a word");
    kith_share_stream *m = kind & 1
                               ? kith_share_stream_new_sharer(env, now)
                               : kith_share_stream_new_receiver(env, now, kind & 2 ? word : (kith_bytes){0},
                                                                kind & 2 ? (kith_bytes){0} : word);
    kith_pipe *pipe = NULL;
    kith_share_stream_event ev;
    bool asked = false, open = false, eof = false, fin = false, over = false, finished = false;
    uint64_t came = 0;
    if (!m)
        return 0;
    while (t.len > 0 && !over) {
        uint8_t op = tape_u8(&t);
        switch (op & 7) {
        case 0:
        case 1: { /* the peer says something */
            kith_bytes in = tape_bytes(&t, (size_t)tape_u8(&t) << (op >> 6));
            if (eof || in.len > WINDOW - ops->held(m))
                break;
            came += in.len;
            over = ops->recv(m, now, in) != KITH_OK;
            break;
        }
        case 2:
            if (!eof && op & 8)
                ops->eof(m, now);
            eof |= (op & 8) != 0;
            break;
        case 3: /* the owner of an open one */
            if (open && op & 8 && !finished) {
                size_t n = tape_u8(&t);
                n = n < kith_pipe_room(pipe) ? n : kith_pipe_room(pipe);
                (void)!kith_pipe_put(pipe, kith_bytes_of(buf, n));
            } else if (open && op & 16) {
                kith_pipe_finish(pipe);
                finished = true;
            }
            break;
        case 4:
            if (open)
                kith_pipe_used(pipe, kith_pipe_view(pipe).len);
            break;
        case 5:
            if (op & 8)
                kith_share_stream_pake(m, now, word);
            else if (op & 16 && asked && !open) {
                kith_share_stream_admit(m, now, (op & 32) != 0);
                pipe = kith_share_stream_pipe(m);
                open = true;
            }
            break;
        case 6:
            now += KITH_SEC(1) * tape_u8(&t);
            if (now >= ops->deadline(m))
                ops->tick(m, now);
            break;
        case 7:
            if (op & 8)
                kith_share_stream_stop(m, now, KITH_SHARE_STOPPED);
            else if (op & 16)
                kith_share_stream_silent(m);
            break;
        }
        while (kith_share_stream_next(m, &ev)) {
            asked |= ev.kind == KITH_SHARE_STREAM_ASKED;
            if (ev.kind == KITH_SHARE_STREAM_OPENED) {
                assert(!open && !(kind & 1));
                pipe = kith_share_stream_pipe(m);
                open = true;
            }
        }
        for (size_t n; !fin && !over && (n = ops->send(m, now, kith_span_of(buf, 1 + (op >> 3)))) > 0;)
            assert(n <= 1u + (op >> 3));
        kith_stream_want want = ops->want(m);
        over |= want == KITH_STREAM_RESET;
        fin |= want == KITH_STREAM_FIN;
        kith_share_stream_check(m);
        assert(ops->held(m) <= came);
        assert(e.held <= 2 * KITH_PIPE_OUT_MAX + 2 * WINDOW + (64u << 10));
    }
    ops->gone(m, now, eof && fin ? KITH_OK : KITH_ERESET);
    ops->free(m);
    kith_pipe_free(pipe);
    assert(e.held == 0);
    return 0;
}
