"""Where a worker's records go: three lanes, of which the recorder knows no more than this."""

from __future__ import annotations

from typing import Protocol

from proxy.kernel.lane import Window


class Lane(Protocol):
    """Where entries of one kind go. It takes them at once, or drops and counts them.

    What fits into its window, where it has one, may be written there instead.
    """

    @property
    def window(self) -> Window | None: ...

    def write(self, entries: bytes, items: int) -> object: ...


class Sink(Protocol):
    """Where records go: `ScopeSpans.spans` and `ScopeLogs.log_records` entries, lines of JSON."""

    @property
    def spans(self) -> Lane: ...
    @property
    def logs(self) -> Lane: ...
    @property
    def lines(self) -> Lane: ...
