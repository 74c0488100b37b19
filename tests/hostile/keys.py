# SPDX-License-Identifier: Apache-2.0
"""Key changes and external account bindings that are wrong in any way (A13, A14)."""
import acme
from acme import b64, compact, eab, jws
from world import case, same, want


def change(client, to, new, /, inner=None, signer=None, payload=None, outer=None, **header):
    """A key change; each argument replaces a part, None in header leaves a member out. inner: a function of the
    inner JWS."""
    head = {"alg": (signer or new).alg, "jwk": new.jwk, "url": to, **header}
    head = {k: v for k, v in head.items() if v is not None}
    body = {"account": client.kid, "oldKey": client.key.jwk} if payload is None else payload
    made = jws(signer or new, head, body)
    return client.post(to, inner(made) if inner else made, **(outer or {}))


@case("A13", "key changes: wrong in any part, replayed, for a key that is taken; then one that is right")
def key_changes(w):
    url = w.need("keyChange")
    client, other, new, third = w.account(), w.account(), acme.Key(), acme.Key()
    good = {"account": client.kid, "oldKey": client.key.jwk}
    rows = {
        "signed by the old key": {"signer": client.key}, "signed by a third key": {"signer": third},
        "signature changed": {"inner": lambda j: {**j, "signature": b64(bytes(64))}},
        "signature empty": {"inner": lambda j: {**j, "signature": ""}},
        "no signature": {"inner": lambda j: {k: v for k, v in j.items() if k != "signature"}},
        "payload changed": {"inner": lambda j: {**j, "payload": b64(compact({**good, "x": 1}))}},
        "payload empty": {"inner": lambda j: {**j, "payload": ""}},
        "an unprotected header": {"inner": lambda j: {**j, "header": {"alg": "ES256"}}},
        "general serialization": {"inner": lambda j: {"payload": j["payload"],
                                                      "signatures": [{"protected": j["protected"],
                                                                      "signature": j["signature"]}]}},
        "compact serialization": {"inner": lambda j: ".".join(j.values())},
        "a list": {"inner": lambda j: [j]}, "nothing": {"inner": lambda j: {}}, "not JSON": {"inner": lambda j: "x"},
        "the inner payload in place of the inner JWS": {"inner": lambda j: good},
        "url of another resource": {"url": w.server.base + "/new-order"},
            "url of another host": {"url": url.replace("localhost", "evil.test")},
        "url with a slash": {"url": url + "/"}, "url absent": {"url": None}, "url a number": {"url": 1},
        "an inner nonce": {"nonce": "AAAA"}, "an inner nonce that is good": {"nonce": client.nonce()},
        "kid in place of jwk": {"jwk": None, "kid": client.kid}, "kid and jwk": {"kid": client.kid},
            "no jwk": {"jwk": None},
        "jwk of the old key": {"jwk": client.key.jwk}, "jwk that is none": {"jwk": {"kty": "EC"}},
        "jwk with a private member": {"jwk": {**new.jwk, "d": "AQAB"}}, "crit": {"crit": ["x"]},
        "another account": {"payload": {**good, "account": other.kid}},
        "account of another host": {"payload": {**good, "account": client.kid.replace("localhost", "evil.test")}},
        "account with a slash": {"payload": {**good, "account": client.kid + "/"}},
            "account empty": {"payload": {**good, "account": ""}},
        "account a number": {"payload": {**good, "account": 1}}, "no account": {"payload": {"oldKey": client.key.jwk}},
        "no oldKey": {"payload": {"account": client.kid}},
            "oldKey of another account": {"payload": {**good, "oldKey": other.key.jwk}},
        "oldKey is the new key": {"payload": {**good, "oldKey": new.jwk}},
            "oldKey a thumbprint": {"payload": {**good, "oldKey": client.key.thumbprint()}},
        "oldKey null": {"payload": {**good, "oldKey": None}},
            "oldKey that is none": {"payload": {**good, "oldKey": {"kty": "EC"}}},
        "oldKey with a private member": {"payload": {**good, "oldKey": {**client.key.jwk, "d": "AQAB"}}},
        "a key twice": {"payload": compact(good)[:-1] + f',"account":"{other.kid}"}}'},
        "a payload that is a list": {"payload": [good]},
    }
    for what, wrong in rows.items():
        w.row = what
        reply = change(client, url, new, **wrong)
        want(reply.status == 400 and reply.problem in ("malformed", "badPublicKey"), f"found {reply}")
    for what, alg in {"none": "none", "HS256": "HS256", "another curve's": "ES384", "RSA's": "RS256"}.items():
        w.row = f"inner algorithm {what}"
        w.refused(change(client, url, new, alg=alg), 400, "badSignatureAlgorithm")
    w.row = "the outer JWS"
    w.refused(change(client, url, new, outer={"kid": None, "jwk": new.jwk}), 400, "malformed", "kid")
    w.refused(change(client, url, new, outer={"url": w.server.base + "/new-order"}), 403, "unauthorized")
    w.refused(client.post(url, None), 400, "malformed")
    stranger = acme.Client(w.server)
    stranger.kid = client.kid
    w.refused(change(stranger, url, new, payload=good), 400, "malformed", "signature")
    w.row = "weak new keys"
    for key in (acme.Key("RSA", 1024), acme.Key("RSA", 2056)):
        w.refused(change(client, url, key), 400, "badPublicKey")
    w.row = "a key that is taken"
    reply = w.refused(change(client, url, other.key), 409, "malformed", "already")
    same("Location", reply.header("location"), other.kid)
    reply = w.refused(change(client, url, client.key), 409, "malformed", "already")
    same("Location", reply.header("location"), client.kid)
    w.row = ""
    same("the account after all that", w.done(client.post(client.kid)).json["status"], "valid")
    right_change(w, client, url, new)


