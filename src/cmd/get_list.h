/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How kith get shows what a share holds. */
#ifndef KITH_CMD_GET_LIST_H
#define KITH_CMD_GET_LIST_H

#include "cmd/share_text.h"
#include "host/share_fetch.h"

/* An entry's path, escaped; valid until the next call. */
const char *get_list_path(const kith_manifest *m, size_t i);
/* Its top entries: "holiday, report.pdf". */
void get_list_names(const kith_manifest *m, char out[SHARE_TEXT_NAME_MAX]);
/* After LIST: entries, what becomes of them, and how many of what kind, to stderr; or the event to stdout. */
void get_list_print(const kith_share_fetch *f);
void get_list_json(const kith_share_fetch *f);

#endif
