"""Files of the OpenTelemetry Collector: how they are read and translated, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import ConfigError, load, loads
from proxy.config.loaded import Loaded
from proxy.config.otelcol.document import read
from proxy.config.redact import shown

FOLDER = Path(__file__).parent / "otelcol"


def tables(text: str) -> Any:
    return read(text, "c.yaml")[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: 0x10\nb: 010\nc: 1_000\nd: -5", {"a": 16, "b": 8, "c": 1000, "d": -5}),
        ("a: 1.5\nb: .5\nc: 1e3", {"a": 1.5, "b": 0.5, "c": 1000.0}),
        ("a: true\nb: False\nc: on\nd: yes", {"a": True, "b": False, "c": "on", "d": "yes"}),
        ("a: ~\nb:\nc: null", {"a": None, "b": None, "c": None}),
        ("a: 1:30\nb: 2020-01-01\nc: 1.2.3", {"a": "1:30", "b": "2020-01-01", "c": "1.2.3"}),
        ("a: '1'\nb: \"true\"", {"a": "1", "b": "true"}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("1: {2: x}", {"1": {"2": "x"}}),
        ("", None),
    ],
)
def test_yaml_is_read_as_the_collector_reads_it(text: str, value: Any) -> None:
    assert tables(text) == value


BOMB = "a0: &a0 [x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "c.yaml:1: syntax: "),
        ("a: 1\n\tb: 2", "c.yaml:2: syntax: "),
        ("a: 1\n---\nb: 2", "c.yaml:2: syntax: a second document begins"),
        ("a: 1\na: 2", "c.yaml:2: a: this key is there twice"),
        ("a: &a [*a]", "aliases or levels make it too large"),
        (BOMB, "aliases or levels make it too large"),
        ("[" * 200 + "]" * 200, "aliases or levels make it too large"),
        ("a: !!python/object/apply:os.system [x]", "the tag"),
        ("a: !custom x", "the tag !custom is not known"),
        ("? [a]\n: 1", "a key must be a text"),
        ("a: *b", "c.yaml:1: syntax: "),
        ("<<: 1", "`<<` wants a table"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        tables(text)
    assert message in str(error.value)


@given(st.text(max_size=80) | st.text("abc:-[]{}&*!|>#'\" \n\t?%@`,0123", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        loads(text, "c.yaml", {})
    except ConfigError as error:
        assert all(problem.file == "c.yaml" for problem in error.problems)


TAIL = """
service:
  pipelines:
    traces: {receivers: [otlp], processors: [PROCESSORS], exporters: [EXPORTER]}
