#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""People in the consoles of `kith up`: three on one network who find each other, talk, are lost and come back; what the console remembers and
completes; and what comes while a line is being typed."""
import os
import signal
import stat
import time

import kith_net
from kith_cli import Terminal, Up, eventually, homes, kith, run, skip_one, LOOPBACK, SLOW

DEFAULT = "quantra-default"


class Screen:
    """As much of a terminal as is needed to see what stands where: text, newlines, and the few sequences that libedit and the console use."""

    def __init__(self, columns):
        self.rows, self.x, self.y, self.columns = [""], 0, 0, columns

    def put(self, text):
        i = 0
        while i < len(text):
            c, i = text[i], i + 1
            if c == "\r":
                self.x = 0
            elif c == "\n":
                self.y += 1
            elif c == "\b":
                self.x = max(0, self.x - 1)
            elif c == "\x1b" and text[i:i + 1] == "[":
                j = i + 1
                while not text[j].isalpha():
                    j += 1
                n = int(text[i + 1:j] or 0) if text[i + 1:j].isdigit() or j == i + 1 else 0
                self.sequence(text[j], n)
                i = j + 1
            elif c >= " ":
                if self.x == self.columns:
                    self.x, self.y = 0, self.y + 1
                self.row()
                row = self.rows[self.y].ljust(self.x)
                self.rows[self.y] = row[:self.x] + c + row[self.x + 1:]
                self.x += 1
            self.row()

    def row(self):
        while len(self.rows) <= self.y:
            self.rows.append("")

    def sequence(self, kind, n):
        if kind == "A":
            self.y = max(0, self.y - max(1, n))
        elif kind == "C":
            self.x += max(1, n)
        elif kind == "D":
            self.x = max(0, self.x - max(1, n))
        elif kind == "G":
            self.x = max(1, n) - 1
        elif kind in "KJ":
            self.rows[self.y] = self.rows[self.y][:self.x]
            if kind == "J":
                del self.rows[self.y + 1:]


def in_topic(t, peers, timeout=30):
    """Asked on the control socket, so that the console stays as it is."""
    def there():
        r = kith(t.home, "topics", "--json").json()
        return [x["peers"] for x in r["topics"] if x["topic"] == DEFAULT] == [peers]
    eventually(there, f"{peers} peers in the topic", timeout)


def heard(speaker, text, listeners, timeout=30):
    """Said in one console, it stands in the others', from whom said it."""
    peers = len(listeners)
    for t in listeners:
        t.seen = ""
    speaker.say("msg " + text, f"said in #{DEFAULT} to {peers} peer", timeout)
    for t in listeners:
        t.read(f"#{DEFAULT} {speaker.peer}: {text}", timeout)


def console(net, i, home):
    t = Terminal(home, mdns="on", preexec=net.enter(i))
    t.peer = t.read("kith> ").split("peer id ")[1].split()[0]
    return t


def three_talk_and_are_lost_and_come_back():
    if why := kith_net.missing():
        skip_one(f"network namespaces: {why}")
    with kith_net.Net(3) as net, homes("a", "b", "c") as hs:
        begun = time.monotonic()
        ts = [console(net, i, hs[i]) for i in range(3)]
        try:
            for t in ts:
                in_topic(t, 2)
            print(f"         three are together after {(time.monotonic() - begun) * 1000:.0f} ms", flush=True)
            for t in ts:
                heard(t, f"hello from {t.peer[-4:]}", [o for o in ts if o is not t])
            # One is killed without a word, and comes back.
            ts[2].end(signal.SIGKILL)
            for t in ts[:2]:
                in_topic(t, 1)
            heard(ts[0], "only two of us", [ts[1]])
            ts[2] = console(net, 2, hs[2])
            for t in ts:
                in_topic(t, 2)
            heard(ts[2], "here again", ts[:2])
            heard(ts[1], "welcome", [ts[0], ts[2]])
            # The whole segment goes, and comes back.
            for t in ts:
                t.seen = ""
            for i in range(3):
                net.link(i, "down")
            for t in ts:
                t.read("lost ", 20)
            for i in range(3):
                net.link(i, "up")
            for t in ts:
                t.read("found ", 20)
                in_topic(t, 2)
            for t in ts:
                heard(t, "still here", [o for o in ts if o is not t])
            for t in ts:
                t.say("quit", "")
                assert t.ended() == 0
        finally:
            for t in ts:
                t.__exit__()


def every_command_of_the_console_works():
    with homes("a", "b") as (a, b), Up(b) as up, Terminal(a, "--listen", LOOPBACK) as t:
        t.read("kith> ")
        text = t.say("help", "stop the node")
        for word in ("peers", "msg", "dial", "discover", "topics", "sub", "unsub", "send", "ping", "status", "help"):
            assert f"\n  {word} " in text, (word, text)
        t.say("msg anybody?", "so nothing was said")
        t.say("dial " + up.addr, "/ipfs/ping/1.0.0")
        in_topic(t, 1)
        t.say("msg hello   there, 'friend'", "to 1 peer")
        assert up.event("topic_message")["text"] == "hello   there, 'friend'"
        kith(b, "topics", "sub", "news"), kith(b, "topics", "sub", "old")
        t.say("msg --topic news read  this", "said in #news to 1 peer")
        t.say("msg --topic=old and this", "said in #old to 1 peer")
        got = [up.event("topic_message") for _ in range(2)]
        assert [(e["topic"], e["text"]) for e in got] == [("news", "read  this"), ("old", "and this")], got
        t.say("sub news", "in #news, with 1 peers so far")
        eventually(lambda: any(x["topic"] == "news" and x["peers"] for x in kith(b, "topics", "--json").json()["topics"]),
                   "it is known to be there")
        kith(b, "message", "--topic", "news", "--content", "for you")
        t.read(f"#news {up.peer}: for you")
        t.say("topics", "#news  1 peers")
        t.say("unsub news", "left #news")
        t.say("unsub news", "is not subscribed to")
        t.say(f"send {up.peer} and a private word", "delivered to")
        assert up.event("message")["text"] == "and a private word"
        t.say(f"ping {up.peer} -c 1", "1 received")
        t.say("status", "1 connected")
        for line, wrong in (("msg", "what?"), ("msg --topic news", "what?"), ("sub", "which topic"), ("unsub", "which topic"),
                            ("send bob", "send PEER TEXT"), ("nsg hi", "did you mean 'msg'?"), ("sub " + "x" * 257, "1 to 256 bytes")):
            t.say(line, wrong)


