#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Web, TLS and name servers that attack the validator which asks them: cases A29 to A52 that concern one perspective.

attacks.py --directory URL --ca FILE --dns-port N --api-port N --pid VALIDATOR --deadline S    see 61-hostile-servers.sh

In a network namespace where every address leads to this machine: what is dialled can be reached, and is seen."""
import argparse
import contextlib
import importlib
import os
import socket
import sys
import time

import names
import prove
import stage
import web
import wiretap
from prove import acme

MODULES = ("attack_web", "attack_tls", "attack_names")
WORKERS = 48


class Trap(web.Listener):
    """At every address where nothing else is."""

    def serve_one(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntraped")


class Stage:
    """All servers, and a client."""

    def __init__(self, o):
        self.options = o
        self.files, self.rules, self.contexts = {}, {}, {}
        self.names = names.Names(o.dns_port, stage.HERE)
        self.webs = [web.Web(at, 80, self.rules, self.files) for at in (stage.HERE, stage.HERE_V6)]
        self.tap = wiretap.Wiretap()
        self.traps = [Trap(at, number) for at in ("0.0.0.0", "::") for number in stage.TRAP_PORTS]
        self.client = acme.Client(acme.Server(o.directory, o.ca))
        if self.client.new_account().status != 201:
            raise AssertionError("no account")

    def caught(self):
        return [t for trap in self.traps for t in trap.accepted]

    def judge(self, a):
        proof = prove.Proof(self.client, a.name, a.method)
        after = a.setup(self, proof)
        proof.prove(self.options.deadline + 8)
        kinds = a.kind.split("|")  # "" among them: it may be proved
        status = "valid" if proof.type == "" and proof.error == "" else "invalid"
        missing = [t for t in a.texts if proof.words(t) not in proof.error]
        if proof.status != status or proof.type not in kinds or missing:
            raise AssertionError(f"{a.label}: {a.title}\n    found  {proof.status} {proof.type}: {proof.error}\n"
                                 f"    wanted {a.kind or 'valid'}, with {missing}")
        limit = a.seconds or self.options.deadline + 2
        if proof.seconds > limit:
            raise AssertionError(f"{a.label}: {a.title}: took {proof.seconds:.1f} s, wanted at most {limit} s")
        if len(proof.error) > 767 or not proof.error.isascii() or not proof.error.isprintable():
            raise AssertionError(f"{a.label}: {a.title}: this is nothing to show: {proof.error!r}")
        if callable(after):
            after()
        sys.stdout.write(f"ok {a.number} {a.label}: {a.title} [{proof.seconds:.1f} s]\n")


def strays(seen, o):
    """What was dialled and is neither ours nor public. The API is asked by our own client."""
    public = {(p, a, n) for p, a, n in seen if stage.is_ours(a) and p == "tcp" and n in (80, 443)}
    own = {("tcp", "127.0.0.1", o.dns_port), ("tcp", "127.0.0.1", o.api_port)}
    return sorted(set(seen) - public - own)


def memory(pid, what):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what + ":"))


def open_connections(pid):
    """Those that the process has to ports of the web, whatever their state."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            mine.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    found = 0
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        found += sum(1 for r in rows if int(r[2].split(":")[1], 16) in (80, 443) and f"socket:[{r[9]}]" in mine)
    return found


def control(s):
    """That traps and wiretap do see: a connection of our own to an address that is forbidden."""
    for family, at in ((socket.AF_INET, ("10.9.9.9", 80)), (socket.AF_INET6, ("fd00::9", 443))):
        with socket.socket(family) as c:
            c.settimeout(5)
            c.connect(at)
            c.recv(100)
        until = time.monotonic() + 5
        while (("tcp", *at) not in s.tap.seen or at not in s.caught()) and time.monotonic() < until:
            time.sleep(0.02)
        if time.monotonic() >= until:
            raise AssertionError(f"nobody saw a connection to {at}")
    with s.tap.lock:
        s.tap.seen.clear()
    for trap in s.traps:
        trap.accepted.clear()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--directory", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--dns-port", type=int, required=True)
    p.add_argument("--api-port", type=int, required=True)
    p.add_argument("--pid", type=int, required=True, help="cairn-validator's process")
    p.add_argument("--deadline", type=int, required=True, help="zone.deadline, in seconds")
    p.add_argument("--only", default="")
    p.add_argument("--no-memory", action="store_true", help="say nothing of memory: a sanitizer keeps what was freed")
    o = p.parse_args()
    for module in MODULES:
        importlib.import_module(module)
    s = Stage(o)
    control(s)
    chosen = [a for a in stage.ATTACKS if not o.only or o.only in (a.label, a.number)]
    chosen.sort(key=lambda a: not a.slow)  # those that take their time begin first
    begun = time.monotonic()
    failures = prove.all_at_once(s.judge, [a for a in chosen if a.alone], 1)
    failures += prove.all_at_once(s.judge, [a for a in chosen if not a.alone], WORKERS)
    print(f"all in {time.monotonic() - begun:.1f} s")
    good = stage.Attack("good", "A00", "a good server is still served", "http-01", "", (), stage.serve)
    failures += prove.all_at_once(s.judge, [good])
    stray, caught, lost = strays(s.tap.seen, o), s.caught(), s.tap.lost()
    if stray or caught:
        failures.append(f"dialled: {stray}, connected: {caught}")
    if lost or ("tcp", stage.HERE, 80) not in s.tap.seen:
        failures.append(f"the wiretap lost {lost} packets, and saw {len(s.tap.seen)} destinations")
    print(f"{len(s.tap.seen)} destinations were dialled, {len(stray)} of them forbidden; traps caught {len(caught)}")
    peak, left = memory(o.pid, "VmHWM"), open_connections(o.pid)
    print(f"cairn-validator: {peak} KiB at most, {left} connections left")
    if peak > 64 * 1024 and not o.no_memory:
        failures.append(f"cairn-validator took {peak} KiB, wanted at most 64 MiB")
    if left:
        failures.append(f"cairn-validator has left {left} connections open")
    for text in failures:
        print("FAILED", text)
    print(f"{len(chosen)} attacks, {len(failures)} failed")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
