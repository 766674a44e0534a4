"""A service that calls the next one, if NEXT says where that is, and passes on the trace's headers.

An application with an OpenTelemetry SDK does the latter by itself.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ["NAME"]
NEXT = os.environ.get("NEXT", "")
PASSED_ON = ("traceparent", "tracestate", "baggage")


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, text = 200, f"{NAME}{self.path}\n"
        if NEXT and self.path != "/healthz":
            status, text = self._with_next(text)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _with_next(self, text: str) -> tuple[int, str]:
        headers = {key: self.headers[key] for key in PASSED_ON if key in self.headers}
        url = NEXT + self.path.rpartition("/")[2]
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return 200, text + answer.read().decode()
        except (urllib.error.URLError, TimeoutError) as error:
            return 502, f"{NAME}: {url}: {error}\n"

    def log_message(self, format: str, *args: object) -> None:
        """The gateway writes access records."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Service).serve_forever()
