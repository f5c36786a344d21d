#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Nodes that know one rendezvous point and not each other: found, connected, found again after the point was started anew, and gone."""
import contextlib

from kith_cli import Up, eventually, homes, kith, run


def point(home, *args, **kw):
    return Up(home, "--rendezvous.server", "on", *args, **kw)


def client(home, p, *args, **kw):
    return Up(home, "--rendezvous.point", p.addr, *args, **kw)


def status(home):
    return kith(home, "status", "--json").json()["rendezvous"]


def registered(home):
    return [p["registered"] for p in status(home)["points"]]


def peers(home):
    return {c["peer"] for c in kith(home, "peers", "--json").json()["peers"]}


def two_that_know_one_point_find_each_other():
    with homes("p", "a", "b", "c") as (hp, a, b, c), contextlib.ExitStack() as stack:
        p = stack.enter_context(point(hp))
        one = stack.enter_context(client(a, p))
        eventually(lambda: status(hp)["registrations"] == 1, "one is registered")
        two = stack.enter_context(client(b, p))
        ev = two.event("peer_found")  # the second sees the first, and connects to it
        assert ev["peer"] == one.peer and ev["source"] == "rendezvous" and one.addr in ev["addrs"], ev
        eventually(lambda: two.peer in peers(a) and one.peer in peers(b), "they are connected")
        assert registered(a) == [True] and registered(b) == [True]
        kith(a, "status", out="registered at 1 of 1 rendezvous points as kith")
        kith(hp, "status", out="2 registrations of others")
        assert "kith_rendezvous_registrations 2" in kith(hp, "status", "--metrics").out

        # By the running node, and by a command's own, which does not register itself.
        r = kith(a, "discover", "--method", "rendezvous", "--ping", "--json").lines()
        assert [e["peer"] for e in r[:-1]] == [two.peer] and r[0]["source"] == "rendezvous", r
        assert r[0]["latency_ms"] > 0 and r[-1]["found"] == 1, r
        r = kith(c, "discover", "--method", "rendezvous", "--rendezvous.point", p.addr, "--json").lines()
        assert {e["peer"] for e in r[:-1]} == {one.peer, two.peer} and status(hp)["registrations"] == 2, r
        r = kith(c, "discover", "--mdns", "off", "--rendezvous.point", p.addr, "--json").lines()  # auto asks the points too
        assert {e["peer"] for e in r if e.get("source") == "rendezvous"} == {one.peer, two.peer}, r
        kith(a, "discover", "--method", "rendezvous", "--namespace", "chess", err="nobody else is registered there")
        kith(a, "discover", "--method", "rendezvous", "--namespace", "", code=2, err="1 to 255 bytes")
        kith(hp, "discover", "--method", "rendezvous", code=5, err="no rendezvous point is configured")

        # Who stops says so, and is told no more.
        assert two.stop() == 0
        eventually(lambda: status(hp)["registrations"] == 1, "it is unregistered")


def a_point_that_is_started_anew_is_told_again():
    with homes("p", "a") as (hp, a):
        p = point(hp)
        at = p.bare
        with p, client(a, p, "--rendezvous.namespace", "ulm") as one:
            eventually(lambda: registered(a) == [True], "it is registered")
            p.stop()
            kith(a, "discover", "--method", "rendezvous", err="no rendezvous point has answered")
            with point(hp, "--rendezvous.registrations", "1", listen=at):
                eventually(lambda: status(hp)["registrations"] == 1, "it is registered again", 60)
                assert one.process.poll() is None


def a_full_point_is_told_to_the_user():
    with homes("p", "a", "b") as (hp, a, b), point(hp, "--rendezvous.registrations", "1") as p, client(a, p):
        eventually(lambda: status(hp)["registrations"] == 1, "one is registered")
        with client(b, p, "--rendezvous.connect", "0") as two:
            eventually(lambda: "it has no room now; it is tried again" in two.errors(), "a warning")
            assert status(b)["points"][0]["error"] == "it has no room now", status(b)
            two.event("peer_found")  # but it may ask
            assert two.peer not in peers(a)


def what_cannot_be_a_point_is_said():
    with homes("a") as a:
        kith(a, "up", "--rendezvous.point", "/ip4/127.0.0.1/tcp/9000", code=2, err="a point's address; write it like")
        kith(a, "up", "--rendezvous.namespace", "a\tb", code=2, err="printable")


if __name__ == "__main__":
    run(two_that_know_one_point_find_each_other, a_point_that_is_started_anew_is_told_again, a_full_point_is_told_to_the_user,
        what_cannot_be_a_point_is_said)
