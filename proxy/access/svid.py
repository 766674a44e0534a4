"""Whether a certificate says who a workload is: the rules of SPIFFE for the leaf (X.509-SVID §5.2).

That its chain leads to an authority that counts, its times and its purpose are verified by
OpenSSL; whether that authority is one of its own trust domain is `server/tls_mesh.py`'s.
"""

from __future__ import annotations

from functools import lru_cache

from proxy.config.spiffe import SpiffeId, parse
from proxy.http.x509 import CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN, facts


@lru_cache(256)
def identity(der: bytes) -> SpiffeId:
    """Who the leaf is of; ValueError in words that fit behind "has a certificate that".

    Remembered: the same few peers connect again and again, and reading takes 30 us.
    """
    try:
        found = facts(der)
    except ValueError:
        raise ValueError("cannot be read") from None
    if found.is_ca:
        raise ValueError("is one of an authority, which is no workload")
    if found.usage is not None:
        if found.usage & (KEY_CERT_SIGN | CRL_SIGN):
            raise ValueError("may sign others, which those of workloads must not")
        if not found.usage & DIGITAL_SIGNATURE:
            raise ValueError("may not sign handshakes")
    if len(found.uris) != 1:
        number = len(found.uris) or "no"
        raise ValueError(f"has {number} URI names, where there must be one")
    try:
        who = parse(found.uris[0])
    except ValueError as error:
        raise ValueError(f"has a URI that is no SPIFFE ID: {error}") from None
    if not who.path:
        raise ValueError("names a trust domain and no workload")
    return who
