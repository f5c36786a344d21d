/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks of Kademlia nodes: lookups, values and providers, with and without churn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mesh/kad_impl.h"
#include "sim_kad.h"

/* A network of servers; each begins with one that came before it. */
typedef struct net {
    sim *s;
    sim_kad *all;
    size_t count;
} net;

static net net_new(uint64_t seed, size_t count, void (*change)(kith_kad_config *cfg))
{
    net n = {.s = sim_new(seed), .all = calloc(count, sizeof *n.all), .count = count};
    kith_node_config cfg = sim_classical();
    sim_set_path(n.s, (sim_path){.latency = KITH_MS(10), .latency_max = KITH_MS(100), .buffer = 65536});
    for (size_t i = 0; i < count; i++) {
        sim_kad *k = &n.all[i];
        sim_kad_init(k, sim_add(n.s, &cfg), true);
        if (change)
            change(&k->cfg);
        if (i > 0)
            sim_kad_know(k, n.all[sim_random(n.s) % i].host);
        if (i > 1)
            sim_kad_know(k, n.all[sim_random(n.s) % i].host);
        sim_kad_start(k);
        sim_run(n.s, sim_now(n.s) + KITH_MS(50));
    }
    sim_run(n.s, sim_now(n.s) + KITH_SEC(120));
    return n;
}

static void net_free(net *n)
{
    sim_free(n->s);
    free(n->all);
}

static sim_kad *any(net *n)
{
    for (;;) {
        sim_kad *k = &n->all[sim_random(n->s) % n->count];
        if (k->kad)
            return k;
    }
}

static void random_key(net *n, uint8_t key[34])
{
    key[0] = 0x12;
    key[1] = 32;
    for (size_t i = 2; i < 34; i++)
        key[i] = (uint8_t)sim_random(n->s);
}

typedef struct tally {
    size_t lookups, right, hops, asked, failed;
    kith_time took;
} tally;

static tally look_up(net *n, size_t times)
{
    static sim_kad_end end;
    tally t = {.lookups = times};
    for (size_t i = 0; i < times; i++) {
        uint8_t key[34];
        uint64_t op;
        sim_kad *k = any(n);
        random_key(n, key);
        kith_bytes b = kith_bytes_of(key, sizeof key);
        assert_int_equal(kith_kad_find_nearest(k->kad, sim_now(n->s), b, &op), KITH_OK);
        sim_kad_wait(n->s, k, op, &end);
        assert_true(end.done);
        t.right += sim_kad_right(n->all, n->count, k, KITH_NEVER, b, end.peers, end.peer_count, 10, NULL);
        t.hops += end.lookup.hops;
        t.asked += end.lookup.asked;
        t.failed += end.lookup.failed;
        t.took += end.took;
    }
    return t;
}

static void say(const char *what, const tally *t)
{
    printf("%s: %zu%% of the ten nearest, %.2f hops, %.1f asked, %.1f of them in vain, %.0f ms\n", what,
           t->right * 10 / t->lookups, (double)t->hops / (double)t->lookups,
           (double)t->asked / (double)t->lookups, (double)t->failed / (double)t->lookups,
           (double)t->took / 1e6 / (double)t->lookups);
}

/* KITH_LARGE in the environment: 200 and 1,000 nodes too, which takes a minute or two. */
static void lookups_find_the_nearest_and_grow_with_the_logarithm(void **state)
{
    (void)state;
    const size_t sizes[] = {20, 100, 200, 1000};
    double hops[4] = {0};
    size_t last = getenv("KITH_LARGE") ? 3 : 1;
    for (size_t i = 0; i <= last; i++) {
        net n = net_new(1 + i, sizes[i], NULL);
        tally t = look_up(&n, 30);
        char what[64];
        snprintf(what, sizeof what, "%zu nodes", sizes[i]);
        say(what, &t);
        assert_true(t.right * 10 / t.lookups >= 97);
        hops[i] = (double)t.hops / (double)t.lookups;
        assert_true(t.asked <= 60 * t.lookups);
        net_free(&n);
    }
    assert_true(hops[1] <= 1);
    assert_true(hops[last] <= 1 + hops[1] * 4); /* log2(1000) is not much more than log2(100) */
}

