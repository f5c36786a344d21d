#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""kith share - and kith get -o -: streams in pipes, one way and both, half-close, slow and absent readers, and every way in which one can end."""
import contextlib
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile
import time

from kith_cli import LOOPBACK, SLOW, TOOLS, feed, history, homes, kith, rss_kib, run, skip_one, start

BIG = (64 if SLOW == 1 else 8) << 20
HASH_ODD = bytes(range(256)) * 257 + b"\r\n\x00"


class Share:
    """`kith share -` in the background, and its ticket, which with --both is on stderr as all that it says is."""

    def __init__(self, home, *args, stdin=subprocess.PIPE):
        both = "--both" in args
        self.err = tempfile.TemporaryFile()
        self.p = start(home, "share", "-", "--json", "--ticket", "--listen", LOOPBACK, "--mdns", "off", "--dht", "off", *args, stdin=stdin,
                       stderr=subprocess.PIPE if both else self.err)
        self.say = self.p.stderr if both else self.p.stdout
        ready, _, _ = select.select([self.say], [], [], 10 * SLOW)
        assert ready, "no ticket"
        self.ticket = json.loads(self.say.readline())["ticket"]

    def ends(self, code):
        assert self.p.wait(20 * SLOW) == code, (self.p.returncode, self.errors())
        return [json.loads(line) for line in self.say.read().splitlines() if line.startswith(b"{")]

    def errors(self):
        self.err.seek(0)
        return self.err.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        if error[0]:
            print(self.errors())
        for f in (self.p.stdin, self.p.stdout, self.p.stderr, self.err):
            if f:
                try:
                    f.close()
                except BrokenPipeError:
                    pass


def get(home, ticket, *args, **kw):
    return start(home, "get", ticket, "-o", "-", "--mdns", "off", "--dht", "off", *args, stderr=subprocess.PIPE, **kw)


def past(home):
    """The history, the oldest first: what, files, bytes and how it ended."""
    rows = history(home)[::-1]
    assert all(r["pq"] is True and r["path"] == "lan" and r["into"] == "" and r["peer"] for r in rows), rows
    return [(r["direction"], r["what"], r["files"], r["bytes"], r["result"]) for r in rows]


def ends(p, code, said=""):
    err = p.stderr.read().decode()
    assert p.wait(20 * SLOW) == code and said in err, (p.returncode, err)
    p.stderr.close()
    if p.stdout:
        p.stdout.close()


