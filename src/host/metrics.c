/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Gathering what the table of metrics reads, and writing it down. */
#include "host/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/metrics_impl.h"

struct kith_metrics {
    kith_host *host;
    kith_observer watch;
    kith_metrics_past past;
    uint64_t bytes_in, bytes_out, rekeys; /* as they were last told */
};

/* ---- gathering ---- */

/* What a connection has been good for, once it is over. */
static void add_conn(kith_metrics_past *p, const kith_conn_facts *f)
{
    p->bytes_in += f->bytes_in;
    p->bytes_out += f->bytes_out;
    p->rekeys += f->rekeys;
}

static void on_connected(kith_metrics_past *p, const kith_conn_facts *f)
{
    p->opened[!f->inbound]++;
    p->resumed += f->resumed;
    kith_histogram_add(&p->handshakes, f->shaking);
}

static void on_event(void *ctx, kith_host *h, const kith_node_event *ev)
{
    (void)h;
    kith_metrics_past *p = &((kith_metrics *)ctx)->past;
    kith_conn_facts f;
    if (ev->kind == KITH_NODE_DIALED) {
        p->failed[ev->err]++; /* [KITH_OK]: not told */
        return;
    }
    if (ev->kind != KITH_NODE_CONNECTED && ev->kind != KITH_NODE_DISCONNECTED &&
        ev->kind != KITH_NODE_REFUSED)
        return;
    kith_conn_facts_get(ev->conn, &f);
    if (ev->kind == KITH_NODE_CONNECTED) {
        on_connected(p, &f);
        return;
    }
    add_conn(p, &f);
    if (ev->kind == KITH_NODE_DISCONNECTED)
        p->closed++;
    else
        p->refused[ev->err]++;
}

static void add_channel(kith_metrics_view *v, const kith_conn_facts *f)
{
    size_t i = 0;
    while (i < KITH_METRICS_CHANNELS - 1 && v->channels[i].suite && v->channels[i].suite != f->suite)
        i++;
    v->channels[i].suite = f->suite;
    v->channels[i].conns[!f->inbound]++;
}

static void look_at_conns(kith_metrics_view *v)
{
    const kith_node *n = kith_host_node(v->from->host);
    kith_conn_facts f;
    for (kith_conn *c = NULL; (c = kith_node_conn_next(n, c));) {
        kith_conn_facts_get(c, &f);
        if (!f.open)
            continue;
        bool pq = f.suite->kem != KITH_KEM_NONE, first = kith_node_conn_find(n, &f.peer) == c;
        v->peers += first;
        v->pq_peers += first && pq;
        v->pq_conns += pq;
        v->qkd[f.qkd]++;
        add_channel(v, &f);
        add_conn(&v->past, &f);
        if (f.rtt)
            kith_histogram_add(&v->rtt, f.rtt);
    }
}

static void look_at_mesh(kith_metrics_view *v)
{
    v->router = v->from->topics ? kith_topics_router(v->from->topics) : NULL;
    if (v->router)
        v->gossip = kith_gossip_count(v->router);
    kith_dht *d = v->from->dht;
    kith_kad *k = d && kith_dht_is_started(d) ? kith_dht_kad(d) : NULL;
    if (!k)
        return;
    v->dht = true;
    v->dht_server = kith_kad_is_server(k);
    v->kad = kith_kad_look(k);
}

/* A connection that broke a moment ago is not open any more, and its end may not have been told yet: a counter never goes back. */
static void never_back(uint64_t *last, uint64_t *now)
{
    if (*now < *last)
        *now = *last;
    *last = *now;
}

json_t *kith_metrics_read(kith_metrics *m, const kith_metrics_sources *from)
{
    kith_metrics_view *v = calloc(1, sizeof *v);
    json_t *all = v ? json_object() : NULL;
    if (!all) {
        free(v);
        return NULL;
    }
    v->from = from;
    v->past = m->past;
    v->usage = kith_node_usage(kith_host_node(from->host));
    if (from->messages)
        v->messages = kith_messages_count(from->messages);
    look_at_conns(v);
    look_at_mesh(v);
    never_back(&m->bytes_in, &v->past.bytes_in);
    never_back(&m->bytes_out, &v->past.bytes_out);
    never_back(&m->rekeys, &v->past.rekeys);
    for (const kith_metric *row = kith_metric_table; row->name; row++) {
        json_t *value = row->read(v);
        if (value)
            json_object_set_new(all, row->name, value);
    }
    free(v);
    return all;
}

