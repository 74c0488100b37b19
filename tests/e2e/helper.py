#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The small servers and judges of the end-to-end tests, with nothing but Python's own library.

helper.py free-ports N        N ports of the loopback interface that nobody has
helper.py web PORT FOLDER     a web server; /forbidden/* and the rest of its odd answers are described at class Web
helper.py dns PORT [FOLDER]   a DNS server on UDP: names that begin with "nx." do not exist, A of others is 127.0.0.1; the
                              TXT records of a name are the lines of the file of that name in FOLDER
helper.py notify PATH FILE    a service manager's socket at PATH; each message becomes a line of FILE
helper.py log-check FILE      every line is a log line of ours
helper.py log-orders FILE N   N orders were issued, each told by all three programs under one id
helper.py raw PORT CA FILE    sends the bytes of FILE over TLS, prints what comes back
helper.py raw-slow PORT CA FILE MS
                              the same, but for the last eight bytes, which follow after MS milliseconds
"""
import http.server
import json
import os
import random
import re
import socket
import ssl
import sys
import time


def free_ports(count):
    """Below the range that the kernel picks outgoing ports from, so that no client takes one first."""
    found = []
    for port in random.sample(range(20000, 32000), 2000):
        if len(found) == int(count):
            break
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                found.append(str(port))
            except OSError:
                pass
    print(" ".join(found))


class Web(http.server.SimpleHTTPRequestHandler):
    """Files of a folder. A file "redirect" in it has the URL to which every challenge is redirected."""

    def do_GET(self):
        rule = os.path.join(self.directory, "redirect")
        if self.path.startswith("/.well-known/acme-challenge/") and os.path.exists(rule):
            with open(rule, encoding="ascii") as f:
                target = f.read().strip()
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
            return
        rule = os.path.join(self.directory, "content")
        if self.path.startswith("/.well-known/acme-challenge/") and os.path.exists(rule):
            with open(rule, "rb") as f:
                body = f.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        super().do_GET()


def web(port, folder):
    def handler(*args):
        return Web(*args, directory=folder)

    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler).serve_forever()


def dns(port, folder=None):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", int(port)))
        while True:
            query, peer = s.recvfrom(4096)
            reply = dns_answer(query, folder)
            if reply:
                s.sendto(reply, peer)


TYPE_A = b"\x00\x01"
TYPE_TXT = b"\x00\x10"
TXT_MAX = 8  # records of a name; each fits one string, and all of them a datagram


def dns_name(question):
    """The name in a question, in lower case; "" where it is none that could be a file's."""
    labels, at = [], 0
    while question[at] != 0:
        labels.append(question[at + 1:at + 1 + question[at]])
        at += 1 + question[at]
    name = b".".join(labels).lower()
    return name.decode() if re.fullmatch(rb"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) else ""


def dns_texts(folder, name):
    try:
        with open(os.path.join(folder, name), "rb") as f:
            return [line[:200] for line in f.read(4096).splitlines() if line][:TXT_MAX]
    except OSError:
        return []


def dns_answer(query, folder):
    """RFC 1035 4.1: the header and question of the query again, and the records, which all point at the question's name."""
    at = 12
    while at < len(query) and query[at] != 0:
        at += 1 + query[at]
    question = query[12:at + 5]
    if len(query) < 12 or len(question) < 5:
        return None
    if query[12:15].lower() == b"\x02nx":
        return query[:2] + b"\x85\x83" + b"\x00\x01\x00\x00\x00\x00\x00\x00" + question
    qtype, data = question[-4:-2], []
    if question[-2:] == b"\x00\x01" and qtype == TYPE_A:
        data = [b"\x7f\x00\x00\x01"]
    elif question[-2:] == b"\x00\x01" and qtype == TYPE_TXT and folder and dns_name(question[:-4]):
        data = [bytes([len(text)]) + text for text in dns_texts(folder, dns_name(question[:-4]))]
    header = query[:2] + b"\x85\x80" + b"\x00\x01" + len(data).to_bytes(2, "big") + b"\x00\x00\x00\x00"
    records = [b"\xc0\x0c" + qtype + b"\x00\x01\x00\x00\x00\x00" + len(d).to_bytes(2, "big") + d for d in data]
    return header + question + b"".join(records)


def notify(path, log):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        while True:
            message = s.recv(4096).decode()
            with open(log, "a", encoding="utf-8") as f:
                f.write(message.replace("\n", " ") + "\n")


PROGRAMS = {"cairn", "cairn-api", "cairn-validator", "cairn-signer"}
LEVELS = {"debug", "info", "notice", "warning", "error"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Events about one order, and the program that tells them.
STORY = {
    "order created": "cairn-api",
    "validation started": "cairn-api",
    "probe finished": "cairn-validator",
    "verdict received": "cairn-api",
    "order finalized": "cairn-api",
}


def lines(path):
    with open(path, encoding="utf-8") as f:
        for number, text in enumerate(f, 1):
            try:
                line = json.loads(text)
            except ValueError:
                sys.exit(f"{path}:{number}: not JSON: {text!r}")
            yield number, line


def log_check(path):
    count = 0
    for number, line in lines(path):
        count += 1
        where = f"{path}:{number}"
        if not isinstance(line, dict):
            sys.exit(f"{where}: not an object")
        for key in ("time", "level", "program", "event"):
            if not isinstance(line.get(key), str) or not line[key]:
                sys.exit(f"{where}: no {key}")
        if line["program"] not in PROGRAMS or line["level"] not in LEVELS or not TIME.fullmatch(line["time"]):
            sys.exit(f"{where}: odd program, level or time: {line}")
        about_order = {"attempt", "issuance"} & line.keys() or line["event"] in STORY or line["event"] == "certificate issued"
        if about_order and not ID.fullmatch(line.get("order", "")):
            sys.exit(f"{where}: a line about an order without its id: {line}")
    if count == 0:
        sys.exit(f"{path}: nothing was logged")


def log_orders(path, wanted):
    """The orders that both API and signer call issued. Authorizations may be reused, so probes are told of some of them
    only; but whatever is told carries the id of an order that the API made, and one order at least has it all."""
    told = {}
    for _, line in lines(path):
        if line.get("order"):
            told.setdefault(line["order"], set()).add((line["program"], line["event"]))
    issued = ("certificate issued",)
    both = {("cairn-api", *issued), ("cairn-signer", *issued)}
    done = [order for order, events in told.items() if both <= events]
    half = [order for order, events in told.items() if both & events and not both <= events]
    if half:
        sys.exit(f"issued by one program only: {half}: {[told[o] for o in half]}")
    if len(done) != int(wanted):
        sys.exit(f"{len(done)} orders were issued, wanted {wanted}")
    for order, events in told.items():
        if ("cairn-api", "order created") not in events:
            sys.exit(f"order {order} was never created: {events}")
    for order in done:
        if ("cairn-api", "order finalized") not in told[order]:
            sys.exit(f"order {order} was never finalized: {told[order]}")
    whole = [order for order in done if {(program, event) for event, program in STORY.items()} <= told[order]]
    if not whole:
        sys.exit(f"no order's story is whole: {told}")


def raw(port, ca, path, pause_ms=None):
    context = ssl.create_default_context(cafile=ca)
    with open(path, "rb") as f:
        request = f.read()
    with socket.create_connection(("127.0.0.1", int(port)), timeout=15) as tcp:
        with context.wrap_socket(tcp, server_hostname="localhost") as tls:
            if pause_ms is not None:
                tls.sendall(request[:-8])
                print("half sent", flush=True)
                time.sleep(int(pause_ms) / 1000)
                request = request[-8:]
            tls.sendall(request)
            try:
                while data := tls.recv(65536):
                    sys.stdout.buffer.write(data)
            except (socket.timeout, ConnectionResetError, ssl.SSLError) as e:
                print(f"\n[ended by {type(e).__name__}]")


COMMANDS = {"free-ports": free_ports, "web": web, "dns": dns, "notify": notify, "log-check": log_check,
            "log-orders": log_orders, "raw": raw, "raw-slow": raw}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        pass
