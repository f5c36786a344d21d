/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith network: the private network that this home is in, and keys for new ones. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/session.h"
#include "crypto/crypto.h"
#include "host/network.h"
#include "host/paths.h"

static int init(void)
{
    return kith_crypto_init()
               ? cmd_fail(EXIT_FAILED, "%s lacks ML-KEM or ML-DSA: OpenSSL 3.5 or newer is needed",
                          kith_crypto_version())
               : EXIT_OK;
}

/* ---- show ---- */

static json_t *facts(const kith_config *c, const char *file, const char *print)
{
    bool public = strcmp(c->dht.protocol, KITH_KAD_ID) == 0;
    json_t *r = json_pack("{s:b}", "private", print[0] != '\0');
    if (print[0]) {
        json_object_set_new(r, "fingerprint", json_string(print));
        json_object_set_new(r, "file", json_string(file));
    }
    json_object_set_new(r, "dht_protocol", json_string(c->dht.protocol));
    json_object_set_new(r, "public_bootstrap", json_boolean(!print[0] && public && !c->dht.own_list));
    return r;
}

static int show(const cmd_args *args, const char *file)
{
    kith_config c;
    kith_network n = {0};
    int code = session_read_config(&c, args);
    if (!code)
        code = init();
    if (code)
        return code;
    if (!file)
        file = c.network_key;
    code = file[0] ? session_load_network(file, &n) : EXIT_OK;
    kith_wipe(n.key, sizeof n.key);
    if (code)
        return code;
    json_t *r = facts(&c, file, n.print);
    if (cmd_has(args, "json")) {
        session_print(r);
        return EXIT_OK;
    }
    if (n.print[0])
        printf("network      private\nkey          %s\nfingerprint  %s\n", file, n.print);
    else
        printf("network      open: network.key is not set\n");
    printf("DHT          %s, %s\n", c.dht.protocol,
           c.dht.own_list                                         ? "joined by the peers of 'bootstrap'"
           : json_is_true(json_object_get(r, "public_bootstrap")) ? "joined by the public bootstrap nodes"
                                                                  : "joined by nobody: set 'bootstrap'");
    json_decref(r);
    return EXIT_OK;
}

/* ---- new-key ---- */

static int print_key(void)
{
    kith_network n;
    uint8_t text[KITH_SWARM_KEY_TEXT_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    if (kith_network_new(&n))
        return cmd_fail(EXIT_FAILED, "no memory");
    kith_swarm_key_put(n.key, &w);
    bool ok = write(STDOUT_FILENO, text, w.len) == (ssize_t)w.len;
    kith_wipe(text, sizeof text);
    kith_wipe(n.key, sizeof n.key);
    if (!ok)
        return cmd_fail(EXIT_DISK, "cannot write the key to stdout");
    fprintf(stderr, "fingerprint %s\n", n.print);
    return EXIT_OK;
}

static int new_key(const cmd_args *args, const char *file)
{
    char path[KITH_PATH_MAX];
    kith_network n;
    const char *why;
    int code = init();
    if (code)
        return code;
    if (file && strcmp(file, "-") == 0) {
        if (cmd_has(args, "json"))
            return cmd_fail(EXIT_USAGE, "network: --json is not for a key on stdout");
        return print_key();
    }
    int e = file ? 0 : kith_path_make(KITH_PLACE_CONFIG);
    if (e)
        return cmd_fail(EXIT_CONFIG, "cannot make the configuration folder: %s", strerror(-e));
    if (!file && !kith_path(KITH_PLACE_CONFIG, "swarm.key", path))
        return cmd_fail(EXIT_CONFIG, "no home folder: set HOME or KITH_HOME");
    if (!file)
        file = path;
    kith_err bad = kith_network_create(file, &n, &why);
    kith_wipe(n.key, sizeof n.key);
    if (bad == KITH_EEXISTS)
        return cmd_fail(EXIT_EXISTS, "%s exists, and is left alone: name another file, or move it away",
                        file);
    if (bad)
        return cmd_fail(bad == KITH_EIO ? EXIT_DISK : EXIT_FAILED, "cannot write %s: %s", file, why);
    if (cmd_has(args, "json")) {
        session_print(json_pack("{s:s, s:s}", "file", file, "fingerprint", n.print));
        return EXIT_OK;
    }
    char whole[PATH_MAX]; /* as a node that starts elsewhere finds it */
    printf("key          %s\nfingerprint  %s\n", file, n.print);
    fprintf(
        stderr,
        "whoever has this file is in the network: bring it to the other nodes by a way that nobody reads (scp), mode\n"
        "0600, and set it on each, under [network] in kith.ini: key = %s\n",
        realpath(file, whole) ? whole : file);
    return EXIT_OK;
}

static int run(const cmd_args *args)
{
    const char *what = args->rest_count ? args->rest[0] : "show";
    const char *file = args->rest_count > 1 ? args->rest[1] : NULL;
    if (strcmp(what, "show") == 0)
        return show(args, file);
    if (strcmp(what, "new-key") == 0)
        return new_key(args, file);
    return cmd_fail(EXIT_USAGE, "network: there is no 'kith network %s'; it is one of show, new-key", what);
}

static const cmd_option options[] = {
    {.name = "json", .help = "print it as one JSON object"},
    {0},
};

const cmd cmd_network = {
    .name = "network",
    .summary = "the private network that this node is in, and keys for new ones",
    .usage = "[show|new-key] [FILE] [--json]",
    .about =
        "A node with network.key is in a private network: it talks to nobody who has not the same key, and nobody else\n"
        "can talk to it. The key file is that of go-libp2p and kubo (swarm.key).\n\n"
        "  show     which network this is, or that of FILE, and the fingerprint of its key, as kubo prints it\n"
        "  new-key  makes a key, in FILE (mode 0600; swarm.key in the configuration folder unless named), or\n"
        "           on stdout when FILE is -\n\n"
        "A running node keeps the key that it began with. LIBP2P_FORCE_PNET=1 in the environment: no node starts\n"
        "without a key.",
    .examples = "  kith network new-key\n"
                "  kith network new-key office.key\n"
                "  kith network new-key - | ssh laptop 'umask 077; cat > swarm.key'\n"
                "  kith network show office.key\n"
                "  kith up --network.key office.key\n",
    .options = options,
    .node = true,
    .args_max = 2,
    .run = run,
};
