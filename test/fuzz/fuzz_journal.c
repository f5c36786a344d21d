/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The journal of partial content: any bytes give a sound set or none, and a prefix of them never more than was in it. The sums are
 * mended first where the tape says so, so that more than the first record is reached. */
#include "host/share_journal.h"

#include "base/crc32c.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t root[KITH_BLAKE3_LEN] = {1, 2, 3};

/* Writes right sums behind the records, as far as they are whole. */
static void mend(uint8_t *p, size_t len)
{
    for (size_t at = 0; at < len && len - at >= 7;) {
        size_t body = (size_t)p[at + 1] << 8 | p[at + 2];
        uint8_t place[8];
        if (body > len - at - 7)
            return;
        kith_store_be64(place, at);
        uint32_t c = kith_crc32c(0, kith_bytes_of(root, sizeof root));
        c = kith_crc32c(kith_crc32c(c, kith_bytes_of(place, sizeof place)), kith_bytes_of(p + at, 3 + body));
        kith_store_be32(p + at + 3 + body, c);
        at += 7 + body;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[4096];
    tape_env e;
    kith_journal_state st, again;
    if (size == 0 || size > sizeof buf)
        return 0;
    tape_env_init(&e, data[0] >> 1);
    memcpy(buf, data + 1, size - 1);
    if (data[0] & 1)
        mend(buf, size - 1);
    kith_err err = kith_journal_parse(&e.env, kith_bytes_of(buf, size - 1), root, &st);
    kith_leaves_check(&st.here);
    if (!err) {
        assert(st.good <= size - 1);
        e.calls = 0;
        err = kith_journal_parse(&e.env, kith_bytes_of(buf, st.good), root, &again);
        assert(!err && again.good == st.good && again.here.total == st.here.total);
        kith_journal_state_fini(&again, &e.env);
    }
    kith_journal_state_fini(&st, &e.env);
    assert(e.held == 0);
    return 0;
}
