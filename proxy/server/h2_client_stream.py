"""One request of an HTTP/2 client and its answer: a stream as the client side of a story.

The client side of `sides.py` where a connection (`h2_client.py`) carries many. What comes is
acknowledged when the story has taken it, so that a paused client may send one window more and no
byte after it; what leaves is queued in the session, and a stream is blocked while that is much.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import BadRequest
from proxy.http.edits import Edits
from proxy.http.h2 import INTERNAL_ERROR, Session
from proxy.http.h2_request import (
    answer_fields,
    informational_fields,
    trailer_fields,
    trailers_of,
)
from proxy.http.head import Pair, RequestHead, ResponseHead, Trailers
from proxy.server.h1_goodbye import Unsent
from proxy.server.h1_pace import UploadPace
from proxy.server.house import House
from proxy.server.peer import Peer
from proxy.server.sides import NO_TRAILERS, ClientSide, StoryEvents

HIGH = 64 * 1024  # bytes of an answer that wait in the session: more of it is not wanted
LOW = 16 * 1024  # and now it is


class Carrier:
    """What a stream asks of its connection."""

    __slots__ = ()

    house: House
    session: Session
    peer: Peer
    trusted: bool
    forwards: bool
    scheme: str
    blocked: set[ClientStream]  # streams whose story waits
    held: list[ClientStream]  # that hold something which is wanted again

    def touch(self) -> None:
        """Something is to be written at the end of this turn."""

    def push(self) -> None:
        """Write what there is, now."""

    def answered(self, stream: ClientStream) -> None:
        """Its story is over; the answer may not have left yet."""

    def has_reset(self, code: int) -> None:
        """A stream was ended early by us."""


class ClientStream(ClientSide):
    """One exchange; `sides.ClientSide` has the contract."""

    __slots__ = (
        "_answered", "_asked", "_came", "_carrier", "_ended", "_held", "_held_trailers", "_pace",
        "_paused", "_pending", "_session", "_stall", "_tunnel", "_unwanted",
        "_upload_done", "heard", "number", "story",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, number: int, heard: bool) -> None:
        self._carrier = carrier
        self._session = carrier.session
        self.number = number
        self.peer = carrier.peer
        self.scheme = carrier.scheme
        self.trusted = carrier.trusted
        self.forwards = carrier.forwards
        self.blocked = False
        self.story: StoryEvents | None = None  # until it is over
        self.heard = heard  # END_STREAM has come
        self._upload_done = True  # and the story was told of it, or nothing was to come
        self._asked: RequestHead | None = None
        self._came = 0  # bytes of body
        self._held: list[bytes] = []  # that came while the story wanted none
        self._held_trailers: Trailers | None = None  # and with them the end
        self._paused = False
        self._unwanted = False  # what still comes is thrown away
        self._pending: list[Pair] | None = None  # a head that is not written yet
        self._answered = False  # there was one
        self._ended = False  # all of the answer was given to the session
        self._tunnel = False
        self._pace: UploadPace | None = None
        self._stall: Unsent | None = None

    def begin(self, story: StoryEvents, head: RequestHead) -> None:
        """Tell the request."""
        self._asked = head
        self.story = story
        self._upload_done = head.length == 0
        self._paused = self._is_before_tunnel()  # what comes before the tunnel waits for it
        story.begin()

    # what comes

    def receive(self, data: bytes, ended: bool) -> None:
        """A DATA frame."""
        self._came += len(data)
        self.heard = ended
        if self._unwanted or self.story is None:
            self._session.acknowledge(len(data), self.number)
        elif self._holds():
            if data:
                self._held.append(data)
            if ended:
                self._held_trailers = NO_TRAILERS
        else:
            self._deliver(data, NO_TRAILERS if ended else None)

    def receive_trailers(self, fields: Iterable[Pair]) -> None:
        """The field lines that end the request."""
        self.heard = True
        trailers = trailers_of(fields)
        if self._unwanted or self.story is None:
            return
        if self._holds():
            self._held_trailers = trailers
        else:
            self._deliver(b"", trailers)

    def _holds(self) -> bool:
        return self._paused or bool(self._held)

    def _deliver(self, data: bytes, trailers: Trailers | None) -> None:
        """A piece, and where there are trailers, an empty tuple of them too, the end."""
        story = self.story
        if story is None:
            return
        if data:
            story.on_body(data, trailers == NO_TRAILERS and not self._tunnel)
            if not self._paused:
                self._session.acknowledge(self._session.owed(self.number), self.number)
        if trailers is not None and self.story is not None and not self._unwanted:
            if self.upload_done and not self._tunnel:
                return  # nobody was told that there would be a body
            self._upload_done = True
            story.on_body_end(trailers)

    @property
    def upload_done(self) -> bool:
        return self._upload_done

    @property
    def reading_paused(self) -> bool:
        return self._paused

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if not self._paused or self._is_before_tunnel():
            return
        self._paused = False
        if self._held or self._held_trailers is not None:
            self._carrier.held.append(self)  # its story is not told from within itself
        else:
            self._session.acknowledge(self._session.owed(self.number), self.number)
        self._carrier.touch()

    def release(self) -> None:
        """Deliver what was held back, if that is still wanted."""
        while self._held and not self._paused:
            data = self._held.pop(0)
            self._deliver(data, None if self._held else self._held_trailers)
            if not self._held:
                self._held_trailers = None
        if not self._paused and self._held_trailers is not None:
            trailers, self._held_trailers = self._held_trailers, None
            self._deliver(b"", trailers)

    def _is_before_tunnel(self) -> bool:
        asked = self._asked
        if asked is None or self._tunnel:
            return False
        return asked.protocol != "" or asked.method == "CONNECT"

    def skip_body(self) -> None:
        self._unwanted = True
        self._held.clear()

    def closed(self, code: int) -> None:
        """The stream is no more."""
        if not code and self._ended:
            return  # both ways complete: the story knows, or hears of it in this very call
        story, self.story = self.story, None
        self._drop()
        if story is not None:
            story.on_client_gone()

    # what leaves

    def send_informational(self, head: ResponseHead) -> None:
        if head.status != 101:
            self._session.send_informational(self.number, informational_fields(head))
            self._carrier.touch()

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        self._answered = True
        self._pending = answer_fields(head, edits, more, self._asked)

    def _begin_answer(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._session.send_response(self.number, pending, False)

    def send_data(self, data: bytes, last: bool) -> None:
        if self._pending is not None:
            self._begin_answer()
        session = self._session
        session.send_data(self.number, data, last)
        self._carrier.touch()
        if last:
            self._ended = True
        elif not self.blocked and session.queued(self.number) > HIGH:
            self.blocked = True
            self._carrier.blocked.add(self)
            if self.story is not None:
                self.story.on_client_blocked()

    def look(self) -> None:
        """Whether enough has left for a blocked one to go on."""
        if self._session.queued(self.number) <= LOW:
            self.blocked = False
            self._carrier.blocked.discard(self)
            if self.story is not None:
                self.story.on_client_drained()

    def flush(self) -> None:
        if self._pending is not None:
            self._begin_answer()
            self._carrier.touch()

    def end(self, trailers: Trailers) -> None:
        if self._ended:
            return
        self._ended = True
        fields = trailer_fields(trailers) if trailers else []
        if self._pending is not None and not fields:
            pending, self._pending = self._pending, None
            self._session.send_response(self.number, pending, True)
        else:
            self._begin_answer()
            if fields:
                self._session.send_trailers(self.number, fields)
            else:
                self._session.end(self.number)
        self._carrier.touch()

    def take_back(self) -> bool:
        held, self._pending = self._pending, None
        return held is not None

    def open_tunnel(self) -> None:
        self.flush()
        self._tunnel = True
        self._upload_done = False
        self.resume()

    def close_after(self) -> None:
        """A stream is used once, and its connection is not at fault."""

    def abort(self) -> None:
        """Send what there is, and say that it was not all."""
        self.story = None
        self._drop()
        self._carrier.push()
        if self._session.reset(self.number, INTERNAL_ERROR):
            self._carrier.has_reset(INTERNAL_ERROR)
        self._carrier.touch()

    def next(self, now: int) -> None:
        self.story = None
        self._asked = None
        self._drop()
        self._carrier.answered(self)

    def _drop(self) -> None:
        """Nothing more is told, so nothing more is kept."""
        self._held.clear()
        self._unwanted = True
        self._carrier.blocked.discard(self)

    # deadlines

    def tick(self, now: int) -> bool:
        """Check them; False: the client does not take its answer, end the stream."""
        story = self.story
        if story is None:
            return not self._has_stalled(now)
        if self._is_slow(now):
            story.on_bad_body(BadRequest("the request body comes too slowly", status=408))
        else:
            story.tick(now)
        return True

    def _has_stalled(self, now: int) -> bool:
        queued = self._session.queued(self.number)
        if not queued:
            return False
        if self._stall is None:
            self._stall = Unsent()
            self._stall.start(now)
        return self._stall.has_waited(queued, now)

    def _is_slow(self, now: int) -> bool:
        """As an HTTP/1.1 client's connection judges it."""
        head = self._asked
        rate = self._carrier.house.snapshot.limits.body_rate
        if self.upload_done or self._tunnel or not rate or head is None or self._answered:
            return False
        pace = self._pace
        if pace is None:
            pace = self._pace = UploadPace()
        asks = not self._came and head.field(b"expect") is not None
        counts = not (asks or self._paused or self._held)
        return pace.is_slow(head, self._came, now, rate, counts=counts)
