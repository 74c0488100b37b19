#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 11-lego.sh: lego obtains and renews, with its own listeners for http-01 and tls-alpn-01 and a hook for dns-01, with EC and
# RSA keys, where every order needs new proof; it revokes. It has no command that changes the account's key. Its external
# account binding is in 40-eab.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
read -r alpn_port < <(free_ports 1)
sed -i -E '0,/^( *)#?authz-valid:.*/s//\1authz-valid: 0/' "$ca/cairn.conf" # the realm's; profiles have one, too
ca_set challenges "[http-01, dns-01, tls-alpn-01]"
ca_set alpn-port "$alpn_port"
dns_start
ca_start
export LEGO_CA_CERTIFICATES=$root_pem EXEC_PATH=$dns_hook EXEC_POLLING_INTERVAL=1 EXEC_SEQUENCE_INTERVAL=1
certs=$work/lego/certificates

lego_by() { # lego_by CODE LOG "HOW..." GLOBAL_OPTION... COMMAND...: with these options for the challenge
	local code=$1 log=$2 how
	read -ra how <<<"$3"
	shift 3
	run "$code" "$work/logs/$log" lego --server "$directory" --accept-tos --email lego@e2e.test "${how[@]}" --path "$work/lego" "$@"
}

lego_run() { # lego_run CODE LOG GLOBAL_OPTION... COMMAND...
	local code=$1 log=$2
	shift 2
	lego_by "$code" "$log" "--http --http.port 127.0.0.1:$http_port" "$@"
}

proofs() { # proofs TYPE: how many challenges of this type were won
	ca_sql "SELECT count(*) FROM challenges WHERE type = '$1' AND status = 'valid'"
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

note "lego run --tls: its own listener for tls-alpn-01"
lego_by 0 alpn.log "--tls --tls.port 127.0.0.1:$alpn_port" -d alpn.e2e.test run
check_chain "$certs/alpn.e2e.test.crt" alpn.e2e.test
assert_eq "proofs by tls-alpn-01" "$(proofs tls-alpn-01)" 1

note "lego run --dns exec: a wildcard and the name above it"
lego_by 0 dns.log "--dns exec --dns.disable-cp --dns.resolvers 127.0.0.1:$dns_port" -d wild.e2e.test -d '*.wild.e2e.test' run
check_chain "$certs/wild.e2e.test.crt" wild.e2e.test '*.wild.e2e.test'
assert_eq "proofs by dns-01" "$(proofs dns-01)" 2
dns_is_empty

note "lego run, a wildcard without --dns: the CA offers it nothing that it could do"
lego_run 1 wild-http.log -d '*.wild.e2e.test' run
assert_has "lego says so" "$work/logs/wild-http.log" "could not determine solvers"

note "lego run, an address: this lego asks for it as if it were a name"
lego_run 1 address.log -d 127.0.0.1 run
assert_has "lego shows the CA's words" "$work/logs/address.log" \
	'"127.0.0.1": this is an address; ask for it with the type "ip" (RFC 8738)'

note "lego revoke; twice"
lego_run 0 revoke.log -d rsa.e2e.test revoke --reason 4 --keep
assert_revoked "$certs/rsa.e2e.test.crt" 4 account
lego_run 1 revoke-again.log -d rsa.e2e.test revoke --reason 4 --keep
assert_has "lego shows the CA's words" "$work/logs/revoke-again.log" "alreadyRevoked" "with reason 4 (superseded)"
lego_run 1 revoke-reason.log -d one.e2e.test revoke --reason 6 --keep
assert_has "lego shows why not with another reason" "$work/logs/revoke-reason.log" "badRevocationReason" "reason 6 is not served"
assert_not_revoked "$certs/one.e2e.test.crt"

ca_stop
ca_check_orders 6
e2e_done
