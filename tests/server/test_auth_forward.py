"""Another server is asked who may come in: what it gets, and what becomes of its answers."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus

from tests.harness import Backend, Peer, gateway
from tests.server.forward_kit import Asked, asking, file, lines
from tests.server.grpc_kit import calling
from tests.server.h2_kit import h2_client
from tests.server.kit import (
    ask,
    attributes,
    eventually,
    number,
    reply,
    request,
    routing,
    script,
    send,
    trace,
)
from tests.server.test_websocket import HANDSHAKE, echo

YES = reply(200, b"ok", "X-User: joe", "X-Role: admin", "X-Role: staff", "X-Secret: s")
NO = reply(401, b"who are you?", 'WWW-Authenticate: Bearer realm="x"', "Content-Type: text/plain")
LOGIN = reply(302, b"<a>", "Location: /login?rd=%2Fa", "Set-Cookie: state=1", "Set-Cookie: b=2")


async def question_is_recorded(asked: Asked) -> None:
    await asked.gate.spans(3)
    await eventually(asked.spans_of_questions)


# what goes


async def test_the_question_is_told_as_it_will_be_forwarded() -> None:
    async with asking(YES, path="/verify?x=1") as asked:
        got = await asked.gate.get(
            "/a/%2e%2E/b//c?q=1%2f", "Authorization: Bearer x", "Cookie: a=1"
        )
        assert got.status == 200
        said = asked.question()
        assert said[""] == "GET /verify?x=1 HTTP/1.1"
        path = asked.forwarded()[""].split()[1]
        assert (said["x-forwarded-uri"], said["x-original-uri"]) == (path, path)
        assert (said["x-forwarded-method"], said["x-original-method"]) == ("GET", "GET")
        assert (said["x-forwarded-host"], said["x-forwarded-proto"]) == ("gateway.test", "http")
        assert said["x-original-url"] == f"http://gateway.test{path}"
        assert said["x-forwarded-for"] == "127.0.0.1"
        assert said["host"] == f"127.0.0.1:{asked.verifier.port}"
        assert (said["authorization"], said["cookie"]) == ("Bearer x", "a=1")
        assert said["x-request-id"] == asked.forwarded()["x-request-id"]


HOPS = (
    "Connection: keep-alive, x-mine", "X-Mine: 1", "Keep-Alive: timeout=5", "TE: trailers",
    "Proxy-Authorization: Basic eDp5", "Content-Length: 4", "Content-Type: text/x",
    "Range: bytes=0-1", "If-None-Match: *", "If-Modified-Since: x", "Trailer: x",
)  # fmt: skip


async def test_what_says_something_of_this_exchange_alone_does_not_go() -> None:
    async with asking(YES) as asked:
        client = await asked.gate.connect()
        send(client, "POST", "/a", *HOPS)
        client.write(b"body")
        assert (await client.answer()).status == 200
        said = asked.question()
        gone = {line.partition(":")[0].lower() for line in HOPS} - {"content-type", "connection"}
        assert not gone & said.keys()
        assert "transfer-encoding" not in said and said["content-type"] == "text/x"
        assert said["x-forwarded-method"] == "POST"
        assert said.get("connection", "keep-alive").lower() == "keep-alive"
        assert asked.forwarded()["range"] == "bytes=0-1"


SPOOFED = (
    "X-Forwarded-Uri: /public", "X-Forwarded-Method: OPTIONS", "X-Original-URI: /public",
    "X-Original-Url: http://a/public", "X-Forwarded-Host: other", "X-Forwarded-Proto: https",
    "X-Forwarded-For: 10.0.0.1", "X-Forwarded-User: admin", "X-Original-Method: HEAD",
    "X_Forwarded_Uri: /public", "X_Original_URI: /public", "X-Forwarded-Groups: all",
)  # fmt: skip


@pytest.mark.parametrize("underscores", ["drop", "pass"])
async def test_what_strangers_say_of_the_request_does_not_count(underscores: str) -> None:
    top = f'[forwarding]\ntrust = []\nunderscores = "{underscores}"\n'
    async with asking(YES, top=top) as asked:
        assert (await asked.gate.get("/secret", *SPOOFED)).status == 200
        said = asked.question()
        told = {name: v for name, v in said.items() if name.replace("_", "-").startswith("x-f")}
        told |= {name: v for name, v in said.items() if name.replace("_", "-").startswith("x-o")}
        assert told == {
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-host": "gateway.test",
            "x-forwarded-method": "GET",
            "x-forwarded-proto": "http",
            "x-forwarded-uri": "/secret",
            "x-original-method": "GET",
            "x-original-uri": "/secret",
            "x-original-url": "http://gateway.test/secret",
        }


async def test_what_a_trusted_peer_says_goes_on_but_for_the_request_itself() -> None:
    async with asking(YES, top='[forwarding]\ntrust = ["127.0.0.1"]\n') as asked:
        assert (await asked.gate.get("/secret", *SPOOFED)).status == 200
        said = asked.question()
        assert said["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
        assert (said["x-forwarded-host"], said["x-forwarded-proto"]) == ("other", "https")
        assert said["x-forwarded-groups"] == "all"
        assert (said["x-forwarded-uri"], said["x-original-uri"]) == ("/secret", "/secret")
        assert (said["x-forwarded-method"], said["x-original-method"]) == ("GET", "GET")
        assert said["x-original-url"] == "https://other/secret"


async def test_only_what_is_to_be_sent_goes() -> None:
    async with asking(YES, ', send = ["Authorization", "accept"]') as asked:
        more = ("Authorization: Bearer x", "Cookie: a=1", "Accept: text/html", "User-Agent: me")
        await asked.gate.get("/a", *more)
        said = asked.question()
        assert (said["authorization"], said["accept"]) == ("Bearer x", "text/html")
        assert "cookie" not in said and "user-agent" not in said
        assert said["x-forwarded-uri"] == "/a"


async def test_an_upstream_of_the_file_is_asked_by_its_name() -> None:
    async with Backend(script(YES)) as verifier, Backend() as behind:
        text = file("http://verifier/check", behind, ', headers = ["x-user"]')
        text += f'[upstream.verifier]\nservers = ["{verifier.url}"]\n'
        async with gateway(text) as gate:
            assert (await gate.get("/a")).status == 200
            assert "auth.sso" not in gate.worker.snapshot.config.upstream
        assert lines(verifier.heads[0])[""] == "GET /check HTTP/1.1"
        assert behind.field("x-user") == "joe"


async def test_a_server_that_speaks_http_2() -> None:
    """Another gateway, which lets in by its own answer."""
    yes = 'respond = { status = 200, headers = { x-user = "joe" } }'
    no = 'respond = { status = 403, body = "no" }'
    paths = f'[[route]]\npath = "/yes"\n{yes}\n[[route]]\npath = "/no"\n{no}\n'
    async with gateway(routing({}, paths)) as other, Backend() as behind:
        upstream = f'[upstream.v]\nservers = ["http://127.0.0.1:{other.port}"]\nprotocol = "h2"\n'
        text = file("http://v/yes", behind, ', headers = ["x-user"]') + upstream
        async with gateway(text) as gate:
            for _ in range(3):
                assert (await gate.get("/a", "Cookie: a=1", "X-User: evil")).status == 200
            assert behind.field("x-user") == "joe"
            await gate.reload(text.replace("/yes", "/no"))
            answer = await gate.get("/a")
            assert (answer.status, answer.body) == (403, b"no")


# what comes back


async def test_fields_of_the_answer_take_the_place_of_the_clients_own() -> None:
    said = ', headers = ["X-User", "x-role", "x-absent"]'
    async with asking(YES, said, top='[forwarding]\nunderscores = "pass"\n') as asked:
        spoofed = ("X-User: evil", "x_user: evil", "X-Absent: evil", "X_Absent: evil", "X-O: 1")
        assert (await asked.gate.get("/a", *spoofed)).status == 200
        got = asked.forwarded()
        assert (got["x-user"], got["x-role"], got["x-o"]) == ("joe", "admin, staff", "1")
        assert not {"x_user", "x-absent", "x_absent", "x-secret"} & got.keys()


async def test_cookies_and_attributes_of_the_answer() -> None:
    more = ("Set-Cookie: session=new; Path=/; HttpOnly", "Set-Cookie: other=1")
    said = ', cookies = ["session"], attributes = { "user.id" = "x-user" }'
    async with asking(reply(204, b"", "X-User: joe", *more), said) as asked:
        answer = await asked.gate.get("/a")
        assert answer["set-cookie"] == "session=new; Path=/; HttpOnly"
        assert (await trace(asked.gate)).about["user.id"] == "joe"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("answer", [NO, LOGIN, reply(403, b""), reply(429, b"x", "Retry-After: 3")])
async def test_a_refusal_is_passed_on_whole(answer: bytes, method: str) -> None:
    more = b"Connection: x-hop\r\nX-Hop: 1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    given = answer.replace(b"\r\n", b"\r\n" + more, 1)
    async with asking(given) as asked:
        client = await asked.gate.connect()
        for _ in range(2):
            got = await ask(client, method, "/a", body=b"given" if method == "POST" else b"")
            head, _, body = answer.partition(b"\r\n\r\n")
            want = lines(head + b"\r\n\r\n")
            assert got.status == int(want.pop("").split()[1])
            assert {name: got[name] for name in want} == want
            assert got.body == (b"" if method == "HEAD" else body)
            assert got["x-hop"] == "" and "2024" not in got["date"]
            assert len(got["date"].split("GMT")) == 2
        assert asked.backend.heads == [] and len(asked.verifier.peers) == 1


@pytest.mark.parametrize(("answer", "reason"), [(NO, "denied"), (LOGIN, "redirected")])
async def test_a_refusal_is_counted_and_told(answer: bytes, reason: str) -> None:
    async with asking(answer) as asked:
        assert (await asked.gate.get("/a", "Authorization: Bearer secret")).status in (401, 302)
        seen = await trace(asked.gate)
        assert seen.about["spangate.check"] == "sso"
        assert seen.about["spangate.denied.reason"] == reason
        (event,) = seen.server.events
        assert "secret" not in str(seen.server)
        assert event.name == "spangate.access.denied"
        labels = {"spangate_check": "sso", "spangate_denied_reason": reason}
        assert number(asked.gate, "spangate.access.denied", **labels) == 1


async def test_the_question_is_a_span_below_the_request() -> None:
    async with asking(YES) as asked:
        await asked.gate.get("/a")
        await question_is_recorded(asked)
        (span,) = asked.spans_of_questions()
        about = attributes(span)
        server = next(s for s in asked.gate.recorded.spans if s.kind == 2)
        assert span.parent_span_id == server.span_id and span.trace_id == server.trace_id
        assert (about["spangate.auth.check"], about["spangate.upstream"]) == ("sso", "auth.sso")
        assert about["url.full"] == f"{asked.verifier.url}/verify"
        assert about["http.response.status_code"] == 200 and span.status.code == 0
        assert "http.request.resend_count" not in about
        parent = asked.question()["traceparent"]
        assert parent.split("-")[1:3] == [span.trace_id.hex(), span.span_id.hex()]
        assert asked.forwarded()["traceparent"] != parent
        assert number(asked.gate, "http.client.request.duration", spangate_upstream="auth.sso") == 1


# what clients speak


async def test_clients_of_http_2() -> None:
    async with asking(script(YES, NO, LOGIN)) as asked:
        client = await h2_client(asked.gate)
        more = ((b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"authorization", b"Bearer x"))
        assert (await client.get("/a?b", *more)).status == 200
        said = asked.question()
        assert (said["cookie"], said["authorization"]) == ("a=1; b=2", "Bearer x")
        assert said["x-forwarded-uri"] == "/a?b" and said["x-forwarded-host"] == "gateway.test"
        got = await client.get("/a")
        assert (got.status, bytes(got.body)) == (401, b"who are you?")
        assert got["www-authenticate"] == 'Bearer realm="x"'
        got = await client.get("/a")
        assert (got.status, got["location"]) == (302, "/login?rd=%2Fa")
        assert got["set-cookie"] == "state=1, b=2"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (YES, None),
        (NO, grpc.StatusCode.UNAUTHENTICATED),
        (LOGIN, grpc.StatusCode.UNAUTHENTICATED),
        (reply(403, b"<html>"), grpc.StatusCode.PERMISSION_DENIED),
        (reply(404, b"<html>"), grpc.StatusCode.PERMISSION_DENIED),
        (reply(500, b"<html>"), grpc.StatusCode.UNAVAILABLE),
        (b"what?\r\n\r\n", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_calls(answer: bytes, code: grpc.StatusCode | None) -> None:
    async with Backend(script(answer)) as verifier:
        top = f'[auth.sso]\nforward = {{ to = "{verifier.url}/v", headers = ["x-user"] }}\n'
        async with calling('auth = "sso"', top=top) as caller:
            if code is None:
                assert await caller.unary()(b"abc") == b"abc"
                assert caller.service.seen[0]["x-user"] == "joe"
            else:
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await caller.unary()(b"abc")
                assert failed.value.code() == code
                told = {str(name): value for name, value in failed.value.trailing_metadata() or ()}
                wanted = 'Bearer realm="x"' if answer is NO else None
                assert told.get("www-authenticate") == wanted
                if answer is LOGIN:
                    about = (await trace(caller.gate)).about
                    assert about["spangate.denied.reason"] == "redirected"
                assert "<html>" not in (failed.value.details() or "")
                assert caller.service.seen == []


async def test_handshakes_of_web_sockets() -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        Backend(script(YES, NO, LOGIN)) as verifier,
    ):
        port = server.sockets[0].getsockname()[1]
        check = f'[auth.sso]\nforward = {{ to = "{verifier.url}/v" }}\n'
        text = routing({"b": [f"http://127.0.0.1:{port}"]}, f'{check}[[route]]\nto = "b"\n')
        async with gateway(text.replace('to = "b"\n', 'to = "b"\nauth = "sso"\n')) as gate:
            url = f"ws://127.0.0.1:{gate.port}/ws"
            async with connect(url, proxy=None) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
            said = lines(verifier.heads[0])
            assert "upgrade" not in said and said["x-forwarded-proto"] == "http"
            assert "sec-websocket-key" in said
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, proxy=None):
                    pass
            assert refused.value.response.status_code == 401
            raw = await gate.connect()
            raw.write(HANDSHAKE)
            answer = await raw.answer()
            assert (answer.status, answer["location"]) == (302, "/login?rd=%2Fa")


# what is remembered

CACHED = ', headers = ["x-user"], cache = "10s"'


async def counting(peer: Peer) -> None:
    """Says who asks, by its Authorization: a refusal for "no"."""
    while True:
        head, _ = await request(peer)
        said = lines(head).get("authorization", "nobody")
        status = 401 if said == "no" else 200
        peer.write(reply(status, said.encode(), f"X-User: {said}"))


async def test_an_answer_counts_for_the_same_question_alone() -> None:
    async with asking(counting, CACHED) as asked:
        gate = asked.gate

        async def user(*more: str, path: str = "/a") -> str:
            assert (await gate.get(path, *more)).status == 200
            return asked.forwarded()["x-user"]

        assert [await user("Authorization: x") for _ in range(3)] == ["x"] * 3
        assert len(asked.verifier.heads) == 1
        assert await user("Authorization: y") == "y"
        assert await user("Authorization: x", path="/b") == "x"
        assert await user("Authorization: x", path="/a?b") == "x"
        assert await user("Authorization: x", "Cookie: a=1") == "x"
        assert await user() == "nobody"
        assert len(asked.verifier.heads) == 6
        for _ in range(3):
            answer = await gate.get("/a", "Authorization: no")
            assert (answer.status, answer.body) == (401, b"no")
        assert len(asked.verifier.heads) == 7


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(200, b"", "Cache-Control: no-store"), CACHED),
        (reply(200, b"", "Cache-Control: private, max-age=0"), CACHED),
        (reply(200, b"", "Cache-Control: max-age=many"), CACHED),
        (reply(401, b"", "Cache-Control: no-cache"), CACHED),
        (reply(401, b"", "Set-Cookie: state=1"), CACHED),
        (reply(200, b"", "Set-Cookie: s=1"), f'{CACHED}, cookies = ["s"]'),
        (LOGIN, CACHED),
        (reply(404, b""), CACHED),
        (reply(500, b""), CACHED),
        (YES, ""),
    ],
)
async def test_what_is_asked_each_time(answer: bytes, said: str) -> None:
    async with asking(answer, said) as asked:
        for _ in range(3):
            await asked.gate.get("/a", "Authorization: x")
        assert len(asked.verifier.heads) == 3


async def test_cookies_that_are_not_named_do_not_keep_an_answer_from_being_remembered() -> None:
    async with asking(reply(200, b"", "Set-Cookie: s=1"), CACHED) as asked:
        for _ in range(3):
            assert (await asked.gate.get("/a")).status == 200
        assert len(asked.verifier.heads) == 1


class Slow:
    """A verifier that answers when the test says so."""

    def __init__(self, *answers: bytes) -> None:
        self.go = asyncio.Event()
        self.asked = 0
        self._answers = list(answers)

    async def __call__(self, peer: Peer) -> None:
        while True:
            await request(peer)
            self.asked += 1
            await self.go.wait()
            peer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


LONG = ', timeout = "20s"'


async def test_the_same_question_is_asked_once_at_a_time() -> None:
    slow = Slow(YES)
    async with asking(slow, CACHED + LONG) as asked:
        clients = [await asked.gate.connect() for _ in range(5)]
        for client in clients:
            send(client, "GET", "/a")
        other = await asked.gate.connect()
        send(other, "GET", "/other")
        await eventually(lambda: slow.asked == 2)
        await eventually(lambda: len(asked.gate.worker._connections) == 6)
        slow.go.set()
        for client in (*clients, other):
            assert (await client.answer()).status == 200
        assert slow.asked == 2
        assert [head["x-user"] for head in map(lines, asked.backend.heads)] == ["joe"] * 6


async def test_one_that_gives_up_does_not_take_the_others_with_it() -> None:
    slow = Slow(YES)
    async with asking(slow, CACHED + LONG) as asked:
        first, second, third = [await asked.gate.connect() for _ in range(3)]
        send(first, "GET", "/a")
        await eventually(lambda: slow.asked == 1)
        send(second, "GET", "/a")
        send(third, "GET", "/a")
        await asked.gate.recorded.collect()
        first.vanish()
        await asked.gate.spans(1)  # its own
        third.vanish()
        await asked.gate.spans(2)
        slow.go.set()
        assert (await second.answer()).status == 200
        assert slow.asked == 1


async def test_a_session_that_begins_is_nobody_elses() -> None:
    """Where the answer sets a cookie, whoever waits for the same asks for himself."""
    given = [reply(200, b"", f"Set-Cookie: s={i}") for i in range(3)]
    slow = Slow(*given)
    async with asking(slow, f'{CACHED}{LONG}, cookies = ["s"]') as asked:
        clients = [await asked.gate.connect() for _ in range(3)]
        for client in clients:
            send(client, "GET", "/a")
        await eventually(lambda: slow.asked == 1)
        await eventually(lambda: len(asked.gate.worker._connections) == 3)
        slow.go.set()
        got = [(await client.answer())["set-cookie"] for client in clients]
        assert sorted(got) == ["s=0", "s=1", "s=2"]


async def test_without_a_cache_each_request_asks() -> None:
    slow = Slow(YES)
    async with asking(slow, LONG) as asked:
        clients = [await asked.gate.connect() for _ in range(3)]
        for client in clients:
            send(client, "GET", "/a")
        await eventually(lambda: slow.asked == 3)
        slow.go.set()
        for client in clients:
            assert (await client.answer()).status == 200
        await eventually(lambda: len(asked.backend.heads) == 3)


async def test_any_of_several_checks() -> None:
    """The second server is asked about whom the first one does not know."""
    async with asking(script(YES, LOGIN)) as asked, Backend(script(NO)) as other:
        first = f'[auth.first]\nforward = {{ to = "{other.url}/v" }}\n'
        text = file(f"{asked.verifier.url}/v", asked.backend, "", "", first)
        await asked.gate.reload(text.replace('auth = "sso"', 'auth = ["first", "sso"]'))
        assert (await asked.gate.get("/a")).status == 200
        assert (await asked.gate.get("/a")).status in (302, 401)
        assert (len(other.heads), len(asked.verifier.heads)) == (2, 2)
