#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes on one network: namespaces whose interfaces are ports of a bridge. They find each other, lose each other, and find each other again; and
go- and js-libp2p find them and are found, where test/interop has built those."""
import contextlib
import os
import signal
import select
import socket
import sqlite3
import statistics
import struct
import subprocess
import sys
import time

import kith_net
from kith_cli import Up, eventually, homes, kith, run, skip, SLOW

PATIENCE = 10  # seconds, for what takes less than two on a machine with time: see what is printed


class Net(kith_net.Net):
    def up(self, i, home, *args):
        return Up(home, *args, listen=None, mdns="on", preexec=self.enter(i))

    def kith(self, i, home, *args, **kw):
        return kith(home, *args, preexec_fn=self.enter(i), **kw)


def found(up, peer, timeout=PATIENCE):
    """The event of that peer, which may have come already; and when."""
    for ev in up.seen:
        if ev["event"] == "peer_found" and ev["peer"] == peer:
            return ev
    end = time.monotonic() + timeout * SLOW
    while True:
        ev = up.event("peer_found", max(0.01, end - time.monotonic()) / SLOW)
        if ev["peer"] == peer:
            return ev


def measure(what, times):
    print(f"         {what}: {', '.join(f'{t * 1000:.0f}' for t in times)} ms "
          f"(median {statistics.median(times) * 1000:.0f}, most {max(times) * 1000:.0f})", flush=True)


def three_nodes_find_each_other_and_connect():
    with Net(3) as net, homes("a", "b", "c") as hs, contextlib.ExitStack() as stack:
        ups, times = [], []
        for i in range(3):
            ups.append(stack.enter_context(net.up(i, hs[i])))
            begun = time.monotonic()
            for other in ups[:-1]:
                for one, two in ((other, ups[-1]), (ups[-1], other)):
                    ev = found(one, two.peer)
                    times.append(time.monotonic() - begun)
                    assert ev["source"] == "mdns" and ev["interface"] == "eth0", ev
                    want = {a for a in two.addrs if "/127.0.0.1/" not in a and "/::1/" not in a}
                    assert set(ev["addrs"]) == want, (ev, want)
        measure("found after", times)
        for up in ups:  # all are connected, and once: who has the lesser id has dialled
            eventually(lambda up=up: kith(up.home, "status", "--json").json()["peers"] == 2, "two connections")
        time.sleep(1.2)
        for up in ups:
            conns = kith(up.home, "peers", "--json").json()["peers"]
            assert len(conns) == 2 and all(c["pq"] for c in conns), conns
            for c in conns:
                assert (c["direction"] == "outbound") == (peer_bytes(up.peer) < peer_bytes(c["peer"])), conns
        assert not [e for u in ups for e in u.seen if e["event"] == "peer_lost"]


def peer_bytes(text):
    n = 0
    for c in text:
        n = n * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(c)
    return n.to_bytes(38, "big")


def one_that_is_lost_returns_and_so_does_the_segment():
    with Net(2) as net, homes("a", "b") as (a, b), net.up(0, a) as one:
        two = net.up(1, b)
        found(one, two.peer), found(two, one.peer)
        two.stop()  # in good order: it says goodbye
        begun = time.monotonic()
        assert one.event("peer_lost")["peer"] == two.peer
        measure("lost after a goodbye", [time.monotonic() - begun])
        one.seen.clear()
        two = net.up(1, b)
        begun = time.monotonic()
        found(one, two.peer), found(two, one.peer)
        measure("found again after", [time.monotonic() - begun])
        with two:
            connected(one, two)
            two.process.kill()  # without a word
            two.process.wait()
            one.event("peer_disconnected")
            with net.up(1, b) as three:
                begun = time.monotonic()
                found(three, one.peer)
                measure("found again after kill -9", [time.monotonic() - begun])
                connected(one, three)
                three.seen.clear()
                one.seen.clear()
                net.link(1, "down")
                assert three.event("peer_lost")["peer"] == one.peer
                time.sleep(0.5)
                net.link(1, "up")
                begun = time.monotonic()
                found(three, one.peer)
                measure("found again after the link was down", [time.monotonic() - begun])
                net.kith(1, b, "ping", one.peer, "-c", 1)


def a_node_that_takes_its_time_to_stop_says_goodbye_all_the_same():
    """Its addresses change while it waits for a peer that does not answer, and it listens no more."""
    with Net(3) as net, homes("a", "b", "c") as (a, b, c), net.up(0, a) as one, net.up(1, b) as two, net.up(2, c) as three:
        found(one, two.peer), connected(two, three)
        three.process.send_signal(signal.SIGSTOP)
        try:
            two.process.send_signal(signal.SIGTERM)
            for i in range(100, 250):
                kith_net.must("-n", net.names[1], "addr", "add", f"10.77.0.{i}/24", "dev", "eth0")
                time.sleep(0.05)
                if two.process.poll() is not None:
                    break
        finally:
            three.process.send_signal(signal.SIGCONT)
        assert one.event("peer_lost")["peer"] == two.peer


def connected(one, two):
    for up, other in ((one, two), (two, one)):
        eventually(lambda up=up, other=other: other.peer in [
            c["peer"] for c in kith(up.home, "peers", "--json").json()["peers"]], "a connection")


def one_command_finds_and_measures():
    with Net(3) as net, homes("a", "b", "c") as (a, b, c), net.up(0, a) as one, net.up(1, b, "--mdns.connect", "0") as two:
        found(one, two.peer)
        r = net.kith(2, c, "discover", "--method", "mdns", "--count", 2, "--ping", "--json").lines()
        assert {e["peer"] for e in r[:2]} == {one.peer, two.peer} and r[2]["found"] == 2, r
        assert all(e["event"] == "peer_found" and 0 < e["latency_ms"] and e["interface"] == "eth0" for e in r[:2]), r
        assert r[2]["event"] == "discover_summary", r
        measure("kith discover --count 2 --ping took", [r[2]["seconds"]])
        # Through the running node, which knows them already; and the names of known peers.
        kith(a, "trust", "rename", two.peer, "two")
        r = kith(a, "discover", "--count", 1, "--json").lines()
        assert r[0]["peer"] == two.peer and r[0]["name"] == "two" and r[0]["source"] == "mdns", r
        kith(a, "discover", "--count", 1, out=f"found two ({two.peer}) on eth0")
        r = kith(a, "discover", "--method", "manual", "--timeout", "1s", "--json").lines()
        assert [e["event"] for e in r][-1] == "discover_summary", r
        kith(a, "discover", "--count", 9, "--timeout", "300ms", code=1)
        kith(a, "discover", "--method", "smell", code=2, err="none of the methods auto, mdns, manual, rendezvous, kademlia")
        # A bare peer id is enough on the network, for a command and by a name.
        r = net.kith(2, c, "dial", one.peer, "--json").json()
        assert r["peer"] == one.peer and r["addr"].startswith(("/ip4/10.77.0.1/", "/ip6/fd77::1/")), r
        net.kith(2, c, "dial", "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", code=4,
                 err="nobody on the local network is this peer")
        net.kith(2, c, "dial", "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", "--mdns", "off", code=4,
                 err="no address known; pass its full address")
        net.kith(2, c, "discover", "--method", "mdns", "--mdns", "off", code=5, err="mdns = on")


def who_is_blocked_is_found_and_not_dialled():
    with Net(2) as net, homes("a", "b") as (a, b):
        with net.up(1, b, "--mdns.connect", "0") as two:
            kith(a, "trust", "block", two.peer)
            with net.up(0, a) as one:
                found(one, two.peer), found(two, one.peer)
                time.sleep(1.5)
                assert kith(a, "status", "--json").json()["peers"] == 0
                r = kith(a, "discover", "--method", "mdns", "--ping", "--count", 1, "--json").lines()
                assert r[0]["blocked"] is True and r[0]["latency_ms"] is None, r
        assert not [e for e in two.seen if e["event"] == "refused"], two.seen


def so_many_are_connected_to_and_no_more():
    with Net(4) as net, homes("a", "b", "c", "d") as hs, contextlib.ExitStack() as stack:
        others = [stack.enter_context(net.up(i, hs[i], "--mdns.connect", "0")) for i in range(1, 4)]
        one = stack.enter_context(net.up(0, hs[0], "--mdns.connect", "2"))
        for two in others:
            found(one, two.peer)
        eventually(lambda: kith(hs[0], "status", "--json").json()["peers"] == 2, "two connections")
        time.sleep(1.5)
        assert kith(hs[0], "status", "--json").json()["peers"] == 2
        # One that is closed by hand stays closed, and makes room for the third.
        peers = {c["peer"] for c in kith(hs[0], "peers", "--json").json()["peers"]}
        gone = peers.pop()
        kith(hs[0], "disconnect", gone)
        eventually(lambda: kith(hs[0], "status", "--json").json()["peers"] == 2, "the third")
        assert gone not in {c["peer"] for c in kith(hs[0], "peers", "--json").json()["peers"]}


def who_has_done_harm_is_not_connected_to_by_choice():
    with Net(3) as net, homes("a", "b", "c") as (a, b, c):
        with net.up(0, a):
            pass  # makes the file
        with net.up(1, b, "--mdns.connect", "0") as two, net.up(2, c, "--mdns.connect", "0") as three:
            db = sqlite3.connect(a / "reputation.db")
            db.execute("INSERT INTO notes(peer, kind, at) VALUES(?, 9, ?)", (peer_bytes(two.peer), int(time.time())))  # wrong content
            db.commit()
            db.close()
            with net.up(0, a) as one:
                for other in (two, three):
                    found(one, other.peer)
                eventually(lambda: kith(a, "status", "--json").json()["peers"] == 1, "one connection")
                time.sleep(1.5)
                assert [p["peer"] for p in kith(a, "peers", "--json").json()["peers"]] == [three.peer]
                net.kith(0, a, "dial", two.peer)  # the user may


def a_network_with_link_local_addresses_only_will_do():
    with Net(2, v4=False, v6=False) as net, homes("a", "b") as (a, b), net.up(0, a) as one, net.up(1, b) as two:
        ev = found(one, two.peer)  # duplicate address detection takes its time
        assert all(x.startswith("/ip6zone/eth0/ip6/fe80::") for x in ev["addrs"]), ev
        found(two, one.peer)
        connected(one, two)


def a_node_on_loopback_keeps_to_itself():
    with Net(2) as net, homes("a", "b") as (a, b):
        with Up(a, mdns="on", preexec=net.enter(0)) as one, net.up(1, b) as two:
            time.sleep(1)
            assert not sockets(net, 0), sockets(net, 0)
            net.kith(1, b, "discover", "--timeout", "1s", "--json")
            assert not [e for e in one.seen + two.seen if e["event"] == "peer_found"]
            r = kith(a, "discover", "--count", 1, "--json").lines()  # but it may look
            assert r[0]["peer"] == two.peer, r
            eventually(lambda: not sockets(net, 0), "its sockets are closed again")
            assert kith(a, "status", "--json").json()["peers"] == 0


def sockets(net, i):
    """UDP sockets on port 5353 in that namespace."""
    out = subprocess.run([*net.inside(i), "cat", "/proc/net/udp", "/proc/net/udp6"], stdout=subprocess.PIPE).stdout.decode()
    return [line for line in out.splitlines() if ":14E9 " in line]


def a_flood_of_claims_and_noise_is_borne():
    """Packets as fast as one machine sends them for five seconds; the node answers its user meanwhile, dials a few times, and still finds a
    newcomer."""
    with Net(3) as net, homes("a", "b") as (a, b), net.up(0, a) as one:
        flood = subprocess.Popen([sys.executable, __file__, "--flood", "5"], preexec_fn=net.enter(2),
                                 stdout=subprocess.PIPE)
        slowest, n = 0, 0
        while flood.poll() is None:
            begun = time.monotonic()
            kith(a, "status", "--json")
            slowest, n = max(slowest, time.monotonic() - begun), n + 1
        sent, dialled = map(int, flood.stdout.read().split())
        print(f"         {sent} packets led to {dialled} dials; the slowest of {n} answers took {slowest * 1000:.0f} ms", flush=True)
        assert sent > 1000 and slowest < 1 * SLOW, (sent, slowest)
        assert 8 < dialled <= 30, dialled
        r = kith(a, "discover", "--method", "mdns", "--timeout", "500ms", "--json").lines()
        assert len(r) - 1 <= 16, r
        with net.up(1, b) as two:
            found(two, one.peer), found(one, two.peer)


def VU_550620_a_query_to_one_machine_alone_is_not_answered():
    """Many responders answer what is sent to their address, from wherever that comes (CVE-2015-1892, CVE-2017-6519). Over both families; and
    neither to the asker nor to the group."""
    with Net(2) as net, homes("a") as a, net.up(0, a):
        time.sleep(4)  # its own questions come every eight seconds and more by then
        r = subprocess.run([sys.executable, __file__, "--ask"], preexec_fn=net.enter(1), stdout=subprocess.PIPE, timeout=60)
        assert r.stdout.decode().split() == ["alone:", "0", "group:", "1"], r.stdout


def ask():
    """From the second machine: a question to the first one's addresses, and one to the group. Prints how many answered each."""
    name = b"\x04_p2p\x04_udp\x05local\0"
    question = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name + struct.pack(">HH", 12, 1)
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind(("224.0.0.251", 5353))
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton("10.77.0.2"))
    four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.2"))
    four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

    def answers(seconds):
        """Peers that answered meanwhile, on whichever socket."""
        end, who = time.monotonic() + seconds, set()
        while (left := end - time.monotonic()) > 0:
            for s in select.select([group, four, six], [], [], left)[0]:
                with contextlib.suppress(OSError):
                    packet, source = s.recvfrom(9000)
                    if packet[2] & 0x80:
                        who.add(source[0])
        return len(who)
    while group.recv(9000)[2] & 0x80:  # its own question, which it answers too; the next one is seconds away
        pass
    answers(1)
    for _ in range(20):
        for s, to in ((four, "10.77.0.1"), (six, "fd77::1")):
            with contextlib.suppress(OSError):  # where nobody listens, an ICMP message says so
                s.sendto(question, (to, 5353))
        time.sleep(0.05)
    alone = answers(2)
    four.sendto(question, ("224.0.0.251", 5353))
    print("alone:", alone, "group:", answers(2))


