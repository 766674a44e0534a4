from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.collector.batch import Batch
from proxy.collector.processors.probabilistic_sampler import thresholds
from proxy.collector.processors.probabilistic_sampler.processor import put
from proxy.config.load import ConfigError
from proxy.otlp.wire import WireError
from tests.collector.kit import Place, batch, settings

SAMPLER = "probabilistic_sampler"
UNKNOWN_FIELD = b"\xfa\x3f\x04keep"  # field 1023, delimited, which no version of OTLP has


def place(toml: str, signal: Any = "traces") -> Place:
    found = Place("processor", SAMPLER, signal=signal)
    found.make(toml)
    return found


def traces(*spans: Span) -> Batch:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return Batch("traces", request.SerializeToString(), len(spans))


def kept(found: Place) -> list[Span]:
    return [
        span
        for out in found.out
        for r in ExportTraceServiceRequest.FromString(out.payload).resource_spans
        for s in r.scope_spans
        for span in s.spans
    ]


def ids(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(16) for _ in range(count)]


def adjusted(span: Span) -> float:
    told = thresholds.read_state(span.trace_state.encode())
    assert told.threshold is not None
    return thresholds.WHOLE / (thresholds.WHOLE - told.threshold)


MODES = ["hash_seed", "proportional", "equalizing"]


@pytest.mark.parametrize("mode", MODES)
def test_the_share_is_right_and_counts_can_be_restored(mode: str) -> None:
    found = place(f'sampling_percentage = 25\nmode = "{mode}"')
    found.send(traces(*(Span(trace_id=i, span_id=b"12345678", name="x") for i in ids(4000))))
    spans = kept(found)
    assert 850 < len(spans) < 1150
    assert sum(map(adjusted, spans)) == pytest.approx(4000, rel=0.15)
    assert found.ledger.dropped == {"sampled": 4000 - len(spans)}
    for span in spans:  # whoever reads `th` and `rv` comes to the same decision
        told = thresholds.read_state(span.trace_state.encode())
        randomness = told.randomness or thresholds.of_trace_id(span.trace_id)
        assert randomness is not None and told.threshold is not None
        assert randomness >= told.threshold


@pytest.mark.parametrize("mode", MODES)
@given(seed=st.integers(0, 2**32 - 1), percentage=st.floats(1, 99))
def test_traces_stay_together_across_batches_and_collectors(
    mode: str, seed: int, percentage: float
) -> None:
    toml = f'sampling_percentage = {percentage!r}\nmode = "{mode}"\nhash_seed = {seed}'
    chosen = ids(40, seed)
    one, other = place(toml), place(toml)
    for number, found in ((0, one), (1, other), (2, one)):
        state = "" if number != 1 else "vendor=1"
        spans = [Span(trace_id=i, span_id=bytes((number,)) * 8, trace_state=state) for i in chosen]
        random.Random(seed + number).shuffle(spans)
        found.send(traces(*spans))
    assert {s.trace_id for s in kept(one)} == {s.trace_id for s in kept(other)}
    counts = [s.trace_id for s in kept(one)]
    assert all(counts.count(i) == 2 for i in counts)


def test_hash_seed_decides_as_the_collector_does() -> None:
    # FNV-1a over the seed and the id, both from the published test vectors of FNV
    assert thresholds.fnv32a(b"") == 0x811C9DC5
    assert thresholds.fnv32a(b"foobar") == 0xBF9CF968
    seed = 22
    hashed = [thresholds.fnv32a(seed.to_bytes(4, "little") + i) & 0x3FFF for i in ids(500)]
    found = place(f"sampling_percentage = 40\nhash_seed = {seed}")
    found.send(traces(*(Span(trace_id=i) for i in ids(500))))
    below = [i for i, h in zip(ids(500), hashed, strict=True) if h < int(0.4 * 16384)]
    assert [s.trace_id for s in kept(found)] == below


HALF = bytes(8) + b"\0" + b"\x80" + bytes(6)  # R = 8000…
HIGH = bytes(9) + b"\xff" * 7


