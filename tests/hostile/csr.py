# SPDX-License-Identifier: Apache-2.0
"""Certificate requests that ask for more than they may, or are none (A22, A23, A85)."""
import time

import der
import acme
from acme import b64, csr
from world import case, leaf, same, want

BASIC, KEY_USAGE, EXT_USAGE, FEATURE = "2.5.29.19", "2.5.29.15", "2.5.29.37", "1.3.6.1.5.5.7.1.24"
PASSWORD = "1.2.840.113549.1.9.7"
SHA1_RSA, MD5_RSA, SHA1_EC = "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1"
CSR_MAX = 16384
TRUE = der.tlv(1, b"\xff")


def other_name(value):
    return der.tlv(0xA0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.tlv(0xA0, der.tlv(der.UTF8, value)))


def extension_attribute(*extensions):
    return der.sequence(der.oid(acme.EXTENSION_REQUEST), der.set_of(der.sequence(*extensions)))


def beyond(key, name):
    """Requests for what is not in the order: all of them badCSR."""
    names = acme.general_names([name])
    yield "must-staple, which the profile does not give", csr(key, [name], extensions=[
        acme.extension(FEATURE, der.sequence(der.integer(5)))])
    yield "another name", csr(key, ["other.e2e.test"])
    yield "one name more", csr(key, [name, "other.e2e.test"])
    yield "a name that the realm does not allow", csr(key, [name, "www.example.com"])
    yield "a wildcard for it", csr(key, ["*." + name])
    yield "a wildcard beside it", csr(key, [name, "*." + name])
    yield "its parent", csr(key, [name.split(".", 1)[1]])
    yield "no name", csr(key, [])
    yield "an empty SAN", csr(key, [], extensions=[acme.extension(acme.SAN, der.sequence())])
    yield "a URI", csr(key, [name, der.tlv(0x86, b"https://evil.test/")])
    yield "a mail address", csr(key, [name, der.tlv(0x81, b"root@evil.test")])
    yield "a directory name", csr(key, [name, der.tlv(0xA4, der.sequence(acme.common_name("evil.test")))])
    yield "an other name", csr(key, [name, other_name(b"root@evil.test")])
    yield "a registered id", csr(key, [name, der.tlv(0x88, der.oid("1.2.3.4")[2:])])
    yield "an address", csr(key, [name, der.tlv(0x87, b"\x7f\0\0\1")])
    yield "an address of 5 bytes", csr(key, [name, der.tlv(0x87, b"\x7f\0\0\1\0")])
    yield "an address as a dNSName", csr(key, [name, "127.0.0.1"])
    yield "an IPv6 address as a dNSName", csr(key, [name, "::1"])
    yield "a NUL in a name", csr(key, [name + "\0.evil.test"])
    yield "a NUL behind a name", csr(key, [name + "\0"])
    yield "a dot behind a name", csr(key, [name + "."])
    yield "a blank in front", csr(key, [" " + name])
    yield "an empty name", csr(key, [name, ""])
    yield "a name in Unicode", csr(key, [der.tlv(0x82, "bücher.e2e.test".encode())])
    yield "a name of 300 bytes", csr(key, [name, "a" * 300])
    yield "101 names", csr(key, [name] + [f"x{i}.e2e.test" for i in range(100)])
    yield "CN that is not in the SAN", csr(key, [name], acme.common_name("evil.test"))
    yield "two CNs, one of them foreign", csr(key, [name], acme.common_name(name) + acme.common_name("evil.test"))
    yield "CN with a NUL", csr(key, [name], acme.common_name(name.encode() + b"\0.evil.test"))
    yield "CN as BMPString", csr(key, [name], acme.common_name(name.encode("utf-16-be"), der.BMP))
    yield "only a foreign CN", csr(key, [], acme.common_name("evil.test"))
    yield "CA:TRUE", csr(key, [name], extensions=[acme.extension(BASIC, der.sequence(TRUE), True)])
    yield "CA:TRUE with a path length", csr(key, [name],
                                            extensions=[acme.extension(BASIC, der.sequence(TRUE, der.integer(0)))])
    yield "CA:TRUE as BER says it", csr(key, [name],
                                        extensions=[acme.extension(BASIC, der.sequence(der.tlv(1, b"\1")))])
    yield "two SANs", csr(key, [name], extensions=[acme.extension(acme.SAN, names)])
    yield "two SANs, one foreign", csr(key, [name],
                                       extensions=[acme.extension(acme.SAN, acme.general_names(["evil.test"]))])
    yield "two lists of extensions", csr(key, [name], attributes=[extension_attribute(
        acme.extension(acme.SAN, acme.general_names(["evil.test"])))])
    yield "a SAN that is no SEQUENCE", csr(key, [], extensions=[acme.extension(acme.SAN, b"\x04\0")])
    yield "bytes behind the SAN", csr(key, [], extensions=[acme.extension(acme.SAN, names + b"\0")])


