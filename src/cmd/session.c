/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Running a node inside a command. */
#include "cmd/session.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/identity.h"
#include "host/paths.h"

static void on_log(void *ctx, const char *line)
{
    (void)ctx;
    cmd_warn("%s", line);
}

static int read_config(session *s, const cmd_args *args)
{
    char path[KITH_PATH_MAX], err[KITH_CONFIG_ERR_MAX];
    kith_config_default(&s->config);
    snprintf(s->config.agent, sizeof s->config.agent, "kith/%s", KITH_VERSION);
    const char *file = cmd_value(args, "config");
    if (file && snprintf(path, sizeof path, "%s", file) >= (int)sizeof path)
        return cmd_fail(EXIT_CONFIG, "the path of the configuration file is too long");
    if (!file && !kith_path(KITH_PLACE_CONFIG, "kith.ini", path))
        return cmd_fail(EXIT_CONFIG, "no home folder: set HOME or KITH_HOME");
    if (kith_config_load(&s->config, path, err))
        return cmd_fail(EXIT_CONFIG, "%s", err);
    for (size_t i = 0; i < args->given_count; i++) {
        if (!args->given[i].key)
            continue;
        const kith_config_key *key = kith_config_find(args->given[i].name);
        if (key->type == KITH_CONFIG_ADDRS && s->config.listen_from_file) {
            s->config.listen_from_file = false;
            s->config.listen_count = 0;
        }
        if (kith_config_set(&s->config, key, args->given[i].value, err))
            return cmd_fail(EXIT_USAGE, "--%s", err);
    }
    return EXIT_OK;
}

