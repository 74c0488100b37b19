#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the mistakes that users make, each against a server that runs, and compares every word that they would read.

mistakes.py --directory URL --ca FILE --dns-port N    in a network namespace of its own: 62-mistakes.sh

Each text must say what was asked of whom, what came back, what was wanted, and what to do about it."""
import argparse
import socket
import sys

import certs
import names
import prove
import web
from prove import acme

HERE, CLOSED, DROPS, PLAIN_TLS, SHOP = "20.0.0.1", "20.0.0.2", "20.0.0.3", "20.0.0.4", "20.0.0.5"
OTHER_V6, CLOSED_V6, PRIVATE = "2a00::1", "2a00::2", "10.1.2.3"
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head>" + "<p>Welcome back." * 40
WANTED_KEY = 'wanted the key authorization "{TOKEN8}....{THUMB8}..."'
GET = "GET http://{NAME}/.well-known/acme-challenge/{TOKEN}"
LEAVE_OUT = "; leave /.well-known/acme-challenge/ out of the redirects"
MISSING = "wanted 200 with the key authorization; put the challenge file under the web root that serves this name"
V4_NOT_ASKED = f" (the AAAA record leads there; {HERE} of the A record is asked only when that cannot be reached)"
TLS = "TLS on port 443 for {NAME}"
WANTED_TLS = ("wanted a handshake with protocol \"acme-tls/1\"; check the TLS server there: it must answer this "
              "challenge "
              "itself, not a proxy or CDN in front of it")
SEEN = f"{HERE}: {GET} answered 200 with \"{{PEER}}\"; {WANTED_KEY}"
LONG = ('answered 200 with 128 bytes or more, beginning "{PEER}"; wanted nothing but the key authorization '
        '"{TOKEN8}....{THUMB8}...", 87 bytes')
CASES = []


class Case:
    def __init__(self, label, title, method, kind, text, setup):
        self.label, self.title, self.method, self.kind, self.text, self.setup = label, title, method, kind, text, setup
        self.name = f"{label}.e2e.test"


def case(label, title, method, kind, text):
    """kind: the problem's type, "" when the name is proved nevertheless. text: all of the detail; {PEER} in it is what
    the setup returns, as a message shows a peer's bytes."""
    def keep(setup):
        CASES.append(Case(label, title, method, kind, text, setup))
        return setup
    return keep


def proved(label, title, method):
    return case(label, title, method, "", "")


# --- http-01: the way there ----------------------------------------------------------------------------------------

@case("closed", "port 80 is closed", "http-01", "connection",
      f"{CLOSED}: {GET}: connection refused; wanted an answer on port 80; start a web server there, or let this port "
      "through the firewall")
def closed(s, proof):
    s.names.records(proof.name, A=CLOSED)


@case("drops", "a firewall drops what comes", "http-01", "connection",
      f"{DROPS}: {GET}: timeout during connect (likely firewall problem); wanted an answer on port 80; start a web "
      "server there, or let this port through the firewall")
def drops(s, proof):
    s.names.records(proof.name, A=DROPS)


@case("tlsport", "HTTPS on port 80", "http-01", "connection",
      f"{PLAIN_TLS}: {GET}: the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?); wanted an answer on port "
      "80; check the web server there: it must speak plain HTTP on this port")
def tlsport(s, proof):
    s.names.records(proof.name, A=PLAIN_TLS)


@case("tlsport-nginx", "HTTPS on port 80, and a server that notices", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 400; wanted 200 with the key authorization; the web server did not understand the "
      "request: it must speak plain HTTP on this port, not TLS")
def tlsport_nginx(s, proof):
    s.web.rules[proof.name] = lambda r: r.reply(400, "<h1>400</h1>The plain HTTP request was sent to HTTPS port")


@case("aaaa", "AAAA leads to another server", "http-01", "unauthorized",
      f"{OTHER_V6}: {GET} answered 404; {MISSING}{V4_NOT_ASKED}")
