# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# lib.sh: what the end-to-end tests share. Each test is a script that sources this file; it makes a CA in a folder of its
# own, runs it as an operator would and lets a client at it. It takes the build folder from $1 or $CAIRN_BUILD, says what
# it does, ends at the first thing that is wrong, shows the logs then, and leaves neither process nor file behind.
#
# Where the kernel lets us, a test runs in a network namespace that has nothing but a loopback interface: no client can
# ask the world for anything, and ports are ours alone.

set -Eeuo pipefail

e2e_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
e2e_name=$(basename "$0" .sh)
# shellcheck disable=SC2034 # the clients that tools/deps.sh put there
tools_dir=$(cd "$e2e_dir/../.." && pwd)/build/tools

if [ -z "${E2E_NAMESPACE:-}" ]; then
	export E2E_NAMESPACE=none
	e2e_unshare=(unshare --net)
	[ "$(id -u)" = 0 ] || e2e_unshare=(unshare --map-root-user --net)
	if "${e2e_unshare[@]}" ip link set lo up 2>/dev/null; then
		export E2E_NAMESPACE=own
		exec "${e2e_unshare[@]}" bash "$e2e_dir/$(basename "$0")" "$@"
	fi
fi
[ "$E2E_NAMESPACE" = none ] || ip link set lo up

build=${1:-${CAIRN_BUILD:-}}
[ -n "$build" ] || { echo "usage: $0 BUILD (or CAIRN_BUILD=BUILD): the build folder" >&2; exit 2; }
bin=$(cd "$build/src/cmd" && pwd) || exit 2

work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-$e2e_name.XXXXXX")
chmod 755 "$work"
mkdir "$work/home" "$work/logs"
ca=$work/ca
ca_pid=
ca_log=$work/logs/ca.log
root_pem=$ca/root/root.pem
e2e_pids=()
e2e_checks=0
e2e_ok=no

# Nothing of the caller's leaks into a test, and nothing of a test's into the caller's home.
while IFS='=' read -r name _; do
	case $name in
	CAIRN_* | *_proxy | *_PROXY | XDG_* | NOTIFY_SOCKET | DATABASE_URL | LEGO_* | PEBBLE_*) unset "$name" ;;
	esac
done < <(env)
export HOME=$work/home LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1 CAIRN_LOG_LEVEL=debug

# --- saying and judging ------------------------------------------------------------------------------------------------

note() {
	printf '%s  %s\n' "$(date +%T)" "$*"
}

fail() {
	printf 'FAILED: %s\n' "$*"
	exit 1
}

good() { # good WHAT: a check that held
	e2e_checks=$((e2e_checks + 1))
	printf '          ok: %s\n' "$*"
}

assert_eq() { # assert_eq WHAT FOUND WANTED
	[ "$2" = "$3" ] || fail "$1: found \"$2\", wanted \"$3\""
	good "$1: $3"
}

assert_ne() { # assert_ne WHAT FOUND OTHER
	[ "$2" != "$3" ] || fail "$1: found \"$2\" again"
	good "$1"
}

assert_has() { # assert_has WHAT FILE TEXT...: every text stands in the file; wrapped lines count as one
	local what=$1 file=$2 text flat
	shift 2
	flat=$(tr -s '[:space:]' ' ' <"$file")
	for text in "$@"; do
		case $flat in
		*"$text"*) ;;
		*)
			sed 's/^/    | /' "$file" | tail -n 40
			fail "$what: wanted \"$text\" in what is shown above"
			;;
		esac
	done
	good "$what"
}

run() { # run CODE LOG COMMAND...: at most a minute, no terminal; its exit code is what was wanted
	local want=$1 log=$2 code=0
	shift 2
	timeout -k 5 "${run_limit:-60}" "$@" >"$log" 2>&1 </dev/null || code=$?
	[ "$code" = "$want" ] && return
	sed 's/^/    | /' "$log" | tail -n 60
	fail "$(basename "$1"): exit code $code, wanted $want; it ran: $*"
}

wait_until() { # wait_until SECONDS WHAT COMMAND...: the command comes true in time
	local limit=$1 what=$2 end
	shift 2
	end=$((SECONDS + limit + 1))
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || fail "$what: not within $limit s"
		sleep 0.05
	done
}

# --- processes ---------------------------------------------------------------------------------------------------------

spawn() { # spawn LOG COMMAND...: in the background; its pid is in $spawned; ends with the test at the latest
	local log=$1
	shift
	"$@" >>"$log" 2>&1 </dev/null &
	spawned=$!
	e2e_pids+=("$spawned")
}

