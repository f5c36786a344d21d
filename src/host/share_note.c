/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages of type share. */
#include "host/share_note.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/json.h"

char *kith_share_note_text(const kith_share_note *n)
{
    json_t *o =
        json_pack("{s:s, s:o, s:I, s:I, s:I, s:I}", "ticket", n->ticket, "what", kith_json_text(n->what),
                  "files", (json_int_t)n->files, "folders", (json_int_t)n->folders, "links",
                  (json_int_t)n->links, "bytes", (json_int_t)n->bytes);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static bool number_of(const json_t *o, const char *name, uint64_t *out)
{
    const json_t *v = json_object_get(o, name);
    *out = (uint64_t)json_integer_value(v);
    return !v || (json_is_integer(v) && json_integer_value(v) >= 0);
}

static const char *read_fields(const json_t *o, const kith_peer_id *from, kith_share_note *out)
{
    const json_t *ticket = json_object_get(o, "ticket"), *what = json_object_get(o, "what");
    kith_ticket t;
    const char *why;
    size_t len = json_string_length(what);
    if (!json_is_string(ticket) || json_string_length(ticket) > KITH_TICKET_TEXT_MAX)
        return "it has no ticket";
    if (!json_is_string(what) || len == 0 || len > KITH_SHARE_NOTE_WHAT_MAX ||
        !kith_text_clean(kith_bytes_of(json_string_value(what), len)))
        return "it does not say in printable words what is shared";
    if (!number_of(o, "files", &out->files) || !number_of(o, "folders", &out->folders) ||
        !number_of(o, "links", &out->links) || !number_of(o, "bytes", &out->bytes))
        return "its counts are no counts";
    snprintf(out->ticket, sizeof out->ticket, "%s", json_string_value(ticket));
    snprintf(out->what, sizeof out->what, "%s", json_string_value(what));
    if (kith_ticket_parse(kith_bytes_str(out->ticket), &t, &why))
        return "its ticket cannot be used";
    out->peer = t.peer;
    return kith_peer_id_eq(&t.peer, from) ? NULL : "its ticket is not the sender's own";
}

const char *kith_share_note_parse(const char *text, const kith_peer_id *from, kith_share_note *out)
{
    size_t len = strnlen(text, KITH_SHARE_NOTE_MAX + 1);
    json_t *o = len <= KITH_SHARE_NOTE_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    *out = (kith_share_note){0};
    const char *why = o ? read_fields(o, from, out) : "it is no JSON of at most 8 KiB";
    json_decref(o);
    return why;
}
