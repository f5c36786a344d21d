/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The heap, in a file of its own so that those who link another cryptography (test/sim/toy) have it too. */
#include <stdlib.h>

#include "crypto/crypto.h"

void *kith_heap(void *ctx, void *p, size_t old, size_t size)
{
    (void)ctx, (void)old;
    if (size > 0)
        return realloc(p, size);
    free(p);
    return NULL;
}
