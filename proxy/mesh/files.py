"""`files:///DIR`: certificate, key and authorities in files that somebody else keeps up to date.

Their names are those that such tools use; the first set that is whole counts. Authorities of other
trust domains are `trust/DOMAIN.pem`. The folder is looked at once a second, and read when it has
kept still for as long, since three files are seldom written at once. What is no use is judged again
later, as what is wrong may be the clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from proxy.mesh.aside import Ask, ask
from proxy.mesh.source import Puts
from proxy.mesh.svid import Svid

EVERY = 1.0  # seconds between two looks
AGAIN = 30.0  # seconds until what was no use is judged again, by a process of its own each time

# certificate and its chain, key, authorities
SETS = (
    ("tls.crt", "tls.key", "ca.crt"),  # cert-manager, Kubernetes' Secrets
    (
        "svid.pem",
        "svid_key.pem",
        "svid_bundle.pem",
    ),  # spiffe-helper
    ("svid.0.pem", "svid.0.key", "bundle.0.pem"),  # `spire-agent api fetch x509 -write`
    ("cert-chain.pem", "key.pem", "root-cert.pem"),  # Istio
    ("cert.pem", "key.pem", "ca.pem"),
)

Mark = tuple[int, int, int, int]
_NEVER = float("inf")


class Files:
    """Those of one folder."""

    def __init__(self, folder: str, ask: Ask = ask) -> None:
        self._folder = folder
        self._ask = ask
        self._read: dict[str, Mark] | None = None  # as they were when they were read
        self._again = _NEVER  # when they are judged again, though they are the same (monotonic)

    def first(self, now: float) -> Svid:
        """What is there. ValueError."""
        self._read, self._again = self._look(), time.monotonic() + AGAIN
        made = self._ask("files", self._folder, now)
        self._again = _NEVER
        return made

    async def run(self, into: Puts) -> None:
        last: dict[str, Mark] | None = None
        while True:
            found = await asyncio.to_thread(self._look)
            if found == last and (found != self._read or time.monotonic() >= self._again):
                await self._put(into)
            last = found
            await asyncio.sleep(EVERY)

    async def _put(self, into: Puts) -> None:
        try:
            made = await asyncio.to_thread(self.first, time.time())
        except (OSError, ValueError) as error:
            into.failed(str(error))
        else:
            if not await into.put(made):
                self._read = None

    def _look(self) -> dict[str, Mark]:
        """What changes whenever one of them does; folders that are links are followed, as
        Kubernetes turns them."""
        place = Path(self._folder)
        names = {name for one in SETS for name in one}
        paths = [*(place / name for name in sorted(names)), *(place / "trust").glob("*.pem")]
        marks = {}
        for path in paths:
            try:
                at = os.stat(path)
            except OSError:
                continue
            marks[str(path)] = at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns
        return marks
