"""The servers of a service: the union of its EndpointSlices. Pure.

Those that are ready get requests. Where none is, those that still serve while they are being ended
do (KEP-1672), so that a rollout of one replica loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from proxy.sources.kubernetes.core_objects import Endpoint, EndpointSlice
from proxy.sources.kubernetes.kinds import Broken


def servers(slices: Iterable[EndpointSlice | Broken], port: str, scheme: str) -> dict[str, int]:
    """URLs with weights of the endpoints that have the port of this name, "" = without a name."""
    ready: dict[str, int] = {}
    ending: dict[str, int] = {}
    for one in slices:
        if isinstance(one, Broken) or one.address_type not in ("IPv4", "IPv6"):
            continue
        numbers = [
            found.port
            for found in one.ports or ()
            if (found.name or "") == port and found.port and (found.protocol or "TCP") == "TCP"
        ]
        if not numbers:
            continue
        for endpoint in one.endpoints or ():
            where = _where(endpoint, ready, ending)
            if where is not None and (url := _url(endpoint, numbers[0], scheme)):
                where[url] = 1
    return ready or ending


def _where(
    endpoint: Endpoint, ready: dict[str, int], ending: dict[str, int]
) -> dict[str, int] | None:
    said = endpoint.conditions
    if said.ready is not False and said.terminating is not True:
        return ready
    if said.terminating and (said.serving or (said.serving is None and said.ready)):
        return ending
    return None


def _url(endpoint: Endpoint, port: int, scheme: str) -> str:
    try:
        address = ip_address(endpoint.addresses[0])
    except (IndexError, ValueError):
        return ""
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{scheme}://{host}:{port}"
