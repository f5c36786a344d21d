/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of metrics, and what each row reads. */
#include <uv.h>

#include "host/json.h"
#include "host/metrics_impl.h"

typedef kith_metrics_view view;

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* One more of the series with one label. */
static void put(json_t *list, const char *label, const char *text, uint64_t n)
{
    json_array_append_new(list, json_pack("{s:s, s:o}", label, text, "value", number(n)));
}

/* Of errors those that have happened. */
static json_t *by_reason(const uint64_t count[KITH_METRICS_ERRORS])
{
    json_t *list = json_array();
    for (kith_err e = KITH_OK + 1; e < KITH_METRICS_ERRORS; e++) {
        if (count[e])
            put(list, "reason", kith_err_name(e), count[e]);
    }
    return list;
}

static json_t *by_direction(const uint64_t count[2])
{
    json_t *list = json_array();
    put(list, "direction", "inbound", count[0]);
    put(list, "direction", "outbound", count[1]);
    return list;
}

/* ---- the program ---- */

static json_t *build(const view *v)
{
    return json_pack("{s:s}", "version", v->from->version);
}

static json_t *uptime(const view *v)
{
    return json_real((double)(kith_host_now(v->from->host) - v->from->started) / 1e9);
}

static json_t *cpu(const view *v)
{
    (void)v;
    uv_rusage_t u;
    if (uv_getrusage(&u))
        return NULL;
    return json_real((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                     (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

static json_t *memory(const view *v)
{
    (void)v;
    size_t rss;
    return uv_resident_set_memory(&rss) ? NULL : number(rss);
}

/* ---- peers and connections ---- */

static json_t *peers(const view *v)
{
    return number(v->peers);
}

static json_t *pq_peers(const view *v)
{
    return number(v->pq_peers);
}

static json_t *known_peers(const view *v)
{
    return v->from->trust ? number(kith_trust_count(v->from->trust)) : NULL;
}

static json_t *lan_peers(const view *v)
{
    if (!v->from->lan)
        return NULL;
    size_t n = 0;
    for (const kith_peer_id *p = NULL; (p = kith_lan_next(v->from->lan, p, NULL));)
        n++;
    return number(n);
}

static json_t *conns(const view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < KITH_METRICS_CHANNELS && v->channels[i].suite; i++) {
        for (unsigned out = 0; out < 2; out++)
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:o}", "direction", out ? "outbound" : "inbound", "channel",
                                v->channels[i].suite->id, "value", number(v->channels[i].conns[out])));
    }
    return list;
}

static json_t *pq_conns(const view *v)
{
    return number(v->pq_conns);
}

static json_t *qkd_conns(const view *v)
{
    json_t *list = json_array();
    for (kith_qkd_state s = KITH_QKD_STATE_OFF; s <= KITH_QKD_STATE_FAILED; s++)
        put(list, "state", kith_qkd_word(s), v->qkd[s]);
    return list;
}

static json_t *handshakes_pending(const view *v)
{
    return number(v->usage.handshakes);
}

static json_t *dials_pending(const view *v)
{
    return number(v->usage.dials);
}

static json_t *streams(const view *v)
{
    return number(v->usage.streams);
}

static json_t *opened(const view *v)
{
    return by_direction(v->past.opened);
}

static json_t *closed(const view *v)
{
    return number(v->past.closed);
}

static json_t *refused(const view *v)
{
    return by_reason(v->past.refused);
}

static json_t *dials_failed(const view *v)
{
    return by_reason(v->past.failed);
}

static json_t *resumed(const view *v)
{
    return number(v->past.resumed);
}

static json_t *rekeys(const view *v)
{
    return number(v->past.rekeys);
}

static json_t *bytes_in(const view *v)
{
    return number(v->past.bytes_in);
}

static json_t *bytes_out(const view *v)
{
    return number(v->past.bytes_out);
}

static json_t *handshake_times(const view *v)
{
    return kith_metrics_histogram(&v->past.handshakes);
}

static json_t *rtts(const view *v)
{
    return kith_metrics_histogram(&v->rtt);
}

/* ---- messages ---- */

/* By the types that docs/protocols/message.md names; an application's own are one more together. */
static json_t *by_type(const view *v, const uint64_t count[KITH_MESSAGE_KINDS])
{
    if (!v->from->messages)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < KITH_MESSAGE_KINDS; i++)
        put(list, "type", i < KITH_MESSAGE_KINDS - 1 ? kith_message_types[i] : "other", count[i]);
    return list;
}

static json_t *messages_in(const view *v)
{
    return by_type(v, v->messages.received);
}

