#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What DNSSEC says of a name, and what the user reads of it; the zones are those of 63-dnssec.sh.

dnssec.py --directory URL --ca FILE --dns-port N --liar-port N --pid VALIDATOR --cases NAME"""
import argparse
import os
import sys
import time

import names
import prove
import web
from prove import acme

HERE, LIE = "20.0.0.1", "20.0.0.66"
CPU_MAX_S, OTHERS_MAX_S = 3.0, 4.0


def bogus(kind, why, name="{NAME}"):
    """What was asked of whom, that it is bogus, why, and what to do. The reason is libunbound's: its core only."""
    return [f"looking up {kind} of {name}: ", "{RESOLVER}", "is bogus (DNSSEC)", why,
            "wanted a valid chain of signatures; check the zone's DS and RRSIG records"]


# name, what is the case, method, type of the problem ("": proved), the words
CASES = {}
CASES["validating"] = [
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
CASES["spoilt"] = [("secure.e2e.test", "keys that the trust anchor does not know", "http-01", "dns",
                    bogus("AAAA", "no keys have a DS"))]
CASES["plain"] = [(name, "nobody looks at signatures", "http-01", "", []) for name in
                  ("broken2.e2e.test", "stripped2.e2e.test", "host.expired.e2e.test", "host.wrongds.e2e.test")]
CASES["forwarded"] = [
    ("broken.e2e.test", "forwarded, and still wrong", "http-01", "dns", ["{RESOLVER} is bogus (DNSSEC)"]),
    ("host.expired.e2e.test", "forwarded, and still expired", "http-01", "dns", bogus("AAAA", "signature expired")),
]
# The library asks another server when one lies, but not for ever: it may also give up, and say bogus.
CASES["lied"] = [(f"honest{i}.e2e.test", "one of two name servers lies", "http-01", "|dns", []) for i in range(6)]
CASES["costly"] = [
    ("host.keytrap.e2e.test", "400 keys of one tag, 300 wrong signatures by it", "http-01", "dns", ["is bogus (DNSSEC)"]),
    ("host.keytrap0.e2e.test", "the same zone without", "http-01", "", []),
    ("a.b.c.d.e.nsec3.e2e.test", "a denial by NSEC3 of 2500 rounds", "http-01", "dns", ["{NAME}"]),
    ("a.b.c.d.e.nsec3max.e2e.test", "a denial by NSEC3 of 150 rounds", "http-01", "dns", ["{NAME} does not exist"]),
    *[(f"pace{i}.e2e.test", "somebody else's name meanwhile", "http-01", "", []) for i in range(8)],
]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--directory", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--dns-port", required=True)
    p.add_argument("--liar-port", type=int, required=True)
    p.add_argument("--pid", type=int, required=True)
    p.add_argument("--cases", choices=CASES, required=True)
    o = p.parse_args()
    files, proved = {}, []
    web.Web(HERE, 80, files=files)
    lie = web.Web(LIE, 80, files=files)  # whoever is sent here would prove the name
    liar = names.Names(o.liar_port, LIE) if o.cases == "lied" else None
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
        if proof.status == "valid":
            proved.append(name)
        if proof.status != ("invalid" if proof.type else "valid") or proof.type not in kind.split("|") or missing:
            raise AssertionError(f"{name}: {what}\n    found  {proof.status} {proof.type}: {proof.error}\n"
                                 f"    wanted {kind or 'valid'}, with {missing}")
        if name.startswith("pace") and proof.seconds > OTHERS_MAX_S:
            raise AssertionError(f"{name}: proved after {proof.seconds:.1f} s, wanted within {OTHERS_MAX_S} s")
        sys.stdout.write(f"ok {name}: {what} [{proof.seconds:.1f} s]\n")

    rows = CASES[o.cases]
    before, begun = cpu_seconds(o.pid), time.monotonic()
    failures = prove.all_at_once(judge, rows)
    spent = cpu_seconds(o.pid) - before
    print(f"{spent:.2f} s of the validator's time in {time.monotonic() - begun:.1f} s")
    if spent > CPU_MAX_S:
        failures.append(f"the validator worked for {spent:.1f} s, wanted at most {CPU_MAX_S} s")
    if lie.accepted:
        failures.append(f"{LIE} was asked {len(lie.accepted)} times, which only a lie leads to")
    if liar and not liar.asked:
        failures.append("the server that lies was not asked, so this shows nothing")
    if liar and len(proved) < len(rows) / 2:
        failures.append(f"{len(proved)} names were proved beside the server that lies")
    for text in failures:
        print("FAILED", text)
    print(f"{len(rows) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
