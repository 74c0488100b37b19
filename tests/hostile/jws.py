# SPDX-License-Identifier: Apache-2.0
"""Wrong signed requests of every kind (A1 to A7, A9, A10), and keys that are none (A24, A26, A27)."""
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

import acme
from acme import b64, compact, jws, text_of
from world import Skip, case, counted, same, want

ORDER = {"identifiers": [{"type": "dns", "value": "www.e2e.test"}]}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def b32(number):
    return number.to_bytes(32, "big")


# --- A1, A2, A3 -------------------------------------------------------------------------------------------------------

@case("A1", "a proof for another key, and a request by another key under an account's name")
def substitution(w):
    alice, mallory = w.account(), w.account()
    _, order = w.order(alice)
    token = w.challenge(alice, order["authorizations"][0])["token"]
    body = f"{token}.{mallory.key.thumbprint()}".encode()
    found = w.prove(alice, order["authorizations"][0], body)
    same("an authorization proved with another key's thumbprint", found["status"], "invalid")
    url = w.server.base + "/new-order"
    header = alice.header(url)
    w.refused(alice.raw(url, jws(mallory.key, header, ORDER)), 400, "malformed", "signature does not verify")
    # the key that fits is in the header, too: it must not be asked
    header = {**alice.header(url), "jwk": mallory.key.jwk}
    w.refused(alice.raw(url, jws(mallory.key, header, ORDER)), 400, "malformed", "kid")


def hmac_secrets(key):
    """What a verifier that mistakes a public key for a secret would use."""
    public = key.private.public_key()
    return [public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            key.spki(),
            compact(key.jwk).encode(), b""]


@case("A2", "algorithms that are not served, or not for this key")
def algorithms(w):
    served = ["ES256", "ES384", "ES512", "RS256", "EdDSA"]
    for kind in ("P-256", "RSA", "Ed25519", "P-384"):
        client = w.account(key=acme.Key(kind))
        url = w.server.base + "/new-order"
        wrong = ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "RS1", "PS256", "PS384",
                 "PS512",
                 "ES256K", "es256", "ES256 ", " ES256", "EdDSA2", "Ed448", "A128GCM", "dir"]
        wrong += [a for a in served if a != client.key.alg]
        for alg in wrong:
            for by_jwk in (False, True):
                to = w.server.base + "/new-account" if by_jwk else url
                header = client.header(to, alg=alg)
                if by_jwk:
                    header = {"alg": alg, "nonce": header["nonce"], "url": to, "jwk": client.key.jwk}
                signature = {"none": b""}.get(alg)
                reply = client.raw(to, jws(client.key, header, {} if by_jwk else ORDER, signature))
                w.refused(reply, 400, "badSignatureAlgorithm")
                same(f"algorithms offered to {kind} with {alg!r} (RFC 8555 6.2)", sorted(reply.json["algorithms"]),
                     sorted(served))
        for alg in (1, None, True, ["ES256"], {"alg": "ES256"}, "ES256\0"):
            header = {**client.header(url), "alg": alg}
            w.refused(client.raw(url, jws(client.key, header, ORDER)), 400, "malformed")
    client = w.account(key=acme.Key("RSA"))
    for secret in hmac_secrets(client.key):
        body = acme.eab("x", secret, w.server.base + "/new-order", ORDER,
                        header=client.header(w.server.base + "/new-order", alg="HS256"))
        w.refused(client.raw(w.server.base + "/new-order", body), 400, "badSignatureAlgorithm")


def ecdsa_signatures(key):
    n = P256_ORDER

    def parts(sig):
        return int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")

    def made(change):
        return lambda sig: b"".join(b32(v) for v in change(*parts(sig)))

    yield "empty", b""
    yield "r = 0", made(lambda r, s: (0, s))
    yield "s = 0", made(lambda r, s: (r, 0))
    yield "both 0 (CVE-2022-21449)", made(lambda r, s: (0, 0))
    yield "r = n", made(lambda r, s: (n, s))
    yield "s = n", made(lambda r, s: (r, n))
    yield "both n", made(lambda r, s: (n, n))
    yield "r = 2^256 - 1", made(lambda r, s: (2**256 - 1, s))
    yield "s = 2^256 - 1", made(lambda r, s: (r, 2**256 - 1))
    yield "r = s = 1", made(lambda r, s: (1, 1))
    yield "r and s exchanged", made(lambda r, s: (s, r))
    yield "-r", made(lambda r, s: (n - r, s))
    yield "s + 1", made(lambda r, s: (r, (s + 1) % n))
    yield "r with the lowest bit turned", made(lambda r, s: (r ^ 1, s))
    yield "63 bytes", lambda sig: sig[:63]
    yield "65 bytes", lambda sig: sig + b"\0"
    yield "a zero in front", lambda sig: b"\0" + sig
    yield "each half with a zero in front", lambda sig: b"\0" + sig[:32] + b"\0" + sig[32:]
    yield "twice", lambda sig: sig + sig
    yield "one byte", b"\x01"
    yield "1024 bytes", bytes(1024)
    yield "4096 bytes", bytes(4096)
    yield "hex", lambda sig: sig.hex().encode()
    yield "all ones", b"\xff" * 64


