#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILDDIR [SECONDS [CLIENTS]]: what a certificate costs. A throw-away CA on loopback, CLIENTS clients (16) for
# SECONDS (60), the server's CPU time taken from /proc; the OpenSSL floor measured before and after, on the same machine
# in the same run; and beside it Debian's pebble, when it is installed, with one client (it keeps no more apart).
# Compare ratios, not machines: DESIGN.md section 8.
set -eu
if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	echo "usage: $0 BUILDDIR [SECONDS [CLIENTS]]" >&2
	exit 2
fi
build=$(cd "$1" && pwd)
seconds=${2:-60}
clients=${3:-16}
load=$build/bench/cairn-load
for program in "$load" "$build/bench/bench-floor" "$build/bench/bench-dns" "$build/bench/bench-evidence" "$build/src/cmd/cairn"; do
	if [ ! -x "$program" ]; then
		echo "$0: $program is not there; build first" >&2
		exit 2
	fi
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

# Nobody listens on the ports from $base on.
base=$((20000 + $$ % 20000))
while ss -Htln 2>/dev/null | grep -q ":${base} \|:$((base + 1)) \|:$((base + 2)) \|:$((base + 3)) "; do
	base=$((base + 10))
done
api=$base http=$((base + 1)) dns=$((base + 2)) management=$((base + 3))

# number KEY FILE: a number of the load generator's one JSON object
number() {
	sed -n "s/.*\"$1\":\\([0-9.]*\\).*/\\1/p" "$2"
}

# ticks PID...: CPU ticks, user and system, of these processes; the name in parentheses may hold blanks
ticks() {
	for pid in "$@"; do
		sed 's/^.*) //' "/proc/$pid/stat"
	done | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

resident() {
	for pid in "$@"; do
		grep VmRSS "/proc/$pid/status"
	done | awk '{ sum += $2 } END { printf "%.1f", sum / 1024 }'
}

# wait_for URL CAFILE: until it answers, 20 s at most
wait_for() {
	for _ in $(seq 100); do
		if curl -sf --cacert "$2" -o "$work/directory" "$1"; then
			return 0
		fi
		sleep 0.2
	done
	echo "$0: $1 does not answer" >&2
	return 1
}

# measure NAME URL CAFILE CLIENTS PID...: runs the load and prints one block
measure() {
	name=$1 url=$2 roots=$3 n=$4
	shift 4
	before=$(ticks "$@")
	if ! "$load" --server "$url" --ca-file "$roots" --http-port "$http" --clients "$n" --seconds "$seconds" --json \
		>"$work/$name.json" 2>"$work/$name.err"; then
		echo "$name: FAILED" >&2
		cat "$work/$name.json" "$work/$name.err" >&2
		failed=1
	fi
	after=$(ticks "$@")
	orders=$(number orders "$work/$name.json")
	if [ "${orders:-0}" = 0 ]; then
		return 0
	fi
	awk -v name="$name" -v n="$n" -v orders="$orders" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" \
		-v floor="$floor" -v rate="$(number rate "$work/$name.json")" -v p50="$(number p50_ms "$work/$name.json")" \
		-v p90="$(number p90_ms "$work/$name.json")" -v p99="$(number p99_ms "$work/$name.json")" \
		-v rss="$(resident "$@")" -v bad="$(number failed "$work/$name.json")" 'BEGIN {
		us = ticks / hz / orders * 1e6
		printf "%-7s %3d clients  %7.1f certificates/s  p50 %.1f ms  p90 %.1f ms  p99 %.1f ms (%.1f x p50)\n",
			name, n, rate, p50, p90, p99, (p50 > 0 ? p99 / p50 : 0)
		printf "        %d issued, %d failed, server CPU %.0f us each = %.2f x the floor, resident %s MiB\n",
			orders, bad, us, us / floor, rss }'
}

failed=0
floor=$("$build/bench/bench-floor")
echo "floor   7 verifications and 1 signature with P-256: $floor us ($(nproc) processors, $(openssl version | cut -d' ' -f1,2))"
"$build/bench/bench-evidence" "$floor"

# --- cairn
ca=$work/ca
"$build/src/cmd/cairn" init "$ca" --host localhost,127.0.0.1 --listen "127.0.0.1:$api" --allow '*.load.test' \
	--static '*.load.test=127.0.0.1' --allow-address 127.0.0.0/8 --http-port "$http" --root-unencrypted >"$work/init.log"
# No limits: they would be what is measured.
sed -i 's/^    names: \["\*\.load\.test"\]$/&\n    orders-per-hour: 0\n    accounts-per-hour: 0/' "$ca/cairn.conf"
"$build/src/cmd/cairn" serve -c "$ca/cairn.conf" >"$work/serve.log" 2>&1 &
serve=$!
started="$started $serve"
if ! wait_for "https://localhost:$api/directory" "$ca/root/root.pem"; then
	tail -5 "$work/serve.log" >&2
	exit 1
fi
roles=
for program in cairn-api cairn-validator cairn-signer; do
	pid=$(pgrep -P "$serve" -f "$program" | head -1)
	roles="$roles $pid"
done
idle=$(resident $roles)
measure cairn "https://localhost:$api/directory" "$ca/root/root.pem" "$clients" $roles
echo "        resident before the first request $idle MiB; $(du -sk "$ca/store" | cut -f1) KiB of store, $(du -sk "$ca/journal" | cut -f1) KiB of journal"
kill "$serve"
wait "$serve" || true

# --- pebble
if ! command -v pebble >/dev/null; then
	echo "pebble  is not installed, so not measured"
	exit $failed
fi
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pebble-root -keyout root.key \
	-out root.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>openssl.log
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout api.key -out api.csr 2>>openssl.log
echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >san
openssl x509 -req -in api.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile san -out api.pem 2>>openssl.log
cat >pebble.json <<EOF
{ "pebble": { "listenAddress": "127.0.0.1:$api", "managementListenAddress": "127.0.0.1:$management",
  "certificate": "api.pem", "privateKey": "api.key", "httpPort": $http, "tlsPort": $((base + 4)),
  "ocspResponderURL": "", "externalAccountBindingRequired": false } }
EOF
"$build/bench/bench-dns" "$dns" &
started="$started $!"
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config pebble.json -dnsserver "127.0.0.1:$dns" >pebble.log 2>&1 &
pebble=$!
started="$started $pebble"
wait_for "https://localhost:$api/dir" root.pem
measure pebble "https://localhost:$api/dir" root.pem 1 "$pebble"
again=$("$build/bench/bench-floor")
echo "floor   again: $again us (when it differs much from the first, the machine was not quiet and the ratios mean little)"
exit $failed
