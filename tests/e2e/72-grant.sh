#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 72-grant.sh: an operator vouches for names: certbot and lego get certificates for them while nobody serves a challenge, the
# signer takes no grant that was taken back, and what was issued is exported and verified offline at the end.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
export REQUESTS_CA_BUNDLE=$root_pem LEGO_CA_CERTIFICATES=$root_pem
printf 'an operator knows this\n' >"$work/pass"
chmod 600 "$work/pass"
printf 'this is not it\n' >"$work/other-pass"
chmod 600 "$work/other-pass"

grant() { # grant CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn" grant "$@" -c "$ca/cairn.conf"
}

grant_add() { # grant_add LOG ARG...: sets $grant_id
	local log=$1
	shift
	grant 0 "$log" add --operator alice --passphrase-file "$work/pass" --json "$@"
	grant_id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' "$work/logs/$log")
	[ "${#grant_id}" = 36 ] || fail "cairn grant add --json printed $(cat "$work/logs/$log")"
}

certbot_run() { # certbot_run CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" certbot "$@" --server "$directory" --non-interactive --config-dir "$work/certbot/etc" \
		--work-dir "$work/certbot/var" --logs-dir "$work/certbot/log"
}

certonly() { # certonly CODE LOG -d NAME...: its listener is where nobody looks
	local code=$1 log=$2
	shift 2
	certbot_run "$code" "$log" certonly --standalone --http-01-port "$idle_port" "$@"
}

probes() {
	grep -c '"event":"validation started"' "$ca_log" || true
}

note "an operator's key, and who is known"
grant 2 key-wrong.log key alice --unencrypted --passphrase-file "$work/pass"
grant 0 key.log key alice --passphrase-file "$work/pass"
assert_has "what to do next" "$work/logs/key.log" "operator: alice: public-key: operators/alice.jwk"
assert_eq "mode of the key" "$(stat -c %a "$ca/operators/alice.key")" 600
grep -q "ENCRYPTED" "$ca/operators/alice.key" || fail "the operator's key is not encrypted"
grant 1 key-again.log key alice --passphrase-file "$work/pass"
assert_has "it is not made again" "$work/logs/key-again.log" "is there already"
ca_set grants true
sed -i 's|^operator:.*|&\n  alice:\n    public-key: operators/alice.jwk|' "$ca/cairn.conf"
ca_start
read -r idle_port < <(free_ports 1)

note "certbot registers; without a grant it would have to serve a challenge"
certbot_run 0 register.log register --agree-tos --email first@e2e.test --no-eff-email
account=$(ca_sql "SELECT lower(substr(hex(id),1,8)||'-'||substr(hex(id),9,4)||'-'||substr(hex(id),13,4)||'-'||substr(hex(id),17,4)||'-'||substr(hex(id),21)) FROM accounts")
thumbprint=$(ca_sql "SELECT thumbprint FROM accounts")
certonly 1 bare.log -d one.team.e2e.test
assert_eq "probes" "$(probes)" 1

note "what cannot be granted"
grant 1 nobody.log add --operator alice --passphrase-file "$work/pass" --name '*.team.e2e.test' \
	--account 01890000-0000-7000-8000-000000000009
assert_has "no such account" "$work/logs/nobody.log" "there is no account"
grant 1 other-pass.log add --operator alice --passphrase-file "$work/other-pass" --name '*.team.e2e.test' --account "$account"
assert_has "another passphrase" "$work/logs/other-pass.log" "does not open the key"
grant 1 bob.log add --operator bob --passphrase-file "$work/pass" --name '*.team.e2e.test' --account "$account"
assert_has "no such operator" "$work/logs/bob.log" 'no operator "bob"'
grant 1 realm.log add --operator alice --passphrase-file "$work/pass" --name a.e2e.test --account "$account" --realm nowhere
assert_has "no such realm" "$work/logs/realm.log" "nowhere"
grant 2 nothing.log add --operator alice --account "$account"
assert_eq "grants" "$(ca_sql 'SELECT count(*) FROM grants')" 0

