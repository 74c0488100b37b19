# SPDX-License-Identifier: Apache-2.0
"""What the cases share: their registry, the server under attack, the answers to its challenges, and the judgement of
every reply, whatever it was a reply to."""
import collections
import json
import re
import socket
import sqlite3
import threading
import time

import acme

Case = collections.namedtuple("Case", "number title run")
CASES = []
NAMES = iter(range(1 << 30))
OBEYED = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def case(number, title):
    """Registers a function of one argument, the world, as a case of THREATS section 3."""
    def add(run):
        CASES.append(Case(number, title, run))
        return run
    return add


class Skip(Exception):
    """This case says nothing here; the text says why and what does instead."""


class Failed(Exception):
    """What was found is not what was wanted."""


def want(condition, text):
    if not condition:
        raise Failed(text)


def same(what, found, wanted):
    want(found == wanted, f"{what}: found {found!r}, wanted {wanted!r}")


def at_once(count, run):
    """run(0) to run(count - 1) in as many threads, let go together; what they returned. Any exception is raised."""
    barrier, results, errors = threading.Barrier(count), [None] * count, []

    def one(i):
        try:
            barrier.wait(60)
            results[i] = run(i)
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    want(not any(t.is_alive() for t in threads), "a thread got no answer within two minutes")
    if errors:
        raise errors[0]
    return results


def counted(values):
    return dict(collections.Counter(values))


class Answers:
    """The web server of every host name: key authorizations, or what a case puts in their place."""

    def __init__(self, port):
        self.bodies, self.asked = {}, []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128, reuse_port=False)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(conn,), daemon=True).start()

    def answer(self, conn):
        with conn:
            conn.settimeout(10)
            head = b""
            try:
                while b"\r\n\r\n" not in head and len(head) < 16384:
                    data = conn.recv(4096)
                    if not data:
                        return
                    head += data
                path = head.split(b" ")[1].decode("latin-1")
                self.asked.append(path)
                body = self.bodies.get(path.rsplit("/", 1)[-1], b"")
                status = b"200 OK" if body else b"404 Not Found"
                conn.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body),
                                                                                                    body))
            except (OSError, IndexError):
                pass


