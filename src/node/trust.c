/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rules of trust. */
#include "node/trust.h"

#include "base/text.h"
#include "wire/successor.h"

static const char *const how_names[] = {[KITH_TRUST_FIRST_SEEN] = "first-seen",
                                        [KITH_TRUST_PINNED] = "pinned",
                                        [KITH_TRUST_VERIFIED] = "verified"};
static const char *const policy_names[] = {[KITH_TRUST_INHERIT] = "inherit",
                                           [KITH_TRUST_PREFER] = "prefer",
                                           [KITH_TRUST_REQUIRE] = "require",
                                           [KITH_TRUST_OFF] = "off"};

const char *kith_trust_how_name(kith_trust_how h)
{
    return how_names[h];
}

const char *kith_trust_policy_name(kith_trust_policy p)
{
    return policy_names[p];
}

static bool named(kith_bytes name, const char *const *names, size_t count, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (kith_bytes_eq_str(name, names[i])) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool kith_trust_how_named(kith_bytes name, kith_trust_how *out)
{
    unsigned i;
    if (!named(name, how_names, sizeof how_names / sizeof *how_names, &i))
        return false;
    *out = (kith_trust_how)i;
    return true;
}

bool kith_trust_policy_named(kith_bytes name, kith_trust_policy *out)
{
    unsigned i;
    if (!named(name, policy_names, sizeof policy_names / sizeof *policy_names, &i))
        return false;
    *out = (kith_trust_policy)i;
    return true;
}

bool kith_trust_kept(const kith_trust_row *r)
{
    return r->how != KITH_TRUST_FIRST_SEEN || r->pq_how != KITH_TRUST_FIRST_SEEN || r->name[0] ||
           r->blocked || r->policy != KITH_TRUST_INHERIT;
}

/* ---- petnames ---- */

static bool is_space(uint32_t cp)
{
    return cp == ' ' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200d) || cp == 0x202f ||
           cp == 0x205f || cp == 0x2060 || cp == 0x3000 || cp == 0xfeff;
}

