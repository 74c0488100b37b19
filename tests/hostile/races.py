# SPDX-License-Identifier: Apache-2.0
"""What only one of many requests may have, asked for by all of them at once (A8, A12, A13, A14, A19)."""
import threading

import acme
from acme import b64, compact, csr, eab, jws, request
from world import at_once, case, counted, same, san, want

CONNECTIONS = 50


def volley(w, path, bodies):
    """All bodies over as many connections as CONNECTIONS, let go together; the replies, in the bodies' order."""
    lanes = [bodies[i::CONNECTIONS] for i in range(min(CONNECTIONS, len(bodies)))]
    connected = threading.Barrier(len(lanes))

    def lane(i):
        with w.server.connect(60) as c:
            connected.wait(60)
            c.send(b"".join(request(w.server, "POST", path, b) for b in lanes[i]))
            return [c.reply() for _ in lanes[i]]
    replies = [None] * len(bodies)
    for i, found in enumerate(at_once(len(lanes), lane)):
        replies[i::CONNECTIONS] = found
    return replies


def verdicts(replies):
    return counted((r.status, r.problem) for r in replies)


@case("A8", "one nonce in 1000 requests at once, over 50 connections: one is served")
def one_nonce(w):
    client = w.account()
    nonce = client.nonce()
    bodies = [client.signed(w.server.base + "/new-order", {"identifiers": [acme.ident(w.name())]},
                            nonce=nonce) for _ in range(1000)]
    replies = volley(w, "/new-order", bodies)
    same("verdicts", verdicts(replies), {(201, None): 1, (400, "badNonce"): 999})
    fresh = {r.header("replay-nonce") for r in replies}
    same("new nonces", len(fresh), 1000)
    same("orders", len(w.done(client.post(client.kid + "/orders")).json["orders"]), 1)
    # the very same bytes, too
    body = client.signed(w.server.base + "/new-order", {"identifiers": [acme.ident(w.name())]})
    same("verdicts", verdicts(volley(w, "/new-order", [body] * 200)), {(201, None): 1, (400, "badNonce"): 199})
    w.done(client.post(client.kid, nonce=fresh.pop()), 200)


@case("A8", "200 nonces, each in five requests at once: each is served once")
def many_nonces(w):
    client = w.account()
    with w.server.connect() as c:
        nonces = [c.request("HEAD", "/new-nonce").header("replay-nonce") for _ in range(200)]
    bodies = [client.signed(client.kid, None, nonce=n) for _ in range(5) for n in nonces]
    same("verdicts", verdicts(volley(w, w.server.path(client.kid), bodies)), {(200, None): 200, (400, "badNonce"): 800})


@case("A19", "one finalize 100 times at once, the same request: one certificate, the same order for all")
def same_finalize(w):
    client, name = w.account(), w.name()
    url, order = w.ready(client, name)
    payload = {"csr": b64(csr(acme.Key(), [name]))}
    bodies = [client.signed(order["finalize"], payload, nonce=n) for n in fresh_nonces(w, 100)]
    replies = volley(w, w.server.path(order["finalize"]), bodies)
    same("verdicts", verdicts(replies), {(200, None): 100})
    same("orders that they tell of", {r.header("location") for r in replies}, {url})
    want({r.json["status"] for r in replies} <= {"processing", "valid"},
         "an order that is neither processing nor valid")
    done = w.poll(client, url)
    same("status", done["status"], "valid")
    same("certificates that they tell of", {r.json.get("certificate") for r in replies} - {None}, {done["certificate"]})
    one_certificate(w, url)


def uuid_of(url):
    return bytes.fromhex(url.rsplit("/", 1)[1].replace("-", ""))


def one_certificate(w, url):
    order = uuid_of(url)
    same("issuances", w.rows("SELECT count(*) FROM issuances WHERE order_id = ?", order), [(1,)])
    same("certificates", w.rows("SELECT count(*) FROM certificates WHERE order_id = ?", order), [(1,)])


def fresh_nonces(w, count):
    with w.server.connect() as c:
        return [c.request("HEAD", "/new-nonce").header("replay-nonce") for _ in range(count)]


@case("A19", "one finalize 100 times at once, 100 keys, and a stranger's among them: one certificate")
def other_finalizes(w):
    client, stranger, name = w.account(), w.account(), w.name()
    url, order = w.ready(client, name)
    keys = [acme.Key() for _ in range(100)]
    nonces = fresh_nonces(w, 120)
    bodies = [client.signed(order["finalize"], {"csr": b64(csr(k, [name]))}, nonce=n) for k, n in zip(keys, nonces)]
    bodies += [stranger.signed(order["finalize"], {"csr": b64(csr(acme.Key(), [name]))}, nonce=n) for n in nonces[100:]]
    replies = volley(w, w.server.path(order["finalize"]), bodies)
    same("verdicts", verdicts(replies[:100]), {(200, None): 1, (403, "orderNotReady"): 99})
    same("the stranger's", verdicts(replies[100:]), {(404, "malformed"): 20})
    winner = [r.status for r in replies].index(200)
    done = w.poll(client, url)
    same("status", done["status"], "valid")
    one_certificate(w, url)
    der = w.rows("SELECT der FROM certificates WHERE order_id = ?",
                 uuid_of(url))[0][0]
    want(keys[winner].spki() in der, "the certificate has another key than that of the request that was served")


