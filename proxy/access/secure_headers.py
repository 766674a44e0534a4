"""Lines of answers that make browsers careful, where nobody has said better: an upstream that has
one of them, and a route's `headers`, win over these."""

from __future__ import annotations

from collections.abc import Container

from proxy.config.access_model import SecureHeaders
from proxy.http.edits import Edits
from proxy.http.head import Pair, ResponseHead

NAMES = {
    "content_type_options": b"x-content-type-options",
    "frame_options": b"x-frame-options",
    "referrer_policy": b"referrer-policy",
    "content_security_policy": b"content-security-policy",
    "permissions_policy": b"permissions-policy",
    "cross_origin_opener_policy": b"cross-origin-opener-policy",
    "cross_origin_resource_policy": b"cross-origin-resource-policy",
}
HSTS = b"strict-transport-security"


class SecureLines:
    """Those of one route."""

    __slots__ = ("_plain", "_tls")

    def __init__(self, said: SecureHeaders) -> None:
        written = [(name, getattr(said, key).encode("latin-1")) for key, name in NAMES.items()]
        self._plain: tuple[Pair, ...] = tuple(pair for pair in written if pair[1])
        hsts = said.hsts.encode("latin-1")
        # Over plain HTTP browsers must not heed it, and no server may send it (RFC 6797 §7.2).
        self._tls = ((HSTS, hsts), *self._plain) if hsts else self._plain

    def of(self, scheme: str) -> tuple[Pair, ...]:
        """All of them; `scheme` is that of the client's connection."""
        return self._tls if scheme == "https" else self._plain


def lacking(lines: tuple[Pair, ...], head: ResponseHead, edits: Edits) -> list[Pair]:
    """Those that neither the answer has nor the route's `edits` add."""
    said: Container[bytes] = {name.lower() for name, _ in head}
    added = [name for name, _ in edits.added] if edits.added else ()
    return [pair for pair in lines if pair[0] not in said and pair[0] not in added]
