# SPDX-License-Identifier: Apache-2.0
"""Floods and bombs: what they may cost (A70 to A72)."""
import gzip
import time

import acme
from acme import compact, jws, request
from world import case, same, want

FLAT_KIB = 8 * 1024  # what may stay of a flood; the allocator keeps some of what threads once had


def flat(w, before, what):
    if w.options.no_memory:
        return
    grown = w.resident_kib() - before
    w.note(f"{grown:+} KiB")
    want(grown < FLAT_KIB, f"{what} left {grown} KiB behind")


@case("A70", "5000 new nonces over one connection after another: nothing grows")
def nonce_flood(w):
    before = w.resident_kib()
    one = request(w.server, "HEAD", "/new-nonce")
    seen = set()
    start = time.perf_counter()
    for _ in range(10):
        with w.server.connect() as c:
            for _ in range(5):
                c.send(one * 100)
                for _ in range(100):
                    seen.add(c.reply(True).header("replay-nonce"))
    w.note(f"{5000 / (time.perf_counter() - start):.0f} a second")
    same("different nonces", len(seen), 5000)
    flat(w, before, "5000 nonces")


@case("A70", "orders and contacts without end, pages that are none")
def listings(w):
    client = w.account()
    before, made = w.resident_kib(), []
    for _ in range(230):
        made.append(w.done(client.new_order("pages.e2e.test")).header("location"))
    found, url, pages = [], client.kid + "/orders", 0
    while url and pages < 9:
        reply = w.done(client.post(url))
        found += reply.json["orders"]
        pages, url = pages + 1, (reply.links("next") or [None])[0]
    same("orders on all pages", sorted(found), sorted(made))
    same("pages", pages, 3)
    for query in ("before=", "before=x", "before=" + "0" * 36, "before=%27", "before=1%20OR%201=1", "after=x",
                  "cursor=1", "page=2", "", "before=&before=",
                  "limit=1000000", f"before={made[0].rsplit('/', 1)[1]}&limit=1", "before=" + "9" * 3000):
        w.row = f"?{query}"[:40]
        reply = client.post(f"{client.kid}/orders?{query}")
        w.refused(reply, 400, "malformed")
    nobody = acme.Client(w.server)
    good = "mailto:a@a.test"
    contacts = {"11 of them": [good] * 11, "1000 of them": [good] * 1000,
                "40 kB": ["mailto:" + "a" * 30000 + "@a.test"], "a string": good, "a number": 1, "null inside": [None],
                "an object": {"0": good}, "nested": [[good]], "no scheme": ["a@a.test"], "tel": ["tel:+1"],
                "http": ["https://a.test/"], "javascript": ["javascript:alert(1)"],
                "two in one": ["mailto:a@a.test,b@a.test"], "header fields": ["mailto:a@a.test?bcc=b@a.test"],
                "no domain": ["mailto:a"], "no local part": ["mailto:@a.test"],
                "two @": ["mailto:a@b@a.test"], "a line end": ["mailto:a@a.test\r\nBcc: b@a.test"],
                "a NUL": ["mailto:a@a.test\0"], "an escape": ["mailto:\x1b[2J@a.test"],
                "a display name": ["mailto:A <a@a.test>"], "Unicode": ["mailto:\u00fc@a.test"],
                "a percent": ["mailto:a%0ab@a.test"], "an address": ["mailto:a@127.0.0.1"],
                "a format string": ["mailto:%n%s@a.test"], "empty": [""],
                "SQL": ["mailto:'; DROP TABLE accounts; --@a.test"]}
    for what, value in contacts.items():
        w.row = f"contact: {what}"
        for to, who in ((nobody.base + "/new-account", nobody), (client.kid, client)):
            reply = who.post(to, {"contact": value})
            want(reply.status == 400 and reply.problem in ("malformed", "invalidContact", "unsupportedContact"),
                 f"found {reply}")
    w.row = ""
    flat(w, before, "230 orders")


def json_bombs():
    deep = 16000
    yield "arrays, deep", "[" * deep + "]" * deep
    yield "objects, deep", '{"a":' * 8000 + "1" + "}" * 8000
    yield "arrays, deep, without end", "[" * 33000
    yield "objects, deep, without end", '{"a":' * 6500
    yield "an object of 3000 keys", compact({f"k{i}": i for i in range(3000)})
    yield "an array of 16000 numbers", compact([1] * 16000)
    yield "a number of 30000 digits", '{"a":' + "9" * 30000 + "}"
    yield "a fraction of 30000 digits", '{"a":0.' + "9" * 30000 + "}"
    yield "an exponent of 30000 digits", '{"a":1e' + "9" * 30000 + "}"
    yield "a string of 30000 characters", compact({"a": "x" * 30000})
    yield "a string of 5000 escapes", '{"a":"' + "\\u0041" * 5000 + '"}'
    yield "a key of 30000 characters", compact({"x" * 30000: 1})
    yield "a key 3000 times", "{" + ",".join(['"a":1'] * 3000) + "}"
    yield "30000 blanks", " " * 30000
    yield "3000 empty objects", "[" + ",".join(["{}"] * 3000) + "]"


