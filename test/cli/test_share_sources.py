#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several sharers of the same, one of which corrupts what it sends. What counts is bytes by source; bench/share-sources measures the time."""
import contextlib
import filecmp
import os
import random

from kith_cli import eventually, homes, run, unlimited, Job, LOOPBACK, TOOLS

LEAF = 256 * 1024
ALONE = ("--json", "--listen", LOOPBACK, "--mdns", "off", "--dht", "off")


def one_that_corrupts_a_hundredth_is_dropped_by_name_within_one_block():
    with homes("a", "b", "c", "x", "r") as (*honest, crooked, r), contextlib.ExitStack() as jobs:
        big = r.parent / "big"
        with open(big, "wb") as f:
            for i in range(200):
                f.write(random.Random(i).randbytes(LEAF))
        # so slow that most of it is asked of the crooked one
        sharers = [jobs.enter_context(Job(h, "share", big, "--ticket", "--limit", "200K/", *ALONE)) for h in honest]
        os.environ["UV_THREADPOOL_SIZE"] = "1"  # it reads in order
        bad = jobs.enter_context(Job(crooked, "share", big, "--ticket", *ALONE, program=str(TOOLS / "tool_crooked")))
        del os.environ["UV_THREADPOOL_SIZE"]
        for s in (*sharers, bad):
            s.event("hashed")
        first, *also = [s.event("ticket")["ticket"] for s in (*sharers, bad)]
        getter = jobs.enter_context(Job(r, "get", first, *[a for t in also for a in ("--also", t)], "-y", "-o", r.parent / "got", *ALONE))
        lost = getter.event("source_lost")
        for h in honest:
            unlimited(h, "share")
        name = bad.event("ticket")["peer"]
        assert lost["peer"] == name and lost["text"] == "what the sharer sent of big does not match its hash; it was thrown away", lost
        done = getter.ended()
        assert filecmp.cmp(big, r.parent / "got" / "big", shallow=False)
        gave = {g["peer"]: g["bytes"] for g in done["from"]}
        # what came before its hundredth leaf counts, and nothing from there on; a few may not have been wanted any more
        good = gave.pop(name)
        assert 80 * LEAF < good <= 99 * LEAF, done
        assert sum(gave.values()) == 200 * LEAF - good, done
        assert len(getter.events("source_lost")) == 1
        eventually(lambda: bad.events("transfer_ended"), "it is told")
        assert "data that does not match" in bad.event("transfer_ended")["text"]


if __name__ == "__main__":
    run(one_that_corrupts_a_hundredth_is_dropped_by_name_within_one_block)
