"""CORS by the Fetch standard, as tables: what origins match, what answers and preflights say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.cors import DROPS, Policy
from proxy.config.access_model import Cors
from proxy.config.origins import SERIALISED, parse_origin
from proxy.http.head import Pair, RequestHead

SHOP = "https://shop.example"
ORIGIN, CREDENTIALS = b"access-control-allow-origin", b"access-control-allow-credentials"
METHODS, HEADERS = b"access-control-allow-methods", b"access-control-allow-headers"
EXPOSE, AGE = b"access-control-expose-headers", b"access-control-max-age"
PRIVATE = b"access-control-allow-private-network"


def policy(*origins: str, **said: Any) -> Policy:
    return Policy(Cors(origins=list(origins) or [SHOP], **said))


def asked(*fields: tuple[str, str], method: str = "OPTIONS") -> RequestHead:
    head = RequestHead()
    head.method = method
    for name, value in fields:
        head.receive(name.lower().encode(), value.encode("latin-1"))
    return head


def preflight(
    said: Policy, method: str = "GET", headers: str = "", origin: str = SHOP, private: str = ""
) -> dict[bytes, bytes]:
    fields = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if headers:
        fields.append(("Access-Control-Request-Headers", headers))
    if private:
        fields.append(("Access-Control-Request-Private-Network", private))
    head = asked(*fields)
    assert said.is_preflight(head)
    return once(said.preflight(head))


def once(lines: list[Pair]) -> dict[bytes, bytes]:
    """By name; none comes twice, which browsers refuse."""
    found = dict(lines)
    assert len(found) == len(lines)
    return found


def is_allowed(lines: dict[bytes, bytes]) -> bool:
    """What must not be allowed has none of the lines at all."""
    allowed = ORIGIN in lines
    assert allowed or not [name for name in lines if name.startswith(b"access-control-")]
    return allowed


# origins


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        (SHOP, SHOP),
        ("https://SHOP.example", SHOP),
        ("HTTPS://shop.example:443", SHOP),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://*.shop.example", "https://a.shop.example"),
        ("https://*.shop.example", "https://a.b-c.shop.example"),
        ("https://*.shop.example:8443", "https://a.shop.example:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("~https://pr-[0-9]+\\.shop\\.example", "https://pr-17.shop.example"),
        ("null", "null"),
    ],
)
def test_origins_that_match_are_echoed(listed: str, origin: str) -> None:
    lines = once(policy(listed).lines(origin.encode()))
    assert lines[ORIGIN] == origin.encode()
    assert is_allowed(preflight(policy(listed), origin=origin))


HOSTILE = [
    "https://shop.example.evil",
    "https://shop.example.",
    "https://shop.example/",
    "https://shop.example@evil",
    "https://evil@shop.example",
    "https://evil.example#https://shop.example",
    "https://shop.example:443",
    "https://shop.example:0",
    "https://shop.example:8443",
    "http://shop.example",
    "https://SHOP.example",
    "HTTPS://shop.example",
    "https://notshop.example",
    "https://shopxexample",
    "https://shop.example, https://shop.example",
    "https://shop.example https://shop.example",
    "https:// shop.example",
    "https://shop.example\t.",
    "https://shop.example\x00",
    "https://shop.example\n.",
    "https://sh\xf6p.example",
    "https://*.shop.example",
    "shop.example",
    "//shop.example",
    "https://",
    "https://.shop.example",
    "https://..shop.example",
    "https://evil.shop.example.evil",
    "https://evil/.shop.example",
    "https://evil%2f.shop.example",
    "https://evil\\.shop.example",
    "https://a.shop.example:99999999999",
    "null",
    "NULL",
    "*",
    "",
    "https://" + "a" * 65536 + ".shop.example",
    "https://" + "a." * 32768 + "shop.example",
]


@pytest.mark.parametrize("origin", HOSTILE, ids=lambda text: ascii(text[:48]))
@pytest.mark.parametrize("credentials", [True, False])
def test_no_other_origin_matches_or_is_echoed(origin: str, credentials: bool) -> None:
    said = policy(SHOP, "https://*.shop.example", "~https://.*\\.dev", credentials=credentials)
    assert said.lines(origin.encode("latin-1")) == [(b"vary", b"Origin")]
    assert not is_allowed(preflight(said, "GET", origin=origin))


def test_a_regular_expression_matches_the_whole_and_never_null() -> None:
    said = policy("~.*shop")
    assert ORIGIN not in dict(said.lines(b"https://shop.example"))
    assert ORIGIN in dict(said.lines(b"https://shop"))
    assert ORIGIN not in dict(policy("~.*").lines(b"null"))
    assert ORIGIN not in dict(policy("~.*").lines(b"https://a.example, https://b.example"))


@given(st.binary(max_size=60).map(lambda rest: b"https://" + rest))
def test_what_is_echoed_is_one_origin_as_browsers_write_it(origin: bytes) -> None:
    for said in (policy("~.*", credentials=True), policy("https://*.shop.example")):
        echoed = dict(said.lines(origin)).get(ORIGIN)
        assert echoed is None or (echoed == origin and SERIALISED.fullmatch(origin))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("shop.example", 'write "https://shop.example"'),
        ("https://shop.example/", 'no path: write "https://shop.example"'),
        ("https://shop.example/cart", 'no path: write "https://shop.example"'),
        ("https://me@shop.example", 'no user: write "https://shop.example"'),
        ("https://shop.example.", 'leave the dot at the end out: write "https://shop.example"'),
        ("https://sh*p.example", '"https://*.shop.example"'),
        ("https://a.*.example", '"https://*.shop.example"'),
        ("https://*", '"~https://.*"'),
        ("https://shop.example:*", "regular expression"),
        ("https://shop.example:0", "no valid port"),
        ("https://shop.example:70000", "no valid port"),
        ("https://bücher.example", "xn--"),
        ("~(", "not a regular expression"),
        ("", "has a scheme"),
        ("https://*.[::1]", "no subdomains"),
    ],
)
def test_what_is_no_origin_is_told_with_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_origin(text)
    assert remedy in str(error.value)


# answers


@pytest.mark.parametrize(
    ("said", "origin", "expected"),
    [
        ({}, SHOP, {ORIGIN: SHOP}),
        ({}, None, {}),
        ({}, "https://evil.example", {}),
        ({"credentials": True}, SHOP, {ORIGIN: SHOP, CREDENTIALS: "true"}),
        ({"credentials": True}, None, {}),
        ({"expose": ["X-A", "x-b"]}, SHOP, {ORIGIN: SHOP, EXPOSE: "X-A, x-b"}),
        ({"origins": ["*"]}, SHOP, {ORIGIN: "*"}),
        ({"origins": ["*"]}, None, {ORIGIN: "*"}),
        ({"origins": ["*"]}, "rubbish", {ORIGIN: "*"}),
        ({"origins": ["*"], "expose": ["*"]}, SHOP, {ORIGIN: "*", EXPOSE: "*"}),
        ({"origins": ["*", SHOP], "credentials": True}, "https://evil.example", {}),
    ],
)
def test_lines_of_an_answer(
    said: dict[str, Any], origin: str | None, expected: dict[bytes, str]
) -> None:
    made = Policy(Cors(**{"origins": [SHOP], **said}))
    lines = once(made.lines(None if origin is None else origin.encode()))
    assert lines.pop(b"vary") == b"Origin"
    assert lines == {name: value.encode() for name, value in expected.items()}


def test_the_lines_are_the_callers_own() -> None:
    made = policy(credentials=True)
    made.lines(SHOP.encode()).append((b"set-cookie", b"of=somebody"))
    assert b"set-cookie" not in dict(made.lines(SHOP.encode()))
    assert b"set-cookie" not in dict(made.lines(None))


def test_remembered_origins_are_bounded_and_strangers_are_not_remembered() -> None:
    made = policy("https://*.shop.example")
    for i in range(5000):
        assert ORIGIN in dict(made.lines(b"https://a%d.shop.example" % i))
        made.lines(b"https://a%d.evil.example" % i)
    assert len(made._known) <= 1024
    assert not [origin for origin in made._known if b"evil" in origin]


def test_what_upstreams_say_is_dropped_whole() -> None:
    written = {ORIGIN, CREDENTIALS, METHODS, HEADERS, EXPOSE, AGE, PRIVATE}
    assert written == DROPS == policy().drops


# preflights


@pytest.mark.parametrize(
    ("fields", "method", "expected"),
    [
        ((("Origin", SHOP), ("Access-Control-Request-Method", "PUT")), "OPTIONS", True),
        ((("Origin", "rubbish"), ("Access-Control-Request-Method", "")), "OPTIONS", True),
        ((("Origin", SHOP),), "OPTIONS", False),
        ((("Access-Control-Request-Method", "PUT"),), "OPTIONS", False),
        ((("Origin", SHOP), ("Access-Control-Request-Method", "PUT")), "GET", False),
        ((("Origin", SHOP), ("Access-Control-Request-Method", "PUT")), "options", False),
        ((("Origin", SHOP), ("Access-Control-Request-Headers", "x-a")), "OPTIONS", False),
    ],
)
def test_what_is_a_preflight(
    fields: tuple[tuple[str, str], ...], method: str, expected: bool
) -> None:
    assert policy().is_preflight(asked(*fields, method=method)) is expected


@pytest.mark.parametrize(
    ("listed", "method", "allowed"),
    [
        (["PUT"], "PUT", True),
        (["PUT"], "put", False),
        (["PUT"], "Put", False),
        (["PUT"], "GET", True),  # CORS-safelisted, §4.8
        (["PUT"], "HEAD", True),
        (["PUT"], "POST", True),
        (["PUT"], "get", False),
        (["PUT"], "DELETE", False),
        (["PUT"], "PUT, DELETE", False),
        (["PUT"], "", False),
        (["PATCH"], "patch", False),  # fetch() leaves it in lower case
        (["patch"], "patch", True),
        ([], "POST", True),
        ([], "PUT", False),
        (["*"], "PURGE", True),
        (["*"], "*", True),
        (["*"], "PU T", False),
        (["*"], "PUT\r\nx: y", False),
    ],
)
@pytest.mark.parametrize("credentials", [False, True])
def test_methods(listed: list[str], method: str, allowed: bool, credentials: bool) -> None:
    made = policy(methods=listed, credentials=credentials)
    lines = preflight(made, method)
    assert is_allowed(lines) is allowed
    if allowed:
        literal = credentials and "*" in listed
        expected = method if literal else ", ".join(listed)
        assert lines.get(METHODS, b"") == expected.encode()


@pytest.mark.parametrize(
    ("listed", "headers", "allowed", "told", "told_with_credentials"),
    [
        (["x-a"], "x-a", True, "x-a", "x-a"),
        (["X-A"], "x-a", True, "X-A", "X-A"),
        (["x-a"], "X-a", True, "x-a", "x-a"),
        (["x-a", "x-b"], "x-b,x-a", True, "x-a, x-b", "x-a, x-b"),
        (["x-a"], "x-a,,x-a ,", True, "x-a", "x-a"),
        (["x-a"], "x-b", False, "", ""),
        (["x-a"], "x-a,x-b", False, "", ""),
        ([], "", True, "", ""),
        ([], "content-type", False, "", ""),
        (["x-a"], "", True, "", ""),
        (["*"], "x-a, X-B", True, "*", "x-a, x-b"),
        (["*"], "authorization", False, "", ""),
        (["*"], "x-a,Authorization", False, "", ""),
        (["*", "Authorization"], "authorization", True, "*, Authorization", "authorization"),
        (["*"], "x a", False, "", ""),
        (["*"], "x-a\x00", False, "", ""),
        (["*"], "x-a;y", False, "", ""),
        (["*"], "*", True, "*", "*"),
        (["*"], "x" * 5000, False, "", ""),
    ],
)
def test_headers(
    listed: list[str], headers: str, allowed: bool, told: str, told_with_credentials: str
) -> None:
    for credentials, expected in ((False, told), (True, told_with_credentials)):
        lines = preflight(policy(headers=listed, credentials=credentials), "GET", headers)
        assert is_allowed(lines) is allowed
        assert lines.get(HEADERS, b"") == expected.encode()


@pytest.mark.parametrize("origin", [SHOP, "https://evil.example"])
def test_every_preflight_varies_by_all_that_it_says(origin: str) -> None:
    three = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert preflight(policy(), origin=origin)[b"vary"] == three
    private = preflight(policy(private_network=True), origin=origin)[b"vary"]
    assert private == three + b", Access-Control-Request-Private-Network"


def test_age_credentials_and_any_origin() -> None:
    lines = preflight(policy(max_age=600.0, credentials=True, methods=["PUT"]))
    assert lines[AGE] == b"600"
    assert lines[CREDENTIALS] == b"true"
    assert lines[ORIGIN] == SHOP.encode()
    lines = preflight(policy("*", max_age=0.5, methods=["PUT"]), origin="https://a.example")
    assert (lines[AGE], lines[ORIGIN]) == (b"0", b"*")
    assert CREDENTIALS not in lines
    assert EXPOSE not in preflight(policy(expose=["x-a"]), "GET")


@pytest.mark.parametrize(
    ("allowed", "asked_for", "told"),
    [(True, "true", True), (True, "", False), (True, "TRUE", False), (False, "true", False)],
)
def test_private_networks(allowed: bool, asked_for: str, told: bool) -> None:
    lines = preflight(policy(private_network=allowed), "GET", private=asked_for)
    assert (lines.get(PRIVATE) == b"true") is told


def test_doubled_lines_match_nothing() -> None:
    head = asked(("Origin", SHOP), ("Origin", SHOP), ("Access-Control-Request-Method", "GET"))
    assert not is_allowed(once(policy().preflight(head)))
    head = asked(
        ("Origin", SHOP),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Method", "PUT"),
    )
    assert not is_allowed(once(policy(methods=["PUT"]).preflight(head)))