class World:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.answers = Answers(options.http_port)
        self.canaries = {}  # what may never be in a log: text -> what it is
        self.replies = collections.Counter()
        self.notes, self.row = [], ""  # of the running case
        self.witness = acme.Client(server)
        server.on_reply = self.judge
        self.directory = self.get("/directory").json

    def get(self, path, method="GET"):
        with self.server.connect() as c:
            return c.request(method, path)

    def note(self, text):
        """For the line of the running case, beside its verdict."""
        self.notes.append(text)

    # --- every reply ---

    def judge(self, reply, head_only):
        """What holds for every reply there is (A77, A81): nothing in it can harm who shows or stores it, no refusal
        is an accident, and it says what it is."""
        self.replies[reply.status] += 1
        same("X-Content-Type-Options", reply.header("x-content-type-options") or "absent", "nosniff")
        want(reply.status < 500 or reply.status in (501, 503, 505), f"an accident inside: {reply}")
        for name in ("location", "replay-nonce", "retry-after", "content-type", "content-length", "allow"):
            want(len(reply.all(name)) <= 1, f"the header {name} comes twice")
        nonce = reply.header("replay-nonce")
        want(nonce is None or re.fullmatch(r"[A-Za-z0-9_-]{16,64}", nonce), f"nonce {nonce!r}")
        location = reply.header("location")
        want(location is None or re.fullmatch(re.escape(self.server.base) + r"(/realm/[a-z0-9-]+)?/[a-z-]+/" + UUID,
                                              location),
             f"Location {location!r}")
        if head_only or not reply.body:
            return
        kind = reply.header("content-type")
        want(kind in ("application/json", "application/problem+json", "application/pem-certificate-chain"),
             f"type {kind!r}")
        text = reply.body.decode("utf-8")
        want(text.isascii() or '"subproblems"' in text,
             f"more than ASCII: {reply}")  # identifiers come back as they came
        want(not OBEYED.search(text), f"bytes that a terminal obeys, or that hide text: {reply}")
        if kind == "application/pem-certificate-chain":
            return
        value = json.loads(reply.body)
        want(isinstance(value, dict), "a body that is no object")
        if reply.status >= 400:
            want(kind == "application/problem+json", f"a refusal that is no problem document: {reply}")
            want(value["type"].startswith(acme.URN) and value["status"] == reply.status,
                 f"a problem that contradicts itself: {reply}")
            want(re.fullmatch(r"[ -~]{8,800}", value["detail"]), f"detail: {reply}")
        for challenge in value.get("challenges", []):
            want(re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge["token"]), f"token {challenge['token']!r}")
        urls = [value.get(n, []) for n in ("finalize", "certificate", "orders", "url", "authorizations")]
        for url in [u for found in urls for u in (found if isinstance(found, list) else [found])]:
            want(re.fullmatch(re.escape(self.server.base) + r"/[a-z0-9/-]+", url), f"URL {url!r}")

    def refused(self, reply, status, problem, *words):
        """That this refusal is the one that was wanted."""
        want(reply.status == status and reply.problem == problem, f"found {reply}, wanted {status} {problem}")
        for word in words:
            want(word in reply.detail, f"found the detail {reply.detail!r}, wanted {word!r} in it")
        return reply

    def done(self, reply, *statuses):
        want(reply.status in (statuses or (200, 201)), f"found {reply}, wanted {statuses or (200, 201)}")
        return reply

    # --- good clients ---

    def alive(self):
        """A client that does all as it should gets what it wants."""
        client = acme.Client(self.server)
        same("newNonce", client.ask("HEAD", "/new-nonce").status, 200)
        self.done(client.new_account(), 201)
        self.done(client.new_order(self.name()), 201)
        client.close()

    def account(self, realm="", key=None, payload=None):
        client = acme.Client(self.server, realm, key)
        self.done(client.new_account(payload), 201)
        return client

    def name(self):
        return f"n{next(NAMES)}.e2e.test"

    def need(self, entry):
        """The URL of a resource; every case needs what it is about."""
        want(entry in self.directory, f"the directory has no {entry}")
        return self.directory[entry]

    # --- orders ---

    def order(self, client, *names, **more):
        """(URL, object) of a new order."""
        reply = self.done(client.new_order(*(names or (self.name(),)), **more), 201)
        return reply.header("location"), reply.json

    def challenge(self, client, authz):
        found = self.done(client.post(authz)).json
        return [c for c in found["challenges"] if c["type"] == "http-01"][0]

    def poll(self, client, url, busy=("pending", "processing"), seconds=20):
        end = time.monotonic() + seconds
        while True:
            found = self.done(client.post(url)).json
            if found["status"] not in busy:
                return found
            want(time.monotonic() < end, f"{url} is still {found['status']} after {seconds} s")
            time.sleep(0.02)

    def prove(self, client, authz, body=None):
        """The authorization, once its http-01 challenge is decided; body: instead of the right key authorization."""
        challenge = self.challenge(client, authz)
        right = f"{challenge['token']}.{client.key.thumbprint()}"
        self.canaries[right] = "a key authorization"
        self.answers.bodies[challenge["token"]] = right.encode() if body is None else body
        self.done(client.post(challenge["url"], {}))
        return self.poll(client, authz)

    def ready(self, client, *names, **more):
        """(URL, object) of an order of which everything is proved."""
        url, order = self.order(client, *names, **more)
        for authz in order["authorizations"]:
            if self.done(client.post(authz)).json["status"] != "valid":
                same("authorization", self.prove(client, authz)["status"], "valid")
        same("order", self.done(client.post(url)).json["status"], "ready")
        return url, order

    def issue(self, client, *names, key=None, **more):
        """(order's URL, certificate's URL, leaf as DER, its key)."""
        names = names or (self.name(),)
        url, order = self.ready(client, *names, **more)
        key = key or acme.Key()
        self.done(client.post(order["finalize"], {"csr": acme.b64(acme.csr(key, san(names)))}), 200)
        done = self.poll(client, url)
        same("order", done["status"], "valid")
        return url, done["certificate"], leaf(self.done(client.post(done["certificate"]))), key

    def eab(self, name):
        """(kid, MAC key) of an external account key that the operator made for the cases."""
        with open(self.options.eab, encoding="ascii") as f:
            keys = {row[0]: (row[1], acme.unb64(row[2])) for row in map(str.split, f)}
        kid, secret = keys[name]
        self.canaries[acme.b64(secret)] = self.canaries[secret.hex()] = f"the external account key {name}"
        return kid, secret

    # --- what the server keeps ---

    def rows(self, sql, *values):
        """What the store has; only to look."""
        with sqlite3.connect(f"file:{self.options.store}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(sql, values).fetchall()

    def log_size(self):
        with open(self.options.log, "rb") as f:
            return f.seek(0, 2)

    def log_since(self, size):
        with open(self.options.log, "rb") as f:
            f.seek(size)
            return f.read()

    def resident_kib(self):
        with open(f"/proc/{self.options.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s*(\d+) kB", f.read())[1])


def san(names):
    return [acme.der.tlv(0x87, address(n["value"])) if n["type"] == "ip" else n["value"] for n in map(acme.ident,
                                                                                                      names)]


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def leaf(reply):
    return acme.base64.b64decode(re.search(rb"-----BEGIN CERTIFICATE-----\n(.*?)-----END", reply.body, re.S)[1])
