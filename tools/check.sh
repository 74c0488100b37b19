#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh [GROUP|STEP]...: everything that CI runs, cheapest first; no argument: all of it. A failing step does not stop
# the others. The last line counts: "N passed, N failed"; the exit code is 0 only when nothing failed. A step counts as
# one, a step that runs test programs as many as they have tests. Logs and builds lie in build/check ($CAIRN_CHECK_DIR).
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
out=${CAIRN_CHECK_DIR:-build/check}
mkdir -p "$out/logs" || exit 2
out=$(cd "$out" && pwd)
unset CC CFLAGS LDFLAGS MAKEFLAGS MAKELEVEL
export LC_ALL=C.UTF-8
jobs=$(nproc)

static_steps='format layers rfc br spdx headers shell cppcheck'
unit_steps='build-gcc globals roles man tests pgsql counts'
sanitizer_steps='build-clang tidy asan tsan valgrind fuzz'
e2e_steps='build-gcc e2e'
all_steps='format layers rfc br spdx headers shell cppcheck build-gcc globals roles man tests pgsql counts build-clang tidy asan tsan valgrind fuzz
	coverage e2e e2e-asan kill'

# --- helpers ---------------------------------------------------------------------------------------------------------

c_files() { # c_files [PATTERN]...: tracked, or new and not ignored, so that a check at home sees what will be committed
	git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r f; do
		[ -f "$f" ] && printf '%s\n' "$f"
	done
}

build() { # build NAME [meson option]...: CC is taken from the environment
	local name=$1
	shift
	# A folder that an interrupted setup left behind has no build.ninja and cannot be gone on with.
	[ -f "$out/$name/build.ninja" ] || { rm -rf "${out:?}/$name" && meson setup "$out/$name" "$@"; }
	ninja -C "$out/$name" -j "$jobs"
}

need_build() {
	[ -f "$out/$1/build.ninja" ] || { echo "there is no build in $out/$1: its step failed"; return 1; }
}

run_tests() { # run_tests NAME [meson test option]...: runs, and counts the tests inside the programs
	local name=$1 rc=0
	shift
	rm -f "$out/$name"/meson-logs/*.json
	meson test -C "$out/$name" --no-rebuild --num-processes "$jobs" --print-errorlogs "$@" || rc=$?
	python3 tools/count-tests.py "$out/$name"/meson-logs/*.json || rc=1
	return "$rc"
}

# --- steps: each prints what was wrong and returns non-zero ------------------------------------------------------------

step_format() {
	c_files 'src/*.[ch]' 'tests/*.[ch]' 'fuzz/*.[ch]' 'bench/*.[ch]' 'include/*.h' | xargs clang-format --dry-run -Werror
}

step_layers() {
	tools/check-layers.sh
	tools/check-layers-test.sh
}

step_rfc() { # every clause of the RFCs is met somewhere and tested by something that is there
	tools/check-rfc.sh
	tools/check-rfc-test.sh
}

step_br() { # the same for the Baseline Requirements, and for each rule of the lint a certificate that breaks it
	tools/check-br.sh
	tools/check-br-test.sh
}

step_spdx() {
	local bad=0 f
	while IFS= read -r f; do
		head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$f: no SPDX line at its top"; bad=1; }
	done < <(c_files '*.[ch]' '*.sh' '*.py' '*.sql' '*meson.build' 'Makefile' '.ci/run')
	return "$bad"
}

step_headers() { # STYLE 2: a header includes what it needs
	local bad=0 h
	# shellcheck disable=SC2046 # flags are words
	while IFS= read -r h; do
		gcc -std=gnu17 -D_GNU_SOURCE '-DCAIRN_VERSION="0"' -Isrc -Iinclude -Itests/support -Itests/world $(pkg-config --cflags libcrypto yaml-0.1 \
			sqlite3 libcurl cmocka p11-kit-1) -Wall -Wno-unused-function -Werror -fsyntax-only -x c "$h" || bad=1
	done < <(c_files 'src/*.h' 'include/*.h' 'fuzz/*.h' 'tests/*.h' 'bench/*.h')
	return "$bad"
}

step_shell() {
	c_files '*.sh' '.ci/run' | xargs shellcheck -S warning
}

step_cppcheck() {
	# cppcheck 2.10 cannot read __VA_OPT__ or an attribute behind a member: it gets a copy without them.
	local copy=$out/cppcheck-copy
	rm -rf "$copy"
	mkdir -p "$copy" "$out/cppcheck"
	cp -R src tests bench "$copy"
	sed -i 's/(const struct kv\[\]){ __VA_ARGS__ __VA_OPT__.*/NULL)/' "$copy/src/base/log.h"
	find "$copy" -name '*.[ch]' -exec sed -i 's/ *__attribute__((warn_unused_result))//' {} +
	! grep -rn '__VA_OPT__' "$copy" --include='*.[ch]' --exclude='*_test.c' || { echo 'cppcheck cannot read these'; return 1; }
	(
		cd "$copy"
		find src tests bench -name '*.c' ! -name '*_test.c' | sort >cppcheck.files
		cppcheck -q -j "$jobs" --std=c11 --language=c --platform=unix64 --library=posix,gnu,openssl \
			--enable=warning,portability --inline-suppr --suppressions-list="$root/tools/cppcheck.supp" \
			--error-exitcode=1 --template='{file}:{line}: {severity}: {message} [{id}]' \
			--cppcheck-build-dir="$out/cppcheck" -Isrc -D_GNU_SOURCE -D__GNUC__=12 '-DCAIRN_VERSION="0"' \
			--file-list=cppcheck.files
	)
}

