/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* kith id new, export, import, passphrase, rotate. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/call.h"
#include "cmd/id.h"
#include "cmd/passphrase.h"
#include "crypto/crypto.h"
#include "host/json.h"

#define KEEP_ROOM (KITH_PATH_MAX + 16)

/* ---- shared ---- */

/* --sig, or the fallback. */
static int algorithm(const cmd_args *args, kith_sig_alg fallback, kith_sig_alg *out)
{
    const char *name = cmd_value(args, "sig");
    *out = name ? kith_sig_named(kith_bytes_str(name)) : fallback;
    if (*out == KITH_SIG_NONE) {
        char names[256] = "";
        for (int alg = KITH_SIG_NONE + 1, len = 0; alg < KITH_SIG_COUNT; alg++) {
            if (kith_sig_available((kith_sig_alg)alg))
                len += snprintf(names + len, sizeof names - (size_t)len, "%s%s", len ? ", " : "",
                                kith_sig_info_of((kith_sig_alg)alg)->name);
        }
        return cmd_fail(EXIT_USAGE, "id: --sig: '%s' is none of %s", name, names);
    }
    if (!kith_sig_available(*out))
        return cmd_fail(EXIT_USAGE, "id: --sig: %s", kith_identity_trouble(KITH_EUNSUPPORTED));
    return EXIT_OK;
}

static int protect_failed(kith_err e)
{
    return cmd_fail(EXIT_FAILED, "cannot encrypt the identity: %s", kith_err_text(e));
}

/* Asks for a passphrase and puts the identity under it. */
static int protect(const cmd_args *args, kith_identity *id, const char *prompt)
{
    passphrase p;
    int code = passphrase_ask(args, "new-passphrase-fd", prompt, true, &p);
    if (!code) {
        kith_err e =
            kith_identity_protect(id, kith_bytes_of(p.text, p.len), &kith_argon2_usual, kith_random_os());
        code = e ? protect_failed(e) : EXIT_OK;
    }
    passphrase_wipe(&p);
    return code;
}

static int stored(kith_err e, const char *path, const char *why)
{
    if (!e)
        return EXIT_OK;
    int code = e == KITH_EEXISTS ? EXIT_EXISTS : e == KITH_EIO ? EXIT_DISK : EXIT_CONFIG;
    return cmd_fail(code, "cannot write the identity file %s: %s", path, why ? why : kith_err_text(e));
}

/* Where there is none yet, or with --replace in the place of the one that is there, whose new name is written to keep. */
static int put_in_place(const cmd_args *args, const char *path, const kith_identity *id, char keep[KEEP_ROOM])
{
    const char *why = NULL;
    keep[0] = '\0';
    kith_err e = kith_identity_create(path, id, &why);
    if (e == KITH_EEXISTS && cmd_has(args, "replace"))
        e = kith_identity_replace(path, NULL, id, keep, KEEP_ROOM, &why);
    else if (e == KITH_EEXISTS)
        return cmd_fail(
            EXIT_EXISTS,
            "there is an identity already: %s; --replace puts the new one in its place and keeps the old "
            "one beside it",
            path);
    return stored(e, path, why);
}

/* In the place of the file that it was read from. */
static int put_back(const char *path, const kith_identity *id)
{
    const char *why = NULL;
    kith_err e = kith_identity_replace(path, id, id, NULL, 0, &why);
    return stored(e, path, why);
}

/* What has come of it; note: a fact of the action's own, or NULL. */
static int tell(const cmd_args *args, const kith_identity *id, const char *path, const char *name,
                const char *note)
{
    kith_identity_facts f = kith_identity_facts_of(id);
    json_t *r = kith_json_identity(&f);
    if (id_node_runs())
        cmd_warn(
            "a node is running with the identity as it was, and goes on with it until it is restarted: 'kith stop', "
            "then 'kith up'");
    if (cmd_has(args, "json")) {
        json_object_set_new(r, "file", kith_json_text(path));
        if (note && *note)
            json_object_set_new(r, name, kith_json_text(note));
        call_print_json(r);
    } else {
        printf("peer id    %s\npq id      %s (%s)\n", call_text(r, "peer"), call_text(r, "pq_id"),
               call_text(r, "pq_algorithm"));
        if (note && *note)
            printf("%-10s %s\n", name, note);
        if (!f.encrypted)
            printf("The keys are not encrypted; 'kith id passphrase' puts them under a passphrase.\n");
    }
    json_decref(r);
    return EXIT_OK;
}

/* ---- new ---- */

