#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 15-caddy.sh: Caddy (Go, certmagic) binds its account to an external account key, obtains certificates for sites that it
# serves, by http-01 and by tls-alpn-01, serves them, renews while it runs, and goes on after a restart. It has no command
# that revokes or changes the account's key.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

caddy=$(command -v caddy || echo "$tools_dir/caddy/usr/bin/caddy")
[ -x "$caddy" ] || fail "there is no caddy: tools/deps.sh check gets it"

ca_init
# So short that Caddy renews within the test: it does so when a third of the lifetime is left.
ca_set lifetime 60s
ca_set backdate 20s
ca_set eab required
read -r https_port <<<"$(free_ports 1)"
ca_set challenges "[http-01, tls-alpn-01]"
ca_set alpn-port "$https_port"
ca_start
mkdir "$work/caddy"

caddyfile() { # with the external account key $kid, $hmac_key; one site proves itself by tls-alpn-01 only
	cat >"$work/Caddyfile" <<CONF
{
	admin off
	storage file_system $work/caddy
	http_port $http_port
	https_port $https_port
	email caddy@e2e.test
	renew_interval 2s
	acme_ca $directory
	acme_ca_root $root_pem
	acme_eab {
		key_id $kid
		mac_key $hmac_key
	}
}
one.e2e.test, two.e2e.test {
	respond "it works"
}
alpn.e2e.test {
	respond "it works by tls-alpn-01"
	tls {
		issuer acme {
			dir $directory
			trusted_roots $root_pem
			eab $kid $hmac_key
			disable_http_challenge
		}
	}
}
CONF
}

caddy_start() {
	: >"$work/logs/caddy.log"
	spawn "$work/logs/caddy.log" "$caddy" run --adapter caddyfile --config "$work/Caddyfile"
	caddy_pid=$spawned
}

caddy_stop() {
	kill -TERM "$caddy_pid"
	wait_until 20 "caddy ends" is_gone "$caddy_pid"
}

site_has_certificate() { # site_has_certificate NAME
	[ -s "$work/caddy/certificates/localhost-$api_port-directory/$1/$1.crt" ]
}

served() { # served NAME: the certificate that a browser gets
	openssl s_client -connect "127.0.0.1:$https_port" -servername "$1" </dev/null 2>/dev/null |
		openssl x509 -outform PEM 2>/dev/null >"$work/served.pem"
}

is_renewed() {
	sleep 0.5
	served one.e2e.test && [ "$(serial_of "$work/served.pem")" != "$first" ]
}

is_refused() {
	grep -qF "$1" "$work/logs/caddy.log"
}

note "caddy run, with a wrong external account key"
eab_add --label caddy --uses 5
right=$kid kid=nobody
caddyfile
caddy_start
wait_until 30 "caddy logs the CA's words" is_refused "no such key id, or the MAC is not by its key"
good "caddy logs the CA's words"
caddy_stop
assert_eq "accounts" "$(ca_sql 'SELECT count(*) FROM accounts')" 0

note "caddy run, with its own: obtains"
kid=$right
caddyfile
caddy_start
wait_until 30 "caddy has a certificate for one.e2e.test" site_has_certificate one.e2e.test
wait_until 30 "caddy has a certificate for two.e2e.test" site_has_certificate two.e2e.test
wait_until 10 "caddy serves it" served one.e2e.test
run 0 "$work/logs/curl.log" curl -sS --cacert "$root_pem" --resolve "one.e2e.test:$https_port:127.0.0.1" "https://one.e2e.test:$https_port/"
assert_has "a browser that trusts the root sees the site" "$work/logs/curl.log" "it works"
first=$(serial_of "$work/served.pem")
assert_eq "contact in the store" "$(ca_sql 'SELECT DISTINCT contact FROM accounts')" '["mailto:caddy@e2e.test"]'
# Sites that it obtains for at the same time make accounts of their own.
assert_eq "accounts that are not bound to the key" "$(ca_sql "SELECT count(*) FROM accounts WHERE eab_kid <> '$kid'")" 0
assert_eq "uses of the key" "$(ca_sql "SELECT uses FROM eab_keys WHERE kid = '$kid'")" "$(ca_sql 'SELECT count(*) FROM accounts')"
wait_until 30 "caddy has a certificate for alpn.e2e.test" site_has_certificate alpn.e2e.test
served alpn.e2e.test
openssl verify -CAfile "$root_pem" -untrusted "$ca/issuer/issuer.pem" -verify_hostname alpn.e2e.test "$work/served.pem" \
	>"$work/logs/verify.log" || fail "$(cat "$work/logs/verify.log")"
assert_eq "how alpn.e2e.test was proved" "$(ca_sql "SELECT DISTINCT c.type FROM challenges c JOIN authorizations a
	ON a.id = c.authz WHERE a.ident_value = 'alpn.e2e.test' AND c.status = 'valid'")" tls-alpn-01

note "caddy renews while it runs"
wait_until 60 "caddy serves a renewed certificate" is_renewed
good "renewed: $first -> $(serial_of "$work/served.pem")"
caddy_stop

note "caddy goes on with what it had, after a restart"
before=$(ca_sql 'SELECT count(*) FROM accounts')
caddy_start
wait_until 20 "caddy serves again" served one.e2e.test
run 0 "$work/logs/curl.log" curl -sS --cacert "$root_pem" --resolve "one.e2e.test:$https_port:127.0.0.1" "https://one.e2e.test:$https_port/"
assert_eq "accounts, still" "$(ca_sql 'SELECT count(*) FROM accounts')" "$before"
caddy_stop

ca_stop
e2e_done
