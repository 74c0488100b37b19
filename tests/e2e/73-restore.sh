#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# 73-restore.sh: a backup that is made while the CA runs, more certificates after it, the backup put back: what the signer's
# journal has comes back into the database, can be revoked, and nothing is issued twice.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ca_init
ca_set keep-expired 0
sed -i -e 's/#profiles:.*/profiles: [server, brief]/' -e '/^issuer:/i\  brief: { lifetime: 60s, backdate: 30s }' "$ca/cairn.conf"
ca_start
certs=$agent_dir/certificates
backup=$work/backup.db

cairn() { # cairn CODE LOG COMMAND...
	local code=$1 log=$2
	shift 2
	run "$code" "$work/logs/$log" "$bin/cairn" "$@" -c "$ca/cairn.conf"
}

obtain() { # obtain NAME [OPTION]...: with the account in $agent_dir
	local name=$1
	shift
	agent_run 0 "$name.log" --standalone --http-port "$http_port" -d "$name.e2e.test" "$@"
}

note "a certificate, a backup, and what comes after it"
obtain before
cairn 0 backup.log backup "$backup" --journal "$work/journal"
assert_has "what a backup is not" "$work/logs/backup.log" "$backup: the database" "certificates 1, files 1" "keep apart from it"
assert_eq "mode of the backup" "$(stat -c %a "$backup")" 600
cairn 1 again.log backup "$backup"
assert_has "a backup replaces no file" "$work/logs/again.log" "is there already" "name another one"
obtain after
old_agent=$agent_dir
agent_dir=$work/other-agent
obtain stranger # its account is younger than the backup
agent_dir=$old_agent
cairn 0 journal.log backup --journal "$work/journal" # of a journal that is written to, made longer
assert_has "a copy of the journal" "$work/logs/journal.log" "certificates 3, files 1, written anew 1"
cairn 1 stranger.log backup --journal "$work/logs/no/such"
assert_has "a folder that cannot be made" "$work/logs/stranger.log" "no/such"
before=$(serial_of "$certs/before.e2e.test/cert.pem")
after=$(serial_of "$certs/after.e2e.test/cert.pem")
stranger=$(serial_of "$work/other-agent/certificates/stranger.e2e.test/cert.pem")

note "while it runs, nothing is restored"
cairn 1 running.log restore "$backup"
assert_has "a store in use" "$work/logs/running.log" "already in use by pid"
ca_stop

note "the older database, and the journal's copy"
mv "$ca/journal" "$work/journal.was"
cp -r --preserve=mode "$work/journal" "$ca/journal"
[ "$(id -u)" != 0 ] || chown 65534 "$ca/store" # of a CA that runs as somebody else
cairn 0 restore.log restore "$backup"
assert_eq "whose it is" "$(stat -c %u "$ca/store/cairn.db")" "$(stat -c %u "$ca/store")"
[ "$(id -u)" != 0 ] || chown -R 0 "$ca/store"
assert_has "what it says" "$work/logs/restore.log" "restored from $backup" "is kept as" \
	"2 certificates that the signer's journal has are not in it" "cairn restore --reconcile"
assert_eq "certificates in it" "$(ca_sql 'SELECT count(*) FROM certificates')" 1

note "reconciled with the journal; a second time does nothing"
cairn 0 reconcile.log restore --reconcile
assert_has "what it says" "$work/logs/reconcile.log" "certificates in the journal: 3" "in the database already: 1" \
	"added: 2" "accounts that are lost: 1"
cairn 0 reconcile2.log restore --reconcile
assert_has "what it says the second time" "$work/logs/reconcile2.log" "in the database already: 3"
assert_eq "serials in the database" "$(ca_sql 'SELECT lower(serial) FROM certificates ORDER BY 1')" \
	"$(printf '%s\n' "$before" "$after" "$stranger" | tr A-F a-f | sort)"
assert_eq "their orders" "$(ca_sql "SELECT count(*) FROM orders WHERE status = 'valid'")" 3
assert_eq "rows that refer to nothing" "$(ca_sql 'PRAGMA foreign_key_check')" ""

note "served again: both can be revoked, the old account lives on, a lost one is made anew"
ca_start
run 0 "$work/logs/revoke.log" "$bin/cairn-agent" revoke --server "$directory" --ca-file "$root_pem" --dir "$agent_dir" \
	-d after.e2e.test
run 0 "$work/logs/revoke-key.log" "$bin/cairn-agent" revoke --server "$directory" --ca-file "$root_pem" \
	--dir "$work/other-agent" -d stranger.e2e.test --by-key
assert_eq "revoked" "$(ca_sql 'SELECT count(*) FROM certificates WHERE revoked_at > 0')" 2
obtain later
agent_dir=$work/other-agent
obtain lost # the agent is told that the CA knows no such account, and makes it anew
assert_eq "accounts: the old one, the stand-in, the new one" "$(ca_sql 'SELECT count(*) FROM accounts')" 3
agent_dir=$old_agent
obtain brief --profile brief # ends soon
ca_stop

note "what retention has removed since does not come back"
sleep 31 # until it has ended
cairn 0 over.log restore "$backup"
assert_has "what is missing" "$work/logs/over.log" "4 certificates that the signer's journal has are not in it"
cairn 0 over2.log restore --reconcile
assert_has "what it says" "$work/logs/over2.log" "certificates in the journal: 6" "added: 4" \
	"ended too long ago for the database: 1 (store.keep-expired)"
cairn 0 over3.log restore --reconcile
assert_has "what it says the second time" "$work/logs/over3.log" "in the database already: 5" \
	"ended too long ago for the database: 1"

note "bad input"
printf 'rubbish' >"$work/rubbish"
cairn 1 rubbish.log restore "$work/rubbish"
assert_has "a file that is no database" "$work/logs/rubbish.log" "is no database" "cairn backup"
cairn 1 missing.log restore "$work/missing"
assert_has "a file that is not there" "$work/logs/missing.log" "missing"
cairn 2 usage.log restore
assert_has "nothing to do" "$work/logs/usage.log" "--reconcile alone"
cairn 1 nowhere.log backup "$work/no/such/folder.db"
assert_has "a folder that is not there" "$work/logs/nowhere.log" "no/such"
assert_eq "certificates after all of this" "$(ca_sql 'SELECT count(*) FROM certificates')" 5
e2e_done