static json_t *messages_out(const view *v)
{
    return by_type(v, v->messages.delivered);
}

static json_t *messages_failed(const view *v)
{
    if (!v->from->messages)
        return NULL;
    json_t *list = json_array();
    put(list, "outcome", "refused", v->messages.refused);
    put(list, "outcome", "expired", v->messages.expired);
    return list;
}

static json_t *messages_turned_away(const view *v)
{
    if (!v->from->messages)
        return NULL;
    json_t *list = json_array();
    for (kith_message_code c = KITH_MESSAGE_HAD; c <= KITH_MESSAGE_AHEAD; c++)
        put(list, "answer", kith_message_code_name(c), v->messages.answered[c]);
    return list;
}

static json_t *message_times(const view *v)
{
    return v->from->messages ? kith_metrics_histogram(&v->messages.delivery) : NULL;
}

static json_t *outbox_messages(const view *v)
{
    return v->from->messages ? number(v->messages.waiting) : NULL;
}

static json_t *outbox_bytes(const view *v)
{
    return v->from->messages ? number(v->messages.waiting_bytes) : NULL;
}

static json_t *message_listeners(const view *v)
{
    return v->from->messages ? number(v->messages.listeners) : NULL;
}

/* ---- gossip ---- */

static json_t *gossip_peers(const view *v)
{
    return v->router ? number(v->gossip.peers) : NULL;
}

static json_t *gossip_topics(const view *v)
{
    return v->router ? number(v->gossip.joined) : NULL;
}

static json_t *by_topic(const view *v, bool mesh)
{
    if (!v->router)
        return NULL;
    json_t *list = json_array();
    size_t n = 0;
    for (const char *t = NULL; n < KITH_METRICS_TOPICS && (t = kith_topics_next(v->from->topics, t)); n++)
        put(list, "topic", t, kith_gossip_peers_of(v->router, kith_bytes_str(t), mesh, NULL, 0));
    return list;
}

static json_t *gossip_topic_peers(const view *v)
{
    return by_topic(v, false);
}

static json_t *gossip_mesh_peers(const view *v)
{
    return by_topic(v, true);
}

static json_t *gossip_messages(const view *v)
{
    const kith_gossip_counts *c = &v->gossip;
    if (!v->router)
        return NULL;
    json_t *list = json_array();
    put(list, "what", "published", c->published);
    put(list, "what", "delivered", c->delivered);
    put(list, "what", "forwarded", c->forwarded);
    put(list, "what", "duplicate", c->duplicates);
    put(list, "what", "invalid", c->invalid);
    put(list, "what", "replayed", c->replayed);
    put(list, "what", "throttled", c->throttled);
    put(list, "what", "unsubscribed", c->unsubscribed);
    put(list, "what", "dropped", c->dropped);
    put(list, "what", "unwanted", c->unwanted);
    return list;
}

static json_t *gossip_control(const view *v)
{
    const kith_gossip_counts *c = &v->gossip;
    if (!v->router)
        return NULL;
    json_t *list = json_array();
    put(list, "kind", "graft", c->grafts);
    put(list, "kind", "prune", c->prunes);
    put(list, "kind", "ihave", c->ihave);
    put(list, "kind", "iwant", c->iwant);
    put(list, "kind", "idontwant", c->idontwant);
    return list;
}

static json_t *gossip_faults(const view *v)
{
    const kith_gossip_counts *c = &v->gossip;
    if (!v->router)
        return NULL;
    json_t *list = json_array();
    put(list, "what", "beyond-a-cap", c->refused);
    put(list, "what", "broken-promise", c->broken);
    put(list, "what", "graylisted", c->graylisted);
    return list;
}

static json_t *gossip_bytes(const view *v)
{
    return v->router ? number(v->gossip.bytes) : NULL;
}

static json_t *topic_messages(const view *v)
{
    if (!v->from->topics)
        return NULL;
    json_t *list = json_array();
    for (kith_topic_fate f = KITH_TOPIC_TAKEN; f < KITH_TOPIC_FATES; f++)
        put(list, "what", kith_topic_fate_name(f), kith_topics_count(v->from->topics, f));
    return list;
}

/* ---- the DHT ---- */

static json_t *of_dht(const view *v, uint64_t n)
{
    return v->dht ? number(n) : NULL;
}

static json_t *dht_peers(const view *v)
{
    return of_dht(v, v->kad.peers);
}

static json_t *dht_server(const view *v)
{
    return of_dht(v, v->dht_server);
}

static json_t *dht_lookups(const view *v)
{
    return of_dht(v, v->kad.ops);
}

