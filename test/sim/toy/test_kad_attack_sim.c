/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Attacks on a DHT, each with the defence and without it: without, the attack works, or the test would prove nothing.
 *
 * Honest nodes live in networks of their own (public addresses, one /16 each). Attackers are nodes that serve the protocol and answer as they
 * like; their ids are found by trying, as near to a key as they need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh/answers.h"
#include "sim_kad.h"

#define HONEST 150
#define EVIL_MAX 64

typedef enum evil_mode {
    QUIET,    /* names nobody */
    LIES,     /* names the attackers that are nearest to what is asked for, and has nothing */
    FORGES,   /* the same, with a value that is none */
    BABBLES,  /* answers with bytes that are no message */
    MISTAKES, /* answers another question */
    SILENT,   /* takes questions and never answers, but for the one that decides about the table */
    MUTE,     /* never answers at all */
    LURES,    /* names invented peers and providers at addresses of the asker's own machine and network */
} evil_mode;

typedef struct attack attack;

typedef struct evil {
    attack *in;
    sim_host *host;
    kith_answers *answers;
    kith_part part;
    unsigned asked;
} evil;

struct attack {
    sim *s;
    sim_kad honest[HONEST];
    evil evil[EVIL_MAX];
    size_t honest_count, evil_count;
    evil_mode mode;
};

/* ---- the attackers ---- */

static void name_evil(const attack *a, kith_bytes key, kith_wr *w, kith_kad_list list)
{
    kith_kad_key to = kith_kad_key_of(key);
    bool used[EVIL_MAX] = {false};
    for (unsigned n = 0; n < 20 && n < a->evil_count; n++) {
        size_t best = EVIL_MAX;
        kith_kad_key best_key = {{0}};
        for (size_t i = 0; i < a->evil_count; i++) {
            kith_kad_key k = kith_kad_key_of(kith_peer_id_bytes(kith_node_id(sim_node(a->evil[i].host))));
            if (!used[i] && (best == EVIL_MAX || kith_kad_key_nearer(&to, &k, &best_key) < 0)) {
                best = i;
                best_key = k;
            }
        }
        kith_addrs addrs = {0};
        used[best] = true;
        kith_addrs_pack(&addrs, sim_addr(a->evil[best].host), 1);
        (void)kith_kad_put_peer(w, list, kith_node_id(sim_node(a->evil[best].host)), kith_addrs_bytes(&addrs),
                                true);
    }
}

static void name_lures(kith_wr *w, kith_kad_list list, unsigned salt)
{
    for (unsigned i = 0; i < 20; i++) {
        kith_peer_id id = {.len = 34, .b = {0x12, 32, (uint8_t)i, (uint8_t)salt, 7}};
        uint8_t ip[4] = {(uint8_t)(i % 2 ? 127 : 10), 0, 0, (uint8_t)(1 + i)};
        kith_maddr addr;
        kith_addrs addrs = {0};
        kith_maddr_from_tcp(kith_bytes_of(ip, 4), SIM_PORT, &addr);
        kith_addrs_pack(&addrs, &addr, 1);
        (void)kith_kad_put_peer(w, list, &id, kith_addrs_bytes(&addrs), true);
    }
}

static kith_err evil_answer(void *ctx, kith_time now, const kith_peer_id *from, kith_bytes question,
                            kith_wr *w)
{
    evil *e = ctx;
    kith_kad_msg m;
    (void)now, (void)from;
    e->asked++;
    if (kith_kad_msg_parse(question, &m))
        return KITH_EPROTO;
    if (m.type == KITH_KAD_ADD_PROVIDER || m.type == KITH_KAD_PUT_VALUE) { /* gladly, and forgets it */
        kith_put_bytes(w, m.type == KITH_KAD_PUT_VALUE ? question : (kith_bytes){0});
        return KITH_OK;
    }
    /* Everybody answers the question that decides about the table as it should. */
    bool probe = m.type == KITH_KAD_FIND_NODE && kith_bytes_eq(m.key, kith_peer_id_bytes(from));
    evil_mode mode = e->in->mode;
    if (probe && mode != LIES && mode != MUTE)
        mode = QUIET;
    if (mode == SILENT || mode == MUTE)
        return KITH_OK;
    if (mode == BABBLES) {
        kith_put_be64(w, UINT64_MAX);
        return KITH_OK;
    }
    kith_kad_put_head(w, mode == MISTAKES ? KITH_KAD_PING : m.type, m.key);
    if (mode == FORGES && m.type == KITH_KAD_GET_VALUE)
        kith_kad_put_record(w, m.key, kith_bytes_str("\xff lie"), 1);
    if (mode == LURES && m.type == KITH_KAD_GET_PROVIDERS)
        name_lures(w, KITH_KAD_PROVIDERS, e->asked);
    if (mode == LURES)
        name_lures(w, KITH_KAD_CLOSER, e->asked);
    else if (mode != QUIET)
        name_evil(e->in, m.key, w, KITH_KAD_CLOSER);
    return KITH_OK;
}

