# SPDX-License-Identifier: Apache-2.0
"""The hostile name server (A41, A44, A45, A51, A52), as one that answers a resolver or a validator, and as one who only
guesses what was asked."""
import os
import struct
import subprocess
import sys
import time

import names
import prove
import stage
import web
from names import A, CAA, CNAME, DNAME, TXT, txt, wire_name
from stage import attack, serve

LABEL = "_acme-challenge."


# --- A41: forged answers ---------------------------------------------------------------------------------------------

def forged(label, title, forge, kind=""):
    """The forged answer comes before the right one; it leads to EVIL."""
    def setup(s, proof):
        serve(s, proof)
        first = []

        def rule(q):
            if q.type != A:
                return q.reply()
            right = q.reply([(A, names.address(stage.HERE))])
            if first or q.tcp:
                return right
            first.append(q)
            found = forge(q)
            return [*(found if isinstance(found, list) else [found]), right]
        s.names.rules[proof.name] = rule
    attack("A41", label, title, kind, (), seconds=5)(setup)


EVIL = [(A, names.address(stage.EVIL))]


def flipped(section):
    """The question with its name in other capitals."""
    return bytes(b ^ 0x20 if chr(b).isalpha() else b for b in section)


forged("forged-id", "a wrong number", lambda q: q.reply(EVIL, id=struct.unpack_from("!H", q.query)[0] ^ 1))
forged("forged-ids", "three thousand wrong numbers",
       lambda q: [q.reply(EVIL, id=(struct.unpack_from("!H", q.query)[0] + i) & 0xFFFF) for i in range(1, 3000)])
forged("forged-case", "the name in other capitals", lambda q: q.reply(EVIL, section=flipped(q.section)), "|dns")
forged("forged-name", "an answer about another name",
       lambda q: q.reply(EVIL, section=wire_name("other.e2e.test") + q.section[-4:]))
forged("forged-class", "an answer of another class", lambda q: q.reply(EVIL, section=q.section[:-2] + b"\0\3"))
forged("forged-query", "a question as answer", lambda q: q.reply(EVIL, flags=0x0100))
forged("forged-short", "half an answer", lambda q: q.reply(EVIL)[:-3])
forged("forged-owner", "an address of another name, in the same answer",
       lambda q: q.reply([(A, names.address(stage.EVIL), "other.e2e.test")]), "|dns")


@attack("A41", "guessed", "200,000 guesses at numbers and ports while the right answer is late", "", (), seconds=6,
        alone=True)
def guessed(s, proof):
    """From the name server's own address and port, by somebody who sees nothing of what is asked."""
    serve(s, proof)
    begun = []

    def rule(q):
        if q.type != A:
            return q.reply()
        begun.append(time.monotonic())
        return q.reply([(A, names.address(stage.HERE))]) if begun[-1] - begun[0] > 2 else None
    s.names.rules[proof.name] = rule
    here = os.path.dirname(os.path.abspath(__file__))
    flood = subprocess.Popen([sys.executable, os.path.join(here, "guess.py"), str(s.options.dns_port), proof.name,
                              stage.EVIL, "200000", "4"], stdout=subprocess.PIPE, text=True)

    def enough():
        sent, seconds = flood.communicate(timeout=20)[0].split()
        if int(sent) < 50000:
            raise AssertionError(f"guessed: only {sent} guesses in {seconds} s")
        sys.stdout.write(f"   {sent} guesses in {seconds} s\n")
    return enough


@attack("A41", "evil", "nobody was led astray by any of them", "", (), seconds=3)
def evil(s, proof):
    web.Web(stage.EVIL, 80, files=s.files)
    serve(s, proof)


# --- answers that cannot be read, or come by halves ------------------------------------------------------------------

def broken(number, label, title, of, kind="dns", text="looking up", slow=False):
    def setup(s, proof):
        s.names.rules[LABEL + proof.name] = of
    attack(number, "dns-" + label, title, kind, text, method="dns-01", slow=slow)(setup)


broken("A45", "silent", "no answer at all", lambda q: None, slow=True)
broken("A45", "refused", "REFUSED", lambda q: q.reply(rcode=names.REFUSED))
broken("A45", "formerr", "FORMERR", lambda q: q.reply(rcode=names.FORMERR))
broken("A45", "rcode", "an error that nobody knows", lambda q: q.reply(rcode=15))
broken("A45", "noise", "noise", lambda q: q.query[:2] + bytes(range(255)), slow=True)
broken("A45", "header", "a header alone", lambda q: q.query[:2] + b"\x81\x80" + bytes(8), slow=True)
broken("A45", "pointer", "a name that points at itself",
       lambda q: q.reply([])[:6] + b"\0\1\0\0\0\0" + q.section + b"\xc0" + bytes([12 + len(q.section)]) +
       b"\0\x10\0\1\0\0\0\0\0\2\1a", slow=True)
