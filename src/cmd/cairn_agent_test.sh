#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cairn_agent_test.sh CAIRN-AGENT: the agent from outside: what every wrong call says, and whole orders against
# pebble, a server that is not ours: what lies on the disk afterwards, and what a kill leaves. Without pebble the second
# part is skipped (exit 77).
set -u
agent=$(realpath "$1") || exit 1
work=$(mktemp -d) || exit 1
started=
cleanup() {
	for pid in $started; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1
export HOME="$work"
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
	"$agent" "$@" >out 2>err </dev/null
	got=$?
	[ "$got" = "$want" ] || fail "cairn-agent $*: exit $got, wanted $want"
	[ -z "$text" ] || cat out err | grep -qF -- "$text" || fail "cairn-agent $*: does not say: $text"
}

has_mode() {
	[ "$(stat -Lc %a "$2")" = "$1" ] || fail "$2 has mode $(stat -Lc %a "$2"), wanted $1"
}

# --- words
url=https://localhost:1/directory
expect 0 "usage: cairn-agent obtain" --help
expect 0 "cairn-agent " --version
expect 1 "the command is missing"
expect 1 'the command is missing or is not "obtain"' frob
expect 1 "--server is missing" obtain -d a.test --standalone
expect 1 "-d is missing" obtain -s $url --standalone
expect 1 "one of --webroot and --standalone" obtain -s $url -d a.test
expect 1 "one of --webroot and --standalone" obtain -s $url -d a.test --standalone -w .
expect 1 "go with --standalone" obtain -s $url -d a.test -w . --http-port 81
expect 1 "wildcards cannot be shown over http-01" obtain -s $url -d '*.a.test' -w .
expect 1 "-d: " obtain -s $url -d ../../etc -w .
expect 1 "-d: " obtain -s $url -d a/b.test -w .
expect 1 "--key dsa: wanted p256" obtain -s $url -d a.test -w . --key dsa
expect 1 "--email a b: wanted one address" obtain -s $url -d a.test -w . --email 'a b'
expect 1 "--renew-days 0: wanted a number from 1" obtain -s $url -d a.test -w . --renew-days 0
expect 1 "--timeout x: wanted a number" obtain -s $url -d a.test -w . --timeout x
expect 1 "not an https URL" obtain -s http://localhost/ -d a.test -w . --dir d
expect 1 "connection refused" obtain -s $url -d a.test -w . --dir d
expect 1 '"outcome":"error"' obtain -s $url -d a.test -w . --dir d --json
rm -rf d

# --- words of the other challenges and commands
o="obtain -s $url -d a.test"
expect 1 "--challenge: challenge type \"http\" is not known" $o -w . --challenge http
expect 1 "--challenge: challenge type \"\" is not known" $o -w . --challenge http-01,
expect 1 "--dns-hook is needed" $o --challenge dns-01
expect 1 "--dns-hook is needed" $o --challenge http-01,dns-account-01 -w .
expect 1 "--dns-hook and --dns-wait go with" $o -w . --dns-hook x
expect 1 "--dns-hook and --dns-wait go with" $o -w . --dns-wait 5
expect 1 "--dns-wait -1: wanted a number" $o --challenge dns-01 --dns-hook x --dns-wait -1
expect 1 "--webroot and --standalone go with --challenge http-01" $o --challenge dns-01 --dns-hook x -w .
expect 1 "http-01: one of --webroot and --standalone" $o --challenge http-01,dns-01 --dns-hook x
expect 1 "--tls-port and --tls-address go with" $o -w . --tls-port 4443
expect 1 "--tls-port 0: wanted a number" $o --challenge tls-alpn-01 --tls-port 0
expect 1 "*.a.test: wildcards cannot be shown" $o -d '*.a.test' --challenge tls-alpn-01,http-01 -w .
expect 1 "192.0.2.1: addresses cannot be shown in the DNS" $o -d 192.0.2.1 --challenge dns-01 --dns-hook x
expect 1 "2001:db8::1: addresses cannot" $o -d 2001:DB8:0::1 --challenge dns-persist-01
expect 1 '"*.*.a.test" is not' $o -d '*.*.a.test' --challenge dns-01 --dns-hook x
expect 1 "--eab-kid and --eab-key-file go together" $o -w . --eab-kid k
expect 1 "--eab-kid and --eab-key-file go together" $o -w . --eab-key-file k
expect 1 "--eab-kid a b: wanted 1 to 64 printable" $o -w . --eab-kid 'a b' --eab-key-file k
expect 1 "--profile : wanted 1 to 64 printable" $o -w . --profile ''
expect 1 "--reason is no option of obtain" $o -w . --reason superseded
expect 1 "--reason why: wanted unspecified, keyCompromise" revoke -s $url -d a.test --reason why
expect 1 "--webroot is no option of revoke" revoke -s $url -d a.test -w .
expect 1 "one of -d and --cert is needed" revoke -s $url
expect 1 "one of -d and --cert is needed" revoke -s $url -d a.test --cert x
expect 1 "one of -d and --cert is needed" revoke -s $url -d a.test -d b.test
expect 1 "--key-file" revoke -s $url --cert x --by-key
expect 1 "certificates/_.a.test holds no certificate" revoke -s $url -d '*.a.test' --dir d
expect 1 "open x" revoke -s $url --cert x --dir d
expect 1 "--domain is no option of key-change" key-change -s $url -d a.test
expect 1 "d holds no account at $url" key-change -s $url --dir d
expect 1 "d holds no account at $url" deactivate -s $url --dir d
expect 1 "-d is missing" persist-record -s $url
printf 'not base64url!\n' >hmac
chmod 600 hmac
expect 1 "--eab-key-file hmac: wanted one line of base64url" $o -w . --dir d --eab-kid k --eab-key-file hmac
chmod 640 hmac
expect 1 "chmod 600" $o -w . --dir d --eab-kid k --eab-key-file hmac
rm -rf d

