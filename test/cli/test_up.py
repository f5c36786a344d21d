#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two nodes on loopback as two people run them: up, dial, ping, perf, id, status, peers, stop."""
import json
import os
import select
import signal
import socket
import subprocess
import time

from kith_cli import Up, cpu_seconds, environment, eventually, homes, kith, run, skip, start, Terminal, KITH, SLOW

CHANNEL = "/kith/noise-mlkem768-hfs/1"


def events_tell_who_comes_and_goes():
    with homes("a", "b") as (a, b), Up(a) as up:
        assert up.addr.startswith("/ip4/127.0.0.1/tcp/") and up.addr.endswith("/p2p/" + up.peer), up.addr
        r = kith(b, "dial", up.addr, "--json").json()
        came = up.event("peer_connected")
        assert set(came) >= {"peer", "addr", "direction", "secure_channel", "pq", "muxer", "agent"}, came
        me = kith(b, "id").out.strip()
        assert came["peer"] == me and came["direction"] == "inbound" and came["pq"] is True, came
        assert came["secure_channel"] == CHANNEL and came["muxer"] == "/yamux/1.0.0", came
        assert came["agent"].startswith("kith/"), came
        assert r["peer"] == up.peer and r["direction"] == "outbound" and "/ipfs/ping/1.0.0" in r["protocols"], r
        went = up.event("peer_disconnected")
        assert went["peer"] == me and went["reason"] == "the peer is stopping", went
        assert up.stop() == 0


def identity_survives_and_belongs_to_the_user_alone():
    with homes("a") as a:
        one = kith(a, "id").out
        assert one == kith(a, "id").out and one.startswith("12D3KooW")
        assert os.stat(a).st_mode & 0o777 == 0o700 and os.stat(a / "identity").st_mode & 0o777 == 0o600
        os.chmod(a / "identity", 0o644)
        kith(a, "id", code=3, err="chmod 600")
        os.chmod(a / "identity", 0o600)
        (a / "identity").write_text("kith identity 1\ned25519-seed xyz\n")
        kith(a, "id", code=3, err="damaged")


def ping_answers_and_sums_up():
    with homes("a", "b") as (a, b), Up(a) as up:
        lines = kith(b, "ping", up.addr, "-c", 3, "-i", 5, "--json").lines()
        assert [x["event"] for x in lines] == ["ping"] * 3 + ["ping_summary"], lines
        assert lines[-1]["received"] == 3 and 0 < lines[-1]["min_ms"] <= lines[-1]["max_ms"], lines
        assert lines[-1]["first_answer_ms"] > lines[0]["rtt_ms"], lines  # it has the handshakes in it
        kith(b, "ping", up.bare, "-c", 1, out="1 sent, 1 received")
        p = start(b, "ping", up.addr, "-i", 20)
        time.sleep(0.5 * SLOW)
        p.send_signal(signal.SIGINT)
        assert b" received; min" in p.communicate(timeout=10 * SLOW)[0] and p.returncode == 0


def perf_needs_to_be_served_and_then_measures():
    with homes("a", "b", "c") as (a, b, c):
        with Up(a) as up:
            kith(b, "perf", up.addr, code=5, err="kith up --perf")
        with Up(a, "--perf") as up:
            r = kith(b, "perf", up.addr, "--upload", "16MiB", "--download", "8M", "--json", timeout=60).json()
            assert r["upload_bytes"] == 16 << 20 and r["download_bytes"] == 8 << 20, r
            assert r["upload_seconds"] > 0 and r["download_seconds"] > 0 and r["pq"] is True, r
            assert r["secure_channel"] == CHANNEL and r["muxer"] == "/yamux/1.0.0", r
            r = kith(b, "perf", up.addr, "--upload", 0, "--download", 1, "--json").json()
            assert (r["upload_bytes"], r["download_bytes"]) == (0, 1), r
            r = kith(c, "perf", up.addr, "--upload", 1000, "--pq", "off", "--json").json()
            assert r["pq"] is False and r["secure_channel"] == "/noise", r


def a_policy_of_require_refuses_the_classical():
    with homes("a", "b") as (a, b), Up(a, "--pq", "require") as up:
        kith(b, "dial", up.addr, "--pq", "off", code=5)
        kith(b, "dial", up.addr, "--pq", "require", "--level", 5, out="/kith/noise-mlkem1024-hfs/1 (post-quantum)")