static void evil_gone(void *self)
{
    kith_answers_free(((evil *)self)->answers);
}

static const kith_part_ops evil_ops = {0};

static evil *add_evil(attack *a, const uint8_t seed[KITH_ED25519_SEED_LEN], const uint8_t ip[4])
{
    evil *e = &a->evil[a->evil_count++];
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    *e = (evil){.in = a, .host = seed ? sim_add_as(a->s, &cfg, seed) : sim_add(a->s, &cfg)};
    sim_move(e->host, ip);
    kith_answers_config answers = {.env = *sim_env(e->host),
                                   .stream_env = kith_node_env(sim_node(e->host)),
                                   .question_max = KITH_KAD_REQUEST_MAX,
                                   .answer_max = KITH_KAD_REQUEST_MAX,
                                   .streams_max = 1000,
                                   .answer = evil_answer,
                                   .ctx = e};
    e->answers = kith_answers_new(&answers);
    kith_protocol row = {.id = kith_bytes_str(KITH_KAD_ID),
                         .ops = &kith_answers_ops,
                         .accept = kith_answers_accept,
                         .ctx = e->answers};
    assert_int_equal(kith_node_serve(sim_node(e->host), sim_now(a->s), &row), KITH_OK);
    e->part = (kith_part){.ops = &evil_ops, .self = e};
    sim_attach(e->host, &e->part, evil_gone);
    return e;
}

static void call(attack *a, sim_host *from, sim_host *to)
{
    uint64_t id;
    assert_int_equal(kith_node_dial(sim_node(from), sim_now(a->s), NULL, sim_addr(to), 1, &id), KITH_OK);
    sim_drive(from);
}

/* A seed whose peer is so near to a key. */
static void mine(attack *a, kith_bytes key, unsigned bits, uint8_t seed[KITH_ED25519_SEED_LEN])
{
    kith_kad_key to = kith_kad_key_of(key);
    for (;;) {
        for (size_t i = 0; i < KITH_ED25519_SEED_LEN; i++)
            seed[i] = (uint8_t)sim_random(a->s);
        kith_signer *signer = kith_signer_new(seed);
        uint8_t pub[KITH_ED25519_PUB_LEN], pb[KITH_PUBKEY_ED25519_LEN];
        kith_peer_id id;
        assert_non_null(signer);
        kith_signer_public(signer, pub);
        kith_pubkey_ed25519(pub, pb);
        kith_signer_free(signer);
        assert_int_equal(kith_peer_id_of_key(kith_bytes_of(pb, sizeof pb), &id), KITH_OK);
        kith_kad_key k = kith_kad_key_of(kith_peer_id_bytes(&id));
        if (kith_kad_key_common(&to, &k) >= bits)
            return;
    }
}

/* ---- the honest ---- */

/* early: attackers in networks of their own, who come when there are twenty others and call everybody who comes after them. */
static unsigned reported[KITH_CONDUCTS];

/* Nobody but attackers is reported. */
static void on_conduct(void *ctx, const kith_peer_id *peer, kith_conduct what)
{
    const attack *a = ctx;
    bool attacker = what == KITH_CONDUCT_FLOOD;
    for (size_t i = 0; i < a->evil_count; i++)
        attacker = attacker || kith_peer_id_eq(peer, kith_node_id(sim_node(a->evil[i].host)));
    assert_true(attacker);
    reported[what]++;
}

