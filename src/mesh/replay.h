/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which messages were here already, as long as they may be delivered, in bounded memory: no message is taken twice, whatever strangers send.
 *
 * What does not fit is forgotten together with the right to be believed: of a source whose oldest messages were forgotten, a message that
 * ends no later than these is refused, since nobody can tell any more. Contacts and strangers are kept apart, so a flood of strangers
 * forgets strangers. */
#ifndef KITH_MESH_REPLAY_H
#define KITH_MESH_REPLAY_H

#include "base/env.h"
#include "base/err.h"
#include "wire/message.h"

#define KITH_REPLAY_SOURCES_MAX 4096    /* remembered, of each kind */
#define KITH_REPLAY_MESSAGES_MAX 32768  /* remembered, of all sources of a kind */
#define KITH_REPLAY_PER_SOURCE_MAX 1024 /* of one */

typedef struct kith_replay kith_replay;

kith_replay *kith_replay_new(const kith_env *env); /* env is copied. NULL: no memory */
void kith_replay_free(kith_replay *r);             /* NULL is fine */

/* Takes a message that was verified and is fresh, once.
 *
 *   now      milliseconds since 1970, as for kith_message_fresh
 *   contact  the source is somebody whom the user knows
 *
 * KITH_OK: it was not here. KITH_EEXISTS: it was. KITH_ELIMIT: that is not known any more. KITH_ENOMEM: nothing has changed. */
KITH_CHECK kith_err kith_replay_take(kith_replay *r, const kith_message *m, uint64_t now, bool contact);

/* A message that was taken and then could not be kept: it may come again. */
void kith_replay_untake(kith_replay *r, const kith_message *m);
/* Of what somebody else remembered before and has forgotten: messages that end by then (ms since 1970) are not believed, of any source of this
 * kind that has none that is remembered. */
void kith_replay_forgot(kith_replay *r, bool contact, uint64_t ends);

/* Messages and sources that are remembered. */
size_t kith_replay_messages(const kith_replay *r);
size_t kith_replay_sources(const kith_replay *r);

#endif
