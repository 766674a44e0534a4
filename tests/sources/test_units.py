"""Units: one that is wrong stays as it was, or is left out, and the others go on."""

from __future__ import annotations

from typing import Any

from hypothesis import given as drawn
from hypothesis import strategies as st

from proxy.sources.source import Given
from proxy.sources.units import Unit, Units


def route(name: str, **more: Any) -> Unit:
    return Unit(routes=[{"name": name, **more}])


def names(given: Given) -> list[str]:
    return [table["name"] for table in given.routes]


def test_all_of_them_are_given_in_the_order_of_their_places() -> None:
    units = Units()
    units.put("key b", route("b"))
    units.put("key a", route("a"))
    units.put("key u", Unit(upstreams={"u": {"servers": "http://a"}}))
    given = units.given("1")
    assert names(given) == ["a", "b"]
    assert given.places == {
        ("route", 0): "key a",
        ("route", 1): "key b",
        ("upstream", "u"): "key u",
    }


def test_one_that_is_refused_is_left_out_and_then_taken_again() -> None:
    units = Units()
    units.put("key a", route("a"))
    units.put("key b", route("b"))
    given = units.given("1")
    assert units.settled(given, ["key b: route.path: wrong"])
    second = units.given("1")
    assert names(second) == ["a"]
    assert second.left_out == ["key b: route.path: wrong"]
    assert not units.settled(second, [])
    units.put("key b", route("b", path="/b"))
    third = units.given("2")
    assert (names(third), third.left_out) == (["a", "b"], [])


def test_one_that_was_good_stays_as_it_was() -> None:
    units = Units()
    units.put("key a", route("a", path="/1"))
    units.settled(units.given("1"), [])
    units.put("key a", route("a", path="/2"))
    assert units.settled(units.given("2"), ["key a: route.path: wrong"])
    assert units.given("2").routes == [{"name": "a", "path": "/1"}]
    units.wrong("key a", "no JSON")
    held = units.given("3")
    assert (names(held), held.left_out) == (["a"], ["key a: no JSON"])


def test_what_was_good_and_is_not_any_more_goes_too() -> None:
    units = Units()
    units.put("key a", route("a", to="u"))
    units.put("key u", Unit(upstreams={"u": {}}))
    units.settled(units.given("1"), [])
    units.drop("key u")
    refusal = ["key a: route.to: there is no upstream 'u'"]
    assert units.settled(units.given("2"), refusal)
    given = units.given("2")
    assert (names(given), given.left_out) == ([], refusal)
    units.put("key u", Unit(upstreams={"u": {}}))
    assert names(units.given("3")) == ["a"], "another unit has changed, so it is tried again"


def test_a_refusal_that_blames_none_of_them_changes_nothing() -> None:
    units = Units()
    units.put("key a", route("a"))
    given = units.given("1")
    assert not units.settled(given, ["routes.toml:3: route[0]: wrong", "key ab: wrong"])
    assert names(units.given("1")) == ["a"]


def test_an_answer_about_an_older_state_changes_nothing() -> None:
    units = Units()
    units.put("key a", route("a"))
    old = units.given("1")
    units.put("key b", route("b"))
    now = units.given("2")
    assert not units.settled(old, ["key a: wrong"])
    assert units.settled(now, ["key a: wrong"])


def test_of_two_upstreams_of_one_name_the_first_counts() -> None:
    units = Units()
    units.put("a.toml", Unit(upstreams={"u": {"servers": "http://a"}}))
    units.put("b.toml", Unit(upstreams={"u": {"servers": "http://b"}}))
    given = units.given("1")
    assert given.upstreams == {"u": {"servers": "http://a"}}
    assert given.left_out == ["b.toml: upstream 'u' is there already: a.toml"]


def test_changes_do_not_bring_back_what_was_refused_before_the_others_are_in_force() -> None:
    units = Units()
    units.put("key b", route("b"))
    bad = ["key b: route.path: wrong", "key b: route.to: wrong"]
    assert units.settled(units.given("0"), bad)
    units.put("key c", route("c"))
    assert units.settled(units.given("1"), bad), "it may have waited for c"
    corrected = units.given("1")
    units.put("key d", route("d"))
    units.put("key b", route("b", path="/odd"))
    newest = units.given("2")
    assert (names(newest), newest.left_out, newest.amiss) == (["c", "d"], bad[:1], ["key b"])
    assert not units.is_due
    assert not units.settled(corrected, [])
    assert units.is_due, "now it is its turn"
    again = units.given("2")
    assert names(again) == ["b", "c", "d"]
    assert units.settled(again, bad)
    assert not units.settled(units.given("2"), [])
    assert not units.is_due, "nothing has changed since"


def test_what_is_refused_of_a_state_that_others_have_followed_is_left_out_too() -> None:
    """Where changes come faster than they are judged, none would be judged as the newest."""
    units = Units()
    for name in ("b", "m"):
        units.put(f"key {name}", route(name))
    old = units.given("1")
    units.put("key c", route("c"))
    units.put("key m", route("m", path="/mended"))
    units.given("2")
    assert not units.settled(old, ["key b: route.path: wrong", "key m: route.path: wrong"])
    assert units.is_due
    assert names(units.given("2")) == ["c", "m"], "m is another one by now"
    assert not units.is_due