@case("A3", "signatures that are malformed, out of range or of another form")
def signatures(w):
    client = w.account()
    url = w.server.base + "/new-order"
    for what, signature in ecdsa_signatures(client.key):
        reply = client.raw(url, jws(client.key, client.header(url), ORDER, signature))
        want(reply.status == 400 and reply.problem == "malformed" and "signature" in reply.detail, f"{what}: {reply}")
    header = client.header(url)
    signed = f"{b64(compact(header))}.{b64(compact(ORDER))}".encode()
    w.refused(client.raw(url, jws(client.key, header, ORDER, client.key.sign_der(signed))), 400, "malformed",
              "signature")

    def high(sig):  # the other of the two that fit; JOSE has no rule against it
        return sig[:32] + b32(P256_ORDER - int.from_bytes(sig[32:], "big"))
    w.done(client.raw(url, jws(client.key, client.header(url), ORDER, high)), 201)

    client = w.account(key=acme.Key("RSA"))
    modulus = client.key.private.public_key().public_numbers().n
    wrong = {
        "short": lambda s: s[:255], "long": lambda s: s + b"\0", "a zero in front": lambda s: b"\0" + s,
             "zeros": bytes(256),
        "one": (1).to_bytes(256, "big"), "all ones": b"\xff" * 256,
        "s + n": lambda s: (int.from_bytes(s, "big") + modulus).to_bytes(257, "big"),
        "n - s": lambda s: (modulus - int.from_bytes(s, "big")).to_bytes(256, "big")}
    for what, signature in wrong.items():
        reply = client.raw(url, jws(client.key, client.header(url), ORDER, signature))
        want(reply.status == 400 and reply.problem == "malformed" and "signature" in reply.detail,
             f"RSA, {what}: {reply}")
    for what, pad, digest in (("SHA-1", padding.PKCS1v15(), hashes.SHA1()),
                              ("SHA-512", padding.PKCS1v15(), hashes.SHA512()),
                              ("PSS", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())):
        header = client.header(url)
        signed = f"{b64(compact(header))}.{b64(compact(ORDER))}".encode()
        reply = client.raw(url, jws(client.key, header, ORDER, client.key.private.sign(signed, pad, digest)))
        want(reply.status == 400 and reply.problem == "malformed" and "signature" in reply.detail,
             f"RSA, {what}: {reply}")

    client = w.account(key=acme.Key("Ed25519"))
    wrong = {
        "s + order": lambda s: s[:32] + (int.from_bytes(s[32:], "little") + ED25519_ORDER).to_bytes(32, "little"),
        "R changed": lambda s: bytes([s[0] ^ 1]) + s[1:], "s = 0": lambda s: s[:32] + bytes(32), "zeros": bytes(64),
        "R of small order, s = 0": b"\x01" + bytes(63), "63 bytes": lambda s: s[:63], "65 bytes": lambda s: s + b"\0"}
    for what, signature in wrong.items():
        reply = client.raw(url, jws(client.key, client.header(url), ORDER, signature))
        want(reply.status == 400 and reply.problem == "malformed" and "signature" in reply.detail,
             f"Ed25519, {what}: {reply}")


# --- A4, A5: the forms ------------------------------------------------------------------------------------------------

