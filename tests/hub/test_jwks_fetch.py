"""How a JWKS is fetched, and what is made of what issuers say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.config.access_model import Auth, Jwt
from proxy.config.model import Config
from proxy.config.units import Seconds
from proxy.hub.jwks import _judged, terms
from proxy.hub.jwks_fetch import Fetched, Fetcher, max_age
from tests.access.tokens import jwk, private
from tests.hub.issuer import Issuer, issuer
from tests.ports import free_port


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


async def fetch(url: str) -> Fetched:
    fetcher = Fetcher()
    try:
        fetched = await fetcher.fetch(url)
        return fetched if fetched.why else _judged(fetched)
    finally:
        await fetcher.close()


async def test_a_good_answer(idp: Issuer) -> None:
    idp.headers["Cache-Control"] = "public, max-age=300"
    fetched = await fetch(idp.url)
    assert (fetched.why, fetched.keys, fetched.max_age) == ("", 1, 300)


async def test_what_is_no_use_is_left_out_and_the_rest_counts(idp: Issuer) -> None:
    good = jwk(private(), kid="k1")
    idp.keys = [good, {**good, "use": "enc"}, {"kty": "oct", "k": "AAAA"}, {**good, "n": "AQAB"}]
    fetched = await fetch(idp.url)
    assert (fetched.why, fetched.keys, len(fetched.useless)) == ("", 1, 3)


LIES = {
    "no JSON": b"<html>sign in</html>",
    "nothing": b"",
    "no object": b"[]",
    "no keys": b"{}",
    "keys that are none": b'{"keys": "all"}',
    "an empty list": b'{"keys": []}',
    "keys for something else": b'{"keys": [{"kty": "RSA", "use": "enc"}]}',
    "no end": b'{"keys": ' * 50_000,
    "too much": b" " * (1024 * 1024 + 1),
    "gzip": b"\x1f\x8b\x08\x00" + bytes(40),
}


@pytest.mark.parametrize("lie", LIES)
async def test_lies_are_failures(idp: Issuer, lie: str) -> None:
    idp.body = LIES[lie]
    assert (await fetch(idp.url)).why


@pytest.mark.parametrize("status", [206, 301, 302, 307, 401, 404, 500])
async def test_other_statuses_are_failures_and_redirects_are_not_followed(
    idp: Issuer, status: int
) -> None:
    with issuer() as other:
        idp.status, idp.headers = status, {"Location": other.url}
        assert (await fetch(idp.url)).why == f"it answered {status}"
        assert not other.asked


async def test_who_does_not_listen(idp: Issuer) -> None:
    assert (await fetch(f"http://127.0.0.1:{free_port()}/")).why
    assert (await fetch(idp.url.replace("http", "https"))).why  # no TLS there


@pytest.mark.parametrize(
    ("said", "age", "seconds"),
    [
        ("", "", None),
        ("max-age=60", "", 60),
        ("max-age=60", "20", 40),
        ("max-age=60", "90", 0),
        ("max-age=60", "x", 60),
        ('private, MAX-AGE="5"', "", 5),
        ("s-maxage=9", "", None),
        ("no-store", "", 0),
        ("no-cache, max-age=9", "", 0),
        ("max-age=-1", "", None),
        ("max-age=99999999999999", "", 999999999),
    ],
)
def test_how_long_an_answer_counts(said: str, age: str, seconds: float | None) -> None:
    assert max_age(said, age) == seconds


def test_checks_with_one_url_have_one_source_by_the_strictest_terms() -> None:
    url = "https://idp/jwks"
    auth = {
        "a": Auth(jwt=Jwt(jwks=url, refresh=Seconds(60), stale=Seconds(900))),
        "b": Auth(jwt=Jwt(jwks=url, refresh=Seconds(600), stale=Seconds(90))),
        "c": Auth(jwt=Jwt(jwks="keys.json")),
        "d": Auth(),
    }
    assert terms(Config(auth=auth)) == {url: (("a", "b"), 60, 90)}
