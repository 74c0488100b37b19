#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does check-br.sh find what it is for? A page without fault passes; each broken row is found and named.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/docs" "$work/src/pki"
cp "$tools/check-br.sh" "$tools/refs.sh" "$work/tools"
printf 'const struct lint_rule lint_rules_form[] = {\n\t{ "serial", LINT_ERROR, ALL, "BR 7", 1, "a serial",\n\t  check_serial },\n\t{ "names", LINT_NOTICE, ALL, "BR 7", 1, "names", check_names },\n};\n' \
	>"$work/src/pki/lint_form.c"
printf '\t{ .rule = "serial" },\n\t{ .rule = "names" },\nstatic void each_rule(void **state)\n\tcmocka_unit_test(each_rule),\n' \
	>"$work/src/pki/lint_rules_test.c"

test='`src/pki/lint_rules_test.c:each_rule`'
serial='| serial | error | all | x | BR 7 | R1 | `src/pki/lint_form.c:check_serial` |'
names='| names | notice | all | x | BR 7 | R1 | `src/pki/lint_form.c:check_names` |'

# try WORDS REQUIREMENT RULE...: WORDS empty: passes; otherwise fails and says so
try() {
	local words=$1 row=$2 got=pass
	shift 2
	{
		printf '## Requirements\n\n| rule | what | met in | tested in |\n|---|---|---|---|\n%s\n\n' "$row"
		printf '## Rules of the lint\n\n| rule | level | holds for | wanted | source | of | met in |\n|---|---|---|---|---|---|---|\n'
		printf '%s\n' "$@"
	} >"$work/docs/baseline-requirements.md"
	"$work/tools/check-br.sh" >"$work/said" || got=fail
	if { [ -z "$words" ] && [ "$got" = fail ]; } ||
		{ [ -n "$words" ] && { [ "$got" = pass ] || ! grep -qF -- "$words" "$work/said"; }; }; then
		echo "check-br.sh: $row $* must ${words:+fail with: }${words:-pass}"
		cat "$work/said"
		exit 1
	fi
}

good="| R1 | x | \`lint:serial\` \`src/pki/lint_form.c:check_serial\` | $test |"
try '' "$good" "$serial" "$names"
try 'no rule gone in the lint' "| R1 | x | \`lint:gone\` | $test |" "$serial" "$names"
try 'no check in src/pki/lint_form.c' "| R1 | x | \`src/pki/lint_form.c:check\` | $test |" "$serial" "$names"
try 'is met nowhere' "| R1 | x | | $test |" "$serial" "$names"
try 'has no test' '| R1 | x | `lint:serial` | |' "$serial" "$names"
try 'no test other_rule' '| R1 | x | `lint:serial` | `src/pki/lint_rules_test.c:other_rule` |' "$serial" "$names"
try 'names: is a rule of the lint that the table does not have' "$good" "$serial"
try 'gone: is no rule of the lint' "$good" "$serial" "$names" '| gone | error | all | x | BR 7 | R1 | `src/pki/lint_form.c:check_serial` |'
try 'stands there twice' "$good" "$serial" "$serial" "$names"
try 'the lint has it as error' "$good" "${serial/error/notice}" "$names"
try 'the lint has it as notice' "$good" "$serial" "${names/check_names/check_serial}"
sed -i '/"names"/d' "$work/src/pki/lint_rules_test.c"
try 'no certificate in a test breaks it' "$good" "$serial" "$names"
echo 'check-br.sh finds what it is for'
