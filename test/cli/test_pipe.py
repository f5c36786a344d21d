#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""kith pipe as netcat for peers: bytes, half-close, commands, slow readers, and what ends it."""
import hashlib
import json
import os
import pathlib
import select
import signal
import subprocess
import threading
import time

from kith_cli import LOOPBACK, SLOW, Background, Up, eventually, feed, homes, kith, rss_kib, run, start

PROTOCOL = ("--protocol", "/test/pipe/1")
BIG = (100 if SLOW == 1 else 20) << 20


class Serve(Background):
    """`kith pipe --listen` in the background; address from its first line on stderr."""

    def __init__(self, home, *args, **kw):
        self.process = start(home, "pipe", "--listen-addr", LOOPBACK, "--json", *PROTOCOL, *args,
                             stderr=subprocess.PIPE, **kw)
        ready, _, _ = select.select([self.process.stderr], [], [], 10 * SLOW)
        assert ready, "it does not listen"
        self.addr = json.loads(self.process.stderr.readline())["addrs"][0]

    def __exit__(self, *error):
        super().__exit__(*error)
        if error[0] and self.process.stderr:
            print(f"the listener ended with {self.process.returncode}: {self.process.stderr.read().decode()}")
        for f in (self.process.stdin, self.process.stdout, self.process.stderr):
            if f:
                f.close()


