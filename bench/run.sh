#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILDDIR [--quick] [--seconds S] [--json FILE] [--database URL] [--no-peers]: what a certificate costs. A throw-away
# CA on loopback, cairn-bench at it, each run for S seconds (5; --quick: 2, and fewer runs); the server's CPU time from /proc
# over the OpenSSL floor that is measured before and after; beside it Debian's pebble and caddy's acme_server, where they are
# installed. --json leaves a line for each run. --database: cairn's store is not SQLite but there: the URL of an empty
# database, or "postgresql" for a throw-away server whose CPU time then counts, or "pgbouncer" for one behind that.
# Compare ratios, not machines: DESIGN.md section 8. bench/README.md explains the columns. It fails when anything was issued
# wrongly or not at all, never because something was slow.
set -euo pipefail

usage() {
	echo "usage: $0 BUILDDIR [--quick] [--seconds S] [--json FILE] [--database URL] [--no-peers]" >&2
	exit 2
}

[ $# -ge 1 ] || usage
arguments=("$@")
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
seconds=5 quick=no json='' database='' peers=yes
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=yes seconds=2 ;;
	--no-peers) peers=no ;;
	--seconds | --json | --database)
		[ $# -ge 2 ] || usage
		case $1 in
		--seconds) seconds=$2 ;;
		--json) json=$2 ;;
		--database) database=$2 ;;
		esac
		shift
		;;
	*) usage ;;
	esac
	shift
done
tools=$here/../build/tools # what tools/deps.sh unpacks there because it shall not be installed
caddy=$(command -v caddy || echo "$tools/caddy/usr/bin/caddy")
pgbouncer=$(command -v pgbouncer || echo "$tools/pgbouncer/usr/sbin/pgbouncer")
load=$build/bench/cairn-bench
cairn=$build/src/cmd/cairn
# shellcheck source=lib.sh
. "$here/lib.sh"
needs "$load" "$build/bench/bench-floor" "$build/bench/bench-dns" "$build/bench/bench-evidence" "$build/bench/cairn-storm" "$cairn"

# A network of our own: every port is free, caddy gets the one that it insists on, and nothing is asked of the world.
if [ "${BENCH_INSIDE:-}" = "" ]; then
	unshare=(unshare --net --mount)
	[ "$(id -u)" = 0 ] || unshare=(unshare --map-root-user --net --mount)
	export BENCH_INSIDE=shared
	if "${unshare[@]}" true 2>/dev/null; then
		BENCH_INSIDE=own exec "${unshare[@]}" "$here/run.sh" "${arguments[@]}"
	fi
fi
[ "$BENCH_INSIDE" = shared ] || ip link set lo up

work=$(mktemp -d)
chmod 755 "$work"
lines=$work/lines
: >"$lines"
started=()
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	for pid in ${started[@]+"${started[@]}"}; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in ${started[@]+"${started[@]}"}; do # a database waits for who is connected to it
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

base=$(free_ports 8)
api=$base challenge=$((base + 1)) dns=$((base + 2)) management=$((base + 3))
failed=0 running=''

table() {
	python3 "$here/table.py" "$@"
}

stop() { # stop PID
	kill "$1"
	wait "$1" || true
	running=''
}

measure() { # measure LABEL OPTION...: at whatever ca_start or a peer's start set up
	local label=$1
	shift
	if ! "$load" --server "$url" --ca-file "$ca_file" ${root:+--root "$root"} --challenge-port "$challenge" "${watch[@]}" \
		--overload --json "$@" >"$work/result" 2>"$work/errors"; then
		echo "$label: FAILED: cairn-bench $*" >&2
		python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["failures"], sep="\n")' "$work/result" >&2 2>/dev/null || true
		cat "$work/errors" >&2
		failed=1
	fi
	[ -s "$work/result" ] && table row "$label" "$floor" "$work/result" "$lines"
}

# --- cairn

