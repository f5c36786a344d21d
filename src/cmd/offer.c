/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Drawing a code, and publishing it. */
#include "cmd/offer.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "host/code_publish.h"

struct offer {
    session *s;
    kith_code code;
    kith_err (*admit)(void *ctx, const kith_code_keys *keys);
    void *ctx;
    kith_code_work *work; /* NULL: done */
    kith_code_publish *publish;
    bool told, failed; /* it was said once */
};

static void on_told(void *ctx, unsigned reached, const char *why)
{
    offer *o = ctx;
    if (o->s->json)
        return;
    if (reached > 0 && !o->told)
        fprintf(stderr, "the code can be found by the DHT: %u server%s know%s of it\n", reached,
                reached == 1 ? "" : "s", reached == 1 ? "s" : "");
    else if (reached == 0 && !o->told && !o->failed)
        fprintf(stderr, "the DHT does not know of the code yet: %s; trying again\n", why);
    o->told |= reached > 0;
    o->failed |= reached == 0;
}

/* The whole is waited for: whoever found us before could not be let in. */
static void on_keys(void *ctx, kith_err e, const kith_code_keys *keys, bool whole)
{
    offer *o = ctx;
    if (!e && !whole)
        return;
    o->work = NULL;
    kith_code_publish_config cfg = {
        .host = o->s->host, .lan = o->s->lan, .dht = o->s->dht, .told = on_told, .ctx = o};
    if (!e)
        e = o->admit(o->ctx, keys);
    if (!e) {
        memcpy(cfg.place, keys->place, sizeof cfg.place);
        o->publish = kith_code_publish_new(&cfg);
        kith_wipe(&cfg, sizeof cfg);
    }
    if (e || !o->publish)
        cmd_warn("the code cannot be used: %s", kith_err_text(e ? e : KITH_ENOMEM));
    else if (!o->s->lan && !o->s->dht)
        cmd_warn(
            "mdns and dht are off: only who remembers where this node listens can find it by the code; give others the ticket (--ticket)");
}

offer *offer_new(session *s, kith_err (*admit)(void *ctx, const kith_code_keys *keys), void *ctx)
{
    offer *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    *o = (offer){.s = s, .admit = admit, .ctx = ctx};
    kith_code_draw(kith_host_env(), &o->code);
    o->work = kith_code_work_new(kith_host_loop(s->host), &o->code, on_keys, o);
    if (!o->work) {
        free(o);
        return NULL;
    }
    return o;
}

const kith_code *offer_code(const offer *o)
{
    return &o->code;
}

void offer_end(offer *o)
{
    if (!o)
        return;
    kith_code_work_cancel(o->work);
    kith_code_publish_end(o->publish);
    kith_wipe(o, sizeof *o);
    free(o);
}
