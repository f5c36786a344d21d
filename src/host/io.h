/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes of files, by place, and names in folders. The system may move fewer bytes than it was asked to, or none when a signal comes; these
 * functions go on. */
#ifndef KITH_HOST_IO_H
#define KITH_HOST_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads n bytes, fewer only where the file ends. Returns how many; < 0: -errno. */
ssize_t kith_io_read(int fd, void *out, size_t n, uint64_t at);
/* Writes n bytes. 0, or an errno; then some of them may be written. */
int kith_io_write(int fd, const void *in, size_t n, uint64_t at);

/* Where content is in a file, from at on, as far as the file system knows: UINT64_MAX: only a hole is left; at itself where it does not. Moves the
 * descriptor's position. */
uint64_t kith_io_next_data(int fd, uint64_t at);

/* Calls each with the names in the folder fd, but "." and "..", until a call returns false. 0, or an errno. The descriptor stays open, and is read
 * from the beginning. */
int kith_io_each_name(int fd, bool (*each)(void *ctx, int fd, const char *name), void *ctx);

#endif