broken("A45", "counts", "65,535 records, says the header",
       lambda q: q.reply([])[:6] + b"\xff\xff\xff\xff\xff\xff" + q.section, slow=True)
broken("A45", "rdlength", "a record longer than the message",
       lambda q: q.reply([(TXT, b"\1a")])[:-4] + b"\xff\xff\1a", slow=True)
broken("A45", "string", "a string longer than its record", lambda q: q.reply([(TXT, b"\xffabc")]),
       kind="dns|unauthorized", text=(), slow=True)
broken("A45", "no-strings", "a record without a string", lambda q: q.reply([(TXT, b"")]), kind="dns|unauthorized",
       text=(),
       slow=True)
broken("A45", "tc", "cut off over UDP, silent over TCP", lambda q: None if q.tcp else q.reply(flags=0x8380), slow=True)
broken("A45", "tc-garbage", "cut off over UDP, noise over TCP",
       lambda q: q.query[:2] + os.urandom(2000) if q.tcp else q.reply(flags=0x8380), slow=True)
broken("A45", "tc-tc", "cut off over UDP, and over TCP", lambda q: q.reply(flags=0x8380), kind="dns|unauthorized",
       text=(),
       slow=True)


# --- A45: many and large records -------------------------------------------------------------------------------------

def records(number, label, title, of, kind="unauthorized", text="wanted a record"):
    """of: the data of the TXT records, from the proof."""
    def setup(s, proof):
        data = of(proof)
        s.names.rules[proof.name] = lambda q: q.reply(
            [(TXT, d) for d in data] if q.type == TXT and q.name == LABEL + proof.name else [])
    attack(number, "txt-" + label, title, kind, text, method="dns-01", seconds=4)(setup)


WRONG = [txt(f"{i:043d}") for i in range(99)]
records("A45", "hundred", "the right record among a hundred", lambda p: WRONG[:60] + [txt(p.record)] + WRONG[60:], "",
        ())
records("A45", "thousand", "the right record among 1,100",
        lambda p: [txt(p.record)] + [txt(f"{i:040d}") for i in range(1100)],
        "|unauthorized", ())
records("A45", "all-wrong", "a hundred wrong ones", lambda p: WRONG, "unauthorized", ("and 96 more", "wanted a record"))
records("A45", "64k", "records of 64 KB", lambda p: [txt(*[os.urandom(255) for _ in range(210)])])
records("A45", "64k-right", "the right one beside 60 KB", lambda p: [txt(*["x" * 255] * 230), txt(p.record)], "", ())
records("A45", "strings", "the right one in strings of a byte", lambda p: [txt(*p.record)], "", ())
records("A45", "empties", "the right one between empty strings",
        lambda p: [txt("", p.record[:20], "", p.record[20:], "")], "", ())
records("A45", "binary", "binary", lambda p: [txt(bytes(range(200)))], "unauthorized", "\\x00\\x01\\x02")
records("A45", "terminal", "escape sequences", lambda p: [txt(b'\x1b[2J\r\n{"event":"forged"}')], "unauthorized",
        "\\x1b[2J\\x0d\\x0a")
records("A45", "nul", "the right one and a NUL", lambda p: [txt(p.record + "\0")])
records("A45", "prefix", "the right one's beginning", lambda p: [txt(p.record[:42])])
records("A45", "two-in-one", "the right one twice in one", lambda p: [txt(p.record, p.record)])


# --- A44: aliases ----------------------------------------------------------------------------------------------------

def aliases(label, title, kind, text, of, seconds=None):
    """of: the rule for the name and all below, from the proof."""
    def setup(s, proof):
        s.names.rules[proof.name] = of(proof)
    attack("A44", label, title, kind, text, method="dns-01", seconds=seconds)(setup)


def chain(p, length):
    def rule(q):
        first = q.name.split(".")[0]
        at = int(first[1:]) if first[1:].isdigit() else 0
        if q.type == TXT and at < length:
            return q.reply([(CNAME, wire_name(f"c{at + 1}.{p.name}"))])
        return q.reply([(TXT, txt(p.record))] if q.type == TXT else [])
    return rule


