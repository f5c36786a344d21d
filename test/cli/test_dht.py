#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A private DHT of running nodes: what one provides or puts the others find and get, peers are found by their ids, and all of it is there after a
restart. No test calls the public network."""
import contextlib
import json
import pathlib

from kith_cli import LOOPBACK, Up, eventually, homes, kith, run, start

NET = ("--dht.protocol", "/test/kad/1.0.0")
VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"
NOBODY = "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE"


def status(home):
    return kith(home, "dht", "status", "--json").json()


@contextlib.contextmanager
def network(*hs):
    """The first is the one that the others begin with; all are servers, and in each other's tables."""
    with contextlib.ExitStack() as stack:
        ups = [stack.enter_context(Up(hs[0], *NET, dht="server"))]
        for h in hs[1:]:
            ups.append(stack.enter_context(Up(h, *NET, "--bootstrap", ups[0].addr, dht="server")))
        for h in hs:
            eventually(lambda h=h: status(h)["peers"] == len(hs) - 1, "all in each other's tables")
        yield ups


def what_one_provides_and_puts_others_find():
    with homes("a", "b", "c", "d", "e") as (*hs, e), network(*hs) as ups:
        a, b, c, d = hs
        r = kith(b, "dht", "provide", "chess-club", "--json").json()
        assert r["reached"] == 3 and r["key"].startswith("bafkrei"), r
        for home in (a, c, d):
            for key in ("chess-club", r["key"]):  # the name, and the CID that it stands for
                found = kith(home, "dht", "providers", key, "--json").lines()
                assert [f["peer"] for f in found[:-1]] == [ups[1].peer] and found[0]["addrs"] == ups[1].addrs, found
        kith(a, "dht", "providers", "draughts-club", code=4, err="nobody is known to provide it")
        kith(c, "dht", "unprovide", "chess-club", code=4, err="does not provide it")
        kith(b, "dht", "unprovide", "chess-club", out="no more")
        r = kith(c, "dht", "put", f"/pk/{ups[2].peer}", "--json").json()
        assert r["reached"] == 4, r
        key = kith(d, "dht", "get", f"/pk/{ups[2].peer}", "--json").json()["base64"]
        assert key.startswith("CAESI"), key  # a PublicKey of 32 bytes, Ed25519
        (e.parent / "value").write_bytes(b"x" * 36)
        kith(d, "dht", "put", f"/pk/{NOBODY}", e.parent / "value", code=1, err="may not stand")
        (e.parent / "value").write_bytes(b"x" * 10241)
        kith(d, "dht", "put", f"/pk/{NOBODY}", e.parent / "value", code=2, err="10240 bytes at most")
        kith(d, "dht", "get", f"/pk/{NOBODY}", code=4, err="nobody has a value")
        kith(d, "dht", "put", "/shop/price", e.parent / "value", code=2)
        kith(d, "dht", "get", "/shop/price", code=5, err="/pk/PEER")
        records = {w[0]: w[1:] for w in map(str.split, (VECTORS / "ipns_records.txt").open()) if len(w) == 6 and w[0] != "#"}
        (name, record), old, to = records["ed25519"][:2], records["ed25519-expired"][1], "/ipfs/bafkreib3n4qhnhzrdcs6yvzd6n4hn4zrdn2tbsnsdf6u7uyqfxj5eyyhiq"
        (e.parent / "record").write_bytes(bytes.fromhex(record))
        assert kith(a, "dht", "put", f"/ipns/{name}", e.parent / "record", "--json").json()["reached"] == 4
        kith(c, "dht", "get", f"/ipns/{name}", out=to)
        r = kith(d, "dht", "get", f"/ipns/{name}", "--json").json()["ipns"]
        assert r == {"value": to, "sequence": 5, "valid_until": 4102542245, "ttl": 3600.0}, r
        kith(d, "dht", "put", f"/ipns/{NOBODY}", e.parent / "record", code=5, err="may not stand")
        (e.parent / "record").write_bytes(bytes.fromhex(old))
        kith(d, "dht", "put", f"/ipns/{name}", e.parent / "record", code=4, err="has expired")
        kith(d, "dht", "get", "price", code=2, err="/NAMESPACE/REST")
        kith(d, "dht", "sell", code=2, err="provide, unprovide, providers")
        # A command without a running node joins as a client, asks and leaves; nobody has it in a table.
        join = (*NET, "--bootstrap", ups[0].addr, "--mdns", "off")
        found = kith(e, "dht", "providers", "chess-club", *join, "--json").lines()
        assert found[0]["peer"] == ups[1].peer, found
        assert kith(e, "ping", ups[3].peer, "-c", 1, *join, out="1 received")
        assert all(status(h)["peers"] == 3 for h in hs)
        kith(e, "dht", "provide", "x", code=8, err="kith up")


