#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 40-eab.sh: a realm that wants external account keys: certbot and lego register with one, get what it allows and nothing
# else, and read why when the key is wrong, used up or disabled. The keys come from `cairn eab`, as an operator gives them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set eab required
ca_start
export REQUESTS_CA_BUNDLE=$root_pem LEGO_CA_CERTIFICATES=$root_pem

eab() { # eab CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn" eab "$@" -c "$ca/cairn.conf"
}

certbot_run() { # certbot_run CODE LOG HOME ARG...
	local code=$1 log=$2 home=$3
	shift 3
	run "$code" "$work/logs/$log" certbot "$@" --server "$directory" --non-interactive --config-dir "$work/$home/etc" \
		--work-dir "$work/$home/var" --logs-dir "$work/$home/log"
}

certbot_register() { # certbot_register CODE LOG HOME ARG...
	local code=$1 log=$2 home=$3
	shift 3
	certbot_run "$code" "$log" "$home" register --agree-tos --email first@e2e.test --no-eff-email "$@"
}

lego_run() { # lego_run CODE LOG HOME GLOBAL_OPTION... COMMAND...
	local code=$1 log=$2 home=$3
	shift 3
	run "$code" "$work/logs/$log" lego --server "$directory" --accept-tos --email lego@e2e.test --http \
		--http.port "127.0.0.1:$http_port" --path "$work/$home" "$@"
}

accounts() {
	ca_sql "SELECT count(*) FROM accounts WHERE status = '$1'"
}

note "the file that seals, and the socket"
assert_eq "mode of store/secret.key" "$(stat -c %a "$ca/store/secret.key")" 600
assert_eq "mode of run/admin.sock" "$(stat -c '%a %F' "$ca/run/admin.sock")" "600 socket"
eab 0 eab-none.log list
assert_has "there is no key yet" "$work/logs/eab-none.log" "There are no external account keys"

note "without a key nobody registers"
certbot_register 1 bare.log bare
assert_has "certbot says what it lacks" "$work/logs/bare.log" "eab-kid" "eab-hmac-key"
lego_run 1 bare-lego.log bare-lego -d one.e2e.test run
assert_has "lego says what it lacks" "$work/logs/bare-lego.log" "Server requires External Account Binding. Use --eab with --kid and --hmac"
"$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" --standalone --http-port "$http_port" \
	-d one.e2e.test >"$work/logs/bare-agent.log" 2>&1 && fail "cairn-agent got an account without a key"
assert_has "cairn-agent passes on the CA's words" "$work/logs/bare-agent.log" "new accounts here need an external account binding"
assert_eq "accounts" "$(accounts valid)" 0

note "a key for certbot: two accounts, names below a.e2e.test"
eab_add --label "team a" --name '*.a.e2e.test' --uses 2 --expires 90d
certbot_register 0 register.log certbot --eab-kid "$kid" --eab-hmac-key "$hmac_key"
assert_eq "the account is bound to the key" "$(ca_sql 'SELECT eab_kid FROM accounts')" "$kid"
certbot_run 0 certonly.log certbot certonly --standalone --http-01-port "$http_port" -d one.a.e2e.test -d two.a.e2e.test
check_chain "$work/certbot/etc/live/one.a.e2e.test/fullchain.pem" one.a.e2e.test two.a.e2e.test
certbot_run 0 renew.log certbot renew --force-renewal --no-random-sleep-on-renew
check_chain "$work/certbot/etc/live/one.a.e2e.test/fullchain.pem" one.a.e2e.test two.a.e2e.test

note "a name that the realm allows and the key does not"
certbot_run 1 other-name.log certbot certonly --standalone --http-01-port "$http_port" -d one.b.e2e.test
assert_has "certbot's log has the reason" "$work/certbot/log/letsencrypt.log" "rejectedIdentifier" "one.b.e2e.test"
assert_eq "orders for it" "$(ca_sql "SELECT count(*) FROM orders WHERE identifiers LIKE '%one.b.e2e.test%'")" 0

note "a wrong HMAC key and a wrong key id are refused in the same words"
wrong=$(head -c 32 /dev/urandom | base64 -w0 | tr '+/' 'AB' | tr -d =)
certbot_register 1 wrong-mac.log wrong --eab-kid "$kid" --eab-hmac-key "$wrong"
certbot_register 1 wrong-kid.log wrong --eab-kid "eab-nobody" --eab-hmac-key "$hmac_key"
for log in wrong-mac.log wrong-kid.log; do
	assert_has "$log" "$work/logs/$log" "no such key id, or the MAC is not by its key"
