/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multiaddresses: a table of protocols, and per kind of value three functions: valid, from text, to text. */
#include "wire/multiaddr.h"

#include <assert.h>

#include "base/text.h"
#include "wire/multibase.h"
#include "wire/multihash.h"

#define NAME_MAX_LEN 255 /* RFC 1035, 2.3.4 */
#define GARLIC64_MIN 386 /* go-multiaddr: an I2P destination's least length */
#define ONION3_KEY_LEN 35
#define ONION_KEY_LEN 10

static const char hex_low[] = "0123456789abcdef";
static const char hex_up[] = "0123456789ABCDEF";

typedef enum kind {
    NOTHING,
    IP4,
    IP6,
    PORT,
    U8,
    U64,
    NAME, /* of a host, or a zone */
    PATH, /* the rest of the address */
    PEER,
    CERTHASH,
    HTTP_PATH,
    ONION,
    ONION3,
    GARLIC32,
    GARLIC64,
} kind;

typedef struct proto {
    uint32_t code;
    kind kind;
    const char *name;
} proto;

/* multiformats/multiaddr protocols.csv; text is made with the first name of a code. */
static const proto protos[] = {
    {KITH_MA_IP4, IP4, "ip4"},
    {KITH_MA_TCP, PORT, "tcp"},
    {KITH_MA_UDP, PORT, "udp"},
    {KITH_MA_IP6, IP6, "ip6"},
    {KITH_MA_IP6ZONE, NAME, "ip6zone"},
    {KITH_MA_IPCIDR, U8, "ipcidr"},
    {KITH_MA_DNS, NAME, "dns"},
    {KITH_MA_DNS4, NAME, "dns4"},
    {KITH_MA_DNS6, NAME, "dns6"},
    {KITH_MA_DNSADDR, NAME, "dnsaddr"},
    {KITH_MA_P2P, PEER, "p2p"},
    {KITH_MA_P2P, PEER, "ipfs"},
    {KITH_MA_P2P_CIRCUIT, NOTHING, "p2p-circuit"},
    {KITH_MA_QUIC_V1, NOTHING, "quic-v1"},
    {KITH_MA_QUIC, NOTHING, "quic"},
    {KITH_MA_WEBTRANSPORT, NOTHING, "webtransport"},
    {KITH_MA_CERTHASH, CERTHASH, "certhash"},
    {KITH_MA_WEBRTC_DIRECT, NOTHING, "webrtc-direct"},
    {KITH_MA_WEBRTC, NOTHING, "webrtc"},
    {KITH_MA_WS, NOTHING, "ws"},
    {KITH_MA_WSS, NOTHING, "wss"},
    {KITH_MA_TLS, NOTHING, "tls"},
    {KITH_MA_SNI, NAME, "sni"},
    {KITH_MA_NOISE, NOTHING, "noise"},
    {KITH_MA_HTTP, NOTHING, "http"},
    {KITH_MA_HTTPS, NOTHING, "https"},
    {KITH_MA_HTTP_PATH, HTTP_PATH, "http-path"},
    {KITH_MA_UNIX, PATH, "unix"},
    {KITH_MA_MEMORY, U64, "memory"},
    {KITH_MA_DCCP, PORT, "dccp"},
    {KITH_MA_SCTP, PORT, "sctp"},
    {KITH_MA_UDT, NOTHING, "udt"},
    {KITH_MA_UTP, NOTHING, "utp"},
    {KITH_MA_ONION, ONION, "onion"},
    {KITH_MA_ONION3, ONION3, "onion3"},
    {KITH_MA_GARLIC64, GARLIC64, "garlic64"},
    {KITH_MA_GARLIC32, GARLIC32, "garlic32"},
    {KITH_MA_P2P_WEBRTC_STAR, NOTHING, "p2p-webrtc-star"},
    {KITH_MA_P2P_WEBRTC_DIRECT, NOTHING, "p2p-webrtc-direct"},
    {KITH_MA_P2P_STARDUST, NOTHING, "p2p-stardust"},
    {KITH_MA_P2P_WEBSOCKET_STAR, NOTHING, "p2p-websocket-star"},
};

static const proto *by_code(uint64_t code)
{
    for (size_t i = 0; i < sizeof protos / sizeof protos[0]; i++) {
        if (protos[i].code == code)
            return &protos[i];
    }
    return NULL;
}

