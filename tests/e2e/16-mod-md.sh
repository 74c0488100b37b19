#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 16-mod-md.sh: Apache's mod_md (C, libcurl) obtains a certificate for a virtual host, takes it into use after a graceful
# restart, and renews.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

modules=/usr/lib/apache2/modules
[ -f "$modules/mod_md.so" ] || fail "there is no mod_md: Debian's package is apache2-bin"

ca_init
ca_start
read -r https_port <<<"$(free_ports 1)"
mkdir -p "$work/apache/www" "$work/apache/md"
echo "it works" >"$work/apache/www/index.html"
cp "$root_pem" "$work/apache/root.pem" # apache drops root, and the CA's folder is closed
[ "$(id -u)" != 0 ] || chown -R www-data "$work/apache/md"

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
LogLevel warn md:info
Listen 127.0.0.1:$http_port
Listen 127.0.0.1:$https_port
SSLSessionCache none
DocumentRoot $work/apache/www
<Directory $work/apache/www>
	Require all granted
</Directory>
MDStoreDir md
MDPortMap http:$http_port https:$https_port
MDCertificateAuthority $directory
MDCACertificateFile $work/apache/root.pem
MDCertificateAgreement accepted
MDContactEmail mod-md@e2e.test
MDCAChallenges http-01
MDRetryDelay 5s
MDomain one.e2e.test two.e2e.test
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
CONF
		[ "$(id -u)" != 0 ] || printf 'User www-data\nGroup www-data\n'
	} >"$work/apache/httpd.conf"
}

served_serial() {
	openssl s_client -connect "127.0.0.1:$https_port" -servername one.e2e.test </dev/null 2>/dev/null |
		openssl x509 -noout -serial 2>/dev/null | cut -d= -f2
}

has_staged() { # mod_md has obtained what the next restart takes over
	grep -qs AH10059 "$work/logs/apache.log" # it asks for a restart then
}

serves_ours() {
	sleep 0.3
	ca_sql 'SELECT upper(serial) FROM certificates' | grep -qx "0*$(served_serial)"
}

serves_another() {
	serves_ours && [ "$(served_serial)" != "$first" ]
}

note "apache2 with mod_md: obtains"
apache_conf
chmod 755 "$work/apache"
spawn "$work/logs/apache.out" apache2 -f "$work/apache/httpd.conf" -D FOREGROUND
apache_pid=$spawned
wait_until 40 "mod_md has obtained a certificate" has_staged
kill -USR1 "$apache_pid"
wait_until 20 "apache serves it" serves_ours
first=$(served_serial)
good "served: $first"
run 0 "$work/logs/curl.log" curl -sS --cacert "$root_pem" --resolve "one.e2e.test:$https_port:127.0.0.1" \
	"https://one.e2e.test:$https_port/"
assert_has "a browser that trusts the root sees the site" "$work/logs/curl.log" "it works"
check_chain "$work/apache/md/domains/one.e2e.test/pubcert.pem" one.e2e.test two.e2e.test
assert_eq "contact in the store" "$(ca_sql 'SELECT contact FROM accounts')" '["mailto:mod-md@e2e.test"]'

note "mod_md renews: due 90 days before the end"
: >"$work/logs/apache.log"
apache_conf "MDRenewWindow 90d"
kill -USR1 "$apache_pid"
wait_until 40 "mod_md has renewed" has_staged
apache_conf
kill -USR1 "$apache_pid"
wait_until 20 "apache serves the new one" serves_another
good "renewed: $first -> $(served_serial)"

kill -TERM "$apache_pid"
wait_until 20 "apache ends" is_gone "$apache_pid"
ca_stop
ca_check_orders 2
e2e_done