@case("A19", "newAccount 100 times at once with one key: one account, one URL")
def one_key(w):
    client = acme.Client(w.server)
    url = w.server.base + "/new-account"
    bodies = [client.signed(url, {}, nonce=n) for n in fresh_nonces(w, 100)]
    replies = volley(w, "/new-account", bodies)
    same("verdicts", verdicts(replies), {(201, None): 1, (200, None): 99})
    same("accounts", len({r.header("location") for r in replies}), 1)
    same("rows", w.rows("SELECT count(*) FROM accounts WHERE thumbprint = ?", client.key.thumbprint()), [(1,)])


@case("A19", "one challenge answered 100 times at once: one attempt")
def one_challenge(w):
    client = w.account()
    _, order = w.order(client)
    challenge = w.challenge(client, order["authorizations"][0])
    w.answers.bodies[challenge["token"]] = f"{challenge['token']}.{client.key.thumbprint()}".encode()
    replies = volley(w, w.server.path(challenge["url"]),
                     [client.signed(challenge["url"], {}, nonce=n) for n in fresh_nonces(w, 100)])
    same("verdicts", verdicts(replies), {(200, None): 100})
    same("authorization", w.poll(client, order["authorizations"][0])["status"], "valid")
    same("attempts", w.rows("SELECT count(*) FROM attempts WHERE challenge = ?", uuid_of(challenge["url"])), [(1,)])
    asked = [p for p in w.answers.asked if p.endswith(challenge["token"])]
    same("probes", len(asked), 1)


def together(w, *requests):
    """(path, body) each over its own connection, at once."""
    connections = [w.server.connect() for _ in requests]

    def one(i):
        connections[i].send(request(w.server, "POST", *requests[i]))
        return connections[i].reply()
    replies = at_once(len(requests), one)
    for c in connections:
        c.sock.close()
    return replies


@case("A12", "deactivate against 15 finalizes, 8 times: nothing is begun once the end was acknowledged")
def end_and_finalize(w):
    served = 0
    for _ in range(8):
        client, name = w.account(), w.name()
        w.ready(client, name)
        orders = [w.order(client, name)[1] for _ in range(15)]
        nonces = fresh_nonces(w, 16)
        requests = [(w.server.path(o["finalize"]),
                     client.signed(o["finalize"], {"csr": b64(csr(acme.Key(), [name]))}, nonce=n))
                    for o, n in zip(orders, nonces)]
        end = (w.server.path(client.kid), client.signed(client.kid, {"status": "deactivated"}, nonce=nonces[15]))
        ended, begun, replies = end_among(w, client, end, requests)
        same("the deactivation", (ended.status, ended.json["status"]), (200, "deactivated"))
        found = verdicts(replies)
        want(set(found) <= {(200, None), (401, "unauthorized")}, f"verdicts: {found}")
        same("issuances that were begun after the end was acknowledged", issuances(w, client) - begun, 0)
        same("issuances", begun, found.get((200, None), 0))
        served += begun
        w.refused(client.post(orders[0]["finalize"], {"csr": b64(csr(acme.Key(), [name]))}), 401, "unauthorized",
                  "deactivated")
    w.note(f"{served} of 120 came before the end")


def issuances(w, client):
    return w.rows("SELECT count(*) FROM issuances WHERE account = ?", uuid_of(client.kid))[0][0]


def end_among(w, client, end, requests):
    """The reply to the end, how many issuances there were at that moment, the replies to the others."""
    connections = [w.server.connect() for _ in range(len(requests) + 1)]

    def one(i):
        connections[i].send(request(w.server, "POST", *(requests[i] if i < len(requests) else end)))
        reply = connections[i].reply()
        return reply, issuances(w, client) if i == len(requests) else None
    found = at_once(len(connections), one)
    for c in connections:
        c.sock.close()
    return *found[-1], [reply for reply, _ in found[:-1]]


def key_change(w, client, new, nonce=None):
    url = w.need("keyChange")
    inner = jws(new, {"alg": new.alg, "jwk": new.jwk, "url": url}, {"account": client.kid, "oldKey": client.key.jwk})
    return client.signed(url, inner, **({"nonce": nonce} if nonce else {}))


