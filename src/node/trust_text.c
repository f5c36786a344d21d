/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lines of words: "peer", an id, then pairs of a word and its value; what is at its default is left out. */
#include "node/trust_text.h"

typedef enum word {
    W_PEER,
    W_KEY,
    W_FORMER,
    W_SIG,
    W_NAME,
    W_HOW,
    W_KEY_HOW,
    W_POLICY,
    W_SEQUENCE,
    W_FIRST,
    W_LAST,
    W_LEVEL,
    W_BLOCKED,
    W_REACHED,
    WORDS
} word;
static const char *const words[WORDS] = {"peer", "key",     "former",  "sig",      "name",
                                         "how",  "key-how", "policy",  "sequence", "first",
                                         "last", "level",   "blocked", "reached"};

static void put_word(kith_wr *w, word at)
{
    if (at != W_PEER)
        kith_put_str(w, " ");
    kith_put_str(w, words[at]);
    kith_put_str(w, " ");
}

static void put_text(kith_wr *w, word at, const char *text)
{
    put_word(w, at);
    kith_put_str(w, text);
}

static void put_number(kith_wr *w, word at, uint64_t n)
{
    if (!n)
        return;
    put_word(w, at);
    kith_put_dec(w, n);
}

static void put_key(kith_wr *w, word at, const kith_pq_id *id)
{
    char text[KITH_PQ_ID_TEXT_LEN + 1];
    if (!id->len)
        return;
    kith_pq_id_text(id, text);
    put_text(w, at, text);
}

kith_err kith_trust_put_line(kith_wr *w, const kith_trust_row *r)
{
    char peer[KITH_PEER_ID_TEXT_MAX + 1];
    kith_peer_id_text(&r->peer, peer);
    put_text(w, W_PEER, peer);
    if (r->name[0])
        put_text(w, W_NAME, r->name);
    put_key(w, W_KEY, &r->pq);
    put_key(w, W_FORMER, &r->former);
    if (r->sig)
        put_text(w, W_SIG, kith_sig_info_of(r->sig)->name);
    if (r->how)
        put_text(w, W_HOW, kith_trust_how_name(r->how));
    if (r->pq_how)
        put_text(w, W_KEY_HOW, kith_trust_how_name(r->pq_how));
    if (r->policy)
        put_text(w, W_POLICY, kith_trust_policy_name(r->policy));
    put_number(w, W_SEQUENCE, r->sequence);
    put_number(w, W_FIRST, r->first);
    put_number(w, W_LAST, r->last);
    put_number(w, W_LEVEL, r->level);
    put_number(w, W_BLOCKED, r->blocked);
    put_number(w, W_REACHED, r->reached);
    kith_put_str(w, "\n");
    return w->bad ? KITH_ESPACE : KITH_OK;
}

/* ---- reading ---- */

static kith_bytes take_line(kith_bytes *in)
{
    const uint8_t *nl = in->len ? memchr(in->p, '\n', in->len) : NULL;
    kith_bytes line = kith_bytes_of(in->p, nl ? (size_t)(nl - in->p) : in->len);
    *in = kith_bytes_skip(*in, nl ? line.len + 1 : line.len);
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

kith_err kith_trust_get_head(kith_bytes *in, const char **why)
{
    kith_bytes line = take_line(in);
    if (kith_bytes_eq(line, kith_bytes_of(KITH_TRUST_TEXT_HEAD, sizeof KITH_TRUST_TEXT_HEAD - 2)))
        return KITH_OK;
    *why = line.len > 11 && memcmp(line.p, KITH_TRUST_TEXT_HEAD, 11) == 0
               ? "a newer kith wrote it"
               : "it does not begin with \"kith trust 1\"";
    return KITH_EFORMAT;
}

/* The next word of a line; empty at its end. */
static kith_bytes take_word(kith_bytes *line)
{
    while (line->len && (line->p[0] == ' ' || line->p[0] == '\t'))
        *line = kith_bytes_skip(*line, 1);
    size_t n = 0;
    while (n < line->len && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    kith_bytes w = kith_bytes_of(line->p, n);
    *line = kith_bytes_skip(*line, n);
    return w;
}

static bool number(kith_bytes text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 19)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *out = v;
    return v <= max;
}

static bool take_value(kith_trust_row *r, word at, kith_bytes v)
{
    uint64_t n = 0;
    bool ok = true;
    switch (at) {
    case W_PEER:
        return kith_peer_id_from_text(v, &r->peer) == KITH_OK;
    case W_KEY:
        return kith_pq_id_from_text(v, &r->pq) == KITH_OK;
    case W_FORMER:
        return kith_pq_id_from_text(v, &r->former) == KITH_OK;
    case W_SIG:
        r->sig = kith_sig_named(v); /* none, when it is one that this kith does not have */
        return v.len < 32;
    case W_NAME:
        if (kith_trust_name_wrong(v))
            return false;
        memcpy(r->name, v.p, v.len);
        return true;
    case W_HOW:
        return kith_trust_how_named(v, &r->how);
    case W_KEY_HOW:
        return kith_trust_how_named(v, &r->pq_how);
    case W_POLICY:
        return kith_trust_policy_named(v, &r->policy);
    case W_SEQUENCE:
        return number(v, INT64_MAX, &r->sequence);
    case W_FIRST:
        return number(v, INT64_MAX, &r->first);
    case W_LAST:
        return number(v, INT64_MAX, &r->last);
    case W_LEVEL:
        ok = number(v, 5, &n);
        r->level = (uint8_t)n;
        return ok;
    case W_BLOCKED:
        ok = number(v, 1, &n);
        r->blocked = n;
        return ok;
    case W_REACHED:
        ok = number(v, 1, &n);
        r->reached = n;
        return ok;
    case WORDS:
        break;
    }
    return false;
}

static const char *parse_line(kith_bytes line, kith_trust_row *r)
{
    uint32_t seen = 0;
    for (kith_bytes name; (name = take_word(&line)).len > 0;) {
        kith_bytes value = take_word(&line);
        int at = 0;
        while (at < WORDS && !kith_bytes_eq_str(name, words[at]))
            at++;
        if (at == WORDS)
            return "a word in it means nothing";
        if (seen & 1u << at)
            return "a word stands in it twice";
        if (!seen && at != W_PEER)
            return "it does not begin with \"peer\"";
        seen |= 1u << at;
        if (!take_value(r, (word)at, value))
            return "a value in it is none";
    }
    if (!r->pq.len && (r->sig || r->pq_how || r->sequence || r->former.len))
        return "it tells of a key and names none";
    return NULL;
}

kith_err kith_trust_get_line(kith_bytes *in, kith_trust_row *r, const char **why)
{
    while (in->len > 0) {
        kith_bytes line = take_line(in);
        if (line.len == 0 || line.p[0] == '#')
            continue;
        kith_trust_row row = {0};
        *why = line.len >= KITH_TRUST_LINE_MAX ? "it is too long" : parse_line(line, &row);
        if (!*why && !row.peer.len) /* of blanks */
            *why = "it is empty";
        if (*why)
            return KITH_EFORMAT;
        *r = row;
        return KITH_OK;
    }
    return KITH_ENOTFOUND;
}
