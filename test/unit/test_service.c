/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The methods of a node, called by clients that wait, lose interest, or leave in the middle, between two hosts on loopback. */
#include "host/service.h"

#include <stdio.h>

#include "proto/perf.h"
#include "support.h"

typedef struct end {
    kith_host *host;
    kith_signer *signer;
    kith_service *service;
    kith_rpc_client *client;
    json_t *answer; /* the last result or error */
    unsigned events, stopped;
    kith_maddr at;
} end;

static void on_send(void *ctx, const json_t *message)
{
    end *e = ctx;
    if (json_object_get(message, "method")) {
        e->events++;
        return;
    }
    json_decref(e->answer);
    e->answer = json_deep_copy(message);
}

static void on_wanted_stop(void *ctx)
{
    end *e = ctx;
    e->stopped++;
}

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    return kith_perf_server(kith_host_env());
}

static void on_host_stop(void *ctx)
{
    end *e = ctx;
    kith_service_close(e->service);
}

static void start(end *e, uint8_t id)
{
    *e = (end){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_maddr any;
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    cfg.node.agent = "test";
    e->host = kith_host_new(&cfg, &why);
    assert_non_null(e->host);
    e->service = kith_service_new(&(kith_service_config){.host = e->host,
                                                         .identity_file = "nowhere",
                                                         .version = "1",
                                                         .standing = true,
                                                         .stop = on_wanted_stop,
                                                         .stop_ctx = e});
    e->client = kith_rpc_client_new(kith_service_methods, e->service, on_send, e);
    kith_host_on_stop(e->host, on_host_stop, e);
    kith_protocol row = {.id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf};
    assert_int_equal(kith_node_serve(kith_host_node(e->host), kith_host_now(e->host), &row), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &any, NULL), KITH_OK);
    assert_int_equal(kith_host_listen(e->host, &any, &e->at), 0);
}

/* The other host's loop runs on, so that it can say goodbye. */
static void stop(end *e, end *other)
{
    kith_host_stop(e->host);
    while (uv_loop_alive(kith_host_loop(e->host))) {
        uv_run(kith_host_loop(e->host), UV_RUN_NOWAIT);
        if (other->host)
            uv_run(kith_host_loop(other->host), UV_RUN_NOWAIT);
    }
    kith_rpc_client_free(e->client);
    kith_host_free(e->host);
    e->host = NULL;
    kith_service_free(e->service);
    kith_signer_free(e->signer);
    json_decref(e->answer);
}

static void turn(end *a, end *b)
{
    uv_run(kith_host_loop(a->host), UV_RUN_NOWAIT);
    uv_run(kith_host_loop(b->host), UV_RUN_NOWAIT);
}

static void turns(end *a, end *b, int n)
{
    while (n-- > 0)
        turn(a, b);
}

static void ask(end *e, int id, const char *method, json_t *params)
{
    json_t *m =
        json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method, "params", params);
    json_decref(e->answer);
    e->answer = NULL;
    kith_rpc_message(e->client, m);
    json_decref(m);
}

static void cancel(end *e, int id)
{
    json_t *m = json_pack("{s:s, s:s, s:{s:i}}", "jsonrpc", "2.0", "method", "cancel", "params", "id", id);
    kith_rpc_message(e->client, m);
    json_decref(m);
}

static json_t *target(const end *of)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr_text(&of->at, text);
    return json_pack("{s:s}", "target", text);
}

static json_t *with(json_t *o, const char *name, long long value)
{
    json_object_set_new(o, name, json_integer(value));
    return o;
}

static void wait_for_answer(end *e, end *other)
{
    for (int i = 0; i < 1000000 && !e->answer; i++)
        turn(e, other);
    assert_non_null(e->answer);
}

static const char *error_name(const end *e)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(e->answer, "error"), "data"), "error"));
}

static json_t *result(const end *e)
{
    json_t *r = json_object_get(e->answer, "result");
    if (!r)
        fail_msg("%s", json_dumps(e->answer, 0));
    return r;
}

static void what_is_asked_is_answered(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    ask(&a, 1, "dial", target(&b));
    wait_for_answer(&a, &b);
    assert_true(json_array_size(json_object_get(result(&a), "protocols")) >= 4);
    assert_string_equal(json_string_value(json_object_get(result(&a), "agent")), "test");
    ask(&a, 2, "ping", with(with(target(&b), "count", 3), "interval_ms", 0));
    wait_for_answer(&a, &b);
    assert_int_equal(json_integer_value(json_object_get(result(&a), "received")), 3);
    assert_int_equal(a.events, 3);
    ask(&a, 3, "perf", with(with(target(&b), "upload", 1 << 20), "download", 1 << 20));
    wait_for_answer(&a, &b);
    assert_int_equal(json_integer_value(json_object_get(result(&a), "download_bytes")), 1 << 20);
    ask(&a, 4, "peers", json_object());
    assert_int_equal(json_array_size(json_object_get(result(&a), "peers")), 1);
    ask(&b, 4, "status", json_pack("{s:b}", "detailed", 1));
    assert_int_equal(json_array_size(json_object_get(result(&b), "connections")), 1);
    ask(&a, 5, "peers", json_pack("{s:b}", "known", 1)); /* without a book */
    assert_string_equal(error_name(&a), "unsupported");
    ask(&a, 6, "stop", json_object());
    assert_int_equal(a.stopped, 1);
    stop(&a, &b);
    stop(&b, &a);
}

