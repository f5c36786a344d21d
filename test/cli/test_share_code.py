#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""kith share and kith get with a code, on a network of namespaces: by multicast DNS alone and by a private DHT of five nodes alone; wrong codes,
and the end of a code; codes from everywhere, and none of them in sight."""
import base64
import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import tempfile
import time

import kith_net
from kith_cli import KITH, LOOPBACK, SLOW, Up, environment, eventually, homes, kith, run, skip, start

NET = ("--dht.protocol", "/test/kad/1.0.0")
PATIENCE = 60
CONTENT = b"hello" * 100000


class Share:
    """kith share in the i-th namespace, and the code that it prints first."""

    def __init__(self, net, i, home, *args):
        (home.parent / "files").mkdir()
        path = home.parent / "files" / "f"
        path.write_bytes(CONTENT)
        self.err = open(home.parent / f"err{time.monotonic_ns()}", "w+")
        self.p = start(home, "share", "--json", "--listen", f"/ip4/10.77.0.{i + 1}/tcp/0", *args, path, stderr=self.err, text=True, preexec_fn=net.enter(i))
        e = self.event("code")
        self.code, self.words = e["code"], e["words"]

    def event(self, name):
        for line in self.p.stdout:
            e = json.loads(line)
            if e["event"] == name:
                return e
        self.err.seek(0)
        raise AssertionError(f"no {name}: {self.err.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.p.terminate()
        self.p.wait(PATIENCE * SLOW)
        self.p.stdout.close()
        self.err.close()


def get(net, i, home, *args, content=CONTENT, **kw):
    into = home.parent / f"out{time.monotonic_ns()}"
    r = kith(home, "get", "-y", "-o", into, *args, preexec_fn=net.enter(i), timeout=PATIENCE, **kw)
    assert not content or (into / "f").read_bytes() == content, r
    return r


def by_multicast_dns_alone_however_it_is_typed():
    ways = ("--mdns", "on", "--dht", "off")
    with kith_net.Net(2) as net, homes("a", "b") as (a, b), Share(net, 0, a, *ways) as s:
        assert re.fullmatch("[2-9A-HJ-NP-Z]{4}(-[2-9A-HJ-NP-Z]{4}){2}", s.code) and len(s.words.split()) == 6, s.code
        r = get(net, 1, b, *ways, s.code)
        assert "found on this network; the code is right" in r.err and "post-quantum" in r.err, r
        get(net, 1, b, *ways, s.code.lower().replace("-", ""))
        get(net, 1, b, *ways, *s.words.split())
        r = get(net, 1, b, *ways, s.code[:-1] + "0")
        assert 'symbol 12, "0", is none of a code\'s, and was put right' in r.err, r
        assert kith(b, "get", *ways, "-o", "-", s.code, preexec_fn=net.enter(1), timeout=PATIENCE).out.encode() == CONTENT
        r = get(net, 1, b, *ways, "--json", s.code).lines()
        assert [e["source"] for e in r if e["event"] == "candidate"] == ["mdns"] and r[-1]["event"] == "done", r
        with open(b.parent / "in", "w+") as f:
            f.write(s.words + "\nand more\n")
            f.seek(0)
            get(net, 1, b, *ways, "--code-fd", "0", stdin=f)


def a_stream_is_found_by_its_code_too():
    ways = ("--mdns", "on", "--dht", "off")
    with kith_net.Net(2) as net, homes("a", "b") as (a, b):
        p = start(a, "share", "-", "--json", "--listen", "/ip4/10.77.0.1/tcp/0", *ways, stdin=subprocess.PIPE, text=True, preexec_fn=net.enter(0))
        code = json.loads(p.stdout.readline())["code"]
        p.stdin.write("content")
        p.stdin.close()
        wrong = kith(b, "get", "-o", "-", *ways, "--wait", "5", other_secret(code), code=None, preexec_fn=net.enter(1), timeout=PATIENCE)
        assert wrong.code == 5 and "not the sharer's code" in wrong.err and not wrong.out, wrong
        # Who expects files is told long before it gives up looking, and the stream is still there.
        r = get(net, 1, b, *ways, "--wait", "100000", code, code=5, err="this code is of a stream, not of files: take it with 'kith get CODE -o -'", content=None)
        r = kith(b, "get", "-o", "-", *ways, code, preexec_fn=net.enter(1), timeout=PATIENCE)
        assert r.out == "content" and "post-quantum" in r.err, r
        assert p.wait(PATIENCE) == 0
        p.stdout.close()


def by_a_private_dht_of_five_nodes_alone():
    with kith_net.Net(7) as net, homes("a", "b", "c", "d", "e", "f", "g") as (*hs, f, g), contextlib.ExitStack() as stack:
        ups = []
        for i, h in enumerate(hs):
            begin = ("--bootstrap", ups[0].addr) if ups else ()
            ups.append(stack.enter_context(Up(h, *NET, *begin, listen=f"/ip4/10.77.0.{i + 1}/tcp/0", dht="server", preexec=net.enter(i))))
        for i, h in enumerate(hs):
            eventually(lambda: kith(h, "dht", "status", "--json", preexec_fn=net.enter(i)).json()["peers"] == 4, "all in each other's tables")
        s = stack.enter_context(Share(net, 5, f, *NET, "--mdns", "off", "--bootstrap", ups[1].addr))
        r = get(net, 6, g, *NET, "--mdns", "off", "--bootstrap", ups[4].addr, s.code)
        assert "found by the DHT; the code is right" in r.err, r


def three_wrong_codes_burn_it():
    ways = ("--mdns", "on", "--dht", "off")
    with kith_net.Net(2) as net, homes("a", "b") as (a, b), Share(net, 0, a, *ways) as s:
        wrong = other_secret(s.code)
        for n in range(3):
            r = None
            while r is None or "nobody who has this code was found" in r.err:  # in two seconds, on a busy machine: that is no guess
                r = get(net, 1, b, *ways, "--wait", 2, wrong, content=None, code=None)
            assert r.code == 5 and "not the sharer's code" in r.err, r
            while n == 0 and "it had a wrong code" not in s.event("transfer_ended")["text"]:
                pass
        s.event("burnt")
        get(net, 1, b, *ways, "--wait", 1, s.code, content=None, code=4, err="nobody who has this code was found")


def an_inbox_without_a_node_is_found_on_the_network():
    ways = ("--mdns", "on", "--dht", "off")
    with kith_net.Net(2) as net, homes("a", "b") as (a, b):
        ids = [kith(h, "id").out.split()[0] for h in (a, b)]
        f = a.parent / "f"
        f.write_bytes(CONTENT)
        inbox = start(b, "inbox", "--allow", ids[0], "--once", "-o", b.parent / "in", *ways, preexec_fn=net.enter(1))
        try:
            kith(a, "share", f, "--to", ids[1], "--once", "--listen", "/ip4/10.77.0.1/tcp/0", *ways, preexec_fn=net.enter(0), timeout=PATIENCE)
            assert inbox.wait(PATIENCE * SLOW) == 0
        finally:
            inbox.kill()
            inbox.wait()
        assert (b.parent / "in" / "f").read_bytes() == CONTENT


def other_secret(code):
    """The same locator with another secret, and its check symbol: found by trying all of them."""
    symbols = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    tenth = symbols[(symbols.index(code[12]) + 1) % 32]
    v = [symbols.index(c) for c in code.replace("-", "")]
    v[10] = symbols.index(tenth)

    def total(v):
        s = 0
        for x in reversed(v):
            s = (s << 1 ^ (0x25 if s & 16 else 0)) & 31 ^ x
        return s
    v[11] = next(c for c in range(32) if total(v[:11] + [c]) == 0)
    text = "".join(symbols[x] for x in v)
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"


def a_code_is_not_in_sight_of_others():
    ways = ("--mdns", "on", "--dht", "off", "--wait", "60")
    with kith_net.Net(1) as net, homes("b") as b:
        for args, more in ((("P7YE-G9L8-KD9V",), {}), ((), {"KITH_CODE": "P7YE-G9L8-KD9V"})):
            p = subprocess.Popen([KITH, "get", "-y", "-o", b.parent / "out", *ways, *args], env=environment(b) | more,
                                 stderr=subprocess.PIPE, text=True, preexec_fn=net.enter(0))
            assert p.stderr.readline()  # it says what it does: it has its arguments
            proc = pathlib.Path(f"/proc/{p.pid}")
            seen = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
            p.terminate()
            p.communicate()
            assert b"P7YE" not in seen and b"KD9V" not in seen, seen


def a_code_does_not_wait_until_all_files_are_found():
    """A walk that takes longer than half a second is overtaken by the ticket and the code."""
    ram = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with homes("a") as a, tempfile.TemporaryDirectory(dir=ram) as top:
        for i in range(150000):
            os.mknod(f"{top}/{i}")
        began, at = time.monotonic(), {}
        p = start(a, "share", "--json", "--listen", LOOPBACK, "--mdns", "off", "--dht", "off", top, text=True)
        for line in p.stdout:
            at[json.loads(line)["event"]] = time.monotonic() - began
            if {"ticket", "code", "walked"} <= set(at):
                break
        p.terminate()
        p.communicate(timeout=PATIENCE * SLOW)
        assert at["walked"] < 0.5 or at["ticket"] < at["code"] < at["walked"], at


def what_is_no_code_is_said():
    with homes("b") as b:
        kith(b, "get", "-y", "P7YE-G9L8-KD9W", code=2, err="this is no code: a symbol is wrong, or two have changed places")
        kith(b, "get", "-y", "P7YE-G9L8-KD9", code=2, err="this has 11 symbols")
        kith(b, "get", "-y", "practice", "tower", "shy", "minimum", "model", "provide", code=2, err="a word is wrong, or two")
        kith(b, "get", "-y", code=2, err="usage: kith get CODE")
        kith(b, "share", b.parent, "--ticket", "--words", code=2, err="--ticket asks for none")


def at_a_terminal_it_is_copied_and_asked_for():
    def terminal(home, *args):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(KITH, [KITH, *map(str, args)], environment(home))
        return pid, fd

    def read(fd, until):
        seen = b""
        while until not in seen:
            seen += os.read(fd, 4096)
        return seen

    with homes("a", "b") as (a, b):
        (a.parent / "f").write_bytes(b"x")
        off = ("--mdns", "off", "--dht", "off")
        pid, fd = terminal(a, "share", "-c", a.parent / "f", "--listen", LOOPBACK, *off)
        seen = read(fd, b"\x07")
        code = re.search(rb"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}", seen)[0]
        assert b"\x1b]52;c;" + base64.b64encode(code) + b"\x07" in seen, seen
        read(fd, b"only who remembers where this node listens can find it")
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(fd)
        pid, fd = terminal(b, "get", "-o", b.parent / "out", *off)
        read(fd, b"code or ticket: ")
        os.write(fd, b"P7YE-G9L8-KD9W\n")
        read(fd, b"a symbol is wrong")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
        os.close(fd)


if why := kith_net.missing():
    skip(why)
run(by_multicast_dns_alone_however_it_is_typed, a_stream_is_found_by_its_code_too, by_a_private_dht_of_five_nodes_alone,
    three_wrong_codes_burn_it, an_inbox_without_a_node_is_found_on_the_network, a_code_is_not_in_sight_of_others,
    a_code_does_not_wait_until_all_files_are_found, what_is_no_code_is_said, at_a_terminal_it_is_copied_and_asked_for)
