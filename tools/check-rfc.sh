#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check-rfc.sh [FOLDER]: every clause in docs/rfc (or FOLDER) has a place where it is met and a test, and both are there.
# The tables' form is in docs/rfc/README.md. check-rfc-test.sh tests this script.
set -u
cd "$(dirname "$0")/.." || exit 2
folder=${1:-docs/rfc}
clauses=0 open=0 others=0 deviations=0
declare -A seen=() highest=()

. tools/refs.sh

check_deviation() { # check_deviation FILE ID WORDS: says so and names the page that says why
	local page
	page=$(printf '%s\n' "$3" | grep -o '\.\./decisions/[0-9a-z-]*\.md' | head -n 1)
	deviations=$((deviations + 1))
	[ -n "$page" ] || { wrong "$1" "$2" 'deviates without a page in docs/decisions'; return; }
	[ -f "docs/${page#../}" ] || wrong "$1" "$2" "no page docs/${page#../}"
}

check_id() { # check_id FILE ID: of this file, once, and numbered without gaps (asked at the end)
	local of section n
	of=$(basename "$1" .md)
	[[ $2 =~ ^([0-9]{4}|profiles)-([0-9]+(\.[0-9]+)*)-([1-9][0-9]*)$ ]] || { wrong "$1" "$2" 'is no id'; return; }
	section=${BASH_REMATCH[1]}-${BASH_REMATCH[2]} n=${BASH_REMATCH[4]}
	[ "${of#rfc}" = "${BASH_REMATCH[1]}" ] || wrong "$1" "$2" 'belongs to another file'
	[ -z "${seen[$2]:-}" ] || wrong "$1" "$2" 'stands there twice'
	seen[$2]=$1
	[ "${highest[$section]:-0}" -ge "$n" ] || highest[$section]=$n
}

check_row() { # check_row FILE ID LEVEL WORDS MET TESTED
	local ref
	clauses=$((clauses + 1))
	case $3 in
	MUST | 'MUST NOT' | REQUIRED | SHOULD | 'SHOULD NOT' | RECOMMENDED | MAY | says) ;;
	*) wrong "$1" "$2" "level $3: MUST, MUST NOT, REQUIRED, SHOULD, SHOULD NOT, RECOMMENDED, MAY or says" ;;
	esac
	[ -n "$4" ] || wrong "$1" "$2" 'says nothing'
	case $4 in *deviates*) check_deviation "$1" "$2" "$4" ;; esac
	split_refs "$5"
	[ "${#cell[@]}" -gt 0 ] || wrong "$1" "$2" 'is met nowhere'
	for ref in "${cell[@]}"; do check_met "$1" "$2" "$ref"; done
	split_refs "$6"
	[ "${#cell[@]}" -gt 0 ] || wrong "$1" "$2" 'has no test'
	for ref in "${cell[@]}"; do check_tested "$1" "$2" "$ref"; done
}

check_file() { # check_file FILE: its tables are known by their headings
	local file=$1 line part='' id level words met tested more
	while IFS= read -r line; do
		case $line in
		'## Clauses'*) part=clauses ;;
		'## Open'*) part=open ;;
		'## Not for a server'*) part=others ;;
		'## '*) part='' ;;
		'| id |'* | '|--'* | '| --'*) ;;
		'|'*)
			IFS='|' read -r _ id level words met tested more <<<"$line"
			read -r id <<<"$id"; read -r level <<<"$level"; read -r words <<<"$words"
			[ -n "$part" ] || { wrong "$file" "${id:-?}" 'stands under no heading of README.md'; continue; }
			check_id "$file" "$id"
			case $part in
			clauses)
				[ -z "${more//[[:space:]]/}" ] || wrong "$file" "$id" 'has more than five columns'
				check_row "$file" "$id" "$level" "$words" "$met" "$tested" ;;
			open) open=$((open + 1)); printf 'open: %s: %s\n' "$id" "$words" ;;
			others) others=$((others + 1)) ;;
			esac ;;
		esac
	done <"$file"
}

check_gaps() { # a clause that fell out of a table leaves a gap in its section's numbers
	local section n
	for section in "${!highest[@]}"; do
		for ((n = 1; n <= highest[$section]; n++)); do
			[ -n "${seen[$section-$n]:-}" ] || wrong "$folder" "$section-$n" 'is missing between its neighbours'
		done
	done
}

for file in "$folder"/rfc*.md "$folder"/profiles.md; do
	[ ! -f "$file" ] || check_file "$file"
done
check_gaps
[ "$clauses" -gt 0 ] || { echo "$folder: no clauses found"; bad=1; }
echo "$clauses clauses met and tested ($refs references, $deviations deviate with a reason), $open open, $others not for a server"
exit "$bad"
