#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cairn_test.sh CAIRN: the operator's program from outside: what init leaves on the disk, what every wrong call says and
# returns, and that serve starts, watches and stops its three programs (scripts stand in for them here).
set -u
cairn=$(realpath "$1") || exit 1
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset CAIRN_CONF CAIRN_STORE CAIRN_BUS DATABASE_URL CAIRN_LISTEN CAIRN_BASE_URL CAIRN_STATE_DIR CAIRN_PERSPECTIVE \
	CAIRN_LOG_LEVEL CAIRN_LOG_FORMAT NOTIFY_SOCKET
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
	setsid -w "$cairn" "$@" >out 2>err </dev/null # without a terminal, wherever the test runs
	got=$?
	[ "$got" = "$want" ] || fail "cairn $*: exit $got, wanted $want"
	cat out err | grep -qF -- "$text" || fail "cairn $*: does not say: $text"
}

has_mode() {
	[ "$(stat -c %a "$2")" = "$1" ] || fail "$2 has mode $(stat -c %a "$2"), wanted $1"
}

# --- words -------------------------------------------------------------------------------------------------------------
expect 0 "usage: cairn COMMAND" --help
expect 0 "usage: cairn init" help init
expect 0 "usage: cairn serve" serve --help
expect 0 "usage: cairn check-config" check-config --help
expect 0 "cairn " version
expect 2 "usage: cairn COMMAND"
expect 2 'found command "frob"' frob
expect 2 'found argument "x"' check-config x
expect 2 "that is not an option" serve --frob
"$cairn" version >/dev/full 2>err && fail "a full disk behind stdout passes for success"

# --- init, called wrongly: nothing is made ---------------------------------------------------------------------------------
printf 'short' >short
printf 'long enough\n' >pass
chmod 600 short pass
expect 2 "found no folder" init
expect 2 'besides the folder' init ca more
expect 1 "no terminal to ask" init ca
expect 1 "found a passphrase of 5 bytes" init ca --root-passphrase-file short
expect 2 '--key: found "ed25519"; allowed: p256' init ca --key ed25519
expect 2 "--root-days: found \"0\"" init ca --root-days 0
expect 2 "--intermediate-days: found 400; allowed: at most the root's 300" init ca --root-days 300 --intermediate-days 400
expect 2 'realm.default.names: found "a.*.example"' init ca --allow 'a.*.example'
expect 2 'zone.default.names: found "1.2"' init ca --static a.example=1.2
expect 2 'zone.default.http-port: found "x"' init ca --http-port x
expect 2 'zone.default.allow-addresses: found "10/8"' init ca --allow-address 10/8
expect 2 '--listen: found "x"' init ca --listen x
expect 2 "api.base-url: found" init ca --base-url http://a.example
expect 2 '--allow: found "b.example"' init ca --permit a.example --host ca.a.example --allow b.example
expect 2 '--host: found "ca.b.example"' init ca --permit a.example --host ca.b.example
expect 2 '--host is needed with --permit' init ca --permit a.example
expect 2 '--permit: found "*.a.example"' init ca --permit '*.a.example'
expect 2 "more than one of" init ca --root-unencrypted --root-export x
expect 2 "--name: found it twice" init ca --name a --name b
expect 2 '--name: found nothing' init ca --name '' --root-unencrypted
chmod 644 pass
expect 1 "chmod" init ca --root-passphrase-file pass
chmod 600 pass
[ -e ca ] && fail "a refused init left a folder"

# --- init --------------------------------------------------------------------------------------------------------------
expect 0 "Next: cairn serve -c $work/ca/cairn.conf" init ca --name "Example Corp" --host ca.corp.example,192.0.2.1 \
	--allow '*.corp.example' --allow a.example --static a.example=192.0.2.7 --root-passphrase-file pass