static const proto *by_name(kith_bytes name)
{
    for (size_t i = 0; i < sizeof protos / sizeof protos[0]; i++) {
        if (kith_bytes_eq_str(name, protos[i].name))
            return &protos[i];
    }
    return NULL;
}

/* Bytes of a value whose length is not in the address. */
static bool fixed_len(kind k, size_t *n)
{
    switch (k) {
    case NOTHING:
        *n = 0;
        return true;
    case U8:
        *n = 1;
        return true;
    case PORT:
        *n = 2;
        return true;
    case IP4:
        *n = 4;
        return true;
    case U64:
        *n = 8;
        return true;
    case ONION:
        *n = ONION_KEY_LEN + 2;
        return true;
    case IP6:
        *n = 16;
        return true;
    case ONION3:
        *n = ONION3_KEY_LEN + 2;
        return true;
    case NAME:
    case PATH:
    case PEER:
    case CERTHASH:
    case HTTP_PATH:
    case GARLIC32:
    case GARLIC64:
        return false;
    }
    return false;
}

/* ---- is a binary value valid? NULL: yes, else what is wrong ---- */

static const char *check_name(kith_bytes v)
{
    if (v.len == 0)
        return "an empty name";
    if (v.len > NAME_MAX_LEN)
        return "a name longer than 255 bytes";
    if (memchr(v.p, '/', v.len) || memchr(v.p, ' ', v.len) || !kith_text_clean(v))
        return "a character that a name cannot have";
    return NULL;
}

static const char *check_path(kith_bytes v)
{
    if (v.len < 2 || v.p[0] != '/')
        return "a path must begin with '/' and go on";
    if (v.p[v.len - 1] == '/')
        return "a socket's path cannot end in '/'"; /* a text's trailing slashes are not part of it */
    return kith_text_clean(v) ? NULL : "a character that a path cannot have here";
}

static const char *check_value(kind k, kith_bytes v)
{
    kith_multihash hash;
    kith_peer_id id;
    size_t n;
    if (fixed_len(k, &n) && v.len != n)
        return "a value of the wrong length";
    switch (k) {
    case NOTHING:
    case IP4:
    case IP6:
    case PORT:
    case U8:
    case U64:
        return NULL;
    case NAME:
        return check_name(v);
    case PATH:
        return check_path(v);
    case PEER:
        return kith_peer_id_parse(v, &id) == KITH_OK ? NULL : "not a peer id";
    case CERTHASH:
        return kith_multihash_parse(v, &hash) == KITH_OK && hash.digest.len > 0 ? NULL : "not a multihash";
    case HTTP_PATH:
        return v.len > 0 ? NULL : "an empty path";
    case ONION:
    case ONION3:
        return v.p[v.len - 1] | v.p[v.len - 2] ? NULL : "port 0";
    case GARLIC32:
        return v.len == 32 || v.len >= 35 ? NULL : "not an I2P address";
    case GARLIC64:
        return v.len >= GARLIC64_MIN ? NULL : "not an I2P address";
    }
    return "not a value";
}

/* ---- from text: appends the value, unchecked where check_value will see it; NULL or what is wrong ---- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or 16. */
static unsigned hex_digit(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    uint8_t low = c | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10u : 16;
}