def commands_use_the_running_node():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b) as mine:
        first = kith(b, "dial", up.addr, "--json").json()
        again = kith(b, "dial", up.addr, "--json").json()
        bare = kith(b, "dial", up.bare, "--json").json()
        by_id = kith(b, "dial", up.peer, "--json").json()
        assert [x["reused"] for x in (first, again, bare, by_id)] == [False, True, True, True]
        s = kith(b, "status", "--json").json()
        assert s["peers"] == 1 and s["peers_pq"] == 1 and s["peer"] == mine.peer and s["addrs"] == mine.addrs, s
        s = kith(b, "status", "--detailed", "--json").json()
        c = s["connections"][0]
        assert c["path"] == "direct" and c["pq"] is True and c["peer"] == up.peer and s["memory_bytes"] > 0, s
        kith(b, "status", out="1 connected, 1 of them post-quantum")
        kith(b, "peers", out=up.peer)
        assert kith(b, "id", "--json").json()["addrs"] == mine.addrs
        kith(b, "ping", up.peer, "-c", 1)
        assert len([e for e in mine.seen if e["event"] == "peer_connected"]) <= 1
        kith(b, "disconnect", up.peer, out="closed 1 connection")
        kith(b, "disconnect", up.peer, code=4, err="not connected")
        assert mine.event("peer_disconnected")["reason"] == "closed here"
        kith(b, "stop", out="has stopped")
        assert mine.process.wait(5) == 0
        kith(b, "status", code=8, err="kith up")
        kith(b, "stop", code=8)


def the_peer_book_remembers():
    with homes("a", "b") as (a, b):
        with Up(a) as up:
            kith(b, "dial", up.peer, code=4, err="no address known")
            kith(b, "dial", up.addr)
            kith(b, "dial", up.peer, out=up.peer)
            kith(b, "ping", up.peer, "-c", 1)
            known = kith(b, "peers", "--known", "--json").json()["known"]
            assert known[0]["peer"] == up.peer and known[0]["pq"] and known[0]["addrs"][0]["source"] == "dialed", known
            assert known[0]["agent"].startswith("kith/"), known
        kith(b, "dial", up.peer, code=4, err="connection refused")
        (b / "peers.db").write_bytes(b"nonsense" * 1000)
        kith(b, "dial", up.addr, code=4, err="peer book was damaged")
        assert (b / "peers.db.damaged").exists()


def one_home_has_one_node():
    with homes("a") as a, Up(a) as up:
        kith(a, "up", code=7, err=f"running here already (pid {up.pid})")
        up.process.kill()
        up.process.wait()
        assert (a / "control.sock").exists()
        kith(a, "status", code=8)
        with Up(a):
            kith(a, "status", out="listening")


def a_taken_port_is_told():
    with homes("a", "b") as (a, b), Up(a) as up:
        kith(b, "up", "--listen", up.bare, code=7, err="in use")
    with homes("a", "b") as (a, b), socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("0.0.0.0", 9000))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as good
        with Up(a, listen=None) as up:
            assert "/tcp/9000/" not in up.addr, up.addrs
            assert "port 9000 is in use; listening on port" in up.errors()
            assert any(x.startswith("/ip4/127.0.0.1/tcp/") for x in up.addrs), up.addrs


def detached_it_runs_on_and_says_why_it_cannot():
    with homes("a", "b") as (a, b):
        r = kith(a, "up", "--detach", "--listen", "/ip4/127.0.0.1/tcp/0")
        try:
            assert "running in the background" in r.out and "listening on" in r.out, r
            addr = [x.split()[-1] for x in r.out.splitlines() if x.startswith("listening")][0]
            kith(b, "dial", addr)
            kith(b, "up", "--detach", "--listen", addr[:addr.rindex("/p2p/")], code=7, err="in use")
            kith(a, "up", "--detach", code=7, err="already")
            eventually(lambda: "disconnected" in (a / "kith.log").read_text(), "the log")
        finally:
            kith(a, "stop")
        kith(a, "status", code=8)

def a_peer_that_dies_is_noticed():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b) as mine:
        kith(b, "dial", up.addr)
        mine.event("peer_connected")
        up.process.kill()
        assert mine.event("peer_disconnected")["peer"] == up.peer


def signals_end_it_in_good_order():
    for sig in (signal.SIGINT, signal.SIGTERM):
        with homes("a", "b") as (a, b), Up(a) as up, Up(b) as mine:
            kith(b, "dial", up.addr)
            up.event("peer_connected")
            assert mine.stop(sig) == 0
            assert up.event("peer_disconnected")["error"] == "closed"
            assert not (b / "control.sock").exists()


def a_command_whose_output_nobody_reads_ends():
    with homes("a", "b") as (a, b), Up(a) as up:
        p = start(b, "ping", up.addr, "-i", 1)
        p.stdout.readline()
        p.stdout.close()
        assert p.wait(10 * SLOW) == 0


def a_terminal_gets_a_console():
    with homes("a", "b", "c") as (a, b, c), Up(b) as up, Terminal(a, "--listen", "/ip4/127.0.0.1/tcp/0") as t:
        listening = t.read("kith> ")
        mine = listening.split("listening on ")[1].split()[0]
        text = t.say("help", "stop the node\r\nkith> ")
        assert all(x in text for x in ("peers", "dial", "ping", "id", "quit")), text
        assert up.peer in t.say("dial " + up.addr, "/ipfs/ping/1.0.0")
        assert "post-quantum" in t.say("peers", "rtt")
        assert "2 sent, 2 received" in t.say(f"ping {up.peer} -c 2 -i 1", "max")
        assert "did you mean" in t.say("pers", "?")
        t.say("help ping", "--count")
        t.say(f"ping {up.peer} --pq off", "configured already")
        t.say(f"ping {up.peer} -i 10", "seq=3")
        t.type("\x03")
        t.read("received; min")
        t.type("par")
        t.read("par")
        kith(c, "dial", mine)
        t.read("kith> par")  # the line being typed comes back after the news
        t.say("\x15/quit", "")
        assert t.ended() == 0


