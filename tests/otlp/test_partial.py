"""What is said of a request that was taken in part."""

from __future__ import annotations

import json

import pytest

from proxy.otlp.partial import Rejected, amount, response_bytes, response_json
from proxy.otlp.wire import partial_success


@pytest.mark.parametrize(
    ("items", "signal", "text"),
    [
        (1, "traces", "1 span"),
        (2, "traces", "2 spans"),
        (1, "metrics", "1 data point"),
        (0, "metrics", "0 data points"),
        (1, "logs", "1 log record"),
        (7, "logs", "7 log records"),
        (1, "profiles", "1 profile request"),
    ],
)
def test_items_have_the_name_of_what_is_counted(items: int, signal: str, text: str) -> None:
    assert amount(items, signal) == text


def test_both_forms_say_the_same() -> None:
    rejected = Rejected(300, "ünïcode")
    assert partial_success(response_bytes(rejected)) == (300, "ünïcode")
    for signal, key in (
        ("traces", "rejectedSpans"),
        ("metrics", "rejectedDataPoints"),
        ("logs", "rejectedLogRecords"),
    ):
        said = json.loads(response_json(signal, rejected))
        assert said == {"partialSuccess": {key: "300", "errorMessage": "ünïcode"}}
        assert json.loads(response_json(signal, None)) == {}
    assert response_bytes(None) == b""
