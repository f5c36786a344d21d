/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two stream ciphers and the first words of the peer's stream. */
#include "proto/pnet.h"

#include <assert.h>

#include "crypto/crypto.h"
#include "proto/mss.h"

#define HELLO_LEN (sizeof KITH_MSS_HELLO - 1)

_Static_assert(HELLO_LEN < KITH_PNET_NONCE_LEN, "a hello in clear is seen before a nonce is whole");

typedef enum state { NONCE, HELLO, MET, FAILED } state;

struct kith_pnet {
    const kith_env *env;
    state state;
    size_t got; /* of theirs: what the state waits for */
    size_t sent;
    const char *why;
    uint8_t ours[KITH_PNET_NONCE_LEN], theirs[KITH_PNET_NONCE_LEN];
    kith_xsalsa20 out, in; /* in: not before NONCE is over */
};

kith_pnet *kith_pnet_new(const kith_env *env, const uint8_t key[KITH_PNET_KEY_LEN])
{
    kith_pnet *p = KITH_NEW(env, kith_pnet);
    if (!p)
        return NULL;
    p->env = env;
    kith_rand_fill(env, kith_span_of(p->ours, sizeof p->ours));
    kith_xsalsa20_init(&p->out, key, p->ours);
    return p;
}

void kith_pnet_free(kith_pnet *p)
{
    if (!p)
        return;
    kith_xsalsa20_fini(&p->out);
    kith_xsalsa20_fini(&p->in);
    KITH_FREE(p->env, p);
}

static void fail(kith_pnet *p, const char *why)
{
    p->state = FAILED;
    p->why = why;
}

/* Copies up to `whole` bytes, those that came before included; false: there are not enough yet. */
static bool gather(kith_pnet *p, kith_span *in, size_t whole)
{
    size_t n = in->len < whole - p->got ? in->len : whole - p->got;
    memcpy(p->theirs + p->got, in->p, n);
    p->got += n;
    *in = kith_span_skip(*in, n);
    return p->got == whole;
}

static bool is_hello(const kith_pnet *p)
{
    return kith_ct_eq(kith_bytes_of(p->theirs, HELLO_LEN), kith_bytes_of(KITH_MSS_HELLO, HELLO_LEN));
}

static void take_nonce(kith_pnet *p, kith_span *in)
{
    bool whole = gather(p, in, KITH_PNET_NONCE_LEN);
    if (p->got >= HELLO_LEN && is_hello(p)) { /* and it may wait for our answer now */
        fail(p, "the peer is not in this private network: it speaks without a network key");
        return;
    }
    if (!whole)
        return;
    kith_xsalsa20_init(&p->in, p->out.key, p->theirs);
    p->got = 0;
    p->state = HELLO;
}

static kith_span take_hello(kith_pnet *p, kith_span *in)
{
    if (!gather(p, in, HELLO_LEN))
        return (kith_span){0};
    kith_span hello = kith_span_of(p->theirs, HELLO_LEN);
    kith_xsalsa20_xor(&p->in, hello);
    if (!is_hello(p)) {
        fail(p, "the peer is not in this private network, or has another network key");
        return (kith_span){0};
    }
    p->state = MET;
    return hello;
}

kith_span kith_pnet_recv(kith_pnet *p, kith_span *in)
{
    kith_span all = *in;
    switch (p->state) {
    case NONCE:
        take_nonce(p, in);
        return (kith_span){0};
    case HELLO:
        return take_hello(p, in);
    case MET:
        *in = (kith_span){0};
        kith_xsalsa20_xor(&p->in, all);
        return all;
    case FAILED:
        break;
    }
    *in = (kith_span){0};
    return (kith_span){0};
}

bool kith_pnet_met(const kith_pnet *p)
{
    return p->state == MET;
}

kith_err kith_pnet_err(const kith_pnet *p, const char **why)
{
    *why = p->why;
    return p->state == FAILED ? KITH_EPOLICY : KITH_OK;
}

size_t kith_pnet_send(kith_pnet *p, kith_span out)
{
    size_t left = sizeof p->ours - p->sent;
    size_t n = left < out.len ? left : out.len;
    if (n > 0)
        memcpy(out.p, p->ours + p->sent, n);
    p->sent += n;
    return n;
}

void kith_pnet_seal(kith_pnet *p, kith_span text)
{
    assert(p->sent == sizeof p->ours || text.len == 0);
    if (text.len > 0)
        kith_xsalsa20_xor(&p->out, text);
}
