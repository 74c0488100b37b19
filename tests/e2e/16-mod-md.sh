#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 16-mod-md.sh: Apache's mod_md (C, libcurl) binds its account to an external account key, obtains certificates for two
# virtual hosts, by http-01 and by tls-alpn-01, takes them into use after a graceful restart, renews what is due, and
# renews what the CA says is due (RFC 9773). It has no command that revokes or changes the account's key.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

modules=/usr/lib/apache2/modules
[ -f "$modules/mod_md.so" ] || fail "there is no mod_md: Debian's package is apache2-bin"

ca_init
read -r https_port <<<"$(free_ports 1)"
ca_set eab required
ca_set challenges "[http-01, tls-alpn-01]"
ca_set alpn-port "$https_port"
ca_start
mkdir -p "$work/apache/www" "$work/apache/md" "$work/apache/bare"
echo "it works" >"$work/apache/www/index.html"
cp "$root_pem" "$work/apache/root.pem" # apache drops root, and the CA's folder is closed
[ "$(id -u)" != 0 ] || chown -R www-data "$work/apache/md" "$work/apache/bare"

apache_conf() { # apache_conf [LINE]...
	{
		for module in mpm_event authz_core socache_shmcb ssl md dir; do
			echo "LoadModule ${module}_module $modules/mod_$module.so"
		done
		cat <<CONF
ServerRoot $work/apache
ServerName localhost
PidFile $work/apache/pid
ErrorLog $work/logs/apache.log
LogLevel warn md:debug
Listen 127.0.0.1:$http_port
Listen 127.0.0.1:$https_port
SSLSessionCache none
DocumentRoot $work/apache/www
<Directory $work/apache/www>
	Require all granted
</Directory>
MDStoreDir ${md_store:-md}
MDPortMap http:$http_port https:$https_port
MDCertificateAuthority $directory
MDCACertificateFile $work/apache/root.pem
MDCertificateAgreement accepted
MDContactEmail mod-md@e2e.test
MDCAChallenges http-01
MDRetryDelay 5s
MDCheckInterval 2s
Protocols http/1.1 acme-tls/1
MDomain one.e2e.test two.e2e.test
<MDomain alpn.e2e.test>
	MDCAChallenges tls-alpn-01
</MDomain>
$(printf '%s\n' "$@")
<VirtualHost 127.0.0.1:$http_port>
	ServerName one.e2e.test
	ServerAlias two.e2e.test
</VirtualHost>
<VirtualHost 127.0.0.1:$https_port>
	ServerName one.e2e.test
	ServerAlias two.e2e.test
	SSLEngine on
</VirtualHost>
<VirtualHost 127.0.0.1:$https_port>
	ServerName alpn.e2e.test
	SSLEngine on
</VirtualHost>
CONF
		[ "$(id -u)" != 0 ] || printf 'User www-data\nGroup www-data\n'
	} >"$work/apache/httpd.conf"
}

apache_start() {
	chmod 755 "$work/apache"
	spawn "$work/logs/apache.out" apache2 -f "$work/apache/httpd.conf" -D FOREGROUND
	apache_pid=$spawned
}

apache_stop() {
	kill -TERM "$apache_pid"
	wait_until 20 "apache ends" is_gone "$apache_pid"
}

apache_says() { # apache_says REGEX: since its log was emptied
	grep -qsaE "$1" "$work/logs/apache.log"
}

has_staged() { # has_staged NAME: mod_md has obtained what the next restart takes over, and asks for that
	apache_says "AH10059.* $1 "
}

hex_b64url() { # hex_b64url HEX: as a certificate's id in RFC 9773 4.1 has its serial
	python3 -c 'import base64, sys; print(base64.urlsafe_b64encode(bytes.fromhex(sys.argv[1])).decode().rstrip("="))' "$1"
}

served_serial() { # served_serial NAME
	openssl s_client -connect "127.0.0.1:$https_port" -servername "$1" </dev/null 2>/dev/null |
		openssl x509 -noout -serial 2>/dev/null | cut -d= -f2
}

serves_ours() { # serves_ours NAME
	sleep 0.3
	ca_sql 'SELECT upper(serial) FROM certificates' | grep -qx "0*$(served_serial "$1")"
}

serves_another() { # serves_another NAME SERIAL
	serves_ours "$1" && [ "$(served_serial "$1")" != "$2" ]
}

