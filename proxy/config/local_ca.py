"""Certificates for development: by an authority of one's own (`spangate cert`), or by themselves.

The authority is made once and then used again, so that it need be trusted once. Its key can sign
for any name: it stays on the machine that it was made on, readable by its owner alone. A
certificate that signs itself is bytes alone: who wants it on a disk must write it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.config.x509_making import (
    begun,
    named,
    new_key,
    of_authority,
    of_both_sides,
    pem,
    pem_of_key,
    usage,
)

CA, CA_KEY = "ca.pem", "ca.key"
NAMES = ("localhost", "127.0.0.1", "::1")  # where none are said
DAYS = 397  # what browsers take, of whatever authority: CA/Browser Forum, since 2020

_CA_DAYS = 3650
_SKEW = timedelta(hours=1)  # clocks that differ


@dataclass(frozen=True, slots=True)
class Made:
    """Paths of what there is now."""

    ca: Path
    cert: Path
    key: Path
    is_new_ca: bool


def make(folder: str, names: Sequence[str] = NAMES) -> Made:
    """A certificate for `names`: host names, addresses, URIs (`spiffe://…`). Its files are called
    by the first name; what they held before is replaced.

    ValueError for a name that is none, or an authority that cannot be used; OSError.
    """
    place = Path(folder)
    said = [general_name(name) for name in names]
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not (place / CA).exists()
    authority, signer = _new_authority(place) if is_new else _known_authority(place)
    stem = _stem(names[0])
    made = Made(place / CA, place / f"{stem}.pem", place / f"{stem}.key", is_new)
    key = new_key()
    builder = begun(named(names[0]), authority.subject, key.public_key(), *_times(DAYS))
    cert = of_both_sides(builder, said, authority.public_key()).sign(signer, SHA256())
    _write(made.key, pem_of_key(key), secret=True)
    _write(made.cert, pem(cert) + pem(authority))
    return made


def self_signed(names: Sequence[str]) -> tuple[bytes, bytes]:
    """A certificate for `names`, and its key, both in PEM; it vouches for nothing but itself.

    ValueError for a name that is none.
    """
    said = [general_name(name) for name in names]
    key = new_key()
    subject = named(f"spangate of {os.uname().nodename}, self-signed")
    cert = (
        begun(subject, subject, key.public_key(), *_times(DAYS))
        .add_extension(x509.SubjectAlternativeName(said), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return pem(cert), pem_of_key(key)


def general_name(name: str) -> x509.GeneralName:
    """A host name, an address or a URI; ValueError for what is none of them."""
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    host = dns_name(name)
    if not host:
        raise ValueError(f"{name!r} is neither a host name nor an address nor a URI")
    return x509.DNSName(host)


def dns_name(name: str) -> str:
    """A host name in ASCII; "" for what is none."""
    try:
        host = name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""
    return host if all(c.isalnum() or c in "-_.*" for c in host) else ""


def _stem(name: str) -> str:
    """A file's name of it."""
    made = "".join(c if c.isalnum() or c in "-_." else "_" for c in name.strip("[]"))
    return made.replace("*", "_").lstrip(".") or "gateway"


def _new_authority(place: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = new_key()
    name = named(f"spangate development authority of {os.uname().nodename}")
    builder = begun(name, name, key.public_key(), *_times(_CA_DAYS))
    cert = of_authority(builder, key.public_key()).sign(key, SHA256())
    _write(place / CA_KEY, pem_of_key(key), secret=True)
    _write(place / CA, pem(cert))
    return cert, key


def _known_authority(place: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        cert = x509.load_pem_x509_certificate((place / CA).read_bytes())
        key = load_pem_private_key((place / CA_KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"the authority in {place} cannot be used: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or cert.public_key() != key.public_key():
        raise ValueError(f"the authority in {place} cannot be used: its key is another one's")
    if cert.not_valid_after_utc < datetime.now(UTC) + timedelta(days=DAYS):
        raise ValueError(f"the authority in {place} expires soon: remove {CA} and {CA_KEY}")
    return cert, key


def _times(days: int) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - _SKEW, now + timedelta(days=days)


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """In one go, so that a gateway that watches it never reads half of it."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with open(fd, "wb") as file:
        file.write(data)
    new.replace(path)
