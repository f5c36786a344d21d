/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* multistream-select against any bytes, in both roles. Whatever the pieces, the outcome is the same. */
#include "proto/mss.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int find(void *ctx, kith_bytes id)
{
    (void)ctx;
    return kith_bytes_eq_str(id, "/a") ? 7 : kith_bytes_eq_str(id, "/noise") ? 0 : -1;
}

typedef struct outcome {
    kith_mss_state state;
    kith_err err;
    int choice;
    size_t used, out_len;
    const char *why;
    uint8_t out[1024];
} outcome;

static void run(kith_bytes in, bool dialer, size_t piece, size_t fail, outcome *o)
{
    tape_env e;
    const kith_env *env = tape_env_init(&e, fail);
    const kith_bytes ids[] = {kith_bytes_str("/b"), kith_bytes_str("/a"), kith_bytes_str("/noise")};
    memset(o, 0, sizeof *o);
    kith_mss *m = !dialer ? kith_mss_listen(env, find, NULL)
                  : fail >= 4
                      ? kith_mss_dial_ahead(env, ids, fail - 3 < 3 ? fail - 3 : 3, 3, kith_bytes_str("ahead"))
                      : kith_mss_dial(env, ids, 3);
    if (!m) {
        assert(fail && e.held == 0);
        return;
    }
    if (!dialer)
        kith_mss_take_ahead(m, 64);
    do {
        for (size_t n;
             (n = kith_mss_send(m, kith_span_of(o->out + o->out_len, sizeof o->out - o->out_len))) > 0;)
            o->out_len += n;
        (void)kith_mss_may_pass(m);
        kith_bytes b = kith_bytes_of(in.p + o->used, in.len - o->used < piece ? in.len - o->used : piece);
        size_t used = 0;
        o->err = kith_mss_recv(m, b, &used);
        assert(used <= b.len);
        o->used += used;
        assert((o->err != KITH_OK) <= (kith_mss_status(m) == KITH_MSS_FAILED));
        assert(used == b.len || kith_mss_status(m) != KITH_MSS_RUNNING);
    } while (o->used < in.len && kith_mss_status(m) == KITH_MSS_RUNNING);
    for (size_t n; (n = kith_mss_send(m, kith_span_of(o->out + o->out_len, sizeof o->out - o->out_len))) > 0;)
        o->out_len += n;
    o->state = kith_mss_status(m);
    o->choice = kith_mss_choice(m);
    o->why = kith_mss_why(m);
    assert((o->state == KITH_MSS_DONE) == (o->choice >= 0));
    assert((o->state == KITH_MSS_FAILED) == (o->why != NULL));
    assert(kith_mss_ahead(m).len <= 64);
    assert(e.held < 4096);
    kith_mss_free(m);
    assert(e.held == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome whole, cut;
    tape t = {data, size};
    uint8_t how = tape_u8(&t);
    bool dialer = how & 1;
    kith_bytes in = kith_bytes_of(t.p, t.len);
    run(in, dialer, (size_t)1 << (how >> 1 & 15), (size_t)how >> 5, &cut);
    /* The dialer refuses answers that come before it could ask, so only the listener takes everything at once. */
    run(in, dialer, dialer ? 3 : SIZE_MAX, 0, &whole);
    run(in, dialer, 1, 0, &cut);
    if (!dialer) {
        assert(whole.state == cut.state && whole.err == cut.err && whole.choice == cut.choice);
        assert(whole.used == cut.used && whole.why == cut.why && whole.out_len == cut.out_len);
        assert(memcmp(whole.out, cut.out, cut.out_len) == 0);
    }
    return 0;
}
