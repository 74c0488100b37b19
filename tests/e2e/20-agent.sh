#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 20-agent.sh: cairn-agent as a cron job uses it: both ways to answer, several names, its exit codes, and what it leaves.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
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
spawn "$work/logs/web.log" "$e2e_dir/helper.py" web "$http_port" "$web"
wait_until 10 "the web server listens" port_answers "$http_port"
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

ca_stop
ca_check_orders 6
e2e_done
