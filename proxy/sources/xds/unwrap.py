"""From the bytes of a response to messages with names; what cannot be read is told by its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.sources.xds.kinds import WRAPPER, Kind
from proxy.sources.xds.protos import V3, message, unpacked

Named = list[tuple[str, str, Any]]  # name, version, message


def unwrap(kind: Kind, packed: Iterable[Any], version: str) -> tuple[Named, list[str]]:
    """Resources of the state of the world, each an Any that may be wrapped once more."""
    found: Named = []
    faults: list[str] = []
    for one in packed:
        if one.type_url == WRAPPER:
            wrapped = message(f"{V3}.Resource")()
            try:
                wrapped.ParseFromString(one.value)
            except Exception:  # DecodeError of either runtime  # noqa: BLE001
                faults.append(f"{kind.word}: a Resource cannot be decoded")
                continue
            inner, more = unwrap_named(kind, [wrapped])
            found += inner
            faults += more
            continue
        _add(kind, one, version, "", found, faults)
    return found, faults


def unwrap_named(kind: Kind, resources: Iterable[Any]) -> tuple[Named, list[str]]:
    """Resources of the incremental variant, which have their names and versions outside."""
    found: Named = []
    faults: list[str] = []
    for one in resources:
        if one.HasField("ttl"):
            faults.append(f"{kind.word} {one.name!r}: Resource.ttl is not supported")
        elif one.HasField("resource"):
            _add(kind, one.resource, one.version, one.name, found, faults)
    return found, faults


def _add(kind: Kind, packed: Any, version: str, name: str, found: Named, faults: list[str]) -> None:
    if packed.type_url != kind.url:
        faults.append(f"{kind.word} {name!r}: it is a {packed.type_url or 'nothing'}")
        return
    try:
        made = unpacked(packed)
    except ValueError as error:
        faults.append(f"{kind.word} {name!r}: {error}")
        return
    own = getattr(made, kind.names)
    if name and own and own != name:
        faults.append(f"{kind.word} {name!r}: it calls itself {own!r}")
        return
    if not (name or own):
        faults.append(f"{kind.word}: one has no name")
        return
    found.append((name or own, version, made))