done
lego_run 1 wrong-lego.log wrong-lego --eab --kid "$kid" --hmac "$wrong" -d one.a.e2e.test run
assert_has "lego with a wrong key" "$work/logs/wrong-lego.log" "unauthorized" "no such key id, or the MAC is not by its key"
assert_eq "uses that wrong keys took" "$(ca_sql 'SELECT uses FROM eab_keys')" 1

note "lego with the same key; then it is used up"
lego_run 0 lego.log lego --eab --kid "$kid" --hmac "$hmac_key" -d lego.a.e2e.test run
check_chain "$work/lego/certificates/lego.a.e2e.test.crt" lego.a.e2e.test
eab 0 eab-show.log show "$kid"
assert_has "cairn eab show" "$work/logs/eab-show.log" "$kid" "used up" "team a" "*.a.e2e.test" "2 of 2" "accounts"
certbot_register 1 used-up.log third --eab-kid "$kid" --eab-hmac-key "$hmac_key"
assert_has "certbot with a key that is used up" "$work/logs/used-up.log" "external account key $kid is used up: it serves 2 accounts"
lego_run 0 lego-renew.log lego --eab --kid "$kid" --hmac "$hmac_key" -d lego.a.e2e.test renew --days 91 --no-random-sleep
good "the accounts that were made with it go on"

note "a key is disabled, with its accounts"
first_kid=$kid first_key=$hmac_key
eab 0 eab-disable.log disable "$first_kid" --accounts
assert_has "cairn eab disable" "$work/logs/eab-disable.log" "$first_kid is disabled." "Accounts revoked: 2."
certbot_register 1 disabled.log third --eab-kid "$first_kid" --eab-hmac-key "$first_key"
assert_has "certbot with a disabled key" "$work/logs/disabled.log" "external account key $first_kid was disabled"
certbot_run 1 revoked.log certbot renew --force-renewal --no-random-sleep-on-renew
assert_has "certbot with a revoked account" "$work/logs/revoked.log" "revoked"
lego_run 1 revoked-lego.log lego --eab --kid "$first_kid" --hmac "$first_key" -d lego.a.e2e.test renew --days 91 --no-random-sleep
assert_has "lego with a revoked account" "$work/logs/revoked-lego.log" "revoked"
assert_eq "accounts" "$(accounts valid)/$(accounts revoked)" 0/2

note "a reload reaches cairn eab, too"
ca_set eab off
ca_reload
eab 0 eab-off.log add --kid unused
assert_has "it warns of a key that nobody is asked for" "$work/logs/eab-off.log" "warning: realm.default.eab is off"

note "optional: with a key or without"
ca_set eab optional
ca_reload
certbot_register 0 optional.log optional
eab_add
certbot_register 0 optional-eab.log optional-eab --eab-kid "$kid" --eab-hmac-key "$hmac_key"
assert_eq "accounts without and with a key" \
	"$(ca_sql "SELECT count(CASE WHEN eab_kid = '' THEN 1 END) || '/' || count(CASE WHEN eab_kid = '$kid' THEN 1 END) FROM accounts WHERE status = 'valid'")" 1/1

note "kill -9 of everything: keys and their counts are what they were"
eab 0 eab-before.log list --json
children=$(children_of "$ca_pid")
kill -KILL "$ca_pid"
wait "$ca_pid" || true
for child in $children; do # they end with their parent; what is sanitized takes a moment
	wait_until 10 "process $child ends" is_gone "$child"
done
ca_start
eab 0 eab-after.log list --json
assert_eq "cairn eab list --json" "$(cat "$work/logs/eab-after.log")" "$(cat "$work/logs/eab-before.log")"
certbot_register 0 again.log again --eab-kid "$kid" --eab-hmac-key "$hmac_key"

note "the HMAC keys are nowhere in the clear"
for secret in "$hmac_key" "$first_key"; do
	! grep -rlaF -- "$secret" "$ca" "$ca_log" || fail "an HMAC key stands in the files above"
done
good "neither in the CA's folder nor in its log"

note "without its file the API does not start, and says what to do"
ca_stop
mv "$ca/store/secret.key" "$work/key.away"
run 1 "$work/logs/no-key.log" "$bin/cairn" serve -c "$ca/cairn.conf"
assert_has "what it says" "$work/logs/no-key.log" "$ca/store/secret.key is missing" "put it back from the backup"
[ ! -e "$ca/store/secret.key" ] || fail "it made a new one"
mv "$work/key.away" "$ca/store/secret.key"
chmod 644 "$ca/store/secret.key"
run 1 "$work/logs/open-key.log" "$bin/cairn" serve -c "$ca/cairn.conf"
assert_has "what it says of a file that others may read" "$work/logs/open-key.log" "has mode 0644" "chmod 600"
chmod 600 "$ca/store/secret.key"
ca_start
certbot_register 0 restored.log restored --eab-kid "$kid" --eab-hmac-key "$hmac_key"
ca_stop
e2e_done
