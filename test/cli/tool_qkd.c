/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One request to a KME: tool_qkd URL CERT KEY CA MS enc|dec|status SAE [ID]. Prints the answer as JSON; exits with 1 for an error. Its
 * key goes to standard output: for tests with simulated KMEs alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "host/json.h"
#include "host/qkd.h"

static kith_qkd *client;
static int code;

static void print(json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT);
    json_decref(o);
}

static void on_error(kith_err e, const char *why)
{
    print(json_pack("{s:s, s:s}", "err", kith_err_name(e), "why", why));
    code = 1;
    kith_qkd_close(client);
}

static void on_key(void *ctx, kith_err e, const kith_qkd_key *k, const char *why)
{
    char hex[2 * KITH_QKD_KEY_LEN + 1] = "";
    (void)ctx;
    if (e) {
        on_error(e, why);
        return;
    }
    kith_wr w = kith_wr_of(kith_span_of(hex, sizeof hex - 1));
    kith_put_hex(&w, kith_bytes_of(k->key, sizeof k->key));
    print(json_pack("{s:s, s:s, s:b}", "id", k->id, "key", hex, "simulated", k->simulated));
    kith_qkd_close(client);
}

static void on_status(void *ctx, kith_err e, const kith_qkd_status *s, const char *why)
{
    (void)ctx;
    if (e) {
        on_error(e, why);
        return;
    }
    print(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "source_kme", s->source_kme, "target_kme",
                    s->target_kme, "master_sae", s->master_sae, "slave_sae", s->slave_sae, "key_size",
                    (json_int_t)s->key_size, "stored", (json_int_t)s->stored_key_count, "simulated",
                    s->simulated));
    kith_qkd_close(client);
}

int main(int argc, char **argv)
{
    char why[KITH_QKD_WHY_MAX];
    kith_err e = KITH_EFORMAT;
    if (argc < 8 || kith_crypto_init())
        return 2;
    kith_qkd_config cfg = {.url = argv[1],
                           .cert = argv[2],
                           .key = argv[3],
                           .ca = argv[4],
                           .timeout_ms = (unsigned)atoi(argv[5])};
    uv_loop_t *loop = uv_default_loop();
    client = kith_qkd_new(loop, &cfg, why);
    if (!client) {
        on_error(KITH_EFORMAT, why);
        return 1;
    }
    if (strcmp(argv[6], "enc") == 0)
        e = kith_qkd_enc_key(client, argv[7], on_key, NULL);
    else if (strcmp(argv[6], "status") == 0)
        e = kith_qkd_get_status(client, argv[7], on_status, NULL);
    else if (strcmp(argv[6], "dec") == 0 && argc > 8 && kith_qkd_is_id(kith_bytes_str(argv[8])))
        e = kith_qkd_dec_key(client, argv[7], argv[8], on_key, NULL);
    if (e)
        on_error(e, "not asked");
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) ? 3 : code;
}
