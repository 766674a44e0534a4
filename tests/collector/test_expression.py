"""The language of `filter` and `transform`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from proxy.collector.editing.values import assign, find, scalar
from proxy.collector.expression.compile import ExpressionError, compile_condition, compile_statement
from proxy.collector.expression.paths import READERS, WRITERS, Item
from tests.otlp import samples


def span(**attributes: Any) -> Item:
    made = samples.span(1)
    made.status.code = 2
    made.status.message = "lost"
    for key, value in attributes.items():
        assign(made.attributes, key, value)
    resource = Resource()
    assign(resource.attributes, "service.name", "shop")
    return Item(made, resource, InstrumentationScope(name="lib", version="1.2"))


@pytest.mark.parametrize(
    "text",
    [
        'name == "GET /x/{id}"',
        "kind == 'client'",
        'status.code == "error" and status.message == "lost"',
        'attributes["http.response.status_code"] == 200',
        'attributes["http.response.status_code"] >= 200.0',
        'attributes["http.response.status_code"] in [200, 404]',
        'attributes["nothing"] == nil',
        '"http.response.status_code" in attributes',
        'not ("nothing" in attributes)',
        '"nothing" not in attributes',
        'resource.attributes["service.name"] == "shop"',
        "scope.name == 'lib' and scope.version != '1.3'",
        'trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"',
        "len(span_id) == 16",
        "duration == 18000000",
        'name matches "^GET /x"',
        "not name matches '^POST'",
        '"/x/" in name',
        "false or true and not false",
        "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and -(2) == -2 and 7 % 4 == 3",
        "7 / 2 == 3.5",
        "1 / 0 == nil and 1 % 0 == nil",
        '"a" + 1 == nil and -"a" == nil',
        '"2" != 2 and true != 1 and not (1 == true)',
        "9223372036854775807 + 1 == nil",
        'lower("AbC") == "abc" and upper("abc") == "ABC" and trim(" a ") == "a"',
        "concat('a', 1, true, nil, 1.5) == 'a1true1.5'",
        "replace('a-b-c', '-', '') == 'abc' and replace('abc', '', 'x') == 'abc'",
        r"replace_pattern('id=17;id=18', '[0-9]+', '?') == 'id=?;id=?'",
        "truncate('abcdef', 3) == 'abc' and truncate('ab', 9) == 'ab'",
        "substring('abcdef', 2, 2) == 'cd' and substring('abc', -1, 2) == nil",
        "item(split('a/b/c', '/'), 1) == 'b' and item([], 0) == nil",
        "join(['a', 2], '-') == 'a-2'",
        "hash('a', 'sha1') == '86f7e437faa5a7fce15d1ddcb9eaeaea377667b8'",
        "len(hash('a')) == 64",
        "int('42') == 42 and int('x') == nil and int(2.9) == 2 and int(true) == 1",
        "float('1.5') == 1.5 and bool('true') == true and string(12) == '12'",
        "coalesce(attributes['nothing'], nil, 'x') == 'x'",
        "starts_with(name, 'GET') and ends_with(name, '}')",
        r'"tab\t\"quoted\" \u00e9" == ' + "'tab\\t\"quoted\" é'",
        "start_time_unix_nano < end_time_unix_nano",
    ],
)
def test_true(text: str) -> None:
    assert compile_condition(text, "span")(span())


@pytest.mark.parametrize(
    "text",
    [
        "name",  # something, but not true
        "1",
        'name < 1 or name > 1',
        "nil and true",
        "attributes['nothing'] matches '.*'",
        "hash(nil) == 'x'",
        "1 in 5 or nil in 'nil'",
    ],
)  # fmt: skip
def test_not_true(text: str) -> None:
    assert not compile_condition(text, "span")(span())


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("", 0, "a value is expected"),
        ("name ==", 7, "a value is expected"),
        ("name = 1", 5, "not expected"),
        ("(name", 5, "')' is expected"),
        ("nam == 1", 0, "a span has no 'nam'"),
        ("body == 1", 0, "a span has no 'body'"),
        ('name["x"] == 1', 0, "no keys"),
        ("attributes[x] == 1", 11, "a key is expected"),
        ("1 == 1 == 1", 7, "joined by 'and'"),
        ("lower(1, 2) == 1", 0, "takes 1"),
        ("size(1) == 1", 0, "no function 'size'"),
        ("eval('1')", 0, "no function"),
        ("__import__('os')", 0, "no function"),
        ("name matches lower('a')", 13, "not calculated"),
        ("name matches '('", 13, "not a regular expression"),
        ("name matches '(a+)+$'", 13, "for ever"),
        ("name matches '(a|a)*'", 13, "for ever"),
        (r"name matches '(a)\\1'", 13, "for ever"),
        ("name == 'open", 8, "does not end"),
        (r"name == '\q'", 9, "no escape"),
        (r"name == '\ud800'", 9, "surrogate"),
        ("name ; 1", 5, "cannot be read"),
        ("99999999999999999999 == 1", 0, "64 bits"),
        ("(" * 40 + "1" + ")" * 40, 32, "levels"),
        ("not " * 40 + "true", 132, "levels"),
        ("1" + "+1" * 40, 65, "terms"),
        ("hash(name, 'md4') == 1", 11, "sha"),
        ("name where true", 5, "not expected"),
        ("x" * 5000, 4096, "at most"),
    ],
)
def test_what_is_wrong_is_told_with_its_position(text: str, position: int, part: str) -> None:
    with pytest.raises(ExpressionError, match="character") as caught:
        compile_condition(text, "span")
    assert part in str(caught.value)
    assert caught.value.position == position


def changed(text: str, **attributes: Any) -> Any:
    item = span(**attributes)
    compile_statement(text, "span")(item)
    return item.item


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('attributes["a"] = 1', "a", 1),
        ('attributes["a"] = concat(name, "!")', "a", "GET /x/{id}!"),
        ('attributes["old"] = nil', "old", "x"),  # nil changes nothing
        ('attributes["old"] = 2 where kind == "server"', "old", "x"),
        ('attributes["old"] = 2 where kind == "client"', "old", 2),
        ('attributes["list"] = [1, "a", true]', "list", [1, "a", True]),
        ('attributes["all"] = resource.attributes', "all", {"service.name": "shop"}),
        ('rename attributes["old"] to attributes["new"]', "new", "x"),
        ('rename attributes["old"] to attributes["new"]', "old", None),
        ('rename attributes["none"] to attributes["old"]', "old", "x"),
        ('delete attributes["old"]', "old", None),
        ('delete attributes["old"] where false', "old", "x"),
    ],
)  # fmt: skip
def test_statements_on_attributes(text: str, key: str, value: Any) -> None:
    found = find(changed(text, old="x").attributes, key)
    assert (None if found is None else scalar(found)) == value


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ('name = "x"', "name", "x"),
        ("set name = 12", "name", "12"),
        ('kind = "server"', "kind", 2),
        ("kind = 5", "kind", 5),
        ("kind = 17", "kind", 3),  # does not exist: left alone
        ('kind = "none"', "kind", 3),
        ("end_time_unix_nano = start_time_unix_nano + 5", "end_time_unix_nano", 5),
        ("end_time_unix_nano = -1", "end_time_unix_nano", 18_000_000),
    ],
)
def test_statements_on_fields(text: str, field: str, value: Any) -> None:
    made = changed(text)
    found = getattr(made, field)
    assert found - made.start_time_unix_nano == value if "time" in field else found == value


def test_a_status_is_set() -> None:
    assert changed('status.code = "ok"').status.code == 1


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("trace_id = 'x'", 0),
        ("duration = 1", 0),
        ("resource.attributes['x'] = 1", 0),
        ("attributes = 1", 0),
        ("nothing = 1", 0),
        ("attributes[''] = 1", 0),
        ("rename name to attributes['x']", 7),
        ("rename attributes['x'] name", 23),
        ("delete name", 7),
        ("drop name", 0),
        ("name == 1", 5),
        ("name", 4),
        ("name = 1 where", 14),
    ],
)
def test_statements_that_make_no_sense(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_statement(text, "span")
    assert caught.value.position == position


_WORDS = [
    "name", "kind", "status.code", "body", "value", "attributes", '["x"]', "resource.attributes",
    "duration", "severity_number", "metric.name", "(", ")", "[", "]", ",", "==", "!=", "<", ">=",
    "in", "not", "and", "or", "matches", "where", "=", "+", "-", "*", "/", "%", "nil", "true",
    "1", "0", "-1", "9223372036854775807", "1e308", "0.5", "'x'", '"(a)"', "''", "rename",
    "delete", "to", "lower(", "concat(", "replace(", "truncate(", "hash(", "int(", "float(",
    "split(", "join(", "item(", "len(", "string(", "coalesce(", "substring(", "é", "'\\",
]  # fmt: skip
SUBJECTS = ["span", "log", "data_point", "metric", "resource"]


def item_of(subject: Any) -> Item:
    around = span(x="text", y=1)
    if subject == "span":
        return around
    if subject == "log":
        made: Any = LogRecord(severity_number=9)
        made.body.string_value = "hello"
    elif subject == "resource":
        return Item(around.resource, around.resource)
    else:
        metric = Metric(name="m")
        point = metric.sum.data_points.add(as_int=3)
        if subject == "metric":
            return Item(metric, around.resource, around.scope)
        return Item(point, around.resource, around.scope, metric)
    return Item(made, around.resource, around.scope)


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS), max_size=14)))
def test_nothing_but_the_documented_error_comes_out(source: str | list[str]) -> None:
    text = source if isinstance(source, str) else " ".join(source)
    for subject in SUBJECTS:
        for compile_ in (compile_condition, compile_statement):
            try:
                run: Any = compile_(text, subject)  # type: ignore[operator]
            except ExpressionError as error:
                assert 0 <= error.position <= len(text)
            else:
                assert isinstance(run(item_of(subject)), bool)


_VALUES = st.sampled_from(
    [
        "nil", "true", "1", "-7", "0", "9223372036854775807", "1e308", "-0.5", "''", "'12'",
        "'nan'", "'inf'", "'äöü'", "name", "attributes", "attributes['x']", "attributes['deep']",
        "[1, 'a', [2]]", "kind", "duration", "trace_id", "'9999999999999999999999'", "'1e999'",
    ]
)  # fmt: skip
_FUNCTIONS = (
    "concat({0}, {1})", "coalesce({0}, {1})", "lower({0})", "trim({0})", "replace({0}, {1}, {2})",
    "truncate({0}, {1})", "substring({0}, {1}, {2})", "split({0}, {1})", "join({0}, {1})",
    "item({0}, {1})", "hash({0})", "len({0})", "int({0})", "float({0})", "bool({0})",
    "string({0})", "starts_with({0}, {1})", "replace_pattern({0}, '[a-z0-9]', {1})", "-{0}",
    "{0} + {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}", "({0} == {1})", "({0} < {1})",
    "({0} in {1})", "({0} matches 'a.*b')", "not {0}", "[{0}, {1}]",
)  # fmt: skip


@given(
    outer=st.sampled_from(_FUNCTIONS),
    inner=st.sampled_from(_FUNCTIONS),
    values=st.lists(_VALUES, min_size=5, max_size=5),
    target=st.sampled_from(sorted({*WRITERS["span"], "attributes['made']"})),
)
def test_every_value_fits_everywhere(
    outer: str, inner: str, values: list[str], target: str
) -> None:
    made = f"({inner.format(*values[2:])})"
    text = f"{target} = {outer.format(made, *values[:2])}"
    deep: Any = "x"
    for _ in range(14):
        deep = [deep]
    item = span(x="text", deep=deep)
    compile_statement(text, "span")(item)
    assert len(item.item.SerializeToString()) < 1 << 20


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_path_can_be_read(subject: Any) -> None:
    for path in READERS[subject]:
        assert compile_condition(f"({path} == {path}) == true", subject)(item_of(subject))


def test_texts_cannot_grow() -> None:
    long = ", ".join(["attributes['x']"] * 8)
    assert len(changed(f"name = concat({long})", x="a" * 60_000).name) == 65536
    grown = changed('attributes["x"] = replace(attributes["x"], "a", name)', x="a" * 100_000)
    assert len(grown.attributes[1].value.string_value) <= 65536
