#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 60-hostile.sh: tests/hostile against a CA as an operator would run it: what no client sends, races, floods, other
# accounts' objects. Whatever comes, good clients are served, memory stays as it is, and the log tells it all, line by line.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3 # the one that Debian's python3-cryptography is for
hostile=$e2e_dir/../hostile/hostile.py
"$python" -c 'import cryptography' 2>/dev/null || fail "$python has no module cryptography: apt-get install python3-cryptography"

note "cases"
"$python" "$hostile" --list >"$work/list"
for number in $(seq 1 23) $(seq 70 84); do
	grep -q "^A$number " "$work/list" || fail "no case of A$number"
done
good "A1 to A23 and A70 to A84 have cases, $(wc -l <"$work/list") in all"

ca_init
# Realms: one without limits and DNS challenges, one that binds accounts, one where that is optional, one with every challenge, one with limits.
sed -i -e 's/#orders-per-hour:.*/orders-per-hour: 0/' -e 's/#accounts-per-hour:.*/accounts-per-hour: 0/' \
	-e 's/#challenges:.*/challenges: [http-01]/' -e 's/#profiles:.*/profiles: [server, short]/' -e 's/#attempts:.*/attempts: 1/' "$ca/cairn.conf"
unlimited='accounts-per-hour: 0, orders-per-hour: 0'
names='names: ["*.e2e.test"]'
sed -i -e "/^zone:/i\\
  bound: { $names, eab: required, profiles: [server, short], $unlimited }\\
  optional: { $names, eab: optional, $unlimited }\\
  wide: { names: [\"*\"], addresses: [127.0.0.0/8, \"::1/128\", \"2001:db8::/32\"], challenges: [http-01, dns-01, tls-alpn-01], subdomain-auth: true, $unlimited }\\
  limited: { $names, accounts-per-hour: 5, orders-per-hour: 4 }\\
" -e "/^issuer:/i\\
  short: { lifetime: 2d }\\
  hidden: { lifetime: 1d }\\
" "$ca/cairn.conf"
ca_start
api=$(child_named "$ca_pid" cairn-api)

eab_add() { # eab_add NAME OPTION...: a key for the cases that ask for NAME
	local name=$1
	shift
	run 0 "$work/logs/eab.log" "$bin/cairn" eab add -c "$ca/cairn.conf" --json "$@"
	"$python" -c 'import json, sys; k = json.load(sys.stdin); print(sys.argv[1], k["kid"], k["hmacKey"])' "$name" \
		<"$work/logs/eab.log" >>"$work/eab"
	rm "$work/logs/eab.log" # it has a secret, and what is in logs/ may be shown
}
eab_add good --realm bound
eab_add once --realm bound --uses 1
eab_add raced --realm bound --uses 1
eab_add narrow --realm bound --name '*.narrow.e2e.test' --profile server
eab_add elsewhere --realm optional
eab_add expired --realm bound --expires 1s
eab_add disabled --realm bound
run 0 "$work/logs/disable.log" "$bin/cairn" eab disable "$(awk '$1 == "disabled" { print $2 }' "$work/eab")" -c "$ca/cairn.conf"

memory=() # a sanitizer keeps what was freed
! grep -q __asan_init "$bin/cairn-api" || memory=(--no-memory)
attack() { # attack LOG OPTION...
	local log=$work/logs/$1 code=0
	shift
	timeout -k 5 150 "$python" "$hostile" --directory "$directory" --ca "$root_pem" --http-port "$http_port" --store "$ca/store/cairn.db" \
		--log "$ca_log" --pid "$api" --eab "$work/eab" --times ${memory[@]+"${memory[@]}"} "$@" >"$log" 2>&1 </dev/null || code=$?
	sed 's/^/    /' "$log"
	[ "$code" = 0 ] || fail "hostile.py: exit code $code"
}
resident() { # of cairn-api, in KiB
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$api/status"
}

note "all of it"
attack all.log
assert_eq "what is skipped" "$(awk '$1 == "skipped" { print $2 }' "$work/logs/all.log" | xargs)" "A25 A84 A79 A80"
assert_eq "failures" "$(tail -n 1 "$work/logs/all.log" | cut -d , -f 2)" " 0 failed"

# What still grows then is bounded: decoded account keys (keycache.c has 4096 places), the store's page cache.
note "again, but for what waits and what can be had only once: memory stays"
before=$(resident)
attack again.log --not A14,A73,A82
after=$(resident)
if [ ${#memory[@]} = 0 ]; then
	[ $((after - before)) -lt 6144 ] || fail "memory of cairn-api: $before KiB after one round, $after KiB after two"
	good "memory of cairn-api: $before KiB after one round, $after KiB after two"
fi

note "and it still issues"
issue after.e2e.test
assert_eq "restarts" "$(grep -c '"event":"child ended"' "$ca_log" || true)" 0
assert_eq "the store's integrity" "$(ca_sql 'PRAGMA integrity_check; PRAGMA foreign_key_check;')" ok
assert_eq "certificates without an issuance" "$(ca_sql 'SELECT count(*) FROM certificates c
	WHERE NOT EXISTS (SELECT 1 FROM issuances i WHERE i.order_id = c.order_id AND i.serial = c.serial)')" 0
ca_stop
e2e_done
