#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Help, manual pages, completion, suggestions and the documentation: all say what the command table says."""
import pathlib
import re
import shutil
import subprocess

from kith_cli import homes, kith, run

ROOT = pathlib.Path(__file__).parents[2]


def commands(home):
    out = kith(home, "help").out
    return re.findall(r"^  (\S+) +\S", out, re.M)


def options_of(home, command):
    return set(re.findall(r"--[a-z][a-z._-]*", kith(home, "help", command).out.split("\nexamples:")[0]))


def every_command_explains_itself():
    with homes("a") as a:
        names = commands(a)
        assert {"up", "status", "peers", "id", "dial", "ping", "perf", "pipe", "stop", "config", "help"} <= set(names), names
        for c in names:
            text = kith(a, "help", c).out
            assert text == kith(a, c, "--help").out, c
            assert text.startswith(f"kith {c}: ") and f"usage: kith {c}" in text, text
            for line in re.findall(rf"^  kith {c}\b.*", text.split("\nexamples:")[-1], re.M):
                for option in re.findall(r"\s(--[a-z][a-z.-]*)", line.split(" -- ")[0]):
                    known = options_of(a, c) | {"--" + k.replace("_", "-") for k in keys(a)}
                    assert option in known, (line, option)
        assert kith(a, "help").out == kith(a, "--help").out == kith(a, "-h").out
        kith(a, code=2, out="usage: kith COMMAND")
        assert not list(a.parent.glob("a/*")), "help must not make an identity"


def keys(home):
    return list(kith(home, "config", "--json").json())


def manual_pages_are_roff():
    with homes("a") as a:
        for c in [None, *commands(a)]:
            page = kith(a, "man", *([c] if c else [])).out
            assert page.startswith(".TH KITH"), page[:50]
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION"):
                assert f".SH {section}\n" in page, (c, section)
            if shutil.which("groff"):
                p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, text=True, capture_output=True)
                assert p.returncode == 0 and not p.stderr, p.stderr
        kith(a, "man", "nothing", code=2)


def completion_knows_every_word():
    with homes("a") as a:
        for shell in ("bash", "zsh", "fish"):
            script = kith(a, "completion", shell).out
            for c in commands(a):
                assert re.search(rf"\b{c}\b", script), (shell, c)
            binary = shutil.which(shell)
            if binary:
                subprocess.run([binary, "-n"], input=script, text=True, check=True)
        bash = kith(a, "completion", "bash").out
        probe = bash + '\nCOMP_WORDS=(kith pi); COMP_CWORD=1; _kith; echo "${COMPREPLY[@]}"\n' \
                       'COMP_WORDS=(kith ping --co); COMP_CWORD=2; _kith; echo "${COMPREPLY[@]}"'
        out = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True).stdout.split("\n")
        assert "ping" in out[0] and "pipe" in out[0] and "--count" in out[1], out
        kith(a, "completion", "tcsh", code=2, err="none of bash, zsh, fish")


def mistakes_get_a_suggestion():
    with homes("a") as a:
        kith(a, "pnig", code=2, err="did you mean 'kith ping'?")
        kith(a, "zzzzzz", code=2, err="'kith help' lists them")
        kith(a, "ping", "--cuont", 3, "x", code=2, err="did you mean '--count'?")
        kith(a, "up", "--limits.cons", 3, code=2, err="did you mean '--limits.conns'?")
        kith(a, "ping", code=2, err="usage: kith ping")
        kith(a, "dial", "a", "b", code=2, err="usage: kith dial")
        kith(a, "ping", "x", "--count", code=2, err="needs a value")
        kith(a, "ping", "x", "-c", "many", code=2, err="--count: 'many' is not a number")
        kith(a, "status", "--json=yes", code=2, err="takes no value")
        kith(a, "get", "-yo", code=2, err="--output needs a value")
        kith(a, "get", "-yyo", "x", code=2, err="--yes was given twice")
        kith(a, "get", "-yz", "x", code=2, err="unknown option '-yz'")
        for together in (["-yo", a.parent / "x"], [f"-yo{a.parent / 'x'}"], [f"-o{a.parent / 'x'}", "-y"]):
            kith(a, "get", *together, "no-code", code=2, err="no code")
        kith(a, "version", out="kith ")
        assert kith(a, "--version").out == kith(a, "version").out


def documents_name_what_there_is():
    with homes("a") as a:
        config = (ROOT / "docs/guide/config.md").read_text()
        for k, v in kith(a, "config", "--json").json().items():
            shown = "kith/VERSION" if k == "agent" else v
            row = f"| `{k}` | `{shown}` |" if v else f"| `{k}` |  |"
            assert row in config, f"docs/guide/config.md lacks {row}"
        for k in re.findall(r"^\| `([a-z_.]+)` \|", config, re.M):
            assert k in keys(a), f"docs/guide/config.md has {k}, which does not exist"
        header = (ROOT / "src/cmd/cmd.h").read_text()
        codes = (ROOT / "docs/guide/exit-codes.md").read_text()
        for name, value in re.findall(r"EXIT_(\w+) = (\d+)", header):
            assert re.search(rf"^\| +{value} \| {name.lower().replace('_', ' ')} ", codes, re.M), (name, value)
        methods = re.findall(r'\{"(\w+)", run_', (ROOT / "src/host/service.c").read_text())
        control = (ROOT / "docs/protocols/control.md").read_text()
        assert methods
        for m in methods:
            assert f"`{m}`" in control, f"docs/protocols/control.md lacks {m}"


run(every_command_explains_itself, manual_pages_are_roff, completion_knows_every_word, mistakes_get_a_suggestion,
    documents_name_what_there_is)
