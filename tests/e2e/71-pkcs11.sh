#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 71-pkcs11.sh: the issuing key is in a token (SoftHSM, behind a module that makes faults when asked to). The token goes and
# comes back, its module answers wrongly, crashes, hangs: orders wait and are done then, and only the signer is started
# anew. A wrong PIN is tried once, whoever starts the signer again and again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

hsm=$work/hsm
mkdir -m 700 "$hsm" "$hsm/tokens"
cp "$build/tests/faulty_pkcs11.so" "$hsm/module.so"
chmod 755 "$hsm/module.so"
cat >"$hsm/softhsm.conf" <<CONF
directories.tokendir = $hsm/tokens
objectstore.backend = file
log.level = ERROR
CONF
export SOFTHSM2_CONF=$hsm/softhsm.conf CAIRN_FAULTY_SCRIPT=$hsm/script CAIRN_FAULTY_LOG=$hsm/calls
pin=$hsm/pin
uri="pkcs11:token=cairn;object=issuing?module-path=$hsm/module.so"

faults() { # faults LINE...: from now on; none: the token is well
	printf '%s\n' "$@" >"$hsm/script"
}

set_pin() {
	(umask 077 && printf '%s\n' "$1" >"$pin")
}

logins() { # how often a PIN was tried since the last question
	grep -c '^C_Login$' "$hsm/calls" 2>/dev/null || true
	rm -f "$hsm/calls"
}

init_hsm() {
	run 0 "$work/logs/softhsm.log" softhsm2-util --init-token --free --label cairn --pin 648219 --so-pin 3537363231383830
}

order() { # order NAME: in the background; its pid is in $spawned
	spawn "$work/logs/agent-$1.log" "$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" \
		--standalone --http-port "$http_port" --force -d "$1"
}

order_is_done() { # order_is_done PID NAME: within a while, and well
	local code=0
	wait_until 30 "the order for $2 ends" is_gone "$1"
	wait "$1" || code=$?
	[ "$code" = 0 ] || { cat "$work/logs/agent-$2.log"; fail "the order for $2 was not done"; }
	check_key "$agent_dir/certificates/$2/cert.pem" "$agent_dir/certificates/$2/privkey.pem"
}

pids() { # of the API and the validator
	echo "$(child_named "$ca_pid" cairn-api) $(child_named "$ca_pid" cairn-validator)"
}

survives() { # survives NAME EVENT FAULT: an order during the fault; the signer says EVENT, is started anew, and signs
	local before signer
	before=$(pids)
	signer=$(child_named "$ca_pid" cairn-signer)
	faults "$3"
	order "$1"
	wait_until 15 "the log says \"$2\"" ca_said "$2"
	order_is_done "$spawned" "$1"
	assert_ne "the signer was started anew" "$(child_named "$ca_pid" cairn-signer)" "$signer"
	assert_eq "the API and the validator live" "$(pids)" "$before"
	faults
}

ends() { # stops the CA; its log may have alarms
	kill -TERM "$ca_pid"
	wait_until 40 "cairn serve ends" is_gone "$ca_pid"
	wait "$ca_pid" || true
	ca_pid=
}

starts_not() { # starts_not TEXT: the signer refuses, and says so
	: >"$ca_log"
	"$bin/cairn" serve -c "$ca/cairn.conf" >>"$ca_log" 2>&1 </dev/null &
	ca_pid=$!
	wait_until 15 "cairn serve gives up" is_gone "$ca_pid"
	wait "$ca_pid" || true
	ca_pid=
	assert_has "refused: $1" "$ca_log" "$1"
}

said_often() { # said_often N TEXT
	[ "$(grep -cF "$2" "$ca_log")" -ge "$1" ]
}

init_hsm
faults

note "cairn init with a wrong PIN, a module for all to write, and a token that is not there"
set_pin 111111
run 1 "$work/logs/init-pin.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --pkcs11 "$uri" --pin-file "$pin"
assert_has "init says why" "$work/logs/init-pin.log" 'token "cairn" refused the PIN' 'it was tried once'
assert_eq "attempts" "$(logins)" 1
[ ! -e "$ca" ] || fail "init left something behind"
set_pin 648219
chmod g+w "$hsm/module.so"
run 2 "$work/logs/init-mode.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --pkcs11 "$uri" --pin-file "$pin"
assert_has "init says why" "$work/logs/init-mode.log" "chmod go-w $hsm/module.so"
chmod g-w "$hsm/module.so"
run 1 "$work/logs/init-token.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost \
	--pkcs11 "${uri/token=cairn/token=other}" --pin-file "$pin"
assert_has "init says why" "$work/logs/init-token.log" 'token "other" is not there'
run 2 "$work/logs/init-value.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --pkcs11 "$uri&pin-value=648219"
assert_has "init says why" "$work/logs/init-value.log" 'found pin-value'

