#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 12-dehydrated.sh: dehydrated (bash, curl and openssl) binds its account to an external account key, obtains and renews
# through a web server's folder, obtains a wildcard through a hook, changes its account, revokes and ends the account. It has
# no command that changes the account's key.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set eab required
ca_set challenges "[http-01, dns-01]"
dns_start
ca_start
web=$work/web
certs=$work/dehydrated/certs
mkdir -p "$web/.well-known/acme-challenge" "$work/dehydrated"
web_serve "$http_port" "$web"

cat >"$work/dehydrated/config" <<CONF
CA=$directory
BASEDIR=$work/dehydrated
WELLKNOWN=$web/.well-known/acme-challenge
CURL_OPTS="--cacert $root_pem"
CONTACT_EMAIL=dehydrated@e2e.test
AUTO_CLEANUP=no
KEYSIZE=2048
CONF
echo 'one.e2e.test two.e2e.test' >"$work/dehydrated/domains.txt"

dehydrated_run() { # dehydrated_run CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" dehydrated --config "$work/dehydrated/config" "$@"
}

note "dehydrated --register, without an external account key, with a wrong one and with its own"
dehydrated_run 1 bare.log --register --accept-terms
assert_has "dehydrated says what it lacks" "$work/logs/bare.log" \
	"This CA requires an external account but no EAB_KID/EAB_HMAC_KEY has been configured"
eab_add --label dehydrated --uses 1
printf 'EAB_KID=nobody\nEAB_HMAC_KEY=%s\n' "$hmac_key" >>"$work/dehydrated/config"
dehydrated_run 1 wrong.log --register --accept-terms
assert_has "dehydrated shows the CA's words" "$work/logs/wrong.log" "no such key id, or the MAC is not by its key"
sed -i "s/^EAB_KID=.*/EAB_KID=$kid/" "$work/dehydrated/config"
dehydrated_run 0 register.log --register --accept-terms
assert_bound "$kid"
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:dehydrated@e2e.test"]'

note "dehydrated --cron"
dehydrated_run 0 cron.log --cron
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
first=$(serial_of "$certs/one.e2e.test/cert.pem")

note "dehydrated --cron, before it is due"
dehydrated_run 0 early.log --cron
assert_eq "serial, not renewed" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$first"

note "dehydrated --cron --force, with an RSA key and one more name"
echo 'one.e2e.test two.e2e.test three.e2e.test' >"$work/dehydrated/domains.txt"
dehydrated_run 0 force.log --cron --force --algo rsa
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test three.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
assert_ne "the serial is a new one" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$first"
assert_eq "challenge files left" "$(find "$web/.well-known/acme-challenge" -type f | wc -l)" 0

note "dehydrated --cron, a wildcard and the name above it, by dns-01"
cat >"$work/hook" <<HOOK
#!/bin/sh
# dehydrated's hook: deploy_challenge|clean_challenge DOMAIN TOKEN VALUE, and other events
case \$1 in
deploy_challenge) exec "$dns_hook" present "_acme-challenge.\$2" "\$4" ;;
clean_challenge) exec "$dns_hook" cleanup "_acme-challenge.\$2" "\$4" ;;
esac
HOOK
chmod 755 "$work/hook"
dehydrated_run 0 wild.log --cron --challenge dns-01 --hook "$work/hook" --domain 'wild.e2e.test *.wild.e2e.test' --alias wild
check_chain "$certs/wild/fullchain.pem" wild.e2e.test '*.wild.e2e.test'
dns_is_empty

note "dehydrated --account"
sed -i 's/^CONTACT_EMAIL=.*/CONTACT_EMAIL=second@e2e.test/' "$work/dehydrated/config"
dehydrated_run 0 account.log --account
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:second@e2e.test"]'

note "dehydrated --revoke; twice"
cp "$certs/one.e2e.test/cert.pem" "$work/one.pem"
dehydrated_run 0 revoke.log --revoke "$certs/one.e2e.test/cert.pem"
assert_revoked "$work/one.pem" 0 account
assert_not_revoked "$certs/wild/cert.pem"
dehydrated_run 1 revoke-again.log --revoke "$work/one.pem"
assert_has "dehydrated shows the CA's words" "$work/logs/revoke-again.log" "alreadyRevoked" "with reason 0 (unspecified)"

note "dehydrated --deactivate"
dehydrated_run 0 deactivate.log --deactivate
assert_eq "account in the store" "$(ca_sql 'SELECT status FROM accounts')" deactivated
find "$work/dehydrated/accounts" -name deactivated -delete
dehydrated_run 1 after.log --cron --force
assert_has "dehydrated is told that the account has ended" "$work/logs/after.log" "deactivated"

ca_stop
ca_check_orders 3
e2e_done
