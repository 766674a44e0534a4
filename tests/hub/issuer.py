"""An issuer of tokens whose keys are fetched: it rotates, lies, hangs and goes away as told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

from tests.access.tokens import AUDIENCE, ISSUER, jwk, private, token


class Issuer:
    """`keys` are published; what else is set is how."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.keys = [jwk(private(), kid="k1")]
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None  # instead of the keys
        self.go = threading.Event()  # answers wait for it
        self.go.set()
        self.asked: list[str] = []  # paths, as they were asked for
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.go.wait(30)
                said = json.dumps({"keys": issuer.keys}).encode()
                body = said if issuer.body is None else issuer.body
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # it has had enough

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/jwks"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def publish(self, *kids: str, number: int = 0) -> None:
        self.keys = [jwk(private("RSA", number), kid=kid) for kid in kids]

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def issuer(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    made = Issuer(port, tls)
    try:
        yield made
    finally:
        made.close()


def bearer(kid: str = "k1", number: int = 0, **more: Any) -> dict[str, str]:
    """The header of a good token, signed by that key."""
    now = int(time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, **more}
    made = token(claims, key=private("RSA", number), head={"kid": kid})
    return {"Authorization": f"Bearer {made.decode()}"}
