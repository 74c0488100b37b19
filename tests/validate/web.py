# SPDX-License-Identifier: Apache-2.0
"""Web and TLS servers on plain sockets: each name has a function that does to the connection what it likes."""
import os
import re
import socket
import ssl
import struct
import tempfile
import threading

REQUEST_MAX = 65536
IPV6_FREEBIND = 78  # the address is ours by a route of type "local" only


class Request:
    """One connection with its request; whatever is sent to it is the rule's."""

    def __init__(self, connection, head):
        self.connection, self.head = connection, head
        found = re.match(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n", head)
        self.path = found[2].decode("latin-1") if found else ""
        host = re.search(rb"\r\nhost: *([^\r\n]*)", head, re.IGNORECASE)
        self.host = host[1].decode("latin-1").lower() if host else ""
        self.at = connection.getsockname()[0]

    def send(self, data):
        self.connection.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reply(self, status, body=b"", headers=()):
        body = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def redirect(self, target, status=302):
        self.reply(status, b"", [f"Location: {target}"])

    def reset(self):
        """No goodbye: RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Listener:
    """Accepts at one address and port, a thread for each connection."""

    def __init__(self, at, port):
        self.family = socket.AF_INET6 if ":" in at else socket.AF_INET
        self.socket = socket.socket(self.family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside one at every address
        if self.family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        self.socket.bind((at, port))
        self.socket.listen(512)
        self.accepted = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            self.accepted.append(connection.getsockname()[:2])
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def guarded(self, connection):
        connection.settimeout(30)
        try:
            with connection:
                self.serve_one(connection)
        except (OSError, ValueError):
            pass  # the client went away, or the test's servers end

    def serve_one(self, connection):
        raise NotImplementedError


class Web(Listener):
    """rules: host name (without port) to a function of a Request. Challenge files are in `files`, by path."""

    def __init__(self, at, port=80, rules=None, files=None, tls=None):
        self.rules, self.files, self.tls = rules if rules is not None else {}, files if files is not None else {}, tls
        self.requests = []
        super().__init__(at, port)

    def serve_one(self, connection):
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data or len(head) > REQUEST_MAX:
                return
            head += data
        request = Request(connection, head)
        self.requests.append((request.at, request.host, request.path))
        host = re.sub(r":\d+$", "", request.host)
        if host in self.rules:
            self.rules[host](request)
        elif request.path in self.files:
            request.reply(200, self.files[request.path])
        else:
            request.reply(404, "not found")
        if self.tls:
            connection.close()


class Raw(Listener):
    """A function of the connection, and nothing else."""

    def __init__(self, at, port, rule):
        self.rule = rule
        super().__init__(at, port)

    def serve_one(self, connection):
        self.rule(connection)


class Deaf:
    """As a firewall that drops: the queue of connections is full, and the kernel throws away what comes."""

    def __init__(self, at, port):
        self.socket = socket.socket()
        self.socket.bind((at, port))
        self.socket.listen(0)
        self.callers = []
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex((at, port))
            self.callers.append(caller)


def pem_context(cert_pem, key_pem, alpn=(), **more):
    """A server's TLS settings; more: minimum, maximum version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = more.get("minimum", ssl.TLSVersion.TLSv1_2)
    context.maximum_version = more.get("maximum", ssl.TLSVersion.TLSv1_3)
    if more.get("weak"):
        context.set_ciphers("ALL:@SECLEVEL=0")
    with tempfile.NamedTemporaryFile(delete=False) as f:
        f.write(cert_pem + key_pem)
    context.load_cert_chain(f.name)
    os.unlink(f.name)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Tls(Listener):
    """contexts: the server name (SNI) to an SSLContext. After the handshake nothing is said, as RFC 8737 wants it."""

    def __init__(self, at, port, first, contexts):
        self.first, self.contexts, self.names = first, contexts, []
        self.first.sni_callback = self.chosen
        super().__init__(at, port)

    def chosen(self, connection, name, _):
        self.names.append(name)
        if name in self.contexts:
            connection.context = self.contexts[name]

    def serve_one(self, connection):
        with self.first.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)
