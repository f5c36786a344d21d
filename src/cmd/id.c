/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith id: who this node is. What changes it is in id_change.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/call.h"
#include "cmd/id.h"
#include "cmd/passphrase.h"
#include "cmd/qr.h"
#include "crypto/crypto.h"
#include "host/control.h"
#include "host/json.h"

/* ---- showing ---- */

static void print_facts(const json_t *r)
{
    printf("peer id    %s\n", call_text(r, "peer"));
    printf("pq id      %s\n", call_text(r, "pq_id"));
    printf("signature  %s, NIST category %lld\n", call_text(r, "pq_algorithm"),
           call_number(r, "pq_category"));
    printf("pq key     number %lld, %lld successor statement%s kept\n", call_number(r, "pq_sequence"),
           call_number(r, "successors"), call_number(r, "successors") == 1 ? "" : "s");
    printf("file       ");
    call_print(stdout, call_text(r, "file"));
    printf(" (%s)\n", call_true(r, "encrypted") ? "encrypted with a passphrase" : "not encrypted");
}

static int on_result(const cmd_args *args, const json_t *r)
{
    if (cmd_has(args, "json")) {
        call_print_json(r);
        return EXIT_OK;
    }
    if (args->rest_count > 0)
        print_facts(r);
    else
        printf("%s\n", call_text(r, "peer"));
    if (cmd_has(args, "qr"))
        qr_print(call_text(r, "peer"));
    return EXIT_OK;
}

static int prepare(const cmd_args *args, call *out)
{
    if (args->rest_count > 0 && strcmp(args->rest[0], "show") != 0)
        return cmd_fail(EXIT_USAGE, "id: '%s' is for a shell, not for the console", args->rest[0]);
    *out = (call){.method = "id", .result = on_result, .args = args, .offline = true};
    return EXIT_OK;
}

