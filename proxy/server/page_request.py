"""A page for a failure, asked of an upstream by a request beside the story that has failed
(`side_request.py`); its span is marked `spangate.error_page`. The story waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config.error_template import MOST
from proxy.errors import ProxyError
from proxy.http.edits import Edits
from proxy.http.head import ResponseHead
from proxy.server.attempts import EVENT
from proxy.server.side_request import Deadlines, Question, SideRequest, aside, getting
from proxy.server.snapshot import Target
from proxy.server.story import Story

MARK = "spangate.error_page"
# What a gateway says that asks for a page, so that one behind it does not ask for another.
ASKED = b"x-spangate-error-page"
_PASSED_ON = (b"accept", b"accept-language")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an upstream gave."""

    kind: bytes  # Content-Type
    body: bytes


async def fetched(
    story: Story, target: Target, status: int, path: str, seconds: float
) -> Fetched | None:
    """The page of `path`, or None if there is none. Raises what ends the story meanwhile."""
    question = _question(story, target, status, path.replace("{status}", str(status)))
    wait = _Wait(story)
    request = SideRequest(story.worker, question, Deadlines(seconds), wait.done)
    story.total = 0  # which is over perhaps, and is said already
    story.wait(0, 0)
    try:
        request.begin()
        while not wait.is_over:
            wait.is_asleep = True
            await EVENT
    finally:
        wait.is_asleep = False
        request.stop()
    return wait.got


class _Wait:
    """What the story waits for."""

    __slots__ = ("_story", "got", "is_asleep", "is_over")

    def __init__(self, story: Story) -> None:
        self._story = story
        self.got: Fetched | None = None
        self.is_asleep = self.is_over = False

    def done(self, head: ResponseHead | None, body: bytes, error: ProxyError | None) -> None:
        self.is_over = True
        if head is not None and _is_page(head):
            self.got = Fetched(head.get(b"content-type") or b"", body)
        if self.is_asleep:
            self.is_asleep = False
            self._story.on_paused_enough()


def _is_page(head: ResponseHead) -> bool:
    usable = head.status == 200 and head.get(b"content-type") is not None
    return usable and head.get(b"content-encoding") is None


def _question(story: Story, target: Target, status: int, path: str) -> Question:
    edits = Edits(path, target.state.authority())
    edits.add(ASKED, b"%d" % status)
    for name in _PASSED_ON:
        if (value := story.head.get(name)) is not None:
            edits.add(name, value)
    if story.x.request_id:
        edits.add(b"x-request-id", story.x.request_id)
    x = aside(story.x, path, [(MARK, status)])
    return Question(target, x, getting(path, story.head.scheme), edits, MOST, _is_page)
