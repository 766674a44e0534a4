"""Carrying groups out on the entries of a request: one ResourceX after the other, decoded whole.

A group is carried out on all items of an entry before the next one is, as in the Collector, so
that statements about a resource see what those about its spans made of it, and the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from proxy.collector.editing.splice import decode, edit_entries
from proxy.collector.ottl.paths import View
from proxy.collector.ottl.plan import Group
from proxy.collector.ottl.values import OttlError
from proxy.collector.ottl.walk import ENTRIES, SCOPES, points_of, views

Warn = Callable[[str], None]
REASON = "statement_failed"  # items of requests that do not go on
_RAISED = (OttlError, OverflowError, ValueError)  # protobuf refuses numbers that do not fit


class Failed(Exception):
    """A statement failed and the request must not go on (`propagate`)."""


def transform(payload: bytes, signal: str, groups: Sequence[Group], warn: Warn) -> bytes:
    """The request with the statements carried out; raises Failed and WireError."""
    cls = ENTRIES[signal]

    def change(before: bytes) -> bytes:
        entry = decode(cls, before)
        changed = False
        for group in groups:
            for view in views(signal, group.context, entry):
                changed |= _carry_out(group, view, warn)
        return bytes(entry.SerializeToString()) if changed else before

    return edit_entries(payload, change)


def _carry_out(group: Group, view: View, warn: Warn) -> bool:
    if group.conditions and not holds(group, view, warn):
        return False
    changed = False
    for place, change in group.changes:
        try:
            changed |= change(view)
        except _RAISED as error:
            _complain(group.mode, place, error, warn)
    return changed


def holds(group: Group, view: View, warn: Warn) -> bool:
    """Whether one of the conditions does; one that fails does not."""
    for place, condition in group.conditions:
        try:
            if condition(view):
                return True
        except _RAISED as error:
            _complain(group.mode, place, error, warn)
    return False


def _complain(mode: str, place: str, error: Exception, warn: Warn) -> None:
    if mode == "propagate":
        raise Failed(f"{place}: {error}") from None
    if mode == "ignore":
        warn(f"{place}: {error}")


class Dropping:
    """The conditions of `filter` for one signal. `gone` counts items that were dropped."""

    def __init__(self, signal: str, groups: Sequence[Group], warn: Warn) -> None:
        self.gone = 0
        self._signal = signal
        self._groups = groups
        self._warn = warn
        self._scopes = SCOPES[signal]

    def filter(self, payload: bytes) -> bytes:
        """Raises Failed and WireError."""
        self.gone = 0
        return edit_entries(payload, self._entry)

    def _entry(self, before: bytes) -> bytes | None:
        entry = decode(ENTRIES[self._signal], before)
        view = View(entry.resource)
        if self._drops("resource", view):
            self.gone += sum(self._count(holder) for holder in getattr(entry, self._scopes))
            return None
        holders = getattr(entry, self._scopes)
        changed = False
        left = []
        for holder in holders:
            view = View(entry.resource, holder.scope)
            edited, kept = self._holder(view, holder)
            changed |= edited
            if kept:
                left.append(holder)
        if not changed:
            return before
        if len(left) < len(holders):
            kept_holders = [type(holder).FromString(holder.SerializeToString()) for holder in left]
            del holders[:]
            holders.extend(kept_holders)
        return bytes(entry.SerializeToString()) if left else None

    def _holder(self, view: View, holder: Any) -> tuple[bool, bool]:
        """(whether anything was changed, whether anything is left)."""
        if self._drops("scope", view):
            self.gone += self._count(holder)
            return True, False
        return {"traces": self._spans, "metrics": self._metrics, "logs": self._logs}[self._signal](
            view, holder
        )

    def _spans(self, view: View, holder: Any) -> tuple[bool, bool]:
        changed = self._sift(holder.spans, view, "span", count=True)
        if self._has("spanevent"):
            for view.span in holder.spans:
                changed |= self._sift(view.span.events, view, "spanevent", count=False)
        return changed, bool(holder.spans) or not changed

    def _logs(self, view: View, holder: Any) -> tuple[bool, bool]:
        changed = self._sift(holder.log_records, view, "log", count=True)
        return changed, bool(holder.log_records) or not changed

    def _metrics(self, view: View, holder: Any) -> tuple[bool, bool]:
        before = len(holder.metrics)
        emptied = set()
        changed = False
        for index, metric in enumerate(holder.metrics):
            view.metric = metric
            view.forget()
            points = points_of(metric)
            if self._drops("metric", view):
                self.gone += len(points)
                emptied.add(index)
            elif self._has("datapoint") and self._sift(points, view, "datapoint", count=True):
                changed = True
                if not points:
                    emptied.add(index)
        for index in sorted(emptied, reverse=True):
            del holder.metrics[index]
        return changed or bool(emptied), len(emptied) < before or not emptied

    def _sift(self, items: Any, view: View, context: str, *, count: bool) -> bool:
        """Drop items of a repeated field; whether there were any to drop."""
        if not self._has(context):
            return False
        gone = []
        for index, item in enumerate(items):
            setattr(view, context, item)
            view.forget()
            if self._drops(context, view):
                gone.append(index)
        for index in reversed(gone):
            del items[index]
        self.gone += len(gone) if count else 0
        return bool(gone)

    def _has(self, context: str) -> bool:
        return any(group.context == context for group in self._groups)

    def _drops(self, context: str, view: View) -> bool:
        return any(
            group.context == context and holds(group, view, self._warn) for group in self._groups
        )

    def _count(self, holder: Any) -> int:
        if self._signal == "metrics":
            return sum(len(points_of(metric)) for metric in holder.metrics)
        return len(holder.spans if self._signal == "traces" else holder.log_records)
