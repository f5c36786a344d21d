/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Running a node inside a command. */
#include "cmd/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/passphrase.h"
#include "crypto/crypto.h"
#include "host/paths.h"
#include "host/reach.h"

static void on_log(void *ctx, const char *line)
{
    (void)ctx;
    cmd_warn("%s", line);
}

void session_default_config(kith_config *c)
{
    kith_config_default(c);
    snprintf(c->agent, sizeof c->agent, "kith/%s", KITH_VERSION);
}

int session_read_config(kith_config *c, const cmd_args *args)
{
    char path[KITH_PATH_MAX], err[KITH_CONFIG_ERR_MAX];
    session_default_config(c);
    const char *file = cmd_value(args, "config");
    if (file && snprintf(path, sizeof path, "%s", file) >= (int)sizeof path)
        return cmd_fail(EXIT_CONFIG, "the path of the configuration file is too long");
    if (file && access(file, F_OK)) /* the usual one need not be there */
        return cmd_fail(EXIT_CONFIG, "%s: %s", file, strerror(errno));
    if (!file && !kith_path(KITH_PLACE_CONFIG, "kith.ini", path))
        return cmd_fail(EXIT_CONFIG, "no home folder: set HOME or KITH_HOME");
    if (kith_config_load(c, path, err))
        return cmd_fail(EXIT_CONFIG, "%s", err);
    for (size_t i = 0; i < args->given_count; i++) {
        if (!args->given[i].key)
            continue;
        const kith_config_key *key = kith_config_find(args->given[i].name);
        if (key->type == KITH_CONFIG_ADDRS && c->listen_from_file) {
            c->listen_from_file = false;
            c->listen_count = 0;
        }
        if (key->type == KITH_CONFIG_PEERS && c->bootstrap_from_file) {
            c->bootstrap_from_file = false;
            c->dht.bootstrap_count = 0;
        }
        if (key->type == KITH_CONFIG_POINTS && c->points_from_file) {
            c->points_from_file = false;
            c->rendezvous.point_count = 0;
        }
        if (kith_config_set(c, key, args->given[i].value, err))
            return cmd_fail(EXIT_USAGE, "--%s", err);
    }
    return EXIT_OK;
}

int session_load_network(const char *file, kith_network *out)
{
    const char *why;
    kith_err e = kith_network_load(file, out, &why);
    return e ? cmd_fail(EXIT_CONFIG, "cannot use the network key %s: %s", file, why) : EXIT_OK;
}

int session_load_identity(session *s, const cmd_args *args)
{
    char path[KITH_PATH_MAX], name[KITH_PATH_MAX + 32];
    const char *why = NULL;
    int e = kith_path_make(KITH_PLACE_CONFIG);
    if (e || !kith_path(KITH_PLACE_CONFIG, "identity", path))
        return cmd_fail(EXIT_CONFIG, "cannot make the configuration folder: %s", strerror(-e));
    snprintf(name, sizeof name, "the identity file %s", path);
    if (kith_crypto_init())
        return cmd_fail(EXIT_FAILED, "%s lacks ML-KEM or ML-DSA: OpenSSL 3.5 or newer is needed",
                        kith_crypto_version());
    if (kith_identity_load(path, &s->identity, &why))
        return cmd_fail(EXIT_CONFIG, "cannot use %s: %s", name, why ? why : "no memory");
    int code = passphrase_unlock(args, s->identity, name);
    if (!code) {
        kith_err bad = kith_identity_keys(s->identity, &s->signer, &s->pq_signer);
        if (bad)
            code = cmd_fail(EXIT_CONFIG, "cannot use %s: %s", name, kith_identity_trouble(bad));
    }
    if (code)
        session_drop_identity(s);
    return code;
}

void session_drop_identity(session *s)
{
    kith_signer_free(s->signer);
    kith_pq_signer_free(s->pq_signer);
    kith_identity_free(s->identity);
    s->signer = NULL;
    s->pq_signer = NULL;
    s->identity = NULL;
}

