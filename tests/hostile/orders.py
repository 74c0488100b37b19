# SPDX-License-Identifier: Apache-2.0
"""Orders for what must not be certified, and orders that claim more than they are (A39, A40, A55, A82 to A84)."""
import re
from datetime import datetime, timedelta, timezone

import der
import acme
from acme import b64, csr, unb64
from world import Skip, case, same, want

ACCOUNTS, ORDERS = 5, 4  # an hour, in the realm "limited" of 60-hostile.sh

BAD_NAMES = [  # value, and the type of refusal
    ("", "malformed"), (".", "malformed"), ("e2e.test.", "malformed"), (".e2e.test", "malformed"),
               ("a..e2e.test", "malformed"), ("-a.e2e.test", "malformed"),
    ("a-.e2e.test", "malformed"), ("a_b.e2e.test", "malformed"), ("_acme-challenge.e2e.test", "malformed"),
               ("a b.e2e.test", "malformed"),
    ("a\te2e.test", "malformed"), ("a\n.e2e.test", "malformed"), ("a\r\nX: y.e2e.test", "malformed"),
               ("a/b.e2e.test", "malformed"),
    ("a\\b.e2e.test", "malformed"), ("a:80.e2e.test", "malformed"), ("a@b.e2e.test", "malformed"),
               ("https://a.e2e.test", "malformed"),
    ("a%2e.e2e.test", "malformed"), ("a'.e2e.test", "malformed"), ("a;b.e2e.test", "malformed"),
               ("$(id).e2e.test", "malformed"),
    ("`id`.e2e.test", "malformed"), ("../../etc.e2e.test", "malformed"), ("a" * 64 + ".e2e.test", "malformed"),
    (".".join(["a" * 61] * 4) + ".e2e.test", "malformed"), ("xn--.e2e.test", "malformed"),
               ("xn--a.e2e.test", "malformed"),
    ("xn--bcher-kva\u00fc.e2e.test", "malformed"), ("xn--ls8h.e2e.test", "malformed"), ("ab--c.e2e.test", "malformed"),
               ("b\u00fccher.e2e.test", "malformed"),
    ("\u0435xample.e2e.test", "malformed"), ("a\u200b.e2e.test", "malformed"), ("a\u3002e2e.test", "malformed"),
               ("127.0.0.1", "malformed"),
    ("127.1", "malformed"), ("0x7f.1", "malformed"), ("2130706433", "malformed"), ("::1", "malformed"),
               ("[::1]", "malformed"), ("a.0x1", "malformed"),
    ("*", "malformed"), ("**.e2e.test", "malformed"), ("a*.e2e.test", "malformed"), ("*a.e2e.test", "malformed"),
               ("a.*.e2e.test", "malformed"),
    ("*.*.e2e.test", "malformed"), ("*.", "malformed"), ("test", "rejectedIdentifier"),
               ("localhost", "rejectedIdentifier"),
    ("a.localhost", "rejectedIdentifier"), ("a.local", "rejectedIdentifier"), ("a.onion", "rejectedIdentifier"),
               ("a.invalid", "rejectedIdentifier"),
    ("1.0.0.127.in-addr.arpa", "rejectedIdentifier"), (".".join("abcdefghijkl") + ".e2e.test", "rejectedIdentifier"),
    ("evil.test", "rejectedIdentifier"), ("e2e.test", "rejectedIdentifier"),
               ("a.e2e.test.evil.com", "rejectedIdentifier"), ("xe2e.test", "rejectedIdentifier"),
    ("*.e2e.test", "rejectedIdentifier"), ("*.a.e2e.test", "rejectedIdentifier")]


