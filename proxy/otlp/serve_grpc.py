"""OTLP/gRPC as a server: the unary Export of each signal, with bytes in and bytes out.

Owns the socket, how many connect to it, and what becomes of a message; what goes on at one
connection is in `rpc/serving.py`. Messages may have any coding that OTLP/HTTP may have.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

from proxy.otlp.inflate import at_once
from proxy.otlp.inflow import Inflow, Limits
from proxy.otlp.methods import SIGNALS
from proxy.otlp.partial import Rejected, response_bytes
from proxy.otlp.refusal import TOO_LARGE, Refusal
from proxy.otlp.rpc.call import Call
from proxy.otlp.rpc.clocks import SECOND, Keepalive
from proxy.otlp.rpc.serving import Serving, rules
from proxy.otlp.server import Gate, Taker, taken
from proxy.otlp.turns import Turns
from proxy.web import crowd, ports
from proxy.web.probe import probe

TICK = 0.5  # seconds between two looks at all clocks
_SMALL = 64 * 1024  # bytes of a compressed message that may be decompressed in one go


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and how to listen."""

    host: str
    port: int
    limits: Limits
    tls: ssl.SSLContext | None = None
    gate: Gate = field(default_factory=Gate)
    methods: Mapping[str, str] = field(default_factory=lambda: SIGNALS)  # method -> signal
    streams: int = 128  # requests at once on one connection
    connections: int = 1000
    handshake: float = 10.0  # seconds until a connection has spoken HTTP/2
    keepalive: Keepalive = field(default_factory=Keepalive)
    turns: Turns = field(default_factory=Turns)


class GrpcServer:
    """One listening socket."""

    def __init__(self, binding: Binding, take: Taker) -> None:
        self._binding = binding
        self._take = take
        self.inflow = Inflow(binding.limits, binding.turns)
        self.methods = {path.encode(): signal for path, signal in binding.methods.items()}
        self.gate = binding.gate
        self.keepalive = binding.keepalive
        self.rules = rules(binding.streams)
        self.handshake = int(binding.handshake * SECOND)
        self.is_stopping = False
        self.port = binding.port
        self._lines: dict[Serving, None] = {}
        self._waiting: dict[Serving, None] = {}  # without a call; the longest first
        self._evicted: dict[Serving, None] = {}  # that made room, and are about to end
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()  # set while there is no connection

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        binding = self._binding
        if binding.tls is not None:
            binding.tls.set_alpn_protocols(["h2"])
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: Serving(self),
                (binding.host.strip(":") and binding.host) or None,
                binding.port,
                ssl=binding.tls,
                ssl_handshake_timeout=binding.handshake if binding.tls is not None else None,
                backlog=crowd.backlog(),
                reuse_port=ports.share(binding.host.strip(":") and binding.host, binding.port),
            )
        except OSError as error:
            address = f"[{binding.host}]" if ":" in binding.host else binding.host or "[::]"
            trouble = probe(binding.host, binding.port) or error
            why = f"cannot listen on {address}:{binding.port}: {trouble.strerror}"
            raise OSError(trouble.errno, why) from None
        ports.prefer(self._listener.sockets)
        self.port = int(self._listener.sockets[0].getsockname()[1])
        self._empty.set()
        crowd.join(self)

    async def stop(self, deadline: float) -> None:
        """Accept nothing more, answer what is being read within `deadline` seconds."""
        self.is_stopping = True
        crowd.leave(self)
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for line in [*self._lines]:
            line.leave()
        try:
            async with asyncio.timeout(deadline):
                await self._empty.wait()
        except TimeoutError:
            for line in [*self._lines, *self._evicted]:
                line.abort()
            await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # messages

    def take(self, call: Call) -> bytes | Coroutine[Any, Any, bytes]:
        """The answer to a message that is whole; raises Refusal."""
        encoding, data = call.message()
        is_long = encoding and len(data) > _SMALL
        text = None if is_long or self.inflow.turns.is_spent() else at_once(encoding, data)
        if text is None:
            return self._take_later(call.signal, encoding, data)
        if encoding:
            if len(text) > self.inflow.cap:
                raise Refusal(TOO_LARGE, f"{self.inflow.cap} bytes")
            call.holds(len(text))
        found = self._take(call.signal, text)
        if found is None or isinstance(found, Rejected):
            return response_bytes(found)
        return _when(found)

    async def _take_later(self, signal: str, encoding: str, data: bytes) -> bytes:
        if not encoding:
            await self.inflow.turns.gap()
            return response_bytes(await taken(self._take(signal, data)))
        body = self.inflow.body(encoding)
        try:
            await body.feed(data)
            return response_bytes(await taken(self._take(signal, await body.finish())))
        finally:
            body.close()

    # connections

    def __len__(self) -> int:
        return len(self._lines)

    def admit(self, line: Serving) -> bool:
        """Take one more, if need be in the place of another; False if none gives way."""
        if self.is_stopping:
            return False
        if len(self) >= self._binding.connections and not self.evict():
            return False
        if not crowd.has_room(self):
            return False
        self._lines[line] = None
        self._waiting[line] = None
        self._empty.clear()
        if self._timer is None:
            self._look_again()
        return True

    def release(self, line: Serving) -> None:
        self._lines.pop(line, None)
        self._waiting.pop(line, None)
        self._evicted.pop(line, None)
        if not self._lines and not self._evicted:
            self._empty.set()

    def evict(self) -> bool:
        """Close who has waited longest; False if all of them are at work."""
        victim = next(iter(self._waiting), None)
        if victim is None:
            return False
        del self._waiting[victim], self._lines[victim]
        self._evicted[victim] = None
        victim.leave()
        return True

    def works(self, line: Serving) -> None:
        """It has a call."""
        self._waiting.pop(line, None)

    def waits(self, line: Serving) -> None:
        """It has none, from now on."""
        if line in self._lines:
            self._waiting[line] = None

    def _look_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        self._timer = None
        now = monotonic_ns()
        for line in [*self._lines, *self._evicted]:
            line.look(now)
        if not self._empty.is_set():
            self._look_again()


async def _when(pending: Awaitable[Rejected | None]) -> bytes:
    return response_bytes(await pending)