def wrong_addresses_are_explained():
    with homes("a", "b") as (a, b):
        kith(a, "dial", "nonsense", code=2, err="neither an address like")
        kith(a, "dial", "/ip4/300.1.1.1/tcp/1", code=2, err="is not an address")
        kith(a, "dial", "/ip4/127.0.0.1/udp/1/quic-v1", code=5, err="TCP addresses only")
        kith(a, "dial", "/ip4/127.0.0.1/tcp/1", code=4, err="connection refused")
        kith(a, "dial", "/dns4/nothing.invalid/tcp/1", code=4, err="cannot reach /dns4/nothing.invalid")
        with Up(b) as up:
            me = kith(a, "id").out.strip()
            kith(a, "dial", up.bare + "/p2p/" + me, code=5)
            other = "12D3KooWCRZKSXQeSrEqf4ekpC76gootgDXKiw2yuwrngWSfJyuR"
            kith(a, "dial", up.bare + "/p2p/" + other, code=5, err="not the one that was expected")
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            at = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}"
            kith(a, "dial", at, "--handshake-timeout", "300ms", code=4, err="cannot reach " + at)


def names_are_looked_up():
    with homes("a", "b") as (a, b), Up(a) as up:
        port = up.bare.rsplit("/", 1)[1]
        kith(b, "dial", f"/dns4/localhost/tcp/{port}/p2p/{up.peer}", out=up.peer)
        kith(b, "dial", f"/dns/localhost/tcp/{port}", out=up.peer)


def without_descriptors_newcomers_wait():
    with homes("a", "b") as (a, b), Up(a) as up:
        n = len(os.listdir(f"/proc/{up.pid}/fd"))
        if subprocess.run(["prlimit", "--pid", str(up.pid), f"--nofile={n + 4}:{n + 4}"], capture_output=True).returncode:
            skip("prlimit cannot lower the limit of another process")
        port = int(up.bare.rsplit("/", 1)[1])
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        eventually(lambda: "new connections have to wait" in up.errors(), "the notice")
        before = cpu_seconds(up.pid)
        time.sleep(1)
        assert cpu_seconds(up.pid) - before < 0.2 * SLOW, "it spins"
        for s in crowd:
            s.close()
        kith(b, "dial", up.addr)


def strangers_on_the_control_socket_get_nowhere():
    with homes("a") as a, Up(a) as up:
        path = str(a / "control.sock")
        assert os.stat(path).st_mode & 0o777 == 0o600
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(os.urandom(3000) + b"\n" + b"[" * 5000 + b"\n" + b"{}\n")
        f = s.makefile()
        assert [json.loads(f.readline())["error"]["code"] for _ in range(2)][-1] in (-32700, -32600)
        s.close()
        kith(a, "status")
        if os.geteuid() == 0:
            r = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", KITH, "status"], env=environment(a),
                               capture_output=True, text=True)
            assert r.returncode != 0, r
        assert up.process.poll() is None


def the_config_file_and_the_options_agree():
    with homes("a") as a:
        kith(a, "id")
        (a / "kith.ini").write_text("perf = true\nlisten = /ip4/127.0.0.1/tcp/0\n[limits]\nconns_per_ip = 7\n")
        c = kith(a, "config", "--json").json()
        assert c["perf"] == "true" and c["limits.conns_per_ip"] == "7", c
        assert kith(a, "config", "--limits.conns-per-ip", 9, "--json").json()["limits.conns_per_ip"] == "9"
        with Up(a, listen=None) as up:
            assert up.addr.startswith("/ip4/127.0.0.1/"), up.addrs
            kith(a, "perf", up.addr, "--upload", 10, code=None)
        (a / "kith.ini").write_text("perf = true\nlisen = /ip4/127.0.0.1/tcp/0\n")
        kith(a, "up", code=3, err="kith.ini:2: unknown key 'lisen'; did you mean 'listen'?")
        kith(a, "up", "--config", "/dev/null", "--pq", "perhaps", code=2, err="--pq: 'perhaps' is not require, prefer or off")


run(events_tell_who_comes_and_goes, identity_survives_and_belongs_to_the_user_alone, ping_answers_and_sums_up,
    perf_needs_to_be_served_and_then_measures, a_policy_of_require_refuses_the_classical, commands_use_the_running_node,
    the_peer_book_remembers, one_home_has_one_node, a_taken_port_is_told, detached_it_runs_on_and_says_why_it_cannot,
    a_command_whose_output_nobody_reads_ends, a_terminal_gets_a_console, a_peer_that_dies_is_noticed, signals_end_it_in_good_order, wrong_addresses_are_explained, names_are_looked_up,
    without_descriptors_newcomers_wait, strangers_on_the_control_socket_get_nowhere,
    the_config_file_and_the_options_agree)
