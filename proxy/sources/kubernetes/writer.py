"""Writes statuses back: only what has changed, over nobody's newer state, and never in a circle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from proxy.sources.asking import Trouble
from proxy.sources.kubernetes import statuses
from proxy.sources.kubernetes.api import Absent, Api, Conflict
from proxy.sources.kubernetes.conditions import Told
from proxy.sources.kubernetes.kinds import KINDS, Key, path_of, read
from proxy.sources.kubernetes.outcome import GatewayTold, Outcome, PolicyTold, RouteTold
from proxy.sources.kubernetes.statuses import Patch
from proxy.sources.kubernetes.store import Store
from proxy.sources.kubernetes.world import Terms
from proxy.tasks import gently

AT_ONCE = 8  # objects
TRIES = 5  # of one object that somebody else changes meanwhile
AGAIN = 30.0  # seconds until the same status is written again that did not stay

Make = Callable[[Any, str], "Patch | None"]  # of the object as it is, and the time


class _Job(NamedTuple):
    kind: str
    key: Key
    make: Make
    generation: int  # of the object that was judged


class Writer:
    """Of one source."""

    def __init__(self, api: Api, store: Store, terms: Terms) -> None:
        self._api = api
        self._store = store
        self._terms = terms
        self._versions: dict[str, str] = {}  # of the kinds, as they were found
        self._last: dict[tuple[str, Key], tuple[object, float]] = {}  # written, and when
        self.faults: dict[str, str] = {}  # by kind, why one of them could not be written
        self.is_behind = False  # something is to be written still, though nothing is wrong

    async def write(self, outcome: Outcome, refused: str) -> None:
        """All that differs. `refused`: why the state did not come into force, "" = it did."""
        jobs: list[_Job] = []
        faults: dict[str, str] = {}
        self.is_behind = False
        async for job in gently(self._jobs(outcome, refused)):
            if self._patch(job)[1] is not None:
                jobs.append(job)
                if len(jobs) == AT_ONCE:
                    await self._do_all(jobs, faults)
                    jobs.clear()
        await self._do_all(jobs, faults)
        self.faults = faults

    def _jobs(self, outcome: Outcome, refused: str) -> Iterator[_Job]:
        for kind, key, make in self._makers(outcome, refused):
            judged = outcome.world.get(kind, *key)
            if judged is not None:
                yield _Job(kind, key, make, judged.metadata.generation)

    def _makers(self, outcome: Outcome, refused: str) -> Iterator[tuple[str, Key, Make]]:
        controller, addresses = self._terms.controller, self._terms.addresses
        for key, told in outcome.classes.items():
            yield "GatewayClass", key, partial(_class, told)
        for key, gateway in outcome.gateways.items():
            yield "Gateway", key, partial(_gateway, gateway, refused, addresses)
        for (kind, key), route in outcome.routes.items():
            yield kind, key, partial(_route, route, controller)
        for key, policy in outcome.policies.items():
            yield "BackendTLSPolicy", key, partial(_policy, policy, controller)
        for key in outcome.ingresses:
            yield "Ingress", key, partial(_ingress, addresses)

    def _patch(self, job: _Job) -> tuple[Any, Patch | None]:
        """The object as it is now, and what is to be changed in its status. Nothing where it is
        another one than was judged: what is said of that is made of the next state."""
        found = self._store.objects.get(job.kind, {}).get(job.key)
        if found is None or found.metadata.generation != job.generation:
            return found, None
        return found, job.make(found, _now())

    async def _do_all(self, jobs: Sequence[_Job], faults: dict[str, str]) -> None:
        for job, why in zip(jobs, await asyncio.gather(*map(self._do, jobs)), strict=True):
            if why:
                faults.setdefault(job.kind, f"statuses of {job.kind}: {why}")

    async def _do(self, job: _Job) -> str:
        """One object; what somebody else has changed meanwhile is read again. Why it could not be
        written, "" = it was, or there was nothing to write."""
        try:
            for _ in range(TRIES):
                found, patch = self._patch(job)
                if patch is None:
                    return ""
                if self._was_written(job, patch):
                    self.is_behind = True
                    return ""
                await self._write(job, found, patch)
        except Absent:
            return ""  # it is gone
        except Trouble as trouble:
            return str(trouble)
        if self._patch(job)[1] is None:
            return ""
        return f"{'/'.join(job.key)}: others change it all the time (409)"

    async def _write(self, job: _Job, found: Any, patch: Patch) -> None:
        path = await self._path(job)
        try:
            body = await self._api.patch_status(path, patch)
        except Conflict:
            body = await self._api.get(path)
        else:
            self._last[job.kind, job.key] = (_content(patch["status"]), time.monotonic())
        self._keep(job, found, body)

    def _was_written(self, job: _Job, patch: Patch) -> bool:
        """Whether it is what was written a short time ago and did not stay as it was."""
        content, at = self._last.get((job.kind, job.key), (None, 0.0))
        return content == _content(patch["status"]) and time.monotonic() - at < AGAIN

    def _keep(self, job: _Job, before: Any, body: bytes) -> None:
        found = read(KINDS[job.kind], body)
        if found is not None:
            self._store.renew(job.kind, job.key, before, found)

    async def _path(self, job: _Job) -> str:
        kind = KINDS[job.kind]
        version = self._versions.get(job.kind)
        if version is None:
            version = self._versions[job.kind] = await self._version(kind.name)
        return f"{path_of(kind, version, job.key[0])}/{job.key[1]}"

    async def _version(self, name: str) -> str:
        kind = KINDS[name]
        for version in kind.versions[:-1]:
            try:
                await self._api.get(f"{path_of(kind, version)}?limit=1")
            except Absent:
                continue
            return version
        return kind.versions[-1]


def _class(told: Sequence[Told], found: Any, now: str) -> Patch | None:
    return statuses.of_class(found, told, now)


def _gateway(
    told: GatewayTold, refused: str, addresses: Sequence[str], found: Any, now: str
) -> Patch | None:
    return statuses.of_gateway(found, told, refused, addresses, now)


def _route(told: RouteTold, controller: str, found: Any, now: str) -> Patch | None:
    return statuses.of_route(found, told, controller, now)


def _policy(told: PolicyTold, controller: str, found: Any, now: str) -> Patch | None:
    return statuses.of_policy(found, told, controller, now)


def _ingress(addresses: Sequence[str], found: Any, now: str) -> Patch | None:
    return statuses.of_ingress(found, addresses)


def _content(status: Any) -> object:
    """Without the times, which differ each time."""
    if isinstance(status, dict):
        return {k: _content(v) for k, v in status.items() if k != "lastTransitionTime"}
    return [_content(one) for one in status] if isinstance(status, list) else status


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