def right_change(w, client, url, new):
    name = w.name()
    ready, _ = w.ready(client, name)
    pending, waiting = w.order(client)
    body = client.signed(url,
                         jws(new, {"alg": new.alg, "jwk": new.jwk, "url": url},
                             {"account": client.kid, "oldKey": client.key.jwk}))
    w.done(client.ask("POST", w.server.path(url), body), 200)
    w.row = "the old key after that"
    old, again = client, acme.Client(w.server, key=new)
    again.kid = old.kid
    w.refused(old.ask("POST", w.server.path(url), body), 403, "unauthorized")
    for to, payload in ((old.kid, None), (ready, None),
                        (w.server.base + "/new-order", {"identifiers": [acme.ident(name)]}),
                        (old.kid, {"status": "deactivated"})):
        w.refused(old.post(to, payload), 400, "malformed", "signature")
    fresh = acme.Client(w.server, key=old.key)
    w.refused(fresh.new_account({"onlyReturnExisting": True}), 400, "accountDoesNotExist")
    w.row = "the new key after that"
    same("account",
         w.done(acme.Client(w.server, key=new).new_account({"onlyReturnExisting": True}), 200).header("location"),
         old.kid)
    reply = again.post(ready + "/finalize", {"csr": b64(acme.csr(acme.Key(), [name]))})
    w.refused(reply, 403, "orderNotReady", "key")
    same("an order of the same name", w.order(again, name)[1]["status"], "pending")
    found = w.prove(again, waiting["authorizations"][0])
    same("an authorization that nobody had begun to prove", found["status"], "valid")
    same("its order", w.done(again.post(pending)).json["status"], "ready")


def binding(client, kid, secret, more=None, **wrong):
    url = client.base + "/new-account"
    made = eab(kid, secret, wrong.pop("url", url), client.key.jwk, **wrong)
    made = wrong["change"](made) if "change" in wrong else made
    return client.new_account({"externalAccountBinding": made, **(more or {})})


@case("A14",
      "external account bindings: absent, wrong in any part, for another key or realm, used up, expired, disabled")
