/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program, and the table of its commands. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <unistd.h>

extern const cmd cmd_up, cmd_status, cmd_peers, cmd_id, cmd_dial, cmd_discover, cmd_find_peer, cmd_dht,
    cmd_quantum, cmd_disconnect, cmd_ping, cmd_perf, cmd_trust, cmd_verify, cmd_invite, cmd_join, cmd_message,
    cmd_listen, cmd_topics, cmd_share, cmd_get, cmd_shares, cmd_transfers, cmd_inbox, cmd_pipe, cmd_network,
    cmd_qkd, cmd_stop, cmd_config;
extern const cmd cmd_help_command, cmd_man_command, cmd_completion_command, cmd_version_command;

const cmd *const cmd_table[] = {
    &cmd_up,
    &cmd_status,
    &cmd_peers,
    &cmd_id,
    &cmd_discover,
    &cmd_find_peer,
    &cmd_dht,
    &cmd_dial,
    &cmd_quantum,
    &cmd_disconnect,
    &cmd_ping,
    &cmd_perf,
    &cmd_trust,
    &cmd_verify,
    &cmd_invite,
    &cmd_join,
    &cmd_message,
    &cmd_listen,
    &cmd_topics,
    &cmd_share,
    &cmd_get,
    &cmd_shares,
    &cmd_transfers,
    &cmd_inbox,
    &cmd_pipe,
    &cmd_network,
    &cmd_qkd,
    &cmd_stop,
    &cmd_config,
    &cmd_help_command,
    &cmd_man_command,
    &cmd_completion_command,
    &cmd_version_command,
    NULL,
};

/* 0, 1 and 2 are to be something before anything else is opened: else a file or socket of ours becomes stdout. */
static void fill_stdio(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    fill_stdio();
    return cmd_main(argc, argv);
}