static attack *attack_new(uint64_t seed, size_t honest, void (*change)(kith_kad_config *cfg), unsigned early)
{
    attack *a = calloc(1, sizeof *a);
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    a->s = sim_new(seed);
    memset(reported, 0, sizeof reported);
    for (size_t i = 0; i < honest; i++) {
        sim_kad *k = &a->honest[a->honest_count++];
        const uint8_t ip[4] = {30, (uint8_t)i, 1, 1};
        sim_kad_init(k, sim_add(a->s, &cfg), true);
        sim_move(k->host, ip);
        k->cfg.request_timeout = KITH_SEC(4);
        k->cfg.k = 5; /* as many nodes to one that stores as a large network has, or nearly */
        k->cfg.alpha = 3;
        k->cfg.namespaces = &sim_kad_number;
        k->cfg.namespace_count = 1;
        k->cfg.beta = 2;
        k->cfg.conduct = on_conduct;
        k->cfg.conduct_ctx = a;
        if (change)
            change(&k->cfg);
        for (unsigned b = 0; i > 0 && b < 2; b++)
            sim_kad_know(k, a->honest[sim_random(a->s) % i].host);
        sim_kad_start(k);
        for (unsigned e = 0; i == 20 && e < early; e++) {
            const uint8_t at[4] = {90, (uint8_t)e, 1, 1};
            add_evil(a, NULL, at);
        }
        for (unsigned e = 0; e < a->evil_count; e++)
            call(a, a->evil[e].host, k->host);
        sim_run(a->s, sim_now(a->s) + KITH_MS(200));
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(90));
    return a;
}

static void attack_free(attack *a)
{
    sim_free(a->s);
    free(a);
}

static size_t evil_in_table(const attack *a, const sim_kad *k)
{
    size_t n = 0;
    for (size_t i = 0; i < a->evil_count; i++)
        n += kith_kad_table_find(kith_kad_table_of(k->kad), kith_node_id(sim_node(a->evil[i].host))) != NULL;
    return n;
}

static size_t pk_of(sim_kad *k, uint8_t key[64], kith_bytes *value)
{
    const kith_peer_id *id = kith_node_id(sim_node(k->host));
    *value = kith_peer_id_inline_key(id);
    memcpy(key, "/pk/", 4);
    memcpy(key + 4, id->b, id->len);
    return 4u + id->len;
}

static void undefended(kith_kad_config *cfg)
{
    cfg->group_max = cfg->bucket_group_max = 0;
}

static void one_path(kith_kad_config *cfg)
{
    cfg->paths = 1;
}

/* ---- the attacks ---- */

/* A node begins; attackers from one network call it before it has met anybody else. */
static size_t flood_a_newcomer(void (*change)(kith_kad_config *cfg), size_t *honest)
{
    attack *a = attack_new(1, 20, change, 0);
    a->mode = LIES;
    sim_kad victim;
    kith_node_config cfg;
    const uint8_t ip[4] = {40, 1, 1, 1};
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    cfg.limits.conns_per_subnet = 1000; /* another defence, which is not what is tried */
    cfg.limits.rate_per_subnet = 1000;
    sim_kad_init(&victim, sim_add(a->s, &cfg), true);
    sim_move(victim.host, ip);
    if (change)
        change(&victim.cfg);
    sim_kad_start(&victim);
    for (unsigned i = 0; i < 60; i++) {
        const uint8_t from[4] = {200, 7, (uint8_t)i, 1};
        call(a, add_evil(a, NULL, from)->host, victim.host);
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(20));
    for (size_t i = 0; i < a->honest_count; i++)
        call(a, a->honest[i].host, victim.host);
    sim_run(a->s, sim_now(a->s) + KITH_SEC(20));
    size_t n = evil_in_table(a, &victim);
    *honest = kith_kad_look(victim.kad).peers - n;
    attack_free(a);
    return n;
}

static void a_flood_from_one_network_does_not_fill_a_table(void **state)
{
    (void)state;
    size_t honest, n = flood_a_newcomer(undefended, &honest);
    printf("without limits: %zu attackers and %zu honest in the table\n", n, honest);
    assert_true(n > 30 && n > 2 * honest);
    n = flood_a_newcomer(NULL, &honest);
    printf("with limits: %zu attackers and %zu honest\n", n, honest);
    assert_true(n <= 3 && honest >= 15);
}

