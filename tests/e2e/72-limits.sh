#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 72-limits.sh: what shortens the life of a certificate below its profile's, a realm and an external account key; and keys
# that get nothing, because a file of the operator's lists them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2119 # no flags of its own
ca_init
ca_set eab optional
sed -i '/^realm:/a\  brief: { names: ["*.e2e.test"], lifetime-max: 2h }' "$ca/cairn.conf"
ca_start
export REQUESTS_CA_BUNDLE=$root_pem LEGO_CA_CERTIFICATES=$root_pem
base=https://localhost:$api_port

note "the realm's limit"
directory=$base/realm/brief/directory agent_dir=$work/agent-brief
issue two-hours.e2e.test
assert_eq "seconds valid" "$(cert_seconds "$agent_dir/certificates/two-hours.e2e.test/cert.pem")" 7200

note "an external key's"
directory=$base/directory agent_dir=$work/agent-bound
eab_add --lifetime 12h
printf '%s\n' "$hmac_key" >"$work/hmac" && chmod 600 "$work/hmac"
agent_run 0 bound.log --standalone --http-port "$http_port" --eab-kid "$kid" --eab-key-file "$work/hmac" -d bound.e2e.test
assert_eq "seconds valid" "$(cert_seconds "$agent_dir/certificates/bound.e2e.test/cert.pem")" $((12 * 3600))
run 0 "$work/logs/eab-show.log" "$bin/cairn" eab show "$kid" -c "$ca/cairn.conf"
assert_has "cairn eab show" "$work/logs/eab-show.log" "lifetime 12h"
run 1 "$work/logs/eab-long.log" "$bin/cairn" eab add --lifetime 399d -c "$ca/cairn.conf"
assert_has "cairn eab add" "$work/logs/eab-long.log" 'lifetime: found "399d"; allowed: a duration from 1m to 398d'

note "a blocked key, and a weak one"
lego_csr() { # lego_csr CODE LOG
	run "$1" "$work/logs/$2" lego --server "$base/directory" --accept-tos --email lego@e2e.test --http \
		--http.port "127.0.0.1:$http_port" --path "$work/lego-csr" --csr "$work/listed.csr" run
}
openssl req -new -newkey rsa:2048 -nodes -keyout "$work/listed.key" -subj / -addext subjectAltName=DNS:listed.e2e.test -out "$work/listed.csr" 2>/dev/null
ca_set blocked "lists/blocked"
ca_set weak "[lists/weak]"
mkdir "$ca/lists"
echo "# nobody's" >"$ca/lists/weak"
openssl pkey -in "$work/listed.key" -pubout -outform DER | sha256sum | cut -d' ' -f1 >"$ca/lists/blocked"
ca_reload
lego_csr 1 blocked.log
assert_has "lego says why" "$work/logs/blocked.log" "badCSR" "public key is forbidden: it is on this CA's block list"
: >"$ca/lists/blocked"
openssl rsa -in "$work/listed.key" -noout -modulus | sha1sum | cut -c 21-40 >>"$ca/lists/weak"
ca_reload
lego_csr 1 weak.log
assert_has "lego says why" "$work/logs/weak.log" "badCSR" "CVE-2008-0166"
: >"$ca/lists/weak"
ca_reload
lego_csr 0 listed.log
ca_stop
e2e_done
