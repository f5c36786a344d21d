/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Going into the background once all is well: until then the terminal sees what the node says, and gets its exit code. */
#ifndef KITH_CMD_DETACH_H
#define KITH_CMD_DETACH_H

/* Forks. In the child: -1, and *ready for detach_ready. In the parent: waits until the child is ready (EXIT_OK) or has ended (its
 * exit code). Called before anything else is begun. */
int detach_begin(int *ready);
/* In the child: output goes to the log file from now on, and the parent ends. EXIT_OK, or it has complained. */
int detach_ready(int ready, const char *log);
/* Now and then, once detached: a log of more than DETACH_LOG_MAX becomes LOG.1, in the place of the one before it. */
#define DETACH_LOG_MAX (8 << 20)
void detach_turn_log(const char *log);

#endif
