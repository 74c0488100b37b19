# SPDX-License-Identifier: Apache-2.0
"""Revocation by whom it is not for, for reasons that are none, of certificates that are not ours (A15 to A17)."""
import der
import acme
from acme import b64, jws
from world import case, same, want


def revoked(w, cert):
    return w.rows("SELECT revoked_at > 0, revocation_reason FROM certificates WHERE der = ?", cert)


@case("A15", "revocation with the certificate's JWK and a forged signature, or under a kid that did not sign")
def forged(w):
    owner, stranger = w.account(), w.account()
    url = w.need("revokeCert")
    _, _, cert, key = w.issue(owner)
    payload = {"certificate": b64(cert), "reason": 4}
    jwk_header = {"alg": key.alg, "url": url, "jwk": key.jwk}
    kid_header = {"alg": owner.key.alg, "url": url, "kid": owner.kid}
    for what, header, signer, signature in (
            ("the certificate's jwk, another key's signature", jwk_header, stranger.key, None),
            ("the certificate's jwk, the account's signature", jwk_header, owner.key, None),
            ("the certificate's jwk, zeros", jwk_header, key, bytes(64)),
                                            ("the certificate's jwk, no signature", jwk_header, key, b""),
            ("the owner's kid, a stranger's signature", kid_header, stranger.key, None),
            ("the owner's kid, the certificate key's signature", kid_header, key, None),
            ("the owner's kid, zeros", kid_header, key, bytes(64)),
                                            ("the owner's kid, no signature", kid_header, key, b""),
            ("kid and jwk", {**kid_header, "jwk": key.jwk}, key, None),
                                            ("neither", {"alg": "ES256", "url": url}, key, None)):
        w.row = what
        w.refused(stranger.raw(url, jws(signer, {**header, "nonce": stranger.nonce()}, payload, signature)), 400,
                  "malformed")
    w.row = "alg none"
    w.refused(stranger.raw(url, jws(key, {**jwk_header, "alg": "none", "nonce": stranger.nonce()}, payload, b"")), 400,
              "badSignatureAlgorithm")
    w.row = "the certificate itself as signature, and unsigned bodies"
    for body in (payload, {"protected": "", "payload": b64(acme.compact(payload)), "signature": ""}, b64(cert)):
        w.refused(stranger.raw(url, body), 400, "malformed")
    w.row = "keys that are not the certificate's"
    for other in (acme.Key(), stranger.key, acme.Key("RSA"), acme.Key("Ed25519")):
        w.refused(acme.Client(w.server, key=other).post(url, payload), 403, "unauthorized")
    w.row = "a signature for another resource"
    reply = acme.Client(w.server, key=key).post(url, payload, url=w.server.base + "/new-order")
    w.refused(reply, 403, "unauthorized")
    same("the certificate's state", revoked(w, cert), [(0, 0)])
    w.row = "its key, rightly"
    w.done(acme.Client(w.server, key=key).post(url, payload), 200)
    same("the certificate's state", revoked(w, cert), [(1, 4)])


@case("A16", "revocation by an account that is authorized for some of the names, for none, for all")
def authorized(w):
    owner, stranger = w.account(), w.account()
    url = w.need("revokeCert")
    names = [w.name(), w.name(), w.name()]
    _, _, cert, _ = w.issue(owner, *names)
    payload = {"certificate": b64(cert)}
    words = w.refused(stranger.post(url, payload), 403, "unauthorized").body
    for name in names[:2]:
        w.ready(stranger, name)
        same("the refusal", w.refused(stranger.post(url, payload), 403, "unauthorized").body, words)
    w.order(stranger, names[2])
    same("the refusal with a pending one", w.refused(stranger.post(url, payload), 403, "unauthorized").body, words)
    _, order = w.ready(stranger, names[2])
    w.done(stranger.post(order["authorizations"][0], {"status": "deactivated"}), 200)
    same("the refusal with a deactivated one", w.refused(stranger.post(url, payload), 403, "unauthorized").body, words)
    elsewhere = w.account("optional", stranger.key)
    for name in names:
        w.ready(elsewhere, name)
    reply = elsewhere.post(url.replace(w.server.base, w.server.base + "/realm/optional"), payload)
    w.refused(reply, 404, "malformed")
    same("the certificate's state", revoked(w, cert), [(0, 0)])
    w.ready(stranger, names[2])
    w.refused(stranger.post(url, {**payload, "reason": 1}), 400, "badRevocationReason", "keyCompromise")
    same("the certificate's state", revoked(w, cert), [(0, 0)])
    w.done(stranger.post(url, {**payload, "reason": 5}), 200)
    same("the certificate's state", revoked(w, cert), [(1, 5)])
    w.refused(owner.post(url, payload), 400, "alreadyRevoked")


