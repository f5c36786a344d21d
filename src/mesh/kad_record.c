/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Validators of values, by namespace. */
#include "mesh/kad_record.h"

#include "wire/ipns.h"

#define PK "/pk/"
#define IPNS "/ipns/"

static kith_err pk_validate(void *ctx, kith_bytes key, kith_bytes value)
{
    const size_t prefix = sizeof PK - 1;
    kith_peer_id id;
    (void)ctx;
    if (key.len < prefix || memcmp(key.p, PK, prefix) != 0 || value.len > KITH_PUBKEY_MAX ||
        kith_peer_id_of_key(value, &id))
        return KITH_EFORMAT;
    return kith_bytes_eq(kith_bytes_skip(key, prefix), kith_peer_id_bytes(&id)) ? KITH_OK : KITH_EAUTH;
}

static bool pk_better(void *ctx, kith_bytes key, kith_bytes a, kith_bytes b)
{
    (void)ctx, (void)key, (void)a, (void)b;
    return false; /* one key, one value */
}

const kith_kad_namespace kith_kad_pk = {.name = "pk", .validate = pk_validate, .better = pk_better};

static kith_err ipns_validate(void *ctx, kith_bytes key, kith_bytes value)
{
    const size_t prefix = sizeof IPNS - 1;
    kith_peer_id name;
    kith_ipns r;
    (void)ctx;
    if (key.len < prefix || memcmp(key.p, IPNS, prefix) != 0 ||
        kith_peer_id_parse(kith_bytes_skip(key, prefix), &name))
        return KITH_EFORMAT;
    return kith_ipns_open(value, &name, &r);
}

static bool ipns_better(void *ctx, kith_bytes key, kith_bytes a, kith_bytes b)
{
    kith_ipns ra, rb;
    (void)ctx, (void)key;
    if (kith_ipns_read(a, &ra) || kith_ipns_read(b, &rb))
        return false;
    int c = kith_ipns_cmp(&rb, &ra);
    return c > 0 || (c == 0 && kith_bytes_cmp(b, a) > 0);
}

static bool ipns_ended(void *ctx, kith_bytes key, kith_bytes value, uint64_t unix_seconds)
{
    kith_ipns r;
    (void)ctx, (void)key;
    return kith_ipns_read(value, &r) != KITH_OK || kith_ipns_ended(&r, unix_seconds);
}

const kith_kad_namespace kith_kad_ipns = {
    .name = "ipns", .validate = ipns_validate, .better = ipns_better, .ended = ipns_ended};

const kith_kad_namespace *kith_kad_namespace_own(kith_bytes key)
{
    const kith_kad_namespace *ns = kith_kad_namespace_of(&kith_kad_pk, 1, key);
    return ns ? ns : kith_kad_namespace_of(&kith_kad_ipns, 1, key);
}

const kith_kad_namespace *kith_kad_namespace_of(const kith_kad_namespace *all, size_t count, kith_bytes key)
{
    if (key.len < 2 || key.p[0] != '/')
        return NULL;
    const uint8_t *end = memchr(key.p + 1, '/', key.len - 1);
    if (!end)
        return NULL;
    kith_bytes name = kith_bytes_of(key.p + 1, (size_t)(end - key.p) - 1);
    for (size_t i = 0; i < count; i++) {
        if (kith_bytes_eq_str(name, all[i].name))
            return &all[i];
    }
    return NULL;
}
