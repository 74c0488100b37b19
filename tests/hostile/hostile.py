#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends what no client sends. Each case is one of THREATS section 3; after each, a good client must be served.

hostile.py --list                              the cases
hostile.py --directory URL --ca FILE ...       runs them against a server; 60-hostile.sh starts a fitting one
"""
import argparse
import importlib
import sys
import time
import traceback

import acme
import world

MODULES = ("jws", "keys", "objects", "orders", "csr", "revoke", "wire", "races", "resources", "output")


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--list", action="store_true")
    p.add_argument("--directory", help="URL of the default realm's directory")
    p.add_argument("--ca", help="file with the root that the server's certificate leads to")
    p.add_argument("--http-port", type=int, help="where validators look for http-01")
    p.add_argument("--store", help="the server's database, only to look")
    p.add_argument("--log", help="the server's log")
    p.add_argument("--pid", type=int, help="cairn-api's process")
    p.add_argument("--eab", default="",
                   help="file with external account keys: name, kid and base64url key on each line")
    p.add_argument("--only", default="", help="numbers of cases, by commas: A8,A19")
    p.add_argument("--not", dest="without", default="", help="numbers of cases to leave out")
    p.add_argument("--no-memory", action="store_true", help="say nothing of memory: a sanitizer keeps what was freed")
    p.add_argument("--times", action="store_true", help="how long each case took")
    return p.parse_args()


def chosen(wanted, without):
    only = {n for n in wanted.split(",") if n}
    out = {n for n in without.split(",") if n}
    unknown = (only | out) - {c.number for c in world.CASES}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    return [c for c in world.CASES if (not only or c.number in only) and c.number not in out]


def run(case, w):
    """One line; whether it passed, None when it was skipped."""
    w.notes.clear()
    w.row = ""
    start, verdict, why = time.monotonic(), "ok", ""
    try:
        case.run(w)
        w.alive()
    except world.Skip as e:
        verdict, why = "skipped", str(e)
    except world.Failed as e:
        frame = traceback.extract_tb(e.__traceback__)[-2]
        verdict, why = "FAILED", f"{w.row and w.row + ': '}{e} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
    except Exception:  # pylint: disable=broad-except
        verdict, why = "FAILED", traceback.format_exc()
    took = f" [{time.monotonic() - start:.1f} s]" if w.options.times else ""
    notes = "".join(f"; {n}" for n in w.notes)
    print(f"{verdict:7} {case.number:4} {case.title}{took}{notes}{': ' + why if why else ''}", flush=True)
    return {"ok": True, "skipped": None}.get(verdict, False)


def main():
    o = options()
    for module in MODULES:
        importlib.import_module(module)
    if o.list:
        for c in world.CASES:
            print(f"{c.number:4} {c.title}")
        return 0
    w = world.World(acme.Server(o.directory, o.ca), o)
    results = [run(c, w) for c in chosen(o.only, o.without)]
    w.server.on_reply = None
    print(f"{sum(w.replies.values())} replies: " + ", ".join(f"{n} of {s}" for s, n in sorted(w.replies.items())))
    print(f"{results.count(None)} skipped")
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 1 if False in results or True not in results else 0


if __name__ == "__main__":
    sys.exit(main())
