/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "host/secret_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"

static kith_err io_error(const char **why)
{
    *why = strerror(errno);
    return KITH_EIO;
}

kith_err kith_secret_read(int fd, size_t max, const char *exposed, kith_span *out, const char **why)
{
    struct stat st;
    if (fstat(fd, &st))
        return io_error(why);
    if (!S_ISREG(st.st_mode)) {
        *why = "it is not a file";
        return KITH_EIO;
    }
    if (st.st_mode & 077) {
        *why = exposed;
        return KITH_EPOLICY;
    }
    if (st.st_size > (off_t)max) {
        *why = "it is too large";
        return KITH_EFORMAT;
    }
    kith_span text = kith_span_of(malloc((size_t)st.st_size + 1), 0);
    if (!text.p) {
        *why = "there is no memory";
        return KITH_ENOMEM;
    }
    ssize_t n;
    while ((n = pread(fd, text.p + text.len, (size_t)st.st_size - text.len, (off_t)text.len)) > 0)
        text.len += (size_t)n;
    if (n < 0) {
        kith_err e = io_error(why);
        kith_secret_drop(text);
        return e;
    }
    *out = text;
    return KITH_OK;
}

void kith_secret_drop(kith_span text)
{
    if (text.p)
        kith_wipe(text.p, text.len);
    free(text.p);
}
