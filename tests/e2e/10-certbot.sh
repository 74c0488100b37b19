#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 10-certbot.sh: certbot registers, obtains for two names and for a wildcard, renews, revokes, changes its account and ends
# it. It has no command that changes the account's key. Its external account binding is in 40-eab.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set challenges "[http-01, dns-01]"
dns_start
ca_start
export REQUESTS_CA_BUNDLE=$root_pem
live=$work/certbot/etc/live/one.e2e.test

certbot_run() { # certbot_run CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" certbot "$@" --server "$directory" --non-interactive --config-dir "$work/certbot/etc" \
		--work-dir "$work/certbot/var" --logs-dir "$work/certbot/log"
}

note "certbot register"
certbot_run 0 register.log register --agree-tos --email first@e2e.test --no-eff-email
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:first@e2e.test"]'

note "certbot certonly, two names"
certbot_run 0 certonly.log certonly --standalone --http-01-port "$http_port" -d one.e2e.test -d two.e2e.test
check_chain "$live/fullchain.pem" one.e2e.test two.e2e.test
check_key "$live/cert.pem" "$live/privkey.pem"
first=$(serial_of "$live/cert.pem")

note "certbot renew, before it is due"
certbot_run 0 renew-early.log renew --no-random-sleep-on-renew
assert_eq "serial, not renewed" "$(serial_of "$live/cert.pem")" "$first"

note "certbot renew --force-renewal"
certbot_run 0 renew.log renew --force-renewal --no-random-sleep-on-renew
check_chain "$live/fullchain.pem" one.e2e.test two.e2e.test
check_key "$live/cert.pem" "$live/privkey.pem"
assert_ne "the serial is a new one" "$(serial_of "$live/cert.pem")" "$first"

note "certbot certonly with an RSA key, a third name and one that is proved already"
certbot_run 0 rsa.log certonly --standalone --http-01-port "$http_port" --key-type rsa --cert-name rsa -d one.e2e.test \
	-d a.b.three.e2e.test
check_chain "$work/certbot/etc/live/rsa/fullchain.pem" one.e2e.test a.b.three.e2e.test
check_key "$work/certbot/etc/live/rsa/cert.pem" "$work/certbot/etc/live/rsa/privkey.pem"

note "certbot certonly --manual, a wildcard and the name above it: two TXT records of one name"
certbot_run 0 wildcard.log certonly --manual --preferred-challenges dns --cert-name wild -d wild.e2e.test \
	-d '*.wild.e2e.test' --manual-auth-hook "$dns_hook present _acme-challenge.\$CERTBOT_DOMAIN \$CERTBOT_VALIDATION" \
	--manual-cleanup-hook "$dns_hook cleanup _acme-challenge.\$CERTBOT_DOMAIN \$CERTBOT_VALIDATION"
check_chain "$work/certbot/etc/live/wild/fullchain.pem" wild.e2e.test '*.wild.e2e.test'
assert_eq "proofs by dns-01" "$(ca_sql "SELECT count(*) FROM challenges WHERE type = 'dns-01' AND status = 'valid'")" 2
dns_is_empty

note "certbot revoke with the account; twice"
certbot_run 0 revoke.log revoke --cert-name rsa --reason superseded --no-delete-after-revoke
assert_revoked "$work/certbot/etc/live/rsa/cert.pem" 4 account
certbot_run 1 revoke-again.log revoke --cert-name rsa --no-delete-after-revoke
assert_has "certbot's log has the CA's words" "$work/certbot/log/letsencrypt.log" "alreadyRevoked" "with reason 4 (superseded)"

note "certbot update_account"
certbot_run 0 update.log update_account --email second@e2e.test --no-eff-email
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:second@e2e.test"]'

note "certbot unregister; a copy of the account is of no use then"
cp -a "$work/certbot/etc/accounts" "$work/accounts"
certbot_run 0 unregister.log unregister
rm -rf "$work/certbot/etc/accounts"
cp -a "$work/accounts" "$work/certbot/etc/accounts"
certbot_run 1 renew-after.log renew --force-renewal --no-random-sleep-on-renew --cert-name one.e2e.test
assert_has "certbot is told that the account has ended" "$work/logs/renew-after.log" "deactivated"

note "certbot revoke with the certificate's key, when there is no account any more"
cp "$live/cert.pem" "$live/privkey.pem" "$work"
rm -rf "$work/certbot/etc/accounts"
certbot_run 0 revoke-key.log revoke --cert-path "$live/cert.pem" --key-path "$live/privkey.pem" --reason keycompromise \
	--delete-after-revoke
assert_revoked "$work/cert.pem" 1 key
assert_not_revoked "$work/certbot/etc/live/wild/cert.pem"

note "a key that is known to be compromised gets no certificate any more"
openssl req -new -key "$work/privkey.pem" -subj / -addext subjectAltName=DNS:one.e2e.test -out "$work/again.csr"
certbot_run 1 compromised.log certonly --standalone --http-01-port "$http_port" --agree-tos --email first@e2e.test \
	--no-eff-email --csr "$work/again.csr"
assert_has "certbot's log has the CA's words" "$work/certbot/log/letsencrypt.log" "badCSR" "compromised"

assert_eq "serials in the store are all different" "$(ca_sql 'SELECT count(DISTINCT serial) || "/" || count(*) FROM certificates')" 4/4
ca_stop
ca_check_orders 4
e2e_done
