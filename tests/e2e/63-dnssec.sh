#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 63-dnssec.sh: names in signed zones, served by NSD: what is secure, what the zone above says is not signed, and what is
# bogus, with the reason as the user reads it (A43). Zones that are made to cost their validator much (A42), and a name
# server that lies beside one that does not (A46). Without a trust anchor nobody asks.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ "$E2E_NAMESPACE" = own ] || fail "this test wants a network namespace of its own (unshare --net), for its addresses"
python=/usr/bin/python3 # the one that Debian's python3-cryptography is for
nsd=$(command -v nsd || echo "$tools_dir/nsd/usr/sbin/nsd")
[ -x "$nsd" ] || fail "nsd is not there: tools/deps.sh check"
command -v ldns-signzone >/dev/null || fail "ldns-signzone is not there: tools/deps.sh check"
ip route add local 20.0.0.0/24 dev lo
read -r api_port dns_port liar_port < <(free_ports 3)

# --- zones -------------------------------------------------------------------------------------------------------------

zones=$work/zones
mkdir "$zones"
cd "$zones"
from_now() { # from_now "N days": as ldns-signzone takes it
	date -u -d "$1" +%Y%m%d%H%M%S
}

zone_begin() { # zone_begin NAME: in the file NAME
	printf '$ORIGIN %s.\n$TTL 60\n@ IN SOA ns.e2e.test. root.e2e.test. 1 3600 600 86400 5\n@ IN NS ns.e2e.test.\n' "$1" >"$1"
	printf 'host IN A 20.0.0.1\n' >>"$1"
}

zone_key() { # zone_key NAME [ALGORITHM]: prints the name of the key's files
	ldns-keygen -a "${2:-ECDSAP256SHA256}" -k -r /dev/urandom "$1" 2>>"$work/logs/zones.log"
}

zone_sign() { # zone_sign NAME KEY [FROM UNTIL [OPTION...]]: as in "3 days"
	ldns-signzone -i "$(from_now "${3:--1 day}")" -e "$(from_now "${4:-30 days}")" "${@:5}" "$1" "$2"
	mv "$1.signed" "$1"
}

zone_ds() { # zone_ds KEY: the DS record for the zone above
	ldns-key2ds -n -2 "$1.key"
}

note "zones: one that is signed, and zones below it with what goes wrong"
zone_begin e2e.test
for child in plain nods expired future wrongds unsigned keytrap keytrap0 nsec3 nsec3max; do
	zone_begin "$child.e2e.test"
	printf '%s IN NS ns.e2e.test.\n' "$child" >>e2e.test
done
for child in nods expired future wrongds; do
	key=$(zone_key "$child.e2e.test")
	case $child in
	nods) zone_sign nods.e2e.test "$key" ;;
	# An hour is no difference of clocks: the library by itself would look past up to a day of it.
	expired) zone_sign expired.e2e.test "$key" '-30 days' '-1 hour' ;;
	future) zone_sign future.e2e.test "$key" '1 hour' '30 days' ;;
	wrongds)
		zone_sign wrongds.e2e.test "$key"
		key=$(zone_key wrongds.e2e.test)
		;;
	esac
	[ "$child" = nods ] || zone_ds "$key" >>e2e.test
done
zone_ds "$(zone_key unsigned.e2e.test)" >>e2e.test
for child in keytrap keytrap0; do # the second one is as the first, but for the trap
	key=$(zone_key "$child.e2e.test" ED25519)
	zone_ds "$key" >>e2e.test
	[ "$child" = keytrap0 ] || "$python" "$e2e_dir/../validate/colliding.py" keys "$key.key" 400 >>keytrap.e2e.test
	zone_sign "$child.e2e.test" "$key"
done
"$python" "$e2e_dir/../validate/colliding.py" sign keytrap.e2e.test 300
for child in nsec3 nsec3max; do # 150 rounds are the most that libunbound takes for a proof
	key=$(zone_key "$child.e2e.test")
	zone_ds "$key" >>e2e.test
	rounds=150
	[ "$child" = nsec3max ] || rounds=2500
	zone_sign "$child.e2e.test" "$key" '-1 day' '30 days' -n -t "$rounds" -s 00112233445566778899aabbccddeeff
done
for name in ns secure broken stripped broken2 stripped2 caa honest{0..5} pace{0..7}; do
	printf '%s IN A 20.0.0.1\n' "$name" >>e2e.test
done
printf '_acme-challenge.txt IN TXT "x"\ncaa IN CAA 0 issue "ca.e2e.test"\n' >>e2e.test
key=$(zone_key e2e.test)
zone_ds "$key" >"$work/anchor"
zone_sign e2e.test "$key"
break_signature() { # break_signature NAME TYPE: of its signature, another one of the same form
	local n
	n=$(grep -cE "^$1\.e2e\.test\..*RRSIG[[:space:]]+$2 " e2e.test) || true
	assert_eq "signatures of $1 $2" "$n" 1
	sed -i -E "/^$1\.e2e\.test\..*RRSIG[[:space:]]+$2 /s/[^ ]{8}([^ ]*)$/AAAAAAAA\1/" e2e.test
}
break_signature broken A
break_signature broken2 A
break_signature _acme-challenge.txt TXT
break_signature caa CAA
sed -i -E '/^stripped2?\.e2e\.test\..*RRSIG[[:space:]]+A /d' e2e.test
mv e2e.test "$work/e2e.good"
# What is served first: signed with a key that the anchor does not know.
zone_begin e2e.test
printf 'secure IN A 20.0.0.1\nns IN A 20.0.0.1\n' >>e2e.test
zone_sign e2e.test "$(zone_key e2e.test)"

