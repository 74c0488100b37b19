#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 31-wrong.sh: requests that no good client sends, from curl and byte by byte: each gets its status and a problem document
# that says what was found and what was wanted; the server goes on.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_start
base=https://localhost:$api_port

ask() { # ask CURL_OPTION...: headers to $work/head, body to $work/body, status to $status
	status=$(curl -sS --max-time 15 --cacert "$root_pem" -D "$work/head" -o "$work/body" -w '%{http_code}' "$@") ||
		fail "curl $*: exit code $?"
}

wanted() { # wanted WHAT STATUS TYPE TEXT...: the last answer, a problem document
	local what=$1 want=$2 type=$3
	shift 3
	assert_eq "$what: status" "$status" "$want"
	assert_eq "$what: media type" "$(header content-type)" "application/problem+json"
	assert_eq "$what: problem" "$(python3 -c 'import json, sys; p = json.load(open(sys.argv[1]));
print(p["type"], p["status"], bool(p["detail"]))' "$work/body")" "urn:ietf:params:acme:error:$type $want True"
	[ $# = 0 ] || assert_has "$what: words" "$work/body" "$@"
}

header() { # of the last answer
	tr -d '\r' <"$work/head" | sed -n "s/^$1: *//Ip"
}

note "what is served"
ask "$base/directory"
assert_eq "directory" "$status $(header content-type)" "200 application/json"
assert_eq "the directory's keys" "$(python3 -c 'import json, sys; print(*sorted(json.load(open(sys.argv[1]))))' "$work/body")" \
	"keyChange meta newAccount newAuthz newNonce newOrder renewalInfo revokeCert"
ask -I "$base/new-nonce"
assert_eq "HEAD of newNonce" "$status $(header cache-control)" "200 no-store"
[ -n "$(header replay-nonce)" ] || fail "newNonce gives no nonce"
first=$(header replay-nonce)
ask "$base/new-nonce"
assert_eq "GET of newNonce" "$status" 204
assert_ne "nonces differ" "$(header replay-nonce)" "$first"
[[ $first =~ ^[A-Za-z0-9_-]+$ ]] || fail "the nonce is not base64url: $first"
ask "$base/health"
assert_eq "health" "$status" 200

note "curl"
ask -H 'Content-Type: application/json' -d '{}' "$base/new-order"
wanted "another media type" 415 malformed "application/jose+json"
[ -n "$(header replay-nonce)" ] || fail "an error to a POST carries no nonce (RFC 8555 6.5)"
ask -H 'Content-Type: application/jose+json' -d '{}' "$base/new-order"
wanted "no JWS" 400 malformed
ask -H 'Content-Type: application/jose+json' -d 'not JSON' "$base/new-account"
wanted "no JSON" 400 malformed
head -c 60000 /dev/zero | tr '\0' x >"$work/big"
ask -H 'Content-Type: application/jose+json' -H 'Expect:' --data-binary "@$work/big" "$base/new-order"
wanted "60 kB" 413 malformed "50000"
ask -H 'Content-Type: application/jose+json' -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$work/big" "$base/new-order"
wanted "60 kB in chunks" 413 malformed
ask "$base/new-order"
wanted "GET of a resource for POST" 405 malformed "POST"
assert_eq "Allow" "$(header allow)" "POST, OPTIONS"
ask -X DELETE "$base/directory"
wanted "DELETE of the directory" 405 malformed
ask -H 'Content-Type: application/jose+json' -d '{}' "$base/directory" # read with POST-as-GET, which this is none of
wanted "POST to the directory" 400 malformed
ask "$base/no/such/thing"
wanted "an unknown path" 404 malformed "directory"
ask --path-as-is "$base/../directory"
wanted "a path that climbs" 400 malformed
ask -H 'Content-Type: application/jose+json' -d '{}' "$base/order/not-an-id"
wanted "an id that is none" 404 malformed
ask "$base/realm/nobody/directory"
wanted "an unknown realm" 404 malformed
head -c 40000 /dev/zero | tr '\0' y >"$work/long"
ask -H "X-Long: $(cat "$work/long")" "$base/directory"
wanted "a head of 40 kB" 431 malformed

note "plain HTTP on the TLS port: ended at once"
code=0
curl -sS --max-time 10 "http://localhost:$api_port/directory" >"$work/plain" 2>&1 || code=$?
case $code in
0 | 52 | 56) good "curl ended with $code" ;; # an answer, an empty one, a reset; but no time-out
*) fail "curl to the TLS port without TLS: exit code $code: $(cat "$work/plain")" ;;
esac
code=0
curl -sS --max-time 10 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 --cacert "$root_pem" "$base/directory" >"$work/old" 2>&1 || code=$?
assert_eq "curl's exit code with TLS 1.1" "$code" 35

