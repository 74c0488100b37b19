#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 15-caddy.sh: Caddy (Go, certmagic) obtains a certificate for a site that it serves, binds its account to an external
# account key, renews while it runs, and serves what it got.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

caddy=$(command -v caddy || echo "$tools_dir/caddy/usr/bin/caddy")
[ -x "$caddy" ] || fail "there is no caddy: tools/deps.sh check gets it"

ca_init
# So short that Caddy renews within the test: it does so when a third of the lifetime is left.
ca_set lifetime 60s
ca_set backdate 20s
ca_start
read -r https_port <<<"$(free_ports 1)"
mkdir "$work/caddy"

# shellcheck disable=SC2120
caddyfile() { # caddyfile [LINE]...: with these global options
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
$(printf '\t%s\n' "$@")
}
one.e2e.test, two.e2e.test {
	respond "it works"
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

note "caddy run: obtains"
caddyfile
caddy_start
wait_until 30 "caddy has a certificate for one.e2e.test" site_has_certificate one.e2e.test
wait_until 30 "caddy has a certificate for two.e2e.test" site_has_certificate two.e2e.test
wait_until 10 "caddy serves it" served one.e2e.test
run 0 "$work/logs/curl.log" curl -sS --cacert "$root_pem" --resolve "one.e2e.test:$https_port:127.0.0.1" "https://one.e2e.test:$https_port/"
assert_has "a browser that trusts the root sees the site" "$work/logs/curl.log" "it works"
first=$(serial_of "$work/served.pem")
assert_eq "contact in the store" "$(ca_sql 'SELECT DISTINCT contact FROM accounts')" '["mailto:caddy@e2e.test"]'

note "caddy renews while it runs"
wait_until 60 "caddy serves a renewed certificate" is_renewed
good "renewed: $first -> $(serial_of "$work/served.pem")"
caddy_stop

ca_stop
e2e_done
