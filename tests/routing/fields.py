"""Header fields for tests: a head that counts how often it is asked."""

from __future__ import annotations


class Fields:
    def __init__(self, **values: str) -> None:
        self.values = {n.replace("_", "-").encode(): v.encode() for n, v in values.items()}
        self.asked = 0
        self.listener = ""

    def get(self, name: bytes) -> bytes | None:
        self.asked += 1
        return self.values.get(name)

    def each(self, name: bytes) -> list[bytes]:
        value = self.values.get(name)
        return [] if value is None else value.split(b" | ")
