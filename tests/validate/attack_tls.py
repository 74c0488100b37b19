# SPDX-License-Identifier: Apache-2.0
"""The hostile TLS server (A36, A37). Certificates of tls-alpn-01 with one thing wrong; handshakes that never end."""
import itertools
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import certs
import stage
import web
from stage import attack

ACME_TLS = ("acme-tls/1",)
SERVERS, LOCK, NUMBERS = {}, threading.Lock(), itertools.count(100)


def tls_server(s):
    """One listener for all names: the SNI chooses."""
    with LOCK:
        if s not in SERVERS:
            first = web.pem_context(*certs.ordinary("default.test"), alpn=ACME_TLS)
            SERVERS[s] = web.Tls(stage.HERE, 443, first, s.contexts)
        return SERVERS[s]


def own_address(s, proof):
    """An address for this attack alone."""
    with LOCK:
        at = f"20.0.0.{next(NUMBERS)}"
    s.names.records(proof.name, A=at)
    return at


def shows(number, label, title, kind, text, of, alpn=ACME_TLS, **more):
    """A server that shows the certificate that `of` makes of the name and the digest."""
    def setup(s, proof):
        context = web.pem_context(*of(proof), alpn=alpn, **more)
        if more:  # the SNI chooses a certificate, and no versions
            web.Tls(own_address(s, proof), 443, context, {})
        else:
            s.contexts[proof.name] = context
            tls_server(s)
    attack(number, label, title, kind, text, method="tls-alpn-01", seconds=4)(setup)


def cert(**wrong):
    return lambda p: certs.alpn(p.name, p.digest, **{k: v(p) if callable(v) else v for k, v in wrong.items()})


P256 = ec.generate_private_key(ec.SECP256R1())
shows("A36", "alpn-good", "as it should be", "", (), cert())
shows("A36", "alpn-upper", "the name in upper case", "", (), cert(sans=lambda p: [p.name.upper()]))
shows("A36", "alpn-rsa", "a key of RSA", "", (), cert(key=lambda p: rsa.generate_private_key(65537, 2048)))
shows("A36", "alpn-tls12", "TLS 1.2", "", (), cert(), maximum=ssl.TLSVersion.TLSv1_2)
shows("A36", "alpn-none", "no ALPN", "tls", "the server chose no protocol", cert(), alpn=())
shows("A36", "alpn-h2", "knows h2 only", "tls", "the server chose no protocol", cert(), alpn=("h2",))
shows("A36", "alpn-case", "knows ACME-TLS/1 only", "tls", "the server chose no protocol", cert(), alpn=("ACME-TLS/1",))
shows("A36", "alpn-tls11", "TLS 1.1", "tls", "neither TLS 1.2 nor 1.3", cert(), minimum=ssl.TLSVersion.TLSv1,
      maximum=ssl.TLSVersion.TLSv1_1, weak=True)
shows("A36", "alpn-two", "two names", "unauthorized", "subjectAltName of 2 entries",
      cert(sans=lambda p: [p.name, "other.e2e.test"]))
shows("A36", "alpn-twice", "the name twice", "unauthorized", "subjectAltName of 2 entries",
      cert(sans=lambda p: [p.name, p.name]))
shows("A36", "alpn-other", "another name", "unauthorized", 'is for "other.e2e.test"', cert(sans=["other.e2e.test"]))
shows("A36", "alpn-wild", "a wildcard", "unauthorized", 'is for "*.e2e.test"', cert(sans=["*.e2e.test"]))
shows("A36", "alpn-suffix", "a name that ends alike", "unauthorized", "is for", cert(sans=lambda p: ["evil" + p.name]))
shows("A36", "alpn-cn", "the name in the subject only", "unauthorized", "has no subjectAltName",
      cert(sans=[], common=lambda p: p.name))
shows("A36", "alpn-loose", "an extension that is not critical", "unauthorized", "not critical", cert(critical=False))
shows("A36", "alpn-draft", "the extension of a draft", "unauthorized", "early draft", cert(oid=certs.DRAFT_ID))
shows("A36", "alpn-missing", "an ordinary certificate for the name", "unauthorized", "has no extension acmeIdentifier",
      lambda p: certs.ordinary(p.name))
shows("A36", "alpn-digest", "another digest", "unauthorized", "has the digest " + "00" * 32,
      cert(value=b"\x04\x20" + bytes(32)))
shows("A36", "alpn-hex", "the digest as text", "unauthorized", "wrong form",
      cert(value=lambda p: b"\x04\x40" + p.digest.hex().encode()))
shows("A36", "alpn-bare", "the digest without its OCTET STRING", "unauthorized", "wrong form",
      cert(value=lambda p: p.digest))
