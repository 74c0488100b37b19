#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run-fuzz.sh SECONDS BUILDDIR: every fuzz target for so long, from a copy of its committed corpus; one line each.
# Fails when a target finds something, does not start, or has no seeds. Findings are left in BUILDDIR/findings.
set -eu
if [ $# -ne 2 ]; then
	echo "usage: $0 SECONDS BUILDDIR (set up with CC=clang and -Dfuzz=true)" >&2
	exit 2
fi
seconds=$1
build=$2
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$build/findings" "$work/bad"

run_one() { # run_one TARGET: says how it went; a file of its name in $work/bad when it went wrong
	name=$(basename "$1")
	seeds=$root/fuzz/corpus/${name#fuzz_}
	if [ ! -d "$seeds" ]; then
		echo "$name: FAILED: no seeds in fuzz/corpus/${name#fuzz_}"
		: >"$work/bad/$name"
		return
	fi
	cp -R "$seeds" "$work/$name"
	if "$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
		-artifact_prefix="$build/findings/$name-" "$work/$name" >"$work/$name.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
		cover=$(sed -n 's/.*DONE *cov: *\([0-9]*\).*/\1/p' "$work/$name.log")
		echo "$name: ok, ${runs:-0} runs, ${cover:-0} edges"
	else
		: >"$work/bad/$name"
		cp "$work/$name.log" "$build/findings/$name.log"
		echo "$name: FAILED: $build/findings/$name.log"
		tail -n 20 "$work/$name.log" >&2
	fi
}

# As many at once as there are cores.
ran=0
cores=$(nproc)
for target in "$build"/fuzz/fuzz_*; do
	if [ ! -f "$target" ] || [ ! -x "$target" ]; then
		continue
	fi
	run_one "$target" &
	ran=$((ran + 1))
	[ $((ran % cores)) -ne 0 ] || wait
done
wait
bad=$(find "$work/bad" -type f | wc -l)
if [ "$ran" -eq 0 ]; then
	echo "no fuzz target in $build/fuzz: set up with CC=clang meson setup $build -Dfuzz=true" >&2
	exit 1
fi
echo "$((ran - bad)) passed, $bad failed"
[ "$bad" -eq 0 ]
