/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control socket's side of a conversation: any lines, to the methods that reach no network and to one that answers late. Every
 * request with an id gets exactly one answer, whatever it is. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/reach.h"
#include "host/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kith_host *host;
static kith_service *service;
static kith_rpc_method methods[64];
static kith_rpc_call *late[KITH_RPC_CALLS_MAX];
static size_t late_count, answers;

/* Stands for dial, ping and perf: takes the same parameters, and answers when told. */
static void run_late(void *ctx, kith_rpc_call *call, const json_t *params)
{
    (void)ctx;
    kith_peer_id peer;
    kith_maddr addr;
    char why[KITH_WHY_MAX];
    const char *target = json_string_value(json_object_get(params, "target"));
    if (!target || kith_target_parse(target, NULL, &peer, &addr, why)) {
        kith_rpc_bad_params(call, "%s", target ? why : "no target");
        return;
    }
    assert(late_count < KITH_RPC_CALLS_MAX);
    late[late_count++] = call;
    kith_rpc_event(call, json_pack("{s:s}", "event", "begun"));
}

static void on_send(void *ctx, const json_t *message)
{
    (void)ctx;
    char *text = json_dumps(message, JSON_COMPACT);
    assert(text && !strchr(text, '\n'));
    answers += !json_object_get(message, "method");
    free(text);
}

static void start(void)
{
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    kith_node_config_default(&cfg.node);
    kith_err e = kith_crypto_init();
    assert(!e);
    cfg.node.signer = kith_signer_new(seed);
    cfg.node.agent = "fuzz";
    host = kith_host_new(&cfg, &why);
    assert(host);
    service = kith_service_new(
        &(kith_service_config){.host = host, .identity_file = "", .version = "0", .standing = true});
    assert(service);
    size_t n = 0;
    for (const kith_rpc_method *m = kith_service_methods; m->name; m++) {
        if (strcmp(m->name, "dial") != 0 && strcmp(m->name, "ping") != 0 && strcmp(m->name, "perf") != 0)
            methods[n++] = *m;
    }
    methods[n++] = (kith_rpc_method){"dial", run_late};
    assert(n < sizeof methods / sizeof *methods);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!host)
        start();
    kith_rpc_client *c = kith_rpc_client_new(methods, service, on_send, NULL);
    assert(c);
    late_count = answers = 0;
    size_t requests = 0;
    while (size > 0) {
        const uint8_t *nl = memchr(data, '\n', size);
        size_t len = nl ? (size_t)(nl - data) : size;
        size_t before = answers + late_count;
        uint8_t *line = malloc(len ? len : 1);
        assert(line);
        memcpy(line, data, len);
        kith_rpc_line(c, kith_bytes_of(line, len));
        free(line);
        assert(answers + late_count <= before + 1); /* cancel cancels nothing here that would answer */
        requests++;
        if (late_count == KITH_RPC_CALLS_MAX || (late_count && requests % 3 == 0))
            kith_rpc_error(late[--late_count], KITH_ETIMEOUT, "dial", "late");
        data += nl ? len + 1 : len;
        size -= nl ? len + 1 : len;
    }
    kith_rpc_client_free(c);
    while (late_count)
        kith_rpc_result(late[--late_count], NULL);
    uv_run(kith_host_loop(host), UV_RUN_NOWAIT);
    return 0;
}
