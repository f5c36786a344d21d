/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inviting and joining between two hosts on loopback: the caps, guests who come together, lie or stay, and ends in the middle. */
#include "host/invites.h"

#include <stdio.h>
#include <unistd.h>

#include "apps/invite.h"
#include "apps/pipe.h"
#include "support.h"

#define GUESTS (KITH_INVITE_GUESTS_MAX + 1)
#define LINKS (GUESTS + KITH_INVITES_MAX)

typedef struct end {
    kith_host *host;
    kith_signer *signer;
    kith_trust *trust;
    kith_invites *invites;
    kith_rpc_client *client;
    kith_invite links[LINKS];            /* of the requests with these ids */
    char text[KITH_INVITE_TEXT_MAX + 1]; /* of the last one */
    json_t *answers[LINKS];
    kith_maddr at;
} end;

static char folder[] = "/tmp/kith-invites-XXXXXX";

static void on_send(void *ctx, const json_t *message)
{
    end *e = ctx;
    const json_t *params = json_object_get(message, "params");
    const char *why;
    if (params) {
        size_t id = (size_t)json_integer_value(json_object_get(params, "id"));
        const char *link = json_string_value(json_object_get(params, "link"));
        snprintf(e->text, sizeof e->text, "%s", link);
        assert_int_equal(kith_invite_parse(kith_bytes_str(link), &e->links[id], &why), KITH_OK);
    } else {
        size_t id = (size_t)json_integer_value(json_object_get(message, "id"));
        json_decref(e->answers[id]);
        e->answers[id] = json_deep_copy(message);
    }
}

static void run_invite(void *ctx, kith_rpc_call *call, const json_t *params)
{
    end *e = ctx;
    kith_invites_run_invite(e->invites, call, params);
}

static void run_join(void *ctx, kith_rpc_call *call, const json_t *params)
{
    end *e = ctx;
    kith_invites_run_join(e->invites, call, params);
}

static const kith_rpc_method methods[] = {{"invite", run_invite}, {"join", run_join}, {0}};

static void on_host_stop(void *ctx)
{
    end *e = ctx;
    kith_invites_close(e->invites);
}

static kith_err trust_all(void *ctx, const kith_contact *c, char why[KITH_REASON_MAX])
{
    (void)ctx, (void)c, (void)why;
    return KITH_OK;
}

static void start(end *e, uint8_t id)
{
    static const kith_pq_id none;
    *e = (end){0};
    char path[64];
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_maddr any;
    kith_host_config cfg = {0};
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    cfg.node.agent = "test";
    cfg.node.trust = trust_all;
    cfg.node.limits.conns_per_peer = cfg.node.limits.conns_per_ip = 2 * GUESTS;
    cfg.node.limits.conns_per_subnet = cfg.node.limits.rate_per_ip = 2 * GUESTS;
    e->host = kith_host_new(&cfg, &why);
    assert_non_null(e->host);
    snprintf(path, sizeof path, "%s/%u", folder, id);
    (void)unlink(path);
    e->trust = kith_trust_open(path, &why, NULL);
    assert_non_null(e->trust);
    kith_trust_attach(e->trust, kith_host_loop(e->host));
    e->invites = kith_invites_new(e->host, e->trust, NULL, &none);
    assert_non_null(e->invites);
    e->client = kith_rpc_client_new(methods, e, on_send, e);
    kith_host_on_stop(e->host, on_host_stop, e);
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
    kith_trust_close(e->trust);
    kith_host_free(e->host);
    e->host = NULL;
    kith_invites_free(e->invites);
    kith_signer_free(e->signer);
    for (size_t i = 0; i < LINKS; i++)
        json_decref(e->answers[i]);
}

static void turn(end *a, end *b)
{
    uv_run(kith_host_loop(a->host), UV_RUN_NOWAIT);
    uv_run(kith_host_loop(b->host), UV_RUN_NOWAIT);
}

/* Turns until cond, for half a minute: a busy machine may make many before the threads of handshakes are heard of. */
#define TURNS_UNTIL(a, b, cond)                                                      \
    for (uint64_t end_ = uv_hrtime() + 30000000000u; !(cond) && uv_hrtime() < end_;) \
    turn(a, b)

static void turns(end *a, end *b, int n)
{
    while (n-- > 0)
        turn(a, b);
}

static void ask(end *e, size_t id, const char *method, json_t *params)
{
    json_t *m = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)id, "method", method,
                          "params", params);
    kith_rpc_message(e->client, m);
    json_decref(m);
}

static void cancel(end *e, size_t id)
{
    json_t *m = json_pack("{s:s, s:s, s:{s:I}}", "jsonrpc", "2.0", "method", "cancel", "params", "id",
                          (json_int_t)id);
    kith_rpc_message(e->client, m);
    json_decref(m);
}

