"""gRPC over `ngh2` (libnghttp2 without sockets) against grpcio: CPU a unary Export of 100 spans.

    pip install grpcio
    python -m benchmarks.grpc_ngh2 [--rounds 5] [--seconds 2]

Servers get the same closed loop of grpcio clients on 8 connections and say b"" to every message;
clients send to the same server of grpcio, four requests under way on one connection. Both are as
bare as they can be: what is compared is the transport. CPU is utime + stime of the one process;
rounds are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks import proc
from benchmarks.collector import free_port, listens, running
from benchmarks.collector_ends import EXPORT, request

UNDER_WAY = 4
RESPONSE = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0")]
WINDOW = 4 * 1024 * 1024


class Server(asyncio.Protocol):
    """One connection; answers every request with an empty message."""

    def __init__(self) -> None:
        import ngh2

        self._connection = ngh2.Connection(ngh2.Role.SERVER)
        self._bodies: dict[int, list[bytes]] = {}
        self._h2 = ngh2
        self.messages = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = {self._h2.Setting.INITIAL_WINDOW_SIZE: WINDOW}
        self._connection.initiate_connection(settings)
        self._connection.set_local_window_size(WINDOW)
        self._transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        connection, h2 = self._connection, self._h2
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, h2.DataReceived):
                self._bodies[event.stream_id].append(event.data)
                if event.end_stream:
                    self._answer(event.stream_id)
            elif isinstance(event, h2.RequestReceived):
                self._bodies[event.stream_id] = []
            elif isinstance(event, h2.StreamClosed):
                self._bodies.pop(event.stream_id, None)
        self._transport.write(connection.data_to_send())

    def _answer(self, stream: int) -> None:
        message = b"".join(self._bodies.pop(stream))
        assert len(message) == 5 + int.from_bytes(message[1:5], "big")
        self._connection.send_response(stream, RESPONSE)
        self._connection.send_data(stream, bytes(5))
        self._connection.send_trailers(stream, TRAILERS)


async def serve(library: str, port: int) -> None:
    if library == "ngh2":
        await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port)
    else:
        import grpc.aio

        async def export(payload: bytes, context: Any) -> bytes:
            return b""

        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        handler = grpc.unary_unary_rpc_method_handler(export)
        service, _, method = EXPORT[1:].partition("/")
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
    await asyncio.Event().wait()


class Client(asyncio.Protocol):
    """One connection on which UNDER_WAY requests are answered and followed by others."""

    def __init__(self, port: int, until: float) -> None:
        import ngh2

        self._h2 = ngh2
        self._connection = ngh2.Connection(ngh2.Role.CLIENT)
        self._until = until
        self._message = b"\0" + (body := request(100)).__len__().to_bytes(4, "big") + body
        self._headers = [
            *((b":method", b"POST"), (b":scheme", b"http"), (b":path", EXPORT.encode())),
            *((b":authority", b"127.0.0.1:%d" % port), (b"te", b"trailers")),
            (b"content-type", b"application/grpc"),
        ]
        self.sent = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connection.initiate_connection()
        for _ in range(UNDER_WAY):
            self._send()
        self._transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, self._h2.TrailersReceived):
                self.sent += 1
            elif isinstance(event, self._h2.StreamClosed) and time.monotonic() < self._until:
                self._send()
            elif isinstance(event, self._h2.StreamClosed) and not self.over.done():
                self.over.set_result(None)
        self._transport.write(self._connection.data_to_send())

    def _send(self) -> None:
        stream = self._connection.send_request(self._headers)
        self._connection.send_data(stream, self._message, end_stream=True)


async def send(library: str, port: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    before = resource.getrusage(resource.RUSAGE_SELF)
    if library == "ngh2":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(port, until), "127.0.0.1", port)
        await client.over
        sent = client.sent
    else:
        sent = await _send_grpcio(port, until)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"sent": sent, "cpu": used}))


async def _send_grpcio(port: int, until: float) -> int:
    import grpc.aio

    body = request(100)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(EXPORT, None, None)

        async def some() -> int:
            sent = 0
            while time.monotonic() < until:
                await call(body)
                sent += 1
            return sent

        return sum(await asyncio.gather(*(some() for _ in range(UNDER_WAY))))


def measure_server(library: str, seconds: float) -> float:
    """µs a request."""
    front, _ = proc.cores()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [sys.executable, "-m", "benchmarks.grpc_ngh2", "serve", library, str(port)]
        pid = stack.enter_context(running(command, front, Path(folder, "log")))
        proc.wait_until(lambda: listens(port), 20, library)
        load = [sys.executable, "-m", "benchmarks.collector_ends", "load", "grpc", str(port), "8"]
        subprocess.run([*load, "0.3", "100"], check=True, capture_output=True)
        before = proc.cpu(pid)
        done = subprocess.run(
            [*load, str(seconds), "100"], check=True, capture_output=True, text=True
        )
        return (proc.cpu(pid) - before) * 1e6 / int(json.loads(done.stdout)["requests"])


def measure_client(library: str, seconds: float) -> float:
    _, back = proc.cores()
    port = free_port()
    me = [sys.executable, "-m", "benchmarks.grpc_ngh2"]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(running([*me, "serve", "grpcio", str(port)], back, Path(folder, "log")))
        proc.wait_until(lambda: listens(port), 20, library)
        command = [*me, "send", library, str(port), str(seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return float(found["cpu"]) * 1e6 / int(found["sent"])


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1:2] == ["send"]:
        uvloop.run(send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    else:
        compare()


def compare() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    given = parser.parse_args()
    for role, measure in (("server", measure_server), ("client", measure_client)):
        found: dict[str, list[float]] = {"grpcio": [], "ngh2": []}
        for _ in range(given.rounds):
            for library, times in found.items():
                times.append(measure(library, given.seconds))
        medians = {library: statistics.median(times) for library, times in found.items()}
        for library, times in found.items():
            print(
                f"{role} {library:7} {medians[library]:6.1f} µs a request"
                f" ({min(times):.1f} to {max(times):.1f})"
                f"  {medians[library] / medians['grpcio']:.2f} × grpcio",
                flush=True,
            )


if __name__ == "__main__":
    main()