static json_t *dht_provided(const view *v)
{
    return of_dht(v, v->kad.provides);
}

static json_t *dht_requests(const view *v)
{
    if (!v->dht)
        return NULL;
    json_t *list = json_array();
    put(list, "outcome", "answered", v->kad.asked - v->kad.failed);
    put(list, "outcome", "failed", v->kad.failed);
    return list;
}

static json_t *dht_served(const view *v)
{
    if (!v->dht)
        return NULL;
    json_t *list = json_array();
    put(list, "outcome", "answered", v->kad.served);
    put(list, "outcome", "refused", v->kad.refused);
    return list;
}

static json_t *dht_records(const view *v)
{
    if (!v->dht)
        return NULL;
    json_t *list = json_array();
    put(list, "kind", "value", v->kad.store.values);
    put(list, "kind", "provider", v->kad.store.providers);
    return list;
}

static json_t *dht_bytes(const view *v)
{
    return of_dht(v, v->kad.store.values_bytes);
}

static json_t *rendezvous_points(const view *v)
{
    const kith_rendezvous *r = v->from->rendezvous;
    return kith_rendezvous_has_points(r) ? number(kith_rendezvous_look(r).registered) : NULL;
}

static json_t *rendezvous_peers(const view *v)
{
    const kith_rendezvous *r = v->from->rendezvous;
    return kith_rendezvous_has_points(r) ? number(kith_rendezvous_look(r).found) : NULL;
}

static json_t *rendezvous_registrations(const view *v)
{
    const kith_rendezvous *r = v->from->rendezvous;
    kith_rendezvous_facts f = r ? kith_rendezvous_look(r) : (kith_rendezvous_facts){0};
    return f.server ? number(f.registrations) : NULL;
}

