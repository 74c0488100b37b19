#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh BUILDDIR [--update]: counts the instructions of each step of an issuance under callgrind, by program counts, and
# holds them against tests/counts/expected: a step that takes over 5 % more than is written there fails, one that takes
# over 5 % less wants the file made again with --update. Two figures a step: all of it, and what is left without the
# signatures that are made and verified in it, among which our own part would not be seen to grow.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -lt 1 ] || [ $# -gt 2 ] || { [ $# -eq 2 ] && [ "$2" != --update ]; }; then
	echo "usage: $0 BUILDDIR [--update]" >&2
	exit 2
fi
build=$(cd "$1" && pwd)
program=$build/tests/counts
[ -x "$program" ] || { echo "$0: $program is not there: build with tests, and with valgrind installed" >&2; exit 2; }
expected=$root/tests/counts/expected
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is the server's in that process. A toggle inside of another switches off: so signatures can be left out, and
# acme_quick, which calls acme_handle, is not listed.
server=(acme_handle probe_run signer_batch acme_apply_verdict acme_apply_signed acme_apply_progress)
signatures=(sig_verify sig_verify_x509 sig_sign sig_sign_x509)

# count NAME FUNCTION...: "step instructions" lines in $work/NAME.counts, for one round of each step
count() {
	local name=$1 toggles=() f
	shift
	for f in "$@"; do
		toggles+=("--toggle-collect=$f")
	done
	valgrind --tool=callgrind "${toggles[@]}" --callgrind-out-file="$work/$name.out" "$program" >"$work/$name.steps" 2>"$work/$name.err" ||
		{ cat "$work/$name.err"; return 1; }
	# a dump a step, named in its trigger
	awk 'FNR == 1 { step = "" }
		/^desc: Trigger: Client Request: / { step = $5 }
		/^totals: / { if (step != "") print step, $2 }' "$work/$name.out".* >"$work/$name.sums"
	awk 'NR == FNR { rounds[$1] = $2; next } $1 in rounds { printf "%s %d\n", $1, $2 / rounds[$1] }' \
		"$work/$name.steps" "$work/$name.sums" | sort >"$work/$name.counts"
	[ "$(wc -l <"$work/$name.counts")" -eq "$(wc -l <"$work/$name.steps")" ] || { echo "callgrind gave no count for some steps"; return 1; }
}

count all "${server[@]}" &
all=$!
count own "${server[@]}" "${signatures[@]}"
wait "$all"
join "$work/all.counts" "$work/own.counts" >"$work/found"
[ -s "$work/found" ] || { echo 'nothing was counted'; exit 1; }
if [ $# -eq 2 ]; then
	{
		echo '# SPDX-License-Identifier: Apache-2.0'
		echo '# step, instructions, of these without signatures: made by tests/counts/check.sh BUILDDIR --update'
		cat "$work/found"
	} >"$expected"
fi

# Small steps may vary by what a random number is; 2,000 instructions are about half a microsecond.
grep -v '^#' "$expected" | sort | join -a 1 -a 2 -e 0 -o 0,1.2,1.3,2.2,2.3 - "$work/found" | awk '
	function judge(step, what, want, found) {
		if (want == 0 || found == 0) {
			printf "%s: is %s\n", step, want == 0 ? "not in tests/counts/expected: make it with --update" : "no step any more"
			bad = 1
		} else if (found > want * 1.05 && found - want > 2000) {
			printf "%s: %d instructions %s, wanted at most %d and 5 %%\n", step, found, what, want
			bad = 1
		} else if (found < want * 0.95 && want - found > 2000)
			printf "%s: %d instructions %s instead of %d: write it down with --update\n", step, found, what, want
	}
	{
		printf "%-20s %10d  %8d without signatures\n", $1, $4, $5
		judge($1, "in all", $2, $4)
		judge($1, "without signatures", $3, $5)
	}
	END { exit bad }'
