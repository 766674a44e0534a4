"""ADS in the incremental variant: requests add and take away names, responses have changes alone.

What is had is said once, by versions of resources in the first request of a stream, so that a
server sends what has changed meanwhile and nothing else.
"""

from __future__ import annotations

from typing import Any

from proxy.sources.xds.kinds import BY_URL, KINDS, Kind
from proxy.sources.xds.protos import V3, message
from proxy.sources.xds.state import Arrived
from proxy.sources.xds.unwrap import unwrap_named


class Delta:
    """Implements session.Stream."""

    METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
    RESPONSE = f"{V3}.DeltaDiscoveryResponse"

    def __init__(self, node: Any) -> None:
        self._node = node
        self._is_first = True
        self._names: dict[Kind, frozenset[str] | None] = {}  # None = all
        self._have: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}

    def open(self, have: dict[Kind, dict[str, str]]) -> None:
        """A new stream; `have` is the version of each resource that is there."""
        self._is_first = True
        self._names = {}
        self._have = have

    def subscribe(self, kind: Kind, names: frozenset[str] | None) -> list[Any]:
        """Ask for these from now on. Nothing, if that is what was asked for already."""
        known = self._names.get(kind, frozenset())
        is_new = kind not in self._names
        if (is_new and names is not None and not names) or (not is_new and known == names):
            return []
        self._names[kind] = names
        request = self._request(kind)
        if names is not None and known is not None:
            request.resource_names_subscribe.extend(sorted(names - known))
            request.resource_names_unsubscribe.extend(sorted(known - names))
        if is_new:
            request.initial_resource_versions.update(self._have.get(kind, {}))
        return [request]

    def read(self, response: Any) -> tuple[Arrived | None, str, str]:
        """(resources, nonce, version)."""
        kind = BY_URL.get(response.type_url)
        if kind is None or kind not in self._names:
            return None, response.nonce, response.system_version_info
        resources, faults = unwrap_named(kind, response.resources)
        arrived = Arrived(kind, resources, tuple(response.removed_resources), False, faults)
        return arrived, response.nonce, response.system_version_info

    def ack(self, kind: Kind, nonce: str) -> list[Any]:
        return [self._request(kind, nonce)]

    def nack(self, kind: Kind, nonce: str, reason: str) -> list[Any]:
        request = self._request(kind, nonce)
        request.error_detail.code = 3  # INVALID_ARGUMENT
        request.error_detail.message = reason
        return [request]

    def _request(self, kind: Kind, nonce: str = "") -> Any:
        request = message(f"{V3}.DeltaDiscoveryRequest")(type_url=kind.url, response_nonce=nonce)
        if self._is_first:
            request.node.CopyFrom(self._node)
            self._is_first = False
        return request
