/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reputation on a host with real sockets: a peer that floods gossip is found out, banned, refused, and still banned after a restart. */
#include "host/standing.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/dht.h"
#include "host/reputation_file.h"
#include "mesh/gossip_part.h"
#include "support.h"

#define DHT_ID "/test/kad/1.0.0"

static char folder[] = "/tmp/kith-standing-XXXXXX";
static char path[64], trust_path[64];

/* ---- who floods: with RPCs that are none ---- */

typedef struct flood {
    unsigned left;
} flood;

static size_t flood_send(void *m, kith_time now, kith_span out)
{
    flood *f = m;
    (void)now;
    if (f->left == 0 || out.len < 2)
        return 0;
    f->left--;
    out.p[0] = 1;    /* an RPC of one byte, */
    out.p[1] = 0xff; /* which begins a field and does not end it */
    return 2;
}

static kith_err flood_recv(void *m, kith_time now, kith_bytes in)
{
    (void)m, (void)now, (void)in;
    return KITH_OK;
}

static void flood_eof(void *m, kith_time now)
{
    (void)m, (void)now;
}

static kith_stream_want flood_want(const void *m)
{
    (void)m;
    return KITH_STREAM_OPEN;
}

static void flood_gone(void *m, kith_time now, kith_err why)
{
    (void)m, (void)now, (void)why;
}

static void flood_free(void *m)
{
    free(m);
}

static const kith_stream_ops flood_ops = {.recv = flood_recv,
                                          .eof = flood_eof,
                                          .send = flood_send,
                                          .want = flood_want,
                                          .gone = flood_gone,
                                          .free = flood_free};

/* ---- who provides keys without end: a message of the DHT to a stream ---- */

typedef struct provide {
    uint8_t msg[256];
    size_t len;
    unsigned *open; /* streams under way */
} provide;

static size_t provide_send(void *m, kith_time now, kith_span out)
{
    provide *p = m;
    (void)now;
    size_t n = p->len < out.len ? p->len : out.len;
    memcpy(out.p, p->msg, n);
    memmove(p->msg, p->msg + n, p->len - n);
    p->len -= n;
    return n;
}

static kith_stream_want provide_want(const void *m)
{
    return ((const provide *)m)->len ? KITH_STREAM_OPEN : KITH_STREAM_FIN;
}

static void provide_gone(void *m, kith_time now, kith_err why)
{
    (void)now, (void)why;
    --*((provide *)m)->open;
}

static const kith_stream_ops provide_ops = {.recv = flood_recv,
                                            .eof = flood_eof,
                                            .send = provide_send,
                                            .want = provide_want,
                                            .gone = provide_gone,
                                            .free = flood_free};

/* ---- two hosts ---- */

typedef struct end {
    kith_host *h;
    kith_signer *signer;
    kith_trust *trust;
    kith_standing *standing;
    kith_gossip_part *gossip;
    kith_dht_settings dht_settings;
    kith_dht *dht;
    kith_observer watch;
    unsigned identified, disconnected, refused, banned, dialed;
    kith_conn *conn;
    kith_err err;
    char why[KITH_REASON_MAX];
} end;

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    end *e = ctx;
    (void)h;
    e->identified += ev->kind == KITH_NODE_IDENTIFIED;
    e->disconnected += ev->kind == KITH_NODE_DISCONNECTED;
    if (ev->kind != KITH_NODE_REFUSED)
        return;
    e->refused++;
    snprintf(e->why, sizeof e->why, "%s", ev->why ? ev->why : "");
}

static void on_dialed(void *ctx, kith_host *h, kith_conn *c, kith_err err, const char *why)
{
    end *e = ctx;
    (void)h, (void)why;
    e->dialed++;
    e->conn = c;
    e->err = err;
}

static void on_banned(void *ctx, const kith_peer_id *peer, const kith_reputation_facts *f)
{
    end *e = ctx;
    (void)peer;
    assert_true(f->banned_until > 0);
    e->banned++;
}

