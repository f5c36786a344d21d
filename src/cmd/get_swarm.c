/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The side of kith get --swarm that gives to others. */
#include "cmd/get_swarm.h"

#include <stdlib.h>

#include "cmd/listen.h"
#include "cmd/share_text.h"
#include "host/json.h"

struct get_swarm {
    session *s;
    kith_share_serve *serve;
    uv_timer_t timer;
    bool timer_open, stopped;
    void (*over)(void *ctx);
    void *ctx;
};

static void say(const get_swarm *w, const char *name, const kith_share_session *s, const char *text)
{
    json_t *o = json_pack("{s:s, s:o}", "event", name, "peer", kith_json_peer(&s->peer));
    if (s->id > 0)
        json_object_set_new(o, "bytes", json_integer((json_int_t)s->bytes));
    if (text)
        json_object_set_new(o, "text", kith_json_text(text));
    if (w->s->json)
        session_print(o);
    else
        json_decref(o);
}

static void on_event(void *ctx, const kith_share_serve_event *ev)
{
    const get_swarm *w = ctx;
    switch (ev->kind) {
    case KITH_SHARE_SERVE_BEGAN:
        say(w, "helping", ev->session, NULL);
        break;
    case KITH_SHARE_SERVE_DONE:
        say(w, "helped", ev->session, NULL);
        break;
    case KITH_SHARE_SERVE_ENDED:
        if (ev->session->id > 0)
            say(w, "helped", ev->session, ev->text);
        else if (!ev->share)
            say(w, "turned_away", ev->session, ev->text);
        break;
    case KITH_SHARE_SERVE_WARNING: /* of what is walked and hashed, and counted */
    case KITH_SHARE_SERVE_WALKED:
    case KITH_SHARE_SERVE_HASHED:
    case KITH_SHARE_SERVE_FAILED:
    case KITH_SHARE_SERVE_USED_UP:
        break;
    }
}

get_swarm *get_swarm_new(session *s, int *code)
{
    kith_maddr addrs[KITH_RECORD_ADDRS_MAX];
    size_t count;
    *code = listen_as_configured(s, LISTEN_ANY_PORT, addrs, KITH_RECORD_ADDRS_MAX, &count);
    if (*code)
        return NULL;
    get_swarm *w = calloc(1, sizeof *w);
    if (w) {
        w->s = s;
        const kith_share_serve_config cfg = {
            .host = s->host, .signer = s->signer, .event = on_event, .ctx = w};
        w->serve = kith_share_serve_new(&cfg);
    }
    if (w && w->serve) {
        uv_timer_init(kith_host_loop(s->host), &w->timer);
        w->timer.data = w;
        w->timer_open = true;
        return w;
    }
    free(w);
    *code = cmd_fail(EXIT_FAILED, "no memory");
    return NULL;
}

kith_share_serve *get_swarm_serve(const get_swarm *w)
{
    return w->serve;
}

static void on_timer(uv_timer_t *t)
{
    get_swarm *w = t->data;
    w->over(w->ctx);
}

void get_swarm_stay(get_swarm *w, kith_time seed, void (*over)(void *ctx), void *ctx)
{
    w->over = over;
    w->ctx = ctx;
    if (seed != KITH_NEVER)
        uv_timer_start(&w->timer, on_timer, seed / 1000000, 0);
}

bool get_swarm_stays(const get_swarm *w)
{
    return w && w->over && !w->stopped;
}

void get_swarm_stop(get_swarm *w)
{
    if (!w || w->stopped)
        return;
    w->stopped = true;
    kith_share_serve_stop(w->serve);
    if (w->timer_open)
        uv_close((uv_handle_t *)&w->timer, NULL);
    w->timer_open = false;
}

void get_swarm_free(get_swarm *w)
{
    if (!w)
        return;
    kith_share_serve_free(w->serve);
    free(w);
}

uint64_t get_swarm_given(const get_swarm *w, size_t *receivers)
{
    *receivers = 0;
    if (!w)
        return 0;
    for (kith_share_session *s = NULL; (s = kith_share_serve_next(w->serve, s)) != NULL;)
        ++*receivers;
    return kith_share_serve_sent(w->serve);
}

json_t *get_swarm_from(const kith_share_fetch *f)
{
    json_t *list = json_array();
    kith_share_gave g;
    for (size_t i = 0; f && kith_share_fetch_gave(f, i, &g); i++)
        json_array_append_new(list, json_pack("{s:o, s:I, s:b}", "peer", kith_json_peer(&g.peer), "bytes",
                                              (json_int_t)g.bytes, "member", (int)g.member));
    return list;
}

uint64_t get_swarm_got(const kith_share_fetch *f, size_t *members)
{
    kith_share_gave g;
    uint64_t n = 0;
    *members = 0;
    for (size_t i = 0; f && kith_share_fetch_gave(f, i, &g); i++) {
        *members += g.member;
        n += g.member ? g.bytes : 0;
    }
    return n;
}
