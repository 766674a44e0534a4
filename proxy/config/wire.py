"""A Config as small messages: how the hub tells workers, none of them long to make or to read.

    H  everything but routes and upstreams        U  some upstreams: what they say, and who says it
    R  some routes, in the order of the file      T  certificates, where there are any
    E  that was all

Each is a letter and msgpack. What is read is held to the model's types again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from proxy.config.material import NONE, Material
from proxy.config.messaging_model import Messaging
from proxy.config.model import Config, Route, Upstream
from proxy.config.units import Seconds, Share, Size

AT_ONCE = 100  # routes or upstreams in a message: about 1 ms to read


def pack(config: Config, material: Material = NONE) -> Iterator[bytes]:
    """The messages for one configuration, made one by one; `material` is what its files hold."""
    encoder = msgspec.msgpack.Encoder(enc_hook=plain)
    admin = msgspec.structs.replace(config.admin, token="")  # no business of workers
    # Nor are queues, whose passwords are another process's.
    quiet = msgspec.structs.replace(config, messaging=Messaging(), consume=[], admin=admin)
    head = msgspec.structs.replace(quiet, route=[], upstream={})
    yield b"H" + encoder.encode(head)
    upstreams, places = iter(config.upstream.items()), _Places()
    while some := dict(islice(upstreams, AT_ONCE)):
        fresh, named = places.of(some)
        yield b"U" + encoder.encode((fresh, named))
    for start in range(0, len(config.route), AT_ONCE):
        yield b"R" + encoder.encode(config.route[start : start + AT_ONCE])
    if material:
        yield b"T" + encoder.encode(material)
    yield b"E"


class _Places:
    """Where upstreams stand among those that were sent; thousands may be one and the same."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, int] = {}  # by identity: all live as long as the configuration

    def of(self, some: dict[str, Upstream]) -> tuple[list[Upstream], dict[str, int]]:
        """What is to be sent of these, and which one each name means."""
        fresh, named = [], {}
        for name, upstream in some.items():
            place = self._known.get(id(upstream))
            if place is None:
                place = self._known[id(upstream)] = len(self._known)
                fresh.append(upstream)
            named[name] = place
        return fresh, named


class Unpacker:
    """Puts a configuration together again."""

    __slots__ = ("_head", "_routes", "_said", "_upstreams", "material")

    def __init__(self) -> None:
        self.material = NONE
        self._head: Config | None = None
        self._routes: list[Route] = []
        self._said: list[Upstream] = []  # each once
        self._upstreams: dict[str, Upstream] = {}

    def feed(self, message: bytes) -> Config | None:
        """The configuration, if that was its last message. ValueError for what is none."""
        kind, body = message[:1], memoryview(message)[1:]
        if kind == b"H":
            self._head = _config.decode(body)
        elif kind == b"U":
            fresh, named = _upstreams.decode(body)
            self._said += fresh
            self._upstreams.update((name, self._said[place]) for name, place in named.items())
        elif kind == b"R":
            self._routes += _routes.decode(body)
        elif kind == b"T":
            self.material = _material.decode(body)
        elif kind != b"E":
            raise ValueError(f"a configuration has no message {kind!r}")
        elif self._head is None:
            raise ValueError("a configuration begins with its head")
        else:
            return msgspec.structs.replace(self._head, route=self._routes, upstream=self._upstreams)
        return None


def plain(value: object) -> object:
    """For encoders: values with units are numbers, and text is text."""
    if isinstance(value, float):  # Seconds and Share
        return float(value)
    if isinstance(value, int):  # Size
        return int(value)
    if isinstance(value, str):  # what came from the environment
        return str(value)
    raise NotImplementedError(type(value))


def unit(kind: Any, value: float) -> object:
    """For decoders: back again."""
    if kind in (Seconds, Share, Size):
        return _known(kind, value)
    raise NotImplementedError(kind)


@lru_cache(1024)  # many say the same
def _known(kind: Any, value: float) -> object:
    return kind(value)


_config = msgspec.msgpack.Decoder(Config, dec_hook=unit)
_upstreams = msgspec.msgpack.Decoder(tuple[list[Upstream], dict[str, int]], dec_hook=unit)
_routes = msgspec.msgpack.Decoder(list[Route], dec_hook=unit)
_material = msgspec.msgpack.Decoder(Material)
