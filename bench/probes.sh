#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# probes.sh BUILDDIR [SECONDS [PROBES]]: the pace of a validator with PROBES (500) http-01 probes in flight, a third of them
# at hosts or name servers that stay silent, and beside it the same without that third; each for SECONDS (30). A real
# cairn-validator with its configuration, libunbound, libcurl and sandbox, on loopback in a network namespace of its own;
# the bench plays the api's end of the bus, the name server and the web server. Compare ratios, not machines. It fails
# when the silent ones halve the pace, the validator's memory was over 64 MiB at any time, or a probe ended other than it
# had to.
set -eu
if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	echo "usage: $0 BUILDDIR [SECONDS [PROBES]]" >&2
	exit 2
fi
build=$(cd "$1" && pwd)
seconds=${2:-30}
probes=${3:-500}
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
needs "$build/bench/bench-probes" "$build/bench/bench-dns" "$build/src/cmd/cairn" "$build/src/cmd/cairn-validator"
# Port 80, 127.9.9.9 and the name server's port belong to nobody else in there.
if [ "${BENCH_PROBES_INSIDE:-}" != yes ]; then
	if ! unshare -rn true 2>/dev/null; then
		echo "probes  needs a network namespace (unshare -rn), which this machine refuses, so not measured"
		exit 0
	fi
	BENCH_PROBES_INSIDE=yes exec unshare -rn "$0" "$build" "$seconds" "$probes"
fi
ip link set lo up
bench_begin
"$build/src/cmd/cairn" init "$work/ca" --allow '*.probes.test' --allow-address 127.0.0.0/8 --root-unencrypted >"$work/init.log"
sed -i 's|^    #resolvers: \[\]$|    resolvers: ["127.0.0.1:5353"]|' "$work/ca/cairn.conf"
grep -q '127.0.0.1:5353' "$work/ca/cairn.conf"
"$build/bench/bench-dns" 5353 &
started="$started $!"

# measure NAME ANSWERING SILENT: one validator, and what became of its probes
measure() {
	"$build/src/cmd/cairn-validator" -c "$work/ca/cairn.conf" >"$work/$1.log" 2>&1 &
	validator=$!
	started="$started $validator"
	status=0
	"$build/bench/bench-probes" "unix:$work/ca/run/bus.sock" 80 "$2" "$3" "$seconds" >"$work/$1.json" || status=$?
	resident=$(awk '/VmHWM/ { print $2 }' "/proc/$validator/status")
	threads=$(awk '/Threads/ { print $2 }' "/proc/$validator/status")
	kill -9 "$validator" # what is silent would hold it for its deadline
	wait "$validator" 2>/dev/null || true
	if [ "$status" != 0 ]; then
		tail -5 "$work/$1.log" >&2
		exit 1
	fi
	awk -v name="$1" -v good="$2" -v silent="$3" -v rate="$(number rate "$work/$1.json")" \
		-v p50="$(number p50_ms "$work/$1.json")" -v p99="$(number p99_ms "$work/$1.json")" \
		-v ended="$(number silent_done "$work/$1.json")" -v kib="$resident" -v threads="$threads" 'BEGIN {
		printf "%-7s %3d answered, %3d silent in flight  %7.1f probes/s  p50 %d ms  p99 %d ms\n",
			name, good, silent, rate, p50, p99
		printf "        %d silent ones ended, at most %.1f MiB resident, %d threads\n", ended, kib / 1024, threads }'
	if [ "$(number wrong "$work/$1.json")" != 0 ]; then
		echo "$1: $(number wrong "$work/$1.json") probes ended other than they had to" >&2
		grep -m3 'probe finished' "$work/$1.log" >&2 || true
		failed=1
	fi
	if [ "$resident" -gt 65536 ]; then
		echo "$1: $resident KiB resident, more than 64 MiB" >&2
		failed=1
	fi
}

failed=0
silent=$((probes / 3))
measure alone $((probes - silent)) 0
measure silent $((probes - silent)) "$silent"
awk -v a="$(number rate "$work/alone.json")" -v b="$(number rate "$work/silent.json")" \
	-v p="$(number p50_ms "$work/alone.json")" -v q="$(number p50_ms "$work/silent.json")" \
	-v x="$(number p99_ms "$work/alone.json")" -v y="$(number p99_ms "$work/silent.json")" 'BEGIN {
	printf "ratio   with the silent third: rate %.2f, p50 %.2f, p99 %.2f\n", b / a, q / p, y / x
	exit b < a / 2 }' || failed=1
exit $failed