const char *kith_trust_name_wrong(kith_bytes name)
{
    kith_peer_id id;
    if (name.len == 0)
        return "it is empty";
    if (name.len > KITH_TRUST_NAME_MAX)
        return "it is longer than 63 bytes";
    if (name.p[0] == '-' || name.p[0] == '@')
        return "it begins with - or @";
    if (kith_peer_id_from_text(name, &id) == KITH_OK)
        return "it is a peer id";
    for (kith_bytes in = name; in.len > 0;) {
        uint32_t cp;
        size_t n = kith_utf8_next(in, &cp);
        if (n == 0 || !kith_text_printable(cp) || is_space(cp) || cp == '/')
            return "it has a space, a / or something that cannot be shown in it";
        in = kith_bytes_skip(in, n);
    }
    return NULL;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool kith_trust_name_eq(kith_bytes a, kith_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

/* ---- sentences ---- */

static void put_id(kith_wr *w, const kith_peer_id *id)
{
    char text[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id_text(id, text);
    kith_put_str(w, text);
}

static void put_pq(kith_wr *w, const kith_pq_id *id)
{
    char text[KITH_PQ_ID_TEXT_LEN + 1];
    kith_pq_id_text(id, text);
    kith_put_str(w, text);
}

/* What a person calls it: the petname, else the id. */
static void put_peer(kith_wr *w, const kith_trust_row *r)
{
    if (r->name[0])
        kith_put_str(w, r->name);
    else
        put_id(w, &r->peer);
}

static kith_wr begin(const kith_trust_row *r, char why[KITH_REASON_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(why, KITH_REASON_MAX - 1));
    put_peer(&w, r);
    return w;
}

static kith_err end(kith_wr *w, kith_err e)
{
    w->out.p[w->len] = '\0';
    return e;
}

/* "...; 'kith trust VERB PEER REST' accepts that" */
static kith_err way_out(kith_wr *w, const kith_trust_row *r, const char *when, const char *verb,
                        const char *rest, const kith_pq_id *key, kith_err e)
{
    kith_put_str(w, when);
    kith_put_str(w, "'kith trust ");
    kith_put_str(w, verb);
    kith_put_str(w, " ");
    put_peer(w, r);
    kith_put_str(w, rest);
    if (key)
        put_pq(w, key);
    kith_put_str(w, "'");
    return end(w, e);
}

static const char if_expected[] = ". If you know why, accept it with ";

/* ---- the decision ---- */

kith_trust_row kith_trust_begin(const kith_peer_id *peer)
{
    return (kith_trust_row){.peer = *peer};
}

static kith_trust_policy in_force(const kith_trust_row *r, kith_pq_policy global)
{
    if (r->policy != KITH_TRUST_INHERIT)
        return r->policy;
    switch (global) {
    case KITH_PQ_PREFER:
        return KITH_TRUST_PREFER;
    case KITH_PQ_REQUIRE:
        return KITH_TRUST_REQUIRE;
    case KITH_PQ_OFF:
        return KITH_TRUST_OFF;
    }
    return KITH_TRUST_REQUIRE;
}

static void put_struck(kith_wr *w, const kith_contact *c)
{
    kith_put_str(w, c->suite->id);
    kith_put_str(w, ": somebody on the way may have struck the better ones from the offer");
}

static kith_err check_channel(const kith_trust_row *r, const kith_contact *c, kith_trust_policy policy,
                              char why[KITH_REASON_MAX])
{
    if (c->suite->kem != KITH_KEM_NONE || policy == KITH_TRUST_OFF)
        return KITH_OK;
    kith_wr w = begin(r, why);
    if (policy == KITH_TRUST_REQUIRE) {
        kith_put_str(&w, " came over a channel that is not post-quantum (");
        kith_put_str(&w, c->suite->id);
        kith_put_str(&w, "), and pq = require");
        return way_out(&w, r, "; for this peer alone: ", "policy", " prefer", NULL, KITH_EPOLICY);
    }
    if (r->level == 0)
        return KITH_OK;
    kith_put_str(&w, " was met over a post-quantum channel before, and now there is only ");
    put_struck(&w, c);
    return way_out(&w, r, if_expected, "accept", " --classical", NULL, KITH_EPOLICY);
}

static kith_err refuse_key(const kith_trust_row *r, const kith_contact *c, const char *what,
                           char why[KITH_REASON_MAX])
{
    kith_wr w = begin(r, why);
    kith_put_str(&w, what);
    put_pq(&w, &r->pq);
    kith_put_str(&w, ", ");
    kith_put_str(&w, how_names[r->pq_how]);
    if (c->pq.len) {
        kith_put_str(&w, "; it came with ");
        put_pq(&w, &c->pq);
    }
    if (c->suite && c->suite->kem == KITH_KEM_NONE) { /* which proves none; who takes that gives up both */
        kith_put_str(&w, "; there is only ");
        put_struck(&w, c);
        return way_out(&w, r, if_expected, "accept", " --classical", NULL, KITH_EAUTH);
    }
    return way_out(&w, r, if_expected, "accept", c->pq.len ? " --key " : " --key none",
                   c->pq.len ? &c->pq : NULL, KITH_EAUTH);
}

static kith_err check_key(const kith_trust_row *r, const kith_contact *c, kith_trust_policy policy,
                          kith_trust_row *record, char why[KITH_REASON_MAX])
{
    bool known = r->pq.len > 0, shown = c->pq.len > 0;
    if (known && !shown) {
        bool pinned = r->pq_how != KITH_TRUST_FIRST_SEEN;
        if (policy == KITH_TRUST_OFF && (!pinned || r->policy == KITH_TRUST_OFF))
            return KITH_OK;
        if (policy == KITH_TRUST_OFF) {
            kith_wr w = begin(r, why);
            kith_put_str(&w, "'s post-quantum key is ");
            kith_put_str(&w, how_names[r->pq_how]);
            return way_out(&w, r, ", and pq = off does not lift that; for this peer alone: ", "policy",
                           " off", NULL, KITH_EPOLICY);
        }
        return refuse_key(r, c, " no longer proves its post-quantum key: known is ", why);
    }
    if (!shown)
        return KITH_OK;
    if (known && !kith_pq_id_eq(&r->pq, &c->pq)) {
        if (kith_pq_id_eq(&r->former, &c->pq))
            return refuse_key(
                r, c, " came with an old post-quantum key, which it had replaced itself: known is ", why);
        kith_pq_id id = r->pq;
        uint64_t seq = r->sequence;
        kith_err e = kith_successor_follow(c->successors, c->successor_count, &r->peer, &id, &seq);
        if (e == KITH_EPROTO)
            return refuse_key(r, c, " came with an older post-quantum key than is known: known is ", why);
        if (e || !kith_pq_id_eq(&id, &c->pq))
            return refuse_key(r, c, "'s post-quantum key has CHANGED: known is ", why);
        record->former = r->pq;
        record->sequence = seq;
    }
    record->pq = c->pq;
    record->sig = c->sig;
    if (!known)
        record->pq_how = KITH_TRUST_FIRST_SEEN;
    return KITH_OK;
}

kith_err kith_trust_decide(const kith_trust_row *known, const kith_contact *c, kith_pq_policy policy,
                           uint64_t unix, kith_trust_row *record, char why[KITH_REASON_MAX])
{
    kith_trust_row r = known ? *known : kith_trust_begin(&c->peer), next = r;
    if (r.blocked) {
        kith_wr w = begin(&r, why);
        return way_out(&w, &r, " is blocked; undo that with ", "unblock", "", NULL, KITH_EPOLICY);
    }
    kith_trust_policy p = in_force(&r, policy);
    kith_err e = check_key(&r, c, p, &next, why);
    if (!e)
        e = check_channel(&r, c, p, why);
    if (e)
        return e;
    if (!next.first)
        next.first = unix;
    if (unix > next.last)
        next.last = unix;
    if (c->suite->level > next.level)
        next.level = c->suite->level;
    next.reached = r.reached || !c->inbound;
    *record = next;
    return KITH_OK;
}

/* ---- changes by people ---- */

static void take_key(kith_trust_row *r, const kith_trust_edit *e, kith_trust_how how)
{
    bool same = kith_pq_id_eq(&r->pq, &e->pq);
    r->pq_how = !e->pq.len ? KITH_TRUST_FIRST_SEEN : same && r->pq_how > how ? r->pq_how : how;
    if (!same || e->sig != KITH_SIG_NONE)
        r->sig = e->sig;
    if (!same) { /* another line of keys begins */
        r->former = (kith_pq_id){0};
        r->sequence = 0;
    }
    r->pq = e->pq;
}

static kith_err pin(const kith_trust_edit *e, kith_trust_row *r, char why[KITH_REASON_MAX])
{
    if (r->blocked) {
        kith_wr w = begin(r, why);
        return way_out(&w, r, " is blocked; first ", "unblock", "", NULL, KITH_EPOLICY);
    }
    if (e->pq.len && r->pq.len && !kith_pq_id_eq(&r->pq, &e->pq)) {
        kith_contact c = {.pq = e->pq};
        return refuse_key(r, &c, " is known with another post-quantum key: known is ", why);
    }
    if (e->pq.len)
        take_key(r, e, KITH_TRUST_PINNED);
    if (r->how < KITH_TRUST_PINNED)
        r->how = KITH_TRUST_PINNED;
    if (e->name[0])
        memcpy(r->name, e->name, sizeof r->name);
    return KITH_OK;
}

kith_err kith_trust_apply(const kith_trust_edit *e, bool known, kith_trust_row *r, char why[KITH_REASON_MAX])
{
    switch (e->act) {
    case KITH_TRUST_PIN:
        return pin(e, r, why);
    case KITH_TRUST_VERIFY:
        if (e->pq.len)
            take_key(r, e, KITH_TRUST_VERIFIED);
        r->how = KITH_TRUST_VERIFIED;
        return KITH_OK;
    case KITH_TRUST_BLOCK:
        r->blocked = true;
        return KITH_OK;
    case KITH_TRUST_SET_POLICY:
        r->policy = e->policy;
        return KITH_OK;
    case KITH_TRUST_PUT:
        *r = e->row;
        return KITH_OK;
    case KITH_TRUST_RENAME:
        memcpy(r->name, e->name, sizeof r->name);
        if (known || e->name[0])
            return KITH_OK;
        break;
    case KITH_TRUST_KEY:
        take_key(r, e, KITH_TRUST_PINNED);
        return KITH_OK;
    case KITH_TRUST_UNBLOCK:
    case KITH_TRUST_CLASSICAL:
    case KITH_TRUST_FORGET:
        break;
    }
    if (!known) {
        kith_wr w = begin(r, why);
        kith_put_str(&w, " is not known");
        return end(&w, KITH_ENOTFOUND);
    }
    if (e->act == KITH_TRUST_UNBLOCK) {
        r->blocked = false;
    } else if (e->act == KITH_TRUST_CLASSICAL) {
        kith_trust_edit none = {0};
        r->level = 0;
        take_key(r, &none, KITH_TRUST_FIRST_SEEN);
    }
    return KITH_OK;
}
