"""Receiver `gateway`: the telemetry of this gateway's own workers and hub.

`offer` is called for each run of bare entries from a worker's ring; they get their resource here
and are otherwise bytes. Its senders cannot come again, so what finds no room is dropped and
counted.
"""

from __future__ import annotations

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.fanout import Junction
from proxy.collector.receivers.gateway.settings import Settings
from proxy.otlp.envelope import Envelope


class Gateway:
    """A Source. Nothing here blocks or raises."""

    __slots__ = ("_envelope", "_outlet", "_stopped", "logs_are_taken")

    def __init__(self, context: Context) -> None:
        assert isinstance(context.outlet, Junction)
        self._outlet = context.outlet
        self._envelope = Envelope(context.resource)
        self._stopped = False
        # Else access records are made for nobody but who looks on (`[access_log] otlp = false`).
        self.logs_are_taken = True

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        self._stopped = True

    def wants(self, signal: Signal) -> bool:
        """Whether any pipeline takes that signal."""
        return self._outlet.wants(signal)

    def offer(self, signal: Signal, entries: bytes, items: int, receipt: object = None) -> None:
        """Take concatenated `ScopeSpans.spans` or `ScopeLogs.log_records` fields (number 2)."""
        self._push(Batch.open(signal, entries, items, self._envelope, receipt))

    def offer_request(self, signal: Signal, payload: bytes, items: int) -> None:
        """Take a serialised Export…ServiceRequest."""
        self._push(Batch(signal, payload, items))

    def note_dropped(self, signal: Signal, items: int, reason: str) -> None:
        """Book what was lost before it came here."""
        for account in self._outlet.accounts(signal):
            account.add(items)
            account.drop(items, reason)

    def _push(self, batch: Batch) -> None:
        if batch.signal == "logs" and not self.logs_are_taken and not self._stopped:
            self._outlet.show(batch)
            return
        if self._stopped and self._outlet.wants(batch.signal):
            self.note_dropped(batch.signal, batch.items, "shutdown")
        else:
            self._outlet.push(batch)


def make(settings: Settings, context: Context) -> Gateway:
    return Gateway(context)
