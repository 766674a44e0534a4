"""Stage: the contract of everything that batches flow through.

It owns no behaviour; receivers, processors, exporters and connectors are built to it and tested
against it (tests/collector/test_contract.py takes every row of the registry).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from proxy.collector.batch import Batch, Signal


class Sink(Protocol):
    """Where batches go."""

    def consume(self, batch: Batch) -> bool:
        """Take a batch (True), or say that there is no room for it now (False).

        Synchronous, and it never blocks: what takes time happens later in a task of the stage's
        own. True means that the stage, or one behind it, answers for the batch from now on: its
        items will be counted as exported or as dropped for a reason, whatever happens. False
        means that nothing was taken and nothing was counted: the caller tells its sender to come
        again, keeps the batch, or drops it, and counts what it does. Raises WireError, again with
        nothing taken and nothing counted, when the bytes turn out to be no request, and nothing
        else. A batch is shared: it must not be changed, see `Batch.edit`.
        """


class Outlet(Sink, Protocol):
    """Where the batches of a receiver or connector go: into each pipeline that names it."""

    def wants(self, signal: Signal) -> bool:
        """Whether any pipeline takes that signal now; a reload may change it."""

    def push(self, batch: Batch) -> None:
        """For those whose sender cannot come again: what is refused is dropped and counted."""


class Source(Protocol):
    """What batches come from: a receiver. It passes them to `context.outlet`.

    Life: made, `start` once, `stop` once. Making it has no effects (no socket, no task, no file).
    """

    async def start(self) -> None:
        """Make ready; raises ConfigError or OSError when the settings cannot work."""

    async def stop(self, deadline: float) -> None:
        """Take nothing more, finish what was begun within `deadline` seconds, free everything.

        It frees every task, socket and file, and returns in little more than `deadline` even if
        the other side hangs. Allowed after a failed `start`, and without one.
        """


class Stage(Sink, Source, Protocol):
    """A processor, exporter or connector.

    Between `start` and `stop` any number of `consume`; a processor passes on to `context.next`, a
    connector to `context.outlet`. Last stages are started first and first stages are stopped
    first, so that whoever may still consume has a running stage behind it. `stop` hands what is
    held to what is behind, or sends it; what could not be finished is counted as
    dropped{shutdown}. After it nobody calls `consume`; a stage that holds or sends answers False.
    """

    def held(self, signal: Signal) -> int:
        """Items of that signal that it answers for and that are in no counter yet.

        Of what came in: items that wait in a connector were counted when it took them, so that it
        holds 0.
        """


class Backlog(Protocol):
    """What waits for an exporter."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def limit(self) -> int:
        """Bytes; 0 = no limit."""


@runtime_checkable
class Queueing(Protocol):
    """A stage with a queue, which metrics then tell of."""

    queue: Backlog