def aaaa(s, proof):
    s.names.records(proof.name, A=HERE, AAAA=OTHER_V6)
    s.files[proof.path] = proof.key_authorization
    return s.files[proof.path]


@proved("aaaa-closed", "AAAA leads where nobody listens, A is right", "http-01")
def aaaa_closed(s, proof):
    s.names.records(proof.name, A=HERE, AAAA=CLOSED_V6)
    s.files[proof.path] = proof.key_authorization
    return s.files[proof.path]


@case("both-closed", "nobody listens at AAAA nor at A", "http-01", "connection",
      f"{CLOSED}: {GET}: connection refused; wanted an answer on port 80; start a web server there, or let this port "
      f"through the firewall ({CLOSED_V6} was tried first: connection refused)")
def both_closed(s, proof):
    s.names.records(proof.name, A=CLOSED, AAAA=CLOSED_V6)


@case("nx", "the name does not exist", "http-01", "dns",
      "{NAME} does not exist: NXDOMAIN from {RESOLVER}; wanted an A or AAAA record; publish one, or correct the name")
def nx(s, proof):
    s.names.rules[proof.name] = lambda q: q.reply(rcode=names.NXDOMAIN)


@case("noaddr", "the name exists and has no address", "http-01", "dns",
      "{NAME} has no address: no A and no AAAA record from {RESOLVER}; wanted one of them; publish it")
def noaddr(s, proof):
    s.names.records(proof.name)


@case("servfail", "the zone's name servers do not answer", "http-01", "dns",
      "looking up AAAA of {NAME}: SERVFAIL from {RESOLVER} (it failed, or did not answer); wanted an address; "
      "check the "
      "name servers of this name")
def servfail(s, proof):
    s.names.rules[proof.name] = lambda q: q.reply(rcode=names.SERVFAIL)


@case("split", "split view: the resolver gives a private address", "http-01", "connection",
      "{NAME} has no address that may be contacted: " + PRIVATE + " is private (10.0.0.0/8); wanted a public "
      "address, or "
      'one in allow-addresses of zone "default"; publish one where this validator asks: {RESOLVER}')
def split(s, proof):
    s.names.records(proof.name, A=PRIVATE)


# --- http-01: redirects ----------------------------------------------------------------------------------------------

@case("login", "everything is redirected to a login page", "http-01", "incorrectResponse",
      f"redirected by http://{{NAME}}/.well-known/acme-challenge/{{TOKEN}}: {HERE}: GET http://sso.e2e.test/login?"
      f"next=%2F {LONG}; serve the challenge file itself, not a page")
def login(s, proof):
    s.web.rules[proof.name] = lambda r: r.redirect("http://sso.e2e.test/login?next=%2F")
    s.web.rules["sso.e2e.test"] = lambda r: r.reply(200, LOGIN_PAGE)
    return LOGIN_PAGE


@case("loop", "redirected in a circle", "http-01", "connection",
      f"{HERE}: {GET} answered 301 to \"{{PEER}}\": redirect loop; "
      "wanted 200 with the key authorization" + LEAVE_OUT)
def loop(s, proof):
    s.web.rules[proof.name] = lambda r: r.redirect(f"http://{proof.name}{proof.path}", 301)
    return f"http://{proof.name}{proof.path}"


@case("port", "redirected to a wrong port", "http-01", "connection",
      f"{HERE}: {GET} answered 302 to \"{{PEER}}\", which is not "
      "followed: port 8080 is not followed; wanted 80 or 443" + LEAVE_OUT)
def port(s, proof):
    s.web.rules[proof.name] = lambda r: r.redirect(f"http://{proof.name}:8080{proof.path}")
    return f"http://{proof.name}:8080{proof.path}"


@case("slash", "a redirect without the slash after the host", "http-01", "connection",
      f"{HERE}: {GET} answered 301 to \"{{PEER}}\", which is not "
      "followed: the host ends in .well-known: the redirect target lacks a '/' after the host name, add it" + LEAVE_OUT)
