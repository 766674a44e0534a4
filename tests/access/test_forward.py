"""What goes to a server that is asked, what its answers mean, and what is remembered of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.check import Asked, Identity
from proxy.access.forward import UNKNOWN, Answers, Refused, Rules, told
from proxy.config.access_model import Forward
from proxy.config.units import Seconds
from proxy.http.head import Pair, RequestHead, made_response

SECRET = bytes(32)


def rules(**said: object) -> Rules:
    return Rules("sso", Forward(cache=Seconds(10), **said), SECRET)  # type: ignore[arg-type]


def head(*lines: Pair, method: str = "GET", path: str = "/a", query: str = "") -> RequestHead:
    made = RequestHead()
    made.method, made.path, made.query = method, path, query
    made.tail = f"?{query}" if query else ""
    made.authority = "a.test"
    for line in lines:
        made.receive(*line)
    return made


def asked(*lines: Pair, client: str = "10.0.0.1", scheme: str = "http", **more: str) -> Asked:
    return Asked(head(*lines, **more), client, scheme, "a.test", 1000.0)


KEY = ["header:authorization", "cookie:s", "method", "path", "host", "client"]
BASE = asked((b"authorization", b"x"), (b"cookie", b"s=1; t=2"))


@pytest.mark.parametrize(
    "other",
    [
        asked((b"authorization", b"y"), (b"cookie", b"s=1")),
        asked((b"cookie", b"s=1")),
        asked((b"authorization", b"x")),
        asked((b"authorization", b"x"), (b"authorization", b"x"), (b"cookie", b"s=1")),
        asked((b"authorization", b"x"), (b"cookie", b"s=2")),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), (b"cookie", b"s=2")),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), method="POST"),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), path="/b"),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), query="q"),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), client="10.0.0.2"),
        asked((b"authorization", b"x"), (b"cookie", b"s=1"), scheme="https"),
    ],
)
def test_questions_that_differ(other: Asked) -> None:
    checked = rules(cache_key=KEY)
    assert checked.key(other) != checked.key(BASE)


def test_questions_that_are_the_same() -> None:
    checked = rules(cache_key=KEY)
    crumbs = asked((b"Authorization", b"x"), (b"Cookie", b"t=9"), (b"Cookie", b" s=1"))
    assert checked.key(crumbs) == checked.key(BASE)


def test_keys_of_two_gateways_differ() -> None:
    said = Forward(cache=Seconds(1))
    one, two = Rules("a", said, bytes(32)), Rules("a", said, b"x" * 32)
    assert one.key(BASE) != two.key(BASE)


VALUES = st.none() | st.binary(max_size=3).filter(lambda v: not set(v) & set(b"\0\r\n"))


@given(st.lists(VALUES, min_size=2, max_size=2), st.lists(VALUES, min_size=2, max_size=2))
@pytest.mark.parametrize("underscored", [False, True])
def test_no_two_requests_have_one_key(
    underscored: bool, one: list[bytes | None], two: list[bytes | None]
) -> None:
    """Wherever one value ends and the next begins; an empty one is not none."""
    checked = rules(cache_key=["header:x-a", "header:x-b"])

    def key(values: list[bytes | None]) -> bytes:
        said = asked(
            *((b"x-" + n, v) for n, v in zip((b"a", b"b"), values, strict=True) if v is not None)
        )
        said.head.seen = -1 if underscored else 0
        return checked.key(said)

    plain = [[v if v is None else v.strip() for v in values] for values in (one, two)]
    assert (key(one) == key(two)) == (plain[0] == plain[1])


def test_names_with_underscores_are_other_questions() -> None:
    checked = rules(cache_key=["header:x-user"])
    assert checked.key(asked((b"x_user", b"a"))) != checked.key(asked((b"x_user", b"b")))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 10),
        (b"max-age=3", 3),
        (b"private, Max-Age=4", 4),
        (b"max-age=60", 10),
        (b'max-age="5"', 5),
        (b"max-age=3, max-age=2", 2),
        (b"max-age=0", 0),
        (b"max-age=-1", 0),
        (b"max-age=1e9", 0),
        (b"max-age=", 0),
        (b"max-age=" + b"9" * 400, 10),
        (b"no-store", 0),
        (b"max-age=5, NO-CACHE", 0),
        (b"public", 10),
        (b",,;=", 10),
    ],
)
@pytest.mark.parametrize("status", [200, 204, 401, 403])
def test_how_long_an_answer_counts(said: bytes | None, seconds: float, status: int) -> None:
    lines = [] if said is None else [(b"Cache-Control", said)]
    answer = made_response(status, lines, 0)
    checked = rules()
    assert checked.kept(answer, checked.judge(answer, b"")) == seconds


@pytest.mark.parametrize("status", [200, 201, 204, 206, 299])
def test_2xx_lets_in(status: int) -> None:
    assert isinstance(rules().judge(made_response(status, [], 0), b""), Identity)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 429, 499])
def test_what_is_passed_on(status: int) -> None:
    answer = rules().judge(made_response(status, [(b"X-A", b"1"), (b"Date", b"x")], 1), b"b")
    assert answer == Refused(status, [(b"x-a", b"1")], b"b")


@pytest.mark.parametrize("status", [101, 304, 500, 503, 599, 600, 999])
def test_what_tells_nothing(status: int) -> None:
    assert rules().judge(made_response(status, [], 0), b"") is UNKNOWN


def test_what_is_found_out() -> None:
    said = {"headers": ["X-User", "x-role"], "attributes": {"user.id": "x-user", "no": "x-no"}}
    lines = [(b"x-user", b"j\xf6rg"), (b"X-Role", b"a"), (b"x-role", b"b"), (b"x-other", b"c")]
    found = rules(**said).judge(made_response(200, lines, 0), b"")
    assert isinstance(found, Identity)
    assert found.headers == [(b"x-user", b"j\xf6rg"), (b"x-role", b"a"), (b"x-role", b"b")]
    assert found.attributes == [("user.id", "j\ufffdrg")]
    assert found.claims == {"x-user": "j\ufffdrg", "x-role": ["a", "b"]}


def test_a_long_value_is_cut_in_attributes() -> None:
    checked = rules(attributes={"user.id": "x-user"})
    found = checked.judge(made_response(200, [(b"x-user", b"x" * 5000)], 0), b"")
    assert isinstance(found, Identity) and len(str(found.attributes[0][1])) == 256


def test_the_request_is_told_as_it_was_matched() -> None:
    assert dict(told(head(method="PUT", path="/b", query="c=%20"), "https", "a.test:8443")) == {
        b"x-forwarded-method": b"PUT",
        b"x-forwarded-uri": b"/b?c=%20",
        b"x-original-method": b"PUT",
        b"x-original-uri": b"/b?c=%20",
        b"x-original-url": b"https://a.test:8443/b?c=%20",
    }


@given(st.lists(st.sampled_from(["X-Forwarded-Uri", "x_original-url", "X-Forwarded-X", "A"])))
def test_strangers_say_nothing_of_before(names: list[str]) -> None:
    came = head(*((name.encode(), b"1") for name in names))
    assert {name for name, _ in rules().lines(came, b"", False)} <= {b"a"}
    trusted = {name for name, _ in rules().lines(came, b"", True)}
    assert trusted <= {b"a", b"x-forwarded-x"}


# what is remembered


def identity() -> Identity:
    return Identity("sso", "joe")


def test_answers_end() -> None:
    answers = Answers(10)
    answers.keep(b"a", identity(), 1010.0)
    assert answers.get(b"a", 1009.9) is not None
    assert answers.get(b"a", 1010.0) is None and len(answers) == 0


def test_a_clock_that_is_put_back_prolongs_nothing() -> None:
    answers = Answers(10)
    answers.keep(b"a", identity(), 1010.0)
    assert answers.get(b"a", 900.0) is None


def test_the_longest_unused_goes_first() -> None:
    answers = Answers(10)
    for i in range(10_000):
        answers.keep(b"%d" % i, UNKNOWN, 1010.0)
    assert answers.get(b"0", 1001.0) is not None
    for i in range(10_000, 10_100):
        answers.keep(b"%d" % i, UNKNOWN, 1010.0)
    assert len(answers) == 10_000
    assert answers.get(b"0", 1001.0) is not None and answers.get(b"1", 1001.0) is None


def test_many_large_answers_are_bounded_by_their_bytes() -> None:
    answers = Answers(10)
    for i in range(5_000):
        answers.keep(b"%d" % i, Refused(403, [], bytes(7000)), 1010.0)
    assert 1000 < len(answers) < 1200
    for _ in range(5_000):  # the same one again and again takes no more
        answers.keep(b"x", Refused(403, [], bytes(7000)), 1010.0)
    assert 1000 < len(answers) < 1200
    answers.keep(b"y", Refused(403, [], bytes(60_000)), 1010.0)
    assert answers.get(b"y", 1001.0) is None
