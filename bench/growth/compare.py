#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py GROWTH-MEASURE EMPTY FILLED [ROUNDS]
compare.py --pairs NAME FILE

The same work in two stores, in many short rounds that take turns, so that
what else the machine does meets both alike. A round's cost is the CPU time of the process that did it, up to the beginning
of its next round: what its threads do afterwards (the log's way back into the file) belongs to it. Of each pair of neighbours
the ratio; of all pairs the middle one and the quarter and three quarters of the way, which say how far to believe it. --pairs:
the same of what somebody else has measured in turns, two numbers a line."""

import statistics
import subprocess
import sys

# Step, how many in a round; of what writes so many that the log is brought into the file in every round. The first rounds of
# each, a fifth, only read what a machine that serves has in memory. What is revoked was issued by the first step.
STEPS = (("certificate", 100), ("new-order", 200), ("list-first-page", 400), ("list-deep-page", 400), ("find-by-serial", 400),
         ("find-by-name", 400), ("revoke", 80), ("sweep-nothing-due", 200), ("retention-nothing-due", 200))
ROUNDS = 30

class Store:
    def __init__(self, program, path):
        self.process = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.open_us, self.open_wall_us = map(float, self.line().split()[1:])

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("compare.py: %s ended early" % self.process.args)
        return line

    def ask(self, step, count):
        """CPU when it began, CPU when it ended, bytes, rows, the longest by the wall clock."""
        self.process.stdin.write("%s %d\n" % (step, count))
        self.process.stdin.flush()
        return [float(n) for n in self.line().split()]

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=600)


def rounds_of(stores, step, count, rounds):
    """For each store: microseconds each of every round, and the bytes of all."""
    begun, written = [[], []], [0, 0]
    for number in range(rounds + 1):  # one more, whose beginning is the last one's end
        for at in (0, 1) if number % 2 == 0 else (1, 0):
            answer = stores[at].ask(step, count if number < rounds else 0)
            begun[at].append(answer[0])
            written[at] += answer[2]
    return [([(b - a) / count for a, b in zip(of, of[1:])], w / count / rounds) for of, w in zip(begun, written)]


def row(name, empty, filled, rest=""):
    low, middle, high = statistics.quantiles([f / e for e, f in zip(empty, filled)], n=4)
    print("%-28s %10.1f %10.1f   %5.2f  %5.2f .. %5.2f  %s" % (
        name, statistics.median(empty), statistics.median(filled), middle, low, high, rest), flush=True)


def compare(stores, rounds):
    print("%-28s %10s %10s   %5s  %-15s %9s %9s" % (
        "CPU us each, middle", "empty", "filled", "ratio", "half lie within", "KiB empty", "filled"))
    for step, count in STEPS:
        (empty, empty_bytes), (filled, filled_bytes) = rounds_of(stores, step, count, rounds)
        empty, filled = empty[rounds // 5:], filled[rounds // 5:]
        row(step, empty, filled, "%9.1f %9.1f" % (empty_bytes / 1024, filled_bytes / 1024))


def alone(store):
    """What an empty store has nothing of."""
    for step, count in (("revoked-all", 1), ("retention", 1000)):
        begin, _, _, rows, longest = store.ask(step, count)
        cpu = store.ask(step, 0)[0] - begin
        print("%-28s %10s %10.2f   a row, of %d%s" % (
            step, "", cpu / rows if rows else 0, rows, "; the longest step took %.1f ms" % (longest / 1000) if longest else ""))


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--pairs":
        with open(sys.argv[3], encoding="ascii") as f:
            row(sys.argv[2], *zip(*([float(n) for n in line.split()] for line in f)))
        return 0
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    rounds = int(sys.argv[4]) if len(sys.argv) == 5 else ROUNDS
    stores = [Store(sys.argv[1], path) for path in sys.argv[2:4]]
    print("%-28s %10.0f %10.0f   (%.0f and %.0f ms by the wall clock)" % (
        "open", stores[0].open_us, stores[1].open_us, stores[0].open_wall_us / 1000, stores[1].open_wall_us / 1000))
    compare(stores, rounds)
    alone(stores[1])
    return max(store.close() for store in stores)


sys.exit(main())