note "a grant: certbot gets its certificate, and nobody probes anything"
grant_add add.log --account "$account" --name '*.team.e2e.test' --days 30 --note 'ticket 7'
first_grant=$grant_id
assert_has "it is for the account's key" "$work/logs/add.log" "$thumbprint" '"status":"active"'
before=$(probes)
certonly 0 certonly.log -d one.team.e2e.test -d two.team.e2e.test
check_chain "$work/certbot/etc/live/one.team.e2e.test/fullchain.pem" one.team.e2e.test two.team.e2e.test
certbot_run 0 renew.log renew --force-renewal --no-random-sleep-on-renew
check_chain "$work/certbot/etc/live/one.team.e2e.test/fullchain.pem" one.team.e2e.test two.team.e2e.test
assert_eq "probes" "$(probes)" "$before"
assert_eq "challenges of these names that a client saw" "$(ca_sql "SELECT count(*) FROM challenges c JOIN authorizations a
	ON a.id = c.authz WHERE a.grant_id IS NOT NULL AND c.status <> 'pending'")" 0
grant 0 list.log list
assert_has "list" "$work/logs/list.log" "$first_grant" active alice "*.team.e2e.test" "ticket 7"

note "not for another account, nor for another name"
run 1 "$work/logs/lego.log" lego --server "$directory" --accept-tos --email lego@e2e.test --http \
	--http.port "127.0.0.1:$idle_port" --path "$work/lego" -d three.team.e2e.test run
lego_account=$(ca_sql "SELECT thumbprint FROM accounts WHERE thumbprint <> '$thumbprint'")
certonly 1 other-name.log -d one.e2e.test
assert_eq "probes" "$(probes)" "$((before + 2))"

note "lego's account, by its key's thumbprint"
grant_add lego-add.log --account "$lego_account" --name three.team.e2e.test
run 0 "$work/logs/lego-granted.log" lego --server "$directory" --accept-tos --email lego@e2e.test --http \
	--http.port "127.0.0.1:$idle_port" --path "$work/lego" -d three.team.e2e.test run
check_chain "$work/lego/certificates/three.team.e2e.test.crt" three.team.e2e.test
assert_eq "probes" "$(probes)" "$((before + 2))"

note "the first grant is taken back"
grant 0 revoke.log revoke "$first_grant"
assert_has "said" "$work/logs/revoke.log" "$first_grant is revoked"
assert_has "where the signer looks" "$ca/grants/revoked" "$first_grant 20"
grant 0 revoke-again.log revoke "$first_grant"
assert_has "twice" "$work/logs/revoke-again.log" "was already revoked"
assert_eq "lines for it" "$(grep -c "^$first_grant " "$ca/grants/revoked")" 1
certonly 1 revoked.log -d four.team.e2e.test
assert_eq "probes" "$(probes)" "$((before + 3))"
run 0 "$work/logs/lego-again.log" lego --server "$directory" --accept-tos --email lego@e2e.test --http \
	--http.port "127.0.0.1:$idle_port" --path "$work/lego" -d three.team.e2e.test renew --days 91 --no-random-sleep
assert_eq "audit rows" "$(ca_sql "SELECT group_concat(n, ' ') FROM (SELECT event||': '||count(*) AS n FROM audit
	WHERE event LIKE 'grant%' GROUP BY event ORDER BY event)")" "grant added: 2 grant revoked: 1 grants used: 4"

note "what was issued, asked again"
"$bin/cairn" audit export -c "$ca/cairn.conf" >"$work/export.jsonl" || fail "cairn audit export"
assert_eq "lines" "$(wc -l <"$work/export.jsonl")" 4
"$bin/cairn" audit export --until 1d -c "$ca/cairn.conf" >"$work/export-old.jsonl" || fail "cairn audit export --until"
assert_eq "lines of before yesterday" "$(wc -l <"$work/export-old.jsonl")" 0
run 0 "$work/logs/verify.log" "$bin/cairn" audit verify -c "$ca/cairn.conf" "$work/export.jsonl"
"$bin/cairn" audit export --since 1h -c "$ca/cairn.conf" | "$bin/cairn" audit verify -c "$ca/cairn.conf" >"$work/logs/verify-pipe.log" ||
	fail "cairn audit export | cairn audit verify: $(cat "$work/logs/verify-pipe.log")"
assert_has "all of them" "$work/logs/verify-pipe.log" "4 certificates looked at, with the signer's journal: 0 failed"
sed 's/"certificate":"M.\{40\}/&AAAA/' "$work/export.jsonl" >"$work/bent.jsonl"
run 1 "$work/logs/verify-bent.log" "$bin/cairn" audit verify -c "$ca/cairn.conf" "$work/bent.jsonl"

ca_stop
e2e_done