@case("A55", "names that are none, reserved, in other scripts or not this realm's")
def names(w):
    client, start = w.account(), w.rows("SELECT count(*) FROM orders")
    for value, problem in BAD_NAMES:
        w.row = repr(value)
        ident = {"type": "dns", "value": value}
        w.refused(client.post(w.server.base + "/new-order", {"identifiers": [ident]}), 400, problem)
        want(client.post(w.need("newAuthz"), {"identifier": ident}).status == 400, "newAuthz took it")
    w.row = "a NUL"
    w.refused(client.new_order({"type": "dns", "value": "a.e2e.test\0"}), 400, "malformed")
    for kind in ("DNS", "Dns", "", "email", "permanent-identifier", "ip\n", "*"):
        w.row = f"type {kind!r}"
        w.refused(client.new_order({"type": kind, "value": w.name()}), 400, "unsupportedIdentifier")
    for bad in (None, 1, "a.e2e.test", [], {}, {"type": "dns"}, {"value": "a.e2e.test"},
                {"type": 1, "value": "a.e2e.test"},
                {"type": "dns", "value": ["a.e2e.test"]}, {"type": "dns", "value": None},
                {"type": "dns", "value": "x" * 600}):
        w.row = f"identifier {bad!r}"
        w.refused(client.post(w.server.base + "/new-order", {"identifiers": [bad]}), 400, "malformed")
    for bad in (None, 1, "x", {}, [], {"0": acme.ident("a.e2e.test")}, [[acme.ident("a.e2e.test")]],
                [acme.ident(f"x{i}.e2e.test") for i in range(101)]):
        w.row = f"identifiers {bad!r}"[:60]
        w.refused(client.post(w.server.base + "/new-order", {"identifiers": bad}), 400, "malformed")
    w.row = "100 bad ones at once"
    bad = [{"type": "dns", "value": f"\u00fc{i}" + "\u00fc" * 20} for i in range(100)]
    reply = w.refused(client.post(w.server.base + "/new-order", {"identifiers": bad}), 400, "compound")
    same("subproblems", len(reply.json["subproblems"]), 100)
    w.row = "one bad among 100"
    some = [acme.ident(f"y{i}.e2e.test") for i in range(99)]
    w.refused(client.post(w.server.base + "/new-order", {"identifiers": some + [acme.ident("a.evil.test")]}), 400,
              "rejectedIdentifier")
    w.row = ""
    same("orders made by all that", w.rows("SELECT count(*) FROM orders"), start)
    found = w.done(client.post(w.server.base + "/new-order", {"identifiers": some + some[:1]})).json
    same("names of 99 and one twice", len(found["identifiers"]), 99)


@case("A39", "addresses: not canonical, mapped, with zones, in names, or not this realm's; never dns-01")
def addresses(w):
    client, narrow = w.account("wide"), w.account()
    url = client.base + "/new-order"
    for value in ("127.0.0.01", "127.1", "0177.0.0.1", "0x7f000001", "2130706433", "127.0.0.1 ", " 127.0.0.1",
                  "127.0.0.1/32", "127.0.0.256", "127.0.0.1:80",
                  "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:0:0:1", "::0001", "::1%lo", "::1%25lo", "[::1]",
                  "2001:DB8::1", "2001:db8:0:0::1",
                  "2001:db8::1::2", "2001:db8::12345", "::1.2.3.4.5", "", "*", "localhost", "*.0.0.1", "1.2.3",
                  "1.2.3.4.5", "\u0661.2.3.4", "127.0.0.1\0"):
        w.row = repr(value)
        w.refused(client.post(url, {"identifiers": [{"type": "ip", "value": value}]}), 400, "malformed")
    for value in ("10.0.0.1", "169.254.169.254", "2001:db9::1", "fe80::1", "0.0.0.0", "::", "255.255.255.255"):
        w.row = value
        w.refused(client.new_order(value), 400, "rejectedIdentifier")
    w.row = "a realm without addresses"
    w.refused(narrow.new_order("127.0.0.1"), 400, "rejectedIdentifier")
    w.row = ""
    for value in ("127.0.0.1", "::1", "2001:db8::5"):
        _, order = w.order(client, value)
        types = {c["type"] for c in w.done(client.post(order["authorizations"][0])).json["challenges"]}
        same(f"challenges for {value} (RFC 8738 7)", types, {"http-01", "tls-alpn-01"})
    order_url, certificate, cert, _ = w.issue(client, "127.0.0.1")
    want(b"\x87\x04\x7f\0\0\x01" in cert and b"\x82\x09127.0.0.1" not in cert, "the address is not an iPAddress")
    want(order_url and certificate, "no certificate")
    for what, names in {"as a dNSName": ["127.0.0.1"], "another one": [acme.der.tlv(0x87, b"\x7f\0\0\x02")],
                        "mapped": [der.tlv(0x87, bytes(10) + b"\xff\xff\x7f\0\0\x01")],
                        "of 3 bytes": [der.tlv(0x87, b"\x7f\0\0")],
                        "and a name": [der.tlv(0x87, b"\x7f\0\0\x01"), "x.e2e.test"]}.items():
        w.row = f"a CSR with the address {what}"
        _, order = w.ready(client, "127.0.0.1")
        w.refused(client.post(order["finalize"], {"csr": b64(csr(acme.Key(), names))}), 400, "badCSR")


@case("A40", "wildcards get dns-01 alone, and newAuthz does not take them")
def wildcards(w):
    client = w.account("wide")
    name = w.name()
    w.ready(client, name)
    _, order = w.order(client, "*." + name)
    same("the order for the wildcard, with the base name proved", order["status"], "pending")
    authz = w.done(client.post(order["authorizations"][0])).json
    same("challenges", [c["type"] for c in authz["challenges"]], ["dns-01"])
    same("identifier", (authz["identifier"]["value"], authz["wildcard"]), (name, True))
    reply = client.post(order["finalize"], {"csr": b64(csr(acme.Key(), ["*." + name]))})
    w.refused(reply, 403, "orderNotReady")
    for value in ("*." + name, "*.*." + name, "x.*." + name):
        w.refused(client.post(client.base + "/new-authz", {"identifier": acme.ident(value)}), 400, "malformed")
    _, both = w.order(client, name, "*." + name)
    states = sorted(w.done(client.post(a)).json["status"] for a in both["authorizations"])
    same("an order for both", states, ["pending", "valid"])


