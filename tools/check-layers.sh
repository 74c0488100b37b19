#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder of src/ includes only what tools/layers.txt allows, and of another folder only its public header. OpenSSL's
# headers are for the few files at the end. check-layers-test.sh tests this script.
cd "$(dirname "$0")/.." || exit 2
bad=0
grep -rn '^#include "[a-z0-9]*/' src --include='*.[ch]' | awk -F'[/:"]' '
  BEGIN { while ((getline line < "tools/layers.txt") > 0) {
              n = split(line, w, /[: ]+/)
              if (w[1] !~ /^#/) for (i = 2; i <= n; i++) may[w[1], w[i]] = 1 } }
  { from = $2; to = $6; head = $7
    if (from == to) next
    if (!((from, to) in may)) { print $0 ": " from " may not use " to " (tools/layers.txt)"; bad = 1 }
    else if (head != to ".h")  { print $0 ": only " to "/" to ".h is public"; bad = 1 } }
  END { exit bad }' || bad=1
# Tests may, to make what the code has to refuse.
if grep -rn '^#include <openssl/' src --include='*.[ch]' |
	grep -v -E '^src/(crypto/|pki/|net/tls(_probe|_alpn)?\.|http/wire\.c|sign/keystore_|[a-z]+/[a-z0-9_]+_test\.c)'; then
	echo "OpenSSL is for crypto, pki, net/tls, http/wire.c and sign/keystore_* alone (ARCHITECTURE.md)"
	bad=1
fi
exit "$bad"
