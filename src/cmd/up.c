/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith up: the node that stays, with its control socket and console. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "cmd/call.h"
#include "cmd/console.h"
#include "cmd/detach.h"
#include "cmd/discover.h"
#include "cmd/listen.h"
#include "cmd/message.h"
#include "cmd/outlet.h"
#include "host/control.h"
#include "host/discover.h"
#include "host/json.h"
#include "host/metrics_http.h"
#include "host/paths.h"
#include "host/reach.h"
#include "host/trust_methods.h"
#include "proto/perf.h"

typedef struct up {
    session s;
    kith_observer watch;
    kith_names_watch names;
    kith_list unnamed; /* connections that are not told yet: what their peers call themselves is on its way */
    kith_lan_watch lan;
    kith_keeper *keeper;
    kith_service *service;
    kith_control *control;
    kith_metrics_http *metrics; /* NULL: nobody wants them over HTTP */
    char metrics_at[KITH_METRICS_HTTP_ADDR_MAX + 1];
    console *console;
    outlet *out, *err; /* NULL: stdout and stderr are a log file, or a terminal with a console on it */
    char identity[KITH_PATH_MAX];
    bool detached; /* output is the log file: every line has its time */
    char log[KITH_PATH_MAX];
} up;

typedef struct unnamed {
    kith_link link;
    kith_conn *conn;
    kith_peer_id peer;
} unnamed;

static void *serve_perf(void *ctx, const kith_stream_info *info)
{
    (void)info;
    return kith_perf_server(kith_node_env(ctx));
}

/* ---- telling ---- */

static void stamp(const up *u, FILE *f)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    if (u->detached && localtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S ", &tm))
        fputs(text, f);
}

/* An event about a peer, with the name that its user gave it. */
static json_t *event_of(const up *u, const char *event, const kith_peer_id *peer)
{
    json_t *o = json_pack("{s:s, s:o}", "event", event, "peer", kith_json_peer(peer));
    kith_json_add_trust(o, u->s.trust, peer);
    kith_json_add_self_name(o, u->s.names, peer);
    return o;
}

static void say_connected(const up *u, FILE *f, const kith_conn *c)
{
    kith_conn_facts known;
    kith_conn_facts_get(c, &known);
    json_t *o = event_of(u, "peer_connected", &known.peer), *facts = kith_json_conn(c);
    json_object_update(o, facts);
    json_decref(facts);
    if (u->s.json) {
        session_print_to(f, o);
        return;
    }
    stamp(u, f);
    fputs(strcmp(call_text(o, "direction"), "inbound") == 0 ? "connected from " : "connected to ", f);
    call_print_who(f, o);
    fprintf(f, " %s (%s%s) ", call_text(o, "addr"), call_text(o, "secure_channel"),
            call_true(o, "pq") ? "" : ", NOT post-quantum");
    call_print(f, call_text(o, "agent"));
    char words[512], resumed[96];
    const char *qkd = call_qkd(o, words);
    if (call_true(o, "resumed"))
        fprintf(f, ", %s%s", call_text(o, "pq_algorithm"), call_resumed(o, resumed));
    if (qkd)
        fprintf(f, ", QKD %s", qkd);
    fputc('\n', f);
    json_decref(o);
}

/* False: it is not among them. */
static bool take_unnamed(const up *u, const kith_conn *c)
{
    KITH_EACH (&u->unnamed, k) {
        unnamed *w = KITH_OF(k, unnamed, link);
        if (w->conn != c)
            continue;
        kith_link_remove(&w->link);
        free(w);
        return true;
    }
    return false;
}

static void say_disconnected(const up *u, FILE *f, const kith_node_event *ev)
{
    kith_conn_facts facts;
    const char *why = ev->why ? ev->why : kith_err_text(ev->err);
    kith_conn_facts_get(ev->conn, &facts);
    if (!facts.identified || take_unnamed(u, ev->conn))
        say_connected(u, f, ev->conn); /* it was over before that was told: both are told now */
    json_t *o = event_of(u, "peer_disconnected", &facts.peer);
    json_object_set_new(o, "reason", kith_json_text(why));
    json_object_set_new(o, "error", json_string(kith_err_name(ev->err)));
    if (u->s.json) {
        session_print_to(f, o);
        return;
    }
    stamp(u, f);
    fputs("disconnected ", f);
    call_print_who(f, o);
    fprintf(f, ": %s\n", why);
    json_decref(o);
}

