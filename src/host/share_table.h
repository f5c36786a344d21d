/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a stranger's list and hashes are received into: memory when it is little, else a mapped file without a name, whose room is reserved
 * so that a full disk shows here and not while it is written. */
#ifndef KITH_HOST_SHARE_TABLE_H
#define KITH_HOST_SHARE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KITH_SHARE_TABLE_HEAP_MAX (1u << 20) /* bytes that are kept in memory */

typedef struct kith_share_table {
    uint8_t *p;
    size_t len;
    bool mapped;
} kith_share_table;

/* Makes room for len > 0 zeroed bytes; dir: a folder on the file system to be used. 0, or an errno; then t->p is NULL. */
int kith_share_table_open(kith_share_table *t, const char *dir, size_t len);
void kith_share_table_close(kith_share_table *t); /* a zeroed one is fine */

#endif