for f in cairn.conf root/root.key issuer/issuer.key tls/api.key perspectives/local.key store/secret.key; do has_mode 600 ca/$f; done
for f in root/root.pem issuer/issuer.pem tls/api.pem perspectives/local.jwk; do has_mode 644 ca/$f; done
for d in . root issuer tls perspectives store run journal; do has_mode 700 ca/$d; done
grep -qxE '[0-9a-f]{64}' ca/store/secret.key || fail "the store's key is not 64 hex digits"
[ "$(stat -c %s ca/store/secret.key)" = 65 ] || fail "the store's key is not one line"
[ -e ca/.cairn-init ] && fail "the staging folder is still there"
grep -q "ENCRYPTED" ca/root/root.key || fail "the root's key is not encrypted"
fingerprint=$(openssl x509 -in ca/root/root.pem -noout -fingerprint -sha256 | cut -d= -f2)
grep -qF "$fingerprint" out || fail "the fingerprint is not openssl's $fingerprint"
for name in ca.corp.example localhost; do
	openssl verify -x509_strict -CAfile ca/root/root.pem -untrusted ca/issuer/issuer.pem -purpose sslserver \
		-verify_hostname $name ca/tls/api.pem >said 2>&1 || fail "$name: $(cat said)"
done
for ip in 192.0.2.1 127.0.0.1 ::1; do
	openssl verify -CAfile ca/root/root.pem -untrusted ca/issuer/issuer.pem -verify_ip $ip ca/tls/api.pem \
		>said 2>&1 || fail "$ip: $(cat said)"
done
expect 0 "ca/cairn.conf: ok" check-config -c ca/cairn.conf
[ -s err ] && fail "warnings for a fresh CA"
expect 0 "realm.default.names	*.corp.example, a.example	ca/cairn.conf:" check-config -c ca/cairn.conf --print
expect 0 "zone.default.names	a.example=192.0.2.7	ca/cairn.conf:" check-config -c ca/cairn.conf --print
expect 0 "api.base-url	https://ca.corp.example:14000	" check-config -c ca/cairn.conf --print
CAIRN_LOG_LEVEL=debug expect 0 "log.level	debug	environment CAIRN_LOG_LEVEL" check-config -c ca/cairn.conf --print
expect 1 "holds a CA already" init ca --root-unencrypted

mkdir empty used broken mid
touch used/file
mkdir mid/.cairn-init
expect 0 "NOT encrypted" init empty --root-unencrypted
expect 0 "nothing yet: list names" init --dir shut --root-unencrypted --key rsa2048 --root-key p384
expect 0 "no names: this realm issues nothing" check-config -c shut/cairn.conf
expect 1 'found "file" in it' init used --root-unencrypted
expect 1 "an earlier \`cairn init\` did not finish" init mid --root-unencrypted
expect 0 "take it away now" init away --root-export away.key
has_mode 600 away.key
[ -e away/root/root.key ] && fail "the exported key is in the folder too"
expect 2 "away.key is there already" init away2 --root-export away.key
expect 1 "no-such-folder" init away2 --root-export no-such-folder/key
[ -n "$(ls -A away2 2>/dev/null)" ] && fail "a failed init left something behind"
expect 2 '--allow: found "11.0.0.0/8"' init ca --permit a.example --permit 10.0.0.0/8 --host ca.a.example --allow 11.0.0.0/8
expect 2 '--allow: found "10.0.0.0/7"' init ca --permit 10.0.0.0/8 --host 10.0.0.1 --allow 10.0.0.0/7
expect 2 '--allow: found "a.example"' init ca --permit 10.0.0.0/8 --host 10.0.0.1 --allow a.example
expect 2 '--permit: found "10.0.0.1/8"' init ca --permit 10.0.0.1/8 --host 10.0.0.1
expect 2 '--host: found "11.0.0.1"' init ca --permit 10.0.0.0/8 --host 11.0.0.1
[ -e ca/cairn.conf ] || fail "the CA is gone"
expect 0 "valid for         corp.example, 10.0.0.0/8 only" init ranges --permit corp.example --permit 10.0.0.0/8 \
	--host ca.corp.example,10.0.0.1 --allow '*.corp.example,10.1.0.0/16' --allow 10.2.0.1 --root-unencrypted
expect 0 "realm.default.names	*.corp.example	" check-config -c ranges/cairn.conf --print
expect 0 "realm.default.addresses	10.1.0.0/16, 10.2.0.1	" check-config -c ranges/cairn.conf --print
[ -s err ] && fail "warnings for what --permit permits"
openssl verify -x509_strict -CAfile ranges/root/root.pem -untrusted ranges/issuer/issuer.pem -verify_ip 10.0.0.1 \
	ranges/tls/api.pem >said 2>&1 || fail "10.0.0.1: $(cat said)"
sed 's|^\( *\)addresses: .*|\1addresses: [10.1.0.0/16, 11.0.0.0/8, "2001:db8::/32"]|; s|^\( *\)names: .*corp.*|\1names: ["*.corp.example", b.example, "*"]|' \
	ranges/cairn.conf >ranges/outside.conf
