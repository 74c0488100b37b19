#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh OUT.c NNNN_name.sql ...: migrations as a C table, in the order given (their numbers must rise).
out=$1
shift
exec > "$out" || exit 1
echo '/* made by tools/embed.sh */'
echo '#include "store/internal.h"'
last=0
for f in "$@"; do
	name=$(basename "$f" .sql)
	version=$(expr "${name%%_*}" + 0) || exit 1
	if [ "$version" -le "$last" ]; then
		echo "$f: number $version does not follow $last" >&2
		exit 1
	fi
	last=$version
	echo "static const unsigned char sql_${version}[] = {"
	od -An -v -tu1 "$f" | sed 's/\([0-9][0-9]*\)/\1,/g'
	echo '};'
done
echo 'const struct migration store_migrations[] = {'
for f in "$@"; do
	name=$(basename "$f" .sql)
	version=$(expr "${name%%_*}" + 0)
	echo "	{ $version, { (const char *)sql_$version, sizeof sql_$version } },"
done
echo '};'
echo 'const size_t store_migration_count = ARRAY_LEN(store_migrations);'