@case("A71", "JSON bombs as body, protected header and payload; bodies that are too large, packed or nothing but dots")
def bombs(w):
    client = w.account()
    url = w.server.base + "/new-order"
    before, slowest, longest = w.resident_kib(), 0, ""
    for what, text in json_bombs():
        for where in ("body", "protected", "payload"):
            w.row = f"{where}: {what}"
            if where == "body":
                body = text.encode()
            elif where == "protected":
                body = jws(client.key, text, {"identifiers": []})
            else:
                body = client.signed(url, text)
            start = time.perf_counter()
            reply = client.raw(url, body)
            took = time.perf_counter() - start
            if took > slowest:
                slowest, longest = took, w.row
            want(reply.status in (400, 413) and reply.problem == "malformed", f"found {reply}")
    w.note(f"the slowest took {slowest * 1000:.1f} ms ({longest})")
    want(slowest < 0.5, "a bomb took longer than half a second")
    for size in (50001, 60000, 200000):
        w.row = f"{size} bytes"
        w.refused(client.ask("POST", "/new-order", b"x" * size), 413, "malformed", "50000")
    w.row = "50000 bytes"
    body = compact(jws(client.key, client.header(url), {"identifiers": []}))
    w.refused(client.raw(url, body + " " * (50000 - len(body))), 400, "malformed", "at least one")
    for coding in ("gzip", "deflate", "br", "identity", "x"):
        w.row = f"Content-Encoding {coding}"
        reply = client.raw(url, gzip.compress(client.signed(url, {"identifiers": []})), [f"Content-Encoding: {coding}"])
        w.refused(reply, 415, "malformed")
    for kind in ("application/json", "text/plain", "application/jose", "application/jose+json2",
                 "application/jose+json/x", "x", "multipart/form-data; boundary=x",
                 "application/x-www-form-urlencoded", "application/jose json"):
        w.row = f"Content-Type {kind}"
        w.refused(client.raw(url, client.signed(url, {"identifiers": []}), [f"Content-Type: {kind}"]), 415, "malformed")
    for text in ("." * 49000, "a." * 24000, "{" * 49000, "\"" * 49000, "\\" * 49000, "\0" * 49000, "[[" * 24000,
                 "e30." * 12000):
        w.row = f"{text[:4]!r} again and again"
        start = time.perf_counter()
        w.refused(client.raw(url, text), 400, "malformed")
        want(time.perf_counter() - start < 0.5, "it took longer than half a second")
    w.row = ""
    flat(w, before, "bombs")


@case("A72", "keys made to collide, and many keys alike: time grows with size only")
def collisions(w):
    client = w.account()
    url = w.server.base + "/new-order"

    def took(keys):
        text = "{" + ",".join(f'"{k}":0' for k in keys) + "}"
        best = 9.0
        for _ in range(3):
            body = client.signed(url, text)
            want(len(body) < 50000, "the row is too large to be read")
            start = time.perf_counter()
            w.refused(client.raw(url, body), 400, "malformed")
            best = min(best, time.perf_counter() - start)
        return best
    # what collides under the hashes that tables commonly have, without a key: times 33 and 31, and sums
    pairs33, pairs31, sums = ("Ez", "FY"), ("Aa", "BB"), ("ad", "bc")
    rows = {"plain": [f"k{i:07}" for i in range(1200)]}
    for what, pair in (("times 33", pairs33), ("times 31", pairs31), ("sums", sums)):
        rows[what] = ["".join(pair[i >> b & 1] for b in range(11)) for i in range(1200)]
    rows["one byte apart at the end"] = ["x" * 7 + chr(97 + i % 26) + f"{i:04}" for i in range(1200)]
    times = {what: took(keys) for what, keys in rows.items()}
    w.note(", ".join(f"{what} {seconds * 1000:.1f} ms" for what, seconds in times.items()))
    want(max(times.values()) < 10 * times["plain"] + 0.02, f"some keys are slower than others: {times}")
    # the table of account keys, from one set of clients: each is served while 200 others come and go
    clients = [w.account() for _ in range(200)]
    for c in clients:
        w.done(c.post(c.kid), 200)
        c.close()
    same("the first of 200", w.done(clients[0].post(clients[0].kid)).json["status"], "valid")
