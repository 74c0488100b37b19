#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# storms.sh BUILDDIR [SECONDS]: whether those who are no clients stop the orders of others. Beside 32 clients that order: 5,000 idle
# connections, 2,000 slow ones, half handshakes and clients that come anew for each request, at a given rate and as many as
# are answered. On one machine a storm takes time from the server even where the server does all it can, since it needs a
# processor itself, and TLS needs one too, before anybody is known. So the server runs on one processor, everything else on
# another; first the storm is alone, which shows what it costs the server; then beside the orders; then, in its place, somebody
# burns as much of the server's processor and as much of the other, and never talks to the server. What the storm does beyond
# that is the ratio of the two last. Fails when an order failed, or the rate beside the storm is not LEAST of the other.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "usage: $0 BUILDDIR [SECONDS]" >&2
	exit 2
fi
here=$(dirname "$0")
build=$(cd "$1" && pwd)
seconds=${2:-10}
least=${LEAST:-0.5} # of a machine that others use too; one that has nothing else to do is nearer to 1
# shellcheck source=lib.sh
. "$here/lib.sh"
bench_begin
load=$build/bench/cairn-bench storm=$build/bench/cairn-storm
needs "$load" "$storm" "$build/src/cmd/cairn"
servers=0 others=1
if ! taskset -c "$others" true 2>/dev/null; then
	echo "storms  wants two processors and taskset, so not measured"
	exit 0
fi
api=$(free_ports 2)
http=$((api + 1))
ca_init "$api" "$http"
ca_serve taskset -c "$servers"

server_us() {
	# shellcheck disable=SC2046 # a number each
	cpu_us $(programs)
}
blow() { # blow MODE SECONDS OPTION...: in the background; $blowing is all of them
	mode=$1 time=$2
	shift 2
	taskset -c "$others" "$storm" --server "127.0.0.1:$api" --mode "$mode" --seconds "$time" "$@" >"$work/storm-$mode" &
	blowing="$blowing $!"
	started="$started $!"
}
burn() { # burn PROCESSOR SECONDS PERMILLE
	[ "$3" -gt 0 ] || return 0
	taskset -c "$1" "$storm" --mode burn --seconds "$2" --permille "$3" >"$work/burnt-$1" &
	blowing="$blowing $!"
	started="$started $!"
}
calm() {
	for pid in $blowing; do
		wait "$pid" || failed=1
	done
	blowing=''
}
end_now() {
	for pid in $blowing; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	blowing=''
}
orders() { # orders NAME: into $rate and $p99
	taskset -c "$others" "$load" --server "$url" --ca-file "$root" --challenge-port "$http" --seconds "$seconds" --clients 32 \
		--json >"$work/report-$1" 2>"$work/report.err" || { cat "$work/report.err" >&2; failed=1; }
	rate=$(number rate "$work/report-$1") p99=$(number p99_ms "$work/report-$1")
	bad=$(number failed "$work/report-$1")
}
permille() { # permille MICROSECONDS WALL-SECONDS
	awk -v us="$1" -v s="$2" 'BEGIN { p = us / s / 1000; printf "%.0f", (p > 950 ? 950 : p) }'
}
storm_sum() { # storm_sum KEY: of those that have ended
	cat "$work"/storm-* | grep -o "\"$1\":[0-9.]*" | awk -F: '{ sum += $2 } END { print sum + 0 }'
}
all_up() { # those that are blowing
	for _ in $(seq 600); do
		[ "$(cat "$work"/storm-* 2>/dev/null | grep -c '^up')" != "$(echo "$blowing" | wc -w)" ] || return 0
		sleep 0.1
	done
	echo "$0: not all of them came up" >&2
	failed=1
}

# compare NAME HELD BLOW-FUNCTION: HELD 1: connections are there before the orders begin and stay until they have ended.
compare() {
	name=$1 held=$2 blow_it=$3
	rm -f "$work"/storm-*
	"$blow_it" "$([ "$held" = 1 ] && echo 600 || echo "$alone_s")"
	[ "$held" = 0 ] || all_up
	pids=$blowing
	us=$(server_us)
	if [ "$held" = 1 ]; then
		sleep "$alone_s"
		us=$(($(server_us) - us)) opened=1
		# shellcheck disable=SC2086 # each
		tool=$(cpu_us $pids)
		orders storm
		# shellcheck disable=SC2086
		tool=$(($(cpu_us $pids) - tool)) beside=1
		end_now
	else
		calm
		us=$(($(server_us) - us)) opened=$(storm_sum opened)
		rm -f "$work"/storm-*
		"$blow_it" "$seconds"
		orders storm
		calm
		beside=$(storm_sum opened)
		tool=$(awk -v ms="$(storm_sum cpu_ms)" 'BEGIN { printf "%.0f", ms * 1000 }')
	fi
	with_rate=$rate with_p99=$p99 with_bad=$bad
	# What it cost the server alone, for as many as there were beside the orders.
	us=$(awk -v us="$us" -v a="$opened" -v b="$beside" -v s="$seconds" -v t="$alone_s" -v h="$held" 'BEGIN {
		printf "%.0f", (h ? us / t * s : (a > 0 ? us / a * b : 0)) }')
	burn "$servers" "$seconds" "$(permille "$us" "$seconds")"
	burn "$others" "$seconds" "$(permille "$tool" "$seconds")"
	orders burner
	calm
	awk -v name="$name" -v h="$held" -v came="$beside" -v s="$seconds" -v us="$us" -v tool="$tool" -v r="$rate" -v p="$p99" -v wr="$with_rate" \
		-v wp="$with_p99" -v bad="$((with_bad + bad))" -v least="$least" 'BEGIN {
		ratio = r > 0 ? wr / r : 0
		printf "%-26s %8s %7.1f %7.1f  %8.1f %8.1f  %8.1f %8.1f  %6.2f %6.2f  %d\n", name, h ? "" : sprintf("%.0f", came / s),
			us / s / 1e4, tool / s / 1e4, r, p, wr, wp, ratio, (p > 0 ? wp / p : 0), bad
		exit (ratio < least || bad > 0) }' || failed=1
}
idle() { blow idle "$1" --connections 5000 --from 127.0.0.2; }
slow() {
	blow slow-head "$1" --connections 1000 --from 127.0.0.3
	blow slow-body "$1" --connections 1000 --from 127.0.0.4 --method POST --path /new-order --body 20000
}
shakes_slowly() { blow handshake "$1" --connections 64 --from 127.0.0.5 --rate 300; }
shakes() { blow handshake "$1" --connections 64 --from 127.0.0.5; }
returns_slowly() { blow reconnect "$1" --connections 64 --from 127.0.0.6 --rate 300; }
returns() { blow reconnect "$1" --connections 64 --from 127.0.0.6; }

failed=0 blowing='' alone_s=4
orders alone
echo "32 clients alone, server on one processor: $rate certificates/s, p99 $p99 ms"
printf '%-26s %8s %15s  %17s  %17s  %13s  %s\n' "" "come" "% of processor" "beside a burner" "beside the storm" "ratio" "failed"
printf '%-26s %8s %7s %7s  %8s %8s  %8s %8s  %6s %6s\n' "" "in a s" "server" "tool" "a second" "p99 ms" "a second" "p99 ms" "rate" "p99"
compare "5,000 idle" 1 idle
compare "2,000 slow" 1 slow
compare "300 half handshakes a s" 0 shakes_slowly
compare "300 reconnects a s" 0 returns_slowly
compare "half handshakes, 64 at once" 0 shakes
compare "reconnects, 64 at once" 0 returns
exit $failed