/* Decimal digits only, no leading zeros, at most max. */
static bool get_dec(kith_bytes text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0 || (text.len > 1 && text.p[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.p[i]))
            return false;
        unsigned d = text.p[i] - '0';
        if (v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

/* Up to the first stop character, which goes too; *found false: there was none, and everything is taken. */
static kith_bytes split(kith_bytes *in, uint8_t stop, bool *found)
{
    const uint8_t *at = in->len ? memchr(in->p, stop, in->len) : NULL;
    size_t n = at ? (size_t)(at - in->p) : in->len;
    kith_bytes head = kith_bytes_of(in->p, n);
    *in = kith_bytes_skip(*in, at ? n + 1 : n);
    *found = at != NULL;
    return head;
}

static bool get_ip4(kith_bytes text, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        bool dot;
        uint64_t v;
        if (!get_dec(split(&text, '.', &dot), 255, &v) || dot != (i < 3))
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

/* RFC 4291, 2.2: eight groups, one run of zeros may be "::", the last two may be an IPv4 address. */
static bool get_ip6(kith_bytes text, uint8_t out[16])
{
    uint8_t b[16];
    size_t n = 0, gap = SIZE_MAX; /* bytes before the "::" */
    if (text.len >= 2 && text.p[0] == ':' && text.p[1] == ':') {
        gap = 0;
        text = kith_bytes_skip(text, 2);
    }
    while (text.len > 0) {
        bool colon;
        kith_bytes group = split(&text, ':', &colon);
        if (!colon && n <= 12 && get_ip4(group, b + n)) {
            n += 4;
            break;
        }
        if (n == 16 || group.len == 0 || group.len > 4)
            return false;
        unsigned v = 0;
        for (size_t i = 0; i < group.len; i++) {
            unsigned d = hex_digit(group.p[i]);
            if (d == 16)
                return false;
            v = v << 4 | d;
        }
        kith_store_be16(b + n, (uint16_t)v);
        n += 2;
        if (!colon)
            break;
        if (text.len == 0)
            return false; /* ends in a single colon */
        if (text.p[0] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = n;
            text = kith_bytes_skip(text, 1);
        }
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14) /* "::" stands for one group at least */
        return false;
    if (gap == SIZE_MAX)
        gap = n;
    memset(out, 0, 16);
    memcpy(out, b, gap);
    memcpy(out + 16 - (n - gap), b + gap, n - gap);
    return true;
}

/* RFC 3986 "segment-nz", as the http-path page asks. */
static const char *read_http_path(kith_bytes text, kith_wr *w)
{
    static const char also[] = "-._~!$&'()*+,;=:@";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i], low = c | 0x20;
        if (c == '%') {
            unsigned hi = text.len - i > 2 ? hex_digit(text.p[i + 1]) : 16;
            unsigned lo = text.len - i > 2 ? hex_digit(text.p[i + 2]) : 16;
            if (hi == 16 || lo == 16)
                return "'%' is not followed by two hexadecimal digits";
            kith_put_u8(w, (uint8_t)(hi << 4 | lo));
            i += 2;
        } else if (is_digit(c) || (low >= 'a' && low <= 'z') || (c != 0 && strchr(also, c))) {
            kith_put_u8(w, c);
        } else {
            return "a character of a path that must be percent-encoded";
        }
    }
    return NULL;
}

/* key ":" port */
static const char *read_onion(kith_bytes text, size_t key_len, kith_wr *w)
{
    bool colon;
    uint64_t port;
    uint8_t key[ONION3_KEY_LEN];
    kith_wr k = kith_wr_of(kith_span_of(key, sizeof key));
    kith_bytes host = split(&text, ':', &colon);
    if (kith_base_get(host, KITH_BASE32, &k) != KITH_OK || k.len != key_len)
        return "not an onion address";
    if (!colon || !get_dec(text, UINT16_MAX, &port))
        return "not a port";
    kith_put_bytes(w, kith_wr_bytes(&k));
    kith_put_be16(w, (uint16_t)port);
    return NULL;
}

/* I2P's base64 has '~' where base64url has '_', and is padded. */
static const char *read_garlic64(kith_bytes text, kith_wr *w)
{
    uint8_t url[(KITH_MADDR_MAX + 2) / 3 * 4];
    if (text.len % 4 != 0 || text.len > sizeof url)
        return "not an I2P address";
    for (int i = 0; i < 2 && text.len > 0 && text.p[text.len - 1] == '='; i++)
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '_')
            return "not an I2P address";
        url[i] = text.p[i] == '~' ? '_' : text.p[i];
    }
    return kith_base_get(kith_bytes_of(url, text.len), KITH_BASE64URL, w) == KITH_EFORMAT
               ? "not an I2P address"
               : NULL;
}

