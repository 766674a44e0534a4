"""From a Config to a Snapshot, a route at a time, so that requests are served meanwhile.

`Compiler.steps` is a generator: whoever drives it decides how much is done in one turn of the
loop. What equal routes have in common (targets, samplers, labels) is made once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proxy.config.attributes import from_labels
from proxy.config.effective import effective
from proxy.config.error_model import ErrorPage, Errors, RouteErrors
from proxy.config.material import NONE, Material
from proxy.config.mesh_names import APP, AWAY, BYTES, PEERS
from proxy.config.messaging_names import DELIVERY
from proxy.config.model import Compress, Config, Mirror, Redirect, Respond, Retry, Route
from proxy.config.observe import Propagate
from proxy.config.own_fields import own_fields
from proxy.http.head import RequestHead
from proxy.http.target import without_port
from proxy.routing.pattern import parse
from proxy.routing.rewrite import compile_redirect
from proxy.routing.table import TableBuilder
from proxy.server.choosing import reader
from proxy.server.maintenance import Closed, is_closable
from proxy.server.reply import Reply
from proxy.server.snapshot import Answer, Captures, RouteEntry, Snapshot, Target
from proxy.server.tcp_routes import compile_streams
from proxy.server.tls_keyring import Contexts, Keyring
from proxy.telemetry.blocks import ALL, OWN, TRIES, RouteBlocks
from proxy.tracing.propagate import Injector
from proxy.tracing.sampling import Kind, Sampler
from proxy.upstream.state import Plan, Upstreams
from proxy.upstream.waiting import NAMES

_ONCE = Retry(times=0)  # nobody waits for a copy, so it is not tried again


class Compiler:
    """One configuration on its way into force; `snapshot`, `plan` and `tls` are there when all
    steps are done. Raises ValueError for what a config check would have refused."""

    def __init__(
        self,
        config: Config,
        upstreams: Upstreams,
        keyring: Keyring | None = None,
        material: Material = NONE,
        house: Any = None,
    ) -> None:
        self.config = config
        self.tls = Contexts()
        self._keyring = keyring
        self._material = material
        self.plan = Plan()
        self.snapshot: Snapshot | None = None
        self._upstreams = upstreams
        self._own_fields = own_fields(config)
        self._samplers: dict[tuple[Kind, float], Sampler] = {}
        self._targets: dict[object, Target] = {}
        self._injectors: dict[tuple[bool, bool], Injector] = {}
        self._labels = self._with_attributes(config.labels)
        self._house = house  # what checks of who may come in ask by
        self._checks: Any = None
        self._errors: Any = None  # Pages of [errors]

    def steps(self) -> Iterator[None]:
        """Do all of it, yielding after each small part."""
        config = self.config
        yield from self.plan.compare(self._upstreams, config.upstream)
        self._prepare_errors()
        entries = []
        for route in config.route:
            entries.append(self._entry(route))
            yield
        table = TableBuilder(config.route)
        yield from table.steps()
        if self._keyring is not None:
            yield from self._keyring.make(config, self._material, self.tls)
        sampler = self._sampler(config.tracing.sampler, config.tracing.sample)
        compiled = table.table()
        yield
        snapshot = Snapshot(config, sampler, entries, compiled)
        yield
        snapshot.errors = self._errors
        for address, streams in compile_streams(config, self._entry):
            snapshot.streams[address] = streams
            yield
        self.snapshot = snapshot

    def run(self) -> Snapshot:
        """All steps at once."""
        for _ in self.steps():
            pass
        assert self.snapshot is not None
        return self.snapshot

    def _entry(self, route: Route) -> RouteEntry:
        config = self.config
        pattern = parse(route.path)
        labels = self._labels
        if route.labels:
            labels = self._with_attributes({**config.labels, **route.labels})
        template = pattern.template
        parts, message = _message(route, pattern.captures)
        name = route.name or route.path
        blocks = RouteBlocks(name, template, labels, _rewritten(route), parts)
        if config.mesh is not None:
            blocks.services = services_of(config)
        trace = route.trace
        sampler = self._sampler(
            trace.sampler or config.tracing.sampler,
            config.tracing.sample if trace.sample is None else trace.sample,
        )
        targets = {name: self._target(route, name) for name in route.to}
        answer = _answer(route, pattern.captures)
        entry = RouteEntry(route, blocks, sampler, targets, answer, self._own_fields)
        if route.compress is not None:
            entry.compression = _compressing(route.compress)
        if route.rate:
            entry.rates = _rates(route)
        if (access := self._access(route)) is not None:
            entry.guard(access)
        if message is not None:
            entry.of_queue(message)
        if route.mirror is not None:
            entry.mirror = self._mirroring(route, route.mirror)
        if route.split is not None:
            entry.sticky = reader(route.split.sticky)
        entry.errors = self._errors if route.errors is None else self._pages(route.errors)
        if is_closable(route):
            entry.maintenance = self._always if route.maintenance else self._closed
        return entry

    def _access(self, route: Route) -> object:
        use = self.config.defaults.auth if route.auth is None else route.auth
        said = route.allow or route.deny or route.cors or route.secure_headers
        mesh, most = self.config.mesh, self.config.limits.per_client.requests
        if use is None and not said and not most and (mesh is None or not mesh.allow):
            return None
        if self._checks is None:
            from proxy.access.made import Made
            from proxy.server.access import Checks  # which few configurations need

            made = Made(self._material, os.urandom(32), self._house, self._asking)
            self._checks = Checks(self.config, made)
        return self._checks.access(route)

    def _asking(self, upstream: str) -> Target:
        """For questions of checks to that upstream."""
        values = effective(self.config, Route(), upstream)
        return Target(self.plan.states[upstream], values, self._injector(values.propagate))

    def _prepare_errors(self) -> None:
        """What all routes have in common of failures."""
        self._closed, self._always = Closed(self.config, False), Closed(self.config, True)
        if self.config.errors.pages:
            self._errors = self._pages(self.config.errors)

    def _pages(self, said: Errors | RouteErrors) -> Any:
        from proxy.server.error_pages import Asking, compiled  # which few configurations need

        def asking(page: ErrorPage) -> Asking:
            values = effective(self.config, Route(), page.upstream)
            injector = self._injector(values.propagate)
            target = Target(self.plan.states[page.upstream], values, injector)
            return Asking(target, page.path, self.config.errors.timeout)

        takes = self.config.errors.intercept
        return compiled(said, self._material.pages, asking, self._errors, takes)

    def _with_attributes(self, labels: dict[str, str]) -> dict[str, str]:
        return {**labels, **from_labels(self.config.attributes, labels)}

    def _sampler(self, kind: Kind, ratio: float) -> Sampler:
        sampler = self._samplers.get((kind, ratio))
        if sampler is None:
            sampler = self._samplers[(kind, ratio)] = Sampler(kind, ratio)
        return sampler

    def _target(self, route: Route, name: str) -> Target:
        """Routes that say the same about an upstream share what holds for it."""
        key = (
            name,
            route.timeout,
            route.connect_timeout,
            route.tls_timeout,
            route.first_byte_timeout,
            route.idle_timeout,
            route.stream_timeout,
            route.body_limit,
            None if route.retry is None else id(route.retry),  # it lives as long as the config
            route.propagate,
            route.priority,
        )
        target = self._targets.get(key)
        if target is None:
            values = effective(self.config, route, name)
            injector = self._injector(values.propagate)
            state = self.plan.states[name]
            target = self._targets[key] = Target(state, values, injector)
            target.bounds = state.bound(self.config.upstream[name])
            target.priority = NAMES.index(route.priority)
        return target

    def _mirroring(self, route: Route, mirror: Mirror) -> object:
        from proxy.server.mirrors import Mirroring  # which few configurations need

        target = self._target(msgspec.structs.replace(route, retry=_ONCE), mirror.to)
        return Mirroring(target, mirror.share)

    def _injector(self, propagate: Propagate) -> Injector:
        """One of three."""
        drop, state = propagate.context == "drop", propagate.tracestate is True
        injector = self._injectors.get((drop, state))
        if injector is None:
            tracing = self.config.tracing
            formats = [] if drop else tracing.inject
            injector = Injector(formats, random_flag=tracing.random_flag, state=state)
            self._injectors[(drop, state)] = injector
        return injector


def services_of(config: Config) -> dict[str, str]:
    """Which services are behind a sidecar's own upstreams; "" = it depends on who is called."""
    own = str(config.resource.get("service.name", ""))
    away = dict.fromkeys((AWAY, AWAY + BYTES, PEERS, PEERS + BYTES), "")
    return {APP: own or APP, APP + BYTES: own or APP, **away}


