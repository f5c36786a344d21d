/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading and making the identity file. */
#include "host/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"

static const char header[] = "kith identity 1\n";
static const char field[] = "ed25519-seed ";

size_t kith_identity_format(const uint8_t seed[KITH_ED25519_SEED_LEN], char out[KITH_IDENTITY_LEN_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_IDENTITY_LEN_MAX));
    kith_put_str(&w, header);
    kith_put_str(&w, field);
    kith_put_hex(&w, kith_bytes_of(seed, KITH_ED25519_SEED_LEN));
    kith_put_str(&w, "\n");
    return w.len;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(kith_bytes text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

/* The next line without its newline; false at the end or when a newline is missing. */
static bool next_line(kith_bytes *in, kith_bytes *line)
{
    const uint8_t *nl = in->len ? memchr(in->p, '\n', in->len) : NULL;
    if (!nl)
        return false;
    *line = kith_bytes_of(in->p, (size_t)(nl - in->p));
    *in = kith_bytes_skip(*in, line->len + 1);
    return true;
}

kith_err kith_identity_parse(kith_bytes in, uint8_t seed[KITH_ED25519_SEED_LEN], const char **why)
{
    static const char start[] = "kith identity ";
    kith_bytes line;
    uint8_t found[KITH_ED25519_SEED_LEN];
    bool have = false, ok = true;
    *why = "it is not a kith identity file";
    if (!next_line(&in, &line) || line.len < sizeof start - 1 || memcmp(line.p, start, sizeof start - 1) != 0)
        return KITH_EFORMAT;
    *why = "it was made by a newer kith";
    if (!kith_bytes_eq_str(kith_bytes_skip(line, sizeof start - 1), "1"))
        return KITH_EFORMAT;
    *why = "it is damaged";
    while (ok && next_line(&in, &line)) {
        if (line.len < sizeof field - 1 || memcmp(line.p, field, sizeof field - 1) != 0)
            continue; /* fields of later versions */
        ok = !have && parse_hex(kith_bytes_skip(line, sizeof field - 1), found, sizeof found);
        have = true;
    }
    ok = ok && have && in.len == 0;
    if (ok)
        memcpy(seed, found, sizeof found);
    kith_wipe(found, sizeof found); /* also of a damaged file: what is left of a seed is still a secret */
    if (!ok)
        return KITH_EFORMAT;
    *why = NULL;
    return KITH_OK;
}

/* Written beside and linked into place, so that it is complete or not there, and of two processes one wins. */
static kith_err make(const char *path, const char **why)
{
    char text[KITH_IDENTITY_LEN_MAX], tmp[4096];
    uint8_t seed[KITH_ED25519_SEED_LEN];
    kith_rand os = kith_random_os();
    os.fn(os.ctx, kith_span_of(seed, sizeof seed));
    size_t len = kith_identity_format(seed, text);
    kith_wipe(seed, sizeof seed);
    if (snprintf(tmp, sizeof tmp, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof tmp) {
        *why = "its path is too long";
        return KITH_EIO;
    }
    (void)unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    kith_wipe(text, sizeof text);
    if (fd >= 0 && close(fd))
        ok = false;
    if (ok && link(tmp, path) && errno != EEXIST)
        ok = false;
    if (!ok)
        *why = strerror(errno);
    (void)unlink(tmp);
    return ok ? KITH_OK : KITH_EIO;
}

kith_err kith_identity_load(const char *path, kith_signer **out, bool *made, const char **why)
{
    uint8_t text[4096], seed[KITH_ED25519_SEED_LEN];
    *made = false;
    *why = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        kith_err e = make(path, why);
        if (e)
            return e;
        *made = true;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        *why = strerror(errno);
        if (fd >= 0)
            close(fd);
        return KITH_EIO;
    }
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    kith_err e = KITH_EIO;
    if (!S_ISREG(st.st_mode))
        *why = "it is not a file";
    else if (n < 0)
        *why = strerror(errno);
    else if (st.st_mode & 077) {
        *why = "other users can read it; run 'chmod 600' on it, or delete it to get a new identity";
        e = KITH_EPOLICY;
    } else {
        e = kith_identity_parse(kith_bytes_of(text, (size_t)n), seed, why);
        if (!e) {
            *out = kith_signer_new(seed);
            e = *out ? KITH_OK : KITH_ENOMEM;
        }
    }
    kith_wipe(text, sizeof text);
    kith_wipe(seed, sizeof seed);
    return e;
}
