#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 13-uacme.sh: uacme (C, libcurl, GnuTLS) obtains and renews through a hook that writes into a web server's folder. It
# trusts the system's certificates and has no option for others, so it runs in a mount namespace of its own, where the
# system's file of trusted certificates is ours.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
web=$work/web
conf=$work/uacme
mkdir -p "$web/.well-known/acme-challenge" "$conf"
spawn "$work/logs/web.log" "$e2e_dir/helper.py" web "$http_port" "$web"
wait_until 10 "the web server listens" port_answers "$http_port"

cat >"$work/hook" <<'HOOK'
#!/bin/sh
# uacme's hook: METHOD TYPE IDENT TOKEN AUTH
[ "$2" = http-01 ] || exit 1
case $1 in
begin) printf %s "$5" >"$CHALLENGES/$4" ;;
done | failed) rm "$CHALLENGES/$4" ;;
*) exit 1 ;;
esac
HOOK
chmod 755 "$work/hook"
export CHALLENGES=$web/.well-known/acme-challenge
bundle=/etc/ssl/certs/ca-certificates.crt
[ -f "$bundle" ] || fail "$bundle is not there to be mounted over"

uacme_run() { # uacme_run CODE LOG ARG...
	local code=$1 log=$2
	shift 2
	# shellcheck disable=SC2016 # the inner shell's
	run "$code" "$work/logs/$log" unshare --mount --propagation private sh -c \
		'mount --bind "$1" "$2" && shift 2 && exec "$@"' sh "$root_pem" "$bundle" \
		uacme --verbose --acme-url "$directory" --confdir "$conf" --hook "$work/hook" --yes "$@"
}

note "uacme new"
uacme_run 0 new.log new uacme@e2e.test
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:uacme@e2e.test"]'

note "uacme issue, an EC key"
uacme_run 0 issue.log --type=EC issue one.e2e.test two.e2e.test
check_chain "$conf/one.e2e.test/cert.pem" one.e2e.test two.e2e.test
check_key "$conf/one.e2e.test/cert.pem" "$conf/private/one.e2e.test/key.pem"
first=$(serial_of "$conf/one.e2e.test/cert.pem")

note "uacme issue, before it is due"
uacme_run 1 early.log issue one.e2e.test two.e2e.test
assert_eq "serial, not renewed" "$(serial_of "$conf/one.e2e.test/cert.pem")" "$first"

note "uacme issue --force"
uacme_run 0 force.log --force issue one.e2e.test two.e2e.test
check_chain "$conf/one.e2e.test/cert.pem" one.e2e.test two.e2e.test
check_key "$conf/one.e2e.test/cert.pem" "$conf/private/one.e2e.test/key.pem"
assert_ne "the serial is a new one" "$(serial_of "$conf/one.e2e.test/cert.pem")" "$first"

note "uacme issue, an RSA key; uacme update; uacme deactivate"
uacme_run 0 rsa.log --type=RSA issue rsa.e2e.test
check_chain "$conf/rsa.e2e.test/cert.pem" rsa.e2e.test
uacme_run 0 update.log update second@e2e.test
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:second@e2e.test"]'
uacme_run 0 deactivate.log deactivate
uacme_run 2 after.log --force issue one.e2e.test
assert_has "uacme is told that the account has ended" "$work/logs/after.log" "deactivated"
assert_eq "challenge files left" "$(find "$CHALLENGES" -type f | wc -l)" 0

ca_stop
ca_check_orders 3
e2e_done
