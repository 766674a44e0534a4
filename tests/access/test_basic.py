"""What an Authorization field shows, how a password is judged, and what is remembered of both."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode

import bcrypt
import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.basic import Remembered, Users, is_basic, shown, verify
from proxy.access.check import Identity
from proxy.config.password_hashes import problem
from proxy.credentials.passwords import hashed

SECRET = bytes(32)
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(PRINTABLE, PRINTABLE)
def test_what_is_written_is_read(name: str, password: str) -> None:
    field = b"Basic " + b64encode(f"{name}:{password}".encode())
    name, password = f"{name}:{password}".split(":", 1)
    fits = 0 < len(name.encode()) <= 255 and len(password.encode()) <= 1024
    assert is_basic(field)
    assert shown(field) == ((name, password.encode()) if fits else None)


@given(st.binary(max_size=200))
def test_bytes_of_strangers_are_read_or_malformed(rest: bytes) -> None:
    found = shown(b"basic " + rest)
    if found is not None:
        name, password = found
        assert b64decode(rest.strip(b" ")) == name.encode() + b":" + password
        assert not any(ord(c) < 32 for c in name)


@given(PRINTABLE)
def test_hashes_of_files_are_judged_whatever_they_are(text: str) -> None:
    assert problem(text) != "" or text.startswith(("$argon2id$", "$2"))


def test_passwords_against_hashes() -> None:
    for by_bcrypt in (False, True):
        made = hashed("pässwörd", by_bcrypt)
        assert problem(made) == ""
        assert verify(made, "pässwörd".encode())
        assert not verify(made, "pässword".encode())
        assert not verify(made, b"")
    long = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(8)).decode()
    assert verify(long, b"x" * 72)
    assert not verify(long, b"x" * 73)
    assert verify(long.replace("$2b$", "$2y$"), b"x" * 72)


@pytest.mark.parametrize("kind", ["argon2", "bcrypt"])
def test_others_run_while_a_password_is_hashed(kind: str) -> None:
    """It takes a second or less, in which Python would come to nothing if the lock were held."""
    by_argon2, by_bcrypt = PasswordHasher(3, 64 * 1024, 1), bcrypt.gensalt(12)
    made = by_argon2.hash("a") if kind == "argon2" else bcrypt.hashpw(b"a", by_bcrypt).decode()
    steps, done = 0, threading.Event()

    def work() -> None:
        verify(made, b"b")
        done.set()

    threading.Thread(target=work).start()
    while not done.is_set():
        steps += 1
    assert steps > 10_000


def test_an_unknown_name_costs_what_a_known_one_costs() -> None:
    users = Users({"ann": "hash-a", "bob": "hash-b"}, SECRET)
    assert users.hash_for("ann") == ("hash-a", True)
    found = {name: users.hash_for(name) for name in map(str, range(40))}
    assert {hashed for hashed, _ in found.values()} == {"hash-a", "hash-b"}
    assert not any(is_own for _, is_own in found.values())
    other = Users({"bob": "hash-b", "ann": "hash-a"}, b"x" * 32)  # another worker, another secret
    assert found == {name: other.hash_for(name) for name in found}
    changed = Users({"ann": "hash-a", "bob": "hash-c"}, SECRET)  # who has no file cannot tell
    assert [h == "hash-a" for h, _ in found.values()] != [
        changed.hash_for(name)[0] == "hash-a" for name in found
    ]


def test_marks_tell_nothing_and_do_not_collide() -> None:
    users, others = Users({"a": "h"}, SECRET), Users({"a": "h"}, b"x" * 32)
    assert users.mark("a", b"bc") != users.mark("ab", b"c")
    assert users.mark("a", b"b") != others.mark("a", b"b")


def test_what_is_remembered_and_for_how_long() -> None:
    known, one = Remembered(60.0, 10.0), Identity("old", "ann")
    known.note_right(b"r", one, 1000.0)
    known.note_wrong(b"w", 1000.0)
    assert known.right(b"r", 1059.9) is one
    assert known.right(b"r", 1060.0) is None
    assert known.right(b"r", 900.0) is None  # the clock was set back
    assert known.right(b"w", 1001.0) is None
    assert known.is_wrong(b"w", 1009.9) and not known.is_wrong(b"w", 1010.0)
    assert not known.is_wrong(b"r", 1001.0)
    for n in range(10_000):  # who guesses pushes nobody out
        known.note_wrong(b"%d" % n, 1001.0)
    assert known.right(b"r", 1002.0) is one
    assert not known.is_wrong(b"w", 1002.0)
