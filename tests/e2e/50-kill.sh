#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# 50-kill.sh [BUILD]: kill -9 of each of the four processes at random moments while 16 clients order certificates; then
# everything must end by itself and the oracle (tests/kill) must find every promise kept. About two minutes.
#   CAIRN_BUILD  build folder, when it is not told (build/main)
#   KILLS        how many, over all four (200)
#   KILL_SEED    the seed that a run has printed, for the same victims and pauses again
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
build=${1:-${CAIRN_BUILD:-$here/../../build/main}}
for program in src/cmd/cairn src/cmd/cairn-api src/cmd/cairn-validator src/cmd/cairn-signer tests/cairn-load tests/oracle; do
	[ -x "$build/$program" ] || {
		echo "there is no $build/$program: build first, with -Dtests=true" >&2
		exit 1
	}
done
set -- --kills "${KILLS:-200}"
[ -z "${KILL_SEED:-}" ] || set -- "$@" --seed "$KILL_SEED"
exec python3 -B "$here/../kill/kill.py" "$build" "$@"