note "cairn init makes the key in the token"
ca_init --pkcs11 "$uri" --pin-file "$pin"
[ ! -e "$ca/issuer/issuer.key" ] || fail "there is a key file"
run 1 "$work/logs/init-again.log" "$bin/cairn" init "$work/ca2" --root-unencrypted --host localhost --pkcs11 "$uri" --pin-file "$pin"
assert_has "a second key of that name is not made" "$work/logs/init-again.log" 'has a key of that label and id already'
run 0 "$work/logs/init-existing.log" "$bin/cairn" init "$work/ca3" --root-unencrypted --host localhost --pkcs11 "$uri" \
	--pin-file "$pin" --pkcs11-existing-key
[ "$(openssl x509 -in "$work/ca3/issuer/issuer.pem" -noout -pubkey)" = \
	"$(openssl x509 -in "$ca/issuer/issuer.pem" -noout -pubkey)" ] || fail "another key was taken"
good "the same key, used by another CA"
run 0 "$work/logs/check-config.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
assert_eq "warnings" "$(grep -c warning: "$work/logs/check-config.log" || true)" 0
ca_set token-timeout 1s
ca_set sandbox-paths "[$hsm]"

note "issuing"
ca_start
issue one.e2e.test

note "the token goes, and comes back: the order waits"
before=$(pids)
signer=$(child_named "$ca_pid" cairn-signer)
faults 'token gone'
order away.e2e.test
wait_until 15 "the signer tells that the token is lost" ca_said 'alarm: a token is lost; signing waits for it'
sleep 1
is_running "$spawned" || fail "the order did not wait"
faults
order_is_done "$spawned" away.e2e.test
ca_said 'token signs again' || fail "the signer does not tell that the token is back"
assert_eq "no program was started anew" "$(child_named "$ca_pid" cairn-signer) $(pids)" "$signer $before"

note "a wrong signature, a crash and a hung call in the module"
survives wrong.e2e.test "alarm: an issuer's key signed wrongly" 'C_Sign flip once'
survives crash.e2e.test 'child ended' 'C_Sign crash once'
grep '"event":"child ended"' "$ca_log" | grep -q '"child":"cairn-signer".*"how":"signal 11' || fail "the signer did not crash"
good "the module's crash was the signer's"
survives hung.e2e.test "alarm: the token's module hangs; ending to be started anew" 'C_Sign hang 60000 once'
issue two.e2e.test

note "a wrong PIN is tried once, however often the signer is started"
set_pin 222222
rm -f "$hsm/calls"
kill -KILL "$(child_named "$ca_pid" cairn-signer)"
wait_until 15 "the signer was started three more times" said_often 3 'it refused this PIN before'
assert_eq "times it was told that the PIN was tried" "$(grep -cF 'it was tried once and will not be tried again' "$ca_log")" 1
assert_eq "attempts" "$(logins)" 1
order pin.e2e.test
set_pin 648219
order_is_done "$spawned" pin.e2e.test
assert_eq "certificates" "$(ca_sql "SELECT count(DISTINCT serial) FROM certificates")" 7
ends
set_pin 333333
starts_not 'it was tried once and will not be tried again'
starts_not 'it refused this PIN before'
assert_eq "attempts" "$(logins)" 2 # the right one above, and this wrong one
set_pin 648219

note "another issuer beside it, its RSA key in the token too, its root elsewhere"
rsa_uri=${uri/object=issuing/object=rsa}
run 2 "$work/logs/issuer-value.log" "$bin/cairn" issuer add rsa --external --pkcs11 "$rsa_uri&pin-value=648219" -c "$ca/cairn.conf"
assert_has "a PIN in the URI" "$work/logs/issuer-value.log" 'found pin-value'
run 0 "$work/logs/issuer-add.log" "$bin/cairn" issuer add rsa --external --key rsa2048 --pkcs11 "$rsa_uri" --pin-file "$pin" \
	-c "$ca/cairn.conf"
[ ! -e "$ca/issuer/rsa.key" ] || fail "there is a key file"
run 0 "$work/logs/root-sign.log" "$bin/cairn" root sign "$ca/issuer/rsa.csr" --root "$root_pem" --root-key "$ca/root/root.key" \
	-o "$work/rsa.pem"
run 0 "$work/logs/issuer-take.log" "$bin/cairn" issuer certificate rsa "$work/rsa.pem" --pkcs11 "$rsa_uri" --pin-file "$pin" \
	-c "$ca/cairn.conf"
run 0 "$work/logs/issuer-activate.log" "$bin/cairn" issuer activate rsa -c "$ca/cairn.conf"
ca_start
agent_run 0 rsa.log --standalone --http-port "$http_port" --key rsa2048 -d rsa.e2e.test
assert_has "an RSA key's certificate" <(openssl x509 -in "$agent_dir/certificates/rsa.e2e.test/cert.pem" -noout -text) \
	"Signature Algorithm: sha256WithRSAEncryption"
issue three.e2e.test
ends

note "a key that is not the certificate's"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$hsm/other.pem" 2>/dev/null
run 0 "$work/logs/import.log" softhsm2-util --import "$hsm/other.pem" --token cairn --label other --id 77 --pin 648219
sed -i 's/object=issuing/object=other/' "$ca/cairn.conf"
starts_not "issuer's key is not the key of its certificate"
e2e_done
