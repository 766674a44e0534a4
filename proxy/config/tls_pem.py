"""Certificates and keys as they stand in PEM files: read, and held to what they must be.

The only module that knows `cryptography`, which takes 10 MB and is imported when a configuration
has TLS: in the hub and in commands, never in a worker.
"""

from __future__ import annotations

import os
import ssl
import time
from typing import TYPE_CHECKING

from proxy.config.material import Certified
from proxy.config.regular import open_regular

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MOST = 4 * 1024 * 1024  # bytes of a file; a system's bundle of authorities has 0.2 MiB
_SOON = 3 * 86400.0  # seconds before its end in which a certificate is warned about

_BEGIN = b"-----BEGIN "
_WEAK = {
    "EE_KEY_TOO_SMALL": "its key is too short to be safe",
    "CA_KEY_TOO_SMALL": "the key of its authority is too short to be safe",
    "CA_MD_TOO_WEAK": "it is signed with a digest that is broken",
    "EE_CERTIFICATE_KEY_TOO_WEAK": "its key is too short to be safe",
}


class Unusable(ValueError):
    """Why a file is no use, and what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def read(path: str) -> bytes:
    """What is in a file; Unusable if that cannot be had."""
    try:
        with open_regular(path) as file:
            data = file.read(MOST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        remedy = ""
        if isinstance(error, FileNotFoundError):
            reason, remedy = "there is no such file", "`spangate cert` makes one for development"
        raise Unusable(f"cannot read {path}: {reason}", remedy) from None
    if len(data) > MOST:
        raise Unusable(f"{path} is too large for what it should be")
    return data


def certificates(data: bytes, path: str) -> list[Certificate]:
    """All of a PEM file, at least one."""
    from cryptography import x509

    if b"BEGIN CERTIFICATE" not in data and b"BEGIN TRUSTED CERTIFICATE" not in data:
        raise _not_certificate(data, path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise Unusable(f"{path} holds a broken certificate: {_line(error)}") from None


def certified(cert: bytes, key: bytes, paths: tuple[str, str]) -> Certified:
    """A certificate and its key, tried together; `paths` are theirs, for messages."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain = certificates(cert, paths[0])
    _check_key(key, paths[1])
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"{paths[1]} holds a broken private key: {_line(error)}") from None
    public = private.public_key()
    if chain[0].public_key() != public:
        if any(other.public_key() == public for other in chain[1:]):
            remedy = "order them: its own one, then that of who signed it, and so on"
            raise Unusable(f"the certificate of the key is not the first in {paths[0]}", remedy)
        remedy = "name the key that it was made with"
        raise Unusable(f"the key {paths[1]} does not belong to {paths[0]}", remedy)
    _try(cert, key, paths)
    names, uris = names_of(chain[0])
    return Certified(cert, key, names, uris, expiry(chain[0]))


def expiry(certificate: Certificate) -> float:
    """Unix time."""
    return certificate.not_valid_after_utc.timestamp()


def names_of(certificate: Certificate) -> tuple[list[str], list[str]]:
    """DNS names in lower case, and URIs; the common name where there are no alternative names."""
    from cryptography import x509

    try:
        kind = x509.SubjectAlternativeName
        said = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [str(name.value).lower() for name in common], []
    except ValueError:  # an extension that cannot be read
        return [], []
    uris = said.get_values_for_type(x509.UniformResourceIdentifier)
    return [name.lower() for name in said.get_values_for_type(x509.DNSName)], list(uris)


def age(certificate: Certificate, path: str, now: float) -> str:
    """What is remarkable about its time: "" or a warning; Unusable if it is over."""
    end, day = expiry(certificate), f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if end < now:
        raise Unusable(f"the certificate in {path} expired on {day}", "have it renewed")
    if certificate.not_valid_before_utc.timestamp() > now:
        start = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return f"the certificate in {path} does not count before {start}"
    return f"the certificate in {path} expires on {day}" if end < now + _SOON else ""


def is_open(path: str) -> bool:
    """Whether anybody may read it."""
    try:
        return bool(os.stat(path).st_mode & 0o004)
    except (OSError, ValueError):
        return False


def now() -> float:
    return time.time()


def _check_key(key: bytes, path: str) -> None:
    if b"ENCRYPTED" in key and b"PRIVATE KEY" in key:
        remedy = f"`openssl pkey -in {path} -out plain.key` takes the password off"
        raise Unusable(f"the key {path} is encrypted", remedy)
    if b"PRIVATE KEY-----" in key:
        return
    if b"BEGIN CERTIFICATE" in key:
        remedy = "`key` is the private key, `cert` the certificate"
        raise Unusable(f"{path} holds a certificate and no key", remedy)
    remedy = "" if _BEGIN in key else f"`openssl pkey -inform DER -in {path}` makes PEM of it"
    raise Unusable(f"{path} holds no private key in PEM", remedy)


def _not_certificate(data: bytes, path: str) -> Unusable:
    if b"PRIVATE KEY-----" in data:
        remedy = "`cert` is the certificate, `key` the private key"
        return Unusable(f"{path} holds a private key and no certificate", remedy)
    if not data.strip():
        return Unusable(f"{path} is empty")
    if b"BEGIN PKCS7" in data:
        remedy = f"`openssl pkcs7 -print_certs -in {path}` makes certificates of it"
        return Unusable(f"{path} is a PKCS #7 bundle", remedy)
    remedy = "" if _BEGIN in data else f"`openssl x509 -inform DER -in {path}` makes PEM of it"
    return Unusable(f"{path} holds no certificate in PEM", remedy)


def _try(cert: bytes, key: bytes, paths: tuple[str, str]) -> None:
    """What OpenSSL says of them, which is stricter about what is weak."""
    import tempfile  # with shutil and what that loads half a megabyte

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # of the user alone
        places = os.path.join(folder, "cert"), os.path.join(folder, "key")
        for place, data in zip(places, (cert, key), strict=True):
            with open(place, "wb") as file:
                file.write(data)
        try:
            context.load_cert_chain(*places, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or _line(error)
            message = f"{paths[0]} cannot be used: {_WEAK.get(reason, reason)}"
            raise Unusable(message, "make a new one") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
