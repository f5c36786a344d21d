#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Peers that a node keeps: it comes back to them when they do, and when this machine's network changes."""
import signal
import time

import kith_net
from kith_cli import LOOPBACK, Up, eventually, homes, kith, run, skip_one


def peers(home):
    return {c["peer"]: c for c in kith(home, "peers", "--json").json()["peers"]}


def keeper(home):
    return kith(home, "status", "--detailed", "--json").json()["keeper"]


def a_kept_peer_is_connected_to_whenever_it_is_there():
    with homes("a", "b") as (a, b):
        with Up(b) as two:
            peer, addr = two.peer, two.addr
            two.stop(signal.SIGKILL)
        with Up(a, "--keep", addr) as one:
            eventually(lambda: keeper(a)["kept"][0]["failures"] >= 1, "a dial that failed")
            assert keeper(a)["kept"][0]["peer"] == peer and keeper(a)["kept_connected"] == 0, keeper(a)
            with Up(b, listen=addr[:addr.rindex("/p2p/")]) as two:
                one.event("peer_connected", 20)
                assert peers(a)[peer]["kept"] and not peers(b)[one.peer]["kept"]
                two.stop(signal.SIGKILL)
                one.event("peer_disconnected")
            with Up(b, listen=addr[:addr.rindex("/p2p/")]):
                one.event("peer_connected", 20)
                # who is disconnected by hand is not kept any more
                kith(a, "disconnect", peer)
                assert keeper(a)["kept"] == []


def a_dial_may_keep_and_what_is_no_peer_is_refused():
    with homes("a", "b") as (a, b), Up(b) as two:
        kith(a, "dial", two.addr, "--keep", code=8)  # nobody is there to keep it
        kith(a, "up", "--keep", two.bare, "--listen", LOOPBACK, code=2, err="says whose it is")
        kith(a, "up", "--keep", "nobody-known", "--listen", LOOPBACK, code=3, err="keep: ")
        with Up(a) as one:
            kith(a, "dial", two.addr, "--keep")
            assert peers(a)[two.peer]["kept"]
            kith(b, "disconnect", one.peer)
            one.event("peer_disconnected")
            one.event("peer_connected", 20)


def what_a_peer_did_is_shown_and_known_after_a_restart():
    with homes("a", "b") as (a, b), Up(b) as two:
        with Up(a) as one:
            kith(a, "dial", two.addr)
            shown = kith(a, "peers", "--detailed", "--json").json()
            assert shown["banned"] == [] and shown["peers"][0]["reputation"]["score"] >= 1, shown
            kith(a, "peers", "--detailed", out="score 1.0: connected 1 times +1.0")
            assert kith(b, "peers", "--detailed", "--json").json()["peers"][0]["reputation"] is None  # it has not dialled
            kith(b, "trust", "unban", one.peer, code=4, err="is known here")
            one.stop()
        with Up(a):
            kith(a, "dial", two.addr)
            why = kith(a, "peers", "--detailed", "--json").json()["peers"][0]["reputation"]["reasons"]
            assert [w["count"] for w in why if w["kind"] == "connected"] == [2], why
            kith(a, "trust", "unban", two.peer, out="is not banned any more")


def another_network_is_noticed_and_the_dead_are_dropped():
    why = kith_net.missing()
    if why:
        skip_one(why)
    with kith_net.Net(2, v6=False) as net, homes("a", "b") as (a, b):
        with Up(b, listen=None, preexec=net.enter(1)) as two:
            addr = f"/ip4/10.77.0.2/tcp/{two.bare.split('/')[4]}/p2p/{two.peer}"
            with Up(a, "--keep", addr, listen=None, preexec=net.enter(0)) as one:
                one.event("peer_connected", 20)
                begun = time.monotonic()
                # the machine moves: the old address is gone, and what came from it leads nowhere any more
                kith_net.must("-n", net.names[0], "addr", "del", "10.77.0.1/24", "dev", "eth0")
                kith_net.must("-n", net.names[0], "addr", "add", "10.77.0.9/24", "dev", "eth0")
                why = one.event("peer_disconnected")["reason"]
                assert "the network changed" in why, why
                one.event("peer_connected", 20)
                print(f"         connected again after {time.monotonic() - begun:.1f} s", flush=True)
                assert peers(a)[two.peer]["kept"]
                eventually(lambda: any("/10.77.0.9/" in c["addr"] for c in
                                       kith(b, "peers", "--json").json()["peers"]), "a connection from the new address")


run(a_kept_peer_is_connected_to_whenever_it_is_there,
    a_dial_may_keep_and_what_is_no_peer_is_refused,
    what_a_peer_did_is_shown_and_known_after_a_restart,
    another_network_is_noticed_and_the_dead_are_dropped)