/* Somebody who proved who it is and is not wanted: unlike the many who never come so far, a matter for the user. */
static void say_refused(const up *u, FILE *f, const kith_node_event *ev)
{
    kith_conn_facts facts;
    kith_conn_facts_get(ev->conn, &facts);
    json_t *o = event_of(u, "refused", &facts.peer);
    json_object_set_new(o, "addr", kith_json_addr(&ev->addr));
    json_object_set_new(o, "reason", kith_json_text(ev->why));
    json_object_set_new(o, "error", json_string(kith_err_name(ev->err)));
    if (u->s.json) {
        session_print_to(f, o);
        return;
    }
    stamp(u, f);
    fputs("refused from ", f);
    call_print_who(f, o);
    fprintf(f, " %s: ", call_text(o, "addr"));
    call_print(f, ev->why);
    fputc('\n', f);
    json_decref(o);
}

static bool tells(const kith_node_event *ev)
{
    kith_conn_facts facts;
    if (ev->kind != KITH_NODE_REFUSED)
        return ev->kind == KITH_NODE_IDENTIFIED || ev->kind == KITH_NODE_DISCONNECTED;
    kith_conn_facts_get(ev->conn, &facts);
    return facts.peer.len > 0 && (ev->err == KITH_EAUTH || ev->err == KITH_EPOLICY);
}

/* What is to be told as one piece. */
typedef struct saying {
    FILE *f; /* NULL: no memory */
    char *text;
    size_t len;
} saying;

static bool say_begin(saying *s)
{
    *s = (saying){0};
    s->f = open_memstream(&s->text, &s->len);
    return s->f != NULL;
}

static void say_end(const up *u, saying *s)
{
    fclose(s->f);
    if (u->out) {
        outlet_put(u->out, s->text, s->len);
    } else {
        console_pause(u->console);
        fwrite(s->text, 1, s->len, stdout);
        console_resume(u->console);
        fflush(stdout);
    }
    free(s->text);
    if (u->detached)
        detach_turn_log(u->log);
}

/* Whether a new connection is told once its peer has said what it calls itself, or did not for a while. */
static bool await_name(up *u, kith_conn *c)
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    unnamed *w = kith_names_await(u->s.names, c) ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return false;
    w->conn = c;
    w->peer = f.peer;
    kith_list_push(&u->unnamed, &w->link);
    return true;
}

static void on_settled(void *ctx, const kith_peer_id *peer)
{
    const up *u = ctx;
    saying s;
    KITH_EACH (&u->unnamed, k) {
        unnamed *w = KITH_OF(k, unnamed, link);
        if (!kith_peer_id_eq(&w->peer, peer))
            continue;
        if (say_begin(&s)) {
            say_connected(u, s.f, w->conn);
            say_end(u, &s);
        }
        kith_link_remove(&w->link);
        free(w);
    }
}

/* A server of the public DHT that was called for a question: they come and go by the dozen. */
static bool is_errand(const up *u, const kith_node_event *ev)
{
    kith_conn_facts facts;
    if (u->s.json || ev->kind == KITH_NODE_REFUSED || !kith_dht_is_started(u->s.dht) ||
        !kith_dht_is_public(&u->s.config.dht))
        return false;
    kith_conn_facts_get(ev->conn, &facts);
    return kith_kad_called(kith_dht_kad(u->s.dht), &facts.peer);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    up *u = ctx;
    saying s;
    if (!tells(ev) || is_errand(u, ev) || (ev->kind == KITH_NODE_IDENTIFIED && await_name(u, ev->conn)) ||
        !say_begin(&s))
        return;
    if (ev->kind == KITH_NODE_IDENTIFIED)
        say_connected(u, s.f, ev->conn);
    else if (ev->kind == KITH_NODE_REFUSED)
        say_refused(u, s.f, ev);
    else
        say_disconnected(u, s.f, ev);
    say_end(u, &s);
}