@pytest.mark.parametrize(
    ("mode", "percentage", "trace_id", "state", "expected"),
    [
        ("proportional", 50, HIGH, "", "ot=th:8"),
        ("proportional", 50, HIGH, "ot=th:8", "ot=th:c"),
        ("proportional", 50, HALF, "ot=th:8", None),
        ("proportional", 50, HALF, "ot=th:8;rv:ffffffffffffff", "ot=th:c;rv:ffffffffffffff"),
        ("proportional", 50, HIGH, "ot=rv:00000000000000", None),
        ("proportional", 10, HIGH, "a=1,ot=th:0;x:y,b=2", "ot=th:e666;x:y,a=1,b=2"),
        ("proportional", 100, HALF, "ot=th:4", "ot=th:4"),
        ("proportional", 100, HALF, "", ""),
        ("equalizing", 50, HIGH, "ot=th:8", "ot=th:8"),
        ("equalizing", 50, HIGH, "ot=th:4", "ot=th:8"),
        ("equalizing", 50, HIGH, "ot=th:f", "ot=th:f"),  # sampled more sharply already
        ("equalizing", 50, HALF, "ot=th:f", None),  # and it should not be here
        ("hash_seed", 50, HIGH, "ot=th:8", "ot=th:c"),  # not hashed: counts stay right
        ("hash_seed", 100, HIGH, "", ""),
        ("proportional", 50, HIGH, "ot=th:xyz", None),
        ("proportional", 50, bytes(16), "", None),
        ("proportional", 50, b"", "", None),
        ("hash_seed", 0, HIGH, "", None),
        ("hash_seed", 0, HIGH, "ot=th:8", None),
        ("equalizing", 300, HALF, "v=root=1", "v=root=1"),
    ],
)
def test_what_the_tracestate_says_afterwards(
    mode: str, percentage: float, trace_id: bytes, state: str, expected: str | None
) -> None:
    found = place(f'sampling_percentage = {percentage}\nmode = "{mode}"')
    found.send(traces(Span(trace_id=trace_id, trace_state=state)))
    assert [s.trace_state for s in kept(found)] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("trace_id", "state", "expected"),
    [(b"", "", ""), (HIGH, "ot=th:xyz;k:v", "ot=k:v"), (HALF, "ot=th:f", "")],
)
def test_failing_open_keeps_items_without_a_count(
    trace_id: bytes, state: str, expected: str
) -> None:
    found = place('sampling_percentage = 1\nmode = "proportional"\nfail_closed = false')
    found.send(traces(Span(trace_id=trace_id, trace_state=state)))
    assert [s.trace_state for s in kept(found)] == [expected]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", [1, 14])
@given(
    trace_id=st.sampled_from([b"", bytes(16), b"short", HALF, HIGH]) | st.binary(max_size=17),
    state=st.sampled_from(["", "v=1", "ot=th:xyz", "ot=rv:1", "ot=th:f"])
    | st.integers(0, 2**56 - 1).map("ot=th:{:014x};rv:ffffffffffffff".format)
    | st.integers(1, 2**56 - 1).map("ot=th:{0:014x};rv:{0:014x}".format),
)
def test_of_everything_nothing_is_dropped(
    mode: str, precision: int, trace_id: bytes, state: str
) -> None:
    found = place(f'sampling_percentage = 100\nmode = "{mode}"\nsampling_precision = {precision}')
    found.send(traces(Span(trace_id=trace_id, trace_state=state)))
    assert len(kept(found)) == 1
    assert found.ledger.dropped == {}


@pytest.mark.parametrize("record", [{}, {"trace_id": bytes(16)}, {"sampling.threshold": "no"}])
def test_of_everything_no_record_is_dropped(record: dict[str, Any]) -> None:
    found = place("sampling_percentage = 100", "logs")
    found.send(logs(dict(record)))
    assert log_attributes(found) == [{k: v for k, v in record.items() if k != "trace_id"}]


@pytest.mark.parametrize(("value", "stays"), [(0, False), (1, True), ("2", True), (0.0, False)])
def test_sampling_priority(value: Any, stays: bool) -> None:
    for percentage in (0, 100):
        found = place(f"sampling_percentage = {percentage}")
        span = Span(trace_id=HIGH)
        field = {int: "int_value", str: "string_value", float: "double_value"}[type(value)]
        setattr(span.attributes.add(key="sampling.priority").value, field, value)
        found.send(traces(span))
        assert len(kept(found)) == stays
        assert [s.trace_state for s in kept(found)] == ["ot=th:0"] * stays


