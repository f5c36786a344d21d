/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* rekey, both sides, against any bytes and any order of calls, and against each other with bytes changed on the way. */
#include "crypto/crypto.h"
#include "proto/rekey.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const kith_stream_ops *const ops = &kith_rekey_ops;

typedef struct end {
    kith_rekey *r;
    bool dead, has_keys;
    kith_noise_keys keys;
    uint64_t in, out;
} end;

static void settle(end *e)
{
    if (kith_rekey_take(e->r, &e->keys)) {
        assert(!e->has_keys && !e->dead);
        e->has_keys = true;
    }
    e->dead = ops->want(e->r) == KITH_STREAM_RESET;
    assert(!e->dead || ops->deadline(e->r) == KITH_NEVER);
}

static void feed(end *e, kith_time now, kith_bytes in)
{
    if (e->dead)
        return;
    kith_err err = ops->recv(e->r, now, in);
    e->in += in.len;
    settle(e);
    assert(e->dead == (err != KITH_OK));
}

/* Up to `room` bytes of one to the other, one of them changed. */
static void pass(end *from, end *to, kith_time now, size_t room, size_t at, uint8_t change)
{
    uint8_t buf[256];
    size_t n = from->dead ? 0 : ops->send(from->r, now, kith_span_of(buf, room));
    from->out += n;
    if (n == 0)
        return;
    buf[at % n] ^= change;
    feed(to, now, kith_bytes_of(buf, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kith_kem_alg kems[] = {KITH_KEM_NONE, KITH_KEM_MLKEM512, KITH_KEM_MLKEM768,
                                        KITH_KEM_MLKEM1024};
    static const uint8_t hash[32] = {1};
    uint8_t chain[2][32] = {{2}, {2}};
    tape t = {data, size};
    tape_env e;
    kith_err err = kith_crypto_init();
    assert(!err);
    uint8_t how = tape_u8(&t);
    chain[1][0] ^= (how & 0x80) != 0;
    kith_rekey_config cfg = {
        .env = tape_env_init(&e, how >> 2 & 3), .kem = kems[how & 3], .hash = hash, .chain = chain[0]};
    end a = {.r = kith_rekey_new(&cfg, 0)}, b = {0};
    cfg.chain = chain[1];
    b.r = kith_rekey_new_answerer(&cfg, 0);
    kith_time now = 0;
    while (a.r && b.r && t.len > 0) {
        uint8_t what = tape_u8(&t);
        end *x = what & 0x80 ? &b : &a, *y = what & 0x80 ? &a : &b;
        switch (what & 7) {
        case 0:
        case 1:
        case 2:
            pass(x, y, now, (size_t)1 + tape_u8(&t), 0, 0);
            break;
        case 3: {
            size_t at = tape_u8(&t);
            pass(x, y, now, 256, at, tape_u8(&t));
            break;
        }
        case 4:
            feed(x, now, tape_bytes(&t, tape_u8(&t)));
            break;
        case 5:
            ops->eof(x->r, now);
            settle(x);
            break;
        case 6: /* all that there is */
            while (!x->dead && !y->dead && ops->want(x->r) == KITH_STREAM_OPEN && x->out < 4096) {
                uint64_t before = x->out;
                pass(x, y, now, 256, 0, 0);
                if (x->out == before)
                    break;
            }
            break;
        default:
            now += KITH_SEC(tape_u8(&t));
            if (ops->deadline(x->r) <= now)
                ops->tick(x->r, now);
            settle(x);
        }
        /* An asker that has keys has those of the answerer, whatever was done to the bytes; and none without the same chain. */
        assert(!a.has_keys || (b.has_keys && memcmp(&a.keys, &b.keys, sizeof a.keys) == 0 && !(how & 0x80)));
        assert(e.held < 16384);
    }
    if (a.r)
        ops->gone(a.r, now, KITH_ERESET);
    ops->free(a.r);
    ops->free(b.r);
    assert(e.held == 0);
    return 0;
}
