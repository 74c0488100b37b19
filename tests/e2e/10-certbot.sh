#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 10-certbot.sh: certbot registers, obtains for two names, renews, changes its account and ends it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
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

assert_eq "serials in the store are all different" "$(ca_sql 'SELECT count(DISTINCT serial) || "/" || count(*) FROM certificates')" 3/3
ca_stop
ca_check_orders 3
e2e_done
