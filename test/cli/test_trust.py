#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Known peers as a user has them: who is refused and with which words, names, pins, blocks, export and import."""
import base64
import hashlib
import json
import re
import signal
import socket
import subprocess

from kith_cli import LOOPBACK, Up, environment, eventually, homes, kith, run, start, KITH

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "12D3KooWBAG7KC41F19BgpTk5XXxaeR8PPNt5Kh1Me95cEstFrmM"
KEY = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
KEY2 = "QmNLei78zWmzUdbeRB3CiUfAizWUrbeeZh5K1rhAQKCh51"


def peers(home):
    return {p["peer"]: p for p in kith(home, "trust", "list", "--json").json()["peers"]}


def who_is_met_is_known_to_both():
    with homes("a", "b") as (a, b), Up(a) as up:
        assert peers(b) == {}
        kith(b, "trust", "list", out="nobody is known yet")
        kith(b, "ping", up.addr, "-c", 1)
        me = kith(b, "id").out.strip()
        for home, other in ((b, up.peer), (a, me)):
            p = peers(home)[other]
            assert p["trust"] == "first-seen" and p["level"] == 3 and 0 < p["first"] <= p["last"], p
            assert not p["blocked"] and p["policy"] == "inherit", p
        kith(b, "trust", "show", up.peer, out="post-quantum, ML-KEM category 3")


def a_self_chosen_name_is_shown_and_is_no_target():
    name = "Ann\u2019s laptop"
    with homes("a", "b") as (a, b), Up(a, "--name", name) as up, Up(b, "--name", "-") as other:
        kith(b, "dial", up.addr)
        here, there = other.event("peer_connected"), up.event("peer_connected")
        assert (here["name"], here["self_name"]) == ("", name), here
        assert there["self_name"] == "", there
        who = f'{up.peer} (calls itself "{name}")'
        peer = kith(b, "peers", "--json").json()["peers"][0]
        assert peer["self_name"] == name and "ML-DSA-65" in peer["info"]["algorithms"], peer
        assert [f"{x}/p2p/{up.peer}" for x in peer["info"]["addrs"]] == [up.addr], peer
        kith(b, "peers", out=who)
        eventually(lambda: who in kith(b, "peers", "--known").out, "the name is in the peer book")
        assert kith(b, "discover", "-m", "manual", "-c", 1, "--json").lines()[0]["self_name"] == name
        kith(b, "ping", name, "-c", 1, code=2, err="nor the name of a known peer")
        kith(b, "disconnect", name, code=2)
        kith(b, "trust", "rename", up.peer, "ann")
        assert "calls itself" not in kith(b, "peers", out=f"ann ({up.peer})").out
        kith(a, "config", "--name", "a\nb", code=2, err="64 bytes of printable UTF-8")


def once_post_quantum_always_post_quantum():
    with homes("a", "b", "c") as (a, b, c):
        with Up(a) as up:
            kith(b, "ping", up.addr, "-c", 1)
            me = kith(b, "id").out.strip()
            # The listener refuses, and says to its user whom and why.
            r = kith(b, "dial", up.addr, "--pq", "off", code=5, err="has to come over a post-quantum channel")
            assert f"'kith trust accept {me} --classical'" in r.err, r
            ev = up.event("refused")
            assert ev["peer"] == me and ev["error"] == "auth", ev
            assert ev["reason"].endswith(f"accept it with 'kith trust accept {me} --classical'"), ev
            kith(a, "trust", "accept", me, "--classical")
            assert kith(b, "dial", up.addr, "--pq", "off", "--json").json()["pq"] is False
        # The dialler refuses: the node it knew as post-quantum has only /noise now.
        with Up(a, "--pq", "off", listen=up.bare) as up:
            r = kith(b, "dial", up.addr, code=5, err="somebody on the way may have struck the better ones")
            assert f"'kith trust accept {up.peer} --classical'" in r.err, r
            kith(b, "trust", "accept", up.peer, "--classical")
            kith(b, "dial", up.addr, out="NOT post-quantum")
            # A policy of its own, beside the configuration's.
            kith(b, "trust", "policy", up.peer, "require")
            kith(b, "dial", up.addr, code=5, err="pq = require")
            kith(b, "trust", "policy", up.peer, "inherit")
            kith(b, "dial", up.addr)


