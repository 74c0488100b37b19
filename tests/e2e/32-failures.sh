#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 32-failures.sh: what the user of a client reads when a name cannot be proved. Every message says what was looked at, what
# was found and what was wanted, and no client is left waiting.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

read -r dns_port < <(free_ports 1)
ca_init --allow '*.dns.test'
ca_set resolvers "[\"127.0.0.1:$dns_port\"]"
dns_serve "$dns_port"
ca_start
export REQUESTS_CA_BUNDLE=$root_pem LEGO_CA_CERTIFICATES=$root_pem
web=$work/web
elsewhere=$work/elsewhere
mkdir -p "$web" "$elsewhere"

certbot_fails() { # certbot_fails NAME LOG: it writes where nobody serves
	run 1 "$work/logs/$2" certbot certonly --webroot -w "$elsewhere" -d "$1" --server "$directory" --non-interactive \
		--agree-tos --register-unsafely-without-email --config-dir "$work/certbot/etc" --work-dir "$work/certbot/var" \
		--logs-dir "$work/certbot/log"
}

lego_fails() { # lego_fails NAME LOG
	run 1 "$work/logs/$2" lego --server "$directory" --accept-tos --email lego@e2e.test --http --http.webroot "$elsewhere" \
		--path "$work/lego" -d "$1" run
}

agent_fails() { # agent_fails NAME LOG
	agent_run 1 "$2" --webroot "$elsewhere" -d "$1"
}

each_client_reads() { # each_client_reads NAME TEXT...: one failure, three clients
	local name=$1 client
	shift
	for client in certbot lego agent; do
		"${client}_fails" "$name" "$client.log"
		assert_has "$client" "$work/logs/$client.log" "$name" "$@"
	done
}

note "nobody listens on the port"
each_client_reads closed.e2e.test "127.0.0.1: GET http://closed.e2e.test:$http_port/.well-known/acme-challenge/" \
	"refused" "wanted an answer on port $http_port" "start a web server there"

note "404"
web_serve "$http_port" "$web"
each_client_reads missing.e2e.test "GET http://missing.e2e.test:$http_port/.well-known/acme-challenge/" "answered 404" \
	"wanted 200 with the key authorization" "put the challenge file under the web root"

note "something else in the file"
printf 'It works!' >"$web/content"
each_client_reads wrong.e2e.test "answered 200 with" "It works!" "wanted the key authorization" \
	"put the challenge file of this order there"

note "a whole page"
{ printf '<html>Hello, this is the page of a provider'; head -c 5000 /dev/zero | tr '\0' ' '; } >"$web/content"
each_client_reads page.e2e.test "answered 200 with 128 bytes or more" "<html>Hello" "serve the challenge file itself, not a page"

note "an empty file"
: >"$web/content"
each_client_reads empty.e2e.test "answered 200 with an empty body" "wanted the key authorization"
rm "$web/content"

note "a redirect to the cloud's metadata service: refused, and never asked"
echo 'http://169.254.169.254/latest/meta-data/' >"$web/redirect"
each_client_reads metadata.e2e.test "169.254.169.254" "has no address that may be contacted" "cloud metadata" "allow-addresses"

note "a redirect to a port that is not one of the web's"
echo "http://localhost:$api_port/directory" >"$web/redirect"
each_client_reads port.e2e.test "answered 302" "port $api_port is not followed" "wanted 80 or 443"

note "a redirect in a circle"
echo "http://circle.e2e.test:$http_port/.well-known/acme-challenge/again" >"$web/redirect"
each_client_reads circle.e2e.test "redirect loop"

note "a redirect to something that is no web"
echo 'file:///etc/passwd' >"$web/redirect"
each_client_reads scheme.e2e.test "answered 302" "file:///etc/passwd" "which is not followed"
rm "$web/redirect"

note "a name that the realm does not allow"
for client in lego agent; do
	"${client}_fails" name.other.test "$client.log"
	assert_has "$client" "$work/logs/$client.log" "name.other.test is not allowed" "realm default allows *.e2e.test"
done
# Debian 12's certbot 2.1 stumbles over its own exception here and shows no problem to a newOrder; its log has it.
certbot_fails name.other.test certbot.log
assert_has "certbot's log" "$work/certbot/log/letsencrypt.log" "name.other.test is not allowed" "realm default allows *.e2e.test"
assert_eq "orders for it" "$(ca_sql "SELECT count(*) FROM orders WHERE identifiers LIKE '%other.test%'")" 0

note "a name that is not in the DNS, and one that is"
each_client_reads nx.dns.test "nx.dns.test" "does not exist"
agent_run 0 dns-good.log --webroot "$web" -d here.dns.test
check_chain "$agent_dir/certificates/here.dns.test/fullchain.pem" here.dns.test

note "every refusal is in the log and in the store, with the same words"
grep '"event":"probe finished"' "$ca_log" | grep '"name":"metadata.e2e.test"' >"$work/told"
assert_has "the validator's log" "$work/told" '"outcome":"invalid"' "cloud metadata"
ca_sql "SELECT error FROM challenges WHERE status = 'invalid' AND error LIKE '%metadata.e2e.test%'" >"$work/told"
assert_has "the store" "$work/told" "cloud metadata"
assert_eq "challenges that are still open" "$(ca_sql "SELECT count(*) FROM challenges WHERE status = 'processing'")" 0

ca_stop
ca_check_orders 1
e2e_done
