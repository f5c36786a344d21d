/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A rendezvous point and its clients: who registers is found, for its time and within the caps; others' records, cookies and floods get nothing. */
#include "mesh/point.h"

#include <stdio.h>

#include "crypto/crypto.h"
#include "mesh/answers.h"
#include "mesh/rendezvous.h"
#include "sim/sim_world.h"
#include "support.h"

static kith_signer *signers[4];
static kith_peer_id ids[4];
static uint8_t record[4][1024];
static size_t record_len[4];
static support_heap heap;

static int make_peers(void **state)
{
    (void)state;
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/10.0.0.1/tcp/9000"), &a, NULL), KITH_OK);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1), 3}, pub[KITH_ED25519_PUB_LEN],
                key[KITH_PUBKEY_ED25519_LEN];
        signers[i] = kith_signer_new(seed);
        kith_signer_public(signers[i], pub);
        kith_pubkey_ed25519(pub, key);
        assert_int_equal(kith_peer_id_of_key(kith_bytes_of(key, sizeof key), &ids[i]), KITH_OK);
        kith_wr w = kith_wr_of(kith_span_of(record[i], sizeof record[i]));
        kith_err e = i == 3 ? kith_peer_record_seal_rfc(signers[i], 1, &a, 1, &w)
                            : kith_peer_record_seal(signers[i], 1, &a, 1, &w);
        assert_int_equal(e, KITH_OK);
        record_len[i] = w.len;
    }
    return 0;
}

static int drop_peers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        kith_signer_free(signers[i]);
    return 0;
}

static kith_bytes rec(unsigned i)
{
    return kith_bytes_of(record[i], record_len[i]);
}

/* A point on a node of its own. */
typedef struct rig {
    kith_env env;
    kith_node *node;
    kith_point *p;
    uint8_t out[KITH_POINT_ANSWER_MAX];
    size_t len;
} rig;

static rig *rig_with(uint32_t max)
{
    rig *r = calloc(1, sizeof *r);
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.env = r->env = *support_env(&heap);
    cfg.signer = signers[0];
    r->node = kith_node_new(&cfg, 0);
    r->p = kith_point_new(&cfg.env, r->node, max, 0);
    assert_non_null(r->p);
    return r;
}

static rig *rig_new(void)
{
    return rig_with(KITH_POINT_MAX);
}

static void rig_free(rig *r)
{
    kith_point_check(r->p);
    kith_node_free(r->node);
    kith_point_free(r->p);
    free(r);
    support_heap_check(&heap);
}

static kith_rdv_msg say(rig *r, kith_time now, unsigned from, kith_bytes in)
{
    kith_rdv_msg m = {0};
    kith_wr w = kith_wr_of(kith_span_of(r->out, sizeof r->out));
    assert_int_equal(kith_point_answer_(r->p, now, &ids[from], in, &w), KITH_OK);
    r->len = w.len;
    if (w.len)
        assert_int_equal(kith_rdv_parse(kith_wr_bytes(&w), &m), KITH_OK);
    return m;
}

static kith_rdv_msg put(rig *r, kith_time now, unsigned from, const char *ns, kith_bytes record_,
                        uint64_t ttl)
{
    static uint8_t b[KITH_RDV_REQUEST_MAX];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_rdv_put_register(&w, kith_bytes_str(ns), record_, ttl);
    kith_rdv_msg m = say(r, now, from, kith_wr_bytes(&w));
    assert_int_equal(m.type, KITH_RDV_REGISTER_RESPONSE);
    return m;
}

static kith_rdv_msg look(rig *r, kith_time now, unsigned from, const char *ns, uint64_t limit,
                         kith_bytes cookie)
{
    uint8_t b[1024];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_rdv_put_discover(&w, kith_bytes_str(ns), limit, cookie);
    kith_rdv_msg m = say(r, now, from, kith_wr_bytes(&w));
    assert_int_equal(m.type, KITH_RDV_DISCOVER_RESPONSE);
    return m;
}

static unsigned count(const kith_rdv_msg *m)
{
    kith_rdv_msg reg;
    unsigned n = 0;
    for (kith_rdv_walk w = kith_rdv_walk_of(m); kith_rdv_walk_next(&w, &reg);)
        n++;
    return n;
}

static void who_registers_is_found_in_its_namespace_for_its_time(void **state)
{
    (void)state;
    rig *r = rig_new();
    kith_rdv_msg m = put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN);
    assert_true(m.status == KITH_RDV_OK && m.ttl == KITH_RDV_TTL_MIN);
    put(r, 0, 1, "app", rec(1), KITH_RDV_TTL_MAX);
    put(r, 0, 3, "other", rec(3), KITH_RDV_TTL_MIN); /* in the form of RFC 0003 */
    m = look(r, 1, 2, "app", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 2);
    kith_rdv_msg reg;
    kith_rdv_walk w = kith_rdv_walk_of(&m);
    assert_true(kith_rdv_walk_next(&w, &reg));
    support_assert_bytes(reg.record, rec(0)); /* as it came */
    assert_int_equal(reg.ttl, KITH_RDV_TTL_MIN - 1);
    m = look(r, 1, 2, "", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 3);
    m = look(r, KITH_SEC(KITH_RDV_TTL_MIN), 2, "app", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 1);
    assert_int_equal(kith_point_count(r->p), 1);
    rig_free(r);
}

static void unregistering_takes_away_ones_own_only(void **state)
{
    (void)state;
    rig *r = rig_new();
    uint8_t b[512];
    put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN);
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_rdv_put_unregister(&w, kith_bytes_str("app"), &ids[0]);
    say(r, 0, 1, kith_wr_bytes(&w)); /* it names another, and is that peer's own all the same */
    assert_int_equal(r->len, 0);
    assert_int_equal(kith_point_count(r->p), 1);
    say(r, 0, 0, kith_wr_bytes(&w));
    assert_int_equal(kith_point_count(r->p), 0);
    rig_free(r);
}

