from tests.harness import Backend, gateway, routes


async def test_a_request_is_forwarded_and_traced() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        answer = await gate.get("/hello?x=1")
        assert (answer.status, answer.body) == (200, b"ok")
        server, client = sorted(await gate.spans(2), key=lambda s: s.kind)
        assert client.parent_span_id == server.span_id
        assert backend.field("traceparent") == (
            f"00-{server.trace_id.hex()}-{client.span_id.hex()}-01"
        )
