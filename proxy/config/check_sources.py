"""What must hold for [source]: that each of them can be asked, and that somebody can answer."""

from __future__ import annotations

import glob
import os
import re
from urllib.parse import SplitResult, urlsplit

from proxy.config.discover import parse_discover
from proxy.config.locate import Path
from proxy.config.model import Config
from proxy.config.report import Report
from proxy.config.source_model import KubernetesSource, Sources
from proxy.config.upstream_model import UpstreamTls

HTTP = ("http", "https")
GRPC = ("grpc", "grpcs")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, as namespaces are called
GATEWAY = re.compile(LABEL.pattern + r"/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
PORT = re.compile(r"[0-9]{1,5}")


def check_sources(config: Config, report: Report) -> None:
    """Report sources that cannot be asked, and upstreams whose servers nobody says."""
    source = config.source
    if report.has_failed("source"):
        return
    if source == Sources():
        _nobody_says(config, report)
        return
    _servers(source, report)
    if source.kubernetes is not None:
        _kubernetes(source.kubernetes, report)
    if source.etcd is not None and not source.etcd.prefix.startswith("/"):
        message = f"{source.etcd.prefix!r} is no prefix of keys"
        report.error(("source", "etcd", "prefix"), message, 'write "/spangate"')
    if source.etcd is not None and bool(source.etcd.user) != bool(source.etcd.password):
        report.error(("source", "etcd"), "`user` and `password` come together", "give both")
    for name in ("xds", "etcd", "consul"):
        if (one := getattr(source, name)) is not None:
            _tls(one.tls, ("source", name, "tls"), report)
    if source.file is not None:
        _file(source.file.path, report)


def _nobody_says(config: Config, report: Report) -> None:
    for name, upstream in config.upstream.items():
        place: Path = ("upstream", name, "discover")
        said = not report.is_broken(*place) and upstream.discover.startswith("source")
        if said and parse_discover(upstream.discover).kind == "source":
            remedy = "add one, such as [source.etcd]"
            report.error(place, "there is no source that could say the servers", remedy)


def _kubernetes(kubernetes: KubernetesSource, report: Report) -> None:
    place: Path = ("source", "kubernetes")
    for i, name in enumerate(kubernetes.namespaces):
        if not report.is_broken(*place, "namespaces", i) and LABEL.fullmatch(name) is None:
            message = f"{name!r} is no name of a namespace"
            report.error((*place, "namespaces", i), message, 'write "shop"')
    for i, name in enumerate(kubernetes.gateways):
        if not report.is_broken(*place, "gateways", i) and GATEWAY.fullmatch(name) is None:
            message = f"{name!r} is no name of a Gateway"
            report.error((*place, "gateways", i), message, 'write "infra/edge", with its namespace')
    for port, bound in kubernetes.ports.items():
        if not (PORT.fullmatch(port) and 0 < int(port) < 65536 and bound < 65536):
            message = f"{port} = {bound} are no two ports"
            report.error((*place, "ports", port), message, "write ports = { 80 = 8080 }")
    if "/" not in kubernetes.controller and not report.is_broken(*place, "controller"):
        remedy = 'write "example.com/spangate", as spec.controllerName of the class has it'
        report.error((*place, "controller"), f"{kubernetes.controller!r} has no domain", remedy)
    for key in ("token", "ca"):
        name = getattr(kubernetes, key)
        if name and not _is_file(os.path.join(os.path.dirname(report.file), name)):
            report.warn((*place, key), f"there is no file {name!r}")


def _servers(source: Sources, report: Report) -> None:
    if source.xds is not None:
        _url(source.xds.server, GRPC, ("source", "xds", "server"), "grpc://control:18000", report)
    if source.kubernetes is not None and source.kubernetes.server:
        place: Path = ("source", "kubernetes", "server")
        _url(source.kubernetes.server, HTTP, place, "https://10.0.0.1:443", report)
    if source.consul is not None:
        place = ("source", "consul", "server")
        _url(source.consul.server, HTTP, place, "http://127.0.0.1:8500", report)
    if source.etcd is not None:
        if not source.etcd.servers and not report.is_broken("source", "etcd"):
            remedy = 'write servers = ["http://127.0.0.1:2379"]'
            report.error(("source", "etcd"), "no server is named", remedy)
        for i, url in enumerate(source.etcd.servers):
            place = ("source", "etcd", "servers", i)
            _url(url, HTTP, place, "http://127.0.0.1:2379", report)


def _url(url: str, schemes: tuple[str, str], path: Path, example: str, report: Report) -> None:
    if not report.is_broken(*path) and not _is_good(url, schemes):
        shown = f"{url!r} is no URL of a server" if url else "no server is named"
        report.error(path, shown, f'write "{example}", or {schemes[1]}:// for TLS')


def _is_good(url: str, schemes: tuple[str, str]) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    known = parts.scheme in schemes and parts.username is None
    return known and bare and bool(parts.hostname) and port != 0 and url.isprintable()


def _tls(tls: UpstreamTls, path: Path, report: Report) -> None:
    if bool(tls.cert) != bool(tls.key):
        report.error(path, "`cert` and `key` come together", "give both or neither")
    for key in ("ca", "cert", "key"):
        name = getattr(tls, key)
        if name and not _is_file(os.path.join(os.path.dirname(report.file), name)):
            report.warn((*path, key), f"there is no file {name!r}")


def _is_file(name: str) -> bool:
    return "\0" not in name and os.path.isfile(name)


def _file(path: str, report: Report) -> None:
    place: Path = ("source", "file", "path")
    if report.is_broken(*place):
        return
    if not path or "\0" in path or path.endswith("/"):
        report.error(place, "no file is named", 'write path = "conf.d/*.toml"')
    elif not glob.glob(os.path.join(os.path.dirname(report.file), path)):
        report.warn(place, f"no file is called {path} now", "until there is one it gives nothing")