def whole_chain(p, length):
    """All of it in one answer, as a resolver gives it."""
    def rule(q):
        if q.type != TXT:
            return q.reply()
        links = [LABEL + p.name, *[f"c{i}.{p.name}" for i in range(length)]]
        links = links[links.index(q.name):]
        return q.reply([(CNAME, wire_name(b), a) for a, b in zip(links, links[1:])] + [(TXT, txt(p.record), links[-1])])
    return rule


aliases("alias", "an alias", "", (), lambda p: chain(p, 1), 4)
aliases("alias-8", "a chain of eight", "", (), lambda p: chain(p, 8), 4)
aliases("alias-20", "a chain of twenty", "|dns", (), lambda p: chain(p, 20), 6)
aliases("alias-500", "a chain of five hundred", "dns", "looking up TXT", lambda p: chain(p, 500))
aliases("alias-whole", "a chain of eight in one answer", "", (), lambda p: whole_chain(p, 8), 4)
aliases("alias-whole-300", "a chain of three hundred in one answer", "|dns", (), lambda p: whole_chain(p, 300))
aliases("alias-self", "an alias of itself", "dns|unauthorized", (),
        lambda p: lambda q: q.reply([(CNAME, wire_name(q.name))] if q.type == TXT else []))
aliases("alias-loop", "two aliases of each other", "dns|unauthorized", (),
        lambda p: lambda q: q.reply([(CNAME, wire_name(("b." if q.name.startswith("a.") else "a.") + p.name))]
                                    if q.type == TXT else []))
aliases("alias-nowhere", "an alias of a name that does not exist", "dns|unauthorized", "gone." ,
        lambda p: lambda q: q.reply(rcode=names.NXDOMAIN) if q.name.startswith("gone.") else
        q.reply([(CNAME, wire_name("gone." + p.name))]))
@attack("A44", "dname", "a DNAME", "", (), method="dns-01", seconds=4)
def dname(s, proof):
    to = "to-" + proof.name
    s.names.rules[to] = lambda q: q.reply([(TXT, txt(proof.record))] if q.type == TXT else [])
    s.names.rules[proof.name] = lambda q: q.reply(
        [(DNAME, wire_name(to), proof.name), (CNAME, wire_name(LABEL + to))] if q.type == TXT else [])


aliases("dname-grow", "a DNAME into itself, so that names grow", "dns|unauthorized", (),
        lambda p: lambda q: q.reply([(DNAME, wire_name("aaaaaaaaaaaaaaaaaaaa." + p.name),
                                      p.name)] if q.type == TXT else []))


# --- A51, A52: CAA ---------------------------------------------------------------------------------------------------

def caa(number, label, title, kind, text, *found):
    """found: the data of the CAA records."""
    def setup(s, proof):
        serve(s, proof)
        s.names.records(proof.name, A=stage.HERE, CAA=found)
    attack(number, label, title, kind, text, seconds=4)(setup)


ONE, OURS, BAD = names.caa, "ca.e2e.test", "prevents issuance"
caa("A51", "caa-ours", "ours", "", (), ONE("issue", OURS))
caa("A51", "caa-case", "in upper case", "", (), ONE("ISSUE", OURS.upper()))
caa("A51", "caa-blanks", "with blanks", "", (), ONE("issue", f"  {OURS} ; "))
caa("A51", "caa-none", "nobody", "caa", BAD, ONE("issue", ";"))
caa("A51", "caa-empty", "nobody, with an empty value", "caa", BAD, ONE("issue", ""))
caa("A51", "caa-and", "ours beside another", "", (), ONE("issue", ";"), ONE("issue", OURS))
caa("A51", "caa-prefix", "a name that begins alike", "caa", BAD, ONE("issue", OURS + ".evil.test"))
caa("A51", "caa-suffix", "a name that ends alike", "caa", BAD, ONE("issue", "evil" + OURS))
caa("A51", "caa-malformed", "what is no domain", "caa", BAD, ONE("issue", "%%%%%"))
caa("A51", "caa-binary", "noise", "caa", BAD, ONE("issue", bytes(range(256))))
caa("A51", "caa-escape", "escape sequences", "caa", BAD, ONE("issue", b"\x1b[2J\r\n{\"event\":\"forged\"}"))
caa("A51", "caa-wild", "issuewild is not for this name", "", (), ONE("issuewild", ";"), ONE("issue", OURS))
caa("A51", "caa-wild-only", "issuewild alone says nothing", "", (), ONE("issuewild", ";"))
caa("A51", "caa-unknown", "an unknown tag", "", (), ONE("contactemail", "a@b.test"))
caa("A51", "caa-critical", "an unknown tag that is critical", "caa", BAD, ONE("contactemail", "a@b.test", 128))
caa("A51", "caa-flag-1", "an unknown tag with the flag that some mistook for it", "caa", BAD,
    ONE("contactemail", "a@b.test", 1))
