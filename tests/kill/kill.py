#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill.py BUILD [--kills N] [--clients N] [--seed N] [--keep]: kill -9 anywhere, under load.

A CA in a folder of its own, clients that order certificates without a pause, and kill -9 of one of the four processes
(supervisor, api, validator, signer) at random moments. Afterwards everything must end by itself, and the oracle must find
every promise kept. At last the oracle itself is put to the test (doctor.py). Exit status: 0 all holds, 1 something does
not, 2 the test could not be made."""
import argparse
import collections
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

import doctor

CHILDREN = ("cairn-api", "cairn-validator", "cairn-signer")
VICTIMS = ("cairn",) + CHILDREN
QUORUM = "1"
OWN_NAMES = ("localhost", "127.0.0.1", "::1")  # the API's own certificate is for them
PAUSE_S = (0.02, 0.4)  # a process lives so long after it is back; a start takes about a tenth of a second
STUMBLES, STUMBLE_S = 0.3, (0, 0.15)
BACK_S = 15  # a process is back after at most 5 s of back-off
ORPHANS_S = 2
HEALED_S = 60  # promise 3
CLIENTS_END_S = 130
STOP_S = 40
ORDER_TIMEOUT_S = 120


class Broken(Exception):
    """A promise that the driver itself watches."""


def say(text):
    print("%7.1f %s" % (time.monotonic() - STARTED, text), flush=True)


STARTED = time.monotonic()


def wait_until(seconds, what, look, nap=0.005):
    end = time.monotonic() + seconds
    while True:
        got = look()
        if got:
            return got
        if time.monotonic() > end:
            raise Broken("%s: not within %g s" % (what, seconds))
        time.sleep(nap)


def free_port():
    """Below the range that connections take theirs from: while the CA is down, a client that tries its port again and again
    would else be given that very port one day, be connected to itself, and keep the CA from it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first = int(f.read().split()[0])
    for _ in range(1000):
        port = random.SystemRandom().randrange(first // 2, first)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Broken("no free port found")


def process(pid):
    """(name, state, parent, start time), or None: a number is reused, a number with its start time is not."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return name, rest[0], int(rest[1]), rest[19]


def lives(pid, start):
    """A zombie whose other threads have not ended yet still holds its files."""
    p = process(pid)
    if p is None or p[3] != start:
        return False
    if p[1] not in "ZX":
        return True
    try:
        return len(os.listdir("/proc/%d/task" % pid)) > 1
    except OSError:
        return False


class Ca:
    def __init__(self, build, work):
        self.cmd = os.path.join(build, "src", "cmd")
        self.dir = os.path.join(work, "ca")
        self.work = work
        self.port, self.http_port = free_port(), free_port()
        self.logs = []
        self.serve = None
        self.environment = {}  # more variables for the programs

    def init(self):
        subprocess.run([os.path.join(self.cmd, "cairn"), "init", "--dir", self.dir, "--root-unencrypted", "--listen",
                        "127.0.0.1:%d" % self.port, "--host", ",".join(OWN_NAMES), "--allow", "*.load.test",
                        "--static", "*.load.test=127.0.0.1", "--http-port", str(self.http_port), "--allow-address",
                        "127.0.0.0/8"], check=True, stdout=subprocess.DEVNULL, timeout=60)
        path = os.path.join(self.dir, "cairn.conf")
        with open(path, encoding="utf-8") as f:
            lines = f.readlines()
        at = next(i for i, x in enumerate(lines) if x.startswith("    names: [\"*.load.test\"]"))
        lines.insert(at, "    orders-per-hour: 0\n    accounts-per-hour: 0\n")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(lines)
        # As a kill between the two renames of a renewal leaves them: signer and API must mend it by themselves.
        shutil.copyfile(os.path.join(self.dir, "root", "root.key"), os.path.join(self.dir, "tls", "api.key"))

    @property
    def store(self):
        return os.path.join(self.dir, "store", "cairn.db")

    @property
    def journal(self):
        return os.path.join(self.dir, "journal")

    def start(self, ready=True):
        log = os.path.join(self.work, "serve-%03d.log" % len(self.logs))
        env = {k: v for k, v in os.environ.items() if not k.startswith("CAIRN_")}
        env.update(CAIRN_LOG_LEVEL="info", CAIRN_LOG_FORMAT="json", **self.environment)
        with open(log, "wb") as f:
            self.serve = subprocess.Popen([os.path.join(self.cmd, "cairn"), "serve", "-c",
                                           os.path.join(self.dir, "cairn.conf")], stdin=subprocess.DEVNULL, stdout=f,
                                          stderr=f, env=env)
        self.logs.append(log)
        if ready:
            wait_until(BACK_S, "cairn serve says that it is ready", self.is_ready)

    def is_ready(self):
        if self.serve.poll() is not None:
            raise Broken("cairn serve ended by itself with %d; see %s" % (self.serve.returncode, self.logs[-1]))
        with open(self.logs[-1], "rb") as f:
            return b'"event":"ready"' in f.read()

    def children(self):
        """{name: (pid, start time)} of the supervisor's living children."""
        found = {}
        for entry in os.listdir("/proc"):
            p = process(int(entry)) if entry.isdigit() else None
            if p is not None and p[2] == self.serve.pid and p[0] in CHILDREN and p[1] not in "ZX":
                found[p[0]] = (int(entry), p[3])
        return found

    def find(self, name):
        if self.serve.poll() is not None:
            raise Broken("cairn serve ended by itself with %d; see %s" % (self.serve.returncode, self.logs[-1]))
        return self.children().get(name)

    def kill_child(self, name, moment):
        pid, _ = wait_until(BACK_S, name + " is back", lambda: self.find(name))
        time.sleep(moment)
        pid, start = wait_until(BACK_S, name + " is back", lambda: self.find(name))
        os.kill(pid, signal.SIGKILL)
        wait_until(BACK_S, name + " is dead", lambda: not lives(pid, start))

    def kill_supervisor(self):
        old = self.children()
        self.serve.kill()
        self.serve.wait(10)
        for name, (pid, start) in old.items():
            wait_until(ORPHANS_S, "%s follows its supervisor" % name, lambda p=pid, s=start: not lives(p, s))

    def kill(self, name, rng):
        """Kills one after a random moment; it is back, or on its way, when this returns."""
        moment = rng.uniform(*PAUSE_S)
        if name != "cairn":
            self.kill_child(name, moment)
            return
        time.sleep(moment)
        self.kill_supervisor()
        if rng.random() < STUMBLES:  # and again while it is starting
            self.start(ready=False)
            time.sleep(rng.uniform(*STUMBLE_S))
            self.kill_supervisor()
        self.start()

    def count(self, sql):
        db = sqlite3.connect("file:%s?mode=ro" % self.store, uri=True, timeout=10)
        try:
            return db.execute(sql).fetchone()[0]
        finally:
            db.close()

    def open_work(self):
        return self.count("SELECT (SELECT count(*) FROM orders WHERE status = 'processing') + (SELECT count(*) FROM "
                          "attempts WHERE status = 'open') + (SELECT count(*) FROM issuances WHERE status = 'intended')")

    def stop(self):
        self.serve.terminate()
        try:
            code = self.serve.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise Broken("cairn serve has not stopped %d s after SIGTERM" % STOP_S) from None
        if code != 0:
            raise Broken("cairn serve stopped with exit status %d; see %s" % (code, self.logs[-1]))

    def end(self):
        """Whatever happened: nothing of ours is left behind."""
        if self.serve is not None and self.serve.poll() is None:
            self.serve.kill()
            self.serve.wait(10)

    def events(self):
        for path in self.logs:
            with open(path, encoding="utf-8", errors="replace") as f:
                for line in f:
                    try:
                        yield path, json.loads(line)
                    except ValueError:  # the line that was being written, or a sanitizer's
                        yield path, {"level": "text", "event": line.rstrip()}


class Load:
    def __init__(self, build, ca, work, clients):
        self.acks = os.path.join(work, "acknowledged.jsonl")
        self.process = subprocess.Popen(
            [os.path.join(build, "tests", "cairn-load"), "--server", "https://localhost:%d/directory" % ca.port,
             "--ca-file", os.path.join(ca.dir, "root", "root.pem"), "--clients", str(clients), "--seconds", "3600",
             "--http-port", str(ca.http_port), "--timeout", str(ORDER_TIMEOUT_S), "--tolerate-unavailable",
             "--journal", self.acks, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def acknowledged(self):
        try:
            with open(self.acks, "rb") as f:
                return f.read().count(b'"kind":"certificate"')
        except OSError:
            return 0

    def finish(self):
        """No new orders; those in work go on to their end. Gives the clients' report."""
        if self.process.poll() is not None:
            raise Broken("the clients have ended by themselves with %d" % self.process.returncode)
        self.process.terminate()
        try:
            out, _ = self.process.communicate(timeout=CLIENTS_END_S)
        except subprocess.TimeoutExpired:
            raise Broken("the clients have not ended their orders within %d s" % CLIENTS_END_S) from None
        return json.loads(out)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def look_at_report(report):
    """An order may be refused, with a reason that says that the CA was not there; none may be stuck or wrong."""
    bad = []
    say("clients: %d certificates, %d orders failed; an issuance took p50 %d ms, p99 %d ms, worst %d ms" % (
        report["orders"], report["failed"], report["p50_ms"], report["p99_ms"], report["max_ms"]))
    for f in report["failures"]:
        say("clients: %d x %s, the first: %s" % (f["count"], f["kind"], f["first"]))
        if f["kind"] != "unavailable":
            bad.append("clients: %d orders failed with %s: %s" % (f["count"], f["kind"], f["first"]))
    if report["orders"] == 0:
        bad.append("clients: not one certificate")
    return bad


def look_at_logs(ca):
    """No alarm, and no end of a child but by our kill or by our stop."""
    bad, errors = [], collections.Counter()
    for path, e in ca.events():
        event = str(e.get("event", ""))
        if e["level"] == "error" and event != "child ended":
            errors[(e.get("program"), event, str(e.get("detail", ""))[:120])] += 1
        if event.startswith("alarm"):
            bad.append("%s: %s" % (path, json.dumps(e)))
        if e["level"] == "text" and e["event"] != "" and not e["event"].startswith("{"):
            bad.append("%s: says %s" % (path, e["event"]))
        if event == "child ended" and not (e["how"].startswith("signal 9") or e["how"] == "exit status 0"):
            bad.append("%s: %s ended with %s" % (path, e["child"], e["how"]))
    for (program, event, detail), n in errors.most_common():
        say("log: %d x %s: %s %s" % (n, program, event, detail))
    return bad


def run_oracle(build, ca, load, work, spoil=True):
    def arguments(store, journal, acks):
        return [os.path.join(build, "tests", "oracle"), store, journal, acks, QUORUM, *OWN_NAMES]

    done = subprocess.run(arguments(ca.store, ca.journal, load.acks), capture_output=True, text=True, timeout=120)
    if spoil or done.returncode != 0:
        print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode != 0:
        return ["oracle: exit status %d" % done.returncode]
    if not spoil:
        return []
    d = doctor.Doctor(arguments, work, ca.store, ca.journal, load.acks)
    bad = d.run()
    say("oracle: %d of %d spoilt copies were found out" % (d.tried - len(bad), d.tried))
    return ["the oracle did not find out: " + b for b in bad]


def kill_all(ca, load, plan, rng):
    killed = collections.Counter()
    for i, victim in enumerate(plan):
        ca.kill(victim, rng)
        killed[victim] += 1
        if load.process.poll() is not None:
            raise Broken("the clients have ended by themselves with %d" % load.process.returncode)
        if (i + 1) % 20 == 0:
            say("%d kills; %d certificates acknowledged" % (i + 1, load.acknowledged()))
    say("killed: " + ", ".join("%s %d" % (v, killed[v]) for v in VICTIMS))


def test(options, work):
    rng = random.Random(options.seed)
    victims = [options.only] if options.only else VICTIMS
    plan = [victims[i % len(victims)] for i in range(options.kills)]
    rng.shuffle(plan)
    ca = Ca(options.build, work)
    load = None
    try:
        ca.init()
        ca.start()
        load = Load(options.build, ca, work, options.clients)
        wait_until(BACK_S, "a first certificate", load.acknowledged)
        kill_all(ca, load, plan, rng)
        healed = time.monotonic()
        wait_until(BACK_S, "all three roles run", lambda: len(ca.children()) == len(CHILDREN))
        report = load.finish()
        say("the clients ended %.1f s after the last kill" % (time.monotonic() - healed))
        wait_until(max(1, HEALED_S - (time.monotonic() - healed)), "no work is open", lambda: ca.open_work() == 0, 0.5)
        say("nothing was open %.1f s after the last kill" % (time.monotonic() - healed))
        ca.stop()
    finally:
        if load is not None:
            load.end()
        ca.end()
    return look_at_report(report) + look_at_logs(ca) + run_oracle(options.build, ca, load, work)


def main():
    args = argparse.ArgumentParser(description="kill -9 anywhere, under load")
    args.add_argument("build", help="a build folder of meson")
    args.add_argument("--kills", type=int, default=200, help="over all four processes")
    args.add_argument("--clients", type=int, default=16)
    args.add_argument("--seed", type=int, default=None, help="for the same victims and pauses again")
    args.add_argument("--only", choices=VICTIMS, help="kill this one only")
    args.add_argument("--keep", action="store_true", help="leave the folder, whatever comes out")
    options = args.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    work = tempfile.mkdtemp(prefix="cairn-kill-", dir=os.environ.get("KILL_DIR"))
    say("seed %d, %d kills, %d clients, in %s" % (options.seed, options.kills, options.clients, work))
    try:
        bad = test(options, work)
    except Broken as e:
        bad = [str(e)]
    for b in bad:
        say("BROKEN " + b)
    if not bad and not options.keep:
        shutil.rmtree(work)
    else:
        say("everything lies in " + work)
    say("FAILED" if bad else "ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
