/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DNS messages, as far as multicast DNS needs them: RFC 1035 section 4, RFC 6762 section 18. Reading is strict, and
 * bounded by the length of the message: a message is looked at once as a whole, and walked only if all of it is
 * well-formed. */
#ifndef KITH_WIRE_DNS_H
#define KITH_WIRE_DNS_H

#include "base/bytes.h"
#include "base/err.h"

#define KITH_DNS_MSG_MAX 9000  /* RFC 6762, 17 */
#define KITH_DNS_NAME_MAX 255  /* bytes with the root's zero: RFC 1035, 2.3.4 */
#define KITH_DNS_LABEL_MAX 63  /* RFC 1035, 2.3.4 */
#define KITH_DNS_ITEMS_MAX 256 /* questions and records of one message; more are refused */

/* Types and classes of RFC 1035 3.2, RFC 3596, RFC 2782. */
enum {
    KITH_DNS_A = 1,
    KITH_DNS_PTR = 12,
    KITH_DNS_TXT = 16,
    KITH_DNS_AAAA = 28,
    KITH_DNS_SRV = 33,
    KITH_DNS_ANY = 255,
    KITH_DNS_IN = 1,
};

/* Header flags, RFC 1035 4.1.1. */
enum {
    KITH_DNS_RESPONSE = 0x8000,
    KITH_DNS_OPCODE = 0x7800,
    KITH_DNS_AUTHORITATIVE = 0x0400,
    KITH_DNS_RCODE = 0x000f,
};

/* A name as labels, each behind its length, and the root's zero; not compressed. len 0: none. */
typedef struct kith_dns_name {
    uint8_t len;
    uint8_t b[KITH_DNS_NAME_MAX];
} kith_dns_name;

/* From "_p2p._udp.local", for names of our own. KITH_EFORMAT: an empty or overlong label, or too long. */
KITH_CHECK kith_err kith_dns_name_of(const char *text, kith_dns_name *out);
/* label.rest; label is 1 to KITH_DNS_LABEL_MAX bytes. KITH_EFORMAT: it is not, or the whole is too long. */
KITH_CHECK kith_err kith_dns_name_join(kith_bytes label, const kith_dns_name *rest, kith_dns_name *out);
/* Without regard to the case of ASCII letters: RFC 6762, 16. */
bool kith_dns_name_eq(const kith_dns_name *a, const kith_dns_name *b);
/* Whether name is one label before rest; that label, a view into name. */
bool kith_dns_name_below(const kith_dns_name *name, const kith_dns_name *rest, kith_bytes *label);

/* ---- reading ---- */

typedef enum kith_dns_section {
    KITH_DNS_QUESTION,
    KITH_DNS_ANSWER,
    KITH_DNS_AUTHORITY,
    KITH_DNS_ADDITIONAL
} kith_dns_section;

/* A question (ttl 0, no data) or a record. */
typedef struct kith_dns_item {
    kith_dns_section section;
    kith_dns_name name;
    uint16_t type, cls; /* cls without its top bit */
    bool top; /* that bit: of a question, a unicast answer is wanted; of a record, it replaces older ones */
    uint32_t ttl;         /* seconds */
    kith_bytes data;      /* view into the message; of TXT, A and AAAA well-formed */
    kith_dns_name target; /* of PTR and SRV, else len 0 */
} kith_dns_item;

typedef struct kith_dns_rd {
    kith_bytes msg;
    size_t at;
    uint16_t id, flags;
    uint16_t left[4]; /* by section */
} kith_dns_rd;

/* Looks at all of msg, which must live as long as the reader. KITH_EPROTO: cut off, a name whose pointers do not
 * lead strictly backwards or that is too long, data that is not what its type says, or bytes behind the end.
 * KITH_ELIMIT: longer than KITH_DNS_MSG_MAX, or more than KITH_DNS_ITEMS_MAX questions and records. */
KITH_CHECK kith_err kith_dns_open(kith_dns_rd *r, kith_bytes msg);
/* Questions and records in order; false at the end. */
bool kith_dns_next(kith_dns_rd *r, kith_dns_item *out);
/* The strings of a TXT record's data, one after another; cuts *data. False at the end. RFC 1035, 3.3.14. */
bool kith_dns_txt_next(kith_bytes *data, kith_bytes *string);

/* ---- writing ----
 * Names share the ends of earlier ones (compression). After something that does not fit nothing more is written and
 * w.bad stays set; kith_dns_here and kith_dns_undo take back what did not. */

#define KITH_DNS_SUFFIXES_MAX 32 /* places that later names may point to */

typedef struct kith_dns_wr {
    kith_wr w;
    uint16_t count[4];
    uint16_t places[KITH_DNS_SUFFIXES_MAX];
    size_t place_count;
    size_t data_at; /* of the record being written; 0: none */
} kith_dns_wr;

typedef struct kith_dns_mark {
    size_t len, place_count, data_at;
    uint16_t count[4];
} kith_dns_mark;

/* flags: of the header; the id is zero, as RFC 6762 18.1 wants it. */
void kith_dns_begin(kith_dns_wr *w, kith_span out, uint16_t flags);
void kith_dns_put_question(kith_dns_wr *w, const kith_dns_name *name, uint16_t type);
/* A record without its data; the data follows with the functions below or with kith_put_* on w->w, then
 * kith_dns_end_record. */
void kith_dns_put_record(kith_dns_wr *w, kith_dns_section section, const kith_dns_name *name, uint16_t type,
                         uint32_t ttl);
void kith_dns_put_name(kith_dns_wr *w, const kith_dns_name *name);
/* One string of a TXT record; at most 255 bytes. */
void kith_dns_put_string(kith_dns_wr *w, kith_bytes string);
void kith_dns_end_record(kith_dns_wr *w);
kith_dns_mark kith_dns_here(const kith_dns_wr *w);
void kith_dns_undo(kith_dns_wr *w, kith_dns_mark to);
/* Fills in the header; the whole message, or empty when something did not fit. */
kith_bytes kith_dns_finish(kith_dns_wr *w);

#endif