/* ---- the local network ---- */

/* Takes the reference. */
static void say_found(const up *u, json_t *o)
{
    saying s;
    if (say_begin(&s)) {
        if (u->s.json) {
            session_print_to(s.f, json_incref(o));
        } else {
            stamp(u, s.f);
            discover_line(s.f, o);
        }
        say_end(u, &s);
    }
    json_decref(o);
}

static void on_found(void *ctx, const kith_peer_id *peer, const char *interface)
{
    const up *u = ctx;
    say_found(u, kith_json_found(u->s.lan, u->s.trust, u->s.names, peer, interface));
}

static void on_lost(void *ctx, const kith_peer_id *peer)
{
    const up *u = ctx;
    saying s;
    if (!say_begin(&s))
        return;
    json_t *o = event_of(u, "peer_lost", peer);
    json_object_set_new(o, "source", json_string("mdns"));
    if (u->s.json) {
        session_print_to(s.f, json_incref(o));
    } else {
        stamp(u, s.f);
        fputs("lost ", s.f);
        call_print_who(s.f, o);
        fputs(": it is not on the local network any more\n", s.f);
    }
    json_decref(o);
    say_end(u, &s);
}

static void on_met(void *ctx, const kith_peer_id *peer, const kith_maddr *addrs, size_t count)
{
    const up *u = ctx;
    say_found(u, kith_json_found_by(u->s.trust, u->s.names, peer, "rendezvous", "", addrs, count));
}

static void on_lan_closed(void *ctx)
{
    (void)ctx;
}

/* Once it listens: a node that only listens on loopback does not look for anybody. */
static void join_lan(up *u)
{
    u->lan = (kith_lan_watch){.found = on_found, .lost = on_lost, .closed = on_lan_closed, .ctx = u};
    if (!u->s.lan)
        return;
    kith_lan_stay(u->s.lan);
    kith_lan_overhear(u->s.lan, &u->lan);
}

/* ---- messages ---- */

static void on_message(void *ctx, const json_t *event)
{
    const up *u = ctx;
    saying s;
    if (!say_begin(&s))
        return;
    if (u->s.json) {
        session_print_to(s.f, json_incref((json_t *)(uintptr_t)event));
    } else {
        stamp(u, s.f);
        message_print(s.f, event);
    }
    say_end(u, &s);
}

static void say_listening(const up *u, const kith_maddr *addrs, size_t count)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], text[KITH_MADDR_TEXT_MAX + 1];
    json_t *list = json_array();
    kith_peer_id_text(kith_node_id(kith_host_node(u->s.host)), peer);
    if (!u->s.json)
        printf("peer id %s\n", peer);
    for (size_t i = 0; i < count; i++) {
        kith_maddr_text(&addrs[i], text);
        json_array_append_new(list, json_string(text));
        if (!u->s.json)
            printf("listening on %s\n", text);
    }
    const char *network = kith_host_network(u->s.host);
    if (u->s.json)
        session_print(json_pack("{s:s, s:s, s:O, s:s*, s:s*}", "event", "listening", "peer", peer, "addrs",
                                list, "metrics", u->metrics ? u->metrics_at : NULL, "network_fingerprint",
                                network));
    else if (u->metrics)
        printf("metrics on http://%s/metrics\n", u->metrics_at);
    if (!u->s.json && network)
        printf("in a private network, key fingerprint %s\n", network);
    json_decref(list);
    fflush(stdout);
}

/* ---- starting and stopping ---- */

static void on_quit(void *ctx)
{
    up *u = ctx;
    session_end(&u->s, EXIT_OK);
}

static void on_interrupt(void *ctx)
{
    up *u = ctx;
    if (console_interrupt(u->console))
        u->s.interrupted = false;
    else
        session_end(&u->s, EXIT_OK); /* Ctrl-C is how one stops it */
}