/* clang-format off */
const kith_metric kith_metric_table[] = {
    {"kith_build_info", KITH_METRIC_INFO, "", "The program's version.", build},
    {"kith_uptime_seconds", KITH_METRIC_GAUGE, "seconds", "Since the node started.", uptime},
    {"kith_cpu_seconds_total", KITH_METRIC_COUNTER, "seconds", "CPU time of all threads.", cpu},
    {"kith_resident_memory_bytes", KITH_METRIC_GAUGE, "bytes", "Memory that the process holds.", memory},

    {"kith_peers", KITH_METRIC_GAUGE, "", "Peers that are connected.", peers},
    {"kith_pq_peers", KITH_METRIC_GAUGE, "", "Connected peers whose connection's keys are post-quantum.", pq_peers},
    {"kith_known_peers", KITH_METRIC_GAUGE, "", "Peers in the store of known peers.", known_peers},
    {"kith_lan_peers", KITH_METRIC_GAUGE, "", "Peers that were found on the local network and are still there.", lan_peers},
    {"kith_connections", KITH_METRIC_GAUGE, "", "Open connections by direction and secure channel.", conns},
    {"kith_pq_connections", KITH_METRIC_GAUGE, "", "Open connections whose keys come from ML-KEM and X25519 together.", pq_conns},
    {"kith_qkd_connections", KITH_METRIC_GAUGE, "", "Open connections by what became of quantum key distribution.", qkd_conns},
    {"kith_pending_handshakes", KITH_METRIC_GAUGE, "", "Inbound connections that are not authenticated yet.", handshakes_pending},
    {"kith_pending_dials", KITH_METRIC_GAUGE, "", "Outbound sockets that are not connected yet.", dials_pending},
    {"kith_streams", KITH_METRIC_GAUGE, "", "Open streams of all connections.", streams},
    {"kith_opened_connections_total", KITH_METRIC_COUNTER, "", "Connections that were opened.", opened},
    {"kith_closed_connections_total", KITH_METRIC_COUNTER, "", "Connections that were opened and are over.", closed},
    {"kith_refused_connections_total", KITH_METRIC_COUNTER, "", "Inbound connections that never opened.", refused},
    {"kith_failed_dials_total", KITH_METRIC_COUNTER, "", "Attempts to reach a peer, at all of its addresses, that failed.", dials_failed},
    {"kith_resumed_handshakes_total", KITH_METRIC_COUNTER, "", "Handshakes without post-quantum signatures, by a secret of an earlier one.", resumed},
    {"kith_rekeys_total", KITH_METRIC_COUNTER, "", "Refreshes of a connection's keys.", rekeys},
    {"kith_received_bytes_total", KITH_METRIC_COUNTER, "bytes", "Bytes on the wire, of connections that opened and of inbound ones that did not.", bytes_in},
    {"kith_sent_bytes_total", KITH_METRIC_COUNTER, "bytes", "Bytes on the wire, of connections that opened and of inbound ones that did not.", bytes_out},
    {"kith_handshake_seconds", KITH_METRIC_HISTOGRAM, "seconds", "From a handshake's first byte to both being authenticated.", handshake_times},
    {"kith_rtt_seconds", KITH_METRIC_GAUGE_HISTOGRAM, "seconds", "Latest round-trip times of the open connections that have measured one.", rtts},

    {"kith_received_messages_total", KITH_METRIC_COUNTER, "", "Direct messages that came and were stored, by type.", messages_in},
    {"kith_delivered_messages_total", KITH_METRIC_COUNTER, "", "Direct messages that their receiver has confirmed, by type.", messages_out},
    {"kith_failed_messages_total", KITH_METRIC_COUNTER, "", "Direct messages of ours that ended otherwise.", messages_failed},
    {"kith_refused_messages_total", KITH_METRIC_COUNTER, "", "Direct messages that came and were not taken, by the answer.", messages_turned_away},
    {"kith_message_delivery_seconds", KITH_METRIC_HISTOGRAM, "seconds", "From the sending of a direct message to its receiver's word, waiting for it included.", message_times},
    {"kith_outbox_messages", KITH_METRIC_GAUGE, "", "Messages that wait for their receivers.", outbox_messages},
    {"kith_outbox_bytes", KITH_METRIC_GAUGE, "bytes", "Bytes of the messages that wait for their receivers.", outbox_bytes},
    {"kith_message_listeners", KITH_METRIC_GAUGE, "", "Programs that listen for messages.", message_listeners},

    {"kith_gossip_peers", KITH_METRIC_GAUGE, "", "Connected peers that speak gossip.", gossip_peers},
    {"kith_gossip_topics", KITH_METRIC_GAUGE, "", "Topics that this node is in.", gossip_topics},
    {"kith_gossip_topic_peers", KITH_METRIC_GAUGE, "", "Connected peers that are in a topic, for each of the first 32 of ours.", gossip_topic_peers},
    {"kith_gossip_mesh_peers", KITH_METRIC_GAUGE, "", "Peers in our mesh of a topic, for each of the first 32 of ours.", gossip_mesh_peers},
    {"kith_gossip_messages_total", KITH_METRIC_COUNTER, "", "Messages of topics, by what became of them; forwarded, dropped and unwanted for each peer.", gossip_messages},
    {"kith_gossip_control_total", KITH_METRIC_COUNTER, "", "What meshes were told: GRAFT and PRUNE, and message ids by IHAVE, IWANT and IDONTWANT.", gossip_control},
    {"kith_gossip_faults_total", KITH_METRIC_COUNTER, "", "What peers did wrong in gossip.", gossip_faults},
    {"kith_gossip_held_bytes", KITH_METRIC_GAUGE, "bytes", "Bytes of messages that are kept for those who ask.", gossip_bytes},
    {"kith_topic_messages_total", KITH_METRIC_COUNTER, "", "Messages in our topics, by what the node made of them.", topic_messages},

    {"kith_dht_peers", KITH_METRIC_GAUGE, "", "Servers in the routing table.", dht_peers},
    {"kith_dht_server", KITH_METRIC_GAUGE, "", "1 if this node serves the DHT, else 0.", dht_server},
    {"kith_dht_lookups", KITH_METRIC_GAUGE, "", "Lookups under way.", dht_lookups},
    {"kith_dht_provided_keys", KITH_METRIC_GAUGE, "", "Keys that this node provides.", dht_provided},
    {"kith_dht_requests_total", KITH_METRIC_COUNTER, "", "Requests of ours that came to an end.", dht_requests},
    {"kith_dht_served_requests_total", KITH_METRIC_COUNTER, "", "Requests of others.", dht_served},
    {"kith_dht_records", KITH_METRIC_GAUGE, "", "Records that are stored for others.", dht_records},
    {"kith_dht_value_bytes", KITH_METRIC_GAUGE, "bytes", "Bytes of the values among them.", dht_bytes},

    {"kith_rendezvous_points", KITH_METRIC_GAUGE, "", "Rendezvous points at which this node is registered.", rendezvous_points},
    {"kith_rendezvous_peers", KITH_METRIC_GAUGE, "", "Peers that they have told of and that are registered still.", rendezvous_peers},
    {"kith_rendezvous_registrations", KITH_METRIC_GAUGE, "", "Registrations of others at this node.", rendezvous_registrations},
    {0},
};
/* clang-format on */
