#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What DNSSEC says of a name, and what the user reads of it; the zones are those of 63-dnssec.sh.

dnssec.py --directory URL --ca FILE --dns-port N --validating yes|no"""
import argparse
import sys

import prove
import web
from prove import acme

HERE = "20.0.0.1"


def bogus(kind, why, name="{NAME}"):
    """What was asked of whom, that it is bogus, why, and what to do. The reason is libunbound's: its core only."""
    return [f"looking up {kind} of {name}: ", "{RESOLVER}", "is bogus (DNSSEC)", why,
            "wanted a valid chain of signatures; check the zone's DS and RRSIG records"]


# name, what is the case, method, type of the problem ("": proved), the words
VALIDATING = [
    ("secure.e2e.test", "all is signed", "http-01", "", []),
    ("host.plain.e2e.test", "a zone that the one above says is not signed", "http-01", "", []),
    ("host.nods.e2e.test", "a signed zone whose DS is missing above", "http-01", "", []),
    ("broken.e2e.test", "a signature that is wrong", "http-01", "dns", bogus("A", "signature verification failed")),
    ("stripped.e2e.test", "a record without its signature", "http-01", "dns", bogus("A", "no signatures")),
    ("host.expired.e2e.test", "signatures that have expired", "http-01", "dns", bogus("AAAA", "signature expired")),
    ("host.future.e2e.test", "signatures of the future", "http-01", "dns",
     bogus("AAAA", "signature before inception date")),
    ("host.wrongds.e2e.test", "the DS of another key", "http-01", "dns", bogus("AAAA", "no keys have a DS")),
    ("host.unsigned.e2e.test", "a DS above, and no signature below", "http-01", "dns",
     bogus("AAAA", "No DNSKEY record")),
    ("gone.e2e.test", "a name that is not there", "http-01", "dns",
     ["{NAME} does not exist: NXDOMAIN from {RESOLVER}; wanted an A or AAAA record; publish one, or correct the name"]),
    ("txt.e2e.test", "a TXT record with a wrong signature", "dns-01", "dns",
     bogus("TXT", "signature verification failed", "_acme-challenge.{NAME}")),
    ("caa.e2e.test", "a CAA record with a wrong signature", "http-01", "dns",
     ["CAA (RFC 8659) must be known before a certificate is issued: ", *bogus("CAA", "signature verification failed")]),
]
NOT_VALIDATING = [(name, "nobody looks at signatures", "http-01", "", []) for name in
                  ("broken2.e2e.test", "stripped2.e2e.test", "host.expired.e2e.test", "host.wrongds.e2e.test")]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--directory", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--dns-port", required=True)
    p.add_argument("--validating", choices=("yes", "no"), required=True)
    o = p.parse_args()
    files = {}
    web.Web(HERE, 80, files=files)
    client = acme.Client(acme.Server(o.directory, o.ca))
    if client.new_account().status != 201:
        sys.exit("no account")

    def judge(row):
        name, what, method, kind, texts = row
        proof = prove.Proof(client, name, method)
        files[proof.path] = proof.key_authorization
        proof.prove(20)
        at = f"127.0.0.1:{o.dns_port}"
        missing = [w for w in (proof.words(t.replace("{RESOLVER}", at)) for t in texts) if w not in proof.error]
        if proof.status != ("invalid" if kind else "valid") or proof.type != kind or missing:
            raise AssertionError(f"{name}: {what}\n    found  {proof.status} {proof.type}: {proof.error}\n"
                                 f"    wanted {kind or 'valid'}, with {missing}")
        sys.stdout.write(f"ok {name}: {what} [{proof.seconds:.1f} s]\n")

    rows = VALIDATING if o.validating == "yes" else NOT_VALIDATING
    failures = prove.all_at_once(judge, rows)
    for text in failures:
        print("FAILED", text)
    print(f"{len(rows) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
