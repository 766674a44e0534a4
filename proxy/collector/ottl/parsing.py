"""Converters that take texts apart: JSON, key=value, CSV, URLs, patterns. And some of the item."""

from __future__ import annotations

import csv
import json
import os
import re
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from proxy.collector.editing.values import find, scalar
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.arguments import Arguments, Function, function, plain
from proxy.collector.ottl.texts import CASES, string
from proxy.collector.ottl.values import MAX_PARTS, OttlError, Value, equal, short, text

MAX_JSON = 256 * 1024  # characters


def _json(target: Value) -> Value:
    written = string(target, "target")
    if len(written) > MAX_JSON:
        raise OttlError(f"JSON of more than {MAX_JSON} characters")
    try:
        found = json.loads(written, parse_int=float, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise OttlError(f"{written[:60]!r} is not JSON") from None
    if not isinstance(found, dict | list):
        raise OttlError("JSON must be a map or a list here")
    return found


def _no_constant(word: str) -> float:
    raise ValueError(word)


def _key_value(target: Value, delimiter: Value = "=", pair_delimiter: Value = " ") -> Value:
    written = short(string(target, "target"))
    sign = string(delimiter, "delimiter") or "="
    comma = string(pair_delimiter, "pair_delimiter") or " "
    if not written or sign == comma:
        raise OttlError("an empty text, or delimiters that are the same")
    made: dict[str, Value] = {}
    for pair in _pairs(written, comma):
        key, found, value = pair.partition(sign)
        if not found:
            raise OttlError(f"{pair[:60]!r} has no {sign!r} in it")
        made[key.strip()] = value.strip()
    return made


def _pairs(written: str, comma: str) -> list[str]:
    """Split where no quotes are open; the quotes go."""
    pieces, open_quote = [""], ""
    for piece in re.split(f"([\"']|{re.escape(comma)})", written)[: 8 * MAX_PARTS]:
        if piece == comma and not open_quote:
            pieces.append("")
        elif piece in ('"', "'") and open_quote in ("", piece):
            open_quote = "" if open_quote else piece
        else:
            pieces[-1] += piece
    if open_quote:
        raise OttlError(f"{open_quote} is not closed")
    return [piece for piece in pieces if piece.strip()]


def _csv(
    target: Value,
    headers: Value,
    delimiter: Value = ",",
    header_delimiter: Value = None,
    mode: Value = "strict",
) -> Value:
    comma = string(delimiter, "delimiter")
    names = string(headers, "headers").split(header_delimiter or comma)
    row = string(target, "target").strip("\r\n")
    if len(comma) != 1 or mode not in ("strict", "lazyQuotes", "ignoreQuotes"):
        raise OttlError("a delimiter is one character, mode strict, lazyQuotes or ignoreQuotes")
    try:
        lines = list(
            csv.reader(
                [row],
                delimiter=comma,
                quoting=csv.QUOTE_NONE if mode == "ignoreQuotes" else csv.QUOTE_MINIMAL,
                strict=mode == "strict",
            )
        )
    except csv.Error as error:
        raise OttlError(f"no row of CSV: {error}") from None
    values = lines[0] if lines else []
    if len(values) != len(names):
        raise OttlError(f"{len(values)} fields, {len(names)} headers")
    return dict(zip(names, values, strict=True))


def _url(url_string: Value) -> Value:
    written = short(string(url_string, "url_string"))
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError as error:
        raise OttlError(f"{written[:60]!r} is no URL: {error}") from None
    user, at, _ = parts.netloc.rpartition("@")
    name = parts.path.rpartition("/")[2]
    extension = name.rpartition(".")[2] if "." in name else ""
    optional = {
        "url.fragment": parts.fragment,
        "url.extension": extension,
        "url.query": parts.query,
        "url.port": port,
        "url.user_info": user if at else None,
        "url.username": parts.username,
        "url.password": parts.password,
    }
    return {
        "url.original": written,
        "url.scheme": parts.scheme,
        "url.domain": parts.hostname or "",
        "url.path": parts.path,
        **{key: value for key, value in optional.items() if value not in (None, "")},
    }


def _make_match(arguments: Arguments) -> Any:
    target = arguments.getter("target")
    pattern = arguments.pattern("pattern")

    def match(view: Any) -> Value:
        value = target(view)
        return value is not None and pattern.found(text(value))

    return match


def _make_extract(arguments: Arguments) -> Any:
    target = arguments.getter("target")
    pattern = arguments.pattern("pattern")
    if not pattern.names:
        at = arguments.at("pattern")
        raise ExpressionError("the pattern has no named group", at, 'write "(?P<name>…)"')
    return lambda view: pattern.groups(string(target(view), "target")) or {}


def _make_case(arguments: Arguments) -> Any:
    target = arguments.getter("target")
    change = CASES[arguments.one_of("to_case", *CASES)]
    return lambda view: change(short(string(target(view), "target")))


def _make_root(arguments: Arguments) -> Any:
    return lambda view: not any(view.span.parent_span_id)


def _make_uuid(arguments: Arguments) -> Any:
    return lambda view: str(uuid.uuid4())


def _make_uuid7(arguments: Arguments) -> Any:
    def made(view: Any) -> Value:
        digits = f"{time.time_ns() // 1_000_000:012x}7{os.urandom(10).hex()}"
        variant = "89ab"[int(digits[16], 16) % 4]
        whole = f"{digits[:16]}{variant}{digits[17:32]}"
        return str(uuid.UUID(whole))

    return made


def _points(metric: Any) -> Any:
    which = metric.WhichOneof("data")
    return getattr(metric, which).data_points if which else ()


def _make_has_key(arguments: Arguments) -> Any:
    key = arguments.literal("key", str)
    return lambda view: any(find(p.attributes, key) is not None for p in _points(view.metric))


def _make_has_attribute(arguments: Arguments) -> Any:
    key, value = arguments.literal("key", str), arguments.literal("value", str)

    def has(point: Any) -> bool:
        found = find(point.attributes, key)
        return found is not None and equal(scalar(found), value)

    return lambda view: any(map(has, _points(view.metric)))


PARSING: dict[str, Function] = {
    "IsMatch": function("target pattern", _make_match),
    "ExtractPatterns": function("target pattern", _make_extract),
    "ConvertCase": function("target to_case", _make_case),
    "ParseJSON": plain("target", _json),
    "ParseKeyValue": plain("target [delimiter] [pair_delimiter]", _key_value),
    "ParseCSV": plain("target headers [delimiter] [header_delimiter] [mode]", _csv),
    "URL": plain("url_string", _url),
    "UUID": function("", _make_uuid),
    "UUIDv7": function("", _make_uuid7),
    "IsRootSpan": function("", _make_root, ("span", "spanevent")),
    "HasAttrKeyOnDatapoint": function("key", _make_has_key, ("metric",)),
    "HasAttrOnDatapoint": function("key value", _make_has_attribute, ("metric",)),
}