def spoiled_json(good):
    """Texts that no two parsers may read differently. good: a JSON object."""
    inner = good[1:-1]
    name = json.loads(good).popitem()[0]
    twice = compact(json.loads(good)[name])
    escaped = "".join(f"\\u{ord(c):04x}" for c in name)
    return {
        "a key twice": f'{{{inner},"{name}":{twice}}}', "a key twice, once escaped": f'{{{inner},"{escaped}":{twice}}}',
        "a key twice, null first": f'{{"{name}":null,{inner}}}', "an unknown key twice": f'{{{inner},"x":1,"x":1}}',
        "a deep key twice": f'{{{inner},"x":{{"a":1,"a":2}}}}',
        "a lone high surrogate": f'{{{inner},"x":"\\ud800"}}', "a lone low surrogate": f'{{{inner},"x":"\\udc00"}}',
        "surrogates exchanged": f'{{{inner},"x":"\\udc00\\ud800"}}',
            "a lone surrogate as a key": f'{{{inner},"\\ud800":1}}',
        "an escaped NUL in a value": f'{{{inner},"x":"a\\u0000b"}}',
            "an escaped NUL in a key": f'{{{inner},"a\\u0000b":1}}',
        "a key with a NUL behind it": f'{{{inner},"{name}\\u0000":{twice}}}',
        "a NUL": f"{{{inner}}}\0", "a NUL in a string": f'{{{inner},"x":"a\0b"}}',
        "invalid UTF-8": f'{{{inner},"x":"'.encode() + b'\xff"}',
            "overlong UTF-8": f'{{{inner},"x":"'.encode() + b'\xc0\xaf"}',
        "a surrogate in UTF-8": f'{{{inner},"x":"'.encode() + b'\xed\xa0\x80"}',
        "UTF-8 beyond Unicode": f'{{{inner},"x":"'.encode() + b'\xf4\x90\x80\x80"}',
        "UTF-8 cut off": f'{{{inner},"x":"'.encode() + b'\xe2\x82"}',
            "Latin-1": f'{{{inner},"x":"'.encode() + b'\xe9"}',
        "UTF-16": good.encode("utf-16"), "a byte order mark": b"\xef\xbb\xbf" + good.encode(),
        "a bracket behind": good + "}", "a word behind": good + "x", "another object behind": good + good,
            "a comma behind": good + ",",
        "a comment": f"{{/**/{inner}}}", "a comment behind": good + "//", "single quotes": good.replace('"', "'"),
        "a comma too many": f"{{{inner},}}", "a comma first": f"{{,{inner}}}", "no quotes": f'{{{inner},x:"y"}}',
        "no value": f'{{{inner},"x":}}', "no colon": f'{{{inner},"x"}}', "NaN": f'{{{inner},"x":NaN}}',
        "Infinity": f'{{{inner},"x":Infinity}}', "a number too large": f'{{{inner},"x":1e999}}',
        "an integer too large": f'{{{inner},"x":99999999999999999999}}',
        "a number with a zero in front": f'{{{inner},"x":01}}', "a plus": f'{{{inner},"x":+1}}',
            "hex": f'{{{inner},"x":0x1}}',
        "no digit behind the dot": f'{{{inner},"x":1.}}', "no digit in front of the dot": f'{{{inner},"x":.5}}',
        "True": f'{{{inner},"x":True}}', "a raw line end in a string": f'{{{inner},"x":"a\nb"}}',
        "a raw tab in a string": f'{{{inner},"x":"a\tb"}}', "an unknown escape": f'{{{inner},"x":"\\x41"}}',
        "a short escape": f'{{{inner},"x":"\\u41"}}', "a string without end": f'{{{inner},"x":"', "cut off": good[:-1],
        "a form feed between": f"{{\f{inner}}}", "a no-break space between": f"{{\u00a0{inner}}}",
        "nothing but blanks": " \n", "an array": f"[{good}]", "a string": compact(good), "a number": "1",
            "true": "true",
        "null": "null", "17 levels": f'{{{inner},"x":{"[" * 16}{"]" * 16}}}',
    }


@case("A4", "JSON that two parsers read differently: as body, as protected header, as payload")
def json_forms(w):
    client = w.account()
    url = w.server.base + "/new-order"
    for what, text in spoiled_json(compact(ORDER)).items():
        reply = client.post(url, text_of(text))
        want(reply.status == 400 and reply.problem == "malformed" and "payload" in reply.detail,
             f"payload, {what}: {reply}")
    header = client.header(url)
    for what in spoiled_json(compact(header)):
        header = client.header(url)
        text = text_of(spoiled_json(compact(header))[what])
        reply = client.raw(url, jws(client.key, text, ORDER))
        want(reply.status == 400 and reply.problem == "malformed" and "protected" in reply.detail,
             f"protected, {what}: {reply}")
    for what in spoiled_json(compact({"signature": "x"})):
        body = compact(jws(client.key, client.header(url), ORDER))
        reply = client.raw(url, spoiled_json(body)[what])
        want(reply.status == 400 and reply.problem == "malformed", f"body, {what}: {reply}")
    # an escaped key that comes once is the key: JSON says so, and nobody reads it otherwise
    text = compact(client.header(url)).replace('"alg"', '"\\u0061lg"').replace('"url"', '"\\u0075rl"')
    w.done(client.raw(url, jws(client.key, text, ORDER)), 201)


