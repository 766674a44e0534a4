"""Name and password (RFC 7617): what a request shows, what is known of it, and whether a hash fits.

`verify` takes some 30 ms and is called in a thread (`server/auth_basic.py`). What it found is
remembered by a keyed hash of name and password, so that nothing in memory is either of them. A
name that nobody has costs what others cost: its password is held against the hash of somebody
else, always the same one for the same name, and what comes of it is thrown away.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from hashlib import blake2b
from typing import Any

from proxy.access.check import Identity
from proxy.config.password_hashes import BCRYPT_MOST, is_argon2

LONGEST_NAME, LONGEST_PASSWORD = 255, 1024  # bytes
_LONGEST = 4 * (LONGEST_NAME + LONGEST_PASSWORD + 3) // 3 + 16  # of the field
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_REMEMBERED = 4096

Shown = tuple[str, bytes]  # name, password


def shown(field: bytes) -> Shown | None:
    """Name and password of an Authorization field that begins with "Basic"; None = malformed."""
    if len(field) > _LONGEST:
        return None
    try:
        text = a2b_base64(field[5:].strip(b" "), strict_mode=True)
        name, colon, password = text.decode("utf-8").partition(":")
    except (Error, UnicodeDecodeError):
        return None
    encoded = password.encode("utf-8")
    if not colon or not name or len(name.encode("utf-8")) > LONGEST_NAME:
        return None
    if len(encoded) > LONGEST_PASSWORD or _CONTROL.search(name) or _CONTROL.search(password):
        return None
    return name, encoded


def is_basic(field: bytes) -> bool:
    return field[:5].lower() == b"basic" and field[5:6] in (b" ", b"")


class Users:
    """The hashes of one file, by name."""

    __slots__ = ("_all", "_chooser", "_hashes", "_secret")

    def __init__(self, hashes: dict[str, str], secret: bytes) -> None:
        self._hashes = hashes
        self._all = tuple(sorted(hashes.values()))
        self._secret = secret
        # The same in all workers, and for who has the file alone: a name for which one worker takes
        # an Argon2id hash and the next one a bcrypt hash would be known for one that nobody has.
        self._chooser = blake2b("\n".join(self._all).encode("ascii"), digest_size=32).digest()

    def mark(self, name: str, password: bytes) -> bytes:
        """What stands for both in memory."""
        text = name.encode("utf-8") + b"\0" + password
        return blake2b(text, digest_size=16, key=self._secret).digest()

    def hash_for(self, name: str) -> tuple[str, bool]:
        """Which hash its password is held against, and whether that is its own."""
        own = self._hashes.get(name)
        if own is not None:
            return own, True
        number = blake2b(name.encode("utf-8"), digest_size=8, key=self._chooser).digest()
        return self._all[int.from_bytes(number, "big") % len(self._all)], False


def verify(hashed: str, password: bytes) -> bool:
    """Whether that is the password. Argon2 and bcrypt let other threads run meanwhile. Raises
    what they raise where that cannot be found out, such as for want of memory."""
    if is_argon2(hashed):
        from argon2 import exceptions, low_level

        try:
            return low_level.verify_secret(hashed.encode("ascii"), password, low_level.Type.ID)
        except exceptions.VerifyMismatchError:
            return False
    import bcrypt

    # A longer one is hashed in part by others, and by this library not at all. A shorter one in
    # its place costs the same, so that the time does not tell whose hash is bcrypt's.
    fits = bcrypt.checkpw(password[:BCRYPT_MOST], hashed.encode("ascii"))
    return fits and len(password) <= BCRYPT_MOST


class Remembered:
    """Passwords that were verified, and those that were wrong, each for a while. Wrong ones have a
    room of their own, so that nobody who guesses can push the right ones out."""

    __slots__ = ("_right", "_right_for", "_wrong", "_wrong_for")

    def __init__(self, right_for: float, wrong_for: float) -> None:
        self._right: dict[bytes, tuple[float, Identity]] = {}
        self._wrong: dict[bytes, float] = {}
        self._right_for = right_for
        self._wrong_for = wrong_for

    def right(self, mark: bytes, now: float) -> Identity | None:
        found = self._right.get(mark)
        if found is None or now >= found[0] or found[0] - now > self._right_for:
            return None  # unknown, or over, or the clock was set back
        return found[1]

    def is_wrong(self, mark: bytes, now: float) -> bool:
        until = self._wrong.get(mark, 0.0)
        return now < until <= now + self._wrong_for

    def note_right(self, mark: bytes, identity: Identity, now: float) -> None:
        if self._right_for:
            _make_room(self._right)
            self._right[mark] = now + self._right_for, identity

    def note_wrong(self, mark: bytes, now: float) -> None:
        if self._wrong_for:
            _make_room(self._wrong)
            self._wrong[mark] = now + self._wrong_for


def _make_room(known: dict[bytes, Any]) -> None:
    if len(known) >= _REMEMBERED:
        del known[next(iter(known))]
