#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 17-acme-client.sh: npm's acme-client (JavaScript) obtains and renews through a web server's folder, changes its account
# and its key, and revokes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

export NODE_CLIENTS=$tools_dir/node NODE_EXTRA_CA_CERTS=$root_pem
[ -d "$NODE_CLIENTS/node_modules/acme-client" ] || fail "there is no acme-client: tools/deps.sh check gets it"

ca_init
ca_start
export DIRECTORY=$directory CHALLENGES=$work/web/.well-known/acme-challenge STATE=$work/node
mkdir -p "$CHALLENGES" "$STATE"
spawn "$work/logs/web.log" "$e2e_dir/helper.py" web "$http_port" "$work/web"
wait_until 10 "the web server listens" port_answers "$http_port"

node_run() { # node_run CODE LOG COMMAND [ARG]...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" node "$e2e_dir/17-acme-client.mjs" "$@"
}

note "createAccount"
node_run 0 register.log register
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:acme-client@e2e.test"]'

note "auto: obtains"
node_run 0 obtain.log obtain one.e2e.test two.e2e.test
check_chain "$STATE/one.e2e.test.pem" one.e2e.test two.e2e.test
check_key "$STATE/one.e2e.test.pem" "$STATE/one.e2e.test.key"
first=$(serial_of "$STATE/one.e2e.test.pem")

note "auto, again: renews"
node_run 0 renew.log obtain one.e2e.test two.e2e.test
assert_ne "the serial is a new one" "$(serial_of "$STATE/one.e2e.test.pem")" "$first"

note "updateAccount"
node_run 0 update.log update second@e2e.test
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:second@e2e.test"]'
assert_eq "challenge files left" "$(find "$CHALLENGES" -type f | wc -l)" 0

note "updateAccount: deactivates"
node_run 0 deactivate.log deactivate
node_run 1 after.log obtain three.e2e.test
assert_has "it is told that the account has ended" "$work/logs/after.log" "deactivated"

ca_stop
ca_check_orders 2
e2e_done
