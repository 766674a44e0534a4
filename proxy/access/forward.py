"""What another server is asked about a request, and what its answer means (`[auth.NAME.forward]`).

Asking is `server/auth_forward.py`'s. The conventions are Traefik's ForwardAuth and nginx's
auth_request: which lines go, which come back (docs/access-forward.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from proxy.access.check import Asked, Identity
from proxy.access.spellings import spellings
from proxy.config.access_model import Forward
from proxy.http.head import Pair, RequestHead, ResponseHead
from proxy.http.headers import HOP_BY_HOP, UNDERSCORED, tokens

# Lines that say something of this exchange, and not of who asks: an answer that depends on them
# (304, 206, 417) would say nothing of whether the request may come in.
_NEVER = HOP_BY_HOP | {
    b"host", b"content-length", b"expect", b"max-forwards", b"range", b"if-range", b"if-match",
    b"if-none-match", b"if-modified-since", b"if-unmodified-since",
}  # fmt: skip
_WRITTEN = frozenset(
    {
        b"x-forwarded-method",
        b"x-forwarded-uri",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-for",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
    }
)
OURS = frozenset(name for name in _WRITTEN if name.endswith((b"method", b"uri", b"url")))
_TOLD = (b"x-forwarded-", b"x-original-")
_OF_ANSWERS = frozenset({b"date", b"content-length", b"x-request-id"})  # of every answer
_MOST_NAMES = 1024  # of fields, of which it is remembered whether they go
_MOST_VALUE = 256  # characters of a span attribute
_MOST_KEPT = 10_000  # answers of one check
_MOST_BYTES = 8 * 1024 * 1024  # of them all
_MOST_OF_ONE = 8 * 1024
_EACH = 500  # bytes that an answer takes besides its lines and body


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that lets nobody in, as the client gets it."""

    status: int
    lines: list[Pair]
    body: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows: an error of the server, or none of its answers."""


UNKNOWN = Unknown()
Answer = Identity | Refused | Unknown
Part = Callable[[Asked], bytes]


class Rules:
    """What one check says, ready for requests."""

    __slots__ = (
        "_attributes", "_cookies", "_headers", "_known", "_name", "_parts", "_secret", "_send",
        "cache", "strips",
    )  # fmt: skip

    def __init__(self, name: str, said: Forward, secret: bytes) -> None:
        self._name = name
        self._secret = secret[:64]
        self._headers = frozenset(_bytes(header) for header in said.headers)
        self._cookies = frozenset(said.cookies)
        self._send = frozenset(_bytes(header) for header in said.send)
        self._attributes = [(key, _bytes(header)) for key, header in said.attributes.items()]
        self._parts = [_part(*part.partition(":")[::2]) for part in said.cache_key]
        self._known: dict[bytes, tuple[bytes, bool]] = {}
        self.cache = float(said.cache)
        self.strips = spellings(self._headers)

    def lines(self, head: RequestHead, agent: bytes, trusted: bool) -> list[Pair]:
        """Those of the client's that go, names in lower case. From strangers nothing goes that
        says what was before them."""
        known, found = self._known, []
        if agent and (not self._send or b"user-agent" in self._send):
            found.append((b"user-agent", agent))
        for came, value in head:
            goes = known.get(came)
            if goes is None:
                goes = self._know(came)
            name, telling = goes
            if name and (trusted or not telling):
                found.append((name, value))
        return found

    def _know(self, came: bytes) -> tuple[bytes, bool]:
        """How a name goes, b"" = not at all, and whether only trusted peers' does; remembered,
        since to find out costs more than all else about a line."""
        name = came.lower()
        dashed = name.replace(b"_", b"-")
        goes = dashed not in _NEVER and dashed not in _WRITTEN
        if self._send and name not in self._send:
            goes = False
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        found = self._known[came] = (name if goes else b"", dashed.startswith(_TOLD))
        return found

    def judge(self, head: ResponseHead, body: bytes) -> Answer:
        """What an answer means."""
        status = head.status
        if 200 <= status < 300:
            return self._identity(head)
        if status == 304 or not 300 <= status < 500:
            return UNKNOWN
        lines = [(name.lower(), value) for name, value in head]
        return Refused(status, [pair for pair in lines if pair[0] not in _OF_ANSWERS], body)

    def _identity(self, head: ResponseHead) -> Identity:
        identity = Identity(self._name, "")
        wanted, cookies = self._headers, self._cookies
        for came, value in head:
            name = came.lower()
            if name in wanted:
                identity.headers.append((name, value.strip()))
            if cookies and name == b"set-cookie" and _cookie(value) in cookies:
                identity.answer.append((name, value.strip()))
        if identity.headers:
            identity.claims = _claims(identity.headers)
        for key, header in self._attributes:
            found = head.get(header)
            if found:
                identity.attributes.append((key, _text(found)[:_MOST_VALUE]))
        if identity.attributes:
            identity.name = str(identity.attributes[0][1])
        return identity

    def key(self, asked: Asked) -> bytes:
        """What makes the question the same as another one."""
        parts = b"\n".join([part(asked) for part in self._parts])  # which no value has in it
        return blake2b(parts, key=self._secret, digest_size=16).digest()

    def kept(self, head: ResponseHead, answer: Answer) -> float:
        """For how many seconds the answer counts for the same question; 0 = not again."""
        if isinstance(answer, Unknown) or not is_shared(answer):
            return 0.0
        if isinstance(answer, Refused) and answer.status not in (401, 403):
            return 0.0
        return min(self.cache, _freshness(head.get(b"cache-control"), self.cache))


def told(head: RequestHead, scheme: str, authority: str) -> list[Pair]:
    """The request as it is: what will be forwarded and was matched, so that nobody is asked about
    another one. The others of X-Forwarded- are written as for upstreams."""
    method, uri = head.method.encode("latin-1"), (head.path + head.tail).encode("latin-1")
    url = f"{scheme}://{authority}".encode("latin-1") + uri
    return [
        (b"x-forwarded-method", method),
        (b"x-forwarded-uri", uri),
        (b"x-original-method", method),
        (b"x-original-uri", uri),
        (b"x-original-url", url),
    ]


def is_shared(answer: Answer) -> bool:
    """Whether it is for all who ask the same, and not a session begun with one of them."""
    if isinstance(answer, Identity):
        return not answer.answer
    return isinstance(answer, Unknown) or not any(n == b"set-cookie" for n, _ in answer.lines)


class Answers:
    """Those that count for a while: the latest used, so many and of so many bytes at most."""

    __slots__ = ("_kept", "_longest", "_size")

    def __init__(self, longest: float) -> None:
        self._longest = longest  # seconds
        self._kept: dict[bytes, tuple[float, int, Answer]] = {}  # the latest used last
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Answer | None:
        """The answer to that question, at `now` (Unix seconds), if it still counts."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        until, size, answer = found
        if not now < until <= now + self._longest:  # the latter: the clock was put back
            self._size -= size
            return None
        self._kept[key] = found
        return answer

    def keep(self, key: bytes, answer: Answer, until: float) -> None:
        """It counts until then."""
        size = _EACH + _size(answer)
        if size > _MOST_OF_ONE:
            return
        before = self._kept.pop(key, None)
        self._size += size - (0 if before is None else before[1])
        self._kept[key] = (until, size, answer)
        while len(self._kept) > _MOST_KEPT or self._size > _MOST_BYTES:
            self._size -= self._kept.pop(next(iter(self._kept)))[1]


