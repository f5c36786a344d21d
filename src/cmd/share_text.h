/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How `kith share` and `kith get` say things to people. */
#ifndef KITH_CMD_SHARE_TEXT_H
#define KITH_CMD_SHARE_TEXT_H

#include "cmd/session.h"

#define SHARE_TEXT_MAX 64
#define SHARE_TEXT_NAME_MAX 256

/* "300.0 MiB". */
const char *share_text_size(uint64_t bytes, char out[SHARE_TEXT_MAX]);
/* "483 MB/s". */
const char *share_text_speed(uint64_t bytes, kith_time t, char out[SHARE_TEXT_MAX]);
/* "0:07", "1:02:03". */
const char *share_text_time(kith_time t, char out[SHARE_TEXT_MAX]);
/* "3 files, 2 folders and 1 link". */
const char *share_text_counts(uint64_t files, uint64_t dirs, uint64_t links, char out[SHARE_TEXT_MAX]);

/* How a connection runs: "relay", "lan" (the other end has a private, link-local or loopback address) or "direct". */
const char *share_text_path(const kith_conn *c);
/* "post-quantum (/noise-mlkem768-hfs/0.2.0)" or "NOT post-quantum (/noise)". */
const char *share_text_channel(const kith_conn *c, char out[2 * SHARE_TEXT_MAX]);

/* "[#####-----] ", as far as done is of all, in `room` columns at most; "" where that is too few for a bar. */
const char *share_text_bar(uint64_t done, uint64_t all, size_t room, char out[SHARE_TEXT_MAX]);
/* What something is called on the command line, escaped: its path's last component. */
const char *share_text_base(const char *path, char out[SHARE_TEXT_NAME_MAX]);

/* Adds it to a list of names, "holiday, report.pdf"; out is "" at first. False: the list was full, and ends in "..." now. */
bool share_text_add_base(const char *path, char out[SHARE_TEXT_NAME_MAX]);

/* Whether stderr is a terminal where a line can be overwritten. */
bool share_text_moves(void);
/* How wide it is. */
size_t share_text_columns(void);
/* Cuts a line so that it stays one in a terminal of so many columns, 1 or more. */
void share_text_fit(char *line, size_t columns);
/* Overwrites the line on the terminal at stderr, cut to its width. */
void share_text_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Takes it away. */
void share_text_clear(void);

/* Adds path, secure_channel, pq, peer, addr and the rest of kith_json_conn to o, as long as there is a connection. */
void share_text_conn_json(json_t *o, const kith_conn *c);

#endif
