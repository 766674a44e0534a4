"""Material: certificates, authorities, credentials and pages for failures as they were read from
their files, ready to be sent.

The hub reads and judges them (`check_tls.py`, `check_errors.py`, `check_access.py`), so that all
workers have the same ones, also a worker that is started when the files are half replaced. Workers
get the bytes, and what they must know of them without a parser of certificates.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from proxy.config.model import Config

_END = "-----END CERTIFICATE-----"

# Where the certificate lies that was made at start; no file has this pair of names.
SELF_SIGNED = ("self-signed", "")
# In the place of a path: what [mesh] identity gives, certificate, key or authorities.
MESH = "mesh:"


def _sha256(data: bytes) -> bytes:
    import hashlib  # 0.6 MB of each worker, which has no certificate where there is no TLS

    return hashlib.sha256(data).digest()


class Certified(Struct, frozen=True):
    """A certificate with its chain, and its key."""

    cert: bytes  # PEM
    key: bytes  # PEM
    names: list[str] = field(default_factory=list)  # DNS names, lower case: "*.shop.example"
    uris: list[str] = field(default_factory=list)  # URI names: who this gateway is in a mesh
    expires: float = 0.0  # Unix time after which it does not count

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` write it."""
        first = self.cert.decode("ascii").partition(_END)[0] + _END
        digest = _sha256(ssl.PEM_cert_to_DER_cert(first)).hex().upper()
        return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))

    @property
    def mark(self) -> bytes:
        """What is the same for the same certificate and key alone."""
        return _sha256(self.cert + b"\0" + self.key)


class Material(Struct, frozen=True):
    """All of one configuration, by what stands there."""

    certificates: dict[str, Certified] = field(default_factory=dict)  # by `pair`
    authorities: dict[str, bytes] = field(default_factory=dict)  # PEM, by path
    pages: dict[str, bytes] = field(default_factory=dict)  # by path
    credentials: dict[str, bytes] = field(default_factory=dict)  # packed by their kind, by path
    trust: dict[str, bytes] = field(default_factory=dict)  # of the mesh: PEM, by trust domain

    def __bool__(self) -> bool:
        return self.is_secure or bool(self.pages or self.credentials)

    @property
    def is_secure(self) -> bool:
        """Whether some of it is for TLS."""
        return bool(self.certificates or self.authorities)

    def certified(self, cert: str, key: str) -> Certified:
        """ValueError if that was not read."""
        found = self.certificates.get(pair(cert, key))
        if found is None:
            raise ValueError(f"the certificate {cert} was not read")
        return found

    @property
    def mesh(self) -> Certified | None:
        """Who this sidecar is, once that is known."""
        return self.certificates.get(pair(MESH, MESH))

    @property
    def self_signed(self) -> Certified | None:
        """What was made at start, if a listener asks for that."""
        return self.certificates.get(pair(*SELF_SIGNED))

    def authority(self, path: str) -> bytes:
        """ValueError if that was not read."""
        found = self.authorities.get(path)
        if found is None:
            raise ValueError(f"the authorities {path} were not read")
        return found


NONE = Material()


def pair(cert: str, key: str) -> str:
    """The key under which a certificate and its private key lie."""
    return f"{cert}\n{key}"


def files(config: Config) -> Mapping[str, None]:
    """The paths of all that TLS reads, each of them once."""
    return dict.fromkeys(path for path in _files(config) if path != MESH)


def _files(config: Config) -> Iterator[str]:
    for listener in config.listen:
        tls = listener.tls
        if tls is not None:
            yield from filter(None, (tls.cert, tls.key, tls.client_ca))
            for one in tls.certificates:
                yield from filter(None, (one.cert, one.key))
    for upstream in config.upstream.values():
        yield from filter(None, (upstream.tls.ca, upstream.tls.cert, upstream.tls.key))
