"""Name and password over real sockets: who is let in, what it costs, and whose turn it is."""

from __future__ import annotations

import asyncio
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher

from proxy.server import auth_basic
from proxy.tasks import spawn
from proxy.telemetry import instruments
from tests.harness import Answer, Backend, Gateway, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import eventually, number, traces

QUICK = PasswordHasher(2, 8 * 1024, 1)  # the least that is taken
ANN, BOB = "pässwörd", "hunter2"


def write(folder: Path) -> str:
    path = folder / "users.htpasswd"
    by_bcrypt = bcrypt.hashpw(BOB.encode(), bcrypt.gensalt(8)).decode().replace("$2b$", "$2y$")
    path.write_text(f"# people\nann:{QUICK.hash(ANN)}\n\nbob:{by_bcrypt}\n")
    path.chmod(0o600)
    return str(path)


def guarded(backend: Backend, folder: Path, more: str = "", top: str = "") -> str:
    check = f'[auth.old]\nbasic = {{ file = "{write(folder)}"{more} }}\n'
    return routes(backend, top + check, 'auth = "old"')


def shows(name: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{name}:{password}".encode()).decode()


class Counted:
    """How many hashes were made, by which thread; `gate`: they wait until it is open."""

    def __init__(self, verify: Callable[[str, bytes], bool]) -> None:
        self._verify = verify
        self.passwords: list[bytes] = []
        self.hashes: list[str] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, hashed: str, password: bytes) -> bool:
        self.passwords.append(password)
        self.hashes.append(hashed)
        self.threads.add(threading.get_ident())
        assert self.gate.wait(20)
        return self._verify(hashed, password)


@pytest.fixture
async def counted() -> Counted:
    room = auth_basic.room()
    room.verify = made = Counted(room.verify)
    return made


async def test_who_is_let_in(tmp_path: Path, counted: Counted) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, ', header = "x-user"')
        async with gateway(config) as gate:
            for name, password in (("ann", ANN), ("bob", BOB), ("ann", ANN), ("bob", BOB)):
                assert (await gate.get("/", shows(name, password), "X-User: root")).status == 200
                head = backend.heads[-1].lower()
                assert f"x-user: {name}\r\n".encode() in head
                assert b"root" not in head and b"authorization" not in head
            assert counted.passwords == [ANN.encode(), BOB.encode()]  # the others are remembered
            assert threading.get_ident() not in counted.threads
            seen = await traces(gate, 4)
            assert [one.about["enduser.id"] for one in seen] == ["ann", "bob", "ann", "bob"]
            recorded = f"{gate.recorded.spans}{gate.recorded.logs}{gate.recorded.lines}"
            assert BOB not in recorded
            assert shows("bob", BOB)[-10:] not in recorded


def raw(text: bytes) -> str:
    return "Authorization: Basic " + b64encode(text).decode()


REFUSED = [
    ([], "absent"),
    (["Authorization: Bearer abc"], "absent"),
    (["Authorization: Basic"], "malformed"),
    (["Authorization: Basic !!!!"], "malformed"),
    (["Authorization: Basic YW5u"], "malformed"),  # no colon
    (["Authorization: Basic YW5uOmE"], "malformed"),  # its padding is cut off
    (["Authorization: Basic YW5uOmE= YW5uOmE="], "malformed"),
    ([raw(b"ann:\xff")], "malformed"),
    ([raw(b"ann:a\0b")], "malformed"),
    ([raw(b"a\0nn:b")], "malformed"),
    ([raw(b"ann:a\nb")], "malformed"),
    ([raw(b":b")], "malformed"),
    ([raw(b"a" * 256 + b":b")], "malformed"),
    ([raw(b"ann:" + b"b" * 1025)], "malformed"),
    ([raw(b"ann:" + b"b" * 9000)], "malformed"),
    ([shows("ann", ANN), shows("ann", ANN)], "malformed"),
    ([shows("ann", "wrong")], "password"),
    ([shows("ann", "")], "password"),
    ([shows("ann", ANN + "x")], "password"),
    ([shows("Ann", ANN)], "password"),
    ([shows("nobody", ANN)], "password"),
    ([shows("nobody", BOB)], "password"),
    ([shows("bob", ANN)], "password"),
    ([shows("# people", "")], "password"),
]


@pytest.mark.parametrize(("lines", "reason"), REFUSED)
async def test_who_is_refused_and_why(tmp_path: Path, lines: list[str], reason: str) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        answer = await gate.get("/", *lines)
        assert answer.status == 401
        assert answer["www-authenticate"] == 'Basic realm="spangate", charset="UTF-8"'
        assert not backend.heads
        (seen,) = await traces(gate)
        assert seen.about["spangate.denied.reason"] == reason
        labels = {"spangate_check": "old", "spangate_denied_reason": reason}
        assert number(gate, "spangate.access.denied", spangate_route="all", **labels) == 1


