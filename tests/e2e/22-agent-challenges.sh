#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 22-agent-challenges.sh: cairn-agent proves names by every method: records through a program of the operator's, with
# wildcards; its own TLS listener, also for addresses; a label of the account's own; a record that stays. And what it says
# when the program, the port or the record is wrong.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
read -r tls_port < <(free_ports 1)
ca_set challenges "[http-01, dns-01, tls-alpn-01, dns-account-01, dns-persist-01]"
ca_set addresses "[127.0.0.0/8]"
ca_set caa-identities "[ca.e2e.test]"
ca_set alpn-port "$tls_port"
sed -i -E '0,/^( *)#?authz-valid:.*/s//\1authz-valid: 0/' "$ca/cairn.conf" # the realm's; profiles have one, too
dns_start
ca_start
certs=$agent_dir/certificates
hook=$work/agent-hook
calls=$work/hook-calls
cat >"$hook" <<HOOK
#!/bin/sh
# add NAME VALUE, remove NAME VALUE
printf '%s\n' "\$# \$1 \$2 \$3" >>"$calls"
echo "the hook says \$1"
case \$1 in
add) exec "$dns_hook" present "\$2" "\$3" ;;
remove) exec "$dns_hook" cleanup "\$2" "\$3" ;;
*) exit 9 ;;
esac
HOOK
chmod 755 "$hook"

proofs() { # proofs TYPE: how many challenges of this type were won
	ca_sql "SELECT count(*) FROM challenges WHERE type = '$1' AND status = 'valid'"
}

sans_of() { # sans_of FILE: as openssl shows them, sorted
	cert_ext "$1" subjectAltName | tail -n +2 | tr ',' '\n' | sed 's/^ *//' | sort | xargs
}

note "dns-01: a wildcard and the name above it, two records of one name"
agent_run 0 dns.log --challenge dns-01 --dns-hook "$hook" --json -d wild.e2e.test -d '*.wild.e2e.test'
check_chain "$certs/wild.e2e.test/fullchain.pem" wild.e2e.test '*.wild.e2e.test'
assert_eq "proofs by dns-01" "$(proofs dns-01)" 2
assert_eq "the hook's calls" "$(cut -d ' ' -f 1-3 "$calls" | sort | uniq -c | xargs)" \
	"2 3 add _acme-challenge.wild.e2e.test 2 3 remove _acme-challenge.wild.e2e.test"
dns_is_empty
assert_eq "what the hook prints is kept out of the JSON" "$(grep -c '"outcome":"obtained"' "$work/logs/dns.log")" 1
agent_run 0 wild-first.log --challenge dns-01 --dns-hook "$hook" -d '*.first.e2e.test'
check_chain "$certs/_.first.e2e.test/fullchain.pem" '*.first.e2e.test'
agent_run 2 wild-first-again.log --challenge dns-01 --dns-hook "$hook" -d '*.first.e2e.test'

note "dns-01, and --dns-wait"
from=$(date +%s)
agent_run 0 dns-wait.log --challenge dns-01 --dns-hook "$hook" --dns-wait 3 -d wait.e2e.test -d '*.wait.e2e.test'
took=$(($(date +%s) - from))
[ "$took" -ge 3 ] && [ "$took" -lt 6 ] || fail "it took $took s with --dns-wait 3"
good "one wait for both records"

note "no shell reads what the server says, or the program's name"
mkdir "$work/a b"
cp "$hook" "$work/a b/\$(touch evil)"
agent_run 0 dns-odd.log --challenge dns-01 --dns-hook "$work/a b/\$(touch evil)" -d odd.e2e.test
[ ! -e evil ] || fail "a shell was at work"
good "the program's name is no command line"

note "tls-alpn-01: a name, and an address"
agent_run 0 alpn.log --challenge tls-alpn-01 --tls-port "$tls_port" --tls-address 127.0.0.1 -d alpn.e2e.test
check_chain "$certs/alpn.e2e.test/fullchain.pem" alpn.e2e.test
agent_run 0 alpn-address.log --challenge tls-alpn-01 --tls-port "$tls_port" -d 127.0.0.1 -d alpn2.e2e.test
assert_eq "what it is for" "$(sans_of "$certs/127.0.0.1/cert.pem")" "DNS:alpn2.e2e.test IP Address:127.0.0.1"
assert_eq "proofs by tls-alpn-01" "$(proofs tls-alpn-01)" 3

