#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 70-profiles.sh: one certificate of every kind, ordered by its profile, and what others make of it: OpenSSL, GnuTLS
# (certtool), NSS (certutil) and Go's x509 (Caddy) accept each for what it is for and for nothing else. Who the subscriber
# is comes from an operator's grant.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

caddy=$(command -v caddy || echo "$tools_dir/caddy/usr/bin/caddy")
[ -x "$caddy" ] || fail "there is no caddy: tools/deps.sh check gets it"

add_to() { # add_to SECTION LINE...: entries at the head of a section of cairn.conf
	local section=$1
	shift
	printf '  %s\n' "$@" >"$work/entries"
	sed -i "/^$section:/r $work/entries" "$ca/cairn.conf"
}

# An issuer for code and e-mail, which the root signs as its owner would: the one of cairn init is for TLS.
second_issuer() {
	mkdir "$ca/issuer/code"
	(umask 077 && openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$ca/issuer/code/issuer.key")
	openssl req -new -key "$ca/issuer/code/issuer.key" -subj "/O=E2E/CN=Code and mail" -out "$work/code.csr"
	cat >"$work/code.ext" <<-'EXT'
		basicConstraints = critical, CA:TRUE, pathlen:0
		keyUsage = critical, keyCertSign, cRLSign
		extendedKeyUsage = codeSigning, emailProtection
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
	EXT
	run 0 "$work/logs/code-issuer.log" openssl x509 -req -in "$work/code.csr" -CA "$root_pem" -CAkey "$ca/root/root.key" \
		-days 100 -sha256 -extfile "$work/code.ext" -out "$ca/issuer/code/issuer.pem"
}

note "a CA with two issuers and a realm for each use"
# shellcheck disable=SC2119 # no flags of its own
ca_init
second_issuer
names='names: ["*.e2e.test"], addresses: [127.0.0.0/8]'
add_to realm "tls: { $names, profiles: [server, shortlived, client, long], grants: true }" \
	"staple: { $names, profiles: [staple] }" \
	"brief: { $names, lifetime-max: 2h }" \
	"code: { $names, profiles: [codesigning, email], issuers: [code], grants: true }" \
	"wrong: { $names, profiles: [nobody] }"
add_to profile "staple: { must-staple: true }" "long: { lifetime: 825d, common-name: true, policies: [2.23.140.1.2.1, 1.3.6.1.4.1.99999.1] }" \
	"nobody: { use: [code-signing], subject: off }"
add_to issuer "code: { certificate: issuer/code/issuer.pem, key: issuer/code/issuer.key }"
add_to operator "chief: {}"
run 0 "$work/logs/operator.log" "$bin/cairn" grant key chief --unencrypted -c "$ca/cairn.conf"
run 0 "$work/logs/check-config.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
assert_has "check-config" "$work/logs/check-config.log" "profile.long.lifetime: more than 398d, so 398d counts" \
	"realm.wrong.profiles: nobody: nothing will be issued: the extended key usage of issuer.default.certificate does not permit its use"
ca_start
assert_has "what is clamped, in the log" "$ca_log" "profile.long.lifetime: more than 398d, so 398d counts"
export REQUESTS_CA_BUNDLE=$root_pem LEGO_CA_CERTIFICATES=$root_pem
base=https://localhost:$api_port

obtain() { # obtain CODE REALM PROFILE KIND NAME [OPTION]...: sets $leaf, $key, $above; a profile of "-" asks for none
	local code=$1 realm=$2 profile=$3 kind=$4 name=$5
	shift 5
	[ "$profile" = - ] || set -- --profile "$profile" "$@"
	directory=$base/realm/$realm/directory agent_dir=$work/agent-$realm agent_run "$code" "$realm-$profile-$kind-$name.log" \
		--standalone --http-port "$http_port" --force --key "$kind" -d "$name" "$@"
	leaf=$work/agent-$realm/certificates/$name/cert.pem
	key=$work/agent-$realm/certificates/$name/privkey.pem
	above=$work/agent-$realm/certificates/$name/chain.pem
	[ "$code" != 0 ] || check_key "$leaf" "$key"
}

text() { # text EXTENSION: as openssl says it, on one line
	cert_ext "$leaf" "$1" | xargs
}

# --- OpenSSL, GnuTLS and NSS -----------------------------------------------------------------------------------------

openssl_says() { # openssl_says CODE PURPOSE [OPTION]...
	local code=$1 purpose=$2
	shift 2
	run "$code" "$work/logs/openssl.log" openssl verify -x509_strict -purpose "$purpose" -CAfile "$root_pem" -untrusted "$above" "$@" "$leaf"
}

gnutls_says() { # gnutls_says CODE PURPOSE [OPTION]...
	local code=$1 purpose=$2
	shift 2
	cat "$leaf" "$above" >"$work/chain.pem"
	run "$code" "$work/logs/certtool.log" certtool --verify --load-ca-certificate "$root_pem" --verify-purpose "$purpose" \
		"$@" --infile "$work/chain.pem"
}

nss=$work/nss
mkdir "$nss"
certutil -N -d "sql:$nss" --empty-password
certutil -A -d "sql:$nss" -n root -t CT,C,C -i "$root_pem"
certutil -A -d "sql:$nss" -n tls -t ,, -i "$ca/issuer/issuer.pem"
certutil -A -d "sql:$nss" -n code -t ,, -i "$ca/issuer/code/issuer.pem"

nss_says() { # nss_says CODE USAGE: C client, V server, J object signer, S mail signer, R mail recipient
	certutil -A -d "sql:$nss" -n leaf -t ,, -i "$leaf"
	run "$1" "$work/logs/certutil.log" certutil -V -d "sql:$nss" -n leaf -u "$2" -e -l
	certutil -D -d "sql:$nss" -n leaf
}

server=1.3.6.1.5.5.7.3.1 client=1.3.6.1.5.5.7.3.2 code=1.3.6.1.5.5.7.3.3 mail=1.3.6.1.5.5.7.3.4

serves() { # serves NAME: a TLS server and nothing else
	openssl_says 0 sslserver -verify_hostname "$1"
	openssl_says 2 sslclient
	gnutls_says 0 $server --verify-hostname "$1"
	gnutls_says 1 $client
	nss_says 0 V
	nss_says 255 C
	good "$1 is a server's for OpenSSL, GnuTLS and NSS, and not a client's"
}

note "server: P-256 and RSA, DV policy, no subject"
obtain 0 tls server p256 ec.e2e.test
serves ec.e2e.test
assert_eq "key usage" "$(text keyUsage)" "X509v3 Key Usage: critical Digital Signature"
assert_eq "policies" "$(text certificatePolicies)" "X509v3 Certificate Policies: Policy: 2.23.140.1.2.1"
assert_eq "subject" "$(openssl x509 -in "$leaf" -noout -subject)" "subject="
assert_eq "seconds valid" "$(cert_seconds "$leaf")" $((90 * 86400))
cat "$leaf" "$above" >"$work/server.pem" && cp "$key" "$work/server.key"
obtain 0 tls server rsa2048 rsa.e2e.test
serves rsa.e2e.test
assert_eq "key usage" "$(text keyUsage)" "X509v3 Key Usage: critical Digital Signature, Key Encipherment"

note "shortlived: 160 hours"
obtain 0 tls shortlived p384 brief.e2e.test
serves brief.e2e.test
assert_eq "seconds valid" "$(cert_seconds "$leaf")" $((160 * 3600))
cert_ext "$leaf" crlDistributionPoints | grep -q . && fail "it points to a revocation list"

note "an own one: two policies, a common name, and not longer than 398 days"
obtain 0 tls long p256 long.e2e.test
serves long.e2e.test
assert_eq "seconds valid" "$(cert_seconds "$leaf")" $((398 * 86400))
assert_eq "policies" "$(text certificatePolicies)" \
	"X509v3 Certificate Policies: Policy: 2.23.140.1.2.1 Policy: 1.3.6.1.4.1.99999.1"
assert_eq "subject" "$(openssl x509 -in "$leaf" -noout -subject)" "subject=CN = long.e2e.test"

note "client"
obtain 0 tls client p256 client.e2e.test
openssl_says 0 sslclient
openssl_says 2 sslserver
gnutls_says 0 $client
gnutls_says 1 $server
nss_says 0 C
nss_says 255 V
cat "$leaf" "$above" >"$work/client.pem" && cp "$key" "$work/client.key"

note "must-staple: lego asks for it; where the profile gives none it is refused"
lego_staple() { # lego_staple CODE REALM
	run "$1" "$work/logs/lego-$2.log" lego --server "$base/realm/$2/directory" --accept-tos --email lego@e2e.test --http \
		--http.port "127.0.0.1:$http_port" --path "$work/lego-$2" -d staple.e2e.test run --must-staple
}
lego_staple 0 staple
leaf=$work/lego-staple/certificates/staple.e2e.test.crt
assert_eq "TLS feature" "$(text tlsfeature)" "TLS Feature: status_request"
above=$work/lego-staple/certificates/staple.e2e.test.issuer.crt
serves staple.e2e.test
lego_staple 1 brief
assert_has "lego says why" "$work/logs/lego-brief.log" "urn:ietf:params:acme:error:badCSR" \
	"the CSR asks for must-staple (TLS feature 5), which profile server does not give"

note "code and mail want a subscriber that somebody vouches for"
obtain 1 code codesigning p256 build.e2e.test
assert_has "without a grant" "$work/logs/code-codesigning-p256-build.e2e.test.log" \
	"profile codesigning says who the subscriber is, and no grant of this account does"
account=$(ca_sql "SELECT thumbprint FROM accounts WHERE realm = 'code'")
run 0 "$work/logs/grant.log" "$bin/cairn" grant add --operator chief --realm code --account "$account" --organization "Prüfling & Söhne" \
	--locality Köln --country DE --email build@e2e.test --days 1 -c "$ca/cairn.conf"
obtain 0 code codesigning p256 build.e2e.test
assert_eq "subject" "$(openssl x509 -in "$leaf" -noout -subject -nameopt utf8,sep_comma_plus)" "subject=C=DE,L=Köln,O=Prüfling & Söhne"
assert_eq "extended key usage" "$(text extendedKeyUsage)" "X509v3 Extended Key Usage: Code Signing"
assert_eq "key usage" "$(text keyUsage)" "X509v3 Key Usage: critical Digital Signature"
openssl_says 0 any
openssl_says 2 sslserver
openssl_says 2 smimesign
gnutls_says 0 $code
gnutls_says 1 $server
nss_says 0 J
nss_says 255 V
cat "$leaf" "$above" >"$work/code.pem" && cp "$key" "$work/code.key"
obtain 1 code codesigning p256 127.0.0.1
assert_has "an address" "$work/logs/code-codesigning-p256-127.0.0.1.log" "rejectedIdentifier" "127.0.0.1 is not allowed: profile codesigning is for dns"
obtain 1 code codesigning rsa2048 weak.e2e.test
assert_has "too small a key" "$work/logs/code-codesigning-rsa2048-weak.e2e.test.log" "badCSR" \
	"the CSR's key is RSA-2048; profile codesigning takes P-256, P-384, P-521, RSA-3072, RSA-4096"

note "mail: signed and encrypted, with both kinds of keys"
printf 'hello\n' >"$work/mail"
for kind in p256 rsa3072; do
	obtain 0 code email "$kind" "$kind.e2e.test"
	assert_eq "names" "$(cert_ext "$leaf" subjectAltName | tail -n +2 | xargs)" "DNS:$kind.e2e.test, email:build@e2e.test"
	openssl_says 0 smimesign -verify_email build@e2e.test
	# This purpose of OpenSSL's means RSA's keyEncipherment; EC keys agree (RFC 5753), which `openssl cms` does below.
	[ "$kind" = p256 ] || openssl_says 0 smimeencrypt
	openssl_says 2 sslclient
	gnutls_says 0 $mail --verify-email build@e2e.test
	gnutls_says 1 $code
	nss_says 0 S
	nss_says 0 R
	nss_says 255 C
	run 0 "$work/logs/cms.log" openssl cms -sign -in "$work/mail" -signer "$leaf" -inkey "$key" -certfile "$above" -out "$work/signed"
	run 0 "$work/logs/cms.log" openssl cms -verify -in "$work/signed" -CAfile "$root_pem" -purpose smimesign -out "$work/plain"
	run 0 "$work/logs/cms.log" openssl cms -encrypt -aes256 -in "$work/mail" -out "$work/sealed" -recip "$leaf"
	run 0 "$work/logs/cms.log" openssl cms -decrypt -in "$work/sealed" -recip "$leaf" -inkey "$key" -out "$work/plain"
	assert_eq "the mail" "$(tr -d '\r' <"$work/plain")" hello
done
cat "$leaf" "$above" >"$work/mail.pem" && cp "$key" "$work/mail.key"

note "an issuer that may not issue for a use"
obtain 1 wrong nobody p256 nobody.e2e.test
assert_has "the client hears of it" "$work/logs/wrong-nobody-p256-nobody.e2e.test.log" "may not issue for what profile nobody is for"

# --- Go ---------------------------------------------------------------------------------------------------------------

note "Caddy serves with the server's certificate and wants one from clients; Caddy as a client verifies it"
read -r tls_port proxy_port <<<"$(free_ports 2)"
cat >"$work/Caddyfile" <<CONF
{
	admin off
	debug
	auto_https disable_redirects
}
https://ec.e2e.test:$tls_port {
	bind 127.0.0.1
	tls $work/server.pem $work/server.key {
		client_auth {
			mode require_and_verify
			trusted_ca_cert_file $root_pem
		}
	}
	respond "it works"
}
http://127.0.0.1:$proxy_port {
	bind 127.0.0.1
	reverse_proxy https://127.0.0.1:$tls_port {
		header_up Host ec.e2e.test
		transport http {
			tls_trusted_ca_certs $root_pem
			tls_server_name ec.e2e.test
			tls_client_auth $work/client.pem $work/client.key
		}
	}
}
CONF
spawn "$work/logs/caddy.log" "$caddy" run --adapter caddyfile --config "$work/Caddyfile"
wait_until 15 "caddy is ready" port_answers "$proxy_port"
assert_eq "Go's client believes the server, and Go's server the client" "$(curl -s "http://127.0.0.1:$proxy_port/")" "it works"
from() { # from WHOSE: a client with this certificate; prints what came
	curl -s --resolve "ec.e2e.test:$tls_port:127.0.0.1" --cacert "$root_pem" --cert "$work/$1.pem" --key "$work/$1.key" \
		"https://ec.e2e.test:$tls_port/" 2>"$work/logs/curl.log" || true
}
assert_eq "Go accepts the client's" "$(from client)" "it works"
# Go looks at usages last: that it complains of them means that chain, names and signatures were good.
for whose in code mail server; do
	before=$(grep -c 'certificate specifies an incompatible key usage' "$work/logs/caddy.log") || true
	assert_eq "Go accepts $whose as a client's" "$(from "$whose")" ""
	wait_until 5 "Go says why" test "$(grep -c 'certificate specifies an incompatible key usage' "$work/logs/caddy.log")" -gt "$before"
done
ca_stop
e2e_done