static size_t churned(net *n, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++) {
        sim_kad *k = &n->all[i];
        if (!k->kad) {
            k->boot_count = 0; /* its old ones may be gone, too */
            for (sim_kad *b; k->boot_count < 3;) {
                if ((b = any(n)) >= n->all + to)
                    sim_kad_know(k, b->host);
            }
            sim_on(k->host);
            sim_kad_start(k);
        } else if (i % 2) {
            sim_off(k->host);
        } else {
            sim_vanish(k->host); /* nobody hears of it */
            sim_off(k->host);
        }
        count++;
    }
    return count;
}

/* A third of the nodes goes, half of them without a word; then these come back and others go. */
static void lookups_survive_churn(void **state)
{
    (void)state;
    size_t count = 120;
    net n = net_new(11, count, NULL);
    churned(&n, 0, count / 3);
    tally t = look_up(&n, 30);
    say("right after a third has gone", &t);
    assert_true(t.right * 10 / t.lookups >= 90);
    assert_true(t.failed > 0);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(900));
    t = look_up(&n, 30);
    say("a quarter of an hour later", &t);
    assert_true(t.right * 10 / t.lookups >= 97);
    churned(&n, 0, count / 3);
    churned(&n, count / 3, count / 2);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(900));
    t = look_up(&n, 30);
    say("others gone, those back", &t);
    assert_true(t.right * 10 / t.lookups >= 97);
    for (size_t i = 0; i < count; i++) {
        if (n.all[i].kad)
            kith_kad_check(n.all[i].kad);
    }
    net_free(&n);
}

/* For days that pass: at ten minutes these networks would ask themselves a million questions. */
static void calm(kith_kad_config *cfg)
{
    cfg->refresh_every = KITH_SEC(8 * 3600);
    cfg->stale_after = KITH_SEC(24 * 3600);
}

/* Some lose power. A dial to one of them fails after five seconds, and no lookup takes that long; yet they are found out. */
static void a_lookup_does_not_wait_for_the_dead(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(12, 60, calm);
    sim_kad *k = &n.all[30];
    kith_time slowest = 0;
    size_t right = 0;
    sim_run(n.s, sim_now(n.s) + KITH_SEC(120)); /* all connections are closed */
    for (size_t i = 0; i < 9; i++) {
        sim_vanish(n.all[3 * i].host);
        n.all[3 * i].away = true;
    }
    for (size_t i = 0; i < 20; i++) {
        uint8_t key[34];
        uint64_t op;
        random_key(&n, key);
        kith_bytes b = kith_bytes_of(key, sizeof key);
        assert_int_equal(kith_kad_find_nearest(k->kad, sim_now(n.s), b, &op), KITH_OK);
        sim_kad_wait(n.s, k, op, &end);
        right += sim_kad_right(n.all, n.count, k, KITH_NEVER, b, end.peers, end.peer_count, 10, NULL);
        slowest = end.took > slowest ? end.took : slowest;
    }
    printf("the slowest lookup among the dead took %.0f ms\n", (double)slowest / 1e6);
    assert_true(slowest < KITH_MS(3500));
    assert_int_equal(right, 200);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(10));
    for (size_t i = 0; i < 9; i++)
        assert_null(
            kith_kad_table_find(kith_kad_table_of(k->kad), kith_node_id(sim_node(n.all[3 * i].host))));
    assert_int_equal(k->kad->left, 0);
    net_free(&n);
}

/* A newcomer asks for what it does not know: not again and again those whom it knows. */
static void a_join_asks_few_twice(void **state)
{
    (void)state;
    net n = net_new(15, 150, NULL);
    const sim_kad *last = &n.all[n.count - 1];
    kith_kad_facts f = kith_kad_look(last->kad);
    printf("a join asks %llu questions for a table of %zu\n", (unsigned long long)f.asked, f.peers);
    assert_true(f.peers >= 50);
    assert_true(f.asked <= f.peers * 3 / 2);
    net_free(&n);
}

