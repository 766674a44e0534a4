"""Who the other end of a connection must be by its certificate, besides what OpenSSL verifies.

A chain that leads to one of many authorities is not enough in a mesh: each of them may speak for
its own trust domain alone, and a context knows them all as one (X.509-SVID §5). So the verified
chain is looked at once the handshake is done and before a byte of the other end is read.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.access.svid import identity
from proxy.config.material import Material
from proxy.config.spiffe import Pattern, SpiffeId, parse
from proxy.http.client_cert import names_of

_BEGIN = "-----BEGIN CERTIFICATE-----"


class WrongIdentity(ssl.SSLError):
    """The certificate is good, and it is somebody else's."""


class NotOfMesh(ssl.SSLError):
    """Its chain leads to an authority that counts, and it is nobody here all the same. `kind` is a
    word for metrics; `words` fit behind "the upstream"."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(1, words)
        self.kind, self.words = kind, words


class Trust:
    """The authorities of each trust domain, and whom of them all is let in."""

    __slots__ = ("_roots", "_wanted")

    def __init__(self, roots: Mapping[str, bytes], wanted: Sequence[str]) -> None:
        """`roots`: PEM by trust domain; `wanted`: patterns, one of which must hold."""
        self._roots = {domain: frozenset(ders(pem)) for domain, pem in roots.items()}
        self._wanted = [Pattern(text) for text in wanted]

    def judge(self, chain: Sequence[bytes]) -> SpiffeId:
        """Who it is, by a verified chain (DER, the leaf first). Raises NotOfMesh, WrongIdentity."""
        try:
            who = identity(chain[0]) if chain else None
        except ValueError as error:
            raise NotOfMesh("bad_svid", f"has a certificate that {error}") from None
        if who is None:
            raise NotOfMesh("no_certificate", "has shown no certificate")
        roots = self._roots.get(who.domain)
        if roots is None:
            words = f"is {_short(who)}, of a trust domain that is not known here"
            raise NotOfMesh("unknown_trust_domain", words)
        # Any of them: a chain may go on behind the anchor that its domain has.
        if roots.isdisjoint(chain[1:]):
            words = f"says that it is {_short(who)}, by an authority of another trust domain"
            raise NotOfMesh("wrong_trust_domain", words)
        if not any(pattern.holds(who) for pattern in self._wanted):
            raise WrongIdentity(1, f"wrong identity: {_short(who)}")
        return who


def of_clients(material: Material) -> Trust:
    """Whoever has an identity; what each of them may ask for is decided for each request."""
    return Trust(material.trust, ("spiffe://*",))


def of_servers(material: Material, identities: Sequence[str]) -> Trust:
    """One of `identities`; if none is said, whoever is of the own trust domain."""
    wanted = list(identities)
    if not wanted and (own := material.mesh) is not None and own.uris:
        wanted = [f"spiffe://{parse(own.uris[0]).domain}/*"]
    return Trust(material.trust, wanted)


def verify(context: ssl.SSLContext, trust: Trust, required: bool = True) -> None:
    """Have all handshakes of `context` end only with somebody whom `trust` lets in, or, if that is
    not `required`, with somebody who shows nothing."""
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # What is in a bundle is an anchor, whoever has signed it (X.509-SVID §6).
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    class OfMesh(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            chain = chain_of(self)
            if chain or required:
                trust.judge(chain)

    context.sslobject_class = OfMesh


def require(context: ssl.SSLContext, identities: Sequence[str]) -> None:
    """Have all handshakes end only with a certificate of one of these URIs."""
    wanted = frozenset(identities)

    class Identifying(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if wanted.isdisjoint(names_of(self.getpeercert() or {}, "URI")):
                raise WrongIdentity(1, "wrong identity")

    context.sslobject_class = Identifying


def chain_of(tls: ssl.SSLObject) -> list[bytes]:
    """The verified chain in DER, the leaf first; empty if none was shown."""
    public = getattr(tls, "get_verified_chain", None)  # of Python 3.13
    if public is not None:
        return list(public() or ())
    import _ssl

    encoding: Any = _ssl.ENCODING_DER
    found = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    return [one.public_bytes(encoding) for one in found or ()]


def ders(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file."""
    texts = pem.decode("ascii", "ignore").split(_BEGIN)[1:]
    return [ssl.PEM_cert_to_DER_cert((_BEGIN + text).strip()) for text in texts]


def named_by(tls: ssl.SSLObject) -> str:
    """The first URI of what the other end has shown, "" = none; for connections that were held to
    one."""
    return next(iter(names_of(tls.getpeercert() or {}, "URI")), "")


def _short(who: SpiffeId) -> str:
    """It has passed the grammar, so it is harmless; it may still be long."""
    return str(who) if len(str(who)) <= 200 else f"{str(who)[:200]}…"