def flood(seconds):
    """From the third machine: claims of ever new peers, each for two seconds, broken messages, and loops of pointers. Prints how many packets
    it sent and how often it was dialled."""
    door = socket.create_server(("10.77.0.3", 9))
    door.setblocking(False)
    dialled = 0
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.3"))
    name = b"\x04_p2p\x04_udp\x05local\0"
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        txt = f"dnsaddr=/ip4/10.77.0.3/tcp/9/p2p/{fake_peer(n)}".encode()
        record = b"\1x\xc0\x0c" + struct.pack(">HHIH", 16, 1, 2, len(txt) + 1) + bytes([len(txt)]) + txt
        good = struct.pack(">6H", 0, 0x8400, 1, 1, 0, 0) + name + struct.pack(">HH", 12, 1) + record
        loop = struct.pack(">6H", 0, 0x8400, 1, 0, 0, 0) + b"\1a\xc0\x0c" + struct.pack(">HH", 12, 1)
        ask = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name + struct.pack(">HH", 12, 1)
        for packet in (good, loop, ask, os.urandom(500), good[:40]):
            with contextlib.suppress(OSError):
                s.sendto(packet, ("224.0.0.251", 5353))
                n += 1
        with contextlib.suppress(BlockingIOError):
            door.accept()[0].close()
            dialled += 1
    print(n, dialled)


