"""What the servers of all transports share: who may send, and who takes it.

A server turns bytes from a socket into a serialised request and asks the `Taker`; it knows no
pipelines. How bodies are read is said in `inflow.py`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping

from proxy.otlp.partial import Rejected

# (signal, serialised request) -> what was left out of it, None if it was taken whole, or what has
# to be awaited for that; raises Refusal
Taker = Callable[[str, bytes], Awaitable[Rejected | None] | Rejected | None]


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
        # Schemes have no case. Bytes that are not UTF-8 came as half surrogates, and go as bytes.
        given = f"{scheme.capitalize()} {rest.strip()}".encode("utf-8", "surrogateescape")
        # All are compared, and in constant time, so that timing tells nothing.
        matches = [hmac.compare_digest(given, value) for value in self._values]
        return any(matches)
