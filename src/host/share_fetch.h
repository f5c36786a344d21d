/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fetching a share: dials who has it, gets the list, lets the owner choose, writes what comes on the worker pool, puts it into place.
 * Content may come from several sources at once.
 *
 *     dialling -> listing -> surveying --LIST--> choosing --accept--> fetching -> placing --DONE-->
 *         any of them --FAILED-->                (what was verified is kept, share_dir.h) */
#ifndef KITH_HOST_SHARE_FETCH_H
#define KITH_HOST_SHARE_FETCH_H

#include "apps/share_pake.h"
#include "apps/share_plan.h"
#include "apps/share_rx.h"
#include "apps/share_select.h"
#include "apps/share_ticket.h"
#include "host/host.h"
#include "host/share_dir.h"
#include "host/share_out.h"
#include "mesh/reputation.h"

#define KITH_FETCH_SOURCES_MAX 16 /* at once */
#define KITH_FETCH_GAVE_MAX 96    /* whose part is noted */

typedef struct kith_share_fetch kith_share_fetch;

typedef enum kith_share_fetch_why {
    KITH_FETCH_OK,
    KITH_FETCH_UNREACHABLE, /* no connection */
    KITH_FETCH_REFUSED,     /* the sharer, or a policy, said no */
    KITH_FETCH_LATE, /* the sharer said that the code or ticket is right, and used up, expired or taken just now */
    KITH_FETCH_NO_FILES,   /* it does not speak the protocol: what it shares may be a stream */
    KITH_FETCH_WRONG_CODE, /* it goes by the code that we named, and has not the same secret */
    KITH_FETCH_LOST,       /* the connection or the sharer went away in the middle */
    KITH_FETCH_CLASH,      /* something is there already */
    KITH_FETCH_BUSY,       /* another process fetches the same into this folder */
    KITH_FETCH_DISK,
    KITH_FETCH_DAMAGED,  /* what came is not what the ticket stands for, or is no protocol */
    KITH_FETCH_UNSAFE,   /* the list breaks the rules for names and links */
    KITH_FETCH_NOT_ONE,  /* with out: it has not just one file */
    KITH_FETCH_ENOUGH,   /* with out: its reader has gone away */
    KITH_FETCH_CHANGED,  /* everything is in place but files that the sharer could not give */
    KITH_FETCH_DECLINED, /* the owner's decision */
    KITH_FETCH_FAILED,   /* memory */
} kith_share_fetch_why;

typedef enum kith_share_fetch_kind {
    KITH_FETCH_CONNECTED, /* conn: to the first source that answers */
    KITH_FETCH_WAIT,      /* the sharer is still looking through what it shares: done of total bytes */
    KITH_FETCH_CLASHES, /* with KITH_SHARE_CLASH_ASK: so many things are there already; answer with decided or stop, now or later */
    KITH_FETCH_LIST,        /* answer with accept or stop, now or later */
    KITH_FETCH_SOURCE,      /* peer gives some of it too: conn */
    KITH_FETCH_SOURCE_LOST, /* peer does not any more, and others do: text, conduct */
    KITH_FETCH_PAUSED,      /* by the sharer's person: done is 1; or it goes on: 0 */
    KITH_FETCH_FILE_LOST,   /* entry cannot be had: text says why */
    KITH_FETCH_END,         /* why, text, sum. Nothing follows */
} kith_share_fetch_kind;

typedef struct kith_share_fetch_event {
    kith_share_fetch_kind kind;
    kith_share_fetch_why why;
    const char *text;      /* for people; names in it are escaped. Valid for the call; END with OK: NULL */
    size_t entry, clashes; /* entry: FILE_LOST */
    kith_conn *conn;
    const kith_peer_id *peer;
    bool member; /* SOURCE, SOURCE_LOST: it is another receiver */
    uint64_t done, total;
    kith_share_dir_sum sum; /* END: what is in place */
    uint64_t kept; /* END: bytes of content that are not in place, and that another time goes on with */
    kith_conduct
        conduct; /* END, SOURCE_LOST: what the peer did, by its own authenticated channel; KITH_CONDUCTS: nothing that counts */
} kith_share_fetch_event;

