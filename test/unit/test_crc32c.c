/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support.h"

#include "base/crc32c.h"

/* RFC 3720, appendix B.4, as numbers: the RFC prints their bytes in the order of the wire, the lowest first. */
static void the_values_of_the_rfc(void **state)
{
    (void)state;
    uint8_t b[32] = {0};
    assert_int_equal(kith_crc32c(0, kith_bytes_of(b, 32)), 0x8a9136aau);
    memset(b, 0xff, sizeof b);
    assert_int_equal(kith_crc32c(0, kith_bytes_of(b, 32)), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        b[i] = i;
    assert_int_equal(kith_crc32c(0, kith_bytes_of(b, 32)), 0x46dd794eu);
}

static void a_sum_goes_on_where_it_stopped(void **state)
{
    (void)state;
    const kith_bytes all = kith_bytes_str("123456789");
    assert_int_equal(kith_crc32c(0, all), 0xe3069283u);
    for (size_t n = 0; n <= all.len; n++)
        assert_int_equal(kith_crc32c(kith_crc32c(0, kith_bytes_of(all.p, n)), kith_bytes_skip(all, n)),
                         0xe3069283u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_of_the_rfc),
        cmocka_unit_test(a_sum_goes_on_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
