"""What must hold between values once each of them is well-formed: everything but routes.

A check reads structs and writes to the report; it skips what is already known to be broken, so
that one mistake is told once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from proxy.config.attributes import check_attributes
from proxy.config.check_balance import check_balance
from proxy.config.check_discover import check_discover, check_resolvers
from proxy.config.check_health import check_health
from proxy.config.check_limits import check_limits
from proxy.config.check_see import check_see
from proxy.config.disk import file_in_the_way
from proxy.config.given import LISTENING
from proxy.config.hedges import parse_hedge
from proxy.config.locate import Path
from proxy.config.mesh_expand import made_by
from proxy.config.model import Config, Listener, Upstream
from proxy.config.report import Report
from proxy.config.slips_observe import own_paths
from proxy.config.syntax import (
    is_authority,
    is_field_value,
    is_token,
    is_unix,
    parse_address,
    parse_listen,
    parse_mode,
    parse_network,
    parse_otlp,
    parse_server,
)
from proxy.config.words import values

MAX_WORKERS = 1024  # a slip of the finger, not a machine
GRPC_MESSAGE = 4 * 1024 * 1024  # what gRPC servers commonly accept


def check(config: Config, report: Report) -> None:
    """Report whatever cannot work in `config`, routes excepted."""
    _listeners(config, report)
    _processes(config, report)
    _tracing(config, report)
    check_attributes(config, report)
    check_see(config, report)
    _export(config, report)
    _limits(config, report)
    check_resolvers(config, report)
    made = made_by(config.mesh)
    for name, upstream in config.upstream.items():
        _upstream(upstream, ("upstream", name), made, report)


def attempt(parse: Callable[[str], object], text: str, path: Path, report: Report) -> bool:
    """Whether `parse` takes `text`; its complaint goes to the report."""
    try:
        parse(text)
    except ValueError as error:
        remedy = values.address(text) if parse in (parse_address, parse_listen) else ""
        report.error(path, str(error).partition(": write")[0] if remedy else str(error), remedy)
        return False
    return True


def check_fields(fields: Iterable[tuple[str, str]], path: Path, report: Report) -> None:
    """Field names that are tokens, values that can be sent. Values may be secret: never shown."""
    for name, value in fields:
        check_field_name(name, (*path, name), report)
        if not is_field_value(value):
            remedy = "no control characters, blanks at the ends, or beyond Latin-1"
            report.error((*path, name), "this value cannot be sent in a header", remedy)


def check_field_name(name: str, path: Path, report: Report) -> None:
    if not is_token(name):
        remedy = "letters, digits and -; no blanks, no colon"
        report.error(path, f"{name!r} is not a header name", remedy)


def _listeners(config: Config, report: Report) -> None:
    waits = any(getattr(config.source, name) is not None for name in LISTENING)
    if not config.listen and not waits and not report.is_broken("listen"):
        report.error(("listen",), "there is no listener", 'write listen = ":8080"')
    for i, listener in enumerate(config.listen):
        # An element that could not be made is None here; the report knows of it already.
        if not report.is_broken("listen", i):
            _listener(listener, ("listen", i), config, report)
    if config.admin.listen and not report.is_broken("admin", "listen"):
        attempt(parse_listen, config.admin.listen, ("admin", "listen"), report)


def _listener(listener: Listener, path: Path, config: Config, report: Report) -> None:
    attempt(parse_listen, listener.address, (*path, "address"), report)
    _networks(listener.trust, (*path, "trust"), report)
    said = attempt(parse_mode, listener.mode, (*path, "mode"), report)
    if said and not is_unix(listener.address) and listener.mode != Listener(address="").mode:
        report.warn((*path, "mode"), "only the file of a Unix socket has a mode", "leave it out")
    trust = config.tracing.trust if listener.trust is None else listener.trust
    if listener.proxy_protocol and not trust:
        remedy = 'name the load balancer: trust = ["10.0.0.0/8"]'
        report.error((*path, "proxy_protocol"), "nobody is trusted, so nobody may connect", remedy)


def _processes(config: Config, report: Report) -> None:
    if config.workers != "auto" and config.workers > MAX_WORKERS:
        report.error(("workers",), f"more than {MAX_WORKERS} workers", 'write "auto"')
    _networks(config.forwarding.trust, ("forwarding", "trust"), report)
    if config.forwarding.via and not is_token(config.forwarding.via):
        remedy = 'one word such as "spangate"; "" for none'
        report.error(("forwarding", "via"), "not a pseudonym (RFC 9110 §7.6.3)", remedy)


def _networks(networks: list[str] | None, path: Path, report: Report) -> None:
    for i, network in enumerate(networks or ()):
        if not report.is_broken(*path, i):
            attempt(parse_network, network, (*path, i), report)


def _tracing(config: Config, report: Report) -> None:
    tracing = config.tracing
    _networks(tracing.trust, ("tracing", "trust"), report)
    for key in ("request_headers", "response_headers"):
        for i, name in enumerate(getattr(tracing, key)):
            if not report.is_broken("tracing", key, i):
                check_field_name(name, ("tracing", key, i), report)
    if tracing.response_header:
        check_field_name(tracing.response_header, ("tracing", "response_header"), report)
    for i, method in enumerate(tracing.known_methods):
        if not report.is_broken("tracing", "known_methods", i) and not is_token(method):
            report.error(("tracing", "known_methods", i), f"{method!r} is not a method")
    for i, path in enumerate(tracing.untraced):
        if not report.is_broken("tracing", "untraced", i) and not path.startswith("/"):
            report.error(("tracing", "untraced", i), f"{path!r} is not a path", 'start with "/"')


def _export(config: Config, report: Report) -> None:
    export = config.export
    grpc = False
    for key in ("otlp", "traces", "metrics", "logs"):
        for i, url in enumerate(getattr(export, key)):
            if not report.is_broken("export", key, i):
                _otlp(url, key, ("export", key, i), report)
                grpc = grpc or url.lower().startswith("grpc")
    if not report.is_broken("export", "headers"):
        check_fields(export.headers.items(), ("export", "headers"), report)
    if "\0" in export.storage and not report.is_broken("export", "storage"):
        report.error(("export", "storage"), "a path cannot have a NUL in it")
    elif file := file_in_the_way(export.storage):
        remedy = "name a folder, or one to be made"
        report.error(("export", "storage"), f"{file} is a file", remedy)
    if grpc and export.batch_bytes > GRPC_MESSAGE:
        remedy = 'write "3MiB"'
        report.warn(("export", "batch_bytes"), "gRPC servers commonly refuse over 4 MiB", remedy)
    _tls(config, report)


def _otlp(url: str, key: str, path: Path, report: Report) -> None:
    try:
        parse_otlp(url)
    except ValueError as error:
        scheme = "http" if url.partition("/")[0].endswith(":4318") else "grpc"
        bare = "://" not in url and is_authority(url)
        remedy = f'write "{scheme}://{url}"' if bare else ""
        report.error(path, str(error).partition(": write")[0] if remedy else str(error), remedy)
        return
    # What an OTEL_* variable says must not stop a gateway whose file is good.
    written = report.lines.exact(("export", key)) > 0
    if key == "otlp" and written and (base := own_paths(url)):
        remedy = f'write otlp = "{base}", or traces = "{url}" for traces alone'
        report.error(path, "the path of each signal is appended to this URL", remedy)


def _tls(config: Config, report: Report) -> None:
    tls = config.export.tls
    if bool(tls.cert) != bool(tls.key) and not report.is_broken("export", "tls"):
        report.error(("export", "tls"), "`cert` and `key` come together", "give both or neither")
    for key in ("ca", "cert", "key"):
        name = getattr(tls, key)
        if name and not report.is_broken("export", "tls", key) and not _is_file(name):
            report.warn(("export", "tls", key), f"there is no file {name!r}")


def _is_file(name: str) -> bool:
    try:
        return os.path.isfile(name)
    except ValueError:  # a NUL in the name
        return False


def _limits(config: Config, report: Report) -> None:
    for key in ("request_line", "head_bytes"):
        if getattr(config.limits, key) == 0:
            message = "a request head cannot be unlimited"
            report.error(("limits", key), message, "leave it out for the default")


def _upstream(upstream: Upstream, path: Path, made: Collection[str], report: Report) -> None:
    if not report.is_broken(*path, "servers"):
        nowhere = not upstream.servers and not upstream.discover and path[1] not in made
        if nowhere and not report.is_foreign(path) and not report.is_broken(*path, "discover"):
            remedy = 'write servers = ["http://10.0.0.1:8000"]'
            report.error(path, "this upstream has no servers", remedy)
        known: dict[tuple[str, str, int], str] = {}
        for url in upstream.servers:
            if attempt(parse_server, url, (*path, "servers", url), report):
                other = known.setdefault(parse_server(url), url)
                if other != url:
                    message = f"{url!r} is the same server as {other!r}"
                    report.error((*path, "servers", url), message, "leave one of them out")
    check_discover(upstream, path, report)
    if upstream.send_proxy != "off" and upstream.protocol == "h2":
        remedy = 'write protocol = "h1", or send_proxy = "off"'
        message = "a PROXY header tells of one client, and HTTP/2 connections are shared"
        report.error((*path, "send_proxy"), message, remedy)
    check_balance(upstream, path, report)
    check_health(upstream, path, report)
    check_limits(upstream, path, report)
    check_retry(upstream.retry, (*path, "retry"), report)


def check_retry(retry: object, path: Path, report: Report) -> None:
    """Warn about retries that would repeat answers that are fine, and methods that are none."""
    for i, status in enumerate(getattr(retry, "on", ())):
        if isinstance(status, int) and status < 400:
            report.warn((*path, "on", i), f"{status} is not an error and would be tried again")
    hedge = getattr(retry, "hedge", "")
    if hedge and not report.is_broken(*path, "hedge"):
        try:
            parse_hedge(hedge)
        except ValueError as error:
            remedy = 'write "p95", of the times that answers take, or "50ms"'
            report.error((*path, "hedge"), f"{hedge!r}: {error}", remedy)
        if not getattr(retry, "times", 1):
            report.warn((*path, "hedge"), "times = 0 allows no other try", "write times = 1")
    for i, method in enumerate(getattr(retry, "methods", ())):
        if method is not None and not is_token(method):
            report.error((*path, "methods", i), f"{method!r} is not a method")
