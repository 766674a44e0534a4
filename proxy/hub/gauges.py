"""What the hub itself can tell, as series of the same shape as the workers' metrics.

One list for `/metrics` and OTLP, so that both always say the same. Names outside "spangate." are
those of the semantic conventions (process-metrics.md).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence

from proxy import __version__
from proxy.collector.books import Standing
from proxy.config.material import Material
from proxy.config.syntax import parse_server
from proxy.hub.bus import Bus
from proxy.hub.parts import Collector
from proxy.hub.procfs import Usage, usage
from proxy.hub.sourced import Counts
from proxy.hub.supervisor import Slot
from proxy.hub.worker import Worker, WorkerState
from proxy.plain import WHY_PLAIN
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Attributes, Series

_C, _G = Kind.COUNTER, Kind.GAUGE

BUILD = Instrument("spangate.build.info", _G, "", "Always 1; the labels tell the release.")
MEMORY = Instrument("process.memory.usage", _G, "By", "Resident memory.")
CPU = Instrument("process.cpu.time", _C, "s", "CPU time, user and system.", divisor=1_000_000)
FILES = Instrument(
    "process.unix.file_descriptor.count",
    _G,
    "{file_descriptor}",
    "Open file descriptors.",
    page="process_open_fds",
)
MOST_FILES = Instrument(
    "spangate.process.file_descriptor.limit",
    _G,
    "{file_descriptor}",
    "How many file descriptors may be open; 0 = any number.",
    page="process_max_fds",
)
WORKERS = Instrument("spangate.workers", _G, "{process}", "Worker processes, by state.")
RESTARTS = Instrument(
    "spangate.worker.restarts", _C, "{restart}", "Workers replaced because they had died."
)
MESSAGING_RESTARTS = Instrument(
    "spangate.messaging.restarts",
    _C,
    "{restart}",
    "Processes of message queues replaced because they had died.",
)
COLLECTOR_RESTARTS = Instrument(
    "spangate.collector.restarts", _C, "{restart}", "Collectors replaced because they had died."
)
RELOADS = Instrument("spangate.config.reloads", _C, "{reload}", "Reloads, by result.")
RELOAD_FAILED = Instrument(
    "spangate.config.reload_failed", _C, "{reload}", "Reloads refused; the old file is in force."
)
LAST_RELOAD = Instrument(
    "spangate.config.last_reload_success", _G, "", "1 if the last reload succeeded, else 0."
)
GENERATION = Instrument(
    "spangate.config.generation", _G, "", "Number of the configuration in force; 1 is the first."
)
REFUSED = Instrument(
    "spangate.config.refused", _C, "{configuration}", "Configurations that a worker refused."
)
MAINTENANCE = Instrument(
    "spangate.maintenance", _G, "", "1 while routes to upstreams are closed by an operator, else 0."
)
EXPIRY = Instrument(
    "spangate.tls.certificate.expiry",
    _G,
    "s",
    "Unix time at which a certificate expires, by file and name.",
)
CREATED = Instrument(
    "spangate.export.created", _C, "{item}", "Items of telemetry offered to an exporter."
)
EXPORTED = Instrument("spangate.export.exported", _C, "{item}", "Items a collector accepted.")
DROPPED = Instrument("spangate.export.dropped", _C, "{item}", "Items lost, by reason.")
QUEUED = Instrument("spangate.export.queued", _G, "{item}", "Items batched, queued or being sent.")
RECORDED = Instrument(
    "spangate.records.created", _C, "{item}", "Spans and log records made by workers."
)
ON_LINK = Instrument(
    "spangate.link.pending",
    _G,
    "{item}",
    "Records that no collector has read yet.",
)
DISCOVERED = Instrument(
    "spangate.upstream.discovered", _G, "{endpoint}", "Servers that `discover` has found."
)
DISCOVERED_AT = Instrument(
    "spangate.upstream.discovered.time",
    _G,
    "s",
    "Unix time at which that was last found or confirmed.",
)
DISCOVERIES = Instrument(
    "spangate.upstream.discoveries", _C, "{lookup}", "Lookups of `discover`, by result."
)
DISCOVERY_CHANGES = Instrument(
    "spangate.upstream.discovery.changes", _C, "{change}", "Lookups that found something else."
)
JWKS_KEYS = Instrument(
    "spangate.jwks.keys", _G, "{key}", "Keys of an issuer that count, by the check they are for."
)
JWKS_AT = Instrument("spangate.jwks.time", _G, "s", "Unix time of the issuer's last good answer.")
JWKS_FETCHES = Instrument(
    "spangate.jwks.fetches", _C, "{fetch}", "Times that an issuer's keys were fetched, by result."
)
IDENTITY_EXPIRY = Instrument(
    "spangate.mesh.identity.expiry", _G, "s", "Unix time at which the own identity expires."
)
IDENTITY_RENEWALS = Instrument(
    "spangate.mesh.identity.renewals", _C, "{renewal}", "Renewals of the own identity, by result."
)
SOURCE_VERSION = Instrument(
    "spangate.source.version",
    _G,
    "",
    "Always 1; `version` is what of a source is in force, in all or of that `type` of resource.",
)
SOURCE_STATES = Instrument(
    "spangate.source.states", _C, "{state}", "States that a source gave; several become one."
)
SOURCE_UPDATES = Instrument(
    "spangate.source.updates", _C, "{update}", "Lists of servers that a source gave by themselves."
)
SOURCE_APPLIED = Instrument(
    "spangate.source.applied", _C, "{state}", "States of a source, by what became of them."
)
SOURCE_FAILURES = Instrument(
    "spangate.source.failures", _C, "{failure}", "Times that a source could not be asked."
)
SOURCE_UP = Instrument(
    "spangate.source.up", _G, "", "1 if the last that was heard of a source was no failure."
)
SOURCE_AGE = Instrument(
    "spangate.source.age", _G, "s", "Time since a source was last heard of.", divisor=1000
)
UP = Instrument(
    "spangate.upstream.endpoint.up", _G, "", "1 if active probes find the endpoint up, else 0."
)
PROBES = Instrument("spangate.upstream.probes", _C, "{probe}", "Active probes, by result.")
PROBE_FAILURES = Instrument(
    "spangate.upstream.probe.failures", _C, "{probe}", "Active probes that failed, by `error.type`."
)
CHANGES = Instrument(
    "spangate.upstream.endpoint.changes", _C, "{change}", "Changes between up and down."
)

EJECTED = Instrument(
    "spangate.upstream.endpoint.ejected", _G, "", "1 while it is out for its bad answers, else 0."
)
EJECTIONS = Instrument(
    "spangate.upstream.ejections", _C, "{ejection}", "Times that an endpoint was put out."
)
DRAINED = Instrument(
    "spangate.upstream.endpoint.drained", _G, "", "1 while an operator keeps requests from it."
)
BREAKER = Instrument(
    "spangate.upstream.breaker.open", _G, "{process}", "Workers whose breaker is not closed."
)
LIMIT = Instrument(
    "spangate.upstream.limit", _G, "", "Of each of an upstream's `limits`, what is in force."
)
LIMIT_USED = Instrument(
    "spangate.upstream.limit.used", _G, "", "How much of it is used, by all workers together."
)
BROKE = Instrument(
    "spangate.upstream.breaker.opened", _C, "{opening}", "Times that a worker's breaker opened."
)


def of_endpoint(key: tuple[str, str]) -> Attributes:
    """The labels of one, by its upstream's name and its URL."""
    _, host, port = parse_server(key[1])
    labels: Attributes = (("spangate.upstream", key[0]), ("server.address", host))
    return (*labels, ("server.port", port)) if port else labels  # a Unix socket has none


