#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Metrics of two nodes that have met: on the control socket, over HTTP, as JSON, and in the documentation. Whether the text is
OpenMetrics is for the parser of prometheus_client to say."""
import http.client
import json
import pathlib
import re
import socket
import subprocess
import sys

from kith_cli import Up, eventually, homes, kith, run, skip_one

ROOT = pathlib.Path(__file__).parents[2]
PARSE = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[f.name, f.type, f.unit, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]]
                  for f in parse(sys.stdin.read())]))
"""


def parser():
    """A Python that has the parser: the package is the system's, and the first on the path may be another."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import prometheus_client.openmetrics.parser"], capture_output=True).returncode == 0:
            return python
    skip_one("python3-prometheus-client is not installed")


def parsed(text):
    out = subprocess.run([parser(), "-c", PARSE], input=text, text=True, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def table():
    """Name, type, unit and help of every row of the table in the program."""
    source = (ROOT / "src/host/metrics_table.c").read_text()
    rows = re.findall(r'\{"(kith_\w+)",\s*KITH_METRIC_(\w+),\s*"(\w*)",\s*"(.*?)",\s*\w+\}', source)
    assert len(rows) == source.count('{"kith_') > 20, "the table is written in another way"
    return rows


def metrics(home):
    return kith(home, "status", "--detailed", "--json").json()["metrics"]


def value(values, name, **labels):
    """Of the series with these labels."""
    found = [v["value"] for v in values[name] if labels.items() <= v.items()]
    assert len(found) == 1, (values[name], labels)
    return found[0]


def they_count_what_has_happened():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b, "--metrics", "127.0.0.1:0") as mine:
        before = metrics(b)
        assert before["kith_peers"] == before["kith_received_bytes_total"] == 0, before
        kith(b, "dial", up.addr)
        kith(b, "dial", "/ip4/127.0.0.1/tcp/1", code=4)
        kith(b, "message", up.peer, "--msg-type", "thought", "--content", "x", out="delivered")
        kith(b, "message", up.peer, "--msg-type", "app/own", "--content", "x", out="delivered")
        now, there = metrics(b), metrics(a)
        assert now["kith_peers"] == now["kith_pq_peers"] == now["kith_pq_connections"] == 1, now
        assert value(now, "kith_connections", direction="outbound", channel="/kith/noise-mlkem768-hfs/1") == 1, now
        assert value(now, "kith_opened_connections_total", direction="outbound") == 1, now
        assert value(there, "kith_opened_connections_total", direction="inbound") == 1, there
        assert [v["value"] for v in now["kith_failed_dials_total"]] == [1], now
        assert value(now, "kith_delivered_messages_total", type="thought") == 1, now
        assert value(now, "kith_delivered_messages_total", type="other") == 1, now
        assert value(there, "kith_received_messages_total", type="thought") == 1, there
        assert value(there, "kith_received_messages_total", type="other") == 1, there
        assert now["kith_message_delivery_seconds"]["count"] == 2 and now["kith_handshake_seconds"]["count"] == 1, now
        assert now["kith_sent_bytes_total"] > 7000 and now["kith_received_bytes_total"] > 7000, now  # a handshake
        kith(b, "disconnect", up.peer)
        mine.event("peer_disconnected")
        after = metrics(b)
        assert after["kith_peers"] == 0 and after["kith_closed_connections_total"] == 1, after
        assert after["kith_sent_bytes_total"] >= now["kith_sent_bytes_total"], "what is gone still counts"
        shown_three_ways(b, mine.seen[0]["metrics"], after)


def topics_are_counted():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b):
        kith(b, "dial", up.addr)
        eventually(lambda: value(metrics(a), "kith_gossip_mesh_peers", topic="quantra-default") == 1, "a mesh of two")
        assert value(metrics(a), "kith_gossip_topic_peers", topic="quantra-default") == 1
        kith(b, "message", "--topic", "quantra-default", "--content", "x")
        up.event("topic_message")
        now, there = metrics(b), metrics(a)
        assert value(now, "kith_gossip_messages_total", what="published") == 1, now
        assert value(there, "kith_gossip_messages_total", what="delivered") == 1, there
        assert value(there, "kith_topic_messages_total", what="taken") == 1, there
        assert value(there, "kith_gossip_control_total", kind="graft") + value(now, "kith_gossip_control_total", kind="graft") > 0
        assert there["kith_gossip_peers"] == there["kith_gossip_topics"] == 1, there


def the_dht_is_counted():
    net = ("--dht.protocol", "/test/kad/1.0.0")
    with homes("a", "b") as (a, b), Up(a, *net, dht="server") as up, Up(b, *net, "--bootstrap", up.addr, dht="server"):
        for home in (a, b):
            eventually(lambda h=home: metrics(h).get("kith_dht_peers") == 1, "each in the other's table")
        kith(b, "dht", "provide", "chess-club")
        eventually(lambda: value(metrics(a), "kith_dht_records", kind="provider") == 1, "the record is there")
        now, there = metrics(b), metrics(a)
        assert now["kith_dht_server"] == 1 and now["kith_dht_provided_keys"] == 1, now
        assert value(now, "kith_dht_requests_total", outcome="answered") > 0, now
        assert value(there, "kith_dht_served_requests_total", outcome="answered") > 0, there


def ask(at, method="GET", path="/metrics", **headers):
    c = http.client.HTTPConnection(at, timeout=30)
    c.request(method, path, headers=headers)
    r = c.getresponse()
    return r.status, r.getheader("Content-Type"), r.read().decode()


def shown_three_ways(home, at, values):
    status, kind, text = ask(at)
    assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), (status, kind)
    assert ask(at, Host="attacker.example:80")[0] == 421
    assert ask(at, method="POST")[0] == 405 and ask(at, path="/")[0] == 404
    printed = kith(home, "status", "--metrics").out
    families = re.findall(r"^# (?:TYPE|HELP) .*", text, re.M)
    assert families == re.findall(r"^# (?:TYPE|HELP) .*", printed, re.M), "the same over HTTP and the control socket"
    assert text.endswith("# EOF\n") and printed.endswith("# EOF\n"), text[-100:]
    told = {row[0]: row for row in table()}
    assert set(values) <= set(told), set(values) - set(told)
    assert len(families) == 2 * len(values), "the same as JSON"


def a_foreign_parser_takes_them():
    with homes("a", "b") as (a, b), Up(a) as up, Up(b):
        kith(b, "dial", up.addr)
        families = parsed(kith(b, "status", "--metrics").out)
    known = {re.sub("_(total|info)$", "", row[0]): row for row in table()}
    assert len(families) > 20, families
    for name, kind, unit, text, samples in families:
        wanted = known[name]
        assert (kind, unit, text) == (wanted[1].lower().replace("_", ""), wanted[2], wanted[3]), (name, kind, unit, text)
        assert samples or name in ("kith_failed_dials", "kith_refused_connections"), name
        for _, labels, _ in samples:
            assert not any("12D3KooW" in v for v in labels.values()), "no series of a peer"


def only_loopback_is_listened_on():
    with homes("a") as a:
        kith(a, "up", "--metrics", "0.0.0.0:9464", code=2, err="loopback")
        kith(a, "up", "--metrics", "9464", code=2, err="write it like 127.0.0.1:9464")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            at = "127.0.0.1:%d" % taken.getsockname()[1]
            kith(a, "up", "--listen", "/ip4/127.0.0.1/tcp/0", "--metrics", at, code=7, err="in use")
        with Up(a) as up:
            assert "metrics" not in up.seen[0], "nobody asked for it"
        kith(a, "status", "--metrics", code=8, err="kith up")


def the_guide_lists_them():
    guide = (ROOT / "docs/guide/status.md").read_text()
    wanted = [f"| `{name}` | {kind.lower().replace('_', ' ')} | {text.replace('|', chr(92) + '|')} |" for name, kind, _, text in table()]
    have = re.findall(r"^\| `kith_.*", guide, re.M)
    assert have == wanted, "docs/guide/status.md should list:\n" + "\n".join(wanted)


run(they_count_what_has_happened, topics_are_counted, the_dht_is_counted, a_foreign_parser_takes_them, only_loopback_is_listened_on, the_guide_lists_them)
