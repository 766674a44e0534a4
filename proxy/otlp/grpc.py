"""OTLP/gRPC: the unary Export call, with bytes in and bytes out.

Owns what is said with a call, and compression; connections are the channel's, in `rpc`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proxy.otlp import status
from proxy.otlp.deflate import Compress, compressor
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.methods import METHODS as METHODS
from proxy.otlp.rpc import words
from proxy.otlp.rpc.channel import Channel
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import UNTRACED, USER_AGENT, Options, check_headers, ssl_context

_OFFLOAD = 128 * 1024  # bytes from which compression is done in a thread: 0.6 ms of gzip
# What the names of codings are in gRPC. There snappy is that of frames, as grpc-go's collectors
# have it; zlib is called deflate.
_CODECS = {"snappy": "x-snappy-framed"}
# Ours to say, or HTTP/2's to refuse.
_RESERVED = frozenset(
    ("connection", "content-type", "host", "keep-alive", "proxy-connection", "te",
     "transfer-encoding", "upgrade")
)  # fmt: skip


class GrpcTransport:
    """Calls Export, or another unary method for each signal, on one channel."""

    __slots__ = (
        "_channel", "_compress", "_compressed", "_endpoint", "_fields", "_methods", "_options"
    )  # fmt: skip

    def __init__(
        self, endpoint: Endpoint, options: Options, methods: Mapping[str, str] = METHODS
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._methods = methods
        self._channel: Channel | None = None
        self._compress: Compress | None = None
        self._fields: dict[str, tuple[words.Field, ...]] = {}
        # By the identity of what they were made of, which is kept with them: what has to be sent
        # again is not compressed again.
        self._compressed: dict[int, tuple[bytes, bytes]] = {}

    async def start(self) -> None:
        options, endpoint = self._options, self._endpoint
        check_headers(options.headers)
        for name in options.headers:
            if name.lower() in _RESERVED or name.lower().startswith("grpc-"):
                raise ValueError(f"header {name!r} is gRPC's own")
        if options.compression != "none":
            self._compress = compressor(_CODECS.get(options.compression, options.compression))
        context = None
        if endpoint.tls:
            context = ssl_context(options)
            context.set_alpn_protocols(["h2"])
        self._fields = {signal: self._heading(path) for signal, path in self._methods.items()}
        self._channel = Channel(endpoint.host, endpoint.port, context)

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        assert self._channel is not None
        message = await self._coded(payload)
        is_compressed = self._compress is not None and payload != b""
        parts = (words.prefix(len(message), is_compressed), message)
        reply = await self._channel.call(self._fields[signal], parts, self._options.timeout)
        if reply.code == words.OK:
            outcome = status.accepted(reply.body, items)
        else:
            outcome = status.from_grpc(reply.code, reply.details, reply.message)
        if self._compressed and outcome.verdict is not Verdict.RETRY:
            self._compressed.pop(id(payload), None)
        return outcome

    async def close(self) -> None:
        self._compressed.clear()
        if self._channel is not None:
            await self._channel.close()

    def _heading(self, path: str) -> tuple[words.Field, ...]:
        options = self._options
        fields = {
            ":method": b"POST",
            ":scheme": b"https" if self._endpoint.tls else b"http",
            ":path": path.encode(),
            ":authority": self._endpoint.base.encode(),
            "te": b"trailers",
            "content-type": words.CONTENT_TYPE,
            "user-agent": USER_AGENT.encode(),
            UNTRACED[0]: UNTRACED[1].encode(),
        }
        if options.timeout:
            fields["grpc-timeout"] = words.timeout_text(options.timeout)
        if options.compression != "none":
            fields["grpc-encoding"] = options.compression.encode()
        for name, text in options.headers.items():
            value = text.strip().encode()
            fields[name.lower()] = words.binary_text(value) if name.endswith("-bin") else value
        return tuple((name.encode(), value) for name, value in fields.items())

    async def _coded(self, payload: bytes) -> bytes:
        compress = self._compress
        if compress is None or not payload:
            return payload
        known = self._compressed.pop(id(payload), None)
        if known is not None:
            made = known[1]
        elif len(payload) > _OFFLOAD:
            made = await asyncio.to_thread(compress, payload)
        else:
            made = compress(payload)
        self._compressed[id(payload)] = (payload, made)
        while len(self._compressed) > 2 * self._options.concurrency:
            del self._compressed[next(iter(self._compressed))]
        return made
