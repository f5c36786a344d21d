/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The reputation under any conduct at any time, with memory that runs out, and with rows from any file. */
#include "mesh/reputation.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kith_peer_id peer(uint8_t n)
{
    return (kith_peer_id){.len = 34, .b = {0x12, 32, n}};
}

static bool exempt(void *ctx, const kith_peer_id *id)
{
    (void)ctx;
    return id->b[2] == 1;
}

static void put(kith_reputation *r, tape *t, uint64_t unix)
{
    kith_reputation_row row = {
        .peer = peer(tape_u8(t)), .at = tape_u32(t), .banned_until = tape_u32(t), .bans = tape_u32(t)};
    for (int k = 0; k < KITH_CONDUCTS; k++)
        row.points[k] = (int32_t)tape_u32(t);
    kith_reputation_put(r, &row, unix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    kith_reputation_config cfg;
    kith_reputation_config_default(&cfg);
    cfg.env = *tape_env_init(&e, tape_u8(&t));
    cfg.peers_max = tape_u8(&t) % 8;
    cfg.exempt = exempt;
    kith_reputation *r = kith_reputation_new(&cfg);
    uint64_t unix = 1800000000;
    while (r && t.len > 0) {
        kith_peer_id id = peer(tape_u8(&t) % 16);
        uint8_t op = tape_u8(&t);
        kith_reputation_facts f;
        kith_reputation_row row;
        switch (op % 8) {
        case 0:
        case 1:
            kith_reputation_note(r, &id, (kith_conduct)(op / 8 % KITH_CONDUCTS), unix);
            break;
        case 2:
            kith_reputation_rtt(r, &id, (kith_time)tape_u32(&t) * 1000, unix);
            break;
        case 3:
            kith_reputation_gossip(r, &id, (double)(int32_t)tape_u32(&t) / 1000, unix);
            break;
        case 4:
            unix += (uint64_t)op << (tape_u8(&t) % 40);
            break;
        case 5:
            put(r, &t, unix);
            break;
        case 6:
            (void)kith_reputation_lift(r, &id, unix);
            (void)kith_reputation_take(r, &row);
            break;
        default:
            (void)kith_reputation_next_banned(r, &id);
            unix -= unix > op ? op : 0;
            break;
        }
        kith_reputation_check(r);
        id = peer(1);
        assert(!kith_reputation_look(r, &id, unix, &f) || f.score >= -600 * KITH_REPUTATION_POINT);
    }
    kith_reputation_free(r);
    assert(e.held == 0);
    return 0;
}
