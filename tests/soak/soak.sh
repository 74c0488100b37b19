#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# soak.sh BUILDDIR [SECONDS [RATE]]: whether a CA stays as it is when it works for long. A CA with a short memory (settings
# of retention below) under RATE orders a second (20), and beside them every minute a revocation, an order that fails, an
# agent that obtains, a reload, and connections that come and go. Each minute one line: memory of the programs' own (anonymous) and
# of mapped files, descriptors, threads, sizes of log, store and journal, certificates. At the end each column is judged: the
# middle of its last quarter may not be over that of its second quarter by more than the allowance; the first
# quarter is the warm-up. Exit status 1 when something grew, failed, or the CA did not end well.
set -Eeuo pipefail

build=$(cd "${1:?usage: soak.sh BUILDDIR [SECONDS [RATE]]}" && pwd)
seconds=${2:-3600} rate=${3:-20}
interval=$((seconds >= 1200 ? 60 : seconds / 20))
[ "$interval" -ge 3 ] || { echo "soak: a minute at least, to judge anything" >&2; exit 2; }
bin=$build/src/cmd bench=$build/bench
# shellcheck source=../../bench/lib.sh
. "$(dirname "$0")/../../bench/lib.sh"
needs "$bin/cairn" "$bin/cairn-agent" "$bench/cairn-bench" "$bench/cairn-storm"
bench_begin
api=$(free_ports 2)
http=$((api + 1))
ca=$work/ca
ca_init "$api" "$http" --allow '*.soak.test' --static '*.soak.test=127.0.0.2'
# A short memory: what an hour makes must be gone within minutes, or nothing could be said of growth.
sed -i -e '/^store:/a\  keep-ended: 60s\n  keep-expired: 0s' -e 's/^    names: \[.*load\.test.*\]$/&\n    order-life: 2m\n    authz-pending: 60s\n    authz-valid: 60s/' \
	-e '/^  server:/a\    lifetime: 2m\n    backdate: 0s' "$ca/cairn.conf"
"$bin/cairn" check-config -c "$ca/cairn.conf"
ca_serve env

count_of() { # count_of fd|task
	local pid sum=0
	for pid in $(programs); do sum=$((sum + $(find "/proc/$pid/$1" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l))); done
	echo "$sum"
}
kib_file() { # 0: not there now
	local bytes
	bytes=$(stat -c %s "$1" 2>/dev/null) || bytes=0
	echo $((bytes / 1024))
}
kib_store() { # less its audit records, which are kept for years: some 230 bytes a certificate
	local audit
	audit=$(sqlite3 "file:$ca/store/cairn.db?mode=ro" "SELECT sum(pgsize) / 1024 FROM dbstat WHERE name GLOB 'audit*'")
	echo $(($(kib_file "$ca/store/cairn.db") - audit))
}
certificates() { # ever issued: rows go, their numbers stay
	grep -c '"program":"cairn-signer".*"event":"certificate issued"' "$work/serve.log" || true
}
bother() { # what happens besides, in each interval
	local name=$1.soak.test
	local options=(--server "$url" --ca-file "$root" --dir "$work/agent" --quiet)
	"$bin/cairn-agent" obtain "${options[@]}" --standalone --http-address 127.0.0.2 --http-port "$http" --force -d "$name"
	"$bin/cairn-agent" revoke "${options[@]}" -d "$name"
	rm -r "$work/agent/certificates/$name"
	# a folder that no server has: the order fails
	if "$bin/cairn-agent" obtain "${options[@]}" -w "$work" --force -d "no$name"; then
		echo "an order without a proof was served"
		return 1
	fi
	kill -HUP "$serve"
	"$bench/cairn-storm" --server "127.0.0.1:$api" --mode reconnect --connections 8 --seconds 2
	"$bench/cairn-storm" --server "127.0.0.1:$api" --mode idle --connections 100 --seconds 2
}

"$bench/cairn-bench" --server "$url" --ca-file "$root" --challenge-port "$http" --clients 64 --rate "$rate" --overload \
	--seconds "$seconds" --json >"$work/load.json" 2>"$work/load.err" &
load=$!
started="$started $load"
columns="seconds anonymous_kib file_kib descriptors threads wal_kib store_kib journal_kib certificates"
echo "$columns"
begin=$SECONDS turn=0 bad=0
while kill -0 "$load" 2>/dev/null; do
	turn=$((turn + 1))
	bother "$turn" >>"$work/bother.log" 2>&1 &
	bothering=$!
	next=$((begin + turn * interval))
	while [ "$SECONDS" -lt "$next" ] && kill -0 "$load" 2>/dev/null; do sleep 1; done
	wait "$bothering" || { bad=1; tail -n 5 "$work/bother.log"; echo "soak: what was done besides failed"; }
	kill -0 "$load" 2>/dev/null || break
	echo "$((SECONDS - begin)) $(kib_of Anonymous) $(($(kib_of Rss) - $(kib_of Anonymous))) $(count_of fd) $(count_of task)" \
		"$(kib_file "$ca/store/cairn.db-wal") $(kib_store) $(du -sk "$ca/journal" | cut -f1)" \
		"$(certificates)" | tee -a "$work/table"
done
wait "$load" || { bad=1; cat "$work/load.err"; cut -c 1-1000 "$work/load.json"; echo "soak: the load failed"; }

# The middle of a column in the second and in the last quarter. The journal is kept, so it is judged by what a certificate
# adds to it.
judge() { # judge COLUMN NAME ALLOWANCE
	awk -v c="$1" -v name="$2" -v extra="$3" '
	function middle(from, to,   n, i, j, t, v) {
		n = 0
		for (i = from; i <= to; i++) v[++n] = x[i]
		for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
		return v[int((n + 1) / 2)]
	}
	{ x[NR] = $c }
	END {
		q = int(NR / 4)
		if (q < 1) { print "soak: too few lines to judge"; exit 1 }
		before = middle(q + 1, 2 * q); after = middle(NR - q + 1, NR)
		flat = after <= before * 1.1 + extra
		printf "%-14s %10.1f -> %10.1f  %s\n", name, before, after, flat ? "flat" : "GREW"
		exit !flat
	}' "${4:-$work/table}" || bad=1
}
echo "second quarter -> last quarter"
judge 2 anonymous_kib 4096
judge 4 descriptors 16
judge 5 threads 2
judge 6 wal_kib 8192
judge 7 store_kib 4096
awk '$9 > 0 { print $8 * 1024 / $9 }' "$work/table" >"$work/journal"
judge 1 journal_bytes 512 "$work/journal"
kill -TERM "$serve"
code=0
wait "$serve" || code=$?
[ "$code" = 0 ] || { bad=1; echo "soak: cairn serve ended with exit code $code"; }
if grep -E '"level":"error"|"event":"alarm|"event":"child ended".*signal' "$work/serve.log" | head -5 | grep .; then bad=1; fi
exit "$bad"