def altered(cert):
    """Certificates that are not quite ours."""
    tbs, algorithm, signature = [p[2] for p in der.parts(der.parts(cert)[0][1])]
    parts = [p[2] for p in der.parts(der.parts(tbs)[0][1])]

    def with_tbs(changed):
        return der.sequence(der.sequence(*changed), algorithm, signature)
    yield "a signature with another last bit", cert[:-1] + bytes([cert[-1] ^ 1])
    yield "another validity", with_tbs(parts[:4] + [der.sequence(der.tlv(0x17, b"250101000000Z"),
                                                                 der.tlv(0x17, b"491231235959Z"))] + parts[5:])
    yield "another issuer", with_tbs(parts[:3] + [der.sequence(acme.common_name("evil"))] + parts[4:])
    yield "another key", with_tbs(parts[:6] + [acme.Key().spki()] + parts[7:])
    yield "no extensions", with_tbs(parts[:7])
    yield "another serial", with_tbs(parts[:1] + [der.integer(0x1234567890)] + parts[2:])
    yield "the serial with a byte more", with_tbs(parts[:1] + [der.tlv(2,
                                                                       der.parts(parts[1])[0][1] + b"\0")] + parts[2:])
    yield "serial 0", with_tbs(parts[:1] + [der.integer(0)] + parts[2:])
    yield "a negative serial", with_tbs(parts[:1] + [der.integer(-5)] + parts[2:])
    yield "a serial of 100 bytes", with_tbs(parts[:1] + [der.tlv(2, b"\x01" * 100)] + parts[2:])


def not_certificates(cert):
    return {"absent": None, "empty": "", "a number": 1, "a list": [b64(cert)], "an object": {}, "null": False,
            "padding": b64(cert) + "=",
            "plain base64": "MIIB+/", "PEM": "-----BEGIN CERTIFICATE-----\n", "cut off": b64(cert[:-1]),
            "a byte behind": b64(cert + b"\0"), "twice": b64(cert + cert),
            "its TBS": b64(der.parts(der.parts(cert)[0][1])[0][2]),
            "a request": b64(acme.csr(acme.Key(), ["x.e2e.test"])), "one byte": b64(b"0"),
            "zeros": b64(bytes(500)), "BER": b64(der.indefinite(0x30, der.parts(cert)[0][1])), "30 kB": "A" * 30000,
            "deep": b64(b"\x30\x80" * 3000)}