static void start(end *e, uint8_t id, bool judges)
{
    *e = (end){0};
    kith_host_config cfg = {0};
    const char *why;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {id};
    kith_node_config_default(&cfg.node);
    e->signer = kith_signer_new(seed);
    cfg.node.signer = e->signer;
    cfg.node.agent = "test";
    if (judges) {
        e->trust = kith_trust_open(trust_path, &why, NULL);
        assert_non_null(e->trust);
        cfg.node.trust = kith_trust_ask;
        cfg.node.trust_ctx = e->trust;
    }
    e->h = kith_host_new(&cfg, &why);
    assert_non_null(e->h);
    e->watch = (kith_observer){.event = on_event, .ctx = e};
    kith_host_observe(e->h, &e->watch);
    if (judges) {
        kith_trust_attach(e->trust, kith_host_loop(e->h));
        e->standing = kith_standing_new(&(kith_standing_config){
            .host = e->h, .path = path, .trust = e->trust, .banned = on_banned, .banned_ctx = e});
        assert_non_null(e->standing);
        kith_gossip_part_config g = {0};
        kith_gossip_config_default(&g.router);
        g.router.env = *kith_host_env();
        e->gossip = kith_gossip_part_new(kith_host_node(e->h), kith_host_now(e->h), &g, &why);
        assert_non_null(e->gossip);
        kith_host_attach(e->h, kith_gossip_part_of(e->gossip));
        kith_standing_watch_gossip(e->standing, kith_gossip_part_router(e->gossip));
        kith_dht_settings_default(&e->dht_settings);
        e->dht_settings.mode = KITH_DHT_SERVER;
        snprintf(e->dht_settings.protocol, sizeof e->dht_settings.protocol, "%s", DHT_ID);
        e->dht = kith_dht_new(&(kith_dht_config){.host = e->h, .settings = &e->dht_settings});
        assert_true(kith_dht_start(e->dht));
    }
    kith_host_kick(e->h);
}

static void stop(end *e)
{
    kith_standing_close(e->standing);
    kith_dht_close(e->dht);
    if (e->gossip) {
        kith_gossip_part_stop(e->gossip, kith_host_now(e->h));
        kith_host_detach(e->h, kith_gossip_part_of(e->gossip));
    }
    kith_host_stop(e->h);
    kith_host_run(e->h);
    kith_standing_free(e->standing);
    kith_trust_close(e->trust);
    kith_dht_save(e->dht);
    kith_host_free(e->h);
    kith_dht_free(e->dht);
    kith_gossip_part_free(e->gossip);
    kith_signer_free(e->signer);
}

static void turns(end *a, end *b, const unsigned *until)
{
    for (uint64_t begun = uv_hrtime(); !*until && uv_hrtime() - begun < 60ull * 1000000000u;) {
        uv_run(kith_host_loop(a->h), UV_RUN_NOWAIT);
        uv_run(kith_host_loop(b->h), UV_RUN_NOWAIT);
        usleep(200);
    }
    assert_true(*until > 0);
}

static void dial(end *from, end *to, const kith_maddr *where)
{
    from->dialed = 0;
    assert_int_equal(kith_host_dial(from->h, NULL, where, 1, on_dialed, from), KITH_OK);
    turns(from, to, &from->dialed);
}

static kith_maddr listen_at(end *e)
{
    kith_maddr at, bound;
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/0"), &at, NULL), KITH_OK);
    assert_int_equal(kith_host_listen(e->h, &at, &bound), 0);
    return bound;
}

static void who_floods_gossip_is_banned_refused_and_remembered(void **state)
{
    (void)state;
    end good, bad;
    kith_stream *st;
    kith_bytes id = kith_gossip_version_id(KITH_GOSSIP_V12);
    start(&good, 1, true);
    start(&bad, 2, false);
    kith_maddr where = listen_at(&good);
    dial(&bad, &good, &where);
    turns(&bad, &good, &good.identified);
    kith_peer_id flooder = *kith_node_id(kith_host_node(bad.h));
    /* Each of them costs a stream, which is reset: another one, and another one. */
    for (uint64_t begun = uv_hrtime(); !good.banned && uv_hrtime() - begun < 60ull * 1000000000u;) {
        flood *f = malloc(sizeof *f);
        *f = (flood){.left = 1};
        (void)!kith_node_open(kith_host_node(bad.h), kith_host_now(bad.h), bad.conn, &id, 1, &flood_ops, f,
                              NULL, &st);
        kith_host_kick(bad.h);
        for (int i = 0; i < 20; i++) {
            uv_run(kith_host_loop(bad.h), UV_RUN_NOWAIT);
            uv_run(kith_host_loop(good.h), UV_RUN_NOWAIT);
            usleep(200);
        }
    }
    assert_int_equal(good.banned, 1);
    turns(&bad, &good, &bad.disconnected); /* sent away */
    json_t *j = kith_standing_json(good.standing, &flooder);
    assert_true(json_is_object(j) && json_integer_value(json_object_get(j, "banned_until")) > 0);
    json_decref(j);
    turns(&bad, &good, &good.disconnected);
    good.refused = 0;
    bad.disconnected = 0;
    dial(&bad, &good, &where);
    turns(&bad, &good, &good.refused);
    assert_non_null(strstr(good.why, "is banned until"));
    assert_non_null(strstr(good.why, "gossip"));
    assert_non_null(strstr(good.why, "kith trust unban 12D3"));
    stop(&good);
    stop(&bad);

    start(&good, 1, true); /* the same home again */
    start(&bad, 2, false);
    where = listen_at(&good);
    dial(&bad, &good, &where);
    turns(&bad, &good, &good.refused);
    j = kith_standing_banned_json(good.standing);
    assert_int_equal(json_array_size(j), 1);
    json_decref(j);
    assert_true(kith_standing_lift(good.standing, &flooder));
    for (uint64_t begun = uv_hrtime(); good.identified == 0 && uv_hrtime() - begun < 60ull * 1000000000u;)
        dial(&bad, &good, &where); /* the first may find the refused connection still closing */
    assert_int_equal(good.identified, 1);
    stop(&good);
    stop(&bad);
}

