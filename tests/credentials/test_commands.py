"""`spangate key` and `spangate password`: what they write, what they print, what they refuse."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.access.basic import verify
from proxy.cli import main
from proxy.config import access_basic, access_keys, key_form
from proxy.config.key_table import KeyTable, Owner
from proxy.config.report import Report


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, words, input=stdin)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_printed_once_and_its_hash_is_what_the_gateway_reads(folder: Path) -> None:
    done = run("key", "add", "shop", "--expires", "90d", "--scope", "a:b", "--scope", "c")
    key = done.stdout.strip()
    assert done.exit_code == 0
    assert re.fullmatch(r"sg_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}", key)
    assert not key_form.is_broken(key.encode())
    text = (folder / "keys.toml").read_text()
    assert key not in text and key[12:44] not in text
    assert mode(folder / "keys.toml") == 0o600
    report = Report("routes.toml")
    packed = access_keys.read("keys.toml", report, ("auth",))
    assert not report.problems
    table = KeyTable(packed)
    found = table.find(hashlib.sha256(key.encode()).digest())
    assert found is not None and table.owner(found[2]) == Owner("shop", ("a:b", "c"))
    (said,) = tomllib.loads(text)["key"]
    assert round((said["expires"] - said["created"]).total_seconds()) == 90 * 86400
    assert run("key", "add", "shop").stdout.strip() != key


def test_comments_and_other_keys_stay(folder: Path) -> None:
    file = folder / "keys.toml"
    for name in ("one", "two", "three", "two"):
        run("key", "add", name)
    text = "# all keys\n\n" + file.read_text().replace(
        '[[key]]\nname = "three"', '# of the third\n[[key]]\nname = "three"'
    )
    file.write_text(text)
    file.chmod(0o640)
    ids = [one["id"] for one in tomllib.loads(text)["key"]]
    done = run("key", "remove", "two")
    assert (done.exit_code, done.stdout) == (0, f"removed 2: {ids[1]} {ids[3]}\n")
    assert run("key", "remove", ids[0]).exit_code == 0
    left = file.read_text()
    assert [one["name"] for one in tomllib.loads(left)["key"]] == ["three"]
    assert left.startswith("# all keys\n") and "# of the third\n[[key]]\n" in left
    assert mode(file) == 0o640
    again = run("key", "remove", "two")
    assert again.exit_code == 1 and "has no key 'two'" in again.stderr
    assert file.read_text() == left
    assert list(folder.iterdir()) == [file]


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "keys.toml").symlink_to("real/keys.toml")
    run("key", "add", "one")
    assert (folder / "keys.toml").is_symlink()
    assert (folder / "real" / "keys.toml").is_file()


def test_keys_are_listed_without_their_hashes(folder: Path) -> None:
    run("key", "add", "shop", "--scope", "a")
    text = (folder / "keys.toml").read_text()
    digest = tomllib.loads(text)["key"][0]["hash"]
    (folder / "keys.toml").write_text(
        text
        + f'[[key]]\nname = "old"\nhash = "sha256:{"0" * 64}"\nexpires = 2020-01-01\n'
        + f'[[key]]\nname = "off"\nhash = "sha256:{"1" * 64}"\ndisabled = true\n'
    )
    done = run("key", "list")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1:3] for row in rows[1:]] == [
        ["shop", "live"],
        ["old", "expired"],
        ["off", "disabled"],
    ]
    assert rows[2][0] == "00000000"
    assert digest[7:] not in done.stdout
    assert run("key", "list", "--file", "none").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("key", "add", "a b"),
        ("key", "add", ""),
        ("key", "add", "bü"),
        ("key", "add", "a", "--expires", "90"),
        ("key", "add", "a", "--expires", "0s"),
        ("key", "add", "a", "--expires", "9000000d"),
        ("key", "add", "a", "--scope", "a b"),
        ("key", "add", "a", "--file", "none/keys.toml"),
        ("password", "a:b"),
        ("password", "#a"),
        ("password", "a\nb"),
        ("password", "a", "--file", "none/users"),
    ],
)
def test_what_is_refused_writes_nothing(folder: Path, words: tuple[str, ...]) -> None:
    assert run(*words, stdin="hunter2\n").exit_code != 0
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("password", "flags"),
    [("", ()), ("a\x01b", ()), ("x" * 1025, ()), ("x" * 73, ("--bcrypt",))],
)
def test_passwords_that_are_refused(folder: Path, password: str, flags: tuple[str, ...]) -> None:
    done = run("password", "ann", *flags, stdin=password + "\n")
    assert done.exit_code == 1
    assert not list(folder.iterdir())


def test_passwords_are_written_and_replaced(folder: Path) -> None:
    file = folder / "users.htpasswd"
    assert run("password", "ann", stdin="one two \r\n").stdout == "added ann in users.htpasswd\n"
    assert run("password", "bob", "--bcrypt", stdin="hunter2").exit_code == 0
    file.write_text("# people\n" + file.read_text())
    first = file.read_text()
    assert run("password", "ann", stdin="three\nfour\n").stdout == "changed ann in users.htpasswd\n"
    lines = file.read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["# people", "ann", "bob"]
    assert lines[2] == first.splitlines()[2] and lines[2].startswith("bob:$2b$12$")
    assert verify(first.splitlines()[1].partition(":")[2], b"one two ")
    assert verify(lines[1].partition(":")[2], b"three")
    assert mode(file) == 0o600
    report = Report("routes.toml")
    assert access_basic.read(str(file), report, ("auth",))
    assert not report.problems


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(folder: Path) -> None:
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "proxy", "password", "ann"]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as asking:  # fmt: skip
        os.close(theirs)
        shown = _until(mine, b"Password of ann: ")
        os.write(mine, b"hunter2\n")
        shown += _until(mine, b"confirmation: ")
        os.write(mine, b"hunter2\n")
        shown += _until(mine, b"added ann")
        assert asking.wait(20) == 0
    os.close(mine)
    assert b"hunter2" not in shown
    hashed = (folder / "users.htpasswd").read_text().strip().partition(":")[2]
    assert verify(hashed, b"hunter2")


def _until(terminal: int, what: bytes) -> bytes:
    shown = b""
    while what not in shown:
        shown += os.read(terminal, 1000)
    return shown


def test_two_at_once_lose_no_key(folder: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "proxy", "key", "add"]
    environ = {**os.environ, "PYTHONPATH": root}
    many = [
        subprocess.Popen([*command, f"k{n}"], env=environ, stdout=-3, stderr=-3) for n in range(6)
    ]
    assert [one.wait() for one in many] == [0] * 6
    names = {one["name"] for one in tomllib.loads((folder / "keys.toml").read_text())["key"]}
    assert names == {f"k{n}" for n in range(6)}