static void invite(end *e, size_t id)
{
    ask(e, id, "invite", json_pack("{s:i}", "ttl", 600));
}

static void wait_for_answer(end *e, size_t id, end *other)
{
    TURNS_UNTIL(e, other, e->answers[id]);
    assert_non_null(e->answers[id]);
}

static const char *error_name(const end *e, size_t id)
{
    const char *name = json_string_value(
        json_object_get(json_object_get(json_object_get(e->answers[id], "error"), "data"), "error"));
    return name ? name : "";
}

static bool pinned(const end *e, size_t id)
{
    return json_object_get(e->answers[id], "result") != NULL;
}

/* ---- a guest of whom the test knows every byte ---- */

typedef struct guest {
    kith_conn *conn;
    kith_stream *stream;
    kith_pipe *pipe; /* the stream's */
    kith_sink sink;
    uint8_t proof[KITH_INVITE_PROOF_LEN], wanted[KITH_INVITE_PROOF_LEN];
    bool greeted, gone;
} guest;

static void on_stream(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    guest *g = ctx;
    if (ev->kind == KITH_NODE_STREAM_GONE) {
        g->gone = true;
        g->stream = NULL;
    } else if (ev->kind == KITH_NODE_STREAM_READY) {
        kith_bytes in = kith_pipe_view(g->pipe);
        kith_pipe_seen(g->pipe);
        if (in.len < sizeof g->wanted)
            return;
        assert_memory_equal(in.p, g->wanted, sizeof g->wanted);
        g->greeted = true;
    }
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    (void)h, (void)err;
    guest *g = ctx;
    if (!c)
        fail_msg("%s", why);
    g->conn = c;
}

static void open_stream(guest *g, end *b)
{
    static const kith_bytes id = {(const uint8_t *)KITH_INVITE_ID, sizeof KITH_INVITE_ID - 1};
    g->gone = g->greeted = false;
    g->pipe = kith_pipe_new(kith_host_env());
    kith_pipe_free(g->pipe); /* the stream's hold is left */
    assert_int_equal(kith_node_open(kith_host_node(b->host), kith_host_now(b->host), g->conn, &id, 1,
                                    &kith_pipe_ops, g->pipe, &g->sink, &g->stream),
                     KITH_OK);
    kith_host_kick(b->host);
}

/* A connection of its own, with a stream on which it has said nothing yet. */
static void arrive(guest *g, end *b, end *a)
{
    *g = (guest){.sink = {.event = on_stream, .ctx = g}};
    assert_int_equal(kith_host_dial(b->host, NULL, &a->at, 1, on_dialed, g), KITH_OK);
    TURNS_UNTIL(a, b, g->conn);
    assert_non_null(g->conn);
    open_stream(g, b);
    turns(a, b, 20);
}

static void prove(guest *g, end *b, end *a, const kith_invite *v)
{
    kith_conn_facts f;
    kith_conn_facts_get(g->conn, &f);
    kith_verify_end own = {.peer = *kith_node_id(kith_host_node(b->host))},
                    other = {.peer = *kith_node_id(kith_host_node(a->host))};
    kith_invite_proof(v->secret, KITH_INVITE_GUEST, f.channel, &own, &other, g->proof);
    kith_invite_proof(v->secret, KITH_INVITE_HOST, f.channel, &own, &other, g->wanted);
    assert_int_equal(kith_pipe_put(g->pipe, kith_bytes_of(g->proof, sizeof g->proof)), KITH_OK);
    kith_node_wake(kith_host_node(b->host), kith_host_now(b->host), g->stream);
    kith_host_kick(b->host);
}

static void leave(guest *g, end *b, end *a)
{
    if (g->stream)
        kith_node_reset(kith_host_node(b->host), kith_host_now(b->host), g->stream);
    kith_host_kick(b->host);
    turns(a, b, 50);
}

static void wait_for_news(const guest *g, end *b, end *a)
{
    TURNS_UNTIL(a, b, g->greeted || g->gone);
    assert_true(g->greeted || g->gone);
}

/* ---- the caps ---- */

static void so_many_invitations_are_open_and_no_more(void **state)
{
    (void)state;
    end a, b;
    start(&a, 1);
    start(&b, 2);
    for (size_t i = 0; i < KITH_INVITES_MAX; i++)
        invite(&a, i);
    for (size_t i = 0; i < KITH_INVITES_MAX; i++)
        assert_true(!a.answers[i] && a.links[i].expires > 0);
    invite(&a, KITH_INVITES_MAX);
    assert_string_equal(error_name(&a, KITH_INVITES_MAX), "limit");
    cancel(&a, 3);
    assert_string_equal(error_name(&a, 3), "closed");
    invite(&a, KITH_INVITES_MAX + 1);
    assert_null(a.answers[KITH_INVITES_MAX + 1]);
    invite(&a, KITH_INVITES_MAX + 2);
    assert_string_equal(error_name(&a, KITH_INVITES_MAX + 2), "limit");
    stop(&a, &b);
    stop(&b, &a);
}