def broken(key, name):
    """Requests that are none: all of them badCSR."""
    good = csr(key, [name])
    other = acme.Key()
    weak = {"algorithm": der.sequence(der.oid(SHA1_EC))}
    yield "signed by another key", csr(key, [name], sign=other.sign_der)
    yield "signature changed", csr(key, [name], signature=lambda s: s[:-1] + bytes([s[-1] ^ 1]))
    yield "signature empty", csr(key, [name], signature=b"")
    yield "signature zeros", csr(key, [name], signature=bytes(72))
    yield "signature in JOSE's form", csr(key, [name], sign=key.sign)
    yield "signature of r = s = 0", csr(key, [name], signature=der.sequence(der.integer(0), der.integer(0)))
    yield "bytes behind the signature's SEQUENCE", csr(key, [name], signature=lambda s: s + b"\0")
    yield "the algorithm says SHA-1", csr(key, [name], **weak)
    yield "the algorithm says RSA", csr(key, [name],
                                        algorithm=der.sequence(der.oid("1.2.840.113549.1.1.11"), der.tlv(der.NULL)))
    yield "the algorithm says MD5 with RSA", csr(key, [name],
                                                 algorithm=der.sequence(der.oid(MD5_RSA), der.tlv(der.NULL)))
    yield "the algorithm has parameters", csr(key, [name],
                                              algorithm=der.sequence(der.oid("1.2.840.10045.4.3.2"), der.tlv(der.NULL)))
    yield "the algorithm is unknown", csr(key, [name], algorithm=der.sequence(der.oid("1.2.3.4")))
    yield "the algorithm is absent", csr(key, [name], algorithm=der.sequence())
    yield "version 2", csr(key, [name], version=1)
    yield "version -1", csr(key, [name], version=-1)
    yield "indefinite length", der.indefinite(0x30, good[4:] if good[1] & 0x80 else good[2:])
    yield "indefinite length inside", csr(key, [name],
                                          info=lambda i: der.indefinite(0x30, i[3:] if i[1] == 0x81 else i[4:]))
    yield "a length with a zero in front", b"\x30\x83\0" + good[2:] if good[1] == 0x82 else b"\x30\x82\0" + good[2:]
    yield "a byte behind", good + b"\0"
    yield "another request behind", good + good
    yield "cut off", good[:-1]
    yield "one byte", b"\x30"
    yield "a SEQUENCE of nothing", b"\x30\0"
    yield "a SEQUENCE of 2 GiB", b"\x30\x84\x7f\xff\xff\xff" + good
    yield "a SEQUENCE of 2^64 bytes", b"\x30\x88" + b"\xff" * 8 + good
    yield "a certificate's form", der.sequence(der.sequence(der.tlv(0xA0, der.integer(2))), der.sequence(),
                                               der.bits(b"x"))
    yield "deep", b"\x30\x80" * 2000
    yield "deep with lengths", deep(500)
    yield "PEM", b"-----BEGIN CERTIFICATE REQUEST-----"
    yield "unused bits in the signature", der.sequence(*[p[2] for p in der.parts(der.parts(good)[0][1])[:2]],
                                                      der.tlv(der.BIT_STRING, b"\1", key.sign_der(b"")))
    yield "an attribute of 20 kB", csr(key, [name],
                                       attributes=[der.sequence(der.oid(PASSWORD),
                                                                der.set_of(der.tlv(der.UTF8, b"x" * 20000)))])
    yield "3000 attributes", csr(key, [name], attributes=[der.sequence(der.oid(PASSWORD), der.set_of())] * 1500)
    yield "a key that is no key", csr(key, [name], spki=der.sequence(der.sequence(der.oid("1.2.3.4")), der.bits(b"x")))
    yield "a key of another kind than its OID", csr(key, [name],
                                                    spki=key.spki().replace(der.oid("1.2.840.10045.2.1"),
                                                                            der.oid("1.2.840.10045.2.2")))
    yield "secp256k1", csr(key, [name],
                           spki=key.spki().replace(der.oid("1.2.840.10045.3.1.7"), der.oid("1.3.132.0.10")))
    yield "a point off the curve", csr(key, [name], spki=key.spki()[:-1] + bytes([key.spki()[-1] ^ 1]))
    yield "the point at infinity", csr(key, [name],
                                       spki=der.sequence(der.parts(der.parts(key.spki())[0][1])[0][2], der.bits(b"\0")))
    yield "Ed25519", csr(acme.Key("Ed25519"), [name])
    yield "RSA of 1024 bits", csr(acme.Key("RSA", 1024), [name])


def deep(levels):
    out = b""
    for _ in range(levels):
        out = der.sequence(out)
    return out


