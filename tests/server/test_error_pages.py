"""Pages for failures, over real sockets: who gets which, and what stays as it is without them."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.harness import Backend, Gateway, Peer, gateway
from tests.server.grpc_kit import calling
from tests.server.h2_kit import h2_client
from tests.server.kit import (
    ask,
    attributes,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    series,
    trace,
)

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HTML = "<title>{status} {reason}</title><p title={detail}>{detail} {trace_id} {request_id} p{a:b}"
JSON = '{"code": {status}, "why": "{detail}", "trace": "{trace_id}", "after": "{retry_after}"}'
TEXT = "{status} {{status}} {reason}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("p.html", HTML), ("p.json", JSON), ("p.txt", TEXT), ("all.html", "all")):
        (tmp_path / name).write_text(text)
    return tmp_path


def pages(folder: Path, said: str, more: str = "") -> str:
    """[errors] with these pages, paths below `folder`."""
    return f"[errors]\npages = {{ {said.replace('@', f'{folder}/')} }}\n{more}\n"


THREE = '"5xx" = { html = "@p.html", json = "@p.json", text = "@p.txt" }'


@asynccontextmanager
async def failing(top: str, route: str = "", more: str = "") -> AsyncIterator[Gateway]:
    """A gateway whose only upstream refuses connections."""
    with refusing() as url:
        text = routing(
            {"down": [url]}, f'{top}[[route]]\npath = "/a/*"\nto = "down"\n{route}\n{more}'
        )
        async with gateway(text) as gate:
            yield gate


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, "html"),
        ("Accept: application/json", "json"),
        ("Accept: text/plain", "text"),
        ("Accept: */*", "json"),
        ("X-None: 1", "json"),
        ("Accept: ", "json"),
        ("Accept: ;;;,q=1,/", "json"),
        ("Accept: image/png", "json"),
        ("Accept: text/html;q=0, */*;q=0.1", "json"),
        ("Accept: application/json;q=0, text/*", "html"),
        ("Accept: text/html;q=0.5, text/plain;q=0.9", "text"),
        ("Accept: application/vnd.api+json, text/html;q=0.9", "json"),
        ("Accept: text/html;q=2, text/plain", "text"),
        ("Accept: TEXT/HTML ; charset=utf-8 ; q=1", "html"),
    ],
)
async def test_a_client_gets_the_kind_that_it_likes_best(
    folder: Path, accept: str, kind: str
) -> None:
    async with failing(pages(folder, THREE)) as gate:
        answer = await gate.get("/a/b", accept)
        seen = await trace(gate)
    types = {
        "html": "text/html; charset=utf-8",
        "json": "application/json",
        "text": "text/plain; charset=utf-8",
    }
    assert (answer.status, answer["content-type"]) == (503, types[kind])
    assert answer["content-length"] == str(len(answer.body))
    assert answer["proxy-status"] == "spangate; error=connection_refused"
    assert answer["x-request-id"] and answer["date"]
    told = "Service Unavailable: connection refused"
    assert seen.about["error.type"] == "connection_refused"
    if kind == "json":
        trace_id = seen.server.trace_id.hex()
        assert json.loads(answer.body) == {"code": 503, "why": told, "trace": trace_id, "after": ""}
    elif kind == "text":
        assert answer.body == b"503 {status} Service Unavailable\n"
    else:
        text = answer.body.decode()
        assert text.startswith(f"<title>503 Service Unavailable</title><p title={told}>{told} ")
        assert text.endswith(f" {seen.server.trace_id.hex()} {answer['x-request-id']} p{{a:b}}")


async def test_who_likes_none_of_the_pages_gets_the_short_answer(folder: Path) -> None:
    async with failing(pages(folder, '"503" = { html = "@p.html" }')) as gate:
        answer = await gate.get("/a/b", "Accept: application/json")
        assert json.loads(answer.body)["error"] == "connection_refused"
        assert (await gate.get("/a/b", "Accept: image/png")).body.startswith(b"<title>")
        assert (await gate.get("/a/b")).body.startswith(b"<title>")


async def test_one_page_for_everybody(folder: Path) -> None:
    async with failing(pages(folder, '"503" = "@all.html"')) as gate:
        for accept in ("Accept: application/json", BROWSER, "Accept: text/html;q=0"):
            answer = await gate.get("/a/b", accept)
            assert (answer.body, answer["content-type"]) == (b"all", "text/html; charset=utf-8")


async def test_the_routes_page_goes_before_and_a_status_before_its_class(folder: Path) -> None:
    for name in ("own", "own5", "any4", "t503"):
        (folder / f"{name}.txt").write_text(name)
    top = pages(folder, '"503" = "@t503.txt", "4xx" = "@any4.txt"')
    own = f'errors.pages = {{ "5xx" = "{folder}/own5.txt", "405" = "{folder}/own.txt" }}'
    other = '[[route]]\npath = "/other"\nto = "down"\n'
    async with failing(top, f'when.method = "GET"\n{own}', other) as gate:
        assert (await gate.get("/a/b")).body == b"own5"
        assert (await gate.get("/other")).body == b"t503"
        assert (await gate.get("/nowhere")).body == b"any4"
        client = await gate.connect()
        answer = await ask(client, "POST", "/a/b")
        assert (answer.status, answer["allow"], answer.body) == (405, "GET", b"own")
        bad = await gate.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert bad.startswith(b"HTTP/1.1 400 ") and bad.endswith(b"\r\n\r\nany4")


async def test_head_has_the_pages_length_and_no_body(folder: Path) -> None:
    async with failing(pages(folder, '"503" = "@all.html"')) as gate:
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, "HEAD", "/a/b")
            assert (answer.status, answer["content-length"], answer.body) == (503, "3", b"")


async def test_edits_and_captured_fields_see_the_answer_with_its_page(folder: Path) -> None:
    top = "[tracing]\nresponse_headers = ['content-type', 'x-gate']\n"
    top += pages(folder, '"503" = "@all.html"')
    async with failing(
        top, 'headers.response.set = { x-gate = "1", content-type = "text/x" }'
    ) as g:
        answer = await g.get("/a/b")
        assert (answer["x-gate"], answer["content-type"], answer.body) == ("1", "text/x", b"all")
        about = (await trace(g)).about
    assert about["http.response.header.content-type"] == ["text/x"]


async def test_what_a_client_has_sent_is_escaped(folder: Path) -> None:
    """An id from a trusted peer is the client's own text in a page."""
    (folder / "x.html").write_text("<a title={request_id}>{request_id}</a><script>'{request_id}'")
    (folder / "x.json").write_text('{"id": "{request_id}"}')
    top = '[forwarding]\ntrust = ["127.0.0.1"]\n'
    top += pages(folder, '"503" = { html = "@x.html", json = "@x.json" }')
    nasty = '</script><b a="\'`&\\"> onload=x {status}'
    async with failing(top) as gate:
        answer = await gate.get("/a/b", BROWSER, f"X-Request-Id: {nasty}")
        assert answer["x-request-id"] == nasty
        shown = answer.body.removeprefix(b"<a title=").partition(b">")[0].decode()
        assert not set("<>\"'`=&\\{}") & set(shown.replace("&#", ""))
        assert html.unescape(shown) == nasty
        assert answer.body.count(b"<") == 3  # the page's own
        answer = await gate.get("/a/b", "Accept: application/json", f"X-Request-Id: {nasty}")
        assert json.loads(answer.body) == {"id": nasty} and b"<" not in answer.body


