#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Transfers of several processes: seen, limited, ended and remembered by others; and shares for known peers, fetched unattended."""
import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time

from kith_cli import Up, environment, eventually, history, homes, kith, run, start, KITH, LOOPBACK, SLOW

MIB = 1 << 20
ALONE = ("--mdns", "off", "--dht", "off")


class Lines:
    """A command of kith in the background, and the events that it prints."""

    def __init__(self, home, *args):
        self.err = open(str(home) + ".err", "ab")
        self.process = start(home, *args, stderr=self.err)
        self.pid, self.unread, self.seen = self.process.pid, b"", []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10 * SLOW)
            except Exception:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.err.close()

    def event(self, *names, timeout=20):
        end = time.monotonic() + timeout * SLOW
        while True:
            while b"\n" not in self.unread:
                ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
                more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
                assert more, f"no {names} but {self.seen}; {open(self.err.name).read()}"
                self.unread += more
            line, self.unread = self.unread.split(b"\n", 1)
            self.seen.append(json.loads(line))
            if self.seen[-1]["event"] in names:
                return self.seen[-1]

    def ended(self, code=0, timeout=20):
        got = self.process.wait(timeout * SLOW)
        assert got == code, f"exit {got}, not {code}: {self.seen}; {open(self.err.name).read()}"


def share(home, *args):
    return Lines(home, "share", "--ticket", "--json", "--listen", LOOPBACK, *ALONE, *args)


def get(home, ticket, into, *args):
    return Lines(home, "get", ticket, "-y", "--json", "-o", into, *ALONE, *args)


def jobs(home):
    return kith(home, "transfers", "--json").json()["transfers"]


def job(home, process):
    return next((j for j in jobs(home) if j["id"] == str(process.pid)), None)


