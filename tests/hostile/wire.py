# SPDX-License-Identifier: Apache-2.0
"""HTTP that proxies and servers read differently, and requests that are slow or have no end (A73, A74)."""
import socket
import ssl
import statistics
import threading
import time

import acme
from world import Failed, case, same, want

GET = "GET /directory HTTP/1.1\r\nHost: {host}\r\n"
POST = "POST /new-order HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/jose+json\r\n"
CHUNKS = POST + "Transfer-Encoding: chunked\r\n\r\n"
SECOND = "GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"

# Each row is sent with a second, good request behind it. Whoever disagrees about where the first ends would answer the
# second (RFC 9112 11.2); after a refusal nothing more may be read.
FRAMING = {
    "length, then chunks": (400, POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunks, then length": (400, POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
    "the same length twice": (400, POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
    "two lengths in a list": (400, POST + "Content-Length: 2, 2\r\n\r\n{{}}"),
    "length +2": (400, POST + "Content-Length: +2\r\n\r\n{{}}"),
    "length -1": (400, POST + "Content-Length: -1\r\n\r\n{{}}"),
    "length 0x2": (400, POST + "Content-Length: 0x2\r\n\r\n{{}}"),
    "length 02": (400, POST + "Content-Length: 02\r\n\r\n{{}}"),
    "length 2.0": (400, POST + "Content-Length: 2.0\r\n\r\n{{}}"),
    "length 2 2": (400, POST + "Content-Length: 2 2\r\n\r\n{{}}"),
    "length empty": (400, POST + "Content-Length:\r\n\r\n"),
    "length in Unicode digits": (400, POST + "Content-Length: \u00b2\r\n\r\n{{}}"),
    "length 2^64": (413, POST + "Content-Length: 18446744073709551616\r\n\r\n{{}}"),
    "length 2^64 + 2": (413, POST + "Content-Length: 18446744073709551618\r\n\r\n{{}}"),
    "length 2^63": (413, POST + "Content-Length: 9223372036854775808\r\n\r\n{{}}"),
    "length 50001": (413, POST + "Content-Length: 50001\r\n\r\n{{}}"),
    "coding gzip": (400, POST + "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
    "codings gzip, chunked": (501, POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "codings chunked, gzip": (400, POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "codings chunked, identity": (400, POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "coding identity": (400, POST + "Transfer-Encoding: identity\r\n\r\n"),
    "coding xchunked": (400, POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "coding chunked;q=1": (400, POST + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    "coding \"chunked\"": (400, POST + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    "coding with a vertical tab": (400, POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked twice in a list": (400, POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice in two lines": (400, POST + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n"),
    "chunked, then identity in two lines": (400, CHUNKS[:-2] + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    "coding folded": (400, POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": (400, POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunk size +0": (400, CHUNKS + "+0\r\n\r\n"),
    "chunk size -1": (400, CHUNKS + "-1\r\n\r\n"),
    "chunk size 0x0": (400, CHUNKS + "0x0\r\n\r\n"),
    "chunk size of 17 digits": (400, CHUNKS + "00000000000000000\r\n\r\n"),
    "chunk size beyond 2^64": (400, CHUNKS + "10000000000000002\r\n{{}}\r\n0\r\n\r\n"),
    "chunk size 2^64 - 1": (413, CHUNKS + "ffffffffffffffff\r\n{{}}"),
    "chunk size empty": (400, CHUNKS + "\r\n\r\n"),
    "a blank in front of the chunk size": (400, CHUNKS + " 0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKS + "1\r\n{{}}\r\n0\r\n\r\n"),
    "chunk with a bare LF": (400, CHUNKS + "2\n{{}}\r\n0\r\n\r\n"),
    "chunk's data with a bare LF": (400, CHUNKS + "2\r\n{{}}\n0\r\n\r\n"),
    "chunk with a bare CR": (400, CHUNKS + "2\r{{}}\r\n0\r\n\r\n"),
    "chunk extension with a control byte": (400, CHUNKS + "0;a\x01\r\n\r\n"),
    "chunk extension with a line end": (400, CHUNKS + "0;a\nb\r\n\r\n"),
    "chunk extension without end": (400, CHUNKS + "0;" + "a" * 9000 + "\r\n\r\n"),
    "trailer that is no header": (400, CHUNKS + "0\r\nnot a header\r\n\r\n"),
    "trailer folded": (400, CHUNKS + "0\r\nA: b\r\n c\r\n\r\n"),
    "trailers without end": (400, CHUNKS + "0\r\n" + "A: b\r\n" * 2000 + "\r\n"),
    "a folded header": (400, GET + "X-A: b\r\n c\r\n\r\n"),
    "a header folded by a tab": (400, GET + "X-A: b\r\n\tc\r\n\r\n"),
    "a folded first header": (400, "GET /directory HTTP/1.1\r\n Host: {host}\r\n\r\n"),
    "a blank in front of the colon": (400, POST + "Content-Length : 2\r\n\r\n{{}}"),
    "a tab in front of the colon": (400, POST + "Content-Length\t: 2\r\n\r\n{{}}"),
    "a NUL in front of the colon": (400, POST + "Content-Length\0: 2\r\n\r\n{{}}"),
    "a header without a name": (400, GET + ": x\r\n\r\n"),
    "a header without a colon": (400, GET + "X-A\r\n\r\n"),
    "a name with a blank": (400, GET + "X A: b\r\n\r\n"),
    "a name with a slash": (400, GET + "X/A: b\r\n\r\n"),
    "a name with a byte beyond ASCII": (400, GET + "X-\u00e4: b\r\n\r\n"),
    "a bare CR in a value": (400, GET + "X-A: b\rX-B: c\r\n\r\n"),
    "a bare LF in a value": (400, GET + "X-A: b\nX-B: c\r\n\r\n"),
    "bare LFs everywhere": (400, (GET + "\r\n").replace("\r\n", "\n")),
    "a bare LF at the head's end": (400, GET + "X-A: b\r\n\n"),
    "a NUL in a value": (400, GET + "X-A: b\0c\r\n\r\n"),
    "an escape in a value": (400, GET + "X-A: \x1b[2J\r\n\r\n"),
    "DEL in a value": (400, GET + "X-A: \x7f\r\n\r\n"),
    "two hosts": (400, GET + "Host: evil.test\r\n\r\n"),
    "the same host twice": (400, GET + "Host: {host}\r\n\r\n"),
    "no host": (400, "GET /directory HTTP/1.1\r\nX-Not-Host: {host}\r\n\r\n"),
    "no host in HTTP/1.0": (400, "GET /directory HTTP/1.0\r\nX-Not-Host: {host}\r\n\r\n"),
    "host empty": (400, "GET /directory HTTP/1.1\r\nHost:\r\n\r\n"),
    "host with a path": (400, "GET /directory HTTP/1.1\r\nHost: {host}/x\r\n\r\n"),
    "host with a user": (400, "GET /directory HTTP/1.1\r\nHost: a@{host}\r\n\r\n"),
    "hosts in a list": (400, "GET /directory HTTP/1.1\r\nHost: {host}, evil.test\r\n\r\n"),
    "host with a port that is none": (400, "GET /directory HTTP/1.1\r\nHost: localhost:x\r\n\r\n"),
    "two content types": (400, POST + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"),
    "absolute form": (400, "GET https://{host}/directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "absolute form, another host": (400, "GET http://evil.test/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "authority form": (400, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n"),
    "asterisk form": (400, "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a target without a slash": (400, "GET directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "no target": (400, "GET HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "two blanks": (400, "GET  /directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a tab for a blank": (400, "GET\t/directory\tHTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a blank in the target": (400, "GET /directory /x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a blank in front": (400, " GET /directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a blank behind": (400, "GET /directory HTTP/1.1 \r\nHost: {host}\r\n\r\n"),
    "a fragment": (400, "GET /directory#x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a backslash": (400, "GET /x\\..\\directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "..": (400, "GET /x/../directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    ".": (400, "GET /./directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "%2e%2e": (400, "GET /x/%2e%2e/directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    ".%2E": (400, "GET /x/.%2E/directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "%00": (400, "GET /directory%00 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "%0d%0a": (400, "GET /directory%0d%0aX:%20y HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "%": (400, "GET /directory% HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "%zz": (400, "GET /directory%zz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a byte beyond ASCII": (400, "GET /\u00e4 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a control byte in the target": (400, "GET /\x01 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "HTTP/0.9": (400, "GET /directory\r\n\r\n"),
    "HTTP/2.0": (505, "GET /directory HTTP/2.0\r\nHost: {host}\r\n\r\n"),
    "HTTP/1.10": (400, "GET /directory HTTP/1.10\r\nHost: {host}\r\n\r\n"),
    "HTTP/1": (400, "GET /directory HTTP/1\r\nHost: {host}\r\n\r\n"),
    "http/1.1": (400, "GET /directory http/1.1\r\nHost: {host}\r\n\r\n"),
    "HTTP/ 1.1": (400, "GET /directory HTTP/ 1.1\r\nHost: {host}\r\n\r\n"),
    "the preface of HTTP/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a method with a colon": (400, "GE:T /directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "no method": (400, "/directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "three empty lines in front": (400, "\r\n\r\n\r\nGET /directory HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "bytes": (400, "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    "an expectation that nobody has": (417, POST + "Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{{}}"),
    "101 header fields": (431, GET + "X-A: b\r\n" * 101 + "\r\n"),
    "a head of 20 kB": (431, GET + "X-A: " + "b" * 20000 + "\r\n\r\n"),
    "a target of 20 kB": (414, "GET /" + "x" * 20000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n"),
}


@case("A74", "framing that two readers understand differently: refused, one reply, the connection ends")
def smuggling(w):
    host = f"{w.server.name}:{w.server.port}"
    for what, (status, text) in FRAMING.items():
        w.row = what
        with w.server.connect(8) as c:
            c.send((text + SECOND).format(host=host).encode("latin-1"))
            reply = c.reply()
            want(reply.status == status and reply.problem == "malformed", f"found {reply}, wanted {status}")
            same("Connection", reply.header("connection"), "close")
            want(c.ended(), f"something came behind the refusal: {c.rest[:200]!r}")
    w.note(f"{len(FRAMING)} forms")
    w.row = "good requests in one go, and rest behind them"
    with w.server.connect(8) as c:
        c.send((SECOND * 3 + "rest\r\n\r\n").format(host=host).encode())
        same("statuses", [c.reply().status for _ in range(4)], [200, 200, 200, 400])
        want(c.ended(), "something came behind the refusal")
    w.row = "a GET with a body that looks like a request"
    with w.server.connect(8) as c:
        inner = "GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n".format(host=host)
        c.send((GET + f"Content-Length: {len(inner)}\r\n\r\n{inner}" + SECOND).format(host=host).encode())
        same("statuses", [c.reply().status for _ in range(2)], [200, 200])
    w.row = "chunks that are as they should be"
    client = w.account()
    for pieces in (1, 7, 10000):
        body = client.signed(w.server.base + "/new-order", {"identifiers": [acme.ident(w.name())]})
        chunks = b"".join(b"%X;a=b\r\n%s\r\n" % (len(body[i:i + pieces]), body[i:i + pieces]) for i in range(0,
                                                                                                             len(body),
                                                                                                             pieces))
        head = (POST + "Transfer-Encoding: Chunked\r\n\r\n").format(host=host).encode()
        with w.server.connect(8) as c:
            if pieces == 1 and len(chunks) > 60000:
                chunks = chunks.replace(b";a=b", b"")
            c.send(head + chunks + b"0\r\nX-Trailer: y\r\n\r\n")
            same("status", c.reply().status, 201)
    w.row = "HTTP/1.0"
    with w.server.connect(8) as c:
        c.send(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n" + SECOND.format(host=host).encode())
        same("status", c.reply().status, 200)
        want(c.ended(), "a connection of HTTP/1.0 was kept")


# --- slow and endless -------------------------------------------------------------------------------------------------

class Attack:
    """Connections that are held for as long as the server lets them; how each ended and when."""

    def __init__(self, server):
        self.server, self.threads, self.ends, self.errors = server, [], [], []

    def start(self, count, run, *args):
        for _ in range(count):
            thread = threading.Thread(target=self.one, args=(run, *args), daemon=True)
            self.threads.append(thread)
            thread.start()

    def one(self, run, *args):
        start = time.monotonic()
        try:
            end = run(self.server, *args)
        except (OSError, acme.Closed) as e:
            end = type(e).__name__
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
            return
        self.ends.append((run.__name__, end, time.monotonic() - start))

    def wait(self, seconds):
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        return not any(t.is_alive() for t in self.threads)


def drip(c, pieces, pause):
    """Sends until the server has had enough; what it said then."""
    for piece in pieces:
        c.sock.settimeout(pause)
        try:
            c.more()
        except (TimeoutError, socket.timeout):
            pass
        if c.rest:
            break
        c.sock.settimeout(20)
        c.send(piece)
    c.sock.settimeout(20)
    return c.reply().status


def endless(piece):
    for _ in range(1 << 20):
        yield piece


def slow_head(server):
    with server.connect(40) as c:
        c.send(b"GET /directory HTTP/1.1\r\nHost: localhost\r\n")
        return drip(c, endless(b"X"), 1)


def slow_body(server):
    with server.connect(40) as c:
        c.send((POST + "Content-Length: 40000\r\n\r\n").format(host="localhost").encode())
        return drip(c, endless(b"x"), 1)


def slow_chunks(server):
    with server.connect(40) as c:
        c.send(CHUNKS.format(host="localhost").encode())
        return drip(c, endless(b"1\r\nx\r\n"), 1)


def slow_extension(server):
    with server.connect(40) as c:
        c.send(CHUNKS.format(host="localhost").encode() + b"1;")
        return drip(c, endless(b"x"), 1)


def no_handshake(server):
    with server.tcp(40) as s:
        return s.recv(1)


def half_handshake(server):
    """The beginning of a ClientHello, then nothing."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = server.tls.wrap_bio(incoming, outgoing, server_hostname=server.name)
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with server.tcp(40) as s:
        s.sendall(outgoing.read()[:100])
        return s.recv(1)


def plain_http(server):
    with server.tcp(40) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return s.recv(4096)[:1]


def endless_headers(server):
    with server.connect(40) as c:
        c.send(b"GET /directory HTTP/1.1\r\nHost: localhost\r\n")
        return flood(c, b"X-A: " + b"b" * 500 + b"\r\n")


def endless_line(server):
    with server.connect(40) as c:
        return flood(c, b"x" * 1000)


def endless_chunks(server):
    with server.connect(40) as c:
        c.send(CHUNKS.format(host="localhost").encode())
        return flood(c, b"100\r\n" + b"x" * 256 + b"\r\n")


def endless_empty_lines(server):
    with server.connect(40) as c:
        return flood(c, b"\r\n" * 500)


def flood(c, piece):
    """Sends without end; the status with which the server ends it. 16 MB would be an end that it missed."""
    c.sock.settimeout(20)
    try:
        for _ in range(16 * 1024 * 1024 // len(piece)):
            c.send(piece)
    except (OSError, ssl.SSLError):
        pass
    else:
        raise Failed("16 MB were taken in")
    return c.reply().status


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@case("A73", "slow, silent and endless connections, 300 at once: ended in time, and others are served meanwhile")
def slow(w):
    before = w.resident_kib()
    attack = Attack(w.server)
    for run, count in ((slow_head, 60), (slow_body, 30), (slow_chunks, 15), (slow_extension, 15), (no_handshake, 80),
                       (half_handshake, 80), (plain_http, 20)):
        attack.start(count, run)
    quick = Attack(w.server)
    for run in (endless_headers, endless_line, endless_chunks, endless_empty_lines):
        quick.start(4, run)
    times = []
    client = w.account()
    while any(t.is_alive() for t in attack.threads) and len(times) < 2000:
        start = time.perf_counter()
        w.done(client.new_order(w.name()), 201)
        times.append(time.perf_counter() - start)
        time.sleep(0.05)
        if len(times) == 40:
            w.note(f"{w.resident_kib() - before} KiB more with 300 open")
    want(attack.wait(1) and quick.wait(1), "connections were still open after 40 s")
    for e in attack.errors + quick.errors:
        raise e
    wanted = {"slow_head": {408}, "slow_body": {408}, "slow_chunks": {408}, "slow_extension": {408},
              "no_handshake": {b"", "ConnectionResetError"},
              "half_handshake": {b"", "ConnectionResetError"}, "endless_headers": {431, "Closed"},
              "endless_line": {414, "Closed"},
              "endless_chunks": {413, "Closed"}, "endless_empty_lines": {400, "Closed"}}
    for name, end, seconds in attack.ends + quick.ends:
        if name in wanted:
            want(end in wanted[name], f"{name} ended with {end!r} after {seconds:.1f} s, wanted one of {wanted[name]}")
        limit = 23 if name in ("slow_body", "slow_chunks", "slow_extension") else 13
        want(seconds < limit, f"{name} could go on for {seconds:.1f} s, wanted less than {limit}")
    w.note(f"{len(times)} orders meanwhile: median {statistics.median(times) * 1000:.1f} ms, "
           f"p99 {percentile(times, 0.99) * 1000:.0f} ms")
    client.close()


@case("A73", "300 handshakes at once, 300 idle connections, and one more client")
def idle(w):
    held = []
    start = time.perf_counter()
    for _ in range(300):
        held.append(w.server.connect())
    w.note(f"{300 / (time.perf_counter() - start):.0f} handshakes a second")
    w.alive()
    for c in held[::10]:
        same("an idle connection's status", c.request("GET", "/health").status, 200)
    for c in held:
        c.sock.close()


@case("A73", "a client that does not read its replies, and one that leaves in the middle")
def deaf(w):
    path = "/directory"
    one = acme.request(w.server, "GET", path)
    with w.server.connect(5) as c:
        try:
            for _ in range(4000):  # replies of 1 kB each: more than the sockets' buffers hold
                c.send(one)
        except (TimeoutError, socket.timeout, OSError):
            pass
        w.alive()
    client = w.account()
    for cut in range(1, 60, 3):
        body = acme.request(w.server, "POST", "/new-order",
                            client.signed(w.server.base + "/new-order", {"identifiers": []}))
        with w.server.connect(5) as c:
            c.send(body[:len(body) * cut // 60])
    for _ in range(20):
        body = acme.request(w.server, "POST", "/new-order",
                            client.signed(w.server.base + "/new-order", {"identifiers": [acme.ident(w.name())]}))
        c = w.server.connect(5)
        c.send(body)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.sock.close()
