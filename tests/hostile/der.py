# SPDX-License-Identifier: Apache-2.0
"""Just enough DER to write certificate requests that no library would write."""

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, UTF8, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x30, 0x31
PRINTABLE, IA5, BMP = 0x13, 0x16, 0x1E


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def indefinite(tag, *parts):
    """BER's form without a length, which DER forbids."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def integer(value):
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(text):
    numbers = [int(n) for n in text.split(".")]
    out = b""
    for n in [numbers[0] * 40 + numbers[1]] + numbers[2:]:
        part = bytes([n & 0x7F])
        while n := n >> 7:
            part = bytes([n & 0x7F | 0x80]) + part
        out += part
    return tlv(OID, out)


def sequence(*parts):
    return tlv(SEQUENCE, *parts)


def set_of(*parts):
    return tlv(SET, *parts)


def octets(data):
    return tlv(OCTET_STRING, data)


def bits(data):
    return tlv(BIT_STRING, b"\0", data)


def parts(data):
    """The TLVs one after another: (tag, body, whole)."""
    at, out = 0, []
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[start:start + count], "big")
            start += count
        out.append((tag, data[start:start + size], data[at:start + size]))
        at = start + size
    return out