# --- whole orders
if ! command -v pebble >/dev/null || ! command -v pebble-challtestsrv >/dev/null || ! command -v openssl >/dev/null || ! command -v curl >/dev/null; then
	echo "pebble, openssl and curl are needed for the rest"
	[ $bad = 0 ] && exit 77
	exit 1
fi
base=$((20000 + ($$ + 7000) % 20000))
http=$((base + 1))
cat >san <<EOF
subjectAltName=DNS:localhost
EOF
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=root -keyout root.key -out root.pem
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout api.key -out api.csr
	openssl x509 -req -in api.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile san -out api.pem
} >openssl.log 2>&1
cat >pebble.json <<EOF
{ "pebble": { "listenAddress": "127.0.0.1:$base", "managementListenAddress": "127.0.0.1:$((base + 3))",
  "certificate": "api.pem", "privateKey": "api.key", "httpPort": $http, "tlsPort": $((base + 4)),
  "ocspResponderURL": "", "externalAccountBindingRequired": false } }
EOF
pebble-challtestsrv -defaultIPv6 "" -defaultIPv4 127.0.0.1 -http01 "" -https01 "" -tlsalpn01 "" \
	-dns01 "127.0.0.1:$((base + 2))" -management "127.0.0.1:$((base + 5))" >challtestsrv.log 2>&1 &
started="$started $!"
# Every tenth nonce is refused, so that the agent has to get over it.
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=10 PEBBLE_AUTHZREUSE=0 pebble -config pebble.json \
	-dnsserver "127.0.0.1:$((base + 2))" >pebble.log 2>&1 &
started="$started $!"
url=https://localhost:$base/dir
for _ in $(seq 100); do
	curl -sf --cacert root.pem -o directory "$url" && break
	sleep 0.1
done

# keys_fit: the key and the certificate in place belong together
keys_fit() {
	[ "$(openssl pkey -in "$place/privkey.pem" -pubout 2>&1)" = "$(openssl x509 -in "$place/fullchain.pem" -pubkey -noout 2>&1)" ] ||
		fail "$place: key and certificate do not fit: $1"
}

