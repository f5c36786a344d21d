/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the two handshake fuzzers share: a machine against raw bytes, against an honest partner whose messages
 * are tampered with on the way, and against a partner that knows the protocol and says anything in its
 * payload. */
#ifndef KITH_FUZZ_NOISE_H
#define KITH_FUZZ_NOISE_H

#include "unit/noise_pair.h"
#include "wire/pb.h"

/* A side that lives as long as the process. */
static inline side *fuzz_side(int which)
{
    static side sides[3];
    static bool made;
    if (!made) {
        made = true;
        for (uint8_t i = 0; i < 3; i++) {
            uint8_t seed[32] = {i};
            side_init(&sides[i], seed, i, (kith_bytes){0});
        }
    }
    return &sides[which];
}

/* In a suite with a psk: the responder has not the one that is meant. */
static bool fuzz_without;

static inline void fuzz_machine(side *s, const kith_noise_suite *suite, bool initiator)
{
    static kith_bytes muxers[2];
    muxers[0] = kith_bytes_str("/yamux/1.0.0");
    muxers[1] = kith_bytes_str("/mplex/6.7.0");
    kith_noise_config cfg = side_config(s, suite, initiator);
    cfg.muxers = muxers;
    cfg.muxer_count = initiator ? 2 : 1;
    static const uint8_t psk[KITH_NOISE_PSK_LEN] = {7}, name[KITH_NOISE_KEY_NAME_LEN] = {8};
    if (suite->psk && initiator) {
        cfg.psk = psk;
        cfg.key_name = name;
    }
    s->psk = suite->psk && !fuzz_without ? psk : NULL;
    static kith_bytes channels[1];
    channels[0] = kith_bytes_str(suite->id);
    cfg.channels = channels;
    cfg.channel_count = 1;
    cfg.aes = true; /* where the suite has it */
    s->dice.seed = initiator ? 11 : 22;
    s->noise = kith_noise_new(&cfg);
    assert(s->noise);
}

/* Feeds in pieces of the given length (0: all at once). */
static inline void fuzz_feed(side *s, kith_bytes in, size_t piece)
{
    uint8_t out[8192];
    while (in.len > 0) {
        size_t k = piece == 0 || piece > in.len ? in.len : piece;
        side_feed(s, kith_bytes_of(in.p, k));
        in = kith_bytes_skip(in, k);
        while (side_send(s, out) > 0)
            ;
    }
}

typedef enum tamper { INTACT, LONGER, CHANGED } tamper;

/* Changes msg as the input says: a count of edits, each of 4 bytes: kind, place (2), value. LONGER: the
 * message is intact, and bytes follow it that will be taken for the next. */
static inline tamper fuzz_tamper(kith_rd *r, uint8_t *msg, size_t *len, size_t cap)
{
    uint8_t before[8192];
    size_t before_len = *len;
    assert(*len <= sizeof before);
    memcpy(before, msg, *len);
    for (unsigned edits = kith_get_u8(r) % 4; edits > 0; edits--) {
        unsigned kind = kith_get_u8(r) % 4;
        size_t at = kith_get_be16(r);
        uint8_t value = kith_get_u8(r);
        if (r->bad || *len == 0)
            break;
        at %= *len;
        switch (kind) {
        case 0: /* change */
            msg[at] ^= value;
            break;
        case 1: /* cut */
            *len = at;
            break;
        case 2: /* prolong */
            if (*len < cap)
                msg[(*len)++] = value;
            break;
        case 3: /* the length on the wire */
            kith_store_be16(msg, (uint16_t)(kith_load_be16(msg) + (int8_t)value));
            break;
        }
    }
    if (*len < before_len || memcmp(msg, before, before_len) != 0)
        return CHANGED;
    return *len > before_len ? LONGER : INTACT;
}

static inline void fuzz_raw(const kith_noise_suite *suite, bool initiator, size_t piece, kith_bytes in)
{
    side *us = fuzz_side(0);
    fuzz_machine(us, suite, initiator);
    fuzz_feed(us, in, piece);
    assert(!us->ready); /* nobody can guess a static key */
    side_reset(us);
}