static const char *read_value(kind k, kith_bytes text, kith_wr *w)
{
    uint8_t b[16];
    uint64_t v;
    kith_peer_id id;
    kith_err e;
    switch (k) {
    case NOTHING:
        return NULL;
    case IP4:
        if (!get_ip4(text, b))
            return "not an IPv4 address";
        kith_put_bytes(w, kith_bytes_of(b, 4));
        return NULL;
    case IP6:
        if (!get_ip6(text, b))
            return "not an IPv6 address";
        kith_put_bytes(w, kith_bytes_of(b, 16));
        return NULL;
    case PORT:
        if (!get_dec(text, UINT16_MAX, &v))
            return "not a port";
        kith_put_be16(w, (uint16_t)v);
        return NULL;
    case U8:
        if (!get_dec(text, UINT8_MAX, &v))
            return "not a prefix length";
        kith_put_u8(w, (uint8_t)v);
        return NULL;
    case U64:
        if (!get_dec(text, UINT64_MAX, &v))
            return "not a number of 64 bits";
        kith_put_be64(w, v);
        return NULL;
    case NAME:
        kith_put_bytes(w, text);
        return NULL;
    case PATH:
        kith_put_u8(w, '/');
        kith_put_bytes(w, text);
        return NULL;
    case PEER:
        if (kith_peer_id_from_text(text, &id) != KITH_OK)
            return "not a peer id";
        kith_put_bytes(w, kith_peer_id_bytes(&id));
        return NULL;
    case CERTHASH:
        e = kith_multibase_get(text, w);
        /* That it is too long is the caller's to say. */
        return e == KITH_OK || e == KITH_ESPACE || e == KITH_ELIMIT ? NULL : "not a multibase text";
    case HTTP_PATH:
        return read_http_path(text, w);
    case ONION:
        return read_onion(text, ONION_KEY_LEN, w);
    case ONION3:
        return read_onion(text, ONION3_KEY_LEN, w);
    case GARLIC32:
        return kith_base_get(text, KITH_BASE32, w) == KITH_EFORMAT ? "not an I2P address" : NULL;
    case GARLIC64:
        return read_garlic64(text, w);
    }
    return "not a value";
}

/* ---- to text ---- */

static void put_ip4(kith_wr *w, const uint8_t b[4])
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            kith_put_u8(w, '.');
        kith_put_dec(w, b[i]);
    }
}

static bool is_mapped_ip4(const uint8_t b[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(b, prefix, sizeof prefix) == 0;
}

/* RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as "::", IPv4-mapped in dotted form. */
static void put_ip6(kith_wr *w, const uint8_t b[16])
{
    if (is_mapped_ip4(b)) {
        kith_put_str(w, "::ffff:");
        put_ip4(w, b + 12);
        return;
    }
    unsigned from = 8, run = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned n = 0;
        while (i + n < 8 && kith_load_be16(b + (size_t)2 * (i + n)) == 0)
            n++;
        if (n > run) {
            from = i;
            run = n;
        }
    }
    for (unsigned i = 0; i < 8;) {
        if (i == from) {
            kith_put_str(w, "::");
            i += run;
            continue;
        }
        if (i > 0 && i != from + run)
            kith_put_u8(w, ':');
        uint16_t g = kith_load_be16(b + (size_t)2 * i);
        bool begun = false;
        for (int shift = 12; shift >= 0; shift -= 4) {
            uint8_t d = g >> shift & 15;
            begun = begun || d || shift == 0;
            if (begun)
                kith_put_u8(w, (uint8_t)hex_low[d]);
        }
        i++;
    }
}

static void put_http_path(kith_wr *w, kith_bytes v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.p[i], low = c | 0x20;
        if (is_digit(c) || (low >= 'a' && low <= 'z') || c == '-' || c == '.' || c == '_' || c == '~') {
            kith_put_u8(w, c);
        } else {
            kith_put_u8(w, '%');
            kith_put_u8(w, (uint8_t)hex_up[c >> 4]);
            kith_put_u8(w, (uint8_t)hex_up[c & 15]);
        }
    }
}

static void put_onion(kith_wr *w, kith_bytes v)
{
    kith_base_put(w, KITH_BASE32, kith_bytes_of(v.p, v.len - 2));
    kith_put_u8(w, ':');
    kith_put_dec(w, kith_load_be16(v.p + v.len - 2));
}

static void put_garlic64(kith_wr *w, kith_bytes v)
{
    size_t start = w->len;
    kith_base_put(w, KITH_BASE64URL, v);
    for (size_t i = start; i < w->len; i++) {
        if (w->out.p[i] == '_')
            w->out.p[i] = '~';
    }
    for (size_t n = v.len; n % 3 != 0; n++)
        kith_put_u8(w, '=');
}

