/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The store keeps what it is given until that expires, and no more than its caps allow anybody. */
#include <stdio.h>

#include "mesh/kad_store.h"
#include "support.h"

#define DAY (24u * 3600)

static support_heap heap;

typedef struct journal {
    unsigned puts, gone;
} journal;
static journal noted;

static void on_put(void *ctx, const kith_kad_row *row)
{
    (void)row;
    ((journal *)ctx)->puts++;
}

static void on_gone(void *ctx, const kith_kad_row *row)
{
    assert_int_equal(row->data.len, 0);
    ((journal *)ctx)->gone++;
}

static kith_kad_store *store(void)
{
    kith_kad_store_config cfg;
    kith_kad_store_config_default(&cfg);
    cfg.env = *support_env(&heap);
    cfg.values_max = 16;
    cfg.values_bytes_max = 1000;
    cfg.providers_max = 64;
    cfg.providers_per_peer = 10;
    cfg.providers_per_key = 6;
    cfg.put = on_put;
    cfg.gone = on_gone;
    cfg.ctx = &noted;
    noted = (journal){0};
    kith_kad_store *s = kith_kad_store_new(&cfg);
    assert_non_null(s);
    return s;
}

static void done(kith_kad_store *s)
{
    kith_kad_store_check(s);
    kith_kad_store_free(s);
    support_heap_check(&heap);
}

static kith_peer_id peer(unsigned n)
{
    return (kith_peer_id){.len = 34, .b = {0x12, 32, (uint8_t)n, (uint8_t)(n >> 8)}};
}

static kith_err put_value(kith_kad_store *s, uint64_t now, const char *key, const char *value, uint64_t group)
{
    kith_kad_row r = {
        .key = kith_bytes_str(key), .data = kith_bytes_str(value), .received = now, .group = group};
    return kith_kad_store_put(s, &r);
}

static kith_err put_provider(kith_kad_store *s, uint64_t now, const char *key, unsigned who, uint64_t group)
{
    kith_kad_row r = {.key = kith_bytes_str(key),
                      .provider = peer(who),
                      .data = kith_bytes_str("addrs"),
                      .received = now,
                      .group = group};
    return kith_kad_store_put(s, &r);
}

static unsigned providers(const kith_kad_store *s, uint64_t now, const char *key, unsigned *who)
{
    const void *at = NULL;
    kith_kad_row row;
    unsigned n = 0;
    while (kith_kad_store_provider(s, now, kith_bytes_str(key), &at, &row)) {
        if (who)
            who[n] = row.provider.b[2] | (unsigned)row.provider.b[3] << 8;
        n++;
    }
    return n;
}

static void a_value_is_replaced_and_expires(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    kith_kad_row row;
    assert_false(kith_kad_store_value(s, 0, kith_bytes_str("/x/a"), &row));
    assert_int_equal(kith_kad_store_next(s), UINT64_MAX);
    assert_int_equal(put_value(s, 100, "/x/a", "one", 0), KITH_OK);
    assert_int_equal(put_value(s, 200, "/x/a", "two", 0), KITH_OK);
    assert_int_equal(kith_kad_store_look(s).values, 1);
    assert_int_equal(kith_kad_store_look(s).values_bytes, 7);
    assert_true(kith_kad_store_value(s, 200 + 2 * DAY - 1, kith_bytes_str("/x/a"), &row));
    support_assert_str(row.data, "two");
    assert_int_equal(row.received, 200);
    assert_false(kith_kad_store_value(s, 200 + 2 * DAY, kith_bytes_str("/x/a"), &row));
    assert_int_equal(kith_kad_store_next(s), 200 + 2 * DAY);
    kith_kad_store_expire(s, 200 + 2 * DAY - 1);
    assert_int_equal(kith_kad_store_look(s).values, 1);
    kith_kad_store_expire(s, 200 + 2 * DAY);
    assert_int_equal(kith_kad_store_look(s).values, 0);
    assert_int_equal(noted.puts, 2);
    assert_int_equal(noted.gone, 1);
    done(s);
}

static void providers_come_newest_first_and_each_once(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    unsigned who[6];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put_provider(s, i, "k", i, 0), KITH_OK);
    assert_int_equal(put_provider(s, 10, "k", 1, 0), KITH_OK); /* again */
    assert_int_equal(providers(s, 10, "k", who), 4);
    assert_true(who[0] == 1 && who[1] == 3 && who[2] == 2 && who[3] == 0);
    assert_int_equal(providers(s, 10, "other", NULL), 0);
    assert_int_equal(providers(s, 2 * DAY + 2, "k", NULL), 2); /* 1 and 3 */
    kith_kad_store_expire(s, 2 * DAY + 2);
    assert_int_equal(kith_kad_store_look(s).providers, 2);
    /* A value under the same key is something else. */
    kith_kad_row row;
    assert_false(kith_kad_store_value(s, 10, kith_bytes_str("k"), &row));
    done(s);
}

