/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes of files, by place. The system may move fewer than it was asked to, or none when a signal comes; these go on. */
#ifndef KITH_HOST_IO_H
#define KITH_HOST_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads n bytes, fewer only where the file ends. Returns how many; < 0: -errno. */
ssize_t kith_io_read(int fd, void *out, size_t n, uint64_t at);
/* Writes n bytes. 0, or an errno; then some of them may be written. */
int kith_io_write(int fd, const void *in, size_t n, uint64_t at);

#endif