def _compressing(said: Compress) -> object:
    from proxy.server.compressing import Compressing  # which few configurations need

    return Compressing(said)


def _rates(route: Route) -> object:
    from proxy.server.rates import Rates  # as above

    return Rates(route)


def _message(route: Route, captures: tuple[str, ...]) -> tuple[int, Any]:
    """What is recorded of its requests, and what makes them ones of message queues."""
    if route.publish is None and route.when.listener != DELIVERY:
        return ALL, None
    from proxy.server.messages import Delivering, Publishing  # as above

    if route.publish is not None:
        return OWN, Publishing(route.publish, captures)
    return TRIES, Delivering()


def _rewritten(route: Route) -> str | None:
    """url.template of the CLIENT span, None = the same as http.route."""
    rewrite = route.rewrite
    if rewrite is None:
        return None
    if rewrite.path is not None:
        return rewrite.path
    if rewrite.strip is not None:
        return route.path.removeprefix(rewrite.strip.rstrip("/")) or "/"
    return (rewrite.prefix or "").rstrip("/") + "/*"


def _answer(route: Route, captures: Sequence[str]) -> Answer | None:
    if route.respond is not None:
        reply = _fixed(route.respond)
        return lambda head, captures: reply
    if route.redirect is not None:
        return _moved(route.redirect, captures)
    return None


def _fixed(respond: Respond) -> Reply:
    if respond.grpc_health:  # to what is no gRPC call
        return Reply(415, [(b"content-type", b"text/plain")], b"gRPC health checks alone\n")
    headers = [(b"content-type", b"text/plain; charset=utf-8")] if respond.body else []
    return Reply(respond.status, headers, respond.body.encode())


def _moved(redirect: Redirect, names: Sequence[str]) -> Answer:
    location = compile_redirect(redirect, names)

    def answer(head: RequestHead, captures: Captures) -> Reply:
        host = without_port(head.authority)
        to = location(head.path, head.tail, captures, host).encode("ascii")
        return Reply(redirect.status, [(b"location", to)], b"")

    return answer
