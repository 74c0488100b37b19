#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does check-rfc.sh find what it is for? A table without fault passes; each broken row is found and named.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/docs/rfc" "$work/docs/decisions" "$work/src" "$work/tests/hostile" "$work/tests/e2e"
cp "$tools/check-rfc.sh" "$tools/refs.sh" "$work/tools"
printf 'fallible gate_url(void)\n' >"$work/src/gate.c"
printf 'static void wrong_urls_are_refused(void **state)\nstatic void nobody_runs_this(void **state)\n' >"$work/src/gate_test.c"
printf '\t{ "a row", 400 },\n\tcmocka_unit_test(wrong_urls_are_refused),\n' >>"$work/src/gate_test.c"
printf '@case("A7", "urls")\n' >"$work/tests/hostile/jws.py"
touch "$work/docs/decisions/0001-why.md" "$work/tests/e2e/10-client.sh"

met='`src/gate.c:gate_url`' test='`src/gate_test.c:wrong_urls_are_refused`'

# try WORDS ROW...: WORDS empty: passes; otherwise fails and says so
try() {
	local words=$1 got=pass
	shift
	{ printf '## Clauses\n\n| id | level | what | met in | tested in |\n|---|---|---|---|---|\n' && printf '%s\n' "$@"; } >"$work/docs/rfc/rfc8555.md"
	"$work/tools/check-rfc.sh" >"$work/said" || got=fail
	if [ -z "$words" ] && [ "$got" = fail ]; then
		echo "check-rfc.sh: $* must pass"
		cat "$work/said"
		exit 1
	fi
	if [ -n "$words" ] && { [ "$got" = pass ] || ! grep -qF -- "$words" "$work/said"; }; then
		echo "check-rfc.sh: $* must fail with: $words"
		cat "$work/said"
		exit 1
	fi
}

try '' "| 8555-6.4-1 | MUST | x | $met | $test |"
try '' "| 8555-6.4-1 | MUST | x | $met | \`src/gate_test.c:\"a row\"\` \`tests/hostile:A7\` \`tests/e2e/10-client.sh\` |"
try '' "| 8555-6.4-1 | SHOULD | deviates: [why](../decisions/0001-why.md) | $met | $test |"
try '' "| 8555-6.4-1 | MUST | x | $met | $test |" '## Open' '| 8555-6.4-2 | MUST | y |' '## Not for a server' '| 8555-6.4-3 | MUST | z |'
try 'open: 8555-6.4-2' "| 8555-6.4-1 | MUST | x | $met | |" '## Open' '| 8555-6.4-2 | MUST | y |'
try 'has no test' "| 8555-6.4-1 | MUST | x | $met | |"
try 'has no test' "| 8555-6.4-1 | MUST | x | $met | later |"
try 'is met nowhere' "| 8555-6.4-1 | MUST | x | | $test |"
try 'no file src/gone.c' "| 8555-6.4-1 | MUST | x | \`src/gone.c:gate_url\` | $test |"
try 'no gate in src/gate.c' "| 8555-6.4-1 | MUST | x | \`src/gate.c:gate\` | $test |"
try 'names no function' "| 8555-6.4-1 | MUST | x | \`src/gate.c\` | $test |"
try 'no test gone' "| 8555-6.4-1 | MUST | x | $met | \`src/gate_test.c:gone\` |"
try 'no test nobody_runs_this' "| 8555-6.4-1 | MUST | x | $met | \`src/gate_test.c:nobody_runs_this\` |"
try 'no row "another row"' "| 8555-6.4-1 | MUST | x | $met | \`src/gate_test.c:\"another row\"\` |"
try 'no case A70' "| 8555-6.4-1 | MUST | x | $met | \`tests/hostile:A70\` |"
try 'no file tests/e2e/11-gone.sh' "| 8555-6.4-1 | MUST | x | $met | \`tests/e2e/11-gone.sh\` |"
try 'is no test' "| 8555-6.4-1 | MUST | x | $met | $met |"
try 'level must' "| 8555-6.4-1 | must | x | $met | $test |"
try 'says nothing' "| 8555-6.4-1 | MUST | | $met | $test |"
try 'deviates without' "| 8555-6.4-1 | MUST | deviates | $met | $test |"
try 'no page docs/decisions/0009' "| 8555-6.4-1 | MUST | deviates: ../decisions/0009-gone.md | $met | $test |"
try 'stands there twice' "| 8555-6.4-1 | MUST | x | $met | $test |" "| 8555-6.4-1 | MUST | x | $met | $test |"
try 'is missing between' "| 8555-6.4-1 | MUST | x | $met | $test |" "| 8555-6.4-3 | MUST | x | $met | $test |"
try 'belongs to another file' "| 9773-4-1 | MUST | x | $met | $test |"
try 'is no id' "| 8555-6.4 | MUST | x | $met | $test |"
try 'more than five' "| 8555-6.4-1 | MUST | x | $met | $test | more |"
try 'under no heading' "| 8555-6.4-1 | MUST | x | $met | $test |" '## Elsewhere' "| 8555-6.4-2 | MUST | x | $met | $test |"
try 'no clauses found' 'nothing'
