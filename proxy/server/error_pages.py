"""Pages for failures in the place of the gateway's own short answers.

A page changes what the body of an answer is, and what kind; its status and every field that tells
of the failure stay. Whatever is wrong with a page, the short answer is sent, and a page never has
a page of its own. What `[errors]` and a route say is compiled here, once (`compile.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from proxy.config.check_errors import files_of
from proxy.config.error_model import ErrorPage, Errors, RouteErrors
from proxy.config.error_template import Kind, Parts, parse, render
from proxy.errors import ClientGone, ProxyError
from proxy.http.accept import KINDS, best, weights
from proxy.http.edits import WANTS_TUNNEL
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.reasons import reason_of
from proxy.server import answering
from proxy.server.page_request import ASKED, fetched
from proxy.server.reply import Reply, told
from proxy.server.snapshot import RouteEntry, Target
from proxy.server.story import Story
from proxy.telemetry.facts import Exchange

log = logging.getLogger("spangate")

_TYPES: dict[Kind, bytes] = {
    "json": b"application/json",
    "html": b"text/html; charset=utf-8",
    "text": b"text/plain; charset=utf-8",
}
# What an answer that is replaced goes on saying: it tells of the failure, or of the client.
_KEPT = frozenset(
    {b"allow", b"cache-control", b"proxy-authenticate", b"retry-after", b"set-cookie"}
    | {b"www-authenticate"}
)


class Intercepted(ProxyError):
    """An upstream's answer of 400 or more, whose body a page of the gateway's replaces; `lines` are
    what stays of its fields."""

    reason = "upstream_status"

    def __init__(self, status: int, lines: tuple[tuple[bytes, bytes], ...]) -> None:
        super().__init__(f"the upstream answered {status}; a page took the place of its body")
        self.status = self.received = status
        self.error_type = str(status)
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Asking:
    """A page that an upstream has."""

    target: Target
    path: str  # with {status} in it
    seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `ask`, or at least one kind."""

    kinds: Mapping[Kind, Parts]
    for_all: bool  # it is shown whatever the client accepts
    ask: Asking | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer whose page is still to be asked for; `own` is what is sent if there is none."""

    own: Reply
    ask: Asking

    async def serve(self, story: Story, entry: RouteEntry | None) -> None:
        """What is left of the story: an answer, and the record."""
        try:
            own = await self._answer(story)
            if own is not None:
                answering.reply(story, own, entry)
        finally:
            answering.finish(story)

    async def _answer(self, story: Story) -> Reply | None:
        """None: nobody is left to answer."""
        own, ask = self.own, self.ask
        try:
            got = await fetched(story, ask.target, own.status, ask.path, ask.seconds)
        except ClientGone:
            story.x.client_gone = True
            return None
        except ProxyError as error:
            if error.close:
                story.client.close_after()
            return own
        except Exception:
            log.exception(
                "asking for an error page failed inside the gateway",
                extra={"key": "error_page.bug"},
            )
            return own
        return own if got is None else _with_body(own, got.kind, got.body)


class Pages:
    """Those of one route, and of [errors] behind them."""

    __slots__ = ("_known", "_pages", "_takes", "_then")

    def __init__(self, pages: Mapping[str, Page], takes: bool, then: Pages | None) -> None:
        """`takes`: they also stand in the place of what upstreams answer."""
        self._pages = pages
        self._then = then
        self._known: dict[int, Page | None] = {}  # by status
        self._takes = takes

    def of(self, status: int) -> Page | None:
        """The page for an answer with that status."""
        if status not in self._known:
            found = self._pages.get(str(status)) or self._pages.get(f"{status // 100}xx")
            if found is None and self._then is not None:
                found = self._then.of(status)
            self._known[status] = found
        return self._known[status]

    def dressed(
        self, own: Reply, error: ProxyError, head: RequestHead | None, x: Exchange
    ) -> Reply | Pending:
        """`own` with the page of its status, or what will be; without a `head`, of what never
        became a request, nobody is asked."""
        found = self.of(own.status)
        if found is None:
            return own
        if found.ask is not None:
            may_ask = head is not None and head.get(ASKED) is None
            return Pending(own, found.ask) if may_ask else own
        kind = _kind(found, None if head is None else head.get(b"accept"))
        if kind is None:
            return own
        return _with_body(
            own, _TYPES[kind], render(found.kinds[kind], kind, _values(own, error, x))
        )

    def intercept(self, story: Story, response: ResponseHead) -> None:
        """Raises Intercepted if this answer of 400 or more is to be replaced: its body is left
        where it is, and its connection serves others if that costs nothing."""
        tunnel = story.edits.wants & WANTS_TUNNEL
        if (
            not self._takes
            or tunnel
            or story.x.call is not None
            or self.of(response.status) is None
        ):
            return
        upstream, story.upstream = story.upstream, None
        story.attempt = None  # it is over: what fails from now on is not its fault
        if upstream is not None:
            upstream.drop_answer()
        lines = [(n.lower(), v) for n, v in response if n.lower() in _KEPT]
        raise Intercepted(response.status, tuple(lines))


def compiled(
    said: Errors | RouteErrors,
    contents: Mapping[str, bytes],
    asking: Callable[[ErrorPage], Asking],
    then: Pages | None = None,
    takes: bool = False,
) -> Pages | None:
    """What a table says, `then` being what counts behind it; None if that is nothing. ValueError
    if a file was not read."""
    if said.intercept is not None:
        takes = said.intercept
    pages = {status: _page(page, contents, asking) for status, page in said.pages.items()}
    if not pages and then is None:
        return None
    return Pages(pages, takes, then)


def _page(
    said: ErrorPage, contents: Mapping[str, bytes], asking: Callable[[ErrorPage], Asking]
) -> Page:
    if said.upstream:
        return Page({}, True, asking(said))
    kinds: dict[Kind, Parts] = {}
    for _, path, kind in files_of(said):
        if path not in contents:
            raise ValueError(f"the page {path} was not read")
        kinds[kind] = parse(contents[path], kind)
    return Page(kinds, bool(said.file))


def _kind(found: Page, accept: bytes | None) -> Kind | None:
    """As what it is shown; None = the short answer is liked better."""
    kind = best(accept, found.kinds.keys())
    if kind is not None:
        return kind
    json, _, text = weights(accept)
    if (json or text) and not found.for_all:
        return None
    return next(kind for kind in KINDS if kind in found.kinds)


def _values(own: Reply, error: ProxyError, x: Exchange) -> dict[str, str]:
    after = next((value for name, value in own.headers if name == b"retry-after"), b"")
    if not after and x.told is not None:
        after = next((value for name, value in x.told.rate if name == b"retry-after"), b"")
    return {
        "status": str(own.status),
        "reason": reason_of(own.status).decode("ascii"),
        "detail": reason_of(own.status).decode("ascii") if error.received else told(error),
        "trace_id": x.trace_id.decode("ascii") if x.sampled else "",
        "request_id": x.request_id.decode("latin-1"),
        "retry_after": after.decode("latin-1"),
    }


def _with_body(own: Reply, kind: bytes, body: bytes) -> Reply:
    headers = [(n, v) for n, v in own.headers if n != b"content-type"]
    return replace(own, headers=[(b"content-type", kind), *headers], body=body)
