/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of pubsub: RPCs taken apart one item at a time, messages with what their signature covers, and both written. libp2p pubsub,
 * gossipsub v1.0 to v1.3. No state, no memory; views point into what was given. */
#ifndef KITH_PROTO_GOSSIP_RPC_H
#define KITH_PROTO_GOSSIP_RPC_H

#include "base/bytes.h"
#include "base/err.h"
#include "crypto/sign.h"
#include "wire/peer_id.h"

#define KITH_GOSSIP_ID_13 "/meshsub/1.3.0"
#define KITH_GOSSIP_ID_12 "/meshsub/1.2.0"
#define KITH_GOSSIP_ID_11 "/meshsub/1.1.0"
#define KITH_GOSSIP_ID_10 "/meshsub/1.0.0"
#define KITH_GOSSIP_ID_FLOOD "/floodsub/1.0.0"

#define KITH_GOSSIP_RPC_MAX (1024 * 1024) /* bytes of an RPC, without its length: go's default */
#define KITH_GOSSIP_ITEMS_MAX 16384       /* of all kinds in one RPC, ids and exchanged peers included */
#define KITH_GOSSIP_TOPIC_MAX 256         /* bytes of a topic; longer ones are skipped */
#define KITH_GOSSIP_MID_MAX 64            /* bytes of a message id; longer ones are skipped */
#define KITH_GOSSIP_SEQNO_LEN 8
/* What a signed message is longer than its data and its topic. */
#define KITH_GOSSIP_MSG_EXTRA 160
#define KITH_GOSSIP_CONTROL_MAX 16384 /* bytes of an RPC without messages that we send: rust takes no more */

/* ---- reading an RPC ---- */

typedef enum kith_gossip_kind {
    KITH_GOSSIP_SUB,        /* topic, on */
    KITH_GOSSIP_MSG,        /* raw: the Message's bytes as they came */
    KITH_GOSSIP_IHAVE,      /* topic, list: ids */
    KITH_GOSSIP_IWANT,      /* list */
    KITH_GOSSIP_GRAFT,      /* topic */
    KITH_GOSSIP_PRUNE,      /* topic, backoff_s, list: peers */
    KITH_GOSSIP_IDONTWANT,  /* list */
    KITH_GOSSIP_EXTENSIONS, /* on: the test extension is in it */
    KITH_GOSSIP_TEST,       /* the test extension's own message */
} kith_gossip_kind;

typedef struct kith_gossip_item {
    kith_gossip_kind kind;
    bool on;
    kith_bytes topic; /* empty: none was given */
    kith_bytes raw;
    uint64_t backoff_s; /* 0: none was given */
    kith_bytes list;    /* for kith_gossip_list_next */
} kith_gossip_item;

/* The three sections of an RPC, in the order in which go acts on them. */
typedef enum kith_gossip_section {
    KITH_GOSSIP_SUBS,
    KITH_GOSSIP_MSGS,
    KITH_GOSSIP_CONTROL
} kith_gossip_section;

typedef struct kith_gossip_reader {
    kith_gossip_section section;
    kith_rd rpc, control; /* control: the rest of the ControlMessage that is being walked */
} kith_gossip_reader;

/* Whether all of it is well-formed: then the walks below end at its end. KITH_EPROTO: malformed, or a known field has another wire type.
 * KITH_ELIMIT: longer than KITH_GOSSIP_RPC_MAX, or more items than KITH_GOSSIP_ITEMS_MAX. */
KITH_CHECK kith_err kith_gossip_rpc_check(kith_bytes rpc);
/* Walks one section of an RPC that was checked. Unknown fields are skipped. */
kith_gossip_reader kith_gossip_rpc_read(kith_bytes rpc, kith_gossip_section section);
bool kith_gossip_rpc_next(kith_gossip_reader *r, kith_gossip_item *out);

/* The next entry of an item's list, or false: an id's bytes; of a PRUNE the PeerInfo's, for the call below. Start with *list = item.list. */
bool kith_gossip_list_next(kith_gossip_kind kind, kith_bytes *list, kith_bytes *out);
/* record: empty when there is none. */
void kith_gossip_peer_info(kith_bytes info, kith_bytes *peer, kith_bytes *record);

/* ---- a message ---- */

typedef struct kith_gossip_msg {
    bool has_from, has_seqno, has_sig, has_key;
    kith_bytes from, data, seqno, topic, sig, key;
    kith_bytes raw;
} kith_gossip_msg;

/* A field that stands twice counts with its last value, as everywhere in protobuf. KITH_EPROTO. */
KITH_CHECK kith_err kith_gossip_msg_parse(kith_bytes raw, kith_gossip_msg *out);
/* Appends what a message's signature is over: "libp2p-pubsub:" and the message without signature and key as go encodes it, known fields in
 * their order and then unknown ones as they came. */
void kith_gossip_msg_signed(const kith_gossip_msg *m, kith_wr *w);
/* Verifies a message that has from, seqno and signature. scratch: as long as the message and 64 bytes. KITH_EFORMAT: from is no peer id, or
 * its key is neither in it nor given. KITH_EAUTH: the key is not from's. KITH_ECRYPTO, KITH_EUNSUPPORTED. */
KITH_CHECK kith_err kith_gossip_msg_verify(const kith_gossip_msg *m, kith_span scratch);
/* Appends a message. signer NULL: data and topic alone (StrictNoSign). KITH_ESPACE, KITH_ECRYPTO, KITH_ENOMEM. */
KITH_CHECK kith_err kith_gossip_msg_put(kith_wr *w, const kith_signer *signer, uint64_t seqno,
                                        kith_bytes data, kith_bytes topic);

/* ---- writing an RPC ----
 * SUB and TEST are fields of the RPC; everything else is written into a ControlMessage, which is then put into the RPC. */
void kith_gossip_put_sub(kith_wr *w, bool on, kith_bytes topic);
void kith_gossip_put_test(kith_wr *w);
void kith_gossip_put_control(kith_wr *w, kith_bytes control);
void kith_gossip_put_graft(kith_wr *control, kith_bytes topic);
/* A PRUNE; peers: PeerInfos made by the call below, one after another; backoff_s 0: none. */
void kith_gossip_put_prune(kith_wr *control, kith_bytes topic, kith_bytes peers, uint64_t backoff_s);
void kith_gossip_put_peer(kith_wr *peers, const kith_peer_id *peer, kith_bytes record);
/* IHAVE, IWANT or IDONTWANT; topic: of an IHAVE. */
void kith_gossip_put_ids(kith_wr *control, kith_gossip_kind kind, kith_bytes topic, const kith_bytes *ids,
                         size_t count);
void kith_gossip_put_extensions(kith_wr *control, bool test);
/* The head of an RPC that is one message of len bytes and nothing else: its length, tag and length again. At most 16 bytes. */
size_t kith_gossip_msg_head(size_t len, uint8_t out[16]);

#endif
