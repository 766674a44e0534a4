"""`include` and `exclude` of the Collector's older filter, written as conditions of OTTL.

What `exclude` matches is dropped, and what `include` does not match. Names of one list are
alternatives; lists, and attributes, must all match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.rules import Walk

_SERVICE = 'resource.attributes["service.name"]'
# Signal -> list of texts -> path
_TEXTS = {
    "metrics": {"metric_names": "name"},
    "logs": {"bodies": "body", "severity_texts": "severity_text"},
    "spans": {"services": _SERVICE, "span_names": "name"},
}
# Signal -> list of { key, value } -> path
_PAIRS = {
    "metrics": {"resource_attributes": "resource.attributes"},
    "logs": {"record_attributes": "attributes", "resource_attributes": "resource.attributes"},
    "spans": {"attributes": "attributes", "resources": "resource.attributes"},
}
_PLACES = {
    "metrics": ("metrics", "metric"),
    "logs": ("logs", "log_record"),
    "spans": ("traces", "span"),
}


def is_legacy(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"include", "exclude"})


def translate(walk: Walk, value: dict[str, Any], source: Path) -> None:
    """The conditions of `metrics`, `logs` or `spans`."""
    signal = str(source[-1])
    found = []
    for key, match in value.items():
        place = (*source, key)
        if key not in ("include", "exclude") or not isinstance(match, dict):
            walk.report.error(place, f"`{key}` is not known here", "include and exclude are")
            continue
        condition = " and ".join(_parts(walk, signal, match, place))
        if condition:
            found.append(condition if key == "exclude" else f"not ({condition})")
    if found:
        walk.put(found, source, *_PLACES[signal])


def _parts(walk: Walk, signal: str, match: dict[str, Any], source: Path) -> Iterator[str]:
    regexp = match.get("match_type") == "regexp"
    for key, value in match.items():
        place = (*source, key)
        if key in ("match_type", "regexp"):
            continue
        if key in _TEXTS[signal] and isinstance(value, list):
            yield _any(_TEXTS[signal][key], value, regexp)
        elif key in _PAIRS[signal] and isinstance(value, list):
            yield from _all(_PAIRS[signal][key], value, regexp)
        elif key == "severity_number" and isinstance(value, dict) and "min" in value:
            yield f"severity_number >= SEVERITY_NUMBER_{str(value['min']).upper()}"
        else:
            remedy = "write conditions: metrics: {metric: ['…']}"
            walk.report.error(place, f"`{key}` is not there", remedy)


def _any(path: str, values: list[Any], regexp: bool) -> str:
    tests = [_test(path, regexp)(value) for value in values]
    return f"({' or '.join(tests)})" if tests else "false"


def _all(path: str, pairs: list[Any], regexp: bool) -> Iterator[str]:
    for pair in pairs:
        table = {str(k).lower(): v for k, v in pair.items()} if isinstance(pair, dict) else {}
        member = f"{path}[{_quoted(table.get('key', ''))}]"
        if table.get("value") is None:
            yield f"{member} != nil"
        else:
            yield _test(member, regexp)(table["value"])


def _test(path: str, regexp: bool) -> Callable[[Any], str]:
    if regexp:
        return lambda value: f"IsMatch({path}, {_quoted(value)})"
    return lambda value: f"{path} == {_literal(value)}"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _quoted(value)


def _quoted(value: Any) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
