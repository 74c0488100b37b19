#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 20-agent.sh: cairn-agent as a cron job uses it: both ways to answer, several names, its exit codes, and what it leaves;
# then its other commands, addresses, profiles and external account keys. The other challenges are in 22-agent-challenges.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set addresses "[127.0.0.0/8]"
ca_start
certs=$agent_dir/certificates
web=$work/web
mkdir "$web"

note "standalone, two names"
agent_run 0 first.log --standalone --http-port "$http_port" --email agent@e2e.test -d one.e2e.test -d two.e2e.test
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
cat "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/chain.pem" | cmp - "$certs/one.e2e.test/fullchain.pem" ||
	fail "cert.pem and chain.pem are not fullchain.pem"
good "cert.pem and chain.pem make fullchain.pem"
assert_eq "mode of the key" "$(stat -L -c %a "$certs/one.e2e.test/privkey.pem")" 600
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:agent@e2e.test"]'
first=$(serial_of "$certs/one.e2e.test/cert.pem")

note "not due: exit code 2 and nothing changes"
agent_run 2 early.log --standalone --http-port "$http_port" -d one.e2e.test -d two.e2e.test
agent_run 2 quiet.log --quiet --standalone --http-port "$http_port" -d ONE.e2e.test -d two.e2e.test -d one.e2e.test
assert_eq "what --quiet says" "$(cat "$work/logs/quiet.log")" ""
assert_eq "serial, not renewed" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$first"

note "due by --renew-days, and by --force"
agent_run 0 due.log --standalone --http-port "$http_port" --renew-days 91 -d one.e2e.test -d two.e2e.test
second=$(serial_of "$certs/one.e2e.test/cert.pem")
assert_ne "the serial is a new one" "$second" "$first"
agent_run 0 force.log --standalone --http-port "$http_port" --force --json -d one.e2e.test -d two.e2e.test
assert_ne "the serial is a new one again" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$second"
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test
check_key "$certs/one.e2e.test/cert.pem" "$certs/one.e2e.test/privkey.pem"
assert_eq "--json tells the outcome" "$(python3 -c 'import json, sys; o = json.load(open(sys.argv[1]));
print(o["outcome"], *o["names"])' "$work/logs/force.log")" "obtained one.e2e.test two.e2e.test"

note "another name in the list is due, whatever the date"
agent_run 0 more.log --standalone --http-port "$http_port" -d one.e2e.test -d two.e2e.test -d three.e2e.test
check_chain "$certs/one.e2e.test/fullchain.pem" one.e2e.test two.e2e.test three.e2e.test

note "webroot, an RSA key"
web_serve "$http_port" "$web"
agent_run 0 webroot.log --webroot "$web" --key rsa2048 -d web.e2e.test -d web2.e2e.test
check_chain "$certs/web.e2e.test/fullchain.pem" web.e2e.test web2.e2e.test
check_key "$certs/web.e2e.test/cert.pem" "$certs/web.e2e.test/privkey.pem"
assert_eq "what it leaves in the webroot" "$(find "$web" -mindepth 1 | wc -l)" 0
assert_eq "accounts after all of this" "$(ca_sql 'SELECT count(*) FROM accounts')" 1

note "errors: exit code 1, with what to do"
agent_run 1 denied.log --webroot "$web" -d name.other.test
assert_has "a name that is not allowed" "$work/logs/denied.log" "name.other.test" "ask the server's operator"
agent_run 1 wildcard.log --webroot "$web" -d '*.e2e.test'
assert_has "a wildcard" "$work/logs/wildcard.log" "wildcards cannot be shown over http-01"
run 1 "$work/logs/trust.log" "$bin/cairn-agent" obtain --server "$directory" --dir "$agent_dir" --webroot "$web" -d x.e2e.test
assert_has "a root that is not trusted" "$work/logs/trust.log" "--ca-file"
mkdir "$work/elsewhere"
agent_run 1 elsewhere.log --webroot "$work/elsewhere" -d elsewhere.e2e.test
assert_has "a webroot that nobody serves" "$work/logs/elsewhere.log" "elsewhere.e2e.test" "404" "wanted 200"
[ ! -e "$certs/elsewhere.e2e.test/fullchain.pem" ] || fail "a failed order left a certificate"
assert_eq "what a failure leaves in the webroot" "$(find "$work/elsewhere" -mindepth 1 | wc -l)" 0

note "a CA that is away, and back within the time that was given"
ca_stop
agent_run 1 away.log --webroot "$web" --timeout 5 -d away.e2e.test
assert_has "a CA that is away" "$work/logs/away.log" "localhost" "see that --server is up"
ca_start
agent_run 0 back.log --webroot "$web" -d away.e2e.test
check_chain "$certs/away.e2e.test/fullchain.pem" away.e2e.test

