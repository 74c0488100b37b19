#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh run|check: installs what is missing on Debian to build and run cairn, or also to check it. Says what it does;
# does nothing when all is there. CAIRN_NO_DEPS=1: leave the machine alone, something else looks after its packages.
set -eu

# What a build needs, and `make run` with its openssl commands.
run_packages='gcc libc6-dev make meson ninja-build pkg-config libssl-dev libsqlite3-dev libjansson-dev libyaml-dev
	libunbound-dev libcurl4-openssl-dev libidn2-dev openssl ca-certificates'
# What `make check` needs beyond that: compilers and checkers, then the clients and tools of the end-to-end tests.
check_packages='git python3 libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck valgrind libc6-dbg
	mandoc shellcheck
	certbot lego dehydrated uacme pebble curl sqlite3 procps iproute2'

say() {
	echo "deps: $*"
}

die() {
	echo "deps: $*" >&2
	exit 1
}

case "${1:-}" in
run) wanted=$run_packages ;;
check) wanted="$run_packages $check_packages" ;;
*) die "usage: $0 run|check" ;;
esac

if [ "${CAIRN_NO_DEPS:-}" = 1 ]; then
	say "CAIRN_NO_DEPS=1: packages are left alone"
	exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	die "this is no Debian (apt-get is not there). Install what these Debian packages hold, then say CAIRN_NO_DEPS=1:" $wanted
fi

missing=''
for package in $wanted; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=none
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
	say "all packages for \"$1\" are installed"
	exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
	as_root=''
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	die "packages are missing, and only root may install them (there is no sudo). As root: apt-get install$missing"
fi

# apt_get WORD...: waits for another apt that holds the lock, asks nothing.
apt_get() {
	# shellcheck disable=SC2086 # empty for root
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
say "installing with apt-get:$missing"
# A fresh machine has no package lists, an old one has stale ones that name files which are gone.
if ! apt_get update >"$log" 2>&1; then
	say "apt-get update failed; going on with the package lists that are there:"
	tail -n 3 "$log" | sed 's/^/    /'
fi
# shellcheck disable=SC2086 # one word a package
if ! apt_get install -y --no-install-recommends $missing >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	die "apt-get could not install the packages; its last lines are above"
fi
say "installed"
