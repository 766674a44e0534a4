"""Fields and cookies that hold credentials by the checks of a file: who records them is told."""

from __future__ import annotations

import pytest

from tests.config.test_slips import TO, route, told

FIELDS = ["Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-Token", "X-Key", "X-Team"]
CHECKS: list[tuple[str, set[str]]] = [
    ("jwt = {}", {"Authorization"}),
    ("jwt = { in = ['header:x-token', 'query:t'] }", {"X-Token"}),
    ("jwt = { in = ['cookie:token'] }", {"Cookie", "Set-Cookie"}),
    ("api_key = {}", {"X-Api-Key"}),
    ("api_key = { in = ['bearer'] }", {"Authorization"}),
    ("api_key = { in = ['query:key'] }", set()),
    ("api_key = { in = [1, 'header:X-KEY'] }", {"X-Key"}),
    ("basic = {}", {"Authorization"}),
    ("forward = {}", {"Authorization", "Cookie", "Set-Cookie"}),
    ("forward = { cache_key = ['header:x-key', 'path'] }",
     {"Authorization", "Cookie", "Set-Cookie", "X-Key"}),
    ("mtls = {}", set()),
    ("oidc = {}", {"Cookie", "Set-Cookie"}),
]  # fmt: skip
COOKIES = ["token", "__Host-shop", "shop", "shop.1", "theme"]
READ: list[tuple[str, set[str]]] = [
    ("jwt = { in = ['cookie:token'] }", {"token"}),
    ("api_key = { in = ['header:x-a', 'cookie:shop'] }", {"shop"}),
    ("oidc = { cookie = '__Host-shop' }", {"__Host-shop", "shop", "shop.1"}),
    ("forward = { cache_key = ['cookie:theme'] }", {"theme"}),
    ("basic = {}", set()),
]


def warned(check: str, more: str) -> list[str]:
    """Places where it is told that something is hidden."""
    text = f"{more}\n[auth.mine]\n{check}\n{route(TO)}"
    found = [one for one in told(text) if "holds credentials" in one.message]
    assert all(one.warning and "[auth.mine]" in one.message for one in found)
    return [one.key for one in found]


@pytest.mark.parametrize("key", ["request_headers", "response_headers"])
@pytest.mark.parametrize(("check", "fields"), CHECKS)
def test_fields_that_a_check_reads(key: str, check: str, fields: set[str]) -> None:
    found = warned(check, f"tracing.{key} = {FIELDS}")
    assert found == [f"tracing.{key}[{i}]" for i, name in enumerate(FIELDS) if name in fields]


@pytest.mark.parametrize(("check", "fields"), CHECKS)
def test_attributes_made_of_such_fields(check: str, fields: set[str]) -> None:
    sources = "\n".join(f"{name} = 'header:{name}'" for name in FIELDS)
    assert warned(check, f"[attributes]\n{sources}") == [
        f"attributes.{name}" for name in FIELDS if name in fields
    ]


@pytest.mark.parametrize(("check", "cookies"), READ)
def test_attributes_made_of_cookies_that_a_check_reads(check: str, cookies: set[str]) -> None:
    sources = "\n".join(f"k{i} = 'cookie:{name}'" for i, name in enumerate(COOKIES))
    assert warned(check, f"[attributes]\n{sources}") == [
        f"attributes.k{i}" for i, name in enumerate(COOKIES) if name in cookies
    ]


def test_nobody_is_told_where_nothing_is_checked() -> None:
    text = f"tracing.request_headers = {FIELDS}\n{route(TO)}"
    assert not [one for one in told(text) if "holds credentials" in one.message]