def what_goes_in_comes_out_and_no_more_receivers_are_let_in():
    data = (HASH_ODD * (BIG // len(HASH_ODD) + 1))[:BIG]
    with homes("a", "b", "c") as (a, b, c), Share(a) as s:
        s.p.stdin.write(b"at once")
        s.p.stdin.flush()
        g = get(b, s.ticket)
        assert g.stdout.read(7) == b"at once"  # while its writer goes on
        for home, kind in ((a, "shares"), (b, "gets")):
            seen = kith(home, "transfers").out
            assert kind in seen and "a stream  streaming" in seen and "lan  post-quantum" in seen, seen
        ends(get(c, s.ticket), 5, "fetched as often")
        feed(s.p.stdin, data)
        assert g.stdout.read() == data
        ends(g, 0, "received")
        last = s.ends(0)[-1]
        assert last["event"] == "done" and last["sent"] == len(data) + 7, last
        assert past(a) == [("sent", "-", 0, len(data) + 7, "ok")], past(a)
        assert past(b) == [("received", "-", 0, len(data) + 7, "ok")], past(b)
        assert past(c) == []  # it never began
        assert "a stream" in kith(b, "transfers", "--history").out


def so_many_may_ask_at_once_and_others_are_told_to_wait():
    tool = TOOLS / "tool_hostile_receiver"
    if not tool.exists():
        skip_one(f"{tool.name} was not built")
    with homes("a", "b", "c") as (a, b, c), Share(a) as s, contextlib.ExitStack() as crowd:
        quiet = []
        for _ in range(9):  # two streams of a connection, sixteen in all
            quiet.append(subprocess.Popen([tool, "quiet", s.ticket, "3"], stdout=subprocess.PIPE))
            crowd.callback(quiet[-1].stdout.close)
            crowd.callback(quiet[-1].wait)
            crowd.callback(quiet[-1].kill)
        ended = [int(q.stdout.readline()) for q in quiet]
        assert sum(ended) == 27 - 16 and min(ended) == 1, ended
        ends(get(b, s.ticket), 5, "as many as it may have at once")
        for q in quiet:
            q.kill()
        g = get(c, s.ticket)
        s.p.stdin.write(b"at last")
        s.p.stdin.close()
        assert g.stdout.read() == b"at last"
        ends(g, 0, "received")
        s.ends(0)


def an_empty_stream_and_a_file_arrive_too():
    with homes("a", "b") as (a, b):
        with Share(a, stdin=subprocess.DEVNULL) as s:
            g = get(b, s.ticket)
            assert g.stdout.read() == b""
            ends(g, 0)
            s.ends(0)
        source, target = b.parent / "source", b.parent / "target"
        source.write_bytes(HASH_ODD)
        with open(source, "rb") as f, open(target, "wb") as out, Share(a, stdin=f) as s:
            ends(get(b, s.ticket, stdout=out), 0)
            s.ends(0)
        assert target.read_bytes() == HASH_ODD


def both_ways_each_ends_for_itself():
    with homes("a", "b") as (a, b):
        with Share(a, "--both") as s:
            g = get(b, s.ticket, "--both", stdin=subprocess.PIPE)
            s.p.stdin.write(b"question")
            s.p.stdin.close()
            assert g.stdout.read() == b"question"  # its end has come, and the other way is open
            assert g.poll() is None and s.p.poll() is None
            feed(g.stdin, HASH_ODD * 20)
            assert s.p.stdout.read() == HASH_ODD * 20
            s.p.stdin = None
            last = s.ends(0)[-1]
            assert last["sent"] == 8 and last["received"] == len(HASH_ODD) * 20, last
            ends(g, 0)
        # whoever did not say so sends nothing, whatever stands in its stdin; and gets nothing of the other's
        with Share(a, "--both") as s:
            g = get(b, s.ticket, stdin=subprocess.PIPE)
            assert s.p.stdout.read(1) == b""
            feed(s.p.stdin, b"x")
            assert g.stdout.read() == b"x"
            ends(g, 0)
            s.ends(0)
            g.stdin.close()
        with Share(a) as s:
            g = get(b, s.ticket, "--both", stdin=subprocess.PIPE)
            feed(s.p.stdin, b"x")
            assert g.stdout.read() == b"x"
            ends(g, 0, "takes nothing")
            s.ends(0)
            g.stdin.close()


def a_slow_reader_holds_up_the_writer_and_no_memory_grows():
    with homes("a", "b") as (a, b), Share(a) as s:
        g = get(b, s.ticket)
        os.set_blocking(s.p.stdin.fileno(), False)
        block, sent, stalled, peak = bytes(1 << 20), 0, 0, 0
        while stalled < 20:  # nobody reads: the writer must come to a stand
            try:
                sent += os.write(s.p.stdin.fileno(), block)
                stalled = 0
            except BlockingIOError:
                stalled += 1
                time.sleep(0.05)
            assert sent < 64 << 20, "it swallows everything"
        os.set_blocking(s.p.stdin.fileno(), True)
        feed(s.p.stdin, bytes(32 << 20))
        got = 0
        while piece := os.read(g.stdout.fileno(), 1 << 20):
            got += len(piece)
            peak = max(peak, rss_kib(g.pid), rss_kib(s.p.pid))
        assert got == sent + (32 << 20), got
        ends(g, 0)
        s.ends(0)
        assert peak < (48 << 10) * SLOW, f"{peak} KiB"


def whoever_is_left_alone_says_so():
    with homes("a", "b") as (a, b):
        for sig, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
            with Share(a) as s:  # the sharer goes: nobody may take what came for all of it
                g = get(b, s.ticket)
                s.p.stdin.write(b"half")
                s.p.stdin.flush()
                assert g.stdout.read(4) == b"half"
                s.p.send_signal(sig)
                assert g.stdout.read() == b""
                ends(g, 6, "not whole")
                s.ends(code)
            with Share(a) as s:  # the receiver goes
                g = get(b, s.ticket)
                s.p.stdin.write(b"half")
                s.p.stdin.flush()
                assert g.stdout.read(4) == b"half"
                g.send_signal(sig)
                assert s.ends(6)[-1]["event"] == "failed"
                ends(g, code)
        with Share(a) as s:  # before anybody came
            s.p.send_signal(signal.SIGINT)
            s.ends(130)


def a_reader_that_has_enough_ends_it():
    with homes("a", "b") as (a, b), Share(a) as s:
        g = get(b, s.ticket)
        feed(s.p.stdin, bytes(4 << 20), then_close=False)
        assert len(g.stdout.read(1000)) == 1000
        g.stdout.close()
        g.stdout = None
        ends(g, 0)
        s.ends(6)
        assert [r[4] for r in past(a) + past(b)] == ["lost", "enough"], (past(a), past(b))


def what_cannot_be_read_does_not_look_whole():
    with homes("a", "b") as (a, b):
        folder = os.open("/", os.O_RDONLY)
        with Share(a, stdin=folder) as s:
            ends(get(b, s.ticket), 6)
            assert "directory" in s.ends(10)[-1]["text"]
        os.close(folder)
        with open("/dev/full", "wb") as full, Share(a) as s:
            g = get(b, s.ticket, stdout=full)
            feed(s.p.stdin, bytes(100))
            ends(g, 10, "no space left")
            s.ends(6)


def a_terminal_is_not_written_to_unasked():
    with homes("a", "b") as (a, b), Share(a) as s:
        main, other = pty.openpty()
        ends(get(b, s.ticket, stdout=other), 2, "--force")
        ends(start(a, "share", "-", "--both", stdout=other, stderr=subprocess.PIPE), 2, "--force")
        g = get(b, s.ticket, "--force", stdout=other)
        feed(s.p.stdin, b"shown\n")
        ends(g, 0)
        s.ends(0)
        assert b"shown" in os.read(main, 1000)
        os.close(main)
        os.close(other)


@contextlib.contextmanager
def Files(home, *paths):
    """kith share of files in the background; its ticket."""
    p = start(home, "share", "--ticket", "--listen", LOOPBACK, "--mdns", "off", "--dht", "off", *paths, stderr=subprocess.DEVNULL)
    try:
        yield p.stdout.readline().decode().strip()
    finally:
        p.terminate()
        p.wait(10 * SLOW)
        p.stdout.close()


def one_file_of_a_share_goes_to_stdout():
    with homes("a", "b") as (a, b), tempfile.TemporaryDirectory() as top:
        top = pathlib.Path(top)
        big = os.urandom(1 << 20) * (80 if SLOW == 1 else 8) + b"end"  # more than is asked for at once
        (top / "big").write_bytes(big)
        (top / "empty").write_bytes(b"")
        os.truncate(top / "empty", 0)
        with open(top / "sparse", "wb") as f:
            f.truncate(3 << 20)
        with Files(a, top) as ticket:
            for name, want in (("big", big), ("empty", b""), ("sparse", bytes(3 << 20))):
                g = get(b, ticket, "--only", name)
                assert g.stdout.read() == want, name
                ends(g, 0, f"{top.name}/{name}, ")
            ends(get(b, ticket), 2, "it is 3 files, and the output takes one: choose it with --only")
            ends(get(b, ticket, "--only", "none"), 1, "no name matches")
            g = get(b, ticket, "--only", "big")  # who has enough
            assert g.stdout.read(100) == big[:100]
            g.stdout.close()
            g.stdout = None
            ends(g, 0)
            g = get(b, ticket, "--only", "big")  # who does not read on, and is given up
            assert g.stdout.read(100) == big[:100]
            g.send_signal(signal.SIGINT)
            ends(g, 130, "stopped before the end")
            with open("/dev/full", "wb") as full:
                ends(get(b, ticket, "--only", "big", stdout=full), 10, "No space left")
            events = [json.loads(line) for line in kith(b, "get", ticket, "-o", "-", "--only", "sparse", "--json").err.splitlines()]
            assert [e["event"] for e in events if e["event"] != "progress"] == ["connected", "began", "done"], events
            assert events[-1]["received"] == 3 << 20 and events[1 if events[1]["event"] == "began" else 2]["file"] == f"{top.name}/sparse", events
            with open(top / "big", "r+b") as f:
                f.write(b"changed")
            g = get(b, ticket, "--only", "big")
            assert g.stdout.read() == b""
            ends(g, 13, "changed or vanished at the sharer")
        seen, whole = past(b), {"big": len(big), "empty": 0, "sparse": 3 << 20}
        assert [(r[1], r[4]) for r in seen] == [(f"{top.name}/{name}", how) for name, how in (
            ("big", "ok"), ("empty", "ok"), ("sparse", "ok"), ("big", "enough"), ("big", "stopped"), ("big", "disk"), ("sparse", "ok"),
            ("big", "changed"))], seen
        assert all(r[2] == 1 and (r[4] != "ok" or r[3] == whole[r[1].split("/")[1]]) for r in seen), seen
        assert not list(b.parent.glob("**/.kith-partial"))


def files_and_streams_are_told_apart():
    with homes("a", "b") as (a, b):
        f = pathlib.Path(str(a) + "-file")
        f.write_bytes(b"x")
        with Files(a, f) as ticket:
            ends(get(b, ticket, "--both"), 5, "shares no stream, and --both is for one")
        with Share(a) as s:
            ends(get(b, s.ticket, "--only", "x"), 5, "shares neither a stream nor files")
            kith(b, "get", s.ticket, "-y", "-o", b.parent / "out", code=5, err="-o -")
            kith(b, "get", s.ticket[:-1] + ("A" if s.ticket[-1] != "A" else "B"), "-o", "-", code=11)
        for args in (("share", "-", "--times", "2"), ("share", "-", str(f)), ("share", "--both", str(f)), ("get", "kith1x", "--both"),
                     ("get", "kith1x", "-o", "-", "--skip"), ("get", "kith1x", "-o", "-", "--both", "--only", "x"), ("get", "-", "-o", "-", "--both")):
            kith(b, *args, code=2)


run(what_goes_in_comes_out_and_no_more_receivers_are_let_in, so_many_may_ask_at_once_and_others_are_told_to_wait,
    an_empty_stream_and_a_file_arrive_too, both_ways_each_ends_for_itself,
    a_slow_reader_holds_up_the_writer_and_no_memory_grows, whoever_is_left_alone_says_so, a_reader_that_has_enough_ends_it,
    what_cannot_be_read_does_not_look_whole, a_terminal_is_not_written_to_unasked, one_file_of_a_share_goes_to_stdout, files_and_streams_are_told_apart)
