"""Requests of all signals with anything in them that OTLP has, made at random; and garbled ones."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from proxy.otlp.messages import REQUESTS

SIGNALS = tuple(REQUESTS)
TEXTS = (
    "",
    "a",
    "GET /api/orders/{id}",
    "x" * 130,
    "ü",
    "日本語のテキスト",
    "e\u0301 \U0001f600 mixed in",
)
_WHOLE = (
    0,
    1,
    -1,
    2,
    127,
    128,
    300,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
)
_WHOLE += (2**64 - 1, 1_700_000_000_000_000_000)
_REAL = (0.0, -0.0, 1.5, -2.25e-7, 1e300, 5e-324, 0.1, float("inf"), float("-inf"), 3.0)
_BOUNDS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


def request(signal: str, random: Random, *, faults: float = 0.0) -> Any:
    """A message; `faults` is how likely each id is none."""
    made = REQUESTS[signal]()
    _fill(made, random, faults, 0)
    return made


def _fill(message: Any, random: Random, faults: float, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        own = field.name in ("trace_id", "span_id")
        if not own and random.random() < (0.3 if depth < 4 else 0.5):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth > 9:
                continue
            if field.is_repeated:
                for _ in range(random.choice((1, 1, 2, 3))):
                    _fill(getattr(message, field.name).add(), random, faults, depth + 1)
            else:
                child = getattr(message, field.name)
                child.SetInParent()
                _fill(child, random, faults, depth + 1)
        elif field.is_repeated:
            some = [_scalar(field, random, faults) for _ in range(random.choice((0, 1, 3)))]
            getattr(message, field.name).extend(some)
        else:
            setattr(message, field.name, _scalar(field, random, faults))


def _scalar(field: Any, random: Random, faults: float) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return random.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        size = _IDS.get(field.name)
        if size is None:
            return random.randbytes(random.choice((0, 1, 2, 3, 40)))
        if random.random() < faults:
            return random.choice((b"", bytes(size), b"\1" * (size - 1), b"\1" * (size + 1)))
        return random.randbytes(size - 1) + b"\1"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return random.random() < 0.5
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return random.choice((*_REAL, random.random()))
    low, high = _BOUNDS.get(field.type, (-(2**63), 2**63 - 1))
    return random.choice([number for number in _WHOLE if low <= number <= high])


def garbled(data: bytes, random: Random) -> bytes:
    """With a few bytes changed, put in, taken out or doubled."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not out:
            break
        at = random.randrange(len(out))
        match random.randrange(6):
            case 0:
                out[at] = random.randrange(256)
            case 1:
                out[at] ^= 1 << random.randrange(8)
            case 2:
                del out[at : at + random.choice((1, 1, 5))]
            case 3:
                out[at:at] = random.randbytes(random.choice((1, 2, 10)))
            case 4:
                out[at:at] = out[at : at + random.randrange(40)]
            case 5:
                del out[at:]
    return bytes(out)
