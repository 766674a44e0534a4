"""What a request holds is a stranger's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.messaging import batch
from proxy.messaging.message import Message, NotWritten

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("value", "text", "base64", "key", "headers", "other"), JSON)
)


@given(st.lists(MESSAGES | JSON, max_size=5), st.booleans())
def test_each_is_a_message_or_told(items: list[Any], lines: bool) -> None:
    """As many as were sent, in their order."""
    body, kind = json.dumps(items).encode(), "application/json"
    if lines:
        body, kind = b"\n".join(json.dumps(i).encode() for i in items), batch.LINES[0]
    found = batch.messages(body, kind, [])
    assert len(found) == len(items)
    for item, one in zip(items, found, strict=True):
        if isinstance(one, NotWritten):
            assert one.status == 400
        elif "value" in item:
            assert (None if one.value is None else json.loads(one.value)) == item["value"]


@given(st.binary(max_size=200), st.sampled_from(["application/json", *batch.LINES, "text/plain"]))
def test_any_bytes_are_taken_or_refused(body: bytes, kind: str) -> None:
    try:
        found = batch.messages(body, kind, [])
    except NotWritten as error:
        assert error.status == 400
    else:
        assert all(isinstance(one, Message | NotWritten) for one in found)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "one of value, text, base64"),
        ({"value": 1, "text": "a"}, "one of value, text, base64"),
        ({"text": 1}, "`text` is a string"),
        ({"base64": "?"}, "base64"),
        ({"base64": "AP8"}, "base64"),
        ({"text": "a", "key": 1}, "`key` is a string"),
        ({"text": "a", "headers": ["a"]}, "`headers` is an object"),
        ({"text": "a", "headers": {"x": 1}}, "`headers` has strings"),
        ({"text": "a", "headers": {"": "1"}}, "`headers` has strings"),
        ({"text": "a", "headers": {"TraceParent": "1"}}, "the gateway's to write"),
        ({"text": "a", "topic": "other"}, "'topic' is nothing of a message"),
        ("text", "a JSON object"),
    ],
)
def test_what_is_no_message_is_told_why(item: Any, said: str) -> None:
    (found,) = batch.messages(json.dumps([item]).encode(), "application/json", [])
    assert isinstance(found, NotWritten)
    assert (found.status, said in found.detail) == (400, True)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(NotWritten, match="no JSON"):
        batch.messages(b'[{"text": "\xff"}]', "application/json", [])
    bad, good = batch.messages(b'{"text": "\xff"}\n{"text": "x"}', "application/x-ndjson", [])
    assert isinstance(bad, NotWritten)
    assert isinstance(good, Message)


def test_a_batch_has_so_many_messages_and_no_more() -> None:
    body = b"[" + b",".join([b'{"text":"a"}'] * (batch.MOST + 1)) + b"]"
    with pytest.raises(NotWritten) as caught:
        batch.messages(body, "application/json", [])
    assert caught.value.status == 413
