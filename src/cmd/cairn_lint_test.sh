#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cairn_lint_test.sh CAIRN: `cairn lint` from outside, with certificates that OpenSSL made in many shapes: what it finds, how
# it says so, and that nothing makes it end otherwise than it says.
set -u
cairn=$(realpath "$1") || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0

fail() {
	echo "FAIL: $*"
	[ -s out ] && sed 's/^/  out: /' out
	[ -s err ] && sed 's/^/  err: /' err
	bad=1
}

# expect CODE TEXT ARG...: the exit code, and TEXT somewhere in what it prints
expect() {
	want=$1
	text=$2
	shift 2
	"$cairn" lint "$@" >out 2>err </dev/null
	got=$?
	[ "$got" = "$want" ] || fail "cairn lint $*: exit $got, wanted $want"
	cat out err | grep -qF -- "$text" || fail "cairn lint $*: does not say: $text"
}

cat >shapes.cnf <<'END'
[req]
distinguished_name = none
[none]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = critical, DNS:www.example.com, DNS:*.example.org, IP:8.8.8.8, IP:2606:4700::1111
subjectKeyIdentifier = none
authorityKeyIdentifier = keyid
certificatePolicies = 2.23.140.1.2.1
authorityInfoAccess = caIssuers;URI:http://ca.example.net/i.cer
crlDistributionPoints = URI:http://ca.example.net/1.crl
[intranet]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = critical, DNS:printer, DNS:nas.local, IP:10.0.0.1
authorityKeyIdentifier = keyid
[mixed]
extendedKeyUsage = serverAuth
subjectAltName = DNS:a_b.example.com, DNS:WWW.example.com, email:ann@example.com, URI:http://x.example, otherName:1.2.3.4;UTF8:x, RID:1.2.3.4, dirName:none
nsCertType = server
nsComment = a comment
certificatePolicies = 2.23.140.1.2.1, 1.2.3.4, @qualified
policyConstraints = critical, requireExplicitPolicy:0
inhibitAnyPolicy = critical, 0
issuerAltName = email:ca@example.com
tlsfeature = status_request, status_request_v2
crlDistributionPoints = cdp
noCheck = ignored
1.2.3.4.5 = critical, DER:0500
1.3.6.1.4.1.11129.2.4.3 = critical, DER:0500
[qualified]
policyIdentifier = 1.3.5.8
CPS.1 = "http://ca.example.net/cps"
[cdp]
fullname = URI:ldap://ca.example.net/x
CRLissuer = dirName:none
reasons = keyCompromise, CACompromise
END

openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -config shapes.cnf -subj "/C=CH/O=Example/CN=Example CA" -days 1000 -extensions ca -out ca.pem

# make NAME SECTION KEY DAYS SUBJECT [OPTION...]
make() {
	name=$1 section=$2 key=$3 days=$4 subject=$5
	shift 5
	openssl req -new -key "$key" -config shapes.cnf -subj "$subject" -out made.csr 2>err &&
		openssl x509 -req -in made.csr -CA ca.pem -CAkey ca.key -set_serial 0x1c0123456789abcdef -days "$days" \
			-extfile shapes.cnf -extensions "$section" -out "$name.pem" "$@" 2>err || fail "openssl makes no $name"
}
openssl ecparam -name prime256v1 -genkey -noout -out p256.key
make good server p256.key 90 /
make long server p256.key 250 /
make intranet intranet p256.key 90 /
make mixed mixed p256.key 90 "/CN=other.example.com/OU=none"
openssl x509 -in good.pem -outform DER -out good.der
cat good.pem ca.pem mixed.pem >three.pem

# --- words -------------------------------------------------------------------------------------------------------------
expect 0 "usage: cairn lint" --help
expect 2 "found no file"
expect 2 "that is not an option" --frob good.pem
expect 2 "one of them" --public --private good.pem
expect 2 "besides --rules" --rules good.pem
expect 0 "dns-underscore" --rules
expect 0 '"rule":"dns-underscore"' --rules --json
"$cairn" lint good.pem >/dev/full 2>err && fail "a full disk behind stdout passes for success"