/* One stream with one key that is provided. */
static void provide_one(end *bad, const kith_peer_id *self, const kith_maddr *at, unsigned i, unsigned *open)
{
    provide *p = calloc(1, sizeof *p);
    kith_stream *st;
    uint8_t msg[200], key[8] = {0};
    kith_bytes id = kith_bytes_str(DHT_ID);
    kith_addrs addrs = {0};
    kith_wr w = kith_wr_of(kith_span_of(msg, sizeof msg)),
            out = kith_wr_of(kith_span_of(p->msg, sizeof p->msg));
    kith_store_be32(key, i);
    kith_addrs_pack(&addrs, at, 1);
    kith_kad_put_head(&w, KITH_KAD_ADD_PROVIDER, kith_bytes_of(key, sizeof key));
    assert_true(kith_kad_put_peer(&w, KITH_KAD_PROVIDERS, self, kith_addrs_bytes(&addrs), true));
    kith_put_lp(&out, kith_wr_bytes(&w));
    assert_false(out.bad);
    p->len = out.len;
    p->open = open;
    ++*open;
    kith_err e = kith_node_open(kith_host_node(bad->h), kith_host_now(bad->h), bad->conn, &id, 1,
                                &provide_ops, p, NULL, &st);
    assert_true(e == KITH_OK || e == KITH_ECLOSED);
}

static void who_provides_without_end_is_banned(void **state)
{
    (void)state;
    end good, bad;
    unsigned sent = 0, open = 0;
    int32_t below = -1; /* its score with a thousand keys */
    kith_maddr own;
    (void)unlink(path);
    start(&good, 1, true);
    start(&bad, 7, false);
    kith_maddr where = listen_at(&good);
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/9"), &own, NULL), KITH_OK);
    dial(&bad, &good, &where);
    turns(&bad, &good, &good.identified);
    kith_peer_id self = *kith_node_id(kith_host_node(bad.h));
    for (uint64_t begun = uv_hrtime(); !good.banned && uv_hrtime() - begun < 120ull * 1000000000u;) {
        while (open < 8 && !bad.disconnected)
            provide_one(&bad, &self, &own, sent++, &open);
        kith_host_kick(bad.h);
        uv_run(kith_host_loop(bad.h), UV_RUN_NOWAIT);
        uv_run(kith_host_loop(good.h), UV_RUN_NOWAIT);
        if (sent == 1000)
            below = kith_standing_score(good.standing, &self);
    }
    assert_int_equal(good.banned, 1);
    assert_true(below >= 0); /* one that has many keys is no nuisance */
    assert_in_range(sent, 1024 + 12 * KITH_KAD_FLOOD, 1024 + 14 * KITH_KAD_FLOOD);
    assert_int_equal(kith_kad_look(kith_dht_kad(good.dht)).store.providers, 1024);
    turns(&bad, &good, &bad.disconnected);
    good.refused = 0;
    for (uint64_t begun = uv_hrtime(); !good.refused && uv_hrtime() - begun < 60ull * 1000000000u;)
        dial(&bad, &good, &where);
    assert_non_null(strstr(good.why, "is banned until"));
    assert_non_null(strstr(good.why, "flood"));
    stop(&good);
    stop(&bad);
}