@case("A82", "limits: not evaded by spelling, order, paths or headers")
def limits(w):
    client, made = None, 0
    lies = [[], ["X-Forwarded-For: 203.0.113.7"], ["X-Real-IP: 203.0.113.8"], ["Forwarded: for=203.0.113.9"],
            ["Client-IP: 203.0.113.10"],
            ["True-Client-IP: 203.0.113.11"], ["X-Forwarded-For: 127.0.0.1, 203.0.113.12"]]
    for i in range(30):
        fresh = acme.Client(w.server, "limited")
        url = fresh.base + "/new-account"
        reply = fresh.ask("POST", w.server.path(url), fresh.signed(url, {"contact": [f"mailto:a{i}@a.test"]}),
                          lies[i % len(lies)])
        if reply.status == 429:
            break
        w.done(reply, 201)
        fresh.kid, made = reply.header("location"), made + 1
        client = client or fresh
    same("accounts until the limit of this realm", made, ACCOUNTS)
    w.refused(reply, 429, "rateLimited")
    want(0 < int(reply.header("retry-after")) <= 3600, f"Retry-After {reply.header('retry-after')}")
    base, made = w.name(), 0
    spellings = [(base,), (base.upper(),), (base, base), (base, base.upper()), (base.capitalize(),), (w.name(), base),
                 (base, w.name())]
    for i in range(20):
        reply = client.new_order(*spellings[i % len(spellings)])
        if reply.status == 429:
            break
        w.done(reply, 201)
        made += 1
    same("orders until the limit of this realm", made, ORDERS)
    w.refused(reply, 429, "rateLimited")
    want(0 < int(reply.header("retry-after")) <= 3600, f"Retry-After {reply.header('retry-after')}")
    for names in spellings:
        w.refused(client.new_order(*names), 429, "rateLimited")
    w.refused(client.post(client.base + "/new-order", {"identifiers": [acme.ident(base)], "replaces": "AAAA.AAAA"}),
              400, "malformed")
    elsewhere = w.account("", client.key)
    w.done(elsewhere.new_order(base), 201)


def certid(cert):
    """RFC 9773 4.1."""
    tbs = der.parts(der.parts(der.parts(cert)[0][1])[0][1])
    for _, body, _ in der.parts(der.parts(tbs[7][1])[0][1]):
        extension = der.parts(body)
        if extension[0][2] == der.oid("2.5.29.35"):
            aki = der.parts(der.parts(extension[-1][1])[0][1])[0][1]
    return f"{b64(aki)}.{b64(tbs[1][1])}"


