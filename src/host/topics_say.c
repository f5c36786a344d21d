/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Saying something in a topic: signed by a thread of libuv's pool, since a post-quantum signature may take long; then published, once somebody
 * is there to hear it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/json.h"
#include "host/message_json.h"
#include "host/topics_impl.h"

#define LOOK_MS 100 /* between two looks at whether somebody is there */

/* A message that is about to leave. */
typedef struct post {
    kith_link link;
    kith_topics *topics;
    kith_rpc_call *call; /* NULL: nobody waits, so it does not leave any more */
    kith_time patience;
    bool raw, signing;
    uv_work_t work;
    char topic[KITH_MESSAGE_TOPIC_MAX + 1];
    kith_message_given given;
    uint8_t rnd[KITH_SIG_RND_LEN], pq_sig[KITH_SIG_MAX];
    uint8_t *bytes; /* what gossip gets */
    size_t len, room;
    kith_err err;
} post;

static void post_free(post *p)
{
    if (kith_link_in(&p->link))
        p->topics->post_count--;
    kith_link_remove(&p->link);
    free(p->given.payload);
    free(p->bytes);
    free(p);
}

static void fail(post *p, kith_err e, const char *text)
{
    kith_rpc_call *call = p->call;
    p->call = NULL;
    if (call)
        kith_rpc_error(call, e, NULL, "%s", text);
    if (!p->signing)
        post_free(p);
}

static size_t hearers(const post *p)
{
    return kith_gossip_peers_of(kith_gossip_part_router(p->topics->part), kith_bytes_str(p->topic), false,
                                NULL, 0);
}

static void on_look(uv_timer_t *timer);

static void publish(post *p, size_t peers)
{
    kith_topics *t = p->topics;
    kith_gossip *g = kith_gossip_part_router(t->part);
    char text[160 + KITH_MESSAGE_TOPIC_MAX];
    kith_err e = kith_gossip_publish(g, kith_host_now(t->cfg.host), kith_bytes_str(p->topic),
                                     kith_bytes_of(p->bytes, p->len), NULL, NULL);
    kith_host_kick(t->cfg.host);
    if (e) {
        snprintf(text, sizeof text, "nothing was said in #%s: %s", p->topic,
                 e == KITH_ELIMIT ? "too much is on its way already; try again in a moment"
                                  : kith_err_text(e));
        fail(p, e, text);
        return;
    }
    json_t *said =
        json_pack("{s:o, s:I, s:I, s:b}", "topic", kith_json_text(p->topic), "peers", (json_int_t)peers,
                  "bytes", (json_int_t)p->given.head.payload.len, "raw", p->raw);
    if (!p->raw)
        json_object_set_new(said, "message", kith_messages_id(p->given.head.id));
    kith_rpc_call *call = p->call;
    p->call = NULL;
    kith_topics_said(t, &p->given.head, p->raw);
    kith_rpc_result(call, said);
    post_free(p);
}

/* Says it, or waits on, or gives up. */
static void go_on(post *p)
{
    kith_topics *t = p->topics;
    char text[256 + KITH_MESSAGE_TOPIC_MAX];
    size_t peers = hearers(p);
    if (peers > 0) {
        publish(p, peers);
    } else if (kith_host_now(t->cfg.host) < p->patience) {
        uv_timer_start(&t->timer, on_look, LOOK_MS, 0);
    } else {
        snprintf(
            text, sizeof text,
            "nobody that this node is connected to is in #%s, so nothing was said; 'kith peers' shows who is connected, "
            "'kith discover' finds others",
            p->topic);
        fail(p, KITH_ENOTFOUND, text);
    }
}

static void on_look(uv_timer_t *timer)
{
    kith_topics *t = timer->data;
    KITH_EACH (&t->posts, k) {
        post *p = KITH_OF(k, post, link);
        if (!p->signing)
            go_on(p);
    }
}