/* Attackers of one network sit down around a key and join everywhere; what is put there from then on they take, and forget. */
static unsigned eclipse_a_key(void (*change)(kith_kad_config *cfg), unsigned *in_tables)
{
    static sim_kad_end end;
    attack *a = attack_new(2, HONEST, change, 0);
    uint8_t key[64];
    kith_bytes value;
    kith_bytes k = kith_bytes_of(key, pk_of(&a->honest[0], key, &value));
    uint64_t op;
    unsigned found = 0, asked = 0;
    a->mode = LIES;
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t ip[4] = {200, 7, (uint8_t)i, 1};
        uint8_t seed[KITH_ED25519_SEED_LEN];
        mine(a, k, 11, seed);
        evil *e = add_evil(a, seed, ip);
        for (size_t h = 0; h < a->honest_count; h++)
            call(a, e->host, a->honest[h].host);
        sim_run(a->s, sim_now(a->s) + KITH_SEC(2));
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(30));
    *in_tables = 0;
    for (size_t i = 0; i < a->honest_count; i++)
        *in_tables += (unsigned)evil_in_table(a, &a->honest[i]);
    assert_int_equal(kith_kad_put(a->honest[3].kad, sim_now(a->s), k, value, &op), KITH_OK);
    sim_kad_wait(a->s, &a->honest[3], op, &end);
    assert_int_equal(end.err, KITH_OK); /* as it seems */
    for (size_t who = 4; who < a->honest_count; who += 9) {
        kith_kad_row row;
        if (kith_kad_store_value(kith_kad_store_of(a->honest[who].kad),
                                 kith_kad_clock(a->honest[who].kad, sim_now(a->s)), k, &row))
            continue;
        assert_int_equal(kith_kad_get(a->honest[who].kad, sim_now(a->s), k, 1, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[who], op, &end);
        found += end.err == KITH_OK;
        asked++;
    }
    attack_free(a);
    return found * 100 / asked;
}

static void CVE_2023_26248_attackers_of_one_network_do_not_hide_a_value(void **state)
{
    (void)state;
    unsigned in_tables, found = eclipse_a_key(undefended, &in_tables);
    printf("without limits: %u%% find it, %u places in tables\n", found, in_tables);
    assert_true(found <= 20);
    found = eclipse_a_key(NULL, &in_tables);
    printf("with limits: %u%% find it, %u places in tables\n", found, in_tables);
    assert_true(found >= 80);
    assert_true(in_tables <= 3 * HONEST);
}

/* A few attackers in networks of their own are in the tables; asked for a key, they name others that nobody knew, nearer than all. */
static unsigned lead_astray(void (*change)(kith_kad_config *cfg))
{
    static sim_kad_end end;
    attack *a = attack_new(3, HONEST, change, 7);
    uint8_t key[64];
    kith_bytes value;
    kith_bytes k = kith_bytes_of(key, pk_of(&a->honest[0], key, &value));
    uint64_t op;
    unsigned found = 0, asked = 0;
    assert_int_equal(kith_kad_put(a->honest[3].kad, sim_now(a->s), k, value, &op), KITH_OK);
    sim_kad_wait(a->s, &a->honest[3], op, &end);
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t ip[4] = {100, (uint8_t)i, 1, 1};
        uint8_t seed[KITH_ED25519_SEED_LEN];
        mine(a, k, 11, seed);
        add_evil(a, seed, ip); /* nobody knows it */
    }
    a->mode = LIES;
    sim_run(a->s, sim_now(a->s) + KITH_SEC(10));
    for (size_t who = 4; who < a->honest_count; who += 5) {
        kith_kad_row row;
        if (kith_kad_store_value(kith_kad_store_of(a->honest[who].kad),
                                 kith_kad_clock(a->honest[who].kad, sim_now(a->s)), k, &row))
            continue;
        assert_int_equal(kith_kad_get(a->honest[who].kad, sim_now(a->s), k, 1, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[who], op, &end);
        found += end.err == KITH_OK;
        asked++;
    }
    attack_free(a);
    return asked ? found * 100 / asked : 0;
}