def build() -> Iterator[Series]:
    labels = (
        ("version", __version__),
        ("python.version", platform.python_version()),
        ("compiled", "false" if WHY_PLAIN else "true"),
    )
    yield Series(BUILD, labels, 1)


def reloads(succeeded: int, failed: int, last: bool) -> Iterator[Series]:
    yield Series(RELOADS, (("result", "success"),), succeeded)
    yield Series(RELOADS, (("result", "failure"),), failed)
    yield Series(RELOAD_FAILED, (), failed)
    yield Series(LAST_RELOAD, (), int(last))


def generation(number: int, refused: int) -> Iterator[Series]:
    yield Series(GENERATION, (), number)
    yield Series(REFUSED, (), refused)


def sources(known: Sequence[tuple[str, Counts]]) -> Iterator[Series]:
    """Those of one instrument together."""
    found = [series for name, counts in known for series in _source((("source", name),), counts)]
    of: dict[str, list[Series]] = {}
    for series in found:
        of.setdefault(series[0].name, []).append(series)
    for several in of.values():
        yield from several


def _source(labels: Attributes, counts: Counts) -> Iterator[Series]:
    for kind, version in {"": counts.version, **counts.versions}.items():
        if version:
            yield Series(SOURCE_VERSION, (*labels, ("type", kind), ("version", version)), 1)
    yield Series(SOURCE_STATES, labels, counts.states)
    yield Series(SOURCE_UPDATES, labels, counts.updates)
    yield Series(SOURCE_APPLIED, (*labels, ("result", "applied")), counts.applied)
    yield Series(SOURCE_APPLIED, (*labels, ("result", "refused")), counts.refused)
    yield Series(SOURCE_FAILURES, labels, counts.failures)
    yield Series(SOURCE_UP, labels, int(counts.answers))
    if counts.age is not None:
        yield Series(SOURCE_AGE, labels, round(counts.age * 1000))


