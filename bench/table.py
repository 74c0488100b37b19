#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""table.py: what run.sh prints, from the JSON of cairn-bench.

table.py head                               the columns
table.py row LABEL FLOOR RESULT LINES       one run: a row, and a line of JSON behind LINES
table.py memory LABEL PSS ANON RSS LINES    KiB of all programs at some moment: what they hold, pages that they share counted
                                            once; what is their own; what each says, added up. A line, and one behind LINES
table.py end LINES VERIFY FLOORS            how long each request took, what grows, and the budgets of DESIGN.md section 8
"""

import json
import sys

ROLES = ("api", "validator", "signer")


def cpu(run, name):
    return sum(p["user_us"] + p["sys_us"] for p in run["programs"] if p["name"] == name)


def server(run):
    return [p for p in run["programs"] if p["name"] != "generator"]


def server_us(run):
    return sum(p["user_us"] + p["sys_us"] for p in server(run))


def number(value, digits=0):
    return "-" if value is None else "%.*f" % (digits, value)


def total(run, key):
    """Of those programs of the server of which it is known; None when it is of none."""
    values = [p[key] for p in server(run) if key in p]
    return sum(values) if values else None


def head():
    print("%-34s %4s %8s %23s %5s  %-29s %6s  %5s %5s %5s %7s  %6s %5s" % (
        "", "", "", "ms of a whole one", "p99/", "server CPU, us each", "x the", "", "", "", "KiB", "MiB", "gene-"))
    print("%-34s %4s %8s %7s %7s %7s %5s  %6s %6s %6s %8s %6s  %5s %5s %5s %7s  %6s %5s" % (
        "", "cl.", "each s", "p50", "p90", "p99", "p50", "api", "valid.", "signer", "all", "floor", "req.", "polls",
        "syncs", "written", "anon", "rator"), flush=True)


def row(label, floor, path, lines):
    with open(path, encoding="utf-8") as f:
        run = json.load(f)
    run["label"], run["floor_us"] = label, float(floor)
    with open(lines, "a", encoding="utf-8") as f:
        f.write(json.dumps(run, separators=(",", ":")) + "\n")
    if not run["orders"]:
        print("%-34s  nothing was done" % label, flush=True)
        return
    took = run["took"]["whole"]
    refused = "  %d refused for a while" % run["refused"] if run["refused"] else ""
    roles = [number(cpu(run, r)) if any(p["name"] == r for p in run["programs"]) else "" for r in ROLES]
    written = total(run, "written")
    print("%-34s %4d %8.1f %7.1f %7.1f %7.1f %5.1f  %6s %6s %6s %8.0f %6.2f  %5.1f %5.2f %5s %7s  %6.1f %5.0f%s" % (
        label, run["clients"], run["rate"], took["p50_ms"], took["p90_ms"], took["p99_ms"],
        took["p99_ms"] / took["p50_ms"] if took["p50_ms"] else 0, *roles, server_us(run), server_us(run) / run["floor_us"],
        run["requests"], run["polls"], number(total(run, "syncs"), 2), number(written / 1024 if written is not None else None, 1),
        total(run, "anonymous_kib") / 1024, cpu(run, "generator"), refused), flush=True)


def memory(label, pss, anonymous, rss, lines):
    held = {"label": label, "orders": 0, "pss_kib": int(pss), "anonymous_kib": int(anonymous), "rss_kib": int(rss)}
    with open(lines, "a", encoding="utf-8") as f:
        f.write(json.dumps(held, separators=(",", ":")) + "\n")
    print("memory %s: %.1f MiB, of them %.1f anonymous; %.1f when shared pages are counted for each program" % (
        label, held["pss_kib"] / 1024, held["anonymous_kib"] / 1024, held["rss_kib"] / 1024), flush=True)


def latencies(runs):
    kinds = []
    for run in runs:
        kinds += [k for k in run["took"] if k not in kinds]
    print("\nms by request: p50 / p90 / p99")
    print("%-12s" % "" + "".join("%26s" % run["label"] for run in runs))
    for kind in kinds:
        print("%-12s" % kind + "".join(
            "%26s" % ("%.1f / %.1f / %.1f" % (t["p50_ms"], t["p90_ms"], t["p99_ms"]) if t else "")
            for t in (run["took"].get(kind) for run in runs)))


def budget(what, found, wanted, met):
    print("%-66s %12s  wanted %-10s %s" % (what, found, wanted, "met" if met else "MISSED"))


def budgets(by, memories, verify):
    print("\nthe budgets of DESIGN.md section 8, for this machine and this run")
    if "32 clients" in by:
        run = by["32 clients"]
        x = server_us(run) / run["floor_us"]
        budget("server CPU of a certificate, http-01, over the floor", "%.2f" % x, "<= 1.5", x <= 1.5)
        budget("certificates a second at 32 clients", "%.0f" % run["rate"], ">= 2000", run["rate"] >= 2000)
    for label in ("32 clients", "128 clients"):
        if label in by:
            took = by[label]["took"]["whole"]
            x = took["p99_ms"] / took["p50_ms"]
            budget("p99 of a whole issuance over its p50, %s" % label, "%.2f" % x, "<= 4", x <= 4)
    for label, most in (("idle", 48), ("with 5,000 open TLS connections", 128)):
        if label in memories:
            mib = memories[label]["pss_kib"] / 1024
            budget("resident memory of all processes, %s" % label, "%.1f MiB" % mib, "<= %d MiB" % most, mib <= most)
    if "newNonce alone" in by:
        x = server_us(by["newNonce alone"])
        budget("a HEAD of newNonce", "%.1f us" % x, "<= 15 us", x <= 15)
    if "signed read alone" in by:
        x = server_us(by["signed read alone"]) / verify
        budget("a signed read over one verification", "%.2f" % x, "<= 1.5", x <= 1.5)
    run = by.get("32 clients")
    if run:
        x = cpu(run, "generator")
        budget("the generator's own CPU a certificate (%.1f signatures)" % (x / run["sign_us"]), "%.0f us" % x, "<= 250 us",
               x <= 250)


def growth(run):
    before = sum(p["anonymous_kib_before"] for p in server(run))
    after = sum(p["anonymous_kib"] for p in server(run))
    print("\nmemory  anonymous %.1f MiB, files' pages %.1f MiB of all processes; in the last run of %d certificates it grew by "
          "%.2f MiB for every 1,000" % (after / 1024, total(run, "file_kib") / 1024, run["orders"],
                                        (after - before) / 1024 * 1000 / run["orders"]))


def end(lines, verify, floors):
    with open(lines, encoding="utf-8") as f:
        runs = [json.loads(line) for line in f]
    by = {run["label"]: run for run in runs if run["orders"]}
    memories = {run["label"]: run for run in runs if "pss_kib" in run}
    shown = [by[k] for k in ("1 client", "32 clients", "128 clients") if k in by]
    if shown:
        latencies(shown)
    if "32 clients, warm" in by:
        growth(by["32 clients, warm"])
    if floors:
        print("floor   %s us: when these differ much, the machine was not quiet and the ratios mean little" % floors)
    budgets(by, memories, float(verify))


def main():
    command, *rest = sys.argv[1:] or ["?"]
    wanted = {"head": (head, 0), "row": (row, 4), "memory": (memory, 5), "end": (end, 3)}
    if command not in wanted or len(rest) != wanted[command][1]:
        sys.exit(__doc__)
    wanted[command][0](*rest)


main()
