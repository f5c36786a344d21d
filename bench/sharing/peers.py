# SPDX-License-Identifier: MIT OR Apache-2.0
"""How each program is run for one transfer. transfer() sets up what its user has running already, calls run.begin(), gives the
commands that a person would, and calls run.finish() when the last receiver has everything in place. It returns what each receiver
got, to be compared."""
import contextlib
import getpass
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import time

from . import fetch
from .sides import NotMeasured

CIPHER = "aes128-gcm@openssh.com"  # the fastest that OpenSSH has on such machines; its default is slower


def free_ports(count=1):
    """The first of so many free ports in a row."""
    for _ in range(200):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            for i in range(1, count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + i))
            return port
    raise NotMeasured(f"no {count} free ports in a row")


def listening(process, port, limit):
    until = time.monotonic() + limit
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if not os.path.exists(f"/proc/{process.pid}") or process.p.poll() is not None:
            break
        time.sleep(0.02)
    raise NotMeasured(f"{process.name} does not listen: {process.said()}")


def first_line(argv, env=None):
    said = fetch.run(f"asking {pathlib.Path(str(argv[0])).name} for its version", argv, 60, env={**os.environ, **(env or {})})
    return said.strip().splitlines()[0].strip() if said.strip() else "?"


class Peer:
    name = "?"
    many = "one after the other"  # how it serves several receivers
    note = ""
    jobs = ("file", "small", "tree", "eight")

    def prepare(self, tmp):
        """Has what it takes; sets version."""


class Kith(Peer):
    name, many = "kith", "at once"

    def __init__(self, binary):
        self.binary = binary

    def prepare(self, tmp):
        if not self.binary.exists():
            raise NotMeasured("it is not built")
        said = fetch.run("asking for its version", [self.binary, "--version"], 60).splitlines()
        self.version = f"{said[0].split()[-1]}, {said[1]}"
        self.homes = tmp / "kith"
        for who in ("sharer", *range(8)):  # identities are made before, as everybody else's keys are
            fetch.run("making an identity", [self.binary, "id"], 60, env={**os.environ, "KITH_HOME": str(self.homes / str(who))})

    def transfer(self, run):
        listen = ["--listen", "/ip4/127.0.0.1/tcp/0"]
        run.begin()
        sharer = run.sender.start([self.binary, "share", run.source, "--ticket", "--times", len(run.receivers), "--json", *listen],
                                  {"KITH_HOME": str(self.homes / "sharer")})
        m = sharer.expect(r'"ticket":\s*"([^"]+)"', run.limit)
        getters = [side.start([self.binary, "get", m[1], "-y", "-o", run.dest(i), *listen], {"KITH_HOME": str(self.homes / str(i))})
                   for i, side in enumerate(run.receivers)]
        for g in getters:
            g.succeed(run.left())
        run.finish()
        sharer.succeed(30)
        return [run.dest(i) / run.source.name for i in range(len(getters))]


class Ssh(Peer):
    """scp, rsync and tar through an sshd of our own. One receiver: the sender pushes. Several: they pull, at once."""
    many = "at once, pulling"
    keys = None

    def prepare(self, tmp):
        for name in ("ssh", "ssh-keygen"):
            if not shutil.which(name):
                raise NotMeasured(f"{name} is not installed")
        self.sshd, self.env = fetch.program("sshd", ["openssh-server", "libwrap0"])
        Ssh.keys = tmp / "ssh"
        if not Ssh.keys.exists():
            Ssh.keys.mkdir(mode=0o700)
            for key in ("host", "user"):
                fetch.run("making a key", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", Ssh.keys / key])
        self.version = first_line(["ssh", "-V"]) + f", {CIPHER}"
        self.options = ["-F", "/dev/null", "-i", Ssh.keys / "user", "-c", CIPHER]
        for o in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "BatchMode=yes", "LogLevel=ERROR",
                  "Compression=no"):
            self.options += ["-o", o]
        self.host = f"{getpass.getuser()}@127.0.0.1"

    def serve(self, side):
        port = free_ports()
        config = Ssh.keys / "sshd_config"
        config.write_text(f"""Port {port}
ListenAddress 127.0.0.1
HostKey {Ssh.keys}/host
AuthorizedKeysFile {Ssh.keys}/user.pub
Subsystem sftp internal-sftp
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Compression no
LogLevel ERROR
""")
        argv = [self.sshd, "-D", "-e", "-f", config]
        if os.geteuid() == 0:
            argv = self.as_root(argv)
        listening(side.start(argv, self.env), port, 10)
        return port

    def as_root(self, argv):
        """sshd run by root wants a user "sshd" and an empty /run/sshd. Where no package has made them, it gets them in a mount
        namespace."""
        users = pathlib.Path("/etc/passwd").read_text()
        if re.search(r"^sshd:", users, re.M) and os.path.isdir("/run/sshd"):
            return argv
        if not re.search(r"^sshd:", users, re.M):
            users += "sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n"
        (Ssh.keys / "passwd").write_text(users)
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && '
                'exec "$@"', Ssh.keys / "passwd", *argv]

    def transfer(self, run):
        one = len(run.receivers) == 1
        port = self.serve(run.receivers[0] if one else run.sender)
        run.begin()
        if one:
            going = [run.sender.start(self.push(port, run.source, run.dest(0)))]
        else:
            going = [side.start(self.pull(port, run.source, run.dest(i))) for i, side in enumerate(run.receivers)]
        for p in going:
            p.succeed(run.left())
        run.finish()
        return [run.dest(i) / run.source.name for i in range(len(run.receivers))]