static void on_stop(void *ctx)
{
    up *u = ctx;
    kith_service_close(u->service);
    kith_keeper_close(u->keeper);
    kith_standing_close(u->s.standing);
    kith_control_close(u->control);
    kith_metrics_http_close(u->metrics);
    console_close(u->console);
    cmd_warn_to(NULL, NULL);
    outlet_close(u->out);
    outlet_close(u->err);
}

/* The one node of this home: its lock, or an exit code. */
static int take_home(int *lock)
{
    char path[KITH_PATH_MAX];
    long pid = 0;
    int e = kith_path_make(KITH_PLACE_STATE);
    *lock = -1;
    if (!e && kith_path(KITH_PLACE_STATE, "kith.pid", path))
        e = *lock = kith_control_lock(path, &pid);
    if (e >= 0)
        return EXIT_OK;
    char who[32] = "";
    if (pid > 0) /* else the disk was full when it wrote its file */
        snprintf(who, sizeof who, " (pid %ld)", pid);
    if (e == -EWOULDBLOCK)
        return cmd_fail(EXIT_BUSY,
                        "a node is running here already%s; 'kith status' shows it, 'kith stop' stops it, and "
                        "KITH_HOME names another home",
                        who);
    return cmd_fail(EXIT_DISK, "cannot lock %s: %s", path, strerror(-e));
}

static int open_control(up *u)
{
    char path[KITH_PATH_MAX];
    if (!kith_path(KITH_PLACE_STATE, "control.sock", path))
        return cmd_fail(EXIT_CONFIG, "no place for the control socket: set HOME or KITH_HOME");
    int e = kith_control_open(kith_host_loop(u->s.host), path, kith_service_methods, u->service, &u->control);
    return e ? cmd_fail(EXIT_DISK, "cannot open the control socket %s: %s", path, uv_strerror(e)) : EXIT_OK;
}

static void on_banned(void *ctx, const kith_peer_id *peer, const kith_reputation_facts *f)
{
    const up *u = ctx;
    saying s;
    char when[48];
    if (!say_begin(&s))
        return;
    json_t *o = event_of(u, "peer_banned", peer);
    json_object_set_new(o, "until", json_integer((json_int_t)f->banned_until));
    json_object_set_new(o, "reputation", kith_standing_json(u->s.standing, peer));
    if (u->s.json) {
        session_print_to(s.f, json_incref(o));
    } else {
        stamp(u, s.f);
        fputs("banned ", s.f);
        call_print_who(s.f, o);
        fprintf(
            s.f,
            " until %s, for what it did: 'kith peers --detailed' has the reasons, 'kith trust unban' lifts it\n",
            call_when((long long)f->banned_until, when));
    }
    json_decref(o);
    say_end(u, &s);
}

static void on_standing_log(void *ctx, const char *line)
{
    (void)ctx;
    cmd_warn("%s", line);
}

static int judge_peers(up *u)
{
    char path[KITH_PATH_MAX];
    bool kept = kith_path(KITH_PLACE_STATE, "reputation.db", path);
    u->s.standing = kith_standing_new(&(kith_standing_config){.host = u->s.host,
                                                              .path = kept ? path : NULL,
                                                              .trust = u->s.trust,
                                                              .banned = on_banned,
                                                              .banned_ctx = u,
                                                              .log = on_standing_log});
    if (!u->s.standing)
        return cmd_fail(EXIT_FAILED, "no memory");
    if (u->s.lan)
        kith_lan_avoid(u->s.lan, kith_standing_avoids, u->s.standing);
    if (u->s.rendezvous)
        kith_rendezvous_avoid(u->s.rendezvous, kith_standing_avoids, u->s.standing);
    return EXIT_OK;
}

/* Stays connected to those that the configuration names. */
static int keep_peers(up *u)
{
    const kith_config *c = &u->s.config;
    char why[KITH_WHY_MAX];
    u->keeper = kith_keeper_new(&(kith_keeper_config){.host = u->s.host,
                                                      .book = u->s.book,
                                                      .lan = u->s.lan,
                                                      .trust = u->s.trust,
                                                      .standing = u->s.standing,
                                                      .low = c->conns_low,
                                                      .high = c->conns_high,
                                                      .grace = c->conns_grace});
    for (size_t i = 0; i < c->keep_count; i++) {
        kith_peer_id peer;
        kith_maddr addr;
        if (kith_target_parse(c->keep[i], u->s.trust, &peer, &addr, why))
            return cmd_fail(EXIT_CONFIG, "keep: %s", why);
        if (!u->keeper || kith_keeper_keep(u->keeper, &peer, addr.len ? &addr : NULL))
            return cmd_fail(EXIT_FAILED, "no memory");
    }
    return u->keeper ? EXIT_OK : cmd_fail(EXIT_FAILED, "no memory");
}

