"""What the process of queues goes by: the part of the configuration that is about messages."""

from __future__ import annotations

import msgspec

from proxy.config.messaging_expand import deliver_socket, queue_names
from proxy.config.messaging_model import Consume, Messaging
from proxy.config.model import Config
from proxy.config.wire import plain, unit


class Setup(msgspec.Struct, frozen=True):
    """Sent by the hub whenever it has changed."""

    messaging: Messaging
    consume: list[Consume]
    deliver: str  # path of the socket where workers take what is consumed
    spans: bool  # whether anybody wants them
    sampler: str  # as [tracing] says: of traces that begin with a message
    sample: float
    random_flag: bool  # likewise
    labels: dict[str, str]
    series: int  # the most of each instrument
    forget: float  # seconds
    level: str  # of the log
    form: str


def is_wanted(config: Config) -> bool:
    """Whether there is anything for such a process to do."""
    published = any(route.publish is not None for route in config.route)
    return bool(queue_names(config.messaging)) and (published or bool(config.consume))


def setup(config: Config, spans: bool) -> Setup:
    return Setup(
        config.messaging,
        config.consume,
        deliver_socket().removeprefix("unix:"),
        spans,
        config.tracing.sampler,
        float(config.tracing.sample),
        config.tracing.random_flag,
        config.labels,
        config.metrics.series,
        float(config.metrics.forget),
        config.log.level,
        config.log.format,
    )


def encode(made: Setup) -> bytes:
    return _encoder.encode(made)


def decode(payload: bytes) -> Setup:
    """Raises msgspec.MsgspecError for what is none."""
    made: Setup = _decoder.decode(payload)
    return made


_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
_decoder = msgspec.msgpack.Decoder(Setup, dec_hook=unit)
