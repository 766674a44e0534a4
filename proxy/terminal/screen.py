"""Screen: the one way from here to stdout and stderr. What passes is harmless, whoever wrote it.

On a terminal rich colours lines and fits tables; in a pipe they are plain and whole, and rich is
not imported. Styles are words of rich; text never is: it is put into Text objects, so that
`[red]` in a path is that path.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import click

from proxy.terminal.client import Trouble
from proxy.terminal.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

LIMIT = 240  # characters of one cell
_NOTE = 1000  # of a message


class Cell(NamedTuple):
    """Some text in one style; in a bar its characters are drawn, elsewhere they are words."""

    text: str
    style: str = ""
    limit: int = LIMIT


Line = Sequence[Cell]


class Column(NamedTuple):
    """`right`: numbers. `gives`: shortened first where the terminal is narrow."""

    title: str
    right: bool = False
    gives: bool = False


class Screen:
    """What a command writes to; made when it begins, since only then stdout is what it will be."""

    __slots__ = ("_console", "is_terminal")

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """rich's; it knows NO_COLOR, TERM and the width."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False)
        return self._console

    @property
    def width(self) -> int:
        """Columns; in a pipe as many as a line wants."""
        return self.console.width if self.is_terminal else 10_000

    def line(self, cells: Line, gap: str = "  ") -> None:
        """One line; it is never cut, but wrapped by the terminal."""
        paint = self._paint if self.is_terminal else _plain
        click.echo(gap.join(paint(cell) for cell in cells if cell.text).rstrip())

    def _paint(self, cell: Cell) -> str:
        """As rich writes it; its `print` lays out first, for twenty times the time."""
        from rich.style import Style

        text, console = _plain(cell), self.console
        is_plain = console.color_system is None or console.no_color or not cell.style
        return text if is_plain else Style.parse(cell.style).render(text)

    def table(self, columns: Sequence[Column], rows: Sequence[Line]) -> None:
        if self.is_terminal:
            self.console.print(fitted(columns, rows))
            return
        for line in _aligned(columns, rows):
            click.echo(line)


@contextmanager
def ending(*, quiet: bool = False) -> Iterator[None]:
    """End the process as a command should when it cannot go on.

    A trouble is told on stderr; a reader that has enough of us, as `head` has, is no trouble; and
    with `quiet` neither is Ctrl-C.
    """
    try:
        yield
    except Trouble as trouble:
        note(str(trouble))
        sys.exit(trouble.code)
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # or Python writes what is left, and complains
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        if not quiet:
            raise
        sys.exit(0)


def note(text: str) -> None:
    """Say something about the command itself, on stderr."""
    click.echo(f"spangate: {printable(text, _NOTE)}", err=True)


def document(value: object, *, indent: int | None = 2) -> None:
    """JSON on stdout, all of it ASCII: nothing in it can act on a terminal either."""
    written = json.dumps(value, indent=indent, separators=None if indent else (",", ":"))
    click.echo(written.replace("\x7f", "\\u007f"))


def fitted(columns: Sequence[Column], rows: Sequence[Line]) -> RenderableType:
    """A table that rich fits to the terminal."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=8 if column.gives else _least(column, columns.index(column), rows),
        )
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    return made


def _least(column: Column, number: int, rows: Sequence[Line]) -> int:
    """What the widest cell of a column takes, if it is no more than an id does."""
    shown = [column.title, *(_plain(row[number]) for row in rows)]
    return min(32, max(len(text) for text in shown))


def _plain(cell: Cell) -> str:
    return printable(cell.text, cell.limit)


def _text(cell: Cell) -> Text:
    from rich.text import Text

    return Text().append(_plain(cell), cell.style)  # so that the column's padding has no style


def _aligned(columns: Sequence[Column], rows: Sequence[Line]) -> Iterator[str]:
    texts = [[column.title for column in columns], *([_plain(cell) for cell in r] for r in rows)]
    widths = [max(len(text) for text in texts_of) for texts_of in zip(*texts, strict=True)]
    for row in texts:
        cells = zip(row, widths, columns, strict=True)
        padded = (text.rjust(w) if column.right else text.ljust(w) for text, w, column in cells)
        yield "  ".join(padded).rstrip()