@case("A13", "20 key changes of one account at once: one wins, every other key opens nothing")
def key_changes(w):
    client, path = w.account(), w.server.path(w.need("keyChange"))
    keys = [acme.Key() for _ in range(20)]
    replies = volley(w, path, [key_change(w, client, k, n) for k, n in zip(keys, fresh_nonces(w, 20))])
    # the others were overtaken in the transaction, or before the gate read the account's key
    found = verdicts(replies)
    want(found.pop((200, None), 0) == 1 and set(found) <= {(403, "unauthorized"), (400, "malformed")},
         f"verdicts beside one 200: {found}")
    winner = keys[[r.status for r in replies].index(200)]
    w.refused(client.post(client.kid), 400, "malformed", "signature")
    kid = client.kid
    for key in keys:
        client = acme.Client(w.server, key=key)
        client.kid = kid
        reply = client.post(kid)
        same("what the winner's key opens" if key is winner else "what a loser's key opens", reply.status,
             200 if key is winner else 400)


@case("A13", "one key for ten accounts at once, and for a new one: one has it")
def one_new_key(w):
    new, path = acme.Key(), w.server.path(w.need("keyChange"))
    clients = [w.account() for _ in range(10)]
    nonces = fresh_nonces(w, 11)
    fresh = acme.Client(w.server, key=new)
    requests = [(path, key_change(w, c, new, n)) for c, n in zip(clients, nonces)]
    requests.append(("/new-account", fresh.signed(w.server.base + "/new-account", {}, nonce=nonces[10])))
    replies = together(w, *requests)
    found = verdicts(replies)
    # whoever comes after the first key change: newAccount gets that account
    want(found in ({(200, None): 2, (409, "malformed"): 9}, {(201, None): 1, (409, "malformed"): 10}),
         f"verdicts: {found}")
    same("where they are sent", len({r.header("location") for r in replies}), 1)
    same("accounts with this key", w.rows("SELECT count(*) FROM accounts WHERE thumbprint = ?", new.thumbprint()),
         [(1,)])


@case("A14", "an external account key for one account, 50 times at once: one account")
def one_binding(w):
    kid, secret = w.eab("raced")
    clients = [acme.Client(w.server, "bound") for _ in range(50)]
    url = clients[0].base + "/new-account"
    bodies = [c.signed(url, {"externalAccountBinding": eab(kid, secret, url, c.key.jwk)}, nonce=n)
              for c, n in zip(clients, fresh_nonces(w, 50))]
    replies = volley(w, w.server.path(url), bodies)
    same("verdicts", verdicts(replies), {(201, None): 1, (403, "unauthorized"): 49})
    same("accounts bound", w.rows("SELECT count(*) FROM accounts WHERE eab_kid = ?", kid), [(1,)])


@case("A17", "one certificate revoked 50 times at once: one revocation")
def one_revocation(w):
    client = w.account()
    _, _, der, key = w.issue(client)
    url = w.need("revokeCert")
    owner = acme.Client(w.server, key=key)
    nonces = fresh_nonces(w, 50)
    bodies = [c.signed(url, {"certificate": b64(der), "reason": 4}, nonce=n) for c,
              n in zip([client, owner] * 25, nonces)]
    replies = volley(w, w.server.path(url), bodies)
    same("verdicts", verdicts(replies), {(200, None): 1, (400, "alreadyRevoked"): 49})


@case("A20", "the end of an authorization against finalize, 15 times: one of the two")
def authz_and_finalize(w):
    first = 0
    for _ in range(15):
        client, name = w.account(), w.name()
        url, order = w.ready(client, name)
        authz, nonces = order["authorizations"][0], fresh_nonces(w, 2)
        body = client.signed(order["finalize"], {"csr": b64(csr(acme.Key(), san([name])))}, nonce=nonces[0])
        end = client.signed(authz, {"status": "deactivated"}, nonce=nonces[1])
        finalized, ended = together(w, (w.server.path(order["finalize"]), body), (w.server.path(authz), end))
        same("the deactivation", (ended.status, ended.json["status"]), (200, "deactivated"))
        found = w.poll(client, url)["status"]
        if finalized.status == 200:
            first += 1
            same("an order that was finalized", found, "valid")
        else:
            w.refused(finalized, 403, "orderNotReady")
            same("an order that was not finalized", found, "invalid")
    w.note(f"finalize came first {first} times of 15")


@case("A78", "bodies of one connection do not get into another: 50 clients, 20 requests each")
def no_mix(w):
    clients = [w.account() for _ in range(10)]

    def lane(i):
        client = clients[i % 10]
        with w.server.connect(60) as c:
            for _ in range(20):
                nonce = c.request("HEAD", "/new-nonce").header("replay-nonce")
                contact = f"mailto:c{i}@a.test"
                reply = c.request("POST", w.server.path(client.kid),
                                  client.signed(client.kid, {"contact": [contact]}, nonce=nonce))
                want(reply.status == 200 and reply.header("location") == client.kid, f"found {reply}")
                same("contact", compact(reply.json["contact"]), compact([contact]))
    at_once(50, lane)
