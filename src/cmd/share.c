/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith share: serves files and folders to whoever has the ticket. */
#include "host/share_serve.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/share_ticket.h"
#include "cmd/listen.h"
#include "cmd/qr.h"
#include "cmd/session.h"
#include "cmd/share_text.h"
#include "crypto/crypto.h"
#include "host/json.h"

#define TICK_MS 250
#define GOODBYE_MS 150 /* for the last words to receivers */

typedef struct share {
    session s;
    kith_share_src *src;
    kith_share_serve *serve;
    uv_timer_t timer;
    kith_ticket ticket;
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX]; /* without /p2p, the best first */
    size_t addr_count;
    bool qr, tty, sharing, leaving;
    unsigned long long times;
    uint64_t delivered;
} share;

static bool lines(const share *c)
{
    return c->tty && !c->s.json;
}

/* ---- the ticket ---- */

/* The higher the better to have in a ticket; 0: of no use to others. */
static int worth(const kith_maddr *a)
{
    switch (kith_maddr_scope(a)) {
    case KITH_IP_PUBLIC:
        return 4;
    case KITH_IP_PRIVATE:
        return 3;
    case KITH_IP_OTHER:
        return 2; /* names */
    case KITH_IP_LOOPBACK:
        return 1; /* when there is nothing else */
    case KITH_IP_LINK:
        return 0;
    }
    return 0;
}

static void rank_addrs(share *c)
{
    kith_maddr_part p2p;
    int best = 0;
    for (size_t i = 0; i < c->addr_count; i++) {
        if (kith_maddr_find(&c->addrs[i], KITH_MA_P2P, &p2p) && kith_maddr_set_peer(&c->addrs[i], NULL))
            c->addrs[i].len = 0;
        if (worth(&c->addrs[i]) > best)
            best = worth(&c->addrs[i]);
    }
    for (int w = best; w > (best > 1 ? 1 : 0); w--) {
        for (size_t i = 0; i < c->addr_count && c->ticket.addr_count < KITH_TICKET_ADDRS_MAX; i++) {
            if (c->addrs[i].len > 0 && worth(&c->addrs[i]) == w)
                c->ticket.addrs[c->ticket.addr_count++] = c->addrs[i];
        }
    }
}

static void say_json_ticket(const share *c, const char *text, uint64_t bytes, size_t files, size_t dirs,
                            size_t links)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1], id[2 * KITH_BLAKE3_LEN + 1];
    json_t *list = json_array();
    kith_peer_id_text(&c->ticket.peer, peer);
    for (size_t i = 0; i < c->ticket.addr_count; i++) {
        kith_maddr_text(&c->ticket.addrs[i], addr);
        json_array_append_new(list, json_string(addr));
    }
    kith_wr w = kith_wr_of(kith_span_of(id, sizeof id - 1));
    kith_put_hex(&w, kith_bytes_of(c->ticket.root, sizeof c->ticket.root));
    id[w.len] = 0;
    session_print(json_pack("{s:s, s:s, s:s, s:s, s:O, s:I, s:I, s:I, s:I}", "event", "ticket", "ticket",
                            text, "share", id, "peer", peer, "addrs", list, "files", (json_int_t)files,
                            "folders", (json_int_t)dirs, "links", (json_int_t)links, "bytes",
                            (json_int_t)bytes));
    json_decref(list);
}

static void say_ticket(share *c)
{
    char text[KITH_TICKET_TEXT_MAX + 1], size[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX];
    uint64_t bytes;
    size_t files, dirs, links;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    memcpy(c->ticket.root, kith_share_serve_root(c->serve), sizeof c->ticket.root);
    if (kith_ticket_text(&c->ticket, &w)) {
        session_end(&c->s, cmd_fail(EXIT_FAILED, "the ticket is too long"));
        return;
    }
    text[w.len] = 0;
    kith_share_src_counts(c->src, &bytes, &files, &dirs, &links);
    if (c->s.json) {
        say_json_ticket(c, text, bytes, files, dirs, links);
        return;
    }
    fprintf(stderr, "sharing %s, %s; on the other machine: kith get TICKET\n",
            share_text_counts(files, dirs, links, counts), share_text_size(bytes, size));
    puts(text);
    if (c->qr)
        qr_print(text);
    fflush(stdout);
    fprintf(stderr, "serving until Ctrl-C%s\n",
            c->times == 1 ? ", or until it was fetched once"
            : c->times    ? ", or until it is used up"
                          : "");
}

/* ---- events ---- */

static const char *who(const kith_share_session *s, char out[KITH_PEER_ID_TEXT_MAX + 1])
{
    kith_peer_id_text(&s->peer, out);
    return out;
}

static json_t *event_json(const char *name, const kith_share_session *s)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    json_t *o =
        json_pack("{s:s, s:I, s:s}", "event", name, "transfer", (json_int_t)s->id, "peer", who(s, peer));
    share_text_conn_json(o, s->conn);
    return o;
}

