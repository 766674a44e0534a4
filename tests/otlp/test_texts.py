"""One text that is none does not cost everything that was sent with it: U+FFFD, and on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp import json_cursor, json_steps, texts
from proxy.otlp.json import request_from_json
from proxy.otlp.messages import REQUESTS
from proxy.otlp.parts import Unreadable, checked, parts
from proxy.otlp.turns import finished
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.otlp import samples

HALVES = ["\ud83d", "a\ud83d", "\ud83db", "\ude00\ud83d", "\udc00x\ud800", "\ud83d\ud83d"]
PAIR = "a\U0001f600"


def tree(text: str) -> dict[str, Any]:
    """A request that says it wherever a text can be."""
    value = {
        "kvlistValue": {
            "values": [{"key": text, "value": {"arrayValue": {"values": [{"stringValue": text}]}}}]
        }
    }
    attributes = [{"key": text, "value": value}]
    span = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "name": text,
        "traceState": text,
        text: text,  # no field of OTLP
        "attributes": attributes,
        "events": [{"name": text, "attributes": attributes}],
        "status": {"message": text},
    }
    scope = {"scope": {"name": text, "version": text}, "spans": [span], "schemaUrl": text}
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}


def whole(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@pytest.mark.parametrize("window", [64, 32 * 1024])
@pytest.mark.parametrize("text", [*HALVES, PAIR])
def test_half_a_surrogate_pair_costs_only_itself(
    text: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", window)
    said, wanted = json.dumps(tree(text)).encode(), json.dumps(tree(whole(text))).encode()
    assert request_from_json("traces", said) == request_from_json("traces", wanted)
    read = finished(json_steps.decoded("traces", said))
    kind = REQUESTS["traces"]
    assert kind.FromString(read) == kind.FromString(request_from_json("traces", wanted))


@pytest.mark.parametrize("window", [64, 32 * 1024])
@pytest.mark.parametrize("raw", [b"\xff", b"a\xf0\x9f", b"\xc3("])
def test_json_that_is_not_utf_8_costs_only_the_text(
    raw: bytes, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_cursor, "WINDOW", window)
    said = json.dumps(tree("TEXT")).encode().replace(b"TEXT", raw)
    wanted = request_from_json("traces", said.decode("utf-8", "replace").encode())
    whole = request_from_json("traces", said)
    read = finished(json_steps.decoded("traces", said))
    for found in (whole, read):
        assert REQUESTS["traces"].FromString(found) == REQUESTS["traces"].FromString(wanted)


@pytest.mark.parametrize("raw", [b"\xff\xfe\xfd\xfc", b"a\xf0\x9f\x98", b"\xed\xa0\xbd."])
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_protobuf_texts_that_are_not_utf_8_cost_only_themselves(signal: str, raw: bytes) -> None:
    request = {
        "traces": samples.request("traces", 5),
        "metrics": samples.metrics(5),
        "logs": samples.request("logs", 5),
    }[signal]
    place = request.index(b"service.name") if b"service.name" in request else request.index(b"sam")
    broken = request[:place] + raw + request[place + len(raw) :]
    with pytest.raises(Unreadable):
        checked(signal, broken)
    (part,) = finished(parts(signal, broken))
    assert part.items == 5
    assert "\ufffd".encode() in part.payload()
    REQUESTS[signal].FromString(part.payload())


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=4), st.binary(max_size=3))
def test_any_texts_are_mended_and_nothing_else_is_changed(raw: list[bytes], more: bytes) -> None:
    made = REQUESTS["traces"]()
    span = made.resource_spans.add().scope_spans.add().spans.add(trace_id=b"1" * 16)
    for number, _ in enumerate(raw):
        span.attributes.add(key=f"TEXT{number}").value.bytes_value = more
    said = made.SerializeToString()
    for number, text in enumerate(raw):
        span.attributes[number].key = text.decode("utf-8", "replace")
    broken = _with_texts(said, raw)
    try:
        REQUESTS["traces"].FromString(broken)
    except DecodeError:
        assert finished(texts.mended("traces", broken)) == made.SerializeToString()
    else:
        with pytest.raises(WireError):
            finished(texts.mended("traces", broken))


def _with_texts(request: bytes, raw: list[bytes]) -> bytes:
    """Put these in the place of TEXT0, TEXT1…, with the lengths of what is around them."""
    made = REQUESTS["traces"].FromString(request)
    span = made.resource_spans[0].scope_spans[0].spans[0]
    attributes = [a.value.SerializeToString() for a in span.attributes]
    del span.attributes[:]
    body = span.SerializeToString() + b"".join(
        delimited(9, (delimited(1, text) if text else b"") + delimited(2, value))
        for text, value in zip(raw, attributes, strict=True)
    )
    return delimited(1, delimited(2, delimited(2, body)))
