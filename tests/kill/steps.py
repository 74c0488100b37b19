#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""steps.py BUILD [NAME]...: kill -9 at every step of an issuance, one after the other.

The steps are the failpoints that stand in the sources, so that none is left out; BUILD has them compiled in. For each: a
CA in a folder of its own, one of whose programs is killed when it first comes to that place; the clients' orders must
end well all the same, and the oracle must find every promise kept. Exit status: 0 all holds, 1 something does not, 2 the
test could not be made."""
import argparse
import os
import re
import shutil
import sys
import tempfile

import kill

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "..", "..", "src")
# Those of other commands than the CA's own work have their tests elsewhere.
FOLDERS = ("acme", "validate", "sign")
TIMES = {"journal.written": 2}  # the first time is at its start, when nobody is served yet
CLIENTS = 2
CERTIFICATES = 6  # are issued after the kill


def steps():
    found = []
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(SOURCES, folder))):
            if not name.endswith(".c"):
                continue
            with open(os.path.join(SOURCES, folder, name), encoding="utf-8") as f:
                found += re.findall(r'\bFP\("([a-z_.]+)"\)', f.read())
    return sorted(set(found))


def run(build, work, name):
    once = os.path.join(work, "reached")
    ca = kill.Ca(build, work)
    load = None
    try:
        ca.init()
        ca.start()  # its first certificate is its own: no failpoint is in the way yet
        ca.stop()
        ca.environment = {"CAIRN_FP": "%s:%d:kill" % (name, TIMES.get(name, 1)), "CAIRN_FP_ONCE": once}
        ca.start()
        load = kill.Load(build, ca, work, CLIENTS)
        kill.wait_until(kill.BACK_S, "a program comes to %s" % name, lambda: os.path.exists(once))
        before = load.acknowledged()
        kill.wait_until(kill.HEALED_S, "certificates after the kill at %s" % name,
                        lambda: load.acknowledged() >= before + CERTIFICATES)
        report = load.finish()
        kill.wait_until(kill.HEALED_S, "no work is open", lambda: ca.open_work() == 0, 0.2)
        ca.stop()
    finally:
        if load is not None:
            load.end()
        ca.end()
    bad = kill.look_at_report(report) + kill.look_at_logs(ca) + kill.run_oracle(build, ca, load, work, spoil=False)
    killed = sum(1 for _, e in ca.events() if e.get("event") == "child ended" and e["how"].startswith("signal 9"))
    if killed != 1:
        bad.append("%d programs were killed, one was wanted" % killed)
    return bad


def main():
    args = argparse.ArgumentParser(description="kill -9 at every step of an issuance")
    args.add_argument("build", help="a build folder of meson, with -Dfailpoints=true")
    args.add_argument("name", nargs="*", help="these steps only")
    options = args.parse_args()
    names = options.name or steps()
    failed = 0
    for name in names:
        work = tempfile.mkdtemp(prefix="cairn-step-", dir=os.environ.get("KILL_DIR"))
        try:
            bad = run(options.build, work, name)
        except kill.Broken as e:
            bad = [str(e)]
        for b in bad:
            kill.say("BROKEN at %s: %s" % (name, b))
        kill.say("%s %s%s" % ("FAILED" if bad else "ok", name, "; everything lies in " + work if bad else ""))
        failed += bool(bad)
        if not bad:
            shutil.rmtree(work)
    print("%d passed, %d failed" % (len(names) - failed, failed))
    if len(names) < 15 and not options.name:
        print("only %d steps were found in %s" % (len(names), SOURCES))
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
