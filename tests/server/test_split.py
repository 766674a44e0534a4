"""Who goes to which side of a split, and that they stay there."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.split import Split
from proxy.upstream.hashed import place
from tests.harness import Backend, gateway
from tests.server.kit import ask, reply, routing, script, series

CLIENTS = [f"user-{n}" for n in range(2000)]


def sides(weights: dict[str, int]) -> dict[str, str]:
    """By client, as `server/split.py` finds them."""
    split = Split(weights)
    return {one: split.pick(place(b"split " + one.encode()) / 2**64) for one in CLIENTS}


@pytest.mark.parametrize("canary", [5, 10, 50])
def test_shares_are_those_of_the_weights(canary: int) -> None:
    found = Counter(sides({"stable": 100 - canary, "canary": canary}).values())
    share = canary / 100
    assert abs(found["canary"] - 2000 * share) < 3 * (2000 * share * (1 - share)) ** 0.5


@given(st.integers(1, 98), st.integers(1, 99))
def test_a_canary_that_grows_takes_and_gives_nobody_back(small: int, more: int) -> None:
    large = min(small + more, 99)
    before = sides({"stable": 100 - small, "canary": small})
    after = sides({"stable": 100 - large, "canary": large})
    assert not [one for one in CLIENTS if (before[one], after[one]) == ("canary", "stable")]


@pytest.mark.parametrize(
    ("on", "line"), [("cookie:user", "Cookie: a=b; user={}"), ("header:x-user", "X-User: {}")]
)
async def test_a_client_stays_where_it_is(on: str, line: str) -> None:
    async with Backend(script(reply(200, b"1"))) as one, Backend(script(reply(200, b"2"))) as two:
        route = f'[[route]]\nto = {{ a = 1, b = 1 }}\nsplit = {{ sticky = "{on}" }}'
        async with gateway(routing({"a": [one.url], "b": [two.url]}, route)) as gate:
            client = await gate.connect()
            seen: dict[str, set[bytes]] = {}
            for _ in range(3):
                for user in CLIENTS[:20]:
                    answer = await ask(client, "GET", "/", line.format(user))
                    seen.setdefault(user, set()).add(answer.body)
            expected = sides({"a": 1, "b": 1})
            for user, bodies in seen.items():
                assert bodies == {b"1" if expected[user] == "a" else b"2"}
            without = {(await ask(client, "GET", "/")).body for _ in range(40)}
            assert without == {b"1", b"2"}, "by chance"
            await client.close()


async def test_each_side_is_counted() -> None:
    async with Backend(script(reply())) as one, Backend(script(reply(500))) as two:
        route = '[[route]]\nname = "r"\nto = { a = 1, b = 1 }\nsplit = { sticky = "header:x" }'
        async with gateway(routing({"a": [one.url], "b": [two.url]}, route)) as gate:
            client = await gate.connect()
            for user in CLIENTS[:30]:
                await ask(client, "GET", "/", f"X: {user}")
            await gate.recorded.collect()
            told = series(gate, "spangate.split.request.duration")
            await client.close()
    expected = Counter(sides({"a": 1, "b": 1})[user] for user in CLIENTS[:30])
    counted = {
        (dict(labels)["spangate.upstream"], dict(labels).get("error.type")): sum(point.counts)  # type: ignore[union-attr]
        for labels, point in told.items()
    }
    assert counted == {("a", None): expected["a"], ("b", "500"): expected["b"]}
