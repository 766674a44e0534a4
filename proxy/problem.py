"""Problem: one thing wrong with a configuration, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_KEY = "unknown key"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration file, and what to write instead."""

    key: str  # dotted path: route[2].timeout
    message: str
    remedy: str = ""
    line: int = 0  # 1-based; 0 = not known
    file: str = ""
    warning: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether the key is none that anybody knows."""
        return self.message == UNKNOWN_KEY

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        kind = "warning: " if self.warning else ""
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{place}: {kind}{self.key}: {self.message}{tail}"


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` holds all that was found, `text` the file
    that was read, if it was one."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems
        self.text = ""
