#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 80-sandbox.sh: the programs in their sandboxes: every thread is in one, certificates are issued, the configuration and
# the files that it names are read again, the API may be killed while the others live, and so may the doors.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set sandbox required
ca_start

note "every thread of every program is confined"
status_of() { # status_of FILE NAME
	sed -n "s/^$2:[[:space:]]*//p" "$1"
}
confined() { # confined WHAT PID: all of its threads
	local open
	open=$(grep -LE '^Seccomp:[[:space:]]*2$' "/proc/$2/task"/*/status) || true
	[ -z "$open" ] || fail "$1: threads without a filter: $open"
	open=$(grep -LE '^NoNewPrivs:[[:space:]]*1$' "/proc/$2/task"/*/status) || true
	[ -z "$open" ] || fail "$1: threads that may get privileges: $open"
	good "$1 ($(find "/proc/$2/task" -mindepth 1 -maxdepth 1 | wc -l) threads)"
}
pid_of() {
	child_named "$ca_pid" "$1"
}
door_of() { # door_of PROGRAM: its only child
	local pid
	pid=$(pid_of "$1")
	[ -z "$pid" ] || children_of "$pid" | tr -d ' '
}
for program in cairn-api cairn-validator cairn-signer; do
	confined "$program" "$(pid_of $program)"
	door=$(door_of $program)
	assert_eq "the child of $program" "$(cat "/proc/$door/comm")" cairn-door
	confined "its door" "$door"
done

note "the signer has two sockets: the bus and its door"
issue one.e2e.test
signer=$(pid_of cairn-signer)
assert_eq "sockets of the signer" "$(find "/proc/$signer/fd" -lname 'socket:*' | wc -l)" 2
# The file is that of the network namespace; which of it is the signer's is told by the inode.
inet=0
for inode in $(find "/proc/$signer/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n'); do
	! cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | grep -qw "$inode" || inet=$((inet + 1))
done
assert_eq "sockets of the signer that lead out of this machine" "$inet" 0
door=$(door_of cairn-validator)
assert_eq "descriptors of a door" "$(find "/proc/$door/fd" -mindepth 1 | wc -l)" 4

note "what is replaced by renaming is read again"
sed 's/names: \["\*\.e2e\.test"\]/names: ["*.e2e.test", "*.new.test"]/
	s/names: { "\*\.e2e\.test": \[127\.0\.0\.1\] }/names: { "*.e2e.test": [127.0.0.1], "*.new.test": [127.0.0.1] }/' \
	"$ca/cairn.conf" >"$ca/cairn.conf.new"
mv "$ca/cairn.conf.new" "$ca/cairn.conf"
ca_reload
issue host.new.test
cp "$ca/perspectives/local.jwk" "$work/local.jwk"
echo '{"kty":"EC"}' >"$ca/perspectives/new"
mv "$ca/perspectives/new" "$ca/perspectives/local.jwk"
refused() {
	[ "$(grep '"reload refused: the old configuration stays"' "$ca_log" | grep -c 'perspective local')" = 2 ]
}
kill -HUP "$ca_pid"
wait_until 10 "API and signer see a pinned key that is none" refused
good "a pinned key that is none is seen"
cp "$work/local.jwk" "$ca/perspectives/new"
mv "$ca/perspectives/new" "$ca/perspectives/local.jwk"
kill -HUP "$ca_pid"
reloaded_by() { # reloaded_by N: lines so far
	[ "$(grep -c '"event":"configuration reloaded"' "$ca_log")" -ge "$1" ]
}
wait_until 10 "all take the right one again" reloaded_by 10 # 4, 2 (supervisor, validator), 4
issue two.e2e.test

note "a file that the configuration names only now: trust anchors, which the validator's library reads"
echo '. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D' >"$work/anchors"
sed -i "s|^\( *\)http-port:.*|&\n\1trust-anchor: $work/anchors\n\1resolvers: [127.0.0.1:9]|" "$ca/cairn.conf"
kill -HUP "$ca_pid"
wait_until 10 "all take it" reloaded_by 14
issue three.e2e.test

note "the API is killed: the others come back to the bus by their doors"
validator=$(pid_of cairn-validator)
api=$(pid_of cairn-api)
kill -KILL "$api"
new_pid() { # new_pid PROGRAM OLD
	local pid
	pid=$(pid_of "$1")
	[ -n "$pid" ] && [ "$pid" != "$2" ]
}
wait_until 10 "a new API" new_pid cairn-api "$api"
wait_until 10 "it serves" port_answers "$api_port"
issue four.e2e.test
assert_eq "the signer is the same" "$(pid_of cairn-signer)" "$signer"
assert_eq "the validator is the same" "$(pid_of cairn-validator)" "$validator"

note "the signer's door is killed: it works on, and starts anew when it needs one"
kill -KILL "$(door_of cairn-signer)"
issue five.e2e.test
assert_eq "the signer is the same" "$(pid_of cairn-signer)" "$signer"
api=$(pid_of cairn-api)
kill -KILL "$api"
wait_until 10 "a new signer" new_pid cairn-signer "$signer"
wait_until 10 "the log says why" ca_said "the door has ended: nothing can be opened or connected any more"
wait_until 10 "a new API" new_pid cairn-api "$api"
wait_until 10 "it serves" port_answers "$api_port"
issue six.e2e.test

note "the API's door is killed: a reload starts the API anew"
api=$(pid_of cairn-api)
kill -KILL "$(door_of cairn-api)"
issue seven.e2e.test
kill -HUP "$ca_pid"
wait_until 10 "a new API" new_pid cairn-api "$api"
wait_until 10 "it serves" port_answers "$api_port"
issue eight.e2e.test
confined cairn-api "$(pid_of cairn-api)"

note "a program that ends takes its door with it"
door=$(door_of cairn-validator)
kill -KILL "$(pid_of cairn-validator)"
wait_until 10 "the door is gone" is_gone "$door"
issue nine.e2e.test
ca_stop

note "secrets are in locked memory, and the log says where they are not"
ca_start
locked=$(status_of "/proc/$(pid_of cairn-signer)/status" VmLck)
[ "${locked%% *}" -ge 256 ] || fail "the signer has locked $locked"
good "locked memory of the signer: $locked"
ca_stop
(
	ulimit -l 0
	setpriv --bounding-set -ipc_lock true 2>/dev/null || exit 0
	exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock timeout -k 5 4 "$bin/cairn" serve -c "$ca/cairn.conf"
) >"$work/logs/unlocked.log" 2>&1 || true
if [ -s "$work/logs/unlocked.log" ]; then
	assert_has "it works, and says so" "$work/logs/unlocked.log" '"event":"ready"' "memory of secrets not locked" RLIMIT_MEMLOCK
fi

note "sandbox: off"
ca_set sandbox off
ca_start
assert_eq "the signer's filter" "$(status_of "/proc/$(pid_of cairn-signer)/status" Seccomp)" 0
assert_eq "the signer's door" "$(door_of cairn-signer)" ""
ca_said "no sandbox" || fail "the log does not say that there is no sandbox"
good "the log says it"
issue ten.e2e.test
ca_stop
e2e_done
