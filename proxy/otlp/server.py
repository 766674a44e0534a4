"""What the servers of all transports share: who may send, how much at once, who takes it.

A server turns bytes from a socket into a serialised request and asks the `Taker`; it knows no
pipelines. What is being read or decompressed is bounded for all connections together.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from proxy.otlp.inflate import Inflater, TooLarge
from proxy.otlp.partial import Rejected
from proxy.otlp.refusal import MALFORMED, OVERLOADED, TOO_LARGE, Refusal
from proxy.otlp.turns import Turns
from proxy.otlp.wire import WireError

# (signal, serialised request) -> what was left out of it, None if it was taken whole, or what has
# to be awaited for that; raises Refusal
Taker = Callable[[str, bytes], Awaitable[Rejected | None] | Rejected | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes."""

    request: int  # one request, decompressed
    in_flight: int  # all requests that are being read


async def taken(
    pending: Awaitable[Rejected | None] | Rejected | None,
) -> Rejected | None:
    """What a Taker said in the end."""
    if pending is None or isinstance(pending, Rejected):
        return pending
    return await pending


class Gate:
    """Credentials: any of some Authorization values; none at all lets everybody in."""

    __slots__ = ("_values", "challenge")

    def __init__(self, bearer: Iterable[str] = (), basic: Mapping[str, str] | None = None) -> None:
        values = [f"Bearer {token}".encode() for token in bearer]
        for user, password in (basic or {}).items():
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            values.append(f"Basic {pair}".encode())
        self._values = tuple(values)
        self.challenge = "Basic" if basic else "Bearer"

    def admits(self, authorization: str) -> bool:
        if not self._values:
            return True
        scheme, _, rest = authorization.strip().partition(" ")
        given = f"{scheme.capitalize()} {rest.strip()}".encode()  # schemes have no case
        # All are compared, and in constant time, so that timing tells nothing.
        matches = [hmac.compare_digest(given, value) for value in self._values]
        return any(matches)


class Inflow:
    """Reads bodies within the limits, and no more of them in one turn than others can bear."""

    __slots__ = ("_limits", "in_flight", "turns")

    def __init__(self, limits: Limits, turns: Turns | None = None) -> None:
        self._limits = limits
        self.turns = turns or Turns()
        self.in_flight = 0  # bytes

    @property
    def cap(self) -> int:
        return self._limits.request

    def body(self, encoding: str) -> Body:
        return Body(self, encoding)

    def take(self, size: int) -> None:
        """Account for bytes of a request; raises Refusal when all together are too many."""
        if self._limits.in_flight and self.in_flight + size > self._limits.in_flight:
            raise Refusal(OVERLOADED, "too many requests are being read")
        self.in_flight += size


class Body:
    """One body that is being read; `close` it whatever happens."""

    __slots__ = ("_inflater", "_inflow", "_taken")

    def __init__(self, inflow: Inflow, encoding: str) -> None:
        self._inflow = inflow
        self._inflater = Inflater(encoding, inflow.cap)
        self._taken = 0

    async def feed(self, chunk: bytes) -> None:
        """Raises Refusal: too large, malformed, or too much at once."""
        turns = self._inflow.turns
        await turns.gap()
        try:
            before = self._inflater.size
            for _ in self._inflater.feed(chunk):
                self._account(self._inflater.size - before)
                before = self._inflater.size
                await turns.gap()
            self._account(self._inflater.size - before)
        except TooLarge:
            raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes") from None
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None

    def finish(self) -> bytes:
        try:
            return self._inflater.finish()
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None

    def close(self) -> None:
        self._inflow.in_flight -= self._taken
        self._taken = 0

    def _account(self, size: int) -> None:
        if size > 0:
            self._inflow.take(size)
            self._taken += size