static void put_value(kith_wr *w, kind k, kith_bytes v)
{
    switch (k) {
    case NOTHING:
        return;
    case IP4:
        put_ip4(w, v.p);
        return;
    case IP6:
        put_ip6(w, v.p);
        return;
    case PORT:
        kith_put_dec(w, kith_load_be16(v.p));
        return;
    case U8:
        kith_put_dec(w, v.p[0]);
        return;
    case U64:
        kith_put_dec(w, kith_load_be64(v.p));
        return;
    case NAME:
        kith_put_bytes(w, v);
        return;
    case PATH:
        kith_put_bytes(w, kith_bytes_skip(v, 1)); /* the '/' after the protocol's name is the path's first */
        return;
    case PEER:
        kith_base_put(w, KITH_BASE58, v);
        return;
    case CERTHASH:
        kith_multibase_put(w, KITH_BASE64URL, v);
        return;
    case HTTP_PATH:
        put_http_path(w, v);
        return;
    case ONION:
    case ONION3:
        put_onion(w, v);
        return;
    case GARLIC32:
        kith_base_put(w, KITH_BASE32, v);
        return;
    case GARLIC64:
        put_garlic64(w, v);
        return;
    }
}

/* ---- whole addresses ---- */

/* Reads one component of a binary address; NULL or what is wrong. */
static const char *get_part(kith_rd *r, const proto **p, kith_bytes *value)
{
    uint64_t code = kith_get_uvarint(r);
    if (r->bad)
        return "a malformed protocol code";
    const proto *found = by_code(code);
    if (!found)
        return "an unknown protocol";
    size_t n;
    kith_bytes v = fixed_len(found->kind, &n) ? kith_get_bytes(r, n) : kith_get_lp(r);
    if (r->bad)
        return "a value that ends too early";
    if (found->kind == PATH && r->in.len > 0)
        return "something after a path";
    const char *why = check_value(found->kind, v);
    if (!why) {
        *p = found;
        *value = v;
    }
    return why;
}

static void put_text(const kith_maddr *a, kith_wr *w)
{
    kith_rd r = kith_rd_of(kith_maddr_bytes(a));
    while (r.in.len > 0) {
        const proto *p = NULL;
        kith_bytes v;
        const char *why = get_part(&r, &p, &v);
        assert(!why);
        (void)why;
        kith_put_u8(w, '/');
        kith_put_str(w, p->name);
        if (p->kind != NOTHING) {
            kith_put_u8(w, '/');
            put_value(w, p->kind, v);
        }
    }
}

/* Every valid address has a text of at most KITH_MADDR_TEXT_MAX. Two bytes make at most 19 characters ("/p2p-websocket-star"), so only
 * long ones need a look. */
static bool text_fits(const kith_maddr *a)
{
    uint8_t text[KITH_MADDR_TEXT_MAX];
    if (a->len <= KITH_MADDR_TEXT_MAX / 10)
        return true;
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text));
    put_text(a, &w);
    return !w.bad;
}

static kith_err parse(kith_bytes in, kith_maddr *out, const char **why)
{
    kith_rd r = kith_rd_of(in);
    kith_maddr a;
    if (in.len == 0) {
        *why = "an empty address";
        return KITH_EFORMAT;
    }
    if (in.len > sizeof a.b) {
        *why = "an address that is too long";
        return KITH_ELIMIT;
    }
    while (r.in.len > 0) {
        const proto *p;
        kith_bytes v;
        *why = get_part(&r, &p, &v);
        if (*why)
            return KITH_EFORMAT;
    }
    a.len = (uint16_t)in.len;
    memcpy(a.b, in.p, in.len);
    if (!text_fits(&a)) {
        *why = "an address that is too long as text";
        return KITH_ELIMIT;
    }
    memcpy(out->b, a.b, a.len);
    out->len = a.len;
    return KITH_OK;
}

kith_err kith_maddr_parse(kith_bytes in, kith_maddr *out)
{
    const char *why;
    return parse(in, out, &why);
}

