"""A request as it is typed, as the bytes that a client would send for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^/?#]*)(.*)", re.DOTALL)


def read_request(method: str, url: str, headers: Sequence[str]) -> bytes:
    """The head of the request for `url`, which may be a path; ValueError for what is no request.

    Nothing is put right on the way: what a gateway would refuse must reach its reader. A URL is
    sent as clients do, its authority as Host, where no header says another one.
    """
    for text in (method, url, *headers):
        if "\r" in text or "\n" in text:
            raise ValueError(f"{text!r} is more than one line")
    authority, target = _split(method, url)
    lines = [_field(header) for header in headers]
    if not any(line.lower().startswith("host:") for line in lines):
        lines.insert(0, f"Host: {authority}")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
    return head.encode("utf-8", "surrogateescape")


def scheme_of(url: str) -> str:
    """How the client of such a URL connects."""
    return "https" if url.lower().startswith("https://") else "http"


def _split(method: str, url: str) -> tuple[str, str]:
    """(Host, request target)"""
    if url.startswith(("/", "*")):
        return "localhost", url
    found = _URL.fullmatch(url)
    assert found is not None  # each of its groups may be empty
    scheme, authority, rest = found.groups()
    authority = authority.rpartition("@")[2]
    if method == "CONNECT" or (scheme or "http").lower() not in ("http", "https"):
        return authority, url
    if not rest and method == "OPTIONS":
        return authority, "*"  # RFC 9112 §3.2.4
    return authority, rest if rest.startswith("/") else "/" + rest


def _field(header: str) -> str:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"{header!r} is not a header: write 'name: value'")
    return f"{name.lstrip()}: {value.strip()}"
