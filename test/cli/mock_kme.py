# SPDX-License-Identifier: MIT OR Apache-2.0
"""A simulated pair of key management entities (KMEs) for tests: ETSI GS QKD 014 V1.1.1 over HTTPS with mutual
certificates, out of one shared store. There is no quantum channel behind it: its keys are the system's random numbers, and
every status and key container says so in its extension, {"simulated": true}.

An SAE is who its certificate's common name says. Faults are switched on while it runs: see Kme.fault."""
import base64
import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import uuid

NOT_FOUND = "one or more keys specified are not found on KME"
SIMULATED = {"simulated": True}


class Certificates:
    """A small authority in a folder: `issue` makes NAME.crt and NAME.key, signed by ca.crt."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     "/CN=simulated QKD network", "-keyout", "ca.key", "-out", "ca.crt")
        self.ca = folder / "ca.crt"

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

    def issue(self, name, address="127.0.0.1"):
        (self.folder / f"{name}.ext").write_text(f"subjectAltName=IP:{address}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        (self.folder / f"{name}.key").chmod(0o600)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


class Store:
    """Keys that were given to a master and that their slave has not fetched: what a quantum channel would have shared."""

    def __init__(self):
        self.lock = threading.Lock()
        self.keys, self.first = {}, None

    def make(self, master, slave, size):
        name, key = str(uuid.uuid4()), os.urandom(size // 8)
        with self.lock:
            self.keys[name] = (master, slave, key)
            self.first = self.first or (name, key)
        return name, key

    def take(self, names, master, slave, forget=True):
        """All of them, or a refusal. Delivered once, as the standard has it."""
        with self.lock:
            found = [self.keys.get(n.lower()) for n in names]
            if None in found or len(set(names)) < len(names):
                return 400, NOT_FOUND
            if any(f[:2] != (master, slave) for f in found):
                return 401, None
            keys = [(n, self.keys[n.lower()][2]) for n in names]
            for n in names if forget else ():
                del self.keys[n.lower()]
            return 200, keys

    def count(self, master, slave):
        with self.lock:
            return sum(k[:2] == (master, slave) for k in self.keys.values())


class Kme:
    """One KME. fault: None, or what goes wrong from now on with each request:

        400 401 503   that error              slow       no answer for 30 s
        gone          keys are lost           garbage    a reply that is not JSON
        redirect      302                     long       a reply of a MiB
        short         a key of 128 bits       other      a key under another id
        twice         two keys                duplicate  a member twice
        down          no connection        again      enc_keys gives the first key each time, dec_keys forgets none
    """

    def __init__(self, name, store, certificates, saes, server_certificate=None):
        self.name, self.store, self.saes = name, store, saes
        self.fault, self.requests = None, []
        cert, key = server_certificate or certificates.issue(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(cert, key)
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.context = context
        self.server, self.port = None, 0
        self.start()

    def start(self):
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            kme = self

            def get_request(self):
                s, addr = self.socket.accept()
                s.settimeout(60)
                # The handshake is the first read's, in the connection's own thread.
                return self.kme.context.wrap_socket(s, server_side=True, do_handshake_on_connect=False), addr

            def handle_error(self, request, address):
                """A client that goes away, or whose certificate is refused. What it still sends is read, so that the
                alert reaches it and not a reset."""
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(request.fileno())) as raw:
                    raw.settimeout(1)
                    raw.recv(65536)

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, value=None, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, message=None):
        self.reply(status, {"message": message} if message else None)

    def sae(self):
        subject = dict(x[0] for x in self.connection.getpeercert()["subject"])
        return subject["commonName"]

    def faulty(self):
        """True: a fault was all the answer."""
        fault = self.server.kme.fault
        if fault == "down":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == 400:
            self.error(400, "size shall be a multiple of 8")
        elif fault == 401:
            self.error(401)
        elif fault == 503:
            self.reply(503, {"message": "the key store is being serviced", "details": [{"until": "noon"}]})
        elif fault == "slow":
            end = time.monotonic() + 30
            while self.server.kme.fault == "slow" and time.monotonic() < end:
                time.sleep(0.05)
            return False
        elif fault == "garbage":
            self.reply(200, b"\x00<html>I am not the KME you are looking for</html>")
        elif fault == "redirect":
            self.reply(302, None, [("Location", self.server.kme.url + "/elsewhere")])
        elif fault == "long":
            self.reply(200, b" " * (1 << 20))
        elif fault == "duplicate":
            self.reply(200, b'{"keys":[],"keys":[]}')
        else:
            return False
        return True

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        ask = {}
        if "number" in query:
            ask["number"] = int(query["number"][0])
        if "size" in query:
            ask["size"] = int(query["size"][0])
        if "key_ID" in query:
            ask["key_IDs"] = [{"key_ID": query["key_ID"][0]}]
        self.serve(url.path, ask, "GET")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            ask = json.loads(body)
        except ValueError:
            return self.error(400, "the request is not JSON")
        self.serve(urllib.parse.urlsplit(self.path).path, ask, "POST")

    def serve(self, path, ask, method):
        kme = self.server.kme
        part = path.split("/")
        if len(part) != 6 or part[:4] != ["", "api", "v1", "keys"]:
            return self.error(404)
        other, verb = urllib.parse.unquote(part[4]), part[5]
        kme.requests.append((self.sae(), verb, other))
        if self.faulty():
            return
        if self.sae() not in kme.saes or other not in kme.saes:
            return self.error(401)
        if verb == "status" and method == "GET":
            return self.status(other)
        if verb == "enc_keys":
            return self.enc_keys(other, ask)
        if verb == "dec_keys":
            return self.dec_keys(other, ask)
        self.error(404)

    def status(self, slave):
        kme = self.server.kme
        self.reply(200, {"source_KME_ID": kme.name, "target_KME_ID": "kme-of-" + slave, "master_SAE_ID": self.sae(),
                         "slave_SAE_ID": slave, "key_size": 256, "stored_key_count": kme.store.count(self.sae(), slave),
                         "max_key_count": 100000, "max_key_per_request": 128, "max_key_size": 1024, "min_key_size": 64,
                         "max_SAE_ID_count": 0, "status_extension": SIMULATED})

    def container(self, keys):
        fault = self.server.kme.fault
        if fault == "short":
            keys = [(n, k[:16]) for n, k in keys]
        if fault == "other":
            keys = [(str(uuid.uuid4()), k) for n, k in keys]
        if fault == "twice":
            keys = keys * 2
        self.reply(200, {"keys": [{"key_ID": n, "key": base64.b64encode(k).decode()} for n, k in keys],
                         "key_container_extension": SIMULATED})

    def enc_keys(self, slave, ask):
        number, size = ask.get("number", 1), ask.get("size", 256)
        if size % 8:
            return self.error(400, "size shall be a multiple of 8")
        if not 64 <= size <= 1024 or not 1 <= number <= 128:
            return self.error(400, "size or number is out of range")
        if ask.get("extension_mandatory"):
            return self.error(400, "not all extension_mandatory parameters are supported")
        keys = [self.server.kme.store.make(self.sae(), slave, size) for _ in range(number)]
        self.container([self.server.kme.store.first] if self.server.kme.fault == "again" else keys)

    def dec_keys(self, master, ask):
        if self.server.kme.fault == "gone":
            return self.error(400, NOT_FOUND)
        status, keys = self.server.kme.store.take([k["key_ID"] for k in ask.get("key_IDs", [])], master, self.sae(),
                                                  self.server.kme.fault != "again")
        if status != 200:
            return self.error(status, keys)
        self.container(keys)


class Pair:
    """Two KMEs, A for the SAE alice and B for the SAE bob, and a certificate of an authority that neither knows."""

    def __init__(self, folder):
        self.certificates = Certificates(folder / "ca")
        self.stranger = Certificates(folder / "other")
        self.store = Store()
        saes = {"alice", "bob"}
        self.a = Kme("kme-a", self.store, self.certificates, saes)
        self.b = Kme("kme-b", self.store, self.certificates, saes)
        self.alice = self.certificates.issue("alice")
        self.bob = self.certificates.issue("bob")
        self.carol = self.certificates.issue("carol")  # an SAE that the KMEs do not know
        self.mallory = self.stranger.issue("alice")  # calls itself alice

    def stop(self):
        self.a.stop()
        self.b.stop()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
