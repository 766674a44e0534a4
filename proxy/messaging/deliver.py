"""One message to an upstream: a POST by way of a worker, and what its answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes

import aiohttp
from yarl import URL

from proxy.config.messaging_expand import host_of
from proxy.config.messaging_model import Consume
from proxy.config.messaging_names import KNOWN, TRY
from proxy.config.syntax import is_field_value
from proxy.messaging import trace
from proxy.messaging.message import Taken
from proxy.messaging.telemetry import Span

LATE = 5.0  # seconds beyond its timeout that an answer of the worker's own may take
LONGEST = 8192  # bytes of a header that is passed on
AWAY = "gateway"  # the reason of what never came to the upstream
# Errors of Proxy-Status (RFC 9209 §2.3) with which no server of the upstream was there to answer.
_NOBODY = frozenset(
    {
        "connection_refused",
        "connection_timeout",
        "destination_ip_unroutable",
        "destination_unavailable",  # all are down, or their breakers are open
        "dns_error",
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`counts`: it was a try; else the gateway itself had nobody to make one."""

    is_done: bool
    reason: str = ""  # error.type
    detail: str = ""
    counts: bool = True
    after: float = 0.0  # seconds that the upstream asks us to wait
    is_away: bool = False  # there was no server of the upstream that could answer


class Courier:
    """Connections to the workers, by the socket `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def post(self, said: Consume, taken: Taken, span: Span, last: tuple[int, str]) -> Outcome:
        """`last`: how many tries there were, and why the last one failed."""
        limit = aiohttp.ClientTimeout(total=said.timeout + LATE)
        try:
            async with self._session.post(
                _url(said, taken),
                data=taken.value or b"",
                headers=[*_headers(said, taken), *_context(span, last)],
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                await _read(answer)
                return _judged(answer)
        except aiohttp.ClientConnectorError:
            return Outcome(False, AWAY, "no worker takes it", counts=False)
        except TimeoutError:
            return Outcome(False, "timeout", f"no answer in {said.timeout:g} s")
        except aiohttp.ClientError as error:
            return Outcome(False, "disconnected", f"no answer: {type(error).__name__}")

    async def close(self) -> None:
        await self._session.close()


def _judged(answer: aiohttp.ClientResponse) -> Outcome:
    if 200 <= answer.status < 300:
        return Outcome(True)
    if answer.status == 404 and KNOWN not in answer.headers:
        return Outcome(False, AWAY, "no worker knows this consumer yet", counts=False)
    about = answer.headers.get("Proxy-Status", "")  # a worker's, or another gateway's
    why = about.partition("error=")[2].partition(";")[0].strip()
    if why == "http_response_timeout":
        return Outcome(False, "timeout", "no answer in time")
    detail = f"the upstream's answer was {answer.status}"
    if why:
        detail = f"the answer was {answer.status}: {why}"
    after = answer.headers.get("retry-after", "")
    seconds = float(after) if after.isdigit() and len(after) < 6 else 0.0
    return Outcome(False, str(answer.status), detail, after=seconds, is_away=why in _NOBODY)


async def _read(answer: aiohttp.ClientResponse) -> None:
    """To its end: an answer that breaks off is none."""
    async for _ in answer.content.iter_any():
        pass


def _url(said: Consume, taken: Taken) -> URL:
    path = said.path.replace("{topic}", quote(taken.topic, safe=""))
    return URL(f"http://{host_of(said.name)}{quote(path, safe=_SAFE)}", encoded=True)


_SAFE = "/%:@!$&'()*+,;=?-._~"


def _headers(said: Consume, taken: Taken) -> list[tuple[str, str]]:
    made = [("x-message-topic", taken.topic), ("x-message-offset", str(taken.offset))]
    made.append(("x-message-group", said.group))
    if taken.partition is not None:
        made.append(("x-message-partition", str(taken.partition)))
    if taken.key is not None:
        made.append(("x-message-key", quote_from_bytes(taken.key[:LONGEST], safe="")))
    if taken.time:
        made.append(("x-message-timestamp", str(taken.time)))
    if taken.value is None:
        made.append(("x-message-tombstone", "true"))
    wanted = {name.lower(): name for name in (*said.headers, *_KEPT)}
    kind = "application/octet-stream"
    for name, value in trace.pick(taken.headers, wanted):
        text = _text(value)
        if not text:
            continue
        if name == "content-type":
            kind = text
        else:
            made.append((name, text))
    made.append(("content-type", kind))
    return made


def _text(value: bytes) -> str:
    """As the client's library writes it: in UTF-8. "" for a stranger's bytes that no request can
    carry, or not as they are."""
    fits = len(value) <= LONGEST and is_field_value(value.decode("latin-1"))
    try:
        return value.decode() if fits else ""
    except UnicodeDecodeError:
        return ""


_KEPT = ("content-type", "content-encoding", "baggage")


def _context(span: Span, last: tuple[int, str]) -> Sequence[tuple[str, str]]:
    made = [(name.decode(), value.decode()) for name, value in trace.context(span, ["w3c"])]
    tries, reason = last
    if tries:
        made.append((TRY.decode(), f"{tries} {reason}"))
    return made


async def nap(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until all is to stop; whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return False
    return True