agent_do() { # agent_do CODE LOG COMMAND OPTION...: any command, at this CA
	local code=$1 log=$2 command=$3
	shift 3
	run "$code" "$work/logs/$log" "$bin/cairn-agent" "$command" --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" "$@"
	! grep -nE 'AddressSanitizer|LeakSanitizer|runtime error:' "$work/logs/$log" || fail "a sanitizer found something"
}

outcome_of() { # outcome_of LOG: of a run with --json
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["outcome"])' "$work/logs/$1"
}

sans_of() { # sans_of FILE: as openssl shows them, sorted
	cert_ext "$1" subjectAltName | tail -n +2 | tr ',' '\n' | sed 's/^ *//' | sort | xargs
}

note "an address, alone and beside a name: the certificate has exactly that"
agent_run 0 address.log --webroot "$web" -d 127.0.0.1
assert_eq "what it is for" "$(sans_of "$certs/127.0.0.1/cert.pem")" "IP Address:127.0.0.1"
openssl verify -CAfile "$root_pem" -untrusted "$certs/127.0.0.1/chain.pem" -verify_ip 127.0.0.1 "$certs/127.0.0.1/cert.pem" \
	>"$work/verify" 2>&1 || fail "openssl verify: $(cat "$work/verify")"
agent_run 2 address-again.log --webroot "$web" -d 127.0.0.1
agent_run 0 both.log --webroot "$web" -d both.e2e.test -d 127.0.0.1
assert_eq "what it is for" "$(sans_of "$certs/both.e2e.test/cert.pem")" "DNS:both.e2e.test IP Address:127.0.0.1"
agent_run 0 less.log --webroot "$web" -d both.e2e.test
assert_eq "without the address it is another one" "$(sans_of "$certs/both.e2e.test/cert.pem")" "DNS:both.e2e.test"
agent_run 1 address-denied.log --webroot "$web" -d 192.0.2.1
assert_has "an address that is not allowed" "$work/logs/address-denied.log" "192.0.2.1"

note "a profile of the server, and one that it has not"
agent_run 0 profile.log --webroot "$web" --profile server -d profile.e2e.test
assert_eq "the order's profile" "$(ca_sql "SELECT profile FROM orders WHERE identifiers LIKE '%profile.e2e.test%'")" server
agent_run 1 no-profile.log --webroot "$web" --profile client -d profile.e2e.test --force
assert_has "it says which there are" "$work/logs/no-profile.log" "the server has no profile client; its profiles are server"

note "revoke, by the account: the next obtain is due; twice is exit code 2"
agent_do 0 revoke.log revoke -d one.e2e.test --reason superseded
assert_has "what it says" "$work/logs/revoke.log" "revoked: $certs/one.e2e.test/cert.pem"
assert_revoked "$certs/one.e2e.test/cert.pem" 4 account
cp "$certs/one.e2e.test/cert.pem" "$work/revoked.pem"
agent_do 2 revoke-again.log revoke -d one.e2e.test --json
assert_eq "--json tells it" "$(outcome_of revoke-again.log)" already-revoked
agent_run 0 after-revoke.log --webroot "$web" -d one.e2e.test -d two.e2e.test -d three.e2e.test
assert_ne "the serial is a new one" "$(serial_of "$certs/one.e2e.test/cert.pem")" "$(serial_of "$work/revoked.pem")"
agent_run 2 after-revoke-2.log --webroot "$web" -d one.e2e.test -d two.e2e.test -d three.e2e.test
agent_do 2 revoke-file.log revoke --cert "$work/revoked.pem"

note "revoke, by the certificate's own key, in place and from files"
agent_do 0 revoke-key.log revoke -d web.e2e.test --by-key --reason KEYCOMPROMISE
assert_revoked "$certs/web.e2e.test/cert.pem" 1 key
cp "$certs/both.e2e.test/cert.pem" "$certs/both.e2e.test/privkey.pem" "$work"
agent_do 1 revoke-other-key.log revoke --cert "$work/cert.pem" --key-file "$certs/away.e2e.test/privkey.pem"
assert_has "a key of another certificate" "$work/logs/revoke-other-key.log" "is not the key of $work/cert.pem"
assert_not_revoked "$work/cert.pem"
run 0 "$work/logs/revoke-stranger.log" "$bin/cairn-agent" revoke --server "$directory" --ca-file "$root_pem" \
	--dir "$work/stranger" --cert "$work/cert.pem" --key-file "$work/privkey.pem"
