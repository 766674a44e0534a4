"""Which answers are compressed, and what their heads say then: RFC 9110 §8.4, §8.8.3, §12.5.3, §14.

Never twice, never a part of something (ranges), never against the word of either end
(`Cache-Control: no-transform`), and not where a digest of the content is in the head: whoever made
it wants these bytes. An answer that another client would get compressed says
`Vary: Accept-Encoding` too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from proxy.http.accept_encoding import preferred
from proxy.http.edits import Edits
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.headers import tokens

EVENTS = b"text/event-stream"
_BODILESS = (204, 205, 304)  # RFC 9110 §15.3.5, §15.3.6, §15.4.5
_DIGESTS = (b"content-digest", b"repr-digest", b"digest", b"content-md5")  # RFC 9530, RFC 2616
_REPLACED = frozenset({b"etag", b"accept-ranges", b"content-encoding"})
_ETAG = frozenset({b"etag"})
_MOST_MEMO = 256  # values of Accept-Encoding that are remembered; a browser has one


class Compression:
    """What one route says."""

    __slots__ = ("_codings", "_exact", "_least", "_memo", "_patterns")

    def __init__(self, types: Collection[str], least: int, codings: Sequence[bytes]) -> None:
        """`least`: bytes below which an answer goes as it is; `types` may have "*" in the place of
        a subtype, or of what is before its suffix."""
        lower = [kind.lower().encode("ascii") for kind in types]
        self._exact = frozenset(kind for kind in lower if b"*" not in kind)
        self._patterns = tuple(tuple(kind.split(b"*")) for kind in lower if b"*" in kind)
        self._least = least
        self._codings = tuple(codings)
        self._memo: dict[bytes, bytes] = {}

    def choose(self, asked: RequestHead, answer: ResponseHead) -> tuple[bytes, bool]:
        """(coding, whether the answer depends on Accept-Encoding); b"" = it goes as it is."""
        if answer.status == 304:
            return b"", True  # its 200 may have been compressed
        if not self._is_content(asked, answer) or not _may_change(answer):
            return b"", False
        if (
            asked.method == "HEAD"
            or answer.status == 206
            or answer.get(b"content-range") is not None
            or asked.get(b"range") is not None
            or _forbids(asked.get(b"cache-control"))
        ):
            return b"", True
        return self._preferred(asked.get(b"accept-encoding")), True

    def _is_content(self, asked: RequestHead, answer: ResponseHead) -> bool:
        """Of one of the types, and large enough."""
        if answer.status < 200 or answer.status in _BODILESS:
            return False
        length = _declared(answer) if asked.method == "HEAD" else answer.length
        if length is not None and length < self._least:
            return False
        kind = answer.get(b"content-type")
        return kind is not None and self._takes(kind.partition(b";")[0].strip().lower())

    def _takes(self, kind: bytes) -> bool:
        if kind.startswith(b"application/grpc"):
            return False  # it compresses its own messages
        if kind in self._exact:
            return True
        return any(kind.startswith(p[0]) and kind.endswith(p[1]) for p in self._patterns)

    def _preferred(self, field: bytes | None) -> bytes:
        if field is None:
            return b""
        known = self._memo.get(field)
        if known is None:
            known = preferred(field, self._codings)
            if len(self._memo) >= _MOST_MEMO:
                self._memo.clear()
            self._memo[field] = known
        return known


def changed(base: Edits, asked: RequestHead, answer: ResponseHead, coding: bytes) -> Edits:
    """`base`, and what else is different in the head of an answer that depends on Accept-Encoding,
    and has this coding now; b"" = it has none."""
    edits = Edits()
    edits.take(base)
    tag = _tag(edits, answer)
    if coding:
        edits.remove(_REPLACED)
        edits.add(b"content-encoding", coding)
    elif answer.status == 304 and tag is not None and _knows_weak(asked, tag):
        edits.remove(_ETAG)
    else:
        tag = None
    if tag is not None:
        edits.add(b"etag", weak(tag))
    if not _varies(edits, answer):
        edits.add(b"vary", b"accept-encoding")
    return edits


def weak(tag: bytes) -> bytes:
    """An entity tag as a weak one: what it names is not the same byte by byte (RFC 9110 §8.8.1)."""
    return tag if tag.startswith(b"W/") else b"W/" + tag


def _declared(answer: ResponseHead) -> int | None:
    """What an answer to HEAD says of the body that GET would get; None = nothing."""
    said = answer.field(b"content-length") or b""
    return int(said) if said.isdigit() and len(said) < 20 else None


def _may_change(answer: ResponseHead) -> bool:
    """Whether nothing in the head speaks against it."""
    if answer.get(b"content-encoding") is not None or _forbids(answer.get(b"cache-control")):
        return False
    return all(answer.get(name) is None for name in _DIGESTS)


def _forbids(cache_control: bytes | None) -> bool:
    """RFC 9111 §5.2.1.6, §5.2.2.6."""
    return cache_control is not None and b"no-transform" in tokens(cache_control)


def _tag(edits: Edits, answer: ResponseHead) -> bytes | None:
    """The ETag that would leave without us."""
    for name, value in edits.added:
        if name == b"etag":
            return value
    if edits.removed is not None and b"etag" in edits.removed:
        return None
    return answer.get(b"etag")


def _knows_weak(asked: RequestHead, tag: bytes) -> bool:
    """Whether the client has what we made of it: a cache must find the answer it keeps by the tag
    of a 304 (RFC 9111 §4.3.4)."""
    said = [part.strip() for part in (asked.get(b"if-none-match") or b"").split(b",")]
    return not tag.startswith(b"W/") and weak(tag) in said and tag not in said


def _varies(edits: Edits, answer: ResponseHead) -> bool:
    """Whether Vary says so already."""
    values = [value for name, value in edits.added if name == b"vary"]
    if edits.removed is None or b"vary" not in edits.removed:
        values.append(answer.get(b"vary") or b"")
    said = tokens(b",".join(values))
    return b"*" in said or b"accept-encoding" in said