@case("A17", "revocation: reasons that are not served, certificates that are foreign, altered or none, and twice")
def wrong_revocations(w):
    owner = w.account()
    url = w.need("revokeCert")
    _, _, cert, _ = w.issue(owner)
    payload = {"certificate": b64(cert)}
    for reason in (2, 6, 7, 8, 9, 10, 11, 255, -1, 2**31, 2**53):
        w.row = f"reason {reason}"
        w.refused(owner.post(url, {**payload, "reason": reason}), 400, "badRevocationReason")
    for reason in ('"1"', '"keyCompromise"', "true", "[1]", "{}", "1.5", "1e3", "1.0", str(2**70), "01"):
        w.row = f"reason {reason}"
        reply = owner.post(url, f'{{"certificate":"{b64(cert)}","reason":{reason}}}')
        w.refused(reply, 400, "malformed")
    for what, value in not_certificates(cert).items():
        w.row = f"certificate {what}"
        w.refused(owner.post(url, {} if value is None else {"certificate": value}), 400, "malformed")
    for what, value in altered(cert):
        w.row = what
        reply = owner.post(url, {"certificate": b64(value)})
        want(reply.status in (400, 404) and reply.problem == "malformed", f"found {reply}")
    w.row = "foreign"
    w.refused(owner.post(url, {"certificate": b64(self_signed(cert))}), 404, "malformed", "not one of this CA's")
    with open(w.options.ca, "rb") as f:
        root = acme.base64.b64decode(b"".join(f.read().split(b"-----")[2].split()))
    w.row = "the root"
    w.refused(owner.post(url, {"certificate": b64(root)}), 404, "malformed", "not one of this CA's")
    w.row = "another realm's path"
    other = w.account("optional", owner.key)
    w.refused(other.post(url.replace(w.server.base, w.server.base + "/realm/optional"), payload), 404, "malformed")
    w.row = ""
    same("the certificate's state after all that", revoked(w, cert), [(0, 0)])
    same("others that are revoked",
         w.rows("SELECT count(*) FROM certificates WHERE revoked_at > 0 AND account = ?", account_id(owner)), [(0,)])
    w.done(owner.post(url, {**payload, "reason": 3}), 200)
    for reason in (0, 1, 3, 4):
        w.refused(owner.post(url, {**payload, "reason": reason}), 400, "alreadyRevoked")
    same("the certificate's state", revoked(w, cert), [(1, 3)])


def account_id(client):
    return bytes.fromhex(client.kid.rsplit("/", 1)[1].replace("-", ""))


def self_signed(cert):
    """A certificate with our issuer's name and our serial's form, by a key that nobody has heard of."""
    key = acme.Key()
    parts = [p[2] for p in der.parts(der.parts(der.parts(der.parts(cert)[0][1])[0][2])[0][1])]
    tbs = der.sequence(*parts[:1], der.tlv(2, b"\x01" + bytes(range(1, 17))), *parts[2:6], key.spki(), parts[7])
    return der.sequence(tbs, parts[2], der.bits(key.sign_der(tbs)))


@case("A28", "keyCompromise: every other certificate and every account of the key end with it, at once")
def compromise(w):
    alice, bob, key = w.account(), w.account(), acme.Key()
    url = w.need("revokeCert")
    _, _, first, _ = w.issue(alice, key=key)
    _, _, second, _ = w.issue(bob, key=key)
    thief = w.account("optional", key)
    with_key = acme.Client(w.server, key=key)
    w.done(with_key.post(url, {"certificate": b64(first), "reason": 4}), 200)
    w.done(alice.new_order(w.name()), 201)
    w.refused(alice.post(url, {"certificate": b64(first), "reason": 1}), 400, "alreadyRevoked")
    w.done(with_key.post(url, {"certificate": b64(first), "reason": 1}), 200)
    same("the first certificate", revoked(w, first), [(1, 1)])
    same("the second certificate, of another account", revoked(w, second), [(1, 1)])
    w.refused(thief.post(thief.kid), 401, "unauthorized", "revoked")
    w.refused(acme.Client(w.server, "optional", key).new_account(), 401, "unauthorized")
    w.refused(acme.Client(w.server, key=key).new_account(), 400, "badPublicKey", "compromised")
    change = w.need("keyChange")
    inner = jws(key, {"alg": key.alg, "jwk": key.jwk, "url": change}, {"account": alice.kid, "oldKey": alice.key.jwk})
    w.refused(alice.post(change, inner), 400, "badPublicKey", "compromised")
    w.refused(with_key.post(url, {"certificate": b64(first), "reason": 1}), 400, "alreadyRevoked")
    w.done(bob.new_order(w.name()), 201)