async def test_a_password_beyond_what_bcrypt_sees_is_another(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path)
        long = "x" * 72
        file = tmp_path / "users.htpasswd"
        file.write_text("eve:" + bcrypt.hashpw(long.encode(), bcrypt.gensalt(8)).decode())
        async with gateway(config) as gate:
            assert (await gate.get("/", shows("eve", long))).status == 200
            assert (await gate.get("/", shows("eve", long + "y"))).status == 401


async def test_nobody_learns_which_names_there_are(tmp_path: Path, counted: Counted) -> None:
    """Answers are the same to the letter, and as many hashes are made, of a kind that is used."""
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        answers = []
        for name in ("ann", "nobody", "zoe"):
            for _ in range(2):  # the second one is remembered, of whomever
                answer = await gate.get("/", shows(name, "wrong"))
                fields = {k: v for k, v in answer.fields if k.lower() not in KEPT_APART}
                body = re.sub(rb"[0-9a-f]{16,}", b"ID", answer.body)
                answers.append((answer.status, fields, body))
        assert all(answer == answers[0] for answer in answers)
        assert len(counted.hashes) == 3
        used = (tmp_path / "users.htpasswd").read_text()
        assert all(hashed in used for hashed in counted.hashes)


def spawned(answer: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
    return spawn(answer, "a client")


KEPT_APART = {"date", "x-request-id"}


async def test_who_floods_waits_behind_himself_alone(tmp_path: Path, counted: Counted) -> None:
    top = '[forwarding]\ntrust = ["127.0.0.0/8"]\n'
    async with Backend() as backend, gateway(guarded(backend, tmp_path, top=top)) as gate:
        counted.gate.clear()
        flood = [
            spawned(gate.get("/", shows("ann", f"guess{n}"), "X-Forwarded-For: 10.6.6.6"))
            for n in range(12)
        ]
        await eventually(lambda: sum(task.done() for task in flood) == 7)  # 1 runs, 4 wait
        assert {task.result().status for task in flood if task.done()} == {429}
        other = spawned(gate.get("/", shows("bob", BOB), "X-Forwarded-For: 10.1.1.1"))
        await eventually(lambda: auth_basic.room().waiting == 5)
        counted.gate.set()
        assert (await other).status == 200
        await asyncio.gather(*flood)
        assert counted.passwords.index(BOB.encode()) <= 2  # behind the one that ran, and one more
        assert len(counted.passwords) == 6
        labels = {"spangate_check": "old", "spangate_denied_reason": "per_client"}
        await gate.recorded.collect()
        assert number(gate, "spangate.access.denied", spangate_route="all", **labels) == 7


async def test_one_client_s_requests_share_a_hash(tmp_path: Path, counted: Counted) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        counted.gate.clear()
        many = [spawned(gate.get("/", shows("bob", BOB))) for _ in range(12)]
        await eventually(lambda: _waiting(gate) == 12)
        counted.gate.set()
        assert [answer.status for answer in await asyncio.gather(*many)] == [200] * 12
        assert len(counted.passwords) == 1


def _waiting(gate: Gateway) -> int:
    registry = gate.worker.recorder.registry
    return registry.number(instruments.ACTIVE, (("url.scheme", "http"),)).value


async def test_who_has_left_is_not_hashed_for(tmp_path: Path, counted: Counted) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        counted.gate.clear()
        first = spawned(gate.get("/", shows("ann", "one")))
        await eventually(lambda: counted.passwords)
        client = await gate.connect()
        client.write(f"GET / HTTP/1.1\r\nHost: a\r\n{shows('ann', 'two')}\r\n\r\n".encode())
        await eventually(lambda: auth_basic.room().waiting == 1)
        await client.close()
        await eventually(lambda: auth_basic.room().waiting == 0)
        counted.gate.set()
        assert (await first).status == 401
        assert (await gate.get("/", shows("ann", "three"))).status == 401
        assert counted.passwords == [b"one", b"three"]


async def test_what_cannot_be_found_out_is_no_401(tmp_path: Path, counted: Counted) -> None:
    def fails(hashed: str, password: bytes) -> bool:
        raise MemoryError

    auth_basic.room().verify = fails
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        answer = await gate.get("/", shows("ann", ANN))
        assert (answer.status, answer["retry-after"]) == (503, "1")
        auth_basic.room().verify = counted
        assert (await gate.get("/", shows("ann", ANN))).status == 200


async def test_over_http2(tmp_path: Path) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path)) as gate:
        client = await h2_client(gate)
        for password, status in ((ANN, 200), ("wrong", 401), (ANN, 200)):
            value = shows("ann", password).partition(": ")[2].encode()
            assert (await client.get("/x", (b"authorization", value))).status == status
        assert not any(b"authorization" in head.lower() for head in backend.heads)
        client.transport.abort()