place=d/certificates/www.a.test
set -- -s "$url" --ca-file root.pem --dir d --standalone --http-port $http --http-address 127.0.0.1
expect 1 "is not trusted" obtain -s "$url" --dir d --standalone --http-port $http -d www.a.test
grep -qF -- "--ca-file" err || fail "does not say what to do about a root that is not trusted"
[ -e $place/fullchain.pem ] && fail "a failed run left a certificate"
expect 0 "obtained: d/certificates/www.a.test/fullchain.pem" obtain "$@" -d WWW.a.test -d b.a.test -d www.a.test --agree-terms --email ops@a.test
has_mode 600 $place/privkey.pem
has_mode 644 $place/fullchain.pem
has_mode 644 $place/cert.pem
has_mode 644 $place/chain.pem
has_mode 700 d/accounts/*
keys_fit "the first"
openssl x509 -in $place/cert.pem -noout -ext subjectAltName | grep -q "DNS:b.a.test, DNS:www.a.test\|DNS:www.a.test, DNS:b.a.test" || fail "other names than were asked for"
cat $place/cert.pem $place/chain.pem | cmp -s - $place/fullchain.pem || fail "fullchain.pem is not cert.pem and chain.pem"
expect 2 "not-due" obtain "$@" -d www.a.test -d b.a.test
expect 2 '"outcome":"not-due"' obtain "$@" -d www.a.test -d b.a.test --json
expect 0 '"outcome":"obtained","names":["www.a.test"]' obtain "$@" -d www.a.test --json
expect 0 "obtained" obtain "$@" -d www.a.test --key rsa2048 --renew-days 1
keys_fit "another kind of key"
expect 0 "" obtain "$@" -d www.a.test --renew-days 3650 --quiet
[ -s out ] && fail "--quiet is not quiet"
[ "$(ls d/accounts | wc -l)" = 1 ] || fail "more than one account at one server"

# --- nobody answers: the server's words come out, and what was there stays. Of each order one name was never proved: pebble
# takes an old proof now and then, also when it is told not to.
cp -L $place/fullchain.pem before.pem
expect 1 ".a.test: " obtain -s "$url" --ca-file root.pem --dir d --force -d www.a.test -d never.a.test -w .
cmp -s $place/fullchain.pem before.pem || fail "a failed run changed the certificate"
[ -e .well-known ] && fail "a failed run left .well-known"
mkdir evil && ln -s /tmp evil/.well-known
expect 1 "symbolic links are not followed" obtain -s "$url" --ca-file root.pem --dir d --force -d evil.a.test -w evil

# --- a webroot, served by somebody else
mkdir -p web/.well-known
if command -v python3 >/dev/null; then
	(cd web && exec python3 -m http.server --bind 127.0.0.1 $http) >web.log 2>&1 &
	web=$!
	started="$started $web"
	for _ in $(seq 100); do
		curl -s -o /dev/null "http://127.0.0.1:$http/" && break
		sleep 0.1
	done
	(umask 077 && "$agent" obtain -s "$url" --ca-file root.pem --dir d --force -d www.a.test -w web >out 2>err) || fail "webroot"
	grep -q "acme-challenge/.* 200" web.log || fail "the answer did not come from the webroot"
	[ -d web/.well-known ] || fail "a folder that was there before is gone"
	[ -e web/.well-known/acme-challenge ] && fail "a folder that was made is still there"
	kill "$web"
	wait "$web" 2>/dev/null
fi

# --- killed anywhere: the pair in place fits; the next run is well
for ms in 005 010 020 030 040 050 060 080 100 120 150; do
	"$agent" obtain "$@" --force -d www.a.test >out 2>err &
	pid=$!
	sleep 0.$ms
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	keys_fit "killed after $ms ms"
done
# With -Dfailpoints=true: between the new version and the switch to it.
CAIRN_FP=agent.before_switch:1:kill "$agent" obtain "$@" --force -d www.a.test >out 2>err
keys_fit "killed before the switch"
expect 0 "obtained" obtain "$@" --force -d www.a.test
keys_fit "after the kills"
[ "$(ls $place/versions | wc -l)" -le 5 ] || fail "old versions stay: $(ls $place/versions)"

# --- key changes that are killed: whichever key the server has, the next run has it too
for ms in 005 010 015 020 025 030 040 050; do
	"$agent" key-change -s "$url" --ca-file root.pem --dir d >out 2>err &
	pid=$!
	sleep 0.$ms
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	expect 0 "obtained" obtain "$@" --force -d www.a.test
	for left in d/accounts/*/account.key.new; do
		[ -e "$left" ] && fail "killed after $ms ms: the new key is neither taken nor dropped"
	done
done
for point in before after; do # with -Dfailpoints=true
	CAIRN_FP=agent.${point}_key_change:1:kill "$agent" key-change -s "$url" --ca-file root.pem --dir d >out 2>err
	expect 0 "obtained" obtain "$@" --force -d www.a.test
done
expect 0 "key-changed: https://localhost:$base/" key-change -s "$url" --ca-file root.pem --dir d
[ "$(ls d/accounts | wc -l)" = 1 ] || fail "more than one account"

# --- revocation and the end
expect 0 "revoked: d/certificates/www.a.test/cert.pem" revoke -s "$url" --ca-file root.pem --dir d -d www.a.test
expect 2 "already-revoked" revoke -s "$url" --ca-file root.pem --dir d -d www.a.test --by-key
expect 0 "obtained" obtain "$@" -d www.a.test
expect 0 '"outcome":"deactivated"' deactivate -s "$url" --ca-file root.pem --dir d --json

# --- two at once: one of them works
exec 9>"$place/.lock"
if flock -n 9; then
	expect 1 "another cairn-agent is at work" obtain "$@" --force -d www.a.test
else
	fail "the lock is held by nobody"
fi
exec 9>&-
[ $bad = 0 ] && echo "all as it should be"
exit $bad