static void a_low_score_throttles_until_it_is_lifted(void **state)
{
    (void)state;
    end judge, peer;
    (void)unlink(path);
    start(&judge, 1, true);
    start(&peer, 8, false);
    kith_maddr where = listen_at(&judge);
    dial(&peer, &judge, &where);
    turns(&peer, &judge, &judge.identified);
    kith_peer_id id = *kith_node_id(kith_host_node(peer.h));
    kith_conn *c = kith_node_conn_find(kith_host_node(judge.h), &id);
    assert_non_null(c);
    for (int low = 1; low >= 0; low--) {
        if (low)
            kith_host_conduct(judge.h, &id, KITH_CONDUCT_CORRUPT);
        else
            assert_true(kith_standing_lift(judge.standing, &id));
        for (uint64_t begun = uv_hrtime();
             kith_conn_throttled(c) != low && uv_hrtime() - begun < 60ull * 1000000000u;) {
            uv_run(kith_host_loop(judge.h), UV_RUN_NOWAIT);
            uv_run(kith_host_loop(peer.h), UV_RUN_NOWAIT);
            usleep(200);
        }
        assert_int_equal(kith_conn_throttled(c), low);
    }
    assert_int_equal(judge.banned, 0);
    stop(&judge);
    stop(&peer);
}

static void only_where_a_peer_had_answered_its_absence_counts(void **state)
{
    (void)state;
    end judge, peer;
    kith_maddr elsewhere, with_peer;
    start(&judge, 1, true);
    start(&peer, 3, false);
    kith_peer_id id = *kith_node_id(kith_host_node(peer.h));
    kith_maddr where = listen_at(&peer);
    dial(&judge, &peer, &where);
    assert_non_null(judge.conn);
    assert_int_equal(kith_standing_score(judge.standing, &id), 1000);
    kith_host_stop(peer.h);
    turns(&judge, &peer, &judge.disconnected);
    stop(&peer);
    start(&peer, 4, false); /* somebody else, whose loop the dials below need */
    assert_int_equal(kith_maddr_from_text(kith_bytes_str("/ip4/127.0.0.1/tcp/1"), &elsewhere, NULL), KITH_OK);
    assert_int_equal(kith_maddr_set_peer(&elsewhere, &id), KITH_OK);
    dial(&judge, &peer, &elsewhere); /* so somebody said */
    assert_null(judge.conn);
    assert_int_equal(kith_standing_score(judge.standing, &id), 1000);
    with_peer = where;
    assert_int_equal(kith_maddr_set_peer(&with_peer, &id), KITH_OK);
    dial(&judge, &peer, &with_peer);
    assert_null(judge.conn);
    assert_int_equal(kith_standing_score(judge.standing, &id), 500);
    stop(&judge);
    stop(&peer);
}

static void a_friend_is_never_banned(void **state)
{
    (void)state;
    end judge, peer;
    start(&judge, 1, true);
    start(&peer, 5, false);
    kith_peer_id id = *kith_node_id(kith_host_node(peer.h));
    for (int i = 0; i < 10; i++)
        kith_host_conduct(judge.h, &id, KITH_CONDUCT_CORRUPT);
    turns(&judge, &peer, &judge.banned);
    assert_true(kith_standing_lift(judge.standing, &id));
    judge.banned = 0;
    kith_trust_edit pin = {.act = KITH_TRUST_RENAME, .peer = id, .name = "friend"};
    assert_int_equal(kith_trust_edit_all(judge.trust, &pin, 1, NULL, NULL), KITH_OK);
    for (int i = 0; i < 50; i++)
        uv_run(kith_host_loop(judge.h), UV_RUN_NOWAIT), usleep(2000);
    for (int i = 0; i < 10; i++)
        kith_host_conduct(judge.h, &id, KITH_CONDUCT_CORRUPT);
    assert_int_equal(kith_standing_score(judge.standing, &id), -100000);
    json_t *j = kith_standing_banned_json(judge.standing);
    assert_int_equal(json_array_size(j), 0);
    json_decref(j);
    stop(&judge);
    stop(&peer);
}

static int notes_left(void)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM notes", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void leave(const kith_peer_id *peer, kith_conduct kind, uint64_t ago)
{
    assert_null(kith_reputation_leave_note(path, peer, kind, kith_wall_s() - ago));
}