static char *metrics_text(void *ctx)
{
    return kith_service_metrics(ctx);
}

static int open_metrics(up *u)
{
    const char *text = u->s.config.metrics;
    struct sockaddr_storage at;
    if (!text[0] || kith_metrics_http_addr(text, &at))
        return EXIT_OK;
    kith_metrics_http_config cfg = {.text = metrics_text, .ctx = u->service};
    int e = kith_metrics_http_open(kith_host_loop(u->s.host), &at, &cfg, &u->metrics, u->metrics_at);
    return e ? cmd_fail(EXIT_BUSY, "cannot serve metrics on %s: %s; '--metrics' names another address", text,
                        uv_strerror(e))
             : EXIT_OK;
}

static int begin(up *u)
{
    (void)kith_path(KITH_PLACE_CONFIG, "identity", u->identity);
    session_open_book(&u->s);
    session_open_messages(&u->s);
    if (u->s.config.perf) {
        kith_node *n = kith_host_node(u->s.host);
        kith_protocol row = {
            .id = kith_bytes_str(KITH_PERF_ID), .ops = &kith_perf_ops, .accept = serve_perf, .ctx = n};
        if (kith_node_serve(n, kith_host_now(u->s.host), &row))
            return cmd_fail(EXIT_FAILED, "no memory");
    }
    int code = judge_peers(u);
    if (!code)
        code = keep_peers(u);
    if (code)
        return code;
    u->names = (kith_names_watch){.settled = on_settled, .ctx = u};
    kith_names_set_watch(u->s.names, &u->names);
    u->watch = (kith_observer){.event = on_event, .ctx = u};
    kith_host_observe(u->s.host, &u->watch);
    kith_service_config cfg = {.host = u->s.host,
                               .book = u->s.book,
                               .lan = u->s.lan,
                               .reputation = u->s.standing,
                               .keeper = u->keeper,
                               .dht = u->s.dht,
                               .rendezvous = u->s.rendezvous,
                               .trust = u->s.trust,
                               .names = u->s.names,
                               .identity = u->s.identity,
                               .identity_file = u->identity,
                               .version = KITH_VERSION,
                               .signer = u->s.signer,
                               .pq_signer = u->s.pq_signer,
                               .messages = u->s.messages,
                               .message_rate = u->s.config.node.limits.rate_messages,
                               .tell = on_message,
                               .tell_ctx = u,
                               .standing = true,
                               .stop = on_quit,
                               .stop_ctx = u};
    u->service = kith_service_new(&cfg);
    if (!u->service)
        return cmd_fail(EXIT_FAILED, "no memory");
    if (!kith_service_take_messages(u->service))
        cmd_warn("going on without messages: their file cannot be read");
    const char *wrong =
        u->s.config.gossip ? kith_service_join_topics(u->service, u->s.config.gossip_topics) : NULL;
    if (wrong)
        return cmd_fail(EXIT_CONFIG, "gossip.topics: %s", wrong);
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t count;
    code = listen_as_configured(&u->s, LISTEN_WELL_KNOWN, addrs, KITH_RECORD_ADDRS_MAX, &count);
    if (!code)
        code = open_control(u);
    if (!code)
        code = open_metrics(u);
    if (!code)
        say_listening(u, addrs, count);
    if (!code && u->s.dht && !kith_dht_start(u->s.dht))
        return cmd_fail(EXIT_FAILED, "no memory");
    if (!code && u->s.rendezvous) {
        kith_rendezvous_watch(u->s.rendezvous, on_met, u);
        if (!kith_rendezvous_stay(u->s.rendezvous))
            return cmd_fail(EXIT_FAILED, "no memory");
    }
    return code;
}

