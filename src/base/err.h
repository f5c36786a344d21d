/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one list of errors of the whole core, so that nobody translates between two. */
#ifndef KITH_BASE_ERR_H
#define KITH_BASE_ERR_H

#define KITH_CHECK __attribute__((warn_unused_result))

typedef enum kith_err {
    KITH_OK = 0,
    KITH_ESHORT,       /* the input ends before the thing does */
    KITH_EFORMAT,      /* malformed text or bytes that no peer is to blame for (an argument, a file) */
    KITH_EPROTO,       /* the peer broke the protocol */
    KITH_ELIMIT,       /* a cap was reached; nothing has changed */
    KITH_ENOMEM,       /* no memory; nothing has changed */
    KITH_ESPACE,       /* the caller's output buffer is too small */
    KITH_ECRYPTO,      /* a tag, signature or key share did not check out */
    KITH_EAUTH,        /* the peer is not who was expected */
    KITH_EPOLICY,      /* refused by our own configuration (e.g. pq = require) */
    KITH_EUNSUPPORTED, /* known, but not spoken here or not by the peer */
    KITH_ENOTFOUND,
    KITH_EEXISTS,
    KITH_ETIMEOUT,
    KITH_ECLOSED,  /* closed in good order */
    KITH_ERESET,   /* torn down by the other side or by an error */
    KITH_EREFUSED, /* the peer said no */
    KITH_ESTATE,   /* the call is not possible in this state (e.g. a stream on a closed connection) */
    KITH_EIO,      /* the world failed: sockets, disks (host only) */
} kith_err;

/* A lower-case phrase for people, e.g. "limit reached"; static, never NULL. */
const char *kith_err_text(kith_err e);

/* The name for logs and --json, e.g. "limit"; static, never NULL. */
const char *kith_err_name(kith_err e);

#endif