note "apache2 with mod_md, without an external account key"
md_store=bare apache_conf
apache_start
wait_until 20 "mod_md says what it lacks" apache_says "MDExternalAccountBinding directive"
wait_until 20 "mod_md shows the CA's words" apache_says "new accounts here need an external account binding"
good "mod_md says what it lacks, in its words and the CA's"
apache_stop
assert_eq "accounts" "$(ca_sql 'SELECT count(*) FROM accounts')" 0

note "apache2 with mod_md, with its key: obtains"
eab_add --label mod_md
binding="MDExternalAccountBinding $kid $hmac_key"
: >"$work/logs/apache.log"
apache_conf "$binding" "MDRenewViaARI off"
apache_start
wait_until 40 "mod_md has obtained a certificate" has_staged one.e2e.test
wait_until 40 "mod_md has obtained another one" has_staged alpn.e2e.test
kill -USR1 "$apache_pid"
wait_until 20 "apache serves it" serves_ours one.e2e.test
wait_until 20 "apache serves the other one" serves_ours alpn.e2e.test
first=$(served_serial one.e2e.test)
good "served: $first"
run 0 "$work/logs/curl.log" curl -sS --cacert "$root_pem" --resolve "one.e2e.test:$https_port:127.0.0.1" \
	"https://one.e2e.test:$https_port/"
assert_has "a browser that trusts the root sees the site" "$work/logs/curl.log" "it works"
check_chain "$work/apache/md/domains/one.e2e.test/pubcert.pem" one.e2e.test two.e2e.test
check_chain "$work/apache/md/domains/alpn.e2e.test/pubcert.pem" alpn.e2e.test
assert_eq "how they were proved" "$(ca_sql "SELECT a.ident_value || ' ' || c.type FROM challenges c JOIN authorizations a
	ON a.id = c.authz WHERE c.status = 'valid' ORDER BY 1" | xargs)" \
	"alpn.e2e.test tls-alpn-01 one.e2e.test http-01 two.e2e.test http-01"
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:mod-md@e2e.test"]'
assert_bound "$kid"

note "mod_md renews: due 90 days before the end"
: >"$work/logs/apache.log"
apache_conf "$binding" "MDRenewViaARI off" "MDRenewWindow 90d"
kill -USR1 "$apache_pid"
wait_until 40 "mod_md has renewed" has_staged one.e2e.test
wait_until 40 "mod_md has renewed the other one" has_staged alpn.e2e.test
apache_conf "$binding" "MDRenewViaARI off"
kill -USR1 "$apache_pid"
wait_until 20 "apache serves the new one" serves_another one.e2e.test "$first"
good "renewed: $first -> $(served_serial one.e2e.test)"

note "a revoked certificate: mod_md asks when to renew, hears that it is overdue and renews"
alpn=$work/apache/md/domains/alpn.e2e.test
cp "$alpn/pubcert.pem" "$work/revoked.pem"
REQUESTS_CA_BUNDLE=$root_pem run 0 "$work/logs/revoke.log" certbot revoke --server "$directory" --non-interactive \
	--config-dir "$work/certbot/etc" --work-dir "$work/certbot/var" --logs-dir "$work/certbot/log" --no-delete-after-revoke \
	--cert-path "$alpn/pubcert.pem" --key-path "$alpn/privkey.pem" --reason superseded
assert_revoked "$work/revoked.pem" 4 key
first=$(serial_of "$work/revoked.pem")
orders=$(ca_sql 'SELECT count(*) FROM orders')
: >"$work/logs/apache.log"
sleep 3 # more than its check interval
! has_staged alpn.e2e.test || fail "it renewed what was not due, without having been told to"
apache_conf "$binding"
kill -USR1 "$apache_pid"
wait_until 40 "mod_md has renewed" has_staged alpn.e2e.test
apache_says "alpn.e2e.test\): CA advises renew via ARI now" || fail "it renewed for another reason"
good "mod_md renews because the CA says so"
assert_eq "orders since" "$(ca_sql "SELECT count(*) - $orders FROM orders")" 1
replaced=$(ca_sql "SELECT replaces FROM orders ORDER BY created_at DESC LIMIT 1")
assert_eq "what the order replaces" "${replaced#*.}" "$(hex_b64url "$first")"
kill -USR1 "$apache_pid"
wait_until 20 "apache serves the new one" serves_another alpn.e2e.test "$first"
good "renewed: $first -> $(served_serial alpn.e2e.test)"

apache_stop
ca_stop
ca_check_orders 5
e2e_done
