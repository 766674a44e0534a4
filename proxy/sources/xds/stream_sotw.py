"""ADS in the variant of the state of the world: each request has all names that are wanted.

A request is an acknowledgement (the newest nonce, and the version that it brought), a refusal (the
nonce, the version before it, the reason) or another list of names, which counts as an
acknowledgement if the nonce is the newest. So nothing is sent of a kind between a response and its
answer: another list of names answers it. Nonces end with the stream, versions do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.sources.xds.kinds import BY_URL, KINDS, Kind
from proxy.sources.xds.protos import V3, message
from proxy.sources.xds.state import Arrived
from proxy.sources.xds.unwrap import unwrap


@dataclass(slots=True)
class Topic:
    """What one stream has said of one kind."""

    names: frozenset[str] | None = frozenset()  # None = all
    asked: bool = False
    nonce: str = ""  # of the newest response
    version: str = ""  # that was accepted last
    before: str = ""  # the one before it
    newest: str = ""  # of the newest response
    owed: bool = False  # it is not answered yet

    def accept(self) -> None:
        self.before, self.version, self.owed = self.version, self.newest, False


class Sotw:
    """Implements session.Stream."""

    METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
    RESPONSE = f"{V3}.DiscoveryResponse"

    def __init__(self, node: Any) -> None:
        self._node = node
        self._topics = {kind: Topic() for kind in KINDS}
        self._is_first = True

    def open(self, have: dict[Kind, dict[str, str]]) -> None:
        """A new stream; what is had counts by the version of its last response."""
        self._is_first = True
        for topic in self._topics.values():
            topic.asked = topic.owed = False
            topic.nonce = ""

    def subscribe(self, kind: Kind, names: frozenset[str] | None) -> list[Any]:
        """Ask for these from now on. Nothing, if that is what was asked for already."""
        topic = self._topics[kind]
        if topic.asked and topic.names == names:
            return []
        if not topic.asked and names is not None and not names:
            return []  # an empty first request would mean all
        topic.names = names
        topic.asked = True
        if topic.owed:
            topic.accept()
        return [self._request(kind, topic)]

    def read(self, response: Any) -> tuple[Arrived | None, str, str]:
        """(resources, nonce, version)."""
        kind = BY_URL.get(response.type_url)
        if kind is None or not self._topics[kind].asked:
            return None, response.nonce, response.version_info
        topic = self._topics[kind]
        topic.nonce = response.nonce
        topic.newest = response.version_info
        topic.owed = True
        resources, faults = unwrap(kind, response.resources, response.version_info)
        arrived = Arrived(kind, resources, (), kind.whole, faults)
        return arrived, response.nonce, response.version_info

    def ack(self, kind: Kind, nonce: str) -> list[Any]:
        topic = self._topics[kind]
        if nonce != topic.nonce or not topic.owed:
            return []
        topic.accept()
        return [self._request(kind, topic)]

    def nack(self, kind: Kind, nonce: str, reason: str) -> list[Any]:
        topic = self._topics[kind]
        if nonce != topic.nonce:
            return []
        if not topic.owed and topic.version == topic.newest and topic.before != topic.newest:
            topic.version = topic.before  # it was accepted, and is not any more
        topic.owed = False
        request = self._request(kind, topic)
        request.error_detail.code = 3  # INVALID_ARGUMENT
        request.error_detail.message = reason
        return [request]

    def _request(self, kind: Kind, topic: Topic) -> Any:
        request = message(f"{V3}.DiscoveryRequest")(
            type_url=kind.url, version_info=topic.version, response_nonce=topic.nonce
        )
        request.resource_names.extend(sorted(topic.names or ()))
        if self._is_first:
            request.node.CopyFrom(self._node)
            self._is_first = False
        return request