/* A file that cannot be read is no reason to trust everybody. */
kith_trust *session_open_trust(int *code)
{
    char path[KITH_PATH_MAX];
    const char *why;
    bool in_use;
    int e = kith_path_make(KITH_PLACE_STATE);
    if (e || !kith_path(KITH_PLACE_STATE, "trust.db", path)) {
        *code = cmd_fail(EXIT_DISK, "cannot make the state folder: %s", strerror(-e));
        return NULL;
    }
    kith_trust *t = kith_trust_open(path, &why, &in_use);
    if (t)
        kith_trust_on_trouble(t, on_log, NULL);
    else if (in_use)
        *code = cmd_fail(
            EXIT_BUSY,
            "cannot read whom to trust from %s: %s, and does not let go; a kith that was suspended (Ctrl-Z) may be the one: "
            "continue or end it, and try again",
            path, why);
    else
        *code = cmd_fail(
            EXIT_DAMAGED,
            "cannot read whom to trust from %s: %s; bring it back from a copy, or move it away to begin anew: every "
            "peer is then met for the first time",
            path, why);
    return t;
}

static void on_signal(uv_signal_t *sig, int number)
{
    session *s = sig->data;
    (void)number;
    if (s->interrupted)
        _Exit(EXIT_INTERRUPTED); /* asked a second time */
    s->interrupted = true;
    if (s->on_interrupt)
        s->on_interrupt(s->ctx);
    else
        session_end(s, EXIT_INTERRUPTED);
}

static void watch_signals(session *s)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;
    for (int i = 0; i < 3; i++) {
        uv_signal_init(kith_host_loop(s->host), &s->signals[i]);
        s->signals[i].data = s;
        if (numbers[i] == SIGHUP && sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            continue; /* nohup */
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
    }
}

/* The statements of the last SUCCESSORS_DAYS: each makes every handshake longer by 7 KB, so not for ever. */
#define SUCCESSORS_DAYS 90
static size_t recent_successors(const kith_identity *id, kith_bytes out[KITH_SUCCESSORS_MAX])
{
    kith_successor s;
    uint64_t now = (uint64_t)time(NULL), age = SUCCESSORS_DAYS * 86400ull;
    size_t count = kith_identity_successors(id, out), old = 0;
    while (old < count && kith_successor_parse(out[old], &s) == KITH_OK && now > age && s.time < now - age)
        old++;
    memmove(out, out + old, (count - old) * sizeof *out);
    return count - old;
}

/* What this node calls itself: by default as the machine is called, without its domain; "": nothing. */
static void choose_name(kith_config *c)
{
    if (strcmp(c->name, "-") == 0)
        c->name[0] = '\0';
    else if (!c->name[0] && gethostname(c->name, KITH_PEER_NAME_MAX + 1) == 0)
        c->name[strcspn(c->name, ".")] = '\0';
    if (!kith_peer_name_ok(kith_bytes_str(c->name)))
        c->name[0] = '\0';
}

static void open_names(session *s)
{
    kith_identity_facts f = kith_identity_facts_of(s->identity);
    choose_name(&s->config);
    s->names = kith_names_new(
        &(kith_names_config){.host = s->host,
                             .signer = s->signer,
                             .name = s->config.name,
                             .pq_signature = f.alg != KITH_SIG_NONE ? kith_sig_info_of(f.alg)->name : NULL,
                             .pq = s->config.node.pq});
}

static void open_dht(session *s)
{
    char path[KITH_PATH_MAX];
    bool kept = kith_path_make(KITH_PLACE_STATE) == 0 && kith_path(KITH_PLACE_STATE, "dht", path);
    if (s->config.dht.mode != KITH_DHT_OFF)
        s->dht = kith_dht_new(&(kith_dht_config){.host = s->host,
                                                 .settings = &s->config.dht,
                                                 .file = kept ? path : NULL,
                                                 .alone = s->config.node.pq == KITH_PQ_REQUIRE,
                                                 .log = on_log});
}

static void open_rendezvous(session *s)
{
    const kith_rendezvous_settings *r = &s->config.rendezvous;
    if (r->point_count > 0 || r->server)
        s->rendezvous = kith_rendezvous_new(&(kith_rendezvous_config){
            .host = s->host, .settings = r, .signer = s->signer, .trust = s->trust, .log = on_log});
}