static kith_err from_text(kith_bytes text, kith_maddr *out, const char **why)
{
    uint8_t b[KITH_MADDR_MAX], value[KITH_MADDR_MAX];
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    if (text.len == 0 || text.p[0] != '/') {
        *why = "an address begins with '/'";
        return KITH_EFORMAT;
    }
    while (text.len > 0 && text.p[text.len - 1] == '/')
        text.len--;
    if (text.len == 0) {
        *why = "an empty address";
        return KITH_EFORMAT;
    }
    text = kith_bytes_skip(text, 1);
    bool more = true;
    while (more) {
        size_t n;
        const proto *p = by_name(split(&text, '/', &more));
        if (!p) {
            *why = "an unknown protocol";
            return KITH_EFORMAT;
        }
        kith_put_uvarint(&w, p->code);
        if (p->kind != NOTHING) {
            if (!more) {
                *why = "a protocol without its value";
                return KITH_EFORMAT;
            }
            kith_bytes v = text;
            if (p->kind == PATH)
                more = false;
            else
                v = split(&text, '/', &more);
            kith_wr bin = kith_wr_of(kith_span_of(value, sizeof value));
            *why = read_value(p->kind, v, &bin);
            if (*why)
                return KITH_EFORMAT;
            w.bad = w.bad || bin.bad;
            if (!fixed_len(p->kind, &n))
                kith_put_uvarint(&w, bin.len);
            kith_put_bytes(&w, kith_wr_bytes(&bin));
        }
        if (w.bad) {
            *why = "an address that is too long";
            return KITH_ELIMIT;
        }
    }
    return parse(kith_wr_bytes(&w), out, why);
}

kith_err kith_maddr_from_text(kith_bytes text, kith_maddr *out, const char **why)
{
    const char *phrase = NULL;
    kith_err e = from_text(text, out, &phrase);
    if (e && why)
        *why = phrase;
    return e;
}

void kith_maddr_text(const kith_maddr *a, char out[KITH_MADDR_TEXT_MAX + 1])
{
    kith_wr w = kith_wr_of(kith_span_of(out, KITH_MADDR_TEXT_MAX));
    put_text(a, &w);
    assert(!w.bad);
    out[w.len] = '\0';
}

bool kith_maddr_next(const kith_maddr *a, size_t *at, kith_maddr_part *out)
{
    kith_rd r = kith_rd_of(kith_bytes_skip(kith_maddr_bytes(a), *at));
    const proto *p;
    kith_bytes v;
    if (r.in.len == 0 || get_part(&r, &p, &v))
        return false;
    *at = a->len - r.in.len;
    *out = (kith_maddr_part){.code = p->code, .value = v};
    return true;
}

bool kith_maddr_find(const kith_maddr *a, uint32_t code, kith_maddr_part *out)
{
    kith_maddr_part part;
    for (size_t at = 0; kith_maddr_next(a, &at, &part);) {
        if (part.code == code) {
            *out = part;
            return true;
        }
    }
    return false;
}

kith_err kith_maddr_add(kith_maddr *a, uint32_t code, kith_bytes value)
{
    size_t n;
    uint8_t b[KITH_MADDR_MAX];
    const proto *p = by_code(code);
    if (!p || check_value(p->kind, value))
        return KITH_EFORMAT;
    kith_wr w = kith_wr_of(kith_span_of(b, sizeof b));
    kith_put_bytes(&w, kith_maddr_bytes(a));
    kith_put_uvarint(&w, code);
    if (!fixed_len(p->kind, &n))
        kith_put_uvarint(&w, value.len);
    kith_put_bytes(&w, value);
    return w.bad ? KITH_ELIMIT : kith_maddr_parse(kith_wr_bytes(&w), a);
}

/* Where the trailing /p2p begins; its end when there is none. */
static size_t peer_at(const kith_maddr *a, kith_maddr_part *out)
{
    size_t last = a->len;
    kith_maddr_part part = {0};
    for (size_t at = 0, start = 0; kith_maddr_next(a, &at, &part); start = at)
        last = start;
    if (part.code != KITH_MA_P2P)
        return a->len;
    *out = part;
    return last;
}

kith_err kith_maddr_set_peer(kith_maddr *a, const kith_peer_id *id)
{
    kith_maddr_part part;
    kith_maddr cut;
    cut.len = (uint16_t)peer_at(a, &part);
    memcpy(cut.b, a->b, cut.len);
    kith_err e = id ? kith_maddr_add(&cut, KITH_MA_P2P, kith_peer_id_bytes(id)) : KITH_OK;
    if (e)
        return e;
    memcpy(a->b, cut.b, cut.len);
    a->len = cut.len;
    return KITH_OK;
}

bool kith_maddr_peer(const kith_maddr *a, kith_peer_id *out)
{
    kith_maddr_part part;
    return peer_at(a, &part) < a->len && kith_peer_id_parse(part.value, out) == KITH_OK;
}

/* ---- TCP ---- */

