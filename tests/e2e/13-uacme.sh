#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 13-uacme.sh: uacme (C, libcurl, GnuTLS) binds its account to an external account key, obtains for names, an address and
# a wildcard through a hook that writes into a web server's folder or the DNS, renews, revokes with both keys, changes its
# account's key and ends the account. It trusts the system's certificates and has no option for others, so it runs in a
# mount namespace of its own, where the system's file of trusted certificates is ours.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set eab required
ca_set challenges "[http-01, dns-01]"
ca_set addresses "[127.0.0.0/8]"
dns_start
ca_start
web=$work/web
conf=$work/uacme
mkdir -p "$web/.well-known/acme-challenge" "$conf"
web_serve "$http_port" "$web"

cat >"$work/hook" <<'HOOK'
#!/bin/sh
# uacme's hook: METHOD TYPE IDENT TOKEN AUTH
case $1.$2.$WANTED in
begin.http-01.http-01) printf %s "$5" >"$CHALLENGES/$4" ;;
done.http-01.* | failed.http-01.*) rm "$CHALLENGES/$4" ;;
begin.dns-01.dns-01) "$DNS_HOOK" present "_acme-challenge.$3" "$5" ;;
done.dns-01.* | failed.dns-01.*) "$DNS_HOOK" cleanup "_acme-challenge.$3" "$5" ;;
*) exit 1 ;; # declines; uacme offers the next one
esac
HOOK
chmod 755 "$work/hook"
export CHALLENGES=$web/.well-known/acme-challenge DNS_HOOK=$dns_hook WANTED=http-01
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

note "uacme new, without an external account key, with a wrong one and with its own"
uacme_run 2 bare.log new uacme@e2e.test
assert_has "uacme shows what the CA wants" "$work/logs/bare.log" "requires external credentials" "KEYID:KEY"
eab_add --label uacme --uses 1
uacme_run 2 wrong.log --eab "nobody:$hmac_key" new uacme@e2e.test
assert_has "uacme shows the CA's words" "$work/logs/wrong.log" "no such key id, or the MAC is not by its key"
uacme_run 0 new.log --eab "$kid:$hmac_key" new uacme@e2e.test
assert_bound "$kid"
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

note "uacme issue, an RSA key; uacme update"
uacme_run 0 rsa.log --type=RSA issue rsa.e2e.test
check_chain "$conf/rsa.e2e.test/cert.pem" rsa.e2e.test
uacme_run 0 update.log update second@e2e.test
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:second@e2e.test"]'

note "uacme issue, an address (RFC 8738)"
uacme_run 0 address.log issue 127.0.0.1
openssl verify -CAfile "$root_pem" -untrusted "$conf/127.0.0.1/cert.pem" -verify_ip 127.0.0.1 "$conf/127.0.0.1/cert.pem" \
	>"$work/logs/verify.log" || fail "$(cat "$work/logs/verify.log")"
assert_eq "names of the certificate" "$(cert_ext "$conf/127.0.0.1/cert.pem" subjectAltName | tail -n 1 | xargs)" "IP Address:127.0.0.1"

note "uacme issue, a wildcard, by dns-01"
WANTED=dns-01 uacme_run 0 wild.log issue wild.e2e.test '*.wild.e2e.test'
check_chain "$conf/wild.e2e.test/cert.pem" wild.e2e.test '*.wild.e2e.test'
dns_is_empty

note "uacme revoke with the account, with a reason; twice"
cp "$conf/rsa.e2e.test/cert.pem" "$work/rsa.pem"
uacme_run 0 revoke.log --reason=5 revoke "$conf/rsa.e2e.test/cert.pem"
assert_revoked "$work/rsa.pem" 5 account
uacme_run 2 revoke-again.log revoke "$work/rsa.pem"
assert_has "uacme shows the CA's words" "$work/logs/revoke-again.log" "alreadyRevoked" "with reason 5 (cessationOfOperation)"

note "uacme newkey: the account has another key, the old one is dead"
thumbprint=$(ca_sql 'SELECT thumbprint FROM accounts')
cp -a "$conf" "$work/old"
uacme_run 0 newkey.log newkey
assert_ne "the account's key in the store is another" "$(ca_sql 'SELECT thumbprint FROM accounts')" "$thumbprint"
assert_eq "accounts" "$(ca_sql 'SELECT count(*) FROM accounts')" 1
uacme_run 0 after-newkey.log --force issue one.e2e.test two.e2e.test
check_chain "$conf/one.e2e.test/cert.pem" one.e2e.test two.e2e.test
uacme_run 2 old-key.log --confdir "$work/old" --force issue one.e2e.test
assert_has "the old key is nobody's" "$work/logs/old-key.log" "no account associated with $work/old/private/key.pem"

note "uacme deactivate; the certificate's own key still revokes"
uacme_run 0 deactivate.log deactivate
uacme_run 2 after.log --force issue one.e2e.test
assert_has "uacme is told that the account has ended" "$work/logs/after.log" "deactivated"
cp "$conf/one.e2e.test/cert.pem" "$work/one.pem"
uacme_run 0 revoke-key.log --reason=1 revoke "$conf/one.e2e.test/cert.pem" "$conf/private/one.e2e.test/key.pem"
assert_revoked "$work/one.pem" 1 key
assert_eq "keys that nobody may use any more" "$(ca_sql 'SELECT count(*) FROM blocked_keys')" 1
assert_eq "challenge files left" "$(find "$CHALLENGES" -type f | wc -l)" 0

ca_stop
ca_check_orders 6
e2e_done