# A throw-away server, with all that makes its commits durable, on the same disk as SQLite would be.
database_start() {
	local bin pg=$work/pg pool_port=$((base + 6)) pg_port=$((base + 7)) as=()
	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
	[ -x "${bin:-}/postgres" ] || { echo "$0: there is no PostgreSQL server here" >&2; exit 2; }
	mkdir -p "$pg/data" "$pg/run"
	if [ "$(id -u)" = 0 ]; then # it refuses to run as root
		chown -R postgres "$pg"
		as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	fi
	(cd "$pg" && "${as[@]}" "$bin/initdb" -D "$pg/data" -U cairn -A trust --locale=C.UTF-8 --encoding=UTF8) >"$work/pg.log" 2>&1
	(cd "$pg" && BENCH_SYNCS=$work/syncs LD_PRELOAD=$build/bench/libbench-syncs.so exec "${as[@]}" "$bin/postgres" \
		-D "$pg/data" -k "$pg/run" -c listen_addresses=127.0.0.1 -p "$pg_port") >>"$work/pg.log" 2>&1 &
	started+=("$!")
	database_watch=(--watch "postgres=$!+")
	for _ in $(seq 100); do
		"$bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" && break
		sleep 0.1
	done
	"$bin/createdb" -h 127.0.0.1 -p "$pg_port" -U cairn cairn || { cat "$work/pg.log" >&2; exit 1; }
	database_url=postgresql://cairn@127.0.0.1:$pg_port/cairn
	[ "$database" = pgbouncer ] || return 0
	cat >"$pg/bouncer.ini" <<-EOT
		[databases]
		cairn = host=127.0.0.1 port=$pg_port dbname=cairn user=cairn
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $pool_port
		unix_socket_dir =
		auth_type = any
		pool_mode = transaction
		server_reset_query_always = 1
	EOT
	chmod 644 "$pg/bouncer.ini"
	"${as[@]}" "$pgbouncer" "$pg/bouncer.ini" >>"$work/pg.log" 2>&1 &
	started+=("$!")
	database_watch+=(--watch "pgbouncer=$!")
	database_url=postgresql://cairn@127.0.0.1:$pool_port/cairn
}

ca_start() {
	local ca=$work/ca role
	"$cairn" init "$ca" --host localhost,127.0.0.1 --listen "127.0.0.1:$api" --allow '*.load.test' \
		--allow-address 127.0.0.0/8 --http-port "$challenge" --root-unencrypted --static '*.load.test=127.0.0.1' \
		${database_url:+--database "$database_url"} >"$work/init.log"
	# No limits: they would be what is measured.
	sed -i "s/^    names: \[\"\*\.load\.test\"\]\$/&\n    orders-per-hour: 0\n    accounts-per-hour: 0/
		s/^    http-port: .*/&\n    alpn-port: $challenge/
		s/^    #resolvers: \[\]\$/    resolvers: [\"127.0.0.1:$challenge\"]/" "$ca/cairn.conf"
	[ "$database" != pgbouncer ] || sed -i -E 's/^( *)#?pooler:.*/\1pooler: true/' "$ca/cairn.conf"
	BENCH_SYNCS=$work/syncs LD_PRELOAD=$build/bench/libbench-syncs.so "$cairn" serve -c "$ca/cairn.conf" \
		>"$work/serve.log" 2>&1 &
	running=$! serve=$!
	started+=("$running")
	url=https://localhost:$api/directory ca_file=$ca/root/root.pem root=$ca/root/root.pem
	answers "$url" "$ca_file" || { tail -5 "$work/serve.log" >&2; exit 1; }
	watch=(--syncs "$work/syncs" ${database_watch[@]+"${database_watch[@]}"})
	for role in api validator signer; do
		watch+=(--watch "$role=$(pgrep -P "$running" -f "cairn-$role" | head -1)")
	done
}

memory() { # memory LABEL: MiB of all programs now, pages that they share counted once, and what is their own
	table memory "$1" "$(kib_of Pss)" "$(kib_of Anonymous)" "$(kib_of Rss)" "$lines"
}

# As they are when many clients keep their connection, at the end of all the work, when the heaps are as wide as they get.
five_thousand() {
	"$build/bench/cairn-storm" --server "127.0.0.1:$api" --mode idle --connections 5000 --seconds 50 >"$work/idle" &
	local storm=$!
	started+=("$storm")
	for _ in $(seq 400); do
		grep -q '^up' "$work/idle" && break
		sleep 0.1
	done
	if grep -q '^up 5000' "$work/idle"; then
		memory "with 5,000 open TLS connections"
	else
		echo "5,000 connections did not come up; ulimit -n is $(ulimit -n)" >&2
		failed=1
	fi
	kill "$storm"
	wait "$storm" || true
}