expect 0 "warning: realm.default.addresses: 11.0.0.0/8: certificates would not be valid" check-config -c ranges/outside.conf
expect 0 "warning: realm.default.addresses: 2001:db8::/32: certificates" check-config -c ranges/outside.conf
expect 0 "warning: realm.default.names: b.example: certificates" check-config -c ranges/outside.conf
expect 0 "warning: realm.default.names: *: certificates" check-config -c ranges/outside.conf
[ "$(grep -c 'would not be valid' err)" = 4 ] || fail "not four warnings"
expect 0 "valid for         corp.example only" init permit --permit corp.example --host ca.corp.example \
	--root-unencrypted
openssl verify -CAfile permit/root/root.pem -untrusted permit/issuer/issuer.pem permit/tls/api.pem >said 2>&1 ||
	fail "under name constraints: $(cat said)"

expect 1 "No such file or directory" init gone --root-export "$work/none/root.key"
[ ! -e gone ] || fail "an init that failed left a folder behind"

# --- grant key ---------------------------------------------------------------------------------------------------------
(umask 077 && "$cairn" grant key alice --unencrypted -c ca/cairn.conf >said 2>&1) || fail "grant key: $(cat said)"
[ "$(stat -c %a ca/operators ca/operators/alice.jwk ca/operators/alice.key | xargs)" = "755 644 600" ] ||
	fail "the programs, who may be another user, cannot read an operator's public key"

# --- check-config ------------------------------------------------------------------------------------------------------
printf 'api:\n  lisen: x\n' >wrong.conf
expect 1 "wrong.conf:2:3: api.lisen: found an unknown setting; did you mean api.listen?" check-config -c wrong.conf
expect 1 "make one with: cairn init" check-config -c none.conf
chmod 640 ca/issuer/issuer.key
expect 0 "chmod 600" check-config -c ca/cairn.conf
chmod 600 ca/issuer/issuer.key
chmod 640 ca/store/secret.key
expect 0 "warning: store.secret-key: $work/ca/store/secret.key has mode 0640" check-config -c ca/cairn.conf
mv ca/store/secret.key key.away
expect 0 "ca/cairn.conf: ok" check-config -c ca/cairn.conf
[ -s err ] && fail "a warning for a key that cairn-api makes"
chmod 600 key.away
mv key.away ca/store/secret.key
sed 's/^  #blocked: .*/  blocked: listed/' ca/cairn.conf >ca/lists.conf
expect 1 "keys.blocked: open $work/ca/listed: No such file or directory" check-config -c ca/lists.conf
echo rubbish >ca/listed
expect 1 "keys.blocked: $work/ca/listed:1: found no hash; allowed: 64 hex digits a line" check-config -c ca/lists.conf
echo '# none yet' >ca/listed
expect 0 "ca/lists.conf: ok" check-config -c ca/lists.conf
cp ca/issuer/issuer.pem ca/issuer/again.pem
sed 's|#alternates: \[\]|alternates: [issuer/again.pem]|' ca/cairn.conf >ca/alternates.conf
expect 0 "ca/alternates.conf: ok" check-config -c ca/alternates.conf
sed 's|#alternates: \[\]|alternates: [issuer/again.pem, root/root.pem]|' ca/cairn.conf >ca/alternates.conf
expect 1 "issuer.default.alternates: $work/ca/root/root.pem: alternate chain: its first certificate has another subject" \
	check-config -c ca/alternates.conf
