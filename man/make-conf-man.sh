#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make-conf-man.sh CAIRN IN OUT: puts the schema's settings where the page has its line @SETTINGS@.
set -eu
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
"$1" check-config --man >"$settings"
sed -e "/^@SETTINGS@\$/r $settings" -e '/^@SETTINGS@$/d' "$2" >"$3"
