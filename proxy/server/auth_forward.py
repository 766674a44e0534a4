"""Another server is asked whether a request may come in: the check `forward`.

It owns who waits for which question and what is remembered of the answers. What goes and what an
answer means is `access/forward.py`'s, how it is asked `side_request.py`'s. It fails closed: where
there is no answer that can be understood, the request gets 503.
"""

from __future__ import annotations

from typing import Any

from proxy.access.check import Asked, Identity, Pending, Refusal, Verdict
from proxy.access.forward import OURS, UNKNOWN, Answer, Answers, Refused, Rules, is_shared, told
from proxy.access.made import Made
from proxy.config.access_forward import path_of, upstream_of
from proxy.config.access_model import Forward
from proxy.errors import ProxyError
from proxy.http.client_cert import XFCC, forwarded
from proxy.http.edits import Edits
from proxy.http.forwarding import Forwarding
from proxy.http.head import RequestHead, ResponseHead
from proxy.server.reply import Reply
from proxy.server.side_request import Deadlines, Question, SideRequest, aside, getting
from proxy.server.snapshot import Target
from proxy.server.story import Story
from proxy.tracing.baggage import passed_on

MARK = "spangate.auth.check"  # of the span of a question: the name of the check
_TEXT = b"text/plain"


def make(name: str, said: Forward, made: Made) -> Asking:
    """The check. Raises ValueError if its upstream is not there."""
    target = None if made.targets is None else _target(name, said, made)
    return Asking(name, said, target, made.secret)


def _target(name: str, said: Forward, made: Made) -> Target:
    """Of its own server, or of the upstream that the file declares by that name."""
    for upstream in upstream_of(name, said.to):
        try:
            target: Target = made.targets(upstream)
        except KeyError:
            continue
        return target
    raise ValueError(f"auth.{name} has no upstream")


class Asking:
    """The check, in one worker."""

    kind = "forward"
    hidden_cookies: frozenset[str] = frozenset()
    hidden_queries: frozenset[str] = frozenset()

    __slots__ = (
        "_forwarding", "_path", "answers", "deadlines", "flights", "most", "name", "rules",
        "strips", "target",
    )  # fmt: skip

    def __init__(self, name: str, said: Forward, target: Target | None, secret: bytes) -> None:
        self.name = name
        self.rules = Rules(name, said, secret)
        self.strips = self.rules.strips
        self.target = target
        self.most = int(said.body)
        self.deadlines = Deadlines(float(said.timeout))
        self.answers = Answers(self.rules.cache) if self.rules.cache else None
        self.flights: dict[bytes, Flight] = {}  # where answers are shared
        self._path = path_of(said.to)
        self._forwarding: Forwarding | None = None

    def decide(self, asked: Asked) -> Verdict:
        if self.answers is None:
            return Waiting(self, asked, b"", None)
        key = self.rules.key(asked)
        known = self.answers.get(key, asked.now)
        if isinstance(known, Identity):
            return known
        return Waiting(self, asked, key, known)

    def question(self, story: Story) -> Question:
        """What is asked about that request. Raises LoopDetected."""
        target, x = self.target, story.x
        assert target is not None
        head = getting(self._path, story.head.scheme)
        head.never_indexed = story.head.never_indexed
        edits = Edits(self._path, target.state.authority())
        for line in self.rules.lines(story.head, x.user_agent, story.client.forwards):
            head.receive(*line)
        self._tell(edits, story)
        marks: list[tuple[str, Any]] = [(MARK, self.name)]
        return Question(target, aside(x, self._path, marks), head, edits, self.most, _is_read)

    def _tell(self, edits: Edits, story: Story) -> None:
        """Lines of the gateway's own."""
        head, client, x = story.head, story.client, story.x
        if self._forwarding is None:
            self._forwarding = _forwarding(story)
        peer = client.peer
        self._forwarding.add(edits, head, peer.encoded, client.scheme, client.forwards)
        own = told(head, x.scheme, _authority(edits, head))
        edits.added = [pair for pair in edits.added if pair[0] not in OURS] + own
        passes = client.forwards and story.snapshot.passes_certificates
        proof = forwarded(head.fields.get(XFCC) if passes else None, peer.certificate)
        if proof is not None:
            edits.add(XFCC, proof)
        if x.request_id:
            edits.add(b"x-request-id", x.request_id)
        baggage = head.fields.get(b"baggage")
        wanted = self.target is not None and self.target.baggage and client.trusted
        if baggage is not None and wanted and (passed := passed_on(baggage)):
            edits.add(b"baggage", passed)


