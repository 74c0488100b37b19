#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# overload.sh BUILDDIR [SECONDS]: what a CA does with ten times what it can serve. First its best, with 32 clients that each
# wait for the last reply; then orders begun at that rate, and at ten times that rate, whether or not the last ones have
# ended; then its best again beside idle and slow connections, half handshakes and clients that come anew for each request.
# Throughput, the time of whole issuances, and how soon a refusal comes.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "usage: $0 BUILDDIR [SECONDS]" >&2
	exit 2
fi
build=$(cd "$1" && pwd)
seconds=${2:-20}
load=$build/bench/cairn-bench storm=$build/bench/cairn-storm
for program in "$load" "$storm" "$build/src/cmd/cairn"; do
	[ -x "$program" ] || { echo "$0: $program is not there; build first" >&2; exit 2; }
done
work=$(mktemp -d)
started=
cleanup() {
	for pid in $started; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Nobody listens on the ports from $api on.
api=$((20000 + $$ % 20000))
while ss -Htln 2>/dev/null | grep -q ":${api} \|:$((api + 1)) "; do
	api=$((api + 10))
done
http=$((api + 1))
ca=$work/ca
url=https://localhost:$api/directory
"$build/src/cmd/cairn" init "$ca" --host localhost,127.0.0.1 --listen "127.0.0.1:$api" --allow '*.load.test' \
	--static '*.load.test=127.0.0.1' --allow-address 127.0.0.0/8 --http-port "$http" --root-unencrypted >"$work/init.log"
# No limits: they would be what is measured.
sed -i 's/^    names: \["\*\.load\.test"\]$/&\n    orders-per-hour: 0\n    accounts-per-hour: 0/' "$ca/cairn.conf"
"$build/src/cmd/cairn" serve -c "$ca/cairn.conf" >"$work/serve.log" 2>&1 &
serve=$!
started=$serve
for _ in $(seq 100); do
	curl -sf --cacert "$ca/root/root.pem" -o "$work/directory" "$url" && break
	sleep 0.2
done

number() { # number KEY FILE: the first in the report, which is that of whole issuances
	grep -o "\"$1\":[0-9.]*" "$2" | head -1 | cut -d: -f2
}
memory() { # MiB of their own
	for pid in "$serve" $(pgrep -P "$serve"); do
		grep '^Anonymous:' "/proc/$pid/smaps_rollup"
	done | awk '{ sum += $2 } END { printf "%.1f", sum / 1024 }'
}
measure() { # measure NAME OPTION...: one line
	name=$1
	shift
	"$load" --server "$url" --ca-file "$ca/root/root.pem" --challenge-port "$http" --seconds "$seconds" --overload --json "$@" \
		>"$work/report.json" 2>"$work/report.err" || { cat "$work/report.err" >&2; failed=1; }
	awk -v name="$name" -v rate="$(number rate "$work/report.json")" -v p50="$(number p50_ms "$work/report.json")" \
		-v p99="$(number p99_ms "$work/report.json")" -v max="$(number max_ms "$work/report.json")" \
		-v refused="$(number refused "$work/report.json")" -v mem="$(memory)" 'BEGIN {
		printf "%-28s %7.1f certificates/s  p50 %8.1f ms  p99 %8.1f ms  max %8.1f ms  refused %s  memory %s MiB\n",
			name, rate, p50, p99, max, refused, mem }'
}
burden() { # burden MODE CONNECTIONS ADDRESS [OPTION]...
	mode=$1 count=$2 from=$3
	shift 3
	"$storm" --server "127.0.0.1:$api" --mode "$mode" --connections "$count" --from "$from" --seconds $((seconds + 25)) "$@" \
		>"$work/storm-$mode.json" &
	started="$started $!"
	storms="$storms $!"
}

failed=0 storms=
measure "32 clients" --clients 32
best=$(number rate "$work/report.json" | cut -d. -f1)
measure "as many orders, open loop" --clients 1000 --rate "$best"
# Each client waits 3 to 10 s when it is refused, so that 4,000 of them go on asking for 600 orders a second besides.
measure "ten times as many" --clients 4000 --rate $((best * 10))
measure "32 clients, afterwards" --clients 32
burden idle 5000 127.0.0.2
burden slow-head 1000 127.0.0.3
burden slow-body 1000 127.0.0.4 --method POST --path /new-order --body 20000
for _ in $(seq 300); do
	grep -q '^up' "$work/storm-idle.json" && break
	sleep 0.1
done
burden handshake 32 127.0.0.5
burden reconnect 32 127.0.0.6
measure "32 clients amid storms" --clients 32
for pid in $storms; do
	wait "$pid" || failed=1
done
sed 's/^/    /' "$work"/storm-*.json | grep mode
exit $failed
