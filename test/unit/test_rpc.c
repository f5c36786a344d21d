/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON-RPC as lines in and lines out, with methods that answer at once, late, or never. */
#include "host/rpc.h"

#include <stdio.h>

#include "support.h"

typedef struct world {
    kith_rpc_client *client;
    char out[8192]; /* all that was sent, a line each */
    kith_rpc_call *late;
    unsigned cancelled;
    bool answer_on_cancel;
} world;

static void on_send(void *ctx, const json_t *message)
{
    world *w = ctx;
    char *text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
    size_t used = strlen(w->out);
    assert_non_null(text);
    assert_true(used + strlen(text) + 2 < sizeof w->out);
    sprintf(w->out + used, "%s\n", text);
    free(text);
}

static void run_echo(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx;
    kith_rpc_result(call, params ? json_deep_copy(params) : NULL);
}

static void run_fail(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx, (void)params;
    kith_rpc_error(call, KITH_ETIMEOUT, "dial", "cannot reach %s", "\xff\xfe it");
}

static void on_cancel(void *state)
{
    world *w = state;
    w->cancelled++;
    if (w->answer_on_cancel)
        kith_rpc_result(w->late, json_string("cancelled"));
}

static void run_late(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)params;
    world *w = ctx;
    w->late = call;
    kith_rpc_on_cancel(call, on_cancel, w);
}

static void run_picky(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx, (void)params;
    kith_rpc_bad_params(call, "'n' must be a number");
}

static const kith_rpc_method methods[] = {
    {"echo", run_echo}, {"fail", run_fail}, {"late", run_late}, {"picky", run_picky}, {0}};

static void start(world *w)
{
    *w = (world){0};
    w->client = kith_rpc_client_new(methods, w, on_send, w);
    assert_non_null(w->client);
}

static void say(world *w, const char *line)
{
    kith_rpc_line(w->client, kith_bytes_str(line));
}

static void expect(world *w, const char *lines)
{
    assert_string_equal(w->out, lines);
    w->out[0] = '\0';
}

static void a_request_gets_its_result(void **state)
{
    (void)state;
    world w;
    start(&w);
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":[1]}}");
    expect(&w, "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{\"a\":[1]}}\n");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"echo\"}");
    expect(&w, "{\"id\":\"x\",\"jsonrpc\":\"2.0\",\"result\":null}\n");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"fail\"}");
    expect(&w, "{\"error\":{\"code\":-32013,\"data\":{\"error\":\"timeout\",\"stage\":\"dial\"},\"message\":"
               "\"cannot reach ?? it\"},\"id\":2,\"jsonrpc\":\"2.0\"}\n");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"picky\",\"params\":{}}");
    expect(
        &w,
        "{\"error\":{\"code\":-32602,\"message\":\"'n' must be a number\"},\"id\":3,\"jsonrpc\":\"2.0\"}\n");
    kith_rpc_client_free(w.client);
}

static void whatever_is_no_request_is_answered_with_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
    } bad[] = {
        {"", KITH_RPC_PARSE},
        {"nonsense", KITH_RPC_PARSE},
        {"{\"jsonrpc\":\"2.0\"", KITH_RPC_PARSE},
        {"{\"id\":1,\"id\":2}", KITH_RPC_PARSE},
        {"\"text\"", KITH_RPC_PARSE}, /* not an object or array */
        {"[]", KITH_RPC_INVALID},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}]", KITH_RPC_INVALID}, /* no batches */
        {"{}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"echo\"}", KITH_RPC_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1]}", KITH_RPC_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}", KITH_RPC_NO_METHOD},
    };
    world w;
    start(&w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[64];
        say(&w, bad[i].line);
        snprintf(want, sizeof want, "\"code\":%d,", bad[i].code);
        if (!strstr(w.out, want))
            fail_msg("%s gave %s", bad[i].line, w.out);
        w.out[0] = '\0';
    }
    char *line = malloc(KITH_RPC_LINE_MAX + 1);
    memset(line, ' ', KITH_RPC_LINE_MAX + 1);
    kith_rpc_line(w.client, kith_bytes_of(line, KITH_RPC_LINE_MAX + 1));
    assert_non_null(strstr(w.out, "too long"));
    free(line);
    w.out[0] = '\0';
    say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}"); /* a notification: nobody waits for it */
    expect(&w, "");
    kith_rpc_client_free(w.client);
}

