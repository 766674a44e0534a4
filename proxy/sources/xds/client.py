"""The stream to the control plane: gRPC in and out, and connecting again for ever."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from proxy.pauses import doubled
from proxy.sources.xds.frames import Settings
from proxy.sources.xds.protos import message
from proxy.tasks import cancel, spawn

log = logging.getLogger("spangate")

# Seconds. All sidecars lose a control plane that is restarted in the same moment: the first pause
# is any part of this by chance, so that they come back over all of it.
SPREAD = 1.0
FIRST_PAUSE = 0.5  # doubled with each attempt that has failed; and up to half of it less, by chance
LONGEST_PAUSE = 30.0
LARGEST = 256 * 1024 * 1024  # bytes of one response: 10,000 clusters are 3 MB
# A server that is gone without a word is found out so. gRPC's servers close connections that ping
# more often than every five minutes (GOAWAY, too_many_pings), unless they are told otherwise.
KEEPALIVE_MS = 310_000


def pause(attempt: int, chance: float) -> float:
    """Seconds before the next attempt, of which so many have failed; `chance` in [0, 1)."""
    if attempt == 0:
        return SPREAD * (1 - chance)
    return doubled(FIRST_PAUSE, attempt, LONGEST_PAUSE) * (1 - chance / 2)


class Client:
    """`connected` gives what is sent first, `received` what is sent for a response. `asked`: a
    server has taken the first request."""

    def __init__(
        self,
        settings: Settings,
        method: tuple[str, str],
        connected: Callable[[], list[Any]],
        asked: Callable[[], None],
        received: Callable[[Any], list[Any]],
        lost: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._method, self._response = method
        self._connected = connected
        self._asked = asked
        self._received = received
        self._lost = lost
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()

    def send(self, requests: list[Any]) -> None:
        for request in requests:
            self._outgoing.put_nowait(request)

    async def run(self) -> None:
        attempt = 0
        while True:
            got = False
            try:
                async with channel(self._settings) as open_channel:
                    async for _ in self._stream(open_channel):
                        got = True
                reason = "the server has ended the stream"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except (OSError, ValueError) as error:
                reason = str(error)
            except Exception as error:  # a fault of ours must not be the end
                log.exception("xDS: a response failed here", extra={"key": "xds.stream_bug"})
                reason = f"it failed inside the gateway ({type(error).__name__})"
            attempt = 0 if got else attempt + 1
            self._lost(f"{self._settings.server}: {reason}")
            await asyncio.sleep(pause(attempt, random.random()))

    async def _stream(self, open_channel: Any) -> Any:
        """Yields after each response."""
        parse = message(self._response).FromString
        call = open_channel.stream_stream(
            self._method, request_serializer=_serialized, response_deserializer=parse
        )()
        self._outgoing = asyncio.Queue()
        self.send(self._connected())
        writing = spawn(self._write(call), "write to the control plane")
        try:
            while (response := await call.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                if response is None:  # so says grpcio
                    raise OSError("a response cannot be decoded")
                self.send(self._received(response))
                yield
            if (code := await call.code()) is not grpc.StatusCode.OK:
                raise OSError(f"{code.name}: {await call.details()}")
        finally:
            await cancel(writing)
            call.cancel()

    async def _write(self, call: Any) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader hears of it
            await call.write(await self._outgoing.get())
            self._asked()
            while True:
                await call.write(await self._outgoing.get())


def channel(settings: Settings) -> Any:
    """A connection to the server; ValueError for an address that is none."""
    scheme, _, target = settings.server.partition("://")
    options = [
        ("grpc.max_receive_message_length", LARGEST),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if scheme == "grpc" and target:
        return grpc.aio.insecure_channel(target, options)
    if scheme != "grpcs" or not target:
        raise ValueError("write grpc://HOST:PORT or grpcs://HOST:PORT")
    if settings.server_name:
        options.append(("grpc.ssl_target_name_override", settings.server_name))  # type: ignore[arg-type]
    pems = [
        Path(name).read_bytes() if name else None
        for name in (settings.ca, settings.key, settings.cert)
    ]
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*pems), options)


def _serialized(request: Any) -> bytes:
    return bytes(request.SerializeToString())
