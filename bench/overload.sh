#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# overload.sh BUILDDIR [SECONDS]: what a CA does with ten times what it can serve. First its best, with 32 clients that each
# wait for the last reply; then orders begun at that rate, and at ten times that rate, whether or not the last ones have
# ended; then its best again, and its memory then and a minute later. bench/storms.sh is about those who are no clients.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "usage: $0 BUILDDIR [SECONDS]" >&2
	exit 2
fi
here=$(dirname "$0")
build=$(cd "$1" && pwd)
seconds=${2:-20}
# shellcheck source=lib.sh
. "$here/lib.sh"
bench_begin
load=$build/bench/cairn-bench
needs "$load" "$build/src/cmd/cairn"
api=$(free_ports 2)
http=$((api + 1))
ca_init "$api" "$http"
ca_serve env

memory() {
	awk -v own="$(kib_of Anonymous)" -v all="$(kib_of Pss)" 'BEGIN { printf "%.1f (%.1f)", own / 1024, all / 1024 }'
}
measure() { # measure NAME OPTION...: one line
	name=$1
	shift
	"$load" --server "$url" --ca-file "$root" --challenge-port "$http" --seconds "$seconds" --overload --json "$@" \
		>"$work/report.json" 2>"$work/report.err" || { cat "$work/report.err" >&2; failed=1; }
	awk -v name="$name" -v rate="$(number rate "$work/report.json")" -v p50="$(number p50_ms "$work/report.json")" \
		-v p99="$(number p99_ms "$work/report.json")" -v max="$(number max_ms "$work/report.json")" \
		-v refused="$(number refused "$work/report.json")" -v mem="$(memory)" 'BEGIN {
		printf "%-28s %7.1f certificates/s  p50 %8.1f ms  p99 %8.1f ms  max %8.1f ms  refused %s  memory %s MiB\n",
			name, rate, p50, p99, max, refused, mem }'
}

failed=0
echo "memory of all programs' own, in parentheses with files' pages: $(memory) MiB"
measure "32 clients" --clients 32
best=$(number rate "$work/report.json" | cut -d. -f1)
measure "as many orders, open loop" --clients 1000 --rate "$best"
# 4,000 accounts are made before the clock starts, which takes its time. Each client waits 3 to 10 s when it is refused, so that 4,000 of them go on asking for 600 orders a second besides.
measure "ten times as many" --clients 4000 --rate $((best * 10)) --timeout 180
measure "32 clients, afterwards" --clients 32
sleep 60
echo "memory a minute later: $(memory) MiB"
exit $failed
