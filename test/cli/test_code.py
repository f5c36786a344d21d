#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Being found by a code, on a network of namespaces: by multicast DNS alone, and by a private DHT of five nodes alone; with clocks that are
wrong; and nobody is found by another code."""
import contextlib
import json
import os
import pathlib
import queue
import subprocess
import threading
import time

import kith_net
from kith_cli import SLOW, Up, eventually, homes, kith, run, skip

TOOL = pathlib.Path(os.environ["KITH_TOOLS"]) / "tool_code"
CODE, WORDS = "P7YE-G9L8-KD9V", "practice tower shy minimum provide model"  # the same code
NET = ("--dht.protocol", "/test/kad/1.0.0")
PATIENCE = 30
HALF_HOUR = 1800


class Tool:
    """tool_code in the i-th namespace."""

    def __init__(self, net, i, what, code, shift=0, mdns=True, dht=None):
        addr = "/ip4/0.0.0.0/tcp/0" if what == "publish" else "-"
        args = [TOOL, what, code, addr, str(shift), "mdns" if mdns else "-"]
        self.p = subprocess.Popen(args + (["/test/kad/1.0.0", dht] if dht else []), stdout=subprocess.PIPE, text=True,
                                  preexec_fn=net.enter(i))
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.peer = self.event("ready")["peer"]

    def read(self):
        for line in self.p.stdout:
            self.lines.put(json.loads(line))

    def event(self, name):
        while True:
            e = self.lines.get(timeout=PATIENCE * SLOW)
            if e["event"] == name:
                return e

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()


def by_multicast_dns_alone():
    with kith_net.Net(4) as net, contextlib.ExitStack() as stack:
        def tool(*args, **kw):
            return stack.enter_context(Tool(net, *args, **kw))
        # A sharer whose half hour is over in three seconds; and one whose clock is three of them ahead: it finds nothing before that.
        into = int(time.time()) % HALF_HOUR
        turning = tool(1, "publish", "3333-3333-333S", shift=HALF_HOUR - into - 3)
        ahead = tool(3, "find", "3333-3333-333S", shift=3 * HALF_HOUR + HALF_HOUR // 2 - into)
        early = tool(3, "find", CODE)
        stranger = tool(1, "publish", "2222-2222-2222")
        sharer = tool(0, "publish", CODE)
        late = tool(2, "find", WORDS, shift=1500)  # in words, 25 minutes ahead
        for finder in (early, late):
            f = finder.event("found")
            assert (f["source"], f["peer"]) == ("mdns", sharer.peer) and f["addr"].startswith("/ip"), f
        # Whoever looks for the other code finds the other one, and nobody has heard of it without asking.
        assert tool(2, "find", "2222 2222 2222").event("found")["peer"] == stranger.peer
        assert ahead.event("found")["peer"] == turning.peer
        assert early.lines.empty() and late.lines.empty()


def by_a_private_dht_of_five_nodes_alone():
    with kith_net.Net(7) as net, homes("a", "b", "c", "d", "e") as hs, contextlib.ExitStack() as stack:
        ups = []
        for i, h in enumerate(hs):
            begin = ("--bootstrap", ups[0].addr) if ups else ()
            ups.append(stack.enter_context(Up(h, *NET, *begin, listen=f"/ip4/10.77.0.{i + 1}/tcp/0", dht="server", preexec=net.enter(i))))
        for i, h in enumerate(hs):
            eventually(lambda: kith(h, "dht", "status", "--json", preexec_fn=net.enter(i)).json()["peers"] == 4, "all in each other's tables")
        early = stack.enter_context(Tool(net, 6, "find", CODE, mdns=False, dht=ups[3].addr))
        sharer = stack.enter_context(Tool(net, 5, "publish", CODE, mdns=False, dht=ups[1].addr))
        while sharer.event("told")["reached"] == 0:  # it may have asked before it had joined
            pass
        late = stack.enter_context(Tool(net, 6, "find", CODE, shift=-1500, mdns=False, dht=ups[4].addr))
        for finder in (early, late):
            f = finder.event("found")
            assert (f["source"], f["peer"]) == ("dht", sharer.peer) and f["addr"].startswith("/ip4/10.77.0.6/"), f


if why := kith_net.missing():
    skip(why)
run(by_multicast_dns_alone, by_a_private_dht_of_five_nodes_alone)
