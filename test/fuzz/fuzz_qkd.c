/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a KME may reply: any bytes are a key, a status, a message, or refused with a reason. The first byte says which is expected. */
#include <assert.h>
#include <string.h>

#include "host/qkd_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char id[] = "bc490419-7d60-487f-adc1-4ddcc177c139";
    const char *why = NULL;
    kith_qkd_key key;
    kith_qkd_status status;
    char text[KITH_QKD_TEXT_MAX];
    if (size == 0)
        return 0;
    kith_bytes body = kith_bytes_of(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0:
    case 1: {
        const char *wanted = data[0] & 1 ? id : NULL;
        if (kith_qkd_parse_key(body, wanted, &key, &why)) {
            assert(why);
            break;
        }
        assert(!why && kith_qkd_is_id(kith_bytes_str(key.id)));
        assert(!wanted || kith_qkd_same_id(key.id, wanted));
        break;
    }
    case 2:
        if (kith_qkd_parse_status(body, &status, &why)) {
            assert(why);
            break;
        }
        assert(!why && status.source_kme[0] && strlen(status.slave_sae) <= KITH_QKD_NAME_MAX);
        break;
    default:
        kith_qkd_parse_error(body, text);
        for (const char *p = text; *p; p++)
            assert(*p >= 0x20 && *p <= 0x7e);
        break;
    }
    return 0;
}
