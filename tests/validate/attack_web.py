# SPDX-License-Identifier: Apache-2.0
"""The hostile web server (A29 to A35, A38)."""
import gzip
import time

import names
import stage
from stage import attack, serve

REFUSED, NOT_FOLLOWED = "has no address that may be contacted", "which is not followed"
DRIP_S = 0.2

# --- A29: addresses that must not be contacted -----------------------------------------------------------------------

ADDRESSES = ["127.0.0.1", "127.8.8.8", "0.0.0.0", "0.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "169.254.1.1",
             "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1",
             "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
             "::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "fd00::8",
             "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "64:ff9b::a00:1", "64:ff9b::7f00:1",
             "64:ff9b:1::1", "2001:db8::1", "2001::1", "2002:a00:1::1", "2002:7f00:1::1", "100::1", "3fff::1",
             "5f00::1",
             "4000::1"]
for i, one in enumerate(ADDRESSES):
    def in_names(s, proof, to=one):
        s.names.records(proof.name, **{"AAAA" if ":" in to else "A": to})

    def in_redirect(s, proof, to=one):
        s.rules[proof.name] = lambda r: r.redirect(f"http://[{to}]/" if ":" in to else f"http://{to}/")

    attack("A29", f"direct-{i}", f"{one} in the DNS", "connection|dns", REFUSED, seconds=3)(in_names)
    attack("A29", f"redirect-{i}", f"redirected to {one}", "connection", REFUSED, seconds=3)(in_redirect)

DISGUISED = ["http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
             "http://017700000001/", "http://127.0.0.1./", "http://127.0.0.01/", "http://0/", "http://localhost/",
             "http://localhost./", "http://a.localhost/", "http://127.0.0.1:5432/", "http://127.0.0.1:5672/",
             "http://[fe80::1%25lo]/", "http://[fe80::1%lo]/", "http://[::1", "http://::1/", "http://[127.0.0.1]/",
             "http://[::ffff:7f00:1]:8080/", "http://127%2e0%2e0%2e1/", "http://%31%32%37.0.0.1/",
             "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "http://127\u30020.0.1/", "http://20.0.0.1@127.0.0.1/",
             "http://20.0.0.1:80@127.0.0.1/", "http://127.0.0.1\\@20.0.0.1/", "http://127.0.0.1#@20.0.0.1/",
             "http://127.0.0.1?@20.0.0.1/", "//127.0.0.1/", "///127.0.0.1/", "/\\127.0.0.1/", "\\\\127.0.0.1\\x",
             "http:127.0.0.1/", "http:/127.0.0.1/", "http:///127.0.0.1/", "HTTP://127.0.0.1/", "http://\t127.0.0.1/",
             "http://127.0.0.1\x00.e2e.test/", "http://inner.e2e.test/", "https://127.0.0.1/", "https://[::1]/"]
for i, one in enumerate(DISGUISED):
    def disguised(s, proof, to=one):
        s.names.records("inner.e2e.test", A="10.0.0.1")
        s.rules[proof.name] = lambda r: r.send(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: " + to.encode() +
                                               b"\r\n\r\n")
    attack("A29", f"disguised-{i}", f"redirected to {one!r}", "connection|dns|unauthorized", (), seconds=3)(disguised)


@attack("A29", "own-api", "redirected to the API of this CA", "connection", NOT_FOLLOWED, seconds=3)
def own_api(s, proof):
    s.rules[proof.name] = lambda r: r.redirect(f"https://127.0.0.1:{s.options.api_port}/directory")


@attack("A29", "mixed", "addresses that are forbidden beside one that is not", "", (), seconds=3)
def mixed(s, proof):
    s.names.records(proof.name, A=["10.0.0.1", "127.0.0.1", stage.HERE], AAAA=["::1", "fd00::8", "::ffff:10.0.0.1"])
    serve(s, proof)


# --- A30: names that change their address ----------------------------------------------------------------------------

CHANGE_S = 1.0  # a question that is asked again because its answer was late is still the same one