def pattern(n):
    block = hashlib.sha512(b"kith").digest() * 16384  # 1 MiB
    return (block * (n // len(block) + 1))[:n]


def many_bytes_go_both_ways_at_once():
    up, down = pattern(BIG), pattern(BIG + 1)[1:]
    with homes("a", "b") as (a, b), Serve(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        feed(c.stdin, up)
        feed(s.process.stdin, down)
        got = {}
        t = threading.Thread(target=lambda: got.update(server=s.process.stdout.read()))
        t.start()
        client = c.stdout.read()
        t.join()
        assert c.wait(30 * SLOW) == 0 and s.process.wait(30 * SLOW) == 0
        assert client == down, len(client)
        assert got["server"] == up, len(got["server"])


def files_are_read_and_written_too():
    with homes("a", "b") as (a, b):
        os.makedirs(b.parent, exist_ok=True)
        source, target = b.parent / "source", b.parent / "target"
        source.write_bytes(pattern(BIG // 4))
        with open(target, "wb") as out, Serve(a, stdout=out) as s:
            kith(b, "pipe", s.addr, *PROTOCOL, stdin=open(source, "rb"), timeout=60)
            assert s.process.wait(30 * SLOW) == 0
        assert target.read_bytes() == source.read_bytes()


def the_end_of_one_direction_leaves_the_other():
    with homes("a", "b") as (a, b), Serve(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        c.stdin.write(b"question")
        c.stdin.close()
        assert s.process.stdout.read() == b"question"  # it got its EOF while the other way is open
        time.sleep(0.2)
        assert c.poll() is None and s.process.poll() is None
        s.process.stdin.write(b"answer")
        s.process.stdin.close()
        assert c.stdout.read() == b"answer"
        assert c.wait(10 * SLOW) == 0 and s.process.wait(10 * SLOW) == 0


def every_stream_gets_a_command_of_its_own():
    with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", "echo $KITH_PEER; tr a-z A-Z") as s:
        me = kith(b, "id").out
        clients = [start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE) for _ in range(5)]
        for i, c in enumerate(clients):
            c.stdin.write(b"hello %d\n" % i)
            c.stdin.close()
        for i, c in enumerate(clients):
            assert c.stdout.read().decode() == f"{me}HELLO {i}\n"
            assert c.wait(10 * SLOW) == 0
        data = pattern(8 << 20)
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        feed(c.stdin, data)
        assert c.stdout.read()[len(me):] == data.upper()
        s.process.send_signal(signal.SIGINT)
        assert s.process.wait(10 * SLOW) == 0


def a_command_that_does_not_exist_is_told():
    with homes("a", "b") as (a, b), Serve(a, "--", "/no/such/program") as s:
        kith(b, "pipe", s.addr, *PROTOCOL, code=None)
        s.process.terminate()
        s.process.wait(10 * SLOW)
        assert b"/no/such/program" in s.process.stderr.read()


def a_slow_reader_holds_up_the_writer_and_no_memory_grows():
    with homes("a", "b") as (a, b), Serve(a, stdout=subprocess.PIPE) as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        os.set_blocking(c.stdin.fileno(), False)
        block, sent, stalled, peak = pattern(1 << 20), 0, 0, 0
        while stalled < 20:  # nobody reads: the writer must come to a stand
            try:
                sent += os.write(c.stdin.fileno(), block)
                stalled = 0
            except BlockingIOError:
                stalled += 1
                time.sleep(0.05)
            assert sent < 64 << 20, "it swallows everything"
        got, total = 0, sent + (40 << 20)
        os.set_blocking(c.stdin.fileno(), True)
        feed(c.stdin, pattern(40 << 20))
        while got < total:
            piece = os.read(s.process.stdout.fileno(), 1 << 20)
            assert piece, f"EOF after {got} of {total}"
            got += len(piece)
            if got < 4 << 20:
                time.sleep(0.01)
            peak = max(peak, rss_kib(c.pid), rss_kib(s.process.pid))
        assert os.read(s.process.stdout.fileno(), 1) == b""
        assert c.wait(10 * SLOW) == 0 and s.process.wait(10 * SLOW) == 0
        assert peak < (48 << 10) * SLOW, f"{peak} KiB"


def a_reader_that_leaves_ends_it_quietly():
    with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", "yes") as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stderr=subprocess.PIPE)
        assert c.stdout.readline() == b"y\n"
        c.stdout.close()
        assert c.wait(10 * SLOW) == 0, c.stderr.read()
        assert c.stderr.read() == b""


def a_command_may_open_its_stdin_and_stdout_by_name():
    with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", "cat /dev/stdin > /dev/stdout") as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        c.stdin.write(b"by name")
        c.stdin.close()
        assert c.stdout.read() == b"by name"
        assert c.wait(10 * SLOW) == 0


def a_command_that_does_not_want_to_go_is_killed():
    script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", script) as s:
        pids = []
        for end in ("stream", "node"):
            c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
            pids.append(int(c.stdout.readline()))
            (c if end == "stream" else s.process).terminate()
            eventually(lambda: not os.path.exists(f"/proc/{pids[-1]}"), "the command is gone", 8)
            c.wait(10 * SLOW)
        assert s.process.wait(10 * SLOW) == 0


def a_reader_that_does_not_read_does_not_hold_up_the_end():
    with homes("a", "b") as (a, b), Serve(a, "--", "yes") as s:
        for sig in (signal.SIGTERM, signal.SIGINT):
            c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
            assert c.stdout.read(2) == b"y\n"
            time.sleep(0.3)  # its stdout is full
            c.send_signal(sig)
            assert c.wait(6 * SLOW) == 130
            c.stdout.close()


def the_pipes_that_it_was_given_stay_blocking():
    r, w = os.pipe()
    try:
        with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", "echo hi") as s:
            kith_pipe = start(b, "pipe", s.addr, *PROTOCOL, stdout=w)
            assert kith_pipe.wait(10 * SLOW) == 0
            assert os.read(r, 10) == b"hi\n"
            assert os.get_blocking(w)
    finally:
        os.close(r)
        os.close(w)


def missing_stdio_is_dev_null():
    """Else a database or a socket becomes stdout, and what is printed goes there."""
    def close_all():
        for fd in range(3):
            os.close(fd)
    with homes("a", "b") as (a, b), Serve(a, "--", "sh", "-c", "cat; echo seen") as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdout=None, stdin=None, preexec_fn=close_all)
        assert c.wait(10 * SLOW) == 0
        up = start(b, "up", "--listen", "/ip4/127.0.0.1/tcp/0", stdout=None, stdin=None, preexec_fn=close_all)
        try:
            eventually(lambda: (b / "control.sock").exists(), "it is up")
            for fd in range(3):
                assert os.readlink(f"/proc/{up.pid}/fd/{fd}") == "/dev/null", os.readlink(f"/proc/{up.pid}/fd/{fd}")
        finally:
            up.terminate()
            assert up.wait(10 * SLOW) == 0


def a_dead_peer_is_an_error():
    with homes("a", "b") as (a, b), Serve(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        c.stdin.write(b"x")
        c.stdin.flush()
        assert s.process.stdout.read(1) == b"x"
        s.process.kill()
        assert c.wait(10 * SLOW) == 6
        assert b"ended early" in c.stderr.read()


def ctrl_c_ends_it():
    with homes("a", "b") as (a, b), Serve(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as s:
        c = start(b, "pipe", s.addr, *PROTOCOL, stdin=subprocess.PIPE)
        c.stdin.write(b"x")
        c.stdin.flush()
        assert s.process.stdout.read(1) == b"x"
        c.send_signal(signal.SIGINT)
        assert c.wait(10 * SLOW) == 130
        assert s.process.wait(10 * SLOW) in (0, 6)


def an_unserved_protocol_is_refused():
    with homes("a", "b") as (a, b), Up(a) as up:
        kith(b, "pipe", up.addr, *PROTOCOL, code=5, err="/test/pipe/1")
        kith(b, "pipe", up.addr, code=2, err="--protocol")
        kith(b, "pipe", "--listen", up.addr, *PROTOCOL, code=2)
        kith(b, "pipe", "--listen", "--protocol", "/ipfs/ping/1.0.0", code=2, err="served by kith itself")


run(many_bytes_go_both_ways_at_once, files_are_read_and_written_too, the_end_of_one_direction_leaves_the_other,
    every_stream_gets_a_command_of_its_own, a_command_that_does_not_exist_is_told,
    a_slow_reader_holds_up_the_writer_and_no_memory_grows, a_reader_that_leaves_ends_it_quietly,
    a_command_may_open_its_stdin_and_stdout_by_name, a_command_that_does_not_want_to_go_is_killed,
    a_reader_that_does_not_read_does_not_hold_up_the_end, the_pipes_that_it_was_given_stay_blocking,
    missing_stdio_is_dev_null, a_dead_peer_is_an_error, ctrl_c_ends_it, an_unserved_protocol_is_refused)