/* What a code says, once its owner was found: see apps/share_code.h. */
typedef struct kith_fetch_code {
    uint8_t tag[KITH_PAKE_TAG_LEN];
    uint8_t secret[KITH_PAKE_SECRET_LEN];
} kith_fetch_code;

typedef struct kith_share_fetch_config {
    kith_host *host;
    const kith_ticket *ticket;   /* copied; with a code its capability is empty */
    const kith_fetch_code *code; /* copied; NULL: none */
    const char *dest;            /* folder; borrowed until the end. With out: for files without a name */
    kith_share_out *
        out; /* borrowed: the share must have one file that is wanted, which goes there in order. One source, no swarm, nothing is kept, clash
                          * and durability say nothing. NULL: into dest */
    kith_share_clash clash;
    kith_durability durability;
    const kith_share_select *select; /* borrowed until the end; NULL: everything */
    bool portable;
    struct kith_share_serve
        *serve; /* takes part in a swarm, and gives what it has by this; NULL: it does not */
    void (*event)(void *ctx, const kith_share_fetch_event *ev);
    void *ctx;
} kith_share_fetch_config;

/* Starts. NULL: no memory. */
kith_share_fetch *kith_share_fetch_new(const kith_share_fetch_config *cfg);
/* After the host's loop has ended. NULL is fine. */
void kith_share_fetch_free(kith_share_fetch *f);

/* One more peer that may have it, by a ticket of its own; what it offers must be the same list. KITH_ELIMIT: KITH_FETCH_SOURCES_MAX;
 * KITH_EEXISTS: it is one already; and what kith_host_dial says. */
KITH_CHECK kith_err kith_share_fetch_source(kith_share_fetch *f, const kith_ticket *ticket);

/* After LIST. */
const kith_manifest *kith_share_fetch_manifest(const kith_share_fetch *f);
const kith_share_dir *kith_share_fetch_dir(const kith_share_fetch *f);
/* After LIST: one byte per entry, not zero for what is not to be fetched. */
const uint8_t *kith_share_fetch_skips(const kith_share_fetch *f);
/* Once everything has come: the hash of a file, KITH_BLAKE3_LEN bytes; zeros for what is no file or is empty. */
const uint8_t *kith_share_fetch_root(const kith_share_fetch *f, size_t entry);
/* In answer to CLASHES: the folder, in which kith_share_dir_decide is to be called for each of them, and then decided: LIST follows, or END. NULL:
 * that is over. */
kith_share_dir *kith_share_fetch_clashes(kith_share_fetch *f);
void kith_share_fetch_decided(kith_share_fetch *f);
/* In answer to LIST. */
void kith_share_fetch_accept(kith_share_fetch *f);
/* Nothing more is sent to us for now, or again. */
void kith_share_fetch_pause(kith_share_fetch *f, bool on);
/* Ends it: END follows with DECLINED and this text (static). */
void kith_share_fetch_stop(kith_share_fetch *f, const char *text);

/* Who has given how much: bytes of content that was new. Walks by i from 0 on. False: no more. */
typedef struct kith_share_gave {
    kith_peer_id peer;
    uint64_t bytes;
    bool member; /* another receiver */
} kith_share_gave;
bool kith_share_fetch_gave(const kith_share_fetch *f, size_t i, kith_share_gave *out);

typedef struct kith_share_fetch_progress {
    uint64_t verified, wanted; /* bytes of content */
    uint64_t files;
    uint64_t here;            /* bytes that were here before: part of wanted and verified */
    uint64_t hashed, to_hash; /* of files that are there already, before LIST */
    size_t sources;           /* that give something */
    bool paused;              /* by the persons of all of them */
    kith_time began;          /* 0: not yet accepted */
    kith_time ended;          /* when the last byte was here, or 0 */
} kith_share_fetch_progress;
void kith_share_fetch_progress_get(const kith_share_fetch *f, kith_share_fetch_progress *out);

#endif