static void a_liar_leads_no_other_path_astray(void **state)
{
    (void)state;
    unsigned alone = lead_astray(one_path), apart = lead_astray(NULL);
    printf("one path: %u%% find it; three: %u%%\n", alone, apart);
    assert_true(alone <= 80);
    assert_true(apart >= 95);
}

/* A third of the network answers nonsense of one kind: lookups find the honest, and nothing false. */
static void nonsense(evil_mode mode, kith_time most)
{
    static sim_kad_end end;
    attack *a = attack_new(4 + mode, 30, NULL, 0);
    size_t before = 0, left = 0;
    uint8_t key[64];
    kith_bytes value;
    uint64_t op;
    a->mode = mode;
    for (unsigned i = 0; i < 15; i++) {
        const uint8_t ip[4] = {100, (uint8_t)i, 1, 1};
        evil *e = add_evil(a, NULL, ip);
        for (size_t h = 0; h < a->honest_count; h++)
            call(a, e->host, a->honest[h].host);
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(10));
    for (size_t i = 0; i < 10; i++) {
        kith_bytes k = kith_bytes_of(key, pk_of(&a->honest[i], key, &value));
        assert_int_equal(kith_kad_put(a->honest[3].kad, sim_now(a->s), k, value, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[3], op, &end);
        assert_int_equal(end.err, KITH_OK);
        assert_true(end.reached >= 2);
        assert_true(end.took <= most);
    }
    for (size_t who = 10; who < 20; who++)
        before += evil_in_table(a, &a->honest[who]);
    for (size_t who = 10; who < 20; who++) {
        kith_bytes k = kith_bytes_of(key, pk_of(&a->honest[who - 10], key, &value));
        assert_int_equal(kith_kad_get(a->honest[who].kad, sim_now(a->s), k, 3, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[who], op, &end);
        assert_int_equal(end.err, KITH_OK);
        assert_int_equal(end.value_len, value.len);
        assert_memory_equal(end.value, value.p, value.len);
        assert_true(end.took <= most);
        kith_peer_id peer = *kith_node_id(sim_node(a->honest[29].host));
        assert_int_equal(kith_kad_find_peer(a->honest[who].kad, sim_now(a->s), &peer, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[who], op, &end);
        assert_int_equal(end.err, KITH_OK);
        for (unsigned i = 0; i < 5; i++) {
            uint8_t any[8];
            kith_store_be64(any, sim_random(a->s));
            assert_int_equal(
                kith_kad_find_nearest(a->honest[who].kad, sim_now(a->s), kith_bytes_of(any, 8), &op),
                KITH_OK);
            sim_kad_wait(a->s, &a->honest[who], op, &end);
            assert_int_equal(end.err, KITH_OK);
        }
        kith_kad_check(a->honest[who].kad);
    }
    for (uint8_t i = 0; mode == FORGES && i < 10; i++) {
        uint8_t name[] = {'/', 'n', 'u', 'm', 'b', 'e', 'r', '/', i};
        kith_bytes k = kith_bytes_of(name, sizeof name);
        assert_int_equal(kith_kad_put(a->honest[3].kad, sim_now(a->s), k, kith_bytes_of(&i, 1), &op),
                         KITH_OK);
        sim_kad_wait(a->s, &a->honest[3], op, &end);
        assert_int_equal(end.err, KITH_OK);
        assert_int_equal(kith_kad_get(a->honest[10 + i].kad, sim_now(a->s), k, 20, &op), KITH_OK);
        sim_kad_wait(a->s, &a->honest[10 + i], op, &end);
        assert_int_equal(end.err, KITH_OK);
        assert_int_equal(end.value_len, 1);
        assert_int_equal(end.value[0], i);
    }
    if (mode == FORGES || mode == BABBLES || mode == MISTAKES)
        assert_true(reported[KITH_CONDUCT_DHT] > 0);
    else
        assert_int_equal(reported[KITH_CONDUCT_DHT], 0);
    if (mode == BABBLES || mode == MISTAKES ||
        mode == SILENT) { /* who was caught has left the tables of those who asked */
        for (size_t who = 10; who < 20; who++)
            left += evil_in_table(a, &a->honest[who]);
        printf("%zu of them in ten tables before, %zu after\n", before, left);
        assert_true(left * 2 <= before);
    }
    attack_free(a);
}

static void false_values_are_not_believed(void **state)
{
    (void)state;
    nonsense(FORGES, KITH_SEC(20));
}

static void what_is_no_message_costs_its_sender_the_place(void **state)
{
    (void)state;
    nonsense(BABBLES, KITH_SEC(20));
}

static void an_answer_to_another_question_is_none(void **state)
{
    (void)state;
    nonsense(MISTAKES, KITH_SEC(20));
}

static void who_never_answers_costs_time_and_no_more(void **state)
{
    (void)state;
    nonsense(SILENT, KITH_SEC(40));
}

/* Who says that it is a server is asked something before it gets a place. */
static void who_never_answered_is_in_no_table(void **state)
{
    (void)state;
    attack *a = attack_new(8, 10, NULL, 0);
    a->mode = MUTE;
    for (unsigned i = 0; i < 15; i++) {
        const uint8_t ip[4] = {100, (uint8_t)i, 1, 1};
        evil *e = add_evil(a, NULL, ip);
        for (size_t h = 0; h < a->honest_count; h++)
            call(a, e->host, a->honest[h].host);
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(30));
    for (size_t h = 0; h < a->honest_count; h++)
        assert_int_equal(evil_in_table(a, &a->honest[h]), 0);
    assert_true(a->evil[0].asked > 0);
    attack_free(a);
}

static void nobody_is_lured_to_addresses_of_its_own_network(void **state)
{
    (void)state;
    nonsense(LURES, KITH_SEC(20));
    /* And nobody has tried: the addresses are not even taken. */
    attack *a = attack_new(9, 3, NULL, 0);
    const uint8_t ip[4] = {100, 1, 1, 1};
    uint64_t op;
    static sim_kad_end end;
    a->mode = LURES;
    evil *e = add_evil(a, NULL, ip);
    for (size_t h = 0; h < a->honest_count; h++)
        call(a, e->host, a->honest[h].host);
    sim_run(a->s, sim_now(a->s) + KITH_SEC(5));
    assert_int_equal(evil_in_table(a, &a->honest[0]), 1);
    assert_int_equal(kith_kad_find_nearest(a->honest[0].kad, sim_now(a->s), kith_bytes_str("x"), &op),
                     KITH_OK);
    sim_kad_wait(a->s, &a->honest[0], op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_int_equal(end.lookup.failed, 0);
    /* Who is said to provide something is told, so many as were wanted, and without such addresses. */
    assert_int_equal(kith_kad_find_providers(a->honest[0].kad, sim_now(a->s), kith_bytes_str("x"), 8, &op),
                     KITH_OK);
    sim_kad_wait(a->s, &a->honest[0], op, &end);
    assert_int_equal(end.peer_count, 8);
    for (size_t i = 0; i < end.peer_count; i++)
        assert_int_equal(end.peers[i].addrs.len, 0);
    attack_free(a);
}

static void wide(kith_kad_config *cfg)
{
    cfg->k = 20;
    cfg->alpha = 10;
}

/* Everybody of one network says that they provide a key, again and again, under as many ids as they like. */
static void provider_floods_leave_others_their_place(void **state)
{
    (void)state;
    static sim_kad_end end;
    attack *a = attack_new(20, 25, wide, 0);
    kith_bytes key = kith_bytes_str("\x12\x20 a key of so many bytes as they like");
    uint64_t op;
    assert_int_equal(kith_kad_provide(a->honest[1].kad, sim_now(a->s), key, &op), KITH_OK);
    sim_kad_wait(a->s, &a->honest[1], op, &end);
    assert_int_equal(end.err, KITH_OK);
    for (unsigned i = 0; i < 90; i++) { /* clients, each of which asks the honest for their own keys */
        kith_node_config cfg;
        static sim_kad flood[90];
        const uint8_t ip[4] = {200, 7, (uint8_t)i, 1};
        kith_node_config_default(&cfg);
        cfg.pq = KITH_PQ_OFF;
        sim_kad_init(&flood[i], sim_add(a->s, &cfg), false);
        sim_move(flood[i].host, ip);
        sim_kad_know(&flood[i], a->honest[i % 25].host);
        sim_kad_start(&flood[i]);
        sim_run(a->s, sim_now(a->s) + KITH_SEC(8)); /* below the rates of connections per network */
        assert_int_equal(kith_kad_provide(flood[i].kad, sim_now(a->s), key, &op), KITH_OK);
        sim_drive(flood[i].host);
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(30));
    assert_int_equal(kith_kad_provide(a->honest[2].kad, sim_now(a->s), key, &op), KITH_OK);
    sim_kad_wait(a->s, &a->honest[2], op, &end);
    unsigned full = 0, both = 0;
    for (size_t i = 0; i < a->honest_count; i++) {
        kith_kad *k = a->honest[i].kad;
        size_t n = 0, right = 0;
        const void *at = NULL;
        kith_kad_row row;
        while (
            kith_kad_store_provider(kith_kad_store_of(k), kith_kad_clock(k, sim_now(a->s)), key, &at, &row)) {
            n++;
            right += kith_peer_id_eq(&row.provider, kith_node_id(sim_node(a->honest[1].host))) ||
                     kith_peer_id_eq(&row.provider, kith_node_id(sim_node(a->honest[2].host)));
        }
        assert_true(n <= 64);
        full += n == 64;
        both += n == 64 && right == 2;
        kith_kad_check(k);
    }
    printf("%u servers are full, %u of them have both of the honest\n", full, both);
    assert_true(full >= 3);
    assert_true(both + 2 >= full); /* a provider tells others, not itself */
    attack_free(a);
}

static void small_share(kith_kad_config *cfg)
{
    cfg->store.providers_per_peer = 4;
}

/* Many more keys than one peer may have, from one that will not stop. */
static void who_provides_far_beyond_its_share_is_reported(void **state)
{
    (void)state;
    static sim_kad_end end;
    static sim_kad flood;
    attack *a = attack_new(21, 1, small_share, 0);
    const uint8_t ip[4] = {200, 7, 1, 1};
    kith_node_config cfg;
    kith_node_config_default(&cfg);
    cfg.pq = KITH_PQ_OFF;
    sim_kad_init(&flood, sim_add(a->s, &cfg), false);
    sim_move(flood.host, ip);
    sim_kad_know(&flood, a->honest[0].host);
    sim_kad_start(&flood);
    sim_run(a->s, sim_now(a->s) + KITH_SEC(8));
    for (unsigned i = 0; i < 4 + KITH_KAD_FLOOD; i++) {
        char key[32];
        uint64_t op;
        assert_int_equal(reported[KITH_CONDUCT_FLOOD], 0);
        kith_bytes b =
            kith_bytes_of((const uint8_t *)key, (size_t)snprintf(key, sizeof key, "key %u of many", i));
        assert_int_equal(kith_kad_provide(flood.kad, sim_now(a->s), b, &op), KITH_OK);
        sim_kad_wait(a->s, &flood, op, &end);
    }
    sim_run(a->s, sim_now(a->s) + KITH_SEC(1));
    assert_int_equal(reported[KITH_CONDUCT_FLOOD], 1);
    assert_int_equal(kith_kad_look(a->honest[0].kad).store.providers, 4);
    attack_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_from_one_network_does_not_fill_a_table),
        cmocka_unit_test(CVE_2023_26248_attackers_of_one_network_do_not_hide_a_value),
        cmocka_unit_test(a_liar_leads_no_other_path_astray),
        cmocka_unit_test(false_values_are_not_believed),
        cmocka_unit_test(what_is_no_message_costs_its_sender_the_place),
        cmocka_unit_test(an_answer_to_another_question_is_none),
        cmocka_unit_test(who_never_answers_costs_time_and_no_more),
        cmocka_unit_test(who_never_answered_is_in_no_table),
        cmocka_unit_test(nobody_is_lured_to_addresses_of_its_own_network),
        cmocka_unit_test(provider_floods_leave_others_their_place),
        cmocka_unit_test(who_provides_far_beyond_its_share_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
