#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""count-tests.py TESTLOG.json...: counts the tests inside cmocka programs from what meson logged, and prints one line
"counted: N passed, N failed". A program that failed without saying how many (a crash, a sanitizer, a time-out) is one
failure. No test at all is a failure too, and so is a skipped one, but for those that have a step of their own."""
import json
import re
import sys

PASSED = re.compile(r"^\[  PASSED  \] (\d+) test", re.M)
ELSEWHERE = ("store/pgsql", "store/pgsql_group", "store/pgsql_plans")  # the step pgsql runs it
FAILED = re.compile(r"^\[  FAILED  \] (?:\S+: )?(\d+) test", re.M)


def count(entry):
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    passed = sum(int(n) for n in PASSED.findall(text))
    failed = sum(int(n) for n in FAILED.findall(text))
    if entry["result"] in ("OK", "EXPECTEDFAIL"):
        return (max(passed, 1), failed)
    if entry["result"] == "SKIP" and entry["name"].endswith(ELSEWHERE):
        return (0, 0)
    print("%s: %s, exit code %s" % (entry["name"], entry["result"], entry.get("returncode")))
    return (passed, max(failed, 1))


def main(paths):
    passed = failed = programs = 0
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as log:
            for line in log:
                p, f = count(json.loads(line))
                passed, failed, programs = passed + p, failed + f, programs + 1
    if programs == 0:
        print("no test ran")
        failed = 1
    print("counted: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
