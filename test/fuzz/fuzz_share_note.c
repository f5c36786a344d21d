/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes messages of type share. What parses can be written and parsed again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/share_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_peer_id from;
    kith_share_note n, back;
    char *text = malloc(size + 1);
    if (!text || kith_peer_id_from_text(
                     kith_bytes_str("12D3KooWGRUfMDYgXpbwy5nZ9XUXiX7v2g6rAWMPAvZrS6aqvZ4h"), &from)) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (!kith_share_note_parse(text, &from, &n)) {
        char *again = kith_share_note_text(&n);
        assert(again && !kith_share_note_parse(again, &from, &back) && strcmp(n.what, back.what) == 0 &&
               n.bytes == back.bytes);
        free(again);
    }
    free(text);
    return 0;
}
