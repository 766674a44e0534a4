"""Which names a listener and a route have in common, and which one of two listeners is meant.

https://gateway-api.sigs.k8s.io/reference/spec/ (Hostname, HTTPRouteSpec.hostnames): "*.example.com"
stands for one label or more in front, never for "example.com" itself.
"""

from __future__ import annotations

from collections.abc import Sequence

ANY = "*"  # as routes of this gateway write it


def intersection(listener: str, route: Sequence[str]) -> list[str]:
    """The hosts that a route has at a listener; "" of a listener is any. [] = none, which is not
    the same as [ANY]."""
    listener = listener.lower()
    if not route:
        return [listener or ANY]
    common = (_both(listener, name.lower()) for name in route)
    return list(dict.fromkeys(name for name in common if name))


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` means is meant by `wide`; "" and ANY are any."""
    if wide in ("", ANY) or wide == narrow:
        return True
    if narrow in ("", ANY) or not wide.startswith("*."):
        return False
    name = narrow.removeprefix("*")
    return name.endswith(wide[1:]) and name != wide[1:]


def _both(listener: str, name: str) -> str:
    if covers(listener, name):
        return name
    return listener if covers(name, listener) else ""
