"""Transport: one way of handing a serialised request to a collector, and its settings.

A transport makes one attempt and says what came of it; whether and when to try again is not its
business. It never raises for anything that a network or a collector can do.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proxy import __version__
from proxy.otlp.status import Outcome, unreachable

USER_AGENT = f"spangate/{__version__} OTel-OTLP-Exporter-Spangate/{__version__}"

# Our own export must not be traced by what it passes on its way, which may be this very gateway:
# its spans would make requests that make spans. B3: the decision "do not sample", without ids.
UNTRACED = ("b3", "0")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # what gRPC metadata can carry too

MAX_REQUEST = 64 * 1024 * 1024  # OTLP 1.11: a client must not send more in one request


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect; file names are of PEM files, "" = none."""

    headers: Mapping[str, str] = field(default_factory=dict)
    compression: str = "none"  # "gzip"; HTTP: or a name of deflate.py
    timeout: float = 10.0  # seconds for one attempt, 0 = no limit
    concurrency: int = 4
    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


SendPieces = Callable[[str, Sequence[bytes], int], Awaitable[Outcome]]


class Transport(Protocol):
    """`start` once inside a running loop, then `send` as often as wanted, then `close`.

    One that can write a payload that nobody has put together has `send_pieces`, a SendPieces, too.
    """

    async def start(self) -> None:
        """Load certificates and the like; raises ValueError or OSError for unusable ones."""

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        """One attempt within the timeout."""

    async def close(self) -> None:
        """Free connections; requests under way end."""


def not_connected(error: Exception) -> Outcome:
    """For what a client library raises when there is no connection, or none any more.

    aiohttp says "Connect call failed"; why is in the number of the error.
    """
    text = str(error) or type(error).__name__
    code = getattr(error, "errno", None)
    why = os.strerror(code).lower() if isinstance(code, int) and code > 0 else ""
    if why and why not in text.lower():
        host, port = getattr(error, "host", ""), getattr(error, "port", "")
        text = f"{host}:{port}: {why}" if host else f"{why}: {text}"
    return unreachable("connect", text)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ValueError for what cannot be sent as a header field (RFC 9110 §5.1, §5.5)."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of header {name!r} must be printable ASCII")


def ssl_context(options: Options) -> ssl.SSLContext:
    """For HTTPS; raises OSError or ssl.SSLError (an OSError) for files that cannot be used."""
    context = ssl.create_default_context(cafile=options.ca or None)
    if options.cert:
        context.load_cert_chain(options.cert, options.key or None)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
