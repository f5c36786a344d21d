/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a message of type `share` says: that its sender shares something with the one it goes to, and the ticket for it. A text of JSON,
 *
 *     {"ticket": "kith1...", "what": "holiday/", "files": 412, "folders": 9, "links": 1, "bytes": 1288490188}
 *
 * so that people and programs can read it too. Whoever reads it checks that the ticket is the sender's own. docs/protocols/message.md */
#ifndef KITH_HOST_SHARE_NOTE_H
#define KITH_HOST_SHARE_NOTE_H

#include <jansson.h>

#include "apps/share_ticket.h"

#define KITH_SHARE_NOTE_TYPE "share"
#define KITH_SHARE_NOTE_MAX 8192     /* bytes of the text */
#define KITH_SHARE_NOTE_WHAT_MAX 255 /* bytes of what; what we write is cut to it */

typedef struct kith_share_note {
    char ticket[KITH_TICKET_TEXT_MAX + 1];
    char what[KITH_SHARE_NOTE_WHAT_MAX + 1]; /* printable UTF-8 (kith_text_clean) */
    uint64_t files, folders, links, bytes;
    kith_peer_id peer; /* of the ticket */
} kith_share_note;

/* The text, to be freed. NULL: no memory. */
char *kith_share_note_text(const kith_share_note *n);
/* NULL, or what is wrong; static. from: who sent it, and nobody else's ticket will do. */
const char *kith_share_note_parse(const char *text, const kith_peer_id *from, kith_share_note *out);

#endif
