"""Files of keys and of passwords: what is read, what is refused with line and remedy."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import access_basic, access_keys, key_form
from proxy.config.access_model import Mtls
from proxy.config.access_mtls import check as check_mtls
from proxy.config.key_table import NEVER, Key, KeyTable, Owner, pack
from proxy.config.report import Report
from proxy.errors import Problem

PLACE = ("auth", "keys", "file")
A, B = (hashlib.sha256(name.encode()) for name in "ab")
KEY = f'[[key]]\nname = "shop"\nhash = "sha256:{A.hexdigest()}"\n'


def read(folder: Path, text: str | bytes, module: object = access_keys) -> tuple[bytes, Report]:
    path, report = folder / "file", Report(str(folder / "routes.toml"))
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return module.read(str(path), report, PLACE), report  # type: ignore[attr-defined]


def only(report: Report) -> Problem:
    (problem,) = report.problems
    return problem


def test_all_that_may_be_said_of_a_key(tmp_path: Path) -> None:
    simple = (
        KEY
        + 'id = "abcdEFGH"\ncreated = 2026-01-01T00:00:00Z\nexpires = 2027-01-01T00:00:00Z\n'
        + 'disabled = true\nscopes = ["a", "b:c"]\n'
    )
    other = f"""
    # by hand
    [[ key ]]   # second
    'name' = 'shop'
    hash = '''sha256:{B.hexdigest()}'''
    expires = 2027-01-01T01:00:00+01:00
    scopes = [
      "a",  # one
      "b:c",
    ]
    disabled = true
    """
    packed, report = read(tmp_path, "\ufeff# keys\r\n" + simple + other)
    assert not report.problems
    table = KeyTable(packed)
    for digest in (A.digest(), B.digest()):
        found = table.find(digest)
        assert found is not None and found[:2] == (1798761600.0, True)
        assert table.owner(found[2]) == Owner("shop", ("a", "b:c"))
    assert table.find(hashlib.sha256(b"c").digest()) is None


def test_a_date_alone_is_its_beginning(tmp_path: Path) -> None:
    packed, _ = read(tmp_path, KEY + "expires = 2027-01-01\n")
    found = KeyTable(packed).find(A.digest())
    assert found is not None and found[0] == 1798761600.0


BAD_KEYS = [
    ("", "holds no key: nobody could come in", "spangate key add NAME"),
    ("# nothing\n", "holds no key", "spangate key add NAME"),
    ("name = 1\n" + KEY, "line 1: what stands there belongs to no key", "[[key]]"),
    ('[[key]]\nname = "a"\n', "line 1: this key has no `hash`", "spangate key add"),
    (KEY.replace('name = "shop"\n', ""), "line 1: this key has no `name`", ""),
    (KEY.replace("sha256:", "md5:"), "line 3: `hash` must be", "spangate key add"),
    (KEY.replace("sha256:", ""), "line 3: `hash` must be", ""),
    (KEY.replace(A.hexdigest(), A.hexdigest()[1:]), "line 3: `hash` must be", ""),
    (KEY.replace(A.hexdigest(), A.hexdigest().upper()), "line 3: `hash` must be", ""),
    (KEY.replace(f'"sha256:{A.hexdigest()}"', "1"), "line 3: `hash` must be a text", ""),
    (KEY.replace("shop", ""), "line 2: '' cannot be a name", ""),
    (KEY.replace("shop", "a b"), "line 2: 'a b' cannot be a name", ""),
    (KEY.replace("shop", "bücher"), "line 2: 'bücher' cannot be a name", ""),
    (KEY.replace("shop", "a\\nb"), "line 2: 'a\\nb' cannot be a name", ""),
    (KEY + KEY, "line 6: the same hash as in line 3", "leave out one"),
    (KEY + "exipres = 2027-01-01\n", "line 4: unknown key `exipres`", "did you mean `expires`?"),
    (KEY + 'expires = "2027-01-01"\n', "line 4: `expires` must be a time", "2027-01-31T"),
    (KEY + "expires = 2027-01-01T00:00:00\n", "line 4: `expires` must be a time", "00Z"),
    (KEY + "expires = 2027-13-01T00:00:00Z\n", "line 4: `expires` must be a time", ""),
    (KEY + 'created = "x"\n', "line 4: `created` must be a time", ""),
    (KEY + "disabled = 1\n", "line 4: `disabled` must be true or false", ""),
    (KEY + 'disabled = "true"\n', "line 4: `disabled` must be true or false", ""),
    (KEY + 'scopes = "a"\n', "line 4: `scopes` must be a list", ""),
    (KEY + 'scopes = ["a b"]\n', "line 4: 'a b' is no scope", ""),
    (KEY + "scopes = [1]\n", "line 4: 1 is no scope", ""),
    (KEY + 'name = "b"\n', "line 4: Cannot overwrite a value", "the file is TOML"),
    (KEY + "\n\nwhat\n", "line 6: ", "the file is TOML"),
    (KEY + "\n[other]\na = 1\n", "line 5: unknown table [other]", "[[key]]"),
    (b"\xff\xfe" + KEY.encode(), "is not UTF-8", ""),
]


@pytest.mark.parametrize(("text", "says", "remedy"), BAD_KEYS)
def test_files_of_keys_that_are_refused(
    tmp_path: Path, text: str | bytes, says: str, remedy: str
) -> None:
    packed, report = read(tmp_path, text)
    assert packed == b""
    assert says in only(report).message
    assert remedy in only(report).remedy
    assert A.hexdigest()[:16] not in str(only(report))


def test_all_mistakes_are_told_but_not_without_end(tmp_path: Path) -> None:
    packed, report = read(tmp_path, KEY.replace("sha256", "md5") * 100)
    assert packed == b""
    assert len(report.problems) == 21
    assert "more mistakes" in report.problems[-1].message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    report = Report(str(tmp_path / "routes.toml"))
    for module in (access_keys, access_basic):
        assert module.read(str(tmp_path / "none"), report, PLACE) == b""
        assert module.read("a\0b", report, PLACE) == b""
    assert "no such file" in report.problems[0].message
    assert "spangate key add" in report.problems[0].remedy


HASH = f"$argon2id$v=19$m=8192,t=2,p=1${'a' * 22}${'b' * 43}"
BCRYPT = "$2y$10$" + "a" * 53
BAD_PASSWORDS = [
    ("", "holds no user", "spangate password NAME"),
    ("ann:$apr1$abc$def\n", "line 1: of 'ann' the hash is MD5 ($apr1$)", "spangate password ann"),
    ("#\n\nann:$1$abc$def\n", "line 3: of 'ann' the hash is MD5 ($1$)", "spangate password ann"),
    ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "line 1: of 'ann' the hash is SHA-1", ""),
    ("ann:$6$abc$def\n", "line 1: of 'ann' the hash is SHA-512", ""),
    ("ann:$5$abc$def\n", "line 1: of 'ann' the hash is SHA-256", ""),
    ("ann:rqXexS6ZhobKA\n", "line 1: of 'ann' the hash is crypt's", ""),
    ("ann:hunter2!\n", "line 1: of 'ann' this is no hash, perhaps the password", ""),
    ("ann:\n", "line 1: of 'ann' there is no hash", ""),
    ("ann\n", "line 1: this is no NAME:HASH", ""),
    (f":{HASH}\n", "line 1: this is no NAME:HASH", ""),
    (f"a\tb:{HASH}\n", "line 1: this is no NAME:HASH", ""),
    (f"ann:{HASH}\nann:{HASH}\n", "line 2: 'ann' is in line 1 already", "leave out one"),
    (f"ann:{HASH}:x\n", "line 1: of 'ann' the Argon2id hash is cut off or broken", ""),
    (f"ann:{HASH[:-30]}\n", "line 1: of 'ann' the Argon2id hash is cut off or broken", ""),
    ("ann:" + HASH.replace("argon2id", "argon2i"), "line 1: of 'ann' the hash is Argon2i,", ""),
    ("ann:" + HASH.replace("m=8192", "m=4194304"), "asks for more than 256 MiB", ""),
    ("ann:" + HASH.replace("m=8192", "m=1024"), "is made too quickly", ""),
    ("ann:" + HASH.replace("t=2", "t=99"), "asks for more than", ""),
    ("ann:" + BCRYPT.replace("$10$", "$04$"), "the cost of the bcrypt hash is 4", ""),
    ("ann:" + BCRYPT.replace("$10$", "$31$"), "the cost of the bcrypt hash is 31", ""),
    ("ann:" + BCRYPT[:-1], "the bcrypt hash is cut off", ""),
    (b"ann:\xff\n", "is not UTF-8", ""),
]


@pytest.mark.parametrize(("text", "says", "remedy"), BAD_PASSWORDS)
def test_files_of_passwords_that_are_refused(
    tmp_path: Path, text: str | bytes, says: str, remedy: str
) -> None:
    packed, report = read(tmp_path, text, access_basic)
    assert packed == b""
    assert says in only(report).message
    assert remedy in only(report).remedy
    assert "hunter2" not in str(only(report))


def test_a_file_of_passwords(tmp_path: Path) -> None:
    text = f"# people\r\nann:{HASH}\r\n\r\nbüro 2:{BCRYPT}"
    packed, report = read(tmp_path, text, access_basic)
    assert not report.problems
    assert msgspec.msgpack.decode(packed) == {"ann": HASH, "büro 2": BCRYPT}
    (tmp_path / "file").chmod(0o644)
    assert access_basic.read(str(tmp_path / "file"), report, PLACE) == packed
    assert only(report).warning and "chmod 600" in only(report).remedy


# the table, and the form of keys


def owner_of(table: KeyTable, digest: bytes) -> str:
    found = table.find(digest)
    assert found is not None and found[:2] == (NEVER, False)
    return table.owner(found[2]).name


@given(
    st.sets(st.binary(min_size=32, max_size=32), max_size=60), st.binary(min_size=32, max_size=32)
)
def test_a_table_finds_what_is_in_it_and_nothing_else(digests: set[bytes], other: bytes) -> None:
    table = KeyTable(pack((digest, Key(Owner(digest.hex()))) for digest in digests))
    for digest in digests:
        assert owner_of(table, digest) == digest.hex()
    assert (table.find(other) is None) == (other not in digests)


def test_a_large_table() -> None:
    digests = [hashlib.sha256(b"%d" % n).digest() for n in range(20_000)]
    table = KeyTable(pack((digest, Key(Owner(str(n % 900)))) for n, digest in enumerate(digests)))
    assert all(owner_of(table, digest) == str(n % 900) for n, digest in enumerate(digests))
    assert not any(table.find(hashlib.sha256(b"x%d" % n).digest()) for n in range(2_000))


@given(st.integers(0, 2**32), st.integers(0, 49), st.sampled_from("09azAZ_-"))
def test_typos_in_keys_are_told_from_unknown_ones(seed: int, at: int, letter: str) -> None:
    key = key_form.new(Random(seed).randrange)
    assert not key_form.is_broken(key.encode())
    assert key_form.id_of(key) == key[3:11]
    at = 3 + at % (len(key) - 3)
    changed = key[:at] + letter + key[at + 1 :]
    assert key_form.is_broken(changed.encode()) == (changed != key)
    assert key_form.is_broken(key[:-1].encode())


@given(st.binary(max_size=60))
def test_keys_of_others_are_not_broken(key: bytes) -> None:
    assert key_form.is_broken(key) <= key.startswith(b"sg_")


@given(st.text(st.sampled_from('[key]="\n#ah:sn ,'), max_size=80))
def test_whatever_is_in_a_file_is_read_as_toml_reads_it(text: str) -> None:
    """Each key by itself; the short way must not take what the grammar does not."""
    for line in text.split("\n"):
        said = access_keys._SIMPLE.fullmatch(line)
        if said is not None:
            assert tomllib.loads(line) == {said[1]: access_keys._plain(said)}


MTLS = [
    ("spiffe://partner/*", ""),
    ("spiffe://partner/orders", ""),
    ("https://a.example/x", ""),
    ("spiffe://partner*", "would hold for other names"),
    ("spiffe://partner/a*", "would hold for other names"),
    ("*", "would hold for other names"),
    ("spiffe://*/a", "is not a URI"),
    ("partner/orders", "is not a URI"),
    ("spiffe://partner/a b", "is not a URI"),
    ("spiffe://partner/a\n", "is not a URI"),
    ("", "is not a URI"),
]


@pytest.mark.parametrize(("identity", "says"), MTLS)
def test_identities_that_are_refused(identity: str, says: str) -> None:
    report = Report("routes.toml")
    check_mtls(Mtls(identities=[identity]), report, ("auth", "a", "mtls"))
    assert [says in problem.message for problem in report.problems] == ([True] if says else [])


@pytest.mark.parametrize(
    "subject", ["", "orders", "CN", "CN=", "CN=a,", "=a", "CN=#04", "CN=a\\", "CN=a\\q", "C N=a"]
)
def test_subjects_that_are_refused(subject: str) -> None:
    report = Report("routes.toml")
    check_mtls(Mtls(subjects=[subject]), report, ("auth", "a", "mtls"))
    assert 'write "CN=orders"' in only(report).remedy
