#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 90-overload.sh: more than the CA can take. Idle, slow, half-shaken and returning connections do not stop the orders of
# others; when there are more requests than workers the surplus hears 503 with Retry-After, and what has begun is finished
# first; memory and descriptors have a bound and come back; too few descriptors are told and make the server smaller.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

bench=$(cd "$build/bench" && pwd)
export CAIRN_LOG_LEVEL=notice # or the log is the load

storm() { # storm NAME ADDRESS MODE CONNECTIONS SECONDS [OPTION]...: in the background, its pid in $spawned
	local name=$1 from=$2 mode=$3 count=$4 seconds=$5
	shift 5
	spawn "$work/logs/storm-$name.log" "$bench/cairn-storm" --server "127.0.0.1:$api_port" --from "$from" --mode "$mode" \
		--connections "$count" --seconds "$seconds" "$@"
}
storm_is_up() {
	grep -q '^up ' "$work/logs/storm-$1.log"
}
number() { # number KEY FILE: of the one JSON object in it
	sed -n "s/.*\"$1\":\\([0-9]*\\).*/\\1/p" "$2"
}
storm_number() {
	number "$2" "$work/logs/storm-$1.log"
}
anonymous_kib() { # of all programs together
	local pid sum=0
	for pid in "$ca_pid" $(children_of "$ca_pid"); do
		sum=$((sum + $(awk '/^Anonymous:/ { print $2 }' "/proc/$pid/smaps_rollup")))
	done
	echo "$sum"
}
descriptors() {
	find "/proc/$(child_named "$ca_pid" cairn-api)/fd" -type l | wc -l
}
is_calm() { # is_calm DESCRIPTORS: the connections are gone again
	[ "$(descriptors)" -le "$1" ]
}

ca_end() { # as ca_stop, but for what the log says only where it says more
	local code=0
	kill -TERM "$ca_pid"
	wait_until 40 "cairn serve ends after SIGTERM" is_gone "$ca_pid"
	wait "$ca_pid" || code=$?
	ca_pid=
	assert_eq "cairn serve's exit code" "$code" 0
	ca_check_log "$ca_log"
}

# shellcheck disable=SC2119 # no flags of its own
ca_init
ca_set workers 4
ca_start
issue before.e2e.test
calm=$(($(descriptors) + 8))

note "idle, slow, half-shaken and returning connections at once; an order of somebody else"
storm idle 127.0.0.2 idle 800 17
idle=$spawned
storm head 127.0.0.3 slow-head 100 17
head=$spawned
storm body 127.0.0.4 slow-body 100 17 --method POST --path /new-order --body 40000
body=$spawned
wait_until 30 "all that are idle are there" storm_is_up idle
storm handshake 127.0.0.5 handshake 40 8
handshake=$spawned
storm reconnect 127.0.0.6 reconnect 16 8
reconnect=$spawned
issue during.e2e.test
memory=$(anonymous_kib)
[ "$memory" -lt 98304 ] || fail "the programs have $memory KiB of their own"
good "memory with 1,000 connections: $((memory / 1024)) MiB"
wait "$handshake" "$reconnect"
[ "$(storm_number handshake opened)" -gt 0 ] || fail "no handshake was answered"
[ "$(storm_number reconnect ok)" -gt 0 ] || fail "who came anew for each request was never served"
assert_eq "requests of those who came anew and got another answer" "$(storm_number reconnect refused)" 0
wait "$idle" "$head" "$body"
assert_eq "idle connections that were cut off" "$(storm_number idle closed)" 0
[ "$(storm_number head closed)" -ge 100 ] || fail "slow heads had no deadline: $(cat "$work/logs/storm-head.log")"
good "each slow head met its deadline, byte by byte or not"

note "more requests than workers: what has begun goes on, the rest hears 503 at once"
spawn "$work/logs/reads.json" "$bench/cairn-bench" --server "$directory" --ca-file "$root_pem" --clients 2 --only read \
	--names-suffix .e2e.test --seconds 8 --challenge-port "$http_port" --json
reads=$spawned
sleep 2
storm flood 127.0.0.7 flood 300 4 --method POST --path /new-order --body 600
wait "$spawned"
code=0
wait "$reads" || code=$?
[ "$code" = 0 ] || { cat "$work/logs/reads.json"; fail "reads of their own accounts were refused"; }
good "requests that begin nothing were all answered"
[ "$(storm_number flood unavailable)" -gt 0 ] || fail "nothing was refused: $(cat "$work/logs/storm-flood.log")"
assert_eq "refusals without Retry-After" "$(storm_number flood no_retry_after)" 0
assert_eq "connections that were cut for it" "$(($(storm_number flood failed)))" 0

note "and all is as before"
wait_until 20 "the connections are gone" is_calm "$calm"
issue after.e2e.test
ca_end

note "fewer descriptors than connections are configured"
ulimit -n 300
ca_start
ca_said "fewer connections than api.connections-max" || fail "it does not say so"
good "it says so"
storm many 127.0.0.2 idle 400 8
many=$spawned
sleep 4
issue crowded.e2e.test
wait "$many"
[ "$(storm_number many closed)" -gt 0 ] || fail "no idle connection made room"
good "the oldest idle connections made room"
ca_end
e2e_done