class Scp(Ssh):
    name = "scp"

    def prepare(self, tmp):
        super().prepare(tmp)
        if not shutil.which("scp"):
            raise NotMeasured("scp is not installed")

    def push(self, port, source, dest):
        return ["scp", "-q", "-r", "-P", port, *self.options, source, f"{self.host}:{dest}/"]

    def pull(self, port, source, dest):
        return ["scp", "-q", "-r", "-P", port, *self.options, f"{self.host}:{source}", f"{dest}/"]


class Rsync(Ssh):
    name = "rsync over ssh"

    def prepare(self, tmp):
        super().prepare(tmp)
        self.rsync, self.rsync_env = fetch.program("rsync", ["rsync", "libpopt0"])
        self.version = re.sub(r"\s+", " ", first_line([self.rsync, "--version"], self.rsync_env)).split(" protocol")[0]

    def argv(self, port, *paths):
        env = [f"{k}={v}" for k, v in self.rsync_env.items()]
        ssh = " ".join(str(x) for x in ("ssh", "-p", port, *self.options))
        # Whole files, which is what it comes to where there is nothing yet.
        return ["env", *env, self.rsync, "-a", "-W", "--rsync-path", " ".join(["env", *env, str(self.rsync)]), "-e", ssh, *paths]

    def push(self, port, source, dest):
        return self.argv(port, source, f"{self.host}:{dest}/")

    def pull(self, port, source, dest):
        return self.argv(port, f"{self.host}:{source}", f"{dest}/")


class Tar(Ssh):
    name = "tar over ssh"

    def prepare(self, tmp):
        super().prepare(tmp)
        self.version = first_line(["tar", "--version"])

    def push(self, port, source, dest):
        script = 'source=$1 name=$2 dest=$3; shift 3; tar -C "$source" -cf - "$name" | ssh "$@" "tar -C $dest -xf -"'
        return ["bash", "-c", f"set -o pipefail; {script}", "tar", source.parent, source.name, dest, "-p", port, *self.options, self.host]

    def pull(self, port, source, dest):
        script = 'source=$1 name=$2 dest=$3; shift 3; ssh "$@" "tar -C $source -cf - $name" | tar -C "$dest" -xf -'
        return ["bash", "-c", f"set -o pipefail; {script}", "tar", source.parent, source.name, dest, "-p", port, *self.options, self.host]


class Wormhole(Peer):
    name = "magic-wormhole"
    note = "through its own mailbox server; the data goes directly; folders become an uncompressed ZIP on the way"

    def prepare(self, tmp):
        self.bin = fetch.wormhole()
        self.version = first_line([self.bin / "wormhole", "--version"]).split()[-1]

    def transfer(self, run):
        port, nobody = free_ports(), free_ports()
        mailbox = run.helper().start([self.bin / "twist", "wormhole-mailbox", "--port", f"tcp:{port}:interface=127.0.0.1", "--channel-db",
                                      run.home / "mailbox.sqlite"], cwd=run.home)
        listening(mailbox, port, 30)
        common = [self.bin / "wormhole", "--relay-url", f"ws://127.0.0.1:{port}/v1", "--transit-helper", f"tcp:127.0.0.1:{nobody}"]
        env = {"PYTHONUNBUFFERED": "1", "HOME": str(run.home)}
        run.begin()
        for i, side in enumerate(run.receivers):
            code = f"{101 + i}-bench-test"
            sender = run.sender.start([*common, "send", "--hide-progress", "--code", code, run.source], env)
            sender.expect("wormhole receive", run.left())
            side.start([*common, "receive", "--hide-progress", "--accept-file", "-o", run.dest(i) / run.source.name, code],
                       env).succeed(run.left())
            if i + 1 < len(run.receivers):
                sender.succeed(30)
        run.finish()
        sender.succeed(30)
        return [run.dest(i) / run.source.name for i in range(len(run.receivers))]


