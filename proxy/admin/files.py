"""Files of the pages, below /ui/: read once, sent compressed, asked for again by their ETag.

A path without a file is a page of the application, which finds out by itself which one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

from proxy.admin.pieces import accepted

PREFIX = "/ui/"
INDEX = "index.html"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
}

# Everything comes from here, and nothing is written in the page itself.
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self' {connect}; font-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}


class File:
    """One file, as it is sent."""

    __slots__ = ("data", "etag", "packed", "type")

    def __init__(self, name: str, data: bytes) -> None:
        self.data = data
        self.packed = gzip.compress(data, 6, mtime=0)
        self.type = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        self.etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'


class Files:
    """All of them, read when the first is asked for."""

    __slots__ = ("_files",)

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def answer(self, request: web.BaseRequest, origins: Iterable[str] = ()) -> web.Response:
        """The file at that path; the index where there is none, 404 for a name with an ending.

        `origins` may be asked by the pages besides the port's own.
        """
        if not self._files:
            self._files = dict(_read(resources.files("proxy.admin") / "ui", ""))
        name = request.path.removeprefix(PREFIX)
        file = self._files.get(name)
        if file is None:
            file = None if "." in name else self._files.get(INDEX)
        if file is None:
            return web.Response(status=404, text="404 Not Found\n")
        return self._send(request, file, "".join(f" {origin}" for origin in origins))

    def _send(self, request: web.BaseRequest, file: File, origins: str) -> web.Response:
        headers = {**HEADERS, "ETag": file.etag, "Content-Type": file.type}
        policy = headers["Content-Security-Policy"].replace(" {connect}", origins)
        headers["Content-Security-Policy"] = policy
        if file.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if accepted(request.headers.getall("Accept-Encoding", [])) == "gzip":
            return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.data, headers=headers)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif entry.is_file() and entry.name.rpartition(".")[2] in _TYPES:
            name = f"{prefix}{entry.name}"
            found.append((name, File(name, entry.read_bytes())))
    return found
