/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Listening as the configuration says, for all commands that do. */
#ifndef KITH_CMD_LISTEN_H
#define KITH_CMD_LISTEN_H

#include "cmd/session.h"

typedef enum listen_default {
    LISTEN_WELL_KNOWN, /* port 9000, or the next free one with a notice */
    LISTEN_ANY_PORT,   /* whatever port is free */
} listen_default;

/* Listens and writes the addresses that peers can dial, with /p2p. EXIT_OK, or an exit code after a complaint. */
int listen_as_configured(session *s, listen_default fallback, kith_maddr *out, size_t max, size_t *count);

#endif
