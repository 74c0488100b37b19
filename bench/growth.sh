#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# growth.sh BUILDDIR [CERTIFICATES [ORDERS [DATABASE]]]: what history costs. Fills a store with so many certificates (1,000,000)
# and orders (10,000,000), or takes DATABASE, which is filled when it is not there and kept, and measures the same work in
# it and in an empty store: CPU microseconds, bytes written, and the ratio. Then a copy, and how long `cairn serve` takes
# from its start to its first answer. The default needs 12 GB beside DATABASE, or in $TMPDIR, and a few minutes; the copy as much.
set -eu
if [ $# -lt 1 ] || [ $# -gt 4 ]; then
	echo "usage: $0 BUILDDIR [CERTIFICATES [ORDERS [DATABASE]]]" >&2
	exit 2
fi
build=$(cd "$1" && pwd)
certificates=${2:-1000000}
orders=${3:-10000000}
cairn=$build/src/cmd/cairn
growth=$build/bench/growth
work=$(mktemp -d)
serve=
cleanup() {
	if [ -n "$serve" ]; then
		kill "$serve" 2>/dev/null || true
		wait "$serve" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
database=${4:-$work/filled.db}
[ -e "$database" ] || "$growth/growth-fill" "$database" "$certificates" "$orders"

# Each once before, so that neither pays for a machine that has forgotten its files.
for _ in 1 2; do
	rm -f "$work"/empty.db*
	"$growth/growth-measure" "$work/empty.db" 200 >"$work/empty"
	"$growth/growth-measure" "$database" 200 >"$work/filled"
done
echo "$(stat -c %s "$database" | awk '{ printf "%.2f", $1 / 1e9 }') GB"
awk 'BEGIN { printf "%-28s %12s %12s %7s %14s %14s\n", "CPU us", "empty", "filled", "ratio", "bytes, empty", "bytes, filled" }
	NR == FNR { cpu[$1] = $2; bytes[$1] = $3; next }
	{ printf "%-28s %12.1f %12.1f %7s %14.0f %14.0f\n", $1, cpu[$1], $2, (cpu[$1] > 0 ? sprintf("%.2f", $2 / cpu[$1]) : ""), bytes[$1], $3 }' \
	"$work/empty" "$work/filled"

# now: milliseconds
now() {
	date +%s%3N
}

port=$((20000 + $$ % 20000))
while ss -Htln 2>/dev/null | grep -q ":$port \|:$((port + 1)) "; do
	port=$((port + 10))
done
"$cairn" init "$work/ca" --host localhost,127.0.0.1 --listen "127.0.0.1:$port" --allow '*.load.test' \
	--http-port $((port + 1)) --root-unencrypted >/dev/null

# start_up NAME: how long until the directory is answered, and who used the processors meanwhile
start_up() {
	before=$(now)
	"$cairn" serve -c "$work/ca/cairn.conf" >"$work/serve.log" 2>&1 &
	serve=$!
	until curl -sf --cacert "$work/ca/root/root.pem" "https://localhost:$port/directory" -o "$work/directory"; do
		if [ $(($(now) - before)) -gt 60000 ]; then
			echo "cairn serve has not answered for a minute:" >&2
			cat "$work/serve.log" >&2
			exit 1
		fi
		sleep 0.02
	done
	printf '%-28s %12s ms\n' "start, $1" $(($(now) - before))
	if [ "$1" = filled ]; then
		before=$(now)
		"$cairn" backup "$work/copy.db" -c "$work/ca/cairn.conf" >/dev/null
		printf '%-28s %12s ms\n' "backup, while it serves" $(($(now) - before))
	fi
	kill "$serve"
	wait "$serve" || true
	serve=
}
start_up empty
start_up empty
# The configuration names the database; the file itself stays where it is.
sed -i "s|^store:|store:\n  url: \"sqlite:$(realpath "$database")\"|" "$work/ca/cairn.conf"
grep -q "$(realpath "$database")" "$work/ca/cairn.conf" ||
	printf 'store:\n  url: "sqlite:%s"\n' "$(realpath "$database")" >>"$work/ca/cairn.conf"
start_up filled
