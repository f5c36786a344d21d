/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A gossipsub router against any RPCs and any order of calls, in small caps, with memory that may fail. Messages are without authors
 * (StrictNoSign), so that any bytes can be valid ones. */
#include "crypto/crypto.h"
#include "mesh/gossip.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 4

static const char *const topics[] = {"a", "bb", "ccc", "d", "e", "f"};

static kith_bytes topic_of(tape *t)
{
    return kith_bytes_str(topics[tape_u8(t) % (sizeof topics / sizeof *topics)]);
}

/* An RPC of known parts: more often deep inside than random bytes are. */
static size_t compose(tape *t, uint8_t *out, size_t room)
{
    uint8_t control[512], id[32];
    kith_wr w = kith_wr_of(kith_span_of(out, room)), c = kith_wr_of(kith_span_of(control, sizeof control));
    for (int n = tape_u8(t) % 4; n >= 0; n--) {
        kith_bytes topic = topic_of(t);
        memset(id, tape_u8(t) % 4, sizeof id);
        kith_bytes ids[2] = {kith_bytes_of(id, sizeof id), kith_bytes_of(id, 1)};
        switch (tape_u8(t) % 9) {
        case 0:
            kith_gossip_put_sub(&w, true, topic);
            break;
        case 1:
            kith_gossip_put_sub(&w, false, topic);
            break;
        case 2: {
            uint8_t msg[64];
            kith_wr m = kith_wr_of(kith_span_of(msg, sizeof msg));
            kith_bytes body = tape_bytes(t, tape_u8(t) % 8);
            if (kith_gossip_msg_put(&m, NULL, 0, body, topic) || w.out.len - w.len < 80)
                break;
            kith_put_u8(&w, 0x12);
            kith_put_lp(&w, kith_wr_bytes(&m));
            break;
        }
        case 3:
            kith_gossip_put_graft(&c, topic);
            break;
        case 4:
            kith_gossip_put_prune(&c, topic, (kith_bytes){0}, tape_u8(t));
            break;
        case 5:
            kith_gossip_put_ids(&c, KITH_GOSSIP_IHAVE, topic, ids, 2);
            break;
        case 6:
            kith_gossip_put_ids(&c, KITH_GOSSIP_IWANT, topic, ids, 2);
            break;
        case 7:
            kith_gossip_put_ids(&c, KITH_GOSSIP_IDONTWANT, topic, ids, 2);
            break;
        case 8:
            kith_gossip_put_extensions(&c, tape_u8(t) % 2);
            break;
        }
    }
    kith_gossip_put_control(&w, kith_wr_bytes(&c));
    return w.bad || c.bad ? 0 : w.len;
}

typedef struct fuzz {
    kith_gossip *g;
    kith_gossip_peer *p[PEERS];
    bool writable[PEERS];
    kith_gossip_intake in[PEERS];
    uint8_t last[32]; /* the id of the last message told */
    size_t last_len;
    kith_time now;
} fuzz;

static void hear(fuzz *f, size_t i, size_t room)
{
    uint8_t out[512];
    for (int n = 0; n < 64; n++) {
        size_t k = kith_gossip_send(f->g, f->now, f->p[i], kith_span_of(out, room));
        assert(k <= room);
        if (k == 0)
            break;
    }
}

