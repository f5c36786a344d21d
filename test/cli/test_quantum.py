#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""kith quantum: what it says at each level and with each kind of signature, and whether the wire agrees: between two network
namespaces, with the packets in between captured and compared with the tables of docs/protocols/pq-identity.md."""
import contextlib
import os
import pathlib
import platform
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import unittest.mock

import kith_cli
from kith_cli import PATIENT, Up, homes, kith, run, skip_one

DOC = pathlib.Path(__file__).parents[2] / "docs/protocols/pq-identity.md"
ALGS = ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "SLH-DSA-SHA2-128s", "SLH-DSA-SHA2-128f"]
COMBINED = [(1, "ML-DSA-65")] + [(3, alg) for alg in ALGS] + [(5, "ML-DSA-65")]
CHANNEL = {1: "/kith/noise-mlkem512-hfs/1", 3: "/kith/noise-mlkem768-hfs/1", 5: "/kith/noise-mlkem1024-hfs/1"}
KEM = {1: ("ML-KEM-512", 800, 768), 3: ("ML-KEM-768", 1184, 1088), 5: ("ML-KEM-1024", 1568, 1568)}
RESUME = {n: i.replace("-hfs/", "-hfs-resume/") for n, i in CHANNEL.items()}
FOREIGN = ["/noise-mlkem768-hfs/0.2.0", "/noise"]


# Whether the processor has instructions for AES, as the kernel sees it: then records are under it, and both say so.
CPU = pathlib.Path("/proc/cpuinfo").read_text()
AES = bool(re.search(r"^flags\s*:.*\baes\b.*\bpclmulqdq\b|^flags\s*:.*\bpclmulqdq\b.*\baes\b|^Features\s*:.*\baes\b.*\bpmull\b", CPU, re.M))


def documented():
    """algorithm -> payload of a side, as the document states it."""
    rows = re.findall(r"^\| ((?:ML|SLH)-DSA[^|]*?) \| (\d+) \| (\d+) / (\d+) \|", DOC.read_text(), re.M)
    assert [r[0] for r in rows] == ALGS, rows
    for _, payload, b, c in rows:
        assert int(b) == 1200 + int(payload) and int(c) == 64 + int(payload), rows
    return {r[0]: int(r[1]) for r in rows}


def lists(level, resume=False):
    """Bytes that the lists of muxers and channels add to a payload at a level; a listener's has the suites that resume."""
    some = [ids[n] for ids in ([CHANNEL, RESUME] if resume else [CHANNEL]) for n in ids if n >= level]
    return 14 + 3 * AES + sum(3 + len(i) for i in some + FOREIGN)


def message_sizes(level, alg):
    """A, B, C as Noise messages. One more byte where the length of the extensions needs it is in the document's payloads already."""
    _, ek, ct = KEM[level]
    payload = documented()[alg]
    return 32 + ek, 32 + ct + 16 + 48 + payload + lists(level, True) + 16, 48 + payload + lists(level) + 16


def identity(home, alg):
    kith(home, "id", "new", "--sig", alg)
    return kith(home, "id", "show", "--json").json()


def facts_agree_on_both_sides_at_every_level_and_with_every_signature():
    for level, alg in COMBINED:
        with homes("a", "b") as (a, b):
            listener, dialer = identity(a, alg), identity(b, "ML-DSA-65")
            with Up(a, "--level", level, *PATIENT) as up:
                r = kith(b, "quantum", up.addr, "--level", level, *PATIENT, "--json").json()
                came = up.event("peer_connected")
            assert r["secure_channel"] == came["secure_channel"] == CHANNEL[level], (r, came)
            assert (r["kem"], r["level"], r["pq"]) == (KEM[level][0], level, True), r
            assert (r["pq_id"], r["pq_algorithm"]) == (listener["pq_id"], alg) and r["transcript_bound"], r
            assert (came["pq_id"], came["pq_algorithm"]) == (dialer["pq_id"], "ML-DSA-65"), came
            assert r["key_trust"] == "first-seen" and r["handshake_ms"] > 0 and not r["reused"], r
            assert r["handshake_bytes_in"] == came["handshake_bytes_out"], (r, came)
            assert r["handshake_bytes_out"] == came["handshake_bytes_in"], (r, came)
            sent = message_sizes(level, alg)[1]
            assert r["handshake_bytes_in"] == 2 + sent, (level, alg, r, sent)


