/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer info records: the input as a record, which hardly ever verifies, and as a payload that we sign ourselves, so that the parser behind the
 * signature is reached. What is read can be sealed, and comes out again. */
#include <assert.h>

#include "base/text.h"
#include "wire/envelope.h"
#include "wire/peer_info.h"

#include "signer_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const kith_peer_info *info)
{
    static uint8_t out[2 * KITH_PEER_INFO_MAX];
    kith_peer_info again;
    assert(info->addr_count <= KITH_PEER_INFO_ADDRS_MAX &&
           info->algorithm_count <= KITH_PEER_INFO_ALGORITHMS_MAX);
    assert(info->name.len == 0 || kith_peer_name_ok(info->name));
    kith_wr w = kith_wr_of(kith_span_of(out, sizeof out));
    kith_err e = kith_peer_info_seal(signer, info, &w);
    assert(e == KITH_OK && w.len <= KITH_PEER_INFO_MAX);
    e = kith_peer_info_open(kith_wr_bytes(&w), &own, &again);
    assert(e == KITH_OK && again.seq == info->seq && again.time == info->time);
    assert(kith_bytes_eq(again.name, info->name) && again.addr_count <= info->addr_count);
    assert(again.algorithm_count == info->algorithm_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t sealed[2 * KITH_ENVELOPE_MAX];
    kith_bytes in = kith_bytes_of(data, size);
    kith_peer_info info;
    if (kith_peer_info_open(in, &own, &info) == KITH_OK)
        check(&info);
    if (kith_peer_info_read(in, &info) == KITH_OK)
        check(&info);
    kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
    if (kith_envelope_seal(signer, "kith-peer-info", kith_bytes_str("/kith/peer-info/1"), in, &w) != KITH_OK)
        return 0;
    if (kith_peer_info_open(kith_wr_bytes(&w), &own, &info) == KITH_OK)
        check(&info);
    return 0;
}
