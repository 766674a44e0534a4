"""Public keys of issuers and shared secrets, in the form in which workers get them.

Whoever reads a JWKS or a file judges what is in it; a worker finds the few facts here that bind a
key to its algorithms, and has no parser of JWKs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

RSA, P256, P384, P521, EDDSA, SECRET = "RSA", "P-256", "P-384", "P-521", "EdDSA", "oct"

# Which kind of key an algorithm takes (RFC 7518 §3.1, RFC 8037 §3.1).
KIND = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": P256,
    "ES384": P384,
    "ES512": P521,
    "EdDSA": EDDSA,
    **dict.fromkeys(("HS256", "HS384", "HS512"), SECRET),
}
# Bytes that a secret has at least (RFC 7518 §3.2).
SHORTEST = {"HS256": 32, "HS384": 48, "HS512": 64}


class PackedKey(msgspec.Struct, frozen=True, array_like=True):
    """One key."""

    kid: str  # "" = it has none
    kind: str  # one of those above
    alg: str  # the only algorithm that it is for; "" = all of its kind
    data: bytes  # DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); of SECRET: the key itself


def pack(keys: Iterable[PackedKey]) -> bytes:
    """What `unpack` reads; the same for the same keys in any order."""
    return msgspec.msgpack.encode(sorted(keys, key=lambda k: (k.kid, k.kind, k.alg, k.data)))


def unpack(packed: bytes) -> list[PackedKey]:
    """ValueError for what `pack` has not made; b"" holds none."""
    return _keys.decode(packed) if packed else []


def is_url(jwks: str) -> bool:
    """Whether they are to be fetched; else it is the path of a file, "" = neither."""
    return "://" in jwks


_keys = msgspec.msgpack.Decoder(list[PackedKey])