def records_are_under_aes_where_both_want_it():
    no = ("--security.no-aes",)
    for ours, theirs, more in (((), (), ()), (no, (), ()), ((), no, ()), (no, no, ()), ((), (), ("--pq", "off"))):
        with homes("a", "b") as (a, b), Up(a, *theirs, *more) as up:
            want = "AES-256-GCM" if AES and not (ours or theirs or more) else "ChaCha20-Poly1305"
            r = kith(b, "quantum", up.addr, "--json", *ours, *more).json()
            assert r["cipher"] == up.event("peer_connected")["cipher"] == want, (r, ours, theirs, more)
            kith(b, "quantum", up.addr, *ours, *more, out=f"records     {want}")


def a_processor_without_instructions_for_aes_says_nothing_of_it():
    if platform.machine() != "x86_64":
        skip_one("OpenSSL is told by OPENSSL_ia32cap what x86 processors have")
    with homes("a", "b") as (a, b), Up(a) as up, unittest.mock.patch.dict(os.environ, OPENSSL_ia32cap="~0x200000200000000"):
        assert kith(b, "quantum", up.addr, "--json").json()["cipher"] == "ChaCha20-Poly1305"


def two_levels_meet_at_the_higher_one():
    for ours, theirs in ((1, 5), (5, 1), (1, 3)):
        with homes("a", "b") as (a, b), Up(a, "--level", theirs) as up:
            assert kith(b, "quantum", up.addr, "--level", ours, "--json").json()["level"] == max(ours, theirs)


def what_is_not_post_quantum_is_marked():
    with homes("a", "b") as (a, b), Up(a) as up:
        text = kith(b, "quantum", up.addr, "--pq", "off").out
        assert text.count("NOT post-quantum") == 3 and "NOT bound" in text, text
        r = kith(b, "quantum", up.addr, "--pq", "off", "--json").json()
        assert (r["pq"], r["kem"], r["pq_id"], r["transcript_bound"], r["level"]) == (False, "", "", False, 0), r
    with homes("c", "d") as (c, d), Up(c) as up, Up(d):
        text = kith(d, "quantum", up.addr).out
        assert "NOT" not in text and "(first-seen)" in text and "bound: both signed" in text, text
        assert "proved Qm" in kith(d, "status", "--detailed").out


def the_right_classical_key_with_another_post_quantum_key_is_refused():
    with homes("a", "b", "thief") as (a, b, thief):
        with Up(a) as up:
            kith(b, "quantum", up.addr)
            peer = up.peer
        seed = [l for l in (a / "identity").read_text().splitlines() if l.startswith("ed25519-seed")]
        thief.mkdir(mode=0o700, exist_ok=True)
        (thief / "identity").write_text("kith identity 1\n" + seed[0] + "\n")
        os.chmod(thief / "identity", 0o600)
        with Up(thief) as up:
            assert up.peer == peer
            kith(b, "quantum", up.addr, code=5, err="post-quantum key")
        with Up(thief, "--pq", "off") as up:  # and without any
            kith(b, "quantum", up.addr, code=5, err="post-quantum")


# ---- on the wire ----

