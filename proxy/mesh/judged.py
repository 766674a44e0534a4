"""What sources give, judged before it is used.

It is held to the rules that peers will hold it to, so that a mistake is told here in one line, and
not by each of them as a failed handshake.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from proxy.access.svid import identity
from proxy.config.material import Certified
from proxy.config.spiffe import SpiffeId, check_domain
from proxy.config.tls_pem import Unusable, certificates, certified
from proxy.mesh.handshake import between
from proxy.mesh.svid import Root, Svid

# X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h), of any in a chain
_EARLY, _EXPIRED = 9, 10


class _Expired(Unusable):
    """One of a chain has."""


def judged(
    cert: bytes, key: bytes, trust: Mapping[str, bytes], now: float, names: tuple[str, str]
) -> Svid:
    """What a source gave, in PEM: the chain, its key, and authorities by trust domain. `names` are
    those of certificate and key, for messages. ValueError if peers would not believe it."""
    leaf = certificates(cert, names[0])[0]
    try:
        who = identity(leaf.public_bytes(Encoding.DER))
    except ValueError as error:
        raise Unusable(f"{names[0]} {error}") from None
    start, end = _times(leaf)
    expired = f"the certificate of {who} expired on {leaf.not_valid_after_utc:%F %T} UTC"
    if end <= now:
        raise Unusable(expired)
    if start > now:
        begins = f"does not count before {leaf.not_valid_before_utc:%F %T} UTC"
        raise Unusable(f"the certificate of {who} {begins}: is the clock here right?")
    if who.domain not in trust:
        raise Unusable(f"there are no authorities of {who.domain!r}, the trust domain of {who}")
    roots = {domain: _roots(domain, pem) for domain, pem in trust.items()}
    made = certified(cert, key, names)
    try:
        _verify(made, trust[who.domain], who)
    except _Expired:
        if end <= time.time():  # since `now`: all of this takes its time
            raise Unusable(f"{expired}, before it was in use") from None
        raise
    return Svid(who, made, dict(trust), start, end, roots)


def _times(leaf: Certificate) -> tuple[float, float]:
    return leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()


def _roots(domain: str, pem: bytes) -> list[Root]:
    """The authorities of a trust domain; Unusable if they are none."""
    try:
        check_domain(domain)
    except ValueError as error:
        raise Unusable(f"{domain!r} is no trust domain: {error}") from None
    return [
        Root(
            one.subject.rfc4514_string(),
            one.fingerprint(SHA256()).hex(":").upper(),
            one.not_valid_after_utc.timestamp(),
        )
        for one in certificates(pem, f"the bundle of {domain}")
    ]


def _verify(made: Certified, roots: bytes, who: SpiffeId) -> None:
    """That one of its own trust domain has signed it: by a handshake with itself."""
    try:
        between(made, roots)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            late = "is signed by an authority of its trust domain that has expired"
            raise _Expired(f"{who} {late}") from None
        if error.verify_code == _EARLY:
            early = "is signed by an authority of its trust domain that does not count yet"
            raise Unusable(f"{who} {early}: is the clock here right?") from None
        message = f"{who} is not signed by an authority of its trust domain"
        raise Unusable(f"{message}: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Unusable(f"{who} cannot be used: {error.reason or error}") from None