int id_new(const cmd_args *args)
{
    char path[KITH_PATH_MAX], keep[KEEP_ROOM];
    kith_sig_alg alg;
    kith_identity *id = NULL;
    int code = algorithm(args, KITH_IDENTITY_SIG, &alg);
    if (!code)
        code = id_place(path);
    if (!code && !cmd_has(args, "replace") && access(path, F_OK) == 0) /* before a passphrase is asked for */
        code = cmd_fail(
            EXIT_EXISTS,
            "there is an identity already: %s; 'kith id show' shows it, and --replace puts a new one in its "
            "place and keeps the old one beside it",
            path);
    if (code)
        return code;
    kith_err e = kith_identity_new(alg, kith_random_os(), &id);
    if (e)
        return cmd_fail(EXIT_FAILED, "cannot make the keys: %s", kith_identity_trouble(e));
    if (cmd_has(args, "encrypt") || cmd_has(args, "new-passphrase-fd"))
        code = protect(args, id, "a passphrase for the new identity: ");
    if (!code)
        code = put_in_place(args, path, id, keep);
    if (!code)
        code = tell(args, id, path, "kept", keep);
    kith_identity_free(id);
    return code;
}

/* ---- export and import ---- */

static int write_out(const char *file, kith_bytes text)
{
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : STDOUT_FILENO;
    if (fd < 0 && errno == EEXIST)
        return cmd_fail(EXIT_EXISTS, "%s exists already", file);
    if (fd < 0)
        return cmd_fail(EXIT_DISK, "cannot make %s: %s", file, strerror(errno));
    while (text.len > 0) {
        ssize_t n = write(fd, text.p, text.len);
        if (n < 0 && errno != EINTR)
            break;
        text = kith_bytes_skip(text, n > 0 ? (size_t)n : 0);
    }
    bool ok = text.len == 0 && (!file || fsync(fd) == 0);
    int error = errno;
    if (file && close(fd) && ok) {
        ok = false;
        error = errno;
    }
    if (ok)
        return EXIT_OK;
    if (file)
        (void)unlink(file);
    return cmd_fail(EXIT_DISK, "cannot write %s: %s", file ? file : "to stdout", strerror(error));
}

/* As it leaves the house: under the passphrase it has, under a new one, or with --plain under none. */
static int dress(const cmd_args *args, kith_identity *id, const char *path)
{
    bool encrypted = kith_identity_facts_of(id).encrypted;
    if (!cmd_has(args, "plain"))
        return encrypted ? EXIT_OK : protect(args, id, "a passphrase for the exported text: ");
    int code = passphrase_unlock(args, id, path);
    if (code)
        return code;
    kith_err e = kith_identity_protect(id, (kith_bytes){0}, &kith_argon2_usual, kith_random_os());
    return e ? protect_failed(e) : EXIT_OK;
}

int id_export(const cmd_args *args)
{
    char path[KITH_PATH_MAX];
    const char *why = NULL;
    kith_identity *id = NULL;
    int code = id_place(path);
    if (code)
        return code;
    if (kith_identity_read(path, &id, &why)) /* load would make one */
        return cmd_fail(EXIT_CONFIG, "cannot use the identity file %s: %s", path, why ? why : "no memory");
    if (kith_identity_facts_of(id).alg == KITH_SIG_NONE) {
        kith_identity_free(id);
        code = id_load(path, &id);
    }
    if (!code)
        code = dress(args, id, path);
    uint8_t *text = malloc(KITH_IDENTITY_ARMOUR_MAX);
    kith_wr w = kith_wr_of(kith_span_of(text, text ? KITH_IDENTITY_ARMOUR_MAX : 0));
    if (!code && kith_identity_put_armour(id, &w))
        code = cmd_fail(EXIT_FAILED, "no memory");
    if (!code)
        code = write_out(args->rest_count > 1 ? args->rest[1] : NULL, kith_wr_bytes(&w));
    if (text)
        kith_wipe(text, w.len);
    free(text);
    kith_identity_free(id);
    return code;
}

