#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A code that is found by calling a peer that is remembered: neither networks nor the DHT are asked."""
import json
import os
import time
from subprocess import DEVNULL, PIPE

from kith_cli import LOOPBACK, SLOW, Job, Up, homes, kith, run, start

ALONE = ("--mdns", "off", "--dht", "off")
CONTENT = b"hello" * 100000


class Share(Job):
    """kith share, and the code or ticket that it prints first."""

    def __init__(self, home, path, *args, listen=LOOPBACK, ticket=False, stdin=DEVNULL):
        kind = "ticket" if ticket else "code"
        super().__init__(home, "share", "--json", "--listen", listen, *ALONE, *(("--ticket",) if ticket else ()), *args, path, stdin=stdin)
        self.text = self.event(kind)[kind]

    def __exit__(self, *error):
        try:
            self.process.terminate()
            self.process.wait(20 * SLOW)
        finally:
            super().__exit__(*error)
            if self.process.stdin:
                self.process.stdin.close()


def files(home):
    path = home.parent / f"x{home.name}" / "f"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENT)
    return path


def get(home, *args, code=0, **kw):
    into = home.parent / f"out{time.monotonic_ns()}"
    r = kith(home, "get", "-y", "--json", "-o", into, *ALONE, *args, code=code, timeout=60, **kw)
    assert code or (into / "f").read_bytes() == CONTENT, r
    return r.lines()


def events(r, name):
    return [e for e in r if e["event"] == name]


def meet(a, b):
    """b fetches from a by a ticket. Returns where that one listened."""
    with Share(a, files(a), ticket=True) as s:
        addr = events(get(b, s.text), "connected")[0]["addr"]
    return addr.split("/p2p/")[0]


def a_sharer_that_was_met_is_called():
    with homes("a", "b") as (a, b):
        at = meet(a, b)
        with Share(a, files(a), listen=at) as s:
            r = get(b, s.text)
            assert {e["source"] for e in events(r, "candidate")} == {"remembered"} and r[-1]["event"] == "done", r
            said = kith(b, "get", "-y", "-o", b.parent / "said", *ALONE, s.text)
            assert "found by calling a peer that is remembered; the code is right" in said.err, said
            assert kith(b, "get", *ALONE, "-o", "-", s.text).out.encode() == CONTENT
            # Not by who does not want it, nor who is blocked.
            assert not events(get(b, s.text, "--no-calls", "--wait", "1", code=4), "candidate")
            kith(b, "trust", "block", r[-1]["peer"])
            assert not events(get(b, s.text, "--wait", "1", code=4), "candidate")


def a_stream_is_found_so_too():
    with homes("a", "b") as (a, b):
        at = meet(a, b)
        with Share(a, "-", listen=at) as s:  # its stdin is empty
            kith(b, "get", *ALONE, "-o", "-", s.text)


def a_node_of_the_same_peer_is_not_taken_for_the_sharer():
    """The sharer's kith up has the address that worked last; its kith share runs beside it, at one that worked before."""
    with homes("a", "b") as (a, b):
        at = meet(a, b)
        with Up(a) as up:
            kith(b, "ping", "-c", "1", up.addr, *ALONE)
            with Share(a, files(a), listen=at) as s:
                r = get(b, s.text)
                assert {e["source"] for e in events(r, "candidate")} == {"remembered"} and r[-1]["event"] == "done", r


def a_remembered_peer_without_the_code_does_no_harm():
    """One shares something else; one is gone."""
    with homes("a", "b", "c", "d") as (a, b, c, d):
        places = {h: meet(h, b) for h in (a, c, d)}
        with Share(c, files(c), listen=places[c]), Share(a, files(a), listen=places[a]) as s:
            r = get(b, s.text)
            assert {e["source"] for e in events(r, "candidate")} == {"remembered"} and len({e["peer"] for e in events(r, "candidate")}) <= 2, r
            assert r[-1]["event"] == "done" and r[-1]["peer"] == events(r, "candidate")[-1]["peer"], r


def who_comes_while_another_fetches_is_told_and_so_is_the_sharer():
    with homes("a", "b", "c") as (a, b, c):
        at = meet(a, b)
        meet_again = files(a)
        with Share(a, meet_again, listen=at, ticket=True) as s:
            get(c, s.text)
        meet_again.write_bytes(os.urandom(8 << 20))
        for stream in (False, True):
            with Share(a, "-" if stream else meet_again, "--limit", "64K/", *(() if stream else ("--once",)), listen=at, stdin=PIPE) as s:
                first = start(b, "get", "-y", *ALONE, "-o", "-" if stream else b.parent / "slow", s.text, stdout=DEVNULL, stderr=DEVNULL)
                s.event("began" if stream else "transfer_began")
                # The second one's code is right: it is told so long before it gives up looking.
                r = kith(c, "get", "-y", *ALONE, "-o", "-" if stream else c.parent / "late", "--wait", "100000", s.text, code=5)
                assert ("fetched as often as it may be; ask for a new code" if stream else "are fetching it just now; try again later") in r.err, r
                if not stream:
                    assert "others are fetching it" in s.event("transfer_ended")["text"]
                first.kill()
                first.wait()


def who_does_not_know_the_code_yet_is_asked_again():
    """A sharer that is called may still be working out what its code is called."""
    with homes("a", "b") as (a, b):
        at = meet(a, b)
        with Share(a, files(a), listen=at):
            p = start(b, "get", "-y", "--json", "-o", b.parent / "out", *ALONE, "--wait", "1000", "P7YE-G9L8-KD9V", stderr=DEVNULL)
            tried = 0
            while tried < 2:
                line = p.stdout.readline()
                assert line, "it ended"
                tried += json.loads(line)["event"] == "candidate"
            p.terminate()
            p.wait(20 * SLOW)
            p.stdout.close()


run(who_does_not_know_the_code_yet_is_asked_again, who_comes_while_another_fetches_is_told_and_so_is_the_sharer, a_sharer_that_was_met_is_called,
    a_stream_is_found_so_too, a_node_of_the_same_peer_is_not_taken_for_the_sharer, a_remembered_peer_without_the_code_does_no_harm)