/* Upkeep is a lookup of ourselves and a question to who was silent; buckets that have what they need cost no lookup. */
static void a_refresh_asks_for_what_is_missing_only(void **state)
{
    (void)state;
    net n = net_new(13, 60, NULL);
    uint64_t asked = 0, failed = 0;
    sim_run(n.s, sim_now(n.s) + KITH_SEC(600));
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < n.count; i++) {
            kith_kad_facts f = kith_kad_look(n.all[i].kad);
            asked = after ? asked + f.asked : asked - f.asked;
            failed = after ? failed + f.failed : failed - f.failed;
        }
        if (!after)
            sim_run(n.s, sim_now(n.s) + KITH_SEC(600));
    }
    printf("a refresh asks %.1f questions\n", (double)asked / (double)n.count);
    assert_true(asked >= 20 * n.count && asked <= 90 * n.count);
    assert_int_equal(failed, 0);
    tally t = look_up(&n, 20);
    assert_int_equal(t.right, 200);
    net_free(&n);
}

static void often(kith_kad_config *cfg)
{
    cfg->refresh_every = KITH_SEC(240);
}

/* Two halves that cannot reach each other forget each other; nobody but the bootstrap peers can tell them, when they could again. */
static void halves_that_forgot_each_other_find_together(void **state)
{
    (void)state;
    net n = net_new(14, 40, often);
    for (size_t i = 0; i < n.count; i++) {
        n.all[i].side = i % 2;
        sim_set_side(n.all[i].host, i % 2);
    }
    sim_run(n.s, sim_now(n.s) + KITH_SEC(900));
    tally t = look_up(&n, 20);
    say("in halves", &t);
    assert_int_equal(t.right, 200); /* of those on the same side */
    for (size_t i = 0; i < n.count; i++) {
        n.all[i].side = 0;
        sim_set_side(n.all[i].host, 0);
        for (size_t j = 1 - i % 2; j < n.count; j += 2)
            assert_null(
                kith_kad_table_find(kith_kad_table_of(n.all[i].kad), kith_node_id(sim_node(n.all[j].host))));
    }
    sim_run(n.s, sim_now(n.s) + KITH_SEC(500));
    t = look_up(&n, 20);
    say("together again", &t);
    assert_true(t.right >= 196);
    net_free(&n);
}

/* ---- values and providers ---- */

static size_t pk_key(sim_kad *k, uint8_t key[64], uint8_t pb[KITH_PUBKEY_ED25519_LEN])
{
    const kith_peer_id *id = kith_node_id(sim_node(k->host));
    kith_bytes inside = kith_peer_id_inline_key(id);
    assert_int_equal(inside.len, KITH_PUBKEY_ED25519_LEN);
    memcpy(pb, inside.p, inside.len);
    memcpy(key, "/pk/", 4);
    memcpy(key + 4, id->b, id->len);
    return 4u + id->len;
}

