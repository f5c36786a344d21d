/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Peer info records between nodes: both sides know each other's once, and anew when there is news; floods and strangers' records do nothing. */
#include "mesh/infos.h"

#include "crypto/crypto.h"
#include "mesh/request.h"
#include "sim/sim_world.h"
#include "support.h"

typedef struct member {
    sim_host *host;
    kith_infos *infos;
    kith_part part;
    const char *name;
    kith_signer *signer;
    unsigned settled, records;
    char last[KITH_PEER_NAME_MAX + 1]; /* name in the last record that came */
    kith_requests *raw;                /* of a hostile one, which has no infos */
    kith_err raw_err;
    unsigned raw_ends;
    sim_alarm alarm;
} member;

typedef struct world {
    sim *s;
    member m[3];
} world;

static bool take(member *m)
{
    kith_infos_event ev;
    kith_peer_info info;
    bool any = false;
    while (m->infos && kith_infos_next(m->infos, &ev)) {
        m->settled += ev.settled;
        if (ev.record.len) {
            m->records++;
            assert_int_equal(kith_peer_info_read(ev.record, &info), KITH_OK);
            memset(m->last, 0, sizeof m->last);
            memcpy(m->last, info.name.p, info.name.len);
        }
        any = true;
    }
    return any;
}

static void part_event(void *self, kith_time now, const kith_node_event *ev)
{
    member *m = self;
    if (m->raw)
        kith_requests_event(m->raw, now, ev);
    else
        kith_infos_event_of(m->infos, now, ev);
}

static bool part_act(void *self, kith_time now)
{
    member *m = self;
    kith_request_end end;
    while (m->raw && kith_requests_next(m->raw, &end)) {
        m->raw_err = end.err;
        m->raw_ends++;
    }
    if (m->raw)
        return kith_requests_act(m->raw, now);
    bool acted = kith_infos_act(m->infos, now);
    return take(m) || acted;
}

static kith_time part_deadline(const void *self)
{
    const member *m = self;
    return m->raw ? kith_requests_deadline(m->raw) : kith_infos_deadline(m->infos);
}

static void part_tick(void *self, kith_time now)
{
    member *m = self;
    if (m->raw)
        kith_requests_tick(m->raw, now);
    else
        kith_infos_tick(m->infos, now);
}

static const kith_part_ops ops = {part_event, part_act, part_deadline, part_tick};

static void gone(void *self)
{
    member *m = self;
    kith_infos_free(m->infos);
    kith_requests_free(m->raw);
    m->infos = NULL;
    m->raw = NULL;
}

static const char *const algorithms[] = {"Ed25519"};

static kith_infos_config config(const member *m)
{
    return (kith_infos_config){.env = *sim_env(m->host),
                               .node = sim_node(m->host),
                               .signer = m->signer,
                               .name = kith_bytes_str(m->name),
                               .algorithms = algorithms,
                               .algorithm_count = 1,
                               .unix_seconds = 1800000000};
}

static void add(world *w, unsigned i, const char *name, bool hostile)
{
    member *m = &w->m[i];
    uint8_t seed[KITH_ED25519_SEED_LEN] = {(uint8_t)(i + 1), 9};
    m->host = sim_add_as(w->s, NULL, seed);
    m->signer = kith_signer_new(seed);
    m->name = name;
    m->part = (kith_part){.ops = &ops, .self = m};
    kith_infos_config cfg = config(m);
    if (hostile) {
        m->raw = kith_requests_new(&(kith_requests_config){.env = *sim_env(m->host),
                                                           .node = sim_node(m->host),
                                                           .protocol = kith_bytes_str(KITH_INFOS_ID),
                                                           .answer_max = KITH_PEER_INFO_MAX,
                                                           .active_max = 1,
                                                           .most = 64,
                                                           .timeout = KITH_SEC(10)});
    } else {
        m->infos = kith_infos_new(&cfg, sim_now(w->s));
    }
    assert_true(m->infos || m->raw);
    sim_attach(m->host, &m->part, gone);
}

static void done(world *w)
{
    sim_free(w->s);
    for (unsigned i = 0; i < 3; i++)
        kith_signer_free(w->m[i].signer);
}

