"""OTLP/JSON to and from the generated protobuf classes.

Not protobuf's own JSON mapping: ids are hex instead of base64, enumerations are numbers, unknown
fields are ignored and only lowerCamelCase names count (OTLP specification, "JSON Protobuf
Encoding"). protobuf's `json_format` reads a hex id as base64 without an error, so it is not used.

Lenient where one value would cost its sender the whole request: half a surrogate pair, as a
JavaScript that cuts an emoji makes it, becomes U+FFFD; an id that is not hex is no id, of which
the receiver judges (`ids.py`); enumerations may be named, as the collector lets them.

Where it is compiled, the kernel reads what has nothing odd in it by itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from proxy.kernel.otlpjson import Reader
from proxy.otlp.messages import REQUESTS
from proxy.otlp.schema import SCHEMAS
from proxy.otlp.wire import WireError

_IDS = frozenset(("trace_id", "span_id", "parent_span_id"))
_LONG = frozenset(
    (
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    )
)
_FLOATS = frozenset((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT))
_HALF = re.compile("[\ud800-\udfff]")  # of a pair: json.loads has joined those that are whole
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# What to do with each field; asking its descriptor every time took twice as long,
# 210 µs for a span of 14 attributes instead of 100.
_PLANS: dict[Any, tuple[str, bool, Callable[[Any], Any]]] = {}

_FIELDS: dict[Any, dict[str, Any]] = {}  # of each message, by their names in JSON

MAX_DEPTH = 100  # protobuf's own recursion limit


def request_to_json(signal: str, payload: bytes) -> bytes:
    """A serialised request as JSON text; raises WireError if it is not one."""
    try:
        message = REQUESTS[signal].FromString(payload)
    except DecodeError as error:
        raise WireError(str(error)) from None
    return json.dumps(to_dict(message), separators=(",", ":"), ensure_ascii=False).encode()


def request_from_json(signal: str, text: bytes) -> bytes:
    """JSON text as a serialised request; raises WireError if it is not one."""
    made = ordinary(signal, text)
    return decoded(signal, text) if made is None else made


def ordinary(signal: str, text: bytes) -> bytes | None:
    """The same, of a text with nothing odd in it; None = `decoded` has to see. At most 2 µs a KiB.

    It takes a fifteenth of what `decoded` takes (benchmarks.micro_otlp).
    """
    if signal not in SCHEMAS:
        return None
    reader = Reader(SCHEMAS[signal], text)
    while not (read := reader.step(len(text))):
        continue
    return reader.result() if read > 0 else None


def decoded(signal: str, text: bytes) -> bytes:
    """The same by the libraries, which is what counts."""
    try:
        tree = json.loads(text)
    except UnicodeDecodeError:
        return decoded(signal, text.decode("utf-8", "replace").encode())
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    message = REQUESTS[signal]()
    fill(message, tree)
    return message.SerializeToString()


def to_dict(message: Message) -> dict[str, Any]:
    """The message as what `json.dumps` takes."""
    out: dict[str, Any] = {}
    for field, value in message.ListFields():
        plan = _PLANS.get(field)
        if plan is None:
            plan = _PLANS[field] = (field.json_name, field.is_repeated, _writer(field))
        name, repeated, write = plan
        out[name] = [write(item) for item in value] if repeated else write(value)
    return out


def fill(message: Message, tree: object, depth: int = 0) -> None:
    """Set the fields of `message` from a parsed JSON object; raises WireError."""
    if not isinstance(tree, dict):
        raise WireError(f"{message.DESCRIPTOR.name}: an object is wanted")
    if depth > MAX_DEPTH:
        raise WireError("nested too deeply")
    by_name = fields_of(message.DESCRIPTOR)
    for key, value in tree.items():
        field = by_name.get(key)
        if field is None or value is None:  # proto3: null is the same as absent
            continue
        put(message, field, value, depth)


def fields_of(descriptor: Any) -> dict[str, Any]:
    """The fields of a message by their names in JSON."""
    found = _FIELDS.get(descriptor)
    if found is None:
        found = _FIELDS[descriptor] = {f.json_name: f for f in descriptor.fields}
    return found


def put(message: Message, field: Any, value: Any, depth: int) -> None:
    """Set one field to what JSON says, or add to one that is repeated; raises WireError."""
    try:
        _set(message, field, value, depth)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"{message.DESCRIPTOR.name}.{field.json_name}: {error}") from None


def _writer(field: Any) -> Callable[[Any], Any]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return to_dict
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _IDS else _base64
    if field.type in _LONG:
        return str
    if field.type in _FLOATS:
        return _number
    return _same


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _set(message: Message, field: Any, value: Any, depth: int) -> None:
    if field.is_repeated:
        if not isinstance(value, list):
            raise TypeError("an array is wanted")
        target = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in value:
                fill(target.add(), item, depth + 1)
        else:
            target.extend([_scalar(field, item) for item in value])
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        child = getattr(message, field.name)
        child.SetInParent()
        fill(child, value, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, value))


def _scalar(field: Any, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return whole_text(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(field, value)
    if field.type in _FLOATS:
        if isinstance(value, str):
            return _NAMED[value] if value in _NAMED else _float(value)
        return value
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _number_of(field, value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return value
    return _integer(value)


def whole_text(value: Any) -> Any:
    """A text with U+FFFD for each half of a surrogate pair; anything else as it is."""
    if isinstance(value, str) and not value.isascii():
        return _HALF.sub("\ufffd", value)
    return value


def _number_of(field: Any, value: Any) -> int:
    """An enumeration's number, which OTLP asks for, or its name."""
    if isinstance(value, str) and (named := field.enum_type.values_by_name.get(value)):
        return int(named.number)
    try:
        return _integer(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor one of {field.enum_type.name}") from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("an integer is wanted")
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        value = _float(value)  # proto3 lets integers have an exponent
    whole = int(value)
    if whole != value:
        raise ValueError("an integer is wanted")
    return whole


def _float(text: str) -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"{text[:40]!r} is not a number")


def _bytes(field: Any, value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    if field.name in _IDS:
        return _id(value)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _id(text: str) -> bytes:
    """b"" for what is no hex; `fromhex` would pass over blanks."""
    try:
        made = bytes.fromhex(text)
    except ValueError:
        return b""
    return made if len(made) * 2 == len(text) else b""
