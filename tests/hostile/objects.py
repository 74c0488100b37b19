# SPDX-License-Identifier: Apache-2.0
"""Other accounts' objects by every route, accounts and authorizations that have ended, proofs that may not be used
again (A11, A12, A18, A20, A21)."""
import statistics
import time

import acme
from world import case, same, san, want

NOBODY = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def routes(w, owner):
    """(what, URL, payload) of everything that a request can do with the objects of an account."""
    url, order = w.order(owner)
    authz = order["authorizations"][0]
    challenge = w.challenge(owner, authz)["url"]
    _, certificate, _, _ = w.issue(owner)
    request = {"csr": acme.b64(acme.csr(acme.Key(), ["x.e2e.test"]))}
    return [("order", url, None), ("finalize", order["finalize"], request), ("authz", authz, None),
            ("end an authz", authz, {"status": "deactivated"}), ("challenge", challenge, None),
            ("answer a challenge", challenge, {}),
            ("certificate", certificate, None), ("alternate chain", certificate + "/alternate/1", None),
            ("account", owner.kid, None), ("change an account", owner.kid, {"contact": []}),
            ("end an account", owner.kid, {"status": "deactivated"}), ("orders", owner.kid + "/orders", None),
            ("orders, a page", f"{owner.kid}/orders?before={url.rsplit('/', 1)[1]}", None)]


def instead_of_id(url):
    """The same URL for an object that nobody has."""
    parts = url.split("/")
    at = next(i for i, p in enumerate(parts) if p.count("-") == 4)
    parts[at] = NOBODY + parts[at][36:]
    return "/".join(parts)


@case("A11", "another account's objects by every route: as if they were not there")
def others(w):
    owner, stranger = w.account(), w.account()
    gaps = []
    for what, url, payload in routes(w, owner):
        w.row = what
        theirs, nobodys = stranger.post(url, payload), stranger.post(instead_of_id(url), payload)
        want(theirs.status in (403, 404) and theirs.problem in ("unauthorized", "malformed"), f"found {theirs}")
        same("status of what nobody has", nobodys.status, theirs.status)
        same("body of what nobody has", nobodys.body, theirs.body)
        same("headers of what nobody has", [n for n, _ in nobodys.headers], [n for n, _ in theirs.headers])
        times = [[], []]
        for _ in range(8):
            for kind, to in enumerate((url, instead_of_id(url))):
                body = stranger.signed(to, payload)
                start = time.perf_counter()
                stranger.ask("POST", w.server.path(to), body)
                times[kind].append(time.perf_counter() - start)
        gaps.append(abs(statistics.median(times[0]) - statistics.median(times[1])) * 1000)
    want(max(gaps) < 20, f"the time tells which objects there are: medians differ by {max(gaps):.1f} ms")
    w.note(f"medians of time differ by {max(gaps):.2f} ms at most")
    w.row = "through another realm"
    for realm in ("optional", "bound"):
        for _, url, payload in routes(w, owner)[:8]:
            reply = owner.post(url.replace(w.server.base, f"{w.server.base}/realm/{realm}"), payload)
            want(reply.status in (400, 404), f"found {reply}")
    other = w.account("optional", owner.key)
    for what, url, payload in routes(w, owner)[:8]:
        w.row = f"{what}, by the same key's account of another realm"
        reply = other.post(url.replace(w.server.base, f"{w.server.base}/realm/optional"), payload)
        want(reply.status == 404, f"found {reply}")
    w.row = ""
    same("the owner's account", w.done(owner.post(owner.kid)).json["status"], "valid")


