"""What a hub says of itself when it is ready: places, workers, routes."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from proxy import __version__
from proxy.config.messaging_names import DELIVERY, written
from proxy.config.model import Config, Listener
from proxy.config.syntax import is_everywhere, is_unix
from proxy.hub.sockets import Sockets
from proxy.plain import WHY_PLAIN, told


def ready_line(
    config: Config, sockets: Sockets, admin: socket.socket | None, workers: int, lacks: str = ""
) -> str:
    """For the log: people and scripts wait for it. `lacks`: why it is not ready; then they go on
    waiting."""
    listeners = [listener for listener in config.listen if listener.name != DELIVERY]
    parts = list(_places(listeners, sockets))
    if admin is not None:
        place = _admin_name(config.admin.listen, admin)
        parts.append(f"admin on {place if is_unix(place) else f'http://{place}'}")
    parts.append(plural(workers, "worker"))
    parts.append(plural(written(route.name for route in config.route), "route"))
    if config.consume:
        parts.append(plural(len(config.consume), "consumer"))
    if WHY_PLAIN:
        parts.append(told())
    state = f"is up and waits: {lacks};" if lacks else "ready:"
    return f"spangate {__version__} {state} {', '.join(parts)}"


def gateway_url(config: Config, sockets: Sockets) -> str:
    """Where this machine finds the gateway by HTTP without TLS; "" where it does not."""
    for listener in config.listen:
        if _scheme(listener) == "http" and (port := sockets.port(listener.address)):
            host = listener.address.rpartition(":")[0]
            return f"http://{'127.0.0.1' if is_everywhere(host) else host}:{port}"
    return ""


def _places(listeners: Sequence[Listener], sockets: Sockets) -> Iterator[str]:
    """ "http on :8080", "https on :8443": who speaks what, and where."""
    by_scheme: dict[str, list[str]] = {}
    for listener in listeners:
        by_scheme.setdefault(_scheme(listener), []).append(sockets.name(listener.address))
    for scheme, names in by_scheme.items():
        yield f"{scheme} on {', '.join(names)}"


def _scheme(listener: Listener) -> str:
    if listener.protocol != "http":
        return listener.protocol
    return "http" if listener.tls is None else "https"


def _admin_name(listen: str, sock: socket.socket) -> str:
    """`listen` with the port that was really bound and a host that a browser understands."""
    if is_unix(listen):
        return listen
    host = listen.rpartition(":")[0]
    if is_everywhere(host.strip("[]")):
        host = "localhost"
    return f"{host}:{sock.getsockname()[1]}"


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
