"""A route's gate over real sockets: in which order it asks, what the client and the upstream are
told, and what is recorded. The checks here say what a header says; each kind has tests of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.access.check import ABSENT, Asked, Identity, Pending, Refusal, Verdict
from proxy.server import access
from tests.harness import Backend, Gateway, Peer, gateway, routes
from tests.server.kit import Trace, ask, eventually, is_settled, number, reply, request, traces

SAID = b"x-say"
CHECK = '[auth.{name}]\nforward = {{ to = "http://127.0.0.1:1/" }}\n'


class Obeys:
    """A check that decides by a header: "yes", "no", "later yes", "later no", "never"."""

    kind = "mtls"
    strips = frozenset({b"x-user", b"x-say"})
    hidden_cookies: frozenset[str] = frozenset()
    hidden_queries = frozenset({"key"})

    def __init__(self, name: str) -> None:
        self.name = name

    def decide(self, asked: Asked) -> Verdict:
        said = (asked.head.get(SAID) or b"").decode()
        when, _, what = said.rpartition(" ")
        return Later(self._found(what)) if when else self._found(what)

    def _found(self, what: str) -> Any:
        if what == "yes":
            found = Identity(self.name, "somebody")
            found.headers.append((b"x-user", b"somebody"))
            found.answer.append((b"set-cookie", b"seen=1"))
            found.attributes.append(("user.name", "somebody"))
            found.cookies = frozenset({"secret"})
            return found
        if what == "never":
            return None
        return Refusal(401, "signature" if what else ABSENT, b'Obey realm="x"')


class Later(Pending):
    begun = stopped = 0

    def __init__(self, verdict: Any) -> None:
        self._verdict = verdict

    def begin(self, story: Any, done: Callable[[Any], None]) -> None:
        Later.begun += 1
        if self._verdict is not None:
            asyncio.get_running_loop().call_later(0.01, done, self._verdict)

    def stop(self) -> None:
        Later.stopped += 1


@pytest.fixture(autouse=True)
def obeying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "make", lambda name, said, made: Obeys(name))


def guarded(backend: Backend, route: str = 'auth = "a"', more: str = "") -> str:
    return routes(backend, CHECK.format(name="a") + more, route)


async def one(gate: Gateway) -> Trace:
    (seen,) = await traces(gate)
    return seen


async def denied(gate: Gateway, check: str, reason: str) -> int:
    labels = {"spangate_check": check, "spangate_denied_reason": reason, "spangate_route": "all"}
    await gate.recorded.collect()
    return number(gate, "spangate.access.denied", **labels)


@pytest.mark.parametrize("when", ["", "later "])
async def test_who_is_let_in_and_what_the_upstream_sees(when: str) -> None:
    async with Backend() as backend, gateway(guarded(backend)) as gate:
        lines = (f"X-Say: {when}yes", "X-User: root", "x-uSER: root", "Cookie: a=1; secret=2; b=3")
        answer = await gate.get("/path?x=1&key=2&y=3", *lines)
        assert answer.status == 200
        assert answer["set-cookie"] == "seen=1"
        head = backend.heads[0].lower()
        assert head.startswith(b"get /path?x=1&y=3 http")
        assert head.count(b"x-user:") == 1
        assert b"x-user: somebody" in head
        assert b"x-say" not in head
        assert b"cookie: a=1; b=3\r\n" in head
        about = (await one(gate)).about
        assert about["user.name"] == "somebody"
        assert about["spangate.check"] == "a"


@pytest.mark.parametrize("when", ["", "later "])
@pytest.mark.parametrize(("what", "reason"), [("no", "signature"), ("", "absent")])
async def test_who_is_refused(when: str, what: str, reason: str) -> None:
    async with Backend() as backend, gateway(guarded(backend)) as gate:
        answer = await gate.get("/", f"X-Say: {when}{what}".rstrip() if what else "X-Say: ")
        assert answer.status == 401
        assert answer["www-authenticate"] == 'Obey realm="x"'
        assert answer["proxy-status"] == "spangate; error=http_request_denied"
        assert b"signature" not in answer.body
        assert not backend.heads
        seen = await one(gate)
        assert seen.about["spangate.denied.reason"] == reason
        assert seen.about["error.type"] == "unauthenticated"
        (event,) = seen.server.events
        assert event.name == "spangate.access.denied"
        told = {a.key: a.value.string_value for a in event.attributes}
        assert told == {"spangate.check": "a", "spangate.denied.reason": reason}
        assert seen.server.start_time_unix_nano <= event.time_unix_nano
        assert await denied(gate, "a", reason) == 1


@pytest.mark.parametrize("when", ["", "later "])
@pytest.mark.parametrize("action", ['respond = "own"', 'redirect = "/x"'])
async def test_answers_of_the_gateway_itself_are_guarded(when: str, action: str) -> None:
    async with Backend() as backend:
        config = guarded(backend).replace('to = "b"', action)
        async with gateway(config) as gate:
            assert (await gate.get("/", f"X-Say: {when}yes")).status in (200, 308)
            assert (await gate.get("/", f"X-Say: {when}no")).status == 401


async def say_size(peer: Peer) -> None:
    while True:
        _, body = await request(peer)
        peer.write(reply(200, b"%d" % len(body)))


@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_body_waits_until_it_is_let_in(size: int) -> None:
    async with Backend(say_size) as backend, gateway(guarded(backend)) as gate:
        client, body = await gate.connect(), b"x" * size
        for say in ("later yes", "yes", "later yes"):
            answer = await ask(client, "POST", "/", f"X-Say: {say}", body=body)
            assert (answer.status, answer.body) == (200, b"%d" % size)
        assert (await ask(client, "POST", "/", "X-Say: later no", body=body)).status == 401
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_a_client_that_leaves_is_not_waited_for() -> None:
    async with Backend() as backend, gateway(guarded(backend)) as gate:
        before, begun = Later.stopped, Later.begun
        client = await gate.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Say: later never\r\n\r\n")
        await eventually(lambda: Later.begun > begun)
        await client.close()
        await eventually(lambda: Later.stopped > before)
        await eventually(lambda: is_settled(gate))
        assert not backend.heads


@pytest.mark.parametrize(
    ("lists", "status"),
    [
        ('allow = ["127.0.0.0/8"]', 200),
        ('allow = ["10.0.0.0/8"]', 403),
        ('deny = ["127.0.0.1"]', 403),
        ('deny = ["10.0.0.0/8"]', 200),
        ('allow = ["127.0.0.0/8"]\ndeny = ["127.0.0.1"]', 403),
        ('allow = ["unix"]', 403),
    ],
)
async def test_address_lists(lists: str, status: int) -> None:
    async with Backend() as backend, gateway(routes(backend, route=lists)) as gate:
        answer = await gate.get("/")
        assert answer.status == status
        assert len(backend.heads) == (status == 200)
        if status == 403:
            assert (await one(gate)).about["spangate.denied.reason"] == "address"


async def test_the_address_is_the_clients_where_the_peer_is_trusted() -> None:
    async with Backend() as backend:
        config = routes(
            backend, '[forwarding]\ntrust = ["127.0.0.0/8"]\n', 'allow = ["10.0.0.0/8"]'
        )
        async with gateway(config) as gate:
            assert (await gate.get("/", "X-Forwarded-For: 10.1.1.1")).status == 200
            assert (await gate.get("/", "X-Forwarded-For: 11.1.1.1")).status == 403
            assert (await gate.get("/", "X-Forwarded-For: unknown")).status == 403
        nobody = config.replace('"127.0.0.0/8"', "")
        async with gateway(nobody) as gate:
            assert (await gate.get("/", "X-Forwarded-For: 10.1.1.1")).status == 403


async def test_the_order_address_limit_authentication_body() -> None:
    route = 'auth = "a"\ndeny = ["10.0.0.0/8"]\nrate = "2/h"\nbody_limit = "1KiB"'
    trust = '[forwarding]\ntrust = ["127.0.0.0/8"]\n'
    async with Backend() as backend, gateway(guarded(backend, route, trust)) as gate:

        async def status(say: str, client: str = "11.0.0.1", size: int = 0) -> int:
            lines = (f"X-Say: {say}", f"X-Forwarded-For: {client}")
            made = await gate.connect()
            return (await ask(made, "POST", "/", *lines, body=b"x" * size)).status

        assert await status("yes", "10.0.0.1", 2000) == 403  # counted by no limit
        assert await status("no", size=2000) == 401  # the first that the limit counts
        assert await status("yes", size=2000) == 413
        assert await status("no", size=2000) == 429


async def test_defaults_and_none() -> None:
    async with Backend() as backend:
        config = guarded(backend, route='auth = "none"', more='[defaults]\nauth = "a"\n')
        async with gateway(config) as gate:
            assert (await gate.get("/")).status == 200
        async with gateway(guarded(backend, "", '[defaults]\nauth = "a"\n')) as gate:
            assert (await gate.get("/")).status == 401


async def test_limits_are_told_like_other_refusals() -> None:
    async with Backend() as backend, gateway(routes(backend, route='rate = "1/h"')) as gate:
        assert [(await gate.get("/")).status for _ in range(2)] == [200, 429]
        (event,) = (await traces(gate, 2))[1].server.events
        assert event.name == "spangate.access.denied"
        assert await denied(gate, "rate_limit", "rate_limited") == 1


async def test_no_spelling_of_what_a_check_adds_comes_from_a_client() -> None:
    async with Backend() as backend:
        config = guarded(backend, more='[forwarding]\nunderscores = "pass"\n')
        async with gateway(config) as gate:
            answer = await gate.get("/", "X-Say: yes", "X_User: root", "x_uSER: root")
            assert answer.status == 200
            assert b"root" not in backend.heads[0]
