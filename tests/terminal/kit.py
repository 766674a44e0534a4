"""An admin port that says what a test wants, and commands run against it on a pseudo-terminal."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import socketserver
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from click.testing import CliRunner, Result

from proxy.cli import main

DEADLINE = 60.0  # seconds; none of it is needed but on a busy machine

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# What strangers write to act on a terminal: clear it, retitle it, turn text round, forge a line,
# and what rich would take for a style.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\nforged line\r\x00\x7f\x9b31m[red]x[/red]"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")

Answer = tuple[int, object] | Callable[["Port"], None]


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Admin:
    """`answers`: by path a status with JSON (text as it is), or a function that writes them."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def last(self) -> Asked:
        return self.asked[-1]


class Port(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    admin: Admin

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.admin.asked.append(Asked(parts.path, query, dict(self.headers)))
        answer = self.admin.answers.get(parts.path, (404, "404 Not Found\n"))
        if callable(answer):
            answer(self)
            return
        status, value = answer
        body = (value if isinstance(value, str) else json.dumps(value)).encode()
        kind = "text/plain" if isinstance(value, str) else "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def events(self, *events: tuple[str, object]) -> None:
        for kind, data in events:
            written = f": a comment\nevent: {kind}\nid: 1\ndata: {json.dumps(data)}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(written), written))

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return "test"


def _nothing(*_: object) -> None:
    """Who leaves early, as commands do, is no error of the server's."""


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    handle_error = _nothing


@contextmanager
def admin(host: str = "127.0.0.1", path: Path | None = None, port: int = 0) -> Iterator[Admin]:
    """A running one, over TCP or at the Unix socket `path`."""
    told = Admin("")
    handler = type("Handler", (Port,), {"admin": told})
    server: socketserver.BaseServer
    if path is not None:
        server, told.url = _UnixServer(str(path), handler), f"unix:{path}"
    else:
        family = type("Server", (ThreadingHTTPServer,), {
            "address_family": 10 if ":" in host else 2, "daemon_threads": True,
            "request_queue_size": 64, "allow_reuse_address": True, "handle_error": _nothing,
        })  # fmt: skip
        server = family((host, port), handler)
        shown = f"[{host}]" if ":" in host else host
        told.url = f"http://{shown}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    """A command in this process, its output in a pipe."""
    return CliRunner().invoke(main, list(words), env=env, catch_exceptions=False)


def ask(told: Admin, *words: str) -> Result:
    return run(*words, "--admin", told.url)


def spawn(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "proxy", *words], **options)


class Terminal:
    """A pseudo-terminal with a command on it. `seen` is what it has written so far."""

    def __init__(self, *words: str, columns: int, rows: int, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = spawn(
            *words, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**kept, "TERM": "xterm-256color", **env}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""
        self._text = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text: str) -> str:
        """All that has been written once `text` is there; fails if it ends before."""
        while text not in self.seen:
            assert self._read(), self.seen
        return self.seen

    def end(self) -> int:
        """All that it writes is read; the exit code."""
        while self._read():
            pass
        return self.process.wait(DEADLINE)

    def _read(self) -> bool:
        try:
            got = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.seen += self._text.decode(got)
        return bool(got)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self._ours)


@contextmanager
def terminal(
    *words: str, columns: int = 160, rows: int = 40, env: dict[str, str] | None = None
) -> Iterator[Terminal]:
    made = Terminal(*words, columns=columns, rows=rows, env=env or {})
    try:
        yield made
    finally:
        made.close()


def uncoloured(seen: str) -> str:
    """Without the styles that are ours: select graphic rendition, and nothing else."""
    return re.sub("\x1b\\[[0-9;]*m", "", seen)


REQUEST = {
    "time_unix_ms": 1790000000123.25,
    "method": "GET",
    "path": "/orders/7",
    "query": "a=1",
    "host": "shop.example",
    "status": 200,
    "route": "orders",
    "upstream": "orders",
    "address": "10.0.0.1:8000",
    "tries": 2,
    "duration_ms": 12.5,
    "error": "",
    "trace_id": TRACE,
    "span_id": "00f067aa0ba902b7",
    "sampled": True,
    "client": "192.0.2.1",
}