static void a_value_is_put_and_got(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(21, 30, calm);
    uint8_t key[64], pb[KITH_PUBKEY_ED25519_LEN];
    uint64_t op;
    sim_kad *a = &n.all[3], *b = &n.all[17];
    kith_bytes k = kith_bytes_of(key, pk_key(&n.all[9], key, pb)), v = kith_bytes_of(pb, sizeof pb);
    assert_int_equal(kith_kad_get(a->kad, sim_now(n.s), k, 1, &op), KITH_OK);
    sim_kad_wait(n.s, a, op, &end);
    assert_int_equal(end.err, KITH_ENOTFOUND);
    assert_int_equal(kith_kad_put(a->kad, sim_now(n.s), k, v, &op), KITH_OK);
    sim_kad_wait(n.s, a, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_in_range(end.reached, 20, 21);
    assert_int_equal(kith_kad_get(b->kad, sim_now(n.s), k, 5, &op), KITH_OK);
    sim_kad_wait(n.s, b, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_memory_equal(end.value, pb, sizeof pb);
    /* What cannot be is not even asked for. */
    pb[5] ^= 1;
    assert_int_equal(kith_kad_put(a->kad, sim_now(n.s), k, v, &op), KITH_EAUTH);
    assert_int_equal(kith_kad_put(a->kad, sim_now(n.s), kith_bytes_str("/none/x"), v, &op),
                     KITH_EUNSUPPORTED);
    /* Two days later it has expired. */
    sim_run(n.s, sim_now(n.s) + KITH_SEC(48 * 3600 + 60));
    assert_int_equal(kith_kad_get(b->kad, sim_now(n.s), k, 1, &op), KITH_OK);
    sim_kad_wait(n.s, b, op, &end);
    assert_int_equal(end.err, KITH_ENOTFOUND);
    net_free(&n);
}

static void with_numbers(kith_kad_config *cfg)
{
    cfg->namespaces = &sim_kad_number;
    cfg->namespace_count = 1;
}

static uint8_t stored(const net *n, size_t i, kith_bytes key)
{
    kith_kad_row row;
    kith_kad *k = n->all[i].kad;
    bool has = kith_kad_store_value(kith_kad_store_of(k), kith_kad_clock(k, sim_now(n->s)), key, &row);
    return has ? row.data.p[0] : 0;
}

static void plant(net *n, size_t i, kith_bytes key, uint8_t value)
{
    kith_kad *k = n->all[i].kad;
    kith_kad_row row = {
        .key = key, .data = kith_bytes_of(&value, 1), .received = kith_kad_clock(k, sim_now(n->s))};
    assert_int_equal(kith_kad_store_put(kith_kad_store_of(k), &row), KITH_OK);
}

static void the_best_value_wins_and_corrects_the_others(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(22, 30, with_numbers);
    kith_bytes key = kith_bytes_str("/number/a");
    uint64_t op;
    size_t near[8];
    sim_kad *a = &n.all[0];
    sim_kad_truth(n.all, n.count, a, KITH_NEVER, key, near, 8);
    plant(&n, near[0], key, 5);
    plant(&n, near[1], key, 9);
    plant(&n, near[2], key, 7);
    plant(&n, near[3], key, 9);
    assert_int_equal(kith_kad_get(a->kad, sim_now(n.s), key, 16, &op), KITH_OK);
    sim_kad_wait(n.s, a, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_int_equal(end.value[0], 9);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(5));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(stored(&n, near[i], key), 9);
    /* A worse one does not replace it. */
    uint8_t worse = 3;
    assert_int_equal(kith_kad_put(a->kad, sim_now(n.s), key, kith_bytes_of(&worse, 1), &op), KITH_OK);
    sim_kad_wait(n.s, a, op, &end);
    assert_int_equal(stored(&n, near[0], key), 9);
    assert_true(end.reached > 0); /* those that had none */
    net_free(&n);
}

/* An op of a node whose others have all lost power meanwhile. */
typedef struct hurry {
    uint64_t put, get, find;
    unsigned done[3]; /* how often each was told to be over */
    kith_err err[3];
    kith_time took[3];
    size_t got[3]; /* who took it; bytes; who provides it */
} hurry;

static void on_hurry(void *ctx, const kith_kad_event *ev)
{
    hurry *h = ctx;
    const size_t i = ev->op == h->put ? 0 : ev->op == h->get ? 1 : 2;
    if (ev->op != h->put && ev->op != h->get && ev->op != h->find)
        return;
    h->got[i] += i == 0 ? ev->reached : i == 1 ? ev->value.len : ev->peer_count;
    if (ev->kind == KITH_KAD_PROVIDER)
        return;
    h->done[i]++;
    h->err[i] = ev->err;
    h->took[i] = ev->took;
}

#define HURRY KITH_SEC(1) /* less than a lookup waits for who is silent */

static void hurried(kith_kad_config *cfg)
{
    calm(cfg);
    with_numbers(cfg);
    cfg->op_timeout = HURRY;
}

static void an_op_is_over_at_its_deadline_with_what_it_has(void **state)
{
    (void)state;
    static sim_kad_end end;
    unsigned with[3] = {0}, without[3] = {0};
    for (unsigned ms = 0; ms <= 250; ms += 10) {
        net n = net_new(30, 8, hurried);
        kith_node_config cfg = sim_classical();
        kith_bytes put = kith_bytes_str("/number/put"), get = kith_bytes_str("/number/get"),
                   find = kith_bytes_str("found");
        uint8_t value = 9;
        hurry h = {0};
        sim_kad client;
        sim_kad_init(&client, sim_add(n.s, &cfg), false);
        hurried(&client.cfg);
        sim_kad_know(&client, n.all[5].host);
        client.told = on_hurry;
        client.ctx = &h;
        sim_kad_start(&client);
        for (size_t i = 0; i < n.count; i++)
            plant(&n, i, get, value);
        assert_int_equal(kith_kad_provide(n.all[1].kad, sim_now(n.s), find, &h.find), KITH_OK);
        sim_kad_wait(n.s, &n.all[1], h.find, &end);
        sim_run(n.s, sim_now(n.s) + KITH_SEC(120)); /* all connections are closed */
        assert_int_equal(kith_kad_put(client.kad, sim_now(n.s), put, kith_bytes_of(&value, 1), &h.put),
                         KITH_OK);
        assert_int_equal(kith_kad_get(client.kad, sim_now(n.s), get, 100, &h.get), KITH_OK);
        assert_int_equal(kith_kad_find_providers(client.kad, sim_now(n.s), find, KITH_KAD_FOUND_MAX, &h.find),
                         KITH_OK);
        sim_drive(client.host);
        sim_run(n.s, sim_now(n.s) + KITH_MS(ms));
        for (size_t i = 0; i < n.count; i++) {
            sim_vanish(n.all[i].host);
            n.all[i].away = true;
        }
        sim_run(n.s, sim_now(n.s) + KITH_SEC(60));
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(h.done[i], 1);
            assert_true(h.took[i] <= HURRY);
            if (h.took[i] < HURRY)
                continue;
            with[i] += h.got[i] > 0;
            without[i] += h.got[i] == 0;
            assert_int_equal(h.err[i], h.got[i] > 0 ? KITH_OK : KITH_ETIMEOUT);
        }
        net_free(&n);
    }
    for (size_t i = 0; i < 3; i++)
        assert_true(with[i] > 0 && without[i] > 0);
}

static void providers_are_found_and_provide_again_until_they_do_not(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(23, 40, calm);
    uint8_t raw[34];
    uint64_t op;
    random_key(&n, raw);
    kith_bytes key = kith_bytes_of(raw, sizeof raw);
    sim_kad *a = &n.all[2], *b = &n.all[7], *c = &n.all[30];
    sim_kad *who[] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kith_kad_provide(who[i]->kad, sim_now(n.s), key, &op), KITH_OK);
        sim_kad_wait(n.s, who[i], op, &end);
        assert_int_equal(end.err, KITH_OK);
        assert_int_equal(end.reached, 20);
    }
    assert_int_equal(kith_kad_find_providers(c->kad, sim_now(n.s), key, 10, &op), KITH_OK);
    sim_kad_wait(n.s, c, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_int_equal(end.peer_count, 2);
    assert_true(end.peers[0].addrs.len > 0);
    assert_int_equal(kith_kad_find_providers(c->kad, sim_now(n.s), key, 1, &op), KITH_OK);
    sim_kad_wait(n.s, c, op, &end);
    assert_int_equal(end.peer_count, 1);
    assert_true(kith_kad_unprovide(b->kad, key));
    assert_false(kith_kad_unprovide(b->kad, key));
    /* Beyond the time that a record lives: a has told it again, b has not. */
    sim_run(n.s, sim_now(n.s) + KITH_SEC(49 * 3600));
    assert_int_equal(kith_kad_find_providers(c->kad, sim_now(n.s), key, 10, &op), KITH_OK);
    sim_kad_wait(n.s, c, op, &end);
    assert_int_equal(end.peer_count, 1);
    assert_true(kith_peer_id_eq(&end.peers[0].id, kith_node_id(sim_node(a->host))));
    net_free(&n);
}