def content(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def moving(home, process):
    j = job(home, process)
    return j and any(t["bytes"] > 0 for t in j.get("transfers", [])) and j


def a_limit_is_kept_shown_and_changed_by_others():
    with homes("a", "b") as (a, b):
        big = content(a.parent / "x" / "big", 8 * MIB)
        with share(a, big, "--limit", "1M/") as sharer:
            ticket = sharer.event("ticket")["ticket"]
            with get(b, ticket, a.parent / "got") as getter:
                eventually(lambda: moving(a, sharer), "it is sent")
                began, one = time.monotonic(), job(a, sharer)
                eventually(lambda: job(a, sharer)["moved_up"] > one["moved_up"], "more of it")
                two, took = job(a, sharer), time.monotonic() - began
                assert two["moved_up"] - one["moved_up"] <= MIB * (took + 0.1) + 256 * 1024, (one, two, took)
                assert two["kind"] == "share" and two["what"] == "big" and two["total"] == 8 * MIB, two
                assert two["limit_up"] == MIB and two["limit_down"] == 0 and two["state"] == "serving", two
                t = two["transfers"][0]
                assert t["id"] == f"{sharer.pid}.1" and t["path"] == "lan" and t["pq"] is True and t["total"] == 8 * MIB, t
                assert [s["id"] for s in kith(a, "shares", "--json").json()["shares"]] == [str(sharer.pid)]
                kith(a, "transfers", out=f"{sharer.pid}.1")
                other = job(b, getter)
                assert other["kind"] == "get" and other["state"] == "fetching" and other["what"] == "big", other
                assert other["peer"] == sharer.seen[0]["peer"] and kith(b, "shares", "--json").json()["shares"] == []
                kith(a, "transfers", "limit", sharer.pid, "off")
                assert job(a, sharer) is None or job(a, sharer)["limit_up"] == 0
                done = getter.event("done", "failed")
                assert done["event"] == "done" and done["path"] == "lan", done
                getter.ended()
                assert (a.parent / "got/big").read_bytes() == big.read_bytes()
            sharer.event("transfer_done")
        for home, direction in ((a, "sent"), (b, "received")):
            rows = history(home)
            assert len(rows) == 1 and rows[0]["direction"] == direction and rows[0]["result"] == "ok", rows
            assert rows[0]["bytes"] == 8 * MIB and rows[0]["what"] == "big" and rows[0]["pq"] is True, rows
        kith(a, "transfers", "--history", out="big")
        assert kith(a, "transfers", "--clear", "--json").json() == {"cleared": 1} and history(a) == []
        assert jobs(a) == jobs(b) == [] and not list((a / "transfers").iterdir())


def a_receiver_limits_itself_and_all_of_a_home_share_a_limit():
    with homes("a", "b") as (a, b):
        a.mkdir()
        b.mkdir()
        (b / "kith.ini").write_text("[share]\nlimit_down = 2MiB\n")
        (a / "kith.ini").write_text("[share]\nlimit_up = 4MiB\n")
        big = content(a.parent / "x" / "big", 64 * MIB)
        with share(a, big) as sharer:
            ticket = sharer.event("ticket")["ticket"]
            with get(b, ticket, a.parent / "one") as one, get(b, ticket, a.parent / "two") as two:
                def halves():
                    return all((job(b, g) or {}).get("limit_down") == MIB for g in (one, two))
                eventually(halves, "each has half")
                eventually(lambda: job(a, sharer)["limit_up"] == 4 * MIB, "the only sharer has all")
                kith(b, "transfers", "limit", one.pid, "/64K")
                assert job(b, one)["limit_down"] == 65536, jobs(b)
                kith(b, "transfers", "cancel", one.pid)
                failed = one.event("failed")
                assert failed["code"] == 130, failed
                one.ended(130)
                eventually(lambda: job(b, two)["limit_down"] == 2 * MIB, "the other has all")
                kith(a, "transfers", "cancel", f"{sharer.pid}.2" if moving_id(a, sharer, 2) else f"{sharer.pid}.1")
                failed = two.event("failed")
                assert failed["result"] == "lost", failed
                two.ended(6)
            kith(a, "transfers", "cancel", sharer.pid)
            sharer.ended()
        assert {r["result"] for r in history(b)} == {"stopped", "lost"}, history(b)
        assert "stopped" in {r["result"] for r in history(a)}, history(a)


def moving_id(home, process, n):
    return any(t["id"] == f"{process.pid}.{n}" for t in job(home, process)["transfers"])


def either_side_pauses_and_goes_on():
    with homes("a", "b") as (a, b):
        big = content(a.parent / "x" / "big", 8 * MIB)
        with share(a, big, "--limit", "1M/") as sharer:
            ticket = sharer.event("ticket")["ticket"]
            with get(b, ticket, a.parent / "got") as getter:
                eventually(lambda: moving(a, sharer), "it is sent")
                kith(a, "transfers", "pause", sharer.pid)
                getter.event("paused")
                assert job(a, sharer)["state"] == "paused" and job(a, sharer)["transfers"][0]["paused"] is True
                theirs = job(b, getter)
                assert theirs["state"] == "paused" and theirs["paused"] is True and theirs["paused_by"] == "sharer", theirs
                kith(b, "transfers", out="  paused by the sharer")
                kith(b, "transfers", "pause", getter.pid)
                assert job(b, getter)["paused_by"] == "us"
                assert job(a, sharer)["transfers"][0]["paused_by"] == "us"
                kith(b, "transfers", "resume", getter.pid)
                assert job(b, getter)["paused_by"] == "sharer"
                kith(a, "transfers", "resume", sharer.pid)
                getter.event("resumed")
                kith(b, "transfers", "pause", getter.pid)
                eventually(lambda: job(a, sharer)["transfers"][0]["paused_by"] == "receiver", "the sharer sees who has paused")
                assert job(a, sharer)["transfers"][0]["paused"] is True and job(a, sharer)["state"] == "serving"
                kith(a, "transfers", out="  paused by the receiver")
                kith(b, "transfers", "resume", getter.pid)
                eventually(lambda: job(a, sharer)["transfers"][0]["paused_by"] == "", "it goes on")
                kith(a, "transfers", "pause", sharer.pid)
                kith(a, "transfers", "limit", sharer.pid, "off")
                kith(a, "transfers", "resume", sharer.pid)
                getter.event("resumed")
                assert not (now := job(b, getter)) or now["paused_by"] == "", now
                kith(b, "transfers", "pause", getter.pid, code=None)  # it may be over already
                kith(b, "transfers", "resume", getter.pid, code=None)
                assert getter.event("done", "failed")["event"] == "done"
                getter.ended()
                assert (a.parent / "got/big").read_bytes() == big.read_bytes()


def a_share_whose_time_is_over_serves_only_who_is_there():
    with homes("a", "b") as (a, b):
        big, ends = content(a.parent / "x" / "big", 4 * MIB), time.time() + 4 * SLOW
        with share(a, big, "--limit", "64K/", "--for", f"{4 * SLOW}s") as sharer:
            ticket = sharer.event("ticket")["ticket"]
            with get(b, ticket, a.parent / "got") as getter:
                eventually(lambda: moving(a, sharer), "it is sent")
                time.sleep(max(0.0, ends + 2 - time.time()))  # the ticket's second has passed
                late = kith(b, "get", ticket, "-y", "-o", a.parent / "late", *ALONE, code=5, err="expired")
                assert not (a.parent / "late").exists(), late
                kith(a, "transfers", "limit", sharer.pid, "off")
                getter.event("done")
                getter.ended()
            sharer.ended()
        kith(a, "share", big, "--for", "0s", code=2, err="--for")


def what_cannot_be_steered_is_said():
    with homes("a", "b") as (a, b):
        kith(a, "transfers", out="nothing is shared or fetched")
        kith(a, "shares", out="nothing is shared")
        kith(a, "transfers", "--history", out="no transfer is remembered")
        for words, code, err in ((("cancel",), 2, "something is missing"), (("cancel", "x"), 2, "is no id"),
                                 (("cancel", "4.0"), 2, "is no id"), (("cancel", "1"), 1, "there is no transfer 1"),
                                 (("explode", "1"), 2, "there is no 'explode'"), (("limit", "1", "5"), 2, "16K"),
                                 (("limit", "1"), 2, "something is missing"), (("cancel", "1", "--history"), 2, "goes with"),
                                 (("--count", "3"), 2, "--history")):
            kith(a, "transfers", *words, code=code, err=err)
        for bad in ("", "/", "x", "1M/y", "1/1", "9G", "5M/2M/1M"):
            kith(a, "share", __file__, "--limit", bad, *ALONE, code=2, err="is not UP/DOWN")
        with share(a, content(b / "f", 10)) as sharer:
            sharer.event("ticket")
            kith(a, "transfers", "cancel", f"{sharer.pid}.7", code=1, err="nobody of that number")
            sharer.process.kill()
            sharer.ended(-signal.SIGKILL)
            assert len(list((a / "transfers").iterdir())) == 1
            assert jobs(a) == [] and not list((a / "transfers").iterdir())


@contextlib.contextmanager
def acquainted():
    """alice and mallory have met bob, whose node runs; he calls only her by a name."""
    with homes("alice", "bob", "mallory") as (alice, bob, mallory), Up(bob) as up:
        ids = {}
        for home in (alice, mallory):
            kith(home, "dial", up.addr, *ALONE)
            kith(home, "trust", "rename", up.peer, "bob")
            ids[home] = kith(home, "id", "--json").json()["peer"]
        kith(bob, "trust", "rename", ids[alice], "alice")
        yield alice, bob, mallory, up


def what_allowed_peers_share_is_fetched_and_nothing_else():
    with acquainted() as (alice, bob, mallory, up):
        into, top = bob.parent / "in", alice.parent / "x" / "holiday"
        content(top / "beach", 100000)
        content(alice.parent / "y" / "evil", 10)
        kith(bob, "inbox", "-o", into, code=2, err="--allow")
        kith(bob, "inbox", "--allow", "nobody", code=2, err="nor the name of a known peer")
        with Lines(bob, "inbox", "--allow", "alice", "-o", into, "--json") as inbox:
            inbox.event("listening")
            with share(alice, "--to", "bob", top) as sharer:
                assert sharer.event("ticket")["ticket"] == ""
                assert sharer.event("offered")["state"] == "delivered"
                came = inbox.event("share_came", "share_refused")
                assert came["event"] == "share_came" and came["name"] == "alice" and came["what"] == "holiday", came
                assert came["files"] == 1 and came["bytes"] == 100000, came
                done = inbox.event("share_done", "share_failed")
                assert done["event"] == "share_done" and done["what"] == "holiday", done
                assert (into / "holiday/beach").read_bytes() == (top / "beach").read_bytes()
                sharer.event("transfer_done")
                # The ticket admits nobody else.
                note = ticket_of(bob)
                r = kith(mallory, "get", note["ticket"], "-y", "-o", mallory / "got", *ALONE, code=5)
                assert not (mallory / "got/holiday").exists(), r
                assert "not for it" in sharer.event("transfer_ended")["text"]
            with share(mallory, "--to", "bob", alice.parent / "y/evil") as evil:
                evil.event("offered")
                no = inbox.event("share_came", "share_refused")
                assert no["event"] == "share_refused" and "nobody here knows it" in no["text"], no
            hostile = {"hello": "no JSON", "{}": "no ticket", json.dumps(dict(note, what="a\x1b[2Jb")): "printable",
                       json.dumps(dict(note, ticket=evil_ticket(mallory, alice.parent / "y/evil"))): "not the sender's own"}
            for text, why in hostile.items():
                kith(alice, "message", "bob", "--msg-type", "share", "--content", text, *ALONE)
                no = inbox.event("share_came", "share_refused")
                assert no["event"] == "share_refused" and why in no["text"], no
            # Nobody serves that ticket any more: told, and it goes on.
            kith(alice, "message", "bob", "--msg-type", "share", "--content", json.dumps(note), *ALONE)
            assert inbox.event("share_failed")["result"] == "unreachable"
            content(top / "beach", 1000)
            with share(alice, "--to", "bob", top):  # what clashes comes under another name
                assert inbox.event("share_done", "share_failed")["event"] == "share_done"
            assert (into / "holiday (2)/beach").exists() and not (into / "evil").exists()
        assert inbox.process.returncode == 0
        kith_listen_shows(bob)


def evil_ticket(home, path):
    with share(home, path) as sharer:
        return sharer.event("ticket")["ticket"]


def ticket_of(home):
    with Lines(home, "listen", "--since", "all", "--json") as heard:
        return json.loads(heard.event("message")["text"])


def kith_listen_shows(home):
    p = start(home, "listen", "--since", "all", "--type", "share")
    seen = b""
    while b"\n" not in seen:
        assert select.select([p.stdout], [], [], 10 * SLOW)[0], "nothing is shown"
        seen += os.read(p.stdout.fileno(), 65536)
    p.send_signal(signal.SIGINT)
    p.wait(10 * SLOW)
    p.stdout.close()
    assert b"alice (share): holiday, 1 file" in seen and b": kith get kith1" in seen, seen


def who_is_away_is_told_later_and_an_inbox_without_a_node_takes_it_once():
    with acquainted() as (alice, bob, mallory, up):
        into, f = bob.parent / "in", content(alice.parent / "x" / "f", 1000)
        addr = up.bare
        up.stop()
        with Up(alice) as node, share(alice, "--to", "bob", f) as sharer:
            assert sharer.event("offered", timeout=30)["state"] == "kept", sharer.seen
            with Lines(bob, "inbox", "--allow", "alice", "-o", into, "--once", "--json", "--listen", addr, *ALONE) as inbox:
                assert inbox.event("share_done", "share_failed", timeout=60)["event"] == "share_done"
                inbox.ended()
                assert (into / "f").read_bytes() == f.read_bytes()
            assert node.process.poll() is None


class Tty:
    """A command of kith on a terminal of its own."""

    def __init__(self, home, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(KITH, [KITH, *map(str, args)], dict(environment(home), TERM="xterm"))
        self.seen = ""

    def until(self, text):
        end = time.monotonic() + 20 * SLOW
        while text not in self.seen:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        self.seen = self.seen.split(text, 1)[1]

    def say(self, text):
        os.write(self.fd, text.encode())

    def ended(self):
        with contextlib.suppress(OSError):
            while os.read(self.fd, 65536):
                pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


def what_is_there_already_is_asked_about():
    with homes("a", "b") as (a, b), share(a, content(b / "x" / "f", 100)) as sharer:
        ticket = sharer.event("ticket")["ticket"]
        old = content(b / "got" / "f", 50).read_bytes()
        new = (b / "x" / "f").read_bytes()
        for answer, code, names in (("\n", 1, {"f"}), ("r\n", 0, {"f", "f (2)"}), ("s\n", 0, {"f", "f (2)"})):
            t = Tty(b, "get", ticket, "-o", b / "got", *ALONE)
            t.until("[o/r/s/C]")
            t.say(answer)
            if code == 0:
                t.until("[Y/n]")
                t.say("y\n")
            assert t.ended() == code and (b / "got/f").read_bytes() == old, answer
            assert {p.name for p in (b / "got").iterdir()} - {".kith-partial"} == names, answer
        t = Tty(b, "get", ticket, "-y", "--ask", "-o", b / "got", *ALONE)
        t.until("[o/r/s/C]")
        t.say("o\n")
        assert t.ended() == 0 and (b / "got/f").read_bytes() == new
        content(b / "got" / "f", 50)
        assert Tty(b, "get", ticket, "-y", "-o", b / "got", *ALONE).ended() == 9
        kith(b, "get", ticket, "-y", "--ask", code=2, err="no terminal to ask")


def each_thing_that_is_there_is_asked_about_until_one_answer_is_for_all():
    with homes("a", "b") as (a, b):
        new = content(b / "x" / "top" / "same", 100).read_bytes()
        for name in ("a", "b", "c", "d", "e", *(f"many{i}" for i in range(100))):
            (b / "x" / "top" / name).write_bytes(new[:50])
        (b / "x" / "top" / "folder").mkdir()
        old = b / "got" / "top"
        shutil.copytree(b / "x" / "top", old)
        for p in old.iterdir():
            if p.name not in ("same", "folder"):
                p.write_bytes(b"old")
                os.utime(p, (86400, 86400))
        (old / "folder").rmdir()
        (old / "folder").write_bytes(b"old")
        with share(a, b / "x" / "top") as sharer:
            t = Tty(b, "get", sharer.event("ticket")["ticket"], "-o", b / "got", *ALONE)
            t.until("'top/a' is in ")
            t.until("there  file, 3 bytes, 1970-01-02 00:00:00")
            t.until("comes  file, 50 bytes, 20")
            t.until("rename what comes (all of 'top'), skip, or cancel; a capital letter is for all 106 that are left? [o/r/s/C]")
            t.say("o\n")
            t.until("'top/b' is in ")
            t.until("105 that are left? [o/r/s/C]")
            t.say("s\n")
            t.until("'top/c' is in ")
            t.until("104 that are left? [o/r/s/C]")
            t.say("O\n")
            t.until("'top/folder' is in ")  # which that answer cannot be for
            t.until("comes  folder")
            t.until("skip, or cancel? [r/s/C]")
            t.say("o\n")
            t.until("[r/s/C]")
            t.say("s\n")
            t.until("2 skipped; 1 there already")
            t.until("[Y/n]")
            t.say("y\n")
            assert t.ended() == 0
        kept = {p.name for p in old.iterdir() if p.read_bytes() == b"old"}
        assert kept == {"b", "folder"} and (old / "a").read_bytes() == new[:50], kept
        assert len(list(old.iterdir())) == 107 and sorted(p.name for p in (b / "got").iterdir() if p.name != ".kith-partial") == ["top"]


def who_is_known_and_not_allowed_is_asked_about():
    with acquainted() as (alice, bob, mallory, up), contextlib.ExitStack() as stack:
        into = bob.parent / "in"
        t = Tty(bob, "inbox", "-o", into)
        t.until("until Ctrl-C")
        for name in ("first", "second", "third"):  # all are there before the first is answered
            sharer = stack.enter_context(share(alice, "--to", "bob", content(alice.parent / "x" / name, 100)))
            assert sharer.event("offered")["state"] == "delivered"
        for name, answer in (("first", "y\n"), ("second", "\n"), ("third", "yes, with pleasure\n")):
            t.until(f"alice shares {name} (1 file")
            t.until("Fetch it? [y/N]")
            t.say(answer)
        eventually(lambda: (into / "first").exists() and (into / "third").exists(), "what was wanted is fetched")
        os.kill(t.pid, signal.SIGINT)
        assert t.ended() == 0 and not (into / "second").exists()


def a_nice_transfer_comes_last():
    with homes("a", "b") as (a, b), share(a, "--nice", content(b / "f", 10)) as sharer:
        ticket = sharer.event("ticket")["ticket"]
        stat = open(f"/proc/{sharer.pid}/stat").read().rsplit(")", 1)[1].split()
        assert int(stat[16]) == 19, stat
        if shutil.which("ionice") and subprocess.run(["ionice", "-c3", "true"], check=False).returncode == 0:
            assert subprocess.check_output(["ionice", "-p", str(sharer.pid)]).strip() == b"idle"
        with get(b, ticket, b / "got", "--nice") as getter:
            assert getter.event("done", "failed")["event"] == "done"


if __name__ == "__main__":
    run(a_limit_is_kept_shown_and_changed_by_others,
        a_receiver_limits_itself_and_all_of_a_home_share_a_limit,
        either_side_pauses_and_goes_on,
        a_share_whose_time_is_over_serves_only_who_is_there,
        what_cannot_be_steered_is_said,
        what_is_there_already_is_asked_about, each_thing_that_is_there_is_asked_about_until_one_answer_is_for_all,
        who_is_known_and_not_allowed_is_asked_about,
        a_nice_transfer_comes_last,
        what_allowed_peers_share_is_fetched_and_nothing_else,
        who_is_away_is_told_later_and_an_inbox_without_a_node_takes_it_once)
