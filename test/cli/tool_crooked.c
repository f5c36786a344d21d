/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* `kith`, all of it, that corrupts one in a hundred of the leaves that `kith share` reads to send; one in CROOKED_EVERY, if that is set.
 * What it said of its content before, list and hashes, is honest. Prints "crooked: leaf N" to stderr for each. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/share_src.h"

/* The linker puts the first where the other is called (--wrap, CMakeLists.txt). */
void __wrap_kith_share_src_read(kith_share_src *s, kith_share_block *b);
void __real_kith_share_src_read(kith_share_src *s, kith_share_block *b);

void __wrap_kith_share_src_read(kith_share_src *s, kith_share_block *b)
{
    static atomic_ulong leaves;
    const char *set = getenv("CROOKED_EVERY");
    const unsigned long every = set ? strtoul(set, NULL, 10) : 100;
    __real_kith_share_src_read(s, b);
    for (size_t i = 0; i < b->count; i++) {
        const kith_share_item *it = &b->items[i];
        if (it->code || it->zeros || it->len == 0 || every == 0 || ++leaves % every != 0)
            continue;
        b->buf[it->at + it->len / 2] ^= 1;
        fprintf(stderr, "crooked: leaf %lu\n", (unsigned long)it->leaf);
    }
}