step_man() { # those in the tree and the one that is made from the settings' table
	local pages
	need_build gcc
	pages=$(c_files 'man/*.[1-9]')
	[ -n "$pages" ] || { echo 'no manual pages found in man/'; return 1; }
	# shellcheck disable=SC2086 # file names without blanks
	mandoc -Tlint -Wwarning $pages "$out/gcc/src/cmd/cairn.conf.5"
}

step_build_gcc() {
	CC=gcc build gcc -Dwerror=true
}

step_build_clang() {
	CC=clang build clang -Dwerror=true
}

step_globals() { # STYLE 14
	need_build gcc
	tools/check-globals.sh "$out/gcc"
}

step_roles() { # a role does not even contain the code that it must not run
	need_build gcc
	tools/check-roles.sh "$out/gcc"
}

step_tidy() {
	need_build clang
	local rc=0 supp=$out/tidy.supp
	sed 's/[ \t]*#.*//; /^$/d' tools/tidy.supp >"$supp"
	# One process for some files each; what it finds is judged here, by file and check.
	c_files 'src/*.c' | grep -v '_test\.c$' | xargs -P "$jobs" -n 4 clang-tidy -p "$out/clang" --quiet >"$out/tidy.out" 2>"$out/tidy.err" || rc=$?
	grep -E ': (warning|error): .*\[[A-Za-z0-9.,-]+\]$' "$out/tidy.out" | sed "s|^[^:]*$root/||; s|^\(\.\./\)*[^:]*/\(src/[^:]*:\)|\2|" |
		sort -u >"$out/tidy.found" || true
	awk 'NR == FNR { known[$1, $2] = 1; next }
		{ file = $0; sub(/:.*/, "", file); check = $0; sub(/.*\[/, "", check); sub(/[],].*/, "", check)
		  if (!((file, check) in known)) { print; bad = 1 } }
		END { exit bad }' "$supp" "$out/tidy.found" || { echo 'clang-tidy: the lines above (notes are in build/check/tidy.out)'; return 1; }
	[ "$rc" -eq 0 ] || { tail -n 20 "$out/tidy.err"; return 1; }
}

