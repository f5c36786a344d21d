/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The score function. */
#include "mesh/gossip_score.h"

#include <assert.h>

static double square(double x)
{
    return x * x;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* x to the power of n. */
static double power(double x, uint32_t n)
{
    double r = 1;
    while (n > 0) {
        if (n & 1)
            r *= x;
        x *= x;
        n >>= 1;
    }
    return r;
}

double kith_gossip_decay_over(uint32_t ticks, double to_zero)
{
    assert(ticks > 0 && to_zero > 0 && to_zero < 1);
    double low = 0, high = 1; /* the root by halves: the core has no pow() */
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        *(power(mid, ticks) < to_zero ? &low : &high) = mid;
    }
    return low;
}

void kith_gossip_score_default(kith_gossip_score_params *p)
{
    const double to_zero = 0.01;
    const double hour = kith_gossip_decay_over(3600, to_zero);
    *p = (kith_gossip_score_params){
        .topic = {.weight = 1,
                  .mesh_weight = 1.0 / 3600,
                  .mesh_quantum = KITH_SEC(1),
                  .mesh_cap = 3600,
                  .first_weight = 0.5,
                  .first_decay = hour,
                  .first_cap = 100,
                  .rate_window = KITH_MS(10),
                  .rate_activation = KITH_SEC(60),
                  .invalid_weight = -1000,
                  .invalid_decay = hour},
        .app_weight = 1,
        .ip_weight = -100,
        .ip_threshold = 10,
        .behaviour_weight = -10,
        .behaviour_threshold = 6,
        .behaviour_decay = hour,
        .decay_every = KITH_SEC(1),
        .to_zero = to_zero,
        .retain = KITH_SEC(6 * 3600),
        .gossip = -500,
        .publish = -1000,
        .graylist = -2500,
        .accept_px = 10,
        .opportunistic = 1,
    };
}

static bool is_number(double x)
{
    return x - x == 0; /* neither NaN nor infinite */
}

static bool good(double x, double from, double to)
{
    return is_number(x) && x >= from && x <= to;
}

#define MOST 1e15

static bool is_decay(double weight, double decay)
{
    return weight == 0 || (good(decay, 0, 1) && decay > 0 && decay < 1);
}

kith_err kith_gossip_topic_check(const kith_gossip_topic_params *p, const char **why)
{
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {good(p->weight, 0, MOST), "a topic's weight is 0 or more"},
        {good(p->mesh_weight, 0, MOST) && good(p->mesh_cap, 0, MOST), "P1: weight and cap are 0 or more"},
        {p->mesh_weight == 0 || p->mesh_quantum > 0, "P1: the quantum is above 0"},
        {good(p->first_weight, 0, MOST) && good(p->first_cap, 0, MOST), "P2: weight and cap are 0 or more"},
        {is_decay(p->first_weight, p->first_decay), "P2: the decay is between 0 and 1"},
        {good(p->rate_weight, -MOST, 0), "P3: the weight is 0 or less"},
        {is_decay(p->rate_weight, p->rate_decay), "P3: the decay is between 0 and 1"},
        {p->rate_weight == 0 ||
             (good(p->rate_threshold, 0, MOST) && good(p->rate_cap, p->rate_threshold, MOST)),
         "P3: the cap is not below the threshold"},
        {p->rate_weight == 0 || p->rate_activation >= KITH_SEC(1), "P3: the activation is 1 s or more"},
        {good(p->failure_weight, -MOST, 0), "P3b: the weight is 0 or less"},
        {is_decay(p->failure_weight, p->failure_decay), "P3b: the decay is between 0 and 1"},
        {good(p->invalid_weight, -MOST, 0), "P4: the weight is 0 or less"},
        {is_decay(p->invalid_weight, p->invalid_decay), "P4: the decay is between 0 and 1"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].ok) {
            *why = rules[i].what;
            return KITH_EFORMAT;
        }
    }
    return KITH_OK;
}

