/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The configuration file: any bytes are read or refused with a reason, and what was read prints values that are taken again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), err[KITH_CONFIG_ERR_MAX];
    assert(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    kith_config c, d;
    kith_config_default(&c);
    if (kith_config_parse(&c, text, "fuzz", err)) {
        assert(err[0]);
    } else {
        for (size_t i = 0; i < kith_config_key_count; i++) {
            const kith_config_key *k = &kith_config_keys[i];
            char value[KITH_CONFIG_LISTEN_MAX * (KITH_MADDR_TEXT_MAX + 1)];
            if (kith_config_is_list(k))
                continue; /* lists */
            kith_config_text(&c, k, value, sizeof value);
            kith_config_default(&d);
            kith_err e = kith_config_set(&d, k, value, err);
            assert(!e);
            (void)e;
        }
    }
    free(text);
    return 0;
}