@case("A5", "bodies that are not one flattened JWS with one protected header")
def jws_forms(w):
    client = w.account()
    url = w.server.base + "/new-order"

    def good():
        return jws(client.key, client.header(url), ORDER)

    def general(parts):
        return {"payload": parts["payload"], "signatures": [{k: parts[k] for k in ("protected", "signature")}]}

    def without(*names):
        return {k: v for k, v in good().items() if k not in names}
    one, two = good(), good()
    rows = {
        "an unprotected header": {**good(), "header": {}},
            "an unprotected header with a kid": {**good(), "header": {"kid": client.kid}},
        "header null": {**good(), "header": None}, "general serialization": general(one),
        "two signatures": {**general(one), "signatures": general(one)["signatures"] + general(two)["signatures"]},
        "no signatures": {**general(one), "signatures": []}, "flattened and general": {**one, "signatures": []},
        "signatures null": {**good(), "signatures": None}, "an unknown member": {**good(), "x": 1},
        "ciphertext": {**good(), "ciphertext": "AAAA"}, "no protected": without("protected"),
            "no payload": without("payload"),
        "no signature": without("signature"), "nothing": {}, "protected empty": {**good(), "protected": ""},
        "signature empty": {**good(), "signature": ""}, "protected null": {**good(), "protected": None},
        "payload null": {**good(), "payload": None}, "signature null": {**good(), "signature": None},
        "payload an object": {**good(), "payload": ORDER},
            "protected an object": {**good(), "protected": {"alg": "ES256"}},
        "signature a list": {**good(), "signature": [good()["signature"]]},
            "payload a number": {**good(), "payload": 0},
        "compact serialization": ".".join(good().values()), "compact in quotes": compact(".".join(good().values())),
        "a list of one": [good()], "protected is {}": {**good(), "protected": b64("{}")},
        "protected is []": {**good(), "protected": b64("[]")},
            "protected is a string": {**good(), "protected": b64('"x"')},
        "the URL in place of the JWS": url, "form data": "protected=a&payload=b&signature=c",
    }
    for what, body in rows.items():
        w.row = what
        w.refused(client.raw(url, body), 400, "malformed")
    w.refused(client.raw(url, b""), 415, "malformed")
    b64s = {"padding": lambda t: t + "=" * (-len(t) % 4 or 4), "plain base64": lambda t: t[:-1] + "+",
            "a slash": lambda t: "/" + t[1:],
            "a blank": lambda t: t + " ", "a line end": lambda t: t[:8] + "\n" + t[8:],
            "a dot": lambda t: t[:4] + "." + t[5:],
            "one character over": lambda t: t[:len(t) // 4 * 4] + "A", "percent": lambda t: "%41" + t[1:],
            "beyond ASCII": lambda t: "\u0100" + t[1:]}
    for member in ("protected", "payload", "signature"):
        for what, change in b64s.items():
            w.row, body = f"{member} with {what}", good()
            w.refused(client.raw(url, {**body, member: change(body[member])}), 400, "malformed", "JWS " + member)
    # bits that belong to no byte: two texts for the same bytes, and what was signed is the text
    for member in ("protected", "payload", "signature"):
        body = jws(client.key, client.header(url) | {"x": ""}, ORDER)
        pads = 0
        while len(body[member]) % 4 == 0:
            pads += 1
            body = jws(client.key, client.header(url) | {"x": "y" * pads}, {**ORDER, "x": "y" * pads})
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        text = body[member]
        body[member] = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
        w.refused(client.raw(url, body), 400, "malformed", "JWS " + member)


# --- A6, A7: who and where --------------------------------------------------------------------------------------------

@case("A6", "jwk and kid, both or neither or not ours")
def kids(w):
    client, other = w.account(), w.account("optional")
    url = w.server.base + "/new-order"
    uuid = client.kid.rsplit("/", 1)[1]
    for header in ({"jwk": client.key.jwk}, {"kid": None}, {"kid": None, "jwk": client.key.jwk}):
        w.refused(client.post(url, ORDER, **header), 400, "malformed", "kid")
    for header in ({"kid": client.kid, "jwk": client.key.jwk}, {"kid": client.kid, "jwk": None}):
        w.refused(client.post(w.server.base + "/new-account", {}, **header), 400, "malformed", "jwk")
    odd = [client.kid.replace("https", "http"), client.kid.replace("localhost", "LOCALHOST"),
           client.kid.replace("localhost", "evil.test"),
           client.kid.replace("localhost", "localhost."), client.kid.replace("//", "//user@"), client.kid.upper(),
           client.kid + "/",
           client.kid + "?x", client.kid + "#x", client.kid + " ", " " + client.kid, client.kid + "\n",
           client.kid + "\0",
           client.kid.replace("/account", "//account"), client.kid.replace("/account/", "/account/../account/"),
           client.kid.replace("/account/", "/account/%2e%2e/account/"), client.kid.replace("/account/", "/account%2f"),
           client.kid.replace("/account/", "/account/0"), client.kid.replace("/account/", "/order/"),
           client.kid.replace("/account/", "/realm/optional/account/"),
           client.kid.replace("/account/", "/realm/default/account/"),
           other.kid, uuid, "/account/" + uuid, client.kid.replace(uuid, uuid.upper()),
           client.kid.replace(uuid, "{" + uuid + "}"),
           client.kid.replace(uuid, uuid.replace("-", "")), client.kid.replace(uuid, "urn:uuid:" + uuid),
           client.kid.replace(uuid, ""),
           client.kid.replace(uuid, uuid[:-1]), client.kid.replace(uuid, uuid + "0"), client.kid.replace(uuid, "1"),
           client.kid.replace(uuid, "-1"), client.kid.replace(uuid, "+1"), client.kid.replace(uuid, "007"),
           client.kid.replace(uuid, str(2**63)), client.kid.replace(uuid, str(2**64 - 1)),
           client.kid.replace(uuid, "*"),
           client.kid.replace(uuid, "%"), client.kid.replace(uuid, "' OR '1'='1"),
           client.kid.replace(uuid, "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"),
           client.kid.replace(uuid, "00000000-0000-0000-0000-000000000000"), client.kid[:-36], "", "x" * 2048,
           "https://localhost", "file:///etc/passwd", "\u202e" + client.kid]
    for kid in odd:
        reply = client.post(url, ORDER, kid=kid)
        want(reply.status == 400 and reply.problem in ("accountDoesNotExist", "malformed"), f"kid {kid!r}: {reply}")
        want("\0" in kid or reply.problem == "accountDoesNotExist", f"kid {kid!r}: {reply}")
    for kid in (1, True, [client.kid], {"kid": client.kid}, "y" * 4096):
        w.refused(client.post(url, ORDER, kid=kid), 400, "malformed", "kid")
    for jwk in (None, 1, "x", [], {}, compact(client.key.jwk)):
        header = {"alg": "ES256", "nonce": client.nonce(), "url": w.server.base + "/new-account", "jwk": jwk}
        w.refused(client.raw(header["url"], jws(client.key, header, {})), 400, "malformed")


@case("A7", "url: any other than the one that was asked, whatever Host and X-Forwarded say")
def urls(w):
    client = w.account()
    url, host = w.server.base + "/new-order", f"{w.server.name}:{w.server.port}"
    odd = [url.replace("https", "http"), url.replace("https", "HTTPS"), url.replace(host, "evil.test"),
           url.replace(host, host + "0"),
           url.replace(f":{w.server.port}", ""), url.replace("localhost", "127.0.0.1"),
           url.replace("localhost", "LocalHost"),
           url.replace("localhost", "localhost."), url.replace("//", "//u:p@"), url + "/", url + "?", url + "?x=1",
           url + "#", url + "#x",
           url.replace("/new", "//new"), url.replace("/new", "/./new"), url.replace("/new", "/x/../new"),
           url.replace("new-", "new%2d"),
           url.replace("new-order", "New-Order"), url.replace("/new-order", "/new-account"),
           url.replace("/new-order", "/realm/optional/new-order"),
           "/new-order", "new-order", "//" + host + "/new-order", "", url + "\0", url + " ", " " + url,
           url + "\r\nX: y", url * 2]
    for text in odd:
        reply = client.post(url, ORDER, url=text)
        want(reply.status in (400, 403) and reply.problem in ("unauthorized", "malformed"), f"url {text!r}: {reply}")
        want("\0" in text or text == "" or reply.problem == "unauthorized", f"url {text!r}: {reply} (RFC 8555 6.4)")
    for text in (1, None, True, [url], {"url": url}, "z" * 4000):
        reply = client.raw(url, jws(client.key, {**client.header(url), "url": text}, ORDER))
        want(reply.status in (400, 403) and reply.problem in ("malformed", "unauthorized"), f"url {text!r}: {reply}")
    # the other way round: the request goes elsewhere than the url says
    for path in ("/new-order?x=1", "/new-order?", "/new-order/"):
        reply = client.ask("POST", path, client.signed(url, ORDER))
        want(reply.status in (403, 404), f"path {path}: {reply}")
    lies = [["X-Forwarded-Host: evil.test"], ["X-Forwarded-Proto: http", "X-Forwarded-Port: 80"],
            ["Forwarded: host=evil.test;proto=http"],
            ["X-Original-URL: /directory"], ["X-Rewrite-URL: /directory"], ["X-HTTP-Method-Override: GET"]]
    for headers in lies:
        reply = w.done(client.ask("POST", "/new-order", client.signed(url, ORDER), headers), 201)
        want(reply.header("location").startswith(w.server.base + "/order/"), f"{headers} changed the Location")
        reply = client.ask("POST", "/new-order", client.signed(url.replace(host, "evil.test"), ORDER), headers)
        w.refused(reply, 403, "unauthorized", "evil.test")
    with w.server.connect() as c:
        body = client.signed(url.replace(host, "evil.test"), ORDER)
        c.send(acme.request(w.server, "POST", "/new-order", body).replace(host.encode(), b"evil.test", 1))
        w.refused(c.reply(), 403, "unauthorized")
    with w.server.connect() as c:
        c.send(b"GET /directory HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        want(b"evil.test" not in c.reply().body, "the directory has a host that the request brought along")


# --- A9, A10: replays -------------------------------------------------------------------------------------------------

@case("A9", "nonces that are forged, foreign, spent, giant or absent; a bad signature spends none")
def nonces(w):
    client = w.account()
    url = w.server.base + "/new-order"

    def refused(nonce, *problems):
        reply = client.post(url, ORDER, nonce=nonce)
        want(reply.status == 400 and reply.problem in problems, f"nonce {nonce!r}: {reply}")
        fresh = reply.header("replay-nonce")
        want(fresh, f"the refusal of the nonce {nonce!r} brings no new one (RFC 8555 6.5)")
        return fresh
    good = client.nonce()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for i in range(len(good)):
        refused(good[:i] + alphabet[alphabet.index(good[i]) ^ 1] + good[i + 1:], "badNonce")
    for nonce in (good[:-1], good + "A", "A" + good, good[1:], good.lower() + "x", good[::-1], "A" * 32, "_" * 32, "A",
                  "AAAA", "A" * 200,
                  good + good, b64(b"\xff" * 24), b64(bytes(8) + acme.unb64(good)[8:]),
                  b64(b"\xff" * 8 + acme.unb64(good)[8:])):
        refused(nonce, "badNonce")
    for nonce in ("", "=", good + "=", good + "==", good + "\n", good + " ", "ü" * 8, "A+B/", "\0", "x" * 4000, 1,
                  True, [good], {"n": good}):
        refused(nonce, "badNonce", "malformed")
    refused(None, "badNonce")
    fresh = refused("AAAA", "badNonce")
    w.done(client.post(url, ORDER, nonce=fresh), 201)
    refused(fresh, "badNonce")
    refused(fresh, "badNonce")
    # of all that is wrong with a request, only what a stranger cannot do may spend the nonce
    w.done(client.post(url, ORDER, nonce=good), 201)
    for spoil in (lambda s: bytes(64), lambda s: s[:-1] + bytes([s[-1] ^ 1]), lambda s: acme.Key().sign(b"x")):
        good = client.nonce()
        header = client.header(url, nonce=good)
        w.refused(client.raw(url, jws(client.key, header, ORDER, spoil)), 400, "malformed", "signature")
        w.done(client.post(url, ORDER, nonce=good), 201)
    good = client.nonce()
    stranger = acme.Key()
    w.refused(client.raw(url, jws(stranger, client.header(url, nonce=good), ORDER)), 400, "malformed", "signature")
    w.refused(client.post(url, ORDER, nonce=good, kid=client.kid[:-1] + "x"), 400, "accountDoesNotExist")
    w.done(client.post(url, ORDER, nonce=good), 201)
    # nor may it serve twice because the first request failed behind the gate
    good = client.nonce()
    w.refused(client.post(url, {"identifiers": []}, nonce=good), 400, "malformed")
    refused(good, "badNonce")
    seen = set()
    with w.server.connect() as c:
        for _ in range(200):
            nonce = c.request("HEAD", "/new-nonce").header("replay-nonce")
            want(nonce not in seen, "a nonce came twice")
            seen.add(nonce)


@case("A10", "replays elsewhere; GET of what is private; POST-as-GET with a payload; methods that are none")
def replays(w):
    client = w.account()
    url, order = w.order(client)
    other, _ = w.order(client)
    authz = order["authorizations"][0]
    challenge = w.challenge(client, authz)["url"]
    orders = w.done(client.post(client.kid)).json["orders"]
    resources = [url, authz, challenge, client.kid, orders]
    body = client.signed(url, None)
    for to in [other, *resources[1:], order["finalize"], w.server.base + "/new-order"]:
        reply = client.ask("POST", w.server.path(to), body)
        want(reply.status in (400, 403) and reply.problem in ("unauthorized", "badNonce"),
             f"a request for {url} sent to {to}: {reply}")
        body = client.signed(url, None)
    w.refused(client.ask("POST", w.server.path(other), body), 403, "unauthorized", "this request went to")
    w.refused(client.ask("POST", w.server.path(url), body), 400, "badNonce")
    posts = [w.server.path(u) for u in [*resources, order["finalize"], w.server.base + "/new-account",
                                        w.server.base + "/new-order"]]
    for path in posts:
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "post", "POSTS", "X"):
            reply = client.ask(method, path)
            same(f"{method} {path}", reply.status, 405)
            same(f"Allow of {method} {path}", reply.header("allow").replace(", OPTIONS", ""), "POST")
            want(b"pending" not in reply.body and b"token" not in reply.body,
                 f"{method} {path} shows what is private: {reply}")
    for path in ("/directory", "/new-nonce"):
        for method in ("PUT", "DELETE", "TRACE"):
            same(f"{method} {path}", client.ask(method, path).status, 405)
        w.refused(client.ask("POST", path, b"{}"), 400, "malformed")
        w.refused(client.post(w.server.base + path, {}), 400, "malformed", "POST-as-GET")
        want(client.post(w.server.base + path).status in (200, 204), f"POST-as-GET of {path} (RFC 8555 6.3)")
    for to in (url, orders):
        for payload in ("{}", "[]", "null", '""', " ", "x"):
            w.refused(client.post(to, payload.encode()), 400, "malformed", "POST-as-GET")
    for to in (w.server.base + "/new-order", order["finalize"]):
        w.refused(client.post(to, None), 400, "malformed", "empty")
    statuses = counted(client.ask("POST", w.server.path(url), client.signed(url, None)).status for _ in range(3))
    same("POST-as-GET", statuses, {200: 3})


# --- keys that are none -----------------------------------------------------------------------------------------------

def ec_jwk(x, y, crv="P-256", **more):
    return {"kty": "EC", "crv": crv, "x": x, "y": y, **more}


def curve_jwks():
    good = acme.Key().jwk
    x, y = acme.unb64(good["x"]), acme.unb64(good["y"])
    y_int = int.from_bytes(y, "big")
    k1 = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
    yield "off the curve", ec_jwk(b64(b32(1)), b64(b32(1)))
    yield "the point (0, 0)", ec_jwk(b64(bytes(32)), b64(bytes(32)))
    yield "the highest bit of y turned", ec_jwk(b64(x), b64(b32(y_int ^ 1 << 255)))
    yield "x = p", ec_jwk(b64(b32(P256_PRIME)), good["y"])
    yield "y + p", ec_jwk(good["x"], b64(b32(min(y_int + P256_PRIME, 2**256 - 1))))
    yield "all ones", ec_jwk(b64(b"\xff" * 32), b64(b"\xff" * 32))
    yield "a zero in front", ec_jwk(b64(b"\0" + x), b64(b"\0" + y))
    yield "31 bytes", ec_jwk(b64(x[1:]), b64(y[1:]))
    yield "33 bytes", ec_jwk(b64(x + b"\0"), good["y"])
    yield "no y", {"kty": "EC", "crv": "P-256", "x": good["x"]}
    yield "y empty", ec_jwk(good["x"], "")
    yield "compressed", ec_jwk(b64(b"\x02" + x), "")
    yield "uncompressed in x", ec_jwk(b64(b"\x04" + x + y), "")
    yield "padding", ec_jwk(good["x"] + "=", good["y"] + "=")
    yield "numbers", ec_jwk(1, 2)
    yield "another curve's name", ec_jwk(good["x"], good["y"], "P-384")
    yield "secp256k1", ec_jwk(b64(b32(k1.x)), b64(b32(k1.y)), "secp256k1")
    yield "secp256k1 called P-256", ec_jwk(b64(b32(k1.x)), b64(b32(k1.y)))
    yield "P-224", ec_jwk(b64(bytes(28)), b64(bytes(28)), "P-224")
    yield "no curve", {k: v for k, v in good.items() if k != "crv"}
    yield "curve in lower case", ec_jwk(good["x"], good["y"], "p-256")
    yield "private member", ec_jwk(good["x"], good["y"], d=good["x"])
    yield "kty oct", {"kty": "oct", "k": "AAAA"}
    yield "kty OKP with an EC point", {**good, "kty": "OKP"}
    yield "kty in lower case", {**good, "kty": "ec"}
    yield "no kty", {k: v for k, v in good.items() if k != "kty"}
    yield "X25519", {"kty": "OKP", "crv": "X25519", "x": good["x"]}
    yield "Ed25519 of 31 bytes", {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(31))}
    yield "Ed448", {"kty": "OKP", "crv": "Ed448", "x": b64(bytes(57))}
    yield "a giant coordinate", ec_jwk("A" * 5000, "A" * 5000)