assert_revoked "$work/cert.pem" 0 key
assert_eq "accounts after that" "$(ca_sql 'SELECT count(*) FROM accounts')" 1
run 1 "$work/logs/revoke-nobody.log" "$bin/cairn-agent" revoke --server "$directory" --ca-file "$root_pem" \
	--dir "$work/stranger" --cert "$certs/away.e2e.test/cert.pem"
assert_has "without an account" "$work/logs/revoke-nobody.log" "$work/stranger holds no account at $directory"
agent_do 1 revoke-none.log revoke -d never.e2e.test
assert_has "without a certificate" "$work/logs/revoke-none.log" "certificates/never.e2e.test holds no certificate"

note "key-change: the account stays, its key is another, and orders go on"
account_key=$(echo "$agent_dir"/accounts/*/account.key)
cp "$account_key" "$work/old.key"
account=$(ca_sql 'SELECT id FROM accounts')
thumbprint=$(ca_sql 'SELECT thumbprint FROM accounts')
agent_do 0 key-change.log key-change --key p384 --json
assert_eq "--json tells it" "$(outcome_of key-change.log)" key-changed
assert_ne "the key on the disk" "$(openssl pkey -in "$account_key" -pubout)" "$(openssl pkey -in "$work/old.key" -pubout)"
assert_eq "its kind" "$(openssl pkey -in "$account_key" -noout -text | grep -c 'NIST CURVE: P-384')" 1
assert_eq "mode of the key" "$(stat -c %a "$account_key")" 600
assert_ne "the thumbprint in the store" "$(ca_sql 'SELECT thumbprint FROM accounts')" "$thumbprint"
assert_eq "accounts" "$(ca_sql 'SELECT id FROM accounts')" "$account"
[ ! -e "$account_key.new" ] || fail "the new key's file is still there"
agent_run 0 after-key-change.log --webroot "$web" --force -d away.e2e.test

note "a key-change that was cut off before the server heard of it, and one after"
cp "$account_key" "$work/present.key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$account_key.new" 2>/dev/null
chmod 600 "$account_key.new"
agent_run 0 cut-before.log --webroot "$web" --force -d away.e2e.test
[ ! -e "$account_key.new" ] || fail "a key that the server never saw is still there"
cmp "$account_key" "$work/present.key" || fail "the account's key changed"
good "a key that the server never saw is dropped"
agent_do 0 key-change-2.log key-change
mv "$account_key" "$account_key.new"
cp "$work/present.key" "$account_key"
agent_run 0 cut-after.log --webroot "$web" --force -d away.e2e.test
[ ! -e "$account_key.new" ] || fail "the new key did not take its place"
! cmp -s "$account_key" "$work/present.key" || fail "the old key is in place"
good "a key that the server took is taken"
assert_eq "accounts" "$(ca_sql 'SELECT id FROM accounts')" "$account"

note "deactivate: the account ends, and obtain makes another one"
agent_do 0 deactivate.log deactivate
assert_has "what it says" "$work/logs/deactivate.log" "deactivated: https://localhost:$api_port/"
assert_eq "the account" "$(ca_sql 'SELECT status FROM accounts')" deactivated
agent_do 1 deactivate-again.log deactivate
assert_has "it is gone here too" "$work/logs/deactivate-again.log" "holds no account"
agent_run 0 second-account.log --webroot "$web" --force -d away.e2e.test
assert_eq "accounts" "$(ca_sql 'SELECT status FROM accounts ORDER BY created_at' | xargs)" "deactivated valid"

note "a server that wants an external account key"
ca_set eab required
ca_reload
eab_add --label "the agent"
(umask 077 && printf '%s\n' "$hmac_key" >"$work/hmac.key")
agent_dir=$work/bound
agent_run 1 no-eab.log --webroot "$web" -d eab.e2e.test
assert_has "it says how to give it" "$work/logs/no-eab.log" "externalAccountRequired" "--eab-kid and --eab-key-file"
agent_run 0 eab.log --webroot "$web" --eab-kid "$kid" --eab-key-file "$work/hmac.key" -d eab.e2e.test
assert_bound "$kid"
agent_run 0 eab-later.log --webroot "$web" -d eab.e2e.test --force
chmod 644 "$work/hmac.key"
agent_run 1 eab-open.log --webroot "$web" --eab-kid "$kid" --eab-key-file "$work/hmac.key" -d eab.e2e.test --force
assert_has "a key that others may read" "$work/logs/eab-open.log" "chmod 600"

ca_stop
ca_check_orders 17
e2e_done
