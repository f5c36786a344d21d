#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""`kith up` among strangers on real sockets who do not play along. In every case a peer that was there before is served all
the time, another one gets in afterwards, what a hostile connection costs in memory is bounded, and the log says what happened.
What a peer can do once it has passed the handshake is tested in unit/attack_host and sim/attack_sim."""
import contextlib
import fcntl
import json
import os
import pathlib
import random
import resource
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time

from kith_cli import LOOPBACK, SLOW, Up, eventually, homes, kith, rss_kib, run, start

HELLO = b"\x13/multistream/1.0.0\n"
LOOPBACK_COUNTS = ("--limits.exempt-loopback=false",)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER that resets


def port(up):
    return int(up.addr.split("/")[4])


def knock(up, source=None):
    """A bare TCP connection, or None when the system would not have it."""
    s = socket.socket()
    s.settimeout(5 * SLOW)
    try:
        if source:
            s.bind((source, 0))
        s.connect(("127.0.0.1", port(up)))
    except OSError:
        s.close()
        return None
    return s


def call(up, source=None):
    """The same, and the first byte of a greeting: without one the kernel keeps the connection to itself for a second."""
    s = knock(up, source)
    if s:
        with contextlib.suppress(OSError):
            s.send(HELLO[:1])
    return s


def greets(s):
    """Whether the node took the connection: then it speaks first; else it hangs up at once."""
    try:
        return s.recv(len(HELLO)) == HELLO
    except OSError:
        return False


def is_open(s):
    try:
        s.setblocking(False)
        while s.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def close_all(socks):
    for s in socks:
        if s:
            s.close()


def costs_at_most(kib, up, before, what):
    """A sanitizer keeps what was freed for a while: nothing to learn there."""
    grown = rss_kib(up.pid) - before
    assert SLOW > 1 or grown < kib, f"{grown} KiB more after {what}"


class Honest:
    """A peer that was there before, and pings all the time."""

    def __init__(self, home, up):
        self.home, self.up = home, up
        self.out = open(f"{home}.pings", "w+")
        self.process = start(home, "ping", up.addr, "-i", 20, "--json", stdout=self.out)
        eventually(lambda: self.answers() > 0, "the first ping")

    def answers(self):
        return pathlib.Path(self.out.name).read_text().count('"event":"ping"')

    def goes_on(self):
        """It is answered now."""
        before = self.answers()
        eventually(lambda: self.answers() >= before + 3, "an honest peer's pings", 20)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20 * SLOW)
        summary = json.loads(pathlib.Path(self.out.name).read_text().splitlines()[-1])
        self.out.close()
        if error[0] is None:
            assert code == 0 and summary["event"] == "ping_summary", summary
            assert summary["received"] >= max(4, summary["sent"] - 1), f"pings were lost: {summary}"


def newcomer_gets_in(home, up, timeout=20):
    def tries():
        return kith(home, "ping", up.addr, "-c", 1, code=None, timeout=60).code == 0
    eventually(tries, lambda: f"a new honest peer; the node says: {up.errors()}", timeout)


@contextlib.contextmanager
def attacked(*options, **kw):
    """A node, an honest peer that must be answered from beginning to end, and a home for a newcomer, who must get in
    afterwards."""
    with homes("node", "honest", "late") as (a, b, c), Up(a, *options, **kw) as up:
        with Honest(b, up) as honest:
            yield up, honest
            honest.goes_on()
            newcomer_gets_in(c, up)
            honest.goes_on()


def half_open_handshakes_cost_little_and_end():
    with attacked("--limits.handshakes", 64, "--handshake-timeout", "3s") as (up, honest):
        before = rss_kib(up.pid)
        socks = [call(up) for _ in range(200)]
        assert all(socks)
        for byte in HELLO[1:] + HELLO:  # byte by byte
            for s in socks[::2]:
                with contextlib.suppress(OSError):
                    s.send(bytes([byte]))
            time.sleep(0.02)
        costs_at_most(64 * 32 + 2048, up, before, "64 handshakes")
        still = sum(is_open(s) for s in socks)
        assert still <= 64, f"{still} handshakes at once"
        honest.goes_on()
        eventually(lambda: not any(is_open(s) for s in socks), "the end of the handshakes", 10)
        assert "limits.handshakes reached" in up.errors(), up.errors()
        close_all(socks)


def every_cap_holds_and_gives_places_back():
    """cap, options, how many of ours it takes, where they come from."""
    def one(i):
        return "127.0.2.1"

    def neighbours(i):
        return f"127.0.2.{i + 1}"

    def everywhere(i):
        return f"127.0.{i + 2}.1"

    cases = [("conns_per_ip", 5, 5, one), ("conns_per_subnet", 6, 6, neighbours), ("conns_in", 7, 6, everywhere),
             ("conns", 7, 6, everywhere), ("handshakes", 6, 6, everywhere)]
    for cap, limit, ours, source in cases:
        with attacked(*LOOPBACK_COUNTS, f"--limits.{cap}", limit, "--handshake-timeout", "60s") as (up, honest):
            socks, taken = [], 0
            for i in range(ours):
                socks.append(call(up, source(i)))
                taken += greets(socks[-1])
            assert taken == ours, (cap, taken)
            beyond = [call(up, source(ours + i)) for i in range(5)]
            came = sum(greets(s) for s in beyond)
            if cap.startswith("conns_per"):  # who has its share takes nobody's place
                assert came == 0 and all(is_open(s) for s in socks), (cap, came)
            # else the oldest handshake makes room when it has taken a second; they are never more than the cap
            assert sum(is_open(s) for s in socks + beyond) <= ours, cap
            eventually(lambda: f"limits.{cap} reached" in up.errors(), cap)
            honest.goes_on()
            close_all(socks + beyond)
            again = []

            def place():
                again.append(call(up, source(0)))
                return greets(again[-1])
            eventually(place, f"a place given back by limits.{cap}")
            close_all(again)


def connections_of_one_peer_are_held_to_their_share():
    with homes("one", "two", "three") as (one, two, three), attacked("--limits.conns-per-peer", 2) as (up, honest):
        kith(one, "id")
        for other in (two, three):
            shutil.copytree(one, other, dirs_exist_ok=True)
        pings = [start(h, "ping", up.addr, "-i", 50) for h in (one, two)]
        for p in pings:
            assert b"32 bytes from" in p.stdout.readline()
        kith(three, "ping", up.addr, "-c", 1, code=None)
        r = kith(three, "ping", up.addr, "-c", 1, code=None)
        assert r.code != 0, r
        for p in pings:
            assert b"32 bytes from" in p.stdout.readline()
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=10 * SLOW)
        kith(three, "ping", up.addr, "-c", 1)


def coming_and_going_meets_a_rate():
    with attacked(*LOOPBACK_COUNTS, "--limits.rate-per-ip", 30) as (up, honest):
        taken = 0
        for _ in range(80):
            s = call(up, "127.0.3.1")
            taken += greets(s)
            s.close()
        # a minute's worth, and what fills up meanwhile: one in two seconds
        assert 30 <= taken <= 45, taken
        assert "limits.rate_per_ip reached" in up.errors(), up.errors()
        s = call(up, "127.0.4.1")
        assert greets(s)
        s.close()


def few_descriptors_make_newcomers_wait_and_nobody_else():
    def low():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    with attacked(preexec=low) as (up, honest):
        room = 40 - len(os.listdir(f"/proc/{up.pid}/fd"))
        # what is left goes to clients of the control socket, and then to whoever connects
        clients = []
        for _ in range(room - 4):
            c = socket.socket(socket.AF_UNIX)
            c.connect(str(pathlib.Path(up.home) / "control.sock"))
            clients.append(c)
        socks = [call(up) for _ in range(20)]
        eventually(lambda: "new connections have to wait" in up.errors(), lambda: f"the log: {up.errors()}")
        assert "ulimit -n" in up.errors()
        honest.goes_on()
        close_all(socks)
        close_all(clients)


def storms_of_resets_pass():
    with attacked() as (up, honest):
        before, storms, end = rss_kib(up.pid), 0, time.monotonic() + 3
        rng = random.Random(1)
        while time.monotonic() < end or storms < 300:
            s = knock(up)
            if not s:
                continue
            with contextlib.suppress(OSError):
                s.send((HELLO + b"\x07/noise\n")[:rng.randrange(28)])
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            s.close()
            storms += 1
        print(f"  {storms} connections were reset")
        honest.goes_on()
        costs_at_most(4096, up, before, f"{storms} resets")


def rubbish_is_hung_up_on():
    rng = random.Random(2)
    noise = rng.randbytes(100000)
    rubbish = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes.fromhex("16030100c8010000c40303") + noise[:200], b"\0" * 4096,
               b"\xff" * 65536, noise, b"SSH-2.0-x\r\n", HELLO + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
               HELLO + b"\x07/noise\n" + b"\xff\xff" + noise[:70000], HELLO + b"\x07/noise\n\0\x20" + noise[:32] + b"\0\x10" + noise[:16],
               HELLO + b"\x1a/noise-mlkem768-hfs/0.2.0\n" + struct.pack(">H", 1216) + noise[:1216],
               HELLO + b"\x03ls\n" * 1000, HELLO + b"\x06/none\n" * 1000]
    with attacked("--handshake-timeout", "3s") as (up, honest):
        before = rss_kib(up.pid)
        socks = []
        for _ in range(10):
            for r in rubbish:
                s = knock(up)
                if s:
                    with contextlib.suppress(OSError):
                        s.sendall(r)
                    socks.append(s)
        eventually(lambda: not any(is_open(s) for s in socks), "an end with rubbish", 15)
        honest.goes_on()
        close_all(socks)
        costs_at_most(4096, up, before, f"{len(socks)} connections with rubbish")


@contextlib.contextmanager
def load(up):
    """Strangers who stand still, strangers who come and go, and an honest peer that downloads."""
    over = threading.Event()

    def storm():
        while not over.is_set():
            s = knock(up)
            if s:
                with contextlib.suppress(OSError):
                    s.send(HELLO)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                s.close()
    socks = [call(up) for _ in range(50)]
    thread = threading.Thread(target=storm)
    thread.start()
    with homes("bulk", "unused") as (bulk, _):
        p = start(bulk, "perf", up.addr, "--download", "64GiB", stderr=subprocess.DEVNULL)
        try:
            yield p
        finally:
            over.set()
            p.kill()
            p.communicate()
            thread.join()
            close_all(socks)


def signals_end_a_node_under_load_in_good_order():
    for sig in (signal.SIGTERM, signal.SIGINT):
        with homes("node", "honest") as (a, b), Up(a, "--perf") as up, Up(b) as other:
            kith(b, "dial", up.addr)
            up.event("peer_connected")
            with load(up) as perf:
                up.event("peer_connected")  # the download's
                assert up.stop(sig) == 0, up.errors()
                assert other.event("peer_disconnected")["error"] == "closed"
                assert perf.wait(20 * SLOW) != 0
            assert not (a / "control.sock").exists()


def a_node_killed_under_load_has_its_book_and_its_home():
    with homes("node", "friend") as (a, b), Up(b) as friend:
        with Up(a, "--perf") as up:
            kith(a, "dial", friend.addr)
            known = kith(a, "peers", "--known", "--json").json()["known"]
            assert [p["peer"] for p in known] == [friend.peer], known
            with load(up):
                up.event("peer_connected")
                up.process.kill()
                up.process.wait()
        with contextlib.closing(sqlite3.connect(a / "peers.db")) as book:
            assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with Up(a) as up:
            known = kith(a, "peers", "--known", "--json").json()["known"]
            assert friend.peer in [p["peer"] for p in known], known
            kith(a, "dial", friend.peer)  # by its id alone: the address is in the book
            assert "damaged" not in up.errors(), up.errors()


class Control:
    """The control socket of a running node."""

    def __init__(self, home):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30 * SLOW)
        self.socket.connect(str(home / "control.sock"))
        self.lines, self.id = self.socket.makefile("r"), 0

    def call(self, method, **params):
        self.id += 1
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if answer.get("id") == self.id:
                assert "result" in answer, answer
                return answer["result"]


class Pipe:
    """One that holds 4 KiB and is read when the test likes."""

    def __init__(self, full=False):
        self.read_end, self.write_end = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        if full:
            os.set_blocking(self.write_end, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self.write_end, b"full\n" * 100)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self.write_end, b"\n")
            os.set_blocking(self.write_end, True)
        self.unread = b""

    def line(self, timeout=20):
        while b"\n" not in self.unread:
            assert select.select([self.read_end], [], [], timeout * SLOW)[0], f"nothing more to read than {self.unread}"
            self.unread += os.read(self.read_end, 65536)
        line, self.unread = self.unread.split(b"\n", 1)
        return line


def a_reader_who_stands_still_does_not_stop_the_node():
    visits = 400
    with homes("node", "honest", "visitor", "late") as (a, b, c, d):
        out, err = Pipe(), Pipe(full=True)
        node = start(a, "up", "--json", "--listen", LOOPBACK, "--limits.handshakes", 2, stdout=out.write_end, stderr=err.write_end)
        try:
            first = json.loads(out.line())
            up = type("Up", (), {"addr": first["addrs"][0], "pid": node.pid, "errors": lambda self: "(in a pipe)"})()
            with Honest(b, up) as honest, Up(c) as visitor:
                control = Control(c)
                for _ in range(visits):
                    control.call("dial", target=up.addr)
                    control.call("disconnect", peer=first["peer"])
                socks = [call(up) for _ in range(10)]  # a warning for stderr, which is full
                honest.goes_on()
                kith(a, "status")
                eventually(lambda: kith(a, "status", "--json").json()["peers"] == 1, "the visitor's last end")
                close_all(socks)
                events, dropped = [], 0
                while not dropped:
                    event = json.loads(out.line())
                    if event["event"] == "lines_dropped":
                        dropped = event["lines"]
                    else:
                        events.append(event["event"])
                # The honest peer came, the visitor came and went; each line is there or counted.
                assert len(events) + dropped == 1 + 2 * visits, (len(events), dropped)
                # Two buffers of 64 KiB hold some 200 lines of 600 bytes.
                assert dropped > 200 and len(events) > 150, (len(events), dropped)
                newcomer_gets_in(d, up)
                assert json.loads(out.line())["event"] == "peer_connected"
                assert json.loads(out.line())["event"] == "peer_disconnected"
                while b"limits.handshakes reached" not in (line := err.line()):
                    assert line in (b"full", b""), line
                for _ in range(20):  # it stands still again, and so it ends
                    control.call("dial", target=up.addr)
                    control.call("disconnect", peer=first["peer"])
                del visitor
            node.send_signal(signal.SIGTERM)
            assert node.wait(20 * SLOW) == 0
        finally:
            node.kill()
            node.wait()
            for pipe in (out, err):
                os.close(pipe.read_end)
                os.close(pipe.write_end)


run(half_open_handshakes_cost_little_and_end, every_cap_holds_and_gives_places_back,
    connections_of_one_peer_are_held_to_their_share, coming_and_going_meets_a_rate,
    few_descriptors_make_newcomers_wait_and_nobody_else, storms_of_resets_pass, rubbish_is_hung_up_on,
    signals_end_a_node_under_load_in_good_order, a_node_killed_under_load_has_its_book_and_its_home,
    a_reader_who_stands_still_does_not_stop_the_node)
