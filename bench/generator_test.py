#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""generator_test.py CAIRN-BENCH: what a server does wrong, the load generator finds. A fake CA whose certificates are made by
the openssl command: it looks at no signature, and makes one mistake, which the path of its directory names. Run without
a mistake it must satisfy the generator, and then looks at the answer of http-01 as a CA does."""

import base64
import hashlib
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time

# The mistake, and what the generator must say of it.
MISTAKES = {
    "serial": "a serial was given twice",
    "signature": "does not verify with its issuer",
    "signature-later": "signature does not verify",
    "issuer": "names another issuer",
    "root": "do not form a chain",
    "key": "is for another key",
    "name-more": "not asked for",
    "name-other": "not asked for",
    "expired": "not valid now",
    "no-san": "has no subjectAltName",
    "no-chain": "do not form a chain",
    "no-pem": "no certificate is there",
    "media-type": "another media type",
    "no-nonce": "no Replay-Nonce",
    "order-status": "newOrder: 200",
    "order-state": "it is invalid",
    "authz-name": "an authorization for another name",
    "authz-invalid": "it is invalid: told so",
    "authz-count": "not an authorization for each name",
    "token": "without URL or token",
    "other-token": "another challenge",
    "no-challenge": "is not offered",
    "finalize-500": "finalize: 500",
    "elsewhere": "a URL of another server",
    "no-http": "no HTTP",
    "cut": "ended before a reply",
    "silent": "no reply in time",
    "processing": "takes too long",
}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Ca:
    """Certificates, each from one run of openssl."""

    def __init__(self, work):
        self.work, self.serial, self.first_was_good, self.lock = work, 1000, False, threading.Lock()
        for name, subject in (("root", "root"), ("issuer", "issuer"), ("forger", "issuer"), ("stranger", "stranger")):
            ca = [] if name == "root" else ["-CA", self.path("root.pem"), "-CAkey", self.path("root.key")]
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                         "/CN=" + subject, "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"), *ca, "-addext",
                         "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     "/CN=another root", "-keyout", self.path("other.key"), "-out", self.path("other.pem"))
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", self.path("tls.key"), "-out",
                     self.path("tls.pem"))

    def path(self, name):
        return os.path.join(self.work, name)

    @staticmethod
    def openssl(*args, data=None):
        done = subprocess.run(["openssl", *args], input=data, capture_output=True, timeout=20, check=False)
        if done.returncode != 0:
            sys.exit("openssl %s: %s" % (args[0], done.stderr.decode()))
        return done.stdout

    def read(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def issue(self, csr, names, mistake):
        with self.lock:
            self.serial += mistake != "serial"
            serial = self.serial
        later = mistake == "signature-later" and self.first_was_good
        self.first_was_good |= mistake == "signature-later"
        by = "forger" if mistake == "signature" or later else "stranger" if mistake == "issuer" else "issuer"
        names = list(names)
        if mistake == "name-more":
            names.append("more.load.test")
        if mistake == "name-other":
            names[0] = "other.load.test"
        san = "keyUsage=digitalSignature" if mistake == "no-san" else "subjectAltName=" + ",".join("DNS:" + n for n in names)
        extensions = self.path("ext-%d" % threading.get_ident())
        with open(extensions, "w", encoding="ascii") as f:
            f.write(san + "\n")
        if mistake == "key":
            csr = self.openssl("req", "-new", "-key", self.path("other.key"), "-subj", "/CN=x", "-outform", "DER")
        leaf = self.openssl("x509", "-req", "-inform", "DER", "-CA", self.path(by + ".pem"), "-CAkey", self.path(by + ".key"),
                            "-set_serial", str(serial), "-days", "-1" if mistake == "expired" else "2", "-extfile", extensions,
                            data=csr).decode()
        if mistake == "no-pem":
            return "nothing\n"
        return leaf + ("" if mistake == "no-chain" else self.read("other.pem" if mistake == "root" else "issuer.pem"))


class Fake(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # a reply in one piece
    ca, http_port, wrong = None, 0, []
    orders, thumbprints, lock = {}, {}, threading.Lock()
    nonces = 0

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def say(self, status, body, location=None, media="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        with self.lock:
            Fake.nonces += 1
            nonce = "nonce-%d" % Fake.nonces
        if not (self.mistake == "no-nonce" and self.command == "POST"):
            self.send_header("Replay-Nonce", nonce)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", media)
        # Both ways of saying how long it is, in turns.
        if self.command == "HEAD" or len(data) % 2:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            half = len(data) // 2
            for part in (data[:half], data[half:], b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def url(self, *parts):
        return "https://%s/%s/%s" % (self.headers["Host"], self.mistake, "/".join(str(p) for p in parts))

    def split(self):
        _, self.mistake, *rest = self.path.split("/")
        return rest

    def do_HEAD(self):
        self.split()
        self.say(200, "")

    def do_GET(self):
        self.split()
        self.say(200, {k: self.url(v) for k, v in (("newNonce", "nonce"), ("newAccount", "account"), ("newOrder", "order"),
                                                   ("revokeCert", "revoke"))})

    def do_POST(self):
        what, *rest = self.split()
        jws = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.protected = json.loads(unb64(jws["protected"]))
        payload = unb64(jws["payload"])
        getattr(self, "on_" + what)(json.loads(payload) if payload else None, *rest)

    def on_account(self, _):
        jwk = self.protected["jwk"]
        canonical = json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()
        url = self.url("acct", len(self.thumbprints))
        self.thumbprints[url] = b64(hashlib.sha256(canonical).digest())
        self.say(201, {"status": "valid"}, url)

    def order_body(self, number):
        order = self.orders[number]
        body = {"status": order["status"], "identifiers": [{"type": "dns", "value": n} for n in order["names"]],
                "authorizations": [self.url("authz", number, i) for i in range(len(order["names"]))],
                "finalize": self.url("finalize", number)}
        if self.mistake == "authz-count":
            body["authorizations"] *= 2
        if self.mistake == "elsewhere":
            body["authorizations"] = ["https://elsewhere.test/authz"]
        if order["status"] == "valid":
            body["certificate"] = self.url("certificate", number)
        return body

    def on_order(self, payload, number=None):
        if number is None:
            with self.lock:
                number = str(len(self.orders))
                self.orders[number] = {"names": [i["value"] for i in payload["identifiers"]], "proven": set(),
                                       "status": "invalid" if self.mistake == "order-state" else "pending"}
            self.say(200 if self.mistake == "order-status" else 201, self.order_body(number), self.url("order", number))
            return
        self.say(200, self.order_body(number))

    def challenges(self, number, i, status):
        token = "short" if self.mistake == "token" else "token-%s-%s-%s" % (number, i, "x" * 22)
        kind = "dns-01" if self.mistake == "no-challenge" else "http-01"
        return [{"type": "tls-alpn-01", "url": self.url("no", number, i), "token": "y" * 30, "status": status},
                {"type": kind, "url": self.url("challenge", number, i), "token": token, "status": status}]

    def on_authz(self, _, number, i):
        order = self.orders[number]
        status = "valid" if i in order["proven"] else "pending"
        challenges = self.challenges(number, i, status)
        if self.mistake == "authz-invalid" and status == "valid":
            status = "invalid"
            challenges[1]["error"] = {"detail": "told so"}
        name = "x.load.test" if self.mistake == "authz-name" else order["names"][int(i)]
        self.say(200, {"status": status, "identifier": {"type": "dns", "value": name}, "challenges": challenges})

    def on_challenge(self, payload, number, i):
        order = self.orders[number]
        challenge = self.challenges(number, i, "processing")[1]
        web = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        web.request("GET", "/.well-known/acme-challenge/" + challenge["token"], headers={"Host": order["names"][int(i)]})
        reply = web.getresponse()
        found = (reply.status, reply.read().decode())
        wanted = (200, challenge["token"] + "." + self.thumbprints[self.protected["kid"]])
        if found != wanted or payload != {}:
            self.wrong.append("http-01: found %r, wanted %r" % (found, wanted))
        order["proven"].add(i)
        if self.mistake == "other-token":
            challenge["token"] += "x"
        self.say(200, challenge)

    def on_finalize(self, payload, number):
        order = self.orders[number]
        if self.mistake == "finalize-500":
            self.say(500, {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "no"}, media="application/problem+json")
        elif self.mistake == "no-http":
            self.wfile.write(b"SSH-2.0-nothing\r\n\r\n")
            self.close_connection = True
        elif self.mistake == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            self.close_connection = True
        elif self.mistake == "silent":
            threading.Event().wait(3)
            self.close_connection = True
        else:
            order["csr"] = unb64(payload["csr"])
            order["status"] = "processing" if self.mistake == "processing" else "valid"
            body = self.order_body(number)
            body["status"] = "processing"  # so that it is asked again
            body.pop("certificate", None)
            self.say(200, body)

    def on_certificate(self, _, number):
        order = self.orders[number]
        media = "application/json" if self.mistake == "media-type" else "application/pem-certificate-chain"
        self.say(200, self.ca.issue(order["csr"], order["names"], self.mistake), media=media)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # who goes without a word is the generator's right
            super().handle_error(request, client_address)


def bench(program, port, mistake, ca, names=1, orders=1, more=()):
    done = subprocess.run(
        [program, "--server", "https://localhost:%d/%s/directory" % (port, mistake), "--ca-file", ca.path("tls.pem"), "--root",
         ca.path("root.pem"), "--challenge-port", str(Fake.http_port), "--orders", str(orders), "--seconds", "5", "--timeout",
         "1", "--names", str(names), "--verify-share", "2", *more], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def times_are_exact(program, port, ca):
    """What is said of a watched process, which is ourselves, is no more than what we used, and not counted in ticks of 10 ms:
    a program may work for a whole run without being there when one strikes."""
    before, orders = time.process_time(), 3
    code, said = bench(program, port, "none", ca, orders=orders, more=("--json", "--watch", "us=%d" % os.getpid()))
    used_us = (time.process_time() - before) * 1e6
    if code != 0:
        return ["watched: exit %d:\n%s" % (code, said)]
    us = next(p for p in json.loads(said)["programs"] if p["name"] == "us")
    told_us = (us["user_us"] + us["sys_us"]) * orders
    good = 0 < told_us <= used_us + 1 and us["user_us"] >= 0 and us["sys_us"] >= 0 and abs(told_us / 10000 - round(told_us / 10000)) > 1e-6
    return [] if good else ["%r of the %.3f us that we used" % (us, used_us)]


def free_port():
    with http.server.HTTPServer(("127.0.0.1", 0), None) as s:
        return s.server_address[1]


def main():
    program = sys.argv[1]
    bad = []
    with tempfile.TemporaryDirectory() as work:
        Fake.ca = ca = Ca(work)
        Fake.http_port = free_port()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(ca.path("tls.pem"), ca.path("tls.key"))
        server = Server(("127.0.0.1", 0), Fake)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        for names in (1, 3):
            code, said = bench(program, port, "none", ca, names, 3)
            if code != 0 or ": 3 done" not in said:
                bad.append("without a mistake, %d names: exit %d:\n%s" % (names, code, said))
        bad += times_are_exact(program, port, ca) + Fake.wrong
        for mistake, wanted in MISTAKES.items():
            # What shows only beside another certificate needs more than one; of every second one the signature is verified.
            code, said = bench(program, port, mistake, ca, orders=3 if mistake in ("serial", "signature-later") else 1)
            if code != 1 or wanted not in said:
                bad.append("%s: exit %d, wanted 1 and \"%s\":\n%s" % (mistake, code, wanted, said))
        server.shutdown()
    print("\n".join(bad) or "%d mistakes were found" % len(MISTAKES))
    return bool(bad)


sys.exit(main())
