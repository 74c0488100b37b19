#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 21-agent-pebble.sh: cairn-agent at somebody else's server: Debian's pebble, which refuses good nonces at random, gives
# its URLs other names and makes its chain anew at each start.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

read -r acme_port admin_port web_port tls_port dns_port < <(free_ports 5)
certs=$agent_dir/certificates
web=$work/web
mkdir "$web" "$work/pebble"

note "a certificate for pebble itself, a DNS server that sends every name here"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$work/pebble/key.pem" \
	-out "$work/pebble/cert.pem" -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
cat >"$work/pebble/config.json" <<CONF
{"pebble": {"listenAddress": "127.0.0.1:$acme_port", "managementListenAddress": "127.0.0.1:$admin_port",
"certificate": "$work/pebble/cert.pem", "privateKey": "$work/pebble/key.pem",
"httpPort": $web_port, "tlsPort": $tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false}}
CONF
dns_serve "$dns_port"
spawn "$work/logs/pebble.log" env PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=30 PEBBLE_AUTHZREUSE=0 pebble -strict \
	-config "$work/pebble/config.json" -dnsserver "127.0.0.1:$dns_port"
wait_until 15 "pebble answers" port_answers "$acme_port"
wait_until 15 "pebble's second port answers" port_answers "$admin_port"
root_pem=$work/pebble/root.pem
curl -sS --fail --max-time 10 --cacert "$work/pebble/cert.pem" -o "$root_pem" "https://localhost:$admin_port/roots/0"

obtain() { # obtain CODE LOG OPTION...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn-agent" obtain --server "https://localhost:$acme_port/dir" \
		--ca-file "$work/pebble/cert.pem" --dir "$agent_dir" "$@"
}

check_pebble_chain() { # check_pebble_chain FOLDER NAME...
	local folder=$1
	shift
	openssl verify -CAfile "$root_pem" -untrusted "$folder/chain.pem" -purpose sslserver -verify_hostname "$1" \
		"$folder/cert.pem" >"$work/verify" 2>&1 || fail "openssl verify: $(cat "$work/verify")"
	assert_eq "names" "$(cert_ext "$folder/cert.pem" subjectAltName | tail -n +2 | tr ',' '\n' | sed 's/^ *//' | sort)" \
		"$(printf 'DNS:%s\n' "$@" | sort)"
	check_key "$folder/cert.pem" "$folder/privkey.pem"
}

note "terms that were not agreed to"
obtain 1 terms.log --standalone --http-port "$web_port" -d one.pebble.test
assert_has "it says how to agree" "$work/logs/terms.log" "--agree-terms"

note "standalone, three names"
obtain 0 first.log --standalone --http-port "$web_port" --agree-terms --email agent@pebble.test -d one.pebble.test \
	-d two.pebble.test -d three.pebble.test
check_pebble_chain "$certs/one.pebble.test" one.pebble.test two.pebble.test three.pebble.test
first=$(serial_of "$certs/one.pebble.test/cert.pem")

note "not due; then forced, with an RSA key and the same account"
obtain 2 early.log --standalone --http-port "$web_port" --agree-terms -d one.pebble.test -d two.pebble.test -d three.pebble.test
obtain 0 force.log --standalone --http-port "$web_port" --agree-terms --force --key rsa2048 -d one.pebble.test \
	-d two.pebble.test -d three.pebble.test
check_pebble_chain "$certs/one.pebble.test" one.pebble.test two.pebble.test three.pebble.test
assert_ne "the serial is a new one" "$(serial_of "$certs/one.pebble.test/cert.pem")" "$first"
assert_eq "accounts that pebble has" "$(grep -c 'There are now [0-9]* accounts in memory' "$work/logs/pebble.log")" 1

note "webroot"
web_serve "$web_port" "$web"
obtain 0 webroot.log --webroot "$web" -d web.pebble.test
check_pebble_chain "$certs/web.pebble.test" web.pebble.test
assert_eq "what it leaves in the webroot" "$(find "$web" -mindepth 1 | wc -l)" 0

note "a failed validation: pebble's own words reach the user"
mkdir "$work/elsewhere"
obtain 1 elsewhere.log --webroot "$work/elsewhere" -d elsewhere.pebble.test
assert_has "what pebble found" "$work/logs/elsewhere.log" "404"
e2e_done
