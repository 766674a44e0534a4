"""What is counted of a request's trace context, case by case."""

from __future__ import annotations

import pytest

from proxy.http.head import RequestHead
from proxy.http.headers import TRACE, bits
from proxy.tracing.brought import BROUGHT, ORDINARY, attributes
from proxy.tracing.propagate import Extractor

from . import cases

PARENT = b"traceparent: " + cases.W3C + b"-01"
SINGLE = b"b3: " + cases.TRACE + b"-" + cases.SPAN + b"-1"
MULTI = b"X-B3-TraceId: " + cases.TRACE + b"\r\nX-B3-SpanId: " + cases.SPAN
BOTH = ["w3c", "b3"]
CONTEXT = bits(TRACE)


@pytest.mark.parametrize(
    ("formats", "lines", "trusted", "result"),
    [
        (BOTH, b"", True, ("absent", "none")),
        (BOTH, PARENT, True, ("continued", "w3c")),
        (BOTH, SINGLE, True, ("continued", "b3")),
        (BOTH, MULTI, True, ("continued", "b3multi")),
        (["b3multi"], MULTI, True, ("continued", "b3multi")),
        (BOTH, PARENT, False, ("untrusted", "w3c")),
        (BOTH, SINGLE, False, ("untrusted", "b3")),
        (BOTH, MULTI, False, ("untrusted", "b3multi")),
        (BOTH, b"traceparent: 00-1-2-3", True, ("invalid", "w3c")),
        (BOTH, b"traceparent: 00-1-2-3", False, ("invalid", "w3c")),
        (BOTH, b"b3: no", True, ("invalid", "b3")),
        (BOTH, b"X-B3-TraceId: no", True, ("invalid", "b3multi")),
        (BOTH, b"traceparent: no\r\n" + SINGLE, True, ("continued", "b3")),
        (["w3c"], SINGLE, True, ("absent", "b3")),
        (["w3c"], MULTI, True, ("absent", "b3multi")),
        (["b3"], PARENT, True, ("absent", "w3c")),
        (BOTH, b"b3: 0", True, ("absent", "b3")),
        (BOTH, b"X-B3-Sampled: 1", False, ("absent", "b3multi")),
        (BOTH, b"tracestate: a=b", True, ("absent", "none")),
    ],
)
def test_what_was_brought(
    formats: list[str], lines: bytes, trusted: bool, result: tuple[str, str]
) -> None:
    pairs = [line.split(b": ") for line in lines.split(b"\r\n") if line]
    head = RequestHead()
    head.hold({name.lower(): value for name, value in pairs})
    assert head.seen & CONTEXT or not lines
    extractor = Extractor(formats)
    context = extractor.read(head, head.seen)
    assert BROUGHT[extractor.brought(context, trusted, head, head.seen)] == result


def test_ordinary_requests_have_nothing_to_tell() -> None:
    told = [attributes(code) for code in range(len(BROUGHT))]
    assert not any(told[: ORDINARY + 1])
    assert all(told[code] for code in range(ORDINARY + 1, len(BROUGHT)) if code != 7)
