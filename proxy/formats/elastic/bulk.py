"""Elasticsearch's `_bulk`: documents as a request, and what its answer says of each of them.

Pure. HTTP 200 only says that the request was read: `items` has a status for each document, in
their order. Source: Elasticsearch reference, "Bulk API".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from proxy.formats.elastic.documents import Document

TYPE = "application/x-ndjson"
# Of each document its status and why, and not its index, id, version and shards.
QUERY = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"

AGAIN = 429  # the only status of an item that may be sent again: its queue was full


class _Error(msgspec.Struct):
    type: str = ""
    reason: str = ""


class _Item(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Refusal(msgspec.Struct):
    error: _Error


class _Answer(msgspec.Struct):
    items: list[dict[str, _Item]]


@dataclass(slots=True)
class Reading:
    """What became of the documents of one request."""

    left: list[Document] = field(default_factory=list)  # may be sent again
    refused: list[Document] = field(default_factory=list)
    why: str = ""  # of the last one refused


def body(documents: Sequence[Document]) -> bytes:
    """Newline-delimited JSON; the last newline is obligatory."""
    lines: list[bytes] = []
    for document in documents:
        lines += (document.action, document.source)
    return b"\n".join([*lines, b""])


def chunks(documents: Sequence[Document], most: int, size: int) -> Iterator[list[Document]]:
    """Runs of at most `most` documents and `size` bytes; a larger document stands alone."""
    run: list[Document] = []
    total = 0
    for document in documents:
        if run and (len(run) >= most or total + document.size > size):
            yield run
            run, total = [], 0
        run.append(document)
        total += document.size
    if run:
        yield run


def read(answer: bytes, documents: Sequence[Document]) -> Reading:
    """Raises ValueError for what is no answer to these documents."""
    try:
        items = msgspec.json.decode(answer, type=_Answer).items
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    if len(items) != len(documents):
        raise ValueError(f"{len(items)} answers to {len(documents)} documents")
    found = Reading()
    for document, entry in zip(documents, items, strict=True):
        item = next(iter(entry.values()), None)
        if item is None:
            raise ValueError("an answer to a document is empty")
        if item.status == AGAIN:
            found.left.append(document)
        elif not 200 <= item.status < 300:
            found.refused.append(document)
            told = item.error or _Error()
            found.why = f"{told.type or item.status}: {told.reason}"[:200]
    return found


def message(answer: bytes) -> str:
    """`error.type: error.reason` of an error's body, "" if it has none."""
    try:
        found = msgspec.json.decode(answer, type=_Refusal).error
    except msgspec.DecodeError:
        return ""
    return f"{found.type}: {found.reason}"[:200]
