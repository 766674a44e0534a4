"""Converters of texts, lists and maps. Each takes values and raises OttlError for wrong ones."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable
from typing import Any

from proxy.collector.ottl.arguments import Function, plain
from proxy.collector.ottl.values import (
    MAX_PARTS,
    OttlError,
    Value,
    equal,
    is_number,
    kind,
    short,
    text,
)


def string(value: Value, what: str = "it") -> str:
    if not isinstance(value, str):
        raise OttlError(f"{what} must be a text, not {kind(value)}")
    return value


def whole(value: Value, what: str = "it") -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise OttlError(f"{what} must be an integer, not {kind(value)}")
    return value


def _on_text(function: Callable[[str], Value]) -> Function:
    return plain("target", lambda value: function(short(string(value, "target"))))


def _concat(values: Value, delimiter: Value) -> Value:
    if not isinstance(values, list):
        raise OttlError(f"values must be a list, not {kind(values)}")
    parts = ("<nil>" if value is None else short(text(value)) for value in values[:MAX_PARTS])
    return short(short(string(delimiter, "delimiter")).join(parts))


def _split(target: Value, delimiter: Value) -> Value:
    by = string(delimiter, "delimiter")
    if not by:
        raise OttlError("the delimiter is empty")
    return list(short(string(target, "target")).split(by, MAX_PARTS - 1))


def _substring(target: Value, start: Value, length: Value, utf8_safe: Value = False) -> Value:
    """Of bytes, as in Go; a character that is cut is left out."""
    content = string(target, "target").encode()
    first, size = whole(start, "start"), whole(length, "length")
    if first < 0 or size <= 0 or first + size > len(content):
        raise OttlError(f"bytes {first} to {first + size} of {len(content)}")
    return content[first : first + size].decode("utf-8", "ignore")


def _trim(target: Value, replacement: Value = " ") -> Value:
    return string(target, "target").strip(string(replacement, "replacement") or " ")


def _trim_prefix(value: Value, prefix: Value) -> Value:
    return string(value, "value").removeprefix(string(prefix, "prefix"))


def _trim_suffix(value: Value, suffix: Value) -> Value:
    return string(value, "value").removesuffix(string(suffix, "suffix"))


def _has_prefix(value: Value, prefix: Value) -> Value:
    return string(value, "value").startswith(string(prefix, "prefix"))


def _has_suffix(value: Value, suffix: Value) -> Value:
    return string(value, "value").endswith(string(suffix, "suffix"))


def _len(target: Value) -> Value:
    if isinstance(target, str):
        return len(target.encode("utf-8", "replace"))
    if isinstance(target, list | dict | bytes):
        return len(target)
    raise OttlError(f"{kind(target)} has no length")


def _index(target: Value, value: Value) -> Value:
    if isinstance(target, str):
        found = target.find(string(value, "value"))
        return len(target[:found].encode()) if found > 0 else found
    for number, item in enumerate(_list(target)):
        if equal(item, value):
            return number
    return -1


def _contains(target: Value, item: Value) -> Value:
    return any(equal(found, item) for found in _list(target))


def _list(value: Value) -> list[Any]:
    if not isinstance(value, list):
        raise OttlError(f"target must be a list, not {kind(value)}")
    return value


def _map(value: Value) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OttlError(f"target must be a map, not {kind(value)}")
    return value


def _sort(target: Value, order: Value = "asc") -> Value:
    if order not in ("asc", "desc"):
        raise OttlError("order is asc or desc")
    items = _list(target)
    if all(map(is_number, items)):
        return sorted(items, reverse=order == "desc")
    if any(isinstance(item, list | dict | bytes) or item is None for item in items):
        raise OttlError("only texts, numbers and booleans can be sorted")
    return sorted(items, key=text, reverse=order == "desc")


def _coalesce(values: Value) -> Value:
    return next((value for value in _list(values) if value is not None), None)


def _digest(name: str) -> Function:
    def hashed(value: str) -> Value:
        return hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest()

    return plain("value", lambda value: hashed(string(value, "value")))


def _fnv(value: Value) -> Value:
    """FNV-1a of 64 bits, as a signed number."""
    number = 0xCBF29CE484222325
    for byte in short(string(value, "value")).encode():
        number = ((number ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return number - (1 << 64) if number >> 63 else number


def _hex(value: Value) -> Value:
    if isinstance(value, bool):
        return "01" if value else "00"
    if isinstance(value, int):
        return struct.pack(">q", value).hex()
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    return None


_VARIANTS = ("base64", "base64-raw", "base64-url", "base64-raw-url")


def _decode(value: Value, encoding: Value = "base64") -> Value:
    content = value if isinstance(value, bytes) else string(value, "value").encode()
    name = string(encoding, "encoding")
    try:
        if name not in _VARIANTS:
            return content.decode(name)
        if "raw" in name:
            content += b"=" * (-len(content) % 4)
        alphabet = b"-_" if "url" in name else None
        return base64.b64decode(content, alphabet, validate=True).decode()
    except (LookupError, ValueError, binascii.Error) as error:
        raise OttlError(f"it is not {name}: {error}") from None


def _encode(value: Value, variant: Value = "base64") -> Value:
    content = string(value, "value").encode()
    if variant not in _VARIANTS:
        raise OttlError(f"variant is one of {', '.join(_VARIANTS)}")
    function = base64.urlsafe_b64encode if "url" in variant else base64.b64encode
    made = function(content).decode()
    return made.rstrip("=") if "raw" in variant else made


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9 _.-]+")


def snake(value: str) -> str:
    return "_".join(word.lower() for word in _WORDS.findall(value))


def camel(value: str) -> str:
    parts = re.split(r"[ _.-]+", value)
    return "".join(part[:1].upper() + part[1:] for part in parts)


CASES: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "snake": snake,
    "camel": camel,
}

_VERB = re.compile(r"%(?P<flags>[-+ 0]*)(?P<width>\d{0,3})(?P<rest>(?:\.\d{1,2})?)(?P<verb>.)")


def _format(format_string: Value, format_arguments: Value) -> Value:
    """Go's Sprintf, as far as its verbs are Python's too."""
    left = list(_list(format_arguments))

    def put(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        try:
            return _put(f"%{match['flags']}{match['width']}{match['rest']}", verb, value)
        except (TypeError, ValueError, OverflowError):
            return f"%!{verb}({kind(value)})"

    return short(_VERB.sub(put, short(string(format_string, "format_string"))))


def _put(spec: str, verb: str, value: Value) -> str:
    if verb not in "svq":
        return str(f"{spec}{verb}" % value)
    shown = text(value)
    return f"{spec}s" % (f'"{shown}"' if verb == "q" else shown)


def _key_values(
    target: Value, delimiter: Value = "=", pair_delimiter: Value = " ", sort_output: Value = False
) -> Value:
    sign, comma = string(delimiter, "delimiter"), string(pair_delimiter, "pair_delimiter")
    content = _map(target)
    keys = sorted(content) if sort_output else list(content)

    def quoted(word: str) -> str:
        if sign in word or comma in word:
            return '"' + word.replace('"', '\\"') + '"'
        return word

    pairs = (f"{quoted(key)}{sign}{quoted(text(content[key]))}" for key in keys)
    return short(comma.join(pairs))


TEXTS: dict[str, Function] = {
    "Concat": plain("values delimiter", _concat),
    "Split": plain("target delimiter", _split),
    "Substring": plain("target start length [utf8_safe]", _substring),
    "Trim": plain("target [replacement]", _trim),
    "TrimPrefix": plain("value prefix", _trim_prefix),
    "TrimSuffix": plain("value suffix", _trim_suffix),
    "HasPrefix": plain("value prefix", _has_prefix),
    "HasSuffix": plain("value suffix", _has_suffix),
    "ToLowerCase": _on_text(str.lower),
    "ToUpperCase": _on_text(str.upper),
    "ToSnakeCase": _on_text(snake),
    "ToCamelCase": _on_text(camel),
    "Len": plain("target", _len),
    "Index": plain("target value", _index),
    "ContainsValue": plain("target item", _contains),
    "Sort": plain("target [order]", _sort),
    "Keys": plain("target", lambda target: list(_map(target))),
    "Values": plain("target", lambda target: list(_map(target).values())),
    "Coalesce": plain("values", _coalesce),
    "SHA1": _digest("sha1"),
    "SHA256": _digest("sha256"),
    "SHA512": _digest("sha512"),
    "MD5": _digest("md5"),
    "FNV": plain("value", _fnv),
    "Hex": plain("value", _hex),
    "Base64Decode": plain("value", _decode),
    "Base64Encode": plain("value [variant]", _encode),
    "Decode": plain("value encoding", _decode),
    "Format": plain("format_string format_arguments", _format),
    "ToKeyValueString": plain("target [delimiter] [pair_delimiter] [sort_output]", _key_values),
}