@pytest.mark.parametrize("mode", MODES)
def test_unknown_fields_and_foreign_members_stay(mode: str) -> None:
    raw = [
        Span.FromString(Span(trace_id=i, trace_state=state).SerializeToString() + UNKNOWN_FIELD)
        for i in ids(64)
        for state in ("", "vendor=1", "ot=th:0;x:y")
    ]
    found = place(f'sampling_percentage = 50\nmode = "{mode}"')
    found.send(traces(*raw))
    assert kept(found)
    for span in kept(found):
        assert UNKNOWN_FIELD in span.SerializeToString()


def logs(*records: dict[str, Any]) -> Batch:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for given_ in records:
        record = scope.log_records.add(trace_id=given_.pop("trace_id", b""))
        for key, value in given_.items():
            kind = "int_value" if isinstance(value, int) else "string_value"
            setattr(record.attributes.add(key=key).value, kind, value)
    return Batch("logs", request.SerializeToString(), len(records))


def log_attributes(found: Place) -> list[dict[str, str]]:
    return [
        {pair.key: pair.value.string_value for pair in record.attributes}
        for out in found.out
        for r in ExportLogsServiceRequest.FromString(out.payload).resource_logs
        for s in r.scope_logs
        for record in s.log_records
    ]


@pytest.mark.parametrize(
    ("toml", "record", "expected"),
    [
        ("", {"trace_id": HIGH}, {"sampling.threshold": "8"}),
        ("", {"trace_id": bytes(9) + b"\x01" * 7}, None),
        ("", {}, None),
        ("fail_closed = false", {}, {}),
        ("", {"trace_id": HIGH, "sampling.threshold": "8"}, {"sampling.threshold": "c"}),
        ("", {"trace_id": HIGH, "sampling.threshold": "no"}, None),
        ('sampling_priority = "p"', {"p": 0, "trace_id": HIGH}, None),
        (
            'sampling_priority = "p"',
            {"p": 100, "trace_id": bytes(9) + b"\x01" * 7},
            {"p": ""},
        ),
    ],
)
def test_log_records(toml: str, record: dict[str, Any], expected: dict[str, str] | None) -> None:
    found = place(f'sampling_percentage = 50\nmode = "proportional"\n{toml}', "logs")
    found.send(logs(dict(record)))
    assert log_attributes(found) == ([] if expected is None else [expected])


def test_log_records_by_an_attribute() -> None:
    toml = 'sampling_percentage = 50\nattribute_source = "record"\nfrom_attribute = "pod"'
    found = place(toml, "logs")
    found.send(logs(*({"pod": f"pod-{n % 20}"} for n in range(200))))
    pods = [a["pod"] for a in log_attributes(found)]
    assert 0 < len(set(pods)) < 20
    assert all(pods.count(pod) == 10 for pod in pods)
    assert all(len(a["sampling.randomness"]) == 14 for a in log_attributes(found))


def test_a_refused_batch_is_not_counted() -> None:
    found = place("sampling_percentage = 50")
    found.room = False
    assert not found.send(traces(*(Span(trace_id=i) for i in ids(100))))
    assert (found.ledger.created, found.ledger.dropped) == (0, {})


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_wire_errors(garbage: bytes) -> None:
    for signal in ("traces", "logs"):
        found = place("sampling_percentage = 50", signal)
        for payload in (garbage, batch(signal).payload[:-1] + garbage):  # type: ignore[arg-type]
            before = len(found.out)
            try:
                found.send(Batch(signal, payload, 0))  # type: ignore[arg-type]
            except WireError:
                assert len(found.out) == before


@given(st.text("ot=th:rvab;,12 ", max_size=60), st.sampled_from([b"", b"th:8", b"th:8;rv:ab"]))
def test_any_state_takes_a_threshold(state: str, said: bytes) -> None:
    made = put(state.encode(), said)
    if said:
        assert made.startswith(b"ot=" + said)
    assert len(made) <= 4096


@pytest.mark.parametrize(
    "toml",
    ["", "sampling_percentage = -1", "sampling_percentage = 0.001",
     'sampling_percentage = 1\nattribute_source = "record"',
     "sampling_percentage = 1\nsampling_precision = 15"],
)  # fmt: skip
def test_settings_that_cannot_work(toml: str) -> None:
    with pytest.raises(ConfigError):
        settings("processor", SAMPLER, toml)
