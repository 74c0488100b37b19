#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# growth.sh BUILDDIR [CERTIFICATES [ORDERS [DATABASE]]]: what history costs. Fills a store with so many certificates (1,000,000)
# and orders (10,000,000), or takes DATABASE, which is filled when it is not there and kept, and measures the same work in
# it and in an empty store, in turns (growth/compare.py). Then how long `cairn serve` takes from its start to its first answer,
# what a certificate costs all programs in both, again in turns, and a copy. The default needs 12 GB beside DATABASE, or in $TMPDIR, and a few minutes; the copy as much.
set -eu
if [ $# -lt 1 ] || [ $# -gt 4 ]; then
	echo "usage: $0 BUILDDIR [CERTIFICATES [ORDERS [DATABASE]]]" >&2
	exit 2
fi
here=$(dirname "$0")
build=$(cd "$1" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
certificates=${2:-1000000}
orders=${3:-10000000}
growth=$build/bench/growth
needs "$growth/growth-fill" "$growth/growth-measure" "$build/src/cmd/cairn"
bench_begin
database=${4:-$work/filled.db}
[ -e "$database" ] || "$growth/growth-fill" "$database" "$certificates" "$orders"
echo "$(stat -c %s "$database" | awk '{ printf "%.2f", $1 / 1e9 }') GB"
"$here/growth/compare.py" "$growth/growth-measure" "$work/empty.db" "$database"

# now: milliseconds
now() {
	date +%s%3N
}

# starts NAME: how long until the directory is answered
starts() {
	before=$(now)
	ca_serve env
	printf '%-28s %12s ms\n' "start, $1" $(($(now) - before))
}
api=$(free_ports 3)
challenge=$((api + 2))
ca=$work/ca-empty
ca_init "$api" "$challenge"
starts empty
kill "$serve"
wait "$serve" || true
starts empty
empty=$serve empty_url=$url empty_root=$root
ca=$work/ca-filled
ca_init $((api + 1)) "$challenge"
# The configuration names the database; the file itself stays where it is.
sed -i "s|^store:|store:\n  url: \"sqlite:$(realpath "$database")\"|" "$ca/cairn.conf"
grep -q "$(realpath "$database")" "$ca/cairn.conf" ||
	printf 'store:\n  url: "sqlite:%s"\n' "$(realpath "$database")" >>"$ca/cairn.conf"
starts filled

# costs PID URL ROOT: CPU microseconds of one certificate, all programs
costs() {
	"$build/bench/cairn-bench" --server "$2" --ca-file "$3" --root "$3" --challenge-port "$challenge" --clients 32 --orders 400 \
		--seconds 100 --overload --watch "all=$1+" --json >"$work/whole" || { cat "$work/whole" >&2; exit 1; }
	awk -v user="$(number user_us "$work/whole")" -v sys="$(number sys_us "$work/whole")" 'BEGIN { printf "%.1f", user + sys }'
}
round=0
while [ "$round" -lt 24 ]; do # the first ones fill the caches of both
	a=$(costs "$empty" "$empty_url" "$empty_root") b=$(costs "$serve" "$url" "$root")
	[ "$round" -lt 4 ] || echo "$a $b" >>"$work/pairs"
	round=$((round + 1))
done
"$here/growth/compare.py" --pairs "certificate, all programs" "$work/pairs"
before=$(now)
"$build/src/cmd/cairn" backup "$work/copy.db" -c "$ca/cairn.conf" >/dev/null
printf '%-28s %12s ms\n' "backup, while it serves" $(($(now) - before))
