#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 30-serve.sh: the operator's day: a wrong configuration, one that changes, a port that is taken, programs that die, a
# certificate that is renewed, a service manager that wants to be told.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init

note "cairn init overwrites nothing"
before=$(find "$ca" -type f -exec sha256sum {} + | sort)
run 1 "$work/logs/again.log" "$bin/cairn" init "$ca" --root-unencrypted --allow '*.other.test'
assert_has "it says so" "$work/logs/again.log" "$ca" "holds a CA already"
assert_eq "files of the CA" "$(find "$ca" -type f -exec sha256sum {} + | sort)" "$before"

note "cairn check-config"
run 0 "$work/logs/check.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
assert_eq "what it says of a new CA" "$(cat "$work/logs/check.log")" "$ca/cairn.conf: ok"
cp "$ca/cairn.conf" "$work/wrong.conf"
sed -i 's/http-port: .*/http-port: 99999/' "$work/wrong.conf"
line=$(grep -n 'http-port: 99999' "$work/wrong.conf" | cut -d: -f1)
run 1 "$work/logs/check.log" "$bin/cairn" check-config -c "$work/wrong.conf"
assert_has "a number that is too large" "$work/logs/check.log" "wrong.conf:$line:" "http-port: found \"99999\"" "65535"
run 1 "$work/logs/check.log" "$bin/cairn" serve -c "$work/wrong.conf"
assert_has "cairn serve says the same" "$work/logs/check.log" "wrong.conf:$line:" "found \"99999\""

note "a port that somebody has"
spawn "$work/logs/holder.log" "$e2e_dir/helper.py" web "$api_port" "$work/home"
holder=$spawned
wait_until 10 "the port is taken" port_answers "$api_port"
run 1 "$work/logs/taken.log" "$bin/cairn" serve -c "$ca/cairn.conf"
assert_has "it names the port and what to do" "$work/logs/taken.log" "127.0.0.1" "$api_port" "Address already in use" "ss -ltnp"
kill "$holder"
wait "$holder" 2>/dev/null || true

note "a service manager is told"
notify=$work/notify.sock
spawn "$work/logs/notify-server.log" "$e2e_dir/helper.py" notify "$notify" "$work/logs/notify.log"
wait_until 10 "the manager listens" test -S "$notify"
NOTIFY_SOCKET=$notify ca_start
notify_said() { grep -qE "$1" "$work/logs/notify.log"; }
wait_until 5 "READY=1" notify_said '(^| )READY=1( |$)'
good "READY=1"
issue first.e2e.test

note "who may read what"
assert_eq "files that others may read" "$(find "$ca" -type f -perm /077 | sed "s|^$ca/||" | sort | xargs)" \
	"issuer/issuer.pem perspectives/local.jwk root/root.pem tls/api.pem"
assert_eq "folders and sockets that others may enter" "$(find "$ca" ! -type f -perm /077)" ""

note "a second cairn serve of the same CA, on another port, does not get far and does no harm"
read -r other_port < <(free_ports 1)
CAIRN_LISTEN=127.0.0.1:$other_port run 1 "$work/logs/second.log" "$bin/cairn" serve -c "$ca/cairn.conf"
assert_has "it says why" "$work/logs/second.log" "already in use by pid"
issue second.e2e.test

note "SIGHUP with a wrong configuration: the old one stays, and the line is named"
cp "$ca/cairn.conf" "$work/good.conf"
sed -i 's/names: \["\*\.e2e\.test"\]/names: ["*.e2e.test", "bad name"]/' "$ca/cairn.conf"
line=$(grep -n 'bad name' "$ca/cairn.conf" | cut -d: -f1)
kill -HUP "$ca_pid"
wait_until 10 "the supervisor refuses it" ca_said "configuration not taken over"
grep '"configuration not taken over"' "$ca_log" >"$work/refused"
assert_has "what it says" "$work/refused" "cairn.conf:$line:" "bad name"
wait_until 5 "the manager is told" notify_said 'RELOADING=1.*MONOTONIC_USEC='
wait_until 5 "the manager is told that the old one stays" notify_said 'READY=1 STATUS=.*old configuration'
issue third.e2e.test

