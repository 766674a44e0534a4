"""What is wrong with one file: problems, each with its line, collected instead of raised.

Everything that reads the configuration writes here, so that a user sees all mistakes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.config.locate import Lines, Path, dotted
from proxy.config.secrets import without_secrets
from proxy.errors import UNKNOWN_KEY, ConfigError, Problem


class Report:
    """The problems of one file."""

    __slots__ = (
        "_broken", "_failed", "_foreign", "_hidden", "_told", "elsewhere", "file", "lines",
        "places", "problems",
    )  # fmt: skip

    def __init__(self, file: str, lines: Lines | None = None) -> None:
        self.file = file
        self.lines = lines if lines is not None else Lines()
        self.problems: list[Problem] = []
        self._broken: set[Path] = set()
        self._failed: set[Path] = set()
        self._foreign: dict[Path, list[object]] = {}  # table -> values of its unknown keys
        self._told: set[Problem] = set()
        self._hidden: dict[str, str] = {}
        self.elsewhere: set[Path] = set()  # whose values `${…}` has put in
        self.places: dict[Path, str] = {}  # where tables came from that the file does not have

    def error(self, path: Path, message: str, remedy: str = "") -> None:
        self.fail(path)
        self._add(path, message, remedy, warning=False)

    def warn(self, path: Path, message: str, remedy: str = "") -> None:
        self._add(path, message, remedy, warning=True)

    def foreign(self, source: str, key: str, message: str, remedy: str = "") -> None:
        """A warning about something outside the file, such as an environment variable."""
        self.problems.append(Problem(key, message, remedy, 0, source, True))

    def hide(self, secret: str, written: str) -> None:
        """From now on no problem shows `secret`, but the reference that led to it."""
        if secret:
            self._hidden[secret] = written

    def unknown(self, path: Path, value: object, remedy: str) -> None:
        """An unknown key: what its table lacks is probably what it says under another name."""
        self._foreign.setdefault(path[:-1], []).append(value)
        self.error(path, UNKNOWN_KEY, remedy)

    def is_foreign(self, path: Path) -> bool:
        """Whether the table at `path` has unknown keys: what it lacks is not one more mistake."""
        return path in self._foreign

    def has_foreign_tables(self) -> bool:
        """Whether the file has tables of another program, which may hold what is not found."""
        return any(isinstance(value, dict | list) for value in self._foreign.get((), ()))

    def names_elsewhere(self, name: str) -> bool:
        """Whether an unknown table at the top has the key `name`, such as [backends.orders]."""
        return any(isinstance(table, dict) and name in table for table in self._foreign.get((), ()))

    def fail(self, path: Path) -> None:
        """Note that the value at `path` is no use, for a reason that is told already."""
        self._failed.add(path)
        self._broken.update(path[:n] for n in range(len(path) + 1))

    def has_failed(self, *path: str | int) -> bool:
        """Whether this very value is no use, so that nothing below it is there."""
        return path in self._failed

    def is_broken(self, *path: str | int) -> bool:
        """Whether an error was found at or below this key: what follows from it is not one more."""
        return path in self._broken

    def place(self, path: Path) -> str | None:
        """Where it came from, if not from the file."""
        return _place(path, self.places)

    def spot(self, path: Path) -> str:
        """The same for the file, as `routes.toml:12`."""
        line = self.lines.near(path)
        return self.place(path) or (f"{self.file}:{line}" if line else self.file)

    @property
    def found(self) -> int:
        """How much was found until now; it grows with each fault."""
        return len(self._failed) + len(self.problems)

    def settle(self) -> list[Problem]:
        """The warnings; raises ConfigError with everything if there was an error."""
        found = sorted(self.problems, key=lambda p: p.line)
        if self._broken:
            raise ConfigError(found)
        return found

    def _add(self, path: Path, message: str, remedy: str, *, warning: bool) -> None:
        path = self.lines.written(path)
        key, line, file = spot(path, self.file, self.lines, self.places)
        key, message, remedy = map(self._shown, (key, message, remedy))
        problem = Problem(key, message, remedy, line, file, warning)
        if problem not in self._told:  # such as a reference that a value has twice
            self._told.add(problem)
            self.problems.append(problem)

    def _shown(self, text: str) -> str:
        for secret, written in self._hidden.items():
            text = text.replace(secret, written)
        return without_secrets(text)


def spot(path: Path, file: str, lines: Lines, places: Mapping[Path, str]) -> tuple[str, int, str]:
    """What a problem at `path`, as it is written, says of its place: key, line, file. The index
    that a source's table has among all of them means nothing to anybody, and is left out."""
    if places and (place := _place(path, places)) is not None:
        shown = path[:1] + path[2:] if path[0] in ("route", "listen") else path
        return dotted(shown), 0, place
    return dotted(path) or "file", lines.near(path), file


def _place(path: Path, places: Mapping[Path, str]) -> str | None:
    found = (places.get(path[:n]) for n in range(len(path), 1, -1))
    return next((place for place in found if place is not None), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean "timeout"?`, or all that is known where that is short, or nothing."""
    from difflib import get_close_matches  # 0.2 MB that a file without mistakes does not need

    names = sorted(known)
    if close := get_close_matches(word, names, n=1, cutoff=0.6):
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 8 else ""