class Wire:
    """Two namespaces and the packets between them, as two streams of bytes."""

    def __init__(self):
        self.one, self.two = f"kith-q-{os.getpid()}-1", f"kith-q-{os.getpid()}-2"

    def ip(self, *args):
        subprocess.run(["ip", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        self.ip("netns", "add", self.one)
        self.ip("netns", "add", self.two)
        self.ip("-n", self.one, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", self.two)
        for name, addr in ((self.one, "10.78.0.1/24"), (self.two, "10.78.0.2/24")):
            self.ip("-n", name, "addr", "add", addr, "dev", "up0")
            self.ip("-n", name, "link", "set", "up0", "up")
            self.ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *error):
        for name in (self.one, self.two):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def capture(self):
        """A socket that sees the packets of the first namespace."""
        made = []

        def inside():
            fd = os.open(f"/run/netns/{self.one}", os.O_RDONLY)
            import ctypes
            if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) == 0:  # CLONE_NEWNET: of this thread alone
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
                s.bind(("up0", 0))
                s.settimeout(0.3)
                made.append(s)
            os.close(fd)

        t = threading.Thread(target=inside)
        t.start()
        t.join()
        return made[0]


def streams(s):
    """What was captured: (dialer's bytes, listener's bytes) of the one TCP connection."""
    parts, starts = {}, {}
    with contextlib.suppress(socket.timeout):
        while True:
            p = s.recv(1 << 17)
            if p[12:14] != b"\x08\x00" or p[23] != 6:
                continue
            ip = p[14:14 + struct.unpack(">H", p[16:18])[0]]
            tcp = ip[(ip[0] & 15) * 4:]
            seq, flags, data = struct.unpack(">I", tcp[4:8])[0], tcp[13], tcp[(tcp[12] >> 4) * 4:]
            key = ip[12:16]
            if flags & 2:
                starts[key] = seq + 1
            parts.setdefault(key, {})[seq] = data
    out = []
    for src in ("10.78.0.2", "10.78.0.1"):
        key, got, at = socket.inet_aton(src), b"", None
        at = starts[key]
        for seq in sorted(parts[key], key=lambda q: (q - starts[key]) & 0xffffffff):
            data = parts[key][seq]
            skip = at - seq
            if 0 <= skip < len(data):
                got, at = got + data[skip:], seq + len(data)
        out.append(got)
    return out


def negotiation(b):
    """The messages of multistream-select at the beginning of a stream, and where they end."""
    texts, at = [], 0
    while at < len(b):
        n, used = b[at], 1
        if n & 0x80:
            n, used = n & 0x7f | b[at + 1] << 7, 2
        m = b[at + used:at + used + n]
        if not (m.startswith(b"/") or m == b"na\n") or not m.endswith(b"\n") or not m[:-1].isascii():
            break
        texts.append(m[:-1].decode())
        at += used + n
    return texts, at


def captured(wire, a, b, level, alg):
    s = wire.capture()
    binary = kith_cli.KITH
    wrapped = lambda ns, *args: ["ip", "netns", "exec", ns, binary, *args]
    log = open(str(a) + ".out", "wb")
    node = subprocess.Popen(wrapped(wire.one, "up", "--json", "--level", str(level), "--listen", "/ip4/10.78.0.1/tcp/9000", *PATIENT),
                            env=kith_cli.environment(a), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
    try:
        assert b"listening" in node.stdout.readline()
        r = subprocess.run(wrapped(wire.two, "quantum", "/ip4/10.78.0.1/tcp/9000", "--level", str(level), *PATIENT, "--json"),
                           env=kith_cli.environment(b), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
        assert r.returncode == 0, r
        time.sleep(0.2)
    finally:
        node.terminate()
        node.wait()
    dialer, listener = streams(s)
    s.close()
    size_a, size_b, size_c = message_sizes(level, alg)
    said, at = negotiation(dialer)
    ahead = [t for t in said if t.startswith("/kith/ahead/1/")]
    # the parts hold a byte, the ids with their lengths, a zero, and message A with its length
    head = 2 + sum(1 + len(CHANNEL[n]) for n in CHANNEL if n >= level)
    raw = sum(len(t.split("/", 5)[5]) * 3 // 4 for t in ahead)
    assert raw == head + 2 + size_a, (level, raw, head, size_a)
    assert struct.unpack(">H", dialer[at:at + 2])[0] == size_c, (level, alg, dialer[at:at + 2], size_c)
    heard, at = negotiation(listener)
    assert heard[-1] == CHANNEL[level] and set(heard[1:-1]) <= {"na"}, heard
    assert struct.unpack(">H", listener[at:at + 2])[0] == size_b, (level, alg, listener[at:at + 2], size_b)


def the_wire_has_the_sizes_of_the_document():
    if os.geteuid() != 0:
        skip_one("packets can only be captured by root")
    if not shutil.which("ip"):
        skip_one("the program ip (package iproute2) makes the network namespaces, and is not installed")
    with contextlib.ExitStack() as stack:
        try:
            wire = stack.enter_context(Wire())
        except subprocess.CalledProcessError:
            Wire().__exit__()
            skip_one("network namespaces cannot be made here")
        for level, alg in COMBINED:
            with homes("a", "b") as (a, b):
                identity(a, alg), identity(b, alg)
                captured(wire, a, b, level, alg)


run(facts_agree_on_both_sides_at_every_level_and_with_every_signature, records_are_under_aes_where_both_want_it,
    a_processor_without_instructions_for_aes_says_nothing_of_it, two_levels_meet_at_the_higher_one,
    what_is_not_post_quantum_is_marked, the_right_classical_key_with_another_post_quantum_key_is_refused,
    the_wire_has_the_sizes_of_the_document)
