"""Large requests in parts: nothing is lost, nothing is there twice, and no bomb goes through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp import parts as module
from proxy.otlp.messages import REQUESTS, amount_in
from proxy.otlp.parts import FRAMES, ITEM, PART, checked, parts
from proxy.otlp.turns import finished
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.otlp import samples

LARGE = "x" * (PART // 3)


def request(resources: int, scopes: int, spans: int, text: str = "") -> Any:
    made = REQUESTS["traces"]()
    for r in range(resources):
        resource = made.resource_spans.add(schema_url=f"r{r}")
        resource.resource.attributes.add(key="r").value.int_value = r
        for s in range(scopes):
            scope = resource.scope_spans.add(schema_url=f"s{s}")
            scope.scope.name = f"scope {s}"
            for n in range(spans):
                scope.spans.add().CopyFrom(samples.span(n, name=f"{n}{text}"))
    return made


def flat(requests: list[Any]) -> list[tuple[int, str, str, bytes]]:
    """Every span with what encloses it."""
    return sorted(
        (
            resource.resource.attributes[0].value.int_value,
            resource.schema_url + scope.schema_url,
            scope.scope.name,
            span.SerializeToString(),
        )
        for one in requests
        for resource in one.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 12), st.sampled_from(["", LARGE]))
def test_every_item_is_in_one_part_with_what_encloses_it(r: int, s: int, n: int, text: str) -> None:
    whole = request(r, s, n, text)
    found = finished(parts("traces", whole.SerializeToString()))
    decoded = [REQUESTS["traces"].FromString(part.payload()) for part in found]
    assert flat(decoded) == flat([whole])
    assert [part.items for part in found] == [amount_in("traces", one) for one in decoded]
    assert all(len(part.payload()) < 3 * PART for part in found)


def test_a_metric_with_many_points_is_cut_within() -> None:
    payload = samples.metrics(60_000)
    found = finished(parts("metrics", payload))
    assert len(found) > 4
    assert sum(part.items for part in found) == 60_000
    first = REQUESTS["metrics"].FromString(found[-1].payload())
    assert first.resource_metrics[0].scope_metrics[0].metrics[0].name == "sample.0"


@given(st.binary(max_size=400))
def test_any_bytes_are_judged_as_the_library_does(data: bytes) -> None:
    try:
        whole: int | None = checked("traces", data).items
    except WireError:
        whole = None
    try:
        found: int | None = sum(part.items for part in finished(parts("traces", data)))
    except WireError:
        found = None
    assert found == whole or found is None


def nest(body: bytes, *numbers: int) -> bytes:
    for number in reversed(numbers):
        body = delimited(number, body)
    return body


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a\x00" * 500_000,
        nest(b"\x12\x00" * 500_000, 1),
        nest(b"\x12\x00" * 500_000, 1, 2),
        nest(b"\x4a\x00" * 500_000, 1, 2, 2),
        nest(b"\x0a" + b"\xff\xff\x3f" + bytes(1_048_575), 1),
        nest(b"\x12\x00", 1, 2) + nest(delimited(1, bytes(FRAMES)), 1),
        nest(b"\x2a" + delimited(1, b"a" * (ITEM + 1))[1:], 1, 2, 2),
    ],
    ids=["resources", "scopes", "spans", "attributes", "a resource", "a frame", "an item"],
)
def test_what_is_too_much_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        finished(parts("traces", payload))


def test_steps_are_short() -> None:
    payload = request(1, 1, 20_000).SerializeToString()
    steps = sum(1 for _ in parts("traces", payload))
    assert steps >= len(payload) // module.PART
