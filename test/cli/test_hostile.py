#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sharers and receivers that mean harm, against `kith get` and `kith share`: they get nothing but a clear answer."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import threading
import time

from kith_cli import Job, KITH, LOOPBACK, SLOW, TOOLS, environment, homes, kith, run, skip_one, start

SANITIZED = SLOW > 1


@contextlib.contextmanager
def tool(name, *args, **kw):
    path = TOOLS / f"tool_{name}"
    if not path.exists():
        skip_one(f"{path.name} was not built")
    p = subprocess.Popen([path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    try:
        yield p
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()


def facts(top, without):
    """All that is below a folder, without some names at its top: what it is, which inode, of which content."""
    out = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            if os.path.relpath(path, top).split("/")[0] in without:
                continue
            s = os.lstat(path)
            what = os.readlink(path) if stat.S_ISLNK(s.st_mode) else pathlib.Path(path).read_bytes() if stat.S_ISREG(s.st_mode) else ""
            out[path] = (s.st_mode, s.st_ino, s.st_nlink, s.st_size, s.st_mtime_ns, what)
    return out


def calm(text):
    """Nothing in it that a terminal would obey, or that turns it."""
    bad = [c for c in text if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or c in "\u061c\u200e\u200f\u2028\u2029" or
           "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"]
    assert not bad, f"{bad} reach the terminal: {text!r}"


def found(out):
    """Names in the destination, as find prints them."""
    return sorted(os.path.relpath(os.path.join(folder, name), out) for folder, folders, files in os.walk(out)
                  for name in [*folders, *files]) if out.is_dir() else []


def allowed(name, left):
    return any(name == a or (a.endswith("*") and name.startswith(a[:-1])) for a in left)


BIG = bytes((i * 7 + i // 300) & 255 for i in range(2 * 256 * 1024 + 10))
OLDER = BIG[:5] + bytes([BIG[5] ^ 1]) + BIG[6:]


def only_what_was_verified(path):
    """What lies there is the beginning of a good file, or not there yet."""
    got = path.read_bytes()
    assert any(all(g == 0 or g == w for g, w in zip(got, want)) and len(got) <= len(want) for want in (BIG, b"hello", b"hello!")), path


def get(case, top, home):
    """Runs kith get; its exit code, what it said, and its peak of memory in KiB."""
    endless = case["code"] == 130
    with open(home.parent / f"{home.name}-said", "wb+") as said:
        p = subprocess.Popen([KITH, "get", case["ticket"], "-o", "out", "-y", *case["args"].split(), *(["--json"] if endless else [])],
                             cwd=top, env=environment(home), stdin=subprocess.DEVNULL, stderr=said,
                             stdout=subprocess.PIPE if endless else said)
        late = threading.Timer(20 * SLOW, p.kill)
        late.start()
        if endless:
            while b'"waiting"' not in p.stdout.readline():
                pass
            p.send_signal(signal.SIGINT)
            said.write(p.stdout.read())
            p.stdout.close()
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        late.cancel()
        said.seek(0)
        return p.returncode, said.read().decode(errors="surrogateescape"), used.ru_maxrss


def judge(case, top, home):
    left = case["left"].split()
    (top / "beside").mkdir(parents=True)
    (top / "beside" / "canary").write_text("sings\n")
    (top / "out").mkdir()
    os.utime(top / "beside", ns=(1, 1))
    without = ("out", "out.moved")
    before = facts(top, without)
    code, said, memory = get(case, top, home)
    assert code == case["code"], f"exit {code}, not {case['code']}: {said}"
    assert case["says"] in said, f"not said: {case['says']!r} but {said!r}"
    assert "Sanitizer" not in said and "runtime error" not in said, said
    calm(said)
    assert facts(top, without) == before, f"{before} became {facts(top, without)}"
    assert memory < 160 * 1024 or SANITIZED, f"{memory} KiB"
    out = top / ("out.moved" if os.path.islink(top / "out") else "out")
    names = found(out)
    assert all(allowed(n, left) for n in names), f"left in the destination: {names}"
    if code == 0:
        assert all(a in names for a in left if "*" not in a), f"not in the destination: {names}"
    for n in names:
        if n.endswith(".part") and (out / n).is_file():
            only_what_was_verified(out / n)
        elif ".kith-partial" not in n and (out / n).is_file() and not (out / n).is_symlink():
            assert (out / n).read_bytes() in (b"hello", OLDER), n


def all_of(top, home, part, parts, failed):
    """Every parts-th of the hostile shares, from one sharer; how many there are."""
    with tool("hostile_sharer", LOOPBACK, str(top)) as sharer:
        lines = list(iter(sharer.stdout.readline, b"\n"))  # all of them, before it serves
        for case in map(json.loads, lines[part::parts]):
            try:
                judge(case, top / case["name"], home)
            except Exception as why:
                failed.append(f"{case['name']}: {why}")
            if sharer.poll() is not None:
                failed.append(f"the sharer ended after {case['name']}")
                break
    return len(lines)


def hostile_shares_write_nothing():
    failed = []
    with homes("shares", "home-0", "home-1") as (top, *two):
        top.mkdir()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            counts = list(pool.map(lambda i: all_of(top, two[i], i, 2, failed), range(2)))
    print(f"{counts[0]} hostile shares")
    assert not failed, "\n".join(failed)
    assert counts[0] == counts[1] > 200


@contextlib.contextmanager
def sharing(home, *args):
    """A sharer, what it printed first, and the file that its stderr goes to; in the end it must stop in good order, and have said nothing odd."""
    log = home.parent / f"{home.name}-said"
    p = start(home, "share", "--listen", LOOPBACK, "--mdns", "off", "--dht", "off", *args, stderr=open(log, "wb"))
    try:
        yield p, p.stdout.readline().decode().strip()
        p.send_signal(signal.SIGINT)
        assert p.wait(20 * SLOW) == 0, log.read_text(errors="replace")
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
    said = log.read_text(errors="surrogateescape")
    assert "Sanitizer" not in said and "runtime error" not in said, said
    calm(said)


def hostile_receivers_get_nothing():
    with homes("sharer", "receiver") as (a, b):
        top = a.parent
        (top / "big").write_bytes(os.urandom(3000000))
        with sharing(a, "--ticket", top / "big") as (sharer, ticket):
            with tool("hostile_receiver", "ticket", ticket) as t:
                out = t.communicate(timeout=60 * SLOW)[0].decode()
                assert t.returncode == 0, out
                assert out.count(": ok") > 60, out
            with contextlib.ExitStack() as slow:
                for _ in range(8):  # each asks for all, eight times, and reads nothing
                    t = slow.enter_context(tool("hostile_receiver", "hold", ticket))
                    assert t.stdout.readline() == b"held\n", t.stderr.read()
                kith(b, "get", ticket, "-y", "-o", top / "out")
                peak = next(int(line.split()[1]) for line in open(f"/proc/{sharer.pid}/status") if line.startswith("VmHWM"))
                assert peak < 64 * 1024 or SANITIZED, f"{peak} KiB"
            assert (top / "out" / "big").read_bytes() == (top / "big").read_bytes()


def so_many_receivers_are_served_and_others_told_to_wait():
    with homes("sharer", "receiver") as (a, b):
        top = a.parent
        (top / "big").write_bytes(os.urandom(100000))
        with sharing(a, "--ticket", top / "big") as (sharer, ticket):
            said = []
            with contextlib.ExitStack() as crowd:
                for _ in range(17):  # of one connection four streams, of all connections 64
                    t = crowd.enter_context(tool("hostile_receiver", "crowd", ticket, "5"))
                    said += [t.stdout.readline().decode().strip() for _ in range(5)]
                assert {what: said.count(what) for what in set(said)} == {"in": 64, "busy": 4, "reset": 17}, said
                kith(b, "get", ticket, "-y", "-o", top / "out", code=5, err="as many as it may have at once are fetching it just now; try again later")
            kith(b, "get", ticket, "-y", "-o", top / "out")  # they have gone
            assert (top / "out" / "big").read_bytes() == (top / "big").read_bytes()


def guessed(string, how):
    with tool("hostile_receiver", "guess", string, how) as t:
        return t.communicate(timeout=30 * SLOW)[0].decode().strip()


def three_wrong_guesses_burn_it_whoever_makes_them():
    """Each is another peer."""
    with homes("one", "two", "receiver") as (one, two, b):
        top = one.parent
        (top / "f").write_text("content\n")
        with sharing(one, "--share-string", top / "f") as (_, string):
            got = [(how, guessed(string, how)) for how in ("right", "garbage", "hangup", "right", "wrong", "right")]
            assert got == [("right", "offer"), ("garbage", "error 2"), ("hangup", "gone"), ("right", "offer"), ("wrong", "error 2"),
                           ("right", "error 2")], got
            kith(b, "get", string, "-y", "-o", top / "out", code=5)
        with sharing(two, "--share-string", top / "f") as (_, string):
            got = [(how, guessed(string, how)) for how in ("zeros", "late", "garbage", "right", "garbage", "right")]
            assert got == [("zeros", "error 2"), ("late", "error 1"), ("garbage", "error 2"), ("right", "offer"), ("garbage", "error 2"),
                           ("right", "error 2")], got


@contextlib.contextmanager
def behind_three_guesses(home, receiver, twice=False):
    """A `kith get` of a code that as many guess as may, and these. twice: and one before it that waits, and does not just wait."""
    top = home.parent
    (top / "f").write_text("content\n")
    with sharing(home, "--share-string", top / "f") as (_, string), contextlib.ExitStack() as guesses:
        def begin(how):
            return guesses.enter_context(tool("hostile_receiver", "guess", string, how, stdin=subprocess.PIPE))
        three = [begin("slow") for _ in range(3)]
        for t in three:
            assert t.stdout.readline() == b"answered\n"
        if twice:
            assert begin("twice").stdout.readline() in (b"error 2\n", b"error 1\n")  # the latter when both came at once
        with Job(receiver, "get", string, "-y", "--json", "-o", top / "out") as g:
            time.sleep(1)  # by then it has been told to go, unless it waits
            assert g.process.poll() is None, g.ended()
            yield g, three


def who_comes_while_three_guess_waits_for_one_of_them():
    with homes("one", "receiver") as (one, b):
        with behind_three_guesses(one, b) as (g, three):
            assert three[0].communicate(b"\n", timeout=30 * SLOW)[0] == b"offer\n"
            g.ended()
            assert (one.parent / "out" / "f").read_text() == "content\n"
            assert [t.communicate(b"\n", timeout=30 * SLOW)[0] for t in three[1:]] == [b"offer\n"] * 2


def who_says_its_proof_again_while_it_waits_is_refused_and_is_no_guess():
    with homes("one", "receiver") as (one, b):
        with behind_three_guesses(one, b, twice=True) as (g, three):
            assert three[0].communicate(b"\n", timeout=30 * SLOW)[0] == b"offer\n"
            g.ended()


def who_waits_for_three_guesses_that_burn_the_code_is_told():
    with homes("one", "receiver") as (one, b):
        with behind_three_guesses(one, b) as (g, three):
            for t in three:
                t.kill()
            g.ended(code=5)
            assert "does not admit to it" in g.out.read_text(), g.out.read_text()
            assert not (one.parent / "out" / "f").exists()


if __name__ == "__main__":
    run(hostile_shares_write_nothing, hostile_receivers_get_nothing, so_many_receivers_are_served_and_others_told_to_wait,
        three_wrong_guesses_burn_it_whoever_makes_them, who_comes_while_three_guess_waits_for_one_of_them,
        who_says_its_proof_again_while_it_waits_is_refused_and_is_no_guess, who_waits_for_three_guesses_that_burn_the_code_is_told)
