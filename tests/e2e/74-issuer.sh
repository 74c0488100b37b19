#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 74-issuer.sh: a root that is elsewhere (openssl's, then our own offline one), several issuers at once with the client's key
# choosing, one that takes the place of another, and the root's list of what it revoked.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

certs=$agent_dir/certificates

cairn() { # cairn CODE LOG COMMAND...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn" "$@"
}

issuer() { # issuer CODE LOG COMMAND...: cairn issuer, at this CA
	local code=$1 log=$2
	shift 2
	cairn "$code" "$log" issuer "$@" -c "$ca/cairn.conf"
}

issued_by() { # issued_by NAME FILE: the certificate's authority key is this issuer's
	local aki ski
	aki=$(openssl x509 -in "$certs/$1.e2e.test/cert.pem" -noout -ext authorityKeyIdentifier | tail -n 1 | tr -d ' ')
	ski=$(openssl x509 -in "$2" -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d ' ')
	assert_eq "who issued $1" "$aki" "$ski"
	openssl verify -CAfile "$root_pem" -untrusted "$certs/$1.e2e.test/chain.pem" "$certs/$1.e2e.test/cert.pem" >"$work/verify" 2>&1 ||
		fail "$(cat "$work/verify")"
	good "openssl accepts the chain of $1"
}

obtain() { # obtain NAME KEY
	agent_run 0 "$1.log" --standalone --http-port "$http_port" --key "$2" --force -d "$1.e2e.test"
}

note "a root that openssl holds"
mkdir "$work/root"
cd "$work/root"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout root.key -out root.pem -days 3650 \
	-subj '/O=Elsewhere/CN=Elsewhere Root' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
cd "$work"
root_pem=$work/root/root.pem
ca_init --root external
assert_has "what init says" "$work/logs/init.log" "issuer/issuer.csr" "cairn issuer certificate default FILE"
[ ! -e "$ca/root/root.key" ] || fail "there is a root key"
openssl req -in "$ca/issuer/issuer.csr" -noout -verify 2>"$work/verify" || fail "$(cat "$work/verify")"
assert_has "the request" <(openssl req -in "$ca/issuer/issuer.csr" -noout -text) "CA:TRUE, pathlen:0" "Certificate Sign"
run 1 "$work/logs/early.log" "$bin/cairn" serve -c "$ca/cairn.conf"
assert_has "serving before the certificate is there" "$work/logs/early.log" "issuer.pem"

sign_elsewhere() { # sign_elsewhere CSR OUT [DAYS]: as somebody does who has never heard of cairn
	printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n%s\n' \
		'authorityKeyIdentifier=keyid' >"$work/root/ext"
	openssl x509 -req -in "$1" -CA "$work/root/root.pem" -CAkey "$work/root/root.key" -CAcreateserial -days "${3:-1000}" \
		-extfile "$work/root/ext" -out "$2" 2>/dev/null
}

note "what comes back is looked at"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/other.key" -out "$work/other.csr" \
	-subj '/CN=other' 2>/dev/null
sign_elsewhere "$work/other.csr" "$work/other.pem"
issuer 1 other.log certificate default "$work/other.pem"
assert_has "another key" "$work/logs/other.log" "certifies another key than issuer default has"
openssl x509 -req -in "$ca/issuer/issuer.csr" -CA "$work/root/root.pem" -CAkey "$work/root/root.key" -days 10 \
	-extfile <(echo 'keyUsage=digitalSignature') -out "$work/leaf.pem" 2>/dev/null
issuer 1 leaf.log certificate default "$work/leaf.pem"
assert_has "no CA certificate" "$work/logs/leaf.log" "no CA certificate"
issuer 1 nothing.log certificate default "$work/nothing.pem"
assert_has "no file" "$work/logs/nothing.log" "nothing.pem"
issuer 1 nobody.log certificate nobody "$work/other.pem"
assert_has "no such issuer" "$work/logs/nobody.log" "there is no issuer nobody"
[ ! -e "$ca/issuer/issuer.pem" ] || fail "a refused certificate was put in place"
sign_elsewhere "$ca/issuer/issuer.csr" "$work/issuer.pem"
issuer 0 take.log certificate default "$work/issuer.pem"
ca_start
obtain first p256
issued_by first "$ca/issuer/issuer.pem"
issued_by first "$work/issuer.pem"

note "beside it: an RSA issuer of the same root, activated"
issuer 0 add.log add rsa --external --key rsa2048 --name 'Elsewhere RSA' --crl-url http://crl.e2e.test/root.crl
assert_has "what add says" "$work/logs/add.log" "issuer/rsa.csr" "cairn issuer certificate rsa FILE"
assert_eq "mode of its key" "$(stat -c %a "$ca/issuer/rsa.key")" 600
issuer 1 twice.log add rsa --external
assert_has "the same name again" "$work/logs/twice.log" "is there already"
cairn 0 sign.log root sign "$ca/issuer/rsa.csr" --root "$work/root/root.pem" --root-key "$work/root/root.key" \
	--name 'Elsewhere RSA' --days 500 --crl-url http://crl.e2e.test/root.crl -o "$work/rsa.pem"
