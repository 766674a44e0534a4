"""Values that strangers keep for us and can neither read nor change: AES-256-GCM.

A seal is bound to a purpose by its key: what was sealed for another one, another check or another
issuer cannot be opened. Keys are derived (HKDF, RFC 5869) from lines of a secret, the first of
which seals and all of which open, so that a secret can be replaced without ending sessions.
A nonce is 96 random bits, which is good for 2**32 seals of one key (NIST SP 800-38D §8.3).
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from typing import Any

VERSION = b"\x01"  # of the form below: VERSION, nonce, ciphertext with its tag; base64url
NONCE = 12  # bytes
SHORTEST = 32  # characters of a line of the secret

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")


def lines_of(secret: str) -> list[str]:
    """The secrets that a text holds, one a line."""
    return [line.strip() for line in secret.splitlines() if line.strip()]


class Sealer:
    """Of one purpose. `cryptography` is imported here, and not with the module."""

    __slots__ = ("_ciphers", "_purpose")

    def __init__(self, secret: str, purpose: bytes) -> None:
        """ValueError if there is no secret in it."""
        self._purpose = purpose
        self._ciphers = [_cipher(line.encode(), purpose) for line in lines_of(secret)]
        if not self._ciphers:
            raise ValueError("there is no secret to seal with")

    def seal(self, data: bytes, nonce: bytes) -> bytes:
        """`nonce`: NONCE random bytes."""
        sealed = self._ciphers[0].encrypt(nonce, data, VERSION)
        text = b2a_base64(VERSION + nonce + sealed, newline=False)
        return text.translate(_TO_URL).rstrip(b"=")

    def open(self, text: bytes) -> bytes | None:
        """What was sealed; None if it was not sealed by this secret for this purpose."""
        try:
            data = a2b_base64(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
        except Error:
            return None
        if data[:1] != VERSION or len(data) < 1 + NONCE + 16:
            return None
        nonce, sealed = data[1 : 1 + NONCE], data[1 + NONCE :]
        for cipher in self._ciphers:
            opened = _opened(cipher, nonce, sealed)
            if opened is not None:
                return opened
        return None


def _opened(cipher: Any, nonce: bytes, sealed: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        opened: bytes = cipher.decrypt(nonce, sealed, VERSION)
    except InvalidTag:
        return None
    return opened


def _cipher(secret: bytes, purpose: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), 32, b"spangate", purpose).derive(secret))
