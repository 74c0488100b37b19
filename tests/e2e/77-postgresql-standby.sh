#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 77-postgresql-standby.sh: a CA on PostgreSQL over TLS, with a standby: servers with the wrong certificate are refused;
# lists are read from the standby while it keeps up; another CA's certificate is taken without a start; when the primary is
# killed and the standby promoted, the CA goes on and has lost nothing; the old primary is not used again. All of it in
# the sandbox, which lets the API look up no name and open none of libpq's files.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../pg/pair.sh
. "$e2e_dir/../pg/pair.sh"

db_set() { # db_set HOSTS CA [SETTINGS]: store.url
	sed -i -E "s#^  url: .*postgresql:.*#  url: \"postgresql://cairn@$1/cairn?sslmode=verify-full\&sslrootcert=$2${3:-}\"#" \
		"$ca/cairn.conf"
}

note "init; servers that are not the right one are refused, and why"
pair_init
hosts=$(pair_url a b)
only_a=$(pair_url a)
trust=$pair_dir/root.pem
cp "$pair_dir/ca.pem" "$trust"
pair_ca other
ca_init --database "postgresql://cairn@$hosts/cairn" --database-password-file "$pair_dir/password"
ca_set sandbox required
refused() { # refused WHAT TEXT...
	local what=$1
	shift
	run 1 "$work/logs/refused.log" "$bin/cairn-api" -c "$ca/cairn.conf"
	assert_has "$what" "$work/logs/refused.log" "$@"
}
db_set "127.0.0.1:${pair_port[a]}" "$trust"
refused "another name" 'does not match host name \"127.0.0.1\"' 'server certificate for \"localhost\"'
db_set "$only_a" "$pair_dir/other.pem"
refused "another CA" "certificate verify failed" "not signed by a CA of $pair_dir/other.pem"
db_set "$only_a" "$pair_dir/nothing.pem"
refused "no file with CAs" "root certificate file" "$pair_dir/nothing.pem" "does not exist"
pair_sql a "ALTER SYSTEM SET ssl = off" && pair_sql a "SELECT pg_reload_conf()" >/dev/null
db_set "$only_a" "$trust"
without_tls() { ! openssl s_client -starttls postgres -connect "localhost:${pair_port[a]}" </dev/null >/dev/null 2>&1; }
wait_until 10 "the server has no TLS" without_tls
refused "no TLS" "server does not support SSL, but SSL was required"
pair_sql a "ALTER SYSTEM RESET ssl" && pair_sql a "SELECT pg_reload_conf()" >/dev/null
wait_until 10 "the server has TLS" eval '! without_tls'
refused_config() { # refused_config HOSTS SETTINGS TEXT
	db_set "$1" "$trust" "$2"
	run 1 "$work/logs/check.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
	assert_has "check-config: $3" "$work/logs/check.log" "store.url: $3"
}
refused_config "localhost:1,localhost:2" '\&port=1,2,3' "found 2 hosts and 3 ports; wanted one port, or one for each host"
refused_config "localhost:99999" "" "found the port 99999; wanted 1 to 65535"
refused_config localhost '\&target_session_attrs=read-only' "found target_session_attrs=read-only; wanted read-write"

