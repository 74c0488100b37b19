# SPDX-License-Identifier: Apache-2.0
"""What comes out: logs that nobody can forge, secrets that are nowhere, replies that harm nobody, and SQL that stays
text (A75 to A81)."""
import json
import re
import time

import acme
from world import Skip, case, same, want

NASTY = ["\r\n{\"event\":\"forged\",\"level\":\"error\"}", "\n", "\x1b[2J\x1b[31mred", "\x1b]0;title\x07",
         "%n%s%x%p%1000000d", "${jndi:ldap://evil.test/a}", "{{7*7}}", "$(id)", "`id`",
         "\u202etxt", "\u2028", "\x7f", "\x9b31m", "\\\"", "'\"><script>alert(1)</script>", "../../../../etc/passwd",
         "\u00fc", "\U0001f600", "a" * 300]
SQL = ["'", "''", "\"", "\\'", ";", "' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE accounts; --", "') OR ('1'='1",
       "\" OR \"\"=\"", "1 UNION SELECT 1,2,3", "' UNION SELECT jwk FROM accounts --",
       "%", "_", "%%", "a%", "*", "?", "$1", ":id", "@id", "NULL", "null", "0", "-1", "1e9", "x'41'", "0x41", "/**/",
       "--", "#", "||", "CAST(1 AS TEXT)", "'||(SELECT 1)||'",
       "'; ATTACH DATABASE '/tmp/x' AS x; --", "'; PRAGMA writable_schema=1; --", "\\x00", "\ufeff'", "\uff07",
       "a' AND randomblob(900000000) --"]


def everywhere(w, client, text):
    """The text in every string that a request has; the replies."""
    base = w.server.base
    yield client.post(base + "/new-order", {"identifiers": [{"type": "dns", "value": text}]})
    yield client.post(base + "/new-order", {"identifiers": [{"type": text, "value": "a.e2e.test"}]})
    yield client.new_order("a.e2e.test", profile=text)
    yield client.new_order("a.e2e.test", replaces=text)
    yield client.new_order("a.e2e.test", notAfter=text)
    yield client.post(base + "/new-authz", {"identifier": {"type": "dns", "value": text}})
    yield client.post(client.kid, {"contact": [f"mailto:{text}@a.test"]})
    yield client.post(client.kid, {"contact": [text]})
    yield client.post(base + "/revoke-cert", {"certificate": text})
    yield client.post(base + "/revoke-cert", {"certificate": "AAAA", "reason": text})
    yield client.post(base + "/key-change", text)
    yield client.post(base + "/new-order", {"identifiers": []}, kid=client.kid[:-36] + text)
    yield client.post(base + "/new-order", {"identifiers": []}, kid=text)
    yield client.post(base + "/new-order", {"identifiers": []}, url=text)
    yield client.post(base + "/new-order", {"identifiers": []}, nonce=text)
    yield client.post(base + "/new-order", {"identifiers": []}, alg=text)
    yield client.post(base + "/new-order", {text: text})
    yield acme.Client(w.server).new_account({"onlyReturnExisting": True, text: text})
    yield acme.Client(w.server,
                      "bound").new_account({"externalAccountBinding": acme.eab(text, b"x" * 32,
                                                                               base + "/realm/bound/new-account",
                                                                               client.key.jwk)})
    yield acme.Client(w.server).new_account(jwk={"kty": text, "crv": text, "x": text, "y": text})


def in_paths(w, client, text):
    quoted = "".join(f"%{b:02X}" if not chr(b).isalnum() else chr(b) for b in text.encode())
    for path in (f"/{quoted}", f"/order/{quoted}", f"/account/{quoted}/orders", f"/realm/{quoted}/directory",
                 f"/renewal-info/{quoted}", f"/certificate/{quoted}",
                 f"/directory?{quoted}={quoted}"):
        yield client.ask("GET", path)
        yield client.post(w.server.base + path)


def judged(w, client, texts):
    for text in texts:
        w.row = repr(text)
        for reply in everywhere(w, client, text):
            # what RFC 5321 lets stand before the @ is more than one thinks
            want(400 <= reply.status < 500 or (reply.status == 200 and text in reply.json["contact"][0]),
                 f"found {reply}")
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
            continue
        for reply in in_paths(w, client, text):
            want(reply.status < 500, f"found {reply}")
    w.row = ""


@case("A75", "line ends, terminal sequences and format strings in every string: one event, one line")
def log_forging(w):
    client, start = w.account(), w.log_size()
    judged(w, client, NASTY)
    agents = ["Mozilla/5.0 %n%s", "a\x80\x9b31m\xff", "${jndi:ldap://x}", "\"},{\"event\":\"forged\"}", "x" * 8000,
              "\\u001b[2J", "\\n\\r", "' OR 1=1 --"]
    for agent in agents:
        same(f"User-Agent {agent[:20]!r}", client.ask("GET", "/nothing", headers=[f"User-Agent: {agent}"]).status, 404)
    for agent in ("a\x1b[2Jb", "a\nb", "a\rb", "a\0b", "a\x7fb"):
        with w.server.connect() as c:
            same(f"User-Agent {agent!r}", c.request("GET", "/nothing", headers=[f"User-Agent: {agent}"]).status, 400)
    lines = settled_log(w, start).split(b"\n")
    want(len(lines) > 300, f"only {len(lines)} lines were logged")
    for line in lines:
        want(all(0x20 <= b < 0x7F for b in line), f"a log line with other bytes than printable ASCII: {line[:200]!r}")
        event = json.loads(line)
        want({"time", "level", "program", "event"} <= event.keys() and event["event"] != "forged",
             f"a log line that is none of ours: {line[:200]!r}")
        want(len(line) < 16384, f"a log line of {len(line)} bytes")