@case("A12", "an account that was deactivated can do nothing, nor can its key")
def ended_account(w):
    client = w.account()
    rows = routes(w, client)
    _, ready = w.ready(client)
    rows.append(("finalize what was ready", ready["finalize"],
                 {"csr": acme.b64(acme.csr(acme.Key(), san([ready["identifiers"][0]["value"]])))}))
    rows.append(("order", w.server.base + "/new-order", {"identifiers": [acme.ident(w.name())]}))
    if "newAuthz" in w.directory:
        rows.append(("newAuthz", w.directory["newAuthz"], {"identifier": acme.ident(w.name())}))
    issued = w.rows("SELECT count(*) FROM certificates")
    for status in ("valid", "revoked", "deleted", "", "DEACTIVATED"):
        w.row = f"status {status}"
        same("status", w.done(client.post(client.kid, {"status": status})).json["status"],
             "valid")  # RFC 8555 7.3.2: ignored
    w.row = ""
    same("status", w.done(client.post(client.kid, {"status": "deactivated"})).json["status"], "deactivated")
    for what, url, payload in rows:
        w.row = what
        w.refused(client.post(url, payload), 401, "unauthorized", "deactivated")
    w.row = "newAccount again"
    again = acme.Client(w.server, key=client.key)
    for payload in ({}, {"onlyReturnExisting": True}, {"status": "valid"}, {"termsOfServiceAgreed": True}):
        w.refused(again.new_account(payload), 401, "unauthorized", "deactivated")
    w.row = "reactivation"
    w.refused(client.post(client.kid, {"status": "valid"}), 401, "unauthorized")
    same("certificates", w.rows("SELECT count(*) FROM certificates"), issued)


@case("A20", "a proof serves no other account, no other key and nothing after its end")
def reuse(w):
    alice, bob = w.account(), w.account()
    name = w.name()
    url, order = w.ready(alice, name)
    again, second = w.order(alice, name)
    same("alice's second order", second["status"], "ready")
    same("alice's second order's proof", second["authorizations"], order["authorizations"])
    _, theirs = w.order(bob, name)
    same("bob's order of the same name", theirs["status"], "pending")
    want(theirs["authorizations"] != order["authorizations"], "bob got alice's authorization")
    other = w.account("optional", alice.key)
    _, abroad = w.order(other, name)
    same("an order of the same key in another realm", abroad["status"], "pending")
    same("deactivated", w.done(alice.post(order["authorizations"][0], {"status": "deactivated"})).json["status"],
         "deactivated")
    for what in (url, again):
        found = w.done(alice.post(what)).json
        same("an order whose proof was deactivated", found["status"], "invalid")
        w.refused(alice.post(found["finalize"], {"csr": acme.b64(acme.csr(acme.Key(), [name]))}), 403, "orderNotReady")
    _, third = w.order(alice, name)
    same("an order after that", third["status"], "pending")
    want(third["authorizations"] != order["authorizations"], "a deactivated authorization was used again")
    for payload in ({"status": "valid"}, {"status": "pending"}, {"status": "revoked"}, {"status": 1}, {}):
        w.refused(alice.post(order["authorizations"][0], payload), 400, "malformed", "status")
    # a challenge that failed once has failed
    authz = third["authorizations"][0]
    challenge = w.challenge(alice, authz)
    same("an authorization proved with nothing", w.prove(alice, authz, b"x")["status"], "invalid")
    w.answers.bodies[challenge["token"]] = f"{challenge['token']}.{alice.key.thumbprint()}".encode()
    for payload in ({}, {"keyAuthorization": "x"}, {"status": "valid"}):
        found = alice.post(challenge["url"], payload)
        want(found.status == 400 or found.json["status"] == "invalid",
             f"a failed challenge was taken up again: {found}")
    same("its authorization", w.done(alice.post(authz)).json["status"], "invalid")


@case("A21", "a proof for a name serves neither names below nor names beside it")
def narrow_proofs(w):
    client = w.account()
    name = w.name()
    w.ready(client, name)
    for other in (f"www.{name}", f"x{name}", name.replace(".e2e", ".x.e2e"), name.replace("n", "m", 1)):
        url, order = w.order(client, other)
        same(f"an order for {other}", order["status"], "pending")
        w.refused(client.post(order["finalize"], {"csr": acme.b64(acme.csr(acme.Key(), [other]))}), 403,
                  "orderNotReady")
        same("its status then", w.done(client.post(url)).json["status"], "pending")
    _, order = w.order(client, name, f"www.{name}")
    states = [w.done(client.post(a)).json["status"] for a in order["authorizations"]]
    same("an order for both", sorted(states), ["pending", "valid"])
    w.refused(client.post(order["finalize"], {"csr": acme.b64(acme.csr(acme.Key(), [name]))}), 403, "orderNotReady")