kith_err kith_gossip_score_check(const kith_gossip_score_params *p, const char **why)
{
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {good(p->topic_cap, 0, MOST), "the cap of topics is 0 or more"},
        {good(p->app_weight, -MOST, MOST), "P5: the weight is a number"},
        {good(p->ip_weight, -MOST, 0), "P6: the weight is 0 or less"},
        {p->ip_threshold >= 1, "P6: the threshold is 1 or more"},
        {good(p->behaviour_weight, -MOST, 0), "P7: the weight is 0 or less"},
        {good(p->behaviour_threshold, 0, MOST), "P7: the threshold is 0 or more"},
        {is_decay(p->behaviour_weight, p->behaviour_decay), "P7: the decay is between 0 and 1"},
        {p->decay_every >= KITH_SEC(1), "the interval of decay is 1 s or more"},
        {good(p->to_zero, 0, 1) && p->to_zero > 0 && p->to_zero < 1,
         "what counts as zero is between 0 and 1"},
        {good(p->gossip, -MOST, 0), "the gossip threshold is 0 or less"},
        {good(p->publish, -MOST, p->gossip), "the publish threshold is not above that of gossip"},
        {good(p->graylist, -MOST, p->publish), "the graylist threshold is not above that of publishing"},
        {good(p->accept_px, 0, MOST), "the threshold of peer exchange is 0 or more"},
        {good(p->opportunistic, 0, MOST), "the threshold of opportunistic grafts is 0 or more"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].ok) {
            *why = rules[i].what;
            return KITH_EFORMAT;
        }
    }
    return kith_gossip_topic_check(&p->topic, why);
}

void kith_gossip_grafted(kith_gossip_stats *s, kith_time now)
{
    s->in_mesh = true;
    s->active = false;
    s->grafted_at = now;
    s->mesh_time = 0;
}

/* What its deliveries lack. */
static double deficit(const kith_gossip_stats *s, const kith_gossip_topic_params *p)
{
    return s->active && s->rate < p->rate_threshold ? p->rate_threshold - s->rate : 0;
}

void kith_gossip_pruned(kith_gossip_stats *s, const kith_gossip_topic_params *p)
{
    s->failure += square(deficit(s, p));
    s->in_mesh = s->active = false;
}

void kith_gossip_first(kith_gossip_stats *s, const kith_gossip_topic_params *p)
{
    s->first = least(s->first + 1, p->first_cap);
    kith_gossip_near(s, p, 0);
}

void kith_gossip_near(kith_gossip_stats *s, const kith_gossip_topic_params *p, kith_time since)
{
    if (s->in_mesh && since <= p->rate_window)
        s->rate = least(s->rate + 1, p->rate_cap);
}

void kith_gossip_invalid(kith_gossip_stats *s)
{
    s->invalid += 1;
}

double kith_gossip_counter_decay(double counter, double factor, double to_zero)
{
    counter *= factor;
    return counter < to_zero ? 0 : counter;
}

void kith_gossip_stats_decay(kith_gossip_stats *s, const kith_gossip_topic_params *p, double to_zero,
                             kith_time now)
{
    s->first = kith_gossip_counter_decay(s->first, p->first_decay, to_zero);
    s->rate = kith_gossip_counter_decay(s->rate, p->rate_decay, to_zero);
    s->failure = kith_gossip_counter_decay(s->failure, p->failure_decay, to_zero);
    s->invalid = kith_gossip_counter_decay(s->invalid, p->invalid_decay, to_zero);
    if (s->in_mesh) {
        s->mesh_time = now - s->grafted_at;
        s->active |= s->mesh_time > p->rate_activation;
    }
}

void kith_gossip_stats_retain(kith_gossip_stats *s, const kith_gossip_topic_params *p)
{
    s->first = 0;
    if (s->in_mesh)
        kith_gossip_pruned(s, p);
}

double kith_gossip_topic_score(const kith_gossip_stats *s, const kith_gossip_topic_params *p)
{
    double score = 0;
    if (s->in_mesh && p->mesh_quantum > 0) {
        kith_time quanta = s->mesh_time / p->mesh_quantum; /* whole ones */
        score += least((double)quanta, p->mesh_cap) * p->mesh_weight;
    }
    score += s->first * p->first_weight;
    score += square(deficit(s, p)) * p->rate_weight;
    score += s->failure * p->failure_weight;
    score += square(s->invalid) * p->invalid_weight;
    return score * p->weight;
}

double kith_gossip_colocation(const kith_gossip_score_params *p, size_t peers)
{
    return peers > p->ip_threshold ? square((double)(peers - p->ip_threshold)) : 0;
}

double kith_gossip_score(const kith_gossip_score_params *p, double topics, double app, double ip,
                         double behaviour)
{
    if (p->topic_cap > 0)
        topics = least(topics, p->topic_cap);
    double excess = behaviour > p->behaviour_threshold ? behaviour - p->behaviour_threshold : 0;
    return topics + app * p->app_weight + ip * p->ip_weight + square(excess) * p->behaviour_weight;
}