def test_what_came_into_force_before_others_followed_is_what_stays() -> None:
    units = Units()
    units.put("key a", route("a"))
    old = units.given("1")
    units.put("key c", route("c"))
    units.given("2")
    units.settled(old, [])
    units.wrong("key a", "no JSON")
    units.wrong("key c", "no JSON")
    given = units.given("3")
    assert (names(given), given.kept) == (["a"], ["key a: no JSON"])


PLACES = st.sampled_from([f"key {n}" for n in range(4)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PLACES, st.booleans()),
        st.tuples(st.just("wrong"), PLACES, st.just(False)),
        st.tuples(st.just("drop"), PLACES, st.just(False)),
    ),
    max_size=30,
)


@drawn(STEPS)
def test_whatever_happens_it_ends_in_what_can_be_used(
    steps: list[tuple[str, str, bool]],
) -> None:
    units, there = Units(), dict[str, bool | None]()
    for n, (what, place, good) in enumerate(steps):
        if what == "put":
            units.put(place, route(place, good=good, n=n))
            there[place] = good
        elif what == "wrong":
            units.wrong(place, "no JSON")
            there[place] = None
        else:
            units.drop(place)
            there.pop(place, None)
        given = units.given(str(n))
        for _ in range(10):
            reasons = [f"{r['name']}: bad" for r in given.routes if not r["good"]]
            again = units.settled(given, reasons)
            if not again:
                break
            given = units.given(str(n))
        assert all(table["good"] for table in given.routes)
        assert {p for p, good in there.items() if good} <= set(names(given))
        assert set(names(given)) <= there.keys()


def test_what_stays_as_it_was_is_told_apart_from_what_is_gone() -> None:
    units = Units()
    units.put("key a", route("a"))
    units.put("key b", route("b"))
    units.settled(units.given("1"), [])
    units.put("key a", route("a", path="/odd"))
    units.wrong("key b", "no JSON", 1)
    units.wrong("key c", "no JSON", 1)
    units.settled(units.given("2"), ["key a: route.path: odd"])
    given = units.given("2")
    assert names(given) == ["a", "b"]
    assert given.left_out == ["key a: route.path: odd", "key b: no JSON", "key c: no JSON"]
    assert given.kept == ["key a: route.path: odd", "key b: no JSON"]


def test_what_has_changed_is_named_once() -> None:
    units = Units()
    units.put("key a", route("a"))
    units.wrong("key b", "no JSON", 1)
    assert units.given("1").renewed == ["key a", "key b"]
    units.put("key a", route("a"))
    units.wrong("key b", "no JSON", 1)
    assert units.given("2").renewed == []
    units.wrong("key b", "no JSON", 2)
    assert units.given("3").renewed == ["key b"]
    units.drop("key a")
    assert units.given("4").renewed == ["key a"]


def test_what_came_into_force_after_it_was_changed_is_what_stays() -> None:
    units = Units()
    units.put("key a", route("a", path="/0"))
    units.settled(units.given("1"), [])
    units.put("key a", route("a", path="/1"))
    units.put("key b", route("b", path="/1"))
    first = units.given("2")
    units.put("key a", route("a", path="wrong"))
    units.put("key b", route("b", path="wrong"))
    second = units.given("3")
    units.settled(first, [])
    refusals = ["key a: route.path: wrong", "key b: route.path: wrong"]
    assert units.settled(second, refusals)
    third = units.given("3")
    assert [table["path"] for table in third.routes] == ["/1", "/1"]
    assert third.left_out == third.kept == refusals


def test_what_came_into_force_after_it_was_known_to_be_wrong_stays() -> None:
    units = Units()
    units.put("key a", route("a"))
    first = units.given("1")
    units.wrong("key a", "no JSON")
    assert names(units.given("2")) == [], "it is not known to be good yet"
    assert not units.is_due
    units.settled(first, [])
    assert units.is_due
    third = units.given("2")
    assert (names(third), third.kept) == (["a"], ["key a: no JSON"])
    units.settled(third, [])
    assert not units.is_due


def test_what_was_passed_over_is_not_what_stays() -> None:
    units = Units()
    for number in range(3):
        units.put("key a", route("a", path=f"/{number}"))
        units.given(str(number))
    units.put("key a", route("a", path="wrong"))
    assert units.settled(units.given("3"), ["key a: route.path: wrong"])
    assert names(units.given("3")) == []


def test_what_was_gone_when_it_came_into_force_does_not_come_back() -> None:
    units = Units()
    unit = route("a")
    units.put("key a", unit)
    first = units.given("1")
    units.drop("key a")
    units.put("key a", route("a", path="wrong"))
    second = units.given("2")
    units.settled(first, [])
    assert units.settled(second, ["key a: route.path: wrong"])
    assert names(units.given("2")) == []
