/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer ids and public keys: every accepted form is kept to the byte and both texts lead back to the same id. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "wire/pb.h"
#include "wire/peer_id.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return kith_crypto_init() == KITH_OK ? 0 : 1;
}

static void same_again(const kith_peer_id *id)
{
    char text[KITH_PEER_ID_TEXT_MAX + 1], cid[81];
    kith_peer_id again;
    kith_peer_id_text(id, text);
    kith_err e = kith_peer_id_from_text(kith_bytes_str(text), &again);
    assert(e == KITH_OK && kith_peer_id_eq(id, &again));
    kith_peer_id_cid_text(id, cid);
    e = kith_peer_id_from_text(kith_bytes_str(cid), &again);
    assert(e == KITH_OK && kith_peer_id_eq(id, &again));
    e = kith_peer_id_parse(kith_peer_id_bytes(id), &again);
    assert(e == KITH_OK && kith_peer_id_eq(id, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_bytes in = kith_bytes_of(data, size), key;
    kith_peer_id id;
    kith_key_type type;
    if (kith_peer_id_parse(in, &id) == KITH_OK) {
        assert(kith_bytes_eq(kith_peer_id_bytes(&id), in));
        same_again(&id);
    }
    if (kith_peer_id_from_text(in, &id) == KITH_OK)
        same_again(&id);
    if (kith_peer_id_of_key(in, &id) == KITH_OK) {
        same_again(&id);
        assert((kith_peer_id_inline_key(&id).len > 0) == (size <= 42));
        assert(size > 42 || kith_bytes_eq(kith_peer_id_inline_key(&id), in));
    }
    if (kith_pubkey_parse(in, &type, &key) == KITH_OK) {
        uint8_t out[KITH_PUBKEY_MAX];
        kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
        kith_pb_put_num(&w, 1, type);
        kith_pb_put_bytes(&w, 2, key);
        assert(!w.bad && kith_bytes_eq(kith_wr_bytes(&w), in));
        kith_err e =
            kith_pubkey_verify(in, kith_bytes_str("message"), kith_bytes_of(data, size < 64 ? size : 64));
        assert(e != KITH_OK);
    }
    return 0;
}