@case("A83", "renewal information under names that are none; orders that replace what is not theirs, or twice")
def renewal(w):
    base = w.need("renewalInfo")
    owner, stranger = w.account(), w.account()
    name = w.name()
    _, _, cert, key = w.issue(owner, name)
    ident = certid(cert)
    aki, serial = ident.split(".")
    found = w.get(w.server.path(base) + "/" + ident)
    same("status", found.status, 200)
    window = found.json["suggestedWindow"]
    want(window["start"] < window["end"] and int(found.header("retry-after")) > 3600, f"found {found}")
    odd = {"one part": aki, "three parts": ident + ".AA", "a dot in front": "." + ident, "no AKI": "." + serial,
           "no serial": aki + ".",
           "padding": ident + "=", "plain base64": ident.replace(".", "+."), "parts exchanged": f"{serial}.{aki}",
           "serial with a zero in front": f"{aki}.{b64(bytes(1) + unb64(serial))}",
           "AKI cut": f"{b64(unb64(aki)[:-1])}.{serial}", "AKI of another CA": f"{b64(bytes(20))}.{serial}",
           "another serial": f"{aki}.{b64(b'x' + unb64(serial)[1:])}",
           "serial empty bytes": f"{aki}.AA", "serial negative": f"{aki}.{b64(bytes([255] * 16))}",
           "serial of 30 bytes": f"{aki}.{b64(b'x' * 30)}", "in hex": f"{unb64(aki).hex()}.{unb64(serial).hex()}",
           "%": "%25", "escaped dot": ident.replace(".", "%2e"),
           "SQL": "'OR'1'='1.AAAA", "LIKE": "%25.%25", "*": "*.*", "500 bytes": "A" * 250 + "." + "A" * 250,
           "in lower case": ident.lower()}
    for what, text in odd.items():
        w.row = f"GET, {what}"
        reply = w.get(w.server.path(base) + "/" + text)
        want(reply.status in (400, 404) and reply.problem == "malformed", f"found {reply}")
    for path in (w.server.path(base), w.server.path(base) + "/", f"{w.server.path(base)}/{ident}/",
                 f"{w.server.path(base)}/{ident}/x",
                 f"/realm/optional{w.server.path(base)}/{ident}"):
        w.row = f"GET {path}"
        same("status", w.get(path).status, 404)
    w.row = "methods"
    same("POST", owner.post(base + "/" + ident, {}).status, 405)
    for what, text in odd.items():
        w.row = f"replaces, {what}"
        reply = owner.new_order(name, replaces=text)
        w.refused(reply, 400, "malformed")
    for value in (1, True, [ident], {"id": ident}, ""):
        w.row = f"replaces {value!r}"
        w.refused(owner.new_order(name, replaces=value), 400, "malformed")
    w.row = "a stranger"
    unknown = w.refused(stranger.new_order(name, replaces=f"{aki}.{b64(b'x' + unb64(serial)[1:])}"), 400,
                        "malformed").detail
    theirs = w.refused(stranger.new_order(name, replaces=ident), 400, "malformed").detail
    same("words but for the name", re.sub(r"\S+\.\S+$", "", theirs), re.sub(r"\S+\.\S+$", "", unknown))
    w.row = "no name in common"
    w.refused(owner.new_order(w.name(), replaces=ident), 400, "malformed", "identifiers")
    w.row = "twice"
    url, order = w.order(owner, name, replaces=ident)
    same("replaces", order["replaces"], ident)
    w.done(owner.new_order(name, replaces=ident), 201)
    w.done(owner.post(order["finalize"], {"csr": b64(csr(acme.Key(), [name]))}), 200)
    same("the order that replaces", w.poll(owner, url)["status"], "valid")
    w.refused(owner.new_order(name, replaces=ident), 409, "alreadyReplaced")
    w.row = "revoked: a window in the past"
    w.done(acme.Client(w.server, key=key).post(w.need("revokeCert"), {"certificate": b64(cert)}), 200)
    window = w.get(w.server.path(base) + "/" + ident).json["suggestedWindow"]
    want(window["start"] < window["end"] < datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
         f"window {window}")


@case("A84", "profiles and times that are not offered")
def profiles(w):
    client = w.account()
    name = w.name()
    same("profiles", sorted(w.directory["meta"]["profiles"]), ["server", "short"])
    for value in ("hidden", "nothing", "", "Server", "SERVER", "server ", " server", "server\n", "server,short", "*",
                  "default", "../server", "x" * 250):
        w.row = f"profile {value!r}"
        w.refused(client.new_order(name, profile=value), 400, "invalidProfile")
    for value in (1, True, ["server"], {"server": 1}, "x" * 300, "server\0"):
        w.row = f"profile {value!r}"[:60]
        w.refused(client.new_order(name, profile=value), 400, "malformed")
    w.row = ""
    _, order = w.order(client, name, profile="short")
    same("profile", order["profile"], "short")
    now = datetime.now(timezone.utc)

    def at(**delta):
        return (now + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for times in ({"notAfter": at(days=91)}, {"notAfter": at(days=-1)}, {"notBefore": at(days=3)},
                  {"notBefore": at(days=-2)},
                  {"notBefore": at(days=1), "notAfter": at(hours=1)},
                  {"notBefore": at(hours=1), "notAfter": at(days=91)}, {"notAfter": "9999-12-31T23:59:59Z"},
                  {"notAfter": "99999-12-31T23:59:59Z"}, {"notBefore": "0000-01-01T00:00:00Z"},
                  {"notBefore": "1969-12-31T23:59:59Z"}, {"notBefore": "1970-01-01T00:00:00Z"},
                  {"notAfter": "2026-02-30T00:00:00Z"}, {"notAfter": at(days=3).replace("Z", "")},
                  {"notAfter": "tomorrow"}, {"notAfter": ""}, {"notAfter": 1800000000},
                  {"notAfter": at(days=1).replace("T", " ")}, {"notAfter": at(days=1).replace("Z", "+99:99")},
                  {"notAfter": at(days=1).replace("Z", ".5.5Z")},
                  {"notBefore": [at()]}, {"notAfter": at(days=1) + "\0"}, {"notAfter": "2" * 300}):
        w.row = f"{times}"[:80]
        w.refused(client.new_order(name, **times), 400, "malformed")
    w.row = "longer than the short profile"
    w.refused(client.new_order(name, profile="short", notAfter=at(days=3)), 400, "malformed")


@case("A84", "a profile that is withdrawn while an order waits")
def withdrawn(_):
    raise Skip("needs another configuration in the middle; tests/replay/stories/profile_withdrawn.scn tells it")
