#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-globals.sh BUILDDIR: no writable data with static lifetime in libraries and programs (docs/style.md, rule 14),
# except what tools/globals.txt lists with its reason. Tables that only the loader writes (.data.rel.ro) are constant.
set -eu
cd "$(dirname "$0")/.."
build=$1
found=$(mktemp)
listed=$(mktemp)
trap 'rm -f "$found" "$listed"' EXIT
set -- "$build"/libcairn_*.a
[ -e "$1" ] || { echo "no libcairn_*.a in $build" >&2; exit 1; }
for lib in "$@" "$build"/src/cmd/*.p/*.o; do
	[ -e "$lib" ] || continue
	case "$lib" in
	*.a) where=$(basename "$lib" .a) where=${where#libcairn_} ;;
	*) where=cmd ;;
	esac
	# The columns of objdump -t: value, flags (7 characters), section, tab, size, name. A static inside a function has a
	# number behind its name.
	objdump -t "$lib" | awk -v where="$where" '
		match($0, / (\.data|\.bss|\.tdata|\.tbss|\*COM\*)[^ \t]*\t/) {
			section = substr($0, RSTART + 1, RLENGTH - 2)
			name = $NF
			sub(/\.[0-9]+$/, "", name)
			if (section ~ /^\.data\.rel\.ro/ || name ~ /^\.(data|bss|tdata|tbss)/)
				next
			print where, name
		}'
done | sort -u >"$found"
sed 's/[ \t]*#.*//; /^$/d' tools/globals.txt | sort -u >"$listed"
bad=0
comm -23 "$found" "$listed" | sed 's/^\([^ ]*\) \(.*\)/src\/\1: \2 is a writable global (docs\/style.md, rule 14)/' >"$found.new"
if [ -s "$found.new" ]; then
	cat "$found.new"
	bad=1
fi
comm -13 "$found" "$listed" | sed 's/$/: listed in tools\/globals.txt, but not there any more/' >"$found.new"
if [ -s "$found.new" ]; then
	cat "$found.new"
	bad=1
fi
rm -f "$found.new"
exit "$bad"
