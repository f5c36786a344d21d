/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The simulator: nodes by the thousand in one thread under virtual time, joined by a seeded network with latency, bandwidth, loss,
 * partitions, resets, half-open connections and machines that come and go. The second host of the node, beside libuv's; given the same
 * seed and calls it does the same things.
 *
 * The network carries TCP connections, as a socket's user sees them: bytes in order, whole or not at all.
 *
 *   latency    one way, fixed for a pair of hosts: each host has a seeded place on a square, and the distance between two decides
 *   bandwidth  a host's link up and its link down, each a queue that all its connections share, first come first served
 *   loss       of a packet (1448 bytes) costs time, never bytes: a round trip when three packets of the same write come after it (fast
 *              retransmit), else the retransmission timeout (round trip + 200 ms); a repetition that is lost too doubles that. The
 *              connection then sends half as much per round trip. So with loss, and only with it, there is a congestion window as in
 *              Reno: 10 packets at first, doubling each full round trip up to half of what was lost at, then one packet more. A lost
 *              SYN or SYN+ACK is repeated after 1, 2, 4 ... s.
 *   a cut      (partition, power loss) lets nothing pass; TCP tries again after 0.2, 0.4, 0.8 ... 120 s, and gives up after 15 times
 *
 * Not in it: reordering within a connection (TCP hides it), queues inside the network, acknowledgements and headers as load. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdio.h>

#include "base/timer.h"
#include "mesh/part.h"

#define SIM_PORT 4001
#define SIM_PARTS_MAX 4

typedef struct sim sim;
typedef struct sim_host sim_host;

/* What a test does with a host's events; called after the host has acted on DIAL, RESOLVE and CLOSE. */
typedef void (*sim_watch)(void *ctx, sim_host *h, const kith_node_event *ev);

typedef struct sim_path {
    kith_time latency;     /* one way, between two hosts at one place */
    kith_time latency_max; /* between those the furthest apart; 0: all are at one place */
    kith_time jitter;      /* each write arrives up to so much later, in order all the same */
    uint64_t bandwidth;    /* bytes per second of each host's link, up and down; 0: unlimited */
    uint32_t loss_ppm;     /* packets lost in a million */
    size_t buffer;         /* bytes a socket takes before it is full */
} sim_path;

sim *sim_new(uint64_t seed);
void sim_free(sim *s); /* checks that every host's memory came back, and the simulator's own */
kith_time sim_now(const sim *s);
kith_time sim_time(const sim_host *h); /* the same */
uint64_t sim_random(sim *s);
/* What holds between all hosts from now on; default 10 ms, unlimited, no loss, 256 KiB. */
void sim_set_path(sim *s, sim_path p);

/* Defaults but for the cheapest handshake, and a minute before an idle connection goes: for what is not about either. */
kith_node_config sim_classical(void);
/* A node at 10.x.y.z, TCP port SIM_PORT. cfg: NULL for defaults; its env and signer are ignored, its agent is borrowed. */
sim_host *sim_add(sim *s, const kith_node_config *cfg);
/* The same with a key of the caller's choice. */
sim_host *sim_add_as(sim *s, const kith_node_config *cfg, const uint8_t seed[KITH_ED25519_SEED_LEN]);
/* Puts a host without connections at another address, outside of 10.0.0.0/8, once. */
void sim_move(sim_host *h, const uint8_t ip[4]);
/* Another link than the path's; 0: as that. Bytes per second. */
void sim_set_link(sim_host *h, uint64_t up, uint64_t down);
kith_node *sim_node(sim_host *h);              /* NULL while it is off */
const kith_maddr *sim_addr(const sim_host *h); /* with /p2p */
void sim_set_watch(sim_host *h, sim_watch fn, void *ctx);
void sim_set_user(sim_host *h, void *user);
void *sim_user(const sim_host *h);
sim_host *sim_host_at(sim *s, size_t i);
sim_host *sim_host_of(const sim *s, const kith_maddr *addr); /* at the address; NULL: nobody */
size_t sim_host_index(const sim_host *h);
const kith_env *sim_env(sim_host *h);
/* What a name stands for, for RESOLVE events. */
void sim_set_name(sim *s, const char *text, const kith_maddr *addr);

