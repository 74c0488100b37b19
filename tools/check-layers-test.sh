#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does check-layers.sh find what it is for? Each forbidden line must be found, each allowed one pass.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/src/base" "$work/src/acme"
cp "$tools/check-layers.sh" "$tools/layers.txt" "$work/tools"

# try FOLDER LINE pass|fail
try() {
	rm -f "$work"/src/*/*.c
	printf '%s\n' "$2" >"$work/src/$1/x.c"
	got=pass
	"$work/tools/check-layers.sh" >"$work/said" || got=fail
	if [ "$got" != "$3" ]; then
		echo "check-layers.sh: in src/$1, $2 must $3"
		exit 1
	fi
	if [ "$3" = fail ] && ! grep -q "src/$1/x.c" "$work/said"; then
		echo "check-layers.sh: does not name the file for $2 in src/$1"
		exit 1
	fi
}

try acme '#include "store/store.h"' pass
try acme '#include "acme/app.h"' pass
try base '#include "acme/acme.h"' fail
try acme '#include "store/internal.h"' fail
try acme '#include "sign/sign.h"' fail
try acme '#include <openssl/evp.h>' fail
