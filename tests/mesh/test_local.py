"""Certificates by the authority on this disk: renewed at half of their life, or when it changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.config.material import Certified
from proxy.config.spiffe import parse
from proxy.config.tls_pem import Unusable
from proxy.mesh import ca, ca_files, local
from proxy.mesh.judged import judged
from proxy.mesh.local import Local
from proxy.mesh.svid import Svid
from proxy.mesh.tasks import here
from tests.mesh.identities import Running, identity

ME = parse("spiffe://mesh/shop")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "EVERY", 0.02)
    monkeypatch.setattr(local, "AGAIN", 0.02)


async def test_it_is_renewed_at_half_of_its_life(tmp_path: Path) -> None:
    async with Running(Local(str(tmp_path), ME, "", 2.0, here)) as taken:
        await taken.until(lambda: len(taken.svids) >= 4)
    assert {svid.id for svid in taken.svids} == {ME}
    ends = [svid.until for svid in taken.svids]
    assert ends == sorted(ends) and len({svid.certified.cert for svid in taken.svids}) >= 4
    assert all(len(svid.trust["mesh"]) == len(taken.svids[0].trust["mesh"]) for svid in taken.svids)


async def test_a_new_root_is_believed_at_once_and_signs_later(tmp_path: Path) -> None:
    async with Running(Local(str(tmp_path), ME, "", 3600, here)) as taken:
        await taken.until(lambda: taken.svids)
        first = taken.svids[0].trust["mesh"]
        ca_files.rotate(str(tmp_path), time.time(), 3.0)
        await taken.until(lambda: taken.svids[-1].trust["mesh"].count(b"BEGIN") == 2)
        assert taken.svids[-1].trust["mesh"].startswith(first)
        # judged() has verified each against its bundle: the last one by the new root.
        await taken.until(lambda: not taken.svids[-1].trust["mesh"].startswith(first))


async def test_an_authority_of_another_trust_domain_is_told(tmp_path: Path) -> None:
    ca_files.made(str(tmp_path), "else", time.time())
    async with Running(Local(str(tmp_path), ME, "", 60, here)) as taken:
        await taken.until(lambda: taken.errors)
    assert "is for 'else', not for 'mesh'" in taken.errors[0] and not taken.svids


async def test_one_of_a_clock_that_was_fast_is_followed_when_it_is_put_back(tmp_path: Path) -> None:
    """It does not count yet, by all other clocks either."""
    clocks = [3600.0]

    def ask(task: str, *arguments: object) -> Svid:
        made = here(task, *arguments)
        return replace(made, since=made.since + clocks.pop()) if clocks else made

    async with Running(Local(str(tmp_path), ME, "", 3600, ask)) as taken:
        await taken.until(lambda: len(taken.svids) == 2)
    assert taken.svids[1].since <= time.time() and not taken.errors


async def test_what_fails_is_tried_again_long_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "AGAIN", 3600.0)
    asked: list[str] = []

    def ask(task: str, *arguments: object) -> Svid:
        asked.append(task)
        if len(asked) in (2, 3):
            raise ValueError("too many processes")
        return here(task, *arguments)

    async with Running(Local(str(tmp_path), ME, "", 2.0, ask)) as taken:
        await taken.until(lambda: len(taken.svids) >= 2)
    assert taken.errors == ["too many processes"] * 2


async def test_what_does_not_come_into_force_is_followed_soon(tmp_path: Path) -> None:
    async with Running(Local(str(tmp_path), ME, "", 3600, here)) as taken:
        taken.refusals = 2
        await taken.until(lambda: len(taken.svids) == 1)
        taken.refusals = 2
        os.utime(tmp_path / local.STATE)
        await taken.until(lambda: len(taken.svids) == 2)
    assert not taken.refusals and not taken.errors


async def test_what_has_expired_on_its_way_is_told_as_that() -> None:
    cert, key, roots = identity(ttl=-5)
    long_ago = time.time() - 60
    with pytest.raises(
        Unusable, match=r"of spiffe://mesh/shop expired on .*, before it was in use"
    ):
        judged(cert, key, {"mesh": roots}, long_ago, ("cert", "key"))


async def test_an_authority_that_has_expired_is_told_as_that() -> None:
    now = time.time()
    long_ago = now - ca.ROOT - 60
    root = ca.new_root("mesh", long_ago, long_ago)  # over, and yet it goes on signing
    cert, key = ca.issue(replace(root, until=now + 7200), ME, 3600, now)
    with pytest.raises(Unusable) as told:
        judged(cert, key, {"mesh": root.cert.encode()}, now, ("cert", "key"))
    assert str(told.value) == (
        "spiffe://mesh/shop is signed by an authority of its trust domain that has expired"
    )


async def test_an_authority_of_a_clock_that_was_fast_counts_when_it_is_put_back() -> None:
    now = time.time()
    root = ca.new_root("mesh", now + 7200, now + 7200)
    cert, key = ca.issue(root, ME, 3600, now)
    assert judged(cert, key, {"mesh": root.cert.encode()}, now, ("cert", "key")).id == ME


async def test_an_authority_that_does_not_count_yet_is_told_as_that() -> None:
    now = time.time()
    later = now + ca.FAST + 7200
    root = ca.new_root("mesh", later, later)
    cert, key = ca.issue(root, ME, 3600, now)
    with pytest.raises(Unusable) as told:
        judged(cert, key, {"mesh": root.cert.encode()}, now, ("cert", "key"))
    late = "is signed by an authority of its trust domain that does not count yet"
    assert str(told.value) == f"spiffe://mesh/shop {late}: is the clock here right?"


@pytest.mark.parametrize(
    ("left", "pause"),
    [
        (3600.0, 5.0),  # at most what is said
        (24.0, 3.0),
        (2.0, 0.5),  # no process more often than this
        (0.0, 0.5),
        (-24.0, 3.0),  # whatever it is, it does not pass soon
        (-3600.0, 5.0),
    ],
)
def test_the_pause_is_a_part_of_what_is_left(left: float, pause: float) -> None:
    svid = Svid(ME, Certified(b"", b""), {}, since=0.0, until=1e9)
    assert svid.pause(1e9 - left, 5.0) == pause


async def test_two_that_begin_at_once_make_one_authority(tmp_path: Path) -> None:
    folder = str(tmp_path / "new")
    others = parse("spiffe://mesh/orders")
    async with (
        Running(Local(folder, ME, "", 60, here)) as one,
        Running(Local(folder, others, "", 60, here)) as two,
    ):
        await one.until(lambda: one.svids)
        await two.until(lambda: two.svids)
    assert one.svids[0].trust == two.svids[0].trust
