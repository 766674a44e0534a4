"""Trust domains for tests of the data plane: authorities, identities, and what workers know."""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from proxy.config.material import MESH, Certified, Material, pair
from proxy.config.spiffe import parse
from proxy.config.x509_making import begun, named, new_key, pem, pem_of_key
from proxy.mesh import ca

_FOLDER = TemporaryDirectory()

MESH_TABLE = """
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
identity = { ca = "files:///nowhere" }
"""
IN = 'when = { listener = "in" }'  # of a route
INBOUND = """
[[listen]]
name = "in"
address = ":8443"
tls = { cert = "mesh:", key = "mesh:", client_ca = "mesh:" }
"""


@cache
def authority(domain: str) -> ca.Authority:
    return ca.founded(domain, time.time())


@dataclasses.dataclass(frozen=True)
class Who:
    """One workload."""

    id: str
    cert: bytes
    key: bytes

    def files(self) -> tuple[Path, Path]:
        stem = Path(_FOLDER.name) / str(abs(hash((self.id, self.cert))))
        cert, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        cert.write_bytes(self.cert)
        key.write_bytes(self.key)
        return cert, key


def workload(id: str, *, by: str = "", ttl: float = 3600, now: float = 0.0) -> Who:
    """`by`: the trust domain whose authority signs, if that is another one."""
    who = parse(id)
    now = now or time.time()
    root = authority(by or who.domain).signer(now)
    if by:
        cert, key = _forged(root, id, now + ttl)
    else:
        cert, key = ca.issue(root, who, ttl, now)
    return Who(id, cert, key)


def _forged(root: ca.Root, id: str, end: float) -> tuple[bytes, bytes]:
    """What an honest authority would not sign."""
    return signed(root, uris(id), end=end)


def uris(*names: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names])


def signed(
    root: ca.Root, *names: object, end: float, is_ca: bool = False, start: float = 0.0
) -> tuple[bytes, bytes]:
    """A leaf with these extensions."""
    signer = load_pem_private_key(root.key.encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(root.cert.encode()).subject
    key, begin = new_key(), datetime.fromtimestamp(start or time.time(), UTC) - timedelta(minutes=1)
    times = (begin, datetime.fromtimestamp(end, UTC))
    builder = begun(named("leaf"), issuer, key.public_key(), *times)
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    for name in names:
        builder = builder.add_extension(name, critical=False)  # type: ignore[arg-type]
    cert = builder.sign(signer, SHA256())
    return pem(cert), pem_of_key(key)


def roots(domain: str) -> bytes:
    return authority(domain).bundle(time.time())


def material(who: Who, *others: str) -> Material:
    """What a sidecar knows that is `who`, and believes its own trust domain and others."""
    own = parse(who.id).domain
    trust: Mapping[str, bytes] = {domain: roots(domain) for domain in (own, *others)}
    certified = Certified(who.cert, who.key, uris=[who.id])
    return Material({pair(MESH, MESH): certified}, trust=dict(trust))


def client(who: Who | None, *trusts: str) -> ssl.SSLContext:
    """Of a peer that is not ours: plain OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=b"".join(map(roots, trusts or ("mesh",))).decode())
    if who is not None:
        context.load_cert_chain(*who.files())
    return context


def server(who: Who, *trusts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*who.files())
    context.load_verify_locations(cadata=b"".join(map(roots, trusts or ("mesh",))).decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context