"""


def of(*, processors: str = "", exporters: str = "", more: str = "", name: str = "") -> Loaded:
    """A file with one receiver, and these."""
    lines = ["receivers: {otlp: {protocols: {grpc: , http: {endpoint: 'localhost:0'}}}}"]
    lines.append(f"processors: {{{processors}}}")
    lines.append(f"exporters: {{{exporters or 'debug: '}}}")
    lines.append(more)
    tail = TAIL.replace("PROCESSORS", processors.partition(":")[0])
    tail = tail.replace("EXPORTER", (exporters or "debug:").partition(":")[0])
    return loads("\n".join(lines) + tail, name or "c.yaml", {"KEY": "hush"})


def exporter(text: str, id: str) -> Any:
    collector = of(exporters=text).config.collector
    assert collector is not None
    return collector.exporters[id]


def processor(text: str, id: str) -> Any:
    collector = of(processors=text).config.collector
    assert collector is not None
    return collector.processors[id]


@pytest.mark.parametrize(
    ("tls", "endpoint", "url"),
    [
        ("{insecure: true}", "b:4317", "grpc://b:4317"),
        ("{insecure: '${env:INSECURE:-true}'}", "b:4317", "grpc://b:4317"),
        ("{insecure: false}", "b:4317", "grpcs://b:4317"),
        ("", "b:4317", "grpcs://b:4317"),
        ("{ca_file: /x}", "b:4317", "grpcs://b:4317"),
        ("", "http://b:4317", "grpc://b:4317"),
        ("", "https://b:4317", "grpcs://b:4317"),
        ("", "dns:///b:4317", "grpcs://b:4317"),
    ],
)
def test_grpc_is_with_tls_unless_told_otherwise(tls: str, endpoint: str, url: str) -> None:
    assert exporter(f"otlp/b: {{endpoint: '{endpoint}', tls: {tls}}}", "otlp/b").url == url


def test_an_exporter_s_settings_are_ours() -> None:
    made = exporter(
        "otlphttp/x: {endpoint: 'http://b:1', headers: {a: 1, b: '${env:KEY}'}, timeout: 3s,"
        " compression: zstd, tls: {ca_file: ca.pem, insecure_skip_verify: true},"
        " sending_queue: {num_consumers: 7, queue_size: 1000, sizer: bytes},"
        " retry_on_failure: {initial_interval: 2s, max_elapsed_time: 0}}",
        "otlphttp/x",
    )
    assert (made.endpoint, made.timeout, made.compression) == ("http://b:1", 3.0, "zstd")
    assert made.headers == {"a": "1", "b": "hush"}
    assert (made.tls.ca, made.tls.insecure_skip_verify) == ("ca.pem", True)
    assert (made.sending_queue.num_consumers, made.sending_queue.queue_size) == (7, 1000)
    assert (made.retry_on_failure.initial_interval, made.retry_on_failure.max_elapsed_time) == (
        2,
        0,
    )


def test_what_the_collector_does_by_itself() -> None:
    assert exporter("otlphttp: {endpoint: 'http://b:1'}", "otlphttp").compression == "gzip"
    assert exporter("file: {path: /nowhere/x}", "file").append is False
    assert exporter("logging: {loglevel: debug}", "debug").verbosity == "detailed"
    collector = of().config.collector
    assert collector is not None
    assert collector.receivers["otlp"].grpc == "localhost:4317"


def test_queues_on_disk_are_below_the_extension_s_directory() -> None:
    more = "extensions: {file_storage/q: {directory: /var/q}}"
    text = "otlphttp/a: {endpoint: 'http://b:1', sending_queue: {storage: file_storage/q}}"
    loaded = of(exporters=text, more=more)
    assert loaded.config.collector is not None
    queue = loaded.config.collector.exporters["otlphttp/a"].sending_queue
    assert queue.storage == "/var/q/otlphttp_a"


def test_admin_port_log_and_resource() -> None:
    more = (
        "extensions: {health_check: {endpoint: '0.0.0.0:13133'}}\n"
        "service:\n  extensions: [health_check]\n"
        "  telemetry: {logs: {level: WARN, encoding: json}, resource: {service.name: edge}}\n"
        "  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n"
    )
    text = "receivers: {otlp: {protocols: {grpc: }}}\nexporters: {debug: }\n" + more
    config = loads(text, "c.yaml", {}).config
    assert config.admin.listen == "0.0.0.0:13133"
    assert (config.log.level, config.log.format) == ("warning", "json")
    assert config.resource == {"service.name": "edge"}


def test_secrets_are_hidden() -> None:
    text = "otlphttp/x: {endpoint: 'http://b:1', auth: {authenticator: bearertokenauth}}"
    loaded = of(exporters=text, more="extensions: {bearertokenauth: {token: '${env:KEY}'}}\n")
    assert "hush" not in str(shown(loaded))


def test_our_own_exports_of_the_environment_are_not_added() -> None:
    text = (FOLDER / "minimal.yaml").read_text()
    config = loads(text, "c.yaml", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}).config
    assert config.export.otlp == []


def test_env_of_the_collector_is_known_in_our_own_files_too() -> None:
    text = '[resource]\na = "${env:KEY}"\nb = "${env:NO:-c}"\n[[route]]\nrespond = "x"'
    assert loads(text, "r.toml", {"KEY": "1"}).config.resource == {"a": "1", "b": "c"}


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_a_file_is_told_by_its_name(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"config.{suffix}"
    file.write_text((FOLDER / "minimal.yaml").read_text())
    assert load(str(file), {}).config.collector is not None


def test_what_no_pipeline_names_is_left_out_and_not_expanded() -> None:
    loaded = of(exporters="debug: , otlp/no: {endpoint: '${env:NOT_SET}'}, loki: {}, foo/bar: {}")
    assert loaded.config.collector is not None
    assert list(loaded.config.collector.exporters) == ["debug"]
    assert [w.key for w in loaded.warnings] == [
        'exporters."otlp/no"', "exporters.loki", 'exporters."foo/bar"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "line", "told"),
    [
        ({"exporters": "otlp: {endpoint: 'b:1', foo: 1}"}, 3, "otlp.foo: `foo` is not known"),
        ({"exporters": "otlp: {endpoint: 'b:1', timout: 1s}"}, 3, "did you mean `timeout`?"),
        ({"exporters": "otlp: {endpoint: 'b:1', timeout: 5}"}, 3, 'write "5s" or "5ms"'),
        ({"exporters": "otlp: {endpoint: 'unix:///x'}"}, 3, "write host:port"),
        ({"exporters": "otlp: {endpoint: '${env:NO}'}"}, 3, "variable NO is not set"),
        ({"exporters": "otlp: {endpoint: 'b:1', tls: {ca_pem: x}}"}, 3, "write it to a file"),
        ({"exporters": "otlp: {endpoint: 'b:1', auth: {authenticator: oauth2client}}"}, 3,
         "basicauth and bearertokenauth are known"),
        ({"exporters": "otlp: {endpoint: 'b:1', sending_queue: {storage: file_storage}}"}, 3,
         "write extensions: {file_storage"),
        ({"exporters": "loki: {endpoint: 'http://l'}"}, 3, "no exporter of type 'loki' (most"),
        ({"exporters": "otlphtt: {}"}, 3, "did you mean `otlp_http`?"),
        ({"exporters": "prometheus: {endpoint: ':1'}"}, 0, "exporter 'prometheus' has no traces"),
        ({"processors": "k8sattributes: {}"}, 2, "there is no processor of type 'k8sattributes'"),
        ({"processors": "batch: {send_batch_size: x}"}, 2, "batch.send_batch_size: expected"),
        ({"processors": "filter: {spans: {include: {foo: x}}}"}, 2, "`foo` is not there"),
        ({"processors": "filter: {traces: {span: ['nam == 1']}}"}, 2, "did you mean `name`?"),
        ({"processors": "transform: {trace_statements: ['set(span.name)']}"}, 2,
         "processors.transform.trace_statements[0]: 'set' needs `value`"),
        ({"processors": "attributes: {actions: [{key: a, action: insrt}]}"}, 2,
         "processors.attributes.actions[0].action: 'insrt' is not one of"),
        ({"processors": "tail_sampling: {policies: [{name: a, type: latency}]}"}, 2,
         "the table `latency` is missing"),
        ({"more": "extensions: {opamp: {}}\nfoo: 1"}, 5, "foo: `foo` is not known here"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_with_line_and_remedy(
    given: dict[str, str], line: int, told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        of(**given)
    found = [problem for problem in error.value.problems if told in str(problem)]
    assert found, str(error.value)
    assert line in (0, found[0].line)
    assert found[0].remedy or any(word in str(found[0]) for word in ("write", "expected", "has no"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a", "this is no collector's file"),
        ("receivers: {}", "there are no pipelines"),
        ("service: {pipelines: {traces: [x]}}", "expected a table (write receivers: [otlp])"),
        ("service: {pipelines: {traces: {receivers: otlp}}}", "expected a list"),
        ("service: {pipelines: {spans: {receivers: [a], exporters: [b]}}}", "not a signal"),
        ("service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}",
         "there is no receiver 'otlp'"),
        ("service: {extensions: [foo], pipelines: {traces: {}}}", "there is no extension 'foo'"),
        ("extensions: {foo: }\nservice: {extensions: [foo], pipelines: {traces: {}}}",
         "health_check, file_storage, basicauth and bearertokenauth are"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_as_a_whole(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        loads(text, "c.yaml", {})
    assert told in str(error.value)


def test_what_is_harmless_is_ignored_and_told() -> None:
    text = "otlp: {endpoint: 'b:1', keepalive: {time: 1s}, sending_queue: {enabled: false}}"
    warnings = [str(w) for w in of(exporters=text).warnings]
    assert any("exporters.otlp.keepalive: this is ignored" in w for w in warnings)
    assert any("sending_queue.enabled: this is ignored" in w for w in warnings)
    assert all(w.startswith("c.yaml:3: warning: ") for w in warnings)


def test_a_batch_goes_at_its_largest_size() -> None:
    assert processor("batch: {send_batch_max_size: 500}", "batch").send_batch_size == 500
    both = "batch: {send_batch_size: 100, send_batch_max_size: 500}"
    assert processor(both, "batch").send_batch_size == 100


@pytest.mark.parametrize(
    ("table", "place", "conditions"),
    [
        (
            "metrics: {exclude: {match_type: strict, metric_names: [a, b/c]}}",
            ("metrics", "metric"),
            ['(name == "a" or name == "b/c")'],
        ),
        (
            "metrics: {include: {match_type: regexp, metric_names: ['^a\\.']}}",
            ("metrics", "metric"),
            ['not ((IsMatch(name, "^a\\\\.")))'],
        ),
        (
            "logs: {exclude: {match_type: regexp, bodies: [x], severity_number: {min: WARN}}}",
            ("logs", "log_record"),
            ['(IsMatch(body, "x")) and severity_number >= SEVERITY_NUMBER_WARN'],
        ),
        (
            "spans: {include: {match_type: strict, services: [s]},"
            " exclude: {match_type: strict, attributes: [{key: a, value: true}, {Key: b}]}}",
            ("traces", "span"),
            [
                'not ((resource.attributes["service.name"] == "s"))',
                'attributes["a"] == true and attributes["b"] != nil',
            ],
        ),
    ],
)
def test_older_filters_become_conditions(
    table: str, place: tuple[str, str], conditions: list[str]
) -> None:
    made = processor(f"filter: {{{table}}}", "filter")
    assert getattr(getattr(made, place[0]), place[1]) == conditions


def test_our_own_metrics_go_where_a_periodic_reader_says() -> None:
    text = (FOLDER / "minimal.yaml").read_text() + (
        "  telemetry:\n    metrics:\n      readers:\n"
        "        - periodic: {interval: 5000, exporter: {otlp: {protocol: http/protobuf,"
        " endpoint: 'http://m:4318'}}}\n"
    )
    export = loads(text, "c.yaml", {}).config.export
    assert (export.otlp, export.signals) == (["http://m:4318"], ["metrics"])
    assert export.metrics_interval == 5.0


TREES = [tables(file.read_text()) for file in sorted(FOLDER.glob("*.yaml"))]
WRONG = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "${env:NO}", "${file:/no}", [], [None], [[]], [{}], {},
     {"x": 1},
     {"endpoint": None}, {"enabled": "no"}, ["otlp", 7], "5s", "1:2"]
)  # fmt: skip
ENVIRON = {"MY_POD_IP": "127.0.0.1", "FOLDER": "/tmp/x", "BACKEND_HOST": "b:1"}


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree if isinstance(tree, list) else ())
    )
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    made[path[0]] = changed(tree[path[0]], path[1:], value)
    return made


@given(st.data())
def test_whatever_stands_somewhere_it_is_taken_or_refused(data: st.DataObject) -> None:
    tree = data.draw(st.sampled_from(TREES))
    for _ in range(data.draw(st.integers(1, 3))):
        tree = changed(tree, data.draw(st.sampled_from(places(tree))), data.draw(WRONG))
    try:
        loads(json.dumps(tree), "c.yaml", ENVIRON)
    except ConfigError as error:
        assert all(str(problem) for problem in error.problems)
