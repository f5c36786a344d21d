/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a node counts, for people who watch many of them: one table of metrics, read when somebody asks, as JSON and as OpenMetrics text.
 * docs/guide/status.md lists them.
 *
 * A row reads what the node and its services say of themselves at that moment. What they forget (connections that are gone) is added up by one
 * observer here. No label has values that a peer can choose, since a series more costs whoever collects them memory for good; those of topics
 * have our user's own names, KITH_METRICS_TOPICS at most. */
#ifndef KITH_HOST_METRICS_H
#define KITH_HOST_METRICS_H

#include <jansson.h>

#include "host/dht.h"
#include "host/lan.h"
#include "host/messages.h"
#include "host/rendezvous.h"
#include "host/topics.h"

#define KITH_METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

#define KITH_METRICS_TOPICS 32 /* with series of their own: the first that were subscribed to */

typedef enum kith_metric_type {
    KITH_METRIC_GAUGE,
    KITH_METRIC_COUNTER, /* its name ends with _total */
    KITH_METRIC_INFO,    /* its name ends with _info: facts as labels */
    KITH_METRIC_HISTOGRAM,
    KITH_METRIC_GAUGE_HISTOGRAM, /* of what there is now, not of what was */
} kith_metric_type;

struct kith_metrics_view;

typedef struct kith_metric {
    const char *name; /* with the unit in its end, where it has one */
    kith_metric_type type;
    const char *unit; /* seconds, bytes, or "" */
    const char *help;
    /* A number; an array of objects, which have labels (strings) and `value`; an object of labels (INFO); or what a histogram is.
     * NULL: this node has none, or there is no memory. */
    json_t *(*read)(const struct kith_metrics_view *v);
} kith_metric;

extern const kith_metric kith_metric_table[]; /* ended by a NULL name */

typedef struct kith_metrics kith_metrics;

/* What the rows read. All but the host may be NULL. */
typedef struct kith_metrics_sources {
    kith_host *host;
    const char *version;
    kith_time started;
    const kith_lan *lan;
    const kith_trust *trust;
    const kith_messages *messages;
    kith_topics *topics;
    kith_dht *dht;
    const kith_rendezvous *rendezvous; /* may be NULL */
} kith_metrics_sources;

/* Counts from now on. NULL: no memory. */
kith_metrics *kith_metrics_new(kith_host *h);
void kith_metrics_close(kith_metrics *m); /* while the host is there; NULL is fine */
void kith_metrics_free(kith_metrics *m);

/* An object: what each row says, by its name. NULL: no memory. */
json_t *kith_metrics_read(kith_metrics *m, const kith_metrics_sources *from);
/* That as OpenMetrics text, to be freed. NULL: no memory. */
char *kith_metrics_text(const kith_metric *table, const json_t *values);
/* A histogram as above. */
json_t *kith_metrics_histogram(const kith_histogram *h);

#endif
