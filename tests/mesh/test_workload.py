"""The Workload API: answers of a server on grpcio, and bytes that are no answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mesh import workload
from proxy.mesh.svid import Svid
from proxy.mesh.tasks import here
from proxy.mesh.workload import Workload
from proxy.mesh.workload_reply import read
from tests.mesh.identities import Running, identity
from tests.mesh.workload_server import Agent, X509SVIDResponse, reply


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "FIRST", 0.02)
    monkeypatch.setattr(workload, "LAST", 0.05)


async def test_each_answer_is_the_whole_state(tmp_path: Path) -> None:
    async with Agent(tmp_path / "agent.sock") as agent:
        agent.say(reply(identity(), partner=identity("partner")[2]))
        async with Running(Workload(str(agent.path), here)) as taken:
            await taken.until(lambda: taken.svids)
            assert str(taken.svids[0].id) == "spiffe://mesh/shop"
            assert set(taken.svids[0].trust) == {"mesh", "partner"}
            agent.say(reply(identity(path="/next"), identity(path="/other")))
            await taken.until(lambda: len(taken.svids) == 2)
            assert str(taken.svids[1].id) == "spiffe://mesh/next"  # the first is the default one
            assert set(taken.svids[1].trust) == {"mesh"}
            assert agent.calls == 1 and not taken.errors


async def test_it_is_asked_again_if_what_it_gave_does_not_come_into_force(tmp_path: Path) -> None:
    async with Agent(tmp_path / "agent.sock") as agent:
        agent.say(reply(identity()))
        async with Running(Workload(str(agent.path), here)) as taken:
            taken.refusals = 2
            await taken.until(lambda: taken.svids)
            assert agent.calls == 3 and not taken.errors


async def test_it_is_asked_again_until_there_is_an_identity(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with Running(Workload(str(path), here)) as taken:
        await taken.until(lambda: taken.errors)
        assert taken.errors[0] == f"there is no Workload API at {path}"
        async with Agent(path) as agent:
            await taken.until(lambda: "is it registered?" in taken.errors[-1])
            agent.say(reply(identity()))
            await taken.until(lambda: taken.svids)
        number = len(taken.errors)
        await taken.until(lambda: len(taken.errors) > number)  # the agent is gone
        async with Agent(path) as agent:
            agent.say(reply(identity(path="/next")))
            await taken.until(lambda: len(taken.svids) > 1)


async def test_what_peers_would_refuse_is_not_taken(tmp_path: Path) -> None:
    async with Agent(tmp_path / "agent.sock") as agent:
        agent.say(reply(identity(ttl=-5)))
        async with Running(Workload(str(agent.path), here)) as taken:
            await taken.until(lambda: any("expired on" in e for e in taken.errors))
            cert, key, _ = identity()
            agent.say(reply((cert, key, identity("else")[2])))
            await taken.until(lambda: any("not signed by" in e for e in taken.errors))
            assert not taken.svids
            agent.say(reply(identity()))
            await taken.until(lambda: taken.svids)


async def test_what_was_no_use_is_asked_for_again(tmp_path: Path) -> None:
    """It may be good by then: a clock that was slow is put right, a process is not killed."""
    failures = [1, 2, 3]

    def ask(task: str, message: bytes, now: float) -> Svid:
        return here(task, message, now - 3600 if failures and failures.pop() else now)

    async with Agent(tmp_path / "agent.sock") as agent:
        agent.say(reply(identity()))
        async with Running(Workload(str(agent.path), ask)) as taken:
            await taken.until(lambda: taken.svids)
            assert agent.calls == 4
            assert all("does not count before" in error for error in taken.errors)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\0" * 100,
        b"\0\0\0\x04\0\0\0\0\0" + b"\xff" * 64,
    ],
    ids=["HTTP/1.1", "nothing", "zeros", "no frames"],
)
async def test_what_is_no_workload_api_is_told(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    path = str(tmp_path / "agent.sock")
    async with await asyncio.start_unix_server(serve, path), Running(Workload(path, here)) as taken:
        await taken.until(lambda: len(taken.errors) > 2)
        assert not taken.svids


async def test_one_that_does_not_answer_is_told_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "PATIENCE", 0.02)
    calls: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.read(1))
        await reader.read()
        writer.close()

    path = str(tmp_path / "agent.sock")
    async with await asyncio.start_unix_server(serve, path), Running(Workload(path, here)) as taken:
        await taken.until(lambda: len(taken.errors) > 2)
        assert set(taken.errors) == {f"the Workload API at {path}: does not answer"}
    assert len(calls) > 2


async def test_one_that_has_answered_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Agent(tmp_path / "agent.sock") as agent:
        agent.say(reply(identity()))
        async with Running(Workload(str(agent.path), here)) as taken:
            await taken.until(lambda: taken.svids)
            monkeypatch.setattr(workload, "PATIENCE", 0.0)
            agent.say(reply(identity(path="/next")))
            await taken.until(lambda: len(taken.svids) == 2)
            assert agent.calls == 1 and not taken.errors


WHOLE = reply(identity(), partner=identity("partner")[2])


def test_an_answer_read() -> None:
    cert, key, roots = identity()
    found = read(reply((cert, key, roots), partner=roots))
    assert (found.cert, found.key, found.trust) == (cert, key, {"mesh": roots, "partner": roots})
    assert found.others == 0
    assert set(read(reply((cert, key, roots), partner=b"")).trust) == {"mesh"}
    nobody = X509SVIDResponse.FromString(reply((cert, key, roots)))
    nobody.svids[0].spiffe_id = "https://mesh/shop"
    with pytest.raises(ValueError, match="names 'https://mesh/shop', no SPIFFE ID: it does not"):
        read(nobody.SerializeToString())
    with pytest.raises(ValueError, match="no identity"):
        read(X509SVIDResponse().SerializeToString())


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(data)


@given(st.data())
def test_an_answer_with_a_byte_changed(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    broken = bytearray(WHOLE)
    broken[at] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(broken))
    except ValueError as error:
        assert str(error)
    else:
        assert found.cert.startswith(b"-----BEGIN")
