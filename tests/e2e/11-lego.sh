#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 11-lego.sh: lego obtains and renews, with its own listener, with EC and RSA keys, and where every order needs new proof.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set authz-valid 0
ca_start
export LEGO_CA_CERTIFICATES=$root_pem
certs=$work/lego/certificates

lego_run() { # lego_run CODE LOG GLOBAL_OPTION... COMMAND...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" lego --server "$directory" --accept-tos --email lego@e2e.test --http \
		--http.port "127.0.0.1:$http_port" --path "$work/lego" "$@"
}

note "lego run, three names"
lego_run 0 run.log -d one.e2e.test -d two.e2e.test -d three.sub.e2e.test run
check_chain "$certs/one.e2e.test.crt" one.e2e.test two.e2e.test three.sub.e2e.test
check_key "$certs/one.e2e.test.crt" "$certs/one.e2e.test.key"
first=$(serial_of "$certs/one.e2e.test.crt")

note "lego renew, before it is due"
lego_run 0 renew-early.log -d one.e2e.test -d two.e2e.test -d three.sub.e2e.test renew --no-random-sleep
assert_eq "serial, not renewed" "$(serial_of "$certs/one.e2e.test.crt")" "$first"

note "lego renew, due"
lego_run 0 renew.log -d one.e2e.test -d two.e2e.test -d three.sub.e2e.test renew --days 91 --no-random-sleep
check_chain "$certs/one.e2e.test.crt" one.e2e.test two.e2e.test three.sub.e2e.test
check_key "$certs/one.e2e.test.crt" "$certs/one.e2e.test.key"
assert_ne "the serial is a new one" "$(serial_of "$certs/one.e2e.test.crt")" "$first"
assert_eq "names proved anew for the second order" "$(grep -c '"event":"probe finished"' "$ca_log")" 6

note "lego run with an RSA key and a CSR of our own making"
lego_run 0 rsa.log --key-type rsa2048 -d rsa.e2e.test run
check_chain "$certs/rsa.e2e.test.crt" rsa.e2e.test
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$work/own.key" -out "$work/own.csr" \
	-subj /CN=own.e2e.test -addext subjectAltName=DNS:own.e2e.test,DNS:own2.e2e.test 2>/dev/null
lego_run 0 csr.log --csr "$work/own.csr" run
check_chain "$certs/own.e2e.test.crt" own.e2e.test own2.e2e.test
check_key "$certs/own.e2e.test.crt" "$work/own.key"

ca_stop
ca_check_orders 4
e2e_done
