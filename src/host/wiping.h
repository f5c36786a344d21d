/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A heap that zeroes what it takes back, for libraries through which keys pass. */
#ifndef KITH_HOST_WIPING_H
#define KITH_HOST_WIPING_H

#include <stddef.h>

/* As the C functions of these names, and thread-safe like them; a block goes back only through this heap. */
void *kith_wiping_malloc(size_t size);
void *kith_wiping_calloc(size_t count, size_t size);
void *kith_wiping_realloc(void *p, size_t size);
char *kith_wiping_strdup(const char *text);
void kith_wiping_free(void *p);

#endif
