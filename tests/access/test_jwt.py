"""Signed tokens as the check judges them, without a socket."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access.check import Asked, Identity, Pending, Refusal
from proxy.access.jwt import Jwt
from proxy.access.keyset import KeySet
from proxy.config.access_jwks import problems
from proxy.config.access_model import Jwt as Said
from proxy.config.packed_keys import KIND, PackedKey, pack
from proxy.config.units import Seconds
from proxy.http.head import RequestHead
from tests.access.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    b64,
    claims,
    jwk,
    kind_of,
    packed,
    private,
    token,
)  # fmt: skip

URL = "https://idp.test/jwks"


class Keys:
    """Those that a worker has; questions are answered by what `then` holds."""

    def __init__(self, now: KeySet | None, then: KeySet | None = None) -> None:
        self.now, self.then, self.asked = now, then, 0

    def current(self, url: str) -> KeySet | None:
        assert url == URL
        return self.now

    def may_ask(self, url: str, now: float) -> bool:
        return self.then is not None

    def ask(self, url: str, now: float, done: Any) -> Any:
        self.asked += 1
        self.now = self.then
        done()
        return lambda: None


def said(**more: Any) -> Said:
    places = more.pop("in", ["header:authorization"])
    made = Said(**{"jwks": URL, "issuer": ISSUER, "audience": [AUDIENCE], "places": places, **more})
    assert not problems(made)
    return made


def check(keys: Keys | None = None, fixed: bytes = b"", **more: Any) -> Jwt:
    keys = keys or Keys(KeySet(packed(jwk(private(), kid="k1"))))
    made = said(**more)
    return Jwt("staff", made, KeySet(fixed), keys if made.jwks else None)


def asked(authorization: bytes = b"", *lines: tuple[bytes, bytes], now: float = NOW) -> Asked:
    head = RequestHead()
    if authorization:
        lines = ((b"authorization", authorization), *lines)
    for name, value in lines:
        head.receive(name, value)
    return Asked(head, "10.0.0.1", "https", "shop.test", now)


def decide(made: Jwt, text: bytes, now: float = NOW) -> str:
    """The reason of a refusal; "" = it is let in."""
    verdict = made.decide(asked(b"Bearer " + text, now=now))
    assert not isinstance(verdict, Pending)
    return verdict.reason if isinstance(verdict, Refusal) else ""


@pytest.mark.parametrize("alg", [a for a in KIND if not a.startswith("HS")])
def test_every_algorithm_lets_in_what_its_key_has_signed_and_nothing_else(alg: str) -> None:
    keys = Keys(KeySet(packed(jwk(private(kind_of(alg)), kid="k1"))))
    made = check(keys, algorithms=[alg])
    good = token(alg=alg)
    assert decide(made, good) == ""
    other = token(alg=alg, key=private(kind_of(alg), 1))
    assert decide(made, other) == "signature"
    head, body, sign = good.split(b".")
    flipped = bytes([sign[0] ^ 1 if sign[0] ^ 1 != ord("`") else sign[0] ^ 2]) + sign[1:]
    assert decide(made, b".".join((head, body, flipped))) in ("signature", "malformed")
    forged = token(claims(sub="root"), alg=alg).split(b".")[1]
    assert decide(made, b".".join((head, forged, sign))) == "signature"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_secret_of_a_file_verifies(alg: str) -> None:
    fixed = pack([PackedKey("", "oct", "", SECRET)])
    made = check(fixed=fixed, jwks="", secret="key", algorithms=[alg])
    assert decide(made, token(alg=alg, key=SECRET)) == ""
    assert decide(made, token(alg=alg, key=SECRET[::-1])) == "signature"


def test_a_short_secret_verifies_no_long_digest() -> None:
    fixed = pack([PackedKey("", "oct", "", SECRET[:32])])
    made = check(fixed=fixed, jwks="", secret="key", algorithms=["HS256", "HS512"])
    assert decide(made, token(alg="HS256", key=SECRET[:32])) == ""
    assert decide(made, token(alg="HS512", key=SECRET[:32])) == "key_unknown"


# RFC 7515 A.1, A.3 and RFC 8037 A.4: what others have signed.
JOE = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
VECTORS = {
    "HS256": (
        f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        None,
    ),
    "ES256": (
        f"eyJhbGciOiJFUzI1NiJ9.{JOE}"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
    ),
}


@pytest.mark.parametrize("alg", VECTORS)
def test_the_tokens_of_the_standard_are_taken(alg: str) -> None:
    text, key = VECTORS[alg]
    if key is None:
        octets = (
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
        )
        import base64

        fixed = pack([PackedKey("", "oct", "", base64.urlsafe_b64decode(octets + "=="))])
        made = check(fixed=fixed, jwks="", secret="x", algorithms=[alg], issuer="joe", audience=[])
    else:
        made = check(Keys(KeySet(packed(key))), algorithms=[alg], issuer="joe", audience=[])
    assert decide(made, text.encode(), now=1300819000) == ""
    assert decide(made, text.encode(), now=1300819380 + 61) == "expired"


TIMES = [
    ({"exp": NOW - 59}, ""),
    ({"exp": NOW - 60}, "expired"),
    ({"exp": 0}, "expired"),
    ({"exp": -1}, "expired"),
    ({"exp": NOW + 0.5}, ""),
    ({"exp": 1e300}, ""),
    ({"exp": None}, "expired"),
    ({"exp": str(NOW + 600)}, "malformed"),
    ({"exp": True}, "malformed"),
    ({"exp": [NOW + 600]}, "malformed"),
    ({"nbf": NOW + 60}, ""),
    ({"nbf": NOW + 61}, "not_yet_valid"),
    ({"nbf": "0"}, "malformed"),
    ({"iat": NOW + 61}, "not_yet_valid"),
    ({"iat": {}}, "malformed"),
    ({"iss": ISSUER + "/"}, "issuer"),
    ({"iss": [ISSUER]}, "issuer"),
    ({"iss": None}, "issuer"),
    ({"aud": ["x", AUDIENCE]}, ""),
    ({"aud": "SHOP"}, "audience"),
    ({"aud": []}, "audience"),
    ({"aud": None}, "audience"),
    ({"aud": [AUDIENCE, 1]}, "malformed"),
    ({"aud": {AUDIENCE: 1}}, "malformed"),
    ({"sub": 7}, "malformed"),
    ({"sub": None}, ""),
]


@pytest.mark.parametrize(("changed", "reason"), TIMES, ids=str)
def test_what_claims_must_say(changed: dict[str, Any], reason: str) -> None:
    assert decide(check(), token(claims(**changed))) == reason


@pytest.mark.parametrize(
    ("more", "changed", "now", "reason"),
    [
        ({"leeway": Seconds(0)}, {"exp": NOW + 1}, NOW, ""),
        ({"leeway": Seconds(0)}, {"exp": NOW}, NOW, "expired"),
        ({"require_exp": False}, {"exp": None}, NOW, ""),
        ({"max_age": Seconds(300)}, {}, NOW + 359, ""),
        ({"max_age": Seconds(300)}, {"iat": NOW - 361}, NOW, "expired"),
        ({"max_age": Seconds(300)}, {"iat": None}, NOW, "expired"),
        ({"audience": []}, {"aud": None}, NOW, ""),
        ({"issuer": ""}, {"iss": None}, NOW, ""),
    ],
)
def test_what_can_be_set(
    more: dict[str, Any], changed: dict[str, Any], now: float, reason: str
) -> None:
    assert decide(check(**more), token(claims(**changed)), now=now) == reason


@pytest.mark.parametrize(
    ("typ", "wanted", "reason"),
    [
        ("at+jwt", "at+jwt", ""),
        ("application/AT+JWT", "at+jwt", ""),
        ("JWT", "at+jwt", "type"),
        (None, "at+jwt", "type"),
        ("anything", "", ""),
        (7, "", "malformed"),
    ],
)
def test_the_type_can_be_pinned(typ: object, wanted: str, reason: str) -> None:
    head = {} if typ is None else {"typ": typ}
    assert decide(check(typ=wanted), token(head=head)) == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"scope": "a orders:read b"}, ""),
        ({"scp": ["orders:read"]}, ""),
        ({"scp": "orders:read"}, ""),
        ({}, "scope"),
        ({"scope": "orders:readall"}, "scope"),
        ({"scope": "orders:read\tb"}, "scope"),
        ({"scope": "", "scp": ["orders:read"]}, "scope"),
        ({"scope": 7}, "malformed"),
    ],
)
def test_scopes(changed: dict[str, Any], reason: str) -> None:
    verdict = check(scopes=["orders:read"]).decide(asked(b"Bearer " + token(claims(**changed))))
    assert (verdict.reason if isinstance(verdict, Refusal) else "") == reason
    if reason == "scope":
        assert isinstance(verdict, Refusal)
        assert verdict.status == 403
        assert verdict.challenge == (
            b'Bearer realm="spangate", error="insufficient_scope", scope="orders:read"'
        )


def test_claims_go_to_upstreams_and_spans() -> None:
    made = check(
        headers={"X-User": "sub", "x-groups": "groups", "x-none": "none", "x-city": "address.city"},
        attributes={"user.id": "sub", "user.level": "level", "user.roles": "groups"},
    )
    said = claims(groups=["a", "b"], level=3, address={"city": "Köln"}, scope="x y")
    verdict = made.decide(asked(b"Bearer " + token(said)))
    assert isinstance(verdict, Identity)
    assert (verdict.check, verdict.name) == ("staff", "ada")
    assert verdict.headers == [
        (b"x-user", b"ada"), (b"x-groups", b"a,b"), (b"x-city", "Köln".encode()),
    ]  # fmt: skip
    assert verdict.attributes == [("user.id", "ada"), ("user.level", 3), ("user.roles", "a,b")]
    assert verdict.scopes == {"x", "y"}
    assert verdict.claims["groups"] == ["a", "b"]
    assert made.strips == {b"x-user", b"x-groups", b"x-none", b"x-city"}


@pytest.mark.parametrize(
    "value",
    ["a\r\nx-admin: 1", "a\n", "\0", "a\x7f", "\x85", "a\u2028", " admin", "admin ", "\u3000a",
     ["a", "b,c"], ["a", None], ["a", ["b"]], ["\r"]],
)  # fmt: skip
def test_what_an_upstream_could_misread_is_refused(value: object) -> None:
    assert decide(check(headers={"x-user": "who"}), token(claims(who=value))) == "claims"


@pytest.mark.parametrize("value", ["", None, [], {"a": 1}])
def test_what_is_not_there_is_not_sent(value: object) -> None:
    verdict = check(headers={"x-user": "who"}).decide(
        asked(b"Bearer " + token({**claims(), "who": value}))
    )
    assert isinstance(verdict, Identity) and verdict.headers == []


def test_conditions_on_claims() -> None:
    made = check(claims={"role": "admin", "realm.verified": "true"})
    assert decide(made, token(claims(role=["user", "admin"], realm={"verified": True}))) == ""
    assert decide(made, token(claims(role="admin", realm={"verified": "false"}))) == "claims"
    assert decide(made, token(claims(role="administrator", realm={"verified": True}))) == "claims"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "absent"),
        (b"Basic YTpi", "absent"),
        (b"Bearer", "malformed"),
        (b"Bearer ", "malformed"),
        (b"Bearer\tTOKEN", "malformed"),
        (b"bearer TOKEN", ""),
        (b"BEARER   TOKEN", ""),
        (b"TOKEN", "malformed"),
        (b"Bearer TOKEN, Bearer TOKEN", "malformed"),
        (b"Bearer TOKEN x", "malformed"),
        (b'Bearer "TOKEN"', "malformed"),
        (b"BearerTOKEN", "malformed"),
    ],
)
def test_where_the_token_is_in_authorization(line: bytes, reason: str) -> None:
    verdict = check().decide(asked(line.replace(b"TOKEN", token())))
    assert (verdict.reason if isinstance(verdict, Refusal) else "") == reason
    if reason:
        assert isinstance(verdict, Refusal)
        error = b"" if reason == "absent" else b', error="invalid_token"'  # RFC 6750 §3
        assert verdict.challenge == b'Bearer realm="spangate"' + error


def test_other_places_and_what_upstreams_do_not_see() -> None:
    places = ["cookie:session", "query:token", "header:X-Token"]
    made = check(**{"in": places, "keep": False})
    good = token()
    for lines, query in (
        (((b"cookie", b"a=b; session=" + good),), ""),
        (((b"cookie", b"a=b"), (b"cookie", b"session=" + good)), ""),
        (((b"x-token", good),), ""),
        (((b"x-token", b"bearer " + good),), ""),
        ((), "a=1&token=" + good.decode()),
        ((), "t%6Fken=" + good.decode()),
    ):
        question = asked(b"", *lines)
        question.head.query = query
        assert isinstance(made.decide(question), Identity), (lines, query)
    assert (made.hidden_cookies, made.hidden_queries) == ({"session"}, {"token"})
    assert made.strips == {b"x-token"}
    twice = asked(b"", (b"cookie", b"session=" + good + b"; session=" + good))
    verdict = made.decide(twice)
    assert isinstance(verdict, Refusal) and verdict.reason == "malformed"


def test_the_first_place_that_has_something_counts() -> None:
    made = check(**{"in": ["cookie:session", "header:authorization"]})
    bad = asked(b"Bearer " + token(), (b"cookie", b"session=x"))
    verdict = made.decide(bad)
    assert isinstance(verdict, Refusal) and verdict.reason == "malformed"


def test_no_key_at_all_is_not_the_client_s_fault() -> None:
    made = check(Keys(None))
    verdict = made.decide(asked(b"Bearer " + token()))
    assert isinstance(verdict, Refusal)
    assert (verdict.status, verdict.reason) == (503, "keys_missing")
    assert decide(made, b"x.y.z") == "malformed"


def test_an_unknown_key_is_fetched_once() -> None:
    old, new = KeySet(packed(jwk(private(), kid="k0"))), KeySet(packed(jwk(private(), kid="k1")))
    came: list[Any] = []
    keys = Keys(old, new)
    verdict = check(keys).decide(asked(b"Bearer " + token()))
    assert isinstance(verdict, Pending)
    verdict.begin(None, came.append)
    assert isinstance(came[0], Identity)
    still = check(Keys(old, old)).decide(asked(b"Bearer " + token()))
    assert isinstance(still, Pending)
    still.begin(None, came.append)
    assert isinstance(came[1], Refusal) and came[1].reason == "key_unknown"
    assert decide(check(Keys(old)), token()) == "key_unknown"


def test_keys_without_names_count_for_any_name() -> None:
    made = check(Keys(KeySet(packed(jwk(private("RSA", 1)), jwk(private())))))
    assert decide(made, token()) == ""
    nameless = check(Keys(KeySet(packed(jwk(private("RSA", 1), kid="a"), jwk(private(), kid="b")))))
    assert decide(nameless, token(head='{"alg":"RS256"}')) == ""


def test_what_was_found_out_ends_with_the_keys_and_with_the_token() -> None:
    keys = Keys(KeySet(packed(jwk(private(), kid="k1"))))
    made = check(keys)
    short = token(claims(exp=NOW + 10))
    assert decide(made, short) == ""
    assert made.decide(asked(b"Bearer " + short)) is made.decide(asked(b"Bearer " + short))
    assert decide(made, short, now=NOW + 71) == "expired"
    good = token()
    assert decide(made, good) == ""
    keys.now = KeySet(packed(jwk(private("RSA", 1), kid="k1")))
    assert decide(made, good) == "signature"
    keys.now = KeySet(packed(jwk(private(), kid="k1")))
    assert decide(made, good) == ""


# any bytes

PARTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"e30", b"eyJhbGciOiJub25lIn0", b"W10", b"bnVsbA", b"MQ", b"="]),
)
HEADS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "cty", "crit", "jwk", "b64", "x", ""]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
)


@given(st.lists(PARTS, max_size=6))
def test_no_bytes_are_taken_for_a_token(parts: list[bytes]) -> None:
    assert decide(CHECK, b".".join(parts))


@given(HEADS, st.sampled_from(["RS256", "none", "HS256", "ES256", "RS512"]))
def test_no_head_makes_a_token_of_a_stranger_s_signature(head: dict[str, Any], alg: str) -> None:
    import json

    first = b64(json.dumps({"alg": alg, **head}).encode()).encode()
    assert decide(CHECK, first + b"." + b64(b'{"sub":"x"}').encode() + b".AAAA")


@settings(max_examples=300)
@given(st.integers(min_value=0), st.integers(1, 255), st.booleans())
def test_no_changed_byte_is_overlooked(place: int, change: int, insert: bool) -> None:
    at = place % len(GOOD)
    byte = bytes([GOOD[at] ^ change])
    changed = GOOD[:at] + byte + (GOOD[at:] if insert else GOOD[at + 1 :])
    assert decide(CHECK, changed)


@given(HEADS)
def test_no_claims_raise(said: dict[str, Any]) -> None:
    import json

    try:
        text = json.dumps({**claims(), **said})
    except ValueError:
        return
    made = check(fixed=pack([PackedKey("", "oct", "", SECRET)]), jwks="", secret="x",
                 algorithms=["HS256"], headers={"x-a": "x"}, attributes={"a": "kid"},
                 claims={"x": "1"}, scopes=["a"])  # fmt: skip
    decide(made, token(text, key=SECRET, alg="HS256"))


CHECK = check()
GOOD = token()