note "dns-account-01: the label is the account's"
: >"$calls"
agent_run 0 account.log --challenge dns-account-01 --dns-hook "$hook" -d acct.e2e.test -d '*.acct.e2e.test'
check_chain "$certs/acct.e2e.test/fullchain.pem" acct.e2e.test '*.acct.e2e.test'
account=$(sed -n 's/.*"account":"\([^"]*\)".*/\1/p' "$agent_dir"/accounts/*/account.json)
label=$(printf %s "$account" | openssl dgst -sha256 -binary | head -c 10 | base32 | tr 'A-Z' 'a-z')
assert_eq "the hook's names" "$(cut -d ' ' -f 3 "$calls" | sort -u)" "_$label._acme-challenge.acct.e2e.test"
assert_eq "proofs by dns-account-01" "$(proofs dns-account-01)" 2
dns_is_empty

note "dns-persist-01: a record that is published once"
agent_run 1 persist-none.log --challenge dns-persist-01 -d nobody.e2e.test
assert_has "without the record" "$work/logs/persist-none.log" "_validation-persist.nobody.e2e.test" \
	"publish what \`cairn-agent persist-record\` prints"
run 0 "$work/logs/persist-record.log" "$bin/cairn-agent" persist-record --server "$directory" --ca-file "$root_pem" \
	--dir "$agent_dir" -d '*.persist.e2e.test' -d b.persist.e2e.test
thumbprint=$(ca_sql 'SELECT thumbprint FROM accounts')
assert_eq "names of the records" "$(cut -d ' ' -f 1-3 "$work/logs/persist-record.log" | xargs)" \
	"_validation-persist.persist.e2e.test. IN TXT _validation-persist.b.persist.e2e.test. IN TXT"
hash=$(printf '\020persist.e2e.test%s%s' "$thumbprint" "$account" | openssl dgst -sha256 -binary | base64 -w0 | tr '+/' '-_' | tr -d =)
assert_has "the record" "$work/logs/persist-record.log" \
	"\"ca.e2e.test; accounturi=https://localhost:$api_port/account-hash/sha-256/$hash; policy=wildcard\""
sed -n 's/^[^"]*"\(.*\)"$/\1/p' "$work/logs/persist-record.log" | head -n 1 >"$dns_dir/_validation-persist.persist.e2e.test"
agent_run 0 persist.log --challenge dns-persist-01 -d persist.e2e.test -d '*.persist.e2e.test'
check_chain "$certs/persist.e2e.test/fullchain.pem" persist.e2e.test '*.persist.e2e.test'
agent_run 0 persist-again.log --challenge dns-persist-01 -d persist.e2e.test -d '*.persist.e2e.test' --force
assert_eq "proofs by dns-persist-01" "$(proofs dns-persist-01)" 4
run 0 "$work/logs/persist-json.log" "$bin/cairn-agent" persist-record --server "$directory" --ca-file "$root_pem" \
	--dir "$agent_dir" -d persist.e2e.test --json
assert_eq "the same as JSON" "$(python3 -c 'import json, sys; print(*(r["name"] for r in json.load(open(sys.argv[1]))["records"]))' \
	"$work/logs/persist-json.log")" _validation-persist.persist.e2e.test
run 0 "$work/logs/persist-key.log" "$bin/cairn-agent" key-change --server "$directory" --ca-file "$root_pem" --dir "$agent_dir"
agent_run 0 persist-new-key.log --challenge dns-persist-01 -d persist.e2e.test -d '*.persist.e2e.test' --force
good "the record outlives the account's key"

note "a list: each identifier by the first method that can"
web_serve "$http_port" "$work"
agent_run 0 list.log --challenge http-01,dns-01 --webroot "$work" --dns-hook "$hook" -d list.e2e.test -d '*.list.e2e.test' -d 127.0.0.1
assert_eq "what it is for" "$(sans_of "$certs/list.e2e.test/cert.pem")" "DNS:*.list.e2e.test DNS:list.e2e.test IP Address:127.0.0.1"
assert_eq "proofs by http-01" "$(proofs http-01)" 2
ca_set challenges "[tls-alpn-01, dns-01]"
ca_reload
agent_run 0 second.log --challenge http-01,dns-01 --webroot "$work" --dns-hook "$hook" -d second.e2e.test
agent_run 1 none.log --challenge http-01 --webroot "$work" -d third.e2e.test
assert_has "a method that the server does not offer" "$work/logs/none.log" \
	"the server offers no http-01 challenge for third.e2e.test, but dns-01, tls-alpn-01"

note "a hook that fails, one that never ends, one that is not there, one that lies"
printf '#!/bin/sh\nexit 3\n' >"$work/fails"
printf '#!/bin/sh\n[ "$1" = add ] || exit 0\nsleep 1000\n' >"$work/hangs"
printf '#!/bin/sh\nexit 0\n' >"$work/lies"
chmod 755 "$work/fails" "$work/hangs" "$work/lies"
agent_run 1 hook-fails.log --challenge dns-01 --dns-hook "$work/fails" -d hook.e2e.test
assert_has "it says which and how" "$work/logs/hook-fails.log" "$work/fails add _acme-challenge.hook.e2e.test ended with exit status 3"
agent_run 1 hook-hangs.log --challenge dns-01 --dns-hook "$work/hangs" --timeout 4 -d hook.e2e.test
assert_has "it waits no longer than it may" "$work/logs/hook-hangs.log" "$work/hangs add _acme-challenge.hook.e2e.test did not end within"
[ -z "$(ps -eo args | grep '^sleep 1000')" ] || fail "what the hook started is still running"
agent_run 1 hook-missing.log --challenge dns-01 --dns-hook "$work/missing" -d hook.e2e.test
assert_has "it says what is missing" "$work/logs/hook-missing.log" "$work/missing" "No such file"
agent_run 1 hook-lies.log --challenge dns-01 --dns-hook "$work/lies" -d hook.e2e.test
assert_has "what the server found, and what to do" "$work/logs/hook-lies.log" "_acme-challenge.hook.e2e.test" "more --dns-wait may help"
agent_run 1 alpn-elsewhere.log --challenge tls-alpn-01 --tls-port "$http_port" -d hook.e2e.test
assert_has "a port that is taken" "$work/logs/alpn-elsewhere.log" "cannot listen on" "port $http_port"
read -r other_port < <(free_ports 1)
agent_run 1 alpn-other.log --challenge tls-alpn-01 --tls-port "$other_port" -d hook.e2e.test
assert_has "a port that the CA does not ask" "$work/logs/alpn-other.log" "port $tls_port" "leads to this host's --tls-port"
assert_eq "records of what failed" "$(ls "$dns_dir")" _validation-persist.persist.e2e.test

ca_stop
ca_check_orders 12
e2e_done
