"""A trace as a small tree of text: one line for each span, bars on a common time axis.

Pure: spans in, text out. Where spans come from and when a trace is complete is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

KINDS = ("", "internal", "server", "client", "producer", "consumer")  # trace.v1.Span.SpanKind

_UNKNOWN = "?"
_BAR = 24
_NAME = 44
_ESCAPES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_KIND_COLOUR = {"server": "green", "client": "cyan"}


@dataclass(frozen=True, slots=True)
class Span:
    """What the tree shows of a span; ids as raw bytes, times in Unix ns."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: str
    start: int
    end: int
    failed: bool  # status code ERROR
    attributes: Mapping[str, str]
    timed: bool = True  # else nobody knows how long it took, and its times are no times


def render(spans: Sequence[Span], *, colour: bool = False, width: int = 0) -> str:
    """The tree with a heading and a final newline; spans without their parent are roots.

    The bars get what `width` columns leave over, 0 = all they want.
    """
    timed = [span for span in spans if span.timed]
    begin = min((span.start for span in timed), default=0)
    total = max(1, max((span.end for span in timed), default=0) - begin)
    rows = [_cells(branch, span) for branch, span in _walk(spans)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = width - sum(widths) - 2 * len(widths) if width else _BAR
    bar = max(0, min(_BAR, room))
    lines = [_heading(spans, total, colour)]
    for (_, span), row in zip(_walk(spans), rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[4] = row[4].rjust(widths[4])
        shown = [*_painted(cells, span, colour), _bar(span, begin, total, bar)]
        lines.append("  ".join(shown).rstrip())
    return "\n".join(lines) + "\n"


def _heading(spans: Sequence[Span], total: int, colour: bool) -> str:
    failed = sum(span.failed for span in spans)
    noun = "span" if len(spans) == 1 else "spans"
    took = _duration(total) if any(span.timed for span in spans) else _UNKNOWN
    text = f"trace {spans[0].trace_id.hex()}  {len(spans)} {noun}  {took}"
    if failed:
        text += f"  {failed} failed"
    return _paint(text, "bold", colour)


def _walk(spans: Sequence[Span]) -> Iterator[tuple[str, Span]]:
    """(branch drawing, span) from the roots down, siblings by start time."""
    known = {span.span_id for span in spans}
    children: dict[bytes, list[Span]] = {}
    for span in sorted(spans, key=lambda s: (not s.timed, s.start)):
        parent = span.parent_id if span.parent_id in known else b""
        children.setdefault(parent, []).append(span)
    # A stack, not recursion: spans can come from anywhere and be nested as deep as they like.
    # Siblings are taken from `children` once, so that ids in a circle cannot turn it for ever;
    # what hangs on no root (such a circle) follows as if it were one.
    stack: list[tuple[str, str, Span]] = []
    while stack or children:
        if not stack:
            roots = children.pop(b"" if b"" in children else next(iter(children)))
            stack = [("", "", root) for root in reversed(roots)]
        drawn, below, span = stack.pop()
        yield drawn, span
        kids = children.pop(span.span_id, [])
        for kid in reversed(kids):
            last = kid is kids[-1]
            stack.append(
                (below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), kid)
            )


def _cells(branch: str, span: Span) -> tuple[str, str, str, str, str]:
    name = branch + span.name
    if len(name) > _NAME:
        name = name[: _NAME - 1] + "…"
    took = _duration(span.end - span.start) if span.timed else _UNKNOWN
    return (name, span.kind, _result(span), _place(span), took)


def _result(span: Span) -> str:
    """Status and error.type, which repeats the status where there is nothing better to say."""
    status = span.attributes.get("http.response.status_code", "")
    error = span.attributes.get("error.type", "")
    if error == status:
        error = ""
    return " ".join(part for part in (status, error) if part) or ("error" if span.failed else "")


def _place(span: Span) -> str:
    get = span.attributes.get
    if span.kind == "client":
        port = get("server.port", "")
        address = get("server.address", "") + (f":{port}" if port else "")
        place = " ".join(part for part in (get("spangate.upstream", ""), address) if part)
        resent = get("http.request.resend_count", "")
        return f"{place} try {int(resent) + 1}" if resent.isdigit() and resent != "0" else place
    return get("spangate.route", "") or get("service.name", "")


def _duration(ns: int) -> str:
    if ns >= 1_000_000_000:
        return f"{ns / 1e9:.2f} s"
    return f"{ns / 1e6:.1f} ms" if ns >= 100_000 else f"{ns / 1e3:.0f} µs"


def _bar(span: Span, begin: int, total: int, width: int) -> str:
    if not width or not span.timed:
        return ""
    first = min(width - 1, (span.start - begin) * width // total)
    last = max(first + 1, min(width, -(-(span.end - begin) * width // total)))
    return ("·" * first + "█" * (last - first)).ljust(width, "·")


def _painted(cells: list[str], span: Span, colour: bool) -> list[str]:
    name, kind, result, place, duration = cells
    verdict = "red" if span.failed else "yellow" if result.startswith("4") else "green"
    return [
        _paint(name, "red" if span.failed else "", colour),
        _paint(kind, _KIND_COLOUR.get(span.kind, "dim"), colour),
        _paint(result, verdict, colour),
        _paint(place, "dim", colour),
        duration,
    ]


def _paint(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{_ESCAPES[style]}m{text}\x1b[0m" if colour and style else text
