#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Private networks: who has the key talks, a third is refused in both roles and told why, and nothing leaves in clear."""
import os
import socket
import subprocess
import threading

from kith_cli import LOOPBACK, SLOW, Up, environment, eventually, homes, kith, run, start, KITH

NOT_IN = "the peer is not in this private network: it speaks without a network key"
OTHER = "the peer is not in this private network, or has another network key"
NEEDED = "it is no libp2p node, or one in a private network, whose key is needed (network.key)"
HELLO = b"\x13/multistream/1.0.0\n"


def new_key(home, name):
    path = home.parent / name
    r = kith(home, "network", "new-key", path, "--json").json()
    assert r["file"] == str(path) and len(r["fingerprint"]) == 32, r
    return path, r["fingerprint"]


def two_with_the_key_talk_and_a_third_does_not():
    with homes("a", "b", "c") as (a, b, c):
        key, fingerprint = new_key(a, "net.key")
        other, _ = new_key(c, "other.key")
        inside = ("--network.key", key)
        with Up(a, *inside) as one, Up(c) as three:
            assert one.seen[0]["network_fingerprint"] == fingerprint, one.seen
            assert "network_fingerprint" not in three.seen[0], three.seen
            assert kith(a, "status", "--json").json()["network_fingerprint"] == fingerprint
            kith(a, "status", out=f"network   private, key fingerprint {fingerprint}\n")
            assert "network" not in kith(c, "status").out
            # inside
            kith(b, "ping", one.addr, "-c", 2, *inside, out="2 sent, 2 received")
            one.event("peer_connected")
            (a / "f").write_bytes(os.urandom(300000))
            sharer = start(a.parent / "d", "share", "--ticket", "--listen", LOOPBACK, a / "f", "--once", *inside, stderr=subprocess.DEVNULL)
            try:
                ticket = sharer.stdout.readline().decode().strip()
                kith(c, "get", ticket, "-o", c, "-y", code=4, err=NEEDED)
                kith(b, "get", ticket, "-o", b, "-y", *inside)
                assert (b / "f").read_bytes() == (a / "f").read_bytes()
                assert sharer.wait(20 * SLOW) == 0
            finally:
                sharer.kill()
                sharer.communicate()
            # the third, without a key and with another one: dialling and dialled, by commands and by the nodes that run
            kith(c, "ping", one.addr, code=1, err=NEEDED)
            kith(c, "dial", one.addr, "--network.key", other, code=5, err=OTHER)
            kith(b, "ping", three.addr, *inside, code=5, err=NOT_IN)
            kith(a, "dial", three.addr, code=5, err=NOT_IN)
            kith(b, "ping", one.addr, "-c", 1, *inside)  # and who is inside is served as before
            seen = [e["peer"] for e in one.seen if e["event"] == "peer_connected"]
            assert three.peer not in seen, seen
        with Up(c, "--network.key", other) as three:
            kith(b, "ping", three.addr, *inside, code=5, err=OTHER)


def nothing_leaves_in_clear():
    """Towards somebody who only listens; and towards one who only dials."""
    with homes("a", "b") as (a, b):
        key, _ = new_key(a, "net.key")
        heard = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            def listen():
                for answer in (b"", HELLO):
                    with server.accept()[0] as s:
                        s.settimeout(20 * SLOW)
                        heard.append(s.recv(65536))
                        s.sendall(answer)
                        if answer:
                            s.recv(65536)
            thread = threading.Thread(target=listen)
            thread.start()
            addr = f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}"
            kith(b, "ping", addr, "--network.key", key, code=4,
                 err="it did not show the key of this private network: it is not in it, or has another key")
            kith(b, "ping", addr, "--network.key", key, code=5, err=NOT_IN)
            thread.join()
        with Up(a, "--network.key", key) as one:
            port = int(one.bare.rsplit("/", 1)[1])
            for first in (b"?", HELLO):
                with socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW) as s:
                    s.sendall(first)
                    got = b""
                    while len(got) < 44:
                        more = s.recv(65536)
                        assert more, got
                        got += more
                    heard.append(got)
                    if first == HELLO:
                        eventually(lambda: s.recv(65536) == b"", "the node hangs up")
        for got in heard:
            assert len(got) >= 44 and b"multistream" not in got and b"noise" not in got, got
        assert len({got[:24] for got in heard}) == len(heard)