static void what_other_processes_note_counts_once(void **state)
{
    (void)state;
    end judge, other;
    kith_peer_id liar = support_peer(11), honest = support_peer(12), reformed = support_peer(13);
    (void)unlink(path);
    for (int i = 0; i < 2; i++)
        leave(&liar, KITH_CONDUCT_CORRUPT, 0);
    for (int i = 0; i < 8; i++)
        leave(&reformed, KITH_CONDUCT_CORRUPT, 40 * (uint64_t)KITH_REPUTATION_HALF_LIFE);
    leave(&honest, KITH_CONDUCT_VERIFIED, 0);
    support_sql(path,
                "INSERT INTO notes(peer, kind, at) VALUES(x'00', 8, 1), (x'0123', 99, 1), (x'', -1, -1)");
    for (int again = 0; again < 2; again++) {
        assert_int_equal(notes_left(), again ? 0 : 14);
        start(&judge, 1, true);
        start(&other, 6, false);
        if (!again) {
            assert_int_equal(notes_left(), 14); /* until it is written what they came to */
            turns(&judge, &other, &judge.banned);
        }
        json_t *j = kith_standing_banned_json(judge.standing);
        assert_int_equal(json_array_size(j), 1);
        json_decref(j);
        assert_in_range(-kith_standing_score(judge.standing, &liar), 29900,
                        30000); /* half of it is forgiven with a ban */
        assert_in_range(kith_standing_score(judge.standing, &honest), 1900, 2000);
        assert_int_equal(kith_standing_score(judge.standing, &reformed), 0);
        assert_true(kith_standing_score(judge.standing, &honest) >
                    kith_standing_score(judge.standing, &reformed));
        stop(&judge);
        stop(&other);
    }
}

static void notes_have_a_cap(void **state)
{
    (void)state;
    kith_peer_id peer = support_peer(14);
    char sql[256];
    (void)unlink(path);
    leave(&peer, KITH_CONDUCT_VERIFIED, 0);
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d)"
             " INSERT INTO notes(peer, kind, at) SELECT x'00', 8, i FROM c",
             KITH_REPUTATION_NOTES_MAX - 2);
    support_sql(path, sql);
    leave(&peer, KITH_CONDUCT_VERIFIED, 0);
    assert_int_equal(notes_left(), KITH_REPUTATION_NOTES_MAX); /* at it */
    leave(&peer, KITH_CONDUCT_VERIFIED, 0);
    assert_int_equal(notes_left(), KITH_REPUTATION_NOTES_MAX); /* and past it */
    end judge;
    start(&judge, 1, true);
    assert_in_range(kith_standing_score(judge.standing, &peer), 3900, 4000);
    stop(&judge);
    assert_int_equal(notes_left(), 0);
}

static void a_file_of_before_notes_is_taken_over(void **state)
{
    (void)state;
    end judge;
    kith_peer_id peer = support_peer(15);
    (void)unlink(path);
    support_sql(
        path, "CREATE TABLE peers(peer BLOB PRIMARY KEY, at INTEGER NOT NULL, banned_until INTEGER NOT NULL,"
              " bans INTEGER NOT NULL, rtt_ns INTEGER NOT NULL, conduct BLOB NOT NULL) WITHOUT ROWID;"
              "PRAGMA user_version=1;");
    leave(&peer, KITH_CONDUCT_VERIFIED, 0);
    start(&judge, 1, true);
    assert_in_range(kith_standing_score(judge.standing, &peer), 1900, 2000);
    stop(&judge);
}

static void a_damaged_file_is_put_aside(void **state)
{
    (void)state;
    end judge;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("this is no database ", f);
    fclose(f);
    start(&judge, 1, true);
    kith_peer_id id = *kith_node_id(kith_host_node(judge.h));
    kith_host_conduct(judge.h, &id, KITH_CONDUCT_VERIFIED);
    stop(&judge);
    start(&judge, 1, true);
    assert_int_equal(kith_standing_score(judge.standing, &id), 2000);
    stop(&judge);
}

static int prepare(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/reputation.db", folder);
    snprintf(trust_path, sizeof trust_path, "%s/trust.db", folder);
    return 0;
}

static int clean(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_floods_gossip_is_banned_refused_and_remembered),
        cmocka_unit_test(who_provides_without_end_is_banned),
        cmocka_unit_test(a_low_score_throttles_until_it_is_lifted),
        cmocka_unit_test(only_where_a_peer_had_answered_its_absence_counts),
        cmocka_unit_test(a_friend_is_never_banned),
        cmocka_unit_test(what_other_processes_note_counts_once),
        cmocka_unit_test(notes_have_a_cap),
        cmocka_unit_test(a_file_of_before_notes_is_taken_over),
        cmocka_unit_test(a_damaged_file_is_put_aside),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
