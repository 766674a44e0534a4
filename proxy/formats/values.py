"""AnyValue as plain Python values and as text, for formats that have no such type.

Source: OpenTelemetry specification "Mapping to non-OTLP formats" and "Attribute": lists and maps
become JSON text, bytes base64, booleans `true` and `false`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from proxy.otlp.json import whole_text

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


def set_plain(target: Any, value: Any, depth: int = 0) -> None:
    """What `json.loads` gives, and bytes, into an AnyValue."""
    if isinstance(value, str):
        target.string_value = whole_text(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        _set_number(target, value)
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list) and depth < _MAX_DEPTH:
        target.array_value.SetInParent()
        for inner in value:
            set_plain(target.array_value.values.add(), inner, depth + 1)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        target.kvlist_value.SetInParent()
        for key, inner in value.items():
            set_plain(target.kvlist_value.values.add(key=whole_text(key)).value, inner, depth + 1)


def _set_number(target: Any, value: int | float) -> None:
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        target.int_value = value
        return
    try:
        target.double_value = float(value)
    except OverflowError:
        target.double_value = math.inf if value > 0 else -math.inf


def add_all(target: Any, attributes: Mapping[str, Any]) -> None:
    """Attributes into a repeated KeyValue."""
    for key, value in attributes.items():
        set_plain(target.add(key=whole_text(key)).value, value)