/* Each has proven what it should, and does not go. Those beyond had their streams before the others were in. */
static void so_many_guests_stand_at_the_door_and_no_more(void **state)
{
    (void)state;
    static guest g[GUESTS];
    end a, b;
    start(&a, 1);
    start(&b, 2);
    for (size_t i = 0; i < GUESTS; i++) {
        if (i == 0 || i == 1)
            invite(&a, i);
        arrive(&g[i], &b, &a);
    }
    for (size_t i = 0; i < GUESTS - 1; i++) {
        if (i == KITH_RPC_CALLS_MAX - 2) /* for those who stay, an invitation is done some seconds later */
            wait_for_answer(&a, i - 1, &b);
        if (i > 1)
            invite(&a, i);
        prove(&g[i], &b, &a, &a.links[i]);
        wait_for_news(&g[i], &b, &a);
        assert_true(g[i].greeted && !a.answers[i]);
        if (i == 0)
            invite(&a, GUESTS - 1); /* so that one is always open */
    }
    guest *last = &g[GUESTS - 1];
    prove(last, &b, &a, &a.links[GUESTS - 1]);
    wait_for_news(last, &b, &a);
    assert_true(last->gone && !last->greeted && !a.answers[GUESTS - 1]);
    leave(&g[5], &b, &a);
    assert_true(pinned(&a, 5));
    open_stream(last, &b);
    prove(last, &b, &a, &a.links[GUESTS - 1]);
    wait_for_news(last, &b, &a);
    assert_true(last->greeted);
    for (size_t i = 0; i < GUESTS; i++) {
        wait_for_answer(&a, i, &b);
        assert_true(pinned(&a, i));
    }
    stop(&b, &a);
    stop(&a, &b);
}

/* ---- guests ---- */

static uv_sem_t gate;

static void wait_at_gate(uv_work_t *w)
{
    (void)w;
    uv_sem_wait(&gate);
}

/* The second one's proof comes while the first one is written to disk, which takes its time: all threads that could do it are busy. */
static void two_with_proofs_of_the_same_secret_are_one_guest(void **state)
{
    (void)state;
    enum { THREADS = 4 }; /* of libuv's pool */
    uv_work_t busy[THREADS];
    end a, b;
    guest one, two;
    assert_int_equal(setenv("UV_THREADPOOL_SIZE", "4", 1), 0);
    start(&a, 1);
    start(&b, 2);
    invite(&a, 0);
    invite(&a, 1); /* so that the door is open for the second one */
    arrive(&one, &b, &a);
    arrive(&two, &b, &a);
    assert_int_equal(uv_sem_init(&gate, 0), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_queue_work(kith_host_loop(a.host), &busy[i], wait_at_gate, NULL), 0);
    prove(&one, &b, &a, &a.links[0]);
    turns(&a, &b, 50);
    prove(&two, &b, &a, &a.links[0]);
    wait_for_news(&two, &b, &a);
    assert_true(two.gone && !two.greeted && !one.greeted && !one.gone && !a.answers[0]);
    for (int i = 0; i < THREADS; i++)
        uv_sem_post(&gate);
    wait_for_news(&one, &b, &a);
    leave(&one, &b, &a);
    assert_true(one.greeted && pinned(&a, 0));
    uv_sem_destroy(&gate);
    stop(&b, &a);
    stop(&a, &b);
}

static void a_wrong_proof_costs_the_connection_and_no_invitation(void **state)
{
    (void)state;
    end a, b;
    guest g;
    start(&a, 1);
    start(&b, 2);
    invite(&a, 0);
    for (int bit = 0; bit < 128; bit += 37) {
        kith_invite wrong = a.links[0];
        wrong.secret[bit / 8] ^= (uint8_t)(1u << bit % 8);
        arrive(&g, &b, &a);
        prove(&g, &b, &a, &wrong);
        wait_for_news(&g, &b, &a);
        assert_true(g.gone && !g.greeted && !a.answers[0]);
        TURNS_UNTIL(&a, &b, kith_node_conn_count(kith_host_node(a.host)) == 0);
        assert_int_equal(kith_node_conn_count(kith_host_node(a.host)), 0);
    }
    arrive(&g, &b, &a);
    prove(&g, &b, &a, &a.links[0]);
    wait_for_news(&g, &b, &a);
    leave(&g, &b, &a);
    assert_true(g.greeted && pinned(&a, 0));
    stop(&b, &a);
    stop(&a, &b);
}