def rsa_jwks():
    sound = acme.Key("RSA")
    n = int.from_bytes(acme.unb64(sound.jwk["n"]), "big")

    def row(modulus, exponent=65537):
        def number(v):
            return v if isinstance(v, str) else b64(v.to_bytes((v.bit_length() + 7) // 8 or 1, "big"))
        return {"kty": "RSA", "n": number(modulus), "e": number(exponent)}
    for e in (0, 1, 2, 3, 4, 17, 65536, 2**64 - 1, 2**32 + 1, 2**4096 - 1):
        yield f"e = {e if e < 2**64 else '2^4096 - 1'}", row(n, e)
    for size in (512, 1024, 1536, 2047, 2049, 3000, 4104, 8192, 16384, 65536, 160000):
        yield f"n of {size} bits", row((1 << size - 1) + (1 << size // 3) + 1)
    yield "n even", row(n ^ 1 if n & 1 else n)
    yield "n = 0", row(0)
    yield "n a power of two", row(1 << 2047)
    yield "n a square", row((2**1024 - 105) ** 2)
    yield "n divisible by 3", row(n - n % 3 + (3 if (n - n % 3) % 2 == 0 else 0))
    yield "n with a zero in front", {**sound.jwk, "n": b64(b"\0" + n.to_bytes(256, "big"))}
    yield "e with a zero in front", {**sound.jwk, "e": b64(b"\0\1\0\1")}
    yield "e negative", {**sound.jwk, "e": -65537}
    yield "no e", {k: v for k, v in sound.jwk.items() if k != "e"}
    yield "no n", {k: v for k, v in sound.jwk.items() if k != "n"}
    for member in ("d", "p", "q", "dp", "dq", "qi", "oth"):
        yield f"private member {member}", {**sound.jwk, member: "AQAB"}


@case("A26", "account keys that are no sound curve points")
def curve_keys(w):
    client = acme.Client(w.server)
    url = w.server.base + "/new-account"
    for what, jwk in curve_jwks():
        header = {"alg": "EdDSA" if jwk.get("kty") == "OKP" else "ES256", "nonce": client.nonce(), "url": url,
                  "jwk": jwk}
        reply = client.raw(url, jws(client.key, header, {}))
        want(reply.status == 400 and reply.problem in ("badPublicKey", "malformed", "badSignatureAlgorithm"),
             f"{what}: {reply}")
        if what.startswith(("off", "the point", "the highest", "x = p", "all ones", "secp256k1 called", "private",
                            "P-224", "secp256k1")):
            want(reply.problem == "badPublicKey", f"{what}: {reply}")


@case("A24", "RSA account keys: any exponent but one, any size but three, any factor")
def rsa_keys(w):
    client = acme.Client(w.server)
    url = w.server.base + "/new-account"
    for what, jwk in rsa_jwks():
        header = {"alg": "RS256", "nonce": client.nonce(), "url": url, "jwk": jwk}
        size = len(acme.unb64(jwk["n"])) if isinstance(jwk.get("n"), str) else 256
        reply = client.raw(url, jws(client.key, header, {}, bytes(min(size, 1024))))
        want(reply.status in (400, 413) and reply.problem in ("badPublicKey", "malformed"), f"{what}: {reply}")
    for size in (1024, 2056):  # the key of a signature that verifies is judged as well
        weak = acme.Client(w.server, key=acme.Key("RSA", size))
        w.refused(weak.new_account(), 400, "badPublicKey", "size")


@case("A25", "weak RSA keys of the published kinds")
def weak_keys(_):
    raise Skip("nobody can sign with them, so requests with them end at the signature; "
               "src/crypto/key_check_test.c has the vectors")