static kith_peer_id id_of(const member *m)
{
    kith_peer_id id;
    assert_true(kith_maddr_peer(sim_addr(m->host), &id));
    return id;
}

static void dial(world *w, member *from, const member *to)
{
    uint64_t id;
    kith_peer_id peer = id_of(to);
    assert_int_equal(kith_node_dial(sim_node(from->host), sim_now(w->s), &peer, sim_addr(to->host), 1, &id),
                     KITH_OK);
    sim_drive(from->host);
}

static void run(world *w, unsigned ms)
{
    sim_run(w->s, sim_now(w->s) + KITH_MS(ms));
}

static void both_sides_know_each_other(void **state)
{
    (void)state;
    world w = {.s = sim_new(1)};
    add(&w, 0, "ann", false);
    add(&w, 1, "bob", false);
    dial(&w, &w.m[0], &w.m[1]);
    run(&w, 1000);
    for (unsigned i = 0; i < 2; i++) {
        kith_peer_info info;
        kith_peer_id other = id_of(&w.m[!i]);
        assert_string_equal(w.m[i].last, w.m[!i].name);
        assert_int_equal(w.m[i].records, 1);
        assert_int_equal(w.m[i].settled, 1);
        assert_int_equal(kith_peer_info_open(kith_infos_record(w.m[i].infos, &other), &other, &info),
                         KITH_OK);
        assert_true(info.time >= 1800000000);
        support_assert_str(info.algorithms[0], "Ed25519");
    }
    kith_peer_id other = id_of(&w.m[1]);
    sim_off(w.m[1].host);
    run(&w, 1000);
    assert_int_equal(kith_infos_record(w.m[0].infos, &other).len, 0); /* it goes with its peer */
    done(&w);
}

static void news_of_addresses_is_pushed(void **state)
{
    (void)state;
    world w = {.s = sim_new(2)};
    add(&w, 0, "ann", false);
    add(&w, 1, "bob", false);
    dial(&w, &w.m[0], &w.m[1]);
    run(&w, 1000);
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/192.0.2.1/tcp/9"), &a, NULL), KITH_OK);
    assert_int_equal(kith_node_set_addrs(sim_node(w.m[1].host), sim_now(w.s), &a, 1), KITH_OK);
    sim_drive(w.m[1].host);
    run(&w, 40000);
    kith_peer_info info;
    kith_peer_id bob = id_of(&w.m[1]);
    assert_int_equal(w.m[0].records, 2);
    assert_int_equal(kith_peer_info_read(kith_infos_record(w.m[0].infos, &bob), &info), KITH_OK);
    assert_int_equal(info.addr_count, 1);
    support_assert_bytes(info.addrs[0], kith_maddr_bytes(&a));
    assert_int_equal(w.m[1].records, 1); /* ours came along, and is known */
    run(&w, 120000);
    assert_int_equal(w.m[0].records, 2);
    done(&w);
}

static bool awaited(const world *w, int of)
{
    const kith_conn *c = kith_node_conn_find(sim_node(w->m[0].host), kith_node_id(sim_node(w->m[of].host)));
    assert_non_null(c);
    return kith_infos_awaits(w->m[0].infos, c);
}

static void who_does_not_speak_it_is_not_waited_for_and_who_does_not_answer_three_seconds(void **state)
{
    (void)state;
    world w = {.s = sim_new(3)};
    add(&w, 0, "ann", false);
    add(&w, 1, "", true);
    dial(&w, &w.m[1], &w.m[0]);
    run(&w, 1000);
    assert_false(awaited(&w, 1)); /* known by identify already, so that it is told of at once */
    run(&w, 9000);
    assert_int_equal(w.m[0].settled, 0);
    /* It says that it speaks it, and leaves us waiting for its record. */
    kith_protocol row = {.id = kith_bytes_str(KITH_INFOS_ID), .ops = &kith_identify_ops};
    add(&w, 2, "", true);
    assert_int_equal(kith_node_serve(sim_node(w.m[2].host), sim_now(w.s), &row), KITH_OK);
    dial(&w, &w.m[2], &w.m[0]);
    run(&w, 2500);
    assert_true(awaited(&w, 2));
    assert_int_equal(w.m[0].settled, 0);
    run(&w, 1500);
    assert_int_equal(w.m[0].settled, 1);
    assert_int_equal(w.m[0].records, 0);
    done(&w);
}

