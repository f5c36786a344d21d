/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The insides that host.c, tcp.c and dns.c share; nobody else includes this. */
#ifndef KITH_HOST_HOST_IMPL_H
#define KITH_HOST_HOST_IMPL_H

#include <stdarg.h>

#include "base/bucket.h"
#include "base/list.h"
#include "host/host.h"
#include "host/network.h"
#include "host/workers.h"

#define READ_BUF (256u * 1024)     /* one for all sockets: an idle connection holds none */
#define WRITE_BUF (256u * 1024)    /* four large records: fewer of them to a write are dearer */
#define WRITE_CHACHA (128u * 1024) /* under ChaCha20 two are sealed in the time of four */
#define WRITE_BUDGET (128u * 1024) /* bytes written in one loop turn before reading gets its turn again */
/* How much of a loop turn input may take, in units of kith_conn_cost (50 ns). Whoever has used up its share is not read from in this turn,
 * and waits in a queue for a later one. */
#define TURN_PEER 1024      /* one peer: READ_BUF bytes in large records, or 64 records however small */
#define TURN_THROTTLED 8    /* who is throttled (kith_node_throttle) has so small a part of that */
#define TURN_ALL 4096       /* all peers; beyond it everybody gets one read still, */
#define TURN_LIGHT 128      /* and waits if it has cost more than that */
#define TURN_STRANGERS 4096 /* all inbound connections before authentication: one handshake message */
#define READ_COST 64        /* of any read, however short */
#define READ_MIN 2048       /* a read's size doubles from here up to READ_BUF, each time after */
#define PATIENCE_MIN 32     /* so many full reads that were cheap: 8 MiB for all the way; */
#define PATIENCE_MAX 4096   /* and after each that was dear twice as many, up to 1 GiB */
#define POOL_MAX 16         /* write buffers kept for reuse */
/* What a full socket leaves over moves to a block of its size, if it is no more than this. */
#define WRITE_COPY (128u * 1024)
#define QUEUED_SOFT \
    (32u << 20) /* with more than this waiting for full sockets, a connection gets WRITE_SMALL at a time */
#define WRITE_SMALL (16u * 1024)
#define LEAVING_MAX 64 /* sockets that wait for the peer's last byte after ours */

typedef struct pending_dial {
    kith_link link;
    uint64_t id;
    kith_dialed_fn fn;
    void *ctx;
} pending_dial;

struct kith_host {
    kith_host_config cfg;
    uv_loop_t loop;
    uv_prepare_t prepare; /* drives once per loop turn */
    uv_timer_t timer;
    uv_idle_t idle; /* active while dirty: keeps the loop from sleeping */
    kith_node *node;
    kith_time timer_at, stop_by;
    bool dirty, driving, stopping, patient, closed;
    uv_timer_t leave_timer;  /* for who does not leave by itself */
    uv_timer_t accept_timer; /* while descriptors are short */
    uv_timer_t slow_timer;   /* looks after clock and interfaces */
    unsigned accept_pause;   /* ms, 0: accepting */
    kith_list socks, listeners, dials, lookups, leaving;
    size_t leaving_count, untaken;
    kith_list waiting[2]; /* sockets with input whose share of a turn is used up: peers, strangers */
    uint64_t turn, spent, by_strangers;     /* the loop turn, and what its input has cost so far */
    kith_bucket up, down;                   /* what all sockets may write and read together */
    kith_list slowed_reads, slowed_writes;  /* sockets that wait for these */
    uv_timer_t limit_timer;                 /* for the earlier of the two */
    kith_maddr told[KITH_RECORD_ADDRS_MAX]; /* our addresses, as the node knows them */
    size_t told_count;
    kith_observer *observers;
    kith_part *parts;
    void (*conduct)(void *ctx, const kith_peer_id *peer, kith_conduct kind);
    void *conduct_ctx;
    void (*stop_fn)(void *ctx);
    void *stop_ctx;
    uint8_t *read_buf;
    uint8_t *pool[POOL_MAX];
    size_t pool_len;
    size_t queued; /* bytes that wait for full sockets */
    struct dns *dns;
    kith_workers workers; /* of handshakes */
    kith_qkd_keys *qkd;   /* NULL: off */
    char network[KITH_NETWORK_PRINT_MAX + 1];
    kith_time warned_at;
};

void kith_host_drive_(kith_host *h);
void kith_host_log_(kith_host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- tcp.c ---- */
void kith_tcp_connect_(kith_host *h, kith_conn *c, const kith_maddr *addr);
/* Sends up to one buffer of a connection's output; returns the bytes taken from the node. */
size_t kith_tcp_write_(kith_host *h, kith_conn *c);
void kith_tcp_close_(kith_host *h, kith_conn *c);
/* Has a connection's handshake message worked on. */
void kith_tcp_work_(kith_host *h, kith_conn *c);
/* A new loop turn: reads from those who wait, as many as have room in it. */
void kith_tcp_turn_(kith_host *h);
void kith_tcp_unlisten_(kith_host *h);
/* Tells the node our addresses when they have changed. */
void kith_tcp_look_at_addrs_(kith_host *h);
void kith_tcp_init_(kith_host *h);
void kith_tcp_close_all_(kith_host *h); /* its timers too */

/* ---- dns.c ---- */
void kith_dns_resolve_(kith_host *h, uint64_t resolve_id, const kith_maddr *addr);
void kith_dns_close_(kith_host *h);

#endif