/* A client has no store of its own: what it finds it was told. */
static void a_client_is_told_of_each_provider_once_and_not_of_itself(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(29, 20, NULL);
    kith_node_config cfg = sim_classical();
    uint8_t raw[34];
    uint64_t op;
    random_key(&n, raw);
    kith_bytes key = kith_bytes_of(raw, sizeof raw);
    sim_kad client;
    sim_kad_init(&client, sim_add(n.s, &cfg), false);
    sim_kad_know(&client, n.all[5].host);
    sim_kad_start(&client);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(5));
    sim_kad *who[] = {&n.all[2], &n.all[7], &client};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(kith_kad_provide(who[i]->kad, sim_now(n.s), key, &op), KITH_OK);
        sim_kad_wait(n.s, who[i], op, &end);
        assert_int_equal(end.err, KITH_OK);
    }
    assert_int_equal(kith_kad_find_providers(client.kad, sim_now(n.s), key, 10, &op), KITH_OK);
    sim_kad_wait(n.s, &client, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_int_equal(end.peer_count, 2);
    assert_true(end.lookup.asked > 10); /* each of whom knows all three */
    for (size_t i = 0; i < 2; i++) {
        const kith_peer_id *id = &end.peers[i].id;
        assert_true(end.peers[i].addrs.len > 0);
        assert_int_equal(kith_peer_id_eq(id, kith_node_id(sim_node(who[0]->host))) +
                             kith_peer_id_eq(id, kith_node_id(sim_node(who[1]->host))),
                         1);
    }
    assert_false(kith_peer_id_eq(&end.peers[0].id, &end.peers[1].id));
    size_t all = end.lookup.asked;
    assert_int_equal(kith_kad_find_providers(client.kad, sim_now(n.s), key, 1, &op), KITH_OK);
    sim_kad_wait(n.s, &client, op, &end);
    assert_int_equal(end.peer_count, 1);
    assert_true(end.lookup.asked < all); /* and nobody more is asked */
    net_free(&n);
}

