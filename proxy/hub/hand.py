"""What operators change by the admin port: implements `admin.view.Hand`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from proxy.errors import Problem
from proxy.hub.parts import Reloading, Whole
from proxy.upstream.endpoint import Endpoint

log = logging.getLogger("spangate")


class Hand:
    """One hub's."""

    def __init__(self, hub: Whole) -> None:
        self._hub = hub

    def drain(self, upstream: str, endpoint: str, drained: bool) -> str:
        """See `admin.view.Hand`."""
        url = self._find(upstream, endpoint)
        member = self._hub.roster.get((upstream, url))
        assert member is not None
        what = "drained" if drained else "undrained"
        if member.drained == drained:
            return f"upstream {upstream}: {url} was {what} already"
        self._hub.roster.drain((upstream, url), drained)
        log.warning(
            "upstream %s: %s is %s by an operator",
            upstream,
            url,
            what,
            extra={"key": "endpoint.drained" if drained else "endpoint.undrained"},
        )
        return f"upstream {upstream}: {url} is {what}"

    async def reload(self) -> tuple[int, Mapping[str, Any]]:
        """See `admin.view.Hand`."""
        return await _reload(self._hub)

    def _find(self, upstream: str, endpoint: str) -> str:
        urls = list(self._hub.roster.of(upstream))
        if not urls:
            raise LookupError(f"there is no upstream {upstream!r}")
        if endpoint in urls:
            return endpoint
        found = [url for url in urls if endpoint in (_place(url), Endpoint(url).authority)]
        if len(found) != 1:
            many = "it is several endpoints" if found else "there is no endpoint"
            raise LookupError(f"{many} {endpoint!r} of upstream {upstream!r}: {', '.join(urls)}")
        return found[0]


class CollectHand:
    """That of a collector alone, which has no upstreams."""

    def __init__(self, hub: Reloading) -> None:
        self._hub = hub

    def drain(self, upstream: str, endpoint: str, drained: bool) -> str:
        """See `admin.view.Hand`."""
        raise LookupError("a collector has no upstreams")

    async def reload(self) -> tuple[int, Mapping[str, Any]]:
        """See `admin.view.Hand`."""
        return await _reload(self._hub)


async def _reload(hub: Reloading) -> tuple[int, Mapping[str, Any]]:
    log.info("a reload was asked for by the admin port", extra={"key": "reload.asked"})
    outcome = await hub.reloader.ask()
    answer: dict[str, Any] = {"generation": outcome.generation}
    if outcome.reasons:
        answer["errors"] = [_told(reason) for reason in outcome.reasons]
    else:
        answer["warnings"] = [_told(warning) for warning in outcome.warnings]
    return outcome.status, answer


def _told(reason: object) -> dict[str, Any]:
    if not isinstance(reason, Problem):
        return {"message": str(reason)}
    found = {"file": reason.file, "line": reason.line, "key": reason.key}
    return {**found, "message": reason.message, "remedy": reason.remedy}


def _place(url: str) -> str:
    """`host:port`, whatever port is usual."""
    endpoint = Endpoint(url)
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"
