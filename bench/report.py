#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/run measured, as tables, as a chart and as the section of the README. README.md says how to read them.

usage: bench/report.py RESULTS.json        writes all of it anew from an earlier run
"""
import json
import pathlib
import re
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
FRONT = HERE.parent / "README.md"
BEGIN, END = "<!-- measured: bench/run writes from here -->\n", "<!-- to here -->\n"
LABEL = {"bound tcp": "bare TCP", "bound aead": "TCP + AEAD", "bound chacha": "TCP + ChaCha20", "kith": "kith", "kith resumed": "kith, resumed", "kith strangers": "kith, hybrid, strangers",
         "kith hybrid": "kith, hybrid", "kith classical": "kith, classical",
         "rust": "rust-libp2p", "go": "go-libp2p", "js": "js-libp2p"}
PEERS = ("rust", "go", "js")


def mid(d, key):
    v = d.get(key)
    return v["median"] if isinstance(v, dict) else v


def num(d, key, digits=2):
    """A cell with the value, and one with its range."""
    v = d.get(key)
    if isinstance(v, dict):
        return [f"{v['median']:.{digits}f}", f"{v['min']:.{digits}f}-{v['max']:.{digits}f}"]
    return ["" if v is None else f"{v:.{digits}f}", ""]


def ratio(a, b):
    return f"{a / b:.2f}" if a and b else ""


def table(head, rows):
    """Markdown, aligned so that it reads well as text too."""
    rows = [[str(c) for c in r] for r in [head, *rows]]
    width = [max(len(r[i]) for r in rows) for i in range(len(head))]
    out = []
    for k, r in enumerate(rows):
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))]
        out.append("| " + " | ".join(cells) + " |")
        if k == 0:
            out.append("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|")
    return out


class Report:
    def __init__(self, doc):
        self.doc, self.r, self.o = doc, doc["results"], doc["options"]

    def of(self, job, name, key):
        return mid(self.r.get(job, {}).get(name, {}), key)

    def better(self, job, name, key, more=True):
        """How many times better kith is: of a rate kith/other, of a cost other/kith. Empty for kith and the bounds. In handshakes it is the
        hybrid: nobody else has post-quantum identities."""
        if name not in PEERS:
            return ""
        kith, other = self.of(job, "kith hybrid" if job == "handshakes" else "kith", key), self.of(job, name, key)
        return ratio(kith, other) if more else ratio(other, kith)

    def section(self, job, title, head, row):
        if job not in self.r:
            return []
        rows, absent = [], dict(self.doc["missing"])
        for name, d in self.r[job].items():
            if "reason" in d:
                absent[name] = d["reason"]
            if len(d) > ("reason" in d):
                rows.append([name, *row(name, d)])
        out = ["", f"### {title}", ""]
        if rows:
            out += table(["", *head], rows)
        if absent:
            out += [""] * bool(rows) + [f"not measured: {name}: {reason}  " for name, reason in absent.items()]
        return out

    # -- all tables

    def lines(self):
        m, o = self.doc["machine"], self.o
        out = [f"kith {self.doc['commit']}, {self.doc['date']}; {m['cores']} x {m['cpu']}, {m['system']}; load average "
               f"{m['load_before'][0]:.1f} before, {m['load_after'][0]:.1f} after; {self.doc.get('minutes', 0):.0f} minutes",
               "", "*kith is x* in each table: how many times better kith is; of a rate kith / other, of a cost other / kith.", ""]
        for name, v in self.doc["versions"].items():
            out.append(f"- {name}: " + ", ".join(f"{k} {x}" for k, x in v.items() if k != "implementation"))
        out += self.targets()

        def bulk(name, d):
            cells = []
            for way in ("up", "down"):
                key = f"{way}_gbit"
                cells += [*num(d, key), ratio(mid(d, key), self.of("bulk", "bound aead", key)), self.better("bulk", name, key)]
            return [*cells, num(d, "down_listener_cpu_per_gib")[0], num(d, "up_listener_cpu_per_gib")[0],
                    f"{max(mid(d, w + '_others_cores') or 0 for w in ('up', 'down')):.1f}"]

        out += self.section("bulk", f"Bulk over one stream, Gbit/s ({o['size']} MiB, js {o['js_size']} MiB; median of {o['rounds']})",
                            ["up", "min-max", "of AEAD", "kith is x", "down", "min-max", "of AEAD", "kith is x",
                             "s/GiB sending", "s/GiB receiving", "others"], bulk)
        out += self.section("firstbyte", "Connect and first byte of an answer, ms, and round trips from SYN on",
                            ["loopback", "min-max", "kith is x", f"{o['delay']} ms RTT", "min-max", "kith is x", "round trips"],
                            lambda n, d: [*num(d, "near_ms"), self.better("firstbyte", n, "near_ms", False), *num(d, "far_ms", 1),
                                          self.better("firstbyte", n, "far_ms", False), num(d, "round_trips", 1)[0]])

        def long(name, d):
            cells = []
            for key in ("up_gbit", "down_gbit"):
                cells += [*num(d, key), self.better("long", name, key)]
            return cells

        out += self.section("long", f"Bulk over one stream with {o['delay']} ms RTT, Gbit/s "
                            f"({o['size'] // 4} MiB, js {o['js_size'] // 4} MiB)",
                            ["up", "min-max", "kith is x", "down", "min-max", "kith is x"], long)
        out += self.section("handshakes", "Handshakes, one listener, eight dialers at once",
                            ["per second", "min-max", "kith is x", "listener CPU ms", "kith is x", "dialer CPU ms", "channel"],
                            lambda n, d: [*num(d, "per_second", 0), self.better("handshakes", n, "per_second"),
                                          num(d, "listener_cpu_ms")[0], self.better("handshakes", n, "listener_cpu_ms", False),
                                          num(d, "dialer_cpu_ms")[0], d["secure_channel"]])
        out += self.section("ping", "Ping over loopback, microseconds",
                            ["p50", "min-max", "kith is x", "p99", "min-max", "kith is x"],
                            lambda n, d: [*num(d, "p50_us", 1), self.better("ping", n, "p50_us", False),
                                          *num(d, "p99_us", 1), self.better("ping", n, "p99_us", False)])
        out += self.section("memory", f"Idle connections, {o['conns']} wanted",
                            ["open", "KiB each", "kith is x", "KiB before", "KiB then"],
                            lambda n, d: [d["open"], f"{d['kib_per_conn']:.1f}", self.better("memory", n, "kib_per_conn", False),
                                          d["before_kib"], d["after_kib"]])
        out += self.section("start", "Start to listening, milliseconds", ["median", "min-max", "kith is x"],
                            lambda n, d: [*num(d, "ms", 1), self.better("start", n, "ms", False)])
        out += self.section("size", "Program, KiB", ["file", "stripped", "shared libraries", "modules", "all", "kith is x"],
                            lambda n, d: [d["file_kib"], d.get("stripped_kib", ""), d["libraries_kib"], d.get("modules_kib", ""),
                                          d["all_kib"], self.better("size", n, "all_kib", False)])
        return out

    def judged(self):
        """The budgets of docs/design.md, section 8, as rows: what, target, measured, met or not."""
        rows = []

        def hold(what, got, limit, unit, more=False):
            if got is not None:
                met = got >= limit if more else got <= limit
                rows.append([what, f"{'>=' if more else '<='} {limit:g}{unit}", f"{got:.2f}{unit}", "yes" if met else "NO"])

        def ahead(what, job, key, more, name="kith"):
            kith = self.of(job, name, key)
            others = {n: self.of(job, n, key) for n in PEERS if self.of(job, n, key)}
            if kith and others:
                best = (max if more else min)(others, key=others.get)
                rows.append([what, f"{'above' if more else 'below'} {others[best]:.4g} ({best})", f"{kith:.4g}",
                             "yes" if (kith > others[best]) == more and kith != others[best] else "NO"])

        for way in ("up", "down"):
            kith, aead = (self.of("bulk", n, f"{way}_gbit") for n in ("kith", "bound aead"))
            if kith and aead:
                hold(f"bulk {way}, of the AEAD bound", kith / aead, 0.75, "", True)
            plain, chacha = (self.of("bulk", n, f"{way}_gbit") for n in ("kith classical", "bound chacha"))
            if plain and chacha:
                hold(f"bulk {way} with ChaCha20, of its bound", plain / chacha, 0.75, "", True)
            ahead(f"bulk {way}, Gbit/s", "bulk", f"{way}_gbit", True)
        hold("round trips to the first byte, TCP's included", self.of("firstbyte", "kith", "round_trips"), 3.3, "")
        for side in ("listener", "dialer"):
            hold(f"handshake with ML-KEM-768, CPU of the {side}", self.of("handshakes", "kith hybrid", f"{side}_cpu_ms"), 1, " ms")
            if side == "listener": # the dialer makes a peer each time
                hold("and of strangers only, CPU of the listener", self.of("handshakes", "kith strangers", "listener_cpu_ms"), 1, " ms")
            hold(f"and with ML-DSA-65 identities, CPU of the {side}", self.of("handshakes", "kith", f"{side}_cpu_ms"), 3, " ms")
            hold(f"and resumed, CPU of the {side}", self.of("handshakes", "kith resumed", f"{side}_cpu_ms"), 1, " ms")
        ahead("handshakes per second with ML-KEM-768", "handshakes", "per_second", True, "kith hybrid")
        ahead("ping p99, microseconds", "ping", "p99_us", False)
        hold("idle connection", self.of("memory", "kith", "kib_per_conn"), 16, " KiB")
        ahead("idle connection, KiB", "memory", "kib_per_conn", False)
        hold("start to listening", self.of("start", "kith", "ms"), 50, " ms")
        hold("start to listening, new home", self.of("start", "kith, new home", "ms"), 50, " ms")
        return rows

    def targets(self):
        rows = self.judged()
        return ["", "### Targets", ""] + table(["", "target", "measured", "met"], rows) if rows else []

    # -- the section of the front page

    def front(self):
        m, o = self.doc["machine"], self.o
        rows = []

        def line(what, job, key, digits, others=PEERS, bound=False, name="kith"):
            def cell(name):
                v = self.of(job, name, key)
                return "" if v is None else f"{v:.{digits}f}"
            rows.append([what, f"**{cell(name)}**", cell("kith classical") if others else "", *[cell(n) if n in others else "" for n in PEERS],
                         cell("bound aead") if bound else ""])

        line("bulk up, Gbit/s", "bulk", "up_gbit", 2, bound=True)
        line("bulk down, Gbit/s", "bulk", "down_gbit", 2, bound=True)
        line(f"bulk up at {o['delay']} ms, Gbit/s", "long", "up_gbit", 2)
        line(f"bulk down at {o['delay']} ms, Gbit/s", "long", "down_gbit", 2)
        line("round trips to the first byte", "firstbyte", "round_trips", 1)
        line("handshakes per second, ML-KEM", "handshakes", "per_second", 0, name="kith hybrid")
        line("and all of them first meetings", "handshakes", "per_second", 0, others=(), name="kith strangers")
        line("and with ML-DSA identities", "handshakes", "per_second", 0, others=(), name="kith")
        if self.of("handshakes", "kith resumed", "per_second"):
            line("and resumed, ML-DSA checked before", "handshakes", "per_second", 0, others=(), name="kith resumed")
        line("ping p50, microseconds", "ping", "p50_us", 0)
        line("ping p99, microseconds", "ping", "p99_us", 0)
        line(f"KiB per idle connection, {o['conns']} of them", "memory", "kib_per_conn", 1)
        line("start to listening, ms", "start", "ms", 0)
        line("program and libraries, MiB", "size", "all_mib", 1)
        rows = [r for r in rows if r[1] != "****"]
        versions = [f"{LABEL[n]} {v['version'].lstrip('v')}" for n, v in self.doc["versions"].items() if n not in ("kith resumed", "kith hybrid", "kith strangers", "kith classical")]
        partial = [f"{LABEL[n]} ({d['open']})" for n, d in self.r.get("memory", {}).items() if 0 < d.get("open", 0) < o["conns"]]
        said = (f"{m['cores']} x {m['cpu']}, {m['system']}, {self.doc['date'][:10]}; {', '.join(versions)}. Each against itself over "
                f"loopback, medians of {o['rounds']}. kith is post-quantum (ML-KEM-768; ML-DSA-65 identities but for the row that says ML-KEM), *classical* is kith with `--pq off`, the same "
                "channel and cipher as the others'." + (f" Fewer idle connections were open at {' and '.join(partial)}." if partial else ""))
        chacha = [self.of("bulk", "bound chacha", f"{way}_gbit") for way in ("up", "down")]
        if all(chacha):
            said += (" The AEAD bound is one TCP connection under the cipher that two kith nodes have here; under ChaCha20-Poly1305, which "
                     f"classical and the others have, it is {chacha[0]:.2f} and {chacha[1]:.2f}.")
        missed = [f"{what}, {got} where the target was {target}" for what, target, got, met in self.judged() if met == "NO"]
        said += f" Missed: {'; '.join(missed)}." if missed else " All targets were met."
        return ["![kith beside rust-, go- and js-libp2p](bench/results/measured.svg)", "", *textwrap.wrap(said, 118), "",
                *table(["", "kith", "classical", *[LABEL[n] for n in PEERS], "AEAD bound"], rows)]

    # -- the chart

    def chart(self):
        """Bulk on top, below it one small panel for each of the other jobs. Colours work on light and dark pages."""
        body, wide = [], 760

        def text(x, y, s, cls="", end=False):
            anchor = ' text-anchor="end"' if end else ""
            body.append(f'<text class="{cls}" x="{x:.0f}" y="{y:.0f}"{anchor}>{s}</text>')

        def bar(x, y, w, h, kind):
            body.append(f'<rect class="{kind}" x="{x:.0f}" y="{y:.1f}" width="{max(w, 1.5):.1f}" height="{h}" rx="2"/>')

        bulk = self.r.get("bulk", {})
        names = [n for n in ("bound aead", "bound chacha", "kith", "kith classical", *PEERS) if "up_gbit" in bulk.get(n, {}) and "down_gbit" in bulk[n]]
        y = 30
        if names:
            left = 170
            top = max(mid(bulk[n], f"{w}_gbit") for n in names for w in ("up", "down"))
            text(16, 24, "Bulk over one stream, Gbit/s: upload above, download below", "t")
            y = 44
            for n in names:
                text(left - 10, y + 21, LABEL[n], "n", True)
                for way in ("up", "down"):
                    v = mid(bulk[n], f"{way}_gbit")
                    w = v / top * (wide - left - 70)
                    bar(left, y, w, 14, ("bound" if n.startswith("bound") else "kith" if n.startswith("kith") else "peer") + f" {way}")
                    text(left + w + 6, y + 11, f"{v:.1f}", "v")
                    y += 16
                y += 8
            y += 22
        panels = [("handshakes", "per_second", "Handshakes per second", "more is better; kith with ML-KEM, no ML-DSA", 0),
                  ("ping", "p99_us", "Ping p99, microseconds", "less is better", 0),
                  ("memory", "kib_per_conn", "KiB per idle connection", "less is better", 1),
                  ("firstbyte", "round_trips", "Round trips to the first byte", "less is better; TCP's included", 1)]
        panels = [p for p in panels if self.of(p[0], "kith", p[1])]
        row = 20
        for i, (job, key, title, which, digits) in enumerate(panels):
            x, py = 16 + i % 2 * (wide // 2), y + i // 2 * 150
            text(x, py, title, "t")
            text(x, py + 15, which, "v")
            ours = "kith hybrid" if job == "handshakes" else "kith"
            some = [("kith" if n == ours else n, self.of(job, n, key)) for n in (ours, *PEERS) if self.of(job, n, key)]
            room, sizes = wide // 2 - 170, sorted((v for _, v in some), reverse=True)
            top = sizes[0]
            if len(sizes) > 1 and top > 6 * sizes[1]:  # one would squeeze all others: its bar is cut
                top = 1.5 * sizes[1]
            for k, (n, v) in enumerate(some):
                w = min(v / top, 1) * room
                text(x + 80, py + 38 + k * row, LABEL[n], "n", True)
                bar(x + 88, py + 27 + k * row, w, 14, "kith" if n == "kith" else "peer")
                text(x + 88 + w + 6, py + 38 + k * row, f"{v:.{digits}f}" + (" &#8594;" if v > top else ""), "v")
        y += (len(panels) + 1) // 2 * 150 - 24
        m = self.doc["machine"]
        text(16, y, f"each against itself, both sides on {m['cores']} x {m['cpu']}; kith with ML-KEM-768; medians of "
             f"{self.o['rounds']}; {self.doc['date'][:10]}", "v")
        return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y + 14:.0f}" role="img"
 aria-label="kith beside rust-libp2p, go-libp2p and js-libp2p: bulk, handshakes, ping, memory, round trips">
<style>
text {{ font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #6e7781 }}
.t {{ font-weight: 600; font-size: 14px }} .v {{ font-size: 11px }} .n {{ font-size: 12px }}
.kith {{ fill: #2da06f }} .peer {{ fill: #8c95a0 }} .bound {{ fill: #8c95a0; opacity: .35 }} .peer.down, .kith.down {{ opacity: .7 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #9da7b1 }} }}
</style>
{chr(10).join(body)}
</svg>
"""


def write(doc, out, stem):
    """Everything that follows from the results; the front page only when out is where it points to."""
    r = Report(doc)
    text = r.lines()
    (out / f"{stem}.md").write_text("\n".join(text) + "\n")
    written = [f"{stem}.md"]
    if "bulk" in doc["results"]:
        (out / "measured.svg").write_text(r.chart())
        written.append("measured.svg")
    if out == HERE / "results" and set(doc["results"]) >= {"bulk", "firstbyte", "handshakes", "ping", "memory"}:
        page = FRONT.read_text()
        old = page[page.index(BEGIN):page.index(END)]
        new = BEGIN + "\n" + "\n".join(r.front()) + f"\n\nAll tables, with ranges and targets: [bench/results/{stem}.md](bench/results/{stem}.md).\n\n"
        FRONT.write_text(page.replace(old, new))
        written.append(FRONT.name)
    return text, written


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1]).resolve()
    doc = json.loads(path.read_text())
    text, written = write(doc, path.parent, re.sub(r"\.json$", "", path.name))
    print("\n".join(text))
    print(f"\nwritten: {', '.join(written)}", file=sys.stderr)


if __name__ == "__main__":
    main()