step_tests() {
	need_build gcc
	run_tests gcc --timeout-multiplier 2
}

on_postgres() { # on_postgres BUILD MULTIPLIER SUITE...: these tests on a PostgreSQL server that is started for them
	local name=$1 multiplier=$2 suites=() s
	shift 2
	for s in "$@"; do suites+=(--suite "$s"); done
	"$root/tests/pg/with-postgres.sh" meson test -C "$out/$name" --no-rebuild --num-processes "$jobs" --print-errorlogs \
		"${suites[@]}" --logbase pgsql --timeout-multiplier "$multiplier"
}

step_pgsql() { # what has a store in it, once more
	need_build gcc
	on_postgres gcc 4 store world replay
}

step_asan() { # with the failpoints, so that the signer is killed at each of them
	CC=gcc build asan -Dfailpoints=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1
	export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1:abort_on_error=1
	export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
	run_tests asan --timeout-multiplier 4
}

step_tsan() { # the folders with threads
	CC=gcc build tsan -Db_sanitize=thread -Db_lundef=false -Doptimization=1
	local fixed=()
	# Its shadow memory does not fit under the address randomization of some kernels.
	setarch "$(uname -m)" -R true 2>/dev/null && fixed=(setarch "$(uname -m)" -R)
	export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:suppressions=$root/tools/tsan.supp"
	export -f run_tests
	export out jobs
	"${fixed[@]}" bash -ec 'run_tests tsan --timeout-multiplier 4 --suite net --suite http --suite store --suite admin --suite bus --suite validate --suite acme'
}

step_valgrind() { # uninitialised memory, which no sanitizer of gcc sees
	need_build gcc
	local tests=()
	# Not those that spend their minutes in OpenSSL: making RSA keys and tables, stretching passphrases, a verification a bit.
	mapfile -t tests < <(meson test -C "$out/gcc" --list --suite crypto --suite pki 2>/dev/null | sed -n 's/^.* \/ //p' |
		grep -vxE 'crypto/(key_list|key_file|sig|key|key_check|p256)|pki/(lint_rules|tbs)')
	[ "${#tests[@]}" -gt 8 ] || { echo "only these tests were found: ${tests[*]}"; return 1; }
	run_tests gcc --timeout-multiplier 10 \
		--wrap='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes' \
		"${tests[@]}"
}

step_counts() { # no step of an issuance takes 5 % more instructions than is written down
	need_build gcc
	tests/counts/check.sh "$out/gcc"
}

step_fuzz() { # not to find much in so short a time: to see that each target works and its corpus passes
	CC=clang build fuzz -Dfuzz=true -Dtests=false
	tools/run-fuzz.sh "${CAIRN_FUZZ_SECONDS:-5}" "$out/fuzz"
}

step_coverage() {
	CC=gcc build coverage -Db_coverage=true -Doptimization=0
	find "$out/coverage" -name '*.gcda' -delete
	run_tests coverage --timeout-multiplier 4 >"$out/coverage.tests" || { tail -n 40 "$out/coverage.tests" | sed 's/^counted/in all/'; return 1; }
	# What the operator's commands do is tried end to end only.
	local tests=() t
	for t in 31-wrong 40-eab 72-grant 73-restore 74-issuer 75-audit; do tests+=("$root/tests/e2e/$t.sh"); done
	e2e_run coverage 300 "${tests[@]}"
	on_postgres coverage 8 store >"$out/coverage.pgsql" 2>&1 || { tail -n 40 "$out/coverage.pgsql"; return 1; }
	python3 tools/coverage.py "$out/coverage" tools/coverage-floor.txt
}

e2e_one() { # e2e_one BUILD TIMEOUT TEST: what came of it goes to a file beside its log
	local build=$1 limit=$2 t=$3 name rc=0 start=$SECONDS
	name=$(basename "$t" .sh)
	CAIRN_BUILD=$out/$build timeout -k 30 "$limit" "$t" >"$out/logs/e2e-$build-$name.log" 2>&1 </dev/null || rc=$?
	echo "$rc $((SECONDS - start))" >"$out/logs/e2e-$build-$name.rc"
}