cairn_all() {
	local n
	ca_start
	sleep 1
	memory idle
	for n in 1 8 32 128; do
		[ "$quick" = yes ] && [ "$n" = 8 ] && continue
		measure "$n client$([ "$n" = 1 ] || echo s)" --clients "$n" --seconds "$seconds"
	done
	measure "32 clients, tls-alpn-01" --clients 32 --seconds "$seconds" --challenge tls-alpn-01
	measure "32 clients, dns-01" --clients 32 --seconds "$seconds" --challenge dns-01
	measure "RS256 accounts" --clients 32 --seconds "$seconds" --account-alg RS256
	measure "a connection for each order" --clients 32 --seconds "$seconds" --connection order
	measure "a connection for each request" --clients 32 --seconds "$seconds" --connection request
	measure "100 names (floor of one)" --clients 4 --seconds "$seconds" --names 100
	[ "$quick" = yes ] || measure "100 names, dns-01 (the same)" --clients 4 --seconds "$seconds" --challenge dns-01 --names 100
	measure "newNonce alone" --clients 8 --seconds "$((seconds / 2 + 1))" --only newnonce
	measure "newAccount alone" --clients 8 --seconds "$((seconds / 2 + 1))" --only newaccount
	measure "newOrder alone" --clients 8 --seconds "$((seconds / 2 + 1))" --only neworder
	measure "signed read alone" --clients 8 --seconds "$((seconds / 2 + 1))" --only read
	measure "revoke alone" --clients 8 --seconds "$((seconds / 2 + 1))" --only revoke --prepare 500
	measure "32 clients, warm" --clients 32 --seconds "$seconds"
	five_thousand
	echo "OCSP alone, CRL alone: cairn does not serve them yet, so not measured"
	[ -n "$database" ] || echo "store   $(du -sk "$work/ca/store" | cut -f1) KiB, journal $(du -sk "$work/ca/journal" | cut -f1) KiB"
	stop "$running"
}

# --- the peers

tls_files() { # a certificate for a peer's own API
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -keyout "$work/api.key" \
		-out "$work/api.pem" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
}

pebble_all() {
	if ! command -v pebble >/dev/null; then
		echo "pebble  is not installed, so not measured"
		return
	fi
	cat >"$work/pebble.json" <<-EOT
		{ "pebble": { "listenAddress": "127.0.0.1:$api", "managementListenAddress": "127.0.0.1:$management",
		  "certificate": "$work/api.pem", "privateKey": "$work/api.key", "httpPort": $challenge, "tlsPort": $((base + 4)),
		  "ocspResponderURL": "", "externalAccountBindingRequired": false } }
	EOT
	"$build/bench/bench-dns" "$dns" &
	started+=("$!")
	PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config "$work/pebble.json" -dnsserver "127.0.0.1:$dns" \
		>"$work/pebble.log" 2>&1 &
	running=$!
	started+=("$running")
	url=https://localhost:$api/dir ca_file=$work/api.pem root='' watch=(--watch "pebble=$running")
	answers "$url" "$ca_file"
	# Two clients: with more it ends in a deadlock of its own.
	measure "pebble (all in memory)" --clients 2 --seconds "$seconds" --timeout 10
	stop "$running"
}

caddy_all() {
	if [ ! -x "$caddy" ]; then
		echo "caddy   is not installed, so not measured"
		return
	fi
	if [ "$BENCH_INSIDE" = shared ]; then
		echo "caddy   asks the machine's own name server and port 80, which needs a namespace (unshare); not measured"
		return
	fi
	cat >"$work/Caddyfile" <<-EOT
		{
			admin off
			storage file_system $work/caddy
			skip_install_trust
			auto_https disable_redirects
			http_port $((base + 5))
			https_port $api
		}
		localhost:$api {
			tls $work/api.pem $work/api.key
			acme_server
		}
	EOT
	echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
	mount --bind "$work/resolv.conf" /etc/resolv.conf
	"$build/bench/bench-dns" 53 &
	started+=("$!")
	HOME=$work "$caddy" run --adapter caddyfile --config "$work/Caddyfile" >"$work/caddy.log" 2>&1 &
	running=$!
	started+=("$running")
	url=https://localhost:$api/acme/local/directory ca_file=$work/api.pem root='' watch=(--watch "caddy=$running") challenge=80
	answers "$url" "$ca_file" || { tail -5 "$work/caddy.log" >&2; failed=1; return; }
	measure "caddy's acme_server" --clients 2 --seconds "$seconds" --timeout 10
	stop "$running"
}

head -c 4096 /dev/zero >"$work/syncs"
chmod 666 "$work/syncs"
database_url='' database_watch=()
case $database in
'') ;;
postgresql | pgbouncer) database_start ;;
*) database_url=$database ;;
esac
read -r floor verify sign <<<"$("$build/bench/bench-floor" --parts)"
echo "floor   7 verifications ($verify us) and 1 signature ($sign us) with P-256: $floor us ($(nproc) processors," \
	"$(openssl version | cut -d' ' -f1,2), $(sysctl -n net.ipv4.tcp_congestion_control 2>/dev/null || echo '?'))"
"$build/bench/bench-evidence" "$floor"
table head
cairn_all
if [ "$peers" = yes ]; then
	tls_files
	pebble_all
	caddy_all
fi
floors="$floor before, $("$build/bench/bench-floor") after"
table end "$lines" "$verify" "$floors"
[ -z "$json" ] || cp "$lines" "$json"
exit "$failed"
