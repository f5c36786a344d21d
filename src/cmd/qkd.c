/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith qkd: what our key management entity says of the keys it has to share. */
#include <stdio.h>
#include <uv.h>

#include "cmd/session.h"
#include "crypto/crypto.h"

typedef struct asking {
    const kith_qkd_settings *settings;
    kith_qkd *client;
    size_t at; /* the peer that is asked about */
    json_t *list;
    int code;
} asking;

static void ask_next(asking *a);

static json_t *facts_of(const kith_qkd_peer *p)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id_text(&p->id, peer);
    return json_pack("{s:s, s:s}", "peer", peer, "sae", p->sae);
}

static void add_status(json_t *o, const kith_qkd_status *s, bool simulated)
{
    json_t *more =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:b}", "kme", s->source_kme, "peer_kme", s->target_kme,
                  "stored_keys", (json_int_t)s->stored_key_count, "min_key_bits", (json_int_t)s->min_key_size,
                  "max_key_bits", (json_int_t)s->max_key_size, "simulated", simulated, "usable",
                  s->min_key_size <= 256 && s->max_key_size >= 256);
    json_object_update(o, more);
    json_decref(more);
}

static void on_status(void *ctx, kith_err err, const kith_qkd_status *s, const char *why)
{
    asking *a = ctx;
    json_t *o = facts_of(&a->settings->peers[a->at]);
    if (err) {
        json_object_set_new(o, "error", json_string(kith_err_name(err)));
        json_object_set_new(o, "why", json_string(why));
        if (!a->code)
            a->code = session_code(err);
    } else {
        add_status(o, s, s->simulated || a->settings->simulated);
    }
    json_array_append_new(a->list, o);
    a->at++;
    ask_next(a);
}

static void ask_next(asking *a)
{
    kith_err e = KITH_OK;
    if (a->at < a->settings->peer_count)
        e = kith_qkd_get_status(a->client, a->settings->peers[a->at].sae, on_status, a);
    if (e)
        a->code = cmd_fail(EXIT_FAILED, "%s", kith_err_text(e));
    if (e || a->at == a->settings->peer_count)
        kith_qkd_close(a->client);
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static void print(const json_t *o)
{
    printf("%s\n    SAE %s", text(o, "peer"), text(o, "sae"));
    if (json_object_get(o, "error")) {
        printf(": %s\n", text(o, "why"));
        return;
    }
    printf(", KME %s to %s%s\n    %lld keys stored, of %lld to %lld bits%s\n", text(o, "kme"),
           text(o, "peer_kme"),
           json_is_true(json_object_get(o, "simulated"))
               ? ", SIMULATED: no quantum channel is behind its keys"
               : "",
           (long long)json_integer_value(json_object_get(o, "stored_keys")),
           (long long)json_integer_value(json_object_get(o, "min_key_bits")),
           (long long)json_integer_value(json_object_get(o, "max_key_bits")),
           json_is_true(json_object_get(o, "usable")) ? "" : "; kith needs 256, so they are of no use");
}

static int run(const cmd_args *args)
{
    kith_config c;
    char why[KITH_QKD_WHY_MAX];
    uv_loop_t loop;
    int code = session_read_config(&c, args);
    if (code)
        return code;
    if (c.qkd.peer_count == 0)
        return cmd_fail(EXIT_CONFIG, "qkd.peer is not set: no peer to share keys with");
    if (kith_crypto_init() || uv_loop_init(&loop))
        return cmd_fail(EXIT_FAILED, "no memory");
    asking a = {.settings = &c.qkd, .list = json_array()};
    a.client = kith_qkd_client(&loop, &c.qkd, why);
    if (a.client)
        ask_next(&a);
    else
        a.code = cmd_fail(EXIT_CONFIG, "%s", why);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (a.client && cmd_has(args, "json")) {
        session_print(a.list);
        return a.code;
    }
    for (size_t i = 0; i < json_array_size(a.list); i++)
        print(json_array_get(a.list, i));
    json_decref(a.list);
    return a.code;
}

static const cmd_option options[] = {
    {.name = "json", .help = "print it as one JSON array"},
    {0},
};

const cmd cmd_qkd = {
    .name = "qkd",
    .summary = "what our key management entity has to share",
    .usage = "[--json]",
    .about =
        "Asks the key management entity of qkd.url (ETSI GS QKD 014) for its status towards each peer of qkd.peer: a check\n"
        "of the configuration, the certificates and the network. Takes no key.",
    .examples = "  kith qkd\n  kith qkd --json\n",
    .options = options,
    .node = true,
    .args_max = 0,
    .run = run,
};
