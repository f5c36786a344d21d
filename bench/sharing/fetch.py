# SPDX-License-Identifier: MIT OR Apache-2.0
"""Has the peers: from the system where they are installed, else from packages, unpacked or built in the per-user cache. Nothing is
installed on the system, and no service is started."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from .sides import NotMeasured

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kith/bench-share"
SENDME = "0.37.1"


def run(what, argv, limit=600, **kw):
    try:
        got = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", timeout=limit, **kw)
    except FileNotFoundError:
        raise NotMeasured(f"{what}: {argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{what}: not done within {limit} s") from None
    if got.returncode != 0:
        lines = [line.strip() for line in got.stdout.splitlines() if line.strip()]
        raise NotMeasured(f"{what}: {lines[-1][:200] if lines else 'no message'}")
    return got.stdout


def say(text):
    print(text, file=sys.stderr, flush=True)


def named(name, files=(), more=""):
    """A folder of the cache, named after what decides on its content."""
    d = hashlib.sha256(more.encode())
    for f in files:
        d.update((HERE / name / f).read_bytes())
    folder = CACHE / f"{name}-{d.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for f in files:
        shutil.copyfile(HERE / name / f, folder / f)
    return folder


def program(name, packages):
    """(path, environment) of a program of the system, or of Debian packages unpacked in the cache."""
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin"):
        if os.access(f"{folder}/{name}", os.X_OK):
            return pathlib.Path(folder) / name, {}
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotMeasured(f"{name} is not installed; its package is {packages[0]}")
    folder = named(name, more=" ".join(packages))
    root = folder / "root"
    if not (folder / ".complete").exists():
        say(f"fetching {' '.join(packages)}")
        debs = folder / "debs"
        debs.mkdir(exist_ok=True)
        run(f"fetching {packages[0]} (or install it)", ["apt-get", "download", *packages], cwd=debs)
        for deb in debs.glob("*.deb"):
            run(f"unpacking {deb.name}", ["dpkg-deb", "-x", deb, root])
        shutil.rmtree(debs)
        (folder / ".complete").touch()
    found = [p for p in root.rglob(name) if p.is_file() and "bin" in p.parent.name]
    if not found:
        raise NotMeasured(f"the packages {' '.join(packages)} brought no {name}")
    libs = sorted({str(p.parent) for p in root.rglob("lib*.so.*")})
    return found[0], {"LD_LIBRARY_PATH": ":".join(libs)} if libs else {}


def go(name, package, *flags):
    """A Go program, at the versions of NAME/go.mod."""
    folder = named(name, ["go.mod", "go.sum"], package)
    binary = folder / name
    if not binary.exists():
        say(f"building {name}")
        run("fetching its modules", ["go", "mod", "download"], cwd=folder)
        run("building", ["go", "build", "-p", "1", "-trimpath", *flags, "-o", f"{name}.new", package], 3000, cwd=folder)
        os.rename(folder / f"{name}.new", binary)
    return binary


def sendme():
    folder = named("sendme", more=SENDME)
    binary = folder / "bin/sendme"
    if not binary.exists():
        say("building sendme")
        # Without its default features, of which clipboard is the only one.
        run("building", ["cargo", "install", "sendme", "--version", SENDME, "--locked", "--no-default-features", "-j", "1",
                         "--root", folder, "--target-dir", folder / "target"], 3000)
        shutil.rmtree(folder / "target", ignore_errors=True)
    return binary


def wormhole():
    """The folder with wormhole and twist."""
    folder = named("wormhole", ["requirements.txt"])
    if not (folder / ".complete").exists():
        say("fetching magic-wormhole")
        run("making a virtual environment", [sys.executable, "-m", "venv", "venv"], cwd=folder)
        run("fetching its packages", ["venv/bin/pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"], cwd=folder)
        (folder / ".complete").touch()
    return folder / "venv/bin"