def maintenance(on: bool) -> Iterator[Series]:
    yield Series(MAINTENANCE, (), int(on))


def certificates(material: Material) -> Iterator[Series]:
    """When those that the gateway shows expire."""
    for said, certified in material.certificates.items():
        file = said.partition("\n")[0]
        name = next(iter([*certified.names, *certified.uris]), "")
        labels: Attributes = (("spangate.tls.file", file), ("spangate.tls.name", name))
        yield Series(EXPIRY, labels, int(certified.expires))


def processes(slots: Iterable[Slot], alive: Iterable[Worker]) -> Iterator[Series]:
    """Memory, CPU and files of hub and workers, and how many workers there are."""
    if (own := usage(os.getpid())) is not None:
        yield from _process((("spangate.process", "hub"),), own, 0.0)
    for slot in slots:
        labels: Attributes = (("spangate.process", "worker"), ("spangate.worker", slot.number))
        now = usage(slot.current.pid) if slot.current is not None else None
        yield from _process(labels, now or Usage(0, 0.0, 0, 0), slot.cpu_spent)
        yield Series(RESTARTS, (("spangate.worker", slot.number),), slot.restarts)
    states = [worker.state for worker in alive]
    for state in (WorkerState.STARTING, WorkerState.READY, WorkerState.DRAINING):
        yield Series(WORKERS, (("state", state.name.lower()),), states.count(state))


def collector(process: Collector) -> Iterator[Series]:
    """The collector, where it has a process of its own."""
    now = usage(process.pid) if process.pid else None
    if now is not None or process.restarts:
        labels: Attributes = (("spangate.process", "collector"),)
        yield from _process(labels, now or Usage(0, 0.0, 0, 0), process.cpu_spent)
    yield Series(COLLECTOR_RESTARTS, (), process.restarts)


def queues(process: Bus) -> Iterator[Series]:
    """The process of message queues, where there is one or was."""
    now = usage(process.pid) if process.pid else None
    if now is None and not process.restarts:
        return
    labels: Attributes = (("spangate.process", "messaging"),)
    yield from _process(labels, now or Usage(0, 0.0, 0, 0), process.cpu_spent)
    yield Series(MESSAGING_RESTARTS, (), process.restarts)


def ledgers(books: Iterable[Standing]) -> Iterator[Series]:
    """created = exported + dropped + queued in each ledger, read in one go."""
    for book in books:
        labels: Attributes = (("signal", book.signal), ("exporter", book.exporter))
        yield Series(CREATED, labels, book.created)
        yield Series(EXPORTED, labels, book.exported)
        yield Series(QUEUED, labels, book.queued)
        for reason, items in book.dropped.items():
            yield Series(DROPPED, (*labels, ("reason", reason)), items)


def _process(labels: Attributes, now: Usage, spent: float) -> Iterator[Series]:
    yield Series(MEMORY, labels, now.resident)
    yield Series(CPU, labels, round((now.cpu + spent) * 1_000_000))
    yield Series(FILES, labels, now.files)
    yield Series(MOST_FILES, labels, now.most_files)