@case("A22", "requests that ask for more than was ordered: refused, or passed over and not in the certificate")
def too_much(w):
    client, key, name = w.account(), acme.Key(), w.name()
    url, order = w.ready(client, name)
    for what, request in beyond(key, name):
        w.row = what
        w.refused(client.post(order["finalize"], {"csr": b64(request)}), 400, "badCSR")
    same("the order after that", w.done(client.post(url)).json["status"], "ready")
    w.row = "the template"
    plain = certificate(w, client, order["finalize"], csr(key, [name]), url)
    ignored = {
        "challengePassword": {"attributes": [der.sequence(der.oid(PASSWORD),
                                                          der.set_of(der.tlv(der.UTF8, b"secret")))]},
        "an attribute of 9 kB": {"attributes": [der.sequence(der.oid(PASSWORD),
                                                             der.set_of(der.tlv(der.UTF8, b"x" * 9000)))]},
        "an unknown critical extension": {"extensions": [acme.extension("1.2.3.4.5", b"\x05\0", True)]},
        "key usage keyCertSign": {"extensions": [acme.extension(KEY_USAGE, der.tlv(3, b"\1\6"), True)]},
        "code signing": {"extensions": [acme.extension(EXT_USAGE, der.sequence(der.oid("1.3.6.1.5.5.7.3.3")))]},
        "CA:FALSE": {"extensions": [acme.extension(BASIC, der.sequence())]},
        "a subject": {"subject": der.set_of(der.sequence(der.oid("2.5.4.10"), der.tlv(der.UTF8, b"Evil Corp")))},
        "CN that is in the SAN": {"subject": acme.common_name(name)},
        "the name twice, once in upper case": {"twice": True},
    }
    for what, more in ignored.items():
        w.row = what
        names = [name, name.upper()] if more.pop("twice", False) else [name]
        order_url, again = w.ready(client, name)
        found = certificate(w, client, again["finalize"], csr(key, names, **more), order_url)
        same("certificate but for serial, validity and signature", template(found), template(plain))


def certificate(w, client, finalize, request, url):
    w.done(client.post(finalize, {"csr": b64(request)}), 200)
    done = w.poll(client, url)
    same("order", done["status"], "valid")
    return leaf(w.done(client.post(done["certificate"])))


def template(cert):
    """TBSCertificate without serial and validity (RFC 5280 4.1): version, algorithm, issuer, subject, key,
    extensions."""
    tbs = der.parts(der.parts(der.parts(cert)[0][1])[0][1])
    same("parts of a TBSCertificate", [hex(tag) for tag, _, _ in tbs],
         ["0xa0", "0x2", "0x30", "0x30", "0x30", "0x30", "0x30", "0xa3"])
    return [tbs[i][2] for i in (0, 2, 3, 5, 6, 7)]


@case("A23", "requests that are none: bad self-signatures, old digests, BER, rests, giants")
def no_requests(w):
    client, key, name = w.account(), acme.Key(), w.name()
    url, order = w.ready(client, name)
    slowest = 0
    for what, request in broken(key, name):
        w.row = what
        body = client.signed(order["finalize"], {"csr": b64(request)})
        start = time.perf_counter()
        reply = client.ask("POST", w.server.path(order["finalize"]), body)
        slowest = max(slowest, time.perf_counter() - start)
        want(reply.status == 400 and reply.problem == ("malformed" if len(request) > CSR_MAX else "badCSR"),
             f"found {reply}")
    w.note(f"the slowest took {slowest * 1000:.1f} ms")
    want(slowest < 1, "a request that is none took longer than a second")
    for what, value in {"absent": None, "a number": 1, "an object": {}, "a list": ["x"],
                        "padding": b64(csr(key, [name])) + "==",
                        "plain base64": "MIIB+/==", "blanks": " ", "beyond ASCII": "ü", "a NUL": "AA\0A"}.items():
        w.row = f"csr {what}"
        payload = {} if value is None else {"csr": value}
        reply = client.post(order["finalize"], payload)
        want(reply.status == 400 and reply.problem in ("malformed", "badCSR"), f"found {reply}")
    w.row = "csr as PEM"
    w.refused(client.post(order["finalize"], {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nMIIB"}), 400, "badCSR",
              "PEM")
    w.row = ""
    same("the order after all that", w.done(client.post(url)).json["status"], "ready")


@case("A85", "the same request signed again is another request; the same bytes are the same")
def resigned(w):
    client, key, name = w.account(), acme.Key(), w.name()
    url, order = w.ready(client, name)
    first, second = csr(key, [name]), csr(key, [name])
    want(first != second, "two ECDSA signatures are the same")
    w.done(client.post(order["finalize"], {"csr": b64(first)}), 200)
    done = w.poll(client, url)
    same("the same bytes again", w.done(client.post(order["finalize"], {"csr": b64(first)}), 200).json["certificate"],
         done["certificate"])
    for request in (second, csr(acme.Key(), [name]), csr(key, [name.upper()])):
        w.refused(client.post(order["finalize"], {"csr": b64(request)}), 403, "orderNotReady")
    same("certificates of the order", w.rows("SELECT count(*) FROM issuances WHERE order_id = ?", url_id(url)), [(1,)])


def url_id(url):
    return bytes.fromhex(url.rsplit("/", 1)[1].replace("-", ""))
