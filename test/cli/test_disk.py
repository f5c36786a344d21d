#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A home on a disk that is full, and a node that is killed at any moment: a small tmpfs, for which root is needed."""
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time

from kith_cli import cpu_seconds, Crowd, eventually, homes, kith, LOOPBACK, run, SLOW, start, Up


@contextlib.contextmanager
def small_disk(options="size=2m"):
    """A folder on a disk of its own, and one on the big disk."""
    with homes("disk", "other") as (disk, other):
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
        try:
            yield disk, other
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk):
    """Takes all the room there is, to the last byte."""
    with open(disk / "fill", "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while f.write(b"x" * size):
                    pass


def make_room(disk):
    (disk / "fill").unlink()


def id_bytes(text):
    n = 0
    for c in text:
        n = n * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(c)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + n.to_bytes((n.bit_length() + 7) // 8, "big")


def known(home):
    """Those whom the node tells of: the last seen, as many as one answer holds. All of them are in the file by then."""
    return {k["peer"] for k in kith(home, "peers", "--known", "--json").json()["known"]}


def an_identity_is_made_whole_or_not_at_all():
    with small_disk() as (disk, other):
        home = disk / "home"
        home.mkdir(mode=0o700)
        fill(disk)
        kith(home, "id", code=3, err="No space left on device")
        assert list(home.iterdir()) == [], list(home.iterdir())
        make_room(disk)
        me = kith(home, "id").out
        fill(disk)
        assert kith(home, "id").out == me  # reading needs no room


def an_identity_outlives_a_change_for_which_there_is_no_room():
    with small_disk() as (disk, other):
        home = disk / "home"
        home.mkdir(mode=0o700)
        old = "kith identity 1\ned25519-seed " + "07" * 32 + "\n"
        (home / "identity").write_text(old)
        os.chmod(home / "identity", 0o600)
        fill(disk)
        kith(home, "id", code=3, err="No space left on device")
        assert (home / "identity").read_text() == old and len(list(home.iterdir())) == 1
        make_room(disk)
        me = kith(home, "id", "--json").json()
        now = (home / "identity").read_text()
        assert "07" * 32 in now
        fill(disk)
        for args in (["rotate"], ["new", "--replace"]):
            kith(home, "id", *args, code=10, err="No space left on device")
            assert (home / "identity").read_text() == now and len(list(home.iterdir())) == 1
        kith(home, "id", "export", "--plain", home / "out", code=10, err="No space left on device")
        assert not (home / "out").exists()
        make_room(disk)
        assert kith(home, "id", "rotate", "--json").json()["peer"] == me["peer"]


def a_full_disk_changes_no_trust_and_forgets_none():
    peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    with small_disk() as (disk, other):
        home = disk / "home"
        kith(home, "trust", "pin", peer, "--name", "alice")
        fill(disk)
        kith(home, "trust", "block", peer, code=None, err="nothing was changed")
        p = kith(home, "trust", "show", "alice", "--json").json()  # reading needs no room
        assert p["trust"] == "pinned" and not p["blocked"], p
        make_room(disk)
        kith(home, "trust", "block", "alice", out="BLOCKED")


def a_node_starts_on_a_full_disk_and_gets_its_book_when_there_is_room():
    with small_disk() as (disk, other):
        home = disk / "home"
        kith(home, "id")
        fill(disk)
        with Up(home, log=other.with_suffix(".err")) as up:
            assert "going on without the peer book: database or disk is full" in up.errors(), up.errors()
            me = kith(other, "id").out.strip()
            kith(other, "ping", up.addr, "-c", 1)
            assert known(home) == set()
            kith(home, "up", code=7, err="running here already")
            make_room(disk)
            kith(other, "ping", up.addr, "-c", 1)
            eventually(lambda: me in known(home), "the peer is in the book")
            assert "the peer book can be written again" in up.errors(), up.errors()


def a_disk_that_fills_up_costs_what_is_learnt_meanwhile_and_nothing_else():
    with small_disk() as (disk, other):
        home = disk / "home"
        with Up(home, log=other.with_suffix(".err")) as up:
            first = kith(other, "id").out.strip()
            kith(other, "ping", up.addr, "-c", 1)
            eventually(lambda: first in known(home), "the first is in the book")
            before = (home / "identity").read_bytes()
            fill(disk)
            lost = set()
            for i in range(5):
                lost.add(kith(f"{other}-{i}", "id").out.strip())
                kith(f"{other}-{i}", "ping", up.addr, "-c", 2)
            assert known(home) == {first}
            eventually(lambda: kith(home, "status", "--json").json()["conns_in"] == 0, "all have gone")
            told = [x for x in up.errors().splitlines() if "peer book" in x]
            assert len(told) == 1 and str(home / "peers.db") in told[0] and "full" in told[0], told
            make_room(disk)
            kith(f"{other}-0", "ping", up.addr, "-c", 1)
            eventually(lambda: len(known(home)) == 2, "the next one is in the book")
            eventually(lambda: "can be written again" in up.errors(), "it was told")
            assert known(home) - {first} < lost and (home / "identity").read_bytes() == before
            assert up.stop() == 0
        check = sqlite3.connect(home / "peers.db")
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()
        for i in range(5):
            subprocess.run(["rm", "-rf", f"{other}-{i}"], check=True)


def a_log_that_cannot_grow_stops_nobody():
    with small_disk() as (disk, other):
        home = disk / "home"
        r = kith(home, "up", "--detach", "--listen", "/ip4/127.0.0.1/tcp/0")
        try:
            addr = [x.split()[-1] for x in r.out.splitlines() if x.startswith("listening")][0]
            fill(disk)
            for _ in range(30):
                kith(other, "dial", addr)
            assert kith(home, "status", "--json").json()["peer"] in addr
            make_room(disk)
            size = (home / "kith.log").stat().st_size
            kith(other, "dial", addr)
            eventually(lambda: (home / "kith.log").stat().st_size > size, "the log goes on")
        finally:
            kith(home, "stop")


def lines(path):
    """The whole ones."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def events_for_a_file_that_cannot_grow_go_on_when_it_can():
    with small_disk() as (disk, other):
        home, said = other / "node", disk / "said"
        other.mkdir()
        with open(said, "ab") as out:
            node = start(home, "up", "--json", "--listen", LOOPBACK, stdout=out)
        try:
            eventually(lambda: said.read_bytes().endswith(b"\n"), "it listens")
            addr = lines(said)[0]["addrs"][0]
            fill(disk)
            with Crowd(other / "crowd", addr[:addr.rindex("/p2p/")], "churn", 100) as crowd:
                # More than the queue holds: two lines each, 400 bytes together.
                eventually(lambda: crowd.now.get("opened", 0) > 300, "a crowd", timeout=60)
            before, spent = len(said.read_bytes().splitlines()), cpu_seconds(node.pid)
            eventually(lambda: kith(home, "status", "--json").json()["conns_in"] == 0, "all have gone")
            time.sleep(1)
            assert cpu_seconds(node.pid) - spent < 0.5 * SLOW, "it waits for room without hurry"
            make_room(disk)
            eventually(lambda: any(x["event"] == "lines_dropped" for x in lines(said)), "it is told what is missing")
            missing = [x["lines"] for x in lines(said) if x["event"] == "lines_dropped"]
            assert missing[0] > 0 and len(lines(said)) > before, (missing, before)
            kith(other / "late", "dial", addr)
            eventually(lambda: lines(said)[-1]["event"] == "peer_disconnected", "and then it goes on")
            fill(disk)
            for _ in range(15):  # the file's last page has room still
                kith(other / "late", "dial", addr)
            spent = cpu_seconds(node.pid)
            node.terminate()
            _, status, usage = os.wait4(node.pid, 0)
            node.returncode = os.waitstatus_to_exitcode(status)
            assert node.returncode == 0
            assert usage.ru_utime + usage.ru_stime - spent < 0.2 * SLOW, "nor at the end"
        finally:
            if node.poll() is None:
                node.kill()
                node.wait()


def no_place_for_the_control_socket_is_told():
    with small_disk("size=4m,nr_inodes=16") as (disk, other):
        home = disk / "home"
        kith(home, "id")
        with Up(home) as up:  # makes the lock, the book and its companions
            assert up.stop() == 0
        for i in range(30):
            with contextlib.suppress(OSError):
                (disk / f"inode{i}").touch()
        files = sorted(p.name for p in home.iterdir())
        r = kith(home, "up", "--listen", "/ip4/127.0.0.1/tcp/0", code=None)
        assert r.code == 10 and "o space left" in r.err and str(home) in r.err, r
        assert sorted(p.name for p in home.iterdir()) == files
        for p in disk.glob("inode*"):
            p.unlink()
        with Up(home):
            kith(home, "status")


def a_node_that_is_killed_under_load_has_its_book():
    seed = int(os.environ.get("KITH_SEED") or time.time())
    dice = random.Random(seed)
    print(f"KITH_SEED={seed}")
    stored, moments = set(), []
    with homes("node", "crowd") as (home, other), contextlib.ExitStack() as nodes:
        up = nodes.enter_context(Up(home, "--perf", "--conns.high", "0"))
        for i in range(12 if SLOW == 1 else 3):
            # Each time some are new, so that the book is written when the end comes.
            with Crowd(other, up.bare, "churn", 50 * (i + 1)) as crowd:
                eventually(lambda: crowd.now["open"] > 10, "a crowd")
                if not stored:
                    eventually(lambda: known(home), "a peer in the book")
                for _ in range(max(not stored, dice.randrange(3))):
                    stored |= known(home)
                time.sleep(dice.random() / 2)
                os.kill(up.pid, signal.SIGKILL)
                up.process.wait()
            up.process.stdout.close()
            book = sqlite3.connect(home / "peers.db")
            assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            there = {row[0] for row in book.execute("SELECT id FROM peers")}
            book.close()
            moments.append(len(there))
            lost = [p for p in stored if id_bytes(p) not in there]
            assert not lost, lost
            up = nodes.enter_context(Up(home, "--perf", "--conns.high", "0"))
            assert "peer book" not in up.errors(), up.errors()
            assert known(home), "the book is used again"
        print(f"{len(moments)} times killed; peers in the book each time: {moments}")
        assert stored
        assert up.stop() == 0


with homes("probe") as probe:
    probe.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(probe)], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    if tried.returncode == 0:
        subprocess.run(["umount", "-l", str(probe)], check=True)
tests = [a_node_that_is_killed_under_load_has_its_book]
if tried.returncode:
    print("skipped: full disks: no right to mount a tmpfs")
else:
    tests += [a_full_disk_changes_no_trust_and_forgets_none, an_identity_is_made_whole_or_not_at_all, an_identity_outlives_a_change_for_which_there_is_no_room,
              a_node_starts_on_a_full_disk_and_gets_its_book_when_there_is_room,
              a_disk_that_fills_up_costs_what_is_learnt_meanwhile_and_nothing_else, a_log_that_cannot_grow_stops_nobody,
              events_for_a_file_that_cannot_grow_go_on_when_it_can,
              no_place_for_the_control_socket_is_told]
run(*tests)
