"""OTTL: the language alone, on single items. What processors do with it is in test_process_ottl.

What each line expects is what LANGUAGE.md and the README of ottlfuncs say.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from proxy.collector.editing.values import assign, put, scalar
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.compile import CONVERTERS, compile_condition, compile_statement
from proxy.collector.ottl.editors import EDITORS
from proxy.collector.ottl.fields import ENUMS, FIELDS
from proxy.collector.ottl.infer import context_of
from proxy.collector.ottl.parse import parse_condition
from proxy.collector.ottl.paths import CONTEXTS, View
from proxy.collector.ottl.values import OttlError
from tests.otlp import samples


def view(**attributes: Any) -> View:
    """A span with an event, and a log record and a metric beside it."""
    resource = Resource()
    assign(resource.attributes, "service.name", "shop")
    made = View(resource, InstrumentationScope(name="lib", version="1.2"))
    made.span = samples.span(1)
    made.span.status.code = 2
    made.span.status.message = "lost"
    made.span.trace_state = "a=1,b=2"
    made.span.parent_span_id = b""
    made.span.events.add(name="exception", time_unix_nano=5)
    made.spanevent = made.span.events[0]
    made.log = LogRecord(severity_number=9, severity_text="INFO")
    put(made.log.body, {"level": "warn", "tags": ["x", "y"]})
    made.metric = Metric(name="requests")
    made.datapoint = made.metric.sum.data_points.add(as_int=3)
    made.metric.sum.aggregation_temporality = 2
    made.metric.sum.is_monotonic = True
    assign(made.datapoint.attributes, "n", 1)
    for key, value in attributes.items():
        assign(made.span.attributes, key, value)
    return made


@pytest.mark.parametrize(
    "text",
    [
        'name == "GET /x/{id}" and span.name == name',
        "kind == SPAN_KIND_CLIENT and kind != SPAN_KIND_SERVER and kind == 3",
        'kind.string == "Client" and kind.deprecated_string == "SPAN_KIND_CLIENT"',
        'status.code == STATUS_CODE_ERROR and status.message == "lost"',
        'attributes["http.response.status_code"] == 200.0',
        'attributes["http.response.status_code"] >= 200 or false',
        'attributes["nothing"] == nil and attributes["nothing"]["deeper"] == nil',
        'resource.attributes["service.name"] == "shop"',
        'instrumentation_scope.name == "lib" and scope.version != "1.3"',
        'trace_id.string == "4bf92f3577b34da6a3ce929d0e0e4736"',
        "trace_id == TraceID(0x4bf92f3577b34da6a3ce929d0e0e4736)",
        'trace_id == TraceID("4bf92f3577b34da6a3ce929d0e0e4736") and Len(span_id) == 8',
        'parent_span_id == SpanID(0x0000000000000000) and parent_span_id.string == ""',
        "IsRootSpan() and not (not IsRootSpan())",
        'trace_state["b"] == "2" and trace_state == "a=1,b=2" and trace_state["c"] == nil',
        "end_time_unix_nano > start_time_unix_nano and end_time > start_time",
        'Milliseconds(end_time - start_time) == 18 and end_time - start_time < Duration("1s")',
        'IsMatch(name, "^GET /x") and not IsMatch(name, "^POST") and not IsMatch(nil, ".*")',
        'IsMatch(attributes["http.response.status_code"], "^2\\\\d{2}$")',
        "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 / 2 == 3 and -7 / 2 == -3 and 7.0 / 2.0 == 3.5",
        '"2" != 2 and true != 1 and "a" < "b" and false < true and not ("a" < 1)',
        '[1, 2] == [1, 2.0] and {"a": 1} == {"a": 1} and [] != nil and 0x00ff != 0x00',
        'IsString("a") and IsInt(1) and IsDouble(.5) and IsBool(true) and IsMap({}) and IsList([])',
        'not IsInt(1.0) and not IsString(nil) and IsEmpty("") and IsEmpty([]) and not IsEmpty(1)',
        'Concat(["a", 1, true, nil, 2.0], "-") == "a-1-true-<nil>-2"',
        'Concat([trace_id], "") == trace_id.string',
        'ToLowerCase("AbC") == "abc" and ConvertCase("AbC", "upper") == "ABC"',
        'ConvertCase("myMetric", "snake") == "my_metric"',
        'ToCamelCase("my_metric") == "MyMetric"',
        'Int("12") == 12 and Int("2.0") == nil and Int(2.9) == 2 and Int(true) == 1',
        'Double("2.5") == 2.5 and Double("x") == nil',
        'String(12) == "12" and String(true) == "true"',
        'Bool("T") == true and Bool("x") == nil and Bool(0) == false',
        'Len("añb") == 4 and Len([1, 2]) == 2',
        'Split("a/b/c", "/")[1] == "b" and Substring("123456789", 0, 3) == "123"',
        'Trim(" a ") == "a" and Trim("!!a!!", "!!") == "a"',
        'TrimPrefix("ingest_x", "ingest_") == "x" and TrimSuffix("x_svc", "_svc") == "x"',
        'HasPrefix("ingest", "in") and HasSuffix("ingest", "st") and not HasPrefix("a", "b")',
        'Index("hello world", "world") == 6 and Index([1, 2], 2) == 1 and Index("a", "z") == -1',
        'ContainsValue(["GET", "PUT"], "GET") and not ContainsValue([], 1)',
        'SHA1("a") == "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"',
        'MD5("a") == "0cc175b9c0f1b6a831c399e269772661" and Len(SHA256("a")) == 64',
        'FNV("hello world") == 8618312879776256743 and FNV("") == -3750763034362895579',
        'ConvertCase("CPUUtilizationMetric", "snake") == "cpu_utilization_metric"',
        'Hex(12) == "000000000000000c" and Hex("1") == "31" and Hex(true) == "01"',
        'Base64Decode("aGVsbG8=") == "hello" and Decode("aGVsbG8", "base64-raw") == "hello"',
        'ParseJSON("{\\"a\\":[1]}")["a"][0] == 1.0 and IsDouble(ParseJSON("[2]")[0])',
        'ParseKeyValue("k1=v1 k2=\\"v 2\\"")["k2"] == "v 2"',
        'ParseKeyValue("k1!v1_k2!v2", "!", pair_delimiter="_")["k2"] == "v2"',
        'ParseKeyValue("a=b c=d\'=\' e=\' \\"y\\" \'") == {"a": "b", "c": "d=", "e": "\\"y\\""}',
        'ParseKeyValue("k1@*v1_!_k2@**v2_!__k3@@*v3__", "@*", "_!_")["_k3@"] == "v3__"',
        'ExtractPatterns("GIT_SHA=ab12", "GIT_SHA=(?P<git.sha>\\\\w+)")["git.sha"] == "ab12"',
        'URL("http://u:p@h:80/a.gif?x=1#f")["url.port"] == 80',
        'URL("http://www.example.com")["url.path"] == ""',
        "Len(UUID()) == 36 and UnixNano(Now()) > 1700000000000000000",
        'Hours(Duration("1h30m")) == 1.5 and Milliseconds(Duration("2s")) == 2000',
        'UnixSeconds(Time("02/04/2023", "%m/%d/%Y")) == 1675468800',
        'UnixMilli(Time("2023-05-26T12:34:56.789+0200", "%FT%T.%L%z")) == 1685097296789',
        'UnixSeconds(Time("2023-05-26 12:34:56", "%F %T", "America/New_York")) == 1685118896',
        'FormatTime(Time("02/04/2023", "%m/%d/%Y"), "%A %h %e %Y") == "Saturday Feb  4 2023"',
        'FormatTime(TruncateTime(Unix(90061), Duration("24h")), "%F %R") == "1970-01-02 00:00"',
        'Coalesce([attributes["no"], nil, "x"]) == "x"',
        'Format("%04d-%02d %s", [2024, 7, "x"]) == "2024-07 x"',
        'IsInCIDR("10.1.2.3", ["192.168.0.0/16", "10.0.0.0/8"])',
        'Sort([3, 1, 2])[0] == 1 and Keys({"a": 1})[0] == "a" and ParseInt("0xFF", 0) == 255',
        'ToKeyValueString({"b": 1, "a": "x y"}, sort_output=true) == "a=\\"x y\\" b=1"',
    ],
)
def test_true_of_a_span(text: str) -> None:
    assert compile_condition(text, "span")(view(extra={"deep": {"er": [1, "two"]}}))


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ("log", 'body["level"] == "warn" and log.body["tags"][1] == "y"'),
        (
            "log",
            "severity_number >= SEVERITY_NUMBER_INFO and severity_number < SEVERITY_NUMBER_WARN",
        ),
        (
            "log",
            'IsMap(body) and HasPrefix(body.string, "{\\"level\\":\\"warn\\",\\"tags\\":[")',
        ),
        ("log", 'log.severity_text == "INFO" and trace_id.string == ""'),
        ("spanevent", 'name == "exception" and span.name == "GET /x/{id}" and UnixNano(time) == 5'),
        ("metric", 'name == "requests" and type == METRIC_DATA_TYPE_SUM and is_monotonic == true'),
        ("metric", "aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE"),
        ("metric", 'HasAttrKeyOnDatapoint("n") and not HasAttrOnDatapoint("n", "1")'),
        ("datapoint", 'metric.name == "requests" and value_int == 3 and attributes["n"] == 1'),
        ("datapoint", "metric.type == METRIC_DATA_TYPE_SUM and value_double == 0.0"),
        ("resource", 'attributes["service.name"] == "shop"'),
        ("scope", 'name == "lib" and resource.attributes["service.name"] == "shop"'),
    ],
)
def test_true_of_others(context: str, text: str) -> None:
    assert compile_condition(text, context)(view())


def _after(text: str, **attributes: Any) -> dict[str, Any]:
    """The attributes of a span that had only these."""
    made = view()
    del made.span.attributes[:]
    for key, value in attributes.items():
        assign(made.span.attributes, key, value)
    compile_statement(text, "span")(made)
    return {pair.key: scalar(pair.value) for pair in made.span.attributes}


NESTED = {"name": "test", "address": {"street": "first", "house": 12}, "who": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ('set(attributes["team"], "shop") where name == "GET /x/{id}"', {}, {"team": "shop"}),
        ('set(attributes["team"], "shop") where kind == SPAN_KIND_SERVER', {}, {}),
        ('set(attributes["a"], attributes["b"])', {}, {}),
        ('set(attributes["a"]["b"]["c"], 1)', {"a": {"x": 1}}, {"a": {"x": 1, "b": {"c": 1}}}),
        ('set(attributes["a"][1], "z")', {"a": [1, 2]}, {"a": [1, "z"]}),
        ('set(attributes, {"k": [1, {"n": nil}]})', {"a": 1}, {"k": [1, {"n": None}]}),
        ('delete_key(attributes, "a")', {"a": 1, "b": 2}, {"b": 2}),
        ('delete_key(attributes["a"], "b")', {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ('delete_matching_keys(attributes, "(?i).*PASS.*")', {"xpassy": 1, "b": 2}, {"b": 2}),
        ('keep_keys(attributes, ["a"])', {"a": 1, "b": 2}, {"a": 1}),
        ('keep_matching_keys(attributes, "^a")', {"a1": 1, "b": 2}, {"a1": 1}),
        ('limit(attributes, 2, ["c"])', {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}),
        ("truncate_all(attributes, 3)", {"a": "abcd", "b": 12345}, {"a": "abc", "b": 12345}),
        ("truncate_all(attributes, 2)", {"a": "aéa"}, {"a": "a"}),
        (
            'truncate_all(attributes, 4, truncation_marker="..")',
            {"a": "abcdef"},
            {"a": "ab.."},
        ),
        ('replace_pattern(attributes["a"], "\\\\d+", "?")', {"a": "x1y22"}, {"a": "x?y?"}),
        (
            'replace_pattern(attributes["a"], "(\\\\w)(\\\\d)", "$2${1}_$$")',
            {"a": "x1"},
            {"a": "1x_$"},
        ),
        ('replace_pattern(attributes["a"], "1", "2")', {"a": 1}, {"a": 1}),
        (
            'replace_pattern(attributes["a"], "(.+)", "$1", SHA256, "<%s>")',
            {"a": "a"},
            {"a": "<ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb>"},
        ),
        (
            'replace_match(attributes["a"], "/user/*/list/*", "/u")',
            {"a": "/user/1/list/2"},
            {"a": "/u"},
        ),
        ('replace_match(attributes["a"], "/user/*", "/u")', {"a": "/user/1/x"}, {"a": "/user/1/x"}),
        ('replace_match(attributes["a"], "[a-c]?z", "m")', {"a": "byz"}, {"a": "m"}),
        (
            'replace_all_patterns(attributes, "key", "^kube_([0-9A-Za-z]+_)", "k8s.$1.")',
            {"kube_pod_name": 1, "x": 2},
            {"k8s.pod_.name": 1, "x": 2},
        ),
        (
            'replace_all_patterns(attributes, "value", "/account/\\\\d{4}", "/account/{id}")',
            {"a": "/account/1234/x", "b": 5},
            {"a": "/account/{id}/x", "b": 5},
        ),
        (
            'replace_all_matches(attributes, "/u/*", "/u")',
            {"a": "/u/1", "b": "no"},
            {"a": "/u", "b": "no"},
        ),
        ('merge_maps(attributes, {"a": 9, "c": 3}, "insert")', {"a": 1}, {"a": 1, "c": 3}),
        ('merge_maps(attributes, {"a": 9, "c": 3}, "update")', {"a": 1}, {"a": 9}),
        ('merge_maps(attributes, {"a": 9, "c": 3}, "upsert")', {"a": 1}, {"a": 9, "c": 3}),
        (
            "flatten(attributes)",
            NESTED,
            {
                "name": "test",
                "address.street": "first",
                "address.house": 12,
                "who.0": "a",
                "who.1": "b",
            },
        ),
        (
            'flatten(attributes, "app", depth=0)',
            {"a": {"b": 1}},
            {"app.a": {"b": 1}},
        ),
        ('append(attributes["t"], "prod")', {}, {"t": ["prod"]}),
        ('append(attributes["t"], values=["b", "c"])', {"t": "a"}, {"t": ["a", "b", "c"]}),
        ('delete_index(attributes["t"], 0)', {"t": ["a", "b"]}, {"t": ["b"]}),
        ("stringify_all(attributes)", {"a": 1, "b": True}, {"a": "1", "b": "true"}),
    ],
)
def test_editors(text: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert _after(text, **before) == after


@pytest.mark.parametrize(
    ("context", "text", "condition"),
    [
        ("span", 'set(name, "n")', 'name == "n"'),
        ("span", "set(kind, SPAN_KIND_SERVER)", 'kind.string == "Server"'),
        ("span", 'set(kind.string, "Producer")', "kind == SPAN_KIND_PRODUCER"),
        ("span", "set(status.code, STATUS_CODE_OK)", "status.code == 1"),
        ("span", 'set(status.message, "m")', 'status.message == "m"'),
        ("span", 'set(trace_state["c"], "3")', 'trace_state == "c=3,a=1,b=2"'),
        ("span", "set(start_time, Unix(5))", "start_time_unix_nano == 5000000000"),
        (
            "span",
            'set(span_id.string, "00000000000000ff")',
            "span_id == SpanID(0x00000000000000ff)",
        ),
        ("span", 'set(resource.attributes["x"], 1)', 'resource.attributes["x"] == 1'),
        ("span", 'set(scope.version, "9")', 'instrumentation_scope.version == "9"'),
        ("log", 'set(body, ParseJSON("{\\"a\\":1}"))', 'body["a"] == 1'),
        ("log", 'set(body["level"], "x")', 'body["level"] == "x" and body["tags"][0] == "x"'),
        ("log", "set(severity_number, SEVERITY_NUMBER_ERROR2)", "severity_number == 18"),
        ("log", 'merge_maps(cache, body, "upsert")', 'cache["level"] == "warn"'),
        ("metric", 'set(unit, "s")', 'unit == "s"'),
        ("metric", "convert_sum_to_gauge()", "type == METRIC_DATA_TYPE_GAUGE"),
        ("datapoint", "set(value_double, 2.5)", "value_double == 2.5 and value_int == 0"),
        ("spanevent", 'set(attributes["k"], span.name)', 'attributes["k"] == "GET /x/{id}"'),
    ],
)
def test_what_is_set_is_read(context: str, text: str, condition: str) -> None:
    made = view()
    assert compile_statement(text, context)(made)
    assert compile_condition(condition, context)(made)


@pytest.mark.parametrize(
    "text",
    [
        'set(attributes["a"], ParseJSON("{"))',
        'set(attributes["a"], ToLowerCase(5))',
        'set(attributes["a"], 1 + 1.5)',
        'set(attributes["a"], 1 / 0)',
        'set(attributes["a"], Split("a", ",")[3])',
        'set(attributes["a"], end_time - start_time)',
        'set(attributes["a"], Duration("soon"))',
        "set(name, 5)",
        "set(kind, 77)",
        'delete_key(attributes["http.response.status_code"], "x")',
        'set(attributes["a"], 9223372036854775807 + 1)',
    ],
)
def test_what_fails_is_told_and_changes_nothing(text: str) -> None:
    made = view()
    before = made.span.SerializeToString()
    with pytest.raises(OttlError):
        compile_statement(text, "span")(made)
    assert made.span.SerializeToString() == before


@pytest.mark.parametrize(
    ("context", "text", "column", "remedy"),
    [
        ("span", 'sett(name, "x")', 1, "did you mean `set`?"),
        ("span", 'set(nam, "x")', 5, "did you mean `name`?"),
        ("span", 'set(attributes["a"], Foo(1))', 22, ""),
        ("span", 'set(attributes["a"], ExtractGrokPatterns(name, "x"))', 22, "use ExtractPatterns"),
        ("span", 'set(attributes["a"], XXH3(name))', 22, "use SHA256(…)"),
        ("span", "scale_metric(10.0)", 1, "use set(datapoint.value_double"),
        ("span", 'set(kind, "server")', 11, "write SPAN_KIND_…"),
        ("span", 'set(name, "x") where kind == "SPAN_KIND_SERVER"', 30, "write SPAN_KIND_SERVER"),
        ("span", "set(name, 'x')", 11, 'write "x'),
        ("span", 'set(name, "x") where a = 1', 24, "compare with =="),
        ("span", 'set(name, "x") where attributes["a"]', 33, "write … == true"),
        ("span", 'set(name, "x") where true && true', 27, "write and"),
        ("span", "set(log.body, 1)", 5, "there is: span, scope, resource"),
        ("span", "set(name)", 1, "write set(target, value)"),
        ("span", "set(name, 1, 2)", 14, "write set(target, value)"),
        ("span", "limit(attributes, limt=3, priority_keys=[])", 24, "write limit("),
        ("span", 'Concat(["a"], "")', 1, "write set(attributes"),
        ("span", 'set(attributes["a"], set(name, 1))', 22, "it is a statement of its own"),
        ("span", "ToLowerCase(name)", 1, "write set(attributes"),
        ("span", 'set(attributes["a"], IsMatch(name, "(a+)+$"))', 36, ""),
        ("span", 'set(attributes["a"], IsMatch(name, name))', 36, ""),
        ("span", 'keep_keys(attributes, "a")', 23, 'write ["a", "b"]'),
        ("span", 'merge_maps(attributes, attributes, "up")', 36, "one of insert"),
        ("span", 'set(attributes["a"], SPAN_KIND_SERVR)', 22, "did you mean `SPAN_KIND_SERVER`?"),
        ("span", 'set(attributes["a"], SHA256)', 22, "write SHA256(…)"),
        ("log", "set(flags, 1) where IsRootSpan()", 21, "only for a span"),
        ("metric", "set(metric.type, 1)", 5, ""),
        ("span", r'set(attributes["a"], "\d")', 23, r"write \\d"),
    ],
)
def test_mistakes_are_told_with_place_and_remedy(
    context: str, text: str, column: int, remedy: str
) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_statement(text, context)
    assert str(raised.value).endswith(f"(at character {column})")
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("signal", "text", "context"),
    [
        ("traces", 'resource.attributes["a"] == 1', "resource"),
        ("traces", 'instrumentation_scope.name == "a" and resource.attributes["a"] == 1', "scope"),
        ("traces", 'span.name == resource.attributes["a"]', "span"),
        ("traces", 'IsMatch(span.name, "x") and spanevent.name == "y"', "spanevent"),
        ("traces", 'attributes["a"] == 1', "span"),
        ("traces", "IsRootSpan()", "span"),
        ("metrics", 'metric.name == "x" and datapoint.attributes["k"] == 1', "datapoint"),
        ("metrics", 'metric.name == resource.attributes["k"]', "metric"),
        ("metrics", 'name == "x"', "metric"),
        ("metrics", 'attributes["k"] == 1', "datapoint"),
        ("metrics", 'HasAttrKeyOnDatapoint("k")', "metric"),
        ("logs", "severity_number > 3", "log"),
        ("logs", 'resource.attributes["k"] == log.body', "log"),
    ],
)
def test_the_context_is_told_by_the_paths(signal: str, text: str, context: str) -> None:
    assert context_of(signal, [parse_condition(text)]) == context
    compile_condition(text, context)


WORDS = st.sampled_from(
    [*CONVERTERS, *EDITORS, *ENUMS, *CONTEXTS, *(f for fields in FIELDS.values() for f in fields),
     "attributes", '"k"', '["k"]', "[0]", "(", ")", ",", "==", "<", "+", "/", "and", "or", "not",
     "where", "nil", "true", "1", "-1.5", "0x00", "{", "}", ":", "=", ".", '"(a+)"', "[", "]"]
)  # fmt: skip


@given(st.text(max_size=60) | st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_compiles_or_is_told_why_not(text: str) -> None:
    for compile_one in (compile_condition, compile_statement):
        for context in CONTEXTS:
            try:
                run = compile_one(text, context)  # type: ignore[operator]
            except ExpressionError as error:
                assert 0 <= error.position <= len(text)
                continue
            with suppress(OttlError, OverflowError, ValueError):
                run(view())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats()
    | st.text(max_size=12) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(sorted(CONVERTERS)), st.lists(VALUES, min_size=1, max_size=4))
def test_converters_take_any_value_or_fail_orderly(name: str, values: list[Any]) -> None:
    apply = CONVERTERS[name].plain
    if apply is None:
        return
    most = len(CONVERTERS[name].parameters)
    values = (values * 4)[: max(CONVERTERS[name].required, min(len(values), most))]
    with suppress(OttlError, OverflowError, ValueError):
        apply(*values)
