# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/share measured, as tables and as a chart."""
import report

TITLES = {"file": "One random file of {mib:.0f} MiB", "small": "{files:,} files of 4 KiB",
          "tree": "A tree of sources: {files:,} files, {mib:.0f} MiB", "eight": "{receivers} receivers of one sharer, {mib:.0f} MiB each"}
FLOOR = "tar over ssh"


def mid(entry, key):
    return entry.get(key, {}).get("median")


class Table:
    def __init__(self, doc):
        self.doc, self.r = doc, doc["results"]

    def title(self, key):
        job, place = key.rsplit(" ", 1)
        d = self.doc["data"][job]
        where = "tmpfs" if place == "tmpfs" else f"disk ({self.doc['places'][place]})"
        return TITLES[job].format(mib=d["bytes"] / (1 << 20), files=d["files"], receivers=d["receivers"]) + f", {where}"

    def lines(self):
        m = self.doc["machine"]
        out = [f"kith {self.doc['commit']}, {self.doc['date']}; {m['cores']} x {m['cpu']}, {m['memory_mib']} MiB, {m['system']}; "
               f"load average {m['load_before'][0]:.1f} before, {m['load_after'][0]:.1f} after; {self.doc['minutes']:.0f} minutes", "",
               "Both sides on 127.0.0.1, hashing and writing counted, content compared afterwards, compression off where it can be. "
               "*kith is x*: time of the other / time of kith. CPU in seconds. Peaks in MiB: the sum over all processes of a side of the "
               "most each ever held; of several receivers, the largest. [bench/README.md](../README.md) says more.", ""]
        for name, version in self.doc["versions"].items():
            n = self.doc["notes"][name]
            out.append(f"- {name} {version}" + (f": {n['note']}" if n["note"] else "") + f". Several receivers: {n['several']}")
        out += [f"- {name}: not measured: {why}" for name, why in self.doc["missing"].items()]
        out += self.targets()
        for key in self.r:
            out += self.section(key)
        return out

    def section(self, key):
        kith = mid(self.r[key].get("kith", {}), "seconds")
        disk = key.endswith(" disk")
        rows, absent = [], []
        for name, e in self.r[key].items():
            if "reason" in e:
                absent.append(f"not measured: {name}: {e['reason']}  ")
            if "seconds" not in e:
                continue
            s = e["seconds"]
            row = [name, f"{s['median']:.2f}", f"{s['min']:.2f}-{s['max']:.2f}", len(s["samples"]), f"{mid(e, 'mb_per_s'):.0f}",
                   "" if name == "kith" or not kith else f"{s['median'] / kith:.2f}"]
            if disk:
                row.append(f"{mid(e, 'durable_seconds'):.2f}")
            costs = (("sender_cpu", 2), ("receiver_cpu", 2), ("sender_mib", 0), ("receiver_mib", 0), ("others", 1))
            row += [f"{mid(e, cost):.{digits}f}" for cost, digits in costs]
            rows.append(row)
        rows.sort(key=lambda r: float(r[1]))
        head = ["", "s", "min-max", "runs", "MB/s", "kith is x", *(["s until synced"] if disk else []), "CPU sender", "CPU receiver",
                "peak sender", "peak receiver", "others"]
        return ["", f"### {self.title(key)}", "", *(report.table(head, rows) if rows else []), *([""] if rows and absent else []), *absent]

    def judged(self):
        """What issue and design ask for: rows of what, target, measured, met or not."""
        rows = []
        for key, all_of_them in self.r.items():
            kith = all_of_them.get("kith", {})
            if "seconds" not in kith:
                continue
            job, title, mine = key.split(" ")[0], self.title(key), mid(kith, "seconds")
            others = {n: mid(e, "seconds") for n, e in all_of_them.items() if n != "kith" and "seconds" in e}
            if job in ("small", "tree") and FLOOR in others:
                rows.append([title, f"<= 1.2 x {FLOOR}", f"{mine / others[FLOOR]:.2f} x", mine <= 1.2 * others[FLOOR]])
            others = {n: s for n, s in others.items() if n != FLOOR or job in ("file", "eight")}
            if others:
                best = min(others, key=others.get)
                rows.append([title, f"first, before {best} ({others[best]:.2f} s)", f"{mine:.2f} s", mine < others[best]])
                if job == "file":
                    rate = mid(kith, "mb_per_s")
                    rows.append([title, f">= 450 MB/s or 1.3 x {best}", f"{rate:.0f} MB/s, {others[best] / mine:.2f} x",
                                 rate >= 450 or others[best] >= 1.3 * mine])
            peak = max(mid(kith, "sender_mib"), mid(kith, "receiver_mib"))
            rows.append([title, "<= 64 MiB each side", f"{peak:.0f} MiB", peak <= 64])
        return [[*r[:3], "yes" if r[3] else "NO"] for r in rows]

    def targets(self):
        rows = self.judged()
        return ["", "### Targets", "", *report.table(["", "target", "measured", "met"], rows)] if rows else []

    def chart(self):
        """A small panel for each job: seconds, less is better. Colours work on light and dark pages."""
        body, wide, row = [], 860, 18

        def text(x, y, s, cls, end=False):
            body.append(f'<text class="{cls}" x="{x:.0f}" y="{y:.0f}"' + (' text-anchor="end"' if end else "") + f">{s}</text>")

        panels = [(k, sorted(((mid(e, "seconds"), n) for n, e in v.items() if "seconds" in e))) for k, v in self.r.items()]
        panels = [p for p in panels if p[1]]
        tall = 44 + row * max((len(p[1]) for p in panels), default=0)
        for i, (key, some) in enumerate(panels):
            x, y = 16 + i % 2 * (wide // 2), 24 + i // 2 * tall
            text(x, y, self.title(key), "t")
            room, top = wide // 2 - 180, some[len(some) // 2][0] * 2
            for k, (v, name) in enumerate(some):
                w = max(1.5, min(v / top, 1) * room)
                text(x + 100, y + 22 + k * row, name, "n", True)
                kind = "kith" if name == "kith" else "peer"
                body.append(f'<rect class="{kind}" x="{x + 108}" y="{y + 12 + k * row}" width="{w:.1f}" height="12" rx="2"/>')
                text(x + 114 + w, y + 22 + k * row, f"{v:.2f}" + (" &#8594;" if v > top else ""), "v")
        y = 24 + (len(panels) + 1) // 2 * tall
        m = self.doc["machine"]
        text(16, y, f"seconds, less is better; both sides on {m['cores']} x {m['cpu']}; medians; {self.doc['date'][:10]}", "v")
        return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y + 14}" role="img"
 aria-label="kith share beside others: seconds">
<style>
text {{ font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #6e7781 }}
.t {{ font-weight: 600; font-size: 13px }} .v {{ font-size: 11px }}
.kith {{ fill: #2da06f }} .peer {{ fill: #8c95a0 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #9da7b1 }} }}
</style>
{chr(10).join(body)}
</svg>
"""


def write(doc, out, stem):
    t = Table(doc)
    text = t.lines()
    (out / f"{stem}.md").write_text("\n".join(text) + "\n")
    (out / f"{stem}.svg").write_text(t.chart())
    return text
