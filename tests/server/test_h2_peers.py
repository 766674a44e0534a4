"""Real servers behind the gateway, by HTTP/2 in plaintext: nginx, Envoy and grpcio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from tests.harness import DEADLINE, Gateway, gateway
from tests.ports import free_port
from tests.server.h2_kit import h2_client
from tests.server.kit import ask, eventually, is_settled, traces

SIZE = 4 * 1024 * 1024

NGINX = """
daemon off;
{user}
pid {folder}/pid;
error_log stderr crit;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    http2_max_concurrent_streams 4;
    keepalive_requests 10;
    client_max_body_size 64m;
    server {{
        listen 127.0.0.1:{port} http2;
        root {folder};
        location /ok {{ return 200 "ok"; }}
        location /missing {{ return 404; }}
        location /moved {{ return 301 /ok; }}
        location /large {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:9; }}
    }}
}}
"""

TYPES = "type.googleapis.com/envoy.extensions.filters."
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: HTTP2
          http2_protocol_options: {{max_concurrent_streams: 4}}
          common_http_protocol_options: {{max_requests_per_connection: 10}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {types}http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/missing"}}
                direct_response: {{status: 404}}
              - match: {{prefix: "/"}}
                direct_response: {{status: 200, body: {{inline_string: "ok"}}}}
"""


@contextlib.asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    """A program, once it takes connections."""
    environ = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    process = await asyncio.create_subprocess_exec(  # sanitizers are for us alone
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
    )
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(program):
        pytest.skip("nginx is not installed")
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # or it could not read the folder
    (folder / "big").write_bytes(bytes(SIZE))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    folder.chmod(0o755)
    async with running(port, program, "-p", str(folder), "-c", str(folder / "nginx.conf")):
        yield port


@contextlib.asynccontextmanager
async def envoy(folder: Path) -> AsyncIterator[int]:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        pytest.skip("envoy is not installed")
    port = free_port()
    (folder / "envoy.yaml").write_text(ENVOY.format(port=port, types=TYPES))
    arguments = ("-c", str(folder / "envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "1")
    async with running(port, str(program), *arguments, "-l", "off"):
        yield port


def to(port: int) -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
[[route]]
to = "b"
[upstream.b]
servers = ["http://127.0.0.1:{port}"]
protocol = "h2"
"""


Server = Callable[[Path], contextlib.AbstractAsyncContextManager[int]]


@pytest.mark.parametrize("server", [nginx, envoy])
async def test_a_real_server(server: Server, tmp_path: Path) -> None:
    """With four streams a connection, and ten requests, after which it goes away."""
    async with server(tmp_path) as port, gateway(to(port)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/ok")).body == b"ok"
        assert (await ask(client, "HEAD", "/ok")).status == 200
        assert (await ask(client, "GET", "/missing")).status == 404
        answers = await asyncio.gather(*[gate.get("/ok") for _ in range(100)])
        assert {(a.status, a.body) for a in answers} == {(200, b"ok")}
        seen = await traces(gate, 103)
        spoken = {t.get("network.protocol.version") for s in seen for t in s.tried}
        assert spoken == {"2"}
        failed = {t.get("error.type") for s in seen for t in s.tried} - {None, "404"}
        assert failed <= {"not_processed"}
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_what_nginx_says_of_bodies(tmp_path: Path) -> None:
    async with nginx(tmp_path) as port, gateway(to(port)) as gate:
        client = await gate.connect()
        assert len((await ask(client, "GET", "/big")).body) == SIZE
        assert (await ask(client, "GET", "/big", "Range: bytes=0-9")).body == bytes(10)
        moved = await ask(client, "GET", "/moved")
        assert moved.status == 301 and moved["location"].startswith("http://gateway.test")
        large = await ask(client, "POST", "/large", body=bytes(100_000))
        assert large.status == 413
        other = await gate.connect()
        assert (await ask(other, "POST", "/ok", body=bytes(3_000_000))).body == b"ok"
        assert (await over_h2(gate, "/big")) == SIZE


async def over_h2(gate: Gateway, path: str) -> int:
    client = await h2_client(gate)
    return len((await client.get(path)).body)


# gRPC

UNARY, STREAM = "/test.Echo/Unary", "/test.Echo/Stream"


class Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self.unary)
        return grpc.stream_stream_rpc_method_handler(self.stream)

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if request == b"fail":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "grün")
        context.set_trailing_metadata((("x-bin", b"\0\xff"),))
        return request

    async def stream(self, requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


async def test_grpcio_at_both_ends() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            gateway(to(port)) as gate,
            grpc.aio.insecure_channel(f"127.0.0.1:{gate.port}") as channel,
        ):
            await _calls(channel)
            await channel.close()
    finally:
        await server.stop(None)


async def _calls(channel: grpc.aio.Channel) -> None:
    unary = channel.unary_unary(UNARY)
    call = unary(b"x" * 100_000)
    assert await call == b"x" * 100_000
    assert ("x-bin", b"\0\xff") in list(await call.trailing_metadata())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(b"fail")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "grün"
    stream = channel.stream_stream(STREAM)()
    for n in range(10):
        await stream.write(b"%d" % n)
        assert await stream.read() == b"%d" % n
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