def changing(s, proof, first, then):
    """Another address for whoever asks a second time."""
    asked = []

    def rule(q):
        if q.type != names.A:
            return q.reply()
        asked.append(time.monotonic())
        return q.reply([(names.A, names.address(first if asked[-1] - asked[0] < CHANGE_S else then))])
    s.names.rules[proof.name] = rule
    return asked


@attack("A30", "rebind", "the address that was vetted is the one that is dialled", "", (), seconds=5)
def rebind(s, proof):
    asked = changing(s, proof, stage.HERE, "127.0.0.1")
    s.rules[proof.name] = lambda r: (time.sleep(CHANGE_S * 1.2), r.reply(200, proof.key_authorization))

    def once():
        if asked[-1] - asked[0] >= CHANGE_S:
            raise AssertionError(f"rebind: A was looked up again after {asked[-1] - asked[0]:.1f} s")
    return once


@attack("A30", "rebind-hop", "each hop is looked up and vetted again", "connection", (REFUSED, "10.0.0.1 is private"),
        seconds=5)
def rebind_hop(s, proof):
    changing(s, proof, stage.HERE, "10.0.0.1")
    s.rules[proof.name] = lambda r: (time.sleep(CHANGE_S * 1.2), r.redirect("/again"))


# --- A31: redirects --------------------------------------------------------------------------------------------------

for i, one in enumerate(["ftp://20.0.0.1/", "gopher://20.0.0.1/", "file:///etc/passwd", "dict://20.0.0.1:11211/stats",
                         "smb://20.0.0.1/x", "ldap://20.0.0.1/", "data:,x", "javascript:0", "http://u:p@20.0.0.1/",
                         "http://u@20.0.0.1/", "http:///x", "http://:80/x", "http://", "http://a b/",
                         "http://a.test:x/",
                         "http://a.test:99999/", "http://20.0.0.1:0/", "", " ", "http://x.e2e.test\x7f/",
                         "http://redirect.well-known/x"]):
    def odd(s, proof, to=one):
        s.rules[proof.name] = lambda r: r.redirect(to)
    attack("A31", f"odd-{i}", f"redirected to {one!r}", "connection", "answered 302", seconds=3)(odd)

for number in (22, 25, 53, 5432, 5672, 8080, 8443):
    def to_port(s, proof, n=number):
        s.rules[proof.name] = lambda r: r.redirect(f"http://{stage.HERE}:{n}/")
    attack("A31", f"port-{number}", f"redirected to port {number}", "connection", f"port {number} is not followed",
           seconds=3)(to_port)

for status in (300, 303, 304, 305, 306, 309, 399):
    def other(s, proof, n=status):
        s.rules[proof.name] = lambda r: r.redirect("http://good.e2e.test/", n)
    attack("A31", f"status-{status}", f"redirected by {status}", "connection", f"answered {status}", seconds=3)(other)


@attack("A31", "refresh", "redirected by Refresh", "unauthorized",
        "answered 200 with \\x22not here\\x22".replace("\\x22", '"'),
        seconds=3)
def refresh(s, proof):
    s.rules[proof.name] = lambda r: r.reply(200, "not here", ["Refresh: 0; url=http://127.0.0.1/"])


@attack("A31", "hops", "eleven redirects", "connection", "more than 10 redirects", seconds=4)
def hops(s, proof):
    s.rules[proof.name] = lambda r: r.redirect("/hop" + str(int(r.path[4:]) + 1 if r.path.startswith("/hop") else 1))


@attack("A31", "loop", "a redirect loop of two", "connection", "redirect loop", seconds=3)
def loop(s, proof):
    s.rules[proof.name] = lambda r: r.redirect("/b" if r.path == "/a" else "/a")


@attack("A31", "long", "a redirect to a path of 2,001 bytes", "connection", "its path has 2001 bytes", seconds=3)
def long(s, proof):
    s.rules[proof.name] = lambda r: r.redirect("/" + "x" * 2000)