class Croc(Peer):
    name = "croc"
    note = "direct: the receiver dials the sender"

    def __init__(self, relayed=False):
        self.relayed = relayed
        if relayed:
            self.name, self.note = "croc, own relay", "through a croc relay of its own on this machine, whose CPU time is in neither side"
            self.jobs = ("file", "small")  # the others take it minutes, and would tell nothing new

    def prepare(self, tmp):
        self.binary = fetch.go("croc", "github.com/schollz/croc/v10")
        self.version = first_line([self.binary, "--version"]).split()[-1]

    def transfer(self, run):
        port = free_ports(5)
        if self.relayed:
            ports = ",".join(str(port + i) for i in range(5))
            relay = run.helper().start([self.binary, "relay", "--host", "127.0.0.1", "--ports", ports], {"HOME": str(run.home)})
            for i in range(5):
                listening(relay, port + i, 10)
        common = [self.binary, "--no-compress", "--disable-clipboard", "--ignore-stdin", "--yes", "--overwrite"]
        run.begin()
        for i, side in enumerate(run.receivers):
            if i > 0 and not self.relayed:
                port = free_ports(5)
            env = {"CROC_SECRET": f"{1001 + i}-bench-aaaa-bbbb", "HOME": str(run.home)}
            if self.relayed:
                sender = run.sender.start([*common, "--relay", f"127.0.0.1:{port}", "send", "--no-local", run.source], env)
                where = ["--relay", f"127.0.0.1:{port}"]
            else:
                sender = run.sender.start([*common, "--local", "send", "--port", port, run.source], env)
                where = ["--ip", f"127.0.0.1:{port}"]
            sender.expect("(?i)croc .*[0-9]-bench|CROC_SECRET|code is", run.left())
            if not self.relayed:
                listening(sender, port, 10)
            side.start([*common, *where, "--out", run.dest(i)], env).succeed(run.left())
            if i + 1 < len(run.receivers):
                sender.wait(30)
        run.finish()
        sender.wait(30)
        return [run.dest(i) / run.source.name for i in range(len(run.receivers))]


class Sendme(Peer):
    name, many = "sendme", "at once"
    note = "no relay, no lookup"

    def prepare(self, tmp):
        self.binary = fetch.sendme()
        self.version = first_line([self.binary, "--version"]).split()[-1]

    def transfer(self, run):
        common = ["--relay", "disabled", "--magic-ipv4-addr", "127.0.0.1:0"]
        run.begin()
        sender = run.sender.start([self.binary, "send", *common, run.source], cwd=run.home)
        ticket = sender.expect(r"sendme receive (\S+)", run.limit)[1]
        receive = [self.binary, "receive", "--relay", "disabled", ticket]
        getters = [side.start(receive, cwd=run.dest(i)) for i, side in enumerate(run.receivers)]
        for g in getters:
            g.succeed(run.left())
        run.finish()
        return [run.dest(i) / run.source.name for i in range(len(getters))]


