/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* yamux alone, two machines back to back in memory: bytes and frames per second, and what a frame costs. The payload is not touched, so
 * bytes per second only say that yamux copies nothing; the time per frame is the figure. usage: yamux [MIB [STREAMS [FRAME]]] */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"
#include "proto/yamux.h"

static size_t allocations;

static void *heap(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx;
    allocations += size > 0;
    return kith_heap(NULL, p, old, size);
}

static void dice(void *ctx, kith_span out)
{
    (void)ctx;
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = (uint8_t)rand();
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void drain(kith_yamux *y, kith_time now, uint64_t *bytes)
{
    kith_yamux_event ev;
    while (kith_yamux_next(y, &ev)) {
        assert(ev.kind != KITH_YAMUX_FAILED);
        if (ev.kind == KITH_YAMUX_DATA) {
            *bytes += ev.data.len;
            kith_yamux_used(y, now, ev.stream, ev.data.len);
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t total = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) << 20;
    size_t streams = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    kith_env env = {.alloc = {.fn = heap}, .rand = {.fn = dice}};
    kith_yamux_config c;
    kith_yamux_config_default(&c, &env, true);
    if (argc > 3)
        c.frame_max = (uint32_t)strtoul(argv[3], NULL, 10);
    static uint8_t buf[256 * 1024], back[64 * 1024];
    kith_time now = 0;
    kith_yamux *a = kith_yamux_new(&c, now);
    c.dialer = false;
    kith_yamux *b = kith_yamux_new(&c, now);
    uint64_t got = 0, frames = 0, turns = 0, none = 0, updates = 0;
    for (size_t i = 0; i < streams; i++) {
        kith_yamux_stream *s;
        if (kith_yamux_open(a, now, &s) != KITH_OK)
            return 1;
        kith_yamux_want(a, s);
    }
    size_t warm = 0;
    uint64_t start = cpu_ns();
    while (got < total) {
        now += KITH_US(50);
        size_t n = kith_yamux_send(a, now, kith_span_of(buf, sizeof buf));
        kith_yamux_turn t;
        while (kith_yamux_turn_next(a, now, sizeof buf - n, &t)) {
            size_t len = t.max;
            n += kith_yamux_turn_end(a, now, &t, len, false, buf + n);
            frames += len > 0;
        }
        kith_yamux_recv(b, now, kith_bytes_of(buf, n));
        drain(b, now, &got);
        n = kith_yamux_send(b, now, kith_span_of(back, sizeof back));
        updates += n / KITH_YAMUX_HDR_LEN;
        kith_yamux_recv(a, now, kith_bytes_of(back, n));
        drain(a, now, &none);
        if (++turns == 1000)
            warm = allocations;
    }
    double s = (double)(cpu_ns() - start) / 1e9;
    printf(
        "%llu MiB in %.4f s: %.1f GB/s, %llu frames, %.1f ns per frame both sides together, %llu frames back, "
        "%zu allocations after the start\n",
        (unsigned long long)(got >> 20), s, (double)got / s / 1e9, (unsigned long long)frames,
        s * 1e9 / (double)frames, (unsigned long long)updates, turns > 1000 ? allocations - warm : 0);
    kith_yamux_free(a);
    kith_yamux_free(b);
    return 0;
}