static inline void fuzz_honest(const kith_noise_suite *suite, size_t piece, kith_bytes in)
{
    side *i = fuzz_side(0), *r = fuzz_side(1);
    kith_rd rd = kith_rd_of(in);
    uint8_t msg[8192];
    tamper worst = INTACT;
    fuzz_machine(i, suite, true);
    fuzz_machine(r, suite, false);
    for (int turn = 0; turn < 3; turn++) {
        side *from = turn % 2 ? r : i, *to = turn % 2 ? i : r;
        size_t len = side_send(from, msg);
        if (len == 0)
            break;
        /* A is not authenticated when it is read; from B on a change is noticed at once. */
        tamper t = fuzz_tamper(&rd, msg, &len, sizeof msg);
        worst = t > worst ? t : worst;
        size_t k = piece == 0 ? len : piece;
        for (size_t at = 0; at < len; at += k)
            side_feed(to, kith_bytes_of(msg + at, len - at < k ? len - at : k));
        assert(worst != CHANGED || turn == 0 || !to->ready);
    }
    if (worst == INTACT) {
        assert(i->ready && r->ready && kith_bytes_eq_str(kith_noise_muxer(i->noise), "/yamux/1.0.0"));
        assert(memcmp(kith_noise_hash(i->noise), kith_noise_hash(r->noise), 32) == 0);
    }
    side_reset(i);
    side_reset(r);
}

/* signed_first: the payload starts with a true identity, so that what follows it is looked at too. */
static inline void fuzz_payload(const kith_noise_suite *suite, bool initiator, bool signed_first,
                                kith_bytes in)
{
    static uint8_t buf[16384], msg[16384 + 4096], out[8192];
    side *us = fuzz_side(0), *peer = fuzz_side(2);
    uint8_t secret[32] = {0x42}, pub[32], text[24 + 32], raw[32], key[KITH_PUBKEY_ED25519_LEN], sig[64];
    if (in.len > 12000)
        return;
    kith_dh *s = kith_dh_new(secret);
    kith_noise_hs hs;
    kith_err e = kith_noise_hs_init(&hs, suite, !initiator, s, (kith_bytes){0});
    assert(!e);
    kith_noise_hs_draw(&hs, &peer->env);
    kith_wr w = kith_wr_of(kith_span_of(buf, sizeof buf));
    if (signed_first) {
        kith_dh_public(s, pub);
        memcpy(text, "noise-libp2p-static-key:", 24);
        memcpy(text + 24, pub, 32);
        e = kith_signer_sign(peer->signer, kith_bytes_of(text, sizeof text), sig);
        assert(!e);
        kith_signer_public(peer->signer, raw);
        kith_pubkey_ed25519(raw, key);
        kith_pb_put_bytes(&w, 1, kith_bytes_of(key, sizeof key));
        kith_pb_put_bytes(&w, 2, kith_bytes_of(sig, sizeof sig));
    }
    kith_put_bytes(&w, in);

    fuzz_machine(us, suite, initiator);
    for (int turn = 0; turn < (initiator ? 2 : 3) && !us->failed; turn++) {
        if ((turn % 2 == 0) == initiator) { /* our turn */
            kith_bytes payload;
            size_t len = side_send(us, out);
            assert(len > 2);
            e = kith_noise_hs_read(&hs, kith_span_of(out + 2, len - 2), &payload);
            assert(!e);
            continue;
        }
        kith_bytes payload = turn == 0 ? (kith_bytes){0} : kith_wr_bytes(&w);
        size_t len = kith_noise_hs_len(&hs, payload.len);
        kith_store_be16(msg, (uint16_t)len);
        e = kith_noise_hs_write(&hs, payload, msg + 2);
        assert(!e);
        side_feed(us, kith_bytes_of(msg, 2 + len));
    }
    assert(us->ready + us->failed == 1);
    assert(!us->ready || kith_peer_id_eq(kith_noise_peer(us->noise), &peer->id));
    kith_noise_hs_fini(&hs);
    kith_dh_free(s);
    side_reset(us);
}

/* The first byte chooses the game and the role, the second the length of the pieces. */
static inline void fuzz_handshake(const char *id, const uint8_t *data, size_t size)
{
    const kith_noise_suite *suite = kith_noise_suite_find(kith_bytes_str(id));
    if (size < 2)
        return;
    kith_bytes in = kith_bytes_of(data + 2, size - 2);
    switch (data[0] % 7) {
    case 0:
    case 1:
        fuzz_raw(suite, data[0] % 7 == 1, data[1], in);
        break;
    case 2:
        fuzz_honest(suite, data[1], in);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        fuzz_payload(suite, data[0] & 1, data[1] & 1, in);
        break;
    }
}

#endif
