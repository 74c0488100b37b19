#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 14-acmetool.sh: acmetool (Go) obtains through a web server's folder and renews. It can neither revoke (its command does
# nothing) nor bind its account to an external account key nor change the account's key.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
web=$work/web/.well-known/acme-challenge
state=$work/acmetool
mkdir -p "$web" "$state/conf"
web_serve "$http_port" "$work/web"

cat >"$state/conf/target" <<CONF
request:
  provider: $directory
  key:
    type: ecdsa
  challenge:
    webroot-paths: [ $web ]
    http-self-test: false
CONF
cat >"$work/responses" <<CONF
"acme-enter-email": "acmetool@e2e.test"
CONF

acmetool_run() { # acmetool_run CODE LOG ARG...: Go takes the system's certificates from this file
	local code=$1 log=$2
	shift 2
	SSL_CERT_FILE=$root_pem SSL_CERT_DIR=/nowhere run "$code" "$work/logs/$log" acmetool --state="$state" --batch \
		--hooks="$work/hooks" --response-file="$work/responses" --xlog.severity=info "$@"
}

note "acmetool want"
acmetool_run 0 want.log want one.e2e.test two.e2e.test
check_chain "$state/live/one.e2e.test/fullchain" one.e2e.test two.e2e.test
check_key "$state/live/one.e2e.test/cert" "$state/live/one.e2e.test/privkey"
first=$(serial_of "$state/live/one.e2e.test/cert")

note "acmetool reconcile, before it is due"
acmetool_run 0 early.log reconcile
assert_eq "serial, not renewed" "$(serial_of "$state/live/one.e2e.test/cert")" "$first"

note "acmetool reconcile, with a certificate of which less than a third is left"
ca_set lifetime 60s
ca_set backdate 30s # half of it at most, so 30 s are left; acmetool renews when a third is
ca_reload
acmetool_run 0 short.log want short.e2e.test
short=$(serial_of "$state/live/short.e2e.test/cert")
sleep 12
acmetool_run 0 renew.log reconcile
assert_ne "the serial is a new one" "$(serial_of "$state/live/short.e2e.test/cert")" "$short"
assert_eq "serial of the other, not renewed" "$(serial_of "$state/live/one.e2e.test/cert")" "$first"

note "acmetool revoke: this acmetool notes the wish, says nothing and asks no CA; certbot with the certificate's key does"
certificate=$state/live/one.e2e.test
acmetool_run 0 revoke.log revoke "$(basename "$(readlink "$certificate")")"
[ -e "$certificate/revoke" ] || fail "acmetool has not noted it"
acmetool_run 0 reconcile.log reconcile
assert_not_revoked "$certificate/cert"
certbot_revoke() { # certbot_revoke CODE LOG
	REQUESTS_CA_BUNDLE=$root_pem run "$1" "$work/logs/$2" certbot revoke --server "$directory" --non-interactive \
		--config-dir "$work/certbot/etc" --work-dir "$work/certbot/var" --logs-dir "$work/certbot/log" \
		--cert-path "$certificate/cert" --key-path "$certificate/privkey" --reason cessationofoperation --no-delete-after-revoke
}
certbot_revoke 0 certbot.log
assert_revoked "$certificate/cert" 5 key
certbot_revoke 1 certbot-again.log
assert_has "certbot's log has the CA's words" "$work/certbot/log/letsencrypt.log" "alreadyRevoked"

ca_stop
e2e_done