def what_was_typed_is_remembered():
    with homes("a") as a:
        with Terminal(a, "--listen", LOOPBACK) as t:
            t.read("kith> ")
            for line in ("sub one", "sub two", "sub two", " sub secret"):
                t.say(line, "in #")
            t.say("quit", "")
            assert t.ended() == 0
        file = a / "history"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, oct(file.stat().st_mode)
        assert "secret" not in file.read_text() and file.read_text().count("two") == 1
        with Terminal(a, "--listen", LOOPBACK) as t:
            t.read("kith> ")
            t.type("\x1b[A\x1b[A")  # quit, and what was before it
            t.read("sub two")
            t.say("", "in #two")
            for i in range(4):
                t.say(f"sub t{i}", f"in #t{i},")
            t.say("unsub " + "x" * 2000, "1 to 256 bytes")
            t.say("unsub " + "y" * 5000, "too long for the console", 30)
            t.read("kith> ")
            t.say("topics", "#t3")
        text = file.read_text()  # it was killed
        assert "t3" in text and "xxxx" in text and "yyyy" not in text
        # 500 lines and not one more; what cannot be read is no reason not to begin.
        file.write_text("_HiStOrY_V2_\n" + "".join(f"sub\\040n{i}\n" for i in range(600)))
        with Terminal(a, "--listen", LOOPBACK) as t:
            t.read("kith> ")
            t.say("sub last", "in #last")
        lines = file.read_text().splitlines()
        assert len(lines) == 501 and lines[-1] == "sub\\040last" and lines[1] == "sub\\040n101", (len(lines), lines[:2])
        file.unlink()
        file.mkdir()
        with Terminal(a, "--listen", LOOPBACK) as t:
            t.read("kith> ")
            t.say("sub last", "history")
            t.say("topics", "#last")


def the_tab_key_completes():
    with homes("a", "b") as (a, b), Up(b) as up, Terminal(a, "--listen", LOOPBACK, columns=200) as t:
        t.read("kith> ")
        t.say("dial " + up.addr, "/ipfs/ping/1.0.0")
        kith(a, "trust", "rename", up.peer, "wilhelmina")
        t.say("sub knitting", "in #knitting")
        in_topic(t, 1)
        for typed, shown in (("unsu\tkni\t", "unsub knitting "), ("discov\t--meth\t", "discover --method "),
                             ("message --topic kn\t", "message --topic knitting "), ("msg --to\tqua\t", f"msg --topic {DEFAULT} "),
                             ("send wil\t", "send wilhelmina "), ("message #kn\t", "message #knitting "),
                             ("topics unsu\tkn\t", "topics unsub knitting "), ("help discov\t", "help discover "),
                             (f"ping {up.peer[:20]}\t", f"ping {up.peer} ")):
            t.type("\x15")
            begin = t.say("", "kith> ")  # an empty line
            screen = Screen(200)
            screen.put(begin.replace("\n", ""))
            t.type(typed)
            t.type("|")
            screen.put(t.read("|"))
            assert screen.rows[-1] == f"kith> {shown}|", (typed, shown, screen.rows)
        t.type("\x15")
        t.say("send wil\thello", "delivered to wilhelmina")
        assert up.event("message")["text"] == "hello"


def a_line_being_typed_stays_whole():
    """Also one that is longer than the terminal is wide: what comes stands above it."""
    with homes("a", "b") as (a, b), Up(b) as up, Terminal(a, "--listen", LOOPBACK, columns=60) as t:
        begin = t.read("kith> ")
        t.say("dial " + up.addr, "/ipfs/ping/1.0.0")
        in_topic(t, 1)
        t.say("sub x", "in #x")
        begin = t.read("kith> ")
        screen = Screen(60)
        screen.put(begin)
        said = "0123456789 " * 3 + "to begin with, " + "0123456789 " * 8 + "and no more"
        at = said.index(",") + 1
        for part, end in ((("msg " + said)[:at + 4], "with,"), (said[at:], "no more")):
            t.type(part)
            screen.put(t.read(end))
            kith(b, "message", "--topic", DEFAULT, "--content", "above")
            screen.put(t.read("above"))
            screen.put(t.read(end))
        text = "\n".join(screen.rows)
        shown = "".join(row.ljust(60) for row in screen.rows)
        assert "kith> msg " + said in shown and text.count("msg") == 1 and text.count("above") == 2, text
        t.say("", "to 1 peer")
        assert up.event("topic_message")["text"] == said


run(three_talk_and_are_lost_and_come_back, every_command_of_the_console_works, what_was_typed_is_remembered, the_tab_key_completes,
    a_line_being_typed_stays_whole)