def bindings(w):
    kid, secret = w.eab("good")
    start = w.rows("SELECT count(*) FROM accounts WHERE realm = 'bound'")
    url = w.server.base + "/realm/bound/new-account"
    same("the directory says so", w.get("/realm/bound/directory").json["meta"]["externalAccountRequired"], True)
    client, other = acme.Client(w.server, "bound"), acme.Key()
    for payload in ({}, {"termsOfServiceAgreed": True}, {"contact": ["mailto:a@a.test"]}):
        w.refused(client.new_account(payload), 403, "externalAccountRequired")
    w.refused(client.new_account({"onlyReturnExisting": True}), 400, "accountDoesNotExist")
    for value in (None, "", "x", 1, True, [], {}, {"protected": ""}, [eab(kid, secret, url, client.key.jwk)]):
        w.row = f"binding {value!r}"
        reply = client.new_account({"externalAccountBinding": value})
        want((reply.status, reply.problem) in ((400, "malformed"), (403, "externalAccountRequired")), f"found {reply}")
    rows = {
        "MAC zeros": {"mac": bytes(32)}, "MAC empty": {"mac": b""}, "MAC cut": {"mac": bytes(16)},
            "MAC long": {"mac": bytes(33)},
        "no MAC": {"change": lambda e: {k: v for k, v in e.items() if k != "signature"}},
        "alg none": {"alg": "none"}, "alg HS1": {"alg": "HS1"}, "alg ES256": {"alg": "ES256"},
            "alg hs256": {"alg": "hs256"}, "no alg": {"header": {"alg": None}},
        "alg RS256": {"alg": "RS256"}, "a nonce": {"header": {"nonce": "AAAA"}},
            "jwk in the header": {"header": {"jwk": client.key.jwk}},
        "jwk in place of kid": {"header": {"kid": None, "jwk": client.key.jwk}}, "no kid": {"header": {"kid": None}},
            "crit": {"header": {"crit": ["x"]}},
        "url of another resource": {"url": w.server.base + "/realm/bound/new-order"},
            "url of another realm": {"url": w.server.base + "/new-account"},
        "no url": {"header": {"url": None}}, "kid a number": {"header": {"kid": 1}},
            "kid empty": {"header": {"kid": ""}},
        "another key": {"payload": other.jwk}, "a key and more": {"payload": {**client.key.jwk, "d": "AQAB"}},
            "no key": {"payload": {}},
        "payload empty": {"payload": b""}, "payload a thumbprint": {"payload": client.key.thumbprint()},
            "payload a list": {"payload": [client.key.jwk]},
        "an unprotected header": {"change": lambda e: {**e, "header": {}}},
            "compact serialization": {"change": lambda e: ".".join(e.values())},
        "signed as one does requests": {"change": lambda e: jws(client.key, {"alg": "ES256", "kid": kid, "url": url},
                                                                client.key.jwk)},
        "another kid": {"header": {"kid": "eab-unknown"}}, "kid in upper case": {"header": {"kid": kid.upper()}},
            "kid with a NUL": {"header": {"kid": kid + "\0"}},
        "kid with SQL": {"header": {"kid": "' OR '1'='1"}}, "kid %": {"header": {"kid": "%"}},
    }
    for what, wrong in rows.items():
        w.row = what
        reply = binding(client, kid, secret, **wrong)
        want((reply.status, reply.problem) in ((400, "malformed"), (403, "unauthorized"),
                                               (400, "badSignatureAlgorithm"), (400, "badPublicKey")), f"found {reply}")
    w.row = "an unknown kid and a wrong MAC: the same words"
    unknown, wrong = binding(client, "eab-" + "A" * 22, secret), binding(client, kid, bytes(32))
    w.refused(wrong, 403, "unauthorized")
    same("words", unknown.body, wrong.body)
    for name, word in (("elsewhere", ""), ("expired", "expired"), ("disabled", "disabled")):
        w.row = name
        reply = w.refused(binding(client, *w.eab(name)), 403, "unauthorized", word)
    same("words for another realm's key", binding(client, *w.eab("elsewhere")).body, wrong.body)
    w.row = "other ways in"
    for to in ("/realm/bound/new-order", "/realm/bound/new-authz", "/realm/bound/key-change",
               "/realm/bound/revoke-cert", "/realm/bound/account/x"):
        reply = client.raw(w.server.base + to,
                           jws(client.key,
                               {"alg": "ES256", "nonce": client.nonce(), "url": w.server.base + to,
                                "jwk": client.key.jwk}, {}))
        want(reply.status in (400, 404), f"{to}: {reply}")
    elsewhere = w.account("optional", client.key)
    for kid_url in (elsewhere.kid, elsewhere.kid.replace("/realm/optional", "/realm/bound")):
        reply = client.post(w.server.base + "/realm/bound/new-order", {"identifiers": [acme.ident(w.name())]},
                            jwk=None, kid=kid_url)
        w.refused(reply, 400, "accountDoesNotExist")
    w.row = ""
    same("accounts made by all that", w.rows("SELECT count(*) FROM accounts WHERE realm = 'bound'"), start)
    right_bindings(w)


def right_bindings(w):
    for alg in ("HS256", "HS384", "HS512"):
        client = acme.Client(w.server, "bound")
        w.done(binding(client, *w.eab("good"), alg=alg), 201)
        w.done(client.new_order(w.name()), 201)
    w.row = "used up"
    w.done(binding(acme.Client(w.server, "bound"), *w.eab("once")), 201)
    w.refused(binding(acme.Client(w.server, "bound"), *w.eab("once")), 403, "unauthorized", "used up")
    w.row = "an account that is there gets no other by a binding"
    client.key, kid = client.key, client.kid
    same("account", w.done(binding(client, *w.eab("once")), 200).header("location"), kid)
    w.row = "a key that is for some names and one profile"
    client = acme.Client(w.server, "bound")
    w.done(binding(client, *w.eab("narrow")), 201)
    w.refused(client.new_order(w.name()), 400, "rejectedIdentifier", "external account key")
    w.done(client.new_order("www.narrow.e2e.test"), 201)
    w.refused(client.new_order("narrow.e2e.test"), 400, "rejectedIdentifier")
    w.refused(client.new_order("www.narrow.e2e.test", profile="short"), 400, "invalidProfile")
    reply = client.post(w.server.base + "/realm/bound/new-authz", {"identifier": acme.ident(w.name())})
    w.refused(reply, 400, "rejectedIdentifier")
    new = acme.Key()
    url = w.server.base + "/realm/bound/key-change"
    w.done(change(client, url, new), 200)
    client.key = new
    w.row = "a key change does not loosen it"
    w.refused(client.new_order(w.name()), 400, "rejectedIdentifier", "external account key")
    w.row = "a realm where bindings are optional"
    w.refused(binding(acme.Client(w.server, "optional"), *w.eab("good")), 403, "unauthorized")
    w.refused(binding(acme.Client(w.server, "optional"), w.eab("elsewhere")[0], bytes(32)), 403, "unauthorized")
    w.done(binding(acme.Client(w.server, "optional"), *w.eab("elsewhere")), 201)
    w.done(acme.Client(w.server, "optional").new_account(), 201)
