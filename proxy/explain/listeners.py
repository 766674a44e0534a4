"""Where requests come in with TLS, in words."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.loaded import Loaded
from proxy.config.locate import dotted
from proxy.config.model import Listener, ListenerTls


def self_signed(loaded: Loaded) -> list[str]:
    """A line for each listener whose certificate no file has."""
    made = loaded.material.self_signed
    if made is None:
        return []
    what = f"a certificate is made at start, for {', '.join(made.names)}; clients cannot verify it"
    return [
        f"{loaded.where(path) or loaded.file}: {dotted(path)}: {what}"
        for path, _, tls in _secure(loaded)
        if tls.self_signed
    ]


def secure(loaded: Loaded) -> list[str]:
    """A line for each listener that takes requests by https, with the certificate that it shows."""
    return [
        f"{listener.address}, {_shown(tls)}" + (f" ({place})" if place else "")
        for path, listener, tls in _secure(loaded)
        if listener.protocol == "http"
        for place in [loaded.where(path)]
    ]


def _secure(loaded: Loaded) -> Iterator[tuple[tuple[str, int, str], Listener, ListenerTls]]:
    for i, listener in enumerate(loaded.config.listen):
        if listener.tls is not None:
            yield ("listen", i, "tls"), listener, listener.tls


def _shown(tls: ListenerTls) -> str:
    if tls.self_signed:
        return "a self-signed certificate, made at start"
    return f"certificate {tls.cert or tls.certificates[0].cert}"
