/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Key files: read, and made. */
#include "host/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/secret_file.h"

static kith_err io_error(const char **why)
{
    *why = strerror(errno);
    return KITH_EIO;
}

static kith_err read_key(int fd, kith_network *out, const char **why)
{
    kith_span text = {0};
    kith_err e = kith_secret_read(fd, KITH_SWARM_KEY_FILE_MAX,
                                  "other users can read or change it; run 'chmod 600' on it", &text, why);
    if (!e)
        e = kith_swarm_key_parse(kith_span_bytes(text), out->key, why);
    kith_secret_drop(text);
    return e;
}

kith_err kith_network_print(const uint8_t key[KITH_SWARM_KEY_LEN], char out[KITH_NETWORK_PRINT_MAX + 1])
{
    uint8_t print[KITH_SWARM_KEY_PRINT_LEN];
    kith_err e = kith_swarm_key_print(key, print);
    if (e)
        return e;
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_NETWORK_PRINT_MAX));
    kith_put_hex(&w, kith_bytes_of(print, sizeof print));
    out[w.len] = '\0';
    return KITH_OK;
}

kith_err kith_network_load(const char *path, kith_network *out, const char **why)
{
    *why = "there is no memory";
    *out = (kith_network){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return io_error(why);
    kith_err e = read_key(fd, out, why);
    close(fd);
    if (!e)
        e = kith_network_print(out->key, out->print);
    if (e)
        kith_wipe(out, sizeof *out);
    return e;
}

kith_err kith_network_new(kith_network *out)
{
    kith_rand r = kith_random_os();
    r.fn(r.ctx, kith_span_of(out->key, sizeof out->key));
    return kith_network_print(out->key, out->print);
}

static bool write_key(int fd, const kith_network *n)
{
    uint8_t text[KITH_SWARM_KEY_TEXT_MAX];
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    kith_swarm_key_put(n->key, &w);
    ssize_t wrote = write(fd, text, w.len); /* a fraction of a page, so it is all or an error */
    kith_wipe(text, sizeof text);
    if (wrote >= 0 && (size_t)wrote < w.len)
        errno = ENOSPC;
    return wrote >= 0 && (size_t)wrote == w.len && fsync(fd) == 0;
}

kith_err kith_network_create(const char *path, kith_network *out, const char **why)
{
    *why = "there is no memory";
    kith_err e = kith_network_new(out);
    if (e)
        return e;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        bool exists = errno == EEXIST;
        (void)io_error(why);
        return exists ? KITH_EEXISTS : KITH_EIO;
    }
    bool ok = write_key(fd, out);
    if (!ok) {
        e = io_error(why);
        (void)unlink(path);
    }
    close(fd);
    return e;
}

bool kith_network_forced(void)
{
    const char *s = getenv("LIBP2P_FORCE_PNET");
    return s && strcmp(s, "1") == 0;
}