@case("A21", "domains above a name that are not above it, or not provable (RFC 9444)")
def ancestors(w):
    client = w.account("wide")
    base = w.name()
    name, url = f"a.b.{base}", client.base + "/new-order"
    for text in (name, f"c.{base}", f"x{base}", f"b.{base}.", f".{base}", f"*.{base}", f"a.b.{base}.evil.test",
                 "evil.test", "test", "",
                 ".", "*", "b\u00fc.e2e.test", "127.0.0.1", f"{base}\0", "localhost", base.replace("e2e", "e3e"),
                 "y" * 300):
        w.row = f"ancestorDomain {text!r}"[:60]
        reply = client.post(url, {"identifiers": [{**acme.ident(name), "ancestorDomain": text}]})
        want(reply.status == 400 and reply.problem in ("malformed", "rejectedIdentifier"), f"found {reply}")
    for value in (1, True, [base], {"type": "dns"}):
        w.row = f"ancestorDomain {value!r}"
        w.refused(client.post(url, {"identifiers": [{**acme.ident(name), "ancestorDomain": value}]}), 400, "malformed")
    w.row = "a proof by http-01 of the domain above"
    w.ready(client, base)
    order = w.done(client.post(url, {"identifiers": [{**acme.ident(name), "ancestorDomain": base}]}), 201).json
    same("status", order["status"], "pending")
    authz = w.done(client.post(order["authorizations"][0])).json
    same("it and its challenges", (authz["identifier"]["value"], [c["type"] for c in authz["challenges"]]),
         (base, ["dns-01"]))
    w.refused(client.post(order["finalize"], {"csr": acme.b64(acme.csr(acme.Key(), [name]))}), 403, "orderNotReady")
    w.row = "newAuthz"
    for ident in [{**acme.ident(base), "subdomainAuthAllowed": v} for v in ("true", 1, "yes", [], {})] + [
            {"type": "ip", "value": "127.0.0.1", "subdomainAuthAllowed": True}]:
        w.refused(client.post(client.base + "/new-authz", {"identifier": ident}), 400, "malformed",
                  "subdomainAuthAllowed")
    reply = w.done(client.post(client.base + "/new-authz",
                               {"identifier": {**acme.ident(base), "subdomainAuthAllowed": True}}), 200)
    same("an authorization for what is below", [c["type"] for c in reply.json["challenges"]], ["dns-01"])


@case("A18", "the account's own key, and keys known to be compromised, certify nothing")
def forbidden_keys(w):
    for kind in ("P-256", "RSA"):
        client = w.account(key=acme.Key(kind))
        name = w.name()
        url, order = w.ready(client, name)
        reply = client.post(order["finalize"], {"csr": acme.b64(acme.csr(client.key, [name]))})
        w.refused(reply, 400, "badCSR", "account's key")
        same("the order after that", w.done(client.post(url)).json["status"], "ready")
    _, _, der, key = w.issue(client)
    revoke = w.need("revokeCert")
    owner = acme.Client(w.server, key=key)
    w.done(owner.post(revoke, {"certificate": acme.b64(der), "reason": 1}), 200)
    w.refused(acme.Client(w.server, key=key).new_account(), 400, "badPublicKey", "compromised")
    w.refused(acme.Client(w.server, "optional", key).new_account(), 400, "badPublicKey", "compromised")
    name = w.name()
    _, order = w.ready(client, name)
    w.refused(client.post(order["finalize"], {"csr": acme.b64(acme.csr(key, [name]))}), 400, "badCSR", "compromised")
    same("the order after that", w.done(client.post(order["finalize"].removesuffix("/finalize"))).json["status"],
         "ready")
    w.done(client.post(order["finalize"], {"csr": acme.b64(acme.csr(acme.Key(), [name]))}), 200)
