/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Words for the error list. */
#include "base/err.h"

const char *kith_err_text(kith_err e)
{
    switch (e) {
    case KITH_OK:
        return "success";
    case KITH_ESHORT:
        return "input ends too early";
    case KITH_EFORMAT:
        return "malformed input";
    case KITH_EPROTO:
        return "the peer broke the protocol";
    case KITH_ELIMIT:
        return "limit reached";
    case KITH_ENOMEM:
        return "out of memory";
    case KITH_ESPACE:
        return "output buffer too small";
    case KITH_ECRYPTO:
        return "cryptographic check failed";
    case KITH_EAUTH:
        return "the peer is not who was expected";
    case KITH_EPOLICY:
        return "refused by local policy";
    case KITH_EUNSUPPORTED:
        return "not supported";
    case KITH_ENOTFOUND:
        return "not found";
    case KITH_EEXISTS:
        return "already exists";
    case KITH_ETIMEOUT:
        return "timed out";
    case KITH_ECLOSED:
        return "closed";
    case KITH_ERESET:
        return "reset";
    case KITH_EREFUSED:
        return "refused by the peer";
    case KITH_ESTATE:
        return "not possible in this state";
    case KITH_EIO:
        return "input/output error";
    }
    return "unknown error";
}

const char *kith_err_name(kith_err e)
{
    switch (e) {
    case KITH_OK:
        return "ok";
    case KITH_ESHORT:
        return "short";
    case KITH_EFORMAT:
        return "format";
    case KITH_EPROTO:
        return "protocol";
    case KITH_ELIMIT:
        return "limit";
    case KITH_ENOMEM:
        return "memory";
    case KITH_ESPACE:
        return "space";
    case KITH_ECRYPTO:
        return "crypto";
    case KITH_EAUTH:
        return "auth";
    case KITH_EPOLICY:
        return "policy";
    case KITH_EUNSUPPORTED:
        return "unsupported";
    case KITH_ENOTFOUND:
        return "notfound";
    case KITH_EEXISTS:
        return "exists";
    case KITH_ETIMEOUT:
        return "timeout";
    case KITH_ECLOSED:
        return "closed";
    case KITH_ERESET:
        return "reset";
    case KITH_EREFUSED:
        return "refused";
    case KITH_ESTATE:
        return "state";
    case KITH_EIO:
        return "io";
    }
    return "unknown";
}