async def test_pages_change_with_a_reload_alone(folder: Path) -> None:
    with refusing() as url:
        top = pages(folder, '"503" = "@all.html"')
        text = routing({"down": [url]}, f'{top}[[route]]\nto = "down"\n')
        async with gateway(text) as gate:
            (folder / "all.html").write_text("new")
            assert (await gate.get("/")).body == b"all"
            await gate.reload(text)
            assert (await gate.get("/")).body == b"new"
            await gate.reload(text.replace(top, ""))
            assert json.loads((await gate.get("/")).body)["status"] == 503


# what a fixed answer and a call are told


async def test_fixed_answers_have_no_pages(folder: Path) -> None:
    more = '[[route]]\npath = "/gone"\nrespond = { status = 503, body = "mine" }\n'
    async with failing(pages(folder, THREE), "", more) as gate:
        assert (await gate.get("/gone", BROWSER)).body == b"mine"


async def test_a_call_gets_a_status_of_grpc(folder: Path) -> None:
    async with calling("maintenance = true", top=pages(folder, THREE)) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await caller.unary()(b"x")
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert failed.value.details() == "the service is under maintenance"
    told = dict(failed.value.initial_metadata() or ()) | dict(
        failed.value.trailing_metadata() or ()
    )
    assert told["proxy-status"] == 'spangate; error=proxy_internal_response; details="maintenance"'