static void on_began(const kith_share_session *s, bool json)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1], channel[2 * SHARE_TEXT_MAX], addr[KITH_MADDR_TEXT_MAX + 1];
    kith_conn_facts f;
    if (json) {
        session_print(event_json("transfer_began", s));
        return;
    }
    kith_conn_facts_get(s->conn, &f);
    kith_maddr_text(&f.remote, addr);
    fprintf(stderr, "%llu: sending to %s at %s: %s, %s\n", (unsigned long long)s->id, who(s, peer), addr,
            share_text_path(s->conn), share_text_channel(s->conn, channel));
}

static void on_done(share *c, const kith_share_serve_event *ev)
{
    const kith_share_session *s = ev->session;
    kith_time t = kith_host_now(c->s.host) - s->began;
    char size[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX], counts[SHARE_TEXT_MAX], took[SHARE_TEXT_MAX];
    c->delivered++;
    if (c->s.json) {
        json_t *o = event_json("transfer_done", s);
        json_object_set_new(o, "files", json_integer((json_int_t)ev->files));
        json_object_set_new(o, "bytes", json_integer((json_int_t)ev->bytes));
        json_object_set_new(o, "seconds", json_real((double)t / 1e9));
        session_print(o);
        return;
    }
    fprintf(stderr, "%llu: delivered %s, %s in %s, %s\n", (unsigned long long)s->id,
            share_text_counts(ev->files, 0, 0, counts), share_text_size(ev->bytes, size),
            share_text_time(t, took), share_text_speed(ev->bytes, t, speed));
}

static void on_ended(const share *c, const kith_share_serve_event *ev)
{
    const kith_share_session *s = ev->session;
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    if (c->s.json) {
        json_t *o = event_json("transfer_ended", s);
        json_object_set_new(o, "bytes", json_integer((json_int_t)s->bytes));
        json_object_set_new(o, "text", kith_json_text(ev->text));
        session_print(o);
    } else if (s->id > 0) {
        fprintf(stderr, "%llu: not delivered: %s\n", (unsigned long long)s->id, ev->text);
    } else {
        fprintf(stderr, "%s came and got nothing: %s\n", who(s, peer), ev->text);
    }
}

static void leave(share *c, int code);

static void on_event(void *ctx, const kith_share_serve_event *ev)
{
    share *c = ctx;
    if (lines(c))
        share_text_clear();
    switch (ev->kind) {
    case KITH_SHARE_SERVE_HASHED:
        c->sharing = true;
        say_ticket(c);
        break;
    case KITH_SHARE_SERVE_FAILED:
        session_end(&c->s, cmd_fail(EXIT_FAILED, "%s", ev->text));
        break;
    case KITH_SHARE_SERVE_BEGAN:
        on_began(ev->session, c->s.json);
        break;
    case KITH_SHARE_SERVE_DONE:
        on_done(c, ev);
        break;
    case KITH_SHARE_SERVE_ENDED:
        on_ended(c, ev);
        break;
    case KITH_SHARE_SERVE_USED_UP:
        leave(c, EXIT_OK);
        break;
    }
}

/* ---- the line that moves ---- */

static void show_progress(const share *c)
{
    char done[SHARE_TEXT_MAX], all[SHARE_TEXT_MAX], speed[SHARE_TEXT_MAX];
    uint64_t hashed, total;
    kith_share_serve_hashed(c->serve, &hashed, &total);
    if (!c->sharing) {
        share_text_line("reading %s of %s", share_text_size(hashed, done), share_text_size(total, all));
        return;
    }
    size_t n = 0;
    const kith_share_session *last = NULL;
    for (kith_share_session *s = NULL; (s = kith_share_serve_next(c->serve, s)) != NULL; n++)
        last = s;
    if (!last)
        return;
    kith_time t = kith_host_now(c->s.host) - last->began;
    share_text_line("%llu: %s of %s, %s, %s%s", (unsigned long long)last->id,
                    share_text_size(last->bytes, done), share_text_size(total, all),
                    share_text_speed(last->bytes, t, speed), share_text_path(last->conn),
                    n > 1 ? " (and others)" : "");
}

static void on_timer(uv_timer_t *t)
{
    share *c = t->data;
    if (c->leaving)
        session_end(&c->s, c->s.code);
    else if (lines(c))
        show_progress(c);
}

/* Tells the receivers, then ends. */
static void leave(share *c, int code)
{
    if (c->leaving)
        return;
    c->leaving = true;
    c->s.code = code;
    kith_share_serve_stop(c->serve);
    uv_timer_start(&c->timer, on_timer, GOODBYE_MS, 0);
}

static void on_interrupt(void *ctx)
{
    share *c = ctx;
    if (lines(c))
        share_text_clear();
    if (!c->s.json && c->sharing)
        fprintf(stderr, "stopped; fetched %llu time%s\n", (unsigned long long)c->delivered,
                c->delivered == 1 ? "" : "s");
    leave(c, c->sharing ? EXIT_OK : EXIT_INTERRUPTED);
}