def fake_peer(n):
    raw = b"\x00\x24\x08\x01\x12\x20" + struct.pack(">Q", n * 0x9e3779b97f4a7c15 % 2**64) * 4
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    v, out = int.from_bytes(raw, "big"), ""
    while v:
        v, r = divmod(v, 58)
        out = alphabet[r] + out
    return "1" + out


if __name__ == "__main__":
    if sys.argv[1:2] == ["--flood"]:
        flood(float(sys.argv[2]))
        sys.exit(0)
    if sys.argv[1:2] == ["--ask"]:
        ask()
        sys.exit(0)
    if why := kith_net.missing():
        skip(f"skipped: network namespaces: {why}")
    run(three_nodes_find_each_other_and_connect, one_that_is_lost_returns_and_so_does_the_segment,
        a_node_that_takes_its_time_to_stop_says_goodbye_all_the_same,
        one_command_finds_and_measures, who_is_blocked_is_found_and_not_dialled, so_many_are_connected_to_and_no_more,
        who_has_done_harm_is_not_connected_to_by_choice,
        a_network_with_link_local_addresses_only_will_do, a_node_on_loopback_keeps_to_itself,
        a_flood_of_claims_and_noise_is_borne, VU_550620_a_query_to_one_machine_alone_is_not_answered)
