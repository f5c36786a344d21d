/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the cipher of a private network. Two sides talk over a wire that a tape of decisions cuts, and may damage; beside them one side
 * hears the tape itself. What is heard is what was said, from its first byte, up to the first damage; and nothing at all without the key. */
#include "proto/mss.h"
#include "proto/pnet.h"
#include "tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BEGIN (KITH_PNET_NONCE_LEN + sizeof KITH_MSS_HELLO - 1)

static void hear_rubbish(const tape_env *e, const uint8_t *key, tape t)
{
    static uint8_t in[4096];
    kith_pnet *p = kith_pnet_new(&e->env, key);
    const char *why;
    assert(p);
    while (t.len > 0) {
        kith_bytes part = tape_bytes(&t, (size_t)1 + tape_u8(&t));
        if (part.len > 0)
            memcpy(in, part.p, part.len);
        kith_span left = kith_span_of(in, part.len);
        while (left.len > 0) {
            size_t before = left.len;
            kith_span text = kith_pnet_recv(p, &left);
            assert(left.len < before && text.len <= sizeof in);
            assert(text.len == 0 || kith_pnet_met(p));
            assert(!kith_pnet_err(p, &why) || (text.len == 0 && why && !kith_pnet_met(p)));
        }
    }
    kith_pnet_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t said[8192], wire[8192], heard[8192];
    static const uint8_t key[KITH_PNET_KEY_LEN] = {1};
    tape t = {data, size};
    tape_env e;
    if (kith_crypto_init())
        return 0;
    tape_env_init(&e, 0);
    hear_rubbish(&e, key, t);
    kith_pnet *a = kith_pnet_new(&e.env, key), *b = kith_pnet_new(&e.env, key);
    assert(a && b);
    size_t len = sizeof KITH_MSS_HELLO - 1, on_wire = kith_pnet_send(a, kith_span_of(wire, sizeof wire)),
           at = 0, got = 0;
    memcpy(said, KITH_MSS_HELLO, len);
    bool damaged = false;
    for (size_t sealed = 0; t.len > 0 && len < 4096;) {
        kith_bytes more = tape_bytes(&t, tape_u8(&t));
        if (more.len > 0)
            memcpy(said + len, more.p, more.len);
        len += more.len;
        memcpy(wire + on_wire, said + sealed, len - sealed);
        kith_pnet_seal(a, kith_span_of(wire + on_wire, len - sealed));
        on_wire += len - sealed;
        sealed = len;
        size_t n = tape_u8(&t);
        n = n < on_wire - at ? n : on_wire - at;
        if (n > 0 && at < BEGIN && tape_u8(&t) == 255) {
            wire[at] ^= 1;
            damaged = true;
        }
        for (kith_span in = kith_span_of(wire + at, n); in.len > 0;) {
            kith_span text = kith_pnet_recv(b, &in);
            if (text.len > 0)
                memcpy(heard + got, text.p, text.len);
            got += text.len;
        }
        at += n;
        assert(!damaged || got == 0);
        assert(got == 0 || (got == at - KITH_PNET_NONCE_LEN && memcmp(heard, said, got) == 0));
        assert(damaged || at < BEGIN || kith_pnet_met(b));
    }
    kith_pnet_free(a);
    kith_pnet_free(b);
    assert(e.held == 0);
    return 0;
}