static void on_warning(void *ctx, const char *line, size_t len)
{
    outlet_put(ctx, line, len);
}

/* From here on no reader holds up the node. */
static int open_outlets(up *u)
{
    uv_loop_t *loop = kith_host_loop(u->s.host);
    u->out = outlet_open(loop, STDOUT_FILENO, u->s.json);
    u->err = outlet_open(loop, STDERR_FILENO, false);
    if (u->err)
        cmd_warn_to(on_warning, u->err);
    return u->out && u->err ? EXIT_OK : cmd_fail(EXIT_FAILED, "no memory");
}

static int settle(up *u, int ready)
{
    if (ready < 0) {
        if (!u->s.json)
            u->console = console_open(&u->s, u->service, on_quit, u);
        return u->console ? EXIT_OK : open_outlets(u);
    }
    if (kith_path_make(KITH_PLACE_STATE) || !kith_path(KITH_PLACE_STATE, "kith.log", u->log))
        return cmd_fail(EXIT_DISK, "no place for the log file: set HOME or KITH_HOME");
    if (!u->s.json)
        printf("running in the background, pid %ld; events go to %s\n", (long)getpid(), u->log);
    u->detached = true;
    return detach_ready(ready, u->log);
}

static int run(const cmd_args *args)
{
    up u = {0};
    kith_list_init(&u.unnamed);
    int ready = -1, lock = -1, code;
    if (cmd_has(args, "detach")) {
        code = session_load_identity(&u.s, args); /* may ask for a passphrase, so while there is a terminal */
        if (code || (code = detach_begin(&ready)) >= 0) {
            session_drop_identity(&u.s);
            return code;
        }
    }
    code = take_home(&lock);
    if (code) {
        session_drop_identity(&u.s);
        return code;
    }
    code = session_start(&u.s, args);
    if (code)
        return code;
    u.s.on_interrupt = on_interrupt;
    u.s.on_stop = on_stop;
    u.s.ctx = &u;
    code = begin(&u);
    if (!code)
        code = settle(&u, ready);
    if (code)
        session_end(&u.s, code);
    else
        join_lan(&u);
    code = session_run(&u.s);
    console_free(u.console);
    kith_service_free(u.service);
    kith_keeper_free(u.keeper);
    for (kith_link *k; (k = kith_list_pop(&u.unnamed));)
        free(KITH_OF(k, unnamed, link));
    close(lock);
    return code;
}

static const cmd_option options[] = {
    {.name = "detach", .letter = 'd', .help = "go into the background once the node listens"},
    {.name = "json", .help = "print one JSON event per line"},
    {0},
};

const cmd cmd_up = {
    .name = "up",
    .summary = "run a node that stays",
    .usage =
        "[--listen ADDR]... [--mdns on|off] [--dht auto|client|server|off] [--metrics ADDR] [--perf] [--detach] [--json]",
    .about =
        "Listens, accepts peers, and tells who comes and goes, until Ctrl-C or 'kith stop'. On a terminal it has a\n"
        "console: 'help' lists its commands. Without --listen it takes port 9000 on IPv4 and IPv6, or the next\n"
        "free one. While it runs, the other commands use it.\n"
        "It is found by libp2p peers on the local network, finds them, and connects to the first few, unless\n"
        "--mdns off says otherwise or it listens on loopback only. It joins the public DHT of libp2p, as a client until\n"
        "others can reach it, unless --dht off says otherwise or it listens on loopback only.\n"
        "With --rendezvous.server on it is a point where the nodes that name it by --rendezvous.point find each other.",
    .examples =
        "  kith up\n"
        "  kith up --listen /ip4/127.0.0.1/tcp/0 --json\n"
        "  kith up --pq require --perf --detach\n"
        "  kith up --metrics 127.0.0.1:9464\n"
        "  kith up --rendezvous.point /ip4/192.0.2.7/tcp/9000/p2p/12D3KooW... --rendezvous.namespace club\n",
    .options = options,
    .node = true,
    .run = run,
};