/* With the identity loaded and the trust file open. */
static int make_host(session *s)
{
    kith_network network = {0};
    bool private = s->config.network_key[0] != '\0';
    int code = private ? session_load_network(s->config.network_key, &network) : EXIT_OK;
    if (code)
        return code;
    kith_trust_set_policy(s->trust, s->config.node.pq);
    kith_host_config cfg = {.node = s->config.node, .background = s->background, .log = on_log};
    const char *why;
    kith_bytes successors[KITH_SUCCESSORS_MAX];
    cfg.node.pq_successor_count = recent_successors(s->identity, successors);
    cfg.node.pq_successors = successors;
    cfg.node.signer = s->signer;
    cfg.node.pq_signer = s->pq_signer;
    cfg.node.network_key = private ? network.key : NULL;
    cfg.node.aes = !s->config.no_aes && kith_aead_is_fast(KITH_AEAD_AES_256_GCM);
    cfg.node.agent = s->config.agent;
    cfg.node.trust = kith_trust_ask;
    cfg.node.policy = kith_trust_policy_of;
    cfg.node.trust_ctx = s->trust;
    cfg.dns = s->config.dns;
    cfg.qkd = &s->config.qkd;
    s->host = kith_host_new(&cfg, &why);
    kith_wipe(network.key, sizeof network.key);
    if (!s->host)
        return cmd_fail(!private && kith_network_forced() ? EXIT_CONFIG : EXIT_FAILED, "cannot start: %s",
                        why);
    memcpy(s->config.dht.network, network.print, sizeof network.print);
    return EXIT_OK;
}

int session_start(session *s, const cmd_args *args)
{
    s->code = -1;
    s->json = cmd_has(args, "json");
    signal(SIGPIPE, SIG_IGN);
    int code = session_read_config(&s->config, args);
    if (!code && !s->identity)
        code = session_load_identity(s, args);
    if (code) {
        session_drop_identity(s);
        return code;
    }
    s->trust = session_open_trust(&code);
    if (!s->trust) {
        session_drop_identity(s);
        return code;
    }
    code = make_host(s);
    if (code) {
        kith_trust_close(s->trust);
        session_drop_identity(s);
        return code;
    }
    kith_trust_attach(s->trust, kith_host_loop(s->host));
    watch_signals(s);
    open_names(s);
    if (s->config.mdns)
        s->lan = kith_lan_new(&(kith_lan_config){
            .host = s->host, .trust = s->trust, .connect = s->config.mdns_connect, .log = on_log});
    open_dht(s);
    open_rendezvous(s);
    return EXIT_OK;
}

