"""Stage: the contract of everything that batches flow through.

It owns no behaviour; receivers, processors and exporters are built to it and tested against it.
"""

from __future__ import annotations

from typing import Protocol

from proxy.collector.batch import Batch, Signal


class Stage(Protocol):
    """A receiver, processor or exporter.

    Life: `start` once, then any number of `consume`, then `stop` once; nothing else in between.
    A pipeline starts its last stages first and stops its first stages first, so that whoever may
    still consume has a running stage behind it.

    `consume` is synchronous and never blocks: it decides, and what takes time happens later in a
    task of the stage's own. True means that the stage answers for the batch from now on: its
    items will be counted as exported or as dropped for a reason, whatever happens. False means
    that there was no room (counted by the stage that had none): the caller may tell its sender
    to come again, or forget the batch. The batch is shared and must not be changed. `consume`
    raises nothing.

    `stop(deadline)` takes nothing more, finishes what it holds within `deadline` seconds, counts
    what it could not finish as dropped{shutdown}, and frees every task, socket and file. It
    returns in little more than `deadline` even if the other side hangs. After it `consume`
    returns False.
    """

    name: str

    async def start(self) -> None:
        """Make ready; raises ConfigError when the settings cannot work."""

    def consume(self, batch: Batch) -> bool:
        """Take a batch, or say that there is no room for it."""

    def held(self, signal: Signal) -> int:
        """Items of that signal that it answers for and that are in no counter yet."""

    async def stop(self, deadline: float) -> None:
        """Finish within `deadline` seconds."""
