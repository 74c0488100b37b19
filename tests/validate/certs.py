# SPDX-License-Identifier: Apache-2.0
"""Certificates: an ordinary server's, and those of tls-alpn-01 with whatever is wrong about them."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

ACME_ID, DRAFT_ID = "1.3.6.1.5.5.7.1.31", "1.3.6.1.5.5.7.1.30.1"


def pem(cert, key):
    return (cert.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def builder(subject, key, issuer=None):
    now = datetime.datetime.utcnow()
    return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer or subject))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=7)))


def ordinary(host):
    key = ec.generate_private_key(ec.SECP256R1())
    cert = builder(host, key).add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
    return pem(cert.sign(key, hashes.SHA256()), key)


def acme_extension(digest, number=ACME_ID):
    """RFC 8737 3: an OCTET STRING of 32 bytes."""
    return x509.UnrecognizedExtension(ObjectIdentifier(number), b"\x04" + bytes([len(digest)]) + digest)


def general(value):
    return x509.IPAddress(ipaddress.ip_address(value)) if ":" in value else x509.DNSName(value)


def alpn(host, digest, **wrong):
    """wrong: sans, critical, oid, value (the extension's bytes), common, issuer, signer (another key), key, twice."""
    key = wrong.get("key") or ec.generate_private_key(ec.SECP256R1())
    cert = builder(wrong.get("common", "ACME challenge"), key, wrong.get("issuer"))
    sans = wrong.get("sans", [host])
    if sans:
        cert = cert.add_extension(x509.SubjectAlternativeName([general(s) for s in sans]), False)
    extension = acme_extension(digest, wrong.get("oid", ACME_ID))
    if "value" in wrong:
        extension = x509.UnrecognizedExtension(ObjectIdentifier(wrong.get("oid", ACME_ID)), wrong["value"])
    cert = cert.add_extension(extension, wrong.get("critical", True))
    for more in wrong.get("more", ()):
        cert = cert.add_extension(more, False)
    return pem(cert.sign(wrong.get("signer", key), hashes.SHA256()), key)
