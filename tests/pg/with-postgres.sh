#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# with-postgres.sh COMMAND...: runs it with a PostgreSQL server of its own, on a Unix socket in a temporary folder, and
# takes both away again. CAIRN_TEST_PG is the URL of an empty database there, CAIRN_TEST_PG_DIR the folder (the socket,
# server.log, and data), CAIRN_TEST_PG_PID the server. Nothing is synced to the disk: for tests alone.
set -u

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
[ -x "${bin:-}/postgres" ] || { echo "with-postgres.sh: there is no PostgreSQL server here (apt install postgresql)" >&2; exit 77; }

base=${TMPDIR:-/tmp}
[ -n "${TMPDIR:-}" ] || [ ! -d /dev/shm ] || base=/dev/shm
dir=$(mktemp -d "$base/cairn-pg-XXXXXX") || exit 1
chmod 755 "$dir"
mkdir "$dir/data" "$dir/run"
as=()
if [ "$(id -u)" = 0 ]; then # the server refuses to run as root
	chown postgres "$dir/data" "$dir/run"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
server=
cleanup() {
	[ -z "$server" ] || { kill -INT "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

(cd "$dir" && "${as[@]}" "$bin/initdb" -D "$dir/data" -U cairn -A trust --no-sync --locale=C.UTF-8 --encoding=UTF8) \
	>"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
# exec inside the subshell: the server's pid is the one that is waited for
(cd "$dir" && exec "${as[@]}" "$bin/postgres" -D "$dir/data" -k "$dir/run" -c listen_addresses= -c fsync=off \
	-c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB -c max_locks_per_transaction=512 \
	-c max_pred_locks_per_transaction=256 ${CAIRN_TEST_PG_OPTIONS:-}) >"$dir/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
	[ -S "$dir/run/.s.PGSQL.5432" ] && "$bin/pg_isready" -q -h "$dir/run" && break
	sleep 0.1
done
"$bin/createdb" -h "$dir/run" -U cairn cairn || { cat "$dir/server.log" >&2; exit 1; }

CAIRN_TEST_PG="postgresql://cairn@/cairn?host=$dir/run" CAIRN_TEST_PG_DIR=$dir CAIRN_TEST_PG_PID=$server "$@"
status=$?
[ $status = 0 ] || [ -z "${CAIRN_TEST_PG_LOG:-}" ] || cat "$dir/server.log" >&2
exit $status
