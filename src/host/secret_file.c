/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "host/secret_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/io.h"

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
    ssize_t n = kith_io_read(fd, text.p, (size_t)st.st_size, 0);
    text.len = (size_t)(n < 0 ? st.st_size : n);
    if (n < 0) {
        kith_secret_drop(text);
        errno = (int)-n;
        return io_error(why);
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