is_running() {
	[ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

is_gone() {
	! is_running "$1"
}

children_of() { # the pids of a process's children
	cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

child_named() { # child_named PARENT PROGRAM: the pid, or nothing
	local pid
	for pid in $(children_of "$1"); do
		[ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$bin/$2" ] && echo "$pid"
	done
	return 0
}

free_ports() { # free_ports N: numbers, on one line
	"$e2e_dir/helper.py" free-ports "$1"
}

port_answers() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

web_serve() { # web_serve PORT FOLDER: helper.py's web server, and it listens
	spawn "$work/logs/web.log" "$e2e_dir/helper.py" web "$@"
	wait_until 10 "the web server listens" port_answers "$1"
}

# Also where a test ends early: whatever it started is ended, by pid, and waited for.
e2e_cleanup() {
	local code=$? pid child
	trap - EXIT ERR
	set +e
	for pid in ${ca_pid:+$ca_pid} ${e2e_pids[@]+"${e2e_pids[@]}"}; do
		for child in $(children_of "$pid"); do
			is_running "$child" && kill -KILL "$child" 2>/dev/null
		done
		is_running "$pid" && kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	if [ "$code" = 0 ] && [ "$e2e_ok" = yes ]; then
		printf '%s: passed, %d checks\n' "$e2e_name" "$e2e_checks"
	else
		[ "$code" != 0 ] || code=1
		for log in "$work"/logs/*; do
			[ -s "$log" ] || continue
			printf -- '--- the end of %s\n' "${log#"$work"/}"
			tail -n 60 "$log" | cut -c 1-600
		done
		printf '%s: FAILED\n' "$e2e_name"
	fi
	if [ -n "${E2E_KEEP:-}" ]; then
		printf 'kept: %s\n' "$work"
	else
		rm -rf "$work"
	fi
	exit "$code"
}
trap e2e_cleanup EXIT
trap 'printf "FAILED: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
trap 'exit 143' TERM INT

e2e_done() { # the last line of every test
	e2e_ok=yes
}

# --- a CA --------------------------------------------------------------------------------------------------------------

ca_init() { # ca_init [flag of cairn init]...: a CA for *.e2e.test, all of it on this machine
	read -r api_port http_port < <(free_ports 2)
	note "cairn init: API on port $api_port, http-01 on port $http_port"
	local root=(--root-unencrypted)
	[[ " $* " != *" --root "* ]] || root=()
	run 0 "$work/logs/init.log" "$bin/cairn" init "$ca" ${root[@]+"${root[@]}"} --host localhost --listen "127.0.0.1:$api_port" \
		--allow '*.e2e.test' --static '*.e2e.test=127.0.0.1' --allow-address 127.0.0.0/8 --http-port "$http_port" "$@"
	ca_set attempts 1 # tests count what is asked, and what fails should fail at once
	directory=https://localhost:$api_port/directory
}

ca_set() { # ca_set KEY VALUE: in the configuration; a key of the last level that stands in it once
	local n
	n=$(grep -cE "^ *#?$1:" "$ca/cairn.conf") || true
	[ "$n" = 1 ] || fail "cairn.conf has the key $1 $n times, wanted once"
	sed -i -E "s|^( *)#?$1:.*|\1$1: $2|" "$ca/cairn.conf"
}

ca_said() { # ca_said EVENT: since the last start
	grep -qF "\"event\":\"$1\"" "$ca_log"
}

ca_is_up() {
	is_running "$ca_pid" || { wait "$ca_pid" || true; fail "cairn serve ended before it was ready"; }
	ca_said ready
}

ca_start() {
	[ ! -f "$ca_log" ] || cat "$ca_log" >>"$work/logs/ca.old.log"
	: >"$ca_log"
	"$bin/cairn" serve -c "$ca/cairn.conf" >>"$ca_log" 2>&1 </dev/null &
	ca_pid=$!
	wait_until 30 "cairn serve is ready" ca_is_up
	good "cairn serve is ready"
}

ca_reload() { # SIGHUP; the API says what came of it
	local before
	before=$(grep -c '"event":"configuration reloaded"' "$ca_log") || true
	kill -HUP "$ca_pid"
	ca_reload_wanted=$((before + 4)) # the supervisor and three programs
	wait_until 10 "all programs have the new configuration" ca_has_reloaded
}

ca_has_reloaded() {
	[ "$(grep -c '"event":"configuration reloaded"' "$ca_log")" -ge "$ca_reload_wanted" ]
}

# Asks politely, and wants everything that a polite end promises.
ca_stop() {
	local code=0 pid pids ended
	pids=$(children_of "$ca_pid")
	[ "$(wc -w <<<"$pids")" = 3 ] || fail "cairn serve has the children \"$pids\", wanted three"
	kill -TERM "$ca_pid"
	wait_until 40 "cairn serve ends after SIGTERM" is_gone "$ca_pid"
	wait "$ca_pid" || code=$?
	ca_pid=
	assert_eq "cairn serve's exit code" "$code" 0
	for pid in $pids; do
		is_gone "$pid" || fail "process $pid outlived cairn serve"
	done
	good "no program outlived it"
	ended=$(grep '"event":"child ended"' "$ca_log" | tail -n 3)
	[ "$(grep -c '"how":"exit status 0"' <<<"$ended")" = 3 ] || fail "not every program ended well: $ended"
	good "every program ended with exit code 0"
	ca_check_log "$ca_log"
}

ca_check_log() { # a sanitizer's report, an alarm or an error that no test asked for is a failure
	! grep -nE 'AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:' "$1" || fail "a sanitizer found something"
	! grep -n '"event":"alarm' "$1" || fail "a program raised an alarm"
	! grep -n '"error":"serverInternal"' "$1" || fail "a program failed inside"
	"$e2e_dir/helper.py" log-check "$1" || fail "the log is not what it should be"
	good "the log is JSON and complete"
}

ca_check_orders() { # ca_check_orders N: so many orders were issued, and each can be followed through three programs by its id
	cat "$work/logs/"ca*.log >"$work/logs/all"
	"$e2e_dir/helper.py" log-orders "$work/logs/all" "$1" || fail "the log does not tell the orders' stories"
	rm "$work/logs/all"
	good "$1 orders can be followed through all programs by their ids"
}

ca_sql() { # what the store has; only to look
	sqlite3 -readonly -batch -noheader "$ca/store/cairn.db" "$1"
}

# --- names in the DNS ---------------------------------------------------------------------------------------------------

# What dns-01 wants, in the commands below: a name server that the CA asks, and a hook that gives it TXT records. The hook
# is called as lego's "exec" provider calls it, and users of other clients can write the same line.

dns_dir=$work/dns
dns_hook=$work/dns-hook # present NAME VALUE, cleanup NAME VALUE; a dot may end the name

udp_is_bound() {
	grep -q ":$(printf %04X "$1") " /proc/net/udp
}

dns_serve() { # dns_serve PORT [FOLDER]: helper.py's name server, and it listens
	spawn "$work/logs/dns.log" "$e2e_dir/helper.py" dns "$@"
	wait_until 10 "the name server listens" udp_is_bound "$1"
}

dns_start() { # before ca_start: its port is in $dns_port, and cairn.conf names it
	read -r dns_port < <(free_ports 1)
	mkdir "$dns_dir"
	dns_serve "$dns_port" "$dns_dir"
	ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
	cat >"$dns_hook" <<HOOK
#!/bin/sh
set -eu
file=$dns_dir/\${2%.}
case \$1 in
present) printf '%s\n' "\$3" >>"\$file" ;;
cleanup)
	grep -vxF -e "\$3" "\$file" >"\$file.new" || true
	mv "\$file.new" "\$file"
	[ -s "\$file" ] || rm "\$file"
	;;
*) exit 1 ;;
esac
HOOK
	chmod 755 "$dns_hook"
}

dns_is_empty() { # every record that a client published is gone again
	assert_eq "TXT records left" "$(ls "$dns_dir")" ""
}

# --- external account keys ----------------------------------------------------------------------------------------------

eab_add() { # eab_add OPTION...: sets $kid and $hmac_key; the secret goes into no log
	"$bin/cairn" eab add --json "$@" -c "$ca/cairn.conf" >"$work/key.json" || fail "cairn eab add $*: exit code $?"
	kid=$(sed -n 's/.*"kid":"\([^"]*\)".*/\1/p' "$work/key.json")
	hmac_key=$(sed -n 's/.*"hmacKey":"\([^"]*\)".*/\1/p' "$work/key.json")
	[ -n "$kid" ] && [ "${#hmac_key}" = 43 ] || fail "cairn eab add --json printed $(cat "$work/key.json")"
	rm "$work/key.json"
}

assert_bound() { # assert_bound KID: one account is bound to the key, and the key knows
	assert_eq "accounts bound to the key" "$(ca_sql "SELECT count(*) FROM accounts WHERE eab_kid = '$1'")" 1
	assert_eq "uses of the key" "$(ca_sql "SELECT uses FROM eab_keys WHERE kid = '$1'")" 1
}

# --- certificates ------------------------------------------------------------------------------------------------------

cert_ext() { # cert_ext FILE NAME: what openssl makes of one extension
	openssl x509 -in "$1" -noout -ext "$2" 2>/dev/null
}

cert_seconds() { # notAfter - notBefore + 1: both ends count
	local from to
	from=$(date -d "$(openssl x509 -in "$1" -noout -startdate | cut -d= -f2)" +%s)
	to=$(date -d "$(openssl x509 -in "$1" -noout -enddate | cut -d= -f2)" +%s)
	echo $((to - from + 1))
}

serial_of() {
	openssl x509 -in "$1" -noout -serial | cut -d= -f2
}

revocation_of() { # revocation_of FILE: "no", or the reason and who asked, "account" or "key"
	ca_sql "SELECT CASE WHEN revoked_at = 0 THEN 'no' ELSE revocation_reason || ' ' ||
		substr(revoked_by, 1, instr(revoked_by || ':', ':') - 1) END
		FROM certificates WHERE serial = lower('$(serial_of "$1")')"
}

assert_revoked() { # assert_revoked FILE REASON WHO: the store and the log have it; the file may be a copy
	assert_eq "revocation in the store" "$(revocation_of "$1")" "$2 $3"
	grep -F '"event":"certificate revoked"' "$ca_log" | grep -qiF "$(serial_of "$1")" || fail "the log does not tell it"
}

assert_not_revoked() {
	assert_eq "revocation in the store" "$(revocation_of "$1")" no
}

check_chain() { # check_chain FILE NAME...: FILE is the leaf and what belongs above it, as the CA sent it
	local file=$1 found wanted usage
	shift
	csplit -s -z -f "$work/part." -b '%d' "$file" '/-BEGIN CERTIFICATE-/' '{*}'
	[ -f "$work/part.1" ] || fail "$file: the chain has one certificate, wanted the issuer's too"
	cat "$work"/part.[1-9] >"$work/above"
	openssl verify -x509_strict -purpose sslserver -CAfile "$root_pem" -untrusted "$work/above" -verify_hostname "$1" \
		"$work/part.0" >"$work/verify" 2>&1 || fail "openssl verify: $(cat "$work/verify")"
	openssl verify -CAfile "$root_pem" "$work/part.0" >/dev/null 2>&1 && fail "the leaf verifies without its issuer"
	found=$(cert_ext "$work/part.0" subjectAltName | tail -n +2 | tr ',' '\n' | sed 's/^ *//' | sort)
	wanted=$(printf 'DNS:%s\n' "$@" | sort)
	assert_eq "names" "$found" "$wanted"
	assert_eq "extended key usage" "$(cert_ext "$work/part.0" extendedKeyUsage | tail -n +2 | xargs)" \
		"TLS Web Server Authentication"
	usage="Digital Signature" # RFC 5480 3: an EC key enciphers nothing; RSA without ECDHE does
	openssl x509 -in "$work/part.0" -noout -text | grep -q 'Algorithm: rsaEncryption' && usage="$usage, Key Encipherment"
	assert_eq "key usage" "$(cert_ext "$work/part.0" keyUsage | xargs)" "X509v3 Key Usage: critical $usage"
	assert_eq "basic constraints" "$(cert_ext "$work/part.0" basicConstraints | xargs)" \
		"X509v3 Basic Constraints: critical CA:FALSE"
	assert_eq "subject" "$(openssl x509 -in "$work/part.0" -noout -subject)" "subject="
	assert_eq "seconds valid" "$(cert_seconds "$work/part.0")" $((90 * 86400))
	rm -f "$work"/part.* "$work/above" "$work/verify"
}

check_key() { # check_key CERTIFICATE KEY: they belong together
	[ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ] || fail "$1 and $2 do not match"
	good "certificate and key match"
}

# --- our own client ----------------------------------------------------------------------------------------------------

agent_dir=$work/agent

agent_run() { # agent_run CODE LOG OPTION...: cairn-agent obtain, at this CA
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn-agent" obtain --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" "$@"
	! grep -nE 'AddressSanitizer|LeakSanitizer|runtime error:' "$work/logs/$log" || fail "a sanitizer found something"
}

issue() { # issue NAME: a new certificate, whatever is in place; the quickest way to see that everything works
	agent_run 0 "issue-$1.log" --standalone --http-port "$http_port" --force -d "$1"
	check_key "$agent_dir/certificates/$1/cert.pem" "$agent_dir/certificates/$1/privkey.pem"
	openssl verify -CAfile "$root_pem" -untrusted "$agent_dir/certificates/$1/chain.pem" -verify_hostname "$1" \
		"$agent_dir/certificates/$1/cert.pem" >"$work/verify" 2>&1 || fail "$(cat "$work/verify")"
	good "issued: $1"
}
