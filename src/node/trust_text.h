/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Known peers as text, to be kept, carried and read by people: a line "kith trust 1", then a line per peer. docs/protocols/trust.md */
#ifndef KITH_NODE_TRUST_TEXT_H
#define KITH_NODE_TRUST_TEXT_H

#include "node/trust.h"

#define KITH_TRUST_TEXT_HEAD "kith trust 1\n"
#define KITH_TRUST_LINE_MAX 512 /* bytes of a line, with its newline */

/* Appends a peer's line. KITH_ESPACE. */
KITH_CHECK kith_err kith_trust_put_line(kith_wr *w, const kith_trust_row *r);

/* Takes the first line of a text off *in. KITH_EFORMAT: it is not the head; *why says so. */
KITH_CHECK kith_err kith_trust_get_head(kith_bytes *in, const char **why);
/* Takes the next line off *in, passing over empty lines and those that begin with #. KITH_ENOTFOUND: there is none. KITH_EFORMAT: it does
 * not say what it should, and *why what is wrong; *in is behind it. */
KITH_CHECK kith_err kith_trust_get_line(kith_bytes *in, kith_trust_row *r, const char **why);

#endif
