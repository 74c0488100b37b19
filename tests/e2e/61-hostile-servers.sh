#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 61-hostile-servers.sh: web, TLS and name servers that attack the validator which asks them (THREATS A29 to A52, what
# concerns one perspective). Every address leads to this machine here, so that what is dialled can be reached and is
# seen: nothing but public addresses on the ports of the web is. Time, memory and words stay bounded.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ "$E2E_NAMESPACE" = own ] || fail "this test wants a network namespace of its own (unshare --net), for its addresses"
python=/usr/bin/python3 # the one that Debian's python3-cryptography is for
"$python" -c 'import cryptography' 2>/dev/null || fail "$python has no module cryptography: apt-get install python3-cryptography"
ip route add local 0.0.0.0/0 dev lo
ip route add local ::/0 dev lo

read -r api_port dns_port < <(free_ports 2)
note "cairn init: as a public CA has it, with ports 80 and 443 and no special address allowed"
run 0 "$work/logs/init.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --listen "127.0.0.1:$api_port" \
	--allow '*.e2e.test'
directory=https://localhost:$api_port/directory
deadline=5
ca_set attempts 1
ca_set deadline ${deadline}s
ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
ca_set challenges '[http-01, dns-01, tls-alpn-01]'
ca_set caa-identities '[ca.e2e.test]'
ca_set orders-per-hour 0
ca_start
validator=$(child_named "$ca_pid" cairn-validator)

note "the attacks"
memory=() # a sanitizer keeps what was freed
! grep -q __asan_init "$bin/cairn-validator" || memory=(--no-memory)
code=0
timeout -k 5 150 "$python" "$e2e_dir/../validate/attacks.py" --directory "$directory" --ca "$root_pem" \
	--dns-port "$dns_port" --api-port "$api_port" --pid "$validator" --deadline "$deadline" \
	${memory[@]+"${memory[@]}"} >"$work/logs/attacks.log" 2>&1 </dev/null || code=$?
sed 's/^/    /' "$work/logs/attacks.log"
[ "$code" = 0 ] || fail "attacks.py: exit code $code"

assert_eq "restarts" "$(grep -c '"event":"child ended"' "$ca_log" || true)" 0
assert_eq "challenges that are still open" "$(ca_sql "SELECT count(*) FROM challenges WHERE status = 'processing'")" 0
assert_eq "lines in the log that a server forged" "$(grep -c '^{"event":"forged"' "$ca_log" || true)" 0
ca_stop
e2e_done
