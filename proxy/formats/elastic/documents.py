"""Documents for Elasticsearch: what every mapping of OTLP shares.

Pure. A document is the two lines that `_bulk` takes, and how many items it stands for: a span
event or a Jaeger service stands for none, a document of metrics for several data points.

Sources: the Collector's `elasticsearchexporter` (README, data stream routing), Elasticsearch
reference "Bulk API" and "Data stream naming scheme".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from proxy.formats.values import plain

encode = msgspec.json.Encoder().encode

DATASET, NAMESPACE, KIND = "data_stream.dataset", "data_stream.namespace", "data_stream.type"
ROUTING = frozenset((DATASET, NAMESPACE, KIND))
_LONGEST = 100  # bytes of a dataset or namespace
_FORBIDDEN = str.maketrans(dict.fromkeys('\\/*?"<>| ,#:', "_"))
_BILLION = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """`action` and `source` are lines without their ends."""

    action: bytes
    source: bytes
    items: int = 1
    pair: tuple[str, ...] = ()  # Jaeger: what need not be written again once this is stored

    @property
    def size(self) -> int:
        """Bytes in a request."""
        return len(self.action) + len(self.source) + 2


@dataclass(frozen=True, slots=True)
class Names:
    """Where documents go. An index that is named is used for all of its signal."""

    dataset: str = "generic"
    namespace: str = "default"
    indices: tuple[tuple[str, str], ...] = ()  # (signal, name)
    prefix: str = ""  # Jaeger


@dataclass(frozen=True, slots=True)
class Stream:
    """A data stream, or an index with a name of its own (`kind` "")."""

    index: str
    kind: str = ""
    dataset: str = ""
    namespace: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """data_stream.* of a document."""
        return {"type": self.kind, "dataset": self.dataset, "namespace": self.namespace}

    @property
    def action(self) -> bytes:
        """Data streams take nothing but `create`."""
        return encode({"create": {"_index": self.index}})


Route = Callable[[str, "Attributes"], Stream]
Attributes = dict[str, Any]  # of several levels, the nearest last


def router(names: Names, suffix: str) -> Route:
    """Streams by kind ("traces", "metrics", "logs") and attributes; `suffix` as in ".otel"."""
    fixed = {signal: Stream(index) for signal, index in names.indices if index}

    def route(kind: str, found: Attributes) -> Stream:
        named = fixed.get(kind)
        if named is not None:
            return named
        return _stream(
            kind,
            str(found.get(DATASET, names.dataset)),
            str(found.get(NAMESPACE, names.namespace)),
            suffix,
        )

    return route


@lru_cache(maxsize=1024)
def _stream(kind: str, dataset: str, namespace: str, suffix: str) -> Stream:
    dataset = _clean(dataset, _LONGEST - len(suffix)).replace("-", "_") + suffix
    namespace = _clean(namespace, _LONGEST)
    return Stream(f"{kind}-{dataset}-{namespace}", kind, dataset, namespace)


def _clean(text: str, longest: int) -> str:
    """What may be part of an index name."""
    text = text.lower().translate(_FORBIDDEN)
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")


def attributes(pairs: Iterable[Any]) -> Attributes:
    """KeyValues as plain values; a field without a name costs Elasticsearch the document."""
    return {pair.key: plain(pair.value) for pair in pairs if pair.key}


def routing(pairs: Iterable[Any]) -> Attributes:
    """Those that choose the data stream."""
    return {pair.key: plain(pair.value) for pair in pairs if pair.key in ROUTING}


def timestamp(nanoseconds: int) -> str:
    """ISO 8601 with nanoseconds, which `date` and `date_nanos` both read."""
    seconds, rest = divmod(nanoseconds, _BILLION)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):  # after the year 9999
        return "1970-01-01T00:00:00"


def filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty: "", 0, {} and None; lists stay."""
    return {key: value for key, value in fields.items() if value or isinstance(value, list)}
