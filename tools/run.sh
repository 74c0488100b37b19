#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh: `make run`. Installs what is needed, builds, makes a throw-away CA that answers on this machine only, gets a
# first certificate from it and goes on serving until Ctrl-C.
#
#   CAIRN_RUN_PORT       of the API (14000)
#   CAIRN_RUN_HTTP_PORT  to which http-01 connects (5002, or 14080 when that is taken)
#   CAIRN_RUN_DIR        where everything goes (run, beside the Makefile)
#   CAIRN_RUN_ONCE=1     stop after the first certificate
set -eu -o pipefail
cd "$(dirname "$0")/.."
root=$PWD
port=${CAIRN_RUN_PORT:-14000}
dir=${CAIRN_RUN_DIR:-$root/run}
build=$root/build/run
marker=.made-by-make-run
server=
follower=

say() {
	printf '== %s\n' "$*"
}

die() {
	printf 'make run: %s\n' "$*" >&2
	exit 1
}

is_port() {
	[[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]
}

is_free() { # does nobody answer there? The connection is closed with the subshell.
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

http_port() {
	local p
	if [ -n "${CAIRN_RUN_HTTP_PORT:-}" ]; then
		is_port "$CAIRN_RUN_HTTP_PORT" || die "CAIRN_RUN_HTTP_PORT is \"$CAIRN_RUN_HTTP_PORT\", which is no port"
		is_free "$CAIRN_RUN_HTTP_PORT" || die "port $CAIRN_RUN_HTTP_PORT of CAIRN_RUN_HTTP_PORT is in use by another program"
		echo "$CAIRN_RUN_HTTP_PORT"
		return
	fi
	for p in 5002 14080; do
		if [ "$p" != "$port" ] && is_free "$p"; then
			echo "$p"
			return
		fi
	done
	die "ports 5002 and 14080, for the answers to http-01, are both in use; choose one: CAIRN_RUN_HTTP_PORT=8402 make run"
}

stop_server() {
	[ -n "$server" ] || return 0
	kill -TERM "$server" 2>/dev/null || true
	# wait returns early when another signal comes in
	while kill -0 "$server" 2>/dev/null; do
		wait "$server" 2>/dev/null || true
	done
	local rc=0
	wait "$server" 2>/dev/null || rc=$?
	server=
	return "$rc"
}

on_exit() {
	local rc=$?
	trap '' INT TERM
	stop_server || true
	[ -z "$follower" ] || kill "$follower" 2>/dev/null || true
	exit "$rc"
}

on_stop() {
	trap '' INT TERM
	echo
	say 'stopping: requests in progress may end'
	local rc=0
	stop_server || rc=$?
	[ "$rc" -eq 0 ] || die "cairn serve ended with exit code $rc; its log: $dir/serve.log"
	say "stopped; what it made stays in $dir until the next \"make run\""
	exit 0
}

# A folder that this script did not make is never touched; what an earlier run left in its own folder goes.
make_dir() {
	if [ -e "$dir" ] && [ ! -f "$dir/$marker" ]; then
		if [ ! -d "$dir" ] || [ -n "$(ls -A "$dir")" ]; then
			die "$dir is there already and was not made by make run; choose another folder: CAIRN_RUN_DIR=/tmp/cairn make run"
		fi
	fi
	mkdir -p "$dir" || die "cannot make the folder $dir"
	dir=$(cd "$dir" && pwd)
	: >"$dir/$marker"
	# Held by this script and by the server, so that a second run cannot remove the folder under the first one.
	exec 9>"$dir/lock"
	flock -n 9 || die "another make run is using $dir; stop it, or choose another folder: CAIRN_RUN_DIR=/tmp/cairn make run"
	rm -rf "$dir/ca" "$dir/demo" "$dir/certbot" "$dir/lego" "$dir/serve.log"
}

directory_answers() {
	printf 'GET /directory HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$port" |
		timeout 5 openssl s_client -quiet -connect "127.0.0.1:$port" -servername localhost \
			-CAfile "$ca/root/root.pem" -verify_return_error 2>/dev/null | grep -q newOrder
}

start_server() {
	# With job control the server is a process group of its own: Ctrl-C comes here first, and it drains once.
	set -m
	CAIRN_LOG_FORMAT=text "$build/src/cmd/cairn" serve -c "$ca/cairn.conf" >"$dir/serve.log" 2>&1 </dev/null &
	server=$!
	set +m
	local tries=0
	until directory_answers; do
		kill -0 "$server" 2>/dev/null || {
			tail -n 15 "$dir/serve.log" >&2
			die "cairn serve ended before it was ready; the end of its log is above"
		}
		tries=$((tries + 1))
		[ "$tries" -lt 150 ] || {
			tail -n 15 "$dir/serve.log" >&2
			die "cairn serve is not ready after 30 seconds; the end of its log is above"
		}
		sleep 0.2
	done
}

show_chain() {
	local chain=$dir/demo/certificates/demo.cairn.test/fullchain.pem
	openssl crl2pkcs7 -nocrl -certfile "$chain" | openssl pkcs7 -print_certs -noout | sed '/^$/d; s/^/   /'
	openssl x509 -in "$chain" -noout -dates -ext subjectAltName,keyUsage,extendedKeyUsage |
		sed 's/^/   /'
	openssl verify -CAfile "$ca/root/root.pem" -untrusted "$chain" -purpose sslserver \
		-verify_hostname demo.cairn.test "$chain" | sed 's/^/   openssl verify: /'
}

show_commands() {
	local q
	q=$(printf '%q' "$dir")
	cat <<TEXT

   directory URL     $url
   root certificate  $ca/root/root.pem
   its SHA-256       $(openssl x509 -in "$ca/root/root.pem" -noout -fingerprint -sha256 | sed 's/.*=//')
   names             anything below cairn.test; they all lead to 127.0.0.1, port $challenge_port
   log               $dir/serve.log

Get one yourself, from another terminal (root rights are not needed):

REQUESTS_CA_BUNDLE=$q/ca/root/root.pem certbot certonly --standalone --http-01-port $challenge_port --server $url --config-dir $q/certbot/conf --work-dir $q/certbot/work --logs-dir $q/certbot/logs --agree-tos --register-unsafely-without-email --non-interactive -d certbot.cairn.test

LEGO_CA_CERTIFICATES=$q/ca/root/root.pem lego --server $url --path $q/lego --email you@cairn.test --accept-tos --http --http.port 127.0.0.1:$challenge_port --domains lego.cairn.test run

TEXT
}

is_port "$port" || die "CAIRN_RUN_PORT is \"$port\", which is no port"
is_free "$port" || die "port $port is in use by another program; choose another one: CAIRN_RUN_PORT=14001 make run"
challenge_port=$(http_port)
url=https://localhost:$port/directory

tools/deps.sh run
say "building in $build"
[ -f "$build/build.ninja" ] || meson setup "$build" -Dtests=false >/dev/null || die "meson could not set up $build"
ninja -C "$build" || die 'the build failed; its messages are above'

make_dir
ca=$dir/ca
trap on_exit EXIT
trap on_stop INT TERM
say "making a throw-away CA in $ca"
"$build/src/cmd/cairn" init --dir "$ca" --name 'cairn demo' --host localhost --listen "127.0.0.1:$port" \
	--allow '*.cairn.test' --static '*.cairn.test=127.0.0.1' --http-port "$challenge_port" \
	--allow-address 127.0.0.0/8 --root-unencrypted >"$dir/init.log" 2>&1 || {
	cat "$dir/init.log" >&2
	die 'cairn init failed; it says why above'
}
say "starting cairn serve at $url"
start_server
say "obtaining a certificate for demo.cairn.test with cairn-agent (http-01, port $challenge_port)"
"$build/src/cmd/cairn-agent" obtain --server "$url" --ca-file "$ca/root/root.pem" --dir "$dir/demo" \
	--standalone --http-address 127.0.0.1 --http-port "$challenge_port" -d demo.cairn.test ||
	die "cairn-agent got no certificate; it says why above, and the server's log is $dir/serve.log"
say 'the certificate and the chain behind it'
show_chain || die "the certificate is not as it should be; what openssl found is above"
show_commands
if [ "${CAIRN_RUN_ONCE:-}" = 1 ]; then
	on_stop
fi
say 'serving until Ctrl-C; what happens from now on:'
tail -n 0 -f "$dir/serve.log" 9>&- &
follower=$!
rc=0
wait "$server" || rc=$?
server=
die "cairn serve ended by itself with exit code $rc; its log: $dir/serve.log"
