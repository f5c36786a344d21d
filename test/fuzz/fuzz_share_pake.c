/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the proof of a code from both ends: messages of the other side as they are, changed, or made up. Nobody is let in who has not the secret, and the
 * sharer answers no more wrong guesses than it may. */
#include "apps/share_pake.h"
#include "fuzz/tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What comes of a message on its way: the message, or another. True: it is as it was. */
static bool on_its_way(tape *t, uint8_t *msg, size_t *len)
{
    uint8_t op = tape_u8(t), was[KITH_PAKE_ANSWER_LEN];
    size_t n = *len;
    memcpy(was, msg, n);
    if (op & 1) {
        msg[tape_u8(t) % n] ^= tape_u8(t);
    } else if (op & 2) {
        kith_bytes b = tape_bytes(t, tape_u8(t) % (KITH_PAKE_ANSWER_LEN + 1));
        if (b.len > 0)
            memcpy(msg, b.p, b.len);
        *len = b.len;
    }
    return *len == n && memcmp(was, msg, n) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tape t = {data, size};
    tape_env e;
    uint8_t how = tape_u8(&t);
    const kith_env *env = tape_env_init(&e, how >> 5);
    static bool begun;
    if (!begun && kith_crypto_init())
        return 0;
    begun = true;
    kith_code_guard guard = {0};
    uint32_t before = 0;
    for (int round = 0; round < 5 && t.len > 0; round++) {
        uint8_t ours[KITH_PAKE_SECRET_LEN] = {1}, theirs[KITH_PAKE_SECRET_LEN] = {1}, op = tape_u8(&t);
        uint8_t msg[KITH_PAKE_ANSWER_LEN] = {0};
        kith_pake_bond bond = {.tag = {1}}, other = bond;
        bool same = true, right = false;
        theirs[0] += op & 1;
        other.channel[31] = op >> 1 & 1;
        bool may = !(op & 3);
        kith_pake *b = NULL, *a = kith_pake_ask(env, &bond, ours, msg);
        if (!a)
            break;
        size_t len = KITH_PAKE_FIRST_LEN;
        same &= on_its_way(&t, msg, &len);
        uint8_t first[KITH_PAKE_ANSWER_LEN];
        memcpy(first, msg, sizeof first);
        kith_err err = kith_pake_answer(env, &other, theirs, &guard, kith_bytes_of(first, len), &b, msg);
        assert(before < KITH_CODE_GUESSES || err == KITH_EPOLICY);
        if (!err) {
            len = KITH_PAKE_ANSWER_LEN;
            same &= on_its_way(&t, msg, &len);
            uint8_t confirm[KITH_PAKE_ANSWER_LEN] = {0};
            err = kith_pake_confirm(a, kith_bytes_of(msg, len), confirm);
            assert(err || (may && same));
            len = KITH_PAKE_CONFIRM_LEN;
            bool kept = on_its_way(&t, confirm, &len);
            right = kith_pake_check(b, kith_bytes_of(confirm, len)) == KITH_OK;
            assert(right == (!err && kept));
        }
        kith_pake_free(a);
        kith_pake_free(b);
        assert(guard.open == 0 && guard.wrong >= before && guard.wrong <= KITH_CODE_GUESSES);
        assert(!right || guard.wrong == before);
        before = guard.wrong;
    }
    assert(e.held == 0);
    return 0;
}
