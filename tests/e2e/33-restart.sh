#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 33-restart.sh: what was acknowledged survives the end of every program, a polite one and a sudden one: accounts, orders
# in each state and certificates. The requests come from certbot's own library, which can leave an order where it is.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
export REQUESTS_CA_BUNDLE=$root_pem
web=$work/web
mkdir -p "$web/.well-known/acme-challenge"
web_serve "$http_port" "$web"

# Debian's python3-acme, in the interpreter that certbot has.
story() { # story CODE STEP: state is kept in $work/story
	run "$1" "$work/logs/story-$2.log" /usr/bin/python3 "$e2e_dir/story.py" "$directory" "$work/story" "$web" "$2"
}
mkdir "$work/story"

note "an account; one order that is done, one that is ready, one that is pending"
story 0 begin
check_chain "$work/story/first.pem" first.e2e.test other.e2e.test

note "stop and start"
ca_stop
ca_start
story 0 compare
good "account, orders and certificate are what they were"

note "kill -9 of all programs, and start"
pids="$ca_pid $(children_of "$ca_pid")"
for pid in $pids; do
	kill -KILL "$pid" 2>/dev/null || true
done
for pid in $pids; do
	wait_until 5 "process $pid ends" is_gone "$pid"
done
wait "$ca_pid" 2>/dev/null || true
ca_pid=
ca_start
story 0 compare
good "account, orders and certificate are what they were"

note "the orders that were left can be brought to their end"
story 0 finish
check_chain "$work/story/ready.pem" ready.e2e.test
check_chain "$work/story/pending.pem" pending.e2e.test
assert_eq "orders in the store" "$(ca_sql "SELECT status, count(*) FROM orders GROUP BY status")" "valid|3"
assert_eq "serials that differ" "$(ca_sql "SELECT count(DISTINCT serial) FROM certificates")" 3

ca_stop
ca_check_orders 3
e2e_done
