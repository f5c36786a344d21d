/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the record layer: two open machines, records sealed as the input says, put on a wire that the input
 * may cut and change. What arrives must be what was sent, from its start, until the machine dies. */
#include "fuzz/noise_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t wire[1 << 17], sent[1 << 17];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_rd r = kith_rd_of(kith_bytes_of(data, size));
    side *a = fuzz_side(0), *b = fuzz_side(1);
    const kith_noise_suite *suite = kith_noise_suite_find(kith_bytes_str("/noise"));
    fuzz_machine(a, suite, true);
    fuzz_machine(b, suite, false);
    pair_shake(a, b);
    assert(a->ready && b->ready);

    size_t put = 0, got = 0, total = 0; /* bytes on the wire, of them delivered; plaintext */
    while (r.in.len > 0 && !r.bad && !b->failed) {
        unsigned op = kith_get_u8(&r);
        size_t n = kith_get_be16(&r);
        switch (op % 4) {
        case 0: /* a record */
            if (n == 0 || n > KITH_NOISE_PLAIN_MAX || put + n + KITH_NOISE_OVERHEAD > sizeof wire ||
                total + n > sizeof sent)
                break;
            memset(sent + total, (int)(op + n), n);
            put += side_seal(a, sent + total, n, wire + put);
            total += n;
            break;
        case 1: /* deliver n bytes */
            if (n > put - got)
                n = put - got;
            side_feed(b, kith_bytes_of(wire + got, n));
            got += n;
            break;
        case 2: /* change a byte that has not been delivered */
            if (put > got)
                wire[got + n % (put - got)] ^= (uint8_t)(op >> 2);
            break;
        case 3: /* bytes from nowhere */
            if (n > r.in.len)
                n = r.in.len;
            if (n > sizeof wire - put)
                n = sizeof wire - put;
            if (n > 0)
                memcpy(wire + put, kith_get_bytes(&r, n).p, n);
            put += n;
            break;
        }
        assert(b->got_len <= total && (b->got_len == 0 || memcmp(b->got, sent, b->got_len) == 0));
    }
    side_reset(a);
    side_reset(b);
    return 0;
}