def peers_are_found_by_their_ids():
    with homes("a", "b", "c") as hs, network(*hs) as ups:
        a, b, c = hs
        kith(b, "disconnect", ups[2].peer, code=None)
        (b / "peers.db").unlink()  # it is to be found, not remembered
        r = kith(b, "find", ups[2].peer, "--json").json()
        assert r["connected"] and ups[2].addr in [x["addr"] for x in r["addrs"]], r
        kith(b, "dial", ups[2].peer, out=ups[2].peer)
        kith(b, "find", NOBODY, code=4, err="the DHT knows none")
        kith(b, "dial", NOBODY, code=4, err="no address known, and the DHT knows none")
        kith(b, "find", "nobody", code=2, err="name of a known peer")
        # auto takes the DHT of a network of one's own along, and ends early where everybody was found.
        others = {ups[0].peer, ups[2].peer}
        r = kith(b, "discover", "--method", "kademlia", "--ping", "--timeout", "25s", "--json").lines()
        assert {e["peer"] for e in r[:-1]} == others and r[-1]["found"] == 2 and r[-1]["seconds"] < 20, r
        assert all(e["source"] == "kademlia" and e["latency_ms"] > 0 for e in r[:-1]), r
        r = kith(b, "discover", "--count", 2, "--json").lines()
        assert {e["peer"] for e in r[:-1]} == others, r
        kith(c, "dht", "provide", "lamp")
        r = kith(a, "discover", "--method", "kademlia", "--key", "lamp", "--json").lines()
        assert [e["peer"] for e in r[:-1]] == [ups[2].peer], r


def a_node_begins_again_with_what_it_remembers():
    with homes("a", "b") as (a, b), Up(a, *NET, dht="server") as one:
        with Up(b, *NET, "--bootstrap", one.addr, dht="server") as two:
            eventually(lambda: status(a)["peers"] == 1 and status(b)["peers"] == 1, "both in both tables")
            kith(b, "dht", "provide", "lamp")
            kith(a, "dht", "provide", "chair")
            kith(a, "dht", "put", f"/pk/{one.peer}")
            assert (status(b)["values"], status(b)["providers"]) == (1, 1)
            two.stop()
        with Up(b, *NET, dht="server") as two:  # nobody tells it where to begin
            s = status(b)
            assert (s["bootstrap"], s["remembered"], s["provides"], s["values"], s["providers"]) == (0, 1, 1, 1, 1), s
            eventually(lambda: status(b)["peers"] == 1, "the one that it remembers")
        with Up(b, "--dht.protocol", "/other/kad/1.0.0", dht="server"):  # is not told of the first network's peers
            s = status(b)
            assert (s["remembered"], s["values"], s["provides"]) == (0, 0, 0), s


def the_public_network_is_left_alone_on_loopback_and_by_off():
    with homes("a", "b") as (a, b), Up(a, dht="auto"), Up(b, dht="off"):
        s = status(a)
        assert s["mode"] == "auto" and s["started"] and not s["server"] and s["waiting"] and s["bootstrap"] == 0, s
        kith(a, "dht", "status", out="now a client")
        kith(a, "dht", "providers", "x", code=4, err="--bootstrap")
        assert status(b) == {"mode": "off"}
        kith(b, "dht", "status", out="off")
        kith(b, "dht", "get", f"/pk/{NOBODY}", code=5, err="dht = auto")
        kith(b, "discover", "--method", "kademlia", code=5, err="dht = auto")
        kith(b, "find", NOBODY, code=4, err="the DHT is off here")
        with Up(b.parent / "c", *NET, "--bootstrap", "none", dht="client"):  # a network of one's own has no public list
            s = status(b.parent / "c")
            assert s["bootstrap"] == 0 and not s["waiting"], s


run(what_one_provides_and_puts_others_find, peers_are_found_by_their_ids, a_node_begins_again_with_what_it_remembers,
    the_public_network_is_left_alone_on_loopback_and_by_off)