static void close_handles(void *ctx)
{
    session *s = ctx;
    for (int i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    if (s->on_stop)
        s->on_stop(s->ctx);
    kith_lan_close(s->lan);
    kith_dht_close(s->dht);
    kith_rendezvous_close(s->rendezvous);
}

int session_run(session *s)
{
    kith_host_on_stop(s->host, close_handles, s);
    kith_host_run(s->host);
    kith_dht_save(s->dht);
    kith_rendezvous_detach(s->rendezvous);
    kith_book_close(s->book);
    kith_message_store_close(s->messages);
    kith_standing_free(s->standing);
    kith_trust_close(s->trust);
    kith_lan_free(s->lan);
    kith_names_detach(s->names);
    kith_host_free(s->host);
    kith_names_free(s->names);
    kith_dht_free(s->dht);
    kith_rendezvous_free(s->rendezvous);
    session_drop_identity(s);
    return s->code < 0 ? EXIT_OK : s->code;
}

static void stop_host(void *ctx)
{
    session *s = ctx;
    if (s->patient && !s->interrupted)
        kith_host_stop_when_sent(s->host);
    else
        kith_host_stop(s->host);
}

void session_end(session *s, int code)
{
    if (s->code < 0)
        s->code = code;
    if (!kith_rendezvous_leave(s->rendezvous, stop_host, s))
        stop_host(s);
}

int session_code(kith_err e)
{
    switch (e) {
    case KITH_OK:
        return EXIT_OK;
    case KITH_EAUTH:
    case KITH_EPOLICY:
    case KITH_EUNSUPPORTED:
    case KITH_ECRYPTO:
    case KITH_EREFUSED:
        return EXIT_REFUSED;
    case KITH_ERESET:
    case KITH_ECLOSED:
        return EXIT_LOST;
    case KITH_ETIMEOUT:
    case KITH_ENOTFOUND:
    case KITH_EIO:
        return EXIT_UNREACHABLE;
    case KITH_ESHORT:
    case KITH_EFORMAT:
    case KITH_EPROTO:
    case KITH_ELIMIT:
    case KITH_ENOMEM:
    case KITH_ESPACE:
    case KITH_EEXISTS:
    case KITH_ESTATE:
        return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

int session_dial_code(kith_err e)
{
    if (e == KITH_EFORMAT)
        return EXIT_USAGE;
    int code = session_code(e);
    return e == KITH_EREFUSED || code == EXIT_LOST ? EXIT_UNREACHABLE : code; /* nobody listens there */
}

void session_open_book(session *s)
{
    char path[KITH_PATH_MAX];
    const char *why = "the state folder cannot be made";
    bool damaged = false;
    if (kith_path_make(KITH_PLACE_STATE) == 0 && kith_path(KITH_PLACE_STATE, "peers.db", path))
        s->book = kith_book_open(kith_host_loop(s->host), path, &damaged, &why);
    if (damaged)
        cmd_warn("the peer book was damaged; it is now %s.damaged, and a new one was begun", path);
    if (why)
        cmd_warn("going on without the peer book: %s", why);
    if (s->book) {
        kith_book_on_trouble(s->book, on_log, NULL);
        kith_book_watch(s->book, s->host);
        if (s->trust)
            kith_book_heed(s->book, s->trust);
        if (s->names)
            kith_names_use_book(s->names, s->book);
    }
}

void session_open_messages(session *s)
{
    char path[KITH_PATH_MAX];
    const char *why = "the state folder cannot be made";
    bool damaged = false;
    if (kith_path_make(KITH_PLACE_STATE) == 0 && kith_path(KITH_PLACE_STATE, "messages.db", path))
        s->messages = kith_message_store_open(kith_host_loop(s->host), path, &damaged, &why);
    if (damaged)
        cmd_warn(
            "the messages' file was damaged; it is now %s.damaged, and a new one was begun: what waited in "
            "it is not sent",
            path);
    if (s->messages)
        kith_message_store_on_trouble(s->messages, on_log, NULL);
    else
        cmd_warn("going on without messages: %s", why);
}

typedef struct dialing {
    session *s;
    void (*fn)(void *ctx, kith_conn *c);
    void *ctx;
} dialing;

static void on_reached(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *sentence)
{
    dialing *d = ctx;
    if (c) {
        d->fn(d->ctx, c);
    } else if (!kith_host_stopping(h)) {
        cmd_warn("%s", sentence);
        session_end(d->s, session_dial_code(err));
    }
    free(d);
}

void session_dial(session *s, const char *target, void (*fn)(void *ctx, kith_conn *c), void *ctx)
{
    dialing *d = calloc(1, sizeof *d);
    if (!s->book)
        session_open_book(s);
    if (d)
        *d = (dialing){s, fn, ctx};
    kith_reach_by by = {.book = s->book, .lan = s->lan, .dht = s->dht, .names = s->trust};
    if (d && kith_reach(s->host, &by, target, on_reached, d) == KITH_OK)
        return;
    free(d);
    session_end(s, cmd_fail(EXIT_FAILED, "no memory"));
}

static int unprinted; /* the first error of stdout */

void session_flush(FILE *f)
{
    errno = 0;
    bool bad = fflush(f) || ferror(f);
    if (bad && f == stdout && !unprinted)
        unprinted = errno ? errno : EIO;
}

int session_printed(int code)
{
    session_flush(stdout);
    if (code || !unprinted || unprinted == EPIPE)
        return code;
    return cmd_fail(EXIT_DISK, "what it says cannot be printed: %s", strerror(unprinted));
}

void session_print_to(FILE *f, json_t *o)
{
    if (o && json_dumpf(o, f, JSON_COMPACT) == 0)
        fputc('\n', f);
    session_flush(f);
    json_decref(o);
}

void session_print(json_t *o)
{
    session_print_to(stdout, o);
}

void session_peer_text(const kith_conn *c, char out[KITH_PEER_ID_TEXT_MAX + 1])
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    kith_peer_id_text(&f.peer, out);
}