shows("A36", "alpn-more", "bytes after the digest", "unauthorized", "wrong form",
      cert(value=lambda p: b"\x04\x20" + p.digest + b"\0"))
shows("A36", "alpn-long-form", "the digest's length in long form", "unauthorized", "wrong form",
      cert(value=lambda p: b"\x04\x81\x20" + p.digest))
shows("A36", "alpn-empty", "an empty extension", "unauthorized", "wrong form", cert(value=b""))
shows("A36", "alpn-issuer", "issued by another name", "unauthorized", "is not self-signed", cert(issuer="another"))
shows("A36", "alpn-signer", "signed by another key", "unauthorized", "is not self-signed", cert(signer=P256))
shows("A36", "alpn-weak", "RSA with 1024 bits", "unauthorized|tls", (),
      cert(key=lambda p: rsa.generate_private_key(65537, 1024)),
      weak=True)
shows("A37", "alpn-names", "2,000 names", "unauthorized|tls", (),
      cert(sans=lambda p: [f"{i}.e2e.test" for i in range(2000)]))
shows("A37", "alpn-huge", "an extension of 300 KB", "tls", "larger than",
      cert(more=[x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(300000))]))
shows("A37", "alpn-exts", "40 extensions", "unauthorized", "more than 32 extensions",
      cert(more=[x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{i}"), b"\5\0") for i in range(40)]))


@attack("A37", "alpn-chain", "a chain of 100 certificates", "tls|unauthorized", (), method="tls-alpn-01", seconds=4)
def chain(s, proof):
    leaf, key = certs.alpn(proof.name, proof.digest, issuer="another")
    s.contexts[proof.name] = web.pem_context(leaf + certs.ordinary("above.test")[0] * 99, key, alpn=ACME_TLS)
    tls_server(s)


# --- handshakes ------------------------------------------------------------------------------------------------------

def handshake(label, title, kind, text, rule, slow=False):
    """rule: what is done with the connection, at an address of its own."""
    def setup(s, proof):
        web.Raw(own_address(s, proof), 443, rule)
    attack("A37", "tls-" + label, title, kind, text, method="tls-alpn-01", slow=slow,
           seconds=None if slow else 4)(setup)


def stream(first, part, pause=0.0):
    def rule(connection):
        connection.recv(4096)
        connection.sendall(first)
        while True:
            connection.sendall(part)
            time.sleep(pause)
    return rule


def once(data):
    def rule(connection):
        connection.recv(4096)
        connection.sendall(data)
    return rule


def record(kind, data):
    return bytes([kind, 3, 3]) + len(data).to_bytes(2, "big") + data


HELLO = (bytes([2, 0, 0, 49, 3, 3]) + bytes(32) +  # of TLS 1.2, with secure renegotiation
         bytes([0, 0xC0, 0x2B, 0, 0, 9, 0x00, 0x17, 0, 0, 0xFF, 0x01, 0, 1, 0]))
handshake("stall", "a handshake that stalls at once", "connection", "timeout during the TLS handshake",
          lambda c: time.sleep(20), slow=True)
handshake("stall-hello", "a handshake that stalls after the server's hello", "connection",
          "timeout during the TLS handshake",
          lambda c: (c.recv(4096), c.sendall(record(22, HELLO)), time.sleep(20)), slow=True)
handshake("drip", "a handshake that drips", "connection", "timeout during the TLS handshake",
          stream(b"\x16\x03\x03\x40\x00\x02\x00\x3f", b"\0", 0.3), slow=True)
handshake("message", "a message of 16 MB", "tls", (), stream(b"", record(22, b"\x0b\xff\xff\xff" + bytes(16000))))
handshake("warnings", "warnings without end", "tls", (), stream(record(22, HELLO), record(21, b"\x01\x5a") * 100))
handshake("empty", "empty records without end", "tls", (), stream(record(22, HELLO), record(22, b"") * 100))
handshake("noise", "noise without end", "tls", (), stream(b"", bytes(range(256)) * 256))
handshake("plain", "plain HTTP", "tls", "does not speak TLS", once(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
handshake("ssh", "SSH", "tls", "does not speak TLS", once(b"SSH-2.0-OpenSSH_9.2\r\n"))
handshake("close", "closes after our hello", "tls|connection", (), lambda c: c.recv(4096))
handshake("alert", "an alert with a number that nobody knows", "tls", "alert", once(record(21, b"\x02\xfd")))
handshake("app", "application data instead of a hello", "tls", (), once(record(23, b"hello")))
handshake("ccs", "ChangeCipherSpec instead of a hello", "tls", (), once(record(20, b"\1")))
handshake("self", "our own hello sent back", "tls", (), lambda c: (c.sendall(c.recv(4096)), time.sleep(3)))