static void values_have_their_caps(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    char key[16], big[1001];
    for (unsigned i = 0; i < 16; i++) {
        snprintf(key, sizeof key, "/x/%02u", i);
        assert_int_equal(put_value(s, 1, key, "v", 0), KITH_OK);
    }
    assert_int_equal(put_value(s, 1, "/x/16", "v", 0), KITH_ELIMIT);
    assert_int_equal(put_value(s, 1, "/x/00", "again", 0), KITH_OK); /* no new one */
    size_t used = kith_kad_store_look(s).values_bytes;
    memset(big, 'b', sizeof big);
    big[1000 - used + 5] = 0; /* what fills it to the last byte, in the place of "again" */
    assert_int_equal(put_value(s, 1, "/x/00", big, 0), KITH_OK);
    assert_int_equal(kith_kad_store_look(s).values_bytes, 1000);
    assert_int_equal(put_value(s, 1, "/x/01", "vv", 0), KITH_ELIMIT);
    assert_int_equal(put_value(s, 1 + 2 * DAY, "/x/16", "v", 0), KITH_OK); /* all else has expired */
    assert_int_equal(kith_kad_store_look(s).values, 1);
    done(s);
}

static void a_group_has_an_eighth(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    assert_int_equal(put_value(s, 1, "/x/a", "v", 9), KITH_OK);
    assert_int_equal(put_value(s, 1, "/x/b", "v", 9), KITH_OK);
    assert_int_equal(put_value(s, 1, "/x/c", "v", 9), KITH_ELIMIT);
    assert_int_equal(put_value(s, 1, "/x/b", "w", 9), KITH_OK);
    assert_int_equal(put_value(s, 1, "/x/c", "v", 10), KITH_OK);
    char key[16];
    for (unsigned i = 0; i < 8; i++) {
        snprintf(key, sizeof key, "p%u", i);
        assert_int_equal(put_provider(s, 1, key, i, 9), KITH_OK);
    }
    assert_int_equal(put_provider(s, 1, "p9", 9, 9), KITH_ELIMIT);
    assert_int_equal(put_provider(s, 1, "p9", 9, 10), KITH_OK);
    assert_int_equal(put_provider(s, 1, "p1", 1, 9), KITH_OK); /* no new one */
    done(s);
}

static void a_peer_has_its_keys_and_all_together_theirs(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    char key[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "a%u", i);
        assert_int_equal(put_provider(s, 1, key, 1, 0), KITH_OK);
    }
    assert_int_equal(put_provider(s, 1, "b", 1, 0), KITH_ELIMIT);
    for (unsigned i = 10; i < 64; i++) {
        snprintf(key, sizeof key, "a%u", i);
        assert_int_equal(put_provider(s, 1, key, i, 0), KITH_OK);
    }
    assert_int_equal(put_provider(s, 1, "b", 100, 0), KITH_ELIMIT);
    assert_int_equal(kith_kad_store_look(s).providers, 64);
    done(s);
}

static void a_flood_from_one_network_leaves_other_providers_alone(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    unsigned who[6];
    assert_int_equal(put_provider(s, 1, "k", 1, 5), KITH_OK);
    assert_int_equal(put_provider(s, 1, "k", 2, 6), KITH_OK);
    for (unsigned i = 10; i < 14; i++)
        assert_int_equal(put_provider(s, 1, "k", i, 7), KITH_OK);
    for (unsigned i = 20; i < 40; i++) /* the flood has most already: it gets nothing more */
        assert_int_equal(put_provider(s, 1, "k", i, 7), KITH_ELIMIT);
    assert_int_equal(put_provider(s, 1, "k", 3, 8), KITH_OK); /* the flood's oldest goes */
    assert_int_equal(providers(s, 1, "k", who), 6);
    assert_true(who[0] == 3 && who[4] == 2 && who[5] == 1);
    assert_int_equal(who[3], 11);
    assert_int_equal(noted.gone, 1);
    done(s);
}

static void what_was_kept_is_loaded_unless_it_has_expired(void **state)
{
    (void)state;
    kith_kad_store *s = store();
    kith_kad_row r = {.key = kith_bytes_str("/x/a"), .data = kith_bytes_str("v"), .received = 1000}, got;
    assert_int_equal(kith_kad_store_load(s, 1000 + 2 * DAY, &r), KITH_ETIMEOUT);
    assert_int_equal(kith_kad_store_load(s, 1000 + DAY, &r), KITH_OK);
    assert_true(kith_kad_store_value(s, 1000 + DAY, r.key, &got));
    assert_int_equal(noted.puts, 0);
    done(s);
}

static void memory_that_runs_out_changes_nothing(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 12; nth++) {
        kith_kad_store *s = store();
        assert_int_equal(put_provider(s, 1, "k", 1, 5), KITH_OK);
        kith_kad_store_facts before = kith_kad_store_look(s);
        heap.calls = 0;
        heap.fail_at = nth;
        kith_err e = put_provider(s, 1, "new", 2, 6);
        heap.fail_at = 0;
        assert_true(e == KITH_ENOMEM || e == KITH_OK);
        kith_kad_store_facts after = kith_kad_store_look(s);
        if (e)
            assert_memory_equal(&before, &after, sizeof after);
        else
            assert_true(nth > 4);
        done(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_replaced_and_expires),
        cmocka_unit_test(providers_come_newest_first_and_each_once),
        cmocka_unit_test(values_have_their_caps),
        cmocka_unit_test(a_group_has_an_eighth),
        cmocka_unit_test(a_peer_has_its_keys_and_all_together_theirs),
        cmocka_unit_test(a_flood_from_one_network_leaves_other_providers_alone),
        cmocka_unit_test(what_was_kept_is_loaded_unless_it_has_expired),
        cmocka_unit_test(memory_that_runs_out_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
