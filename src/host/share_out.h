/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one file of a share into a descriptor instead of a folder: verified content in its order, as it comes, and nothing on the disk. */
#ifndef KITH_HOST_SHARE_OUT_H
#define KITH_HOST_SHARE_OUT_H

#include <stdatomic.h>

#include "apps/share.h"

typedef struct kith_share_out {
    int fd;           /* borrowed */
    uint64_t written; /* bytes */
    atomic_bool stop; /* nobody waits for it any more: set from any thread */
} kith_share_out;

/* Writes a block, which must be the next; for a worker thread, which waits for the reader. 0, or an errno: EPIPE: there is no reader any more; ECANCELED:
 * stop; ESTALE: the sharer cannot give the rest of it; EILSEQ: it is not the next. */
int kith_share_out_write(kith_share_out *o, const kith_share_block *b);

#endif
