#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Endurance: a node under churn for KITH_SOAK_SECONDS (20 here, 600 in `make soak`), and one with 5,000 peers at once.
What it holds is looked at from outside: memory, descriptors, and its own counts of connections and streams."""
import os
import resource
import statistics
import threading
import time
from collections import Counter

from kith_cli import Crowd, Up, eventually, homes, kith, rss_kib, run, skip, SLOW, TOOLS

SECONDS = int(os.environ.get("KITH_SOAK_SECONDS", "20"))
CONNS = 500
CROWD = 5000 if SLOW == 1 else 500  # a sanitizer's memory and time are not what is measured here

# What a level of memory may differ by. glibc keeps freed memory in pieces, SQLite grows a page cache up to 2 MiB, and
# the peer book's queue and the sockets' buffers breathe with the load. Ten minutes are some 73,000 connections:
# a leak of 60 bytes each is seen then, and LSan sees any in the short run.
FLAT_KIB = 4096


class Node(Up):
    """`kith up`, with its events read all the time and counted."""

    def __init__(self, home, *args):
        # All of the crowd is wanted: the connection manager would let most of it go.
        super().__init__(home, "--perf", "--handshake-timeout", "60s", "--conns.high", "0", *args)
        self.came = self.went = 0
        self.reader = threading.Thread(target=self.count, daemon=True)
        self.reader.start()

    def count(self):
        for line in os.fdopen(os.dup(self.process.stdout.fileno()), "rb"):
            self.came += b'"peer_connected"' in line
            self.went += b'"peer_disconnected"' in line

    def descriptors(self):
        found = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found[name] = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:
                pass
        return found

    def alone_after_one(self, home):
        """The descriptors of a node with nobody there any more: the file of known peers is opened by a worker when the first one comes,
        and whoever asked for its status may take a moment to leave."""
        kith(home, "ping", self.addr, "-c", 1)
        def at_rest():
            self.rest = self.descriptors()
            what = list(self.rest.values())
            return (sum(w.startswith("socket:") for w in what) == 3 and any(w.endswith("/trust.db") for w in what)
                    and not any(w.endswith("-journal") for w in what))
        self.status()
        eventually(at_rest, lambda: f"a listener, the control socket, news of interfaces and the known peers, and no other: {self.rest}")
        return self.rest

    def status(self):
        return kith(self.home, "status", "--json", timeout=60).json()

    def look(self, crowd, begun):
        s, c = self.status(), crowd.now
        rss = rss_kib(self.pid)
        print(f"{time.monotonic() - begun:6.0f} s  node: {rss / 1024:6.1f} MiB {len(self.descriptors()):5} descriptors "
              f"{s['conns_in']:5} connections {s['streams']:5} streams  crowd: {rss_kib(crowd.process.pid) / 1024:6.1f} MiB "
              f"{c.get('opened', 0):7} opened {c.get('pings', 0):8} pings {c.get('perfs', 0):7} perfs "
              f"{c['errors']} errors {c.get('why', '')}", flush=True)
        return rss

    def empty(self, before):
        """Everything that came has gone, and took along what it had."""
        def at_rest():
            s = self.status()
            return s["conns_in"] + s["conns_out"] + s["handshakes"] + s["streams"] == 0
        eventually(at_rest, "no connection, handshake and stream is left", 30)
        # By what they are, so that a failure names them.
        left = lambda: list((Counter(self.descriptors().values()) - Counter(before.values())).elements())
        eventually(lambda: not left(), lambda: f"no descriptor that was not there before; left: {left()}", 10)
        eventually(lambda: self.came == self.went, "as many came as went", 10)


def drain(node, crowd, before):
    crowd.say("drain\n")
    eventually(lambda: crowd.now["drained"], "the crowd has gone", 60)
    node.empty(before)
    return rss_kib(node.pid)


def churn_leaves_nothing_behind():
    with homes("node", "crowd") as (a, b), Node(a) as node:
        before = node.alone_after_one(b)
        with Crowd(b, node.bare, "churn", CONNS) as crowd:
            begun = time.monotonic()
            eventually(lambda: crowd.now["open"] > CONNS // 2, "most of the crowd is there", 60)
            # A quarter of the time to warm up; then all leave, which gives a first level of rest.
            levels, rests = [], []
            pause = max(1, SECONDS / 40)
            while time.monotonic() - begun < SECONDS / 4:
                time.sleep(pause)
                node.look(crowd, begun)
            rests.append(drain(node, crowd, before))
            print(f"at rest: {rests[0] / 1024:.1f} MiB", flush=True)
            crowd.say("go\n")
            eventually(lambda: crowd.now["open"] > CONNS // 2, "most of the crowd is there again", 60)
            again = time.monotonic()
            while time.monotonic() - again < SECONDS * 3 / 4:
                time.sleep(pause)
                levels.append(node.look(crowd, begun))
            rests.append(drain(node, crowd, before))
            print(f"at rest: {rests[1] / 1024:.1f} MiB", flush=True)
            crowd.end()
            c = crowd.now
        for what in ("closed", "reset", "cut", "pings", "perfs"):
            assert c[what] > 0, c
        print(f"{c['opened']} connections opened ({c['closed']} closed, {c['reset']} reset, {c['cut']} cut), {c['pings']} pings, "
              f"{c['perfs']} perfs with {c['bytes'] >> 20} MiB; the node told {node.came} that came")
        if SLOW == 1:
            n = max(1, len(levels) // 3)
            first, last = statistics.median(levels[:n]), statistics.median(levels[-n:])
            print(f"under load {first / 1024:.1f} MiB at first, {last / 1024:.1f} MiB at last; "
                  f"at rest {rests[0] / 1024:.1f} and {rests[1] / 1024:.1f} MiB")
            assert last - first < FLAT_KIB, levels
            assert rests[1] - rests[0] < FLAT_KIB, rests
        kith(b, "ping", node.addr, "-c", 1)
        assert node.stop(timeout=30) == 0, node.errors()  # under a sanitizer: and nothing leaked
        assert "Sanitizer" not in node.errors(), node.errors()


def five_thousand_at_once_are_all_answered():
    with homes("node", "crowd") as (a, b), Node(a) as node:
        before, alone = node.alone_after_one(b), rss_kib(node.pid)
        with Crowd(b, node.bare, "steady", CROWD) as crowd:
            begun = time.monotonic()
            eventually(lambda: crowd.now["open"] == CROWD, "all are there", 120)
            now = crowd.now["least_pings"]
            eventually(lambda: crowd.now["least_pings"] >= now + 3, "three more pings of each, while all are there", 120)
            rss, s = node.look(crowd, begun), node.status()
            assert crowd.now["open"] == CROWD and crowd.now["errors"] == 0, crowd.now
            assert s["conns_in"] == CROWD and s["streams"] >= CROWD and len(node.descriptors()) >= CROWD, s
            print(f"{CROWD} connections, each with a stream that pings: {(rss - alone) / CROWD:.1f} KiB each "
                  f"({alone / 1024:.1f} MiB without, {rss / 1024:.1f} MiB with), {crowd.now['pings']} pings answered")
            drain(node, crowd, before)
            crowd.end()
        assert node.stop(timeout=30) == 0, node.errors()
        assert "Sanitizer" not in node.errors(), node.errors()


if not (TOOLS / "tool_crowd").exists():
    skip("tool_crowd is not built")
if not os.path.isdir("/proc/self/fd"):
    skip("descriptors are counted in /proc, which is not here")
if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CROWD + 512:
    skip(f"the hard limit of open files is below {CROWD + 512}: raise it with ulimit -Hn")
run(churn_leaves_nothing_behind, five_thousand_at_once_are_all_answered)