async def test_clients_of_http_2(folder: Path) -> None:
    async with failing(pages(folder, THREE)) as gate:
        client = await h2_client(gate)
        stream = client.ask("GET", "/a/b", (b"accept", b"text/html"))
        got = await client.answer(stream)
        assert (got.status, got["content-type"]) == (503, "text/html; charset=utf-8")
        assert got.body.startswith(b"<title>503 ") and got["content-length"] == str(len(got.body))
        head = await client.answer(client.ask("HEAD", "/a/b", (b"accept", b"text/html")))
        assert head["content-length"] == got["content-length"] and head.body == b""


# a page of an upstream's

Handler = Callable[[Peer], Awaitable[None]]
PAGE = reply(200, b"<h1>sorry</h1>", "Content-Type: text/html", "Set-Cookie: a=b")


@asynccontextmanager
async def asking(
    handler: Handler, top: str = "", timeout: str = "20s", path: str = ""
) -> AsyncIterator[tuple[Gateway, Backend]]:
    """A gateway with no server for its route, whose pages are at a backend."""
    said = f', path = "{path}"' if path else ""
    with refusing() as url:
        async with Backend(handler) as backend:
            text = routing(
                {"down": [url], "pages": [backend.url]},
                f'{top}\n[errors]\ntimeout = "{timeout}"\n'
                f'pages = {{ "5xx" = {{ upstream = "pages"{said} }} }}\n'
                '[[route]]\npath = "/a/*"\nto = "down"\n',
            )
            async with gateway(text) as gate:
                yield gate, backend


async def test_an_upstream_is_asked_for_a_page() -> None:
    async with asking(script(PAGE), path="/e/{status}?s={status}") as (gate, backend):
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, "POST", "/a/b", "Accept: text/html", body=b"given")
            assert (answer.status, answer.body) == (503, b"<h1>sorry</h1>")
            assert (answer["content-type"], answer["set-cookie"]) == ("text/html", "")
            assert answer["proxy-status"] == "spangate; error=connection_refused"
        assert len(backend.peers) == 1  # kept for the next one
        head = backend.heads[0]
        assert head.startswith(b"GET /e/503?s=503 HTTP/1.1\r\n")
        assert backend.field("accept") == "text/html" and backend.field("content-length") is None
        assert backend.field("host") == f"127.0.0.1:{backend.port}"
        await gate.spans(6)
        spans = gate.recorded.spans
        page = next(s for s in spans if "spangate.error_page" in attributes(s))
        about = attributes(page)
        assert (about["spangate.error_page"], about["url.full"]) == (
            503,
            f"{backend.url}/e/503?s=503",
        )
        assert (about["http.request.method"], about["http.response.status_code"]) == ("GET", 200)
        assert "http.request.resend_count" not in about and page.status.code == 0
        server = next(s for s in spans if s.span_id == page.parent_span_id)
        assert attributes(server)["error.type"] == "connection_refused"
        assert f"-{page.span_id.hex()}-" in (backend.field("traceparent", 0) or "")
        assert page.end_time_unix_nano <= server.end_time_unix_nano
        assert not series(gate, "spangate.retries")


async def hangs(peer: Peer) -> None:
    await request(peer)
    await peer.rest()


async def resets(peer: Peer) -> None:
    await request(peer)
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nhalf")
    await peer.writer.drain()
    peer.reset()


async def endless(peer: Peer) -> None:
    await request(peer)
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(160):  # 10 MiB
        peer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await peer.writer.drain()


async def goes(peer: Peer) -> None:
    await request(peer)
    peer.reset()


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
CODED = reply(200, b"x", "Content-Type: text/html", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("handler", "timeout"),
    [
        (hangs, "50ms"),
        (resets, "20s"),
        (endless, "20s"),
        (goes, "20s"),
        (script(reply(500, b"no", "Content-Type: text/html")), "20s"),
        (script(reply(404, b"no")), "20s"),
        (script(reply(302, b"", "Location: /x", "Content-Type: text/html")), "20s"),
        (script(reply(200, b"no type")), "20s"),
        (script(CODED), "20s"),
        (script(b"no HTTP at all\r\n\r\n"), "20s"),
    ],
)
async def test_without_a_page_the_short_answer_is_sent(handler: Handler, timeout: str) -> None:
    async with asking(handler, timeout=timeout) as (gate, _):
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, "GET", "/a/b")
            assert (answer.status, json.loads(answer.body)["error"]) == (503, "connection_refused")
        await gate.spans(6)  # one for each page that was asked for