static kith_err say(world *w, member *m, const member *to, const kith_signer *as, const char *name,
                    uint64_t seq)
{
    uint8_t b[KITH_PEER_INFO_MAX];
    kith_wr wr = kith_wr_of(kith_span_of(b, sizeof b));
    kith_peer_info info = {.seq = seq, .time = seq, .name = kith_bytes_str(name)};
    kith_peer_id id = id_of(to);
    assert_int_equal(kith_peer_info_seal(as, &info, &wr), KITH_OK);
    unsigned before = m->raw_ends;
    assert_int_equal(kith_requests_start(m->raw, &id, (kith_bytes){0}, kith_wr_bytes(&wr), true, m, 0),
                     KITH_OK);
    sim_drive(m->host);
    run(w, 1000);
    assert_int_equal(m->raw_ends, before + 1);
    return m->raw_err;
}

static void somebody_elses_record_and_lower_numbers_change_nothing(void **state)
{
    (void)state;
    world w = {.s = sim_new(4)};
    add(&w, 0, "ann", false);
    add(&w, 1, "", true);
    add(&w, 2, "cyd", false);
    dial(&w, &w.m[1], &w.m[0]);
    run(&w, 1000);
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "mallory", 5), KITH_OK);
    assert_string_equal(w.m[0].last, "mallory");
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[2].signer, "cyd", 9),
                     KITH_ERESET); /* signed, by another */
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "older", 4), KITH_OK);
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "as old", 5), KITH_OK);
    assert_int_equal(w.m[0].records, 1);
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "newer", 6), KITH_OK);
    assert_string_equal(w.m[0].last, "newer");
    done(&w);
}

static void a_flood_of_records_is_left(void **state)
{
    (void)state;
    world w = {.s = sim_new(5)};
    add(&w, 0, "ann", false);
    add(&w, 1, "", true);
    dial(&w, &w.m[1], &w.m[0]);
    run(&w, 1000);
    for (unsigned i = 1; i <= KITH_INFOS_RATE + 5; i++)
        assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "again", i), KITH_OK);
    assert_int_equal(w.m[0].records, KITH_INFOS_RATE);
    run(&w, 60000);
    assert_int_equal(say(&w, &w.m[1], &w.m[0], w.m[1].signer, "late", 999), KITH_OK);
    assert_int_equal(w.m[0].records, KITH_INFOS_RATE + 1);
    done(&w);
}

static void without_memory_a_name_is_missing_and_nothing_else(void **state)
{
    (void)state;
    bool through = false;
    for (int64_t nth = 0; !through; nth++) {
        world w = {.s = sim_new(6)};
        add(&w, 0, "ann", false);
        add(&w, 1, "bob", false);
        dial(&w, &w.m[0], &w.m[1]);
        run(&w, 65); /* into identify */
        sim_fail_alloc(w.m[0].host, nth / 2, nth % 2);
        run(&w, 2000);
        through = !sim_alloc_failed(w.m[0].host);
        sim_fail_alloc(w.m[0].host, -1, false);
        run(&w, 5000);
        assert_true(w.m[0].records <= 1);
        assert_true(!through || (w.m[0].records == 1 && w.m[1].records == 1));
        assert_true(through || nth < 2000);
        done(&w);
    }
    support_heap heap;
    world w = {.s = sim_new(7)};
    add(&w, 0, "ann", false);
    for (size_t nth = 1; nth <= 3; nth++) {
        member m = w.m[0];
        kith_infos_config cfg = config(&m);
        cfg.env = *support_env(&heap);
        heap.fail_at = nth;
        assert_null(kith_infos_new(&cfg, 0));
        support_heap_check(&heap);
    }
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_know_each_other),
        cmocka_unit_test(news_of_addresses_is_pushed),
        cmocka_unit_test(who_does_not_speak_it_is_not_waited_for_and_who_does_not_answer_three_seconds),
        cmocka_unit_test(somebody_elses_record_and_lower_numbers_change_nothing),
        cmocka_unit_test(a_flood_of_records_is_left),
        cmocka_unit_test(without_memory_a_name_is_missing_and_nothing_else),
    };
    if (kith_crypto_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
