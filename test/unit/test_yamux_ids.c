/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The end of yamux's stream ids, which nobody reaches by counting: this test is compiled together with the machine. */
#include "proto/yamux.c"

#include "support.h"

static void ids_run_out_at_the_end_of_32_bits(void **state)
{
    (void)state;
    for (int dialer = 0; dialer < 2; dialer++) {
        support_heap heap;
        kith_yamux_config c;
        kith_yamux_config_default(&c, support_env(&heap), dialer);
        kith_yamux *y = kith_yamux_new(&c, 0);
        kith_yamux_stream *s;
        uint32_t last = dialer ? UINT32_MAX : UINT32_MAX - 1;
        assert_int_equal(y->next_id, dialer ? 1 : 2);
        y->next_id = last - 2;
        assert_int_equal(kith_yamux_open(y, 0, &s), KITH_OK);
        assert_int_equal(kith_yamux_stream_id(s), last - 2);
        assert_int_equal(kith_yamux_open(y, 0, &s), KITH_OK);
        assert_int_equal(kith_yamux_stream_id(s), last);
        assert_int_equal(kith_yamux_open(y, 0, &s), KITH_ESTATE);
        kith_yamux_check(y);
        kith_yamux_free(y);
        support_heap_check(&heap);
    }
}

/* What a stranger may choose must not say where it lies in the table. */
static void a_peers_ids_cannot_be_made_to_collide(void **state)
{
    (void)state;
    support_heap heap;
    kith_yamux_config c;
    kith_yamux_config_default(&c, support_env(&heap), false);
    kith_yamux *one = kith_yamux_new(&c, 0), *two = kith_yamux_new(&c, 0);
    assert_int_not_equal(map_key(one, 1) >> 32, map_key(two, 1) >> 32);
    assert_int_equal((uint32_t)map_key(one, 77), 77); /* and never do two of them share a key */
    kith_yamux_free(one);
    kith_yamux_free(two);
    support_heap_check(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_run_out_at_the_end_of_32_bits),
        cmocka_unit_test(a_peers_ids_cannot_be_made_to_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
