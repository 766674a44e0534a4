"""What a request says of the browser that sent it: whether somebody waits for a page, and whether
it was this very site that asked."""

from __future__ import annotations

from proxy.access.check import Asked

_DEFAULT = {"http": 80, "https": 443}


def is_navigation(asked: Asked) -> bool:
    """Whether a page is asked for, so that the browser may be sent to log in (Fetch Metadata).

    Scripts, gRPC and WebSocket handshakes could do nothing with a page of another site; a page that
    is fetched in advance would begin a login that nobody wants.
    """
    head = asked.head
    if head.method not in ("GET", "HEAD") or head.protocol or head.get(b"upgrade"):
        return False
    if head.get(b"sec-purpose") is not None:
        return False
    mode = head.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    accept = head.get(b"accept") or b""
    return b"text/html" in accept.lower() and head.get(b"x-requested-with") is None


def is_own(asked: Asked) -> bool:
    """Whether this site, or the user alone, has asked: no other site (CSRF)."""
    site = asked.head.get(b"sec-fetch-site")
    if site is not None:
        return site in (b"same-origin", b"none")
    said = asked.head.get(b"origin")
    return asked.head.method == "POST" and said == origin(asked).encode()


def origin(asked: Asked) -> str:
    """Of the site as its browsers know it."""
    host = f"[{asked.host.strip('[]')}]" if ":" in asked.host else asked.host
    is_usual = asked.port in (0, _DEFAULT.get(asked.scheme))
    return f"{asked.scheme}://{host}" if is_usual else f"{asked.scheme}://{host}:{asked.port}"
