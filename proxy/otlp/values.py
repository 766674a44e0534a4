"""AnyValue as plain Python values and as text, for formats that have no such type.

Source: OpenTelemetry specification "Mapping to non-OTLP formats" and "Attribute": lists and maps
become JSON text, bytes base64, booleans `true` and `false`.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

_MAX_DEPTH = 20  # of values in values; what is deeper is left out


def plain(value: Any, depth: int = 0) -> Any:
    """What `json.dumps` takes."""
    kind = value.WhichOneof("value")
    if kind is None or depth > _MAX_DEPTH:
        return None
    if kind == "array_value":
        return [plain(inner, depth + 1) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value" and not math.isfinite(value.double_value):
        return repr(value.double_value)  # JSON has no word for these
    return getattr(value, kind)


def as_text(value: Any) -> str:
    """A value as the text of a tag."""
    made = plain(value)
    if isinstance(made, str):
        return made
    return "" if made is None else as_json(made)


def as_json(made: Any) -> str:
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False)