assert_has "the root's list in it" <(openssl x509 -in "$work/rsa.pem" -noout -text) "http://crl.e2e.test/root.crl" "pathlen:0"
issuer 0 take-rsa.log certificate rsa "$work/rsa.pem"
cp "$ca/cairn.conf" "$work/conf.before"
issuer 0 activate.log activate rsa
assert_eq "lines of cairn.conf that changed" "$(diff "$work/conf.before" "$ca/cairn.conf" | grep -c '^>')" 1
assert_has "that line" "$ca/cairn.conf" "issuers: [default, rsa]"
issuer 0 list.log list
assert_has "the list" "$work/logs/list.log" "rsa" "RSA 2048" "realms default" "P-256"
ca_stop
ca_start
obtain ec p256
issued_by ec "$work/issuer.pem"
obtain rsa rsa2048
issued_by rsa "$work/rsa.pem"
obtain p384 p384
issued_by p384 "$work/issuer.pem"

note "the next ECDSA issuer takes the place of the first, which goes"
cairn 2 neither.log issuer add next -c "$ca/cairn.conf"
assert_has "no root" "$work/logs/neither.log" "neither --root-key nor --external"
issuer 1 wrong-root.log add next --root "$work/root/root.pem" --root-key "$work/other.key"
assert_has "a key of another root" "$work/logs/wrong-root.log" "is not the key of the certificate"
issuer 0 next.log add next --root "$work/root/root.pem" --root-key "$work/root/root.key" --key p384 --days 36000
assert_eq "it ends with its root" "$(openssl x509 -in "$ca/issuer/next.pem" -noout -enddate)" \
	"$(openssl x509 -in "$work/root/root.pem" -noout -enddate)"
issuer 0 activate-next.log activate next
assert_has "the issuers now" "$ca/cairn.conf" "issuers: [next, rsa]"
issuer 1 retire-nobody.log retire nobody
assert_has "no such issuer" "$work/logs/retire-nobody.log" "no issuer nobody"
ca_stop
ca_start
obtain next p256
issued_by next "$ca/issuer/next.pem"
issuer 0 retire.log retire rsa
assert_has "the issuers now" "$ca/cairn.conf" "issuers: [next]"
issuer 1 retire-last.log retire next
assert_has "the last one" "$work/logs/retire-last.log" "would have no issuer left"
ca_reload
obtain rsa-again rsa2048
issued_by rsa-again "$ca/issuer/next.pem"
ca_stop

note "what the root revoked, told offline"
list() { # list CODE LOG OPTION...
	local code=$1 log=$2
	shift 2
	cairn "$code" "$log" root crl --root "$work/root/root.pem" --root-key "$work/root/root.key" -o "$work/root.crl" "$@"
}
list 0 crl.log
openssl crl -in "$work/root.crl" -inform DER -noout -CAfile "$work/root/root.pem" 2>"$work/verify"
assert_has "openssl verifies the empty list" "$work/verify" "verify OK"
list 0 crl2.log --revoke "$work/rsa.pem,superseded" --days 30
openssl crl -in "$work/root.crl.pem" -noout -text -CAfile "$work/root/root.pem" >"$work/crl.text" 2>&1
assert_has "the second list" "$work/crl.text" "verify OK" "Superseded" "CRL Number" "2"
list 0 crl3.log --revoke "$work/rsa.pem" --revoke "$work/issuer.pem,cessationOfOperation"
assert_has "revoked already" "$work/logs/crl3.log" "is revoked already" "2 revoked"
assert_eq "in the third list" "$(openssl crl -in "$work/root.crl.pem" -noout -text | grep -c 'Serial Number:')" 2
cat "$work/root/root.pem" "$work/root.crl.pem" >"$work/both.pem"
! openssl verify -crl_check -CAfile "$work/both.pem" "$work/rsa.pem" >"$work/verify" 2>&1 ||
	fail "openssl accepts a revoked intermediate"
assert_has "openssl knows that it is revoked" "$work/verify" "certificate revoked"
openssl verify -crl_check -CAfile "$work/both.pem" "$ca/issuer/next.pem" >"$work/verify" 2>&1 || fail "$(cat "$work/verify")"
good "and that the other one is not"
list 1 crl-foreign.log --revoke "$certs/first.e2e.test/cert.pem"
assert_has "a certificate of another issuer" "$work/logs/crl-foreign.log" "was not issued by this root"
list 1 crl-itself.log --revoke "$work/root/root.pem"
assert_has "the root itself" "$work/logs/crl-itself.log" "is the root itself"
list 1 crl-reason.log --revoke "$work/rsa.pem,boredom"
assert_has "a reason that is none" "$work/logs/crl-reason.log" 'the reason "boredom"'
list 2 crl-days.log --days 400
assert_has "a list that lasts too long" "$work/logs/crl-days.log" "at most 366"
printf 'rubbish' >"$work/rubbish.crl"
cairn 1 crl-rubbish.log root crl --root "$work/root/root.pem" --root-key "$work/root/root.key" -o "$work/rubbish.crl"
assert_has "a file that is no list stays" "$work/logs/crl-rubbish.log" "cannot be continued"
assert_eq "it" "$(cat "$work/rubbish.crl")" rubbish
e2e_done
