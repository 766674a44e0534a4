"""Names: what OTLP calls a metric, an attribute or a unit, and what Prometheus calls it.

Pure and remembered, since the same few names are asked for again and again.

Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md; words of units as
in the OpenTelemetry Collector's pkg/translator/prometheus.
"""

from __future__ import annotations

import re
from functools import lru_cache

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
}
_PER = {
    "s": "second",
    "m": "minute",  # as the Collector reads it below a slash
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_UCUM = {word: unit for unit, word in _UNITS.items()} | {"ratio": "1"}
_UCUM_PER = {word: unit for unit, word in _PER.items()} | {"minute": "min"}

_BRACES = re.compile(r"\{[^}]*\}")
_NOT_METRIC = re.compile(r"[^a-zA-Z0-9:]+")  # runs of them, and of _, become one _
_NOT_OWN = re.compile(r"[^a-zA-Z0-9_:]")  # names in UTF-8, of Prometheus 3
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_KEPT = 20_000


@lru_cache(_KEPT)
def metric_name(name: str, unit: str, kind: str, suffixes: bool, namespace: str = "") -> str:
    """A Prometheus name; `kind` is "sum" for what only grows, "gauge", or anything else.

    >>> metric_name("http.server.request.duration", "s", "histogram", True)
    'http_server_request_duration_seconds'
    """
    words = [word for word in _NOT_METRIC.split(name) if word]
    if suffixes:
        for word in unit_words(unit, kind).split("_"):
            if word and (word not in words or word == "per"):
                words.append(word)
        if kind == "sum":
            words = [word for word in words if word != "total"] + ["total"]
    if namespace:
        words.insert(0, _NOT_METRIC.sub("_", namespace).strip("_"))
    made = "_".join(words)
    return f"_{made}" if not made or made[0].isdigit() else made


@lru_cache(_KEPT)
def own_name(name: str, namespace: str = "") -> str:
    """A name that is Prometheus's own already: as it is, but for what only newer ones may have."""
    made = _NOT_OWN.sub("_", name)
    if namespace:
        return f"{_NOT_METRIC.sub('_', namespace).strip('_')}_{made}"
    return f"_{made}" if not made or made[0].isdigit() else made


@lru_cache(_KEPT)
def unit_words(unit: str, kind: str = "") -> str:
    """Of s: seconds, of m/s: meters_per_second, of {request}: "", of 1, if it is a gauge: ratio.

    A unit that is not in the table is taken as it stands, cleaned.
    """
    if unit == "1":
        return "ratio" if kind == "gauge" else ""
    main, slash, per = _BRACES.sub("", unit).partition("/")
    main, per = main.strip(), per.strip()
    out = _clean(_UNITS.get(main, main)) if main != "1" else ""
    if slash and per:
        out += f"_per_{_clean(_PER.get(per, per))}"
    return out.strip("_")


@lru_cache(_KEPT)
def ucum(words: str) -> str:
    """The way back: "seconds" -> "s", "meters_per_second" -> "m/s"; unknown words stay."""
    main, per, below = words.partition("_per_")
    if per:
        return f"{_UCUM.get(main, main)}/{_UCUM_PER.get(below, below)}"
    return _UCUM.get(words, words)


@lru_cache(_KEPT)
def label_name(key: str) -> str:
    """An attribute's key as a label: `_` for what may not be in one.

    Those that begin with a digit or with the reserved `__` get a word in front.
    """
    made = _NOT_LABEL.sub("_", key)
    if not made or made[0].isdigit():
        return f"key_{made}"
    return f"key{made}" if made.startswith("__") else made


def _clean(text: str) -> str:
    return _NOT_METRIC.sub("_", text).strip("_")
