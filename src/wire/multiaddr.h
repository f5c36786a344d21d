/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multiaddresses: text and binary, multiformats/multiaddr and libp2p addressing. */
#ifndef KITH_WIRE_MULTIADDR_H
#define KITH_WIRE_MULTIADDR_H

#include "base/bytes.h"
#include "base/err.h"
#include "wire/peer_id.h"

#define KITH_MADDR_MAX 512       /* bytes; longer ones are refused */
#define KITH_MADDR_TEXT_MAX 1536 /* characters, without NUL */

/* Protocol codes of the multicodec table. */
enum {
    KITH_MA_IP4 = 4,
    KITH_MA_TCP = 6,
    KITH_MA_DCCP = 33,
    KITH_MA_IP6 = 41,
    KITH_MA_IP6ZONE = 42,
    KITH_MA_IPCIDR = 43,
    KITH_MA_DNS = 53,
    KITH_MA_DNS4 = 54,
    KITH_MA_DNS6 = 55,
    KITH_MA_DNSADDR = 56,
    KITH_MA_SCTP = 132,
    KITH_MA_UDP = 273,
    KITH_MA_P2P_WEBRTC_STAR = 275,
    KITH_MA_P2P_WEBRTC_DIRECT = 276,
    KITH_MA_P2P_STARDUST = 277,
    KITH_MA_WEBRTC_DIRECT = 280,
    KITH_MA_WEBRTC = 281,
    KITH_MA_P2P_CIRCUIT = 290,
    KITH_MA_UDT = 301,
    KITH_MA_UTP = 302,
    KITH_MA_UNIX = 400,
    KITH_MA_P2P = 421,
    KITH_MA_HTTPS = 443,
    KITH_MA_ONION = 444,
    KITH_MA_ONION3 = 445,
    KITH_MA_GARLIC64 = 446,
    KITH_MA_GARLIC32 = 447,
    KITH_MA_TLS = 448,
    KITH_MA_SNI = 449,
    KITH_MA_NOISE = 454,
    KITH_MA_QUIC = 460,
    KITH_MA_QUIC_V1 = 461,
    KITH_MA_WEBTRANSPORT = 465,
    KITH_MA_CERTHASH = 466,
    KITH_MA_WS = 477,
    KITH_MA_WSS = 478,
    KITH_MA_P2P_WEBSOCKET_STAR = 479,
    KITH_MA_HTTP = 480,
    KITH_MA_HTTP_PATH = 481,
    KITH_MA_MEMORY = 777,
};

/* Binary form by value. Always valid: only the functions below make one. len 0: none. */
typedef struct kith_maddr {
    uint16_t len;
    uint8_t b[KITH_MADDR_MAX];
} kith_maddr;

static inline kith_bytes kith_maddr_bytes(const kith_maddr *a)
{
    return kith_bytes_of(a->b, a->len);
}

static inline bool kith_maddr_eq(const kith_maddr *a, const kith_maddr *b)
{
    return kith_bytes_eq(kith_maddr_bytes(a), kith_maddr_bytes(b));
}

/* Both are strict: known protocols only, minimal varints, every value checked, nothing after a unix path. A name (dns*, sni, ip6zone) is up
 * to 255 bytes of printable UTF-8 without '/' and space; a unix path is printable UTF-8. So no text of an address upsets a terminal.
 * KITH_EFORMAT: with `why` (may be NULL) set to a static phrase. KITH_ELIMIT: too long, as bytes or as text. */
KITH_CHECK kith_err kith_maddr_parse(kith_bytes in, kith_maddr *out);
KITH_CHECK kith_err kith_maddr_from_text(kith_bytes text, kith_maddr *out, const char **why);
/* Canonical text, NUL-terminated: IPv6 as in RFC 5952, peer ids in base58btc, certhash in base64url. Empty for an empty address. */
void kith_maddr_text(const kith_maddr *a, char out[KITH_MADDR_TEXT_MAX + 1]);

/* One component. */
typedef struct kith_maddr_part {
    uint32_t code;
    kith_bytes value; /* without its length prefix; view into the address */
} kith_maddr_part;

/* Walks the components: start with *at = 0; false at the end. */
bool kith_maddr_next(const kith_maddr *a, size_t *at, kith_maddr_part *out);
/* First component with the code. */
bool kith_maddr_find(const kith_maddr *a, uint32_t code, kith_maddr_part *out);
/* Appends a component with a binary value. KITH_ELIMIT, KITH_EFORMAT (value not valid for code). */
KITH_CHECK kith_err kith_maddr_add(kith_maddr *a, uint32_t code, kith_bytes value);
/* Appends, replaces or removes (id NULL) the trailing /p2p. */
KITH_CHECK kith_err kith_maddr_set_peer(kith_maddr *a, const kith_peer_id *id);
/* The trailing /p2p's id; false: none. */
bool kith_maddr_peer(const kith_maddr *a, kith_peer_id *out);

/* What a TCP host needs: exactly ip4|ip6|dns*, tcp port, optional /p2p; or dnsaddr with both optional. An
 * ip6zone may stand before the ip6 (go) or after it (rust). */
typedef enum kith_maddr_host {
    KITH_HOST_IP4,
    KITH_HOST_IP6,
    KITH_HOST_DNS,
    KITH_HOST_DNS4,
    KITH_HOST_DNS6,
    KITH_HOST_DNSADDR
} kith_maddr_host;
typedef struct kith_maddr_tcp {
    kith_maddr_host host;
    kith_bytes value; /* 4 or 16 address bytes, or the name; view */
    kith_bytes zone;  /* ip6zone or empty; view */
    uint16_t port;    /* dnsaddr: 0 without a tcp component; with one, what is resolved must have that port */
    kith_peer_id peer; /* len 0: none */
} kith_maddr_tcp;
/* KITH_EUNSUPPORTED: another transport. */
KITH_CHECK kith_err kith_maddr_to_tcp(const kith_maddr *a, kith_maddr_tcp *out);
/* ip: 4 or 16 bytes. */
void kith_maddr_from_tcp(kith_bytes ip, uint16_t port, kith_maddr *out);

/* Scope of an ip4/ip6 address, for ranking and filtering. */
typedef enum kith_ip_scope {
    KITH_IP_LOOPBACK,
    KITH_IP_LINK,
    KITH_IP_PRIVATE,
    KITH_IP_PUBLIC,
    KITH_IP_OTHER
} kith_ip_scope;
/* By the IANA special-purpose registries, of the first component (of a relayed address: the relay's). An IPv4-mapped address counts as
 * its IPv4 address. KITH_IP_OTHER: not an ip address, or unspecified, multicast, documentation... */
kith_ip_scope kith_maddr_scope(const kith_maddr *a);
/* The scopes of addresses that whoever is at `remote` may tell or use, a bit for each kith_ip_scope: what is only reachable on one machine or in one
 * network stays there. So a stranger cannot send us to services of our own network either. */
uint8_t kith_maddr_scopes_fitting(const kith_maddr *remote);
/* How much an address is worth to others who have nothing but it: 4 public, 3 private, 2 names and the like, 1 of this machine alone, 0 of no use
 * to anybody else. */
int kith_maddr_worth(const kith_maddr *a);

#endif
