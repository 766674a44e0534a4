"""Hints that follow from the value as much as from the word: rules, locations, nginx's `return`."""

from __future__ import annotations

import re

from proxy.config.words import paths, values

_RETURN = re.compile(r"(\d{3})\s+(.*)", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SECTIONS = ("receivers", "processors", "exporters", "connectors")
_PREFIXES = ("paths", "uris", "uri", "path_prefix", "prefix", "path_beg", "path_separated_prefix")


def hint(table: str, name: str, value: object) -> str:
    """What to write instead of `name = value`; "" if the word alone says it all."""
    if table == "Config" and name in _SECTIONS and isinstance(value, dict) and value:
        id = next(iter(value))
        id = id if _BARE.fullmatch(id) else f'"{id}"'
        return f"the collector's tables are below [collector]: write [collector.{name}.{id}]"
    if name == "match" and isinstance(value, dict):
        return paths.match(value)
    if name == "strip_path" and value is False:
        return "the path is passed on whole by itself: leave it out"
    if name in ("return", "redir") and isinstance(value, int):
        return _returned(str(value))
    if name in _PREFIXES and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or table == "Upstream":
        return ""
    if name == "rule" or (name == "match" and "(" in value):
        return paths.rule(value)
    if name in ("location", "match", "route", "handle", *_PREFIXES):
        return paths.location(value)
    if name == "handle_path":
        path = value.rstrip("*").rstrip("/")
        return f'write path = "{path}/*" and rewrite = {{ strip = "{path}" }}' if path else ""
    return _returned(value) if name in ("return", "redir") else ""


def _returned(value: str) -> str:
    found = _RETURN.fullmatch(value)
    status, rest = (int(found[1]), found[2].strip("\"' ")) if found else (0, "")
    if 300 <= status < 400 and (to := values.translated(rest)):
        return f'write redirect = {{ to = "{to}", status = {status} }}'
    if status:
        return f'write respond = {{ status = {status}, body = "{rest}" }}'
    return f"write respond = {value}" if re.fullmatch(r"\d{3}", value) else ""