static void bad_parameters_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}",
                                      "{\"target\":7}",
                                      "{\"target\":\"\"}",
                                      "{\"target\":\"12D3\"}",
                                      "{\"target\":\"/ip4/1.2.3.4\", \"count\":-1}",
                                      "{\"target\":\"/ip4/1.2.3.4\", \"count\":1.5}",
                                      "{\"target\":\"/ip4/1.2.3.4\", \"count\":\"3\"}",
                                      "{\"target\":\"/ip4/1.2.3.400\"}"};
    end a, b;
    start(&a, 1);
    start(&b, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(&a, 1, "ping", json_loads(bad[i], 0, NULL));
        assert_non_null(a.answer);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(a.answer, "error"), "code")),
                         KITH_RPC_PARAMS);
    }
    ask(&a, 1, "disconnect", json_object());
    assert_int_equal(json_integer_value(json_object_get(json_object_get(a.answer, "error"), "code")),
                     KITH_RPC_PARAMS);
    stop(&a, &b);
    stop(&b, &a);
}

static void failures_keep_their_kind(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    ask(&a, 1, "dial", json_pack("{s:s}", "target", "12D3KooWCRZKSXQeSrEqf4ekpC76gootgDXKiw2yuwrngWSfJyuR"));
    assert_null(a.answer); /* never from inside the call */
    wait_for_answer(&a, &b);
    assert_string_equal(error_name(&a), "notfound");
    ask(&a, 2, "dial", json_pack("{s:s}", "target", "/ip4/127.0.0.1/udp/9/quic-v1"));
    wait_for_answer(&a, &b);
    assert_string_equal(error_name(&a), "unsupported");
    ask(&a, 3, "dial", json_pack("{s:s}", "target", "/ip4/127.0.0.1/tcp/1"));
    wait_for_answer(&a, &b);
    assert_string_equal(error_name(&a), "refused");
    kith_node_unserve(kith_host_node(b.host), kith_host_now(b.host), kith_bytes_str(KITH_PERF_ID));
    ask(&a, 4, "perf", with(target(&b), "upload", 1 << 20));
    wait_for_answer(&a, &b);
    assert_string_equal(error_name(&a), "unsupported");
    stop(&a, &b);
    stop(&b, &a);
}

static void a_cancelled_ping_sums_up(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    ask(&a, 1, "ping", with(target(&b), "interval_ms", 1));
    while (a.events < 2)
        turn(&a, &b);
    cancel(&a, 1);
    assert_true(json_integer_value(json_object_get(result(&a), "received")) >= 2);
    unsigned events = a.events;
    turns(&a, &b, 1000);
    assert_int_equal(a.events, events);
    assert_int_equal(kith_node_usage(kith_host_node(a.host)).streams, 0);
    assert_int_equal(kith_node_usage(kith_host_node(b.host)).streams, 0);
    stop(&a, &b);
    stop(&b, &a);
}

/* At every moment from the request to the answer, the client leaves, cancels, or the host stops. */
static void whoever_leaves_when_nothing_is_left(void **state)
{
    (void)state;
    static const char *const methods[] = {"dial", "ping", "perf"};
    for (int m = 0; m < 3; m++) {
        for (int how = 0; how < 4; how++) {
            for (int when = 0; when < 30; when += when < 12 ? 1 : 6) {
                end a, b;
                start(&a, 1);
                start(&b, 2);
                ask(&a, 1, methods[m],
                    with(with(with(target(&b), "count", 0), "interval_ms", 1), "upload", 256 << 20));
                if (m == 0)
                    assert_null(a.answer);
                turns(&a, &b, when);
                switch (how) {
                case 0:
                    kith_rpc_client_free(a.client);
                    a.client = NULL;
                    break;
                case 1:
                    cancel(&a, 1);
                    break;
                case 2:
                    stop(&b, &a);
                    for (int i = 0; i < 2000 && !a.answer; i++)
                        uv_run(kith_host_loop(a.host), UV_RUN_NOWAIT);
                    break;
                case 3:
                    break; /* the host stops below */
                }
                if (how != 2)
                    turns(&a, &b, 50);
                if (how == 1)
                    assert_non_null(a.answer);
                if (how < 2)
                    assert_int_equal(kith_node_usage(kith_host_node(a.host)).streams, 0);
                stop(&a, &b);
                if (how != 2)
                    stop(&b, &a);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_is_answered),
        cmocka_unit_test(bad_parameters_are_named),
        cmocka_unit_test(failures_keep_their_kind),
        cmocka_unit_test(a_cancelled_ping_sums_up),
        cmocka_unit_test(whoever_leaves_when_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
