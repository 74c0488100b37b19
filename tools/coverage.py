#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coverage.py BUILDDIR FLOORFILE: line coverage of src/ (tests themselves left out) after the tests have run in a build
with -Db_coverage=true. Prints a line a folder; fails when the whole lies under the floor, a percentage."""
import json
import os
import subprocess
import sys


def gcov(build, notes):
    run = subprocess.run(["gcov", "--json-format", "--stdout", *notes], cwd=build, check=True, capture_output=True)
    for line in run.stdout.splitlines():
        if line.strip():
            yield json.loads(line)


def find(build, suffix):
    for folder, _, names in os.walk(build):
        for name in names:
            if name.endswith(suffix):
                yield os.path.join(folder, name)


def main(build, floor_file):
    root = os.getcwd()
    build = os.path.abspath(build)
    if not any(True for _ in find(build, ".gcda")):
        print("no coverage data in %s: no test ran" % build)
        return 1
    lines = {}  # (file, line) -> hit; a file that no test links counts as not covered
    notes = sorted(find(build, ".gcno"))
    for start in range(0, len(notes), 50):
        for report in gcov(build, notes[start : start + 50]):
            base = report.get("current_working_directory", build)
            for entry in report["files"]:
                path = os.path.relpath(os.path.realpath(os.path.join(base, entry["file"])), root)
                if not path.startswith("src/") or path.endswith("_test.c") or os.path.basename(path) == "test.h":
                    continue
                for line in entry["lines"]:
                    key = (path, line["line_number"])
                    lines[key] = lines.get(key, False) or line["count"] > 0
    folders = {}
    for (path, _), hit in lines.items():
        total, hits = folders.get(path.split("/")[1], (0, 0))
        folders[path.split("/")[1]] = (total + 1, hits + hit)
    for name, (total, hits) in sorted(folders.items()):
        print("%-10s %5.1f %% of %5d lines" % (name, 100.0 * hits / total, total))
    total = sum(t for t, _ in folders.values())
    percent = 100.0 * sum(h for _, h in folders.values()) / total
    with open(floor_file, encoding="utf-8") as f:
        floor = float([line for line in f if line.strip() and not line.startswith("#")][0])
    print("all        %5.1f %% of %5d lines; the floor is %.1f %%" % (percent, total, floor))
    return 0 if percent >= floor else 1


sys.exit(main(*sys.argv[1:]))
