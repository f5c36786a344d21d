/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multiaddresses: an accepted one is kept to the byte, its text leads back to it, its parts make it again. */
#include <assert.h>

#include "base/text.h"
#include "wire/multiaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const kith_maddr *a)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr again, made = {0};
    kith_maddr_part part;
    kith_err e = kith_maddr_parse(kith_maddr_bytes(a), &again);
    assert(e == KITH_OK && kith_maddr_eq(a, &again));
    kith_maddr_text(a, text);
    assert(text[0] == '/' && kith_text_clean(kith_bytes_str(text)));
    e = kith_maddr_from_text(kith_bytes_str(text), &again, NULL);
    assert(e == KITH_OK && kith_maddr_eq(a, &again));
    for (size_t at = 0; kith_maddr_next(a, &at, &part);) {
        e = kith_maddr_add(&made, part.code, part.value);
        assert(e == KITH_OK);
        assert(kith_maddr_find(a, part.code, &part));
    }
    assert(kith_maddr_eq(a, &made));

    kith_maddr_tcp tcp;
    if (kith_maddr_to_tcp(a, &tcp) == KITH_OK && tcp.host <= KITH_HOST_IP6 && tcp.zone.len == 0) {
        kith_maddr_from_tcp(tcp.value, tcp.port, &made);
        if (tcp.peer.len && kith_maddr_set_peer(&made, &tcp.peer) != KITH_OK)
            assert(0 && "a peer fits");
        assert(kith_maddr_eq(a, &made));
    }
    (void)kith_maddr_scope(a);

    /* Without its peer, and with it again. */
    kith_peer_id id;
    if (kith_maddr_peer(a, &id)) {
        made = *a;
        e = kith_maddr_set_peer(&made, NULL);
        assert(e == KITH_OK && made.len < a->len);
        kith_peer_id before;
        if (!kith_maddr_peer(&made, &before)) { /* else that one would be replaced */
            e = kith_maddr_set_peer(&made, &id);
            assert(e == KITH_OK && kith_maddr_eq(a, &made));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_bytes in = kith_bytes_of(data, size);
    kith_maddr a;
    const char *why = NULL;
    if (kith_maddr_parse(in, &a) == KITH_OK) {
        assert(kith_bytes_eq(kith_maddr_bytes(&a), in));
        check(&a);
    }
    if (kith_maddr_from_text(in, &a, &why) == KITH_OK)
        check(&a);
    else
        assert(why);
    /* One component: the first byte is its protocol. */
    if (size > 0) {
        static const uint32_t codes[] = {4,   6,   33,  41,  42,  43,  53,  54,  55,  56,  132, 273, 275, 276,
                                         277, 280, 281, 290, 301, 302, 400, 421, 443, 444, 445, 446, 447, 448,
                                         449, 454, 460, 461, 465, 466, 477, 478, 479, 480, 481, 777};
        kith_maddr one = {0};
        if (kith_maddr_add(&one, codes[data[0] % (sizeof codes / sizeof codes[0])], kith_bytes_skip(in, 1)) ==
            KITH_OK)
            check(&one);
    }
    return 0;
}