def _claims(lines: list[Pair]) -> dict[str, str | list[str]]:
    """What routes may ask for by `claims`: a list of those that came more than once."""
    found: dict[str, list[str]] = {}
    for name, value in lines:
        found.setdefault(_text(name), []).append(_text(value))
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _size(answer: Answer) -> int:
    if isinstance(answer, Identity):
        return 2 * sum(len(name) + len(value) for name, value in answer.headers)
    if isinstance(answer, Refused):
        return len(answer.body) + sum(len(name) + len(value) for name, value in answer.lines)
    return 0


def _part(kind: str, name: str) -> Part:
    """Reads one part of a key: values as they are, or marks that no value can be."""
    if kind == "header":
        return _field(_bytes(name))
    if kind == "cookie":
        wanted = name.encode("latin-1", "replace")
        return lambda asked: b"\0".join(_cookies(asked.head, wanted))
    if kind == "method":
        return lambda asked: asked.head.method.encode("latin-1")
    if kind == "path":
        return lambda asked: (asked.head.path + asked.head.tail).encode("latin-1")
    if kind == "client":
        return lambda asked: asked.client.encode("latin-1")
    return _host


def _field(name: bytes) -> Part:
    def read(asked: Asked) -> bytes:
        head = asked.head
        if head.seen & UNDERSCORED:  # x_user may be x-user to the server
            return b"\0".join([b"", *head.each(name)])
        value = head.get(name)
        return b"" if value is None else b"\0" + value

    return read


def _host(asked: Asked) -> bytes:
    said = f"{asked.scheme}\0{asked.host}\0{asked.head.authority}"
    return said.encode("latin-1", "replace")


def _cookies(head: RequestHead, name: bytes) -> Iterator[bytes]:
    """The values of that name, in whichever line they are, each behind a mark."""
    for field, value in head:
        if len(field) == 6 and field.lower() == b"cookie":
            for part in value.split(b";"):
                found, mark, rest = part.strip().partition(b"=")
                if mark and found == name:
                    yield b"\0" + rest


def _freshness(said: bytes | None, otherwise: float) -> float:
    """What Cache-Control says, RFC 9111 §5.2.2: seconds. What does not parse is taken as 0."""
    if said is None:
        return otherwise
    seconds = otherwise
    for token in tokens(said):
        name, mark, value = token.partition(b"=")
        if name in (b"no-store", b"no-cache"):
            return 0.0
        if name == b"max-age" and mark:
            digits = value.strip(b'" ')
            seconds = min(seconds, float(digits[:12]) if digits.isdigit() else 0.0)
    return seconds


def _cookie(line: bytes) -> str:
    return line.partition(b"=")[0].strip().decode("latin-1")


def _bytes(name: str) -> bytes:
    return name.strip().lower().encode("latin-1", "replace")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
