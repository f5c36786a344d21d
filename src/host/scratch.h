/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Large tables that belong on the disk and not in memory: files without a name, gone with the process. They are written by system call,
 * so that a full disk is an error and not a signal, and read through a mapping. */
#ifndef KITH_HOST_SCRATCH_H
#define KITH_HOST_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KITH_SCRATCH_BUFFER (16u << 10)

typedef struct kith_scratch {
    int fd;
    uint64_t len; /* appended so far */
    const uint8_t *map;
    uint64_t map_len;
    uint8_t *buf; /* what is appended but not written */
    size_t buf_len;
} kith_scratch;

/* Before anything else; close accepts it from here on. */
void kith_scratch_init(kith_scratch *s);
/* Makes it in a folder; NULL: in $TMPDIR, or /tmp. 0, or an errno. */
int kith_scratch_open(kith_scratch *s, const char *dir);
void kith_scratch_close(kith_scratch *s);

/* Appends, by way of a buffer. 0, or an errno. */
int kith_scratch_append(kith_scratch *s, const void *p, size_t n);
/* Writes anywhere. Different threads may, at different places. 0, or an errno. */
int kith_scratch_write(const kith_scratch *s, const void *p, size_t n, uint64_t at);
/* Reads what was written; what never was is zero. 0, or an errno. */
int kith_scratch_read(const kith_scratch *s, void *p, size_t n, uint64_t at);

/* Gives it a length and maps all of it for reading. Later writes show. 0, or an errno. */
int kith_scratch_map(kith_scratch *s, uint64_t len);
/* Lets go of the memory that reading has taken; reading goes on to be possible. */
void kith_scratch_trim(const kith_scratch *s);

#endif