def a_pin_counts_from_the_first_byte():
    with homes("a", "b") as (a, b), Up(a) as up:
        kith(b, "trust", "pin", up.peer, "--key", KEY, "--name", "alice")
        r = kith(b, "ping", up.addr, "-c", 1, code=5, err="alice")
        assert "kith trust accept alice --key " in r.err and KEY in r.err, r
        kith(b, "trust", "pin", "alice", "--key", KEY2, code=5, err="known with another post-quantum key")
        kith(b, "trust", "accept", "alice", code=2, err="--key Qm...")
        key = r.err.rsplit("--key ", 1)[1].rstrip("'\n")  # as the message says
        kith(b, "trust", "accept", "alice", "--key", key)
        kith(b, "ping", up.addr, "-c", 1)


def names_are_good_wherever_a_peer_is():
    with homes("a", "b") as (a, b), Up(a) as up:
        kith(b, "dial", "alice", code=2, err="nor the name of a known peer")
        kith(b, "dial", up.addr)
        kith(b, "trust", "rename", up.peer, "alice", out="name      alice")
        kith(b, "dial", "alice", out=up.peer)
        kith(b, "ping", "Alice", "-c", 1, out="1 sent, 1 received")
        kith(b, "perf", "alice", code=5)
        assert kith(b, "trust", "show", "alice", "--json").json()["peer"] == up.peer
        with Up(b) as mine:
            r = kith(b, "dial", "alice", "--json").json()
            assert r["peer"] == up.peer and r["name"] == "alice" and r["trust"] == "first-seen", r
            assert kith(b, "peers", "--json").json()["peers"][0]["name"] == "alice"
            kith(b, "trust", "rename", "alice", "bob")  # through the running node
            came = mine.event("peer_connected")
            assert (came["peer"], came["name"], came["trust"]) == (up.peer, "alice", "first-seen"), came
            kith(b, "ping", "bob", "-c", 1)
            kith(b, "disconnect", "bob", out="closed 1")
            went = mine.event("peer_disconnected")
            assert (went["peer"], went["name"]) == (up.peer, "bob"), went
            came = up.event("peer_connected")
            assert came["name"] == "", came  # a name is its giver's alone
        kith(b, "trust", "pin", PEER, "--name", "BOB", code=1, err="is that of " + up.peer)
        for bad in ("two words", "a/b", "\x1b[2J", "x" * 64, PEER):
            kith(b, "trust", "rename", up.peer, bad, code=2, err="cannot be a name")
        kith(b, "trust", "rename", "bob", out="(none)")
        kith(b, "dial", "bob", code=2)


def blocked_is_out_at_once():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b) as mine:
        kith(b, "dial", up.addr)
        kith(b, "trust", "block", up.peer, out="BLOCKED")
        assert mine.event("peer_disconnected")["peer"] == up.peer
        there = up.event("peer_disconnected")
        assert there["error"] == "refused" and "it is blocked there" in there["reason"], there
        r = kith(b, "dial", up.addr, code=5, err="is blocked")
        assert f"'kith trust unblock {up.peer}'" in r.err, r
        r = kith(a, "dial", mine.addr, code=5, err="the peer refuses this node")
        ev = mine.event("refused")
        assert ev["peer"] == up.peer and "is blocked" in ev["reason"], ev
        assert re.search("'kith trust unblock (12D3Koo.*?)'", r.err)[1] == up.peer, r
        kith(b, "trust", "unblock", up.peer)
        kith(b, "dial", up.addr)
        kith(b, "trust", "unblock", PEER, code=4, err="is not known")


