# SPDX-License-Identifier: Apache-2.0
"""A name server whose every answer is the test's: over UDP and TCP, at 127.0.0.1. It is asked as resolvers are."""
import re
import socket
import struct
import threading

A, CNAME, SOA, TXT, AAAA, DNAME, OPT, CAA = 1, 5, 6, 16, 28, 39, 41, 257
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
UDP_MAX = 1232


def wire_name(name):
    return b"".join(bytes([len(label)]) + label for label in name.encode("latin-1").split(b".") if label) + b"\0"


def txt(*strings):
    """The data of one TXT record."""
    return b"".join(bytes([len(s)]) + s for s in (s.encode() if isinstance(s, str) else s for s in strings))


def texts(value):
    """The data of one TXT record that holds a long text, in strings of 255 bytes."""
    return txt(*[value[i:i + 255] for i in range(0, len(value), 255)])


def caa(tag, value, flags=0):
    tag, value = tag.encode(), value if isinstance(value, bytes) else value.encode()
    return bytes([flags, len(tag)]) + tag + value


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


class Question:
    """What was asked. name is in lower case; section has the bytes as they came."""

    def __init__(self, query, tcp):
        self.query, self.tcp = query, tcp
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        self.name = b".".join(labels).lower().decode("latin-1")
        self.type, = struct.unpack_from("!H", query, at + 1)
        self.section = query[12:at + 5]

    def reply(self, records=(), rcode=NOERROR, flags=0x8180, **other):
        """records: (type, data), or (type, data, owner). other: id and section that are not the question's."""
        out = []
        for kind, data, *owner in records:
            out.append((wire_name(owner[0]) if owner else b"\xc0\x0c") + struct.pack("!HHIH", kind, 1, 0,
                                                                                     len(data)) + data)
        number = other.get("id", struct.unpack_from("!H", self.query)[0])
        whole = struct.pack("!6H", number, flags | rcode, 1, len(out), 0, 0) + other.get("section", self.section)
        whole += b"".join(out)
        if not self.tcp and len(whole) > UDP_MAX:
            return struct.pack("!6H", number, flags | 0x0200 | rcode, 1, 0, 0, 0) + self.section
        return whole


class Names:
    """rules: a name to a function of a Question that returns a reply's bytes, a list of such that are all sent, or None
    for silence; it holds for the names below it too. Without a rule a name has the address `default`, no more."""

    def __init__(self, port, default):
        self.rules, self.default, self.asked = {}, default, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        for run in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    def records(self, name, **by_type):
        """A rule from a table: A="20.0.0.1", AAAA=[...], TXT={"label": [data]} for names below. What is not in it
        is not there: an answer without records."""

        def rule(q):
            below = q.name[:-len(name)].rstrip(".")
            if q.type == TXT and below in by_type.get("TXT", {}):
                return q.reply([(TXT, data) for data in by_type["TXT"][below]])
            for kind, label in ((A, "A"), (AAAA, "AAAA")):
                if q.type == kind and below == "":
                    found = by_type.get(label, [])
                    return q.reply([(kind, address(a)) for a in ([found] if isinstance(found, str) else found)])
            if q.type == CAA and below == "":
                return q.reply([(CAA, data) for data in by_type.get("CAA", [])])
            return q.reply()

        self.rules[name] = rule

    def answer(self, query, tcp):
        try:
            q = Question(query, tcp)
        except (IndexError, struct.error):
            return []
        self.asked.append((q.name, q.type, tcp))
        parts = q.name.split(".")
        for i in range(len(parts)):
            rule = self.rules.get(".".join(parts[i:]))
            if rule:
                found = rule(q)
                return found if isinstance(found, list) else [] if found is None else [found]
        return [q.reply([(A, address(self.default))] if q.type == A else [])]

    def serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            threading.Thread(target=self.reply_udp, args=(query, peer), daemon=True).start()

    def reply_udp(self, query, peer):
        for reply in self.answer(query, False):
            self.udp.sendto(reply, peer)

    def serve_tcp(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.reply_tcp, args=(connection,), daemon=True).start()

    def reply_tcp(self, connection):
        with connection:
            connection.settimeout(10)
            try:
                stream = connection.makefile("rb")
                while head := stream.read(2):
                    for reply in self.answer(stream.read(struct.unpack("!H", head)[0]), True):
                        connection.sendall(struct.pack("!H", len(reply)) + reply)
            except (OSError, struct.error):
                pass

    def count(self, pattern, kind=None):
        return sum(1 for name, t, _ in self.asked if re.fullmatch(pattern, name) and kind in (None, t))
