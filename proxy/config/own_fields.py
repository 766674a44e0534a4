"""Request fields that the gateway writes itself, which edits of a route therefore cannot touch.

One table for both who tell it (`spangate check`) and who act by it (the compiled edits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.effective import effective
from proxy.config.model import Config, Route

if TYPE_CHECKING:  # workers report nothing
    from proxy.config.locate import Path
    from proxy.config.report import Report

_CONTEXT = 'write propagate = { context = "drop" } to send none, [tracing] inject for other formats'
_ALWAYS = {
    "baggage": "write propagate = { baggage = false } to send none",
    "b3": _CONTEXT,
    "traceparent": _CONTEXT,
    "tracestate": "write propagate = { tracestate = false } to send none",
    "x-b3-flags": _CONTEXT,
    "x-b3-parentspanid": _CONTEXT,
    "x-b3-sampled": _CONTEXT,
    "x-b3-spanid": _CONTEXT,
    "x-b3-traceid": _CONTEXT,
}
_X_FORWARDED = "with [forwarding] x_forwarded = false it is yours"


def own_fields(config: Config) -> dict[str, str]:
    """By lower-case name, what to write instead of an edit."""
    forwarding = config.forwarding
    own = dict(_ALWAYS)
    if forwarding.x_forwarded:
        own |= dict.fromkeys(
            ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"), _X_FORWARDED
        )
    if forwarding.forwarded:
        own["forwarded"] = "with [forwarding] forwarded = false it is yours"
    if forwarding.via:
        own["via"] = '[forwarding] via = "" sends none'
    if forwarding.deadline:
        own["x-request-deadline"] = "with [forwarding] deadline = false it is yours"
    if forwarding.request_id:
        own["x-request-id"] = "with [forwarding] request_id = false it is yours"
    return own


def check_own_fields(route: Route, path: Path, config: Config, report: Report) -> None:
    """Warn about edits of `route`, which is at `path`, that have no effect."""
    edit = route.headers.request
    if not (edit.set or edit.add or edit.remove):
        return  # as most
    own = own_fields(config)
    places: list[tuple[str, Path]] = [(name, ("set", name)) for name in edit.set]
    places += [(name, ("add", name)) for name in edit.add]
    kept = _kept_away(route, config)
    places += [(n, ("remove", i)) for i, n in enumerate(edit.remove) if n and n.lower() not in kept]
    for name, place in places:
        where = (*path, "headers", "request", *place)
        remedy = own.get(name.lower())
        if remedy is not None:
            message = f"{name} is written by the gateway alone, so this has no effect"
            report.warn(where, message, remedy)


def _kept_away(route: Route, config: Config) -> set[str]:
    """Fields that `propagate` sends to none of the route's upstreams: removing them is idle, but
    says what is so."""
    said = [effective(config, route, name).propagate for name in route.to]
    kept: set[str] = set()
    if all(propagate.context == "drop" for propagate in said):
        kept |= _ALWAYS.keys() - {"baggage"}
    if all(propagate.tracestate is False for propagate in said):
        kept.add("tracestate")
    if all(propagate.baggage is False for propagate in said):
        kept.add("baggage")
    return kept
