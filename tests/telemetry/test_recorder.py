from __future__ import annotations

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from proxy.config.load import loads
from proxy.config.model import Config
from proxy.config.observe import AccessLog, Export, Metrics, Tracing
from proxy.config.units import Seconds
from proxy.telemetry import instruments
from proxy.telemetry.metrics import Point, Report
from proxy.telemetry.recorder import Recorder
from proxy.tracing.context import TraceContext

from .exchanges import (
    CALLER,
    MS,
    SERVER,
    TRACE,
    Kept,
    answered,
    attempt,
    attributes,
    exchange,
    kept,
    orders,
    recorder,
    spans,
)

EXPORT = Export(otlp=["grpc://x:4317"])


def points(report: Report, name: str) -> dict[tuple[tuple[str, object], ...], Point]:
    return {key[1]: p for key, p in report.histograms.items() if key[0] == name}


def numbers(report: Report, name: str) -> dict[tuple[tuple[str, object], ...], int]:
    return {key[1]: value for key, value in report.numbers.items() if key[0] == name}


def test_an_unsampled_request_is_counted_and_not_traced() -> None:
    by = recorder()
    by.finish(answered(200, sampled=False))

    assert kept(by).spans.take() == (b"", 0)
    (point,) = points(by.registry.report(), instruments.SERVER_DURATION).values()
    assert (sum(point.counts), point.sum) == (1, 20 * MS)
    assert point.exemplars == ()


def test_attributes_of_the_durations() -> None:
    by = recorder()
    by.finish(answered(503))
    report = by.registry.report()

    (server,) = points(report, instruments.SERVER_DURATION)
    assert dict(server) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/api/orders/{id}",
        "http.response.status_code": 503,
        "error.type": "503",
        "network.protocol.version": "1.1",
        "spangate.route": "orders",
        "team": "shop",
    }
    (client,) = points(report, instruments.CLIENT_DURATION)
    assert dict(client) == {
        "http.request.method": "GET",
        "server.address": "orders.internal",
        "server.port": 8000,
        "http.response.status_code": 503,
        "error.type": "503",
        "network.protocol.version": "1.1",
        "spangate.upstream": "orders",
        "team": "shop",
    }


def test_exemplars_point_to_the_spans_that_were_made() -> None:
    by = recorder()
    by.finish(answered(200))
    report = by.registry.report()
    made = ScopeSpans.FromString(kept(by).spans.take()[0]).spans

    found = [
        exemplar
        for name in (instruments.SERVER_DURATION, instruments.CLIENT_DURATION)
        for point in points(report, name).values()
        for exemplar in point.exemplars
        if exemplar
    ]
    assert [e.trace_id for e in found] == [TRACE, TRACE]
    assert [bytes.fromhex(e.span_id.decode()) for e in found] == [s.span_id for s in made]
    assert [e.time for e in found] == [s.end_time_unix_nano for s in made]
    assert found[0].span_id == SERVER
    assert [e.value for e in found] == [20 * MS, 4 * MS]


@pytest.mark.parametrize(
    "config",
    [
        Config(export=EXPORT, metrics=Metrics(exemplars=False)),
        Config(export=Export(otlp=["grpc://x:1"], signals=["metrics"])),
        Config(),  # sampled, but nobody keeps the trace
    ],
)
def test_no_exemplar_leads_nowhere(config: Config) -> None:
    by = recorder(config)
    by.finish(answered(200))

    assert all(point.exemplars == () for point in by.registry.report().histograms.values())


@pytest.mark.parametrize(
    ("config", "made"),
    [
        (Config(), (0, 0, 1)),
        (Config(export=EXPORT), (2, 1, 1)),
        (Config(export=Export(console=True)), (2, 0, 1)),
        (Config(export=Export(otlp=["grpc://x:1"], signals=["logs"])), (0, 1, 1)),
        (Config(export=EXPORT, access_log=AccessLog(otlp=False)), (2, 0, 1)),
        (Config(export=EXPORT, access_log=AccessLog(stdout=False)), (2, 1, 0)),
    ],
)
def test_only_what_somebody_wants_is_made(config: Config, made: tuple[int, int, int]) -> None:
    by = Recorder(config, Kept())
    by.finish(answered(200))

    found = kept(by).spans.take()[1], kept(by).logs.take()[1], kept(by).lines.take()[0].count(b"\n")
    assert found == made


