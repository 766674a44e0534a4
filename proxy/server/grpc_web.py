"""gRPC-Web: the sides of a story through which it is gRPC for one side and gRPC-Web for the other.

Each wraps a side and is one: the story knows no difference, and a route without `grpc_web` has no
such side. How the bytes differ is in `http/grpc_web.py`. Requests go through `WebUpstream`, of
which each try has its own, since what is decoded depends on what came before; answers go through
`WebClient`.
"""

from __future__ import annotations

from proxy.errors import BadRequest
from proxy.http.edits import Edits
from proxy.http.grpc_web import (
    EXPOSED,
    Decoder,
    answer_head,
    encode,
    kind_of,
    request_head,
    trailer_frame,
)
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.server.sides import NO_TRAILERS, ClientSide, StoryEvents, UpstreamSide
from proxy.server.story import Story

_EXPOSE = b"access-control-expose-headers"


def translate(story: Story) -> str:
    """The kind of gRPC-Web that this request is, "" if it is none. To the story it is gRPC from
    now on."""
    head = story.head
    kind = kind_of(head.get(b"content-type")) if head.method == "POST" else ""
    if kind:
        story.client = WebClient(story.client, kind, head.get(b"origin") is not None)
        story.head = request_head(head)
    return kind


class WebClient(ClientSide):
    """A client that is answered in gRPC-Web. What is no gRPC passes as it is."""

    __slots__ = ("_inner", "_is_asked_for_names", "_kind", "_translates")

    def __init__(self, inner: ClientSide, kind: str, from_script: bool) -> None:
        self._inner = inner
        self._kind = kind
        self._is_asked_for_names = from_script
        self._translates = False
        self.peer = inner.peer
        self.scheme = inner.scheme
        self.trusted = inner.trusted
        self.forwards = inner.forwards
        self.blocked = inner.blocked

    @property
    def reading_paused(self) -> bool:
        return self._inner.reading_paused

    @property
    def upload_done(self) -> bool:
        return self._inner.upload_done

    def send_informational(self, head: ResponseHead) -> None:
        self._inner.send_informational(head)

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        made = answer_head(head, self._kind)
        self._translates = made is not None
        if self._is_asked_for_names and made is not None and head.get(_EXPOSE) is None:
            said = [name for name, _ in edits.added]
            if _EXPOSE not in said:
                more = [*more, (_EXPOSE, EXPOSED)]
        self._inner.send_head(head if made is None else made, edits, more)
        self.blocked = self._inner.blocked

    def send_data(self, data: bytes, last: bool) -> None:
        self._inner.send_data(encode(data, self._kind) if self._translates else data, last)
        self.blocked = self._inner.blocked

    def flush(self) -> None:
        self._inner.flush()

    def end(self, trailers: Trailers) -> None:
        if self._translates and trailers:
            self._inner.send_data(encode(trailer_frame(trailers), self._kind), True)
        self._inner.end(NO_TRAILERS)

    def take_back(self) -> bool:
        return self._inner.take_back()

    def skip_body(self) -> None:
        self._inner.skip_body()

    def open_tunnel(self) -> None:
        self._inner.open_tunnel()

    def close_after(self) -> None:
        self._inner.close_after()

    def abort(self) -> None:
        self._inner.abort()

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    def next(self, now: int) -> None:
        self._inner.next(now)


class WebUpstream(UpstreamSide):
    """An upstream that is asked in gRPC for what came as gRPC-Web."""

    __slots__ = ("_decoder", "_inner", "_story")

    def __init__(self, inner: UpstreamSide, kind: str) -> None:
        self._inner = inner
        self._decoder = Decoder() if kind == "text" else None
        self._story: StoryEvents | None = None
        self.peer = inner.peer
        self.scheme = inner.scheme
        self.version = inner.version
        self.used = inner.used
        self.blocked = inner.blocked

    def start(self, story: StoryEvents, head: RequestHead, edits: Edits, more: list[Pair]) -> None:
        self._story = story
        self._inner.start(story, head, edits, more)
        self.blocked = self._inner.blocked

    def send_data(self, data: bytes, last: bool) -> None:
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data)
                if last:
                    self._decoder.end()
            except BadRequest as error:
                self._refuse(error)
                return
        if data:
            self._inner.send_data(data, last)
        elif last:
            self._inner.end(NO_TRAILERS)
        self.blocked = self._inner.blocked

    def end(self, trailers: Trailers) -> None:
        if self._decoder is not None:
            try:
                self._decoder.end()
            except BadRequest as error:
                self._refuse(error)
                return
        self._inner.end(NO_TRAILERS)

    def _refuse(self, error: BadRequest) -> None:
        """The story is told, or hears of it in this very call."""
        story = self._story
        if isinstance(story, Story) and not story.coroutine.cr_running:
            story.on_bad_body(error)
        else:
            raise error

    def open_tunnel(self) -> None:
        self._inner.open_tunnel()

    def drop_answer(self) -> None:
        self._inner.drop_answer()

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        self._inner.close()

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()
