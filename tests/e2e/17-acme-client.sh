#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 17-acme-client.sh: npm's acme-client (JavaScript) binds its account to an external account key, obtains and renews through
# a web server's folder, obtains a wildcard by dns-01, changes its account and its key, and revokes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

export NODE_CLIENTS=$tools_dir/node NODE_EXTRA_CA_CERTS=$root_pem
[ -d "$NODE_CLIENTS/node_modules/acme-client" ] || fail "there is no acme-client: tools/deps.sh check gets it"

ca_init
ca_set eab required
ca_set challenges "[http-01, dns-01]"
dns_start
ca_start
export DNS_HOOK=$dns_hook DIRECTORY=$directory CHALLENGES=$work/web/.well-known/acme-challenge STATE=$work/node
mkdir -p "$CHALLENGES" "$STATE"
web_serve "$http_port" "$work/web"

node_run() { # node_run CODE LOG COMMAND [ARG]...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" node "$e2e_dir/17-acme-client.mjs" "$@"
}

note "createAccount, without an external account key, with a wrong one and with its own"
node_run 1 bare.log register
assert_has "it shows what the CA wants" "$work/logs/bare.log" "new accounts here need an external account binding"
eab_add --label acme-client --uses 1
node_run 1 wrong.log register nobody "$hmac_key"
assert_has "it shows the CA's words" "$work/logs/wrong.log" "no such key id, or the MAC is not by its key"
node_run 0 register.log register "$kid" "$hmac_key"
assert_bound "$kid"
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

note "auto, a wildcard and the name above it, by dns-01"
node_run 0 wild.log dns wild.e2e.test '*.wild.e2e.test'
check_chain "$STATE/wild.e2e.test.pem" wild.e2e.test '*.wild.e2e.test'
dns_is_empty

note "updateAccountKey: the account has another key, the old one is dead"
thumbprint=$(ca_sql 'SELECT thumbprint FROM accounts')
node_run 0 rollover.log rollover
assert_ne "the account's key in the store is another" "$(ca_sql 'SELECT thumbprint FROM accounts')" "$thumbprint"
node_run 0 after-rollover.log obtain one.e2e.test two.e2e.test
node_run 1 old-key.log oldKey
assert_has "it shows the CA's words" "$work/logs/old-key.log" "after a key change only the new key signs"
node_run 1 rollover-own.log rolloverTo account.key
assert_has "it shows why not to the key that it has" "$work/logs/rollover-own.log" "is the key of this account already"
assert_eq "accounts" "$(ca_sql 'SELECT count(*) FROM accounts')" 1

note "revokeCertificate, with a reason; twice, and with one that is none"
node_run 1 revoke-bad.log revoke wild.e2e.test 2
assert_has "it shows the CA's words" "$work/logs/revoke-bad.log" "reason 2 is not served"
assert_not_revoked "$STATE/wild.e2e.test.pem"
node_run 0 revoke.log revoke wild.e2e.test 3
assert_revoked "$STATE/wild.e2e.test.pem" 3 account
node_run 1 revoke-again.log revoke wild.e2e.test 3
assert_has "it shows the CA's words" "$work/logs/revoke-again.log" "with reason 3 (affiliationChanged)"

note "updateAccount: deactivates"
node_run 0 deactivate.log deactivate
node_run 1 after.log obtain three.e2e.test
assert_has "it is told that the account has ended" "$work/logs/after.log" "deactivated"

ca_stop
ca_check_orders 4
e2e_done
