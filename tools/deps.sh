#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh run|check: installs what is missing on Debian to build and run cairn, or also to check it. Says what it does;
# does nothing when all is there. CAIRN_NO_DEPS=1: leave the machine alone, something else looks after its packages.
#
# What the end-to-end tests want and is not installed but put into build/tools: Caddy and NSD, whose packages would start
# a web and a name server on this machine, and what comes from npm (tests/e2e/node). PostgreSQL is installed, but without
# the database that Debian would make and start with it; pgbouncer is unpacked.
set -eu
cd "$(dirname "$0")/.."

# What a build needs, and `make run` with its openssl commands.
run_packages='gcc libc6-dev make meson ninja-build pkg-config libssl-dev libsqlite3-dev libyaml-dev
	libpq-dev libunbound-dev libcurl4-openssl-dev libidn2-dev libpsl-dev libseccomp-dev libp11-kit-dev openssl ca-certificates'
# What `make check` needs beyond that: compilers and checkers, then the clients and tools of the end-to-end tests.
check_packages='git python3 libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck valgrind libc6-dbg
	mandoc shellcheck publicsuffix python3-cryptography
	certbot lego dehydrated uacme acmetool apache2-bin libnss3-tools gnutls-bin pebble curl sqlite3 procps iproute2
	ldnsutils libfstrm0 libprotobuf-c1 softhsm2 postgresql libevent-2.1-7 libc-ares2'

say() {
	echo "deps: $*"
}

die() {
	echo "deps: $*" >&2
	exit 1
}

case "${1:-}" in
run) wanted=$run_packages ;;
check)
	wanted="$run_packages $check_packages"
	command -v npm >/dev/null || wanted="$wanted nodejs npm" # also when they come from elsewhere
	;;
*) die "usage: $0 run|check" ;;
esac

if [ "${CAIRN_NO_DEPS:-}" = 1 ]; then
	say "CAIRN_NO_DEPS=1: packages are left alone"
	exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	die "this is no Debian (apt-get is not there). Install what these Debian packages hold, then say CAIRN_NO_DEPS=1:" $wanted
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

# apt_get WORD...: waits for another apt that holds the lock, asks nothing.
apt_get() {
	# shellcheck disable=SC2086 # empty for root
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# try WHAT COMMAND...: its last lines when it fails, and the end.
try() {
	what=$1
	shift
	"$@" >"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	die "$what failed; its last lines are above"
}

# Tests start servers of their own: Debian is told not to make one, unless somebody has told it something already.
no_cluster() {
	[ ! -e /etc/postgresql-common/createcluster.conf ] || return 0
	say "telling Debian's postgresql-common to make no database of its own"
	$as_root mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
}

install_packages() {
	missing=''
	for package in $wanted; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=none
		[ "$status" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -eq 0 ]; then
		as_root=''
	elif command -v sudo >/dev/null; then
		as_root=sudo
	else
		die "packages are missing, and only root may install them (there is no sudo). As root: apt-get install$missing"
	fi
	say "installing with apt-get:$missing"
	# A fresh machine has no package lists, an old one has stale ones that name files which are gone.
	if ! apt_get update >"$log" 2>&1; then
		say "apt-get update failed; going on with the package lists that are there:"
		tail -n 3 "$log" | sed 's/^/    /'
	fi
	case $missing in *postgresql*) no_cluster ;; esac
	# shellcheck disable=SC2086 # one word a package
	try "apt-get install" apt_get install -y --no-install-recommends $missing
}

# unpack PACKAGE FILE: the file out of Debian's package, without the package's services.
unpack() {
	if command -v "$1" >/dev/null || [ -x "build/tools/$1/$2" ]; then
		return 0
	fi
	say "unpacking $1 into build/tools"
	rm -rf "build/tools/$1.new" "build/tools/$1"
	mkdir -p "build/tools/$1.new"
	(cd "build/tools/$1.new" && try "apt-get download $1" apt-get -q download "$1")
	try "dpkg-deb --extract" dpkg-deb --extract "build/tools/$1.new/$1"_*.deb "build/tools/$1.new"
	mv "build/tools/$1.new" "build/tools/$1"
}

# npm's packages, at the versions and hashes of the lock file; their scripts are not run.
get_node_clients() {
	if cmp -s tests/e2e/node/package-lock.json build/tools/node/package-lock.json && [ -f build/tools/node/complete ]; then
		return 0
	fi
	say "getting the clients from npm into build/tools"
	rm -rf build/tools/node
	mkdir -p build/tools/node
	cp tests/e2e/node/package.json tests/e2e/node/package-lock.json build/tools/node/
	try "npm ci" npm ci --prefix build/tools/node --ignore-scripts --no-audit --no-fund
	: >build/tools/node/complete
}

install_packages
if [ "$1" = check ]; then
	unpack caddy usr/bin/caddy
	unpack nsd usr/sbin/nsd
	unpack pgbouncer usr/sbin/pgbouncer
	get_node_clients
fi
say "all that \"$1\" needs is there"
