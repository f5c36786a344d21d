/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Passphrases: from a file descriptor that an option names, or from the terminal, where they are not shown. */
#ifndef KITH_CMD_PASSPHRASE_H
#define KITH_CMD_PASSPHRASE_H

#include "cmd/cmd.h"
#include "host/identity.h"

typedef struct passphrase {
    char text[KITH_ARGON2_PASSPHRASE_MAX + 2]; /* room to notice one that is too long */
    size_t len;
} passphrase;

/* One line (without its newline) of the descriptor that `option` names: a second call with the same descriptor gets the next line. When the
 * option was not given, from /dev/tty after `prompt`; twice: typed a second time, as a new one is. EXIT_OK, or it has complained: EXIT_CONFIG
 * when there is no terminal. Wipe it when done, whatever came back. */
int passphrase_ask(const cmd_args *args, const char *option, const char *prompt, bool twice, passphrase *out);
void passphrase_wipe(passphrase *p);

/* Unlocks an identity, which is called `name` to the user; does nothing when it is not locked. On a terminal a wrong passphrase may be tried
 * again twice. EXIT_OK, or it has complained. */
int passphrase_unlock(const cmd_args *args, kith_identity *id, const char *name);

#endif
