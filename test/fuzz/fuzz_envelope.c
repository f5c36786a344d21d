/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Envelopes and peer records: the input as an envelope, which never verifies unless it stands in the corpus, and as a payload that we sign
 * ourselves, so that the parser behind the signature is reached. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "wire/envelope.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kith_signer *signer;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const uint8_t seed[KITH_ED25519_SEED_LEN] = {1};
    if (kith_crypto_init() != KITH_OK)
        return 1;
    signer = kith_signer_new(seed);
    return signer ? 0 : 1;
}

static void check(kith_bytes in, const kith_peer_record *rec)
{
    static uint8_t out[2 * KITH_ENVELOPE_MAX];
    assert(rec->peer.len > 0 && rec->addr_count <= KITH_RECORD_ADDRS_MAX);
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < rec->addr_count; i++) {
        assert(rec->addrs[i].len > 0 && rec->addrs[i].p > in.p &&
               rec->addrs[i].p + rec->addrs[i].len <= in.p + in.len);
        n += kith_maddr_parse(rec->addrs[i], &addrs[n]) == KITH_OK;
    }
    /* The valid addresses, sealed by us, come out again. */
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    if (kith_peer_record_seal(signer, rec->seq, addrs, n, &w) != KITH_OK)
        return;
    kith_peer_record again;
    kith_err e = kith_peer_record_open(kith_wr_bytes(&w), &again);
    assert(e == KITH_OK && again.seq == rec->seq && again.addr_count == n);
    for (size_t i = 0; i < n; i++)
        assert(kith_bytes_eq(again.addrs[i], kith_maddr_bytes(&addrs[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t sealed[2 * KITH_ENVELOPE_MAX];
    kith_bytes in = kith_bytes_of(data, size);
    kith_peer_record rec;
    kith_envelope env;
    if (kith_peer_record_open(in, &rec) == KITH_OK)
        check(in, &rec);
    if (kith_envelope_open(in, "libp2p-relay-rsvp", &env) == KITH_OK)
        assert(env.sig.len > 0 && env.type.len > 0 && env.signer.len > 0);
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    const uint8_t type[] = {3, 1};
    if (kith_envelope_seal(signer, "libp2p-peer-record", kith_bytes_of(type, 2), in, &w) != KITH_OK)
        return 0;
    kith_err e = kith_peer_record_open(kith_wr_bytes(&w), &rec);
    assert(e == KITH_OK || e == KITH_EFORMAT || e == KITH_EAUTH);
    if (e == KITH_OK)
        check(kith_wr_bytes(&w), &rec);
    return 0;
}