@attack("A31", "two", "two Locations", "connection", "two Locations", seconds=3)
def two(s, proof):
    s.rules[proof.name] = lambda r: r.reply(302, "", ["Location: http://good.e2e.test/", "Location: http://127.0.0.1/"])


# --- A32: servers that do not end ------------------------------------------------------------------------------------

OK_HEAD = b"HTTP/1.1 200 OK\r\n"


def slow(label, title, kind, text, head, part, pause=DRIP_S):
    """Sends a head and then parts without end, until nobody listens any more."""
    def setup(s, proof):
        def rule(r):
            r.send(head)
            while True:
                r.send(part)
                time.sleep(pause)
        s.rules[proof.name] = rule
    attack("A32", label, title, kind, text, slow=pause > 0, seconds=None if pause > 0 else 6)(setup)


slow("drip", "a body that drips", "connection", "timeout after connect", OK_HEAD + b"Content-Length: 87\r\n\r\n", b"x",
     1)
slow("drip-head", "a head that drips", "connection", "timeout after connect", OK_HEAD + b"X: ", b"x")
slow("drip-status", "a status line that drips", "connection", "timeout after connect", b"HTTP/1.1 200 ", b"O")
slow("heads", "headers without end", "connection", "response header is larger than", OK_HEAD,
     b"X-Y: zzzzzzzz\r\n" * 64, 0)
slow("one-head", "a header without end", "connection", "response header", OK_HEAD + b"X: ", b"z" * 65536, 0)
slow("interim", "interim answers without end", "connection", "response header is larger than", b"",
     b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 64, 0)
slow("continue", "100 without end, slowly", "connection", ("timeout after connect",), b"",
     b"HTTP/1.1 100 Continue\r\n\r\n", 1)
slow("chunks", "chunks without end", "incorrectResponse", "128 bytes or more",
     OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
     b"1\r\nx\r\n" * 200, 0)
slow("extension", "a chunk extension without end", "connection", (), OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
     b"e" * 65536, 0)
