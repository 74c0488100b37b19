#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 62-mistakes.sh: the mistakes that users make, and every word that they read then: what was asked of whom, what came
# back, what was wanted, what to do. Ports 80 and 443 and public addresses are ours here: the namespace has its own.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ "$E2E_NAMESPACE" = own ] || fail "this test wants a network namespace of its own (unshare --net), for its addresses"
python=/usr/bin/python3 # the one that Debian's python3-cryptography is for
"$python" -c 'import cryptography' 2>/dev/null || fail "$python has no module cryptography: apt-get install python3-cryptography"
ip route add local 20.0.0.0/24 dev lo
ip route add local 2a00::/64 dev lo

read -r api_port dns_port < <(free_ports 2)
note "cairn init: as a public CA has it, with ports 80 and 443 and no special address allowed"
run 0 "$work/logs/init.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --listen "127.0.0.1:$api_port" \
	--allow '*.e2e.test'
directory=https://localhost:$api_port/directory
ca_set attempts 1
ca_set deadline 6s
ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
ca_set challenges '[http-01, dns-01, tls-alpn-01]'
ca_set caa-identities '[ca.e2e.test]'
ca_start

note "the mistakes"
code=0
timeout -k 5 100 "$python" "$e2e_dir/../validate/mistakes.py" --directory "$directory" --ca "$root_pem" \
	--dns-port "$dns_port" >"$work/logs/mistakes.log" 2>&1 </dev/null || code=$?
sed 's/^/    /' "$work/logs/mistakes.log"
[ "$code" = 0 ] || fail "mistakes.py: exit code $code"
assert_eq "challenges that are still open" "$(ca_sql "SELECT count(*) FROM challenges WHERE status = 'processing'")" 0

note "the store and the log have the same words"
ca_sql "SELECT error FROM challenges WHERE error LIKE '%timeout during connect%'" >"$work/told"
assert_has "the store" "$work/told" "likely firewall problem"
grep '"event":"probe finished"' "$ca_log" | grep '"name":"drops.e2e.test"' >"$work/told"
assert_has "the validator's log" "$work/told" '"outcome":"invalid"' "likely firewall problem"
ca_stop
e2e_done