def settled_log(w, start):
    """What was logged since, up to the last whole line."""
    time.sleep(0.2)
    return w.log_since(start).rsplit(b"\n", 1)[0]


@case("A78", "SQL in every string: it stays text")
def sql(w):
    client = w.account()
    schema = w.rows("SELECT name, sql FROM sqlite_master ORDER BY name")
    counts = [w.rows(f"SELECT count(*) FROM {t}") for t in ("accounts", "orders", "certificates", "authorizations")]
    judged(w, client, SQL)
    same("schema", w.rows("SELECT name, sql FROM sqlite_master ORDER BY name"), schema)
    after = [w.rows(f"SELECT count(*) FROM {t}") for t in ("accounts", "orders", "certificates", "authorizations")]
    same("rows", after, counts)


@case("A77", "markup and foreign origins: nothing that a browser would run, nothing that it would send along")
def browsers(w):
    client = w.account()
    for path in ("/<script>alert(1)</script>", "/%3Cscript%3Ealert(1)%3C/script%3E",
                 "/order/%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", "/realm/%3Cb%3E/directory"):
        reply = client.ask("GET", path, headers=["Accept: text/html", "Referer: https://evil.test/"])
        want(reply.status in (400, 404) and b"<" not in reply.body, f"{path}: {reply}")
    for origin in ("https://evil.test", "null", "https://localhost.evil.test"):
        for method in ("GET", "OPTIONS"):
            reply = client.ask(method, "/directory",
                               headers=[f"Origin: {origin}", "Access-Control-Request-Method: POST", "Cookie: a=b",
                                        "Authorization: Basic AAAA"])
            want(reply.header("access-control-allow-origin") in (None, "*"), f"{origin} is let in by name")
            same("Access-Control-Allow-Credentials", reply.header("access-control-allow-credentials"), None)
            same("cookies", reply.header("set-cookie"), None)
    for path in ("/directory?url=https://evil.test", "//evil.test/", "/new-order?next=//evil.test",
                 "/directory?callback=alert"):
        reply = client.ask("GET", path)
        want(reply.status < 300 or reply.status >= 400, f"{path} is redirected to {reply.header('location')}")
        want(b"evil.test" not in reply.body and b"callback" not in reply.body, f"{path}: {reply}")


@case("A81", "what clients run scripts with: tokens, URLs and words of fixed letters and lengths")
def safe_output(w):
    client = w.account("wide")
    tokens, urls = set(), set()
    for _ in range(20):
        url, order = w.order(client, w.name(), w.name())
        urls |= {url, order["finalize"], *order["authorizations"]}
        for authz in order["authorizations"]:
            for challenge in w.done(client.post(authz)).json["challenges"]:
                tokens.add(challenge["token"])
                urls.add(challenge["url"])
    same("different tokens", len(tokens), 20 * 2 * 3)
    want(all(re.fullmatch(r"[A-Za-z0-9_-]{43}", t) for t in tokens), "a token of other letters")
    want(all(re.fullmatch(re.escape(client.base) + r"/[a-z]+/[0-9a-f-]{36}(/finalize)?", u) for u in urls),
         "a URL of other letters")
    for text in NASTY:
        reply = client.post(client.base + "/new-order",
                            {"identifiers": [{"type": "dns", "value": text + str(i)} for i in range(5)]})
        w.refused(reply, 400, "compound")
        for sub in reply.json["subproblems"]:
            want(re.fullmatch(r"[ -~]{8,800}", sub["detail"]), f"detail of a subproblem: {sub['detail']!r}")
    # every other reply of every other case was looked at by World.judge


@case("A76", "secrets: not in the log, not in a reply, not in the open in the store")
def canaries(w):
    client = acme.Client(w.server, "bound")
    url = client.base + "/new-account"
    for name in ("good", "once", "narrow"):
        kid, secret = w.eab(name)
        for wrong in ({}, {"mac": bytes(32)}, {"payload": {}}):
            client.new_account({"externalAccountBinding": acme.eab(kid, secret, url, client.key.jwk, **wrong)})
    owner = w.account()
    w.ready(owner)
    want(len(w.canaries) > 6, "there are no canaries")
    log = w.log_since(0)
    want(len(log) > 10000, "the log is too short to say anything")
    with open(w.options.store, "rb") as f:
        store = f.read()
    with open(w.options.store + "-wal", "rb") as f:
        store += f.read()
    for canary, what in w.canaries.items():
        want(canary.encode() not in log, f"{what} is in the log")
        if "external" in what:
            want(canary.encode() not in store, f"{what} is in the store")
            if "-" not in canary and len(canary) == 64:
                want(bytes.fromhex(canary) not in store, f"{what} is in the store")
    want(b"PRIVATE KEY" not in log and b'"d":' not in log, "a private key is in the log")


@case("A79", "the time of a comparison tells nothing about a MAC")
def timing(_):
    raise Skip("statistics are no test for CI: MACs are compared by bytes_eq_ct alone, whose tests are in "
               "src/crypto/secret_test.c")


@case("A80", "a broker or a cache without TLS, stolen credentials, poisoned messages")
def broker(_):
    raise Skip("there is no broker and no cache yet; the bus is a Unix socket, and src/bus/*_test.c poison its "
               "messages")
