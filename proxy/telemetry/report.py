"""Reports as bytes, for the way from a process to the hub: msgpack, read strictly by its types.

Sums of durations pass 2^63 ns within days where many long requests run, and msgpack has no larger
whole number than 2^64, so a sum goes as two.
"""

from __future__ import annotations

import msgspec

from proxy.telemetry.metrics import Attributes, Exemplar, Point, Report

_LOW = 1 << 48

_Sum = tuple[int, int]  # in units of _LOW, and the rest
_Number = tuple[str, Attributes, int]
_Histogram = tuple[str, Attributes, tuple[int, ...], _Sum, tuple[Exemplar | None, ...]]
_Key = tuple[str, Attributes]
_Wire = tuple[list[_Number], list[_Histogram], list[_Key]]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)


def encode(report: Report) -> bytes:
    """What a METRICS frame carries."""
    numbers = [(name, attributes, n) for (name, attributes), n in report.numbers.items()]
    histograms = [
        (name, attributes, point.counts, divmod(point.sum, _LOW), point.exemplars)
        for (name, attributes), point in report.histograms.items()
    ]
    return _encoder.encode((numbers, histograms, report.forgotten))


def decode(payload: bytes) -> Report:
    """Raises msgspec.MsgspecError when it is not one."""
    numbers, histograms, forgotten = _decoder.decode(payload)
    return Report(
        {(name, attributes): number for name, attributes, number in numbers},
        {
            (name, attributes): Point(counts, high * _LOW + low, exemplars)
            for name, attributes, counts, (high, low), exemplars in histograms
        },
        forgotten,
    )