slow("trailers", "trailers without end", "connection|incorrectResponse|unauthorized", (),
     OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Y: zzzzzzzz\r\n" * 64, 0)
slow("zeros", "a chunk size of zeros without end", "connection", (), OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
     b"0" * 65536, 0)
slow("huge", "10 GB", "incorrectResponse", "128 bytes or more", OK_HEAD + b"Content-Length: 10737418240\r\n\r\n",
     b"x" * 65536, 0)
slow("endless", "a body without length and without end", "incorrectResponse", "128 bytes or more", OK_HEAD + b"\r\n",
     b"y" * 65536, 0)
slow("blanks", "blanks without end", "incorrectResponse", "128 bytes or more", OK_HEAD + b"\r\n", b" " * 65536, 0)


@attack("A32", "silent", "accepts and says nothing", "connection", "timeout after connect", slow=True)
def silent(s, proof):
    s.rules[proof.name] = lambda r: time.sleep(20)


@attack("A32", "unfinished", "all of it, but the connection stays open", "", (), seconds=3)
def unfinished(s, proof):
    def rule(r):
        r.send(OK_HEAD + b"Content-Length: 87\r\nConnection: keep-alive\r\n\r\n" + proof.key_authorization.encode())
        time.sleep(20)
    s.rules[proof.name] = rule


@attack("A32", "gzip", "a body in gzip is not unpacked", "unauthorized|incorrectResponse", "answered 200 with",
        seconds=3)
def gzipped(s, proof):
    s.rules[proof.name] = lambda r: r.reply(200, gzip.compress(proof.key_authorization.encode()),
                                            ["Content-Encoding: gzip"])


@attack("A32", "gzip-bomb", "nor is a bomb", "unauthorized|incorrectResponse", "answered 200 with", seconds=3)
def gzip_bomb(s, proof):
    s.rules[proof.name] = lambda r: r.reply(200, gzip.compress(bytes(10 << 20)), ["Content-Encoding: gzip"])


# --- A33, A34: the right body in the wrong place ---------------------------------------------------------------------

for status in (201, 202, 203, 204, 205, 206, 226, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 599):
    def wrong_status(s, proof, n=status):
        s.rules[proof.name] = lambda r: r.reply(n, proof.key_authorization)
    attack("A33", f"right-{status}", f"the right body under {status}", "unauthorized", f"answered {status}; wanted 200",
           seconds=3)(wrong_status)


@attack("A34", "echo-path", "a server that echoes the path", "unauthorized", "answered 200 with", seconds=3)
def echo_path(s, proof):
    s.rules[proof.name] = lambda r: r.reply(200, r.path)


@attack("A34", "echo-all", "a server that echoes everything", "unauthorized|incorrectResponse", "answered 200 with",
        seconds=3)
def echo_all(s, proof):
    def rule(r):
        if proof.thumbprint.encode() in r.head:
            raise AssertionError("the thumbprint is in the request")
        r.reply(200, r.head)
    s.rules[proof.name] = rule

    def never():
        if any(proof.thumbprint in path for w in s.webs for _, _, path in w.requests):
            raise AssertionError("echo-all: the thumbprint was sent")
    return never


# --- A35: what is no HTTP, or two answers at once --------------------------------------------------------------------

def answer(label, title, kind, of, text=(), number="A35"):
    """of: the bytes of the answer, from the right body."""
    def setup(s, proof):
        s.rules[proof.name] = lambda r: r.send(of(proof.key_authorization.encode()))
    attack(number, label, title, kind, text, seconds=3)(setup)


answer("http09", "HTTP/0.9", "connection", lambda b: b, "not HTTP/1.x")
answer("h2", "HTTP/2", "connection", lambda b: b"\0\0\x06\4\0\0\0\0\0\0\3\0\0\0\x64" + b, "not HTTP/1.x")
answer("version2", "HTTP/2 in words", "connection", lambda b: b"HTTP/2 200 OK\r\nContent-Length: 87\r\n\r\n" + b)
answer("version3", "HTTP/3 in words", "connection", lambda b: b"HTTP/3 200 OK\r\nContent-Length: 87\r\n\r\n" + b)
answer("ssh", "SSH", "connection", lambda b: b"SSH-2.0-OpenSSH_9.2\r\n" + b, "not HTTP/1.x")
answer("icy", "ICY", "connection", lambda b: b"ICY 200 OK\r\n\r\n" + b)
answer("rtsp", "RTSP", "connection", lambda b: b"RTSP/1.0 200 OK\r\nContent-Length: 87\r\n\r\n" + b)
answer("number", "a status of four digits", "connection|unauthorized",
       lambda b: b"HTTP/1.1 2000 OK\r\nContent-Length: 87\r\n\r\n" + b)
answer("binary", "noise", "connection", lambda b: bytes(range(256)) * 4)
answer("nothing", "nothing at all", "connection", lambda b: b"", "without an answer")
answer("half", "half a head", "connection|unauthorized", lambda b: OK_HEAD + b"Content-Le")
answer("cl-te", "a length and chunks", "connection",
       lambda b: OK_HEAD + b"Content-Length: 87\r\nTransfer-Encoding: chunked\r\n\r\n57\r\n" + b + b"\r\n0\r\n\r\n")
answer("te-cl", "chunks and a length", "connection",
       lambda b: OK_HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 87\r\n\r\n57\r\n" + b + b"\r\n0\r\n\r\n")
answer("cl-cl", "two lengths", "connection", lambda b: OK_HEAD + b"Content-Length: 5\r\nContent-Length: 87\r\n\r\n" + b)
answer("cl-list", "two lengths in one", "connection", lambda b: OK_HEAD + b"Content-Length: 5, 87\r\n\r\n" + b)
answer("cl-minus", "a negative length", "connection", lambda b: OK_HEAD + b"Content-Length: -1\r\n\r\n" + b)
answer("cl-word", "a length that is no number", "connection", lambda b: OK_HEAD + b"Content-Length: 87x\r\n\r\n" + b)
answer("cl-big", "a length of 2^64", "connection|incorrectResponse",
       lambda b: OK_HEAD + b"Content-Length: 18446744073709551703\r\n\r\n" + b)
answer("cl-long", "a length that is not reached", "connection", lambda b: OK_HEAD + b"Content-Length: 1000\r\n\r\n" + b,
       "in the middle of the body")
answer("cl-short", "a length that is exceeded", "unauthorized", lambda b: OK_HEAD + b"Content-Length: 10\r\n\r\n" + b,
       "answered 200 with")
answer("te-odd", "an unknown transfer coding", "connection|unauthorized",
       lambda b: OK_HEAD + b"Transfer-Encoding: xchunked\r\n\r\n57\r\n" + b + b"\r\n0\r\n\r\n")
answer("te-gzip", "gzip as transfer coding", "connection|unauthorized",
       lambda b: OK_HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n57\r\n" + b + b"\r\n0\r\n\r\n")
answer("chunk-size", "a chunk size that is none", "connection",
       lambda b: OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + b + b"\r\n0\r\n\r\n")
answer("chunk-huge", "a chunk of 2^64 bytes", "connection|incorrectResponse|unauthorized",
       lambda b: OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n" + b + b"\r\n0\r\n\r\n")
answer("chunk-cut", "chunks that are cut off", "connection",
       lambda b: OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n57\r\n" + b)
answer("nul", "a NUL in a header", "connection", lambda b: OK_HEAD + b"X: a\0b\r\nContent-Length: 87\r\n\r\n" + b)
answer("nul-body", "a NUL in the body", "unauthorized", lambda b: OK_HEAD + b"Content-Length: 88\r\n\r\n" + b + b"\0",
       "nothing before or after")
answer("nul-first", "a NUL at the front of the body", "unauthorized",
       lambda b: OK_HEAD + b"Content-Length: 88\r\n\r\n\0" + b)
answer("terminal", "escape sequences in the body", "unauthorized",
       lambda b: OK_HEAD + b"\r\n\x1b[2J\x1b]0;owned\x07\xe2\x80\xae\r\n{\"event\":\"forged\"}", "\\x1b[2J")
answer("terminal-location", "escape sequences in a Location", "connection",
       lambda b: b"HTTP/1.1 302 X\r\nLocation: http://\x1b[31mx/\r\n\r\n", "\\x1b[31m")
answer("twice", "the right answer after a wrong one", "unauthorized",
       lambda b: b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n" + OK_HEAD + b"Content-Length: 87\r\n\r\n" + b,
       "answered 404")
answer("switch", "101 and then another protocol", "connection|unauthorized",
       lambda b: b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + b)
answer("auth", "asks for a password", "unauthorized",
       lambda b: b"HTTP/1.1 401 X\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", "answered 401")
answer("cookies", "a thousand cookies", "connection", lambda b: OK_HEAD + b"Set-Cookie: a=b\r\n" * 1000 + b"\r\n" + b,
       "response header is larger than")


# --- A38: the second address -----------------------------------------------------------------------------------------

@attack("A38", "reset", "IPv6 accepts and resets, IPv4 is good", "connection",
        (f"{stage.HERE_V6}: ", "reset", f"{stage.HERE} of the A record"), seconds=3)
def reset(s, proof):
    s.names.records(proof.name, A=stage.HERE, AAAA=stage.HERE_V6)
    s.rules[proof.name] = lambda r: r.reset() if ":" in r.at else r.reply(200, proof.key_authorization)


@attack("A38", "half-v6", "IPv6 breaks off, IPv4 is good", "connection", f"{stage.HERE_V6}: ", seconds=3)
def half_v6(s, proof):
    s.names.records(proof.name, A=stage.HERE, AAAA=stage.HERE_V6)
    s.rules[proof.name] = lambda r: r.send(OK_HEAD + b"Content-Length: 87\r\n\r\nx") if ":" in r.at else \
        r.reply(200, proof.key_authorization)
