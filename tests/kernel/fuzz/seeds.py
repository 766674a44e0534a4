"""What fuzzing begins with: a few good inputs for each target, and words to put into them."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tests.kernel import heads, otlp_samples

WORDS = (
    *(b"content-length|transfer-encoding|chunked|connection|close|upgrade|keep-alive|host").split(
        b"|"
    ),
    *b"HTTP/1.1|HTTP/1.0|\r\n\r\n|: |GET |POST |expect|100-continue|te|via|traceparent".split(b"|"),
    *b'{"|"}|[{|}]|":|stringValue|intValue|doubleValue|\\u00e4|\\ud83d\\ude00|1e308|null'.split(
        b"|"
    ),
)
_PATHS = (b"/a/b\n/a/*\n/*/b\n/a/b/c\n/a/b", b"/\n/*\n/a//b\n/x/y/z")
_TRACE = (
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"0af7651916cd43dd8448eb211c8",
)
_RECORDS = (b"/a/b?token=1&X=2", b'/\xc3\xa4?%74oken=\xf0\x9f\x98\x80\xff"\\\x00\x7f')
_BODIES = (
    b"\x003\r\nabc\r\n0\r\n\r\n",
    b"\x09a;x=y\r\n0123456789\r\n1 \r\nx\r\n0\r\nGrpc-Status: 0\r\n\r\n",
    b"\x01" + b"1\r\na\r\n" * 50 + b"0\r\n\r\nGET / HTTP/1.1\r\n",
)


def seeds(target: str) -> Iterable[bytes]:
    return {
        "request": lambda: heads.REQUESTS,
        "response": lambda: heads.ANSWERS,
        "body": lambda: _BODIES,
        "trace": lambda: _TRACE,
        "record": lambda: _RECORDS,
        "path": lambda: _PATHS,
        "spans": _scopes,
        "protobuf": lambda: _samples(is_json=False),
        "json": lambda: _samples(is_json=True),
    }[target]()


def _samples(*, is_json: bool) -> Iterable[bytes]:
    from proxy.otlp.json import request_to_json
    from proxy.otlp.schema import SCHEMAS

    chance = random.Random(1)
    for number, signal in enumerate(SCHEMAS):
        for faults in (0.0, 0.0, 0.1):
            wire = otlp_samples.request(signal, chance, faults=faults).SerializeToString()
            yield bytes([number]) + (request_to_json(signal, wire) if is_json else wire)


def _scopes() -> Iterable[bytes]:
    chance = random.Random(1)
    for faults in (0.0, 0.0, 0.1):
        request = otlp_samples.request("traces", chance, faults=faults)
        for envelope in request.resource_spans:
            yield from (scope.SerializeToString() for scope in envelope.scope_spans)
