"""What spans tell of a request: attributes, and that any input leaves them readable."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.telemetry.blocks import RouteBlocks

from .exchanges import answered, attempt, attributes, exchange, spans


def test_everything_a_collector_is_told_of_a_request() -> None:
    made = answered(200, query="page=2")
    server, client = spans(made)

    assert attributes(server) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/api/orders/42",
        "url.query": "page=2",
        "http.route": "/api/orders/{id}",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.0.0.9",
        "network.peer.port": 43210,
        "user_agent.original": "curl/8.5",
        "spangate.route": "orders",
        "team": "shop",
        "spangate.phase.queue_ms": 1.0,
        "spangate.phase.connect_ms": 1.0,
        "spangate.phase.first_byte_ms": 2.0,
        "spangate.phase.overhead_ms": 16.0,
    }
    assert attributes(client) == {
        "http.request.method": "GET",
        "url.full": "http://orders.internal:8000/api/orders/42?page=2",
        "url.template": "/api/orders/{id}",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": "orders.internal",
        "server.port": 8000,
        "network.peer.address": "10.1.0.1",
        "network.peer.port": 8000,
        "peer.service": "orders",
        "spangate.upstream": "orders",
        "team": "shop",
    }


def test_an_unknown_method_does_not_become_a_name() -> None:
    made = answered(200, method="BREW\x1b")
    for span in spans(made):
        found = attributes(span)
        assert span.name == "HTTP /api/orders/{id}"
        assert found["http.request.method"] == "_OTHER"
        assert found["http.request.method_original"] == "BREW\x1b"


def test_captured_headers_are_lists() -> None:
    made = answered(200, captured=[
        ("http.request.header.x-tag", "a"),
        ("http.response.header.etag", "W/1"),
        ("http.request.header.x-tag", "b"),
    ])  # fmt: skip
    found = attributes(spans(made)[0])

    assert found["http.request.header.x-tag"] == ["a", "b"]
    assert found["http.response.header.etag"] == ["W/1"]


def test_secrets_in_queries_are_nowhere() -> None:
    made = answered(200, query="id=1&sig=TOPSECRET&X-Amz-Credential=TOPSECRET")
    server, client = spans(made)

    assert attributes(server)["url.query"] == "id=1&sig=REDACTED&X-Amz-Credential=REDACTED"
    assert b"TOPSECRET" not in server.SerializeToString() + client.SerializeToString()


def test_a_rewritten_path_is_what_the_client_span_shows() -> None:
    route = RouteBlocks("old", "/old/*", {}, "/new/*")
    made = answered(200, route=route, path="/old/a", sent_path="/new/a")
    server, client = spans(made)

    assert (server.name, attributes(server)["url.path"]) == ("GET /old/*", "/old/a")
    assert (client.name, attributes(client)["url.template"]) == ("GET /new/*", "/new/*")
    assert attributes(client)["url.full"] == "http://orders.internal:8000/new/a"


def test_credentials_of_a_configured_url_are_not_shown() -> None:
    made = exchange(200)
    attempt(made, 200, address="user:password@orders.internal:8000", scheme="https")

    shown = attributes(spans(made)[1])["url.full"]
    assert shown == "https://orders.internal:8000/api/orders/42"


TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(["\ud800", "\x00", "€" * 5000])
BYTES = st.binary(max_size=60) | st.just(b"\xff\xfe" * 4000)


@settings(deadline=None)  # a busy machine is not a failure
@given(TEXT, TEXT, BYTES, TEXT)
def test_whatever_a_client_sends_the_span_can_be_read(
    path: str, query: str, agent: bytes, header: str
) -> None:
    made = answered(200, path=path, query=query, user_agent=agent, host=header)
    made.method = header or "GET"
    made.captured = [("http.request.header.x", header)]
    for span in spans(made):  # the generated classes refuse text that is not UTF-8
        assert span.name.endswith(" /api/orders/{id}")
        for value in attributes(span).values():
            assert len(str(value).encode()) <= 4096 + len("['']") or isinstance(value, float)
