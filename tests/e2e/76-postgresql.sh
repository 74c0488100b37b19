#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 76-postgresql.sh: a CA on PostgreSQL, directly and through pgbouncer in transaction mode: certificates are issued,
# revoked and listed; kill -9 of every program, and of the database, loses nothing; the sandbox stays closed.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
[ -x "${pg_bin:-}/postgres" ] || fail "there is no PostgreSQL server here (tools/deps.sh check)"
bouncer=$(command -v pgbouncer || echo "$tools_dir/pgbouncer/usr/sbin/pgbouncer")
[ -x "$bouncer" ] || fail "there is no pgbouncer here (tools/deps.sh check)"
pg=$work/pg
pg_pid=
as=()
mkdir -p "$pg/data" "$pg/run"
if [ "$(id -u)" = 0 ]; then # both refuse to run as root
	chown -R postgres "$pg"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
printf 'only for this test\n' >"$pg/password"
chmod 644 "$pg/password"
run 0 "$work/logs/initdb.log" env -C "$pg" "${as[@]}" "$pg_bin/initdb" -D "$pg/data" -U cairn -A scram-sha-256 --no-sync \
	--pwfile="$pg/password" --locale=C.UTF-8 --encoding=UTF8
read -r pg_port pool_port dead_port < <(free_ports 3)
password=$(cat "$pg/password")

pg_start() {
	spawn "$work/logs/postgres.log" env -C "$pg" "${as[@]}" "$pg_bin/postgres" -D "$pg/data" -k "$pg/run" \
		-c listen_addresses=127.0.0.1 -p "$pg_port"
	pg_pid=$spawned
	wait_until 20 "PostgreSQL answers" "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port"
}

pg_sql() {
	PGPASSWORD=$password "$pg_bin/psql" -X -A -t -q -h 127.0.0.1 -p "$pg_port" -U cairn -d "${pg_name:-cairn}" -c "$1"
}

ca_said_unavailable() {
	grep -q '"status":503' "$ca_log"
}

pg_start
pg_name=postgres pg_sql "CREATE DATABASE cairn"

note "init, and the first certificate"
# Two hosts, and a standby that is away, by their names: inside of the sandbox nobody can look one up.
ca_init --database "postgresql://cairn@localhost:$pg_port,127.0.0.1:$pg_port/cairn" --database-password-file "$pg/password"
ca_set standby "postgresql://cairn@localhost:$dead_port/cairn"
assert_eq "what init wrote" "$(grep -c "^  url: .*postgresql://cairn@" "$ca/cairn.conf")" 1
ca_start
issue one.e2e.test
first=$(serial_of "$agent_dir/certificates/one.e2e.test/cert.pem")
assert_eq "certificates" "$(pg_sql "SELECT serial FROM certificates")" "${first,,}"
[ ! -e "$ca/store/cairn.db" ] || fail "there is a file of SQLite, too"

note "kill -9 of all programs, and start"
pids="$ca_pid $(children_of "$ca_pid")"
for pid in $pids; do
	kill -KILL "$pid" 2>/dev/null || true
done
wait "$ca_pid" 2>/dev/null || true
ca_start
issue two.e2e.test

note "the database is killed and started again under the CA"
kill -QUIT "$pg_pid"
wait_until 10 "PostgreSQL ends" is_gone "$pg_pid"
spawn "$work/logs/three.log" "$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" \
	--standalone --http-port "$http_port" -d three.e2e.test
asking=$spawned
wait_until 15 "the client is told to come again" ca_said_unavailable
pg_start
wait_until 40 "the client that asked meanwhile has its end" is_gone "$asking"
check_key "$agent_dir/certificates/three.e2e.test/cert.pem" "$agent_dir/certificates/three.e2e.test/privkey.pem"
assert_eq "certificates" "$(pg_sql "SELECT count(*) FROM certificates")" 3

note "connections are cut while certificates are issued"
for _ in $(seq 10); do
	pg_sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cairn'" >/dev/null
	sleep 0.2
done &
cutter=$!
issue four.e2e.test
issue five.e2e.test
wait "$cutter"
assert_eq "certificates" "$(pg_sql "SELECT count(*), count(DISTINCT order_id) FROM certificates")" "5|5"

note "revocation"
run 0 "$work/logs/revoke.log" "$bin/cairn-agent" revoke --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" \
	--cert "$agent_dir/certificates/one.e2e.test/cert.pem"
assert_eq "revoked" "$(pg_sql "SELECT serial FROM certificates WHERE revoked_at > 0")" "${first,,}"

note "commands that are SQLite's say so"
run 1 "$work/logs/backup.log" "$bin/cairn" backup "$work/copy" -c "$ca/cairn.conf"
assert_has "cairn backup" "$work/logs/backup.log" "pg_dump"

note "a list, which would be the standby's"
run 0 "$work/logs/eab.log" "$bin/cairn" eab list -c "$ca/cairn.conf"
is_running "$ca_pid" || fail "the CA ended"
ca_stop

note "through pgbouncer in transaction mode"
cat >"$pg/bouncer.ini" <<INI
[databases]
cairn = host=127.0.0.1 port=$pg_port dbname=cairn user=cairn password='$password'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pool_port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_reset_query_always = 1
INI
chmod 644 "$pg/bouncer.ini"
spawn "$work/logs/bouncer.log" "${as[@]}" "$bouncer" "$pg/bouncer.ini"
wait_until 10 "pgbouncer listens" port_answers "$pool_port"
sed -i -E "s#^  url: .*postgresql:.*#  url: \"postgresql://cairn@127.0.0.1:$pool_port/cairn\"#" "$ca/cairn.conf"
ca_set pooler true
ca_start
issue six.e2e.test
issue seven.e2e.test
assert_eq "certificates" "$(pg_sql "SELECT count(*) FROM certificates")" 7
! grep -rqF "$password" "$ca_log" "$work/logs/ca.old.log" || fail "the password is in a log"
good "no log has the password"
ca_stop
e2e_done