static bool finds_one(net *n, sim_kad *k, kith_bytes key)
{
    static sim_kad_end end;
    uint64_t op;
    assert_int_equal(kith_kad_find_providers(k->kad, sim_now(n->s), key, 10, &op), KITH_OK);
    sim_kad_wait(n->s, k, op, &end);
    return end.peer_count == 1;
}

static void what_was_provided_before_is_provided_soon_and_a_time_in_vain_is_made_up_for(void **state)
{
    (void)state;
    net n = net_new(28, 30, calm);
    uint8_t raw[34];
    random_key(&n, raw);
    kith_bytes key = kith_bytes_of(raw, sizeof raw);
    sim_kad *a = &n.all[2], *c = &n.all[20];
    assert_int_equal(kith_kad_provide_again(a->kad, sim_time(a->host), key), KITH_OK);
    assert_int_equal(kith_kad_provide_again(a->kad, sim_time(a->host), key), KITH_EEXISTS);
    sim_drive(a->host);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(15));
    assert_true(finds_one(&n, c, key));
    /* One that knows nobody tells nobody, and tries again before the day is over. */
    sim_kad late;
    random_key(&n, raw);
    sim_kad_init(&late, sim_add(n.s, NULL), true);
    sim_kad_start(&late);
    assert_int_equal(kith_kad_provide_again(late.kad, sim_time(late.host), key), KITH_OK);
    sim_drive(late.host);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(60));
    assert_false(finds_one(&n, c, key));
    kith_peer_id id = *kith_node_id(sim_node(a->host));
    assert_int_equal(kith_kad_bootstrap(late.kad, sim_time(late.host), &id, sim_addr(a->host), 1), KITH_OK);
    sim_drive(late.host);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(400));
    assert_true(finds_one(&n, c, key));
    net_free(&n);
}

