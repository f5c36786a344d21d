/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Words for the codes of a GoAway. */
#include "node/goaway.h"

#include <assert.h>

#include "proto/yamux.h"

kith_err kith_goaway_err(uint32_t code, const char **why)
{
    switch (code) {
    case KITH_YAMUX_PROTOCOL_ERROR:
    case KITH_YAMUX_CONN_VIOLATION:
        *why = "the peer says that this node broke the protocol";
        return KITH_ERESET;
    case KITH_YAMUX_INTERNAL_ERROR:
        *why = "the peer has trouble of its own, perhaps no memory";
        return KITH_ERESET;
    case KITH_YAMUX_CONN_NEGOTIATION:
        *why = "the peer says that no protocol could be agreed on";
        return KITH_EUNSUPPORTED;
    case KITH_YAMUX_CONN_LIMIT:
        *why =
            "the peer refuses this connection: one of its limits is reached; try again later, or raise its limits.conns_per_peer "
            "or limits.memory if it is a kith node of yours";
        return KITH_EREFUSED;
    case KITH_YAMUX_CONN_RATE:
        *why = "the peer refuses this connection: there were too many of late; try again in a minute";
        return KITH_EREFUSED;
    case KITH_YAMUX_CONN_GATED:
        *why = "the peer refuses this node";
        return KITH_EREFUSED;
    case KITH_YAMUX_CONN_SUPPLANTED:
        *why = "the peer has a better connection to this node";
        return KITH_ECLOSED;
    case KITH_YAMUX_CONN_GARBAGE:
        *why = "the peer closed what was idle";
        return KITH_ECLOSED;
    case KITH_YAMUX_CONN_SHUTDOWN:
        *why = "the peer is stopping";
        return KITH_ECLOSED;
    default: /* a number from the network: others have more of them */
        *why = "the peer ended the connection for a reason that only it knows";
        return KITH_ERESET;
    }
}

static void put_command(kith_wr *w, const char *verb, const char *self, const char *rest)
{
    kith_put_str(w, "'kith trust ");
    kith_put_str(w, verb);
    kith_put_str(w, " ");
    kith_put_str(w, self);
    kith_put_str(w, rest);
    kith_put_str(w, "'");
}

void kith_goaway_gated(const kith_goaway_self *self, char out[KITH_REASON_MAX])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_REASON_MAX - 1));
    char me[KITH_PEER_ID_TEXT_MAX + 1], key[8 + KITH_PQ_ID_TEXT_LEN + 1] = " --key ";
    kith_peer_id_text(&self->peer, me);
    if (self->pq.len)
        kith_pq_id_text(&self->pq, key + strlen(key));
    else
        memcpy(key + strlen(key), "none", sizeof "none");
    kith_put_str(&w, "the peer refuses this node: it is blocked there, or ");
    if (self->classical)
        kith_put_str(&w, "has to come over a post-quantum channel, which this is not");
    else if (self->pq.len)
        kith_put_str(&w, "known by another post-quantum key");
    else
        kith_put_str(&w, "known by a post-quantum key, which it did not show");
    kith_put_str(&w, self->kith ? ". Its 'kith up' or its log says which; there, "
                                : ". If it is a kith node, its 'kith up' or its log says which; there, ");
    put_command(&w, "unblock", me, "");
    if (self->classical) {
        kith_put_str(&w, ", ");
        put_command(&w, "policy", me, " prefer");
    }
    kith_put_str(&w, " or ");
    put_command(&w, "accept", me, self->classical ? " --classical" : key);
    kith_put_str(&w, " lets it in");
    assert(!w.bad);
    out[w.len] = '\0';
}
