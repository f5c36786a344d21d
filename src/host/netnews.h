/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kernel's word that an interface or an address of this machine has come, gone or changed. Linux only: elsewhere there is none, and who
 * wants to know has to look from time to time. */
#ifndef KITH_HOST_NETNEWS_H
#define KITH_HOST_NETNEWS_H

#include <uv.h>

typedef struct kith_netnews kith_netnews;

/* fn is called on the loop's thread; changes come in bursts, and so do the calls. NULL: there is none. */
kith_netnews *kith_netnews_open(uv_loop_t *loop, void (*fn)(void *ctx), void *ctx);
/* No more calls. NULL is fine. */
void kith_netnews_close(kith_netnews *n);

#endif
