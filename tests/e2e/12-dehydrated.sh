#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 12-dehydrated.sh: dehydrated (bash, curl and openssl) obtains and renews through a web server's folder.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
web=$work/web
certs=$work/dehydrated/certs
mkdir -p "$web/.well-known/acme-challenge" "$work/dehydrated"
spawn "$work/logs/web.log" "$e2e_dir/helper.py" web "$http_port" "$web"
wait_until 10 "the web server listens" port_answers "$http_port"

cat >"$work/dehydrated/config" <<CONF
CA=$directory
BASEDIR=$work/dehydrated
WELLKNOWN=$web/.well-known/acme-challenge
CURL_OPTS="--cacert $root_pem"
CONTACT_EMAIL=dehydrated@e2e.test
AUTO_CLEANUP=no
CONF
echo 'one.e2e.test two.e2e.test' >"$work/dehydrated/domains.txt"

dehydrated_run() { # dehydrated_run LOG ARG...
	local log=$1
	shift
	run 0 "$work/logs/$log" dehydrated --config "$work/dehydrated/config" "$@"
}

note "dehydrated --register"
dehydrated_run register.log --register --accept-terms
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:dehydrated@e2e.test"]'

note "dehydrated --cron"
dehydrated_run cron.log --cron
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
first=$(serial_of "$certs/one.e2e.test/cert.pem")

note "dehydrated --cron, before it is due"
dehydrated_run early.log --cron
assert_eq "serial, not renewed" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$first"

note "dehydrated --cron --force, with an RSA key and one more name"
echo 'one.e2e.test two.e2e.test three.e2e.test' >"$work/dehydrated/domains.txt"
dehydrated_run force.log --cron --force --algo rsa
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test three.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
assert_ne "the serial is a new one" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$first"
assert_eq "challenge files left" "$(find "$web/.well-known/acme-challenge" -type f | wc -l)" 0

ca_stop
ca_check_orders 2
e2e_done