sed 's|#alternates: \[\]|alternates: [old.pem]|' ca/cairn.conf >ca/alternates.conf
expect 0 "warning: issuer's alternate chain: $work/ca/old.pem: No such file or directory" check-config -c ca/alternates.conf
rm ca/alternates.conf ca/issuer/again.pem
expect 0 ".It Ic api.listen" check-config --man
for f in "${CAIRN_SOURCE_ROOT:-$root}"/docs/examples/*.conf; do
	expect 0 "$f: ok" check-config -c "$f"
	grep "$f:" err && fail "$f: an example with warnings"
done

# --- eab ---------------------------------------------------------------------------------------------------------------
expect 0 "usage: cairn eab add" eab --help
expect 0 "usage: cairn eab add" eab add --help
expect 0 "usage: cairn eab add" help eab
expect 2 "found no command; allowed: add, list, show, disable" eab
expect 2 'found "frob"; allowed: add, list, show, disable' eab frob
expect 2 "that is not an option" eab add --frob
expect 2 'found argument "x"; allowed: options' eab add x
expect 2 'found argument "x"; allowed: options' eab list x
expect 2 "found 0 arguments behind show; allowed: one, the key's id" eab show
expect 2 "found 2 arguments behind disable; allowed: one, the key's id" eab disable a b
expect 2 "found --accounts, which is no option of show" eab show a --accounts
expect 2 "found --uses, which is no option of list" eab list --uses 1
expect 2 "found --kid, which is no option of disable" eab disable a --kid a
expect 2 '--uses: found "x"; allowed: a number' eab add --uses x -c ca/cairn.conf
expect 2 '--uses: found "-1"; allowed: a number' eab add --uses -1 -c ca/cairn.conf
expect 2 "--realm: found it twice" eab add --realm a --realm b
expect 2 "--label: found nothing" eab add --label ''
expect 2 "--name: found nothing" eab add --name a.example --name ''
expect 1 "make one with: cairn init" eab list -c none.conf
expect 1 "cairn-api is not running, or api.admin-socket is elsewhere: $work/ca/run/admin.sock" eab list -c ca/cairn.conf
expect 1 "cairn-api is not running" eab show a -c ca/cairn.conf
expect 1 "cairn-api is not running" eab disable a --accounts -c ca/cairn.conf
expect 1 "cairn-api is not running" eab add -c ca/cairn.conf --name a.example --name b.example --json

# --- serve -------------------------------------------------------------------------------------------------------------
mkdir bin
cp "$cairn" bin/cairn
cat >bin/cairn-api <<'ROLE'
#!/bin/sh
me=${0##*/}
trap 'echo "$me stop" >>"$LOG"; exit 0' TERM
trap 'echo "$me reload" >>"$LOG"' HUP
echo "$me start $LISTEN_FDS $2" >>"$LOG"
eval "echo READY=1 >&$CAIRN_READY_FD"
while :; do sleep 0.05; done
ROLE
chmod 755 bin/cairn-api
cp bin/cairn-api bin/cairn-validator
export LOG="$work/log"

wait_lines() { # wait_lines COUNT PATTERN FILE
	for _ in $(seq 200); do
		[ "$(grep -c -- "$2" "$3" 2>/dev/null)" -ge "$1" ] && return
		sleep 0.05
	done
	fail "$2 did not come $1 times: $(cat "$3")"
}

cairn_was=$cairn
cairn=$work/bin/cairn
PATH=/usr/bin:/bin expect 1 "cairn-signer: found neither beside this program" serve -c empty/cairn.conf
printf '#!/bin/sh\nexit 3\n' >bin/cairn-signer
chmod 755 bin/cairn-signer
export CAIRN_LISTEN=127.0.0.1:0
expect 1 "cairn-signer ended before it was ready (exit status 3)" serve -c empty/cairn.conf
CAIRN_LISTEN=192.0.2.1:1 expect 1 "no interface of this machine has that address" serve -c empty/cairn.conf
expect 1 "unknown setting" serve -c wrong.conf
cp bin/cairn-api bin/cairn-signer
rm -f log
(cd empty && exec ../bin/cairn serve) 2>serve.err &
pid=$!
wait_lines 1 '"event":"ready"\|ready' serve.err
wait_lines 3 start log
grep -q "cairn-api start 1 $work/empty/cairn.conf" log || fail "the api got no socket or another file: $(cat log)"
grep -q "cairn-signer start 0 " log || fail "the signer got a socket"
wait_lines 1 'directory' serve.err
kill -HUP $pid
wait_lines 3 reload log
echo "frob: 1" >>empty/cairn.conf
kill -HUP $pid
wait_lines 1 'cairn.conf:[0-9]*:1: frob: found an unknown setting' serve.err
[ "$(grep -c reload log)" = 3 ] || fail "a bad configuration was forwarded"
kill -TERM $pid
wait $pid || fail "serve ended with $?"
[ "$(grep stop log | tr '\n' ' ')" = "cairn-api stop cairn-validator stop cairn-signer stop " ] ||
	fail "stopped in another order: $(cat log)"
cairn=$cairn_was

[ $bad = 0 ] && echo "cairn: all as expected"
exit $bad
