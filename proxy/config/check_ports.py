"""Who listens where: no two of listeners, admin port and components may want the same port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.locate import Path, dotted
from proxy.config.model import Config
from proxy.config.report import Report
from proxy.config.syntax import is_everywhere, is_same_place, is_unix, overlap, parse_address

# Keys of components that are addresses to listen on; Jaeger's compact and binary are UDP.
_KEYS = ("grpc", "http", "thrift_http", "endpoint")
_DATAGRAMS = ("thrift_compact", "thrift_binary")
_LISTENING_EXPORTERS = ("prometheus",)

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class _Place:
    """One address that something listens on."""

    path: Path
    address: str
    host: str
    port: int
    datagrams: bool = False

    def meets(self, other: _Place) -> bool:
        """Whether only one of the two can be bound."""
        if is_unix(self.address):
            return self.address == other.address
        if not self.port or (self.port, self.datagrams) != (other.port, other.datagrams):
            return False
        if self.path[0] == other.path[0] == "listen":
            # One of a more special address gets what is sent to that.
            return is_same_place(self.host, other.host)
        hosts = {self.host, other.host}
        return overlap(self.host, other.host) or ("localhost" in hosts and hosts <= _LOOPBACK)


def check_ports(config: Config, report: Report) -> None:
    """Report each address of which another one has taken the port."""
    taken: dict[tuple[int, bool], list[_Place]] = {}
    for place in _places(config, report):
        others = taken.setdefault((place.port, place.datagrams), [])
        for other in others:
            if place.meets(other):
                message = f"{place.address!r} is already taken by {_title(other.path, report)}"
                report.error(place.path, message, _remedy(place, other))
                break
        others.append(place)


def _remedy(place: _Place, other: _Place) -> str:
    if is_unix(place.address):
        return "use another path"
    if other.path[0] == "listen" and place.host != other.host and is_everywhere(other.host):
        return "it takes IPv4 and IPv6: leave this one out, or use another port"
    return "use another port"


def _title(path: Path, report: Report) -> str:
    """ "listen[0]" for listen[0].address, and a key of the collector as it was written."""
    written = report.lines.written(path)
    if written[0] != "mesh" and path[0] == "listen":
        return dotted(path[:2])
    return dotted(written)


def _places(config: Config, report: Report) -> Iterator[_Place]:
    # A collector alone has no listeners, and nobody has asked for the default one.
    gateway = bool(config.route) or report.lines.exact(("listen",)) > 0
    for i, listener in enumerate(config.listen if gateway else ()):
        if not report.is_broken("listen", i):
            yield from _place(("listen", i, "address"), listener.address)
    if config.admin.listen and not report.is_broken("admin", "listen"):
        yield from _place(("admin", "listen"), config.admin.listen)
    yield from _of_components(config, report)


def _of_components(config: Config, report: Report) -> Iterator[_Place]:
    collector = config.collector
    if collector is None:
        return
    used = {id for p in collector.pipelines.values() if p for id in (*p.receivers, *p.exporters)}
    for section in ("receivers", "exporters"):
        for id, settings in getattr(collector, section).items():
            path: Path = ("collector", section, id)
            if id not in used or settings is None or report.is_broken(*path):
                continue  # not started, or told already
            if section == "receivers" or id.partition("/")[0] in _LISTENING_EXPORTERS:
                yield from _of_settings(settings, path)


def _of_settings(settings: object, path: Path) -> Iterator[_Place]:
    for key in (*_KEYS, *_DATAGRAMS):
        address = getattr(settings, key, "")
        if address and isinstance(address, str):
            yield from _place((*path, key), address, datagrams=key in _DATAGRAMS)
    sampling = getattr(getattr(settings, "remote_sampling", None), "endpoint", "")
    if sampling:
        yield from _place((*path, "remote_sampling", "endpoint"), sampling)


def _place(path: Path, address: str, *, datagrams: bool = False) -> Iterator[_Place]:
    try:
        host, port = parse_address(address)
    except ValueError:
        if is_unix(address):
            yield _Place(path, address, address, 0)
        return  # others are told where it is parsed
    yield _Place(path, address, host.lower(), port, datagrams)