note "SIGHUP with a good one: a new name may be had"
agent_run 1 not-yet.log --standalone --http-port "$http_port" -d host.new.test
cp "$work/good.conf" "$ca/cairn.conf"
sed -i -e 's/names: \["\*\.e2e\.test"\]/names: ["*.e2e.test", "*.new.test"]/' \
	-e 's/names: { "\*\.e2e\.test": \[127\.0\.0\.1\] }/names: { "*.e2e.test": [127.0.0.1], "*.new.test": [127.0.0.1] }/' \
	-e 's/tls-names: \[localhost,/tls-names: [localhost, api.new.test,/' "$ca/cairn.conf"
ca_reload
issue host.new.test

served() { # the certificate that the API shows
	openssl s_client -connect "127.0.0.1:$api_port" -servername localhost </dev/null 2>/dev/null | openssl x509
}
served_has() { served | openssl x509 -noout -ext subjectAltName | grep -q "DNS:$1"; }
served_is() { [ "$(served | openssl x509 -noout -serial)" = "serial=$1" ]; }

note "the API's own certificate: one more name, and the signer makes a new one, which is served without a restart"
wait_until 20 "the served certificate has the new name" served_has api.new.test
good "the served certificate has the new name"

note "the API's own certificate: replaced by somebody"
ca_set tls-own false
ca_reload
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/own.key" -out "$work/own.csr" \
	-subj /CN=localhost 2>/dev/null
printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >"$work/own.ext"
openssl x509 -req -in "$work/own.csr" -CA "$ca/issuer/issuer.pem" -CAkey "$ca/issuer/issuer.key" -set_serial 0x7001 -days 5 \
	-extfile "$work/own.ext" -out "$work/own.pem" 2>/dev/null
cat "$ca/issuer/issuer.pem" >>"$work/own.pem"
chmod 600 "$work/own.key"
mv "$work/own.key" "$ca/tls/api.key"
sleep 1 # the moment at which the two do not fit
mv "$work/own.pem" "$ca/tls/api.pem"
wait_until 12 "the new certificate is served" served_is 7001
good "the new certificate is served"
issue first.e2e.test

role_is_new() { # role_is_new PROGRAM OLD_PID
	local now
	now=$(child_named "$ca_pid" "$1")
	[ -n "$now" ] && [ "$now" != "$2" ]
}
issue_again() { # as soon as it works, and it must soon
	"$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" --standalone --http-port "$http_port" \
		--timeout 15 --force -d "$1" >"$work/logs/again-$1.log" 2>&1 </dev/null
}
for role in cairn-api cairn-validator cairn-signer; do
	note "kill -9 of $role"
	old=$(child_named "$ca_pid" "$role")
	[ -n "$old" ] || fail "$role does not run"
	kill -KILL "$old"
	wait_until 10 "$role is started again" role_is_new "$role" "$old"
	wait_until 20 "issuing works again" issue_again "after-$role.e2e.test"
	good "$role came back and issuing works"
done

note "SIGTERM while a request is on its way: it is answered, new ones are not taken"
cat >"$work/request" <<REQUEST
POST /new-account HTTP/1.1
Host: localhost:$api_port
Content-Type: application/jose+json
Content-Length: 16

REQUEST
sed -i 's/$/\r/' "$work/request"
printf '{"protected":1}\n' >>"$work/request"
spawn "$work/logs/slow.log" "$e2e_dir/helper.py" raw-slow "$api_port" "$root_pem" "$work/request" 1500
slow=$spawned
half_sent() { grep -q 'half sent' "$work/logs/slow.log"; }
wait_until 10 "half of a request is sent" half_sent
ca_stop
wait "$slow" || true
assert_has "the whole answer came" "$work/logs/slow.log" "HTTP/1.1 400" "urn:ietf:params:acme:error:malformed"

note "kill -9 of the supervisor: nothing is left after two seconds"
ca_start
children=$(children_of "$ca_pid")
[ "$(wc -w <<<"$children")" = 3 ] || fail "found the children \"$children\", wanted three"
kill -KILL "$ca_pid"
for pid in $children; do
	wait_until 2 "process $pid ends" is_gone "$pid"
done
good "nothing is left"
wait "$ca_pid" 2>/dev/null || true
ca_pid=

note "and the next start needs no help"
ca_start
issue first.e2e.test
ca_stop
e2e_done
