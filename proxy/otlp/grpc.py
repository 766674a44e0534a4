"""OTLP/gRPC: the unary Export call, with bytes in and bytes out.

Owns the channel. Serialisers are the identity, so no protobuf object is made on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from proxy.otlp import status
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.methods import METHODS as METHODS
from proxy.otlp.status import Outcome
from proxy.otlp.transport import UNTRACED, USER_AGENT, Options, check_headers
from proxy.tasks import spawn

_CHANNEL: tuple[tuple[str, Any], ...] = (
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.max_receive_message_length", status.MAX_RESPONSE),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
    # Calls fail at once while a channel waits to reconnect, by default up to two minutes: longer
    # than our own backoff, which is the one that the operator configured.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # A new channel is a new connection, see `_replace`.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # retrying is ours, and counted
)


class GrpcTransport:
    """Calls Export, or another unary method for each signal, on one channel."""

    __slots__ = (
        "_calls",
        "_channel",
        "_credentials",
        "_endpoint",
        "_metadata",
        "_methods",
        "_options",
    )

    def __init__(
        self, endpoint: Endpoint, options: Options, methods: Mapping[str, str] = METHODS
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._methods = methods
        headers = {UNTRACED[0]: UNTRACED[1], **options.headers}
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        self._credentials: grpc.ChannelCredentials | None = None
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def start(self) -> None:
        check_headers(self._options.headers)
        if self._endpoint.tls:
            self._credentials = _credentials(self._options)
        self._open()

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        channel = self._channel
        try:
            body = await self._calls[signal](
                payload, timeout=self._options.timeout or None, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and channel is self._channel:
                await self._replace()
            return _judge(error)
        except asyncio.CancelledError:
            # grpc.aio says it this way too when a channel closes under a call.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return status.unreachable("grpc_cancelled", "the channel was closed")
        return status.accepted(body, items)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close(grace=None)

    def _open(self) -> None:
        none = grpc.Compression.NoCompression
        gzip = grpc.Compression.Gzip if self._options.compression == "gzip" else none
        if self._credentials is not None:
            channel = grpc.aio.secure_channel(
                self._endpoint.base, self._credentials, options=_CHANNEL, compression=gzip
            )
        else:
            channel = grpc.aio.insecure_channel(
                self._endpoint.base, options=_CHANNEL, compression=gzip
            )
        self._channel = channel
        self._calls = {
            signal: channel.unary_unary(
                method, request_serializer=_identity, response_deserializer=_identity
            )
            for signal, method in self._methods.items()
        }

    async def _replace(self) -> None:
        """Start a new connection after a call without an answer.

        A host that vanished without a word leaves an established connection on which the kernel
        retransmits for a quarter of an hour; calls under way on it may still end in their time.
        """
        old = self._channel
        self._open()
        if old is not None:
            spawn(old.close(grace=self._options.timeout), "otlp channel close")


def _identity(data: bytes) -> bytes:
    return data


def _credentials(options: Options) -> grpc.ChannelCredentials:
    if not options.verify:
        raise ValueError(
            "insecure_skip_verify is not possible with gRPC: name the CA, or use https"
        )
    return grpc.ssl_channel_credentials(
        root_certificates=_read(options.ca),
        private_key=_read(options.key or options.cert) if options.cert else None,
        certificate_chain=_read(options.cert),
    )


def _read(path: str) -> bytes | None:
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()


def _judge(error: grpc.aio.AioRpcError) -> Outcome:
    code: int = error.code().value[0]
    details = b""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            details = value
    return status.from_grpc(code, details, error.details() or "")