note "certificates, with sslmode=verify-full, a primary and a standby"
pair_follow b a
db_set "$hosts" "$trust"
ca_set standby "\"postgresql://cairn@$(pair_url b)/cairn?sslmode=verify-full\&sslrootcert=$trust\""
ca_set standby-lag 3s
run 0 "$work/logs/check.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
ca_start
said() { # said N EVENT [TEXT]: so many lines at least
	[ "$(grep -F "\"event\":\"$2\"" "$ca_log" | grep -cF -e "${3:-}")" -ge "$1" ]
}
said 1 "database in use" "localhost:${pair_port[a]}" || fail "the log does not say which server is used"
issue one.e2e.test
tls_used() { pair_sql "$1" "SELECT count(*) > 0, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
	WHERE application_name = 'cairn'"; }
assert_eq "connections with TLS" "$(tls_used a)" "t|t"

note "lists are the standby's"
list_has() { # list_has KID
	"$bin/cairn" eab list --json -c "$ca/cairn.conf" >"$work/list" && grep -qF "$1" "$work/list"
}
listed() { # listed N EVENT [TEXT]: lists until the log says it
	list_has "$kid" || true
	said "$@"
}
eab_add --label first
wait_until 20 "the standby has it" pair_streams b a
wait_until 20 "the log says that the standby is in use" listed 1 "standby in use"
wait_until 20 "the list has the key" list_has "$kid"
lists_of() { grep -c 'execute .*FROM eab_keys' "$work/logs/pg-$1.log" || true; }
on_b=$(lists_of b)
read_on_b() { list_has "$kid" && [ "$(lists_of b)" -gt "$on_b" ]; }
wait_until 20 "the standby answers lists" read_on_b

note "the standby is killed; meanwhile the servers get another CA, and the primary is started again: in the sandbox"
pair_kill b QUIT
wait_until 30 "the log says that the standby is away" listed 1 "standby left out"
list_has "$kid" || fail "no list without the standby"
pair_ca new
cat "$pair_dir/ca.pem" "$pair_dir/new.pem" >"$trust.new"
mv "$trust.new" "$trust"
pair_kill a INT
pair_certificate a new localhost
pair_certificate b new localhost
pair_start a
api=$(child_named "$ca_pid" cairn-api)
issue two.e2e.test
assert_eq "the API is the same" "$(child_named "$ca_pid" cairn-api)" "$api"
pair_start b
wait_until 30 "the standby is used again" listed 2 "standby in use"
note "a standby that is behind is left out, and used again"
pair_sql b "SELECT pg_wal_replay_pause()"
eab_add --label second
wait_until 30 "the log says that the standby is behind" listed 1 "standby left out" "it is behind by more than 3 s"
list_has "$kid" || fail "the list is not the primary's: $(cat "$work/list")"
good "the list has what the standby has not"
for _ in 1 2 3; do list_has "$kid"; done
assert_eq "lines about it" "$(grep -c '"event":"standby left out"' "$ca_log")" 2
pair_sql b "SELECT pg_wal_replay_resume()"
wait_until 20 "it is used again" listed 3 "standby in use"

pair_sql a "ALTER SYSTEM SET synchronous_standby_names = 'b'" && pair_sql a "SELECT pg_reload_conf()" >/dev/null
synchronous() { [ "$(pair_sql a "SELECT sync_state FROM pg_stat_replication")" = sync ]; }
wait_until 20 "the standby is synchronous" synchronous

note "the primary is killed, and the standby promoted"
issue three.e2e.test
before=$(pair_sql a "SELECT string_agg(serial, ' ' ORDER BY serial) FROM certificates")
spawn "$work/logs/four.log" "$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" \
	--standalone --http-port "$http_port" -d four.e2e.test
asking=$spawned
pair_kill a KILL
spawn "$work/logs/list.log" list_has "$kid"
wait_until 30 "the log says that there is no database" said 1 "database away"
assert_eq "promoted" "$(pair_sql b "SELECT pg_promote()")" t
wait_until 60 "the client that asked meanwhile has its end" is_gone "$asking"
check_key "$agent_dir/certificates/four.e2e.test/cert.pem" "$agent_dir/certificates/four.e2e.test/privkey.pem"
said 1 "database in use" '"timeline":2' || fail "the log does not say which server is used now"
good "the log says which server is used now"
for serial in $before; do
	[ "$(pair_sql b "SELECT count(*) FROM certificates WHERE serial = '$serial'")" = 1 ] || fail "lost: $serial"
done
good "no certificate is lost: $(wc -w <<<"$before")"
issue five.e2e.test

note "the old primary comes back: it is not used, even when there is no other"
pair_start a
on_a=$(pair_sql a "SELECT count(*) FROM certificates")
pair_kill b INT
spawn "$work/logs/list.log" list_has "$kid"
wait_until 30 "the log says why it is not used" said 1 "database away" "an old primary (timeline 1, and 2 has been in use)"
pair_start b
issue six.e2e.test
assert_eq "the API is the same" "$(child_named "$ca_pid" cairn-api)" "$api"
ca_stop
note "nor after a start of the CA"
ca_start
said 1 "database in use" "so it is an old primary" || fail "the log does not say that there are two"
issue seven.e2e.test
assert_eq "certificates of the old primary" "$(pair_sql a "SELECT count(*) FROM certificates")" "$on_a"
assert_eq "certificates" "$(pair_sql b "SELECT count(*), count(DISTINCT order_id) FROM certificates")" "7|7"

note "nor as a standby"
pair_kill a QUIT
pair_follow a b
pair_sql b "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cairn'" >/dev/null
issue eight.e2e.test
! grep -rqF "$(cat "$pair_dir/password")" "$ca_log" "$work/logs/ca.old.log" || fail "the password is in a log"
ca_stop
e2e_done