static void a_late_method_sends_events_and_answers_later(void **state)
{
    (void)state;
    world w;
    start(&w);
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"late\"}");
    expect(&w, "");
    assert_int_equal(kith_rpc_calls(w.client), 1);
    kith_rpc_event(w.late, json_pack("{s:s}", "event", "tick"));
    expect(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"tick\",\"id\":9}}\n");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"echo\"}");
    assert_non_null(strstr(w.out, "is under way"));
    w.out[0] = '\0';
    kith_rpc_result(w.late, json_true());
    expect(&w, "{\"id\":9,\"jsonrpc\":\"2.0\",\"result\":true}\n");
    assert_int_equal(kith_rpc_calls(w.client), 0);
    kith_rpc_client_free(w.client);
}

static void a_call_is_cancelled_once(void **state)
{
    (void)state;
    world w;
    start(&w);
    w.answer_on_cancel = true;
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"late\"}");
    say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":2}}");
    say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\"}");
    assert_int_equal(w.cancelled, 0);
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"cancel\",\"params\":{\"id\":1}}");
    expect(&w, "{\"id\":5,\"jsonrpc\":\"2.0\",\"result\":{\"cancelled\":true}}\n"
               "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":\"cancelled\"}\n");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"cancel\",\"params\":{\"id\":1}}");
    expect(&w, "{\"id\":6,\"jsonrpc\":\"2.0\",\"result\":{\"cancelled\":false}}\n");
    assert_int_equal(w.cancelled, 1);
    kith_rpc_client_free(w.client);
}

static void who_leaves_cancels_and_hears_no_more(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        world w;
        start(&w);
        w.answer_on_cancel = at_once;
        say(&w, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"late\"}");
        kith_rpc_client_free(w.client);
        assert_int_equal(w.cancelled, 1);
        if (!at_once) { /* the client's memory waits for the call */
            kith_rpc_event(w.late, json_object());
            kith_rpc_error(w.late, KITH_ERESET, NULL, "nobody hears this");
        }
        expect(&w, "");
    }
}

static void requests_under_way_have_a_cap(void **state)
{
    (void)state;
    world w;
    start(&w);
    kith_rpc_call *calls[KITH_RPC_CALLS_MAX];
    for (int i = 0; i < KITH_RPC_CALLS_MAX; i++) {
        char line[96];
        snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"late\"}", i);
        say(&w, line);
        calls[i] = w.late;
    }
    expect(&w, "");
    say(&w, "{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"echo\"}");
    assert_non_null(strstr(w.out, "too many requests"));
    for (int i = 0; i < KITH_RPC_CALLS_MAX; i++)
        kith_rpc_result(calls[i], NULL);
    kith_rpc_client_free(w.client);
}

static void errors_keep_their_name(void **state)
{
    (void)state;
    for (int e = KITH_OK + 1; e <= KITH_EIO; e++) {
        json_t *o = json_pack("{s:{s:s}}", "data", "error", kith_err_name((kith_err)e));
        assert_int_equal(kith_rpc_err_of(o), e);
        json_decref(o);
    }
    assert_int_equal(kith_rpc_err_of(NULL), KITH_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gets_its_result),
        cmocka_unit_test(whatever_is_no_request_is_answered_with_an_error),
        cmocka_unit_test(a_late_method_sends_events_and_answers_later),
        cmocka_unit_test(a_call_is_cancelled_once),
        cmocka_unit_test(who_leaves_cancels_and_hears_no_more),
        cmocka_unit_test(requests_under_way_have_a_cap),
        cmocka_unit_test(errors_keep_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