def who_is_refused_learns_what_to_do_about_it():
    """The same peer id with another post-quantum key: every command says what may be wrong, and what it says is a way out."""
    with homes("a", "b") as (a, b), Up(a, "--perf") as up:
        kith(b, "ping", up.addr, "-c", 1)
        old, me = kith(b, "id", "--json").json()["pq_id"], kith(b, "id").out.strip()
        seed = re.search("ed25519-seed (.*)", (b / "identity").read_text())[1]
        (b / "identity").write_text(f"kith identity 1\ned25519-seed {seed}\n")
        new = kith(b, "id", "--json").json()["pq_id"]
        assert new != old
        said = f"known by another post-quantum key. Its 'kith up' or its log says which; there, 'kith trust unblock {me}'"
        for command in (("ping", "-c", "1"), ("dial",), ("quantum",), ("perf",), ("pipe", "--protocol", "/x/1")):
            r = kith(b, command[0], up.addr, *command[1:], code=5, err=said)
            assert "reset" not in r.err and len(r.err.splitlines()) == 1, r
        assert old not in r.err, r  # nothing that the listener knows
        ev = up.event("refused")
        assert ev["error"] == "auth" and old in ev["reason"], ev
        with Up(b) as mine:  # and so does a node, of whatever is asked of it
            r = kith(b, "ping", up.addr, "-c", 1, code=5, err=said)
        way_out = re.search("or 'kith (trust accept .*?)'", r.err)[1]
        assert way_out == f"trust accept {me} --key {new}", r
        kith(a, *way_out.split())
        kith(b, "ping", up.addr, "-c", 1)


def two_commands_and_a_node_share_what_is_known():
    with homes("a", "b") as (a, b), Up(a) as up:
        p = subprocess.Popen([KITH, "ping", up.addr, "-i", "50"], env=environment(b), stdout=subprocess.DEVNULL)
        eventually(lambda: up.peer in peers(b), "noted by the ping under way")
        eventually(lambda: up.bare in kith(b, "peers", "--known", "--json").out, "and in the peer book")
        kith(b, "trust", "rename", up.peer, "alice")  # straight in the file: no node of b runs
        kith(b, "dial", "alice")
        p.terminate()
        p.wait()
        assert peers(b)[up.peer]["name"] == "alice"


def what_is_exported_can_be_imported():
    with homes("a", "b", "c") as (a, b, c):
        kith(a, "trust", "pin", PEER, "--key", KEY, "--name", "alice")
        kith(a, "trust", "policy", PEER, "require")
        kith(a, "trust", "block", OTHER)
        text = kith(a, "trust", "export").out
        assert text.startswith("kith trust 1\n") and len(text.splitlines()) == 3, text
        b.parent.joinpath("copy").write_text(text)
        copy = b.parent / "copy"
        kith(b, "trust", "import", copy, "--restore", out="imported 2")
        assert peers(a) == peers(b)
        # Of what others say: pins and blocks, no policies; and never another key.
        kith(c, "trust", "import", copy, out="imported 2")
        p = peers(c)
        assert p[PEER]["policy"] == "inherit" and p[PEER]["key"] == KEY and p[PEER]["trust"] == "pinned", p
        assert p[OTHER]["blocked"], p
        copy.write_text(text.replace(KEY, KEY2))
        kith(c, "trust", "import", copy, code=5, err="is known with another post-quantum key")
        assert peers(c)[PEER]["key"] == KEY
        copy.write_text(text + "peer nonsense\n")
        kith(c, "trust", "import", copy, code=1, err="nothing was imported: entry 3")
        copy.write_bytes(b"\x00\xff" * 1000)
        kith(c, "trust", "import", copy, code=1, err="does not begin with")
        kith(c, "trust", "import", copy.parent / "nowhere", code=10, err="No such file")
        with Up(c, listen=LOOPBACK):
            copy.write_text(text)
            kith(c, "trust", "import", copy, out="imported 2")
            with open(copy) as f:
                kith(c, "trust", "import", "-", stdin=f, out="imported 2")


