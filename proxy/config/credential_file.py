"""Files with credentials, line by line: what is common to reading keys and passwords.

Read in the thread that loads configurations (`hub/reload.py`). No step here takes long within one
call into C, so the hub's loop gets its turns meanwhile (sys.getswitchinterval, 5 ms).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from proxy.config.locate import Path
from proxy.config.report import Report

MOST_TOLD = 20  # mistakes in one file


class CredentialFile:
    """One file: its lines, and what is wrong with them."""

    def __init__(self, path: str, report: Report, place: Path, remedy: str) -> None:
        self._path = path
        self._report = report
        self._place = place
        self._remedy = remedy  # how such a file is made
        self.mistakes = 0

    def lines(self, most: int) -> Iterator[tuple[int, str]]:
        """Its lines, numbered from 1, without their ends; nothing if it cannot be read. `most`:
        bytes that it may have."""
        number = 0
        try:
            with open(self._path, encoding="utf-8-sig", newline="\n") as file:
                if os.fstat(file.fileno()).st_size > most:
                    self._fail(f"{self._path} is too large: more than {most >> 20} MiB", "")
                    return
                for number, line in enumerate(file, 1):
                    yield number, line.rstrip("\r\n")
        except UnicodeDecodeError:
            message = f"{self._path} is not UTF-8, after line {number}"
            self._fail(message, "")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            remedy = self._remedy if isinstance(error, FileNotFoundError) else ""
            self._fail(f"cannot read {self._path}: {reason}", remedy)

    def wrong(self, line: int, message: str, remedy: str = "") -> None:
        """Report a mistake in that line, unless there are very many."""
        if self.mistakes == MOST_TOLD:
            self._fail(f"{self._path} has more mistakes, which are not told", "")
        elif self.mistakes < MOST_TOLD:
            self._fail(f"{self._path}, line {line}: {message}", remedy)
        else:
            self.mistakes += 1

    def warn(self, line: int, message: str, remedy: str = "") -> None:
        where = f"{self._path}, line {line}" if line else self._path
        self._report.warn(self._place, f"{where}: {message}", remedy)

    def empty(self, what: str) -> None:
        """Report that it holds none."""
        self._fail(f"{self._path} holds no {what}: nobody could come in", self._remedy)

    def _fail(self, message: str, remedy: str) -> None:
        self.mistakes += 1
        self._report.error(self._place, message, remedy)
