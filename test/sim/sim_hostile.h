/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A peer that speaks multistream-select and Noise as it should, and then says whatever frames a test wants. It has no sockets: the
 * simulator's tests hand its bytes to a node, others write them to a real socket. */
#ifndef SIM_HOSTILE_H
#define SIM_HOSTILE_H

#include "base/buf.h"
#include "proto/noise.h"
#include "proto/yamux.h"

/* Frame types and flags. libp2p yamux, "Framing". */
enum { HOSTILE_DATA, HOSTILE_UPDATE, HOSTILE_PING, HOSTILE_GOAWAY };
enum { HOSTILE_SYN = 1, HOSTILE_ACK = 2, HOSTILE_FIN = 4, HOSTILE_RST = 8 };

typedef struct sim_hostile sim_hostile;

/* What it heard, counted. */
typedef struct sim_heard {
    unsigned frames, data, updates, pings, pongs, goaways, resets, syns, fins;
    uint64_t payload;          /* bytes of Data frames */
    uint32_t goaway, rst_code; /* of the last ones */
    uint32_t last_syn;         /* the id of the last stream that was opened to it */
} sim_heard;

/* dialer: it speaks first on the connection. The seed makes its key. */
sim_hostile *sim_hostile_new(uint64_t seed, bool dialer);
void sim_hostile_free(sim_hostile *h);
const kith_peer_id *sim_hostile_id(const sim_hostile *h);
kith_bytes sim_hostile_key(const sim_hostile *h); /* serialised PublicKey */

/* Bytes from the wire, and bytes for it; send 0: nothing more. */
void sim_hostile_recv(sim_hostile *h, kith_bytes in);
size_t sim_hostile_send(sim_hostile *h, kith_span out);
bool sim_hostile_ready(const sim_hostile *h); /* the channel stands */
bool sim_hostile_failed(const sim_hostile *h);
const sim_heard *sim_hostile_heard(const sim_hostile *h);
/* Payload of all Data frames since the last call, one after another; the first 64 KiB of it. */
kith_bytes sim_hostile_payload(sim_hostile *h);
/* Whether it answers the node's pings; it does unless told. */
void sim_hostile_mute(sim_hostile *h, bool on);

/* Queues plaintext; it leaves with the next send in records of at most record_max bytes (default: as large as they go). */
void sim_hostile_say(sim_hostile *h, kith_bytes plain);
void sim_hostile_record_max(sim_hostile *h, size_t n);
void sim_hostile_frame(sim_hostile *h, uint8_t type, unsigned flags, uint32_t id, uint32_t len);
/* A Data frame with its payload. */
void sim_hostile_data(sim_hostile *h, unsigned flags, uint32_t id, kith_bytes payload);
/* Opens a stream and proposes a protocol, all in one Data frame; the id of the stream. flags are added. */
uint32_t sim_hostile_open(sim_hostile *h, const char *protocol, unsigned flags);
uint32_t sim_hostile_next_id(sim_hostile *h);

#endif