static int load_identity(session *s)
{
    char path[KITH_PATH_MAX];
    const char *why;
    bool made;
    int e = kith_path_make(KITH_PLACE_CONFIG);
    if (e || !kith_path(KITH_PLACE_CONFIG, "identity", path))
        return cmd_fail(EXIT_CONFIG, "cannot make the configuration folder: %s", strerror(-e));
    if (kith_crypto_init())
        return cmd_fail(EXIT_FAILED, "%s lacks ML-KEM: OpenSSL 3.5 or newer is needed",
                        kith_crypto_version());
    if (kith_identity_load(path, &s->signer, &made, &why))
        return cmd_fail(EXIT_CONFIG, "cannot use the identity file %s: %s", path, why ? why : "no memory");
    return EXIT_OK;
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

static void watch_signal(session *s, uv_signal_t *sig, int number)
{
    uv_signal_init(kith_host_loop(s->host), sig);
    sig->data = s;
    uv_signal_start(sig, on_signal, number);
}

int session_start(session *s, const cmd_args *args)
{
    *s = (session){.code = -1, .json = cmd_has(args, "json")};
    signal(SIGPIPE, SIG_IGN);
    int code = read_config(s, args);
    if (!code)
        code = load_identity(s);
    if (code)
        return code;
    kith_host_config cfg = {.node = s->config.node, .log = on_log};
    const char *why;
    cfg.node.signer = s->signer;
    cfg.node.agent = s->config.agent;
    s->host = kith_host_new(&cfg, &why);
    if (!s->host) {
        kith_signer_free(s->signer);
        return cmd_fail(EXIT_FAILED, "cannot start: %s", why);
    }
    watch_signal(s, &s->sigint, SIGINT);
    watch_signal(s, &s->sigterm, SIGTERM);
    return EXIT_OK;
}

static void close_handles(void *ctx)
{
    session *s = ctx;
    uv_close((uv_handle_t *)&s->sigint, NULL);
    uv_close((uv_handle_t *)&s->sigterm, NULL);
    if (s->on_stop)
        s->on_stop(s->ctx);
}

int session_run(session *s)
{
    kith_host_on_stop(s->host, close_handles, s);
    kith_host_run(s->host);
    kith_host_free(s->host);
    kith_signer_free(s->signer);
    return s->code < 0 ? EXIT_OK : s->code;
}

void session_end(session *s, int code)
{
    if (s->code < 0)
        s->code = code;
    kith_host_stop(s->host);
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
        return EXIT_REFUSED;
    case KITH_ERESET:
    case KITH_ECLOSED:
        return EXIT_LOST;
    case KITH_EREFUSED:
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

bool session_parse_target(const char *text, kith_peer_id *peer, kith_maddr *addr)
{
    const char *why = "";
    *peer = (kith_peer_id){0};
    *addr = (kith_maddr){0};
    if (text[0] != '/') {
        if (kith_peer_id_from_text(kith_bytes_str(text), peer) == KITH_OK)
            return true;
        cmd_warn("'%s' is neither an address like /ip4/192.168.1.5/tcp/9000 nor a peer id like 12D3Koo...",
                 text);
        return false;
    }
    if (kith_maddr_from_text(kith_bytes_str(text), addr, &why)) {
        cmd_warn("'%s' is not an address: %s; write it like /ip4/192.168.1.5/tcp/9000/p2p/12D3Koo...", text,
                 why);
        return false;
    }
    (void)kith_maddr_peer(addr, peer);
    return true;
}

typedef struct dialing {
    session *s;
    char target[256];
    void (*fn)(void *ctx, kith_conn *c);
    void *ctx;
} dialing;

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    dialing *d = ctx;
    if (c) {
        d->fn(d->ctx, c);
    } else if (!kith_host_stopping(h)) {
        cmd_warn("cannot reach %s: %s", d->target, why ? why : kith_err_text(err));
        int code = session_code(err);
        session_end(d->s, code == EXIT_LOST ? EXIT_UNREACHABLE : code);
    }
    free(d);
}

void session_dial(session *s, const char *target, void (*fn)(void *ctx, kith_conn *c), void *ctx)
{
    kith_peer_id peer;
    kith_maddr addr;
    if (!session_parse_target(target, &peer, &addr)) {
        session_end(s, EXIT_USAGE);
        return;
    }
    dialing *d = calloc(1, sizeof *d);
    kith_err e = KITH_ENOMEM;
    if (d) {
        d->s = s;
        d->fn = fn;
        d->ctx = ctx;
        snprintf(d->target, sizeof d->target, "%s", target);
        e = kith_host_dial(s->host, peer.len ? &peer : NULL, &addr, addr.len ? 1 : 0, on_dialed, d);
    }
    if (!e)
        return;
    free(d);
    if (e == KITH_ENOTFOUND)
        cmd_warn("cannot reach %s: no address known; pass its full address", target);
    else if (e == KITH_EUNSUPPORTED)
        cmd_warn("cannot reach %s: kith dials TCP addresses only, so far", target);
    else
        cmd_warn("cannot reach %s: %s", target, kith_err_text(e));
    session_end(s, session_code(e));
}

void session_print(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        puts(text);
    fflush(stdout);
    free(text);
    json_decref(o);
}

void session_peer_text(const kith_conn *c, char out[KITH_PEER_ID_TEXT_MAX + 1])
{
    kith_conn_facts f;
    kith_conn_facts_get(c, &f);
    kith_peer_id_text(&f.peer, out);
}

json_t *session_conn_json(const kith_conn *c)
{
    kith_conn_facts f;
    char peer[KITH_PEER_ID_TEXT_MAX + 1], addr[KITH_MADDR_TEXT_MAX + 1];
    kith_conn_facts_get(c, &f);
    kith_peer_id_text(&f.peer, peer);
    kith_maddr_text(&f.remote, addr);
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:b, s:s}", "peer", peer, "addr", addr, "direction",
                     f.inbound ? "inbound" : "outbound", "secure_channel", f.suite ? f.suite->id : "", "pq",
                     f.suite && f.suite->kem != KITH_KEM_NONE, "muxer", f.muxer, "early_muxer", f.early_muxer,
                     "agent", f.agent);
}