static bool host_of(uint32_t code, kith_maddr_host *out)
{
    static const struct {
        uint32_t code;
        kith_maddr_host host;
    } hosts[] = {{KITH_MA_IP4, KITH_HOST_IP4},   {KITH_MA_IP6, KITH_HOST_IP6},
                 {KITH_MA_DNS, KITH_HOST_DNS},   {KITH_MA_DNS4, KITH_HOST_DNS4},
                 {KITH_MA_DNS6, KITH_HOST_DNS6}, {KITH_MA_DNSADDR, KITH_HOST_DNSADDR}};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        if (hosts[i].code == code) {
            *out = hosts[i].host;
            return true;
        }
    }
    return false;
}

kith_err kith_maddr_to_tcp(const kith_maddr *a, kith_maddr_tcp *out)
{
    kith_maddr_tcp t = {0};
    kith_maddr_part part;
    size_t at = 0;
    bool more = kith_maddr_next(a, &at, &part);
    if (more && part.code == KITH_MA_IP6ZONE) {
        t.zone = part.value;
        more = kith_maddr_next(a, &at, &part) && part.code == KITH_MA_IP6;
    }
    if (!more || !host_of(part.code, &t.host))
        return KITH_EUNSUPPORTED;
    t.value = part.value;
    more = kith_maddr_next(a, &at, &part);
    if (more && t.host == KITH_HOST_IP6 && t.zone.len == 0 &&
        part.code == KITH_MA_IP6ZONE) { /* rust's order */
        t.zone = part.value;
        more = kith_maddr_next(a, &at, &part);
    }
    if (more && part.code == KITH_MA_TCP) {
        t.port = kith_load_be16(part.value.p);
        more = kith_maddr_next(a, &at, &part);
    } else if (t.host != KITH_HOST_DNSADDR) {
        return KITH_EUNSUPPORTED;
    }
    if (more) {
        if (part.code != KITH_MA_P2P || at < a->len || kith_peer_id_parse(part.value, &t.peer) != KITH_OK)
            return KITH_EUNSUPPORTED;
    }
    *out = t;
    return KITH_OK;
}

void kith_maddr_from_tcp(kith_bytes ip, uint16_t port, kith_maddr *out)
{
    assert(ip.len == 4 || ip.len == 16);
    kith_wr w = kith_wr_of(kith_span_of(out->b, sizeof out->b));
    kith_put_uvarint(&w, ip.len == 4 ? KITH_MA_IP4 : KITH_MA_IP6);
    kith_put_bytes(&w, ip);
    kith_put_uvarint(&w, KITH_MA_TCP);
    kith_put_be16(&w, port);
    out->len = (uint16_t)w.len;
}

/* ---- scope ---- */

typedef struct range {
    uint8_t prefix[16];
    uint8_t bits;
    kith_ip_scope scope;
} range;

/* IANA IPv4 Special-Purpose Address Registry, and multicast and class E; what is not listed is public. First match wins. */
static const range ip4_ranges[] = {
    {{0}, 8, KITH_IP_OTHER},          /* "this network" */
    {{10}, 8, KITH_IP_PRIVATE},       /* RFC 1918 */
    {{100, 64}, 10, KITH_IP_PRIVATE}, /* shared address space: behind a carrier's NAT */
    {{127}, 8, KITH_IP_LOOPBACK},
    {{169, 254}, 16, KITH_IP_LINK},
    {{172, 16}, 12, KITH_IP_PRIVATE},
    {{192, 0, 0}, 24, KITH_IP_OTHER},   /* IETF protocol assignments */
    {{192, 0, 2}, 24, KITH_IP_OTHER},   /* documentation */
    {{192, 88, 99}, 24, KITH_IP_OTHER}, /* 6to4 relay anycast, deprecated */
    {{192, 168}, 16, KITH_IP_PRIVATE},
    {{198, 18}, 15, KITH_IP_OTHER},      /* benchmarking */
    {{198, 51, 100}, 24, KITH_IP_OTHER}, /* documentation */
    {{203, 0, 113}, 24, KITH_IP_OTHER},  /* documentation */
    {{224}, 3, KITH_IP_OTHER},           /* multicast, reserved, broadcast */
};

