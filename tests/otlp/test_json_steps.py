"""OTLP/JSON in steps says what OTLP/JSON in one go says, however small the window is."""

from __future__ import annotations

import json

import pytest

from proxy.otlp import json as whole
from proxy.otlp import json_cursor, json_steps
from proxy.otlp.json_cursor import Cursor
from proxy.otlp.messages import REQUESTS
from proxy.otlp.turns import finished
from proxy.otlp.wire import WireError
from tests.otlp import samples

SIGNALS = {
    "traces": samples.request("traces", 40),
    "metrics": samples.metrics(30, names=3),
    "logs": samples.request("logs", 40),
}


def read(signal: str, text: bytes) -> object:
    return REQUESTS[signal].FromString(finished(json_steps.decoded(signal, text)))


@pytest.mark.parametrize("window", [40, 64, 300, 32 * 1024])
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("indent", [None, 3])
def test_it_reads_what_the_other_reads(
    signal: str, window: int, indent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", window)
    text = whole.request_to_json(signal, SIGNALS[signal])
    text = json.dumps(json.loads(text), indent=indent).encode()
    assert read(signal, text) == REQUESTS[signal].FromString(SIGNALS[signal])


@pytest.mark.parametrize("window", [16, 64, 300])
@pytest.mark.parametrize(
    "text",
    [
        "plain" * 50,
        'quoted " and \\ back' * 9,
        "ünïcödé €" * 30,
        "\U0001f600\ud7ff" * 40,
        "\n\t" * 90,
    ],
)
def test_long_texts_are_whole(text: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", window)
    for ascii in (True, False):
        tree = {"resourceSpans": [{"unknown": [text, {"a": [text]}], "schemaUrl": text}]}
        made = read("traces", json.dumps(tree, ensure_ascii=ascii).encode())
        assert made.resource_spans[0].schema_url == text  # type: ignore[attr-defined]


@pytest.mark.parametrize("window", [16, 32 * 1024])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"resourceSpans":[{}',
        '{"resourceSpans":[{} {}]}',
        '{"resourceSpans":{}}',
        '{"resourceSpans":["a long text that is not an object"]}',
        '{"resourceSpans":[{"schemaUrl":' + "1" * 99 + "}]}",
        '{"resourceSpans":[{"schemaUrl":"' + "a" * 99 + "}]}",
        '{"resourceSpans":[]} and something that follows',
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
def test_what_is_none_is_refused(text: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", window)
    with pytest.raises(WireError):
        read("traces", text.encode())


def test_members_of_an_array_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", 64)
    tree = [1, "a" * 200, {"b": [{"c": "d" * 99}] * 3, "e": 1.5}, [], None, "ä" * 70]
    assert list(Cursor(json.dumps(tree).encode()).elements()) == tree