def test_active_requests_rise_and_fall() -> None:
    by = recorder()
    running = [exchange(200), exchange(200), exchange(200, scheme="gopher")]
    for made in running:
        by.begin(made)
    assert sum(numbers(by.registry.report(), instruments.ACTIVE).values()) == 3

    running[0].scheme = "https"  # learnt later, from a forwarding field
    for made in running:
        by.finish(made)
    assert set(numbers(by.registry.report(), instruments.ACTIVE).values()) == {0}


def test_retries_and_warm_connections_are_counted() -> None:
    by = recorder()
    made = exchange(200)
    attempt(made, 503, reused=True)
    attempt(made, 200, retry_reason="503")
    by.finish(made)
    report = by.registry.report()

    (reused,) = numbers(report, instruments.UPSTREAM_REUSED).values()
    retries = numbers(report, instruments.RETRIES)
    assert reused == 1
    assert retries == {
        (
            ("spangate.route", "orders"),
            ("spangate.upstream", "orders"),
            ("spangate.retry.reason", "503"),
        ): 1
    }


def test_input_that_never_became_a_request_is_counted_by_reason() -> None:
    by = recorder()
    for reason in ("bad_request", "head_timeout", "bad_request"):
        by.reject(reason)

    assert numbers(by.registry.report(), instruments.REJECTED) == {
        (("spangate.reason", "bad_request"),): 2,
        (("spangate.reason", "head_timeout"),): 1,
    }


def test_body_sizes_are_measured_where_asked_for() -> None:
    for wanted in (False, True):
        by = recorder(Config(metrics=Metrics(body_sizes=wanted)))
        by.finish(exchange(200, body_in=100, body_out=901))
        report = by.registry.report()
        sizes = [
            point.sum
            for name in (instruments.REQUEST_SIZE, instruments.RESPONSE_SIZE)
            for point in points(report, name).values()
        ]
        assert sizes == ([100, 901] if wanted else [])


def test_a_new_configuration_takes_effect_and_numbers_live_on() -> None:
    by = recorder()
    by.finish(exchange(404, route=None))
    changed = Config(export=EXPORT, tracing=Tracing(redact_query=["token"]), labels={"zone": "b"})
    by.configure(changed)
    kept(by).spans.take()

    (server,) = spans(exchange(404, route=None, query="token=T&sig=S"), by)
    found = {pair.key: pair.value.string_value for pair in server.attributes}
    assert (found["url.query"], found["zone"]) == ("token=REDACTED&sig=S", "b")
    assert sum(sum(p.counts) for p in by.registry.report().histograms.values()) == 2


def test_a_clock_that_was_not_set_does_not_make_a_sum_fall() -> None:
    by = recorder()
    by.finish(exchange(200, end=0))

    (point,) = points(by.registry.report(), instruments.SERVER_DURATION).values()
    assert (sum(point.counts), point.sum) == (1, 0)


def test_ever_new_methods_and_names_do_not_make_series() -> None:
    by = recorder(Config(metrics=Metrics(series=10)))
    for number in range(100):
        by.finish(answered(200, method=f"M{number}", host=f"h{number}", path=f"/{number}"))

    assert len(points(by.registry.report(), instruments.SERVER_DURATION)) == 1


def test_what_was_forgotten_is_counted_anew_when_it_comes_back() -> None:
    by = recorder(Config(export=EXPORT, metrics=Metrics(forget=Seconds(5), body_sizes=True)))
    route = orders()
    for now in (0.0, 10.0, 20.0):
        x = answered(200, route=route)
        by.begin(x)
        by.finish(x)
        assert len(list(by.reports(now))) > 0
        (forgotten,) = [r.forgotten for r in by.reports(now + 6.0) if r.histograms == {}][-1:]
        assert not route.servers and not route.clients, "they would count where nobody looks"
        assert forgotten
    by.finish(answered(200, route=route))
    report = by.registry.report(30.0)
    for name in (instruments.SERVER_DURATION, instruments.CLIENT_DURATION):
        (point,) = points(report, name).values()
        assert sum(point.counts) == 1