caa("A51", "caa-iodef", "iodef says nothing", "", (), ONE("iodef", "mailto:a@b.test", 128))
caa("A51", "caa-form", "a record without a tag", "caa", BAD, b"\0\0")
caa("A51", "caa-short", "a record that breaks off", "caa|dns", (), b"\0\5iss")
caa("A51", "caa-many", "a hundred of others and ours, over TCP", "|caa", (),
    *[ONE("issue", f"ca{i}.other.test") for i in range(90)], ONE("issue", OURS))
caa("A51", "caa-hundreds", "more than anybody reads", "caa", BAD,
    *[ONE("issue", f"ca{i}.other.test") for i in range(500)])
caa("A52", "caa-account", "another account", "caa", BAD, ONE("issue", f"{OURS}; accounturi=https://x.test/1"))
caa("A52", "caa-account-twice", "two accounts", "caa", BAD,
    ONE("issue", f"{OURS}; accounturi=https://x.test/1; accounturi=https://x.test/2"))
caa("A52", "caa-method", "another method", "caa", BAD, ONE("issue", f"{OURS}; validationmethods=dns-01"))
caa("A52", "caa-method-ours", "this method among others", "", (),
    ONE("issue", f"{OURS}; validationmethods=dns-01,http-01"))
caa("A52", "caa-method-unknown", "a method that nobody knows", "caa", BAD,
    ONE("issue", f"{OURS}; validationmethods=carrier-pigeon"))
caa("A52", "caa-method-twice", "two lists of methods", "caa", BAD,
    ONE("issue", f"{OURS}; validationmethods=http-01; validationmethods=dns-01"))
caa("A52", "caa-foreign", "our method, for another CA", "caa", BAD,
    ONE("issue", "other.test; validationmethods=http-01"))


def caa_rule(label, title, kind, text, rule):
    def setup(s, proof):
        serve(s, proof)
        s.names.rules[proof.name] = lambda q: rule(q) if q.type == CAA else \
            q.reply([(A, names.address(stage.HERE))] if q.type == A else [])
    attack("A51", label, title, kind, text)(setup)


MUST = "CAA (RFC 8659) must be known"
caa_rule("caa-servfail", "SERVFAIL below a parent that allows all", "dns", (MUST, "SERVFAIL"),
         lambda q: q.reply(rcode=names.SERVFAIL))
caa_rule("caa-refused", "REFUSED", "dns", MUST, lambda q: q.reply(rcode=names.REFUSED))
caa_rule("caa-notimp", "NOTIMP", "dns", MUST, lambda q: q.reply(rcode=names.NOTIMP))
caa_rule("caa-silent", "no answer", "dns", MUST, lambda q: None)
caa_rule("caa-loop", "an alias of itself", "dns", MUST, lambda q: q.reply([(CNAME, wire_name(q.name))]))
caa_rule("caa-tc", "cut off, and silent over TCP", "dns", MUST, lambda q: None if q.tcp else q.reply(flags=0x8380))


# --- A46: a name server that is slow for some, so that others get no answer ------------------------------------------

for i in range(24):
    broken("A46", f"crowd-{i}", "one of many names that nobody answers", lambda q: None, slow=True)


@attack("A46", "patience", "a name that is answered, among them", "", (), slow=True)
def patience(s, proof):
    """One after the other, while the rest wait for nothing: each must be proved as quickly as ever."""
    slowest = 0.0
    for i in range(8):
        one = prove.Proof(s.client, f"patience-{i}.e2e.test", "http-01")
        s.files[one.path] = one.key_authorization
        one.prove(20)
        slowest = max(slowest, one.seconds)
        if one.status != "valid" or one.seconds > 2:
            raise AssertionError(f"patience: {one.name} is {one.status} after {one.seconds:.1f} s: {one.error}")
    sys.stdout.write(f"   the slowest of them took {slowest:.1f} s\n")
    serve(s, proof)
