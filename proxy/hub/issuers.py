"""Issuers of tokens as the hub deals with them: their keys, and who a code stands for.

How is `jwks.py`'s and `oidc.py`'s matter. They are loaded when a configuration has keys to fetch,
or a worker asks about a login: together 0.3 MB, which most gateways and sidecars do not need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.access.oidc_ask import KIND
from proxy.config.model import Config
from proxy.hub.parts import Whole
from proxy.telemetry.metrics import Series

if TYPE_CHECKING:
    from proxy.hub.jwks import Jwks
    from proxy.hub.oidc import Oidc


class Issuers:
    """Of one hub."""

    def __init__(self, hub: Whole) -> None:
        self._hub = hub
        self._jwks: Jwks | None = None
        self._oidc: Oidc | None = None
        hub.supervisor.asks.handlers[KIND] = self._first_login

    def configure(self, config: Config) -> None:
        """Go by this configuration."""
        if self._jwks is None and any(auth.jwt is not None for auth in config.auth.values()):
            from proxy.hub.jwks import Jwks

            self._jwks = Jwks(self._hub)
        if self._jwks is not None:
            self._jwks.configure(config)

    async def first(self, seconds: float) -> None:
        """Wait, but no longer than this, until all keys have been asked for."""
        if self._jwks is not None:
            await self._jwks.first(seconds)

    def series(self) -> Iterator[Series]:
        if self._jwks is not None:
            yield from self._jwks.series()

    async def stop(self) -> None:
        if self._jwks is not None:
            await self._jwks.stop()
        if self._oidc is not None:
            await self._oidc.close()

    async def _first_login(self, packed: bytes) -> bytes:
        """The first question about a login; what follows is asked of `Oidc` itself."""
        from proxy.hub.oidc import Oidc

        if self._oidc is None:  # two may have come at once
            self._oidc = Oidc(self._hub.supervisor.asks)
        return await self._oidc.answer(packed)
