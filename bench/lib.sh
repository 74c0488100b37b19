# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# lib.sh: what the scripts here and tests/soak share: free ports, a throw-away CA, what its programs use, and an end that leaves
# nothing behind. The folder of the build is in $build before, and `set -eu` is on.
: "${build:?}"

bench_begin() { # a folder in $work; what is listed in $started ends with the script
	work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-bench.XXXXXX")
	chmod 755 "$work"
	started=''
	trap bench_cleanup EXIT
	trap 'exit 130' INT TERM
}

# shellcheck disable=SC2317 # called by the trap
bench_cleanup() {
	code=$?
	trap - EXIT
	for pid in $started; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in $started; do # all at once first: a database waits for who is connected to it
		wait "$pid" 2>/dev/null || true
	done
	if [ "$code" != 0 ] && [ -s "$work/serve.log" ]; then
		echo "--- the end of the log" >&2
		tail -n 20 "$work/serve.log" | cut -c 1-400 >&2
	fi
	[ -n "${BENCH_KEEP:-}" ] || rm -rf "$work"
	exit "$code"
}
needs() { # needs PROGRAM...: built
	for program in "$@"; do
		[ -x "$program" ] || { echo "$0: $program is not there; build first" >&2; exit 2; }
	done
}

free_ports() { # free_ports COUNT: the first of so many that nobody listens on
	first=$((20000 + $$ % 20000))
	while ss -Htln 2>/dev/null | grep -qE ":($(seq -s '|' "$first" "$((first + $1 - 1))")) "; do
		first=$((first + $1))
	done
	echo "$first"
}

number() { # number KEY FILE: the first in the report, which is that of whole issuances
	grep -o "\"$1\":[0-9.]*" "$2" | head -1 | cut -d: -f2
}

answers() { # answers URL CAFILE: within 20 s
	for _ in $(seq 200); do
		curl -sf --cacert "$2" -o /dev/null "$1" && return 0
		sleep 0.1
	done
	echo "$0: $1 does not answer" >&2
	return 1
}

ca_no_limits() { # ca_no_limits CONFIGURATION: they would be what is measured
	sed -i 's/^    names: \[.*\.load\.test.*\]$/&\n    orders-per-hour: 0\n    accounts-per-hour: 0/' "$1"
}

ca_init() { # ca_init API-PORT HTTP-PORT OPTION...: into $ca, or $work/ca; sets $url and $root
	ca=${ca:-$work/ca} port=$1 challenge=$2
	shift 2
	"$build/src/cmd/cairn" init "$ca" --host localhost,127.0.0.1 --listen "127.0.0.1:$port" --allow '*.load.test' \
		--static '*.load.test=127.0.0.1' --allow-address 127.0.0.0/8 --http-port "$challenge" --root-unencrypted "$@" \
		>"$work/init.log"
	ca_no_limits "$ca/cairn.conf"
	root=$ca/root/root.pem
	# shellcheck disable=SC2034 # the scripts' own
	url=https://localhost:$port/directory
}

ca_serve() { # ca_serve COMMAND...: with what stands before "cairn"; sets $serve when it answers
	"$@" "$build/src/cmd/cairn" serve -c "$ca/cairn.conf" >>"$work/serve.log" 2>&1 &
	serve=$!
	started="$started $serve"
	answers "$url" "$root"
}

programs() { # the supervisor, its programs, and theirs
	for pid in "$serve" $(pgrep -P "$serve"); do
		echo "$pid"
		[ "$pid" = "$serve" ] || pgrep -P "$pid" || true
	done
}

kib_of() { # kib_of FIELD: of smaps_rollup, over all programs
	for pid in $(programs); do
		grep "^$1:" "/proc/$pid/smaps_rollup" 2>/dev/null || true
	done | awk '{ sum += $2 } END { print sum + 0 }'
}

cpu_us() { # cpu_us PID...: what their threads have used, all of which live as long as they
	for pid in "$@"; do
		cat "/proc/$pid/task/"*/schedstat
	done | awk '{ sum += $1 } END { printf "%.0f\n", sum / 1000 }'
}
