"""Messages of remote write: ours against the published schemas, and against garbage."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from proxy.formats.prometheus.series import Translation
from proxy.formats.prometheus.series import Translator as ToSeries
from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.from_otlp import Translated, translate
from proxy.formats.remote_write.read import read_v1, read_v2
from proxy.formats.remote_write.to_otlp import Translator as ToOtlp
from proxy.formats.remote_write.write import (
    CUSTOM,
    STALE,
    Exemplar,
    Histogram,
    Metadata,
    Sample,
    Series,
    Span,
    is_stale,
    write_v1,
    write_v2,
)
from proxy.otlp.wire import WireError
from tests.collector.prometheus_samples import DELTA, NOW, Metrics

MS = NOW // 1_000_000

# The parts of prompb types.proto and io/prometheus/write/v2/types.proto that are compared:
# message -> (field, number, type, repeated); a type in capitals is a message.
SCHEMA = {
    "Label": [("name", 1, "string", 0), ("value", 2, "string", 0)],
    "Sample": [("value", 1, "double", 0), ("timestamp", 2, "int64", 0)],
    "Exemplar": [
        ("labels", 1, "Label", 1),
        ("value", 2, "double", 0),
        ("timestamp", 3, "int64", 0),
    ],
    "BucketSpan": [("offset", 1, "sint32", 0), ("length", 2, "uint32", 0)],
    "Histogram": [
        ("count_int", 1, "uint64", 0),
        ("sum", 3, "double", 0),
        ("schema", 4, "sint32", 0),
        ("zero_threshold", 5, "double", 0),
        ("zero_count_int", 6, "uint64", 0),
        ("negative_spans", 8, "BucketSpan", 1),
        ("negative_deltas", 9, "sint64", 1),
        ("positive_spans", 11, "BucketSpan", 1),
        ("positive_deltas", 12, "sint64", 1),
        ("timestamp", 15, "int64", 0),
    ],
    "TimeSeries": [
        ("labels", 1, "Label", 1),
        ("samples", 2, "Sample", 1),
        ("exemplars", 3, "Exemplar", 1),
        ("histograms", 4, "Histogram", 1),
    ],
    "WriteRequest": [("timeseries", 1, "TimeSeries", 1)],
    "Sample2": [("value", 1, "double", 0), ("timestamp", 2, "int64", 0), ("start", 3, "int64", 0)],
    "Exemplar2": [
        ("labels_refs", 1, "uint32", 1),
        ("value", 2, "double", 0),
        ("timestamp", 3, "int64", 0),
    ],
    "Metadata2": [
        ("type", 1, "int32", 0),
        ("help_ref", 3, "uint32", 0),
        ("unit_ref", 4, "uint32", 0),
    ],
    "TimeSeries2": [
        ("labels_refs", 1, "uint32", 1),
        ("samples", 2, "Sample2", 1),
        ("histograms", 3, "Histogram", 1),
        ("exemplars", 4, "Exemplar2", 1),
        ("metadata", 5, "Metadata2", 0),
    ],
    "Request2": [("symbols", 4, "string", 1), ("timeseries", 5, "TimeSeries2", 1)],
}


def schema(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="rw.proto", package="rw", syntax="proto3")
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in SCHEMA.items():
        made = file.message_type.add(name=message)
        for field, number, kind, repeated in fields:
            one = made.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind[0].isupper():
                one.type, one.type_name = field_type.TYPE_MESSAGE, f".rw.{kind}"
            else:
                one.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"rw.{name}"))


HISTOGRAM = Histogram(
    count=10,
    sum=3.5,
    schema=3,
    time=MS,
    zero_threshold=0.001,
    zero_count=2,
    positive=([Span(-3, 2), Span(4, 1)], [3.0, 4.0, 1.0]),
)
SERIES = [
    Series(
        (("__name__", "a_total"), ("job", "x")),
        [Sample(1.5, MS, MS - 5), Sample(STALE, MS + 1, MS - 5)],
        exemplars=[Exemplar((("trace_id", "ab"),), 2.0, MS)],
        metadata=Metadata("counter", "help", "seconds"),
    ),
    Series((("__name__", "h"),), histograms=[HISTOGRAM]),
]


def test_version_1_is_what_the_schema_says() -> None:
    request = schema("WriteRequest").FromString(write_v1(SERIES))
    first, second = request.timeseries
    assert [(label.name, label.value) for label in first.labels] == list(SERIES[0].labels)
    assert [s.timestamp for s in first.samples] == [MS, MS + 1]
    assert first.samples[0].value == 1.5
    assert struct.pack(">d", first.samples[1].value).hex() == "7ff0000000000002"
    assert (first.exemplars[0].labels[0].value, first.exemplars[0].timestamp) == ("ab", MS)
    check_histogram(second.histograms[0])


def test_version_2_is_what_the_schema_says() -> None:
    request = schema("Request2").FromString(write_v2(SERIES))
    first, second = request.timeseries
    symbols = list(request.symbols)
    assert symbols[0] == ""
    assert len(set(symbols)) == len(symbols)
    assert [symbols[ref] for ref in first.labels_refs] == ["__name__", "a_total", "job", "x"]
    assert [(s.timestamp, s.start) for s in first.samples] == [(MS, MS - 5), (MS + 1, MS - 5)]
    assert [symbols[ref] for ref in first.exemplars[0].labels_refs] == ["trace_id", "ab"]
    assert first.metadata.type == 1
    assert symbols[first.metadata.help_ref] == "help"
    assert symbols[first.metadata.unit_ref] == "seconds"
    check_histogram(second.histograms[0])


def check_histogram(found: Any) -> None:
    assert (found.count_int, found.sum, found.schema, found.timestamp) == (10, 3.5, 3, MS)
    assert [(s.offset, s.length) for s in found.positive_spans] == [(-3, 2), (4, 1)]
    assert list(found.positive_deltas) == [3, 1, -3]


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_written_is_read(version: int) -> None:
    write, read = (write_v1, read_v1) if version == 1 else (write_v2, read_v2)
    series = read(write(SERIES)).series
    assert [one.labels for one in series] == [one.labels for one in SERIES]
    assert series[0].samples[0].value == 1.5
    assert [is_stale(sample.value) for sample in series[0].samples] == [False, True]
    assert series[0].exemplars == SERIES[0].exemplars
    assert series[1].histograms[0].positive == HISTOGRAM.positive
    if version == 2:
        assert series[0].samples[0].start == MS - 5
        assert series[0].metadata == SERIES[0].metadata


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_v1, read_v2):
        try:
            ToOtlp().take(read(data))
        except WireError:
            continue


@given(st.data(), st.integers(0, 1))
def test_a_message_that_is_damaged_is_read_or_refused(data: Any, version: int) -> None:
    good = bytearray((write_v1, write_v2)[version](SERIES))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = ToOtlp().take((read_v1, read_v2)[version](bytes(good)))
    except WireError:
        return
    ExportMetricsServiceRequest.FromString(taken.request.serialise())


@pytest.mark.parametrize(
    "raw",
    [
        write_v2([])[:-1] + b"\x22\x01x",  # the first symbol is not empty
        b"\x22\x00\x2a\x03\x0a\x01\x00",  # a name without a value
        b"\x22\x00\x2a\x04\x0a\x02\x00\x07",  # a symbol that is not there
        b"\x2a\x04\x0a\x02\x00\x00",  # no symbols at all
    ],
)
def test_references_that_lead_nowhere(raw: bytes) -> None:
    with pytest.raises(WireError):
        read_v2(raw)


@pytest.mark.parametrize(
    "positive",
    [([Span(0, 2)], [1.0]), ([Span(0, 1), Span(2_000_000_000, 1)], [1.0, 1.0])],
)
def test_histograms_whose_spans_are_traps(positive: Any) -> None:
    bad = Series((("__name__", "h"),), histograms=[Histogram(1, 1, 0, MS, positive=positive)])
    with pytest.raises(WireError):
        read_v1(write_v1([bad]))


# -- to OTLP --------------------------------------------------------------------------------------


def taken(series: list[Series], translator: ToOtlp | None = None) -> tuple[Any, Any]:
    result = (translator or ToOtlp()).take(read_v2(write_v2(series)))
    return result, ExportMetricsServiceRequest.FromString(result.request.serialise())


def metrics(message: Any) -> dict[str, Any]:
    return {m.name: m for r in message.resource_metrics for s in r.scope_metrics for m in s.metrics}


@pytest.mark.parametrize(
    ("name", "type", "kind"),
    [
        ("a", "counter", "sum"),
        ("a_total", "unknown", "sum"),
        ("a", "gauge", "gauge"),
        ("a_total", "gauge", "gauge"),
        ("a_bucket", "histogram", "sum"),
        ("a_sum", "histogram", "sum"),
        ("a", "summary", "gauge"),
        ("a_count", "summary", "sum"),
        ("a", "unknown", "gauge"),
    ],
)
def test_sums_are_told_from_gauges(name: str, type: str, kind: str) -> None:
    one = Series(
        (("__name__", name),), [Sample(1, MS, MS - 7)], metadata=Metadata(type, "h", "bytes")
    )
    result, message = taken([one])
    metric = metrics(message)[name]
    assert metric.WhichOneof("data") == kind
    assert (metric.description, metric.unit) == ("h", "By")
    assert getattr(metric, kind).data_points[0].start_time_unix_nano == NOW - 7_000_000
    assert (result.samples, result.refused) == (1, 0)


def test_metadata_and_target_info_are_remembered() -> None:
    translator = ToOtlp()
    family = b"\x1a\x0d" + b"\x08\x01" + b"\x12\x02ab" + b"\x22\x02hi" + b"\x2a\x01s"
    labels = (("__name__", "ab"), ("instance", "i"), ("job", "n/j"))
    info = (("__name__", "target_info"), ("instance", "i"), ("job", "n/j"), ("zone", "eu"))
    first = write_v1([Series(info, [Sample(1, MS)])]) + family
    result = translator.take(read_v1(first))
    assert (result.samples, result.request.items) == (1, 0)
    second = translator.take(read_v1(write_v1([Series(labels, [Sample(5, MS)])])))
    message = ExportMetricsServiceRequest.FromString(second.request.serialise())
    assert metrics(message)["ab"].sum.is_monotonic
    assert metrics(message)["ab"].description == "hi"
    resource = {
        a.key: a.value.string_value for a in message.resource_metrics[0].resource.attributes
    }
    assert resource == {
        "service.name": "j",
        "service.namespace": "n",
        "service.instance.id": "i",
        "zone": "eu",
    }


def test_a_target_info_that_ends_does_not_take_with_it_the_one_that_came_instead() -> None:
    translator = ToOtlp()
    base = (("instance", "i"), ("job", "j"))

    def info(version: str, value: float, time: int) -> Series:
        return Series(
            tuple(sorted((("__name__", "target_info"), ("version", version), *base))),
            [Sample(value, time)],
        )

    translator.take(read_v1(write_v1([info("1", 1, MS)])))
    # The next scrape has another one, and says that the first is gone: in any order.
    translator.take(read_v1(write_v1([info("2", 1, MS + 1), info("1", STALE, MS + 1)])))
    series = Series((("__name__", "a"), *base), [Sample(5, MS + 1)])
    taken = translator.take(read_v1(write_v1([series])))
    message = ExportMetricsServiceRequest.FromString(taken.request.serialise())
    attributes = message.resource_metrics[0].resource.attributes
    assert {a.key: a.value.string_value for a in attributes}["version"] == "2"


@pytest.mark.parametrize(
    "labels",
    [(("job", "x"),), (("__name__", "a"), ("x", "1"), ("x", "2")), (("__name__", "a"), ("", "1"))],
)
def test_bad_series_are_counted_and_the_others_taken(labels: Any) -> None:
    good = Series((("__name__", "ok"),), [Sample(1, MS)])
    result, message = taken([Series(labels, [Sample(1, MS)]), good])
    assert (result.samples, result.refused) == (1, 1)
    assert metrics(message).keys() == {"ok"}


@pytest.mark.parametrize(("write", "read"), [(write_v1, read_v1), (write_v2, read_v2)])
@pytest.mark.parametrize("where", ["name", "value", "help"])
def test_a_text_that_is_not_utf_8_costs_only_its_series(write: Any, read: Any, where: str) -> None:
    label = {"name": ("BAD!", "x"), "value": ("x", "BAD!"), "help": ("x", "y")}[where]
    metadata = Metadata("gauge", "BAD!", "") if where == "help" else None
    bad = Series((("__name__", "a"), label), [Sample(1, MS)], metadata=metadata)
    good = Series((("__name__", "ok"),), [Sample(1, MS)])
    result = ToOtlp().take(read(write([bad, good]).replace(b"BAD!", b"\xff\xfe\xfd\xfc")))
    message = ExportMetricsServiceRequest.FromString(result.request.serialise())
    kept = {"a", "ok"} if where == "help" else {"ok"}
    assert metrics(message).keys() == kept
    assert (result.samples, result.refused) == (len(kept), 2 - len(kept))
    assert ("UTF-8" in result.problem) == (where != "help")


def test_times_that_do_not_fit_are_counted() -> None:
    samples = [Sample(1, -5), Sample(1, MS), Sample(1, 1 << 60)]
    result, _ = taken([Series((("__name__", "a"),), samples)])
    assert (result.samples, result.refused) == (1, 2)


def test_native_histograms_become_exponential_ones() -> None:
    _, message = taken([SERIES[1]])
    (point,) = metrics(message)["h"].exponential_histogram.data_points
    assert (point.scale, point.count, point.zero_count, point.sum) == (3, 10, 2, 3.5)
    assert point.positive.offset == -4
    assert list(point.positive.bucket_counts) == [3, 4, 0, 0, 0, 0, 1]


def test_custom_buckets_become_explicit_ones() -> None:
    one = Histogram(6, 2.0, CUSTOM, MS, positive=([Span(1, 2)], [2.0, 4.0]), custom=[0.1, 0.5, 1])
    _, message = taken([Series((("__name__", "h"),), histograms=[one])])
    (point,) = metrics(message)["h"].histogram.data_points
    assert list(point.explicit_bounds) == [0.1, 0.5, 1]
    assert list(point.bucket_counts) == [0, 2, 4, 0]


def test_stale_markers_become_points_without_a_value() -> None:
    native = Histogram(0, STALE, 0, MS)
    series = [
        Series((("__name__", "a"),), [Sample(STALE, MS)]),
        Series((("__name__", "h"),), histograms=[native]),
    ]
    _, message = taken(series)
    assert metrics(message)["a"].gauge.data_points[0].flags == 1
    assert metrics(message)["h"].exponential_histogram.data_points[0].flags == 1


# -- from OTLP ------------------------------------------------------------------------------------


def given_series(made: Metrics, **options: Any) -> Translated:
    return translate(made.request, ToSeries(Translation(**options)))


def named(result: Translated, name: str) -> Series:
    (found,) = [s for s in result.series if ("__name__", name) in s.labels]
    return found


def test_series_are_sorted_and_have_metadata_and_exemplars() -> None:
    made = Metrics(service__name="app", service__namespace="ns", zone="eu")
    made.counter("a.b", 4, "s", Zulu="1", alpha="2", job="mine")
    result = given_series(made, constant={"cluster": "c"})
    one = named(result, "a_b_seconds_total")
    assert one.labels == (
        ("Zulu", "1"),
        ("__name__", "a_b_seconds_total"),
        ("alpha", "2"),
        ("cluster", "c"),
        ("exported_job", "mine"),
        ("job", "ns/app"),
    )
    assert one.samples == [Sample(4, MS, MS - 1000)]
    assert one.metadata == Metadata("counter", "about a.b", "seconds")
    assert one.exemplars[0].labels == (("trace_id", "0af7651916cd43dd8448eb211c80319c"),)
    assert dict(named(result, "target_info").labels)["zone"] == "eu"


def test_labels_that_collide_are_joined() -> None:
    made = Metrics()
    made.gauge("g", 1)
    point = made.scope.metrics[0].gauge.data_points[0]
    for key, value in (("a.b", "2"), ("a-b", "1")):
        point.attributes.add(key=key).value.string_value = value
    assert dict(named(given_series(made), "g").labels)["a_b"] == "1;2"


def test_histograms_become_series() -> None:
    made = Metrics().histogram("h", (0.25, 1.0), (1, 2, 3), 4.5, le="mine")
    result = given_series(made)
    buckets = {
        dict(s.labels)["le"]: s.samples[0].value
        for s in result.series
        if ("__name__", "h_seconds_bucket") in s.labels
    }
    assert buckets == {"0.25": 1, "1": 3, "+Inf": 6}
    assert named(result, "h_seconds_sum").samples[0].value == 4.5
    assert named(result, "h_seconds_count").samples[0].value == 6
    assert dict(named(result, "h_seconds_count").labels)["exported_le"] == "mine"


def test_exponential_histograms_become_native_ones() -> None:
    made = Metrics().exponential("h", 3, -4, [3, 4, 0, 0, 0, 0, 1])
    (native,) = named(given_series(made), "h").histograms
    assert (native.schema, native.count) == (3, 8)
    assert native.positive == ([Span(-3, 2), Span(4, 1)], [3.0, 4.0, 1.0])
    finer = Metrics().exponential("h", 9, -3, [1, 2, 4, 8])
    (native,) = named(given_series(finer), "h").histograms
    # Buckets -3 | -2, -1 | 0 of scale 9 are -2 | -1 | 0 of scale 8, in Prometheus one higher.
    assert (native.schema, native.positive) == (8, ([Span(-1, 3)], [1.0, 6.0, 8.0]))
    coarse = given_series(Metrics().exponential("h", -5, 0, [1]))
    assert (coarse.refused, coarse.histograms) == ({"exponential_scale": 1}, 0)


def test_deltas_are_refused_and_counted() -> None:
    made = Metrics().sum("a", 1, "", True, DELTA).histogram("h", (1.0,), (1, 1), 2, DELTA)
    result = given_series(made.gauge("ok", 1))
    assert result.refused == {"delta": 2}
    assert result.samples == 1


def test_samples_are_in_order_and_one_for_each_time() -> None:
    made = Metrics()
    made.gauge("a", 1)
    points = made.scope.metrics[0].gauge.data_points
    for value, offset in ((2.0, -1), (3.0, 1), (4.0, 0)):
        points.add(as_double=value, time_unix_nano=NOW + offset * 1_000_000)
    assert named(given_series(made), "a").samples == [
        Sample(2, MS - 1),
        Sample(4, MS),
        Sample(3, MS + 1),
    ]


def test_no_recorded_value_becomes_a_stale_marker() -> None:
    (sample,) = named(given_series(Metrics().gauge("a", None)), "a").samples
    assert is_stale(sample.value)
    assert not is_stale(math.nan)


def test_all_series_of_what_has_ended_get_a_stale_marker() -> None:
    made = Metrics()
    summary = made.scope.metrics.add(name="s").summary.data_points.add(time_unix_nano=NOW, flags=1)
    for quantile in (0.5, 0.99):
        summary.quantile_values.add(quantile=quantile, value=1.0)
    histogram = made.scope.metrics.add(name="h").histogram
    histogram.aggregation_temporality = 2
    histogram.data_points.add(
        time_unix_nano=NOW, flags=1, explicit_bounds=[1.0], bucket_counts=[0, 0]
    )
    found = {
        (dict(series.labels)["__name__"], dict(series.labels).get("quantile"),
         dict(series.labels).get("le")): is_stale(series.samples[0].value)
        for series in given_series(made).series
        if dict(series.labels)["__name__"] != "target_info"
    }  # fmt: skip
    assert found == dict.fromkeys(
        [
            ("s", "0.5", None),
            ("s", "0.99", None),
            ("s_sum", None, None),
            ("s_count", None, None),
            ("h_bucket", None, "1"),
            ("h_bucket", None, "+Inf"),
            ("h_sum", None, None),
            ("h_count", None, None),
        ],
        True,
    )


# -- snappy ---------------------------------------------------------------------------------------


def test_snappy_is_checked_before_it_is_decompressed() -> None:
    packed = snappy.compress(b"abc" * 1000)
    assert snappy.length(packed) == 3000
    assert snappy.decompress(packed) == b"abc" * 1000
    for bad in (b"", b"\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff\x7f123"):
        with pytest.raises(WireError):
            snappy.length(bad)
    with pytest.raises(WireError):
        snappy.decompress(b"\x09\xff\xff")


@given(st.binary(max_size=200), st.integers(1, 300))
def test_what_snappy_can_be_passes_the_guard(data: bytes, times: int) -> None:
    packed = snappy.compress(data * times)
    assert snappy.length(packed) == len(data) * times
