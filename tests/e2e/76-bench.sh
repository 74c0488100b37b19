#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 76-bench.sh: the load generator, which shares no code with our client, gets what it asks a real CA for: whole issuances by
# each challenge, with one name and with several, on kept connections and on new ones, and single requests. It reads every
# reply and looks at every certificate; that it finds what is wrong is bench/generator_test.py's business.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

bench=$build/bench/cairn-bench
[ -x "$bench" ] || fail "$bench is not built"

ca_init
ca_set alpn-port "$http_port"
ca_set resolvers "[\"127.0.0.1:$http_port\"]"
ca_set accounts-per-hour 0
ca_start

issued=0
gets() { # gets WHAT ORDERS OPTION...: cairn-bench is content
	local what=$1 orders=$2
	shift 2
	run 0 "$work/logs/bench.log" "$bench" --server "$directory" --ca-file "$root_pem" --root "$root_pem" --names-suffix .e2e.test \
		--challenge-port "$http_port" --clients 4 --orders "$orders" --seconds 30 --verify-share 1 "$@"
	assert_has "$what" "$work/logs/bench.log" ": $orders done" " 0 failed"
}

for challenge in http-01 dns-01 tls-alpn-01; do
	gets "certificates by $challenge" 12 --challenge "$challenge"
	gets "certificates with 5 names by $challenge" 4 --challenge "$challenge" --names 5
	issued=$((issued + 16))
done
gets "certificates of accounts with RSA keys" 4 --account-alg RS256
gets "certificates with a connection for each order" 4 --connection order
gets "certificates with a connection for each request" 4 --connection request
issued=$((issued + 12))
for request in newnonce newaccount neworder read; do
	gets "$request alone" 20 --only "$request"
done
gets "revocations" 8 --only revoke --prepare 8
issued=$((issued + 8))

note "the table of make bench, from a result of it"
table=$e2e_dir/../../bench/table.py
run 0 "$work/logs/result" "$bench" --server "$directory" --ca-file "$root_pem" --names-suffix .e2e.test --challenge-port "$http_port" \
	--clients 4 --orders 4 --watch "api=$(child_named "$ca_pid" cairn-api)" --watch "supervisor=$ca_pid+" --json
issued=$((issued + 4))
run 0 "$work/logs/row" "$table" row "32 clients" 322 "$work/logs/result" "$work/lines"
assert_has "a row" "$work/logs/row" "32 clients 4 "
run 0 "$work/logs/memory" "$table" memory idle 20480 10240 30720 "$work/lines"
run 0 "$work/logs/memory" "$table" memory "with 5,000 open TLS connections" 131073 122880 153600 "$work/lines"
assert_has "a moment's memory" "$work/logs/memory" "connections: 128.0 MiB, of them 120.0 anonymous; 150.0 when"
run 0 "$work/logs/end" "$table" end "$work/lines" 44 "322 before, 322 after"
assert_has "the budgets" "$work/logs/end" "whole" "newOrder" "wanted <= 1.5" "idle 20.0 MiB wanted <= 48 MiB met" \
	"connections 128.0 MiB wanted <= 128 MiB MISSED"
# Of four orders the kernel's ticks may have seen nothing, or nothing in user mode; the sum is told by the process's own clock.
cpu=$(sed -n 's/.*"name":"api","user_us":\([0-9]*\)\.[0-9]*,"sys_us":\([0-9]*\).*/\1 + \2/p' "$work/logs/result")
[ "$((cpu))" -gt 0 ] || fail "the API used no time, it says: $(cat "$work/logs/result")"
good "the API's time is told"
assert_eq "certificates in the store" "$(ca_sql 'SELECT count(*) FROM certificates')" "$issued"
assert_eq "of them revoked" "$(ca_sql 'SELECT count(*) FROM certificates WHERE revoked_at > 0')" 8
ca_stop
e2e_done