class Waiting(Pending):
    """A request whose answer is not known yet, or is known and depends on what the client
    speaks."""

    __slots__ = ("_asked", "_check", "_done", "_flight", "_key", "_known", "_story")

    def __init__(self, check: Asking, asked: Asked, key: bytes, known: Answer | None) -> None:
        self._check = check
        self._asked = asked
        self._key = key  # b"" = answers are not shared
        self._known = known
        self._done: Any = None
        self._story: Any = None
        self._flight: Flight | None = None

    def begin(self, story: Any, done: Any) -> None:
        self._story, self._done = story, done
        if self._known is not None:
            self.take(self._known)
            return
        flights = self._check.flights
        flight = flights.get(self._key) if self._key else None
        if flight is None:
            flight = Flight(self._check, self._key, self._asked.now)
            if self._key:
                flights[self._key] = flight
        self._join(flight)

    def stop(self) -> None:
        self._done = None
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.leave(self)

    def ask_again(self) -> None:
        """The answer was for somebody else: ask alone."""
        self._join(Flight(self._check, b"", self._asked.now))

    def take(self, answer: Answer) -> None:
        """That is it."""
        done, self._done, self._flight = self._done, None, None
        if done is not None:
            done(answer if isinstance(answer, Identity) else _refusal(answer, self._story))

    def _join(self, flight: Flight) -> None:
        self._flight = flight
        flight.join(self, self._story)


class Flight:
    """One question under way, and who waits for its answer."""

    __slots__ = ("_check", "_key", "_now", "_request", "_waiting")

    def __init__(self, check: Asking, key: bytes, now: float) -> None:
        self._check = check
        self._key = key
        self._now = now
        self._request: SideRequest | None = None
        self._waiting: dict[Waiting, None] = {}

    def join(self, waiting: Waiting, story: Story) -> None:
        """One more; the first one's request is asked about."""
        self._waiting[waiting] = None
        if self._request is not None:
            return
        try:
            question = self._check.question(story)
        except ProxyError as error:  # round in circles
            self._told(None, b"", error)
            return
        self._request = SideRequest(story.worker, question, self._check.deadlines, self._told)
        self._request.begin()

    def leave(self, waiting: Waiting) -> None:
        """One less; when nobody is left, nobody needs the answer."""
        self._waiting.pop(waiting, None)
        if not self._waiting and self._request is not None:
            self._land()
            self._request.stop()

    def _land(self) -> None:
        if self._check.flights.get(self._key) is self:
            del self._check.flights[self._key]

    def _told(self, head: ResponseHead | None, body: bytes, error: ProxyError | None) -> None:
        self._land()
        check = self._check
        answer = UNKNOWN if head is None else check.rules.judge(head, body)
        if head is not None and check.answers is not None and self._key:
            seconds = check.rules.kept(head, answer)
            if seconds > 0:
                check.answers.keep(self._key, answer, self._now + seconds)
        waiting, self._waiting = list(self._waiting), {}
        shared = is_shared(answer)
        for at, one in enumerate(waiting):
            if at == 0 or shared:
                one.take(answer)
            else:
                one.ask_again()


def _is_read(head: ResponseHead) -> bool:
    """The body of an answer that lets in says nothing, nor does that of a failure."""
    return 300 <= head.status < 500 and head.status != 304


def _refusal(answer: Answer, story: Story) -> Refusal:
    """A gRPC call is told a status, whatever page the server has for browsers."""
    if not isinstance(answer, Refused):
        return Refusal(503, "unavailable")
    reason = "denied" if answer.status >= 400 else "redirected"
    if story.x.call is not None:
        status = 401 if answer.status in (401, 407) or reason != "denied" else 403
        challenges = [value for name, value in answer.lines if name == b"www-authenticate"]
        return Refusal(status, reason, b", ".join(challenges))
    reply = Reply(answer.status, answer.lines, answer.body)
    return Refusal(answer.status, reason, reply=reply)


def _forwarding(story: Story) -> Forwarding:
    """As for upstreams, but that X-Forwarded- is always written: the server goes by it."""
    said = story.snapshot.config.forwarding
    return Forwarding(story.snapshot.forwarding.trusted, True, said.forwarded, said.via)


def _authority(edits: Edits, head: RequestHead) -> str:
    for name, value in edits.added:
        if name == b"x-forwarded-host":
            return value.decode("latin-1")
    return head.authority