class Syncthing(Peer):
    name, many = "syncthing", "at once, each connected to the sender only"
    note = "two daemons that are up and connected; counted from when the folder is shared, hashing included, until the receiver has all"

    def prepare(self, tmp):
        self.binary = fetch.go("syncthing", "github.com/syncthing/syncthing/cmd/syncthing", "-tags", "noassets,noupgrade")
        self.env = {"STNOUPGRADE": "1", "STNORESTART": "1", "HOME": str(tmp)}
        self.version = re.search(r"github.com/syncthing/syncthing (v\S+)", (fetch.HERE / "syncthing/go.mod").read_text())[1]
        self.made = tmp / "syncthing"
        self.ids = []
        for i in range(9):
            home = self.made / str(i)
            fetch.run("making its keys", [self.binary, "generate", "--home", home, "--no-default-folder"], 60,
                      env={**os.environ, **self.env})
            self.ids.append(re.search(r'<device id="([A-Z0-9-]+)"', (home / "config.xml").read_text())[1])

    def ask(self, port, method, path, body=None, limit=60.0):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
        try:
            c.request(method, f"/rest/{path}", json.dumps(body) if body is not None else None,
                      {"X-API-Key": "bench", "Content-Type": "application/json"})
            r = c.getresponse()
            text = r.read()
            if r.status != 200:
                raise NotMeasured(f"{method} {path}: {r.status} {text[:100].decode(errors='replace')}")
            return json.loads(text) if text.strip() else None
        except OSError as e:
            raise NotMeasured(f"{method} {path}: {e}") from None
        finally:
            c.close()

    def daemon(self, side, who, home, others, port, api):
        shutil.copytree(self.made / str(who), home)
        devices = "".join(f'<device id="{self.ids[i]}" name="{i}"><address>{a}</address></device>' for i, a in [(who, "dynamic"), *others])
        (home / "config.xml").write_text(f"""<configuration version="37">
{devices}
<gui enabled="true" tls="false"><address>127.0.0.1:{api}</address><apikey>bench</apikey></gui>
<options>
<listenAddress>tcp://127.0.0.1:{port}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>
<startBrowser>false</startBrowser><crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<reconnectionIntervalS>1</reconnectionIntervalS><progressUpdateIntervalS>-1</progressUpdateIntervalS><setLowPriority>false</setLowPriority>
</options>
</configuration>
""")
        p = side.start([self.binary, "serve", "--home", home, "--no-browser", "--no-restart"], self.env)
        listening(p, api, 30)

    def folder(self, path, kind, others):
        return {"id": "bench", "path": str(path), "type": kind, "devices": [{"deviceID": self.ids[i]} for i in others],
                "fsWatcherEnabled": False, "rescanIntervalS": 0}

    def transfer(self, run):
        n = len(run.receivers)
        top = run.source.parent  # holds nothing else
        ports = [free_ports() for _ in range(2 * n + 2)]
        api = ports[n + 1:]
        here = [f"tcp://127.0.0.1:{p}" for p in ports]
        self.daemon(run.sender, 0, run.home / "s0", [(i + 1, here[i + 1]) for i in range(n)], ports[0], api[0])
        for i, side in enumerate(run.receivers):
            self.daemon(side, i + 1, run.home / f"s{i + 1}", [(0, here[0])], ports[i + 1], api[i + 1])
        for a in api:
            run.until(lambda a=a: all(c["connected"] or d == self.ids[api.index(a)] for d, c in
                                      self.ask(a, "GET", "system/connections")["connections"].items()), "the daemons are not connected")
        for i in range(n):
            self.ask(api[i + 1], "POST", "config/folders", self.folder(run.dest(i), "receiveonly", (0, i + 1)))
            run.until(lambda i=i: self.ask(api[i + 1], "GET", "db/status?folder=bench")["state"] == "idle", "the folder is not ready")
        try:
            since = [self.last_event(a) for a in api]
            run.begin()
            self.ask(api[0], "POST", "config/folders", self.folder(top, "sendonly", range(n + 1)))
            for i in range(n):
                while not self.whole(api[i + 1], run.files):
                    since[i + 1] = self.next_event(api[i + 1], since[i + 1], run.left())
            run.finish()
        finally:
            shutil.rmtree(top / ".stfolder", ignore_errors=True)
        return [run.dest(i) / run.source.name for i in range(n)]

    def whole(self, api, files):
        s = self.ask(api, "GET", "db/status?folder=bench")
        if s["errors"] or s.get("error"):
            raise NotMeasured(f"{s['errors']} files failed: {s.get('error')}")
        return s["globalFiles"] == files and s["localFiles"] == files and s["needTotalItems"] == 0 and s["state"] == "idle"

    def last_event(self, api):
        got = self.ask(api, "GET", "events?since=0&limit=1&timeout=1&events=StateChanged")
        return got[-1]["id"] if got else 0

    def next_event(self, api, since, limit):
        """Waits, without asking again and again, until the folder's state changes."""
        wait = max(1, min(2, int(limit)))
        got = self.ask(api, "GET", f"events?since={since}&timeout={wait}&events=StateChanged", limit=wait + 30)
        return got[-1]["id"] if got else since


def everybody(kith):
    return [Kith(kith), Scp(), Rsync(), Tar(), Syncthing(), Wormhole(), Croc(), Croc(relayed=True), Sendme()]