static void an_invitation_ends_at_its_time(void **state)
{
    (void)state;
    end a, b;
    guest g;
    start(&a, 1);
    start(&b, 2);
    ask(&a, 0, "invite", json_pack("{s:i}", "ttl", 1));
    invite(&a, 1);
    arrive(&g, &b, &a);
    for (int ms = 0; ms < 10000 && !a.answers[0]; ms++) {
        turn(&a, &b);
        usleep(1000);
    }
    assert_string_equal(error_name(&a, 0), "timeout");
    assert_null(a.answers[1]);
    prove(&g, &b, &a, &a.links[0]);
    wait_for_news(&g, &b, &a);
    assert_true(g.gone && !g.greeted);
    stop(&b, &a);
    stop(&a, &b);
}

/* ---- who invites ---- */

static void *accept_pipe(void *ctx, const kith_stream_info *info)
{
    (void)ctx, (void)info;
    kith_pipe *p = kith_pipe_new(kith_host_env());
    kith_pipe_free(p); /* the stream's hold is left */
    return p;
}

static void send_back(void *ctx, kith_host *h, const kith_node_event *ev)
{
    bool *sent = ctx;
    if (ev->kind != KITH_NODE_STREAM_READY)
        return;
    kith_pipe *p = kith_stream_machine(ev->stream);
    kith_bytes in = kith_pipe_view(p);
    kith_pipe_seen(p);
    if (in.len < KITH_INVITE_PROOF_LEN)
        return;
    assert_int_equal(kith_pipe_put(p, in), KITH_OK);
    kith_pipe_used(p, in.len);
    kith_node_wake(kith_host_node(h), kith_host_now(h), ev->stream);
    *sent = true;
}

/* The host of a link that another node shows as its own: it gets the guest's proof, and can only send it back. */
static void a_host_without_the_secret_is_found_out(void **state)
{
    (void)state;
    end a, b;
    bool sent = false;
    kith_sink echo = {.event = send_back, .ctx = &sent};
    kith_invite v = {.expires = UINT32_MAX, .addr_count = 1, .secret = {7}};
    char text[KITH_INVITE_TEXT_MAX + 1];
    start(&a, 1);
    start(&b, 2);
    kith_protocol row = {.id = kith_bytes_str(KITH_INVITE_ID),
                         .ops = &kith_pipe_ops,
                         .accept = accept_pipe,
                         .user = &echo,
                         .streams_per_conn = 1};
    kith_node_unserve(kith_host_node(a.host), kith_host_now(a.host), row.id);
    assert_int_equal(kith_node_serve(kith_host_node(a.host), kith_host_now(a.host), &row), KITH_OK);
    v.peer = *kith_node_id(kith_host_node(a.host));
    v.addrs[0] = a.at;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    assert_int_equal(kith_invite_text(&v, &w), KITH_OK);
    text[w.len] = '\0';
    ask(&b, 0, "join", json_pack("{s:s, s:s}", "link", text, "name", "alice"));
    wait_for_answer(&b, 0, &a);
    assert_true(sent);
    assert_string_equal(error_name(&b, 0), "auth");
    assert_null(kith_trust_named(b.trust, kith_bytes_str("alice")));
    stop(&b, &a);
    stop(&a, &b);
}

/* At every moment from the request to the answer, either side cancels or stops, or its client leaves. */
static void whoever_leaves_when_nothing_is_left(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        for (int when = 0; when < 40; when += when < 12 ? 1 : 4) {
            end a, b;
            start(&a, 1);
            start(&b, 2);
            invite(&a, 0);
            ask(&b, 0, "join", json_pack("{s:s, s:s}", "link", a.text, "name", "alice"));
            turns(&a, &b, when);
            end *who = how % 2 ? &a : &b;
            if (how < 2) {
                cancel(who, 0);
            } else if (how < 4) {
                kith_rpc_client_free(who->client);
                who->client = NULL;
            }
            turns(&a, &b, how < 4 ? 50 : 0);
            stop(who, who == &a ? &b : &a);
            stop(who == &a ? &b : &a, who);
        }
    }
}

static void make_folder(void)
{
    assert_non_null(mkdtemp(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_invitations_are_open_and_no_more),
        cmocka_unit_test(so_many_guests_stand_at_the_door_and_no_more),
        cmocka_unit_test(two_with_proofs_of_the_same_secret_are_one_guest),
        cmocka_unit_test(a_wrong_proof_costs_the_connection_and_no_invitation),
        cmocka_unit_test(an_invitation_ends_at_its_time),
        cmocka_unit_test(a_host_without_the_secret_is_found_out),
        cmocka_unit_test(whoever_leaves_when_nothing_is_left),
    };
    make_folder();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (unsigned i = 1; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%u", folder, i);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    return failed;
}
