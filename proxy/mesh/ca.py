"""A small authority of SVIDs, for one host, a demo or tests: what it is, and what it signs.

It has roots, each with the time from which it signs. A new one is trusted at once and signs later,
so that everybody has it in his bundle by then; the one before is trusted until the last certificate
that it may have signed has expired. All of that follows from the times alone: whoever reads the
state knows who signs now and who counts now, and nobody needs to be told. Files: `ca_files.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from proxy.config.spiffe import SCHEME, SpiffeId, check_domain
from proxy.config.x509_making import (
    begun,
    named,
    new_key,
    of_authority,
    of_both_sides,
    pem,
    pem_of_key,
)

LONGEST = 86400.0  # seconds that a certificate may count
ROOT = 365 * 86400.0  # seconds that a root does; at half of them another one follows
OVERLAP = 600.0  # seconds for which a new root is trusted before it signs
SKEW = 60.0  # seconds by which clocks may differ
# Seconds by which a clock may have been fast when a root was made, as one set by local time is
# until it is put right: all that is signed would count for nothing for as long.
FAST = 86400.0


class Root(Struct, frozen=True):
    """One key that signs."""

    cert: str  # PEM
    key: str  # PEM
    since: float  # Unix time from which it signs
    until: float  # Unix time of its end


class Authority(Struct, frozen=True):
    """All that there is of one trust domain; roots stand in the order in which they sign."""

    domain: str
    roots: list[Root]

    def signer(self, now: float) -> Root:
        """Who signs at that time."""
        begun = [root for root in self.roots if root.since <= now]
        return begun[-1] if begun else self.roots[0]

    def trusted(self, now: float) -> list[Root]:
        """Whose certificates count at that time, the one that signs first."""
        signer = self.signer(now)
        others = [root for root in self.roots if root is not signer and self._counts(root, now)]
        return [signer, *others]

    def changes(self, now: float) -> float:
        """When `trusted` or `signer` will be another than now; infinity if never."""
        times = [root.since for root in self.roots]
        times += [self._end(root) for root in self.roots]
        return min((at for at in times if at > now), default=float("inf"))

    def is_due(self, now: float) -> bool:
        """Whether it is time for another root: half of the last one's life has gone."""
        last = self.roots[-1]
        return now >= last.until - ROOT / 2

    def rotated(self, root: Root, now: float) -> Authority:
        """With another root, and without those that count no more."""
        return Authority(self.domain, [*filter(lambda r: self._counts(r, now), self.roots), root])

    def bundle(self, now: float) -> bytes:
        """PEM of all that count."""
        return "".join(root.cert for root in self.trusted(now)).encode("ascii")

    def _counts(self, root: Root, now: float) -> bool:
        return now < self._end(root)

    def _end(self, root: Root) -> float:
        """When the last certificate that it may have signed has expired."""
        after = self.roots.index(root) + 1
        if after == len(self.roots):
            return root.until
        return min(self.roots[after].since + LONGEST + SKEW, root.until)


def founded(domain: str, now: float) -> Authority:
    """A new one, whose first root signs at once; ValueError if that is no trust domain."""
    check_domain(domain)
    return Authority(domain, [new_root(domain, now, now)])


def new_root(domain: str, now: float, since: float) -> Root:
    """One that signs from `since` on; both in Unix time."""
    key, name, until = new_key(), named(f"{domain} authority"), since + ROOT
    public = key.public_key()
    cert = (
        of_authority(begun(name, name, public, *_times(now - FAST, until)), public)
        .add_extension(x509.SubjectAlternativeName(_names([SCHEME + domain])), critical=False)
        .sign(key, SHA256())
    )
    return Root(pem(cert).decode(), pem_of_key(key).decode(), since, until)


def issue(
    root: Root, who: SpiffeId, ttl: float, now: float, dns: Sequence[str] = ()
) -> tuple[bytes, bytes]:
    """An SVID and its key, both PEM, that count for `ttl` seconds, at most LONGEST and as long as
    the root; ValueError where they would not be of its trust domain."""
    authority = x509.load_pem_x509_certificate(root.cert.encode("ascii"))
    signer = load_pem_private_key(root.key.encode("ascii"), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    if uri_of(authority) != SCHEME + who.domain or not who.path:
        raise ValueError(f"this authority does not speak for {who}")
    key, subject = new_key(), named(who.path[1:])
    times = _times(now, min(now + min(ttl, LONGEST), root.until))
    builder = begun(subject, authority.subject, key.public_key(), *times)
    names = _names([str(who)], dns)
    cert = of_both_sides(builder, names, signer.public_key()).sign(signer, SHA256())
    return pem(cert), pem_of_key(key)


def uri_of(certificate: x509.Certificate) -> str:
    """Its only URI, "" = it has none, or several."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    uris = found.value.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


def _times(now: float, end: float) -> tuple[datetime, datetime]:
    """From when to when it counts, of one that is made now."""
    start = datetime.fromtimestamp(now, UTC) - timedelta(seconds=SKEW)
    return start, datetime.fromtimestamp(end, UTC)


def _names(uris: Sequence[str], dns: Sequence[str] = ()) -> list[x509.GeneralName]:
    said: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    return [*said, *(x509.DNSName(name) for name in dns)]
