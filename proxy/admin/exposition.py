"""Series -> the text that Prometheus reads: text 0.0.4, or OpenMetrics 1.0 with exemplars.

Names follow the OTLP to Prometheus rules (compatibility/prometheus_and_openmetrics.md): invalid
characters become `_`, the unit is appended as a word, counters end in `_total`. Which series
exist, and what they mean, is not known here.

The text is the one that prometheus-client writes, byte for byte, and tests hold it to that; but it
comes series by series, so that a page of 30 MB stops nobody, and in a tenth of the time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Exemplar, Point, Series

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_TYPES = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
_INVALID = re.compile(r"[^a-zA-Z0-9_]+")
_RUNS = re.compile(r"_{2,}")

# As one set of labels stands in a sample's line; before and after the bound of a bucket.
_Labels = tuple[str, str, str]


def expose(series: Iterable[Series], accept: str) -> tuple[bytes, str]:
    """(body, content type) in the format that the Accept header prefers, at once."""
    openmetrics = wants_openmetrics(accept)
    text = "".join(lines(grouped(series), openmetrics))
    return text.encode("utf-8"), OPENMETRICS if openmetrics else TEXT


def lines(series: Iterable[Series], openmetrics: bool) -> Iterator[str]:
    """The text of a page, series by series; those of one instrument must come together."""
    family: _Family | None = None
    for instrument, attributes, value, memo in series:
        if family is None or family.instrument.name != instrument.name:
            family = _Family(instrument, openmetrics)
            yield family.head
        labels = memo.labels if memo is not None else None
        if labels is None:
            labels = _labels_text(attributes)
            if memo is not None:
                memo.labels = labels
        if isinstance(value, Point):
            yield family.histogram(labels, value)
        else:
            yield f"{family.sample}{labels[0]} {family.in_unit(value)}\n"
    if openmetrics:
        yield "# EOF\n"


def grouped(series: Iterable[Series]) -> Iterator[Series]:
    """Those of one instrument together, in the order in which instruments came."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.instrument.name, []).append(one)
    for group in groups.values():
        yield from group


def wants_openmetrics(accept: str) -> bool:
    """RFC 9110 §12.5.1; text 0.0.4 where nothing that we have is named.

    Versions: Prometheus asks for 1.0.0 and 0.0.1, whose consumers read 1.0.0; not for ours
    is what names a later major version.
    """
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        if kind in best and values.get("version", "0")[:2] in ("0", "0.", "1", "1."):
            best[kind] = max(best[kind], _quality(values.get("q", "1")))
    return best["application/openmetrics-text"] > 0 and (
        best["application/openmetrics-text"] >= best["text/plain"]
    )


def metric_name(instrument: Instrument) -> str:
    """The family's name, without the `_total` of a counter's samples."""
    if instrument.page:
        return instrument.page
    name = _clean(instrument.name)
    unit = _UNITS.get(instrument.unit, "")
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def labels_of(attributes: Attributes) -> dict[str, str]:
    """Attributes as labels; those whose names fall together are joined with `;`, by the rules."""
    labels: dict[str, str] = {}
    for key, value in sorted(attributes):
        name = _clean(key)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


class _Family:
    """What all series of one instrument share in the text."""

    __slots__ = ("bounds", "head", "instrument", "name", "openmetrics", "sample")

    def __init__(self, instrument: Instrument, openmetrics: bool) -> None:
        self.instrument = instrument
        self.openmetrics = openmetrics
        self.name = metric_name(instrument)
        self.sample = f"{self.name}_total" if instrument.kind is Kind.COUNTER else self.name
        self.bounds = [str(float(_in_unit(b, instrument))) for b in instrument.boundaries]
        self.bounds.append("+Inf")
        self.head = self._head()

    def _head(self) -> str:
        """In OpenMetrics a counter's name is without `_total`; quotes are escaped only there."""
        what = _escape(self.instrument.description, quotes=self.openmetrics)
        name = self.name if self.openmetrics else self.sample
        head = f"# HELP {name} {what}\n# TYPE {name} {_TYPES[self.instrument.kind]}\n"
        unit = _UNITS.get(self.instrument.unit, "")
        return head + (f"# UNIT {name} {unit}\n" if unit and self.openmetrics else "")

    def in_unit(self, raw: int) -> str:
        return _number(_in_unit(raw, self.instrument))

    def histogram(self, labels: _Labels, point: Point) -> str:
        plain, before, after = labels
        name, total = self.name, 0
        start, out = f"{name}_bucket{before}", []
        exemplars = self._exemplars(point)
        for bound, count, exemplar in zip(self.bounds, point.counts, exemplars, strict=True):
            total += count
            value = f"{total}.0" if total < 1_000_000 else _number(total)
            out.append(f"{start}{bound}{after} {value}{exemplar}\n")
        out.append(f"{name}_count{plain} {_number(total)}\n")
        out.append(f"{name}_sum{plain} {self.in_unit(point.sum)}\n")
        return "".join(out)

    def _exemplars(self, point: Point) -> list[str]:
        if not self.openmetrics or not point.exemplars:
            return [""] * len(point.counts)
        return [self._exemplar(e) if e is not None else "" for e in point.exemplars]

    def _exemplar(self, exemplar: Exemplar) -> str:
        trace, span = exemplar.trace_id.decode("ascii"), exemplar.span_id.decode("ascii")
        value, time = self.in_unit(exemplar.value), exemplar.time / 1e9
        return f' # {{span_id="{span}",trace_id="{trace}"}} {value} {time}'


def _labels_text(attributes: Attributes) -> _Labels:
    found = sorted(labels_of(attributes).items())
    texts = [(name, f'{name}="{_escape(value)}"') for name, value in found]
    plain = ",".join(text for _, text in texts)
    before = "".join(f"{text}," for name, text in texts if name < "le")
    after = "".join(f",{text}" for name, text in texts if name > "le")
    return f"{{{plain}}}" if plain else "", f'{{{before}le="', f'"{after}}}'


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    """As Go writes it: exponents come sooner than in Python."""
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02d}"
    return text


def _in_unit(raw: int, instrument: Instrument) -> float:
    return raw / instrument.divisor if instrument.divisor != 1 else raw


def _clean(name: str) -> str:
    name = _RUNS.sub("_", _INVALID.sub("_", name))
    return f"_{name}" if name[:1].isdigit() else name


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
