"""Identities in files: under the names that others give them, and when they change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.mesh import files
from proxy.mesh.files import SETS, Files
from proxy.mesh.svid import Svid
from proxy.mesh.tasks import here
from tests.mesh.identities import Running, identity, write


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "EVERY", 0.02)


@pytest.mark.parametrize("names", SETS)
def test_the_names_that_others_use(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, names, identity())
    made = Files(str(tmp_path), here).first(time.time())
    assert str(made.id) == "spiffe://mesh/shop" and list(made.trust) == ["mesh"]


def test_authorities_of_other_trust_domains(tmp_path: Path) -> None:
    write(tmp_path, SETS[0], identity())
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "partner.pem").write_bytes(identity("partner")[2])
    assert set(Files(str(tmp_path), here).first(time.time()).trust) == {"mesh", "partner"}


def strange(folder: Path, at: int) -> None:
    """One of the three is somebody else's."""
    (folder / SETS[0][at]).write_bytes(identity()[at])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda f: (f / "tls.key").unlink(), "tls.crt, tls.key, ca.crt are looked for"),
    "another key": (lambda f: strange(f, 1), "does not belong to"),
    "other authorities": (
        lambda f: strange(f, 2),
        "spiffe://mesh/shop is not signed by an authority of its trust domain",
    ),
    "no certificate": (lambda f: (f / "tls.crt").write_text("hello"), "no certificate in PEM"),
    "half of one": (
        lambda f: (f / "tls.crt").write_bytes((f / "tls.crt").read_bytes()[:200]),
        "broken certificate",
    ),
    "an expired one": (lambda f: write(f, SETS[0], identity(ttl=-5)), "expired on"),
    "authorities that are none": (lambda f: (f / "ca.crt").write_text(""), "empty"),
    "a partner that is none": (
        lambda f: ((f / "trust").mkdir(), (f / "trust" / "Partner.pem").write_text("")),
        "'Partner' is no trust domain",
    ),
    "authorities of somebody else": (
        lambda f: (f / "ca.crt").write_bytes(identity("else")[2]),
        "not signed by an authority of its trust domain",
    ),
}


@pytest.mark.parametrize(("spoil", "why"), BAD.values(), ids=BAD.keys())
def test_what_is_no_use_is_told(tmp_path: Path, spoil: Callable[[Path], object], why: str) -> None:
    write(tmp_path, SETS[0], identity())
    spoil(tmp_path)
    with pytest.raises(ValueError, match=why):
        Files(str(tmp_path), here).first(time.time())


async def test_files_that_change_are_read_once_they_keep_still(tmp_path: Path) -> None:
    write(tmp_path, SETS[0], identity())
    async with Running(Files(str(tmp_path), here)) as taken:
        await taken.until(lambda: taken.svids)
        write(tmp_path, SETS[0], identity(path="/next"))
        await taken.until(lambda: taken.svids[-1].id.path == "/next")
        (tmp_path / "tls.crt").write_text("half")
        await taken.until(lambda: taken.errors)
        write(tmp_path, SETS[0], identity(path="/third"))
        await taken.until(lambda: taken.svids[-1].id.path == "/third")


async def test_files_are_read_again_if_what_they_held_does_not_come_into_force(
    tmp_path: Path,
) -> None:
    write(tmp_path, SETS[0], identity())
    async with Running(Files(str(tmp_path), here)) as taken:
        taken.refusals = 2
        await taken.until(lambda: taken.svids)
    assert not taken.refusals


@pytest.mark.parametrize("early", [False, True])
async def test_what_was_no_use_is_judged_again_though_nothing_has_changed(
    early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that does not count yet, by a clock that is slow; a process that died."""
    monkeypatch.setattr(files, "AGAIN", 0.02)
    write(tmp_path, SETS[0], identity())
    failures = [1, 2, 3]

    def ask(task: str, folder: str, now: float) -> Svid:
        return here(task, folder, now - 3600 if failures and failures.pop() else now)

    source = Files(str(tmp_path), ask)
    if early:
        with pytest.raises(ValueError, match="does not count before"):
            source.first(time.time())
    async with Running(source) as taken:
        await taken.until(lambda: taken.svids)
        assert len(taken.errors) == (2 if early else 3)
        assert all("is the clock here right?" in error for error in taken.errors)


async def test_a_folder_that_is_turned_as_kubernetes_does(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, SETS[0], identity(path=f"/{name}"))
    link, new = tmp_path / "now", tmp_path / "new"
    link.symlink_to("one")
    async with Running(Files(str(link), here)) as taken:
        await taken.until(lambda: taken.svids)
        new.symlink_to("two")
        os.replace(new, link)
        await taken.until(lambda: taken.svids[-1].id.path == "/two")
