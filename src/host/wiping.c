/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blocks that know their size, so that all of it can be wiped. */
#include "host/wiping.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"

typedef union head {
    size_t size; /* of what follows */
    max_align_t align;
} head;

void *kith_wiping_malloc(size_t size)
{
    head *h = size > SIZE_MAX - sizeof *h ? NULL : malloc(sizeof *h + size);
    if (!h)
        return NULL;
    h->size = size;
    return h + 1;
}

void *kith_wiping_calloc(size_t count, size_t size)
{
    void *p = size > 0 && count > SIZE_MAX / size ? NULL : kith_wiping_malloc(count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

void *kith_wiping_realloc(void *p, size_t size)
{
    void *to = kith_wiping_malloc(size);
    if (!to || !p)
        return to;
    const head *h = (const head *)p - 1;
    memcpy(to, p, h->size < size ? h->size : size);
    kith_wiping_free(p);
    return to;
}

char *kith_wiping_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *to = kith_wiping_malloc(size);
    if (to)
        memcpy(to, text, size);
    return to;
}

void kith_wiping_free(void *p)
{
    if (!p)
        return;
    head *h = (head *)p - 1;
    kith_wipe(h, sizeof *h + h->size);
    free(h);
}
