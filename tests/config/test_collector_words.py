"""[collector] in the words of the OpenTelemetry Collector, and what cannot work in it."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.config.model import Config
from proxy.errors import ConfigError, Problem

ENDS = """
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["otlp"]
"""
THEIRS = """
[collector.receivers.otlp.protocols.grpc]
endpoint = "0.0.0.0:4317"
[collector.receivers.otlp.protocols.http]
endpoint = "0.0.0.0:4318"
cors = { allowed_origins = ["https://shop.example"] }
[collector.processors.batch]
timeout = "1s"
[collector.exporters.otlp]
endpoint = "${env:BACK_END:-otel:4317}"
tls = { insecure = true }
retry_on_failure = { enabled = true, max_elapsed_time = "2m" }
sending_queue = { enabled = true, num_consumers = 2 }
[collector.service.pipelines.traces]
receivers = ["otlp"]
processors = ["batch"]
exporters = ["otlp"]
"""
OURS = """
[collector.receivers.otlp]
grpc = "0.0.0.0:4317"
http = "0.0.0.0:4318"
cors = { allowed_origins = ["https://shop.example"] }
[collector.processors.batch]
timeout = "1s"
[collector.exporters.otlp]
endpoint = "${BACK_END:-otel:4317}"
retry_on_failure = { max_elapsed_time = "2m" }
sending_queue = { num_consumers = 2 }
[collector.pipelines.traces]
receivers = ["otlp"]
processors = ["batch"]
exporters = ["otlp"]
"""


def config(text: str) -> Config:
    loaded = loads(text, "f", {})
    assert loaded.warnings == []
    return loaded.config


def problems(text: str) -> list[Problem]:
    try:
        return loads(text, "f", {}).warnings
    except ConfigError as error:
        return error.problems


def test_what_means_the_same_is_taken() -> None:
    assert config(THEIRS).collector == config(OURS).collector


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("receivers.otlp.protocols = { grpc = {} }", 'receivers.otlp.grpc = "localhost:4317"'),
        ("receivers.otlp.protocols = { http = {} }", 'receivers.otlp.http = "localhost:4318"'),
        (
            "receivers.otlp.protocols.grpc = { transport = 'tcp', endpoint = ':1' }",
            'receivers.otlp.grpc = ":1"',
        ),
        (
            "receivers.otlp.protocols.grpc.tls = { cert_file = 'c', key_file = 'k', "
            "client_ca_file = 'a' }",
            "receivers.otlp = { grpc = 'localhost:4317', "
            "tls = { cert = 'c', key = 'k', client_ca = 'a' } }",
        ),
        (
            "receivers.jaeger.protocols.thrift_http.endpoint = ':14268'",
            "receivers.jaeger.thrift_http = ':14268'",
        ),
        (
            "receivers.prometheus.config = { global = { scrape_interval = '15s' }, scrape_configs ="
            " [{ job_name = 'a', tls_config = { ca_file = '/ca' } }] }",
            "receivers.prometheus = { scrape_interval = '15s', scrape_configs ="
            " [{ job_name = 'a', tls = { ca = '/ca' } }] }",
        ),
        (
            "receivers.hostmetrics.scrapers = { cpu = {}, memory = {} }",
            "receivers.hostmetrics.scrapers = ['cpu', 'memory']",
        ),
        (
            "exporters.otlp = { endpoint = 'a:1', tls = { insecure = false, ca_file = 'x' } }",
            "exporters.otlp = { endpoint = 'grpcs://a:1', tls = { ca = 'x' } }",
        ),
        (
            "exporters.otlphttp = { endpoint = 'https://a', tls = { insecure = true } }",
            "exporters.otlphttp = { endpoint = 'https://a' }",
        ),
    ],
)
def test_each_of_them(theirs: str, ours: str) -> None:
    def made(line: str) -> object:
        collector = loads(f"collector.{line}", "f", {}).config.collector
        assert collector is not None
        return collector.receivers, collector.exporters

    assert made(theirs) == made(ours)


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ('endpoint = "0.0.0.0:4317"', "protocols.grpc.endpoint", "is not an address"),
        ("max_recv_msg_size_mib = 64", "protocols.grpc", 'write max_request_size = "64MiB"'),
        ("include_metadata = true", "protocols.grpc", "leave it out"),
        ("xyzzy = 1", "protocols.grpc", "known: "),
    ],
)
def test_a_mistake_is_told_where_it_was_written(line: str, key: str, says: str) -> None:
    line = line.replace('4317"', '4317x"')
    text = THEIRS.replace('endpoint = "0.0.0.0:4317"', line)
    (problem,) = problems(text)
    assert problem.line == 3
    assert key in problem.key
    assert says in str(problem)


def test_what_two_protocols_share_is_said_once_or_told() -> None:
    tls = "tls = { cert_file = 'c', key_file = 'k' }\n"
    both = THEIRS.replace('endpoint = "0.0.0.0', tls + 'endpoint = "0.0.0.0')
    assert config(both) == config(
        OURS.replace('http = "0', "tls = { cert = 'c', key = 'k' }\nhttp = \"0")
    )
    (problem,) = problems(both.replace("'k'", "'other'", 1))
    assert (problem.line, problem.remedy) == (6, 'write a second receiver: "otlp/2"')
    twice = THEIRS.replace('endpoint = "0.0.0.0', 'include_metadata = true\nendpoint = "0.0.0.0')
    (problem,) = problems(twice)
    assert problem.key == "collector.receivers.otlp.protocols.grpc.include_metadata"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("timeout =", "send_batch_max_size = 1\ntimeout =", 'send_batch_max_bytes = "3MiB"'),
        ("timeout =", 'metadata_keys = ["a"]\ntimeout =', "leave it out"),
        ("num_consumers = 2", "queue_size = 1000", "the queue is bounded in bytes"),
        ("num_consumers = 2", 'sizer = "requests"', "the queue is bounded in bytes"),
        ("num_consumers = 2", 'storage = "file_storage"', 'write storage = "/var/lib/'),
        ("enabled = true, num", "enabled = false, num", "there is always a queue"),
        ("enabled = true, max", "multiplier = 1.5, max", "leave it out"),
        ("tls = {", 'auth = { authenticator = "a" }\ntls = {', "write headers = { authorization"),
        ("tls = {", 'compresion = "gzip"\ntls = {', "did you mean `compression`?"),
        ("[collector.s", "[collector.extensions.health_check]\n[collector.s", "/ready"),
        ("[collector.s", "[collector.extensions.zpages]\n[collector.s", "/pipelines"),
        ("[collector.s", "[collector.extensions.pprof]\n[collector.s", "there are none"),
        ("[collector.service.", '[collector.service]\nextensions = ["pprof"]\n[collector.service.',
         "no extensions"),
        ("exporters.otlp]", "exporters.logging]\n[collector.exporters.otlp]", "write `debug`"),
        ("exporters.otlp]", "exporters.datadog]\n[collector.exporters.otlp]", "write `otlp_http`"),
        ("exporters.otlp]", "exporters.rabbitmq]\n[collector.exporters.otlp]", "known: console"),
        ("collector.receivers.otlp.protocols.grpc", "receivers.otlp", "[collector.receivers.otlp]"),
    ],
)  # fmt: skip
def test_what_means_something_else_is_told(old: str, new: str, says: str) -> None:
    found = [p for p in problems(THEIRS.replace(old, new, 1)) if not p.warning]
    assert says in str(found[0])
    assert len({(p.line, p.key) for p in found}) == len(found)


SPANS = """
[collector.receivers.otlp]
grpc = ":4317"
[collector.exporters.debug]
[collector.connectors.span_metrics]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["span_metrics"]
[collector.pipelines.metrics]
receivers = ["span_metrics"]
exporters = ["debug"]
"""


def test_a_connector_between_two_pipelines_is_in_order() -> None:
    config(SPANS)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'exporters = ["span_metrics"]',
            'exporters = ["debug"]',
            'no pipeline exports to it: nothing comes out (write exporters = ["span_metrics"]',
        ),
        (
            'receivers = ["span_metrics"]',
            'receivers = ["otlp"]',
            'receives from it: what goes in is lost (write receivers = ["span_metrics"]',
        ),
    ],
)
def test_a_connector_needs_two_ends(old: str, new: str, says: str) -> None:
    (problem,) = problems(SPANS.replace(old, new))
    assert (problem.key, problem.line) == ("collector.connectors.span_metrics", 5)
    assert says in str(problem)


def test_a_connector_that_hands_on_stays_with_its_signal() -> None:
    text = SPANS.replace("span_metrics", "forward")
    (problem,) = problems(text)
    assert "traces in, metrics out" in problem.message
    config(text.replace("pipelines.metrics", 'pipelines."traces/2"'))


RECEIVERS = """
listen = ":8080"
[[route]]
respond = "x"
[collector.receivers.otlp]
grpc = "127.0.0.1:4317"
[collector.receivers."otlp/2"]
http = "127.0.0.1:4318"
[collector.receivers.zipkin]
endpoint = "127.0.0.1:9411"
[collector.receivers.jaeger]
thrift_compact = "127.0.0.1:6831"
[collector.exporters.debug]
[collector.exporters.prometheus]
endpoint = "127.0.0.1:8889"
[collector.pipelines.traces]
receivers = ["otlp", "otlp/2", "zipkin", "jaeger"]
exporters = ["debug"]
[collector.pipelines.metrics]
receivers = ["otlp"]
exporters = ["prometheus"]
"""


@pytest.mark.parametrize(
    ("old", "new", "key", "by"),
    [
        ('http = "127.0.0.1:4318"', 'grpc = "127.0.0.1:4317"', "otlp/2", "receivers.otlp.grpc"),
        ('http = "127.0.0.1:4318"', 'grpc = ":4317"', "otlp/2", "receivers.otlp.grpc"),
        ('http = "127.0.0.1:4318"', 'grpc = "localhost:4317"', "otlp/2", "receivers.otlp.grpc"),
        ('"127.0.0.1:9411"', '"0.0.0.0:8080"', "zipkin.endpoint", "listen[0]"),
        ('"127.0.0.1:9411"', '":9901"', "zipkin.endpoint", "admin.listen"),
        ('"127.0.0.1:8889"', '"127.0.0.1:9411"', "exporters.prometheus", "receivers.zipkin"),
        ('"127.0.0.1:6831"', '"127.0.0.1:1"\nremote_sampling.endpoint = ":9411"',
         "remote_sampling", "receivers.zipkin"),
    ],
)  # fmt: skip
def test_two_cannot_have_one_port(old: str, new: str, key: str, by: str) -> None:
    (problem,) = problems(RECEIVERS.replace(old, new))
    assert key in problem.key
    assert f"is already taken by {by}" in problem.message.replace("collector.", "")
    assert problem.line > 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ('"127.0.0.1:6831"', '"127.0.0.1:4317"'),  # UDP
        ('"127.0.0.1:9411"', '"[::1]:4317"'),
        ('"127.0.0.1:9411"', '"127.0.0.2:4317"'),
        ('"127.0.0.1:9411"', '"127.0.0.1:0"'),
        ('[collector.exporters.debug]', '[collector.exporters.otlp]\nendpoint = "127.0.0.1:4317"\n'
         '[collector.exporters.debug]'),
    ],
)  # fmt: skip
def test_what_can_be_bound_side_by_side_is_in_order(old: str, new: str) -> None:
    assert not [p for p in problems(RECEIVERS.replace(old, new)) if not p.warning]


def test_a_collector_alone_may_have_the_port_that_a_gateway_would_take() -> None:
    config(OURS.replace("0.0.0.0:4318", ":8080"))
