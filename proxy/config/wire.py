"""A Config as small messages: how the hub tells workers, none of them long to make or to read.

    H  everything but routes and upstreams        U  some upstreams, by name
    R  some routes, in the order of the file      T  certificates, where there are any
    E  that was all

Each is a letter and msgpack. What is read is held to the model's types again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from proxy.config.material import NONE, Material
from proxy.config.model import Config, Route, Upstream
from proxy.config.units import Seconds, Share, Size

AT_ONCE = 100  # routes or upstreams in a message: about 1 ms to read


def pack(config: Config, material: Material = NONE) -> Iterator[bytes]:
    """The messages for one configuration, made one by one; `material` is what its files hold."""
    encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
    admin = msgspec.structs.replace(config.admin, token="")  # no business of workers
    head = msgspec.structs.replace(config, route=[], upstream={}, admin=admin)
    yield b"H" + encoder.encode(head)
    upstreams = iter(config.upstream.items())
    while some := dict(islice(upstreams, AT_ONCE)):
        yield b"U" + encoder.encode(some)
    for start in range(0, len(config.route), AT_ONCE):
        yield b"R" + encoder.encode(config.route[start : start + AT_ONCE])
    if material:
        yield b"T" + encoder.encode(material)
    yield b"E"


class Unpacker:
    """Puts a configuration together again."""

    __slots__ = ("_head", "_routes", "_upstreams", "material")

    def __init__(self) -> None:
        self.material = NONE
        self._head: Config | None = None
        self._routes: list[Route] = []
        self._upstreams: dict[str, Upstream] = {}

    def feed(self, message: bytes) -> Config | None:
        """The configuration, if that was its last message. ValueError for what is none."""
        kind, body = message[:1], memoryview(message)[1:]
        if kind == b"H":
            self._head = _config.decode(body)
        elif kind == b"U":
            self._upstreams.update(_upstreams.decode(body))
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


def _plain(value: object) -> object:
    if isinstance(value, float):  # Seconds and Share
        return float(value)
    if isinstance(value, int):  # Size
        return int(value)
    if isinstance(value, str):  # what came from the environment
        return str(value)
    raise NotImplementedError(type(value))


def _unit(kind: Any, value: object) -> object:
    if kind in (Seconds, Share, Size):
        return kind(value)
    raise NotImplementedError(kind)


_config = msgspec.msgpack.Decoder(Config, dec_hook=_unit)
_upstreams = msgspec.msgpack.Decoder(dict[str, Upstream], dec_hook=_unit)
_routes = msgspec.msgpack.Decoder(list[Route], dec_hook=_unit)
_material = msgspec.msgpack.Decoder(Material)