def the_public_network_is_left_alone():
    with homes("a", "b") as (a, b):
        key, _ = new_key(a, "net.key")
        with Up(a, "--network.key", key, dht="client") as one, Up(b, "--network.key", key, "--bootstrap", one.addr, dht="client"):
            s = kith(a, "dht", "status", "--json").json()
            assert s["started"] and s["bootstrap"] == 0 and not s["waiting"], s
            assert kith(b, "dht", "status", "--json").json()["bootstrap"] == 1
            assert [p.name for p in a.glob("dht*.db")] != ["dht.db"], list(a.iterdir())
        r = kith(a, "network", "--json", "--network.key", key).json()
        assert r["private"] and not r["public_bootstrap"], r
        r = kith(a, "network", "--json").json()
        assert not r["private"] and r["public_bootstrap"] and "fingerprint" not in r, r


def keys_are_made_shown_and_refused():
    with homes("a", "b") as (a, b):
        path, fingerprint = new_key(a, "net.key")
        assert path.stat().st_mode & 0o777 == 0o600
        kith(a, "network", "new-key", path, code=9, err="exists, and is left alone")
        kith(a, "network", "show", path, out=f"fingerprint  {fingerprint}\n")
        r = kith(a, "network", "new-key", out=f"key          {a}/swarm.key\n")
        assert f"key = {a}/swarm.key\n" in r.err, r
        r = kith(a, "network", "new-key", "-", err="fingerprint ")
        assert r.out.startswith("/key/swarm/psk/1.0.0/\n/base16/\n") and len(r.out) == 96, r
        (b.parent / "piped.key").touch(0o600)
        (b.parent / "piped.key").write_text(r.out)
        print_ = r.err.split()[1]
        kith(b, "network", "show", b.parent / "piped.key", out=f"fingerprint  {print_}\n")
        b.mkdir(exist_ok=True)
        (b / "kith.ini").write_text(f"[network]\nkey = {path}\n")
        kith(b, "network", out=f"network      private\nkey          {path}\nfingerprint  {fingerprint}\n")
        path.chmod(0o640)
        kith(b, "ping", "/ip4/127.0.0.1/tcp/1", code=3, err=f"cannot use the network key {path}: other users can read or change it")
        kith(b, "up", code=3, err="run 'chmod 600' on it")
        path.chmod(0o600)
        path.write_text("/key/swarm/psk/1.0.0/\n/base16/\nabc\n")
        r = kith(b, "up", code=3, err="its third line is not a key of 64 hex digits")
        assert "abc" not in r.err, r
        path.unlink()
        kith(b, "up", code=3, err="No such file or directory")
        kith(b, "network", "nwe-key", code=2, err="it is one of show, new-key")
        kith(b, "network", "new-key", b / "no" / "folder", code=10, err="cannot write")


def the_environment_can_forbid_the_open_network():
    with homes("a", "b") as (a, b):
        key, _ = new_key(a, "net.key")

        def forced(*args):
            return subprocess.run([KITH, *map(str, args)], env=dict(environment(b), LIBP2P_FORCE_PNET="1"), capture_output=True,
                                  text=True, stdin=subprocess.DEVNULL, timeout=30 * SLOW)
        for args in (("up", "--listen", LOOPBACK), ("ping", "/ip4/127.0.0.1/tcp/1"), ("share", __file__)):
            r = forced(*args)
            assert r.returncode == 3 and "LIBP2P_FORCE_PNET=1 allows no node outside of a private network" in r.stderr, (args, r)
        with Up(a, "--network.key", key) as one:
            r = forced("ping", one.addr, "-c", "1", "--network.key", key)
            assert r.returncode == 0, r


run(two_with_the_key_talk_and_a_third_does_not, nothing_leaves_in_clear, the_public_network_is_left_alone,
    keys_are_made_shown_and_refused, the_environment_can_forbid_the_open_network)