static void what_is_not_its_peers_or_not_in_range_is_refused(void **state)
{
    (void)state;
    rig *r = rig_new();
    char ns[KITH_RDV_NS_MAX + 2];
    memset(ns, 'n', sizeof ns);
    ns[KITH_RDV_NS_MAX + 1] = '\0';
    assert_int_equal(put(r, 0, 0, "app", rec(1), KITH_RDV_TTL_MIN).status, KITH_RDV_NOT_AUTHORIZED);
    assert_int_equal(put(r, 0, 0, "app", kith_bytes_str("no record"), KITH_RDV_TTL_MIN).status,
                     KITH_RDV_INVALID_RECORD);
    assert_int_equal(put(r, 0, 0, "app", (kith_bytes){0}, KITH_RDV_TTL_MIN).status, KITH_RDV_INVALID_RECORD);
    assert_int_equal(put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN - 1).status, KITH_RDV_INVALID_TTL);
    assert_int_equal(put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MAX + 1).status, KITH_RDV_INVALID_TTL);
    assert_int_equal(put(r, 0, 0, ns, rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_INVALID_NAMESPACE);
    assert_int_equal(put(r, 0, 0, "", rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_INVALID_NAMESPACE);
    assert_int_equal(put(r, 0, 0, "a\x1b", rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_INVALID_NAMESPACE);
    assert_int_equal(look(r, 0, 0, ns, 0, (kith_bytes){0}).status, KITH_RDV_INVALID_NAMESPACE);
    assert_int_equal(kith_point_count(r->p), 0);
    ns[KITH_RDV_NS_MAX] = '\0';
    assert_int_equal(put(r, 0, 0, ns, rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    kith_wr w = kith_wr_of(kith_span_of(r->out, sizeof r->out));
    assert_int_equal(kith_point_answer_(r->p, 0, &ids[0], kith_bytes_str("x"), &w), KITH_EPROTO);
    rig_free(r);
}

static void cookies_tell_what_is_new_and_are_checked(void **state)
{
    (void)state;
    rig *r = rig_new();
    uint8_t cookie[KITH_RDV_COOKIE_MAX];
    put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN);
    put(r, 0, 1, "app", rec(1), KITH_RDV_TTL_MIN);
    kith_rdv_msg m = look(r, 0, 2, "app", 1, (kith_bytes){0}); /* by pages */
    assert_int_equal(count(&m), 1);
    size_t n = m.cookie.len;
    memcpy(cookie, m.cookie.p, n);
    m = look(r, 0, 2, "app", 1, kith_bytes_of(cookie, n));
    assert_int_equal(count(&m), 1);
    memcpy(cookie, m.cookie.p, n);
    m = look(r, 0, 2, "app", 1, kith_bytes_of(cookie, n));
    assert_int_equal(count(&m), 0);
    memcpy(cookie, m.cookie.p, n);
    put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN); /* refreshed: told again, once */
    m = look(r, 0, 2, "app", 0, kith_bytes_of(cookie, n));
    assert_int_equal(count(&m), 1);
    assert_int_equal(look(r, 0, 2, "other", 0, kith_bytes_of(cookie, n)).status, KITH_RDV_INVALID_COOKIE);
    assert_int_equal(look(r, 0, 2, "", 0, kith_bytes_of(cookie, n)).status, KITH_RDV_INVALID_COOKIE);
    assert_int_equal(look(r, 0, 2, "app", 0, kith_bytes_of(cookie, 7)).status, KITH_RDV_INVALID_COOKIE);
    cookie[7] = 0xff; /* a number that was not reached */
    assert_int_equal(look(r, 0, 2, "app", 0, kith_bytes_of(cookie, n)).status, KITH_RDV_INVALID_COOKIE);
    cookie[0] ^= 1; /* of a point that was started again */
    m = look(r, 0, 2, "app", 0, kith_bytes_of(cookie, n));
    assert_int_equal(count(&m), 2);
    rig_free(r);
}

static void a_peer_has_a_hundred_registrations_and_sixty_messages_a_minute(void **state)
{
    (void)state;
    rig *r = rig_new();
    char ns[16];
    for (unsigned i = 0; i <= KITH_POINT_PER_PEER_MAX; i++) {
        snprintf(ns, sizeof ns, "ns%u", i);
        kith_rdv_msg m = put(r, KITH_SEC(2 * i), 0, ns, rec(0), KITH_RDV_TTL_MIN);
        assert_int_equal(m.status, i < KITH_POINT_PER_PEER_MAX ? KITH_RDV_OK : KITH_RDV_UNAVAILABLE);
    }
    assert_int_equal(put(r, KITH_SEC(203), 0, "ns0", rec(0), KITH_RDV_TTL_MIN).status,
                     KITH_RDV_OK); /* again */
    kith_time t = KITH_SEC(400);
    for (unsigned i = 0; i <= KITH_POINT_RATE; i++) {
        kith_rdv_msg m = look(r, t, 1, "ns1", 1, (kith_bytes){0});
        assert_int_equal(m.status, i < KITH_POINT_RATE ? KITH_RDV_OK : KITH_RDV_UNAVAILABLE);
    }
    assert_int_equal(put(r, t, 1, "x", rec(1), KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    assert_int_equal(put(r, t + KITH_SEC(60), 1, "x", rec(1), KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    rig_free(r);
}

static void a_full_point_makes_room_for_who_has_less(void **state)
{
    (void)state;
    rig *r = rig_with(3);
    put(r, 0, 0, "a", rec(0), KITH_RDV_TTL_MIN);
    put(r, 0, 0, "b", rec(0), KITH_RDV_TTL_MIN);
    put(r, 0, 0, "c", rec(0), KITH_RDV_TTL_MIN);
    assert_int_equal(put(r, 0, 0, "d", rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    assert_int_equal(put(r, 0, 0, "a", rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_OK); /* again */
    assert_int_equal(put(r, 0, 1, "a", rec(0), KITH_RDV_TTL_MIN).status, KITH_RDV_NOT_AUTHORIZED);
    kith_rdv_msg m = look(r, 0, 2, "", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 3); /* who is not in the right pushes out nobody */
    assert_int_equal(put(r, 0, 1, "a", rec(1), KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    m = look(r, 0, 2, "b", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 0); /* the oldest of who had most */
    assert_int_equal(put(r, 0, 1, "b", rec(1), KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    assert_int_equal(put(r, 0, 3, "a", rec(3), KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    assert_int_equal(put(r, 0, 2, "a", rec(2), KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    assert_int_equal(kith_point_count(r->p), 3);
    rig_free(r);
}

/* A record with as many addresses as there may be. */
static kith_bytes big_record(uint8_t b[KITH_ENVELOPE_MAX])
{
    static kith_maddr many[KITH_RECORD_ADDRS_MAX];
    char text[80];
    for (unsigned i = 0; i < KITH_RECORD_ADDRS_MAX; i++) {
        snprintf(text, sizeof text, "/dns4/%050u.example/tcp/9", i);
        assert_int_equal(kith_maddr_from_text(kith_bytes_str(text), &many[i], NULL), KITH_OK);
    }
    kith_wr w = kith_wr_of(kith_span_of(b, KITH_ENVELOPE_MAX));
    assert_int_equal(kith_peer_record_seal(signers[1], 1, many, KITH_RECORD_ADDRS_MAX, &w), KITH_OK);
    return kith_wr_bytes(&w);
}

static void records_have_so_many_bytes_together(void **state)
{
    (void)state;
    uint8_t b[KITH_ENVELOPE_MAX];
    kith_bytes big = big_record(b);
    uint32_t enough = (uint32_t)(big.len + 1 + KITH_POINT_BYTES_EACH - 1) / KITH_POINT_BYTES_EACH;
    rig *r = rig_with(enough - 1);
    assert_int_equal(put(r, 0, 1, "a", big, KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    rig_free(r);
    r = rig_with(enough);
    assert_int_equal(put(r, 0, 1, "a", big, KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    assert_int_equal(put(r, 0, 1, "b", big, KITH_RDV_TTL_MIN).status, KITH_RDV_UNAVAILABLE);
    assert_int_equal(put(r, 0, 1, "a", big, KITH_RDV_TTL_MIN).status, KITH_RDV_OK); /* in its own place */
    rig_free(r);
}

/* Hundreds of large registrations are told by pages of no more than an answer's bytes. */
static void an_answer_has_its_size(void **state)
{
    (void)state;
    uint8_t b[KITH_ENVELOPE_MAX], cookie[KITH_RDV_COOKIE_MAX];
    char ns[16];
    kith_bytes big = big_record(b);
    unsigned registered = 0, told = 0, pages = 0;
    rig *r = rig_new();
    for (; registered * big.len < KITH_POINT_ANSWER_MAX + KITH_POINT_ANSWER_MAX / 2; registered++) {
        snprintf(ns, sizeof ns, "ns%u", registered);
        assert_int_equal(put(r, KITH_SEC(2 * registered), 1, ns, big, KITH_RDV_TTL_MIN).status, KITH_RDV_OK);
    }
    kith_bytes next = {0};
    for (unsigned n = 1; n > 0; pages++) {
        kith_rdv_msg m = look(r, KITH_SEC(400), 2, "", 0, next);
        assert_true(r->len <= KITH_POINT_ANSWER_MAX);
        n = count(&m);
        told += n;
        memcpy(cookie, m.cookie.p, m.cookie.len);
        next = kith_bytes_of(cookie, m.cookie.len);
    }
    assert_int_equal(told, registered);
    assert_int_equal(pages, 3);
    rig_free(r);
}

/* Many small ones: so many in one answer, whatever was asked for. */
static void an_answer_has_a_thousand_registrations(void **state)
{
    (void)state;
    rig *r = rig_new();
    uint8_t sealed[1024];
    char ns[16];
    kith_maddr a;
    kith_maddr_from_tcp(kith_bytes_of("\x0a\x00\x00\x01", 4), 9000, &a);
    for (unsigned i = 0; i < KITH_POINT_FOUND_MAX / KITH_POINT_PER_PEER_MAX + 1; i++) {
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1), 11};
        kith_signer *s = kith_signer_new(seed);
        kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
        assert_int_equal(kith_peer_record_seal(s, 1, &a, 1, &w), KITH_OK);
        kith_peer_id id = support_peer_of(s);
        for (unsigned k = 0; k < KITH_POINT_PER_PEER_MAX; k++) { /* within its rate */
            uint8_t b[2048];
            kith_wr q = kith_wr_of(kith_span_of(b, sizeof b)),
                    out = kith_wr_of(kith_span_of(r->out, sizeof r->out));
            snprintf(ns, sizeof ns, "%u", k);
            kith_rdv_put_register(&q, kith_bytes_str(ns), kith_wr_bytes(&w), KITH_RDV_TTL_MIN);
            assert_int_equal(kith_point_answer_(r->p, KITH_SEC(2 * k), &id, kith_wr_bytes(&q), &out),
                             KITH_OK);
        }
        kith_signer_free(s);
    }
    assert_int_equal(kith_point_count(r->p), KITH_POINT_FOUND_MAX + KITH_POINT_PER_PEER_MAX);
    static const uint64_t limits[] = {0, KITH_POINT_FOUND_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        kith_rdv_msg m = look(r, KITH_SEC(300), 0, "", limits[i], (kith_bytes){0});
        assert_int_equal(count(&m), KITH_POINT_FOUND_MAX);
    }
    rig_free(r);
}

static void who_registers_in_the_form_of_rfc_0003_is_told_no_other(void **state)
{
    (void)state;
    rig *r = rig_new();
    put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MIN);
    kith_rdv_msg m = look(r, 0, 3, "app", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 1);
    put(r, 0, 3, "app", rec(3), KITH_RDV_TTL_MIN);
    m = look(r, 0, 3, "app", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 1);
    kith_rdv_msg reg;
    kith_rdv_walk w = kith_rdv_walk_of(&m);
    assert_true(kith_rdv_walk_next(&w, &reg));
    support_assert_bytes(reg.record, rec(3));
    m = look(r, 0, 0, "app", 0, (kith_bytes){0});
    assert_int_equal(count(&m), 2);
    rig_free(r);
}

/* Whatever allocation fails, nothing is left half done. */
static void no_memory_is_an_answer(void **state)
{
    (void)state;
    uint8_t b[1024];
    bool done = false;
    for (size_t nth = 1; !done; nth++) {
        rig *r = rig_new();
        kith_wr w = kith_wr_of(kith_span_of(b, sizeof b)),
                out = kith_wr_of(kith_span_of(r->out, sizeof r->out));
        kith_rdv_msg m;
        kith_rdv_put_register(&w, kith_bytes_str("app"), rec(0), KITH_RDV_TTL_MIN);
        heap.fail_at = heap.calls + nth;
        assert_int_equal(kith_point_answer_(r->p, 0, &ids[0], kith_wr_bytes(&w), &out), KITH_OK);
        done = heap.calls < heap.fail_at;
        heap.fail_at = 0;
        assert_int_equal(kith_rdv_parse(kith_wr_bytes(&out), &m), KITH_OK);
        assert_int_equal(m.status, done ? KITH_RDV_OK : KITH_RDV_UNAVAILABLE);
        assert_int_equal(kith_point_count(r->p), done);
        if (done) {
            w.len = 0;
            kith_rdv_put_discover(&w, kith_bytes_str("app"), 0, (kith_bytes){0});
            heap.fail_at = heap.calls + 1;
            assert_int_equal(kith_point_answer_(r->p, 0, &ids[0], kith_wr_bytes(&w), &out), KITH_ENOMEM);
            heap.fail_at = 0;
        }
        rig_free(r);
    }
}

/* Made on a node that goes on without them. */
static void without_memory_there_is_no_point_and_no_client(void **state)
{
    (void)state;
    rig *r = rig_new();
    kith_point *p = NULL;
    kith_rdv *c = NULL;
    kith_node_unserve(r->node, 0, kith_bytes_str(KITH_RDV_ID)); /* the rig's own makes room */
    const kith_env env = r->env;
    size_t before = heap.bytes;
    for (size_t nth = 1; !c; nth++) {
        kith_rdv_config cfg = {
            .env = env, .node = r->node, .signer = signers[0], .ns = kith_bytes_str("app")};
        heap.fail_at = heap.calls + nth;
        c = kith_rdv_new(&cfg, 0);
        assert_true(c || heap.calls >= heap.fail_at);
        heap.fail_at = 0;
        assert_true(c || heap.bytes == before);
    }
    before = heap.bytes;
    for (size_t nth = 1; !p; nth++) {
        heap.fail_at = heap.calls + nth;
        p = kith_point_new(&env, r->node, 10, 0);
        assert_true(p || heap.calls >= heap.fail_at); /* and not because one that was not made is served */
        heap.fail_at = 0;
        assert_true(p || heap.bytes <= before + 512); /* the node's table of protocols may have grown */
    }
    kith_point *own = r->p;
    r->p = p;
    kith_rdv_free(c);
    kith_point_check(own);
    kith_node_free(r->node);
    kith_point_free(own);
    kith_point_free(p);
    free(r);
    support_heap_check(&heap);
}

/* ---- what went wrong in rust-libp2p ---- */

/* GHSA-cqfx-gf56-8x59: a peer registered itself under as many namespaces as it liked, and so did all of its names. */
static void CVE_2026_35405_registrations_without_end_cost_so_much_and_no_more(void **state)
{
    (void)state;
    enum { MAX = 300 };
    rig *r = rig_with(MAX);
    char ns[16];
    size_t before = heap.bytes, granted = 0, of_one = 0;
    for (unsigned i = 0; i < 3000; i++) { /* a second each: within its rate */
        snprintf(ns, sizeof ns, "ns%u", i);
        granted += put(r, KITH_SEC(i), 0, ns, rec(0), KITH_RDV_TTL_MIN).status == KITH_RDV_OK;
        kith_point_check(r->p);
    }
    assert_int_equal(granted, KITH_POINT_PER_PEER_MAX);
    assert_int_equal(kith_point_count(r->p), KITH_POINT_PER_PEER_MAX);
    of_one = heap.bytes - before;
    assert_true(of_one <= KITH_POINT_PER_PEER_MAX * (KITH_POINT_BYTES_EACH + 200));
    for (unsigned i = 0; i < 60; i++) { /* by sixty names, ten at once of each */
        uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1), 9}, sealed[1024];
        kith_signer *s = kith_signer_new(seed);
        kith_maddr a;
        kith_maddr_from_tcp(kith_bytes_of("\x0a\x00\x00\x01", 4), 9000, &a);
        kith_wr w = kith_wr_of(kith_span_of(sealed, sizeof sealed));
        assert_int_equal(kith_peer_record_seal(s, 1, &a, 1, &w), KITH_OK);
        kith_peer_id id = support_peer_of(s);
        for (unsigned k = 0; k < 10; k++) {
            uint8_t b[2048];
            kith_wr q = kith_wr_of(kith_span_of(b, sizeof b)),
                    out = kith_wr_of(kith_span_of(r->out, sizeof r->out));
            snprintf(ns, sizeof ns, "ns%u", k);
            kith_rdv_put_register(&q, kith_bytes_str(ns), kith_wr_bytes(&w), KITH_RDV_TTL_MAX);
            assert_int_equal(kith_point_answer_(r->p, KITH_SEC(3000), &id, kith_wr_bytes(&q), &out), KITH_OK);
        }
        kith_signer_free(s);
        kith_point_check(r->p);
    }
    assert_int_equal(kith_point_count(r->p), MAX);
    assert_true(heap.bytes - before <= MAX * (KITH_POINT_BYTES_EACH + 200));
    assert_int_equal(put(r, KITH_SEC(3000), 1, "app", rec(1), KITH_RDV_TTL_MIN).status,
                     KITH_RDV_OK); /* an honest one finds room */
    rig_free(r);
}

/* GHSA-v5hw-cv9c-rpg7: each DISCOVER left a cookie. Here they cost no memory. */
static void CVE_2026_35457_cookies_without_end_cost_nothing(void **state)
{
    (void)state;
    rig *r = rig_new();
    char ns[16];
    put(r, 0, 0, "app", rec(0), KITH_RDV_TTL_MAX);
    size_t before = heap.bytes, answered = 0, blocks = heap.blocks;
    heap.peak = before;
    for (unsigned i = 0; i < 20000;
         i++) { /* each a second later, by one name after another, of one namespace after another */
        uint8_t b[64];
        kith_rdv_msg m;
        kith_peer_id from = support_peer(i);
        kith_wr q = kith_wr_of(kith_span_of(b, sizeof b)),
                out = kith_wr_of(kith_span_of(r->out, sizeof r->out));
        snprintf(ns, sizeof ns, "ns%u", i);
        kith_rdv_put_discover(&q, kith_bytes_str(i % 2 ? ns : "app"), 1, (kith_bytes){0});
        assert_int_equal(kith_point_answer_(r->p, KITH_SEC(i), &from, kith_wr_bytes(&q), &out), KITH_OK);
        assert_int_equal(kith_rdv_parse(kith_wr_bytes(&out), &m), KITH_OK);
        answered += m.status == KITH_RDV_OK && m.cookie.len > 0;
    }
    assert_true(answered >= 19000);
    assert_int_equal(heap.bytes, before);
    assert_int_equal(heap.blocks, blocks);
    assert_true(heap.peak - before <= KITH_POINT_ANSWER_MAX + 4096); /* while an answer is made */
    rig_free(r);
}

/* ---- clients, over the simulated network ---- */

typedef struct client {
    sim_host *host;
    kith_rdv *rdv;
    kith_point *point;
    kith_signer *signer;
    kith_part part;
    unsigned followed, found, over, registered, refused, answered;
    kith_peer_id last;
    kith_addrs addrs;
    const unsigned *trims; /* once that has counted, its connections end before it reads; NULL: no */
} client;

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    kith_rdv_event_of(((client *)self)->rdv, now, ev);
}

static bool part_act(void *self, kith_time now)
{
    client *c = self;
    kith_rdv_event ev;
    if (c->trims && *c->trims > 0) {
        c->trims = NULL;
        kith_node_trim(sim_node(c->host), now, kith_node_conn_next(sim_node(c->host), NULL));
    }
    bool acted = kith_rdv_act(c->rdv, now);
    while (kith_rdv_next(c->rdv, &ev)) {
        c->followed += ev.kind == KITH_RDV_FOUND && ev.id == 0;
        c->found += ev.kind == KITH_RDV_FOUND && ev.id != 0;
        c->over += ev.kind == KITH_RDV_OVER;
        c->registered += ev.kind == KITH_RDV_REGISTERED;
        c->refused += ev.kind == KITH_RDV_REFUSED;
        if (ev.kind == KITH_RDV_FOUND) {
            c->last = ev.peer;
            c->addrs = ev.addrs;
        }
        if (ev.kind == KITH_RDV_OVER)
            c->answered = ev.answered;
        acted = true;
    }
    return acted;
}

static kith_time part_deadline(const void *self)
{
    return kith_rdv_deadline(((const client *)self)->rdv);
}

static void part_tick(void *self, kith_time now)
{
    kith_rdv_tick(((client *)self)->rdv, now);
}

static const kith_part_ops ops = {part_event, part_act, part_deadline, part_tick}, no_ops = {0};

static void client_gone(void *self)
{
    kith_rdv_free(((client *)self)->rdv);
    ((client *)self)->rdv = NULL;
}

static void point_gone(void *self)
{
    kith_point_free(((client *)self)->point);
    ((client *)self)->point = NULL;
}

static void add(sim *s, client *c, unsigned i, const client *point)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1), 5};
    c->host = sim_add_as(s, NULL, seed);
    c->signer = kith_signer_new(seed);
    c->part = (kith_part){.ops = point ? &ops : &no_ops, .self = c};
    if (!point) {
        c->point = kith_point_new(sim_env(c->host), sim_node(c->host), KITH_POINT_MAX, sim_now(s));
        assert_non_null(c->point);
        sim_attach(c->host, &c->part, point_gone);
        return;
    }
    c->rdv = kith_rdv_new(&(kith_rdv_config){.env = *sim_env(c->host),
                                             .node = sim_node(c->host),
                                             .signer = c->signer,
                                             .ns = kith_bytes_str("app"),
                                             .unix_seconds = 1800000000},
                          sim_now(s));
    assert_non_null(c->rdv);
    kith_peer_id id;
    kith_addrs addrs = {0};
    assert_true(kith_maddr_peer(sim_addr(point->host), &id));
    kith_addrs_pack(&addrs, sim_addr(point->host), 1);
    assert_int_equal(kith_rdv_add_point(c->rdv, &id, &addrs), KITH_OK);
    assert_int_equal(kith_rdv_add_point(c->rdv, &id, &addrs), KITH_EEXISTS);
    kith_maddr own = *sim_addr(c->host);
    assert_int_equal(kith_maddr_set_peer(&own, NULL), KITH_OK);
    assert_int_equal(kith_node_set_addrs(sim_node(c->host), sim_now(s), &own, 1), KITH_OK);
    sim_attach(c->host, &c->part, client_gone);
}

static void run(sim *s, kith_time by)
{
    sim_run(s, sim_now(s) + by);
}

static void there_may_be_eight_points(void **state)
{
    (void)state;
    sim *s = sim_new(12);
    client c[2] = {0};
    add(s, &c[0], 0, NULL);
    add(s, &c[1], 1, &c[0]);
    for (unsigned i = 1; i <= KITH_RDV_POINTS_MAX; i++) { /* it has one */
        kith_peer_id id = support_peer(100 + i);
        kith_addrs addrs = {0};
        kith_addrs_pack(&addrs, sim_addr(c[0].host), 1);
        assert_int_equal(kith_rdv_add_point(c[1].rdv, &id, &addrs),
                         i < KITH_RDV_POINTS_MAX ? KITH_OK : KITH_ELIMIT);
    }
    sim_free(s);
    for (unsigned i = 0; i < 2; i++)
        kith_signer_free(c[i].signer);
}

static void two_that_know_one_point_find_each_other(void **state)
{
    (void)state;
    sim *s = sim_new(11);
    client c[3] = {0};
    uint64_t id;
    add(s, &c[0], 0, NULL);
    add(s, &c[1], 1, &c[0]);
    add(s, &c[2], 2, &c[0]);
    for (unsigned i = 1; i < 3; i++) {
        kith_rdv_register(c[i].rdv, sim_now(s), true);
        sim_drive(c[i].host);
    }
    run(s, KITH_SEC(2));
    assert_int_equal(c[1].registered, 1);
    assert_int_equal(kith_point_count(c[0].point), 2);
    assert_true(c[1].followed + c[2].followed >= 1); /* the second to register sees the first */
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    sim_drive(c[1].host);
    run(s, KITH_SEC(2));
    assert_int_equal(c[1].found, 1); /* not itself */
    assert_int_equal(c[1].over, 1);
    assert_int_equal(c[1].answered, 1);
    kith_peer_id other;
    assert_true(kith_maddr_peer(sim_addr(c[2].host), &other));
    assert_true(kith_peer_id_eq(&c[1].last, &other));
    kith_bytes packed = kith_addrs_bytes(&c[1].addrs);
    kith_maddr a, want = *sim_addr(c[2].host);
    assert_true(kith_addrs_next(&packed, &a));
    assert_int_equal(kith_maddr_set_peer(&want, NULL), KITH_OK);
    assert_true(kith_maddr_eq(&a, &want));
    run(s, KITH_SEC(3 * 3600)); /* refreshed before its time was over */
    assert_true(c[1].registered >= 2);
    kith_rdv_register(c[2].rdv, sim_now(s), false);
    sim_drive(c[2].host);
    run(s, KITH_SEC(5));
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    sim_drive(c[1].host);
    run(s, KITH_SEC(5));
    assert_int_equal(c[1].over, 2);
    sim_free(s);
    for (unsigned i = 0; i < 3; i++)
        kith_signer_free(c[i].signer);
}

static void a_point_that_starts_anew_is_told_again(void **state)
{
    (void)state;
    sim *s = sim_new(13);
    client c[3] = {0};
    add(s, &c[0], 0, NULL);
    add(s, &c[1], 1, &c[0]);
    add(s, &c[2], 2, &c[0]);
    kith_rdv_register(c[1].rdv, sim_now(s), true);
    sim_drive(c[1].host);
    run(s, KITH_SEC(5));
    assert_int_equal(c[1].registered, 1);
    assert_int_equal(c[1].followed, 0);
    sim_off(c[0].host);
    sim_on(c[0].host);
    c[0].point = kith_point_new(sim_env(c[0].host), sim_node(c[0].host), KITH_POINT_MAX, sim_now(s));
    sim_attach(c[0].host, &c[0].part, point_gone);
    kith_rdv_register(c[2].rdv, sim_now(s), true);
    sim_drive(c[2].host);
    run(s, KITH_SEC(300)); /* long before the registration's time is over */
    assert_int_equal(kith_point_count(c[0].point), 2);
    assert_int_equal(c[1].registered, 2);
    assert_int_equal(c[1].followed, 1); /* with a cookie of the old one */
    assert_int_equal(c[2].followed, 1);
    /* Another address is told before the time is over, and the others hear of it. */
    kith_maddr own[2]; /* and one that is of no use there, or of bad use */
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/22"), &own[0], NULL), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/10.9.9.9/tcp/99"), &own[1], NULL), KITH_OK);
    assert_int_equal(kith_node_set_addrs(sim_node(c[2].host), sim_now(s), own, 2), KITH_OK);
    run(s, KITH_SEC(300));
    assert_int_equal(c[1].followed, 2);
    kith_bytes packed = kith_addrs_bytes(&c[1].addrs);
    kith_maddr a;
    assert_true(kith_addrs_next(&packed, &a) && kith_maddr_eq(&a, &own[1]));
    assert_false(kith_addrs_next(&packed, &a));
    kith_rdv_point_facts f;
    assert_true(kith_rdv_point_at(c[1].rdv, 0, &f) && f.registered && !f.why);
    assert_false(kith_rdv_point_at(c[1].rdv, 1, &f));
    sim_free(s);
    for (unsigned i = 0; i < 3; i++)
        kith_signer_free(c[i].signer);
}

/* A point that says what it likes. */
static struct liar {
    kith_answers *answers;
    kith_part part;
    bool refuses_cookies, brief; /* brief: it tells of one peer */
    unsigned registers, discovers, with_cookie;
} liar;

static void liar_gone(void *self)
{
    (void)self;
    kith_answers_free(liar.answers);
}

static kith_err lie(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes in, kith_wr *w)
{
    kith_rdv_msg m;
    uint8_t b[65536], forged[1024];
    kith_wr l = kith_wr_of(kith_span_of(b, sizeof b));
    (void)ctx, (void)now, (void)from;
    assert_int_equal(kith_rdv_parse(in, &m), KITH_OK);
    if (m.type == KITH_RDV_REGISTER) {
        liar.registers++;
        kith_rdv_put_registered(w, KITH_RDV_OK, NULL, 1); /* for a second */
        return KITH_OK;
    }
    liar.discovers++;
    if (liar.brief) {
        assert_true(kith_rdv_put_registration(&l, m.ns, rec(1), 9));
        kith_rdv_put_discovered(w, KITH_RDV_OK, NULL, kith_wr_bytes(&l), (kith_bytes){0});
        return KITH_OK;
    }
    liar.with_cookie += m.has_cookie;
    if (m.has_cookie && liar.refuses_cookies) {
        kith_rdv_put_discovered(w, KITH_RDV_INVALID_COOKIE, "no", (kith_bytes){0}, (kith_bytes){0});
        return KITH_OK;
    }
    memcpy(forged, rec(0).p, rec(0).len);
    forged[rec(0).len - 1] ^= 1;
    assert_true(kith_rdv_put_registration(&l, kith_bytes_str("else"), rec(0), 9));
    assert_true(kith_rdv_put_registration(&l, m.ns, kith_bytes_of(forged, rec(0).len), 9));
    assert_true(kith_rdv_put_registration(&l, m.ns, (kith_bytes){0}, 9));
    assert_true(kith_rdv_put_registration(&l, m.ns, rec(1), UINT64_MAX));
    for (unsigned i = 0; i < 200; i++)
        assert_true(kith_rdv_put_registration(&l, m.ns, rec(2), 9)); /* more than was asked for */
    kith_rdv_put_discovered(w, KITH_RDV_OK, NULL, kith_wr_bytes(&l), kith_bytes_str("a cookie"));
    return KITH_OK;
}

static void add_liar(sim *s, client *c)
{
    uint8_t seed[KITH_ED25519_SEED_LEN] = {9, 5};
    c->host = sim_add_as(s, NULL, seed);
    liar = (struct liar){.part = {.ops = &no_ops}};
    liar.answers = kith_answers_new(&(kith_answers_config){.env = *sim_env(c->host),
                                                           .stream_env = kith_node_env(sim_node(c->host)),
                                                           .question_max = KITH_RDV_REQUEST_MAX,
                                                           .answer_max = KITH_POINT_ANSWER_MAX,
                                                           .streams_max = 8,
                                                           .answer = lie});
    assert_non_null(liar.answers);
    kith_protocol row = {.id = kith_bytes_str(KITH_RDV_ID),
                         .ops = &kith_answers_ops,
                         .accept = kith_answers_accept,
                         .ctx = liar.answers};
    assert_int_equal(kith_node_serve(sim_node(c->host), sim_now(s), &row), KITH_OK);
    sim_attach(c->host, &liar.part, liar_gone);
}

static void what_a_point_makes_up_is_not_believed(void **state)
{
    (void)state;
    sim *s = sim_new(14);
    client c[2] = {0};
    uint64_t id;
    add_liar(s, &c[0]);
    add(s, &c[1], 1, &c[0]);
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    assert_int_equal(kith_rdv_find(c[1].rdv, (kith_bytes){0}, &id), KITH_EFORMAT);
    sim_drive(c[1].host);
    run(s, KITH_SEC(10));
    assert_int_equal(c[1].over, 1);
    assert_int_equal(liar.discovers, KITH_RDV_PAGES_MAX); /* though there is always more */
    /* Of each page those that are signed and of the namespace, among the first hundred. */
    assert_int_equal(c[1].found, KITH_RDV_PAGES_MAX * (KITH_RDV_PAGE - 3));
    kith_rdv_register(c[1].rdv, sim_now(s), true);
    sim_drive(c[1].host);
    run(s, KITH_SEC(200));
    assert_in_range(liar.registers, 2, 200 / 45 + 1); /* no oftener than if it had granted a minute */
    sim_free(s);
    kith_signer_free(c[1].signer);
}

/* The connection manager may trim the connection before the answer is read. What is in it was told from where the point was: of one that is
 * far away, addresses of a network of our own do not count. */
static void a_point_that_is_gone_when_its_answer_is_read_is_where_it_was(void **state)
{
    (void)state;
    static const uint8_t far[4] = {8, 8, 4, 4};
    for (unsigned i = 0; i < 2; i++) {
        sim *s = sim_new(17);
        client c[2] = {0};
        uint64_t id;
        add_liar(s, &c[0]);
        liar.brief = true;
        if (i == 1)
            sim_move(c[0].host, far);
        add(s, &c[1], 1, &c[0]);
        c[1].trims = &liar.discovers;
        assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
        sim_drive(c[1].host);
        run(s, KITH_SEC(10));
        assert_true(liar.discovers == 1 && !c[1].trims);
        assert_int_equal(kith_node_conn_count(sim_node(c[1].host)), 0);
        assert_true(c[1].over == 1 && c[1].answered == 1);
        assert_int_equal(c[1].found, i == 0);
        sim_free(s);
        kith_signer_free(c[1].signer);
    }
}

static void a_search_begins_again_where_its_cookie_is_refused(void **state)
{
    (void)state;
    sim *s = sim_new(15);
    client c[2] = {0};
    uint64_t id;
    add_liar(s, &c[0]);
    liar.refuses_cookies = true;
    add(s, &c[1], 1, &c[0]);
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    sim_drive(c[1].host);
    run(s, KITH_SEC(10));
    assert_int_equal(c[1].over, 1); /* once, and not for ever */
    assert_int_equal(liar.discovers, 4);
    assert_int_equal(liar.with_cookie, 2);
    assert_int_equal(c[1].found, 2 * (KITH_RDV_PAGE - 3));
    sim_free(s);
    kith_signer_free(c[1].signer);
}

/* A search ends and a registration comes about, whatever allocation failed meanwhile. */
static void a_client_without_memory_goes_on_when_there_is_some(void **state)
{
    (void)state;
    bool through = false;
    for (int64_t nth = 0; !through; nth++) {
        sim *s = sim_new(16);
        client c[2] = {0};
        uint64_t id;
        add(s, &c[0], 0, NULL);
        add(s, &c[1], 1, &c[0]);
        sim_fail_alloc(c[1].host, nth / 2, nth % 2);
        kith_rdv_register(c[1].rdv, sim_now(s), true);
        assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
        sim_drive(c[1].host);
        run(s, KITH_SEC(25));
        through = !sim_alloc_failed(c[1].host);
        assert_true(through || nth < 2000);
        sim_fail_alloc(c[1].host, -1, false);
        run(s, KITH_SEC(300));
        assert_int_equal(c[1].over, 1);
        assert_int_equal(kith_point_count(c[0].point), 1);
        sim_free(s);
        kith_signer_free(c[0].signer);
        kith_signer_free(c[1].signer);
    }
}

static void a_point_that_is_away_is_tried_again_and_searches_end(void **state)
{
    (void)state;
    sim *s = sim_new(12);
    client c[2] = {0};
    uint64_t id;
    add(s, &c[0], 0, NULL);
    add(s, &c[1], 1, &c[0]);
    sim_off(c[0].host);
    kith_rdv_register(c[1].rdv, sim_now(s), true);
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    sim_drive(c[1].host);
    run(s, KITH_SEC(25));
    assert_int_equal(c[1].over, 1);
    assert_int_equal(c[1].answered, 0);
    assert_int_equal(c[1].refused, 1);
    sim_on(c[0].host);
    c[0].point = kith_point_new(sim_env(c[0].host), sim_node(c[0].host), KITH_POINT_MAX, sim_now(s));
    sim_attach(c[0].host, &c[0].part, point_gone);
    run(s, KITH_SEC(120));
    assert_true(c[1].registered >= 1);
    for (unsigned i = 0; i < KITH_RDV_FINDS_MAX; i++)
        assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &id), KITH_OK);
    uint64_t one_more;
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &one_more), KITH_ELIMIT);
    kith_rdv_cancel(c[1].rdv, sim_now(s), id);
    assert_int_equal(kith_rdv_find(c[1].rdv, kith_bytes_str("app"), &one_more), KITH_OK);
    sim_drive(c[1].host);
    run(s, KITH_SEC(30));
    assert_int_equal(c[1].over, 1 + KITH_RDV_FINDS_MAX);
    sim_free(s);
    for (unsigned i = 0; i < 2; i++)
        kith_signer_free(c[i].signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_registers_is_found_in_its_namespace_for_its_time),
        cmocka_unit_test(unregistering_takes_away_ones_own_only),
        cmocka_unit_test(what_is_not_its_peers_or_not_in_range_is_refused),
        cmocka_unit_test(cookies_tell_what_is_new_and_are_checked),
        cmocka_unit_test(a_peer_has_a_hundred_registrations_and_sixty_messages_a_minute),
        cmocka_unit_test(a_full_point_makes_room_for_who_has_less),
        cmocka_unit_test(records_have_so_many_bytes_together),
        cmocka_unit_test(an_answer_has_its_size),
        cmocka_unit_test(an_answer_has_a_thousand_registrations),
        cmocka_unit_test(who_registers_in_the_form_of_rfc_0003_is_told_no_other),
        cmocka_unit_test(no_memory_is_an_answer),
        cmocka_unit_test(without_memory_there_is_no_point_and_no_client),
        cmocka_unit_test(CVE_2026_35405_registrations_without_end_cost_so_much_and_no_more),
        cmocka_unit_test(CVE_2026_35457_cookies_without_end_cost_nothing),
        cmocka_unit_test(there_may_be_eight_points),
        cmocka_unit_test(two_that_know_one_point_find_each_other),
        cmocka_unit_test(a_point_that_starts_anew_is_told_again),
        cmocka_unit_test(what_a_point_makes_up_is_not_believed),
        cmocka_unit_test(a_point_that_is_gone_when_its_answer_is_read_is_where_it_was),
        cmocka_unit_test(a_search_begins_again_where_its_cookie_is_refused),
        cmocka_unit_test(a_client_without_memory_goes_on_when_there_is_some),
        cmocka_unit_test(a_point_that_is_away_is_tried_again_and_searches_end),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, make_peers, drop_peers);
}
