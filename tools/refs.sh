#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# refs.sh: for tools/check-rfc.sh and tools/check-br.sh: tables in docs/ that name functions and tests, and whether these are
# there. Sourced from the root of the tree; what is wrong is printed and left in $bad.
# shellcheck disable=SC2034 # those who source it read these
bad=0 refs=0
cell=()

wrong() { # wrong FILE ID WORDS
	printf '%s: %s: %s\n' "$1" "$2" "$3"
	bad=1
}

split_refs() { # split_refs CELL: what stands between backquotes, into $cell
	local rest=$1
	cell=()
	while [[ $rest =~ ^[^\`]*\`([^\`]*)\`(.*)$ ]]; do
		cell+=("${BASH_REMATCH[1]}")
		rest=${BASH_REMATCH[2]}
	done
}

has_test_function() { # has_test_function FILE NAME: defined, and named once more: in the list of those that are run
	awk -v name="$2" 'index($0, "static void " name "(void **") == 1 { made = 1; next }
		match($0, "(^|[^A-Za-z0-9_])" name "([^A-Za-z0-9_]|$)") { run = 1 } END { exit !(made && run) }' "$1"
}

check_met() { # check_met FILE ID REF
	local path=${3%%:*} symbol=${3#*:}
	refs=$((refs + 1))
	[ -f "$path" ] || { wrong "$1" "$2" "no file $path"; return; }
	[ "$symbol" != "$3" ] || { wrong "$1" "$2" "$3 names no function or table"; return; }
	grep -qwF -- "$symbol" "$path" || wrong "$1" "$2" "no $symbol in $path"
}

check_tested() { # check_tested FILE ID REF
	local path=${3%%:*} name=${3#*:}
	refs=$((refs + 1))
	case $3 in
	tests/hostile:A[0-9]*)
		grep -qE "^@case\(\"$name\"," tests/hostile/*.py || wrong "$1" "$2" "no case $name in tests/hostile"
		return ;;
	esac
	[ -f "$path" ] || { wrong "$1" "$2" "no file $path"; return; }
	case $3 in
	tests/replay/stories/*.scn | tests/e2e/*.sh) return ;;
	*_test.c:\"*\") grep -qF -- "$name" "$path" || wrong "$1" "$2" "no row $name in $path" ;;
	*_test.c:*) has_test_function "$path" "$name" || wrong "$1" "$2" "no test $name in $path" ;;
	*) wrong "$1" "$2" "$3 is no test: a function or a row of a *_test.c, a story, an e2e script, tests/hostile:A1" ;;
	esac
}