async def test_trailers_and_chunks_of_a_page() -> None:
    body = CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with asking(script(body)) as (gate, _):
        answer = await gate.get("/a/b")
        assert (answer.body, answer["content-length"], answer["x-sum"]) == (b"abcd", "4", "")


async def test_a_kept_connection_that_has_ended_is_no_reason_to_have_no_page() -> None:
    count = 0

    async def once_more(peer: Peer) -> None:
        nonlocal count
        count += 1
        await request(peer)
        peer.write(PAGE)
        if count == 1:
            await request(peer)
            peer.reset()
        await peer.rest()

    async with asking(once_more) as (gate, _):
        for _ in range(2):
            assert (await gate.get("/a/b")).body == b"<h1>sorry</h1>"


async def test_a_client_that_does_not_wait_for_the_page() -> None:
    asked = asyncio.Event()

    async def tell(peer: Peer) -> None:
        await request(peer)
        asked.set()
        await peer.rest()

    async with asking(tell) as (gate, _):
        client = await gate.connect()
        send(client, "GET", "/a/b")
        await asked.wait()
        client.vanish()
        await gate.spans(3)
        server = next(s for s in gate.recorded.spans if s.kind == 2)
        assert attributes(server)["spangate.client_gone"] is True


async def test_a_body_that_comes_while_a_page_is_asked_for() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def waits(peer: Peer) -> None:
        await request(peer)
        asked.set()
        await go.wait()
        peer.write(PAGE)

    async with asking(waits) as (gate, _):
        client = await gate.connect()
        send(client, "POST", "/a/b", "Content-Length: 100000")
        await asked.wait()
        client.write(bytes(50_000))
        go.set()
        answer = await client.answer()
        assert (answer.status, answer.body) == (503, b"<h1>sorry</h1>")


async def test_a_gateway_that_is_its_own_upstream_of_pages_asks_once() -> None:
    """The 404 of the page has a page itself: that one is the short answer."""
    async with asking(script(PAGE)) as (gate, _):
        own = f"http://127.0.0.1:{gate.port}"
        text = routing({"me": [own]}, '[errors]\npages = { "404" = { upstream = "me" } }\n')
        text += '[[route]]\npath = "/only"\nrespond = "x"\n'
        await gate.reload(text)
        answer = await gate.get("/nowhere")
        assert json.loads(answer.body)["status"] == 404
        await gate.spans(3)
        assert (
            len([s for s in gate.recorded.spans if s.kind == 2]) == 2
        )  # the client's, and its own


async def test_a_page_by_http_2() -> None:
    """Of another gateway: one stream after the other on one connection."""
    page = '[[route]]\npath = "/errors/503"\n'
    page += 'respond = { body = "by h2", headers = { content-type = "text/html" } }\n'
    async with gateway(routing({}, page)) as other:
        with refusing() as url:
            top = '[errors]\npages = { "503" = { upstream = "pages" } }\n'
            text = routing(
                {"down": [url], "pages": [f"http://127.0.0.1:{other.port}"]},
                f'{top}[[route]]\nto = "down"\n',
            )
            async with gateway(text + 'protocol = "h2"\n') as gate:
                for _ in range(3):
                    answer = await gate.get("/")
                    assert (answer.status, answer.body) == (503, b"by h2")
        spans = await other.spans(3)
        assert {attributes(s)["network.protocol.version"] for s in spans} == {"2"}


async def test_no_server_for_the_page_either() -> None:
    with refusing() as url, refusing() as other:
        pages = '[errors]\npages = { "503" = { upstream = "pages" } }\n[[route]]\nto = "down"\n'
        async with gateway(routing({"down": [url], "pages": [other]}, pages)) as gate:
            assert json.loads((await gate.get("/")).body)["error"] == "connection_refused"


# answers of upstreams


def intercepting(folder: Path, backend: Backend, more: str = "intercept = true") -> str:
    top = pages(folder, '"404" = "@p.txt", "5xx" = "@p.txt"', more)
    return routing({"b": [backend.url]}, f'{top}[[route]]\nto = "b"\n')


KEPT = ("Retry-After: 7", "Set-Cookie: a=b", "WWW-Authenticate: Basic")
DROPPED = ("X-Inner: secret", "ETag: x", "Content-Encoding: gzip")
INNER = reply(503, b"inner words", *KEPT, *DROPPED)


async def in_one_piece(peer: Peer) -> None:
    await script(INNER)(peer)