# Each request is followed by a second one in the same bytes. Whoever disagrees about where the first one ends would
# answer it (RFC 9112 11.2); after a refusal nothing more may be read.
note "smuggling: refused, and the connection ends"
smuggle() { # smuggle WHAT STATUS REQUEST: printf's escapes; %s is the host
	local what=$1 want=$2 answers
	# shellcheck disable=SC2059 # the format is the row
	printf "$3" "localhost:$api_port" >"$work/request"
	printf 'GET /health HTTP/1.1\r\nHost: localhost:%s\r\n\r\n' "$api_port" >>"$work/request"
	timeout 20 "$e2e_dir/helper.py" raw "$api_port" "$root_pem" "$work/request" >"$work/answer" 2>&1 || fail "$what: no answer in time"
	answers=$(grep -ac '^HTTP/1.1 ' "$work/answer") || true
	status=$(head -n 1 "$work/answer" | cut -d ' ' -f 2)
	[ "$answers" = 1 ] || { cat "$work/answer"; fail "$what: $answers answers, wanted one"; }
	tr -d '\r' <"$work/answer" | sed '/^$/,$d' >"$work/head"
	tr -d '\r' <"$work/answer" | sed '1,/^$/d' >"$work/body"
	wanted "$what" "$want" malformed
	assert_eq "$what: connection" "$(header connection)" close
}
post='POST /new-order HTTP/1.1\r\nHost: %s\r\nContent-Type: application/jose+json\r\n'
smuggle "length and chunks" 400 "${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
smuggle "chunks and length" 400 "${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
smuggle "two lengths" 400 "${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
smuggle "two lengths in one line" 400 "${post}Content-Length: 2, 3\r\n\r\n{}"
smuggle "a length with a sign" 400 "${post}Content-Length: +2\r\n\r\n{}"
smuggle "a length in hex" 400 "${post}Content-Length: 0x2\r\n\r\n{}"
smuggle "a negative length" 400 "${post}Content-Length: -1\r\n\r\n{}"
smuggle "an endless length" 413 "${post}Content-Length: 99999999999999999999999\r\n\r\n{}"
smuggle "a coding that is not known" 501 "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
smuggle "chunked twice" 400 "${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"
smuggle "a chunk's size with a sign" 400 "${post}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n"
smuggle "a chunk's size that is too large" 400 "${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n"
smuggle "a folded line" 400 "${post}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}"
smuggle "a blank before the colon" 400 "${post}Content-Length : 2\r\n\r\n{}"
smuggle "a header without a name" 400 "${post}: x\r\nContent-Length: 2\r\n\r\n{}"
smuggle "a bare CR in a value" 400 "${post}X-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\n{}"
smuggle "a NUL in a value" 400 "${post}X-A: b\\000c\r\nContent-Length: 2\r\n\r\n{}"
smuggle "two hosts" 400 'GET /directory HTTP/1.1\r\nHost: %s\r\nHost: other\r\n\r\n'
smuggle "no host" 400 'GET /directory HTTP/1.1\r\nX-Not-Host: %s\r\n\r\n'
smuggle "another version" 505 'GET /directory HTTP/2.7\r\nHost: %s\r\n\r\n'
smuggle "no version" 400 'GET /directory\r\nHost: %s\r\n\r\n'
smuggle "a blank in the target" 400 'GET /directory /x HTTP/1.1\r\nHost: %s\r\n\r\n'

note "two requests in one go, both good: two answers, in order"
printf 'GET /health HTTP/1.1\r\nHost: localhost:%s\r\n\r\nGET /directory HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' \
	"$api_port" "$api_port" >"$work/request"
timeout 20 "$e2e_dir/helper.py" raw "$api_port" "$root_pem" "$work/request" >"$work/answer" 2>&1 || fail "no answer in time"
assert_eq "answers" "$(grep -ac '^HTTP/1.1 200' "$work/answer")" 2

note "and it still issues"
issue after.e2e.test
assert_eq "restarts" "$(grep -c '"event":"child ended"' "$ca_log" || true)" 0
ca_stop
e2e_done