def test_a_route_of_the_configuration_before_makes_its_blocks_anew() -> None:
    """Its requests may end long after the reload, when their numbers were forgotten."""
    config = Config(export=EXPORT, metrics=Metrics(forget=Seconds(5)))
    by, route = recorder(config), orders()
    by.finish(answered(200, route=route))
    by.configure(config)
    by.registry.report(0.0)
    by.registry.report(6.0)
    by.finish(answered(200, route=route))
    (point,) = points(by.registry.report(7.0), instruments.SERVER_DURATION).values()
    assert sum(point.counts) == 1


def test_trace_contexts_are_counted_by_result_and_format() -> None:
    by = recorder()
    for code in (0, 0, 1, 0, 3):
        by.contexts.count(code)

    assert numbers(by.registry.report(), instruments.TRACE_CONTEXT) == {
        (("result", "continued"), ("format", "w3c")): 3,
        (("result", "absent"), ("format", "none")): 1,
        (("result", "continued"), ("format", "b3")): 1,
    }


def test_a_forgotten_count_of_trace_contexts_begins_anew() -> None:
    by = recorder()
    by.registry.forget = 60
    by.contexts.count(0)
    list(by.reports(0.0))
    list(by.reports(100.0))
    by.contexts.count(0)

    (report,) = (r for r in by.reports(101.0) if r)
    assert list(numbers(report, instruments.TRACE_CONTEXT).values()) == [1]


def hinting() -> Recorder:
    by = Recorder(Config(access_log=AccessLog(stdout=False)), Kept())
    by.hints = True
    return by


def records(by: Recorder) -> list[LogRecord]:
    return list(ScopeLogs.FromString(kept(by).logs.take()[0]).log_records)


def test_an_unsampled_request_leaves_a_record_that_tells_of_its_caller() -> None:
    by = hinting()
    x = answered(200, sampled=False)
    x.context = TraceContext(TRACE, CALLER, False)
    x.query = "sig=secret"
    by.finish(x)

    (record,) = records(by)
    told = attributes(record)
    assert told["spangate.parent_span_id"] == CALLER.decode()
    assert told["spangate.trace_context.sampled"] is False
    assert told["url.query"] == "sig=REDACTED"
    assert (record.trace_id.hex(), record.flags & 1) == (TRACE.decode(), 0)


def test_a_sampled_request_leaves_no_such_record() -> None:
    by = hinting()
    by.finish(answered(200))
    assert records(by) == []


def test_such_records_are_few() -> None:
    by = hinting()
    for number in range(10_000):  # in two seconds
        x = answered(200, sampled=False)
        x.start += number * MS // 5
        x.end += number * MS // 5
        by.finish(x)
    assert 140 < len(records(by)) < 160  # a second's at once, and two seconds' share


@pytest.mark.parametrize(
    ("text", "some"),
    [
        ("", True),
        ("[recent]\nsize = 0", False),
        ('[tracing]\nsampler = "never"', False),
        ('[tracing]\nsampler = "never"\n[[route]]\npath = "/"\ntrace = {sampler = "always"}', True),
        ('[[route]]\npath = "/"\ntrace = {sampler = "never"}', True),
    ],
)
def test_there_are_such_records_where_something_may_be_sampled(text: str, some: bool) -> None:
    by = recorder()
    text = text.replace('path = "/"\n', 'path = "/"\nrespond = "x"\n')
    text += '\n[[route]]\npath = "/other"\nrespond = "x"\n'
    by.configure(loads(text, "routes.toml", {}).config)
    assert by.hints == some


def test_who_watches_is_told_of_few_and_of_how_many_were_left_out() -> None:
    """Those that have failed or took long have room of their own."""
    by = recorder()
    by.logs = by.hints = False
    by.watched = True

    def finish(number: int, status: int) -> None:
        x = answered(status)
        x.start += number * 1000
        x.end += number * 1000
        by.finish(x)

    for number in range(10_000):  # in ten milliseconds
        finish(number, 200)
    fast = records(by)
    assert 1900 < len(fast) <= 2100
    for number in range(10_000, 11_000):
        finish(number, 503)
    failed = records(by)
    assert len(failed) == 1000
    left_out = [attributes(record).get("spangate.left_out", 0) for record in [*fast, *failed]]
    assert sum(left_out) == 10_000 - len(fast)
    assert not any(left_out[-999:])
