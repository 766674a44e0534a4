"""The keys of one issuer, ready to verify with, and which of them may verify what.

A key is bound to its algorithms by its kind and never by the token: a public key is no secret of
an HMAC, a key of one curve verifies nothing of another (RFC 8725 §3.1, §3.2). A set is never
changed; new keys are a new one, which is how results that were remembered come to their end.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from proxy.config.packed_keys import (
    EDDSA,
    KIND,
    P256,
    P384,
    P521,
    RSA,
    SECRET,
    SHORTEST,
    PackedKey,
    unpack,
)

TRIED = 4  # keys that are tried with one token, where its head names none or several have its name

_COORDINATE = {"ES256": 32, "ES384": 48, "ES512": 66}  # bytes of r and of s (RFC 7518 §3.4)

LONG = 150  # microseconds; what takes longer is verified off the loop
_TAKES = {SECRET: 3, P256: 110, P384: 750, P521: 550}  # microseconds of a signature, about
_ED448 = 69  # bytes of DER; Ed25519 has 44

Verify = Callable[[str, bytes, bytes], bool]  # algorithm, what is signed, signature


class Key:
    """One key. It is taken out of its DER form when it is first asked for."""

    __slots__ = ("_packed", "_verify")

    def __init__(self, packed: PackedKey) -> None:
        self._packed = packed
        self._verify: Verify | None = None

    def fits(self, alg: str) -> bool:
        """Whether it may verify that algorithm."""
        packed = self._packed
        if packed.kind == SECRET and len(packed.data) < SHORTEST.get(alg, 0):
            return False  # RFC 7518 §3.2: as long as the digest, at least
        return packed.kind == KIND.get(alg) and (not packed.alg or packed.alg == alg)

    def verifies(self, alg: str, signed: bytes, signature: bytes) -> bool:
        """Whether it has signed that; `alg` is one that it fits."""
        if self._verify is None:
            self._verify = _load(self._packed)
        return self._verify(alg, signed, signature)

    @property
    def takes(self) -> int:
        """Microseconds of `verifies`, about."""
        kind, size = self._packed.kind, len(self._packed.data)
        if kind == RSA:
            return (size // 64) ** 2  # the bits squared: 16 for 2048, 64 for 4096, 256 for 8192
        if kind == EDDSA:
            return 115 if size < _ED448 else 220
        return _TAKES[kind]


class KeySet:
    """All of an issuer's keys."""

    __slots__ = ("_all", "_named", "_nameless")

    def __init__(self, *packed: bytes) -> None:
        """ValueError for what `packed_keys.pack` has not made."""
        self._all: list[Key] = []
        self._named: dict[str, list[Key]] = {}
        self._nameless: list[Key] = []
        for one in [key for some in packed for key in unpack(some)]:
            key = Key(one)
            self._all.append(key)
            (self._named.setdefault(one.kid, []) if one.kid else self._nameless).append(key)

    def __len__(self) -> int:
        return len(self._all)

    def has(self, kid: str) -> bool:
        """Whether a key has that name."""
        return kid in self._named

    def candidates(self, kid: str, alg: str) -> list[Key]:
        """Those that may have signed: of that name, or without a name; "" = all that fit."""
        named = self._named.get(kid, self._nameless) if kid else self._all
        return [key for key in named if key.fits(alg)][:TRIED]


def is_long(candidates: Iterable[Key]) -> bool:
    """Whether to try them all may take longer than the loop should be held."""
    return sum(key.takes for key in candidates) > LONG


def warm(algorithms: Iterable[str]) -> None:
    """Import what verifies them now, and not while the first request waits: 40 ms."""
    if {KIND[name] for name in algorithms} - {SECRET}:
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        del ec, padding, utils, load_der_public_key


def _load(packed: PackedKey) -> Verify:
    """What verifies with it. All that it needs is looked up here, once."""
    if packed.kind == SECRET:
        return _secret(packed.data)
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return _MAKE[packed.kind](load_der_public_key(packed.data))


def _secret(secret: bytes) -> Verify:
    def verify(alg: str, signed: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, signed, f"sha{alg[2:]}"), signature)

    return verify


def _rsa(key: Any) -> Verify:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding

    ways: dict[str, tuple[Any, Any]] = {}
    for size, digest in _digests().items():
        ways[f"RS{size}"] = (padding.PKCS1v15(), digest)
        # RFC 7518 §3.5: the salt is as long as the digest
        ways[f"PS{size}"] = (padding.PSS(padding.MGF1(digest), digest.digest_size), digest)

    def verify(alg: str, signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed, *ways[alg])
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def _ecdsa(key: Any) -> Verify:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    ways = {f"ES{size}": ec.ECDSA(digest) for size, digest in _digests().items()}

    def verify(alg: str, signed: bytes, signature: bytes) -> bool:
        size = _COORDINATE[alg]
        if len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        if not r or not s:
            return False  # CVE-2022-21449
        try:
            key.verify(utils.encode_dss_signature(r, s), signed, ways[alg])
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def _eddsa(key: Any) -> Verify:
    from cryptography.exceptions import InvalidSignature

    def verify(alg: str, signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def _digests() -> dict[str, Any]:
    from cryptography.hazmat.primitives import hashes

    return {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


_MAKE: dict[str, Callable[[Any], Verify]] = {
    RSA: _rsa,
    P256: _ecdsa,
    P384: _ecdsa,
    P521: _ecdsa,
    EDDSA: _eddsa,
}