/* IANA IPv6 Special-Purpose Address Registry; what is not listed is public inside 2000::/3 and nothing outside it. */
static const range ip6_ranges[] = {
    {{[15] = 1}, 128, KITH_IP_LOOPBACK},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, KITH_IP_PRIVATE}, /* NAT64 inside a site */
    {{0x20, 0x01, 0x00, 0x01}, 32, KITH_IP_OTHER},               /* anycast of PCP, TURN, DNS-SD */
    {{0x20, 0x01, 0x00, 0x03}, 32, KITH_IP_PUBLIC},              /* AMT */
    {{0x20, 0x01, 0x00, 0x04, 0x01, 0x12}, 48, KITH_IP_PUBLIC},  /* AS112 */
    {{0x20, 0x01, 0x00, 0x20}, 28, KITH_IP_PUBLIC},              /* ORCHIDv2 */
    {{0x20, 0x01, 0x00, 0x30}, 28, KITH_IP_PUBLIC},              /* drone identifiers */
    {{0x20, 0x01}, 23, KITH_IP_OTHER}, /* the other protocol assignments: Teredo, benchmarking ... */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, KITH_IP_OTHER}, /* documentation */
    {{0x20, 0x02}, 16, KITH_IP_OTHER},             /* 6to4 */
    {{0x3f, 0xff}, 20, KITH_IP_OTHER},             /* documentation */
    {{0x20}, 3, KITH_IP_PUBLIC},                   /* global unicast */
    {{0xfc}, 7, KITH_IP_PRIVATE},                  /* unique local */
    {{0xfe, 0x80}, 10, KITH_IP_LINK},
};

static bool in_range(const uint8_t *ip, const range *r)
{
    size_t whole = r->bits / 8;
    unsigned rest = r->bits % 8;
    if (memcmp(ip, r->prefix, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ r->prefix[whole]) >> (8 - rest)) == 0;
}

static kith_ip_scope ip4_scope(const uint8_t *ip)
{
    for (size_t i = 0; i < sizeof ip4_ranges / sizeof ip4_ranges[0]; i++) {
        if (in_range(ip, &ip4_ranges[i]))
            return ip4_ranges[i].scope;
    }
    return KITH_IP_PUBLIC;
}

static kith_ip_scope ip6_scope(const uint8_t *ip)
{
    static const range nat64 = {
        {0x00, 0x64, 0xff, 0x9b}, 96, KITH_IP_PUBLIC}; /* RFC 6052: a public IPv4 address from behind NAT64 */
    if (is_mapped_ip4(ip))
        return ip4_scope(ip + 12);
    if (in_range(ip, &nat64))
        return ip4_scope(ip + 12) == KITH_IP_PUBLIC ? KITH_IP_PUBLIC : KITH_IP_OTHER;
    for (size_t i = 0; i < sizeof ip6_ranges / sizeof ip6_ranges[0]; i++) {
        if (in_range(ip, &ip6_ranges[i]))
            return ip6_ranges[i].scope;
    }
    return KITH_IP_OTHER;
}

kith_ip_scope kith_maddr_scope(const kith_maddr *a)
{
    kith_maddr_part part;
    size_t at = 0;
    bool more = kith_maddr_next(a, &at, &part);
    if (more && part.code == KITH_MA_IP6ZONE)
        more = kith_maddr_next(a, &at, &part);
    if (more && part.code == KITH_MA_IP4)
        return ip4_scope(part.value.p);
    if (more && part.code == KITH_MA_IP6)
        return ip6_scope(part.value.p);
    return KITH_IP_OTHER;
}

uint8_t kith_maddr_scopes_fitting(const kith_maddr *remote)
{
    kith_ip_scope there = kith_maddr_scope(remote);
    unsigned fit = 1u << KITH_IP_PUBLIC | 1u << KITH_IP_OTHER;
    if (there == KITH_IP_LOOPBACK)
        fit |= 1u << KITH_IP_LOOPBACK;
    if (there != KITH_IP_PUBLIC)
        fit |= 1u << KITH_IP_LINK | 1u << KITH_IP_PRIVATE;
    return (uint8_t)fit;
}

int kith_maddr_worth(const kith_maddr *a)
{
    switch (kith_maddr_scope(a)) {
    case KITH_IP_PUBLIC:
        return 4;
    case KITH_IP_PRIVATE:
        return 3;
    case KITH_IP_OTHER:
        return 2;
    case KITH_IP_LOOPBACK:
        return 1;
    case KITH_IP_LINK:
        return 0;
    }
    return 0;
}