static void raise(fuzz *f, tape *t, size_t i)
{
    kith_gossip_hello h = {
        .id = {.len = 34, .b = {0x12, 0x20, (uint8_t)i}}, .outbound = tape_u8(t) % 2, .ip_len = 4};
    if (f->p[i])
        return;
    if (kith_gossip_up(f->g, f->now, &h, &f->p[i]))
        f->p[i] = NULL;
    f->in[i] = (kith_gossip_intake){0};
    f->writable[i] = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    const char *why;
    kith_gossip_config cfg;
    if (kith_crypto_init())
        return 0;
    kith_gossip_config_default(&cfg);
    cfg.env = *tape_env_init(&e, tape_u8(&t) % 16 == 0 ? tape_u8(&t) : 0);
    cfg.peers_max = PEERS - 1;
    cfg.retained_max = 2;
    cfg.topics_max = 5;
    cfg.topics_per_peer = 3;
    cfg.queue_max = 3;
    cfg.records_max = 6;
    cfg.events_max = 3;
    cfg.pending_max = 2;
    cfg.unwanted_max = 3;
    cfg.bytes_max = cfg.queue_bytes_max = cfg.message_max = 2048;
    cfg.px = cfg.test_extension = true;
    cfg.flood_publish = tape_u8(&t) % 2;
    cfg.params.d = 2;
    cfg.params.d_lo = cfg.params.d_out = 1;
    cfg.params.d_out = 0;
    cfg.params.d_hi = 2;
    cfg.params.d_score = 1;
    cfg.params.idontwant_min = 3;
    fuzz f = {.now = KITH_SEC(1)};
    f.g = kith_gossip_new(&cfg, f.now, &why);
    if (!f.g) {
        assert(e.held == 0);
        return 0;
    }
    uint8_t rpc[1024];
    while (t.len > 0) {
        size_t i = tape_u8(&t) % PEERS;
        kith_gossip_event ev;
        switch (tape_u8(&t) % 13) {
        case 0:
            raise(&f, &t, i);
            break;
        case 1:
            if (f.p[i])
                kith_gossip_down(f.g, f.now, f.p[i]);
            f.p[i] = NULL;
            break;
        case 2:
            if (!f.p[i])
                raise(&f, &t, i);
            if (f.p[i] && !f.writable[i])
                kith_gossip_writable(f.g, f.now, f.p[i], (kith_gossip_version)(tape_u8(&t) % 5));
            f.writable[i] = f.p[i] != NULL;
            break;
        case 3:
            if (f.p[i])
                kith_gossip_unwritable(f.g, f.p[i]);
            f.writable[i] = false;
            break;
        case 4:
        case 5:
        case 6: {
            if (!f.p[i])
                break;
            bool raw = tape_u8(&t) % 4 == 0;
            kith_bytes in =
                raw ? tape_bytes(&t, tape_u8(&t)) : kith_bytes_of(rpc, compose(&t, rpc, sizeof rpc));
            kith_err err;
            for (int tries = 0; tries < 100; tries++) {
                if (kith_gossip_take(f.g, f.now, f.p[i], &f.in[i], in, &err))
                    break;
                while (kith_gossip_next(f.g, &ev))
                    ;
                kith_gossip_turn(f.g);
            }
            break;
        }
        case 7:
            (void)!kith_gossip_subscribe(f.g, f.now, topic_of(&t), tape_u8(&t) % 2);
            break;
        case 8:
            (void)!kith_gossip_unsubscribe(f.g, f.now, topic_of(&t));
            break;
        case 9:
            (void)!kith_gossip_publish(f.g, f.now, topic_of(&t), tape_bytes(&t, tape_u8(&t) % 16), NULL,
                                       NULL);
            break;
        case 10:
            while (kith_gossip_next(f.g, &ev)) {
                assert(ev.id.len <= sizeof f.last);
                memcpy(f.last, ev.id.p, ev.id.len);
                f.last_len = ev.id.len;
                if (tape_u8(&t) % 2)
                    break;
            }
            break;
        case 11:
            (void)!kith_gossip_judged(f.g, f.now, kith_bytes_of(f.last, f.last_len),
                                      (kith_gossip_verdict)(tape_u8(&t) % 3));
            break;
        case 12:
            f.now += KITH_MS(100) * tape_u8(&t);
            if (kith_gossip_deadline(f.g) <= f.now)
                kith_gossip_tick(f.g, f.now);
            break;
        }
        while (kith_gossip_next_ready(f.g))
            ;
        if (f.p[i])
            hear(&f, i, 1 + tape_u8(&t));
        kith_gossip_check(f.g, f.now);
        assert(e.held < 256 * 1024);
    }
    kith_gossip_free(f.g);
    assert(e.held == 0);
    return 0;
}