static void peers_are_found_also_clients_and_the_absent_are_not(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(24, 40, NULL);
    kith_node_config cfg = sim_classical();
    sim_kad client;
    uint64_t op;
    sim_kad_init(&client, sim_add(n.s, &cfg), false);
    sim_kad_know(&client, n.all[5].host);
    sim_kad_start(&client);
    sim_run(n.s, sim_now(n.s) + KITH_SEC(5));
    /* A client is in nobody's table, and serves nobody. */
    const kith_peer_id *id = kith_node_id(sim_node(client.host));
    for (size_t i = 0; i < n.count; i++)
        assert_null(kith_kad_table_find(kith_kad_table_of(n.all[i].kad), id));
    assert_true(kith_kad_look(client.kad).peers >= 20);
    assert_int_equal(kith_kad_look(client.kad).served, 0);
    /* It finds a server. */
    kith_peer_id server = *kith_node_id(sim_node(n.all[33].host));
    assert_int_equal(kith_kad_find_peer(client.kad, sim_now(n.s), &server, &op), KITH_OK);
    sim_kad_wait(n.s, &client, op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_int_equal(end.peer_count, 1);
    assert_non_null(kith_node_conn_find(sim_node(client.host), &server));
    /* It is found by who asks those that it is connected to. */
    assert_int_equal(kith_kad_find_peer(n.all[20].kad, sim_now(n.s), id, &op), KITH_OK);
    sim_kad_wait(n.s, &n.all[20], op, &end);
    assert_int_equal(end.err, KITH_OK);
    assert_non_null(kith_node_conn_find(sim_node(n.all[20].host), id));
    /* Nobody has this one. */
    kith_peer_id nobody = *id;
    nobody.b[20] ^= 1;
    assert_int_equal(kith_kad_find_peer(client.kad, sim_now(n.s), &nobody, &op), KITH_OK);
    sim_kad_wait(n.s, &client, op, &end);
    assert_int_equal(end.err, KITH_ENOTFOUND);
    assert_int_equal(end.peer_count, 0);
    net_free(&n);
}

static void those_who_join_at_one_time_find_each_other_soon(void **state)
{
    (void)state;
    sim *s = sim_new(29);
    sim_kad all[6];
    for (size_t i = 0; i < 6; i++) {
        sim_kad_init(&all[i], sim_add(s, NULL), true);
        if (i > 0)
            sim_kad_know(&all[i], all[0].host);
    }
    for (size_t i = 0; i < 6; i++)
        sim_kad_start(&all[i]);
    sim_run(s, sim_now(s) + KITH_SEC(20));
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(kith_kad_look(all[i].kad).peers, 5);
    /* And then they are as quiet as others: nobody looks around for the fun of it. */
    sim_run(s, sim_now(s) + KITH_SEC(3600));
    uint64_t asked = kith_kad_look(all[3].kad).asked;
    sim_run(s, sim_now(s) + KITH_SEC(3600));
    assert_true(kith_kad_look(all[3].kad).asked - asked < 300);
    sim_free(s);
}

static void a_node_alone_is_told_so_and_caps_hold(void **state)
{
    (void)state;
    static sim_kad_end end;
    sim *s = sim_new(25);
    sim_kad k;
    uint64_t op, first = 0;
    sim_kad_init(&k, sim_add(s, NULL), true);
    k.cfg.ops_max = 3;
    k.cfg.provides_max = 2;
    sim_kad_start(&k);
    kith_bytes key = kith_bytes_str("some key");
    assert_int_equal(kith_kad_find_nearest(k.kad, sim_now(s), key, &op), KITH_OK);
    sim_kad_wait(s, &k, op, &end);
    assert_int_equal(end.err, KITH_ECLOSED);
    for (unsigned i = 0; i < 4; i++) {
        kith_err e = kith_kad_find_nearest(k.kad, sim_now(s), key, &op);
        assert_int_equal(e, i < 3 ? KITH_OK : KITH_ELIMIT);
        first = i ? first : op;
    }
    kith_kad_cancel(k.kad, sim_now(s), first);
    assert_int_equal(kith_kad_find_nearest(k.kad, sim_now(s), key, &op), KITH_OK);
    sim_drive(k.host);
    sim_run(s, sim_now(s) + KITH_SEC(1));
    assert_int_equal(kith_kad_look(k.kad).ops, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t b[2] = {1, (uint8_t)i};
        assert_int_equal(kith_kad_provide(k.kad, sim_now(s), kith_bytes_of(b, 2), &op),
                         i < 2 ? KITH_OK : KITH_ELIMIT);
        sim_drive(k.host);
    }
    static const uint8_t longish[KITH_KAD_KEY_MAX + 1];
    assert_int_equal(kith_kad_find_nearest(k.kad, sim_now(s), kith_bytes_of(longish, sizeof longish), &op),
                     KITH_EFORMAT);
    assert_int_equal(kith_kad_find_nearest(k.kad, sim_now(s), (kith_bytes){0}, &op), KITH_EFORMAT);
    assert_int_equal(kith_kad_provide(k.kad, sim_now(s), kith_bytes_of(longish, 81), &op), KITH_EFORMAT);
    assert_int_equal(kith_kad_find_providers(k.kad, sim_now(s), kith_bytes_of(longish, 81), 1, &op),
                     KITH_EFORMAT);
    kith_peer_id id = *kith_node_id(sim_node(k.host));
    for (unsigned i = 0; i <= KITH_KAD_BOOTSTRAP_MAX; i++) {
        id.b[10] = (uint8_t)i;
        assert_int_equal(kith_kad_bootstrap(k.kad, sim_now(s), &id, sim_addr(k.host), 1),
                         i < KITH_KAD_BOOTSTRAP_MAX ? KITH_OK : KITH_ELIMIT);
    }
    sim_free(s);
}

/* Whatever allocation fails, and all after it for a while: nothing breaks, and the node works again afterwards. */
static void memory_that_runs_out_costs_answers_only(void **state)
{
    (void)state;
    static sim_kad_end end;
    net n = net_new(26, 12, NULL);
    sim_kad *k = &n.all[4];
    for (int64_t nth = 0; nth < 200; nth += 3) {
        uint8_t raw[34];
        uint64_t op;
        random_key(&n, raw);
        kith_bytes key = kith_bytes_of(raw, sizeof raw);
        sim_fail_alloc(k->host, nth, false);
        kith_err e = kith_kad_find_providers(k->kad, sim_now(n.s), key, 5, &op);
        assert_true(e == KITH_OK || e == KITH_ENOMEM);
        if (!e)
            sim_kad_wait(n.s, k, op, &end);
        sim_fail_alloc(k->host, -1, false);
        assert_true(e || end.done);
        kith_kad_check(k->kad);
    }
    sim_run(n.s, sim_now(n.s) + KITH_SEC(700));
    tally t = look_up(&n, 5);
    assert_true(t.right * 10 / t.lookups >= 97);
    net_free(&n);
}

/* What is remembered of a connected peer goes with its last connection. */
static void who_has_left_is_forgotten(void **state)
{
    (void)state;
    net n = net_new(27, 20, NULL);
    bool some = false;
    look_up(&n, 5);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < n.count; i++) {
            size_t peers = 0, conns = 0, open = 0;
            kith_conn_facts f;
            KITH_EACH (&n.all[i].kad->connected, l) {
                peers++;
                conns += KITH_OF(l, struct known, link)->conns;
            }
            for (kith_conn *c = NULL; (c = kith_node_conn_next(sim_node(n.all[i].host), c));) {
                kith_conn_facts_get(c, &f);
                open += f.open;
            }
            assert_int_equal(conns, open);
            assert_int_equal(peers, n.all[i].kad->known.len);
            some = some || peers > 0;
            assert_true(round == 0 || peers == 0);
        }
        sim_run(n.s, sim_now(n.s) + KITH_SEC(200)); /* connections that nobody uses end after 60 */
    }
    assert_true(some);
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_find_the_nearest_and_grow_with_the_logarithm),
        cmocka_unit_test(lookups_survive_churn),
        cmocka_unit_test(a_lookup_does_not_wait_for_the_dead),
        cmocka_unit_test(a_join_asks_few_twice),
        cmocka_unit_test(a_refresh_asks_for_what_is_missing_only),
        cmocka_unit_test(halves_that_forgot_each_other_find_together),
        cmocka_unit_test(a_value_is_put_and_got),
        cmocka_unit_test(the_best_value_wins_and_corrects_the_others),
        cmocka_unit_test(an_op_is_over_at_its_deadline_with_what_it_has),
        cmocka_unit_test(providers_are_found_and_provide_again_until_they_do_not),
        cmocka_unit_test(a_client_is_told_of_each_provider_once_and_not_of_itself),
        cmocka_unit_test(what_was_provided_before_is_provided_soon_and_a_time_in_vain_is_made_up_for),
        cmocka_unit_test(peers_are_found_also_clients_and_the_absent_are_not),
        cmocka_unit_test(those_who_join_at_one_time_find_each_other_soon),
        cmocka_unit_test(a_node_alone_is_told_so_and_caps_hold),
        cmocka_unit_test(memory_that_runs_out_costs_answers_only),
        cmocka_unit_test(who_has_left_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