/* All of a file, at most KITH_IDENTITY_ARMOUR_MAX bytes; "-" is stdin. */
static int read_in(const char *file, kith_span *out)
{
    int fd = strcmp(file, "-") == 0 ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cmd_fail(EXIT_FAILED, "cannot read %s: %s", file, strerror(errno));
    size_t room = KITH_IDENTITY_ARMOUR_MAX + 1;
    kith_span text = kith_span_of(malloc(room), 0);
    ssize_t n = text.p ? 0 : -1;
    while (text.p && text.len < room) {
        n = read(fd, text.p + text.len, room - text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        text.len += (size_t)n;
    }
    int code = n < 0 ? cmd_fail(EXIT_FAILED, "cannot read %s: %s", file, strerror(errno)) : EXIT_OK;
    if (fd != STDIN_FILENO)
        close(fd);
    *out = text;
    return code;
}

/* An exported text, or an identity file as it is. */
static int parse_in(const char *file, kith_bytes text, kith_identity **out)
{
    static const char start[] = "kith identity ";
    const char *why;
    bool bare = text.len >= sizeof start - 1 && memcmp(text.p, start, sizeof start - 1) == 0;
    kith_err e = bare ? kith_identity_parse(text, out, &why) : kith_identity_parse_armour(text, out, &why);
    return e ? cmd_fail(EXIT_DAMAGED, "cannot import %s: %s", file, why) : EXIT_OK;
}

/* That it can be used is found out here, not when the machine that it comes from is gone. */
static int try_out(const cmd_args *args, kith_identity *id, const char *file)
{
    int code = passphrase_unlock(args, id, file);
    if (!code && kith_identity_facts_of(id).alg == KITH_SIG_NONE) {
        kith_err e = kith_identity_rotate(id, KITH_IDENTITY_SIG, 0, kith_random_os());
        code = e ? cmd_fail(EXIT_FAILED, "cannot make a post-quantum key: %s", kith_identity_trouble(e))
                 : EXIT_OK;
    }
    return code ? code : id_check(id, file);
}

int id_import(const cmd_args *args)
{
    char path[KITH_PATH_MAX], keep[KEEP_ROOM];
    kith_span text = {0};
    kith_identity *id = NULL;
    if (args->rest_count < 2)
        return cmd_fail(EXIT_USAGE, "id: import needs a file, or - for stdin");
    int code = id_place(path);
    if (!code && !cmd_has(args, "replace") && access(path, F_OK) == 0)
        code = cmd_fail(
            EXIT_EXISTS,
            "there is an identity already: %s; --replace puts the imported one in its place and keeps the "
            "old one beside it",
            path);
    if (!code)
        code = read_in(args->rest[1], &text);
    if (!code)
        code = parse_in(args->rest[1], kith_span_bytes(text), &id);
    if (!code)
        code = try_out(args, id, args->rest[1]);
    if (!code)
        code = put_in_place(args, path, id, keep);
    if (!code)
        code = tell(args, id, path, "kept", keep);
    if (text.p)
        kith_wipe(text.p, text.len);
    free(text.p);
    kith_identity_free(id);
    return code;
}

/* ---- passphrase and rotate ---- */

/* Loads it, unlocks it, and makes sure that it is whole, before it is changed. */
static int open_here(const cmd_args *args, char path[KITH_PATH_MAX], kith_identity **out)
{
    kith_identity *id = NULL;
    int code = id_load(path, &id);
    if (!code)
        code = passphrase_unlock(args, id, path);
    if (!code)
        code = id_check(id, path);
    if (code)
        kith_identity_free(id);
    else
        *out = id;
    return code;
}

int id_passphrase(const cmd_args *args)
{
    char path[KITH_PATH_MAX];
    kith_identity *id = NULL;
    if (cmd_has(args, "remove") && cmd_has(args, "new-passphrase-fd"))
        return cmd_fail(EXIT_USAGE, "id: give either --remove or --new-passphrase-fd");
    int code = open_here(args, path, &id);
    if (code)
        return code;
    if (cmd_has(args, "remove")) {
        kith_err e = kith_identity_protect(id, (kith_bytes){0}, &kith_argon2_usual, kith_random_os());
        code = e ? protect_failed(e) : EXIT_OK;
    } else {
        code = protect(args, id, "the new passphrase: ");
    }
    if (!code)
        code = put_back(path, id);
    if (!code)
        code = tell(args, id, path, "", NULL);
    kith_identity_free(id);
    return code;
}

int id_rotate(const cmd_args *args)
{
    char path[KITH_PATH_MAX], before[KITH_PQ_ID_TEXT_LEN + 1];
    kith_sig_alg alg;
    kith_identity *id = NULL;
    int code = algorithm(args, KITH_IDENTITY_SIG, &alg);
    if (!code)
        code = open_here(args, path, &id);
    if (code)
        return code;
    kith_identity_facts was = kith_identity_facts_of(id);
    kith_pq_id_text(&was.pq_id, before);
    kith_err e = kith_identity_rotate(id, cmd_has(args, "sig") ? alg : was.alg, (uint64_t)time(NULL),
                                      kith_random_os());
    if (e)
        code = cmd_fail(EXIT_FAILED, "cannot make the new key: %s", kith_identity_trouble(e));
    if (!code)
        code = put_back(path, id);
    if (!code)
        code = tell(args, id, path, cmd_has(args, "json") ? "replaced_pq_id" : "replaced", before);
    kith_identity_free(id);
    return code;
}