static void on_stop(void *ctx)
{
    share *c = ctx;
    uv_close((uv_handle_t *)&c->timer, NULL);
}

/* ---- running ---- */

static void on_warn(void *ctx, const char *line)
{
    (void)ctx;
    cmd_warn("%s", line);
}

static int collect(share *c, const cmd_args *args)
{
    char why[KITH_SHARE_SRC_WHY_MAX];
    c->src = kith_share_src_new(on_warn, NULL);
    kith_err e = c->src ? KITH_OK : KITH_ENOMEM;
    why[0] = 0;
    for (size_t i = 0; i < args->rest_count && !e; i++)
        e = kith_share_src_add(c->src, args->rest[i], why);
    for (size_t i = 0; i < args->after_count && !e; i++)
        e = kith_share_src_add(c->src, args->after[i], why);
    if (!e)
        e = kith_share_src_begin(c->src, why);
    if (!e)
        return EXIT_OK;
    kith_share_src_free(c->src);
    return cmd_fail(EXIT_FAILED, "%s", why[0] ? why : "no memory");
}

static int serve(share *c)
{
    int code =
        listen_as_configured(&c->s, LISTEN_WELL_KNOWN, c->addrs, KITH_RECORD_ADDRS_MAX, &c->addr_count);
    if (code) {
        kith_share_src_free(c->src);
        return code;
    }
    const kith_rand os = kith_random_os();
    c->ticket.peer = *kith_node_id(kith_host_node(c->s.host));
    if (c->s.config.node.pq != KITH_PQ_OFF) /* else this node proves no such key */
        c->ticket.pq = kith_pq_id_of_signer(c->s.pq_signer);
    c->ticket.secret_len = KITH_TICKET_SECRET_LEN;
    os.fn(os.ctx, kith_span_of(c->ticket.secret, KITH_TICKET_SECRET_LEN));
    rank_addrs(c);
    const kith_share_serve_config cfg = {
        .host = c->s.host,
        .src = c->src,
        .secret = kith_bytes_of(c->ticket.secret, c->ticket.secret_len),
        .times = c->times,
        .event = on_event,
        .ctx = c,
    };
    c->serve = kith_share_serve_new(&cfg);
    return c->serve ? EXIT_OK : cmd_fail(EXIT_FAILED, "no memory");
}

static int run(const cmd_args *args)
{
    static share c; /* addresses make it large */
    c.qr = cmd_has(args, "qr");
    if (args->rest_count + args->after_count == 0)
        return cmd_fail(EXIT_USAGE, "share: say which files or folders to share");
    if (cmd_has(args, "once") && cmd_has(args, "times"))
        return cmd_fail(EXIT_USAGE, "share: give either --once or --times");
    if (!cmd_number(args, "times", cmd_has(args, "once"), 1, 1ull << 32, &c.times))
        return EXIT_USAGE;
    int code = collect(&c, args);
    if (code)
        return code;
    code = session_start(&c.s, args);
    if (code) {
        kith_share_src_free(c.src);
        return code;
    }
    session_open_book(&c.s);
    c.tty = isatty(STDERR_FILENO);
    c.s.on_stop = on_stop;
    c.s.on_interrupt = on_interrupt;
    c.s.ctx = &c;
    uv_timer_init(kith_host_loop(c.s.host), &c.timer);
    c.timer.data = &c;
    code = serve(&c);
    if (code)
        session_end(&c.s, code);
    else
        uv_timer_start(&c.timer, on_timer, TICK_MS, TICK_MS);
    code = session_run(&c.s);
    kith_share_serve_free(c.serve);
    kith_wipe(&c.ticket, sizeof c.ticket);
    return code;
}

static const cmd_option options[] = {
    {.name = "qr", .help = "also draw the ticket as a QR code"},
    {.name = "once", .help = "stop when it was fetched once"},
    {.name = "times", .arg = "N", .help = "stop when it was fetched N times"},
    {.name = "json", .help = "print one event per line; the first is the ticket"},
    {0},
};

const cmd cmd_share = {
    .name = "share",
    .summary = "share files and folders with whoever has the ticket",
    .usage = "PATH... [--qr] [--once | --times N] [--json]",
    .about =
        "Reads the files once to hash them, prints a ticket to stdout and serves until Ctrl-C. Whoever has the\n"
        "ticket can fetch everything in it with 'kith get TICKET' while this command runs: treat it like a key.\n"
        "The ticket holds our peer id, our addresses, a secret, and the hash of what is shared, so the receiver\n"
        "gets exactly this, from us, over an encrypted channel, or an error.",
    .examples = "  kith share holiday/\n"
                "  kith share report.pdf photos/ --once --qr\n"
                "  kith share -- -odd-name-\n",
    .options = options,
    .node = true,
    .args_max = 4096,
    .run = run,
};
