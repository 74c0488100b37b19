# SPDX-License-Identifier: Apache-2.0
"""doctor.py: shows that the oracle can fail. Takes a store, a journal and a list of acknowledgements that it finds
nothing wrong with, spoils copies of them one way at a time, and wants the oracle to name what was spoiled."""
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess

# The schema itself forbids this one; the oracle does not rely on that.
TWICE = ("CREATE TABLE c AS SELECT * FROM certificates; DROP TABLE certificate_names; DROP TABLE certificates;"
         "ALTER TABLE c RENAME TO certificates; INSERT INTO certificates SELECT * FROM certificates LIMIT 1")

EXTERNAL_KEY = ("INSERT INTO eab_keys (kid, realm, secret, label, uses, uses_max, names, created_at, expires_at, "
                "disabled_at) SELECT 'k', min(realm), x'00', '', %d, %d, '', 1, 0, 0 FROM accounts;")
BIND = "UPDATE accounts SET eab_kid = 'k' WHERE id IN %s;"
REVOKE = ("UPDATE certificates SET revoked_at = %s, revocation_reason = %d, revoked_by = '%s' WHERE id = (SELECT "
          "max(id) FROM certificates)")

# What is done to the copy, and the promise that the oracle must then call broken.
SQL = (
    ("DELETE FROM accounts WHERE id = (SELECT account FROM certificates LIMIT 1)", "lost-account"),
    ("DELETE FROM orders WHERE id = (SELECT order_id FROM certificates LIMIT 1)", "lost-order"),
    ("DELETE FROM certificates WHERE id = (SELECT certificate FROM orders WHERE status = 'valid' LIMIT 1)",
     "lost-certificate"),
    ("DELETE FROM certificates WHERE id = (SELECT certificate FROM orders WHERE status = 'valid' LIMIT 1)",
     "signed-but-not-stored"),
    ("UPDATE chains SET pem = pem || char(10)", "other-chain-than-served"),
    ("UPDATE orders SET account = zeroblob(16)", "order-of-another-account"),
    ("UPDATE certificates SET order_id = zeroblob(16) WHERE id = (SELECT max(id) FROM certificates)",
     "certificate-of-another-order"),
    (TWICE, "two-certificates-in-store"),
    (TWICE, "serial-twice"),
    ("UPDATE orders SET status = 'processing' WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "order-processing"),
    ("UPDATE orders SET status = 'pending', expires_at = 1 WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "order-past-its-end"),
    ("UPDATE orders SET status = 'invalid', error = '' WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "order-invalid-without-reason"),
    ("UPDATE orders SET status = 'pending' WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "order-pending-though-proved"),
    ("UPDATE orders SET status = 'ready' WHERE id = (SELECT order_id FROM certificates LIMIT 1);"
     "UPDATE authorizations SET status = 'invalid'", "order-open-though-disproved"),
    ("UPDATE attempts SET status = 'open' WHERE id = (SELECT max(id) FROM attempts)", "attempt-open"),
    ("UPDATE challenges SET status = 'processing' WHERE id = (SELECT max(id) FROM challenges)", "challenge-processing"),
    ("UPDATE challenges SET status = 'invalid', error = '' WHERE id = (SELECT max(id) FROM challenges)",
     "challenge-invalid-without-reason"),
    ("UPDATE issuances SET status = 'intended' WHERE id = (SELECT max(id) FROM issuances)", "issuance-open"),
    ("UPDATE orders SET certificate = NULL WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "order-valid-without-certificate"),
    ("UPDATE orders SET status = 'invalid', error = '{}' WHERE id = (SELECT order_id FROM certificates LIMIT 1)",
     "certificate-without-valid-order"),
    ("DELETE FROM issuances WHERE order_id = (SELECT order_id FROM certificates LIMIT 1)", "unknown-serial"),
    ("UPDATE issuances SET not_after_s = not_after_s + 1 WHERE id = (SELECT max(id) FROM issuances)",
     "certificate-without-its-intent"),
    ("DELETE FROM certificates WHERE id = (SELECT max(id) FROM certificates)", "intent-issued-without-certificate"),
    ("UPDATE certificates SET serial = '01' || substr(serial, 3, 32) || 'ff' WHERE id = (SELECT max(id) FROM "
     "certificates)", "row-and-certificate-differ"),
    ("UPDATE chains SET pem = '-' || pem", "other-chain-than-served"),
    ("DELETE FROM verdicts WHERE attempt = (SELECT z.attempt FROM certificates c JOIN order_authz j ON j.order_id = "
     "c.order_id JOIN authorizations z ON z.id = j.authz LIMIT 1)", "certificate-without-evidence"),
    ("UPDATE verdicts SET valid = 0", "certificate-without-evidence"),
    ("DELETE FROM order_authz", "certificate-without-authorization"),
    ("DELETE FROM order_authz; DELETE FROM authorizations", "dangling-reference"),
    ("UPDATE issuances SET account_jwk = account_jwk || ' ' WHERE id = (SELECT max(id) FROM issuances)",
     "finalized-under-another-key"),
    ("UPDATE authorizations SET thumbprint = 'rolled'", "finalized-under-another-key"),
    (EXTERNAL_KEY % (2, 1) + BIND % "(SELECT id FROM accounts LIMIT 2)", "external-key-overused"),
    (EXTERNAL_KEY % (0, 1) + BIND % "(SELECT min(id) FROM accounts)", "external-key-miscounted"),
    (EXTERNAL_KEY % (1, 0), "external-key-miscounted"),
    (BIND % "(SELECT min(id) FROM accounts)", "external-key-unknown"),
    (EXTERNAL_KEY % (1, 1) + BIND % "(SELECT min(id) FROM accounts)" + "UPDATE eab_keys SET realm = 'other'",
     "external-key-of-another-realm"),
    ("INSERT INTO account_keys SELECT id, 1000, 'a', thumbprint, 'j', 0 FROM accounts LIMIT 1; "
     "INSERT INTO account_keys SELECT id, 1001, 'b', thumbprint, 'j', 0 FROM accounts LIMIT 1", "key-changes-with-a-gap"),
    ("INSERT INTO account_keys SELECT id, 1000, thumbprint, 'b', 'j', 0 FROM accounts LIMIT 1",
     "key-change-not-carried-out"),
    (REVOKE % ("created_at", 2, "key"), "revoked-for-no-reason"),
    (REVOKE % ("created_at", 4, ""), "revoked-for-no-reason"),
    (REVOKE % ("created_at - 1", 4, "key"), "revoked-at-no-time"),
    (REVOKE % ("created_at + 86400000", 4, "key"), "revoked-at-no-time"),
    (REVOKE % ("0", 4, ""), "half-revoked"),
    (REVOKE % ("0", 0, "key"), "half-revoked"),
    (REVOKE % ("created_at", 1, "key"), "compromised-key-not-blocked"),
    ("INSERT INTO blocked_keys SELECT spki_hash, 'keyCompromise', created_at, 'key' FROM certificates LIMIT 1",
     "blocked-key-certified"),
    ("DROP INDEX orders_replaced; UPDATE orders SET replaces = '0a' WHERE status = 'valid'", "replaced-twice"),
    ("UPDATE orders SET replaces = (SELECT serial FROM certificates c WHERE c.account <> orders.account LIMIT 1) "
     "WHERE id = (SELECT max(id) FROM orders)", "replaced-by-another-account"),
)

HEAD = 64
OWNED = 0x80  # in the kind of an entry that says whose it is
BEGIN, DONE = 1, 2


def last_segment(journal):
    return os.path.join(journal, max(n for n in os.listdir(journal) if n.endswith(".cj")))


def frames(data):
    """Offsets of the frames of a segment, and of its end."""
    at = HEAD
    while at + 20 <= len(data) and data[at:at + 4] == b"CJF1":
        length, = struct.unpack(">I", data[at + 4:at + 8])
        yield at, at + 20 + length
        at += 20 + length + 16


def entries(data):
    for start, end in frames(data):
        at = start + 20
        while at < end:
            serial_end = at + 106 + data[at + 105]
            n, = struct.unpack(">I", data[serial_end:serial_end + 4])
            last = serial_end + 4 + n
            if data[at] & OWNED:  # account, then realm, profile and issuer
                last += 16
                for _ in range(3):
                    last += 1 + data[last]
            yield {"kind": data[at] & ~OWNED, "owner": data[serial_end + 4 + n:last], "at": data[at + 1:at + 9], "issuance": data[at + 9:at + 25],
                   "order": data[at + 25:at + 41], "job": data[at + 41:at + 73], "tbs": data[at + 73:at + 105],
                   "serial": data[at + 106:serial_end], "data": data[serial_end + 4:serial_end + 4 + n]}
            at = last


def find(data, kind, own):
    return next(e for e in entries(data) if e["kind"] == kind and (e["job"] == e["tbs"]) == own)


def append(path, entry):
    """One more frame with this entry, as the signer would have written it."""
    with open(path, "rb") as f:
        data = f.read()
    end, sequence = HEAD, 1
    for start, stop in frames(data):
        first, = struct.unpack(">Q", data[start + 12:start + 20])
        count, = struct.unpack(">I", data[start + 8:start + 12])
        end, sequence = stop + 16, first + count
    body = (bytes([entry["kind"] | (OWNED if entry["owner"] else 0)]) + entry["at"] + entry["issuance"] + entry["order"] + entry["job"] + entry["tbs"]
            + bytes([len(entry["serial"])]) + entry["serial"] + struct.pack(">I", len(entry["data"])) + entry["data"]
            + entry["owner"])
    frame = b"CJF1" + struct.pack(">IIQ", len(body), 1, sequence) + body
    frame += hashlib.sha256(data[end - 16:end] + frame).digest()[:16]
    with open(path, "wb") as f:
        f.write(data[:end] + frame)


def spoil_journal(kind, own, **changes):
    def spoil(journal):
        path = last_segment(journal)
        with open(path, "rb") as f:
            entry = find(f.read(), kind, own)
        for key, change in changes.items():
            entry[key] = change(entry[key])
        append(path, entry)
    return spoil


def flip(value):
    return bytes([value[0] ^ 1]) + value[1:]


def other_serial(value):
    return value[:-1] + (b"0" if value[-1:] != b"0" else b"1")


def cut_journal(journal):
    path = last_segment(journal)
    with open(path, "rb") as f:
        data = f.read()
    cut = [start for start, _ in frames(data)]
    os.truncate(path, cut[len(cut) // 2])


def damage_journal(journal):
    with open(last_segment(journal), "r+b") as f:
        f.seek(HEAD + 60)
        byte = f.read(1)
        f.seek(HEAD + 60)
        f.write(flip(byte))


JOURNAL = (
    (spoil_journal(BEGIN, False, serial=other_serial), "unknown-serial"),
    (spoil_journal(BEGIN, False, serial=other_serial), "two-serials-for-order"),
    (spoil_journal(BEGIN, False, tbs=flip), "two-contents-for-serial"),
    (spoil_journal(BEGIN, False, order=flip), "two-orders-for-serial"),
    (spoil_journal(DONE, False, data=flip), "two-certificates-in-journal"),
    (spoil_journal(DONE, False, data=flip), "signed-but-not-stored"),
    (spoil_journal(DONE, False, order=flip), "signed-without-begin"),
    (spoil_journal(DONE, True, data=flip), "unasked-certificate-for-others"),
    (cut_journal, "stored-but-not-in-journal"),
    (damage_journal, None),
)


class Doctor:
    def __init__(self, oracle, work, store, journal, acks):
        """oracle(store, journal, acks) -> the argument list."""
        self.oracle, self.work = oracle, work
        self.store, self.journal, self.acks = store, journal, acks
        self.failures = []
        self.tried = 0

    def ask(self, what, want, store, journal, acks):
        """want: the promise to be called broken; None: the oracle must say that it cannot look."""
        self.tried += 1
        done = subprocess.run(self.oracle(store, journal, acks), capture_output=True, text=True, timeout=120)
        if want is None:
            good = done.returncode == 2
        else:
            good = done.returncode == 1 and "BROKEN %s: " % want in done.stdout
        if not good:
            self.failures.append("%s: wanted %s; exit %d\n%s%s" % (what, want or "exit 2", done.returncode, done.stdout,
                                                                 done.stderr))

    def spoil_store(self, sql, want):
        copy = os.path.join(self.work, "spoilt.db")
        shutil.copyfile(self.store, copy)
        db = sqlite3.connect(copy)
        db.executescript("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE;" + sql)
        db.commit()
        db.close()
        self.ask(sql, want, copy, self.journal, self.acks)
        os.unlink(copy)

    def spoil_damage(self):
        copy = os.path.join(self.work, "spoilt.db")
        shutil.copyfile(self.store, copy)
        db = sqlite3.connect(copy)
        db.execute("PRAGMA journal_mode = DELETE")
        root, = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'").fetchone()
        size, = db.execute("PRAGMA page_size").fetchone()
        db.close()
        with open(copy, "r+b") as f:  # the header of a page's b-tree: how many cells it has
            f.seek((root - 1) * size + 3)
            f.write(b"\xff\xff")
        self.ask("a page of the store overwritten", "damaged-store", copy, self.journal, self.acks)
        os.unlink(copy)

    def spoil_journal(self, spoil, want):
        copy = os.path.join(self.work, "spoilt-journal")
        shutil.copytree(self.journal, copy)
        spoil(copy)
        self.ask("journal", want, self.store, copy, self.acks)
        shutil.rmtree(copy)

    def spoil_acks(self):
        nobody = "https://localhost/%s/01908c3e-8b1a-7000-8000-000000000000"
        copy = os.path.join(self.work, "spoilt-acks")
        with open(self.acks, encoding="ascii") as f:
            lines = f.readlines()
        last = {x["kind"]: x for x in map(json.loads, lines)}
        for kind, changes, want in (
                ("account", {"url": nobody % "account"}, "lost-account"),
                ("order", {"url": nobody % "order"}, "lost-order"),
                ("certificate", {"url": nobody % "certificate"}, "lost-certificate"),
                ("certificate", {"sha256": "00" * 32}, "other-chain-than-served"),
                ("certificate", {"kind": "cert"}, "acknowledgement-of-what")):
            with open(copy, "w", encoding="ascii") as f:
                f.writelines(lines + [json.dumps(dict(last[kind], **changes)) + "\n"])
            self.ask("acknowledged %s: %s" % (kind, changes), want, self.store, self.journal, copy)
        os.unlink(copy)

    def run(self):
        for sql, want in SQL:
            self.spoil_store(sql, want)
        for spoil, want in JOURNAL:
            self.spoil_journal(spoil, want)
        self.spoil_damage()
        self.spoil_acks()
        return self.failures
