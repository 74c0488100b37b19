#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 75-audit.sh: certificates are exported with their evidence and asked again, offline: they hold; what was changed in an
# export, or was never issued rightly, does not, and the rule is named.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
export=$work/export.jsonl

cairn() { # cairn CODE LOG COMMAND...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn" "$@" -c "$ca/cairn.conf"
}

change() { # change FILE PYTHON: the first record, changed by what is said of r (the line), j (its job) and d (DER)
	python3 - "$export" "$1" "$2" <<'PY'
import base64, json, sys
r = json.loads(open(sys.argv[1]).readline())
j = json.loads(r["job"])
d = bytearray(base64.urlsafe_b64decode(r["certificate"] + "=="))
exec(sys.argv[3])
r["job"] = json.dumps(j, separators=(",", ":"))
r["certificate"] = base64.urlsafe_b64encode(bytes(d)).rstrip(b"=").decode()
open(sys.argv[2], "w").write(json.dumps(r, separators=(",", ":")) + "\n")
PY
}

refused() { # refused RULE PYTHON [OPTION]...
	local rule=$1 python=$2
	shift 2
	change "$work/changed.jsonl" "$python"
	cairn 1 changed.log audit verify "$@" "$work/changed.jsonl"
	assert_has "the rule that breaks when $python" "$work/logs/changed.log" ": $rule: " "1 failed"
}

note "two certificates, exported and asked again"
agent_run 0 one.log --standalone --http-port "$http_port" -d one.e2e.test -d two.e2e.test
agent_run 0 three.log --standalone --http-port "$http_port" -d three.e2e.test
cairn 0 export.log audit export
cp "$work/logs/export.log" "$export"
assert_eq "lines" "$(wc -l <"$export")" 2
cairn 0 verify.log audit verify "$export"
assert_has "what it says" "$work/logs/verify.log" "2 certificates looked at" "with the signer's journal" "0 failed"

note "without the CA, its store and its journal: configuration and public keys are enough"
ca_stop
mkdir "$work/away"
cp -r "$ca/cairn.conf" "$ca/perspectives" "$ca/issuer" "$work/away"
rm "$work/away"/perspectives/*.key "$work/away"/issuer/*.key
run 0 "$work/logs/away.log" "$bin/cairn" audit verify -c "$work/away/cairn.conf" --no-journal "$export"
assert_has "what it says away" "$work/logs/away.log" "2 certificates looked at" "without the signer's journal" "0 failed"
run 0 "$work/logs/stdin.log" sh -c "cat '$export' | '$bin/cairn' audit verify -c '$work/away/cairn.conf' --no-journal --json"
assert_has "JSON" "$work/logs/stdin.log" '"certificates":2' '"failed":0'
run 0 "$work/logs/since.log" "$bin/cairn" audit verify -c "$work/away/cairn.conf" --no-journal --since 2040-01-01 "$export"
assert_has "none since then" "$work/logs/since.log" "0 certificates looked at"

note "what does not hold"
refused record 'r["certificate"] = r["job"] = ""; d = b""'
refused job 'j["realm"] = "../x"'
refused certificate 'd = d[:-1]'
refused journal 'd[-1] ^= 1'
refused issuer 'd[-1] ^= 1' --no-journal
refused serial 'j["serial"] = j["serial"][:-2] + ("00" if j["serial"][-2:] != "00" else "01")'
refused validity 'j["notAfter"] -= 1'
refused evidence 'j["verdicts"] = []'
refused evidence 'v = j["verdicts"][0]; j["verdicts"] = [v[:-8] + ("A" if v[-8] != "A" else "B") + v[-7:]]'
refused evidence 's = j["finalizeSignature"]; j["finalizeSignature"] = ("A" if s[0] != "A" else "B") + s[1:]'
refused evidence 'j["accountJwk"] = j["accountJwk"].replace("P-256", "P-384")'
refused evidence 'j["identifiers"][0]["value"] = "other.e2e.test"'

note "a certificate by the stolen key that no job asked for"
ca_start
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/evil.key" -subj / \
	-addext subjectAltName=DNS:one.e2e.test -out "$work/evil.csr" 2>/dev/null
openssl x509 -req -in "$work/evil.csr" -CA "$ca/issuer/issuer.pem" -CAkey "$ca/issuer/issuer.key" -days 30 \
	-set_serial 0x010203 -copy_extensions copyall -outform DER -out "$work/evil.der" 2>/dev/null
refused certificate "d = open('$work/evil.der', 'rb').read()"
openssl x509 -req -in "$work/evil.csr" -CA "$ca/issuer/issuer.pem" -CAkey "$ca/issuer/issuer.key" -days 30 \
	-set_serial 0x010203040506070809101112131415161718 -copy_extensions copyall -outform DER -out "$work/evil.der" 2>/dev/null
refused journal "d = open('$work/evil.der', 'rb').read()"
refused serial "d = open('$work/evil.der', 'rb').read()" --no-journal
refused key "d = open('$work/evil.der', 'rb').read(); j['serial'] = '010203040506070809101112131415161718'" --no-journal

note "wrong calls"
cairn 2 wrong.log audit verify --journal x --no-journal
cairn 2 wrong.log audit look
cairn 1 wrong.log audit verify "$work/nowhere"
assert_has "a file that is not there" "$work/logs/wrong.log" "cannot be opened"
e2e_done
