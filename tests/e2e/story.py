#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""story.py DIRECTORY STATE WEBROOT begin|compare|finish: orders that are left where they are, for 33-restart.sh.

Speaks ACME with certbot's library. STATE keeps the account's key, what the server said, and the certificates.
"""
import datetime
import json
import os
import sys
import time

import josepy as jose
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

URL, STATE, WEBROOT, STEP = sys.argv[1:]


def path(name):
    return os.path.join(STATE, name)


def save(name, text):
    with open(path(name), "w", encoding="utf-8") as f:
        f.write(text)


def load(name):
    with open(path(name), encoding="utf-8") as f:
        return f.read()


def account_key():
    if os.path.exists(path("account.key")):
        return jose.JWKRSA.load(load("account.key").encode())
    key = rsa.generate_private_key(65537, 2048, default_backend())
    save("account.key", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                          serialization.NoEncryption()).decode())
    return account_key()


def connect():
    """The account is found by its key alone: whoever lost the account's URL gets it back (RFC 8555 7.3.1)."""
    net = client.ClientNetwork(KEY, user_agent="cairn-e2e")
    acme = client.ClientV2(client.ClientV2.get_directory(URL, net), net)
    if STEP == "begin":
        acme.new_account(messages.NewRegistration.from_data(email="story@e2e.test", terms_of_service_agreed=True))
        return acme
    try:
        acme.new_account(messages.NewRegistration(key=KEY.public_key(), only_return_existing=True))
        sys.exit("the account is not there any more: it was made again")
    except errors.ConflictError as e:
        acme.net.account = messages.RegistrationResource(uri=e.location, body=messages.Registration())
    return acme


def csr(names):
    key = ec.generate_private_key(ec.SECP256R1(), default_backend())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return crypto_util.make_csr(pem, names)


def prove(acme, order):
    for authz in order.authorizations:
        body = next(c for c in authz.body.challenges if isinstance(c.chall, challenges.HTTP01))
        response, validation = body.response_and_validation(KEY)
        with open(os.path.join(WEBROOT, ".well-known/acme-challenge", body.chall.encode("token")), "w",
                  encoding="ascii") as f:
            f.write(validation)
        acme.answer_challenge(body, response)
        until = time.monotonic() + 30
        while acme.poll(authz)[0].body.status != messages.STATUS_VALID:
            if time.monotonic() > until:
                sys.exit(f"{authz.body.identifier.value} was not proved in time")
            time.sleep(0.1)


def finish(acme, order, name):
    done = acme.finalize_order(order, datetime.datetime.now() + datetime.timedelta(seconds=30))
    save(name + ".pem", done.fullchain_pem)
    return done


def read(acme, url):
    """A POST-as-GET; problems are raised."""
    return acme._post_as_get(url)  # pylint: disable=protected-access


def view(acme, urls):
    """What the server says of everything that was kept."""
    out = {"account": read(acme, acme.net.account.uri).json(), "account url": acme.net.account.uri}
    for name, url in sorted(urls.items()):
        out[name] = read(acme, url).json()
        out[name + " authorizations"] = [read(acme, a).json() for a in out[name]["authorizations"]]
        if "certificate" in out[name]:
            out[name + " certificate"] = read(acme, out[name]["certificate"]).text
    return out


def begin(acme):
    first = acme.new_order(csr(["first.e2e.test", "other.e2e.test"]))
    prove(acme, first)
    finish(acme, first, "first")
    ready = acme.new_order(csr(["ready.e2e.test"]))
    prove(acme, ready)
    pending = acme.new_order(csr(["pending.e2e.test"]))
    urls = {"first": first.uri, "ready": ready.uri, "pending": pending.uri}
    seen = view(acme, urls)
    found = {name: seen[name]["status"] for name in urls}
    if found != {"first": "valid", "ready": "ready", "pending": "pending"}:
        sys.exit(f"odd states: {found}")
    if seen["first certificate"] != load("first.pem"):
        sys.exit("the certificate reads differently the second time")
    save("seen", json.dumps({"urls": urls, "view": seen}))


def compare(acme):
    kept = json.loads(load("seen"))
    now = view(acme, kept["urls"])
    for key in sorted(set(kept["view"]) | set(now)):
        if kept["view"].get(key) != now.get(key):
            sys.exit(f"{key}: it was {kept['view'].get(key)}, it is {now.get(key)}")


def finish_all(acme):
    for name, url in json.loads(load("seen"))["urls"].items():
        if name == "first":
            continue
        body = read(acme, url).json()
        authorizations = [messages.AuthorizationResource(body=messages.Authorization.from_json(read(acme, a).json()), uri=a)
                          for a in body["authorizations"]]
        order = messages.OrderResource(body=messages.Order.from_json(body), uri=url, authorizations=authorizations,
                                       csr_pem=csr([name + ".e2e.test"]))
        if body["status"] == "pending":
            prove(acme, order)
        finish(acme, order, name)


KEY = account_key()
{"begin": begin, "compare": compare, "finish": finish_all}[STEP](connect())
