#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nothing is left to open: what needs a descriptor says so, and what has one goes on. Newcomers who knock meanwhile are
in test_up.py and test_attack.py."""
import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import sqlite3
import subprocess

from kith_cli import Up, eventually, homes, kith, run, skip, start, LOOPBACK


def limit(pid, n):
    """Leaves a process n descriptors more than it has; None: as many as it likes."""
    soft = 4096 if n is None else max(int(x) for x in os.listdir(f"/proc/{pid}/fd")) + 1 + n
    if subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={soft}:4096"], capture_output=True).returncode:
        skip("prlimit cannot lower the limit of another process")


def sockets(up):
    found = 0
    for x in os.listdir(f"/proc/{up.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{up.pid}/fd/{x}").startswith("socket:")
    return found


OTHERS = 4  # sockets: listening for peers, for clients, for changes of interfaces; one peer


def take_descriptors(up, count):
    """By clients of the control socket; returns them once the node has them, and has closed what others left."""
    clients = []
    for _ in range(count):
        c = socket.socket(socket.AF_UNIX)
        c.connect(str(pathlib.Path(up.home) / "control.sock"))
        clients.append(c)
    eventually(lambda: sockets(up) == OTHERS + count, "the node has them and no others")
    return clients


def gaps(up):
    """Numbers below the highest in use that are free."""
    fds = [int(x) for x in os.listdir(f"/proc/{up.pid}/fd")]
    return max(fds) + 1 - len(fds)


def noted(up):
    """The peer's first meeting is in the file, and the file that SQLite needs meanwhile is closed: no more gap will come of it."""
    db = pathlib.Path(up.home) / "trust.db"
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as c:
        return c.execute("SELECT count(*) FROM peers").fetchone()[0] == 1 and not db.with_name("trust.db-journal").exists()


def a_node_without_descriptors_says_so_and_keeps_its_peers():
    with homes("a", "b", "c") as (a, b, c), Up(a) as up, Up(b) as friend, Up(c) as stranger:
        kith(a, "dial", friend.addr)
        eventually(lambda: noted(up), "the meeting is noted")
        clients = take_descriptors(up, 4)
        assert gaps(up) == 0
        limit(up.pid, 1)  # one is left, and a request takes it
        r = kith(a, "dial", stranger.addr, code=4, err="too many open files")
        assert stranger.addr in r.err, r
        eventually(lambda: sockets(up) == OTHERS + 4, "the request's is free again")
        limit(up.pid, 0)
        kith(a, "status", code=6, err="too many files open")
        kith(b, "ping", up.peer, "-c", 2, out="2 sent, 2 received")
        limit(up.pid, None)
        for c in clients:
            c.close()
        kith(a, "dial", stranger.addr)
        kith(a, "status", out="2 connected")
        assert up.stop() == 0


def tree(top, depth, files):
    """Folders in folders, and files in all of them."""
    at = top
    for i in range(depth):
        at = at / f"d{i}"
        at.mkdir(parents=True)
        (at / "f").write_bytes(os.urandom(1000))
    for i in range(files):
        (top / f"f{i}").write_bytes(os.urandom(1000))


def a_receiver_without_descriptors_leaves_nothing_half_done():
    with homes("a", "b") as (a, b):
        tree(a / "src", 30, 30)
        sharer = start(a, "share", "--ticket", "--listen", LOOPBACK, str(a / "src"), stderr=subprocess.DEVNULL)
        ticket = sharer.stdout.readline().decode().strip()
        seen = set()
        try:
            for n in [*range(12, 40), 64]:
                out = b / f"out{n}"
                out.mkdir(parents=True)
                r = kith(b, "get", ticket, "-y", "-o", out, code=None, timeout=60,
                         preexec_fn=lambda n=n: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
                partial = out / ".kith-partial"
                there = [p for p in out.rglob("*") if p != partial and partial not in p.parents]
                for p in there:  # whatever is in place is whole
                    if p.is_file():
                        assert p.read_bytes() == (a / "src" / p.relative_to(out / "src")).read_bytes(), p
                if r.code == 0:
                    assert len(there) == 91 and not partial.exists(), there
                    seen.add("all")
                    continue
                # a warning that the history could not be written may follow
                last = next((l for l in reversed(r.err.splitlines()) if "oo many open files" in l and "history" not in l), None)
                assert last, r
                files, dirs = (sum(p.is_file() for p in there), sum(p.is_dir() for p in there))
                if there:
                    told = re.search(r"in place: (\d+) files? and (\d+) folders?", last)
                    told = told and (int(told[1]), int(told[2]))
                    alone = re.search(r"in place: (\d+) (files?|folders?);", last)
                    if alone:
                        told = (int(alone[1]), 0) if alone[2].startswith("file") else (0, int(alone[1]))
                    assert told == (files, dirs), (last, there)
                    seen.add("some")
                else:
                    assert "in place" not in last, r
                    seen.add("none")
                if partial.exists() and n % 4 == 0:  # and with descriptors it goes on from there
                    kith(b, "get", ticket, "-y", "-o", out, "--overwrite", timeout=60)
                    assert sum(1 for _ in out.rglob("*")) == 91, r
                    seen.add("resumed")
        finally:
            sharer.send_signal(signal.SIGINT)
            sharer.communicate()
        assert seen == {"none", "some", "all", "resumed"}, seen


if not os.path.isdir("/proc/self/fd"):
    skip("descriptors are counted in /proc, which is not here")
run(a_node_without_descriptors_says_so_and_keeps_its_peers, a_receiver_without_descriptors_leaves_nothing_half_done)
