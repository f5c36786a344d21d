/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From how many networks others reach us. */
#include "mesh/inbound.h"

#include "support.h"

static void networks_are_counted_once_and_for_an_hour(void **state)
{
    (void)state;
    kith_inbound in = {0};
    kith_time hour = KITH_SEC(3600);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(5)), 0);
    kith_inbound_note(&in, KITH_SEC(1), 0); /* from no public network */
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(1)), 0);
    for (uint64_t n = 0; n < 10; n++) /* a crowd of one network */
        kith_inbound_note(&in, KITH_SEC(2), 77);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(2)), 1);
    kith_inbound_note(&in, KITH_SEC(3), 78);
    kith_inbound_note(&in, KITH_SEC(4), 79);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(4)), 3);
    kith_inbound_note(&in, KITH_SEC(5), 80); /* in the place of the oldest */
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(2) + hour + 1), 3);
    kith_inbound_note(&in, KITH_SEC(6), 78);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(4) + hour), 3);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(4) + hour + 1), 2);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(6) + hour), 1);
    assert_int_equal(kith_inbound_count(&in, KITH_SEC(6) + hour + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks_are_counted_once_and_for_an_hour)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
