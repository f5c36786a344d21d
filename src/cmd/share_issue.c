/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tickets with limits of their own. */
#include "cmd/share_issue.h"

#include <stdio.h>
#include <time.h>

#include "apps/share_select.h"
#include "crypto/crypto.h"

#define LONGEST_S (365u * 86400) /* that a ticket is good for, when it says so */

/* NULL: all right. */
static const char *read_patterns(const json_t *only, kith_capability *c)
{
    static char why[KITH_SELECT_PATTERN_MAX + 100];
    size_t i;
    const json_t *v;
    json_array_foreach(only, i, v)
    {
        const char *text = json_string_value(v);
        const char *fault = text ? kith_share_pattern_fault(text) : "it is no text";
        if (i == KITH_CAPABILITY_ONLY_MAX)
            return "a ticket has room for 8 patterns";
        if (fault) {
            (void)snprintf(why, sizeof why, "--only '%s': %s", text ? text : "", fault);
            return why;
        }
        c->only[c->only_count++] = kith_bytes_str(text);
    }
    return NULL;
}

static json_t *facts(const kith_capability *c, const char *ticket)
{
    json_t *only = json_array();
    for (size_t i = 0; i < c->only_count; i++)
        json_array_append_new(only, json_stringn((const char *)c->only[i].p, c->only[i].len));
    return json_pack("{s:s, s:o, s:I, s:I}", "ticket", ticket, "only", only, "times", (json_int_t)c->times,
                     "not_after", (json_int_t)c->not_after);
}

json_t *share_issue(kith_shared *s, const kith_ticket *like, uint64_t last, const json_t *params,
                    const char **why)
{
    const json_int_t times = json_integer_value(json_object_get(params, "times"));
    const json_int_t seconds = json_integer_value(json_object_get(params, "seconds"));
    char text[KITH_TICKET_TEXT_MAX + 1];
    kith_ticket t = *like;
    kith_capability c = {.times = (uint64_t)times, .not_after = last};
    kith_wr cap = kith_wr_of(kith_span_of(t.capability, sizeof t.capability));
    kith_wr w = kith_wr_of(kith_span_of(text, sizeof text - 1));
    json_t *out = NULL;
    *why = times < 0 || seconds < 0 || seconds > LONGEST_S
               ? "a limit of it makes no sense"
               : read_patterns(json_object_get(params, "only"), &c);
    if (*why)
        return NULL;
    if (seconds > 0) {
        uint64_t end = (uint64_t)time(NULL) + (uint64_t)seconds;
        c.not_after = last && last < end ? last : end;
    }
    kith_err err = kith_shared_issue(s, &c, &cap);
    t.capability_len = cap.len;
    if (!err)
        err = kith_ticket_text(&t, &w);
    if (err) {
        *why = err == KITH_ELIMIT   ? "it has given out as many tickets as it can"
               : err == KITH_ESPACE ? "the patterns are too long for a ticket"
                                    : kith_err_text(err);
    } else {
        text[w.len] = 0;
        out = facts(&c, text);
    }
    kith_wipe(text, sizeof text);
    kith_wipe(&t, sizeof t);
    return out;
}
