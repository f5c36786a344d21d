#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fresh keys for a connection between two programs: by time and by bytes, seen from both sides, and no byte lost."""
import hashlib
import json

from kith_cli import LOOPBACK, SLOW, Up, eventually, homes, kith, run, start

BIG = (200 if SLOW == 1 else 40) << 20


def conns(home):
    return kith(home, "status", "--detailed", "--json").json()["connections"]


def keys_are_refreshed_by_time_and_status_says_so():
    for flags in ((), ("--pq", "off")):
        with homes("a", "b") as (a, b), Up(a, *flags) as up, Up(b, "--security.rekey-after-time", "500ms", *flags):
            r = kith(b, "dial", up.addr, "--json").json()
            assert r["rekeys"] == 0 and "/kith/rekey/1" in r["protocols"], r
            eventually(lambda: conns(b)[0]["rekeys"] >= 3, "keys refreshed three times")
            one, two = conns(a), conns(b)
            assert len(one) == len(two) == 1
            assert one[0]["rekeys"] >= 2 and one[0]["keyed_bytes"] < 5000, (one, two)
            assert one[0]["pq"] is (not flags), one
            kith(b, "status", "--detailed", out=" times, the present ones in use for 00:00:0")


def a_transfer_across_refreshes_arrives_as_it_was():
    """kith get compares every block with the hash in the ticket."""
    with homes("a", "b") as (a, b):
        file = a.parent / "file"
        block = hashlib.shake_256(b"kith").digest(1 << 20)
        file.write_bytes(b"".join(i.to_bytes(4, "big") + block for i in range(BIG >> 20)))
        share = start(a, "share", file, "--ticket", "--listen", LOOPBACK, "--once", "--json")
        ticket = json.loads(share.stdout.readline())["ticket"]
        kith(b, "get", ticket, "-y", "-o", a.parent / "got", "--security.rekey-after-bytes", "16MiB", timeout=120)
        told = [json.loads(line) for line in share.communicate(timeout=30 * SLOW)[0].splitlines()]
        done = [e for e in told if e["event"] == "transfer_done"]
        assert len(done) == 1 and done[0]["rekeys"] >= BIG // (64 << 20), told
        assert (a.parent / "got/file").read_bytes() == file.read_bytes()


run(keys_are_refreshed_by_time_and_status_says_so, a_transfer_across_refreshes_arrives_as_it_was)
