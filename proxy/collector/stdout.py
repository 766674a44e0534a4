"""Access lines to stdout, by a thread: whoever reads a pipe slowly must not slow anything else.

What does not fit into the bound is dropped and counted.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

MOST_UNWRITTEN = 4 * 1024 * 1024  # bytes; some 8,000 lines


class Stdout:
    """Starts its thread with the first line. Each counter has one thread that writes it.

    `later` has its argument called in the thread to which receipts belong.
    """

    __slots__ = (
        "_failed", "_later", "_lines", "_offered", "_refused", "_stream", "_thread", "_written"
    )  # fmt: skip

    def __init__(
        self,
        stream: BinaryIO | None = None,
        later: Callable[[Callable[[], None]], object] = lambda act: act(),
    ) -> None:
        self._stream = stream
        self._later = later
        # A receipt is in a list, so that this thread need not be the one that drops it.
        self._lines: queue.SimpleQueue[tuple[bytes, list[object]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._offered = 0  # bytes
        self._written = 0
        self._refused = 0  # lines that did not fit
        self._failed = 0  # lines that nobody took

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._refused + self._failed

    def offer(self, lines: bytes, receipt: object = None) -> None:
        """Write whole lines in a moment, or drop them all; the receipt is kept until then."""
        if self._offered - self._written > MOST_UNWRITTEN:
            self._refused += lines.count(b"\n")
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="access lines", daemon=True)
            self._thread.start()
        self._offered += len(lines)
        self._lines.put((lines, [receipt]))

    def close(self, seconds: float) -> None:
        """Wait until all is written, `seconds` at most."""
        if self._thread is not None:
            self._lines.put((b"", []))
            self._thread.join(seconds)

    def _write(self) -> None:
        stream = self._stream or sys.stdout.buffer
        while True:
            lines, receipt = self._lines.get()
            if not lines:
                return
            try:
                stream.write(lines)
                stream.flush()
            except (OSError, ValueError):
                self._failed += lines.count(b"\n")
            self._written += len(lines)
            try:
                self._later(receipt.clear)
            except RuntimeError:  # the loop has ended
                receipt.clear()
