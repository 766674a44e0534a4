"""The twin in Python of the reader of OTLP/JSON, which leaves every text to others.

The compiled one turns a text of the ordinary kind into a serialised request, by itself. It must be
one that says the same as what `proxy.otlp.json` and `json_steps` make of the text, and it must give
up (-1) wherever they would refuse it. Here it always does.
"""

from __future__ import annotations

from proxy.kernel.wire import Schema


class Reader:
    """One text. `step` until it says 1, then `result`."""

    def __init__(self, schema: Schema, text: bytes) -> None:
        pass

    def step(self, budget: int) -> int:
        """Read so many bytes more: 1 = that was all, 0 = not yet, -1 = it is not ordinary."""
        return -1

    def result(self) -> bytes:
        raise NotImplementedError
