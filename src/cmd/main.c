/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program, and the table of its commands. */
#include "cmd/cmd.h"

extern const cmd cmd_up, cmd_status, cmd_peers, cmd_id, cmd_dial, cmd_disconnect, cmd_ping, cmd_perf,
    cmd_share, cmd_get, cmd_pipe, cmd_stop, cmd_config;
extern const cmd cmd_help_command, cmd_man_command, cmd_completion_command, cmd_version_command;

const cmd *const cmd_table[] = {
    &cmd_up,
    &cmd_status,
    &cmd_peers,
    &cmd_id,
    &cmd_dial,
    &cmd_disconnect,
    &cmd_ping,
    &cmd_perf,
    &cmd_share,
    &cmd_get,
    &cmd_pipe,
    &cmd_stop,
    &cmd_config,
    &cmd_help_command,
    &cmd_man_command,
    &cmd_completion_command,
    &cmd_version_command,
    NULL,
};

int main(int argc, char **argv)
{
    return cmd_main(argc, argv);
}
