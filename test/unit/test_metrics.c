/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Metrics: what the table may hold, how values become OpenMetrics text, and the buckets of histograms. */
#include "host/metrics.h"

#include "support.h"

static json_t *nothing(const struct kith_metrics_view *v)
{
    (void)v;
    return NULL;
}

/* The text of one row alone with this value, which is taken. */
static char *text_of(kith_metric row, json_t *value)
{
    kith_metric table[2] = {row, {0}};
    json_t *values = json_object();
    json_object_set_new(values, row.name, value);
    char *text = kith_metrics_text(table, values);
    json_decref(values);
    assert_non_null(text);
    return text;
}

static void expect(kith_metric row, json_t *value, const char *wanted)
{
    char *text = text_of(row, value);
    assert_string_equal(text, wanted);
    free(text);
}

static void a_number_is_a_line(void **state)
{
    (void)state;
    expect((kith_metric){"a", KITH_METRIC_GAUGE, "", "What.", nothing}, json_integer(7),
           "# TYPE a gauge\n# HELP a What.\na 7\n# EOF\n");
    expect(
        (kith_metric){"a_seconds", KITH_METRIC_GAUGE, "seconds", "What.", nothing}, json_real(0.25),
        "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds What.\na_seconds 0.25\n# EOF\n");
}

static void a_counter_and_an_info_have_their_family_s_name_without_the_suffix(void **state)
{
    (void)state;
    expect((kith_metric){"a_total", KITH_METRIC_COUNTER, "", "What.", nothing}, json_integer(7),
           "# TYPE a counter\n# HELP a What.\na_total 7\n# EOF\n");
    expect((kith_metric){"a_info", KITH_METRIC_INFO, "", "What.", nothing},
           json_pack("{s:s}", "version", "1"),
           "# TYPE a info\n# HELP a What.\na_info{version=\"1\"} 1\n# EOF\n");
}

static void labels_and_help_are_escaped(void **state)
{
    (void)state;
    expect((kith_metric){"a", KITH_METRIC_GAUGE, "", "One\\two\nthree \"four\".", nothing},
           json_pack("[{s:s, s:s, s:i}, {s:s, s:i}]", "x", "q\"b\\n\nc", "y", "z\\", "value", 1, "x", "",
                     "value", 2),
           "# TYPE a gauge\n# HELP a One\\\\two\\nthree \\\"four\\\".\n"
           "a{x=\"q\\\"b\\\\n\\nc\",y=\"z\\\\\"} 1\na{x=\"\"} 2\n# EOF\n");
}

static void what_there_is_not_is_not_told(void **state)
{
    (void)state;
    const kith_metric table[] = {{"a", KITH_METRIC_GAUGE, "", "What.", nothing}, {0}};
    json_t *values = json_object();
    char *text = kith_metrics_text(table, values);
    assert_string_equal(text, "# EOF\n");
    free(text);
    json_decref(values);
}

static long long bucket(const json_t *h, size_t i)
{
    return json_integer_value(json_object_get(json_array_get(json_object_get(h, "buckets"), i), "count"));
}

static void a_bound_is_within_its_bucket_and_buckets_add_up(void **state)
{
    (void)state;
    kith_histogram h = {0};
    kith_histogram_add(&h, 0);
    kith_histogram_add(&h, 1000000); /* 0.001 s, the second bound */
    kith_histogram_add(&h, 1000001);
    kith_histogram_add(&h, UINT64_MAX / 2);
    json_t *o = kith_metrics_histogram(&h);
    assert_string_equal(kith_histogram_bound(1), "0.001");
    assert_string_equal(kith_histogram_bound(KITH_HISTOGRAM_BUCKETS - 1), "+Inf");
    assert_int_equal(bucket(o, 0), 1);
    assert_int_equal(bucket(o, 1), 2);
    assert_int_equal(bucket(o, 2), 3);
    assert_int_equal(bucket(o, KITH_HISTOGRAM_BUCKETS - 2), 3);
    assert_int_equal(bucket(o, KITH_HISTOGRAM_BUCKETS - 1), 4);
    assert_int_equal(json_integer_value(json_object_get(o, "count")), 4);
    char *text = text_of((kith_metric){"a_seconds", KITH_METRIC_HISTOGRAM, "seconds", "What.", nothing},
                         json_incref(o));
    assert_non_null(strstr(text, "\na_seconds_bucket{le=\"0.001\"} 2\n"));
    assert_non_null(strstr(text, "\na_seconds_bucket{le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "\na_seconds_count 4\n"));
    free(text);
    text = text_of((kith_metric){"a_seconds", KITH_METRIC_GAUGE_HISTOGRAM, "seconds", "What.", nothing}, o);
    assert_non_null(strstr(text, "\na_seconds_gsum "));
    assert_non_null(strstr(text, "\na_seconds_gcount 4\n"));
    free(text);
}

static bool ends_with(const char *name, const char *end)
{
    return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

static void the_table_keeps_to_the_rules(void **state)
{
    (void)state;
    for (const kith_metric *m = kith_metric_table; m->name; m++) {
        char unit[32];
        snprintf(unit, sizeof unit, "_%s%s", m->unit, m->type == KITH_METRIC_COUNTER ? "_total" : "");
        assert_memory_equal(m->name, "kith_", 5);
        assert_int_equal(strspn(m->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(m->name));
        assert_int_equal(ends_with(m->name, "_total"), m->type == KITH_METRIC_COUNTER);
        assert_int_equal(ends_with(m->name, "_info"), m->type == KITH_METRIC_INFO);
        if (m->unit[0])
            assert_true(ends_with(m->name, unit));
        assert_true(ends_with(m->help, "."));
        for (const kith_metric *other = kith_metric_table; other < m; other++)
            assert_string_not_equal(m->name, other->name);
    }
}

/* The others are one more. */
static void every_type_of_message_has_its_count(void **state)
{
    (void)state;
    size_t n = 0;
    while (kith_message_types[n])
        n++;
    assert_int_equal(n + 1, KITH_MESSAGE_KINDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_a_line),
        cmocka_unit_test(a_counter_and_an_info_have_their_family_s_name_without_the_suffix),
        cmocka_unit_test(labels_and_help_are_escaped),
        cmocka_unit_test(what_there_is_not_is_not_told),
        cmocka_unit_test(a_bound_is_within_its_bucket_and_buckets_add_up),
        cmocka_unit_test(the_table_keeps_to_the_rules),
        cmocka_unit_test(every_type_of_message_has_its_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