def slash(s, proof):
    s.web.rules[proof.name] = lambda r: r.redirect(f"https://{proof.name}{proof.path[1:]}", 301)
    return f"https://{proof.name}{proof.path[1:]}"


@case("https-closed", "redirected to https, where nobody listens", "http-01", "connection",
      f"redirected by http://{{NAME}}/.well-known/acme-challenge/{{TOKEN}}: {HERE}: GET https://{{NAME}}/.well-known"
      "/acme-challenge/{TOKEN}: connection refused; wanted an answer on port 443; start a web server there, or "
      "let this "
      "port through the firewall")
def https_closed(s, proof):
    s.web.rules[proof.name] = lambda r: r.redirect(f"https://{proof.name}{r.path}", 301)


# --- http-01: what is served -----------------------------------------------------------------------------------------

@case("vhost", "another virtual host answers", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 404; {MISSING}")
def vhost(_s, _proof):
    pass


@case("forbidden", "the web server may not read the file", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 403; wanted 200 with the key authorization; let everybody read the challenge file: "
      "access rules or the file's mode forbid it")
def forbidden(s, proof):
    s.web.rules[proof.name] = lambda r: r.reply(403, "no")


@case("otherkey", "the file of another account", "http-01", "unauthorized",
      f"{SEEN}; the challenge file belongs to another "
      "account key")
def otherkey(s, proof):
    s.files[proof.path] = proof.token + "." + "B" * 43
    return s.files[proof.path]


@case("oldtoken", "the file of an earlier order", "http-01", "unauthorized",
      f"{SEEN}; that is the file of another "
      "order: put the challenge file of this order there")
def oldtoken(s, proof):
    s.files[proof.path] = "T" * 43 + "." + proof.thumbprint
    return s.files[proof.path]


@case("tokenonly", "the token alone in the file", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 200 with \"{{TOKEN}}\"; {WANTED_KEY}; the file has the token alone: write the whole key "
      "authorization into it")
def tokenonly(s, proof):
    s.files[proof.path] = proof.token
    return s.files[proof.path]


@case("page", "a proxy answers everything with a short page", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 200 with \"<html><body>It works!</body></html>\"; {WANTED_KEY}; put the "
      f"challenge file of "
      "this order there")
def page(s, proof):
    s.web.rules[proof.name] = lambda r: r.reply(200, "<html><body>It works!</body></html>")


@case("longpage", "a proxy answers everything with a page", "http-01", "incorrectResponse",
      f"{HERE}: {GET} {LONG}; serve the challenge file itself, not a page")
def longpage(s, proof):
    s.web.rules[proof.name] = lambda r: r.reply(200, LOGIN_PAGE)
    return LOGIN_PAGE


@case("empty", "an empty file", "http-01", "unauthorized",
      f"{HERE}: {GET} answered 200 with an empty body; {WANTED_KEY}; write it into the challenge file")
def empty(s, proof):
    s.files[proof.path] = ""
    return s.files[proof.path]


@case("bom", "a byte order mark before it", "http-01", "unauthorized",
      f"{SEEN}; the file begins with a "
      "byte order mark: write it without")
def bom(s, proof):
    s.files[proof.path] = b"\xef\xbb\xbf" + proof.key_authorization.encode()
    return s.files[proof.path]


@case("utf16", "saved as UTF-16", "http-01", "incorrectResponse",
      f"{HERE}: {GET} {LONG}; the file is UTF-16 text: write it as plain ASCII")
def utf16(s, proof):
    s.files[proof.path] = proof.key_authorization.encode("utf-16")
    return s.files[proof.path]


@case("before", "a line end before it", "http-01", "unauthorized",
      f"{SEEN}; put the challenge file "
      "of this order there, with nothing before or after the key authorization")
def before(s, proof):
    s.files[proof.path] = "\n" + proof.key_authorization
    return s.files[proof.path]


@case("quoted", "quotation marks around it", "http-01", "unauthorized",
      f"{SEEN}; put the challenge file "
      "of this order there, with nothing before or after the key authorization")
def quoted(s, proof):
    s.files[proof.path] = f'"{proof.key_authorization}"'
    return s.files[proof.path]


@proved("lf", "a line end after it", "http-01")
def lf(s, proof):
    s.files[proof.path] = proof.key_authorization + "\n"
    return s.files[proof.path]


@proved("crlf", "a line end of Windows after it", "http-01")
def crlf(s, proof):
    s.files[proof.path] = proof.key_authorization + " \r\n"
    return s.files[proof.path]


# --- dns-01 ----------------------------------------------------------------------------------------------------------

@case("wrongname", "the panel added the zone's name itself", "dns-01", "dns",
      "_acme-challenge.{NAME} TXT: no such name (NXDOMAIN) from {RESOLVER}; wanted a record \"{RECORD}\"; "
      "publish it under "
      "exactly this name (many a panel adds the zone's name itself) and wait until all name servers of the zone "
      "have it")
def wrongname(s, proof):
    at = f"_acme-challenge.{proof.name}.{proof.name}"
    s.names.rules[proof.name] = lambda q: q.reply(
        [(names.TXT, names.txt(proof.record))] if q.type == names.TXT and q.name == at else [],
        rcode=names.NXDOMAIN if q.name == "_acme-challenge." + proof.name else names.NOERROR)


@case("norecord", "the record is not there (yet)", "dns-01", "unauthorized",
      "_acme-challenge.{NAME} TXT: no such record from {RESOLVER}; wanted a record \"{RECORD}\"; publish it "
      "under exactly "
      "this name (many a panel adds the zone's name itself) and wait until all name servers of the zone have it")
def norecord(s, proof):
    s.names.records(proof.name)


def record(label, title, of, text, kind="unauthorized"):
    """A case with these records at the right name."""
    def setup(s, proof):
        s.names.records(proof.name, TXT={"_acme-challenge": [names.texts(t) for t in of(proof)]})
        return of(proof)[0]
    case(label, title, "dns-01", kind, text)(setup)


FOUND = "_acme-challenge.{NAME} TXT from {RESOLVER}: found "
record("quotes", "quotation marks in the record", lambda p: [f'"{p.record}"'.encode()],
       FOUND + '"\\x22{RECORD}\\x22"; wanted a record "{RECORD}"; the record has quotation marks of its own: enter it '
       "without them")
record("keyauth", "the key authorization instead of its digest", lambda p: [p.key_authorization.encode()],
       FOUND + '"{PEER}"; wanted a record "{RECORD}"; the record is the key authorization; wanted its SHA-256 '
       "digest in base64url")
record("hex", "the digest in hexadecimal", lambda p: [p.digest.hex().encode()],
       FOUND + '"{PEER}"; wanted a record "{RECORD}"; the record is hexadecimal; wanted base64url')
record("blank", "a blank at the end", lambda p: [p.record.encode() + b" "],
       FOUND + '"{RECORD} "; wanted a record "{RECORD}"; the record has blanks at its ends: enter it without them')
record("stale", "only the record of an earlier order", lambda p: [b"A" * 43],
       FOUND + '"' + "A" * 43 + '"; wanted a record "{RECORD}"; that is of another order or account: publish this one '
       "beside it or in its place, and wait until name servers and caches have let go of the old one")
record("spf", "other records only", lambda p: [b"v=spf1 -all"],
       FOUND + '"v=spf1 -all"; wanted a record "{RECORD}"; publish this value, beside what is there')
record("beside", "the record of an earlier order beside the right one",
       lambda p: [b"A" * 43, p.record.encode()], "", "")


@case("txt-servfail", "a name server that does not answer for the name", "dns-01", "dns",
      "looking up TXT of _acme-challenge.{NAME}: SERVFAIL from {RESOLVER} (it failed, or did not answer); wanted a TXT "
      "record; check the name servers of this name")
def txt_servfail(s, proof):
    s.names.rules[proof.name] = lambda q: q.reply(rcode=names.SERVFAIL)


# --- CAA -------------------------------------------------------------------------------------------------------------

def caa(label, title, kind, text, *records):
    """A case that is proved, with these CAA records at its name."""
    def setup(s, proof):
        s.names.records(proof.name, A=HERE, CAA=[names.caa(*r) for r in records])
        s.files[proof.path] = proof.key_authorization
    case(label, title, "http-01", kind, text)(setup)


FORBIDS = "CAA record for {NAME} prevents issuance: at {NAME} from {RESOLVER}: "
ALLOW_US = "; this CA is 'ca.e2e.test'; add a record 0 issue 'ca.e2e.test', or use a CA that is allowed"
caa("caa-ours", "CAA allows this CA", "", "", ("issue", "ca.e2e.test"))
caa("caa-other", "CAA allows another CA", "caa",
    FORBIDS + "0 issue 'letsencrypt.org'" + ALLOW_US, ("issue", "letsencrypt.org"))
caa("caa-method", "CAA allows another method", "caa",
    FORBIDS + "0 issue 'ca.e2e.test; validationmethods=dns-01' does not allow http-01 (RFC 8657 4); add it to "
    "validationmethods, or use another challenge", ("issue", "ca.e2e.test; validationmethods=dns-01"))
caa("caa-account", "CAA allows another account", "caa",
    FORBIDS + "0 issue 'ca.e2e.test; accounturi=https://ca.e2e.test/account/1' is for another account (RFC 8657 "
    "3): this "
    "one is {ACCOUNT}, to the letter; add it",
    ("issue", "ca.e2e.test; accounturi=https://ca.e2e.test/account/1"))
caa("caa-none", "CAA forbids all", "caa", FORBIDS + "0 issue ';'" + ALLOW_US, ("issue", ";"))
caa("caa-critical", "CAA says what nobody knows", "caa",
    FORBIDS + "128 contactphone '1' is critical and its tag is not known here (RFC 8659 4.1); remove it, or use "
    "a CA that "
    "knows it", ("contactphone", "1", 128))


@case("caa-servfail", "the name server cannot be asked about CAA", "http-01", "dns",
      "CAA (RFC 8659) must be known before a certificate is issued: looking up CAA of {NAME}: SERVFAIL from "
      "{RESOLVER} (it "
      "failed, or did not answer); wanted an answer, if only that there is no CAA record; check the name "
      "servers of this "
      "name")
def caa_servfail(s, proof):
    s.files[proof.path] = proof.key_authorization
    s.names.rules[proof.name] = lambda q: q.reply(
        [(names.A, names.address(HERE))] if q.type == names.A else [],
        rcode=names.SERVFAIL if q.type == names.CAA else names.NOERROR)


# --- tls-alpn-01 -----------------------------------------------------------------------------------------------------

@case("alpn-web", "an ordinary web server answers, which knows the protocols of the web", "tls-alpn-01", "tls",
      f"{SHOP}: {TLS}: the server does not speak acme-tls/1: it ended the TLS handshake with alert \"no application "
      f"protocol\"; {WANTED_TLS}")
def alpn_web(s, proof):
    s.names.records(proof.name, A=SHOP)


@case("alpn-old", "an ordinary TLS server answers, which knows no ALPN", "tls-alpn-01", "tls",
      f"{PLAIN_TLS}: {TLS}: the server chose no protocol; wanted protocol \"acme-tls/1\" (ALPN, RFC 8737); the ACME "
      "client must answer there, not the usual server or a proxy in front of it")
def alpn_old(s, proof):
    s.names.records(proof.name, A=PLAIN_TLS)


@case("alpn-aaaa", "AAAA leads to another server", "tls-alpn-01", "tls",
      f"{OTHER_V6}: {TLS}: the server does not speak acme-tls/1: it ended the TLS handshake with alert \"no application "
      f"protocol\"; {WANTED_TLS}{V4_NOT_ASKED}")
def alpn_aaaa(s, proof):
    s.names.records(proof.name, A=HERE, AAAA=OTHER_V6)


@case("alpn-closed", "port 443 is closed", "tls-alpn-01", "connection",
      f"{CLOSED}: {TLS}: connection refused; wanted a handshake with protocol \"acme-tls/1\"; start the ACME client's "
      "TLS server there, or let this port through the firewall")
def alpn_closed(s, proof):
    s.names.records(proof.name, A=CLOSED)


@case("alpn-http", "HTTP on port 443", "tls-alpn-01", "tls",
      f"{DROPS}: {TLS}: the server does not speak TLS on this port; {WANTED_TLS}")
def alpn_http(s, proof):
    s.names.records(proof.name, A=DROPS)


# --- running them ----------------------------------------------------------------------------------------------------

def said(connection, data):
    """One answer to whatever came first."""
    connection.recv(65536)
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def peer(data):
    """What a message shows of a peer's bytes: 60 characters at most, and nothing that is not plain."""
    out = ""
    for b in data.encode() if isinstance(data, str) else data:
        c = chr(b) if 0x20 <= b <= 0x7e and b not in b'"\\\\' else f"\\x{b:02x}"
        if len(out + c) > 60:
            return out + "..."
        out += c
    return out


class Stage:
    """All servers, and a client."""

    def __init__(self, o):
        self.resolver = f"127.0.0.1:{o.dns_port}"
        self.files = {}
        self.names = names.Names(o.dns_port, HERE)
        self.web = web.Web(HERE, 80, files=self.files)
        self.elsewhere = web.Web(OTHER_V6, 80)
        self.deaf = web.Deaf(DROPS, 80)
        self.plain = web.Raw(DROPS, 443, lambda c: said(c, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
        ordinary = certs.ordinary("shop.e2e.test")
        self.old = web.Web(PLAIN_TLS, 443, tls=web.pem_context(*ordinary))
        self.tls = web.Raw(PLAIN_TLS, 80, lambda c: said(c, b"\x15\x03\x01\x00\x02\x02\x46"))  # protocol_version
        refusal = b"\x15\x03\x03\x00\x02\x02\x78"  # no_application_protocol
        self.shop = web.Raw(SHOP, 443, lambda c: said(c, refusal))
        self.shop_v6 = web.Raw(OTHER_V6, 443, lambda c: said(c, refusal))
        self.client = acme.Client(acme.Server(o.directory, o.ca))
        if self.client.new_account().status != 201:
            raise AssertionError("no account")

    def judge(self, c):
        proof = prove.Proof(self.client, c.name, c.method)
        sent = c.setup(self, proof)
        proof.prove(20)
        wanted = proof.words(c.text.replace("{PEER}", peer(sent or "")).replace("{RESOLVER}", self.resolver)
                             .replace("{ACCOUNT}", self.client.kid))
        status = "invalid" if c.kind else "valid"
        if (proof.status, proof.type, proof.error) != (status, c.kind, wanted):
            raise AssertionError(f"{c.label}: {c.title}\n    found  {proof.status} {proof.type}: {proof.error}\n"
                                 f"    wanted {status} {c.kind}: {wanted}")
        sys.stdout.write(f"ok {c.label}: {c.title} [{proof.seconds:.1f} s]\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--directory", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--dns-port", type=int, required=True)
    p.add_argument("--only", default="")
    o = p.parse_args()
    stage = Stage(o)
    chosen = [c for c in CASES if not o.only or c.label in o.only.split(",")]
    failures = prove.all_at_once(stage.judge, chosen)
    for text in failures:
        print("FAILED", text)
    print(f"{len(chosen) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