json_t *kith_metrics_histogram(const kith_histogram *h)
{
    json_t *buckets = json_array();
    uint64_t count = 0;
    for (size_t i = 0; i < KITH_HISTOGRAM_BUCKETS; i++) {
        count += h->count[i];
        json_array_append_new(
            buckets, json_pack("{s:s, s:I}", "le", kith_histogram_bound(i), "count", (json_int_t)count));
    }
    return json_pack("{s:o, s:f, s:I}", "buckets", buckets, "sum", (double)h->sum_ns / 1e9, "count",
                     (json_int_t)count);
}

/* ---- as text ---- */

static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", f);
        else if (*text == '\\' || *text == '"')
            fprintf(f, "\\%c", *text);
        else
            fputc(*text, f);
    }
}

static void put_number(FILE *f, const json_t *v)
{
    if (json_is_integer(v))
        fprintf(f, " %lld\n", (long long)json_integer_value(v));
    else
        fprintf(f, " %.9g\n", json_real_value(v));
}

/* Every string of the object is a label. */
static void put_labels(FILE *f, const json_t *o)
{
    const char *name;
    const json_t *v;
    const char *before = "{";
    json_object_foreach((json_t *)(uintptr_t)o, name, v)
    {
        if (!json_is_string(v))
            continue;
        fprintf(f, "%s%s=\"", before, name);
        put_escaped(f, json_string_value(v));
        fputc('"', f);
        before = ",";
    }
    if (*before == ',')
        fputc('}', f);
}

static void put_histogram(FILE *f, const kith_metric *row, const json_t *h)
{
    const char *g = row->type == KITH_METRIC_GAUGE_HISTOGRAM ? "g" : "";
    const json_t *buckets = json_object_get(h, "buckets");
    for (size_t i = 0; i < json_array_size(buckets); i++) {
        const json_t *b = json_array_get(buckets, i);
        fprintf(f, "%s_bucket", row->name);
        put_labels(f, b);
        put_number(f, json_object_get(b, "count"));
    }
    fprintf(f, "%s_%ssum", row->name, g);
    put_number(f, json_object_get(h, "sum"));
    fprintf(f, "%s_%scount", row->name, g);
    put_number(f, json_object_get(h, "count"));
}

static const char *type_name(kith_metric_type t)
{
    switch (t) {
    case KITH_METRIC_GAUGE:
        return "gauge";
    case KITH_METRIC_COUNTER:
        return "counter";
    case KITH_METRIC_INFO:
        return "info";
    case KITH_METRIC_HISTOGRAM:
        return "histogram";
    case KITH_METRIC_GAUGE_HISTOGRAM:
        return "gaugehistogram";
    }
    return "unknown";
}

static void put_row(FILE *f, const kith_metric *row, const json_t *v)
{
    /* The family's name is without what the type adds. */
    size_t cut = row->type == KITH_METRIC_COUNTER ? strlen("_total")
                 : row->type == KITH_METRIC_INFO  ? strlen("_info")
                                                  : 0;
    int len = (int)(strlen(row->name) - cut);
    fprintf(f, "# TYPE %.*s %s\n", len, row->name, type_name(row->type));
    if (row->unit[0])
        fprintf(f, "# UNIT %.*s %s\n", len, row->name, row->unit);
    fprintf(f, "# HELP %.*s ", len, row->name);
    put_escaped(f, row->help);
    fputc('\n', f);
    if (row->type == KITH_METRIC_HISTOGRAM || row->type == KITH_METRIC_GAUGE_HISTOGRAM) {
        put_histogram(f, row, v);
    } else if (row->type == KITH_METRIC_INFO) {
        fputs(row->name, f);
        put_labels(f, v);
        fputs(" 1\n", f);
    } else if (json_is_number(v)) {
        fputs(row->name, f);
        put_number(f, v);
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *o = json_array_get(v, i);
        fputs(row->name, f);
        put_labels(f, o);
        put_number(f, json_object_get(o, "value"));
    }
}

char *kith_metrics_text(const kith_metric *table, const json_t *values)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return NULL;
    for (const kith_metric *row = table; row->name; row++) {
        const json_t *v = json_object_get(values, row->name);
        if (v)
            put_row(f, row, v);
    }
    fputs("# EOF\n", f);
    bool bad = ferror(f) != 0;
    if (fclose(f) || bad) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- life ---- */

kith_metrics *kith_metrics_new(kith_host *h)
{
    kith_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->host = h;
    m->watch = (kith_observer){.event = on_event, .ctx = m};
    kith_host_observe(h, &m->watch);
    return m;
}

void kith_metrics_close(kith_metrics *m)
{
    if (m && m->host)
        kith_host_unobserve(m->host, &m->watch);
    if (m)
        m->host = NULL;
}

void kith_metrics_free(kith_metrics *m)
{
    free(m);
}
