/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Keys as names below the service. */
#include "mesh/mdns_keys.h"

#include <assert.h>

#include "wire/multibase.h"

#define SUBTYPES "_sub._p2p._udp.local"
#define LABEL_LEN (1 + (KITH_MDNS_KEY_LEN * 8 + 4) / 5)

static void subtypes(kith_dns_name *out)
{
    kith_err e = kith_dns_name_of(SUBTYPES, out);
    assert(e == KITH_OK);
    (void)e;
}

size_t kith_mdns_keys_find(const kith_mdns_keys *s, const uint8_t key[KITH_MDNS_KEY_LEN])
{
    size_t i = 0;
    while (i < KITH_MDNS_KEYS_MAX && (!(s->used >> i & 1) || memcmp(s->key[i], key, KITH_MDNS_KEY_LEN) != 0))
        i++;
    return i;
}

kith_err kith_mdns_keys_add(kith_mdns_keys *s, size_t max, const uint8_t key[KITH_MDNS_KEY_LEN], size_t *slot)
{
    size_t i = kith_mdns_keys_find(s, key);
    if (i == KITH_MDNS_KEYS_MAX) {
        for (i = 0; i < max && s->used >> i & 1;)
            i++;
        if (i == max)
            return KITH_ELIMIT;
    }
    s->used |= 1u << i;
    memcpy(s->key[i], key, KITH_MDNS_KEY_LEN);
    *slot = i;
    return KITH_OK;
}

size_t kith_mdns_keys_named(const kith_mdns_keys *s, const kith_dns_name *name)
{
    uint8_t key[KITH_MDNS_KEY_LEN];
    kith_wr w = kith_wr_of(kith_span_of(key, sizeof key));
    kith_dns_name below;
    kith_bytes label;
    if (!s->used)
        return KITH_MDNS_KEYS_MAX;
    subtypes(&below);
    if (!kith_dns_name_below(name, &below, &label) || label.len != LABEL_LEN || label.p[0] != '_' ||
        kith_base_get(kith_bytes_skip(label, 1), KITH_BASE32, &w))
        return KITH_MDNS_KEYS_MAX;
    return kith_mdns_keys_find(s, key);
}

void kith_mdns_keys_name(const kith_mdns_keys *s, size_t slot, kith_dns_name *out)
{
    uint8_t label[LABEL_LEN];
    kith_wr w = kith_wr_of(kith_span_of(label, sizeof label));
    kith_dns_name below;
    kith_put_str(&w, "_");
    kith_base_put(&w, KITH_BASE32, kith_bytes_of(s->key[slot], KITH_MDNS_KEY_LEN));
    subtypes(&below);
    kith_err e = kith_dns_name_join(kith_wr_bytes(&w), &below, out);
    assert(!w.bad && e == KITH_OK);
    (void)e;
}