# --- good, and what the strictness changes ------------------------------------------------------------------------------
expect 0 "good.pem: ok (public rules, leaf)" --issuer ca.pem good.pem
expect 0 "good.der: ok (public rules, leaf)" --issuer ca.pem good.der
expect 0 "ca.pem: ok (private rules, CA)" ca.pem
expect 1 "error: leaf: " --leaf ca.pem
expect 1 "error: validity-public: found a validity of 250 days and 1 s, wanted at most 200 days" long.pem
expect 0 "long.pem: ok (private rules, leaf)" --private long.pem
expect 0 "intranet.pem: ok (private rules, leaf)" --issuer ca.pem intranet.pem
expect 1 "error: dns-internal: " --public intranet.pem
grep -q "notice: ext-key-usage-client" out || fail "clientAuth is no notice"
expect 1 "error: signature: " --issuer good.pem good.pem

# --- many findings at once, in text and JSON ----------------------------------------------------------------------------
expect 1 "three.pem, certificate 3: error: dns-underscore: " --issuer ca.pem three.pem
for rule in ext-unknown-critical ext-others subject-unit common-name-in-san key-usage info-access crl-points-form san-kinds \
	policies-qualifiers dns-case; do
	grep -q ": $rule: " out || fail "three.pem: no finding of $rule"
done
expect 1 '"rule":"dns-underscore","level":"error","source":"BR 7.1.2.7.12"' --json three.pem
[ "$(grep -o '"certificate":' out | wc -l)" = 3 ] || fail "--json does not tell of three certificates"
python3 -c 'import json; json.load(open("out"))' || fail "--json is no JSON"

# --- what cannot be read --------------------------------------------------------------------------------------------------
printf 'x' >none.pem
printf -- '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n' >empty.pem
printf -- '-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n' >torn.pem
head -c 300 good.der >cut.der
expect 2 "no certificate found" none.pem
expect 2 "this is no certificate" empty.pem
expect 2 "PEM does not parse" torn.pem
expect 2 "this is no certificate" cut.der
expect 2 "missing.pem" missing.pem
expect 2 "missing.pem" good.pem missing.pem
grep -q "good.pem: ok" out || fail "one file that is missing hides another"
expect 2 "--issuer none.pem" --issuer none.pem good.pem

# --- shapes that others make: found or not, but answered --------------------------------------------------------------------
openssl genrsa -out rsa2048.key 2048 2>/dev/null
openssl genrsa -out rsa1024.key 1024 2>/dev/null
openssl ecparam -name secp384r1 -genkey -noout -out p384.key
openssl ecparam -name secp256k1 -genkey -noout -out k256.key
openssl ecparam -name prime256v1 -param_enc explicit -genkey -noout -out explicit.key
openssl ec -in p256.key -conv_form compressed -out compressed.key 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed25519.key
openssl genpkey -algorithm RSA-PSS -out pss.key 2>/dev/null
openssl dsaparam -genkey -noout -out dsa.key 1024 2>/dev/null
answered=0
answer() { # answer RULE FILE: RULE empty: none is wanted
	"$cairn" lint --public --issuer ca.pem "$2" >out 2>err
	got=$?
	[ "$got" -le 1 ] || fail "$2: exit $got"
	[ -z "$1" ] || grep -q ": $1: " out || fail "$2: no finding of $1"
	answered=$((answered + 1))
}
while read -r shape rule; do
	make "by-$shape" server "$shape.key" 90 /
	answer "$rule" "by-$shape.pem"
done <<'END'
rsa2048
p384
rsa1024 key-rsa-size
k256 key-algorithm
explicit key-algorithm
compressed key-ec-plain
ed25519 key-ed25519
pss key-algorithm
dsa key-algorithm
END
make sha1 server p256.key 90 / -sha1
answer algorithm-bytes sha1.pem
openssl req -new -key p256.key -config shapes.cnf -subj / -out made.csr
openssl x509 -req -in made.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 90 -out v1.pem 2>/dev/null
answer version-3 v1.pem
openssl req -x509 -new -key rsa2048.key -config shapes.cnf -subj "/CN=x" -days 90 -sigopt rsa_padding_mode:pss -sha256 -out self.pem
answer issuer-name self.pem
[ "$answered" = 12 ] || fail "$answered shapes, wanted 12"
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
	"$cairn" lint /etc/ssl/certs/ca-certificates.crt >out 2>err
	[ $? -le 1 ] && [ ! -s err ] || fail "the system's roots are not all answered"
fi

[ $bad = 0 ] && echo "cairn lint: all as expected"
exit $bad
