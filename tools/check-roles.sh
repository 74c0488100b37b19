#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A role does not even contain the code that it must not run (docs: ARCHITECTURE.md, the table of programs).
# usage: tools/check-roles.sh BUILDDIR
build=${1:?usage: check-roles.sh BUILDDIR}/src/cmd
bad=0

# program, forbidden functions (a regular expression), forbidden libraries
check() {
	[ -x "$build/$1" ] || { echo "$build/$1: not built"; bad=1; return; }
	found=$(nm "$build/$1" | awk '$2 ~ /^[TtWw]$/ { print $3 }' | grep -xE "$2")
	[ -z "$found" ] || { echo "$1 contains" $found; bad=1; }
	found=$(objdump -p "$build/$1" | awk '$1 == "NEEDED" { print $2 }' | grep -E "^lib($3)\\.so")
	[ -z "$found" ] || { echo "$1 links" $found; bad=1; }
}

sign='cert_sign_tbs|cert_sign_throwaway|signer_.*|journal_.*'
serve='http_server_.*|acme_handle|tls_server_.*'
reach='fetch|fetcher_.*|resolver_.*|resolve_addrs|resolve_txt|tls_probe|probe_run'
admin='admin_serve|admin_answer|admin_call'
store='store_open|store_tx|account_insert'
check cairn-api "$sign|$reach" 'curl|unbound|p11-kit'
check cairn-validator "$sign|$serve|$store|$admin" 'sqlite3|p11-kit'
check cairn-signer "$serve|$reach|$store|$admin" 'curl|unbound|sqlite3|ssl'
# `cairn restore` works on a stopped CA: it writes the store and reads the journal; nobody but the signer writes that.
check cairn "signer_.*|journal_(open|begin|done|refused|sync)|http_server_.*|acme_handle|admin_serve|admin_answer|$reach" 'curl|unbound'
check cairn-agent "$sign|$serve|$store|$admin|probe_run" 'sqlite3|unbound|p11-kit'
# The checks above must be able to fail: the signer does sign, the api does serve.
nm "$build/cairn-signer" | grep -q ' T cert_sign_tbs$' || { echo "check-roles: no cert_sign_tbs in cairn-signer: the check sees nothing"; bad=1; }
nm "$build/cairn-api" | grep -q ' T acme_handle$' || { echo "check-roles: no acme_handle in cairn-api: the check sees nothing"; bad=1; }
# Modules of tokens run in the signer; `cairn init` makes keys with them and ends.
objdump -p "$build/cairn-signer" | grep -q 'NEEDED.*libp11-kit' || { echo "check-roles: cairn-signer does not link p11-kit: the check sees nothing"; bad=1; }
exit $bad
