/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the parts of `kith id` share. */
#ifndef KITH_CMD_ID_H
#define KITH_CMD_ID_H

#include "cmd/cmd.h"
#include "host/identity.h"
#include "host/paths.h"

/* The actions that change or move an identity: exit codes. */
int id_new(const cmd_args *args);
int id_export(const cmd_args *args);
int id_import(const cmd_args *args);
int id_passphrase(const cmd_args *args);
int id_rotate(const cmd_args *args);

/* The path of the identity file, its folder made. EXIT_OK, or it has complained; so do the others. */
int id_place(char path[KITH_PATH_MAX]);
/* The same, and loads it as a node that starts does. */
int id_load(char path[KITH_PATH_MAX], kith_identity **out);
/* That its keys are those that it names, and every signature of its statements is right. name: what to call it. Not locked. */
int id_check(const kith_identity *id, const char *name);
bool id_node_runs(void);

#endif
