"""Tables that a source gives, kept as msgpack and unpacked by whoever reads them.

Tables are read once for each configuration, and kept for the next one. Ten thousand routes are
7 MB as dicts and 2 MB like this; whether others are the same is known without a look inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import msgspec

Table = Mapping[str, Any]

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Listed(Sequence[Table]):
    """One after the other."""

    __slots__ = ("_packed",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, packed: Iterable[bytes]) -> None:
        self._packed = tuple(packed)

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> Table: ...
    @overload
    def __getitem__(self, index: slice) -> Listed: ...
    def __getitem__(self, index: int | slice) -> Table | Listed:
        if isinstance(index, slice):
            return Listed(self._packed[index])
        return _decode(self._packed[index])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Listed):
            return self._packed == other._packed
        return isinstance(other, Sequence) and list(self) == list(other)


class Named(Mapping[str, Table]):
    """By name."""

    __slots__ = ("_packed",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = dict(packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __contains__(self, name: object) -> bool:
        return name in self._packed

    def __getitem__(self, name: str) -> Table:
        return _decode(self._packed[name])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Named):
            return self._packed == other._packed
        return isinstance(other, Mapping) and dict(self) == dict(other)


def plain(value: object) -> object:
    """For an encoder of msgspec (`enc_hook`): the tables as they are."""
    if isinstance(value, Listed):
        return list(value)
    if isinstance(value, Named):
        return dict(value)
    raise NotImplementedError(type(value))
