#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Somebody between two nodes who can read and write what is in clear, multistream-select, and so has them speak a channel that
neither would have chosen: both sides notice, and say so."""
import contextlib
import socket
import threading

from kith_cli import Up, homes, kith, run

HELLO = "/multistream/1.0.0"
OWN, UPSTREAM, CLASSICAL = "/kith/noise-mlkem768-hfs/1", "/noise-mlkem768-hfs/0.2.0", "/noise"


def message(text):
    return bytes([len(text) + 1]) + text.encode() + b"\n"


class Side:
    """One end of the attacker's: reads messages of multistream-select."""

    def __init__(self, s):
        self.s = s

    def exactly(self, n):
        got = b""
        while len(got) < n:
            more = self.s.recv(n - len(got))
            if not more:
                raise EOFError
            got += more
        return got

    def read(self):
        n = self.exactly(1)[0]
        if n & 0x80:
            n = n & 0x7f | self.exactly(1)[0] << 7
        return self.exactly(n)[:-1].decode()

    def say(self, *texts):
        self.s.sendall(b"".join(message(t) for t in texts))


def copy(a, b):
    with contextlib.suppress(OSError):
        while more := a.recv(65536):
            b.sendall(more)
    for s in (a, b):
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_RDWR)


class Attacker:
    """A port that leads to another one, and lets nothing be chosen but `only`. What was proposed is in .heard."""

    def __init__(self, port, only):
        self.to, self.only, self.heard = port, only, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                threading.Thread(target=self.attack, args=(s,), daemon=True).start()

    def attack(self, s):
        dialer, victim = Side(s), Side(socket.create_connection(("127.0.0.1", self.to)))
        with contextlib.suppress(EOFError, OSError):
            dialer.say(HELLO)
            assert dialer.read() == HELLO
            while True:
                proposal = dialer.read()
                self.heard.append(proposal)
                if proposal == self.only:
                    break
                dialer.say("na")  # in the listener's name, who has never heard of it
            victim.say(HELLO, self.only)
            assert victim.read() == HELLO and victim.read() == self.only
            dialer.say(self.only)
            threading.Thread(target=copy, args=(victim.s, dialer.s), daemon=True).start()
            copy(dialer.s, victim.s)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.close()


def two_nodes_that_know_better_refuse_a_weaker_channel():
    with homes("a", "b") as (a, b), Up(a) as up:
        port = int(up.bare.rsplit("/", 1)[1])
        for only in (CLASSICAL, UPSTREAM):
            with Attacker(port, only) as x:
                addr = f"/ip4/127.0.0.1/tcp/{x.port}/p2p/{up.peer}"
                kith(b, "dial", addr, code=5, err="downgrade")
                assert any(h.startswith("/kith/ahead/1/") for h in x.heard) and x.heard[-1] == only, x.heard
                # who asks for it gets it: it is what both would have chosen
                if only == CLASSICAL:
                    kith(b, "dial", addr, "--pq", "off", out="NOT post-quantum")
        assert not [e for e in up.seen if e["event"] == "peer_connected" and e["pq"]], up.seen


def require_does_not_even_get_that_far():
    with homes("a", "b") as (a, b), Up(a) as up:
        with Attacker(int(up.bare.rsplit("/", 1)[1]), CLASSICAL) as x:
            kith(b, "dial", f"/ip4/127.0.0.1/tcp/{x.port}/p2p/{up.peer}", "--pq", "require", code=5, err="pq = require")
            assert CLASSICAL not in x.heard, x.heard


run(two_nodes_that_know_better_refuse_a_weaker_channel, require_does_not_even_get_that_far)