/* On a thread of the pool: touches nothing but the post and the keys, which nobody changes. */
static void on_sign(uv_work_t *work)
{
    post *p = work->data;
    const kith_topics_config *cfg = &p->topics->cfg;
    kith_message_keys keys = {
        .signer = cfg->signer, .pq_signer = cfg->pq_signer, .rnd = p->rnd, .room = p->pq_sig};
    kith_wr w = kith_wr_of(kith_span_of(p->bytes, p->room));
    p->err = kith_message_seal(&p->given.head, &keys, &w);
    p->len = w.len;
}

static void on_signed(uv_work_t *work, int status)
{
    post *p = work->data;
    p->signing = false;
    if (!p->call || p->topics->closed)
        post_free(p);
    else if (status || p->err)
        fail(p, status ? KITH_ESTATE : p->err,
             p->err == KITH_EFORMAT ? "what is to be a text is not UTF-8" : kith_err_text(p->err));
    else
        go_on(p);
}

static void on_cancel(void *state)
{
    fail(state, KITH_ECLOSED, "cancelled; nothing was said");
}

static bool begin(post *p)
{
    kith_message *m = &p->given.head;
    m->time = kith_wall_ms();
    m->type = kith_bytes_str(p->given.type);
    m->topic = kith_bytes_str(p->topic);
    kith_rand_fill(kith_host_env(), kith_span_of(m->id, sizeof m->id));
    kith_rand_fill(kith_host_env(), kith_span_of(p->rnd, sizeof p->rnd));
    p->room = m->payload.len + (p->raw ? 1 : KITH_MESSAGE_OVERHEAD);
    p->bytes = malloc(p->room);
    if (!p->bytes)
        return false;
    p->work.data = p;
    if (p->raw) {
        kith_wr w = kith_wr_of(kith_span_of(p->bytes, p->room));
        kith_put_bytes(&w, m->payload);
        p->len = w.len;
        return true;
    }
    p->signing = uv_queue_work(kith_host_loop(p->topics->cfg.host), &p->work, on_sign, on_signed) == 0;
    return p->signing;
}

void kith_topics_run_publish(kith_topics *t, kith_rpc_call *call, const json_t *params)
{
    kith_bytes name = kith_topics_name(call, params);
    if (!name.len)
        return;
    post *p = t->post_count < KITH_TOPIC_POSTS_MAX ? calloc(1, sizeof *p) : NULL;
    kith_err e = KITH_ELIMIT;
    if (!p) {
        kith_rpc_error(call, e, NULL, "%d messages are about to leave already", KITH_TOPIC_POSTS_MAX);
        return;
    }
    p->topics = t;
    memcpy(p->topic, name.p, name.len);
    p->raw = json_is_true(json_object_get(params, "raw"));
    const char *wrong =
        kith_message_given_of(params, KITH_TOPIC_TTL_MAX, KITH_TOPIC_PAYLOAD_MAX, &p->given, &e);
    if (wrong) {
        kith_message_refuse(call, e, wrong);
        post_free(p);
        return;
    }
    int64_t wait = p->given.wait_ms, ttl = (int64_t)p->given.head.ttl * 1000;
    p->patience = kith_time_after(kith_host_now(t->cfg.host),
                                  KITH_MS((kith_time)(wait < 0 || wait > ttl ? ttl : wait)));
    p->call = call;
    kith_list_push(&t->posts, &p->link);
    t->post_count++;
    kith_rpc_on_cancel(call, on_cancel, p);
    if (!begin(p))
        fail(p, KITH_ENOMEM, "no memory");
    else if (p->raw)
        go_on(p);
}

void kith_topics_say_close(kith_topics *t)
{
    KITH_EACH (&t->posts, k)
        fail(KITH_OF(k, post, link), KITH_ECLOSED, "the node is stopping; nothing was said");
}

void kith_topics_say_free(kith_topics *t)
{
    for (kith_link *k; (k = kith_list_first(&t->posts));)
        post_free(KITH_OF(k, post, link));
}
