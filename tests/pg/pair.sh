# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # work and spawned are lib.sh's
#
# pair.sh: for end-to-end tests, which source it after lib.sh: two PostgreSQL servers, "a" and a standby "b" that streams
# from it, or that has been promoted. TCP is TLS alone (hostssl), with a CA of their own and certificates for "localhost";
# the test itself asks over a Unix socket. They end with the test, by their pids (lib.sh's spawn).
#
#   pair_init                the folders, the CA, and "a" with the empty database "cairn"; nothing runs
#   pair_start a|b           and waits until it answers
#   pair_follow b a          makes "b" anew as a standby of "a", which runs
#   pair_kill a SIGNAL       and waits until it has ended
#   pair_sql a SQL           in the database "cairn", as its owner
#   pair_url a b             localhost:PORT,localhost:PORT
#
# pair_port[a], pair_pid[a]; $pair_dir/a/data, $pair_dir/ca.pem, $pair_dir/password; $work/logs/pg-a.log.

pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
[ -x "${pg_bin:-}/postgres" ] || fail "there is no PostgreSQL server here (tools/deps.sh check)"
pair_dir=$work/pair
declare -A pair_port pair_pid
pair_as=()
[ "$(id -u)" != 0 ] || pair_as=(setpriv --reuid=postgres --regid=postgres --clear-groups) # it refuses to run as root

pair_ca() { # pair_ca NAME: a CA for a day
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" \
		-keyout "$pair_dir/$1.key" -out "$pair_dir/$1.pem" 2>>"$work/logs/pair-openssl.log"
}

pair_certificate() { # pair_certificate a|b CA NAME: signed by it, for that name; in force at the server's next start
	local to=$pair_dir/$1
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -addext "subjectAltName=DNS:$3" \
		-keyout "$to/server.key" -out "$to/server.csr" 2>>"$work/logs/pair-openssl.log"
	openssl x509 -req -in "$to/server.csr" -CA "$pair_dir/$2.pem" -CAkey "$pair_dir/$2.key" -CAcreateserial -days 1 \
		-copy_extensions copy -out "$to/server.pem" 2>>"$work/logs/pair-openssl.log"
	chmod 600 "$to/server.key"
	[ "$(id -u)" != 0 ] || chown postgres "$to/server.key" "$to/server.pem"
}

pair_init() {
	local name
	mkdir "$pair_dir" "$pair_dir/a" "$pair_dir/b"
	printf 'only for this test\n' >"$pair_dir/password"
	chmod 644 "$pair_dir/password"
	read -r "pair_port[a]" "pair_port[b]" < <(free_ports 2)
	pair_ca ca
	for name in a b; do
		mkdir "$pair_dir/$name/run" "$pair_dir/$name/data"
		chmod 700 "$pair_dir/$name/data"
		[ "$(id -u)" != 0 ] || chown -R postgres "$pair_dir/$name"
		pair_certificate "$name" ca localhost
	done
	run 0 "$work/logs/initdb.log" env -C "$pair_dir" "${pair_as[@]}" "$pg_bin/initdb" -D "$pair_dir/a/data" -U cairn \
		--no-sync -A trust --pwfile="$pair_dir/password" --locale=C.UTF-8 --encoding=UTF8
	cat >"$pair_dir/a/data/pg_hba.conf" <<-HBA
		local all all trust
		local replication all trust
		hostssl all all all scram-sha-256
	HBA
	# A test's files are not worth a sync; log_statement tells which server answered what.
	cat >>"$pair_dir/a/data/postgresql.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		fsync = off
		full_page_writes = off
		max_connections = 60
		shared_buffers = 32MB
		max_pred_locks_per_transaction = 256
		max_locks_per_transaction = 512
		log_statement = all
		hot_standby = on
		wal_level = replica
		wal_receiver_timeout = 5s
		wal_retrieve_retry_interval = 200ms
		ssl = on
	CONF
	pair_start a
	run 0 "$work/logs/createdb.log" "$pg_bin/createdb" -h "$pair_dir/a/run" -p "${pair_port[a]}" -U cairn cairn
}

pair_answers() {
	"$pg_bin/pg_isready" -q -h "$pair_dir/$1/run" -p "${pair_port[$1]}"
}

pair_start() { # pair_start a|b [-c SETTING=VALUE]...
	local at=$pair_dir/$1 name=$1
	shift
	spawn "$work/logs/pg-$name.log" env -C "$at" "${pair_as[@]}" "$pg_bin/postgres" -D "$at/data" -k "$at/run" \
		-p "${pair_port[$name]}" -c ssl_cert_file="$at/server.pem" -c ssl_key_file="$at/server.key" "$@"
	pair_pid[$name]=$spawned
	wait_until 30 "PostgreSQL $name answers" pair_answers "$name"
}

pair_kill() {
	kill "-$2" "${pair_pid[$1]}"
	wait_until 20 "PostgreSQL $1 ends" is_gone "${pair_pid[$1]}"
}

pair_follow() { # pair_follow b a
	rm -rf "$pair_dir/$1/data"
	run 0 "$work/logs/basebackup-$1.log" env -C "$pair_dir/$1" "${pair_as[@]}" "$pg_bin/pg_basebackup" -D "$pair_dir/$1/data" \
		-h "$pair_dir/$2/run" -p "${pair_port[$2]}" -U cairn --checkpoint=fast --no-sync --write-recovery-conf -X stream
	cat >>"$pair_dir/$1/data/postgresql.auto.conf" <<-CONF
		primary_conninfo = 'host=$pair_dir/$2/run port=${pair_port[$2]} user=cairn application_name=$1'
	CONF
	pair_start "$1"
}

pair_streams() { # pair_streams b a: has "b" all that "a" has written?
	[ "$(pair_sql "$2" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '$1'
		AND replay_lsn = pg_current_wal_lsn()")" = 1 ]
}

pair_sql() {
	"$pg_bin/psql" -X -A -t -q -h "$pair_dir/$1/run" -p "${pair_port[$1]}" -U cairn -d cairn -c "$2"
}

pair_url() {
	local name list=
	for name in "$@"; do list=$list,localhost:${pair_port[$name]}; done
	echo "${list#,}"
}
