/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Being found by a code: the keys of this half hour and the next, on the local networks and as provider records in the DHT, for as long as the
 * code holds. Everything happens on the loop's thread. docs/protocols/code.md */
#ifndef KITH_HOST_CODE_PUBLISH_H
#define KITH_HOST_CODE_PUBLISH_H

#include "host/code_key.h"
#include "host/dht.h"
#include "host/lan.h"

typedef struct kith_code_publish kith_code_publish;

typedef struct kith_code_publish_config {
    kith_host *host;
    kith_lan *lan; /* these two may be NULL */
    kith_dht *dht;
    uint8_t place[KITH_CODE_PLACE_LEN];
    uint64_t (*wall)(void); /* seconds since 1970; NULL: the system's clock */
    /* So many servers of the DHT were told of this half hour's key; or none, and why says why, which is valid for the call, and it is tried
     * again later. May be called again in a later half hour. May be NULL; must not end it. */
    void (*told)(void *ctx, unsigned reached, const char *why);
    void *ctx;
} kith_code_publish_config;

/* Published from now on, also where the DHT is reached only later. NULL: no memory. */
kith_code_publish *kith_code_publish_new(const kith_code_publish_config *cfg);
/* Taken back, while the loop still runs; records in the DHT are forgotten by its servers, and name keys that nobody looks for after the half
 * hour. Frees it; NULL is fine. */
void kith_code_publish_end(kith_code_publish *p);

#endif
