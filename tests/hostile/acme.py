# SPDX-License-Identifier: Apache-2.0
"""An ACME client of which every byte can be wrong: keys, signed requests, connections, and the plain way from account
to certificate. Nothing here repairs, retries or normalises what it is told to send."""
import base64
import hashlib
import hmac
import json
import re
import socket
import ssl
import threading

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import der

URN = "urn:ietf:params:acme:error:"
JOSE = "application/jose+json"
REPLY_MAX = 4 * 1024 * 1024


def b64(data):
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"))


# --- keys -------------------------------------------------------------------------------------------------------------

CURVES = {"P-256": (ec.SECP256R1, "ES256", hashes.SHA256, 32), "P-384": (ec.SECP384R1, "ES384", hashes.SHA384, 48),
          "P-521": (ec.SECP521R1, "ES512", hashes.SHA512, 66)}
SIGNED_WITH = {"ES256": "1.2.840.10045.4.3.2", "ES384": "1.2.840.10045.4.3.3", "ES512": "1.2.840.10045.4.3.4",
               "RS256": "1.2.840.113549.1.1.11", "EdDSA": "1.3.101.112"}


class Key:
    """A private key with its JWK; kind: P-256, P-384, P-521, Ed25519 or RSA."""

    def __init__(self, kind="P-256", size=2048):
        self.kind = kind
        if kind in CURVES:
            curve, self.alg, self.hash, self.size = CURVES[kind]
            self.private = ec.generate_private_key(curve())
            point = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": kind, "x": b64(point.x.to_bytes(self.size, "big")),
                        "y": b64(point.y.to_bytes(self.size, "big"))}
        elif kind == "Ed25519":
            self.alg, self.private = "EdDSA", ed25519.Ed25519PrivateKey.generate()
            raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        else:
            self.alg, self.hash = "RS256", hashes.SHA256
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=size)
            n = self.private.public_key().public_numbers().n
            self.jwk = {"kty": "RSA", "n": b64(n.to_bytes((n.bit_length() + 7) // 8, "big")), "e": "AQAB"}

    def sign(self, data):
        """As JOSE wants it (RFC 7518 3)."""
        if self.kind not in CURVES:
            return self.sign_der(data)
        r, s = decode_dss_signature(self.sign_der(data))
        return r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big")

    def sign_der(self, data):
        """As X.509 wants it."""
        if self.kind in CURVES:
            return self.private.sign(data, ec.ECDSA(self.hash()))
        if self.kind == "Ed25519":
            return self.private.sign(data)
        return self.private.sign(data, padding.PKCS1v15(), self.hash())

    def spki(self):
        return self.private.public_key().public_bytes(serialization.Encoding.DER,
                                                      serialization.PublicFormat.SubjectPublicKeyInfo)

    def thumbprint(self):
        names = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[self.jwk["kty"]]
        return b64(hashlib.sha256(compact({n: self.jwk[n] for n in names}).encode()).digest())


# --- signed requests --------------------------------------------------------------------------------------------------

def text_of(value):
    """Bytes as they are; text encoded; anything else as JSON; None is the empty payload of POST-as-GET."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else compact(value)).encode()


def jws(key, header, payload, signature=None, signed=None):
    """The three members. signature: bytes instead of the right ones, or a function of the right ones. signed: the bytes
    to sign instead of what is sent."""
    protected, body = b64(text_of(header)), b64(text_of(payload))
    if not isinstance(signature, bytes):
        right = key.sign(signed if signed is not None else f"{protected}.{body}".encode())
        signature = signature(right) if signature else right
    return {"protected": protected, "payload": body, "signature": b64(signature)}


def eab(kid, secret, url, jwk, **wrong):
    """An external account binding (RFC 8555 7.3.4); wrong: what of it is not as it should be."""
    alg = wrong.get("alg", "HS256")
    header = {"alg": alg, "kid": kid, "url": url, **wrong.get("header", {})}
    header = {k: v for k, v in header.items() if v is not None}
    protected, payload = b64(text_of(header)), b64(text_of(wrong.get("payload", jwk)))
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(alg, "sha256")
    mac = hmac.new(secret, f"{protected}.{payload}".encode(), digest).digest()
    return {"protected": protected, "payload": payload, "signature": b64(wrong.get("mac", mac))}


# --- connections ------------------------------------------------------------------------------------------------------

class Closed(Exception):
    """The server ended the connection where a reply was awaited."""


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        found = [v for n, v in self.headers if n == name.lower()]
        return found[0] if found else None

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        if self.header("content-type") != "application/problem+json":
            return None
        return self.json["type"].removeprefix(URN)

    @property
    def detail(self):
        return self.json.get("detail", "")

    def links(self, rel):
        return [m[1] for v in self.all("link") for m in [re.fullmatch(r'<([^>]*)>;rel="([^"]*)"',
                                                                      v)] if m and m[2] == rel]

    def __str__(self):
        return f"{self.status} {self.body[:300].decode('latin-1')}"


class Server:
    """Where the API is, and how to get a connection."""

    def __init__(self, directory, ca):
        found = re.fullmatch(r"(https://([^/:]+):(\d+))/directory", directory)
        self.base, self.name, self.port = found[1], found[2], int(found[3])
        self.tls = ssl.create_default_context(cafile=ca)
        self.on_reply = None  # a function that judges every reply of all connections

    def tcp(self, timeout=20):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def connect(self, timeout=20):
        return Connection(self, self.tls.wrap_socket(self.tcp(timeout), server_hostname=self.name))

    def path(self, url):
        return url[len(self.base):] if url.startswith(self.base) else url


class Connection:
    """Bytes out, replies in."""

    def __init__(self, server, sock):
        self.server, self.sock, self.rest = server, sock, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as e:
            raise Closed(str(e)) from e
        if not data:
            raise Closed(f"after {self.rest!r}")
        self.rest += data
        if len(self.rest) > REPLY_MAX:
            raise AssertionError("a reply without end")

    def take(self, count):
        while len(self.rest) < count:
            self.more()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def reply(self, head_only=False):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        found = re.fullmatch(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*", lines[0])
        if not found:
            raise AssertionError(f"not a status line: {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([ -~]*)", line)
            if not field:
                raise AssertionError(f"not a header: {line!r}")
            headers.append((field[1].decode().lower(), field[2].decode()))
        reply = Reply(int(found[1]), headers, b"")
        length = reply.header("content-length")
        if not head_only and reply.status not in (204, 304) and reply.status >= 200:
            reply.body = self.take(int(length))
        if self.server.on_reply and reply.status >= 200:
            self.server.on_reply(reply, head_only)
        return reply

    def ended(self):
        """Whether the server closes, and sends nothing more before."""
        if self.rest:
            return False
        try:
            self.more()
        except Closed:
            return True
        return False

    def request(self, method, path, body=b"", headers=()):
        self.send(request(self.server, method, path, body, headers))
        return self.reply(method == "HEAD")


def request(server, method, path, body=b"", headers=()):
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {server.name}:{server.port}"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    names = {h.split(":", 1)[0].lower() for h in headers}
    if body and "content-type" not in names:
        lines.append(f"Content-Type: {JOSE}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


# --- a client ---------------------------------------------------------------------------------------------------------

class Client:
    """One account of one realm. A connection for each thread that asks; a nonce is kept for the next request."""

    def __init__(self, server, realm="", key=None):
        self.server, self.key, self.kid = server, key or Key(), None
        self.base = server.base + (f"/realm/{realm}" if realm else "")
        self.local = threading.local()

    def connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection, self.local.nonces = self.server.connect(), []
        return self.local.connection

    def close(self):
        if getattr(self.local, "connection", None) is not None:
            self.local.connection.sock.close()
            self.local.connection = None

    def ask(self, method, path, body=b"", headers=()):
        """One request over the thread's connection; a new one when the server has closed the old one."""
        fresh = getattr(self.local, "connection", None) is None
        try:
            reply = self.connection().request(method, path, body, headers)
        except (Closed, OSError):
            self.close()
            if fresh:
                raise
            reply = self.connection().request(method, path, body, headers)
        if reply.header("connection") == "close":
            self.close()
        if reply.header("replay-nonce"):
            self.local.nonces = [reply.header("replay-nonce")]
        return reply

    def nonce(self):
        self.connection()
        if not self.local.nonces:
            self.ask("HEAD", self.server.path(self.base) + "/new-nonce")
        return self.local.nonces.pop()

    def header(self, to, /, **wrong):
        """The protected header for this account; wrong: members that are other, or absent when None."""
        header = {"alg": self.key.alg, "nonce": wrong.pop("nonce") if "nonce" in wrong else self.nonce(), "url": to}
        header.update({"kid": self.kid} if self.kid else {"jwk": self.key.jwk})
        header.update(wrong)
        return {k: v for k, v in header.items() if v is not None}

    def signed(self, to, payload, /, **wrong):
        return text_of(jws(self.key, self.header(to, **wrong), payload))

    def post(self, to, payload=None, /, **wrong):
        return self.ask("POST", self.server.path(to), self.signed(to, payload, **wrong))

    def raw(self, url, body, headers=()):
        return self.ask("POST", self.server.path(url), text_of(body), headers)

    def new_account(self, payload=None, **wrong):
        self.kid = None
        reply = self.post(self.base + "/new-account", {} if payload is None else payload, **wrong)
        if reply.status in (200, 201):
            self.kid = reply.header("location")
        return reply

    def new_order(self, *names, **more):
        return self.post(self.base + "/new-order", {"identifiers": [ident(n) for n in names], **more})


def ident(name):
    if isinstance(name, dict):
        return name
    is_address = ":" in name or re.fullmatch(r"[0-9.]+", name)
    return {"type": "ip" if is_address else "dns", "value": name}


# --- certificate requests ---------------------------------------------------------------------------------------------

EXTENSION_REQUEST, SAN, COMMON_NAME = "1.2.840.113549.1.9.14", "2.5.29.17", "2.5.4.3"


def general_names(names):
    """Host names, addresses as bytes, or general names that are DER already (bytes that begin with a context tag)."""
    return der.sequence(*[n if isinstance(n, bytes) else der.tlv(0x82, n.encode()) for n in names])


def extension(number, value, critical=False):
    return der.sequence(der.oid(number), der.tlv(1, b"\xff") if critical else b"", der.octets(value))


def csr(key, names, subject=b"", extensions=(), attributes=(), **other):
    """A request (RFC 2986). names: the SAN, none when empty. subject: the RDNs. other: what replaces a part: spki,
    version, algorithm, signature (bytes, or a function of the right one), info (a function of the right bytes)."""
    exts = ([extension(SAN, general_names(names))] if names else []) + list(extensions)
    attrs = list(attributes)
    if exts:
        attrs.insert(0, der.sequence(der.oid(EXTENSION_REQUEST), der.set_of(der.sequence(*exts))))
    info = der.sequence(der.integer(other.get("version", 0)), der.sequence(subject), other.get("spki", key.spki()),
                        der.tlv(0xA0, *attrs))
    info = other["info"](info) if "info" in other else info
    signature = other.get("signature")
    if not isinstance(signature, bytes):
        right = other["sign"](info) if "sign" in other else key.sign_der(info)
        signature = signature(right) if signature else right
    algorithm = other.get("algorithm") or der.sequence(der.oid(SIGNED_WITH[key.alg]),
                                                       der.tlv(der.NULL) if key.alg == "RS256" else b"")
    return der.sequence(info, algorithm, der.bits(signature))


def common_name(name, tag=der.UTF8):
    return der.set_of(der.sequence(der.oid(COMMON_NAME),
                                   der.tlv(tag, name if isinstance(name, bytes) else name.encode())))