/* Faults. */
void sim_partition(sim *s, sim_host *a, sim_host *b,
                   bool on); /* nothing passes; connections stay, as TCP's do */
void sim_set_side(sim_host *h,
                  unsigned side); /* nothing passes between hosts on different sides; all begin on side 0 */
void sim_reset_all(sim *s, sim_host *a, sim_host *b); /* RST to both ends of every connection between them */
/* The nth allocation from now (0: the next) fails, and unless once all after it; negative: never. */
void sim_fail_alloc(sim_host *h, int64_t n, bool once);
bool sim_alloc_failed(const sim_host *h); /* whether one has failed since that was called */

/* A host comes and goes; not to be called from its own watch.
 *   vanish  the machine loses power: its peers hear nothing more, who dials it gets no answer. Its node stays to be looked at.
 *   off     its program ends (kith_node_shutdown before that is the polite way): connections are closed, who dials it is refused
 *   on      the machine and its program start again after either: same identity and address, all else is new. What peers still send
 *           on connections from before a power loss is answered with RST. */
void sim_vanish(sim_host *h);
void sim_off(sim_host *h);
void sim_on(sim_host *h);
/* What it begins with when it is switched on again. */
kith_node_config *sim_config(sim_host *h);

/* Drives a part beside the host's node, until that goes off: gone (optional) is told when there is no node any more, and gives the
 * part's memory back. After sim_on it must be attached again. At most SIM_PARTS_MAX. */
void sim_attach(sim_host *h, kith_part *p, void (*gone)(void *self));
/* Tells the host's node what changed outside (after kith_node_dial, open, wake ...). */
void sim_drive(sim_host *h);
/* Runs until nothing is due before `until`, or nothing is left at all. Checks invariants of every host it touches; with more than 32
 * hosts, at every 64th event. */
void sim_run(sim *s, kith_time until);
/* Runs until the predicate holds; false: `until` came first. */
bool sim_run_until(sim *s, kith_time until, bool (*done)(void *ctx), void *ctx);

typedef struct sim_due {
    kith_timer t;
    uint8_t kind;
} sim_due;

/* Calls somebody at a time; it lies in its owner's struct, and may be set again from inside the call. */
typedef struct sim_alarm {
    sim_due due;
    sim *world;
    void (*fn)(void *ctx, struct sim_alarm *a);
    void *ctx;
} sim_alarm;

void sim_alarm_init(sim *s, sim_alarm *a, void (*fn)(void *ctx, sim_alarm *a), void *ctx);
void sim_alarm_set(sim_alarm *a, kith_time at); /* KITH_NEVER: not */
void sim_alarm_fini(sim_alarm *a);              /* before the world is freed */

/* A line for each delivery: "[time in ms] from > to bytes". NULL: none. */
void sim_set_trace(sim *s, FILE *out);
/* Of everything that was delivered and told so far: equal runs have equal hashes. */
uint64_t sim_hash(const sim *s);
/* The same without the bytes themselves: when, from whom, to whom, how much. Equal also under other keys. */
uint64_t sim_shape(const sim *s);

typedef struct sim_counts {
    uint64_t steps; /* events handled */
    uint64_t bytes; /* delivered */
    uint64_t lost;  /* packets */
    size_t tcps;    /* connections that the network still knows */
    size_t memory;  /* bytes that the simulator holds besides the nodes' */
} sim_counts;
sim_counts sim_count(const sim *s);
size_t sim_memory(const sim_host *h); /* bytes that the host's node holds */

/* Dials b from a and runs until both ends are identified, or 30 s. The connection at a, or NULL. */
kith_conn *sim_connect(sim *s, sim_host *a, sim_host *b);

#endif