async def in_two(peer: Peer) -> None:
    await request(peer)
    head, blank, body = INNER.partition(b"\r\n\r\n")
    peer.write(head + blank)
    await peer.writer.drain()
    await asyncio.sleep(0)
    peer.write(body)
    await peer.rest()


async def until_it_closes(peer: Peer) -> None:
    await request(peer)
    peer.write(INNER.replace(b"Content-Length: 11\r\n", b""))


@pytest.mark.parametrize("answers", [in_one_piece, in_two, until_it_closes])
async def test_an_upstreams_failure_is_replaced(folder: Path, answers: Handler) -> None:
    async with Backend(answers) as backend, gateway(intercepting(folder, backend)) as gate:
        client = await gate.connect()
        for _ in range(3):
            answer = await ask(client, "GET", "/")
            assert (answer.status, answer.body) == (503, b"503 {status} Service Unavailable\n")
            assert answer["proxy-status"] == "spangate; received-status=503"
            assert answer["content-type"] == "text/plain; charset=utf-8"
            assert {f"{n.title()}: {v}" for n, v in answer.fields} >= {*KEPT[:2]}
            assert answer["www-authenticate"] == "Basic"
            assert not [n for n in ("x-inner", "etag", "content-encoding") if answer[n]]
        assert answers is not in_one_piece or len(backend.peers) == 1
        await gate.spans(6)
        for span in gate.recorded.spans:
            about = attributes(span)
            assert (about["error.type"], about["http.response.status_code"]) == ("503", 503)


async def test_a_failure_without_a_body_is_replaced_by_a_head(folder: Path) -> None:
    async def answers(peer: Peer) -> None:
        while True:
            await request(peer)
            peer.write(b"HTTP/1.1 503 X\r\nContent-Length: 11\r\n\r\n")

    async with Backend(answers) as backend, gateway(intercepting(folder, backend)) as gate:
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, "HEAD", "/")
            assert (answer.status, answer["content-length"]) == (503, "33")


async def test_what_is_not_replaced(folder: Path) -> None:
    answers = Backend(script(reply(404, b"a"), reply(400, b"b"), reply(200, b"c")))
    async with answers as backend, gateway(intercepting(folder, backend)) as gate:
        got = [(await gate.get("/")).body for _ in range(3)]
        assert got == [b"404 {status} Not Found\n", b"b", b"c"]
    async with Backend(script(reply(404, b"a"))) as backend:
        async with gateway(intercepting(folder, backend, "")) as gate:
            assert (await gate.get("/")).body == b"a"
        own = '[[route]]\npath = "/own"\nto = "b"\nerrors.intercept = true\n'
        text = intercepting(folder, backend, "").replace("[[route]]", f"{own}[[route]]", 1)
        async with gateway(text) as gate:
            assert (await gate.get("/own")).body == b"404 {status} Not Found\n"
            assert (await gate.get("/")).body == b"a"


async def test_retries_come_before_a_page(folder: Path) -> None:
    async with Backend(script(reply(503), reply(200, b"second"))) as backend:
        text = intercepting(folder, backend).replace('to = "b"', 'to = "b"\nretry.on = [503]')
        async with gateway(text) as gate:
            assert (await gate.get("/")).body == b"second"


async def test_an_answer_that_is_replaced_by_an_upstreams_page() -> None:
    async with Backend(script(reply(500, b"x"))) as backend, Backend(script(PAGE)) as pages:
        top = '[errors]\nintercept = true\npages = { "500" = { upstream = "pages" } }\n'
        text = routing({"b": [backend.url], "pages": [pages.url]}, f'{top}[[route]]\nto = "b"\n')
        async with gateway(text) as gate:
            answer = await gate.get("/")
            assert (answer.status, answer.body) == (500, b"<h1>sorry</h1>")
            await pages.__aexit__()
            answer = await gate.get("/")
            assert answer.status == 500 and json.loads(answer.body)["error"] == "upstream_status"


async def test_an_early_answer_to_a_large_upload_is_replaced(folder: Path) -> None:
    async def refuses(peer: Peer) -> None:
        await peer.head()
        peer.write(reply(503, b"too much"))
        await peer.rest()

    async with Backend(refuses) as backend, gateway(intercepting(folder, backend)) as gate:
        client = await gate.connect()
        send(client, "POST", "/", "Content-Length: 1000000")
        answer = await client.answer()
        assert (answer.status, answer.body) == (503, b"503 {status} Service Unavailable\n")
        assert answer["connection"] == "close"
