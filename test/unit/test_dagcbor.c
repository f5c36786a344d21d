/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DAG-CBOR maps: the one form of each, and nothing else. */
#include "support.h"
#include "wire/dagcbor.h"

/* How many entries a map has; -1: it is none. */
static int entries(const char *hex)
{
    kith_span b = support_hex(hex);
    kith_dagcbor_map m = kith_dagcbor_map_of(kith_span_bytes(b));
    kith_dagcbor_entry e;
    int n = 0;
    while (kith_dagcbor_next(&m, &e))
        n++;
    free(b.p);
    return m.in.bad ? -1 : n;
}

static void entries_come_as_they_stand(void **state)
{
    (void)state;
    /* {"n": 300, "bb": h'0102', "bc": [1, {"x": -1}]} */
    kith_span b = support_hex("a3616e19012c62626242010262626382"
                              "01a1617820");
    kith_dagcbor_map m = kith_dagcbor_map_of(kith_span_bytes(b));
    kith_dagcbor_entry e;
    assert_true(kith_dagcbor_next(&m, &e));
    support_assert_str(e.key, "n");
    assert_true(e.kind == KITH_DAGCBOR_UINT && e.num == 300);
    assert_true(kith_dagcbor_next(&m, &e));
    support_assert_str(e.key, "bb");
    assert_int_equal(e.kind, KITH_DAGCBOR_BYTES);
    support_assert_hex(e.data, "0102");
    assert_true(kith_dagcbor_next(&m, &e));
    assert_int_equal(e.kind, KITH_DAGCBOR_OTHER);
    assert_false(kith_dagcbor_next(&m, &e));
    assert_false(m.in.bad);
    free(b.p);
}

static void only_one_form_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a0",                         /* {} */
        "a161611bffffffffffffffff",   /* {"a": 2^64-1} */
        "a16161f5",                   /* true */
        "a16161f6",                   /* null */
        "a16161fb3ff8000000000000",   /* 1.5 */
        "a16161d82a4100",             /* a link */
        "a1616181818181818181818180", /* lists in lists */
        "a2616100616200",             /* sorted */
        "a261620062616100",           /* the shorter first */
        "a16000",                     /* a key of no length */
    };
    static const char *const bad[] = {
        "",                             /* nothing */
        "80",                           /* a list */
        "a000",                         /* and more behind it */
        "a1",                           /* too short */
        "a16161",                       /* without a value */
        "a2616100",                     /* one of two */
        "a1616118",                     /* a head cut off */
        "a161611801",                   /* 1 in two bytes */
        "a1616119000a",                 /* 10 in three */
        "a161611a00000100",             /* 256 in five */
        "a161611b00000000ffffffff",     /* 2^32-1 in nine */
        "b801616100",                   /* and so the map's own */
        "bf616100ff",                   /* without a length */
        "a161615f4100ff",               /* and so bytes */
        "a161619f00ff",                 /* and lists */
        "a16161f7",                     /* undefined */
        "a16161f93e00",                 /* a half float */
        "a16161fa3fc00000",             /* a single */
        "a16161f818",                   /* another simple value */
        "a16161c100",                   /* another tag */
        "a16161d82a",                   /* a tag of nothing */
        "a1616142ff",                   /* bytes beyond the end */
        "a161619affffffff",             /* a list of more than there is */
        "a16161bb80000000000000010000", /* a map whose count wraps */
        "a161618200",                   /* one of two in a list */
        "a1410000",                     /* a key that is bytes */
        "a10000",                       /* a number */
        "a2616200616100",               /* not sorted */
        "a262616100616200",             /* the longer first */
        "a2616100616100",               /* twice */
        "a260006000",                   /* the empty one twice */
        "bbffffffffffffffff",           /* more entries than bytes */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (entries(good[i]) < 0)
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (entries(bad[i]) >= 0)
            fail_msg("%s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_as_they_stand),
        cmocka_unit_test(only_one_form_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
