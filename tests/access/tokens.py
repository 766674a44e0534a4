"""Tokens and keys as an issuer makes them, and as nobody should: every part can be written by
hand."""

from __future__ import annotations

import base64
import hmac
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.config.access_jwks import parse
from proxy.config.packed_keys import pack

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://idp.test", "shop"
SECRET = b"0123456789abcdef" * 4

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
KIND_OF = {
    "RS": "RSA", "PS": "RSA", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521",
    "EdDSA": "Ed25519",
}  # fmt: skip


def private(kind: str = "RSA", number: int = 0) -> Any:
    """A key, always the same; `number` tells several of a kind apart."""
    return _private(kind, number)


@cache
def _private(kind: str, number: int) -> Any:
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ed25519.Ed25519PrivateKey.generate()


def kind_of(alg: str) -> str:
    return KIND_OF.get(alg) or KIND_OF[alg[:2]]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    """The public half of a private key."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point, size = public.public_numbers(), (public.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.key_size]
        return {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size),
                **more}  # fmt: skip
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    curve = "Ed448" if isinstance(public, ed448.Ed448PublicKey) else "Ed25519"
    return {"kty": "OKP", "crv": curve, "x": b64(raw), **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def packed(*keys: dict[str, Any]) -> bytes:
    """As a worker gets them."""
    found, useless = parse(jwks(*keys))
    assert not useless
    return pack(found)


def pem(key: Any) -> bytes:
    made: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made


def claims(**more: Any) -> dict[str, Any]:
    """Good ones; those that are None are left out."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 600, "iat": NOW, **more}
    return {name: value for name, value in said.items() if value is not None}


def signature(key: Any, alg: str, signed: bytes) -> bytes:
    if isinstance(key, bytes):
        return hmac.digest(key, signed, f"sha{alg[2:]}")
    if alg == "EdDSA":
        return key.sign(signed)  # type: ignore[no-any-return]
    digest: Any = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[alg[2:]]()
    if alg.startswith("ES"):
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("PS"):
        way: Any = padding.PSS(padding.MGF1(digest), digest.digest_size)
    else:
        way = padding.PKCS1v15()
    return key.sign(signed, way, digest)  # type: ignore[no-any-return]


def token(
    said: dict[str, Any] | str | bytes | None = None,
    key: Any = None,
    alg: str = "RS256",
    head: dict[str, Any] | str | None = None,
) -> bytes:
    """A token; `said` and `head` as text are taken as they are."""
    key = private(kind_of(alg)) if key is None else key
    first = head if isinstance(head, str) else json.dumps({"alg": alg, "kid": "k1", **(head or {})})
    said = claims() if said is None else said
    second = json.dumps(said) if isinstance(said, dict) else said
    second = second.encode() if isinstance(second, str) else second
    return sealed(b64(first.encode()), b64(second), key, alg)


def sealed(first: str, second: str, key: Any, alg: str) -> bytes:
    """Of parts that are written already."""
    signed = f"{first}.{second}".encode()
    return signed + b"." + b64(signature(key, alg, signed)).encode()
