/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the two halves of fetching a share have between them: share_fetch.c (the list, the disk, the end) and share_link.c (the sources). */
#ifndef KITH_HOST_SHARE_FETCH_IMPL_H
#define KITH_HOST_SHARE_FETCH_IMPL_H

#include "host/share_fetch.h"
#include "host/share_table.h"

#define KITH_FETCH_TEXT_MAX 2048

typedef enum share_link_state {
    LINK_FREE,
    LINK_DIALLING,
    LINK_ASKING,
    LINK_OFFERED, /* waits until the list is here */
    LINK_LISTING, /* brings the list */
    LINK_JOINED,  /* the list is the same */
    LINK_OVER,    /* may have blocks that are being written */
} share_link_state;

/* One source. */
typedef struct share_link {
    kith_share_fetch *fetch;
    share_link_state state;
    kith_peer_id peer;
    size_t capability_len; /* what admits there */
    uint8_t capability[KITH_CAPABILITY_MAX];
    kith_sink sink;
    kith_conn *conn;
    kith_stream *stream;
    kith_share_rx *rx; /* NULL: not yet, or over */
    kith_pake *pake;
    uint8_t root[KITH_BLAKE3_LEN]; /* of the list that it offers */
    uint64_t list_size, holes;
    int source;       /* in the plan; -1: not in it */
    size_t lent;      /* blocks that are being written */
    uint64_t next_id; /* of requests */
    bool brings_roots;
    bool paused;   /* by its person, perhaps before it is in the plan */
    bool done;     /* has our receipt */
    bool member;   /* another receiver, which the swarm has found: it says nothing about what the share is */
    size_t issuer; /* member: by whose pass it was called */
} share_link;

enum job_kind { JOB_NONE, JOB_SURVEY, JOB_BEGIN, JOB_WRITE, JOB_FINISH, JOB_CLEAN };

struct kith_share_fetch {
    kith_share_fetch_config cfg;
    kith_ticket ticket;
    kith_capability cap; /* views into ticket */
    kith_fetch_code code;
    share_link links[KITH_FETCH_SOURCES_MAX];
    struct share_swarm *swarm; /* NULL: it takes part in none */
    bool has_id; /* of the whole share: by the ticket, or by a sharer that has proven who it is */
    uint8_t id[KITH_BLAKE3_LEN];
    kith_time moved_at; /* when content came last */
    size_t gave_count;
    kith_share_gave gave[KITH_FETCH_GAVE_MAX];
    uv_timer_t *timer; /* closed at the end; frees itself */
    bool connected, listed, accepted, paused;
    /* the list: its own, so that it outlives the links */
    uint8_t list_root[KITH_BLAKE3_LEN];
    uint64_t holes; /* as who offered it says: bytes that take no room */
    kith_share_table list, roots;
    kith_manifest manifest;  /* count 0: not here yet */
    size_t roots_have;       /* what has come of roots */
    kith_share_view view;    /* known: what is trusted of them */
    kith_share_plan *plan;   /* after accept */
    kith_share_code refusal; /* why a file could not be had, the last time */
    kith_share_dir *dir;
    kith_share_dir *closing; /* dir, once it is of no more use: the worker's */
    kith_share_fetch_progress progress;

    kith_list blocks;             /* to be written */
    size_t unproven;              /* leaves in them that the older content should have */
    bool stored;                  /* all that is wanted has come */
    bool surveying;               /* it was begun, or is over */
    bool want_survey, want_begin; /* jobs to come */
    uint8_t *skips;               /* with out: by entry, like those of the folder */
    bool asking, decided;         /* about what is there already; the survey has its answers */
    bool begun;                   /* what is here is known, and content may come */
    bool placed, cleaned, ended;
    uint64_t kept;
    kith_share_fetch_why why; /* the first failure */
    char text[KITH_FETCH_TEXT_MAX];
    kith_conduct conduct;

    /* the job at the worker pool */
    uv_work_t work;
    enum job_kind job;
    kith_list writing;
    kith_err job_err;
    kith_share_dir_fault fault;
    kith_share_dir_sum sum;
    size_t clashes, first;

    /* the sync */
    uv_work_t sync_work;
    uv_timer_t sync_timer;
    bool syncing, sync_due, timer_open;
    kith_err sync_err;
    kith_share_dir_fault sync_fault;
};

/* ---- share_fetch.c ---- */

void share_fetch_tell(kith_share_fetch *f, kith_share_fetch_event ev);
/* The first failure decides. code: what the sources are told. END follows when no job runs any more. */
void share_fetch_fail(kith_share_fetch *f, kith_share_fetch_why why, kith_share_code code, const char *fmt,
                      ...) __attribute__((format(printf, 4, 5)));
bool share_fetch_failed(const kith_share_fetch *f);
/* The path of an entry for a message, cut to fit. */
/* The list is in f->list. False: it was the end of the transfer. */
bool share_fetch_on_list(kith_share_fetch *f);
/* f->view has grown. */
void share_fetch_on_roots(kith_share_fetch *f);
/* Starts the next job, or ends. */
void share_fetch_pump(kith_share_fetch *f);

/* ---- share_link.c ---- */

/* Says to all sources that it is over. */
void share_links_stop(kith_share_fetch *f, kith_share_code code);
/* Puts those that are joined into the plan, and asks all for what they can give. */
void share_links_ask(kith_share_fetch *f);
/* Tells all who gave something that everything is here; true once all know. */
void share_links_finish(kith_share_fetch *f, uint64_t files, uint64_t bytes);
bool share_links_done(const kith_share_fetch *f);
/* Gives a block back to its link. */
void share_link_stored(kith_share_fetch *f, kith_share_block *b);
void share_links_wake(kith_share_fetch *f);
/* Calls another receiver of the same. addrs may be none: it may be connected. */
KITH_CHECK kith_err share_link_member(kith_share_fetch *f, const kith_peer_id *peer, const kith_maddr *addrs,
                                      size_t count, size_t issuer, kith_bytes pass);
void share_links_fini(kith_share_fetch *f);

#endif
