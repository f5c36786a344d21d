/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* perf, both sides, against any bytes and any order of calls. */
#include "proto/perf.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kith_stream_ops *ops = &kith_perf_ops;
    tape t = {data, size};
    tape_env e;
    const kith_env *env = tape_env_init(&e, 0);
    bool server = tape_u8(&t) & 1;
    kith_perf *p =
        server ? kith_perf_server(env) : kith_perf_client(env, tape_u32(&t) >> 16, tape_u32(&t) >> 16);
    kith_time now = 0;
    bool eof = false, fin = false;
    uint64_t in = 0, out = 0, sent, received;
    kith_perf_result r;
    while (t.len > 0) {
        now += tape_u8(&t);
        switch (tape_u8(&t) % 4) {
        case 0:
            if (!eof) {
                eof = true;
                ops->eof(p, now);
            }
            break;
        default: {
            kith_bytes b = tape_bytes(&t, tape_u8(&t));
            if (eof)
                break;
            kith_err err = ops->recv(p, now, b);
            in += b.len;
            if (err)
                assert(ops->want(p) == KITH_STREAM_RESET);
        }
        }
        uint8_t buf[512];
        size_t room = 1 + tape_u8(&t);
        for (int i = 0; i < 3 && ops->want(p) != KITH_STREAM_RESET; i++) {
            memset(buf, 0xaa, sizeof buf);
            size_t n = ops->send(p, now, kith_span_of(buf, room));
            assert(n <= room && (!fin || n == 0));
            assert(!server || n == 0 || eof);
            for (size_t k = n; k < sizeof buf; k++)
                assert(buf[k] == 0xaa);
            out += n;
            fin |= ops->want(p) == KITH_STREAM_FIN;
        }
        kith_perf_progress(p, &sent, &received);
        assert(sent <= out && out - sent <= 8 && received <= in);
        if (ops->want(p) == KITH_STREAM_RESET)
            break;
    }
    ops->gone(p, now, eof && fin ? KITH_OK : KITH_ERESET);
    kith_err err = kith_perf_result_get(p, &r);
    assert(err != KITH_ESTATE);
    if (!err)
        assert(eof && fin);
    ops->free(p);
    assert(e.held == 0);
    return 0;
}