{
	printf 'server:\n  ip-address: 127.0.0.1@%s\n  username: ""\n  chroot: ""\n  zonesdir: "%s"\n' "$dns_port" "$zones"
	printf '  pidfile: "%s"\n  database: ""\n  zonelistfile: "%s"\n  xfrdfile: "%s"\n  xfrdir: "%s"\n  cookie-secret-file: ""\n' \
		"$work/nsd.pid" "$work/nsd.list" "$work/nsd.xfrd" "$work"
	printf 'remote-control:\n  control-enable: no\n'
	for zone in *.test; do
		printf 'zone:\n  name: "%s"\n  zonefile: "%s"\n' "$zone" "$zone"
	done
} >"$work/nsd.conf"
cd "$work"
spawn "$work/logs/nsd.log" "$nsd" -d -c "$work/nsd.conf"
wait_until 10 "the name server listens" udp_is_bound "$dns_port"

# --- the CA ------------------------------------------------------------------------------------------------------------

run 0 "$work/logs/init.log" "$bin/cairn" init "$ca" --root-unencrypted --host localhost --listen "127.0.0.1:$api_port" \
	--allow '*.e2e.test'
directory=https://localhost:$api_port/directory
ca_set attempts 1
ca_set deadline 10s
ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
ca_set challenges '[http-01, dns-01]'
ca_set caa-identities '[ca.e2e.test]'
ca_set trust-anchor "$work/anchor"
ca_start

prove() { # prove CASES: of dnssec.py
	local code=0
	timeout -k 5 100 "$python" "$e2e_dir/../validate/dnssec.py" --directory "$directory" --ca "$root_pem" \
		--dns-port "$dns_port" --liar-port "$liar_port" --pid "$(child_named "$ca_pid" cairn-validator)" --cases "$1" \
		>"$work/logs/dnssec.log" 2>&1 </dev/null || code=$?
	sed 's/^/    /' "$work/logs/dnssec.log"
	[ "$code" = 0 ] || fail "dnssec.py: exit code $code"
}

assert_told() { # assert_told NAME SECURITY: in the transcript of the verdict
	ca_sql "SELECT v.jws FROM verdicts v JOIN attempts t ON t.id = v.attempt JOIN authorizations a ON a.id = t.authz
		WHERE a.ident_value = '$1'" >"$work/verdict"
	tr '."' '\n\n' <"$work/verdict" | "$python" -c 'import base64, sys
for part in sys.stdin:
    print(base64.urlsafe_b64decode(part.strip() + "=" * (-len(part.strip()) % 4)))' >"$work/told"
	assert_has "the verdict on $1 says $2" "$work/told" "($2)"
}

note "the anchor's own zone has other keys; when it is mended it counts at once, not after libunbound's minute"
prove spoilt
anchored=$(grep -oE '[A-Za-z0-9+/]{80,}={0,2}' "$zones/$key.key")
anchored_is_served() {
	drill -p "$dns_port" @127.0.0.1 e2e.test DNSKEY >"$work/served" && grep -qF "$anchored" "$work/served"
}
mv "$work/e2e.good" "$zones/e2e.test"
kill -HUP "$(cat "$work/nsd.pid")"
wait_until 10 "the name server has the mended zone" anchored_is_served

note "with a trust anchor"
prove validating
assert_told secure.e2e.test secure
assert_told host.plain.e2e.test insecure
assert_told host.nods.e2e.test insecure

note "zones that cost much: they fail in time, and nobody else waits for them"
prove costly

note "one of two name servers lies: what it says is not taken, and its address never asked"
ca_set resolvers "[\"127.0.0.1:$liar_port\", \"127.0.0.1:$dns_port\"]"
ca_set attempts 3
ca_reload
prove lied

note "nothing can be told to be taken without its signatures"
ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
ca_set attempts 1
cp "$ca/cairn.conf" "$work/conf.good"
for key in domain-insecure negative-trust-anchor negative-trust-anchors trust-anchor-negative insecure; do
	sed -E "s|^( *)trust-anchor:|\1$key: [broken.e2e.test]\n&|" "$work/conf.good" >"$ca/cairn.conf"
	assert_ne "a configuration with $key" "$(grep -c "$key" "$ca/cairn.conf")" 0
	run 1 "$work/logs/insecure.log" "$bin/cairn" check-config -c "$ca/cairn.conf"
	assert_has "check-config on $key" "$work/logs/insecure.log" "$key" "unknown setting"
done
cp "$work/conf.good" "$ca/cairn.conf"
"$bin/cairn" check-config --print -c "$ca/cairn.conf" >"$work/printed"
assert_has "the settings" "$work/printed" trust-anchor
named=$(grep -ciE '^[^#]*(insecure|negative)[^:]*:' "$work/printed") || true
assert_eq "settings whose name speaks of insecure or negative" "$named" 0
ca_set forwards "{broken.e2e.test: \"127.0.0.1:$dns_port\", expired.e2e.test: \"127.0.0.1:$dns_port\"}"
ca_reload
prove forwarded

note "without a trust anchor: nobody asks"
ca_set forwards '{}'
ca_set trust-anchor '""'
ca_reload
prove plain
ca_stop
e2e_done
