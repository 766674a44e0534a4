"""TraceQL: what is chosen by it, and how what cannot be read is told."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.recent.conditions import Condition, Field
from proxy.recent.query import Query
from proxy.recent.search import search
from proxy.recent.selection import Selection
from proxy.recent.traceql import field_of, parse
from tests.recent.samples import CLIENT, MS, SECOND, add, demo, end, ring, span, trace_id

STORE = ring()
demo(STORE, 1)
demo(STORE, 2, error=True)
add(
    STORE, "billing",
    span(3, 1, name="pay", took=300 * MS, attributes={"tenant": "t7", "amount": 12, "a b": "c"}),
    span(3, 2, 1, name="sum", kind=1, attributes={"deep": True, "share": 0.25}, took=3 * MS),
)  # fmt: skip
add(STORE, "mail", span(4, 1, 9, name='say "hi"\n', kind=CLIENT, took=2 * SECOND))

CHOSEN = [
    ("{}", {1, 2, 3, 4}),
    ("{ }", {1, 2, 3, 4}),
    ("{true}", {1, 2, 3, 4}),
    ("{false}", set()),
    ('{resource.service.name="billing"}', {3}),
    ('{ .service.name = "billing" }', {3}),
    ('{span.service.name = "billing"}', set()),
    ('{resource.service.name!="spangate"}', {3, 4}),
    ('{resource.service.name=~"bill.*|mail"}', {3, 4}),
    ('{resource.service.name="billing|mail"}', set()),
    ('{resource.service.name!~"bill.*"}', {1, 2, 4}),
    ('{resource.service.name=~"bill"}', set()),  # the whole text
    ('{name="pay"}', {3}),
    ('{span:name="pay" && span:kind=server}', {3}),
    ('{name="say \\"hi\\"\\n"}', {4}),
    ("{name='pay'}", {3}),
    ("{name=`pay`}", {3}),
    ("{status=error}", {2}),
    ("{status!=error}", {1, 2, 3, 4}),
    ("{status=unset && kind=internal}", {3}),
    ("{kind=client}", {1, 2, 4}),
    ("{duration>1s}", {4}),
    ("{duration >= 300ms}", {3, 4}),
    ("{1s<duration}", {4}),
    ("{duration<=0.003s && duration>2999us}", {3}),
    ("{span:duration>1h30m}", set()),
    ("{span.http.response.status_code=502}", {2}),
    ("{span.http.response.status_code>=500}", {2}),
    ('{span.http.response.status_code="502"}', set()),  # a number is no text
    ("{.http.response.status_code!=200}", {2}),  # those that have none are not meant
    ("{.tenant=nil && .amount=nil && resource.service.name=`billing`}", {3}),
    ("{.tenant!=nil}", {3}),
    ("{.deep}", {3}),
    ("{.deep=true}", {3}),
    ("{!.deep && name=`sum`}", set()),
    ("{.share<0.5}", {3}),
    ("{.amount=-12}", set()),
    ('{."a b"="c"}', {3}),
    ('{span."a b"="c"}', {3}),
    ("{.tenant=`t7` && .deep}", set()),  # not of one span
    ("{.tenant=`t7`} && {.deep}", {3}),
    ("{.tenant=`t7` || .deep}", {3}),
    ("{name=`pay`} || {kind=client && status=error}", {2, 3}),
    ("({name=`pay`} || {name=`sum`}) && {.deep}", {3}),
    ("{(name=`pay` || name=`x`) && !(status=error)}", {3}),
    ("{trace:duration>1s}", {4}),
    ("{traceDuration>250ms && name=`sum`}", {3}),
    ('{rootServiceName="spangate" && status=error}', {2}),
    ('{trace:rootName="GET /shop/{id}"}', {1, 2}),
    ('{rootName!="pay"}', {1, 2, 4}),
    ("{!(traceDuration>1s)}", {1, 2, 3}),
    ("{nestedSetParent<0}", {1, 2, 3}),
    ("{nestedSetParent<0 && true && kind=server}", {1, 2, 3}),
    ('{span:id="0000000000000002"}', {3}),
    ('{span:parentID="0000000000000009"}', {4}),
    (f'{{trace:id="{trace_id(2).hex()}"}}', {2}),
    ("{name=`pay`} | select(span.tenant, resource.service.name) with(most_recent=true)", {3}),
    ("{statusMessage=~`.*broke`}", {2}),
]


@pytest.mark.parametrize(("text", "traces"), CHOSEN)
def test_what_is_chosen(text: str, traces: set[int]) -> None:
    query = Query(limit=100)
    found, _ = end(search(STORE, query, Selection(query, parse(text).wanted)))
    assert {one.trace_id for one in found.traces} == {trace_id(number) for number in traces}


REFUSED = [
    ("", 1, "{ is missing"),
    ("{", 2, "missing"),
    ("{name=}", 7, "a value is missing"),
    ("{name}", 6, "an operator is missing"),
    ("{=1}", 2, "missing"),
    ("{name=`a`", 10, "} is missing"),
    ("{name=`a`}}", 11, "|"),
    ("{a=1}", 2, ".a"),
    ("{event.name=`x`}", 2, "not known"),
    ("{parent.name=`x`}", 2, "not known"),
    ("{status=server}", 8, "no value"),
    ("{name=error}", 6, "no value"),
    ("{.a=.b}", 2, "with a value"),
    ("{1=1}", 2, "with a value"),
    ("{12}", 2, "no condition"),
    ("{.a=~5}", 4, "needs a text"),
    ("{.a=~`(`}", 4, "pattern"),
    ("{.a>true}", 4, "needs"),
    ("{.a>nil}", 4, "needs"),
    ("{.a=1x}", 5, "no number"),
    ("{.a+1=2}", 4, "missing"),
    ("{.a=1} >> {.b=2}", 8, ">> between spans"),
    ("{.a=1} > {.b=2}", 8, "> between spans"),
    ("{.a=1} | rate()", 10, "'rate' is not supported"),
    ("{.a=1} | by(.a)", 10, "'by' is not supported"),
    ("{.a=1} | count()", 17, "whole number"),
    ("{.a=1} | select(1)", 18, "attribute"),
    ("{.a=1} {.b=1}", 8, "&&"),
    ('{.a="x}', 5, "cannot be read"),
    ("(" * 100, 42, "brackets"),
    ("{" + "!" * 100 + ".a}", 42, "brackets"),
    ("{" + "&&".join([".a=1"] * 101) + "}", 602, "100 conditions"),
]


@pytest.mark.parametrize(("text", "at", "why"), REFUSED)
def test_what_is_refused_is_told_with_its_place(text: str, at: int, why: str) -> None:
    with pytest.raises(ValueError, match="TraceQL, at character") as refused:
        parse(text)
    assert f"character {at}:" in str(refused.value)
    assert why in str(refused.value)


def test_bounds() -> None:
    with pytest.raises(ValueError, match="4096"):
        parse("{" + " " * 5000 + "}")
    many = " && ".join(f"traceDuration>{n}ms" for n in range(4))
    with pytest.raises(ValueError, match="whole traces"):
        Selection(Query(), parse(f"{{{many}}}").wanted)


WORDS = (
    "{", "}", "(", ")", "&&", "||", "!", "=", "=~", ">", "|", ".a", "name", "status", "error", "1",
    "5ms", "`x`", '"', "nil", "true", "select", "count", ",", "with", "traceDuration", "-1", "0.5",
)  # fmt: skip


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(WORDS),
            max_size=14,
        ).map(" ".join),
    )
)
@example('{."\\')
@example("{.a=1e999}")
@example("{.a=" + "9" * 5000 + "}")
@example("{.a=1.5.5s}")
@example("{.a=99999999999999999999h}")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        wanted = parse(text).wanted
    except ValueError:
        return
    query = Query()
    end(search(STORE, query, Selection(query, wanted)))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("span.http.route", Field("span", "http.route")),
        (".a", Field("any", "a")),
        ('resource."a \\" b"', Field("resource", 'a " b')),
        ("span:status", Field("intrinsic", "status")),
        ("rootName", Field("trace", "rootName")),
    ],
)
def test_fields(name: str, field: Field) -> None:
    assert field_of(name) == field


@pytest.mark.parametrize("name", ["", ".", "a", "event.a", "span.", "else:name"])
def test_what_is_no_field(name: str) -> None:
    with pytest.raises(ValueError, match="no attribute"):
        field_of(name)


def test_a_condition_is_of_as_many_bits_as_answers_are_possible() -> None:
    wanted = parse("{traceDuration>1s && rootName=`a`}").wanted
    assert Condition(wanted.tree).width == 4  # type: ignore[union-attr]
