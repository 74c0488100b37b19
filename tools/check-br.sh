#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check-br.sh [FILE]: docs/baseline-requirements.md (or FILE) says where each requirement is met and tested: is all of that
# there? And its table of the lint's rules has each rule of src/pki/lint_*.c, each with a certificate that breaks it.
# check-br-test.sh tests this script.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/refs.sh
file=${1:-docs/baseline-requirements.md}
requirements=0
declare -A rules=() listed=()

read_rules() { # those of the lint, as NAME -> FILE:FUNCTION; a rule of the table may go over several lines
	local source text
	for source in src/pki/lint_*.c; do
		case $source in *_test.c) continue ;; esac
		text=$(sed -n '/^const struct lint_rule /,/^};/p' "$source" | tr '\n\t' '  ')
		while [[ $text =~ \{\ +\"([a-z0-9-]+)\",\ +LINT_(ERROR|NOTICE),[^{}]*[,\ ]([a-z0-9_]+)\ +\}(.*)$ ]]; do
			rules[${BASH_REMATCH[1]}]="${BASH_REMATCH[2],,} $source:${BASH_REMATCH[3]}"
			text=${BASH_REMATCH[4]}
		done
	done
}

check_ref() { # check_ref ID REF
	case $2 in
	lint:*) [ -n "${rules[${2#lint:}]:-}" ] || wrong "$file" "$1" "no rule ${2#lint:} in the lint" ;;
	*) check_met "$file" "$1" "$2" ;;
	esac
}

check_requirement() { # check_requirement ID WORDS MET TESTED
	local ref
	requirements=$((requirements + 1))
	[ -n "$2" ] || wrong "$file" "$1" 'says nothing'
	split_refs "$3"
	[ "${#cell[@]}" -gt 0 ] || wrong "$file" "$1" 'is met nowhere'
	for ref in "${cell[@]}"; do check_ref "$1" "$ref"; done
	split_refs "$4"
	[ "${#cell[@]}" -gt 0 ] || wrong "$file" "$1" 'has no test'
	for ref in "${cell[@]}"; do check_tested "$file" "$1" "$ref"; done
}

is_broken_somewhere() { # is_broken_somewhere RULE: a row of a test names it
	case $1 in
	asked-*) grep -qF "\"$1\"" src/pki/lint_test.c ;;
	*) grep -qF ".rule = \"$1\"" src/pki/lint_rules_test.c ;;
	esac
}

check_rule() { # check_rule NAME LEVEL MET
	[ -n "${rules[$1]:-}" ] || { wrong "$file" "$1" 'is no rule of the lint'; return; }
	[ -z "${listed[$1]:-}" ] || wrong "$file" "$1" 'stands there twice'
	listed[$1]=1
	split_refs "$3"
	[ "${rules[$1]}" = "$2 ${cell[0]:-}" ] || wrong "$file" "$1" "the lint has it as ${rules[$1]}"
	is_broken_somewhere "$1" || wrong "$file" "$1" 'no certificate in a test breaks it'
}

read_tables() {
	local line part='' a b c d g
	while IFS= read -r line; do
		case $line in
		'## Requirements') part=requirements ;;
		'## Rules of the lint') part=rules ;;
		'## '*) part='' ;;
		'| rule |'* | '|--'*) ;;
		'|'*)
			IFS='|' read -r _ a b c d _ _ g _ <<<"$line"
			read -r a <<<"$a"; read -r b <<<"$b"
			case $part in
			requirements) check_requirement "$a" "$b" "$c" "$d" ;;
			rules) check_rule "$a" "$b" "$g" ;;
			*) wrong "$file" "$a" 'stands under no heading' ;;
			esac ;;
		esac
	done <"$file"
}

read_rules
[ -f "$file" ] || { echo "no file $file"; exit 1; }
read_tables
for rule in "${!rules[@]}"; do
	[ -n "${listed[$rule]:-}" ] || wrong "$file" "$rule" 'is a rule of the lint that the table does not have'
done
[ "$requirements" -gt 0 ] && [ "${#rules[@]}" -gt 0 ] || { echo "$file: no requirements or no rules found"; bad=1; }
echo "$requirements requirements and ${#rules[@]} rules of the lint ($refs references)"
exit "$bad"