def an_import_has_a_largest_size():
    with homes("a") as a:
        a.mkdir()
        copy, most = a / "copy", 16 << 20
        head = f"kith trust 1\npeer {PEER} how pinned\n"
        copy.write_text(head + "#\n" * ((most - len(head)) // 2) + "\n" * ((most - len(head)) % 2))
        assert copy.stat().st_size == most
        kith(a, "trust", "import", copy, out="imported 1")
        with open(copy, "a") as f:
            f.write("\n")
        kith(a, "trust", "import", copy, code=1, err="larger than 16 MiB")


B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def some_peer(n):
    """The peer id of a key that nobody has."""
    number = int.from_bytes(b"\x00\x24\x08\x01\x12\x20" + hashlib.sha256(str(n).encode()).digest(), "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = B58[digit] + text
    return "1" + text


def ask(home, method, **params):
    """One answer of the running node, as any client gets it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(home / "control.sock"))
        s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        with s.makefile() as f:
            return json.loads(f.readline())


def more_known_peers_than_one_answer_holds():
    piece, count = 4096, 14000
    rows = [f"peer {some_peer(i)} name {'x' * 57}{i:06} key {KEY} how pinned key-how pinned\n" for i in range(count)]
    with homes("a", "b") as (a, b):
        a.mkdir()
        copy = a / "copy"
        copy.write_text("kith trust 1\n" + "".join(rows[:piece]))
        kith(a, "trust", "import", copy)
        with Up(a):
            for method in ("trust.list", "trust.export"):
                assert "next" not in ask(a, method)["result"], method
            kith(a, "trust", "pin", PEER)
            for method, many in (("trust.list", lambda r: len(r["peers"])), ("trust.export", lambda r: r["peers"])):
                first = ask(a, method)["result"]
                rest = ask(a, method, after=first["next"])["result"]
                assert (many(first), many(rest)) == (piece, 1) and "next" not in rest, method
                assert ask(a, method, after="x")["error"]["code"] == -32602
            # Above the 4 MiB that a client may leave unread.
            copy.write_text("kith trust 1\n" + "".join(rows))
            kith(a, "trust", "import", copy)
            known = kith(a, "trust", "list", "--json")
            assert len(known.out) > 4 << 20, len(known.out)
            assert len(known.json()["peers"]) == count + 1
            assert known.json()["peers"] == sorted(known.json()["peers"], key=lambda p: p["peer"])
            text = kith(a, "trust", "export").out
        assert kith(a, "trust", "export").out == text  # without a node
        copy.write_text(text)
        kith(b, "trust", "import", copy, "--restore", out=f"imported {count + 1}")
        assert kith(b, "trust", "export").out == text


def a_damaged_file_is_not_forgotten():
    with homes("a", "b") as (a, b), Up(a) as up:
        kith(b, "trust", "pin", up.peer)
        (b / "trust.db").write_bytes(b"nonsense" * 1000)
        for args in (("ping", up.addr, "-c", 1), ("trust", "list"), ("up", "--listen", LOOPBACK)):
            r = kith(b, *args, code=11, err="cannot read whom to trust")
            assert str(b / "trust.db") in r.err and "move it away" in r.err, r
        (b / "trust.db").unlink()
        kith(b, "ping", up.addr, "-c", 1)


def both_sides_compare_a_number():
    with homes("a", "b", "c") as (a, b, c), Up(a) as up, Up(b) as mine, Up(c) as other:
        kith(b, "verify", up.peer, code=4, err="is not connected")
        kith(b, "dial", up.addr)
        kith(c, "dial", up.addr)
        here = kith(b, "verify", up.peer, "--json").json()
        there = kith(a, "verify", mine.peer, "--json").json()
        assert here["number"] == there["number"] and len(here["number"]) == 23, (here, there)
        assert here["connections"] == 1 and not here["verified"], here
        wrong = kith(a, "verify", other.peer, "--json").json()["number"]
        assert wrong != here["number"]
        kith(b, "verify", up.peer, out=here["number"])
        kith(b, "verify", up.peer, "--confirm", wrong, code=5, err="the numbers differ: here it is " + here["number"])
        assert peers(b)[up.peer]["trust"] == "first-seen"
        kith(b, "verify", up.peer, "--confirm", there["number"].replace(" ", ""), out="is verified")
        p = peers(b)[up.peer]
        assert p["trust"] == "verified" and p["key_trust"] in ("verified", ""), p
        assert peers(a)[mine.peer]["trust"] == "first-seen"  # each for itself
        kith(b, "disconnect", up.peer)
        kith(b, "dial", up.addr)  # another session, another number
        assert kith(b, "verify", up.peer, "--json").json()["number"] != here["number"]
    with homes("d") as d:
        kith(d, "verify", PEER, code=8, err="kith up")


def a_ticket_pins_the_sharers_key():
    with homes("a", "b", "c") as (a, b, c):
        for h in (a, b, c):
            h.mkdir()
        (a / "f").write_text("x")
        sharer = start(a, "share", "--ticket", "--listen", LOOPBACK, a / "f", stderr=subprocess.DEVNULL)
        try:
            ticket = sharer.stdout.readline().decode().strip()
            me, key = (kith(a, "id", "--json").json()[k] for k in ("peer", "pq_id"))
            kith(b, "get", ticket, "-y", "-o", b / "out")
            p = peers(b)[me]
            assert (p["trust"], p["key"], p["key_trust"]) == ("pinned", key, "pinned"), p
            kith(c, "trust", "pin", me, "--key", KEY)
            kith(c, "get", ticket, "-y", "-o", c / "out", code=5, err="the ticket names another key than is known")
            assert peers(c)[me]["key"] == KEY
        finally:
            sharer.terminate()
            sharer.communicate()


def invite(home, *args):
    p = start(home, "invite", "--json", *args, stderr=subprocess.PIPE)
    return p, json.loads(p.stdout.readline())["link"]


def an_invitation_pins_both_ways_once():
    with homes("a", "b", "c") as (a, b, c), Up(a) as up:
        p, link = invite(a, "--name", "bob")
        assert link.startswith("kith://invite/")
        r = kith(b, "join", link, "--name", "alice", "--json").json()
        me, key = (kith(b, "id", "--json").json()[k] for k in ("peer", "pq_id"))
        its = kith(a, "id", "--json").json()["pq_id"]
        assert (r["peer"], r["name"], r["key"]) == (up.peer, "alice", its), r
        guest = json.loads(p.communicate(timeout=10)[0])
        assert p.returncode == 0 and (guest["peer"], guest["name"], guest["key"]) == (me, "bob", key), guest
        for home, other, name, k in ((a, me, "bob", key), (b, up.peer, "alice", its)):
            known = peers(home)[other]
            assert (known["trust"], known["key_trust"], known["name"], known["key"]) == ("pinned", "pinned", name, k), known
        kith(b, "ping", "alice", "-c", 1)
        kith(c, "join", link, code=None, err="is not open there")  # used up
        assert kith(a, "id").out.strip() not in {x["name"] for x in peers(c).values()}


def an_invitation_needs_no_running_node():
    with homes("a", "b") as (a, b):
        p, link = invite(a, "--name", "bob", "--listen", LOOPBACK)
        r = kith(b, "join", link, "--name", "alice", "--json").json()
        guest = json.loads(p.communicate(timeout=10)[0])
        assert p.returncode == 0 and peers(a)[guest["peer"]]["name"] == "bob", guest
        assert peers(b)[r["peer"]]["key"] == kith(a, "id", "--json").json()["pq_id"]
        p, link = invite(a, "--listen", LOOPBACK)
        p.send_signal(signal.SIGINT)  # taken back
        p.communicate(timeout=10)
        assert p.returncode == 130
        kith(b, "join", link, code=4)


def an_invitation_is_for_whoever_has_it_and_for_its_time():
    with homes("a", "b", "c") as (a, b, c), Up(a) as up:
        first, link = invite(a)
        second, other = invite(a, "--ttl", "2s")
        wrong = link[:60] + ("A" if link[60] != "A" else "B") + link[61:]
        kith(b, "join", wrong, code=1, err="this invitation cannot be used")
        kith(a, "join", link, code=1, err="is your own")
        kith(a, "invite", "--name", "two words", code=2, err="cannot be a name")
        assert second.wait(20) != 0 and b"has expired" in second.stderr.read()
        kith(b, "join", other, code=4, err="has expired; ask for another")
        # Taken back.
        first.send_signal(signal.SIGINT)
        first.wait(10)
        kith(b, "join", link, code=None, err="is not open there")
        # A link with another secret for the same node gets nobody in, and does not use up the invitation.
        third, link = invite(a)
        forged = forge(link)
        kith(c, "join", forged, code=None, err="is not open there")
        assert third.poll() is None
        kith(b, "join", link)
        assert third.wait(10) == 0
        assert not any(x["trust"] == "pinned" for x in peers(a).values() if x["peer"] == kith(c, "id").out.strip())


def an_invitation_pins_no_other_key_and_no_other_name():
    with homes("a", "b", "c") as (a, b, c), Up(a) as up:
        p, link = invite(a, "--name", "bob")
        kith(b, "trust", "pin", up.peer, "--key", KEY)
        kith(b, "join", link, code=5, err="is known with another post-quantum key")
        assert p.poll() is None  # whom it would have met did not come
        kith(a, "trust", "pin", PEER, "--name", "bob")
        kith(c, "join", link, code=None, err="is not open there")
        assert p.wait(10) == 1 and b"the guest had the invitation, but" in p.stderr.read()
        assert kith(c, "id").out.strip() not in {x["peer"] for x in peers(a).values() if x["trust"] == "pinned"}


def forge(link):
    """The same invitation with another secret."""
    text = link.removeprefix("kith://invite/")
    body = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-4])
    at = body.index(b"\x1a\x10") + 2
    body[at] ^= 1
    whole = bytes(body) + hashlib.sha256(bytes(body)).digest()[:4]
    return "kith://invite/" + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def mistakes_are_explained():
    with homes("a") as a:
        kith(a, "trust", code=2)
        kith(a, "trust", "lisst", code=2, err="there is no 'lisst'")
        kith(a, "trust", "show", code=2, err="something is missing")
        kith(a, "trust", "show", PEER, code=4, err="is not known")
        kith(a, "trust", "list", "--key", KEY, code=2, err="--key does not belong to it")
        kith(a, "trust", "pin", PEER, "--key", "Qmx", code=2, err="is not the id of a post-quantum key")
        kith(a, "trust", "policy", PEER, "maybe", code=2, err="none of inherit, prefer, require, off")
        kith(a, "trust", "--help", out="examples:")


run(who_is_met_is_known_to_both, a_self_chosen_name_is_shown_and_is_no_target, once_post_quantum_always_post_quantum, a_pin_counts_from_the_first_byte,
    names_are_good_wherever_a_peer_is, blocked_is_out_at_once, who_is_refused_learns_what_to_do_about_it,
    two_commands_and_a_node_share_what_is_known, what_is_exported_can_be_imported, an_import_has_a_largest_size,
    more_known_peers_than_one_answer_holds, a_damaged_file_is_not_forgotten, both_sides_compare_a_number,
    a_ticket_pins_the_sharers_key,
    an_invitation_pins_both_ways_once, an_invitation_needs_no_running_node, an_invitation_is_for_whoever_has_it_and_for_its_time,
    an_invitation_pins_no_other_key_and_no_other_name, mistakes_are_explained)
