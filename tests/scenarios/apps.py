"""Small applications that know nothing of traces: they copy headers, and call the next one."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.hub.gateway import DEADLINE

W3C = ("traceparent", "tracestate")
B3 = ("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-parentspanid", "x-b3-flags")


@dataclass
class App:
    """One application. What it does can be changed while it runs."""

    name: str
    following: str = ""  # whom it calls before it answers, "" = nobody
    outbound: int = 0  # of its sidecar
    copies: tuple[str, ...] = W3C
    waits: threading.Event | None = None  # for this, before it does anything
    does: str = ""  # "fail": 500; "close": ends the connection instead of answering; "" = its work
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)  # the headers of each request

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body; 0 = none."""
        self.asked.append(headers)
        if self.waits is not None:
            self.waits.wait(DEADLINE)
        if self.does == "fail":
            return 500, b"no"
        if self.does == "close":
            return 0, b""
        if not self.following:
            return 200, self.name.encode()
        copied = {name: value for name, value in headers.items() if name in self.copies}
        status, said = self.call(self.following, f"/{self.following}{path}", copied)
        return status, self.name.encode() + b" " + said

    def call(self, host: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """By its own sidecar."""
        connection = http.client.HTTPConnection("127.0.0.1", self.outbound, timeout=DEADLINE)
        try:
            connection.request("GET", path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def running(app: App) -> Iterator[App]:
    """While it listens on `app.port`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = app.answer(self.path, headers)
            if not status:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that have gone while it was at work are nothing to tell of."""

    server = Server(("127.0.0.1", app.port), Handler)
    app.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)