bool id_node_runs(void)
{
    char path[KITH_PATH_MAX];
    int fd = kith_path(KITH_PLACE_STATE, "control.sock", path) ? kith_control_connect(path) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int id_place(char path[KITH_PATH_MAX])
{
    int e = kith_path_make(KITH_PLACE_CONFIG);
    if (e || !kith_path(KITH_PLACE_CONFIG, "identity", path))
        return cmd_fail(EXIT_CONFIG, "cannot make the configuration folder: %s", strerror(-e));
    if (kith_crypto_init())
        return cmd_fail(EXIT_FAILED, "%s lacks ML-KEM or ML-DSA: OpenSSL 3.5 or newer is needed",
                        kith_crypto_version());
    return EXIT_OK;
}

int id_load(char path[KITH_PATH_MAX], kith_identity **out)
{
    const char *why = NULL;
    int code = id_place(path);
    if (!code && kith_identity_load(path, out, &why))
        code = cmd_fail(EXIT_CONFIG, "cannot use the identity file %s: %s", path, why ? why : "no memory");
    return code;
}

int id_check(const kith_identity *id, const char *name)
{
    kith_signer *signer;
    kith_pq_signer *pq;
    kith_successor s;
    kith_bytes statements[KITH_SUCCESSORS_MAX];
    size_t n = kith_identity_successors(id, statements);
    kith_err e = kith_identity_keys(id, &signer, &pq);
    if (e)
        return cmd_fail(EXIT_CONFIG, "cannot use %s: %s", name, kith_identity_trouble(e));
    kith_signer_free(signer);
    kith_pq_signer_free(pq);
    for (size_t i = 0; i < n; i++) {
        if (kith_successor_parse(statements[i], &s) || kith_successor_verify(&s))
            return cmd_fail(EXIT_CONFIG, "cannot use %s: a signature of a successor statement is wrong",
                            name);
    }
    return EXIT_OK;
}

/* The running node tells its addresses too; the facts themselves stand in the file, and need no passphrase. */
static int show(const cmd_args *args)
{
    char path[KITH_PATH_MAX];
    kith_identity *id = NULL;
    if (id_node_runs())
        return call_run(args);
    int code = id_load(path, &id);
    if (code)
        return code;
    kith_identity_facts facts = kith_identity_facts_of(id);
    if (!facts.locked)
        code = id_check(id, path);
    kith_identity_free(id);
    if (code)
        return code;
    json_t *r = kith_json_identity(&facts);
    json_object_set_new(r, "file", kith_json_text(path));
    code = on_result(args, r);
    json_decref(r);
    return code;
}

/* ---- which of them ---- */

static const struct action {
    const char *name;
    const char *options; /* those that it takes, between spaces */
    size_t files;        /* that it may name */
    int (*run)(const cmd_args *args);
} actions[] = {
    {"show", " json qr ", 0, show},
    {"new", " json sig encrypt new-passphrase-fd replace ", 0, id_new},
    {"export", " plain passphrase-fd new-passphrase-fd ", 1, id_export},
    {"import", " json passphrase-fd replace ", 1, id_import},
    {"passphrase", " json remove passphrase-fd new-passphrase-fd ", 0, id_passphrase},
    {"rotate", " json sig passphrase-fd ", 0, id_rotate},
};
#define ACTIONS (sizeof actions / sizeof *actions)

static int run(const cmd_args *args)
{
    const char *name = args->rest_count ? args->rest[0] : "show";
    const struct action *a = actions;
    while (a < actions + ACTIONS && strcmp(a->name, name) != 0)
        a++;
    if (a == actions + ACTIONS)
        return cmd_fail(
            EXIT_USAGE,
            "id: there is no 'kith id %s'; it is one of show, new, export, import, passphrase, rotate", name);
    if (args->rest_count > a->files + 1)
        return cmd_fail(EXIT_USAGE, "id: '%s' is too much for 'kith id %s'", args->rest[a->files + 1], name);
    for (size_t i = 0; i < args->given_count; i++) {
        char word[64];
        snprintf(word, sizeof word, " %s ", args->given[i].name);
        if (!strstr(a->options, word))
            return cmd_fail(EXIT_USAGE, "id: --%s is not for 'kith id %s'", args->given[i].name, name);
    }
    return a->run(args);
}

#ifdef KITH_OQS
#define WITH_FALCON ", Falcon-512"
#else
#define WITH_FALCON ""
#endif

static const cmd_option options[] = {
    {.name = "json", .help = "print the facts as one JSON object, with the addresses of a running node"},
    {.name = "qr", .help = "draw the peer id as a QR code too"},
    {.name = "sig",
     .arg = "ALG",
     .help = "new, rotate: ML-DSA-44, -65 (default), -87, SLH-DSA-SHA2-128s, -128f" WITH_FALCON},
    {.name = "encrypt", .help = "new: put the keys under a passphrase, which is asked for"},
    {.name = "replace", .help = "new, import: in the place of the identity here, which is kept beside it"},
    {.name = "plain", .help = "export: without a passphrase, readable by whoever gets it"},
    {.name = "remove", .help = "passphrase: no passphrase from now on"},
    {.name = "passphrase-fd", .arg = "N", .help = "read the passphrase there is from this descriptor"},
    {.name = "new-passphrase-fd", .arg = "N", .help = "read the passphrase to be set from this descriptor"},
    {0},
};

const cmd cmd_id = {
    .name = "id",
    .summary = "show, make, move or renew this node's identity",
    .usage = "[show|new|export|import|passphrase|rotate] [FILE] [OPTIONS]",
    .about =
        "Alone it prints the peer id, by which every libp2p node can name this one. An identity has two keys:\n"
        "Ed25519, from which the peer id is made, and a post-quantum one, named by its pq id. It is made on first\n"
        "use, without a passphrase.\n\n"
        "  show        what there is to know about it; needs no passphrase\n"
        "  new         makes an identity where there is none\n"
        "  export      writes it as text, encrypted, to FILE or stdout\n"
        "  import      takes such a text from FILE, or from stdin when it is -\n"
        "  passphrase  sets, changes or removes the passphrase that its keys are under (Argon2id)\n"
        "  rotate      a new post-quantum key; a statement signed by both old keys lets contacts follow\n\n"
        "A passphrase is asked for on the terminal, or read as one line from a descriptor. No command destroys an\n"
        "identity: --replace keeps the old file as identity.old.",
    .examples = "  kith id\n"
                "  kith id show --json\n"
                "  kith id new --sig ML-DSA-87 --encrypt\n"
                "  kith id passphrase\n"
                "  kith id export laptop.kith\n"
                "  kith id import laptop.kith\n"
                "  kith id rotate\n"
                "  kith id export --plain --passphrase-fd 3 3<secret.txt\n",
    .options = options,
    .args_max = 2,
    .run = run,
    .call = prepare,
};
