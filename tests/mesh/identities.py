"""What tests of sources share: identities in files, and who takes what a source has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from proxy.config.spiffe import parse
from proxy.mesh import ca
from proxy.mesh.source import Source
from proxy.mesh.svid import Svid
from proxy.tasks import cancel, spawn

DEADLINE = 60.0


def identity(domain: str = "mesh", path: str = "/shop", ttl: float = 3600) -> tuple[bytes, ...]:
    """Certificate, key and authorities."""
    now = time.time()
    made = ca.founded(domain, now)
    who = parse(f"spiffe://{domain}{path}")
    return *ca.issue(made.signer(now), who, ttl, now), made.bundle(now)


def write(folder: Path, names: tuple[str, ...], data: tuple[bytes, ...]) -> None:
    for name, content in zip(names, data, strict=True):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


class Taken:
    """Keeps all that comes, and does not take the next `refusals`, as workers may not."""

    def __init__(self) -> None:
        self.svids: list[Svid] = []
        self.errors: list[str] = []
        self.refusals = 0
        self._more = asyncio.Event()

    async def put(self, svid: Svid) -> bool:
        self._more.set()
        if self.refusals:
            self.refusals -= 1
            return False
        self.svids.append(svid)
        return True

    def failed(self, why: str) -> None:
        self.errors.append(why)
        self._more.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                self._more.clear()
                await self._more.wait()


class Running:
    """A source at work."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.taken = Taken()

    async def __aenter__(self) -> Taken:
        self._task = spawn(self._source.run(self.taken), "source")
        return self.taken

    async def __aexit__(self, *error: object) -> None:
        await cancel(self._task)