# Those that put the machine under load run alone; of the others as many at once as there are cores, where each has a network
# of its own: most of them wait most of the time.
e2e_run() { # e2e_run BUILD TIMEOUT TEST...
	local build=$1 limit=$2 t name rc secs ok=0 bad=0 width=1 running=0
	shift 2
	if unshare --net true 2>/dev/null || unshare --map-root-user --net true 2>/dev/null; then width=$jobs; fi
	for t in "$@"; do
		rm -f "$out/logs/e2e-$build-$(basename "$t" .sh).rc"
		case $t in *-kill.sh | *-hostile*.sh) e2e_one "$build" "$limit" "$t" ;; esac
	done
	for t in "$@"; do
		case $t in *-kill.sh | *-hostile*.sh) continue ;; esac
		[ "$running" -lt "$width" ] || { wait -n || true; running=$((running - 1)); }
		e2e_one "$build" "$limit" "$t" &
		running=$((running + 1))
	done
	wait
	for t in "$@"; do
		name=$(basename "$t" .sh)
		read -r rc secs <"$out/logs/e2e-$build-$name.rc" || { rc=125; secs=0; }
		if [ "$rc" -eq 0 ]; then
			ok=$((ok + 1))
			echo "$name: ok ($secs s)"
		else
			bad=$((bad + 1))
			[ "$rc" -ne 124 ] || echo "$name: took longer than $limit s"
			echo "$name: FAILED with exit code $rc; the end of $out/logs/e2e-$build-$name.log:"
			tail -n 40 "$out/logs/e2e-$build-$name.log" | sed 's/^/    /'
		fi
	done
	echo "counted: $ok passed, $bad failed"
	[ "$bad" -eq 0 ]
}
e2e_tests() {
	local t
	for t in tests/e2e/*.sh; do
		[ "$t" = tests/e2e/lib.sh ] || { [ -x "$t" ] && printf '%s\n' "$root/$t"; }
	done
	return 0
}

step_e2e() {
	need_build gcc
	local tests=()
	mapfile -t tests < <(e2e_tests)
	[ "${#tests[@]}" -gt 0 ] || { echo 'no end-to-end tests found in tests/e2e'; return 1; }
	KILLS=${KILLS:-100} e2e_run gcc "${CAIRN_E2E_TIMEOUT:-300}" "${tests[@]}"
}

step_e2e_asan() { # those that tests/e2e/asan.txt names, one a line
	need_build asan
	local tests=() t
	[ -f tests/e2e/asan.txt ] || { echo 'there is no tests/e2e/asan.txt'; return 1; }
	while IFS= read -r t; do
		t=${t%%#*}
		t=${t//[[:space:]]/}
		[ -z "$t" ] || tests+=("$root/tests/e2e/${t%.sh}.sh")
	done <tests/e2e/asan.txt
	[ "${#tests[@]}" -gt 0 ] || { echo 'tests/e2e/asan.txt names no test'; return 1; }
	export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1:abort_on_error=1
	export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
	e2e_run asan 600 "${tests[@]}"
}

step_kill() { # at random moments under load, and at every step of an issuance
	need_build gcc
	timeout -k 30 900 python3 tests/kill/kill.py "$out/gcc" --kills "${CAIRN_KILLS:-40}" --seed "${CAIRN_KILL_SEED:-1}"
	need_build asan # which has the failpoints
	timeout -k 30 600 python3 tests/kill/steps.py "$out/asan"
}

# --- running them --------------------------------------------------------------------------------------------------------

title() {
	case "$1" in
	format) echo 'clang-format' ;;
	layers) echo 'folders include only what tools/layers.txt allows' ;;
	rfc) echo 'each clause in docs/rfc has a place and a test' ;;
	br) echo 'each Baseline Requirement and each rule of the lint has a place and a test' ;;
	spdx) echo 'license lines' ;;
	headers) echo 'each header compiles alone' ;;
	shell) echo 'shellcheck' ;;
	cppcheck) echo 'cppcheck' ;;
	roles) echo 'no role contains code that it must not run' ;;
	man) echo 'manual pages' ;;
	build-gcc) echo 'build with gcc, warnings are errors' ;;
	globals) echo 'no writable global data' ;;
	tests) echo 'unit and replay tests' ;;
	build-clang) echo 'build with clang, warnings are errors' ;;
	tidy) echo 'clang-tidy' ;;
	asan) echo 'the same tests under AddressSanitizer and UBSan' ;;
	tsan) echo 'tests of the folders with threads under ThreadSanitizer' ;;
	pgsql) echo 'store, worlds and stories on PostgreSQL' ;;
	counts) echo 'instructions of each step of an issuance' ;;
	valgrind) echo 'crypto and pki under valgrind' ;;
	fuzz) echo 'every fuzz target for some seconds' ;;
	coverage) echo 'line coverage of unit and replay tests, and some end to end' ;;
	e2e) echo 'end to end: real processes, clients that are not ours' ;;
	e2e-asan) echo 'end to end with sanitized programs' ;;
	kill) echo 'kill -9 at random moments under load' ;;
	*) return 1 ;;
	esac
}

passed=0
failed=0
failures=''

run_step() {
	local name=$1 log=$out/logs/$1.log rc p f line start=$SECONDS
	printf '== %-11s %s\n' "$name" "$(title "$name")"
	# Not in a condition: there bash would ignore set -e inside.
	(
		set -e -o pipefail
		"step_${name//-/_}"
	) >"$log" 2>&1 </dev/null
	rc=$?
	line=$(grep -E '^(counted: )?[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
	p=$(sed -n 's/^\(counted: \)\{0,1\}\([0-9]*\) passed.*/\2/p' <<<"$line")
	f=$(sed -n 's/.*passed, \([0-9]*\) failed.*/\1/p' <<<"$line")
	if [ "$rc" -eq 0 ] && [ "${f:-0}" -eq 0 ]; then
		passed=$((passed + ${p:-1}))
		printf '   PASS  %s%s s\n' "${p:+$p tests, }" "$((SECONDS - start))"
	else
		passed=$((passed + ${p:-0}))
		[ "${f:-0}" -gt 0 ] || f=1
		failed=$((failed + f))
		failures="$failures $name"
		tail -n "${CAIRN_CHECK_TAIL:-60}" "$log" | sed 's/^/   | /'
		printf '   FAIL  %s s; all of it: %s\n' "$((SECONDS - start))" "$log"
	fi
}

main() {
	# All of it is read before it runs: the script may be edited meanwhile.
	steps=''
	[ $# -gt 0 ] || set -- all
	for word in "$@"; do
		case "$word" in
		all) steps="$steps $all_steps" ;;
		static) steps="$steps $static_steps" ;;
		unit) steps="$steps $unit_steps" ;;
		sanitizers) steps="$steps build-gcc $sanitizer_steps" ;;
		e2e) steps="$steps $e2e_steps" ;;
		*) steps="$steps $word" ;;
		esac
	done
	for name in $steps; do
		title "$name" >/dev/null || {
			echo "check: \"$name\" is no step; groups: all static unit sanitizers e2e; steps:" $all_steps >&2
			exit 2
		}
	done

	tools/deps.sh check || {
		echo 'check: cannot go on without these packages' >&2
		echo '0 passed, 1 failed'
		exit 1
	}
	began=$SECONDS
	for name in $steps; do
		run_step "$name"
	done
	printf '== %d min %02d s in all\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
	[ -z "$failures" ] || echo "failed:$failures"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

{ main "$@"; exit; }
